//! What a person would look up first, written down: the dossier of each escalation that is to be investigated; and,
//! in [`case`], what follows from it.
//!
//! The queue is the ledger's: an escalation that opens to be investigated waits in its own row
//! ([`crate::escalation::investigation`]), within a bound, and is found there again after a restart. Its one
//! worker here is told that something changed, asks what waits, notes at once which records were around, and
//! writes the dossier shortly before the first message leaves, the severe ones first. What became of it is
//! stored, and with it the case that begins; a life that ends in between writes it again. Nobody waits for any of this.

pub mod around;
pub mod budget;
pub mod case;
pub mod chart;
pub mod dossier;
pub mod markdown;
pub mod model;
pub mod patch;
pub mod planner;
pub mod propose;
pub mod remedy;
pub mod report;
pub mod shelf;
pub mod snapshot;
pub mod source;
pub mod verdict;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::alarm::Alarm;
use crate::escalation::investigation::Investigation;
use crate::escalation::{Escalation, cleaned};
use crate::failpoint::Failpoint;
use crate::ledger::Ledger;
use crate::ledger::window::Width;
use crate::metrics::Metrics;
use crate::record::Derived;
use crate::record::json::Value;
use crate::redact::Redacted;
use crate::watch::Watch;
use around::{Recent, Recents, keep_around};
use case::book::Book;
use case::{About, Case};
use chart::Chart;
use dossier::{Cures, Facts, Firing, Said};
use markdown::Markdown;
use shelf::{Piece, Shelf};
use source::{Library, Sought, Source};

/// How often what waits is looked at: often enough for a flood not to wash away what was before it.
const TICK: Duration = Duration::from_millis(250);
/// How often a dossier is tried; the pauses in between double from one second on.
const TRIES_MAX: u32 = 5;
const FIRST_PAUSE_MS: i64 = 1000;
/// Between two tries to have the outcome stored.
const STORE_PAUSE_MS: i64 = 1000;
/// The records of a batch go round a moment after it has counted: a dossier that is due at once waits so long for one
/// that a watch counted.
const GRACE_MS: i64 = 1000;
/// Revisions told of one service.
const REVISIONS_MAX: usize = 10;

pub struct Parts {
    pub ledger: Ledger,
    pub recents: Arc<Recents>,
    pub shelf: Arc<Shelf>,
    pub library: Library,
    pub metrics: Metrics,
    /// From the opening of an escalation to its dossier: records that follow are part of it.
    pub wait_ms: i64,
    /// Of one dossier.
    pub max_bytes: usize,
    pub book: Arc<Book>,
    /// Cases that may be under way; more are told that they are not looked into.
    pub queue: usize,
    /// Unix milliseconds.
    pub clock: fn() -> i64,
    pub up_since_ms: i64,
    /// Set when nothing is counted any more: what waits is written at once.
    pub stopped: watch::Receiver<bool>,
}

struct Worker {
    parts: Parts,
    waiting: Vec<Waiting>,
    /// The last dossier could not be written: said once, and once when it is over.
    failing: bool,
}

/// An escalation whose dossier is to be written.
struct Waiting {
    escalation: Escalation,
    around: Vec<Arc<Recent>>,
    due_ms: i64,
    tries: u32,
    /// Done, but not stored.
    became: Option<Investigation>,
    /// The commit that ran, whole.
    commit: Option<String>,
}

/// The ledger is gone.
struct Gone;

static GIVEN_UP: Alarm = Alarm::new();

/// Runs until it is stopped, or the ledger is gone.
pub async fn run(parts: Parts) {
    let mut stopped = parts.stopped.clone();
    let (ledger, shards) = (parts.ledger.clone(), parts.ledger.clone());
    let mut worker = Worker { parts, waiting: Vec::new(), failing: false };
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    // What a former life left.
    let mut look = true;
    loop {
        let stopping = *stopped.borrow();
        if worker.work(&ledger, look, stopping).await.is_err() || stopping {
            return;
        }
        look = tokio::select! {
            () = shards.shards().investigations_changed.notified() => true,
            _ = ticks.tick(), if !worker.waiting.is_empty() => false,
            // It is looked at above, and an end without a word is one, too.
            changed = stopped.changed() => match changed {
                Ok(()) => true,
                Err(_) => return,
            },
        };
    }
}

