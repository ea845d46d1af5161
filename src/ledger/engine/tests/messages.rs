//! What people are told when much happens at once, goes on for long, or cannot be delivered.

use super::*;
use crate::notify::digest::{Digest, Why};

const MINUTE: i64 = 60 * SECOND;

fn lease(bench: &mut Bench, now: i64) -> Leased {
    let (draft, leased) = bench.engine.lease("slack", at(now)).expect("due");
    bench.write(draft, at(now));
    leased
}

fn settle(bench: &mut Bench, leased: &Leased, outcome: &Settled, now: i64) {
    let draft = bench.engine.settle(leased.row, outcome, at(now));
    bench.write(draft, at(now));
}

fn done(thread: &str) -> Settled {
    Settled::Done { thread: Some(thread.into()) }
}

fn digest(leased: &Leased) -> &Digest {
    match &leased.message {
        Message::Many(digest) => digest,
        Message::One(notice) => panic!("{notice:?}"),
    }
}

fn flood_of(bench: &mut Bench, service: &str, lines: u64, now: i64) {
    bench.count(service, &[(now, lines)], Lane::Live, now);
    bench.engine.shards.saw("prod", service, now);
}

#[test]
fn what_fires_for_hours_is_told_again_and_a_restart_makes_no_second_reminder() {
    let mut bench = Bench::new(10);
    for minute in 0..=241 {
        bench.flood(12, T0 + minute * MINUTE);
        if minute % 60 == 0 {
            bench.restart(T0 + minute * MINUTE + 1);
        }
        bench.tick(T0 + minute * MINUTE + SECOND);
        let told = bench.told(T0 + minute * MINUTE + 2 * SECOND);
        let expected = match minute {
            0 => vec![(NoticeKind::Opened, 1, 12)],
            // Ten times twelve, ten minutes after the first message at the earliest.
            10 => vec![(NoticeKind::Reminder, 1, 132)],
            // 132 × 10 lines are reached in the 110th minute.
            109 => vec![(NoticeKind::Reminder, 1, 1320)],
            _ => vec![],
        };
        assert_eq!(told, expected, "minute {minute}");
    }
    for minute in 242..=349 {
        bench.flood(12, T0 + minute * MINUTE);
        bench.tick(T0 + minute * MINUTE + SECOND);
        let told = bench.told(T0 + minute * MINUTE + 2 * SECOND);
        assert_eq!(told, if minute == 349 { vec![(NoticeKind::Reminder, 1, 4200)] } else { vec![] }, "minute {minute}");
    }
}

#[test]
fn services_that_fail_together_are_one_thread_in_the_order_in_which_they_began() {
    let mut bench = Bench::new(10);
    // The second to cross began first.
    bench.count("cart", &[(T0 - 2 * SECOND, 20)], Lane::Live, T0);
    bench.count("checkout", &[(T0 - 30 * SECOND, 20)], Lane::Live, T0);
    let now = T0 + 2 * SECOND;
    let first = lease(&mut bench, now);
    assert_eq!((one(&first).service.as_str(), one(&first).incident, &first.thread), ("checkout", Some(1), &None));
    settle(&mut bench, &first, &done("171.5"), now);
    let second = lease(&mut bench, now);
    assert_eq!((one(&second).service.as_str(), one(&second).incident), ("cart", None));
    assert_eq!(second.thread.as_deref(), Some("171.5"));
    settle(&mut bench, &second, &done("171.5"), now);
    // Resolved in the thread, also after a restart.
    bench.restart(T0 + 10 * MINUTE);
    for minute in 0..3 {
        for service in ["cart", "checkout"] {
            bench.engine.shards.saw("prod", service, T0 + (10 + minute) * MINUTE);
        }
        bench.tick(T0 + (10 + minute) * MINUTE);
    }
    for _ in 0..2 {
        let end = lease(&mut bench, T0 + 13 * MINUTE);
        assert_eq!((one(&end).kind, end.thread.as_deref()), (NoticeKind::Resolved, Some("171.5")));
        settle(&mut bench, &end, &done("171.5"), T0 + 13 * MINUTE);
    }
}

