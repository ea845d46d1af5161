//! What tokens are to each other: the same, possibly two values of one place, or words of two kinds of message.

use xxhash_rust::xxh3::xxh3_64;

use super::mask::{Kind, is_placeholder};
use super::words::{self, Introduces};

/// What a token is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// Placeholders and signs.
    Value,
    /// Letters and placeholders: `blk_<num>`.
    Mixed,
    /// The value of a key: `uid=<num>`. Keys are words of the program.
    Keyed,
    /// Letters parted by dots, underscores or slashes: a class, a host, a property.
    Name,
    /// Capitals alone, a constant of the program.
    Constant,
    Word,
}

/// A token of a message or of a template.
#[derive(Clone, Copy, Debug)]
pub(super) struct Token {
    /// Of its bytes, all kinds of placeholder being one.
    hash: u64,
    /// Of its bytes as they are.
    typed: u64,
    class: Class,
    /// Anything may stand here that tells nothing of how something ended.
    any: bool,
    alarm: bool,
    introduces: Introduces,
}

impl Token {
    pub(super) fn of(bytes: &[u8]) -> Token {
        let typed = xxh3_64(bytes);
        let values = bytes.iter().any(|b| is_placeholder(*b));
        let letters = bytes.iter().any(|b| b.is_ascii_alphabetic() || *b >= 0x80);
        let hash = if values {
            let plain: Vec<u8> = bytes.iter().map(|b| if is_placeholder(*b) { Kind::Any.byte() } else { *b }).collect();
            xxh3_64(&plain)
        } else {
            typed
        };
        let class = match (values, letters) {
            (true, false) => Class::Value,
            (true, true) if is_keyed(bytes) => Class::Keyed,
            (true, true) => Class::Mixed,
            _ if is_constant(bytes) => Class::Constant,
            _ if is_name(bytes) => Class::Name,
            _ => Class::Word,
        };
        Token {
            hash,
            typed,
            class,
            any: bytes == [Kind::Any.byte()],
            alarm: letters && words::alarm(bytes).is_some(),
            introduces: words::introduces(bytes),
        }
    }

    /// The word that tells how something ended, of a token that has one.
    pub(super) fn alarm_word(&self, bytes: &[u8]) -> Option<&'static [u8]> {
        if self.alarm { words::alarm(bytes) } else { None }
    }

    /// Whether what `other` stands for may stand here.
    pub(super) fn covers(&self, other: &Token) -> bool {
        self.hash == other.hash || (self.any && !other.alarm)
    }

    pub(super) fn hash(&self) -> u64 {
        self.hash
    }

    pub(super) fn same_typed(&self, other: &Token) -> bool {
        self.typed == other.typed
    }
}

fn is_keyed(bytes: &[u8]) -> bool {
    bytes.windows(2).any(|pair| matches!(pair, [key, b'='] if key.is_ascii_alphabetic() || *key == b'_'))
}

fn is_constant(bytes: &[u8]) -> bool {
    let letters = bytes.iter().filter(|b| b.is_ascii_alphabetic());
    bytes.iter().all(|b| !b.is_ascii_lowercase() && *b < 0x80) && letters.count() >= 2
}

/// A sign between letters; but what ends in `:` or `()` labels the rest of the message.
fn is_name(bytes: &[u8]) -> bool {
    let label = bytes.ends_with(b":") || bytes.ends_with(b"()") || bytes.ends_with(b"!");
    let letter = |b: &u8| b.is_ascii_alphabetic() || *b >= 0x80;
    !label
        && bytes.windows(3).any(|w| match w {
            [before, b'.' | b'_' | b'/' | b'@' | b'$' | b'\\', after] => letter(before) && letter(after),
            _ => false,
        })
}

/// How a message differs from a template of as many tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Difference {
    /// Words differ that no value may replace, or too many.
    Another,
    /// Only where the template has values. So many words are equal.
    None { equal: u32 },
    /// In places where a value is at least as likely as a word.
    Values { equal: u32, differ: u32 },
    /// In one word, which is taken for a value once `needs` different ones stood there.
    Word { at: usize, needs: usize, equal: u32, differ: u32 },
}

/// Different words in a place that show that a value stands there. A name is likely after `for`; elsewhere a verb is as
/// likely, and few programs say eight different things in otherwise equal sentences.
const LIKELY: usize = 4;
const PLAIN: usize = 8;
/// Of a message that tells of a failure.
const PLAIN_ALARM: usize = 16;

pub(super) fn difference(template: &[Token], message: &[Token]) -> Difference {
    let (mut equal, mut differ, mut alarm) = (0, 0, false);
    let mut word = None;
    let mut introduces = Introduces::Nothing;
    for (at, (t, m)) in template.iter().zip(message).enumerate() {
        let before = std::mem::replace(&mut introduces, m.introduces);
        alarm |= m.alarm;
        if t.hash == m.hash {
            equal += u32::from(m.class != Class::Value);
            continue;
        }
        if t.alarm || m.alarm {
            return Difference::Another;
        }
        if t.any {
            continue;
        }
        let plain = |class| matches!(class, Class::Word | Class::Constant | Class::Keyed);
        match (t.class, m.class) {
            // Different signs around values.
            (Class::Value, Class::Value) => differ += u32::from(!t.any),
            (a, b) if !plain(a) && !plain(b) => differ += 1,
            (Class::Word, Class::Word | Class::Name) | (Class::Name, Class::Word) if before == Introduces::Name => {
                differ += 1
            }
            (Class::Value, _) | (_, Class::Value) => differ += 1,
            (Class::Mixed, Class::Word) | (Class::Word, Class::Mixed) => differ += 1,
            (a, b) => {
                let constant = a == Class::Constant || b == Class::Constant;
                let needs = if before == Introduces::Likely && !constant { LIKELY } else { PLAIN };
                if word.replace((at, needs)).is_some() {
                    return Difference::Another;
                }
            }
        }
    }
    match word {
        Some((at, needs)) => {
            let needs = if needs == PLAIN && alarm { PLAIN_ALARM } else { needs };
            Difference::Word { at, needs, equal, differ }
        }
        None if differ == 0 => Difference::None { equal },
        None => Difference::Values { equal, differ },
    }
}
