//! What a triager did, and the tables of it.

use std::collections::BTreeMap;
use std::fmt::Write;

use emberwatch::triage::What;

#[derive(Debug, Default)]
pub(crate) struct Score {
    /// Seconds of each question, a second try included.
    seconds: Vec<f64>,
    first: u64,
    second: u64,
    invalid: u64,
    calls: u64,
    failed: BTreeMap<&'static str, u64>,
    sent: u64,
    received: u64,
    /// Cases by what was wanted and what was said; the last column is nothing.
    said: [[u64; 4]; 3],
    accepted: u64,
    refused: BTreeMap<&'static str, u64>,
    not_believed: u64,
    fits: BTreeMap<Fit, u64>,
}

/// How a watch does on lines that it was not made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fit {
    Fits,
    /// It misses lines of its kind.
    TooNarrow,
    /// It matches lines that are none of its kind.
    TooWide,
}

impl Fit {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Fit::Fits => "fits",
            Fit::TooNarrow => "misses lines of its kind",
            Fit::TooWide => "matches lines of another kind",
        }
    }
}

impl Score {
    /// A question that is over; `unreadable`: replies to it that could not be used. Its failures are told before it.
    pub(crate) fn question(&mut self, answered: bool, unreadable: u64, seconds: f64) {
        self.seconds.push(seconds);
        self.calls += unreadable;
        match (answered, unreadable) {
            (true, 0) => self.first += 1,
            (true, _) => self.second += 1,
            (false, 0) => {}
            (false, _) => self.invalid += 1,
        }
        self.calls += u64::from(answered);
    }

    /// A call without a reply.
    pub(crate) fn failed(&mut self, why: &'static str) {
        self.calls += 1;
        *self.failed.entry(why).or_default() += 1;
    }

    pub(crate) fn tokens(&mut self, sent: u64, received: u64) {
        self.sent += sent;
        self.received += received;
    }

    pub(crate) fn accepted(&mut self) {
        self.accepted += 1;
    }

    pub(crate) fn refused(&mut self, why: &'static str) {
        *self.refused.entry(why).or_default() += 1;
    }

    /// An `ignore` of what lies above the floor.
    pub(crate) fn not_believed(&mut self) {
        self.not_believed += 1;
    }

    pub(crate) fn case(&mut self, want: What, said: Option<What>, fit: Option<Fit>) {
        let place = |what: What| match what {
            What::Ignore => 0,
            What::Watch => 1,
            What::Investigate => 2,
        };
        if let Some(count) = self.said.get_mut(place(want)).and_then(|row| row.get_mut(said.map_or(3, place))) {
            *count += 1;
        }
        if let Some(fit) = fit {
            *self.fits.entry(fit).or_default() += 1;
        }
    }

    /// Whether anybody answered, in whatever way, or nobody had to.
    pub(crate) fn could_be_asked(&self) -> bool {
        let away: u64 = ["unreachable", "refused", "busy"].iter().filter_map(|why| self.failed.get(why)).sum();
        self.calls == 0 || away < self.calls
    }

    fn fits(&self, fit: Fit) -> u64 {
        self.fits.get(&fit).copied().unwrap_or_default()
    }
}

/// Three tables, a row for each triager.
pub(crate) fn tables(scores: &[(String, Score)]) -> String {
    let replies = scores.iter().filter(|(_, score)| score.calls > 0).map(|(name, score)| {
        let Score { first, second, invalid, calls, sent, received, .. } = score;
        let failed = listed(&score.failed);
        let (median, p95) = (quantile(&score.seconds, 0.5), quantile(&score.seconds, 0.95));
        let questions = score.seconds.len();
        format!(
            "{name} | {questions} | {calls} | {first} | {second} | {invalid} | {failed} | {median:.1} | {p95:.1} | {sent} | {received}"
        )
    });
    let agreement = scores.iter().map(|(name, score)| {
        let row = |at: usize| score.said.get(at).copied().unwrap_or_default();
        let right = |at: usize| row(at).get(at).copied().unwrap_or_default();
        let of = |at: usize| format!("{} of {}", right(at), row(at).iter().sum::<u64>());
        let unsaid: u64 = score.said.iter().filter_map(|row| row.last()).sum();
        let (all_right, all) = ((0..3).map(right).sum::<u64>(), score.said.iter().flatten().sum::<u64>());
        format!("{name} | {} | {} | {} | {all_right} of {all} | {unsaid}", of(0), of(1), of(2))
    });
    let watches = scores.iter().map(|(name, score)| {
        let [fits, narrow, wide] = [Fit::Fits, Fit::TooNarrow, Fit::TooWide].map(|fit| score.fits(fit));
        let (accepted, refused, floor) = (score.accepted, listed(&score.refused), score.not_believed);
        format!("{name} | {accepted} | {refused} | {fits} | {narrow} | {wide} | {floor}")
    });
    let mut out = String::new();
    table(
        &mut out,
        "replies | questions | calls | good at first | after a second try | unreadable | failed | s a question, median | p95 | tokens sent | received",
        replies.collect(),
    );
    table(&mut out, "agreement | ignore | watch | investigate | all | not judged", agreement.collect());
    table(
        &mut out,
        "watches | accepted | refused | fit | miss lines of their kind | match others | ignores not believed",
        watches.collect(),
    );
    out
}