#[test]
fn when_more_wait_than_anybody_reads_they_are_told_in_one_and_each_is_named() {
    let mut bench = Bench::new(10);
    for n in 0..100 {
        flood_of(&mut bench, &format!("s{n}"), 20, T0);
    }
    let now = T0 + 2 * SECOND;
    let mut named = Vec::new();
    let mut messages = 0;
    while let Ok((draft, leased)) = bench.engine.lease("slack", at(now)) {
        bench.write(draft, at(now));
        messages += 1;
        match &leased.message {
            Message::One(notice) => named.push(notice.escalation),
            Message::Many(digest) => {
                assert_eq!((digest.why, digest.unlisted), (Why::Many(20), 0));
                named.extend(digest.notices.iter().map(|n| n.escalation));
            }
        }
        settle(&mut bench, &leased, &done("171.5"), now);
    }
    named.sort_unstable();
    assert_eq!(named, (1..=100).collect::<Vec<u64>>());
    assert!(messages <= 2 + 20, "{messages}");
}

#[test]
fn a_digest_that_fails_is_told_again_whole_and_after_a_death_it_is_in_doubt() {
    let mut bench = Bench::new(10);
    for n in 0..30 {
        flood_of(&mut bench, &format!("s{n}"), 20, T0);
    }
    let now = T0 + 2 * SECOND;
    let first = lease(&mut bench, now);
    assert_eq!(digest(&first).notices.len(), 30);
    assert!(bench.engine.lease("slack", at(now)).is_err(), "one at a time");
    let again = Settled::RetryAt { at_ms: now + 5 * SECOND, reason: "it rained".into(), in_doubt: false };
    settle(&mut bench, &first, &again, now);
    assert_eq!(bench.engine.lease("slack", at(now + SECOND)).err(), Some(Some(now + 5 * SECOND)));
    // One more comes meanwhile: it waits, too.
    flood_of(&mut bench, "late", 20, T0 + SECOND);
    assert_eq!(bench.engine.lease("slack", at(now + 4 * SECOND)).err(), Some(Some(now + 5 * SECOND)));
    let second = lease(&mut bench, now + 5 * SECOND);
    assert_eq!((digest(&second).notices.len(), digest(&second).in_doubt), (31, false));
    bench.restart(now + 6 * SECOND);
    let third = lease(&mut bench, now + 6 * SECOND);
    assert_eq!((digest(&third).notices.len(), digest(&third).in_doubt), (31, true));
    settle(&mut bench, &third, &done("171.5"), now + 6 * SECOND);
    assert_eq!(bench.outbox.keys().copied().collect::<Vec<u64>>(), [0], "what was sent today, and nothing else");
}

#[test]
fn past_the_days_messages_one_digest_in_ten_minutes_tells_the_rest() {
    let mut bench = Bench::new(10);
    let mut told = 0;
    for n in 0..50 {
        flood_of(&mut bench, &format!("s{n}"), 20, T0 + n * MINUTE);
        told += bench.told(T0 + n * MINUTE + 2 * SECOND).len();
    }
    assert_eq!(told, 50);
    bench.restart(T0 + 50 * MINUTE);
    for n in 0..40 {
        flood_of(&mut bench, &format!("t{n}"), 20, T0 + 50 * MINUTE + n);
    }
    let due = T0 + 49 * MINUTE + 2 * SECOND + 10 * MINUTE;
    assert_eq!(bench.engine.lease("slack", at(T0 + 51 * MINUTE)).err(), Some(Some(due)));
    let all = lease(&mut bench, due);
    let listed = digest(&all);
    assert_eq!((listed.why, listed.notices.len() + listed.unlisted), (Why::Budget(50), 40));
    settle(&mut bench, &all, &done("171.5"), due);
    assert_eq!(bench.told(due), []);
}

