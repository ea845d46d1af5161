//! What stands in the place of a secret.
//!
//! A mark says what was there and, where that is safe, a pseudonym: four hex digits of a keyed hash, the same
//! for equal values within one installation. So a person can see that two lines speak of one customer, and
//! not of which.
//!
//! A pseudonym can be guessed against by nobody without the key, which never leaves the store, except in one
//! way: who may send lines and read what is shown can send a guess and compare the marks. Sixteen bits leave
//! one in 65,536 wrong guesses in doubt, which protects what a generator made and what has billions of equals
//! (cards), not a word or a PIN. So a value that a person may have thought up has a pseudonym from 24 bytes
//! and 10 different ones on, above passwords and below tokens; what an operator's patterns and fields name,
//! whose point is correlation, from 8 bytes on; addresses and cards always. What has none is marked
//! without one, and all such values look the same.

use regex::Regex;
use ring::hmac;

use super::rows::Maker;

/// The mark without a name, and what is left of a text that does not settle.
pub(super) const PLAIN: &str = "[redacted]";

/// Names of identities: their marks are `[email:3f9a]`, not `[redacted:email:3f9a]`.
pub(super) const IDENTITIES: [&str; 3] = ["email", "card", "ip"];

const PERSON_MIN_BYTES: usize = 24;
const PERSON_MIN_DIFFERENT: usize = 10;
const OPERATOR_MIN_BYTES: usize = 8;

/// Makes marks and knows them again.
pub(super) struct Marks {
    key: hmac::Key,
    known: Regex,
}

impl Marks {
    /// `names`: of every mark that can be made, letters, digits, `_` and `-` only.
    pub(super) fn new(key: &[u8], names: &[&str]) -> Result<Marks, regex::Error> {
        let names = names.join("|");
        let identities = IDENTITIES.join("|");
        let known = Regex::new(&format!(
            r"\[(?:redacted(?::(?:{names})(?::[0-9a-f]{{4}})?)?|(?:{identities}):[0-9a-f]{{4}})\]"
        ))?;
        Ok(Marks { key: hmac::Key::new(hmac::HMAC_SHA256, key), known })
    }

    pub(super) fn mark(&self, name: &str, maker: Maker, value: &str) -> String {
        match (name, maker) {
            ("", _) => PLAIN.to_owned(),
            (_, Maker::Identity) => format!("[{name}:{}]", self.pseudonym(&canonical(name, value))),
            _ if deserves_pseudonym(maker, value) => format!("[redacted:{name}:{}]", self.pseudonym(value)),
            _ => format!("[redacted:{name}]"),
        }
    }

    /// Where marks stand, in order.
    pub(super) fn places(&self, text: &str) -> Vec<(usize, usize)> {
        self.known.find_iter(text).map(|found| (found.start(), found.end())).collect()
    }

    /// Is it the inside of a mark, without its brackets?
    pub(super) fn is_mark(&self, bare: &str) -> bool {
        let whole = format!("[{bare}]");
        self.known.find(&whole).is_some_and(|found| found.len() == whole.len())
    }

    fn pseudonym(&self, value: &str) -> String {
        match *hmac::sign(&self.key, value.as_bytes()).as_ref() {
            [a, b, ..] => format!("{a:02x}{b:02x}"),
            _ => String::new(), // Not reached: the hash has 32 bytes.
        }
    }
}

/// One address or card in all its ways of writing.
fn canonical(name: &str, value: &str) -> String {
    match name {
        "card" => value.chars().filter(char::is_ascii_digit).collect(),
        _ => value.to_lowercase().replace("%40", "@").replace(r"\u0040", "@"),
    }
}

fn deserves_pseudonym(maker: Maker, value: &str) -> bool {
    match maker {
        Maker::Machine | Maker::Identity => true,
        Maker::Operator => value.len() >= OPERATOR_MIN_BYTES,
        Maker::Person => {
            let mut seen = [false; 256];
            value.bytes().for_each(|byte| seen[usize::from(byte)] = true);
            let different = seen.iter().filter(|seen| **seen).count();
            value.len() >= PERSON_MIN_BYTES && different >= PERSON_MIN_DIFFERENT
        }
    }
}

/// Where the mark begins that the end of `head` has cut in two: half a mark is not known as one.
pub(super) fn half(head: &str) -> Option<usize> {
    let at = head.rfind('[')?;
    let tail = head.get(at..)?;
    let begins = |mark: &str| tail.starts_with(mark) || mark.starts_with(tail);
    let is_half =
        !tail.contains(']') && (begins("[redacted") || IDENTITIES.iter().any(|name| begins(&format!("[{name}:"))));
    is_half.then_some(at)
}
