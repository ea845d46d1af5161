//! A task whose disk goes with it: what is small is kept in a folder or in a bucket, and is there again when the
//! store is gone. And what the place may do to the program: nothing.

use std::path::Path;

use serde_json::{Value, json};

use crate::control::{counting, put, watch};
use crate::story::{SOON, config, flood, metric, post, start, wait_ready};
use crate::world::bucket::{BUCKET, BucketStandIn, KEY_ID, Mood, ROLE_TOKEN, SECRET};
use crate::world::eventually;
use crate::world::http::{delete, get, get_json};
use crate::world::program::Program;
use crate::world::slack::{BOT_TOKEN, SlackStandIn};

const OBJECT: &str = "prod/state.json";

fn with(settings: &str) -> String {
    format!("{settings}\n{}", config("settle_seconds = 0", 10, 60))
}

/// The disk goes with the task.
fn lose_store(program: &Program) {
    for name in ["emberwatch.db", "emberwatch.db-wal", "emberwatch.db.lock"] {
        std::fs::remove_file(program.home().join(name)).unwrap_or_default();
    }
    assert!(!program.home().join("emberwatch.db").exists());
}

fn len(kept: &Value, what: &str) -> usize {
    kept[what].as_array().map_or(0, Vec::len)
}

fn status(program: &Program) -> Value {
    get_json(program.control_addr(), "/status")["state"].clone()
}

/// Number, crossings and state of each escalation, the newest first.
fn escalations(program: &Program) -> Vec<(String, u64, String)> {
    let shown = get_json(program.control_addr(), "/escalations");
    let text = |e: &Value, key: &str| e[key].as_str().unwrap_or_default().to_owned();
    let all = shown["escalations"].as_array().expect("a list").clone();
    all.iter().map(|e| (text(e, "id"), e["crossings"].as_u64().unwrap_or(0), text(e, "state"))).collect()
}

fn alerts(program: &Program) -> Vec<String> {
    let text = |alert: &Value, key: &str| alert[key].as_str().unwrap_or_default().to_owned();
    program.alerts().iter().map(|alert| format!("{} {}", text(alert, "id"), text(alert, "service"))).collect()
}

fn wait_alerts(program: &Program, wanted: &[&str]) {
    eventually("the alerts", SOON, || (alerts(program).len() >= wanted.len()).then_some(()));
    assert_eq!(alerts(program), wanted);
}

/// One life that sets a watch and escalates, and a next one without its store.
fn outlives_its_store(settings: &str, wait_kept: impl Fn(&Program) -> Value, lose: impl Fn(&Program)) -> Program {
    let mut program = start(&with(settings));
    put(program.control_addr(), &counting("mine", &json!({"contains": "needle"})));
    post(&program, flood("checkout", 20));
    wait_alerts(&program, &["E1 checkout"]);
    let kept = wait_kept(&program);
    assert_eq!(len(&kept, "messages"), 0, "what was sent waits no more");
    program.kill9();
    lose(&program);
    program.restart();
    wait_ready(&program);
    assert_eq!(status(&program)["at_start"], "restored");
    assert_eq!(metric(&program, "state_reads_total{outcome=\"restored\"}"), 1);
    assert_eq!(watch(program.control_addr(), "mine")["origin"], "api");
    assert_eq!(escalations(&program), [("E1".to_owned(), 1, "quiet".to_owned())]);
    assert_eq!(watch(program.control_addr(), "http_5xx")["matched_total"], 0, "counts are not kept");
    // The same trouble goes on; then another one begins, which is told after whatever was to be told of the first.
    post(&program, flood("checkout", 20));
    eventually("it adds to what was told", SOON, || {
        (escalations(&program) == [("E1".to_owned(), 2, "firing".to_owned())]).then_some(())
    });
    post(&program, flood("cart", 20));
    wait_alerts(&program, &["E1 checkout", "E2 cart"]);
    program
}

fn is_whole(kept: &Value) -> bool {
    len(kept, "watches") == 1 && len(kept, "escalations") == 1
}

#[test]
fn a_bucket_gives_back_watches_and_escalations_to_a_task_that_lost_its_disk() {
    let bucket = BucketStandIn::start();
    let wait = |_: &Program| bucket.wait_kept(OBJECT, "watch and escalation are kept", is_whole);
    let mut program = outlives_its_store(&bucket.settings_with_keys("prod"), wait, lose_store);
    let kept = bucket.wait_kept(OBJECT, "the second one is kept", |kept| len(kept, "escalations") == 2);
    let shown = status(&program);
    assert_eq!((&shown["url"], &shown["last_error"]), (&json!(format!("s3://{BUCKET}/prod")), &Value::Null));
    assert!(shown["last_written_ms"].as_i64() > Some(0) && shown["bytes"].as_u64() > Some(500), "{shown}");
    assert!(metric(&program, "state_writes_total{outcome=\"written\"}") >= 1);
    assert_eq!(bucket.keys(), [OBJECT], "one object, and nothing was put aside");
    program.terminate();
    assert_eq!(program.wait_exit().code(), Some(0));
    let after = bucket.wait_kept(OBJECT, "it is still there", |_| true);
    assert_eq!(after["seed"], kept["seed"], "it goes on as the same store");
}

