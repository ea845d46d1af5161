//! The first look: one message, some time after the first start, about what is seen and what is missing.
//!
//! Who has just connected their services wants to know whether it is all there before anything goes wrong: which
//! services, which of them say too little for a watch to tell them apart, what is counted and what was quiet.

use serde::{Deserialize, Serialize};

use super::notice::{Notice, NoticeKind, Severity, about, thousands};
use crate::redact::Redacted;

/// Names shown of each list.
pub const SHOWN: usize = 8;

/// What was seen, by figures of this process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirstDay {
    /// For how long it was looked at.
    pub seconds: u64,
    /// Of all services.
    pub lines: u64,
    pub services: Listed,
    /// Without a name or a cluster.
    pub nameless: Listed,
    /// Most of their lines are of no form that is known: plain text.
    pub plain: Listed,
    /// Lines that are no record at all.
    pub rejected: u64,
    /// Kinds of lines, and what became of them.
    pub kinds: u64,
    /// Watches that have counted something, with how much.
    pub counted: Listed,
    /// Watches that have not.
    pub quiet: Listed,
}

/// Some of many, with a number each.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    pub all: u64,
    /// [`SHOWN`] at most.
    pub shown: Vec<(Redacted, u64)>,
}

/// One thing that is told: text of ours, quoted names with their numbers, and what to do about it.
pub(super) struct Told<'a> {
    pub(super) says: String,
    pub(super) names: Option<&'a Listed>,
    /// Whether the numbers beside the names tell something.
    pub(super) numbers: bool,
    pub(super) next: &'static str,
}

impl Listed {
    /// Takes the first few of what comes in the order of importance.
    pub fn of(all: impl IntoIterator<Item = (String, u64)>) -> Listed {
        let mut listed = Listed::default();
        for (name, number) in all {
            listed.all += 1;
            if listed.shown.len() < SHOWN {
                listed.shown.push((Redacted::new(&name).one_line(), number));
            }
        }
        listed
    }

    pub(super) fn more(&self) -> u64 {
        self.all.saturating_sub(self.shown.len() as u64)
    }
}

impl FirstDay {
    /// "9 services seen, 2 without metadata, 1 format not understood".
    pub fn headline(&self) -> String {
        let mut says = format!("{} seen", counted(self.services.all, "service"));
        if self.nameless.all > 0 {
            says.push_str(&format!(", {} without metadata", thousands(self.nameless.all)));
        }
        if self.plain.all > 0 {
            says.push_str(&format!(", {} not understood", counted(self.plain.all, "format")));
        }
        says
    }

    pub(super) fn told(&self) -> Vec<Told<'_>> {
        let told = |says: String, names, numbers, next| Told { says, names, numbers, next };
        let span = about(i64::try_from(self.seconds.saturating_mul(1000)).unwrap_or(i64::MAX));
        let lines = format!("{} in {span}, of {}", counted(self.lines, "line"), counted(self.kinds, "kind"));
        let mut all = vec![told(format!("{lines}; services:"), Some(&self.services), true, "")];
        if self.nameless.all > 0 {
            let next = "their tasks need FireLens metadata, or name them with [record] (docs/records.md)";
            all.push(told("without a name or a cluster:".to_owned(), Some(&self.nameless), true, next));
        }
        if self.plain.all > 0 {
            let next =
                "watches can only search their text; a level in it, or JSON, makes them sharper (docs/records.md)";
            all.push(told("mostly in no form that is known:".to_owned(), Some(&self.plain), true, next));
        }
        if self.rejected > 0 {
            let next = "GET /quarantine shows them, who sent them, and why";
            all.push(told(format!("{} no record at all", are(self.rejected)), None, false, next));
        }
        if self.counted.all > 0 {
            all.push(told("watches that counted something:".to_owned(), Some(&self.counted), true, ""));
        }
        if self.quiet.all > 0 {
            all.push(told("quiet, and watching:".to_owned(), Some(&self.quiet), false, ""));
        }
        let next = "watches of your own are a few lines each: docs/watches.md has recipes";
        all.push(told("this message comes once".to_owned(), None, false, next));
        all
    }
}

impl Notice {
    /// About no escalation: its number is 0, which none has.
    pub fn first_day(report: FirstDay, at_ms: i64) -> Notice {
        let nothing = || Redacted::new("");
        Notice {
            kind: NoticeKind::FirstDay,
            escalation: 0,
            label: NoticeKind::FirstDay.as_str().to_owned(),
            severity: Severity::Info,
            summary: Redacted::new(&report.headline()),
            cluster: nothing(),
            service: nothing(),
            group: Vec::new(),
            count: report.lines,
            threshold: 0,
            window_seconds: report.seconds,
            first_ms: at_ms,
            last_ms: at_ms,
            at_ms,
            late: false,
            samples: Vec::new(),
            dedup_key: NoticeKind::FirstDay.as_str().to_owned(),
            suggested_fix: None,
            dossier: None,
            incident: None,
            told_before: None,
            in_doubt: false,
            broadcast: false,
            report: None,
            first_day: Some(Box::new(report)),
        }
    }
}

fn counted(number: u64, what: &str) -> String {
    format!("{} {what}{}", thousands(number), if number == 1 { "" } else { "s" })
}

fn are(lines: u64) -> String {
    if lines == 1 { "1 line is".to_owned() } else { format!("{} lines are", thousands(lines)) }
}
