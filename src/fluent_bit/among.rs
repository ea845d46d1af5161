//! Configurations inside other YAML: the `data` of a Kubernetes ConfigMap, and the strings under `config` in the
//! values of Fluent Bit's Helm chart. Lines are those of the file a person has open.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::tree::{self, Content, Node, Pair, Root};
use super::{Book, Configuration, Draft, Form, Shelf, Unreadable, glob, yaml};

/// `None`: nothing of the kind is in it.
pub(super) fn read(root: &Root) -> Result<Option<Configuration>, Unreadable> {
    for document in &root.nodes {
        if document.word("kind").is_some_and(|kind| kind.eq_ignore_ascii_case("ConfigMap"))
            && let Some(data) = document.get("data")
            && let Some(configuration) = config_map(data, &root.label)?
        {
            return Ok(Some(configuration));
        }
        if let Some(config) = document.get("config")
            && let Some(configuration) = helm(config, &root.label)?
        {
            return Ok(Some(configuration));
        }
    }
    Ok(None)
}

/// Keys of one ConfigMap: mounted in one folder, so an include is looked up by its last part.
struct Data(Vec<Book>);

impl Shelf for Data {
    fn open(&self, pattern: &str) -> Result<Vec<Book>, String> {
        let name = Path::new(pattern.trim()).file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let found: Vec<Book> =
            self.0.iter().filter(|book| book.id.to_str().is_some_and(|id| glob::matches(name, id))).cloned().collect();
        if found.is_empty() { Err("it is not in this file".to_owned()) } else { Ok(found) }
    }
}

fn book(pair: &Pair, label: &Arc<str>) -> Option<Book> {
    let Content::Text { text, first_line } = &pair.value.content else { return None };
    // Of a text that is no block the key's line is all that is known.
    let lines_above = if *first_line > 0 { first_line.saturating_sub(1) } else { pair.line.saturating_sub(1) };
    Some(Book { id: PathBuf::from(&pair.key), label: Arc::clone(label), text: text.clone(), lines_above })
}

fn config_map(data: &Node, label: &Arc<str>) -> Result<Option<Configuration>, Unreadable> {
    let shelf = Data(data.pairs().iter().filter_map(|pair| book(pair, label)).collect());
    let is_classic = |book: &&Book| {
        book.id.extension().is_some_and(|e| e == "conf")
            && book
                .text
                .lines()
                .any(|line| Kind::is_pipeline(line) || line.to_ascii_uppercase().starts_with("@INCLUDE "))
    };
    let named = |name: &str| shelf.0.iter().find(|book| book.id == Path::new(name));
    if let Some(main) = named("fluent-bit.yaml").or_else(|| named("fluent-bit.yml")) {
        let mut draft = Draft::new(&shelf);
        let mut nodes = tree::parse(&main.text)
            .map_err(|(line, expected)| Unreadable::at(label, main.lines_above + line, expected))?;
        nodes.iter_mut().for_each(|node| shift(node, main.lines_above, 0));
        if nodes.iter().any(yaml::is_configuration) {
            draft.yaml(&Root { label: Arc::clone(label), nodes }, &main.id, 0)?;
            return draft.end(Form::Yaml).map(Some);
        }
    }
    let mains: Vec<Book> = match named("fluent-bit.conf") {
        Some(main) => vec![main.clone()],
        None => shelf.0.iter().filter(is_classic).cloned().collect(),
    };
    pieces(&shelf, mains)
}

fn helm(config: &Node, label: &Arc<str>) -> Result<Option<Configuration>, Unreadable> {
    let named = ["service", "inputs", "filters", "outputs"];
    let books = config.pairs().iter().filter(|pair| named.contains(&pair.key.as_str()));
    pieces(&Data(vec![]), books.filter_map(|pair| book(pair, label)).collect())
}

fn pieces(shelf: &Data, books: Vec<Book>) -> Result<Option<Configuration>, Unreadable> {
    if books.is_empty() {
        return Ok(None);
    }
    let mut draft = Draft::new(shelf);
    for book in books.into_iter().filter(|book| !book.text.trim().is_empty()) {
        // One that another piece has included is there already.
        if !draft.read.contains(&book.id) {
            draft.classic(book, 0)?;
        }
    }
    draft.end(Form::Classic).map(Some)
}

/// Moves a tree down to where its text stands in the file.
fn shift(node: &mut Node, lines: usize, depth: usize) {
    node.line += lines;
    if depth > tree::DEPTH_MAX {
        return;
    }
    match &mut node.content {
        Content::Text { .. } => {}
        Content::List(items) => items.iter_mut().for_each(|item| shift(item, lines, depth + 1)),
        Content::Map(pairs) => pairs.iter_mut().for_each(|pair| {
            pair.line += lines;
            shift(&mut pair.value, lines, depth + 1);
        }),
    }
}

use super::section::Kind;

impl Kind {
    /// Whether a line opens a section of a pipeline.
    fn is_pipeline(line: &str) -> bool {
        line.strip_prefix('[')
            .and_then(|rest| rest.split_once(']'))
            .is_some_and(|(name, _)| Kind::of(name) != Kind::Other)
    }
}

#[cfg(test)]
mod tests {
    use crate::fluent_bit::tests::read_text;

    fn told(text: &str) -> Vec<String> {
        let configuration = read_text("k.yaml", text);
        assert!(configuration.remarks.is_empty(), "{:?}", configuration.remarks);
        configuration
            .sections
            .iter()
            .flat_map(|s| s.entries.iter().map(|e| format!("{} {}={}", e.line, e.key, e.value)))
            .collect()
    }

    #[test]
    fn the_keys_of_a_config_map_include_each_other() {
        let text = "apiVersion: v1\nkind: ConfigMap\ndata:\n  fluent-bit.conf: |\n    [SERVICE]\n        Flush 1\n    \
                    @INCLUDE /fluent-bit/etc/out-*.conf\n  out-ember.conf: |\n    [OUTPUT]\n        Name http\n  \
                    parsers.conf: |\n    [PARSER]\n        Name p\n";
        assert_eq!(told(text), ["6 flush=1", "10 name=http"]);
        assert_eq!(told(&format!("kind: Namespace\n---\n{text}")), ["8 flush=1", "12 name=http"]);
    }

    #[test]
    fn a_config_map_may_hold_yaml() {
        let text =
            "kind: ConfigMap\ndata:\n  fluent-bit.yaml: |\n    pipeline:\n      outputs:\n        - name: http\n";
        assert_eq!(told(text), ["6 name=http"]);
    }

    #[test]
    fn helm_values_hold_classic_pieces() {
        let text = "image: x\nconfig:\n  service: |\n    [SERVICE]\n        Flush 1\n  outputs: |\n    [OUTPUT]\n        Name http\n";
        assert_eq!(told(text), ["5 flush=1", "8 name=http"]);
    }
}
