//! What one request's lines add up to, before anything counts.
//!
//! Lines come one by one; what remains of them are counts by watch, group and bucket, a few samples, and a
//! tally in which every line read stands exactly once.

mod readers;

use std::collections::HashMap;
use std::sync::Arc;

use super::Settings;
use super::join::{Joined, Joins};
use super::lines::Line;
use super::quarantine::{From, Rejects, Rest};
use crate::escalation::SAMPLES_MAX;
use crate::investigate::around::Gathered;
use crate::ledger::window::{Bucket, Width};
use crate::ledger::{DeliveryKey, Lane, Staged, StagedGroup};
use crate::metrics::Metrics;
use crate::record::format::Format;
use crate::record::json::Malformed;
use crate::record::naming::Naming;
use crate::record::shape::{SHAPES_MAX, ShapeId};
use crate::record::stripped::Sample;
use crate::record::text::Text;
use crate::record::{Delivery, Piece, Reader, Record};
use crate::triage::novel::{Novelties, origin_hash};
use crate::watch::matcher::{OfService, Scratch};
use crate::watch::{Watch, WatchSet, group_key};

/// A record's own time may be this far ahead of ours before it is not believed, in milliseconds.
const AHEAD_MAX_MS: i64 = 60_000;
/// Services that get figures of their own, of one batch and as metric labels; the rest is `other`.
pub const SERVICES_MAX: usize = 200;

/// Buckets that all groups of one batch may hold, 4 MiB; beyond it lines count in the nearest one.
const BUCKETS_MAX: usize = 256 * 1024;
/// Buckets of one group: four times what its window keeps.
const GROUP_BUCKETS_MAX: usize = 4096;
/// Bytes of samples in one batch; beyond it further groups have none.
const SAMPLED_MAX: usize = 1024 * 1024;

/// What became of a line. A closed set: every line read ends in exactly one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Matched,
    Unmatched,
    /// Part of a record that an earlier line began.
    Joined,
    Blank,
    /// A health check, or a line of our own service, that no watch matched.
    Own,
    Rejected,
    /// Of a batch that was counted before.
    Repeat,
    /// Of a body that ended early, or could not be committed.
    Aborted,
}

impl Outcome {
    pub fn as_str(self) -> &'static str {
        match self {
            Outcome::Matched => "matched",
            Outcome::Unmatched => "unmatched",
            Outcome::Joined => "joined",
            Outcome::Blank => "blank",
            Outcome::Own => "own",
            Outcome::Rejected => "rejected",
            Outcome::Repeat => "repeat",
            Outcome::Aborted => "aborted",
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub matched: u64,
    pub unmatched: u64,
    pub joined: u64,
    pub blank: u64,
    pub own: u64,
    /// By reason, as [`Malformed::ALL`] has them, and last: could not be decoded.
    pub rejected: [u64; Malformed::ALL.len() + 1],
    /// Of the lines above: longer than the cap, matched on their head.
    pub cut: u64,
    /// Joined records whose end was not seen.
    pub joins_cut: u64,
}

/// Reason of the lines that stand for a body's undecodable rest.
const UNDECODABLE: &str = "undecodable";

/// Every reason a line may be rejected for.
pub fn reasons() -> impl Iterator<Item = &'static str> {
    Malformed::ALL.iter().map(|r| r.as_str()).chain([UNDECODABLE])
}

impl Tally {
    pub fn rejected(&self) -> u64 {
        self.rejected.iter().sum()
    }

    /// All outcomes.
    pub fn read(&self) -> u64 {
        self.matched + self.unmatched + self.joined + self.blank + self.own + self.rejected()
    }

    pub fn reasons(&self) -> impl Iterator<Item = (&'static str, u64)> {
        reasons().zip(self.rejected).filter(|(_, count)| *count > 0)
    }

