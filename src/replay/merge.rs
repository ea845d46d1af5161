//! Several streams as one, by time: the earliest line first, of equal ones that of the earlier stream, and each
//! stream's own lines in their own order, whatever their times.
//!
//! Only the head of each stream is held. A stream is opened when its first line is due, so that a month of files costs
//! no more than a few at a time; where too many are due at once, the next waits until one has ended.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Streams open at once.
pub const OPEN_MAX: usize = 128;

/// What is merged.
pub trait Stream {
    /// The time of its next line; `None`: it has ended.
    fn time(&mut self) -> Option<i64>;
}

/// Streams that are not open yet, by the time of their first lines.
pub struct Merge<S> {
    /// Latest first: the end is next.
    closed: Vec<(i64, usize)>,
    open: Vec<Option<S>>,
    heads: BinaryHeap<Reverse<(i64, usize)>>,
    /// Streams that began later than their time, for want of room.
    pub held_up: u64,
    most: usize,
}

impl<S: Stream> Merge<S> {
    /// `firsts`: the time of each stream's first line; `None`: it has none.
    pub fn new(firsts: &[Option<i64>], most: usize) -> Merge<S> {
        let mut closed: Vec<(i64, usize)> =
            firsts.iter().enumerate().filter_map(|(place, first)| Some(((*first)?, place))).collect();
        closed.sort_unstable_by_key(|first| Reverse(*first));
        let open = firsts.iter().map(|_| None).collect();
        Merge { closed, open, heads: BinaryHeap::new(), held_up: 0, most: most.max(1) }
    }

    /// The stream whose line is next, and that line's time. `begin`: opens one.
    pub fn next(&mut self, mut begin: impl FnMut(usize) -> Option<S>) -> Option<(usize, i64)> {
        while let Some((first, place)) = self.closed.last().copied() {
            let due = self.heads.peek().is_none_or(|Reverse(head)| (first, place) <= *head);
            if !due {
                break;
            }
            if self.heads.len() >= self.most {
                self.held_up += 1;
                break;
            }
            self.closed.pop();
            let Some(mut stream) = begin(place) else { continue };
            if let Some(time) = stream.time() {
                self.heads.push(Reverse((time, place)));
                if let Some(slot) = self.open.get_mut(place) {
                    *slot = Some(stream);
                }
            }
        }
        let Reverse((time, place)) = *self.heads.peek()?;
        Some((place, time))
    }

    pub fn stream(&mut self, place: usize) -> Option<&mut S> {
        self.open.get_mut(place)?.as_mut()
    }

    /// Its line was taken. Hands the stream back when it has ended.
    pub fn passed(&mut self, place: usize) -> Option<S> {
        let slot = self.open.get_mut(place)?;
        let next = slot.as_mut()?.time();
        let head = self.heads.peek_mut()?;
        match next {
            Some(time) => {
                let mut head = head;
                *head = Reverse((time, place));
                None
            }
            None => {
                std::collections::binary_heap::PeekMut::pop(head);
                slot.take()
            }
        }
    }

    /// Streams that are open.
    pub fn open(&mut self) -> impl Iterator<Item = &mut S> {
        self.open.iter_mut().flatten()
    }

    pub fn into_open(self) -> Vec<S> {
        self.open.into_iter().flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    struct Times(Vec<i64>, usize);

    impl Stream for Times {
        fn time(&mut self) -> Option<i64> {
            self.0.get(self.1).copied()
        }
    }

    fn merged(streams: &[Vec<i64>], most: usize) -> Vec<(usize, i64)> {
        let firsts: Vec<Option<i64>> = streams.iter().map(|s| s.first().copied()).collect();
        let mut merge: Merge<Times> = Merge::new(&firsts, most);
        let mut out = Vec::new();
        while let Some((place, time)) = merge.next(|place| Some(Times(streams[place].clone(), 0))) {
            out.push((place, time));
            merge.stream(place).expect("open").1 += 1;
            merge.passed(place);
        }
        out
    }

    /// Looks at every head each time.
    fn naive(streams: &[Vec<i64>]) -> Vec<(usize, i64)> {
        let mut at = vec![0; streams.len()];
        let mut out = Vec::new();
        while let Some((time, place)) =
            streams.iter().enumerate().filter_map(|(place, s)| Some((*s.get(at[place])?, place))).min()
        {
            out.push((place, time));
            at[place] += 1;
        }
        out
    }

    #[test]
    fn with_room_for_one_streams_follow_one_another() {
        assert_eq!(merged(&[vec![1, 5], vec![2, 3]], 1), [(0, 1), (0, 5), (1, 2), (1, 3)]);
        assert_eq!(merged(&[vec![1, 5], vec![2, 3]], 2), [(0, 1), (1, 2), (1, 3), (0, 5)]);
    }

    proptest! {
        #[test]
        fn merged_streams_are_as_whoever_looks_at_every_head_has_them(
            streams in prop::collection::vec(prop::collection::vec(-5i64..30, 0..12), 0..8),
        ) {
            prop_assert_eq!(merged(&streams, 100), naive(&streams));
        }

        #[test]
        fn nothing_is_lost_however_little_room_there_is(
            streams in prop::collection::vec(prop::collection::vec(0i64..30, 0..12), 0..8), most in 1usize..4,
        ) {
            let mut some = merged(&streams, most);
            for (place, stream) in streams.iter().enumerate() {
                let own: Vec<i64> = some.iter().filter(|(p, _)| *p == place).map(|(_, t)| *t).collect();
                prop_assert_eq!(&own, stream, "in its own order");
            }
            let mut all = naive(&streams);
            some.sort_unstable();
            all.sort_unstable();
            prop_assert_eq!(some, all);
        }
    }
}
