//! What time alone turns: floods that are over, services that fell silent or came back, windows to forget.

use super::{Draft, Engine, Now};
use crate::escalation::Post;
use crate::ledger::journal::Entry;
use crate::ledger::window::{Phase, Width, Window};
use crate::ledger::{Lane, WindowKey};
use crate::watch::{OTHER, Watch, group_values};

/// A service that has sent nothing for so long is gone, a day.
const GONE_MS: i64 = 24 * 3600 * 1000;

impl Engine {
    /// Turns what time alone turns. `None`: nothing did.
    pub fn tick(&mut self, now: Now) -> Option<Draft> {
        self.repeats.forget(now.uptime_ms);
        let mut draft =
            Draft { entry: Entry { at_ms: now.ms, uptime_ms: now.uptime_ms, ..Entry::default() }, ..Draft::default() };
        let set = self.shards.watches();
        let mut posts = Vec::new();
        for key in self.active.clone() {
            let held = self.shards.windows.get(&key).map(|w| w.clone());
            let (Some(watch), Some(mut window)) = (set.by_key(key.watch), held) else {
                draft.dropped.push(key);
                continue;
            };
            if self.turn(watch, &key, &mut window, &mut posts, now) {
                draft.turned.insert(key.clone());
                draft.windows.insert(key, window);
            }
        }
        // In an order of their own: windows are kept in none.
        posts.sort_by_key(|post| post.escalation);
        for post in &posts {
            self.outbox.post(post);
        }
        let reminders = self.desk.remind(now.ms, self.started_ms);
        for post in &reminders {
            self.outbox.post(post);
        }
        let quiet = draft.windows.is_empty() && draft.dropped.is_empty() && reminders.is_empty();
        (!quiet).then_some(draft)
    }

    fn turn(&mut self, watch: &Watch, key: &WindowKey, window: &mut Window, posts: &mut Vec<Post>, now: Now) -> bool {
        let width = Width::of_seconds(watch.rule.window_seconds);
        let post = match (window.phase, key.lane) {
            (Phase::Quiet, _) => return false,
            (_, Lane::Late) => {
                if now.ms - window.touched_ms < self.settings.escalation.dedup_ms {
                    return false;
                }
                window.rearm(Phase::Quiet);
                window.escalation.take().and_then(|id| self.desk.quieted(id, now.ms))
            }
            (Phase::Firing, Lane::Live) => {
                // What is on its way from before our own start must have had its time to come.
                let up_long_enough = now.ms - self.started_ms >= width.millis();
                if !window.has_been_below(width.bucket(now.ms)) || !up_long_enough {
                    return false;
                }
                let last_seen = self.last_seen(watch, key);
                let alive = last_seen.is_some_and(|last| last >= width.start_ms(window.above_until() + 1));
                if alive {
                    window.rearm(Phase::Quiet);
                    window.escalation.take().and_then(|id| self.desk.quieted(id, now.ms))
                } else {
                    window.rearm(Phase::NoData { back_since_ms: None });
                    window.escalation.and_then(|id| self.desk.fell_silent(id, last_seen, now.ms))
                }
            }
            (Phase::NoData { back_since_ms }, Lane::Live) => match back_since_ms {
                None if self.last_seen(watch, key) >= Some(width.start_ms(window.above_until() + 1)) => {
                    window.phase = Phase::NoData { back_since_ms: Some(now.ms) };
                    None
                }
                Some(back) if now.ms - back >= width.millis() => {
                    window.phase = Phase::Quiet;
                    window.escalation.take().and_then(|id| self.desk.came_back(id, now.ms))
                }
                _ => return false,
            },
        };
        posts.extend(post);
        true
    }

    /// Newest live record of the services that a group stands for.
    pub(super) fn last_seen(&self, watch: &Watch, key: &WindowKey) -> Option<i64> {
        let values = group_values(&key.group);
        let wanted = |name: &str| {
            let place = watch.rule.group_by.iter().position(|n| n == name)?;
            values.get(place).filter(|v| *v != OTHER)
        };
        match (wanted("cluster"), wanted("service")) {
            (Some(cluster), Some(service)) => self.shards.last_seen_of(cluster, service),
            (cluster, service) => {
                self.shards.last_seen(|c, s| cluster.is_none_or(|w| w == c) && service.is_none_or(|w| w == s))
            }
        }
    }

    /// Forgets windows that hold nothing any more, and what the clock of arrivals says is over.
    pub fn sweep(&mut self, now: Now) {
        let set = self.shards.watches();
        let lateness_ms = self.settings.lateness_ms;
        self.shards.forget_services(now.ms - GONE_MS);
        let late_ms = self.settings.escalation.dedup_ms;
        self.shards.windows.retain(|key, window| {
            let Some(watch) = set.by_key(key.watch) else { return false };
            let width = Width::of_seconds(watch.rule.window_seconds);
            match key.lane {
                // A straggler may still come for as long as it would not be late.
                Lane::Live => !window.is_expired(width.bucket(now.ms - lateness_ms)),
                Lane::Late => window.phase != Phase::Quiet || now.ms - window.touched_ms < late_ms,
            }
        });
        self.count_proposed_windows();
    }
}