    pub fn publish(&self, metrics: &Metrics) {
        for (outcome, count) in [
            (Outcome::Matched, self.matched),
            (Outcome::Unmatched, self.unmatched),
            (Outcome::Joined, self.joined),
            (Outcome::Blank, self.blank),
            (Outcome::Own, self.own),
            (Outcome::Rejected, self.rejected()),
        ] {
            metrics.lines.with_label_values(&[outcome.as_str()]).inc_by(count);
        }
        for (reason, count) in self.reasons() {
            metrics.rejected.with_label_values(&[reason]).inc_by(count);
        }
        metrics.lines_cut.inc_by(self.cut);
        metrics.joins_cut.inc_by(self.joins_cut);
    }
}

/// What one service sent in one batch.
#[derive(Clone, Debug)]
pub struct ServiceFigures {
    pub cluster: String,
    pub service: String,
    pub lines: u64,
    /// Time of its newest live record: a backlog is no sign of life.
    pub newest_ms: Option<i64>,
    /// In which form its lines came, in the order of [`Format::ALL`].
    pub formats: [u64; Format::ALL.len()],
}

impl ServiceFigures {
    pub fn publish(&self, metrics: &Metrics) {
        metrics.service_lines(&self.cluster, &self.service, SERVICES_MAX).inc_by(self.lines);
    }
}

/// One request being read.
pub struct Batch {
    set: Arc<WatchSet>,
    reader: Reader,
    joins: Joins,
    scratch: Scratch,
    sheet: Sheet,
    tag: Option<Vec<u8>>,
    naming: Arc<Naming>,
    arrival_ms: i64,
}

/// The counts; apart from the reader, so that a record may be read while they change.
struct Sheet {
    /// Lines as they came out of the reader: the other side of the tally, counted where none of it is.
    read: u64,
    tally: Tally,
    /// Watch place, lane and group, in one key.
    groups: HashMap<Vec<u8>, StagedGroup>,
    services: Vec<ServiceFigures>,
    service_places: HashMap<Vec<u8>, usize>,
    /// By the place of its shape, what is the same for every record of it; `None` where a log line may have a
    /// say in it.
    of_shapes: Option<Vec<OfShape>>,
    lateness_ms: i64,
    scratch: Vec<u8>,
    rejects: Rejects,
    /// What no kind settled before; `None`: nobody triages.
    novelties: Option<Novelties>,
    /// What is kept for whoever investigates.
    around: Gathered,
    /// What people's and built-in watches may still stage, and what proposed ones may: whatever somebody proposed
    /// takes nothing from what people set.
    room: Room,
    proposed: Room,
}

/// How much more a batch may stage.
#[derive(Clone, Copy)]
struct Room {
    groups: usize,
    buckets: usize,
    /// Bytes of samples.
    sampled: usize,
}

/// What needs to be found out once for all records that are alike around their `log`.
#[derive(Clone, Copy)]
struct OfShape {
    /// The shape's number: its place may be another's by now.
    number: u32,
    of: Origin,
}

/// Whose a record is.
#[derive(Clone, Copy)]
struct Origin {
    /// Its service's place among the figures.
    service: usize,
    /// The operator calls that service our own.
    is_own: bool,
    /// What the sketches of its lines begin with.
    hash: u64,
    /// The rules about that service alone.
    rules: OfService,
}

// === impl Batch ===

impl Batch {
    pub fn new(set: Arc<WatchSet>, settings: &Settings, from: From, arrival_ms: i64) -> Batch {
        let tag = from.tag.clone();
        let sheet = Sheet {
            read: 0,
            tally: Tally::default(),
            groups: HashMap::new(),
            services: Vec::new(),
            service_places: HashMap::new(),
            // A path that the operator names may lead into the log, or to the date.
            of_shapes: settings.naming.leaves_it_to_the_envelope().then(Vec::new),
            lateness_ms: settings.lateness_ms,
            scratch: Vec::new(),
            rejects: Rejects::new(settings.quarantine, from),
            novelties: settings.intake.clone().map(Novelties::new),
            around: Gathered::new(settings.around),
            room: Room { groups: settings.max_groups_per_batch, buckets: BUCKETS_MAX, sampled: SAMPLED_MAX },
            proposed: Room {
                groups: settings.max_groups_per_batch / 4,
                buckets: BUCKETS_MAX / 4,
                sampled: SAMPLED_MAX / 4,
            },
        };
        Batch {
            set,
            reader: readers::take(),
            joins: Joins::new(settings.max_line_bytes),
            scratch: Scratch::default(),
            sheet,
            tag,
            naming: Arc::clone(&settings.naming),
            arrival_ms,
        }
    }

