//! Lists of slots in the order of use, each operation of constant time.

const END: u32 = u32::MAX;

/// Neighbours of every slot in one kind of list; a slot is in at most one of them.
#[derive(Debug, Default)]
pub(super) struct Links(Vec<[u32; 2]>);

/// The most recent first.
#[derive(Debug)]
pub(super) struct List {
    first: u32,
    last: u32,
    length: usize,
}

impl Default for List {
    fn default() -> List {
        List { first: END, last: END, length: 0 }
    }
}

impl Links {
    fn neighbours(&self, slot: u32) -> [u32; 2] {
        self.0.get(slot as usize).copied().unwrap_or([END, END])
    }

    fn set(&mut self, slot: u32, side: usize, to: u32) {
        if let Some(link) = self.0.get_mut(slot as usize).and_then(|l| l.get_mut(side)) {
            *link = to;
        }
    }
}

impl List {
    pub(super) fn len(&self) -> usize {
        self.length
    }

    /// The one longest unused.
    pub(super) fn oldest(&self) -> Option<u32> {
        (self.last != END).then_some(self.last)
    }

    pub(super) fn push(&mut self, links: &mut Links, slot: u32) {
        if links.0.len() <= slot as usize {
            links.0.resize(slot as usize + 1, [END, END]);
        }
        links.set(slot, 0, END);
        links.set(slot, 1, self.first);
        if self.first == END {
            self.last = slot;
        } else {
            links.set(self.first, 0, slot);
        }
        self.first = slot;
        self.length += 1;
    }

    /// `slot` must be in this list.
    pub(super) fn remove(&mut self, links: &mut Links, slot: u32) {
        let [before, after] = links.neighbours(slot);
        if before == END {
            self.first = after;
        } else {
            links.set(before, 1, after);
        }
        if after == END {
            self.last = before;
        } else {
            links.set(after, 0, before);
        }
        self.length = self.length.saturating_sub(1);
    }

    /// `slot`, which is in this list, was used just now.
    pub(super) fn touch(&mut self, links: &mut Links, slot: u32) {
        if self.first != slot {
            self.remove(links, slot);
            self.push(links, slot);
        }
    }

    /// From the oldest to the newest.
    pub(super) fn oldest_first<'a>(&self, links: &'a Links) -> impl Iterator<Item = u32> + 'a {
        let mut next = self.last;
        std::iter::from_fn(move || {
            let slot = next;
            next = links.neighbours(slot)[0];
            (slot != END).then_some(slot)
        })
    }
}
