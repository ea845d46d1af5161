//! What is refused, and in which words.

use super::{LONG, World, faults_of};

/// A case of the file is some TOML, then the one fault it has, after `> `.
#[test]
fn each_bad_value_is_one_fault_that_names_key_value_and_bound() {
    for case in include_str!("bad_values.txt").split("\n\n") {
        let (toml, fault) = case.split_once("\n> ").unwrap();
        let world = World::new().file("control", LONG).toml(toml);
        assert_eq!(world.faults(), fault.trim_end(), "{toml}");
    }
}

#[test]
fn a_public_listener_without_a_token_is_refused_with_the_lines_to_add() {
    assert_eq!(
        faults_of("server.listen = \"0.0.0.0:9000\""),
        r#"server.listen: 0.0.0.0:9000 can be reached from other hosts, and no token is configured: anyone could send. Listen on 127.0.0.1:9000, or add
    [[server.token]]
    name = "fluent-bit"
    secret = "…"  # 16 bytes or more; or secret_file = "/run/secrets/…""#
    );
    assert_eq!(
        faults_of("server.control_listen = \"[::]:9001\""),
        r#"server.control_listen: [::]:9001 can be reached from other hosts, and no server.control_token is set: anyone could change watches. Listen on 127.0.0.1:9001, or add
    [server]
    control_token = "…"  # 16 bytes or more; or control_token_file = "/run/secrets/…""#
    );
}

#[test]
fn a_public_listener_with_a_token_needs_no_control_token() {
    let config = World::new()
        .toml("server.listen = \"0.0.0.0:9000\"\nserver.token = [{ name = \"a\", secret = \"0123456789abcdef\" }]")
        .config();
    assert!(config.server.control_listen.is_none());
}

#[test]
fn a_faulty_token_is_not_also_a_missing_one() {
    assert_eq!(
        faults_of("server.listen = \"0.0.0.0:9000\"\nserver.token = [{ name = \"a\", secret = \"short\" }]"),
        "server.token[0].secret: must be 16 to 4096 bytes long, got 5"
    );
    assert_eq!(
        faults_of("server.control_listen = \"0.0.0.0:9000\"\nserver.control_token = \"short\""),
        "server.control_token: must be 16 to 4096 bytes long, got 5"
    );
}

#[test]
fn all_faults_are_told_at_once_and_in_order() {
    let world = World::new()
        .toml(
            r#"
            colour = "red"
            [server]
            listen = "localhost:80"
            worker = 4
            control_token = "hunter2"
            [[server.token]]
            name = "fluent bit"
            secret = "hunter2"
            [store]
            path = 7
            snapshot_seconds = 0
            [slack]
            webhook_url = "hunter2"
            bot_token = "hunter2"
            [[watch]]
            label = "5xx"
            match = { field = "status", gtee = 500 }
            threshold = 0
            window_seconds = 60
            [[watch]]
            label = "5xx"
            match = { contains = "" }
            threshold = 5
            window_seconds = 60
            "#,
        )
        .env("EMBERWATCH_LOG_LEVEL", "loud")
        .env("EMBERWATCH_SERVER_LISTN", "127.0.0.1:80");
    assert_eq!(
        world.faults(),
        r#"server.listen: must be an IP address and port such as 127.0.0.1:8080, got "localhost:80"; did you mean "127.0.0.1:80"?
server.control_token: must be 16 to 4096 bytes long, got 7
server.token[0].name: must be 1 to 64 of letters, digits, _, . and -, got "fluent bit"
server.token[0].secret: must be 16 to 4096 bytes long, got 7
store.path: must be the path of a file, or "" for none, got 7
store.snapshot_seconds: must be a whole number from 1 to 3600, got 0
slack.webhook_url: must be an https:// URL, or http:// to a loopback address
slack.webhook_url: webhook_url and bot_token are both given; keep one of them
log.level: must be one of trace, debug, info, warn, error, got "loud" (from EMBERWATCH_LOG_LEVEL)
watch[0].match.gtee: unknown key; did you mean gte?
watch[0].threshold: must be a whole number from 1 to 1000000000000, got 0
watch[1].match.contains: must not be empty
watch[1].label: "5xx" is already the label of watch[0]
server.worker: unknown key; did you mean workers?
colour: unknown key; known here: builtin_watches, escalation, ingest, investigation, log, notify, quarantine, record, redact, server, service, slack, store, time, triage, watch
EMBERWATCH_SERVER_LISTN: unknown variable; did you mean EMBERWATCH_SERVER_LISTEN?"#
    );
}

