//! The program: arguments, logging, exit code. What it does is in the library.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::{Parser, Subcommand};
use emberwatch::app::{self, Failure};
use emberwatch::config::{self, Config, LogFormat, Origin, Sources, defaults, foreign};
use emberwatch::demo::{self, screen::Screen, screen::is_plain};
use emberwatch::fault::Faults;
use emberwatch::fluent_bit::{self, Receiver};
use emberwatch::notify::slack::SlackTarget;
use emberwatch::notify::slack::rehearsal::{Ended, Step, rehearse};
use emberwatch::ping;
use emberwatch::replay;

/// Exit codes, after sysexits(3). What was found in the logs never changes them.
const EXIT_FAILED: u8 = 1;
const EXIT_NO_INPUT: u8 = 66;
const EXIT_UNAVAILABLE: u8 = 69;
const EXIT_SOFTWARE: u8 = 70;
const EXIT_CONFIG: u8 = 78;

/// Watches every line that Fluent Bit ships, counts what matters exactly once, and tells a person only what
/// is confirmed.
///
/// Without arguments it serves on 127.0.0.1:8080 with built-in watches. Point a Fluent Bit at it with
///   [OUTPUT]  Name http  Match *  Host 127.0.0.1  Port 8080  URI /ingest  Format json_lines
/// and read escalations on the terminal, or in Slack once `[slack]` is configured.
#[derive(Parser)]
#[command(version, verbatim_doc_comment, after_help = EXITS)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// Configuration (TOML). Without it: ./emberwatch.toml if it is there, else defaults. Every key can also be set as EMBERWATCH_SECTION_KEY.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
}

const EXITS: &str = "Exit codes: 0 stopped as asked; 1 ping found nobody ready, check --fluent-bit found something that loses, doubles or\n\
    hurts, or a demo did not count what it had sent; 2 wrong arguments; 66 nothing that replay was to read can be read;\n\
    69 a port or the store cannot be had; 70 a part of the program died; 78 a configuration\n\
    has faults (all are printed) or cannot be read.";

#[derive(Subcommand)]
enum Command {
    /// Receive, watch and tell (the default).
    Serve,
    /// Read the configuration, print every fault in it, and exit.
    Check {
        /// Read a Fluent Bit configuration instead and say what in it loses, doubles or slows lines, or hurts other
        /// outputs, and how to mend it: classic, YAML, a Kubernetes ConfigMap, Helm values, or an ECS task definition. `-`: stdin.
        #[arg(long, value_name = "FILE")]
        fluent_bit: Option<PathBuf>,
    },
    /// Show what it does, on made-up traffic, in half a minute.
    ///
    /// Starts the real receiver in this process on a port of its own, sends it what
    /// a small fleet would log, takes the fleet's database away and deploys
    /// something bad. The terminal shows lines a second, watches that fill, what
    /// triage says of kinds of lines it has not seen, and each message as Slack
    /// would show it.
    ///
    /// Reaches nothing but 127.0.0.1, asks no model, writes no file, reads no
    /// configuration, ends by itself. In a pipe, or with NO_COLOR set, it prints
    /// plain lines.
    #[command(verbatim_doc_comment)]
    Demo {
        /// The same number sends the same lines.
        #[arg(long, value_name = "N", default_value_t = 1)]
        seed: u64,
        /// Go on listening after the end, to look around with curl; Ctrl-C ends it.
        #[arg(long)]
        stay: bool,
        /// Plain lines on a terminal, too.
        #[arg(long)]
        plain: bool,
    },
    /// What concerns Slack: `slack test` sends a test message by the configuration's [slack].
    Slack {
        #[command(subcommand)]
        command: SlackCommand,
    },
    /// Ask a running receiver on this machine whether it is ready: for container health checks.
    Ping {
        /// Where it listens; by default what the configuration says.
        #[arg(long, value_name = "IP:PORT")]
        address: Option<SocketAddr>,
    },
    Replay(Replay),
}

#[derive(Subcommand)]
enum SlackCommand {
    /// Send a message that says it is a test, and tell what Slack made of it.
    ///
    /// By bot token: a message, a reply in its thread, an update of the message. By
    /// webhook: one message.
    ///
    /// Exit codes: 0 all arrived; 1 Slack refuses, with what to do about it; 69 no
    /// answer, a fault at Slack or a pause that it asks for: try again later; 78 no
    /// [slack] in the configuration, or faults in it.
    #[command(verbatim_doc_comment)]
    Test,
}

