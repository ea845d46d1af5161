//! What the router's output finds at Emberwatch's port: the program itself, or one of the ways in which it can be away.

use std::io::{BufReader, Read};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::http::{self, TICK};
use crate::sender::BLOCK;
use crate::sink::Faults;

const START: Duration = Duration::from_secs(30);
/// Connections that fill the shortest queue a listener can have, and some more.
const QUEUE_FILL: usize = 4;
const CONNECT: Duration = Duration::from_millis(300);

/// The ways in which a receiver can be away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Nobody listens.
    Refused,
    /// The listener's queue is full: connects get no answer at all, as from a host that is gone.
    BlackHole,
    /// Reads every request and never answers.
    Hangs,
    /// Answers 503.
    Overloaded,
}

/// The built program, with one watch that every record matches, on one port through all its lives.
pub(crate) struct Emberwatch {
    pub(crate) address: SocketAddr,
    program: PathBuf,
    running: Option<Child>,
    /// Gone after the child is.
    home: TempDir,
}

/// A stand-in on Emberwatch's port. Dropping it frees the port.
pub(crate) struct StandIn {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

// === impl Mode ===

impl Mode {
    pub(crate) const ALL: [Mode; 4] = [Mode::Refused, Mode::BlackHole, Mode::Hangs, Mode::Overloaded];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Mode::Refused => "refused",
            Mode::BlackHole => "black-hole",
            Mode::Hangs => "hangs",
            Mode::Overloaded => "503",
        }
    }
}

// === impl Emberwatch ===

impl Emberwatch {
    pub(crate) fn new(program: &Path) -> Emberwatch {
        let home = TempDir::new().expect("a temporary directory");
        let address = free_port();
        let path = |name: &str| home.path().join(name);
        let config = format!(
            "[server]\nlisten = \"{address}\"\n[time]\nlateness_seconds = 86400\n[store]\npath = {:?}\n[notify]\nalerts_path = \"\"\n\
             [[watch]]\nlabel = \"all\"\nmatch = {{ field = \"log\", exists = true }}\nthreshold = 1000000000000\n\
             window_seconds = 86400\non_crossing = \"log\"\ngroup_by = [\"container_name\"]\n",
            path("emberwatch.db"),
        );
        std::fs::write(path("emberwatch.toml"), config).expect("the temporary directory takes files");
        Emberwatch { address, program: program.to_owned(), running: None, home }
    }

