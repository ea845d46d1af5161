//! Calling a remedy: whether it may be called, and the call.
//!
//! [`may_call`] is pure and says no unless everything speaks for it. What somebody answered is only the asking: the
//! cure must fit by the descriptor's own words, which have to stand in a line of the log that was cited and that the
//! service itself wrote at `warn` or above ([`words`]). One such line is enough if a watch counted it; a single line
//! beside the trouble is anybody's, so of those two have to say it. Whoever calls stores a [`Call`] first, durably: one
//! that is stored and was never answered counts, so that a remedy is called at most once, whatever dies when.

mod call;
pub mod words;

use std::collections::HashSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::dossier::reading::{Dossier, Logged};
use super::verdict::{Action, CONFIDENCE_TO_ACT, Evidence, Plan, collapsed};
use crate::escalation::Escalation;
use crate::notify::alerts::rfc3339;
use crate::record::level::Level;
use crate::redact::Redacted;
use crate::registry::descriptor::{Descriptor, Remedy};

pub use call::{About, Outcome, call};

const DAY_MS: i64 = 86_400_000;
/// How long a call is remembered: longer than an incident lasts.
const REMEMBERED_MS: i64 = 30 * DAY_MS;
/// Calls of a day, of all services together. More are a storm, and no cure.
pub const ALL_PER_DAY: usize = 1000;
const CALLS_MAX: usize = 10_000;
/// Of a line that is told.
const LINE_BYTES: usize = 300;
/// Lines that have to say it where no watch counted any of them.
const UNCOUNTED_LEAST: usize = 2;

/// What asks for a remedy, and what speaks for it.
pub struct Asked<'a> {
    pub plan: &'a Plan,
    pub confidence: f64,
    /// Evidence that was proven. What stands in a file is no line of the log.
    pub proven: Vec<&'a Evidence>,
    /// As it was answered about.
    pub dossier: &'a str,
    pub escalation: &'a Escalation,
}

/// One call that was made, or was about to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// As the descriptor names it.
    pub service: String,
    /// The descriptor's; empty: of any.
    pub cluster: String,
    pub remedy: String,
    /// Of the first escalation of the incident.
    pub incident: u64,
    /// When it was stored, unix milliseconds.
    pub at_ms: i64,
}

/// Those that count for bounds, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Calls(Vec<Call>);

/// What may be called, and why.
pub struct Granted<'a> {
    pub remedy: &'a Remedy,
    /// To be stored before it is called.
    pub call: Call,
    /// What it cures, in the operator's words; `None`: it cures what the watch of that label counts.
    pub cure: Option<&'a str>,
    /// The line that says so.
    pub line: Redacted,
}

/// Why nothing is called. All times are unix milliseconds.
#[derive(Clone, Debug, PartialEq)]
pub enum WhyNot {
    NotAsked,
    Unregistered,
    NoRemedies,
    /// The plan names one that the service does not have, or none where it has several.
    NoSuchRemedy {
        names: Vec<String>,
    },
    Unsure {
        confidence: f64,
    },
    /// A backlog: what it tells of was then, not now.
    Late,
    /// No line of the log that was cited is there.
    Unproven,
    /// Nothing that it cures stands in those lines.
    NoCure {
        remedy: String,
        cures: Vec<String>,
    },
    AlreadyCalled {
        remedy: String,
        at_ms: i64,
    },
    Cooling {
        remedy: String,
        until_ms: i64,
    },
    Spent {
        remedy: String,
        per_day: u64,
        until_ms: i64,
    },
    SpentByAll,
}

/// Whether the plan's remedy may be called now.
pub fn may_call<'a>(
    asked: &Asked<'_>,
    descriptor: Option<&'a Descriptor>,
    calls: &Calls,
    now_ms: i64,
) -> Result<Granted<'a>, WhyNot> {
    if asked.plan.action != Action::RestartService {
        return Err(WhyNot::NotAsked);
    }
    let descriptor = descriptor.ok_or(WhyNot::Unregistered)?;
    let remedy = named(asked.plan.remedy.as_deref(), &descriptor.remedies)?;
    // Not a number is no confidence.
    if !(CONFIDENCE_TO_ACT..=1.0).contains(&asked.confidence) {
        return Err(WhyNot::Unsure { confidence: asked.confidence });
    }
    if asked.escalation.late {
        return Err(WhyNot::Late);
    }
    let dossier = Dossier::read(asked.dossier);
    let logged = dossier.logged();
    let quotes = asked.proven.iter().filter(|evidence| evidence.path.is_none());
    let cited: Vec<Cited<'_>> = quotes.flat_map(|evidence| cited(&evidence.quote, &logged)).collect();
    if cited.is_empty() {
        return Err(WhyNot::Unproven);
    }
    // What a model has named is the model's own word.
    let label = Some(asked.escalation.label.as_str()).filter(|_| !asked.escalation.proposed);
    let Some((cure, line)) = fitting(remedy, label, &cited) else {
        return Err(WhyNot::NoCure { remedy: remedy.name.clone(), cures: remedy.cures.clone() });
    };
    let of = asked.escalation;
    let call = Call {
        service: descriptor.name.clone(),
        cluster: descriptor.cluster.clone().unwrap_or_default(),
        remedy: remedy.name.clone(),
        incident: if of.incident == 0 { of.id } else { of.incident },
        at_ms: now_ms,
    };
    calls.allow(&call, remedy)?;
    Ok(Granted { remedy, call, cure, line: Redacted::new(line).one_line().cut(LINE_BYTES) })
}

