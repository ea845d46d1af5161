//! Dossiers, as people meet them: written when something crossed that is to be investigated, linked from its
//! message, kept over kills, bounded, and never steered by a log line.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::slack::{assert_kept_secret, hostile, hostile_flood, watch_of_logins, with_bot};
use crate::story::{CLUSTER, LABEL, SOON, access, config, flood, metric, now, post, start, wait_ready};
use crate::world::eventually;
use crate::world::http::{Connection, Request, get, get_json, get_text};
use crate::world::program::Program;
use crate::world::slack::SlackStandIn;

/// As [`config`], with a watch that is investigated.
fn investigated(escalation: &str, threshold: u64) -> String {
    config(escalation, threshold, 3600).replace("\"notify\"", "\"investigate\"")
}

fn file(program: &Program, mark: &str) -> PathBuf {
    program.home().join("investigations").join(format!("{mark}.md"))
}

fn files(program: &Program) -> usize {
    let is_dossier = |name: &str| name.ends_with(".md") && !name.ends_with(".report.md");
    std::fs::read_dir(program.home().join("investigations")).map_or(0, |entries| {
        entries.flatten().filter(|entry| entry.file_name().to_str().is_some_and(is_dossier)).count()
    })
}

fn outcome(program: &Program, outcome: &str) -> u64 {
    metric(program, &format!("investigations_total{{outcome=\"{outcome}\"}}"))
}

/// Status of each, by its mark.
fn stands(program: &Program) -> Vec<(String, String)> {
    let listed = get_json(program.control_addr(), "/investigations");
    let word = |of: &Value, key: &str| of[key].as_str().expect("a text").to_owned();
    listed["investigations"].as_array().expect("a list").iter().map(|of| (word(of, "id"), word(of, "status"))).collect()
}

fn wait_written(program: &Program, wanted: u64) {
    eventually("the dossiers are written", SOON, || (outcome(program, "written") == wanted).then_some(()));
    eventually("what follows them is over", SOON, || {
        (get_json(program.control_addr(), "/status")["investigation"]["under_way"] == 0).then_some(())
    });
}