    /// Starts it and waits until it is ready.
    pub(crate) fn start(&mut self) {
        let log = std::fs::File::create(self.home.path().join("log")).expect("the temporary directory takes files");
        let child = Command::new(&self.program)
            .args(["serve", "--config"])
            .arg(self.home.path().join("emberwatch.toml"))
            .current_dir(self.home.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn();
        self.running = Some(child.expect("the built program starts"));
        let begun = Instant::now();
        while self.page("/status").is_none_or(|status| status["status"] != "ready") {
            assert!(begun.elapsed() < START, "emberwatch is not ready: {}", self.log());
            std::thread::sleep(TICK);
        }
    }

    /// SIGKILL, or SIGTERM and its end; returns when it has ended.
    pub(crate) fn stop(&mut self, kill: bool) {
        let Some(mut child) = self.running.take() else { return };
        let signal = if kill { "-KILL" } else { "-TERM" };
        let sent = Command::new("kill").args([signal, &child.id().to_string()]).status();
        assert!(sent.is_ok_and(|status| status.success()), "kill {signal}");
        child.wait().expect("waiting for the program's end");
    }

    /// Records it has counted.
    pub(crate) fn counted(&self) -> u64 {
        self.watch().and_then(|watch| watch["matched_total"].as_u64()).unwrap_or_default()
    }

    /// By blocks of records: what it never counted, and what it counted too often.
    pub(crate) fn faults(&self, sent: u64) -> Faults {
        let watch = self.watch().expect("the program shows its watches");
        assert!(watch["groups_left_out"].is_null(), "more blocks than are shown");
        let groups = watch["groups"].as_array().cloned().unwrap_or_default();
        let mut faults = Faults { lost: 0, doubled: 0 };
        for block in 0..sent.div_ceil(BLOCK) {
            let name = format!("block-{block:06}");
            let count = groups.iter().find(|group| group["key"]["container_name"] == name.as_str());
            let count = count.and_then(|group| group["count"].as_u64()).unwrap_or_default();
            let wanted = BLOCK.min(sent - block * BLOCK);
            faults.lost += wanted.saturating_sub(count);
            faults.doubled += count.saturating_sub(wanted);
        }
        faults
    }

    fn watch(&self) -> Option<Value> {
        self.page("/watches")?["watches"].get(0).cloned()
    }

    fn page(&self, path: &str) -> Option<Value> {
        serde_json::from_str(&http::get(self.address, path)?).ok()
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.home.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Emberwatch {
    fn drop(&mut self) {
        self.stop(true);
    }
}

// === impl StandIn ===

impl StandIn {
    pub(crate) fn start(mode: Mode, address: SocketAddr) -> StandIn {
        let stop = Arc::new(AtomicBool::new(false));
        let stopping = Arc::clone(&stop);
        let thread = match mode {
            Mode::Refused => None,
            Mode::BlackHole => {
                let hole = black_hole(address);
                Some(std::thread::spawn(move || {
                    while !stopping.load(Ordering::Relaxed) {
                        std::thread::sleep(TICK);
                    }
                    drop(hole);
                }))
            }
            Mode::Hangs | Mode::Overloaded => {
                let listener = listen(address, 1024);
                Some(std::thread::spawn(move || take(&listener, mode, &stopping)))
            }
        };
        StandIn { stop, thread }
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the stand-in ends");
        }
    }
}

/// Serves every connection in a thread of its own until told to stop; then all of them are closed.
fn take(listener: &TcpListener, mode: Mode, stop: &AtomicBool) {
    listener.set_nonblocking(true).expect("a socket option");
    std::thread::scope(|scope| {
        while !stop.load(Ordering::Relaxed) {
            let Ok((stream, _)) = listener.accept() else {
                std::thread::sleep(Duration::from_millis(5));
                continue;
            };
            scope.spawn(move || {
                stream.set_nonblocking(false).expect("a socket option");
                stream.set_read_timeout(Some(TICK)).expect("a socket option");
                match mode {
                    Mode::Overloaded => refuse(stream, stop),
                    _ => swallow(stream, stop),
                }
            });
        }
    });
}

fn swallow(mut stream: TcpStream, stop: &AtomicBool) {
    let mut buffer = vec![0; 64 * 1024];
    while !stop.load(Ordering::Relaxed) {
        match stream.read(&mut buffer) {
            Ok(1..) => {}
            Err(fault) if http::is_timeout(&fault) => {}
            _ => return,
        }
    }
}

fn refuse(stream: TcpStream, stop: &AtomicBool) {
    let mut connection = BufReader::with_capacity(256 * 1024, stream);
    while !stop.load(Ordering::Relaxed) {
        // Waits for a first byte in short turns; a request that has begun comes to its end at once.
        let begun = connection.get_mut().peek(&mut [0]);
        match begun {
            Ok(1..) => {
                connection.get_mut().set_read_timeout(None).expect("a socket option");
                let answered = http::request(&mut connection)
                    .and_then(|_| http::answer(&mut connection, "503 Service Unavailable"));
                if answered.is_none() {
                    return;
                }
                connection.get_mut().set_read_timeout(Some(TICK)).expect("a socket option");
            }
            Err(fault) if http::is_timeout(&fault) => {}
            _ => return,
        }
    }
}

/// A listener nobody accepts from, and the connections that fill its queue.
fn black_hole(address: SocketAddr) -> (TcpListener, Vec<TcpStream>) {
    let listener = listen(address, 0);
    let fill: Vec<TcpStream> =
        (0..QUEUE_FILL).filter_map(|_| TcpStream::connect_timeout(&address, CONNECT).ok()).collect();
    assert!(fill.len() < QUEUE_FILL, "the listener's queue is full");
    (listener, fill)
}

/// With a queue of this length, which the standard library does not let one choose.
fn listen(address: SocketAddr, backlog: u32) -> TcpListener {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().expect("a runtime");
    let _inside = runtime.enter();
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    socket.set_reuseaddr(true).expect("a socket option");
    socket.bind(address).expect("the receiver's port is free");
    let listener = socket.listen(backlog).and_then(tokio::net::TcpListener::into_std);
    listener.expect("a listener")
}

/// A port that nobody has now.
pub(crate) fn free_port() -> SocketAddr {
    let any = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0);
    TcpListener::bind(any).and_then(|listener| listener.local_addr()).expect("a port on loopback")
}
