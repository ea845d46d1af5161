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

/// How a call of [`Decoder::feed`] ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fed {
    /// All has been handed on.
    All,
    /// There is more to be had: call again.
    More,
    /// Whom it was handed to wants no more.
    Enough,
}

impl Fed {
    fn of(wanted: bool, more: bool) -> Fed {
        match (wanted, more) {
            (false, _) => Fed::Enough,
            (true, true) => Fed::More,
            (true, false) => Fed::All,
        }
    }
}

enum Inner {
    Identity,
    Gzip(Box<MultiGzDecoder<Vec<u8>>>),
    Zstd { decoder: Box<Zstd<'static>>, out: Vec<u8>, complete: bool },
    Snappy(Box<Snappy>),
}

/// How much is decoded before it is handed on, about.
const OUT: usize = 64 * 1024;
/// Gzip bytes taken at once. Deflate expands a thousandfold at most, so at most half a MiB comes of them.
const PIECE: usize = 512;
/// Zstandard bytes taken at once; a frame may expand without bound, so it is the output that is limited.
const ZSTD_BITE: usize = 4096;
/// Snappy bytes taken at once: they expand some twentyfold at most.
const SNAPPY_BITE: usize = 4096;
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
                Inner::Zstd { decoder: Box::new(decoder), out: vec![0; OUT], complete: false }
            }
            Encoding::Snappy => Inner::Snappy(Box::default()),
        };
        Ok(Decoder { inner })
    }

    /// Decodes a bounded piece of `data`, taking it off its front, and hands it on. To be called again while it
    /// says so: a few bytes may become millions, and between two pieces others have their turn.
    pub fn feed(&mut self, data: &mut &[u8], mut plain: impl FnMut(&[u8]) -> bool) -> Result<Fed> {
        match &mut self.inner {
            Inner::Identity => {
                let wanted = plain(data);
                *data = &[];
                Ok(Fed::of(wanted, false))
            }
            Inner::Gzip(decoder) => {
                let mut written = Ok(());
                while !data.is_empty() && written.is_ok() && decoder.get_ref().len() < OUT {
                    let (piece, rest) = data.split_at(data.len().min(PIECE));
                    *data = rest;
                    written = decoder.write_all(piece);
                }
                if written.is_err() {
                    // What came before the fault is still inside; this makes it come out, and fails again.
                    decoder.try_finish().unwrap_or_default();
                }
                let out = decoder.get_mut();
                let wanted = out.is_empty() || plain(out);
                out.clear();
                written?;
                Ok(Fed::of(wanted, !data.is_empty()))
            }
            Inner::Zstd { decoder, out, complete } => {
                // Small bites: what a failing call had decoded is lost.
                let bite = data.get(..data.len().min(ZSTD_BITE)).unwrap_or_default();
                let mut input = InBuffer::around(bite);
                let mut output = OutBuffer::around(out.as_mut_slice());
                let at_end = decoder.run(&mut input, &mut output)? == 0;
                let (taken, written) = (input.pos(), output.as_slice().len());
                // A call that found nothing to do speaks of a frame that has not begun.
                if taken > 0 || written > 0 {
                    *complete = at_end;
                }
                *data = data.get(taken..).unwrap_or_default();
                let wanted = written == 0 || plain(out.get(..written).unwrap_or_default());
                // Done when all was taken in and nothing is held back for want of room.
                Ok(Fed::of(wanted, !data.is_empty() || written == OUT))
            }
            Inner::Snappy(decoder) => {
                let (piece, rest) = data.split_at(data.len().min(SNAPPY_BITE));
                *data = rest;
                Ok(Fed::of(decoder.feed(piece, plain)?, !data.is_empty()))
            }
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
