//! Reads a level off the head of a plain text, where loggers write one: after time stamps, brackets and the
//! logger's name.
//!
//! Words further on are the message, and a message about errors is not an error. It allocates nothing and looks
//! at no more than the first [`HEAD`] bytes.

use memchr::{memchr, memmem};

use super::Level;
use crate::record::access::w3c::is_directive;

/// How much of a text is looked at. Loggers put the level well before it; a level word after it is
/// part of the message.
pub(super) const HEAD: usize = 160;

/// Methods that open a line about a request. `TRACE` is one, and a level's name too.
const METHODS: [&[u8]; 9] = [b"GET", b"POST", b"PUT", b"HEAD", b"DELETE", b"PATCH", b"OPTIONS", b"CONNECT", b"TRACE"];

/// Keys whose value is the level, in logfmt.
const LEVEL_KEYS: [&[u8]; 9] = [
    b"level",
    b"lvl",
    b"severity",
    b"loglevel",
    b"log_level",
    b"log.level",
    b"levelname",
    b"level_name",
    b"severity_text",
];

/// Words that make a lower-case level word before them a noun: "error rate is within limits",
/// "warning level set to 3".
const NOUN_TAILS: [&[u8]; 32] = [
    b"and",
    b"are",
    b"budget",
    b"budgets",
    b"code",
    b"codes",
    b"correction",
    b"count",
    b"counter",
    b"counts",
    b"free",
    b"handler",
    b"handlers",
    b"handling",
    b"is",
    b"level",
    b"levels",
    b"log",
    b"logging",
    b"logs",
    b"messages",
    b"metrics",
    b"mode",
    b"or",
    b"page",
    b"pages",
    b"rate",
    b"rates",
    b"recovery",
    b"reporting",
    b"threshold",
    b"tracking",
];

/// What a plain line says of itself, if it does.
pub(super) fn level(text: &[u8]) -> Option<Level> {
    let head = &text[..text.len().min(HEAD)];
    // A line that was joined from several may open with an empty one.
    let head = head.trim_ascii_start();
    // Where the text went on, the last word may be half a word: `information` must not end as
    // `info`.
    let head = if text.len() > HEAD { &head[..whole_words(head)] } else { head };
    match memchr(b'\n', head) {
        None => Head::new(head).level(),
        Some(end) => Head::new(&head[..end]).level().or_else(|| exception_below(&head[end + 1..])),
    }
}

/// The head of a line, read word by word; `at` is where the next word starts.
///
/// What has been read decides how much a level word still proves: right after a stamp or a bracket
/// `error` is a level, after three words of prose not even `ERROR` is.
struct Head<'a> {
    text: &'a [u8],
    at: usize,
    /// A time stamp has been read: what follows is written by a logger.
    stamped: bool,
    /// Nothing since the last stamp, bracket, separator or colon: a level is likely here.
    fresh: bool,
    /// Plain words since the last stamp: prose, or a host and a logger's name.
    words: u8,
    /// Words with dots, digits or slashes since then: names of classes, hosts and files.
    names: u8,
    /// The word before was a nought: `0 ERROR` counts none.
    nought: bool,
    /// The next word is coloured: a terminal's logger wrote it, whatever its case.
    coloured: bool,
}

/// What one word at the head means for the search.
enum Step {
    Found(Level),
    Next,
    /// From here on it is the message.
    Stop,
}

impl<'a> Head<'a> {
    fn new(text: &'a [u8]) -> Self {
        let mut head =
            Head { text, at: 0, stamped: false, fresh: true, words: 0, names: 0, nought: false, coloured: false };
        head.skip_blank();
        head
    }

