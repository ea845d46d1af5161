//! The keys of each section, and what must hold between them.
//!
//! Always gives a whole [`Config`] and all faults beside it; the caller uses one or the other. A
//! check between two keys is made only where both were read well, so one mistake is one fault.

mod investigator;
mod mending;
mod redact;
mod server;
mod service_map;
mod services;
mod state;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Map, Number};
use toml::Table;

use self::service_map::service_map;
use super::defaults as d;
use super::reader::{FAILPOINT_VARIABLE, Reader, Section, Setting};
use super::text::{self, URL_FORM};
use super::{
    Config, Escalation, Ingest, Investigation, Log, LogFormat, Notify, Provider, Quarantine, Slack, Store, Time, Triage,
};
use crate::fault::{Fault, join, quoted};
use crate::investigate::source::git::PASSED;
use crate::notify::slack::SlackTarget;
use crate::record::naming::Naming;
use crate::watch::rule::Rule;
use crate::watch::rule::pattern::REGEXES_MAX;

pub(super) fn read(table: &Table, env: &BTreeMap<String, String>, cwd: &Path) -> (Config, Vec<Fault>) {
    let mut reader = Reader::new(env, cwd);
    let mut root = reader.root(table);
    let config = Config {
        server: server::read(root.section("server")),
        ingest: ingest(root.section("ingest")),
        quarantine: quarantine(root.section("quarantine")),
        record: record(root.section("record")),
        time: time(root.section("time")),
        store: store(&mut root.section("store")),
        state: state::read(root.section("store")),
        escalation: escalation(root.section("escalation")),
        slack: slack(root.section("slack")),
        notify: notify(root.section("notify")),
        redact: redact::read(root.section("redact")),
        // Before the rest of its section, which ends it.
        mending: mending::read(&mut root.section("investigation")),
        investigation: investigation(&mut root.section("investigation"), env),
        investigator: investigator::read(root.section("investigation")),
        triage: triage(root.section("triage")),
        log: log(root.section("log")),
        builtin_watches: root.flag("builtin_watches"),
        watches: watches(&mut root),
        services: services::read(&mut root),
        failpoint: env.get(FAILPOINT_VARIABLE).cloned(),
    };
    root.finish();
    (config, reader.into_faults())
}

fn ingest(mut section: Section<'_, '_>) -> Ingest {
    let expected = "the name of a header, as header_tag of the output gives it";
    let tag_header = section.text("tag_header", expected, text::header_name);
    let ingest = Ingest {
        tag_header: tag_header.good().unwrap_or_else(|| d::TAG_HEADER.into()),
        max_line_bytes: section.count("max_line_bytes", d::MAX_LINE_BYTES),
        max_lines: section.whole("max_lines", d::MAX_LINES),
        max_groups_per_batch: section.count("max_groups_per_batch", d::MAX_GROUPS_PER_BATCH),
    };
    section.finish();
    ingest
}

fn quarantine(mut section: Section<'_, '_>) -> Quarantine {
    let quarantine = Quarantine {
        max_samples: section.count("max_samples", d::QUARANTINE_SAMPLES),
        max_bytes: section.count("max_bytes", d::QUARANTINE_BYTES),
    };
    section.finish();
    quarantine
}

fn record(mut section: Section<'_, '_>) -> Naming {
    let path = |text: &str| {
        let sound = text.len() <= d::NAME_PATH_MAX_BYTES && text.split('.').all(|part| !part.is_empty());
        if sound { Ok(text.to_owned()) } else { Err(None) }
    };
    let name = |text: &str| if text.is_empty() { Err(None) } else { Ok(text.to_owned()) };
    let naming = Naming {
        service: section.texts("service", d::NAME_PATHS_MAX, NAME_PATH_FORM, path),
        cluster: section.texts("cluster", d::NAME_PATHS_MAX, NAME_PATH_FORM, path),
        own: if section.has("own") {
            section.texts("own", d::OWN_SERVICES_MAX, "the name of a service", name)
        } else {
            vec![d::OWN_SERVICE.to_owned()]
        },
        map: service_map(&mut section),
    };
    section.finish();
    naming
}

const NAME_PATH_FORM: &str = "a path such as kubernetes.labels.team";

fn time(mut section: Section<'_, '_>) -> Time {
    let time = Time { lateness_seconds: section.whole("lateness_seconds", d::LATENESS_SECONDS) };
    section.finish();
    time
}

/// The rest of the section is [`state::read`], which ends it.
fn store(section: &mut Section<'_, '_>) -> Store {
    let path = match section.text("path", "the path of a file, or \"\" for none", |text| Ok(PathBuf::from(text))) {
        Setting::Good(path) => (!path.as_os_str().is_empty()).then_some(path),
        Setting::Absent | Setting::Faulty => Some(d::STORE_PATH.into()),
    };
    Store {
        path,
        lock_wait_seconds: section.whole("lock_wait_seconds", d::LOCK_WAIT_SECONDS),
        queue_batches: section.count("queue_batches", d::QUEUE_BATCHES),
        max_windows: section.count("max_windows", d::MAX_WINDOWS),
        max_digests: section.count("max_digests", d::MAX_DIGESTS),
        repeat_seconds: section.whole("repeat_seconds", d::REPEAT_SECONDS),
        snapshot_seconds: section.whole("snapshot_seconds", d::SNAPSHOT_SECONDS),
        max_outbox_rows: section.count("max_outbox_rows", d::MAX_OUTBOX_ROWS),
    }
}

