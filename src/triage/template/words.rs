//! Words that say what kind a message is, words that introduce a value, and units.
//!
//! A miner that takes every differing word for a value would hide a new error behind an old one. So words that
//! tell how something ended are never taken for values ([`alarm`]); words after which a name is usual
//! ([`introduces`]) make it quicker to believe in one.

/// Beginnings of words, lower case and sorted, that tell how something ended. A word that begins with one is never a
/// value.
const ALARMS: [&[u8]; 72] = [
    b"abnormal",
    b"abort",
    b"alert",
    b"broken",
    b"cancel",
    b"cannot",
    b"conflict",
    b"corrupt",
    b"crash",
    b"critical",
    b"deadline",
    b"deadlock",
    b"denied",
    b"deny",
    b"deprecat",
    b"disabled",
    b"disconnect",
    b"dropped",
    b"dropping",
    b"duplicate",
    b"emergency",
    b"enabled",
    b"error",
    b"evict",
    b"exceed",
    b"exception",
    b"exhaust",
    b"expir",
    b"fail",
    b"fatal",
    b"fault",
    b"forbid",
    b"illegal",
    b"incorrect",
    b"insufficient",
    b"interrupt",
    b"invalid",
    b"kill",
    b"lost",
    b"mismatch",
    b"missing",
    b"never",
    b"overflow",
    b"overload",
    b"panic",
    b"refus",
    b"reject",
    b"reset",
    b"segfault",
    b"segv",
    b"severe",
    b"shutdown",
    b"sigkill",
    b"sigsegv",
    b"stale",
    b"succeed",
    b"success",
    b"terminat",
    b"throttl",
    b"timed",
    b"timeout",
    b"unable",
    b"unauthor",
    b"unavailable",
    b"unexpected",
    b"unhealthy",
    b"unknown",
    b"unreachable",
    b"unrecogni",
    b"unsupported",
    b"violat",
    b"warn",
];

/// The same, but only as whole words: they are beginnings of harmless ones.
const ALARMS_WHOLE: [&[u8]; 16] = [
    b"crit",
    b"down",
    b"emerg",
    b"err",
    b"full",
    b"healthy",
    b"leak",
    b"no",
    b"none",
    b"not",
    b"ok",
    b"oom",
    b"ready",
    b"throwable",
    b"up",
    b"without",
];

/// Methods of HTTP: never values, though they stand where values do.
const METHODS: [&[u8]; 7] = [b"GET", b"POST", b"PUT", b"HEAD", b"DELETE", b"PATCH", b"OPTIONS"];

/// Nouns after which a name follows.
const NOUNS: [&[u8]; 27] = [
    b"account",
    b"bucket",
    b"client",
    b"container",
    b"customer",
    b"database",
    b"device",
    b"domain",
    b"file",
    b"group",
    b"host",
    b"hostname",
    b"id",
    b"login",
    b"name",
    b"named",
    b"namespace",
    b"node",
    b"partition",
    b"pod",
    b"queue",
    b"server",
    b"table",
    b"tenant",
    b"topic",
    b"user",
    b"username",
];

/// Prepositions after which a name is likely. "to" is none of them: "failed to open", "failed to read".
const PREPOSITIONS: [&[u8]; 5] = [b"at", b"by", b"for", b"from", b"on"];

/// Keys whose value says what happened, so that it is kept where it is a word.
const TELLING_KEYS: [&[u8]; 32] = [
    b"action",
    b"category",
    b"cause",
    b"class",
    b"code",
    b"condition",
    b"detail",
    b"details",
    b"err",
    b"errno",
    b"error",
    b"error_code",
    b"errors",
    b"event",
    b"exception",
    b"kind",
    b"level",
    b"lvl",
    b"message",
    b"method",
    b"msg",
    b"op",
    b"operation",
    b"outcome",
    b"phase",
    b"reason",
    b"result",
    b"severity",
    b"stage",
    b"state",
    b"status",
    b"type",
];

/// What may follow a beginning of four letters: more would be another word, or a name.
const ENDINGS: [&[u8]; 7] = [b"", b"s", b"ed", b"ing", b"ings", b"ure", b"ures"];

const UNITS: [&[u8]; 24] = [
    b"B", b"KB", b"MB", b"GB", b"TB", b"PB", b"kB", b"KiB", b"MiB", b"GiB", b"TiB", b"k", b"K", b"M", b"G", b"T",
    b"Hz", b"kHz", b"MHz", b"GHz", b"kb", b"mb", b"gb", b"bytes",
];

const TIME_UNITS: [&[u8]; 13] =
    [b"ns", b"us", "µs".as_bytes(), b"ms", b"s", b"m", b"h", b"d", b"sec", b"secs", b"seconds", b"min", b"mins"];

const MONTHS: [&[u8]; 12] =
    [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];

const DAYS: [&[u8]; 7] = [b"Mon", b"Tue", b"Wed", b"Thu", b"Fri", b"Sat", b"Sun"];

/// The longest word that is looked at, in bytes: no word of the lists is longer.
const LONGEST: usize = 24;