/// The one of that name; where none is named, the only one.
fn named<'a>(name: Option<&str>, remedies: &'a [Remedy]) -> Result<&'a Remedy, WhyNot> {
    let found = match (name, remedies) {
        (_, []) => return Err(WhyNot::NoRemedies),
        (None, [only]) => Some(only),
        (None, _) => None,
        (Some(name), _) => remedies.iter().find(|remedy| remedy.name == name),
    };
    found.ok_or_else(|| WhyNot::NoSuchRemedy { names: remedies.iter().map(|remedy| remedy.name.clone()).collect() })
}

/// Lines that say the same are believed: one that a watch counted, or several that none did.
pub(super) fn are_enough<'a>(mut lines: impl Iterator<Item = &'a Logged<'a>>) -> bool {
    let mut distinct = HashSet::new();
    lines.any(|line| line.is_counted || (distinct.insert(line.line) && distinct.len() >= UNCOUNTED_LEAST))
}

/// A line of the log, and what was quoted of it.
struct Cited<'a> {
    quote: &'a str,
    logged: &'a Logged<'a>,
    said: String,
}

/// The lines that the whole of `quote` stands in, blanks aside.
fn cited<'a>(quote: &'a str, logged: &'a [Logged<'a>]) -> Vec<Cited<'a>> {
    let wanted = collapsed(quote);
    let of_line = |logged: &'a Logged<'a>| {
        let said = logged.said();
        let is_there = collapsed(logged.line).contains(&wanted) || collapsed(&said).contains(&wanted);
        (is_there && !wanted.is_empty()).then_some(Cited { quote, logged, said })
    };
    logged.iter().filter_map(of_line).collect()
}

/// The first of its cures that fits, and the line that says so.
fn fitting<'a, 'c>(
    remedy: &'a Remedy,
    label: Option<&str>,
    cited: &'c [Cited<'_>],
) -> Option<(Option<&'a str>, &'c str)> {
    let first_of = |says: &dyn Fn(&Cited<'_>) -> bool| {
        let is_grave = |cited: &&Cited<'_>| cited.logged.level() >= Some(Level::Warn);
        let found: Vec<&'c Cited<'_>> = cited.iter().filter(is_grave).filter(|cited| says(cited)).collect();
        let first = found.iter().find(|cited| cited.logged.is_counted).or(found.first())?;
        are_enough(found.iter().map(|cited| cited.logged)).then_some(first.said.as_str())
    };
    for cure in &remedy.cures {
        if let Some(said) = first_of(&|cited| words::fits(cure, &cited.said, cited.quote)) {
            return Some((Some(cure), said));
        }
    }
    let is_label = |cure: &String| label.is_some_and(|label| words::is_label(cure, label));
    if remedy.cures.iter().any(is_label) { first_of(&|_| true).map(|said| (None, said)) } else { None }
}

impl Calls {
    /// Call it before the call, and store the whole.
    pub fn add(&mut self, call: Call) {
        let now_ms = call.at_ms;
        self.0.retain(|held| now_ms.saturating_sub(held.at_ms) < REMEMBERED_MS);
        self.0.push(call);
        let surplus = self.0.len().saturating_sub(CALLS_MAX);
        self.0.drain(..surplus);
    }

    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Call> {
        self.0.iter()
    }

