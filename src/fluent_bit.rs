//! Reads a Fluent Bit configuration and says what in it will lose, double or slow lines, or hurt other outputs.
//!
//! A file in any of the forms people keep (classic, YAML, a Kubernetes ConfigMap or Helm values, an ECS task
//! definition) becomes one [`Configuration`]: sections of keys and values, each with its line. The rules look
//! only at that and at the [`Receiver`], and answer with [`Finding`]s, worst first.
//!
//! Nothing here opens a file: reading is the caller's ([`Files`]). Every size, depth and count is bounded, and no
//! input makes it panic. The text of a password is in no finding.

mod among;
mod classic;
mod disk;
mod finding;
mod glob;
mod json;
mod render;
mod rules;
mod section;
mod task_definition;
mod tree;
mod values;
mod variables;
mod yaml;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use finding::{Finding, Mend, Place, Severity};
pub use render::render;
pub use section::{Entry, Kind, Section};

use tree::{Node, Root};

/// How configurations are read; the caller bounds each to [`FILE_MAX_BYTES`].
pub trait Files {
    fn read(&self, path: &Path) -> io::Result<String>;
    /// What lies in a folder, for `@INCLUDE conf.d/*.conf`.
    fn list(&self, folder: &Path) -> io::Result<Vec<PathBuf>>;
}

/// What of our own configuration decides whether a sender's is right.
#[derive(Clone, Debug)]
pub struct Receiver {
    pub listen: SocketAddr,
    pub request_seconds: u64,
    pub admission_wait_seconds: u64,
    /// Empty: anyone who can connect may send.
    pub token_names: Vec<String>,
    /// A header beside `Authorization` that may carry a token.
    pub auth_header: Option<String>,
    pub tls: bool,
    pub tag_header: String,
    pub idle_seconds: u64,
}

/// A whole configuration, whatever it was written as.
#[derive(Clone, Debug)]
pub struct Configuration {
    pub form: Form,
    pub sections: Vec<Section>,
    /// What was found while reading: includes that are missing or come twice.
    pub remarks: Vec<Finding>,
    pub firelens: Option<FireLens>,
}

/// How lines to write instead must look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Classic,
    Yaml,
    /// Options of a task definition, from which FireLens makes a configuration.
    FireLens,
}

/// What a task definition says of the log router, beside its options.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FireLens {
    /// Where a configuration file of the user's own is named, which cannot be read from here.
    pub file: Option<String>,
    /// Of the log router.
    pub image: Option<String>,
    /// Where `enable-ecs-log-metadata` is turned off.
    pub without_metadata: Option<usize>,
}

/// Why a file cannot be judged, and what was expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    pub place: Place,
    pub expected: String,
}

/// A configuration larger than that is a wrong path.
pub const FILE_MAX_BYTES: u64 = 4 << 20;

/// Files that one configuration may include, and how deep. Fluent Bit allows a thousand; nobody writes fifty.
const FILES_MAX: usize = 64;
const DEPTH_MAX: usize = 8;

/// Sections and keys that are judged: more than anybody maintains, and few enough to compare each with each.
const SECTIONS_MAX: usize = 300;
const ENTRIES_MAX: usize = 10_000;

/// Reads `path` and what it includes. The form follows from the extension, else from the text.
pub fn read(path: &Path, files: &dyn Files) -> Result<Configuration, Unreadable> {
    let label: Arc<str> = path.display().to_string().into();
    let text = files.read(path).map_err(|error| Unreadable::at(&label, 0, format!("cannot be read: {error}")))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let disk = disk::Disk::new(path, files);
    match written_as(path, text) {
        Written::Classic => {
            let mut draft = Draft::new(&disk);
            draft.classic(disk::book(path, &label, text), 0)?;
            draft.end(Form::Classic)
        }
        Written::Json => {
            from_root(&Root { label, nodes: vec![json::parse(text, &path.display().to_string().into())?] }, &disk, path)
        }
        Written::Yaml => {
            let nodes = tree::parse(text).map_err(|(line, expected)| Unreadable::at(&label, line, expected))?;
            from_root(&Root { label, nodes }, &disk, path)
        }
    }
}

/// Judges every output of `configuration` that sends to `receiver`; worst first, equal findings in one.
pub fn judge(configuration: &Configuration, receiver: &Receiver) -> Vec<Finding> {
    let mut findings = configuration.remarks.clone();
    rules::judge(configuration, receiver, &mut findings);
    finding::ordered(findings)
}

enum Written {
    Classic,
    Yaml,
    Json,
}

fn written_as(path: &Path, text: &str) -> Written {
    let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase();
    match extension.as_str() {
        "conf" => return Written::Classic,
        "yaml" | "yml" => return Written::Yaml,
        "json" => return Written::Json,
        _ => {}
    }
    let first = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#')).unwrap_or_default();
    match first.as_bytes().first() {
        Some(b'{') => Written::Json,
        Some(b'[' | b'@') | None => Written::Classic,
        Some(_) => Written::Yaml,
    }
}

