//! The real Fluent Bit, as FireLens sets it up: the input that FireLens generates, three outputs, one of them ours
//! as `fluent-bit/` ships it. With the aggregator a second one stands between.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::http;
use crate::receiver::free_port;
use crate::sender::METADATA;
use crate::sink::Sink;

/// What FireLens gives its input where a task definition states no memory.
const INPUT_LIMIT: &str = "25MB";
const START: Duration = Duration::from_secs(20);
const SHIPPED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fluent-bit");

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Profile {
    Tee,
    Aggregator,
    /// FireLens's own router with a file of ours: it forwards to itself, onto a disk.
    Init,
}

/// What one run needs to know of its Fluent Bits, the one nearest to the containers first.
pub(crate) struct Router {
    pub(crate) socket: PathBuf,
    nodes: Vec<Node>,
    /// Gone after the nodes are.
    _home: TempDir,
}

/// One Fluent Bit and what kills it when this process dies without its destructors.
struct Node {
    process: Child,
    watchdog: Child,
    log: PathBuf,
    metrics: SocketAddr,
    /// The name of our output in its metrics.
    ours: &'static str,
}

/// By the routers' own account.
pub(crate) struct Account {
    /// Records that our outputs dropped.
    pub(crate) dropped: u64,
    /// Chunks whose retries were used up.
    pub(crate) retries_failed: u64,
    pub(crate) retries: u64,
    /// How often an input stopped reading.
    pub(crate) pauses: u64,
    /// The most memory that each ever had.
    pub(crate) rss_mb: Vec<f64>,
}

/// What to change of the shipped `tee.conf`, to try other settings: lines to add and the keys they replace.
pub(crate) type Changes = Vec<(String, String)>;

impl Profile {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Profile::Tee => "tee",
            Profile::Aggregator => "aggregator",
            Profile::Init => "init",
        }
    }
}

// === impl Account ===

impl Account {
    pub(crate) fn memory(&self) -> String {
        self.rss_mb.iter().map(|megabytes| format!("{megabytes:.0}")).collect::<Vec<_>>().join(" + ")
    }
}

// === impl Router ===

impl Router {
    pub(crate) fn start(
        program: &Path,
        profile: Profile,
        to: SocketAddr,
        others: [&Sink; 2],
        changes: &Changes,
    ) -> Router {
        let home = TempDir::new().expect("a temporary directory");
        let socket = home.path().join("fluent.sock");
        let storage = home.path().join("storage");
        let mut nodes = Vec::new();
        let (ours, name) = match profile {
            Profile::Tee => (changed(&placed(&shipped("tee.conf"), to, &storage), changes), "http.2"),
            Profile::Init => {
                let config = placed(&shipped("firelens-init.conf"), to, &storage);
                let loopback = free_port().port().to_string();
                (changed(&config.replace("24225", &loopback), changes), "http.3")
            }
            Profile::Aggregator => {
                let forward = free_port();
                let config = changed(&placed(&shipped("aggregator.conf"), to, &storage), changes)
                    .replace("24224", &forward.port().to_string());
                nodes.push(Node::start(program, home.path(), "aggregator", &config, "http.0"));
                (sidecar(forward), "forward.0")
            }
        };
        let config = format!("{}{}{ours}", firelens(&socket), others.map(other).concat());
        nodes.insert(0, Node::start(program, home.path(), "router", &config, name));
        let begun = Instant::now();
        while !socket.exists() {
            assert!(begun.elapsed() < START, "no socket: {}", nodes[0].log());
            std::thread::sleep(http::TICK);
        }
        Router { socket, nodes, _home: home }
    }

    pub(crate) fn account(&self) -> Account {
        let sum = |of: fn(&Node) -> u64| self.nodes.iter().map(of).sum();
        Account {
            dropped: sum(|node| node.metric("dropped_records")),
            retries_failed: sum(|node| node.metric("retries_failed")),
            retries: sum(|node| node.metric("retries")),
            pauses: sum(|node| node.log().matches(" paused (").count() as u64),
            rss_mb: self.nodes.iter().map(Node::peak_rss_mb).collect(),
        }
    }

    /// The end of what they said, for a run that went wrong.
    pub(crate) fn said(&self) -> String {
        let last = |log: String| log.lines().rev().take(15).map(|line| format!("{line}\n")).collect::<String>();
        self.nodes.iter().map(|node| last(node.log())).collect()
    }
}

/// The part that FireLens generates, and the page with the counters, which it does not.
fn firelens(socket: &Path) -> String {
    let records: String = METADATA.iter().map(|(key, value)| format!("    Record {key} {value}\n")).collect();
    format!(
        "[INPUT]\n    Name forward\n    Mem_Buf_Limit {INPUT_LIMIT}\n    unix_path {}\n\n\
         [FILTER]\n    Name record_modifier\n    Match *\n{records}\n",
        socket.display()
    )
}

