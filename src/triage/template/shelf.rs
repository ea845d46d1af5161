//! Where templates are kept: by slot and by id, in the order of use, in all and by group.

use std::collections::{HashMap, VecDeque};

use super::mask::{self, Kind, is_placeholder};
use super::recent::{Links, List};
use super::token::Token;
use super::{TemplateId, View, split};

#[derive(Debug)]
pub(super) struct Template {
    id: TemplateId,
    group: u64,
    /// Masked.
    text: Vec<u8>,
    tokens: Vec<Token>,
    count: u64,
    /// Of one that is its text and covers nothing else.
    exact: Option<u64>,
}

impl Template {
    pub(super) fn mined(group: u64, text: Vec<u8>) -> Template {
        let tokens = split(&text).map(Token::of).collect();
        Template { id: TemplateId(0), group, text, tokens, count: 1, exact: None }
    }

    pub(super) fn exact(group: u64, text: Vec<u8>, hash: u64) -> Template {
        Template { id: TemplateId(0), group, text, tokens: Vec::new(), count: 1, exact: Some(hash) }
    }

    pub(super) fn restored(self, id: TemplateId, count: u64) -> Template {
        Template { id, count, ..self }
    }

    pub(super) fn id(&self) -> TemplateId {
        self.id
    }

    pub(super) fn group(&self) -> u64 {
        self.group
    }

    pub(super) fn count(&self) -> u64 {
        self.count
    }

    pub(super) fn text(&self) -> &[u8] {
        &self.text
    }

    pub(super) fn tokens(&self) -> &[Token] {
        &self.tokens
    }

    pub(super) fn exact_hash(&self) -> Option<u64> {
        self.exact
    }

    pub(super) fn readable(&self) -> String {
        mask::readable(&self.text)
    }

    pub(super) fn view(&self) -> View {
        View { id: self.id, group: self.group, text: self.readable(), count: self.count }
    }

    /// Whether every message of `other` is one of this.
    pub(super) fn covers(&self, other: &Template) -> bool {
        self.tokens.len() == other.tokens.len()
            && self.tokens.iter().zip(&other.tokens).all(|(wide, token)| wide.covers(token))
    }

    /// Where a message's token differs, anything may stand from now on.
    pub(super) fn widen(&mut self, message: &[Token]) {
        self.rewrite(message, |own, other| (own.hash() != other.hash()).then(|| vec![Kind::Any.byte()]));
        self.soften(message);
    }

    pub(super) fn take_in(&mut self, tokens: &[Token], count: u64) {
        self.widen(tokens);
        self.count = self.count.saturating_add(count);
    }

    /// Where values were of two types, their placeholder says none.
    /// Whether that was so.
    pub(super) fn soften(&mut self, message: &[Token]) -> bool {
        let differs = |(own, other): (&Token, &Token)| own.hash() == other.hash() && !own.same_typed(other);
        if !self.tokens.iter().zip(message).any(differs) {
            return false;
        }
        let text = std::mem::take(&mut self.text);
        let mut tokens = split(&text).zip(self.tokens.iter().zip(message)).map(|(bytes, (own, other))| {
            if differs((own, other)) {
                bytes.iter().map(|b| if is_placeholder(*b) { Kind::Any.byte() } else { *b }).collect()
            } else {
                bytes.to_vec()
            }
        });
        self.text = tokens.by_ref().collect::<Vec<Vec<u8>>>().join(&b' ');
        self.tokens = split(&self.text).map(Token::of).collect();
        true
    }

    fn rewrite(&mut self, message: &[Token], change: impl Fn(&Token, &Token) -> Option<Vec<u8>>) {
        let text = std::mem::take(&mut self.text);
        let tokens: Vec<Vec<u8>> = split(&text)
            .zip(self.tokens.iter().zip(message))
            .map(|(bytes, (own, other))| change(own, other).unwrap_or_else(|| bytes.to_vec()))
            .collect();
        self.text = tokens.join(&b' ');
        self.tokens = split(&self.text).map(Token::of).collect();
    }
}

#[derive(Debug, Default)]
struct Group {
    list: List,
    /// When it was last used, in uses.
    used: u64,
}

#[derive(Debug, Default)]
pub(super) struct Shelf {
    slots: Vec<Option<Template>>,
    free: Vec<u32>,
    by_id: HashMap<TemplateId, u32>,
    groups: HashMap<u64, Group>,
    all: List,
    in_all: Links,
    in_group: Links,
    uses: u64,
    last_id: u64,
    /// Ids of templates that turned out to be others, the longest united first.
    united: HashMap<TemplateId, TemplateId>,
    united_order: VecDeque<TemplateId>,
}

