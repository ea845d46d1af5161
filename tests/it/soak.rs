//! The ledger under kills: the program is killed again and again while two senders never stop, one of them through a
//! network that loses what it can, and at the end every line that was acknowledged is counted exactly once.
//!
//! Each chunk is a group of its own to one watch, so that a line lost here cannot hide one doubled there; another
//! watch counts by service. The same at two lengths: a test, and `just soak` (`soaking.rs`).

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::time::{Duration, Instant, SystemTime};

use xxhash_rust::xxh3::xxh3_64;

use crate::world::disk::Disk;
use crate::world::eventually;
use crate::world::fluent_bit::{Forwarder, Settings};
use crate::world::http::{Connection, Request, get};
use crate::world::program::Program;
use crate::world::{Address, Mode, Proxy};

const SERVICES: u64 = 3;
const SIGABRT: i32 = 6;
const SIGKILL: i32 = 9;
/// For a program that dies at a failpoint, or starts: other tests keep the machine busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where it dies, and how often in a hundred. What is not here is a kill at a random moment.
const PLACES: [(&str, u64); 10] = [
    ("committed", 45),
    ("applied", 8),
    ("answering", 7),
    ("committing", 4),
    ("staged", 3),
    ("read", 3),
    ("reading", 3),
    ("heard", 4),
    ("snapshotting", 3),
    ("snapshotted", 3),
];
const AT_RANDOM: &str = "at random";

/// Whatever `PLACES` has between the sync and the answer.
const BETWEEN: [&str; 3] = ["committed", "applied", "answering"];

pub(crate) struct Plan {
    pub(crate) kills: u64,
    pub(crate) seed: u64,
    /// Called after each kill, with how many there were.
    pub(crate) progress: fn(u64, &Tally),
}

#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) seed: u64,
    pub(crate) kills: BTreeMap<&'static str, u64>,
    /// Chunks that came again and were known; those that a kill kept from the page of metrics are not among them.
    pub(crate) repeats: u64,
    pub(crate) chunks: u64,
    pub(crate) acknowledged: u64,
    pub(crate) lost: u64,
    pub(crate) doubled: u64,
    /// Chunks that were sent more than once.
    pub(crate) retried: u64,
    /// Answers that the network kept, and requests that it cut.
    pub(crate) swallowed: u64,
    pub(crate) cut: u64,
    /// From the start of the process to its first `ready`.
    pub(crate) longest_to_ready: Duration,
}

/// The same numbers in every run.
pub(crate) struct Chance {
    pub(crate) seed: u64,
    pub(crate) drawn: u64,
}

impl Chance {
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.drawn += 1;
        xxh3_64(&[self.seed.to_le_bytes(), self.drawn.to_le_bytes()].concat()) % bound
    }
}

impl Tally {
    pub(crate) fn all_kills(&self) -> u64 {
        self.kills.values().sum()
    }

    /// Kills after the sync and before the answer.
    pub(crate) fn between(&self) -> u64 {
        BETWEEN.iter().filter_map(|place| self.kills.get(place)).sum()
    }
}

impl fmt::Display for Tally {
    /// A row of the table in `docs/reliability.md`, and the kills by place.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tally { seed, repeats, chunks, acknowledged, lost, doubled, retried, swallowed, cut, .. } = self;
        let (kills, between) = (self.all_kills(), self.between());
        let ready = self.longest_to_ready.as_secs_f64();
        writeln!(
            f,
            "| seed | kills | between sync and answer | repeats seen | chunks | tried more than once | answers lost | requests cut | lines acknowledged | lost | doubled | longest to ready |"
        )?;
        writeln!(f, "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |")?;
        writeln!(
            f,
            "| {seed} | {kills} | {between} | {repeats} | {chunks} | {retried} | {swallowed} | {cut} | {acknowledged} | {lost} | {doubled} | {ready:.2} s |"
        )?;
        let places: Vec<String> = self.kills.iter().map(|(place, kills)| format!("{place} {kills}")).collect();
        write!(f, "kills by place: {}", places.join(", "))
    }
}

