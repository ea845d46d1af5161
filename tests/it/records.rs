//! Where a line came from and what it says, as a watch that groups by those names shows it: FireLens on EC2
//! and Fargate in old and new forms, what is left when parts are missing, and a labelled collection.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::SystemTime;

use serde_json::{Map, Value, json};

use crate::control::{Scrape, counting, groups, put, serving};
use crate::world::http::{Connection, Request, post_ingest};

const PLACES: [&str; 7] = ["service", "container", "cluster", "revision", "task", "host", "source"];

fn now() -> f64 {
    SystemTime::UNIX_EPOCH.elapsed().expect("a clock after 1970").as_secs_f64()
}

fn watch_by(control: SocketAddr, label: &str, names: &[&str]) {
    let mut rule = counting(label, &json!({"field": "n", "exists": true}));
    rule["group_by"] = json!(names);
    put(control, &rule);
}

/// The values of a watch's groups by their `n`; each record is a group of its own.
fn by_number(control: SocketAddr, label: &str) -> BTreeMap<String, Map<String, Value>> {
    let seen = groups(control, label).into_iter().map(|(key, count)| {
        let Value::Object(mut key) = key else { panic!("a key is an object: {key}") };
        let Some(Value::String(n)) = key.remove("n") else { panic!("every record has its number: {key:?}") };
        assert_eq!(count, 1, "record {n} is one");
        (n, key)
    });
    seen.collect()
}

/// `line` with its number, and with a time of now: the last `date` of a record is the one that counts.
fn numbered(line: &str, n: &str) -> String {
    let open = line.trim_end().strip_suffix('}').expect("an object");
    let comma = if open.trim_end().ends_with('{') { "" } else { "," };
    format!("{open}{comma}\"n\":\"{n}\",\"date\":{:.6}}}\n", now())
}

