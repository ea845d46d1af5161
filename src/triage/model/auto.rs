//! Ollama where it is, and no model where it is not: found out by looking, and looked at again.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::ollama::Ollama;
use super::{Choice, Failed, State};

pub struct Auto {
    ollama: Ollama,
    look_again: Duration,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    looked: Option<Instant>,
    /// Why there is no model to ask; `None` if there is one.
    missing: Option<String>,
    since: Option<Instant>,
}

impl Auto {
    pub(super) fn new(ollama: Ollama, look_again: Duration) -> Self {
        let seen = Seen { missing: Some("it has not been looked for yet".to_owned()), ..Seen::default() };
        Self { ollama, look_again, seen: Mutex::new(seen) }
    }

    pub(super) fn ollama(&self) -> &Ollama {
        &self.ollama
    }

    pub(super) async fn choose(&self) -> Choice {
        let due = self.lock().looked.is_none_or(|at| at.elapsed() >= self.look_again);
        if due {
            // What is missing is kept for the state; the choice is all that matters here.
            drop(self.look().await);
        }
        if self.lock().missing.is_none() { Choice::Model } else { Choice::Builtin }
    }

    pub(super) async fn look(&self) -> Result<(), Failed> {
        let looked = self.ollama.probe().await;
        let missing = looked.as_ref().err().map(|failed| failed.words.clone());
        let now = Instant::now();
        let mut seen = self.lock();
        if seen.missing.is_some() != missing.is_some() || seen.looked.is_none() {
            seen.since = Some(now);
        }
        seen.looked = Some(now);
        seen.missing = missing;
        drop(seen);
        looked
    }

    pub(super) fn state(&self) -> State {
        let seen = self.lock();
        if seen.missing.is_none() {
            return self.ollama.state();
        }
        let since_seconds = seen.since.map_or(0, |since| since.elapsed().as_secs());
        State { since_seconds, last_error: seen.missing.clone(), ..State::absent() }
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
