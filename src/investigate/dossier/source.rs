//! The part of a dossier that shows source: where it failed, who touched that, what the last deploy changed.

use super::super::source::{Changed, Function, Source};
use super::{Markdown, Row};
use crate::redact::Redacted;

/// How much of it is shown, from all to least.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Shown {
    All,
    Fewer,
    NoPatches,
    NoCommits,
    OneFunction,
    /// Where the functions are, without their lines.
    Places,
}

const FEWER_FUNCTIONS: usize = 3;
/// The name of what is registered about a service in sentences.
const ABOUT: &str = "about ";
const FEWER_FILES: usize = 10;

pub(super) fn write(text: &mut Markdown, source: &Source, shown: Shown, left_out: &mut Vec<String>) {
    let is_tight = shown >= Shown::OneFunction;
    if !source.about.is_empty() {
        text.heading("Its source");
        let about = source.about.iter().filter(|(name, _)| !is_tight || !name.starts_with(ABOUT));
        text.block(&about.cloned().collect::<Vec<_>>());
    }
    functions(text, source, shown, left_out);
    if shown < Shown::NoCommits {
        touched(text, source);
    } else if !source.touched.is_empty() {
        left_out.push("who touched the files last".into());
    }
    if let Some(changed) = &source.changed {
        change(text, changed, shown, left_out);
    }
    if !source.said.is_empty() && !is_tight {
        text.paragraph("What git said where it failed:");
        text.block(&source.said);
    }
}

fn functions(text: &mut Markdown, source: &Source, shown: Shown, left_out: &mut Vec<String>) {
    let all = source.functions.len();
    let most = match shown {
        Shown::All => all,
        Shown::Fewer | Shown::NoPatches | Shown::NoCommits => FEWER_FUNCTIONS,
        Shown::OneFunction => 1,
        Shown::Places => 0,
    };
    let strangers = if shown >= Shown::OneFunction { &[][..] } else { &source.strangers };
    if all > 0 || !strangers.is_empty() {
        text.heading("Where it failed");
    }
    if all > 0 {
        text.paragraph("The functions that its traces lead to, at that commit; the first cause first. `>`: the line.");
        let named = if shown == Shown::Places { FEWER_FUNCTIONS } else { all };
        let places = source.functions.iter().take(named).map(|f| (String::new(), f.title.clone()));
        text.block(&places.collect::<Vec<Row>>());
    }
    for (place, function) in source.functions.iter().take(most).enumerate() {
        one(text, place + 1, function);
    }
    if all > most {
        left_out.push(format!("the lines of {} of {all} functions", all - most));
    }
    if !strangers.is_empty() {
        text.paragraph("Frames that lead to no file of it:");
        text.block(&strangers.iter().map(|frame| (String::new(), frame.clone())).collect::<Vec<_>>());
    }
}

fn one(text: &mut Markdown, number: usize, function: &Function) {
    let note = if function.note.is_empty() { String::new() } else { format!(" ({})", function.note) };
    text.paragraph(format_args!("{number}.{note}"));
    let title = [(String::new(), function.title.clone())];
    text.block(&title.iter().chain(&function.rows).cloned().collect::<Vec<_>>());
}

fn touched(text: &mut Markdown, source: &Source) {
    if source.touched.is_empty() {
        return;
    }
    text.heading("Who touched it last");
    let rows = source.touched.iter().flat_map(|touched| {
        let path: Row = (String::new(), touched.path.clone());
        let commits = touched.commits.iter().map(|(ours, theirs)| (format!("  {ours}"), theirs.clone()));
        std::iter::once(path).chain(commits)
    });
    text.block(&rows.collect::<Vec<_>>());
}

fn change(text: &mut Markdown, changed: &Changed, shown: Shown, left_out: &mut Vec<String>) {
    text.heading("What the last deploy changed");
    text.paragraph(&changed.summary);
    if shown >= Shown::NoCommits {
        left_out.push("the commits and files of the last deploy".into());
        return;
    }
    if !changed.commits.is_empty() {
        text.block(&changed.commits);
    }
    let most = if shown == Shown::All { usize::MAX } else { FEWER_FILES };
    let mut files: Vec<Row> = changed.files.iter().take(most).cloned().collect();
    let more = changed.files_left_out + changed.files.len() - files.len();
    if more > 0 {
        files.push((format!("  … {more} more"), Redacted::default()));
    }
    if !files.is_empty() {
        text.block(&files);
    }
    if shown >= Shown::NoPatches {
        if !changed.patches.is_empty() {
            left_out.push("patches of the last deploy".into());
        }
        return;
    }
    for patch in &changed.patches {
        text.block(patch);
    }
}
