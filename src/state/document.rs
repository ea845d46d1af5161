//! The small state as text: what is kept, within a bound, and read back only as it was written.
//!
//! Not windows and not counts. When more is to be kept than fits, what is least missed is left out: the oldest
//! verdicts first, then watches that nobody wrote, messages, escalations, and people's watches last.
//! A document says what it is, in which version, and what its contents hash to; of one that is not ours, or not
//! whole, nothing is used.

use std::cmp::Reverse;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use super::mirror::Rows;
use super::sign::hash;
use crate::escalation::investigation::Investigation;
use crate::escalation::outbox::Row;
use crate::escalation::pace;
use crate::escalation::{Escalation, HELD_MAX, PROPOSED_HELD_MAX};
use crate::ledger::engine::{PROPOSED_MAX, WATCHES_MAX};
use crate::store::Transaction;

/// Of a document. A hundred thousand verdicts would not fit; a usual state has a few hundred kilobytes.
pub(super) const MAX_BYTES: usize = 16 << 20;
/// For all that stands around the rows.
const FRAME_BYTES: usize = 4096;
const WHAT: &str = "emberwatch state";
const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
pub(super) struct Document {
    what: String,
    version: u32,
    /// Unix milliseconds.
    pub(super) written_ms: i64,
    /// [`hash`] of the two, as they are written.
    check: String,
    pub(super) kept: Kept,
}

/// Rows as texts, for a document need not be read to be kept.
#[derive(Clone, Default, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Kept {
    /// In hexadecimal: JSON's numbers are too short for many readers.
    seed: String,
    /// The program had come to its end: no message was sent that is not known of here.
    stopped: bool,
    /// Rows for which there was no room.
    pub(super) left_out: u64,
    /// How many messages were sent today.
    sent: Option<String>,
    watches: Vec<(String, String)>,
    escalations: Vec<(u64, String)>,
    messages: Vec<(u64, String)>,
    /// In base64.
    verdicts: Vec<(String, String)>,
}

/// What decides which rows are kept.
#[derive(Clone, Copy)]
pub(super) struct Scope {
    pub(super) seed: u64,
    pub(super) now_ms: i64,
    pub(super) dedup_ms: i64,
    /// Nothing comes after it.
    pub(super) stopped: bool,
}

/// What of an escalation's row decides.
#[derive(Deserialize)]
struct Brief {
    firing: u64,
    told_ms: i64,
    #[serde(default)]
    proposed: bool,
}

#[derive(Deserialize)]
struct Head {
    what: String,
    version: u32,
}

#[derive(Deserialize)]
struct Proposed {
    provenance: Option<IgnoredAny>,
}

/// How much more fits.
struct Room {
    bytes: usize,
    left_out: u64,
}

// === impl Kept ===

impl Kept {
    pub(super) fn new(rows: &Rows, scope: Scope) -> Kept {
        let mut room = Room { bytes: MAX_BYTES - FRAME_BYTES, left_out: 0 };
        let mut kept = Kept { seed: format!("{:016x}", scope.seed), ..Kept::default() };
        let (people, proposed): (Vec<_>, Vec<_>) = texts(rows.watches.iter())
            .partition(|(_, body)| serde_json::from_str::<Proposed>(body).map_or(true, |row| row.provenance.is_none()));
        let waiting = texts(rows.outbox.iter()).filter(|(id, _)| *id != pace::ROW).collect::<Vec<_>>();
        kept.sent = texts(rows.outbox.iter()).find(|(id, _)| *id == pace::ROW).map(|(_, body)| body);
        let take = |room: &mut Room, of: Vec<(String, String)>, kept: &mut Vec<(String, String)>| {
            kept.extend(of.into_iter().filter(|(label, body)| room.takes(label.len() + cost(body))));
        };
        take(&mut room, people, &mut kept.watches);
        for (id, body) in escalations(rows, scope) {
            if room.takes(cost(&body)) {
                kept.escalations.push((id, body));
            }
        }
        kept.messages.extend(waiting.into_iter().filter(|(_, body)| room.takes(cost(body))));
        take(&mut room, proposed, &mut kept.watches);
        for (label, body) in rows.triage.iter().rev() {
            let body = BASE64.encode(body);
            if room.takes(label.len() + cost(&body)) {
                kept.verdicts.push((label.clone(), body));
            }
        }
        kept.left_out = room.left_out;
        // In an order of their own: what is the same is written the same.
        kept.watches.sort_unstable();
        kept.escalations.sort_unstable();
        kept.messages.sort_unstable();
        kept.verdicts.sort_unstable();
        kept.stopped = scope.stopped && !kept.messages.is_empty();
        kept
    }

    pub(super) fn seed(&self) -> Option<u64> {
        u64::from_str_radix(&self.seed, 16).ok()
    }

    pub(super) fn is_empty(&self) -> bool {
        *self == Kept { seed: self.seed.clone(), ..Kept::default() }
    }

    /// The same for equal contents, whenever they are written.
    pub(super) fn digest(&self) -> String {
        hash(&serde_json::to_vec(self).unwrap_or_default())
    }
}

impl Room {
    fn takes(&mut self, bytes: usize) -> bool {
        let left = self.bytes.checked_sub(bytes);
        self.bytes = left.unwrap_or(self.bytes);
        self.left_out += u64::from(left.is_none());
        left.is_some()
    }
}

