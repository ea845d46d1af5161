//! From JSON to an [`Expr`]: the `match` of a rule.
//!
//! An object is one of `all`, `any`, `not`, or a test: a field with one or more operators, all of
//! which must hold. `contains`, `starts_with`, `ends_with` and `regex` may stand alone and are then
//! about the message. Depth, number of tests and length of texts are bounded here, once, so the matcher
//! may recurse and allocate without asking again.

use serde_json::{Map, Value};

use super::parse::{number, within};
use super::pattern::{self, Pattern, REGEXES_MAX};
use super::{
    DEPTH_MAX, Expr, FIELD_MAX_CHARS, IN_MAX, LEVEL_FIELD, LEVELS, Literal, MESSAGE_FIELD, Op, TESTS_MAX,
    TEXT_MAX_CHARS,
};
use crate::fault::{Fault, item, join, quoted, shown};

const GROUPS: [&str; 3] = ["all", "any", "not"];

/// In the order in which several operators of one object become tests.
const OPERATORS: [&str; 12] =
    ["eq", "ne", "gt", "gte", "lt", "lte", "in", "contains", "starts_with", "ends_with", "regex", "exists"];

const BARE_OPERATORS: [&str; 4] = ["contains", "starts_with", "ends_with", "regex"];

const KEYS: [&str; 16] = [
    "field",
    "eq",
    "ne",
    "gt",
    "gte",
    "lt",
    "lte",
    "in",
    "contains",
    "starts_with",
    "ends_with",
    "regex",
    "exists",
    "all",
    "any",
    "not",
];

struct Reader<'a> {
    root: &'a str,
    tests: usize,
    regexes: usize,
    faults: &'a mut Vec<Fault>,
}

/// Reads a condition, or pushes everything that is wrong with it.
pub(super) fn read(value: &Value, key: &str, faults: &mut Vec<Fault>) -> Option<Expr> {
    Reader { root: key, tests: 0, regexes: 0, faults }.expr(value, key, 1)
}

fn is_unknown(name: &str) -> bool {
    !KEYS.contains(&name)
}

// === impl Reader ===

