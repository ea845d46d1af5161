//! What a byte and a line cost the receiver, from socket to durable count.
//!
//! Starts the built program as its users do, sends it the two payloads of `benches/README.md` over loopback
//! and reads from `/proc` what it spent. Every case is a process of its own; the cases of a round run one
//! after the other and rounds repeat them, so that a noisy minute hits all cases alike. The run fails when
//! the program did not count exactly what was sent: a fast wrong answer is no result.
//!
//! `cargo bench --bench ingest -- [--quick] [--rounds N] [--passes N] [--bursts N] [--services N]
//! [--only A|B] [--case drain|scan|builtin|never|gzip|other] [--perf DIR]
//! [--against IP:PORT --pid PID [--path PATH] [--content-type TYPE]]`

// A report is printed; and the records must be dated now, or they would all be late.
#![allow(clippy::print_stdout, clippy::print_stderr, clippy::disallowed_methods)]

#[path = "ingest/load.rs"]
mod load;
#[path = "ingest/payload.rs"]
mod payload;
#[path = "ingest/server.rs"]
mod server;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use load::{Body, Sent};
use payload::Payload;
use server::{DRAIN_ARGUMENT, SCAN_ARGUMENT, Server};

/// Bytes of one body, at most: what a busy Fluent Bit sends at a flush.
const BODY_BYTES: usize = 1_000_000;
const CONNECTIONS: usize = 4;
/// The burst: as many chunks of the largest usual size as were once seen to arrive in one flush tick.
const BURST_WIDTH: usize = 44;
const BURST_BODY_BYTES: usize = 2_200_000;
/// For what another program does after its last answer.
const SETTLE: Duration = Duration::from_millis(500);
/// Records are dated once, at the start; after this long they would near the late lane (900 s).
const LONGEST_RUN: Duration = Duration::from_secs(800);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Case {
    /// Frames read and dropped: hyper and the kernel, the floor under everything else.
    Drain,
    /// Lines told apart and searched for four texts that none holds: what looking at all costs.
    Scan,
    /// The three built-in watches; one line in ten (A) or twenty (B) matches: commits and syncs included.
    Builtin,
    /// One watch whose text no message holds: the cost of reading lines, without any effect.
    Never,
    /// As `Builtin`, from gzip bodies. Figures are per decoded byte.
    Gzip,
    /// Another program that runs already (`--against`), alone: see docs/compare.md.
    Other,
}

/// One run of one case over one payload.
struct Run {
    cpu_per_gb: f64,
    us_per_line: f64,
    wall_mb: f64,
    rss_mb: f64,
}

/// One series of bursts.
struct Burst {
    p50_ms: f64,
    p99_ms: f64,
    rss_mb: f64,
}

#[derive(Default)]
struct Results {
    runs: Vec<Run>,
    bursts: Vec<Burst>,
}

struct Options {
    rounds: usize,
    /// How often a run sends the whole payload.
    passes: usize,
    bursts: usize,
    /// How many services a payload mixes.
    services: u64,
    only: Option<String>,
    case: Option<String>,
    /// Another program, in place of all else.
    against: Option<(SocketAddr, u32)>,
    /// Where to record a profile of each run, for `perf report`.
    perf: Option<PathBuf>,
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|a| a == DRAIN_ARGUMENT) {
        return server::floor(false);
    }
    if arguments.iter().any(|a| a == SCAN_ARGUMENT) {
        return server::floor(true);
    }
    let options = Options::read(&arguments);
    let begun = Instant::now();
    let payloads: Vec<Payload> = [Payload::firelens(options.services), Payload::nginx(options.services)]
        .into_iter()
        .filter(|payload| options.only.as_ref().is_none_or(|only| payload.name.starts_with(only.as_str())))
        .collect();
    for payload in &payloads {
        eprintln!("{}", payload.about());
    }

    let mut results: BTreeMap<(&str, Case), Results> = BTreeMap::new();
    // Compressed once: that takes longer than all runs of a round.
    let zipped: Vec<Vec<Vec<u8>>> = payloads
        .iter()
        .map(|payload| if options.wants(Case::Gzip) { load::zipped(&payload.bodies(BODY_BYTES)) } else { Vec::new() })
        .collect();
    for round in 0..options.rounds {
        for (payload, zipped) in payloads.iter().zip(&zipped) {
            for case in Case::ALL.into_iter().filter(|case| options.wants(*case)) {
                let held = results.entry((payload.name, case)).or_default();
                let run = run(case, payload, zipped, &options);
                eprintln!(
                    "round {} {} {}: {:.3} CPU-s/GB, {:.0} MB/s wall",
                    round + 1,
                    payload.name,
                    case.name(),
                    run.cpu_per_gb,
                    run.wall_mb
                );
                held.runs.push(run);
                if matches!(case, Case::Drain | Case::Builtin | Case::Other) && options.bursts > 0 {
                    held.bursts.push(burst(case, payload, &options));
                }
            }
        }
    }
    assert!(begun.elapsed() < LONGEST_RUN, "the run took so long that its records became late: use fewer --rounds");
    print(&results);
}

