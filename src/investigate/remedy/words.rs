//! Whether a log line says what an operator's words of a cure say.
//!
//! Every word of the cure that means something must stand in the line, close together, and in what was quoted of it.
//! Words are compared without their endings (`leaks`, `leaked`); `ConnectionRefusedError` is a word of its own, and the
//! three that it is made of. A cure whose words could be about anything (`error`, `failed`, `5xx`) fits nothing.

use std::collections::HashSet;

/// They mean nothing by themselves.
const SMALL: [&str; 22] = [
    "a", "an", "the", "of", "to", "in", "on", "for", "is", "are", "was", "were", "and", "or", "when", "with", "by",
    "has", "have", "from", "at", "its",
];

/// Any fault is one of them: a cure needs one word more.
const VAGUE: [&str; 41] = [
    "error",
    "fail",
    "failure",
    "exception",
    "fatal",
    "critical",
    "warn",
    "warning",
    "problem",
    "issue",
    "fault",
    "trouble",
    "bug",
    "outage",
    "incident",
    "alert",
    "down",
    "slow",
    "broken",
    "unhealthy",
    "unavailable",
    "internal",
    "server",
    "service",
    "app",
    "application",
    "request",
    "response",
    "status",
    "http",
    "https",
    "code",
    "500",
    "502",
    "503",
    "504",
    "5xx",
    "crash",
    "high",
    "rate",
    "spike",
];

/// The trouble is over, or there is none.
const ALL_CLEAR: [&str; 7] =
    ["no longer", "recovered", "reconnected", "re-established", "resolved", "succeeded", "healthy again"];

/// Directly before a word of the cure they take its meaning away.
const NEGATIONS: [&str; 5] = ["not", "never", "without", "isn", "wasn"];

/// Words that may stand between those of a cure.
const BETWEEN: usize = 6;
/// Of a line: longer ones are not looked at further.
const LOOKED_AT: usize = 2048;

/// `said`: what a service said; `quote`: what was quoted of its line.
pub fn fits(cure: &str, said: &str, quote: &str) -> bool {
    let wanted = meaning(cure);
    if wanted.is_empty() || wanted.iter().all(|word| is_vague(word)) {
        return false;
    }
    let quoted: HashSet<String> = tokens(quote).into_iter().flatten().collect();
    if !wanted.iter().all(|word| quoted.contains(word)) {
        return false;
    }
    let said = said.split_at(said.floor_char_boundary(LOOKED_AT)).0;
    said.lines().any(|line| !is_over(line) && stand_together(&wanted, &tokens(line)))
}

/// Whether a cure is the label of a watch.
pub fn is_label(cure: &str, label: &str) -> bool {
    cure.trim().eq_ignore_ascii_case(label)
}

fn is_vague(word: &str) -> bool {
    VAGUE.iter().any(|vague| stem(vague) == word)
}

/// Whether a line tells of the end of some trouble.
pub fn is_over(line: &str) -> bool {
    let line = line.to_lowercase();
    ALL_CLEAR.iter().any(|clear| line.contains(clear))
}

/// The words of a cure that count, each once.
fn meaning(cure: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for word in split(cure).map(|word| stem(&word.to_lowercase())) {
        if !SMALL.contains(&word.as_str()) && !words.contains(&word) {
            words.push(word);
        }
    }
    words
}

fn split(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty())
}

/// For each word of a text what it can be taken for.
fn tokens(text: &str) -> Vec<Vec<String>> {
    split(text)
        .map(|word| {
            let mut forms = vec![stem(&word.to_lowercase())];
            forms.extend(humps(word).into_iter().map(|part| stem(&part.to_lowercase())));
            forms
        })
        .collect()
}

/// `ConnectionRefusedError`: Connection, Refused, Error. A word of one hump has none.
fn humps(word: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut from = 0;
    let mut before_is_lower = false;
    for (at, c) in word.char_indices() {
        if c.is_uppercase() && before_is_lower {
            parts.extend(word.get(from..at));
            from = at;
        }
        before_is_lower = c.is_lowercase() || c.is_numeric();
    }
    if from > 0 {
        parts.extend(word.get(from..));
    }
    parts
}

