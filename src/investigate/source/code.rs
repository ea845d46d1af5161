//! The function around a line of source code: near enough to what a person would copy out of the file.
//!
//! No compiler: Python and Ruby are read by their indentation, the others by their braces, with just enough of each
//! language's strings and comments that neither counts what stands in them. What is no function that way is a few
//! lines around the one asked for. One pass over the file, whatever is in it.

mod braces;
mod indents;

use super::frame::Language;

/// Lines of a function that are shown; of a longer one its head, and those around the line asked for.
const SHOWN_MAX: u32 = 70;
const HEAD: u32 = 8;
const AROUND: u32 = 24;
/// Lines on either side where there is no function.
const BARE: u32 = 12;

/// One function of a file. Lines from 1, both included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// `None`: a closure, or a place that is no function.
    pub name: Option<String>,
    pub first: u32,
    pub last: u32,
}

/// How the part of a file was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// The line stands in a function of that name.
    Both,
    /// The line stands in a function, and no name was told, or none of that name is in the file.
    Line,
    /// A function of that name, in which the line does not stand: the file is not quite the one that ran.
    Name,
    /// Neither: lines around the one told.
    Neither,
}

/// The part of a file that is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    pub by: By,
    pub name: Option<String>,
    /// Runs of lines, each with the number of its first; what is between two is left out.
    pub runs: Vec<(u32, Vec<String>)>,
    /// The line that is meant, if it is shown.
    pub at: Option<u32>,
}

/// The part of `text` around `line` (from 1), or else the function `name`. `None`: the file has neither.
/// `trust_line`: the line is one of this very text.
pub fn part(text: &str, language: Language, line: Option<u32>, name: Option<&str>, trust_line: bool) -> Option<Part> {
    let lines: Vec<&str> = text.split('\n').map(|line| line.trim_end_matches('\r')).collect();
    let count = u32::try_from(lines.len()).unwrap_or(u32::MAX);
    let functions = match language {
        Language::Python | Language::Ruby => indents::functions(&lines, language),
        _ => braces::functions(text, language),
    };
    let line = line.filter(|line| trust_line && (1..=count).contains(line));
    let (by, function, at) = choose(&functions, line, name)?;
    let (first, last) = match function {
        Some(function) => (function.first.max(1), function.last.min(count)),
        None => (at?.saturating_sub(BARE).max(1), at?.saturating_add(BARE).min(count)),
    };
    let run = |from: u32, to: u32| {
        let shown = lines.get(from as usize - 1..to as usize).unwrap_or_default();
        (from, shown.iter().map(|line| (*line).to_owned()).collect())
    };
    let runs = if last.saturating_sub(first) < SHOWN_MAX {
        vec![run(first, last)]
    } else {
        let at = at.unwrap_or(first);
        let (from, to) = (at.saturating_sub(AROUND).max(first), at.saturating_add(AROUND).min(last));
        let head = (first + HEAD - 1).min(last);
        if from <= head + 1 { vec![run(first, to.max(head))] } else { vec![run(first, head), run(from, to)] }
    };
    let name = function.and_then(|function| function.name.clone());
    Some(Part { by, name, runs, at })
}

type Choice<'f> = (By, Option<&'f Function>, Option<u32>);

/// Of those around the line the innermost of that name, or else the innermost that has one.
fn choose<'f>(functions: &'f [Function], line: Option<u32>, name: Option<&str>) -> Option<Choice<'f>> {
    let is = |function: &&Function| name.is_some() && function.name.as_deref() == name;
    let Some(line) = line else {
        // The last of a name: an earlier one is often a declaration.
        return functions.iter().rev().find(is).map(|function| (By::Name, Some(function), None));
    };
    let around = || functions.iter().filter(move |f| (f.first..=f.last).contains(&line));
    let innermost = |function: &&Function| function.last - function.first;
    if let Some(function) = around().filter(is).min_by_key(innermost) {
        return Some((By::Both, Some(function), Some(line)));
    }
    let apart = |function: &&Function| function.first.abs_diff(line).min(function.last.abs_diff(line));
    if let Some(function) = functions.iter().filter(is).min_by_key(apart) {
        return Some((By::Name, Some(function), None));
    }
    let named = around().filter(|function| function.name.is_some()).min_by_key(innermost);
    match named.or_else(|| around().min_by_key(innermost)) {
        Some(function) => Some((By::Line, Some(function), Some(line))),
        None => Some((By::Neither, None, Some(line))),
    }
}

#[cfg(test)]
mod tests;
