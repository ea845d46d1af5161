//! The dossier of an escalation, as Markdown: what crossed, how, what was around it, and what is not known.
//!
//! Pure: everything it says is in [`Facts`]. Its size is bounded; what would not fit is left out in a stated
//! order ([`LEVELS`]), and the dossier says which parts.

pub mod reading;
mod source;

use super::around::Recent;
use super::chart::Chart;
use super::markdown::{Markdown, Row};
use super::source::Source;
use crate::escalation::Escalation;
use crate::notify::alerts::rfc3339;
use crate::notify::notice::{Severity, thousands};
use crate::redact::Redacted;
use std::sync::Arc;

/// Longest text shown of one record, in bytes.
const RECORD_BYTES: usize = 2048;
const SENTENCE_BYTES: usize = 500;
const NAME_BYTES: usize = 120;
/// Others shown, of each kind, and watches of which is told what triage said.
const OTHERS_MAX: usize = 20;
const SAID_MAX: usize = 5;
const REMEDY_ROWS_MAX: usize = 40;
/// Nothing below it proves anything.
pub const REMEDIES: &str = "Remedies";

/// What is known when it is written. All times are unix milliseconds.
#[derive(Clone, Debug)]
pub struct Facts {
    pub escalation: Escalation,
    pub written_ms: i64,
    /// Since when the program runs: what lies before is known from the store only.
    pub up_since_ms: i64,
    /// `None`: its windows are gone, or no watch counted it.
    pub chart: Option<Chart>,
    /// In order of time.
    pub around: Vec<Arc<Recent>>,
    /// Whether records of services are kept at all.
    pub keeps_records: bool,
    /// When the service was first heard of in this run.
    pub seen_since_ms: Option<i64>,
    /// Revisions that its records at hand name, each with the time of its first, in order of time.
    pub revisions: Vec<(Redacted, i64)>,
    /// Other watches that fire for the service now.
    pub firing: Vec<Firing>,
    /// Other escalations of the service within an hour, the nearest first.
    pub others: Vec<Escalation>,
    pub said: Vec<Said>,
    /// What is registered for the service, as an operator worded it. Never an address: that is a credential.
    pub remedies: Vec<Cures>,
    pub source: Source,
}

/// A remedy by its name, and what it is registered to cure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cures {
    pub remedy: String,
    pub cures: Vec<String>,
}

/// A watch that fires.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Firing {
    pub label: String,
    pub severity: Severity,
    pub count: u64,
    pub threshold: u64,
    pub window_seconds: u64,
}

/// What triage said when it made a watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    pub label: String,
    pub at_ms: i64,
    /// `triage`, `seed`, `tune`, …, and the model, as provenance has them.
    pub by: Redacted,
    pub reason: Redacted,
}

/// What is shown of that which could be much.
#[derive(Clone, Copy)]
struct Level {
    /// On either side of the first match.
    records: usize,
    others: bool,
    samples: usize,
    source: source::Shown,
}

/// From all to least: the records farthest from the first match go first, then functions beyond the third and files of
/// the deploy beyond the tenth, then what else fired and was escalated, then patches, then commits, then all samples
/// but one, then all functions but the first, and that too. What crossed, its counts, where it failed and what is not
/// known always stand.
const LEVELS: [Level; 11] = {
    use source::Shown::*;
    const ALL: usize = usize::MAX;
    [
        Level { records: ALL, others: true, samples: ALL, source: All },
        Level { records: 16, others: true, samples: ALL, source: All },
        Level { records: 8, others: true, samples: ALL, source: All },
        Level { records: 8, others: true, samples: ALL, source: Fewer },
        Level { records: 0, others: true, samples: ALL, source: Fewer },
        Level { records: 0, others: false, samples: ALL, source: Fewer },
        Level { records: 0, others: false, samples: ALL, source: NoPatches },
        Level { records: 0, others: false, samples: ALL, source: NoCommits },
        Level { records: 0, others: false, samples: 1, source: NoCommits },
        Level { records: 0, others: false, samples: 1, source: OneFunction },
        Level { records: 0, others: false, samples: 1, source: Places },
    ]
};

/// Of at most `max_bytes`, if the least that a dossier says fits: some 15 KiB at the worst.
pub fn write(facts: &Facts, max_bytes: usize) -> Markdown {
    let mut text = Markdown::default();
    for level in LEVELS {
        text = at_level(facts, level, max_bytes);
        if text.len() <= max_bytes {
            break;
        }
    }
    text
}

