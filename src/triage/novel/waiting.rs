//! Lines of kinds that wait for their verdict: triage holds one already, so only how many come is news.
//!
//! There may be a thousand such kinds in every batch, for as long as a model takes. A batch counts its own apart;
//! once it has counted they are added up here, and triage takes them all about once a second: its work follows the
//! number of kinds, not that of batches.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::BuildHasherDefault;
use std::sync::{Mutex, PoisonError};

use super::{AsItIs, Novel, SECONDS_MAX};
use crate::triage::Shape;

/// Kinds of one batch, 56 bytes each.
pub(super) const OF_BATCH_MAX: usize = 4096;
/// Room for what a batch of a few services has.
pub(super) const USUAL: usize = 448;
/// Kinds that are not taken yet: as many as triage is held to hold lines of.
const KINDS_MAX: usize = super::HELD;
/// Seconds told apart of all of them, beyond one of each: two are usual, a backlog has a hundred. 16 bytes each, 4 MB.
const PAIRS_MAX: usize = 256 * 1024;

pub(super) type Tallies = HashMap<u64, Tally, BuildHasherDefault<AsItIs>>;

/// Lines of one sketch by second of record time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tally {
    shape: Shape,
    /// By `Level::ALL`.
    level: u8,
    /// The one that was counted last: lines come nearly in order.
    second: i64,
    count: u64,
    others: Vec<(i64, u64)>,
}

impl Tally {
    pub(super) fn new(shape: Shape, level: u8, second: i64) -> Tally {
        Tally { shape, level, second, count: 1, others: Vec::new() }
    }

    #[inline]
    pub(super) fn count(&mut self, second: i64) {
        if self.second == second || !self.add(second, 1, self.has_room()) {
            self.count += 1;
        }
    }

    fn has_room(&self) -> bool {
        self.others.len() + 1 < SECONDS_MAX
    }

    /// `false`: it is a second that is not there yet, and has no room.
    fn add(&mut self, second: i64, lines: u64, has_room: bool) -> bool {
        if self.second == second {
            self.count += lines;
        } else if let Some((_, held)) = self.others.iter_mut().rfind(|(at, _)| *at == second) {
            *held += lines;
        } else if has_room {
            self.others.push((self.second, self.count));
            (self.second, self.count) = (second, lines);
        } else {
            return false;
        }
        true
    }

    /// Lines that had no room: in another second they would make a flood of what was none. `pairs`: held in all.
    fn merge(&mut self, more: &Tally, pairs: &mut usize) -> u64 {
        let (before, mut dropped) = (self.others.len(), 0);
        for &(second, lines) in more.others.iter().chain([&(more.second, more.count)]) {
            let has_room = self.has_room() && *pairs + self.others.len() - before < PAIRS_MAX;
            if !self.add(second, lines, has_room) {
                dropped += lines;
            }
        }
        *pairs += self.others.len() - before;
        dropped
    }

    /// Keeps so many seconds beside the last. The lines of those that go.
    fn keep(&mut self, most: usize) -> u64 {
        let go = self.others.len().saturating_sub(most);
        self.others.drain(..go).map(|(_, lines)| lines).sum()
    }

    fn lines(&self) -> u64 {
        self.count + self.others.iter().map(|(_, lines)| lines).sum::<u64>()
    }

    pub(super) fn into_novel(self, sketch: u64) -> Novel {
        let (cluster, service) = (String::new(), String::new());
        let mut counts = self.others;
        counts.push((self.second, self.count));
        Novel { sketch, cluster, service, revision: 0, shape: self.shape, level: self.level, counts, sample: None }
    }
}

/// What was counted and is not taken yet.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    /// A plain lock: held for as long as one batch's are added, or all are taken away.
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    tallies: Tallies,
    /// Of all of them.
    pairs: usize,
}

impl Waiting {
    /// Lines that had no room.
    #[must_use]
    pub(super) fn add(&self, batch: Tallies) -> u64 {
        if batch.is_empty() {
            return 0;
        }
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let Held { tallies, pairs } = &mut *held;
        let mut dropped = 0;
        for (sketch, mut tally) in batch {
            let has_room = tallies.len() < KINDS_MAX;
            match tallies.entry(sketch) {
                Entry::Occupied(mut held) => dropped += held.get_mut().merge(&tally, pairs),
                Entry::Vacant(free) if has_room => {
                    dropped += tally.keep(PAIRS_MAX.saturating_sub(*pairs));
                    *pairs += tally.others.len();
                    free.insert(tally);
                }
                Entry::Vacant(_) => dropped += tally.lines(),
            }
        }
        dropped
    }