impl Worker {
    /// Writes what is due; when `stopping`, all that waits, once.
    async fn work(&mut self, ledger: &Ledger, look: bool, stopping: bool) -> Result<(), Gone> {
        if look {
            self.look(ledger).await?;
        }
        self.gather();
        let mut ids = self.due(stopping);
        while let Some(id) = ids.pop() {
            self.investigate(ledger, id).await?;
            self.gather();
        }
        self.parts.metrics.investigation_queue.set(self.waiting.len() as i64);
        Ok(())
    }

    /// Asks what waits: takes in what is new, and drops what was left out for something more severe.
    async fn look(&mut self, ledger: &Ledger) -> Result<(), Gone> {
        let wanted = ledger.wanted().await.ok_or(Gone)?;
        self.waiting.retain(|held| held.became.is_some() || wanted.iter().any(|e| e.id == held.escalation.id));
        for escalation in wanted {
            if !self.waiting.iter().any(|held| held.escalation.id == escalation.id) {
                let due_ms = escalation.opened_ms.saturating_add(self.parts.wait_ms);
                self.waiting.push(Waiting {
                    escalation,
                    around: Vec::new(),
                    due_ms,
                    tries: 0,
                    became: None,
                    commit: None,
                });
            }
        }
        Ok(())
    }

    fn gather(&mut self) {
        let most = self.parts.recents.bounds().records;
        for waiting in self.waiting.iter_mut().filter(|waiting| waiting.became.is_none()) {
            let of = &waiting.escalation;
            if let Some(held) = self.parts.recents.of(&of.cluster, &of.service) {
                keep_around(&mut waiting.around, held.records, of.first_ms, most);
            }
        }
    }

    /// Those due, the last one first: the most severe, and of these the oldest.
    fn due(&self, all: bool) -> Vec<u64> {
        let now_ms = (self.parts.clock)();
        let keeps_records = self.parts.recents.bounds().records > 0;
        let is_due = |waiting: &Waiting| {
            let is_early = keeps_records && !waiting.around.iter().any(|record| record.matched);
            waiting.due_ms.saturating_add(if is_early { GRACE_MS } else { 0 }) <= now_ms
        };
        let mut due: Vec<&Waiting> = self.waiting.iter().filter(|waiting| all || is_due(waiting)).collect();
        due.sort_by_key(|w| (w.escalation.severity, std::cmp::Reverse((w.escalation.opened_ms, w.escalation.id))));
        due.iter().map(|waiting| waiting.escalation.id).collect()
    }

    async fn investigate(&mut self, ledger: &Ledger, id: u64) -> Result<(), Gone> {
        let Some(place) = self.waiting.iter().position(|waiting| waiting.escalation.id == id) else { return Ok(()) };
        if self.waiting.get(place).is_some_and(|waiting| waiting.became.is_none()) {
            let found = ledger.with_others(id).await.ok_or(Gone)?;
            let Some((escalation, others)) = found.filter(|(e, _)| e.investigation == Some(Investigation::Wanted))
            else {
                // Forgotten, or left out meanwhile.
                self.waiting.swap_remove(place);
                return Ok(());
            };
            self.write(ledger, place, escalation, others).await;
        }
        let now_ms = (self.parts.clock)();
        let Some(waiting) = self.waiting.get_mut(place) else { return Ok(()) };
        let Some(became) = waiting.became else { return Ok(()) };
        let begun = (became == Investigation::Written).then(|| {
            let case = begin(&self.parts.book, &waiting.escalation, self.parts.queue, now_ms);
            Case { commit: waiting.commit.clone(), ..case }
        });
        let _one = self.parts.book.storing.lock().await;
        let rows = begun.as_ref().map(|case| self.parts.book.rows(case)).unwrap_or_default();
        match ledger.investigated(id, became, rows).await {
            Some(still_waited) => {
                if let Some(case) = begun.filter(|_| still_waited) {
                    Failpoint::CaseBegun.pass();
                    if let Some(outcome) = case.outcome {
                        self.parts.metrics.investigations.with_label_values(&[outcome.as_str()]).inc();
                    }
                    self.parts.book.put(case);
                }
                if still_waited {
                    self.parts.metrics.investigations.with_label_values(&[became.as_str()]).inc();
                }
                self.waiting.swap_remove(place);
            }
            None => waiting.due_ms = now_ms.saturating_add(STORE_PAUSE_MS),
        }
        Ok(())
    }

