//! What everyone may read: the committed windows and totals, lock-sharded, and the current rules.
//!
//! Only the writer changes windows, after the commit that changed them is durable; readers see committed
//! counts or older ones, never newer. The two things request threads write here are of another kind: when a
//! service was last heard of (a loss of ten seconds of it is harmless), and which answers were heard.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use arc_swap::ArcSwap;
use dashmap::DashMap;
use tokio::sync::Notify;

use super::journal::Total;
use super::window::{Bucket, Phase, Width, Window};
use super::{DeliveryKey, Lane, WindowKey};
use crate::watch::{Watch, WatchKey, WatchSet, group_values};

/// Services whose last sign of life is kept; further ones share no entry and count as never heard of.
pub const SERVICES_MAX: usize = 20_000;
/// Confirmations waiting for the writer; beyond it they are dropped, and an equal batch may be taken for a
/// repeat until its time is up.
const CONFIRMED_MAX: usize = 100_000;
/// Windows copied for whoever investigates.
const WINDOWS_SHOWN: usize = 100;

/// Who wants to know of a label.
type Tell = Box<dyn Fn(&str) + Send + Sync>;

pub struct Shards {
    pub(super) windows: DashMap<WindowKey, Window>,
    pub(super) totals: DashMap<WatchKey, Total>,
    /// (cluster, service) → time of its newest live record, unix milliseconds.
    seen: DashMap<(String, String), i64>,
    watches: ArcSwap<WatchSet>,
    /// Told the label of each watch that has left, by the writer.
    left: OnceLock<Tell>,
    /// A plain lock: held for a push or a take, never across an await.
    confirmed: Mutex<Vec<(DeliveryKey, u64)>>,
    /// Counts requests and confirmations, in the order in which they come.
    turns: AtomicU64,
    confirmations_dropped: AtomicU64,
    pub(super) outbox_changed: Notify,
    /// An investigation is wanted, or is none any more. For one listener.
    pub investigations_changed: Notify,
}

/// One group of a watch, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupView {
    pub group: crate::watch::GroupKey,
    pub count: u64,
    pub phase: Phase,
}

impl Shards {
    pub fn new(watches: Arc<WatchSet>) -> Shards {
        Shards {
            windows: DashMap::new(),
            totals: DashMap::new(),
            seen: DashMap::new(),
            watches: ArcSwap::new(watches),
            left: OnceLock::new(),
            confirmed: Mutex::default(),
            turns: AtomicU64::new(0),
            confirmations_dropped: AtomicU64::new(0),
            outbox_changed: Notify::new(),
            investigations_changed: Notify::new(),
        }
    }

    pub fn watches(&self) -> Arc<WatchSet> {
        self.watches.load_full()
    }

    pub(super) fn set_watches(&self, watches: Arc<WatchSet>) {
        let before = self.watches.swap(watches.clone());
        let Some(left) = self.left.get() else { return };
        for watch in before.watches().iter().filter(|w| watches.by_label(&w.rule.label).is_none()) {
            left(&watch.rule.label);
        }
    }

    /// From now on `tell` is told of each label that no watch has any more. Once; a second one changes nothing.
    pub fn when_a_label_leaves(&self, tell: impl Fn(&str) + Send + Sync + 'static) {
        // Whoever came first is told.
        drop(self.left.set(Box::new(tell)));
    }

    pub fn windows_len(&self) -> usize {
        self.windows.len()
    }

    pub fn total(&self, watch: WatchKey) -> Total {
        self.totals.get(&watch).map(|t| *t).unwrap_or_default()
    }

    /// What one group's window counted at a bucket; 0 where there is none.
    pub fn count_at(&self, key: &WindowKey, at: Bucket) -> u64 {
        self.windows.get(key).map_or(0, |window| window.count(at))
    }

    /// The live groups of every watch as of `now_ms`, those with the highest counts first.
    pub fn groups(&self, now_ms: i64) -> HashMap<WatchKey, Vec<GroupView>> {
        let set = self.watches();
        let widths: HashMap<WatchKey, Width> =
            set.watches().iter().map(|w| (w.key, Width::of_seconds(w.rule.window_seconds))).collect();
        let mut out: HashMap<WatchKey, Vec<GroupView>> = HashMap::new();
        for entry in &self.windows {
            let (key, window) = entry.pair();
            let Some(width) = widths.get(&key.watch).filter(|_| key.lane == Lane::Live) else { continue };
            let view =
                GroupView { group: key.group.clone(), count: window.count(width.bucket(now_ms)), phase: window.phase };
            out.entry(key.watch).or_default().push(view);
        }
        for groups in out.values_mut() {
            groups.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.group.cmp(&b.group)));
        }
        out
    }

    /// The windows that fire for an escalation now. Looks at every window: not for a request.
    pub fn windows_of(&self, escalation: u64) -> Vec<(WindowKey, Window)> {
        let of = self.windows.iter().filter(|w| w.escalation == Some(escalation));
        of.take(WINDOWS_SHOWN).map(|w| (w.key().clone(), w.value().clone())).collect()
    }

    /// The live windows that fire now and are about a service by name, each with its watch. Looks at every window.
    pub fn firing_of(&self, service: impl Fn(&Watch, &[String]) -> bool) -> Vec<(Watch, Window)> {
        let set = self.watches();
        let firing = self.windows.iter().filter(|w| w.phase == Phase::Firing && w.key().lane == Lane::Live);
        let named = firing.filter_map(|w| {
            let watch = set.by_key(w.key().watch)?;
            service(watch, &group_values(&w.key().group)).then(|| (watch.clone(), w.value().clone()))
        });
        named.take(WINDOWS_SHOWN).collect()
    }

    /// A service sent something of this time.
    pub fn saw(&self, cluster: &str, service: &str, time_ms: i64) {
        let key = (cluster.to_owned(), service.to_owned());
        if let Some(mut seen) = self.seen.get_mut(&key) {
            *seen = (*seen).max(time_ms);
            return;
        }
        if self.seen.len() < SERVICES_MAX {
            self.seen.insert(key, time_ms);
        }
    }

    /// Newest record of those that `of` accepts.
    pub(super) fn last_seen(&self, of: impl Fn(&str, &str) -> bool) -> Option<i64> {
        self.seen.iter().filter(|e| of(&e.key().0, &e.key().1)).map(|e| *e.value()).max()
    }

    pub(super) fn last_seen_of(&self, cluster: &str, service: &str) -> Option<i64> {
        self.seen.get(&(cluster.to_owned(), service.to_owned())).map(|time| *time)
    }

    /// Forgets services whose newest record is older than `before_ms`.
    pub(super) fn forget_services(&self, before_ms: i64) {
        self.seen.retain(|_, time| *time >= before_ms);
    }

    pub fn seen(&self) -> Vec<(String, String, i64)> {
        self.seen.iter().map(|e| (e.key().0.clone(), e.key().1.clone(), *e.value())).collect()
    }

    /// Later ones are greater.
    pub(super) fn turn(&self) -> u64 {
        self.turns.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(super) fn confirm(&self, delivery: DeliveryKey, turn: u64) {
        let mut confirmed = self.confirmed.lock().unwrap_or_else(PoisonError::into_inner);
        if confirmed.len() < CONFIRMED_MAX {
            confirmed.push((delivery, turn));
        } else {
            self.confirmations_dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn confirmations_dropped(&self) -> u64 {
        self.confirmations_dropped.load(Ordering::Relaxed)
    }

    pub(super) fn take_confirmed(&self) -> Vec<(DeliveryKey, u64)> {
        std::mem::take(&mut self.confirmed.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
