//! Every default and every bound, each with its reason.
//!
//! A number and its bounds are one constant, so that neither is ever changed without the other in sight.

/// A whole-number setting: what it is when nobody says, and what it may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Whole {
    pub default: u64,
    pub min: u64,
    pub max: u64,
}

const fn whole(default: u64, min: u64, max: u64) -> Whole {
    assert!(min <= default && default <= max, "a default lies within its bounds");
    Whole { default, min, max }
}

/// The same for a setting that may have a fraction.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Amount {
    pub default: f64,
    pub min: f64,
    pub max: f64,
}

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

// === server ===

/// Loopback: a receiver that nobody configured yet is reachable by nobody else.
pub const LISTEN: &str = "127.0.0.1:8080";

/// The default is what the machine has; more threads than 256 only fight over locks.
pub const WORKERS_MAX: u64 = 256;

/// A Fluent Bit opens as many connections as it has chunks to flush; this holds a thousand senders'
/// bursts, at some 16 KB each while idle. Lowered at the start to what the limit on open files leaves.
pub const MAX_CONNECTIONS: Whole = whole(16_384, 1, 100_000);

/// Longer bodies read at once. Each may stage a batch, so this times the size of a staged batch is the
/// largest part of the memory formula.
pub const MAX_REQUESTS: Whole = whole(256, 1, 10_000);

/// Announced bytes of the bodies read at once: more than a hundred usual ones of 2.2 MB.
pub const MAX_BYTES_IN_FLIGHT: Whole = whole(256 * MIB, MIB, 64 * GIB);

/// A request's head comes in one write from whoever is honest.
pub const HEADER_SECONDS: Whole = whole(10, 1, 60);

/// Above Fluent Bit's 30 s keepalive, so that it is the client who closes an idle connection: closed by us
/// at the wrong moment it costs the client one of its retries.
pub const IDLE_SECONDS: Whole = whole(90, 31, 3_600);

/// Bytes a second, over any ten: far below any network that logs are shipped over, far above a drip.
pub const MIN_BODY_RATE: Whole = whole(1_024, 1, MIB);

/// A day: long enough to notice a sender that was forgotten in a rotation, and to mend it, before its
/// chunks are refused for good.
pub const RETIRED_GRACE_SECONDS: Whole = whole(86_400, 0, 30 * 86_400);

/// Where a Bearer secret is looked for; an ECS task definition can set one header.
pub const AUTH_HEADER: &str = "Authorization";

/// Ranges of addresses; each is tried for each hop that a request names.
pub const TRUSTED_PROXIES_MAX: usize = 100;

/// A chain of certificates, with room for a bundle of authorities.
pub const PEM_MAX_BYTES: u64 = MIB;

/// Long enough for a burst at the flush tick to pass without costing a retry, short enough that the
/// answer still comes within the 30 s in which every request is answered.
pub const ADMISSION_WAIT_SECONDS: Whole = whole(15, 0, 25);

/// Fluent Bit 1.9 would wait for ever, so we may not.
pub const REQUEST_SECONDS: Whole = whole(30, 1, 300);

/// Five times the largest body seen (12 MB): no honest client may ever meet a 413.
pub const MAX_ENCODED_BYTES: Whole = whole(64 * MIB, MIB, GIB);

/// Logs shrink about tenfold, but chunks stop near 2 MB decoded; this leaves room for the odd one and
/// none for a gzip bomb.
pub const MAX_DECODED_BYTES: Whole = whole(256 * MIB, MIB, 4 * GIB);

/// ECS and Kubernetes kill 30 s after the first signal; the outbox and the store need some of those.
pub const DRAIN_SECONDS: Whole = whole(10, 0, 120);

/// A guess at 16 random bytes is hopeless; shorter ones are usually words.
pub const TOKEN_MIN_BYTES: usize = 16;

/// Fits every request-header limit we know of.
pub const SECRET_MAX_BYTES: usize = 4096;

/// A token's name is a metric label and part of a sender's identity.
pub const TOKEN_NAME_MAX_CHARS: usize = 64;