    /// One try.
    async fn write(&mut self, ledger: &Ledger, place: usize, escalation: Escalation, others: Vec<Escalation>) {
        let now_ms = (self.parts.clock)();
        let Some(waiting) = self.waiting.get_mut(place) else { return };
        let id = escalation.id;
        let collecting = Collecting {
            escalation,
            others,
            around: waiting.around.clone(),
            ledger: ledger.clone(),
            recents: self.parts.recents.clone(),
            library: self.parts.library.clone(),
            up_since_ms: self.parts.up_since_ms,
            now_ms,
        };
        let (shelf, max_bytes) = (self.parts.shelf.clone(), self.parts.max_bytes);
        waiting.tries += 1;
        let last = waiting.tries >= TRIES_MAX;
        // Off the async threads: redaction is work, and a sync takes as long as the disk likes.
        let written = tokio::task::spawn_blocking(move || {
            let facts = collecting.facts();
            let text: Markdown = dossier::write(&facts, max_bytes);
            let put = shelf.put(Piece::Dossier, id, text.as_str());
            if put.is_err() && last {
                // People can still read it over the API.
                shelf.remember(Piece::Dossier, id, text.as_str());
            }
            (put, facts.source.commit)
        });
        let outcome = match written.await {
            Ok((outcome, commit)) => {
                waiting.commit = commit;
                outcome
            }
            Err(panic) => Err(std::io::Error::other(panic)),
        };
        match outcome {
            Ok(()) => {
                if std::mem::replace(&mut self.failing, false) {
                    tracing::info!("dossiers can be written again");
                }
                tracing::debug!(escalation = id, "dossier written");
                waiting.became = Some(Investigation::Written);
            }
            Err(error) => {
                let folder = self.parts.shelf.place();
                if !std::mem::replace(&mut self.failing, true) {
                    tracing::warn!(escalation = id, folder, %error, "a dossier cannot be written: it is tried again");
                }
                if last {
                    waiting.became = Some(Investigation::Failed);
                    if let Some(held_back) = GIVEN_UP.due() {
                        tracing::error!(escalation = id, folder, %error, held_back, tries = TRIES_MAX,
                            "a dossier is given up (investigation.folder); it is held in memory only");
                    }
                } else {
                    let pause_ms = FIRST_PAUSE_MS << (waiting.tries - 1).min(10);
                    waiting.due_ms = now_ms.saturating_add(pause_ms);
                }
            }
        }
    }
}

/// The case of an escalation whose dossier is written. One incident is investigated once.
fn begin(book: &Book, of: &Escalation, queue: usize, now_ms: i64) -> Case {
    let about = About {
        label: of.label.clone(),
        severity: of.severity,
        cluster: of.cluster.clone(),
        service: of.service.clone(),
        late: of.late,
        window_seconds: of.window_seconds,
        opened_ms: of.opened_ms,
    };
    let mut case = Case::new(of.id, of.incident(), about, book.lead_of(of.incident()), now_ms);
    if !case.is_done() && book.unfinished().len() >= queue {
        case.crowd_out();
    }
    case
}

/// All that facts are made of.
struct Collecting {
    escalation: Escalation,
    others: Vec<Escalation>,
    around: Vec<Arc<Recent>>,
    ledger: Ledger,
    recents: Arc<Recents>,
    library: Library,
    up_since_ms: i64,
    now_ms: i64,
}

