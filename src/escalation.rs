//! From a crossing to what a human reads: fingerprint, deduplication, and what is told when.
//!
//! Pure: time is a parameter, nothing is sent and nothing is written here. [`Desk`] holds the escalations
//! and answers each turn of a window with the [`Post`]s it is worth; the ledger writes both in the
//! transaction that carries the turn, and [`outbox`] hands the posts out.
//!
//! - Fingerprint = cluster + service + label. Within `dedup` of the last message a crossing adds to that
//!   escalation: same number, no message. After it, it escalates anew.
//! - The first message leaves `settle` after the crossing, with the count of that moment.
//! - Resolved is told once; a flood after that tells "again" once per `dedup`, and then its end.
//! - One that goes on firing is told again: after `repeat`, or at ten times the count last told ([`remind`]).
//! - Those that begin together are one [`incident`]: one thread.
//! - One that opens and is to be investigated waits for that: so many at most, the severe ones before others.

pub mod growth;
pub mod incident;
pub mod investigation;
pub mod outbox;
pub mod pace;
pub mod remind;

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use crate::notify::notice::{Notice, NoticeKind, Severity, Told};
use crate::redact::Redacted;
use crate::watch::rule::OnCrossing;
use growth::Growing;
use investigation::Investigation;

/// Samples that an escalation keeps.
pub const SAMPLES_MAX: usize = 3;
/// Frames that an escalation keeps, and bytes of each.
const FRAMES_MAX: usize = 12;
const FRAME_MAX: usize = 300;
/// Labels of proposed watches that one escalation remembers.
const ALSO_MAX: usize = 10;
/// Escalations held in memory and store; beyond it the oldest that fire no more are forgotten.
pub const HELD_MAX: usize = 10_000;
/// The same of those that nobody's rule raised. Counted apart, so that what a model says makes no person's leave.
pub const PROPOSED_HELD_MAX: usize = 1_000;
/// Numbers of those that nobody's rule raised begin after this one: what a model says moves no other's number.
const PROPOSED_AFTER: u64 = 1_000_000;
const HOUR_MS: i64 = 3_600_000;

#[derive(Clone, Copy, Debug)]
pub struct Settings {
    pub dedup_ms: i64,
    pub settle_ms: i64,
    /// How long after the last message one that fires still is told again.
    pub repeat_ms: i64,
    /// Messages an hour about what no person's rule raised; what is beyond is kept and told to nobody.
    pub proposed_per_hour: usize,
    /// Escalations that may wait for their investigation; of more, the least severe are left out.
    pub max_wanted: usize,
}

/// Numbered E1, E2, … for good.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Escalation {
    pub id: u64,
    pub fingerprint: u128,
    pub label: String,
    pub severity: Severity,
    pub summary: Redacted,
    pub cluster: Redacted,
    pub service: Redacted,
    /// The group that crossed first.
    pub group: Vec<(String, Redacted)>,
    pub threshold: u64,
    pub window_seconds: u64,
    /// Lines that came too late to be counted as now.
    pub late: bool,
    pub opened_ms: i64,
    /// Lines counted from the first crossing on, while firing.
    pub count: u64,
    pub first_ms: i64,
    pub last_ms: i64,
    pub samples: Vec<Redacted>,
    /// Frames of its samples' traces that lead to the source; those of the first cause first.
    #[serde(default)]
    pub frames: Vec<Redacted>,
    /// How often it crossed.
    pub crossings: u64,
    /// Windows that fire for it now.
    pub firing: u64,
    /// When a message about it was last posted.
    pub told_ms: i64,
    /// The last thing told was its end.
    pub end_told: bool,
    pub again_told_ms: Option<i64>,
    /// Where its first message stands, by destination.
    pub threads: BTreeMap<String, String>,
    /// Raised by triage or by a watch that triage proposed.
    #[serde(default)]
    pub proposed: bool,
    /// Too many were raised in that hour: nobody was told of it.
    #[serde(default)]
    pub held: bool,
    /// Labels of proposed watches that crossed on the same lines.
    #[serde(default)]
    pub also: Vec<String>,
    /// `None`: nobody asked for one.
    #[serde(default)]
    pub investigation: Option<Investigation>,
    /// The first escalation of the incident that it belongs to; 0: it began alone, or is that one.
    #[serde(default)]
    pub incident: u64,
    /// The count that people were last told.
    #[serde(default)]
    pub told_count: u64,
    #[serde(default)]
    pub reminded_ms: Option<i64>,
    /// Somebody else's rule raised it: no window of ours counts it.
    #[serde(default)]
    pub alert: bool,
}