/// Two watches that every line matches, and that never fire: by service, and by chunk.
fn config() -> String {
    let watch = |label: &str, group: &str| {
        format!(
            "[[watch]]\nlabel = \"{label}\"\nmatch = {{ field = \"status\", gte = 500 }}\nthreshold = 1000000000000\n\
             window_seconds = 86400\ngroup_by = [{group}]\non_crossing = \"log\"\n\n"
        )
    };
    let by_service = watch("by_service", "\"cluster\", \"service\"");
    format!(
        "[store]\nsnapshot_seconds = 1\n\n[triage]\nprovider = \"off\"\n\n{by_service}{}",
        watch("by_chunk", "\"chunk\"")
    )
}

fn line(id: u64, chunk: u64, date: f64) -> String {
    let service = chunk % SERVICES;
    format!(
        "{{\"date\":{date:?},\"log\":\"{{\\\"status\\\":503,\\\"chunk\\\":\\\"c{chunk}\\\",\\\"id\\\":{id}}}\",\
         \"container_name\":\"s{service}\",\"ecs_cluster\":\"prod\",\"ecs_task_definition\":\"s{service}:1\"}}"
    )
}

/// What the metrics page says now; `None` if there is no answer, as of a program that just died.
fn scrape(control: SocketAddr) -> Option<u64> {
    let mut connection = Connection::try_open(control, Duration::from_secs(5)).ok()?;
    let page = connection.try_send(&Request::new("GET", "/metrics")).ok()?.text();
    let value = page.lines().find_map(|line| line.strip_prefix("emberwatch_batches_total{answer=\"repeat\"} "));
    Some(value.map_or(0, |value| value.parse().expect("a number")))
}

/// What a network does that is not to be trusted, connection by connection.
fn weather(seed: u64) -> impl Fn(usize) -> Mode + Send + Sync + 'static {
    move |connection| {
        let mut chance = Chance { seed: seed ^ connection as u64, drawn: 0 };
        match chance.below(8) {
            0 | 1 => Mode::SwallowAnswer { after: chance.below(4) as usize },
            2 => Mode::CutRequests { after: 1 + chance.below(8000) as usize },
            3 => Mode::EndRequests { after: 1 + chance.below(8000) as usize },
            // Longer than the sender waits: it hangs up, and what it sent may count all the same.
            4 => Mode::DelayAnswers(Duration::from_millis(800)),
            5 => Mode::DelayAnswers(Duration::from_millis(chance.below(20))),
            _ => Mode::Pass,
        }
    }
}

/// Hands over chunks and notes how many lines each has.
fn hand_over(forwarder: &Forwarder, chunks: u64, chance: &mut Chance, sent: &mut BTreeMap<u64, u64>) {
    for _ in 0..chunks {
        let lines = 1 + chance.below(40);
        let date = SystemTime::UNIX_EPOCH.elapsed().expect("a clock after 1970").as_secs_f64();
        let mut first = None;
        let ids = forwarder.chunk(lines, |id| line(id, *first.get_or_insert(id), date));
        sent.insert(ids.start, lines);
    }
}

/// Where the next life ends: the place, and at which passing.
fn next_end(chance: &mut Chance) -> (&'static str, u64) {
    let mut drawn = chance.below(100);
    for (place, weight) in PLACES {
        if drawn < weight {
            // The snapshot of the start is sure to come; any other one only with time.
            let passings = if place.starts_with("snapshot") { 1 } else { 1 + chance.below(4) };
            return (place, passings);
        }
        drawn -= weight;
    }
    (AT_RANDOM, 0)
}

/// Starts the program over what the last life left; how long it took to be ready.
fn wake(program: &mut Program) -> Duration {
    let begun = Instant::now();
    program.restart();
    let control = program.control_addr();
    // One that dies as soon as it is ready is not there to be asked.
    eventually("the program is ready, or has died", PATIENCE, || {
        let ready =
            Connection::try_open(control, PATIENCE).and_then(|mut c| c.try_send(&Request::new("GET", "/ready")));
        (ready.is_ok_and(|answer| answer.status == 200) || !program.is_running()).then_some(())
    });
    begun.elapsed()
}

