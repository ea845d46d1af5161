//! Where the quotes and brackets of one line stand, as bit masks, found in one pass.
//!
//! A FireLens line is a small object whose `log` string holds an escaped application object, with a
//! backslash every five bytes. Walking it byte by byte, or unescaping it first, costs more than
//! everything else together; so a line is classified 64 bytes at a time, and the walkers in
//! [`super::json`] hop from bit to bit at either nesting: the JSON of the line itself (depth 0) and the
//! JSON inside its strings (depth 1), without unescaping.
//!
//! Promise: `build` is linear in the line, allocates only while its masks grow to the longest line seen,
//! and accepts any bytes.

use std::ops::Range;

use wide::u8x16;

const BLOCK: usize = 64;

/// The masks of one line; reused from line to line.
#[derive(Default)]
pub struct Index {
    words: Vec<Marks>,
}

/// What stands in 64 bytes: bit `i` of the marks at `w` speaks of byte `64 * w + i`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Marks {
    /// Quotes that open or close a string of the line itself: preceded by an even run of backslashes.
    pub quotes: u64,
    /// Quotes that do so for JSON held inside such a string: preceded by a run of 1, 5, 9, … backslashes
    /// (`\"`). A run of 3 is a quote inside an inner string (`\\\"`).
    nested: u64,
    /// `{ } [ ]` wherever they stand, inside strings too: who walks must know whether it is in one.
    pub brackets: u64,
}

impl Index {
    /// Bytes held.
    pub(super) fn size(&self) -> usize {
        self.words.capacity() * size_of::<Marks>()
    }

    /// Of a line in which nobody is to look.
    pub(super) fn clear(&mut self) {
        self.words.clear();
    }

    pub fn build(&mut self, line: &[u8]) {
        self.words.clear();
        self.extend(line, 0, &mut Carry::default());
    }

    /// The same for a piece of a longer text: `carry` is what the piece before left. (The nested quotes are
    /// then right only for runs of backslashes that lie within the piece; who cuts values needs none.)
    pub fn build_on(&mut self, piece: &[u8], carry: &mut Carry) {
        self.words.clear();
        self.extend(piece, 0, carry);
    }

    /// The masks of one string of the line, whose content stands at `text`: right from its first byte up to the
    /// byte behind its last. The quote that opens a string is itself not escaped, so it ends every run of
    /// backslashes before it, and nothing further left has to be read.
    pub fn build_string(&mut self, line: &[u8], text: Range<usize>) {
        let first = text.start / BLOCK;
        let end = line.len().min((text.end / BLOCK + 1) * BLOCK);
        self.words.clear();
        self.words.resize(first, Marks::default());
        self.extend(line.get(..end).unwrap_or(line), first, &mut Carry::default());
    }

    /// Adds the marks of all blocks from number `first` on.
    fn extend(&mut self, line: &[u8], first: usize, carry: &mut Carry) {
        let (blocks, tail) = line.as_chunks::<BLOCK>();
        let blocks = blocks.get(first..).unwrap_or_default();
        let mut word = first;
        self.words.extend(blocks.iter().map(|block| {
            let (marks, _) = marks(line, word, classify(block), carry);
            word += 1;
            marks
        }));
        if !tail.is_empty() {
            // Spaces are in no class, so the padding adds no bit.
            let mut last = [b' '; BLOCK];
            if let Some(head) = last.get_mut(..tail.len()) {
                head.copy_from_slice(tail);
            }
            let (marks, escaped) = marks(line, word, classify(&last), carry);
            self.words.push(marks);
            // The byte after the tail is the next piece's first, not the padding.
            *carry = Carry { escapes_next: escaped >> tail.len() & 1, last_two: 0 };
        }
    }

    /// Quotes and brackets at the text's own nesting, 64 bytes a pair.
    pub fn outer(&self) -> impl Iterator<Item = (u64, u64)> {
        self.words.iter().map(|marks| (marks.quotes, marks.brackets))
    }

