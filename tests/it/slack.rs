//! Delivery to Slack: threads, what Slack answers, doubt, what log text may do there, and a program that dies
//! before it could tell.

use std::path::Path;
use std::time::Duration;

use serde_json::json;

use crate::story::{
    CLUSTER, LABEL, SOON, config, flood, id, metric, now, post, sending_good_lines, shown, start, wait_ready,
};
use crate::world::eventually;
use crate::world::fluent_bit::{Says, firelens_line};
use crate::world::http::{get_json, post_json};
use crate::world::program::Program;
use crate::world::slack::{Answer, BOT_TOKEN, Message, SlackStandIn, Via};

const CHANNEL: &str = "#alerts";
/// What a message says that may be a repeat.
pub(crate) const IN_DOUBT: &str = "(may repeat: an earlier attempt may have arrived)";

pub(crate) fn with_bot(slack: &SlackStandIn, rest: &str) -> String {
    let url = slack.api_url();
    format!("[slack]\nbot_token = \"{BOT_TOKEN}\"\nchannel = \"{CHANNEL}\"\napi_url = \"{url}\"\n\n{rest}")
}

pub(crate) fn with_webhook(slack: &SlackStandIn, rest: &str) -> String {
    format!("[slack]\nwebhook_url = \"{}\"\n\n{rest}", slack.webhook_url())
}

fn one_flood(slack: &SlackStandIn) -> Program {
    let program = start(&with_bot(slack, &config("settle_seconds = 0", 10, 3600)));
    post(&program, flood("payments", 12));
    program
}

pub(crate) fn wait_delivered(program: &Program) {
    eventually("nothing waits to be delivered", SOON, || {
        let deliveries = metric(program, "deliveries_total{channel=\"slack\",outcome=\"sent\"}");
        (deliveries > 0 && metric(program, "outbox_rows") == 0).then_some(())
    });
}

/// Each message's first line ends so, is marked as E1's, and names the label.
fn assert_first_lines(messages: &[Message], standings: &[&str]) {
    let firsts: Vec<_> = messages.iter().map(|message| message.text.lines().next().unwrap_or_default()).collect();
    assert_eq!(firsts.len(), standings.len(), "{firsts:#?}");
    for (first, standing) in firsts.iter().zip(standings) {
        assert!(
            first.contains(&format!("[E1] {standing}: `{LABEL}` · `payments` in `{CLUSTER}`")),
            "{first}, not {standing}"
        );
    }
}

#[test]
fn with_a_bot_token_the_end_and_what_follows_stand_in_the_thread_of_the_first_message() {
    let slack = SlackStandIn::start();
    let program = start(&with_bot(&slack, &config("settle_seconds = 0", 10, 1)));
    post(&program, flood("payments", 12));
    sending_good_lines(&program, "payments", "it is resolved", || (slack.messages().len() >= 2).then_some(()));
    post(&program, flood("payments", 13));
    sending_good_lines(&program, "payments", "again, and resolved", || (slack.messages().len() >= 4).then_some(()));
    // The third one adds to it without a word.
    post(&program, flood("payments", 14));
    assert_eq!(shown(&program, LABEL)["state"], "firing");
    sending_good_lines(&program, "payments", "quiet again", || {
        (shown(&program, LABEL)["state"] == "quiet").then_some(())
    });
    wait_delivered(&program);

    let messages = slack.messages();
    assert_first_lines(&messages, &["warning", "resolved", "warning, firing again", "resolved"]);
    assert!(messages[0].text.contains("12 lines") && messages[2].text.contains("25 lines"), "{messages:#?}");
    assert!(messages.iter().all(|m| m.via == Via::Bot && m.channel == CHANNEL), "{messages:#?}");
    assert_eq!(messages[0].thread_ts, None);
    assert!(messages[1..].iter().all(|m| m.thread_ts.as_ref() == Some(&messages[0].ts)), "{messages:#?}");
    assert!(messages.windows(2).all(|pair| pair[1].at - pair[0].at >= Duration::from_millis(990)), "one a second");
    assert!(!program.stdout_lines().iter().any(|line| line.contains("[E")), "told once, where it was asked for");
}

#[test]
fn with_a_webhook_every_message_stands_alone_and_still_carries_number_and_label() {
    let slack = SlackStandIn::start();
    let program = start(&with_webhook(&slack, &config("settle_seconds = 0", 10, 1)));
    post(&program, flood("payments", 12));
    sending_good_lines(&program, "payments", "it is resolved", || (slack.messages().len() >= 2).then_some(()));
    wait_delivered(&program);
    let messages = slack.messages();
    assert_first_lines(&messages, &["warning", "resolved"]);
    assert!(messages.iter().all(|m| m.via == Via::Webhook && m.thread_ts.is_none()), "{messages:#?}");
}