#[test]
fn what_was_given_up_is_listed_and_sent_again_when_a_person_says_so() {
    let mut bench = Bench::new(10);
    bench.flood(20, T0);
    let now = T0 + 2 * SECOND;
    let leased = lease(&mut bench, now);
    settle(&mut bench, &leased, &Settled::Dead { reason: "msg_too_long".into() }, now);
    assert_eq!(bench.told(now + HOUR), []);
    bench.restart(now + HOUR);
    let dead: Vec<_> = bench.engine.outbox().dead_letters().map(|r| (r.id, r.dead.clone())).collect();
    assert_eq!(dead, [(leased.row, Some("msg_too_long".into()))]);
    let (draft, resent) = bench.engine.resend(Some(99), at(now + HOUR));
    bench.write(draft, at(now + HOUR));
    assert_eq!(resent, 0);
    let (draft, resent) = bench.engine.resend(None, at(now + HOUR));
    bench.write(draft, at(now + HOUR));
    assert_eq!(resent, 1);
    bench.restart(now + HOUR);
    assert_eq!(bench.told(now + HOUR), [(NoticeKind::Opened, 1, 20)]);
    assert_eq!(bench.engine.outbox().dead_letters().count(), 0);
}

#[test]
fn who_has_not_heard_the_first_message_gets_no_reminder_of_it() {
    let mut bench = Bench::new(10);
    for minute in 0..=300 {
        bench.flood(12, T0 + minute * MINUTE);
        bench.tick(T0 + minute * MINUTE + SECOND);
    }
    let told = bench.told(T0 + 301 * MINUTE);
    assert_eq!(told, [(NoticeKind::Opened, 1, 301 * 12)], "with the count of the moment");
}

#[test]
fn a_clock_that_is_set_back_an_hour_delays_no_message_and_misses_no_flood() {
    let mut bench = Bench::new(10);
    // Five lines an hour ahead, which was now then; and a message that waits for its time.
    bench.count("cart", &[(T0 + HOUR, 5)], Lane::Live, T0 + HOUR);
    bench.flood(50, T0 + HOUR);
    assert_eq!(bench.told(T0), [(NoticeKind::Opened, 1, 50)], "due, whatever the clock says");
    assert_eq!(bench.count("cart", &[(T0, 20)], Lane::Live, T0), ["http_5xx"]);
    // With the five of an hour ahead, which nobody can tell from now.
    assert_eq!(bench.told(T0 + 2 * SECOND), [(NoticeKind::Opened, 2, 25)]);
}

#[test]
fn a_clock_that_jumps_an_hour_ahead_and_back_tells_each_flood_once() {
    let mut bench = Bench::new(10);
    bench.flood(50, T0);
    assert_eq!(bench.told(T0 + 2 * SECOND), [(NoticeKind::Opened, 1, 50)]);
    bench.tick(T0 + HOUR);
    // Nothing was heard of the service in that hour, as far as anybody can tell.
    assert_eq!(bench.told(T0 + HOUR), [(NoticeKind::NoData, 1, 50)]);
    let mut told = Vec::new();
    for minute in 0..10 {
        bench.flood(50, T0 + minute * MINUTE + 3 * SECOND);
        bench.tick(T0 + minute * MINUTE + 4 * SECOND);
        told.extend(bench.told(T0 + minute * MINUTE + 5 * SECOND).into_iter().map(|(kind, id, _)| (kind, id)));
    }
    assert!(told.len() <= 2 && told.iter().all(|(kind, id)| *id == 1 && *kind != NoticeKind::Opened), "{told:?}");
}

#[test]
fn backlogs_of_ten_and_thirty_three_minutes_at_once_are_each_told_for_what_they_are() {
    let mut bench = Bench::new(10);
    // Ten minutes late is in time: one flood, as if it had come then.
    bench.count("checkout", &[(T0 - 600 * SECOND, 30)], Lane::Live, T0);
    assert_eq!(bench.told(T0 + 2 * SECOND), [(NoticeKind::Opened, 1, 30)]);
    // Thirty-three minutes late: one escalation for all of it, however it comes in.
    for part in 0..5 {
        bench.count("cart", &[(T0 - 1980 * SECOND + part * 60 * SECOND, 30)], Lane::Late, T0 + part);
    }
    assert_eq!(bench.told(T0 + 4 * SECOND), [(NoticeKind::Opened, 2, 150)]);
    assert!(bench.engine.desk().get(2).is_some_and(|e| e.late && e.first_ms <= T0 - 1980 * SECOND));
}

