//! The front door, as its users see it: lines go in, and what a person is told comes out. Floods, their end,
//! silence, backlogs, groups, and what of it survives a restart.
//!
//! Windows are short and real. A record's `date` decides its window, so a test says when a line happened; what
//! comes with time alone is waited for with [`eventually`].

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use crate::world::eventually;
use crate::world::fluent_bit::{Says, firelens_line};
use crate::world::http::{Connection, Request, get, get_json, get_text, post_ingest, post_json};
use crate::world::program::Program;

/// For what comes by itself: generous, since other tests keep the machine busy.
pub(crate) const SOON: Duration = Duration::from_secs(30);
pub(crate) const CLUSTER: &str = "prod";
pub(crate) const LABEL: &str = "http_5xx";

/// Unix seconds.
pub(crate) fn now() -> f64 {
    SystemTime::UNIX_EPOCH.elapsed().expect("a clock after 1970").as_secs_f64()
}

fn now_ms() -> i64 {
    (now() * 1000.0) as i64
}

/// A configuration with one watch over 5xx, [`LABEL`], which notifies.
pub(crate) fn config(escalation: &str, threshold: u64, window_seconds: u64) -> String {
    format!(
        "[escalation]\n{escalation}\n\n[[watch]]\nlabel = \"{LABEL}\"\nmatch = {{ field = \"status\", gte = 500 }}\n\
         threshold = {threshold}\nwindow_seconds = {window_seconds}\non_crossing = \"notify\"\n\
         summary = \"5xx responses are spiking\"\n"
    )
}

/// Starts the program and waits until it takes batches and rules.
pub(crate) fn start(config: &str) -> Program {
    let program = Program::start(config);
    wait_ready(&program);
    program
}

pub(crate) fn wait_ready(program: &Program) {
    eventually("the program is ready", SOON, || (get(program.control_addr(), "/ready").status == 200).then_some(()));
}

/// Access lines of one service, each with an id of its own.
pub(crate) fn access(service: &str, status: u16, dates: impl IntoIterator<Item = f64>) -> String {
    let line = |date| firelens_line(id(), service, CLUSTER, Says::Access { status }, Some(date)) + "\n";
    dates.into_iter().map(line).collect()
}

/// That many failed requests, all just now.
pub(crate) fn flood(service: &str, lines: usize) -> String {
    access(service, 500, vec![now(); lines])
}

/// One failed request in a record without a `date`; what `log` says beyond the status is `more`.
fn undated(service: &str, more: &Value) -> String {
    let mut log = json!({"msg": "upstream failed", "status": 502, "request": id()});
    log.as_object_mut().expect("an object").extend(more.as_object().cloned().unwrap_or_default());
    let definition = format!("{service}:42");
    json!({"source": "stdout", "log": log.to_string(), "container_name": service, "ecs_cluster": CLUSTER,
           "ecs_task_definition": definition})
    .to_string()
        + "\n"
}

pub(crate) fn id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

pub(crate) fn post(program: &Program, body: impl Into<Vec<u8>>) {
    let answer = post_ingest(program.ingest_addr(), body);
    assert_eq!(answer.status, 204, "{}", answer.text());
}

/// What `GET /watches/LABEL` shows.
pub(crate) fn shown(program: &Program, label: &str) -> Value {
    get_json(program.control_addr(), &format!("/watches/{label}"))
}

pub(crate) fn matched_total(program: &Program, label: &str) -> u64 {
    shown(program, label)["matched_total"].as_u64().expect("matched_total is a number")
}

/// Count and state of one group, by its service.
pub(crate) fn group(program: &Program, label: &str, service: &str) -> Option<(u64, String)> {
    let shown = shown(program, label);
    let group = shown["groups"].as_array()?.iter().find(|group| group["key"]["service"] == service)?;
    Some((group["count"].as_u64()?, group["state"].as_str()?.to_owned()))
}

/// A figure of the page that Prometheus scrapes, 0 while it is not there: `lines_total{outcome="matched"}`.
pub(crate) fn metric(program: &Program, series: &str) -> u64 {
    figure(&get_text(program.control_addr(), "/metrics"), series)
}

