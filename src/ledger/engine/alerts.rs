//! What others found: alerts that are told over the control API become escalations, and end.
//!
//! An alert that is known is no news and changes nothing, so that a storm of equal ones costs no write. Of different
//! ones so many an hour open an escalation of their own; what is beyond is one escalation together.

use super::{Draft, Engine, Now};
use crate::escalation::{Crossing, Outcome};
use crate::watch::rule::OnCrossing;

/// Escalations an hour that alerts may open: more are not read one by one.
const ALERTS_PER_HOUR: usize = 100;
/// What the others are called, together.
const BEYOND: &str = "more_alerts";

/// One alert, as somebody else's rule raised it.
#[derive(Clone, Debug)]
pub struct Alert {
    pub crossing: Crossing,
    /// It is over.
    pub ends: bool,
}

impl Engine {
    /// Takes alerts in, in one commit. Answers for each which escalation tells of it; `None`: the end of one that is
    /// not known.
    pub fn alerts(&mut self, alerts: Vec<Alert>, now: Now) -> (Draft, Vec<Option<u64>>) {
        let mut draft = self.draft(now);
        let ids = alerts.into_iter().map(|alert| match alert.ends {
            true => self.alert_ends(&alert.crossing, now),
            false => Some(self.alert(&mut draft, alert.crossing, now)),
        });
        let ids = ids.collect();
        (draft, ids)
    }

    fn alert(&mut self, draft: &mut Draft, crossing: Crossing, now: Now) -> u64 {
        if let Some(known) = self.desk.known(&crossing, now.ms) {
            return known;
        }
        let crossing = match self.desk.alerts_since(now.ms - 3_600_000) < ALERTS_PER_HOUR {
            true => crossing,
            false => Crossing {
                label: BEYOND.into(),
                summary: format!("more than {ALERTS_PER_HOUR} different alerts in an hour: these are told together"),
                service: "unknown".into(),
                // One for all of them: a cluster is a word of the sender's, and each would be one more.
                cluster: String::new(),
                group: Vec::new(),
                ..crossing
            },
        };
        if let Some(known) = self.desk.known(&crossing, now.ms) {
            return known;
        }
        let label = crossing.label.clone();
        let (id, outcome, post) = self.desk.crossed(crossing, OnCrossing::Investigate, now.ms);
        if outcome == Outcome::Opened {
            self.desk.is_of_an_alert(id);
        }
        // No window will say that it is over.
        self.desk.abandoned(id);
        if let Some(post) = post {
            self.outbox.post(&post);
        }
        draft.report.raised.push((label, outcome));
        id
    }

    /// Only of what an alert opened: nothing told here ends what a watch counts.
    fn alert_ends(&mut self, crossing: &Crossing, now: Now) -> Option<u64> {
        let id = self.desk.alerted(crossing)?;
        // Windows of ours fire for it by now: they tell when it ends.
        if self.desk.get(id).is_some_and(|held| held.firing > 0) {
            return Some(id);
        }
        if let Some(post) = self.desk.quieted(id, now.ms) {
            self.outbox.post(&post);
        }
        Some(id)
    }
}