fn table(out: &mut String, head: &str, rows: Vec<String>) {
    if rows.is_empty() {
        return;
    }
    let rule = vec!["---"; head.split(" | ").count()].join(" | ");
    for line in [head.to_owned(), rule].into_iter().chain(rows) {
        // Writing to a text cannot fail.
        writeln!(out, "| {line} |").unwrap_or_default();
    }
    out.push('\n');
}

/// `3: invalid 2, too_broad 1`.
fn listed(counts: &BTreeMap<&'static str, u64>) -> String {
    let each: Vec<String> = counts.iter().map(|(name, count)| format!("{name} {count}")).collect();
    match each.is_empty() {
        true => "0".to_owned(),
        false => format!("{}: {}", counts.values().sum::<u64>(), each.join(", ")),
    }
}

/// The least of which so large a share is no larger; 0 of none.
fn quantile(of: &[f64], share: f64) -> f64 {
    let mut sorted = of.to_vec();
    sorted.sort_by(f64::total_cmp);
    let place = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(place.saturating_sub(1)).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_say_what_was_counted() {
        let mut model = Score::default();
        model.question(true, 0, 4.0);
        model.question(true, 1, 9.0);
        model.question(false, 2, 8.0);
        model.failed("cut_short");
        model.question(false, 0, 20.0);
        model.failed("timed_out");
        model.question(false, 1, 30.0);
        model.tokens(5_000, 300);
        for (want, said, fit) in [
            (What::Ignore, Some(What::Ignore), None),
            (What::Ignore, Some(What::Investigate), None),
            (What::Watch, Some(What::Watch), Some(Fit::Fits)),
            (What::Watch, Some(What::Watch), Some(Fit::TooWide)),
            (What::Watch, Some(What::Watch), Some(Fit::TooNarrow)),
            (What::Watch, None, None),
            (What::Investigate, Some(What::Ignore), None),
        ] {
            model.case(want, said, fit);
        }
        for _ in 0..3 {
            model.accepted();
        }
        model.refused("matches_none");
        model.refused("invalid");
        model.refused("invalid");
        model.not_believed();
        let mut builtin = Score::default();
        builtin.case(What::Ignore, Some(What::Ignore), None);
        insta::assert_snapshot!(tables(&[("built-in".to_owned(), builtin), ("mine".to_owned(), model)]), @r"
        | replies | questions | calls | good at first | after a second try | unreadable | failed | s a question, median | p95 | tokens sent | received |
        | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |
        | mine | 5 | 8 | 1 | 1 | 2 | 2: cut_short 1, timed_out 1 | 9.0 | 30.0 | 5000 | 300 |

        | agreement | ignore | watch | investigate | all | not judged |
        | --- | --- | --- | --- | --- | --- |
        | built-in | 1 of 1 | 0 of 0 | 0 of 0 | 1 of 1 | 0 |
        | mine | 1 of 2 | 3 of 4 | 0 of 1 | 4 of 7 | 1 |

        | watches | accepted | refused | fit | miss lines of their kind | match others | ignores not believed |
        | --- | --- | --- | --- | --- | --- | --- |
        | built-in | 0 | 0 | 0 | 0 | 0 | 0 |
        | mine | 3 | 3: invalid 2, matches_none 1 | 1 | 1 | 1 | 1 |
        ");
    }

    #[test]
    fn a_quantile_is_one_of_the_values() {
        for (of, median, p95) in [
            (vec![], 0.0, 0.0),
            (vec![3.0], 3.0, 3.0),
            (vec![2.0, 1.0], 1.0, 2.0),
            ((1..=100).rev().map(f64::from).collect(), 50.0, 95.0),
        ] {
            assert_eq!((quantile(&of, 0.5), quantile(&of, 0.95)), (median, p95), "{of:?}");
        }
    }

    #[test]
    fn a_model_that_only_refuses_could_not_be_asked() {
        let mut score = Score::default();
        assert!(score.could_be_asked(), "nobody had to");
        score.failed("refused");
        score.question(false, 0, 1.0);
        assert!(!score.could_be_asked());
        score.failed("timed_out");
        score.question(false, 0, 1.0);
        assert!(score.could_be_asked());
    }
}
