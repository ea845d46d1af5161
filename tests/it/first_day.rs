//! The first look: told once in the life of a store, through the front door, with time as configuration.

use std::time::Duration;

use crate::slack::{wait_delivered, with_bot};
use crate::story::{CLUSTER, SOON, config, id, metric, now, post, start};
use crate::world::eventually;
use crate::world::fluent_bit::{Says, firelens_line};
use crate::world::program::Program;
use crate::world::slack::SlackStandIn;

fn lines(service: &str, many: usize, text: &str) -> String {
    (0..many).map(|_| firelens_line(id(), service, CLUSTER, Says::Text(text), Some(now())) + "\n").collect()
}

fn structured(service: &str, many: usize) -> String {
    let says = Says::App { level: "info", message: "paid" };
    (0..many).map(|_| firelens_line(id(), service, CLUSTER, says, Some(now())) + "\n").collect()
}

fn looks(program: &Program) -> Vec<serde_json::Value> {
    program.alerts().into_iter().filter(|alert| alert["kind"] == "first_day").collect()
}

fn with_first_day(rest: &str) -> String {
    format!("[notify]\nfirst_day_seconds = 1\n\n{rest}")
}

#[test]
fn what_is_seen_and_what_is_missing_is_told_once_and_never_again() {
    let slack = SlackStandIn::start();
    let mut program = start(&with_bot(&slack, &with_first_day(&config("settle_seconds = 0", 1000, 3600))));
    post(&program, structured("payments", 60));
    post(&program, lines("mail", 50, "sent one more receipt"));
    post(&program, "{\"log\":\"a line of nobody\",\"date\":".to_owned() + &now().to_string() + "}\nno record\n");
    let message = slack.wait_messages(1)[0].clone();
    wait_delivered(&program);
    let first = message.text.lines().next().unwrap_or_default();
    assert!(
        first.starts_with("🔭 First look: 3 services seen, 1 without metadata, 2 formats not understood"),
        "{first}"
    );
    for words in ["111 lines in", "`payments in ", "`unknown` 1", "1 line is no record at all", "quiet, and watching:"]
    {
        assert!(message.text.contains(words), "{words}: {}", message.text);
    }
    eventually("the file has it", SOON, || (looks(&program).len() == 1).then_some(()));
    assert_eq!(looks(&program)[0]["first_day"]["lines"], 111);

    // Neither a kill nor an end in order brings it again.
    for _ in 0..2 {
        program.kill9();
        program.restart();
        post(&program, lines("payments", 200, "and so on"));
        // Longer than it took the first time, by what the program itself says of its time.
        eventually("it was up for three seconds", Duration::from_secs(30), || {
            let status = crate::world::http::get_json(program.control_addr(), "/status");
            (status["uptime_seconds"].as_u64()? >= 3).then_some(())
        });
        assert_eq!(metric(&program, "outbox_rows"), 0);
    }
    assert_eq!((slack.messages().len(), looks(&program).len()), (1, 1));
}

#[test]
fn one_that_was_due_when_the_program_was_killed_is_told_after_the_restart() {
    let mut program = start(&format!("[notify]\nfirst_day_seconds = 3600\n\n{}", config("", 1000, 3600)));
    post(&program, lines("payments", 120, "counted by nobody"));
    program.kill9();
    program.set_config(&with_first_day(&config("", 1000, 3600)));
    program.restart();
    post(&program, lines("payments", 120, "counted by nobody"));
    eventually("it is told", SOON, || (looks(&program).len() == 1).then_some(()));
}

#[test]
fn where_nothing_was_seen_or_nobody_wants_it_there_is_none() {
    let silent = start(&with_first_day(&config("", 1000, 3600)));
    let unasked = start(&format!("[notify]\nfirst_day_seconds = 0\n\n{}", config("", 1000, 3600)));
    let forgetful = start(&with_first_day(&format!("[store]\npath = \"\"\n\n{}", config("", 1000, 3600))));
    for program in [&unasked, &forgetful] {
        post(program, lines("payments", 200, "and so on"));
    }
    for program in [&silent, &unasked, &forgetful] {
        // Six times as long as it waits for enough lines, and more.
        eventually("it was up for eight seconds", Duration::from_secs(60), || {
            let status = crate::world::http::get_json(program.control_addr(), "/status");
            (status["uptime_seconds"].as_u64()? >= 8).then_some(())
        });
        assert_eq!(looks(program), Vec::<serde_json::Value>::new());
    }
    // It waits for the first line, however late that comes.
    post(&silent, lines("payments", 1, "at last"));
    eventually("it is told", SOON, || (looks(&silent).len() == 1).then_some(()));
}