#[test]
fn what_crosses_to_be_investigated_has_a_dossier_that_its_message_links() {
    let slack = SlackStandIn::start();
    let rest = investigated("settle_seconds = 1", 10);
    let program =
        start(&with_bot(&slack, &format!("[server]\npublic_url = \"https://logs.example/ember/\"\n\n{rest}")));
    post(&program, access("payments", 200, (0..5).map(|n| now() - 3.0 + f64::from(n) / 10.0)));
    post(&program, flood("payments", 12));
    post(&program, access("payments", 200, [now()]));
    let message = slack.wait_messages(1)[0].text.clone();
    assert!(message.contains("\nDossier: <https://logs.example/ember/investigations/E1|E1>\n"), "{message}");
    eventually("the file has it", SOON, || (program.alerts().len() == 1).then_some(()));
    assert_eq!(program.alerts()[0]["dossier"], "https://logs.example/ember/investigations/E1");

    wait_written(&program, 1);
    let text = get_text(program.control_addr(), "/investigations/E1");
    // Below a report, where there is one.
    assert!(text.ends_with(&std::fs::read_to_string(file(&program, "E1")).expect("a file")), "{text}");
    let mode = std::fs::metadata(file(&program, "E1")).expect("a file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(text.contains(&format!("# [E1] {LABEL}\n")), "{text}");
    for said in [
        "## Counts",
        "## Samples",
        "Before:\n",
        "From the first match on:\n",
        "revision        42",
        "service    payments",
    ] {
        assert!(text.contains(said), "no {said:?} in {text}");
    }

    let plain = get(program.control_addr(), "/investigations/E1");
    assert_eq!(plain.header("Content-Type"), Some("text/markdown; charset=utf-8"));
    let request = Request::bare("GET", "/investigations/E1").header("Accept", "application/json");
    let shown = Connection::open(program.control_addr()).send(&request).json();
    assert_eq!((&shown["id"], &shown["status"], &shown["markdown"]), (&json!("E1"), &json!("written"), &json!(text)));
    let listed = get_json(program.control_addr(), "/investigations");
    let first = &listed["investigations"][0];
    assert_eq!(
        (&first["label"], &first["service"], &first["cluster"]),
        (&json!(LABEL), &json!("payments"), &json!(CLUSTER))
    );
    let status = get_json(program.control_addr(), "/status");
    assert_eq!((&status["investigation"]["queue"], &status["investigation"]["written"]), (&json!(0), &json!(1)));

    // The same escalation grows and is investigated no second time.
    post(&program, flood("payments", 12));
    assert_eq!((outcome(&program, "written"), files(&program)), (1, 1));
}

#[test]
fn what_only_notifies_has_no_dossier_and_says_so() {
    let program = start(&config("settle_seconds = 0", 10, 3600));
    post(&program, flood("payments", 12));
    eventually("it is told", SOON, || (program.alerts().len() == 1).then_some(()));
    assert_eq!(program.alerts()[0].get("dossier"), None);
    assert_eq!((stands(&program).len(), files(&program)), (0, 0));
    for (mark, said) in [
        ("E1", "was not to be investigated"),
        ("E7", "no escalation E7"),
        ("../emberwatch", "such as E42"),
        ("E-1", "such as E42"),
    ] {
        let answer = get(program.control_addr(), &format!("/investigations/{mark}"));
        assert_eq!(answer.status, 404);
        assert!(answer.text().contains(said), "{}", answer.text());
    }
}

#[test]
fn without_a_public_address_the_file_is_named() {
    let program = start(&investigated("settle_seconds = 0", 10));
    post(&program, flood("payments", 12));
    program.wait_stdout(|line| line.trim() == "dossier: investigations/E1.md");
    eventually("the file has it", SOON, || (program.alerts().len() == 1).then_some(()));
    assert_eq!(program.alerts()[0]["dossier"], "investigations/E1.md");
}

#[test]
fn a_program_killed_between_crossing_and_dossier_writes_it_after_its_restart() {
    // The answer to the flood says that it is durable; the dossier is not due yet.
    let mut program = start(&investigated("settle_seconds = 10", 10));
    post(&program, flood("payments", 12));
    post(&program, flood("cart", 12));
    program.kill9();
    assert_eq!(files(&program), 0);
    program.restart();
    wait_ready(&program);
    wait_written(&program, 2);
    assert!(file(&program, "E1").exists() && file(&program, "E2").exists());
    let text = get_text(program.control_addr(), "/investigations/E1");
    assert!(text.contains("What the service sent around it: no records are at hand"), "{text}");

    // Written once is written for good.
    program.kill9();
    program.restart();
    wait_ready(&program);
    assert_eq!(stands(&program).iter().filter(|(_, status)| status == "written").count(), 2);
    assert_eq!((outcome(&program, "written"), metric(&program, "investigation_queue")), (0, 0));
}

#[test]
fn being_asked_to_stop_writes_what_waits() {
    let mut program = start(&investigated("settle_seconds = 60", 10));
    post(&program, flood("payments", 12));
    program.terminate();
    assert!(program.wait_exit().success());
    let text = std::fs::read_to_string(file(&program, "E1")).expect("a dossier");
    assert!(text.contains("From the first match on:\n"), "{text}");
}

#[test]
fn of_fifty_at_once_as_many_as_may_wait_are_written_and_every_other_one_is_accounted_for() {
    let rest = investigated("settle_seconds = 0", 10);
    let program = start(&format!("[investigation]\nqueue = 20\nkeep = 15\n\n{rest}"));
    post(&program, (0..50).map(|n| flood(&format!("service-{n}"), 12)).collect::<String>());
    wait_written(&program, 20);
    assert_eq!((outcome(&program, "left_out"), outcome(&program, "failed")), (30, 0));
    let stands = stands(&program);
    let count = |status: &str| stands.iter().filter(|(_, s)| s == status).count();
    assert_eq!((stands.len(), count("written"), count("left_out")), (50, 20, 30));
    assert_eq!(files(&program), 15, "the oldest have gone");
    let left_out = &stands.iter().find(|(_, status)| status == "left_out").expect("one").0;
    let answer = get(program.control_addr(), &format!("/investigations/{left_out}"));
    assert!(answer.status == 404 && answer.text().contains("investigation.queue"), "{}", answer.text());
    let told = get_json(program.control_addr(), "/escalations");
    let told = told["escalations"].as_array().expect("a list").iter().filter(|e| e["investigation"] == "left_out");
    assert_eq!(told.count(), 30);
}

#[test]
fn a_log_line_full_of_backticks_mentions_and_links_stays_inside_its_fence_and_keeps_no_secret() {
    let program = start(&watch_of_logins());
    hostile_flood(&program);
    wait_written(&program, 1);
    let text = get_text(program.control_addr(), "/investigations/E1");
    let (_, secrets) = hostile();
    assert!(!secrets.iter().any(|secret| text.contains(secret)), "{text}");
    assert!(text.contains("login of <!channel> failed: <http://evil.example|click>"), "{text}");
    // A line holds three backticks, so every fence around one has four.
    let mut fence: Option<String> = None;
    for line in text.lines() {
        let ticks = line.len() - line.trim_start_matches('`').len();
        match &fence {
            None if ticks >= 3 => fence = Some(line.to_owned()),
            None => assert!(!line.contains("evil") && !line.contains("channel"), "outside of a block: {line}"),
            Some(open) if line == open => fence = None,
            Some(open) => assert!(!line.contains("```") || open.len() > 3, "{line} in {open}"),
        }
    }
    assert_eq!(fence, None);
    assert_kept_secret(&program, &secrets);
}

#[test]
fn where_dossiers_cannot_be_written_that_is_counted_and_they_can_still_be_read() {
    let rest = investigated("settle_seconds = 0", 10);
    let program = start(&format!("[investigation]\nfolder = \"emberwatch.db\"\n\n{rest}"));
    post(&program, flood("payments", 12));
    eventually("it is given up", SOON, || (outcome(&program, "failed") == 1).then_some(()));
    assert_eq!(stands(&program), [("E1".to_owned(), "failed".to_owned())]);
    assert!(get_text(program.control_addr(), "/investigations/E1").starts_with("# [E1]"));
    assert_eq!(
        program.stderr_lines().iter().filter(|line| line.contains("dossier")).count(),
        2,
        "once, and at the end"
    );
    post(&program, flood("payments", 1));
    assert_eq!(get(program.control_addr(), "/ready").status, 200);
}

#[test]
fn with_no_folder_dossiers_are_held_in_memory() {
    let rest = investigated("settle_seconds = 0", 10);
    let mut program = start(&format!("[investigation]\nfolder = \"\"\nrecords = 0\n\n{rest}"));
    post(&program, flood("payments", 12));
    wait_written(&program, 1);
    assert!(get_text(program.control_addr(), "/investigations/E1").contains("none are kept (`investigation.records`)"));
    assert_eq!(files(&program), 0);
    program.terminate();
    program.wait_exit();
    program.restart();
    wait_ready(&program);
    let answer = get(program.control_addr(), "/investigations/E1");
    assert!(answer.status == 404 && answer.text().contains("with a restart"), "{}", answer.text());
}
