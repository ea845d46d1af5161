//! `POST /webhook/alert`: what others found is investigated as what we find is.
//!
//! Alertmanager's form and `{"data": {"message": …}, "service"?, "cluster"?}` are taken; other keys are ignored. An
//! alert that is known adds nothing: the answer is how its investigation stands. With `?wait=N` the answer comes when
//! that is over, or after N seconds. It is always `{id, status, diagnosis, plan, execution}`.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::{Request, Response, StatusCode};
use serde_json::{Map, Value, json};

use super::{Control, not_ready, read_json};
use crate::escalation::investigation::Investigation;
use crate::escalation::{Crossing, cleaned};
use crate::investigate::case::{Case, shown};
use crate::ledger::engine::alerts::Alert;
use crate::notify::notice::Severity;
use crate::redact::Redacted;
use crate::server::respond;
use crate::watch::rule::clean_label;

/// Of one request: Alertmanager groups its alerts, and says how many it cut off.
const ALERTS_MAX: usize = 100;
/// One whose name has no letter that a label may have.
const UNNAMED: &str = "alert";
/// Below any proxy's patience.
const WAIT_MAX: u64 = 60;
/// Who waits at once: each holds a connection.
pub const WAITING_MAX: usize = 64;
const MESSAGE_BYTES: usize = 2_000;
const NAME_BYTES: usize = 200;
/// How often it is looked whether a dossier was left out.
const LOOK: Duration = Duration::from_millis(500);
/// A dossier is stored a moment before its case is held: so long one that is written and has no case may have one yet.
const BETWEEN: Duration = Duration::from_secs(2);

type Answer = Response<Full<Bytes>>;

impl Control {
    pub(super) async fn alert(&self, request: Request<Incoming>) -> Answer {
        let wait = match wait(request.uri().query().unwrap_or_default()) {
            Ok(wait) => wait,
            Err(message) => return respond::error(StatusCode::BAD_REQUEST, "bad_wait", &message, Some("wait")),
        };
        let value = match read_json(request).await {
            Ok(value) => value,
            Err((code, message)) => return respond::error(StatusCode::BAD_REQUEST, code, &message, None),
        };
        let alerts = alerts(&value, (self.clock)());
        if alerts.is_empty() {
            let message = "neither Alertmanager's form (alerts) nor {\"data\": {\"message\": …}}, or no alert in it";
            return respond::error(StatusCode::BAD_REQUEST, "invalid_alert", message, None);
        }
        let Some(ledger) = self.ledger() else { return not_ready() };
        let Some(ids) = ledger.alerts(alerts).await else {
            let message = "the store cannot commit";
            return respond::error(StatusCode::SERVICE_UNAVAILABLE, "store_unavailable", message, None);
        };
        // Alertmanager sends what fires first; an end that nobody knows the begin of has nothing to show.
        match ids.into_iter().flatten().next() {
            Some(id) => self.how_it_stands(id, wait).await,
            None => respond::json(StatusCode::OK, &nothing(Value::Null, "unknown")),
        }
    }

    async fn how_it_stands(&self, id: u64, wait: Duration) -> Answer {
        let mark = Value::from(format!("E{id}"));
        let mut changes = self.book.changes();
        let place = (!wait.is_zero()).then(|| self.waiting.clone().try_acquire_owned().ok()).flatten();
        let mut written = None;
        let deadline = tokio::time::Instant::now() + if place.is_some() { wait } else { Duration::ZERO };
        loop {
            changes.mark_unchanged();
            let case = self.book.leading(id);
            if let Some(case) = case.as_ref().filter(|case| case.is_done()) {
                return respond::json(StatusCode::OK, &finished(mark, case));
            }
            let now = tokio::time::Instant::now();
            let without = if case.is_none() { self.without_case(id).await } else { None };
            if let Some(status) = without
                && (status != Investigation::Written.as_str() || now >= *written.get_or_insert(now + BETWEEN))
            {
                return respond::json(StatusCode::OK, &nothing(mark, status));
            }
            if now >= deadline || self.ledger().is_none() {
                let status = case.as_ref().map_or(without.unwrap_or("wanted"), |case| case.state());
                return respond::json(StatusCode::ACCEPTED, &nothing(mark, status));
            }
            tokio::select! {
                _ = changes.changed() => {}
                () = tokio::time::sleep_until(deadline.min(now + LOOK)) => {}
            }
        }
    }

