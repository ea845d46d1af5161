//! Every kind of line there is, what was said of it, and which are to be judged next.
//!
//! Pure: time is a parameter. [`Kinds::see`] takes what requests found unknown, tells old kinds from new ones,
//! and lets those wait that somebody must judge: new ones, and judged ones that have become more severe, far more
//! frequent, or belong to another revision. A kind that was judged is settled: its sketches are known, so that
//! its lines cost a look-up and come here no more, until a sweep finds a reason. What is counted is in use: when
//! there are too many kinds, those go that nothing was seen of for longest.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};

use super::known::Known;
use super::novel::{Novel, status_of, tells_no_path, without_query};
use super::template::mask::{self, Masked};
use super::template::{self, Miner, Snapshot, TemplateId};
use super::{Offer, Shape, What, Why, novel};
use crate::record::json::Value;
use crate::record::level::Level;
use crate::record::naming::Naming;
use crate::record::stripped::Sample;
use crate::record::{Body, Record};

/// Sketches remembered of one kind; of more, the oldest is found again by its template.
const SKETCHES_MAX: usize = 64;
/// Seconds that a history reaches back: the longest window that can be set from it, and made up for.
pub const HISTORY_SECONDS: i64 = 3_600;
/// Kinds beyond the bound until their templates are looked after.
const KINDS_SLACK: usize = 512;
/// Entries of one history.
const HISTORY_MAX: usize = 1_024;
/// Of a message, what an offer holds; what stands further behind tells no kinds apart.
const MESSAGE_MAX: usize = 1_024;
const FIELDS_MAX: usize = 40;
/// Revisions of one kind's service that are no news: of a rolling deploy two run at once, of a mapped service several.
const REVISIONS_MAX: usize = 8;
/// Words of an exception's message and of a frame that tell it from others.
const TOKENS_MAX: usize = 48;
/// A rate has left its past behind when it is so many times the usual one, and at least so many lines a second.
const RATE_FACTOR: f64 = 20.0;
const RATE_LEAST: f64 = 5.0;
/// A rush is told as what came in so many seconds.
const RUSH_SECONDS: u64 = 60;
/// How fast the usual rate follows: one part in so many at each sweep.
const RATE_MEMORY: f64 = 30.0;
/// Sweeps before a rate counts as usual.
const SWEEPS_LEAST: u32 = 6;

#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    pub max_kinds: usize,
    /// Kinds that may wait to be judged.
    pub max_waiting: usize,
}

pub struct Kind {
    pub shape: Shape,
    pub cluster: String,
    pub service: String,
    /// The worst that one of its lines had.
    pub level: Level,
    /// Revisions of its service that its lines came from, the last few.
    pub revisions: Vec<u64>,
    pub sample: Sample,
    /// It was read from the store: what was secret in it is gone.
    pub lacks: bool,
    /// Seconds of record time.
    pub first_s: i64,
    pub last_s: i64,
    pub count: u64,
    /// Lines by second, as far as known; a settled kind's by sweep.
    pub history: BTreeMap<i64, u64>,
    pub state: State,
    sketches: Vec<u64>,
    /// Lines a second, usually and at the last sweep.
    usual: f64,
    rate: f64,
    sweeps: u32,
    /// It is to be judged again because it comes so often.
    rushes: bool,
    /// Lines a second then.
    rush: f64,
}

#[derive(Clone, Debug, PartialEq)]
pub enum State {
    /// Somebody is to judge it.
    Waiting {
        why: Why,
        since_ms: i64,
        asked: bool,
        tries: u32,
    },
    Judged(Judgement),
    /// There was no room: it waits when it comes again.
    Passed,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Judgement {
    pub what: What,
    pub at_ms: i64,
    /// Until when it holds.
    pub until_ms: i64,
    pub level: Level,
    /// The watch that was made of it.
    pub label: Option<String>,
}

/// What became of what was handed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// It waits now.
    Waits,
    /// It was waiting.
    Waiting,
    /// It was judged, and that holds.
    Settled,
    /// It, or a less severe one for it, had no room.
    Dropped,
}