/// Say what would have been sent about logs that are there already.
///
/// Reads files, folders or stdin (-) as if their lines came in now, on the clock of the lines: the same rules, windows,
/// escalations and built-in triage as `serve`. Lines may be NDJSON, what Fluent Bit and FireLens send, docker's json
/// files or plain text (nginx, Python, Java, syslog, …), plain or packed with gzip or zstd. Several files are merged by
/// time. Nothing is stored or sent: the report goes to stdout, progress to stderr; Ctrl-C reports what was read so far.
#[derive(clap::Args)]
#[command(after_help = REPLAY_EXAMPLES)]
struct Replay {
    /// Files, folders (read with all below them), or - for stdin.
    #[arg(required = true, value_name = "FILE|DIR|-")]
    inputs: Vec<PathBuf>,
    /// Try these rules: [[watch]] tables as in the configuration, or JSON as the API has it. They stand beside those of
    /// --config, and replace those of the same label.
    #[arg(long, value_name = "FILE")]
    rules: Option<PathBuf>,
    /// Run the built-in rules, too. They run by themselves while there are no others.
    #[arg(long)]
    builtin: bool,
    /// Leave out lines before this time (UTC unless it says): 2025-10-01, 2025-10-01T08:00:00Z.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<i64>,
    /// Leave out lines after it.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<i64>,
    /// The service that lines are of which name none; by default their file's name.
    #[arg(long, value_name = "NAME")]
    service: Option<String>,
    /// The report as one JSON object.
    #[arg(long)]
    json: bool,
    /// Messages shown in full.
    #[arg(long, value_name = "N", default_value_t = replay::report::text::MESSAGES)]
    messages: usize,
    /// No progress.
    #[arg(long, short)]
    quiet: bool,
}

const REPLAY_EXAMPLES: &str = "Examples:\n  \
    emberwatch replay /var/log/nginx/                      a folder, rotated and packed files included\n  \
    docker logs web 2>&1 | emberwatch replay --service web -\n  \
    emberwatch replay --rules rules.toml app.log.gz        would these rules have told?\n  \
    emberwatch replay --since 2025-10-01T08:00:00Z --json *.ndjson > report.json\n\n\
    Exit codes: 0 also when something was found; 66 a file is missing or cannot be read; 78 the rules have faults.";

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let sources = Sources {
        file: arguments.config,
        env: std::env::vars_os()
            .filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)))
            .collect::<BTreeMap<_, _>>(),
        cwd: std::env::current_dir().unwrap_or_default(),
    };
    if let Some(Command::Demo { seed, stay, plain }) = arguments.command {
        let plain = plain || is_plain(&sources.env);
        return demo(demo::Settings { seed, stay }, Screen::stdout(plain));
    }
    let (config, origin) = match config::load(&sources) {
        Ok(loaded) => loaded,
        Err(faults) => return refuse(&faults),
    };
    match arguments.command.unwrap_or(Command::Serve) {
        Command::Serve => serve(config, origin),
        Command::Check { fluent_bit: Some(file) } => advise(&config, &file),
        Command::Check { fluent_bit: None } => {
            say(&mut std::io::stdout(), &format!("configuration is sound ({origin})"));
            for note in notes(&config) {
                say(&mut std::io::stdout(), &format!("note: {note}"));
            }
            ExitCode::SUCCESS
        }
        Command::Ping { address } => ping(address, &config.server),
        Command::Replay(arguments) => replay(&config, arguments),
        Command::Slack { command: SlackCommand::Test } => slack_test(config),
        // Before the configuration, which it has none of.
        Command::Demo { .. } => ExitCode::SUCCESS,
    }
}

fn demo(settings: demo::Settings, screen: Screen) -> ExitCode {
    let shown = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => {
            let shown = runtime.block_on(demo::run(settings, screen, asked_to_stop()));
            runtime.shutdown_background();
            shown
        }
        Err(error) => Err(Failure::Start(error.to_string())),
    };
    match shown {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(EXIT_FAILED),
        Err(failure) => {
            say(&mut std::io::stderr(), &failure.to_string());
            ExitCode::from(EXIT_SOFTWARE)
        }
    }
}

