//! What a user can set, checked: plain data, and the one door through which it enters.
//!
//! [`load`] reads the file and the environment it is handed and returns either a [`Config`] in
//! which every value is within its bounds, or every fault there is, each with its key. Nothing
//! else in the program reads files for settings or looks at the environment. Every number a queue,
//! map or wait is bounded by stands in [`defaults`], with its reason. The text of a secret is in no fault.
//!
//! Precedence, key by key: `EMBERWATCH_SECTION_KEY`, then the file, then the default. The file is
//! `--config`, or `EMBERWATCH_CONFIG_TOML` (its text), or `./emberwatch.toml` if that exists.

pub mod aws;
pub mod defaults;
pub mod foreign;
mod reader;
pub mod rules;
mod sections;
mod source;
mod text;
pub mod tls;

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use crate::fault::Faults;
use crate::investigate::model::price::Prices;
use crate::investigate::patch::Isolated;
use crate::investigate::{budget, model};
use crate::notify::slack::SlackTarget;
use crate::record::naming::Naming;
use crate::redact::policy::Policy;
use crate::registry::Descriptor;
use crate::secret::Secret;
use crate::state::Target;
use crate::watch::rule::Rule;

/// The settings in force. No `Debug`: it holds secrets.
#[derive(Clone)]
pub struct Config {
    pub server: Server,
    pub ingest: Ingest,
    pub quarantine: Quarantine,
    /// What names a service and a cluster, and which services are our own.
    pub record: Naming,
    pub time: Time,
    pub store: Store,
    /// `None`: what is small is kept nowhere but in the store.
    pub state: Option<State>,
    pub escalation: Escalation,
    /// `None`: escalations are told on stdout and in the alerts file only.
    pub slack: Option<Slack>,
    pub notify: Notify,
    /// What is hidden of log text beyond secrets.
    pub redact: Policy,
    pub investigation: Investigation,
    /// Of `[investigation]`: how a mend is tried and proposed.
    pub mending: Mending,
    /// Of `[investigation]`: who is asked what is behind an escalation.
    pub investigator: Investigator,
    pub triage: Triage,
    pub log: Log,
    /// `None`: the built-in watches run while no `[[watch]]` is configured.
    pub builtin_watches: Option<bool>,
    /// In the order of the file; labels are unique.
    pub watches: Vec<Rule>,
    /// Names are unique within a cluster.
    pub services: Vec<Descriptor>,
    /// For crash tests: where the process shall die. Only from the environment.
    pub failpoint: Option<String>,
}

#[derive(Clone)]
pub struct Server {
    /// Where Fluent Bit sends. Never public without a token.
    pub listen: SocketAddr,
    /// Where people and Prometheus look. `None`: `listen` serves both if it is loopback, else control is not served.
    pub control_listen: Option<SocketAddr>,
    pub workers: usize,
    /// What people reach control under, without a slash at its end: what messages link to. `None`: nothing is linked.
    pub public_url: Option<String>,
    /// `None`: control is open, and therefore on loopback only.
    pub control_token: Option<Secret>,
    /// Who may send; empty: anyone who can connect. Names and secrets are unique.
    pub tokens: Vec<Token>,
    /// As written.
    pub auth_header: String,
    pub retired_grace_seconds: u64,
    /// Whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// `None`: plain HTTP.
    pub tls: Option<tls::Files>,
    pub max_connections: usize,
    /// Longer ingest bodies that are read at once; further ones wait unread.
    pub max_requests: usize,
    pub max_bytes_in_flight: u64,
    pub admission_wait_seconds: u64,
    pub header_seconds: u64,
    pub idle_seconds: u64,
    /// Bytes a second.
    pub min_body_rate: u64,
    pub request_seconds: u64,
    pub max_encoded_bytes: u64,
    /// Never below `max_encoded_bytes`.
    pub max_decoded_bytes: u64,
    pub drain_seconds: u64,
}

/// One sender's credentials: user and password of Basic auth, or the secret alone as Bearer.
#[derive(Clone)]
pub struct Token {
    pub name: String,
    pub secret: Secret,
    /// `None`: in use.
    pub retired: Option<Retired>,
}

