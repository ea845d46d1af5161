//! From what a model answered to a [`Verdict`] within its bounds.
//!
//! Servers that hold a model to a form answer in it; others put words or a code block around it, which is taken, too.
//! Time is linear in the text. Two answers in one text are none: one of them may be somebody else's.

use serde_json::{Map, Value};

use super::{
    Action, EDIT_MAX, EDITS_MAX, EVIDENCE_MAX, Edit, Evidence, PATH_MAX, Plan, QUOTE_MAX, SENTENCE_MAX, STEPS_MAX,
    TEXT_MAX, Verdict,
};

/// As long as all edits at their longest.
const ANSWER_MAX: usize = 4 << 20;
/// Braces at which an answer is looked for.
const STARTS_MAX: usize = 64;

/// `Err`: what is wrong, in words fit to be said to the model; they repeat nothing of the answer but names of ours.
pub fn parse(text: &str) -> Result<Verdict, String> {
    if text.len() > ANSWER_MAX {
        return Err(format!("the answer is longer than {ANSWER_MAX} bytes"));
    }
    let object = object(text)?;
    let evidence = list(&object, "evidence")?;
    let plan = object.get("plan").and_then(Value::as_object).ok_or("plan is no object")?;
    Ok(Verdict {
        root_cause: prose(&object, "root_cause", TEXT_MAX)?,
        confidence: confidence(&object)?,
        evidence: evidence.iter().take(EVIDENCE_MAX).map(read_evidence).collect::<Result<_, _>>()?,
        plan: read_plan(plan)?,
    })
}

/// The one object in the text that is an answer.
fn object(text: &str) -> Result<Map<String, Value>, String> {
    let is_answer = |object: &Map<String, Value>| object.contains_key("plan") && object.contains_key("root_cause");
    if let Ok(Value::Object(whole)) = serde_json::from_str::<Value>(text.trim())
        && is_answer(&whole)
    {
        return Ok(whole);
    }
    let mut found: Option<Map<String, Value>> = None;
    let mut rest = text;
    for _ in 0..STARTS_MAX {
        let Some(at) = rest.find('{') else { break };
        rest = rest.get(at..).unwrap_or_default();
        let mut values = serde_json::Deserializer::from_str(rest).into_iter::<Value>();
        let used = match values.next() {
            Some(Ok(Value::Object(object))) if is_answer(&object) => {
                if found.replace(object).is_some() {
                    return Err("there are two answers in one".to_owned());
                }
                values.byte_offset()
            }
            Some(Ok(_)) => values.byte_offset(),
            _ => 1,
        };
        rest = rest.get(used..).unwrap_or_default();
    }
    found.ok_or_else(|| "there is no JSON object with root_cause, confidence, evidence and plan in it".to_owned())
}

fn confidence(object: &Map<String, Value>) -> Result<f64, String> {
    let wrong = || "confidence is no number from 0 to 1".to_owned();
    let number = object.get("confidence").and_then(Value::as_f64).ok_or_else(wrong)?;
    if number.is_nan() { Err(wrong()) } else { Ok(number.clamp(0.0, 1.0)) }
}

fn read_evidence(value: &Value) -> Result<Evidence, String> {
    let object = value.as_object().ok_or("an item of evidence is no object")?;
    let line = match object.get("line") {
        None | Some(Value::Null) => None,
        // A line that no file has is a line that is wrong, not an answer that is.
        Some(line) => Some(line.as_u64().and_then(|line| u32::try_from(line).ok()).unwrap_or(u32::MAX)),
    };
    Ok(Evidence {
        path: maybe(object, "path")?.map(|path| cut(&path, PATH_MAX)).filter(|path| !path.is_empty()),
        line,
        quote: prose(object, "quote", QUOTE_MAX)?,
        says: prose(object, "says", SENTENCE_MAX)?,
    })
}

fn read_plan(object: &Map<String, Value>) -> Result<Plan, String> {
    let action = match object.get("action").and_then(Value::as_str) {
        Some("patch") => Action::Patch,
        Some("restart_service") => Action::RestartService,
        Some("escalate") => Action::Escalate,
        Some("no_code_cause") => Action::NoCodeCause,
        _ => return Err("plan.action is none of patch, restart_service, escalate, no_code_cause".to_owned()),
    };
    let steps = list(object, "steps")?.iter().take(STEPS_MAX);
    let steps = steps.map(|step| step.as_str().map(|step| cut(step, SENTENCE_MAX)).ok_or("a step is no text"));
    let edits = |name: &str| list(object, name)?.iter().map(read_edit).collect::<Result<Vec<_>, _>>();
    let (edits, tests) = (edits("edits")?, edits("tests")?);
    if edits.len() + tests.len() > EDITS_MAX {
        return Err(format!("there are more than {EDITS_MAX} edits"));
    }
    Ok(Plan {
        action,
        reason: prose(object, "reason", TEXT_MAX)?,
        steps: steps.collect::<Result<_, _>>()?,
        remedy: maybe(object, "remedy")?.map(|name| cut(&name, SENTENCE_MAX)).filter(|name| !name.is_empty()),
        edits,
        tests,
    })
}

/// Not cut: a mend that is cut is another one.
fn read_edit(value: &Value) -> Result<Edit, String> {
    let object = value.as_object().ok_or("an edit is no object")?;
    let text = |name: &str, most: usize| {
        let text = object.get(name).and_then(Value::as_str).ok_or_else(|| format!("{name} of an edit is no text"))?;
        let fits = text.len() <= most;
        if fits { Ok(text.to_owned()) } else { Err(format!("{name} of an edit is longer than {most} bytes")) }
    };
    Ok(Edit { path: text("path", PATH_MAX)?, search: text("search", EDIT_MAX)?, replace: text("replace", EDIT_MAX)? })
}

/// What is left out is empty: servers that know no form let models forget it.
fn list<'a>(object: &'a Map<String, Value>, name: &str) -> Result<&'a [Value], String> {
    match object.get(name) {
        None | Some(Value::Null) => Ok(&[]),
        Some(Value::Array(items)) => Ok(items),
        Some(_) => Err(format!("{name} is no list")),
    }
}

fn prose(object: &Map<String, Value>, name: &str, most: usize) -> Result<String, String> {
    let text = object.get(name).and_then(Value::as_str).ok_or_else(|| format!("{name} is no text"))?;
    Ok(cut(text.trim(), most))
}

fn maybe(object: &Map<String, Value>, name: &str) -> Result<Option<String>, String> {
    match object.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(format!("{name} is neither text nor null")),
    }
}

fn cut(text: &str, most: usize) -> String {
    text.split_at(text.floor_char_boundary(most)).0.to_owned()
}
