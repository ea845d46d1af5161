//! Cuts a body into lines as its frames arrive.
//!
//! A line that lies whole within a frame is handed on as a view of that frame, copied nowhere; only the
//! piece that crosses a frame border is carried. Each byte is searched for a newline once, however the
//! network cuts the body. A line longer than the cap is handed on as its head, flagged, and the rest of it
//! is dropped up to its newline, so memory stays bounded before any newline has come.

/// One line, without its newline (a `\r` before it stays: JSON reads it as blank).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    pub bytes: &'a [u8],
    /// The line was longer than the cap; `bytes` is its head.
    pub cut: bool,
}

pub struct Lines {
    /// The beginning of a line whose newline has not come: no newline in it, `carried.len() <= cap`.
    carried: Vec<u8>,
    /// The head of the current line was handed on already; everything up to its newline is dropped.
    dropping: bool,
    /// Most bytes of a line that are kept.
    cap: usize,
}

impl Lines {
    pub fn new(cap: usize) -> Self {
        Lines { carried: Vec::new(), dropping: false, cap }
    }

    /// Takes the next bytes of the body and hands on every line that they complete.
    pub fn feed(&mut self, frame: &[u8], mut on_line: impl FnMut(Line<'_>)) {
        let mut start = 0;
        for newline in memchr::memchr_iter(b'\n', frame) {
            let piece = frame.get(start..newline).unwrap_or_default();
            start = newline + 1;
            if std::mem::take(&mut self.dropping) {
                continue;
            }
            if self.carried.is_empty() {
                on_line(capped(piece, self.cap));
                continue;
            }
            keep(&mut self.carried, piece, self.cap);
            // More than the cap can only be here for a moment: `keep` keeps one byte over to tell.
            on_line(capped(&self.carried, self.cap));
            self.carried.clear();
        }
        let open = frame.get(start..).unwrap_or_default();
        if self.dropping || open.is_empty() {
            return;
        }
        keep(&mut self.carried, open, self.cap);
        if self.carried.len() > self.cap {
            on_line(capped(&self.carried, self.cap));
            self.carried.clear();
            self.dropping = true;
        }
    }

    /// The body has ended: a last line without a newline is a line all the same.
    pub fn finish(&mut self, mut on_line: impl FnMut(Line<'_>)) {
        if !self.carried.is_empty() {
            on_line(capped(&self.carried, self.cap));
            self.carried.clear();
        }
        self.dropping = false;
    }
}

/// Adds to a record that is not complete what the cap allows and one byte more, which is how a cut is known.
pub(super) fn keep(held: &mut Vec<u8>, piece: &[u8], cap: usize) {
    let room = (cap + 1).saturating_sub(held.len());
    held.extend_from_slice(piece.get(..room.min(piece.len())).unwrap_or_default());
}

/// A whole record, or the head of one that is longer than the cap.
pub(super) fn capped(bytes: &[u8], cap: usize) -> Line<'_> {
    match bytes.get(..cap) {
        Some(head) if bytes.len() > cap => Line { bytes: head, cut: true },
        _ => Line { bytes, cut: false },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn split(frames: &[&[u8]], cap: usize) -> Vec<(Vec<u8>, bool)> {
        let mut out = Vec::new();
        let mut lines = Lines::new(cap);
        for frame in frames {
            lines.feed(frame, |l| out.push((l.bytes.to_vec(), l.cut)));
            assert!(lines.carried.len() <= cap, "the carried part obeys the cap after every frame");
        }
        lines.finish(|l| out.push((l.bytes.to_vec(), l.cut)));
        out
    }

    /// The whole body at once, by the standard library.
    fn naive(body: &[u8], cap: usize) -> Vec<(Vec<u8>, bool)> {
        let mut pieces: Vec<&[u8]> = body.split(|b| *b == b'\n').collect();
        if pieces.last().is_some_and(|last| last.is_empty()) {
            pieces.pop();
        }
        pieces.iter().map(|p| (p[..p.len().min(cap)].to_vec(), p.len() > cap)).collect()
    }

    #[test]
    fn a_final_newline_makes_no_line_and_a_blank_piece_is_one() {
        let one = |s: &str| (s.as_bytes().to_vec(), false);
        assert_eq!(split(&[b"a\nb\n"], 9), [one("a"), one("b")]);
        assert_eq!(split(&[b"a\n\n", b"\nb"], 9), [one("a"), one(""), one(""), one("b")]);
        assert_eq!(split(&[b""], 9), []);
    }

    #[test]
    fn a_line_without_end_is_cut_once_and_the_next_one_is_whole() {
        assert_eq!(
            split(&[b"0123", b"4567", b"89", b"ab\nnext\n"], 5),
            [(b"01234".to_vec(), true), (b"next".to_vec(), false)]
        );
    }

    proptest! {
        #[test]
        fn any_chunking_gives_the_lines_of_the_whole_body(
            body in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b'x'), any::<u8>()], 0..300),
            cuts in proptest::collection::vec(0usize..300, 0..12),
            cap in 1usize..40,
        ) {
            let mut cuts: Vec<usize> = cuts.into_iter().map(|c| c.min(body.len())).collect();
            cuts.sort_unstable();
            let mut frames = Vec::new();
            let mut from = 0;
            for cut in cuts { frames.push(&body[from..cut]); from = cut; }
            frames.push(&body[from..]);
            prop_assert_eq!(split(&frames, cap), naive(&body, cap));
        }
    }
}
