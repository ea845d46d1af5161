//! What is accepted, from which source, and what it means. What is refused is next door.

mod faults;
mod investigator;
mod state;

use std::fs;

use super::*;
use crate::record::naming::{Mapping, Names, Source};
use crate::redact::policy::Custom;
use crate::watch::rule::{Expr, Literal, Op};

const LONG: &str = "0123456789abcdef";

/// A working directory of its own, an environment of its own, nothing of the process's.
struct World {
    folder: tempfile::TempDir,
    sources: Sources,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let sources = Sources { cwd: folder.path().to_owned(), ..Sources::default() };
        Self { folder, sources }
    }

    fn file(self, name: &str, text: impl AsRef<[u8]>) -> Self {
        fs::write(self.folder.path().join(name), text).unwrap();
        self
    }

    fn toml(self, text: &str) -> Self {
        self.file("emberwatch.toml", text)
    }

    fn env(mut self, name: &str, value: &str) -> Self {
        self.sources.env.insert(name.to_owned(), value.to_owned());
        self
    }

    fn argument(mut self, path: &str) -> Self {
        self.sources.file = Some(path.into());
        self
    }

    fn load(&self) -> Result<(Config, Origin), Faults> {
        load(&self.sources)
    }

    fn config(&self) -> Config {
        self.load().unwrap_or_else(|faults| panic!("{faults}")).0
    }

    /// What a person would read, with the folder's random name taken out.
    fn faults(&self) -> String {
        let faults = self.load().err().expect("this configuration has faults");
        faults.to_string().replace(&self.folder.path().display().to_string(), "CWD")
    }
}

fn faults_of(toml: &str) -> String {
    World::new().toml(toml).faults()
}

#[test]
fn without_any_source_the_defaults_hold() {
    let (config, origin) = World::new().load().unwrap_or_else(|faults| panic!("{faults}"));
    assert_eq!((origin.to_string().as_str(), origin), ("defaults", Origin::Defaults));
    let server = &config.server;
    assert_eq!(server.listen.to_string(), defaults::LISTEN);
    assert!(server.control_listen.is_none() && server.control_token.is_none() && server.tokens.is_empty());
    assert!((1..=256).contains(&server.workers));
    assert_eq!((server.max_connections, server.max_requests), (16_384, 256));
    assert_eq!((server.admission_wait_seconds, server.request_seconds, server.drain_seconds), (15, 30, 10));
    assert_eq!((server.max_encoded_bytes, server.max_decoded_bytes), (64 << 20, 256 << 20));
    assert_eq!((server.max_bytes_in_flight, server.min_body_rate), (256 << 20, 1024));
    assert_eq!((server.header_seconds, server.idle_seconds), (10, 90));
    assert_eq!((server.auth_header.as_str(), server.retired_grace_seconds), ("Authorization", 86_400));
    assert!(server.trusted_proxies.is_empty() && server.tls.is_none());
    assert_eq!(
        config.ingest,
        Ingest {
            max_line_bytes: 1 << 20,
            max_lines: 1 << 24,
            max_groups_per_batch: 10_000,
            tag_header: "X-Tag".into()
        }
    );
    assert_eq!(config.quarantine, Quarantine { max_samples: 200, max_bytes: 4096 });
    assert_eq!(config.time, Time { lateness_seconds: 900 });
    assert_eq!(config.record, Naming { own: vec!["emberwatch".into()], ..Naming::default() });
    assert_eq!(
        config.store,
        Store {
            path: Some("emberwatch.db".into()),
            lock_wait_seconds: 120,
            queue_batches: 1024,
            max_windows: 100_000,
            max_digests: 1_000_000,
            repeat_seconds: 7200,
            snapshot_seconds: 10,
            max_outbox_rows: 10_000,
        }
    );
    assert_eq!(config.escalation, Escalation { dedup_seconds: 3600, settle_seconds: 2, repeat_seconds: 14_400 });
    assert!(config.slack.is_none());
    let (messages_per_day, coalesce_after) = (300, 20);
    let alerts_path = Some("alerts.jsonl".into());
    let notify =
        Notify { alerts_path, alerts_max_bytes: 16 << 20, messages_per_day, coalesce_after, first_day_seconds: 600 };
    assert_eq!(config.notify, notify);
    assert_eq!(config.redact, Policy::default());
    assert_eq!(config.log, Log { format: LogFormat::Text, level: "info".to_owned() });
    assert_eq!((config.builtin_watches, config.watches.len(), config.failpoint), (None, 0, None));
}

