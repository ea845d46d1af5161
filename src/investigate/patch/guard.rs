//! What an edit may not do besides: weaken tests, or say something else than it shows.

use super::{Kind, Refused};

/// Folders that hold tests.
const TEST_FOLDERS: [&str; 9] =
    ["test", "tests", "spec", "specs", "__tests__", "testdata", "fixtures", "e2e", "__snapshots__"];

/// What turns a test off in the languages that traces come in. One that begins with a letter begins a word.
const TURNED_OFF: [&str; 29] = [
    "@skip",
    ".skip",
    "skip(",
    "skipif",
    "skipunless",
    "skiptest",
    "skipnow",
    "skipf(",
    "importorskip",
    "xfail",
    "expectedfailure",
    "allow_module_level",
    "collect_ignore",
    "__test__",
    "#[ignore",
    "@ignore",
    "@disabled",
    "[ignore(",
    "xit(",
    "xdescribe(",
    "xtest(",
    "fit(",
    "fdescribe(",
    ".only(",
    ".todo(",
    "pending(",
    "assume(",
    "assumetrue(",
    "os._exit",
];

/// How a test of Rust begins that stands beside the code.
const MARKS: [&str; 3] = ["#[test]", "::test]", "#[cfg(test)]"];

/// Whether a file of that path is a test, or a part of one.
pub(super) fn is_test(path: &str) -> bool {
    let lower = path.to_lowercase();
    let mut parts: Vec<&str> = lower.split('/').collect();
    let Some(name) = parts.pop() else { return false };
    let stem = name.split('.').next().unwrap_or_default();
    let own_name = path.rsplit('/').next().unwrap_or_default().split('.').next().unwrap_or_default();
    parts.iter().any(|folder| TEST_FOLDERS.contains(folder))
        || stem == "test"
        || stem == "tests"
        || stem.starts_with("test_")
        || stem.starts_with("test-")
        || ["_test", "_tests", "-test", "_spec", "-spec"].iter().any(|end| stem.ends_with(end))
        || name.split('.').skip(1).any(|part| matches!(part, "test" | "tests" | "spec" | "e2e" | "snap"))
        || ["Test", "Tests", "Spec", "IT"].iter().any(|end| own_name.ends_with(end) && own_name != *end)
}

/// Looks at a file whose content was changed. `before`: empty for one that is new.
pub(super) fn look(path: &str, before: &str, after: &str) -> Result<(), Refused> {
    if after.trim().is_empty() {
        return Err(Refused::new(Kind::Tests, format!("{path} would be left empty")));
    }
    if let Some(hidden) = after.chars().find(|c| is_hidden(*c) && !before.contains(*c)) {
        let words = format!("what is written into {path} has a character that hides text (U+{:04X})", hidden as u32);
        return Err(Refused::new(Kind::Text, words));
    }
    if count(after, &["[redacted:"]) > count(before, &["[redacted:"]) {
        let words = format!("what is written into {path} has the mark of something that was not shown");
        return Err(Refused::new(Kind::Text, words));
    }
    let is_code = !DATA.iter().any(|ending| path.to_lowercase().ends_with(ending));
    if is_code && (is_test(path) || MARKS.iter().any(|mark| after.contains(mark))) {
        let (before, after) = (before.to_lowercase(), after.to_lowercase());
        for word in TURNED_OFF {
            if words(&after, word) > words(&before, word) {
                return Err(Refused::new(Kind::Tests, format!("{path}: `{word}` would turn tests off")));
            }
        }
    }
    let is_kept = MARKS.iter().all(|mark| after.matches(mark).count() >= before.matches(mark).count());
    let stays = is_kept && inline_tests(before) == inline_tests(after);
    if !is_test(path) && !stays {
        return Err(Refused::new(Kind::Tests, format!("{path}: the tests in it would change")));
    }
    Ok(())
}

/// Whether all lines of `before` are still there, in their order and as they were.
pub(super) fn only_adds(before: &str, after: &str) -> bool {
    let mut left = after.lines();
    before.lines().all(|line| left.any(|other| other == line))
}

/// The module of tests at the end of a file of Rust, and what follows it.
fn inline_tests(text: &str) -> Option<&str> {
    let rests = text.match_indices("#[cfg(test)]").filter_map(|(at, _)| text.get(at..));
    rests.into_iter().find(|rest| {
        let after = rest.strip_prefix("#[cfg(test)]").unwrap_or_default().trim_start();
        after.starts_with("mod ") && after.split(';').next().is_some_and(|head| head.contains('{'))
    })
}

