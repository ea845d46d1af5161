//! A case as JSON: `diagnosis`, `plan`, `execution` and what it has cost. Whatever a model wrote is redacted.

use serde_json::{Map, Value, json};

use super::{Called, Case, Found, Patched};
use crate::notify::alerts::rfc3339;
use crate::redact::Redacted;

/// A case without them has nothing to say yet, or never will.
pub fn fields(case: &Case) -> Map<String, Value> {
    let mut fields = Map::new();
    fields.insert("diagnosis".into(), case.found.as_ref().map_or(Value::Null, diagnosis));
    fields.insert("plan".into(), case.found.as_ref().map_or(Value::Null, plan));
    fields.insert("execution".into(), if case.is_done() { execution(case) } else { Value::Null });
    fields.insert("cost".into(), cost(case));
    fields
}

fn text(words: &str) -> Value {
    Redacted::new(words).as_str().into()
}

fn diagnosis(found: &Found) -> Value {
    let evidence = found.verdict.evidence.iter().zip(&found.proofs).map(|(evidence, why_not)| {
        json!({
            "path": evidence.path.as_deref().map(text), "line": evidence.line, "quote": text(&evidence.quote),
            "says": text(&evidence.says), "proven": why_not.is_none(), "why_not": why_not.as_deref().map(text),
        })
    });
    json!({
        "root_cause": text(&found.verdict.root_cause), "confidence": found.verdict.confidence,
        "by": text(&found.by), "evidence": evidence.collect::<Vec<_>>(),
    })
}

fn plan(found: &Found) -> Value {
    let plan = &found.verdict.plan;
    json!({
        "action": plan.action, "reason": text(&plan.reason), "remedy": plan.remedy.as_deref().map(text),
        "steps": plan.steps.iter().map(|step| text(step)).collect::<Vec<_>>(),
    })
}

/// What was done, and what came of it.
fn execution(case: &Case) -> Value {
    let skipped = case.skipped.iter().map(|skipped| match skipped.said.is_empty() {
        true => skipped.why.clone(),
        false => format!("{} {}", skipped.why, skipped.said),
    });
    let mut shown = json!({
        "outcome": case.outcome.map(super::Outcome::as_str),
        "not_done": skipped.collect::<Vec<_>>(),
    });
    if let Some(remedy) = &case.remedy {
        let (state, said) = match &remedy.state {
            Called::Calling => ("calling", None),
            Called::Done { said } => ("done", Some(said.as_str().to_owned())),
            Called::InDoubt { why } => ("in_doubt", Some(why.clone())),
            Called::Failed { why } => ("failed", Some(why.clone())),
            Called::NotCalled { why } => ("not_called", Some(why.clone())),
        };
        shown["remedy"] =
            json!({"name": text(&remedy.name), "called": rfc3339(remedy.called_ms), "state": state, "said": said});
    }
    if let Some(patch) = &case.patch {
        shown["patch"] = match &patch.state {
            Patched::Refused { why } => json!({"refused": why}),
            Patched::Tried { hash, proof } => json!({
                "diff": format!("/investigations/E{}.diff", case.id), "commit": case.commit, "hash": hash,
                "files": patch.paths, "added": patch.added, "removed": patch.removed, "proof": proof,
            }),
        };
    }
    if let Some(proposed) = &case.proposed {
        shown["proposed"] = json!(proposed);
    }
    shown
}

fn cost(case: &Case) -> Value {
    case.asked.as_ref().map_or(Value::Null, |asked| {
        json!({
            "model": text(&asked.model), "calls": asked.calls, "usd": asked.cost_usd,
            "tokens": {"input": asked.input_tokens, "cached": asked.cached_tokens, "output": asked.output_tokens},
        })
    })
}
