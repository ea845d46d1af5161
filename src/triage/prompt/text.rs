//! Texts of log lines, made fit to stand in a prompt.
//!
//! A log line is somebody else's text, and a model sees no quotation marks around it but those we make. Here a
//! text is redacted and put on one line, loses what is invisible, becomes a JSON string and is cut; and of what
//! servers read as their own marks around messages (`<|im_start|>`, `[INST]`, `</s>`) the first character is
//! written as an escape, so that no text can end its message and begin one of another author.
//! Everything is linear in the text.

use crate::redact::Redacted;

/// More of a text is not looked at: offers are shorter, and what is cut is not read.
const READ_BYTES: usize = 8 * 1024;

/// What templates have in place of a variable; these stay readable. May be followed by `:` and a length.
const PLACEHOLDERS: [&str; 24] = [
    "*", "num", "ip", "uuid", "hex", "url", "path", "email", "id", "str", "time", "date", "ts", "duration", "dur",
    "size", "host", "port", "mac", "arn", "ver", "word", "b64", "ptr",
];

/// What begins a mark of a chat format in square brackets.
const BRACKETED: [&str; 6] = ["INST", "SYSTEM_PROMPT", "TOOL_", "AVAILABLE_TOOLS", "IMG", "THINK"];

/// One line, redacted, with nothing in it that is not seen.
pub(crate) fn clean(text: &str) -> Redacted {
    let end = text.floor_char_boundary(READ_BYTES);
    Redacted::new(text.split_at(end).0).one_line()
}

/// The text with every mark of a chat format broken, for where it is not written as JSON.
pub(crate) fn disarm(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for (at, c) in text.char_indices() {
        out.push(c);
        if is_mark(text, at) {
            out.push(' ');
        }
    }
    out
}

/// As a JSON string with its quotes, at most `max` bytes, which are at least 5; `…` tells that there was more.
pub(super) fn quoted(text: &Redacted, max: usize) -> String {
    let text = text.as_str();
    let mut out = String::with_capacity(max.min(text.len() + 2));
    out.push('"');
    // Up to where an ellipsis and the closing quote still fit.
    let mut fits = out.len();
    for (at, c) in text.char_indices() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '<' | '[' if is_mark(text, at) => out.push_str(if c == '<' { "\\u003c" } else { "\\u005b" }),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
        if out.len() + 1 > max {
            out.truncate(fits);
            out.push('…');
            break;
        }
        if out.len() + "…\"".len() <= max {
            fits = out.len();
        }
    }
    out.push('"');
    out
}

/// Whether the character at `at` begins what a server could take for a mark of its own.
fn is_mark(text: &str, at: usize) -> bool {
    let rest = text.split_at(at).1;
    if let Some(rest) = rest.strip_prefix('<') {
        return !is_placeholder(rest);
    }
    let Some(rest) = rest.strip_prefix('[') else { return false };
    let rest = rest.strip_prefix('/').unwrap_or(rest);
    BRACKETED.iter().any(|mark| rest.starts_with(mark))
}

/// Whether `rest`, behind a `<`, goes on as a placeholder does.
fn is_placeholder(rest: &str) -> bool {
    // The longest name, a colon and a length.
    let near = rest.split_at(rest.floor_char_boundary(16)).0;
    let Some((inside, _)) = near.split_once('>') else { return false };
    let (name, length) = inside.split_once(':').unwrap_or((inside, "0"));
    PLACEHOLDERS.contains(&name) && !length.is_empty() && length.bytes().all(|b| b.is_ascii_alphanumeric())
}

/// What JSON puts between names and values: one token each, in every vocabulary made of texts off the web.
const JOINTS: [&str; 8] = ["\":\"", "\",\"", "\":", ",\"", "{\"", "\"}", "[\"", "\"]"];

/// How many tokens a text is at most, for the vocabularies that small models have.
///
/// They cut at spaces, digits and punctuation, and have most English words of their own; a run of letters
/// that is no word comes apart into pieces of two or three. What is not ASCII can cost a token a byte.
pub(crate) fn tokens(text: &str) -> usize {
    let mut total = 0;
    let mut letters = 0_usize;
    let run = |letters: usize| match letters {
        0 => 0,
        1..=5 => 1,
        6..=12 => 2,
        more => more.div_ceil(3),
    };
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let mut used = c.len_utf8();
        if c.is_ascii_alphabetic() {
            letters += 1;
        } else {
            total += run(letters);
            letters = 0;
            let joint = JOINTS.iter().find(|joint| rest.starts_with(*joint));
            total += match joint {
                Some(_) => 1,
                // A single space belongs to the word behind it.
                None if c == ' ' => 0,
                None => used,
            };
            used = joint.map_or(used, |joint| joint.len());
        }
        rest = rest.split_at(used).1;
    }
    total + run(letters)
}
