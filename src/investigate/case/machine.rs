//! What comes next: a case, something that has happened, and the time make the case anew, and what is to be done.
//!
//! Pure. The caller stores the case, and only then does what is to be done about it; what becomes of that is the next
//! event. A case that a new life finds is told [`Event::Restarted`] first.

use super::{
    ASKS_MAX, Asked, CHECKS_MAX, Called, Case, Found, Outcome, PROOFS_MAX, PROPOSALS_MAX, Patch, Proof, Proposed,
    Remedy, Step,
};
use crate::investigate::verdict::Action;
use crate::redact::Redacted;

/// Between two questions about one case, doubling.
const ASK_PAUSE_MS: i64 = 2_000;
const PROPOSE_PAUSE_MS: i64 = 15_000;
/// A remedy takes its time, and a window must have been quiet for its whole length: looked for twice that long, and so
/// long at the least and at the most.
const WATCHING_MS: (i64, i64) = (120_000, 3_600_000);
/// What no window counts is waited for so long.
const UNSEEN_MS: i64 = 15_000;

/// What has happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// Another life has found it.
    Restarted,
    /// It is its turn, and the budget has been charged.
    MayAsk,
    /// No model will be asked: there is none, or not within the budget. `None`: none is configured.
    NoModel(Option<String>),
    Answered {
        answer: String,
        asked: Asked,
    },
    /// `again`: it may be asked once more, after so many milliseconds at the least. What was paid all the same.
    AskFailed {
        why: String,
        said: Redacted,
        again: Option<i64>,
        asked: Option<Asked>,
    },
    /// What the answer says and what of it stands.
    Checked(Box<Found>),
    /// It is no verdict.
    Unreadable(String),
    Proved(Patch),
    /// That could not be tried.
    ProofFailed {
        why: String,
        said: Redacted,
        again: bool,
    },
    Proposed(Box<Proposed>),
    /// The draft may not be, or could not be made.
    NotProposed {
        why: String,
        said: Redacted,
        again: bool,
    },
    /// The remedy may be called: it is charged.
    Allowed(String),
    Refused(String),
    Called(Called),
    Observed(Observed),
}

/// How the watch stands after a remedy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Observed {
    /// A whole window below its threshold, while its service went on sending.
    Quiet,
    Firing,
    /// The service sends nothing any more.
    NoData,
    /// No window of ours counts it.
    Unknown,
}

/// What is to be done once the case is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Wait for its turn, from this time on.
    Wait(i64),
    Ask,
    Check,
    Prove,
    /// From this time on.
    Propose(i64),
    Decide,
    /// Only ever given for a case that has just become [`Step::Calling`].
    Call,
    Observe,
    /// It is over.
    Rest,
}

impl Case {
    /// What follows from `event`. An event that does not belong to the step changes nothing.
    pub fn after(mut self, event: Event, now_ms: i64) -> (Case, Effect) {
        self.changed_ms = now_ms;
        let effect = self.turn(event, now_ms);
        (self, effect)
    }

    /// A fault of ours has ended its task: so it stands.
    pub fn died(mut self, now_ms: i64) -> Case {
        self.changed_ms = now_ms;
        self.skip("It was not looked into to its end: a fault of this program, see its log.", Redacted::default());
        let in_doubt = self.remedy.as_mut().filter(|remedy| remedy.state == Called::Calling);
        if let Some(remedy) = in_doubt {
            remedy.state = Called::InDoubt { why: "a fault of this program while it was called".into() };
        }
        let outcome = if self.remedy.is_some() { Outcome::Unobserved } else { Outcome::Escalated };
        self.end(outcome);
        self
    }