fn escalation(mut section: Section<'_, '_>) -> Escalation {
    let escalation = Escalation {
        dedup_seconds: section.whole("dedup_seconds", d::DEDUP_SECONDS),
        settle_seconds: section.whole("settle_seconds", d::SETTLE_SECONDS),
        repeat_seconds: section.whole("repeat_seconds", d::ESCALATION_REPEAT_SECONDS),
    };
    section.finish();
    escalation
}

fn slack(mut section: Section<'_, '_>) -> Option<Slack> {
    let webhook = section.secret("webhook_url", 1);
    let token = section.secret("bot_token", 1);
    let channel = section.text("channel", CHANNEL_FORM, |text| {
        if (1..=d::CHANNEL_MAX_CHARS).contains(&text.chars().count()) { Ok(text.to_owned()) } else { Err(None) }
    });
    let api_url = section.text("api_url", URL_FORM, text::base_url);
    // Not shown, whatever is wrong with it: the address is the credential.
    if let Setting::Good(url) = &webhook
        && let Err(hint) = text::url(url.expose())
    {
        let fault = Fault::new(section.key("webhook_url"), format!("must be {URL_FORM}"));
        section.reader.push(match hint {
            Some(hint) => fault.hint(hint),
            None => fault,
        });
    }

    match (webhook.is_given(), token.is_given()) {
        (true, true) => {
            let message = "webhook_url and bot_token are both given; keep one of them";
            section.reader.push(Fault::new(section.key("webhook_url"), message));
        }
        (true, false) => {
            for (name, is_given) in [("channel", channel.is_given()), ("api_url", api_url.is_given())] {
                if is_given {
                    let message = "goes with bot_token only; a webhook has a channel of its own";
                    section.reader.push(Fault::new(section.key(name), message));
                }
            }
        }
        (false, true) if !channel.is_given() => {
            section.reader.push(Fault::missing(section.key("channel"), CHANNEL_FORM));
        }
        (false, false) if section.is_in_file() || channel.is_given() || api_url.is_given() => {
            let message = "names neither webhook_url nor bot_token, one of which is needed";
            section.reader.push(Fault::new(section.path(), message));
        }
        _ => {}
    }
    section.finish();

    let target = match (webhook.good(), token.good(), channel.good()) {
        (Some(url), None, _) => SlackTarget::Webhook { url },
        (None, Some(token), Some(channel)) => {
            let api_url = api_url.good().unwrap_or_else(|| d::SLACK_API_URL.to_owned());
            SlackTarget::Bot { token, channel, api_url }
        }
        _ => return None,
    };
    Some(Slack { target })
}

const CHANNEL_FORM: &str = "a channel's name or id of 1 to 80 characters";

fn notify(mut section: Section<'_, '_>) -> Notify {
    let alerts_path =
        match section.text("alerts_path", "the path of a file, or \"\" for none", |text| Ok(PathBuf::from(text))) {
            Setting::Good(path) => (!path.as_os_str().is_empty()).then_some(path),
            Setting::Absent | Setting::Faulty => Some(d::ALERTS_PATH.into()),
        };
    let notify = Notify {
        alerts_path,
        alerts_max_bytes: section.whole("alerts_max_bytes", d::ALERTS_MAX_BYTES),
        messages_per_day: section.whole("messages_per_day", d::MESSAGES_PER_DAY),
        coalesce_after: section.count("coalesce_after", d::COALESCE_AFTER),
        first_day_seconds: section.whole("first_day_seconds", d::FIRST_DAY_SECONDS),
    };
    section.finish();
    notify
}

/// The rest of the section is [`investigator::read`], which ends it.
fn investigation(section: &mut Section<'_, '_>, env: &BTreeMap<String, String>) -> Investigation {
    let folder = match section.text("folder", "the path of a folder, or \"\" for none", |text| Ok(PathBuf::from(text)))
    {
        Setting::Good(path) => (!path.as_os_str().is_empty()).then_some(path),
        Setting::Absent | Setting::Faulty => Some(d::INVESTIGATION_FOLDER.into()),
    };
    Investigation {
        queue: section.count("queue", d::INVESTIGATION_QUEUE),
        folder,
        keep: section.count("keep", d::INVESTIGATION_KEEP),
        max_bytes: section.count("max_bytes", d::INVESTIGATION_MAX_BYTES),
        records: section.count("records", d::INVESTIGATION_RECORDS),
        record_bytes: section.count("record_bytes", d::INVESTIGATION_RECORD_BYTES),
        git: section.text("git", "the name or path of git", text::path).good().unwrap_or_else(|| d::GIT.into()),
        git_environment: PASSED.iter().filter_map(|name| Some(((*name).to_owned(), env.get(*name)?.clone()))).collect(),
        source_seconds: section.whole("source_seconds", d::SOURCE_SECONDS),
        fetch_seconds: section.whole("fetch_seconds", d::FETCH_SECONDS),
        mirror_bytes: section.whole("mirror_bytes", d::MIRROR_BYTES),
    }
}