pub(crate) fn figure(page: &str, series: &str) -> u64 {
    let name = format!("emberwatch_{series} ");
    let value = page.lines().find_map(|line| line.strip_prefix(&name));
    value.map_or(0, |value| value.parse().unwrap_or_else(|fault| panic!("{series} is {value}: {fault}")))
}

/// Escalation, kind and service of what `alerts.jsonl` holds.
fn told(program: &Program) -> Vec<(String, String, String)> {
    let text = |alert: &Value, key: &str| alert[key].as_str().unwrap_or_default().to_owned();
    program.alerts().iter().map(|alert| (text(alert, "id"), text(alert, "kind"), text(alert, "service"))).collect()
}

fn kinds(program: &Program) -> Vec<String> {
    program.alerts().iter().map(|alert| format!("{} {}", text(alert, "id"), text(alert, "kind"))).collect()
}

fn text<'a>(alert: &'a Value, key: &str) -> &'a str {
    alert[key].as_str().unwrap_or_else(|| panic!("no text {key} in {alert}"))
}

fn millis(alert: &Value, key: &str) -> i64 {
    let time: jiff::Timestamp = text(alert, key).parse().expect("RFC 3339");
    time.as_millisecond()
}

/// Lets the services (separated by a blank) send good lines until something is seen.
pub(crate) fn sending_good_lines<T>(
    program: &Program,
    services: &str,
    what: &str,
    mut look: impl FnMut() -> Option<T>,
) -> T {
    let mut connection = Connection::open(program.ingest_addr());
    eventually(what, SOON, || {
        let lines = services.split(' ').map(|service| access(service, 200, [now()]));
        let good = Request::new("POST", "/ingest").body(lines.collect::<String>());
        assert_eq!(connection.send(&good).status, 204);
        look()
    })
}

fn wait_kinds(program: &Program, service: &str, wanted: &[&str]) {
    let what = format!("alerts {wanted:?}");
    sending_good_lines(program, service, &what, || (kinds(program).len() >= wanted.len()).then_some(()));
    assert_eq!(kinds(program), wanted);
}

#[test]
fn a_flood_of_twenty_thousand_lines_is_one_message_with_its_count_and_is_resolved_after_a_quiet_window() {
    // The first message leaves well after all has come, and the window ends well after that.
    let program = start(&config("settle_seconds = 6", 10, 8));
    let begin = now() - 1.0;
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut connection = Connection::open(program.ingest_addr());
                for _ in 0..5 {
                    let body = access("payments", 502, (0..1000).map(|n| begin + f64::from(n) / 1000.0));
                    assert_eq!(connection.send(&Request::new("POST", "/ingest").body(body)).status, 204);
                }
            });
        }
    });
    let flooded = shown(&program, LABEL);
    assert_eq!(flooded["matched_total"], 20_000);
    assert_eq!(flooded["groups"][0]["key"], json!({"cluster": CLUSTER, "service": "payments"}));
    assert_eq!((flooded["groups"][0]["count"].as_u64(), &flooded["state"]), (Some(20_000), &json!("firing")));
    assert_eq!(metric(&program, "lines_total{outcome=\"matched\"}"), 20_000);

    wait_kinds(&program, "payments", &["E1 opened", "E1 resolved"]);
    let alerts = program.alerts();
    assert_eq!((alerts[0]["count"].as_u64(), text(&alerts[0], "label")), (Some(20_000), LABEL));
    assert_eq!((text(&alerts[0], "cluster"), text(&alerts[0], "service")), (CLUSTER, "payments"));
    assert_eq!((&alerts[0]["threshold"], &alerts[0]["window_seconds"]), (&json!(10), &json!(8)));
    assert!((millis(&alerts[0], "first") - (begin * 1000.0) as i64).abs() <= 1, "{}", alerts[0]);
    assert!((millis(&alerts[0], "last") - (begin * 1000.0) as i64 - 999).abs() <= 1, "{}", alerts[0]);

    program.wait_stdout(|line| line == format!("[E1] resolved: {LABEL}"));
    let said = program.stdout_lines();
    assert!(
        said.iter().any(|line| line.trim().starts_with("20,000 lines in under 1 s (threshold 10 in 8 s)")),
        "{said:#?}"
    );
    assert_eq!(said.iter().filter(|line| line.starts_with("[E")).count(), 2, "{said:#?}");
    assert_eq!(shown(&program, LABEL)["state"], "quiet");
    assert_eq!(metric(&program, &format!("watch_crossings_total{{watch=\"{LABEL}\"}}")), 1);
}

