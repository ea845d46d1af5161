//! A sender that behaves as Fluent Bit's `http` output does: its request bytes, its reading of the
//! answers, its retries of the very same bytes. It knows of every line whether it was acknowledged,
//! which is what "counted once" is measured against.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use super::http::{Connection, Request, Response, gzip};
use super::{Address, eventually, lock};

/// Fluent Bit's read buffer holds 4096 bytes, and a response that fills it has failed.
const LONGEST_RESPONSE: usize = 4095;

/// Which Fluent Bit: they differ in what they do with a 4xx.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Profile {
    /// As in AWS's 2.x images: whatever is not 200–205 is sent again, a 4xx too.
    V1_9,
    /// 3.1 and later: a 4xx other than 408 and 429 loses the chunk at once.
    V5,
}

#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) profile: Profile,
    /// Chunks in flight at once, each on a connection of its own.
    pub(crate) connections: usize,
    /// In place of Fluent Bit's 6–11 s; each retry waits once to twice this long.
    pub(crate) retry_delay: Duration,
    /// Retries after the first attempt; `None` is Fluent Bit's `no_limits`.
    pub(crate) retry_limit: Option<u32>,
    pub(crate) gzip: bool,
    pub(crate) target: String,
    /// `header_tag`: the header's name and the tag.
    pub(crate) tag: Option<(String, String)>,
    /// `header` lines: they come after all others but `Connection`.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) answer_timeout: Duration,
}

/// Sends each chunk on one of its connections until it is acknowledged or given up. Dropping it
/// closes the connections wherever they stand.
pub(crate) struct Forwarder {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
}

/// What a forwarder knows of the fate of its lines.
#[derive(Clone, Debug, Default)]
pub(crate) struct Report {
    /// Lines by id, in the order their chunks were acknowledged.
    pub(crate) acknowledged: Vec<u64>,
    pub(crate) acknowledged_chunks: usize,
    /// Of those, the chunks that were sent more than once.
    pub(crate) acknowledged_after_retry: usize,
    pub(crate) dropped: Vec<Dropped>,
    pub(crate) attempts: u64,
    /// How often an attempt ended how: a status, or the kind of an I/O fault.
    pub(crate) outcomes: BTreeMap<String, u64>,
    /// Chunks neither acknowledged nor dropped yet.
    pub(crate) pending: usize,
}

#[derive(Clone, Debug)]
pub(crate) struct Dropped {
    pub(crate) lines: Range<u64>,
    pub(crate) attempts: u32,
    pub(crate) why: String,
}

/// What one line says, in its `log`.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Says<'a> {
    /// An nginx access line.
    Access {
        status: u16,
    },
    /// A JSON application line.
    App {
        level: &'a str,
        message: &'a str,
    },
    Text(&'a str),
}

struct Shared {
    address: Address,
    settings: Settings,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    ready: VecDeque<Chunk>,
    /// Chunks to be sent again, and when.
    waiting: Vec<(Instant, Chunk)>,
    /// Open connections that no chunk is using.
    idle: VecDeque<(SocketAddr, Connection)>,
    /// What each worker is blocked on, so that a stop can end it.
    in_use: Vec<Option<TcpStream>>,
    report: Report,
    stop: bool,
}

struct Chunk {
    lines: Range<u64>,
    body: Vec<u8>,
    attempts: u32,
}

#[derive(Debug, PartialEq)]
enum Verdict {
    Acknowledged,
    Retry,
    Dropped,
}

fn verdict(profile: Profile, status: u16, response_len: usize) -> Verdict {
    match status {
        _ if response_len > LONGEST_RESPONSE => Verdict::Retry,
        200..=205 => Verdict::Acknowledged,
        408 | 429 => Verdict::Retry,
        400..=499 if profile == Profile::V5 => Verdict::Dropped,
        _ => Verdict::Retry,
    }
}

// === impl Settings ===

impl Default for Settings {
    fn default() -> Self {
        Self {
            profile: Profile::V5,
            connections: 4,
            retry_delay: Duration::from_millis(5),
            retry_limit: None,
            gzip: false,
            target: "/ingest".to_owned(),
            tag: None,
            headers: Vec::new(),
            answer_timeout: Duration::from_secs(60),
        }
    }
}

// === impl Forwarder ===

impl Forwarder {
    /// The address is looked up at each attempt.
    pub(crate) fn start(address: Address, settings: Settings) -> Self {
        let connections = settings.connections.max(1);
        let mut state = State::default();
        state.in_use.resize_with(connections, || None);
        let state = Mutex::new(state);
        let shared = Arc::new(Shared { address, settings, state, changed: Condvar::new() });
        let worker = |number| {
            let shared = Arc::clone(&shared);
            thread::spawn(move || shared.work(number))
        };
        let workers = (0..connections).map(worker).collect();
        Self { shared, workers }
    }

