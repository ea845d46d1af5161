//! Which sketches were seen before: a table of fixed size that every thread reads without waiting.
//!
//! Each sketch has [`WAYS`] places it may stand in. When all are taken the least counted one goes, and ties in turn: a
//! replaced sketch only means that its next line is looked at again. Nothing here is locked; a count may go to
//! the sketch that takes a place in the same instant, so counts are for judging, not for accounting.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

/// Places a sketch may stand in; their keys fill one cache line.
pub const WAYS: usize = 8;

/// What a free place holds.
const FREE: u64 = 0;

#[derive(Debug, Default)]
struct Set {
    sketches: [AtomicU64; WAYS],
    counts: [AtomicU32; WAYS],
    /// Where the search for one to replace begins next.
    hand: AtomicU32,
}

#[derive(Debug)]
pub struct Known {
    sets: Box<[Set]>,
}

/// A sketch that had to go, and what it was counted since its count was last taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replaced {
    pub sketch: u64,
    pub count: u32,
}

impl Known {
    /// Room for at least `entries` sketches (at most 2²⁴), 104 bytes for each [`WAYS`] of them.
    pub fn new(entries: usize) -> Known {
        let sets = entries.clamp(WAYS, 1 << 24).div_ceil(WAYS).next_power_of_two();
        Known { sets: (0..sets).map(|_| Set::default()).collect() }
    }

    pub fn capacity(&self) -> usize {
        self.sets.len() * WAYS
    }

    /// Whether the sketch is known; if so, it is counted.
    #[inline]
    pub fn hit(&self, sketch: u64) -> bool {
        let sketch = stored(sketch);
        let Some(set) = self.set(sketch) else { return false };
        let Some((_, count)) = set.places().find(|(key, _)| key.load(Relaxed) == sketch) else { return false };
        // Stays at the top, rather than begin anew. Threads that add at once may pass it by their number.
        if count.load(Relaxed) < u32::MAX / 2 {
            count.fetch_add(1, Relaxed);
        }
        true
    }

    /// Makes the sketch known, with a count of 0 unless it was; returns what had to go for it.
    pub fn insert(&self, sketch: u64) -> Option<Replaced> {
        let sketch = stored(sketch);
        let set = self.set(sketch)?;
        // Another thread may take the same place first: then the next best. After so many the line is looked at again.
        for _ in 0..WAYS {
            if set.places().any(|(key, _)| key.load(Relaxed) == sketch) {
                return None;
            }
            let (key, count, before) = set.place()?;
            if key.compare_exchange(before, sketch, Relaxed, Relaxed).is_ok() {
                let count = count.swap(0, Relaxed);
                return (before != FREE).then_some(Replaced { sketch: before, count });
            }
        }
        None
    }

    /// The sketch is unknown from now on.
    pub fn forget(&self, sketch: u64) {
        self.each(sketch, |key, count, sketch| {
            if key.compare_exchange(sketch, FREE, Relaxed, Relaxed).is_ok() {
                count.store(0, Relaxed);
            }
            0
        });
    }

    /// Nothing is known from now on.
    pub fn clear(&self) {
        for (key, count) in self.sets.iter().flat_map(Set::places) {
            key.store(FREE, Relaxed);
            count.store(0, Relaxed);
        }
    }

    /// How often it was hit since this was last asked; 0 for an unknown one.
    pub fn take_count(&self, sketch: u64) -> u32 {
        self.each(sketch, |_, count, _| count.swap(0, Relaxed))
    }

    /// Two threads that insert one sketch at once may leave it in two places.
    fn each(&self, sketch: u64, mut at: impl FnMut(&AtomicU64, &AtomicU32, u64) -> u32) -> u32 {
        let sketch = stored(sketch);
        let places = self.set(sketch).into_iter().flat_map(Set::places);
        places
            .filter(|(key, _)| key.load(Relaxed) == sketch)
            .fold(0, |sum: u32, (k, c)| sum.saturating_add(at(k, c, sketch)))
    }

    /// The high bits choose: a sketch's own are all as good.
    #[inline]
    fn set(&self, sketch: u64) -> Option<&Set> {
        self.sets.get((sketch >> 32) as usize & (self.sets.len() - 1))
    }
}

impl Set {
    #[inline]
    fn places(&self) -> impl Iterator<Item = (&AtomicU64, &AtomicU32)> + Clone {
        self.sketches.iter().zip(&self.counts)
    }

    /// A free place, else the least counted one, with what it holds.
    fn place(&self) -> Option<(&AtomicU64, &AtomicU32, u64)> {
        let hand = self.hand.fetch_add(1, Relaxed) as usize;
        let in_turn = self.places().cycle().skip(hand % WAYS).take(WAYS);
        in_turn
            .map(|(key, count)| (key, count, key.load(Relaxed)))
            .min_by_key(|(_, count, sketch)| if *sketch == FREE { (0, 0) } else { (1, count.load(Relaxed)) })
    }
}

/// A sketch that looks like a free place shares another's.
#[inline]
fn stored(sketch: u64) -> u64 {
    if sketch == FREE { 1 } else { sketch }
}

#[cfg(test)]
mod tests;
