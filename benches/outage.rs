//! The outage: what it costs everyone when Emberwatch is away.
//!
//! A real Fluent Bit as FireLens sets it up, fed numbered records at a fixed rate, sends them to three places: two
//! that work, and Emberwatch, which runs, then is away for minutes in one of four ways, then runs again. The two
//! others must get every record once. How the profiles of `fluent-bit/` keep that promise, and what Emberwatch
//! misses, is in the table; `docs/fluent-bit.md` has one.
//!
//! `cargo bench --bench outage -- --fluent-bit PATH [--profile tee|aggregator|init] [--minutes N] [--rate-mb N]
//! [--tags N]
//! [--only refused|black-hole|hangs|503] [--in-turn] [--set KEY=VALUE]... [--program PATH]`, or
//! `--restarts [--total-mb N] [--down-seconds N]`: no minutes of absence, but five restarts.

// A report is printed; and the records must be dated now, or they would all be late.
#![allow(clippy::print_stdout, clippy::print_stderr, clippy::disallowed_methods)]

#[path = "outage/http.rs"]
mod http;
#[path = "outage/receiver.rs"]
mod receiver;
#[path = "outage/router.rs"]
mod router;
#[path = "outage/sender.rs"]
mod sender;
#[path = "outage/sink.rs"]
mod sink;

use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use receiver::{Emberwatch, Mode, StandIn};
use router::{Account, Changes, Profile, Router};
use sender::{Load, Progress};
use sink::{Faults, Sink};

/// Traffic while Emberwatch runs, before the outage and after it.
const BEFORE: Duration = Duration::from_secs(10);
const AFTER: Duration = Duration::from_secs(30);
/// Nothing moves for this long after the last record: what is missing then is lost. Longer than a retry waits with
/// the shipped `scheduler.cap`; `--still-seconds` for a profile without.
const STILL: f64 = 45.0;
/// How often that long the rest may take in all.
const DRAIN: u32 = 5;
const RESTARTS: u32 = 5;

struct Options {
    fluent_bit: PathBuf,
    program: PathBuf,
    profile: Profile,
    outage: Duration,
    load: Load,
    only: Option<String>,
    in_turn: bool,
    changes: Changes,
    restarts: bool,
    total_bytes: f64,
    down: Duration,
    still: Duration,
}

/// What became of the records of one run.
struct Outcome {
    name: &'static str,
    sent: u64,
    others: [Faults; 2],
    ours: Faults,
    account: Account,
    broken: u64,
    behind_seconds: f64,
    seconds: f64,
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let options = Options::read(&arguments);
    let version =
        Command::new(&options.fluent_bit).arg("--version").output().expect("a fluent-bit, as --fluent-bit says");
    let version = String::from_utf8_lossy(&version.stdout).lines().next().unwrap_or_default().to_owned();
    println!(
        "{version}, profile {}, {:.2} MB/s in records of {} bytes, {} tags, input limit 25 MB{}\n",
        options.profile.name(),
        options.load.bytes_per_second / 1e6,
        sender::stored_bytes(),
        options.load.tags,
        options.changes.iter().map(|(key, value)| format!(", {key} {value}")).collect::<String>(),
    );
    let outcomes = if options.restarts {
        vec![restarts(&options)]
    } else {
        let modes = Mode::ALL.into_iter().filter(|mode| options.only.as_ref().is_none_or(|only| only == mode.name()));
        if options.in_turn {
            modes.map(|mode| outage(mode, &options)).collect()
        } else {
            std::thread::scope(|scope| {
                let options = &options;
                let running: Vec<_> = modes.map(|mode| scope.spawn(move || outage(mode, options))).collect();
                running.into_iter().map(|run| run.join().expect("a run that came to its end")).collect()
            })
        }
    };
    print(&outcomes);
}

impl Options {
    fn read(arguments: &[String]) -> Options {
        let after = |name: &str, nth: usize| {
            let mut places = arguments.iter().enumerate().filter(|(_, a)| *a == name);
            places.nth(nth).and_then(|(at, _)| arguments.get(at + 1))
        };
        let value = |name: &str| after(name, 0);
        let number = |name: &str, default: f64| value(name).and_then(|text| text.parse().ok()).unwrap_or(default);
        let flag = |name: &str| arguments.iter().any(|a| a == name);
        let changes = (0..).map_while(|nth| after("--set", nth)?.split_once('='));
        Options {
            fluent_bit: value("--fluent-bit").map_or_else(|| "fluent-bit".into(), PathBuf::from),
            program: value("--program").map_or_else(|| env!("CARGO_BIN_EXE_emberwatch").into(), PathBuf::from),
            profile: match value("--profile").map(String::as_str) {
                Some("aggregator") => Profile::Aggregator,
                Some("init") => Profile::Init,
                _ => Profile::Tee,
            },
            outage: Duration::from_secs_f64(60.0 * number("--minutes", 10.0)),
            load: Load {
                bytes_per_second: 1e6 * number("--rate-mb", 1.0),
                tags: number("--tags", 1.0).max(1.0) as u64,
            },
            only: value("--only").cloned(),
            in_turn: flag("--in-turn"),
            changes: changes.map(|(key, value)| (key.to_owned(), value.to_owned())).collect(),
            restarts: flag("--restarts"),
            total_bytes: 1e6 * number("--total-mb", 200.0),
            down: Duration::from_secs_f64(number("--down-seconds", 3.0)),
            still: Duration::from_secs_f64(number("--still-seconds", STILL)),
        }
    }
}

