//! Starts that must fail: each with its exit code, with words that say what is wrong, what was found, what
//! is allowed and what to do, and with nothing left behind. And the one that must not: a broken store.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::path::Path;

use serde_json::json;

use crate::control::{counting, matched, put, ready, serving};
use crate::world::http::post_ingest;
use crate::world::program::Program;

const UNAVAILABLE: i32 = 69;
const CONFIG: i32 = 78;

/// Everything below a folder, by path.
fn files(folder: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(folder).expect("reading a folder") {
        let path = entry.expect("an entry").path();
        found.insert(path.display().to_string());
        if path.is_dir() {
            found.extend(files(&path));
        }
    }
    found
}

/// Starts with `config`, which must end with `code` and say all of `says`, each on some line of stderr.
fn refused(config: &str, env: &[(&str, &str)], code: i32, says: &[&str]) -> Program {
    let mut program = Program::spawn(config, env);
    assert_eq!(program.wait_exit().code(), Some(code), "stderr:\n{}", program.stderr_lines().join("\n"));
    for words in says {
        // JSON logs quote what a plain message has bare.
        let escaped = words.replace('"', "\\\"");
        program.wait_stderr(|line| line.contains(words) || line.contains(&escaped));
    }
    let left: Vec<String> = files(program.home()).into_iter().filter(|path| !path.ends_with("/test.toml")).collect();
    assert!(left.is_empty(), "left behind: {left:?}");
    assert!(program.stdout_lines().is_empty(), "stdout is for what was found");
    program
}

#[test]
fn all_faults_of_a_configuration_are_told_at_once_each_with_key_value_and_bound() {
    let config = r#"
colour = "red"
[server]
listen = "localhost:8080"
workers = 0
max_encoded_bytes = 1024
lisen = 1
[store]
path = 7
lock_wait_seconds = 3601
[escalation]
dedup_seconds = "60"
[time]
lateness_seconds = 1.5
[log]
level = "inof"
[slack]
channel = "\#ops"
[[watch]]
label = "Bad Label"
match = { field = "status", gt = "many" }
threshold = 0
window_seconds = 100000
"#
    .replace("\\#", "#");
    refused(
        &config,
        &[("EMBERWATCH_TIME_LATENES_SECONDS", "5"), ("EMBERWATCH_STORE_MAX_WINDOWS", "ten")],
        CONFIG,
        &[
            "the configuration has 17 faults:",
            "server.listen: must be an IP address and port such as 127.0.0.1:8080, got \"localhost:8080\"; did you mean \"127.0.0.1:8080\"?",
            "server.workers: must be a whole number from 1 to 256, got 0",
            "server.max_encoded_bytes: must be a whole number from 1048576 to 1073741824, got 1024",
            "server.lisen: unknown key; did you mean listen?",
            "colour: unknown key; known here: ",
            "store.path: must be the path of a file, or \"\" for none, got 7",
            "store.lock_wait_seconds: must be a whole number from 0 to 3600, got 3601",
            "store.max_windows: must be a whole number from 100 to 10000000, got \"ten\" (from EMBERWATCH_STORE_MAX_WINDOWS)",
            "escalation.dedup_seconds: must be a whole number from 1 to 604800, got \"60\"; leave out the quotes",
            "time.lateness_seconds: must be a whole number from 1 to 86400, got 1.5",
            "log.level: must be one of trace, debug, info, warn, error, got \"inof\"; did you mean \"info\"?",
            "slack: names neither webhook_url nor bot_token, one of which is needed",
            "watch[0].label: must be 1 to 48 of a-z, 0-9 and _, got \"Bad Label\"; \"bad_label\" would do",
            "watch[0].match.gt: must be a number, got \"many\"",
            "watch[0].threshold: must be a whole number from 1 to 1000000000000, got 0",
            "EMBERWATCH_TIME_LATENES_SECONDS: unknown variable; did you mean EMBERWATCH_TIME_LATENESS_SECONDS?",
        ],
    );
}

#[test]
fn an_unknown_key_is_a_fault_with_the_key_that_was_meant() {
    for (config, says) in [
        ("[escalation]\ndedup_second = 5\n", "escalation.dedup_second: unknown key; did you mean dedup_seconds?"),
        ("[stoer]\npath = \"x\"\n", "stoer: unknown key; did you mean store?"),
        ("[time]\nsettle_seconds = 1\n", "time.settle_seconds: unknown key; did you mean escalation.settle_seconds?"),
        (
            "[[watch]]\nlabel = \"a\"\nmatch = { contains = \"x\" }\ntreshold = 1\nthreshold = 1\nwindow_seconds = 1\n",
            "watch[0].treshold: unknown key; did you mean threshold?",
        ),
        (
            "[[server.token]]\nnam = \"a\"\nname = \"a\"\nsecret = \"0123456789abcdef\"\n",
            "server.token[0].nam: unknown key; did you mean name?",
        ),
    ] {
        refused(config, &[], CONFIG, &["the configuration has 1 fault:", says]);
    }
}

