//! `@SET` and `env:`. What only Fluent Bit's own environment knows stays as it was written.

use std::collections::BTreeMap;

#[derive(Default)]
pub(super) struct Variables(BTreeMap<String, String>);

/// Variables in one value, and bytes that one may grow to.
const VARIABLES_MAX: usize = 64;
const VALUE_MAX_BYTES: usize = 64 * 1024;

impl Variables {
    pub(super) fn set(&mut self, name: &str, value: &str) {
        // Where Fluent Bit reads a file or asks the environment again, so would we have to.
        if !value.contains("${") && !value.starts_with("file://") {
            self.0.insert(name.trim().to_owned(), value.trim().to_owned());
        }
    }

    /// `${NAME}` by its value, `${NAME:-word}` by that or the word. Values are not looked at again.
    pub(super) fn expand(&self, text: &str) -> String {
        let (mut expanded, mut rest) = (String::new(), text);
        for _ in 0..VARIABLES_MAX {
            let Some((before, after)) = rest.split_once("${") else { break };
            let Some((inside, behind)) = after.split_once('}') else { break };
            expanded.push_str(before);
            let (name, word) = inside.split_once(":-").map_or((inside, None), |(name, word)| (name, Some(word)));
            match self.0.get(name).map(String::as_str).or(word) {
                Some(value) if expanded.len() + value.len() <= VALUE_MAX_BYTES => expanded.push_str(value),
                _ => expanded.push_str(&format!("${{{inside}}}")),
            }
            rest = behind;
        }
        expanded + rest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_variables_are_replaced_and_others_stay() {
        let mut variables = Variables::default();
        variables.set("A", "1");
        variables.set("B", "${A}");
        variables.set("F", "file:///secret");
        for (text, expected) in [
            ("${A}", "1"),
            ("x${A}y${A}", "x1y1"),
            ("${B}", "${B}"),
            ("${F}", "${F}"),
            ("${HOST:-127.0.0.1}", "127.0.0.1"),
            ("${A:-2}", "1"),
            ("${A", "${A"),
            ("$A {A}", "$A {A}"),
        ] {
            assert_eq!(variables.expand(text), expected);
        }
    }
}
