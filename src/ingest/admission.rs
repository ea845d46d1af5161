//! How many bodies are read at once: the bound on what ingest holds in memory.
//!
//! The first 64 KiB of a body, decoded, are read without asking: they cost no more than the connection does.
//! (Not of zstd, which may ask for a window of megabytes in its first bytes.) Whoever has sent so much is no drip,
//! and asks, before it is read further, for a place and for the bytes that it has announced, all at once: who holds
//! a place never waits for more. A thousand senders of a byte a second hold nothing.

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
/// What a zstd frame may have its decoder hold.
const ZSTD_BYTES: u64 = 8 << 20;
/// One body holds an eighth of all there is at most: what it announces is a claim, and what is held of it is far less.
const SHARE: u32 = 8;
/// Unit of the permits.
const KIB: u64 = 1024;

pub struct Admission {
    requests: Arc<Semaphore>,
    /// Places of small bodies, held only while they commit: long readers must not keep them out.
    small: Arc<Semaphore>,
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
        let (bytes, free) = match encoding {
            Encoding::Identity => (bytes, FREE_BYTES),
            Encoding::Zstd => (bytes.max(ZSTD_BYTES), 0),
            Encoding::Gzip | Encoding::Snappy => (bytes, FREE_BYTES / expansion),
        };
        Weight { kib: u32::try_from(bytes.div_ceil(KIB)).unwrap_or(u32::MAX), free }
    }

    /// Whether a body of which so much has come, and become so much, must ask.
    pub fn asks_at(self, encoded: u64, decoded: u64) -> bool {
        encoded > self.free || decoded > FREE_BYTES
    }
}

impl Admission {
    pub fn new(requests: usize, bytes: u64, wait: Duration) -> Admission {
        let total_kib = u32::try_from(bytes / KIB).unwrap_or(u32::MAX);
        Admission {
            requests: Arc::new(Semaphore::new(requests)),
            small: Arc::new(Semaphore::new(requests)),
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
            // no bytes, are not held up behind those that wait for them.
            let bytes = self.kib.clone().acquire_many_owned(weight.kib.min(self.total_kib / SHARE)).await.ok()?;
            let request = self.requests.clone().acquire_owned().await.ok()?;
            Some(Room { _request: request, _bytes: Some(bytes) })
        };
        tokio::time::timeout_at(deadline, both).await.ok()?
    }

    /// Waits for a place to commit from, for a body that ended before it had to ask.
    pub async fn enter_small(&self, deadline: Instant) -> Option<Room> {
        let request = tokio::time::timeout_at(deadline, self.small.clone().acquire_owned()).await;
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
        let of = |encoding| Weight::of(Some(1 << 20), encoding);
        let (plain, packed) = (of(Encoding::Identity), of(Encoding::Gzip));
        assert_eq!((plain.kib, packed.kib), (1024, 8192));
        assert!(!plain.asks_at(FREE_BYTES, FREE_BYTES) && plain.asks_at(FREE_BYTES + 1, 0));
        assert!(!packed.asks_at(FREE_BYTES / 8, FREE_BYTES) && packed.asks_at(FREE_BYTES / 8 + 1, 0));
        assert!(packed.asks_at(10, FREE_BYTES + 1), "what it has become counts, too");
        let zstd = Weight::of(Some(100), Encoding::Zstd);
        assert_eq!(zstd.kib, 8192, "a window of 8 MiB");
        assert!(zstd.asks_at(1, 0));
        assert_eq!(Weight::of(None, Encoding::Identity).kib, 4096);
        assert_eq!(Weight::of(Some(u64::MAX), Encoding::Zstd).kib, u32::MAX);
    }

    #[tokio::test(start_paused = true)]
    async fn bodies_wait_for_bytes_and_are_refused_when_the_wait_is_over() {
        let admission = Admission::new(100, 8 << 20, WAIT);
        let mut held = Vec::new();
        for _ in 0..8 {
            held.push(admission.enter(weight(1 << 20), admission.deadline()).await);
        }
        assert!(held.iter().all(Option::is_some));
        let begun = Instant::now();
        assert!(admission.enter(weight(1), admission.deadline()).await.is_none());
        assert_eq!(begun.elapsed(), WAIT);
        assert!(admission.enter_small(admission.deadline()).await.is_some(), "a small one needs a place only");
        held.pop();
        assert!(admission.enter(weight(1 << 20), admission.deadline()).await.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn one_body_holds_an_eighth_at_most_whatever_it_announces() {
        let admission = Admission::new(100, 8 << 20, WAIT);
        let claims = admission.enter(weight(u64::MAX), admission.deadline()).await;
        assert!(claims.is_some());
        assert!(admission.enter(weight(7 << 20), admission.deadline()).await.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn places_are_bounded_whatever_bodies_weigh_and_long_readers_keep_no_small_body_out() {
        let admission = Admission::new(1, 1 << 20, WAIT);
        let held = admission.enter(weight(1), admission.deadline()).await;
        assert!(held.is_some());
        assert!(admission.enter(weight(1), admission.deadline()).await.is_none());
        let small = admission.enter_small(admission.deadline()).await;
        assert!(small.is_some());
        assert!(admission.enter_small(admission.deadline()).await.is_none(), "they are bounded, too");
        drop(held);
        assert!(admission.enter(weight(1), admission.deadline()).await.is_some());
    }
}