#[test]
fn a_misspelt_variable_is_a_fault_and_so_is_a_value_that_none_can_be() {
    for (name, value, says) in [
        (
            "EMBERWATCH_SERVER_LISTN",
            "127.0.0.1:0",
            "EMBERWATCH_SERVER_LISTN: unknown variable; did you mean EMBERWATCH_SERVER_LISTEN?",
        ),
        ("EMBERWATCH_WATCH", "x", "[[watch]] can be set in the file or in EMBERWATCH_CONFIG_TOML"),
        (
            "EMBERWATCH_LOG_FORMAT",
            "jsn",
            "log.format: must be one of text, json, got \"jsn\" (from EMBERWATCH_LOG_FORMAT); did you mean \"json\"?",
        ),
        (
            "EMBERWATCH_BUILTIN_WATCHES",
            "yes",
            "builtin_watches: must be true or false, got \"yes\" (from EMBERWATCH_BUILTIN_WATCHES)",
        ),
        (
            "EMBERWATCH_CONFIG_TOML",
            "",
            "EMBERWATCH_CONFIG_TOML: --config and this variable both give the configuration; keep one of them",
        ),
        ("EMBERWATCH_FAILPOINT", "sometimes", "\"sometimes\" is no failpoint"),
    ] {
        refused("", &[(name, value)], CONFIG, &[says]);
    }
}

#[test]
fn a_syntax_error_is_told_with_its_line_and_never_with_its_text() {
    let config = "[log]\nlevel = \"info\"\n\n[slack]\nbot_token = \"xoxb-very-secret\n";
    let program = refused(config, &[], CONFIG, &["test.toml: is not valid TOML at line "]);
    let said = program.stderr_lines().join("\n");
    assert!(!said.contains("xoxb-very-secret"), "{said}");
    // The harness puts one line after `[log]`.
    assert!(said.contains("at line 6, column "), "{said}");
    refused(
        "[server]\nlisten = \"127.0.0.1:0\"\nworkers = = 1\n",
        &[],
        CONFIG,
        &["is not valid TOML at line 3, column 11"],
    );
}

#[test]
fn a_section_or_a_value_of_the_wrong_type_is_told_as_what_it_is() {
    refused("escalation = 5\n", &[], CONFIG, &["escalation: must be a section, [escalation], got an integer"]);
    refused(
        "[notify]\nalerts_path = 7\n",
        &[],
        CONFIG,
        &["notify.alerts_path: must be the path of a file, or \"\" for none, got 7"],
    );
    refused(
        "[watch]\nlabel = \"a\"\n",
        &[],
        CONFIG,
        &["watch: must be a list of at most 1000 tables, got a table; write [[watch]]"],
    );
    // What stands where a secret belongs is not repeated.
    let program = refused(
        "[server]\ncontrol_token = 48151623421234567\n",
        &[],
        CONFIG,
        &["server.control_token: must be a string, got an integer"],
    );
    assert!(!program.stderr_lines().join("\n").contains("48151623"));
}

#[test]
fn a_port_in_use_ends_the_start_before_anything_else_has_happened() {
    let held = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = held.local_addr().expect("its address");
    for key in ["listen", "control_listen"] {
        refused(
            &format!("[server]\n{key} = \"{address}\"\n"),
            &[],
            UNAVAILABLE,
            &[
                &format!("server.{key}: cannot listen on {address}: "),
                "another process listens there: stop it, or choose another port",
            ],
        );
    }
    refused(
        "[server]\nlisten = \"192.0.2.1:0\"\n[[server.token]]\nname = \"a\"\nsecret = \"0123456789abcdef\"\n",
        &[],
        UNAVAILABLE,
        &["server.listen: cannot listen on 192.0.2.1:0: ", "this machine has no such address"],
    );
}

#[test]
fn what_other_hosts_can_reach_needs_a_token_and_the_refusal_says_how() {
    refused(
        "[server]\nlisten = \"0.0.0.0:8080\"\n",
        &[],
        CONFIG,
        &[
            "server.listen: 0.0.0.0:8080 can be reached from other hosts, and no token is configured",
            "Listen on 127.0.0.1:8080, or add",
            "[[server.token]]",
            "16 bytes or more",
        ],
    );
    refused("[server]\nlisten = \"[::]:0\"\n", &[], CONFIG, &["server.listen: [::]:0 can be reached from other hosts"]);
    refused(
        "[server]\ncontrol_listen = \"0.0.0.0:0\"\n",
        &[],
        CONFIG,
        &[
            "server.control_listen: 0.0.0.0:0 can be reached from other hosts, and no server.control_token is set",
            "control_token = ",
        ],
    );
    // A control token opens control, not the port for logs.
    refused(
        "[server]\nlisten = \"0.0.0.0:0\"\ncontrol_token = \"0123456789abcdef\"\n",
        &[],
        CONFIG,
        &["no token is configured"],
    );
    let shared = "[server]\ncontrol_token = \"0123456789abcdef\"\n[[server.token]]\nname = \"a\"\nsecret = \"0123456789abcdef\"\n";
    let program = refused(shared, &[], CONFIG, &["server.token[0].secret: is the same as server.control_token"]);
    assert!(!program.stderr_lines().join("\n").contains("0123456789abcdef"));
    refused(
        "[[server.token]]\nname = \"a\"\nsecret = \"short\"\n",
        &[],
        CONFIG,
        &["server.token[0].secret: must be 16 to 4096 bytes long, got 5"],
    );
    refused(
        "[[server.token]]\nname = \"a\"\nsecret_file = \"/nowhere/secret\"\n",
        &[],
        CONFIG,
        &["server.token[0].secret_file: cannot read /nowhere/secret: No such file or directory"],
    );
}