    #[inline]
    pub(super) fn quotes(&self, depth: Depth, word: usize) -> Option<u64> {
        let marks = self.words.get(word)?;
        Some(match depth {
            Depth::Line => marks.quotes,
            Depth::Inner => marks.nested,
        })
    }

    /// The first quote at or after `from`.
    #[inline]
    pub(super) fn next_quote(&self, depth: Depth, from: usize) -> Option<usize> {
        let mut word = from / BLOCK;
        let mut bits = self.quotes(depth, word)? & (u64::MAX << (from % BLOCK));
        while bits == 0 {
            word += 1;
            bits = self.quotes(depth, word)?;
        }
        Some(word * BLOCK + bits.trailing_zeros() as usize)
    }

    pub(super) fn words(&self) -> &[Marks] {
        &self.words
    }
}

impl Marks {
    #[inline]
    pub(super) fn of(&self, depth: Depth) -> u64 {
        match depth {
            Depth::Line => self.quotes,
            Depth::Inner => self.nested,
        }
    }
}

/// The marks of block number `word`, and its bytes that a backslash escapes.
#[inline(always)]
fn marks(line: &[u8], word: usize, class: Classes, carry: &mut Carry) -> (Marks, u64) {
    let escaped = carry.escaped(class.backslashes);
    let inside = class.quotes & escaped;
    // A quote whose backslash is itself preceded by none: the usual `\"`.
    let two_before = class.backslashes << 2 | carry.last_two;
    carry.last_two = class.backslashes >> 62;
    let mut nested = inside & !two_before;
    let longer = inside & two_before;
    if longer != 0 {
        nested |= behind_longer_runs(line, word, longer);
    }
    (Marks { quotes: class.quotes & !escaped, nested, brackets: class.brackets }, escaped)
}

/// Longer runs are rare (a quote within a string of the inner object): each is counted.
#[cold]
fn behind_longer_runs(line: &[u8], word: usize, mut quotes: u64) -> u64 {
    let mut nested = 0;
    while quotes != 0 {
        let at = word * BLOCK + quotes.trailing_zeros() as usize;
        if run_before(line, at) % 4 == 1 {
            nested |= quotes & quotes.wrapping_neg();
        }
        quotes &= quotes - 1;
    }
    nested
}

/// Which JSON is walked: the line's own, or what one of its strings holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    Line,
    Inner,
}

#[derive(Clone, Copy)]
struct Classes {
    quotes: u64,
    backslashes: u64,
    brackets: u64,
}

/// What one block must know of the block before it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Carry {
    /// 1 when the first byte of the next block is escaped by the last of this one.
    escapes_next: u64,
    /// Whether the last two bytes were backslashes, as bits 0 and 1.
    last_two: u64,
}

impl Carry {
    /// Bits of the bytes that a backslash escapes. Odd and even runs are told apart by one subtraction
    /// over the whole word (the carry of the sum runs through a series of backslashes and comes out on
    /// an even or odd bit); this is the published simdjson construction.
    #[inline]
    fn escaped(&mut self, backslashes: u64) -> u64 {
        const ODD: u64 = 0xAAAA_AAAA_AAAA_AAAA;
        if backslashes == 0 {
            return std::mem::take(&mut self.escapes_next);
        }
        let starts = backslashes & !self.escapes_next;
        let codes = ((starts << 1) | ODD).wrapping_sub(starts) ^ ODD;
        let escaped = codes ^ (backslashes | self.escapes_next);
        self.escapes_next = (codes & backslashes) >> 63;
        escaped
    }
}

/// Bit `i` becomes the parity of bits `0..=i`: of quotes, ones from each opening one up to before its closing one.
#[inline]
pub fn parity(mut bits: u64) -> u64 {
    for shift in [1, 2, 4, 8, 16, 32] {
        bits ^= bits << shift;
    }
    bits
}

/// Length of the run of backslashes that ends just before `at`.
fn run_before(line: &[u8], at: usize) -> usize {
    line.get(..at).unwrap_or_default().iter().rev().take_while(|b| **b == b'\\').count()
}

