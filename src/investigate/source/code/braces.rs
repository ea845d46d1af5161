//! Functions by their braces: what stands between two, and the words before the first.

use super::super::frame::Language;
use super::Function;

/// Bytes of what stands before a brace that are looked at: the longest signature there is, nearly.
const HEAD_MAX: usize = 600;
/// Braces within braces; what lies deeper is nobody's code.
const DEPTH_MAX: usize = 500;
/// Bytes that are looked ahead: for the brace on a line of its own, for the end of a regular expression.
const AHEAD_MAX: usize = 500;

/// A pair of braces that is open.
struct Open {
    /// The first line of what stands before it.
    first: u32,
    named: Option<Option<String>>,
    /// What was being read when it opened.
    head: Head,
    /// It stands within a text with places (`${…}`), which goes on behind it.
    in_template: bool,
}

/// The words since the last boundary: strings as empty ones, comments left out.
#[derive(Default)]
struct Head {
    text: String,
    first: u32,
    brackets: u32,
}

struct Reader<'t> {
    bytes: &'t [u8],
    at: usize,
    line: u32,
    language: Language,
    head: Head,
    open: Vec<Open>,
    functions: Vec<Function>,
}

pub(super) fn functions(text: &str, language: Language) -> Vec<Function> {
    let reader = Reader {
        bytes: text.as_bytes(),
        at: 0,
        line: 1,
        language,
        head: Head::default(),
        open: Vec::new(),
        functions: Vec::new(),
    };
    reader.read()
}

