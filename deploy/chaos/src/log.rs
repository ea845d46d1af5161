//! What it logs: one JSON object a line, on standard output and into a queue for who ships it.

use std::io::Write;
use std::time::{Duration, SystemTime};

use serde_json::{Map, Value, json};
use tokio::sync::mpsc;

/// Lines that wait to be shipped; what is beyond is printed only.
const QUEUE: usize = 10_000;

/// A line, and who wrote it.
#[derive(Debug)]
pub struct Line {
    /// Unix seconds.
    pub at: f64,
    pub text: String,
    /// Of the program that wrote it.
    pub revision: u32,
}

#[derive(Clone)]
pub struct Log {
    queue: mpsc::Sender<Line>,
    prints: bool,
}

impl Log {
    pub fn new(prints: bool) -> (Log, mpsc::Receiver<Line>) {
        let (queue, lines) = mpsc::channel(QUEUE);
        (Log { queue, prints }, lines)
    }

    /// `more`: an object.
    pub fn say(&self, revision: u32, level: &str, message: &str, more: Value) {
        let at = now().as_secs_f64();
        let mut line = Map::new();
        line.insert("level".into(), level.into());
        line.insert("ts".into(), json!((at * 1000.0).round() / 1000.0));
        line.insert("msg".into(), message.into());
        if let Value::Object(more) = more {
            line.extend(more);
        }
        let text = Value::Object(line).to_string();
        if self.prints {
            // A terminal that has gone is no reason to stop selling.
            drop(writeln!(std::io::stdout(), "{text}"));
        }
        drop(self.queue.try_send(Line { at, text, revision }));
    }
}

/// Since 1970.
#[expect(clippy::disallowed_methods, reason = "a line says when it was written")]
fn now() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}
