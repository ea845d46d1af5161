//! The control API as a person with curl, or Prometheus, uses it: watches set, read, replaced and removed,
//! every operator through the front door, and a metrics page that adds up.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::world::eventually;
use crate::world::http::{Connection, Request, delete, get, get_json, get_text, post_ingest, post_json};
use crate::world::program::Program;

/// For an effect that the program shows a tick later.
const SOON: Duration = Duration::from_secs(20);

/// Keeps what is journalled out of the snapshot, so that a restart has to replay all of it.
const NO_SNAPSHOT: &str = "[store]\nsnapshot_seconds = 3600\n";

// === what other modules share ===

/// The samples of `/metrics`, by name with labels as they stand there.
pub(crate) struct Scrape(BTreeMap<String, f64>);

impl Scrape {
    pub(crate) fn of(control: SocketAddr) -> Self {
        Self::parse(&get_text(control, "/metrics"))
    }

    pub(crate) fn parse(page: &str) -> Self {
        let samples = page.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        Self(samples.map(|line| sample(line).unwrap_or_else(|| panic!("no sample: {line:?}"))).collect())
    }

    /// Zero if it is not there: a counter nobody has moved.
    pub(crate) fn get(&self, name: &str) -> u64 {
        self.0.get(&format!("emberwatch_{name}")).map_or(0, |value| *value as u64)
    }

    pub(crate) fn lines(&self, outcome: &str) -> u64 {
        self.get(&format!("lines_total{{outcome=\"{outcome}\"}}"))
    }

    /// Every line read, whatever became of it.
    pub(crate) fn all_lines(&self) -> u64 {
        self.sum("lines_total")
    }

    pub(crate) fn sum(&self, family: &str) -> u64 {
        let start = format!("emberwatch_{family}{{");
        self.0.iter().filter(|(name, _)| name.starts_with(&start)).map(|(_, value)| *value as u64).sum()
    }

    pub(crate) fn rejected(&self) -> BTreeMap<String, u64> {
        let of = |name: &str| {
            name.strip_prefix("emberwatch_rejected_lines_total{reason=\"")?.strip_suffix("\"}").map(str::to_owned)
        };
        self.0.iter().filter_map(|(name, value)| Some((of(name)?, *value as u64))).collect()
    }
}

/// `name{label="value",…} value`, taken apart strictly.
fn sample(line: &str) -> Option<(String, f64)> {
    let (series, value) = line.rsplit_once(' ')?;
    let value = match value {
        "+Inf" => f64::INFINITY,
        other => other.parse().ok()?,
    };
    let (name, labels) = match series.split_once('{') {
        Some((name, labels)) => (name, labels.strip_suffix('}')?),
        None => (series, ""),
    };
    let is_name = |text: &str| {
        text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b':')
            && text.bytes().next().is_some_and(|b| !b.is_ascii_digit())
    };
    let mut rest = labels;
    while !rest.is_empty() {
        let (label, after) = rest.split_once("=\"")?;
        let mut escaped = false;
        let end = after.bytes().position(|b| {
            let is_end = b == b'"' && !escaped;
            escaped = b == b'\\' && !escaped;
            is_end
        })?;
        if !is_name(label) {
            return None;
        }
        let behind = after.get(end + 1..)?;
        rest = behind.strip_prefix(',').unwrap_or(behind);
    }
    is_name(name).then(|| (series.to_owned(), value))
}

pub(crate) fn watch(control: SocketAddr, label: &str) -> Value {
    get_json(control, &format!("/watches/{label}"))
}

pub(crate) fn matched(control: SocketAddr, label: &str) -> u64 {
    watch(control, label)["matched_total"].as_u64().expect("matched_total")
}

/// A watch that counts and never fires.
pub(crate) fn counting(label: &str, condition: &Value) -> Value {
    json!({"label": label, "match": condition, "threshold": 1_000_000_000_000_u64, "window_seconds": 3600})
}

pub(crate) fn put(control: SocketAddr, rule: &Value) -> u16 {
    let answer = post_json(control, "/watches", rule);
    assert!(matches!(answer.status, 200 | 201), "{rule}: {} {}", answer.status, answer.text());
    answer.status
}

/// Key and count of every group shown of a watch.
pub(crate) fn groups(control: SocketAddr, label: &str) -> Vec<(Value, u64)> {
    let shown = watch(control, label);
    assert!(shown.get("groups_left_out").is_none(), "all groups are shown");
    let groups = shown["groups"].as_array().expect("groups").clone();
    groups.into_iter().map(|g| (g["key"].clone(), g["count"].as_u64().expect("count"))).collect()
}

/// What `send` raw bytes are answered with.
fn raw(address: SocketAddr, bytes: &str) -> (u16, String) {
    let mut connection = Connection::open(address);
    connection.write(bytes.as_bytes()).expect("sending a request");
    let answer = connection.read().expect("an answer");
    (answer.status, answer.text())
}

// === watches ===

