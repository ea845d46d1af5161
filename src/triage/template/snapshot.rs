//! What a restart keeps: templates with their ids and counts, in the order of use.

use serde::{Deserialize, Serialize};

use super::shelf::Template;
use super::{Miner, Settings, TemplateId, mask};

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