#[test]
fn bad_variables_are_faults_that_name_the_variable() {
    let world = World::new()
        .env("EMBERWATCH_SERVER_WORKERS", "many")
        .env("EMBERWATCH_BUILTIN_WATCHES", "1")
        .env("EMBERWATCH_SLACK_BOT_TOKEN", "x")
        .env("EMBERWATCH_SLACK_BOT_TOKEN_FILE", "y")
        .env("EMBERWATCH_SERVER_TOKEN", LONG)
        .env("EMBERWATCH_", "");
    assert_eq!(
        world.faults(),
        r#"server.workers: must be a whole number from 1 to 256, got "many" (from EMBERWATCH_SERVER_WORKERS)
slack.bot_token: EMBERWATCH_SLACK_BOT_TOKEN and EMBERWATCH_SLACK_BOT_TOKEN_FILE are both given; keep one of them
slack.channel: is missing; it must be a channel's name or id of 1 to 80 characters
builtin_watches: must be true or false, got "1" (from EMBERWATCH_BUILTIN_WATCHES)
EMBERWATCH_: unknown variable
EMBERWATCH_SERVER_TOKEN: unknown variable; [[server.token]] can be set in the file or in EMBERWATCH_CONFIG_TOML"#
    );
}

/// In a namespace with a service called `emberwatch` every container has these.
#[test]
fn variables_that_kubernetes_sets_for_a_service_are_nobodys_mistake() {
    let mut world = World::new();
    for (name, value) in [
        ("EMBERWATCH_SERVICE_HOST", "10.0.0.1"),
        ("EMBERWATCH_SERVICE_PORT", "8080"),
        ("EMBERWATCH_SERVICE_PORT_HTTP_INGEST", "8080"),
        ("EMBERWATCH_PORT", "tcp://10.0.0.1:8080"),
        ("EMBERWATCH_PORT_8080_TCP", "tcp://10.0.0.1:8080"),
        ("EMBERWATCH_PORT_8080_TCP_ADDR", "10.0.0.1"),
        ("EMBERWATCH_CONTROL_SERVICE_HOST", "10.0.0.1"),
    ] {
        world = world.env(name, value);
    }
    assert!(world.load().is_ok());
    assert_eq!(World::new().env("EMBERWATCH_PORT", "8080").faults(), "EMBERWATCH_PORT: unknown variable");
}

#[test]
fn a_file_that_was_meant_and_cannot_be_read_is_a_fault() {
    assert_eq!(
        World::new().argument("absent.toml").faults(),
        "--config: cannot read CWD/absent.toml: No such file or directory (os error 2)"
    );
    assert_eq!(World::new().argument(".").faults(), "--config: cannot read CWD/.: Is a directory (os error 21)");
    assert_eq!(
        World::new().file("emberwatch.toml", b"a = \"\xff\"").faults(),
        "emberwatch.toml: CWD/emberwatch.toml is not UTF-8 text"
    );
    assert_eq!(
        World::new().toml(&"#".repeat(5 << 20)).faults(),
        "emberwatch.toml: CWD/emberwatch.toml is larger than 4194304 bytes"
    );
}

#[test]
fn a_syntax_error_names_line_and_column_and_shows_no_line() {
    for (toml, fault) in [
        ("[server\n", "1, column 8: unclosed table, expected `]`"),
        ("\n[server]\n  é = hunter2\n", "3, column 3: invalid unquoted key, expected letters, numbers, `-`, `_`"),
        ("[slack]\nbot_token = \"hunter2\n", "2, column 21: invalid basic string, expected `\"`"),
        ("[slack]\nbot_token = hunter2\n", "2, column 13: string values must be quoted, expected literal string"),
        ("[slack]\nbot_token = \"é\" hunter2\n", "2, column 17: unexpected key or value, expected newline, `#`"),
        ("[slack]\nbot_token: hunter2\n", "2, column 12: key with no value, expected `=`"),
        ("a = 1\na = 2\n", "2, column 1: duplicate key"),
    ] {
        assert_eq!(faults_of(toml), format!("emberwatch.toml: is not valid TOML at line {fault}"), "{toml}");
    }
}

#[test]
fn no_fault_repeats_a_secret() {
    for toml in [
        "server.control_token = \"hunter2\"",
        "server.control_token = [\"hunter2\"]",
        "server.control_token = { hunter2 = 1 }",
        "server.control_token = \"hunter2-hunter2-hunter2\\u0000\"",
        "server.control_token_fil = \"hunter2\"",
        "[[server.token]]\nname = \"a\"\nsecret = \"hunter2\"",
        "[[server.token]]\nsecret = \"hunter2-hunter2-hunter2\"",
        "[[server.token]]\nname = \"a\"\nsecrte = \"hunter2-hunter2-hunter2\"",
        "server.token = [\"hunter2\"]",
        "server.token = \"hunter2\"",
        "slack = \"hunter2\"",
        "slack.webhook_url = \"hunter2\"",
        "slack.webhook_url = \"http://a/hunter2\"",
        "slack.bot_token = \"hunter2\"",
        "slack.bot_token = \"hunter2",
        "slack.bot_token = hunter2",
        "slack.bot_token = \"\\hunter2\"",
        "slack.bot_token hunter2",
    ] {
        let faults = faults_of(toml);
        assert!(!faults.contains("hunter2"), "{toml}\n{faults}");
    }
    for variable in ["EMBERWATCH_SERVER_CONTROL_TOKEN", "EMBERWATCH_SLACK_WEBHOOK_URL", "EMBERWATCH_SLACK_TOKEN"] {
        let faults = World::new().env(variable, "hunter2").faults();
        assert!(!faults.contains("hunter2"), "{variable}\n{faults}");
    }
}
