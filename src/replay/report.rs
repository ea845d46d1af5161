//! What came of a replay, as plain data: for people by [`text`], for machines by [`json`].
//!
//! Text of lines is in it only as `Redacted`, and every list has a bound.

pub mod json;
pub mod text;

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Serialize;

use super::drive::{Ended, Kind, Said, Unbelieved};
use super::gathered::{Gathered, Levels, Service};
use super::input::{Found, Passed};
use super::words;
use crate::escalation::Escalation;
use crate::ingest::quarantine::ShownSample;
use crate::record::format::Format;
use crate::record::level::Level;
use crate::redact::Redacted;
use crate::triage::{Shape, What};
use crate::watch::Origin;
use crate::watch::rule::OnCrossing;

/// Kinds, of either list.
const KINDS_MAX: usize = 200;
/// Bytes of a template.
const TEMPLATE_MAX: usize = 300;
/// A kind that begins after this part of the span is new: what was there in the first tenth was there before.
const NEW_PART: i64 = 10;

pub struct Parts {
    pub files: Vec<Found>,
    pub passed: Vec<Passed>,
    pub read_bytes: u64,
    pub disk_bytes: u64,
    pub oddities: Vec<TimeOddity>,
    pub held_up: u64,
    pub interrupted: bool,
    /// Files that were open when it was stopped.
    pub unread: u64,
    pub seconds: f64,
    pub gathered: Gathered,
    /// `None`: there was no line.
    pub ended: Option<Ended>,
    pub inputs: Vec<PathBuf>,
    /// Rules were given to be tried.
    pub tried: bool,
}

/// What was odd about the times of one file.
#[derive(Clone, Debug, Serialize)]
pub struct TimeOddity {
    pub file: String,
    pub timed: u64,
    pub timeless: u64,
    pub ahead: u64,
    pub backwards: u64,
}

