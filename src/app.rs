//! The one place that wires the stages, and stops them in order.
//!
//! Start: bind, serve (answering "starting"), open the store, replay it, take batches. Stop: take no new
//! connection, answer what is being read, let the outbox empty, write a snapshot. Each step has a deadline,
//! and what did not make it is said.

mod first_day;
mod listeners;

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use hyper::header::{AUTHORIZATION, HeaderName};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use crate::config::{self, Config, Origin as ConfigOrigin, Provider, Retired, tls};
use crate::escalation::{self, pace::Pace};
use crate::failpoint::Failpoint;
use crate::ingest::quarantine::Bounds;
use crate::ingest::{self, Ingest, Phase};
use crate::investigate::case::book::Book;
use crate::investigate::case::{self, Outcome as CaseOutcome};
use crate::investigate::model::Model;
use crate::investigate::patch::{self, Deny, Workshop};
use crate::investigate::propose::Forge;
use crate::investigate::shelf::Shelf;
use crate::investigate::source::git::Git;
use crate::investigate::source::mirrors::{Limits as MirrorLimits, Mirrors};
use crate::investigate::source::{Library, Outcome as SourceOutcome};
use crate::investigate::{self, around};
use crate::ledger::writer::{self, Parts};
use crate::ledger::{Ledger, engine};
use crate::metrics::Metrics;
use crate::moment::Passing;
use crate::notify::alerts::Alerts;
use crate::notify::notice::Dossiers;
use crate::notify::stdout::Stdout;
use crate::notify::{Channel, deliver, slack};
use crate::redact;
use crate::registry::Registry;
use crate::server::access::{Gate, Retirement, Token};
use crate::server::control::alerts::WAITING_MAX;
use crate::server::control::services::Services;
use crate::server::control::{About, Control, Investigator};
use crate::server::pace::Deadlines;
use crate::server::{Role, Server, serve};
use crate::state::{self, State};
use crate::store::nothing::Nothing;
use crate::store::sqlite::SqliteStore;
use crate::store::{Loaded, Store, StoreError};
use crate::triage::novel::{Intake, Novel};
use crate::triage::prompt::Limits;
use crate::triage::view::View;
use crate::triage::{self, kinds, worker};
use crate::watch::{Origin, Watch, builtin};

/// How often time is let pass: the resolution of "resolved" and "no data".
const TICK: Duration = Duration::from_millis(250);
/// Part of the time for stopping that the outbox may take.
const OUTBOX_DRAIN: Duration = Duration::from_secs(5);

/// Batches with unknown lines that may wait for triage, a burst at the flush tick; more are offered again.
const INTAKE_BATCHES: usize = 256;
/// For triage to store what it has decided.
const TRIAGE_STOP: Duration = Duration::from_secs(3);

/// For dossiers that wait to be written.
const INVESTIGATION_STOP: Duration = Duration::from_secs(3);

/// Why the program ended other than by being asked to.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error("{key}: cannot listen on {address}: {source}{hint}", hint = listeners::hint(.source))]
    Bind { key: &'static str, address: SocketAddr, source: std::io::Error },
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("EMBERWATCH_FAILPOINT: {0:?} is no failpoint; committed:1 and triage:1 are")]
    Failpoint(String),
    #[error("server.tls.{0}")]
    Tls(#[from] crate::tls::Wrong),
    #[error("cannot start: {0}")]
    Start(String),
    #[error("a delivery task has died; a destination would hear nothing any more")]
    Delivery,
    #[error("the ledger's writer has died; nothing can be counted any more")]
    Writer,
}

/// Unix milliseconds. The place that reads the wall clock; all else is given the time.
#[expect(clippy::disallowed_methods, reason = "this is the place")]
pub fn now_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Runs until `stop` resolves.
pub async fn run(config: Config, origin: ConfigOrigin, stop: impl Future<Output = ()>) -> Result<(), Failure> {
    run_telling(config, origin, |_| (), stop).await
}

