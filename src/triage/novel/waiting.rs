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
/// Seconds told apart of each of them: two are usual, for what comes late there are more.
const SECONDS_HERE_MAX: usize = 16;

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
        if self.second == second {
            self.count += 1;
        } else {
            self.add(second, 1, SECONDS_MAX);
        }
    }

    /// Past `most` seconds further ones count in the last.
    fn add(&mut self, second: i64, lines: u64, most: usize) {
        if self.second == second || self.others.len() + 1 >= most {
            self.count += lines;
        } else if let Some((_, held)) = self.others.iter_mut().rfind(|(at, _)| *at == second) {
            *held += lines;
        } else {
            self.others.push((self.second, self.count));
            (self.second, self.count) = (second, lines);
        }
    }

    fn merge(&mut self, more: &Tally) {
        for &(second, lines) in more.others.iter().chain([&(more.second, more.count)]) {
            self.add(second, lines, SECONDS_HERE_MAX);
        }
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
    tallies: Mutex<Tallies>,
}

impl Waiting {
    /// Lines that had no room.
    #[must_use]
    pub(super) fn add(&self, batch: Tallies) -> u64 {
        if batch.is_empty() {
            return 0;
        }
        let mut tallies = self.tallies.lock().unwrap_or_else(PoisonError::into_inner);
        let mut dropped = 0;
        for (sketch, tally) in batch {
            let has_room = tallies.len() < KINDS_MAX;
            match tallies.entry(sketch) {
                Entry::Occupied(mut held) => held.get_mut().merge(&tally),
                Entry::Vacant(free) if has_room => {
                    free.insert(tally);
                }
                Entry::Vacant(_) => dropped += tally.lines(),
            }
        }
        dropped
    }

    /// In order of their sketches, so that what follows hangs on nothing but what came.
    pub(super) fn take(&self) -> Vec<Novel> {
        let tallies = std::mem::take(&mut *self.tallies.lock().unwrap_or_else(PoisonError::into_inner));
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
            for half in [&lines, &lines] {
                prop_assert_eq!(waiting.add(batch(half)), 0);
            }
            let taken = waiting.take();
            prop_assert_eq!(taken.iter().map(Novel::lines).sum::<u64>(), 2 * lines.len() as u64);
            prop_assert!(taken.iter().all(|novel| novel.counts.len() <= SECONDS_MAX));
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
