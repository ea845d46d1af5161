//! The control API: what is watched, what fires, how the receiver does; and changing the watches.

pub mod alerts;
mod dead_letters;
mod investigations;
mod quarantine;
pub mod services;

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::{Method, Request, Response, StatusCode};
use serde_json::{Map, Value, json};
use tokio::sync::{Semaphore, watch};

use super::respond;
use crate::fault::Fault;
use crate::ingest::{Phase, quarantine::Quarantine, reply, services::Services};
use crate::investigate::budget::Limits;
use crate::investigate::case::book::Book;
use crate::investigate::model::Model;
use crate::investigate::shelf::Shelf;
use crate::ledger::window::Phase as WindowPhase;
use crate::ledger::{Ledger, Refused};
use crate::metrics::Metrics;
use crate::redact::Redacted;
use crate::state::view::View as StateView;
use crate::triage::view::View;
use crate::watch::rule::Rule;
use crate::watch::{Watch, group_values};

/// A rule is at most a few kilobytes.
const BODY_MAX: usize = 256 * 1024;
/// A person or a script sends it at once.
const BODY_TIME: std::time::Duration = std::time::Duration::from_secs(10);
/// Groups shown of one watch, those with the highest counts.
const GROUPS_SHOWN: usize = 1000;
/// Escalations shown, the newest.
const ESCALATIONS_SHOWN: usize = 200;

pub struct Control {
    pub phase: watch::Receiver<Phase>,
    pub metrics: Metrics,
    pub quarantine: Arc<Quarantine>,
    pub services: Arc<Services>,
    pub triage: Arc<View>,
    pub shelf: Arc<Shelf>,
    pub book: Arc<Book>,
    /// Whom `/status` says is asked, and within which budget.
    pub investigator: Investigator,
    /// Places for those that wait for the end of an investigation.
    pub waiting: Arc<Semaphore>,
    pub registered: services::Services,
    /// `None`: the small state is kept nowhere else.
    pub state: Option<Arc<StateView>>,
    /// Unix milliseconds.
    pub clock: fn() -> i64,
    pub started_ms: i64,
    pub about: About,
}

/// What answers about escalations.
pub struct Investigator {
    pub model: Option<Arc<Model>>,
    pub limits: Limits,
}

/// What `/status` says of the configuration.
#[derive(Clone, Debug)]
pub struct About {
    pub configuration: String,
    pub store: String,
    pub durability: &'static str,
    pub destinations: Vec<&'static str>,
}

impl Control {
    /// Whether anything is at this path.
    pub fn has(&self, path: &str) -> bool {
        matches!(
            path,
            "/metrics"
                | "/status"
                | "/watches"
                | "/escalations"
                | "/investigations"
                | "/quarantine"
                | "/triage"
                | "/dead-letters"
                | "/services"
                | "/webhook/alert"
        ) || path.starts_with("/watches/")
            || path.starts_with("/investigations/")
            || path.starts_with("/dead-letters/")
            || path.starts_with("/services/")
    }

