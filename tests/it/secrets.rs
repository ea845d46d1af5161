//! Canaries: a secret of every kind in lines that fire watches, group them, and are not understood; and nothing of
//! them in anything that the program shows, sends or keeps.

use serde_json::json;

use crate::slack::{assert_kept_secret, wait_delivered, with_bot};
use crate::story::{CLUSTER, SOON, id, now, post, start};
use crate::world::eventually;
use crate::world::http::get_text;
use crate::world::program::Program;
use crate::world::slack::SlackStandIn;

/// Of so many secrets a line, all are in the part of a line that is shown.
const A_LINE: usize = 3;

fn planted() -> Vec<String> {
    let lines = include_str!("../planted.txt").lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.split_once(' ')).map(|(_, secret)| secret.replace('¦', "")).collect()
}

/// Each service is a group of its own, and so an escalation of its own.
const WATCHES: &str = "[escalation]\nsettle_seconds = 0\n\n\
     [redact]\nfields = [\"iban\"]\npatterns = [{ name = \"customer\", regex = \"CUST-[0-9]+\" }]\n\n\
     [[watch]]\nlabel = \"canaries\"\nmatch = { contains = \"canary\" }\nthreshold = 1\nwindow_seconds = 3600\n";

/// A watch that makes a group of what its lines say.
const GROUPED: &str = "\n[[watch]]\nlabel = \"grouped\"\nmatch = { field = \"who\", exists = true }\nthreshold = 1\n\
     window_seconds = 3600\ngroup_by = [\"service\", \"who\"]\n";

fn line(service: &str, log: &str) -> String {
    let line = json!({"date": now(), "container_name": service, "ecs_cluster": CLUSTER, "log": log, "n": id()});
    format!("{line}\n")
}

/// Lines of text, of JSON, of JSON in JSON and of nothing that is understood.
fn send(program: &Program, secrets: &[String]) {
    let (mut lines, mut garbage) = (String::new(), String::new());
    for (number, some) in secrets.chunks(A_LINE).enumerate() {
        let text = format!("canary {} end", some.join(", "));
        let url = format!("/x?token={}", some[0]);
        let inner = json!({"msg": text, "error": text, "path": url, "password": some[0]}).to_string();
        lines += &line(&format!("text-{number}"), &text);
        lines += &line(&format!("json-{number}"), &inner);
        lines += &line(&format!("twice-{number}"), &json!({"msg": inner}).to_string());
        garbage += &format!("{number} {text}\n");
    }
    post(program, lines + &garbage);
}

fn assert_none(secrets: &[String], text: &str) {
    for secret in secrets {
        assert!(!text.contains(secret.as_str()), "{secret} is in {text}");
    }
}

/// What the program shows to whoever asks, and that it shows something.
fn assert_shows_none(program: &Program, secrets: &[String]) {
    let control = program.control_addr();
    for page in ["/escalations", "/quarantine?limit=200", "/watches", "/status", "/metrics"] {
        let text = get_text(control, page);
        assert_none(secrets, &text);
        let has_lines = page.starts_with("/escalations") || page.starts_with("/quarantine");
        assert!(!has_lines || text.contains("canary") && text.contains("[redacted:"), "{page}: {text}");
    }
}

#[test]
fn no_planted_secret_reaches_the_terminal_the_file_the_disk_or_who_asks() {
    let program = start(WATCHES);
    let secrets = planted();
    send(&program, &secrets);
    let escalations = 3 * secrets.chunks(A_LINE).count();
    eventually("the file has them", SOON, || (program.alerts().len() >= escalations).then_some(()));
    program.wait_stdout(|line| line.contains("canary"));
    assert_shows_none(&program, &secrets);
    assert_kept_secret(&program, &secrets);
}

/// The store has the values that make groups, and it alone.
#[test]
fn no_planted_secret_that_makes_a_group_is_shown() {
    let program = start(&format!("{WATCHES}{GROUPED}"));
    let secrets = planted();
    send(&program, &secrets);
    let grouped = |(number, who): (usize, &String)| {
        line(&format!("grouped-{number}"), &json!({"msg": "x", "who": who}).to_string())
    };
    post(&program, secrets.iter().enumerate().map(grouped).collect::<String>());
    let escalations = 3 * secrets.chunks(A_LINE).count() + secrets.len();
    eventually("the file has them", SOON, || (program.alerts().len() >= escalations).then_some(()));
    assert_shows_none(&program, &secrets);
    assert_none(&secrets, &json!(program.alerts()).to_string());
    assert_none(&secrets, &[program.stdout_lines(), program.stderr_lines()].concat().join("\n"));
}

#[test]
fn no_planted_secret_reaches_slack() {
    let slack = SlackStandIn::start();
    let program = start(&with_bot(&slack, WATCHES));
    // Slack takes one message a second: a few lines, of other kinds than one another.
    let secrets: Vec<String> = planted().into_iter().step_by(7).take(2 * A_LINE).collect();
    send(&program, &secrets);
    slack.wait_messages(6);
    wait_delivered(&program);
    let told: String = slack.messages().into_iter().map(|message| message.text).collect();
    assert!(told.contains("canary") && told.contains("[redacted:"), "{told}");
    assert_none(&secrets, &told);
    assert_kept_secret(&program, &secrets);
}

/// The same customer in two lines is seen to be the same, and the other one not; which one, nobody sees.
#[test]
fn what_the_operator_hides_is_hidden_and_can_be_told_apart() {
    let program = start(WATCHES);
    let text =
        "canary of CUST-1234567 and CUST-1234567 and CUST-7654321, iban=DE89370400440532013000 by jane@example.com";
    post(&program, line("shop", text));
    eventually("the file has it", SOON, || (program.alerts().len() == 1).then_some(()));
    let sample = program.alerts()[0]["samples"][0].as_str().unwrap_or_default().to_owned();
    let marks: Vec<&str> = sample.split('[').skip(1).filter_map(|rest| rest.split(']').next()).collect();
    assert_eq!(marks.len(), 5, "{sample}");
    assert!(marks[0] == marks[1] && marks[0] != marks[2] && marks[0].starts_with("redacted:customer:"), "{sample}");
    assert!(marks[3].starts_with("redacted:field:") && marks[4].starts_with("email:"), "{sample}");
    let hidden = ["CUST-1234567", "CUST-7654321", "DE89370400440532013000", "jane@example.com"].map(str::to_owned);
    assert_kept_secret(&program, &hidden);
}
