//! What a model may do: read the files of one commit. Its requests are data, and so are the results.
//!
//! Each result is redacted, cut to a bound and fenced; all of a conversation have a bound together. Nothing that goes
//! wrong here ends a conversation: the model is told, and goes on.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::Files;
use super::wire::{Found, Read};
use crate::investigate::markdown::Markdown;
use crate::redact::Redacted;

/// Of one result: some four hundred lines.
const RESULT_BYTES: usize = 16 * 1024;
/// Of all results of a conversation.
const RESULTS_BYTES: usize = 192 * 1024;
/// Done in one turn; the others are to be asked for again.
const AT_ONCE: usize = 8;
/// Lines of a file that are read unless more is said, and at the most.
const LINES: u32 = 200;

/// What all results of one turn have at the most.
pub(super) const TURN_BYTES: usize = AT_ONCE * (RESULT_BYTES + 1024);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tool {
    ReadFile,
    Search,
    ListFiles,
}

pub(super) const ALL: [Tool; 3] = [Tool::ReadFile, Tool::Search, Tool::ListFiles];

/// Where the requests of one conversation are answered.
pub(super) struct Desk {
    files: Option<Arc<dyn Files>>,
    bytes_left: usize,
}

/// A request that is understood.
#[derive(Debug, PartialEq, Eq)]
enum Request {
    Read { path: String, from: u32, to: u32 },
    Search { text: String },
    List { folder: String },
}

impl Tool {
    pub(super) fn name(self) -> &'static str {
        match self {
            Tool::ReadFile => "read_file",
            Tool::Search => "search",
            Tool::ListFiles => "list_files",
        }
    }

    pub(super) fn description(self) -> &'static str {
        match self {
            Tool::ReadFile => {
                "Reads lines of a file of the repository at the commit that ran, each after its number. 200 lines at a time at the most."
            }
            Tool::Search => {
                "Finds the lines that hold a text, literally and with its case, in all text files of the repository at the commit that ran."
            }
            Tool::ListFiles => "Lists what is in a folder of the repository at the commit that ran.",
        }
    }

    pub(super) fn schema(self) -> Value {
        let properties = match self {
            Tool::ReadFile => json!({
                "path": {"type": "string", "description": "From the root of the repository, such as src/orders/service.py"},
                "from_line": {"type": "integer", "description": "The first line, from 1. Without it: 1"},
                "to_line": {"type": "integer", "description": "The last line. Without it: 200 lines"},
            }),
            Tool::Search => json!({
                "text": {"type": "string", "description": "Of one line, 2 to 200 characters; no pattern"},
            }),
            Tool::ListFiles => json!({
                "folder": {"type": "string", "description": "From the root of the repository; empty for the root"},
            }),
        };
        let required = match self {
            Tool::ReadFile => json!(["path"]),
            Tool::Search => json!(["text"]),
            Tool::ListFiles => json!(["folder"]),
        };
        json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false})
    }
}

impl Desk {
    pub(super) fn new(files: Option<Arc<dyn Files>>) -> Desk {
        Desk { files, bytes_left: RESULTS_BYTES }
    }

    /// Whether there is anything to be read, and room for it.
    pub(super) fn is_open(&self) -> bool {
        self.files.is_some() && self.bytes_left > 0
    }

    pub(super) fn has_files(&self) -> bool {
        self.files.is_some()
    }

    /// Answers each, in their order, until `deadline`.
    pub(super) async fn answer(&mut self, reads: Vec<Read>, deadline: Instant) -> Vec<Found> {
        let mut all = Vec::new();
        for (at, read) in reads.into_iter().enumerate() {
            let found = match at < AT_ONCE {
                true => self.find(&read, deadline).await,
                false => Err(format!("Not done: {AT_ONCE} at a time at the most. Ask again for what is still needed.")),
            };
            let (text, is_error) = match found {
                Ok(text) => (text, false),
                Err(words) => (words, true),
            };
            all.push(Found { id: read.id, text, is_error });
        }
        all
    }

    async fn find(&mut self, read: &Read, deadline: Instant) -> Result<String, String> {
        let request = Request::of(read)?;
        let Some(files) = self.files.clone().filter(|_| self.bytes_left > 0) else {
            return Err("Nothing more can be read.".to_owned());
        };
        // Off the async threads: git is waited for.
        let reading = tokio::task::spawn_blocking(move || match &request {
            Request::Read { path, from, to } => files.read(path, *from, *to),
            Request::Search { text } => files.search(text),
            Request::List { folder } => files.list(folder),
        });
        let found = match tokio::time::timeout_at(deadline, reading).await {
            Ok(Ok(found)) => found?,
            Ok(Err(_)) | Err(_) => return Err("It could not be read.".to_owned()),
        };
        let found = found.cut(RESULT_BYTES.min(self.bytes_left));
        self.bytes_left -= found.as_str().len().min(self.bytes_left);
        Ok(fenced(found))
    }
}