    pub async fn answer(&self, method: &Method, path: &str, request: Request<Incoming>) -> Response<Full<Bytes>> {
        if let Some(rest) = path.strip_prefix("/services") {
            return self.registered_services(method, rest, request).await;
        }
        let label = path.strip_prefix("/watches/");
        let dossier = path.strip_prefix("/investigations/");
        let rolled = label.and_then(|label| label.strip_suffix("/rollback"));
        let resent = path.strip_prefix("/dead-letters/").and_then(|path| path.strip_suffix("/resend"));
        match (method, path, label) {
            (&Method::GET, "/metrics", _) => self.metrics_page(),
            (&Method::GET, "/status", _) => respond::json(StatusCode::OK, &self.status()),
            (&Method::GET, "/watches", _) => self.with_ledger(|ledger| self.watches(ledger)),
            (&Method::GET, "/quarantine", _) => quarantine::answer(&self.quarantine, request.uri().query()),
            (&Method::GET, "/escalations", _) => self.escalations().await,
            (&Method::GET, "/dead-letters", _) => self.dead_letters().await,
            (&Method::POST, "/dead-letters/resend", _) => self.resend(None).await,
            (&Method::POST, _, _) if resent.is_some() => self.resend(resent).await,
            (&Method::GET, "/investigations", _) => self.investigations().await,
            (&Method::GET, _, _) if dossier.is_some() => {
                self.investigation(dossier.unwrap_or_default(), reply::wants_json(request.headers())).await
            }
            (&Method::POST, "/webhook/alert", _) => self.alert(request).await,
            (&Method::POST, "/watches", _) => self.post_watch(request).await,
            (&Method::GET, "/triage", _) => respond::json(StatusCode::OK, &self.triage()),
            (&Method::POST, _, _) if rolled.is_some() => self.roll_back(rolled.unwrap_or_default()).await,
            (&Method::GET, _, Some(label)) => self.with_ledger(|ledger| self.one_watch(ledger, label)),
            (&Method::DELETE, _, Some(label)) => self.delete_watch(label).await,
            _ => respond::error(
                StatusCode::METHOD_NOT_ALLOWED,
                "method_not_allowed",
                "GET /metrics, /status, /escalations, /dead-letters, /investigations, /investigations/E42, /investigations/E42.diff, /quarantine, /services, /triage, /watches, /watches/LABEL; POST /watches, /watches/LABEL/rollback, /webhook/alert, /dead-letters/resend, /dead-letters/ID/resend; DELETE /watches/LABEL",
                None,
            ),
        }
    }

    fn ledger(&self) -> Option<Ledger> {
        match &*self.phase.borrow() {
            Phase::Ready { ledger, .. } => Some(ledger.clone()),
            Phase::Starting | Phase::Draining => None,
        }
    }

    fn with_ledger(&self, show: impl FnOnce(&Ledger) -> Response<Full<Bytes>>) -> Response<Full<Bytes>> {
        self.ledger().map_or_else(not_ready, |ledger| show(&ledger))
    }

    fn metrics_page(&self) -> Response<Full<Bytes>> {
        self.metrics.triage_down.set(i64::from(self.triage.is_down((self.clock)())));
        self.metrics.state_age.set(self.state.as_ref().map_or(0, |state| state.age_seconds((self.clock)())));
        match self.metrics.page() {
            Ok(page) => respond::text(StatusCode::OK, "text/plain; version=0.0.4", page),
            Err(error) => {
                tracing::error!(%error, "metrics cannot be written out");
                respond::error(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "metrics",
                    "metrics cannot be written out; see the log",
                    None,
                )
            }
        }
    }

    fn status(&self) -> Value {
        let (phase, watching) = match &*self.phase.borrow() {
            Phase::Starting => ("starting", None),
            Phase::Draining => ("draining", None),
            Phase::Ready { ledger, .. } => ("ready", Some(ledger.clone())),
        };
        let firing = watching.as_ref().map(|ledger| self.firing(ledger));
        let lines: Map<String, Value> =
            ["matched", "unmatched", "joined", "blank", "own", "rejected", "repeat", "aborted"]
                .into_iter()
                .map(|outcome| (outcome.to_owned(), self.metrics.lines.with_label_values(&[outcome]).get().into()))
                .collect();
        let outcomes: u64 = lines.values().filter_map(Value::as_u64).sum();
        json!({
            "status": phase,
            "version": env!("CARGO_PKG_VERSION"),
            "uptime_seconds": ((self.clock)() - self.started_ms) / 1000,
            "configuration": self.about.configuration,
            "store": {
                "path": self.about.store,
                "durability": self.about.durability,
                "failing": self.metrics.store_failing.get() == 1,
                "windows": self.metrics.windows.get(),
                "unconfirmed_deliveries": self.metrics.deliveries_unconfirmed.get(),
            },
            "state": self.state.as_ref().map(|state| state.status((self.clock)())),
            "lines": lines,
            "tally": {
                "read": self.metrics.lines_read.get(),
                "outcomes": outcomes,
                "faulty_batches": self.metrics.tally_faults.get(),
            },
            "watches": watching.as_ref().map(|l| l.watches().watches().len()),
            "firing": firing,
            "triage": self.triage.standing((self.clock)()),
            "investigation": self.investigation_status(),
            "services": quarantine::services(&self.services),
            "outbox": {
                "destinations": self.about.destinations,
                "waiting": self.metrics.outbox_rows.get(),
                "oldest_seconds": self.metrics.outbox_age.get(),
                "dead": self.metrics.outbox_dead.get(),
            },
        })
    }

