//! A row of the screen: pieces of text with their ink, measured in columns.
//!
//! Nothing here writes an escape code unless it is asked to paint, and none comes in with a text: everybody on this
//! machine can send the demo a line.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ink {
    Plain,
    Dim,
    Bold,
    Red,
    Yellow,
    Green,
    Cyan,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Row(Vec<(Ink, String)>);

impl Ink {
    fn code(self) -> Option<&'static str> {
        match self {
            Ink::Plain => None,
            Ink::Dim => Some("2"),
            Ink::Bold => Some("1"),
            Ink::Red => Some("31"),
            Ink::Yellow => Some("33"),
            Ink::Green => Some("32"),
            Ink::Cyan => Some("36"),
        }
    }
}

impl Row {
    pub(super) fn new() -> Row {
        Row::default()
    }

    pub(super) fn of(ink: Ink, text: impl Into<String>) -> Row {
        Row::new().and(ink, text)
    }

    pub(super) fn and(mut self, ink: Ink, text: impl Into<String>) -> Row {
        let text: String = text.into();
        self.0.push((
            ink,
            if text.chars().all(is_plain) { text } else { text.replace(|c: char| !is_plain(c), "\u{fffd}") },
        ));
        self
    }

    pub(super) fn then(mut self, other: Row) -> Row {
        self.0.extend(other.0);
        self
    }

    pub(super) fn columns(&self) -> usize {
        self.0.iter().map(|(_, text)| columns(text)).sum()
    }

    /// Filled up with blanks.
    pub(super) fn padded(self, to: usize) -> Row {
        let missing = to.saturating_sub(self.columns());
        self.and(Ink::Plain, " ".repeat(missing))
    }

    /// At most so many columns; what is cut is marked.
    pub(super) fn cut(self, most: usize) -> Row {
        if self.columns() <= most {
            return self;
        }
        let mut left = most.saturating_sub(1);
        let mut row = Row::new();
        for (ink, text) in self.0 {
            let mut piece = String::new();
            for c in text.chars() {
                match left.checked_sub(width(c)) {
                    Some(rest) => left = rest,
                    None => return row.and(ink, piece).and(ink, "…"),
                }
                piece.push(c);
            }
            row = row.and(ink, piece);
        }
        row
    }

    /// Rows of whole words, each at most so wide; a word that is wider is cut. What follows hangs under the first.
    pub(super) fn wrapped(self, most: usize, hang: usize) -> Vec<Row> {
        let mut rows = Vec::new();
        let (mut row, mut used) = (Row::new(), 0);
        for (ink, text) in self.0 {
            for (place, word) in text.split(' ').enumerate() {
                let blank = usize::from(place > 0);
                if used > hang && used + blank + columns(word) > most {
                    rows.push(std::mem::take(&mut row));
                    (row, used) = (Row::of(Ink::Plain, " ".repeat(hang)), hang);
                } else if blank > 0 {
                    row = row.and(Ink::Plain, " ");
                    used += 1;
                }
                used += columns(word);
                row = row.and(ink, word);
            }
        }
        rows.push(row);
        rows.into_iter().map(|row| row.cut(most)).collect()
    }

    pub(super) fn paint(&self, colour: bool) -> String {
        let mut painted = String::new();
        for (ink, text) in &self.0 {
            match ink.code().filter(|_| colour && !text.is_empty()) {
                Some(code) => painted.push_str(&format!("\u{1b}[{code}m{text}\u{1b}[0m")),
                None => painted.push_str(text),
            }
        }
        let end = painted.trim_end_matches(' ').len();
        painted.truncate(end);
        painted
    }
}

/// Neither a control character nor one that turns the direction of a row.
fn is_plain(c: char) -> bool {
    !c.is_control() && !matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Of a terminal. Exact for what we print: ASCII, frames, and the signs that messages begin with.
pub(super) fn columns(text: &str) -> usize {
    text.chars().map(width).sum()
}

fn width(c: char) -> usize {
    match c {
        '\u{fe0f}' | '\u{200d}' => 0,
        '\u{1f300}'..='\u{1faff}' | '✅' | '⚪' => 2,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_cut_by_columns_and_says_so() {
        let row = Row::of(Ink::Red, "🔴 [E1]").and(Ink::Plain, " critical");
        assert_eq!(row.columns(), 16);
        assert_eq!(row.clone().cut(16).paint(false), "🔴 [E1] critical");
        assert_eq!(row.clone().cut(10).paint(false), "🔴 [E1] c…");
        assert_eq!(row.cut(2).paint(false), "…");
    }

    #[test]
    fn what_a_terminal_would_obey_is_no_text() {
        let row = Row::of(Ink::Plain, "a\u{1b}]0;x\u{7}b").and(Ink::Red, "\u{9b}2J\u{202e}\r\n");
        assert_eq!(row.columns(), 14);
        assert_eq!(row.paint(false), "a\u{fffd}]0;x\u{fffd}b\u{fffd}2J\u{fffd}\u{fffd}\u{fffd}");
        let painted = Row::of(Ink::Red, "\u{1b}[0m").paint(true);
        assert_eq!(painted, "\u{1b}[31m\u{fffd}[0m\u{1b}[0m", "only our own");
    }

    #[test]
    fn words_wrap_and_hang_and_ink_stays_with_them() {
        let rows = Row::of(Ink::Plain, "one two ").and(Ink::Cyan, "three four").wrapped(9, 2);
        let painted: Vec<String> = rows.iter().map(|row| row.paint(false)).collect();
        assert_eq!(painted, ["one two", "  three", "  four"]);
        assert!(rows[1].paint(true).contains("\u{1b}[36mthree"));
        assert!(Row::of(Ink::Plain, "abcdefghij").wrapped(5, 0).iter().all(|row| row.columns() <= 5));
    }
}
