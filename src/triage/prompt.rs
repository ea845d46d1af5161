//! What a model is asked, as text.
//!
//! A prompt is two texts: a system text that is the same for every prompt of its purpose (so that a server
//! need not read it again), and a user text with one JSON object a line, numbered from 1. It promises:
//! - nothing of a log line is in it that has not been redacted, put on one line, freed of what is invisible,
//!   encoded as JSON and cut ([`text`]); no line of a prompt is longer than its limit;
//! - by our own reckoning, which errs upwards, it leaves the model room to answer and to be asked once more;
//! - what does not fit is said: [`Prompt::lines`] counts the offers that are in it, always the first ones.
//!
//! Templates come before examples: an example is what an attacker wrote, a template mostly is not.

mod line;
mod schema;
#[cfg(test)]
mod tests;
mod text;

use serde_json::Value;
use xxhash_rust::xxh3::xxh3_128;

use super::Offer;

pub use line::{HISTORY_SHOWN, Own};
pub(super) use text::{clean, disarm, tokens};

/// What a prompt may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one line, at least [`LEAST_LINE_BYTES`].
    pub line_bytes: usize,
    /// Tokens of the system text and the user text together, by [`tokens`].
    pub tokens: usize,
    /// Whether lines are shown beside their templates.
    pub examples: bool,
}

/// A line shorter than that could not hold its service, its template and its numbers.
pub const LEAST_LINE_BYTES: usize = 300;

/// The context that is asked for: what a server gives unasked on a small machine, so that a model loaded for
/// somebody else need not be loaded again. Tokens.
pub const CONTEXT_TOKENS: usize = 4096;
/// The longest answer. A model that has not finished by then repeats itself, and at four tokens a second
/// these are two minutes. Tokens.
pub const ANSWER_TOKENS: usize = 512;
/// What the marks around messages take, and the second try: a reply, and what is wrong with it. Tokens.
const RESERVED_TOKENS: usize = 400;

impl Default for Limits {
    fn default() -> Self {
        let tokens = CONTEXT_TOKENS - ANSWER_TOKENS - RESERVED_TOKENS;
        Self { line_bytes: 600, tokens, examples: true }
    }
}

/// A question, ready to be sent. Made here only: whoever has one may send it.
#[derive(Clone, Debug)]
pub struct Prompt {
    purpose: Purpose,
    system: String,
    user: String,
    schema: Value,
    lines: usize,
    tokens: usize,
    digest: String,
}

/// What a prompt asks for, and so which reply it wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// What is to be done about each kind of line.
    Triage,
    /// Which watches would be of use, from a sample of kinds.
    Seeding,
    /// Other thresholds and windows for the model's own watches.
    Tuning,
}

// === impl Prompt ===

impl Prompt {
    /// Asks what is to be done about the offers.
    pub fn of(offers: &[Offer], limits: Limits) -> Prompt {
        Self::about(Purpose::Triage, offers, limits)
    }

    /// Asks for watches, from a sample of what a service logs. The reply has the form of triage's, with
    /// `watch` for its only action.
    pub fn seeding(sample: &[Offer], limits: Limits) -> Prompt {
        Self::about(Purpose::Seeding, sample, limits)
    }

    /// Asks for better numbers for the model's own watches.
    pub fn tuning(watches: &[Own], limits: Limits) -> Prompt {
        let limits = limits.sane();
        let lines = watches.iter().zip(1..).map(|(own, number)| (line::own(own, number, limits.line_bytes), None));
        Self::fit(Purpose::Tuning, lines.collect(), limits)
    }

    fn about(purpose: Purpose, offers: &[Offer], limits: Limits) -> Prompt {
        let limits = limits.sane();
        let lines = offers.iter().zip(1..).map(|(offer, number)| {
            let bare = line::offer(offer, number, None, limits.line_bytes);
            let example = line::example(offer).filter(|_| limits.examples);
            let full = example.map(|shown| line::offer(offer, number, Some(&shown), limits.line_bytes));
            (bare, full)
        });
        Self::fit(purpose, lines.collect(), limits)
    }

    /// Takes as many lines as there is room for, from the first; and then, in the room that is left, the
    /// fuller form of as many of them, also from the first.
    fn fit(purpose: Purpose, lines: Vec<(String, Option<String>)>, limits: Limits) -> Prompt {
        let system = schema::system(purpose);
        let (opening, closing) = schema::frame(purpose);
        let mut spent = tokens(&system) + tokens(opening) + tokens(closing);
        let mut taken = Vec::new();
        for (bare, full) in lines {
            let cost = tokens(&bare) + 1;
            // One line goes in whatever the limit: a prompt without any would be asked for ever.
            if !taken.is_empty() && spent + cost > limits.tokens {
                break;
            }
            spent += cost;
            taken.push((bare, full, cost));
        }
        let mut user = opening.to_owned();
        let lines = taken.len();
        for (bare, full, cost) in taken {
            let longer = full.map(|full| (tokens(&full) + 1, full));
            match longer.filter(|(more, _)| spent - cost + more <= limits.tokens) {
                Some((more, full)) => {
                    spent = spent - cost + more;
                    user.push_str(&full);
                }
                None => user.push_str(&bare),
            }
            user.push('\n');
        }
        user.push_str(closing);
        let schema = schema::schema(purpose);
        let digest = format!("{:032x}", xxh3_128(format!("{system}\0{user}\0{schema}").as_bytes()));
        Prompt { purpose, system, user, schema, lines, tokens: spent, digest }
    }

    pub fn purpose(&self) -> Purpose {
        self.purpose
    }

    /// The same for every prompt of this purpose.
    pub fn system(&self) -> &str {
        &self.system
    }

    pub fn user(&self) -> &str {
        &self.user
    }

    /// What the reply must look like: a JSON Schema whose root is an object.
    pub fn schema(&self) -> &Value {
        &self.schema
    }

    /// How many of the offers, or watches, are in it: the first so many.
    pub fn lines(&self) -> usize {
        self.lines
    }

    /// What both texts take at most, by our reckoning.
    pub fn tokens(&self) -> usize {
        self.tokens
    }

    /// Equal for equal questions: 32 hexadecimal digits.
    pub fn digest(&self) -> &str {
        &self.digest
    }
}

impl Limits {
    fn sane(self) -> Self {
        Self { line_bytes: self.line_bytes.max(LEAST_LINE_BYTES), ..self }
    }
}
