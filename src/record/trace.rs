//! Which lines make up a stack trace, when it comes one line at a time.
//!
//! A [`State`] is what has been seen of a trace so far; [`opening`] says whether a line begins one, and
//! [`State::next`] whether a line belongs to it. Each looks at a line's first bytes, or once along its first
//! word: no regular expressions, nothing that grows with the lines before. In doubt a line is an ordinary
//! one: two lines told apart are counted right, two that were glued together are not.
//!
//! What a whole trace says, type and message and frames, is read by [`exception`].

mod causes;
pub mod exception;
mod frame;

#[cfg(test)]
mod tests;

use super::steps;

/// What was seen last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// A log line at warn or above: a trace may follow it.
    Log,
    /// A line after which the message comes, whatever it is: a Rust panic, Dart's `Unhandled exception:`.
    Message,
    /// An exception's own line, or more of its message.
    Thrown,
    ThrownBlank,
    /// `nested exception is:`
    Nested,
    /// A frame (`at …`, `#0 …`, `from …`), or what stands among them.
    Frames,
    FramesBlank,
    /// Python: below `Traceback`, at the exception's line, and on the way to the next one of a chain.
    PyFrames,
    PyThrown,
    PyBlank,
    PyChained,
    /// Node: `file.js:64`, the source below it, the `^` below that.
    NodePlace,
    NodeSource,
    NodeCaret,
    GoHead,
    GoStack,
    /// Nothing can follow.
    Done,
}

/// How a line begins a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opening {
    pub state: State,
    /// It is a line from the middle of one, whose beginning is not here.
    pub headless: bool,
}

const TRACEBACK: &[u8] = b"Traceback (most recent call last)";

/// What a line opens by its own words. (That its level is warn or above is for the caller to see: [`State::Log`].)
pub fn opening(line: &[u8]) -> Option<Opening> {
    let head = |state| Some(Opening { state, headless: false });
    let headless = |state| Some(Opening { state, headless: true });
    match line.first()? {
        b' ' | b'\t' => {
            let inner = line.trim_ascii_start();
            match inner.first()? {
                b'+' if inner.starts_with(b"+ Exception Group Traceback") => head(State::PyFrames),
                b'F' if is_python_frame(inner) => headless(State::PyFrames),
                b'a' | b'.' | b'f' if is_frame(inner) => headless(State::Frames),
                b'A'..=b'Z' if is_rails_head(inner) => head(State::Thrown),
                _ => None,
            }
        }
        b'T' if line.starts_with(TRACEBACK) => head(State::PyFrames),
        b'p' if line.starts_with(b"panic: ") => head(State::GoHead),
        b'f' if line.starts_with(b"fatal error: ") => head(State::GoHead),
        b'g' if is_goroutine(line) => head(State::GoStack),
        b't' if line.starts_with(b"thread '") && has(line, b" panicked at ") => {
            // Since Rust 1.73 the message has lines of its own; before, it stands here in quotes.
            head(if line.ends_with(b":") { State::Message } else { State::Thrown })
        }
        b'U' if line == b"Unhandled exception:" => head(State::Message),
        b'U' if line.starts_with(b"Unhandled ") && has(line, b"xception. ") => head(State::Thrown),
        b'E' if line.starts_with(b"Exception in thread ") => head(State::Thrown),
        b'e' if line.starts_with(b"exception '") => head(State::Thrown),
        b'P' if line.starts_with(b"PHP Fatal error: ") => head(State::Thrown),
        b'C' if line.starts_with(b"Caused by: ") => headless(State::Thrown),
        // After a stamp, what net/http says of a handler.
        b'0'..=b'9' => {
            let start = line.get(..64.min(line.len())).unwrap_or_default();
            if has(start, b" http: panic serving ") { head(State::GoHead) } else { None }
        }
        b'/' | b'n' | b'f' | b'e' if is_node_place(line) => head(State::NodePlace),
        _ if exception_name(line).is_some() || is_ruby_head(line) => head(State::Thrown),
        _ => None,
    }
}

