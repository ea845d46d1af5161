//! What the terminal shows: rows that stay, and under them a picture that is drawn anew.
//!
//! Live, the cursor moves and colours are used. Plain (a pipe, NO_COLOR, a terminal that can neither), there are
//! only lines, each at most 80 columns, and no escape code at all.

use std::collections::BTreeMap;
use std::io::{self, Write};

use super::look::{Bar, Picture};
use super::row::{Ink, Row};
use crate::notify::notice::thousands;

/// What a message or a picture is at most.
const COLUMNS: usize = 80;
/// Below it there is no room beside the services.
const TWO_COLUMNS: usize = 76;
/// Below it names of watches are cut short, so that their counts are seen.
const NARROW: usize = 56;
/// Groups of watches shown at once.
const BARS: usize = 6;
const BAR_CELLS: usize = 10;

pub struct Screen {
    out: Box<dyn Write + Send>,
    /// Columns and rows of the terminal; `None`: it is none, or cannot say.
    size: fn() -> Option<(usize, usize)>,
    live: bool,
    /// The rows under all others, drawn last.
    picture: Vec<String>,
}

/// Whether this environment wants neither colour nor moving pictures.
pub fn is_plain(env: &BTreeMap<String, String>) -> bool {
    let says = |name: &str, fits: fn(&str) -> bool| env.get(name).is_some_and(|value| fits(value));
    // Empty is as good as not set.
    says("NO_COLOR", |value| !value.is_empty()) || says("TERM", |value| value == "dumb")
}

/// One moment.
pub(super) struct Moment<'a> {
    pub(super) seconds: f64,
    pub(super) of_seconds: f64,
    pub(super) told: &'a str,
    pub(super) picture: &'a Picture,
    /// Lines a second by service.
    pub(super) rates: &'a [(String, u64)],
}

impl Screen {
    /// `live` only where `out` is a terminal.
    pub fn new(out: Box<dyn Write + Send>, live: bool, size: fn() -> Option<(usize, usize)>) -> Self {
        Self { out, size, live, picture: Vec::new() }
    }

    /// On standard output, live if that is a terminal.
    pub fn stdout(plain: bool) -> Self {
        let stdout = io::stdout();
        let live = !plain && io::IsTerminal::is_terminal(&stdout);
        Self::new(Box::new(stdout), live, terminal_size)
    }

    pub(super) fn is_live(&self) -> bool {
        self.live
    }

    /// Columns that a row may have.
    pub(super) fn columns(&self) -> usize {
        self.size().map_or(COLUMNS, |(columns, _)| columns.clamp(20, COLUMNS))
    }

    fn size(&self) -> Option<(usize, usize)> {
        if self.live { (self.size)() } else { None }
    }

    /// Rows that stay, above the picture.
    pub(super) fn say(&mut self, rows: impl IntoIterator<Item = Row>) -> io::Result<()> {
        let columns = self.columns();
        let mut text = self.erased();
        for row in rows {
            text.push_str(&row.cut(columns).paint(self.live));
            text.push('\n');
        }
        for row in &self.picture {
            text.push_str(row);
            text.push('\n');
        }
        self.write(&text)
    }

    /// Draws the picture anew; plain, adds it.
    pub(super) fn show(&mut self, moment: &Moment<'_>) -> io::Result<()> {
        let columns = self.columns();
        if !self.live {
            let rows = plain(moment);
            return self.say(rows.into_iter().map(|row| row.cut(columns)));
        }
        // The last row is the cursor's.
        let most = self.size().map_or(usize::MAX, |(_, rows)| rows.saturating_sub(1));
        let mut text = self.erased();
        let rows = live(moment, columns).into_iter().take(most);
        self.picture = rows.map(|row| row.cut(columns).paint(true)).collect();
        for row in &self.picture {
            text.push_str(row);
            text.push('\n');
        }
        self.write(&text)
    }

    /// Takes the picture away and gives the cursor back.
    pub(super) fn end(&mut self) -> io::Result<()> {
        let mut text = self.erased();
        self.picture.clear();
        if self.live {
            text.push_str("\u{1b}[?25h");
        }
        self.write(&text)
    }

