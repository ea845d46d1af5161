//! What a message says of how things are, by the words of failure in it, and what takes their meaning away.
//!
//! A word counts only where it is constant: in the message and in the template of its kind. `no error`, `errors=0`,
//! `without errors`, `error_rate`, `timeout=30s` name a failure and report none.

/// From best to worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Tone {
    Fine,
    /// Somebody was turned away: of interest in numbers only.
    Refusing,
    Failing,
    /// A process dies, or data is lost.
    Dying,
}

/// In lower case. `*` at the end: the word may go on.
const PHRASES: &[(Tone, &[&str])] = &[
    (
        Tone::Dying,
        &[
            "out of memory",
            "oom-kill*",
            "oomkill*",
            "oom killer",
            "outofmemory*",
            "cannot allocate memory",
            "heap limit",
            "no space left on device",
            "no space left",
            "disk full",
            "disk is full",
            "data loss",
            "lost data",
            "data lost",
            "lost writes",
            "data corruption",
            "corrupted data",
            "index corrupt*",
            "is corrupt*",
            "checksum mismatch",
            "split brain",
            "segmentation fault",
            "segfault",
            "sigsegv",
            "sigabrt",
            "core dumped",
            "kernel panic",
            "panic:",
            "panicked at",
            "stack overflow",
            "double free",
            "killed process",
            "fatal error",
            "exit code 137",
            "exited with code 137",
            "signal 9",
            "signal: killed",
        ],
    ),
    (
        Tone::Failing,
        &[
            "failed",
            "failure",
            "failures",
            "fails",
            "cannot",
            "can't",
            "could not",
            "couldn't",
            "unable to",
            "error",
            "errors",
            "err",
            "exception",
            "exceptions",
            "fatal",
            "refused",
            "timed out",
            "timeout",
            "timeouts",
            "time-out",
            "deadline exceeded",
            "connection reset",
            "reset by peer",
            "broken pipe",
            "connection lost",
            "lost connection",
            "connection closed",
            "unexpected eof",
            "deadlock",
            "deadlocked",
            "too many",
            "exhausted",
            "exceeded",
            "expired",
            "permission denied",
            "access denied",
            "read-only file system",
            "rate limit",
            "rate limited",
            "rate-limited",
            "throttled",
            "throttling",
            "backpressure",
            "unavailable",
            "unreachable",
            "unhealthy",
            "not responding",
            "no route to host",
            "name or service not known",
            "no such host",
            "nxdomain",
            "connection pool",
            "breaker is open",
            "circuit open",
            "dead letter",
            "rolled back",
            "crash",
            "crashed",
            "crashing",
            "crashloop*",
            "aborted",
            "aborting",
            "killed",
            "corrupt",
            "corrupted",
            "invalid certificate",
            "certificate verify",
            "handshake",
            "giving up",
            "gave up",
            "stalled",
            "overloaded",
        ],
    ),
    (
        Tone::Refusing,
        &[
            "unauthorized",
            "unauthorised",
            "forbidden",
            "authentication failed",
            "invalid password",
            "wrong password",
            "invalid credentials",
            "bad credentials",
            "login failed",
            "failed password",
            "failed login",
            "invalid token",
            "not authorized",
        ],
    ),
];

/// What only names something until a word of trouble stands beside it.
const NEEDS_TROUBLE: &[&str] = &["connection pool", "handshake", "expired", "rate limit"];
const TROUBLE: &[&str] = &[
    "exhaust",
    "exceed",
    "fail",
    "error",
    "refus",
    "abort",
    "timed out",
    "timeout",
    "is full",
    "certificate",
    "reached",
    "limited",
];

/// The trouble is over, or there was none.
const ALL_CLEAR: &[&str] = &[
    "retry succeeded",
    "succeeded after",
    "succeeded on retry",
    "recovered",
    "reconnected",
    "re-established",
    "reestablished",
    "is healthy again",
    "back online",
    "no longer",
    "resolved",
    "health check passed",
    "health check ok",
    "ended normally",
    "test passed",
];

/// In front of a word, within this many words, they take its meaning away.
const NEGATIONS: &[&str] = &[
    "no", "not", "without", "zero", "0", "never", "non", "none", "avoid", "avoids", "prevent", "prevents", "ignore",
    "ignoring", "if",
];
const NEGATION_REACH: usize = 2;

/// An `error` in front of one of them is part of its name.
const THINGS: &[&str] = &[
    "handler",
    "handlers",
    "handling",
    "log",
    "logs",
    "page",
    "pages",
    "rate",
    "rates",
    "reporting",
    "reporter",
    "tracking",
    "budget",
    "count",
    "counter",
    "level",
    "correction",
    "threshold",
];

/// A `timeout` behind one of them is being set.
const SETTING: &[&str] = &["set", "setting", "default", "using", "with", "configured", "a", "the", "idle", "max"];

/// Values that say that there is none.
const NOTHING: &[&str] = &["null", "none", "nil", "false", "no", "ok", "-", "undefined", "off", "success"];

/// Whose lines say that they look whether somebody lives.
const PROBERS: &[&str] = &["elb-healthchecker", "kube-probe", "googlehc"];

/// A message is cut to it; so is what is looked at.
const LOOKED_AT: usize = 1024;