pub struct Kinds {
    bounds: Bounds,
    miner: Miner,
    kinds: HashMap<u64, Kind>,
    by_sketch: HashMap<u64, u64>,
    /// Kinds that wait, as they came.
    waiting: Vec<u64>,
    /// Sketches that nothing is known of any more: their notes can go.
    gone: Vec<u64>,
    /// Kinds that came since the last sweep.
    came: usize,
}

// === impl Kinds ===

impl Kinds {
    /// `seed`: secret, so that nobody can make two messages that share a hash.
    pub fn new(bounds: Bounds, seed: u64) -> Kinds {
        Kinds::restored(bounds, seed, &Snapshot::default())
    }

    /// With the templates of an earlier run.
    pub fn restored(bounds: Bounds, seed: u64, templates: &Snapshot) -> Kinds {
        let settings = template::Settings { max_templates: bounds.max_kinds, seed, ..template::Settings::default() };
        Kinds {
            bounds,
            miner: Miner::import(settings, templates),
            kinds: HashMap::new(),
            by_sketch: HashMap::new(),
            waiting: Vec::new(),
            gone: Vec::new(),
            came: 0,
        }
    }

    /// What [`Kinds::restored`] goes on with.
    pub fn templates(&self) -> Snapshot {
        self.miner.export()
    }

    /// Grows whenever that has changed.
    pub fn template_changes(&self) -> u64 {
        self.miner.changes()
    }

    /// So many came since the last sweep that kinds in use might have to make room before the next one.
    pub fn is_crowded(&self) -> bool {
        self.came.saturating_mul(8) >= self.bounds.max_kinds
    }

    pub fn len(&self) -> usize {
        self.kinds.len()
    }

    pub fn is_empty(&self) -> bool {
        self.kinds.is_empty()
    }

    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    pub fn get(&self, kind: u64) -> Option<&Kind> {
        self.kinds.get(&kind)
    }

    pub fn iter(&self) -> impl Iterator<Item = (u64, &Kind)> {
        self.kinds.iter().map(|(id, kind)| (*id, kind))
    }

    pub fn template(&self, kind: u64) -> String {
        let held = self.miner.template(TemplateId(kind));
        // Its template had to make room while it waited.
        held.unwrap_or_else(|| self.kinds.get(&kind).map(|kind| masked(&kind.message())).unwrap_or_default())
    }

    /// Takes in lines of one sketch; the kind they are of, and what that means.
    /// `None`: it has no line, and that of its kind is gone; it must come again with one.
    pub fn see(&mut self, novel: &Novel, naming: Option<&Naming>, known: &Known, now_ms: i64) -> Option<(u64, Seen)> {
        let found = self.by_sketch.get(&novel.sketch).copied().filter(|id| self.kinds.contains_key(id));
        let id = match found {
            Some(id) => {
                self.miner.touch(TemplateId(id));
                id
            }
            None => self.learn(novel, novel.sample.as_ref()?, naming),
        };
        self.came += usize::from(!self.kinds.contains_key(&id));
        let level = novel.level();
        let kind = match (self.kinds.entry(id), &novel.sample) {
            (Entry::Occupied(held), _) => held.into_mut(),
            (Entry::Vacant(free), Some(sample)) => free.insert(Kind::of(novel, sample)),
            (Entry::Vacant(_), None) => return None,
        };
        kind.count(&novel.counts);
        if level > kind.level
            && let Some(sample) = &novel.sample
        {
            // What is worse speaks for the kind from now on.
            (kind.level, kind.sample, kind.lacks) = (level, sample.clone(), false);
        }
        kind.level = kind.level.max(level);
        if found.is_none() {
            if !kind.sketches.contains(&novel.sketch) {
                if kind.sketches.len() >= SKETCHES_MAX {
                    // The first names its note.
                    let oldest = kind.sketches.remove(1);
                    self.by_sketch.remove(&oldest);
                    self.gone.push(oldest);
                }
                kind.sketches.push(novel.sketch);
            }
            self.by_sketch.insert(novel.sketch, id);
        }
        let is_new_revision = novel.sample.is_some() && !kind.revisions.contains(&novel.revision);
        if is_new_revision {
            if kind.revisions.len() >= REVISIONS_MAX {
                kind.revisions.remove(0);
            }
            kind.revisions.push(novel.revision);
        }
        let why = match &kind.state {
            State::Waiting { .. } => return Some((id, Seen::Waiting)),
            State::Passed => Why::New,
            State::Judged(held) if level > held.level => Why::Level,
            State::Judged(held) if now_ms >= held.until_ms && kind.rushes => Why::Rate,
            State::Judged(held) if now_ms >= held.until_ms => Why::Again,
            State::Judged(_) if is_new_revision && level >= Level::Warn => Why::Deploy,
            State::Judged(_) => {
                known.insert(novel.sketch);
                return Some((id, Seen::Settled));
            }
        };
        let seen = self.wait(id, why, 0, now_ms);
        // Between two sweeps, too, there is a bound.
        if self.kinds.len() > self.bounds.max_kinds.saturating_add(KINDS_SLACK) {
            self.follow_templates();
        }
        Some((id, seen))
    }

