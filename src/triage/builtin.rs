//! The triager without a model: what a careful person would say of a kind of line at first sight.
//!
//! It promises:
//! - it is pure: the same offers have the same answer, at once, with no network and no state;
//! - each kind has one answer; what is watched or investigated is an action of its own, all that is ignored is one;
//! - a watch is about that kind and nothing more, as far as a cheap condition can tell it;
//! - no text of a line is in a label or a summary but words of its template, redacted.
//!
//! It judges by level, status, exception and by what the constant part of a line says (`phrases`). When in doubt a
//! kind at error or above is watched, one below is not: watches that never fire cost nothing, and neither do kinds
//! that people's own watches see anyhow.

mod condition;
mod label;
mod phrases;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use super::{Action, Offer, Shape, What, Why, threshold};
use crate::notify::notice::Severity;
use crate::record::level::Level;
use phrases::Tone;

/// Five minutes: a fault that is not over by itself has said so three times by then.
const WINDOW_SECONDS: u64 = 300;
/// A flood is a matter of now.
const FLOOD_WINDOW_SECONDS: u64 = 60;
/// Refused requests are somebody else's mistakes until they come as fast as this for as long as this.
const FLOOD_PER_SECOND: u64 = 1;
const FLOOD_SECONDS: u64 = 30;
/// Two windows: a rate over less may be that of one burst.
const STEADY_SECONDS: u64 = 2 * WINDOW_SECONDS;

/// What is to be done about each of `offers`: every place stands in exactly one action.
pub fn judge(offers: &[Offer]) -> Vec<Action> {
    let mut actions = Vec::new();
    let mut ignored = Vec::new();
    let mut labels = BTreeSet::new();
    for (place, offer) in offers.iter().enumerate() {
        match verdict(offer) {
            Some(verdict) => actions.push(action(place, offer, verdict, &mut labels)),
            None => ignored.push(place),
        }
    }
    if !ignored.is_empty() {
        actions.push(Action {
            what: What::Ignore,
            lines: ignored,
            label: None,
            condition: None,
            threshold: None,
            window_seconds: None,
            severity: None,
            summary: None,
        });
    }
    actions
}

/// Why a kind is worth an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// A process says that it is dying, or data is lost.
    Dying,
    Fatal,
    Exception,
    ServerError,
    /// Far too many requests are refused.
    Flood,
    /// Logged as an error, whatever it says.
    Error,
    /// It speaks of a failure, at a level that does not say so.
    Failure,
}

/// `None`: ignore it.
fn verdict(offer: &Offer) -> Option<Verdict> {
    if let (Shape::Access, Some(status)) | (_, Some(status @ 500..)) = (offer.shape, offer.status) {
        return match status {
            500..=599 => Some(Verdict::ServerError),
            400..=499 if is_flood(offer) => Some(Verdict::Flood),
            _ => None,
        };
    }
    let tone = phrases::tone(&offer.message, &offer.template);
    if tone == Tone::Dying && offer.level >= Level::Info {
        return Some(Verdict::Dying);
    }
    match (offer.level, offer.shape, tone) {
        (Level::Fatal, ..) => Some(Verdict::Fatal),
        (_, Shape::Trace, _) => Some(Verdict::Exception),
        (Level::Error, ..) => Some(Verdict::Error),
        // What is said for whoever debugs is no news.
        (Level::Trace | Level::Debug, ..) => None,
        (_, _, Tone::Failing) => Some(Verdict::Failure),
        (_, _, Tone::Refusing) => is_flood(offer).then_some(Verdict::Flood),
        (_, _, Tone::Dying | Tone::Fine) => None,
    }
}

fn is_flood(offer: &Offer) -> bool {
    offer.over_seconds >= FLOOD_SECONDS && offer.count >= offer.over_seconds.saturating_mul(FLOOD_PER_SECOND)
}

fn action(place: usize, offer: &Offer, verdict: Verdict, labels: &mut BTreeSet<String>) -> Action {
    let label = label::of(offer, labels);
    let window = if verdict == Verdict::Flood { FLOOD_WINDOW_SECONDS } else { WINDOW_SECONDS };
    Action {
        what: if verdict.is_urgent() { What::Investigate } else { What::Watch },
        lines: vec![place],
        summary: Some(summary(verdict, offer.why, &label)),
        label: Some(label),
        condition: Some(condition::of(offer)),
        threshold: Some(threshold(offer, verdict, window) as f64),
        window_seconds: Some(window as f64),
        severity: Some(verdict.severity()),
    }
}

/// A new kind: a few. One that has been coming all along: more than that. One that has just become too much: half of
/// what it has become, so that it is told and ends when it is back.
fn threshold(offer: &Offer, verdict: Verdict, window: u64) -> u64 {
    let least = match verdict {
        Verdict::Dying | Verdict::Fatal => threshold::MIN,
        Verdict::Flood => FLOOD_PER_SECOND * window,
        _ => threshold::DEFAULT,
    };
    let seen = offer.count as f64 / offer.over_seconds.max(1) as f64 * window as f64;
    let number = match offer.why {
        Why::Rate => threshold::clamp(Some(seen / 2.0)),
        _ if offer.over_seconds >= STEADY_SECONDS => threshold::from_rate(offer.count, offer.over_seconds, window),
        _ => least,
    };
    number.max(least)
}

fn summary(verdict: Verdict, why: Why, label: &str) -> String {
    let what = match verdict {
        Verdict::Dying => "A process says that it is dying or that data is lost",
        Verdict::Fatal => "A fatal error is logged",
        Verdict::Exception => "An exception is thrown",
        Verdict::ServerError => "Requests fail with a server error",
        Verdict::Flood => "Very many requests are refused",
        Verdict::Error => "An error is logged",
        Verdict::Failure => "Something is said to fail",
    };
    let why = match why {
        Why::New => "; it has not been seen before.",
        Why::Rate => "; it comes far more often than before.",
        Why::Level => "; it has become more severe.",
        Why::Deploy => "; the service runs another revision now.",
        Why::Again => ".",
    };
    format!("{what}: {}{why}", label.replace('_', " "))
}

impl Verdict {
    fn is_urgent(self) -> bool {
        matches!(self, Verdict::Dying | Verdict::Fatal)
    }

    fn severity(self) -> Severity {
        match self {
            Verdict::Dying | Verdict::Fatal => Severity::Critical,
            Verdict::Exception | Verdict::ServerError | Verdict::Flood | Verdict::Error => Severity::Warning,
            Verdict::Failure => Severity::Info,
        }
    }
}