    /// Who judges what is new, and what was decided.
    fn triage(&self) -> Value {
        let mut shown = self.triage.standing((self.clock)());
        shown["decisions"] = self.triage.decisions();
        shown
    }

    async fn roll_back(&self, label: &str) -> Response<Full<Bytes>> {
        let Some(ledger) = self.ledger() else { return not_ready() };
        match ledger.roll_back(label.to_owned()).await {
            Ok(()) => match ledger.watches().by_label(label) {
                Some(watch) => {
                    let groups = ledger.shards().groups((self.clock)());
                    respond::json(StatusCode::OK, &show(watch, &ledger, &groups))
                }
                None => respond::json(StatusCode::OK, &json!({"label": label, "removed": true})),
            },
            Err(refusal) => refused(&refusal),
        }
    }

    /// Labels of the watches that fire now.
    fn firing(&self, ledger: &Ledger) -> Vec<String> {
        let groups = ledger.shards().groups((self.clock)());
        let set = ledger.watches();
        let fires =
            |watch: &&Watch| groups.get(&watch.key).is_some_and(|g| g.iter().any(|g| g.phase == WindowPhase::Firing));
        set.watches().iter().filter(fires).map(|w| w.rule.label.clone()).collect()
    }

    fn watches(&self, ledger: &Ledger) -> Response<Full<Bytes>> {
        let (set, groups) = (ledger.watches(), ledger.shards().groups((self.clock)()));
        let shown: Vec<Value> = set.watches().iter().map(|watch| show(watch, ledger, &groups)).collect();
        respond::json(StatusCode::OK, &json!({"watches": shown}))
    }

    fn one_watch(&self, ledger: &Ledger, label: &str) -> Response<Full<Bytes>> {
        let groups = ledger.shards().groups((self.clock)());
        match ledger.watches().by_label(label) {
            Some(watch) => respond::json(StatusCode::OK, &show(watch, ledger, &groups)),
            None => refused(&Refused::Unknown),
        }
    }

    async fn post_watch(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let value = match read_json(request).await {
            Ok(value) => value,
            Err((code, message)) => return respond::error(StatusCode::BAD_REQUEST, code, &message, None),
        };
        let mut faults: Vec<Fault> = Vec::new();
        let Some(rule) = Rule::from_json(&value, "", &mut faults).filter(|_| faults.is_empty()) else {
            return faulty("invalid_watch", &faults);
        };
        let Some(ledger) = self.ledger() else { return not_ready() };
        let label = rule.label.clone();
        match ledger.put_watch(rule).await {
            Ok(replaced) => {
                let groups = ledger.shards().groups((self.clock)());
                let shown = ledger.watches().by_label(&label).map(|watch| show(watch, &ledger, &groups));
                let status = if replaced { StatusCode::OK } else { StatusCode::CREATED };
                respond::json(status, &shown.unwrap_or_default())
            }
            Err(refusal) => refused(&refusal),
        }
    }

