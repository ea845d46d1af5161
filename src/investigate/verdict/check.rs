//! What a verdict cites, looked up.
//!
//! A quote is proven when it stands, but for blanks, exactly so where it is said to stand: in a block of the dossier, or
//! near that line of that file at the commit that ran. Our own headings and sentences prove nothing, nor does what a
//! model said earlier and the dossier repeats. A proven quote shows that somebody wrote it, which may have been an
//! attacker; it does not show that it means what the verdict says.

use super::{CONFIDENCE_TO_ACT, Evidence, Verdict};
use crate::investigate::dossier::REMEDIES;
use crate::investigate::snapshot::Snapshot;
use crate::redact::Redacted;

/// Letters and digits of a quote that says anything: `error` stands everywhere.
const QUOTE_LEAST: usize = 8;
/// Of these, letters: a number alone stands everywhere, too.
const LETTERS_LEAST: usize = 3;
/// Lines between the cited one and the real one: models count from the head of what they were shown.
const NEAR_LINES: usize = 10;
/// Places of one quote in one file that are compared with the cited line.
const PLACES_MAX: usize = 1_000;

/// Blocks under these headings hold what a model said earlier, names that one gave, and what an operator registered
/// long before.
const REPEATED: [&str; 4] = [
    "What triage said",
    "What else fires for the service",
    "Other escalations of the service within an hour",
    REMEDIES,
];
/// Rows of blocks that do.
const REPEATED_ROWS: [&str; 1] = ["summary "];

/// How it stands with one piece of evidence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// `line`: where it really stands in its file, from 1; `None`: in the dossier.
    Proven { line: Option<u32> },
    /// Why, in words of ours.
    Unproven(String),
}

impl Standing {
    pub fn is_proven(&self) -> bool {
        matches!(self, Standing::Proven { .. })
    }
}

/// A verdict beside what of it could be confirmed.
#[derive(Clone, Debug, PartialEq)]
pub struct Checked {
    pub verdict: Verdict,
    /// Of each piece of evidence, in its order.
    pub evidence: Vec<Standing>,
}

impl Checked {
    /// Whether anything may be done because of it, if all else allows it, too.
    pub fn may_act(&self) -> bool {
        self.why_not().is_none()
    }

    /// Why nothing may be done, in words of ours.
    ///
    /// All that is cited must be there, not most of it. The cause was concluded from all of it; if one piece was made
    /// up, by the model or by whoever talked it into this, it was concluded from something else than what happened, and
    /// true quotes beside it do not change that: a forger quotes a true line as well. What is lost is little. The
    /// verdict is shown as it is, and a person decides.
    pub fn why_not(&self) -> Option<String> {
        let confidence = self.verdict.confidence;
        let unproven = self.evidence.iter().filter(|standing| !standing.is_proven()).count();
        // What cannot be compared is not enough.
        if confidence.is_nan() || confidence < CONFIDENCE_TO_ACT {
            Some(format!("its confidence is {confidence:.2}, and {CONFIDENCE_TO_ACT} is needed"))
        } else if self.evidence.is_empty() {
            Some("it cites no evidence".to_owned())
        } else if unproven > 0 {
            Some(format!("{unproven} of {} pieces of its evidence could not be found", self.evidence.len()))
        } else {
            None
        }
    }
}

/// Looks up all evidence. `dossier`: as the model was shown it. `source`: the commit that ran, where it is at hand.
pub fn check(verdict: &Verdict, dossier: &str, source: Option<&Snapshot<'_>>) -> Checked {
    let blocks = blocks(dossier);
    let standing = |evidence: &Evidence| match (&evidence.path, source) {
        _ if !says_something(&evidence.quote) => {
            Standing::Unproven("the quote is too short to show anything".to_owned())
        }
        (None, _) => in_dossier(&evidence.quote, &blocks),
        (Some(_), None) => Standing::Unproven("the source is not at hand".to_owned()),
        (Some(path), Some(source)) => in_file(evidence, path, source),
    };
    Checked { evidence: verdict.evidence.iter().map(standing).collect(), verdict: verdict.clone() }
}