#[test]
fn a_pause_that_slack_asks_for_is_kept_and_the_message_comes_after_it() {
    let slack = SlackStandIn::start();
    slack.script([Answer::RateLimit { seconds: 3 }]);
    let program = one_flood(&slack);
    let messages = slack.wait_messages(1);
    wait_delivered(&program);
    let attempts = slack.attempts();
    assert_eq!((slack.messages().len(), attempts.len()), (1, 2), "{attempts:#?}");
    assert!(attempts[1].at - attempts[0].at >= Duration::from_secs(3), "{attempts:#?}");
    assert!(!messages[0].text.contains(IN_DOUBT), "a message that was refused is no repeat: {}", messages[0].text);
    assert_eq!(metric(&program, "deliveries_total{channel=\"slack\",outcome=\"retried\"}"), 1);
}

#[test]
fn an_answer_of_200_that_says_no_is_tried_again() {
    let slack = SlackStandIn::start();
    slack.script([Answer::Refuse("not_in_channel")]);
    let program = one_flood(&slack);
    let messages = slack.wait_messages(1);
    wait_delivered(&program);
    assert_eq!((slack.messages().len(), slack.attempts().len()), (1, 2));
    assert_first_lines(&messages, &["warning"]);
    assert!(!messages[0].text.contains(IN_DOUBT), "{}", messages[0].text);
    program.wait_stderr(|line| line.contains("not_in_channel") && line.contains("invite the bot"));
}

#[test]
fn a_message_that_slack_took_without_saying_so_is_sent_again_and_says_that_it_may_repeat() {
    let slack = SlackStandIn::start();
    slack.script([Answer::TakeAndClose]);
    let program = one_flood(&slack);
    slack.wait_messages(2);
    wait_delivered(&program);
    let messages = slack.messages();
    assert_first_lines(&messages, &["warning", "warning"]);
    assert!(!messages[0].answered && !messages[0].text.contains(IN_DOUBT), "{messages:#?}");
    assert!(messages[1].answered && messages[1].text.contains(IN_DOUBT), "{messages:#?}");
    assert_eq!(metric(&program, "deliveries_total{channel=\"slack\",outcome=\"in_doubt\"}"), 1);
    // The file was never in doubt.
    let alerts = program.alerts();
    assert_eq!((alerts.len(), alerts[0].get("in_doubt")), (1, None));
}

#[test]
fn a_slack_that_is_down_holds_the_file_of_alerts_up_for_nothing() {
    let slack = SlackStandIn::start();
    slack.script(vec![Answer::Hang; 20]);
    let program = one_flood(&slack);
    eventually("the file has it", SOON, || (program.alerts().len() == 1).then_some(()));
    assert_eq!(program.alerts()[0]["id"], "E1");
    assert!(slack.messages().is_empty());
}

/// Log text with two secrets, a mention, a link and a code block's end in it.
pub(crate) fn hostile() -> (String, [String; 2]) {
    let secrets = [["AK", "IAIOSFODNN7", "EXAMPLE"].concat(), ["hunt", "er2-", "battery"].concat()];
    let text = format!(
        "ERROR login of <!channel> failed: <http://evil.example|click> & ```done password={} key={}",
        secrets[1], secrets[0]
    );
    (text, secrets)
}

pub(crate) fn hostile_flood(program: &Program) {
    let (text, _) = hostile();
    let line = |_| firelens_line(id(), "payments", CLUSTER, Says::Text(&text), Some(now())) + "\n";
    post(program, (0..12).map(line).collect::<String>());
}

pub(crate) fn watch_of_logins() -> String {
    format!(
        "[escalation]\nsettle_seconds = 0\n\n[[watch]]\nlabel = \"{LABEL}\"\nmatch = {{ contains = \"login of\" }}\n\
         threshold = 10\nwindow_seconds = 3600\n"
    )
}

/// Nothing that the program said or keeps holds a secret of a log line.
pub(crate) fn assert_kept_secret(program: &Program, secrets: &[String]) {
    for secret in secrets {
        let said = [program.stdout_lines(), program.stderr_lines()].concat();
        assert!(!said.iter().any(|line| line.contains(secret)), "the program says {secret}: {said:#?}");
        let homes = [program.home().to_owned(), program.home().join("investigations")];
        let entries = homes.iter().filter_map(|home| std::fs::read_dir(home).ok()).flatten().flatten();
        for path in entries.map(|entry| entry.path()).filter(|path| path.is_file()) {
            assert!(!holds(&path, secret.as_bytes()), "{} holds {secret}", path.display());
        }
    }
}

fn holds(path: &Path, secret: &[u8]) -> bool {
    std::fs::read(path).expect("a file").windows(secret.len()).any(|window| window == secret)
}

