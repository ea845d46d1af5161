//! From pairs of search and replace to the content of files.

use std::collections::BTreeMap;

use super::guard::{is_test, look, only_adds};
use super::{Changed, Deny, FILES_MAX, Kind, LINES_MAX, Refused, TEST_LINES_MAX};
use crate::investigate::snapshot::{FILE_MAX, Snapshot, Unread};
use crate::investigate::verdict::{Edit, PATH_MAX, Plan};

/// The head of a file that stands for another one somewhere else.
const POINTER: &str = "version https://git-lfs.github.com/spec/";

/// All files of a plan, in the order of their paths.
pub(super) fn files(
    source: &Snapshot<'_>,
    plan: &Plan,
    deny: &Deny,
    test: Option<&str>,
) -> Result<Vec<Changed>, Refused> {
    if plan.edits.is_empty() {
        return Err(Refused::new(Kind::Empty, "the plan holds no edits"));
    }
    let mut files: BTreeMap<&str, Changed> = BTreeMap::new();
    let all = plan.edits.iter().map(|edit| (edit, false)).chain(plan.tests.iter().map(|edit| (edit, true)));
    for (edit, is_test) in all {
        let path = edit.path.as_str();
        if !files.contains_key(path) {
            if files.len() == FILES_MAX {
                return Err(Refused::new(Kind::Size, format!("it changes more than {FILES_MAX} files")));
            }
            let place = place(source, path, is_test, deny, test)?;
            // Two new paths that are one on some disks, or of which one would be a folder.
            let clashes = |held: &&str| {
                let (held, path) = (held.to_lowercase(), path.to_lowercase());
                held == path || held.starts_with(&format!("{path}/")) || path.starts_with(&format!("{held}/"))
            };
            if files.keys().any(clashes) {
                return Err(refused(Kind::Path, path, "it is in the way of another file of the plan"));
            }
            files.insert(path, place);
        }
        let Some(file) = files.get_mut(path) else { continue };
        if file.is_test != is_test {
            return Err(refused(Kind::Tests, path, "it is a part of the mend and of the test at once"));
        }
        file.after = edited(&file.after, file.before.is_none(), edit)?;
        if file.after.len() > FILE_MAX {
            return Err(refused(Kind::Size, path, "it would become too large"));
        }
    }
    let mut files: Vec<Changed> = files.into_values().collect();
    for file in &mut files {
        let before = file.before.as_deref().unwrap_or_default();
        if file.before.as_deref() == Some(&file.after) {
            return Err(refused(Kind::Empty, &file.path, "it stays as it is"));
        }
        if file.is_test && !only_adds(before, &file.after) {
            let why = "a regression test may only add lines below a test that is there, and imports at its head";
            return Err(refused(Kind::Tests, &file.path, why));
        }
        look(&file.path, before, &file.after)?;
        (file.added, file.removed) = lines(before, &file.after);
    }
    for (of_test, most) in [(false, LINES_MAX), (true, TEST_LINES_MAX)] {
        let changed = files.iter().filter(|file| file.is_test == of_test).map(|file| file.added + file.removed);
        if changed.sum::<usize>() > most {
            let what = if of_test { "its tests change" } else { "it changes" };
            return Err(Refused::new(Kind::Size, format!("{what} more than {most} lines")));
        }
    }
    Ok(files)
}

/// The file of that path as it stands, if it may be changed.
fn place(
    source: &Snapshot<'_>,
    path: &str,
    of_test: bool,
    deny: &Deny,
    test: Option<&str>,
) -> Result<Changed, Refused> {
    if let Some(why) = unsound(path) {
        return Err(refused(Kind::Path, path, why));
    }
    if let Some(pattern) = deny.why(path) {
        return Err(refused(Kind::Denied, path, &format!("`{pattern}` is off limits")));
    }
    // A new test may have to be added to what the command runs; that it does no more is seen when the mend runs alone.
    if !of_test && test.is_some_and(|test| is_named(test, path)) {
        return Err(refused(Kind::Denied, path, "the service's test command is made of it"));
    }
    match (of_test, is_test(path)) {
        (false, true) => return Err(refused(Kind::Tests, path, "a mend changes no tests")),
        (true, false) => return Err(refused(Kind::Tests, path, "by its path it is no test")),
        _ => {}
    }
    let (before, runnable) = match source.text(path) {
        Ok(text) if text.starts_with(POINTER) => {
            return Err(refused(Kind::File, path, "it is kept somewhere else (LFS)"));
        }
        Ok(text) => (Some(text), source.name(path).is_some_and(|name| name.is_runnable())),
        Err(Unread::Nowhere) => (None, false),
        Err(Unread::Git(failed)) => return Err(Refused::git(failed)),
        Err(unread) => return Err(refused(Kind::File, path, &unread.to_string())),
    };
    if before.is_none() {
        if let Some(name) = source.in_the_way(path) {
            return Err(refused(Kind::Path, path, &format!("{name} is no folder at that commit")));
        }
        if let Some(name) = source.spelled(path) {
            return Err(refused(Kind::Path, path, &format!("the commit spells it {name}")));
        }
        if let Some(c) = path.chars().find(|c| !c.is_ascii_alphanumeric() && !"/._-+@[]()$".contains(*c)) {
            return Err(refused(Kind::Path, path, &format!("a new file has no {c:?} in its name")));
        }
    }
    let after = before.clone().unwrap_or_default();
    Ok(Changed { path: path.to_owned(), before, after, runnable, is_test: of_test, added: 0, removed: 0 })
}

