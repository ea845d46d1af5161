//! The gate that log text passes before it leaves the process.
//!
//! Log lines are written by strangers and carry other people's secrets, so every sender takes
//! [`Redacted`] and nothing else. The only way to make one is to run the detectors below.
//!
//! It promises:
//! - a secret is replaced by `[redacted:<what>]`, an address or a card's number by `[email:3f9a]`, and its
//!   surroundings stay readable; equal values have equal marks (which have a pseudonym, and why: `marks`);
//! - nothing that steers a terminal or hides text is left: no escape sequences, no control
//!   characters but newline and tab, no direction overrides, no invisible characters;
//! - redacting twice changes nothing, so text read back from a store is simply redacted again;
//! - the time is linear in the text, whatever the text is: no backtracking, and a detector never
//!   looks twice at what it has already taken.
//!
//! When in doubt it takes too much: a hidden word is a nuisance, a sent password is an incident. What people
//! need to find things again stays: commits, digests, UUIDs, ids of traces and spans.
//! A new detector is one more row in `rows`.

mod addresses;
mod cards;
mod engine;
mod marks;
mod names;
mod noise;
pub mod policy;
mod rows;
mod value;

use std::fmt;
use std::sync::{LazyLock, OnceLock};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use engine::Engine;
use noise::NOISE;
use policy::Policy;

/// Text that has been through redaction: the only text a sender accepts.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Redacted(String);

/// What this process was told to hide.
static CONFIGURED: OnceLock<Engine> = OnceLock::new();

/// What holds until it is told, and in tests and tools: the defaults, with a key that everybody knows.
static DEFAULT: LazyLock<Engine> =
    LazyLock::new(|| Engine::new(&Policy::default(), 0).expect("the patterns are constants, and tested"));

/// Why [`configure`] changed nothing.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    #[error("redaction is configured already")]
    Already,
    #[error("the patterns of [redact] do not compile: {0}")]
    Patterns(#[from] regex::Error),
}

/// Says once, before any log text is shown, what is hidden beyond secrets. `key` is this installation's own
/// random number: pseudonyms of one installation tell nothing to another, and nothing to whoever lacks it.
pub fn configure(policy: &Policy, key: u64) -> Result<(), Refused> {
    let engine = Engine::new(policy, key)?;
    CONFIGURED.set(engine).map_err(|_| Refused::Already)
}

impl Redacted {
    /// Drops what steers or hides, then replaces secrets until a pass finds none.
    pub fn new(text: &str) -> Redacted {
        let engine = CONFIGURED.get().unwrap_or(&DEFAULT);
        Redacted::by(engine, text)
    }

    fn by(engine: &Engine, text: &str) -> Redacted {
        Redacted(engine.clean(&NOISE.replace_all(text, "")).unwrap_or_else(|| marks::PLAIN.to_owned()))
    }

    /// For bytes straight from the wire: what is not UTF-8 becomes U+FFFD.
    pub fn from_bytes(text: &[u8]) -> Redacted {
        Redacted::new(&String::from_utf8_lossy(text))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// At most `max` bytes, with `…` (counted) where something was cut. A mark is never cut in
    /// two: half a mark would no longer be known as one when the text is read back.
    pub fn cut(&self, max: usize) -> Redacted {
        if self.0.len() <= max {
            return self.clone();
        }
        let Some(room) = max.checked_sub("…".len()) else {
            return Redacted::default();
        };
        let head = self.0.split_at(self.0.floor_char_boundary(room)).0;
        let whole = marks::half(head).and_then(|half| head.get(..half)).unwrap_or(head);
        Redacted(format!("{whole}…"))
    }

    /// Newlines and tabs become single spaces. Joined lines can read as a name and its value where
    /// the separate ones did not, hence the second redaction.
    pub fn one_line(&self) -> Redacted {
        let parts = self.0.split(['\n', '\t']).filter(|part| !part.is_empty());
        Redacted::new(&parts.collect::<Vec<_>>().join(" "))
    }
}

impl fmt::Display for Redacted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Redacted {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Redacted {
    /// Redacts again: a store somebody has written to cannot smuggle text past the gate.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Redacted, D::Error> {
        String::deserialize(deserializer).map(|text| Redacted::new(&text))
    }
}

#[cfg(test)]
mod tests;