    fn level(mut self) -> Option<Level> {
        let opening = &self.text[self.at..];
        if let Some(level) = fixed_opening(opening) {
            return Some(level);
        }
        let capitals = opening.iter().take_while(|b| b.is_ascii_uppercase()).count();
        if opening[capitals..].starts_with(b" /") && METHODS.contains(&&opening[..capitals]) {
            return None;
        }
        while let Some(&first) = self.text.get(self.at) {
            let step = match first {
                // JSON, or something quoted: the words inside are not the logger's.
                b'{' | b'"' | b'\'' | b'`' => Step::Stop,
                b'[' | b'(' => self.bracket(first),
                b'|' => {
                    // What stood before was a field of its own: a container's name, a logger's.
                    (self.fresh, self.words, self.names) = (true, 0, 0);
                    self.at += 1;
                    Step::Next
                }
                b'-' | b':' | b'*' | b'=' | b'#' | b'>' | b'<' | b'!' | b',' | b';' | b'~' | b']' | b')' | b'.' => {
                    self.fresh = true;
                    self.at += 1;
                    Step::Next
                }
                b'0'..=b'9' => self.number(),
                _ => self.word(),
            };
            match step {
                Step::Found(level) => return Some(level),
                Step::Stop => return None,
                Step::Next => {}
            }
            // A bare line gets one word before its level (`npm ERR!`, `web | WARN`), a stamped one
            // its host and logger.
            if self.words > if self.stamped { 3 } else { 1 } || self.names > 4 {
                return None;
            }
            self.skip_blank();
        }
        None
    }

    /// Blanks and the escape sequences of terminals.
    fn skip_blank(&mut self) {
        (self.at, self.coloured) = after_blank(self.text, self.at);
    }

    /// `[error]`, `(CRITICAL)`, `[7]`, `[2025-10-01 08:21:45 +0000]`, `[08:12:03 ERR]`.
    fn bracket(&mut self, open: u8) -> Step {
        let Some(end) = closing(self.text, self.at) else {
            return Step::Stop;
        };
        let inside = &self.text[self.at + 1..end];
        if let Some(level) = bracketed(inside, open, self.words + self.names > 0) {
            return Step::Found(level);
        }
        self.at = end + 1;
        self.nought = false;
        if is_stamp(inside) {
            self.stamp()
        } else {
            self.fresh = true
        }
        Step::Next
    }

    fn stamp(&mut self) {
        (self.stamped, self.fresh, self.words, self.names) = (true, true, 0, 0);
    }

    /// A word that opens with a digit: a stamp, perhaps with more glued to it, a number, an
    /// address.
    fn number(&mut self) -> Step {
        let end = word_end(self.text, self.at);
        let word = &self.text[self.at..end];
        let digits = stamp_length(word);
        self.nought = false;
        if is_stamp(&word[..digits]) {
            self.stamp();
            // `10:22:40,672:DEBUG:foo`: the level is the next word.
            let glued = !word[digits - 1].is_ascii_digit();
            self.at = if glued { self.at + digits } else { end };
            return Step::Next;
        }
        self.nought = word == b"0";
        if digits < word.len() {
            self.fresh = word.ends_with(b":");
            self.names += 1;
        }
        self.at = end;
        Step::Next
    }

    fn word(&mut self) -> Step {
        let end = word_end(self.text, self.at);
        let word = &self.text[self.at..end];
        let nought = std::mem::take(&mut self.nought);
        let letters = word.iter().take_while(|b| b.is_ascii_alphabetic()).count();

        if let Some(length) = key_length(word) {
            return self.pair(length);
        }
        if self.text[self.at..].starts_with(b"stdout F ") || self.text[self.at..].starts_with(b"stderr F ") {
            // containerd's prefix, left in by a parser: its `F` means "full line", not "fatal".
            self.at = end + 2;
            return Step::Next;
        }
        if let Some(level) = spoken(&word[..letters])
            && !nought
            && self.stands_for_level(&word[..letters])
        {
            return Step::Found(level);
        }
        if self.fresh
            && let Some(level) = by_suffix(word, &self.text[end..])
        {
            return Step::Found(level);
        }
        if self.stamped && self.text[self.at..].starts_with(b"panic serving ") {
            // Go's server survives a handler's panic, and says so after a stamp and `http:`.
            return Step::Found(Level::Error);
        }
        if matches!(word, [b'A'..=b'Z', b','] | b"npm" | b"yarn" | b"PHP") && self.words == 0 {
            // Ruby's `E, [stamp]  ERROR -- :`, and the tools that put their name first.
            self.at = end;
            return Step::Next;
        }
        if let [b'n' | b'N' | b'w' | b'W' | b'z' | b'Z', ..] = word
            && [&b"no"[..], b"without", b"zero", b"non"].iter().any(|not| word.eq_ignore_ascii_case(not))
        {
            return Step::Stop;
        }

        let plain = word.strip_suffix(b":").or(word.strip_suffix(b",")).unwrap_or(word);
        // Other alphabets count as prose.
        if plain.iter().all(|b| b.is_ascii_alphabetic() || !b.is_ascii()) {
            self.words += 1
        } else {
            self.names += 1
        }
        self.fresh = word.ends_with(b":");
        self.at = end;
        Step::Next
    }