impl State {
    /// What is seen with `line` (its trailing blanks gone); `None` where it does not belong to the trace.
    pub fn next(self, line: &[u8]) -> Option<State> {
        use State::*;
        let Some(first) = line.first() else { return self.blank() };
        let indented = matches!(first, b' ' | b'\t');
        match self {
            Log if line.starts_with(TRACEBACK) => Some(PyFrames),
            Log | Thrown | ThrownBlank | Frames | FramesBlank | Nested => {
                if indented {
                    return Some(indented_state(line));
                }
                match (self, first) {
                    (Nested, _) if exception_name(line).is_some() => Some(Thrown),
                    (Frames | FramesBlank, b'N') if line.starts_with(b"Node.js v") => Some(Done),
                    // What Node prints of an error's own fields ends so, and Laravel's JSON around a trace.
                    (Frames, b'}' | b']') => Some(Frames),
                    (Frames, b'"') if line == b"\"}" => Some(Done),
                    (Log | Thrown, b'g') if is_goroutine(line) => Some(GoStack),
                    _ => follows(line),
                }
            }
            Message => Some(Thrown),
            // A group's own exceptions stand within its rules.
            PyFrames if indented => Some(if line.trim_ascii_start().starts_with(b"+-") { PyThrown } else { PyFrames }),
            PyFrames => is_python_exception(line).then_some(PyThrown),
            PyThrown if indented || is_database_detail(line) => Some(PyThrown),
            PyThrown | PyBlank if is_python_chain(line) => Some(PyChained),
            PyThrown | PyBlank => None,
            PyChained => {
                let inner = line.trim_ascii_start();
                (inner.starts_with(TRACEBACK) || inner.starts_with(b"+ Exception Group Traceback")).then_some(PyFrames)
            }
            NodePlace => Some(NodeSource),
            NodeSource => line.iter().all(|b| matches!(b, b'^' | b'~' | b' ' | b'\t')).then_some(NodeCaret),
            NodeCaret => Some(Thrown),
            GoHead if indented || line.starts_with(b"[") || line.starts_with(b"runtime: ") => Some(GoHead),
            GoHead | GoStack if is_goroutine(line) || line == b"runtime stack:" => Some(GoStack),
            GoHead => line.starts_with(b"exit status ").then_some(Done),
            GoStack if line.starts_with(b"exit status ") => Some(Done),
            GoStack => (indented || is_go_call(line)).then_some(GoStack),
            Done => None,
        }
    }

    fn blank(self) -> Option<State> {
        use State::*;
        match self {
            Thrown => Some(ThrownBlank),
            Frames => Some(FramesBlank),
            PyThrown | PyBlank => Some(PyBlank),
            PyChained | NodeCaret | GoHead | GoStack => Some(self),
            _ => None,
        }
    }

    /// Whether a trace that stops here may well be whole.
    pub fn may_end(self) -> bool {
        matches!(self, State::Log | State::PyThrown | State::PyBlank | State::FramesBlank | State::Done)
    }
}

fn indented_state(line: &[u8]) -> State {
    let inner = line.trim_ascii_start();
    match inner.first() {
        Some(b'F') if is_python_frame(inner) => State::PyFrames,
        Some(b'T') if inner.starts_with(TRACEBACK) => State::PyFrames,
        Some(b'a' | b'.' | b'f' | b'#' | b't') if is_frame(inner) => State::Frames,
        Some(b'n') if inner == b"nested exception is:" => State::Nested,
        _ if inner.starts_with(b"Caused by: ") || inner.starts_with(b"Suppressed: ") => State::Thrown,
        Some(b'A'..=b'Z') => State::Thrown,
        _ => State::Frames,
    }
}

/// Lines at the margin that only a trace has.
fn follows(line: &[u8]) -> Option<State> {
    let any = |starts: &[&[u8]]| starts.iter().any(|start| line.starts_with(start));
    let (thrown, frames) = match line.first()? {
        b'C' => (any(&[b"Caused by: "]), false),
        b'S' => (any(&[b"Suppressed: "]), any(&[b"Stack trace:"])),
        b'W' => (any(&[b"Wrapped by: "]), false),
        b'N' => (any(&[b"Next "]) && has(line, b": "), false),
        b'-' => (false, any(&[b"--- End of "])),
        b'[' => (false, any(&[b"[stacktrace]", b"[previous exception]"])),
        b'.' => (false, is_frame(line)),
        b'#' => (false, line.get(1).is_some_and(u8::is_ascii_digit)),
        b'P' => (false, any(&[b"PHP Stack trace:", b"PHP   "])),
        b's' => (false, any(&[b"stack backtrace:"])),
        b'n' => (false, any(&[b"note: run with `RUST_BACKTRACE", b"note: Some details are omitted"])),
        _ => (false, false),
    };
    if thrown {
        return Some(State::Thrown);
    }
    frames.then_some(State::Frames)
}

/// `at x.y(Z.java:1)`, `... 12 more`, `from a.rb:1:in 'b'`, `#0 …`, `thrown in …`: without its indentation.
fn is_frame(inner: &[u8]) -> bool {
    let after = |start: &[u8]| inner.strip_prefix(start).filter(|rest| !rest.is_empty());
    if let Some(rest) = after(b"at ") {
        return !rest.starts_with(b" ") && rest.iter().any(|b| matches!(b, b'.' | b':' | b'(' | b'/' | b'<'));
    }
    if let Some(rest) = after(b"... ") {
        let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
        return digits > 0 && rest.get(digits..).is_some_and(|r| r.starts_with(b" more") || r.starts_with(b" common"));
    }
    after(b"from ").is_some_and(|rest| has(rest, b":in "))
        || after(b"#").is_some_and(|rest| rest.first().is_some_and(u8::is_ascii_digit))
        || after(b"thrown in ").is_some_and(|rest| has(rest, b" on line "))
}

fn is_python_frame(inner: &[u8]) -> bool {
    inner.starts_with(b"File \"") && has(inner, b"\", line ")
}

