//! Ingest, ledger and outbox under every misfortune at once, on a clock that the test moves: a store that refuses or
//! dies over a write, kills, answers that are lost, copies that overtake each other, confirmations that come or do
//! not, destinations that fail, hang, or take a message and do not say so. Beside it runs a model that knows nothing
//! of windows, journals or leases: a chunk is counted or it is not.
//!
//! A seed is a whole run, and every run of it is the same.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Mutex;

use xxhash_rust::xxh3::xxh3_64;

use super::*;
use crate::escalation::outbox::Row;
use crate::ledger::journal::{Snapshot, Total, decode};
use crate::notify::deliver::{Message, Settled};
use crate::notify::notice::NoticeKind;
use crate::store::StoreError;

const T0: i64 = 1_790_000_000_000 / 60_000 * 60_000;
const SENDERS: u64 = 3;
const SERVICES: [&str; 3] = ["cart", "payments", "search"];
const DESTINATIONS: [&str; 2] = ["slack", "alerts"];
/// Steps of a run; then the faults stop and everything must come to its end.
const STEPS: u64 = 120;

thread_local! {
    static NOW: Cell<i64> = const { Cell::new(T0) };
}

fn clock() -> i64 {
    NOW.get()
}

/// The same numbers in every run of a seed.
struct Chance {
    seed: u64,
    drawn: u64,
}

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.drawn += 1;
        xxh3_64(&[self.seed.to_le_bytes(), self.drawn.to_le_bytes()].concat()) % bound
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// What the disk holds, and what the next write will meet.
#[derive(Default)]
struct Held {
    loaded: Loaded,
    next: Meets,
    /// Something was written since this was last asked for.
    durable: bool,
    /// Every message that was ever durably due: destination, escalation, what it says, when it was made.
    posted: BTreeSet<(String, u64, &'static str, i64)>,
    refusals: u64,
}

#[derive(Clone, Copy, Default, PartialEq)]
enum Meets {
    #[default]
    Nothing,
    /// Refused, and nothing is written.
    Refusal,
    /// Written whole, and the process dies before it hears of it.
    Death,
    /// It has: nothing is written any more.
    Dead,
}

#[derive(Clone, Default)]
struct Paper(Arc<Mutex<Held>>);

impl Paper {
    fn with<T>(&self, look: impl FnOnce(&mut Held) -> T) -> T {
        look(&mut self.0.lock().expect("no test panics with it"))
    }

    fn write(&self, change: impl FnOnce(&mut Held)) -> Result<(), StoreError> {
        self.with(|held| {
            if matches!(held.next, Meets::Nothing | Meets::Death) {
                change(held);
                held.durable = true;
            }
            match held.next {
                Meets::Nothing => return Ok(()),
                Meets::Refusal => held.refusals += 1,
                Meets::Death | Meets::Dead => held.next = Meets::Dead,
            }
            Err(StoreError::Failed { path: "paper".into(), what: "as told".into() })
        })
    }
}

fn replace<K: PartialEq + Clone>(table: &mut Vec<(K, Vec<u8>)>, rows: &[(K, Option<Vec<u8>>)]) {
    for (key, body) in rows {
        table.retain(|(held, _)| held != key);
        table.extend(body.clone().map(|body| (key.clone(), body)));
    }
}

impl Store for Paper {
    fn write(&mut self, transaction: &Transaction) -> Result<(), StoreError> {
        Paper::write(self, |held| {
            held.loaded.journal.extend(transaction.journal.clone());
            replace(&mut held.loaded.escalations, &transaction.escalations);
            replace(&mut held.loaded.outbox, &transaction.outbox);
            held.loaded.outbox.sort_by_key(|(id, _)| *id);
            for body in transaction.outbox.iter().filter_map(|(_, body)| body.as_ref()) {
                let row: Row = serde_json::from_slice(body).expect("a row");
                let notice = row.notice;
                held.posted.insert((row.destination, notice.escalation, notice.kind.as_str(), notice.at_ms));
            }
        })
    }

