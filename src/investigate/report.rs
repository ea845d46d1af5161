//! The report of an investigation, as Markdown: the cause, how sure and on what, what was done, what is left to do.
//!
//! Whatever is not ours in it, a model's words among it, stands in fenced blocks, as in a dossier.

use super::case::words::{done, sure};
use super::case::{Case, PLANNER};
use super::markdown::{Markdown, Row};
use crate::notify::alerts::rfc3339;
use crate::redact::Redacted;

/// Of the diff; all of it is in its own file.
const DIFF_BYTES: usize = 24 * 1024;
const TAIL_BYTES: usize = 4 * 1024;
const QUOTE_BYTES: usize = 600;

/// `diff`: as it was made.
pub fn write(case: &Case, diff: Option<&str>) -> Markdown {
    let mut text = Markdown::default();
    text.title(format_args!("[E{}] {}: what was found", case.id, case.about.label));
    text.paragraph(format_args!(
        "{} as of {}. A model's and other people's words stand in blocks.",
        standing(case),
        rfc3339(case.changed_ms)
    ));
    if let Some(found) = &case.found {
        text.heading("The cause");
        text.block(&[plain(&found.verdict.root_cause)]);
        text.paragraph(sure(found));
        if !found.verdict.evidence.is_empty() {
            text.heading("On what evidence");
            text.block(&evidence(case));
        }
    } else if case.is_done() {
        text.heading("The cause");
        text.paragraph("No cause was found.");
    }
    let rows = done(case);
    if !rows.is_empty() {
        text.heading("What was done");
        for (ours, theirs) in &rows {
            text.paragraph(ours);
            if !theirs.is_empty() {
                text.block(&[(String::new(), theirs.clone())]);
            }
        }
    }
    if let Some(plan) = case.found.as_ref().map(|found| &found.verdict.plan) {
        text.heading("What to do");
        text.paragraph(format_args!("Plan: {}.", action(plan.action)));
        let mut rows: Vec<Row> = Vec::new();
        if !plan.reason.is_empty() {
            rows.push(plain(&plan.reason));
        }
        let steps = plan.steps.iter().enumerate();
        rows.extend(steps.map(|(at, step)| (format!("{}. ", at + 1), Redacted::new(step).one_line())));
        if !rows.is_empty() {
            text.block(&rows);
        }
    }
    proof(&mut text, case);
    if let Some(diff) = diff {
        text.heading("The diff");
        if diff.len() > DIFF_BYTES {
            text.paragraph(format_args!("Its first {DIFF_BYTES} bytes; all of it is in E{}.diff.", case.id));
        }
        text.block(&[(String::new(), Redacted::new(diff.get(..diff.floor_char_boundary(DIFF_BYTES)).unwrap_or_default()))]);
    }
    if let Some(asked) = &case.asked {
        text.heading("What it has cost");
        let tokens = format!(
            "{} calls, {} tokens read (and {} from its cache), {} written, about {:.4} USD",
            asked.calls, asked.input_tokens, asked.cached_tokens, asked.output_tokens, asked.cost_usd
        );
        text.block(&[(tokens, Redacted::default()), ("model  ".into(), Redacted::new(&asked.model).one_line())]);
    }
    text
}

fn standing(case: &Case) -> String {
    match case.lead {
        Some(lead) => format!("Part of one incident with E{lead}, which is investigated for both: see there. Written"),
        None => format!("State: {}", case.state().replace('_', " ")),
    }
}

fn plain(words: &str) -> Row {
    (String::new(), Redacted::new(words))
}

fn evidence(case: &Case) -> Vec<Row> {
    let Some(found) = &case.found else { return Vec::new() };
    let mut rows = Vec::new();
    for (evidence, why_not) in found.verdict.evidence.iter().zip(&found.proofs) {
        let (mark, hang) = if why_not.is_none() { ("proven    ", "          ") } else { ("UNPROVEN  ", "          ") };
        let place = match (&evidence.path, evidence.line) {
            (Some(path), Some(line)) => format!("{path}:{line}"),
            (Some(path), None) => path.clone(),
            (None, _) => "the dossier".to_owned(),
        };
        rows.push((mark.to_owned(), Redacted::new(&place).one_line().cut(QUOTE_BYTES)));
        rows.push((format!("{hang}| "), Redacted::new(&evidence.quote).cut(QUOTE_BYTES)));
        rows.push((hang.to_owned(), Redacted::new(&evidence.says).one_line().cut(QUOTE_BYTES)));
        if let Some(why_not) = why_not {
            rows.push((format!("{hang}Not found: "), Redacted::new(why_not).one_line()));
        }
    }
    rows
}

fn proof(text: &mut Markdown, case: &Case) {
    let Some(proof) = case.patch.as_ref().and_then(|patch| patch.proof()).filter(|proof| !proof.runs.is_empty()) else {
        return;
    };
    text.heading("What the tests said");
    for run in &proof.runs {
        text.paragraph(format_args!("On {}: {} ({:.1} s).", run.on, run.ended, run.seconds));
        if !run.passed && !run.tail.is_empty() {
            text.block(&[(String::new(), run.tail.cut(TAIL_BYTES))]);
        }
    }
}

fn action(action: super::verdict::Action) -> &'static str {
    use super::verdict::Action;
    match action {
        Action::Patch => "a patch",
        Action::RestartService => "a remedy",
        Action::Escalate => "a person has to look",
        Action::NoCodeCause => "the cause is not in the code",
    }
}

/// Whether a report says more than that nothing is known.
pub fn is_worth_reading(case: &Case) -> bool {
    case.lead.is_some()
        || case.asks > 0
        || !case.skipped.is_empty()
        || case.found.as_ref().is_some_and(|found| found.by != PLANNER || found.verdict.confidence >= 0.3)
}
