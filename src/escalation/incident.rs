//! Escalations that begin together are one incident: one thread, in the order in which they began.
//!
//! One joins the incident of the same cluster whose newest member opened within the last minute: of the same service
//! rather than of another. An incident takes in for ten minutes, so that a day of trouble is not one thread. What nobody's
//! rule raised may join, and never begins one that a person's would join: what a model says moves no one's message.

use super::{Crossing, Desk, Escalation, PROPOSED_AFTER, cleaned};
use crate::notify::notice::Severity;

/// How long after the last one another belongs to it.
const TOGETHER_MS: i64 = 60_000;
/// How long after the first one others may join.
const OPEN_MS: i64 = 600_000;
/// Of the last minute's: in a storm of thousands the newest tell enough.
const LOOKED_AT: usize = 200;

impl Escalation {
    /// The number of its incident: that of its first escalation.
    pub fn incident(&self) -> u64 {
        if self.incident == 0 { self.id } else { self.incident }
    }

    /// Which of an incident's first messages goes first: people's before all, then by onset.
    pub(super) fn place(&self) -> (bool, i64, u64) {
        (self.proposed, self.first_ms, self.id)
    }
}

impl Desk {
    pub(super) fn incident_of(&self, crossing: &Crossing, now_ms: i64) -> Option<u64> {
        let (cluster, service) = (cleaned(&crossing.cluster), cleaned(&crossing.service));
        // Numbers rise with time on either side of the border.
        let recent = |ids: std::ops::RangeInclusive<u64>| {
            let newest = self.by_id.range(ids).rev().map(|(_, e)| e);
            newest.take_while(|e| now_ms - e.opened_ms < TOGETHER_MS).take(LOOKED_AT)
        };
        let people = recent(0..=PROPOSED_AFTER);
        let proposed = crossing.proposed.then(|| recent(PROPOSED_AFTER + 1..=u64::MAX)).into_iter().flatten();
        let takes_in = |incident: u64| self.get(incident).is_some_and(|first| now_ms - first.opened_ms < OPEN_MS);
        let together = people.chain(proposed).filter(|e| e.late == crossing.late && !e.held && e.cluster == cluster);
        let joined = together.filter(|e| takes_in(e.incident()));
        // The first of those that are best: people's, of the same service, the newest.
        joined.min_by_key(|e| (e.proposed, e.service != service)).map(Escalation::incident)
    }

    fn members(&self, incident: u64) -> impl Iterator<Item = &Escalation> {
        self.by_id.range(incident..).map(|(_, e)| e).filter(move |e| e.incident() == incident)
    }

    /// Where the thread of its incident is, at a destination: under the first message of any of its escalations.
    pub fn thread_of(&self, id: u64, destination: &str) -> Option<String> {
        let escalation = self.get(id)?;
        let own = escalation.threads.get(destination);
        own.or_else(|| self.members(escalation.incident()).find_map(|e| e.threads.get(destination))).cloned()
    }

    /// Whether what its first message says is graver than all that stands in the thread so far: then the
    /// channel has to see it.
    pub fn is_gravest(&self, id: u64, destination: &str) -> bool {
        let Some(escalation) = self.get(id) else { return false };
        let told = self.members(escalation.incident()).filter(|e| e.id != id && e.threads.contains_key(destination));
        escalation.severity > told.map(|e| e.severity).max().unwrap_or(Severity::Info)
    }

