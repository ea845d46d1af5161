//! Frames of a stack trace, in every language's form, told as `app/db.py:42 in connect`; and whether the
//! application's own people wrote what a frame names, as far as paths and names tell.

use std::borrow::Cow;

use super::super::steps;

#[derive(Clone)]
pub(super) struct Frame {
    pub text: String,
    pub own: bool,
}

pub(super) fn frames(lines: &[&str]) -> Vec<Frame> {
    let before = [""].iter().chain(lines);
    lines.iter().zip(before).filter_map(|(line, before)| frame(line, before)).collect()
}

fn made(place: &str, function: &str) -> Option<Frame> {
    let text = match (place.is_empty(), function.is_empty()) {
        (true, true) => return None,
        (true, false) => function.to_owned(),
        (false, true) => place.to_owned(),
        (false, false) => format!("{place} in {function}"),
    };
    Some(Frame { text, own: is_own(place, function) })
}

/// `File "/app/db.py", line 42, in connect`
pub(super) fn python_frame(line: &str) -> Option<Frame> {
    let (_, rest) = line.split_once("File \"")?;
    let (file, rest) = rest.split_once("\", line ")?;
    let (number, function) = rest.split_once(", in ").unwrap_or((rest, ""));
    made(&format!("{file}:{number}"), function)
}

fn frame(line: &str, before: &str) -> Option<Frame> {
    steps::add(line.len() + before.len());
    let inner = line.trim_start();
    if let Some(rest) = inner.strip_prefix("at ").filter(|_| inner.len() < line.len()) {
        return at_frame(rest, before);
    }
    if let Some(rest) = inner.strip_prefix("from ").or_else(|| line.starts_with(' ').then_some(inner))
        && rest.contains(".rb:")
        && let Some((place, function)) = rest.split_once(":in ")
    {
        return made(place, function.trim_matches(['\'', '`']));
    }
    if let Some(rest) = inner.strip_prefix('#').filter(|rest| rest.starts_with(|c: char| c.is_ascii_digit())) {
        return numbered(rest.split_once(' ')?.1.trim_start());
    }
    // Go: the file, indented by a tab, below the call; Rust before its messages had a line: `…', src/main.rs:4:5`.
    if line.starts_with('\t')
        && let Some(place) = inner.split(" +0x").next().filter(|place| is_place(place))
    {
        let function = before.rsplit_once('(').map_or(before, |(function, _)| function);
        let function = function.strip_prefix("created by ").unwrap_or(function);
        return made(place, function.split(" in goroutine ").next().unwrap_or(function));
    }
    // Ruby's own line says where, before what.
    if let Some((place, rest)) =
        line.split_once(":in ").filter(|(place, _)| place.contains(".rb:") && !place.contains(' '))
    {
        return made(place, rest.split(": ").next().unwrap_or_default().trim_matches(['\'', '`']));
    }
    if inner.starts_with("thread '")
        && let Some((_, rest)) = inner.split_once(" panicked at ")
    {
        let place = rest.rsplit_once("', ").map_or(rest, |(_, place)| place);
        return made(&without_column(place.trim_end_matches(':')), "");
    }
    None
}

/// Java, .NET, Node, and the places below Rust's numbered functions.
fn at_frame(rest: &str, before: &str) -> Option<Frame> {
    // Node shows an error's own fields behind its last frame.
    let rest = rest.strip_suffix(" {").unwrap_or(rest);
    // Logback says of which archive a class is: ` ~[shop.jar!/:1.4]`.
    let rest = rest
        .rsplit_once(") ")
        .filter(|(_, archive)| archive.ends_with(']'))
        .map_or(rest, |(frame, _)| rest.get(..frame.len() + 1).unwrap_or(rest));
    if let Some((function, place)) = rest.split_once(" in ")
        && let Some((file, number)) = place.rsplit_once(":line ").or_else(|| place.rsplit_once(':'))
    {
        let function = function.split_once(['(', ' ']).map_or(function, |(name, _)| name);
        return made(&if file.starts_with('<') { String::new() } else { format!("{file}:{number}") }, function);
    }
    if let Some((function, place)) = rest.strip_suffix(')').and_then(|rest| rest.rsplit_once('(')) {
        let place = if is_place(place) { without_column(place) } else { Cow::Borrowed("") };
        return made(&place, function.trim_end());
    }
    if !is_place(rest) {
        return made("", rest);
    }
    let numbered = before.trim_start().split_once(": ").filter(|(n, _)| n.bytes().all(|b| b.is_ascii_digit()));
    made(&without_column(rest), numbered.map_or("", |(_, function)| function))
}

