//! Changing the watches while they count.

use std::collections::HashSet;

use serde_json::json;

use super::{Draft, Engine, Now, WATCHES_MAX};
use crate::ledger::{Refused, WindowKey};
use crate::watch::rule::Rule;
use crate::watch::rule::pattern::REGEXES_MAX;
use crate::watch::{Origin, Watch, WatchKey};

impl Engine {
    /// Sets a watch over the API; `true`: one of that label was there.
    pub fn put_watch(&mut self, rule: Rule, now: Now) -> Result<(Draft, bool), Refused> {
        let mut watches = self.shards.watches().watches().to_vec();
        let place = watches.iter().position(|w| w.rule.label == rule.label);
        // What nobody wrote takes no room from people.
        let people = |watches: &[Watch]| watches.iter().filter(|w| !w.origin.is_proposed()).count();
        if place.is_none() && people(&watches) >= WATCHES_MAX {
            return Err(Refused::Full(WATCHES_MAX));
        }
        let others = watches.iter().filter(|w| w.rule.label != rule.label && !w.origin.is_proposed());
        let others = others.map(|w| w.rule.regexes()).sum::<usize>();
        if rule.regexes() > 0 && others + rule.regexes() > REGEXES_MAX {
            return Err(Refused::Regexes(REGEXES_MAX));
        }
        let mut draft = self.draft(now);
        let stored = json!({"set_ms": now.ms, "rule": rule.to_json()});
        draft.watch_rows.push((rule.label.clone(), Some(stored.to_string().into_bytes())));
        let watch = Watch::from_api(rule, now.ms);
        match place.and_then(|place| watches.get_mut(place)) {
            Some(held) => *held = watch,
            None => watches.push(watch),
        }
        self.change_watches(&mut draft, watches);
        Ok((draft, place.is_some()))
    }

    /// The label of a watch that has outlived its `ttl_seconds`, if there is one.
    pub fn expired_watch(&self, now: Now) -> Option<String> {
        let set = self.shards.watches();
        let expired = set.watches().iter().find(|w| w.has_expired(self.shards.total(w.key).last_ms, now.ms));
        expired.map(|w| w.rule.label.clone())
    }

    pub fn delete_watch(&mut self, label: &str, now: Now) -> Result<Draft, Refused> {
        let set = self.shards.watches();
        let watch = set.by_label(label).ok_or(Refused::Unknown)?;
        if matches!(watch.origin, Origin::Builtin | Origin::Config) {
            return Err(Refused::Configured);
        }
        let mut draft = self.draft(now);
        draft.watch_rows.push((label.to_owned(), None));
        let base = self.base.iter().find(|w| w.rule.label == label).cloned();
        let watches = set
            .watches()
            .iter()
            .filter_map(|w| if w.rule.label == label { base.clone() } else { Some(w.clone()) })
            .collect();
        self.change_watches(&mut draft, watches);
        Ok(draft)
    }

    /// Counters whose rule is gone or counts something else now are dropped; what they escalated is over
    /// without a word, since a person ended it.
    pub(super) fn change_watches(&mut self, draft: &mut Draft, watches: Vec<Watch>) {
        let kept: HashSet<WatchKey> = watches.iter().map(|w| w.key).collect();
        let gone = self.shards.windows.iter().filter(|w| !kept.contains(&w.key().watch));
        let gone: Vec<(WindowKey, Option<u64>)> = gone.map(|w| (w.key().clone(), w.escalation)).collect();
        for (key, escalation) in gone {
            if let Some(id) = escalation {
                self.desk.abandoned(id);
            }
            draft.dropped.push(key);
        }
        // Else the journal would bring them back, should the same rule be set again.
        let set = self.shards.watches();
        draft.entry.forgotten = set.watches().iter().map(|w| w.key).filter(|key| !kept.contains(key)).collect();
        draft.watches = Some(watches);
    }
}

/// The configured rules, and those set over the API whose label the configuration does not claim.
pub(super) fn with_stored(base: &[Watch], stored: &[(String, Vec<u8>)]) -> Vec<Watch> {
    let mut watches = base.to_vec();
    // People's first: what nobody wrote takes no room from them.
    let is_proposed = |body: &[u8]| {
        let row: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
        row.get("provenance").is_some_and(|p| !p.is_null())
    };
    let (proposed, people): (Vec<_>, Vec<_>) = stored.iter().partition(|(_, body)| is_proposed(body));
    for (label, body) in people.into_iter().chain(proposed) {
        if let Some(held) = watches.iter().find(|w| w.rule.label == *label && w.origin == Origin::Config) {
            tracing::warn!(label = held.rule.label, "a watch set over the API has this label: the configured one wins");
            continue;
        }
        let mut faults = Vec::new();
        let stored: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
        let rule = stored.get("rule").and_then(|json| Rule::from_json(json, label, &mut faults));
        let Some(rule) = rule else {
            tracing::error!(label, ?faults, "stored watch cannot be read: left out");
            continue;
        };
        let is_one = is_proposed(body);
        let alike = watches.iter().filter(|w| w.rule.label != *label && w.origin.is_proposed() == is_one);
        let others = alike.map(|w| w.rule.regexes()).sum::<usize>();
        let most = if is_one { super::proposals::PROPOSED_REGEXES_MAX } else { REGEXES_MAX };
        if rule.regexes() > 0 && others + rule.regexes() > most {
            tracing::error!(label, most, "too many regexes with those configured: stored watch left out");
            continue;
        }
        let proposed = super::proposals::restored(&stored, &rule);
        if proposed.is_some() && watches.iter().any(|w| w.rule.label == *label) {
            tracing::warn!(label, "a proposed watch has this label: the other one wins");
            continue;
        }
        watches.retain(|w| w.rule.label != *label);
        if let Some(proposed) = proposed {
            watches.push(proposed);
            continue;
        }
        watches.push(Watch::from_api(rule, stored.get("set_ms").and_then(serde_json::Value::as_i64).unwrap_or(0)));
    }
    // Proposed ones last, as when they came.
    watches.sort_by_key(|watch| watch.origin.is_proposed());
    watches
}
