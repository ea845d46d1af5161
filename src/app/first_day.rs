//! When the first look is told, and what is in it.
//!
//! Of a store that is new a mark is kept until it was told; the mark goes in the transaction that puts the message
//! into the outbox, so it is told once, whatever dies when. Without a store nobody could know: then it is not told.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::ingest::services::{Figures, Services};
use crate::ledger::{FIRST_DAY_NOTE, Ledger};
use crate::metrics::Metrics;
use crate::notify::first_day::{FirstDay, Listed};
use crate::record::format::Format;
use crate::triage::view::View;

/// With fewer lines there is little to say yet.
const ENOUGH_LINES: u64 = 100;
/// After so many times as long whatever came is told: a small fleet, too, wants to know.
const PATIENCE: u32 = 6;
/// How often it is looked whether it is time.
const LOOK: Duration = Duration::from_secs(1);
/// What services without any name are called.
const NAMELESS: &str = "unknown";
/// What those share for which there is no room.
const OTHERS: &str = "other";

pub(super) struct Parts {
    pub(super) ledger: Ledger,
    pub(super) services: Arc<Services>,
    pub(super) metrics: Metrics,
    pub(super) triage: Arc<View>,
    /// For how long it is looked at before it is told.
    pub(super) after: Duration,
    /// Unix milliseconds.
    pub(super) clock: fn() -> i64,
    pub(super) stopped: watch::Receiver<bool>,
}

/// Keeps the mark, or takes it away. `false`: the store cannot commit.
pub(super) async fn mark(ledger: &Ledger, due: bool) -> bool {
    ledger.note(vec![(FIRST_DAY_NOTE.to_owned(), due.then(|| b"due".to_vec()))]).await
}

/// Takes the mark out of what triage has stored: whether the first look is still to be told.
pub(super) fn take_mark(notes: &mut Vec<(String, Vec<u8>)>) -> bool {
    let before = notes.len();
    notes.retain(|(key, _)| key != FIRST_DAY_NOTE);
    notes.len() < before
}

/// Keeps the mark, first of all if it is not there yet; tells once enough was seen, and ends.
pub(super) async fn run(mut parts: Parts, is_marked: bool) {
    let began = Instant::now();
    let mut marked = is_marked;
    loop {
        tokio::select! {
            () = tokio::time::sleep(LOOK.min(parts.after)) => {}
            _ = parts.stopped.wait_for(|stopped| *stopped) => return,
        }
        if !marked {
            marked = mark(&parts.ledger, true).await;
        }
        let looked = began.elapsed();
        if !marked || looked < parts.after {
            continue;
        }
        let report = report(&parts, looked);
        if (report.lines >= ENOUGH_LINES || report.lines > 0 && looked >= parts.after * PATIENCE)
            && parts.ledger.first_day(report).await
        {
            return;
        }
    }
}

fn report(parts: &Parts, looked: Duration) -> FirstDay {
    let all = parts.services.all();
    let named = |(cluster, service, figures): &(String, String, Figures)| {
        let place = if cluster.is_empty() { service.clone() } else { format!("{service} in {cluster}") };
        (place, figures.lines)
    };
    let listed =
        |fits: &dyn Fn(&(String, String, Figures)) -> bool| Listed::of(all.iter().filter(|s| fits(s)).map(named));
    let any_cluster = all.iter().any(|(cluster, ..)| !cluster.is_empty());
    let set = parts.ledger.watches();
    let total = |key| parts.ledger.shards().total(key).matched;
    let mut watches: Vec<(String, u64)> =
        set.watches().iter().map(|watch| (watch.rule.label.clone(), total(watch.key))).collect();
    watches.sort_by_key(|(_, matched)| std::cmp::Reverse(*matched));
    let (quiet, counted): (Vec<_>, Vec<_>) = watches.into_iter().partition(|(_, matched)| *matched == 0);
    FirstDay {
        seconds: looked.as_secs(),
        lines: all.iter().map(|(.., figures)| figures.lines).sum(),
        services: listed(&|_| true),
        nameless: listed(&|(cluster, service, _)| is_nameless(cluster, service, any_cluster)),
        plain: listed(&|(.., figures)| is_plain(figures)),
        rejected: parts.metrics.lines.with_label_values(&["rejected"]).get(),
        kinds: parts.triage.standing((parts.clock)())["kinds"].as_u64().unwrap_or_default(),
        counted: Listed::of(counted),
        quiet: Listed::of(quiet),
    }
}

/// Where others say a cluster, one that says none is without metadata; hosts and Kubernetes never say one.
fn is_nameless(cluster: &str, service: &str, any_cluster: bool) -> bool {
    service == NAMELESS || any_cluster && cluster.is_empty() && service != OTHERS
}

/// Most of its lines are text in which nothing was recognised.
fn is_plain(figures: &Figures) -> bool {
    let all: u64 = figures.formats.iter().sum();
    let text = figures.formats.get(Format::Text as usize).copied().unwrap_or_default();
    all > 0 && text.saturating_mul(2) > all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_without_metadata_only_where_others_have_more() {
        for (cluster, service, any_cluster, is) in [
            ("prod", "pay", true, false),
            ("", "pay", true, true),
            ("", "pay", false, false),
            ("", "other", true, false),
            ("", "unknown", false, true),
            ("prod", "unknown", true, true),
        ] {
            assert_eq!(is_nameless(cluster, service, any_cluster), is, "{cluster:?} {service} {any_cluster}");
        }
    }
}