/// The same, telling where senders are listened to.
pub async fn run_telling(
    config: Config,
    origin: ConfigOrigin,
    bound: impl FnOnce(SocketAddr),
    stop: impl Future<Output = ()>,
) -> Result<(), Failure> {
    let start = |error: &dyn std::fmt::Display| Failure::Start(error.to_string());
    let metrics = Metrics::register().map_err(|e| start(&e))?;
    if let Some(text) = &config.failpoint {
        let (at, passings) = Failpoint::parse(text).ok_or_else(|| Failure::Failpoint(text.clone()))?;
        tracing::warn!(failpoint = text, "this process will abort itself: EMBERWATCH_FAILPOINT is for tests");
        at.arm(passings);
    }
    let tls = config.server.tls.as_ref().map(tls::load).transpose()?;
    let serving_with = tls.as_ref().map(|loaded| Arc::new(ArcSwap::new(loaded.config.clone())));
    let listeners = listeners::bind(&config.server, &metrics, serving_with.as_ref()).await?;

    let destinations = destinations(&config).map_err(|e| start(&e))?;
    let names: Vec<&'static str> = destinations.iter().map(Channel::name).collect();
    let live: Vec<&'static str> = destinations.iter().filter(|c| c.is_read_live()).map(Channel::name).collect();
    let view = Arc::new(View::default());
    let (intake, inbox) = Intake::new(INTAKE_BATCHES);
    let intake = (config.triage.provider != Provider::Off).then_some(intake);
    let (phase, phases) = watch::channel(Phase::Starting);
    let (stopping, stopped) = watch::channel(false);
    let triaged = (intake.clone(), view.clone());
    let shelf = Arc::new(Shelf::new(config.investigation.folder.clone(), config.investigation.keep));
    let library = library(&config, &metrics);
    let book = Arc::new(Book::new(config.investigation.keep));
    let mending = mending(&config, &library).map_err(|e| start(&e))?;
    let model = model(&config.investigator, &metrics)?;
    // However this ends: what still runs of git would hold up the end of the process.
    let _ends = EndsWithUs(library.mirrors.clone());
    let mut state = state(&config, &metrics)?;
    let shown = (shelf.clone(), &library, state.as_ref().map(State::view));
    let investigator = (book.clone(), model.clone());
    let server = Arc::new(server(&config, &origin, &names, (&metrics, &phases), triaged, shown, investigator));
    let mut serving: Vec<JoinHandle<()>> = Vec::new();
    let address = |role: &[Role]| {
        let found = listeners.iter().find(|l| role.contains(&l.role)).and_then(|l| l.socket.local_addr().ok());
        found.map(|a| a.to_string()).unwrap_or_default()
    };
    tracing::info!(
        ingest = address(&[Role::Ingest, Role::Both]),
        control = address(&[Role::Control, Role::Both]),
        tls = tls.is_some(),
        configuration = %origin,
        "listening"
    );
    if let Some(address) = listeners.first().and_then(|listener| listener.socket.local_addr().ok()) {
        bound(address);
    }
    for listener in listeners {
        serving.push(tokio::spawn(serve(server.clone(), listener, stopped.clone())));
    }
    if let (Some(files), Some(loaded), Some(serving_with)) = (config.server.tls.clone(), tls, serving_with) {
        tokio::spawn(listeners::reload(files, loaded, serving_with, metrics.clone()));
    }

    tokio::pin!(stop);
    // A second process on the same store waits here for the first one to go; being asked to stop ends that.
    let opened = tokio::select! {
        opened = open_store(&config.store) => opened,
        () = &mut stop => return Ok(()),
    };
    let (mut store, mut loaded) = opened?;
    // Of a store that has nothing but this there is still nothing to be known.
    let marked = first_day::take_mark(&mut loaded.triage);
    let is_new = loaded.is_empty();
    let first_start = is_new && !loaded.begun_anew && config.store.path.is_some();
    let found = tokio::select! {
        found = async { state.as_mut().filter(|_| is_new)?.find().await } => found,
        () = &mut stop => return Ok(()),
    };
    library.registry.restore(&std::mem::take(&mut loaded.services));
    let cases = std::mem::take(&mut loaded.cases);
    loaded.seed = found.as_ref().map_or(loaded.seed, |found| found.seed);
    let seed = loaded.seed;
    // Before anything that was kept is read: it is redacted again.
    redact::configure(&config.redact, seed).map_err(|e| start(&e))?;
    let first_look = (first_start || marked) && found.is_none();
    if let Some(found) = found {
        let restored = tokio::task::spawn_blocking(move || {
            store.set_seed(seed)?;
            state::restore(store.as_mut(), &mut loaded, found.rows(now_ms()))?;
            Ok::<_, StoreError>((store, loaded))
        });
        (store, loaded) = restored.await.map_err(|e| start(&e))??;
    }
    // After redaction is configured: what is read of them is redacted again.
    book.restore(&cases);
    let (store, keeping) = match state {
        Some(state) => {
            let (store, keeping) = state.keep(store, &loaded);
            (store, Some(keeping))
        }
        None => (store, None),
    };
    let notes = std::mem::take(&mut loaded.triage);
    let parts = Parts {
        settings: engine::Settings {
            lateness_ms: seconds_ms(config.time.lateness_seconds),
            max_windows: config.store.max_windows,
            repeat_ms: config.store.repeat_seconds.saturating_mul(1000),
            max_digests: config.store.max_digests,
            max_outbox_rows: config.store.max_outbox_rows,
            pace: Pace { live, coalesce_after: config.notify.coalesce_after, per_day: config.notify.messages_per_day },
            escalation: escalation::Settings {
                dedup_ms: seconds_ms(config.escalation.dedup_seconds),
                settle_ms: seconds_ms(config.escalation.settle_seconds),
                repeat_ms: seconds_ms(config.escalation.repeat_seconds),
                proposed_per_hour: config.triage.messages_per_hour,
                max_wanted: config.investigation.queue,
            },
            destinations: names,
            naming: Arc::new(config.record.clone()),
            dossiers: Dossiers {
                public_url: config.server.public_url.clone(),
                folder: config.investigation.folder.clone(),
            },
        },
        base: base_watches(&config),
        store,
        loaded,
        metrics: metrics.clone(),
        clock: now_ms,
        queue: config.store.queue_batches,
        snapshot_every: Duration::from_secs(config.store.snapshot_seconds),
        passing: Passing::Real,
    };
    let (ledger, writer_ended) = writer::start(parts).map_err(|e| start(&e))?;
    let leaving = metrics.clone();
    ledger.shards().when_a_label_leaves(move |label| leaving.forget_watch(label));
    let outbox = Arc::new(ledger.clone());
    let mut delivering = JoinSet::new();
    for channel in destinations {
        delivering.spawn(deliver::deliver(outbox.clone(), channel, metrics.deliveries.clone(), now_ms));
    }
    let ticking = tokio::spawn(tick(ledger.clone()));
    if let Some(intake) = &intake {
        intake.set_seed(seed);
    }
    server.ingest.quarantine.set_seed(seed);
    if first_look && config.notify.first_day_seconds > 0 {
        // Before the first line is counted: a store that has counted is new to nobody.
        let marked = marked || first_day::mark(&ledger, true).await;
        let parts = first_day::Parts {
            ledger: ledger.clone(),
            services: server.ingest.services.clone(),
            metrics: metrics.clone(),
            triage: view.clone(),
            after: Duration::from_secs(config.notify.first_day_seconds),
            clock: now_ms,
            stopped: stopped.clone(),
        };
        tokio::spawn(first_day::run(parts, marked));
    } else if marked {
        first_day::mark(&ledger, false).await;
    }
    let triaging = intake.map(|intake| Triaging { intake, inbox, seed, notes, view, stopped: stopped.clone() });
    let triaging = triaging.map(|t| triage_thread(&config, t, &ledger, &metrics)).transpose()?;
    let (all_counted, counting) = watch::channel(false);
    let preparing = library.clone();
    tokio::task::spawn_blocking(move || {
        preparing.tidy();
        preparing.registry.all().iter().for_each(|entry| preparing.prepare(entry));
    });
    let (mut workshop, mut forge) = (None, None);
    if let Some((made, with)) = mending {
        (workshop, forge) = (Some(made), Some(with));
    }
    let following = tokio::spawn(case::worker::run(case::worker::Parts {
        ledger: ledger.clone(),
        book: book.clone(),
        shelf: shelf.clone(),
        library: library.clone(),
        model,
        limits: config.investigator.budget,
        workshop,
        forge,
        public_url: config.server.public_url.clone(),
        metrics: metrics.clone(),
        clock: now_ms,
        builder: reqwest::Client::builder,
        stopped: counting.clone(),
    }));
    let investigating = tokio::spawn(investigate::run(investigate::Parts {
        ledger: ledger.clone(),
        recents: server.ingest.recents.clone(),
        shelf,
        library: library.clone(),
        metrics: metrics.clone(),
        // Halfway to the first message, so that what it links to is there.
        wait_ms: seconds_ms(config.escalation.settle_seconds) / 2,
        max_bytes: config.investigation.max_bytes,
        book,
        queue: config.investigation.queue,
        clock: now_ms,
        up_since_ms: server.control.started_ms,
        stopped: counting,
    }));
    phase.send_replace(Phase::Ready { ledger: ledger.clone(), seed });
    tracing::info!(store = store_name(&config.store), watches = ledger.watches().watches().len(), "ready");

    tokio::select! {
        () = &mut stop => {}
        _ = writer_ended => return Err(Failure::Writer),
        // They end when the ledger does, or because they panicked: nobody would be told anything any more.
        Some(_) = delivering.join_next() => return Err(Failure::Delivery),
    }

    tracing::info!(seconds = config.server.drain_seconds, "stopping");
    phase.send_replace(Phase::Draining);
    stopping.send_replace(true);
    let drained = async {
        for task in serving {
            // A listener that panicked has nothing left to drain.
            task.await.unwrap_or_default();
        }
    };
    if tokio::time::timeout(Duration::from_secs(config.server.drain_seconds), drained).await.is_err() {
        tracing::warn!(
            requests = metrics.ingest_in_flight.get(),
            "requests were still being read when the time for stopping was over; their senders will come again"
        );
    }
    ticking.abort();
    if let Some(triaging) = triaging
        && tokio::time::timeout(TRIAGE_STOP, triaging).await.is_err()
    {
        tracing::warn!("triage did not come to its end; what it had not stored waits in the lines' own notes");
    }
    all_counted.send_replace(true);
    if tokio::time::timeout(INVESTIGATION_STOP, investigating).await.is_err() {
        tracing::warn!("not every dossier could be written; what is left waits for the next start");
    }
    if tokio::time::timeout(INVESTIGATION_STOP, following).await.is_err() {
        tracing::warn!("a remedy was being called: whether that was done will be in doubt");
    }
    if let Some(mirrors) = &library.mirrors {
        mirrors.stop();
    }
    empty_outbox(&ledger).await;
    delivering.abort_all();
    ledger.close().await;
    if let Some(keeping) = keeping {
        keeping.stop().await;
    }
    tracing::info!("stopped");
    Ok(())
}

