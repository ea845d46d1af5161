//! `[[record.service_map]]`: a name that is found in a record becomes another one.

use std::collections::BTreeMap;

use super::super::defaults as d;
use super::super::reader::Section;
use super::super::text::Hint;
use crate::fault::{Fault, quoted};
use crate::record::naming::{Mapping, Names, Source};

pub(super) fn service_map(section: &mut Section<'_, '_>) -> Vec<Mapping> {
    let name = format!("a name of 1 to {} bytes", d::NAME_MAX_BYTES);
    let from = format!("{name}, or the beginning of one and a *");
    let mut mappings = Vec::new();
    // By place and pattern as read: a second one of the same would never be asked.
    let mut seen: BTreeMap<(String, String), String> = BTreeMap::new();
    for (path, table) in section.tables("service_map", d::SERVICE_MAP_MAX) {
        let mut element = section.reader.element(path.clone(), table);
        let field = element.text("field", FIELD_FORM, |text| place(text).map(|place| (text.to_owned(), place)));
        let pattern = element.text("from", &from, |text| names(text).map(|names| (text.to_owned(), names)));
        let service = element.text("service", &name, whole);
        let cluster = element.text("cluster", &name, whole);
        for (key, given, expected) in [("from", pattern.is_given(), &from), ("service", service.is_given(), &name)] {
            if !given {
                element.reader.push(Fault::missing(element.key(key), expected));
            }
        }
        let field = if field.is_given() { field.good() } else { Some(("service".to_owned(), Source::Service)) };
        if let (Some((place, field)), Some((pattern, from))) = (field, pattern.good()) {
            match seen.get(&(place.clone(), pattern.clone())) {
                Some(first) => {
                    let message = format!("{} is mapped by {first} already, which comes first", quoted(&pattern));
                    element.reader.push(Fault::new(element.key("from"), message));
                }
                None => {
                    seen.insert((place, pattern), path);
                }
            }
            if let Some(service) = service.good() {
                mappings.push(Mapping { field, from, service, cluster: cluster.good() });
            }
        }
        element.finish();
    }
    mappings
}

const FIELD_FORM: &str = "one of service, cluster, container, task, host, source, revision and tag, or a path such as kubernetes.labels.team";

fn place(text: &str) -> Result<Source, Hint> {
    let sound = text.len() <= d::NAME_PATH_MAX_BYTES && text.split('.').all(|part| !part.is_empty());
    Source::of(text).filter(|_| sound).ok_or(None)
}

fn names(text: &str) -> Result<Names, Hint> {
    if !(1..=d::NAME_MAX_BYTES).contains(&text.len()) {
        return Err(None);
    }
    Names::of(text).ok_or_else(|| Some("a * stands at the end only".into()))
}

fn whole(text: &str) -> Result<String, Hint> {
    match text {
        _ if !(1..=d::NAME_MAX_BYTES).contains(&text.len()) => Err(None),
        _ if text.contains('*') => Err(Some("a * means something in from only".into())),
        _ => Ok(text.to_owned()),
    }
}