/// An output that works, as somebody else would have configured it.
fn other(sink: &Sink) -> String {
    format!(
        "[OUTPUT]\n    Name http\n    Match app*\n    Host 127.0.0.1\n    Port {}\n    URI /\n    Format json_lines\n    \
         Retry_Limit 5\n\n",
        sink.address.port()
    )
}

/// The task definition's options as FireLens writes them into its file.
fn sidecar(forward: SocketAddr) -> String {
    let definition: Value = serde_json::from_str(&shipped("firelens-aggregator.json")).expect("JSON");
    let options = definition["logConfiguration"]["options"].as_object().expect("options are a map");
    let lines: String = options
        .iter()
        .map(|(key, value)| match key.as_str() {
            "Host" => "    Host 127.0.0.1\n".to_owned(),
            "Port" => format!("    Port {}\n", forward.port()),
            _ => format!("    {key} {}\n", value.as_str().expect("every option is text")),
        })
        .collect();
    format!("[OUTPUT]\n    Match *\n{lines}")
}

fn shipped(name: &str) -> String {
    std::fs::read_to_string(format!("{SHIPPED}/{name}")).expect("a configuration that is shipped")
}

/// With Emberwatch and the disk where they are in this run.
fn placed(config: &str, to: SocketAddr, storage: &Path) -> String {
    config
        .replace("emberwatch.internal", "127.0.0.1")
        .replace("8080", &to.port().to_string())
        .replace("/var/lib/fluent-bit/emberwatch", &storage.display().to_string())
}

/// Sets keys in the last section and takes them out of all others; one with an empty value is only taken out.
fn changed(config: &str, changes: &Changes) -> String {
    let is = |line: &&str, key: &str| line.split_whitespace().next().is_some_and(|word| word.eq_ignore_ascii_case(key));
    let mut lines: Vec<String> =
        config.lines().filter(|line| !changes.iter().any(|(key, _)| is(line, key))).map(str::to_owned).collect();
    let set = changes.iter().filter(|(_, value)| !value.is_empty());
    lines.extend(set.map(|(key, value)| format!("    {key} {value}")));
    lines.join("\n") + "\n"
}

// === impl Node ===

impl Node {
    fn start(program: &Path, home: &Path, name: &str, config: &str, ours: &'static str) -> Node {
        let metrics = free_port();
        let (file, log) = (home.join(format!("{name}.conf")), home.join(format!("{name}.log")));
        let service = format!(
            "[SERVICE]\n    log_level warn\n    http_server on\n    http_listen 127.0.0.1\n    http_port {}\n",
            metrics.port()
        );
        // One section of the kind only: where the configuration has its own, ours goes into it, and our port counts.
        let config = changed(config, &["http_server", "http_port"].map(|key| (key.to_owned(), String::new())).into());
        let whole = match config.split_once("[SERVICE]\n") {
            Some((before, after)) => format!("{before}{service}{after}"),
            None => format!("{service}\n{config}"),
        };
        std::fs::write(&file, whole).expect("the temporary directory takes files");
        let output = std::fs::File::create(&log).expect("the temporary directory takes files");
        let process = Command::new(program)
            .arg("-c")
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(output)
            .spawn()
            .expect("a fluent-bit, as --fluent-bit says");
        let watchdog = Command::new("sh")
            .args(["-c", "read -r _; kill -9 \"$0\"", &process.id().to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("a shell");
        let node = Node { process, watchdog, log, metrics, ours };
        let begun = Instant::now();
        while http::get(metrics, "/api/v1/metrics").is_none() {
            assert!(begun.elapsed() < START, "{name} does not start: {}", node.log());
            std::thread::sleep(http::TICK);
        }
        node
    }

    fn metric(&self, name: &str) -> u64 {
        let page = http::get(self.metrics, "/api/v1/metrics");
        let page: Option<Value> = page.and_then(|page| serde_json::from_str(&page).ok());
        page.and_then(|page| page["output"][self.ours][name].as_u64()).unwrap_or_default()
    }

    fn peak_rss_mb(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap_or_default();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = peak.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
        kib.map_or(f64::NAN, |kib| kib * 1024.0 / 1e6)
    }

    fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // The watchdog first: once the process is reaped, its number may go to another one.
        self.watchdog.kill().unwrap_or_default();
        self.watchdog.wait().map(drop).unwrap_or_default();
        self.process.kill().unwrap_or_default();
        self.process.wait().map(drop).unwrap_or_default();
    }
}
