//! One line of a prompt: a JSON object about one kind of line, or about one of the model's own watches.

use serde_json::{Map, Value};

use super::text::{clean, quoted};
use crate::redact::Redacted;
use crate::triage::{Offer, Why};

/// One of the model's own watches, as it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Own {
    /// Clean already: `[a-z0-9_]{1,48}`.
    pub label: String,
    /// The condition, in the form of a rule's `match`.
    pub condition: Value,
    pub threshold: u64,
    pub window_seconds: u32,
    /// The counts of its last windows, the oldest first; the last [`HISTORY_SHOWN`] are shown.
    pub history: Vec<u64>,
    pub matched_total: u64,
    pub firing: bool,
}

/// As many counts as tell a trend.
pub const HISTORY_SHOWN: usize = 12;

/// Shares of a line, in bytes: names are short, the template is what it is about, fields help to write a rule.
const SERVICE_BYTES: usize = 60;
const FIELDS_BYTES: usize = 140;
const FIELD_BYTES: usize = 40;
/// What is left for it is not worth an example.
const LEAST_EXAMPLE_BYTES: usize = 24;
const CONDITION_TEXT_BYTES: usize = 120;
/// A condition may be nested so deep, which is as deep as a rule may be.
const CONDITION_DEPTH: usize = 16;

const TEMPLATE: &str = r#","template":"#;
const EXAMPLE: &str = r#","example":"#;
const MATCH: &str = r#","match":"#;

/// What one line of the kind looked like, unless the template says as much.
pub(super) fn example(offer: &Offer) -> Option<Redacted> {
    let shown = offer.shown.one_line();
    (!shown.is_empty() && shown.as_str() != offer.template).then_some(shown)
}

/// At most `max` bytes, which are at least [`super::LEAST_LINE_BYTES`].
pub(super) fn offer(offer: &Offer, number: usize, example: Option<&Redacted>, max: usize) -> String {
    let from = match offer.cluster.as_str() {
        "" => offer.service.clone(),
        cluster => format!("{cluster}/{}", offer.service),
    };
    let mut line = format!(
        r#"{{"line":{number},"service":{},"level":"{}","why":"{}","count":{},"seconds":{}"#,
        quoted(&clean(&from), SERVICE_BYTES),
        offer.level.as_str(),
        why(offer.why),
        offer.count,
        offer.over_seconds.max(1),
    );
    // The template comes before the fields where there is room for one of them only.
    let room = max.saturating_sub(line.len() + TEMPLATE.len() + 1);
    let fields = fields(&offer.fields, FIELDS_BYTES.min(room / 3));
    let room = room.saturating_sub(fields.len()).max(5);
    // An example may not crowd out the template, and lives on what the template leaves.
    let template = quoted(&clean(&offer.template), if example.is_some() { room * 2 / 3 } else { room });
    line.push_str(TEMPLATE);
    line.push_str(&template);
    line.push_str(&fields);
    let room = room.saturating_sub(template.len() + EXAMPLE.len());
    if let Some(example) = example.filter(|_| room >= LEAST_EXAMPLE_BYTES) {
        line.push_str(EXAMPLE);
        line.push_str(&quoted(example, room));
    }
    line.push('}');
    line
}

/// `,"fields":[…]` with as many names as fit into `max` bytes, or nothing.
fn fields(names: &[String], max: usize) -> String {
    const OPENING: &str = r#","fields":["#;
    let mut list = OPENING.to_owned();
    for name in names {
        // Half a name would be no field: one that is longer is left out.
        let name = quoted(&clean(name), FIELD_BYTES);
        if name.len() <= 2 || name.ends_with("…\"") || list.len() + name.len() + 2 > max {
            continue;
        }
        if list.len() > OPENING.len() {
            list.push(',');
        }
        list.push_str(&name);
    }
    if list.len() == OPENING.len() { String::new() } else { list + "]" }
}

/// At most `max` bytes.
pub(super) fn own(own: &Own, number: usize, max: usize) -> String {
    let shown = own.history.len().saturating_sub(HISTORY_SHOWN);
    let history: Vec<String> = own.history.iter().skip(shown).map(u64::to_string).collect();
    let mut line = format!(
        r#"{{"line":{number},"label":{},"threshold":{},"window_seconds":{},"counts":[{}],"matched_total":{},"firing":{}"#,
        quoted(&clean(&own.label), SERVICE_BYTES),
        own.threshold,
        own.window_seconds,
        history.join(","),
        own.matched_total,
        own.firing,
    );
    let condition = condition(&own.condition, CONDITION_DEPTH);
    // Half a condition would say something else.
    if line.len() + MATCH.len() + condition.len() < max {
        line.push_str(MATCH);
        line.push_str(&condition);
    }
    line.push('}');
    line
}

/// A condition with its texts cleaned: they were copied from log lines.
fn condition(value: &Value, depth: usize) -> String {
    let Some(deeper) = depth.checked_sub(1) else { return "null".to_owned() };
    match value {
        Value::String(text) => quoted(&clean(text), CONDITION_TEXT_BYTES),
        Value::Array(items) => {
            let items: Vec<_> = items.iter().map(|item| condition(item, deeper)).collect();
            format!("[{}]", items.join(","))
        }
        Value::Object(fields) => object(fields, deeper),
        plain => plain.to_string(),
    }
}

fn object(fields: &Map<String, Value>, depth: usize) -> String {
    let pair = |(name, value): (&String, &Value)| {
        format!("{}:{}", quoted(&clean(name), CONDITION_TEXT_BYTES), condition(value, depth))
    };
    format!("{{{}}}", fields.iter().map(pair).collect::<Vec<_>>().join(","))
}

fn why(why: Why) -> &'static str {
    match why {
        Why::New => "new",
        Why::Rate => "more often than before",
        Why::Level => "more severe than before",
        Why::Deploy => "new revision",
        Why::Again => "again",
    }
}