fn serve(config: Config, origin: Origin) -> ExitCode {
    start_logging(&config.log);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(config.server.workers).enable_all().build();
    let ended = match runtime {
        Ok(runtime) => {
            let ended = runtime.block_on(app::run(config, origin, asked_to_stop()));
            // Blocking work (a store that waits for its lock) is not waited for.
            runtime.shutdown_background();
            ended
        }
        Err(error) => Err(Failure::Start(error.to_string())),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            tracing::error!("{failure}");
            ExitCode::from(match failure {
                Failure::Failpoint(_) | Failure::Tls(_) => EXIT_CONFIG,
                Failure::Bind { .. } | Failure::Store(_) => EXIT_UNAVAILABLE,
                Failure::Start(_) | Failure::Writer | Failure::Delivery => EXIT_SOFTWARE,
            })
        }
    }
}

fn replay(config: &Config, arguments: Replay) -> ExitCode {
    let rules = match arguments.rules.as_deref().map(config::rules::read).transpose() {
        Ok(rules) => rules.unwrap_or_default(),
        Err(faults) => {
            say(&mut std::io::stderr(), &format!("the rules have faults:\n{faults}"));
            return ExitCode::from(EXIT_CONFIG);
        }
    };
    let options = replay::Options {
        inputs: arguments.inputs,
        rules,
        builtin: arguments.builtin,
        since_ms: arguments.since,
        until_ms: arguments.until,
        service: arguments.service,
        quiet: arguments.quiet,
    };
    let stop = Arc::new(AtomicBool::new(false));
    // Beside the reading, which waits for nobody.
    let signals = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    if let Ok(signals) = &signals {
        let stop = stop.clone();
        signals.spawn(async move {
            asked_to_stop().await;
            stop.store(true, Ordering::Relaxed);
            // Asked again, nobody wants the report.
            asked_to_stop().await;
            std::process::exit(EXIT_INTERRUPTED);
        });
    }
    let replayed = replay::run(config, &options, &stop, app::now_ms());
    if let Ok(signals) = signals {
        signals.shutdown_background();
    }
    match replayed {
        Ok(report) => {
            let stdout = std::io::stdout();
            let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
            let colour = std::io::IsTerminal::is_terminal(&stdout) && !plain;
            let manner = replay::report::text::Manner { colour, messages: arguments.messages };
            let text = match arguments.json {
                true => replay::report::json::render(&report).to_string(),
                false => replay::report::text::render(&report, &manner),
            };
            say(&mut stdout.lock(), text.trim_end());
            ExitCode::SUCCESS
        }
        Err(failure) => {
            say(&mut std::io::stderr(), &format!("{failure}"));
            ExitCode::from(match failure {
                replay::Failure::Input(_) => EXIT_NO_INPUT,
                replay::Failure::Start(_) => EXIT_SOFTWARE,
            })
        }
    }
}

/// As a shell tells of who ended by Ctrl-C.
const EXIT_INTERRUPTED: i32 = 130;

/// A time as it is given on the command line; a date alone is its midnight.
fn moment(text: &str) -> Result<i64, String> {
    let of = |text: &str| emberwatch::record::time::from_text(text.as_bytes());
    of(text)
        .or_else(|| of(&format!("{text}T00:00:00Z")))
        .ok_or_else(|| "must be a time such as 2025-10-01T08:00:00Z, or a date such as 2025-10-01".to_owned())
}

/// To stderr: stdout is for what was found.
fn start_logging(log: &config::Log) {
    let level = log.level.parse().unwrap_or(tracing_subscriber::filter::LevelFilter::INFO);
    let builder = tracing_subscriber::fmt().with_max_level(level).with_writer(std::io::stderr).with_target(false);
    match log.format {
        LogFormat::Json => builder.json().flatten_event(true).init(),
        LogFormat::Text => builder.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).init(),
    }
}

/// SIGTERM, as orchestrators send it, or Ctrl-C.
async fn asked_to_stop() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut terminate), Ok(mut interrupt)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        tracing::error!("signals cannot be received: stop this process with SIGKILL");
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

