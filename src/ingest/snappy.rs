//! Raw snappy blocks, undone as they arrive.
//!
//! Fluent Bit sends one raw block a body: its length, then literals and copies. The format was made to be
//! decoded at once; this decodes it in the pieces the network brings, holding only the 64 KiB that copies
//! reach back. (Encoders work in blocks of 64 KiB, so none reaches further; one that did is refused.)

use std::io::{Error, ErrorKind, Result};

/// How far back a copy may reach.
const REACH: usize = 1 << 16;
/// Decoded bytes gathered before they are handed on.
const PIECE: usize = 1 << 16;

/// Where the decoder stands within the block.
enum State {
    /// Reading the decoded length: what is known of it, and how many bits.
    Length(u64, u32),
    Tag,
    /// Literal or copy whose further tag bytes have not all come.
    More {
        tag: u8,
        have: u32,
        count: u32,
        wanted: u32,
    },
    Literal(u64),
}

pub struct Snappy {
    state: State,
    /// The last bytes decoded: what copies reach, and, at its end, what was not handed on yet.
    window: Vec<u8>,
    /// Where in `window` that begins.
    fresh: usize,
    /// Decoded bytes still to come.
    left: u64,
}

impl Default for Snappy {
    fn default() -> Self {
        Snappy { state: State::Length(0, 0), window: Vec::with_capacity(REACH + PIECE + 64), fresh: 0, left: 0 }
    }
}

impl Snappy {
    /// Hands on what `data` decodes to; stops early, with `false`, when `plain` says so.
    pub fn feed(&mut self, mut data: &[u8], mut plain: impl FnMut(&[u8]) -> bool) -> Result<bool> {
        while let Some((&byte, rest)) = data.split_first() {
            match self.state {
                State::Literal(length) => {
                    let room = (REACH + PIECE).saturating_sub(self.window.len()).max(1);
                    let take = usize::try_from(length).unwrap_or(usize::MAX).min(data.len()).min(room);
                    let (piece, rest) = data.split_at(take);
                    self.window.extend_from_slice(piece);
                    data = rest;
                    let left = length - take as u64;
                    self.state = if left == 0 { State::Tag } else { State::Literal(left) };
                }
                State::Length(value, bits) => {
                    data = rest;
                    if bits > 28 {
                        return Err(invalid("its length takes more than 32 bits"));
                    }
                    let value = value | u64::from(byte & 0x7f) << bits;
                    if byte & 0x80 == 0 {
                        (self.left, self.state) = (value, State::Tag);
                    } else {
                        self.state = State::Length(value, bits + 7);
                    }
                }
                State::Tag => {
                    data = rest;
                    let wanted = match byte & 3 {
                        0 => u32::from(byte >> 2).saturating_sub(59),
                        1 => 1,
                        2 => 2,
                        _ => 4,
                    };
                    self.act(byte, (0, 0), wanted, &mut plain)?;
                }
                State::More { tag, have, count, wanted } => {
                    data = rest;
                    self.act(tag, (have | u32::from(byte) << (8 * count), count + 1), wanted, &mut plain)?;
                }
            }
            if self.window.len() - self.fresh >= PIECE && !self.flush(&mut plain) {
                return Ok(false);
            }
        }
        Ok(self.flush(&mut plain))
    }

    /// The body has ended.
    pub fn finish(&self) -> Result<()> {
        match self.state {
            State::Tag if self.left == 0 => Ok(()),
            _ => Err(Error::new(ErrorKind::UnexpectedEof, "the snappy block ends early")),
        }
    }

    /// Acts on a tag; when that fails, what came before it is handed on first.
    fn act(
        &mut self,
        tag: u8,
        (have, count): (u32, u32),
        wanted: u32,
        plain: &mut impl FnMut(&[u8]) -> bool,
    ) -> Result<()> {
        let done = self.tag(tag, have, count, wanted);
        if done.is_err() {
            self.flush(plain);
        }
        done
    }

    /// Acts on a tag of which `count` of `wanted` further bytes are here, as the number `have`.
    fn tag(&mut self, tag: u8, have: u32, count: u32, wanted: u32) -> Result<()> {
        if count < wanted {
            self.state = State::More { tag, have, count, wanted };
            return Ok(());
        }
        self.state = State::Tag;
        let (length, offset) = match tag & 3 {
            0 => {
                let length = if wanted == 0 { u64::from(tag >> 2) + 1 } else { u64::from(have) + 1 };
                self.promise(length)?;
                self.state = State::Literal(length);
                return Ok(());
            }
            1 => (u64::from(tag >> 2 & 7) + 4, u32::from(tag >> 5) << 8 | have),
            _ => (u64::from(tag >> 2) + 1, have),
        };
        self.promise(length)?;
        let offset = offset as usize;
        if offset == 0 || offset > self.window.len() || offset > REACH {
            return Err(invalid("a copy reaches where nothing is"));
        }
        // Byte by byte where it overlaps what it writes: that is how the format repeats a pattern.
        for _ in 0..length {
            let byte = self.window.get(self.window.len() - offset).copied().unwrap_or_default();
            self.window.push(byte);
        }
        Ok(())
    }

    /// Takes `length` off what the block said it holds.
    fn promise(&mut self, length: u64) -> Result<()> {
        self.left = self.left.checked_sub(length).ok_or_else(|| invalid("it holds more than it says"))?;
        Ok(())
    }

    fn flush(&mut self, plain: &mut impl FnMut(&[u8]) -> bool) -> bool {
        let fresh = self.window.get(self.fresh..).unwrap_or_default();
        let wanted = fresh.is_empty() || plain(fresh);
        if self.window.len() > REACH {
            self.window.drain(..self.window.len() - REACH);
        }
        self.fresh = self.window.len();
        wanted
    }
}

fn invalid(what: &'static str) -> Error {
    Error::new(ErrorKind::InvalidData, format!("no snappy block: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decode(pieces: &[&[u8]]) -> Result<Vec<u8>> {
        let (mut snappy, mut out) = (Snappy::default(), Vec::new());
        for piece in pieces {
            snappy.feed(piece, |plain| {
                out.extend_from_slice(plain);
                true
            })?;
            assert!(snappy.window.len() <= REACH, "bounded between pieces");
        }
        snappy.finish()?;
        Ok(out)
    }

    #[test]
    fn broken_blocks_are_refused_and_not_believed() {
        for (block, what) in [
            (&b"\xff\xff\xff\xff\xff\x01"[..], "its length takes more"),
            (b"\x03\x08abcd", "more than it says"),
            (b"\x08\x01\x00", "reaches where nothing is"),
            (b"\x08\x04ab\x09\x09", "reaches where nothing is"),
            (b"\x08\x1cab", "ends early"),
            (b"", "ends early"),
        ] {
            let error = decode(&[block]).err().map(|e| e.to_string()).unwrap_or_default();
            assert!(error.contains(what), "{block:?}: {error}");
        }
    }

    proptest! {
        #[test]
        fn any_cutting_of_what_the_snap_crate_wrote_gives_the_bytes_back(
            words in proptest::collection::vec("[a-d]{1,9}", 0..4000), cut in 1usize..5000,
        ) {
            let plain = words.concat().into_bytes();
            let block = snap::raw::Encoder::new().compress_vec(&plain).expect("compresses");
            let pieces: Vec<&[u8]> = block.chunks(cut).collect();
            prop_assert_eq!(decode(&pieces).expect("decodes"), plain);
        }

        #[test]
        fn no_bytes_make_it_panic(block in proptest::collection::vec(any::<u8>(), 0..200)) {
            decode(&[&block]).unwrap_or_default();
        }
    }
}
