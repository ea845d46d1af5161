//! Templates in the store: what a restart goes on with, so that no kind that was told apart before is new again.
//!
//! Templates lie in pages by their id. A page is written when what its templates say has changed, and never for
//! their counts alone, so that a program that learns nothing writes nothing. Each page stands for itself: one that
//! cannot be read costs its own templates, and those are learned anew. No secret is in one.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hasher;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3;

use super::template::{Saved, Snapshot};

/// What a page's note is called: by its number.
pub const PAGE_NOTE: &str = "templates/";
/// First byte of a note. Another version's are left out, not guessed at.
const VERSION: u8 = 1;
/// Ids of one page: some 20 KiB, as a template is a line of text.
const PAGE_IDS: u64 = 128;
/// Bytes of all pages together. Twenty thousand templates take two or three million; of more the oldest are left out.
const BYTES_MAX: usize = 32 * 1024 * 1024;

#[derive(Serialize, Deserialize)]
struct Page {
    last_id: u64,
    templates: Vec<Saved>,
}

/// What of the templates is stored.
#[derive(Debug, Default)]
pub struct Pages {
    /// A hash of what each page in the store says, by its number.
    written: HashMap<u64, u64>,
}

impl Pages {
    /// What the store held; and the notes that could not be read, which are to go.
    pub fn read(notes: &[(String, Vec<u8>)]) -> (Pages, Snapshot, Vec<String>) {
        let (mut pages, mut snapshot, mut unreadable) = (Pages::default(), Snapshot::default(), Vec::new());
        for (key, note) in notes {
            let Some(number) = key.strip_prefix(PAGE_NOTE) else { continue };
            let page = note.strip_prefix(&[VERSION]).and_then(|body| postcard::from_bytes::<Page>(body).ok());
            match (u64::from_str_radix(number, 16).ok(), page) {
                (Some(number), Some(page)) => {
                    pages.written.insert(number, digest(page.templates.iter()));
                    snapshot.last_id = snapshot.last_id.max(page.last_id);
                    snapshot.templates.extend(page.templates);
                }
                _ => unreadable.push(key.clone()),
            }
        }
        // The oldest first, as far as ids tell.
        snapshot.templates.sort_by_key(|saved| saved.id);
        (pages, snapshot, unreadable)
    }

    /// Notes to be stored or deleted since the last time.
    pub fn changed(&mut self, snapshot: &Snapshot) -> Vec<(String, Option<Vec<u8>>)> {
        let mut held: BTreeMap<u64, Vec<&Saved>> = BTreeMap::new();
        for saved in &snapshot.templates {
            held.entry(saved.id.0 / PAGE_IDS).or_default().push(saved);
        }
        let (mut notes, mut bytes) = (Vec::new(), 0usize);
        let mut kept = HashMap::with_capacity(held.len());
        // The newest pages first, so that the oldest give way.
        for (number, mut templates) in held.into_iter().rev() {
            bytes = bytes.saturating_add(templates.iter().map(|saved| saved.text.len() + 32).sum());
            if bytes > BYTES_MAX {
                break;
            }
            templates.sort_by_key(|saved| saved.id);
            let says = digest(templates.iter().copied());
            if self.written.get(&number) != Some(&says) {
                // What is secret in a line is not written down.
                let templates = templates.into_iter().filter_map(Saved::to_store).collect();
                let page = Page { last_id: snapshot.last_id, templates };
                let Ok(note) = postcard::to_extend(&page, vec![VERSION]) else { continue };
                notes.push((name(number), Some(note)));
            }
            kept.insert(number, says);
        }
        notes.extend(self.written.keys().filter(|number| !kept.contains_key(number)).map(|n| (name(*n), None)));
        self.written = kept;
        notes
    }
}

fn name(number: u64) -> String {
    format!("{PAGE_NOTE}{number:x}")
}

