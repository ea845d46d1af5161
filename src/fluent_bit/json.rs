//! JSON as a tree that knows its lines.
//!
//! serde_json decides whether it is JSON; this walks the same text once more for the lines, which serde_json does
//! not tell. Its depth is bounded by serde_json's own limit and ours.

use std::sync::Arc;

use super::Unreadable;
use super::tree::{Content, DEPTH_MAX, Node, Pair};

pub(super) fn parse(text: &str, label: &Arc<str>) -> Result<Node, Unreadable> {
    if let Err(error) = serde_json::from_str::<serde::de::IgnoredAny>(text) {
        return Err(Unreadable::at(label, error.line(), format!("expected JSON: {error}")));
    }
    let mut walk = Walk { rest: text, line: 1 };
    walk.value(0).ok_or_else(|| Unreadable::at(label, walk.line, format!("expected at most {DEPTH_MAX} levels")))
}

/// Over a text that is known to be JSON.
struct Walk<'a> {
    rest: &'a str,
    line: usize,
}

impl Walk<'_> {
    fn blank(&mut self) {
        let trimmed = self.rest.trim_start_matches([' ', '\t', '\r', '\n', ',', ':']);
        let skipped = self.rest.len() - trimmed.len();
        self.line += self.rest.bytes().take(skipped).filter(|b| *b == b'\n').count();
        self.rest = trimmed;
    }

    fn take(&mut self, c: char) -> bool {
        self.blank();
        let rest = self.rest.strip_prefix(c);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    /// `None`: too deep.
    fn value(&mut self, depth: usize) -> Option<Node> {
        if depth > DEPTH_MAX {
            return None;
        }
        self.blank();
        let line = self.line;
        if self.take('{') {
            let mut pairs = Vec::new();
            while !self.take('}') {
                let line = self.line;
                let key = self.scalar()?;
                let value = self.value(depth + 1)?;
                pairs.push(Pair { key, line, value });
            }
            return Some(Node { line, content: Content::Map(pairs) });
        }
        if self.take('[') {
            let mut items = Vec::new();
            while !self.take(']') {
                items.push(self.value(depth + 1)?);
            }
            return Some(Node { line, content: Content::List(items) });
        }
        Some(Node::text(line, self.scalar()?))
    }

    /// A string, or a bare word such as a number.
    fn scalar(&mut self) -> Option<String> {
        self.blank();
        let mut escaped = false;
        let end = if self.rest.starts_with('"') {
            let closing = self.rest.bytes().skip(1).position(|byte| {
                let closes = byte == b'"' && !escaped;
                escaped = byte == b'\\' && !escaped;
                closes
            })?;
            closing + 2
        } else {
            self.rest.find([',', '}', ']', ' ', '\t', '\r', '\n']).unwrap_or(self.rest.len())
        };
        let (word, rest) = self.rest.split_at_checked(end)?;
        // An empty word would not move on; in JSON there is none.
        if word.is_empty() {
            return None;
        }
        self.rest = rest;
        Some(serde_json::from_str::<String>(word).unwrap_or_else(|_| word.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_read_with_its_lines() {
        let node = parse("{\n \"a\": [1, true,\n {\"b\\\"\": \"c, }\\u00e9\"}],\n\"d\": {}\n}", &"f".into()).unwrap();
        let items = node.get("a").unwrap().items();
        assert_eq!((items[0].as_text(), items[1].as_text()), (Some("1"), Some("true")));
        let pair = &items[2].pairs()[0];
        assert_eq!((pair.key.as_str(), pair.value.as_text(), pair.line), ("b\"", Some("c, }é"), 3));
        assert_eq!(node.pair("d").unwrap().line, 4);
    }

    #[test]
    fn what_is_no_json_is_told_with_its_line() {
        let error = parse("{\n\"a\": }", &"t.json".into()).unwrap_err().to_string();
        assert!(error.starts_with("t.json:2: expected JSON: expected value"), "{error}");
        assert!(parse(&format!("{}{}", "[".repeat(100), "]".repeat(100)), &"f".into()).is_err());
    }
}
