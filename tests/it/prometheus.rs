//! A real Prometheus, if there is one on PATH: it scrapes the program with the configuration that `deploy/` ships,
//! rules fire and resolve over what really happens, and every query of the dashboard has an answer. Without one that
//! test says so and passes. Beside it, for everyone: rules, dashboard and `docs/metrics.md` name the metrics there are.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use regex::{Captures, Regex};
use serde_json::Value;
use tempfile::TempDir;

use crate::story::{SOON, config, flood, post, start, wait_ready};
use crate::world::eventually;
use crate::world::http::{Connection, Request, get, get_text};

const CONTROL_TOKEN: &str = "the-token-of-this-test";
/// Minutes of rules and queries, in this test's time: 15 minutes are 6 seconds.
const MINUTE_MS: u64 = 400;
/// Nothing is asked of a model here.
const ASKED_OF_A_MODEL: [&str; 2] = ["emberwatch_model_seconds", "emberwatch_triage_calls_total"];

/// One that runs over a directory of its own.
struct Prometheus {
    process: Child,
    /// Kills it when this test process dies without running its destructors.
    watchdog: Child,
    home: TempDir,
    address: SocketAddr,
}

fn shipped(name: &str) -> String {
    let file = format!("{}/{name}", env!("CARGO_MANIFEST_DIR"));
    fs::read_to_string(&file).unwrap_or_else(|fault| panic!("{file}: {fault}"))
}

fn on_path() -> Option<PathBuf> {
    let directories = std::env::var_os("PATH").unwrap_or_default();
    let runs =
        |path: &PathBuf| fs::metadata(path).is_ok_and(|file| file.is_file() && file.permissions().mode() & 1 == 1);
    let found = std::env::split_paths(&directories).map(|directory| directory.join("prometheus")).find(runs);
    if found.is_none() {
        #[expect(clippy::print_stdout, reason = "who runs the tests is to know what they left out")]
        {
            println!("skipped: no prometheus on PATH");
        }
    }
    found
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port on loopback");
    listener.local_addr().expect("the address of a bound listener").port()
}

/// The same text with minutes and hours of this test.
fn hastened(text: &str) -> String {
    let duration = Regex::new(r"\b(\d+)([mh])\b").expect("a pattern");
    let shorter = |found: &Captures<'_>| {
        let count: u64 = found[1].parse().expect("digits");
        let minutes = if &found[2] == "h" { 60 * count } else { count };
        format!("{}ms", minutes * MINUTE_MS)
    };
    duration.replace_all(text, shorter).into_owned()
}

/// Rules in this test's time: what they ask and how long for, not what they say.
fn hastened_rules() -> String {
    let mut inside = false;
    let mut rules = String::new();
    for line in shipped("deploy/prometheus/rules.yml").lines() {
        let text = line.trim_start();
        if text.starts_with("expr:") || text.starts_with("for:") {
            inside = true;
        } else if text.starts_with("labels:") || text.starts_with('#') {
            inside = false;
        }
        rules += &if inside { hastened(line) } else { line.to_owned() };
        rules.push('\n');
    }
    rules
}

/// Every query of the dashboard, by the title of its panel.
fn dashboard() -> Vec<(String, String)> {
    let dashboard: Value =
        serde_json::from_str(&shipped("deploy/grafana/dashboards/emberwatch.json")).expect("a dashboard is JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let queries = panels.iter().flat_map(|panel| {
        let targets = panel["targets"].as_array().expect("targets of a panel");
        targets.iter().map(|target| (text(&panel["title"]), text(&target["expr"])))
    });
    queries.collect()
}

/// Fit to stand in a URL.
fn escaped(query: &str) -> String {
    query.bytes().fold(String::new(), |mut text, byte| {
        if byte.is_ascii_alphanumeric() {
            text.push(char::from(byte));
        } else {
            write!(text, "%{byte:02X}").expect("writing to a string");
        }
        text
    })
}

// === impl Prometheus ===

