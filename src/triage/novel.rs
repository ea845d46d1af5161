//! The request's side of novelty: one cheap look at each record, and what is kept of those that no kind
//! settled before.
//!
//! A record's [`sketch`](super::sketch) is looked up in the table of known ones. Nearly all are there: counted
//! and done. Of the others the first of each sketch is kept with a count a second, up to a bound per batch, and
//! handed to triage once the batch has counted; of those of which triage holds a line only the count
//! ([`waiting`]). Nothing here waits, and what has no room is offered again the next time it comes.

mod waiting;

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use super::Shape;
use super::known::Known;
use super::sketch::sketch;
use crate::record::json::Value;
use crate::record::level::Level;
use crate::record::stripped::Sample;
use crate::record::text::Text;
use crate::record::{Body, Derived, Record};
use waiting::{OF_BATCH_MAX, Tallies, Tally, USUAL, Waiting};

/// Sketches that one batch hands on, and bytes of their lines.
const KINDS_MAX: usize = 256;
const BYTES_MAX: usize = 512 * 1024;
/// Of those, how many are stored with the batch: the severe ones, so that a crash loses none of them.
const NOTES_MAX: usize = 32;
/// Seconds that one batch counts apart for one sketch; further ones count in the last.
const SECONDS_MAX: usize = 128;
/// Sketches that are known to be settled, those of which triage holds a line, and those whose line is stored: 12
/// bytes each.
const KNOWN: usize = 128 * 1024;
const HELD: usize = 32 * 1024;
const NOTED: usize = 8 * 1024;
/// What a note is called: by its sketch, so that the same one is stored once.
pub const LINE_NOTE: &str = "line/";

/// Lines of one sketch in one batch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Novel {
    pub sketch: u64,
    pub cluster: String,
    pub service: String,
    /// A hash of the revision that its service runs; the same for all that say none.
    pub revision: u64,
    pub shape: Shape,
    /// By [`Level::ALL`].
    pub level: u8,
    /// Lines by second of record time, nearly ascending.
    pub counts: Vec<(i64, u64)>,
    /// The first of them; `None`: triage holds one already, and the names are left out too.
    pub sample: Option<Sample>,
}

/// What requests share with triage.
pub struct Intake {
    pub known: Known,
    /// Sketches of which triage holds a line: of these only the count is news.
    pub held: Known,
    /// Sketches whose line is stored already.
    noted: Known,
    queue: mpsc::Sender<Vec<Novel>>,
    waiting: Waiting,
    /// Sketches whose note was stored and of which triage was not told. A plain lock: held for a push or a take.
    orphans: Mutex<Vec<u64>>,
    /// Of the store's life, mixed into every sketch: nobody outside can make two lines that share one.
    seed: AtomicU64,
    /// Lines that triage had no room for. They are offered again when they come again.
    dropped: AtomicU64,
}

/// What one batch has that is not known.
pub struct Novelties {
    intake: Arc<Intake>,
    novel: HashMap<u64, Novel, BuildHasherDefault<AsItIs>>,
    /// Of those that triage holds a line of.
    waiting: Tallies,
    bytes: usize,
    dropped: u64,
    seed: u64,
}

/// A sketch is a hash already, and there are few in one batch.
#[derive(Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = xxh3_64_with_seed(bytes, self.0);
    }

    fn write_u64(&mut self, sketch: u64) {
        self.0 = sketch;
    }
}

impl Novel {
    pub fn level(&self) -> Level {
        Level::ALL.get(usize::from(self.level)).copied().unwrap_or(Level::Info)
    }

    fn count(&mut self, second: i64) {
        let room = self.counts.len() < SECONDS_MAX;
        // Lines come nearly in order: the last one almost always.
        match self.counts.iter().rposition(|(at, _)| *at == second).or(self.counts.len().checked_sub(1)) {
            Some(place) if !room || self.counts.get(place).is_some_and(|(at, _)| *at == second) => {
                if let Some((_, count)) = self.counts.get_mut(place) {
                    *count += 1;
                }
            }
            _ => self.counts.push((second, 1)),
        }
    }