#[test]
fn a_flood_that_comes_back_within_the_dedup_time_adds_to_its_escalation_and_is_told_again_once() {
    let program = start(&config("settle_seconds = 0", 10, 1));
    post(&program, flood("payments", 12));
    wait_kinds(&program, "payments", &["E1 opened", "E1 resolved"]);
    post(&program, flood("payments", 13));
    let pair = ["E1 opened", "E1 resolved", "E1 again", "E1 resolved"];
    wait_kinds(&program, "payments", &pair);
    assert_eq!(program.alerts()[2]["count"], 25, "the count goes on");

    // The third one fires and ends without a word.
    post(&program, flood("payments", 14));
    assert_eq!(shown(&program, LABEL)["state"], "firing");
    sending_good_lines(&program, "payments", "quiet again", || {
        (shown(&program, LABEL)["state"] == "quiet").then_some(())
    });
    let outcome = |outcome: &str| metric(&program, &format!("escalations_total{{outcome=\"{outcome}\"}}"));
    assert_eq!((outcome("opened"), outcome("again"), outcome("deduplicated")), (1, 1, 1));
    assert_eq!(kinds(&program), pair);
    assert_eq!(matched_total(&program, LABEL), 39);
    program.wait_stdout(|line| line == format!("[E1] warning, firing again: {LABEL}"));
}

#[test]
fn a_flood_after_the_dedup_time_escalates_anew() {
    let program = start(&config("settle_seconds = 0\ndedup_seconds = 3", 10, 1));
    post(&program, flood("payments", 12));
    wait_kinds(&program, "payments", &["E1 opened", "E1 resolved"]);
    let last_told = millis(&program.alerts()[1], "time");
    sending_good_lines(&program, "payments", "the dedup time is over", || (now_ms() - last_told > 3_000).then_some(()));
    post(&program, flood("payments", 15));
    wait_kinds(&program, "payments", &["E1 opened", "E1 resolved", "E2 opened"]);
    assert_eq!(program.alerts()[2]["count"], 15, "a new escalation counts anew");
}

#[test]
fn a_service_that_falls_silent_is_told_as_no_data_and_never_as_resolved() {
    let program = start(&config("settle_seconds = 0", 10, 1));
    post(&program, flood("payments", 12));
    eventually("no data is told", SOON, || (kinds(&program).len() == 2).then_some(()));
    assert_eq!(kinds(&program), ["E1 opened", "E1 no_data"]);
    program.wait_stdout(|line| line.contains("payments has sent nothing since") && line.contains("UTC"));
    assert_eq!(group(&program, LABEL, "payments").map(|(_, state)| state).as_deref(), Some("no_data"));

    // Another service's whole story passes, and its lines are no sign of life of this one.
    post(&program, flood("cart", 12));
    wait_kinds(&program, "cart", &["E1 opened", "E1 no_data", "E2 opened", "E2 resolved"]);
    let of_payments: Vec<_> = told(&program).into_iter().filter(|(_, _, service)| service == "payments").collect();
    assert_eq!(of_payments.iter().map(|(_, kind, _)| kind.as_str()).collect::<Vec<_>>(), ["opened", "no_data"]);

    // Only when it is back, and quiet for a whole window, is it over.
    wait_kinds(&program, "payments", &["E1 opened", "E1 no_data", "E2 opened", "E2 resolved", "E1 resolved"]);
}