fn at_level(facts: &Facts, level: Level, max_bytes: usize) -> Markdown {
    let of = &facts.escalation;
    let mut text = Markdown::default();
    let mut left_out: Vec<String> = Vec::new();
    text.title(format_args!("[E{}] {}", of.id, of.label));
    text.paragraph(format_args!(
        "Written {}. What stands in blocks comes from log lines, source and configuration; secrets in it are replaced.",
        rfc3339(facts.written_ms)
    ));
    text.heading("What crossed");
    text.block(&crossed(of));
    counts(&mut text, facts);
    samples(&mut text, of, level, &mut left_out);
    source::write(&mut text, &facts.source, level.source, &mut left_out);
    around(&mut text, facts, level, &mut left_out);
    if level.others {
        firing(&mut text, facts);
        others(&mut text, facts);
    } else {
        left_out.push("what else fired and was escalated".into());
    }
    said(&mut text, facts);
    remedies(&mut text, facts);
    service(&mut text, facts);
    text.heading("What is not known");
    text.list(&unknown(facts));
    if !left_out.is_empty() {
        let what = left_out.join("; ");
        text.paragraph(format_args!("Left out to stay within {max_bytes} bytes (`investigation.max_bytes`): {what}."));
    }
    text
}

fn crossed(of: &Escalation) -> Vec<Row> {
    let plain = |name: &str, value: String| row(name, &Redacted::new(&value));
    let mut rows = vec![
        plain("severity", of.severity.as_str().to_owned()),
        row("cluster", &of.cluster.cut(NAME_BYTES)),
        row("service", &of.service.cut(NAME_BYTES)),
    ];
    for (name, value) in of.group.iter().filter(|(name, _)| !matches!(name.as_str(), "cluster" | "service")) {
        let shown = Redacted::new(&format!("{name}={}", value.as_str())).one_line().cut(2 * NAME_BYTES);
        rows.push(row("group", &shown));
    }
    let threshold = format!("{} in {} s", thousands(of.threshold), thousands(of.window_seconds));
    rows.extend([
        plain("count", format!("{} (threshold {threshold})", thousands(of.count))),
        plain("first", rfc3339(of.first_ms)),
        plain("last", rfc3339(of.last_ms)),
        plain("opened", rfc3339(of.opened_ms)),
        plain("crossings", thousands(of.crossings)),
    ]);
    if of.late {
        rows.push(plain("late", "yes: a backlog, which came too late to count as now".into()));
    }
    if !of.summary.is_empty() {
        rows.push(row("summary", &of.summary.one_line().cut(SENTENCE_BYTES)));
    }
    rows
}

fn row(name: &str, value: &Redacted) -> Row {
    (format!("{name:<11}"), value.clone())
}

fn counts(text: &mut Markdown, facts: &Facts) {
    let Some(chart) = &facts.chart else { return };
    text.heading("Counts");
    let unit = match chart.minutes {
        1 => "minute".to_owned(),
        minutes => format!("{minutes} minutes"),
    };
    let older = if chart.older { "; older ones are left out" } else { "" };
    text.paragraph(format_args!("Lines that the watch counted, by {unit}, UTC{older}."));
    text.block(&chart.lines().map(|line| (line, Redacted::default())).collect::<Vec<_>>());
}

fn samples(text: &mut Markdown, of: &Escalation, level: Level, left_out: &mut Vec<String>) {
    if of.samples.is_empty() {
        return;
    }
    if of.alert {
        text.heading("What the alert says");
        text.paragraph(
            "Somebody else's rule worded it, or whoever sent it: no line of the log, and no watch counted it.",
        );
    } else {
        text.heading("Samples");
    }
    for sample in of.samples.iter().take(level.samples) {
        text.block(&[(String::new(), sample.cut(RECORD_BYTES))]);
    }
    if of.samples.len() > level.samples {
        left_out.push(format!("{} of {} samples", of.samples.len() - level.samples, of.samples.len()));
    }
}

fn around(text: &mut Markdown, facts: &Facts, level: Level, left_out: &mut Vec<String>) {
    let first = facts.around.partition_point(|record| record.at_ms < facts.escalation.first_ms);
    let (from, to) = (first.saturating_sub(level.records), first.saturating_add(level.records).min(facts.around.len()));
    let shown = facts.around.get(from..to).unwrap_or_default();
    if facts.around.len() > shown.len() {
        left_out.push(format!("{} of {} records around it", facts.around.len() - shown.len(), facts.around.len()));
    }
    if shown.is_empty() {
        return;
    }
    text.heading("Records around it");
    text.paragraph(
        "Some of what the service sent, before and from the first match on. `*`: a watch counted it, not always this one.",
    );
    let (before, after) = shown.split_at((first - from).min(shown.len()));
    for (name, records) in [("Before", before), ("From the first match on", after)] {
        if records.is_empty() {
            continue;
        }
        text.paragraph(format_args!("{name}:"));
        let rows: Vec<Row> = records
            .iter()
            .map(|record| {
                let mark = if record.matched { '*' } else { ' ' };
                (format!("{} {mark} ", rfc3339(record.at_ms)), record.sample.redacted().cut(RECORD_BYTES))
            })
            .collect();
        text.block(&rows);
    }
}

fn firing(text: &mut Markdown, facts: &Facts) {
    if facts.firing.is_empty() {
        return;
    }
    text.heading("What else fires for the service");
    let rows = facts.firing.iter().take(OTHERS_MAX).map(|f| {
        let (count, threshold) = (thousands(f.count), thousands(f.threshold));
        let what = format!("{}: {count} now (threshold {threshold} in {} s)", f.severity.as_str(), f.window_seconds);
        (format!("{}  {what}", f.label), Redacted::default())
    });
    text.block(&rows.collect::<Vec<_>>());
}

