//! What a restart keeps: templates with their ids and counts, in the order of use.

use serde::{Deserialize, Serialize};

use super::shelf::Template;
use super::{Miner, Settings, TemplateId, mask};
use crate::redact::Redacted;

/// Plain data, in any format serde knows. Placeholders are single control characters.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// The last id that was given.
    pub last_id: u64,
    /// The least recently used first.
    pub templates: Vec<Saved>,
    /// Ids of templates that turned out to be others.
    pub united: Vec<(TemplateId, TemplateId)>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Saved {
    pub id: TemplateId,
    pub group: u64,
    pub text: String,
    pub count: u64,
    /// The text is the template.
    pub exact: bool,
}

impl Saved {
    /// What may be written down of it: where something secret stands, anything may stand. `None`: it cannot be told
    /// without.
    pub fn to_store(&self) -> Option<Saved> {
        // Redaction sees no placeholders.
        let plain: String = self.text.chars().map(|c| if is_placeholder(c) { 'x' } else { c }).collect();
        let hidden = Redacted::new(&plain);
        if hidden.as_str() == plain {
            return Some(self.clone());
        }
        let (held, shown): (Vec<&str>, Vec<&str>) = (plain.split(' ').collect(), hidden.as_str().split(' ').collect());
        if self.exact || held.len() != shown.len() {
            return None;
        }
        let any = char::from(mask::Kind::Any.byte()).to_string();
        let tokens = self.text.split(' ').zip(held.iter().zip(shown));
        let tokens: Vec<&str> = tokens.map(|(own, (held, shown))| if *held == shown { own } else { &any }).collect();
        Some(Saved { text: tokens.join(" "), ..self.clone() })
    }
}

fn is_placeholder(c: char) -> bool {
    u8::try_from(c).is_ok_and(mask::is_placeholder)
}

impl Miner {
    pub fn export(&self) -> Snapshot {
        Snapshot {
            last_id: self.shelf.last_id(),
            templates: self
                .shelf
                .oldest_first()
                .map(|template| Saved {
                    id: template.id(),
                    group: template.group(),
                    text: String::from_utf8_lossy(template.text()).into_owned(),
                    count: template.count(),
                    exact: template.exact_hash().is_some(),
                })
                .collect(),
            united: self.shelf.united_ids().collect(),
        }
    }

    /// A miner that goes on where the snapshot was made. What no bound allows is forgotten, the least recently used first;
    /// a template whose id is 0 or taken is left out.
    pub fn import(settings: Settings, snapshot: &Snapshot) -> Miner {
        let mut miner = Miner::new(settings);
        for saved in &snapshot.templates {
            if saved.id.0 == 0 || saved.text.len() > 4 * mask::MAX_BYTES || miner.shelf.find(saved.id).is_some() {
                continue;
            }
            let text = saved.text.clone().into_bytes();
            if saved.exact {
                let key = (saved.group, miner.exact_hash(&text));
                if miner.exact.contains_key(&key) {
                    continue;
                }
                let slot = miner.add(Template::exact(saved.group, text, key.1).restored(saved.id, saved.count));
                miner.exact.insert(key, slot);
            } else {
                miner.shelve(Template::mined(saved.group, text).restored(saved.id, saved.count));
            }
        }
        for (id, older) in &snapshot.united {
            miner.shelf.united(*id, *older, miner.settings.max_templates);
        }
        miner.shelf.no_id_before(snapshot.last_id);
        miner
    }
}