fn is_goroutine(line: &[u8]) -> bool {
    let Some(rest) = line.strip_prefix(b"goroutine ") else { return false };
    rest.first().is_some_and(u8::is_ascii_digit) && has(rest, b" [") && line.ends_with(b":")
}

/// `main.(*Intake).Store(0x0, …)`, `created by …`, a register: what stands among Go's frames at the margin.
fn is_go_call(line: &[u8]) -> bool {
    let call = || {
        let open = memchr::memchr(b'(', line).and_then(|at| line.get(..at)).unwrap_or(b" ");
        line.ends_with(b")") && !open.contains(&b' ')
    };
    line.starts_with(b"created by ")
        || line.starts_with(b"...")
        || line.starts_with(b"[originating from goroutine ")
        || has(line, b"  0x")
        || call()
}

/// `/app/service.js:64`, `node:internal/…:123`: where Node says an error was not caught.
fn is_node_place(line: &[u8]) -> bool {
    let digits = line.iter().rev().take_while(|b| b.is_ascii_digit()).count();
    let Some(path) = line.get(..line.len() - digits).and_then(|p| p.strip_suffix(b":")) else { return false };
    let script = [&b".js"[..], b".ts", b".mjs", b".cjs", b".mts", b".tsx"].iter().any(|end| path.ends_with(end));
    digits > 0 && !path.contains(&b' ') && (script || path.starts_with(b"node:"))
}

/// `app.rb:1:in 'x': message (Class)`
fn is_ruby_head(line: &[u8]) -> bool {
    let word = line.iter().position(|b| *b == b' ').and_then(|end| line.get(..end)).unwrap_or_default();
    has(word, b".rb:") && word.ends_with(b":in") && line.ends_with(b")")
}

/// `NoMethodError (undefined method …):`
fn is_rails_head(inner: &[u8]) -> bool {
    let word = inner.iter().position(|b| *b == b' ').and_then(|end| inner.get(..end)).unwrap_or_default();
    is_thrown_name(word) && inner.ends_with(b"):")
}

fn is_python_exception(line: &[u8]) -> bool {
    let end = line.iter().position(|b| !(b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.') || *b >= 0x80));
    let (name, rest) = line.split_at(end.unwrap_or(line.len()));
    !name.first().is_none_or(u8::is_ascii_digit)
        && (rest.starts_with(b":") || (rest.is_empty() && name.iter().any(|b| b.is_ascii_uppercase() || *b == b'.')))
}

fn is_python_chain(line: &[u8]) -> bool {
    line == b"During handling of the above exception, another exception occurred:"
        || line == b"The above exception was the direct cause of the following exception:"
}

/// What database drivers put into an exception's message, on lines of its own.
fn is_database_detail(line: &[u8]) -> bool {
    let starts: [&[u8]; 7] =
        [b"DETAIL: ", b"HINT: ", b"CONTEXT: ", b"LINE ", b"[SQL: ", b"[parameters: ", b"(Background on this error at"];
    starts.iter().any(|start| line.starts_with(start))
}

/// The exception's name at the head of its own line: `java.lang.IllegalStateException: settlement closed`.
/// Strict, since any line may begin with a word and a colon.
pub(crate) fn exception_name(line: &[u8]) -> Option<&[u8]> {
    let line = line.strip_prefix(b"Uncaught ").unwrap_or(line);
    let mut end = line.iter().position(|b| matches!(b, b':' | b' ')).unwrap_or(line.len());
    while line.get(end..).is_some_and(|rest| rest.starts_with(b"::")) {
        let from = end + 2;
        end = from + line.get(from..)?.iter().position(|b| matches!(b, b':' | b' ')).unwrap_or(line.len() - from);
    }
    steps::add(end);
    let (name, rest) = line.split_at_checked(end)?;
    let ends = rest.is_empty() || rest.starts_with(b": ") || rest == b":" || rest.starts_with(b" [ERR_");
    (ends && is_thrown_name(name)).then_some(name)
}

/// A name that is an exception's: by its ending, or qualified as only classes are (`org.x.ChargeFailed`).
fn is_thrown_name(name: &[u8]) -> bool {
    let word = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'$' | b'\\' | b':' | b'`' | b'+');
    if name.len() > 200 || !name.iter().all(word) || !name.first().is_some_and(u8::is_ascii_alphabetic) {
        return false;
    }
    let last = name.rsplit(|b| matches!(b, b'.' | b'\\' | b':')).next().unwrap_or_default();
    let qualified = name.iter().filter(|b| **b == b'.').count() >= 2;
    let ending =
        [&b"Error"[..], b"Exception", b"Throwable", b"Failure", b"Fault"].iter().any(|end| last.ends_with(end));
    let upper = last.first().is_some_and(u8::is_ascii_uppercase);
    upper && (ending || (qualified && last.iter().any(u8::is_ascii_lowercase)))
}

fn has(text: &[u8], part: &[u8]) -> bool {
    steps::add(text.len());
    memchr::memmem::find(text, part).is_some()
}