/// Every one is tried for every Bearer header.
pub const TOKENS_MAX: usize = 1_000;

// === ingest ===

/// Docker splits at 16 KiB and a stack trace in one line is some 100 KB; a line beyond this is no log line.
pub const MAX_LINE_BYTES: Whole = whole(MIB, KIB, 16 * MIB);

/// Lines of one body, blank ones too: fifty times the most seen (250,000 in 12 MB), and some seconds of work.
/// Bytes alone bound nothing: 250 MiB of `{}` are 90 million records.
pub const MAX_LINES: Whole = whole(1 << 24, 1_000, 1 << 32);

/// Distinct groups that one request may touch, whatever its lines say: bounds what is staged.
pub const MAX_GROUPS_PER_BATCH: Whole = whole(10_000, 100, 1_000_000);

/// What we write into the configurations that we ship; Fluent Bit has no default of its own.
pub const TAG_HEADER: &str = "X-Tag";

// === quarantine ===

/// Entries of lines that were not understood, kept in memory: more kinds of garbage than anybody reads. 0: none.
pub const QUARANTINE_SAMPLES: Whole = whole(200, 0, 2_000);

/// Held of each, ten times what is shown, so that redaction sees a secret whole; more of it for who has longer ones.
pub const QUARANTINE_BYTES: Whole = whole(4 * KIB, 400, 64 * KIB);
// === record ===

/// Each is looked for in every record.
pub const NAME_PATHS_MAX: usize = 20;

/// Longer than any path that a person writes.
pub const NAME_PATH_MAX_BYTES: usize = 256;

/// Each is compared with every record; as many as there are services with figures of their own.
pub const SERVICE_MAP_MAX: usize = 200;

/// Longer than any name of a service that a person gives.
pub const NAME_MAX_BYTES: usize = 256;

/// Each is compared with every record's service.
pub const OWN_SERVICES_MAX: usize = 20;

/// What we are called in the task definitions and charts that we ship.
pub const OWN_SERVICE: &str = "emberwatch";

// === time ===

/// Above the longest pause an honest sender makes between retries in ordinary trouble.
pub const LATENESS_SECONDS: Whole = whole(900, 1, 86_400);

// === store ===

/// In the working directory: what a first run needs, and what a container mounts over.
pub const STORE_PATH: &str = "emberwatch.db";

/// A rolling deploy starts the new process before the old one has drained.
pub const LOCK_WAIT_SECONDS: Whole = whole(120, 0, 3_600);

/// Four times the requests read at once: the writer takes them in groups and never runs dry.
pub const QUEUE_BATCHES: Whole = whole(1_024, 1, 100_000);

/// Live windows over all watches; a hundred watches over a thousand services.
pub const MAX_WINDOWS: Whole = whole(100_000, 100, 10_000_000);

/// Batches remembered for recognising repeats: more than a hundred a second for two hours.
pub const MAX_DIGESTS: Whole = whole(1_000_000, 100, 100_000_000);

/// How long an unconfirmed delivery may come again; Fluent Bit's retries are spent well before.
pub const REPEAT_SECONDS: Whole = whole(7_200, 60, 86_400);

/// What a crash may cost of the figures that are allowed to lose something.
pub const SNAPSHOT_SECONDS: Whole = whole(10, 1, 3_600);

/// Messages waiting for a destination that is down; at one a second, some three hours of catching up.
pub const MAX_OUTBOX_ROWS: Whole = whole(10_000, 10, 1_000_000);

/// What a task that goes with its disk may lose of the small state; a write is some hundred kilobytes at the most.
pub const STATE_SECONDS: Whole = whole(60, 1, 86_400);

/// A key of S3 has 1,024 bytes at the most.
pub const STATE_PREFIX_MAX_BYTES: usize = 900;

/// What others than AWS call theirs.
pub const STATE_REGION: &str = "us-east-1";

// === escalation ===

/// An hour: what a person who has seen the message needs not be told again in.
pub const DEDUP_SECONDS: Whole = whole(3_600, 1, 604_800);

/// Lets the count grow from the threshold to something that tells how bad it is.
pub const SETTLE_SECONDS: Whole = whole(2, 0, 60);