#[test]
fn where_a_line_came_from_is_read_in_every_form_that_firelens_writes() {
    let program = serving("");
    let (control, ingest) = (program.control_addr(), program.ingest_addr());
    watch_by(control, "places", &["n", "service", "container", "cluster", "revision", "task", "host", "source"]);
    let id = "474bb20e270be87b41c96671d79b8550";
    let uuid = "e5394bd4-f1e2-40ac-aac0-9644000dacbf";
    let arn = |rest: &str| format!("arn:aws:ecs:eu-west-1:123456789012:task/{rest}");
    // Name, what the record holds, the tag in the header, and what is to be seen, in the order of PLACES.
    let cases: Vec<(&str, Value, Option<&str>, [&str; 7])> = vec![
        (
            "fargate",
            json!({"container_id": format!("{id}-164729728"), "container_name": "nginx", "source": "stdout", "log": "x",
                "ecs_cluster": "prod-eu", "ecs_task_arn": arn(&format!("prod-eu/{id}")), "ecs_task_definition": "storefront-web:42"}),
            None,
            ["storefront-web", "nginx", "prod-eu", "42", id, "", "stdout"],
        ),
        (
            "ec2",
            json!({"container_id": "649626fe", "container_name": "/ecs-storefront-web-117-nginx-3e66071f1aa0cc4fc200",
                "source": "stderr", "log": "x", "ec2_instance_id": "i-028fe1e6146f717f4", "ecs_cluster": "prod-ec2",
                "ecs_task_arn": arn(&format!("prod-ec2/{id}")), "ecs_task_definition": "storefront-web:117"}),
            None,
            ["storefront-web", "nginx", "prod-ec2", "117", id, "i-028fe1e6146f717f4", "stderr"],
        ),
        (
            // `orders_api` in the task definition: the agent leaves the underscore out of the name.
            "ec2 with a tag",
            json!({"container_id": "1", "container_name": "/ecs-orders-api-19-ordersapi-b8d92696400301e06f00", "log": "x",
                "ecs_task_definition": "orders-api:19"}),
            Some(&*format!("orders_api-firelens-{id}").leak()),
            ["orders-api", "orders_api", "", "19", "", "", ""],
        ),
        (
            "ec2 with numbers in the family and in the name",
            json!({"container_id": "1", "container_name": "/ecs-report-job-2-3-api-7-dd19434dbea86bbb4000", "log": "x",
                "ecs_task_definition": "report-job-2:3"}),
            None,
            ["report-job-2", "api-7", "", "3", "", "", ""],
        ),
        (
            "old arn",
            json!({"container_id": "1", "container_name": "a", "log": "x", "ecs_cluster": "legacy", "ecs_task_arn": arn(uuid),
                "ecs_task_definition": "report:3"}),
            None,
            ["report", "a", "legacy", "3", uuid, "", ""],
        ),
        (
            "cluster as arn",
            json!({"container_id": "1", "container_name": "a", "log": "x",
                "ecs_cluster": "arn:aws:ecs:ap-northeast-1:123456789012:cluster/firelens_sample",
                "ecs_task_arn": arn(&format!("firelens_sample/{id}")), "ecs_task_definition": "s:11"}),
            None,
            ["s", "a", "firelens_sample", "11", id, "", ""],
        ),
        (
            "cluster out of the task's arn",
            json!({"log": "x", "ecs_task_arn": arn(&format!("prod/{id}"))}),
            None,
            ["unknown", "", "prod", "", id, "", ""],
        ),
        (
            "old arn without a cluster",
            json!({"log": "x", "ecs_task_arn": arn(uuid)}),
            None,
            ["unknown", "", "", "", uuid, "", ""],
        ),
        (
            "other partition",
            json!({"log": "x", "ecs_task_arn": format!("arn:aws-us-gov:ecs:us-gov-west-1:1:task/gov-main/{id}"), "ecs_task_definition": "f:1"}),
            None,
            ["f", "", "gov-main", "1", id, "", ""],
        ),
        (
            "family with colons",
            json!({"container_name": "a", "log": "x", "ecs_task_definition": "family:with:colons:12"}),
            None,
            ["family:with:colons", "a", "", "12", "", "", ""],
        ),
        (
            "no revision",
            json!({"container_name": "a", "log": "x", "ecs_task_arn": "not-an-arn", "ecs_task_definition": "no-revision"}),
            None,
            ["no-revision", "a", "", "", "", "", ""],
        ),
        (
            "container only",
            json!({"container_id": "1", "container_name": "worker", "log": "x"}),
            None,
            ["worker", "worker", "", "", "", "", ""],
        ),
        (
            "container of ec2 only",
            json!({"container_id": "1", "container_name": "/ecs-search-api-9-search-api-ed364d1faceec8495400", "log": "x"}),
            None,
            ["search-api", "search-api", "", "", "", "", ""],
        ),
        (
            "container of docker only",
            json!({"container_id": "1", "container_name": "/quirky_turing", "source": "stdout", "log": "x"}),
            None,
            ["quirky_turing", "quirky_turing", "", "", "", "", "stdout"],
        ),
        (
            "firelens tag only",
            json!({"log": "x"}),
            Some("billing-firelens-abc"),
            ["billing", "billing", "", "", "", "", ""],
        ),
        ("any tag", json!({"log": "x"}), Some("host.syslog"), ["host.syslog", "", "", "", "", "", ""]),
        (
            "container and any tag",
            json!({"container_name": "a", "log": "x"}),
            Some("host.syslog"),
            ["a", "a", "", "", "", "", ""],
        ),
        ("nothing", json!({"log": "x"}), None, ["unknown", "", "", "", "", "", ""]),
        ("an empty tag", json!({"log": "x"}), Some(""), ["unknown", "", "", "", "", "", ""]),
        (
            "empty and odd values",
            json!({"container_id": 5, "container_name": ["x"], "source": null, "log": "x", "ecs_cluster": "", "ecs_task_definition": 7}),
            None,
            ["unknown", "", "", "", "", "", ""],
        ),
        (
            "docker json-file",
            json!({"log": "x\n", "stream": "stderr"}),
            None,
            ["unknown", "", "", "", "", "", "stderr"],
        ),
        (
            "kubernetes",
            json!({"stream": "stdout", "_p": "F", "log": "x", "kubernetes": {"pod_name": "orders-6c9f7d5b8d-x2k4q",
                "namespace_name": "shop", "labels": {"app.kubernetes.io/name": "orders-api", "app": "other"},
                "host": "node-1", "container_name": "main"}}),
            Some("kube.var.log.containers.x"),
            ["orders-api", "main", "", "", "orders-6c9f7d5b8d-x2k4q", "node-1", "stdout"],
        ),
        (
            "kubernetes without labels",
            json!({"stream": "stdout", "log": "x", "kubernetes": {"pod_name": "orders-6c9f7d5b8d-x2k4q", "container_name": "main"}}),
            None,
            ["orders", "main", "", "", "orders-6c9f7d5b8d-x2k4q", "", "stdout"],
        ),
        (
            "a line that would choose",
            json!({"log": "{\"service\":\"evil\",\"container_name\":\"evil\",\"kubernetes\":{\"labels\":{\"app\":\"evil\"}}}",
                "container_name": "a"}),
            None,
            ["a", "a", "", "", "", "", ""],
        ),
        (
            "escapes and letters of the world",
            json!({"container_name": "bücher\"\u{1f4ce}", "log": "x", "ecs_task_definition": "bücher\"\\:8"}),
            None,
            ["bücher\"\\", "bücher\"\u{1f4ce}", "", "8", "", "", ""],
        ),
    ];
    let mut connection = Connection::open(ingest);
    for (name, record, tag, _) in &cases {
        let request = Request::new("POST", "/ingest").body(numbered(&record.to_string(), name));
        let request = match tag {
            Some(tag) => request.header("X-Tag", tag),
            None => request,
        };
        assert_eq!(connection.send(&request).status, 204);
    }
    let seen = by_number(control, "places");
    let mut wrong = Vec::new();
    for (name, _, _, expected) in &cases {
        let expected: Map<String, Value> =
            PLACES.iter().zip(expected).map(|(place, value)| ((*place).to_owned(), json!(value))).collect();
        if seen.get(*name) != Some(&expected) {
            wrong.push(format!("{name}: {:?}, expected {expected:?}", seen.get(*name)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(seen.len(), cases.len());
}

#[test]
fn the_header_that_carries_the_tag_can_be_another_one() {
    let program = serving("[ingest]\ntag_header = \"X-Fluent-Tag\"\n");
    let control = program.control_addr();
    watch_by(control, "places", &["n", "service"]);
    for (n, header) in [("named", "x-fluent-tag"), ("other", "X-Tag")] {
        let request =
            Request::new("POST", "/ingest").header(header, "web-firelens-1").body(numbered("{\"log\":\"x\"}", n));
        assert_eq!(Connection::open(program.ingest_addr()).send(&request).status, 204);
    }
    let service = |n: &str| by_number(control, "places")[n]["service"].clone();
    assert_eq!((service("named"), service("other")), (json!("web"), json!("unknown")));
}

#[test]
fn a_configured_path_names_service_and_cluster_and_ours_are_no_sign_of_life() {
    let program = serving(
        "[record]\nservice = [\"kubernetes.labels.team\", \"body.team\"]\ncluster = [\"kubernetes.labels.site\"]\nown = [\"us\"]\n",
    );
    let control = program.control_addr();
    watch_by(control, "named", &["n", "service", "cluster"]);
    for (n, record) in [
        (
            "label",
            json!({"log": "{\"team\":\"line\"}", "kubernetes": {"labels": {"team": "payments", "site": "eu", "app": "x"}}}),
        ),
        ("body", json!({"log": "{\"team\":\"line\"}", "container_name": "a"})),
        ("none", json!({"log": "x", "container_name": "a"})),
    ] {
        assert_eq!(post_ingest(program.ingest_addr(), numbered(&record.to_string(), n)).status, 204);
    }
    let seen = by_number(control, "named");
    let of = |n: &str| (seen[n]["service"].clone(), seen[n]["cluster"].clone());
    assert_eq!(of("label"), (json!("payments"), json!("eu")));
    assert_eq!(of("body"), (json!("line"), json!("")));
    assert_eq!(of("none"), (json!("a"), json!("")));

    let line = format!("{}\n", json!({"log": "ready", "container_name": "us", "date": now()}));
    assert_eq!(post_ingest(program.ingest_addr(), line).status, 204);
    assert_eq!(Scrape::of(control).lines("own"), 1);
}

#[test]
fn a_configured_mapping_renames_services_before_all_else() {
    let program = serving(
        r#"
        record.service = ["team"]
        [[record.service_map]]
        field = "container_name"
        from = "billing-*"
        service = "billing"
        [[record.service_map]]
        from = "legacy-api"
        service = "orders"
        cluster = "eu"
        "#,
    );
    let control = program.control_addr();
    watch_by(control, "named", &["n", "service", "cluster", "container"]);
    for (n, record) in [
        ("prefix", json!({"log": "x", "container_name": "billing-7", "team": "t", "ecs_cluster": "c"})),
        ("family", json!({"log": "x", "ecs_task_definition": "legacy-api:3", "ecs_cluster": "c"})),
        ("neither", json!({"log": "x", "container_name": "abilling-7", "ecs_task_definition": "legacy-api-2:3"})),
        ("path", json!({"log": "x", "team": "t"})),
        ("line", json!({"log": "{\"container_name\":\"billing-7\",\"service\":\"legacy-api\"}"})),
    ] {
        assert_eq!(post_ingest(program.ingest_addr(), numbered(&record.to_string(), n)).status, 204);
    }
    let seen = by_number(control, "named");
    for (n, service, cluster, container) in [
        ("prefix", "billing", "c", "billing-7"),
        ("family", "orders", "eu", ""),
        ("neither", "legacy-api-2", "", "abilling-7"),
        ("path", "t", "", ""),
        ("line", "unknown", "", ""),
    ] {
        let of = |name: &str| seen[n][name].clone();
        assert_eq!(
            (of("service"), of("cluster"), of("container")),
            (json!(service), json!(cluster), json!(container)),
            "{n}"
        );
    }
    let lines = Scrape::of(control);
    assert_eq!(lines.get("service_lines_total{cluster=\"c\",service=\"billing\"}"), 1);
}

#[test]
fn iis_lines_otlp_requests_and_dockers_json_within_log_are_fields() {
    let program = serving("");
    let control = program.control_addr();
    watch_by(control, "read", &["n", "service", "level", "message", "status", "source"]);
    let request = json!({"resourceLogs": [{"resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]},
        "scopeLogs": [{"logRecords": [{"severityNumber": 9, "body": {"stringValue": "fine"}},
            {"severityNumber": 17, "body": {"stringValue": "broken"}}]}]}]});
    let file = json!({"log": "{\"level\":\"warn\",\"msg\":\"slow\",\"service\":\"evil\"}\n", "stream": "stderr", "time": "2025-10-01T08:12:03Z"});
    let iis = "2025-10-01 08:12:03 10.0.0.5 GET /a - 80 - 10.0.0.9 curl - 503 0 64 12";
    for (n, record) in [
        ("otlp", request.clone()),
        ("otlp in log", json!({"log": request.to_string(), "container_name": "c"})),
        ("docker", json!({"log": file.to_string(), "container_name": "c"})),
        ("iis", json!({"log": iis, "container_name": "c"})),
        ("head", json!({"log": "#Fields: date time error", "container_name": "c"})),
    ] {
        assert_eq!(post_ingest(program.ingest_addr(), numbered(&record.to_string(), n)).status, 204);
    }
    let seen = by_number(control, "read");
    for (n, expected) in [
        ("otlp", ["shop", "error", "broken", "", ""]),
        ("otlp in log", ["c", "error", "broken", "", ""]),
        ("docker", ["c", "warn", "slow", "", "stderr"]),
        ("iis", ["c", "error", iis, "503", ""]),
        ("head", ["c", "info", "#Fields: date time error", "", ""]),
    ] {
        let of =
            ["service", "level", "message", "status", "source"].map(|name| seen[n][name].as_str().unwrap_or_default());
        assert_eq!(of, expected, "{n}");
    }
}

// === the labelled collection ===

const SHAPES: [&str; 11] = [
    "nginx_access_line",
    "nginx_error_line",
    "app_json_in_log",
    "app_json_merged",
    "plain_text",
    "docker_json_file",
    "kubernetes",
    "cri_in_log",
    "traceback_joined",
    "log_only",
    "forward_library",
];

/// What is compared of each record.
const NAMES: [&str; 7] = ["service", "container", "revision", "task", "source", "level", "status"];

/// Where the program does not say what the label says, and why. Each entry is by line and name, with what is
/// seen instead: mending one, and any new one, fails the test.
const KNOWN: [(usize, &str, &str, &str); 2] = [
    (130, "level", "info", "the second line of a Rust panic; only joined to the first does it say how bad it is"),
    (133, "level", "info", "it says so in Chinese only, and words of no language but English are known"),
];

#[test]
fn the_labelled_records_are_read_as_their_labels_say() {
    let records: Vec<&str> = include_str!("../data/records.ndjson").lines().collect();
    let labels: Vec<Value> = include_str!("../data/records.labels.ndjson")
        .lines()
        .map(|line| serde_json::from_str(line).expect("a label"))
        .collect();
    assert_eq!((records.len(), labels.len()), (242, 242));
    let chosen: Vec<(usize, &str, &Value)> = (1..)
        .zip(records.iter().zip(&labels))
        .filter(|(_, (_, label))| SHAPES.contains(&label["shape"].as_str().unwrap_or_default()))
        .map(|(line, (record, label))| (line, *record, label))
        .collect();
    assert_eq!(chosen.len(), 176);

    let program = serving("");
    let (control, ingest) = (program.control_addr(), program.ingest_addr());
    let group_by: Vec<&str> = ["n"].into_iter().chain(NAMES).collect();
    watch_by(control, "read", &group_by);
    // Each with its tag, as a sidecar with `header_tag` sends it; and all at once, without one.
    let mut connection = Connection::open(ingest);
    for (line, record, label) in &chosen {
        let request = Request::new("POST", "/ingest").body(numbered(record, &format!("{line} tagged")));
        let request = match label["tag"].as_str() {
            Some(tag) => request.header("X-Tag", tag),
            None => request,
        };
        assert_eq!(connection.send(&request).status, 204, "line {line}");
    }
    let body: String = chosen.iter().map(|(line, record, _)| numbered(record, &format!("{line} bare"))).collect();
    assert_eq!(post_ingest(ingest, body).status, 204);

    let seen = by_number(control, "read");
    // In one body the second line of a Rust panic is joined to the first, and has no group of its own.
    let joined = ["130 bare"];
    assert!(joined.iter().all(|n| !seen.contains_key(*n)));
    assert_eq!(seen.len(), 2 * chosen.len() - joined.len());
    let mut differs: Vec<(usize, String, String)> = Vec::new();
    let mut report = Vec::new();
    for (line, record, label) in &chosen {
        for (way, tagged) in [("tagged", true), ("bare", false)] {
            let n = format!("{line} {way}");
            if joined.contains(&n.as_str()) {
                continue;
            }
            let key = &seen[&n];
            for (name, expected) in expected(label, record, tagged) {
                if key[name] != expected.as_str() {
                    let got = key[name].as_str().unwrap_or_default().to_owned();
                    report.push(format!("line {line} ({way}): {name} is {got:?}, the label says {expected:?}"));
                    differs.push((*line, name.to_owned(), got));
                }
            }
        }
    }
    differs.dedup();
    let known: Vec<(usize, String, String)> =
        KNOWN.iter().map(|(line, name, got, _)| (*line, (*name).to_owned(), (*got).to_owned())).collect();
    differs.sort();
    differs.dedup();
    let mut sorted = known;
    sorted.sort();
    assert_eq!(differs, sorted, "differences from the labels are those of KNOWN:\n{}", report.join("\n"));
}

/// What a label says of its record under each name that it speaks of.
fn expected(label: &Value, record: &str, tagged: bool) -> Vec<(&'static str, String)> {
    let text = |name: &str| match &label[name] {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let has_metadata = label["has_ecs_metadata"] == true;
    let only_with = |condition: bool, value: String| if condition { value } else { String::new() };
    // A record without a container name has one only by its tag; on EC2 the agent leaves out of the name
    // what is no letter, digit or hyphen, and only the tag has it.
    let has_name = record.contains("\"container_name\"");
    let container = match (tagged, label["launch"].as_str()) {
        (false, Some("ec2")) => text("container").chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').collect(),
        (tagged, _) => only_with(tagged || has_name, text("container")),
    };
    let service = match (has_metadata, container.is_empty()) {
        (true, _) => text("family"),
        (false, false) => container.clone(),
        (false, true) => "unknown".to_owned(),
    };
    let shape = label["shape"].as_str();
    let record: Value = serde_json::from_str(record).expect("a record");
    // In Kubernetes a task is a pod; containerd's prefix tells of the stream.
    let task = match shape {
        Some("kubernetes") => record["kubernetes"]["pod_name"].as_str().unwrap_or_default().to_owned(),
        _ => only_with(has_metadata, text("task_id")),
    };
    let source = match shape {
        Some("cri_in_log") => {
            record["log"].as_str().and_then(|log| log.split(' ').nth(1)).unwrap_or_default().to_owned()
        }
        _ => text("stream"),
    };
    let mut all = vec![
        ("service", service),
        ("container", container),
        ("revision", only_with(has_metadata, text("revision"))),
        ("task", task),
        ("source", source),
        ("level", text("level")),
    ];
    // What else an application calls its status is its own affair.
    if !label["status"].is_null() {
        all.push(("status", text("status")));
    }
    all
}
