//! Reads settings one by one out of a parsed file and the environment, and remembers what was asked.
//!
//! Asking for a key is what makes it known: keys of the file and `EMBERWATCH_*` variables that
//! nobody asked for are faults at the end, so there is no second list of keys to keep in step. A
//! faulty value is reported and replaced by its default, and reading goes on.

mod secret;
mod unknown;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::path::Path;

use toml::{Table, Value};

use super::Retired;
use super::defaults::{Amount, Whole};
use super::text::Hint;
use crate::fault::{Fault, closest, item, join, quoted};

const PREFIX: &str = "EMBERWATCH_";
pub(super) const FAILPOINT_VARIABLE: &str = "EMBERWATCH_FAILPOINT";

/// What all sections share while they are read.
pub(super) struct Reader<'a> {
    pub(super) faults: Vec<Fault>,
    env: &'a BTreeMap<String, String>,
    cwd: &'a Path,
    /// Dotted keys and variables that were asked for.
    keys: BTreeSet<String>,
    variables: BTreeSet<String>,
    /// Section and name of keys nobody asked for. Judged at the end, when all known ones are known.
    unknown: Vec<(String, String)>,
}

/// One table of the file, and the variables that stand for its keys.
pub(super) struct Section<'r, 'a> {
    pub(super) reader: &'r mut Reader<'a>,
    path: String,
    table: Option<&'a Table>,
    /// `EMBERWATCH_SERVER_`. `None` for the elements of a list, which no variable can name.
    variables: Option<String>,
}

/// A setting as read. That it was given matters even where it is faulty: a token with a bad name is
/// a reason to complain about the name, not about a missing token.
pub(super) enum Setting<T> {
    Absent,
    Faulty,
    Good(T),
}

/// A value as it was found, before anything is known about its type.
enum Found<'a> {
    InFile(&'a Value),
    InEnv { text: &'a str, variable: String },
}

// === impl Reader ===

impl<'a> Reader<'a> {
    pub(super) fn new(env: &'a BTreeMap<String, String>, cwd: &'a Path) -> Self {
        Self { faults: Vec::new(), env, cwd, keys: BTreeSet::new(), variables: BTreeSet::new(), unknown: Vec::new() }
    }

    pub(super) fn push(&mut self, fault: Fault) {
        self.faults.push(fault);
    }

    /// What relative paths are relative to.
    pub(super) fn cwd(&self) -> &'a Path {
        self.cwd
    }

    /// A variable of somebody else's; an empty one is none.
    pub(super) fn variable(&self, name: &str) -> Option<&'a str> {
        self.env.get(name).map(String::as_str).filter(|text| !text.is_empty())
    }

    pub(super) fn root<'r>(&'r mut self, table: &'a Table) -> Section<'r, 'a> {
        Section { reader: self, path: String::new(), table: Some(table), variables: Some(PREFIX.to_owned()) }
    }

    /// One element of a list of tables.
    pub(super) fn element<'r>(&'r mut self, path: String, table: &'a Table) -> Section<'r, 'a> {
        Section { reader: self, path, table: Some(table), variables: None }
    }
}

// === impl Section ===