impl Reader<'_> {
    fn read(mut self) -> Vec<Function> {
        while let Some(byte) = self.peek(0) {
            if self.skip_comment() || self.skip_string(byte) {
                continue;
            }
            match byte {
                b'{' => self.brace(false),
                b'}' => {
                    if self.close() {
                        self.template();
                        continue;
                    }
                }
                b';' if self.head.brackets == 0 => self.head = Head::default(),
                byte => self.word(byte),
            }
            self.step();
        }
        // A file that ends within a function, or braces that were read wrongly.
        let end = self.line;
        while let Some(open) = self.open.pop() {
            self.done(open, end);
        }
        self.functions
    }

    fn peek(&self, ahead: usize) -> Option<u8> {
        self.bytes.get(self.at + ahead).copied()
    }

    fn starts(&self, text: &[u8]) -> bool {
        self.bytes.get(self.at..).is_some_and(|rest| rest.starts_with(text))
    }

    fn step(&mut self) {
        if self.peek(0) == Some(b'\n') {
            self.line += 1;
        }
        self.at += 1;
    }

    fn word(&mut self, byte: u8) {
        match byte {
            b'(' | b'[' => self.head.brackets += 1,
            b')' | b']' => self.head.brackets = self.head.brackets.saturating_sub(1),
            _ => {}
        }
        let is_blank = byte.is_ascii_whitespace();
        if self.head.text.is_empty() {
            if is_blank {
                return;
            }
            self.head.first = self.line;
        }
        if byte == b'\n' && self.head.brackets == 0 && self.ends_statement() {
            self.head = Head::default();
            return;
        }
        if self.head.text.len() < HEAD_MAX {
            let blank = is_blank && self.head.text.ends_with(' ');
            // What is not ASCII stands for itself in no name that is compared.
            let c = if is_blank {
                ' '
            } else if byte.is_ascii() {
                char::from(byte)
            } else {
                '_'
            };
            if !blank {
                self.head.text.push(c);
            }
        }
    }

    /// At the end of a line: whether it is no part of what the next line says. Languages that end statements with
    /// their lines begin a function's brace on the same one.
    fn ends_statement(&self) -> bool {
        let text = self.head.text.trim_end();
        match self.language {
            Language::Go => true,
            Language::Script | Language::Kotlin => {
                let goes_on = [",", "=", "(", "=>", ":", "+", ".", "&&", "||", "?", "|", "&"];
                // A brace on a line of its own.
                let next = self.bytes.get(self.at..).unwrap_or_default();
                let brace = next.iter().take(AHEAD_MAX).find(|b| !b.is_ascii_whitespace()) == Some(&b'{');
                !brace && !goes_on.iter().any(|end| text.ends_with(end)) && !text.starts_with('@')
            }
            _ => false,
        }
    }

    fn brace(&mut self, in_template: bool) {
        let head = std::mem::take(&mut self.head);
        let (first, named) = match in_template || self.open.len() >= DEPTH_MAX {
            true => (self.line, None),
            false => (if head.text.is_empty() { self.line } else { head.first }, function(&head.text, self.language)),
        };
        if self.open.len() < DEPTH_MAX * 2 {
            self.open.push(Open { first, named, head, in_template });
        }
    }

    /// Whether a text with places goes on behind the brace.
    fn close(&mut self) -> bool {
        let Some(mut open) = self.open.pop() else {
            self.head = Head::default();
            return false;
        };
        let in_template = open.in_template;
        // Within brackets more follows, such as a call's other arguments.
        let goes_on = in_template || open.head.brackets > 0;
        self.head = if goes_on { std::mem::take(&mut open.head) } else { Head::default() };
        self.done(open, self.line);
        if in_template {
            self.step();
        }
        in_template
    }

    fn done(&mut self, open: Open, last: u32) {
        if let Some(name) = open.named {
            self.functions.push(Function { name, first: open.first, last });
        }
    }

    fn skip_comment(&mut self) -> bool {
        let hash = self.language == Language::Php && self.starts(b"#") && !self.starts(b"#[");
        if self.starts(b"//") || hash {
            while self.peek(0).is_some_and(|b| b != b'\n') {
                self.at += 1;
            }
            return true;
        }
        if !self.starts(b"/*") {
            return false;
        }
        let nests = matches!(self.language, Language::Rust | Language::Kotlin);
        let mut depth = 0_usize;
        while self.peek(0).is_some() {
            if self.starts(b"/*") && (nests || depth == 0) {
                depth += 1;
                self.at += 2;
            } else if self.starts(b"*/") {
                depth -= 1;
                self.at += 2;
                if depth == 0 {
                    break;
                }
            } else {
                self.step();
            }
        }
        true
    }

    fn skip_string(&mut self, byte: u8) -> bool {
        let language = self.language;
        match byte {
            b'"' if self.starts(b"\"\"\"")
                && matches!(language, Language::Java | Language::Kotlin | Language::Dotnet) =>
            {
                self.at += 3;
                self.until(b"\"\"\"", language != Language::Kotlin);
            }
            b'"' if language == Language::Dotnet && self.is_verbatim() => {
                self.at += 1;
                self.until(b"\"", false);
            }
            b'"' => self.quoted(byte, matches!(language, Language::Rust | Language::Php)),
            b'\'' => match language {
                Language::Rust => return self.rust_char(),
                Language::Script => self.quoted(byte, false),
                Language::Php => self.quoted(byte, true),
                // Java, Go, C#: one character, or an escape.
                _ => self.quoted(byte, false),
            },
            b'`' if language == Language::Go => {
                self.at += 1;
                self.until(b"`", false);
            }
            b'`' if language == Language::Script => {
                self.at += 1;
                self.head.text.push_str("\"\"");
                self.template();
                return true;
            }
            b'r' if language == Language::Rust => return self.rust_raw(),
            b'/' if language == Language::Script => return self.pattern(),
            b'<' if language == Language::Php && self.starts(b"<<<") => return self.heredoc(),
            _ => return false,
        }
        if self.head.text.is_empty() {
            self.head.first = self.line;
        }
        if self.head.text.len() < HEAD_MAX {
            self.head.text.push_str("\"\"");
        }
        true
    }

    /// `@"…"`, `$@"…"`: the quote is what is read.
    fn is_verbatim(&self) -> bool {
        let before = self.bytes.get(self.at.saturating_sub(2)..self.at).unwrap_or_default();
        before.contains(&b'@')
    }

    /// From an opening quote to behind its end, or to the end of the line.
    fn quoted(&mut self, quote: u8, lines: bool) {
        self.at += 1;
        while let Some(byte) = self.peek(0) {
            match byte {
                b'\\' => {
                    self.at += 1;
                    self.step();
                }
                b'\n' if !lines => return,
                byte if byte == quote => {
                    self.at += 1;
                    return;
                }
                _ => self.step(),
            }
        }
    }

    fn until(&mut self, end: &[u8], escapes: bool) {
        while self.peek(0).is_some() {
            if self.starts(end) {
                self.at += end.len();
                return;
            }
            if escapes && self.peek(0) == Some(b'\\') {
                self.at += 1;
            }
            self.step();
        }
    }

    /// Script's text with places, from within it to its end or to the next place.
    fn template(&mut self) {
        while let Some(byte) = self.peek(0) {
            match byte {
                b'\\' => {
                    self.at += 1;
                    self.step();
                }
                b'`' => {
                    self.at += 1;
                    return;
                }
                b'$' if self.peek(1) == Some(b'{') => {
                    self.at += 1;
                    self.brace(true);
                    self.at += 1;
                    return;
                }
                _ => self.step(),
            }
        }
    }

    /// `'a'`, `'\n'` and `'{'`; a lifetime is none.
    fn rust_char(&mut self) -> bool {
        if self.peek(1) == Some(b'\\') {
            self.quoted(b'\'', false);
            return true;
        }
        // A character is at most four bytes long.
        let ends = (2..=5).find(|ahead| self.peek(*ahead) == Some(b'\''));
        match ends {
            Some(ahead) if ahead == 2 || self.peek(1).is_some_and(|b| !b.is_ascii()) => {
                self.at += ahead + 1;
                true
            }
            _ => false,
        }
    }

    /// `r"…"`, `r#"…"#`.
    fn rust_raw(&mut self) -> bool {
        let before = self.at.checked_sub(1).and_then(|at| self.bytes.get(at));
        if before.is_some_and(|b| (b.is_ascii_alphanumeric() && *b != b'b') || *b == b'_') {
            return false;
        }
        let hashes = self.bytes.get(self.at + 1..).unwrap_or_default().iter().take_while(|b| **b == b'#').count();
        if self.peek(1 + hashes) != Some(b'"') {
            return false;
        }
        self.at += hashes + 2;
        let end: Vec<u8> = std::iter::once(b'"').chain(std::iter::repeat_n(b'#', hashes.min(255))).collect();
        self.until(&end, false);
        true
    }

    /// A regular expression where one may stand: it ends in its line.
    fn pattern(&mut self) -> bool {
        let text = self.head.text.trim_end();
        let after_operator = text.is_empty() || text.ends_with(['(', ',', '=', ':', '[', '!', '&', '|', '?', '>']);
        let after_word = ["return", "typeof", "case", "in", "of"].iter().any(|word| text.ends_with(word));
        if !after_operator && !after_word {
            return false;
        }
        let rest = self.bytes.get(self.at + 1..).unwrap_or_default();
        let mut in_class = false;
        let mut skip = false;
        for (at, byte) in rest.iter().take(AHEAD_MAX).enumerate() {
            match byte {
                b'\n' => return false,
                _ if skip => skip = false,
                b'\\' => skip = true,
                b'[' => in_class = true,
                b']' => in_class = false,
                b'/' if !in_class => {
                    self.at += at + 2;
                    self.head.text.push_str("\"\"");
                    return true;
                }
                _ => {}
            }
        }
        false
    }

    /// PHP's text up to a word on a line of its own.
    fn heredoc(&mut self) -> bool {
        let rest = self.bytes.get(self.at + 3..).unwrap_or_default();
        let skipped = rest.iter().take_while(|b| matches!(b, b' ' | b'"' | b'\'')).count();
        let word: Vec<u8> =
            rest.iter().skip(skipped).take_while(|b| b.is_ascii_alphanumeric() || **b == b'_').copied().collect();
        if word.is_empty() {
            return false;
        }
        while self.peek(0).is_some() {
            let at_begin = self.peek(0) == Some(b'\n');
            self.step();
            if at_begin {
                let line = self.bytes.get(self.at..).unwrap_or_default();
                let blanks = line.iter().take_while(|b| matches!(b, b' ' | b'\t')).count();
                if line.get(blanks..).is_some_and(|line| line.starts_with(&word)) {
                    self.at += blanks + word.len();
                    return true;
                }
            }
        }
        true
    }
}