    /// Lines so far, those included that wait for what belongs to them.
    pub fn lines_read(&self) -> u64 {
        self.sheet.read
    }

    /// When the lines that follow came: for who brings lines of several moments in one batch.
    pub fn came_at(&mut self, arrival_ms: i64) {
        self.arrival_ms = arrival_ms;
    }

    pub fn line(&mut self, line: Line<'_>) {
        let (tag, naming) = (self.tag.as_deref(), Some(&*self.naming));
        let delivery = Delivery { tag, arrival_ms: self.arrival_ms, naming };
        let (set, scratch, sheet, joins) = (&self.set, &mut self.scratch, &mut self.sheet, &mut self.joins);
        sheet.tally.cut += u64::from(line.cut);
        let arrival_ms = self.arrival_ms;
        self.reader.read(line.bytes, line.cut, delivery, |piece| {
            sheet.read += 1;
            match piece {
                Piece::Blank => sheet.tally.blank += 1,
                Piece::Record(record) => joins.take(record, delivery, &mut |record, joined| {
                    sheet.record(set, scratch, record, arrival_ms, joined);
                }),
                Piece::Malformed(reason) => sheet.reject(reason, line),
            }
        });
    }

    /// The rest of the body could not be decoded: one rejected line.
    pub fn undecodable(&mut self, rest: Rest) {
        self.sheet.read += 1;
        self.sheet.rejected(None);
        self.sheet.rejects.rest(UNDECODABLE, rest);
    }

    /// `began`: the turn at which the request did.
    pub fn finish(mut self, delivery: Option<DeliveryKey>, began: u64) -> Finished {
        let (tag, naming) = (self.tag.as_deref(), Some(&*self.naming));
        let of = Delivery { tag, arrival_ms: self.arrival_ms, naming };
        let (set, scratch, sheet) = (&self.set, &mut self.scratch, &mut self.sheet);
        self.joins.finish(of, &mut |record, joined| sheet.record(set, scratch, record, of.arrival_ms, joined));
        self.sheet.tally.joins_cut = self.joins.cut();
        readers::keep(self.reader);
        let mut groups: Vec<StagedGroup> = self.sheet.groups.into_values().collect();
        // As they began, so that equal bodies have equal consequences, down to the numbers of escalations.
        groups.sort_by(|a, b| (a.first_ms, a.watch, &a.group, a.lane).cmp(&(b.first_ms, b.watch, &b.group, b.lane)));
        let novelties = self.sheet.novelties;
        let notes = novelties.as_ref().map(Novelties::notes).unwrap_or_default();
        let staged = Staged { delivery, began, groups, notes };
        let Sheet { read, tally, services, rejects, around, .. } = self.sheet;
        Finished { staged, read, tally, services, rejects, novelties, around }
    }
}

/// What a request's lines have added up to.
pub struct Finished {
    pub staged: Staged,
    /// Lines read; the tally's sum, or a line was lost or counted twice.
    pub read: u64,
    pub tally: Tally,
    pub services: Vec<ServiceFigures>,
    pub rejects: Rejects,
    pub novelties: Option<Novelties>,
    pub around: Gathered,
}

// === impl Sheet ===

