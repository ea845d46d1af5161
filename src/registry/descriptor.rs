//! What is registered of one service.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::location::Location;
use super::parse;
use crate::fault::Fault;
use crate::secret::Secret;

pub const NAME_MAX_CHARS: usize = 256;
/// What a reader who does not know the service should, in a few sentences.
pub const DESCRIPTION_MAX_CHARS: usize = 2_000;
pub const TEST_MAX_CHARS: usize = 500;
pub const REMEDIES_MAX: usize = 10;
pub const CURES_MAX: usize = 20;
pub const CURE_MAX_CHARS: usize = 200;
pub const OWNERS_MAX: usize = 20;
pub const OWNER_MAX_CHARS: usize = 100;
/// Slack's own limit on a channel's name.
pub const CHANNEL_MAX_CHARS: usize = 80;
/// Revisions are deployed one after the other: some months of them.
pub const REVISIONS_MAX: usize = 200;
/// Shorter than a restart takes, the second call would come before the first one could help.
pub const COOLDOWN_SECONDS: (u64, u64, u64) = (30, 900, 86_400);
/// What must be restarted more often than that is not cured by it.
pub const PER_DAY: (u64, u64, u64) = (1, 3, 100);

/// What may be done with a patch that was found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fix {
    /// It is written down.
    #[default]
    DryRun,
    /// It is proposed to the repository, as a draft.
    Pr,
}

impl Fix {
    pub const NAMES: [&'static str; 2] = ["dry_run", "pr"];

    pub fn parse(word: &str) -> Option<Fix> {
        [Fix::DryRun, Fix::Pr].into_iter().find(|fix| fix.as_str() == word)
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Fix::DryRun => "dry_run",
            Fix::Pr => "pr",
        }
    }
}

/// Something that can be called to cure something. No `Debug`: its address may be the credential.
#[derive(Clone)]
pub struct Remedy {
    pub name: String,
    pub url: Secret,
    /// What it helps against, in the operator's words.
    pub cures: Vec<String>,
    pub cooldown_seconds: u64,
    pub per_day: u64,
}

/// No `Debug`: it holds addresses of remedies.
#[derive(Clone)]
pub struct Descriptor {
    /// As records name the service.
    pub name: String,
    /// `None`: of any cluster.
    pub cluster: Option<String>,
    /// `None`: its source is nowhere.
    pub repository: Option<Location>,
    /// What runs, where no deploy and no revision says otherwise: hexadecimal.
    pub commit: Option<String>,
    pub description: String,
    pub fix: Fix,
    /// A command that tells whether the repository is sound.
    pub test: Option<String>,
    pub remedies: Vec<Remedy>,
    pub channel: Option<String>,
    pub owners: Vec<String>,
    /// From a revision as records name it, with or without a name and a colon before it, to a commit.
    pub revisions: BTreeMap<String, String>,
}

impl Descriptor {
    /// Reads one, or pushes everything that is wrong with it; `key` is where it stands (`service[2]`, or empty for an
    /// API body) and begins the key of each fault.
    pub fn from_json(value: &Value, key: &str, faults: &mut Vec<Fault>) -> Option<Descriptor> {
        parse::descriptor(value, key, faults)
    }

    /// The whole of it; [`Descriptor::from_json`] reads it back unchanged. For the store only.
    pub fn to_json(&self) -> Value {
        self.json(|remedy| remedy.url.expose().to_owned())
    }

    /// What people see: of a remedy's address where it leads, not the rest.
    pub fn shown(&self) -> Value {
        self.json(|remedy| {
            let url = remedy.url.expose();
            let path = url.split_once("://").and_then(|(_, rest)| rest.find('/').map(|at| url.len() - rest.len() + at));
            match path.and_then(|at| url.get(..at)) {
                Some(origin) => format!("{origin}/…"),
                None => url.to_owned(),
            }
        })
    }

    fn json(&self, url: impl Fn(&Remedy) -> String) -> Value {
        let remedies = self.remedies.iter().map(|remedy| {
            json!({"name": remedy.name, "url": url(remedy), "cures": remedy.cures,
                   "cooldown_seconds": remedy.cooldown_seconds, "per_day": remedy.per_day})
        });
        let mut fields = Map::new();
        fields.insert("name".into(), self.name.as_str().into());
        let mut put = |name: &str, text: Option<&str>| {
            if let Some(text) = text.filter(|text| !text.is_empty()) {
                fields.insert(name.into(), text.into());
            }
        };
        put("cluster", self.cluster.as_deref());
        put("repository", self.repository.as_ref().map(Location::as_str));
        put("commit", self.commit.as_deref());
        put("description", Some(&self.description));
        put("fix", Some(self.fix.as_str()));
        put("test", self.test.as_deref());
        put("channel", self.channel.as_deref());
        fields.insert("remedies".into(), remedies.collect());
        fields.insert("owners".into(), self.owners.as_slice().into());
        fields.insert("revisions".into(), serde_json::to_value(&self.revisions).unwrap_or_default());
        Value::Object(fields)
    }

    /// The commit of a revision. One that is named with the service's own name counts before any other.
    pub fn commit_of(&self, revision: &str) -> Option<&str> {
        let own = format!("{}:{revision}", self.name);
        let of_any = || {
            let ends = |key: &str| key.rsplit_once(':').is_some_and(|(_, last)| last == revision);
            let mut found = self.revisions.iter().filter(|(key, _)| ends(key)).map(|(_, commit)| commit);
            found.next().filter(|first| found.all(|other| other == *first))
        };
        let exactly = self.revisions.get(revision).or_else(|| self.revisions.get(&own));
        exactly.or_else(of_any).map(String::as_str)
    }

    pub(super) fn key(&self) -> (String, String) {
        (self.name.clone(), self.cluster.clone().unwrap_or_default())
    }
}