/// The tone of a message of the kind that `template` stands for.
pub(super) fn tone(message: &str, template: &str) -> Tone {
    let head = |text: &str| text.split_at(text.floor_char_boundary(LOOKED_AT)).0.to_lowercase();
    let (message, constant) = (head(message), head(template));
    if PROBERS.iter().any(|prober| message.contains(prober)) {
        return Tone::Fine;
    }
    let is_over = ALL_CLEAR.iter().any(|clear| message.contains(clear) && constant.contains(clear));
    let refuses = says(&message, &constant, Tone::Refusing);
    if says(&message, &constant, Tone::Dying) {
        Tone::Dying
    } else if is_over {
        Tone::Fine
    } else if refuses {
        // `authentication failed` is no failure of ours.
        Tone::Refusing
    } else if says(&message, &constant, Tone::Failing) || names_an_exception(&message, &constant) {
        Tone::Failing
    } else {
        Tone::Fine
    }
}

fn says(message: &str, constant: &str, tone: Tone) -> bool {
    let phrases = PHRASES.iter().filter(|(of, _)| *of == tone).flat_map(|(_, phrases)| phrases.iter());
    phrases.into_iter().any(|phrase| {
        let (word, goes_on) = match phrase.strip_suffix('*') {
            Some(stem) => (stem, true),
            None => (*phrase, false),
        };
        // A number is a variable in every template.
        let is_constant = constant.contains(word) || word.bytes().any(|b| b.is_ascii_digit());
        let has_trouble = || !NEEDS_TROUBLE.contains(&word) || TROUBLE.iter().any(|trouble| message.contains(trouble));
        is_constant && occurrences(message, word).any(|at| is_meant(message, at, word, goes_on)) && has_trouble()
    })
}

fn occurrences<'t>(text: &'t str, word: &'t str) -> impl Iterator<Item = usize> + 't {
    text.match_indices(word).map(|(at, _)| at)
}

/// A whole word, not negated, and not a figure that is none.
fn is_meant(message: &str, at: usize, word: &str, goes_on: bool) -> bool {
    let (before, after) = (message.get(..at).unwrap_or_default(), message.get(at + word.len()..).unwrap_or_default());
    let joins = |c: char| c.is_alphanumeric() || c == '_' || c == '-' || c == '/';
    let begins =
        !before.ends_with(|c| joins(c) || c == '.' && !goes_on) || word.starts_with(|c: char| !c.is_alphanumeric());
    let is_cut_off = after.strip_prefix('.').unwrap_or(after).starts_with(joins);
    let ends = goes_on || word.ends_with(':') || !is_cut_off;
    begins && ends && !is_negated(before) && !is_a_name(word, before, after) && !is_none(after)
}

/// `no error`, `without any errors`, `0 failures`. A clause ends what came before it.
fn is_negated(before: &str) -> bool {
    let clause = before.rsplit([',', ';', '.', ':', '(', '|']).next().unwrap_or_default();
    clause.split_whitespace().rev().take(NEGATION_REACH).any(|word| NEGATIONS.contains(&word))
}

/// `error handler`, `timeout=30s`, `a timeout of 30 s`: something that is there for when it is needed.
fn is_a_name(word: &str, before: &str, after: &str) -> bool {
    let next = after.trim_start().split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
    match word {
        "error" | "errors" | "exception" | "failure" => after.starts_with(' ') && THINGS.contains(&next),
        "timeout" | "timeouts" => {
            let value = after.trim_start_matches(['=', ':', ' ', '"', '\'', '\\']);
            let last = before.split_whitespace().next_back().unwrap_or_default();
            next == "of" || value.starts_with(|c: char| c.is_ascii_digit()) || SETTING.contains(&last)
        }
        _ => false,
    }
}

/// `errors=0`, `"error": null`, `failed: 0.00`. A word that a sentence follows is one of the sentence: `error: no route`.
fn is_none(after: &str) -> bool {
    let quotes = ['"', '\'', '\\'];
    let rest = after.trim_start_matches(quotes).trim_start();
    let Some((separator, value)) = rest.split_at_checked(1).filter(|(separator, _)| ["=", ":"].contains(separator))
    else {
        return false;
    };
    let value = if separator == ":" { value.trim_start() } else { value };
    let value = value.trim_start_matches(|c: char| c == '[' || quotes.contains(&c));
    let end = value.find(|c: char| !(c.is_alphanumeric() || c == '.' || c == '-')).unwrap_or(value.len());
    let (value, behind) = value.split_at(end);
    let is_whole = !behind.starts_with(' ') || separator == "=";
    let is_nothing = match value {
        "" => {
            behind.starts_with([',', '}', ']', ';', '&'])
                || separator == "=" && (behind.is_empty() || behind.starts_with(' '))
        }
        word => NOTHING.contains(&word),
    };
    is_whole && is_nothing || value.trim_end_matches('.').parse::<f64>() == Ok(0.0)
}

/// `TimeoutError`, `java.net.ConnectException`: one word, however it is written.
fn names_an_exception(message: &str, constant: &str) -> bool {
    let ends = |word: &str| {
        let word = word.trim_end_matches([':', ',', '.', ')', ']', '"', '\'']);
        let stem = word.strip_suffix("exception").or_else(|| word.strip_suffix("error"));
        // `on_error` and `last-error` are names of handlers and fields.
        stem.is_some_and(|stem| stem.ends_with(char::is_alphanumeric)) && constant.contains(word)
    };
    message.split_whitespace().any(|word| !word.contains(['=', '/']) && ends(word))
}