    /// `level=error`, `ts=2025-…`, `msg="…"`.
    fn pair(&mut self, key: usize) -> Step {
        let name = &self.text[self.at..self.at + key];
        let value = &self.text[self.at + key + 1..];
        let (value, length) = match value {
            [b'"', quoted @ ..] => match memchr(b'"', quoted) {
                // A quote in a quoted value is rare before the level; it ends the search rather
                // than misleads it.
                Some(end) if end == 0 || quoted[end - 1] != b'\\' => (&quoted[..end], end + 2),
                _ => return Step::Stop,
            },
            bare => {
                let end = word_end(bare, 0);
                (&bare[..end], end)
            }
        };
        // "set the log level=error": after words it is prose.
        if self.words == 0
            && LEVEL_KEYS.iter().any(|k| name.eq_ignore_ascii_case(k))
            && let Some(level) = Level::from_name(value.trim_ascii_end().strip_suffix(b",").unwrap_or(value))
        {
            return Step::Found(level);
        }
        self.at += key + 1 + length;
        self.fresh = true;
        Step::Next
    }

    /// Does the level's name at `at` stand here as a level, and not as a word of a sentence?
    fn stands_for_level(&self, word: &[u8]) -> bool {
        let end = self.at + word.len();
        let (next, coloured) = after_blank(self.text, end);
        let coloured = coloured && self.coloured;
        let after = &self.text[next..];
        let glued = if next == end { after.first() } else { None };
        let upper = word.iter().all(u8::is_ascii_uppercase);
        let opens_line = !self.stamped && self.words == 0 && self.names == 0;

        if let [b':', rest @ ..] = after {
            // `error::Kind` and `alert://…` are names; `error: none` reports nothing.
            let ends = upper || matches!(rest.first(), None | Some(b' ' | b'\t' | 0x1b));
            let ends = ends && !matches!(rest, [b':', ..] | [b'/', b'/', ..]);
            // Postgres' name for info, and everybody's noun.
            let ends = ends && (upper || !word.eq_ignore_ascii_case(b"log"));
            return ends && !is_nothing(rest) && (self.fresh || (upper && self.near()));
        }
        if word.eq_ignore_ascii_case(b"log") {
            return false;
        }
        if upper || coloured {
            let bounded = matches!(glued, None | Some(b']' | b')' | b'>' | b'|' | b',' | b';' | b'!' | b'[' | b'('));
            // These are words of notices too ("ALERT the team"): alone at the head they prove too
            // little.
            let weak = matches!(word, b"ALERT" | b"PANIC" | b"EMERGENCY" | b"NOTE" | b"FAIL");
            return bounded && self.near() && !(weak && opens_line && !separated(after));
        }

        if !self.fresh || glued.is_some_and(|b| !matches!(b, b'|' | b'[')) {
            return false;
        }
        let blanks = next - end;
        if self.stamped || opens_line {
            let set_apart = self.text.get(end) == Some(&b'\t') || blanks >= 2 || separated(after);
            if set_apart {
                return true;
            }
        }
        // One blank, then text: only the commonest words, and only if they do not start a sentence.
        if !matches!(Level::from_name(word), Some(Level::Debug | Level::Info | Level::Warn | Level::Error))
            && !word.eq_ignore_ascii_case(b"fatal")
        {
            return false;
        }
        if self.stamped && self.words == 0 {
            let follower = &after[..after.iter().take_while(|b| b.is_ascii_alphabetic()).count()];
            return blanks > 0 && !NOUN_TAILS.iter().any(|noun| follower.eq_ignore_ascii_case(noun));
        }
        // yarn's `error Command failed`: a lower-case word with a sentence of its own after it.
        opens_line && word[0].is_ascii_lowercase() && after.first().is_some_and(u8::is_ascii_uppercase)
    }