impl Collecting {
    fn facts(self) -> Facts {
        let (of, shards) = (&self.escalation, self.ledger.shards());
        let set = self.ledger.watches();
        let windows: Vec<_> = shards
            .windows_of(of.id)
            .into_iter()
            .filter_map(|(key, window)| Some((Width::of_seconds(set.by_key(key.watch)?.rule.window_seconds), window)))
            .collect();
        let firing = shards.firing_of(|watch, values| watch.rule.label != of.label && concerns(watch, values, of));
        let held = self.recents.of(&of.cluster, &of.service);
        let revisions = revisions(&self.around);
        let source = self.source(&revisions);
        let said = set.watches().iter().filter(|w| w.rule.label == of.label || of.also.contains(&w.rule.label));
        Facts {
            chart: Chart::of(windows.iter().map(|(width, window)| (*width, window.buckets()))),
            firing: firing
                .iter()
                .map(|(watch, window)| Firing {
                    label: watch.rule.label.clone(),
                    severity: watch.rule.severity,
                    count: window.count(Width::of_seconds(watch.rule.window_seconds).bucket(self.now_ms)),
                    threshold: watch.rule.threshold,
                    window_seconds: u64::from(watch.rule.window_seconds),
                })
                .collect(),
            said: said.filter_map(words).collect(),
            remedies: self.remedies(),
            revisions,
            source,
            keeps_records: self.recents.bounds().records > 0,
            seen_since_ms: held.map(|held| held.since_ms),
            written_ms: self.now_ms,
            up_since_ms: self.up_since_ms,
            around: self.around,
            others: self.others,
            escalation: self.escalation,
        }
    }
}

impl Collecting {
    fn remedies(&self) -> Vec<Cures> {
        let entry = self.library.entry(&self.escalation.cluster, &self.escalation.service);
        let remedies = entry.map(|entry| entry.descriptor.remedies.clone()).unwrap_or_default();
        remedies.into_iter().map(|remedy| Cures { remedy: remedy.name, cures: remedy.cures }).collect()
    }

    /// What the source says. Where no line that crossed has a trace, those around may have one.
    fn source(&self, revisions: &[(Redacted, i64)]) -> Source {
        let of = &self.escalation;
        let around = if of.frames.is_empty() { frames_around(&self.around, of.first_ms) } else { Vec::new() };
        self.library.search(&Sought {
            cluster: &of.cluster,
            service: &of.service,
            frames: if of.frames.is_empty() { &around } else { &of.frames },
            revisions,
            first_ms: of.first_ms,
            last_ms: of.last_ms,
        })
    }
}

/// Of the first record that has a trace: of those that a watch counted before the others, the nearest in time first.
fn frames_around(records: &[Arc<Recent>], first_ms: i64) -> Vec<Redacted> {
    let mut nearest: Vec<&Arc<Recent>> = records.iter().collect();
    nearest.sort_by_key(|record| (!record.matched, record.at_ms.abs_diff(first_ms)));
    let mut places = nearest.into_iter().map(|record| record.sample.places());
    let found = places.find(|places| !places.is_empty()).unwrap_or_default();
    found.iter().map(|place| Redacted::new(place).one_line()).collect()
}

/// Whether a group of `watch` names the escalation's service.
fn concerns(watch: &Watch, values: &[String], of: &Escalation) -> bool {
    let is = |name: &str, wanted: &Redacted| {
        let place = watch.rule.group_by.iter().position(|n| n == name)?;
        values.get(place).map(|value| cleaned(value) == *wanted)
    };
    is("service", &of.service) == Some(true) && is("cluster", &of.cluster) != Some(false)
}

/// What was said last when the watch was made or changed.
fn words(watch: &Watch) -> Option<Said> {
    let change = watch.provenance.as_ref()?.changes.last()?;
    Some(Said {
        label: watch.rule.label.clone(),
        at_ms: change.at_ms,
        by: Redacted::new(&format!("{} ({})", change.by, change.model)).one_line(),
        reason: change.reason.clone(),
    })
}

/// That records name, each with the time of its first, in order of time.
fn revisions(records: &[Arc<Recent>]) -> Vec<(Redacted, i64)> {
    let mut found: Vec<(Redacted, i64)> = Vec::new();
    for record in records {
        record.sample.read(None, |read| {
            if let Some(Value::Text(text)) = read.derived(Derived::Revision) {
                let revision = cleaned(&text.to_string_lossy());
                if found.len() < REVISIONS_MAX && !found.iter().any(|(held, _)| *held == revision) {
                    found.push((revision, record.at_ms));
                }
            }
        });
    }
    found
}
