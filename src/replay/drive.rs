//! The receiver on record time: the same batches, ledger and triage, and a clock that the lines move.
//!
//! Each file is a sender that flushes every second, as a Fluent Bit does: what it brought within a second of the clock
//! is one batch, counted when that second is over. Between two lines time passes in ticks, so that what is over is
//! resolved, what settles is told, and what goes on is told again, all at its own time. There is one thread and no
//! waiting: the same lines have the same end.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use crate::app;
use crate::config::{Config, Provider};
use crate::escalation::{self, Escalation, pace::Pace};
use crate::ingest::lines::Line;
use crate::ingest::quarantine::{Bounds, From, Quarantine, Shown};
use crate::ingest::stage::{Batch, Finished, Tally};
use crate::ingest::{self};
use crate::investigate::around;
use crate::ledger::engine;
use crate::ledger::window::Width;
use crate::ledger::writer::{self, Parts};
use crate::ledger::{Lane, Ledger, WindowKey};
use crate::metrics::Metrics;
use crate::moment::Passing;
use crate::notify::deliver::{Message, Settled};
use crate::notify::notice::{Dossiers, Notice, NoticeKind};
use crate::redact::Redacted;
use crate::store::Loaded;
use crate::store::nothing::Nothing;
use crate::triage::model::{Patience, Target};
use crate::triage::novel::Intake;
use crate::triage::prompt::Limits;
use crate::triage::view::View;
use crate::triage::worker::by_hand::ByHand;
use crate::triage::{self, kinds, worker};
use crate::watch::{Watch, WatchKey, group_values};

/// What a Fluent Bit waits before it sends what it has. Milliseconds.
const FLUSH_MS: i64 = 1_000;
/// And how much it sends at once, about.
const BATCH_BYTES: usize = 2 * 1024 * 1024;
/// How often time is let pass, and triage is: milliseconds of record time.
const TICK_MS: i64 = 1_000;
const TRIAGE_TICK_MS: i64 = 5_000;
/// In a pause of the lines ticks become rare: so many milliseconds into it, one in so many. Further on nothing can turn.
const RARE: [(i64, i64); 3] = [(120_000, TICK_MS), (7_200_000, 10_000), (100_800_000, 60_000)];
/// After the last line time goes on for as long as first messages settle and triage gathers, and so much longer.
const AFTER_MS: i64 = 2_000;
/// Windows are looked after once a minute.
const SWEEP: Duration = Duration::from_secs(60);
/// While the clock stands triage has time after so many batches.
const CLOSES_MAX: u32 = 64;
/// A line that is further back than this adds to no earlier window of a watch that is shorter. Milliseconds.
const LATENESS_MS: i64 = 3_600_000;
/// Messages kept to be shown; of more only the number is.
pub const SAID_MAX: usize = 2_000;
/// Mixed into hashes and pseudonyms. Not secret: nothing of a replay leaves it.
pub const SEED: u64 = 0x7265_706c_6179;
/// Services whose files are known, and moments and escalations of lines without a time.
const SENDERS_MAX: usize = 20_000;
const SLACK: &str = "slack";

thread_local!(static NOW_MS: Cell<i64> = const { Cell::new(0) });

/// The clock: of this thread, in unix milliseconds.
fn now_ms() -> i64 {
    NOW_MS.get()
}

/// What would have been sent.
pub struct Said {
    pub at_ms: i64,
    pub message: Message,
}

/// What would be told if lines without a time had all come at once.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Unbelieved {
    pub label: String,
    pub service: Redacted,
    pub count: u64,
    pub threshold: u64,
    pub window_seconds: u64,
}

/// The most that one watch counted within its window.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Most {
    pub count: u64,
    pub at_ms: i64,
    pub group: Vec<String>,
    pub crossed: u64,
}

