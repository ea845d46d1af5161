//! What is still to be told, and to whom: one row for each post and destination.
//!
//! At least once: a row is marked as being attempted (durably) before it is sent and removed after; a row
//! found marked at the start was perhaps sent, and is sent again labelled so. Each destination is served in
//! the order of its rows, so a message about the end never overtakes one about the beginning, and a stuck
//! destination holds nobody else up.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::{Deserialize, Serialize};

use super::pace::{self, Pace, Paces};
use super::{PROPOSED_AFTER, Post};
use crate::notify::deliver::{Settled, is_too_old};
use crate::notify::digest::{Why, fitting};
use crate::notify::notice::{Notice, NoticeKind};

/// Longer than settling, and than any pause that a destination may ask for, can be.
const LONGEST_WAIT_MS: i64 = 20 * 60 * 1000;
/// Messages that one digest past the budget stands for: a bound on what one commit rewrites.
const BUDGET_ROWS_MAX: usize = 1000;

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
    /// When a person had it sent again.
    #[serde(default)]
    pub resent_ms: Option<i64>,
}

/// What a destination can be handed now.
#[derive(Clone, Debug, PartialEq)]
pub enum Take {
    One(u64),
    /// Many in one message: the rows of its escalations, in their order.
    Many(Why, Vec<u64>),
    /// Nothing before this time (unix milliseconds), if ever.
    Nothing(Option<i64>),
}

pub struct Outbox {
    destinations: Vec<&'static str>,
    rows: BTreeMap<u64, Row>,
    next_id: u64,
    /// Most rows held. Beyond it the oldest of the destination with the most is given up, counted: a channel that is
    /// down for weeks must not fill the disk.
    max: usize,
    paces: Paces,
    /// Rows told together with the one that stands for them.
    together: HashMap<u64, Vec<u64>>,
    /// A destination whose last attempt failed is not tried before this time.
    resting: HashMap<String, i64>,
    /// Nothing waits for its time any more.
    hurried: bool,
    /// Rows changed since the last [`Outbox::settled`], as they were before.
    before: HashMap<u64, Option<Row>>,
    /// Posts given up because there were too many.
    pub overflowed: u64,
}

impl Outbox {
    pub fn new(destinations: Vec<&'static str>, max: usize, pace: Pace) -> Outbox {
        Outbox {
            destinations,
            rows: BTreeMap::new(),
            next_id: 1,
            max,
            paces: Paces::new(pace),
            together: HashMap::new(),
            resting: HashMap::new(),
            hurried: false,
            before: HashMap::new(),
            overflowed: 0,
        }
    }

    pub fn paces(&mut self) -> &mut Paces {
        &mut self.paces
    }

    /// Puts back what the store held. An attempt that was under way is in doubt.
    pub fn restore(&mut self, mut row: Row) {
        self.next_id = self.next_id.max(row.id + 1);
        if row.leased {
            row.leased = false;
            row.notice.in_doubt = true;
        }
        if row.dead.is_none() && !self.destinations.contains(&row.destination.as_str()) {
            row.dead = Some("its destination is configured no more".to_owned());
        }
        self.rows.insert(row.id, row);
    }

    pub fn post(&mut self, post: &Post) {
        for destination in self.destinations.clone() {
            // Who has not heard the last word yet needs no reminder of it.
            let waits = |r: &Row| r.escalation == post.escalation && r.destination == destination && r.dead.is_none();
            if post.notice.kind == NoticeKind::Reminder && self.rows.values().any(waits) {
                continue;
            }
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
                    resent_ms: None,
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
            // That one was given up, and said to be, before.
            if dead.is_some() {
                continue;
            }
            self.overflowed += 1;
            tracing::error!(
                row = id,
                max = self.max,
                "too many messages wait (store.max_outbox_rows): one is given up"
            );
        }
    }

    /// What a destination is to be handed: its first row, if that is due; or many in one, when too many wait or the
    /// day's messages are used up.
    pub fn next(&self, destination: &str, now_ms: i64) -> Take {
        let live = self.rows.values().filter(|r| r.destination == destination && r.dead.is_none());
        let Some(first) = live.clone().next() else { return Take::Nothing(None) };
        let many = self.is_read_live(destination);
        // Only where many may be told in one can another than the first be under way.
        if first.leased || many && live.clone().any(|r| r.leased) {
            return Take::Nothing(None);
        }
        let rests_until = self.resting.get(destination).copied().unwrap_or(i64::MIN);
        let begins_ms = first.due_ms.max(rests_until);
        if !is_due(begins_ms, now_ms) {
            return Take::Nothing(Some(begins_ms));
        }
        if !many {
            return Take::One(first.id);
        }
        // The last word about an escalation does not leave before the first.
        let mut held = HashSet::new();
        let due: Vec<&Row> = live
            .filter(|r| !held.contains(&r.escalation) && (is_due(r.due_ms, now_ms) || !held.insert(r.escalation)))
            .collect();
        match self.paces.ask(destination, due.len(), now_ms) {
            Ok(None) => Take::One(due.first().map_or(0, |r| r.id)),
            Ok(Some(why)) => Take::Many(why, chosen(why, &due)),
            // On the way out one digest tells it all.
            Err(_) if self.hurried => Take::Many(self.paces.used_up(), due.iter().map(|r| r.id).collect()),
            Err(later_ms) => Take::Nothing(Some(later_ms)),
        }
    }

