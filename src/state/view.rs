//! What people see of where the state is kept: `/status`, and two metrics.

use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

pub struct View {
    /// Without secrets.
    url: String,
    shown: Mutex<Shown>,
}

#[derive(Default)]
struct Shown {
    /// What the start found; `None`: the store had its own.
    began: Option<&'static str>,
    written_ms: Option<i64>,
    bytes: usize,
    left_out: u64,
    last_error: Option<String>,
    /// Since when what is kept may not be what is in force.
    behind_since_ms: Option<i64>,
}

impl View {
    pub(super) fn new(url: String) -> View {
        View { url, shown: Mutex::default() }
    }

    pub(super) fn began(&self, found: &'static str) {
        self.lock().began = Some(found);
    }

    pub(super) fn changed(&self, now_ms: i64) {
        self.lock().behind_since_ms.get_or_insert(now_ms);
    }

    /// Whether that is another fault than the last.
    pub(super) fn failed(&self, words: &str) -> bool {
        let before = self.lock().last_error.replace(words.to_owned());
        before.as_deref() != Some(words)
    }

    /// It was written; `None`: what is there already is what would have been.
    pub(super) fn kept(&self, written: Option<(i64, usize)>, left_out: u64) {
        let mut shown = self.lock();
        if let Some((at_ms, bytes)) = written {
            (shown.written_ms, shown.bytes) = (Some(at_ms), bytes);
        }
        if shown.last_error.is_some() {
            tracing::info!(state = self.url, "the state is kept again");
        }
        (shown.left_out, shown.last_error, shown.behind_since_ms) = (left_out, None, None);
    }

    /// Seconds since which something is not kept yet; 0: all is.
    pub fn age_seconds(&self, now_ms: i64) -> i64 {
        self.lock().behind_since_ms.map_or(0, |since| (now_ms - since).max(0) / 1000)
    }

    pub fn status(&self, now_ms: i64) -> Value {
        let age_seconds = self.age_seconds(now_ms);
        let shown = self.lock();
        json!({
            "url": self.url,
            "at_start": shown.began.unwrap_or("not_needed"),
            "last_written_ms": shown.written_ms,
            "bytes": shown.bytes,
            "left_out": shown.left_out,
            "age_seconds": age_seconds,
            "last_error": shown.last_error,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Shown> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