#[test]
fn a_backlog_is_one_late_escalation_with_its_span_and_counts_in_the_totals_but_in_no_live_window() {
    let program = start(&("[time]\nlateness_seconds = 10\n".to_owned() + &config("settle_seconds = 0", 10, 60)));
    let past = now().floor() - 3600.0 + 0.25;
    post(&program, access("payments", 500, (0..30).map(|n| past + f64::from(n))));
    eventually("the backlog is told", SOON, || (!program.alerts().is_empty()).then_some(()));
    let alert = &program.alerts()[0];
    assert_eq!((text(alert, "id"), &alert["late"], &alert["count"]), ("E1", &json!(true), &json!(30)));
    assert_eq!(millis(alert, "first"), (past * 1000.0) as i64);
    assert_eq!(millis(alert, "last"), (past * 1000.0) as i64 + 29_000);
    program.wait_stdout(|line| line.contains("30 late lines, "));

    // The backlog goes on: two floods more in one request, and one before all of them.
    let two = (0..20).map(|n| past + 600.0 + f64::from(n)).chain((0..20).map(|n| past + 1200.0 + f64::from(n)));
    post(&program, access("payments", 500, two));
    post(&program, access("payments", 500, (0..20).map(|n| past - 600.0 + f64::from(n))));
    let seen = shown(&program, LABEL);
    assert_eq!((&seen["matched_total"], &seen["state"], &seen["groups"]), (&json!(90), &json!("quiet"), &json!([])));
    assert_eq!(metric(&program, &format!("watch_matches_total{{watch=\"{LABEL}\"}}")), 90);
    assert_eq!(metric(&program, "lines_total{outcome=\"matched\"}"), 90);

    // A flood of now is another escalation, and the next thing that is told.
    post(&program, flood("payments", 11));
    eventually("the flood is told", SOON, || (program.alerts().len() >= 2).then_some(()));
    let alerts = program.alerts();
    assert_eq!(kinds(&program), ["E1 opened", "E2 opened"]);
    assert_eq!((&alerts[1]["late"], &alerts[1]["count"]), (&json!(false), &json!(11)));
    assert_eq!(group(&program, LABEL, "payments"), Some((11, "firing".into())));
    assert_eq!(matched_total(&program, LABEL), 101);
}

#[test]
fn lines_without_any_time_and_lines_from_the_future_count_as_of_their_arrival() {
    let program = start(&config("settle_seconds = 0", 10, 3600));
    let before = now_ms();
    post(&program, (0..12).map(|_| undated("payments", &json!({}))).collect::<String>());
    post(&program, access("cart", 500, vec![now() + 3600.0; 13]));
    post(&program, access("search", 500, vec![now() + 400.0 * 86_400.0; 14]));
    eventually("all three are told", SOON, || (program.alerts().len() >= 3).then_some(()));
    let after = now_ms();
    for (alert, (service, count)) in program.alerts().iter().zip([("payments", 12), ("cart", 13), ("search", 14)]) {
        assert_eq!((text(alert, "service"), &alert["late"], &alert["count"]), (service, &json!(false), &json!(count)));
        assert!((before..=after).contains(&millis(alert, "first")), "{alert}");
        assert!((before..=after).contains(&millis(alert, "last")), "{alert}");
        assert_eq!(group(&program, LABEL, service), Some((count, "firing".into())));
    }
}

#[test]
fn a_time_in_the_body_counts_only_where_the_record_has_no_date() {
    let program = start(&config("settle_seconds = 0", 10, 3600));
    let hour_ago = jiff::Timestamp::from_second(now() as i64 - 7200).expect("a time").to_string();
    let old = json!({"timestamp": hour_ago});
    let dated = |line: String| {
        let mut record: Value = serde_json::from_str(&line).expect("JSON");
        record["date"] = json!(now());
        record.to_string() + "\n"
    };
    post(&program, (0..12).map(|_| dated(undated("payments", &old))).collect::<String>());
    post(&program, (0..13).map(|_| undated("cart", &old)).collect::<String>());
    eventually("both are told", SOON, || (program.alerts().len() >= 2).then_some(()));
    let late: Vec<_> =
        program.alerts().iter().map(|alert| (text(alert, "service").to_owned(), alert["late"].clone())).collect();
    assert_eq!(late, [("payments".to_owned(), json!(false)), ("cart".to_owned(), json!(true))]);
    assert_eq!(group(&program, LABEL, "payments"), Some((12, "firing".into())));
    assert_eq!(group(&program, LABEL, "cart"), None);
}