    /// Close enough to the head of the line, or to its stamp, for an upper-case name.
    fn near(&self) -> bool {
        self.fresh || self.stamped || (self.words == 0 && self.names <= 2)
    }
}

/// A text joined from several lines may begin with less than its reason: Node's with the file,
/// others with a sentence. Of the later lines only the names of exceptions count, and only
/// unindented: the rest is source code and frames.
fn exception_below(text: &[u8]) -> Option<Level> {
    text.split(|b| *b == b'\n').find_map(|line| {
        let (word, rest) = line.split_at(word_end(line, 0));
        fixed_opening(line).or_else(|| by_suffix(word, rest))
    })
}

/// Openings that mean one thing, whatever follows.
fn fixed_opening(text: &[u8]) -> Option<Level> {
    match text.first()? {
        b'<' => syslog(text),
        b'#' if is_directive(text) => Some(Level::Info),
        b'I' | b'W' | b'E' | b'F' if klog(text) => Level::from_name(&text[..1]),
        b'T' if text.starts_with(b"Traceback (most recent call last)") => Some(Level::Error),
        b'E' if text.starts_with(b"Exception in thread ") => Some(Level::Error),
        b'C' if text.starts_with(b"Caused by: ") => Some(Level::Error),
        b'U' if text.starts_with(b"Uncaught ") || text.starts_with(b"Unhandled ") => Some(Level::Error),
        // PHP: ends a request.
        b'P' if text.starts_with(b"PHP Fatal error: ") => Some(Level::Error),
        b'e' if text.starts_with(b"exception '") => Some(Level::Error),
        // Go: both end the process.
        b'p' if text.starts_with(b"panic: ") => Some(Level::Fatal),
        b'f' if text.starts_with(b"fatal error: ") => Some(Level::Fatal),
        // Rust: ends a thread, and a runtime goes on without it.
        b't' if text.starts_with(b"thread '") && memmem::find(text, b" panicked at").is_some() => Some(Level::Error),
        // The shell's words for a child that a signal ended.
        b'K' if text.trim_ascii_end() == b"Killed" => Some(Level::Error),
        b'S' if text.starts_with(b"Segmentation fault") => Some(Level::Error),
        _ => None,
    }
}

/// `<3>` or `<27>`: a priority is eight times the facility plus the severity.
fn syslog(text: &[u8]) -> Option<Level> {
    let digits = text[1..].iter().take_while(|b| b.is_ascii_digit()).count();
    if !(1..=3).contains(&digits) || text.get(1 + digits) != Some(&b'>') {
        return None;
    }
    let priority = text[1..=digits].iter().fold(0_u16, |n, b| n * 10 + u16::from(b - b'0'));
    if priority > 191 { None } else { Level::from_number(f64::from(priority % 8)) }
}

/// Kubernetes' and Google's head: `E0101 08:21:53.118202`. The clock keeps linters' codes (`E1101:
/// …`) out.
pub(super) fn klog(text: &[u8]) -> bool {
    match text {
        [_, date @ .., _, _, b':'] if date.len() == 5 => date.iter().take(4).all(u8::is_ascii_digit) && date[4] == b' ',
        [_, _, ..] if text.len() > 9 => klog(&text[..9]),
        _ => false,
    }
}