impl Prometheus {
    /// With the shipped configuration, but for the target's address, the token's file and the clock.
    fn start(program: &Path, target: SocketAddr) -> Self {
        let home = TempDir::new().expect("a temporary directory");
        let file = |name: &str| home.path().join(name);
        fs::write(file("token"), CONTROL_TOKEN).expect("writing a token");
        fs::write(file("rules.yml"), hastened_rules()).expect("writing rules");
        let wanted = [
            ("emberwatch:9090", target.to_string()),
            ("/run/secrets/emberwatch_control_token", file("token").display().to_string()),
            ("scrape_interval: 15s", "scrape_interval: 500ms".to_owned()),
            ("evaluation_interval: 15s", "evaluation_interval: 200ms".to_owned()),
        ];
        let config = wanted.iter().fold(shipped("deploy/prometheus/prometheus.yml"), |config, (from, to)| {
            assert!(config.contains(from), "no {from} in what is shipped");
            config.replace(from, to)
        });
        fs::write(file("prometheus.yml"), config).expect("writing a configuration");
        let log = fs::File::create(file("log")).expect("creating a log");
        let mut process = Command::new(program)
            .arg(format!("--config.file={}", file("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", file("data").display()))
            .arg("--web.listen-address=127.0.0.1:0")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("starting prometheus");
        // Its stdin is a pipe that only this process holds.
        let watchdog = Command::new("sh")
            .args(["-c", "read -r _; kill -9 \"$0\"", &process.id().to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let Ok(watchdog) = watchdog else {
            process.kill().expect("killing a prometheus");
            panic!("starting the watchdog: {watchdog:?}");
        };
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut started = Self { process, watchdog, home, address: nowhere };
        started.address = eventually("prometheus listens", SOON, || {
            let line = started.log().lines().find(|line| line.contains("\"Listening on\""))?.to_owned();
            line.split("address=").nth(1)?.parse().ok()
        });
        eventually("prometheus is ready", SOON, || (get(started.address, "/-/ready").status == 200).then_some(()));
        started
    }

    fn log(&self) -> String {
        fs::read_to_string(self.home.path().join("log")).unwrap_or_default()
    }

    fn ask(&self, path: &str) -> Value {
        let answer = get(self.address, path).json();
        assert_eq!(answer["status"], "success", "{path}: {answer}");
        answer["data"].clone()
    }

    /// Values of the series that a query finds.
    fn query(&self, query: &str) -> Vec<f64> {
        let escaped = escaped(query);
        let found = self.ask(&format!("/api/v1/query?query={escaped}"));
        let series = found["result"].as_array().expect("a list of series");
        let value = |series: &Value| series["value"][1].as_str()?.parse().ok();
        series.iter().map(|series| value(series).expect("a number")).collect()
    }

    /// Whether the alert has fired, now or before.
    fn has_fired(&self, alert: &str) -> bool {
        let query = format!("count_over_time(ALERTS{{alertname=\"{alert}\",alertstate=\"firing\"}}[10m])");
        !self.query(&query).is_empty()
    }

    fn fires(&self, alert: &str) -> bool {
        let alerts = self.ask("/api/v1/alerts");
        let alerts = alerts["alerts"].as_array().expect("a list of alerts");
        alerts.iter().any(|one| one["labels"]["alertname"] == alert && one["state"] == "firing")
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // The watchdog first: once the process is reaped, its number may go to another one.
        drop(self.watchdog.kill());
        drop(self.watchdog.wait());
        drop(self.process.kill());
        drop(self.process.wait());
        if std::thread::panicking() {
            #[expect(clippy::print_stderr, reason = "the test has failed: its reader wants this")]
            {
                eprintln!("what Prometheus said:\n{}", self.log());
            }
        }
    }
}

#[test]
fn a_prometheus_scrapes_the_program_its_rules_fire_and_resolve_and_the_dashboard_is_filled() {
    let Some(binary) = on_path() else { return };
    let control = free_port();
    let mut program = start(
        &(format!(
            "[server]\ncontrol_listen = \"127.0.0.1:{control}\"\ncontrol_token = \"{CONTROL_TOKEN}\"\n\n\
             [triage]\nprovider = \"builtin\"\nbatch_seconds = 1\n\n"
        ) + &config("settle_seconds = 0", 10, 3600).replace("\"notify\"", "\"investigate\"")),
    );
    let prometheus = Prometheus::start(&binary, program.control_addr());
    let scraped = |query: &str, what: &str| {
        eventually(what, SOON, || (!prometheus.query(query).is_empty()).then_some(()));
    };
    scraped("up{job=\"emberwatch\"} == 1", "the program is scraped, with its token");

    eventually("every rule was evaluated", SOON, || {
        let rules = prometheus.ask("/api/v1/rules");
        let groups = rules["groups"].as_array().expect("groups of rules");
        let rules: Vec<&Value> = groups.iter().flat_map(|group| group["rules"].as_array().expect("rules")).collect();
        let wrong: Vec<&&Value> = rules.iter().filter(|rule| rule["health"] == "err").collect();
        assert!(wrong.is_empty(), "{wrong:?}");
        (rules.len() >= 16 && rules.iter().all(|rule| rule["health"] == "ok")).then_some(())
    });

    // What a Fluent Bit with another URI does: it loses what it sends.
    scraped("emberwatch_client_will_drop_total{status=\"404\"} == 0", "the counter is there before it counts");
    let elsewhere = Request::bare("POST", "/api/logs").body("{\"log\":\"lost\"}\n");
    assert_eq!(Connection::open(program.ingest_addr()).send(&elsewhere).status, 404);
    let will_drop = "EmberwatchClientWillDrop";
    eventually("it fires for a chunk that is lost", SOON, || prometheus.has_fired(will_drop).then_some(()));

    // Everything that the dashboard shows happens while it is scraped.
    for _ in 0..2 {
        post(&program, flood("payments", 12));
    }
    post(&program, "no record\n{\"log\":\"what nobody has ever seen: error 17\"}\n");
    for (panel, query) in dashboard() {
        let asked = query.replace("$__rate_interval", "1m").replace("$job", ".+");
        if ASKED_OF_A_MODEL.iter().any(|name| asked.contains(name)) {
            prometheus.query(&asked);
            continue;
        }
        eventually(&format!("{panel}: {asked} has an answer"), SOON, || {
            prometheus.query(&asked).iter().any(|value| value.is_finite()).then_some(())
        });
    }

    eventually("it resolves once nothing more is lost", SOON, || (!prometheus.fires(will_drop)).then_some(()));

    program.kill9();
    eventually("it fires while the program is gone", SOON, || prometheus.fires("EmberwatchDown").then_some(()));
    program.restart();
    wait_ready(&program);
    eventually("it resolves when the program is back", SOON, || (!prometheus.fires("EmberwatchDown")).then_some(()));
}

/// The names of the program's own metrics in a text, without what Prometheus adds to histograms.
fn named(text: &str) -> BTreeSet<String> {
    let name = Regex::new(r"emberwatch_[a-z0-9_]+").expect("a pattern");
    let base = |name: &str| {
        let ends = ["_bucket", "_sum", "_count"];
        let found = ends.iter().find_map(|end| name.strip_suffix(end).filter(|base| base.ends_with("_seconds")));
        found.unwrap_or(name).to_owned()
    };
    name.find_iter(text).map(|found| base(found.as_str())).collect()
}

/// Those that are registered, and what the library adds of the process.
fn registered() -> BTreeSet<String> {
    let registration = Regex::new(r#"(?s)(?:counters?|gauge|histogram)\(\s*r,\s*"([a-z_]+)""#).expect("a pattern");
    let source = shipped("src/metrics.rs");
    let mut names: BTreeSet<String> =
        registration.captures_iter(&source).map(|found| format!("emberwatch_{}", &found[1])).collect();
    assert!(names.len() > 30, "the pattern finds what metrics.rs registers: {names:?}");
    let program = start("");
    let page = get_text(program.control_addr(), "/metrics");
    let helped = page.lines().filter_map(|line| line.strip_prefix("# HELP ")?.split(' ').next());
    names.extend(helped.map(str::to_owned));
    names
}

#[test]
fn every_metric_has_its_row_in_the_docs_and_every_row_its_metric() {
    let table: String = shipped("docs/metrics.md").lines().filter(|line| line.starts_with("| `")).collect();
    let (documented, registered) = (named(&table), registered());
    let missing: Vec<&String> = registered.difference(&documented).collect();
    let gone: Vec<&String> = documented.difference(&registered).collect();
    assert!(missing.is_empty() && gone.is_empty(), "missing: {missing:?}, gone: {gone:?}");
}

#[test]
fn rules_and_dashboard_ask_for_metrics_that_there_are() {
    let registered = registered();
    let rules = shipped("deploy/prometheus/rules.yml");
    let asked = rules.lines().map(|line| line.split('#').next().unwrap_or_default());
    let asked: String = asked.filter(|line| !line.contains("_file:")).collect::<Vec<_>>().join("\n");
    let queries: String = dashboard().into_iter().map(|(_, query)| query + "\n").collect();
    for (whose, text) in [("rules.yml", asked), ("the dashboard", queries)] {
        let unknown: Vec<String> = named(&text).difference(&registered).cloned().collect();
        assert!(unknown.is_empty(), "{whose} asks for {unknown:?}");
    }
}