    /// Hands over one chunk, which becomes one request. `line` makes each line out of its id, which
    /// no other line in this test process has. Returns the ids.
    pub(crate) fn chunk(&self, lines: u64, mut line: impl FnMut(u64) -> String) -> Range<u64> {
        static NEXT_ID: AtomicU64 = AtomicU64::new(0);
        let first = NEXT_ID.fetch_add(lines, Ordering::Relaxed);
        let ids = first..first + lines;
        let text: String = ids.clone().map(|id| line(id) + "\n").collect();
        // Compressed once: a retry is the same bytes.
        let body = match self.shared.settings.gzip {
            true => gzip(text.as_bytes()),
            false => text.into_bytes(),
        };
        let mut state = lock(&self.shared.state);
        state.report.pending += 1;
        state.ready.push_back(Chunk { lines: ids.clone(), body, attempts: 0 });
        self.shared.changed.notify_one();
        ids
    }

    pub(crate) fn report(&self) -> Report {
        lock(&self.shared.state).report.clone()
    }

    /// The report once every chunk is acknowledged or dropped.
    pub(crate) fn wait_done(&self, deadline: Duration) -> Report {
        eventually("every chunk is acknowledged or dropped", deadline, || {
            let state = lock(&self.shared.state);
            (state.report.pending == 0).then(|| state.report.clone())
        })
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        let mut state = lock(&self.shared.state);
        state.stop = true;
        for stream in state.in_use.iter().flatten() {
            drop(stream.shutdown(Shutdown::Both));
        }
        drop(state);
        self.shared.changed.notify_all();
        for worker in self.workers.drain(..) {
            assert!(worker.join().is_ok() || thread::panicking(), "a forwarder's thread panicked");
        }
    }
}

// === impl Shared ===

impl Shared {
    fn work(&self, worker: usize) {
        while let Some(mut chunk) = self.next_chunk() {
            chunk.attempts += 1;
            let sent = self.attempt(worker, &chunk);
            let mut state = lock(&self.state);
            state.in_use[worker] = None;
            if state.stop {
                return;
            }
            self.settle(&mut state, chunk, sent);
        }
    }

    /// A due retry, else the oldest chunk never sent. `None` when told to stop.
    fn next_chunk(&self) -> Option<Chunk> {
        let mut state = lock(&self.state);
        loop {
            if state.stop {
                return None;
            }
            let now = Instant::now();
            if let Some(due) = state.waiting.iter().position(|(at, _)| *at <= now) {
                return Some(state.waiting.swap_remove(due).1);
            }
            if let Some(chunk) = state.ready.pop_front() {
                return Some(chunk);
            }
            let next = state.waiting.iter().map(|(at, _)| *at - now).min();
            let wait = next.unwrap_or(Duration::from_secs(1));
            state = self.changed.wait_timeout(state, wait).expect("no worker panics").0;
        }
    }

    fn attempt(&self, worker: usize, chunk: &Chunk) -> io::Result<Response> {
        let address = self.address.get();
        let mut connection = self.connection(address)?;
        {
            let mut state = lock(&self.state);
            if state.stop {
                return Err(io::ErrorKind::Interrupted.into());
            }
            state.in_use[worker] = Some(connection.stream().try_clone()?);
        }
        // Two writes, as Fluent Bit does: a receiver often sees the head alone first.
        connection.write(&self.head(chunk).head_bytes(&address.to_string()))?;
        connection.write(&chunk.body)?;
        let response = connection.read()?;
        let kept = response.header("Connection") != Some("close");
        if kept && response.raw_len <= LONGEST_RESPONSE {
            lock(&self.state).idle.push_back((address, connection));
        }
        Ok(response)
    }

    /// An open connection that still stands, else a new one.
    fn connection(&self, address: SocketAddr) -> io::Result<Connection> {
        while let Some((peer, connection)) = { lock(&self.state).idle.pop_front() } {
            if peer == address && !connection.is_spent() {
                return Ok(connection);
            }
        }
        Connection::try_open(address, self.settings.answer_timeout)
    }

    /// Headers in Fluent Bit's order; `Host` comes first by itself.
    fn head(&self, chunk: &Chunk) -> Request {
        let settings = &self.settings;
        let mut request = Request::bare("POST", &settings.target)
            .header("Content-Length", &chunk.body.len().to_string())
            .header("Content-Type", "application/x-ndjson");
        if let Some((name, tag)) = &settings.tag {
            request = request.header(name, tag);
        }
        if settings.gzip {
            request = request.header("Content-Encoding", "gzip");
        }
        request = request.header("User-Agent", "Fluent-Bit");
        for (name, value) in &settings.headers {
            request = request.header(name, value);
        }
        request.header("Connection", "keep-alive")
    }