    /// A kind of an earlier run, as it was judged then. `template`: what it was one of, where its line alone does not
    /// tell; 0: it does.
    pub fn restore(
        &mut self,
        novel: &Novel,
        template: u64,
        judgement: Judgement,
        naming: Option<&Naming>,
        known: &Known,
    ) {
        let Some(sample) = &novel.sample else { return };
        let group = group_of(novel);
        let held = self.miner.get(TemplateId(template)).filter(|held| held.group == group).map(|held| held.id.0);
        let id = held.unwrap_or_else(|| self.learn(novel, sample, naming));
        let kind = self.kinds.entry(id).or_insert_with(|| Kind { lacks: template != 0, ..Kind::of(novel, sample) });
        if !kind.sketches.contains(&novel.sketch) && kind.sketches.len() < SKETCHES_MAX {
            kind.sketches.push(novel.sketch);
            self.by_sketch.insert(novel.sketch, id);
        }
        self.settle(id, judgement, known);
    }

    fn learn(&mut self, novel: &Novel, sample: &Sample, naming: Option<&Naming>) -> u64 {
        let mut text = String::new();
        sample.read(naming, |record| text = told(record, novel.shape));
        let group = group_of(novel);
        let learned = match novel.shape {
            Shape::Message => self.miner.learn(group, &text),
            Shape::Access | Shape::Trace => self.miner.learn_exact(group, &text),
        };
        learned.id.0
    }

    fn forget(&mut self, id: u64) {
        let Some(kind) = self.kinds.remove(&id) else { return };
        for sketch in &kind.sketches {
            self.by_sketch.remove(sketch);
        }
        self.waiting.retain(|waiting| *waiting != id);
        self.gone.extend(kind.sketches);
    }

