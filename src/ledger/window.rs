//! The sliding count of one group, and when it crosses.
//!
//! A window of W seconds is sixty buckets of W/60, aligned to the epoch, in record time. The count at a
//! bucket is the sum of that bucket and the sixty before it, so it covers W to W + W/60 and never less. Only
//! buckets that hold something are kept, so a quiet window costs nothing and reads zero.
//!
//! Whether it fires is a function of record time, not of when lines arrive: every commit evaluates, in time
//! order, each place that it changed. Quiet becomes firing when a count reaches the threshold: one crossing.
//! It is armed again after one whole W below the threshold; what arrives later for the time before that
//! belongs to the flood already told, and cannot cross again.

use serde::{Deserialize, Serialize};

/// Buckets in one W.
const BUCKETS: i64 = 60;

/// Most buckets that one window keeps. With the default lateness of 15 minutes every W from 57 s up stays
/// exact for the latest straggler whatever the traffic; a shorter W without an empty bucket in between
/// forgets its oldest, which a straggler of minutes would have needed. 16 KiB a window at the worst.
const KEPT_MAX: usize = 1024;

/// A bucket's number: which W/60 since the epoch.
pub type Bucket = i64;

/// W, 1 s to 24 h.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Width {
    seconds: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// Ascending, each with a count above zero.
    buckets: Vec<(Bucket, u64)>,
    pub phase: Phase,
    /// Last bucket at which the count was at or above the threshold, if nothing more had come.
    above_until: Bucket,
    /// Buckets before it belong to a flood that was told: they cannot cross.
    armed_from: Bucket,
    /// What this window's crossing is told as, while it fires.
    pub escalation: Option<u64>,
    /// When it last changed, by the clock of arrivals, in milliseconds.
    pub touched_ms: i64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    #[default]
    Quiet,
    Firing,
    /// Fell quiet because its service sends nothing: armed again, but nobody may call it resolved.
    NoData {
        back_since_ms: Option<i64>,
    },
}

/// What an evaluation found, in time order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// The count reached the threshold at this bucket.
    Crossed { at: Bucket },
    /// One whole W below the threshold lies behind this bucket.
    Rearmed,
}

impl Width {
    pub fn of_seconds(seconds: u32) -> Width {
        Width { seconds: seconds.max(1) }
    }

    pub fn bucket(self, time_ms: i64) -> Bucket {
        (time_ms * BUCKETS).div_euclid(self.millis())
    }

    /// When a bucket begins, unix milliseconds, rounded up.
    pub fn start_ms(self, bucket: Bucket) -> i64 {
        (bucket * self.millis() + BUCKETS - 1).div_euclid(BUCKETS)
    }

    pub fn millis(self) -> i64 {
        i64::from(self.seconds) * 1000
    }
}

impl Default for Window {
    /// Empty, and armed from the beginning of time.
    fn default() -> Window {
        Window {
            buckets: Vec::new(),
            phase: Phase::Quiet,
            above_until: 0,
            armed_from: Bucket::MIN,
            escalation: None,
            touched_ms: 0,
        }
    }
}

impl Window {
    /// Adds counts (any order) and says what that turned. `keep_from`: buckets before it are forgotten.
    pub fn add(&mut self, counts: &[(Bucket, u64)], threshold: u64, keep_from: Bucket) -> Vec<Turn> {
        let mut changed: Option<(Bucket, Bucket)> = None;
        for (bucket, count) in counts.iter().filter(|(_, count)| *count > 0) {
            self.put(*bucket, *count);
            let (low, high) = changed.unwrap_or((*bucket, *bucket));
            changed = Some((low.min(*bucket), high.max(*bucket)));
        }
        let Some((low, high)) = changed else { return Vec::new() };
        // A change at `low` moves the count of every place up to a W after it.
        let turns = self.evaluate(low, high + BUCKETS, threshold);
        self.forget(keep_from);
        turns
    }

    /// What was counted once, put back at the start: no evaluation.
    pub fn restore(&mut self, counts: &[(Bucket, u64)], above_until: Bucket) {
        self.above_until = above_until;
        for (bucket, count) in counts {
            self.put(*bucket, *count);
        }
    }

    fn put(&mut self, bucket: Bucket, count: u64) {
        match self.buckets.binary_search_by_key(&bucket, |(b, _)| *b) {
            Ok(place) => {
                if let Some((_, held)) = self.buckets.get_mut(place) {
                    *held = held.saturating_add(count);
                }
            }
            Err(place) => self.buckets.insert(place, (bucket, count)),
        }
    }

