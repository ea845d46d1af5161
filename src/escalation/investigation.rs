//! Which escalations are to be investigated, and how far that has come.
//!
//! Where it stands is part of the escalation's row, so a restart finds what was to be investigated and is not
//! yet. What waits is bounded: past it the least severe is left out, and its row says so. An escalation is
//! investigated once, however often it crosses.

use serde::{Deserialize, Serialize};

use super::{Crossing, Desk, Escalation};

/// How long before and after an escalation others of its service are told beside it.
const BESIDE_MS: i64 = 3_600_000;
/// How many of them.
const BESIDE_MAX: usize = 20;

/// How far the investigation of an escalation has come. A closed set: it labels a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Investigation {
    /// It waits for its dossier, or the dossier is being written.
    Wanted,
    Written,
    /// Its dossier could not be written, however often that was tried.
    Failed,
    /// Too many waited (`investigation.queue`).
    LeftOut,
}

impl Investigation {
    pub fn as_str(self) -> &'static str {
        match self {
            Investigation::Wanted => "wanted",
            Investigation::Written => "written",
            Investigation::Failed => "failed",
            Investigation::LeftOut => "left_out",
        }
    }
}

impl Desk {
    /// One more that opens is to be investigated. When too many wait, a less severe one makes room, the newest
    /// of the least severe: what the others were waiting for was at hand first. Whatever nobody wrote gives way to
    /// what somebody did, and never the other way round.
    pub(super) fn want(&mut self, crossing: &Crossing) -> Investigation {
        let rank = (!crossing.proposed, crossing.severity);
        let waiting = || self.by_id.values().filter(|e| e.investigation == Some(Investigation::Wanted));
        if waiting().count() < self.settings.max_wanted {
            return Investigation::Wanted;
        }
        let least = waiting().min_by_key(|e| (!e.proposed, e.severity, std::cmp::Reverse((e.opened_ms, e.id))));
        let Some(least) = least.filter(|e| (!e.proposed, e.severity) < rank).map(|e| e.id) else {
            return Investigation::LeftOut;
        };
        if let Some(escalation) = self.change(least) {
            escalation.investigation = Some(Investigation::LeftOut);
        }
        Investigation::Wanted
    }

    /// What became of one. `false`: it did not wait any more.
    pub fn investigated(&mut self, id: u64, became: Investigation) -> bool {
        let waited = self.get(id).is_some_and(|e| e.investigation == Some(Investigation::Wanted));
        if let Some(escalation) = self.change(id) {
            escalation.investigation = Some(became);
        }
        waited
    }

    /// Those that wait, oldest first.
    pub fn wanted(&self) -> Vec<Escalation> {
        self.by_id.values().filter(|e| e.investigation == Some(Investigation::Wanted)).cloned().collect()
    }

    /// Those that somebody asked to investigate, so many at most, the newest first.
    pub fn investigations(&self, most: usize) -> Vec<Escalation> {
        let mut asked: Vec<&Escalation> = self.by_id.values().filter(|e| e.investigation.is_some()).collect();
        asked.sort_unstable_by_key(|e| std::cmp::Reverse((e.opened_ms, e.id)));
        asked.into_iter().take(most).cloned().collect()
    }

    /// One, and what else was escalated of its service around then, the nearest first.
    pub fn with_others(&self, id: u64) -> Option<(Escalation, Vec<Escalation>)> {
        let of = self.get(id)?;
        let apart = |e: &Escalation| e.opened_ms.saturating_sub(of.opened_ms).saturating_abs();
        let same = |e: &&Escalation| e.id != id && (&e.cluster, &e.service) == (&of.cluster, &of.service);
        let mut others: Vec<&Escalation> = self.by_id.values().filter(same).filter(|e| apart(e) <= BESIDE_MS).collect();
        others.sort_unstable_by_key(|e| (apart(e), e.id));
        Some((of.clone(), others.into_iter().take(BESIDE_MAX).cloned().collect()))
    }

