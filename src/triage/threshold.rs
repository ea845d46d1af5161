//! Which count is too much: from a kind's own past, or from a number somebody has proposed.
//!
//! Counts of lines are small and come in bursts, so nothing here is a mean and some deviations. Of a Poisson
//! law for the rate that the past allows at most, the tail is taken exactly; where the past has been rougher than
//! that law, what it has reached is the floor. One window of the past is left out, the highest: one outage must
//! not raise the threshold above the next one. More of anything in the past never lowers the threshold.

/// Below two, one line would be a flood.
pub const MIN: u64 = 2;
/// Far above what any kind worth watching reaches.
pub const MAX: u64 = 1_000_000;
/// What holds where nothing else is known.
pub const DEFAULT: u64 = 3;
/// With fewer windows of history the highest says little about the next.
pub const WINDOWS_MIN: usize = 10;

/// Chance that a window of ordinary life reaches the threshold; there are 1,440 windows of a minute in a day.
const TAIL: f64 = 1e-6;
/// The same in standard deviations, for rates at which the tail is nearly normal.
const DEVIATIONS: f64 = 4.76;
/// Above it the normal tail is right to a line in a hundred, and the exact one would underflow soon after.
const NORMAL_FROM: f64 = 500.0;

/// The threshold for a kind that came so often in each past window, the silent ones included. `None`: the past
/// is too short to tell.
pub fn from_history(counts_per_window: &[u64]) -> Option<u64> {
    if counts_per_window.len() < WINDOWS_MIN {
        return None;
    }
    let mut counts = counts_per_window.to_vec();
    counts.sort_unstable();
    counts.pop();
    let highest = counts.last().copied().unwrap_or(0) as f64;
    // Summed as floats: the counts are anybody's.
    let total: f64 = counts.iter().map(|count| *count as f64).sum();
    let reached = highest + 3.0 * highest.sqrt() + 1.0;
    Some(bounded(above(at_most(total) / counts.len() as f64).max(reached)))
}

/// The threshold for a kind of which `count` lines came within `over_seconds`, for windows of `window_seconds`.
/// Half as much again is the least margin: a rate over one stretch of time knows nothing of its swings.
pub fn from_rate(count: u64, over_seconds: u64, window_seconds: u64) -> u64 {
    let windows = over_seconds.max(1) as f64 / window_seconds.max(1) as f64;
    bounded(above(at_most(count as f64) / windows).max(count as f64 / windows * 1.5))
}

/// A number that a model has proposed, made to lie within the bounds.
pub fn clamp(model_number: Option<f64>) -> u64 {
    match model_number {
        Some(number) if number >= 0.0 => bounded(number),
        _ => DEFAULT,
    }
}

fn bounded(number: f64) -> u64 {
    // A float becomes the nearest integer there is; NaN does not come here.
    (number.ceil() as u64).clamp(MIN, MAX)
}

/// The most that was to be expected where `total` came: three deviations more, and where nothing came, four.
fn at_most(total: f64) -> f64 {
    total + 3.0 * total.sqrt() + 4.0
}