/// Why a path is none of a repository's.
fn unsound(path: &str) -> Option<&'static str> {
    if path.is_empty() || path.len() > PATH_MAX {
        return Some("it is empty or too long");
    }
    if path.starts_with('/') || path.starts_with('-') || path.contains(['\\', ':', '"']) {
        return Some("it is no path from the root of the repository");
    }
    if path.chars().any(|c| c.is_control() || ('\u{200b}'..='\u{206f}').contains(&c) || c == '\u{feff}') {
        return Some("it has characters that cannot be seen");
    }
    let canonical = path.split('/').all(|part| {
        let lower = part.to_lowercase();
        !matches!(part, "" | "." | "..")
            && !part.ends_with(['.', ' '])
            && !part.starts_with(' ')
            && !lower.starts_with("git~")
    });
    if canonical { None } else { Some("it is not written as git writes paths") }
}

/// Whether the test command speaks of that file. `./run.sh`, `sh ci/run.sh`, `(cd x && ./y)`.
fn is_named(test: &str, path: &str) -> bool {
    let own = path.rsplit('/').next().unwrap_or(path);
    test.split(|c: char| c.is_whitespace() || "'\"();&|<>=`$".contains(c))
        .filter(|word| !word.is_empty() && !word.ends_with('/'))
        .any(|word| word == path || word.strip_prefix("./") == Some(path) || word.rsplit('/').next() == Some(own))
}

/// The content after one edit.
fn edited(text: &str, is_new: bool, edit: &Edit) -> Result<String, Refused> {
    let path = edit.path.as_str();
    if edit.search.is_empty() {
        return if !is_new {
            Err(refused(Kind::Search, path, "the file is there already, and the text to search is empty"))
        } else if !text.is_empty() {
            Err(refused(Kind::Search, path, "the new file is written twice"))
        } else {
            Ok(ended(&edit.replace))
        };
    }
    if is_new && text.is_empty() {
        return Err(refused(Kind::File, path, "no such file at that commit"));
    }
    // A file with the line ends of Windows keeps them, whatever a model writes.
    let is_windows = text.contains("\r\n") && text.matches("\r\n").count() == text.matches('\n').count();
    let fitted = |part: &str| {
        let plain = part.replace("\r\n", "\n");
        if is_windows { plain.replace('\n', "\r\n") } else { part.to_owned() }
    };
    let (mut search, mut replace) = (fitted(&edit.search), fitted(&edit.replace));
    // The last line of a file that does not end it stays without an end.
    if !text.contains(&search)
        && let (Some(s), Some(r)) = (without_end(&search), without_end(&replace))
        && !s.is_empty()
        && text.ends_with(s)
    {
        (search, replace) = (s.to_owned(), r.to_owned());
    }
    match places(text, &search) {
        0 => Err(refused(Kind::Search, path, "the text to search does not stand there at that commit")),
        1 => Ok(text.replacen(&search, &replace, 1)),
        _ => Err(refused(Kind::Search, path, "the text to search stands there more than once")),
    }
}

/// How often it stands there, also across itself; two stand for more.
fn places(text: &str, search: &str) -> usize {
    let Some(first) = text.find(search) else { return 0 };
    let next = text.get(first..).and_then(|rest| rest.chars().next()).map_or(1, char::len_utf8);
    let again = text.get(first + next..).is_some_and(|rest| rest.contains(search));
    if again { 2 } else { 1 }
}

fn without_end(text: &str) -> Option<&str> {
    let text = text.strip_suffix('\n')?;
    Some(text.strip_suffix('\r').unwrap_or(text))
}

