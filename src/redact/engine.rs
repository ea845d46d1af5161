//! One policy, compiled: finds what is to be hidden and replaces it until nothing more is found.

use std::ops::Range;

use aho_corasick::{AhoCorasick, AhoCorasickKind};
use regex::Regex;

use super::marks::{IDENTITIES, Marks};
use super::names::sep;
use super::policy::Policy;
use super::rows::{Maker, ROWS, Row, Secret};
use super::value::value;
use super::{addresses, cards};

/// More than any text met so far needs (four), and few enough to stay linear.
const PASSES: usize = 8;

/// What the values of the operator's fields are called.
pub(super) const FIELD: &str = "field";

/// Begins the keys, so that the store's number is used for pseudonyms in no other way.
const PURPOSE: &[u8] = b"emberwatch redaction pseudonym 1";

pub(super) struct Engine {
    clues: AhoCorasick,
    /// The detector each clue belongs to.
    owners: Vec<usize>,
    /// The rows, in their order, then the operator's.
    detectors: Vec<Detector>,
    emails: bool,
    cards: bool,
    ips: bool,
    marks: Marks,
}

struct Detector {
    name: String,
    pattern: Regex,
    secret: Secret,
    maker: Maker,
    /// Without a clue in the text it is skipped.
    has_clues: bool,
}

/// Something to hide. Ordered by place; of two at one place the lower rank names it.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Found<'n> {
    start: usize,
    rank: usize,
    end: usize,
    name: &'n str,
}

type Finder = fn(&str) -> Vec<Range<usize>>;

// === impl Engine ===

impl Engine {
    /// `key`: what pseudonyms are made with. Fails only for a policy that was never checked.
    pub(super) fn new(policy: &Policy, key: u64) -> Result<Engine, regex::Error> {
        let mut detectors = Vec::new();
        for row in ROWS {
            detectors.push(Detector::of(row)?);
        }
        if !policy.fields.is_empty() {
            let names: Vec<String> = policy.fields.iter().map(|name| regex::escape(name)).collect();
            let pattern = format!(concat!(r"(?i)(?:^|[^A-Za-z0-9])(?:{})", "{}", r"([ \t]*)"), names.join("|"), sep!());
            detectors.push(Detector::own(FIELD, Regex::new(&pattern)?, Secret::Value));
        }
        detectors.extend(policy.patterns.iter().map(|c| Detector::own(&c.name, c.regex.clone(), Secret::Whole)));

        let clues = ROWS.iter().flat_map(|row| row.clues);
        let owned = |(number, row): (usize, &Row)| vec![number; row.clues.len()];
        let names: Vec<&str> = detectors.iter().map(|d| d.name.as_str()).filter(|name| !name.is_empty()).collect();
        Ok(Engine {
            clues: AhoCorasick::builder()
                .ascii_case_insensitive(true)
                // Half a megabyte, once: every text that is shown goes through it twice.
                .kind(Some(AhoCorasickKind::DFA))
                .build(clues)
                .map_err(|error| regex::Error::Syntax(error.to_string()))?,
            owners: ROWS.iter().enumerate().flat_map(owned).collect(),
            marks: Marks::new(&[PURPOSE, &key.to_le_bytes()].concat(), &names)?,
            detectors,
            emails: policy.emails,
            cards: policy.cards,
            ips: policy.ips,
        })
    }

    /// `None` for a text that did not settle: it is not known to be clean.
    pub(super) fn clean(&self, text: &str) -> Option<String> {
        let mut text = text.to_owned();
        for _ in 0..PASSES {
            match self.pass(&text) {
                Some(changed) => text = changed,
                None => return Some(text),
            }
        }
        None
    }

    /// One pass of every suspected detector over the same text; `None` when nothing had to be replaced.
    fn pass(&self, text: &str) -> Option<String> {
        let marks = self.marks.places(text);
        let mut found = Vec::new();
        self.by_pattern(text, &marks, &mut found);
        self.identities(text, &marks, &mut found);
        found.sort_unstable();
        let mut found = found.into_iter().peekable();
        found.peek()?;
        let (mut out, mut done) = (String::with_capacity(text.len()), 0);
        while let Some(Found { start, rank, mut end, name }) = found.next() {
            // An address within a secret is hidden with it; what it has beyond its end is a host, and stays.
            while let Some(next) =
                found.next_if(|next| next.start < end || next.start == end && !self.is_identity(next))
            {
                if !self.is_identity(&next) || next.end <= end {
                    end = end.max(next.end);
                }
            }
            out.push_str(text.get(done..start).unwrap_or_default());
            let maker = self.detectors.get(rank).map_or(Maker::Identity, |detector| detector.maker);
            out.push_str(&self.marks.mark(name, maker, text.get(start..end).unwrap_or_default()));
            done = end;
        }
        out.push_str(text.get(done..).unwrap_or_default());
        Some(out)
    }

