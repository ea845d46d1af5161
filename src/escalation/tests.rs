//! When an escalation opens, is added to, and ends, with time as a parameter.

use super::*;

pub(super) const HOUR: i64 = 3_600_000;

pub(super) fn crossing(count: u64) -> Crossing {
    Crossing {
        label: "http_5xx".into(),
        severity: Severity::Critical,
        summary: "5xx".into(),
        cluster: "prod".into(),
        service: "checkout".into(),
        group: vec![("service".into(), "checkout".into())],
        threshold: 10,
        window_seconds: 60,
        late: false,
        count,
        first_ms: 0,
        last_ms: 0,
        samples: vec![],
        proposed: false,
    }
}

pub(super) fn desk() -> Desk {
    Desk::new(Settings { dedup_ms: HOUR, settle_ms: 2000, repeat_ms: 4 * HOUR, proposed_per_hour: 2, max_wanted: 3 })
}

pub(super) fn cross(desk: &mut Desk, crossing: Crossing, now_ms: i64) -> (u64, Outcome, Option<Post>) {
    desk.crossed(crossing, OnCrossing::Notify, now_ms)
}

pub(super) fn kind(post: &Option<Post>) -> Option<NoticeKind> {
    post.as_ref().map(|p| p.notice.kind)
}

#[test]
fn a_flapping_service_is_told_of_once_with_one_pair_and_then_keeps_quiet_until_the_time_is_over() {
    let mut desk = desk();
    let (id, outcome, post) = cross(&mut desk, crossing(20), 0);
    assert_eq!((id, outcome, kind(&post)), (1, Outcome::Opened, Some(NoticeKind::Opened)));
    assert_eq!(post.map(|p| p.due_ms), Some(2000), "it settles first");
    assert_eq!(kind(&desk.quieted(1, 100_000)), Some(NoticeKind::Resolved));
    let (id, outcome, post) = cross(&mut desk, crossing(5), 200_000);
    assert_eq!((id, outcome, kind(&post)), (1, Outcome::Again, Some(NoticeKind::Again)));
    assert_eq!(kind(&desk.quieted(1, 300_000)), Some(NoticeKind::Resolved));
    for n in 4..30 {
        let (id, outcome, post) = cross(&mut desk, crossing(1), n * 100_000);
        assert_eq!((id, outcome, kind(&post)), (1, Outcome::Added, None));
        assert_eq!(desk.quieted(1, n * 100_000 + 50_000), None);
    }
    assert_eq!(desk.get(1).map(|e| (e.count, e.crossings)), Some((20 + 5 + 26, 28)));
    let (id, outcome, _) = cross(&mut desk, crossing(1), 300_000 + HOUR);
    assert_eq!((id, outcome), (2, Outcome::Opened), "an hour after the last message");
}

#[test]
fn several_windows_of_one_escalation_are_resolved_when_the_last_one_is() {
    let mut desk = desk();
    cross(&mut desk, crossing(20), 0);
    cross(&mut desk, crossing(20), 10);
    assert_eq!(desk.quieted(1, 20), None);
    assert_eq!(kind(&desk.quieted(1, 30)), Some(NoticeKind::Resolved));
}

#[test]
fn silence_is_never_called_resolved_until_the_service_is_back() {
    let mut desk = desk();
    cross(&mut desk, crossing(20), 0);
    assert_eq!(kind(&desk.fell_silent(1, Some(7), 20)), Some(NoticeKind::NoData));
    assert_eq!(kind(&desk.came_back(1, 30)), Some(NoticeKind::Resolved));
}

#[test]
fn another_service_or_a_backlog_is_another_escalation() {
    let mut desk = desk();
    cross(&mut desk, crossing(20), 0);
    assert_eq!(cross(&mut desk, Crossing { service: "cart".into(), ..crossing(1) }, 1).0, 2);
    assert_eq!(cross(&mut desk, Crossing { late: true, ..crossing(1) }, 2).0, 3);
    assert_eq!(desk.quieted(3, 3), None, "a backlog has no end");
}

#[test]
fn what_only_counts_on_needs_no_row_and_is_taken_back_wherever_in_a_commit_it_changed() {
    let mut desk = desk();
    cross(&mut desk, crossing(20), 0);
    desk.settled();
    desk.counted(1, 7, -5, 9, &[]);
    assert_eq!((desk.changes().len(), desk.grown().len()), (0, 1));
    let grown = desk.grown()[0];
    assert_eq!((grown.id, grown.count, grown.first_ms, grown.last_ms), (1, 27, -5, 9));
    desk.settled();
    assert_eq!((desk.grown().len(), desk.unwritten()), (0, vec![grown]));
    // Before and after a change of the same commit.
    for _ in 0..2 {
        desk.counted(1, 1, 0, 10, &[]);
        desk.covers(1, "other");
        desk.counted(1, 1, 0, 11, &[]);
        assert_eq!((desk.changes().len(), desk.grown().len()), (1, 0));
        desk.take_back();
        assert_eq!(desk.get(1).map(|e| (e.count, e.last_ms, e.also.len())), Some((27, 9, 0)));
        assert_eq!(desk.unwritten(), [grown]);
    }
    desk.counted(1, 3, 0, 0, &[Redacted::new("a sample")]);
    assert_eq!((desk.changes().len(), desk.grown().len()), (1, 0), "its row tells all");
    desk.settled();
    assert_eq!(desk.unwritten(), []);
}

#[test]
fn a_row_that_says_more_than_the_journal_stands_and_another_of_its_number_is_not_meant() {
    let mut desk = desk();
    cross(&mut desk, crossing(20), 0);
    desk.counted(1, 7, -5, 9, &[]);
    let grown = growth::Growth { id: 1, opened_ms: 0, count: 25, first_ms: -3, last_ms: 12 };
    desk.grew(grown);
    assert_eq!(desk.get(1).map(|e| (e.count, e.first_ms, e.last_ms)), Some((27, -5, 12)));
    desk.grew(growth::Growth { opened_ms: 1, count: 99, ..grown });
    desk.grew(growth::Growth { id: 2, ..grown });
    assert_eq!(desk.get(1).map(|e| e.count), Some(27));
}

#[test]
fn what_a_failed_commit_changed_is_taken_back_and_its_number_with_it() {
    let mut desk = desk();
    cross(&mut desk, crossing(20), 0);
    assert_eq!(desk.changes().len(), 1);
    desk.settled();
    desk.counted(1, 7, 0, 9, &[]);
    cross(&mut desk, Crossing { service: "cart".into(), ..crossing(1) }, 1);
    desk.take_back();
    assert_eq!(desk.get(1).map(|e| e.count), Some(20));
    assert_eq!((desk.get(2), desk.changes().len()), (None, 0));
    assert_eq!(cross(&mut desk, Crossing { service: "cart".into(), ..crossing(1) }, 1).0, 2);
}
