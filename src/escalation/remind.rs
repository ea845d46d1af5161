//! One that goes on firing is told again, so that nobody takes silence for an end.
//!
//! After `repeat` of the last message, or, ten minutes after it at the earliest, when it has come to ten times
//! the count that people were last told. Only of what lines were counted since, and since our own start: a receiver
//! that was away says nothing of what it has not seen. A backlog is told once.
//!
//! A flood that began when "again" had been told too lately to be told once more is told when that is over: the last
//! word about what fires is never that it was resolved.

use super::{Desk, Escalation, PROPOSED_AFTER, Post};
use crate::notify::notice::NoticeKind;

/// The least time between a message and the reminder that it has become ten times as bad.
const TENFOLD_AFTER_MS: i64 = 600_000;
const TENFOLD: u64 = 10;

impl Desk {
    /// What is worth a reminder now. Those of proposed ones count among their messages of the hour. `started_ms`: since
    /// when we look.
    pub fn remind(&mut self, now_ms: i64, started_ms: i64) -> Vec<Post> {
        let (repeat_ms, dedup_ms) = (self.settings.repeat_ms, self.settings.dedup_ms);
        let seen = self.by_id.values().filter(|e| e.goes_on() && e.last_ms > e.told_ms.max(started_ms));
        let (ended, told): (Vec<_>, Vec<_>) = seen.partition(|e| e.end_told);
        let due: Vec<u64> = told.iter().filter(|e| e.is_due(repeat_ms, now_ms)).map(|e| e.id).collect();
        let again: Vec<u64> = ended.iter().filter(|e| e.may_tell_again(dedup_ms, now_ms)).map(|e| e.id).collect();
        let mut posts: Vec<Post> = again.into_iter().filter_map(|id| self.again(id, now_ms)).collect();
        posts.extend(due.into_iter().filter_map(|id| self.reminder(id, now_ms)));
        posts
    }

    fn reminder(&mut self, id: u64, now_ms: i64) -> Option<Post> {
        if id > PROPOSED_AFTER && self.told_of_proposed(now_ms) >= self.settings.proposed_per_hour {
            return None;
        }
        let escalation = self.change(id)?;
        let told_before = std::mem::replace(&mut escalation.told_count, escalation.count);
        (escalation.told_ms, escalation.reminded_ms) = (now_ms, Some(now_ms));
        let mut notice = escalation.notice(NoticeKind::Reminder, now_ms);
        notice.told_before = Some(told_before);
        Some(Post { escalation: id, due_ms: now_ms, notice })
    }

    /// A message about it leaves, with this count.
    pub fn told(&mut self, id: u64, count: u64) {
        if self.get(id).is_some_and(|e| e.told_count != count)
            && let Some(escalation) = self.change(id)
        {
            escalation.told_count = count;
        }
    }
}

impl Escalation {
    fn goes_on(&self) -> bool {
        self.firing > 0 && !self.late && !self.held
    }

    fn is_due(&self, repeat_ms: i64, now_ms: i64) -> bool {
        let since_ms = now_ms - self.told_ms;
        let worse = since_ms >= TENFOLD_AFTER_MS && self.count / TENFOLD >= self.told_count.max(1);
        since_ms >= repeat_ms || worse
    }