/// All there is to tell at the end.
pub struct Ended {
    pub tally: Tally,
    pub said: Vec<Said>,
    /// Messages beyond [`SAID_MAX`].
    pub unshown: u64,
    /// Oldest first.
    pub escalations: Vec<Escalation>,
    pub most: HashMap<WatchKey, Most>,
    /// With how many lines each has matched.
    pub watches: Vec<(Watch, u64)>,
    pub rejected: Shown,
    pub kinds: Vec<Kind>,
    /// Verdicts of triage, by outcome.
    pub decided: BTreeMap<&'static str, u64>,
    pub unbelieved: Vec<Unbelieved>,
}

/// One kind of line.
pub struct Kind {
    pub template: String,
    pub service: String,
    pub level: crate::record::level::Level,
    pub shape: triage::Shape,
    pub count: u64,
    pub first_ms: i64,
    pub last_ms: i64,
    pub judged: Option<triage::What>,
}

struct Open {
    batch: Batch,
    bytes: usize,
    serial: u64,
    /// Lines whose file told their time, and others.
    told: u64,
    untold: u64,
}

pub struct Drive {
    settings: ingest::Settings,
    ledger: Ledger,
    triage: Option<ByHand>,
    view: Arc<View>,
    quarantine: Quarantine,
    open: HashMap<usize, Open>,
    /// When batches are complete, as they were opened.
    due: VecDeque<(i64, usize, u64)>,
    serial: u64,
    /// Files that a service's lines came from, as long as they go on.
    senders: HashMap<String, BTreeSet<usize>>,
    /// Seconds at which lines stand that told no time, in files that tell none.
    timeless: BTreeSet<i64>,
    /// Of each service, lines of batches that told their times, and of others.
    told: HashMap<String, (u64, u64)>,
    /// Batches counted since the last tick.
    closes: u32,
    /// Escalations that such lines alone made.
    unbelieved: BTreeMap<u64, Unbelieved>,
    next_tick_ms: i64,
    next_triage_ms: i64,
    last_line_ms: i64,
    after_ms: i64,
    is_over: bool,
    tally: Tally,
    said: Vec<Said>,
    unshown: u64,
    most: HashMap<WatchKey, Most>,
}