#[test]
fn a_watch_crosses_at_its_threshold_and_not_one_line_before() {
    let program = start(&config("settle_seconds = 0", 10, 3600));
    let crossings = format!("watch_crossings_total{{watch=\"{LABEL}\"}}");
    for _ in 0..9 {
        post(&program, flood("payments", 1));
    }
    assert_eq!(group(&program, LABEL, "payments"), Some((9, "quiet".into())));
    assert_eq!((metric(&program, &crossings), program.alerts().len()), (0, 0));
    let asked = Request::new("POST", "/ingest").without("Accept").header("Accept", "application/json");
    let answer = Connection::open(program.ingest_addr()).send(&asked.body(flood("payments", 1)));
    assert_eq!((answer.status, &answer.json()["crossed"]), (200, &json!([LABEL])));
    assert_eq!(group(&program, LABEL, "payments"), Some((10, "firing".into())));
    eventually("it is told", SOON, || (program.alerts().len() == 1).then_some(()));
    assert_eq!(program.alerts()[0]["count"], 10);
    post(&program, flood("payments", 30));
    assert_eq!((metric(&program, &crossings), shown(&program, LABEL)["state"].as_str()), (1, Some("firing")));
    assert_eq!(kinds(&program), ["E1 opened"]);
}

#[test]
fn services_cross_separately_unless_the_watch_counts_all_together() {
    let together = "[[watch]]\nlabel = \"all_5xx\"\nmatch = { field = \"status\", gte = 500 }\nthreshold = 30\n\
                    window_seconds = 3600\ngroup_by = []\n";
    let program = start(&(config("settle_seconds = 0", 10, 3600) + together));
    post(&program, flood("payments", 9) + &flood("cart", 9));
    assert_eq!(shown(&program, LABEL)["state"], "quiet");
    post(&program, flood("payments", 1));
    eventually("payments is told", SOON, || (program.alerts().len() == 1).then_some(()));
    assert_eq!(group(&program, LABEL, "payments"), Some((10, "firing".into())));
    assert_eq!(group(&program, LABEL, "cart"), Some((9, "quiet".into())));
    post(&program, flood("cart", 3));
    eventually("cart is told", SOON, || (program.alerts().len() == 2).then_some(()));
    let all = shown(&program, "all_5xx");
    assert_eq!(
        (&all["state"], &all["groups"]),
        (&json!("quiet"), &json!([{"key": {}, "count": 22, "state": "quiet"}]))
    );
    post(&program, flood("search", 4) + &flood("mail", 4));
    eventually("the sum is told", SOON, || (program.alerts().len() == 3).then_some(()));
    assert_eq!(shown(&program, "all_5xx")["groups"], json!([{"key": {}, "count": 30, "state": "firing"}]));
    let alerts = program.alerts();
    let summed: Vec<_> =
        alerts.iter().map(|a| (text(a, "id"), text(a, "label"), a["group"].clone(), a["count"].as_u64())).collect();
    let of = |service: &str| json!({"cluster": CLUSTER, "service": service});
    assert_eq!(summed[0], ("E1", LABEL, of("payments"), Some(10)));
    assert_eq!(summed[1], ("E2", LABEL, of("cart"), Some(12)));
    assert_eq!(summed[2], ("E3", "all_5xx", json!({}), Some(30)));
}

