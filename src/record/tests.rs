//! Names and signs of life, as a record derives them from everything around it.

use serde_json::{Value as Json, json};

use super::naming::{Mapping, Names, Naming, Source};
use super::{Delivery, Derived, Piece, Reader, Record};

fn with<T>(record: &Json, tag: Option<&str>, naming: Option<&Naming>, ask: impl Fn(&Record<'_>) -> T) -> T {
    let delivery = Delivery { tag: tag.map(str::as_bytes), arrival_ms: 0, naming };
    let mut answer = None;
    Reader::default().read(record.to_string().as_bytes(), false, delivery, |piece| {
        if let Piece::Record(record) = piece {
            answer = Some(ask(record));
        }
    });
    answer.unwrap_or_else(|| panic!("no record: {record}"))
}

fn field(record: &Json, name: &str) -> Option<String> {
    with(record, None, None, |record| match record.field(name)? {
        super::json::Value::Text(text) => Some(text.to_string_lossy().into_owned()),
        super::json::Value::Number(raw) => Some(String::from_utf8_lossy(raw).into_owned()),
        super::json::Value::Int(n) => Some(n.to_string()),
        other => Some(format!("{other:?}")),
    })
}

fn service(record: &Json, tag: Option<&str>, naming: Option<&Naming>) -> String {
    with(record, tag, naming, |record| record.service().to_string_lossy().into_owned())
}

fn in_kubernetes(map: Json) -> Json {
    json!({"date": 1.0, "stream": "stderr", "log": "{\"service\":\"evil\",\"kubernetes\":{\"labels\":{\"app\":\"evil\"}}}", "kubernetes": map})
}

#[test]
fn in_kubernetes_a_service_is_its_label_then_its_pods_owner_then_its_container() {
    for (map, expected) in [
        (
            json!({"pod_name": "a-6c9f7d5b8d-x2k4q", "labels": {"app": "c", "k8s-app": "b", "app.kubernetes.io/name": "shop"}}),
            "shop",
        ),
        (json!({"pod_name": "a-6c9f7d5b8d-x2k4q", "labels": {"app": "c", "k8s-app": "b"}}), "b"),
        (json!({"pod_name": "a-6c9f7d5b8d-x2k4q", "labels": {"app": "c"}}), "c"),
        (json!({"pod_name": "a-6c9f7d5b8d-x2k4q", "labels": {"tier": "c"}, "container_name": "main"}), "a"),
        (json!({"container_name": "main"}), "main"),
        (json!({}), "unknown"),
    ] {
        assert_eq!(service(&in_kubernetes(map.clone()), None, None), expected, "{map}");
    }
    let record = in_kubernetes(json!({"pod_name": "a-6c9f7d5b8d-x2k4q", "host": "node-1", "container_name": "main",
        "labels": {"app.kubernetes.io/version": "1.2"}, "namespace_name": "shop"}));
    for (name, expected) in [
        ("task", "a-6c9f7d5b8d-x2k4q"),
        ("host", "node-1"),
        ("container", "main"),
        ("source", "stderr"),
        ("revision", "1.2"),
        ("kubernetes.namespace_name", "shop"),
    ] {
        assert_eq!(field(&record, name).as_deref(), Some(expected), "{name}");
    }
}

#[test]
fn without_the_filters_map_the_tag_of_a_containers_file_names_the_service() {
    let tag = format!("kube.var.log.containers.orders-6c9f7d5b8d-x2k4q_shop_api-{}.log", "0".repeat(64));
    assert_eq!(service(&json!({"log": "x"}), Some(&tag), None), "orders");
}

#[test]
fn a_map_merged_beside_a_container_drivers_keys_names_nothing() {
    let record = json!({"kubernetes": {"labels": {"app": "evil"}}, "container_id": "1", "container_name": "a"});
    assert_eq!(service(&record, None, None), "a");
    let record = json!({"kubernetes": {"labels": {"app": "evil"}}, "ecs_task_definition": "family:1"});
    assert_eq!(service(&record, None, None), "family");
}

#[test]
fn the_operators_paths_come_first_and_reach_the_body_only_when_they_say_so() {
    let naming =
        |paths: &[&str]| Naming { service: paths.iter().map(|p| (*p).to_owned()).collect(), ..Naming::default() };
    let record = json!({"log": "{\"team\":\"body\",\"n\":5}", "team": "around", "container_name": "a",
        "kubernetes": {"labels": {"team": "label", "app.kubernetes.io/part-of": "whole"}}});
    for (paths, expected) in [
        (&["team"][..], "around"),
        (&["body.team"], "body"),
        (&["body.n"], "5"),
        (&["kubernetes.labels.team"], "label"),
        (&["kubernetes.labels.app.kubernetes.io/part-of"], "whole"),
        (&["missing", "n", "kubernetes.labels"], "a"),
        (&[], "a"),
    ] {
        assert_eq!(service(&record, None, Some(&naming(paths))), expected, "{paths:?}");
    }
    let cluster = Naming { cluster: vec!["kubernetes.labels.team".into()], ..Naming::default() };
    let seen = with(&record, None, Some(&cluster), |r| r.derived(Derived::Cluster).is_some());
    assert!(seen);
}

#[test]
fn a_request_has_one_name_for_each_of_its_parts_whoever_logged_it() {
    let pino = json!({"log": r#"{"level":30,"req":{"method":"GET","url":"/a","headers":{"user-agent":"kube-probe/1.29"}},"res":{"statusCode":503},"responseTime":12,"msg":"x"}"#});
    let caddy =
        json!({"log": r#"{"level":"info","ts":1.5,"request":{"method":"GET","uri":"/a"},"status":503,"size":7}"#});
    let logfmt = json!({"log": "method=GET path=/a status=503 duration_ms=12 agent=x"});
    let access = json!({"log": r#"[2025-10-01T08:12:04Z] "GET /a HTTP/2" 503 - 1 7 12 1 "-" "x" "-" "web""#});
    for record in [&pino, &caddy, &logfmt, &access] {
        for (name, expected) in [("method", "GET"), ("path", "/a"), ("status", "503")] {
            assert_eq!(field(record, name).as_deref(), Some(expected), "{name} of {record}");
        }
    }
    for record in [&pino, &logfmt, &access] {
        assert_eq!(field(record, "duration_ms").as_deref(), Some("12"), "{record}");
    }
    assert_eq!(field(&caddy, "bytes").as_deref(), Some("7"));
    assert!(with(&pino, None, None, |r| r.is_health_check()));
    assert!(!with(&caddy, None, None, |r| r.is_health_check()));
    // No request: what else is called a status is not one.
    assert_eq!(field(&json!({"log": r#"{"statusCode":503,"msg":"x"}"#}), "status"), None);
}

#[test]
fn what_a_missing_parser_left_in_front_is_no_part_of_the_message() {
    for (log, level, message, source) in [
        ("2025-10-01T08:30:01.118202945Z stderr F WARN x", "warn", "WARN x", Some("stderr")),
        ("2025-10-01T08:30:01Z stdout F {\"level\":\"error\",\"msg\":\"y\"}", "error", "y", Some("stdout")),
        (
            "{\"log\":\"ERROR \\\"z\\\"\\n\",\"stream\":\"stderr\",\"time\":\"2025-10-01T08:30:01Z\"}",
            "error",
            "ERROR \"z\"",
            Some("stderr"),
        ),
        ("<27>1 2025-10-01T08:12:03Z web app 1 - - {\"level\":\"warn\",\"msg\":\"w\"}", "warn", "w", None),
        ("\u{1b}[33mwarn\u{1b}[39m slow", "warn", "warn slow", None),
    ] {
        let record = json!({"log": log});
        assert_eq!(field(&record, "level").as_deref(), Some(level), "{log}");
        assert_eq!(field(&record, "message").as_deref(), Some(message), "{log}");
        assert_eq!(field(&record, "source").as_deref(), source, "{log}");
    }
    let merged = json!({"log_processed": {"level": "error", "msg": "x"}, "stream": "stdout"});
    assert_eq!((field(&merged, "level"), field(&merged, "msg")), (Some("error".into()), Some("x".into())));
}

#[test]
fn the_operators_mapping_of_names_comes_before_all_else() {
    let mapping = |field: &str, from: &str, service: &str, cluster: Option<&str>| Mapping {
        field: Source::of(field).expect(field),
        from: Names::of(from).expect(from),
        service: service.into(),
        cluster: cluster.map(Into::into),
    };
    let naming = Naming {
        service: vec!["team".into()],
        map: vec![
            mapping("container_name", "billing-*", "billing", None),
            mapping("container_name", "exact", "one", Some("eu")),
            mapping("container", "*", "any", None),
            mapping("kubernetes.labels.app", "shop", "labelled", None),
            mapping("body.app", "b", "said", None),
            mapping("tag", "tail.*", "tailed", None),
            mapping("cluster", "old", "moved", Some("new")),
            mapping("service", "x-*", "never reached for y", None),
            mapping("service", "x-1", "shadowed", None),
        ],
        ..Naming::default()
    };
    for (record, tag, service, cluster) in [
        (json!({"log": "x", "container_name": "billing-7", "team": "t"}), None, "billing", None),
        (json!({"log": "x", "container_name": "exact"}), None, "one", Some("eu")),
        (json!({"log": "x", "container_name": "exactly"}), None, "any", None),
        (json!({"log": "x", "kubernetes": {"labels": {"app": "shop"}}}), None, "labelled", None),
        (json!({"log": "{\"app\":\"b\"}"}), None, "said", None),
        (json!({"log": "x"}), Some("tail.1"), "tailed", None),
        (json!({"log": "x", "ecs_cluster": "old"}), None, "moved", Some("new")),
        (json!({"log": "x", "ecs_task_definition": "x-1:4"}), None, "never reached for y", None),
        (json!({"log": "x", "ecs_task_definition": "y:4"}), None, "y", None),
        (json!({"log": "{\"container_name\":\"exact\"}"}), None, "unknown", None),
        (json!({"log": "x", "team": "t"}), None, "t", None),
    ] {
        let seen = with(&record, tag, Some(&naming), |r| {
            let text = |text: super::text::Text<'_>| text.to_string_lossy().into_owned();
            (text(r.service()), r.cluster().map(text))
        });
        assert_eq!(seen, (service.to_owned(), cluster.map(str::to_owned)), "{record} {tag:?}");
    }
}

/// Two resources, three log records; the second is the worst.
fn otlp() -> Json {
    json!({"resourceLogs": [
        {"resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]}, "scopeLogs": [
            {"scope": {"name": "a"}, "logRecords": [
                {"severityNumber": 9, "severityText": "INFO", "body": {"stringValue": "first"}},
                {"timeUnixNano": "1700000001000000000", "severityNumber": 17, "body": {"stringValue": "second"},
                    "attributes": [{"key": "http.route", "value": {"stringValue": "/a"}}, {"key": "n", "value": {"intValue": "7"}},
                        {"key": "service.name", "value": {"stringValue": "evil"}}, {"key": "level", "value": {"stringValue": "info"}}]}]}]},
        {"resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "other"}}]}, "scopeLogs": [
            {"logRecords": [{"severityText": "ERROR", "body": {"stringValue": "third"}}]}]}]})
}

#[test]
fn of_a_whole_otlp_request_the_worst_log_record_speaks() {
    let request = otlp();
    for record in [request.clone(), json!({"log": request.to_string()}), json!({"log": request})] {
        for (name, expected) in [
            ("level", "error"),
            ("message", "second"),
            ("time", "1700000001"),
            ("severityNumber", "17"),
            ("http.route", "/a"),
            ("n", "7"),
        ] {
            assert_eq!(field(&record, name).as_deref(), Some(expected), "{name} of {record}");
        }
    }
    // The resource names a service only where the request is the record, and nothing else names one.
    assert_eq!(service(&request, Some("tag"), None), "shop");
    assert_eq!(service(&json!({"log": request.to_string()}), Some("tag"), None), "tag");
    let mut contained = request.clone();
    contained["container_name"] = json!("c");
    assert_eq!(service(&contained, None, None), "c");
    for path in ["body.resource.service.name", "body.service.name"] {
        let by_path = Naming { service: vec![path.into()], ..Naming::default() };
        assert_eq!(service(&json!({"log": request.to_string()}), None, Some(&by_path)), "shop", "{path}");
    }
    let mut nameless = request;
    nameless["resourceLogs"][0]["resource"] = json!({});
    let attributes = &mut nameless["resourceLogs"][0]["scopeLogs"][0]["logRecords"][1]["attributes"];
    attributes[0]["key"] = json!("resource.service.name");
    assert_eq!(service(&nameless, Some("tag"), None), "tag", "no log record names its resource");

    for (record, level, message) in [
        (json!({"resourceLogs": []}), "info", None),
        (json!({"resourceLogs": [7, {"scopeLogs": [{"logRecords": "x"}]}]}), "info", None),
        (
            json!({"resourceLogs": [{"scopeLogs": [{"logRecords": [{"body": {"stringValue": "x"}}]}]}]}),
            "info",
            Some("x"),
        ),
        (json!({"resourceLogs": "x", "level": "warn", "msg": "y"}), "warn", Some("y")),
        // One log record alone.
        (json!({"severityNumber": 13, "body": {"stringValue": "z"}}), "warn", Some("z")),
        (json!({"severityNumber": "SEVERITY_NUMBER_FATAL2", "body": "z"}), "fatal", Some("z")),
        (json!({"severityText": "Debug", "severityNumber": 17, "body": "z"}), "debug", Some("z")),
        (json!({"error": {"message": "w"}}), "info", Some("w")),
    ] {
        for record in [record.clone(), json!({"log": record.to_string()})] {
            assert_eq!(field(&record, "level").as_deref(), Some(level), "{record}");
            assert_eq!(field(&record, "message").as_deref(), message, "{record}");
        }
    }
}

#[test]
fn json_in_a_line_of_dockers_file_within_log_is_fields() {
    let said =
        json!({"level": "error", "msg": "a \"quoted\" \\ \u{1} é", "req": {"id": "7"}, "service": "evil"}).to_string();
    let file = json!({"log": format!("{said}\n"), "stream": "stderr", "time": "2025-10-01T08:30:01Z",
        "container_name": "evil", "ecs_task_definition": "evil:1"});
    let record = json!({"date": 1759306324.5, "container_name": "a", "log": file.to_string(), "n": 1});
    for (name, expected) in [
        ("level", "error"),
        ("message", "a \"quoted\" \\ \u{1} é"),
        ("req.id", "7"),
        ("source", "stderr"),
        ("service", "a"),
        ("container", "a"),
        ("n", "1"),
        ("time", "1759306324"),
    ] {
        assert_eq!(field(&record, name).as_deref(), Some(expected), "{name}");
    }
    assert_eq!(field(&record, "ecs_task_definition"), None);
    // The record's own word about the stream stands; a text that only begins like JSON stays one.
    let own = json!({"log": file.to_string(), "stream": "stdout"});
    assert_eq!(field(&own, "source").as_deref(), Some("stdout"));
    let broken = json!({"log": json!({"log": "{broken \"x\"", "stream": "stdout", "time": "t"}).to_string()});
    assert_eq!(field(&broken, "message").as_deref(), Some("{broken \"x\""));
    // Deeper than that it is the application's own affair.
    let deeper = json!({"log": json!({"log": file.to_string(), "stream": "stdout", "time": "t"}).to_string()});
    assert_eq!(field(&deeper, "level").as_deref(), Some("info"));
    assert_eq!(field(&deeper, "message").as_deref(), Some(said.as_str()));
}

#[test]
fn iis_is_read_like_other_servers_and_the_heads_of_its_files_are_plain() {
    let line = "2025-10-01 08:12:03 10.0.0.5 GET /a q 443 - 10.0.0.9 ELB-HealthChecker/2.0 - 503 0 64 123";
    let record = json!({"log": line});
    for (name, expected) in
        [("status", "503"), ("level", "error"), ("duration_ms", "123"), ("time", "1759306323"), ("path", "/a")]
    {
        assert_eq!(field(&record, name).as_deref(), Some(expected), "{name}");
    }
    assert!(with(&record, None, None, |r| r.is_health_check()));
    for head in ["#Software: ERROR", "#Fields: date time error", "#Remark: [error] x"] {
        let record = json!({"log": head});
        assert_eq!(field(&record, "level").as_deref(), Some("info"), "{head}");
        assert!(with(&record, None, None, |r| r.is_continuation()), "{head}");
    }
}

#[test]
fn a_piece_whose_beginning_is_elsewhere_is_told_from_a_beginning() {
    let part =
        |ordinal: Json| json!({"log": "x", "partial_message": "true", "partial_id": "1", "partial_ordinal": ordinal});
    for (record, expected) in [
        (part(json!("1")), false),
        (part(json!("2")), true),
        (part(json!(2)), true),
        (part(json!("-2")), false),
        (part(json!("x")), false),
        (part(Json::Null), false),
        (json!({"log": "x"}), false),
        (json!({"log": ""}), false),
        (json!({"log": "{\"msg\":\"    at f (/a.js:1:2)\"}"}), false),
        // Frames without their exception.
        (json!({"log": "\tat a.B.c(B.java:1)"}), true),
        (json!({"log": "\t... 12 more"}), true),
        (json!({"log": "Caused by: a.b.C: x"}), true),
        (json!({"log": "    at f (/app/a.js:1:2)"}), true),
        (json!({"log": "  File \"/app/a.py\", line 3, in f"}), true),
        (json!({"log": "\tfrom app.rb:5:in '<main>'"}), true),
        // Beginnings, and what only looks like a piece.
        (json!({"log": "java.lang.IllegalStateException: x\n\tat a.B.c(B.java:1)"}), false),
        (json!({"log": "Traceback (most recent call last):"}), false),
        (json!({"log": "panic: x"}), false),
        (json!({"log": "goroutine 1 [running]:"}), false),
        (json!({"log": "thread 'main' panicked at src/main.rs:4:5:"}), false),
        (json!({"log": "  at home"}), false),
        (json!({"log": "    indented"}), false),
        (json!({"log": "at a.B.c(B.java:1)"}), false),
    ] {
        assert_eq!(with(&record, None, None, |r| r.is_continuation()), expected, "{record}");
    }
}

#[test]
fn no_sign_of_life_is_told_by_agent_by_firelens_own_question_and_by_the_operator() {
    let own = Naming { own: vec!["emberwatch".into()], ..Naming::default() };
    let arn = "arn:aws:ecs:eu-west-1:1:task/prod/1";
    for (record, tag, expected) in [
        (json!({"health": "check", "ecs_task_arn": arn}), None, true),
        (json!({"health": "check", "ecs_task_arn": arn}), Some("firelens-healthcheck"), true),
        (json!({"log": "x"}), Some("firelens-healthcheck"), true),
        (json!({"health": "check", "more": 1, "ecs_task_arn": arn}), None, false),
        (json!({"health": "check"}), None, false),
        (json!({"log": "x", "container_name": "emberwatch"}), None, true),
        (json!({"log": "x", "container_name": "emberwatch-web"}), None, false),
        (json!({"log": "{\"container_name\":\"emberwatch\"}", "container_name": "a"}), None, false),
    ] {
        assert_eq!(with(&record, tag, Some(&own), |r| r.is_own(r.service())), expected, "{record}, {tag:?}");
    }
}
