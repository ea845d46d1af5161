//! The report for machines: one JSON object, whose names stay.

use serde_json::{Map, Value, json};

use super::{OfKind, Report};
use crate::notify::deliver::Message;
use crate::notify::notice::Notice;
use crate::record::level::Level;

/// What took so long is not in it: the same input has the same report.
pub fn render(report: &Report) -> Value {
    json!({
        "files": report.files,
        "passed_over": report.passed,
        "bytes": report.read_bytes,
        "bytes_on_disk": report.disk_bytes,
        "lines": report.lines,
        "lines_outside": report.outside,
        "first_ms": report.span_ms.map(|(first, _)| first),
        "last_ms": report.span_ms.map(|(_, last)| last),
        "interrupted": report.interrupted,
        "unread": report.unread,
        "odd_times": report.oddities,
        "outcomes": pairs(report.outcomes.iter().copied()),
        "levels": levels(&report.levels),
        "services": report.services.iter().map(|service| json!({
            "cluster": service.cluster,
            "service": service.name,
            "lines": service.lines,
            "levels": levels(&service.levels),
            "formats": pairs(service.formats.iter().copied()),
            "first_ms": service.first_ms,
            "last_ms": service.last_ms,
        })).collect::<Value>(),
        "kinds": {
            "count": report.kinds,
            "most_frequent": kinds(&report.frequent),
            "new": kinds(&report.new),
        },
        "messages": report.said.iter().map(|said| message(said.at_ms, &said.message)).collect::<Value>(),
        "messages_not_listed": report.unshown,
        "not_told_for_lack_of_times": report.unbelieved,
        "escalations": report.escalations.iter().map(|e| json!({
            "id": e.id,
            "label": e.label,
            "severity": e.severity,
            "cluster": e.cluster,
            "service": e.service,
            "group": e.group.iter().map(|(name, value)| (name.clone(), json!(value))).collect::<Map<_, _>>(),
            "count": e.count,
            "threshold": e.threshold,
            "window_seconds": e.window_seconds,
            "crossings": e.crossings,
            "first_ms": e.first_ms,
            "last_ms": e.last_ms,
            "opened_ms": e.opened_ms,
            "firing_at_the_end": e.firing > 0,
            "proposed": e.proposed,
            "held_back": e.held,
            "also": e.also,
            "samples": e.samples,
        })).collect::<Value>(),
        "watches": report.watches.iter().map(|watch| json!({
            "label": watch.label,
            "origin": watch.origin.as_str(),
            "on_crossing": watch.on_crossing.as_str(),
            "threshold": watch.threshold,
            "window_seconds": watch.window_seconds,
            "matched": watch.matched,
            "crossings": watch.crossed,
            "most_in_a_window": watch.most,
            "most_at_ms": (watch.most > 0).then_some(watch.most_ms),
            "most_group": watch.group,
        })).collect::<Value>(),
        "triage": {
            "decided": pairs(report.decided.iter().map(|(name, count)| (*name, *count))),
            "ignored_at_warn_or_above": kinds(&report.ignored),
        },
        "not_understood": {
            "rejected": pairs(report.rejected.iter().copied()),
            "samples": report.samples,
            "cut": report.cut,
        },
    })
}

fn message(at_ms: i64, message: &Message) -> Value {
    match message {
        Message::One(notice) => one(at_ms, notice, &message.slack()),
        Message::Many(digest) => json!({
            "at_ms": at_ms, "kind": "digest", "slack": message.slack(),
            "escalations": digest.notices.iter().map(|notice| notice.escalation).collect::<Value>(),
        }),
    }
}

fn one(at_ms: i64, notice: &Notice, slack: &str) -> Value {
    json!({
        "at_ms": at_ms,
        "kind": notice.kind.as_str(),
        "escalation": notice.escalation,
        "label": notice.label,
        "severity": notice.severity,
        "cluster": notice.cluster,
        "service": notice.service,
        "count": notice.count,
        "threshold": notice.threshold,
        "window_seconds": notice.window_seconds,
        "first_ms": notice.first_ms,
        "last_ms": notice.last_ms,
        "slack": slack,
    })
}

fn kinds(kinds: &[OfKind]) -> Value {
    let one = |kind: &OfKind| {
        json!({
            "template": kind.template, "service": kind.service, "level": kind.level.as_str(), "count": kind.count,
            "first_ms": kind.first_ms, "last_ms": kind.last_ms, "verdict": kind.judged.map(|what| what.as_str()),
        })
    };
    kinds.iter().map(one).collect()
}

fn levels(levels: &super::Levels) -> Value {
    let names = Level::ALL.iter().map(|level| level.as_str()).chain(["none"]);
    pairs(names.zip(levels.iter().copied()))
}

fn pairs<'a>(pairs: impl Iterator<Item = (&'a str, u64)>) -> Value {
    Value::Object(pairs.map(|(name, count)| (name.to_owned(), json!(count))).collect())
}
