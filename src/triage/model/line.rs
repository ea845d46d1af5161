//! The line to one server: one call at a time, through the breaker, and how things stand.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{self, Instant};

use super::breaker::{Breaker, Pass};
use super::{Condition, Failed, Patience, State, Why};

pub(super) struct Line {
    provider: &'static str,
    model: String,
    /// To be shown: without user and password.
    address: String,
    patience: Patience,
    one: Semaphore,
    breaker: Breaker,
    standing: Mutex<Standing>,
}

struct Standing {
    condition: Condition,
    since: Instant,
    last_error: Option<String>,
    advice: Vec<String>,
    /// The end of the last call that went well.
    last_success: Option<Instant>,
}

/// The right to make calls, and the duty to say how they went. Dropped without a word, it says nothing.
pub(super) struct Turn<'a> {
    line: &'a Line,
    pass: Option<Pass<'a>>,
    _one: SemaphorePermit<'a>,
    /// The condition to go back to, should the turn end without an outcome.
    before: Condition,
}

impl Line {
    pub(super) fn new(provider: &'static str, model: &str, address: String, patience: Patience) -> Self {
        Self {
            provider,
            model: model.to_owned(),
            address,
            patience,
            one: Semaphore::new(1),
            breaker: Breaker::new(patience.failures, patience.first_pause, patience.longest_pause),
            standing: Mutex::new(Standing {
                condition: Condition::Untried,
                since: Instant::now(),
                last_error: None,
                advice: Vec::new(),
                last_success: None,
            }),
        }
    }

    pub(super) fn patience(&self) -> &Patience {
        &self.patience
    }

    pub(super) fn model(&self) -> &str {
        &self.model
    }

    /// Waits for the call before this one, which has its own deadline.
    pub(super) async fn turn(&self) -> Result<Turn<'_>, Failed> {
        let longest = self.patience.load + self.patience.answer;
        let Ok(Ok(one)) = time::timeout(longest, self.one.acquire()).await else {
            return Err(Failed::new(Why::Busy, "other calls to the model are still waiting for their answers"));
        };
        match self.breaker.admit(Instant::now()) {
            Ok(pass) => Ok(Turn { line: self, pass: Some(pass), _one: one, before: self.lock().condition }),
            Err(left) => {
                let last = self.lock().last_error.clone().unwrap_or_default();
                let mut failed =
                    Failed::new(Why::BreakerOpen, format!("not asked for another {} s: {last}", left.as_secs() + 1));
                failed.pause = Some(left);
                Err(failed)
            }
        }
    }

    /// Whether the last call went well, and not long ago.
    pub(super) fn is_fresh(&self) -> bool {
        self.lock().last_success.is_some_and(|at| at.elapsed() < self.patience.fresh)
    }

    pub(super) fn advise(&self, advice: Vec<String>) {
        self.lock().advice = advice;
    }

    /// Something went wrong, or was found to be wrong, outside of a turn.
    pub(super) fn note(&self, failed: &Failed) {
        let mut standing = self.lock();
        standing.last_error = Some(failed.words.clone());
        standing.set(Condition::Failing);
    }

    /// What was wrong when it was looked at is so no longer.
    pub(super) fn is_there(&self) {
        let mut standing = self.lock();
        if standing.condition == Condition::Failing && self.breaker.pausing(Instant::now()).is_none() {
            standing.last_error = None;
            standing.set(Condition::Untried);
        }
    }

    pub(super) fn state(&self) -> State {
        let now = Instant::now();
        let pausing = self.breaker.pausing(now).is_some_and(|left| left > Duration::ZERO);
        let standing = self.lock();
        State {
            provider: self.provider,
            model: Some(self.model.clone()),
            address: Some(self.address.clone()),
            condition: if pausing { Condition::BreakerOpen } else { standing.condition },
            since_seconds: now.saturating_duration_since(standing.since).as_secs(),
            last_error: standing.last_error.clone(),
            advice: standing.advice.clone(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turn<'_> {
    pub(super) fn loading(&self) {
        self.line.lock().set(Condition::Loading);
    }

    /// Ends the turn: what comes of it is the server's standing.
    pub(super) fn end<T>(mut self, outcome: Result<T, Failed>) -> Result<T, Failed> {
        let now = Instant::now();
        let Some(pass) = self.pass.take() else { return outcome };
        let mut standing = self.line.lock();
        match &outcome {
            Ok(_) => {
                pass.succeeded();
                standing.last_error = None;
                standing.last_success = Some(now);
                standing.set(Condition::Ready);
            }
            Err(failed) => {
                standing.last_error = Some(failed.words.clone());
                if failed.blames_the_server() {
                    pass.failed(now, failed.pause);
                    standing.last_success = None;
                    standing.set(Condition::Failing);
                } else {
                    // It answers; it is this question that it had no answer to.
                    pass.succeeded();
                    standing.last_success = Some(now);
                    standing.set(Condition::Ready);
                }
            }
        }
        drop(standing);
        outcome
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if self.pass.is_some() {
            self.line.lock().set(self.before);
        }
    }
}

impl Standing {
    fn set(&mut self, condition: Condition) {
        if self.condition != condition {
            self.condition = condition;
            self.since = Instant::now();
        }
    }
}
