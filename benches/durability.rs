//! What it costs that a count survives `kill -9`: the same lines with the store and without one, and with a disk whose
//! syncs take 3 ms and 20 ms.
//!
//! The cases of a round run one after the other and rounds repeat them. Each is measured three ways: as many bytes as
//! it takes over four connections; twenty bodies of 1 MB a second, from when each was to leave; and bursts of 44
//! connections with 2.2 MB each. Every body has lines that match, so every one is a commit. Slow syncs are injected by
//! `strace`; without it those cases are left out. A run in which the program did not count all lines fails.
//!
//! `cargo bench --bench durability -- [--rounds N] [--seconds N]`

#![allow(clippy::print_stdout, clippy::print_stderr, clippy::disallowed_methods)]
// Each bench uses its own part of what they share.
#![allow(dead_code, reason = "shared with the bench of ingest")]

#[path = "ingest/load.rs"]
mod load;
#[path = "ingest/payload.rs"]
mod payload;
#[path = "ingest/server.rs"]
mod server;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use load::{Body, Connection};
use payload::Payload;
use server::Server;

const BODY_BYTES: usize = 1_000_000;
const BURST_BODY_BYTES: usize = 2_200_000;
const BURST_WIDTH: usize = 44;
const A_SECOND: u32 = 20;
const CONNECTIONS: usize = 4;
/// Every line in twenty is a 5xx.
const WATCHES: &str = "builtin_watches = true\n[triage]\nprovider = \"off\"\n";

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Case {
    Off,
    On,
    Syncs3,
    Syncs20,
}

#[derive(Default)]
struct Figures {
    mb_per_second: Vec<f64>,
    paced: Vec<Duration>,
    bursts: Vec<Duration>,
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|a| a == server::DRAIN_ARGUMENT) {
        return server::floor(false);
    }
    let value =
        |name: &str| arguments.iter().position(|a| a == name).and_then(|at| arguments.get(at + 1)?.parse().ok());
    let (rounds, seconds) = (value("--rounds").unwrap_or(3), value("--seconds").unwrap_or(10));
    let slow = Command::new("strace").arg("-V").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    let cases = if slow { vec![Case::Off, Case::On, Case::Syncs3, Case::Syncs20] } else { vec![Case::Off, Case::On] };
    if !slow {
        eprintln!("no strace here: slow disks are left out");
    }
    let payload = Payload::nginx(24);
    let mut all: BTreeMap<Case, Figures> = BTreeMap::new();
    for round in 1..=rounds {
        for case in &cases {
            eprintln!("round {round} of {rounds}: {}", case.name());
            case.measure(&payload, seconds, all.entry(*case).or_default());
        }
    }
    print(&all);
}

impl Case {
    fn name(self) -> &'static str {
        match self {
            Case::Off => "store off",
            Case::On => "store on",
            Case::Syncs3 => "store on, syncs of 3 ms",
            Case::Syncs20 => "store on, syncs of 20 ms",
        }
    }

    fn measure(self, payload: &Payload, seconds: usize, into: &mut Figures) {
        let server = Server::start(WATCHES, self != Case::Off);
        let slowing = match self {
            Case::Off | Case::On => None,
            Case::Syncs3 => Some(slow_syncs(server.pid(), 3)),
            Case::Syncs20 => Some(slow_syncs(server.pid(), 20)),
        };
        let bodies = payload.bodies(BODY_BYTES);
        let bodies: Vec<Body<'_>> = bodies.iter().map(|bytes| Body { bytes, gzip: false }).collect();
        let large = payload.bodies(BURST_BODY_BYTES);
        let large: Vec<Body<'_>> =
            large.iter().cycle().take(BURST_WIDTH).map(|bytes| Body { bytes, gzip: false }).collect();
        // Warm: the first bodies meet a cold allocator and an empty file.
        load::send(server.address, &bodies, 1, CONNECTIONS);

        let bytes: usize = bodies.iter().map(|b| b.bytes.len()).sum();
        let passes = 3;
        let sent = load::send(server.address, &bodies, passes, CONNECTIONS);
        into.mb_per_second.push((bytes * passes) as f64 / 1e6 / sent.wall.as_secs_f64());
        let every = Duration::from_secs(1) / A_SECOND;
        into.paced.extend(paced(server.address, &bodies, every, seconds * A_SECOND as usize, BURST_WIDTH));
        into.bursts.extend(load::bursts(server.address, &large, 3));

        let lines = server.lines().expect("the program counts");
        assert!(lines["matched"] > 0 && lines["rejected"] + lines["aborted"] == 0, "{lines:?}");
        // The program goes first: what traces it ends with it.
        drop(server);
        if let Some(mut slowing) = slowing {
            slowing.wait().expect("strace ends with what it traces");
        }
    }
}

/// A body every `every`, for so many times, over `connections`; from when it was to leave until its answer, so that
/// one that waits for its turn is slow, too.
fn paced(to: SocketAddr, bodies: &[Body<'_>], every: Duration, times: usize, connections: usize) -> Vec<Duration> {
    let latencies = Mutex::new(Vec::new());
    let next = AtomicUsize::new(0);
    let mut open: Vec<Connection> = (0..connections).map(|_| Connection::open(to)).collect();
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for connection in &mut open {
            let (latencies, next) = (&latencies, &next);
            scope.spawn(move || {
                loop {
                    let place = next.fetch_add(1, Ordering::Relaxed);
                    if place >= times {
                        return;
                    }
                    let due = begun + every * place as u32;
                    std::thread::sleep(due.saturating_duration_since(Instant::now()));
                    connection.deliver(bodies[place % bodies.len()]);
                    latencies.lock().expect("no sender panicked").push(due.elapsed());
                }
            });
        }
    });
    latencies.into_inner().expect("no sender panicked")
}

/// Every sync of the process takes so much longer from now on.
fn slow_syncs(pid: u32, millis: u32) -> Child {
    let delay = format!("inject=fdatasync,fsync:delay_exit={}", millis * 1000);
    let tracing = Command::new("strace")
        .args(["-f", "-qq", "-o", "/dev/null", "-e", "trace=fdatasync,fsync", "-e", &delay, "-p", &pid.to_string()])
        .spawn()
        .expect("strace is there");
    std::thread::sleep(Duration::from_millis(500));
    tracing
}

fn print(all: &BTreeMap<Case, Figures>) {
    let ms = |latencies: &[Duration], share: f64| {
        let mut sorted = latencies.to_vec();
        sorted.sort_unstable();
        let place = (sorted.len() as f64 * share) as usize;
        sorted.get(place.min(sorted.len().saturating_sub(1))).map_or(0.0, |l| l.as_secs_f64() * 1e3)
    };
    println!("| case | MB/s, best | 20 × 1 MB/s: p50 | p99 | 44 × 2.2 MB at once: p50 | p99 |");
    println!("| --- | --- | --- | --- | --- | --- |");
    for (case, figures) in all {
        let best = figures.mb_per_second.iter().copied().fold(0.0, f64::max);
        println!(
            "| {} | {best:.0} | {:.1} ms | {:.1} ms | {:.0} ms | {:.0} ms |",
            case.name(),
            ms(&figures.paced, 0.5),
            ms(&figures.paced, 0.99),
            ms(&figures.bursts, 0.5),
            ms(&figures.bursts, 0.99),
        );
    }
}