    /// What became of one that will have no case; `None`: it may have one yet.
    async fn without_case(&self, id: u64) -> Option<&'static str> {
        let (of, _) = self.ledger()?.with_others(id).await??;
        match of.investigation {
            Some(Investigation::Wanted) => None,
            // It has begun meanwhile, or in a life before cases were kept.
            Some(Investigation::Written) if self.book.get(id).is_some() => None,
            Some(became) => Some(became.as_str()),
            None => Some("none"),
        }
    }
}

fn nothing(mark: Value, status: &str) -> Value {
    json!({"id": mark, "status": status, "diagnosis": null, "plan": null, "execution": null})
}

fn finished(mark: Value, case: &Case) -> Value {
    let mut answer = nothing(mark, case.state());
    for (name, value) in shown::fields(case) {
        if let Some(held) = answer.get_mut(&name) {
            *held = value;
        }
    }
    answer
}

/// `wait=N` of a query.
fn wait(query: &str) -> Result<Duration, String> {
    let Some(given) = query.split('&').find_map(|pair| pair.strip_prefix("wait=")) else { return Ok(Duration::ZERO) };
    let seconds: Option<u64> = given.parse().ok().filter(|seconds| *seconds <= WAIT_MAX);
    seconds.map(Duration::from_secs).ok_or_else(|| format!("wait is a number of seconds from 0 to {WAIT_MAX}"))
}

/// Those of a body, what fires before what ends.
fn alerts(value: &Value, now_ms: i64) -> Vec<Alert> {
    let common = object(value.get("commonLabels"));
    let words = object(value.get("commonAnnotations"));
    let mut given: Vec<&Value> = value.get("alerts").and_then(Value::as_array).into_iter().flatten().collect();
    let ends = |alert: &Value| alert.get("status").and_then(Value::as_str) == Some("resolved");
    // Before the bound: what has ended must not hide what fires.
    given.sort_by_key(|alert| ends(alert));
    if given.len() > ALERTS_MAX {
        let (given, firing) = (given.len(), given.iter().filter(|alert| !ends(alert)).count());
        tracing::warn!(
            given,
            firing,
            taken = ALERTS_MAX,
            "a request has more alerts than are taken: the others are left out"
        );
    }
    let mut alerts: Vec<Alert> = given
        .into_iter()
        .take(ALERTS_MAX)
        .filter_map(|alert| {
            let labels = Fields { own: object(alert.get("labels")), common };
            let words = Fields { own: object(alert.get("annotations")), common: words };
            Some(Alert { crossing: of_labels(&labels, &words, now_ms)?, ends: ends(alert) })
        })
        .collect();
    if alerts.is_empty()
        && let Some(message) = value.get("data").and_then(|data| data.get("message")).and_then(Value::as_str)
        && !message.trim().is_empty()
    {
        let text = |key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default();
        let label = label(message).unwrap_or_else(|| UNNAMED.into());
        let crossing = crossing(label, Severity::Critical, (text("cluster"), text("service")), message, now_ms);
        alerts.push(Alert { crossing, ends: false });
    }
    alerts
}

fn object(value: Option<&Value>) -> Option<&Map<String, Value>> {
    value.and_then(Value::as_object)
}

struct Fields<'v> {
    own: Option<&'v Map<String, Value>>,
    common: Option<&'v Map<String, Value>>,
}

impl<'v> Fields<'v> {
    /// The first of these names that says something.
    fn first(&self, names: &[&str]) -> Option<&'v str> {
        let of =
            |map: Option<&'v Map<String, Value>>, name: &str| map?.get(name)?.as_str().filter(|text| !text.is_empty());
        names.iter().find_map(|name| of(self.own, name).or_else(|| of(self.common, name)))
    }
}

fn of_labels(labels: &Fields<'_>, words: &Fields<'_>, now_ms: i64) -> Option<Crossing> {
    let name = labels.first(&["alertname"])?;
    let message = words.first(&["summary", "description", "message"]).unwrap_or(name);
    let severity = match labels.first(&["severity"]).map(str::to_ascii_lowercase).as_deref() {
        Some("critical" | "page" | "error" | "fatal" | "high") => Severity::Critical,
        Some("info" | "none" | "low") => Severity::Info,
        _ => Severity::Warning,
    };
    let place = (
        labels.first(&["cluster"]).unwrap_or_default(),
        labels.first(&["service", "app", "container", "job"]).unwrap_or_default(),
    );
    let mut crossing = crossing(label(name).unwrap_or_else(|| UNNAMED.into()), severity, place, message, now_ms);
    if let Some(more) = words.first(&["description"]).filter(|more| *more != message) {
        crossing.samples.push(Redacted::new(head(more, MESSAGE_BYTES)));
    }
    Some(crossing)
}