/// One turn of a window, with all that a message may need.
#[derive(Clone, Debug)]
pub struct Crossing {
    pub label: String,
    pub severity: Severity,
    pub summary: String,
    pub cluster: String,
    pub service: String,
    pub group: Vec<(String, String)>,
    pub threshold: u64,
    pub window_seconds: u64,
    pub late: bool,
    pub count: u64,
    pub first_ms: i64,
    pub last_ms: i64,
    pub samples: Vec<Redacted>,
    /// No person's rule: see [`Escalation::proposed`].
    pub proposed: bool,
}

/// Something worth telling, at the earliest at `due_ms`.
#[derive(Clone, Debug, PartialEq)]
pub struct Post {
    pub escalation: u64,
    pub due_ms: i64,
    pub notice: Notice,
}

/// How a crossing ended up. A closed set: it labels a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Opened,
    Added,
    Again,
    /// Of a proposed watch, on lines that a person's or a built-in watch fires for already.
    Covered,
    /// A proposed one, when as many were told of in the last hour as may be.
    Held,
}

impl Outcome {
    pub fn as_str(self) -> &'static str {
        match self {
            Outcome::Opened => "opened",
            Outcome::Added => "deduplicated",
            Outcome::Again => "again",
            Outcome::Covered => "covered",
            Outcome::Held => "held_back",
        }
    }
}

pub struct Desk {
    settings: Settings,
    by_id: BTreeMap<u64, Escalation>,
    by_fingerprint: HashMap<u128, u64>,
    next_id: u64,
    next_proposed: u64,
    /// What was changed since the last [`Desk::settled`], as it was before; taken back when the commit fails.
    before: HashMap<u64, Option<Escalation>>,
    /// What only counted on: told by the journal, and no reason to write a row.
    growing: Growing,
}

impl Desk {
    pub fn new(settings: Settings) -> Desk {
        Desk {
            settings,
            by_id: BTreeMap::new(),
            by_fingerprint: HashMap::new(),
            next_id: 1,
            next_proposed: PROPOSED_AFTER + 1,
            before: HashMap::new(),
            growing: Growing::default(),
        }
    }

    /// Puts back what the store held.
    pub fn restore(&mut self, mut escalation: Escalation) {
        // A row of before told counts were kept.
        if escalation.told_count == 0 {
            escalation.told_count = escalation.count;
        }
        let next = if escalation.proposed { &mut self.next_proposed } else { &mut self.next_id };
        *next = (*next).max(escalation.id + 1);
        self.by_fingerprint.insert(escalation.fingerprint, escalation.id);
        self.by_id.insert(escalation.id, escalation);
    }

    /// After a restart: how many windows fire for each escalation.
    pub fn set_firing(&mut self, firing: &HashMap<u64, u64>) {
        for (id, escalation) in &mut self.by_id {
            escalation.firing = firing.get(id).copied().unwrap_or(0);
        }
    }