/// The level a word of a text names. Fewer names than in a field of their own: `fine`, `config` and
/// `success` are everyday words (none of them begins as the table says), and single letters stand
/// for themselves.
fn spoken(word: &[u8]) -> Option<Level> {
    // Nearly all words of a log end here: the first two letters are cheaper than a look-up.
    let [first, second, _, ..] = word else {
        return None;
    };
    match (first.to_ascii_lowercase(), second.to_ascii_lowercase()) {
        (b'a', b'l') | (b'c', b'r') | (b'd', b'b' | b'e' | b'p') | (b'e', b'm' | b'r') | (b'f', b'a' | b't') => {}
        (b'i', b'n') | (b'l' | b'n', b'o') | (b'p', b'a' | b'n') | (b's', b'e') | (b't', b'r') => {}
        (b'v', b'e' | b'r') | (b'w', b'a' | b'r') => {}
        _ => return None,
    }
    let level = Level::from_name(word)?;
    Some(level)
}

/// What stands in brackets: the level alone, or the level among a stamp, a module and a process.
fn bracketed(inside: &[u8], open: u8, late: bool) -> Option<Level> {
    let (start, _) = after_blank(inside, 0);
    let inside = &inside[start..];
    let inside = memchr(0x1b, inside).map_or(inside, |escape| &inside[..escape]).trim_ascii_end();
    let upper = |word: &[u8]| word.iter().all(u8::is_ascii_uppercase);
    if let Some(level) = spoken(inside) {
        // "(warning)" in the middle of a sentence is an aside.
        return (open == b'[' || upper(inside) || !late).then_some(level);
    }
    if open != b'[' {
        return None;
    }
    if let [b'E' | b'W' | b'I' | b'D' | b'F'] = inside {
        return if late { None } else { Level::from_name(inside) };
    }
    let mut before = None;
    let mut start = 0;
    for (at, next) in inside.iter().enumerate().filter(|(_, b)| matches!(b, b' ' | b':' | b'/' | b'|' | b',')) {
        if let Some(level) = part(&inside[start..at], before, Some(*next)) {
            return Some(level);
        }
        (before, start) = (Some(*next), at + 1);
    }
    return part(&inside[start..], before, None);

    /// A part counts in capitals (`08:12:03 ERR`, `stamp: ERROR/MainProcess`); in small letters
    /// only as the last one, after a module's name or a stamp (`core:error`), or as the first
    /// before a colon (`Error: ENOENT`).
    fn part(word: &[u8], before: Option<u8>, next: Option<u8>) -> Option<Level> {
        let level = spoken(word)?;
        let capitals = word.iter().all(u8::is_ascii_uppercase);
        let edge = matches!((before, next), (Some(b':'), None) | (None, Some(b':')));
        (capitals || edge).then_some(level)
    }
}

/// Where the bracket that opens at `at` closes; brackets within count, those of escape sequences do
/// not.
fn closing(text: &[u8], at: usize) -> Option<usize> {
    let (open, close) = if text[at] == b'[' { (b'[', b']') } else { (b'(', b')') };
    let mut depth = 0_u16;
    let mut i = at;
    while let Some(&b) = text.get(i) {
        if b == 0x1b {
            i = after_escape(text, i);
            continue;
        }
        if b == open {
            depth += 1;
        } else if b == close {
            depth -= 1;
            if depth == 0 {
                return Some(i);
            }
        }
        i += 1;
    }
    None
}

/// `TypeError: …`, `java.lang.IllegalStateException: …`, `DeprecationWarning: …`, `local.ERROR: …`:
/// names that say in their last part what they are. What follows tells them from a mention: a
/// colon, a parenthesis or the end of the line.
fn by_suffix(word: &[u8], rest: &[u8]) -> Option<Level> {
    let name = match word.strip_suffix(b":") {
        Some(name) => name,
        // Ruby puts the message in parentheses; a trace without one has the name alone.
        None if rest.trim_ascii_start().is_empty() || rest.starts_with(b" (") => word,
        None => return None,
    };
    // Ruby, Rust and C++ put `::` between the parts of a name, PHP a backslash.
    let between = |b: &u8| matches!(b, b'.' | b':' | b'\\');
    if !name.iter().all(|b| b.is_ascii_alphanumeric() || between(b) || matches!(b, b'_' | b'$')) {
        return None;
    }
    let last = name.iter().rposition(between).map_or(name, |at| &name[at + 1..]);
    if last.len() < name.len() && last.iter().all(u8::is_ascii_uppercase) {
        return spoken(last);
    }
    if !last.first().is_some_and(u8::is_ascii_uppercase) {
        return None;
    }
    if last.ends_with(b"Error") || last.ends_with(b"Exception") {
        Some(Level::Error)
    } else if last.ends_with(b"Warning") {
        Some(Level::Warn)
    } else {
        None
    }
}