    fn snapshot(&mut self, body: &[u8]) -> Result<(), StoreError> {
        Paper::write(self, |held| {
            held.loaded.snapshot = Some(body.to_vec());
            held.loaded.journal.clear();
        })
    }
}

#[derive(Clone)]
struct Chunk {
    delivery: DeliveryKey,
    /// Watch, service, lines.
    groups: Vec<(usize, &'static str, u64)>,
}

/// One Fluent Bit: a chunk at a time, again until it is acknowledged.
#[derive(Default)]
struct Sender {
    chunk: Option<Chunk>,
    /// What its connection's last answer acknowledged.
    acknowledged: Option<(DeliveryKey, Chunk)>,
    /// A chunk that was acknowledged, confirmed, and confirmed durably: equal bytes are news.
    forgotten: Option<Chunk>,
    sent: u64,
}

/// An attempt that its sender has given up, and that is still on its way.
struct Straggler {
    chunk: Chunk,
    began: u64,
}

/// The naive twin: what is counted, chunk by chunk.
#[derive(Default)]
struct Twin {
    /// Digests whose chunk is counted and for which equal bytes would be a repeat.
    counted: BTreeSet<(u128, u64)>,
    lines: BTreeMap<usize, u64>,
    of: BTreeMap<(usize, &'static str), u64>,
    repeats: u64,
}

impl Twin {
    fn count(&mut self, chunk: &Chunk) {
        for (watch, service, lines) in &chunk.groups {
            *self.lines.entry(*watch).or_default() += lines;
            *self.of.entry((*watch, service)).or_default() += lines;
        }
    }
}

struct World {
    chance: Chance,
    paper: Paper,
    metrics: Metrics,
    writer: Writer,
    rules: Vec<Watch>,
    senders: Vec<Sender>,
    stragglers: Vec<Straggler>,
    twin: Twin,
    /// Confirmations told to the writer, and not yet stored: sender and chunk.
    confirming: Vec<(usize, Chunk)>,
    /// What each destination is sending now.
    sending: HashMap<&'static str, Leased>,
    arrived: Vec<(&'static str, u64, &'static str, i64, bool)>,
    faults: bool,
    kills: u64,
}

fn rule(label: &str, threshold: u64, window_seconds: u64) -> Watch {
    let json = serde_json::json!({"label": label, "match": {"field": "status", "gte": 0}, "threshold": threshold,
        "window_seconds": window_seconds, "on_crossing": "notify"});
    Watch::new(Rule::from_json(&json, "", &mut Vec::new()).expect("a sound rule"), Origin::Config)
}

fn writer(paper: &Paper, rules: &[Watch], metrics: &Metrics) -> Writer {
    let loaded = paper.with(|held| held.loaded.clone());
    let mut parts = parts(Box::new(paper.clone()), metrics.clone(), rules.to_vec());
    parts.loaded = loaded;
    parts.clock = clock;
    parts.settings.destinations = DESTINATIONS.to_vec();
    parts.settings.max_outbox_rows = 10_000;
    parts.settings.max_digests = 10_000;
    parts.settings.repeat_ms = 7_200_000;
    parts.settings.escalation.dedup_ms = 600_000;
    parts.settings.escalation.settle_ms = 2000;
    parts.snapshot_every = Duration::from_secs(3600);
    let mut writer = Writer::new(parts);
    // Snapshots come when the test says so.
    writer.snapshot_last.1 = Duration::from_secs(3600);
    writer
}

impl World {
    fn new(seed: u64, metrics: &Metrics) -> World {
        NOW.set(T0);
        let rules = vec![rule("crosses", 8, 60), rule("counts", 1_000_000, 86_400)];
        let paper = Paper::default();
        World {
            chance: Chance { seed, drawn: 0 },
            writer: writer(&paper, &rules, metrics),
            paper,
            metrics: metrics.clone(),
            rules,
            senders: (0..SENDERS).map(|_| Sender::default()).collect(),
            stragglers: Vec::new(),
            twin: Twin::default(),
            confirming: Vec::new(),
            sending: HashMap::new(),
            arrived: Vec::new(),
            faults: true,
            kills: 0,
        }
    }

