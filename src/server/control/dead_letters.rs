//! Messages that were given up: listed, and sent again when a person says so.

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Response, StatusCode};
use serde_json::{Value, json};

use super::{Control, not_ready};
use crate::escalation::outbox::Row;
use crate::server::respond;

impl Control {
    /// Oldest first.
    pub(super) async fn dead_letters(&self) -> Response<Full<Bytes>> {
        let Some(ledger) = self.ledger() else { return not_ready() };
        let Some(rows) = ledger.dead_letters().await else { return not_ready() };
        let shown: Vec<Value> = rows.iter().map(show).collect();
        respond::json(StatusCode::OK, &json!({"dead_letters": shown}))
    }

    /// `id`: one of them; `None`: all.
    pub(super) async fn resend(&self, id: Option<&str>) -> Response<Full<Bytes>> {
        let row = match id.map(str::parse::<u64>) {
            Some(Err(_)) => {
                let message = "POST /dead-letters/resend, or /dead-letters/ID/resend with an id of GET /dead-letters";
                return respond::error(StatusCode::BAD_REQUEST, "bad_id", message, None);
            }
            Some(Ok(row)) => Some(row),
            None => None,
        };
        let Some(ledger) = self.ledger() else { return not_ready() };
        match ledger.resend(row).await {
            Some(0) if row.is_some() => {
                respond::error(StatusCode::NOT_FOUND, "unknown_dead_letter", "no message of this id was given up", None)
            }
            Some(resent) => respond::json(StatusCode::OK, &json!({"resent": resent})),
            None => {
                respond::error(StatusCode::SERVICE_UNAVAILABLE, "store_unavailable", "the store cannot commit", None)
            }
        }
    }
}

fn show(row: &Row) -> Value {
    json!({
        "id": row.id, "destination": row.destination, "escalation": format!("E{}", row.escalation),
        "kind": row.notice.kind.as_str(), "label": row.notice.label, "severity": row.notice.severity.as_str(),
        "cluster": row.notice.cluster, "service": row.notice.service, "at_ms": row.notice.at_ms,
        "attempts": row.attempts, "reason": row.dead,
    })
}