    /// Where those investigations stand now that have moved since the last commit.
    pub fn investigations_moved(&self) -> impl Iterator<Item = Investigation> {
        self.before.iter().filter_map(|(id, before)| {
            let before = before.as_ref().and_then(|e| e.investigation);
            self.by_id.get(id)?.investigation.filter(|now| Some(*now) != before)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::Settings;
    use super::*;
    use crate::notify::notice::Severity;
    use crate::watch::rule::OnCrossing;

    fn desk() -> Desk {
        Desk::new(Settings { dedup_ms: 1000, settle_ms: 0, repeat_ms: 1_000_000, proposed_per_hour: 10, max_wanted: 2 })
    }

    fn crossing(service: &str, severity: Severity, now_ms: i64) -> Crossing {
        Crossing {
            label: "http_5xx".into(),
            severity,
            summary: String::new(),
            cluster: "prod".into(),
            service: service.into(),
            group: vec![],
            threshold: 1,
            window_seconds: 60,
            late: false,
            count: 1,
            first_ms: now_ms,
            last_ms: now_ms,
            samples: vec![],
            proposed: false,
        }
    }

    fn open(desk: &mut Desk, service: &str, severity: Severity, on: OnCrossing, now_ms: i64) -> u64 {
        desk.crossed(crossing(service, severity, now_ms), on, now_ms).0
    }

    fn stands(desk: &Desk, id: u64) -> Option<Investigation> {
        desk.get(id).expect("held").investigation
    }

    #[test]
    fn only_what_opens_to_be_investigated_waits_for_it_and_only_once() {
        let mut desk = desk();
        let told = open(&mut desk, "a", Severity::Critical, OnCrossing::Notify, 0);
        let wanted = open(&mut desk, "b", Severity::Info, OnCrossing::Investigate, 0);
        assert_eq!((stands(&desk, told), stands(&desk, wanted)), (None, Some(Investigation::Wanted)));
        assert!(desk.investigated(wanted, Investigation::Written));
        assert_eq!(open(&mut desk, "b", Severity::Info, OnCrossing::Investigate, 10), wanted, "it adds to it");
        assert_eq!(stands(&desk, wanted), Some(Investigation::Written));
        assert!(desk.wanted().is_empty());
        desk.abandoned(wanted);
        desk.abandoned(wanted);
        let anew = open(&mut desk, "b", Severity::Info, OnCrossing::Investigate, 5000);
        assert_eq!((anew == wanted, stands(&desk, anew)), (false, Some(Investigation::Wanted)));
    }

    #[test]
    fn past_the_bound_the_newest_of_the_least_severe_is_left_out() {
        let mut desk = desk();
        use Severity::{Critical, Info, Warning};
        let [first, second, third, fourth, fifth] =
            [("a", Warning), ("b", Warning), ("c", Warning), ("d", Critical), ("e", Info)]
                .map(|(service, severity)| open(&mut desk, service, severity, OnCrossing::Investigate, 0));
        let left_out = Some(Investigation::LeftOut);
        assert_eq!(
            [first, second, third, fourth, fifth].map(|id| stands(&desk, id) == left_out),
            [false, true, true, false, true]
        );
        assert_eq!(desk.investigations_moved().filter(|now| *now == Investigation::LeftOut).count(), 3);
        desk.settled();
        assert_eq!(desk.investigations_moved().count(), 0);
    }

    #[test]
    fn what_nobody_wrote_gives_way_to_what_somebody_did_and_never_the_other_way_round() {
        let mut desk = desk();
        let mut proposed = |service: &str| {
            let crossing = Crossing { proposed: true, ..crossing(service, Severity::Critical, 0) };
            desk.crossed(crossing, OnCrossing::Investigate, 0).0
        };
        let (first, second) = (proposed("a"), proposed("b"));
        let person = open(&mut desk, "c", Severity::Info, OnCrossing::Investigate, 0);
        assert_eq!(stands(&desk, second), Some(Investigation::LeftOut));
        let other = open(&mut desk, "d", Severity::Info, OnCrossing::Investigate, 0);
        assert_eq!(stands(&desk, first), Some(Investigation::LeftOut));
        let late = Crossing { proposed: true, ..crossing("e", Severity::Critical, 0) };
        let late = desk.crossed(late, OnCrossing::Investigate, 0).0;
        assert_eq!(stands(&desk, late), Some(Investigation::LeftOut));
        assert_eq!([person, other].map(|id| stands(&desk, id)), [Some(Investigation::Wanted); 2]);
    }

    #[test]
    fn a_commit_that_failed_leaves_nobody_out() {
        let mut desk = desk();
        let kept = open(&mut desk, "a", Severity::Info, OnCrossing::Investigate, 0);
        open(&mut desk, "b", Severity::Info, OnCrossing::Investigate, 0);
        desk.settled();
        open(&mut desk, "c", Severity::Critical, OnCrossing::Investigate, 0);
        desk.investigated(kept, Investigation::Failed);
        desk.take_back();
        assert_eq!(desk.wanted().iter().map(|e| e.id).collect::<Vec<_>>(), [1, 2]);
    }

    #[test]
    fn others_of_the_service_are_told_by_their_distance_and_those_of_another_are_not() {
        let mut desk = desk();
        let mut one = |service: &str, now_ms: i64| {
            let id = open(&mut desk, service, Severity::Info, OnCrossing::Notify, now_ms);
            desk.abandoned(id);
            id
        };
        let of = one("a", 10_000_000);
        one("b", 10_000_000);
        let (near, far) = (one("a", 13_000_000), one("a", 13_500_000));
        one("a", 13_600_001);
        let (held, others) = desk.with_others(of).expect("held");
        assert_eq!((held.id, others.iter().map(|e| e.id).collect::<Vec<_>>()), (of, vec![near, far]));
        assert!(desk.with_others(99).is_none());
    }

    #[test]
    fn a_row_of_before_has_no_investigation() {
        let mut desk = desk();
        let id = open(&mut desk, "a", Severity::Info, OnCrossing::Investigate, 0);
        let row = serde_json::to_string(desk.get(id).expect("held")).expect("JSON");
        let before = row.replace(",\"investigation\":\"wanted\"", "");
        assert_ne!(before, row);
        assert_eq!(serde_json::from_str::<Escalation>(&before).expect("a row").investigation, None);
    }
}