    /// Sketches that are to be forgotten wherever they are remembered, since the last look.
    pub fn take_gone(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.gone)
    }

    fn wait(&mut self, id: u64, why: Why, tries: u32, now_ms: i64) -> Seen {
        let rank = |kinds: &HashMap<u64, Kind>, id: u64| kinds.get(&id).map(Kind::rank);
        if self.waiting.len() >= self.bounds.max_waiting {
            // The least severe gives way, and of those the one that came last.
            let least = (0..self.waiting.len()).rev().min_by_key(|place| {
                let id = self.waiting.get(*place).copied().unwrap_or_default();
                rank(&self.kinds, id)
            });
            match least.and_then(|place| Some((place, *self.waiting.get(place)?))) {
                Some((place, other)) if rank(&self.kinds, other) < rank(&self.kinds, id) => {
                    self.waiting.remove(place);
                    self.pass(other);
                }
                _ => {
                    self.pass(id);
                    return Seen::Dropped;
                }
            }
        }
        self.set(id, State::Waiting { why, since_ms: now_ms, asked: false, tries });
        self.waiting.push(id);
        Seen::Waits
    }

    /// It waits no more, and its next line is looked at.
    fn pass(&mut self, id: u64) {
        self.set(id, State::Passed);
        if let Some(kind) = self.kinds.get(&id) {
            self.gone.extend(&kind.sketches);
        }
    }

    fn set(&mut self, id: u64, state: State) {
        if let Some(kind) = self.kinds.get_mut(&id) {
            kind.state = state;
        }
    }

    /// When a batch is due: at once where as many wait, else so long after the first of them.
    pub fn due_ms(&self, lines: usize, wait_ms: i64) -> Option<i64> {
        let since = self.unasked().filter_map(|(_, kind)| match kind.state {
            State::Waiting { since_ms, .. } => Some(since_ms),
            _ => None,
        });
        let first = since.clone().min()?;
        Some(if since.count() >= lines { first } else { first.saturating_add(wait_ms) })
    }

    fn unasked(&self) -> impl Iterator<Item = (u64, &Kind)> + Clone {
        self.waiting.iter().filter_map(|id| {
            let kind = self.kinds.get(id)?;
            matches!(kind.state, State::Waiting { asked: false, .. }).then_some((*id, kind))
        })
    }

    /// The most severe of those that wait, so many at most, marked as asked about.
    pub fn take(&mut self, most: usize) -> Vec<u64> {
        let mut ids: Vec<u64> = self.unasked().map(|(id, _)| id).collect();
        ids.sort_by_key(|id| std::cmp::Reverse(self.kinds.get(id).map(Kind::rank)));
        ids.truncate(most);
        for id in &ids {
            if let Some(State::Waiting { asked, .. }) = self.kinds.get_mut(id).map(|kind| &mut kind.state) {
                *asked = true;
            }
        }
        ids
    }

    /// Nobody could say: it waits again, and has been tried once more. Answers how often.
    pub fn give_back(&mut self, id: u64, now_ms: i64) -> u32 {
        if let Some(State::Waiting { tries, .. }) = self.kinds.get_mut(&id).map(|kind| &mut kind.state) {
            *tries += 1;
        }
        self.postpone(id, now_ms)
    }

    /// Nobody was asked: it waits again. Answers how often it was tried.
    pub fn postpone(&mut self, id: u64, now_ms: i64) -> u32 {
        match self.kinds.get_mut(&id).map(|kind| &mut kind.state) {
            Some(State::Waiting { asked, tries, since_ms, .. }) => {
                (*asked, *since_ms) = (false, now_ms);
                *tries
            }
            _ => 0,
        }
    }

    /// It is worse by now than what was asked about: it waits anew, and what was said of it is not meant.
    pub fn rewait(&mut self, id: u64, now_ms: i64) {
        if let Some(State::Waiting { why, asked, since_ms, .. }) = self.kinds.get_mut(&id).map(|kind| &mut kind.state) {
            (*why, *asked, *since_ms) = (Why::Level, false, now_ms);
        }
    }

    /// It is judged: its sketches are known from now on.
    pub fn settle(&mut self, id: u64, judgement: Judgement, known: &Known) {
        self.waiting.retain(|waiting| *waiting != id);
        let Some(kind) = self.kinds.get_mut(&id) else { return };
        // The rate that it was judged at is the one to measure by from now on.
        if matches!(kind.state, State::Waiting { why: Why::Rate, .. }) {
            kind.usual = kind.usual.max(kind.rush);
        }
        kind.rushes = false;
        kind.state = State::Judged(judgement);
        for sketch in &kind.sketches {
            known.insert(*sketch);
        }
    }

    /// Takes up what the table of known lines has counted, and finds those whose judgement holds no more: their
    /// next line waits. So many seconds after the last sweep.
    pub fn sweep(&mut self, known: &Known, seconds: f64, now_ms: i64) {
        let now_s = now_ms.div_euclid(1000);
        self.came = 0;
        for (id, kind) in &mut self.kinds {
            let more: u64 = kind.sketches.iter().map(|sketch| u64::from(known.take_count(*sketch))).sum();
            if more > 0 {
                kind.count(&[(now_s, more)]);
                self.miner.touch(TemplateId(*id));
            }
            kind.rate = more as f64 / seconds.max(1.0);
            kind.history = kind.history.split_off(&(now_s - HISTORY_SECONDS));
            let State::Judged(held) = &mut kind.state else { continue };
            let rate = kind.rate;
            let left_behind = kind.sweeps >= SWEEPS_LEAST && rate >= RATE_LEAST && rate > kind.usual * RATE_FACTOR;
            kind.usual += (rate - kind.usual) / RATE_MEMORY.min(f64::from(kind.sweeps) + 1.0);
            kind.sweeps = kind.sweeps.saturating_add(1);
            // A watch counts what it was made for, however often that comes.
            let rushes = left_behind && held.what == What::Ignore;
            if rushes || now_ms >= held.until_ms {
                held.until_ms = held.until_ms.min(now_ms);
                if rushes {
                    (kind.rushes, kind.rush) = (true, rate);
                }
                for sketch in &kind.sketches {
                    known.forget(*sketch);
                }
            }
        }
        self.follow_templates();
    }

    /// Kinds whose template is forgotten go with it, and of two whose templates turned out to be one the other goes:
    /// its lines are found again under the older one.
    fn follow_templates(&mut self) {
        let moved = self.kinds.iter().filter(|(id, kind)| {
            let waits = matches!(kind.state, State::Waiting { .. });
            // What waits is not forgotten before somebody has judged it.
            !waits && self.miner.resolve(TemplateId(**id)) != Some(TemplateId(**id))
        });
        let moved: Vec<u64> = moved.map(|(id, _)| *id).collect();
        for id in moved {
            self.forget(id);
        }
    }

    /// All the same as a judgement that has expired: its next line waits.
    pub fn reopen(&mut self, id: u64, known: &Known, now_ms: i64) {
        let Some(kind) = self.kinds.get_mut(&id) else { return };
        if let State::Judged(held) = &mut kind.state {
            held.until_ms = now_ms;
            kind.sketches.iter().for_each(|sketch| known.forget(*sketch));
        }
    }

    /// What whoever judges it is shown.
    pub fn offer(&self, id: u64, naming: Option<&Naming>) -> Option<Offer> {
        let kind = self.kinds.get(&id)?;
        let why = match kind.state {
            State::Waiting { why, .. } => why,
            _ => Why::New,
        };
        let mut offer = Offer {
            kind: id,
            why,
            shape: kind.shape,
            cluster: kind.cluster.clone(),
            service: kind.service.clone(),
            level: kind.level,
            template: self.template(id),
            message: String::new(),
            shown: kind.sample.redacted(),
            status: None,
            method: None,
            path: None,
            exception: None,
            fields: Vec::new(),
            count: kind.count,
            over_seconds: u64::try_from(kind.last_s - kind.first_s).unwrap_or(0).max(1),
        };
        if why == Why::Rate {
            // Of the rush alone: it is what there is to judge.
            (offer.count, offer.over_seconds) = ((kind.rush * RUSH_SECONDS as f64) as u64, RUSH_SECONDS);
        }
        kind.sample.read(naming, |record| {
            let text = |name: &str| record.field(name).as_ref().and_then(shown);
            offer.message = text("message").unwrap_or_default();
            offer.status = text("status").and_then(|status| status.parse().ok());
            (offer.method, offer.path) = (text("method"), text("path"));
            offer.exception = record.exception().map(|e| e.kind.clone()).filter(|kind| !kind.is_empty());
            offer.fields = match record.body {
                Body::Access(..) => ["status", "method", "path", "host", "bytes", "duration"].map(String::from).into(),
                _ => record.field_names(FIELDS_MAX),
            };
        });
        Some(offer)
    }
}

