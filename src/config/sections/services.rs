//! `[[service]]`: where the source of services is.

use std::collections::BTreeMap;

use super::to_json;
use crate::config::reader::Section;
use crate::fault::{Fault, join, quoted};
use crate::registry::{Descriptor, SERVICES_MAX};

pub(super) fn read(root: &mut Section<'_, '_>) -> Vec<Descriptor> {
    let mut services = Vec::new();
    let mut names: BTreeMap<(String, String), String> = BTreeMap::new();
    for (path, value) in root.list("service", SERVICES_MAX) {
        services.extend(Descriptor::from_json(&to_json(value), &path, &mut root.reader.faults));
        let text = |key: &str| value.get(key).and_then(toml::Value::as_str).unwrap_or_default().to_owned();
        // One that has other faults, too: one run should tell of both.
        let of = (text("name"), text("cluster"));
        if of.0.is_empty() {
            continue;
        }
        if let Some(first) = names.get(&of) {
            let message = format!("{} is already the name of {first}, of the same cluster", quoted(&of.0));
            root.reader.push(Fault::new(join(&path, "name"), message));
        } else {
            names.insert(of, path);
        }
    }
    services
}
