//! Somebody who watches over triage: when its thread panics it is started again, with what it knew.
//!
//! A panic costs no more than a restart of the program does: what was judged stays judged, what waited waits again,
//! and only what was being taken in is lost until it comes again. Who panics again and again starts over with nothing.
//! Meanwhile requests are answered as ever, and it is said that nobody judges.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use tokio::runtime::Handle;

use super::super::kinds::State;
use super::super::novel::{self, LINE_NOTE};
use super::super::pages::Pages;
use super::super::verdicts;
use super::{Parts, Worker, run};
use crate::triage::own::SEEDED_NOTE;

/// Before it is started again: doubled with each panic, up to a minute.
const PAUSE: Duration = Duration::from_secs(1);
const PAUSE_MOST: Duration = Duration::from_secs(60);
/// A panic so long after the last one is no consequence of it. Milliseconds.
const CALM_MS: i64 = 600_000;
/// Panics in a row that what is known is held on to.
const TRUSTED: u32 = 2;

/// Runs triage until it is stopped, whatever happens within. Blocks: for a thread of its own.
pub fn watch_over(runtime: &Handle, mut parts: Parts) {
    let (mut in_a_row, mut last_ms) = (0u32, i64::MIN);
    loop {
        let mut worker = None;
        let ended = catch_unwind(AssertUnwindSafe(|| runtime.block_on(run(&mut parts, &mut worker))));
        if ended.is_ok() {
            return;
        }
        let now_ms = (parts.clock)();
        in_a_row = if now_ms.saturating_sub(last_ms) < CALM_MS { in_a_row.saturating_add(1) } else { 1 };
        last_ms = now_ms;
        parts.metrics.triage_panics.inc();
        parts.view.panicked();
        tracing::error!(in_a_row, "triage panicked; lines are counted as ever, and it is started again");
        // Its question is of no use to anybody.
        if let Some(asking) = worker.as_ref().and_then(|worker| worker.asking.as_ref()) {
            asking.abort();
        }
        let known = worker.filter(|_| in_a_row <= TRUSTED);
        let salvaged = catch_unwind(AssertUnwindSafe(|| known.as_ref().map(salvage).unwrap_or_default()));
        parts.notes = salvaged.unwrap_or_default();
        // Else what it held alone would be known for ever, and nobody would know as what.
        parts.intake.known.clear();
        parts.intake.held.clear();
        let pause = PAUSE_MOST.min(PAUSE * 2u32.saturating_pow(in_a_row - 1));
        let stopped = runtime.block_on(async {
            tokio::select! {
                () = tokio::time::sleep(pause) => *parts.stopped.borrow(),
                _ = parts.stopped.changed() => true,
            }
        });
        if stopped {
            return;
        }
    }
}

/// What it knew, as the store would hold it.
pub(super) fn salvage(worker: &Worker) -> Vec<(String, Vec<u8>)> {
    let mut notes: Vec<(String, Vec<u8>)> = Vec::new();
    for (id, kind) in worker.kinds.iter() {
        match &kind.state {
            State::Judged(judgement) => notes.extend(verdicts::encode(id, kind, judgement)),
            State::Waiting { .. } | State::Passed => {
                let line = kind.as_novel();
                notes.push((format!("{LINE_NOTE}{:016x}", line.sketch), novel::encode(&line)));
            }
        }
    }
    let pages = Pages::default().changed(&worker.kinds.templates());
    notes.extend(pages.into_iter().filter_map(|(key, note)| Some((key, note?))));
    if worker.seeding.done {
        notes.push((SEEDED_NOTE.to_owned(), Vec::new()));
    }
    notes
}