    fn staged(&self, chunk: &Chunk, began: u64) -> Staged {
        let now = clock();
        let group = |(watch, service, lines): &(usize, &'static str, u64)| {
            let mut key = Vec::new();
            for value in ["prod", service] {
                key.extend_from_slice(&(value.len() as u16).to_le_bytes());
                key.extend_from_slice(value.as_bytes());
            }
            let watch = &self.rules[*watch];
            let width = Width::of_seconds(watch.rule.window_seconds);
            StagedGroup {
                watch: watch.key,
                group: key.into(),
                lane: Lane::Live,
                counts: vec![(width.bucket(now), *lines)],
                first_ms: now,
                last_ms: now,
                cluster: "prod".into(),
                service: (*service).into(),
                samples: vec![],
            }
        };
        Staged {
            delivery: Some(chunk.delivery),
            began,
            notes: vec![],
            groups: chunk.groups.iter().map(group).collect(),
        }
    }

    /// The next write, if any, meets what chance has for it.
    fn meets(&mut self) {
        let meets = match (self.faults, self.chance.below(16)) {
            (true, 0) => Meets::Refusal,
            (true, 1) => Meets::Death,
            _ => Meets::Nothing,
        };
        self.paper.with(|held| (held.next, held.durable) = (meets, false));
    }

    /// Whether the process died over the write that was just tried.
    fn died_over_it(&mut self) -> bool {
        let dead = self.paper.with(|held| std::mem::take(&mut held.next) == Meets::Dead);
        if dead {
            self.kill();
        }
        dead
    }

    fn kill(&mut self) {
        self.kills += 1;
        self.stragglers.clear();
        self.sending.clear();
        // Confirmations that were not stored are lost: their chunks stay unconfirmed.
        self.confirming.clear();
        for sender in &mut self.senders {
            sender.acknowledged = None;
        }
        self.writer = writer(&self.paper, &self.rules, &self.metrics);
        for service in SERVICES {
            self.writer.engine.shards().saw("prod", service, clock());
        }
        self.assert_counts("after a restart");
    }

    fn assert_counts(&self, when: &str) {
        let shards = self.writer.engine.shards();
        for (place, watch) in self.rules.iter().enumerate() {
            let wanted = self.twin.lines.get(&place).copied().unwrap_or(0);
            assert_eq!(shards.total(watch.key).matched, wanted, "{} {when}", watch.rule.label);
        }
        for ((watch, service), lines) in &self.twin.of {
            // The other one's windows forget.
            if *watch != 1 {
                continue;
            }
            let groups = shards.groups(clock()).remove(&self.rules[*watch].key).unwrap_or_default();
            let group = groups.iter().find(|g| crate::watch::group_values(&g.group).contains(&(*service).to_owned()));
            assert_eq!(group.map(|g| g.count), Some(*lines), "{service} {when}");
        }
    }

    fn step(&mut self) {
        match self.chance.below(20) {
            0..=8 => self.ingest(),
            9..=13 => self.deliver(),
            14 | 15 => {
                NOW.set(clock() + self.chance.below(20_000) as i64);
                for service in SERVICES {
                    if self.chance.below(4) > 0 {
                        self.writer.engine.shards().saw("prod", service, clock());
                    }
                }
            }
            16 | 17 => {
                self.meets();
                self.writer.other(Command::Tick);
                self.died_over_it();
            }
            18 => {
                self.meets();
                self.writer.dirty = true;
                self.writer.snapshot();
                self.died_over_it();
            }
            _ if self.faults && self.chance.one_in(2) => self.kill(),
            _ => {}
        }
    }