#[test]
fn an_empty_file_is_valid_and_means_the_defaults() {
    let (config, origin) = World::new().toml("").load().unwrap_or_else(|faults| panic!("{faults}"));
    assert_eq!(origin, Origin::File("emberwatch.toml".into()));
    assert_eq!(config.store, Config::default().store);
}

#[test]
fn a_watch_and_an_address_are_a_whole_configuration() {
    let config = World::new()
        .toml(
            r#"
            [server]
            listen = "[::1]:9000"

            [[watch]]
            label = "http_5xx"
            match = { field = "status", gte = 500 }
            threshold = 10
            window_seconds = 60
            "#,
        )
        .config();
    assert_eq!(config.server.listen.to_string(), "[::1]:9000");
    let [rule] = config.watches.as_slice() else { panic!("one watch") };
    assert_eq!(rule.expr, Expr::Test { field: "status".to_owned(), op: Op::Gte(Literal::Number(500.0)) });
}

#[test]
fn everything_can_be_set() {
    let config = World::new()
        .file("control", format!("{LONG}-control\r\n"))
        .file("token", format!("{LONG}-b\n"))
        .toml(
            r#"
            builtin_watches = true

            [server]
            listen = "0.0.0.0:80"
            control_listen = "10.0.0.1:81"
            workers = 3
            control_token_file = "control"
            max_connections = 10
            max_requests = 11
            admission_wait_seconds = 0
            request_seconds = 13
            max_encoded_bytes = 2_000_000
            max_decoded_bytes = 2_000_000
            drain_seconds = 0

            [[server.token]]
            name = "Fluent-Bit.1_a"
            secret = "0123456789abcdef"

            [[server.token]]
            name = "b"
            secret_file = "token"

            [ingest]
            max_line_bytes = 1024
            max_groups_per_batch = 100
            tag_header = "X-Fluent-Tag"

            [quarantine]
            max_samples = 0
            max_bytes = 400
            [record]
            service = ["kubernetes.labels.team", "body.team"]
            cluster = ["kubernetes.labels.cluster"]
            own = []
            [[record.service_map]]
            field = "container_name"
            from = "billing-*"
            service = "billing"
            [[record.service_map]]
            from = "legacy-api"
            service = "orders"
            cluster = "eu"

            [time]
            lateness_seconds = 60

            [store]
            path = "/var/lib/emberwatch/db"
            lock_wait_seconds = 0
            queue_batches = 21
            max_windows = 122
            max_digests = 1230
            repeat_seconds = 60
            snapshot_seconds = 1
            max_outbox_rows = 26

            [escalation]
            dedup_seconds = 31
            settle_seconds = 0
            repeat_seconds = 600

            [slack]
            bot_token = "xoxb-1"
            channel = "alerts"
            api_url = "http://127.0.0.1:99/api/"

            [notify]
            alerts_path = ""
            alerts_max_bytes = 4096
            messages_per_day = 7
            coalesce_after = 3
            first_day_seconds = 0

            [redact]
            emails = false
            cards = false
            ips = true
            patterns = [{ name = "customer", regex = "CUST-[0-9]+" }]
            fields = ["iban", "customer.name"]

            [log]
            format = "json"
            level = "debug"

            [[watch]]
            label = "a"
            match.any = [{ contains = "x" }, { field = "level", gte = "error" }]
            threshold = "10"
            window_seconds = 60
            group_by = []

            [[watch]]
            label = "b"
            threshold = 1
            window_seconds = 1
            [watch.match]
            not.field = "host"
            not.exists = true
            "#,
        )
        .config();
    let server = config.server;
    assert_eq!(server.listen.to_string(), "0.0.0.0:80");
    assert_eq!(server.control_listen.unwrap().to_string(), "10.0.0.1:81");
    assert_eq!(server.control_token.unwrap().expose(), format!("{LONG}-control"));
    let tokens: Vec<_> = server.tokens.iter().map(|token| (token.name.as_str(), token.secret.expose())).collect();
    assert_eq!(tokens, [("Fluent-Bit.1_a", LONG), ("b", "0123456789abcdef-b")]);
    assert_eq!((server.workers, server.max_connections, server.max_requests), (3, 10, 11));
    assert_eq!((server.admission_wait_seconds, server.request_seconds, server.drain_seconds), (0, 13, 0));
    assert_eq!((server.max_encoded_bytes, server.max_decoded_bytes), (2_000_000, 2_000_000));
    assert_eq!(
        config.ingest,
        Ingest {
            max_line_bytes: 1024,
            max_lines: 1 << 24,
            max_groups_per_batch: 100,
            tag_header: "X-Fluent-Tag".into()
        }
    );
    assert_eq!(config.quarantine, Quarantine { max_samples: 0, max_bytes: 400 });
    let named = Naming {
        service: vec!["kubernetes.labels.team".into(), "body.team".into()],
        cluster: vec!["kubernetes.labels.cluster".into()],
        own: Vec::new(),
        map: vec![
            Mapping {
                field: Source::Path("container_name".into()),
                from: Names::StartingWith("billing-".into()),
                service: "billing".into(),
                cluster: None,
            },
            Mapping {
                field: Source::Service,
                from: Names::Exactly("legacy-api".into()),
                service: "orders".into(),
                cluster: Some("eu".into()),
            },
        ],
    };
    assert_eq!(config.record, named);
    assert_eq!(config.time, Time { lateness_seconds: 60 });
    assert_eq!(
        config.store,
        Store {
            path: Some("/var/lib/emberwatch/db".into()),
            lock_wait_seconds: 0,
            queue_batches: 21,
            max_windows: 122,
            max_digests: 1230,
            repeat_seconds: 60,
            snapshot_seconds: 1,
            max_outbox_rows: 26,
        }
    );
    assert_eq!(config.escalation, Escalation { dedup_seconds: 31, settle_seconds: 0, repeat_seconds: 600 });
    let Some(Slack { target: SlackTarget::Bot { token, channel, api_url } }) = config.slack else { panic!("a bot") };
    assert_eq!((token.expose(), channel.as_str(), api_url.as_str()), ("xoxb-1", "alerts", "http://127.0.0.1:99/api"));
    let notify = Notify {
        alerts_path: None,
        alerts_max_bytes: 4096,
        messages_per_day: 7,
        coalesce_after: 3,
        first_day_seconds: 0,
    };
    assert_eq!(config.notify, notify);
    let redact = Policy {
        emails: false,
        cards: false,
        ips: true,
        patterns: vec![Custom::new("customer", "CUST-[0-9]+").unwrap()],
        fields: vec!["iban".into(), "customer.name".into()],
    };
    assert_eq!(config.redact, redact);
    assert_eq!(config.log, Log { format: LogFormat::Json, level: "debug".to_owned() });
    assert_eq!(config.builtin_watches, Some(true));
    assert_eq!(config.watches.iter().map(|rule| rule.label.as_str()).collect::<Vec<_>>(), ["a", "b"]);
}