/// What fires through a shift is told to the next one.
pub const ESCALATION_REPEAT_SECONDS: Whole = whole(14_400, 1, 604_800);

// === slack ===

/// Another one is for proxies and tests.
pub const SLACK_API_URL: &str = "https://slack.com/api";

/// Slack's own limit on a channel's name.
pub const CHANNEL_MAX_CHARS: usize = 80;

// === notify ===

/// Next to the store; the one place escalations go to when nothing is configured.
pub const ALERTS_PATH: &str = "alerts.jsonl";

/// Some ten thousand alerts before the file is rotated.
pub const ALERTS_MAX_BYTES: Whole = whole(16 * MIB, 4 * KIB, 16 * GIB);

/// More is read by nobody; a bad day with fifty incidents stays below it.
pub const MESSAGES_PER_DAY: Whole = whole(300, 1, 100_000);

/// About what fits on a screen.
pub const COALESCE_AFTER: Whole = whole(20, 1, 10_000);

/// Ten minutes: most services have said something by then, health checks and the odd job too, and who has just set it up
/// is still there to read it. 0: never.
pub const FIRST_DAY_SECONDS: Whole = whole(600, 0, 86_400);

// === redact ===

/// Whom a line speaks of is nobody's business in a channel; equal ones can still be told to be equal.
pub const REDACT_EMAILS: bool = true;

/// What may not even be stored by most who log it by mistake.
pub const REDACT_CARDS: bool = true;

/// Without them few network faults can be followed.
pub const REDACT_IPS: bool = false;

// === investigation ===

/// A bad day's worth; what opens beyond it is one outage, which the first ones tell.
pub const INVESTIGATION_QUEUE: Whole = whole(32, 1, 10_000);

/// Next to the store and the alerts.
pub const INVESTIGATION_FOLDER: &str = "investigations";

/// Some months, and 30 MB if every one were as long as may be.
pub const INVESTIGATION_KEEP: Whole = whole(500, 1, 100_000);

/// More than a person reads; below the least, what must be said might not fit.
pub const INVESTIGATION_MAX_BYTES: Whole = whole(64 * KIB, 16 * KIB, MIB);

/// A screen before and a screen after, for as many services as have figures of their own.
pub const INVESTIGATION_RECORDS: Whole = whole(32, 0, 200);

/// The head of a line has what is shown of it; 13 MB for two hundred services with 32 such lines each.
pub const INVESTIGATION_RECORD_BYTES: Whole = whole(2 * KIB, 256, 8 * KIB);

/// Where programs are looked for.
pub const GIT: &str = "git";

/// Copies are kept ahead of time; what takes longer than that is better read later.
pub const SOURCE_SECONDS: Whole = whole(15, 1, 120);

/// A first copy of a large repository over a slow line.
pub const FETCH_SECONDS: Whole = whole(300, 5, 3_600);

/// Larger than nearly all repositories of one service.
pub const MIRROR_BYTES: Whole = whole(2 * GIB, MIB, 64 * GIB);

/// Of one run, three at the most: what takes longer is no test for a draft at night.
pub const TEST_SECONDS: Whole = whole(300, 1, 3_600);

/// A tree and what a build makes of it.
pub const TEST_BYTES: Whole = whole(2 * GIB, MIB, 256 * GIB);

/// Compilers and virtual machines take one or two.
pub const TEST_MEMORY_BYTES: Whole = whole(4 * GIB, 16 * MIB, 1024 * GIB);

/// Who may be asked; `auto`: Anthropic where there is a key, else nobody.
pub const INVESTIGATOR_PROVIDERS: [&str; 4] = ["auto", "anthropic", "openai", "off"];

/// A few looks into the source settle most causes; each turn pays for all before it again.
pub const INVESTIGATOR_TURNS: Whole = whole(8, 1, 30);

/// Of one call: much thinking and a patch with its test; the most that current models write.
pub const INVESTIGATOR_OUTPUT_TOKENS: Whole = whole(16_000, 1_000, 128_000);