    /// A count is at its highest where a bucket holds something, or at the first place that may cross at
    /// all; so only those places are looked at.
    fn evaluate(&mut self, low: Bucket, high: Bucket, threshold: u64) -> Vec<Turn> {
        let mut turns = Vec::new();
        let mut next = (low.max(self.armed_from) <= high).then_some(low.max(self.armed_from));
        while let Some(at) = next {
            if self.phase == Phase::Firing && self.has_been_below(at) {
                self.rearm(Phase::Quiet);
                turns.push(Turn::Rearmed);
            }
            if let Some(last_needed) = self.reaches(at, threshold) {
                if self.phase == Phase::Firing {
                    self.above_until = self.above_until.max(last_needed + BUCKETS);
                } else {
                    self.phase = Phase::Firing;
                    self.above_until = last_needed + BUCKETS;
                    turns.push(Turn::Crossed { at });
                }
            }
            let place = self.buckets.partition_point(|(b, _)| *b <= at);
            next = self.buckets.get(place).map(|(b, _)| *b).filter(|b| *b <= high);
        }
        turns
    }

    /// Whether the count at `at` reaches the threshold; if so, the latest bucket that is enough with those
    /// after it: the count stays up until that one slides out.
    fn reaches(&self, at: Bucket, threshold: u64) -> Option<Bucket> {
        let upto = self.buckets.partition_point(|(b, _)| *b <= at);
        let mut sum = 0u64;
        for (bucket, count) in self.buckets.get(..upto)?.iter().rev().take_while(|(b, _)| *b >= at - BUCKETS) {
            sum = sum.saturating_add(*count);
            if sum >= threshold {
                return Some(*bucket);
            }
        }
        None
    }

    /// Whether, seen from bucket `now`, one whole W below the threshold has passed.
    pub fn has_been_below(&self, now: Bucket) -> bool {
        now > self.above_until.saturating_add(BUCKETS)
    }

    /// Armed anew; the time of the flood that was told is closed.
    pub fn rearm(&mut self, phase: Phase) {
        self.armed_from = self.above_until.saturating_add(BUCKETS + 1);
        self.phase = phase;
    }

    /// The last bucket at which the flood still stood above the threshold.
    pub fn above_until(&self) -> Bucket {
        self.above_until
    }

    /// The count as of `now`.
    pub fn count(&self, now: Bucket) -> u64 {
        self.buckets
            .iter()
            .rev()
            .skip_while(|(b, _)| *b > now)
            .take_while(|(b, _)| *b >= now - BUCKETS)
            .fold(0, |sum, (_, n)| sum.saturating_add(*n))
    }

    /// What is kept, by bucket, ascending.
    pub fn buckets(&self) -> &[(Bucket, u64)] {
        &self.buckets
    }

    /// Everything from the beginning of the window that ends at `at`, on: what a crossing there tells.
    pub fn count_since_window_of(&self, at: Bucket) -> u64 {
        self.buckets.iter().filter(|(b, _)| *b >= at - BUCKETS).fold(0, |sum, (_, n)| sum.saturating_add(*n))
    }

    /// Begin of the first bucket that such a count includes.
    pub fn first_since_window_of(&self, at: Bucket) -> Option<Bucket> {
        self.buckets.iter().map(|(b, _)| *b).find(|b| *b >= at - BUCKETS)
    }

    /// Whether nothing is lost by forgetting it: quiet, and nothing within a W before `now`.
    pub fn is_expired(&self, now: Bucket) -> bool {
        self.phase == Phase::Quiet && self.buckets.last().is_none_or(|(b, _)| *b < now - BUCKETS)
    }

