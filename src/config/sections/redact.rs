//! The `[redact]` section: what is hidden of log text beyond secrets.

use std::collections::BTreeMap;

use crate::config::defaults as d;
use crate::config::reader::Section;
use crate::fault::{Fault, join, quoted};
use crate::redact::policy::{self, Custom, Policy};

pub(super) fn read(mut section: Section<'_, '_>) -> Policy {
    let field = |text: &str| if policy::is_field(text) { Ok(text.to_owned()) } else { Err(None) };
    let policy = Policy {
        emails: section.flag("emails").unwrap_or(d::REDACT_EMAILS),
        cards: section.flag("cards").unwrap_or(d::REDACT_CARDS),
        ips: section.flag("ips").unwrap_or(d::REDACT_IPS),
        patterns: patterns(&mut section),
        fields: section.texts("fields", policy::FIELDS_MAX, FIELD_FORM, field),
    };
    section.finish();
    policy
}

const FIELD_FORM: &str = "a field's name of 1 to 64 letters, digits, _, . and -";
const NAME_FORM: &str =
    "1 to 32 of lower-case letters, digits, _ and -, and no name that has a meaning already (such as email or jwt)";

fn patterns(section: &mut Section<'_, '_>) -> Vec<Custom> {
    let mut names: BTreeMap<String, String> = BTreeMap::new();
    let mut patterns = Vec::new();
    for (path, table) in section.tables("patterns", policy::PATTERNS_MAX) {
        let mut element = section.reader.element(path.clone(), table);
        let name =
            element.text("name", NAME_FORM, |text| if policy::is_name(text) { Ok(text.to_owned()) } else { Err(None) });
        if !name.is_given() {
            element.reader.push(Fault::missing(element.key("name"), NAME_FORM));
        }
        let name = name.good();
        if let Some(name) = &name {
            if let Some(first) = names.get(name) {
                let message = format!("{} is already the name of {first}", quoted(name));
                element.reader.push(Fault::new(join(&path, "name"), message));
            } else {
                names.insert(name.clone(), path.clone());
            }
        }
        let regex = element.text("regex", "a regular expression", |text| Ok(text.to_owned()));
        if !regex.is_given() {
            element.reader.push(Fault::missing(element.key("regex"), "a regular expression"));
        }
        // Of a pattern without a good name the regex is looked at all the same.
        if let Some(regex) = regex.good() {
            match Custom::new(name.as_deref().unwrap_or_default(), &regex) {
                Ok(custom) => patterns.extend(name.map(|_| custom)),
                Err(what) => {
                    let message = if regex.is_empty() { what } else { format!("{} {what}", quoted(&regex)) };
                    element.reader.push(Fault::new(element.key("regex"), message));
                }
            }
        }
        element.finish();
    }
    patterns
}