#[test]
fn a_log_line_cannot_choose_its_group_but_its_own_fields_can_be_matched() {
    let own = "[[watch]]\nlabel = \"own_field\"\nmatch = { field = \"body.service\", eq = \"victim\" }\nthreshold = 100\n\
               window_seconds = 3600\n\n[[watch]]\nlabel = \"claimed\"\nmatch = { field = \"service\", eq = \"victim\" }\n\
               threshold = 100\nwindow_seconds = 3600\n";
    let program = start(&(config("settle_seconds = 0", 10, 3600) + own));
    let claims = json!({"service": "victim", "cluster": "elsewhere", "container": "x", "host": "y", "level": "error"});
    post(&program, (0..10).map(|_| undated("payments", &claims)).collect::<String>());
    eventually("it is told", SOON, || (program.alerts().len() == 1).then_some(()));
    let alert = &program.alerts()[0];
    assert_eq!(alert["group"], json!({"cluster": CLUSTER, "service": "payments"}));
    assert_eq!((text(alert, "cluster"), text(alert, "service")), (CLUSTER, "payments"));
    assert_eq!(matched_total(&program, "own_field"), 10);
    assert_eq!(group(&program, "own_field", "payments"), Some((10, "quiet".into())));
    assert_eq!(matched_total(&program, "claimed"), 0);
}

#[test]
fn a_watch_whose_crossing_only_logs_counts_and_sends_nothing() {
    let quiet = "[[watch]]\nlabel = \"http_4xx\"\nmatch = { field = \"status\", gte = 400, lt = 500 }\nthreshold = 5\n\
                 window_seconds = 3600\non_crossing = \"log\"\n";
    let program = start(&(config("settle_seconds = 0", 10, 3600) + quiet));
    post(&program, access("payments", 404, vec![now(); 50]));
    assert_eq!(group(&program, "http_4xx", "payments"), Some((50, "firing".into())));
    assert_eq!(matched_total(&program, "http_4xx"), 50);
    assert_eq!(metric(&program, "watch_crossings_total{watch=\"http_4xx\"}"), 1);
    // What notifies is told after it, as the first thing.
    post(&program, flood("payments", 10));
    program.wait_stdout(|line| line == format!("[E1] warning: {LABEL}"));
    eventually("it is told", SOON, || (!program.alerts().is_empty()).then_some(()));
    assert_eq!(kinds(&program), ["E1 opened"]);
    assert!(!program.stdout_lines().iter().any(|line| line.contains("http_4xx")));
}

#[test]
fn the_rule_form_of_the_seeds_is_taken_as_it_stands_and_survives_kill_9() {
    let mut program = start("builtin_watches = false\n[escalation]\nsettle_seconds = 0\n");
    let rule = json!({"action": "watch", "label": "http_5xx_spike",
        "match": {"field": "status", "gte": "500"},
        "threshold": 10, "window_seconds": 60,
        "summary": "5xx responses are spiking"});
    let answer = post_json(program.control_addr(), "/watches", &rule);
    assert_eq!(answer.status, 201, "{}", answer.text());
    for (key, value) in [
        ("label", json!("http_5xx_spike")),
        ("origin", json!("api")),
        ("kind", json!("count")),
        ("match", rule["match"].clone()),
        ("threshold", json!(10)),
        ("window_seconds", json!(60)),
        ("group_by", json!(["cluster", "service"])),
        ("on_crossing", json!("investigate")),
        ("matched_total", json!(0)),
        ("state", json!("quiet")),
        ("groups", json!([])),
    ] {
        assert_eq!(answer.json()[key], value, "{key}");
    }
    assert_eq!(get_json(program.control_addr(), "/watches")["watches"].as_array().map(Vec::len), Some(1));
    post(&program, flood("payments", 9) + &access("payments", 499, [now()]));
    assert_eq!(shown(&program, "http_5xx_spike")["state"], "quiet");
    program.kill9();
    program.restart();
    wait_ready(&program);
    assert_eq!(
        (matched_total(&program, "http_5xx_spike"), &shown(&program, "http_5xx_spike")["origin"]),
        (9, &json!("api"))
    );
    post(&program, flood("payments", 1));
    eventually("it is told", SOON, || (!program.alerts().is_empty()).then_some(()));
    assert_eq!((kinds(&program), &program.alerts()[0]["count"]), (vec!["E1 opened".to_owned()], &json!(10)));
    assert_eq!(post_json(program.control_addr(), "/watches", &rule).status, 200, "the same label again replaces");
    assert_eq!(matched_total(&program, "http_5xx_spike"), 10, "and the same rule keeps its counts");
}