fn slack_test(config: Config) -> ExitCode {
    let Some(slack) = config.slack else {
        let next = "no [slack] in the configuration: write bot_token and channel, or webhook_url (docs/slack.md)";
        say(&mut std::io::stderr(), next);
        return ExitCode::from(EXIT_CONFIG);
    };
    let place = match &slack.target {
        SlackTarget::Webhook { .. } => None,
        SlackTarget::Bot { channel, .. } => Some(channel.clone()),
    };
    let by = place.as_ref().map_or("webhook".to_owned(), |channel| format!("bot token, to {channel}"));
    say(&mut std::io::stdout(), &format!("Slack by {by}"));
    // The provider that the lock file holds.
    rustls::crypto::ring::default_provider().install_default().unwrap_or_default();
    let tell = |step: Step, fault: Option<&str>| {
        say(&mut std::io::stdout(), &format!("  {:<22} {}", step.as_str(), fault.unwrap_or("arrived")));
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime.map(|runtime| runtime.block_on(rehearse(slack.target, tell))) {
        Ok(Ok(Ended::Well)) => {
            let place = place.unwrap_or_else(|| "its channel".to_owned());
            say(
                &mut std::io::stdout(),
                &format!("Slack is set up. Look at {place}: the message says that it is a test."),
            );
            ExitCode::SUCCESS
        }
        Ok(Ok(Ended::Refused)) => {
            say(&mut std::io::stdout(), "Do what it says, then run this again. docs/slack.md has the steps.");
            ExitCode::from(EXIT_FAILED)
        }
        Ok(Ok(Ended::Unreachable)) => {
            say(&mut std::io::stdout(), "Slack cannot be reached as things are. Try again later.");
            ExitCode::from(EXIT_UNAVAILABLE)
        }
        Ok(Err(_)) | Err(_) => {
            say(&mut std::io::stderr(), "nothing can be sent from here: no client can be made");
            ExitCode::from(EXIT_SOFTWARE)
        }
    }
}

fn refuse(faults: &Faults) -> ExitCode {
    let count = faults.0.len();
    let s = if count == 1 { "" } else { "s" };
    say(&mut std::io::stderr(), &format!("the configuration has {count} fault{s}:\n{faults}"));
    ExitCode::from(EXIT_CONFIG)
}

/// Judges a sender's configuration by what this receiver expects. Our own faults were told before.
fn advise(config: &Config, file: &Path) -> ExitCode {
    let configuration = match fluent_bit::read(file, &foreign::Disk) {
        Ok(configuration) => configuration,
        Err(unreadable) => {
            say(&mut std::io::stderr(), &unreadable.to_string());
            return ExitCode::from(EXIT_CONFIG);
        }
    };
    let findings = fluent_bit::judge(&configuration, &receiver(config));
    say(&mut std::io::stdout(), &fluent_bit::render(&configuration, &findings));
    let serious = findings.iter().any(|finding| finding.severity.is_serious());
    if serious { ExitCode::from(EXIT_FAILED) } else { ExitCode::SUCCESS }
}

fn receiver(config: &Config) -> Receiver {
    Receiver {
        listen: config.server.listen,
        request_seconds: config.server.request_seconds,
        admission_wait_seconds: config.server.admission_wait_seconds,
        token_names: config.server.tokens.iter().map(|token| token.name.clone()).collect(),
        auth_header: (!config.server.auth_header.eq_ignore_ascii_case(defaults::AUTH_HEADER))
            .then(|| config.server.auth_header.clone()),
        tls: config.server.tls.is_some(),
        tag_header: config.ingest.tag_header.clone(),
        idle_seconds: config.server.idle_seconds,
    }
}

fn ping(address: Option<SocketAddr>, server: &config::Server) -> ExitCode {
    let address = address.unwrap_or(server.listen);
    // A control listener on loopback speaks plain HTTP whatever senders do.
    let tls = server.tls.is_some() && server.control_listen.is_none_or(|control| control != address);
    match ping::ready(address, tls) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&mut std::io::stderr(), &format!("{address} is not ready: {error}"));
            ExitCode::from(EXIT_FAILED)
        }
    }
}

/// What somebody should know of settings that are sound.
fn notes(config: &Config) -> impl Iterator<Item = &'static str> {
    use emberwatch::config::Provider;
    use emberwatch::triage::model::{DEFAULT_MODEL, licence_note};
    let asks = matches!(config.triage.provider, Provider::Auto | Provider::Ollama | Provider::OpenAi);
    licence_note(config.triage.model.as_deref().unwrap_or(DEFAULT_MODEL)).filter(|_| asks).into_iter()
}

/// A closed pipe is nobody's fault.
fn say(to: &mut dyn Write, text: &str) {
    writeln!(to, "{text}").unwrap_or_default();
}