impl Kind {
    fn of(novel: &Novel, sample: &Sample) -> Kind {
        let first_s = novel.counts.iter().map(|(second, _)| *second).min().unwrap_or_default();
        Kind {
            shape: novel.shape,
            cluster: novel.cluster.clone(),
            service: novel.service.clone(),
            level: novel.level(),
            revisions: vec![novel.revision],
            sample: sample.clone(),
            lacks: false,
            first_s,
            last_s: first_s,
            count: 0,
            history: BTreeMap::new(),
            state: State::Passed,
            sketches: Vec::new(),
            usual: 0.0,
            rate: 0.0,
            sweeps: 0,
            rushes: false,
            rush: 0.0,
        }
    }

    fn message(&self) -> String {
        let mut message = String::new();
        self.sample.read(None, |record| {
            message = record.field("message").as_ref().and_then(shown).unwrap_or_default();
        });
        message
    }

    /// As requests hand it on: one of its lines, and what is known of when they came.
    pub fn as_novel(&self) -> Novel {
        Novel {
            sketch: self.sketches.first().copied().unwrap_or_default(),
            cluster: self.cluster.clone(),
            service: self.service.clone(),
            revision: self.revisions.last().copied().unwrap_or_default(),
            shape: self.shape,
            level: self.level as u8,
            counts: self.history.iter().map(|(second, count)| (*second, *count)).collect(),
            sample: Some(self.sample.clone()),
        }
    }