pub(crate) fn run(plan: &Plan) -> Tally {
    let mut chance = Chance { seed: plan.seed, drawn: 0 };
    let mut tally = Tally { seed: plan.seed, ..Tally::default() };
    let mut program = Program::start(&config());
    let proxy = Proxy::start(program.ingest(), weather(plan.seed));
    let patience = Duration::from_millis(500);
    // One of the two senders compresses.
    let odd = !plan.seed.is_multiple_of(2);
    let plain = Forwarder::start(program.ingest(), Settings { gzip: odd, ..Settings::default() });
    let through = Settings { answer_timeout: patience, gzip: !odd, ..Settings::default() };
    let shaken = Forwarder::start(Address::new(proxy.address()), through);
    let mut sent = BTreeMap::new();
    for kill in 1..=plan.kills {
        let (place, passings) = next_end(&mut chance);
        let failpoint = format!("{place}:{passings}");
        program.set_env("EMBERWATCH_FAILPOINT", (place != AT_RANDOM).then_some(failpoint.as_str()));
        // At most four chunks of the plain sender go into one commit, so the failpoint is reached.
        hand_over(&plain, 4 * passings + 4 + chance.below(8), &mut chance, &mut sent);
        hand_over(&shaken, 1 + chance.below(6), &mut chance, &mut sent);
        tally.longest_to_ready = tally.longest_to_ready.max(wake(&mut program));
        let control = program.control_addr();
        let mut repeats = 0;
        let moment = Instant::now() + Duration::from_millis(chance.below(200));
        eventually("the end of this life", PATIENCE, || {
            repeats = scrape(control).unwrap_or(0).max(repeats);
            let over = if place == AT_RANDOM { Instant::now() >= moment } else { !program.is_running() };
            over.then_some(())
        });
        if place == AT_RANDOM {
            assert!(program.is_running(), "it runs until it is killed: {:#?}", program.stderr_lines());
            program.kill9();
        }
        let signal = program.wait_exit().signal();
        assert_eq!(signal, Some(if place == AT_RANDOM { SIGKILL } else { SIGABRT }), "kill {kill}, {failpoint}");
        *tally.kills.entry(place).or_default() += 1;
        tally.repeats += repeats;
        (plan.progress)(kill, &tally);
    }
    program.set_env("EMBERWATCH_FAILPOINT", None);
    tally.longest_to_ready = tally.longest_to_ready.max(wake(&mut program));
    for forwarder in [&plain, &shaken] {
        let report = forwarder.wait_done(PATIENCE * 5);
        assert!(report.dropped.is_empty(), "{:?}", report.dropped);
        tally.chunks += report.acknowledged_chunks as u64;
        tally.acknowledged += report.acknowledged.len() as u64;
        tally.retried += report.acknowledged_after_retry as u64;
    }
    tally.repeats += scrape(program.control_addr()).expect("it runs");
    (tally.swallowed, tally.cut) = (proxy.swallowed() as u64, proxy.cut() as u64);
    let shown = get(program.control_addr(), "/watches/by_service").json();
    assert_eq!(shown["matched_total"], tally.acknowledged, "what it shows is what it keeps: {tally:?}");
    // Dies once more, so that what is counted is what lies on the disk.
    program.kill9();
    program.wait_exit();
    compare(&Disk::of(program.home()), &sent, &mut tally);
    tally
}

/// Every chunk's lines, and every service's, against what is on the disk.
fn compare(disk: &Disk, sent: &BTreeMap<u64, u64>, tally: &mut Tally) {
    assert_eq!(sent.values().sum::<u64>(), tally.acknowledged, "everything was acknowledged in the end");
    let mut services: BTreeMap<u64, u64> = BTreeMap::new();
    for (chunk, lines) in sent {
        let counted = disk.groups.get(&vec![format!("c{chunk}")]).copied().unwrap_or(0);
        tally.lost += lines.saturating_sub(counted);
        tally.doubled += counted.saturating_sub(*lines);
        *services.entry(chunk % SERVICES).or_default() += lines;
    }
    for (service, lines) in services {
        let counted = disk.groups.get(&vec!["prod".to_owned(), format!("s{service}")]).copied();
        assert!(counted == Some(lines) || tally.lost + tally.doubled > 0, "s{service}: {lines} sent, {counted:?}");
    }
    let groups = sent.len() + usize::try_from(SERVICES).expect("a few").min(sent.len());
    assert!(disk.groups.len() <= groups, "nothing is counted that nobody sent");
}
