//! Undoes `Content-Encoding` as the body arrives, in bounded pieces: a bomb costs its own time, no memory.

use std::io::Write;

use flate2::write::MultiGzDecoder;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    Identity,
    /// One member or several.
    Gzip,
}

pub struct Decoder {
    inner: Inner,
}

enum Inner {
    Identity,
    Gzip(Box<MultiGzDecoder<Vec<u8>>>),
}

/// Compressed bytes taken at once. Deflate expands a thousandfold at most, so at most 4 MiB come of them.
const PIECE: usize = 4096;

impl Encoding {
    pub fn from_name(name: &str) -> Option<Encoding> {
        match name {
            "" | "identity" => Some(Encoding::Identity),
            "gzip" | "x-gzip" => Some(Encoding::Gzip),
            _ => None,
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Encoding::Identity => "identity",
            Encoding::Gzip => "gzip",
        }
    }
}

impl Decoder {
    pub fn new(encoding: Encoding) -> Decoder {
        let inner = match encoding {
            Encoding::Identity => Inner::Identity,
            Encoding::Gzip => Inner::Gzip(Box::new(MultiGzDecoder::new(Vec::new()))),
        };
        Decoder { inner }
    }

    /// Hands on what `data` decodes to; stops early, with `false`, when `plain` says so.
    pub fn feed(&mut self, data: &[u8], mut plain: impl FnMut(&[u8]) -> bool) -> std::io::Result<bool> {
        match &mut self.inner {
            Inner::Identity => Ok(plain(data)),
            Inner::Gzip(decoder) => {
                for piece in data.chunks(PIECE) {
                    let written = decoder.write_all(piece);
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
        }
    }

    /// The body has ended: hands on what was left, or says that something is missing.
    pub fn finish(self, mut plain: impl FnMut(&[u8])) -> std::io::Result<()> {
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
        }
    }
}