    /// What a commit that was tried has made durable; `news` are the chunks that it was to count. `false`: the process
    /// died over it.
    fn stored(&mut self, news: &[Chunk]) -> bool {
        let durable = self.paper.with(|held| held.durable);
        if durable {
            for chunk in news {
                self.twin.counted.insert((chunk.delivery.digest, chunk.delivery.sender));
                self.twin.count(chunk);
            }
            for (sender, chunk) in std::mem::take(&mut self.confirming) {
                // A copy that was counted since is unconfirmed anew.
                if news.iter().all(|counted| counted.delivery != chunk.delivery) {
                    self.twin.counted.remove(&(chunk.delivery.digest, chunk.delivery.sender));
                    self.senders[sender].forgotten = Some(chunk);
                }
            }
        }
        !self.died_over_it()
    }

    fn next_chunk(&mut self, sender: usize) -> Chunk {
        let from = &mut self.senders[sender];
        // Equal bytes that are news; not while a copy of the first is still on its way.
        if let Some(chunk) = from.forgotten.take()
            && self.chance.one_in(3)
            && !self.stragglers.iter().any(|s| s.chunk.delivery == chunk.delivery)
        {
            return chunk;
        }
        from.sent += 1;
        let digest = u128::from(from.sent);
        let groups = (0..=self.chance.below(3))
            .map(|_| {
                let service = SERVICES[self.chance.below(3) as usize];
                (self.chance.below(2) as usize, service, 1 + self.chance.below(6))
            })
            .collect();
        Chunk { delivery: DeliveryKey { digest, sender: sender as u64 }, groups }
    }

    /// One group of batches: from some senders each its chunk, perhaps in two copies, and perhaps old stragglers.
    fn ingest(&mut self) {
        let ledger = self.writer.engine.shards();
        let mut attempts: Vec<(Option<usize>, Chunk, u64)> = Vec::new();
        for sender in 0..self.senders.len() {
            if !self.chance.one_in(2) {
                continue;
            }
            let chunk = match self.senders[sender].chunk.clone() {
                Some(chunk) => chunk,
                None => self.next_chunk(sender),
            };
            self.senders[sender].chunk = Some(chunk.clone());
            // On the same connection: its last answer was heard. Closed connections confirm nothing.
            if let Some((delivery, acknowledged)) = self.senders[sender].acknowledged.take()
                && self.chance.below(4) > 0
            {
                ledger.confirm(delivery, ledger.turn());
                self.confirming.push((sender, acknowledged));
            }
            let began = ledger.turn();
            if self.faults && self.chance.one_in(6) {
                self.stragglers.push(Straggler { chunk: chunk.clone(), began });
                continue;
            }
            for _ in 0..=u64::from(self.faults && self.chance.one_in(5)) {
                attempts.push((Some(sender), chunk.clone(), began));
            }
        }
        while !self.stragglers.is_empty() && self.chance.one_in(4) {
            let at = self.chance.below(self.stragglers.len() as u64) as usize;
            let Straggler { chunk, began } = self.stragglers.remove(at);
            attempts.push((None, chunk, began));
        }
        if attempts.is_empty() {
            return;
        }
        let (mut group, mut answers) = (Vec::new(), Vec::new());
        for (_, chunk, began) in &attempts {
            let (reply, answer) = oneshot::channel();
            group.push((self.staged(chunk, *began), reply));
            answers.push(answer);
        }
        let news = self.news(&attempts);
        self.meets();
        self.writer.commit(group);
        let fresh: Vec<Chunk> = news.iter().flatten().cloned().collect();
        if !self.stored(&fresh) {
            return;
        }
        for (((sender, chunk, _), answer), new) in attempts.into_iter().zip(&mut answers).zip(news) {
            match answer.try_recv().expect("the writer answers") {
                Ok(committed) => {
                    assert_eq!(committed.repeat, new.is_none(), "{:?}", chunk.delivery);
                    self.twin.repeats += u64::from(committed.repeat);
                    // Lost answers are lost; the chunk comes again.
                    let heard = !(self.faults && self.chance.one_in(4));
                    if let Some(sender) = sender.filter(|_| heard) {
                        let from = &mut self.senders[sender];
                        if from.chunk.take().is_some() {
                            from.acknowledged = Some((chunk.delivery, chunk));
                        }
                    }
                }
                Err(Unavailable) => assert!(self.faults, "nobody refuses any more"),
            }
        }
        self.assert_counts("after a commit");
    }