    /// Once an incident; not again within its cooldown; so often a day. A clock that was set back frees nothing.
    fn allow(&self, wanted: &Call, remedy: &Remedy) -> Result<(), WhyNot> {
        let name = || remedy.name.clone();
        let age_ms = |call: &Call| wanted.at_ms.saturating_sub(call.at_ms);
        if let Some(call) = self.iter().rev().find(|call| call.incident == wanted.incident) {
            return Err(WhyNot::AlreadyCalled { remedy: call.remedy.clone(), at_ms: call.at_ms });
        }
        let same = |call: &&Call| {
            (&call.service, &call.cluster, &call.remedy) == (&wanted.service, &wanted.cluster, &wanted.remedy)
        };
        let cooldown_ms = i64::try_from(remedy.cooldown_seconds).unwrap_or(i64::MAX).saturating_mul(1000);
        if let Some(last) = self.iter().filter(same).map(|call| call.at_ms).max()
            && wanted.at_ms.saturating_sub(last) < cooldown_ms
        {
            return Err(WhyNot::Cooling { remedy: name(), until_ms: last.saturating_add(cooldown_ms) });
        }
        let mut today: Vec<i64> =
            self.iter().filter(same).filter(|call| age_ms(call) < DAY_MS).map(|call| call.at_ms).collect();
        today.sort_unstable();
        let per_day = usize::try_from(remedy.per_day).unwrap_or(usize::MAX);
        if today.len() >= per_day {
            // It may be called again once all but one less than that are older than a day.
            let frees = today.get(today.len() - per_day.max(1)).copied().unwrap_or(wanted.at_ms);
            let until_ms = frees.saturating_add(DAY_MS);
            return Err(WhyNot::Spent { remedy: name(), per_day: remedy.per_day, until_ms });
        }
        if self.iter().filter(|call| age_ms(call) < DAY_MS).count() >= ALL_PER_DAY {
            return Err(WhyNot::SpentByAll);
        }
        Ok(())
    }
}

impl WhyNot {
    /// A closed set: it labels a metric.
    pub fn as_str(&self) -> &'static str {
        match self {
            WhyNot::NotAsked => "not_asked",
            WhyNot::Unregistered => "unregistered",
            WhyNot::NoRemedies => "no_remedies",
            WhyNot::NoSuchRemedy { .. } => "no_such_remedy",
            WhyNot::Unsure { .. } => "unsure",
            WhyNot::Late => "late",
            WhyNot::Unproven => "unproven",
            WhyNot::NoCure { .. } => "no_cure",
            WhyNot::AlreadyCalled { .. } => "already_called",
            WhyNot::Cooling { .. } => "cooling",
            WhyNot::Spent { .. } | WhyNot::SpentByAll => "spent",
        }
    }
}

/// A sentence for a person. Names and cures in it are the operator's.
impl fmt::Display for WhyNot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WhyNot::NotAsked => f.write_str("The plan asks for no remedy."),
            WhyNot::Unregistered => {
                f.write_str("The service is not registered, so nothing is known that could be called.")
            }
            WhyNot::NoRemedies => f.write_str("The service has no remedies registered."),
            WhyNot::NoSuchRemedy { names } => {
                write!(f, "The plan names none of the service's remedies ({}).", names.join(", "))
            }
            WhyNot::Unsure { confidence } => {
                write!(f, "Not sure enough: {confidence:.2}, and {CONFIDENCE_TO_ACT} is needed.")
            }
            WhyNot::Late => f.write_str("These lines came late: what they tell of was then, not now."),
            WhyNot::Unproven => f.write_str("No line of the log that was cited is there."),
            WhyNot::NoCure { remedy, cures } if cures.is_empty() => {
                write!(f, "What \"{remedy}\" cures is not registered (`cures`).")
            }
            WhyNot::NoCure { remedy, cures } => {
                let cures = cures.iter().map(|cure| format!("\"{cure}\"")).collect::<Vec<_>>().join(", ");
                write!(f, "\"{remedy}\" cures {cures}; no cited line says that.")
            }
            WhyNot::AlreadyCalled { remedy, at_ms } => {
                write!(
                    f,
                    "\"{remedy}\" was called for this incident at {} already, and once is the most.",
                    rfc3339(*at_ms)
                )
            }
            WhyNot::Cooling { remedy, until_ms } => {
                write!(f, "\"{remedy}\" was called a short while ago; not again before {}.", rfc3339(*until_ms))
            }
            WhyNot::Spent { remedy, per_day, until_ms } => {
                let times = if *per_day == 1 { "once" } else { "as often as it may be" };
                write!(
                    f,
                    "\"{remedy}\" was called {times} in a day ({per_day}); not again before {}.",
                    rfc3339(*until_ms)
                )
            }
            WhyNot::SpentByAll => {
                write!(
                    f,
                    "Remedies were called {ALL_PER_DAY} times in a day, of all services: that is a storm, and no cure."
                )
            }
        }
    }
}

#[cfg(test)]
mod tests;
