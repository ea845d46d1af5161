//! Markdown that log text cannot break out of.
//!
//! Whatever is not ours stands in fenced blocks, and a fence is longer than any run of backticks inside it: in
//! there nothing is a heading, a link, a mention or an image. Headings and paragraphs take fixed words and
//! numbers of ours only.

use std::fmt::Display;

use crate::redact::Redacted;

/// A text that only this module's blocks have put log text into.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Markdown(String);

/// One row of a block: words of ours, and then what is not.
pub type Row = (String, Redacted);

impl Markdown {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// `words` are ours.
    pub fn title(&mut self, words: impl Display) {
        self.paragraph(format_args!("# {words}"));
    }

    /// `words` are ours.
    pub fn heading(&mut self, words: impl Display) {
        self.paragraph(format_args!("## {words}"));
    }

    /// `words` are ours.
    pub fn paragraph(&mut self, words: impl Display) {
        self.gap();
        self.0.push_str(&words.to_string());
        self.0.push('\n');
    }

    /// `items` are ours.
    pub fn list(&mut self, items: &[String]) {
        self.gap();
        for item in items {
            self.0.push_str("- ");
            self.0.push_str(item);
            self.0.push('\n');
        }
    }

    /// Rows of text that may be anybody's. A row of several lines hangs under its first.
    pub fn block(&mut self, rows: &[Row]) {
        let mut inside = String::new();
        for (ours, theirs) in rows {
            inside.push_str(ours);
            let hang = " ".repeat(ours.chars().count());
            for (at, line) in theirs.as_str().trim_end().split('\n').enumerate() {
                if at > 0 {
                    inside.push('\n');
                    inside.push_str(&hang);
                }
                inside.push_str(line);
            }
            inside.truncate(inside.trim_end_matches(' ').len());
            inside.push('\n');
        }
        let fence = "`".repeat((longest_run(&inside) + 1).max(3));
        self.gap();
        self.0.push_str(&format!("{fence}\n{inside}{fence}\n"));
    }

    fn gap(&mut self) {
        if !self.0.is_empty() {
            self.0.push('\n');
        }
    }
}

/// Of backticks.
fn longest_run(text: &str) -> usize {
    text.split(|c| c != '`').map(str::len).max().unwrap_or(0)
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What stands outside of all blocks, as a reader of CommonMark takes it.
    pub(crate) fn outside(text: &str) -> Vec<&str> {
        let mut fence: Option<usize> = None;
        let mut outside = Vec::new();
        for line in text.lines() {
            let bare = line.trim_start_matches(' ');
            let after = bare.trim_start_matches('`');
            let ticks = bare.len() - after.len();
            let indent = line.len() - bare.len();
            match fence {
                None if ticks >= 3 && indent < 4 && !after.contains('`') => fence = Some(ticks),
                None => outside.push(line),
                Some(open) if ticks >= open && indent < 4 && after.trim().is_empty() => fence = None,
                Some(_) => {}
            }
        }
        assert_eq!(fence, None, "every block is closed: {text}");
        outside
    }

    #[test]
    fn a_block_is_fenced_by_more_backticks_than_it_holds() {
        let mut text = Markdown::default();
        text.title("[E1] a");
        text.block(&[
            ("12:00  ".into(), Redacted::new("a ````` b\n```\n# not ours")),
            (String::new(), Redacted::new("")),
        ]);
        text.list(&["ours".into()]);
        assert_eq!(
            text.as_str(),
            "# [E1] a\n\n``````\n12:00  a ````` b\n       ```\n       # not ours\n\n``````\n\n- ours\n"
        );
    }

    proptest! {
        #[test]
        fn nothing_that_is_quoted_stands_outside_of_its_block(
            texts in proptest::collection::vec("(`{0,9}|\n|~~~|<@U1>|[a](b)|@here| |x){0,12}", 0..6),
        ) {
            let mut text = Markdown::default();
            text.heading("ours");
            for quoted in &texts {
                text.block(&[(String::new(), Redacted::new(quoted))]);
                text.paragraph("ours, too");
            }
            let outside: Vec<&str> = outside(text.as_str()).into_iter().filter(|line| !line.is_empty()).collect();
            let mut wanted = vec!["## ours"];
            wanted.extend(std::iter::repeat_n("ours, too", texts.len()));
            prop_assert_eq!(outside, wanted);
        }
    }
}
