//! Watches: rules, the compiled set of them, and who set each.
//!
//! A [`WatchSet`] never changes; a change makes a new one. Requests match against the set that was current
//! when they began, and name counters by [`WatchKey`], which stays the same across sets and restarts while
//! match, window and grouping do. So a rule can change under a running request without a count going astray.

pub mod builtin;
pub mod matcher;
pub mod provenance;
pub mod rule;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::record::Record;
use crate::record::json::Value;
use matcher::{OfService, Program, Scratch};
use provenance::Provenance;
use rule::Rule;

/// Who set a watch. What a person set, only a person changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    Builtin,
    Config,
    Api,
    /// Proposed from a sample when there were few rules.
    Seed,
    /// Proposed for a new kind of line.
    Triage,
}

impl Origin {
    pub fn as_str(self) -> &'static str {
        match self {
            Origin::Builtin => "builtin",
            Origin::Config => "config",
            Origin::Api => "api",
            Origin::Seed => "seed",
            Origin::Triage => "triage",
        }
    }

    /// Nobody wrote it: it may add to what people set, and change nothing of it.
    pub fn is_proposed(self) -> bool {
        matches!(self, Origin::Seed | Origin::Triage)
    }
}

/// Names the counters of one watch: of its label, match, window and grouping. Stable across restarts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct WatchKey(pub u64);

#[derive(Clone, Debug)]
pub struct Watch {
    pub key: WatchKey,
    pub origin: Origin,
    pub rule: Rule,
    /// When it was set, unix milliseconds; 0 where that does not matter, since it never leaves by itself.
    pub set_ms: i64,
    /// Of a proposed watch: how it came to be.
    pub provenance: Option<Arc<Provenance>>,
}

pub struct WatchSet {
    watches: Vec<Watch>,
    program: Program,
}

/// The values of a group's fields, in the order of `group_by`: each preceded by its length, so that no
/// value can be made to look like two.
pub type GroupKey = Box<[u8]>;

/// What the group of all further keys is called, in each of its fields.
pub const OTHER: &str = "~other";

/// Tell the keys of proposed watches from those of the same rule, and those in the shadow from both. Stored.
const PROPOSED_MARK: u64 = 0x5eed_0f7a_11e5;
const SHADOW_MARK: u64 = 0x54ad_0e77_0000_0001;

/// Longest value within a group key, in bytes; a longer one is cut.
const GROUP_VALUE_MAX: usize = 200;

impl WatchSet {
    pub fn new(watches: Vec<Watch>) -> Arc<WatchSet> {
        let program = Program::compile(watches.iter().map(|w| &w.rule));
        Arc::new(WatchSet { watches, program })
    }

    pub fn watches(&self) -> &[Watch] {
        &self.watches
    }

    pub fn by_key(&self, key: WatchKey) -> Option<&Watch> {
        self.watches.iter().find(|w| w.key == key)
    }

    pub fn by_label(&self, label: &str) -> Option<&Watch> {
        self.watches.iter().find(|w| w.rule.label == label)
    }

    /// Calls `hit` with each watch that `record` matches and its place in the set.
    pub fn matches(&self, record: &Record<'_>, scratch: &mut Scratch, hit: impl FnMut(usize, &Watch)) {
        self.matches_of(record, self.of_service(record), scratch, hit);
    }

    /// For [`WatchSet::matches_of`] of this very set.
    pub fn of_service(&self, record: &Record<'_>) -> OfService {
        self.program.of_service(record)
    }

    /// As [`WatchSet::matches`], of a record whose service was looked up before.
    pub fn matches_of(
        &self,
        record: &Record<'_>,
        of: OfService,
        scratch: &mut Scratch,
        mut hit: impl FnMut(usize, &Watch),
    ) {
        self.program.matches(record, of, scratch, |place| {
            if let Some(watch) = self.watches.get(place) {
                hit(place, watch);
            }
        });
    }
}