    /// Decides what becomes of a chunk after an attempt.
    fn settle(&self, state: &mut State, chunk: Chunk, sent: io::Result<Response>) {
        let (verdict, outcome) = match sent {
            Ok(answer) => {
                let long = answer.raw_len > LONGEST_RESPONSE;
                let length = if long { " too long" } else { "" };
                let verdict = verdict(self.settings.profile, answer.status, answer.raw_len);
                (verdict, format!("{}{length}", answer.status))
            }
            Err(fault) => (Verdict::Retry, fault.kind().to_string()),
        };
        let report = &mut state.report;
        report.attempts += 1;
        *report.outcomes.entry(outcome.clone()).or_default() += 1;
        let retried = chunk.attempts > 1;
        let spent = self.settings.retry_limit.is_some_and(|limit| chunk.attempts > limit);
        match verdict {
            Verdict::Acknowledged => {
                report.acknowledged.extend(chunk.lines);
                report.acknowledged_chunks += 1;
                report.acknowledged_after_retry += usize::from(retried);
            }
            Verdict::Retry if !spent => {
                // Spread as Fluent Bit's jitter does, but the same in every run.
                let spread = xxh3_64(format!("{:?}", (&chunk.lines, chunk.attempts)).as_bytes());
                let factor = 1.0 + (spread % 1000) as f64 / 1000.0;
                let due = Instant::now() + self.settings.retry_delay.mul_f64(factor);
                state.waiting.push((due, chunk));
                self.changed.notify_one();
                return;
            }
            Verdict::Retry | Verdict::Dropped => {
                let Chunk { lines, attempts, .. } = chunk;
                report.dropped.push(Dropped { lines, attempts, why: outcome });
            }
        }
        report.pending -= 1;
    }
}

/// One record as FireLens on Fargate makes it and Fluent Bit writes it, without the final newline.
/// Docker's four keys come in an order of their own in each record. With no `date` the times inside
/// `log` are now.
pub(crate) fn firelens_line(id: u64, family: &str, cluster: &str, says: Says<'_>, date: Option<f64>) -> String {
    let now = SystemTime::UNIX_EPOCH.elapsed().expect("a clock after 1970").as_secs_f64();
    let seconds = date.unwrap_or(now);
    let id = id_text(id);
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let log = match says {
        Says::Access { status } => format!(
            "10.1.105.175 - - [{}] \"GET /api/v1/orders/{id} HTTP/1.1\" {status} 162 \
             \"-\" \"okhttp/4.12.0\" \"203.0.113.12\"",
            access_time(seconds),
        ),
        Says::App { level, message } => format!(
            "{{\"level\":{},\"ts\":{seconds:.6},\"logger\":\"orders\",\
             \"caller\":\"orders/service.go:142\",\"msg\":{},\
             \"trace_id\":\"{id}{id}\",\"span_id\":\"{id}\"}}",
            quoted(level),
            quoted(message),
        ),
        Says::Text(text) => format!("{text} request={id}"),
    };
    let task = format!("{:032x}", xxh3_128(format!("{cluster}/{family}").as_bytes()));
    let container = if matches!(says, Says::Access { .. }) { "nginx" } else { family };
    let mut keys = [
        format!("\"container_id\":\"{task}-164729728\""),
        format!("\"container_name\":{}", quoted(container)),
        "\"source\":\"stdout\"".to_owned(),
        format!("\"log\":{}", quoted(&log)),
    ];
    let turn = xxh3_64(id.as_bytes()) as usize % keys.len();
    keys.rotate_left(turn);
    let date = date.map(|date| format!("\"date\":{date:?},")).unwrap_or_default();
    let arn = format!("arn:aws:ecs:eu-west-1:123456789012:task/{cluster}/{task}");
    format!(
        "{{{date}{},\"ecs_cluster\":{},\"ecs_task_arn\":{},\"ecs_task_definition\":{}}}",
        keys.join(","),
        quoted(cluster),
        quoted(&arn),
        quoted(&format!("{family}:42")),
    )
}

/// Sixteen hex digits, as a span id. A letter before each digit keeps an id from reading `500` or
/// `404` to a watch that looks for that text.
pub(crate) fn id_text(id: u64) -> String {
    format!("{id:08}").chars().flat_map(|digit| ['d', digit]).collect()
}

/// nginx's `time_local`, in UTC.
fn access_time(seconds: f64) -> String {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let seconds = seconds as u64;
    // Days to a date with years that begin in March, so that the leap day is the last.
    let day = seconds / 86_400 + 719_468;
    let (era, in_era) = (day / 146_097, day % 146_097);
    let year = (in_era - in_era / 1_460 + in_era / 36_524 - in_era / 146_096) / 365;
    let in_year = in_era - (365 * year + year / 4 - year / 100);
    let from_march = (5 * in_year + 2) / 153;
    let date = in_year - (153 * from_march + 2) / 5 + 1;
    let month = (from_march + 2) % 12;
    let year = era * 400 + year + u64::from(month < 2);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    let month = MONTHS[month as usize];
    format!("{date:02}/{month}/{year}:{hour:02}:{minute:02}:{second:02} +0000")
}
