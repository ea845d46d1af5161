//! Which kind of message a message is: the unit of novelty.
//!
//! A [`Miner`] masks what varies in a message ([`mask`]) and finds the template it is one of, or makes a new one. Templates
//! are kept apart by the caller's group (cluster, service, shape) and by the number of tokens. Three promises
//! rule it:
//!
//! - messages of one kind get one template: values that no mask knows are found where messages differ in places where
//!   values stand, or in one word of which there are many;
//! - kinds of failure stay apart: a word that tells how something ended ([`words`]) is never a value, not even where
//!   anything else is; and messages that differ in two plain words are two kinds;
//! - everything is bounded: templates in all (the least recently used go), of one group, of one number of tokens, the
//!   looked-at part of a message.
//!
//! Two templates may turn out to be one. The older one's id then stands for both, see [`Miner::resolve`].

pub mod mask;
mod recent;
mod shelf;
mod snapshot;
mod token;
mod words;

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use mask::Masked;
use shelf::{Shelf, Template};
pub use snapshot::{Saved, Snapshot};
use token::{Difference, Token, difference};

#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Templates in all. A template takes 200 bytes and 40 for each of its tokens, and its text.
    pub max_templates: usize,
    /// Groups in all; the one longest unused goes.
    pub max_groups: usize,
    /// Templates of one group, so that none pushes out all others: the least recently used goes.
    pub max_group_templates: usize,
    /// Templates of one group with equally many tokens. Further messages share templates that keep nothing but the words
    /// that tell how something ended.
    pub max_children: usize,
    /// Tokens of a message that are looked at.
    pub max_tokens: usize,
    /// The share of words two messages must have in common to be one template, 0 to 1.
    pub similarity: f32,
    /// Of the hashes of messages: secret and random, it keeps others from making two that share one.
    pub seed: u64,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            max_templates: 20_000,
            max_groups: 2_000,
            max_group_templates: 4_000,
            max_children: 256,
            max_tokens: 48,
            similarity: 0.5,
            seed: 0,
        }
    }
}

/// Never used again for another template, also over a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TemplateId(pub u64);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Learned {
    pub id: TemplateId,
    /// Nothing of this kind was held before.
    pub new: bool,
    /// The template covers more messages than before.
    pub widened: bool,
}

/// What is known of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    pub id: TemplateId,
    pub group: u64,
    /// With placeholders: `user <*> from <ip>`.
    pub text: String,
    /// Messages learned.
    pub count: u64,
}

/// A message seen lately, by the hash of its masked form, and where its template stood.
#[derive(Clone, Copy)]
struct Seen {
    hash: u64,
    id: TemplateId,
    slot: u32,
}

pub struct Miner {
    settings: Settings,
    masked: Masked,
    tokens: Vec<Token>,
    /// Slots by hash, each for the latest message that fell there: most messages end here.
    seen: Vec<Seen>,
    /// Templates of one group and number of tokens.
    leaves: HashMap<(u64, u32), Vec<u32>>,
    /// Templates that are their text, by group and its hash.
    exact: HashMap<(u64, u64), u32>,
    shelf: Shelf,
    changes: u64,
}

/// An id that is never given.
const NOBODY: TemplateId = TemplateId(0);

/// Messages remembered with their templates, 24 bytes each.
const MAX_SEEN: usize = 1 << 16;

impl Miner {
    pub fn new(settings: Settings) -> Miner {
        let seen = settings.max_templates.saturating_mul(4).clamp(64, MAX_SEEN).next_power_of_two();
        Miner {
            settings,
            masked: Masked::default(),
            tokens: Vec::new(),
            seen: vec![Seen { hash: 0, id: NOBODY, slot: 0 }; seen],
            leaves: HashMap::new(),
            exact: HashMap::new(),
            shelf: Shelf::default(),
            changes: 0,
        }
    }

    /// Finds the template of a message, or makes one.
    pub fn learn(&mut self, group: u64, message: &str) -> Learned {
        self.masked.mask(message.as_bytes(), self.settings.max_tokens);
        let hash = xxh3_64_with_seed(self.masked.as_bytes(), self.settings.seed ^ group);
        let at = hash as usize & (self.seen.len() - 1);
        if let Some(seen) = self.seen.get(at)
            && seen.hash == hash
            && self.shelf.used(seen.slot, seen.id, group)
        {
            return Learned { id: seen.id, new: false, widened: false };
        }
        let mut tokens = std::mem::take(&mut self.tokens);
        tokens.clear();
        tokens.extend(split(self.masked.as_bytes()).map(Token::of));
        let learned = self.place(group, &tokens);
        self.tokens = tokens;
        let (slot, learned) = learned;
        if let Some(seen) = self.seen.get_mut(at) {
            *seen = Seen { hash, id: learned.id, slot };
        }
        learned
    }