    /// What takes the picture away.
    fn erased(&self) -> String {
        match (self.live, self.picture.len()) {
            (false, _) => String::new(),
            (true, 0) => "\u{1b}[?25l\r\u{1b}[J".to_owned(),
            (true, rows) => format!("\u{1b}[?25l\r\u{1b}[{rows}A\u{1b}[J"),
        }
    }

    fn write(&mut self, text: &str) -> io::Result<()> {
        self.out.write_all(text.as_bytes())?;
        self.out.flush()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // However it ends, the cursor is there again.
        if self.live {
            self.out.write_all(b"\x1b[?25h").and_then(|()| self.out.flush()).unwrap_or_default();
        }
    }
}

fn terminal_size() -> Option<(usize, usize)> {
    let size = rustix::termios::tcgetwinsize(io::stdout()).ok()?;
    (size.ws_col > 0 && size.ws_row > 0).then_some((size.ws_col.into(), size.ws_row.into()))
}

/// A caption, then services beside watches, or under each other where that is too wide.
fn live(moment: &Moment<'_>, columns: usize) -> Vec<Row> {
    let clock = format!(" {:>4.1} s of {:.0}  ", moment.seconds, moment.of_seconds);
    let mut rows =
        vec![Row::of(Ink::Dim, "─".repeat(columns)), Row::of(Ink::Dim, clock).and(Ink::Bold, moment.told.to_owned())];
    let fastest = moment.rates.iter().map(|(_, rate)| *rate).max().unwrap_or_default();
    let services = moment.rates.iter().map(|(name, rate)| {
        let cells = filled(*rate, fastest, BAR_CELLS);
        Row::of(Ink::Plain, format!(" {name:<8} "))
            .and(Ink::Cyan, "█".repeat(cells))
            .and(Ink::Plain, " ".repeat(BAR_CELLS - cells))
            .and(Ink::Plain, format!("{rate:>4}/s "))
    });
    let shown: Vec<Row> = moment.picture.bars.iter().take(BARS).map(|bar| watch(bar, Some(columns))).collect();
    if columns < TWO_COLUMNS {
        rows.extend(shown);
        rows.extend(services);
        return rows;
    }
    let count = moment.rates.len().max(shown.len());
    let (mut left, mut right) = (services, shown.into_iter());
    for _ in 0..count {
        let service = left.next().unwrap_or_default().padded(27);
        rows.push(service.and(Ink::Dim, "│").then(right.next().unwrap_or_default()));
    }
    rows
}

fn plain(moment: &Moment<'_>) -> Vec<Row> {
    let rates: Vec<String> = moment.rates.iter().map(|(name, rate)| format!("{name} {rate}")).collect();
    let mut rows = vec![Row::of(Ink::Plain, format!("{:>5.1} s  lines/s: {}", moment.seconds, rates.join(" ")))];
    let bars = moment.picture.bars.iter().take(BARS / 2);
    rows.extend(bars.map(|bar| Row::of(Ink::Plain, "         ").then(watch(bar, None))));
    rows
}

/// A watch's group on its way to the threshold; `live`: the terminal's columns.
fn watch(bar: &Bar, live: Option<usize>) -> Row {
    let (label, cells) = if live.is_some_and(|columns| columns < NARROW) { (14, 4) } else { (20, BAR_CELLS) };
    let full = filled(bar.count, bar.threshold, cells);
    let (on, off) = if live.is_some() { ("█", "░") } else { ("#", "-") };
    let ink = match (bar.firing, 2 * bar.count >= bar.threshold) {
        (true, _) => Ink::Red,
        (false, true) => Ink::Yellow,
        (false, false) => Ink::Green,
    };
    let name = shortened(&bar.label, label);
    Row::of(Ink::Plain, format!(" {name:<label$} {:<8} ", shortened(&bar.service, 8)))
        .and(ink, on.repeat(full))
        .and(Ink::Dim, off.repeat(cells - full))
        .and(Ink::Plain, format!(" {}/{}", thousands(bar.count), thousands(bar.threshold)))
        .and(Ink::Red, if bar.firing { " !" } else { "" })
}

fn shortened(text: &str, most: usize) -> String {
    Row::of(Ink::Plain, text).cut(most).paint(false)
}