pub struct Report {
    pub files: usize,
    pub passed: Vec<Passed>,
    pub read_bytes: u64,
    pub disk_bytes: u64,
    pub lines: u64,
    /// Outside `--since` and `--until`.
    pub outside: u64,
    pub span_ms: Option<(i64, i64)>,
    pub oddities: Vec<TimeOddity>,
    pub held_up: u64,
    pub interrupted: bool,
    pub unread: u64,
    pub seconds: f64,
    pub services: Vec<OfService>,
    pub levels: Levels,
    pub plain: u64,
    pub outcomes: Vec<(&'static str, u64)>,
    pub kinds: u64,
    pub frequent: Vec<OfKind>,
    pub new: Vec<OfKind>,
    pub said: Vec<Said>,
    pub unshown: u64,
    pub unbelieved: Vec<Unbelieved>,
    pub escalations: Vec<Escalation>,
    pub watches: Vec<OfWatch>,
    pub ignored: Vec<OfKind>,
    pub decided: BTreeMap<&'static str, u64>,
    pub rejected: Vec<(&'static str, u64)>,
    pub samples: Vec<ShownSample>,
    pub cut: u64,
    pub inputs: Vec<PathBuf>,
    pub tried: bool,
}

pub struct OfService {
    pub cluster: Redacted,
    pub name: Redacted,
    pub lines: u64,
    pub levels: Levels,
    pub plain: u64,
    /// With the number of lines, most first.
    pub formats: Vec<(&'static str, u64)>,
    pub first_ms: i64,
    pub last_ms: i64,
}

#[derive(Clone)]
pub struct OfKind {
    pub template: Redacted,
    pub service: Redacted,
    pub level: Level,
    pub shape: Shape,
    pub count: u64,
    pub first_ms: i64,
    pub last_ms: i64,
    pub judged: Option<What>,
}

/// One rule and how near it came.
pub struct OfWatch {
    pub label: String,
    pub origin: Origin,
    pub on_crossing: OnCrossing,
    pub threshold: u64,
    pub window_seconds: u64,
    pub matched: u64,
    /// The most within one window, of which group, and when.
    pub most: u64,
    pub most_ms: i64,
    pub group: Vec<Redacted>,
    pub crossed: u64,
}

// === impl Report ===

impl Report {
    pub fn of(parts: Parts) -> Report {
        let gathered = &parts.gathered;
        let services: Vec<OfService> = gathered.services().into_iter().map(of_service).collect();
        let plain = services.iter().map(|service| service.plain).sum();
        let (levels, lines, outside, span_ms) = (gathered.levels, gathered.lines, gathered.outside, gathered.span_ms);
        let mut report = Report {
            files: parts.files.len(),
            passed: parts.passed,
            read_bytes: parts.read_bytes,
            disk_bytes: parts.disk_bytes,
            lines,
            outside,
            span_ms,
            oddities: parts.oddities,
            held_up: parts.held_up,
            interrupted: parts.interrupted,
            unread: parts.unread,
            seconds: parts.seconds,
            services,
            levels,
            plain,
            outcomes: Vec::new(),
            kinds: 0,
            frequent: Vec::new(),
            new: Vec::new(),
            said: Vec::new(),
            unshown: 0,
            unbelieved: Vec::new(),
            escalations: Vec::new(),
            watches: Vec::new(),
            ignored: Vec::new(),
            decided: BTreeMap::new(),
            rejected: Vec::new(),
            samples: Vec::new(),
            cut: 0,
            inputs: parts.inputs,
            tried: parts.tried,
        };
        if let Some(ended) = parts.ended {
            report.fill(ended);
        }
        report
    }

    fn fill(&mut self, ended: Ended) {
        let Ended { tally, said, unshown, escalations, most, watches, rejected, kinds, decided, unbelieved } = ended;
        self.unbelieved = unbelieved;
        self.outcomes = vec![
            ("matched", tally.matched),
            ("unmatched", tally.unmatched),
            ("joined", tally.joined),
            ("blank", tally.blank),
            ("own", tally.own),
            ("rejected", tally.rejected()),
        ];
        self.rejected = tally.reasons().collect();
        self.cut = tally.cut;
        self.samples = rejected.samples;
        self.kinds = kinds.len() as u64;
        self.frequent = kinds.iter().take(KINDS_MAX).map(of_kind).collect();
        if let Some((first, last)) = self.span_ms {
            let from = first.saturating_add(last.saturating_sub(first) / NEW_PART);
            let mut new: Vec<&Kind> =
                kinds.iter().filter(|kind| kind.first_ms > from && kind.level >= Level::Warn).collect();
            new.sort_by_key(|kind| (std::cmp::Reverse(kind.level), std::cmp::Reverse(kind.count), kind.first_ms));
            self.new = new.into_iter().take(KINDS_MAX).map(of_kind).collect();
        }
        let mut ignored: Vec<&Kind> =
            kinds.iter().filter(|kind| kind.judged == Some(What::Ignore) && is_severe(kind)).collect();
        ignored.sort_by_key(|kind| (std::cmp::Reverse(kind.level), std::cmp::Reverse(kind.count)));
        self.ignored = ignored.into_iter().take(KINDS_MAX).map(of_kind).collect();
        self.watches = watches
            .into_iter()
            .map(|(watch, matched)| {
                let most = most.get(&watch.key).cloned().unwrap_or_default();
                OfWatch {
                    label: watch.rule.label.clone(),
                    origin: watch.origin,
                    on_crossing: watch.rule.on_crossing,
                    threshold: watch.rule.threshold,
                    window_seconds: u64::from(watch.rule.window_seconds),
                    matched,
                    most: most.count,
                    most_ms: most.at_ms,
                    group: most.group.iter().map(|value| Redacted::new(value).one_line().cut(80)).collect(),
                    crossed: most.crossed,
                }
            })
            .collect();
        (self.said, self.unshown, self.escalations, self.decided) = (said, unshown, escalations, decided);
    }

    /// Files of which no line told its time.
    pub fn timeless(&self) -> impl Iterator<Item = &TimeOddity> {
        self.oddities.iter().filter(|odd| odd.timed == 0 && odd.timeless > 1)
    }
}

/// Worth a look though triage has ignored it. Requests that fail are ignored because other watches count them.
fn is_severe(kind: &Kind) -> bool {
    kind.level >= Level::Warn && !(kind.shape == Shape::Access && kind.level >= Level::Error)
}

fn of_service(service: &Service) -> OfService {
    let mut formats: Vec<(&'static str, u64)> =
        Format::ALL.iter().map(|f| f.as_str()).zip(service.formats).filter(|(_, count)| *count > 0).collect();
    formats.sort_by_key(|(name, count)| (std::cmp::Reverse(*count), *name));
    OfService {
        cluster: Redacted::new(&service.cluster).one_line().cut(200),
        name: Redacted::new(&service.name).one_line().cut(200),
        lines: service.lines,
        levels: service.levels,
        plain: service.plain,
        formats,
        first_ms: service.first_ms,
        last_ms: service.last_ms,
    }
}

fn of_kind(kind: &Kind) -> OfKind {
    OfKind {
        template: Redacted::new(&words::fitted(&kind.template, TEMPLATE_MAX)),
        service: Redacted::new(&kind.service).one_line().cut(200),
        level: kind.level,
        shape: kind.shape,
        count: kind.count,
        first_ms: kind.first_ms,
        last_ms: kind.last_ms,
        judged: kind.judged,
    }
}