pub fn seconds_ms(seconds: u64) -> i64 {
    i64::try_from(seconds.saturating_mul(1000)).unwrap_or(i64::MAX)
}

fn server(
    config: &Config,
    origin: &ConfigOrigin,
    names: &[&'static str],
    (metrics, phases): (&Metrics, &watch::Receiver<Phase>),
    (intake, view): (Option<Arc<Intake>>, Arc<View>),
    (shelf, library, state): (Arc<Shelf>, &Library, Option<Arc<state::view::View>>),
    (book, model): (Arc<Book>, Option<Arc<Model>>),
) -> Server {
    let settings = ingest::Settings {
        max_line_bytes: config.ingest.max_line_bytes,
        max_lines: config.ingest.max_lines,
        max_groups_per_batch: config.ingest.max_groups_per_batch,
        lateness_ms: seconds_ms(config.time.lateness_seconds),
        naming: Arc::new(config.record.clone()),
        max_encoded_bytes: config.server.max_encoded_bytes,
        max_decoded_bytes: config.server.max_decoded_bytes,
        max_requests: config.server.max_requests,
        max_bytes_in_flight: config.server.max_bytes_in_flight,
        min_body_rate: config.server.min_body_rate,
        trusted_proxies: config.server.trusted_proxies.clone(),
        admission_wait: Duration::from_secs(config.server.admission_wait_seconds),
        request_time: Duration::from_secs(config.server.request_seconds),
        tag_header: config.ingest.tag_header.to_ascii_lowercase(),
        quarantine: Bounds { max_samples: config.quarantine.max_samples, max_bytes: config.quarantine.max_bytes },
        intake,
        around: around::Bounds {
            records: config.investigation.records,
            record_bytes: config.investigation.record_bytes,
        },
    };
    let grace_ms = seconds_ms(config.server.retired_grace_seconds);
    let started_ms = now_ms();
    let tokens = config.server.tokens.iter().map(|t| Token {
        name: t.name.clone(),
        secret: t.secret.clone(),
        retired: t.retired.map(|retired| {
            let from = match retired {
                Retired::AtStart => started_ms,
                Retired::At(ms) => ms,
            };
            Retirement { from, until: from.saturating_add(grace_ms) }
        }),
    });
    let ingest = Ingest::new(settings, phases.clone(), metrics.clone(), now_ms);
    Server {
        control: Control {
            phase: phases.clone(),
            metrics: metrics.clone(),
            quarantine: ingest.quarantine.clone(),
            services: ingest.services.clone(),
            triage: view.clone(),
            shelf,
            book,
            investigator: Investigator { model, limits: config.investigator.budget },
            waiting: Arc::new(tokio::sync::Semaphore::new(WAITING_MAX)),
            registered: Services { library: library.clone(), changing: tokio::sync::Mutex::default() },
            state,
            clock: now_ms,
            started_ms,
            about: About {
                configuration: origin.to_string(),
                store: store_name(&config.store),
                durability: config.store.path.as_deref().map_or("none", crate::store::sqlite::durability),
                destinations: names.to_vec(),
            },
        },
        ingest,
        gate: Gate {
            tokens: tokens.collect(),
            certificates: config.server.tls.as_ref().is_some_and(|tls| tls.client_ca.is_some()),
            // Only what is a header's name comes through the configuration.
            header: config.server.auth_header.parse::<HeaderName>().unwrap_or(AUTHORIZATION),
            clock: now_ms,
            control_token: config.server.control_token.clone(),
        },
        phase: phases.clone(),
        metrics: metrics.clone(),
        deadlines: Deadlines {
            head: Duration::from_secs(config.server.header_seconds),
            idle: Duration::from_secs(config.server.idle_seconds),
        },
        linger_bytes: config.server.max_encoded_bytes,
    }
}

struct EndsWithUs(Option<Arc<Mirrors>>);

impl Drop for EndsWithUs {
    fn drop(&mut self) {
        if let Some(mirrors) = &self.0 {
            mirrors.stop();
        }
    }
}

/// Whom dossiers are shown to.
fn model(settings: &config::Investigator, metrics: &Metrics) -> Result<Option<Arc<Model>>, Failure> {
    for outcome in CaseOutcome::ALL {
        metrics.investigations.with_label_values(&[outcome.as_str()]);
    }
    let (target, prices) = (settings.target.clone(), settings.prices);
    let model = Model::from_config(target, settings.bounds, prices, metrics.clone(), reqwest::Client::builder);
    model.map(|model| model.map(Arc::new)).map_err(|e| Failure::Start(format!("investigation.url: {e}")))
}

/// Where patches are tried, and where they are proposed.
type Mending = (Arc<Workshop>, Arc<Forge>);

/// `None`: there is no place for copies of repositories.
fn mending(config: &Config, library: &Library) -> Result<Option<Mending>, reqwest::Error> {
    let settings = &config.mending;
    let (Some(mirrors), Some(folder)) = (&library.mirrors, &config.investigation.folder) else { return Ok(None) };
    let limits = patch::Limits {
        test: Duration::from_secs(settings.test_seconds),
        bytes: settings.test_bytes,
        memory: settings.test_memory_bytes,
        isolation: settings.test_isolation,
    };
    let Ok(folder) = std::path::absolute(folder) else { return Ok(None) };
    let deny = Deny::new(settings.deny.clone());
    let workshop = Arc::new(Workshop::new(mirrors.git().clone(), folder.join("scratch"), limits, deny));
    rustls::crypto::ring::default_provider().install_default().unwrap_or_default();
    let forge = Forge::new(workshop.clone(), settings.github_url.as_deref(), settings.github_token.clone())?;
    Ok(Some((workshop, Arc::new(forge))))
}

/// What the source of services is read with.
fn library(config: &Config, metrics: &Metrics) -> Library {
    let settings = &config.investigation;
    for outcome in SourceOutcome::ALL {
        metrics.sources.with_label_values(&[outcome.as_str()]);
    }
    let calls = metrics.git_calls.clone();
    let mirrors = settings.folder.as_ref().and_then(|folder| {
        // Git runs in a folder of its own.
        let folder = std::path::absolute(folder).ok()?.join("mirrors");
        let counted = Arc::new(move |outcome: &'static str| calls.with_label_values(&[outcome]).inc());
        let git = Git::new(settings.git.clone(), settings.git_environment.clone(), folder.join("empty"), counted);
        let limits =
            MirrorLimits { fetch: Duration::from_secs(settings.fetch_seconds), most_bytes: settings.mirror_bytes };
        Some(Mirrors::new(git, folder, limits))
    });
    Library {
        registry: Arc::new(Registry::new(&config.services)),
        mirrors,
        wait: Duration::from_secs(settings.source_seconds),
        metrics: metrics.clone(),
    }
}

/// Slack when it is configured, else the terminal; and the file of alerts either way.
fn destinations(config: &Config) -> Result<Vec<Channel>, reqwest::Error> {
    let mut channels = Vec::new();
    match &config.slack {
        Some(slack) => {
            // The provider that the lock file holds. Installed twice only if a test wires two programs.
            rustls::crypto::ring::default_provider().install_default().unwrap_or_default();
            let client = slack::client(slack.target.builder())?;
            channels.push(Channel::slack(client, slack.target.clone()));
        }
        None => {
            let stdout = std::io::stdout();
            let colour = stdout.is_terminal();
            channels.push(Channel::Stdout(Stdout::new(Box::new(stdout), colour)));
        }
    }
    if let Some(path) = &config.notify.alerts_path {
        channels.push(Channel::Alerts(Alerts::new(path.clone(), config.notify.alerts_max_bytes)));
    }
    Ok(channels)
}

/// What triage begins with.
struct Triaging {
    intake: Arc<Intake>,
    inbox: tokio::sync::mpsc::Receiver<Vec<Novel>>,
    seed: u64,
    notes: Vec<(String, Vec<u8>)>,
    view: Arc<View>,
    stopped: watch::Receiver<bool>,
}

/// On a thread of its own: telling kinds apart is work, and no request waits for it.
fn triage_thread(
    config: &Config,
    with: Triaging,
    ledger: &Ledger,
    metrics: &Metrics,
) -> Result<tokio::sync::oneshot::Receiver<()>, Failure> {
    let settings = &config.triage;
    let parts = worker::Parts {
        settings: worker::Settings {
            batch_lines: settings.batch_lines,
            batch_wait_ms: seconds_ms(settings.batch_seconds),
            bounds: kinds::Bounds {
                max_kinds: settings.max_kinds,
                max_waiting: settings.queue_batches.saturating_mul(settings.batch_lines),
            },
            patience_ms: seconds_ms(settings.patience_seconds),
            ignore_ms: seconds_ms(settings.ignore_seconds),
            lateness_ms: seconds_ms(config.time.lateness_seconds),
            naming: Arc::new(config.record.clone()),
            seed: settings.seed,
            tune_every: Duration::from_secs(settings.tune_minutes.saturating_mul(60)),
        },
        ledger: ledger.clone(),
        intake: with.intake,
        inbox: with.inbox,
        provider: Arc::new(provider(settings)?),
        limits: Limits::default(),
        seed: with.seed,
        notes: with.notes,
        metrics: metrics.clone(),
        view: with.view,
        stopped: with.stopped,
        clock: now_ms,
        passing: Passing::Real,
    };
    let (ended, end) = tokio::sync::oneshot::channel();
    let runtime = tokio::runtime::Handle::current();
    let thread = std::thread::Builder::new().name("triage".into()).spawn(move || {
        let _ended = ended;
        worker::watch_over(&runtime, parts);
    });
    thread.map_err(|e| Failure::Start(format!("no thread for triage: {e}")))?;
    Ok(end)
}

/// Whom triage asks.
fn provider(settings: &config::Triage) -> Result<triage::model::Provider, Failure> {
    use triage::model::{DEFAULT_MODEL, OLLAMA_URL, Patience, Target};
    let model = settings.model.clone().unwrap_or_else(|| DEFAULT_MODEL.to_owned());
    let url = settings.url.clone();
    let target = match settings.provider {
        Provider::Builtin | Provider::Off => Target::None,
        Provider::Auto => Target::Auto { url: url.unwrap_or_else(|| OLLAMA_URL.to_owned()), model },
        Provider::Ollama => Target::Ollama { url: url.unwrap_or_else(|| OLLAMA_URL.to_owned()), model },
        Provider::OpenAi => Target::OpenAi { url: url.unwrap_or_default(), model, key: settings.api_key.clone() },
    };
    let patience = Patience {
        load: Duration::from_secs(settings.load_seconds),
        answer: Duration::from_secs(settings.timeout_seconds),
        ..Patience::default()
    };
    // The provider that the lock file holds. Installed twice only if Slack has done it before.
    rustls::crypto::ring::default_provider().install_default().unwrap_or_default();
    triage::model::Provider::new(target, patience, reqwest::Client::builder).map_err(Failure::Start)
}

/// Where the small state is kept beside the store, if anywhere.
fn state(config: &Config, metrics: &Metrics) -> Result<Option<State>, Failure> {
    let Some(settings) = &config.state else { return Ok(None) };
    // The provider that the lock file holds. Installed twice only if Slack has done it before.
    rustls::crypto::ring::default_provider().install_default().unwrap_or_default();
    let settings = state::Settings {
        target: settings.target.clone(),
        every: settings.every,
        dedup_ms: seconds_ms(config.escalation.dedup_seconds),
    };
    State::new(settings, metrics.clone(), now_ms).map(Some).map_err(|e| Failure::Start(format!("store.state_url: {e}")))
}

async fn open_store(settings: &config::Store) -> Result<(Box<dyn Store>, Loaded), Failure> {
    let seed = getrandom::u64().map_err(|e| Failure::Start(format!("no randomness to be had: {e}")))?;
    let Some(path) = settings.path.clone() else {
        tracing::warn!("store.path is empty: what is counted and not yet told is lost when this process ends");
        return Ok((Box::new(Nothing), Loaded { seed, ..Loaded::default() }));
    };
    let wait = Duration::from_secs(settings.lock_wait_seconds);
    let opened = tokio::task::spawn_blocking(move || SqliteStore::open(&path, wait, seed)).await;
    let (store, loaded) = opened.map_err(|e| Failure::Start(e.to_string()))??;
    Ok((Box::new(store), loaded))
}

fn store_name(settings: &config::Store) -> String {
    settings.path.as_ref().map_or_else(|| "none".to_owned(), |path| path.display().to_string())
}

/// The configured watches; the built-in ones when there are none, or when they are asked for.
pub fn base_watches(config: &Config) -> Vec<Watch> {
    let mut watches: Vec<Watch> = config.watches.iter().map(|rule| Watch::new(rule.clone(), Origin::Config)).collect();
    if config.builtin_watches.unwrap_or(watches.is_empty()) {
        let configured: Vec<String> = config.watches.iter().map(|rule| rule.label.clone()).collect();
        let free = builtin::rules().into_iter().filter(|rule| !configured.contains(&rule.label));
        watches.extend(free.map(|rule| Watch::new(rule, Origin::Builtin)));
    }
    watches
}

async fn tick(ledger: Ledger) {
    let mut interval = tokio::time::interval(TICK);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    loop {
        interval.tick().await;
        ledger.tick();
    }
}

/// What is to be told is told now, without settling first: on a disk that goes with the task it would be lost.
async fn empty_outbox(ledger: &Ledger) {
    let deadline = tokio::time::Instant::now() + OUTBOX_DRAIN;
    loop {
        let waiting = ledger.hurry().await;
        if waiting == 0 {
            return;
        }
        if tokio::time::Instant::now() >= deadline {
            tracing::warn!(waiting, "messages not delivered yet; they are kept for the next start");
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