    /// The same where the caller knows what makes the kind: a method, a status and a masked path; an exception's type and
    /// its topmost frames. The text is the template, cut at [`mask::MAX_BYTES`].
    pub fn learn_exact(&mut self, group: u64, key_text: &str) -> Learned {
        let text = clean(key_text);
        let key = (group, self.exact_hash(text.as_bytes()));
        if let Some(slot) = self.exact.get(&key)
            && let Some(id) = self.shelf.id(*slot)
        {
            self.shelf.used(*slot, id, group);
            return Learned { id, new: false, widened: false };
        }
        let slot = self.add(Template::exact(group, text.into_bytes(), key.1));
        self.exact.insert(key, slot);
        self.learned(slot, true, false)
    }

    /// A message of this template came that nobody had to look at: it is in use.
    pub fn touch(&mut self, id: TemplateId) {
        if let Some(id) = self.resolve(id) {
            self.shelf.touch(id);
        }
    }

    /// Grows whenever what a snapshot says, counts aside, has changed.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// The text of a template, unless it is forgotten.
    pub fn template(&self, id: TemplateId) -> Option<String> {
        self.shelf.find(self.resolve(id)?).map(Template::readable)
    }

    pub fn get(&self, id: TemplateId) -> Option<View> {
        self.shelf.find(self.resolve(id)?).map(Template::view)
    }

    /// The id that stands for `id` now: its own, or that of the template which it turned out to be one with.
    /// `None`: forgotten.
    pub fn resolve(&self, id: TemplateId) -> Option<TemplateId> {
        self.shelf.resolve(id)
    }

    /// All templates, the least recently used first.
    pub fn views(&self) -> impl Iterator<Item = View> + '_ {
        self.shelf.oldest_first().map(Template::view)
    }

    pub fn len(&self) -> usize {
        self.shelf.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn exact_hash(&self, text: &[u8]) -> u64 {
        xxh3_64_with_seed(text, !self.settings.seed)
    }

    fn learned(&self, slot: u32, new: bool, widened: bool) -> Learned {
        Learned { id: self.shelf.id(slot).unwrap_or(NOBODY), new, widened }
    }

    /// Finds the template of these tokens among those of as many.
    fn place(&mut self, group: u64, tokens: &[Token]) -> (u32, Learned) {
        let leaf = self.leaves.get(&(group, tokens.len() as u32)).map_or(&[][..], Vec::as_slice);
        let found = search(&self.shelf, leaf, tokens, self.settings.similarity);
        let full = leaf.len() >= self.settings.max_children;
        match found {
            Found::Covered(slot) => {
                self.soften(slot, tokens);
                (slot, self.use_again(slot, group, false))
            }
            Found::Widen(slots) => {
                let slot = self.widen(group, &slots, tokens);
                (slot, self.use_again(slot, group, true))
            }
            Found::New if full => self.crowded(group, tokens),
            Found::New => {
                let text = self.masked.as_bytes().to_vec();
                let slot = self.shelve(Template::mined(group, text));
                (slot, self.learned(slot, true, false))
            }
        }
    }

    fn use_again(&mut self, slot: u32, group: u64, widened: bool) -> Learned {
        let learned = self.learned(slot, false, widened);
        self.shelf.used(slot, learned.id, group);
        learned
    }

    /// Where a leaf has no room: everything is a value but the words that tell how something ended.
    fn crowded(&mut self, group: u64, tokens: &[Token]) -> (u32, Learned) {
        let any = [mask::Kind::Any.byte()];
        let words: Vec<&[u8]> =
            split(self.masked.as_bytes()).zip(tokens).map(|(bytes, t)| t.alarm_word(bytes).unwrap_or(&any)).collect();
        let text = words.join(&b' ');
        let hash = self.exact_hash(&text);
        if let Some(slot) = self.exact.get(&(group, hash)).copied() {
            return (slot, self.use_again(slot, group, false));
        }
        let slot = self.add(Template::exact(group, text, hash));
        self.exact.insert((group, hash), slot);
        (slot, self.learned(slot, true, false))
    }

    /// Makes room for a template and puts it onto the shelf.
    fn add(&mut self, template: Template) -> u32 {
        self.changes += 1;
        let group = template.group();
        if !self.shelf.has_group(group)
            && self.shelf.groups() >= self.settings.max_groups
            && let Some(idle) = self.shelf.idle_group()
        {
            while let Some(slot) = self.shelf.oldest_of(idle) {
                self.remove(slot);
            }
        }
        while self.shelf.len_of(group) >= self.settings.max_group_templates.max(1)
            && let Some(slot) = self.shelf.oldest_of(group)
        {
            self.remove(slot);
        }
        while self.shelf.len() >= self.settings.max_templates.max(1)
            && let Some(slot) = self.shelf.oldest()
        {
            self.remove(slot);
        }
        self.shelf.add(template)
    }

    fn shelve(&mut self, template: Template) -> u32 {
        let leaf = (template.group(), template.tokens().len() as u32);
        let slot = self.add(template);
        self.leaves.entry(leaf).or_default().push(slot);
        slot
    }

    fn remove(&mut self, slot: u32) {
        let Some(template) = self.shelf.remove(slot) else { return };
        self.changes += 1;
        if let Some(hash) = template.exact_hash() {
            self.exact.remove(&(template.group(), hash));
            return;
        }
        let leaf = (template.group(), template.tokens().len() as u32);
        if let Some(slots) = self.leaves.get_mut(&leaf) {
            if let Some(at) = slots.iter().position(|s| *s == slot) {
                slots.swap_remove(at);
            }
            if slots.is_empty() {
                self.leaves.remove(&leaf);
            }
        }
    }

    /// Makes one template of several and a message, under the oldest id. Templates it covers then are taken in too.
    fn widen(&mut self, group: u64, slots: &[u32], tokens: &[Token]) -> u32 {
        self.changes += 1;
        let oldest = slots.iter().copied().min_by_key(|slot| self.shelf.id(*slot)).unwrap_or_default();
        if let Some(template) = self.shelf.get_mut(oldest) {
            template.widen(tokens);
        }
        for slot in slots.iter().copied().filter(|slot| *slot != oldest) {
            self.unite(slot, oldest);
        }
        let leaf = self.leaves.get(&(group, tokens.len() as u32)).map_or(&[][..], Vec::as_slice);
        let covered: Vec<u32> = match self.shelf.get(oldest) {
            None => Vec::new(),
            Some(wide) => leaf
                .iter()
                .copied()
                .filter(|slot| *slot != oldest)
                .filter(|slot| self.shelf.get(*slot).is_some_and(|other| wide.covers(other)))
                .collect(),
        };
        for slot in covered {
            self.unite(slot, oldest);
        }
        oldest
    }

    fn unite(&mut self, slot: u32, with: u32) {
        let Some(from) = self.shelf.get(slot) else { return };
        let (id, count, tokens) = (from.id(), from.count(), from.tokens().to_vec());
        let Some(into) = self.shelf.get_mut(with) else { return };
        into.take_in(&tokens, count);
        let survivor = into.id();
        self.remove(slot);
        self.shelf.united(id, survivor, self.settings.max_templates);
    }

    /// A value was of another type than so far: its placeholder no longer says one.
    fn soften(&mut self, slot: u32, tokens: &[Token]) {
        if let Some(template) = self.shelf.get_mut(slot)
            && template.soften(tokens)
        {
            self.changes += 1;
        }
    }
}