fn triage(mut section: Section<'_, '_>) -> Triage {
    let provider = match section.word("provider", &d::TRIAGE_PROVIDERS).as_deref() {
        Some("ollama") => Provider::Ollama,
        Some("openai") => Provider::OpenAi,
        Some("builtin") => Provider::Builtin,
        Some("off") => Provider::Off,
        _ => Provider::Auto,
    };
    let url = section.text("url", URL_FORM, text::base_url);
    let model = section.text("model", "the name of a model", text::model);
    let api_key = section.secret("api_key", 1);
    if provider == Provider::OpenAi {
        for (name, is_given) in [("url", url.is_given()), ("model", model.is_given())] {
            if !is_given {
                let expected = if name == "url" {
                    "the base address of the server, as provider = \"openai\" has no usual one"
                } else {
                    "the name of a model, as provider = \"openai\" has no usual one"
                };
                let fault = Fault::missing(section.key(name), expected);
                section.reader.push(fault);
            }
        }
    }
    let triage = Triage {
        provider,
        url: url.good(),
        model: model.good(),
        api_key: api_key.good(),
        batch_lines: section.count("batch_lines", d::TRIAGE_BATCH_LINES),
        batch_seconds: section.whole("batch_seconds", d::TRIAGE_BATCH_SECONDS),
        queue_batches: section.count("queue_batches", d::TRIAGE_QUEUE_BATCHES),
        max_kinds: section.count("max_kinds", d::TRIAGE_MAX_KINDS),
        timeout_seconds: section.whole("timeout_seconds", d::TRIAGE_TIMEOUT_SECONDS),
        load_seconds: section.whole("load_seconds", d::TRIAGE_LOAD_SECONDS),
        patience_seconds: section.whole("patience_seconds", d::TRIAGE_PATIENCE_SECONDS),
        messages_per_hour: section.count("messages_per_hour", d::TRIAGE_MESSAGES_PER_HOUR),
        ignore_seconds: section.whole("ignore_seconds", d::TRIAGE_IGNORE_SECONDS),
        tune_minutes: section.whole("tune_minutes", d::TRIAGE_TUNE_MINUTES),
        seed: section.flag("seed").unwrap_or(true),
    };
    section.finish();
    triage
}

fn log(mut section: Section<'_, '_>) -> Log {
    let format = match section.word("format", &["text", "json"]).as_deref() {
        Some("json") => LogFormat::Json,
        _ => LogFormat::Text,
    };
    let level = section.word("level", &d::LOG_LEVELS).unwrap_or_else(|| d::LOG_LEVEL.to_owned());
    section.finish();
    Log { format, level }
}

fn watches(root: &mut Section<'_, '_>) -> Vec<Rule> {
    let mut rules = Vec::new();
    // By label as written, also of rules that have faults: one run should tell of both.
    let mut labels: BTreeMap<&str, String> = BTreeMap::new();
    for (path, value) in root.list("watch", d::WATCHES_MAX) {
        rules.extend(Rule::from_json(&to_json(value), &path, &mut root.reader.faults));
        if let Some(label) = value.get("label").and_then(toml::Value::as_str) {
            if let Some(first) = labels.get(label) {
                let message = format!("{} is already the label of {first}", quoted(label));
                root.reader.push(Fault::new(join(&path, "label"), message));
            } else {
                labels.insert(label, path);
            }
        }
    }
    let regexes: usize = rules.iter().map(Rule::regexes).sum();
    if regexes > REGEXES_MAX {
        root.reader.push(Fault::new("watch", format!("has {regexes} regexes in all; {REGEXES_MAX} is the most")));
    }
    rules
}

/// The same value as JSON, which is what rules are read from. What JSON lacks becomes its text: a
/// date, and the `nan` and `inf` that no bound lets through as numbers.
pub(super) fn to_json(value: &toml::Value) -> serde_json::Value {
    match value {
        toml::Value::String(text) => text.as_str().into(),
        toml::Value::Integer(number) => (*number).into(),
        toml::Value::Float(number) => Number::from_f64(*number).map_or_else(|| number.to_string().into(), Into::into),
        toml::Value::Boolean(flag) => (*flag).into(),
        toml::Value::Datetime(date) => date.to_string().into(),
        toml::Value::Array(items) => items.iter().map(to_json).collect::<Vec<_>>().into(),
        toml::Value::Table(table) => {
            table.iter().map(|(name, value)| (name.clone(), to_json(value))).collect::<Map<_, _>>().into()
        }
    }
}
