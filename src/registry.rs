//! What operators register about services: where their source is and which commit runs, whom and what they concern.
//!
//! A descriptor comes from the configuration, which wins on a start, or over the API, durably; which commit runs is
//! told by a deploy, by the revision that records name, or by the descriptor, in this order of trust. Pure: what
//! changes is planned here, stored by the caller, and then in force. Nothing a log line says registers anything.

pub mod descriptor;
pub mod location;
mod parse;

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

pub use descriptor::Descriptor;
use location::{Location, is_commit};

/// Services registered in all: as many as a large company has.
pub const SERVICES_MAX: usize = 500;
/// Deploys remembered of one service, the newest: an escalation looks at the last two.
const DEPLOYS_MAX: usize = 10;

/// A commit that was said to run from then on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deploy {
    pub commit: String,
    /// Unix milliseconds.
    pub at_ms: i64,
}

/// One registered service.
#[derive(Clone)]
pub struct Entry {
    pub descriptor: Descriptor,
    /// It stands in the configuration: the API changes its deploys only.
    pub is_configured: bool,
    /// Oldest first.
    pub deploys: Vec<Deploy>,
}

/// Name, and the cluster or an empty text.
type Key = (String, String);

#[derive(Default)]
pub struct Registry {
    /// A plain lock: held for a look-up or a copy.
    held: Mutex<BTreeMap<Key, Entry>>,
}

/// A change that is decided and not yet durable.
pub struct Change {
    /// Of its row in the store.
    pub key: String,
    /// `None`: the row goes.
    pub row: Option<Vec<u8>>,
    of: Key,
    entry: Option<Entry>,
    pub replaced: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("no service of this name is registered: GET /services lists those that are")]
    Unknown,
    #[error("several clusters have a service of this name: add ?cluster=NAME")]
    Several,
    #[error("the service is registered in the configuration and comes back with it; change it there")]
    Configured,
    #[error("{0} services is the most (DELETE makes room)")]
    Full(usize),
}

/// As a row has it.
#[derive(Serialize, Deserialize)]
struct Row {
    /// `None`: the configuration has it.
    descriptor: Option<Value>,
    deploys: Vec<Deploy>,
    /// The commit that the configuration named when the last deploy was told: of another one those deploys are news
    /// of before.
    #[serde(default)]
    over: Option<String>,
}

impl Registry {
    pub fn new(configured: &[Descriptor]) -> Registry {
        let entry =
            |d: &Descriptor| (d.key(), Entry { descriptor: d.clone(), is_configured: true, deploys: Vec::new() });
        Registry { held: Mutex::new(configured.iter().map(entry).collect()) }
    }

    /// Puts back what the store held.
    pub fn restore(&self, rows: &[(String, Vec<u8>)]) {
        let mut entries = self.held();
        for (key, body) in rows {
            let Ok(row) = serde_json::from_slice::<Row>(body) else {
                tracing::error!(service = key, "a stored service cannot be read: left out");
                continue;
            };
            let sound = |deploy: &Deploy| is_commit(&deploy.commit);
            let deploys: Vec<Deploy> = row.deploys.into_iter().filter(sound).take(DEPLOYS_MAX).collect();
            let Ok(of) = serde_json::from_str::<Key>(key) else { continue };
            if let Some(held) = entries.get_mut(&of) {
                if row.descriptor.is_some() {
                    tracing::warn!(service = of.0, "a service set over the API has this name: the configured one wins");
                }
                if row.over == held.descriptor.commit {
                    held.deploys = deploys;
                }
                continue;
            }
            let mut faults = Vec::new();
            // Without one it was configured, and is not any more.
            let Some(json) = row.descriptor else { continue };
            match Descriptor::from_json(&json, "", &mut faults) {
                Some(descriptor) if entries.len() < SERVICES_MAX => {
                    entries.insert(of, Entry { descriptor, is_configured: false, deploys });
                }
                Some(_) => tracing::error!(service = of.0, "too many services with those configured: left out"),
                None => tracing::error!(service = of.0, ?faults, "a stored service cannot be read: left out"),
            }
        }
    }

    fn held(&self) -> MutexGuard<'_, BTreeMap<Key, Entry>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// By name and cluster.
    pub fn all(&self) -> Vec<Entry> {
        self.held().values().cloned().collect()
    }