/// A new file ends its last line.
fn ended(text: &str) -> String {
    if text.is_empty() || text.ends_with('\n') { text.to_owned() } else { format!("{text}\n") }
}

/// Lines added and removed between the first and the last that differ: never fewer than a diff has.
fn lines(before: &str, after: &str) -> (usize, usize) {
    let (before, after): (Vec<&str>, Vec<&str>) = (before.lines().collect(), after.lines().collect());
    let head = before.iter().zip(&after).take_while(|(a, b)| a == b).count();
    let rest = before.len().min(after.len()) - head;
    let tail = before.iter().rev().zip(after.iter().rev()).take(rest).take_while(|(a, b)| a == b).count();
    (after.len() - head - tail, before.len() - head - tail)
}

fn refused(kind: Kind, path: &str, why: &str) -> Refused {
    let shown: String = path.chars().take(120).collect();
    Refused::new(kind, format!("{shown}: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apply(text: &str, search: &str, replace: &str) -> Result<String, Kind> {
        let edit = Edit { path: "a.py".into(), search: search.into(), replace: replace.into() };
        edited(text, false, &edit).map_err(|refused| refused.kind)
    }

    #[test]
    fn a_search_stands_exactly_once() {
        assert_eq!(apply("a\nb\n", "b", "c").as_deref(), Ok("a\nc\n"));
        assert_eq!(apply("a\nb\n", "x", "c"), Err(Kind::Search));
        assert_eq!(apply("a\na\n", "a", "c"), Err(Kind::Search));
        // Across itself, too.
        assert_eq!(apply("aaa", "aa", "c"), Err(Kind::Search));
        assert_eq!(apply("ééé", "éé", "c"), Err(Kind::Search));
        assert_eq!(apply("a", "", "c"), Err(Kind::Search));
    }

    #[test]
    fn the_ends_of_lines_stay_as_they_are() {
        assert_eq!(apply("a\r\nb\r\n", "a\nb\n", "a\nc\nb\n").as_deref(), Ok("a\r\nc\r\nb\r\n"));
        assert_eq!(apply("a\r\nb\r\n", "a\r\nb", "c\nd").as_deref(), Ok("c\r\nd\r\n"));
        // Mixed ones are taken as they stand.
        assert_eq!(apply("a\r\nb\nc\n", "a\nb", "x"), Err(Kind::Search));
        assert_eq!(apply("a\nb", "b\n", "c\n").as_deref(), Ok("a\nc"));
        assert_eq!(apply("a\r\nb", "b\n", "c\nd\n").as_deref(), Ok("a\r\nc\r\nd"));
    }

    #[test]
    fn only_paths_as_git_writes_them_are_taken() {
        for good in ["a.py", "src/a b.py", "src/[id].ts", "ä/ö.py"] {
            assert_eq!(unsound(good), None, "{good}");
        }
        for bad in [
            "",
            "/etc/passwd",
            "../a",
            "a/../b",
            "a/./b",
            "a//b",
            "a/",
            "./a",
            "C:\\a",
            "a\\b",
            "a\0b",
            "a\nb",
            "-a",
            "a./b",
            "a /b",
            "GIT~1/config",
            "a\u{200d}b",
            &"a".repeat(301),
        ] {
            assert!(unsound(bad).is_some(), "{bad:?}");
        }
    }

    #[test]
    fn the_files_of_the_test_command_are_known() {
        for (test, path, named) in [
            ("./run.sh", "run.sh", true),
            ("sh ci/run.sh", "ci/run.sh", true),
            ("cd ci && sh run.sh", "ci/run.sh", true),
            ("bash -c './ci/run.sh'", "ci/run.sh", true),
            ("python3 -m pytest tests/", "tests/test_a.py", false),
            ("make test", "src/a.py", false),
        ] {
            assert_eq!(is_named(test, path), named, "{test} {path}");
        }
    }

    #[test]
    fn lines_are_counted_from_the_first_to_the_last_that_differs() {
        for (before, after, counts) in [
            ("a\nb\nc\n", "a\nx\nc\n", (1, 1)),
            ("a\nc\n", "a\nb\nc\n", (1, 0)),
            ("", "a\nb\n", (2, 0)),
            ("a\na\n", "a\n", (0, 1)),
            ("a\nb\nc\n", "x\nb\ny\n", (3, 3)),
        ] {
            assert_eq!(lines(before, after), counts, "{before:?} {after:?}");
        }
    }
}