/// The least count that a Poisson law of this rate reaches with a chance of [`TAIL`] at most.
fn above(rate: f64) -> f64 {
    if rate > NORMAL_FROM {
        return rate + DEVIATIONS * rate.sqrt() + (DEVIATIONS * DEVIATIONS - 1.0) / 6.0;
    }
    let (mut count, mut term) = (0.0, (-rate).exp());
    let mut below = term;
    // A rate of 500 gets there at 617.
    while 1.0 - below > TAIL && count < 2.0 * NORMAL_FROM {
        count += 1.0;
        term *= rate / count;
        below += term;
    }
    count + 1.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A small generator of our own: the same histories in every run.
    struct Random(u64);

    impl Random {
        fn unit(&mut self) -> f64 {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 11) as f64 / (1_u64 << 53) as f64
        }

        /// By arrivals, one after another: exact, and slow only for rates that are not tried.
        fn poisson(&mut self, rate: f64) -> u64 {
            let (mut count, mut time) = (0, 0.0);
            loop {
                time -= (1.0 - self.unit()).ln();
                if time > rate {
                    return count;
                }
                count += 1;
            }
        }
    }

    /// The chance that a window reaches `threshold`, summed from there on.
    fn tail(rate: f64, threshold: u64) -> f64 {
        let log_factorial: f64 = (1..=threshold).map(|k| (k as f64).ln()).sum();
        let mut term = (threshold as f64 * rate.ln() - rate - log_factorial).exp();
        let mut sum = 0.0;
        for k in threshold + 1..threshold + 400 {
            sum += term;
            term *= rate / k as f64;
        }
        sum
    }

    #[test]
    fn ordinary_life_crosses_less_than_once_in_a_year_of_minutes() {
        let mut random = Random(1);
        for rate in [0.01, 0.1, 0.5, 1.0, 3.0, 10.0, 50.0, 300.0, 2_000.0] {
            for windows in [10, 30, 288, 1_440] {
                let rounds = if rate * windows as f64 > 100_000.0 { 4 } else { 40 };
                let mut a_day = 0.0;
                for _ in 0..rounds {
                    let history: Vec<u64> = (0..windows).map(|_| random.poisson(rate)).collect();
                    a_day += tail(rate, from_history(&history).unwrap()) * 1_440.0 / f64::from(rounds);
                }
                assert!(a_day < 1.0 / 365.0, "{a_day} a day at {rate} over {windows} windows");
            }
        }
    }

    #[test]
    fn a_threshold_is_near_enough_to_be_of_use() {
        for (history, least, most) in [
            ([0; 10].to_vec(), 4, 7),
            ([0; 1_000].to_vec(), 2, 3),
            ([1; 100].to_vec(), 8, 11),
            ([10; 100].to_vec(), 26, 31),
            ([1_000; 100].to_vec(), 1_090, 1_200),
            ([100_000; 100].to_vec(), 100_900, 102_000),
            ([u64::MAX; 100].to_vec(), MAX, MAX),
        ] {
            let threshold = from_history(&history).unwrap();
            assert!((least..=most).contains(&threshold), "{threshold} for {}", history[0]);
        }
    }

    #[test]
    fn nine_windows_tell_nothing_and_one_spike_among_many_neither() {
        assert_eq!(from_history(&[5; 9]), None);
        assert_eq!(from_history(&[]), None);
        let mut history = vec![5; 50];
        let before = from_history(&history);
        history[20] = 100_000;
        assert_eq!(from_history(&history), before);
        // Two are life.
        history[30] = 100_000;
        assert!(from_history(&history) > Some(100_000));
    }

    #[test]
    fn what_a_model_proposes_is_made_to_fit() {
        #[rustfmt::skip]
        let cases = [
            (None, 3), (Some(f64::NAN), 3), (Some(-1.0), 3), (Some(f64::NEG_INFINITY), 3), (Some(0.0), 2), (Some(1.0), 2),
            (Some(2.2), 3), (Some(10.0), 10), (Some(1e6), 1_000_000), (Some(1e300), 1_000_000), (Some(f64::INFINITY), 1_000_000),
        ];
        for (number, threshold) in cases {
            assert_eq!(clamp(number), threshold, "{number:?}");
        }
    }

    #[test]
    fn a_rate_is_exceeded_by_half_at_least() {
        for (count, over, window, least, most) in [
            (0, 3_600, 300, 4, 7),
            (12, 3_600, 300, 9, 13),
            (3_600, 3_600, 300, 450, 450),
            (1, 1, 1, 10, 30),
            (0, 0, 0, 4, 20),
        ] {
            let threshold = from_rate(count, over, window);
            assert!((least..=most).contains(&threshold), "{threshold} for {count} in {over} s");
        }
    }

    proptest! {
        #[test]
        fn more_in_the_past_never_lowers_the_threshold(
            history in prop::collection::vec(0_u64..2_000, 10..60), at in any::<prop::sample::Index>(), more in 0_u64..5_000,
        ) {
            let mut higher = history.clone();
            higher[at.index(history.len())] += more;
            prop_assert!(from_history(&higher) >= from_history(&history));
        }

        #[test]
        fn no_history_leaves_the_bounds(history in prop::collection::vec(any::<u64>(), 0..40)) {
            let threshold = from_history(&history);
            prop_assert_eq!(threshold.is_some(), history.len() >= WINDOWS_MIN);
            prop_assert!(threshold.is_none_or(|t| (MIN..=MAX).contains(&t)));
        }

        #[test]
        fn the_tail_rises_with_the_rate(rate in 0.0_f64..2_000.0, more in 0.0_f64..100.0) {
            prop_assert!(above(rate + more) >= above(rate));
        }
    }
}