fn in_dossier(quote: &str, blocks: &[String]) -> Standing {
    let wanted = collapsed(quote);
    if blocks.iter().any(|block| block.contains(&wanted)) {
        Standing::Proven { line: None }
    } else {
        Standing::Unproven("it does not stand in a block of the dossier".to_owned())
    }
}

fn in_file(evidence: &Evidence, path: &str, source: &Snapshot<'_>) -> Standing {
    let text = match source.text(path) {
        Ok(text) => text,
        Err(unread) => return Standing::Unproven(unread.to_string()),
    };
    let mut places = places(&text, &evidence.quote);
    if places.is_empty() {
        // The model may have been shown it with secrets replaced.
        places = self::places(Redacted::new(&text).as_str(), &evidence.quote);
    }
    let cited = evidence.line.map(|line| line as usize);
    let nearest = places.iter().copied().min_by_key(|line| cited.map_or(0, |cited| cited.abs_diff(*line)));
    match (nearest, cited) {
        (None, _) => Standing::Unproven("it does not stand in that file at that commit".to_owned()),
        (Some(line), Some(cited)) if cited.abs_diff(line) > NEAR_LINES => {
            Standing::Unproven(format!("it does not stand near that line; it does at line {line}"))
        }
        (Some(line), _) => Standing::Proven { line: u32::try_from(line).ok() },
    }
}

/// Lines, from 1, at which the quote begins.
fn places(text: &str, quote: &str) -> Vec<usize> {
    let wanted = collapsed(quote);
    let mut joined = String::with_capacity(text.len());
    // Where in `joined` each line with words in it begins, and its number.
    let mut starts: Vec<(usize, usize)> = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let line = collapsed(line);
        if !line.is_empty() {
            if !joined.is_empty() {
                joined.push(' ');
            }
            starts.push((joined.len(), at + 1));
            joined.push_str(&line);
        }
    }
    let line_of = |place: usize| {
        let after = starts.partition_point(|(start, _)| *start <= place);
        starts.get(after.saturating_sub(1)).map_or(0, |(_, line)| *line)
    };
    joined.match_indices(&wanted).take(PLACES_MAX).map(|(place, _)| line_of(place)).collect()
}

/// What stands in the dossier's blocks, each as one line, without what is repeated of a model.
fn blocks(dossier: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut fence: Option<usize> = None;
    let mut inside: Vec<&str> = Vec::new();
    let mut repeats = false;
    for line in dossier.lines() {
        let ticks = line.len() - line.trim_start_matches('`').len();
        let is_fence = ticks >= 3 && ticks == line.len();
        match fence {
            None if is_fence => fence = Some(ticks),
            None => {
                if let Some(heading) = line.strip_prefix("## ") {
                    repeats = REPEATED.contains(&heading.trim());
                }
            }
            Some(open) if is_fence && ticks == open => {
                fence = None;
                if !repeats {
                    blocks.push(collapsed(&inside.join("\n")));
                }
                inside.clear();
            }
            Some(_) if REPEATED_ROWS.iter().any(|row| line.starts_with(row)) => {}
            Some(_) => inside.push(line),
        }
    }
    blocks
}

/// Without blanks at its ends, and with one where there are several.
pub(in crate::investigate) fn collapsed(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Marks of redaction say nothing, nor do a few characters.
fn says_something(quote: &str) -> bool {
    let mut meant = 0;
    let mut letters = 0;
    let mut rest = quote;
    while let Some(next) = rest.chars().next() {
        if rest.starts_with("[redacted:") {
            rest = rest.find(']').and_then(|end| rest.get(end..)).unwrap_or_default();
            continue;
        }
        meant += usize::from(next.is_alphanumeric());
        letters += usize::from(next.is_alphabetic());
        if meant >= QUOTE_LEAST && letters >= LETTERS_LEAST {
            return true;
        }
        rest = rest.get(next.len_utf8()..).unwrap_or_default();
    }
    false
}