#[test]
fn the_seeds_rule_is_accepted_as_it_stands_and_shown_with_every_default() {
    let program = serving("");
    let control = program.control_addr();
    let seed = r#"{"action": "watch", "label": "http_5xx_spike",
 "match": {"field": "status", "gte": "500"},
 "threshold": 10, "window_seconds": 60,
 "summary": "5xx responses are spiking"}"#;
    let request = Request::new("POST", "/watches").body(seed.replace("http_5xx_spike", "seeded"));
    let answer = Connection::open(control).send(&request);
    assert_eq!(answer.status, 201, "{}", answer.text());
    let expected = json!({
        "label": "seeded", "kind": "count", "match": {"field": "status", "gte": "500"},
        "threshold": 10, "window_seconds": 60, "group_by": ["cluster", "service"],
        "on_crossing": "investigate", "severity": "warning", "summary": "5xx responses are spiking",
        "origin": "api", "matched_total": 0, "state": "quiet", "groups": [],
    });
    assert_eq!(answer.json(), expected);
    assert_eq!(watch(control, "seeded"), expected);
    let listed = get_json(control, "/watches")["watches"].as_array().cloned().unwrap_or_default();
    assert!(listed.contains(&expected), "{listed:?}");
    // As it stands, over the built-in watch of the same label.
    let answer = Connection::open(control).send(&Request::new("POST", "/watches").body(seed));
    assert_eq!((answer.status, answer.json()["origin"].as_str()), (200, Some("api")));
    assert!(post_ingest(program.ingest_addr(), "{\"status\":503}\n{\"status\":\"499\"}\n").status == 204);
    assert_eq!((matched(control, "seeded"), matched(control, "http_5xx_spike")), (1, 1));
}

#[test]
fn a_watch_is_created_with_201_replaced_with_200_and_removed_with_204() {
    let program = serving("");
    let control = program.control_addr();
    let rule = counting("mine", &json!({"field": "k", "eq": 1}));
    assert_eq!(put(control, &rule), 201);
    assert_eq!(put(control, &rule), 200);
    let gone = delete(control, "/watches/mine");
    assert_eq!((gone.status, gone.body.len()), (204, 0));
    for answer in [delete(control, "/watches/mine"), get(control, "/watches/mine"), delete(control, "/watches/")] {
        assert_eq!(answer.status, 404);
        assert_eq!(answer.json()["error"]["code"], "unknown_watch");
    }
    assert_eq!(put(control, &rule), 201);
    // What a person set over a built-in watch gives way to it again.
    assert_eq!(put(control, &counting("fatal", &json!({"contains": "boom"}))), 200);
    assert_eq!(delete(control, "/watches/fatal").status, 204);
    assert_eq!(watch(control, "fatal")["origin"], "builtin");
    for (method, path) in [("PUT", "/watches"), ("POST", "/watches/mine"), ("DELETE", "/metrics"), ("POST", "/status")]
    {
        let answer = Connection::open(control).send(&Request::new(method, path));
        assert_eq!(
            (answer.status, answer.json()["error"]["code"].as_str()),
            (405, Some("method_not_allowed")),
            "{method} {path}"
        );
    }
}

#[test]
fn an_invalid_rule_is_refused_with_the_field_the_value_and_the_bound() {
    let program = serving("");
    let control = program.control_addr();
    let sound = counting("sound", &json!({"field": "status", "gte": 500}));
    let with = |name: &str, value: Value| {
        let mut rule = sound.clone();
        rule[name] = value;
        rule
    };
    let without = |name: &str| {
        let mut rule = sound.clone();
        rule.as_object_mut().expect("an object").remove(name);
        rule
    };
    let cases = [
        (with("label", json!("Bad Label")), "label", "\"bad_label\" would do"),
        (with("threshold", json!(0)), "threshold", "a whole number from 1 to 1000000000000, got 0"),
        (with("threshold", json!(1_000_000_000_001_u64)), "threshold", "1000000000001"),
        (with("window_seconds", json!(86_401)), "window_seconds", "from 1 to 86400, got 86401"),
        (with("match", json!({"field": "level", "gte": "loud"})), "match.gte", "one of trace, debug, info"),
        (with("match", json!({"field": "level", "eq": 50})), "match.eq", "did you mean \"error\"?"),
        (with("match", json!({"field": "status", "gtee": 500})), "match.gtee", "did you mean gte?"),
        (with("match", json!({"any": []})), "match.any", "at least one condition"),
        (with("match", json!({"regex": "a(b"})), "match.regex", "unclosed group (at character 2)"),
        (with("match", json!({"regex": r"(\w{1000}){1000}"})), "match.regex", "more than 1048576 bytes"),
        (
            with("match", json!({"all": [{"field": "a", "eq": 1}, {"field": "b", "lt": "x"}]})),
            "match.all[1].lt",
            "\"x\"",
        ),
        (with("group_by", json!("service")), "group_by", "write [\"service\"]"),
        (with("on_crossing", json!("page")), "on_crossing", "log, notify, investigate"),
        (with("kind", json!("ratio")), "kind", "count"),
        (with("treshold", json!(1)), "treshold", "did you mean threshold?"),
        (with("action", json!("ignore")), "action", "\"watch\""),
        (without("match"), "match", "is missing"),
        (without("window_seconds"), "window_seconds", "is missing"),
    ];
    for (rule, field, says) in cases {
        let answer = post_json(control, "/watches", &rule);
        let error = answer.json()["error"].clone();
        assert_eq!((answer.status, error["code"].as_str()), (400, Some("invalid_watch")), "{rule}: {error}");
        assert_eq!(error["field"], field, "{rule}: {error}");
        assert!(error["message"].as_str().is_some_and(|message| message.contains(says)), "{rule}: {error}");
    }
    let answer = post_json(control, "/watches", &json!({"label": "", "threshold": -1}));
    let faults: Vec<String> =
        answer.json()["error"]["faults"].as_array().into_iter().flatten().map(|f| f["field"].to_string()).collect();
    assert_eq!(faults, ["\"label\"", "\"match\"", "\"threshold\"", "\"window_seconds\""], "all faults at once");
    let answer = Connection::open(control).send(&Request::new("POST", "/watches").body("{\"label\": "));
    assert_eq!((answer.status, answer.json()["error"]["code"].as_str()), (400, Some("bad_json")));
    let answer = Connection::open(control).send(&Request::new("POST", "/watches").body(vec![b' '; 300 * 1024]));
    assert_eq!((answer.status, answer.json()["error"]["code"].as_str()), (400, Some("bad_body")));
    let labels = get_json(control, "/watches")["watches"].as_array().map(Vec::len);
    assert_eq!(labels, Some(3), "only the built-in ones are there");
}