    /// Whether people read a destination as it comes: there order, threads and number of messages matter to them.
    pub fn is_read_live(&self, destination: &str) -> bool {
        self.paces.is_live(destination)
    }

    /// First messages of a destination that may leave now, with their escalations. One that failed is among them: it
    /// goes first again.
    pub fn first_messages(&self, destination: &str, now_ms: i64) -> impl Iterator<Item = (u64, u64)> {
        let fresh =
            move |r: &&Row| r.destination == destination && r.dead.is_none() && is_due(r.due_ms, now_ms) && !r.leased;
        let first = self.rows.values().filter(move |r| fresh(r) && r.notice.kind == NoticeKind::Opened);
        first.map(|r| (r.escalation, r.id))
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

    /// They are told in one message, for which the first stands.
    pub fn tie(&mut self, rows: &[u64]) {
        if let Some((first, others)) = rows.split_first() {
            self.together.insert(*first, others.to_vec());
        }
    }

    /// What became of an attempt at `id`, and at those told with it. Answers their escalations and kinds.
    pub fn settle(&mut self, id: u64, outcome: &Settled, now_ms: i64) -> Vec<(u64, NoticeKind)> {
        let Some(destination) = self.rows.get(&id).map(|r| r.destination.clone()) else { return Vec::new() };
        let others = self.together.get(&id).cloned();
        match outcome {
            Settled::Done { .. } => self.paces.sent(&destination, others.is_some(), now_ms),
            Settled::RetryAt { at_ms, .. } | Settled::TooOld { at_ms, .. } => {
                self.resting.insert(destination.clone(), *at_ms);
            }
            Settled::Dead { .. } => {}
        }
        if !matches!(outcome, Settled::RetryAt { .. } | Settled::TooOld { .. }) {
            self.resting.remove(&destination);
        }
        let mut told = Vec::new();
        for id in std::iter::once(id).chain(others.into_iter().flatten()) {
            told.extend(self.rows.get(&id).map(|r| (r.escalation, r.notice.kind)));
            self.settle_one(id, outcome, now_ms);
        }
        told
    }

    fn settle_one(&mut self, id: u64, outcome: &Settled, now_ms: i64) {
        match outcome {
            Settled::TooOld { at_ms, reason, in_doubt } => {
                // Of those told in one, only what was tried for as long itself.
                let begun_ms = self.rows.get(&id).and_then(|r| r.first_attempt_ms).unwrap_or(now_ms);
                let one = match is_too_old(begun_ms, now_ms) {
                    true => Settled::Dead { reason: reason.clone() },
                    false => Settled::RetryAt { at_ms: *at_ms, reason: reason.clone(), in_doubt: *in_doubt },
                };
                self.settle_one(id, &one, now_ms);
            }
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

    /// Those given up, oldest first.
    pub fn dead_letters(&self) -> impl Iterator<Item = &Row> {
        self.rows.values().filter(|r| r.dead.is_some())
    }

    /// Sends one that was given up again, or all of them; answers how many.
    pub fn resend(&mut self, id: Option<u64>, now_ms: i64) -> usize {
        let dead: Vec<u64> = self.dead_letters().map(|r| r.id).filter(|r| id.is_none_or(|id| id == *r)).collect();
        for id in &dead {
            if let Some(row) = self.change(*id) {
                (row.dead, row.attempts, row.first_attempt_ms, row.due_ms) = (None, 0, None, now_ms);
                row.resent_ms = Some(now_ms);
            }
        }
        dead.len()
    }

    /// Everything not yet attempted is due now.
    pub fn hurry(&mut self, now_ms: i64) {
        self.hurried = true;
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
        (waiting.clone().count(), waiting.map(|r| r.resent_ms.unwrap_or(r.notice.at_ms)).min())
    }

    pub fn dead(&self) -> usize {
        self.rows.values().filter(|r| r.dead.is_some()).count()
    }

    /// Whether the next commit changes anything here.
    pub fn has_changed(&self) -> bool {
        !self.before.is_empty()
    }

    /// What the next commit must write: changed rows as JSON, `None` for those that are gone.
    pub fn rows_to_write(&self) -> Vec<(u64, Option<Vec<u8>>)> {
        let mut ids: Vec<u64> = self.before.keys().copied().collect();
        ids.sort_unstable();
        let json = |row: &Row| serde_json::to_vec(row).unwrap_or_default();
        let rows = ids.into_iter().map(|id| (id, self.rows.get(&id).map(json)));
        rows.chain(self.paces.change().map(|spent| (pace::ROW, Some(spent)))).collect()
    }

    pub fn settled(&mut self) {
        self.before.clear();
        self.untie();
        self.paces.settled();
    }

    pub fn take_back(&mut self) {
        self.paces.take_back();
        for (id, before) in std::mem::take(&mut self.before) {
            match before {
                Some(row) => self.rows.insert(id, row),
                None => {
                    // Its number is free again.
                    self.next_id = self.next_id.min(id);
                    self.rows.remove(&id)
                }
            };
        }
        self.untie();
    }

    /// Rows are told together for as long as they are under way: not when marking them failed, and still when
    /// storing what became of them did.
    fn untie(&mut self) {
        let rows = &self.rows;
        self.together.retain(|id, _| rows.get(id).is_some_and(|r| r.leased));
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

/// What is to wait longer than anything does was put in before the clock was set back: it is due.
fn is_due(due_ms: i64, now_ms: i64) -> bool {
    due_ms <= now_ms || due_ms - now_ms > LONGEST_WAIT_MS
}

/// Which of those that are due go into one digest: all of them when the day's messages are used up; else those of the
/// gravest escalations, so many as one message lists, so that each is named.
fn chosen(why: Why, due: &[&Row]) -> Vec<u64> {
    if matches!(why, Why::Budget(_)) {
        return due.iter().take(BUDGET_ROWS_MAX).map(|r| r.id).collect();
    }
    // The last word about each escalation is what is listed.
    let last: BTreeMap<u64, &Notice> = due.iter().map(|r| (r.escalation, &r.notice)).collect();
    let mut last: Vec<(u64, &Notice)> = last.into_iter().collect();
    last.sort_by_key(|(escalation, notice)| (std::cmp::Reverse(notice.severity), *escalation));
    last.truncate(fitting(last.iter().map(|(_, notice)| *notice)).max(1));
    due.iter().filter(|r| last.iter().any(|(escalation, _)| *escalation == r.escalation)).map(|r| r.id).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::notice::Severity;
    use crate::redact::Redacted;

    fn post(escalation: u64) -> Post {
        let notice = Notice {
            kind: NoticeKind::Opened,
            escalation,
            label: "some".into(),
            severity: Severity::Warning,
            summary: Redacted::default(),
            cluster: Redacted::default(),
            service: Redacted::default(),
            group: vec![],
            count: 1,
            threshold: 1,
            window_seconds: 1,
            first_ms: 0,
            last_ms: 0,
            at_ms: 0,
            late: false,
            samples: vec![],
            dedup_key: String::new(),
            suggested_fix: None,
            dossier: None,
            incident: None,
            told_before: None,
            report: None,
            in_doubt: false,
            broadcast: false,
            first_day: None,
        };
        Post { escalation, due_ms: 0, notice }
    }

    #[test]
    fn when_there_are_too_many_messages_those_about_proposed_ones_go_before_any_of_people() {
        let mut outbox = Outbox::new(vec!["slack"], 4, Pace::default());
        for escalation in [1, PROPOSED_AFTER + 1, 2, PROPOSED_AFTER + 2] {
            outbox.post(&post(escalation));
        }
        let held = |outbox: &Outbox| outbox.rows.values().map(|row| row.escalation).collect::<Vec<_>>();
        outbox.post(&post(3));
        assert_eq!(held(&outbox), [1, 2, PROPOSED_AFTER + 2, 3]);
        // Even the newest of them gives way.
        outbox.post(&post(4));
        outbox.post(&post(PROPOSED_AFTER + 3));
        assert_eq!(held(&outbox), [1, 2, 3, 4]);
        outbox.post(&post(5));
        assert_eq!(held(&outbox), [2, 3, 4, 5], "and then the oldest");
        assert_eq!(outbox.overflowed, 4);
    }

    #[test]
    fn a_message_that_is_being_sent_is_not_given_up() {
        let mut outbox = Outbox::new(vec!["slack"], 2, Pace::default());
        outbox.post(&post(PROPOSED_AFTER + 1));
        let notice = post(PROPOSED_AFTER + 1).notice;
        assert!(outbox.lease(1, notice, 0).is_some());
        outbox.post(&post(1));
        outbox.post(&post(2));
        assert_eq!(outbox.rows.values().map(|row| row.escalation).collect::<Vec<_>>(), [PROPOSED_AFTER + 1, 2]);
    }

    #[test]
    fn the_last_word_about_an_escalation_waits_for_the_first() {
        let pace = Pace { live: vec!["slack"], coalesce_after: 1, per_day: 100 };
        let mut outbox = Outbox::new(vec!["slack"], 100, pace);
        outbox.post(&post(1));
        outbox.post(&Post { due_ms: 60_000, ..post(2) });
        outbox.post(&post(2));
        outbox.post(&post(3));
        assert_eq!(outbox.next("slack", 0), Take::Many(Why::Many(1), vec![1, 4]));
        assert_eq!(outbox.next("slack", 60_000), Take::Many(Why::Many(1), vec![1, 2, 3, 4]));
    }
}
