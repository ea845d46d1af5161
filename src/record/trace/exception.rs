//! What a whole trace says: the exception's type and message, and the frames that matter.
//!
//! Of a chain it is the exception that came out last: Python prints it at the end, all others at the
//! beginning. The top frame is the innermost one of the application's own; where none is, the innermost.
//! Read only when a rule or a person asks for it, once a record.

use super::super::steps;
use super::causes;
use super::frame::{Frame, frames, python_frame};

/// Most of a text that is read, from either end: a trace says what it has to say there.
const END_MAX: usize = 32 * 1024;
/// Frames kept for people.
const FRAMES_MAX: usize = 3;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exception {
    /// Empty where the text holds frames only.
    pub kind: String,
    pub message: String,
    /// `app/db.py:42 in connect`; innermost first, the application's own if there are any.
    pub frames: Vec<String>,
    /// The same for who looks them up in the source: more of them, those of the first cause before all others.
    pub places: Vec<String>,
}

impl Exception {
    /// Reads `text`, whatever language wrote it; `None` where it holds neither an exception's line nor a frame.
    pub fn of(text: &[u8]) -> Option<Exception> {
        let head = text.get(..END_MAX).unwrap_or(text);
        let tail = text.get(END_MAX.max(text.len().saturating_sub(END_MAX))..).unwrap_or_default();
        let (head, tail) = (String::from_utf8_lossy(head), String::from_utf8_lossy(tail));
        steps::add(head.len() + tail.len());
        let lines: Vec<&str> = head.lines().chain(tail.lines()).map(str::trim_end).collect();
        // Of a chain in Python the last traceback is the one that came out.
        let traceback = lines.iter().rposition(|line| line.contains("Traceback (most recent call last)"));
        let (thrown, frames) = match traceback {
            Some(at) => python(lines.get(at + 1..).unwrap_or_default()),
            None => (lines.iter().enumerate().find_map(|(at, line)| thrown(line, lines.get(at + 1))), frames(&lines)),
        };
        if thrown.is_none() && frames.is_empty() {
            return None;
        }
        let places = causes::places(&lines);
        let any_own = frames.iter().any(|frame| frame.own);
        let kept = frames.into_iter().filter(|frame| frame.own || !any_own).take(FRAMES_MAX);
        let (kind, message) = thrown.unwrap_or_default();
        Some(Exception { kind, message, frames: kept.map(|frame| frame.text).collect(), places })
    }

    /// The exception's own line, for people.
    pub fn headline(&self) -> String {
        match (self.kind.is_empty(), self.message.is_empty()) {
            (true, _) => self.message.clone(),
            (false, true) => self.kind.clone(),
            (false, false) => format!("{}: {}", self.kind, self.message),
        }
    }

    /// By the name that rules know it under.
    pub fn field(&self, name: &str) -> Option<&str> {
        let value = match name {
            "exception.type" => &self.kind,
            "exception.message" => &self.message,
            "exception.frame" => self.frames.first()?,
            _ => return None,
        };
        (!value.is_empty()).then_some(value)
    }
}

type Thrown = (String, String);

fn python(lines: &[&str]) -> (Option<Thrown>, Vec<Frame>) {
    // Those of a group stand behind a bar.
    let bare = |line: &str| line.strip_prefix("  | ").unwrap_or(line).to_owned();
    let end = lines.iter().position(|line| {
        let line = bare(line);
        !line.is_empty() && !line.starts_with([' ', '+', '|'])
    });
    let thrown = end.and_then(|at| lines.get(at)).map(|line| named(&bare(line)));
    let within = lines.get(..end.unwrap_or(lines.len())).unwrap_or_default();
    let mut frames: Vec<Frame> = within.iter().filter_map(|line| python_frame(line)).collect();
    frames.reverse();
    (thrown, frames)
}

/// `Type: message`; a name without a message is all type.
fn named(line: &str) -> Thrown {
    let (kind, message) = line.split_once(": ").unwrap_or((line.strip_suffix(':').unwrap_or(line), ""));
    (kind.to_owned(), message.trim().to_owned())
}

/// The exception of a line that is one's own, in any language but Python.
fn thrown(line: &str, next: Option<&&str>) -> Option<Thrown> {
    let text = line.trim_start();
    let panic = |message: &str| Some(("panic".to_owned(), message.trim().to_owned()));
    if let Some(message) = text.strip_prefix("panic: ") {
        return panic(message.strip_suffix(" [recovered]").unwrap_or(message));
    }
    if let Some(message) = text.strip_prefix("fatal error: ") {
        return Some(("fatal error".to_owned(), message.to_owned()));
    }
    if let Some((_, rest)) = text.split_once("http: panic serving ") {
        return panic(rest.split_once(": ").map_or("", |(_, message)| message));
    }
    if text.starts_with("thread '")
        && let Some((_, rest)) = text.split_once(" panicked at ")
    {
        return match rest.strip_prefix('\'').and_then(|quoted| quoted.rsplit_once("', ")) {
            Some((message, _)) => panic(message),
            None => panic(next.copied().unwrap_or_default()),
        };
    }
    if text == "Unhandled exception:" {
        return next.map(|line| named(line));
    }
    // PHP 5: `exception 'X' with message 'm' in file:5`.
    if let Some((_, rest)) = text.split_once("exception '")
        && let Some((kind, rest)) = rest.split_once('\'')
    {
        let message = rest.strip_prefix(" with message '").and_then(|m| m.rsplit_once("' in ")).map_or("", |(m, _)| m);
        return Some((kind.to_owned(), message.to_owned()));
    }
    // Ruby: `a.rb:1:in 'x': message (Class)`; Rails: `Class (message):`.
    if let Some((place, rest)) = text.split_once(": ")
        && place.contains(".rb:")
        && let Some((message, kind)) = rest.strip_suffix(')').and_then(|rest| rest.rsplit_once(" ("))
    {
        return Some((kind.to_owned(), message.to_owned()));
    }
    if let Some((kind, message)) = text.strip_suffix("):").and_then(|text| text.split_once(" ("))
        && is_name(kind)
    {
        return Some((kind.to_owned(), message.to_owned()));
    }
    let starts = ["Caused by: ", "Unhandled exception. ", "Unhandled Exception: ", "Uncaught ", "[cause]: "];
    let mut rest = starts.iter().find_map(|start| text.strip_prefix(start)).unwrap_or(text);
    if let Some(after) = rest.strip_prefix("Exception in thread \"") {
        rest = after.split_once("\" ").map_or(after, |(_, rest)| rest);
    }
    if let Some((_, after)) = rest.split_once("PHP Fatal error:  Uncaught ") {
        rest = after;
    }
    let kind = super::exception_name(rest.as_bytes()).and_then(|name| rest.get(..name.len()))?;
    let message = rest.get(kind.len()..).unwrap_or_default();
    // Node puts an error's code between the two.
    let message = match message.strip_prefix(" [").and_then(|coded| coded.split_once(']')) {
        Some((_, after)) => after,
        None => message,
    };
    // .NET writes an inner exception behind an arrow; PHP says where.
    let message = message.split(" ---> ").next().unwrap_or_default();
    let message = match message.rsplit_once(" in ") {
        Some((before, place)) if place.contains(".php:") => before,
        _ => message,
    };
    Some((kind.to_owned(), message.trim_start_matches(':').trim().to_owned()))
}

fn is_name(kind: &str) -> bool {
    super::exception_name(kind.as_bytes()).is_some()
}
