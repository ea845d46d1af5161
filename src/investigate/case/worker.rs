//! Does what a case asks for: one task for each that is under way, so many at most, off the ingest path.
//!
//! The order is always the same: the case as it is to be is stored with what people are told of it, in one commit; then
//! its effect begins; what becomes of that is the next event. A task that is told to stop ends at once, wherever it
//! is, but for a call of a remedy, which is waited for a little; the next life goes on from the stored step.

mod effects;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use reqwest::ClientBuilder;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::book::Book;
use super::machine::{Effect, Event};
use super::words::told;
use super::{Case, Step};
use crate::failpoint::Failpoint;
use crate::investigate::budget::Limits;
use crate::investigate::model::Model;
use crate::investigate::patch::Workshop;
use crate::investigate::propose::Forge;
use crate::investigate::report;
use crate::investigate::shelf::{Piece, Shelf};
use crate::investigate::source::Library;
use crate::ledger::Ledger;
use crate::metrics::Metrics;

/// Under way at once: most of them wait for a model or look at a watch. More wait.
const UNDER_WAY_MAX: usize = 32;
/// Between two tries to store.
const STORE_PAUSE: Duration = Duration::from_secs(1);

pub struct Parts {
    pub ledger: Ledger,
    pub book: Arc<Book>,
    pub shelf: Arc<Shelf>,
    pub library: Library,
    /// `None`: the built-in planner concludes.
    pub model: Option<Arc<Model>>,
    pub limits: Limits,
    /// `None`: there is no place for copies of repositories.
    pub workshop: Option<Arc<Workshop>>,
    pub forge: Option<Arc<Forge>>,
    /// What people reach us under.
    pub public_url: Option<String>,
    pub metrics: Metrics,
    /// Unix milliseconds.
    pub clock: fn() -> i64,
    /// Makes clients for remedies.
    pub builder: fn() -> ClientBuilder,
    pub stopped: watch::Receiver<bool>,
}

/// It is to stop, or nothing can be stored any more.
struct Stopping;

/// Runs until it is stopped.
pub async fn run(parts: Parts) {
    let parts = Arc::new(parts);
    let mut stopped = parts.stopped.clone();
    let mut changes = parts.book.changes();
    let mut tasks: JoinSet<u64> = JoinSet::new();
    let mut held: HashSet<u64> = HashSet::new();
    // Those that a former life left; what comes later has begun in this one.
    let mut restarted: HashSet<u64> = parts.book.unfinished().iter().map(|case| case.id).collect();
    // What is under way now is a former life's: whoever asks again begins anew, and nobody else would end the rest.
    parts.book.budget(|budget| budget.abandon(None, &parts.limits));
    loop {
        if *stopped.borrow() {
            break;
        }
        changes.mark_unchanged();
        for case in parts.book.unfinished() {
            if held.len() >= UNDER_WAY_MAX {
                break;
            }
            if held.insert(case.id) {
                let (parts, is_old) = (parts.clone(), restarted.remove(&case.id));
                tasks.spawn(async move {
                    let id = case.id;
                    // A task of its own, so that a panic in it ends here, with its case known.
                    let (of, driven) = (parts.clone(), Case::clone(&case));
                    let task = tokio::spawn(async move { drive(&of, driven, is_old).await.unwrap_or_default() });
                    if let Err(error) = task.await {
                        tracing::error!(escalation = id, %error, "an investigation has died");
                        bury(&parts, id).await.unwrap_or_default();
                    }
                    id
                });
            }
        }
        tokio::select! {
            Ok(()) = changes.changed() => {}
            Some(ended) = tasks.join_next() => match ended {
                Ok(id) => {
                    held.remove(&id);
                }
                Err(error) => tracing::error!(%error, "an investigation has died; it goes on after the next start"),
            },
            _ = stopped.changed() => break,
        }
    }
    while tasks.join_next().await.is_some() {}
}