/// Those that are open or were told of lately, the newest first; before them the highest of either numbering,
/// however old, so that the numbers go on.
fn escalations(rows: &Rows, scope: Scope) -> Vec<(u64, String)> {
    let brief = |body: &str| serde_json::from_str::<Brief>(body).ok();
    let mut all: Vec<(u64, String, Brief)> =
        texts(rows.escalations.iter()).filter_map(|(id, body)| brief(&body).map(|brief| (id, body, brief))).collect();
    let highest = |proposed: bool| all.iter().filter(|(_, _, b)| b.proposed == proposed).map(|(id, ..)| *id).max();
    let highest = [highest(false), highest(true)];
    let is_fresh = |b: &Brief| b.firing > 0 || scope.now_ms - b.told_ms < scope.dedup_ms;
    all.retain(|(id, _, brief)| is_fresh(brief) || highest.contains(&Some(*id)));
    all.sort_by_key(|(id, ..)| Reverse((highest.contains(&Some(*id)), *id)));
    all.into_iter().map(|(id, body, _)| (id, body)).collect()
}

/// Rows that are JSON; ours all are.
fn texts<'a, K: Clone + 'a>(rows: impl Iterator<Item = (&'a K, &'a [u8])>) -> impl Iterator<Item = (K, String)> {
    rows.filter_map(|(key, body)| Some((key.clone(), str::from_utf8(body).ok()?.to_owned())))
}

/// A watch's time without a match begins again, for its last one is not kept.
fn set_anew(watch: &str, now_ms: i64) -> Vec<u8> {
    let mut row: serde_json::Value = serde_json::from_str(watch).unwrap_or_default();
    match row.get_mut("set_ms") {
        Some(set_ms) => {
            *set_ms = now_ms.into();
            row.to_string().into_bytes()
        }
        None => watch.as_bytes().to_vec(),
    }
}

/// Bytes of a text as JSON, with what stands around it, at the most.
fn cost(text: &str) -> usize {
    let bytes = text.bytes().map(|byte| match byte {
        b'"' | b'\\' => 2,
        0..0x20 => 6,
        _ => 1,
    });
    bytes.sum::<usize>() + 64
}

fn check(kept: &Kept, written_ms: i64) -> String {
    hash(format!("{written_ms} {}", kept.digest()).as_bytes())
}

// === impl Document ===

impl Document {
    pub(super) fn new(kept: Kept, written_ms: i64) -> Document {
        let check = check(&kept, written_ms);
        Document { what: WHAT.to_owned(), version: VERSION, written_ms, check, kept }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Why nothing of it is used: words that quote nothing of it.
    pub(super) fn decode(bytes: &[u8]) -> Result<Document, String> {
        let head: Head = serde_json::from_slice(bytes).map_err(|_| "it is no state of emberwatch, or cut short")?;
        if head.what != WHAT {
            return Err("it is no state of emberwatch".into());
        }
        if head.version != VERSION {
            return Err(format!("it has version {}, this program reads {VERSION}", head.version));
        }
        let document: Document = serde_json::from_slice(bytes).map_err(|_| "it is damaged: it lacks a part")?;
        let kept = &document.kept;
        if check(kept, document.written_ms) != document.check || kept.seed().is_none() {
            return Err("it is damaged: its contents are not what was written".into());
        }
        let bounds =
            [(kept.watches.len(), WATCHES_MAX + PROPOSED_MAX), (kept.escalations.len(), HELD_MAX + PROPOSED_HELD_MAX)];
        if bounds.iter().any(|(len, most)| len > most) {
            return Err("it holds more than this program ever writes".into());
        }
        Ok(document)
    }

    /// What goes into a store that has nothing. After redaction is configured: rows are read.
    ///
    /// Nothing fires in it. What was open counts as told of until the document was written, so that a crossing
    /// soon after is the same trouble. A message that waited may have been sent since, and says so.
    pub(super) fn rows(&self, now_ms: i64) -> Transaction {
        let written_ms = self.written_ms.min(now_ms);
        let bytes = |text: &String| Some(text.clone().into_bytes());
        let mut rows = Transaction::default();
        rows.watches
            .extend(self.kept.watches.iter().map(|(label, body)| (label.clone(), Some(set_anew(body, now_ms)))));
        for (id, body) in &self.kept.escalations {
            match serde_json::from_str::<Escalation>(body) {
                Ok(mut escalation) => {
                    escalation.told_ms = escalation.told_ms.min(now_ms);
                    if escalation.firing > 0 {
                        escalation.told_ms = escalation.told_ms.max(written_ms);
                    }
                    escalation.firing = 0;
                    // What its investigation had come to is not kept: a remedy may have been called already.
                    if escalation.investigation == Some(Investigation::Wanted) {
                        escalation.investigation = Some(Investigation::LeftOut);
                    }
                    rows.escalations.push((escalation.id, serde_json::to_vec(&escalation).ok()));
                }
                Err(error) => tracing::error!(escalation = id, %error, "kept escalation cannot be read: left out"),
            }
        }
        rows.outbox.extend(self.kept.sent.iter().map(|sent| (pace::ROW, bytes(sent))));
        for (id, body) in &self.kept.messages {
            match serde_json::from_str::<Row>(body) {
                Ok(mut row) => {
                    row.notice.in_doubt |= !self.kept.stopped;
                    rows.outbox.push((row.id, serde_json::to_vec(&row).ok()));
                }
                Err(error) => tracing::error!(row = id, %error, "kept message cannot be read: left out"),
            }
        }
        for (label, body) in &self.kept.verdicts {
            match BASE64.decode(body) {
                Ok(body) => rows.triage.push((label.clone(), Some(body))),
                Err(error) => tracing::error!(%error, "kept verdict cannot be read: left out"),
            }
        }
        rows
    }
}

#[cfg(test)]
mod tests;