    fn is_identity(&self, found: &Found<'_>) -> bool {
        found.rank >= self.detectors.len()
    }

    fn by_pattern<'n>(&'n self, text: &str, marks: &[(usize, usize)], found: &mut Vec<Found<'n>>) {
        let mut suspected = vec![false; self.detectors.len()];
        for hit in self.clues.find_overlapping_iter(text) {
            let owner = self.owners.get(hit.pattern().as_usize());
            if let Some(suspect) = owner.and_then(|owner| suspected.get_mut(*owner)) {
                *suspect = true;
            }
        }
        for (rank, (detector, suspected)) in self.detectors.iter().zip(suspected).enumerate() {
            if detector.has_clues && !suspected {
                continue;
            }
            let mut at = 0;
            while let Some(groups) = detector.pattern.captures_at(text, at) {
                let whole = groups.get_match();
                // An operator's pattern may match nothing, somewhere.
                if whole.is_empty() {
                    let Some(next) = text.get(whole.end()..).and_then(|rest| rest.chars().next()) else { break };
                    at = whole.end() + next.len_utf8();
                    continue;
                }
                at = whole.end();
                let group = match (groups.get(1), detector.secret) {
                    (Some(group), _) => group.range(),
                    (None, Secret::Whole) => whole.range(),
                    (None, _) => continue,
                };
                let secret = match detector.secret {
                    Secret::Group | Secret::Whole => group,
                    kind => value(text, group, kind),
                };
                // What the name of a mark looks like is no finding.
                if let Some(end) = inside(marks, secret.start) {
                    at = at.max(end);
                    continue;
                }
                at = at.max(secret.end);
                if !self.says_nothing(text.get(secret.clone()).unwrap_or_default()) {
                    found.push(Found { start: secret.start, rank, end: secret.end, name: &detector.name });
                }
            }
        }
    }

    fn identities(&self, text: &str, marks: &[(usize, usize)], found: &mut Vec<Found<'_>>) {
        let finders: [(bool, Finder); 3] =
            [(self.emails, addresses::emails), (self.cards, cards::find), (self.ips, addresses::ips)];
        for (place, ((wanted, find), name)) in finders.into_iter().zip(IDENTITIES).enumerate() {
            let places = if wanted { find(text) } else { Vec::new() };
            let rank = self.detectors.len() + place;
            let free = places.into_iter().filter(|place| inside(marks, place.start).is_none());
            found.extend(free.map(|place| Found { start: place.start, rank, end: place.end, name }));
        }
    }

    /// Values that tell nothing: no value, a mark of ours, somebody else's mask.
    fn says_nothing(&self, value: &str) -> bool {
        const SAY_NOTHING: &str = "- null nil none true false undefined redacted filtered";
        let brackets = ['(', ')', '[', ']', '{', '}', '<', '>', '.', '…'];
        let bare = value.trim_matches(brackets).trim_matches('*');
        bare.is_empty()
            || SAY_NOTHING.split(' ').any(|nothing| bare.eq_ignore_ascii_case(nothing))
            || self.marks.is_mark(bare)
    }
}

/// The end of the mark that `at` lies within; its first byte is not within it.
fn inside(marks: &[(usize, usize)], at: usize) -> Option<usize> {
    let before = marks.partition_point(|(start, _)| *start < at);
    let (_, end) = *marks.get(before.checked_sub(1)?)?;
    (at < end).then_some(end)
}

// === impl Detector ===

impl Detector {
    fn of(row: &Row) -> Result<Detector, regex::Error> {
        let Row { name, pattern, secret, maker, .. } = *row;
        Ok(Detector { name: name.to_owned(), pattern: Regex::new(pattern)?, secret, maker, has_clues: true })
    }

    fn own(name: &str, pattern: Regex, secret: Secret) -> Detector {
        Detector { name: name.to_owned(), pattern, secret, maker: Maker::Operator, has_clues: false }
    }
}