/// Data and prose turn nothing off.
const DATA: [&str; 9] = [".md", ".txt", ".json", ".csv", ".snap", ".xml", ".yaml", ".yml", ".html"];

fn words(text: &str, word: &str) -> usize {
    let begins = |at: usize| {
        let is_within = |c: char| c.is_alphanumeric() || c == '_';
        let before = text.get(..at).and_then(|head| head.chars().next_back());
        !word.starts_with(is_within) || !before.is_some_and(is_within)
    };
    text.match_indices(word).filter(|(at, _)| begins(*at)).count()
}

fn count(text: &str, words: &[&str]) -> usize {
    words.iter().map(|word| text.matches(word).count()).sum()
}

/// What an editor does not show: controls, directions, characters without width.
fn is_hidden(c: char) -> bool {
    (c.is_control() && !matches!(c, '\n' | '\r' | '\t'))
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{3164}' | '\u{ffa0}' | '\u{feff}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{fff0}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_are_known_by_their_path() {
        for path in [
            "tests/a.py",
            "app/test_cart.py",
            "pkg/cart_test.go",
            "web/cart.test.ts",
            "web/__tests__/cart.js",
            "src/test/java/com/acme/CartTest.java",
            "src/CartTests.cs",
            "src/CartSpec.scala",
            "spec/cart_spec.rb",
            "test.sh",
            "tests.py",
            "src/parser/tests.rs",
            "TESTS/a.py",
        ] {
            assert!(is_test(path), "{path}");
        }
        for path in ["src/contest.py", "src/latest.js", "attest/a.go", "src/testing.py", "a/protest.py", "src/main.rs"]
        {
            assert!(!is_test(path), "{path}");
        }
    }

    #[test]
    fn tests_may_not_be_turned_off_or_taken_away() {
        let kind = |path: &str, before: &str, after: &str| look(path, before, after).err().map(|refused| refused.kind);
        let tests = Some(Kind::Tests);
        assert_eq!(kind("a.py", "x = 1\n", "\n \n"), tests);
        assert_eq!(
            kind("tests/a.py", "def test_a(): assert 1\n", "@pytest.mark.skip\ndef test_a(): assert 1\n"),
            tests
        );
        assert_eq!(kind("src/a.rs", "#[test]\nfn a() {}\n", "#[test]\n#[ignore]\nfn a() {}\n"), tests);
        assert_eq!(kind("src/a.rs", "fn f() {}\n#[test]\nfn a() { assert!(f()) }\n", "fn f() {}\n"), tests);
        assert_eq!(kind("tests/b.py", "", "import os\ndef test_b():\n    os._exit(0)\n"), tests);
        // Code that is no test may end a program, and may assert less.
        assert_eq!(kind("src/a.py", "assert x\n", "import sys\nsys.exit(1)\n"), None);
        assert_eq!(kind("src/a.js", "list.skip(1)\n", "list.skip(1).skip(2)\n"), None);
        assert_eq!(kind("tests/b.js", "", "expect(profit(3)).toBe(1)\n"), None);
        let inline = |expected: u8, code: u8| {
            format!(
                "fn f() -> u8 {{ {code} }}\n#[cfg(test)]\nmod tests {{\n#[test]\nfn a() {{ assert_eq!(f(), {expected}) }}\n}}\n"
            )
        };
        assert_eq!(kind("src/a.rs", &inline(2, 1), &inline(1, 1)), tests);
        assert_eq!(kind("src/a.rs", &inline(2, 1), &inline(2, 2)), None);
        assert_eq!(kind("tests/b.py", "", "def test_b():\n    assert f() == 2\n"), None);
    }

    #[test]
    fn text_that_hides_what_it_is_is_refused() {
        let kind = |before: &str, after: &str| look("a.py", before, after).err().map(|refused| refused.kind);
        assert_eq!(kind("a", "a\u{202e}b"), Some(Kind::Text));
        assert_eq!(kind("a", "a\u{1b}[2J"), Some(Kind::Text));
        assert_eq!(kind("a", "key = '[redacted:token]'"), Some(Kind::Text));
        assert_eq!(kind("\u{feff}a", "\u{feff}b"), None);
        assert_eq!(kind("# [redacted:x]", "# [redacted:x]\nb"), None);
    }

    #[test]
    fn additions_leave_every_line_as_it_was() {
        assert!(only_adds("a\nb\n", "a\nx\nb\ny\n"));
        assert!(only_adds("a", "a\nb"));
        assert!(!only_adds("a\nb\n", "b\na\n"));
        assert!(!only_adds("a\nb\n", "a\nb  # skip\n"));
        assert!(!only_adds("a\na\n", "a\n"));
    }
}