/// Eight turns of a minute each are usual at the worst; nobody waits longer for a cause.
pub const INVESTIGATOR_SECONDS: Whole = whole(600, 30, 3_600);

/// Two outages at a time; a third one is read later.
pub const INVESTIGATOR_CONCURRENT: Whole = whole(2, 1, 16);

/// More causes in an hour are one cause. 0: none is investigated by a model.
pub const INVESTIGATOR_PER_HOUR: Whole = whole(10, 0, 1_000);

/// At some 40 cents each, 16 dollars.
pub const INVESTIGATOR_PER_DAY: Whole = whole(40, 0, 10_000);

/// Forty of a hundred thousand tokens, most of them out of the cache.
pub const INVESTIGATOR_TOKENS_PER_DAY: Whole = whole(5_000_000, 0, 1_000_000_000_000);

/// US dollars: what a bad day may cost without anybody being asked.
pub const INVESTIGATOR_USD_PER_DAY: Amount = Amount { default: 20.0, min: 0.0, max: 100_000.0 };

/// US dollars for a million tokens; a hundred times the dearest there is.
pub const PRICE_MAX: f64 = 10_000.0;

/// A link stands in messages that have a limit.
pub const PUBLIC_URL_MAX_BYTES: usize = 300;

// === log ===

pub const LOG_LEVEL: &str = "info";

/// tracing's own five.
pub const LOG_LEVELS: [&str; 5] = ["trace", "debug", "info", "warn", "error"];

// === watches, and the sources themselves ===

/// Each is looked at for every record.
pub const WATCHES_MAX: usize = 1_000;

/// A configuration larger than that is a wrong path.
pub const CONFIG_FILE_MAX_BYTES: u64 = 4 * MIB;

// Relations between limits that hold by default must not be lost by editing one of them.
const _: () = assert!(MAX_ENCODED_BYTES.default <= MAX_DECODED_BYTES.default);
const _: () = assert!(MAX_LINE_BYTES.default <= MAX_DECODED_BYTES.default);
const _: () = assert!(ADMISSION_WAIT_SECONDS.default < REQUEST_SECONDS.default);
const _: () = assert!(SETTLE_SECONDS.max < DEDUP_SECONDS.default);

// === triage ===

/// Who may judge; `auto`: Ollama where it answers, else the built-in triager.
pub const TRIAGE_PROVIDERS: [&str; 5] = ["auto", "ollama", "openai", "builtin", "off"];

/// As many as a small model can keep apart in one answer.
pub const TRIAGE_BATCH_LINES: Whole = whole(50, 1, 200);

/// Long enough for a burst of new kinds to be one question.
pub const TRIAGE_BATCH_SECONDS: Whole = whole(10, 1, 3_600);

/// Batches that may wait: a thousand new kinds, more than any service has on its first day.
pub const TRIAGE_QUEUE_BATCHES: Whole = whole(20, 1, 1_000);

/// Kinds held, each with a line of at most 8 KiB: 40 MB at the worst, 5 usually.
pub const TRIAGE_MAX_KINDS: Whole = whole(5_000, 100, 200_000);

/// A question to a model on a CPU takes minutes; twice that and something hangs.
pub const TRIAGE_TIMEOUT_SECONDS: Whole = whole(240, 5, 3_600);

/// Ollama's own limit on loading a model that stalls; a shorter wait would abort the load, each time anew.
pub const TRIAGE_LOAD_SECONDS: Whole = whole(300, 30, 3_600);

/// Longer than a cold start on a CPU, shorter than a person's patience with an outage.
pub const TRIAGE_PATIENCE_SECONDS: Whole = whole(150, 1, 86_400);

/// What nobody asked for may not fill a channel.
pub const TRIAGE_MESSAGES_PER_HOUR: Whole = whole(10, 0, 10_000);

/// A day: what was no matter yesterday is looked at again.
pub const TRIAGE_IGNORE_SECONDS: Whole = whole(86_400, 60, 30 * 86_400);

/// How often the model may look at its own watches again; 0: never.
pub const TRIAGE_TUNE_MINUTES: Whole = whole(30, 0, 1_440);