    /// At most one pair of "again" and its end in `dedup`: a flapping service is told of once.
    pub(super) fn may_tell_again(&self, dedup_ms: i64, now_ms: i64) -> bool {
        self.end_told && !self.held && self.again_told_ms.is_none_or(|told| now_ms - told >= dedup_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{HOUR, cross, crossing, desk, kind};
    use super::super::{Crossing, Outcome};
    use super::*;

    const MINUTE: i64 = 60_000;

    fn reminded(desk: &mut Desk, now_ms: i64) -> Vec<(u64, u64, Option<u64>)> {
        let posts = desk.remind(now_ms, -HOUR);
        posts
            .iter()
            .inspect(|p| assert_eq!((p.notice.kind, p.due_ms), (NoticeKind::Reminder, now_ms)))
            .map(|p| (p.escalation, p.notice.count, p.notice.told_before))
            .collect()
    }

    #[test]
    fn what_fires_for_four_hours_is_told_again_and_once_more_four_hours_later() {
        let mut desk = desk();
        cross(&mut desk, crossing(20), 0);
        for minute in 1..=8 * 60 {
            desk.counted(1, u64::from(minute % 5 == 0), 0, minute * MINUTE, &[]);
            let expected = match minute {
                240 => vec![(1, 68, Some(20))],
                480 => vec![(1, 116, Some(68))],
                _ => vec![],
            };
            let early = if expected.is_empty() { minute * MINUTE } else { minute * MINUTE - 1 };
            assert_eq!(reminded(&mut desk, early), [], "{minute}");
            if !expected.is_empty() {
                assert_eq!(reminded(&mut desk, minute * MINUTE + 2), expected, "{minute}");
            }
        }
    }

    #[test]
    fn ten_times_the_count_last_told_is_told_after_ten_minutes_and_not_before() {
        let mut desk = desk();
        cross(&mut desk, crossing(20), 0);
        desk.told(1, 30);
        desk.counted(1, 280, 0, MINUTE, &[]);
        assert_eq!(reminded(&mut desk, 10 * MINUTE - 1), []);
        assert_eq!(reminded(&mut desk, 10 * MINUTE), [(1, 300, Some(30))]);
        desk.counted(1, 2699, 0, 19 * MINUTE, &[]);
        assert_eq!(reminded(&mut desk, 21 * MINUTE), [], "2,999 is not yet ten times 300");
        desk.counted(1, 1, 0, 21 * MINUTE, &[]);
        assert_eq!(reminded(&mut desk, 22 * MINUTE), [(1, 3000, Some(300))]);
    }

    #[test]
    fn nobody_is_reminded_of_what_is_over_late_or_was_not_seen_since() {
        let mut desk = desk();
        cross(&mut desk, crossing(20), 0);
        assert_eq!(reminded(&mut desk, 5 * HOUR), [], "nothing was counted since: it was not seen");
        desk.counted(1, 1, 0, HOUR, &[]);
        assert_eq!(kind(&desk.quieted(1, 2 * HOUR)), Some(NoticeKind::Resolved));
        assert_eq!(reminded(&mut desk, 9 * HOUR), []);
        cross(&mut desk, Crossing { late: true, ..crossing(1) }, 10 * HOUR);
        desk.counted(2, 1000, 0, 11 * HOUR, &[]);
        assert_eq!(reminded(&mut desk, 20 * HOUR), []);
    }

    #[test]
    fn a_flood_that_stays_after_a_flap_is_told_when_it_may_be_and_its_end_too() {
        let mut desk = desk();
        cross(&mut desk, crossing(20), 0);
        assert_eq!(kind(&desk.quieted(1, 5 * MINUTE)), Some(NoticeKind::Resolved));
        assert_eq!(kind(&cross(&mut desk, crossing(5), 10 * MINUTE).2), Some(NoticeKind::Again));
        assert_eq!(kind(&desk.quieted(1, 15 * MINUTE)), Some(NoticeKind::Resolved));
        assert_eq!(kind(&cross(&mut desk, crossing(5), 20 * MINUTE).2), None);
        for minute in 21..70 {
            desk.counted(1, 5, 0, minute * MINUTE, &[]);
            assert_eq!(desk.remind(minute * MINUTE + 1, -HOUR), [], "{minute}");
        }
        let told = desk.remind(70 * MINUTE, -HOUR);
        assert_eq!(told.iter().map(|p| p.notice.kind).collect::<Vec<_>>(), [NoticeKind::Again]);
        assert_eq!(desk.remind(71 * MINUTE, -HOUR), []);
        assert_eq!(kind(&desk.quieted(1, 80 * MINUTE)), Some(NoticeKind::Resolved));
    }

    #[test]
    fn after_a_start_nothing_is_said_before_something_was_seen() {
        let mut desk = desk();
        cross(&mut desk, crossing(20), 0);
        desk.counted(1, 5, 0, HOUR, &[]);
        assert_eq!(desk.remind(5 * HOUR, 5 * HOUR - MINUTE), []);
        desk.counted(1, 5, 0, 5 * HOUR, &[]);
        assert_eq!(desk.remind(5 * HOUR + 1, 5 * HOUR - MINUTE).len(), 1);
    }

    #[test]
    fn what_fires_on_stays_one_escalation_however_long_ago_it_was_told() {
        let mut desk = desk();
        cross(&mut desk, crossing(20), 0);
        let (id, outcome, post) = cross(&mut desk, crossing(5), 3 * HOUR);
        assert_eq!((id, outcome, post), (1, Outcome::Added, None));
    }

    #[test]
    fn reminders_of_what_triage_proposed_are_bounded_by_the_hour() {
        let mut desk = desk();
        for service in ["a", "b", "c"] {
            cross(&mut desk, Crossing { service: service.into(), proposed: true, ..crossing(20) }, 0);
        }
        // The third was held back from the start.
        for id in 1..=3 {
            desk.counted(PROPOSED_AFTER + id, 1, 0, HOUR, &[]);
        }
        assert_eq!(reminded(&mut desk, 4 * HOUR).len(), 2);
        cross(&mut desk, Crossing { service: "d".into(), proposed: true, ..crossing(20) }, 4 * HOUR + MINUTE);
        assert!(desk.get(PROPOSED_AFTER + 4).is_some_and(|e| e.held), "the two reminders were the hour's messages");
    }
}