impl Shelf {
    /// Gives the template an id unless it has one.
    pub(super) fn add(&mut self, mut template: Template) -> u32 {
        if template.id.0 == 0 {
            self.last_id += 1;
            template.id = TemplateId(self.last_id);
        }
        self.last_id = self.last_id.max(template.id.0);
        self.uses += 1;
        let (id, group) = (template.id, template.group);
        let slot = match self.free.pop() {
            Some(slot) => {
                if let Some(place) = self.slots.get_mut(slot as usize) {
                    *place = Some(template);
                }
                slot
            }
            None => {
                self.slots.push(Some(template));
                (self.slots.len() - 1) as u32
            }
        };
        self.by_id.insert(id, slot);
        self.all.push(&mut self.in_all, slot);
        let group = self.groups.entry(group).or_default();
        group.list.push(&mut self.in_group, slot);
        group.used = self.uses;
        slot
    }

    pub(super) fn remove(&mut self, slot: u32) -> Option<Template> {
        let template = self.slots.get_mut(slot as usize)?.take()?;
        self.free.push(slot);
        self.by_id.remove(&template.id);
        self.all.remove(&mut self.in_all, slot);
        if let Some(group) = self.groups.get_mut(&template.group) {
            group.list.remove(&mut self.in_group, slot);
            if group.list.len() == 0 {
                self.groups.remove(&template.group);
            }
        }
        Some(template)
    }

    /// Counts a use, if this template of this group still has the slot.
    pub(super) fn used(&mut self, slot: u32, id: TemplateId, group: u64) -> bool {
        let Some(Some(template)) = self.slots.get_mut(slot as usize) else { return false };
        if template.id != id || template.group != group {
            return false;
        }
        template.count = template.count.saturating_add(1);
        self.uses += 1;
        self.all.touch(&mut self.in_all, slot);
        if let Some(group) = self.groups.get_mut(&group) {
            group.used = self.uses;
            group.list.touch(&mut self.in_group, slot);
        }
        true
    }

    /// The same of one that is known by its id, without counting.
    pub(super) fn touch(&mut self, id: TemplateId) {
        let Some(slot) = self.by_id.get(&id).copied() else { return };
        let Some(group) = self.get(slot).map(Template::group) else { return };
        self.uses += 1;
        self.all.touch(&mut self.in_all, slot);
        if let Some(group) = self.groups.get_mut(&group) {
            group.used = self.uses;
            group.list.touch(&mut self.in_group, slot);
        }
    }

    pub(super) fn get(&self, slot: u32) -> Option<&Template> {
        self.slots.get(slot as usize)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, slot: u32) -> Option<&mut Template> {
        self.slots.get_mut(slot as usize)?.as_mut()
    }

    pub(super) fn id(&self, slot: u32) -> Option<TemplateId> {
        self.get(slot).map(Template::id)
    }

    pub(super) fn find(&self, id: TemplateId) -> Option<&Template> {
        self.get(*self.by_id.get(&id)?)
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) fn oldest(&self) -> Option<u32> {
        self.all.oldest()
    }

    pub(super) fn oldest_first(&self) -> impl Iterator<Item = &Template> {
        self.all.oldest_first(&self.in_all).filter_map(|slot| self.get(slot))
    }

    pub(super) fn groups(&self) -> usize {
        self.groups.len()
    }

    pub(super) fn has_group(&self, group: u64) -> bool {
        self.groups.contains_key(&group)
    }

    /// The group longest unused: all are looked at, which is seldom.
    pub(super) fn idle_group(&self) -> Option<u64> {
        self.groups.iter().min_by_key(|(_, group)| group.used).map(|(key, _)| *key)
    }

    pub(super) fn oldest_of(&self, group: u64) -> Option<u32> {
        self.groups.get(&group)?.list.oldest()
    }

    pub(super) fn len_of(&self, group: u64) -> usize {
        self.groups.get(&group).map_or(0, |group| group.list.len())
    }

    pub(super) fn resolve(&self, mut id: TemplateId) -> Option<TemplateId> {
        // Ends: an id is united with an older one only.
        while let Some(older) = self.united.get(&id) {
            id = *older;
        }
        self.by_id.contains_key(&id).then_some(id)
    }

    /// `id` stands for nothing any more but for what `older` does. At most `max` such ids are held.
    pub(super) fn united(&mut self, id: TemplateId, older: TemplateId, max: usize) {
        if older >= id {
            return;
        }
        self.united.insert(id, older);
        self.united_order.push_back(id);
        while self.united_order.len() > max
            && let Some(first) = self.united_order.pop_front()
        {
            self.united.remove(&first);
        }
    }

    pub(super) fn united_ids(&self) -> impl Iterator<Item = (TemplateId, TemplateId)> {
        self.united_order.iter().filter_map(|id| Some((*id, *self.united.get(id)?)))
    }

    pub(super) fn last_id(&self) -> u64 {
        self.last_id
    }

    pub(super) fn no_id_before(&mut self, last: u64) {
        self.last_id = self.last_id.max(last);
    }
}
