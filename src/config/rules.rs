//! Rules in a file of their own, to be tried on what was logged: `[[watch]]` as in the configuration, or JSON as the
//! API takes and gives it.

use std::path::Path;

use serde_json::Value;

use super::defaults::{CONFIG_FILE_MAX_BYTES, WATCHES_MAX};
use super::sections::to_json;
use super::source::read_file;
use crate::fault::{Fault, Faults};
use crate::watch::rule::pattern::REGEXES_MAX;
use crate::watch::rule::{KEYS, Rule};

/// The rules of `path`, or every fault in it.
pub fn read(path: &Path) -> Result<Vec<Rule>, Faults> {
    let file = path.display().to_string();
    let text = read_file(path, CONFIG_FILE_MAX_BYTES).map_err(|problem| Fault::new("--rules", problem.message))?;
    let is_json = matches!(text.trim_start().as_bytes().first(), Some(b'{')) || is_json_array(&text);
    let rules = if is_json { of_json(&file, &text)? } else { of_toml(&file, &text)? };
    let mut faults = Vec::new();
    let mut read: Vec<Rule> = Vec::new();
    if rules.is_empty() {
        faults
            .push(Fault::new(file.as_str(), "holds no rule: write [[watch]] tables, or JSON as GET /watches gives it"));
    }
    if rules.len() as u64 > WATCHES_MAX as u64 {
        return Err(Fault::new(file, format!("has {} rules; {WATCHES_MAX} is the most", rules.len())).into());
    }
    for (place, rule) in rules.iter().enumerate() {
        let key = format!("{file} watch[{place}]");
        let Some(rule) = Rule::from_json(rule, &key, &mut faults) else { continue };
        match read.iter().position(|held| held.label == rule.label) {
            Some(first) => faults.push(Fault::new(key, format!("has the label of watch[{first}]: {}", rule.label))),
            None => read.push(rule),
        }
    }
    let regexes: usize = read.iter().map(Rule::regexes).sum();
    if regexes > REGEXES_MAX {
        faults.push(Fault::new(file, format!("has {regexes} regexes in all; {REGEXES_MAX} is the most")));
    }
    if faults.is_empty() { Ok(read) } else { Err(Faults(faults)) }
}

/// `[[watch]]` opens TOML, `[{` JSON.
fn is_json_array(text: &str) -> bool {
    let inside = text.trim_start().strip_prefix('[');
    inside.is_some_and(|rest| matches!(rest.trim_start().as_bytes().first(), Some(b'{' | b']')))
}

fn of_json(file: &str, text: &str) -> Result<Vec<Value>, Fault> {
    let value: Value =
        serde_json::from_str(text).map_err(|error| Fault::new(file, format!("is not valid JSON: {error}")))?;
    let list = match value {
        Value::Array(rules) => rules,
        Value::Object(mut all) => match all.remove("watches") {
            Some(Value::Array(rules)) => rules.into_iter().filter(is_of_people).map(without_state).collect(),
            _ => vec![Value::Object(all)],
        },
        other => vec![other],
    };
    Ok(list)
}

/// What nobody wrote proposes itself again.
fn is_of_people(rule: &Value) -> bool {
    !matches!(rule.get("origin").and_then(Value::as_str), Some("seed" | "triage"))
}

/// Of what GET /watches gives, what is the rule's own.
fn without_state(mut rule: Value) -> Value {
    if let Some(map) = rule.as_object_mut() {
        map.retain(|key, value| KEYS.contains(&key.as_str()) && !value.is_null());
    }
    rule
}

fn of_toml(file: &str, text: &str) -> Result<Vec<Value>, Fault> {
    let table = text.parse::<toml::Table>().map_err(|error| {
        let line = error.span().and_then(|span| text.get(..span.start)).map(|before| before.matches('\n').count() + 1);
        let place = line.map(|line| format!(" at line {line}")).unwrap_or_default();
        Fault::new(file, format!("is not valid TOML{place}: {}", error.message().trim().replace('\n', ", ")))
    })?;
    match table.get("watch") {
        Some(toml::Value::Array(rules)) => Ok(rules.iter().map(to_json).collect()),
        Some(one @ toml::Value::Table(_)) => Ok(vec![to_json(one)]),
        _ => Ok(Vec::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(text: &str) -> Result<Vec<String>, String> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("rules");
        std::fs::write(&path, text).expect("written");
        read(&path).map(|rules| rules.into_iter().map(|rule| rule.label).collect()).map_err(|faults| faults.to_string())
    }

    #[test]
    fn rules_are_read_as_the_configuration_and_the_api_have_them() {
        let rule = r#"{"action":"watch","label":"a","match":{"field":"status","gte":"500"},"threshold":10,"window_seconds":60,"summary":"x"}"#;
        let toml = "[[watch]]\nlabel = \"a\"\nmatch = { contains = \"x\" }\nthreshold = 2\nwindow_seconds = 60\nsummary = \"x\"\n";
        let shown = format!(
            r#"{{"watches":[{},{}]}}"#,
            rule.replace(r#""action":"watch""#, r#""origin":"config","matched_total":7,"state":"quiet","groups":[]"#),
            rule.replace(r#""action":"watch","label":"a""#, r#""origin":"triage","label":"b""#)
        );
        for text in [rule, &format!("[{rule}]"), toml, &shown] {
            assert_eq!(labels(text), Ok(vec!["a".to_owned()]), "{text}");
        }
    }

    #[test]
    fn what_is_no_rule_is_told_with_its_place() {
        for (text, said) in [
            ("", "holds no rule"),
            ("[[watch]]\nlabel = \n", "is not valid TOML at line 2"),
            ("{\"label\"", "is not valid JSON"),
            ("[[watch]]\nlabel = \"a\"\n", "watch[0].match"),
        ] {
            let faults = labels(text).expect_err(text);
            assert!(faults.contains(said), "{faults}");
        }
    }
}