/// A tree may be Fluent Bit's own YAML, or something that carries a configuration.
fn from_root(root: &Root, disk: &disk::Disk<'_>, path: &Path) -> Result<Configuration, Unreadable> {
    if root.nodes.iter().any(yaml::is_configuration) {
        let mut draft = Draft::new(disk);
        draft.yaml(root, path, 0)?;
        return draft.end(Form::Yaml);
    }
    if let Some(configuration) = among::read(root)? {
        return Ok(configuration);
    }
    if let Some(configuration) = task_definition::read(root)? {
        return Ok(configuration);
    }
    let line = root.nodes.first().map_or(1, |node: &Node| node.line);
    Err(Unreadable::at(
        &root.label,
        line,
        "expected a Fluent Bit configuration (`service`, `pipeline`), a ConfigMap or Helm values that hold one, or a \
         task definition with the log driver `awsfirelens`",
    ))
}

/// Where `@INCLUDE` finds what it names.
trait Shelf {
    /// The books a pattern names; an error says why there are none.
    fn open(&self, pattern: &str) -> Result<Vec<Book>, String>;
}

/// A text that sections are read from.
#[derive(Clone, Debug)]
struct Book {
    /// What tells it from others, so that none is read twice.
    id: PathBuf,
    /// As findings name it.
    label: Arc<str>,
    text: String,
    /// Lines of the file above the text's first one.
    lines_above: usize,
}

/// A configuration that is being read.
struct Draft<'a> {
    shelf: &'a dyn Shelf,
    read: Vec<PathBuf>,
    entries: usize,
    sections: Vec<Section>,
    variables: variables::Variables,
    remarks: Vec<Finding>,
}

// === impl Draft ===

impl<'a> Draft<'a> {
    fn new(shelf: &'a dyn Shelf) -> Self {
        Self { shelf, read: vec![], entries: 0, sections: vec![], variables: Default::default(), remarks: vec![] }
    }

    /// Whether `id` may be read now; if not, that becomes a remark.
    fn enter(&mut self, id: &Path, place: Place, written: &str, depth: usize) -> bool {
        let twice = self.read.iter().any(|read| read == id);
        if twice {
            self.remarks.push(
                Finding::new("include_twice", Severity::Lost, place, "@INCLUDE", written)
                    .says("Fluent Bit refuses to read a file twice and does not start (so does a circle of includes)")
                    .remove(),
            );
        } else if depth > DEPTH_MAX || self.read.len() >= FILES_MAX {
            self.remarks.push(
                Finding::new("include_bound", Severity::Note, place, "@INCLUDE", written)
                    .says(format!("not followed: more than {FILES_MAX} files or {DEPTH_MAX} levels of includes")),
            );
        } else {
            self.read.push(id.to_path_buf());
            return true;
        }
        false
    }

    /// The books that an include names, each of which may be read.
    fn include(&mut self, pattern: &str, place: &Place, depth: usize) -> Vec<Book> {
        let written = format!("@INCLUDE {}", finding::shown(pattern));
        match self.shelf.open(pattern) {
            Ok(books) => {
                books.into_iter().filter(|book| self.enter(&book.id, place.clone(), &written, depth)).collect()
            }
            Err(why) => {
                self.remarks.push(
                    Finding::new("include_missing", Severity::Note, place.clone(), "@INCLUDE", &written).says(format!(
                        "{why}; what it says is not judged, and where it is missing Fluent Bit does not start"
                    )),
                );
                vec![]
            }
        }
    }

    /// Keeps one more key, if there is room for it.
    fn room(&mut self) -> bool {
        self.entries += 1;
        self.entries <= ENTRIES_MAX
    }

    fn is_too_much(&self) -> bool {
        self.sections.len() > SECTIONS_MAX || self.entries > ENTRIES_MAX
    }

    /// Variables are set for the whole configuration, wherever they stand.
    fn end(mut self, form: Form) -> Result<Configuration, Unreadable> {
        if let Some(first) = self.sections.get(SECTIONS_MAX).or(self.sections.last()).filter(|_| self.is_too_much()) {
            let found = format!("more than {SECTIONS_MAX} sections or {ENTRIES_MAX} keys");
            let remark = Finding::new("too_much", Severity::Note, first.place(), first.label(), found);
            self.remarks.push(remark.says("What is beyond that is not judged."));
        }
        self.sections.truncate(SECTIONS_MAX);
        for entry in self.sections.iter_mut().flat_map(|section| &mut section.entries) {
            entry.value = self.variables.expand(&entry.value);
        }
        self.sections.extend(rules::emitters(&self.sections));
        Ok(Configuration { form, sections: self.sections, remarks: self.remarks, firelens: None })
    }
}

// === impl Unreadable ===

impl Unreadable {
    fn at(label: &Arc<str>, line: usize, expected: impl Into<String>) -> Self {
        Self { place: Place { file: Arc::clone(label), line }, expected: expected.into() }
    }
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.expected)
    }
}

impl std::error::Error for Unreadable {}

#[cfg(test)]
mod tests;
