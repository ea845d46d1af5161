//! From frames to what people read: functions with their lines numbered, commits, patches.

use super::code::{self, By, Part};
use super::frame::{Frame, Language};
use super::git::{Change, Commit, Failed, Repository};
use super::tree::{Candidate, Tree};
use super::{LINE_BYTES, Sought, Source};
use crate::investigate::markdown::Row;
use crate::notify::alerts::rfc3339;
use crate::redact::Redacted;

/// Functions shown, and files looked into for all of them.
const FUNCTIONS_MAX: usize = 6;
const READ_MAX: usize = 16;
/// A larger file is nobody's source.
const FILE_MAX: usize = 1 << 20;
/// Files of which commits and patches are shown.
const PATHS_MAX: usize = 4;
pub(super) const TOUCHED_COMMITS: usize = 5;
/// Bytes of a patch that are read, and lines of it that are shown.
pub(super) const PATCH_MAX: usize = 64 * 1024;
const PATCH_LINES: usize = 120;
const FILES_MAX: usize = 40;
const STRANGERS_MAX: usize = 6;

/// A part of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// From the root of the repository. Not to be shown as it is.
    pub path: String,
    /// Where it is and what it is called.
    pub title: Redacted,
    /// What is to be known of how it was found, in words of ours; empty: nothing.
    pub note: String,
    /// Its lines, numbered.
    pub rows: Vec<Row>,
}

/// The newest commits that touched a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Touched {
    pub path: Redacted,
    pub commits: Vec<Row>,
}

/// What a deploy changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// In words of ours.
    pub summary: String,
    pub commits: Vec<Row>,
    /// Those that frames lead to first.
    pub files: Vec<Row>,
    pub files_left_out: usize,
    /// Of each file that frames lead to, its patch.
    pub patches: Vec<Vec<Row>>,
}

/// A file that was read.
struct Held {
    oid: String,
    text: Result<String, Failed>,
}

/// Finds the functions that the frames lead to; frames that lead nowhere are noted beside them.
pub(super) fn functions(
    asked: &Repository<'_>,
    commit: &str,
    sought: &Sought<'_>,
    source: &mut Source,
) -> Result<(), Failed> {
    if sought.frames.is_empty() {
        source.unknown.push("Where in the source it failed: no line at hand has a stack trace.".into());
        return Ok(());
    }
    let (listed, cut) = asked.tree(commit)?;
    let tree = Tree::read(&listed);
    if cut || tree.cut {
        source.unknown.push("All files of its commit: there are more than are looked at.".into());
    }
    let mut held: Vec<Held> = Vec::new();
    for text in sought.frames {
        let Some(frame) = Frame::read(text.as_str()) else {
            stranger(source, text);
            continue;
        };
        if source.functions.len() >= FUNCTIONS_MAX {
            break;
        }
        match resolve(asked, &tree, &frame, sought.service.as_str(), &mut held) {
            Ok(Some(function)) => {
                let is_there =
                    |other: &Function| other.path == function.path && other.rows.first() == function.rows.first();
                if !source.functions.iter().any(is_there) {
                    source.functions.push(function);
                }
            }
            Ok(None) => stranger(source, text),
            Err(Failed::TooMuch(_)) => {
                source.unknown.push(format!("A file of the frames: it is larger than {FILE_MAX} bytes."));
                stranger(source, text);
            }
            Err(failed) => return Err(failed),
        }
    }
    if source.functions.is_empty() {
        source.unknown.push("Where in the source it failed: no frame leads to a file of its commit.".into());
    }
    Ok(())
}

fn stranger(source: &mut Source, text: &Redacted) {
    if source.strangers.len() < STRANGERS_MAX {
        source.strangers.push(text.cut(LINE_BYTES));
    }
}

