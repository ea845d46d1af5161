//! Escalations that only count on.
//!
//! Under a flood every commit moves the count of every escalation that fires. Writing their rows for that would
//! cost more than all else of the commit, so what moved stands in the journal, and in the snapshot that ends it,
//! as absolute values. They only ever widen: whichever of row, snapshot and journal says most is right, in
//! whatever order they are read.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::{Deserialize, Serialize};

use super::{Desk, Escalation};

/// How far an escalation has counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Growth {
    pub id: u64,
    /// With the number it says which one is meant, should a number ever be given twice.
    pub opened_ms: i64,
    pub count: u64,
    pub first_ms: i64,
    pub last_ms: i64,
}

impl Growth {
    fn of(escalation: &Escalation) -> Growth {
        let Escalation { id, opened_ms, count, first_ms, last_ms, .. } = *escalation;
        Growth { id, opened_ms, count, first_ms, last_ms }
    }
}

/// What counted on without a change to its row.
#[derive(Default)]
pub(super) struct Growing {
    /// Since the last commit, as it was before.
    before: HashMap<u64, Growth>,
    /// In earlier commits: their rows say less than they know.
    unwritten: HashSet<u64>,
}

impl Growing {
    /// The commit is durable, and with it the rows of those that `changed`.
    pub(super) fn settled(&mut self, changed: &HashMap<u64, Option<Escalation>>) {
        self.unwritten.extend(self.before.drain().map(|(id, _)| id));
        for id in changed.keys() {
            self.unwritten.remove(id);
        }
    }

    /// The commit failed. After whole escalations were taken back: one that grew before it changed was taken
    /// back only to where it had grown.
    pub(super) fn take_back(&mut self, by_id: &mut BTreeMap<u64, Escalation>) {
        for (id, before) in self.before.drain() {
            if let Some(escalation) = by_id.get_mut(&id) {
                (escalation.count, escalation.first_ms, escalation.last_ms) =
                    (before.count, before.first_ms, before.last_ms);
            }
        }
    }
}

impl Desk {
    /// For a change of the count and its times, and of nothing else.
    pub(super) fn grow(&mut self, id: u64) -> Option<&mut Escalation> {
        let escalation = self.by_id.get_mut(&id)?;
        if !self.before.contains_key(&id) {
            self.growing.before.entry(id).or_insert_with(|| Growth::of(escalation));
        }
        Some(escalation)
    }

    /// What the next commit must journal: those that grew and whose rows it does not write.
    pub fn grown(&self) -> Vec<Growth> {
        self.growths(self.growing.before.keys().filter(|id| !self.before.contains_key(id)))
    }

    /// What a snapshot must hold, since the journal goes that said it.
    pub fn unwritten(&self) -> Vec<Growth> {
        self.growths(self.growing.unwritten.iter())
    }

    fn growths<'a>(&self, ids: impl Iterator<Item = &'a u64>) -> Vec<Growth> {
        let mut grown: Vec<Growth> = ids.filter_map(|id| self.by_id.get(id)).map(Growth::of).collect();
        grown.sort_unstable_by_key(|growth| growth.id);
        grown
    }

    /// After a restart: what journal or snapshot say. Older than the row or newer, it adds what the row lacks.
    pub fn grew(&mut self, growth: Growth) {
        let Some(escalation) = self.by_id.get_mut(&growth.id) else { return };
        if escalation.opened_ms != growth.opened_ms {
            return;
        }
        escalation.count = escalation.count.max(growth.count);
        escalation.first_ms = escalation.first_ms.min(growth.first_ms);
        escalation.last_ms = escalation.last_ms.max(growth.last_ms);
        self.growing.unwritten.insert(growth.id);
    }
}