    /// What was told, newest first.
    async fn escalations(&self) -> Response<Full<Bytes>> {
        let Some(ledger) = self.ledger() else { return not_ready() };
        let Some(escalations) = ledger.escalations(ESCALATIONS_SHOWN).await else { return not_ready() };
        let shown: Vec<Value> = escalations
            .iter()
            .map(|e| {
                let group: Map<String, Value> = e.group.iter().map(|(n, v)| (n.clone(), v.as_str().into())).collect();
                json!({
                    "id": format!("E{}", e.id), "label": e.label, "severity": e.severity.as_str(),
                    "state": if e.firing > 0 { "firing" } else { "quiet" }, "late": e.late,
                    "cluster": e.cluster, "service": e.service, "group": group, "count": e.count,
                    "threshold": e.threshold, "window_seconds": e.window_seconds, "crossings": e.crossings,
                    "opened_ms": e.opened_ms, "first_ms": e.first_ms, "last_ms": e.last_ms,
                    "summary": e.summary, "samples": e.samples, "investigation": e.investigation,
                    "incident": format!("E{}", e.incident()),
                })
            })
            .collect();
        respond::json(StatusCode::OK, &json!({"escalations": shown}))
    }

    async fn delete_watch(&self, label: &str) -> Response<Full<Bytes>> {
        let Some(ledger) = self.ledger() else { return not_ready() };
        match ledger.delete_watch(label.to_owned()).await {
            Ok(()) => {
                let mut response = Response::new(Full::new(Bytes::new()));
                *response.status_mut() = StatusCode::NO_CONTENT;
                response
            }
            Err(refusal) => refused(&refusal),
        }
    }
}

type Groups = std::collections::HashMap<crate::watch::WatchKey, Vec<crate::ledger::shards::GroupView>>;

fn show(watch: &Watch, ledger: &Ledger, groups: &Groups) -> Value {
    let empty = Vec::new();
    let groups = groups.get(&watch.key).unwrap_or(&empty);
    let total = ledger.shards().total(watch.key);
    let mut shown = watch.rule.to_json();
    let firing = groups.iter().any(|g| g.phase == WindowPhase::Firing);
    let listed: Vec<Value> = groups
        .iter()
        .take(GROUPS_SHOWN)
        .map(|group| {
            let names = watch.rule.group_by.iter().cloned();
            // A rule may group by whatever a line says.
            let values = group_values(&group.group).into_iter();
            let values = values.map(|value| Value::from(Redacted::new(&value).one_line().as_str()));
            let key: Map<String, Value> = names.zip(values).collect();
            json!({"key": key, "count": group.count, "state": word(group.phase)})
        })
        .collect();
    if let Some(fields) = shown.as_object_mut() {
        fields.insert("origin".into(), watch.origin.as_str().into());
        fields.insert("matched_total".into(), total.matched.into());
        fields.insert("state".into(), if firing { "firing" } else { "quiet" }.into());
        fields.insert("groups".into(), listed.into());
        if let Some(provenance) = &watch.provenance {
            fields.insert("shadow".into(), provenance.shadow.into());
            fields.insert("provenance".into(), serde_json::to_value(&provenance.changes).unwrap_or_default());
        }
        if groups.len() > GROUPS_SHOWN {
            fields.insert("groups_left_out".into(), (groups.len() - GROUPS_SHOWN).into());
        }
    }
    shown
}

fn word(phase: WindowPhase) -> &'static str {
    match phase {
        WindowPhase::Quiet => "quiet",
        WindowPhase::Firing => "firing",
        WindowPhase::NoData { .. } => "no_data",
    }
}

/// The whole body as JSON, or the code and message of what is answered instead.
#[expect(clippy::disallowed_methods, reason = "Limited, and small")]
async fn read_json(request: Request<Incoming>) -> Result<Value, (&'static str, String)> {
    let body = match tokio::time::timeout(BODY_TIME, Limited::new(request.into_body(), BODY_MAX).collect()).await {
        Ok(Ok(body)) => body.to_bytes(),
        Err(_) => return Err(("bad_body", format!("the body took longer than {} s", BODY_TIME.as_secs()))),
        Ok(Err(error)) => {
            return Err(("bad_body", format!("the body cannot be read, or is larger than {BODY_MAX} bytes: {error}")));
        }
    };
    serde_json::from_slice(&body).map_err(|error| ("bad_json", format!("the body is no JSON: {error}")))
}

