//! The small state, kept where it survives a disk that goes with its task: a folder, or an object in a bucket.
//!
//! Kept are the watches that were set over the API or proposed, what triage said of kinds of lines, escalations
//! that are open or were told of lately, messages that wait, what was sent today, and the store's seed. Not
//! windows, not counts. It promises:
//! - a store that has anything is never changed by it; what is kept goes only into one that has nothing;
//! - what is damaged, or is not ours, is not used, is told of, and is never written over: it is put aside first;
//! - no commit waits for it, and start and stop wait so long at most ([`START`], [`STOP`]).

pub mod bucket;
pub mod credentials;
mod document;
mod folder;
mod keep;
mod mirror;
mod place;
pub mod sign;
pub mod view;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;

use crate::metrics::Metrics;
use crate::store::{Loaded, Store, StoreError, Transaction};
use document::{Document, MAX_BYTES};
use keep::Keeper;
use mirror::{Mirror, Mirrored};
use place::Place;
use view::View;

/// For what is kept to be read at the start.
pub const START: Duration = Duration::from_secs(5);
/// For it to be written at the end.
pub const STOP: Duration = Duration::from_secs(3);
/// What it is called there.
const FILE: &str = "state.json";

/// Where it is kept. No `Debug`: it may hold keys.
#[derive(Clone)]
pub enum Target {
    /// As written; relative to the working directory.
    Folder(PathBuf),
    Bucket(bucket::Target),
}

pub struct Settings {
    pub target: Target,
    /// The least time between two writes.
    pub every: Duration,
    pub dedup_ms: i64,
}

/// Where the state is kept, before anything is.
pub struct State {
    place: Place,
    settings: Settings,
    metrics: Metrics,
    view: Arc<View>,
    clock: fn() -> i64,
    /// The digest of what was found.
    found: Option<String>,
}

/// What is kept, of a store that had nothing.
pub struct Found {
    document: Document,
    pub seed: u64,
}

/// The task that writes.
pub struct Keeping {
    mirror: Arc<Mirror>,
    stop: tokio::sync::watch::Sender<bool>,
    task: JoinHandle<()>,
}

// === impl State ===

impl State {
    /// `clock`: Unix milliseconds.
    pub fn new(settings: Settings, metrics: Metrics, clock: fn() -> i64) -> Result<State, String> {
        let place = match &settings.target {
            Target::Folder(path) => Place::Folder(folder::Folder::new(path.clone())),
            Target::Bucket(target) => {
                let bucket = bucket::Bucket::new(target.clone(), clock).map_err(|failed| failed.words)?;
                Place::Bucket(Box::new(bucket))
            }
        };
        let view = Arc::new(View::new(place.shown()));
        Ok(State { place, settings, metrics, view, clock, found: None })
    }

    pub fn view(&self) -> Arc<View> {
        self.view.clone()
    }

    /// Reads what is kept, for a store that has nothing; within [`START`].
    pub async fn find(&mut self) -> Option<Found> {
        let url = self.place.shown();
        let mut found = None;
        let outcome = match tokio::time::timeout(START, self.place.read(FILE, MAX_BYTES)).await {
            Err(_) => {
                tracing::error!(
                    state = url,
                    seconds = START.as_secs(),
                    "what is kept could not be read in time: started without it"
                );
                self.view.failed(&format!("not read at the start: no answer within {} s", START.as_secs()));
                "failed"
            }
            Ok(Err(failed)) => {
                tracing::error!(state = url, error = failed.words, "what is kept cannot be read: started without it");
                self.view.failed(&format!("not read at the start: {}", failed.words));
                "failed"
            }
            Ok(Ok(None)) => {
                tracing::info!(state = url, "nothing is kept yet");
                "absent"
            }
            Ok(Ok(Some(bytes))) => match Document::decode(&bytes) {
                Ok(document) => {
                    found = document.kept.seed().map(|seed| Found { document, seed });
                    "restored"
                }
                Err(what) => {
                    tracing::error!(state = url, what, "what is kept is refused: started without it");
                    self.view.failed(&format!("refused at the start: {what}"));
                    "refused"
                }
            },
        };
        self.metrics.state_reads.with_label_values(&[outcome]).inc();
        self.view.began(outcome);
        self.found = found.as_ref().map(|found| found.document.kept.digest());
        found
    }

    /// A store that shows what it writes, and the task that keeps it elsewhere. `loaded`: what the store holds.
    pub fn keep(self, store: Box<dyn Store>, loaded: &Loaded) -> (Box<dyn Store>, Keeping) {
        let mirror = Arc::new(Mirror::new(loaded));
        let (stop, stopped) = tokio::sync::watch::channel(false);
        let keeper = Keeper::new(self, mirror.clone(), loaded.seed);
        let task = tokio::spawn(keeper.run(stopped));
        (Box::new(Mirrored { store, mirror: mirror.clone() }), Keeping { mirror, stop, task })
    }
}

impl Found {
    /// What is kept, as rows. After redaction is configured with [`Found::seed`].
    pub fn rows(&self, now_ms: i64) -> Transaction {
        self.document.rows(now_ms)
    }
}

impl Keeping {
    /// Nothing is stored any more: what is not kept yet is written, within [`STOP`].
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        self.mirror.changed.notify_one();
        if tokio::time::timeout(STOP, &mut self.task).await.is_err() {
            tracing::warn!(seconds = STOP.as_secs(), "the state could not be kept in the time for stopping");
            self.task.abort();
        }
    }
}

/// Puts what was kept into a store that has nothing, and into what was loaded of it. Blocks: not for an async thread.
pub fn restore(store: &mut dyn Store, loaded: &mut Loaded, rows: Transaction) -> Result<(), StoreError> {
    store.write(&rows)?;
    let whole = |rows: Vec<(String, Option<Vec<u8>>)>| rows.into_iter().filter_map(|(key, body)| Some((key, body?)));
    let numbered = |rows: Vec<(u64, Option<Vec<u8>>)>| rows.into_iter().filter_map(|(id, body)| Some((id, body?)));
    loaded.watches = whole(rows.watches).collect();
    loaded.triage = whole(rows.triage).collect();
    loaded.escalations = numbered(rows.escalations).collect();
    loaded.outbox = numbered(rows.outbox).collect();
    tracing::info!(
        watches = loaded.watches.len(),
        escalations = loaded.escalations.len(),
        verdicts = loaded.triage.len(),
        "the store was empty: what was kept elsewhere is in force again, but for counts"
    );
    Ok(())
}

#[cfg(test)]
mod tests;
