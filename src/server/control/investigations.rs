//! `GET /investigations`, `GET /investigations/E42` and `GET /investigations/E42.diff`: what was to be looked into, how
//! far that has come, and what was written about it.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Response, StatusCode};
use serde_json::{Map, Value, json};

use super::{Control, not_ready};
use crate::escalation::Escalation;
use crate::escalation::investigation::Investigation;
use crate::investigate::case::{Case, Patch, shown as cases};
use crate::investigate::report;
use crate::investigate::shelf::{Piece, Shelf};
use crate::notify::alerts::rfc3339;
use crate::server::respond;

/// Shown, the newest.
const SHOWN: usize = 200;

impl Control {
    /// How many wait, and what became of the others since the start.
    pub(super) fn investigation_status(&self) -> Value {
        let count = |outcome: Investigation| self.metrics.investigations.with_label_values(&[outcome.as_str()]).get();
        json!({
            "kept_in": self.shelf.place(),
            "queue": self.metrics.investigation_queue.get(),
            "written": count(Investigation::Written),
            "failed": count(Investigation::Failed),
            "left_out": count(Investigation::LeftOut),
            "under_way": self.book.unfinished().len(),
            // What was spent and called before this life could not be read: neither is done in this one.
            "store_unreadable": self.book.is_unsure(),
            "model": self.investigator.model.as_ref().map(|model| model.about()),
            "budget": {
                "spent": self.book.budget(|budget| budget.spent((self.clock)())),
                "concurrent": self.investigator.limits.concurrent,
                "per_hour": self.investigator.limits.per_hour,
                "per_day": self.investigator.limits.per_day,
                "tokens_per_day": self.investigator.limits.tokens_per_day,
                "usd_per_day": self.investigator.limits.usd_per_day,
            },
        })
    }

    /// Newest first.
    pub(super) async fn investigations(&self) -> Response<Full<Bytes>> {
        let Some(ledger) = self.ledger() else { return not_ready() };
        let Some(found) = ledger.investigations(SHOWN).await else { return not_ready() };
        let shown: Vec<Value> = found.iter().map(|of| Value::Object(self.shown(of))).collect();
        respond::json(StatusCode::OK, &json!({"investigations": shown}))
    }

    /// One, by the mark of its escalation.
    pub(super) async fn investigation(&self, mark: &str, as_json: bool) -> Response<Full<Bytes>> {
        let (mark, wants_diff) = mark.strip_suffix(".diff").map_or((mark, false), |mark| (mark, true));
        let Some(id) = number(mark) else {
            return missing(
                "an investigation is called as its escalation is, such as E42: GET /investigations lists them",
            );
        };
        let Some(ledger) = self.ledger() else { return not_ready() };
        let Some(found) = ledger.with_others(id).await else { return not_ready() };
        let Some((of, _)) = found else {
            return missing(&format!("no escalation E{id} is held: GET /escalations lists those that are"));
        };
        let Some(stands) = of.investigation else {
            return missing(&format!("E{id} was not to be investigated: {} has on_crossing = \"notify\"", of.label));
        };
        if wants_diff {
            return self.diff(id).await;
        }
        let (shelf, case) = (Arc::clone(&self.shelf), self.book.get(id));
        // An earlier store's file may have this number: only what this one knows as written is shown.
        let has_text = matches!(stands, Investigation::Written | Investigation::Failed);
        let text = match has_text {
            true => tokio::task::spawn_blocking(move || both(&shelf, id, case.as_deref()))
                .await
                .unwrap_or_else(|e| Err(std::io::Error::other(e))),
            false => Ok(None),
        };
        let text = match text {
            Ok(text) => text,
            Err(error) => {
                tracing::error!(escalation = id, %error, "a dossier cannot be read");
                return respond::error(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "investigation_unreadable",
                    "its dossier cannot be read; see the log",
                    None,
                );
            }
        };
        match text {
            Some(text) if as_json => {
                let mut fields = self.shown(&of);
                if let Some(case) = self.book.get(id) {
                    fields.extend(cases::fields(&case));
                }
                fields.insert("markdown".into(), text.into());
                respond::json(StatusCode::OK, &Value::Object(fields))
            }
            Some(text) => respond::text(StatusCode::OK, "text/markdown; charset=utf-8", text),
            None => missing(&why_not(&of, stands, &self.shelf.place())),
        }
    }
}

