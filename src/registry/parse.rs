//! From JSON to a [`Descriptor`]: its keys, their types and bounds.
//!
//! The configuration and the API are read alike. Every key is looked at even after the first fault. The text of a
//! remedy's address is in no fault.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::RangeInclusive;

use serde_json::{Map, Value};

use super::descriptor::{
    CHANNEL_MAX_CHARS, COOLDOWN_SECONDS, CURE_MAX_CHARS, CURES_MAX, DESCRIPTION_MAX_CHARS, Descriptor, Fix,
    NAME_MAX_CHARS, OWNER_MAX_CHARS, OWNERS_MAX, PER_DAY, REMEDIES_MAX, REVISIONS_MAX, Remedy, TEST_MAX_CHARS,
};
use super::location::{self, Location, is_commit};
use crate::fault::{Fault, item, join, quoted, shown};
use crate::secret::Secret;

const KEYS: [&str; 11] = [
    "name",
    "cluster",
    "repository",
    "commit",
    "description",
    "fix",
    "test",
    "remedies",
    "channel",
    "owners",
    "revisions",
];
const REMEDY_KEYS: [&str; 5] = ["name", "url", "cures", "cooldown_seconds", "per_day"];
pub(super) const COMMIT_FORM: &str = "the hash of a commit: 7 to 64 of 0-9 and a-f";
const URL_FORM: &str = "an https:// URL, or http:// to a loopback address";

/// The keys of one object, and the faults found in them so far.
struct Keys<'a> {
    object: &'a Map<String, Value>,
    key: &'a str,
    faults: &'a mut Vec<Fault>,
}

pub(super) fn descriptor(value: &Value, key: &str, faults: &mut Vec<Fault>) -> Option<Descriptor> {
    let before = faults.len();
    let Some(object) = value.as_object() else {
        faults.push(Fault::wrong(key, "an object with name and repository", shown(value)));
        return None;
    };
    let mut keys = Keys { object, key, faults };
    keys.refuse_unknown(&KEYS);
    let name = keys.text("name", 1..=NAME_MAX_CHARS, true);
    let descriptor = Descriptor {
        name: name.unwrap_or_default(),
        cluster: keys.text("cluster", 1..=NAME_MAX_CHARS, false),
        repository: keys.repository(),
        commit: keys.commit(),
        description: keys.text("description", 0..=DESCRIPTION_MAX_CHARS, false).unwrap_or_default(),
        fix: keys.fix(),
        test: keys.text("test", 1..=TEST_MAX_CHARS, false),
        remedies: keys.remedies(),
        channel: keys.text("channel", 1..=CHANNEL_MAX_CHARS, false),
        owners: keys.texts("owners", OWNERS_MAX, OWNER_MAX_CHARS),
        revisions: keys.revisions(),
    };
    (faults.len() == before).then_some(descriptor)
}

impl<'a> Keys<'a> {
    fn at(&self, name: &str) -> String {
        join(self.key, name)
    }

