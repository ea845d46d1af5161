//! The records around an escalation: a few recent ones of each service, kept before anybody knows that they
//! will be wanted.
//!
//! A request keeps the first records of each service, and those from its first match on: a copy of a line's
//! head each, no more than [`BATCH_MAX`] of a service, and nothing for all the others. Once the batch has counted
//! they go round in a ring of each service. In memory only: a restart begins with none.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use crate::escalation::cleaned;
use crate::record::Record;
use crate::record::stripped::Sample;
use crate::redact::Redacted;

/// Services whose records are held: as many as have figures of their own elsewhere.
const SERVICES_MAX: usize = 200;
/// Records that one batch keeps of one service, and how many of them before a watch has matched any.
const BATCH_MAX: usize = 8;
const BEFORE_MAX: usize = 3;
/// Bytes that one batch keeps of all services.
const BATCH_BYTES_MAX: usize = 128 * 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Held of each service; 0: none of any.
    pub records: usize,
    /// Of each record.
    pub record_bytes: usize,
}

/// One record, as it came.
#[derive(Debug)]
pub struct Recent {
    /// Its own time, unix milliseconds.
    pub at_ms: i64,
    /// A watch counted it.
    pub matched: bool,
    pub sample: Sample,
}

/// What one batch keeps.
pub struct Gathered {
    bounds: Bounds,
    bytes: usize,
    /// By the place of the service in its batch.
    services: Vec<OfBatch>,
}

#[derive(Default)]
struct OfBatch {
    matched: bool,
    records: Vec<Recent>,
}

/// What is held of all services.
pub struct Recents {
    bounds: Bounds,
    /// A plain lock: held for a few moves.
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    rings: HashMap<(String, String), Ring>,
    /// Counts additions, so that the service that sent nothing for longest makes room.
    turn: u64,
}

struct Ring {
    since_ms: i64,
    turn: u64,
    records: VecDeque<Arc<Recent>>,
}

/// What is held of one service.
#[derive(Clone, Debug)]
pub struct OfService {
    /// When it was first heard of in this run, unix milliseconds.
    pub since_ms: i64,
    /// In the order in which they came.
    pub records: Vec<Arc<Recent>>,
}

// === impl Gathered ===

impl Gathered {
    pub fn new(bounds: Bounds) -> Gathered {
        Gathered { bounds, bytes: 0, services: Vec::new() }
    }

    /// `place`: of its service in the batch.
    pub fn take(&mut self, place: usize, record: &Record<'_>, at_ms: i64, matched: bool) {
        // One look for nearly every record.
        if let Some(of) = self.services.get(place)
            && (of.records.len() >= BATCH_MAX || (of.records.len() >= BEFORE_MAX && !matched && !of.matched))
        {
            return;
        }
        if self.bounds.records == 0 || self.bytes >= BATCH_BYTES_MAX || place > SERVICES_MAX {
            return;
        }
        if self.services.len() <= place {
            self.services.resize_with(place + 1, OfBatch::default);
        }
        let sample = Sample::head(record, self.bounds.record_bytes);
        self.bytes += sample.size();
        if let Some(of) = self.services.get_mut(place) {
            of.matched |= matched;
            of.records.push(Recent { at_ms, matched, sample });
        }
    }
}

// === impl Recents ===

impl Recents {
    pub fn new(bounds: Bounds) -> Recents {
        Recents { bounds, held: Mutex::default() }
    }

    pub fn bounds(&self) -> Bounds {
        self.bounds
    }

    /// Of a batch that has counted, which came at `now_ms`. `services`: cluster and name of each, by its place.
    pub fn add<'a>(&self, services: impl Iterator<Item = (&'a str, &'a str)>, gathered: Gathered, now_ms: i64) {
        if gathered.services.is_empty() {
            return;
        }
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.turn += 1;
        let turn = held.turn;
        for ((cluster, service), gathered) in services.zip(gathered.services) {
            if gathered.records.is_empty() {
                continue;
            }
            let key = (cluster.to_owned(), service.to_owned());
            if !held.rings.contains_key(&key) && held.rings.len() >= SERVICES_MAX {
                let idle = held.rings.iter().min_by_key(|(_, ring)| ring.turn).map(|(key, _)| key.clone());
                idle.and_then(|idle| held.rings.remove(&idle));
            }
            let ring =
                held.rings.entry(key).or_insert_with(|| Ring { since_ms: now_ms, turn, records: VecDeque::new() });
            ring.turn = turn;
            for record in gathered.records {
                while ring.records.len() >= self.bounds.records {
                    ring.records.pop_front();
                }
                ring.records.push_back(Arc::new(record));
            }
        }
    }

    /// By the names that an escalation has.
    pub fn of(&self, cluster: &Redacted, service: &Redacted) -> Option<OfService> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let plain = (cluster.as_str().to_owned(), service.as_str().to_owned());
        // A name that redaction changes is found by what it became.
        let ring = held.rings.get(&plain).or_else(|| {
            let same = |(c, s): &(String, String)| cleaned(c) == *cluster && cleaned(s) == *service;
            held.rings.iter().find(|(key, _)| same(key)).map(|(_, ring)| ring)
        })?;
        Some(OfService { since_ms: ring.since_ms, records: ring.records.iter().cloned().collect() })
    }
}

