//! Undoes `Content-Encoding` as the body arrives, in bounded pieces: a bomb costs its own time, no memory.

use std::io::{Error, ErrorKind, Result, Write};

use flate2::write::MultiGzDecoder;
use zstd::stream::raw::{DParameter, Decoder as Zstd, InBuffer, Operation, OutBuffer};

use super::snappy::Snappy;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    Identity,
    /// One member or several.
    Gzip,
    /// One frame or several.
    Zstd,
    /// A raw block, as Fluent Bit sends it: no framing.
    Snappy,
}

pub struct Decoder {
    inner: Inner,
}

enum Inner {
    Identity,
    Gzip(Box<MultiGzDecoder<Vec<u8>>>),
    Zstd { decoder: Box<Zstd<'static>>, out: Vec<u8>, complete: bool },
    Snappy(Box<Snappy>),
}

/// Compressed bytes taken at once. Deflate expands a thousandfold at most, so at most 4 MiB come of them.
const PIECE: usize = 4096;
/// Zstandard bytes handed on at once; a frame may expand without bound, so it is the output that is limited.
const ZSTD_PIECE: usize = 64 * 1024;
/// Largest window a frame may ask for, 8 MiB: what RFC 9659 allows for HTTP.
const ZSTD_WINDOW_LOG: u32 = 23;

impl Encoding {
    pub const NAMES: &str = "identity, gzip, zstd and snappy";

    pub fn from_name(name: &str) -> Option<Encoding> {
        match name {
            "" | "identity" => Some(Encoding::Identity),
            "gzip" | "x-gzip" => Some(Encoding::Gzip),
            "zstd" => Some(Encoding::Zstd),
            "snappy" => Some(Encoding::Snappy),
            _ => None,
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Encoding::Identity => "identity",
            Encoding::Gzip => "gzip",
            Encoding::Zstd => "zstd",
            Encoding::Snappy => "snappy",
        }
    }
}

impl Decoder {
    /// Fails only where zstd cannot get its memory.
    pub fn new(encoding: Encoding) -> Result<Decoder> {
        let inner = match encoding {
            Encoding::Identity => Inner::Identity,
            Encoding::Gzip => Inner::Gzip(Box::new(MultiGzDecoder::new(Vec::new()))),
            Encoding::Zstd => {
                let mut decoder = Zstd::new()?;
                decoder.set_parameter(DParameter::WindowLogMax(ZSTD_WINDOW_LOG))?;
                Inner::Zstd { decoder: Box::new(decoder), out: vec![0; ZSTD_PIECE], complete: false }
            }
            Encoding::Snappy => Inner::Snappy(Box::default()),
        };
        Ok(Decoder { inner })
    }

    /// Hands on what `data` decodes to; stops early, with `false`, when `plain` says so.
    pub fn feed(&mut self, data: &[u8], mut plain: impl FnMut(&[u8]) -> bool) -> Result<bool> {
        match &mut self.inner {
            Inner::Identity => Ok(plain(data)),
            Inner::Gzip(decoder) => {
                for piece in data.chunks(PIECE) {
                    let written = decoder.write_all(piece);
                    if written.is_err() {
                        // What came before the fault is still inside; this makes it come out, and fails again.
                        decoder.try_finish().unwrap_or_default();
                    }
                    let out = decoder.get_mut();
                    let wanted = out.is_empty() || plain(out);
                    out.clear();
                    written?;
                    if !wanted {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            Inner::Zstd { decoder, out, complete } => {
                let mut taken = 0;
                loop {
                    // Small bites: what a failing call had decoded is lost.
                    let bite = data.get(taken..data.len().min(taken + PIECE)).unwrap_or_default();
                    let mut input = InBuffer::around(bite);
                    let mut output = OutBuffer::around(out.as_mut_slice());
                    let at_end = decoder.run(&mut input, &mut output)? == 0;
                    // A call that found nothing to do speaks of a frame that has not begun.
                    if input.pos() > 0 || !output.as_slice().is_empty() {
                        *complete = at_end;
                    }
                    taken += input.pos();
                    let (written, full) = (output.as_slice().len(), output.as_slice().len() == ZSTD_PIECE);
                    if written > 0 && !plain(out.get(..written).unwrap_or_default()) {
                        return Ok(false);
                    }
                    // Done when all was taken in and nothing is held back for want of room.
                    if taken == data.len() && !full {
                        return Ok(true);
                    }
                }
            }
            Inner::Snappy(decoder) => decoder.feed(data, plain),
        }
    }

    /// The body has ended: hands on what was left, or says that something is missing.
    pub fn finish(self, mut plain: impl FnMut(&[u8])) -> Result<()> {
        match self.inner {
            Inner::Identity => Ok(()),
            Inner::Gzip(mut decoder) => {
                let done = decoder.try_finish();
                let out = decoder.get_mut();
                if !out.is_empty() {
                    plain(out);
                }
                done
            }
            Inner::Zstd { complete: true, .. } => Ok(()),
            Inner::Zstd { .. } => Err(Error::new(ErrorKind::UnexpectedEof, "the zstd frame ends early")),
            Inner::Snappy(decoder) => decoder.finish(),
        }
    }
}