/// Of the files that fit equally well the one that has the function at the line, else that has it at all, else the
/// first; a file that only its name speaks for must have the function.
fn resolve(
    asked: &Repository<'_>,
    tree: &Tree,
    frame: &Frame,
    service: &str,
    held: &mut Vec<Held>,
) -> Result<Option<Function>, Failed> {
    let candidates = tree.find(frame, service);
    let mut best: Option<(u8, &Candidate, Part, Language)> = None;
    let mut failed = None;
    for candidate in &candidates {
        let language = Language::of(&candidate.file.path).or(frame.language);
        let Some(language) = language else { continue };
        let text = match read(asked, &candidate.file.oid, held) {
            Ok(text) => text,
            Err(why @ Failed::TooMuch(_)) => {
                failed = Some(why);
                continue;
            }
            Err(why) => return Err(why),
        };
        let trust = !candidate.is_original;
        let Some(part) = code::part(&text, language, frame.line, frame.function.as_deref(), trust) else { continue };
        let fits = match part.by {
            By::Both => 3,
            By::Name => 2,
            By::Line => 1,
            By::Neither => 0,
        };
        if candidate.by_name_only && fits < 2 && frame.function.is_some() {
            continue;
        }
        if best.as_ref().is_none_or(|(other, ..)| fits > *other) {
            best = Some((fits, candidate, part, language));
        }
    }
    match (best, failed) {
        (Some((_, candidate, part, _)), _) => Ok(Some(shown(frame, candidate, candidates.len(), part))),
        (None, Some(failed)) => Err(failed),
        (None, None) => Ok(None),
    }
}

fn read(asked: &Repository<'_>, oid: &str, held: &mut Vec<Held>) -> Result<String, Failed> {
    if let Some(known) = held.iter().find(|known| known.oid == oid) {
        return known.text.clone();
    }
    if held.len() >= READ_MAX {
        return Ok(String::new());
    }
    let text = asked.content(oid, FILE_MAX).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    held.push(Held { oid: oid.to_owned(), text: text.clone() });
    text
}

fn shown(frame: &Frame, candidate: &Candidate, candidates: usize, part: Part) -> Function {
    let path = &candidate.file.path;
    let name = part.name.clone().or_else(|| frame.function.clone().filter(|_| part.by == By::Both));
    let place = match part.at {
        Some(line) => format!("{path}:{line}"),
        None => path.clone(),
    };
    let title = match &name {
        Some(name) => format!("{place} in {name}"),
        None => place,
    };
    let mut notes: Vec<&str> = Vec::new();
    match part.by {
        By::Name if candidate.is_original => {
            notes.push("what ran was made from this file; the function is found by its name");
        }
        By::Name => notes.push("found by its name: the line of the frame is not in it, so another commit may have run"),
        By::Line if frame.function.is_some() => {
            notes.push(
                "found by the line: the file has no function of the frame's name, so another commit may have run",
            );
        }
        _ => {}
    }
    if candidates > 1 {
        notes.push("other files of the repository fit the frame as well");
    }
    Function {
        path: path.clone(),
        title: Redacted::new(&title).one_line().cut(LINE_BYTES),
        note: notes.join("; "),
        rows: numbered(&part),
    }
}

/// The lines with their numbers, the one that is meant marked.
fn numbered(part: &Part) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    let mut next = 0;
    for (first, lines) in &part.runs {
        if next > 0 && *first > next {
            rows.push((format!("        … {} lines", first - next), Redacted::default()));
        }
        next = first + lines.len() as u32;
        // Redacted as a whole: a key of several lines is not known by one of them.
        let whole = Redacted::new(&lines.join("\n"));
        let clean: Vec<&str> = whole.as_str().split('\n').collect();
        let is_whole = clean.len() == lines.len();
        if !is_whole {
            rows.push(("        (without numbers: a secret of several lines is replaced)".into(), Redacted::default()));
        }
        for (line, number) in clean.iter().zip(*first..) {
            let mark = if part.at == Some(number) && is_whole { '>' } else { ' ' };
            let number = if is_whole { number.to_string() } else { String::new() };
            rows.push((format!("{mark} {number:>5}  "), Redacted::new(line).cut(LINE_BYTES)));
        }
    }
    rows
}

