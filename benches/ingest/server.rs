//! What is measured: the built program, or the floor under it, each as a child process with one worker.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tempfile::TempDir;

use crate::load;

/// Makes this very program the drain server.
pub(crate) const DRAIN_ARGUMENT: &str = "--drain-server";
/// The same, but that it also looks at every line.
pub(crate) const SCAN_ARGUMENT: &str = "--scan-server";
/// Texts that no line holds: what the cheapest watch at all would search for.
const NEEDLES: [&[u8]; 4] = [b"NoSuchTextAnywhere", b"nor this one", b"panicked at nothing", b"OutOfNothingError"];
const PROGRAM: &str = env!("CARGO_BIN_EXE_emberwatch");
const START: Duration = Duration::from_secs(20);
/// As the program reads: frames of the same size cost the same.
const READ_BUFFER: usize = 128 * 1024;
/// What the kernel's clock ticks are to programs, on every architecture we run on.
const TICKS_PER_SECOND: f64 = 100.0;
const SAMPLES_PER_SECOND: &str = "4999";

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    /// `None`: somebody else started it, and ends it.
    child: Option<Child>,
    pid: u32,
    /// `None` of the drain server, which counts nothing. Gone after the child is.
    home: Option<TempDir>,
}

impl Server {
    /// The program with one worker, its files in a directory of its own; `watches` as the configuration has them.
    pub(crate) fn emberwatch(watches: &str) -> Server {
        Server::start(watches, true)
    }