#[test]
fn the_environment_wins_over_the_file_key_by_key() {
    let world = World::new()
        .toml(
            r#"
            builtin_watches = false
            [server]
            listen = "not an address, and not looked at"
            workers = 2
            max_requests = 7
            [slack]
            bot_token_file = "absent, and not looked at"
            channel = "alerts"
            "#,
        )
        .env("EMBERWATCH_SERVER_LISTEN", "127.0.0.1:9")
        .env("EMBERWATCH_SERVER_WORKERS", "5")
        .env("EMBERWATCH_SERVER_MAX_CONNECTIONS", "1_000")
        .env("EMBERWATCH_STORE_PATH", "/data/db")
        .env("EMBERWATCH_NOTIFY_ALERTS_PATH", "")
        .env("EMBERWATCH_LOG_FORMAT", "json")
        .env("EMBERWATCH_BUILTIN_WATCHES", "true")
        .env("EMBERWATCH_SLACK_BOT_TOKEN", "xoxb-1")
        .env("EMBERWATCH_FAILPOINT", "after_sync")
        .env("PATH", "/bin");
    let config = world.config();
    assert_eq!(config.server.listen.to_string(), "127.0.0.1:9");
    assert_eq!((config.server.workers, config.server.max_requests, config.server.max_connections), (5, 7, 1000));
    assert_eq!((config.store.path, config.notify.alerts_path), (Some("/data/db".into()), None));
    assert_eq!((config.log.format, config.builtin_watches), (LogFormat::Json, Some(true)));
    assert_eq!(config.failpoint.as_deref(), Some("after_sync"));
    let Some(Slack { target: SlackTarget::Bot { token, channel, api_url } }) = config.slack else { panic!("a bot") };
    assert_eq!((token.expose(), channel.as_str(), api_url.as_str()), ("xoxb-1", "alerts", "https://slack.com/api"));
}