impl Drive {
    /// Within a runtime of one thread. `first_ms`: the time of the first line.
    pub fn new(config: &Config, base: Vec<Watch>, first_ms: i64) -> Result<Drive, String> {
        NOW_MS.set(first_ms);
        let metrics = Metrics::register().map_err(|error| error.to_string())?;
        let naming = Arc::new(config.record.clone());
        let passing = Passing::Recorded(now_ms);
        let (intake, inbox) = Intake::new(64);
        intake.set_seed(SEED);
        let parts = Parts {
            settings: engine::Settings {
                lateness_ms: app::seconds_ms(config.time.lateness_seconds).max(LATENESS_MS),
                max_windows: config.store.max_windows,
                repeat_ms: 0,
                max_digests: 1,
                max_outbox_rows: config.store.max_outbox_rows,
                pace: Pace {
                    live: vec![SLACK],
                    coalesce_after: config.notify.coalesce_after,
                    per_day: config.notify.messages_per_day,
                },
                escalation: escalation::Settings {
                    dedup_ms: app::seconds_ms(config.escalation.dedup_seconds),
                    settle_ms: app::seconds_ms(config.escalation.settle_seconds),
                    repeat_ms: app::seconds_ms(config.escalation.repeat_seconds),
                    proposed_per_hour: config.triage.messages_per_hour,
                    max_wanted: config.investigation.queue,
                },
                destinations: vec![SLACK],
                dossiers: Dossiers::default(),
                naming: naming.clone(),
            },
            base,
            store: Box::new(Nothing),
            loaded: Loaded { seed: SEED, ..Loaded::default() },
            metrics: metrics.clone(),
            clock: now_ms,
            queue: 16,
            snapshot_every: SWEEP,
            passing,
        };
        let (ledger, writing) = writer::start_here(parts);
        tokio::spawn(writing);
        let view = Arc::new(View::default());
        let triages = config.triage.provider != Provider::Off;
        let by_hand = if triages {
            let (_, stopped) = tokio::sync::watch::channel(false);
            let no_model = triage::model::Provider::new(Target::None, Patience::default(), reqwest::Client::builder)?;
            Some(ByHand::new(worker::Parts {
                settings: worker::Settings {
                    batch_lines: config.triage.batch_lines,
                    batch_wait_ms: app::seconds_ms(config.triage.batch_seconds),
                    bounds: kinds::Bounds {
                        max_kinds: config.triage.max_kinds,
                        max_waiting: config.triage.queue_batches.saturating_mul(config.triage.batch_lines),
                    },
                    patience_ms: app::seconds_ms(config.triage.patience_seconds),
                    ignore_ms: app::seconds_ms(config.triage.ignore_seconds),
                    lateness_ms: app::seconds_ms(config.time.lateness_seconds),
                    naming: naming.clone(),
                    // Only a model proposes from a sample.
                    seed: false,
                    tune_every: Duration::from_secs(config.triage.tune_minutes.saturating_mul(60)),
                },
                ledger: ledger.clone(),
                intake: intake.clone(),
                inbox,
                provider: Arc::new(no_model),
                limits: Limits::default(),
                seed: SEED,
                notes: Vec::new(),
                metrics,
                view: view.clone(),
                stopped,
                clock: now_ms,
                passing,
            }))
        } else {
            None
        };
        let bounds =
            Bounds { max_samples: config.quarantine.max_samples.max(20), max_bytes: config.quarantine.max_bytes };
        let quarantine = Quarantine::new(bounds);
        quarantine.set_seed(SEED);
        let settled =
            app::seconds_ms(config.escalation.settle_seconds).max(app::seconds_ms(config.triage.batch_seconds));
        Ok(Drive {
            settings: settings(config, triages.then_some(intake), bounds),
            ledger,
            triage: by_hand,
            view,
            quarantine,
            open: HashMap::new(),
            due: VecDeque::new(),
            serial: 0,
            senders: HashMap::new(),
            timeless: BTreeSet::new(),
            told: HashMap::new(),
            closes: 0,
            unbelieved: BTreeMap::new(),
            next_tick_ms: first_ms.saturating_add(TICK_MS),
            next_triage_ms: first_ms.saturating_add(TRIAGE_TICK_MS),
            last_line_ms: first_ms,
            after_ms: settled.saturating_add(AFTER_MS),
            is_over: false,
            tally: Tally::default(),
            said: Vec::new(),
            unshown: 0,
            most: HashMap::new(),
        })
    }

    /// Whether anything happens before a line of this time.
    pub fn is_due(&self, to_ms: i64) -> bool {
        to_ms > now_ms()
    }

    /// A line of this time is next: what is due until then happens.
    pub async fn advance(&mut self, to_ms: i64) {
        loop {
            let due = self.due.front().copied().filter(|(at_ms, ..)| *at_ms <= to_ms);
            self.pass_time(due.map_or(to_ms, |(at_ms, ..)| at_ms)).await;
            let Some((_, file, serial)) = due else { break };
            self.due.pop_front();
            if self.open.get(&file).is_some_and(|open| open.serial == serial) {
                self.close(file).await;
            }
        }
    }