/// The first fault as the error, and all of them beside it.
fn faulty(code: &str, faults: &[Fault]) -> Response<Full<Bytes>> {
    let first = faults.first();
    let message = first.map_or_else(|| "it is not valid".to_owned(), |f| f.message.clone());
    let mut body = json!({"error": {"code": code, "message": message}});
    if let Some(error) = body.get_mut("error") {
        if let Some(fault) = first {
            error["field"] = fault.key.as_str().into();
        }
        error["faults"] = faults.iter().map(|f| json!({"field": f.key, "message": f.message})).collect();
    }
    respond::json(StatusCode::BAD_REQUEST, &body)
}

fn refused(refusal: &Refused) -> Response<Full<Bytes>> {
    let (status, code) = match refusal {
        Refused::Unknown => (StatusCode::NOT_FOUND, "unknown_watch"),
        Refused::Configured => (StatusCode::CONFLICT, "configured_watch"),
        Refused::Full(_) => (StatusCode::CONFLICT, "too_many_watches"),
        Refused::Taken => (StatusCode::CONFLICT, "label_taken"),
        Refused::NoEarlier => (StatusCode::CONFLICT, "no_earlier_form"),
        Refused::Regexes(_) => (StatusCode::CONFLICT, "too_many_regexes"),
        Refused::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "store_unavailable"),
    };
    respond::error(status, code, &refusal.to_string(), None)
}

fn not_ready() -> Response<Full<Bytes>> {
    respond::error(StatusCode::SERVICE_UNAVAILABLE, "not_ready", "starting or stopping; see /ready", None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::fixture;
    use crate::watch::Origin;
    use crate::watch::provenance::{CHANGES_MAX, Change, Provenance};

    #[tokio::test]
    async fn every_change_to_a_proposed_watch_is_listed_up_to_a_bound_and_the_first_always() {
        let rule = |threshold: usize| {
            let json = json!({"label": "ai", "match": {"contains": "x"}, "threshold": threshold, "window_seconds": 60});
            Rule::from_json(&json, "", &mut Vec::new()).expect("a rule")
        };
        let change = |n: usize| Change {
            at_ms: n as i64,
            by: if n == 0 { "triage" } else { "tune" }.into(),
            model: "some".into(),
            prompt: "00".into(),
            reply: Redacted::new("{}"),
            reason: Redacted::new(&format!("reason {n}")),
            before: (n > 0).then(|| rule(9 + n).to_json()),
            after: Some(rule(10 + n).to_json()),
        };
        let metrics = Metrics::register().expect("metrics");
        let (ledger, _) = fixture::ledger(vec![], &metrics);
        for changes in [1, 3, CHANGES_MAX + 5] {
            let mut provenance = Provenance::of(change(0));
            (1..changes).for_each(|n| provenance.add(change(n)));
            let watch = Watch::proposed(rule(9 + changes), Origin::Triage, 0, provenance);
            let shown = show(&watch, &ledger, &Groups::new());
            let listed = shown["provenance"].as_array().expect("a list");
            assert_eq!(listed.len(), changes.min(CHANGES_MAX));
            let (first, last) = (&listed[0], &listed[listed.len() - 1]);
            assert_eq!((&first["by"], &first["before"]), (&json!("triage"), &Value::Null));
            assert_eq!(last["after"]["threshold"], 9 + changes, "oldest first");
            assert_eq!(last["reason"], format!("reason {}", changes - 1));
            assert_eq!(shown["shadow"], false);
        }
        // A person's has none.
        let shown = show(&Watch::new(rule(10), Origin::Api), &ledger, &Groups::new());
        assert_eq!((shown.get("provenance"), shown.get("shadow")), (None, None));
    }
}