impl<'a> Section<'_, 'a> {
    pub(super) fn key(&self, name: &str) -> String {
        join(&self.path, name)
    }

    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// Whether the file has such a section.
    pub(super) fn is_in_file(&self) -> bool {
        self.table.is_some()
    }

    /// The section of that name within this one.
    pub(super) fn section<'s>(&'s mut self, name: &str) -> Section<'s, 'a> {
        let path = self.key(name);
        self.reader.keys.insert(path.clone());
        let table = match self.table.and_then(|table| table.get(name)) {
            None => None,
            Some(Value::Table(table)) => Some(table),
            Some(other) => {
                self.reader.push(Fault::wrong(path.as_str(), format_args!("a section, [{path}]"), kind(other)));
                None
            }
        };
        let variables = self.variables.as_ref().map(|prefix| format!("{prefix}{}_", name.to_ascii_uppercase()));
        Section { reader: &mut *self.reader, path, table, variables }
    }

    /// The tables of `[[name]]`, each with its path.
    pub(super) fn tables(&mut self, name: &str, max: usize) -> Vec<(String, &'a Table)> {
        let mut tables = Vec::new();
        for (path, value) in self.list(name, max) {
            match value {
                Value::Table(table) => tables.push((path, table)),
                other => self.reader.push(Fault::wrong(path, "a table", kind(other))),
            }
        }
        tables
    }

    /// The elements of `[[name]]`, whatever they are.
    pub(super) fn list(&mut self, name: &str, max: usize) -> Vec<(String, &'a Value)> {
        let path = self.key(name);
        self.reader.keys.insert(path.clone());
        match self.table.and_then(|table| table.get(name)) {
            None => Vec::new(),
            Some(Value::Array(items)) if items.len() <= max => {
                items.iter().enumerate().map(|(at, value)| (item(&path, at), value)).collect()
            }
            Some(other) => {
                let got = match other {
                    Value::Array(items) => items.len().to_string(),
                    other => kind(other).to_owned(),
                };
                let fault = Fault::wrong(path.as_str(), format_args!("a list of at most {max} tables"), got);
                self.reader.push(match other {
                    Value::Table(_) => fault.hint(format!("write [[{path}]]")),
                    _ => fault,
                });
                Vec::new()
            }
        }
    }

    fn ask(&mut self, name: &str) -> Option<Found<'a>> {
        let key = self.key(name);
        self.reader.keys.insert(key);
        if let Some(prefix) = &self.variables {
            let variable = format!("{prefix}{}", name.to_ascii_uppercase());
            self.reader.variables.insert(variable.clone());
            if let Some(text) = self.reader.env.get(&variable) {
                return Some(Found::InEnv { text, variable });
            }
        }
        self.table.and_then(|table| table.get(name)).map(Found::InFile)
    }

    pub(super) fn whole(&mut self, name: &str, bounds: Whole) -> u64 {
        let Some(found) = self.ask(name) else {
            return bounds.default;
        };
        let number = match &found {
            Found::InFile(value) => value.as_integer(),
            Found::InEnv { text, .. } => text.replace('_', "").parse().ok(),
        };
        let whole = number.and_then(|number| u64::try_from(number).ok());
        if let Some(whole) = whole.filter(|whole| (bounds.min..=bounds.max).contains(whole)) {
            return whole;
        }
        let mut fault =
            found.fault(self.key(name), format_args!("a whole number from {} to {}", bounds.min, bounds.max));
        if let Found::InFile(Value::String(text)) = &found
            && text.replace('_', "").parse::<u64>().is_ok()
        {
            fault = fault.hint("leave out the quotes");
        }
        self.reader.push(fault);
        bounds.default
    }

    pub(super) fn count(&mut self, name: &str, bounds: Whole) -> usize {
        usize::try_from(self.whole(name, bounds)).unwrap_or(usize::MAX)
    }

    /// A number that may have a fraction.
    pub(super) fn number(&mut self, name: &str, min: f64, max: f64) -> Setting<f64> {
        let Some(found) = self.ask(name) else {
            return Setting::Absent;
        };
        let number = match &found {
            Found::InFile(Value::Integer(number)) => Some(*number as f64),
            Found::InFile(value) => value.as_float(),
            Found::InEnv { text, .. } => text.parse().ok(),
        };
        match number.filter(|number| (min..=max).contains(number)) {
            Some(number) => Setting::Good(number),
            None => {
                let fault = found.fault(self.key(name), format_args!("a number from {min} to {max}"));
                self.reader.push(fault);
                Setting::Faulty
            }
        }
    }

    pub(super) fn amount(&mut self, name: &str, bounds: Amount) -> f64 {
        self.number(name, bounds.min, bounds.max).good().unwrap_or(bounds.default)
    }

    pub(super) fn flag(&mut self, name: &str) -> Option<bool> {
        let found = self.ask(name)?;
        let flag = match &found {
            Found::InFile(value) => value.as_bool(),
            Found::InEnv { text, .. } => text.parse().ok(),
        };
        if flag.is_none() {
            let fault = found.fault(self.key(name), "true or false");
            self.reader.push(fault);
        }
        flag
    }

    /// A text that `parse` accepts. Its error is a hint, which is all it can add to `expected`.
    pub(super) fn text<T>(
        &mut self,
        name: &str,
        expected: impl Display,
        parse: impl FnOnce(&str) -> Result<T, Hint>,
    ) -> Setting<T> {
        let Some(found) = self.ask(name) else {
            return Setting::Absent;
        };
        let parsed = match &found {
            Found::InFile(Value::String(text)) => parse(text),
            Found::InFile(_) => Err(None),
            Found::InEnv { text, .. } => parse(text),
        };
        match parsed {
            Ok(value) => Setting::Good(value),
            Err(hint) => {
                let fault = found.fault(self.key(name), expected);
                self.reader.push(match hint {
                    Some(hint) => fault.hint(hint),
                    None => fault,
                });
                Setting::Faulty
            }
        }
    }

    /// Is it set, to whatever?
    pub(super) fn has(&mut self, name: &str) -> bool {
        self.ask(name).is_some()
    }

    /// A list of texts; in the environment they are separated by commas. Faulty ones are left out.
    pub(super) fn texts<T>(
        &mut self,
        name: &str,
        max: usize,
        expected: &str,
        parse: impl Fn(&str) -> Result<T, Hint>,
    ) -> Vec<T> {
        let key = self.key(name);
        let texts: Vec<(String, Option<String>)> = match self.ask(name) {
            None => return Vec::new(),
            Some(Found::InEnv { text, .. }) => {
                let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
                parts.map(|part| (key.clone(), Some(part.to_owned()))).collect()
            }
            Some(Found::InFile(Value::Array(items))) => {
                let text = |value: &Value| value.as_str().map(str::to_owned);
                items.iter().enumerate().map(|(at, value)| (item(&key, at), text(value))).collect()
            }
            Some(found) => {
                let fault = found.fault(key, format_args!("a list, each {expected}"));
                self.reader.push(fault);
                return Vec::new();
            }
        };
        if texts.len() > max {
            self.reader.push(Fault::wrong(key, format_args!("a list of at most {max}"), texts.len()));
            return Vec::new();
        }
        let mut good = Vec::new();
        for (key, text) in texts {
            match text.as_deref().map(&parse) {
                Some(Ok(value)) => good.push(value),
                Some(Err(_)) => {
                    self.reader.push(Fault::wrong(key, expected, quoted(text.as_deref().unwrap_or_default())));
                }
                None => self.reader.push(Fault::new(key, format!("must be {expected}"))),
            }
        }
        good
    }

    /// A time since when something holds: a date, or `true` for as long as the program runs.
    pub(super) fn moment(&mut self, name: &str) -> Option<Retired> {
        let found = self.ask(name)?;
        let written = match &found {
            Found::InFile(Value::Boolean(flag)) => return flag.then_some(Retired::AtStart),
            Found::InFile(Value::Datetime(date)) => date.to_string(),
            found => found.text().unwrap_or_default().to_owned(),
        };
        let moment = super::text::moment(&written);
        if moment.is_none() {
            let fault = found.fault(self.key(name), "true, or a date such as 2026-01-31 or 2026-01-31T12:00:00Z");
            self.reader.push(fault);
        }
        moment.map(Retired::At)
    }

    /// One of a short list of words.
    pub(super) fn word(&mut self, name: &str, words: &[&str]) -> Option<String> {
        let near = |text: &str| closest(text, words.iter().copied()).map(|near| format!("did you mean {near:?}?"));
        let parse = |text: &str| {
            if words.contains(&text) { Ok(text.to_owned()) } else { Err(near(text)) }
        };
        self.text(name, format_args!("one of {}", words.join(", ")), parse).good()
    }

    /// Says that all keys of this table have been asked for: any other is unknown.
    pub(super) fn finish(self) {
        let Some(table) = self.table else { return };
        for name in table.keys().filter(|name| !self.reader.keys.contains(&join(&self.path, name))) {
            self.reader.unknown.push((self.path.clone(), name.clone()));
        }
    }
}

