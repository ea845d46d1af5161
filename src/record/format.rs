//! What form a record's body has: told to people, per service, so that they find the odd one.

use super::{Body, Record};

/// A closed set: labels what `/status` shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// A JSON object in `log`.
    Json,
    /// Fields at the top level: merged by a parser filter, or never in a `log`.
    Merged,
    Access,
    Text,
    Empty,
}

impl Format {
    /// In the order of their numbers (`as usize`).
    pub const ALL: [Format; 5] = [Format::Json, Format::Merged, Format::Access, Format::Text, Format::Empty];

    pub fn as_str(self) -> &'static str {
        match self {
            Format::Json => "json",
            Format::Merged => "merged",
            Format::Access => "access",
            Format::Text => "text",
            Format::Empty => "empty",
        }
    }

    pub fn of(record: &Record<'_>) -> Format {
        match &record.body {
            Body::Fields if record.envelope.log.is_some() => Format::Json,
            Body::Fields => Format::Merged,
            Body::Access(..) => Format::Access,
            Body::Text(_) => Format::Text,
            Body::Empty => Format::Empty,
        }
    }
}