impl Control {
    fn shown(&self, of: &Escalation) -> Map<String, Value> {
        let mut fields = shown(of);
        if let Some(case) = self.book.get(of.id) {
            fields.insert("state".into(), case.state().into());
            fields.insert("action".into(), json!(case.action()));
            if let Some(lead) = case.lead {
                fields.insert("together_with".into(), format!("E{lead}").into());
            }
        }
        fields
    }

    /// As it was made: what stands in it is the repository's, and not redacted.
    async fn diff(&self, id: u64) -> Response<Full<Bytes>> {
        let has_one = self.book.get(id).is_some_and(|case| case.patch.as_ref().is_some_and(Patch::is_diff));
        let shelf = Arc::clone(&self.shelf);
        let found = match has_one {
            true => tokio::task::spawn_blocking(move || shelf.get(Piece::Diff, id)).await,
            false => Ok(Ok(None)),
        };
        match found {
            Ok(Ok(Some(diff))) => respond::text(StatusCode::OK, "text/x-diff; charset=utf-8", diff),
            Ok(Ok(None)) => missing(&format!("E{id} has no diff: GET /investigations/E{id} says what there is")),
            _ => missing("its diff cannot be read"),
        }
    }
}

/// The report, where there is one, and the dossier below it.
fn both(shelf: &Shelf, id: u64, case: Option<&Case>) -> std::io::Result<Option<String>> {
    let Some(dossier) = shelf.get(Piece::Dossier, id)? else { return Ok(None) };
    // What another one tells needs no file of its own; and what cannot be read hides nothing else.
    let elsewhere = case.filter(|case| case.lead.is_some()).map(|case| report::write(case, None).as_str().to_owned());
    Ok(Some(match shelf.get(Piece::Report, id).unwrap_or_default().or(elsewhere) {
        Some(report) => format!("{report}\n---\n\n{dossier}"),
        None => dossier,
    }))
}

fn shown(of: &Escalation) -> Map<String, Value> {
    let mut fields = Map::new();
    let mark = format!("E{}", of.id);
    let status = of.investigation.map_or("none", Investigation::as_str);
    for (name, value) in [
        ("id", Value::from(mark.as_str())),
        ("escalation", mark.as_str().into()),
        ("status", status.into()),
        ("opened", rfc3339(of.opened_ms).into()),
        ("label", of.label.as_str().into()),
        ("severity", of.severity.as_str().into()),
        ("cluster", of.cluster.as_str().into()),
        ("service", of.service.as_str().into()),
    ] {
        fields.insert(name.into(), value);
    }
    fields
}

/// `E42`. Nothing else of a path is looked at.
fn number(mark: &str) -> Option<u64> {
    let digits = mark.strip_prefix('E')?;
    digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
}

fn why_not(of: &Escalation, stands: Investigation, place: &str) -> String {
    let id = of.id;
    match stands {
        Investigation::Wanted => format!("the dossier of E{id} is still to be written: ask again in a moment"),
        Investigation::LeftOut => {
            format!(
                "E{id} was not investigated: too many waited (investigation.queue); GET /escalations has what is known"
            )
        }
        Investigation::Failed => {
            format!(
                "the dossier of E{id} could not be written (investigation.folder); GET /escalations has what is known"
            )
        }
        Investigation::Written => {
            format!(
                "the dossier of E{id} is not there any more ({place}): the oldest go (investigation.keep), and those in memory with a restart"
            )
        }
    }
}

fn missing(why: &str) -> Response<Full<Bytes>> {
    respond::error(StatusCode::NOT_FOUND, "unknown_investigation", why, None)
}