    /// Lines in all.
    pub fn lines(&self) -> u64 {
        self.counts.iter().map(|(_, n)| n).sum()
    }
}

impl Intake {
    /// And where triage finds what comes.
    pub fn new(batches: usize) -> (Arc<Intake>, mpsc::Receiver<Vec<Novel>>) {
        let (queue, inbox) = mpsc::channel(batches);
        let (known, held, noted) = (Known::new(KNOWN), Known::new(HELD), Known::new(NOTED));
        (
            Arc::new(Intake {
                known,
                held,
                noted,
                queue,
                waiting: Waiting::default(),
                orphans: Mutex::default(),
                seed: AtomicU64::new(0),
                dropped: AtomicU64::new(0),
            }),
            inbox,
        )
    }

    /// Lines that had no room, since the last look.
    pub fn take_dropped(&self) -> u64 {
        self.dropped.swap(0, Ordering::Relaxed)
    }

    /// Before the first request is read.
    pub fn set_seed(&self, seed: u64) {
        self.seed.store(seed, Ordering::Relaxed);
    }

    /// Its line need not be stored any more.
    pub fn forget_note(&self, sketch: u64) {
        self.noted.forget(sketch);
    }

    /// Sketches whose notes nobody will ask for.
    pub fn take_orphans(&self) -> Vec<u64> {
        std::mem::take(&mut *self.orphans.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Lines that came of kinds of which triage holds one, since the last look.
    pub fn take_waiting(&self) -> Vec<Novel> {
        self.waiting.take()
    }

    /// Of a batch that has counted. Never waits.
    fn offer(&self, novel: Vec<Novel>, waiting: Tallies, dropped: u64) {
        let dropped = dropped + self.waiting.add(waiting);
        self.dropped.fetch_add(dropped, Ordering::Relaxed);
        if novel.is_empty() {
            return;
        }
        if let Err(refused) = self.queue.try_send(novel) {
            let refused = refused.into_inner();
            self.dropped.fetch_add(refused.iter().map(Novel::lines).sum(), Ordering::Relaxed);
            // Nobody knows of their notes: they are to be deleted.
            let mut orphans = self.orphans.lock().unwrap_or_else(PoisonError::into_inner);
            orphans.extend(refused.iter().filter(|one| worth_a_note(one)).map(|one| one.sketch));
        }
    }
}

impl Novelties {
    pub fn new(intake: Arc<Intake>) -> Novelties {
        let seed = intake.seed.load(Ordering::Relaxed);
        Novelties { intake, novel: HashMap::default(), waiting: Tallies::default(), bytes: 0, dropped: 0, seed }
    }

    /// `origin`: its [`origin_hash`].
    pub fn take(&mut self, record: &Record<'_>, origin: u64, time_ms: i64) {
        let level = record.level();
        let (sketch, shape) = sketch_of(record, level, origin ^ self.seed);
        let second = time_ms.div_euclid(1000);
        if !self.waiting.is_empty()
            && let Some(tally) = self.waiting.get_mut(&sketch)
        {
            tally.count(second);
            return;
        }
        if self.intake.known.hit(sketch) {
            return;
        }
        if let Some(held) = self.novel.get_mut(&sketch) {
            held.count(second);
            return;
        }
        if self.waiting.len() < OF_BATCH_MAX && self.intake.held.hit(sketch) {
            if self.waiting.is_empty() {
                // Where one waits, many do: once, rather than grow by and by.
                self.waiting.reserve(USUAL);
            }
            self.waiting.insert(sketch, Tally::new(shape, level as u8, second));
            return;
        }
        if self.novel.len() >= KINDS_MAX || self.bytes >= BYTES_MAX {
            self.dropped += 1;
            return;
        }
        // Nothing new: the rest of something that began elsewhere.
        if record.is_continuation() {
            return;
        }
        let sample = Sample::of(record);
        self.bytes += sample.size();
        let text = |value: Option<Text<'_>>| value.map(|t| t.to_string_lossy().into_owned()).unwrap_or_default();
        let novel = Novel {
            sketch,
            cluster: text(record.cluster()),
            service: text(Some(record.service())),
            revision: revision_of(record),
            shape,
            level: level as u8,
            counts: vec![(second, 1)],
            sample: Some(sample),
        };
        self.novel.insert(sketch, novel);
    }

    /// What is to be stored with the batch: the severe ones that are not yet.
    pub fn notes(&self) -> Vec<(String, Vec<u8>)> {
        let unwritten = self.novel.values().filter(|one| worth_a_note(one) && !self.intake.noted.hit(one.sketch));
        let note = |one: &Novel| {
            self.intake.noted.insert(one.sketch);
            (format!("{LINE_NOTE}{:016x}", one.sketch), encode(one))
        };
        unwritten.take(NOTES_MAX).map(note).collect()
    }

    /// The batch has counted.
    pub fn hand_over(mut self) {
        let (intake, dropped) = (self.intake.clone(), self.dropped);
        let waiting = std::mem::take(&mut self.waiting);
        intake.offer(self.into_novel(), waiting, dropped);
    }

    pub(super) fn into_novel(self) -> Vec<Novel> {
        let waiting = self.waiting.into_iter().map(|(sketch, tally)| tally.into_novel(sketch));
        let mut novel: Vec<Novel> = self.novel.into_values().chain(waiting).collect();
        novel.sort_by_key(|one| one.sketch);
        novel
    }
}

/// A hash of cluster, service and revision: what a sketch begins with.
pub fn origin_hash(record: &Record<'_>, service: Text<'_>) -> u64 {
    let cluster = record.cluster().map(|c| c.raw()).unwrap_or_default();
    xxh3_64_with_seed(cluster, xxh3_64_with_seed(service.raw(), revision_of(record)))
}

/// Whether its line is stored until somebody has judged it.
pub fn worth_a_note(novel: &Novel) -> bool {
    novel.sample.is_some() && (novel.level() >= Level::Warn || novel.shape == Shape::Trace)
}

fn revision_of(record: &Record<'_>) -> u64 {
    match record.derived(Derived::Revision) {
        Some(Value::Text(text)) => xxh3_64(text.raw()),
        _ => 0,
    }
}

/// Lines that are told alike have one sketch.
fn sketch_of(record: &Record<'_>, level: Level, origin: u64) -> (u64, Shape) {
    let seed = origin.rotate_left(8) ^ (level as u64 + 1);
    if let Body::Access(access, _) = &record.body {
        let seed = xxh3_64_with_seed(access.method, seed ^ (u64::from(access.status) << 16));
        let path = if tells_no_path(access.status) { b"" } else { without_query(access.path) };
        return (sketch(seed, path), Shape::Access);
    }
    if let Some(exception) = record.may_hold_trace(level).then(|| record.exception()).flatten() {
        let mut seed = xxh3_64_with_seed(exception.kind.as_bytes(), seed ^ 2);
        for frame in exception.frames.iter().take(FRAMES) {
            seed = sketch(seed, frame.as_bytes());
        }
        return (
            if exception.frames.is_empty() { sketch(seed, exception.message.as_bytes()) } else { seed },
            Shape::Trace,
        );
    }
    if record.is_request()
        && let Some(status) = record.field("status").as_ref().and_then(raw)
    {
        let method = record.field("method");
        let seed = xxh3_64_with_seed(status, seed ^ 3);
        let seed = xxh3_64_with_seed(method.as_ref().and_then(raw).unwrap_or_default(), seed);
        if tells_no_path(status_of(status)) {
            return (seed, Shape::Access);
        }
        let path = record.field("path");
        return (sketch(seed, without_query(path.as_ref().and_then(raw).unwrap_or_default())), Shape::Access);
    }
    match record.message().as_ref().and_then(raw) {
        Some(message) => (sketch(seed, message), Shape::Message),
        // Told by what fields it has.
        None => {
            let names = record.field_names(FIELDS);
            (names.iter().fold(seed ^ 4, |seed, name| xxh3_64_with_seed(name.as_bytes(), seed)), Shape::Message)
        }
    }
}

/// Frames that tell one trace from another: further out they only say who called.
pub const FRAMES: usize = 3;
/// Names that tell one record without a message from another.
pub const FIELDS: usize = 16;

fn raw<'a>(value: &Value<'a>) -> Option<&'a [u8]> {
    match value {
        Value::Text(text) => Some(text.raw()),
        Value::Number(raw) => Some(raw),
        _ => None,
    }
}

