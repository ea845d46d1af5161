//! From a proposal to a watch: cleaned, clamped, and tried on the records that are still at hand.
//!
//! What a model says to count is a suggestion by somebody who may have been talked into it by a log line. It
//! becomes a rule only within all bounds of a rule, with fields that were seen, when it matches a line that it
//! was made for and not most of everything else. The engine sets the number wherever it knows the past.
//!
//! Lines are read again for a trial, so it looks at a bounded number of kinds, however many there are.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Map, Value, json};

use super::kinds::{HISTORY_SECONDS, Kind, Kinds};
use super::{Action, threshold};
use crate::ledger::window::Width;
use crate::ledger::{Lane, StagedGroup};
use crate::notify::notice::Severity;
use crate::record::naming::Naming;
use crate::redact::Redacted;
use crate::watch::matcher::Scratch;
use crate::watch::rule::{Expr, Op, Rule, WINDOW_MAX_SECONDS, clean_label};
use crate::watch::{Origin, Watch, WatchSet, group_key};

/// A proposed watch leaves after a day without a match.
pub const TTL_SECONDS: u64 = 86_400;
/// The shortest window that a proposal may have; shorter ones cross on a hiccup.
const WINDOW_MIN_SECONDS: u64 = 10;
const WINDOW_DEFAULT_SECONDS: u64 = 60;
/// Recent records of other kinds below which nothing can be called too broad.
const OTHERS_LEAST: u64 = 200;
/// Windows of history that the engine wants before it sets a number.
const WINDOWS_LEAST: i64 = 10;
/// Bytes of a condition: a rule is a phrase or two.
const CONDITION_MAX: usize = 4_096;
/// Kinds that a trial looks at beside its own: of those that came within the past hour, the ones that come most. Each
/// costs reading a line again, some microseconds.
const LOOKED_MAX: usize = 2_000;
/// Samples of the backlog that a watch hands on.
const SAMPLES_MAX: usize = 3;

/// Kinds beside its own that a rule must match before it can be called broad.
const BROAD_LEAST: usize = 5;

/// A kind that a trial looks at, with its id.
type Looked<'a> = (u64, &'a Kind);
/// Kinds that a rule matches, with their group.
type Matched = HashMap<u64, Box<[u8]>>;

/// Why a proposal became no watch. A closed set: it labels a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It does not say what to match.
    NoCondition,
    /// It is no rule, or beyond the bounds of one.
    Invalid,
    /// It asks for a field that no line has.
    UnknownField,
    /// It matches none of the lines it was made for.
    MatchesNone,
    /// It matches more than half of everything else.
    TooBroad,
    /// An equal watch is there.
    Duplicate,
    /// There are as many watches, or regexes, as there may be.
    Full,
}

impl Refusal {
    pub fn as_str(self) -> &'static str {
        match self {
            Refusal::NoCondition => "no_condition",
            Refusal::Invalid => "invalid",
            Refusal::UnknownField => "unknown_field",
            Refusal::MatchesNone => "matches_none",
            Refusal::TooBroad => "too_broad",
            Refusal::Duplicate => "duplicate",
            Refusal::Full => "full",
        }
    }
}

/// A watch that stood the trial.
#[derive(Debug)]
pub struct Tried {
    pub rule: Rule,
    /// What it would have counted of the recent records.
    pub backlog: Vec<StagedGroup>,
    /// Who set the number.
    pub by_engine: bool,
    /// None of its own lines is at hand any more: it has not been tried.
    pub untried: bool,
}

/// What a trial looks at.
pub struct Scene<'a> {
    pub kinds: &'a Kinds,
    pub watches: &'a WatchSet,
    pub naming: Option<&'a Naming>,
    pub now_ms: i64,
    pub lateness_ms: i64,
}