impl Sheet {
    fn reject(&mut self, reason: Malformed, line: Line<'_>) {
        self.rejected(Malformed::ALL.iter().position(|r| *r == reason));
        self.rejects.line(reason.as_str(), line.bytes, line.cut);
    }

    /// `None`: could not be decoded.
    fn rejected(&mut self, reason: Option<usize>) {
        if let Some(count) = self.tally.rejected.get_mut(reason.unwrap_or(Malformed::ALL.len())) {
            *count += 1;
        }
    }

    fn record(&mut self, set: &WatchSet, scratch: &mut Scratch, record: &Record<'_>, arrival_ms: i64, joined: Joined) {
        self.tally.joined += joined.lines - 1;
        self.tally.cut += u64::from(joined.shortened);
        let stated_ms = record.time_ms();
        let time_ms = if stated_ms > arrival_ms + AHEAD_MAX_MS { arrival_ms } else { stated_ms };
        let lane = if arrival_ms - time_ms > self.lateness_ms { Lane::Late } else { Lane::Live };
        let origin = self.origin(set, record);
        let own = origin.is_own || record.is_health_check();
        self.figures(record, origin, joined.lines, if lane == Lane::Live && !own { Some(time_ms) } else { None });
        let mut matched = false;
        set.matches_of(record, origin.rules, scratch, |place, watch| {
            matched = true;
            self.count(record, place, watch, lane, time_ms);
        });
        if !own && let Some(novelties) = &mut self.novelties {
            novelties.take(record, origin.hash, time_ms);
        }
        if !own || matched {
            self.around.take(origin.service, record, time_ms, matched);
        }
        match (matched, own) {
            (true, _) => self.tally.matched += 1,
            (false, true) => self.tally.own += 1,
            (false, false) => self.tally.unmatched += 1,
        }
    }

    fn count(&mut self, record: &Record<'_>, place: usize, watch: &Watch, lane: Lane, time_ms: i64) {
        let mut key = std::mem::take(&mut self.scratch);
        key.clear();
        key.extend_from_slice(&(place as u32).to_le_bytes());
        key.push(lane as u8);
        group_key(record, &watch.rule.group_by, &mut key);
        let room = if watch.origin.is_proposed() { &mut self.proposed } else { &mut self.room };
        if room.groups == 0 && !self.groups.contains_key(&key) {
            key.truncate(5);
            crate::watch::other_key(watch.rule.group_by.len(), &mut key);
        }
        let bucket = Width::of_seconds(watch.rule.window_seconds).bucket(time_ms);
        match self.groups.get_mut(&key) {
            Some(group) => {
                group.first_ms = group.first_ms.min(time_ms);
                group.last_ms = group.last_ms.max(time_ms);
                room.buckets -= add(&mut group.counts, bucket, room.buckets > 0).min(room.buckets);
                if group.samples.len() < SAMPLES_MAX && room.sampled > 0 {
                    let sample = Sample::of(record);
                    room.sampled = room.sampled.saturating_sub(sample.size());
                    group.samples.push(sample);
                }
            }
            None => {
                let text =
                    |value: Option<Text<'_>>| value.map(|t| t.to_string_lossy().into_owned()).unwrap_or_default();
                let mut samples = Vec::new();
                if room.sampled > 0 {
                    let sample = Sample::of(record);
                    room.sampled = room.sampled.saturating_sub(sample.size());
                    samples.push(sample);
                }
                room.buckets = room.buckets.saturating_sub(1);
                room.groups = room.groups.saturating_sub(1);
                let group = StagedGroup {
                    watch: watch.key,
                    group: key.get(5..).unwrap_or_default().into(),
                    lane,
                    counts: vec![(bucket, 1)],
                    first_ms: time_ms,
                    last_ms: time_ms,
                    cluster: text(record.cluster()),
                    service: text(Some(record.service())),
                    samples,
                };
                self.groups.insert(key.clone(), group);
            }
        }
        self.scratch = key;
    }