    /// The same, with a store or without one.
    pub(crate) fn start(watches: &str, stored: bool) -> Server {
        let home = TempDir::new().expect("a temporary directory");
        let path = |name: &str| home.path().join(name);
        let store = if stored { path("emberwatch.db") } else { PathBuf::new() };
        let config = format!(
            "{watches}[server]\nlisten = \"127.0.0.1:0\"\nworkers = 1\n[store]\npath = {:?}\n\
             [notify]\nalerts_path = {:?}\n[log]\nformat = \"json\"\n",
            store,
            path("alerts.jsonl")
        );
        std::fs::write(path("emberwatch.toml"), config).expect("the temporary directory takes files");
        let mut child = Command::new(PROGRAM)
            .arg("--config")
            .arg(path("emberwatch.toml"))
            .current_dir(home.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the built program starts");
        let mut log = BufReader::new(child.stderr.take().expect("its log is piped"));
        let address = loop {
            let mut line = String::new();
            let read = log.read_line(&mut line).expect("its log is text");
            assert!(read > 0, "the program ended before it listened");
            let event: serde_json::Value = serde_json::from_str(&line).unwrap_or_default();
            if event["message"] == "listening" {
                break event["ingest"].as_str().and_then(|a| a.parse().ok()).expect("it says where");
            }
            eprint!("{line}");
        };
        // A full pipe would stop the program.
        std::thread::spawn(move || {
            for line in log.lines().map_while(Result::ok).filter(|line| !line.contains("\"level\":\"INFO\"")) {
                eprintln!("{line}");
            }
        });
        let server = Server { address, pid: child.id(), child: Some(child), home: Some(home) };
        let begun = Instant::now();
        while load::get(address, "/ready").is_none() {
            assert!(begun.elapsed() < START, "the program is ready in time");
            std::thread::sleep(Duration::from_millis(10));
        }
        server
    }

    /// This program as the drain server.
    pub(crate) fn drain() -> Server {
        Server::floor(DRAIN_ARGUMENT)
    }

    /// And that looks at every line.
    pub(crate) fn scan() -> Server {
        Server::floor(SCAN_ARGUMENT)
    }

    /// Another program, which runs already.
    pub(crate) fn other(address: SocketAddr, pid: u32) -> Server {
        Server { address, pid, child: None, home: None }
    }

    fn floor(argument: &str) -> Server {
        let itself = std::env::current_exe().expect("this program has a path");
        let mut child = Command::new(itself)
            .arg(argument)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("this program starts");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("its output is piped");
        BufReader::new(stdout).read_line(&mut line).expect("it says where");
        let address = line.trim().parse().expect("an address");
        Server { address, pid: child.id(), child: Some(child), home: None }
    }

    /// User and system time of all its threads so far.
    pub(crate) fn cpu_seconds(&self) -> f64 {
        let stat = self.proc("stat");
        // The name in brackets may hold anything; after it come the state and eleven more fields.
        let fields = stat.rsplit_once(')').map(|(_, rest)| rest).unwrap_or_default();
        let ticks: f64 = fields.split_whitespace().skip(11).take(2).filter_map(|f| f.parse::<f64>().ok()).sum();
        ticks / TICKS_PER_SECOND
    }

    pub(crate) fn peak_rss_mb(&self) -> f64 {
        let status = self.proc("status");
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = peak.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
        kib.expect("the kernel says it") * 1024.0 / 1e6
    }

    fn proc(&self, file: &str) -> String {
        std::fs::read_to_string(format!("/proc/{}/{file}", self.pid())).expect("the server runs")
    }

    /// What became of the lines, by its own account; `None` of the drain server.
    pub(crate) fn lines(&self) -> Option<BTreeMap<String, u64>> {
        self.home.as_ref()?;
        let status = load::get(self.address, "/status").expect("the program tells its status");
        let status: serde_json::Value = serde_json::from_str(&status).expect("as JSON");
        Some(serde_json::from_value(status["lines"].clone()).expect("with the lines by outcome"))
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// Records a profile until the server ends.
    pub(crate) fn profile(&self, dir: &Path, name: &str) -> Child {
        std::fs::create_dir_all(dir).expect("a directory for profiles");
        let file = dir.join(format!("{}.perf", name.replace(' ', "-")));
        let recording = Command::new("perf")
            .args(["record", "--quiet", "-F", SAMPLES_PER_SECOND, "-o"])
            .arg(file)
            .arg("-p")
            .arg(self.pid().to_string())
            .spawn()
            .expect("perf is installed");
        std::thread::sleep(Duration::from_millis(500));
        recording
    }
}

/// Waits until the profile is written. Its server has ended.
pub(crate) fn finish(mut profile: Child) {
    profile.wait().expect("perf ends with what it watched");
}

impl Drop for Server {
    fn drop(&mut self) {
        let Some(child) = &mut self.child else { return };
        // It may have ended already.
        child.kill().unwrap_or_default();
        child.wait().map(drop).unwrap_or_default();
    }
}

/// The floor: hyper on one tokio worker, as the program has it; bodies are read and dropped, or their lines looked at.
pub(crate) fn floor(scans: bool) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.expect("a runtime");
    // Ends with the benchmark, however that ends: its side of the pipe is closed then.
    std::thread::spawn(|| {
        std::io::stdin().read_to_end(&mut Vec::new()).unwrap_or_default();
        std::process::exit(0);
    });
    let worker = runtime.spawn(async move {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        println!("{}", listener.local_addr().expect("an address"));
        loop {
            let (stream, _) = listener.accept().await.expect("a connection");
            stream.set_nodelay(true).expect("a socket option");
            tokio::spawn(async move {
                let service = hyper::service::service_fn(move |request| take_body(request, scans));
                let mut builder = hyper::server::conn::http1::Builder::new();
                let connection = builder.max_buf_size(READ_BUFFER).serve_connection(TokioIo::new(stream), service);
                // A connection that breaks is the loader's to notice.
                connection.await.unwrap_or_default();
            });
        }
    });
    runtime.block_on(worker).expect("the server runs until it is killed");
}

async fn take_body(request: Request<Incoming>, scans: bool) -> Result<Response<Full<Bytes>>, Infallible> {
    let mut body = request.into_body();
    let needles = NEEDLES.map(memchr::memmem::Finder::new);
    let mut open: Vec<u8> = Vec::new();
    while let Some(Ok(frame)) = body.frame().await {
        let Some(bytes) = frame.data_ref().filter(|_| scans) else { continue };
        open.extend_from_slice(bytes);
        let whole = memchr::memrchr(b'\n', &open).map_or(0, |end| end + 1);
        let mut begin = 0;
        for end in memchr::memchr_iter(b'\n', &open[..whole]) {
            let line = &open[begin..end];
            let found = needles.iter().any(|needle| needle.find(line).is_some());
            assert!(!std::hint::black_box(found), "no line holds them");
            begin = end + 1;
        }
        open.drain(..whole);
    }
    let mut response = Response::new(Full::new(Bytes::new()));
    *response.status_mut() = StatusCode::NO_CONTENT;
    Ok(response)
}