// === impl Setting, Found ===

impl<T> Setting<T> {
    pub(super) fn good(self) -> Option<T> {
        match self {
            Self::Good(value) => Some(value),
            Self::Absent | Self::Faulty => None,
        }
    }

    pub(super) fn is_given(&self) -> bool {
        !matches!(self, Self::Absent)
    }
}

impl<'a> Found<'a> {
    fn text(&self) -> Option<&'a str> {
        match self {
            Self::InFile(value) => value.as_str(),
            Self::InEnv { text, .. } => Some(text),
        }
    }

    /// What a person would look for.
    fn name(&self, name: &str) -> String {
        match self {
            Self::InFile(_) => name.to_owned(),
            Self::InEnv { variable, .. } => variable.clone(),
        }
    }

    fn fault(&self, key: String, expected: impl Display) -> Fault {
        match self {
            Self::InFile(value) => Fault::wrong(key, expected, shown(value)),
            Self::InEnv { text, variable } => {
                Fault::wrong(key, expected, format_args!("{} (from {variable})", quoted(text)))
            }
        }
    }
}

/// A TOML value as a message shows it.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => quoted(text),
        Value::Array(_) | Value::Table(_) => kind(value).to_owned(),
        Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::Datetime(_) => value.to_string(),
    }
}

/// The same without its text: for where a secret, or a section that holds one, should have been.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::String(_) => "a string",
        Value::Integer(_) => "an integer",
        Value::Float(_) => "a float",
        Value::Boolean(_) => "a boolean",
        Value::Datetime(_) => "a date",
        Value::Array(_) => "a list",
        Value::Table(_) => "a table",
    }
}