/// Without its ending, if enough is left: `leaked`, `leaks`, `leaking` are `leak`.
fn stem(word: &str) -> String {
    let cut = ["ing", "ed", "es", "s", "e"].iter().find_map(|end| {
        let stem = word.strip_suffix(end)?;
        (stem.chars().count() >= 4 && !(*end == "s" && stem.ends_with('s'))).then_some(stem)
    });
    cut.unwrap_or(word).to_owned()
}

/// All of `wanted` within a run of words not much longer.
fn stand_together(wanted: &[String], tokens: &[Vec<String>]) -> bool {
    let reach = wanted.len() + BETWEEN;
    let is_one = |forms: &Vec<String>| forms.iter().any(|form| wanted.contains(form));
    (0..tokens.len()).any(|from| {
        let run = tokens.get(from..(from + reach).min(tokens.len())).unwrap_or_default();
        run.first().is_some_and(is_one)
            && wanted.iter().all(|word| run.iter().any(|forms| forms.contains(word)))
            && !tokens.get(from.saturating_sub(1)..).is_some_and(|run| {
                run.windows(2).take(reach).any(|two| match two {
                    [before, word] => {
                        is_one(word) && !is_one(before) && before.iter().any(|b| NEGATIONS.contains(&b.as_str()))
                    }
                    _ => false,
                })
            })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cure_fits_a_line_that_says_all_of_it_close_together() {
        for (cure, said, fits_it) in [
            ("connection pool exhausted", "Connection pool exhausted: 20 of 20 in use", true),
            ("the connection pool is exhausted", "pool exhausted, no connections left after 30 s", true),
            ("leaked connections", "connection leak detected by HikariPool-1", true),
            ("ConnectionRefusedError", "ConnectionRefusedError: Unable to connect to database", true),
            ("connection refused", "ConnectionRefusedError: Unable to connect to database", true),
            ("ConnectionRefusedError", "connect: connection refused", false),
            ("connection pool exhausted", "disk exhausted", false),
            ("connection pool exhausted", "the pool of connections is no longer exhausted", false),
            ("pool exhausted", "the pool is not exhausted, retrying", false),
            ("database not reachable", "database is not reachable", true),
            ("connection pool exhausted", "connection pool recovered, was exhausted for 3 s", false),
            (
                "connection pool exhausted",
                "connection from pool.ntp.org closed by peer while we slept; quota of the disk exhausted",
                false,
            ),
            ("out of memory", "java.lang.OutOfMemoryError: Java heap space", true),
            ("OutOfMemoryError", "java.lang.OutOfMemoryError: Java heap space", true),
            ("deadlock", "Deadlocked for 3 s", true),
            // The first of the seeds: any word like it restarted anything.
            ("error", "error: anything", false),
            ("service failed", "the service failed", false),
            ("5xx errors", "5xx errors", false),
            ("500", "500", false),
            ("", "anything", false),
            ("the", "the", false),
        ] {
            assert_eq!(fits(cure, said, said), fits_it, "{cure:?} in {said:?}");
        }
    }

    #[test]
    fn what_was_not_quoted_speaks_for_nothing() {
        let said = "connection pool exhausted";
        assert!(fits("pool exhausted", said, "pool exhausted"));
        assert!(!fits("pool exhausted", said, "connection"));
        assert!(!fits("pool exhausted", "another line", said));
    }

    #[test]
    fn a_cure_may_be_the_label_of_a_watch() {
        assert!(is_label("HTTP_5xx_spike ", "http_5xx_spike") && !is_label("http_5xx", "http_5xx_spike"));
    }

    #[test]
    fn a_long_line_is_read_in_time_that_grows_with_it_alone() {
        let cure = vec!["word"; 40].join(" pool ");
        assert!(!fits(&cure, &"pool ".repeat(100_000), &"pool ".repeat(1000)));
    }
}