    /// Takes a line, of the time that was advanced to or an earlier one; `is_timeless`: nobody told it. `true`: its
    /// batch is full.
    pub fn take(&mut self, file: usize, tag: &[u8], line: Line<'_>, time_ms: i64, is_timeless: bool) -> bool {
        if is_timeless && self.timeless.len() < SENDERS_MAX {
            self.timeless.insert(time_ms.div_euclid(1000));
        }
        let open = self.open.entry(file).or_insert_with(|| {
            self.serial += 1;
            self.due.push_back((now_ms().saturating_add(FLUSH_MS), file, self.serial));
            let from = From {
                sender: file as u64,
                address: IpAddr::V4(Ipv4Addr::LOCALHOST),
                token: String::new(),
                tag: Some(tag.to_vec()),
            };
            let batch = Batch::new(self.ledger.watches(), &self.settings, from, time_ms);
            Open { batch, bytes: 0, serial: self.serial, told: 0, untold: 0 }
        });
        *(if is_timeless { &mut open.untold } else { &mut open.told }) += 1;
        open.batch.came_at(time_ms);
        open.batch.line(line);
        open.bytes += line.bytes.len() + 1;
        self.last_line_ms = now_ms();
        open.bytes >= BATCH_BYTES
    }

    /// Counts what a file has brought: its batch is full, or it has ended.
    pub async fn close(&mut self, file: usize) {
        let Some(Open { batch, told, untold, .. }) = self.open.remove(&file) else { return };
        let Finished { staged, tally, services, rejects, novelties, .. } = batch.finish(None, self.ledger.turn());
        let live = staged.groups.iter().filter(|group| group.lane == Lane::Live);
        let counted: Vec<_> = live.map(|group| (group.watch, group.group.clone(), group.last_ms)).collect();
        let crossed = match self.ledger.commit(staged).await {
            Ok(committed) => committed.crossings,
            // Nothing refuses here.
            Err(_) => return,
        };
        add(&mut self.tally, &tally);
        if tally.rejected() > 0 {
            self.quarantine.take(rejects, None, now_ms());
        }
        for service in &services {
            self.sends(&service.service, file);
            self.tells(&service.service, service.lines, told >= untold);
            if let Some(newest_ms) = service.newest_ms {
                self.ledger.shards().saw(&service.cluster, &service.service, newest_ms);
            }
        }
        let set = self.ledger.watches();
        for (watch, group, last_ms) in counted {
            let Some(found) = set.by_key(watch) else { continue };
            let at = Width::of_seconds(found.rule.window_seconds).bucket(last_ms);
            let key = WindowKey { watch, lane: Lane::Live, group };
            let count = self.ledger.shards().count_at(&key, at);
            let most = self.most.entry(watch).or_default();
            if count > most.count {
                (most.count, most.at_ms, most.group) = (count, last_ms, group_values(&key.group));
            }
        }
        for label in &crossed {
            if let Some(watch) = set.by_label(label) {
                self.most.entry(watch.key).or_default().crossed += 1;
            }
        }
        if let Some(novelties) = novelties {
            novelties.hand_over();
        }
        if let Some(triage) = &mut self.triage {
            triage.turn().await;
        }
        self.closes += 1;
        if self.closes >= CLOSES_MAX {
            self.let_triage().await;
            self.hear().await;
        }
    }

    /// Gives triage its time.
    async fn let_triage(&mut self) {
        self.closes = 0;
        if let Some(triage) = &mut self.triage {
            triage.tick().await;
        }
    }

    /// Files have ended, or nobody wants more: counts what is open, and lets settle what has begun.
    pub async fn end(mut self) -> Ended {
        let last_ms = now_ms();
        let mut open: Vec<usize> = self.open.keys().copied().collect();
        open.sort_unstable();
        for file in open {
            self.close(file).await;
        }
        // Nothing comes any more because the files are over: nobody is silent.
        self.is_over = true;
        self.pass_time(last_ms.saturating_add(self.after_ms)).await;
        self.let_triage().await;
        self.ledger.hurry().await;
        self.hear().await;
        let mut escalations = self.ledger.escalations(usize::MAX).await.unwrap_or_default();
        escalations.sort_by_key(|e| (e.opened_ms, e.id));
        let kinds = self.triage.as_mut().map(|triage| kinds_of(triage.kinds())).unwrap_or_default();
        let set = self.ledger.watches();
        let watches = set.watches().iter().map(|w| (w.clone(), self.ledger.shards().total(w.key).matched)).collect();
        let ended = Ended {
            tally: self.tally,
            said: self.said,
            unshown: self.unshown,
            escalations,
            most: self.most,
            watches,
            rejected: self.quarantine.show(None, 20),
            kinds,
            decided: self.view.decided_in_all(),
            unbelieved: self.unbelieved.into_values().collect(),
        };
        self.ledger.close().await;
        ended
    }