    /// Of first messages that may leave now, the one that comes first, if `first` is of an incident.
    pub fn first_of_incident<T: Copy>(&self, first: (u64, T), others: impl Iterator<Item = (u64, T)>) -> T {
        let Some(incident) = self.get(first.0).map(Escalation::incident) else { return first.1 };
        let mine = others.filter_map(|(id, row)| self.get(id).filter(|e| e.incident() == incident).map(|e| (e, row)));
        mine.min_by_key(|(e, _)| e.place()).map_or(first.1, |(_, row)| row)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{cross, crossing, desk};
    use super::*;

    const SECOND: i64 = 1000;

    fn of(service: &str) -> Crossing {
        Crossing { service: service.into(), ..crossing(20) }
    }

    fn labelled(label: &str, service: &str) -> Crossing {
        Crossing { label: label.into(), ..of(service) }
    }

    fn incidents(desk: &Desk) -> Vec<(u64, u64)> {
        desk.by_id.values().map(|e| (e.id, e.incident())).collect()
    }

    #[test]
    fn what_begins_within_a_minute_is_one_incident_and_what_comes_later_another() {
        let mut desk = desk();
        cross(&mut desk, of("checkout"), 0);
        cross(&mut desk, labelled("errors", "checkout"), 30 * SECOND);
        cross(&mut desk, of("cart"), 59 * SECOND);
        cross(&mut desk, labelled("fatal", "checkout"), 118 * SECOND);
        cross(&mut desk, labelled("slow", "checkout"), 178 * SECOND);
        assert_eq!(incidents(&desk), [(1, 1), (2, 1), (3, 1), (4, 1), (5, 5)]);
    }

    #[test]
    fn another_cluster_or_a_backlog_is_no_part_of_it() {
        let mut desk = desk();
        cross(&mut desk, of("checkout"), 0);
        cross(&mut desk, Crossing { cluster: "staging".into(), ..of("checkout") }, 1);
        cross(&mut desk, Crossing { late: true, ..of("checkout") }, 2);
        cross(&mut desk, Crossing { late: true, ..of("cart") }, 3);
        assert_eq!(incidents(&desk), [(1, 1), (2, 2), (3, 3), (4, 3)]);
    }

    #[test]
    fn an_incident_takes_in_for_ten_minutes() {
        let mut desk = desk();
        for n in 0..15 {
            cross(&mut desk, labelled(&format!("w{n}"), "checkout"), n * 50 * SECOND);
        }
        // The thirteenth comes after 600 s.
        assert_eq!(incidents(&desk)[11], (12, 1));
        assert_eq!(incidents(&desk)[12], (13, 13));
        assert_eq!(incidents(&desk)[14], (15, 13));
    }

    #[test]
    fn what_triage_raised_joins_a_persons_incident_and_never_the_other_way_round() {
        let proposed = |label: &str| Crossing { proposed: true, ..labelled(label, "checkout") };
        let mut desk = desk();
        cross(&mut desk, proposed("a"), 0);
        cross(&mut desk, of("checkout"), 1);
        cross(&mut desk, proposed("b"), 2);
        let first = PROPOSED_AFTER + 1;
        assert_eq!(incidents(&desk), [(1, 1), (first, first), (first + 1, 1)]);
    }

    #[test]
    fn its_thread_is_where_any_of_it_was_told_first_and_onset_decides_what_is() {
        let mut desk = desk();
        cross(&mut desk, Crossing { first_ms: 500, ..of("cart") }, 0);
        cross(&mut desk, Crossing { first_ms: 100, ..of("checkout") }, 1);
        cross(&mut desk, Crossing { first_ms: 50, proposed: true, ..of("front") }, 2);
        let front = PROPOSED_AFTER + 1;
        let waiting = [(1, 'a'), (2, 'b'), (front, 'c')];
        assert_eq!(desk.first_of_incident((1, 'a'), waiting.into_iter()), 'b');
        assert_eq!(desk.thread_of(1, "slack"), None);
        desk.thread(2, "slack", "171.5".into());
        assert_eq!(desk.thread_of(1, "slack").as_deref(), Some("171.5"));
        assert_eq!(desk.thread_of(front, "slack").as_deref(), Some("171.5"));
        assert_eq!(desk.thread_of(1, "alerts"), None);
    }

    #[test]
    fn the_channel_sees_what_is_graver_than_all_that_its_thread_says() {
        let mut desk = desk();
        cross(&mut desk, Crossing { severity: Severity::Warning, ..of("cart") }, 0);
        cross(&mut desk, of("checkout"), 1);
        cross(&mut desk, of("front"), 2);
        desk.thread(1, "slack", "171.5".into());
        assert!(desk.is_gravest(2, "slack"));
        desk.thread(2, "slack", "171.5".into());
        assert!(!desk.is_gravest(3, "slack"), "critical stands there already");
    }
}
