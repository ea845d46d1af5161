//! The form of an answer, as servers that hold a model to one take it.

use std::sync::LazyLock;

use serde_json::{Value, json};

/// Only what every such server knows: objects that are closed and whole, and no bounds, which [`super::parse()`] sets.
static SCHEMA: LazyLock<Value> = LazyLock::new(|| {
    let text = |what: &str| json!({"type": "string", "description": what});
    let maybe = |kind: &str, what: &str| json!({"anyOf": [{"type": kind}, {"type": "null"}], "description": what});
    let list = |of: &Value, what: &str| json!({"type": "array", "items": of, "description": what});
    let edit = closed(json!({
        "path": text("From the root of the repository."),
        "search": text("Stands exactly once in the file, verbatim; empty for a file that is new."),
        "replace": text("What stands there instead."),
    }));
    let evidence = closed(json!({
        "path": maybe("string", "A file of the repository, from its root; null for a line of the dossier."),
        "line": maybe("integer", "Its line in that file, from 1; null for a line of the dossier."),
        "quote": text("Copied verbatim. What cannot be found there counts for nothing."),
        "says": text("What it shows, in one sentence."),
    }));
    let plan = closed(json!({
        "action": {"type": "string", "enum": ["patch", "restart_service", "escalate", "no_code_cause"]},
        "reason": text("Why this and nothing else."),
        "steps": list(&json!({"type": "string"}), "What a person should do, in order."),
        "remedy": maybe("string", "For restart_service: the name of a remedy of the service; else null."),
        "edits": list(&edit, "For patch: the mend, no tests; else empty."),
        "tests": list(&edit, "For patch: a regression test that fails without the mend and passes with it; else empty."),
    }));
    closed(json!({
        "root_cause": text("What broke and why, in a few sentences for a person who was woken up."),
        "confidence": {"type": "number", "description": "From 0 to 1."},
        "evidence": list(&evidence, "What the cause was concluded from."),
        "plan": plan,
    }))
});

/// Of a [`super::Verdict`].
pub fn schema() -> &'static Value {
    &SCHEMA
}

/// An object that has all of these and nothing else.
fn closed(properties: Value) -> Value {
    let names: Vec<String> = properties.as_object().into_iter().flat_map(|object| object.keys().cloned()).collect();
    json!({"type": "object", "properties": properties, "required": names, "additionalProperties": false})
}