impl Options {
    fn read(arguments: &[String]) -> Options {
        let value = |name: &str| arguments.iter().position(|a| a == name).and_then(|at| arguments.get(at + 1));
        let number = |name: &str| value(name).and_then(|text| text.parse::<usize>().ok());
        let quick = arguments.iter().any(|a| a == "--quick");
        let perf = value("--perf").map(PathBuf::from);
        let against = value("--against").map(|address| {
            let pid = number("--pid").expect("--against wants the --pid of who listens there");
            let text = |name: &str, usual: &str| value(name).cloned().unwrap_or_else(|| usual.to_owned());
            load::speak(load::Dialect {
                path: text("--path", "/"),
                content_type: text("--content-type", "application/json"),
            });
            (address.parse().expect("--against IP:PORT"), u32::try_from(pid).expect("a process's number"))
        });
        Options {
            rounds: number("--rounds").unwrap_or(if quick { 1 } else { 5 }),
            passes: number("--passes").unwrap_or(if quick { 2 } else { 5 }),
            bursts: number("--bursts").unwrap_or(if quick { 2 } else { 5 }),
            services: number("--services").map_or(24, |services| services as u64),
            only: value("--only").cloned(),
            case: value("--case").cloned(),
            against,
            perf,
        }
    }

    fn wants(&self, case: Case) -> bool {
        // What speaks another dialect is measured alone.
        self.against.is_some() == (case == Case::Other) && self.case.as_ref().is_none_or(|name| name == case.name())
    }
}

impl Case {
    const ALL: [Case; 6] = [Case::Drain, Case::Scan, Case::Builtin, Case::Never, Case::Gzip, Case::Other];

    fn name(self) -> &'static str {
        match self {
            Case::Drain => "drain",
            Case::Scan => "scan",
            Case::Other => "other",
            Case::Builtin => "builtin",
            Case::Never => "never",
            Case::Gzip => "gzip",
        }
    }

    fn about(self) -> &'static str {
        match self {
            Case::Drain => "drain only (floor)",
            Case::Scan => "lines searched for four texts",
            Case::Other => "another program",
            Case::Builtin => "three built-in watches",
            Case::Never => "one watch that never matches",
            Case::Gzip => "three built-in watches, gzip",
        }
    }

    fn start(self, options: &Options) -> Server {
        match self {
            Case::Drain => Server::drain(),
            Case::Scan => Server::scan(),
            Case::Other => options.against.map(|(address, pid)| Server::other(address, pid)).expect("--against"),
            Case::Builtin | Case::Gzip => Server::emberwatch(""),
            Case::Never => Server::emberwatch(
                "[[watch]]\nlabel = \"never\"\nthreshold = 1\nwindow_seconds = 60\n\
                 match = { contains = \"no line of this payload says so\" }\n",
            ),
        }
    }

    fn matched(self, payload: &Payload) -> u64 {
        match self {
            Case::Drain | Case::Scan | Case::Never | Case::Other => 0,
            Case::Builtin | Case::Gzip => payload.matching,
        }
    }
}

fn run(case: Case, payload: &Payload, zipped: &[Vec<u8>], options: &Options) -> Run {
    let plain = payload.bodies(BODY_BYTES);
    let bodies: Vec<Body<'_>> = match case {
        Case::Gzip => zipped.iter().map(|body| Body { bytes: body, gzip: true }).collect(),
        _ => plain.iter().map(|body| Body { bytes: body, gzip: false }).collect(),
    };
    let server = case.start(options);
    let profile = options.perf.as_ref().map(|dir| server.profile(dir, &format!("{}-{}", payload.name, case.name())));

    let before = server.cpu_seconds();
    let sent: Sent = load::send(server.address, &bodies, options.passes, CONNECTIONS);
    // What another program has put off is its cost, too.
    std::thread::sleep(if case == Case::Other { SETTLE } else { Duration::ZERO });
    let cpu = server.cpu_seconds() - before;

    let passes = options.passes as u64;
    check(&server, case, payload, passes);
    let (bytes, lines) = ((payload.bytes.len() as u64 * passes) as f64, (payload.lines * passes) as f64);
    let rss_mb = server.peak_rss_mb();
    drop(server);
    if let Some(profile) = profile {
        server::finish(profile);
    }
    Run {
        cpu_per_gb: cpu / (bytes / 1e9),
        us_per_line: cpu / lines * 1e6,
        wall_mb: bytes / 1e6 / sent.wall.as_secs_f64(),
        rss_mb,
    }
}

