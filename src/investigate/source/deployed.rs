//! Which commit of a service ran when it failed, and which one before that.
//!
//! What records say of themselves counts most: the revision of those around. Then what a deploy told, then what the
//! descriptor says.

use crate::notify::alerts::rfc3339;
use crate::redact::Redacted;
use crate::registry::{Deploy, Entry};

/// A commit, and how it is known to have run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deployed {
    /// As registered: hexadecimal, perhaps not whole.
    pub commit: String,
    /// For people.
    pub known_by: Redacted,
    pub before: Option<String>,
}

/// `revisions`: that records at hand name, each with the time of its first (unix milliseconds), in order of time.
/// `last_ms`: of the newest line that failed.
pub fn deployed(entry: &Entry, revisions: &[(Redacted, i64)], first_ms: i64, last_ms: i64) -> Option<Deployed> {
    let descriptor = &entry.descriptor;
    let mapped = |revision: &Redacted| {
        let text = revision.as_str();
        // In Kubernetes a version may be the commit itself. A number is no hash, however long.
        let is_hash = crate::registry::location::is_commit(text) && text.bytes().any(|b| b.is_ascii_alphabetic());
        descriptor.commit_of(text).map(str::to_owned).or_else(|| is_hash.then(|| text.to_owned()))
    };
    let known: Vec<(&Redacted, String)> =
        revisions.iter().filter_map(|(revision, _)| Some((revision, mapped(revision)?))).collect();
    let deploys = &entry.deploys;
    if let Some((revision, commit)) = known.last() {
        let other = known.iter().rev().map(|(_, other)| other).find(|other| *other != commit).cloned();
        let before =
            other.or_else(|| before_in(deploys, commit)).or_else(|| differs(descriptor.commit.as_ref(), commit));
        let known_by = Redacted::new(&format!("revision {} of its records", revision.as_str())).one_line();
        return Some(Deployed { commit: commit.clone(), known_by, before });
    }
    let ran = deploys.iter().rev().find(|deploy| deploy.at_ms <= last_ms).or(deploys.first());
    if let Some(deploy) = ran {
        let when = match deploy.at_ms <= first_ms {
            true => format!("{} before the first match", span(first_ms - deploy.at_ms)),
            false => format!("{} after the first match, which may be of the one before", span(deploy.at_ms - first_ms)),
        };
        let known_by = Redacted::new(&format!("a deploy told of at {}, {when}", rfc3339(deploy.at_ms)));
        let earlier = deploys.iter().take_while(|other| other.at_ms < deploy.at_ms).last().map(|d| d.commit.clone());
        let before = earlier.or_else(|| differs(descriptor.commit.as_ref(), &deploy.commit));
        return Some(Deployed { commit: deploy.commit.clone(), known_by, before });
    }
    let commit = descriptor.commit.clone()?;
    Some(Deployed { commit, known_by: Redacted::new("what is registered"), before: None })
}

fn before_in(deploys: &[Deploy], commit: &str) -> Option<String> {
    let at =
        deploys.iter().rposition(|deploy| deploy.commit.starts_with(commit) || commit.starts_with(&deploy.commit))?;
    deploys.get(at.checked_sub(1)?).map(|deploy| deploy.commit.clone())
}

fn differs(other: Option<&String>, commit: &str) -> Option<String> {
    other.filter(|other| !other.starts_with(commit) && !commit.starts_with(other.as_str())).cloned()
}

/// A time that passed, for people.
fn span(ms: i64) -> String {
    match ms / 1000 {
        seconds @ ..120 => format!("{seconds} s"),
        seconds @ 120..7200 => format!("{} minutes", seconds / 60),
        seconds @ 7200..172_800 => format!("{} hours", seconds / 3600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::registry::Descriptor;

    const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const B: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";
    const C: &str = "cccccccccccccccccccccccccccccccccccccccc";

    fn entry(commit: Option<&str>, deploys: &[(&str, i64)]) -> Entry {
        let json = json!({"name": "shop", "commit": commit, "revisions": {"shop:41": A, "shop:42": B}});
        let descriptor = Descriptor::from_json(&json, "", &mut Vec::new()).expect("a descriptor");
        let deploys =
            deploys.iter().map(|(commit, at_ms)| Deploy { commit: (*commit).into(), at_ms: *at_ms }).collect();
        Entry { descriptor, is_configured: false, deploys }
    }

    fn of(entry: &Entry, revisions: &[&str]) -> Option<(String, Option<String>)> {
        let revisions: Vec<(Redacted, i64)> = revisions.iter().map(|r| (Redacted::new(r), 0)).collect();
        deployed(entry, &revisions, 100_000, 200_000).map(|of| (of.commit, of.before))
    }

    #[test]
    fn what_records_name_counts_before_deploys_and_these_before_the_descriptor() {
        let some = |commit: &str, before: Option<&str>| Some((commit.to_owned(), before.map(str::to_owned)));
        assert_eq!(of(&entry(None, &[]), &[]), None);
        assert_eq!(of(&entry(Some(C), &[]), &[]), some(C, None));
        assert_eq!(of(&entry(Some(C), &[(A, 1)]), &[]), some(A, Some(C)));
        assert_eq!(of(&entry(None, &[(A, 1), (B, 150_000), (C, 300_000)]), &[]), some(B, Some(A)));
        assert_eq!(of(&entry(None, &[(C, 300_000)]), &[]), some(C, None));
        assert_eq!(of(&entry(Some(C), &[(C, 1)]), &["41", "42"]), some(B, Some(A)));
        assert_eq!(of(&entry(Some(C), &[(C, 1), (B, 2)]), &["42"]), some(B, Some(C)));
        assert_eq!(of(&entry(Some(C), &[]), &["42", "99"]), some(B, Some(C)));
        assert_eq!(of(&entry(Some(C), &[]), &["1234567"]), some(C, None));
        assert_eq!(of(&entry(Some(C), &[]), &["0a1b2c3d"]), some("0a1b2c3d", Some(C)));
    }

    #[test]
    fn how_long_before_the_first_match_it_was_told_is_said() {
        let told = deployed(&entry(None, &[(A, 40_000)]), &[], 100_000, 200_000).expect("a deploy");
        assert_eq!(told.known_by.as_str(), "a deploy told of at 1970-01-01T00:00:40.000Z, 60 s before the first match");
    }
}