fn others(text: &mut Markdown, facts: &Facts) {
    if facts.others.is_empty() {
        return;
    }
    text.heading("Other escalations of the service within an hour");
    let rows = facts.others.iter().take(OTHERS_MAX).map(|e| {
        let state = if e.firing > 0 { "firing" } else { "quiet" };
        let (count, opened) = (thousands(e.count), rfc3339(e.opened_ms));
        let what = format!("[E{}] {}  {}, {count} lines, opened {opened}, {state}", e.id, e.label, e.severity.as_str());
        (what, Redacted::default())
    });
    text.block(&rows.collect::<Vec<_>>());
}

fn said(text: &mut Markdown, facts: &Facts) {
    let of = &facts.escalation;
    if facts.said.is_empty() && of.also.is_empty() && !of.proposed {
        return;
    }
    text.heading("What triage said");
    if of.proposed && facts.said.is_empty() {
        text.paragraph("Triage raised it; its words are the summary above.");
    }
    if !of.also.is_empty() {
        text.paragraph("Watches of its own that crossed on the same lines:");
        text.block(&of.also.iter().map(|label| (label.clone(), Redacted::default())).collect::<Vec<_>>());
    }
    if !facts.said.is_empty() {
        text.paragraph("Why it made the watch. A model reads log lines, and may have been talked into it.");
        let rows = facts.said.iter().take(SAID_MAX).flat_map(|said| {
            let reason = said.reason.one_line().cut(SENTENCE_BYTES);
            let by = Redacted::new(&format!("{}, {}", said.by.as_str(), rfc3339(said.at_ms))).cut(2 * NAME_BYTES);
            [(format!("{}  ", said.label), by), ("    ".to_owned(), reason)]
        });
        text.block(&rows.collect::<Vec<_>>());
    }
}

/// What can be named in a plan. The words of the cures prove nothing: they stand there before anything has happened.
fn remedies(text: &mut Markdown, facts: &Facts) {
    if facts.remedies.is_empty() {
        return;
    }
    text.heading(REMEDIES);
    text.paragraph("Registered for the service, each with what it cures. They are no evidence.");
    let mut rows: Vec<Row> = Vec::new();
    for remedy in facts.remedies.iter().take(OTHERS_MAX) {
        rows.push(("name   ".into(), Redacted::new(&remedy.remedy).one_line().cut(NAME_BYTES)));
        rows.extend(
            remedy.cures.iter().map(|cure| ("cures  ".to_owned(), Redacted::new(cure).one_line().cut(NAME_BYTES))),
        );
    }
    rows.truncate(REMEDY_ROWS_MAX);
    text.block(&rows);
}

fn service(text: &mut Markdown, facts: &Facts) {
    let mut rows: Vec<Row> = Vec::new();
    if let Some(since) = facts.seen_since_ms {
        rows.push((format!("heard of since  {}", rfc3339(since)), Redacted::default()));
    }
    for (revision, since) in facts.revisions.iter().take(OTHERS_MAX) {
        let shown = Redacted::new(&format!("{}, in records from {} on", revision.as_str(), rfc3339(*since)));
        rows.push(("revision        ".into(), shown.one_line()));
    }
    if !rows.is_empty() {
        text.heading("The service");
        text.block(&rows);
    }
}

/// What a reader should not take from the silence of the rest.
fn unknown(facts: &Facts) -> Vec<String> {
    let of = &facts.escalation;
    let mut unknown = vec!["The cause: nothing here was concluded, it was collected.".to_owned()];
    let mut say = |when: bool, what: String| {
        if when {
            unknown.push(what);
        }
    };
    let up = rfc3339(facts.up_since_ms);
    let why = if !facts.keeps_records {
        "none are kept (`investigation.records`)".to_owned()
    } else {
        format!("what is kept of them, in memory, goes back to {up} at most")
    };
    let before = facts.around.iter().any(|record| record.at_ms < of.first_ms);
    let after = facts.around.iter().any(|record| record.at_ms >= of.first_ms);
    match (before, after) {
        (false, false) => say(true, format!("What the service sent around it: no records are at hand; {why}.")),
        (false, true) => {
            say(true, format!("What the service sent before the first match: no records are at hand; {why}."))
        }
        (true, false) => {
            say(true, "What it sent from the first match on: no records are at hand but the samples.".into())
        }
        (true, true) => say(true, "Most of what the service sent: a few records of each batch are kept.".into()),
    }
    say(facts.chart.is_none() && of.proposed, "How the count went: no watch has counted these lines before.".into());
    say(facts.chart.is_none() && !of.proposed, "How the count went: its windows fire no more.".into());
    match facts.seen_since_ms {
        Some(_) => say(true, format!("Whether the service was there before {up}, when this program started.")),
        None => say(true, "Since when the service sends.".into()),
    }
    for what in &facts.source.unknown {
        say(true, what.clone());
    }
    say(facts.revisions.is_empty(), "Which revision of the service runs: no record at hand names one.".into());
    unknown
}

#[cfg(test)]
pub(super) mod tests;