    fn turn(&mut self, event: Event, now_ms: i64) -> Effect {
        match (self.step.clone(), event) {
            (_, Event::Restarted) => self.restarted(now_ms),
            (Step::Queued { .. }, Event::MayAsk) => {
                self.asks += 1;
                self.step = Step::Asking;
                Effect::Ask
            }
            (Step::Queued { .. }, Event::NoModel(why)) => {
                if let Some(why) = why {
                    self.skip(why, Redacted::default());
                }
                self.plan()
            }
            (Step::Asking, Event::Answered { answer, asked }) => {
                self.pay(asked);
                self.step = Step::Checking { answer: Some(answer) };
                Effect::Check
            }
            (Step::Asking, Event::AskFailed { why, said, again, asked }) => {
                if let Some(asked) = asked {
                    self.pay(asked);
                }
                self.ask_again(why, said, again, now_ms)
            }
            (Step::Checking { answer: Some(_) }, Event::Unreadable(why)) => {
                self.ask_again(why, Redacted::default(), Some(0), now_ms)
            }
            (Step::Checking { answer: None }, Event::Unreadable(why)) => {
                self.skip(why, Redacted::default());
                self.end(Outcome::Unexplained)
            }
            (Step::Checking { .. }, Event::Checked(found)) => self.checked(*found),
            (Step::Proving, Event::Proved(patch)) => {
                let (is_diff, passes) = (patch.is_diff(), patch.proof().is_some_and(Proof::may_propose));
                self.patch = Some(patch);
                match (is_diff, passes) {
                    (true, true) => {
                        self.step = Step::Proposing { not_before_ms: now_ms };
                        self.proposals = 1;
                        Effect::Propose(now_ms)
                    }
                    (true, false) => self.end(Outcome::Unproven),
                    (false, _) => self.end(Outcome::Escalated),
                }
            }
            (Step::Proving, Event::ProofFailed { why, said, again }) => {
                if again && self.proofs < PROOFS_MAX {
                    self.proofs += 1;
                    return Effect::Prove;
                }
                self.skip(why, said);
                self.end(Outcome::Escalated)
            }
            (Step::Proposing { .. }, Event::Proposed(proposed)) => {
                self.proposed = Some(*proposed);
                self.end(Outcome::Proposed)
            }
            (Step::Proposing { .. }, Event::NotProposed { why, said, again }) => {
                if again && self.proposals < PROPOSALS_MAX {
                    let not_before_ms = now_ms.saturating_add(PROPOSE_PAUSE_MS << self.proposals.min(8));
                    self.proposals += 1;
                    self.step = Step::Proposing { not_before_ms };
                    return Effect::Propose(not_before_ms);
                }
                if !why.is_empty() {
                    self.skip(why, said);
                }
                self.end(Outcome::Patched)
            }
            (Step::Deciding, Event::Allowed(name)) => {
                self.remedy = Some(Remedy { name, called_ms: now_ms, state: Called::Calling });
                self.step = Step::Calling;
                Effect::Call
            }
            (Step::Deciding, Event::Refused(why)) => {
                self.skip(why, Redacted::default());
                self.end(Outcome::Escalated)
            }
            (Step::Calling, Event::Called(state)) => self.called(state, now_ms),
            (Step::Watching { .. }, Event::Observed(Observed::Quiet)) => self.end(Outcome::Recovered),
            (Step::Watching { until_ms }, Event::Observed(seen)) if now_ms >= until_ms => match seen {
                Observed::Firing | Observed::NoData => self.end(Outcome::NotRecovered),
                _ => self.end(Outcome::Unobserved),
            },
            // Lines of a service that does not recover come within that.
            (Step::Watching { .. }, Event::Observed(Observed::Unknown))
                if self.was_called_before(now_ms - UNSEEN_MS) =>
            {
                self.end(Outcome::Unobserved)
            }
            // What is seen before the time is over may change yet.
            (Step::Watching { .. }, Event::Observed(_)) => Effect::Observe,
            (Step::Done, _) => Effect::Rest,
            // Nothing that belongs here: what was to be done stays to be done.
            (_, _) => self.again(now_ms),
        }
    }

    /// What a case asks for by its step alone. Never the call of a remedy.
    fn again(&mut self, now_ms: i64) -> Effect {
        match &self.step {
            Step::Queued { not_before_ms } => Effect::Wait(*not_before_ms),
            Step::Asking => Effect::Ask,
            Step::Checking { .. } => Effect::Check,
            Step::Proving => Effect::Prove,
            Step::Proposing { not_before_ms } => Effect::Propose(*not_before_ms),
            Step::Deciding => Effect::Decide,
            Step::Calling => {
                self.called(Called::InDoubt { why: "the program ended while it was called".into() }, now_ms)
            }
            Step::Watching { .. } => Effect::Observe,
            Step::Done => Effect::Rest,
        }
    }