/// Adds what is held now to what was seen before, and keeps half of `most` on either side of `first_ms`: the
/// last before it, and the first from it on. In order of time.
pub fn keep_around(kept: &mut Vec<Arc<Recent>>, held: Vec<Arc<Recent>>, first_ms: i64, most: usize) {
    for record in held {
        if !kept.iter().any(|k| Arc::ptr_eq(k, &record)) {
            kept.push(record);
        }
    }
    // Stable: of one time, in the order in which they came.
    kept.sort_by_key(|record| record.at_ms);
    let first = kept.partition_point(|record| record.at_ms < first_ms);
    kept.truncate(first + most.div_ceil(2));
    kept.drain(..first.saturating_sub(most / 2));
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::record::{Delivery, Piece, Reader};

    const BOUNDS: Bounds = Bounds { records: 5, record_bytes: 100 };

    pub(crate) fn read(line: &str, mut each: impl FnMut(&Record<'_>)) {
        Reader::default().read(line.as_bytes(), false, Delivery::default(), |piece| {
            if let Piece::Record(record) = piece {
                each(record);
            }
        });
    }

    fn add(recents: &Recents, services: &[&str], gathered: Gathered, now_ms: i64) {
        recents.add(services.iter().map(|service| ("prod", *service)), gathered, now_ms);
    }

    /// Records of one service at these times, and whether a watch matched each.
    fn gathered(place: usize, times: &[(i64, bool)]) -> Gathered {
        let mut gathered = Gathered::new(BOUNDS);
        for (at_ms, matched) in times {
            read(&format!(r#"{{"log":"at {at_ms}"}}"#), |record| gathered.take(place, record, *at_ms, *matched));
        }
        gathered
    }

    fn times(records: &[Arc<Recent>]) -> Vec<i64> {
        records.iter().map(|record| record.at_ms).collect()
    }

    fn name(text: &str) -> Redacted {
        Redacted::new(text)
    }

    #[test]
    fn a_batch_keeps_its_first_records_and_those_from_the_first_match_on() {
        let kept = |times: Vec<(i64, bool)>| {
            gathered(0, &times).services.remove(0).records.iter().map(|r| r.at_ms).collect::<Vec<_>>()
        };
        assert_eq!(kept((0..100).map(|n| (n, false)).collect()), [0, 1, 2]);
        assert_eq!(kept((0..100).map(|n| (n, n == 50)).collect()), [0, 1, 2, 50, 51, 52, 53, 54]);
        assert_eq!(kept((0..100).map(|n| (n, true)).collect()), (0..8).collect::<Vec<_>>());
    }

    #[test]
    fn a_ring_holds_the_last_of_its_service_and_knows_since_when() {
        let recents = Recents::new(BOUNDS);
        for batch in 0..4 {
            let at = batch as i64 * 10;
            add(&recents, &["a", "b"], gathered(batch % 2, &[(at, false), (at + 1, true)]), at);
        }
        add(&recents, &["a"], gathered(0, &[(90, false), (91, false)]), 99);
        let of = recents.of(&name("prod"), &name("a")).expect("held");
        assert_eq!((of.since_ms, times(&of.records)), (0, vec![1, 20, 21, 90, 91]));
        assert!(recents.of(&name("prod"), &name("c")).is_none());
        assert!(recents.of(&name("dev"), &name("a")).is_none());
    }

    #[test]
    fn a_name_with_a_secret_in_it_is_found_by_what_became_of_it() {
        let recents = Recents::new(BOUNDS);
        add(&recents, &["password=hunter2"], gathered(0, &[(1, false)]), 1);
        assert!(recents.of(&name("prod"), &cleaned("password=hunter2")).is_some());
    }

    #[test]
    fn past_the_bound_the_service_that_sent_nothing_for_longest_goes() {
        let recents = Recents::new(BOUNDS);
        for n in 0..=SERVICES_MAX {
            if n == 100 {
                add(&recents, &["s0"], gathered(0, &[(5, false)]), 5);
            }
            add(&recents, &[&format!("s{n}")], gathered(0, &[(1, false)]), 1);
        }
        let has = |service: &str| recents.of(&name("prod"), &name(service)).is_some();
        assert!(has("s0") && !has("s1") && has("s2") && has(&format!("s{SERVICES_MAX}")));
    }

    #[test]
    fn neither_a_record_nor_a_batch_is_held_beyond_its_bytes() {
        let mut gathered = Gathered::new(Bounds { records: 5, record_bytes: 60_000 });
        let line = format!(r#"{{"log":"{}"}}"#, "x".repeat(100_000));
        for place in 0..4 {
            read(&line, |record| gathered.take(place, record, 0, false));
        }
        let sizes: Vec<usize> = gathered.services.iter().flat_map(|of| &of.records).map(|r| r.sample.size()).collect();
        assert_eq!(sizes, [60_000; 3], "no more once 128 KiB are held");
        let mut none = Gathered::new(Bounds { records: 0, record_bytes: 100 });
        read(&line, |record| none.take(0, record, 0, true));
        assert!(none.services.is_empty());
    }

    #[test]
    fn what_was_there_first_stays_on_either_side_of_the_first_match() {
        let recent = |at_ms| Arc::new(Recent { at_ms, matched: false, sample: sample() });
        let all: Vec<_> = (0..20).map(recent).collect();
        let mut kept = Vec::new();
        keep_around(&mut kept, all[..12].to_vec(), 10, 6);
        assert_eq!(times(&kept), [7, 8, 9, 10, 11]);
        // Later the ring holds later ones only; and one that came late but happened before.
        keep_around(&mut kept, all[11..].to_vec(), 10, 6);
        keep_around(&mut kept, vec![recent(8)], 10, 6);
        assert_eq!(times(&kept), [8, 8, 9, 10, 11, 12]);
    }

    fn sample() -> Sample {
        let mut sample = None;
        read("{}", |record| sample = Some(Sample::of(record)));
        sample.expect("a record")
    }
}