    fn forget(&mut self, keep_from: Bucket) {
        let over = self.buckets.len().saturating_sub(KEPT_MAX);
        // Never one that the newest window still counts.
        let live = self.buckets.last().map_or(keep_from, |(b, _)| b - BUCKETS);
        let old = self.buckets.partition_point(|(b, _)| *b < keep_from.min(live));
        self.buckets.drain(..old.max(over));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MINUTE: Width = Width { seconds: 60 };

    /// A second of record time is one bucket of a minute's window.
    fn add(window: &mut Window, seconds: &[i64], threshold: u64) -> Vec<Turn> {
        let counts: Vec<_> = seconds.iter().map(|s| (MINUTE.bucket(s * 1000), 1)).collect();
        window.add(&counts, threshold, Bucket::MIN)
    }

    #[test]
    fn the_count_covers_a_whole_window_and_at_most_one_bucket_more() {
        let mut window = Window::default();
        add(&mut window, &[100, 100, 130], 1000);
        for (now, want) in [(99, 0), (100, 2), (130, 3), (160, 3), (161, 1), (190, 1), (191, 0), (10_000, 0)] {
            assert_eq!(window.count(now), want, "at {now}");
        }
    }

    #[test]
    fn a_window_crosses_once_and_again_only_after_a_whole_window_below() {
        let mut window = Window::default();
        assert_eq!(add(&mut window, &[0, 1], 3), []);
        assert_eq!(add(&mut window, &[2], 3), [Turn::Crossed { at: 2 }]);
        assert_eq!(add(&mut window, &[3, 4, 5, 50], 3), [], "still firing");
        // Three of the lines from 4 on are in the window up to 4 + 60; one W below ends at 124.
        assert!(!window.has_been_below(124));
        assert!(window.has_been_below(125));
        assert_eq!(add(&mut window, &[124, 124, 124], 3), [], "not armed yet: it goes on");
        assert_eq!(add(&mut window, &[400, 400, 400], 3), [Turn::Rearmed, Turn::Crossed { at: 400 }]);
    }

    #[test]
    fn a_straggler_of_a_flood_that_was_told_does_not_cross_again() {
        let mut window = Window::default();
        assert_eq!(add(&mut window, &[0, 0, 0], 3), [Turn::Crossed { at: 0 }]);
        window.rearm(Phase::Quiet);
        assert_eq!(add(&mut window, &[1, 2], 3), []);
        assert_eq!(add(&mut window, &[130], 3), []);
        assert_eq!(add(&mut window, &[131, 132], 3), [Turn::Crossed { at: 132 }]);
    }

    #[test]
    fn lines_spread_thinner_than_the_threshold_never_cross() {
        let mut window = Window::default();
        for second in (0..10_000).step_by(31) {
            assert_eq!(add(&mut window, &[second], 3), [], "two a minute at most, at {second}");
        }
    }

    #[test]
    fn buckets_have_the_same_border_for_every_width_and_before_the_epoch() {
        for seconds in [1, 7, 60, 86_400] {
            let width = Width::of_seconds(seconds);
            for time in [-1, 0, 1, 999, 1_790_000_000_123] {
                let bucket = width.bucket(time);
                assert!(width.start_ms(bucket) <= time && time < width.start_ms(bucket + 1), "{seconds} {time}");
            }
        }
    }

    /// The reference: a list of instants, floored to buckets, every place looked at.
    #[derive(Default)]
    struct Naive {
        instants: Vec<Bucket>,
        firing: bool,
        above_until: Bucket,
        armed_from: Option<Bucket>,
    }

    impl Naive {
        fn count(&self, at: Bucket) -> u64 {
            self.instants.iter().filter(|i| (at - 60..=at).contains(*i)).count() as u64
        }

        fn add(&mut self, instants: &[Bucket], threshold: u64) -> Vec<Turn> {
            self.instants.extend(instants);
            let Some(low) = instants.iter().min() else { return Vec::new() };
            let mut turns = Vec::new();
            for at in *low..=instants.iter().max().expect("some") + 60 {
                if self.firing && at > self.above_until + 60 {
                    self.firing = false;
                    self.armed_from = Some(self.above_until + 61);
                    if self.instants.iter().any(|i| *i >= at && *i <= instants.iter().max().expect("some") + 60) {
                        turns.push(Turn::Rearmed);
                    } else {
                        // The window only looks where something is; the rest is the tick's.
                        self.firing = true;
                        self.armed_from = None;
                        break;
                    }
                }
                if self.armed_from.is_some_and(|from| at < from) || self.count(at) < threshold {
                    continue;
                }
                if !self.firing {
                    self.firing = true;
                    self.above_until = at;
                    turns.push(Turn::Crossed { at });
                }
                self.above_until = self.above_until.max(at);
            }
            turns
        }
    }

    proptest! {
        #[test]
        fn counts_and_crossings_equal_a_list_of_instants(
            commits in proptest::collection::vec(proptest::collection::vec(0i64..700, 1..8), 1..12),
            threshold in 1u64..6,
        ) {
            let (mut window, mut naive) = (Window::default(), Naive::default());
            for instants in &commits {
                let counts: Vec<_> = instants.iter().map(|i| (*i, 1)).collect();
                let turns = window.add(&counts, threshold, Bucket::MIN);
                let crossed = |turns: &[Turn]| turns.iter().filter(|t| matches!(t, Turn::Crossed { .. })).copied().collect::<Vec<_>>();
                prop_assert_eq!(crossed(&turns), crossed(&naive.add(instants, threshold)), "{:?}", instants);
            }
            for now in (0..900).step_by(7) {
                prop_assert_eq!(window.count(now), naive.count(now));
            }
        }
    }
}
