//! Where in a reply its JSON is, and where in that the list that was asked for.

use serde_json::{Deserializer, Map, Value};

use super::{REPLY_MAX_BYTES, Unreadable, get};

/// Beginnings of JSON that turned out to be none. Each costs a reading of the rest, so that their number is
/// what keeps the time linear; a reply with words around its JSON has a few.
const ATTEMPTS: usize = 32;
/// How many wrappers are opened: a list, in an object, in a text, in an object is the deepest that was seen.
const WRAPPERS: usize = 4;
/// More items than that are no list of decisions; what is too many for the reader begins far below.
const ITEMS: usize = 500;

/// What stands in the list that was asked for, in order. An empty list is an answer; no list is none.
pub(super) fn objects(text: &str, list: &'static str) -> Result<Vec<Value>, Unreadable> {
    if text.len() > REPLY_MAX_BYTES {
        return Err(Unreadable::TooLong);
    }
    let text = text.trim_start_matches('\u{feff}').trim();
    if text.is_empty() {
        return Err(Unreadable::Empty);
    }
    let values = match serde_json::from_str::<Value>(text) {
        Ok(value) => vec![value],
        Err(_) => within(text),
    };
    if values.is_empty() {
        return Err(Unreadable::NoJson);
    }
    let mut found = None;
    let mut schema = false;
    for value in values {
        schema |= is_schema(&value);
        collect(value, list, WRAPPERS, &mut found);
    }
    match found {
        Some(items) => Ok(items),
        None if schema => Err(Unreadable::Schema),
        None => Err(Unreadable::NoList(list)),
    }
}

/// Every object and list in a text of words, code blocks and whatever else.
fn within(text: &str) -> Vec<Value> {
    let mut values = Vec::new();
    let mut rest = text;
    let mut attempts = 0;
    while let Some(start) = rest.find(['{', '[']) {
        rest = rest.split_at(start).1;
        let mut stream = Deserializer::from_str(rest).into_iter::<Value>();
        let used = match stream.next() {
            Some(Ok(value)) => {
                values.push(value);
                stream.byte_offset()
            }
            _ => {
                attempts += 1;
                1
            }
        };
        if attempts == ATTEMPTS {
            break;
        }
        rest = rest.split_at(used).1;
    }
    values
}

/// Adds what of the value is an item, through as many wrappers as may be opened.
fn collect(value: Value, list: &str, wrappers: usize, found: &mut Option<Vec<Value>>) {
    let Some(deeper) = wrappers.checked_sub(1) else { return };
    match value {
        Value::Array(items) => {
            let items: Vec<_> = items.into_iter().take(ITEMS).collect();
            // `[1]` in a sentence is no list of ours, but an empty list is an answer.
            if items.is_empty() {
                found.get_or_insert_default();
            }
            for item in items {
                match item {
                    Value::Object(object) if is_item(&object) => push(found, Value::Object(object)),
                    Value::Object(_) | Value::Array(_) | Value::String(_) => collect(item, list, deeper, found),
                    _ => {}
                }
            }
        }
        Value::Object(object) => collect_object(object, list, deeper, found),
        Value::String(text) => {
            if let Ok(value @ (Value::Object(_) | Value::Array(_))) = serde_json::from_str(&text) {
                collect(value, list, deeper, found);
            }
        }
        _ => {}
    }
}

fn collect_object(mut object: Map<String, Value>, list: &str, wrappers: usize, found: &mut Option<Vec<Value>>) {
    if let Some(name) = object.keys().find(|name| name.eq_ignore_ascii_case(list)).cloned() {
        // The name that was asked for: whatever stands in it is an item, of the right form or not.
        match object.remove(&name) {
            Some(Value::Array(items)) => {
                found.get_or_insert_default();
                for item in items.into_iter().take(ITEMS) {
                    match item {
                        Value::String(text) if text.trim_start().starts_with('{') => {
                            push(found, serde_json::from_str(&text).unwrap_or(Value::Null));
                        }
                        Value::Array(_) => collect(item, list, wrappers, found),
                        item => push(found, item),
                    }
                }
            }
            Some(Value::Object(item)) if is_item(&item) => push(found, Value::Object(item)),
            Some(value) => collect(value, list, wrappers, found),
            None => {}
        }
    } else if is_item(&object) {
        push(found, Value::Object(object));
    } else if object.len() == 1 || !is_schema_object(&object) {
        // A wrapper of an invented name, perhaps beside a remark.
        let only = object.len() == 1;
        for (_, value) in object {
            match value {
                Value::Array(ref items) if only || items.iter().any(Value::is_object) => {
                    collect(value, list, wrappers, found);
                }
                Value::Object(_) | Value::String(_) if only => collect(value, list, wrappers, found),
                _ => {}
            }
        }
    }
}

fn push(found: &mut Option<Vec<Value>>, item: Value) {
    let items = found.get_or_insert_default();
    if items.len() < ITEMS {
        items.push(item);
    }
}

/// Whether an object is an action, a rule or a change by what it has.
fn is_item(object: &Map<String, Value>) -> bool {
    let texts = get(object, &["action"]).is_some_and(Value::is_string);
    let rule = ["match", "condition"].iter().any(|name| object.contains_key(*name));
    let change = object.contains_key("label") && object.contains_key("threshold");
    (texts || rule || change) && !is_schema_object(object)
}

fn is_schema(value: &Value) -> bool {
    value.as_object().is_some_and(is_schema_object)
}

fn is_schema_object(object: &Map<String, Value>) -> bool {
    object.contains_key("$schema") || (object.contains_key("properties") && object.contains_key("type"))
}
