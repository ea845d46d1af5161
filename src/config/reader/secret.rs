//! Secrets, given as text or as the name of a file that holds it.

use toml::Value;

use super::{Found, Section, Setting, kind};
use crate::config::defaults::SECRET_MAX_BYTES;
use crate::config::source::read_file;
use crate::fault::Fault;
use crate::secret::Secret;

// === impl Section ===

impl Section<'_, '_> {
    /// A secret: `name`, or the file that `name_file` names. Its text goes into no fault.
    pub(in crate::config) fn secret(&mut self, name: &str, min_bytes: usize) -> Setting<Secret> {
        let key = self.key(name);
        let name_of_file = format!("{name}_file");
        let (plain, in_file) = (self.ask(name), self.ask(&name_of_file));
        // The environment wins here too, and whichever of its two forms was used there.
        let (plain, in_file) = match (plain, in_file) {
            (Some(plain @ Found::InEnv { .. }), Some(Found::InFile(_))) => (Some(plain), None),
            (Some(Found::InFile(_)), Some(in_file @ Found::InEnv { .. })) => (None, Some(in_file)),
            both => both,
        };
        let (text, key) = match (plain, in_file) {
            (None, None) => return Setting::Absent,
            (Some(a), Some(b)) => {
                let (a, b) = (a.name(name), b.name(&name_of_file));
                self.reader.push(Fault::new(key, format!("{a} and {b} are both given; keep one of them")));
                return Setting::Faulty;
            }
            (Some(Found::InEnv { text, .. }), None) => (text.to_owned(), key),
            (Some(Found::InFile(Value::String(text))), None) => (text.clone(), key),
            (Some(Found::InFile(other)), None) => {
                self.reader.push(Fault::wrong(key, "a string", kind(other)));
                return Setting::Faulty;
            }
            (None, Some(found)) => {
                let key = self.key(&name_of_file);
                let Some(path) = found.text().filter(|path| !path.is_empty()) else {
                    let fault = found.fault(key, "the path of a file");
                    self.reader.push(fault);
                    return Setting::Faulty;
                };
                // Room for the final newline, in either form.
                match read_file(&self.reader.cwd.join(path), SECRET_MAX_BYTES as u64 + 2) {
                    Ok(text) => (without_final_newline(&text).to_owned(), key),
                    Err(problem) => {
                        self.reader.push(Fault::new(key, problem.message));
                        return Setting::Faulty;
                    }
                }
            }
        };
        self.checked_secret(&key, text, min_bytes)
    }

    fn checked_secret(&mut self, key: &str, text: String, min_bytes: usize) -> Setting<Secret> {
        let fault = if text.is_empty() {
            Fault::new(key, "is empty; give a value or leave it out")
        } else if !(min_bytes..=SECRET_MAX_BYTES).contains(&text.len()) {
            Fault::wrong(key, format_args!("{min_bytes} to {SECRET_MAX_BYTES} bytes long"), text.len())
        } else if text.chars().any(char::is_control) {
            Fault::new(key, "holds a control character, which no header can carry")
        } else {
            return Setting::Good(Secret::new(text));
        };
        self.reader.push(fault);
        Setting::Faulty
    }
}

fn without_final_newline(text: &str) -> &str {
    let text = text.strip_suffix('\n').unwrap_or(text);
    text.strip_suffix('\r').unwrap_or(text)
}