#[test]
fn a_hundred_regexes_in_all_watches_is_the_most() {
    let program = serving("");
    let control = program.control_addr();
    let with = |label: &str, regexes: usize| counting(label, &json!({"any": vec![json!({"regex": "x"}); regexes]}));
    put(control, &with("many", 60));
    put(control, &with("more", 40));
    let answer = post_json(control, "/watches", &with("one", 1));
    assert_eq!((answer.status, answer.json()["error"]["code"].as_str()), (409, Some("too_many_regexes")));
    assert_eq!(put(control, &with("many", 60)), 200, "replaced, it does not count twice");
    assert_eq!(put(control, &counting("none", &json!({"contains": "x"}))), 201);
}

#[test]
fn a_configured_watch_cannot_be_removed_and_wins_over_the_api_at_the_next_start() {
    let configured = |threshold: u32, field: &str| {
        format!(
            "[[watch]]\nlabel = \"shared\"\nthreshold = {threshold}\nwindow_seconds = 60\n\
             match = {{ field = \"{field}\", exists = true }}\n"
        )
    };
    let mut program = serving(&configured(7, "a"));
    let control = program.control_addr();
    let refused = delete(control, "/watches/shared");
    assert_eq!((refused.status, refused.json()["error"]["code"].as_str()), (409, Some("configured_watch")));
    assert_eq!(watch(control, "shared")["origin"], "config");
    // Over the API it may be replaced, until the next start.
    assert_eq!(put(control, &counting("shared", &json!({"field": "b", "exists": true}))), 200);
    assert_eq!(put(control, &counting("own", &json!({"field": "c", "exists": true}))), 201);
    assert_eq!(watch(control, "shared")["origin"], "api");
    program.restart();
    let control = program.control_addr();
    ready(&program);
    let shared = watch(control, "shared");
    assert_eq!((shared["origin"].as_str(), shared["threshold"].as_u64()), (Some("config"), Some(7)));
    assert_eq!(shared["match"], json!({"field": "a", "exists": true}));
    // A label the configuration claims only now.
    program.set_config(&configured(7, "a").replace("shared", "own"));
    program.restart();
    ready(&program);
    assert_eq!(watch(program.control_addr(), "own")["origin"], "config");
}

#[test]
fn what_was_set_over_the_api_and_what_it_counted_survive_a_kill() {
    let mut program = serving(NO_SNAPSHOT);
    let control = program.control_addr();
    let mut rule = counting(
        "kept",
        &json!({"any": [{"field": "a.b", "in": [1, "two", null]}, {"field": "message", "contains": "ü \"q\""}]}),
    );
    for (name, value) in [
        ("group_by", json!(["service", "a.b"])),
        ("on_crossing", json!("notify")),
        ("severity", json!("critical")),
        ("ttl_seconds", json!(3600)),
        ("summary", json!("a summary with \"quotes\" and ünïcode")),
    ] {
        rule[name] = value;
    }
    put(control, &rule);
    put(control, &counting("gone", &json!({"contains": "x"})));
    assert_eq!(delete(control, "/watches/gone").status, 204);
    assert_eq!(
        post_ingest(program.ingest_addr(), "{\"a\":{\"b\":1}}\n{\"a\":{\"b\":\"two\"}}\n{\"a\":{\"b\":3}}\n").status,
        204
    );
    let before = watch(control, "kept");
    assert_eq!(before["matched_total"], 2);
    program.kill9();
    program.restart();
    ready(&program);
    let after = watch(program.control_addr(), "kept");
    assert_eq!(after, before);
    assert_eq!(get(program.control_addr(), "/watches/gone").status, 404);
    let Value::Object(written) = rule else { unreachable!("it is an object") };
    for (name, value) in written {
        assert_eq!(after[&name], value, "{name} is as it was written");
    }
}

#[test]
fn changing_the_threshold_keeps_the_count_and_changing_what_is_counted_resets_it() {
    let program = serving("");
    let (control, ingest) = (program.control_addr(), program.ingest_addr());
    let mut rule = counting("w", &json!({"field": "k", "eq": "x"}));
    rule["on_crossing"] = json!("log");
    put(control, &rule);
    let send = |lines: usize| assert_eq!(post_ingest(ingest, "{\"k\":\"x\"}\n".repeat(lines)).status, 204);
    let count = || groups(control, "w").iter().map(|(_, count)| count).sum::<u64>();
    send(5);
    assert_eq!((matched(control, "w"), count()), (5, 5));
    // What only says what a count means, one after the other.
    for (name, value) in
        [("threshold", json!(8)), ("summary", json!("new")), ("severity", json!("info")), ("ttl_seconds", json!(600))]
    {
        rule[name] = value;
        assert_eq!(put(control, &rule), 200);
        assert_eq!((matched(control, "w"), count()), (5, 5), "{name} keeps the count");
    }
    // And the kept count reaches the new threshold: the old five and three more.
    send(3);
    assert_eq!(watch(control, "w")["state"], "firing");
    for (name, value) in [
        ("match", json!({"field": "k", "in": ["x"]})),
        ("window_seconds", json!(7200)),
        ("group_by", json!(["service"])),
        ("group_by", json!([])),
    ] {
        send(2);
        assert!(matched(control, "w") >= 2);
        rule[name] = value;
        assert_eq!(put(control, &rule), 200);
        assert_eq!((matched(control, "w"), count()), (0, 0), "{name} resets");
        assert_eq!(watch(control, "w")["state"], "quiet");
    }
}