/// Is there a separator here, such as loggers put between fields?
fn separated(after: &[u8]) -> bool {
    matches!(after, [b'[' | b'|', ..] | [b'-', b' ' | b'-', ..])
}

/// `error: none`, `errors so far: 0`: a report that there is nothing to report.
fn is_nothing(value: &[u8]) -> bool {
    let value = value.trim_ascii_start();
    let end = value.iter().position(|b| matches!(b, b' ' | b',' | b';' | b')')).unwrap_or(value.len());
    [&b"0"[..], b"none", b"null", b"nil", b"no", b"false", b"-", b"\"\"", b"<nil>", b"undefined"]
        .iter()
        .any(|nothing| value[..end].eq_ignore_ascii_case(nothing))
}

/// Length of the key if the word is `key=value`.
fn key_length(word: &[u8]) -> Option<usize> {
    let key = word.iter().take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-' | b'@')).count();
    (key > 0 && word.get(key) == Some(&b'=')).then_some(key)
}

/// Length of the digits, and of what stands between them in dates and clocks, that open `word`.
fn stamp_length(word: &[u8]) -> usize {
    let mut length = 0;
    while let Some(&b) = word.get(length) {
        let next_is_letter = word.get(length + 1).is_some_and(u8::is_ascii_alphabetic);
        match b {
            b'0'..=b'9' | b'-' | b':' | b'/' | b'.' | b',' | b'+' => {}
            b'T' if word.get(length + 1).is_some_and(u8::is_ascii_digit) => {}
            b'Z' if !next_is_letter => {}
            _ => break,
        }
        length += 1;
    }
    length
}

/// Does this hold a date or a clock? Two separators of one kind between digits; an address with a
/// port has only one.
fn is_stamp(text: &[u8]) -> bool {
    let (mut clock, mut dashes, mut slashes) = (0_u8, 0_u8, 0_u8);
    for w in text.windows(3) {
        let [before, separator, after] = w else {
            continue;
        };
        let count = match separator {
            b':' => &mut clock,
            b'-' => &mut dashes,
            b'/' => &mut slashes,
            _ => continue,
        };
        if before.is_ascii_digit() && after.is_ascii_digit() {
            *count += 1;
            if *count == 2 {
                return true;
            }
        }
    }
    false
}

/// Where the word that starts at `at` ends.
fn word_end(text: &[u8], at: usize) -> usize {
    let length = text[at..].iter().position(|b| matches!(b, b' ' | b'\t' | b'\r' | b'\n' | b'|' | 0x1b));
    length.unwrap_or(text.len() - at) + at
}

/// Length of `head` without its last word.
fn whole_words(head: &[u8]) -> usize {
    head.iter().rposition(|b| matches!(b, b' ' | b'\t' | b'\n')).unwrap_or(0)
}

/// The first byte after blanks and escape sequences, and whether there was such a sequence.
fn after_blank(text: &[u8], mut at: usize) -> (usize, bool) {
    let mut coloured = false;
    loop {
        match text.get(at) {
            Some(b' ' | b'\t' | b'\r') => at += 1,
            Some(0x1b) => {
                at = after_escape(text, at);
                coloured = true;
            }
            _ => return (at, coloured),
        }
    }
}

/// The first byte after the escape sequence at `at`: `ESC [`, parameters, one letter.
fn after_escape(text: &[u8], at: usize) -> usize {
    if text.get(at + 1) != Some(&b'[') {
        return at + 1;
    }
    let parameters = text[at + 2..].iter().take_while(|b| matches!(b, 0x20..=0x3f)).count();
    (at + 2 + parameters + 1).min(text.len())
}