    pub fn get(&self, id: u64) -> Option<&Escalation> {
        self.by_id.get(&id)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Escalation> {
        self.by_id.values()
    }

    /// So many at most, newest first, whoever raised them.
    pub fn newest(&self, most: usize) -> Vec<Escalation> {
        let mut all: Vec<&Escalation> = self.by_id.values().collect();
        all.sort_unstable_by_key(|e| std::cmp::Reverse((e.opened_ms, e.id)));
        all.into_iter().take(most).cloned().collect()
    }

    /// A window crossed. Answers the escalation it belongs to and what is to be told.
    pub fn crossed(&mut self, crossing: Crossing, on: OnCrossing, now_ms: i64) -> (u64, Outcome, Option<Post>) {
        let fingerprint = fingerprint(&crossing);
        let known = self.by_fingerprint.get(&fingerprint).copied();
        // What fires still is the same trouble, however long ago it was told: reminders tell of that.
        let same = |e: &&Escalation| e.firing > 0 && !e.late || now_ms - e.told_ms < self.settings.dedup_ms;
        let fresh = known.and_then(|id| self.by_id.get(&id)).filter(same);
        let Some(id) = fresh.map(|e| e.id) else {
            return self.open(fingerprint, crossing, on, now_ms);
        };
        let dedup_ms = self.settings.dedup_ms;
        let Some(escalation) = self.change(id) else { return (id, Outcome::Added, None) };
        escalation.firing += 1;
        escalation.crossings += 1;
        escalation.count = escalation.count.saturating_add(crossing.count);
        escalation.last_ms = escalation.last_ms.max(crossing.last_ms);
        escalation.first_ms = escalation.first_ms.min(crossing.first_ms);
        if !escalation.may_tell_again(dedup_ms, now_ms) {
            return (id, Outcome::Added, None);
        }
        let post = self.again(id, now_ms);
        (id, Outcome::Again, post)
    }

    fn again(&mut self, id: u64, now_ms: i64) -> Option<Post> {
        let escalation = self.change(id)?;
        escalation.end_told = false;
        escalation.again_told_ms = Some(now_ms);
        escalation.told_ms = now_ms;
        escalation.told_count = escalation.count;
        Some(Post { escalation: id, due_ms: now_ms, notice: escalation.notice(NoticeKind::Again, now_ms) })
    }

    fn open(
        &mut self,
        fingerprint: u128,
        crossing: Crossing,
        on: OnCrossing,
        now_ms: i64,
    ) -> (u64, Outcome, Option<Post>) {
        let next = if crossing.proposed { &mut self.next_proposed } else { &mut self.next_id };
        let id = *next;
        *next += 1;
        let held = crossing.proposed && self.told_of_proposed(now_ms) >= self.settings.proposed_per_hour;
        let incident = if held { 0 } else { self.incident_of(&crossing, now_ms).unwrap_or(0) };
        let investigation = (on == OnCrossing::Investigate && !held).then(|| self.want(&crossing));
        let escalation = Escalation {
            id,
            fingerprint,
            label: crossing.label,
            severity: crossing.severity,
            summary: Redacted::new(&crossing.summary).cut(500),
            cluster: cleaned(&crossing.cluster),
            service: cleaned(&crossing.service),
            group: crossing.group.iter().map(|(name, value)| (name.clone(), cleaned(value))).collect(),
            threshold: crossing.threshold,
            window_seconds: crossing.window_seconds,
            late: crossing.late,
            opened_ms: now_ms,
            count: crossing.count,
            first_ms: crossing.first_ms,
            last_ms: crossing.last_ms,
            samples: crossing.samples,
            frames: Vec::new(),
            crossings: 1,
            firing: 1,
            told_ms: now_ms,
            end_told: false,
            again_told_ms: None,
            threads: BTreeMap::new(),
            proposed: crossing.proposed,
            held,
            also: Vec::new(),
            investigation,
            incident,
            told_count: crossing.count,
            reminded_ms: None,
            alert: false,
        };
        let notice = escalation.notice(NoticeKind::Opened, now_ms);
        self.before.entry(id).or_insert(None);
        self.by_fingerprint.insert(fingerprint, id);
        self.by_id.insert(id, escalation);
        self.make_room(crossing.proposed);
        if held {
            return (id, Outcome::Held, None);
        }
        (id, Outcome::Opened, Some(Post { escalation: id, due_ms: now_ms + self.settings.settle_ms, notice }))
    }

    fn told_of_proposed(&self, now_ms: i64) -> usize {
        let told = self.by_id.range(PROPOSED_AFTER..).rev().map(|(_, e)| e);
        let fresh = |at: i64| now_ms - at < HOUR_MS;
        told.filter(|e| !e.held && (fresh(e.opened_ms) || e.reminded_ms.is_some_and(fresh))).count()
    }

    /// More lines of a window that fires already.
    pub fn counted(&mut self, id: u64, count: u64, first_ms: i64, last_ms: i64, samples: &[Redacted]) {
        let Some(held) = self.by_id.get(&id) else { return };
        let room = SAMPLES_MAX.saturating_sub(held.samples.len());
        let fresh: Vec<&Redacted> = samples.iter().filter(|s| !held.samples.contains(s)).take(room).collect();
        let escalation = if fresh.is_empty() { self.grow(id) } else { self.change(id) };
        let Some(escalation) = escalation else { return };
        escalation.count = escalation.count.saturating_add(count);
        escalation.first_ms = escalation.first_ms.min(first_ms);
        escalation.last_ms = escalation.last_ms.max(last_ms);
        escalation.samples.extend(fresh.into_iter().cloned());
    }

    /// A proposed watch crossed on the lines that this one counts.
    pub fn covers(&mut self, id: u64, label: &str) {
        let Some(escalation) = self.change(id) else { return };
        if escalation.also.len() < ALSO_MAX && !escalation.also.iter().any(|l| l == label) {
            escalation.also.push(label.to_owned());
        }
    }

    /// Frames of the traces that its lines hold; nothing once it has some.
    pub fn failed_at(&mut self, id: u64, frames: impl FnOnce() -> Vec<String>) {
        if self.by_id.get(&id).is_none_or(|e| !e.frames.is_empty()) {
            return;
        }
        let frames: Vec<Redacted> =
            frames().iter().take(FRAMES_MAX).map(|frame| Redacted::new(frame).one_line().cut(FRAME_MAX)).collect();
        if let Some(escalation) = (!frames.is_empty()).then(|| self.change(id)).flatten() {
            escalation.frames = frames;
        }
    }

    /// The escalation that a crossing would add to without a word.
    pub fn known(&self, crossing: &Crossing, now_ms: i64) -> Option<u64> {
        let held = self.by_id.get(self.by_fingerprint.get(&fingerprint(crossing))?)?;
        let fires = held.firing > 0 && !held.late;
        let told = !held.end_told && now_ms - held.told_ms < self.settings.dedup_ms;
        (fires || told).then_some(held.id)
    }

    /// The escalation that an alert like this one opened last.
    pub fn alerted(&self, crossing: &Crossing) -> Option<u64> {
        let held = self.by_id.get(self.by_fingerprint.get(&fingerprint(crossing))?)?;
        held.alert.then_some(held.id)
    }

    pub fn is_of_an_alert(&mut self, id: u64) {
        if let Some(escalation) = self.change(id) {
            escalation.alert = true;
        }
    }

    /// How many escalations alerts have opened since then.
    pub fn alerts_since(&self, since_ms: i64) -> usize {
        let people = self.by_id.range(..=PROPOSED_AFTER).rev().map(|(_, e)| e);
        people.take_while(|e| e.opened_ms >= since_ms).filter(|e| e.alert).count()
    }

    /// What its investigation has to say, under its first message.
    pub fn reported(&self, id: u64, report: Told, now_ms: i64) -> Option<Post> {
        let escalation = self.by_id.get(&id).filter(|e| !e.held)?;
        let mut notice = escalation.notice(NoticeKind::Report, now_ms);
        notice.report = Some(Box::new(report));
        Some(Post { escalation: id, due_ms: now_ms, notice })
    }

    /// How many samples it would still take.
    pub fn room_for_samples(&self, id: u64) -> usize {
        self.by_id.get(&id).map_or(0, |e| SAMPLES_MAX.saturating_sub(e.samples.len()))
    }

    /// A window fell quiet while its service went on sending: resolved.
    pub fn quieted(&mut self, id: u64, now_ms: i64) -> Option<Post> {
        if self.one_less(id)? { self.tell_end(id, NoticeKind::Resolved, now_ms) } else { None }
    }

    /// A window fell quiet because nothing comes any more. `last_seen_ms`: when its service last sent.
    pub fn fell_silent(&mut self, id: u64, last_seen_ms: Option<i64>, now_ms: i64) -> Option<Post> {
        if !self.one_less(id)? {
            return None;
        }
        let mut post = self.tell_end(id, NoticeKind::NoData, now_ms)?;
        post.notice.last_ms = post.notice.last_ms.max(last_seen_ms.unwrap_or(i64::MIN));
        Some(post)
    }

    /// Whether the last of its windows has ended. A backlog has no end that is worth telling.
    fn one_less(&mut self, id: u64) -> Option<bool> {
        let escalation = self.change(id)?;
        escalation.firing = escalation.firing.saturating_sub(1);
        Some(escalation.firing == 0 && !escalation.late)
    }

    /// After "no data" its service sent again, and stayed below for a whole window.
    pub fn came_back(&mut self, id: u64, now_ms: i64) -> Option<Post> {
        let escalation = self.change(id)?;
        if escalation.firing > 0 || !escalation.end_told {
            return None;
        }
        escalation.end_told = false;
        self.tell_end(id, NoticeKind::Resolved, now_ms)
    }

    /// Its rule is gone: it fires no more, and nobody is told, since a person ended it.
    pub fn abandoned(&mut self, id: u64) {
        if let Some(escalation) = self.change(id) {
            escalation.firing = escalation.firing.saturating_sub(1);
        }
    }

    fn tell_end(&mut self, id: u64, kind: NoticeKind, now_ms: i64) -> Option<Post> {
        let escalation = self.change(id)?;
        // Told already, and nothing was told since that it could be the end of.
        if escalation.end_told || escalation.held {
            return None;
        }
        escalation.end_told = true;
        escalation.told_ms = now_ms;
        Some(Post { escalation: id, due_ms: now_ms, notice: escalation.notice(kind, now_ms) })
    }

    /// Where its first message stands.
    pub fn thread(&mut self, id: u64, destination: &str, thread: String) {
        if let Some(escalation) = self.change(id) {
            escalation.threads.insert(destination.to_owned(), thread);
        }
    }

    /// What the next commit must write: changed escalations, and those forgotten.
    pub fn changes(&self) -> Vec<(u64, Option<&Escalation>)> {
        let mut ids: Vec<u64> = self.before.keys().copied().collect();
        ids.sort_unstable();
        ids.into_iter().map(|id| (id, self.by_id.get(&id))).collect()
    }

    /// The commit is durable.
    pub fn settled(&mut self) {
        self.growing.settled(&self.before);
        self.before.clear();
    }

    /// The commit failed: everything since the last one is as if it had not been, and its numbers are free again.
    pub fn take_back(&mut self) {
        for (id, before) in std::mem::take(&mut self.before) {
            if before.is_none() {
                let next = if id > PROPOSED_AFTER { &mut self.next_proposed } else { &mut self.next_id };
                *next = (*next).min(id);
            }
            if let Some(now) = self.by_id.remove(&id) {
                self.by_fingerprint.remove(&now.fingerprint);
            }
            if let Some(before) = before {
                self.by_id.insert(id, before);
            }
        }
        self.growing.take_back(&mut self.by_id);
        self.by_fingerprint = self.by_id.values().map(|e| (e.fingerprint, e.id)).collect();
    }

    fn change(&mut self, id: u64) -> Option<&mut Escalation> {
        let escalation = self.by_id.get_mut(&id)?;
        self.before.entry(id).or_insert_with(|| Some(escalation.clone()));
        Some(escalation)
    }

    fn make_room(&mut self, proposed: bool) {
        let most = if proposed { PROPOSED_HELD_MAX } else { HELD_MAX };
        let mut alike = self.by_id.values().filter(|e| e.proposed == proposed);
        if self.by_id.len() <= most || alike.clone().count() <= most {
            return;
        }
        // Of proposed ones those go first that nobody was told of: the others count in the hour's messages.
        let untold = alike.clone().find(|e| e.held).map(|e| e.id);
        let Some(id) = untold.or_else(|| alike.find(|e| e.firing == 0).map(|e| e.id)) else { return };
        if let Some(gone) = self.by_id.remove(&id) {
            if self.by_fingerprint.get(&gone.fingerprint) == Some(&id) {
                self.by_fingerprint.remove(&gone.fingerprint);
            }
            self.before.entry(id).or_insert(Some(gone));
        }
    }
}

/// A name as it is kept and shown.
pub fn cleaned(name: &str) -> Redacted {
    Redacted::new(name).one_line().cut(200)
}

impl Escalation {
    /// What a human reads of it now.
    pub fn notice(&self, kind: NoticeKind, now_ms: i64) -> Notice {
        Notice {
            kind,
            escalation: self.id,
            label: self.label.clone(),
            severity: self.severity,
            summary: self.summary.clone(),
            cluster: self.cluster.clone(),
            service: self.service.clone(),
            group: self.group.clone(),
            count: self.count,
            threshold: self.threshold,
            window_seconds: self.window_seconds,
            first_ms: self.first_ms,
            last_ms: self.last_ms,
            at_ms: now_ms,
            late: self.late,
            samples: self.samples.clone(),
            dedup_key: format!("{:032x}", self.fingerprint),
            suggested_fix: None,
            dossier: None,
            incident: (self.incident != 0).then_some(self.incident),
            told_before: None,
            report: None,
            in_doubt: false,
            // Who was told hours ago looks at that thread no more.
            broadcast: kind == NoticeKind::Reminder,
            first_day: None,
        }
    }
}

/// Stable across runs and versions: people key their own alerting on it.
fn fingerprint(crossing: &Crossing) -> u128 {
    let mut hash = xxhash_rust::xxh3::Xxh3::new();
    let late = if crossing.late { "late" } else { "live" };
    // Apart also where a person later takes the label that triage had chosen.
    let who = if crossing.proposed { Some("proposed") } else { None };
    let parts = [&*crossing.cluster, &crossing.service, &crossing.label, late];
    for part in parts.into_iter().chain(who) {
        hash.update(&(part.len() as u64).to_le_bytes());
        hash.update(part.as_bytes());
    }
    hash.digest128()
}

#[cfg(test)]
mod tests;
