//! What is still to be told, and to whom: one row for each post and destination.
//!
//! At least once: a row is marked as being attempted (durably) before it is sent and removed after; a row
//! found marked at the start was perhaps sent, and is sent again labelled so. Each destination is served in
//! the order of its rows, so a message about the end never overtakes one about the beginning, and a stuck
//! destination holds nobody else up.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use super::{PROPOSED_AFTER, Post};
use crate::notify::deliver::Settled;
use crate::notify::notice::Notice;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    pub id: u64,
    pub destination: String,
    pub escalation: u64,
    pub due_ms: i64,
    pub notice: Notice,
    pub attempts: u32,
    pub first_attempt_ms: Option<i64>,
    /// An attempt has begun and nobody has said how it ended.
    pub leased: bool,
    /// Given up, with the reason: kept for a person to see.
    pub dead: Option<String>,
}

pub struct Outbox {
    destinations: Vec<&'static str>,
    rows: BTreeMap<u64, Row>,
    next_id: u64,
    /// Most rows held. Beyond it the oldest of the destination with the most is given up, counted: a channel that is
    /// down for weeks must not fill the disk.
    max: usize,
    /// Rows changed since the last [`Outbox::settled`], as they were before.
    before: HashMap<u64, Option<Row>>,
    /// Posts given up because there were too many.
    pub overflowed: u64,
}

impl Outbox {
    pub fn new(destinations: Vec<&'static str>, max: usize) -> Outbox {
        Outbox { destinations, rows: BTreeMap::new(), next_id: 1, max, before: HashMap::new(), overflowed: 0 }
    }

    /// Puts back what the store held. An attempt that was under way is in doubt.
    pub fn restore(&mut self, mut row: Row) {
        self.next_id = self.next_id.max(row.id + 1);
        if row.leased {
            row.leased = false;
            row.notice.in_doubt = true;
        }
        self.rows.insert(row.id, row);
    }

    pub fn post(&mut self, post: &Post) {
        for destination in self.destinations.clone() {
            let id = self.next_id;
            self.next_id += 1;
            self.before.entry(id).or_insert(None);
            self.rows.insert(
                id,
                Row {
                    id,
                    destination: destination.to_owned(),
                    escalation: post.escalation,
                    due_ms: post.due_ms,
                    notice: post.notice.clone(),
                    attempts: 0,
                    first_attempt_ms: None,
                    leased: false,
                    dead: None,
                },
            );
        }
        while self.rows.len() > self.max {
            // Those given up before go first, then the oldest of whoever has the most waiting.
            let dead = self.rows.values().find(|r| r.dead.is_some()).map(|r| r.id);
            let Some(id) = dead.or_else(|| self.oldest_proposed()).or_else(|| self.oldest_of_the_longest()) else {
                break;
            };
            self.remove(id);
            self.overflowed += 1;
            tracing::error!(
                row = id,
                max = self.max,
                "too many messages wait (store.max_outbox_rows): one is given up"
            );
        }
    }

    /// The first row of a destination, if it is due; else when it will be.
    pub fn next(&self, destination: &str, now_ms: i64) -> Result<u64, Option<i64>> {
        let first = self.rows.values().find(|r| r.destination == destination && r.dead.is_none());
        match first {
            Some(row) if row.leased => Err(None),
            Some(row) if row.due_ms <= now_ms => Ok(row.id),
            Some(row) => Err(Some(row.due_ms)),
            None => Err(None),
        }
    }

    /// Marks a row as being attempted. `notice`: what is told, as of now.
    pub fn lease(&mut self, id: u64, notice: Notice, now_ms: i64) -> Option<&Row> {
        let row = self.change(id)?;
        row.leased = true;
        row.attempts += 1;
        row.first_attempt_ms.get_or_insert(now_ms);
        // Once in doubt, always: whatever is told now, an earlier attempt may have arrived.
        let in_doubt = row.notice.in_doubt;
        row.notice = Notice { in_doubt, ..notice };
        self.rows.get(&id)
    }

    pub fn settle(&mut self, id: u64, outcome: &Settled) {
        match outcome {
            Settled::Done { .. } => self.remove(id),
            Settled::RetryAt { at_ms, in_doubt, .. } => {
                if let Some(row) = self.change(id) {
                    row.leased = false;
                    row.due_ms = *at_ms;
                    row.notice.in_doubt |= in_doubt;
                }
            }
            Settled::Dead { reason } => {
                if let Some(row) = self.change(id) {
                    row.leased = false;
                    row.dead = Some(reason.clone());
                }
            }
        }
    }

    /// Everything not yet attempted is due now.
    pub fn hurry(&mut self, now_ms: i64) {
        for row in self.rows.values_mut().filter(|r| r.attempts == 0) {
            row.due_ms = row.due_ms.min(now_ms);
        }
    }

    pub fn get(&self, id: u64) -> Option<&Row> {
        self.rows.get(&id)
    }

    /// Rows that wait, dead ones aside, and when the oldest of them was posted.
    pub fn waiting(&self) -> (usize, Option<i64>) {
        let waiting = self.rows.values().filter(|r| r.dead.is_none());
        (waiting.clone().count(), waiting.map(|r| r.notice.at_ms).min())
    }

    pub fn dead(&self) -> usize {
        self.rows.values().filter(|r| r.dead.is_some()).count()
    }

    pub fn changes(&self) -> Vec<(u64, Option<&Row>)> {
        let mut ids: Vec<u64> = self.before.keys().copied().collect();
        ids.sort_unstable();
        ids.into_iter().map(|id| (id, self.rows.get(&id))).collect()
    }

    pub fn settled(&mut self) {
        self.before.clear();
    }

    pub fn take_back(&mut self) {
        for (id, before) in std::mem::take(&mut self.before) {
            match before {
                Some(row) => self.rows.insert(id, row),
                None => self.rows.remove(&id),
            };
        }
    }

    /// What nobody's rule raised gives way to what somebody's did.
    fn oldest_proposed(&self) -> Option<u64> {
        self.rows.values().find(|r| r.escalation > PROPOSED_AFTER && !r.leased).map(|r| r.id)
    }

    fn oldest_of_the_longest(&self) -> Option<u64> {
        let of = |destination: &'static str| self.rows.values().filter(move |r| r.destination == destination);
        let longest = self.destinations.iter().copied().max_by_key(|destination| of(destination).count())?;
        of(longest).find(|r| !r.leased).map(|r| r.id)
    }

    fn remove(&mut self, id: u64) {
        if let Some(row) = self.rows.remove(&id) {
            self.before.entry(id).or_insert(Some(row));
        }
    }

    fn change(&mut self, id: u64) -> Option<&mut Row> {
        let row = self.rows.get_mut(&id)?;
        self.before.entry(id).or_insert_with(|| Some(row.clone()));
        Some(row)
    }
}
