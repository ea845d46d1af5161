//! What people may see of triage: who judges, what waits, what was decided and why; and whether it lives at all.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};

use super::Why;
use crate::redact::Redacted;

/// Decisions shown, the newest.
const DECISIONS_MAX: usize = 200;
/// It says something every second; silent for so long, it hangs. Milliseconds.
const SILENT_MS: i64 = 60_000;

/// Shared by triage, which writes it, and control, which shows it.
#[derive(Default)]
pub struct View {
    /// A plain lock: held for a copy.
    state: Mutex<State>,
}

#[derive(Clone, Default)]
struct State {
    standing: Standing,
    decisions: VecDeque<Decision>,
    /// By outcome, also of those that are not shown any more.
    decided: BTreeMap<&'static str, u64>,
    /// When it was last heard of, unix milliseconds; `None`: not yet, or it panicked since.
    beat_ms: Option<i64>,
    panics: u64,
}

/// How triage does now.
#[derive(Clone, Debug, Default)]
pub struct Standing {
    /// `ollama`, `openai`, `builtin`.
    pub provider: String,
    /// As the provider says of itself; `null` for the built-in one.
    pub model: Value,
    pub kinds: usize,
    pub waiting: usize,
    pub asking: usize,
}

/// What was decided about one kind.
#[derive(Clone, Debug)]
pub struct Decision {
    pub at_ms: i64,
    pub service: Redacted,
    pub template: Redacted,
    pub why: Why,
    /// `ignore`, `watch`, `investigate`, or a refusal's name.
    pub outcome: &'static str,
    pub label: Option<String>,
    pub by: String,
    pub reason: Redacted,
}

impl View {
    pub fn stand(&self, standing: Standing) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).standing = standing;
    }

    pub fn decided(&self, decision: Decision) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.decisions.len() >= DECISIONS_MAX {
            state.decisions.pop_back();
        }
        *state.decided.entry(decision.outcome).or_default() += 1;
        state.decisions.push_front(decision);
    }

    /// How many there were, by outcome.
    pub fn decided_in_all(&self) -> BTreeMap<&'static str, u64> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).decided.clone()
    }

    /// It is at work.
    pub fn beat(&self, now_ms: i64) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).beat_ms = Some(now_ms);
    }

    /// Its thread has died, and is to be started again.
    pub fn panicked(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        (state.beat_ms, state.panics) = (None, state.panics.saturating_add(1));
    }

    /// Whether it judges nothing though it should.
    pub fn is_down(&self, now_ms: i64) -> bool {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).is_down(now_ms)
    }

    /// For `/status` and `/triage`.
    pub fn standing(&self, now_ms: i64) -> Value {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let standing = &state.standing;
        json!({
            "down": state.is_down(now_ms),
            "panics": state.panics,
            "provider": standing.provider,
            "model": standing.model,
            "kinds": standing.kinds,
            "waiting": standing.waiting,
            "asking": standing.asking,
        })
    }

    /// For `/health`: who judges, or that nobody does; and how the model is, which is stood in for unless it is ready.
    pub fn health(&self, now_ms: i64) -> Value {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let who = if state.is_down(now_ms) { "down" } else { state.standing.provider.as_str() };
        let condition = state.standing.model.get("condition").cloned().unwrap_or_default();
        json!({"status": "ok", "triage": who, "model": condition})
    }

    /// Newest first.
    pub fn decisions(&self) -> Value {
        let decisions = self.state.lock().unwrap_or_else(PoisonError::into_inner).decisions.clone();
        let shown = decisions.iter().map(|d| {
            json!({
                "at_ms": d.at_ms, "service": d.service, "template": d.template, "why": d.why.as_str(),
                "outcome": d.outcome, "label": d.label, "by": d.by, "reason": d.reason,
            })
        });
        shown.collect()
    }
}

impl State {
    fn is_down(&self, now_ms: i64) -> bool {
        match self.beat_ms {
            Some(beat_ms) => now_ms.saturating_sub(beat_ms) > SILENT_MS,
            None => self.panics > 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decisions_that_are_not_shown_any_more_are_counted_all_the_same() {
        let view = View::default();
        for n in 0..300 {
            view.decided(Decision {
                at_ms: n,
                service: Redacted::default(),
                template: Redacted::default(),
                why: Why::New,
                outcome: if n % 3 == 0 { "watch" } else { "ignore" },
                label: None,
                by: String::new(),
                reason: Redacted::default(),
            });
        }
        assert_eq!(view.decisions().as_array().map(Vec::len), Some(DECISIONS_MAX));
        assert_eq!(view.decided_in_all(), [("ignore", 200), ("watch", 100)].into());
    }

    #[test]
    fn triage_is_down_from_a_panic_to_its_next_beat_and_when_it_is_silent_for_a_minute() {
        let view = View::default();
        assert!(!view.is_down(1_000_000), "off, or not started yet");
        view.beat(1_000_000);
        assert_eq!((view.is_down(1_060_000), view.is_down(1_060_001)), (false, true));
        view.beat(1_060_001);
        view.panicked();
        assert!(view.is_down(1_060_002));
        assert_eq!(
            (view.health(1_060_002)["triage"].clone(), view.standing(1_060_002)["panics"].clone()),
            ("down".into(), json!(1))
        );
        view.beat(1_060_003);
        assert!(!view.is_down(1_060_004));
    }
}
