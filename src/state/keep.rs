//! The task that writes: when something has changed, at most once in a while, and once at the end.
//!
//! Only what differs from what is there is written, and nothing is written over that was not looked at: what
//! somebody else left there, or what could not be read at the start, is put aside under a name of its own.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use super::document::{Document, Kept, MAX_BYTES, Scope};
use super::mirror::Mirror;
use super::place::{Failed, Place};
use super::sign::hash;
use super::view::View;
use super::{FILE, State};
use crate::escalation::pace;
use crate::metrics::Metrics;

/// A state waits so long for messages that are on their way, so that it need not call them doubtful.
const ON_THE_WAY: Duration = Duration::from_secs(10);
/// Between two looks at rows that came to nothing: each reads all of them.
const ALIKE: Duration = Duration::from_secs(1);
const LOOK: Duration = Duration::from_millis(200);
/// More than these wait because somebody is down.
const ON_THE_WAY_MAX: usize = 64;

pub(super) struct Keeper {
    place: Place,
    mirror: Arc<Mirror>,
    every: Duration,
    dedup_ms: i64,
    seed: u64,
    metrics: Metrics,
    view: Arc<View>,
    clock: fn() -> i64,
    there: There,
}

/// What is known of what is there.
#[derive(PartialEq)]
enum There {
    /// Nobody has looked yet.
    Unseen,
    Nothing,
    /// The digest of ours.
    Ours(String),
    /// Ours, of before or after a write that failed.
    Unsure,
}

/// What may be written.
struct Made {
    digest: String,
    is_empty: bool,
    left_out: u64,
    bytes: Vec<u8>,
}

enum Saved {
    /// There was nothing to write.
    Alike,
    Written,
    Failed,
}

/// What of a message's row says whether it is on its way.
#[derive(Deserialize)]
struct Message {
    attempts: u32,
    leased: bool,
    dead: Option<serde::de::IgnoredAny>,
}

impl Keeper {
    pub(super) fn new(state: State, mirror: Arc<Mirror>, seed: u64) -> Keeper {
        let State { place, settings, metrics, view, clock, found } = state;
        let there = found.map_or(There::Unseen, There::Ours);
        let (every, dedup_ms) = (settings.every, settings.dedup_ms);
        // Something is there to be looked at, or to be written, from the first moment on.
        mirror.changed.notify_one();
        Keeper { place, mirror, every, dedup_ms, seed, metrics, view, clock, there }
    }

    /// Until `stop` says that nothing is stored any more.
    pub(super) async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let mut next = Instant::now();
        loop {
            tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => break,
                () = self.mirror.changed.notified() => self.view.changed((self.clock)()),
            }
            let saved = tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => break,
                saved = async {
                    sleep_until(next).await;
                    self.messages_sent().await;
                    self.save(false).await
                } => saved,
            };
            next = Instant::now()
                + match saved {
                    Saved::Alike => self.every.min(ALIKE),
                    Saved::Written => self.every,
                    Saved::Failed => {
                        // It is still to be written, whether or not anything changes.
                        self.mirror.changed.notify_one();
                        self.every
                    }
                };
        }
        self.save(true).await;
    }

    /// Waits for messages that are on their way, for a while.
    async fn messages_sent(&self) {
        let until = Instant::now() + ON_THE_WAY;
        while Instant::now() < until && self.is_sending() {
            sleep(LOOK).await;
        }
    }

    fn is_sending(&self) -> bool {
        let outbox = self.mirror.outbox();
        let on_its_way = |body: &[u8]| {
            let row = serde_json::from_slice::<Message>(body);
            row.is_ok_and(|row| row.dead.is_none() && (row.leased || row.attempts == 0))
        };
        outbox.len() <= ON_THE_WAY_MAX && outbox.iter().any(|(id, body)| *id != pace::ROW && on_its_way(body))
    }

    async fn save(&mut self, stopped: bool) -> Saved {
        let now_ms = (self.clock)();
        let scope = Scope { seed: self.seed, now_ms, dedup_ms: self.dedup_ms, stopped };
        let rows = self.mirror.rows();
        let made = tokio::task::spawn_blocking(move || {
            let document = Document::new(Kept::new(&rows, scope), now_ms);
            let kept = &document.kept;
            Made { digest: kept.digest(), is_empty: kept.is_empty(), left_out: kept.left_out, bytes: document.encode() }
        });
        let done = match made.await {
            Ok(made) => self.put(made, now_ms).await,
            Err(_) => Err(Failed::new("it could not be written out")),
        };
        match done {
            Ok(saved) => saved,
            Err(failed) => {
                self.metrics.state_writes.with_label_values(&["failed"]).inc();
                // Once for each fault, not every time that it is tried again.
                if self.view.failed(&failed.words) {
                    let (state, error) = (self.place.shown(), &failed.words);
                    tracing::error!(state, error, "the state cannot be kept; it is tried again");
                }
                Saved::Failed
            }
        }
    }

    async fn put(&mut self, made: Made, now_ms: i64) -> Result<Saved, Failed> {
        let Made { digest: mine, is_empty, left_out, bytes } = made;
        if self.there == There::Unseen {
            self.there = self.look().await?;
        }
        let alike = match &self.there {
            There::Ours(digest) => *digest == mine,
            // So that a store's first rows wait for nothing.
            There::Nothing => is_empty,
            There::Unseen | There::Unsure => false,
        };
        if alike {
            self.view.kept(None, left_out);
            return Ok(Saved::Alike);
        }
        let len = bytes.len();
        self.there = There::Unsure;
        self.place.write(FILE, bytes).await?;
        self.there = There::Ours(mine);
        if left_out > 0 {
            tracing::warn!(
                left_out,
                max_bytes = MAX_BYTES,
                "not all of the state fits: what is least missed is left out"
            );
        }
        self.metrics.state_writes.with_label_values(&["written"]).inc();
        self.view.kept(Some((now_ms, len)), left_out);
        Ok(Saved::Written)
    }

    /// What is there before the first write. What is not ours is there no more.
    async fn look(&mut self) -> Result<There, Failed> {
        let Some(bytes) = self.place.read(FILE, MAX_BYTES).await? else { return Ok(There::Nothing) };
        match Document::decode(&bytes) {
            Ok(document) if document.kept.seed() == Some(self.seed) => Ok(There::Ours(document.kept.digest())),
            _ => self.put_aside(bytes).await.map(|()| There::Unsure),
        }
    }

    async fn put_aside(&mut self, bytes: Vec<u8>) -> Result<(), Failed> {
        let aside = format!("{FILE}.{:.12}", hash(&bytes));
        self.place.write(&aside, bytes).await?;
        tracing::error!(
            state = self.place.shown(),
            aside,
            "what was kept there is not of this store: it is put aside under that name, and not used"
        );
        Ok(())
    }
}