fn in_folder(program: &Program) -> Option<Value> {
    let text = std::fs::read(program.home().join("kept/state.json")).ok()?;
    Some(serde_json::from_slice::<Value>(&text).expect("whole, whenever it is read")["kept"].clone())
}

fn wait_in_folder(program: &Program) -> Value {
    eventually("watch and escalation are kept", SOON, || in_folder(program).filter(is_whole))
}

#[test]
fn a_folder_gives_them_back_also_to_a_store_that_was_not_sound() {
    let spoil = |program: &Program| {
        std::fs::write(program.home().join("emberwatch.db"), "no database at all".repeat(1000)).expect("it is spoilt");
        std::fs::remove_file(program.home().join("emberwatch.db-wal")).unwrap_or_default();
    };
    let program = outlives_its_store("[store]\nstate_url = \"kept\"\nstate_seconds = 1\n", wait_in_folder, spoil);
    assert!(program.home().join("emberwatch.db.unsound").exists());
}

#[test]
fn what_changed_since_the_last_write_is_kept_when_the_program_is_stopped() {
    let mut program = start(&with("[store]\nstate_url = \"kept\"\nstate_seconds = 86400\n"));
    for label in ["one", "two", "three"] {
        put(program.control_addr(), &counting(label, &json!({"contains": label})));
    }
    program.terminate();
    assert_eq!(program.wait_exit().code(), Some(0));
    assert_eq!(in_folder(&program).map(|kept| len(&kept, "watches")), Some(3));
    lose_store(&program);
    program.restart();
    wait_ready(&program);
    assert_eq!(watch(program.control_addr(), "three")["origin"], "api");
}

#[test]
fn a_message_that_nobody_could_be_sent_is_sent_by_the_next_task_and_says_that_it_may_be_a_repeat() {
    let slack = SlackStandIn::start();
    let settings = |api: &str| {
        let slack = format!("[slack]\nbot_token = \"{BOT_TOKEN}\"\nchannel = \"#alerts\"\napi_url = \"{api}\"\n");
        with(&format!("{slack}[store]\nstate_url = \"kept\"\nstate_seconds = 1\n"))
    };
    // Nobody listens there.
    let mut program = start(&settings("http://127.0.0.1:1/api"));
    post(&program, flood("checkout", 20));
    eventually("escalation and message are kept", SOON, || {
        in_folder(&program).filter(|kept| len(kept, "escalations") == 1 && len(kept, "messages") == 1)
    });
    program.kill9();
    lose_store(&program);
    program.set_config(&settings(&slack.api_url()));
    program.restart();
    wait_ready(&program);
    let messages = slack.wait_messages(1);
    assert!(messages[0].text.contains("[E1]") && messages[0].text.contains("may repeat:"), "{messages:#?}");
    post(&program, flood("checkout", 20));
    post(&program, flood("cart", 20));
    let messages = slack.wait_messages(2);
    assert!(messages[1].text.contains("[E2]"), "no second one of the first: {messages:#?}");
    eventually("nothing waits any more, as far as is kept", SOON, || {
        in_folder(&program).filter(|kept| len(kept, "messages") == 0 && len(kept, "escalations") == 2)
    });
}

#[test]
fn a_store_that_has_something_takes_nothing_from_what_is_kept() {
    let bucket = BucketStandIn::start();
    let mut program = start(&with(&bucket.settings_with_keys("prod")));
    for label in ["stays", "goes"] {
        put(program.control_addr(), &counting(label, &json!({"contains": label})));
    }
    bucket.wait_kept(OBJECT, "both are kept", |kept| len(kept, "watches") == 2);
    bucket.set_mood(Mood::Refuse(403, "AccessDenied"));
    assert_eq!(delete(program.control_addr(), "/watches/goes").status, 204);
    program.kill9();
    bucket.set_mood(Mood::Well);
    program.restart();
    wait_ready(&program);
    assert_eq!(status(&program)["at_start"], "not_needed");
    assert_eq!(get(program.control_addr(), "/watches/goes").status, 404);
    bucket.wait_kept(OBJECT, "what the store has is kept", |kept| len(kept, "watches") == 1);
    assert_eq!(bucket.keys(), [OBJECT], "it is the same store's");
}