/// The first alarm word in `text`, as the list has it: a word between what is no letter, or a hump of camel case
/// (`IOException`, `read_timeout`, `NOT_FOUND`).
pub(super) fn alarm(text: &[u8]) -> Option<&'static [u8]> {
    if let Some(method) = METHODS.iter().find(|m| text.strip_prefix(b"\"").unwrap_or(text) == **m) {
        return Some(method);
    }
    let mut rest = text;
    while let Some(start) = rest.iter().position(u8::is_ascii_alphabetic) {
        rest = rest.get(start..).unwrap_or_default();
        let length = hump(rest);
        let (word, after) = rest.split_at(length.min(rest.len()));
        if let Some(found) = listed(word) {
            return Some(found);
        }
        rest = after;
    }
    None
}

/// The length of the hump that `text`, which begins with a letter, opens.
fn hump(text: &[u8]) -> usize {
    let upper = |i: usize| text.get(i).is_some_and(u8::is_ascii_uppercase);
    let lower = |i: usize| text.get(i).is_some_and(u8::is_ascii_lowercase);
    let mut end = 1;
    if upper(0) && upper(1) {
        // Capitals up to the one that opens the next hump: `IO` of `IOException`.
        while upper(end) && !lower(end + 1) {
            end += 1;
        }
        return end;
    }
    while lower(end) {
        end += 1;
    }
    end
}

fn listed(word: &[u8]) -> Option<&'static [u8]> {
    let mut lower = [0; LONGEST];
    let shown = word.get(..word.len().min(LONGEST)).unwrap_or_default();
    for (to, from) in lower.iter_mut().zip(shown) {
        *to = from.to_ascii_lowercase();
    }
    let lower = lower.get(..shown.len()).unwrap_or_default();
    let first = lower.first()?;
    let from = ALARMS.partition_point(|stem| stem.first() < Some(first));
    ALARMS
        .iter()
        .skip(from)
        .take_while(|stem| stem.first() == Some(first))
        .find(|stem| lower.strip_prefix(**stem).is_some_and(|rest| stem.len() > 4 || ENDINGS.contains(&rest)))
        .or_else(|| ALARMS_WHOLE.iter().find(|whole| **whole == lower))
        .copied()
}

/// How a word bears on the one after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Introduces {
    Nothing,
    /// A name is likely.
    Likely,
    /// A name is what must follow.
    Name,
}

pub(super) fn introduces(token: &[u8]) -> Introduces {
    let word = token.strip_suffix(b":").unwrap_or(token);
    if word.len() > LONGEST {
        return Introduces::Nothing;
    }
    let is = |w: &&[u8]| w.eq_ignore_ascii_case(word);
    if NOUNS.iter().any(is) {
        Introduces::Name
    } else if PREPOSITIONS.iter().any(is) {
        Introduces::Likely
    } else {
        Introduces::Nothing
    }
}

/// Whether the text that ends in `before` names a value that says what happened: `reason=`, `"error": `.
pub(super) fn tells(before: &[u8]) -> bool {
    let sign = |b: &u8| matches!(b, b'=' | b':' | b'"' | b'\'' | b' ' | b'\\');
    let end = before.iter().rposition(|b| !sign(b)).map_or(0, |i| i + 1);
    let key = before.get(..end).unwrap_or_default();
    let named = end < before.len() && before.get(end..).is_some_and(|s| s.iter().any(|b| matches!(b, b'=' | b':')));
    let start = key.iter().rposition(|b| !b.is_ascii_alphabetic() && *b != b'_').map_or(0, |i| i + 1);
    named && key.get(start..).is_some_and(|k| TELLING_KEYS.iter().any(|t| t.eq_ignore_ascii_case(k)))
}

pub(super) fn is_unit(word: &[u8]) -> bool {
    UNITS.contains(&word)
}

pub(super) fn is_time_unit(word: &[u8]) -> bool {
    TIME_UNITS.contains(&word)
}

pub(super) fn is_month(word: &[u8]) -> bool {
    MONTHS.contains(&word)
}

pub(super) fn is_day(word: &[u8]) -> bool {
    DAYS.contains(&word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_are_sorted_and_short_enough() {
        assert!(ALARMS.is_sorted());
        assert!(
            ALARMS.iter().chain(&ALARMS_WHOLE).chain(&NOUNS).chain(&TELLING_KEYS).all(|word| word.len() <= LONGEST)
        );
    }

    #[test]
    fn a_word_that_tells_how_it_ended_is_found_in_names_too() {
        for (text, found) in [
            ("java.io.IOException:", Some("exception")),
            ("read_timeout", Some("timeout")),
            ("NOT_FOUND", Some("not")),
            ("[ERROR]", Some("error")),
            ("OutOfMemoryError", Some("error")),
            ("failures;", Some("fail")),
            ("failover", None),
            ("killian", None),
            ("Disconnecting:", Some("disconnect")),
            ("\"GET", Some("GET")),
            ("get", None),
            ("downloads", None),
            ("default", None),
            ("notice", None),
            ("", None),
        ] {
            assert_eq!(alarm(text.as_bytes()), found.map(str::as_bytes), "{text}");
        }
    }

    #[test]
    fn keys_whose_value_tells_are_known_by_their_sign() {
        for (before, expected) in [
            ("reason=", true),
            ("x \"error\":\"", true),
            ("error: ", true),
            ("error ", false),
            ("terror=", false),
            ("", false),
        ] {
            assert_eq!(tells(before.as_bytes()), expected, "{before}");
        }
    }
}