/// Since when a token is no longer to be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retired {
    /// Since the program started.
    AtStart,
    /// Unix milliseconds.
    At(i64),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ingest {
    pub max_line_bytes: usize,
    /// Of one body.
    pub max_lines: u64,
    pub max_groups_per_batch: usize,
    /// The header that `header_tag` of the output names.
    pub tag_header: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quarantine {
    /// 0: nothing is kept.
    pub max_samples: usize,
    /// Of each.
    pub max_bytes: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Time {
    /// A record older than that takes the late lane.
    pub lateness_seconds: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Store {
    /// As written; relative to the working directory. `None`: nothing survives the process.
    pub path: Option<PathBuf>,
    pub lock_wait_seconds: u64,
    pub queue_batches: usize,
    pub max_windows: usize,
    pub max_digests: usize,
    pub repeat_seconds: u64,
    pub snapshot_seconds: u64,
    pub max_outbox_rows: usize,
}

/// Of `[store]`: where the small state is kept, too. No `Debug`: it may hold keys.
#[derive(Clone)]
pub struct State {
    pub target: Target,
    /// The least time between two writes.
    pub every: Duration,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Escalation {
    pub dedup_seconds: u64,
    pub settle_seconds: u64,
    pub repeat_seconds: u64,
}

#[derive(Clone)]
pub struct Slack {
    pub target: SlackTarget,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notify {
    /// As written; relative to the working directory. `None`: no such file is kept.
    pub alerts_path: Option<PathBuf>,
    pub alerts_max_bytes: u64,
    /// To one channel that people read.
    pub messages_per_day: u64,
    /// Messages that wait for one such channel; more are told in one.
    pub coalesce_after: usize,
    /// How long after the first start people are told what is seen; 0: never.
    pub first_day_seconds: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Investigation {
    /// Escalations that may wait for their dossier.
    pub queue: usize,
    /// As written; relative to the working directory. `None`: dossiers are held in memory only.
    pub folder: Option<PathBuf>,
    /// Dossiers kept.
    pub keep: usize,
    /// Of one dossier.
    pub max_bytes: usize,
    /// Records held of each service; 0: none.
    pub records: usize,
    /// Held of each.
    pub record_bytes: usize,
    /// The program, by its name or path.
    pub git: PathBuf,
    /// What it may have of our own environment.
    pub git_environment: Vec<(String, String)>,
    /// For all that one dossier asks of a repository.
    pub source_seconds: u64,
    /// For one fetch.
    pub fetch_seconds: u64,
    /// Of one repository's copy.
    pub mirror_bytes: u64,
}

/// How a mend is tried, and where it is proposed. No `Debug`: it holds a token.
#[derive(Clone)]
pub struct Mending {
    /// For one run of a service's test.
    pub test_seconds: u64,
    /// On the disk, of one run.
    pub test_bytes: u64,
    /// Of one of its processes.
    pub test_memory_bytes: u64,
    pub test_isolation: Isolated,
    /// Patterns of paths that no mend may touch, beside the built-in ones.
    pub deny: Vec<String>,
    /// Of the REST API, without a slash at its end. `None`: github.com's.
    pub github_url: Option<String>,
    /// `None`: branches are pushed, and no pull request is opened.
    pub github_token: Option<Secret>,
}

/// Which model is asked about dossiers, how far it may go, and what all of it may cost. No `Debug`: it may hold a key.
#[derive(Clone)]
pub struct Investigator {
    /// `None`: nobody is asked.
    pub target: Option<model::Target>,
    /// Of one investigation.
    pub bounds: model::Bounds,
    /// What the operator says of prices. `None`: what is known of the model.
    pub prices: Option<Prices>,
    /// Of all investigations.
    pub budget: budget::Limits,
}

/// Who judges what is new, and within which bounds. No `Debug`: it holds a secret.
#[derive(Clone)]
pub struct Triage {
    pub provider: Provider,
    /// `None`: the provider's usual address.
    pub url: Option<String>,
    /// `None`: the provider's usual model.
    pub model: Option<String>,
    pub api_key: Option<Secret>,
    pub batch_lines: usize,
    pub batch_seconds: u64,
    pub queue_batches: usize,
    pub max_kinds: usize,
    pub timeout_seconds: u64,
    pub load_seconds: u64,
    pub patience_seconds: u64,
    pub messages_per_hour: usize,
    pub ignore_seconds: u64,
    /// 0: never.
    pub tune_minutes: u64,
    /// Whether watches are proposed from a sample while there are few.
    pub seed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provider {
    /// Ollama at its usual address if it answers, else the built-in triager.
    Auto,
    Ollama,
    OpenAi,
    Builtin,
    /// Nothing is triaged.
    Off,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    pub format: LogFormat,
    /// One of trace, debug, info, warn, error.
    pub level: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}

/// Everything outside the program that settings may come from.
#[derive(Clone, Default)]
pub struct Sources {
    /// `--config`.
    pub file: Option<PathBuf>,
    /// The whole environment; only names that begin with `EMBERWATCH_` are looked at.
    pub env: BTreeMap<String, String>,
    /// What relative paths of files to read are relative to; the process's own working directory.
    pub cwd: PathBuf,
}

/// Where the settings came from, for the first log line and `/status`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    Defaults,
    File(PathBuf),
    /// `EMBERWATCH_CONFIG_TOML`.
    Environment,
}

/// Reads and checks all settings. On faults nothing is returned but them: a program that starts
/// with half of what it was told does something nobody asked for.
pub fn load(sources: &Sources) -> Result<(Config, Origin), Faults> {
    let (table, origin) = source::table(sources)?;
    let (config, faults) = sections::read(&table, &sources.env, &sources.cwd);
    if faults.is_empty() { Ok((config, origin)) } else { Err(Faults(faults)) }
}

impl Default for Config {
    /// What an empty file means.
    fn default() -> Self {
        sections::read(&toml::Table::new(), &BTreeMap::new(), &PathBuf::new()).0
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Defaults => f.write_str("defaults"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Environment => f.write_str(source::CONFIG_TEXT_VARIABLE),
        }
    }
}

#[cfg(test)]
mod tests;
