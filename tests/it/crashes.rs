//! The crash matrix, row by row: the program dies at a named place, and it is looked at what lies on the disk, what
//! the sender has seen, and what is there after the restart. `docs/reliability.md` has the rows as a table.

use std::io;
use std::os::unix::process::ExitStatusExt;

use crate::kills::as_fluent_bit;
use crate::slack::{IN_DOUBT, wait_delivered, with_bot};
use crate::story::{LABEL, SOON, config, flood, matched_total, metric, start, wait_ready};
use crate::world::disk::Disk;
use crate::world::eventually;
use crate::world::http::{Connection, Response};
use crate::world::program::Program;
use crate::world::slack::SlackStandIn;

const REPEATS: &str = "batches_total{answer=\"repeat\"}";
const LINES: usize = 12;

/// Slack as the only destination, and a watch that crosses at `threshold` lines.
fn settings(slack: &SlackStandIn, threshold: u64) -> String {
    let watch = config("settle_seconds = 0", threshold, 3600);
    with_bot(slack, &format!("[notify]\nalerts_path = \"\"\n\n[store]\nsnapshot_seconds = 3600\n\n{watch}"))
}

/// A program that will die at the place. Its first snapshot, of an empty store, is written before it is used.
fn doomed(slack: &SlackStandIn, threshold: u64, place: &str) -> Program {
    let mut program = start(&settings(slack, threshold));
    program.kill9();
    program.set_env("EMBERWATCH_FAILPOINT", Some(place));
    program.restart();
    wait_ready(&program);
    program
}

/// One attempt of a Fluent Bit, on a connection of its own.
fn send(program: &Program, body: &str) -> io::Result<Response> {
    Connection::open(program.ingest_addr()).try_send(&as_fluent_bit(body))
}

/// The program has died at its failpoint; what it left.
fn died(program: &mut Program) -> Disk {
    assert_eq!(program.wait_exit().signal(), Some(6), "it aborts itself");
    Disk::of(program.home())
}

fn revived(program: &mut Program) {
    program.set_env("EMBERWATCH_FAILPOINT", None);
    program.restart();
    wait_ready(program);
}

/// Sends again what was not answered: counted once by now, and a repeat if `repeat`.
fn comes_again(program: &Program, body: &str, repeat: bool) {
    let again = send(program, body).expect("an answer");
    assert_eq!(again.status, 204);
    assert_eq!((matched_total(program, LABEL), metric(program, REPEATS)), (LINES as u64, u64::from(repeat)));
}

#[test]
fn before_the_transaction_nothing_is_on_the_disk_and_the_retry_counts_once() {
    for place in ["reading:1", "read:1", "staged:1", "committing:1"] {
        let slack = SlackStandIn::start();
        let mut program = doomed(&slack, 10, place);
        let body = flood("payments", LINES);
        send(&program, &body).expect_err(place);
        let disk = died(&mut program);
        // A crossing that was found is gone with it: its message would have been in the same transaction.
        assert_eq!((disk.lines, disk.unconfirmed, disk.escalations, disk.messages), (0, 0, 0, 0), "{place}: {disk:?}");
        revived(&mut program);
        assert_eq!(matched_total(&program, LABEL), 0, "{place}");
        comes_again(&program, &body, false);
        wait_delivered(&program);
        let messages = slack.messages();
        assert_eq!(messages.len(), 1, "{place}");
        assert!(
            messages[0].text.contains("12 lines") && !messages[0].text.contains(IN_DOUBT),
            "{place}: {messages:#?}"
        );
    }
}

#[test]
fn after_the_sync_the_lines_are_counted_though_nobody_heard_of_it_and_the_retry_is_a_repeat() {
    for place in ["committed:1", "applied:1", "answering:1"] {
        let slack = SlackStandIn::start();
        let mut program = doomed(&slack, 10, place);
        let body = flood("payments", LINES);
        send(&program, &body).expect_err(place);
        assert!(slack.attempts().is_empty() || place == "answering:1", "{place}");
        let disk = died(&mut program);
        assert_eq!((disk.lines, disk.unconfirmed, disk.escalations, disk.messages), (12, 1, 1, 1), "{place}: {disk:?}");
        revived(&mut program);
        assert_eq!(matched_total(&program, LABEL), 12, "{place}: counted before it comes again");
        comes_again(&program, &body, true);
        wait_delivered(&program);
        let told = slack.messages();
        // Once the counts are shown the message may be on its way before the process dies: then it says so.
        let doubted = told.iter().filter(|message| message.text.contains(IN_DOUBT)).count();
        assert!(told.len() == 1 || told.len() == 2 && doubted == 1, "{place}: {told:#?}");
        assert!(place != "committed:1" || (told.len(), doubted) == (1, 0), "{place}: {told:#?}");
    }
}

#[test]
fn what_was_answered_is_counted_over_a_kill_and_nothing_of_it_is_counted_again() {
    let slack = SlackStandIn::start();
    let mut program = start(&settings(&slack, 1000));
    let body = flood("payments", LINES);
    let answer = send(&program, &body).expect("an answer");
    program.kill9();
    program.wait_exit();
    assert_eq!(answer.status, 204);
    assert_eq!(Disk::of(program.home()).lines, 12);
    revived(&mut program);
    assert_eq!(matched_total(&program, LABEL), 12);
    comes_again(&program, &body, true);
}