impl Reader<'_> {
    fn fault(&mut self, fault: Fault) {
        self.faults.push(fault);
    }

    fn expr(&mut self, value: &Value, key: &str, depth: usize) -> Option<Expr> {
        if self.tests > TESTS_MAX {
            return None; // Said once; the rest of a huge body is not worth the walk.
        }
        let Some(object) = value.as_object() else {
            let fault = Fault::wrong(key, "an object such as {\"field\": \"status\", \"gte\": 500}", shown(value));
            self.fault(match value {
                Value::String(text) => fault.hint(format!("write {{\"contains\": {}}}", quoted(text))),
                Value::Array(_) => fault.hint("write {\"all\": […]} or {\"any\": […]}"),
                _ => fault,
            });
            return None;
        };
        if !self.within_depth(key, depth) {
            return None;
        }

        let unknown: Vec<_> = object.keys().filter(|name| is_unknown(name)).collect();
        for name in &unknown {
            self.fault(Fault::unknown(join(key, name), name, &KEYS));
        }

        let groups: Vec<_> = GROUPS.into_iter().filter(|name| object.contains_key(*name)).collect();
        let is_test = object.contains_key("field") || OPERATORS.iter().any(|name| object.contains_key(*name));
        match (groups.as_slice(), is_test) {
            ([], true) => self.test(object, key, depth).filter(|_| unknown.is_empty()),
            ([name], false) => self.group(name, &object[*name], key, depth).filter(|_| unknown.is_empty()),
            ([], false) => {
                if unknown.is_empty() {
                    self.fault(Fault::new(key, "is empty; give a field with an operator, or all, any or not"));
                }
                None
            }
            (_, _) => {
                let mut given = groups.clone();
                if is_test {
                    given.push("a test");
                }
                let given = given.join(" and ");
                self.fault(Fault::new(
                    key,
                    format!("holds {given} in one object; put each into an object of its own in {{\"all\": […]}}"),
                ));
                // What they hold is still read: its faults belong into the same report.
                for name in groups {
                    self.group(name, &object[name], key, depth);
                }
                if is_test {
                    self.test(object, key, depth);
                }
                None
            }
        }
    }

    fn within_depth(&mut self, key: &str, depth: usize) -> bool {
        if depth > DEPTH_MAX {
            self.fault(Fault::new(key, format!("is nested more than {DEPTH_MAX} deep")));
        }
        depth <= DEPTH_MAX
    }

    fn group(&mut self, name: &str, value: &Value, key: &str, depth: usize) -> Option<Expr> {
        let key = join(key, name);
        if name == "not" {
            return self.expr(value, &key, depth + 1).map(|part| Expr::Not(Box::new(part)));
        }
        let Some(items) = value.as_array().filter(|items| !items.is_empty()) else {
            self.fault(Fault::wrong(key, "a list of at least one condition", shown(value)));
            return None;
        };
        // All are read, also after a bad one; one bad one spoils the whole.
        let parts: Vec<_> =
            items.iter().enumerate().map(|(at, part)| self.expr(part, &item(&key, at), depth + 1)).collect();
        let parts = parts.into_iter().collect::<Option<Vec<_>>>()?;
        Some(if name == "all" { Expr::All(parts) } else { Expr::Any(parts) })
    }

    fn test(&mut self, object: &Map<String, Value>, key: &str, depth: usize) -> Option<Expr> {
        let given: Vec<_> = OPERATORS.into_iter().filter(|name| object.contains_key(*name)).collect();
        // An unknown key is likely the operator, misspelt, and has been told already.
        if given.is_empty() && !object.keys().any(|name| is_unknown(name)) {
            self.fault(Fault::new(key, format!("names a field and no operator; give one of {}", OPERATORS.join(", "))));
        }
        let field = self.field(object, key, &given);

        self.tests += given.len();
        if self.tests > TESTS_MAX {
            self.fault(Fault::new(self.root, format!("has more than {TESTS_MAX} tests")));
            return None;
        }
        // Several operators stand one level deeper, as they will when the rule is written again.
        if given.len() > 1 && !self.within_depth(key, depth + 1) {
            return None;
        }

        // Operands are read against some field even when theirs is faulty, to report both.
        let about = field.as_deref().unwrap_or_default();
        let ops: Vec<_> = given.iter().map(|name| self.op(name, &object[*name], about, &join(key, name))).collect();
        let ops = ops.into_iter().collect::<Option<Vec<_>>>()?;
        let field = field?;
        let mut tests: Vec<_> = ops.into_iter().map(|op| Expr::Test { field: field.clone(), op }).collect();
        if tests.len() == 1 { tests.pop() } else { Some(Expr::All(tests)) }
    }

    fn field(&mut self, object: &Map<String, Value>, key: &str, operators: &[&str]) -> Option<String> {
        let at = join(key, "field");
        match object.get("field") {
            Some(Value::String(name)) => within(name, 1..=FIELD_MAX_CHARS, || at, self.faults),
            Some(other) => {
                self.fault(Fault::wrong(at, "a field name", shown(other)));
                None
            }
            None => match operators.iter().find(|name| !BARE_OPERATORS.contains(name)) {
                None => Some(MESSAGE_FIELD.to_owned()),
                Some(name) => {
                    let bare = BARE_OPERATORS.join(", ");
                    self.fault(Fault::new(
                        at,
                        format!("is missing; {name} needs one, only {bare} are about the message without it"),
                    ));
                    None
                }
            },
        }
    }

    fn op(&mut self, name: &str, value: &Value, field: &str, key: &str) -> Option<Op> {
        match name {
            "eq" => self.literal(value, field, key).map(Op::Eq),
            "ne" => self.literal(value, field, key).map(Op::Ne),
            "gt" => self.ordered(value, field, key).map(Op::Gt),
            "gte" => self.ordered(value, field, key).map(Op::Gte),
            "lt" => self.ordered(value, field, key).map(Op::Lt),
            "lte" => self.ordered(value, field, key).map(Op::Lte),
            "in" => self.list(value, field, key).map(Op::In),
            "contains" => self.phrase(value, key).map(Op::Contains),
            "starts_with" => self.phrase(value, key).map(Op::StartsWith),
            "ends_with" => self.phrase(value, key).map(Op::EndsWith),
            "regex" => self.pattern(value, key).map(Op::Regex),
            "exists" => {
                if !value.is_boolean() {
                    self.fault(Fault::wrong(key, "true or false", shown(value)));
                }
                value.as_bool().map(Op::Exists)
            }
            _ => None, // Not reached: the caller goes through OPERATORS.
        }
    }

    /// What `eq`, `ne` and `in` compare with.
    fn literal(&mut self, value: &Value, field: &str, key: &str) -> Option<Literal> {
        match value {
            Value::Null => Some(Literal::Null),
            _ if field == LEVEL_FIELD => self.level(value, key),
            Value::String(text) => within(text, 0..=TEXT_MAX_CHARS, || key.to_owned(), self.faults).map(Literal::Text),
            Value::Bool(flag) => Some(Literal::Bool(*flag)),
            Value::Number(_) => number(value).map(Literal::Number),
            Value::Array(_) | Value::Object(_) => {
                self.fault(Fault::wrong(key, "a string, a number, true, false or null", shown(value)));
                None
            }
        }
    }

    /// What `gt`, `gte`, `lt` and `lte` compare with: a number, however written, or a level.
    fn ordered(&mut self, value: &Value, field: &str, key: &str) -> Option<Literal> {
        if field == LEVEL_FIELD {
            return self.level(value, key);
        }
        let Some(number) = number(value) else {
            self.fault(Fault::wrong(key, "a number", shown(value)));
            return None;
        };
        match value {
            Value::String(text) => within(text, 1..=TEXT_MAX_CHARS, || key.to_owned(), self.faults).map(Literal::Text),
            _ => Some(Literal::Number(number)),
        }
    }

    /// A record's level is always one of six names, so anything else would never match and nobody
    /// would be told. The name is kept in lower case, as records have it.
    fn level(&mut self, value: &Value, key: &str) -> Option<Literal> {
        let text = value.as_str().map(str::to_ascii_lowercase);
        if let Some(name) = text.as_deref().filter(|name| LEVELS.contains(name)) {
            return Some(Literal::Text(name.to_owned()));
        }
        let fault = Fault::wrong(key, format_args!("a level (one of {})", LEVELS.join(", ")), shown(value));
        // Other dialects' words for a level; numbers are those of pino and bunyan.
        let meant = match text.unwrap_or_else(|| value.to_string()).as_str() {
            "10" | "verbose" => Some("trace"),
            "20" => Some("debug"),
            "30" | "notice" | "information" => Some("info"),
            "40" | "warning" => Some("warn"),
            "50" | "err" | "severe" => Some("error"),
            "60" | "critical" | "crit" | "emergency" | "alert" | "panic" => Some("fatal"),
            _ => None,
        };
        self.fault(match meant {
            Some(name) => fault.hint(format!("did you mean {name:?}?")),
            None => fault.did_you_mean(value.as_str().unwrap_or_default(), &LEVELS),
        });
        None
    }

    fn list(&mut self, value: &Value, field: &str, key: &str) -> Option<Vec<Literal>> {
        let Some(items) = value.as_array().filter(|items| (1..=IN_MAX).contains(&items.len())) else {
            self.fault(Fault::wrong(key, format_args!("a list of 1 to {IN_MAX} values"), shown(value)));
            return None;
        };
        let literals: Vec<_> =
            items.iter().enumerate().map(|(at, value)| self.literal(value, field, &item(key, at))).collect();
        literals.into_iter().collect()
    }

    /// What the text operators look for. An empty one is in every text: surely not what was meant.
    fn phrase(&mut self, value: &Value, key: &str) -> Option<String> {
        let Some(text) = value.as_str() else {
            self.fault(Fault::wrong(key, "a string", shown(value)));
            return None;
        };
        within(text, 1..=TEXT_MAX_CHARS, || key.to_owned(), self.faults)
    }

    fn pattern(&mut self, value: &Value, key: &str) -> Option<Pattern> {
        self.regexes += 1;
        // Said once; and nobody compiles hundreds of them to refuse them all.
        if self.regexes == REGEXES_MAX + 1 {
            self.fault(Fault::new(self.root, format!("has more than {REGEXES_MAX} regexes")));
        }
        if self.regexes > REGEXES_MAX { None } else { pattern::read(value, key, self.faults) }
    }
}
