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

/// What ends a program as if all were well, before its tests have said anything. Code that does so may be sound;
/// a mend that brings it in could pass any test by not running it.
const ENDS_ALL: [&str; 14] = [
    "os._exit",
    "posix._exit",
    "process.exit",
    "process.reallyexit",
    "process.kill(",
    "process::exit",
    "system.exit(",
    "environment.exit(",
    "getruntime().halt",
    "os.exit(",
    "systemexit",
    "exit(0)",
    "exit()",
    "exit!",
];

/// Modules that a runner of Python's tests loads by name: a new file of such a name stands in for the real one.
const LOADED: [&str; 40] = [
    "argparse",
    "ast",
    "asyncio",
    "atexit",
    "builtins",
    "code",
    "codecs",
    "collections",
    "contextlib",
    "copy",
    "dis",
    "difflib",
    "doctest",
    "enum",
    "fnmatch",
    "functools",
    "gc",
    "importlib",
    "inspect",
    "io",
    "iniconfig",
    "linecache",
    "locale",
    "os",
    "packaging",
    "pathlib",
    "pkgutil",
    "pprint",
    "re",
    "runpy",
    "shutil",
    "signal",
    "site",
    "subprocess",
    "sys",
    "sysconfig",
    "time",
    "tokenize",
    "traceback",
    "warnings",
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
    if is_code && !is_test(path) {
        if before.is_empty() && stands_in(path) {
            return Err(Refused::new(
                Kind::Tests,
                format!("{path} would stand in for a module that tests are run with"),
            ));
        }
        let (before, after) = (before.to_lowercase(), after.to_lowercase());
        if let Some(word) = ENDS_ALL.iter().find(|word| words(&after, word) > words(&before, word)) {
            return Err(Refused::new(
                Kind::Tests,
                format!("{path}: `{word}` would end the program before its tests do"),
            ));
        }
    }
    let is_kept = MARKS.iter().all(|mark| after.matches(mark).count() >= before.matches(mark).count());
    let stays = is_kept && inline_tests(before) == inline_tests(after);
    if !is_test(path) && !stays {
        return Err(Refused::new(Kind::Tests, format!("{path}: the tests in it would change")));
    }
    Ok(())
}

/// Whether a path is that of a Python module of [`LOADED`].
fn stands_in(path: &str) -> bool {
    let lower = path.to_lowercase();
    let module = lower.strip_suffix("/__init__.py").or(lower.strip_suffix(".py")).unwrap_or_default();
    module.rsplit('/').next().is_some_and(|name| LOADED.contains(&name))
}

/// Whether all lines of `before` are still there as they were, and what is new follows them. Between them a line could
/// end a test or open a comment; only what a new test imports may stand among the first ones.
pub(super) fn only_adds(before: &str, after: &str) -> bool {
    let mut left = after.lines();
    let mut head = Head::default();
    before.lines().all(|line| {
        let is_head = head.is_open;
        let found = left.find(|other| *other == line || !(is_head && (other.trim().is_empty() || imports(other))));
        head.pass(line);
        found == Some(line)
    })
}

/// The first lines of a file: what it imports, and what it says of itself.
struct Head {
    is_open: bool,
    /// What ends the comment that is open.
    comment: Option<&'static str>,
}

impl Default for Head {
    fn default() -> Head {
        Head { is_open: true, comment: None }
    }
}

impl Head {
    fn pass(&mut self, line: &str) {
        let line = line.trim();
        if let Some(end) = self.comment {
            self.comment = Some(end).filter(|end| !line.contains(end));
            return;
        }
        for (begin, end) in [("/*", "*/"), ("\"\"\"", "\"\"\""), ("'''", "'''")] {
            if let Some(rest) = line.strip_prefix(begin) {
                self.comment = Some(end).filter(|end| !rest.contains(end));
                return;
            }
        }
        let plain = ["#", "//", "package ", "module ", "import ("].iter().any(|begin| line.starts_with(begin));
        self.is_open &= line.is_empty() || line == ")" || plain || imports(line);
    }
}

