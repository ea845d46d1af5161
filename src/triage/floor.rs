//! What no model may wave through: a process that dies, memory or disk that ran out, data that is lost, answers
//! that fail.

use super::{Offer, Shape};
use crate::record::level::Level;

/// Phrases, in lower case. Few, and each of them an outage wherever it stands.
const PHRASES: [&str; 14] = [
    "panic:",
    "panicked at",
    "out of memory",
    "outofmemory",
    "oom-kill",
    "oomkilled",
    "segmentation fault",
    "sigsegv",
    "no space left on device",
    "data loss",
    "data corruption",
    "corrupted",
    "disk full",
    "kernel panic",
];

/// Worth a person's look before a model has had one.
pub fn is_severe(offer: &Offer) -> bool {
    offer.level >= Level::Error || offer.shape == Shape::Trace || holds(offer).is_some()
}

/// Why an `ignore` of this is not believed.
pub fn holds(offer: &Offer) -> Option<&'static str> {
    if offer.level >= Level::Fatal {
        return Some("its level is fatal, which no model may wave through");
    }
    if offer.status.is_some_and(|status| (500..600).contains(&status)) {
        return Some("its status is a 5xx, which no model may wave through");
    }
    let message = offer.message.to_ascii_lowercase();
    let found = PHRASES.iter().any(|phrase| message.contains(phrase));
    found.then_some("it names a dying process or lost data, which no model may wave through")
}
