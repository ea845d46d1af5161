//! `check --fluent-bit`: what the built program says of a sender's configuration, and how it exits.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

fn check(folder: &Path, arguments: &[&str], stdin: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_emberwatch"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("EMBERWATCH_") {
            command.env_remove(name);
        }
    }
    command.arg("check").args(arguments).current_dir(folder);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("starting the program");
    let mut input = child.stdin.take().expect("its stdin");
    // A program that reads no stdin may have closed it.
    input.write_all(stdin.as_bytes()).unwrap_or_default();
    drop(input);
    child.wait_with_output().expect("its end")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn folder_with(files: &[(&str, &str)]) -> TempDir {
    let folder = TempDir::new().expect("a folder");
    for (name, text) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("its folder");
        std::fs::write(path, text).expect("writing a file");
    }
    folder
}

#[test]
fn nothing_we_ship_loses_doubles_or_hurts() {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("fluent-bit");
    let mut files: Vec<PathBuf> = std::fs::read_dir(&shipped)
        .expect("the folder")
        .map(|entry| entry.expect("a file").path())
        .filter(|path| {
            path.extension().is_some_and(|e| ["conf", "yaml", "yml", "json"].contains(&&*e.to_string_lossy()))
        })
        .collect();
    files.sort();
    assert!(!files.is_empty());
    let folder = TempDir::new().expect("a folder");
    for file in files {
        let output = check(folder.path(), &["--fluent-bit", &file.display().to_string()], "");
        let told = format!("{}:\n{}{}", file.display(), text(&output.stdout), text(&output.stderr));
        assert_eq!(output.status.code(), Some(0), "{told}");
        assert!(told.contains("nothing here loses") || told.contains("slowed"), "{told}");
    }
}

#[test]
fn a_configuration_that_loses_lines_shows_where_and_exits_1() {
    let folder = folder_with(&[
        ("main.conf", "[SERVICE]\n    Flush 1\n@INCLUDE conf.d/*.conf\n"),
        ("conf.d/out.conf", "[OUTPUT]\n    Name http\n    Match *\n    Port 8080\n    http_Passwd hunter2\n"),
    ]);
    let output = check(folder.path(), &["--fluent-bit", "main.conf"], "");
    let told = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("lost    conf.d/out.conf:1  [OUTPUT] http: no URI (the default is /)\n"), "{told}");
    assert!(told.contains("        write:  URI /ingest\n"), "{told}");
    assert!(told.contains("        write:  Retry_Limit 1\n"), "{told}");
    assert!(told.trim_end().lines().last().is_some_and(|verdict| verdict.starts_with("2 lost, ")), "{told}");
    assert!(!told.contains("hunter2"), "no secret is repeated: {told}");
}

#[test]
fn what_our_own_configuration_asks_for_decides_what_a_sender_needs() {
    let ours = "[server]\nlisten = \"127.0.0.1:9999\"\n[[server.token]]\nname = \"web\"\nsecret = \"0123456789abcdef0123\"\n\
                [ingest]\ntag_header = \"X-From\"\n";
    let sender = "[OUTPUT]\n    Name http\n    Match *\n    Port 9999\n    URI /ingest\n    Retry_Limit 2\n";
    let folder = folder_with(&[("emberwatch.toml", ours), ("out.conf", sender)]);
    let output = check(folder.path(), &["--fluent-bit", "out.conf"], "");
    let told = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{told}");
    for part in ["no http_User", "write:  http_User web", "write:  header_tag X-From"] {
        assert!(told.contains(part), "{part}: {told}");
    }
}

#[test]
fn a_configuration_on_stdin_is_read_and_what_costs_nothing_exits_0() {
    let folder = TempDir::new().expect("a folder");
    let sender = "pipeline:\n  outputs:\n    - name: http\n      match: '*'\n      port: 8080\n      uri: /ingest\n      \
                  retry_limit: 2\n      header_tag: X-Tag\n";
    let output = check(folder.path(), &["--fluent-bit", "-"], sender);
    let told = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{told}");
    assert!(told.contains("nothing here loses, doubles or slows lines"), "{told}");
}

#[test]
fn what_is_no_configuration_exits_78_and_says_where_it_stops_being_one() {
    let folder = folder_with(&[
        ("garbage.conf", "[OUTPUT]\n    Name http\nno indentation\n"),
        ("garbage.json", "{\"a\": }"),
        ("other.yaml", "a: b\n"),
    ]);
    for (file, expected) in [
        ("garbage.conf", "garbage.conf:3: expected a `[SECTION]`"),
        ("garbage.json", "garbage.json:1: expected JSON"),
        ("other.yaml", "other.yaml:1: expected a Fluent Bit configuration"),
        ("absent.conf", "absent.conf: cannot be read"),
        (".", ".: cannot be read"),
    ] {
        let output = check(folder.path(), &["--fluent-bit", file], "");
        assert_eq!(output.status.code(), Some(78), "{file}");
        assert!(text(&output.stderr).contains(expected), "{file}: {}", text(&output.stderr));
        assert!(output.stdout.is_empty(), "{file}");
    }
}

#[test]
fn plain_check_stays_what_it_was() {
    let folder = TempDir::new().expect("a folder");
    let output = check(folder.path(), &[], "");
    assert_eq!(output.status.code(), Some(0));
    assert!(text(&output.stdout).starts_with("configuration is sound (defaults)\nnote: "), "{}", text(&output.stdout));
}