#[test]
fn a_store_that_cannot_be_had_is_named_with_the_setting_that_says_where_it_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("file");
    std::fs::write(&file, "in the way").expect("writing");
    let before = files(folder.path());
    for (path, says) in [
        (folder.path().to_owned(), "is a folder"),
        (file.join("deep/emberwatch.db"), "cannot create folder"),
        (Path::new("/proc/emberwatch.db").to_owned(), "cannot create its lock file"),
    ] {
        let said = path.display().to_string();
        refused(&format!("[store]\npath = {path:?}\n"), &[], UNAVAILABLE, &[&format!("store.path {said}: "), says]);
        assert_eq!(files(folder.path()), before);
    }
}

#[test]
fn a_store_held_by_another_process_is_left_alone_and_the_next_step_is_told() {
    let first = serving("");
    let path = first.home().join("emberwatch.db");
    let before = files(first.home());
    for wait in [0, 1] {
        refused(
            &format!("[store]\npath = {path:?}\nlock_wait_seconds = {wait}\n"),
            &[],
            UNAVAILABLE,
            &[
                &format!(
                    "store.path {}: held by another process for {wait} s (store.lock_wait_seconds)",
                    path.display()
                ),
                "stop that process, or give this one a store.path of its own",
            ],
        );
    }
    assert_eq!(files(first.home()), before);
    put(first.control_addr(), &counting("w", &json!({"contains": "x"})));
    assert_eq!(post_ingest(first.ingest_addr(), "{\"log\":\"x\"}\n").status, 204);
    assert_eq!(matched(first.control_addr(), "w"), 1, "the first one goes on");
}

#[test]
fn a_store_full_of_garbage_is_moved_aside_and_the_program_serves() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("emberwatch.db");
    let config = format!("[store]\npath = {path:?}\n");
    let garbage = |n: u8| vec![n; 50_000];
    for (n, aside) in [(1, "emberwatch.db.unsound"), (2, "emberwatch.db.unsound.1"), (3, "emberwatch.db.unsound.2")] {
        std::fs::write(&path, garbage(n)).expect("writing garbage");
        let mut program = serving(&config);
        program.wait_stderr(|line| line.contains("moved aside") && line.contains(aside));
        assert_eq!(std::fs::read(folder.path().join(aside)).expect("it is kept"), garbage(n));
        put(program.control_addr(), &counting("w", &json!({"contains": "x"})));
        assert_eq!(post_ingest(program.ingest_addr(), "{\"log\":\"x\"}\n").status, 204);
        program.kill9();
        program.restart();
        ready(&program);
        assert_eq!(matched(program.control_addr(), "w"), 1, "the new store keeps what it is given");
        // Killed, it would leave a log of the store that mends what is written over the file.
        program.terminate();
        assert!(program.wait_exit().success());
    }
}

#[test]
fn a_store_that_is_damaged_in_the_middle_or_cut_short_does_not_keep_the_program_from_serving() {
    for damage in [
        |bytes: &mut Vec<u8>| bytes.truncate(5000),
        |bytes: &mut Vec<u8>| bytes[4096..].fill(0xa5),
        |bytes: &mut Vec<u8>| bytes.clear(),
    ] {
        let mut program = serving("[store]\nsnapshot_seconds = 1\n");
        put(program.control_addr(), &counting("w", &json!({"contains": "x"})));
        assert_eq!(post_ingest(program.ingest_addr(), "{\"log\":\"x\"}\n").status, 204);
        program.terminate();
        assert!(program.wait_exit().success());
        let path = program.home().join("emberwatch.db");
        let mut bytes = std::fs::read(&path).expect("the store");
        damage(&mut bytes);
        std::fs::write(&path, bytes).expect("writing the store");
        program.restart();
        ready(&program);
        put(program.control_addr(), &counting("w", &json!({"contains": "x"})));
        assert_eq!(post_ingest(program.ingest_addr(), "{\"log\":\"x\"}\n").status, 204);
        assert!(matched(program.control_addr(), "w") >= 1);
    }
}