#[test]
fn a_digest_whose_marking_or_end_cannot_be_stored_is_whole_afterwards() {
    let mut bench = Bench::new(10);
    for n in 0..30 {
        flood_of(&mut bench, &format!("s{n}"), 20, T0);
    }
    let now = T0 + 2 * SECOND;
    let (draft, _) = bench.engine.lease("slack", at(now)).expect("due");
    bench.engine.discard(draft);
    let leased = lease(&mut bench, now);
    assert_eq!(digest(&leased).notices.len(), 30);
    let draft = bench.engine.settle(leased.row, &done("171.5"), at(now));
    bench.engine.discard(draft);
    assert!(bench.engine.lease("slack", at(now)).is_err(), "its end is not known yet");
    settle(&mut bench, &leased, &done("171.5"), now);
    assert_eq!(bench.engine.outbox().waiting().0, 0);
    flood_of(&mut bench, "another", 20, now);
    let next = lease(&mut bench, now + 2 * SECOND);
    assert_eq!(one(&next).escalation, 31);
}

#[test]
fn after_a_day_only_what_was_tried_for_a_day_is_given_up() {
    let mut bench = Bench::new(10);
    for n in 0..30 {
        flood_of(&mut bench, &format!("s{n}"), 20, T0);
    }
    let first = lease(&mut bench, T0 + 2 * SECOND);
    let retry = |at_ms| Settled::RetryAt { at_ms, reason: "down".into(), in_doubt: false };
    settle(&mut bench, &first, &retry(T0 + MINUTE), T0 + 2 * SECOND);
    let later = T0 + 25 * HOUR;
    flood_of(&mut bench, "young", 20, later - MINUTE);
    let second = lease(&mut bench, later);
    assert_eq!(digest(&second).notices.len(), 31);
    let too_old = Settled::TooOld { at_ms: later + MINUTE, reason: "given up".into(), in_doubt: false };
    settle(&mut bench, &second, &too_old, later);
    assert_eq!(bench.engine.outbox().dead_letters().count(), 30);
    assert_eq!(bench.told(later + MINUTE), [(NoticeKind::Opened, 31, 20)]);
}

#[test]
fn a_first_message_that_fails_goes_first_again_with_the_count_of_that_moment() {
    let mut bench = Bench::new(10);
    bench.count("cart", &[(T0 - 20 * SECOND, 20)], Lane::Live, T0);
    bench.count("checkout", &[(T0 - 30 * SECOND, 20)], Lane::Live, T0);
    let now = T0 + 2 * SECOND;
    let first = lease(&mut bench, now);
    let again = Settled::RetryAt { at_ms: now + SECOND, reason: "it rained".into(), in_doubt: false };
    settle(&mut bench, &first, &again, now);
    bench.count("checkout", &[(T0, 5)], Lane::Live, now);
    let second = lease(&mut bench, now + SECOND);
    assert_eq!((one(&second).service.as_str(), one(&second).count, second.attempt), ("checkout", 25, 2));
}

#[test]
fn what_waits_for_a_destination_that_is_gone_is_given_up() {
    let mut bench = Bench::new(10);
    bench.flood(20, T0);
    for row in bench.outbox.values_mut() {
        *row = String::from_utf8(row.clone()).expect("JSON").replace("\"slack\"", "\"pager\"").into_bytes();
    }
    bench.restart(T0 + SECOND);
    assert_eq!(bench.engine.outbox().waiting(), (0, None));
    assert_eq!(bench.engine.outbox().dead(), 1);
}
