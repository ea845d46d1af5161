//! Readers that outlive their requests, with the shapes of lines that they have learnt.
//!
//! The same senders come again, and a request of a few dozen lines has hardly begun to repeat itself. What a reader
//! remembers changes nothing of what it reads, so any request may have any of them.

use std::sync::{Mutex, PoisonError};

use crate::record::Reader;

/// Readers kept: as many requests as are usually read at once. Each holds 256 KiB of shapes at the most.
const KEPT_MAX: usize = 8;
/// Bytes of its buffers beyond which a reader is not kept: it has read a line that was far longer than usual.
const SIZE_MAX: usize = 256 * 1024;

/// A plain lock: held for a push or a pop. The one used last is taken first.
static KEPT: Mutex<Vec<Reader>> = Mutex::new(Vec::new());

pub(super) fn take() -> Reader {
    let kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner).pop();
    kept.unwrap_or_else(Reader::of_many)
}

/// For another request.
pub(super) fn keep(reader: Reader) {
    if reader.size() > SIZE_MAX {
        return;
    }
    let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    if kept.len() < KEPT_MAX {
        kept.push(reader);
    }
}