    #[inline]
    fn figures(&mut self, record: &Record<'_>, origin: Origin, lines: u64, live_ms: Option<i64>) {
        if let Some(figures) = self.services.get_mut(origin.service) {
            figures.lines += lines;
            figures.newest_ms = figures.newest_ms.max(live_ms);
            if let Some(count) = figures.formats.get_mut(Format::of(record) as usize) {
                *count += 1;
            }
        }
    }

    #[inline]
    fn origin(&mut self, set: &WatchSet, record: &Record<'_>) -> Origin {
        let (Some(shape), Some(of_shapes)) = (record.shape, &mut self.of_shapes) else {
            return self.read_origin(set, record);
        };
        match of_shapes.get(shape.place) {
            Some(known) if known.number == shape.number => known.of,
            _ => {
                let of = self.read_origin(set, record);
                self.keep_origin(shape, of);
                of
            }
        }
    }

    fn keep_origin(&mut self, shape: ShapeId, of: Origin) {
        let Some(of_shapes) = &mut self.of_shapes else { return };
        if of_shapes.is_empty() {
            // No shape has this number.
            of_shapes.resize(SHAPES_MAX, OfShape { number: u32::MAX, of });
        }
        if let Some(slot) = of_shapes.get_mut(shape.place) {
            *slot = OfShape { number: shape.number, of };
        }
    }

    fn read_origin(&mut self, set: &WatchSet, record: &Record<'_>) -> Origin {
        let (cluster, service) = (record.cluster(), record.service());
        let mut key = std::mem::take(&mut self.scratch);
        key.clear();
        key.extend_from_slice(cluster.map(|c| c.raw()).unwrap_or_default());
        key.push(0);
        key.extend_from_slice(service.raw());
        let place = match self.service_places.get(&key) {
            Some(place) => *place,
            // Beyond the bound the first place is shared: figures then are of `other`.
            None if self.services.len() > SERVICES_MAX => self.other_service(),
            None => {
                self.services.push(ServiceFigures {
                    cluster: cluster.map(|c| c.to_string_lossy().into_owned()).unwrap_or_default(),
                    service: service.to_string_lossy().into_owned(),
                    lines: 0,
                    newest_ms: None,
                    formats: [0; Format::ALL.len()],
                });
                self.service_places.insert(key.clone(), self.services.len() - 1);
                self.services.len() - 1
            }
        };
        self.scratch = key;
        let hash = origin_hash(record, service);
        Origin { service: place, is_own: record.is_of_own(service), hash, rules: set.of_service(record) }
    }

    fn other_service(&mut self) -> usize {
        let key = b"\0other".to_vec();
        if let Some(place) = self.service_places.get(&key) {
            return *place;
        }
        self.services.push(ServiceFigures {
            cluster: String::new(),
            service: "other".into(),
            lines: 0,
            newest_ms: None,
            formats: [0; Format::ALL.len()],
        });
        self.service_places.insert(key, self.services.len() - 1);
        self.services.len() - 1
    }
}

/// Counts one more in `bucket`; answers how many buckets that added. When there is no room for another one, the
/// nearest takes it: no line is lost, and its time is off by little where buckets are that many.
fn add(counts: &mut Vec<(Bucket, u64)>, bucket: Bucket, room: bool) -> usize {
    // Lines come nearly in order, so the bucket is almost always the last one.
    if let Some((last, count)) = counts.last_mut()
        && *last == bucket
    {
        *count += 1;
        return 0;
    }
    match counts.binary_search_by_key(&bucket, |(b, _)| *b) {
        Err(place) if room && counts.len() < GROUP_BUCKETS_MAX => {
            counts.insert(place, (bucket, 1));
            1
        }
        Ok(place) | Err(place) => {
            let place = place.min(counts.len().saturating_sub(1));
            if let Some((_, count)) = counts.get_mut(place) {
                *count += 1;
            }
            0
        }
    }
}

#[cfg(test)]
mod tests;