    /// In order of their sketches, so that what follows hangs on nothing but what came.
    pub(super) fn take(&self) -> Vec<Novel> {
        let Held { tallies, .. } = std::mem::take(&mut *self.held.lock().unwrap_or_else(PoisonError::into_inner));
        let mut novel: Vec<Novel> = tallies.into_iter().map(|(sketch, tally)| tally.into_novel(sketch)).collect();
        novel.sort_unstable_by_key(|one| one.sketch);
        novel
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn batch(lines: &[(u64, i64)]) -> Tallies {
        let mut tallies = Tallies::default();
        for &(sketch, second) in lines {
            match tallies.entry(sketch) {
                Entry::Occupied(mut held) => held.get_mut().count(second),
                Entry::Vacant(free) => {
                    free.insert(Tally::new(Shape::Message, 2, second));
                }
            }
        }
        tallies
    }

    proptest! {
        #[test]
        fn every_line_is_in_its_second_however_batches_come(
            batches in proptest::collection::vec(proptest::collection::vec((0..5u64, 0..12i64), 0..40), 0..8),
        ) {
            let waiting = Waiting::default();
            for lines in &batches {
                prop_assert_eq!(waiting.add(batch(lines)), 0);
            }
            let mut naive = BTreeMap::<(u64, i64), u64>::new();
            batches.iter().flatten().for_each(|line| *naive.entry(*line).or_default() += 1);
            let mut taken = BTreeMap::new();
            for novel in waiting.take() {
                for (second, lines) in novel.counts {
                    prop_assert_eq!(taken.insert((novel.sketch, second), lines), None);
                }
            }
            prop_assert_eq!(taken, naive);
            prop_assert!(waiting.take().is_empty());
        }

        #[test]
        fn past_its_bounds_no_line_is_lost_uncounted(
            seconds in proptest::collection::vec(0..1000i64, 1..400),
        ) {
            let waiting = Waiting::default();
            let lines: Vec<(u64, i64)> = seconds.iter().map(|second| (7, *second)).collect();
            let dropped = waiting.add(batch(&lines)) + waiting.add(batch(&lines));
            let taken = waiting.take();
            prop_assert_eq!(taken.iter().map(Novel::lines).sum::<u64>() + dropped, 2 * lines.len() as u64);
            prop_assert!(taken.iter().all(|novel| novel.counts.len() <= SECONDS_MAX));
        }
    }

    #[test]
    fn a_backlog_of_minutes_stays_in_its_seconds_and_what_is_beyond_is_dropped() {
        let waiting = Waiting::default();
        // Batches of 20 s each, as a sender that was cut off brings them, with some lines told twice.
        for batch_no in 0..10 {
            let lines: Vec<(u64, i64)> = (0..20).flat_map(|s| [(7, batch_no * 20 + s); 3]).collect();
            let beyond = (batch_no * 20 + 20 - SECONDS_MAX as i64).clamp(0, 20) as u64;
            assert_eq!(waiting.add(batch(&lines)), 3 * beyond, "{batch_no}");
        }
        let mut counts = waiting.take().remove(0).counts;
        counts.sort_unstable();
        assert_eq!(counts, (0..SECONDS_MAX as i64).map(|second| (second, 3)).collect::<Vec<_>>());
    }

    #[test]
    fn seconds_of_all_kinds_have_one_bound_and_taking_them_makes_room_again() {
        let waiting = Waiting::default();
        let kinds = (PAIRS_MAX / (SECONDS_MAX - 1)) as u64 + 10;
        for _ in 0..2 {
            let (mut dropped, mut given) = (0, 0);
            for (sketch, half) in (0..kinds).flat_map(|sketch| [(sketch, 0), (sketch, 1)]) {
                let seconds = SECONDS_MAX as i64 / 2;
                let lines: Vec<(u64, i64)> = (0..seconds).map(|s| (sketch, half * seconds + s)).collect();
                given += lines.len() as u64;
                dropped += waiting.add(batch(&lines));
            }
            let taken = waiting.take();
            let pairs: usize = taken.iter().map(|novel| novel.counts.len() - 1).sum();
            assert_eq!((pairs, taken.len() as u64), (PAIRS_MAX, kinds));
            assert_eq!(taken.iter().map(Novel::lines).sum::<u64>() + dropped, given);
            assert!(taken.iter().flat_map(|novel| &novel.counts).all(|(_, lines)| *lines == 1), "none is clumped");
        }
    }

    #[test]
    fn kinds_past_the_bound_are_dropped_and_counted() {
        let waiting = Waiting::default();
        let lines: Vec<(u64, i64)> = (0..KINDS_MAX as u64 + 3).flat_map(|sketch| [(sketch, 1), (sketch, 2)]).collect();
        assert_eq!(waiting.add(batch(&lines)), 6);
        assert_eq!(waiting.take().len(), KINDS_MAX);
    }
}
