//! All cases, what remedies were called and what the budget has left: in memory as in the store.
//!
//! Who stores a row holds [`Book::storing`] from reading it here until it is durable, so that rows never overtake each
//! other. What is here may be ahead of the store by one step, whose effect has not begun.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::{Case, Outcome};
use crate::investigate::budget::Budget;
use crate::investigate::remedy::Calls;
use crate::ledger::Rows;

const BUDGET: &str = "budget";
const CALLS: &str = "calls";

pub struct Book {
    held: Mutex<Held>,
    /// Counts the changes.
    changed: watch::Sender<u64>,
    pub storing: tokio::sync::Mutex<()>,
    /// Of those that are over.
    keep: usize,
}

#[derive(Default)]
struct Held {
    cases: BTreeMap<u64, Arc<Case>>,
    budget: Budget,
    calls: Calls,
    /// What is left, or what was called, cannot be read: nobody knows what may still be done.
    is_unsure: bool,
}

impl Book {
    pub fn new(keep: usize) -> Book {
        Book { held: Mutex::default(), changed: watch::channel(0).0, storing: tokio::sync::Mutex::default(), keep }
    }

    /// Puts back what the store held.
    pub fn restore(&self, rows: &[(String, Vec<u8>)]) {
        let mut held = self.held();
        for (key, body) in rows {
            let read = match key.as_str() {
                BUDGET => serde_json::from_slice(body).map(|budget| held.budget = budget),
                CALLS => serde_json::from_slice(body).map(|calls| held.calls = calls),
                _ => serde_json::from_slice::<Case>(body).map(|case| {
                    held.cases.insert(case.id, Arc::new(case));
                }),
            };
            if let Err(error) = read {
                held.is_unsure |= matches!(key.as_str(), BUDGET | CALLS);
                tracing::error!(row = key, %error, "what is stored of an investigation cannot be read: left out");
            }
        }
    }

    /// What was spent or called before this life could not be read: in this life no model is asked and no remedy called.
    pub fn is_unsure(&self) -> bool {
        self.held().is_unsure
    }

    pub fn get(&self, id: u64) -> Option<Arc<Case>> {
        self.held().cases.get(&id).cloned()
    }

    /// The one that tells of this one's incident: itself, or the one that is investigated.
    pub fn leading(&self, id: u64) -> Option<Arc<Case>> {
        let held = self.held();
        let case = held.cases.get(&id)?;
        case.lead.and_then(|lead| held.cases.get(&lead)).or(Some(case)).cloned()
    }

    /// The case of an incident that is investigated, or was.
    pub fn lead_of(&self, incident: u64) -> Option<u64> {
        let held = self.held();
        let mut of_it = held.cases.values().filter(|case| case.incident == incident && case.lead.is_none());
        of_it.find(|case| case.outcome != Some(Outcome::Crowded)).map(|case| case.id)
    }

    /// Oldest first.
    pub fn unfinished(&self) -> Vec<Arc<Case>> {
        self.held().cases.values().filter(|case| !case.is_done()).cloned().collect()
    }

    /// It is durable, or about to be.
    pub fn put(&self, case: Case) {
        self.held().cases.insert(case.id, Arc::new(case));
        self.changed.send_modify(|changes| *changes = changes.wrapping_add(1));
    }

    /// Told of each change.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    pub fn budget<T>(&self, change: impl FnOnce(&mut Budget) -> T) -> T {
        change(&mut self.held().budget)
    }

    pub fn calls<T>(&self, change: impl FnOnce(&mut Calls) -> T) -> T {
        change(&mut self.held().calls)
    }

    /// The rows that a step of `case` changes; and those of the oldest that are over, beyond what is kept, which go.
    pub fn rows(&self, case: &Case) -> Rows {
        let mut held = self.held();
        let json = |value: serde_json::Result<Vec<u8>>| value.ok();
        let mut rows: Rows = vec![
            (key(case.id), json(serde_json::to_vec(case))),
            (BUDGET.into(), json(serde_json::to_vec(&held.budget))),
            (CALLS.into(), json(serde_json::to_vec(&held.calls))),
        ];
        let mut over: Vec<(i64, u64)> = held
            .cases
            .values()
            .filter(|held| held.is_done() && held.id != case.id)
            .map(|held| (held.changed_ms, held.id))
            .collect();
        let surplus = over.len().saturating_sub(self.keep);
        over.sort_unstable();
        for (_, id) in over.into_iter().take(surplus) {
            held.cases.remove(&id);
            rows.push((key(id), None));
        }
        rows
    }

    // A plain lock: held for a look-up or a change of plain data.
    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key(id: u64) -> String {
    format!("E{id}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_or_calls_that_cannot_be_read_leave_nothing_to_be_done_and_a_case_that_cannot_does_not() {
        for (key, unsure) in [(BUDGET, true), (CALLS, true), ("E42", false)] {
            let book = Book::new(10);
            book.restore(&[(key.to_owned(), b"no JSON".to_vec())]);
            assert_eq!(book.is_unsure(), unsure, "{key}");
        }
        let book = Book::new(10);
        book.restore(&[(BUDGET.into(), serde_json::to_vec(&Budget::default()).expect("JSON"))]);
        assert!(!book.is_unsure());
    }
}