#[test]
fn what_a_log_line_says_arrives_in_slack_without_its_secrets_and_as_text_only() {
    let slack = SlackStandIn::start();
    let program = start(&with_bot(&slack, &watch_of_logins()));
    hostile_flood(&program);
    let text = slack.wait_messages(1)[0].text.clone();
    wait_delivered(&program);
    let (_, secrets) = hostile();
    assert!(!secrets.iter().any(|secret| text.contains(secret)), "{text}");
    assert!(text.contains("[redacted:aws-key:") && text.contains("password=[redacted:secret]"), "{text}");
    assert!(text.contains("login of &lt;!channel&gt; failed: &lt;http://evil.example|click&gt; &amp;"), "{text}");
    assert!(!text.contains(['<', '>']), "{text}");
    assert_eq!(text.matches("```").count(), 2, "the block that quotes it is closed by nobody but us: {text}");
    eventually("the file has it", SOON, || (program.alerts().len() == 1).then_some(()));
    let alert = &program.alerts()[0];
    assert_eq!((&alert["id"], &alert["label"], &alert["count"]), (&json!("E1"), &json!(LABEL), &json!(12)));
    assert!(
        alert["samples"][0].as_str().is_some_and(|sample| sample.contains("login of <!channel> failed")),
        "{alert}"
    );
    assert_kept_secret(&program, &secrets);
}

#[test]
fn what_a_log_line_says_reaches_neither_terminal_nor_file_with_its_secrets() {
    let program = start(&watch_of_logins());
    hostile_flood(&program);
    program.wait_stdout(|line| line.contains("login of <!channel> failed"));
    eventually("the file has it", SOON, || (program.alerts().len() == 1).then_some(()));
    assert_kept_secret(&program, &hostile().1);
}

#[test]
fn the_file_of_alerts_has_the_escalations_that_slack_has() {
    let slack = SlackStandIn::start();
    let program = start(&with_bot(&slack, &config("settle_seconds = 1", 10, 1)));
    post(&program, flood("payments", 12) + &flood("cart", 30));
    sending_good_lines(&program, "payments cart", "both are resolved", || {
        (program.alerts().iter().filter(|alert| alert["kind"] == "resolved").count() == 2).then_some(())
    });
    let alerts = program.alerts();
    let messages = slack.wait_messages(alerts.len());
    wait_delivered(&program);
    assert_eq!(slack.messages().len(), alerts.len());
    for (alert, message) in alerts.iter().zip(&messages) {
        let word = |key: &str| alert[key].as_str().unwrap_or_default();
        let first = message.text.lines().next().unwrap_or_default();
        let standing = match word("kind") {
            "opened" => "warning",
            "no_data" => "no data",
            kind => kind,
        };
        let wanted = format!("[{}] {standing}: `{LABEL}` · `{}` in `{}`", word("id"), word("service"), word("cluster"));
        assert!(first.contains(&wanted), "{first} is not {alert}");
    }
    let counts: Vec<_> = alerts.iter().filter(|a| a["kind"] == "opened").map(|a| a["count"].clone()).collect();
    assert!(counts.contains(&json!(12)) && counts.contains(&json!(30)), "{alerts:#?}");
}

#[test]
fn a_program_killed_between_crossing_and_delivery_tells_it_after_its_restart() {
    let slack = SlackStandIn::start();
    // The answer to the flood says that it is durable; the message is not due yet.
    let mut program = start(&with_bot(&slack, &config("settle_seconds = 5", 10, 3600)));
    post(&program, flood("payments", 12));
    program.kill9();
    assert!(slack.attempts().is_empty());
    program.restart();
    wait_ready(&program);
    let messages = slack.wait_messages(1);
    assert!(messages[0].text.contains("12 lines") && !messages[0].text.contains(IN_DOUBT), "{messages:#?}");
    wait_delivered(&program);
    assert_first_lines(&slack.messages(), &["warning"]);
    assert_eq!(slack.attempts().len(), 1);
}

#[test]
fn a_program_killed_while_slack_was_being_told_tells_it_again_and_says_that_it_may_repeat() {
    let slack = SlackStandIn::start();
    slack.script([Answer::Hang]);
    let mut program = one_flood(&slack);
    eventually("Slack is being told", SOON, || (slack.attempts().len() == 1).then_some(()));
    program.kill9();
    program.restart();
    wait_ready(&program);
    let messages = slack.wait_messages(1);
    assert_first_lines(&messages, &["warning"]);
    assert!(messages[0].text.contains(IN_DOUBT), "{}", messages[0].text);
    wait_delivered(&program);
    assert_eq!((slack.messages().len(), slack.attempts().len()), (1, 2));
}