#[test]
fn the_file_named_on_the_command_line_is_read_instead_of_the_usual_one() {
    let world = World::new().toml("server.workers = 1").file("other.toml", "server.workers = 2").argument("other.toml");
    let (config, origin) = world.load().unwrap_or_else(|faults| panic!("{faults}"));
    assert_eq!((config.server.workers, origin), (2, Origin::File("other.toml".into())));
}

#[test]
fn a_whole_file_can_stand_in_a_variable() {
    let world = World::new().toml("nonsense").env("EMBERWATCH_CONFIG_TOML", "server.workers = 3");
    let (config, origin) = world.load().unwrap_or_else(|faults| panic!("{faults}"));
    assert_eq!((config.server.workers, origin), (3, Origin::Environment));
    assert_eq!(
        world.argument("other.toml").faults(),
        "EMBERWATCH_CONFIG_TOML: --config and this variable both give the configuration; keep one of them"
    );
}

#[test]
fn a_byte_order_mark_and_windows_line_ends_are_no_fault() {
    let config = World::new().toml("\u{feff}[server]\r\nworkers = 3\r\n").config();
    assert_eq!(config.server.workers, 3);
}

#[test]
fn secrets_come_from_files_without_their_final_newline() {
    for (text, secret) in [
        ("0123456789abcdef", "0123456789abcdef"),
        ("0123456789abcdef\n", "0123456789abcdef"),
        ("0123456789abcdef\r\n", "0123456789abcdef"),
        (" 0123456789abcdef \n", " 0123456789abcdef "),
    ] {
        let config = World::new().file("token", text).env("EMBERWATCH_SERVER_CONTROL_TOKEN_FILE", "token").config();
        assert_eq!(config.server.control_token.unwrap().expose(), secret);
    }
    let webhook = World::new().file("hook", "https://a/b\n").toml("slack.webhook_url_file = \"hook\"").config();
    let Some(Slack { target: SlackTarget::Webhook { url } }) = webhook.slack else { panic!("a webhook") };
    assert_eq!(url.expose(), "https://a/b");

    let at = "server.control_token_file:";
    for (text, fault) in [
        (&b"\n"[..], format!("{at} is empty; give a value or leave it out")),
        (b"0123456789abcdef\n\n", format!("{at} holds a control character, which no header can carry")),
        (b"\xff123456789abcdef", format!("{at} CWD/token is not UTF-8 text")),
        (&[b'x'; 5000], format!("{at} CWD/token is larger than 4098 bytes")),
    ] {
        let world = World::new().file("token", text).env("EMBERWATCH_SERVER_CONTROL_TOKEN_FILE", "token");
        assert_eq!(world.faults(), fault);
    }
}