/// Answers that went well are one kind whatever was asked for; so are those to what nobody is there for, since
/// whoever looks for doors asks for a thousand paths that are none.
pub fn tells_no_path(status: u16) -> bool {
    status < 400 || matches!(status, 400 | 404 | 405 | 410)
}

/// 0: it is none.
pub fn status_of(digits: &[u8]) -> u16 {
    std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

pub fn without_query(path: &[u8]) -> &[u8] {
    path.split(|b| *b == b'?').next().unwrap_or_default()
}

/// First byte of a note. Another version's are left out, not guessed at.
const VERSION: u8 = 1;

/// What is secret in its line is not written down.
pub(super) fn encode(novel: &Novel) -> Vec<u8> {
    let novel = Novel { sample: novel.sample.as_ref().map(Sample::to_store), ..novel.clone() };
    postcard::to_extend(&novel, vec![VERSION]).unwrap_or_default()
}

pub fn decode(note: &[u8]) -> Option<Novel> {
    postcard::from_bytes(note.strip_prefix(&[VERSION])?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Delivery, Piece, Reader};

    fn batch(intake: &Arc<Intake>, text: &str) -> Novelties {
        let line = format!(r#"{{"container_name":"cart","log":"{text}"}}"#);
        let mut novelties = Novelties::new(intake.clone());
        Reader::default().read(line.as_bytes(), false, Delivery::default(), |piece| {
            if let Piece::Record(record) = piece {
                novelties.take(record, 1, 0);
            }
        });
        novelties
    }

    #[test]
    fn notes_of_lines_that_triage_has_no_room_for_are_told_so_that_they_can_be_deleted() {
        let (intake, mut inbox) = Intake::new(1);
        let texts = ["ERROR the index is unreadable", "ERROR the tax table is missing", "INFO all is well"];
        let stored: Vec<Vec<(String, Vec<u8>)>> = texts
            .iter()
            .map(|text| {
                let batch = batch(&intake, text);
                let notes = batch.notes();
                batch.hand_over();
                notes
            })
            .collect();
        let taken = inbox.try_recv().expect("the first");
        assert_eq!((taken.len(), stored[0].len(), stored[1].len(), stored[2].len()), (1, 1, 1, 0));
        let orphans: Vec<String> =
            intake.take_orphans().iter().map(|sketch| format!("{LINE_NOTE}{sketch:016x}")).collect();
        assert_eq!(orphans, [stored[1][0].0.clone()], "of the second, which found no room");
        assert_eq!((intake.take_dropped(), intake.take_orphans().len()), (2, 0));
        // Told of its deletion, the same line is stored again when it comes again.
        assert!(batch(&intake, texts[1]).notes().is_empty());
        let sketch = u64::from_str_radix(orphans[0].trim_start_matches(LINE_NOTE), 16).expect("a sketch");
        intake.forget_note(sketch);
        assert_eq!(batch(&intake, texts[1]).notes().len(), 1);
    }
}
