//! Leaving a server alone that has failed too often.
//!
//! After so many failures in a row it is not asked for a while; then one call is let through, and decides:
//! its success ends the matter, its failure doubles the wait up to a limit. A server that asks for a pause
//! gets it at once. A call that was dropped says nothing about the server.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// No server may ask for longer than that.
const LONGEST_ASKED: Duration = Duration::from_secs(3600);

pub(crate) struct Breaker {
    failures_allowed: u32,
    first: Duration,
    longest: Duration,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    failures: u32,
    closed_until: Option<Instant>,
    /// Of the last pause that was not asked for.
    pause: Option<Duration>,
    trying: bool,
}

/// The permission to make one call. Dropped without a word, it leaves all as it was.
pub(crate) struct Pass<'a> {
    breaker: &'a Breaker,
    /// The one call after a pause.
    trial: bool,
}

impl Breaker {
    pub(crate) fn new(failures_allowed: u32, first: Duration, longest: Duration) -> Self {
        Self { failures_allowed: failures_allowed.max(1), first, longest, inner: Mutex::default() }
    }

    /// Or how long it is still to be left alone.
    pub(crate) fn admit(&self, now: Instant) -> Result<Pass<'_>, Duration> {
        let mut inner = self.lock();
        let Some(until) = inner.closed_until else { return Ok(Pass { breaker: self, trial: false }) };
        if now < until || inner.trying {
            return Err(until.saturating_duration_since(now));
        }
        inner.trying = true;
        Ok(Pass { breaker: self, trial: true })
    }

    /// How long it is left alone yet; zero when a trial is due.
    pub(crate) fn pausing(&self, now: Instant) -> Option<Duration> {
        self.lock().closed_until.map(|until| until.saturating_duration_since(now))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pass<'_> {
    pub(crate) fn succeeded(self) {
        *self.breaker.lock() = Inner::default();
    }

    /// `asked`: the pause that the server named.
    pub(crate) fn failed(self, now: Instant, asked: Option<Duration>) {
        let breaker = self.breaker;
        let mut inner = breaker.lock();
        inner.failures = inner.failures.saturating_add(1);
        if let Some(asked) = asked {
            inner.closed_until = Some(now + asked.min(LONGEST_ASKED));
        } else if inner.failures >= breaker.failures_allowed {
            let pause = inner.pause.map_or(breaker.first, |pause| pause.saturating_mul(2)).min(breaker.longest);
            inner.pause = Some(pause);
            inner.closed_until = Some(now + pause);
        } else {
            // A pause that was asked for is over.
            inner.closed_until = None;
        }
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        if self.trial {
            self.breaker.lock().trying = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    fn fail(breaker: &Breaker, now: Instant) {
        breaker.admit(now).expect("admitted").failed(now, None);
    }

    #[test]
    fn it_opens_after_so_many_failures_in_a_row_and_waits_twice_as_long_each_time() {
        let breaker = Breaker::new(2, S, 3 * S);
        let mut now = Instant::now();
        fail(&breaker, now);
        breaker.admit(now).expect("one failure is none").succeeded();
        fail(&breaker, now);
        fail(&breaker, now);
        for pause in [1, 2, 3, 3] {
            assert_eq!(breaker.pausing(now), Some(pause * S));
            assert_eq!(breaker.admit(now + pause * S - S / 2).err(), Some(S / 2));
            now += pause * S;
            fail(&breaker, now);
        }
        now += 3 * S;
        breaker.admit(now).expect("the trial").succeeded();
        assert_eq!(breaker.pausing(now), None);
        fail(&breaker, now);
        assert_eq!(breaker.pausing(now), None, "after a success it counts anew");
    }

    #[test]
    fn one_call_at_a_time_is_the_trial_and_a_dropped_one_gives_its_place_back() {
        let breaker = Breaker::new(1, S, S);
        let now = Instant::now();
        fail(&breaker, now);
        let later = now + S;
        let trial = breaker.admit(later).expect("the trial");
        assert!(breaker.admit(later).is_err());
        drop(trial);
        assert!(breaker.admit(later).is_ok());
    }

    #[test]
    fn a_pause_that_is_asked_for_is_kept_at_once_and_has_a_bound() {
        let breaker = Breaker::new(3, S, S);
        let now = Instant::now();
        breaker.admit(now).expect("admitted").failed(now, Some(7 * S));
        assert_eq!(breaker.pausing(now), Some(7 * S));
        let later = now + 7 * S;
        breaker.admit(later).expect("the trial").failed(later, Some(Duration::MAX));
        assert_eq!(breaker.pausing(later), Some(LONGEST_ASKED));
    }
}
