//! `slack test`: what it sends, what it tells of each step, and how it exits.

use std::process::{Command, Output};

use tempfile::TempDir;

use crate::slack::{with_bot, with_webhook};
use crate::world::slack::{Answer, BOT_TOKEN, SlackStandIn};

fn run(config: &str) -> (Output, String) {
    let home = TempDir::new().expect("a folder");
    std::fs::write(home.path().join("emberwatch.toml"), config).expect("a configuration");
    let mut command = Command::new(env!("CARGO_BIN_EXE_emberwatch"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("EMBERWATCH_") {
            command.env_remove(name);
        }
    }
    let output = command.args(["slack", "test"]).current_dir(home.path()).output().expect("running the program");
    let left: Vec<_> = std::fs::read_dir(home.path()).expect("the folder").flatten().map(|e| e.file_name()).collect();
    assert_eq!(left, ["emberwatch.toml"], "it leaves nothing behind");
    let told = String::from_utf8_lossy(&[output.stdout.clone(), output.stderr.clone()].concat()).into_owned();
    assert!(!told.contains(BOT_TOKEN) && !told.contains("/services/"), "it tells no secret: {told}");
    (output, told)
}

#[test]
fn a_bot_that_works_sends_a_message_a_reply_and_an_update_that_say_that_they_are_a_test() {
    let slack = SlackStandIn::start();
    let (output, told) = run(&with_bot(&slack, ""));
    assert_eq!(output.status.code(), Some(0), "{told}");
    let messages = slack.messages();
    assert_eq!(messages.len(), 2, "{messages:#?}");
    assert!(messages.iter().all(|message| message.text.contains("Test ")), "{messages:#?}");
    assert!(messages[0].text.starts_with("✅"), "updated: {messages:#?}");
    assert_eq!((messages[0].thread_ts.as_ref(), messages[1].thread_ts.as_ref()), (None, Some(&messages[0].ts)));
    assert_eq!(
        told,
        "\
Slack by bot token, to #alerts
  message                arrived
  reply in its thread    arrived
  update of the message  arrived
Slack is set up. Look at #alerts: the message says that it is a test.
"
    );
}

#[test]
fn a_webhook_that_works_sends_one_message() {
    let slack = SlackStandIn::start();
    let (output, told) = run(&with_webhook(&slack, ""));
    assert_eq!((output.status.code(), slack.messages().len()), (Some(0), 1), "{told}");
    assert!(told.starts_with("Slack by webhook\n  message                arrived\n"), "{told}");
}

#[test]
fn what_slack_refuses_is_told_with_the_step_and_the_next_thing_to_do() {
    let cases: [(&[Answer], i32, &[&str]); 12] = [
        (&[Answer::Refuse("not_in_channel")], 1, &["message", "not_in_channel", "/invite"]),
        (&[Answer::Refuse("channel_not_found")], 1, &["channel_not_found", "check slack.channel"]),
        (&[Answer::Refuse("invalid_auth")], 1, &["invalid_auth", "slack.bot_token: put in a valid one"]),
        (&[Answer::Refuse("not_allowed_token_type")], 1, &["begins with xoxb-"]),
        (
            &[Answer::NeedsScope("chat:write")],
            1,
            &["missing_scope", "the scope chat:write (it has commands, users:read), install it again"],
        ),
        (&[Answer::Take, Answer::Refuse("restricted_action")], 1, &["arrived", "reply in its thread", "administrator"]),
        (
            &[Answer::Take, Answer::Take, Answer::Refuse("cant_update_message")],
            1,
            &["update of the message", "cant_update_message"],
        ),
        // What answers is not Slack: somebody has to look at the address.
        (&[Answer::Status(404)], 1, &["status 404", "check slack.api_url", "Do what it says"]),
        (&[Answer::Status(302)], 1, &["redirects (status 302)", "slack.api_url", "Do what it says"]),
        (&[Answer::Status(200)], 1, &["was not Slack's", "check slack.api_url", "Do what it says"]),
        (&[Answer::RateLimit { seconds: 30 }], 69, &["a pause", "Try again later"]),
        (&[Answer::Status(503)], 69, &["a fault at Slack (status 503)", "Try again later"]),
    ];
    for (answers, code, words) in cases {
        let slack = SlackStandIn::start();
        slack.script(answers.iter().copied());
        let (output, told) = run(&with_bot(&slack, ""));
        assert_eq!(output.status.code(), Some(code), "{answers:?}: {told}");
        assert!(words.iter().all(|word| told.contains(word)), "{answers:?}: {told}");
        assert_eq!(slack.attempts().len(), answers.len(), "it ends at the first step that fails: {told}");
    }
    let slack = SlackStandIn::start();
    slack.script([Answer::Refuse("no_service")]);
    let (output, told) = run(&with_webhook(&slack, ""));
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("status 404, no_service") && told.contains("make a new slack.webhook_url"), "{told}");
}

#[test]
fn nobody_there_and_nothing_configured_are_other_exits() {
    let gone = SlackStandIn::start();
    let config = with_bot(&gone, "");
    drop(gone);
    let (output, told) = run(&config);
    assert_eq!(output.status.code(), Some(69), "{told}");
    assert!(told.contains("cannot connect"), "{told}");
    let (output, told) = run("");
    assert_eq!(output.status.code(), Some(78), "{told}");
    assert!(told.contains("[slack]") && told.contains("bot_token") && told.contains("docs/slack.md"), "{told}");
}
