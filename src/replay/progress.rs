//! How far it is, on stderr: a bar at a terminal, else a line now and then, or nothing.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use super::words;

/// How often the bar moves, and how often a line is written where there is none.
const BAR_EVERY: Duration = Duration::from_millis(200);
const LINE_EVERY: Duration = Duration::from_secs(10);
const BAR: usize = 24;

pub struct Progress {
    /// Bytes on the disk; `None`: nobody knows.
    total: Option<u64>,
    begun: Instant,
    shown: Instant,
    manner: Manner,
    drawn: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Manner {
    Bar,
    Lines,
    Quiet,
}

impl Progress {
    pub fn new(total: Option<u64>, quiet: bool) -> Progress {
        let manner = match (quiet, std::io::stderr().is_terminal()) {
            (true, _) => Manner::Quiet,
            (false, true) => Manner::Bar,
            (false, false) => Manner::Lines,
        };
        let now = Instant::now();
        Progress { total, begun: now, shown: now, manner, drawn: false }
    }

    /// So many bytes of the disk are read, and so many lines.
    pub fn at(&mut self, bytes: u64, lines: u64) {
        let every = match self.manner {
            Manner::Bar => BAR_EVERY,
            Manner::Lines => LINE_EVERY,
            Manner::Quiet => return,
        };
        if self.shown.elapsed() < every {
            return;
        }
        self.shown = Instant::now();
        let text = told(self.total, bytes, lines, self.begun.elapsed());
        // A closed stderr is nobody's fault.
        let mut stderr = std::io::stderr();
        let written = match self.manner {
            Manner::Bar => write!(stderr, "\r\u{1b}[K{text}").and_then(|()| stderr.flush()),
            _ => writeln!(stderr, "{text}"),
        };
        written.unwrap_or_default();
        self.drawn = self.manner == Manner::Bar;
    }

    /// The bar goes; what follows has the line for itself.
    pub fn end(&mut self) {
        if std::mem::take(&mut self.drawn) {
            write!(std::io::stderr(), "\r\u{1b}[K").unwrap_or_default();
        }
    }
}

fn told(total: Option<u64>, bytes: u64, lines: u64, took: Duration) -> String {
    let seconds = took.as_secs_f64().max(0.001);
    let rate = bytes as f64 / seconds;
    let speed = format!("{}/s", words::bytes(rate as u64));
    match total.filter(|total| *total > 0) {
        Some(total) => {
            let part = (bytes as f64 / total as f64).min(1.0);
            let full = (part * BAR as f64) as usize;
            let left = (total.saturating_sub(bytes) as f64 / rate.max(1.0)).ceil() as i64;
            format!(
                "[{}{}] {:>3.0} %  {} of {}  {speed}  {} left",
                "#".repeat(full),
                "-".repeat(BAR - full.min(BAR)),
                part * 100.0,
                words::bytes(bytes),
                words::bytes(total),
                words::lasting(left.saturating_mul(1000)),
            )
        }
        None => format!("{} read, {} lines, {speed}", words::bytes(bytes), words::thousands(lines)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_how_much_is_read_how_fast_and_how_long_it_will_take() {
        let at = |total, bytes| told(total, bytes, 12_345, Duration::from_secs(2));
        assert_eq!(
            at(Some(4_000_000_000), 1_000_000_000),
            "[######------------------]  25 %  1.0 GB of 4.0 GB  500 MB/s  6 s left"
        );
        assert!(at(Some(10), 20).starts_with("[########################] 100 %"), "a file that grows");
        assert_eq!(at(None, 3_000_000), "3.0 MB read, 12,345 lines, 1.5 MB/s");
    }
}