/// PHP: `file(9): func()`; Dart: `main (file:///a.dart:17:3)`.
fn numbered(rest: &str) -> Option<Frame> {
    if let Some((place, function)) = rest.split_once("): ") {
        let (file, line) = place.rsplit_once('(')?;
        return made(&format!("{file}:{line}"), function.split_once('(').map_or(function, |(name, _)| name));
    }
    let (function, place) = rest.strip_suffix(')')?.rsplit_once('(')?;
    made(&without_column(place), function.trim_end())
}

/// Where PHP says that it was thrown, which is no frame of its trace: `… in /app/cart.php:33`, and Monolog's
/// `… at /app/cart.php:33)`.
pub(super) fn thrown_at(line: &str) -> Option<Frame> {
    let at = memchr::memmem::rfind(line.as_bytes(), b".php:")?;
    steps::add(line.len());
    let (before, after) = (line.get(..at)?, line.get(at + 5..)?);
    let digits = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
    let number = after.get(..digits).filter(|number| !number.is_empty())?;
    let path = before.rsplit_once(" in ").or_else(|| before.rsplit_once(" at "))?.1;
    if path.contains(' ') { None } else { made(&format!("{path}.php:{number}"), "") }
}

/// `file:12` or `file:12:5`.
fn is_place(text: &str) -> bool {
    text.rsplit_once(':')
        .is_some_and(|(file, n)| !file.is_empty() && !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
}

/// A column moves with every edit and says little.
fn without_column(place: &str) -> Cow<'_, str> {
    let column = place.rsplit_once(':').filter(|(file, n)| is_place(file) && n.bytes().all(|b| b.is_ascii_digit()));
    Cow::Borrowed(column.map_or(place, |(file, _)| file))
}

/// Whether the application's own people wrote it, as far as paths and names tell.
fn is_own(place: &str, function: &str) -> bool {
    const PLACES: [&str; 18] = [
        "site-packages",
        "dist-packages",
        "/lib/python",
        "<frozen ",
        "node_modules",
        "node:",
        "local/go/src/",
        "lib/go",
        "/pkg/mod/",
        "/rustc/",
        "/.cargo/",
        "cargo/registry/src/",
        "lib/ruby/",
        "/gems/",
        "/vendor/",
        "dart:",
        // A Go module of a build that names no folders: `gin@v1.9.1/context.go`.
        "@v",
        // A gem and its version, as Rails writes it.
        " (",
    ];
    const NAMES: [&str; 51] = [
        "java.",
        "javax.",
        "jakarta.",
        "jdk.",
        "sun.",
        "com.sun.",
        "java.base/",
        "org.springframework.",
        "org.apache.",
        "org.hibernate.",
        "org.eclipse.",
        "org.postgresql.",
        "org.slf4j.",
        "org.jooq.",
        "org.aspectj.",
        "org.jboss.",
        "org.mongodb.",
        "com.fasterxml.",
        "com.google.common.",
        "com.zaxxer.",
        "com.mysql.",
        "com.mongodb.",
        "io.grpc.",
        "io.lettuce.",
        "io.micrometer.",
        "io.micronaut.",
        "io.quarkus.",
        "io.vertx.",
        "okhttp3.",
        "retrofit2.",
        "feign.",
        "ch.qos.logback.",
        "org.junit.",
        "junit.",
        "kotlin.",
        "kotlinx.",
        "scala.",
        "akka.",
        "io.netty.",
        "reactor.",
        "System.",
        "Microsoft.",
        "runtime.",
        "net/http.",
        "std::",
        "core::",
        "alloc::",
        "tokio::",
        "rust_begin_unwind",
        "Module._",
        "[internal function]",
    ];
    let foreign = function == "panic" || PLACES.iter().any(|part| place.contains(part));
    !foreign && !NAMES.iter().any(|start| function.starts_with(start))
}
