//! How many messages people are sent: past a number that waits, and past the day's budget, many become one.
//!
//! Only where people read along; a file or a terminal takes every message on its own. What was sent today is
//! stored with the outbox, so that a restart gives nobody another day's worth.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::notify::digest::Why;

const DAY_MS: i64 = 86_400_000;
/// Between two digests when the day's messages are used up.
const DIGEST_EVERY_MS: i64 = 600_000;
/// The row of the outbox that holds this; messages are numbered from 1.
pub const ROW: u64 = 0;

#[derive(Clone, Debug, Default)]
pub struct Pace {
    /// Destinations that people read as it comes.
    pub live: Vec<&'static str>,
    /// Most that wait as messages of their own.
    pub coalesce_after: usize,
    /// Messages a day (UTC) and destination.
    pub per_day: u64,
}

/// Of one destination.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Spent {
    day: i64,
    sent: u64,
    digest_ms: i64,
}

pub struct Paces {
    pace: Pace,
    spent: BTreeMap<String, Spent>,
    /// As it was before what is not durable yet.
    before: Option<BTreeMap<String, Spent>>,
}

impl Paces {
    pub(super) fn new(pace: Pace) -> Paces {
        Paces { pace, spent: BTreeMap::new(), before: None }
    }

    /// Puts back what the store held.
    pub fn restore(&mut self, row: &[u8]) -> serde_json::Result<()> {
        self.spent = serde_json::from_slice(row)?;
        Ok(())
    }

    pub(super) fn is_live(&self, destination: &str) -> bool {
        self.pace.live.contains(&destination)
    }

    /// What is to be stored, if it has changed.
    pub fn change(&self) -> Option<Vec<u8>> {
        self.before.as_ref().and_then(|_| serde_json::to_vec(&self.spent).ok())
    }

    /// How `due` waiting messages are to be told: each on its own (`None`), or many in one; or not before a time.
    pub(super) fn ask(&self, destination: &str, due: usize, now_ms: i64) -> Result<Option<Why>, i64> {
        if !self.is_live(destination) {
            return Ok(None);
        }
        let spent = self.spent.get(destination).copied().unwrap_or_default();
        let today = now_ms.div_euclid(DAY_MS);
        if spent.day == today && spent.sent >= self.pace.per_day {
            let midnight_ms = (today + 1) * DAY_MS;
            // Not longer than that either when the clock was set back since.
            let next_ms = spent.digest_ms.min(now_ms).saturating_add(DIGEST_EVERY_MS).min(midnight_ms);
            return if next_ms <= now_ms { Ok(Some(self.used_up())) } else { Err(next_ms) };
        }
        Ok((due > self.pace.coalesce_after).then_some(Why::Many(self.pace.coalesce_after)))
    }

    pub(super) fn used_up(&self) -> Why {
        Why::Budget(self.pace.per_day)
    }

    pub(super) fn sent(&mut self, destination: &str, many: bool, now_ms: i64) {
        if !self.is_live(destination) {
            return;
        }
        self.before.get_or_insert_with(|| self.spent.clone());
        let today = now_ms.div_euclid(DAY_MS);
        let spent = self.spent.entry(destination.to_owned()).or_default();
        if spent.day != today {
            *spent = Spent { day: today, ..Spent::default() };
        }
        spent.sent += 1;
        if many || spent.sent == self.pace.per_day {
            spent.digest_ms = now_ms;
        }
    }

    pub(super) fn settled(&mut self) {
        self.before = None;
    }

    pub(super) fn take_back(&mut self) {
        if let Some(before) = self.before.take() {
            self.spent = before;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: i64 = 60_000;

    fn paces() -> Paces {
        Paces::new(Pace { live: vec!["slack"], coalesce_after: 2, per_day: 3 })
    }

    #[test]
    fn few_are_told_one_by_one_and_many_in_one() {
        let paces = paces();
        assert_eq!(paces.ask("slack", 2, 0), Ok(None));
        assert_eq!(paces.ask("slack", 3, 0), Ok(Some(Why::Many(2))));
        assert_eq!(paces.ask("alerts", 3000, 0), Ok(None), "a file takes every one");
    }

    #[test]
    fn past_the_days_messages_there_is_a_digest_every_ten_minutes_until_midnight() {
        let mut paces = paces();
        for n in 0..3 {
            assert_eq!(paces.ask("slack", 1, n), Ok(None));
            paces.sent("slack", false, n);
        }
        assert_eq!(paces.ask("slack", 1, 5), Err(2 + 10 * MINUTE));
        assert_eq!(paces.ask("slack", 1, 2 + 10 * MINUTE), Ok(Some(Why::Budget(3))));
        paces.sent("slack", true, 11 * MINUTE);
        assert_eq!(paces.ask("slack", 1, 11 * MINUTE), Err(21 * MINUTE));
        paces.sent("slack", true, DAY_MS - MINUTE);
        assert_eq!(paces.ask("slack", 1, DAY_MS - 1), Err(DAY_MS), "a new day is not waited for longer");
        assert_eq!(paces.ask("slack", 1, DAY_MS), Ok(None));
    }

    #[test]
    fn a_restart_gives_nobody_another_days_messages_and_a_failed_commit_costs_none() {
        let mut before = paces();
        for n in 0..3 {
            before.sent("slack", false, n);
        }
        let mut after = paces();
        after.restore(&before.change().expect("it changed")).expect("JSON");
        assert_eq!(after.ask("slack", 1, 5), Err(2 + 10 * MINUTE));
        assert_eq!(after.change(), None);
        before.take_back();
        assert_eq!(before.ask("slack", 1, 5), Ok(None));
    }
}
