//! The engine's memory across restarts: what the snapshot and the journal after it say.

use std::collections::HashMap;

use super::{Engine, Now};
use crate::ledger::journal::{Entry, Snapshot, decode, encode, is_active};
use crate::ledger::window::Phase;
use crate::store::Loaded;

impl Engine {
    pub(super) fn replay(&mut self, loaded: &Loaded) -> u64 {
        let mut uptime_ms = 0;
        if let Some(body) = &loaded.snapshot {
            match decode::<Snapshot>(body) {
                Ok(snapshot) => {
                    uptime_ms = snapshot.uptime_ms;
                    for (key, window) in snapshot.windows {
                        self.shards.windows.insert(key, window);
                    }
                    for (watch, total) in snapshot.totals {
                        self.shards.totals.insert(watch, total);
                    }
                    for (delivery, at) in snapshot.unconfirmed {
                        self.repeats.insert(delivery, at);
                    }
                    for (cluster, service, time) in snapshot.seen {
                        self.shards.saw(&cluster, &service, time);
                    }
                    snapshot.grown.into_iter().for_each(|growth| self.desk.grew(growth));
                }
                Err(error) => tracing::error!(%error, "snapshot cannot be read: counts before it are lost"),
            }
        }
        for body in &loaded.journal {
            match decode::<Entry>(body) {
                Ok(entry) => {
                    uptime_ms = uptime_ms.max(entry.uptime_ms);
                    self.replay_entry(entry);
                }
                Err(error) => tracing::error!(%error, "journal row cannot be read: what it counted is lost"),
            }
        }
        // Rules that are gone take their counters along; the rest keep theirs.
        let set = self.shards.watches();
        self.shards.windows.retain(|key, _| set.by_key(key.watch).is_some());
        self.shards.totals.retain(|watch, _| set.by_key(*watch).is_some());
        // What fires is told by the windows: a rule that is gone took its own along.
        let mut firing: HashMap<u64, u64> = HashMap::new();
        for window in self.shards.windows.iter().filter(|w| w.phase == Phase::Firing) {
            if let Some(id) = window.escalation {
                *firing.entry(id).or_default() += 1;
            }
        }
        self.desk.set_firing(&firing);
        self.active = self.shards.windows.iter().filter(|w| is_active(w.phase)).map(|w| w.key().clone()).collect();
        self.count_proposed_windows();
        uptime_ms
    }

    fn replay_entry(&mut self, entry: Entry) {
        for delivery in entry.confirmed {
            // No request of that life is still under way.
            self.repeats.confirm(delivery, 0, entry.uptime_ms);
        }
        for watch in entry.forgotten {
            self.shards.totals.remove(&watch);
            self.shards.windows.retain(|key, _| key.watch != watch);
        }
        for counted in entry.counts {
            let sum: u64 = counted.counts.iter().map(|(_, n)| n).sum();
            let mut total = self.shards.totals.entry(counted.window.watch).or_default();
            total.matched = total.matched.saturating_add(sum);
            total.last_ms = total.last_ms.max(counted.last_ms);
            let mut window = self.shards.windows.entry(counted.window).or_default();
            window.restore(&counted.counts, counted.above_until);
            window.touched_ms = entry.at_ms;
        }
        // A window that turned is here as it was after the turn, with all its counts.
        for (key, window) in entry.turned {
            self.shards.windows.insert(key, window);
        }
        for delivery in entry.delivered {
            self.repeats.insert(delivery, entry.uptime_ms);
        }
        entry.grown.into_iter().for_each(|growth| self.desk.grew(growth));
    }

    pub fn snapshot(&self, now: Now) -> Vec<u8> {
        encode(&Snapshot {
            uptime_ms: now.uptime_ms,
            windows: self.shards.windows.iter().map(|w| (w.key().clone(), w.value().clone())).collect(),
            totals: self.shards.totals.iter().map(|t| (*t.key(), *t.value())).collect(),
            unconfirmed: self.repeats.iter().collect(),
            seen: self.shards.seen(),
            grown: self.desk.unwritten(),
        })
    }
}