/// Whether the words before a brace are a function's, and its name, if it has one.
fn function(head: &str, language: Language) -> Option<Option<String>> {
    let head = head.trim();
    match language {
        Language::Rust => after_word(head, "fn").map(ident),
        Language::Go => {
            let rest = after_word(head, "func")?;
            // A receiver stands in brackets before the name; without a name it is a closure.
            let receiver =
                rest.strip_prefix('(').and_then(|rest| rest.split_once(')')).map(|(_, rest)| rest.trim_start());
            match head.starts_with("func") {
                true => Some(
                    receiver.and_then(|rest| rest.contains('(').then(|| ident(rest)).flatten()).or_else(|| ident(rest)),
                ),
                false => Some(None),
            }
        }
        Language::Php => {
            let rest = after_word(head, "function")?;
            Some(ident(rest.trim_start_matches('&')))
        }
        Language::Kotlin => {
            let rest = after_word(head, "fun").or_else(|| after_word(head, "def"))?;
            // `fun <T> Shop.total(…)`: the name stands before the bracket.
            let before = rest.split('(').next().unwrap_or_default();
            Some(last_ident(before))
        }
        Language::Script => script(head),
        Language::Java | Language::Dotnet => method(head),
        Language::Python | Language::Ruby => None,
    }
}