/// Of what templates say, not of how often they came.
fn digest<'a>(templates: impl Iterator<Item = &'a Saved>) -> u64 {
    let mut hash = Xxh3::new();
    for saved in templates {
        hash.write_u64(saved.id.0);
        hash.write_u64(saved.group);
        hash.write_usize(saved.text.len());
        hash.write(saved.text.as_bytes());
    }
    hash.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::triage::template::TemplateId;

    fn snapshot(ids: impl IntoIterator<Item = u64>, text: &str) -> Snapshot {
        let saved = |id| Saved { id: TemplateId(id), group: 7, text: format!("{text} {id}"), count: id, exact: false };
        let templates: Vec<Saved> = ids.into_iter().map(saved).collect();
        Snapshot { last_id: templates.iter().map(|saved| saved.id.0).max().unwrap_or(0), templates, united: vec![] }
    }

    fn store(held: &mut BTreeMap<String, Vec<u8>>, notes: Vec<(String, Option<Vec<u8>>)>) -> usize {
        let written = notes.len();
        for (key, note) in notes {
            match note {
                Some(note) => held.insert(key, note),
                None => held.remove(&key),
            };
        }
        written
    }

    #[test]
    fn what_was_stored_is_read_again_and_only_what_changed_is_written() {
        let (mut held, mut pages) = (BTreeMap::new(), Pages::default());
        let first = snapshot(1..1000, "user");
        assert_eq!(store(&mut held, pages.changed(&first)), 8);
        assert_eq!(store(&mut held, pages.changed(&first)), 0);
        let mut counted = first.clone();
        counted.templates.iter_mut().for_each(|saved| saved.count += 1);
        assert_eq!(store(&mut held, pages.changed(&counted)), 0, "counts alone are written by nobody");
        let mut widened = first.clone();
        widened.templates[500].text = "user \u{1}".into();
        assert_eq!(store(&mut held, pages.changed(&widened)), 1);
        let notes: Vec<(String, Vec<u8>)> = held.clone().into_iter().collect();
        let (mut again, read, unreadable) = Pages::read(&notes);
        assert_eq!((read, unreadable.len()), (widened.clone(), 0));
        assert_eq!(store(&mut held, again.changed(&widened)), 0, "nor is it after a restart");
        // Forgotten templates take their pages along.
        assert_eq!(store(&mut held, again.changed(&snapshot(900..1000, "user"))), 8);
        assert_eq!(held.len(), 1);
    }

    #[test]
    fn what_is_secret_in_a_template_is_not_written_down() {
        let texts = ["login of \u{1} refused, password=hunt3er2hunter2 given", "AKIAIOSFODNN7EXAMPLF", "all is well"];
        let mut all = snapshot(1..4, "");
        all.templates.iter_mut().zip(texts).for_each(|(saved, text)| saved.text = text.into());
        all.templates[1].exact = true;
        let notes = Pages::default().changed(&all);
        let held = String::from_utf8_lossy(notes[0].1.as_deref().expect("a page")).into_owned();
        assert!(!held.contains("hunt3er2") && !held.contains("AKIAIOSFODNN7"), "{held}");
        let notes: Vec<(String, Vec<u8>)> = notes.into_iter().filter_map(|(key, note)| Some((key, note?))).collect();
        let (_, read, _) = Pages::read(&notes);
        let texts: Vec<&str> = read.templates.iter().map(|saved| saved.text.as_str()).collect();
        assert_eq!((texts.len(), texts[1]), (2, "all is well"), "what is nothing but a secret is left out");
        assert!(texts[0].starts_with("login of \u{1} refused,") && texts[0].ends_with(" given"), "{texts:?}");
    }

    #[test]
    fn a_page_that_cannot_be_read_costs_itself_alone() {
        let mut pages = Pages::default();
        let notes = pages.changed(&snapshot(1..1000, "user")).into_iter();
        let mut notes: Vec<(String, Vec<u8>)> = notes.map(|(key, note)| (key, note.expect("a page"))).collect();
        notes.sort();
        notes[0].1.truncate(40);
        notes[1].1[0] = VERSION + 1;
        notes.push(("kind/0000".into(), vec![1, 2, 3]));
        let (_, read, unreadable) = Pages::read(&notes);
        assert_eq!(unreadable, [notes[0].0.clone(), notes[1].0.clone()]);
        assert_eq!((read.last_id, read.templates.len()), (999, 999 - 127 - 128));
    }
}