#[test]
fn a_bucket_that_hangs_delays_neither_start_nor_ingest_nor_stop_and_nothing_it_has_is_lost() {
    let bucket = BucketStandIn::start();
    let mut program = start(&with(&bucket.settings_with_keys("prod")));
    put(program.control_addr(), &counting("mine", &json!({"contains": "needle"})));
    bucket.wait_kept(OBJECT, "the watch is kept", |kept| len(kept, "watches") == 1);
    program.kill9();
    let before = bucket.object(OBJECT).expect("it is there");
    lose_store(&program);
    let asked = bucket.requests();
    bucket.set_mood(Mood::Hang);
    program.restart();
    wait_ready(&program);
    program.wait_stderr(|line| line.contains("could not be read in time"));
    post(&program, flood("checkout", 20));
    wait_alerts(&program, &["E1 checkout"]);
    assert!(status(&program)["last_error"].is_string());
    eventually("it tries to keep that", SOON, || (bucket.requests() >= asked + 2).then_some(()));
    program.terminate();
    assert_eq!(program.wait_exit().code(), Some(0));
    program.wait_stderr(|line| line.contains("could not be kept in the time for stopping"));
    // What nobody could read is not written over.
    bucket.set_mood(Mood::Well);
    program.restart();
    wait_ready(&program);
    bucket.wait_kept(OBJECT, "the new store is kept", |kept| len(kept, "escalations") == 1);
    let aside = bucket.keys().into_iter().find(|key| key != OBJECT).expect("something was put aside");
    assert_eq!(bucket.object(&aside), Some(before));
    program.wait_stderr(|line| line.contains("it is put aside"));
}

#[test]
fn an_object_that_is_damaged_or_not_ours_is_refused_loudly_and_put_aside() {
    for junk in [&b"{\"what\":\"something else\",\"version\":1}"[..], b"\x00\xff", b""] {
        let bucket = BucketStandIn::start();
        bucket.put(OBJECT, junk);
        let program = start(&with(&bucket.settings_with_keys("prod")));
        program.wait_stderr(|line| line.contains("ERROR") && line.contains("what is kept is refused"));
        assert_eq!(metric(&program, "state_reads_total{outcome=\"refused\"}"), 1);
        put(program.control_addr(), &counting("mine", &json!({"contains": "needle"})));
        bucket.wait_kept_after(OBJECT, junk, |kept| len(kept, "watches") == 1);
        let aside = bucket.keys().into_iter().find(|key| key != OBJECT).expect("something was put aside");
        assert_eq!(bucket.object(&aside).as_deref(), Some(junk));
        assert_eq!(status(&program)["at_start"], "refused");
    }
}

#[test]
fn whatever_a_bucket_answers_it_is_told_in_the_status_and_written_when_it_is_well_again() {
    for (mood, says) in [
        (Mood::Refuse(403, "AccessDenied"), "s3:ListBucket"),
        (Mood::Refuse(503, "SlowDown"), "status 503, SlowDown"),
        (Mood::Refuse(404, "NoSuchBucket"), "no such bucket"),
        (Mood::Redirect, "the bucket is elsewhere"),
    ] {
        let bucket = BucketStandIn::start();
        bucket.set_mood(mood);
        let program = start(&with(&bucket.settings_with_keys("prod")));
        put(program.control_addr(), &counting("mine", &json!({"contains": "needle"})));
        let told = |program: &Program| {
            let error = status(program)["last_error"].as_str().unwrap_or_default().to_owned();
            error.contains(says).then_some(())
        };
        eventually(says, SOON, || told(&program));
        eventually("it is counted", SOON, || {
            (metric(&program, "state_writes_total{outcome=\"failed\"}") > 0).then_some(())
        });
        bucket.set_mood(Mood::Well);
        bucket.wait_kept(OBJECT, "the watch is kept", |kept| len(kept, "watches") == 1);
        eventually("nothing is wrong any more", SOON, || status(&program)["last_error"].is_null().then_some(()));
        assert_eq!(metric(&program, "state_age_seconds"), 0);
        let said = program.stderr_lines().join("\n");
        assert!(!said.contains(SECRET) && !said.contains(KEY_ID) && !said.contains("Signature="), "{said}");
    }
}

#[test]
fn the_keys_of_a_tasks_role_are_asked_for_again_before_they_expire() {
    let bucket = BucketStandIn::start();
    let role = [
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", bucket.role_url()),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN", ROLE_TOKEN.to_owned()),
    ];
    let env: Vec<(&str, &str)> = role.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let program = Program::start_with(&with(&bucket.settings("")), &env);
    wait_ready(&program);
    put(program.control_addr(), &counting("mine", &json!({"contains": "needle"})));
    bucket.wait_kept("state.json", "the watch is kept", |kept| len(kept, "watches") == 1);
    let asked = bucket.asked();
    assert!(bucket.roles() >= asked.len() && asked.len() >= 2, "{} {asked:?}", bucket.roles());
    let said = program.stderr_lines().join("\n");
    assert!(!said.contains(ROLE_TOKEN) && !said.contains(SECRET), "{said}");
}

#[test]
fn without_keys_for_its_bucket_the_program_does_not_start_and_says_which() {
    let mut program =
        Program::spawn(&with("[store]\nstate_url = \"s3://ember-state/x\"\nstate_region = \"eu-test-1\"\n"), &[]);
    assert_eq!(program.wait_exit().code(), Some(78));
    program.wait_stderr(|line| line.contains("store.access_key_id: is missing"));
    assert!(!Path::new(&program.home().join("emberwatch.db")).exists());
}