impl Scene<'_> {
    /// `own`: the kinds that the proposal is about.
    pub fn try_out(&self, action: &Action, own: &[u64]) -> Result<Tried, (Refusal, String)> {
        let condition = action.condition.as_ref().ok_or((Refusal::NoCondition, "it has no match".to_owned()))?;
        // It is shown to people, and to models again.
        let written = condition.to_string();
        if Redacted::new(&written).as_str() != written {
            return Err((Refusal::Invalid, "its match holds something that is never shown".to_owned()));
        }
        if written.len() > CONDITION_MAX {
            return Err((Refusal::Invalid, format!("its match is longer than {CONDITION_MAX} bytes")));
        }
        let label = self.free_label(action, own, condition)?;
        let window = whole(action.window_seconds).unwrap_or(WINDOW_DEFAULT_SECONDS);
        let window = window.clamp(WINDOW_MIN_SECONDS, WINDOW_MAX_SECONDS);
        let severity = action.severity.unwrap_or(Severity::Warning);
        let on_crossing = match severity {
            Severity::Info => "log",
            Severity::Warning => "notify",
            Severity::Critical => "investigate",
        };
        let mut written = Map::new();
        for (name, value) in [
            ("label", Value::from(label)),
            ("match", condition.clone()),
            ("threshold", threshold::clamp(action.threshold).into()),
            ("window_seconds", window.into()),
            ("ttl_seconds", TTL_SECONDS.into()),
            ("severity", severity.as_str().into()),
            ("on_crossing", on_crossing.into()),
            ("summary", summary(action.summary.as_deref()).into()),
        ] {
            written.insert(name.to_owned(), value);
        }
        let mut rule = read(&Value::Object(written))?;
        let untried = own.iter().all(|kind| self.kinds.get(*kind).is_none());
        if untried {
            return Ok(Tried { rule, backlog: Vec::new(), by_engine: false, untried });
        }
        let looked = self.looked_at(own);
        self.fields_are_known(&rule, own, &looked)?;
        let matched = self.matched(&rule, &looked);
        if !own.iter().any(|kind| matched.contains_key(kind)) {
            return Err((Refusal::MatchesNone, "it matches none of the lines that it was made for".to_owned()));
        }
        self.is_narrow(&matched, own, &looked)?;
        let mut by_engine = false;
        if let Some(number) = self.number_of_past(&matched, i64::try_from(window).unwrap_or(i64::MAX)) {
            (rule.threshold, by_engine) = (number, true);
        }
        let backlog = self.backlog(&rule, &matched);
        Ok(Tried { rule, backlog, by_engine, untried })
    }

    /// Whether a rule that has not been tried stands the trial on `kind`, and what it would have counted.
    pub fn stands(&self, rule: &Rule, kind: u64) -> Option<Vec<StagedGroup>> {
        let looked = self.looked_at(&[kind]);
        self.fields_are_known(rule, &[kind], &looked).ok()?;
        let matched = self.matched(rule, &looked);
        let stands = matched.contains_key(&kind) && self.is_narrow(&matched, &[kind], &looked).is_ok();
        stands.then(|| self.backlog(rule, &matched))
    }

    /// A label of its own: a person's is never taken, and an equal watch is not made twice.
    fn free_label(&self, action: &Action, own: &[u64], condition: &Value) -> Result<String, (Refusal, String)> {
        let wanted = action.label.as_deref().and_then(shown_label);
        let wanted = wanted.or_else(|| shown_label(&self.kinds.template(*own.first()?)));
        let wanted = wanted.unwrap_or_else(|| "new_kind".to_owned());
        for n in 1..=super::LABEL_TRIES {
            let label = match n {
                1 => wanted.clone(),
                n => format!("{}_{n}", wanted.get(..wanted.len().min(44)).unwrap_or(&wanted)),
            };
            match self.watches.by_label(&label) {
                None => return Ok(label),
                Some(held) if held.origin.is_proposed() => {
                    let same = read(&json!({"label": label, "match": condition, "threshold": 2, "window_seconds": 60}));
                    if same.is_ok_and(|same| same.expr == held.rule.expr) {
                        return Err((Refusal::Duplicate, format!("{label} counts the same")));
                    }
                }
                Some(_) => {}
            }
        }
        Err((Refusal::Duplicate, format!("too many watches are called {wanted}")))
    }

    /// A field that none of its lines has, nor any other line at hand, is one that the model made up.
    fn fields_are_known(&self, rule: &Rule, own: &[u64], looked: &[Looked<'_>]) -> Result<(), (Refusal, String)> {
        let mut asked = Vec::new();
        fields(&rule.expr, &mut asked);
        let has = |kind: &Kind, name: &str| {
            let mut found = false;
            kind.sample.read(self.naming, |record| found |= record.field(name).is_some());
            found
        };
        for name in asked {
            let among_own = own.iter().filter_map(|id| self.kinds.get(*id)).any(|kind| has(kind, name));
            if !among_own && !looked.iter().any(|(_, kind)| has(kind, name)) {
                return Err((Refusal::UnknownField, format!("no line has a field {name:?}")));
            }
        }
        Ok(())
    }

    /// Its own kinds, and of those that came within the past hour as many as one trial may look at.
    fn looked_at(&self, own: &[u64]) -> Vec<Looked<'_>> {
        let since = self.now_ms.div_euclid(1000) - HISTORY_SECONDS;
        let recent = self.kinds.iter().filter(|(id, kind)| kind.last_s >= since && !own.contains(id));
        let mut looked: Vec<Looked<'_>> = recent.collect();
        if looked.len() > LOOKED_MAX {
            looked.select_nth_unstable_by_key(LOOKED_MAX, |(id, kind)| (std::cmp::Reverse(kind.count), *id));
            looked.truncate(LOOKED_MAX);
        }
        looked.extend(own.iter().filter_map(|id| Some((*id, self.kinds.get(*id)?))));
        looked
    }

    /// The kinds whose line at hand the rule matches, with their group.
    fn matched(&self, rule: &Rule, looked: &[Looked<'_>]) -> Matched {
        self.matched_each(std::slice::from_ref(rule), looked).pop().unwrap_or_default()
    }

    /// The same of several rules, reading each line once.
    fn matched_each(&self, rules: &[Rule], looked: &[Looked<'_>]) -> Vec<Matched> {
        let set = WatchSet::new(rules.iter().map(|rule| Watch::new(rule.clone(), Origin::Triage)).collect());
        let mut scratch = Scratch::default();
        let mut matched = vec![Matched::new(); rules.len()];
        for (id, kind) in looked {
            kind.sample.read(self.naming, |record| {
                set.matches(record, &mut scratch, |place, watch| {
                    let mut key = Vec::new();
                    group_key(record, &watch.rule.group_by, &mut key);
                    if let Some(matched) = matched.get_mut(place) {
                        matched.insert(*id, key.into());
                    }
                });
            });
        }
        matched
    }

    /// Of each rule, by its place, whether it is about most of what is not its own: so many kinds at least, and more
    /// than half of those looked at. `own`: the kinds that a rule was made for.
    pub fn are_broad(&self, rules: &[Rule], own: impl Fn(usize, u64) -> bool) -> Vec<bool> {
        let looked = self.looked_at(&[]);
        let of_rule = |(place, matched): (usize, Matched)| {
            let others = looked.iter().filter(|(id, _)| !own(place, *id)).count();
            let hit = matched.keys().filter(|id| !own(place, **id)).count();
            hit >= BROAD_LEAST && hit * 2 > others
        };
        self.matched_each(rules, &looked).into_iter().enumerate().map(of_rule).collect()
    }

    fn is_narrow(&self, matched: &Matched, own: &[u64], looked: &[Looked<'_>]) -> Result<(), (Refusal, String)> {
        let since = self.now_ms.div_euclid(1000) - HISTORY_SECONDS;
        let (mut hit, mut all) = (0u64, 0u64);
        for (id, kind) in looked.iter().filter(|(id, _)| !own.contains(id)) {
            let recent: u64 = kind.history.range(since..).map(|(_, n)| n).sum();
            all = all.saturating_add(recent);
            hit = hit.saturating_add(if matched.contains_key(id) { recent } else { 0 });
        }
        if all >= OTHERS_LEAST && hit.saturating_mul(2) > all {
            return Err((Refusal::TooBroad, format!("it matches {hit} of {all} recent records of other kinds")));
        }
        Ok(())
    }

    /// The number that ten windows of the past say, of the group that has the most.
    fn number_of_past(&self, matched: &Matched, window: i64) -> Option<u64> {
        self.windows(matched, window).iter().filter_map(|past| threshold::from_history(past)).max()
    }

    /// What each rule would have counted in its whole windows of the past hour, of the group that has the most.
    pub fn pasts(&self, rules: &[Rule]) -> Vec<Vec<u64>> {
        let matched = self.matched_each(rules, &self.looked_at(&[]));
        let past = |(rule, matched): (&Rule, Matched)| {
            let windows = self.windows(&matched, i64::from(rule.window_seconds));
            windows.into_iter().max_by_key(|past| past.iter().sum::<u64>()).unwrap_or_default()
        };
        rules.iter().zip(matched).map(past).collect()
    }

    /// The same of each group that has ten of them.
    fn windows(&self, matched: &Matched, window: i64) -> Vec<Vec<u64>> {
        let now_s = self.now_ms.div_euclid(1000);
        let since = now_s - HISTORY_SECONDS;
        let mut groups: HashMap<&[u8], BTreeMap<i64, u64>> = HashMap::new();
        for (id, group) in matched {
            let Some(kind) = self.kinds.get(*id) else { continue };
            let counts = groups.entry(group).or_default();
            for (second, n) in kind.history.range(since..=now_s) {
                *counts.entry(second.div_euclid(window.max(1))).or_default() += n;
            }
        }
        let past = groups.values().filter_map(|counts| {
            let (first, last) = (*counts.keys().next()?, *counts.keys().next_back()?);
            // The window that is still running says too little.
            let whole = || (first..last).map(|at| counts.get(&at).copied().unwrap_or(0)).collect();
            (last - first >= WINDOWS_LEAST).then(whole)
        });
        past.collect()
    }

    /// The recent records that it would have counted, those that are too late left out.
    fn backlog(&self, rule: &Rule, matched: &Matched) -> Vec<StagedGroup> {
        let width = Width::of_seconds(rule.window_seconds);
        let key = Watch::new(rule.clone(), Origin::Triage).key;
        let (now_s, from_s) = (self.now_ms.div_euclid(1000), (self.now_ms - self.lateness_ms).div_euclid(1000));
        let mut groups: BTreeMap<&[u8], (StagedGroup, BTreeMap<i64, u64>)> = BTreeMap::new();
        let mut ids: Vec<&u64> = matched.keys().collect();
        ids.sort_unstable();
        for id in ids {
            let (Some(kind), Some(group)) = (self.kinds.get(*id), matched.get(id)) else { continue };
            for (second, n) in kind.history.range(from_s..=now_s) {
                let at_ms = second * 1000;
                let (staged, counts) = groups.entry(group).or_insert_with(|| {
                    let staged = StagedGroup {
                        watch: key,
                        group: group.clone(),
                        lane: Lane::Live,
                        counts: Vec::new(),
                        first_ms: at_ms,
                        last_ms: at_ms,
                        cluster: kind.cluster.clone(),
                        service: kind.service.clone(),
                        samples: Vec::new(),
                    };
                    (staged, BTreeMap::new())
                });
                (staged.first_ms, staged.last_ms) = (staged.first_ms.min(at_ms), staged.last_ms.max(at_ms));
                *counts.entry(width.bucket(at_ms)).or_default() += n;
                if staged.samples.len() < SAMPLES_MAX && !staged.samples.contains(&kind.sample) {
                    staged.samples.push(kind.sample.clone());
                }
            }
        }
        groups
            .into_values()
            .map(|(staged, counts)| StagedGroup { counts: counts.into_iter().collect(), ..staged })
            .collect()
    }
}

/// A label of what may be shown: it stands in messages and metrics.
pub fn shown_label(text: &str) -> Option<String> {
    clean_label(Redacted::new(text).as_str())
}

fn read(written: &Value) -> Result<Rule, (Refusal, String)> {
    let mut faults = Vec::new();
    let rule = Rule::from_json(written, "", &mut faults).filter(|_| faults.is_empty());
    rule.ok_or_else(|| {
        let wrong = faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        (Refusal::Invalid, wrong)
    })
}

/// One line without what steers a terminal or hides text, short enough for a message.
fn summary(text: Option<&str>) -> String {
    let text: String = text.unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ");
    text.chars().filter(|c| !c.is_control()).take(200).collect()
}

fn whole(number: Option<f64>) -> Option<u64> {
    number.filter(|n| n.is_finite() && *n >= 0.0).map(|n| n.min(1e12) as u64)
}

/// Every field that an expression asks for, but for those whose absence it asks for.
fn fields<'e>(expr: &'e Expr, found: &mut Vec<&'e str>) {
    match expr {
        Expr::All(parts) | Expr::Any(parts) => parts.iter().for_each(|part| fields(part, found)),
        Expr::Not(part) => fields(part, found),
        Expr::Test { op: Op::Exists(false), .. } => {}
        Expr::Test { field, .. } => found.push(field),
    }
}

#[cfg(test)]
mod tests;
