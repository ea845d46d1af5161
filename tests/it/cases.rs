//! What follows a dossier, with a stand-in for Claude: a remedy that is called once, a patch that is proven, what people
//! are told of it; and the same with the program killed at each step.

use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::slack::with_bot;
use crate::story::{CLUSTER, id, metric, now, post, start, wait_ready};
use crate::world::claude::{Claude, KEY, Reply};
use crate::world::fluent_bit::{Says, firelens_line};
use crate::world::http::{self, Connection, Kind, Request, Response, Wire, get, get_json, get_text};
use crate::world::program::Program;
use crate::world::repository::Repository;
use crate::world::slack::{Message, SlackStandIn};
use crate::world::{Listening, eventually};

/// For a whole investigation on a busy machine.
const PATIENT: Duration = Duration::from_secs(90);
const POOL: &str = "connection pool exhausted, 20 of 20 in use";

/// What a remedy of a service calls, on loopback.
struct Hook {
    listening: Listening,
    calls: Arc<AtomicUsize>,
}

impl Hook {
    fn start() -> Hook {
        let calls = Arc::new(AtomicUsize::new(0));
        let counting = calls.clone();
        let listening = Listening::start(move |_, stream, stop| {
            let mut wire = Wire::new(stream);
            while !stop.load(Ordering::SeqCst) {
                match wire.next(Kind::Request) {
                    Ok(_) => {
                        counting.fetch_add(1, Ordering::SeqCst);
                        drop(wire.stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nrestarted"));
                    }
                    Err(fault) if http::is_timeout(&fault) => {}
                    Err(_) => return,
                }
            }
        });
        Hook { listening, calls }
    }

    fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    fn address(&self) -> SocketAddr {
        self.listening.address()
    }
}

fn settings(slack: &SlackStandIn, claude: &Claude, window_seconds: u64) -> String {
    let url = claude.url();
    with_bot(
        slack,
        &format!(
            "[notify]\nalerts_path = \"\"\n\n[triage]\nprovider = \"off\"\n\n[escalation]\nsettle_seconds = 0\n\n\
             [investigation]\nprovider = \"anthropic\"\nurl = \"{url}\"\napi_key = \"{KEY}\"\n\n\
             [[watch]]\nlabel = \"pool_empty\"\nmatch = {{ contains = \"pool exhausted\" }}\nthreshold = 5\n\
             window_seconds = {window_seconds}\nseverity = \"critical\"\nsummary = \"no connection is to be had\"\n"
        ),
    )
}

fn verdict(action: &str, more: &Value) -> Value {
    let mut plan = json!({"action": action, "reason": "It is what the line says.", "steps": ["Look at the pool's size."],
        "remedy": null, "edits": [], "tests": []});
    plan.as_object_mut().expect("an object").extend(more.as_object().cloned().unwrap_or_default());
    json!({"root_cause": "The pool has no free connection: something does not give them back.", "confidence": 0.93,
        "evidence": [{"path": null, "line": null, "quote": POOL, "says": "The pool is empty."}], "plan": plan})
}

fn restart() -> Reply {
    Reply::Say(verdict("restart_service", &json!({"remedy": "restart"})).to_string())
}

fn register(program: &Program, name: &str, more: &Value) {
    let request = Request::bare("PUT", &format!("/services/{name}")).header("Content-Type", "application/json");
    let answer = Connection::open(program.control_addr()).send(&request.body(more.to_string()));
    assert!(matches!(answer.status, 200 | 201), "{}", answer.text());
}

fn remedies(hook: &Hook) -> Value {
    let url = format!("http://{}/restart", hook.address());
    json!({"remedies": [{"name": "restart", "url": url, "cures": ["pool exhausted"], "cooldown_seconds": 900, "per_day": 3}]})
}

fn errors(service: &str, lines: usize) -> String {
    let line =
        |_| firelens_line(id(), service, CLUSTER, Says::App { level: "error", message: POOL }, Some(now())) + "\n";
    (0..lines).map(line).collect()
}

fn good(service: &str) -> String {
    firelens_line(id(), service, CLUSTER, Says::App { level: "info", message: "sold one" }, Some(now())) + "\n"
}

/// One investigation as JSON.
fn shown(program: &Program, mark: &str) -> Value {
    let request = Request::bare("GET", &format!("/investigations/{mark}")).header("Accept", "application/json");
    let answer = Connection::open(program.control_addr()).send(&request);
    if answer.status == 200 { answer.json() } else { Value::Null }
}

fn wait_state(program: &Program, mark: &str, wanted: &str) -> Value {
    eventually(&format!("{mark} is {wanted}"), PATIENT, || {
        Some(shown(program, mark)).filter(|shown| shown["state"] == wanted)
    })
}

fn reports(slack: &SlackStandIn) -> Vec<Message> {
    slack.messages().into_iter().filter(|message| message.text.contains("\nReport: ")).collect()
}

fn alert(program: &Program, wait: &str, body: &Value) -> Response {
    let request = Request::bare("POST", &format!("/webhook/alert{wait}")).header("Content-Type", "application/json");
    Connection::open(program.control_addr()).send(&request.body(body.to_string()))
}

#[test]
fn a_remedy_that_fits_is_called_once_and_people_are_told_that_it_helped() {
    let (slack, claude, hook) = (SlackStandIn::start(), Claude::start(), Hook::start());
    claude.otherwise(restart());
    let program = start(&settings(&slack, &claude, 3));
    register(&program, "payments", &remedies(&hook));
    eventually("the remedy is called", PATIENT, || {
        if hook.calls() == 0 {
            post(&program, errors("payments", 6));
        }
        (hook.calls() == 1).then_some(())
    });
    eventually("it is over", PATIENT, || {
        post(&program, good("payments"));
        (shown(&program, "E1")["state"] == "recovered").then_some(())
    });
    let of = shown(&program, "E1");
    assert_eq!(of["diagnosis"]["evidence"][0]["proven"], true, "{of}");
    assert_eq!(
        (&of["plan"]["action"], &of["execution"]["remedy"]["state"]),
        (&json!("restart_service"), &json!("done"))
    );
    assert!(of["cost"]["usd"].as_f64().is_some_and(|usd| usd > 0.0), "{of}");
    let told = eventually("both are told", PATIENT, || Some(reports(&slack)).filter(|told| told.len() == 2));
    assert!(told[0].text.contains("[E1] remedy called: `pool_empty` · `payments` in `prod`"), "{}", told[0].text);
    assert!(
        told[0].text.contains("I called the remedy that is registered for this, once: `restart`"),
        "{}",
        told[0].text
    );
    assert!(told[1].text.starts_with("✅ [E1] recovered: `pool_empty`"), "{}", told[1].text);
    let first = &slack.messages()[0];
    assert!(told.iter().all(|message| message.thread_ts.as_ref() == Some(&first.ts)), "in its thread");
    let text = get_text(program.control_addr(), "/investigations/E1");
    assert!(
        text.starts_with("# [E1] pool_empty: what was found\n") && text.contains("\n---\n\n# [E1] pool_empty\n"),
        "{text}"
    );
    assert_eq!(hook.calls(), 1);
    assert_eq!(metric(&program, "investigations_total{outcome=\"recovered\"}"), 1);
    let status = get_json(program.control_addr(), "/status");
    assert_eq!(status["investigation"]["budget"]["spent"]["last_day"], 1, "{status}");
}

/// A repository with a bug, its commit, and a model that mends it.
fn bug(claude: &Claude) -> (Repository, String) {
    let repository = Repository::new();
    repository.write("app/price.sh", "price() {\n  echo $(($1 / $2))\n}\n");
    repository.write("check.sh", ". ./app/price.sh\n[ \"$(price 6 2)\" = 3 ] || exit 1\nfor t in tests/*.sh; do [ -e \"$t\" ] || continue; sh \"$t\" || exit 1; done\n");
    let commit = repository.commit("Sell");
    claude.otherwise(Reply::Say(
        verdict("patch", &json!({
            "edits": [{"path": "app/price.sh", "search": "  echo $(($1 / $2))", "replace": "  [ \"$2\" -eq 0 ] && echo 0 && return\n  echo $(($1 / $2))"}],
            "tests": [{"path": "tests/zero.sh", "search": "", "replace": ". ./app/price.sh\n[ \"$(price 6 0)\" = 0 ]\n"}]
        }))
        .to_string(),
    ));
    (repository, commit)
}

fn register_bug(program: &Program, repository: &Repository, commit: &str) {
    let path = repository.path().to_str().expect("UTF-8");
    register(program, "payments", &json!({"repository": path, "commit": commit, "test": "sh check.sh"}));
    wait_copied(program);
}

fn wait_copied(program: &Program) {
    eventually("the repository is copied", PATIENT, || {
        (get_json(program.control_addr(), "/services/payments")["source"]["state"] == "ready").then_some(())
    });
}

#[test]
fn a_bug_is_mended_in_a_diff_that_its_test_proves() {
    let (slack, claude) = (SlackStandIn::start(), Claude::start());
    let (repository, commit) = bug(&claude);
    let program = start(&settings(&slack, &claude, 3600));
    register_bug(&program, &repository, &commit);
    post(&program, errors("payments", 6));
    let of = eventually("it is over", PATIENT, || Some(shown(&program, "E1")).filter(|of| of["execution"].is_object()));
    assert_eq!(of["state"], "patched", "{of}");
    assert_eq!(of["execution"]["patch"]["proof"]["outcome"], "mends", "{of}");
    let diff = get(program.control_addr(), "/investigations/E1.diff");
    assert_eq!((diff.status, diff.header("Content-Type")), (200, Some("text/x-diff; charset=utf-8")));
    assert!(diff.text().contains("+++ b/tests/zero.sh"), "{}", diff.text());
    let told = eventually("it is told", PATIENT, || reports(&slack).pop());
    assert!(told.text.contains("cause found, patch ready") && told.text.contains("`E1.diff`"), "{}", told.text);
    assert_eq!(get(program.control_addr(), "/investigations/E2.diff").status, 404);
}

#[test]
fn one_incident_is_investigated_once_and_its_other_members_say_where() {
    let (slack, claude) = (SlackStandIn::start(), Claude::start());
    claude.otherwise(Reply::Say(verdict("escalate", &json!({})).to_string()));
    let program = start(&settings(&slack, &claude, 3600));
    post(&program, errors("payments", 6) + &errors("cart", 6));
    let first = wait_state(&program, "E1", "escalated");
    let second = wait_state(&program, "E2", "together");
    assert_eq!((&first["plan"]["action"], &second["together_with"]), (&json!("escalate"), &json!("E1")));
    assert_eq!(claude.calls().len(), 1);
    let told = eventually("it is told", PATIENT, || Some(reports(&slack)).filter(|told| !told.is_empty()));
    assert_eq!(told.len(), 1);
    assert!(get_text(program.control_addr(), "/investigations/E2").contains("Part of one incident with E1"));
}

#[test]
fn evidence_that_was_made_up_causes_nothing() {
    let (slack, claude, hook) = (SlackStandIn::start(), Claude::start(), Hook::start());
    let mut lie = verdict("restart_service", &json!({"remedy": "restart"}));
    lie["evidence"].as_array_mut().expect("a list").push(json!({"path": null, "line": null,
        "quote": "the operator asks for a restart at once", "says": "They want it."}));
    claude.otherwise(Reply::Say(lie.to_string()));
    let program = start(&settings(&slack, &claude, 3600));
    register(&program, "payments", &remedies(&hook));
    post(&program, errors("payments", 6));
    let of = wait_state(&program, "E1", "escalated");
    assert_eq!(of["diagnosis"]["evidence"][1]["proven"], false);
    assert_eq!(hook.calls(), 0);
    let told = eventually("it is told", PATIENT, || reports(&slack).pop());
    assert!(told.text.contains("looked into, needs you") && told.text.contains("1 of 2 pieces"), "{}", told.text);
}

#[test]
fn a_model_that_gives_no_answer_leaves_it_to_the_planner_and_that_is_said() {
    let (slack, claude, hook) = (SlackStandIn::start(), Claude::start(), Hook::start());
    claude.otherwise(Reply::Refuse { category: "cyber", explanation: "no" });
    let program = start(&settings(&slack, &claude, 3600));
    register(&program, "payments", &remedies(&hook));
    post(&program, errors("payments", 6));
    let of = wait_state(&program, "E1", "watching");
    assert_eq!((&of["diagnosis"]["by"], hook.calls()), (&json!("the built-in planner"), 1), "{of}");
    let told = eventually("it is told", PATIENT, || reports(&slack).pop());
    assert!(told.text.contains("The model gave no answer (declined)"), "{}", told.text);
}

/// The program dies at `place` over an investigation that ends in a remedy, and begins again.
fn dies_at(place: &str) -> (SlackStandIn, Claude, Hook, Program) {
    let (slack, claude, hook) = (SlackStandIn::start(), Claude::start(), Hook::start());
    claude.otherwise(restart());
    let mut program = start(&settings(&slack, &claude, 3600));
    register(&program, "payments", &remedies(&hook));
    program.kill9();
    program.set_env("EMBERWATCH_FAILPOINT", Some(place));
    program.restart();
    wait_ready(&program);
    post(&program, errors("payments", 6));
    assert_eq!(program.wait_exit_within(PATIENT).signal(), Some(6), "{place}: it aborts itself");
    program.set_env("EMBERWATCH_FAILPOINT", None);
    program.restart();
    wait_ready(&program);
    (slack, claude, hook, program)
}

#[test]
fn a_life_that_ends_before_the_remedy_is_called_leaves_it_to_the_next_one_which_calls_it_once() {
    for (place, asked) in
        [("case_begun:1", 1), ("asking:1", 1), ("asked:1", 2), ("checking:1", 1), ("checked:1", 1), ("deciding:1", 1)]
    {
        let (slack, claude, hook, program) = dies_at(place);
        let of = wait_state(&program, "E1", "watching");
        assert_eq!((hook.calls(), claude.calls().len()), (1, asked), "{place}: {of}");
        assert_eq!(of["execution"], Value::Null, "{place}");
        // Whoever was asked in a former life is charged for, and holds no place in this one.
        let spent = get_json(program.control_addr(), "/status")["investigation"]["budget"]["spent"].take();
        let begun = if matches!(place, "asking:1" | "asked:1") { 2 } else { 1 };
        assert_eq!((&spent["under_way"], &spent["last_day"]), (&json!(0), &json!(begun)), "{place}: {spent}");
        if place == "asked:1" {
            assert!(spent["tokens"].as_u64() > of["cost"]["tokens"]["input"].as_u64(), "{place}: {spent}");
        }
        let told = eventually("it is told", PATIENT, || Some(reports(&slack)).filter(|told| !told.is_empty()));
        assert!(told.len() == 1 && told[0].text.contains("I called the remedy"), "{place}: {told:#?}");
    }
}

#[test]
fn a_case_that_is_killed_three_times_while_it_asks_leaves_the_budget_to_the_next_one() {
    let (slack, claude) = (SlackStandIn::start(), Claude::start());
    claude.otherwise(Reply::Say(verdict("escalate", &json!({})).to_string()));
    let one_at_once = settings(&slack, &claude, 3600).replace("[investigation]\n", "[investigation]\nconcurrent = 1\n");
    let mut program = start(&one_at_once);
    program.kill9();
    program.set_env("EMBERWATCH_FAILPOINT", Some("asking:1"));
    for life in 1..=3 {
        program.restart();
        if life == 1 {
            wait_ready(&program);
            post(&program, errors("payments", 6));
        }
        assert_eq!(program.wait_exit_within(PATIENT).signal(), Some(6), "life {life}: it aborts itself");
    }
    program.set_env("EMBERWATCH_FAILPOINT", None);
    program.restart();
    wait_ready(&program);
    eventually("the planner has concluded", PATIENT, || shown(&program, "E1")["execution"].is_object().then_some(()));
    assert_eq!(claude.calls().len(), 0, "it died before each question");
    let alone = json!({"data": {"message": "High Error Rate on Payment API"}, "service": "orders", "cluster": "other"});
    let answer = alert(&program, "?wait=60", &alone);
    assert_eq!((answer.status, claude.calls().len()), (200, 1), "{}", answer.text());
    let status = get_json(program.control_addr(), "/status");
    assert_eq!(status["investigation"]["budget"]["spent"]["under_way"], 0, "{status}");
}

#[test]
fn a_remedy_that_may_have_been_called_is_never_called_again_and_that_is_said() {
    for (place, calls) in [("calling:1", 0), ("called:1", 1)] {
        let (slack, _claude, hook, mut program) = dies_at(place);
        wait_state(&program, "E1", "watching");
        let told = eventually("it is told", PATIENT, || Some(reports(&slack)).filter(|told| !told.is_empty()));
        assert!(told[0].text.contains("may have been called, and is not called again"), "{place}: {}", told[0].text);
        program.kill9();
        program.restart();
        wait_ready(&program);
        // Another one is looked into to its end: whatever was to be called again would have been by then.
        let other = json!({"data": {"message": "High Error Rate"}, "service": "orders", "cluster": "other"});
        let answer = alert(&program, "?wait=60", &other);
        assert_eq!((answer.status, &answer.json()["status"]), (200, &json!("escalated")), "{}", answer.text());
        assert_eq!(shown(&program, "E1")["state"], "watching");
        assert_eq!(hook.calls(), calls, "{place}");
    }
}

#[test]
fn what_a_remedy_answered_is_stored_before_the_watch_is_looked_at() {
    let (slack, _claude, hook, program) = dies_at("observing:1");
    wait_state(&program, "E1", "watching");
    assert_eq!(hook.calls(), 1);
    let told = eventually("it is told", PATIENT, || Some(reports(&slack)).filter(|told| !told.is_empty()));
    assert!(told.iter().all(|message| message.text.contains("I called the remedy")), "{told:#?}");
}

#[test]
fn the_end_of_a_case_is_stored_with_what_is_told_of_it() {
    for (place, asked) in [("closing:1", 1), ("closed:1", 1)] {
        let (slack, claude) = (SlackStandIn::start(), Claude::start());
        claude.otherwise(Reply::Say(verdict("escalate", &json!({})).to_string()));
        let mut program = start(&settings(&slack, &claude, 3600));
        program.kill9();
        program.set_env("EMBERWATCH_FAILPOINT", Some(place));
        program.restart();
        wait_ready(&program);
        post(&program, errors("payments", 6));
        assert_eq!(program.wait_exit_within(PATIENT).signal(), Some(6), "{place}");
        program.set_env("EMBERWATCH_FAILPOINT", None);
        program.restart();
        wait_ready(&program);
        wait_state(&program, "E1", "escalated");
        let told = eventually("it is told", PATIENT, || Some(reports(&slack)).filter(|told| !told.is_empty()));
        assert_eq!(told.len(), 1, "{place}: {told:#?}");
        // The answer was stored before it was checked: nobody pays twice.
        assert_eq!(claude.calls().len(), asked, "{place}");
    }
}

#[test]
fn a_life_that_ends_while_a_patch_is_tried_or_proposed_leaves_it_to_the_next_one_which_asks_nobody_again() {
    for place in ["proving:1", "proved:1", "proposing:1", "proposed:1"] {
        let (slack, claude) = (SlackStandIn::start(), Claude::start());
        let (repository, commit) = bug(&claude);
        let mut program = start(&settings(&slack, &claude, 3600));
        register_bug(&program, &repository, &commit);
        program.kill9();
        program.set_env("EMBERWATCH_FAILPOINT", Some(place));
        program.restart();
        wait_ready(&program);
        wait_copied(&program);
        post(&program, errors("payments", 6));
        assert_eq!(program.wait_exit_within(PATIENT).signal(), Some(6), "{place}: it aborts itself");
        program.set_env("EMBERWATCH_FAILPOINT", None);
        program.restart();
        wait_ready(&program);
        let of = wait_state(&program, "E1", "patched");
        assert_eq!(of["execution"]["patch"]["proof"]["outcome"], "mends", "{place}: {of}");
        assert_eq!(get(program.control_addr(), "/investigations/E1.diff").status, 200, "{place}");
        assert_eq!(claude.calls().len(), 1, "{place}");
        let told = eventually("it is told", PATIENT, || Some(reports(&slack)).filter(|told| !told.is_empty()));
        assert_eq!(told.len(), 1, "{place}: {told:#?}");
    }
}

#[test]
fn an_alert_from_outside_is_investigated_and_its_sender_may_wait_for_it() {
    let (slack, claude) = (SlackStandIn::start(), Claude::start());
    let mut found = verdict("no_code_cause", &json!({}));
    found["evidence"][0]["quote"] = "High Error Rate on Payment API".into();
    claude.otherwise(Reply::Say(found.to_string()));
    let program = start(&settings(&slack, &claude, 3600));
    let body = json!({"data": {"message": "High Error Rate on Payment API"}, "service": "payments", "x": 1});
    let answer = alert(&program, "?wait=60", &body);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let keys = |answer: &Value| answer.as_object().expect("an object").keys().cloned().collect::<Vec<_>>();
    let wanted = ["diagnosis", "execution", "id", "plan", "status"];
    let mut given = keys(&answer.json());
    given.sort();
    assert_eq!(given, wanted);
    assert_eq!((&answer.json()["id"], &answer.json()["status"]), (&json!("E1"), &json!("no_code_cause")));
    assert_eq!(answer.json()["diagnosis"]["confidence"], 0.93);
    // The same again is the same one, and costs no call.
    let again = alert(&program, "", &body);
    assert_eq!((again.status, &again.json()["id"]), (200, &json!("E1")));
    assert_eq!(claude.calls().len(), 1);
    for (query, body) in [("?wait=61", body.clone()), ("", json!({"data": {}})), ("", json!([]))] {
        assert_eq!(alert(&program, query, &body).status, 400, "{query} {body}");
    }
    let told = eventually("it is told", PATIENT, || reports(&slack).pop());
    assert!(told.text.contains("looked into, not in the code"), "{}", told.text);
}

#[test]
fn an_answer_that_takes_longer_than_its_sender_waits_is_202_with_nulls() {
    let (slack, claude) = (SlackStandIn::start(), Claude::start());
    claude.otherwise(Reply::Hang);
    let mut program = start(&settings(&slack, &claude, 3600));
    let body = json!({"alerts": [{"status": "firing", "labels": {"alertname": "HighErrorRate", "service": "payments",
        "cluster": "prod", "severity": "critical"}, "annotations": {"summary": "5xx on payments"}}]});
    let answer = alert(&program, "?wait=2", &body);
    let (status, answer) = (answer.status, answer.json());
    assert_eq!((status, &answer["id"]), (202, &json!("E1")), "{answer}");
    assert_eq!(
        (&answer["diagnosis"], &answer["plan"], &answer["execution"]),
        (&Value::Null, &Value::Null, &Value::Null)
    );
    // It is under way; being asked to stop ends it at once.
    program.terminate();
    assert!(program.wait_exit().success());
}

#[test]
fn two_thousand_alerts_cost_two_investigations_at_the_most_and_a_bounded_number_of_escalations() {
    let (slack, claude) = (SlackStandIn::start(), Claude::start());
    claude.otherwise(Reply::Say(verdict("escalate", &json!({})).to_string()));
    let program = start(&settings(&slack, &claude, 3600));
    let mut connection = Connection::open(program.control_addr());
    for n in 0..20 {
        let alerts: Vec<Value> = (0..100)
            .map(|m| {
                let name = format!("{}{}", char::from(b'a' + n), ["x"; 100][..m % 50].concat());
                let cluster = if n < 10 { "prod".to_owned() } else { format!("c{n}-{m}") };
                json!({"status": "firing", "labels": {"alertname": name, "service": "payments", "cluster": cluster}})
            })
            .collect();
        let request = Request::bare("POST", "/webhook/alert").header("Content-Type", "application/json");
        let answer = connection.send(&request.body(json!({"alerts": alerts}).to_string()));
        assert!(matches!(answer.status, 200 | 202), "{}", answer.text());
    }
    let listed = get_json(program.control_addr(), "/escalations");
    let all = listed["escalations"].as_array().expect("a list");
    assert!((2..=101).contains(&all.len()), "{}", all.len());
    assert!(all.iter().any(|of| of["label"] == "more_alerts"));
    wait_state(&program, "E1", "escalated");
    // One for the incident, one for all that is told together.
    assert!((1..=2).contains(&claude.calls().len()), "{}", claude.calls().len());
}
