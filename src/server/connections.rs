//! How many connections are held, and who goes when there is no room for another.
//!
//! When all places are taken one that has no request is closed: that costs its client nothing but a new
//! connection, where a sender kept out would lose lines. One that is being answered is never closed for another.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::pace::Pace;
use crate::metrics::Metrics;

/// Who is asked to go is gone much sooner.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Who has just come is about to speak; closed then, it would lose its request.
const SPARED_NEW: Duration = Duration::from_secs(1);
/// Who has spoken before is a sender between two flushes.
const SPARED_KNOWN: Duration = Duration::from_secs(5);

pub struct Connections {
    room: Arc<Semaphore>,
    /// A plain lock: held to add or remove one, and to look through all when there is no room.
    open: Mutex<HashMap<u64, Open>>,
    next: AtomicU64,
    metrics: Metrics,
}

struct Open {
    pace: Arc<Pace>,
    go: Arc<Notify>,
}

/// A connection's place, given back when it is dropped.
pub struct Place {
    pub pace: Arc<Pace>,
    /// Told when somebody else needs the place more.
    pub go: Arc<Notify>,
    number: u64,
    connections: Arc<Connections>,
    _permit: OwnedSemaphorePermit,
}

impl Connections {
    pub fn new(most: usize, metrics: Metrics) -> Arc<Connections> {
        Arc::new(Connections {
            room: Arc::new(Semaphore::new(most)),
            open: Mutex::default(),
            next: AtomicU64::new(0),
            metrics,
        })
    }

    /// Waits for a place.
    pub async fn enter(self: &Arc<Connections>) -> Place {
        let permit = loop {
            if let Ok(permit) = self.room.clone().try_acquire_owned() {
                break permit;
            }
            // Again and again: those that were all being answered a moment ago may be idle now.
            self.make_room();
            if let Ok(Ok(permit)) = tokio::time::timeout(LOOK_AGAIN, self.room.clone().acquire_owned()).await {
                break permit;
            }
        };
        let (pace, go) = (Pace::new(Instant::now()), Arc::new(Notify::new()));
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.lock().insert(number, Open { pace: pace.clone(), go: go.clone() });
        self.metrics.connections.inc();
        Place { pace, go, number, connections: self.clone(), _permit: permit }
    }

    /// Asks one without a request to go: who has never made one goes first, then who has been without longest;
    /// unless none has been for long.
    pub fn make_room(&self) {
        let now = Instant::now();
        let mut open = self.lock();
        let quiet = open.iter().filter_map(|(number, it)| {
            let (since, known) = (it.pace.quiet_since()?, it.pace.has_spoken());
            let spared = if known { SPARED_KNOWN } else { SPARED_NEW };
            (now.saturating_duration_since(since) >= spared).then_some((known, since, *number))
        });
        if let Some((_, _, number)) = quiet.min()
            // Taken out, so that the next one in need asks another.
            && let Some(oldest) = open.remove(&number)
        {
            oldest.go.notify_one();
            self.metrics.connections_closed_for_room.inc();
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.connections.lock().remove(&self.number);
        self.connections.metrics.connections.dec();
    }
}