    /// Moves the clock on, never back, with the ticks that lie between.
    async fn pass_time(&mut self, to_ms: i64) {
        while self.next_tick_ms <= to_ms {
            NOW_MS.set(self.next_tick_ms.max(now_ms()));
            self.tick().await;
            let into = self.next_tick_ms.saturating_sub(self.last_line_ms);
            match RARE.iter().find(|(until, _)| into < *until) {
                Some((_, step)) => self.next_tick_ms = self.next_tick_ms.saturating_add(*step),
                None => self.next_tick_ms = to_ms.saturating_add(1),
            }
        }
        NOW_MS.set(to_ms.max(now_ms()));
    }

    async fn tick(&mut self) {
        self.closes = 0;
        self.ledger.tick();
        if self.next_tick_ms >= self.next_triage_ms {
            self.next_triage_ms = self.next_tick_ms.saturating_add(TRIAGE_TICK_MS);
            self.let_triage().await;
        }
        self.hear().await;
    }

    /// What is to be told now is told.
    async fn hear(&mut self) {
        while let Some(leased) = self.ledger.due_now(SLACK).await {
            use crate::notify::deliver::Outbox;
            let thread = leased.thread.clone().unwrap_or_else(|| leased.row.to_string());
            self.ledger.settle(leased.row, Settled::Done { thread: Some(thread) }).await;
            let Some(message) = self.believed(leased.message) else { continue };
            if self.said.len() >= SAID_MAX {
                self.unshown += 1;
                continue;
            }
            self.said.push(Said { at_ms: now_ms(), message });
        }
    }

    /// What of a message would be told of lines that came in their time; `None`: nothing.
    fn believed(&mut self, message: Message) -> Option<Message> {
        match message {
            Message::One(notice) => {
                let is = !self.is_of_no_time(&notice) && !self.is_mere_end(&notice);
                is.then_some(Message::One(notice))
            }
            Message::Many(mut digest) => {
                digest.notices.retain(|notice| !self.is_of_no_time(notice) && !self.is_mere_end(notice));
                let is = !digest.notices.is_empty() || digest.unlisted > 0;
                is.then_some(Message::Many(digest))
            }
        }
    }

    /// A file has no more lines: that is no silence of its services.
    pub fn ended(&mut self, file: usize) {
        for files in self.senders.values_mut() {
            files.remove(&file);
        }
    }

    fn sends(&mut self, service: &str, file: usize) {
        if let Some(files) = self.senders.get_mut(service) {
            files.insert(file);
        } else if self.senders.len() < SENDERS_MAX {
            self.senders.insert(service.to_owned(), BTreeSet::from([file]));
        }
    }

    fn tells(&mut self, service: &str, lines: u64, told: bool) {
        let more = if told { (lines, 0) } else { (0, lines) };
        if let Some((known, unknown)) = self.told.get_mut(service) {
            (*known, *unknown) = (*known + more.0, *unknown + more.1);
        } else if self.told.len() < SENDERS_MAX {
            self.told.insert(service.to_owned(), more);
        }
    }

    /// Most of its lines have a time that they told: what it crossed is a fact.
    fn is_timed(&self, service: &str) -> bool {
        let is = |(known, unknown): &(u64, u64)| known >= unknown;
        let cleaned = || self.told.iter().find(|(name, _)| escalation::cleaned(name).as_str() == service);
        match self.told.get(service).or_else(|| cleaned().map(|(_, lines)| lines)) {
            Some(lines) => is(lines),
            // Of all services together: one that is timed may be what crossed.
            None => self.told.values().any(is),
        }
    }