#[test]
fn a_count_that_was_reset_does_not_come_back_with_a_restart() {
    let mut program = serving(NO_SNAPSHOT);
    let (control, ingest) = (program.control_addr(), program.ingest_addr());
    let (x, y) = (counting("w", &json!({"field": "k", "eq": "x"})), counting("w", &json!({"field": "k", "eq": "y"})));
    put(control, &x);
    assert_eq!(post_ingest(ingest, "{\"k\":\"x\"}\n".repeat(5)).status, 204);
    // There and back: the same definition as before, counted from nothing.
    put(control, &y);
    put(control, &x);
    assert_eq!(matched(control, "w"), 0);
    assert_eq!(delete(control, "/watches/w").status, 204);
    assert_eq!(put(control, &x), 201);
    assert_eq!(post_ingest(ingest, "{\"k\":\"x\"}\n".repeat(2)).status, 204);
    assert_eq!(matched(control, "w"), 2);
    program.kill9();
    program.restart();
    ready(&program);
    let control = program.control_addr();
    let shown: Vec<u64> = groups(control, "w").into_iter().map(|(_, count)| count).collect();
    assert_eq!((matched(control, "w"), shown), (2, vec![2]), "the five from before the reset stay forgotten");
}

// === operators ===

#[test]
fn every_operator_decides_on_one_body_as_the_contract_says() {
    let program = serving("");
    let (control, ingest) = (program.control_addr(), program.ingest_addr());
    // Each record is told by its `n`, which is also the bit it sets in the expectation.
    let bodies = [
        json!({"n": 0, "status": 500, "path": "/api/cart", "a": {"b": {"c": "deep"}}, "message": "timeout while paying"}),
        json!({"n": 1, "status": "500", "path": "/api/order", "a.b.c": "flat", "message": "paid"}),
        json!({"n": 2, "status": 499.5, "path": "/health", "flag": true, "msg": "timeout"}),
        json!({"n": 3, "status": "5e2", "path": "", "flag": "true", "message": "a \"quoted\" word"}),
        json!({"n": 4, "status": "n/a", "nothing": null, "a": {"b": {}}}),
        json!({"n": 5, "status": 1000, "list": [1, 2], "message": "späte Rückkehr"}),
        json!({"n": 6}),
    ];
    let plain: Vec<u64> = vec![0, 1, 2, 3, 4, 5, 6];
    let not = |those: &[u64]| plain.iter().copied().filter(|n| !those.contains(n)).collect::<Vec<u64>>();
    let cases = [
        (json!({"field": "status", "eq": 500}), vec![0, 1, 3]),
        (json!({"field": "status", "eq": "500"}), vec![0, 1, 3]),
        (json!({"field": "status", "eq": "500.0"}), vec![0, 1, 3]),
        (json!({"field": "status", "eq": "n/a"}), vec![4]),
        // A record without the field is not "not equal": it is asked about with `exists` or `not`.
        (json!({"field": "status", "ne": 500}), vec![2, 4, 5]),
        (json!({"field": "status", "gt": 500}), vec![5]),
        // As numbers: "1000" is not below "500".
        (json!({"field": "status", "gt": "500"}), vec![5]),
        (json!({"field": "status", "gte": "500"}), vec![0, 1, 3, 5]),
        (json!({"field": "status", "lt": 500}), vec![2]),
        (json!({"field": "status", "lte": 500}), vec![0, 1, 2, 3]),
        (json!({"field": "status", "gte": 499, "lt": 500}), vec![2]),
        (json!({"field": "status", "in": [1000, "n/a"]}), vec![4, 5]),
        (json!({"field": "path", "contains": "cart"}), vec![0]),
        (json!({"field": "path", "starts_with": "/api/"}), vec![0, 1]),
        (json!({"field": "path", "ends_with": "er"}), vec![1]),
        (json!({"field": "path", "eq": ""}), vec![3]),
        (json!({"field": "status", "starts_with": "5"}), vec![0, 1, 3]),
        (json!({"field": "flag", "eq": true}), vec![2, 3]),
        (json!({"field": "nothing", "exists": true}), vec![]),
        (json!({"field": "nothing", "eq": null}), plain.clone()),
        (json!({"field": "path", "exists": true}), vec![0, 1, 2, 3]),
        (json!({"field": "path", "exists": false}), vec![4, 5, 6]),
        (json!({"field": "a.b.c", "exists": true}), vec![0, 1]),
        (json!({"field": "a.b.c", "eq": "deep"}), vec![0]),
        (json!({"field": "a.b.c", "eq": "flat"}), vec![1]),
        (json!({"field": "body.a.b.c", "eq": "deep"}), vec![0]),
        (json!({"field": "a.b", "exists": true}), vec![0, 4]),
        (json!({"contains": "timeout"}), vec![0, 2]),
        (json!({"contains": "\"quoted\""}), vec![3]),
        (json!({"starts_with": "spä"}), vec![5]),
        (json!({"ends_with": "paying"}), vec![0]),
        (json!({"field": "message", "contains": "Rück"}), vec![5]),
        (json!({"all": [{"field": "status", "eq": 500}, {"field": "path", "contains": "api"}]}), vec![0, 1]),
        (json!({"any": [{"field": "status", "gt": 999}, {"contains": "paid"}]}), vec![1, 5]),
        (json!({"not": {"field": "status", "eq": 500}}), not(&[0, 1, 3])),
        (
            json!({"not": {"any": [{"field": "path", "exists": true}, {"not": {"field": "status", "exists": true}}]}}),
            vec![4, 5],
        ),
        (json!({"field": "list", "contains": "1"}), vec![5]),
        (json!({"field": "path", "regex": "^/api/(cart|order)$"}), vec![0, 1]),
        (json!({"field": "path", "regex": "^$"}), vec![3]),
        // Of numbers the digits as they were written.
        (json!({"field": "status", "regex": r"^\d{3}$"}), vec![0, 1]),
        (json!({"field": "status", "regex": r"^499\.5$"}), vec![2]),
        (json!({"field": "flag", "regex": "true"}), vec![2, 3]),
        (json!({"field": "a.b", "regex": r"^\{"}), vec![0, 4]),
        (json!({"regex": "time.ut"}), vec![0, 2]),
        (json!({"regex": "TIME.UT"}), vec![]),
        (json!({"regex": "(?i)TIME.UT"}), vec![0, 2]),
        (json!({"regex": "\"quoted\""}), vec![3]),
        (json!({"regex": r"^sp.te R\w+hr$"}), vec![5]),
        (json!({"not": {"regex": "."}}), vec![4, 6]),
    ];
    for (place, (condition, _)) in cases.iter().enumerate() {
        let mut rule = counting(&format!("case_{place}"), condition);
        rule["group_by"] = json!(["n"]);
        put(control, &rule);
    }
    // At top level, as a parser filter merges it, and as a JSON text in `log`: the same fields.
    for in_log in [false, true] {
        for body in &bodies {
            let mut record = json!({"container_id": "c", "container_name": "svc"});
            if in_log {
                record["log"] = body.to_string().into();
            } else {
                record.as_object_mut().expect("an object").extend(body.as_object().expect("an object").clone());
            }
            assert_eq!(post_ingest(ingest, format!("{record}\n")).status, 204);
        }
    }
    let mut wrong = Vec::new();
    for (place, (condition, expected)) in cases.iter().enumerate() {
        let mut hit: Vec<(u64, u64)> = groups(control, &format!("case_{place}"))
            .iter()
            .map(|(key, count)| (key["n"].as_str().and_then(|n| n.parse().ok()).expect("n"), *count))
            .collect();
        hit.sort_unstable();
        let expected: Vec<(u64, u64)> = expected.iter().map(|n| (*n, 2)).collect();
        if hit != expected {
            wrong.push(format!("{condition}: (n, count) {hit:?}, expected {expected:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn levels_are_ordered_and_every_dialect_means_the_same_six() {
    let program = serving("");
    let (control, ingest) = (program.control_addr(), program.ingest_addr());
    let logs = [
        ("trace", json!({"level": 10, "msg": "pino"})),
        ("debug", json!({"level": "DEBUG", "msg": "x"})),
        ("info", json!({"level": 30, "msg": "pino"})),
        ("info", json!({"@l": "Information", "@m": "serilog"})),
        ("warn", json!({"severity": "WARNING", "message": "google"})),
        ("warn", json!({"levelname": "WARNING", "message": "python"})),
        ("error", json!({"level": 50, "msg": "pino"})),
        ("error", json!({"level": "50", "msg": "pino as text"})),
        ("error", json!({"severity": "ERROR", "message": "google"})),
        ("error", json!("E0101 10:00:00.000000       1 main.go:77] klog")),
        ("error", json!("2025-10-01 08:21:44,102 ERROR [worker-3] c.e.Worker - failed")),
        ("fatal", json!({"level": 60, "msg": "pino"})),
        ("fatal", json!({"level": "CRITICAL", "msg": "python"})),
        // Where nothing says so: `errors=0` is no error, and neither is stderr.
        ("info", json!("done errors=0")),
    ];
    for (label, condition) in [
        ("at_least_error", json!({"field": "level", "gte": "error"})),
        ("above_info", json!({"field": "level", "gt": "info"})),
        ("below_warn", json!({"field": "level", "lt": "warn"})),
        ("up_to_info", json!({"field": "level", "lte": "INFO"})),
        ("is_error", json!({"field": "level", "eq": "error"})),
        ("is_not_error", json!({"field": "level", "ne": "error"})),
        ("ends", json!({"field": "level", "in": ["trace", "fatal"]})),
    ] {
        put(control, &counting(label, &condition));
    }
    let mut all = counting("all", &json!({"field": "level", "exists": true}));
    all["group_by"] = json!(["level"]);
    put(control, &all);
    // A line with a time of its own would be late, and count in a window that is not shown.
    let date = std::time::SystemTime::UNIX_EPOCH.elapsed().expect("a clock after 1970").as_secs();
    let body: String = logs
        .iter()
        .map(|(_, log)| {
            let log = log.as_str().map_or_else(|| log.to_string(), str::to_owned);
            format!(
                "{}\n",
                json!({"source": "stderr", "container_id": "c", "container_name": "svc", "log": log, "date": date})
            )
        })
        .collect();
    assert_eq!(post_ingest(ingest, body).status, 204);
    let seen: BTreeMap<String, u64> = groups(control, "all")
        .into_iter()
        .map(|(key, n)| (key["level"].as_str().unwrap_or("").to_owned(), n))
        .collect();
    let mut expected: BTreeMap<String, u64> = BTreeMap::new();
    for (level, _) in &logs {
        *expected.entry((*level).to_owned()).or_default() += 1;
    }
    assert_eq!(seen, expected);
    let of = |levels: &[&str]| logs.iter().filter(|(level, _)| levels.contains(level)).count() as u64;
    for (label, expected) in [
        ("at_least_error", of(&["error", "fatal"])),
        ("above_info", of(&["warn", "error", "fatal"])),
        ("below_warn", of(&["trace", "debug", "info"])),
        ("up_to_info", of(&["trace", "debug", "info"])),
        ("is_error", of(&["error"])),
        ("is_not_error", logs.len() as u64 - of(&["error"])),
        ("ends", of(&["trace", "fatal"])),
    ] {
        assert_eq!(matched(control, label), expected, "{label}");
    }
}

#[test]
fn a_log_line_cannot_choose_its_own_group() {
    let program = serving("");
    let (control, ingest) = (program.control_addr(), program.ingest_addr());
    let reserved = ["cluster", "service", "container", "task", "host", "source", "revision"];
    let mut rule = counting("real", &json!({"field": "k", "exists": true}));
    rule["group_by"] = json!(reserved);
    put(control, &rule);
    rule["label"] = json!("claimed");
    rule["group_by"] = json!(reserved.map(|name| format!("body.{name}")));
    put(control, &rule);
    let claims: serde_json::Map<String, Value> =
        reserved.iter().map(|name| ((*name).to_owned(), json!("claimed"))).collect();
    let mut inner = claims.clone();
    inner.insert("k".into(), json!(1));
    let record = json!({
        "container_id": "c", "container_name": "/ecs-shop-7-web-0123456789abcdef0000", "source": "stdout",
        "log": Value::Object(inner).to_string(), "ec2_instance_id": "i-1", "ecs_cluster": "prod",
        "ecs_task_arn": "arn:aws:ecs:eu-west-1:1:task/prod/abc", "ecs_task_definition": "shop:7",
    });
    assert_eq!(post_ingest(ingest, format!("{record}\n")).status, 204);
    let real = json!({
        "cluster": "prod", "service": "shop", "container": "web", "task": "abc", "host": "i-1",
        "source": "stdout", "revision": "7",
    });
    assert_eq!(groups(control, "real"), [(real, 1)]);
    let all_claimed: serde_json::Map<String, Value> =
        reserved.iter().map(|name| (format!("body.{name}"), json!("claimed"))).collect();
    assert_eq!(groups(control, "claimed"), [(Value::Object(all_claimed), 1)]);
}

// === who may ===

#[test]
fn without_a_control_token_only_requests_that_name_this_host_are_answered() {
    let program = serving("");
    let control = program.control_addr();
    let port = control.port();
    for path in ["/watches", "/watches/fatal", "/status", "/metrics", "/nothing"] {
        let (status, body) = raw(control, &format!("GET {path} HTTP/1.1\r\nHost: evil.example:{port}\r\n\r\n"));
        assert_eq!(status, 403, "{path}: {body}");
        assert!(body.contains("\"code\":\"foreign_host\"") && body.contains("control_token"), "{body}");
    }
    let (status, _) = raw(control, &format!("DELETE /watches/fatal HTTP/1.1\r\nHost: evil.example:{port}\r\n\r\n"));
    assert_eq!(status, 403);
    for host in [format!("localhost:{port}"), format!("127.0.0.1:{port}"), format!("[::1]:{port}"), "localhost".into()]
    {
        assert_eq!(raw(control, &format!("GET /status HTTP/1.1\r\nHost: {host}\r\n\r\n")).0, 200, "{host}");
    }
    // What load balancers and senders ask is theirs to ask under any name.
    for path in ["/health", "/ready"] {
        assert_eq!(raw(control, &format!("GET {path} HTTP/1.1\r\nHost: evil.example\r\n\r\n")).0, 200, "{path}");
    }
    let body = "POST /ingest HTTP/1.1\r\nHost: emberwatch.internal\r\nContent-Length: 3\r\n\r\n{}\n";
    assert_eq!(raw(program.ingest_addr(), body).0, 204);
}

#[test]
fn a_control_listener_of_its_own_takes_control_off_the_ingest_port() {
    let program = serving("[server]\ncontrol_listen = \"127.0.0.1:0\"\n");
    let (control, ingest) = (program.control_addr(), program.ingest_addr());
    assert_ne!(control, ingest);
    for path in ["/watches", "/status", "/metrics", "/watches/fatal"] {
        assert_eq!(get(control, path).status, 200, "{path}");
        assert_eq!(get(ingest, path).status, 404, "{path}");
    }
    assert_eq!(delete(ingest, "/watches/fatal").status, 404);
    for address in [control, ingest] {
        assert_eq!((get(address, "/health").status, get(address, "/ready").status), (200, 200));
    }
    assert_eq!(post_ingest(control, "{}\n").status, 404);
    assert_eq!(post_ingest(ingest, "{}\n").status, 204);
}

// === metrics ===

#[test]
fn the_metrics_page_parses_and_every_line_sent_ends_in_exactly_one_outcome() {
    let program = serving("");
    let (control, ingest) = (program.control_addr(), program.ingest_addr());
    let record = |log: &str| format!("{}\n", json!({"container_id": "c", "container_name": "svc\"\\\n", "log": log}));
    let mut sent = 0;
    // As Fluent Bit sends: without `Accept`, so that the second one is a repeat.
    let bare = |body: &str| Request::bare("POST", "/ingest").body(body.to_owned());
    let matching = record("level=error it failed").repeat(3);
    for _ in 0..2 {
        assert_eq!(Connection::open(ingest).send(&bare(&matching)).status, 204);
        sent += 3;
    }
    let probe = "10.0.0.1 - - [01/Oct/2025:08:12:04 +0000] \"GET / HTTP/1.1\" 200 2 \"-\" \"ELB-HealthChecker/2.0\"";
    let mixed = format!("{}\n\nnot json\n{{\"a\":\n{}", record("all is well"), record(probe));
    assert_eq!(post_ingest(ingest, mixed).status, 204);
    sent += 6;
    // Of a body that ends early only whole lines were read.
    let lost = Request::bare("POST", "/ingest").body(format!("{}cut", record("x").repeat(4)));
    let body_len = record("x").len() * 4;
    Connection::open(ingest).write_partial(&lost, body_len + 1);
    sent += 4;
    let scrape = eventually("the lost lines are counted", SOON, || {
        let scrape = Scrape::of(control);
        (scrape.lines("aborted") == 4).then_some(scrape)
    });
    for (outcome, count) in
        [("matched", 3), ("repeat", 3), ("unmatched", 1), ("blank", 2), ("own", 1), ("rejected", 2), ("joined", 0)]
    {
        assert_eq!(scrape.lines(outcome), count, "{outcome}");
    }
    assert_eq!(scrape.all_lines(), sent);
    assert_eq!(scrape.sum("rejected_lines_total"), scrape.lines("rejected"));
    let of_services = scrape.sum("service_lines_total");
    assert_eq!(of_services, 5, "records, not blanks or rejected lines, have a service");
    let page = get_text(control, "/metrics");
    check_exposition(&page);
    for family in [
        "lines_total",
        "bytes_total",
        "batches_total",
        "client_will_drop_total",
        "ingest_seconds",
        "commit_seconds",
        "windows",
        "watch_matches_total",
        "service_lines_total",
        "outbox_rows",
        "outbox_age_seconds",
        "build_info",
        "process_resident_memory_bytes",
    ] {
        assert!(page.contains(&format!("# TYPE emberwatch_{family} ")), "{family} is on the page:\n{page}");
    }
    promtool(&page);
}

#[test]
fn crossings_escalations_and_deliveries_are_on_the_metrics_page() {
    let program = serving("[escalation]\nsettle_seconds = 0\n");
    let (control, ingest) = (program.control_addr(), program.ingest_addr());
    let mut rule = counting("two", &json!({"field": "k", "exists": true}));
    rule["threshold"] = json!(2);
    put(control, &rule);
    assert_eq!(post_ingest(ingest, "{\"k\":1}\n{\"k\":1}\n{\"k\":1}\n").status, 204);
    let scrape = Scrape::of(control);
    assert_eq!(scrape.get("watch_matches_total{watch=\"two\"}"), 3);
    assert_eq!(scrape.get("watch_crossings_total{watch=\"two\"}"), 1);
    assert_eq!(scrape.sum("escalations_total"), 1);
    eventually("the message is delivered", SOON, || {
        let scrape = Scrape::of(control);
        (scrape.sum("deliveries_total") >= 2 && scrape.get("outbox_rows") == 0).then_some(())
    });
    check_exposition(&get_text(control, "/metrics"));
}

/// What a scraper relies on: one HELP and one TYPE before a family's samples, no sample twice, counters
/// called `_total`, histograms cumulative.
fn check_exposition(page: &str) {
    let (mut family, mut kind) = (String::new(), String::new());
    let mut families: Vec<String> = Vec::new();
    let mut samples: BTreeMap<String, f64> = BTreeMap::new();
    for line in page.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            family = help.split(' ').next().unwrap_or_default().to_owned();
            assert!(!families.contains(&family), "{family} comes twice");
            assert!(family.starts_with("emberwatch_"), "{family}");
            families.push(family.clone());
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, is) = rest.split_once(' ').expect("a name and a type");
            assert_eq!(name, family, "TYPE follows its HELP");
            kind = is.to_owned();
            assert_eq!(kind == "counter", family.ends_with("_total"), "{family} is a {kind}");
        } else {
            let (series, value) = sample(line).unwrap_or_else(|| panic!("no sample: {line:?}"));
            let name = series.split('{').next().unwrap_or_default().to_owned();
            let of_family = match kind.as_str() {
                "histogram" => ["_bucket", "_sum", "_count"].iter().any(|end| name == format!("{family}{end}")),
                _ => name == family,
            };
            assert!(of_family, "{series} stands under {family}");
            assert!(value >= 0.0, "{line}");
            assert!(samples.insert(series.clone(), value).is_none(), "{series} comes twice");
        }
    }
    for family in families.iter().filter(|f| samples.contains_key(&format!("{f}_count"))) {
        let buckets: Vec<f64> = page
            .lines()
            .filter(|line| line.starts_with(&format!("{family}_bucket{{")))
            .filter_map(|line| sample(line).map(|(_, value)| value))
            .collect();
        assert!(buckets.is_sorted(), "{family} is cumulative: {buckets:?}");
        assert_eq!(buckets.last(), samples.get(&format!("{family}_count")), "{family}: the last bucket is all");
    }
}

/// Prometheus' own judgement, where it is installed.
fn promtool(page: &str) {
    let child = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut child) = child else {
        #[expect(clippy::print_stderr, reason = "says what was not tested")]
        {
            eprintln!("skipped: promtool is not installed");
        }
        return;
    };
    child.stdin.take().expect("stdin is piped").write_all(page.as_bytes()).expect("writing to promtool");
    let output = child.wait_with_output().expect("promtool ends");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

// === bounds ===

fn of_services(services: std::ops::Range<u32>, lines_each: usize) -> String {
    services.map(|n| format!("{{\"ecs_task_definition\":\"svc{n}:1\",\"k\":1}}\n").repeat(lines_each)).collect()
}

#[test]
fn groups_beyond_the_cap_count_in_other_which_can_cross_and_nothing_is_lost() {
    let program = serving("[store]\nmax_windows = 100\n[escalation]\nsettle_seconds = 0\n");
    let (control, ingest) = (program.control_addr(), program.ingest_addr());
    let mut rule = counting("by_service", &json!({"field": "k", "eq": 1}));
    rule["group_by"] = json!(["service"]);
    rule["threshold"] = json!(150);
    put(control, &rule);
    let mut sent = 0;
    let mut send = |services: std::ops::Range<u32>, lines_each: usize| {
        sent += u64::from(services.len() as u32) * lines_each as u64;
        let request = Request::new("POST", "/ingest")
            .header("Accept", "application/json")
            .body(of_services(services, lines_each));
        let answer = Connection::open(ingest).send(&request).json();
        let shown = groups(control, "by_service");
        assert_eq!(shown.iter().map(|(_, count)| count).sum::<u64>(), sent, "nothing is lost: {answer}");
        assert_eq!(matched(control, "by_service"), sent);
        answer["crossed"].as_array().map_or(0, Vec::len)
    };
    assert_eq!(send(0..100, 1), 0);
    assert_eq!(groups(control, "by_service").len(), 100);
    assert_eq!(send(100..200, 1), 0);
    // Two hundred services more than there is room for: together they reach the threshold, once.
    assert_eq!(send(200..300, 1), 1, "~other crosses");
    // Those that have a window of their own keep it, and further ones still find `~other`.
    assert_eq!(send(0..300, 1), 0);
    let shown = groups(control, "by_service");
    let other: Vec<u64> = shown.iter().filter(|(key, _)| key["service"] == "~other").map(|(_, count)| *count).collect();
    assert_eq!((shown.len(), other), (101, vec![400]));
    let alert = eventually("the crossing is told", SOON, || program.alerts().into_iter().next());
    assert!(alert.to_string().contains("~other"), "{alert}");
    eventually("the number of windows shows the bound", SOON, || {
        (Scrape::of(control).get("windows") == 101).then_some(())
    });
}

#[test]
fn windows_that_a_batch_adds_to_do_not_use_up_the_room_for_new_ones() {
    let program = serving("[store]\nmax_windows = 100\n");
    let (control, ingest) = (program.control_addr(), program.ingest_addr());
    let mut rule = counting("by_service", &json!({"field": "k", "eq": 1}));
    rule["group_by"] = json!(["service"]);
    put(control, &rule);
    assert_eq!(post_ingest(ingest, of_services(0..60, 1)).status, 204);
    // The sixty of before and thirty new ones: ninety in all, of a hundred that are allowed.
    assert_eq!(post_ingest(ingest, of_services(0..90, 1)).status, 204);
    let shown = groups(control, "by_service");
    let other: u64 = shown.iter().filter(|(key, _)| key["service"] == "~other").map(|(_, count)| *count).sum();
    assert_eq!((shown.len(), other), (90, 0), "everyone has a window of their own");
}

#[test]
fn more_services_than_get_a_label_share_one_and_their_lines_add_up() {
    let program = serving("");
    let (control, ingest) = (program.control_addr(), program.ingest_addr());
    for from in [0, 150, 300] {
        assert_eq!(post_ingest(ingest, of_services(from..from + 150, 2)).status, 204);
    }
    assert_eq!(post_ingest(ingest, of_services(0..450, 1)).status, 204);
    let scrape = Scrape::of(control);
    assert_eq!(scrape.sum("service_lines_total"), 450 * 3);
    let series =
        get_text(control, "/metrics").lines().filter(|l| l.starts_with("emberwatch_service_lines_total{")).count();
    assert_eq!(series, 201, "two hundred services and `other`");
}

#[test]
fn one_batch_of_more_groups_than_it_may_stage_counts_the_rest_in_other() {
    let program = serving("[ingest]\nmax_groups_per_batch = 100\n");
    let (control, ingest) = (program.control_addr(), program.ingest_addr());
    let mut rule = counting("by_service", &json!({"field": "k", "eq": 1}));
    rule["group_by"] = json!(["service"]);
    put(control, &rule);
    assert_eq!(post_ingest(ingest, of_services(0..250, 2)).status, 204);
    let shown = groups(control, "by_service");
    let other: u64 = shown.iter().filter(|(key, _)| key["service"] == "~other").map(|(_, count)| *count).sum();
    assert_eq!((shown.len(), other), (101, 300));
    assert_eq!(matched(control, "by_service"), 500);
}

/// The program, started and ready: control answers from the ledger only once the store is open.
pub(crate) fn serving(config: &str) -> Program {
    let program = Program::start(config);
    ready(&program);
    program
}

pub(crate) fn ready(program: &Program) {
    let address = program.control_addr();
    eventually("the program is ready", SOON, || (get(address, "/ready").status == 200).then_some(()));
}
