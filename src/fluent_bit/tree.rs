//! YAML and JSON as one kind of tree that knows its lines.
//!
//! Built without recursion, and never deeper or larger than the bounds say.

use std::sync::Arc;

use yaml_rust2::parser::{Event, Parser};
use yaml_rust2::scanner::TScalarStyle;

#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) line: usize,
    pub(super) content: Content,
}

#[derive(Clone, Debug)]
pub(super) enum Content {
    Text {
        text: String,
        /// Of a YAML block, the line its first line stands on; else 0.
        first_line: usize,
    },
    List(Vec<Node>),
    Map(Vec<Pair>),
}

#[derive(Clone, Debug)]
pub(super) struct Pair {
    pub(super) key: String,
    pub(super) line: usize,
    pub(super) value: Node,
}

/// A file of one or more documents.
pub(super) struct Root {
    pub(super) label: Arc<str>,
    pub(super) nodes: Vec<Node>,
}

/// Deeper ones are no configuration.
pub(super) const DEPTH_MAX: usize = 64;

/// More than any manifest has.
const NODES_MAX: usize = 500_000;

// === impl Node ===

impl Node {
    pub(super) fn text(line: usize, text: impl Into<String>) -> Self {
        Self { line, content: Content::Text { text: text.into(), first_line: 0 } }
    }

    pub(super) fn pairs(&self) -> &[Pair] {
        match &self.content {
            Content::Map(pairs) => pairs,
            Content::Text { .. } | Content::List(_) => &[],
        }
    }

    pub(super) fn items(&self) -> &[Node] {
        match &self.content {
            Content::List(items) => items,
            Content::Text { .. } | Content::Map(_) => &[],
        }
    }

    pub(super) fn as_text(&self) -> Option<&str> {
        match &self.content {
            Content::Text { text, .. } => Some(text),
            Content::List(_) | Content::Map(_) => None,
        }
    }

    /// Keys in any case: CloudFormation writes `LogConfiguration`, ECS `logConfiguration`.
    pub(super) fn pair(&self, key: &str) -> Option<&Pair> {
        self.pairs().iter().find(|pair| pair.key.eq_ignore_ascii_case(key))
    }

    pub(super) fn get(&self, key: &str) -> Option<&Node> {
        self.pair(key).map(|pair| &pair.value)
    }

    pub(super) fn word(&self, key: &str) -> Option<&str> {
        self.get(key)?.as_text()
    }
}

/// What is open while events come in: a list, or a map and the key that waits for its value.
enum Open {
    List(usize, Vec<Node>),
    Map(usize, Vec<Pair>, Option<(String, usize)>),
}

/// All documents of a YAML text, or the line where it stops being one and what was expected.
pub(super) fn parse(text: &str) -> Result<Vec<Node>, (usize, String)> {
    let mut parser = Parser::new_from_str(text);
    let mut open: Vec<Open> = Vec::new();
    let mut documents = Vec::new();
    for _ in 0..NODES_MAX {
        let (event, mark) =
            parser.next_token().map_err(|e| (e.marker().line(), format!("expected YAML: {}", e.info())))?;
        let line = mark.line();
        let done = match event {
            Event::StreamEnd => return Ok(documents),
            Event::Scalar(text, style, _, _) => {
                let first_line = if style == TScalarStyle::Literal { line } else { 0 };
                Some(Node { line, content: Content::Text { text, first_line } })
            }
            // What an anchor holds is not followed: no rule judges a value that holds a variable.
            Event::Alias(_) => Some(Node::text(line, "${alias}")),
            Event::SequenceStart(..) | Event::MappingStart(..) if open.len() >= DEPTH_MAX => {
                return Err((line, format!("expected at most {DEPTH_MAX} levels")));
            }
            Event::SequenceStart(..) => {
                open.push(Open::List(line, vec![]));
                None
            }
            Event::MappingStart(..) => {
                open.push(Open::Map(line, vec![], None));
                None
            }
            Event::SequenceEnd | Event::MappingEnd => open.pop().map(|ended| match ended {
                Open::List(line, items) => Node { line, content: Content::List(items) },
                Open::Map(line, pairs, _) => Node { line, content: Content::Map(pairs) },
            }),
            Event::Nothing | Event::StreamStart | Event::DocumentStart | Event::DocumentEnd => None,
        };
        let Some(node) = done else { continue };
        match open.last_mut() {
            None => documents.push(node),
            Some(Open::List(_, items)) => items.push(node),
            Some(Open::Map(_, pairs, key)) => match key.take() {
                Some((key, line)) => pairs.push(Pair { key, line, value: node }),
                None => *key = Some((node.as_text().unwrap_or_default().to_owned(), node.line)),
            },
        }
    }
    Err((0, format!("expected at most {NODES_MAX} values")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_knows_its_lines() {
        let nodes = parse("a:\n  - b: on\n    c: |\n      first\n      second\n---\nd: 1\n").unwrap();
        assert_eq!(nodes.len(), 2);
        let item = &nodes[0].get("A").unwrap().items()[0];
        assert_eq!((item.word("b"), item.pair("c").unwrap().line), (Some("on"), 3));
        let Content::Text { first_line, .. } = item.get("c").unwrap().content else { panic!() };
        assert_eq!(first_line, 4);
    }

    #[test]
    fn what_is_too_deep_or_no_yaml_is_refused_with_its_line() {
        assert!(parse(&"[".repeat(1000)).is_err());
        assert_eq!(parse(&"- ".repeat(100)).unwrap_err(), (1, "expected at most 64 levels".to_owned()));
        assert_eq!(parse("a: b\n c: d\n").unwrap_err().0, 2);
    }
}
