//! How long ago something was, by whichever clock runs: the machine's, or that of records that are read again.
//!
//! What has a rhythm of its own (sweeps, snapshots) asks here, so that a day of old lines has as many of its beats as
//! that day had.

use std::time::Duration;

use tokio::time::Instant;

/// Which clock runs.
#[derive(Clone, Copy, Debug, Default)]
pub enum Passing {
    #[default]
    Real,
    /// That of records, in unix milliseconds.
    Recorded(fn() -> i64),
}

/// A point on it.
#[derive(Clone, Copy, Debug)]
pub struct Moment(At);

#[derive(Clone, Copy, Debug)]
enum At {
    Real(Instant),
    Recorded(fn() -> i64, i64),
}

impl Passing {
    pub fn now(self) -> Moment {
        Moment(match self {
            Passing::Real => At::Real(Instant::now()),
            Passing::Recorded(clock) => At::Recorded(clock, clock()),
        })
    }

    /// Records that are read again: nothing of it is stored.
    pub fn is_recorded(self) -> bool {
        matches!(self, Passing::Recorded(_))
    }
}

impl Moment {
    pub fn elapsed(&self) -> Duration {
        match self.0 {
            At::Real(since) => since.elapsed(),
            At::Recorded(clock, since_ms) => {
                Duration::from_millis(u64::try_from(clock().saturating_sub(since_ms)).unwrap_or(0))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    thread_local!(static NOW: Cell<i64> = const { Cell::new(0) });

    #[test]
    fn recorded_time_passes_with_its_clock_and_never_backwards() {
        let begun = Passing::Recorded(|| NOW.get()).now();
        assert_eq!(begun.elapsed(), Duration::ZERO);
        NOW.set(1_500);
        assert_eq!(begun.elapsed(), Duration::from_millis(1_500));
        NOW.set(-7);
        assert_eq!(begun.elapsed(), Duration::ZERO);
    }
}