    fn restarted(&mut self, now_ms: i64) -> Effect {
        match &self.step {
            // Its turn is given anew, and what was paid is paid.
            Step::Asking if self.asks < ASKS_MAX => {
                self.step = Step::Queued { not_before_ms: now_ms };
                Effect::Wait(now_ms)
            }
            Step::Asking => {
                self.skip(
                    format!("The model: the program ended {ASKS_MAX} times while it was asked."),
                    Redacted::default(),
                );
                self.plan()
            }
            Step::Checking { .. } if self.checks >= CHECKS_MAX => {
                self.skip(
                    "Checking the answer: the program ended time and again while that was done.",
                    Redacted::default(),
                );
                self.end(Outcome::Unexplained)
            }
            Step::Checking { .. } => {
                self.checks += 1;
                Effect::Check
            }
            Step::Proposing { .. } if self.proposals >= PROPOSALS_MAX => {
                self.skip(
                    "Proposing the patch: the program ended time and again while that was tried.",
                    Redacted::default(),
                );
                self.end(Outcome::Patched)
            }
            Step::Proposing { not_before_ms } => {
                self.proposals += 1;
                Effect::Propose(*not_before_ms)
            }
            Step::Proving if self.proofs >= PROOFS_MAX => {
                self.skip(
                    format!("Proving the patch: the program ended {PROOFS_MAX} times while that was tried."),
                    Redacted::default(),
                );
                self.end(Outcome::Escalated)
            }
            Step::Proving => {
                self.proofs += 1;
                Effect::Prove
            }
            _ => self.again(now_ms),
        }
    }

    fn pay(&mut self, more: Asked) {
        let held = self.asked.get_or_insert_default();
        held.model = more.model;
        held.input_tokens = held.input_tokens.saturating_add(more.input_tokens);
        held.cached_tokens = held.cached_tokens.saturating_add(more.cached_tokens);
        held.output_tokens = held.output_tokens.saturating_add(more.output_tokens);
        held.cost_usd += more.cost_usd;
        held.calls = held.calls.saturating_add(more.calls);
    }

    fn ask_again(&mut self, why: String, said: Redacted, again: Option<i64>, now_ms: i64) -> Effect {
        if let Some(least_ms) = again.filter(|_| self.asks < ASKS_MAX) {
            let pause_ms = least_ms.max(ASK_PAUSE_MS << self.asks.saturating_sub(1).min(8));
            let not_before_ms = now_ms.saturating_add(pause_ms);
            self.step = Step::Queued { not_before_ms };
            return Effect::Wait(not_before_ms);
        }
        self.skip(why, said);
        self.plan()
    }

    /// Without a model.
    fn plan(&mut self) -> Effect {
        self.step = Step::Checking { answer: None };
        Effect::Check
    }

    fn checked(&mut self, found: Found) -> Effect {
        let (action, blocked) = (found.verdict.plan.action, found.no_action.clone());
        let has_edits = !found.verdict.plan.edits.is_empty();
        self.found = Some(found);
        match (action, blocked) {
            (Action::NoCodeCause, _) => self.end(Outcome::NoCodeCause),
            (Action::Escalate, _) => self.end(Outcome::Escalated),
            (Action::Patch | Action::RestartService, Some(why)) => {
                self.skip(why, Redacted::default());
                self.end(Outcome::Escalated)
            }
            (Action::Patch, None) if !has_edits => {
                self.skip("A patch was spoken of, and there is none.", Redacted::default());
                self.end(Outcome::Escalated)
            }
            (Action::Patch, None) => {
                self.step = Step::Proving;
                self.proofs = 1;
                Effect::Prove
            }
            (Action::RestartService, None) => {
                self.step = Step::Deciding;
                Effect::Decide
            }
        }
    }

    fn was_called_before(&self, ms: i64) -> bool {
        self.remedy.as_ref().is_some_and(|remedy| remedy.called_ms <= ms)
    }

    fn called(&mut self, state: Called, now_ms: i64) -> Effect {
        let failed = matches!(state, Called::Failed { .. } | Called::NotCalled { .. });
        if let Some(remedy) = &mut self.remedy {
            remedy.state = state;
        }
        if failed {
            return self.end(Outcome::RemedyFailed);
        }
        let window_ms = i64::try_from(self.about.window_seconds.saturating_mul(1000)).unwrap_or(i64::MAX);
        let watching_ms = window_ms.saturating_mul(2).clamp(WATCHING_MS.0, WATCHING_MS.1);
        self.step = Step::Watching { until_ms: now_ms.saturating_add(watching_ms) };
        Effect::Observe
    }

    fn end(&mut self, outcome: Outcome) -> Effect {
        self.outcome = Some(outcome);
        self.step = Step::Done;
        // They are up to megabytes, and the diff has what is worth keeping of them.
        if let Some(found) = &mut self.found {
            found.verdict.plan.edits = Vec::new();
            found.verdict.plan.tests = Vec::new();
        }
        Effect::Rest
    }
}

#[cfg(test)]
mod tests;