    /// All repositories there are.
    pub fn locations(&self) -> Vec<Location> {
        let mut all: Vec<Location> = self.held().values().filter_map(|e| e.descriptor.repository.clone()).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// That of a service as records name it: one of its cluster before one of any.
    pub fn find(&self, is: impl Fn(&str) -> bool, is_cluster: impl Fn(&str) -> bool) -> Option<Entry> {
        let held = self.held();
        let mut of_name =
            held.iter().filter(|((name, cluster), _)| is(name) && (cluster.is_empty() || is_cluster(cluster)));
        // The one of any cluster comes first.
        of_name.next_back().map(|(_, entry)| entry.clone())
    }

    /// As people name it. `cluster`: where several have the name.
    pub fn get(&self, name: &str, cluster: Option<&str>) -> Result<Entry, Refused> {
        let held = self.held();
        let mut found = held.iter().filter(|((n, c), _)| n == name && cluster.is_none_or(|cluster| cluster == c));
        match (found.next(), found.next()) {
            (Some((_, entry)), None) => Ok(entry.clone()),
            (None, _) => Err(Refused::Unknown),
            (Some(_), Some(_)) => Err(Refused::Several),
        }
    }

    /// Registers a service, or replaces it. Deploys told of the same repository stay.
    pub fn put(&self, descriptor: Descriptor) -> Result<Change, Refused> {
        let held = self.held();
        let of = descriptor.key();
        let before = held.get(&of);
        if before.is_some_and(|entry| entry.is_configured) {
            return Err(Refused::Configured);
        }
        if before.is_none() && held.len() >= SERVICES_MAX {
            return Err(Refused::Full(SERVICES_MAX));
        }
        let same = before.filter(|entry| entry.descriptor.repository == descriptor.repository);
        let deploys = same.map(|entry| entry.deploys.clone()).unwrap_or_default();
        Ok(change(of, Some(Entry { descriptor, is_configured: false, deploys }), before.is_some()))
    }

    pub fn delete(&self, name: &str, cluster: Option<&str>) -> Result<Change, Refused> {
        let entry = self.get(name, cluster)?;
        if entry.is_configured {
            return Err(Refused::Configured);
        }
        Ok(change(entry.descriptor.key(), None, true))
    }

    /// Says that `commit` runs from now on. The same again is no news.
    pub fn deploy(&self, name: &str, cluster: Option<&str>, commit: &str, now_ms: i64) -> Result<Change, Refused> {
        let mut entry = self.get(name, cluster)?;
        if entry.deploys.last().is_none_or(|last| last.commit != commit) {
            entry.deploys.push(Deploy { commit: commit.to_owned(), at_ms: now_ms });
            let surplus = entry.deploys.len().saturating_sub(DEPLOYS_MAX);
            entry.deploys.drain(..surplus);
        }
        Ok(change(entry.descriptor.key(), Some(entry), true))
    }

    /// It is durable: in force from now on.
    pub fn apply(&self, change: Change) {
        let mut held = self.held();
        match change.entry {
            Some(entry) => held.insert(change.of, entry),
            None => held.remove(&change.of),
        };
    }
}

fn change(of: Key, entry: Option<Entry>, replaced: bool) -> Change {
    let row = entry.as_ref().map(|entry| {
        let row = Row {
            descriptor: (!entry.is_configured).then(|| entry.descriptor.to_json()),
            deploys: entry.deploys.clone(),
            over: entry.descriptor.commit.clone().filter(|_| entry.is_configured),
        };
        serde_json::to_vec(&row).unwrap_or_default()
    });
    Change { key: json!([of.0, of.1]).to_string(), row, of, entry, replaced }
}

impl Change {
    /// What it leaves; `None`: nothing.
    pub fn entry(&self) -> Option<&Entry> {
        self.entry.as_ref()
    }
}

impl Entry {
    /// What people see of it.
    pub fn shown(&self) -> Value {
        let mut shown = self.descriptor.shown();
        if let Some(fields) = shown.as_object_mut() {
            fields.insert("origin".into(), if self.is_configured { "config" } else { "api" }.into());
            fields.insert("deploys".into(), serde_json::to_value(&self.deploys).unwrap_or_default());
        }
        shown
    }
}

#[cfg(test)]
mod tests;