/// What alerts that differ in numbers only have in common.
fn label(words: &str) -> Option<String> {
    let words = Redacted::new(head(words, MESSAGE_BYTES));
    let letters: String = words.as_str().chars().map(|c| if c.is_ascii_digit() { ' ' } else { c }).collect();
    let spaced = letters.split_whitespace().collect::<Vec<_>>().join(" ");
    clean_label(&spaced)
}

fn crossing(
    label: String,
    severity: Severity,
    (cluster, service): (&str, &str),
    message: &str,
    now_ms: i64,
) -> Crossing {
    let name = |text: &str| cleaned(head(text, NAME_BYTES)).as_str().to_owned();
    let service = if service.is_empty() { "unknown".to_owned() } else { name(service) };
    let (cluster, message) = (name(cluster), head(message, MESSAGE_BYTES));
    Crossing {
        label,
        severity,
        summary: message.to_owned(),
        group: vec![("cluster".into(), cluster.clone()), ("service".into(), service.clone())],
        cluster,
        service,
        threshold: 1,
        // No window of ours.
        window_seconds: 0,
        late: false,
        count: 1,
        first_ms: now_ms,
        last_ms: now_ms,
        samples: vec![Redacted::new(message)],
        proposed: false,
    }
}

fn head(text: &str, bytes: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_are_taken_and_what_fires_comes_first() {
        let body = json!({"version": "4", "commonLabels": {"cluster": "prod", "severity": "page"},
            "commonAnnotations": {"summary": "5xx on payments"}, "alerts": [
                {"status": "resolved", "labels": {"alertname": "Old", "service": "cart"}},
                {"status": "firing", "labels": {"alertname": "HighErrorRate", "job": "payments"},
                 "annotations": {"description": "312 in 60 s"}},
                {"status": "firing", "labels": {"severity": "page"}}, 7]});
        let alerts = alerts(&body, 5);
        assert_eq!(
            alerts.iter().map(|a| (a.crossing.service.as_str(), a.ends)).collect::<Vec<_>>(),
            [("payments", false), ("cart", true)]
        );
        let first = &alerts[0].crossing;
        assert_eq!(
            (first.cluster.as_str(), first.severity, first.summary.as_str()),
            ("prod", Severity::Critical, "5xx on payments")
        );
        assert_eq!(first.samples.len(), 2);
        let body =
            json!({"data": {"message": "High Error Rate on Payment API", "x": 1}, "service": "payments", "y": []});
        let one = super::alerts(&body, 5);
        assert_eq!(
            (one.len(), one[0].crossing.service.as_str(), one[0].crossing.cluster.as_str()),
            (1, "payments", "")
        );
        for none in [json!({}), json!([]), json!({"data": {"message": " "}}), json!({"alerts": [{}]}), json!("x")] {
            assert!(super::alerts(&none, 5).is_empty(), "{none}");
        }
    }

    #[test]
    fn what_fires_is_not_hidden_by_what_has_ended_and_a_name_in_any_script_is_taken() {
        let one = |status: &str, name: &str| json!({"status": status, "labels": {"alertname": name, "service": "pay"}});
        let mut given = vec![one("resolved", "Old"); ALERTS_MAX];
        given.push(one("firing", "磁盘已满"));
        let alerts = alerts(&json!({"alerts": given}), 5);
        assert_eq!(alerts.len(), ALERTS_MAX);
        assert_eq!((alerts[0].ends, alerts[0].crossing.label.as_str()), (false, "alert"));
        assert_eq!(alerts[0].crossing.summary, "磁盘已满");
        assert!(alerts[1..].iter().all(|alert| alert.ends));
    }

    #[test]
    fn messages_that_differ_in_numbers_only_are_one() {
        let of = |message: &str| label(message);
        assert_eq!(of("312 errors in 60 s"), of("5 errors in 7 s"));
        assert_ne!(of("disk full"), of("pool empty"));
        assert_eq!(of("12 34"), None);
    }

    #[test]
    fn a_wait_is_a_number_of_seconds_up_to_a_bound() {
        for (query, wanted) in [
            ("", Some(0)),
            ("wait=5", Some(5)),
            ("a=b&wait=60", Some(60)),
            ("wait=61", None),
            ("wait=-1", None),
            ("wait=", None),
        ] {
            assert_eq!(wait(query).ok(), wanted.map(Duration::from_secs), "{query}");
        }
    }
}