#[test]
fn a_confirmation_that_dies_with_the_process_leaves_the_earlier_delivery_counted_once_and_the_later_one_to_come() {
    let slack = SlackStandIn::start();
    let mut program = doomed(&slack, 1000, "heard:1");
    let (first, second) = (flood("payments", 5), flood("payments", LINES - 5));
    let mut connection = Connection::open(program.ingest_addr());
    assert_eq!(connection.send(&as_fluent_bit(&first)).status, 204);
    connection
        .try_send(&as_fluent_bit(&second))
        .expect_err("it dies when the second request shows that the first was heard");
    let disk = died(&mut program);
    assert_eq!((disk.lines, disk.unconfirmed), (5, 1), "{disk:?}");
    revived(&mut program);
    comes_again(&program, &second, false);
}

#[test]
fn before_a_message_is_marked_as_under_way_it_is_told_once_after_the_restart() {
    let slack = SlackStandIn::start();
    let mut program = doomed(&slack, 10, "leasing:1");
    drop(send(&program, &flood("payments", LINES)));
    let disk = died(&mut program);
    assert_eq!((disk.lines, disk.messages, disk.under_way), (12, 1, 0), "{disk:?}");
    assert!(slack.attempts().is_empty());
    revived(&mut program);
    wait_delivered(&program);
    assert_eq!(slack.messages().len(), 1);
    assert!(!slack.messages()[0].text.contains(IN_DOUBT), "nobody can have seen it: {:#?}", slack.messages());
}

#[test]
fn a_message_that_was_marked_and_not_sent_is_told_after_the_restart_as_one_that_may_repeat() {
    for place in ["leased:1", "sending:1"] {
        let slack = SlackStandIn::start();
        let mut program = doomed(&slack, 10, place);
        drop(send(&program, &flood("payments", LINES)));
        let disk = died(&mut program);
        assert_eq!((disk.lines, disk.messages, disk.under_way), (12, 1, 1), "{place}: {disk:?}");
        assert!(slack.attempts().is_empty(), "{place}");
        revived(&mut program);
        wait_delivered(&program);
        let messages = slack.messages();
        assert_eq!(messages.len(), 1, "{place}");
        assert!(messages[0].text.contains(IN_DOUBT) && messages[0].text.contains("12 lines"), "{place}: {messages:#?}");
    }
}

#[test]
fn a_message_that_was_sent_and_not_settled_is_told_again_and_says_that_it_may_repeat() {
    for place in ["sent:1", "marking:1"] {
        let slack = SlackStandIn::start();
        let mut program = doomed(&slack, 10, place);
        drop(send(&program, &flood("payments", LINES)));
        let disk = died(&mut program);
        assert_eq!((disk.lines, disk.messages, disk.under_way), (12, 1, 1), "{place}: {disk:?}");
        assert_eq!(slack.messages().len(), 1, "{place}");
        revived(&mut program);
        wait_delivered(&program);
        let doubted: Vec<bool> = slack.messages().iter().map(|m| m.text.contains(IN_DOUBT)).collect();
        assert_eq!(doubted, [false, true], "{place}");
    }
}

#[test]
fn a_message_that_is_settled_is_not_told_again() {
    let slack = SlackStandIn::start();
    let mut program = doomed(&slack, 10, "marked:1");
    drop(send(&program, &flood("payments", LINES)));
    let disk = died(&mut program);
    assert_eq!((disk.lines, disk.messages), (12, 0), "{disk:?}");
    revived(&mut program);
    // A second one, of another service, shows that nothing of the first was left to tell.
    assert_eq!(send(&program, &flood("cart", LINES)).expect("an answer").status, 204);
    wait_delivered(&program);
    let numbers: Vec<bool> = slack.messages().iter().map(|m| m.text.contains("[E1]")).collect();
    assert_eq!(numbers, [true, false], "{:#?}", slack.messages());
}

#[test]
fn a_snapshot_that_is_cut_short_changes_no_count() {
    for (place, rows) in [("snapshotting:1", 1), ("snapshotted:1", 0)] {
        let slack = SlackStandIn::start();
        let mut program = start(&settings(&slack, 1000));
        let body = flood("payments", LINES);
        assert_eq!(send(&program, &body).expect("an answer").status, 204);
        program.kill9();
        program.set_env("EMBERWATCH_FAILPOINT", Some(place));
        program.restart();
        let disk = died(&mut program);
        assert_eq!((disk.lines, disk.unconfirmed, disk.journal_rows), (12, 1, rows), "{place}: {disk:?}");
        revived(&mut program);
        assert_eq!(matched_total(&program, LABEL), 12, "{place}");
        comes_again(&program, &body, true);
    }
}

#[test]
fn an_end_that_was_told_is_told_once_wherever_the_process_dies_over_it() {
    for place in ["committed:1", "leased:1", "marked:1"] {
        let slack = SlackStandIn::start();
        let watch = config("settle_seconds = 0", 10, 1);
        let mut program = start(&with_bot(&slack, &format!("[notify]\nalerts_path = \"\"\n\n{watch}")));
        assert_eq!(send(&program, &flood("payments", LINES)).expect("an answer").status, 204);
        wait_delivered(&program);
        program.kill9();
        // Its window falls quiet, or its service is found silent: either is an end, and told once.
        program.set_env("EMBERWATCH_FAILPOINT", Some(place));
        program.restart();
        died(&mut program);
        revived(&mut program);
        eventually("its end is told", SOON, || (slack.messages().len() >= 2).then_some(()));
        eventually("nothing waits", SOON, || (metric(&program, "outbox_rows") == 0).then_some(()));
        let ends: Vec<String> = slack.messages()[1..].iter().map(|message| message.text.clone()).collect();
        assert_eq!(ends.len(), 1, "{place}: {ends:#?}");
        assert_eq!(ends[0].contains(IN_DOUBT), place == "leased:1", "{place}: {ends:#?}");
    }
}
