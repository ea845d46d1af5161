//! A cheap fingerprint of a message: its text without what is likely to vary.
//!
//! It is made of every line, so it costs some tens of nanoseconds and allocates nothing. Numbers, and what looks like a
//! piece of an identifier, part the text into spans; the spans are hashed, from their first letter on, in their order. So
//! lines of one template usually share a sketch, and two messages whose plain words differ within the first
//! [`LOOKED_AT`] bytes do not (but by chance, one in 2⁶⁴). A *plain word* is a run of letters that touches no digit.
//! A run that does is left out if it is of one or two letters, or of `a` to `f` only, or if 16 and more letters and digits
//! stand together. Quoted words are words: what stands in quotes is as often a reason as a name.

use wide::u8x16;

/// The bytes of a message that are looked at.
pub const LOOKED_AT: usize = 256;

const BLOCK: usize = 64;

/// A run of letters and digits as long as this is an identifier.
const OPAQUE: u32 = 16;

/// The fingerprint of `message`. Secret and random, `seed` keeps others from making two messages that share one.
pub fn sketch(seed: u64, message: &[u8]) -> u64 {
    let message = message.get(..LOOKED_AT).unwrap_or(message);
    if message.len() >= BLOCK {
        return of(seed, message, message.len());
    }
    // So that a whole block can be read; NUL is in no class.
    let mut padded = [0; BLOCK];
    for (to, from) in padded.iter_mut().zip(message) {
        *to = *from;
    }
    of(seed, &padded, message.len())
}

/// Of the first `length` bytes; there must be a block at least.
#[inline]
fn of(seed: u64, message: &[u8], length: usize) -> u64 {
    let mut hash = Hash::new(seed);
    // Where the span that is open began.
    let mut open = None;
    let mut start = 0;
    while start < length {
        let classes = match message.get(start..).and_then(|rest| rest.first_chunk::<BLOCK>()) {
            Some(block) => classify(block),
            None => match message.last_chunk::<BLOCK>() {
                Some(block) => classify(block).without_first(start + BLOCK - message.len()),
                None => break,
            },
        };
        let (used, parts) = if classes.digits == 0 { (BLOCK, 0) } else { parts(classes) };
        let mut words = classes.letters & !parts;
        let mut stops = parts;
        if used < BLOCK {
            // The rest is looked at again in the next block.
            let within = (1 << used) - 1;
            words &= within;
            stops &= within;
        }
        loop {
            match open {
                None if words == 0 => break,
                None => {
                    let first = words.trailing_zeros();
                    open = Some(start + first as usize);
                    stops &= u64::MAX << first;
                }
                Some(_) if stops == 0 => break,
                Some(from) => {
                    let stop = stops.trailing_zeros();
                    hash.span(message, from, start + stop as usize);
                    open = None;
                    words &= u64::MAX << stop;
                }
            }
        }
        start += used;
    }
    if let Some(from) = open {
        hash.span(message, from, length);
    }
    hash.finish()
}

#[derive(Clone, Copy)]
struct Classes {
    letters: u64,
    digits: u64,
    /// a to f, of either case.
    hex: u64,
}

impl Classes {
    #[inline]
    fn without_first(self, bytes: usize) -> Classes {
        Classes { letters: self.letters >> bytes, digits: self.digits >> bytes, hex: self.hex >> bytes }
    }
}

#[inline]
fn classify(block: &[u8; BLOCK]) -> Classes {
    let mut classes = Classes { letters: 0, digits: 0, hex: 0 };
    let (quarters, _) = block.as_chunks::<16>();
    for (i, quarter) in quarters.iter().enumerate() {
        let bytes = u8x16::new(*quarter);
        let lower = (bytes | u8x16::splat(0x20)) - u8x16::splat(b'a');
        let digit = bytes - u8x16::splat(b'0');
        let below = |v: u8x16, n: u8| u64::from(v.min(u8x16::splat(n)).simd_eq(v).to_bitmask());
        // Every byte of a character beyond ASCII counts as a letter.
        let beyond = u64::from(bytes.max(u8x16::splat(0x80)).simd_eq(bytes).to_bitmask());
        classes.letters |= (below(lower, 25) | beyond) << (16 * i);
        classes.digits |= below(digit, 9) << (16 * i);
        classes.hex |= below(lower, 5) << (16 * i);
    }
    classes
}

/// How much of a block with digits can be judged now, and the bytes of it that part spans: digits, and letters that
/// belong to identifiers.
#[inline]
fn parts(classes: Classes) -> (usize, u64) {
    let Classes { letters, digits, hex } = classes;
    let runs = letters | digits;
    // A run that the block's end cuts is looked at whole in the next block, unless it fills this one.
    let cut = runs.leading_ones();
    let used = if cut as usize == BLOCK { BLOCK } else { BLOCK - cut as usize };
    let mut parts = digits;
    let mut touching = letters & (digits << 1 | digits >> 1);
    while touching != 0 {
        let at = touching.trailing_zeros();
        let run = around(runs, at);
        if run.count_ones() >= OPAQUE {
            parts |= run;
            touching &= !run;
            continue;
        }
        let word = around(letters, at);
        if word.count_ones() <= 2 || word & !hex == 0 {
            parts |= word;
        }
        touching &= !word;
    }
    (used, parts)
}

/// The run of ones of `bits` that holds bit `at`.
#[inline]
fn around(bits: u64, at: u32) -> u64 {
    let after = (bits >> at).trailing_ones();
    let before = (bits << (63 - at)).leading_ones() - 1;
    (u64::MAX >> (64 - before - after)) << (at - before)
}

/// The hash of the spans so far. Each eight bytes add a product of their own, so that the processor works at several at
/// a time; their place is part of it, so that order counts.
struct Hash {
    sum: u64,
    place: u64,
    seed: u64,
}

impl Hash {
    #[inline]
    fn new(seed: u64) -> Hash {
        Hash { sum: 0, place: seed.wrapping_mul(STEP) | 1, seed }
    }

    #[inline]
    fn span(&mut self, bytes: &[u8], mut from: usize, to: usize) {
        while to - from > 8 {
            self.mix(load(bytes, from), 0);
            from += 8;
        }
        // The length keeps the end of a span from being taken for its middle.
        let left = (to - from) as u64;
        self.mix(load(bytes, from) & u64::MAX >> (64 - 8 * left), left);
    }

    #[inline]
    fn mix(&mut self, bytes: u64, end: u64) {
        self.place = self.place.wrapping_add(STEP);
        self.sum = self.sum.wrapping_add(fold(bytes ^ self.seed, self.place ^ end << 56));
    }

    #[inline]
    fn finish(self) -> u64 {
        fold(self.sum ^ STEP, self.place ^ self.seed.rotate_left(32))
    }
}

/// 2⁶⁴ divided by the golden ratio: its multiples differ in all bits.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

#[inline]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

/// The eight bytes at `at`, the first one lowest; zeros beyond the end.
#[inline]
fn load(bytes: &[u8], at: usize) -> u64 {
    match bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        Some(eight) => u64::from_le_bytes(*eight),
        None => {
            let last = bytes.last_chunk::<8>().map_or(0, |eight| u64::from_le_bytes(*eight));
            last.checked_shr(8 * (at + 8).saturating_sub(bytes.len()) as u32).unwrap_or(0)
        }
    }
}

#[cfg(test)]
mod tests;