    /// The watch that counts it, if that is what was said.
    pub fn watched_by(&self) -> Option<&str> {
        match &self.state {
            State::Judged(held) if held.what == What::Watch => held.label.as_deref(),
            _ => None,
        }
    }

    /// What was said of it, if that holds.
    pub fn judged(&self) -> Option<What> {
        match &self.state {
            State::Judged(held) => Some(held.what),
            State::Waiting { .. } | State::Passed => None,
        }
    }

    pub fn sketches(&self) -> &[u64] {
        &self.sketches
    }

    fn count(&mut self, counts: &[(i64, u64)]) {
        for (second, more) in counts {
            if self.count == 0 {
                // Restored, it began at no time.
                (self.first_s, self.last_s) = (*second, *second);
            }
            self.count = self.count.saturating_add(*more);
            (self.first_s, self.last_s) = (self.first_s.min(*second), self.last_s.max(*second));
            *self.history.entry(*second).or_default() += more;
            if self.history.len() > HISTORY_MAX {
                self.history.pop_first();
            }
        }
    }

    /// Who goes first: the most severe, a trace before a message, the one that comes more often.
    fn rank(&self) -> (Level, bool, u64) {
        (self.level, self.shape == Shape::Trace, self.count)
    }
}

/// Templates of different clusters, services or shapes have nothing to do with one another.
fn group_of(novel: &Novel) -> u64 {
    let group = [novel.cluster.as_str(), "\0", &novel.service].concat();
    xxhash_rust::xxh3::xxh3_64_with_seed(group.as_bytes(), novel.shape as u64)
}

/// What a kind is told by.
fn told(record: &Record<'_>, shape: Shape) -> String {
    let text = |name: &str| record.field(name).as_ref().and_then(shown).unwrap_or_default();
    match shape {
        Shape::Access => {
            let (path, status) = (text("path"), text("status"));
            if tells_no_path(status_of(status.as_bytes())) {
                return format!("{} {status}", text("method"));
            }
            let path = String::from_utf8_lossy(without_query(path.as_bytes())).into_owned();
            format!("{} {status} {}", text("method"), mask::request_path(&path))
        }
        Shape::Trace => {
            let Some(exception) = record.exception() else { return text("message") };
            let frames: Vec<String> = exception.frames.iter().take(novel::FRAMES).map(|frame| masked(frame)).collect();
            match frames.is_empty() {
                true => format!("{}: {}", exception.kind, masked(&exception.message)),
                false => format!("{} at {}", exception.kind, frames.join(" < ")),
            }
        }
        Shape::Message => match text("message") {
            message if message.is_empty() => format!("fields {}", record.field_names(novel::FIELDS).join(" ")),
            message => message,
        },
    }
}

/// A text without what varies in it.
fn masked(text: &str) -> String {
    let mut masked = Masked::default();
    masked.mask(text.as_bytes(), TOKENS_MAX);
    mask::readable(masked.as_bytes())
}

fn shown(value: &Value<'_>) -> Option<String> {
    let cut = |text: &str| {
        let mut end = text.len().min(MESSAGE_MAX);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.get(..end).unwrap_or_default().to_owned()
    };
    Some(match value {
        Value::Text(text) => cut(&text.to_string_lossy()),
        Value::Number(raw) => cut(&String::from_utf8_lossy(raw)),
        Value::Int(n) => n.to_string(),
        Value::Bool(b) => b.to_string(),
        Value::Null | Value::Object(_) | Value::Array(_) => return None,
    })
}

#[cfg(test)]
pub(super) mod tests;