/// The files that functions were found in, each once.
pub(super) fn paths(source: &Source) -> Vec<String> {
    let mut paths: Vec<String> = Vec::new();
    for function in &source.functions {
        if paths.len() < PATHS_MAX && !paths.contains(&function.path) {
            paths.push(function.path.clone());
        }
    }
    paths
}

fn commit(commit: &Commit) -> Row {
    let hash = commit.hash.get(..12).unwrap_or(&commit.hash);
    let at = rfc3339(commit.time.saturating_mul(1000));
    let at = at.get(..16).unwrap_or(&at).replace('T', " ");
    let said = Redacted::new(&format!("{} ({})", commit.subject, commit.author)).one_line().cut(LINE_BYTES);
    (format!("{hash}  {at}  "), said)
}

pub(super) fn touched(path: &str, commits: &[Commit]) -> Touched {
    let path = Redacted::new(path).one_line().cut(LINE_BYTES);
    Touched { path, commits: commits.iter().map(commit).collect() }
}

/// `commits`: before and after; `apart`: commits that only the one or the other has; `paths`: what frames lead to.
pub(super) fn changed(
    (before, after): (&str, &str),
    (ahead, behind): (u64, u64),
    files: &[Change],
    commits: &[Commit],
    patches: &[(String, (String, bool))],
    paths: &[String],
) -> Changed {
    let short = |hash: &str| hash.chars().take(12).collect::<String>();
    let mut summary = format!(
        "From `{}` to `{}`: {} and {}.",
        short(before),
        short(after),
        plural(ahead, "commit"),
        plural(files.len() as u64, "file")
    );
    if behind > 0 && ahead == 0 {
        summary.push_str(" It is a step back: what ran before is newer.");
    } else if behind > 0 {
        summary.push_str(" What ran before is of another branch.");
    }
    let hit = files.iter().filter(|change| paths.contains(&change.path)).count();
    if !paths.is_empty() {
        summary.push_str(match hit {
            0 => " No file that frames lead to is among them.",
            _ => " Files that frames lead to are marked `*`.",
        });
    }
    let mut ordered: Vec<&Change> = files.iter().collect();
    ordered.sort_by_key(|change| !paths.contains(&change.path));
    let file = |change: &&Change| {
        let mark = if paths.contains(&change.path) { '*' } else { ' ' };
        let lines = match change.lines {
            Some((more, less)) => format!("+{more} -{less}"),
            None => "not text".to_owned(),
        };
        (format!("{mark} {lines:<12} "), Redacted::new(&change.path).one_line().cut(LINE_BYTES))
    };
    Changed {
        summary,
        commits: commits.iter().map(commit).collect(),
        files: ordered.iter().take(FILES_MAX).map(file).collect(),
        files_left_out: files.len().saturating_sub(FILES_MAX),
        patches: patches.iter().map(|(_, (text, cut))| patch(text, *cut)).collect(),
    }
}

fn patch(text: &str, cut: bool) -> Vec<Row> {
    let whole = Redacted::new(text);
    let lines: Vec<&str> = whole.as_str().lines().collect();
    // Its first lines are git's own headings; the file's name stands in two of them.
    let mut rows: Vec<Row> = lines
        .iter()
        .filter(|line| !line.starts_with("index ") && !line.starts_with("diff --git "))
        .take(PATCH_LINES)
        .map(|line| (String::new(), Redacted::new(line).cut(LINE_BYTES)))
        .collect();
    if cut || lines.len() > PATCH_LINES + 2 {
        rows.push(("… more of it is left out".into(), Redacted::default()));
    }
    rows
}

fn plural(count: u64, word: &str) -> String {
    if count == 1 { format!("1 {word}") } else { format!("{count} {word}s") }
}