/// Emberwatch runs, is away as `mode` says, and runs again.
fn outage(mode: Mode, options: &Options) -> Outcome {
    run(mode.name(), BEFORE + options.outage + AFTER, options, |emberwatch| {
        std::thread::sleep(BEFORE);
        emberwatch.stop(true);
        let away = StandIn::start(mode, emberwatch.address);
        std::thread::sleep(options.outage);
        drop(away);
        emberwatch.start();
    })
}

/// Emberwatch is stopped and started at even intervals, by `kill -9` and SIGTERM in turns.
fn restarts(options: &Options) -> Outcome {
    let time = Duration::from_secs_f64(options.total_bytes / options.load.bytes_per_second);
    let begun = Instant::now();
    run("restarts", time, options, |emberwatch| {
        for number in 1..=RESTARTS {
            std::thread::sleep((time * number / (RESTARTS + 1)).saturating_sub(begun.elapsed()));
            emberwatch.stop(number % 2 == 1);
            std::thread::sleep(options.down);
            emberwatch.start();
        }
    })
}

/// Sends for `time` while `happens` goes on, and waits until all has arrived that will.
fn run(name: &'static str, time: Duration, options: &Options, happens: impl FnOnce(&mut Emberwatch)) -> Outcome {
    let begun = Instant::now();
    let mut emberwatch = Emberwatch::new(&options.program);
    emberwatch.start();
    let others = [Sink::start(), Sink::start()];
    let destinations = [&others[0], &others[1]];
    let router =
        Router::start(&options.fluent_bit, options.profile, emberwatch.address, destinations, &options.changes);
    let progress = Progress::default();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            sender::send(&router.socket, options.load, time, begun + time + options.still * DRAIN, &progress)
        });
        scope.spawn(|| watch(name, begun, &others, &router, &progress));
        happens(&mut emberwatch);
    });
    let sent = progress.sent.load(Ordering::Relaxed);
    wait_still(sent, &others, &emberwatch, options.still);
    let outcome = Outcome {
        name,
        sent,
        others: [others[0].faults(sent), others[1].faults(sent)],
        ours: emberwatch.faults(sent),
        account: router.account(),
        broken: progress.broken.load(Ordering::Relaxed),
        behind_seconds: progress.behind_max.load(Ordering::Relaxed) as f64 * sender::stored_bytes() as f64
            / options.load.bytes_per_second,
        seconds: begun.elapsed().as_secs_f64(),
    };
    if outcome.others.iter().any(|faults| faults.lost > 0) {
        eprintln!("{name}: the others lost records; the last that Fluent Bit said:\n{}", router.said());
    }
    outcome
}

/// A line each ten seconds while records are sent.
fn watch(name: &str, begun: Instant, others: &[Sink; 2], router: &Router, progress: &Progress) {
    let mut told = Instant::now();
    while !progress.ended.load(Ordering::Relaxed) {
        std::thread::sleep(http::TICK);
        if told.elapsed() < Duration::from_secs(10) {
            continue;
        }
        told = Instant::now();
        let sent = progress.sent.load(Ordering::Relaxed);
        let account = router.account();
        eprintln!(
            "{:4.0} s {name:10} sent {sent}, others lack {} and {}, dropped for us {}, pauses {}, router {} MB",
            begun.elapsed().as_secs_f64(),
            others[0].faults(sent).lost,
            others[1].faults(sent).lost,
            account.dropped,
            account.pauses,
            account.memory(),
        );
    }
}

/// Until everyone has all, or nothing has moved for a while.
fn wait_still(sent: u64, others: &[Sink; 2], emberwatch: &Emberwatch, still: Duration) {
    let begun = Instant::now();
    let mut moved = Instant::now();
    let mut before = None;
    while begun.elapsed() < still * DRAIN && moved.elapsed() < still {
        let now = (others[0].faults(sent), others[1].faults(sent), emberwatch.counted());
        if now.0.lost == 0 && now.1.lost == 0 && now.2 >= sent {
            return;
        }
        if before != Some(now) {
            before = Some(now);
            moved = Instant::now();
        }
        std::thread::sleep(http::TICK);
    }
}

fn print(outcomes: &[Outcome]) {
    println!(
        "| Emberwatch | sent | others lost | others doubled | we miss | we doubled | Fluent Bit: dropped | retries | \
         given up | input pauses | sender behind | peak RSS |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    for outcome in outcomes {
        let Outcome { name, sent, others: [one, two], ours, account, .. } = outcome;
        println!(
            "| {name} | {sent} | {} / {} | {} / {} | {} | {} | {} | {} | {} | {} ({} connections) | {:.1} s | {} MB |",
            one.lost,
            two.lost,
            one.doubled,
            two.doubled,
            ours.lost,
            ours.doubled,
            account.dropped,
            account.retries,
            account.retries_failed,
            account.pauses,
            outcome.broken,
            outcome.behind_seconds,
            account.memory(),
        );
    }
    let longest = outcomes.iter().map(|outcome| outcome.seconds).fold(0.0, f64::max);
    println!("\nThe longest run took {longest:.0} s.");
}