/// The tokens of a masked text.
fn split(masked: &[u8]) -> impl Iterator<Item = &[u8]> {
    masked.split(|b| *b == b' ').filter(|token| !token.is_empty())
}

/// No placeholder can be written by who sends; a space for each control character.
fn clean(text: &str) -> String {
    let mut cut = text.len().min(mask::MAX_BYTES);
    while !text.is_char_boundary(cut) {
        cut -= 1;
    }
    text.get(..cut).unwrap_or_default().chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

enum Found {
    /// A template covers the message.
    Covered(u32),
    /// These become one.
    Widen(Vec<u32>),
    New,
}

/// The template of a leaf that a message is one of, or that it shows to be wider.
fn search(shelf: &Shelf, leaf: &[u32], tokens: &[Token], similarity: f32) -> Found {
    let (mut covered, mut widened) = (None, None);
    // Templates that differ in one word, with its place, the number that is needed there, and the word itself.
    let mut alike: Vec<(usize, usize, u32, u64)> = Vec::new();
    let similar = |equal: u32, differ: u32| equal > 0 && equal as f32 >= similarity * (equal + differ) as f32;
    for slot in leaf {
        let Some(template) = shelf.get(*slot) else { continue };
        match difference(template.tokens(), tokens) {
            Difference::Another => {}
            Difference::None { equal } => covered = covered.max(Some((equal, std::cmp::Reverse(template.id()), *slot))),
            Difference::Values { equal, differ } if similar(equal, differ) => {
                widened = widened.max(Some((equal, std::cmp::Reverse(template.id()), *slot)));
            }
            Difference::Word { at, needs, equal, differ } if similar(equal, differ + 1) => {
                alike.push((at, needs, *slot, template.tokens().get(at).map_or(0, Token::hash)));
            }
            Difference::Values { .. } | Difference::Word { .. } => {}
        }
    }
    if let Some((_, _, slot)) = covered {
        return Found::Covered(slot);
    }
    if let Some((_, _, slot)) = widened {
        return Found::Widen(vec![slot]);
    }
    alike.sort_unstable_by_key(|(at, _, _, word)| (*at, *word));
    for place in alike.chunk_by(|a, b| a.0 == b.0) {
        let words = place.chunk_by(|a, b| a.3 == b.3).count();
        let needs = place.iter().map(|(_, needs, _, _)| *needs).max().unwrap_or(usize::MAX);
        // The message's own word is one more.
        if words + 1 >= needs {
            return Found::Widen(place.iter().map(|(_, _, slot, _)| *slot).collect());
        }
    }
    Found::New
}

#[cfg(test)]
mod tests;