/// Whether a line imports something, and does nothing else.
fn imports(line: &str) -> bool {
    let line = line.trim();
    let line = line.strip_suffix(';').unwrap_or(line);
    let known = ["import ", "from ", "use ", "using ", "require ", "require_relative ", "#include "];
    let is_bound =
        ["const ", "let ", "var "].iter().any(|begin| line.starts_with(begin)) && line.contains("= require(");
    // A row of Go's list.
    let is_row = line.starts_with('"') && line.ends_with('"') && line.len() > 2;
    let is_plain = line.chars().all(|c| c.is_ascii_alphanumeric() || " #_.,:'\"/@{}*-()=<>".contains(c));
    let is_closed =
        [("(", ")"), ("{", "}")].iter().all(|(open, close)| line.matches(open).count() == line.matches(close).count())
            && ["'", "\""].iter().all(|quote| line.matches(quote).count() % 2 == 0)
            && !["/*", "*/", "'''", "\"\"\""].iter().any(|mark| line.contains(mark));
    let calls = line.contains('(') && !is_bound;
    is_plain && is_closed && !calls && (is_bound || is_row || known.iter().any(|begin| line.starts_with(begin)))
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
        for (path, after) in [
            ("src/a.py", "import os\nos._exit(0)\n"),
            ("src/a.js", "process.exit(0)\n"),
            ("src/a.rs", "fn f() { std::process::exit(0) }\n"),
            ("a.go", "func f() { os.Exit(1) }\n"),
            ("src/a.py", "raise SystemExit\n"),
            ("traceback.py", "x = 1\n"),
            ("signal/__init__.py", "x = 1\n"),
        ] {
            assert_eq!(kind(path, "", after), tests, "{path}");
        }
        assert_eq!(kind("src/a.js", "process.exit(1)\n", "process.exit(1)\nx()\n"), None);
        assert_eq!(kind("src/time.py", "x = 1\n", "x = 2\n"), None);
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
    fn additions_follow_what_is_there_and_leave_it_as_it_was() {
        for (before, after) in [
            ("a\nb\n", "a\nb\ny\n"),
            ("a", "a\nb"),
            ("import a\n\ndef t(): pass\n", "import a\nfrom b import c\n\ndef t(): pass\n\ndef u(): pass\n"),
            ("\"\"\"Tests\nof a.\n\"\"\"\nimport a\nx\n", "\"\"\"Tests\nof a.\n\"\"\"\nimport b\nimport a\nx\ny\n"),
            (
                "package a\n\nimport (\n\t\"testing\"\n)\nfunc T() {}\n",
                "package a\n\nimport (\n\t\"fmt\"\n\t\"testing\"\n)\nfunc T() {}\nfunc U() {}\n",
            ),
            ("const a = require('a');\nt()\n", "const a = require('a');\nconst { b } = require('./b');\nt()\nu()\n"),
        ] {
            assert!(only_adds(before, after), "{after}");
        }
        for (before, after) in [
            ("a\nb\n", "b\na\n"),
            ("a\nb\n", "a\nb  # skip\n"),
            ("a\na\n", "a\n"),
            ("a\nb\n", "a\nx\nb\n"),
            ("def t():\n    assert f()\n", "def t():\n    return\n    assert f()\n"),
            ("def t(): pass\n", "\"\"\"\ndef t(): pass\n\"\"\"\n"),
            ("int t();\n", "/*\nint t();\n*/\n"),
            ("int t();\n", "#if 0\nint t();\n#endif\n"),
            ("import a\nx()\n", "import a; quit()\nx()\n"),
            ("import a\nx()\n", "import a\nimport b; b.end()\nx()\n"),
            ("import a\nx()\n", "import a\nimport b /*\nx()\n"),
            ("import a\nx()\ny()\n", "import a\nx()\nimport b\ny()\n"),
        ] {
            assert!(!only_adds(before, after), "{after}");
        }
    }
}
