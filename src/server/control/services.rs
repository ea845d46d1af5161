//! `/services`: what is registered about services, and telling which commit runs.

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::{Method, Request, Response, StatusCode};
use serde_json::{Value, json};

use super::{Control, faulty, not_ready, read_json};
use crate::fault::{Fault, shown};
use crate::investigate::source::Library;
use crate::registry::location::is_commit;
use crate::registry::{Change, Descriptor, Entry, Refused};
use crate::server::respond;

/// What registered services are changed through. Changes come one after the other: each is durable before the next
/// is decided.
pub struct Services {
    pub library: Library,
    pub changing: tokio::sync::Mutex<()>,
}

type Answer = Response<Full<Bytes>>;

impl Control {
    /// `rest`: what follows `/services`; empty, or a slash and a name, or that and `/deploy`.
    pub(super) async fn registered_services(&self, method: &Method, rest: &str, request: Request<Incoming>) -> Answer {
        let cluster = request.uri().query().and_then(cluster);
        let rest = rest.trim_start_matches('/');
        let (name, is_deploy) = rest.strip_suffix("/deploy").map_or((rest, false), |name| (name, true));
        let Some(name) = decoded(name) else {
            return respond::error(StatusCode::BAD_REQUEST, "bad_name", "the name is no UTF-8", None);
        };
        match (method, name.is_empty(), is_deploy) {
            (&Method::GET, true, false) => self.all_services(),
            (&Method::GET, false, false) => match self.registered.library.registry.get(&name, cluster.as_deref()) {
                Ok(entry) => respond::json(StatusCode::OK, &self.service(&entry)),
                Err(refused) => refuse(&refused),
            },
            (&Method::PUT, false, false) => self.put_service(&name, request).await,
            (&Method::PUT, false, true) => self.deploy(&name, cluster.as_deref(), request).await,
            (&Method::DELETE, false, false) => self.delete_service(&name, cluster.as_deref()).await,
            _ => respond::error(
                StatusCode::METHOD_NOT_ALLOWED,
                "method_not_allowed",
                "GET /services, /services/NAME; PUT /services/NAME, /services/NAME/deploy; DELETE /services/NAME",
                None,
            ),
        }
    }

    fn all_services(&self) -> Answer {
        if self.ledger().is_none() {
            return not_ready();
        }
        let all = self.registered.library.registry.all();
        let shown: Vec<Value> = all.iter().map(|entry| self.service(entry)).collect();
        respond::json(StatusCode::OK, &json!({"services": shown}))
    }

    /// What is registered, and how far its copy has come.
    fn service(&self, entry: &Entry) -> Value {
        let mut shown = entry.shown();
        let mirrors = self.registered.library.mirrors.as_ref();
        if let Some((mirrors, repository)) = mirrors.zip(entry.descriptor.repository.as_ref()) {
            let standing = mirrors.standing(repository);
            let word = match (&standing.failed, standing.busy) {
                (_, true) => "fetching",
                (Some(_), false) => "failed",
                (None, false) if mirrors.place(repository).join("HEAD").exists() => "ready",
                (None, false) => "absent",
            };
            let failed = standing.failed.map(|failed| crate::redact::Redacted::new(&failed.to_string()).one_line());
            shown["source"] = json!({"state": word, "failed": failed});
        }
        shown
    }

    async fn put_service(&self, name: &str, request: Request<Incoming>) -> Answer {
        let mut value = match read_json(request).await {
            Ok(value) => value,
            Err((code, message)) => return respond::error(StatusCode::BAD_REQUEST, code, &message, None),
        };
        if let Some(fields) = value.as_object_mut() {
            match fields.get("name") {
                Some(other) if other.as_str() != Some(name) => {
                    let message = format!("must be the name in the path or left out, got {}", shown(other));
                    return faulty("invalid_service", &[Fault::new("name", message)]);
                }
                _ => fields.insert("name".into(), name.into()),
            };
        }
        let mut faults = Vec::new();
        let Some(descriptor) = Descriptor::from_json(&value, "", &mut faults) else {
            return faulty("invalid_service", &faults);
        };
        self.change(|registry| registry.put(descriptor)).await
    }

    async fn deploy(&self, name: &str, cluster: Option<&str>, request: Request<Incoming>) -> Answer {
        let value = match read_json(request).await {
            Ok(value) => value,
            Err((code, message)) => return respond::error(StatusCode::BAD_REQUEST, code, &message, None),
        };
        let commit = value.get("commit").cloned().unwrap_or_default();
        let Some(commit) = commit.as_str().filter(|commit| is_commit(commit)).map(str::to_owned) else {
            let fault = Fault::wrong("commit", "the hash of a commit: 7 to 64 of 0-9 and a-f", shown(&commit));
            return faulty("invalid_deploy", &[fault]);
        };
        let now_ms = (self.clock)();
        self.change(|registry| registry.deploy(name, cluster, &commit, now_ms)).await
    }

    async fn delete_service(&self, name: &str, cluster: Option<&str>) -> Answer {
        self.change(|registry| registry.delete(name, cluster)).await
    }

    /// Decides a change, has it stored, and puts it in force.
    async fn change(&self, decide: impl FnOnce(&crate::registry::Registry) -> Result<Change, Refused>) -> Answer {
        let Some(ledger) = self.ledger() else { return not_ready() };
        let _one = self.registered.changing.lock().await;
        let library = &self.registered.library;
        let change = match decide(&library.registry) {
            Ok(change) => change,
            Err(refused) => return refuse(&refused),
        };
        if !ledger.keep_service(change.key.clone(), change.row.clone()).await {
            let message = "the store cannot commit";
            return respond::error(StatusCode::SERVICE_UNAVAILABLE, "store_unavailable", message, None);
        }
        let (is_new, entry) = (!change.replaced, change.entry().cloned());
        library.registry.apply(change);
        let shown = entry.as_ref().map(|entry| self.service(entry));
        // Copies are brought up to date ahead of time; asking git blocks.
        let library = library.clone();
        tokio::task::spawn_blocking(move || match entry {
            Some(entry) => library.prepare(&entry),
            None => library.tidy(),
        });
        match shown {
            Some(shown) => respond::json(if is_new { StatusCode::CREATED } else { StatusCode::OK }, &shown),
            None => {
                let mut response = Response::new(Full::new(Bytes::new()));
                *response.status_mut() = StatusCode::NO_CONTENT;
                response
            }
        }
    }
}

/// Of `cluster=prod`.
fn cluster(query: &str) -> Option<String> {
    query.split('&').find_map(|pair| pair.strip_prefix("cluster=")).and_then(decoded)
}

/// With `%2F` and its like as what they stand for.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let digit = |byte: Option<u8>| char::from(byte?).to_digit(16).map(|digit| digit as u8);
        match byte {
            b'%' => bytes.push(digit(rest.next())? * 16 + digit(rest.next())?),
            byte => bytes.push(byte),
        }
    }
    String::from_utf8(bytes).ok()
}

fn refuse(refused: &Refused) -> Answer {
    let (status, code) = match refused {
        Refused::Unknown => (StatusCode::NOT_FOUND, "unknown_service"),
        Refused::Several => (StatusCode::CONFLICT, "several_services"),
        Refused::Configured => (StatusCode::CONFLICT, "configured_service"),
        Refused::Full(_) => (StatusCode::CONFLICT, "too_many_services"),
    };
    respond::error(status, code, &refused.to_string(), None)
}