    /// Which of the attempts the twin takes for news, in the order in which they are committed.
    fn news(&self, attempts: &[(Option<usize>, Chunk, u64)]) -> Vec<Option<Chunk>> {
        let mut group = BTreeSet::new();
        attempts
            .iter()
            .map(|(sender, chunk, _)| {
                let key = (chunk.delivery.digest, chunk.delivery.sender);
                let known = self.twin.counted.contains(&key);
                // A straggler is a copy of what its sender sent again since: known, or the first of the two to count.
                let outdated = sender.is_none() && self.was_counted(chunk);
                let first = group.insert(key);
                (first && !known && !outdated).then(|| chunk.clone())
            })
            .collect()
    }

    /// Its sender has gone on: that copy, or a later one, was counted.
    fn was_counted(&self, chunk: &Chunk) -> bool {
        let from = &self.senders[chunk.delivery.sender as usize];
        let waits = from.chunk.as_ref().is_some_and(|waiting| waiting.delivery == chunk.delivery);
        !waits || self.twin.counted.contains(&(chunk.delivery.digest, chunk.delivery.sender))
    }

    fn deliver(&mut self) {
        let destination = DESTINATIONS[self.chance.below(2) as usize];
        let Some(leased) = self.sending.get(destination).cloned() else {
            self.meets();
            let (reply, mut answer) = oneshot::channel();
            self.writer.other(Command::Lease(destination, reply));
            if self.died_over_it() {
                return;
            }
            if let Lease::Row(leased) = answer.try_recv().expect("the writer answers") {
                self.sending.insert(destination, *leased);
            }
            return;
        };
        let end = if self.faults { self.chance.below(10) } else { 9 };
        let at_ms = clock() + 1000;
        let retry = |in_doubt| Settled::RetryAt { at_ms, reason: "as told".into(), in_doubt };
        let (arrives, settled) = match end {
            // It hangs: nobody knows yet.
            0 => return,
            1 => (false, retry(false)),
            2 => (true, retry(true)),
            3 => (false, retry(true)),
            _ => (true, Settled::Done { thread: Some("1.1".into()) }),
        };
        if arrives {
            let Message::One(notice) = &leased.message else { panic!("no digests here: {leased:?}") };
            let told = (destination, notice.escalation, notice.kind.as_str(), notice.at_ms);
            let before = self.arrived.iter().any(|(d, e, k, at, _)| (*d, *e, *k, *at) == told);
            assert!(!before || notice.in_doubt, "told twice, and not labelled: {told:?}");
            self.arrived.push((told.0, told.1, told.2, told.3, notice.in_doubt));
            if self.faults && self.chance.one_in(12) {
                return self.kill();
            }
        }
        self.sending.remove(destination);
        self.meets();
        let (reply, _answer) = oneshot::channel();
        self.writer.other(Command::Settle(leased.row, settled, reply));
        self.died_over_it();
    }

    /// No more faults: everybody comes to an end, and nothing is left over.
    fn settle(&mut self) {
        self.faults = false;
        for _ in 0..2000 {
            self.step();
            let waiting = self.writer.engine.outbox().waiting().0;
            let pending = self.senders.iter().any(|sender| sender.chunk.is_some());
            if !pending && waiting == 0 && self.stragglers.is_empty() && self.chance.one_in(20) {
                return;
            }
            NOW.set(clock() + 500);
        }
        panic!("it does not come to its end: {} messages wait", self.writer.engine.outbox().waiting().0);
    }

