//! `GET /quarantine` and the services in `/status`: what is not understood, of whom, and who sends what.
//!
//! Everything a sender chose passes redaction before it is shown.

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Response, StatusCode};
use serde_json::{Map, Value, json};

use crate::ingest::quarantine::{Quarantine, ShownSample};
use crate::ingest::services::Services;
use crate::ingest::stage;
use crate::notify::alerts::rfc3339;
use crate::redact::Redacted;
use crate::server::respond;

/// Entries shown when nobody says how many.
const SHOWN: usize = 100;
/// Most that one answer holds: some 2 MB.
const SHOWN_MAX: usize = 2_000;
/// Longest name of a cluster or service shown.
const NAME_MAX: usize = 200;

/// `query`: `reason` and `limit`, each at most once.
pub(super) fn answer(quarantine: &Quarantine, query: Option<&str>) -> Response<Full<Bytes>> {
    let (mut reason, mut limit) = (None, SHOWN);
    for (name, value) in
        query.unwrap_or_default().split('&').filter(|p| !p.is_empty()).map(|p| p.split_once('=').unwrap_or((p, "")))
    {
        let wrong = match name {
            "reason" => match stage::reasons().find(|known| *known == value) {
                Some(known) => {
                    reason = Some(known);
                    continue;
                }
                None => format!("must be one of {}", stage::reasons().collect::<Vec<_>>().join(", ")),
            },
            "limit" => match value.parse().ok().filter(|limit| (1..=SHOWN_MAX).contains(limit)) {
                Some(wanted) => {
                    limit = wanted;
                    continue;
                }
                None => format!("must be a whole number from 1 to {SHOWN_MAX}"),
            },
            _ => "unknown; reason and limit are known".to_owned(),
        };
        let field: String = name.chars().filter(char::is_ascii_graphic).take(40).collect();
        return respond::error(StatusCode::BAD_REQUEST, "bad_query", &wrong, Some(&field));
    }
    let shown = quarantine.show(reason, limit);
    let samples: Vec<Value> = shown.samples.iter().map(entry).collect();
    let body = json!({
        "quarantined": shown.quarantined, "kept": shown.kept, "evicted": shown.evicted, "samples": samples,
    });
    respond::json(StatusCode::OK, &body)
}

fn entry(sample: &ShownSample) -> Value {
    let mut entry = serde_json::to_value(sample).unwrap_or_default();
    if let Some(fields) = entry.as_object_mut() {
        fields.insert("first".into(), rfc3339(sample.first_ms).into());
        fields.insert("last".into(), rfc3339(sample.last_ms).into());
    }
    entry
}

/// The services that send most, each with the forms its lines come in.
pub(super) fn services(services: &Services) -> Value {
    let name = |text: &str| Value::from(Redacted::new(text).one_line().cut(NAME_MAX).as_str());
    let shown = services.all().into_iter().map(|(cluster, service, figures)| {
        let formats: Map<String, Value> = figures.by_format().map(|(f, count)| (f.to_owned(), count.into())).collect();
        let mut shown = json!({
            "cluster": name(&cluster), "service": name(&service), "lines": figures.lines, "formats": formats,
            "last_seen": figures.newest_ms.map(rfc3339),
        });
        // A form that is rare beside the others: most often lines that a filter did not take apart.
        if let Some(fields) = shown.as_object_mut().filter(|_| figures.is_mixed()) {
            fields.insert("mixed".into(), true.into());
        }
        shown
    });
    shown.collect()
}