impl Request {
    fn of(read: &Read) -> Result<Request, String> {
        let input = read.input.as_ref().ok_or("The arguments are no JSON.")?;
        let text = |name: &str| {
            let text = input.get(name).and_then(Value::as_str).map(str::to_owned);
            text.ok_or_else(|| format!("`{name}` is missing, or no string."))
        };
        let line = |name: &str| match input.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(number) => match number.as_u64() {
                Some(number) => Ok(Some(u32::try_from(number).unwrap_or(u32::MAX).max(1))),
                None => Err(format!("`{name}` is no line: lines are numbered from 1.")),
            },
        };
        match ALL.into_iter().find(|tool| tool.name() == read.name) {
            Some(Tool::ReadFile) => {
                let (path, from, to) = (text("path")?, line("from_line")?, line("to_line")?);
                let from = from.unwrap_or(1);
                let most = from.saturating_add(LINES - 1);
                let to = to.unwrap_or(most).min(most);
                if to < from {
                    return Err("`to_line` is before `from_line`.".to_owned());
                }
                Ok(Request::Read { path, from, to })
            }
            Some(Tool::Search) => Ok(Request::Search { text: text("text")? }),
            Some(Tool::ListFiles) => Ok(Request::List { folder: text("folder")? }),
            None => Err("There is no such tool: read_file, search, list_files.".to_owned()),
        }
    }
}

fn fenced(text: Redacted) -> String {
    let mut block = Markdown::default();
    block.block(&[(String::new(), text)]);
    block.as_str().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str, input: Value) -> Read {
        Read { id: "1".to_owned(), name: name.to_owned(), input: Some(input) }
    }

    #[test]
    fn a_request_is_understood_or_told_what_is_wrong_with_it() {
        let lines = |path: &str, from, to| Ok(Request::Read { path: path.to_owned(), from, to });
        for (name, input, wanted) in [
            ("read_file", json!({"path": "a"}), lines("a", 1, 200)),
            ("read_file", json!({"path": "a", "from_line": 10, "to_line": 12}), lines("a", 10, 12)),
            ("read_file", json!({"path": "a", "from_line": 0, "to_line": 9_999_999_999_u64}), lines("a", 1, 200)),
            ("read_file", json!({"path": "a", "from_line": null}), lines("a", 1, 200)),
            ("read_file", json!({"path": "a", "from_line": u64::MAX}), lines("a", u32::MAX, u32::MAX)),
            ("search", json!({"text": "x"}), Ok(Request::Search { text: "x".to_owned() })),
            ("list_files", json!({"folder": ""}), Ok(Request::List { folder: String::new() })),
        ] {
            assert_eq!(Request::of(&read(name, input)), wanted);
        }
        for (name, input) in [
            ("read_file", json!({})),
            ("read_file", json!({"path": 7})),
            ("read_file", json!({"path": "a", "from_line": -1})),
            ("read_file", json!({"path": "a", "from_line": "1"})),
            ("read_file", json!({"path": "a", "from_line": 9, "to_line": 8})),
            ("search", json!(["x"])),
            ("run", json!({"command": "id"})),
        ] {
            assert!(Request::of(&read(name, input.clone())).is_err(), "{name} {input}");
        }
        assert!(Request::of(&Read { input: None, ..read("search", json!({})) }).is_err());
    }

    struct Long;

    impl Files for Long {
        fn read(&self, _: &str, _: u32, _: u32) -> Result<Redacted, String> {
            Ok(Redacted::new(&"``` a\n".repeat(10_000)))
        }
        fn search(&self, _: &str) -> Result<Redacted, String> {
            panic!("a fault of ours")
        }
        fn list(&self, _: &str) -> Result<Redacted, String> {
            Err("There is no such folder.".to_owned())
        }
    }

    #[tokio::test]
    async fn results_are_fenced_and_have_a_bound_each_and_together_and_a_panic_is_no_end() {
        let mut desk = Desk::new(Some(Arc::new(Long)));
        let soon = Instant::now() + std::time::Duration::from_secs(20);
        let requests = || vec![read("read_file", json!({"path": "a"})); AT_ONCE + 1];
        let first = desk.answer(requests(), soon).await;
        assert_eq!(
            first.iter().map(|found| found.is_error).collect::<Vec<_>>(),
            [vec![false; AT_ONCE], vec![true]].concat()
        );
        assert!(first.iter().all(|found| found.text.len() < RESULT_BYTES + 20));
        assert!(
            first
                .iter()
                .take(AT_ONCE)
                .all(|found| found.text.starts_with("````\n") && found.text.ends_with("\n````\n"))
        );
        let odd = desk
            .answer(vec![read("search", json!({"text": "x"})), read("list_files", json!({"folder": "x"}))], soon)
            .await;
        assert_eq!(
            odd.iter().map(|found| found.text.as_str()).collect::<Vec<_>>(),
            ["It could not be read.", "There is no such folder."]
        );
        let rest = desk.answer(requests(), soon).await;
        let total: usize =
            [first, rest].concat().iter().filter(|found| !found.is_error).map(|found| found.text.len()).sum();
        assert!(total < RESULTS_BYTES + 20 * 2 * AT_ONCE && !desk.is_open(), "{total}");
        assert!(desk.answer(requests(), soon).await.iter().all(|found| found.is_error));
    }
}
