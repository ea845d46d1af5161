//! Fluent Bit's own YAML: `service`, `pipeline`, `env` and `includes`; parsers and processors are not looked at.

use std::path::Path;
use std::sync::Arc;

use super::finding::Place;
use super::section::{Entry, Kind, Section};
use super::tree::{self, Content, Node, Root};
use super::{Draft, Unreadable};

/// Whether a document is one of Fluent Bit's, and not something that carries one.
pub(super) fn is_configuration(node: &Node) -> bool {
    const KEYS: [&str; 6] = ["service", "pipeline", "includes", "env", "parsers", "multiline_parsers"];
    let pairs = node.pairs();
    !pairs.iter().any(|pair| matches!(pair.key.as_str(), "kind" | "apiVersion" | "config" | "containerDefinitions"))
        && pairs.iter().any(|pair| KEYS.contains(&pair.key.to_ascii_lowercase().as_str()))
        // Helm values have a `service` and an `env` of their own.
        && (pairs.iter().any(|pair| pair.key == "pipeline" || pair.key == "includes") || pairs.len() <= KEYS.len())
}

impl Draft<'_> {
    pub(super) fn yaml(&mut self, root: &Root, path: &Path, depth: usize) -> Result<(), Unreadable> {
        if depth == 0 {
            self.read.push(path.to_path_buf());
        }
        for document in &root.nodes {
            if let Some(env) = document.get("env") {
                self.env(env);
            }
            for include in document.get("includes").map(Node::items).unwrap_or_default() {
                let place = Place { file: Arc::clone(&root.label), line: include.line };
                let pattern = include.as_text().unwrap_or_default();
                for book in self.include(pattern, &place, depth + 1) {
                    let nodes = tree::parse(&book.text)
                        .map_err(|(line, expected)| Unreadable::at(&book.label, line, expected))?;
                    self.yaml(&Root { label: book.label, nodes }, &book.id, depth + 1)?;
                }
            }
            if let Some(pair) = document.pair("service") {
                self.section(Kind::Service, &root.label, pair.line, &pair.value);
            }
            let pipeline = document.get("pipeline");
            for (name, kind) in [("inputs", Kind::Input), ("filters", Kind::Filter), ("outputs", Kind::Output)] {
                for item in pipeline.and_then(|node| node.get(name)).map(Node::items).unwrap_or_default() {
                    self.section(kind, &root.label, item.line, item);
                }
            }
        }
        Ok(())
    }

    /// A map of names, or a list of `name` and `value`.
    fn env(&mut self, env: &Node) {
        for pair in env.pairs() {
            if let Some(value) = pair.value.as_text() {
                self.variables.set(&pair.key, value);
            }
        }
        for item in env.items() {
            if let (Some(name), Some(value)) = (item.word("name"), item.word("value")) {
                self.variables.set(name, value);
            }
        }
    }

    fn section(&mut self, kind: Kind, label: &Arc<str>, line: usize, node: &Node) {
        let mut section = Section::new(kind, label, line);
        for pair in node.pairs() {
            let key = snake(&pair.key);
            let mut keep = |value: &str, line: usize| {
                if self.room() {
                    section.entries.push(Entry::new(&key, value, line));
                }
            };
            match &pair.value.content {
                Content::Text { text, .. } => keep(text, pair.line),
                Content::List(items) => {
                    items.iter().filter_map(|item| Some((item.as_text()?, item.line))).for_each(|(t, l)| keep(t, l));
                }
                // Routes, processors: only that they are there matters.
                Content::Map(_) => keep("{}", pair.line),
            }
        }
        self.sections.push(section);
    }
}

/// `retryLimit` is `retry_limit`; what has an underscore or begins in upper case stays.
fn snake(key: &str) -> String {
    if key.contains('_') || !key.starts_with(|c: char| c.is_ascii_lowercase()) {
        return key.to_owned();
    }
    let mut snake = String::new();
    for c in key.chars() {
        if c.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(c.to_ascii_lowercase());
    }
    snake
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fluent_bit::tests::{entries, read_text, unreadable};

    #[test]
    fn sections_env_and_lists_are_read() {
        let text = "env:\n  PORT: 8080\nservice:\n  flush: 1\npipeline:\n  inputs:\n    - name: tail\n      tag: a\n  \
                    outputs:\n    - name: http\n      match: '*'\n      retryLimit: 2\n      port: ${PORT}\n      \
                    header:\n        - A b\n        - C d\n";
        let configuration = read_text("f.yaml", text);
        let told = entries(&configuration);
        assert_eq!(
            told,
            [
                "4 flush=1",
                "7 name=tail",
                "8 tag=a",
                "10 name=http",
                "11 match=*",
                "12 retry_limit=2",
                "13 port=8080",
                "15 header=A b",
                "16 header=C d"
            ]
        );
    }

    #[test]
    fn yaml_that_holds_no_configuration_is_refused() {
        assert!(unreadable("f.yaml", "a: b\n").starts_with("f.yaml:1: expected a Fluent Bit configuration"));
        assert!(unreadable("f.yaml", "a: [\n").starts_with("f.yaml:"));
    }

    #[test]
    fn camel_case_becomes_snake_case() {
        for (key, expected) in [
            ("retryLimit", "retry_limit"),
            ("http_User", "http_User"),
            ("Match", "Match"),
            ("tls.verify", "tls.verify"),
        ] {
            assert_eq!(snake(key), expected);
        }
    }
}