fn burst(case: Case, payload: &Payload, options: &Options) -> Burst {
    let plain = payload.bodies(BURST_BODY_BYTES);
    let bodies: Vec<Body<'_>> = plain.iter().take(BURST_WIDTH).map(|b| Body { bytes: b, gzip: false }).collect();
    assert_eq!(bodies.len(), BURST_WIDTH, "the payload holds one burst");
    let server = case.start(options);
    let mut latencies = load::bursts(server.address, &bodies, options.bursts);
    latencies.sort_unstable();
    let at = |share: f64| {
        let place = (latencies.len() as f64 * share).ceil() as usize;
        latencies.get(place.saturating_sub(1)).map_or(0.0, |latency| latency.as_secs_f64() * 1e3)
    };
    Burst { p50_ms: at(0.50), p99_ms: at(0.99), rss_mb: server.peak_rss_mb() }
}

/// Every line sent has been counted, once, and as what it is.
fn check(server: &Server, case: Case, payload: &Payload, passes: u64) {
    let Some(counted) = server.lines() else { return };
    let matched = case.matched(payload) * passes;
    let mut wanted: BTreeMap<String, u64> =
        ["blank", "joined", "own", "rejected", "repeat", "aborted"].map(|outcome| (outcome.to_owned(), 0)).into();
    wanted.insert("matched".to_owned(), matched);
    wanted.insert("unmatched".to_owned(), payload.lines * passes - matched);
    assert_eq!(counted, wanted, "{} {}: what was counted, and what was sent", payload.name, case.name());
}

fn print(results: &BTreeMap<(&str, Case), Results>) {
    println!("\n| payload | case | CPU-s/GB | µs/line | MB/s/core | wall MB/s | peak RSS MB |");
    println!("| --- | --- | --- | --- | --- | --- | --- |");
    for ((payload, case), held) in results {
        let column = |value: &dyn Fn(&Run) -> f64| sorted(held.runs.iter().map(value));
        let (cpu, line) = (column(&|r| r.cpu_per_gb), column(&|r| r.us_per_line));
        let (wall, rss) = (column(&|r| r.wall_mb), column(&|r| r.rss_mb));
        println!(
            "| {payload} | {} | **{:.3}** / {:.3} | {:.2} / {:.2} | {:.0} / {:.0} | {:.0} / {:.0} | {:.0} |",
            case.about(),
            least(&cpu),
            median(&cpu),
            least(&line),
            median(&line),
            1000.0 / least(&cpu),
            1000.0 / median(&cpu),
            most(&wall),
            median(&wall),
            most(&rss),
        );
    }
    println!("\nBest / median of the rounds; RSS is the highest seen.");
    if results.values().all(|held| held.bursts.is_empty()) {
        return;
    }
    println!("\n| payload | bursts of {BURST_WIDTH} x 2.2 MB | p50 ms | p99 ms | peak RSS MB |");
    println!("| --- | --- | --- | --- | --- |");
    for ((payload, case), held) in results.iter().filter(|(_, held)| !held.bursts.is_empty()) {
        let column = |value: &dyn Fn(&Burst) -> f64| sorted(held.bursts.iter().map(value));
        let (p50, p99, rss) = (column(&|b| b.p50_ms), column(&|b| b.p99_ms), column(&|b| b.rss_mb));
        println!(
            "| {payload} | {} | {:.0} / {:.0} | {:.0} / {:.0} | {:.0} |",
            case.about(),
            least(&p50),
            median(&p50),
            least(&p99),
            median(&p99),
            most(&rss),
        );
    }
}

fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values
}

fn least(sorted: &[f64]) -> f64 {
    sorted.first().copied().unwrap_or(f64::NAN)
}

fn most(sorted: &[f64]) -> f64 {
    sorted.last().copied().unwrap_or(f64::NAN)
}

fn median(sorted: &[f64]) -> f64 {
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}
