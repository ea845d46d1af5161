//! What people may see of triage: who judges, what waits, what was decided and why.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};

use super::Why;
use crate::redact::Redacted;

/// Decisions shown, the newest.
const DECISIONS_MAX: usize = 200;

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
        state.decisions.push_front(decision);
    }

    /// For `/status`, and in short for `/health`.
    pub fn standing(&self) -> Value {
        let standing = self.state.lock().unwrap_or_else(PoisonError::into_inner).standing.clone();
        json!({
            "provider": standing.provider,
            "model": standing.model,
            "kinds": standing.kinds,
            "waiting": standing.waiting,
            "asking": standing.asking,
        })
    }

    /// For `/health`: who judges, and how the model is, which is stood in for unless it is ready.
    pub fn health(&self) -> Value {
        let standing = self.state.lock().unwrap_or_else(PoisonError::into_inner).standing.clone();
        let condition = standing.model.get("condition").cloned().unwrap_or_default();
        json!({"status": "ok", "triage": standing.provider, "model": condition})
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