async fn drive(parts: &Arc<Parts>, case: Case, is_old: bool) -> Result<(), Stopping> {
    let now_ms = (parts.clock)();
    let (mut case, mut effect) = match (is_old, &case.step) {
        (false, Step::Queued { not_before_ms }) => {
            let wait = Effect::Wait(*not_before_ms);
            (case, wait)
        }
        _ => {
            let before = case.step.clone();
            let (case, effect) = case.after(Event::Restarted, now_ms);
            keep(parts, &case, &before).await?;
            (case, effect)
        }
    };
    let mut turn = effects::Turn::default();
    while effect != Effect::Rest {
        let event = effects::perform(parts, &case, effect, &mut turn).await?;
        let before = case.step.clone();
        let (next, asked) = case.after(event, (parts.clock)());
        // Looking at a watch changes nothing that is worth a row.
        let is_same = next.step == before && matches!(asked, Effect::Observe);
        case = next;
        effect = asked;
        if !is_same {
            keep(parts, &case, &before).await?;
        }
    }
    if let Some(outcome) = case.outcome {
        parts.metrics.investigations.with_label_values(&[outcome.as_str()]).inc();
    }
    Ok(())
}

/// Ends a case whose task has panicked: it would hold its place, and its part of the budget, for ever.
async fn bury(parts: &Arc<Parts>, id: u64) -> Result<(), Stopping> {
    parts.book.budget(|budget| budget.abandon(Some(id), &parts.limits));
    let Some(held) = parts.book.get(id).filter(|case| !case.is_done()) else { return Ok(()) };
    let case = Case::clone(&held).died((parts.clock)());
    keep(parts, &case, &held.step).await?;
    if let Some(outcome) = case.outcome {
        parts.metrics.investigations.with_label_values(&[outcome.as_str()]).inc();
    }
    Ok(())
}

/// Stores a case and what is told of it, however often that takes.
async fn keep(parts: &Arc<Parts>, case: &Case, before: &Step) -> Result<(), Stopping> {
    let told = told(before, case);
    if told.is_some() || case.is_done() {
        write_report(parts, case).await;
    }
    let closes = case.is_done();
    loop {
        {
            let _one = parts.book.storing.lock().await;
            let rows = parts.book.rows(case);
            if closes {
                Failpoint::Closing.pass();
            }
            if parts.ledger.keep_case(rows, told.clone().map(|told| (case.id, told))).await {
                parts.book.put(case.clone());
                break;
            }
        }
        rest(parts, STORE_PAUSE).await?;
    }
    if closes {
        Failpoint::Closed.pass();
    }
    Ok(())
}

/// Beside the dossier. A report that cannot be written is still told of, and shown as JSON.
async fn write_report(parts: &Arc<Parts>, case: &Case) {
    if !report::is_worth_reading(case) {
        return;
    }
    let (shelf, id, case) = (parts.shelf.clone(), case.id, case.clone());
    let written = tokio::task::spawn_blocking(move || {
        let diff = shelf.get(Piece::Diff, id).unwrap_or_default();
        shelf.put(Piece::Report, id, report::write(&case, diff.as_deref()).as_str())
    });
    match written.await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(escalation = id, %error, "a report cannot be written"),
        Err(error) => tracing::error!(escalation = id, %error, "writing a report has died"),
    }
}

/// Waits, unless it is to stop.
async fn rest(parts: &Parts, pause: Duration) -> Result<(), Stopping> {
    unless_stopped(parts, tokio::time::sleep(pause)).await
}

/// What is under way is dropped when it is to stop.
async fn unless_stopped<T>(parts: &Parts, work: impl Future<Output = T>) -> Result<T, Stopping> {
    let mut stopped = parts.stopped.clone();
    tokio::select! {
        biased;
        _ = stopped.wait_for(|stopped| *stopped) => Err(Stopping),
        done = work => Ok(done),
    }
}