/// Sixteen bytes at a time, on whatever vectors the machine has (SSE2 on every x86-64, NEON on arm64).
#[inline]
fn classify(block: &[u8; BLOCK]) -> Classes {
    let mut out = Classes { quotes: 0, backslashes: 0, brackets: 0 };
    let (lanes, _) = block.as_chunks::<16>();
    for (lane, bytes) in lanes.iter().enumerate() {
        let bytes = u8x16::new(*bytes);
        let bits = |mask: u8x16| u64::from(mask.to_bitmask()) << (16 * lane);
        out.quotes |= bits(bytes.simd_eq(u8x16::splat(b'"')));
        out.backslashes |= bits(bytes.simd_eq(u8x16::splat(b'\\')));
        // `[` and `{` differ in one bit, as do `]` and `}`: set it and compare twice, not four times.
        let folded = bytes | u8x16::splat(0x20);
        out.brackets |= bits(folded.simd_eq(u8x16::splat(b'{')) | folded.simd_eq(u8x16::splat(b'}')));
    }
    out
}

/// The same, byte by byte: the twin that the tests compare with.
#[cfg(test)]
fn classify_plainly(block: &[u8; BLOCK]) -> Classes {
    let mut out = Classes { quotes: 0, backslashes: 0, brackets: 0 };
    for (i, byte) in block.iter().enumerate() {
        out.quotes |= u64::from(*byte == b'"') << i;
        out.backslashes |= u64::from(*byte == b'\\') << i;
        out.brackets |= u64::from(matches!(byte, b'{' | b'}' | b'[' | b']')) << i;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bits(mask: &[u64], len: usize) -> Vec<usize> {
        (0..len).filter(|i| mask[i / 64] >> (i % 64) & 1 == 1).collect()
    }

    fn naive(line: &[u8]) -> (Vec<usize>, Vec<usize>, Vec<usize>) {
        let at = |f: &dyn Fn(usize) -> bool| (0..line.len()).filter(|i| f(*i)).collect::<Vec<_>>();
        (
            at(&|i| line[i] == b'"' && run_before(line, i).is_multiple_of(2)),
            at(&|i| line[i] == b'"' && run_before(line, i) % 4 == 1),
            at(&|i| b"{}[]".contains(&line[i])),
        )
    }

    fn check(line: &[u8]) {
        let mut index = Index::default();
        index.build(line);
        let n = line.len();
        let (quotes, nested, brackets) = naive(line);
        let words = |of: fn(&Marks) -> u64| index.words.iter().map(of).collect::<Vec<_>>();
        assert_eq!(bits(&words(|m| m.quotes), n), quotes, "quotes of {:?}", String::from_utf8_lossy(line));
        assert_eq!(bits(&words(|m| m.nested), n), nested, "nested of {:?}", String::from_utf8_lossy(line));
        assert_eq!(bits(&words(|m| m.brackets), n), brackets);
    }

    #[test]
    fn runs_of_backslashes_across_block_borders_are_told_apart() {
        for pad in 50..80 {
            for run in 0..12 {
                let mut line = vec![b'x'; pad];
                line.extend(std::iter::repeat_n(b'\\', run));
                line.extend(b"\"{tail\"");
                check(&line);
            }
        }
    }

    proptest! {
        #[test]
        fn the_masks_equal_a_byte_by_byte_reading(line in proptest::collection::vec(
            prop_oneof![Just(b'"'), Just(b'\\'), Just(b'\\'), Just(b'{'), Just(b']'), any::<u8>()], 0..400)) {
            check(&line);
        }

        #[test]
        fn both_classifiers_agree(block in proptest::array::uniform32(any::<u8>())) {
            let mut whole = [0u8; 64];
            whole[..32].copy_from_slice(&block);
            whole[32..].copy_from_slice(&block);
            let (a, b) = (classify(&whole), classify_plainly(&whole));
            prop_assert_eq!((a.quotes, a.backslashes, a.brackets), (b.quotes, b.backslashes, b.brackets));
        }
    }
}
