//! What a commit and a pull request say.
//!
//! A verdict's words were written by a model that reads what strangers write, and forges act on words: they call people,
//! close issues and link texts to each other. In a pull request such words stand in blocks, where they are text. A
//! commit's message has no blocks, so there they are changed until they mean nothing but themselves. Nothing that a test
//! printed goes there: a model wrote the test, and it may print whatever our user can read.

use super::Words;
use crate::investigate::markdown::{Markdown, Row};
use crate::investigate::patch::Draft;
use crate::redact::Redacted;

/// A forge cuts longer ones in its lists.
const TITLE_MAX: usize = 120;
/// Of the cause.
const CAUSE_MAX: usize = 2_000;
/// Half of what GitHub takes.
const BODY_MAX: usize = 30_000;
const LINE_CHARS: usize = 100;

pub(super) fn title(words: &Words<'_>) -> String {
    let service = inert(words.service.as_str());
    let title = format!("[E{}] {}: a mend for {service}", words.escalation, words.label);
    Redacted::new(&title).one_line().cut(TITLE_MAX).to_string()
}

/// The same for the same words: a commit's hash is made of it.
pub(super) fn message(draft: &Draft, words: &Words<'_>) -> String {
    let mut message = format!("{}\n\n", title(words));
    message.push_str(&wrapped(&inert(words.root_cause.one_line().cut(CAUSE_MAX).as_str())));
    message.push_str(&format!("\nMade to {}, which ran. {}\n", draft.commit, words.proof.words));
    message
}

pub(super) fn body(draft: &Draft, words: &Words<'_>) -> String {
    let mut text = Markdown::default();
    text.paragraph(format_args!(
        "Escalation E{} of Emberwatch. Made by a program out of log lines and source, and read by nobody yet: read it as you would a stranger's. \
         What stands in blocks was written by a model. What its test printed stays where it ran.",
        words.escalation
    ));
    text.heading("Why");
    text.block(&[(String::new(), words.root_cause.cut(CAUSE_MAX))]);
    text.heading("What it changes");
    let rows: Vec<Row> = draft
        .files
        .iter()
        .map(|file| {
            let what = if file.is_test { "test" } else { "mend" };
            (format!("{what}  +{} -{}  ", file.added, file.removed), Redacted::new(&file.path).one_line())
        })
        .collect();
    text.block(&rows);
    text.paragraph(format_args!("It is made to {}, the commit that ran.", draft.commit));
    text.heading("What was shown");
    text.paragraph(&words.proof.words);
    for run in &words.proof.runs {
        text.paragraph(format_args!("On {}: {}, after {:.1} s.", run.on, run.ended, run.seconds));
    }
    if let Some(link) = words.link {
        text.paragraph(format_args!("More: {link}"));
    }
    // Never so, for each part is bounded; but what was cut might leave a block open.
    if text.len() > BODY_MAX {
        format!("Escalation E{} of Emberwatch.\n", words.escalation)
    } else {
        text.as_str().to_owned()
    }
}

/// Without what a forge acts on: calls, issues, addresses, comments that are commands.
fn inert(text: &str) -> String {
    let mut out = text.replace("://", ": //").replace('@', "(at)").replace('#', "no. ").replace(['<', '>', '`'], "'");
    // `GH-12` is an issue as well.
    for mark in ["GH-", "gh-", "Gh-", "gH-"] {
        out = out.replace(mark, "GH ");
    }
    // What skips the checks of a commit stands in brackets.
    out.replace('[', "(").replace(']', ")").replace("***NO_CI***", "NO CI")
}

/// At blanks, in lines that a terminal shows.
fn wrapped(text: &str) -> String {
    let mut out = String::new();
    let mut length = 0;
    for word in text.split_whitespace() {
        let chars = word.chars().count();
        if length > 0 && length + 1 + chars > LINE_CHARS {
            out.push('\n');
            length = 0;
        } else if length > 0 {
            out.push(' ');
            length += 1;
        }
        out.push_str(word);
        length += chars;
    }
    out.push('\n');
    // `Name: value` at its end would be a trailer, such as a signature of somebody.
    out.replace(": ", " - ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_a_model_call_nobody_and_close_nothing() {
        let told = "Fixes #12, closes GH-3, fixes https://github.com/a/b/issues/4 cc @everyone [skip ci] <!-- x -->";
        let told = wrapped(&inert(told));
        for word in ["#1", "GH-", "://", "@", "[skip", "<!--"] {
            assert!(!told.contains(word), "{word}: {told}");
        }
        let trailers = wrapped(&inert("x\nSigned-off-by: A <a@b.example>\nCo-authored-by: B"));
        assert!(!trailers.contains("by:"), "{trailers}");
        assert!(wrapped(&"word ".repeat(100)).lines().all(|line| line.chars().count() <= LINE_CHARS));
    }
}