fn counts_survive(stop: impl FnOnce(&mut Program)) {
    let mut program = start(&config("settle_seconds = 0", 10, 3600));
    post(&program, flood("payments", 15) + &flood("cart", 4));
    eventually("it is told", SOON, || (!program.alerts().is_empty()).then_some(()));
    stop(&mut program);
    program.restart();
    wait_ready(&program);
    assert_eq!(group(&program, LABEL, "payments"), Some((15, "firing".into())));
    assert_eq!(group(&program, LABEL, "cart"), Some((4, "quiet".into())));
    assert_eq!(matched_total(&program, LABEL), 19);
    assert_eq!(metric(&program, &format!("watch_matches_total{{watch=\"{LABEL}\"}}")), 19);

    // More of the same flood is no news; another one gets the next number.
    post(&program, flood("payments", 20));
    post(&program, flood("cart", 6));
    eventually("the second flood is told", SOON, || kinds(&program).contains(&"E2 opened".to_owned()).then_some(()));
    assert_eq!(group(&program, LABEL, "payments"), Some((35, "firing".into())));
    assert_eq!(matched_total(&program, LABEL), 45);
    // A message whose fate the program could not know may come twice, and then says so.
    let alerts = program.alerts();
    let told: Vec<_> =
        alerts.iter().filter(|alert| alert["in_doubt"] != json!(true)).map(|alert| text(alert, "id")).collect();
    assert_eq!(told, ["E1", "E2"]);
    assert!(alerts.iter().all(|alert| text(alert, "kind") == "opened"), "{alerts:#?}");
}

#[test]
fn counts_states_and_numbers_survive_sigterm() {
    counts_survive(|program| {
        program.terminate();
        assert!(program.wait_exit().success());
    });
}

#[test]
fn counts_states_and_numbers_survive_kill_9() {
    counts_survive(Program::kill9);
}

#[test]
fn with_nothing_configured_a_file_of_undated_records_posted_by_curl_is_one_escalation_that_is_not_late() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/firelens.ndjson");
    let body = std::fs::read_to_string(file).expect("the records");
    let records: Vec<Value> = body.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let status = |record: &Value| serde_json::from_str::<Value>(record["log"].as_str()?).ok()?["status"].as_u64();
    let failed = records.iter().filter(|record| status(record) >= Some(500)).count();
    assert_eq!((records.len(), failed, records.iter().any(|record| record.get("date").is_some())), (40, 12, false));

    let program = start("");
    post(&program, body);
    program.wait_stdout(|line| line == "[E1] critical: http_5xx_spike");
    program.wait_stdout(|line| line.is_empty());
    let said = program.stdout_lines();
    assert_eq!(said.iter().filter(|line| line.starts_with("[E1] critical")).count(), 1, "{said:#?}");
    assert!(!said.iter().any(|line| line.starts_with("[E2]")), "{said:#?}");
    assert!(said.iter().any(|line| line.trim() == "payments-api in prod-eu"), "{said:#?}");
    assert!(
        said.iter().any(|line| line.contains("12 lines")) && !said.iter().any(|line| line.contains("late")),
        "{said:#?}"
    );
    let crossed = |label: &str| metric(&program, &format!("watch_crossings_total{{watch=\"{label}\"}}"));
    assert_eq!((crossed("http_5xx_spike"), crossed("error_burst"), crossed("fatal")), (1, 0, 0));
    assert_eq!(metric(&program, "escalations_total{outcome=\"opened\"}"), 1);
    assert_eq!(get_json(program.control_addr(), "/status")["firing"], json!(["http_5xx_spike"]));
    eventually("the file has it too", SOON, || (!program.alerts().is_empty()).then_some(()));
    let mut alerts = program.alerts();
    // What was found out about it may have been told already.
    alerts.retain(|alert| alert["kind"] != "report");
    assert_eq!((alerts.len(), &alerts[0]["late"], &alerts[0]["count"]), (1, &json!(false), &json!(12)));
}