    /// "No data" because the files are over.
    fn is_mere_end(&self, notice: &Notice) -> bool {
        if notice.kind != NoticeKind::NoData {
            return false;
        }
        let name = notice.service.as_str();
        let files = self.senders.iter().find(|(service, _)| escalation::cleaned(service).as_str() == name);
        self.is_over || files.is_some_and(|(_, files)| files.is_empty())
    }

    /// It crossed because lines that tell no time are held to be of one moment. One line is one line whenever it came.
    fn is_of_no_time(&mut self, notice: &Notice) -> bool {
        if self.unbelieved.contains_key(&notice.escalation) {
            return !self.is_timed(notice.service.as_str());
        }
        let (first, last) = (notice.first_ms.div_euclid(1000), notice.last_ms.div_euclid(1000));
        let width = i64::try_from(notice.window_seconds / 60).unwrap_or(0) + 1;
        let is = notice.kind == NoticeKind::Opened
            && notice.threshold > 1
            && last - first <= width
            && self.timeless.contains(&last)
            && !self.is_timed(notice.service.as_str());
        if is && self.unbelieved.len() < SENDERS_MAX {
            let of = Unbelieved {
                label: notice.label.clone(),
                service: notice.service.clone(),
                count: notice.count,
                threshold: notice.threshold,
                window_seconds: notice.window_seconds,
            };
            self.unbelieved.insert(notice.escalation, of);
        }
        is
    }
}

fn settings(config: &Config, intake: Option<Arc<Intake>>, quarantine: Bounds) -> ingest::Settings {
    ingest::Settings {
        max_line_bytes: config.ingest.max_line_bytes,
        max_groups_per_batch: config.ingest.max_groups_per_batch,
        // A line's arrival is its own time, as far as that is one: an epoch's beginning is late, as it is live.
        lateness_ms: app::seconds_ms(config.time.lateness_seconds),
        naming: Arc::new(config.record.clone()),
        max_encoded_bytes: config.server.max_encoded_bytes,
        max_decoded_bytes: config.server.max_decoded_bytes,
        max_lines: config.ingest.max_lines,
        max_requests: 1,
        max_bytes_in_flight: config.server.max_bytes_in_flight,
        admission_wait: Duration::ZERO,
        min_body_rate: config.server.min_body_rate,
        request_time: Duration::from_secs(config.server.request_seconds),
        tag_header: config.ingest.tag_header.clone(),
        trusted_proxies: Vec::new(),
        quarantine,
        intake,
        // Nobody investigates.
        around: around::Bounds { records: 0, record_bytes: config.investigation.record_bytes },
    }
}

fn add(sum: &mut Tally, more: &Tally) {
    sum.matched += more.matched;
    sum.unmatched += more.unmatched;
    sum.joined += more.joined;
    sum.blank += more.blank;
    sum.own += more.own;
    sum.cut += more.cut;
    sum.joins_cut += more.joins_cut;
    for (sum, more) in sum.rejected.iter_mut().zip(more.rejected) {
        *sum += more;
    }
}

/// Those that come most first.
fn kinds_of(held: &kinds::Kinds) -> Vec<Kind> {
    let mut all: Vec<Kind> = held
        .iter()
        .map(|(id, kind)| Kind {
            template: held.template(id),
            service: kind.service.clone(),
            level: kind.level,
            shape: kind.shape,
            count: kind.count,
            first_ms: kind.first_s.saturating_mul(1000),
            last_ms: kind.last_s.saturating_mul(1000),
            judged: kind.judged(),
        })
        .collect();
    all.sort_by(|a, b| {
        b.count.cmp(&a.count).then_with(|| (&a.service, &a.template, a.level).cmp(&(&b.service, &b.template, b.level)))
    });
    all
}