    fn get(&self, name: &str) -> Option<&'a Value> {
        self.object.get(name).filter(|value| !value.is_null())
    }

    fn refuse_unknown(&mut self, known: &[&str]) {
        for name in self.object.keys().filter(|name| !known.contains(&name.as_str())) {
            self.faults.push(Fault::unknown(self.at(name), name, known));
        }
    }

    fn text(&mut self, name: &str, chars: RangeInclusive<usize>, required: bool) -> Option<String> {
        let expected = format!("a text of {} to {} characters", chars.start(), chars.end());
        let Some(value) = self.get(name) else {
            if required {
                self.faults.push(Fault::missing(self.at(name), expected));
            }
            return None;
        };
        match value.as_str() {
            // A line break or an escape sequence would be shown to people.
            Some(text) if chars.contains(&text.chars().count()) && is_printed(text) => Some(text.to_owned()),
            _ => {
                self.faults.push(Fault::wrong(self.at(name), expected, shown(value)));
                None
            }
        }
    }

    fn repository(&mut self) -> Option<Location> {
        let value = self.get("repository")?;
        match Location::parse(value.as_str().unwrap_or_default()) {
            Ok(location) => Some(location),
            Err(hint) => {
                let at = self.at("repository");
                // What is refused because it carries a password is not repeated.
                let text = value.as_str().unwrap_or_default();
                let fault = match text.contains('@') && text.contains("://") {
                    true => Fault::new(at, format!("must be {}", location::FORM)),
                    false => Fault::wrong(at, location::FORM, shown(value)),
                };
                self.faults.push(match hint {
                    Some(hint) => fault.hint(hint),
                    None => fault,
                });
                None
            }
        }
    }

    fn commit(&mut self) -> Option<String> {
        let value = self.get("commit")?;
        let commit = value.as_str().filter(|text| is_commit(text)).map(str::to_owned);
        if commit.is_none() {
            self.faults.push(Fault::wrong(self.at("commit"), COMMIT_FORM, shown(value)));
        }
        commit
    }

    fn fix(&mut self) -> Fix {
        let Some(value) = self.get("fix") else { return Fix::default() };
        value.as_str().and_then(Fix::parse).unwrap_or_else(|| {
            self.faults.push(match value.as_str() {
                Some(word) => Fault::not_one_of(self.at("fix"), &Fix::NAMES, word),
                None => Fault::wrong(self.at("fix"), format_args!("one of {}", Fix::NAMES.join(", ")), shown(value)),
            });
            Fix::default()
        })
    }

    /// The list of that name, if it is one of at most so many.
    fn list(&mut self, name: &str, most: usize, each: &str) -> Vec<(String, &'a Value)> {
        let Some(value) = self.get(name) else { return Vec::new() };
        let at = self.at(name);
        match value.as_array().filter(|items| items.len() <= most) {
            Some(items) => items.iter().enumerate().map(|(n, value)| (item(&at, n), value)).collect(),
            None => {
                self.faults.push(Fault::wrong(at, format_args!("a list of at most {most}, each {each}"), shown(value)));
                Vec::new()
            }
        }
    }

    fn texts(&mut self, name: &str, most: usize, chars: usize) -> Vec<String> {
        let each = format!("a text of 1 to {chars} characters");
        let mut texts = Vec::new();
        for (at, value) in self.list(name, most, &each) {
            match value.as_str().filter(|text| (1..=chars).contains(&text.chars().count()) && is_printed(text)) {
                Some(text) => texts.push(text.to_owned()),
                None => self.faults.push(Fault::wrong(at, &each, shown(value))),
            }
        }
        texts
    }

    fn remedies(&mut self) -> Vec<Remedy> {
        let mut remedies: Vec<Remedy> = Vec::new();
        for (at, value) in self.list("remedies", REMEDIES_MAX, "an object with name and url") {
            let Some(object) = value.as_object() else {
                self.faults.push(Fault::wrong(at, "an object with name and url", shown(value)));
                continue;
            };
            let mut keys = Keys { object, key: &at, faults: self.faults };
            keys.refuse_unknown(&REMEDY_KEYS);
            let name = keys.text("name", 1..=48, true);
            let url = keys.url();
            let cures = keys.texts("cures", CURES_MAX, CURE_MAX_CHARS);
            let cooldown_seconds = keys.whole("cooldown_seconds", COOLDOWN_SECONDS);
            let per_day = keys.whole("per_day", PER_DAY);
            let (Some(name), Some(url)) = (name, url) else { continue };
            if remedies.iter().any(|other| other.name == name) {
                let message = format!("{} is already the name of another remedy", quoted(&name));
                self.faults.push(Fault::new(join(&at, "name"), message));
                continue;
            }
            remedies.push(Remedy { name, url, cures, cooldown_seconds, per_day });
        }
        remedies
    }

    /// Its text may be a credential: it is not shown.
    fn url(&mut self) -> Option<Secret> {
        let Some(value) = self.get("url") else {
            self.faults.push(Fault::missing(self.at("url"), URL_FORM));
            return None;
        };
        let url = value.as_str().filter(|url| is_url(url));
        if url.is_none() {
            self.faults.push(Fault::new(self.at("url"), format!("must be {URL_FORM}, without a user or password")));
        }
        url.map(Secret::new)
    }

    /// Least, default, most.
    fn whole(&mut self, name: &str, (least, default, most): (u64, u64, u64)) -> u64 {
        let Some(value) = self.get(name) else { return default };
        value.as_u64().filter(|whole| (least..=most).contains(whole)).unwrap_or_else(|| {
            let expected = format!("a whole number from {least} to {most}");
            self.faults.push(Fault::wrong(self.at(name), expected, shown(value)));
            default
        })
    }

    fn revisions(&mut self) -> BTreeMap<String, String> {
        let Some(value) = self.get("revisions") else { return BTreeMap::new() };
        let at = self.at("revisions");
        let Some(object) = value.as_object().filter(|object| object.len() <= REVISIONS_MAX) else {
            let expected = format!("an object of at most {REVISIONS_MAX} such as {{\"checkout:42\": \"0123abc\"}}");
            self.faults.push(Fault::wrong(at, expected, shown(value)));
            return BTreeMap::new();
        };
        let mut revisions = BTreeMap::new();
        for (revision, commit) in object {
            let sound = (1..=NAME_MAX_CHARS).contains(&revision.chars().count()) && is_printed(revision);
            match commit.as_str().filter(|commit| sound && is_commit(commit)) {
                Some(commit) => {
                    revisions.insert(revision.clone(), commit.to_owned());
                }
                None => self.faults.push(Fault::wrong(join(&at, revision), COMMIT_FORM, shown(commit))),
            }
        }
        revisions
    }
}

fn is_printed(text: &str) -> bool {
    !text.chars().any(|c| c.is_control() && c != '\n')
}

/// Encrypted, or to this machine; what a client could take for another host is none.
fn is_url(url: &str) -> bool {
    let Some((scheme, rest)) = url.split_once("://") else { return false };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = match authority.strip_prefix('[') {
        Some(inner) => inner.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    let local = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback());
    let sound = url.len() <= 2000 && url.bytes().all(|b| b.is_ascii_graphic() && b != b'\\');
    sound && !authority.contains('@') && !host.is_empty() && (scheme == "https" || (scheme == "http" && local))
}