impl Watch {
    /// One that stays until a person removes it.
    pub fn new(rule: Rule, origin: Origin) -> Watch {
        // What a proposal counted is not what a person's watch begins with, should it be the same rule.
        let mark = if origin.is_proposed() { PROPOSED_MARK } else { 0 };
        Watch { key: WatchKey(rule.definition_key() ^ mark), origin, rule, set_ms: 0, provenance: None }
    }

    /// One set over the API at `set_ms`: with a `ttl_seconds` it leaves after that long without a match.
    pub fn from_api(rule: Rule, set_ms: i64) -> Watch {
        Watch { set_ms, ..Watch::new(rule, Origin::Api) }
    }

    /// One that nobody wrote.
    pub fn proposed(rule: Rule, origin: Origin, set_ms: i64, provenance: Provenance) -> Watch {
        let watch = Watch::new(rule, origin);
        // Out of the shadow it counts anew: a window that fired unseen would not cross again.
        let mark = if provenance.shadow { SHADOW_MARK } else { 0 };
        Watch { key: WatchKey(watch.key.0 ^ mark), set_ms, provenance: Some(Arc::new(provenance)), ..watch }
    }

    /// It counts and is listed, and nobody is told of it.
    pub fn is_shadow(&self) -> bool {
        self.provenance.as_ref().is_some_and(|provenance| provenance.shadow)
    }

    /// Whether it has outlived its `ttl_seconds`. The configuration's own never do, nor do proposed ones that fired.
    pub fn has_expired(&self, last_match_ms: i64, now_ms: i64) -> bool {
        let lasts = match self.origin {
            Origin::Builtin | Origin::Config => true,
            Origin::Api => false,
            Origin::Seed | Origin::Triage => self.provenance.as_ref().is_some_and(|provenance| provenance.fired),
        };
        let Some(ttl) = self.rule.ttl_seconds.filter(|_| !lasts) else { return false };
        let ttl_ms = i64::try_from(ttl.saturating_mul(1000)).unwrap_or(i64::MAX);
        now_ms - self.set_ms.max(last_match_ms) >= ttl_ms
    }
}

/// Appends the group of `record` under `fields` to `key`.
pub fn group_key(record: &Record<'_>, fields: &[String], key: &mut Vec<u8>) {
    for name in fields {
        let start = key.len();
        key.extend_from_slice(&[0, 0]);
        match record.field(name) {
            Some(Value::Text(text)) => {
                let text = text.decoded();
                key.extend_from_slice(text.get(..text.len().min(GROUP_VALUE_MAX)).unwrap_or_default());
            }
            Some(Value::Number(raw)) => {
                key.extend_from_slice(raw.get(..raw.len().min(GROUP_VALUE_MAX)).unwrap_or_default())
            }
            Some(Value::Int(n)) => key.extend_from_slice(n.to_string().as_bytes()),
            Some(Value::Bool(yes)) => key.extend_from_slice(if yes { b"true" } else { b"false" }),
            // A nested value is no key; neither is none.
            Some(Value::Object(_) | Value::Array(_) | Value::Null) | None => {}
        }
        // GROUP_VALUE_MAX fits two bytes.
        let length = (key.len() - start - 2) as u16;
        if let Some(slot) = key.get_mut(start..start + 2) {
            slot.copy_from_slice(&length.to_le_bytes());
        }
    }
}

/// Appends the key of the group that stands for all keys beyond a bound: `~other` in each field.
pub fn other_key(fields: usize, key: &mut Vec<u8>) {
    for _ in 0..fields {
        key.extend_from_slice(&(OTHER.len() as u16).to_le_bytes());
        key.extend_from_slice(OTHER.as_bytes());
    }
}

/// The values in a group key, in the order of `group_by`.
pub fn group_values(key: &[u8]) -> Vec<String> {
    let mut values = Vec::new();
    let mut rest = key;
    while let Some((length, after)) = rest.split_first_chunk::<2>() {
        let (value, after) = after.split_at_checked(usize::from(u16::from_le_bytes(*length))).unwrap_or((after, &[]));
        values.push(String::from_utf8_lossy(value).into_owned());
        rest = after;
    }
    values
}