    fn assert_told(&self) {
        let posted = self.paper.with(|held| held.posted.clone());
        for (destination, escalation, kind, at_ms) in &posted {
            let told =
                self.arrived.iter().any(|(d, e, k, at, _)| (d, e, k, at) == (&&**destination, escalation, kind, at_ms));
            assert!(told, "{destination} never heard {kind} of E{escalation}");
        }
        for escalation in self.writer.engine.desk().iter() {
            for destination in DESTINATIONS {
                let opened = NoticeKind::Opened.as_str();
                let told =
                    self.arrived.iter().any(|(d, e, k, ..)| (*d, *e, *k) == (destination, escalation.id, opened));
                assert!(told, "{destination} never heard of E{}", escalation.id);
            }
        }
        for (destination, escalation, kind, at_ms, _) in &self.arrived {
            let row = ((*destination).to_owned(), *escalation, *kind, *at_ms);
            assert!(posted.contains(&row), "nobody posted {row:?}");
        }
        for destination in DESTINATIONS {
            let times: Vec<i64> = self.arrived.iter().filter(|a| a.0 == destination).map(|a| a.3).collect();
            assert!(times.is_sorted(), "{destination} heard in another order than it was told: {times:?}");
        }
    }

    fn assert_small(&mut self) {
        assert!(self.writer.unsettled.is_empty());
        self.writer.dirty = true;
        self.writer.snapshot();
        let (rows, outbox) = self.paper.with(|held| (held.loaded.journal.len(), held.loaded.outbox.len()));
        assert_eq!((rows, outbox), (0, 0), "a snapshot ends the journal, and what was told is gone");
        let chunks: u64 = self.senders.iter().map(|sender| sender.sent).sum();
        assert!(self.writer.engine.unconfirmed() as u64 <= chunks);
        let body = self.paper.with(|held| held.loaded.snapshot.clone()).expect("a snapshot");
        let snapshot: Snapshot = decode(&body).expect("a snapshot");
        let totals: HashMap<_, Total> = snapshot.totals.into_iter().collect();
        for (place, watch) in self.rules.iter().enumerate() {
            let counted = totals.get(&watch.key).map_or(0, |total| total.matched);
            assert_eq!(counted, self.twin.lines.get(&place).copied().unwrap_or(0));
        }
    }
}

/// Kills, refusals, repeats and messages of a run.
fn simulate(seed: u64, metrics: &Metrics) -> [u64; 4] {
    let mut world = World::new(seed, metrics);
    for _ in 0..STEPS {
        world.step();
    }
    world.settle();
    world.kill();
    world.assert_told();
    world.assert_small();
    let refusals = world.paper.with(|held| held.refusals);
    [world.kills, refusals, world.twin.repeats, world.arrived.len() as u64]
}

#[expect(clippy::print_stdout, reason = "what the seeds met is worth reading")]
fn simulate_all(seeds: std::ops::Range<u64>) {
    let metrics = Metrics::register().expect("metrics");
    let mut sums = [0; 4];
    let runs = seeds.end - seeds.start;
    for seed in seeds {
        let run = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| simulate(seed, &metrics)));
        let run = run.unwrap_or_else(|_| panic!("seed {seed}: see above"));
        sums.iter_mut().zip(run).for_each(|(sum, more)| *sum += more);
    }
    let [kills, refusals, repeats, messages] = sums;
    println!("{runs} seeds: {kills} kills, {refusals} refusals, {repeats} repeats, {messages} messages");
    // Else they prove nothing.
    assert!(sums.iter().all(|sum| *sum > runs), "{sums:?}");
}

#[test]
fn under_every_misfortune_a_chunk_counts_once_and_an_escalation_is_told() {
    simulate_all(0..300);
}

/// Ten thousand: `just simulate`.
#[test]
#[ignore = "takes minutes unless it is built for release"]
fn under_every_misfortune_at_length() {
    simulate_all(0..10_000);
}
