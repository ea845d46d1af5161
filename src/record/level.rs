//! How bad a line says it is, in whichever dialect it says so.
//!
//! Six levels stand for all of them. Names and numbers are looked up; plain text is read for a
//! level only where loggers write one: at the head of the line, after time stamps, brackets and the
//! logger's name. Words further on are the message, and a message about errors is not an error. In
//! doubt the answer is `None`, which the caller treats as info.
//!
//! The module promises to allocate nothing and to look at no more than the first [`HEAD`] bytes of
//! a text.

use memchr::{memchr, memmem};

/// How bad. Ordered: `Error >= Warn`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Level {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
    Fatal,
}

/// How much of a text is looked at. Loggers put the level well before it; a level word after it is
/// part of the message.
const HEAD: usize = 160;

/// Longest name of a level, and so the longest word worth comparing.
const LONGEST_NAME: usize = 13;

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

impl Level {
    /// From the least to the worst.
    pub const ALL: [Level; 6] = [Level::Trace, Level::Debug, Level::Info, Level::Warn, Level::Error, Level::Fatal];

    /// The name in our own dialect, the one filters are written in.
    pub fn as_str(self) -> &'static str {
        match self {
            Level::Trace => "trace",
            Level::Debug => "debug",
            Level::Info => "info",
            Level::Warn => "warn",
            Level::Error => "error",
            Level::Fatal => "fatal",
        }
    }

    /// The level of that name in any logger's dialect, in upper or lower case, padded or not.
    pub fn from_name(name: &[u8]) -> Option<Level> {
        let name = name.trim_ascii();
        // OpenTelemetry and Postgres number the finer steps: WARN2, DEBUG5.
        let stem = match name {
            [stem @ .., b'1'..=b'5'] => stem,
            _ => name,
        };
        let mut buffer = [0; LONGEST_NAME];
        let lower = buffer.get_mut(..stem.len())?;
        lower.copy_from_slice(stem);
        lower.make_ascii_lowercase();
        let level = match &*lower {
            b"trace" | b"trc" | b"trce" | b"verbose" | b"vrb" | b"finest" | b"finer" | b"t" | b"v" => Level::Trace,
            b"debug" | b"dbg" | b"dbug" | b"fine" | b"config" | b"d" => Level::Debug,
            b"info" | b"inf" | b"information" | b"informational" | b"notice" | b"note" | b"log" | b"success" | b"i" => {
                Level::Info
            }
            b"warn" | b"warning" | b"wrn" | b"w" => Level::Warn,
            b"error" | b"err" | b"severe" | b"fail" | b"e" => Level::Error,
            b"fatal" | b"ftl" | b"critical" | b"crit" | b"panic" | b"pnc" | b"dpanic" | b"emerg" | b"emergency"
            | b"alert" | b"f" | b"c" => Level::Fatal,
            _ => return None,
        };
        // Only these count steps; "error1" or "alert3" is some other word.
        let stepped = matches!(&*lower, b"trace" | b"debug" | b"info" | b"warn" | b"error" | b"fatal" | b"d");
        (stem.len() == name.len() || stepped).then_some(level)
    }

    /// The level of that number: pino's and bunyan's 10 to 60, syslog's 0 to 7, logback's 5000 to
    /// 40000. A number between two of pino's or logback's steps counts as the lower one.
    pub fn from_number(n: f64) -> Option<Level> {
        match n {
            // Syslog counts the other way round and knows no steps between.
            0.0 | 1.0 | 2.0 => Some(Level::Fatal),
            3.0 => Some(Level::Error),
            4.0 => Some(Level::Warn),
            5.0 | 6.0 => Some(Level::Info),
            7.0 => Some(Level::Debug),
            10.0..20.0 | 5000.0..10000.0 => Some(Level::Trace),
            20.0..30.0 | 10000.0..20000.0 => Some(Level::Debug),
            30.0..40.0 | 20000.0..30000.0 => Some(Level::Info),
            40.0..50.0 | 30000.0..40000.0 => Some(Level::Warn),
            50.0..60.0 | 40000.0 => Some(Level::Error),
            60.0 => Some(Level::Fatal),
            _ => None,
        }
    }

    /// The level of an answer with that status.
    pub fn of_status(status: u16) -> Level {
        match status {
            500..=599 => Level::Error,
            400..=499 => Level::Warn,
            _ => Level::Info,
        }
    }

    /// What a plain line says of itself, if it does.
    pub fn of_text(text: &[u8]) -> Option<Level> {
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
        b'I' | b'W' | b'E' | b'F' if klog(text) => Level::from_name(&text[..1]),
        b'T' if text.starts_with(b"Traceback (most recent call last)") => Some(Level::Error),
        b'E' if text.starts_with(b"Exception in thread ") => Some(Level::Error),
        b'C' if text.starts_with(b"Caused by: ") => Some(Level::Error),
        b'U' if text.starts_with(b"Uncaught ") || text.starts_with(b"Unhandled ") => Some(Level::Error),
        // PHP: ends a request.
        b'P' if text.starts_with(b"PHP Fatal error: ") => Some(Level::Error),
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
fn klog(text: &[u8]) -> bool {
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
    if !name.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'$')) {
        return None;
    }
    let last = name.iter().rposition(|b| *b == b'.').map_or(name, |dot| &name[dot + 1..]);
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Level::*, *};

    fn check(table: &[(&str, Option<Level>)]) {
        let wrong: Vec<_> = table
            .iter()
            .map(|(text, expected)| (text, *expected, Level::of_text(text.as_bytes())))
            .filter(|(_, expected, got)| expected != got)
            .collect();
        assert!(wrong.is_empty(), "text, expected, got: {wrong:#?}");
    }

    #[test]
    fn levels_are_ordered_and_know_their_own_names() {
        assert!(Level::ALL.is_sorted());
        for level in Level::ALL {
            assert_eq!(Level::from_name(level.as_str().as_bytes()), Some(level));
            assert_eq!(Level::ALL[level as usize], level);
        }
    }

    #[test]
    fn every_dialects_name_is_known_in_either_case() {
        for (level, names) in [
            (Trace, "trace TRC trce Verbose VRB finest FINER T V TRACE2"),
            (Debug, "debug DBG dbug Debug FINE config D DEBUG5 D1"),
            (Info, "info INF Information informational NOTICE note log success I INFO4"),
            (Warn, "warn WARNING wrn Warning W WARN3"),
            (Error, "error ERR Severe fail E ERROR2"),
            (Fatal, "fatal FTL critical CRIT panic PNC dpanic emerg EMERGENCY alert F C FATAL4"),
        ] {
            for name in names.split(' ') {
                assert_eq!(Level::from_name(name.as_bytes()), Some(level), "{name}");
                assert_eq!(Level::from_name(name.to_lowercase().as_bytes()), Some(level), "{name}");
                assert_eq!(Level::from_name(format!("{name}  ").as_bytes()), Some(level), "{name}, padded");
            }
        }
        for name in [
            "",
            " ",
            "errors",
            "terror",
            "error_count",
            "err1",
            "error9",
            "alert3",
            "30",
            "ok",
            "off",
            "informationally",
        ] {
            assert_eq!(Level::from_name(name.as_bytes()), None, "{name}");
        }
    }

    #[test]
    fn every_dialects_number_is_known() {
        for (level, numbers) in [
            (Trace, &[10.0, 19.9, 5000.0, 9999.0][..]),
            (Debug, &[7.0, 20.0, 25.0, 10000.0]),
            (Info, &[5.0, 6.0, 30.0, 35.0, 20000.0, 25000.0]),
            (Warn, &[4.0, 40.0, 30000.0]),
            (Error, &[3.0, 50.0, 59.0, 40000.0]),
            (Fatal, &[0.0, -0.0, 1.0, 2.0, 60.0]),
        ] {
            for n in numbers {
                assert_eq!(Level::from_number(*n), Some(level), "{n}");
            }
        }
        for n in [-1.0, 0.5, 8.0, 9.9, 61.0, 100.0, 200.0, 404.0, 4999.0, 40001.0, 1e18, f64::NAN, f64::INFINITY] {
            assert_eq!(Level::from_number(n), None, "{n}");
        }
    }

    #[test]
    fn a_status_is_as_bad_as_its_class() {
        for (status, level) in [
            (200, Info),
            (304, Info),
            (399, Info),
            (400, Warn),
            (499, Warn),
            (500, Error),
            (599, Error),
            (600, Info),
            (0, Info),
        ] {
            assert_eq!(Level::of_status(status), level, "{status}");
        }
    }

    #[test]
    fn the_labelled_plain_lines_read_as_labelled() {
        check(&[
            ("2025/10/01 08:13:24 [error] 29#29: *4827 open() \"/favicon.ico\" failed (2: No such file)", Some(Error)),
            ("2025/10/01 08:13:30 [warn] 29#29: *6760 a client request body is buffered", Some(Warn)),
            ("2025/10/01 08:13:32 [notice] 29#29: *6275 signal 3 (SIGQUIT) received, shutting down", Some(Info)),
            ("ERROR: could not connect to broker amqps://mq.internal:5671: connection refused", Some(Error)),
            ("2025-10-01 08:21:44,102 ERROR [worker-3] c.e.payments.Worker - settlement batch failed", Some(Error)),
            ("[2025-10-01 08:21:45 +0000] [7] [CRITICAL] WORKER TIMEOUT (pid:31)", Some(Fatal)),
            ("[2025-10-01 08:21:45 +0000] [31] [INFO] Worker exiting (pid: 31)", Some(Info)),
            ("level=error ts=2025-10-01T08:21:46.221Z caller=server.go:81 msg=\"shutdown failed\"", Some(Error)),
            ("npm ERR! code ELIFECYCLE", Some(Error)),
            ("(node:1) [DEP0040] DeprecationWarning: The `punycode` module is deprecated.", Some(Warn)),
            ("\x1b[31mERROR\x1b[0m \x1b[2m2025-10-01T08:21:50\x1b[0m orders: lookup failed", Some(Error)),
            ("\x1b[32m INFO\x1b[0m orders: 0 errors, 0 failures in last batch", Some(Info)),
            ("E, [2025-10-01T08:21:52.004321 #1] ERROR -- : [3f2a] ActiveRecord::Deadlocked", Some(Error)),
            ("I1001 08:21:53.118202       1 leaderelection.go:258] successfully acquired lease", Some(Info)),
            ("F1001 08:21:54.000187       1 main.go:77] failed to start: listen tcp :8080", Some(Fatal)),
            ("FATAL:  password authentication failed for user \"report\"", Some(Fatal)),
            ("2025-10-01 08:21:56.441 UTC [88] LOG:  checkpoint complete: wrote 41 buffers", Some(Info)),
            ("Error rate is within limits (0 of 12000)", None),
            ("Killed", Some(Error)),
            ("thread 'tokio-runtime-worker' panicked at src/intake.rs:88:41:", Some(Error)),
            ("Résumé reçu — 3 pièces jointes 📎 traitées", None),
            ("", None),
            ("done\r", None),
            ("Hello Shell World!", None),
            ("\t indented output with tab and \"quotes\" and \\backslash\\", None),
            ("WARN cache miss storm on shard 3", Some(Warn)),
            ("java.lang.OutOfMemoryError: Java heap space", Some(Error)),
            ("DEBUG dump xxxxxxxx", Some(Debug)),
            ("process ended without a newline", None),
            ("GET /healthz 200 1ms", None),
            ("docker json-file line\n", None),
            ("ERROR boot failed: missing DATABASE_URL", Some(Error)),
            ("first half of a cut CRI line", None),
            ("ERROR:billing.tasks:charge_subscription[5e0f] raised", Some(Error)),
            ("Traceback (most recent call last):", Some(Error)),
            ("KeyError: 'id'", Some(Error)),
            ("java.lang.IllegalStateException: settlement batch 8813 already closed", Some(Error)),
            ("Caused by: org.postgresql.util.PSQLException: ERROR: duplicate key value", Some(Error)),
            ("TypeError: Cannot read properties of undefined (reading 'sku')", Some(Error)),
            ("/app/dist/a.js:64\n    throw new TypeError(\"x\");\n    ^\n\nTypeError: x\n    at b", Some(Error)),
        ]);
    }

    #[test]
    fn lines_that_only_continue_a_trace_say_nothing_alone() {
        check(&[
            ("  File \"/app/billing/gateway.py\", line 41, in charge", None),
            ("    raise ChargeFailed(sub.id) from exc", None),
            ("\tat com.example.payments.Settlement.close(Settlement.java:142)", None),
            ("\t... 27 common frames omitted", None),
            ("    throw new TypeError(\"Cannot read properties\");", None),
            ("goroutine 118 [running]:", None),
            ("[signal SIGSEGV: segmentation violation code=0x1 addr=0x18 pc=0x6b2f41]", None),
            ("called `Option::unwrap()` on a `None` value", None),
        ]);
    }

    #[test]
    fn other_loggers_heads_are_read() {
        check(&[
            // A process that ends itself.
            ("panic: runtime error: invalid memory address or nil pointer dereference", Some(Fatal)),
            ("fatal error: all goroutines are asleep - deadlock!", Some(Fatal)),
            ("2019/01/15 07:48:05 http: panic serving [::1]:54143: test panic", Some(Error)),
            ("thread 'main' (4711) panicked at src/main.rs:1:2:", Some(Error)),
            ("Exception in thread \"main\" java.lang.NullPointerException", Some(Error)),
            ("java.lang.NullPointerException", Some(Error)),
            ("Uncaught TypeError: x is not a function", Some(Error)),
            ("PHP Fatal error:  Uncaught exception 'Exception'", Some(Error)),
            ("PHP Warning:  Undefined variable $a", Some(Warn)),
            // syslog, systemd, syslog's files
            ("<3>disk failed", Some(Error)),
            ("<27>1 2025-10-01T08:12:03Z host app - - - down", Some(Error)),
            ("<30>Oct  1 08:12:03 host app: up", Some(Info)),
            ("<0>x", Some(Fatal)),
            ("<192>x", None),
            ("<b>3</b>", None),
            ("Dec 10 07:51:15 LabSZ sshd[24324]: error: Received disconnect", Some(Error)),
            ("Jul 25 23:23:13 combo xinetd[26482]: warning: can't get client address", Some(Warn)),
            // klog
            ("E0101 12:00:00.000000       1 a.go:1] boom", Some(Error)),
            ("W0517 15:04:22.619751    2452992 logging_unittest.cc:263] x", Some(Warn)),
            ("E1101: Instance has no member", None),
            // logfmt
            ("time=\"2021-09-15T21:17:10Z\" level=warning msg=\"x\"", Some(Warn)),
            ("logger=settings t=2025-04-24T19:51:48Z level=info msg=\"error\"", Some(Info)),
            ("msg=\"level=error\" level=debug", Some(Debug)),
            ("time=2025-10-01T08:12:03Z level=ERROR msg=x", Some(Error)),
            ("severity=\"CRITICAL\" a=b", Some(Fatal)),
            // Stamp, then level, in many punctuations.
            ("2025-10-01T08:12:03.123Z\terror\tqueue_sender.go:128\tExporting failed.", Some(Error)),
            ("2025-10-01 08:12:03.123 | WARNING  | mod:fn:1 - slow", Some(Warn)),
            ("2025-10-01 08:12:03.1234|ERROR|Logger|x", Some(Error)),
            ("10:22:40,672:DEBUG:foo bar", Some(Debug)),
            ("2025-10-01 10:22:40,672:TRACE:foo bar", Some(Trace)),
            ("2025-10-01 08:12:03,123 - my.module - ERROR - x", Some(Error)),
            ("2025-10-01 08:12:03,123 my.module WARNING x", Some(Warn)),
            ("2025-10-01 08:12:03,123 1 CRITICAL db odoo.http: x", Some(Fatal)),
            ("2025-10-01T08:12:03.123Z  WARN app::db: slow", Some(Warn)),
            ("08:12:03.123 [main] ERROR c.e.Foo - x", Some(Error)),
            ("08:12:03.123 [error] GenServer terminating", Some(Error)),
            ("8:12AM ERR x error=\"y\"", Some(Error)),
            ("[08:12:03 ERR] x", Some(Error)),
            ("[08:12:03 INF] error handling enabled", Some(Info)),
            ("[2025-10-01 08:12:03,123: ERROR/MainProcess] Task x raised", Some(Error)),
            ("[2025-10-01T08:12:03Z WARN  my_crate] x", Some(Warn)),
            ("[2025-10-01 08:12:03.123][1][warning][main] x", Some(Warn)),
            ("[Sun Dec 04 04:47:44.123456 2005] [core:error] [pid 1] x", Some(Error)),
            ("[2025-10-01 08:12:03] local.ERROR: x", Some(Error)),
            ("[Nest] 12  - 10/01/2025, 8:12:03 AM   ERROR [X] y", Some(Error)),
            ("2020-08-06T14:25:02.835618Z 0 [Warning] [MY-010068] [Server] x", Some(Warn)),
            ("2025-08-13 01:46:12.212 PDT [12389] ERROR:  relation does not exist", Some(Error)),
            ("2025-08-13 01:46:12.212 PDT [12389] STATEMENT:  select 'ERROR: x'", None),
            ("- 1117838570 2005.06.03 R02 2005-06-03-15.42.50.675872 R02 RAS KERNEL FATAL x", Some(Fatal)),
            ("081109 214043 2561 WARN dfs.DataNode: Got exception", Some(Warn)),
            ("web-1  | WARNING: This is a development server.", Some(Warn)),
            ("2025-10-01T08:30:01.118202945Z stderr F WARN x", Some(Warn)),
            ("2025-10-01T08:30:01.118202945Z stderr F x", None),
            ("2025-10-01 08:12:03 error Failed to connect", Some(Error)),
            ("2025/10/01 08:12:03 error reading config: EOF", Some(Error)),
            // Level first.
            ("INFO:     127.0.0.1:5000 - \"GET / HTTP/1.1\" 500", Some(Info)),
            ("SEVERE: Servlet threw", Some(Error)),
            ("fail: Microsoft.AspNetCore.Server.Kestrel[13]", Some(Error)),
            ("crit: Microsoft.AspNetCore[6]", Some(Fatal)),
            ("warning: unused variable", Some(Warn)),
            ("error[E0433]: failed to resolve", Some(Error)),
            ("error Command failed with exit code 1.", Some(Error)),
            ("Error: connect ECONNREFUSED 127.0.0.1:5432", Some(Error)),
            ("(CRITICAL) disk", Some(Fatal)),
            ("[E] x", Some(Error)),
            ("*** WARNING *** x", Some(Warn)),
            ("\x1b[31merror\x1b[39m: x", Some(Error)),
            ("[\x1b[31mERROR\x1b[0m] x", Some(Error)),
            ("\x1b[33mwarn\x1b[39m \x1b[2mfoo", Some(Warn)),
            ("\n\nERROR x", Some(Error)),
            ("batch failed\nTraceback (most recent call last):\n  File", Some(Error)),
        ]);
    }

    #[test]
    fn a_message_about_errors_is_not_an_error() {
        check(&[
            ("errors=0", None),
            ("error_count=0 level_reached=error", None),
            ("error=0 warnings=0", None),
            ("no errors", None),
            ("No ERROR found", None),
            ("0 failed", None),
            ("0 ERROR lines", None),
            ("finished: 0 errors", None),
            ("errors: 0", None),
            ("error: none", None),
            ("2025-10-01 08:12:03 error: null", None),
            ("terror", None),
            ("TERROR in the streets", None),
            ("ERRORS are counted", None),
            ("ERROR_COUNT=3", None),
            ("/error.html", None),
            ("GET /errors 200", None),
            ("TRACE /errors 405", None),
            ("\"GET /error HTTP/1.1\" 200", None),
            ("2025-10-01 08:12:03 GET /errors", None),
            ("INFO 2025 error handling enabled", Some(Info)),
            ("2025-10-01 08:12:03 INFO app - ERROR queue drained", Some(Info)),
            ("2025-10-01 08:12:03 error rate is within limits", None),
            ("2025-10-01 08:12:03 error handling enabled", None),
            ("Error handling is on", None),
            ("set log level=error for module x", None),
            ("log level set to ERROR", None),
            ("the job reported an ERROR", None),
            ("connection (error) reset", None),
            ("stderr closed", None),
            ("error::Kind is an enum", None),
            ("debug mode on", None),
            ("{\"level\":\"error\"}", None),
            ("ALERT the team about this", None),
            ("fine: all is well", None),
            ("config: loaded", None),
            ("log: opened", None),
            ("http://host/error: refused", None),
            ("[http://host/error] fetched", None),
            ("TypeErrors are rare", None),
            ("KeyError handling tested", None),
        ]);
    }

    #[test]
    fn only_the_head_is_read() {
        let late = format!("{} ERROR x", "-".repeat(HEAD));
        assert_eq!(Level::of_text(late.as_bytes()), None);
        // The head ends within the word.
        for cut in 1..12 {
            let text = format!("{}information is not a level here", "-".repeat(HEAD - cut));
            assert_eq!(Level::of_text(text.as_bytes()), None, "{cut}");
        }
        let long = format!("ERROR {}", "x".repeat(1 << 20));
        assert_eq!(Level::of_text(long.as_bytes()), Some(Error));
    }

    proptest! {
        #[test]
        fn a_level_leads_a_line_in_every_usual_dress(
            level in proptest::sample::select(&Level::ALL[..]),
            stamp in "|2025-10-01T08:12:03\\.[0-9]{3}Z |2025/10/01 08:12:03 |\\[2025-10-01 08:12:03,123\\] |08:12:03 ",
            dress in 0_usize..6,
            message in "[ -~]{0,200}",
        ) {
            let upper = level.as_str().to_uppercase();
            let dressed = [
                format!("[{}]", level.as_str()),
                format!("[{upper}]"),
                format!("{upper}:"),
                format!("\x1b[31m{upper}\x1b[0m"),
                format!("| {upper} |"),
                format!("level={}", level.as_str()),
            ];
            let text = format!("{stamp}{} m{message}", dressed[dress]);
            prop_assert_eq!(Level::of_text(text.as_bytes()), Some(level), "{}", text);
        }

        #[test]
        fn what_follows_the_head_changes_nothing(
            head in "[ -~\x1b\n]{160,170}",
            one in proptest::collection::vec(any::<u8>(), 1..20),
            two in proptest::collection::vec(any::<u8>(), 1..20),
        ) {
            let (mut a, mut b) = (head.clone().into_bytes(), head.into_bytes());
            a.truncate(HEAD);
            b.truncate(HEAD);
            a.extend(one);
            b.extend(two);
            prop_assert_eq!(Level::of_text(&a), Level::of_text(&b));
        }

        #[test]
        fn no_input_panics(text in proptest::collection::vec(any::<u8>(), 0..200), n in any::<f64>()) {
            Level::of_text(&text);
            Level::from_name(&text);
            Level::from_number(n);
        }

        #[test]
        fn nothing_nearly_a_head_panics(text in "([\\[\\]()|:=\"<>{}\\\\ \t\r\n\x1b,.-]|ERROR|error|E0101|level|T|0|12:34:56|é|m){0,60}") {
            Level::of_text(text.as_bytes());
        }
    }
}