#[test]
fn the_end_of_a_flood_stands_in_its_thread_also_after_kill_9() {
    let slack = SlackStandIn::start();
    let mut program = start(&with_bot(&slack, &config("settle_seconds = 0", 10, 4)));
    post(&program, flood("payments", 12));
    wait_delivered(&program);
    program.kill9();
    program.restart();
    wait_ready(&program);
    let resolved = sending_good_lines(&program, "payments", "it is resolved", || {
        slack.messages().into_iter().find(|message| message.text.contains("[E1] resolved"))
    });
    let messages = slack.messages();
    assert!(resolved.text.contains("12 lines in total"), "{}", resolved.text);
    assert!(messages[1..].iter().all(|m| m.thread_ts.as_ref() == Some(&messages[0].ts)), "{messages:#?}");
}

#[test]
fn being_asked_to_stop_tells_what_is_due_later_before_the_end() {
    let slack = SlackStandIn::start();
    let mut program = start(&with_bot(&slack, &config("settle_seconds = 60", 10, 3600)));
    post(&program, flood("payments", 12));
    program.terminate();
    assert!(program.wait_exit().success());
    assert_first_lines(&slack.messages(), &["warning"]);
    program.restart();
    wait_ready(&program);
    post(&program, flood("cart", 12));
    program.terminate();
    assert!(program.wait_exit().success());
    let marks: Vec<_> = slack.messages().iter().map(|m| m.text.contains("[E2]")).collect();
    assert_eq!(marks, [false, true], "the first was not told twice");
}

#[test]
fn services_that_fail_in_the_same_minute_are_one_thread_and_the_channel_sees_one_message() {
    let slack = SlackStandIn::start();
    let program = start(&with_bot(&slack, &config("settle_seconds = 1", 10, 3600)));
    for service in ["payments", "cart", "search"] {
        post(&program, flood(service, 12));
    }
    let messages = slack.wait_messages(3);
    wait_delivered(&program);
    assert_eq!(messages[0].thread_ts, None);
    assert!(messages[1..].iter().all(|m| m.thread_ts.as_ref() == Some(&messages[0].ts)), "{messages:#?}");
    assert!(messages[0].text.contains("[E1]") && !messages[0].text.contains("together with"), "{}", messages[0].text);
    for (message, id) in messages[1..].iter().zip(["[E2]", "[E3]"]) {
        assert!(message.text.contains(id) && message.text.contains(" · together with E1\n"), "{}", message.text);
    }
    let shown = get_json(program.control_addr(), "/escalations");
    let incidents: Vec<_> = shown["escalations"].as_array().expect("a list").iter().map(|e| &e["incident"]).collect();
    assert_eq!(incidents, ["E1"; 3]);
}

#[test]
fn a_storm_of_services_is_a_few_messages_that_name_them_all() {
    let slack = SlackStandIn::start();
    let rest = format!("[notify]\ncoalesce_after = 5\n\n{}", config("settle_seconds = 1", 10, 3600));
    let program = start(&with_bot(&slack, &rest));
    for n in 0..60 {
        post(&program, flood(&format!("service-{n:02}"), 12));
    }
    wait_delivered(&program);
    let messages = slack.messages();
    assert!(messages.len() < 15, "{messages:#?}");
    for n in 1..=60 {
        let mark = format!("[E{n}]");
        assert!(messages.iter().any(|m| m.text.contains(&mark) && m.text.contains(LABEL)), "{mark}: {messages:#?}");
    }
    let digest = messages.iter().find(|m| m.text.contains("in one message")).expect("a digest");
    assert!(digest.text.contains("more than 5 were waiting"), "{}", digest.text);
}

#[test]
fn what_slack_never_takes_is_listed_and_sent_again_when_a_person_says_so() {
    let slack = SlackStandIn::start();
    slack.script([Answer::Refuse("msg_too_long")]);
    let program = one_flood(&slack);
    eventually("it is given up", SOON, || (metric(&program, "outbox_dead_rows") == 1).then_some(()));
    let listed = get_json(program.control_addr(), "/dead-letters");
    let letter = &listed["dead_letters"][0];
    assert_eq!((&letter["escalation"], &letter["label"]), (&json!("E1"), &json!(LABEL)));
    assert_eq!(letter["reason"], "Slack does not take this message: msg_too_long");
    assert_eq!(post_json(program.control_addr(), "/dead-letters/nine/resend", &json!({})).status, 400);
    assert_eq!(post_json(program.control_addr(), "/dead-letters/999/resend", &json!({})).status, 404);
    assert_eq!(
        post_json(program.control_addr(), &format!("/dead-letters/{}/resend", letter["id"]), &json!({})).status,
        200
    );
    let messages = slack.wait_messages(1);
    assert_first_lines(&messages, &["warning"]);
    assert_eq!(get_json(program.control_addr(), "/dead-letters"), json!({"dead_letters": []}));
    assert_eq!(post_json(program.control_addr(), "/dead-letters/resend", &json!({})).status, 200);
}
