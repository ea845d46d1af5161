//! What an investigation has to say, in words: the cause in a sentence, how sure, what was done, what is left to do.
//!
//! Whoever reads it was woken by the message above it. The cause and the steps are a model's words, written under the
//! eyes of log lines: they stand in code spans, a bounded number of them, each on its line.

use super::{Dossier, INDENT, Notice, SLACK_CHARS, fitted, one_line, paragraph, plain_char, slack_char, span};
use crate::notify::notice::{Standing, Told, diff_file, report_file};

/// Of the cause: some five lines of a phone.
const CAUSE_CHARS: usize = 600;
const ROWS_MAX: usize = 5;
const EVIDENCE_MAX: usize = 3;
const ROW_CHARS: usize = 220;
/// Of a sentence of ours, or an address of ours.
const OURS_CHARS: usize = 600;
/// For what stands below the rows.
const LINKS_CHARS: usize = 600;

pub(super) fn sign(notice: &Notice) -> &'static str {
    match notice.report.as_ref().map(|told| told.standing) {
        Some(Standing::Recovered) => "✅",
        Some(Standing::PatchReady | Standing::Proposed) => "🩹",
        Some(Standing::Remedied) => "🔁",
        Some(Standing::NotRecovered) => "🔴",
        _ => "🔎",
    }
}

pub(super) fn colour(notice: &Notice) -> &'static str {
    match notice.report.as_ref().map(|told| told.standing) {
        Some(Standing::Recovered) => "32",
        Some(Standing::NotRecovered) => "31",
        _ => "36",
    }
}

/// After the first line. What does not fit into one message is in the report.
pub(super) fn slack(text: &mut String, notice: &Notice, told: &Told) {
    let mut left = SLACK_CHARS.saturating_sub(text.chars().count() + LINKS_CHARS);
    let mut cut = told.steps.len() > ROWS_MAX;
    for row in rows(told) {
        let long = row.chars().count() + 1;
        if long > left {
            cut = true;
            break;
        }
        left -= long;
        text.push('\n');
        text.push_str(&row);
    }
    if cut {
        text.push_str("\nThere is more in the report.");
    }
    if notice.in_doubt {
        text.push_str("\n(may repeat: an earlier attempt may have arrived)");
    }
    let id = notice.escalation;
    match &notice.dossier {
        Some(Dossier::Url(url)) => {
            let url = escaped(url);
            text.push_str(&format!("\nReport: <{url}|E{id}>"));
            if told.diff {
                text.push_str(&format!(" · Diff: <{url}.diff|E{id}.diff>"));
            }
        }
        Some(Dossier::File(_)) => {
            text.push_str(&format!("\nReport: `{}`", report_file(id)));
            if told.diff {
                text.push_str(&format!(" · Diff: `{}`", diff_file(id)));
            }
        }
        None => {}
    }
}

fn rows(told: &Told) -> Vec<String> {
    let quoted = |theirs: &str, most: usize| span(&one_line(theirs, 4 * most), most);
    let mut rows = Vec::new();
    if !told.cause.is_empty() {
        rows.push(quoted(told.cause.as_str(), CAUSE_CHARS));
    }
    if !told.sure.is_empty() {
        rows.push(escaped(&told.sure));
    }
    let evidence = told.evidence.iter().take(EVIDENCE_MAX);
    rows.extend(evidence.map(|evidence| format!("• {}", quoted(evidence.as_str(), ROW_CHARS))));
    for (ours, theirs) in told.done.iter().take(ROWS_MAX) {
        rows.push(match theirs.is_empty() {
            true => escaped(ours),
            false => format!("{} {}", escaped(ours), quoted(theirs.as_str(), ROW_CHARS)),
        });
    }
    if !told.steps.is_empty() {
        rows.push("Left to you:".to_owned());
    }
    let steps = told.steps.iter().take(ROWS_MAX).enumerate();
    rows.extend(steps.map(|(at, step)| format!("{}. {}", at + 1, quoted(step.as_str(), ROW_CHARS))));
    rows
}

/// After the lines that say which escalation it is about.
pub(super) fn plain(text: &mut String, notice: &Notice, told: &Told) {
    let row = |theirs: &str| fitted(&one_line(theirs, 4 * ROW_CHARS), ROW_CHARS, plain_char);
    paragraph(text, &fitted(&one_line(told.cause.as_str(), 4 * CAUSE_CHARS), CAUSE_CHARS, plain_char));
    paragraph(text, &told.sure);
    for evidence in told.evidence.iter().take(EVIDENCE_MAX) {
        paragraph(text, &format!("- {}", row(evidence.as_str())));
    }
    for (ours, theirs) in told.done.iter().take(ROWS_MAX) {
        paragraph(text, &format!("{ours} {}", row(theirs.as_str())));
    }
    if !told.steps.is_empty() {
        paragraph(text, "left to you:");
    }
    for (at, step) in told.steps.iter().take(ROWS_MAX).enumerate() {
        paragraph(text, &format!("{}. {}", at + 1, row(step.as_str())));
    }
    if told.steps.len() > ROWS_MAX {
        paragraph(text, &format!("and {} more, in the report", told.steps.len() - ROWS_MAX));
    }
    if notice.in_doubt {
        paragraph(text, "(may repeat: an earlier attempt may have arrived)");
    }
    if let Some(Dossier::Url(place) | Dossier::File(place)) = &notice.dossier {
        text.push_str(&format!("{INDENT}report: {place}\n"));
    }
    text.push('\n');
}

fn escaped(ours: &str) -> String {
    let mut escaped = String::with_capacity(ours.len());
    ours.chars().take(OURS_CHARS).for_each(|c| slack_char(c, &mut escaped));
    escaped
}