/// Cells of a bar; what is there at all shows.
fn filled(part: u64, whole: u64, cells: usize) -> usize {
    if part == 0 || whole == 0 {
        return 0;
    }
    let share = part.min(whole) as f64 / whole as f64 * cells as f64;
    (share as usize).clamp(1, cells)
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Paper(Arc<Mutex<Vec<u8>>>);

    impl Write for Paper {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("no writer panics").write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn drawn(live: bool, size: fn() -> Option<(usize, usize)>) -> String {
        let paper = Paper::default();
        let mut screen = Screen::new(Box::new(paper.clone()), live, size);
        let bar = |count, firing| Bar {
            label: "http_5xx_spike_of_everything".into(),
            service: "storefront".into(),
            count,
            threshold: 10,
            firing,
        };
        let picture = Picture { bars: vec![bar(12_345, true), bar(3, false)], ..Picture::default() };
        let rates: Vec<(String, u64)> =
            ["web", "search", "orders", "catalog", "payments", "mail"].map(|name| (name.to_owned(), 123)).into();
        let moment = Moment { seconds: 4.2, of_seconds: 23.0, told: "All is well.", picture: &picture, rates: &rates };
        screen.show(&moment).expect("drawn");
        screen.say([Row::of(Ink::Bold, "something stays")]).expect("said");
        screen.show(&moment).expect("drawn again");
        screen.end().expect("ended");
        drop(screen);
        String::from_utf8(paper.0.lock().expect("no writer panics").clone()).expect("text")
    }

    /// Without escape codes.
    fn bare(text: &str) -> String {
        regex::Regex::new("\u{1b}\\[[?0-9;]*[A-Za-z]").expect("a pattern").replace_all(text, "").into_owned()
    }

    #[test]
    fn an_empty_no_color_is_none() {
        for (name, value, is) in
            [("NO_COLOR", "1", true), ("NO_COLOR", "", false), ("TERM", "dumb", true), ("TERM", "xterm", false)]
        {
            assert_eq!(is_plain(&[(name.to_owned(), value.to_owned())].into()), is, "{name}={value}");
        }
        assert!(!is_plain(&BTreeMap::new()));
    }

    #[test]
    fn a_service_that_is_called_an_escape_code_shows_none() {
        let rates = [("\u{1b}[2Jx".to_owned(), 1)];
        let picture = Picture::default();
        let moment = Moment { seconds: 1.0, of_seconds: 2.0, told: "", picture: &picture, rates: &rates };
        for rows in [plain(&moment), live(&moment, 80), live(&moment, 40)] {
            assert!(rows.iter().all(|row| !row.paint(false).contains('\u{1b}')), "{rows:?}");
        }
    }

    #[test]
    fn plain_rows_have_no_escape_codes_and_fit_80_columns() {
        let text = drawn(false, || Some((300, 90)));
        assert!(!text.contains('\u{1b}') && !text.contains('\r'), "{text:?}");
        assert!(text.lines().all(|line| super::super::row::columns(line) <= 80), "{text}");
        assert!(text.contains("[E") || text.contains("##########"), "{text}");
    }

    #[test]
    fn on_a_terminal_no_row_is_wider_and_no_picture_higher_than_it_and_the_cursor_comes_back() {
        type Size = fn() -> Option<(usize, usize)>;
        let up = regex::Regex::new("\u{1b}\\[([0-9]+)A").expect("a pattern");
        let sizes: [(Size, usize, usize); 4] = [
            (|| Some((80, 24)), 80, 24),
            (|| Some((200, 60)), 80, 60),
            (|| Some((40, 10)), 40, 10),
            (|| Some((24, 4)), 24, 4),
        ];
        for (size, columns, rows) in sizes {
            let text = drawn(true, size);
            assert!(text.ends_with("\u{1b}[?25h"), "{text:?}");
            for line in bare(&text).lines() {
                let line = line.trim_start_matches('\r');
                assert!(super::super::row::columns(line) <= columns, "{columns}: {line:?}");
            }
            for found in up.captures_iter(&text) {
                assert!(found[1].parse::<usize>().expect("a number") < rows, "{text:?}");
            }
        }
    }
}