/// Behind the word, where it stands as a word of its own.
fn after_word<'h>(head: &'h str, word: &str) -> Option<&'h str> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '$';
    head.match_indices(word).find_map(|(at, _)| {
        let (before, rest) = (head.get(..at)?, head.get(at + word.len()..)?);
        (!before.ends_with(is_part) && !rest.starts_with(is_part)).then(|| rest.trim_start())
    })
}

fn ident(text: &str) -> Option<String> {
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '$')).unwrap_or(text.len());
    text.get(..end).filter(|name| !name.is_empty()).map(str::to_owned)
}

fn last_ident(text: &str) -> Option<String> {
    let text = text.trim_end();
    let from = text.rfind(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '$')).map_or(0, |at| at + 1);
    // What is not ASCII may be longer than a byte.
    text.get(from..).filter(|name| !name.is_empty()).map(str::to_owned)
}

const CONTROL: [&str; 19] = [
    "if",
    "for",
    "foreach",
    "while",
    "switch",
    "catch",
    "else",
    "do",
    "try",
    "with",
    "synchronized",
    "using",
    "lock",
    "fixed",
    "return",
    "throw",
    "when",
    "finally",
    "new",
];

/// `const total = (a) =>`, `async total(a)`, `function total(a)`, `total: function (a)`.
fn script(head: &str) -> Option<Option<String>> {
    if let Some(rest) = after_word(head, "function") {
        let own = ident(rest.trim_start_matches('*').trim_start());
        return Some(own.or_else(|| assigned(head)));
    }
    if head.ends_with("=>") {
        return Some(assigned(head));
    }
    method(head)
}

/// The name that an anonymous function is given: `const a = …`, `a: …`, `this.a = …`.
fn assigned(head: &str) -> Option<String> {
    let at = head.find(['=', ':', '('])?;
    let sign = head.get(at..)?;
    if sign.starts_with('(') || sign.starts_with("=>") {
        return None;
    }
    // `const total: Total = (a) =>`
    last_ident(head.get(..at)?)
}

/// `public Total total(Cart cart) throws Failed`, `async total(cart): Promise<Total>`.
fn method(head: &str) -> Option<Option<String>> {
    let mut rest = head;
    // Annotations and attributes before it.
    loop {
        let trimmed = rest.trim_start();
        if let Some(after) = trimmed.strip_prefix('@') {
            let end = after.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '.')).unwrap_or(after.len());
            let after = after.get(end..).unwrap_or_default();
            rest = if after.trim_start().starts_with('(') { behind_brackets(after.trim_start())? } else { after };
        } else if trimmed.starts_with('[') {
            rest = behind_brackets(trimmed)?;
        } else {
            rest = trimmed;
            break;
        }
    }
    let at = rest.find('(')?;
    let before = rest.get(..at).unwrap_or_default();
    let name = last_ident(without_generics(before.trim_end()))?;
    let first = ident(rest).unwrap_or_default();
    let is_call =
        without_generics(before.trim_end()).strip_suffix(name.as_str()).is_some_and(|b| b.trim_end().ends_with('.'));
    let after = behind_brackets(rest.get(at..).unwrap_or_default())?;
    let holds = |word: &str| after_word(before, word).is_some();
    let is_control = CONTROL.contains(&first.as_str()) || CONTROL.contains(&name.as_str());
    if is_control || is_call || before.contains('=') || after.trim_end().ends_with("->") || after.contains("=>") {
        return None;
    }
    if ["class", "interface", "enum", "record", "struct", "namespace", "new"].iter().any(|word| holds(word)) {
        return None;
    }
    Some(Some(name))
}

/// `total<T>` is `total`.
fn without_generics(text: &str) -> &str {
    if !text.ends_with('>') {
        return text;
    }
    let mut depth = 0_usize;
    for (at, byte) in text.bytes().enumerate().rev() {
        match byte {
            b'>' => depth += 1,
            b'<' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return text.get(..at).unwrap_or_default().trim_end();
                }
            }
            _ => {}
        }
    }
    text
}

/// Behind the bracket that closes the first one; `None`: none does.
fn behind_brackets(text: &str) -> Option<&str> {
    let mut depth = 0_usize;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'(' | b'[' => depth += 1,
            b')' | b']' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return text.get(at + 1..);
                }
            }
            _ => {}
        }
    }
    None
}
