//! How many bodies are read at once: the bound on what ingest holds in memory.
//!
//! The first 64 KiB of a body are read without asking: they cost no more than the connection does. Whoever
//! has sent so much is no drip, and asks, before it is read further, for a place and for the bytes that it
//! has announced. All at once: nobody holds a part of what he needs while he waits for the rest, so nobody
//! waits for one who waits for him. A thousand senders of a byte a second hold nothing.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::decode::Encoding;

/// What a body may bring before it asks.
pub const FREE_BYTES: u64 = 64 * 1024;
/// Logs shrink about eightfold, so a compressed byte stands for eight.
const EXPANSION: u64 = 8;
/// A body that does not say how long it is, which Fluent Bit's always do: a little more than a usual one.
const UNANNOUNCED: u64 = 4 << 20;
/// Unit of the permits.
const KIB: u64 = 1024;

pub struct Admission {
    requests: Arc<Semaphore>,
    kib: Arc<Semaphore>,
    total_kib: u32,
    wait: Duration,
}

/// What a request holds until its batch has been committed.
pub struct Room {
    _request: OwnedSemaphorePermit,
    _bytes: Option<OwnedSemaphorePermit>,
}

/// What one request is to be let in for.
#[derive(Clone, Copy, Debug)]
pub struct Weight {
    kib: u32,
    free: u64,
}

impl Weight {
    pub fn of(announced: Option<u64>, encoding: Encoding) -> Weight {
        let expansion = if encoding == Encoding::Identity { 1 } else { EXPANSION };
        let bytes = announced.unwrap_or(UNANNOUNCED).saturating_mul(expansion);
        Weight { kib: u32::try_from(bytes.div_ceil(KIB)).unwrap_or(u32::MAX), free: FREE_BYTES / expansion }
    }

    /// Whether a body of which so much has come must ask.
    pub fn asks_at(self, encoded: u64) -> bool {
        encoded > self.free
    }
}

impl Admission {
    pub fn new(requests: usize, bytes: u64, wait: Duration) -> Admission {
        let total_kib = u32::try_from(bytes / KIB).unwrap_or(u32::MAX);
        Admission {
            requests: Arc::new(Semaphore::new(requests)),
            kib: Arc::new(Semaphore::new(usize::try_from(total_kib).unwrap_or(usize::MAX))),
            total_kib,
            wait,
        }
    }

    /// Until when a request that begins now waits.
    pub fn deadline(&self) -> Instant {
        Instant::now() + self.wait
    }

    /// Waits for room to read a body in. `None`: there was none by then.
    pub async fn enter(&self, weight: Weight, deadline: Instant) -> Option<Room> {
        let both = async {
            // Bytes first: who has a place needs nothing more, so it comes free, and small bodies, which need
            // no bytes, are not held up behind those that wait for them. One larger than all there is has all.
            let bytes = self.kib.clone().acquire_many_owned(weight.kib.min(self.total_kib)).await.ok()?;
            let request = self.requests.clone().acquire_owned().await.ok()?;
            Some(Room { _request: request, _bytes: Some(bytes) })
        };
        tokio::time::timeout_at(deadline, both).await.ok()?
    }

    /// Waits for a place to commit from, for a body that ended before it had to ask.
    pub async fn enter_small(&self, deadline: Instant) -> Option<Room> {
        let request = tokio::time::timeout_at(deadline, self.requests.clone().acquire_owned()).await;
        Some(Room { _request: request.ok()?.ok()?, _bytes: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAIT: Duration = Duration::from_secs(15);

    fn weight(bytes: u64) -> Weight {
        Weight::of(Some(bytes), Encoding::Identity)
    }

    #[test]
    fn a_compressed_body_weighs_what_it_may_become_and_asks_earlier() {
        let (plain, packed) =
            (Weight::of(Some(1 << 20), Encoding::Identity), Weight::of(Some(1 << 20), Encoding::Gzip));
        assert_eq!((plain.kib, packed.kib), (1024, 8192));
        assert!(!plain.asks_at(FREE_BYTES) && plain.asks_at(FREE_BYTES + 1));
        assert!(!packed.asks_at(FREE_BYTES / 8) && packed.asks_at(FREE_BYTES / 8 + 1));
        assert_eq!(Weight::of(None, Encoding::Identity).kib, 4096);
        assert_eq!(Weight::of(Some(u64::MAX), Encoding::Zstd).kib, u32::MAX);
    }

    #[tokio::test(start_paused = true)]
    async fn bodies_wait_for_bytes_and_are_refused_when_the_wait_is_over() {
        let admission = Admission::new(10, 1 << 20, WAIT);
        let first = admission.enter(weight(700 << 10), admission.deadline()).await;
        assert!(first.is_some());
        assert!(admission.enter(weight(300 << 10), admission.deadline()).await.is_some(), "beside it there is room");
        let begun = Instant::now();
        assert!(admission.enter(weight(400 << 10), admission.deadline()).await.is_none());
        assert_eq!(begun.elapsed(), WAIT);
        drop(first);
        assert!(admission.enter(weight(400 << 10), admission.deadline()).await.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_larger_than_all_there_is_gets_in_alone() {
        let admission = Admission::new(10, 1 << 20, WAIT);
        let all = admission.enter(weight(u64::MAX), admission.deadline()).await;
        assert!(all.is_some());
        assert!(admission.enter(weight(1), admission.deadline()).await.is_none());
        assert!(admission.enter_small(admission.deadline()).await.is_some(), "a small one needs a place only");
    }

    #[tokio::test(start_paused = true)]
    async fn places_are_bounded_whatever_bodies_weigh() {
        let admission = Admission::new(1, 1 << 20, WAIT);
        let held = admission.enter_small(admission.deadline()).await;
        assert!(held.is_some());
        assert!(admission.enter(weight(1), admission.deadline()).await.is_none());
        drop(held);
        assert!(admission.enter(weight(1), admission.deadline()).await.is_some());
    }
}
