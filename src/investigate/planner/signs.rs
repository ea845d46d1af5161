//! What services say when something common is wrong with them, in the words of many libraries.

use super::super::remedy::words;

/// One common cause.
#[derive(Debug)]
pub struct Sign {
    pub name: &'static str,
    /// In lower case; one of them, as whole words, shows it.
    phrases: &'static [&'static str],
    /// All of one of these, anywhere in a line.
    together: &'static [&'static [&'static str]],
    /// A sentence.
    pub cause: &'static str,
    /// What a person looks at first.
    pub steps: &'static [&'static str],
    /// It is what something else looks like from here: others speak before it.
    pub is_effect: bool,
    /// A deploy explains it better than the world does.
    pub is_of_code: bool,
}

const fn sign(
    name: &'static str,
    cause: &'static str,
    phrases: &'static [&'static str],
    steps: &'static [&'static str],
) -> Sign {
    Sign { name, phrases, together: &[], cause, steps, is_effect: false, is_of_code: false }
}

/// What is nearer to the root stands first.
pub static SIGNS: [Sign; 12] = [
    sign(
        "disk_full",
        "A disk is full.",
        &[
            "no space left on device",
            "enospc",
            "disk full",
            "disk is full",
            "disk quota exceeded",
            "not enough space on the disk",
            "could not extend file",
            "database or disk is full",
        ],
        &[
            "Find what filled it (`df`, `du`), and make room.",
            "Writes that failed meanwhile may have to be done again.",
        ],
    ),
    sign(
        "out_of_memory",
        "It ran out of memory.",
        &[
            "out of memory",
            "outofmemoryerror",
            "oom-kill",
            "oom-killer",
            "oomkilled",
            "oom killer",
            "cannot allocate memory",
            "javascript heap out of memory",
            "memoryerror",
            "std::bad_alloc",
            "reached heap limit",
            "exit code 137",
            "exited with code 137",
            "memory limit exceeded",
            "memory cgroup out of memory",
        ],
        &[
            "Look how its memory went: a slow climb is a leak, a jump is a request or a batch.",
            "Give it more only if what it does needs more.",
        ],
    ),
    Sign {
        together: &[&["x509", "expired"], &["certificate", "expired"], &["certificate", "not yet valid"]],
        ..sign(
            "certificate",
            "A certificate is not accepted.",
            &[
                "certificate has expired",
                "certificate verify failed",
                "certificate is expired",
                "unable to get local issuer certificate",
                "self-signed certificate",
                "self signed certificate",
                "certificate signed by unknown authority",
                "pkix path building failed",
                "cert_has_expired",
                "certificateexpiredexception",
                "sslcertverificationerror",
                "sslhandshakeexception",
                "unknown_ca",
            ],
            &[
                "Look at the certificate that the other side shows, its dates and its issuer.",
                "Renew it, or what should have renewed it.",
            ],
        )
    },
    sign(
        "dns",
        "A name it needs cannot be looked up.",
        &[
            "no such host",
            "name or service not known",
            "temporary failure in name resolution",
            "enotfound",
            "eai_again",
            "unknownhostexception",
            "could not resolve host",
            "getaddrinfo failed",
            "nxdomain",
            "nodename nor servname provided",
            "failed to lookup address information",
            "name resolution failure",
        ],
        &["Look the name up from where the service runs.", "If other names fail too, it is the resolver."],
    ),
    sign(
        "refused",
        "What it depends on cannot be reached.",
        &[
            "connection refused",
            "connectionrefusederror",
            "econnrefused",
            "connectexception",
            "unable to connect to database",
            "could not connect to server",
            "no route to host",
            "ehostunreach",
            "network is unreachable",
            "enetunreach",
            "host is unreachable",
            "host is down",
            "no brokers available",
            "failed to connect to",
            "unable to connect to",
            "communications link failure",
            "connection could not be established",
            "server closed the connection unexpectedly",
            "no available servers",
            "serverselectiontimeouterror",
            "the database system is starting up",
            "the database system is shutting down",
        ],
        &[
            "Look whether it runs, and whether the way there is open.",
            "Restarting what only asks for it does not help.",
        ],
    ),
    sign(
        "authentication",
        "It is not let in: its credentials or its rights are not accepted.",
        &[
            "password authentication failed",
            "authentication failed",
            "access denied for user",
            "accessdenied",
            "accessdeniedexception",
            "invalidclienttokenid",
            "expiredtoken",
            "expiredtokenexception",
            "invalid credentials",
            "invalid api key",
            "signaturedoesnotmatch",
            "not authorized to perform",
            "permission denied",
            "eacces",
            "noauth authentication required",
            "wrongpass",
            "login failed for user",
            "token has expired",
            "unrecognizedclientexception",
            "invalid_grant",
            "insufficient privilege",
        ],
        &[
            "Look whether a secret, a token or a role was changed or has run out.",
            "See that what runs has read the new one.",
        ],
    ),
    sign(
        "rate_limited",
        "What it calls limits it: it asks too often.",
        &[
            "too many requests",
            "rate limit exceeded",
            "rate limited",
            "rate-limited",
            "ratelimited",
            "ratelimiterror",
            "throttlingexception",
            "throttled",
            "request was throttled",
            "slow down",
            "slowdown",
            "provisionedthroughputexceededexception",
            "quota exceeded",
            "limitexceededexception",
            "status 429",
            "status code 429",
            "http 429",
            "resource_exhausted",
            "requestlimitexceeded",
        ],
        &[
            "Look what asks so much more than before: a retry loop, a batch, a new caller.",
            "Have the limit raised only if the work needs it.",
        ],
    ),
    Sign {
        is_of_code: true,
        together: &[
            &["relation", "does not exist"],
            &["column", "does not exist"],
            &["environment variable", "not set"],
            &["missing", "environment variable"],
            &["missing", "configuration"],
            &["config", "not found"],
        ],
        ..sign(
            "missing",
            "Something it expects is not there: a setting, a column, a table or a migration.",
            &[
                "undefinedcolumn",
                "undefinedtable",
                "no such column",
                "no such table",
                "unknown column",
                "invalid column name",
                "pending migrations",
                "migrations are pending",
                "pendingmigrationerror",
                "unknown database",
                "missing required environment",
                "missing required configuration",
                "required configuration",
                "is required but not set",
                "could not resolve placeholder",
                "nosuchbeandefinitionexception",
                "modulenotfounderror",
                "cannot find module",
                "classnotfoundexception",
                "noclassdeffounderror",
                "nosuchmethoderror",
            ],
            &[
                "Compare what this version expects with what is there: migrations, settings, tables.",
                "Run what was left out, or go back.",
            ],
        )
    },
    Sign {
        together: &[
            &["connection pool", "exhaust"],
            &["connection pool", "timeout"],
            &["connection pool", "timed out"],
            &["queuepool", "limit"],
            &["pool", "connection is not available"],
        ],
        is_effect: true,
        ..sign(
            "pool_exhausted",
            "It has no connection left in its pool: they are not given back, or not fast enough.",
            &[
                "pool exhausted",
                "pool is exhausted",
                "poolexhaustedexception",
                "pooltimeout",
                "too many connections",
                "too many clients already",
                "remaining connection slots are reserved",
                "timed out waiting for a connection",
                "timeout waiting for connection from pool",
                "timed out fetching a new connection from the connection pool",
                "unable to acquire a connection",
                "unable to acquire jdbc connection",
                "could not get a resource from the pool",
                "connection is not available, request timed out",
                "no connections available",
                "all connections are in use",
                "resourcerequest timed out",
                "timeout acquiring a connection",
                "maxclients",
            ],
            &[
                "Look what holds them: a query that hangs, a transaction that nobody ends, a path that forgets to give one back.",
                "A restart frees them, and does not mend that.",
            ],
        )
    },
    Sign {
        is_effect: true,
        ..sign(
            "timeout",
            "What it waits for does not answer in time.",
            &[
                "timed out",
                "timeouterror",
                "timeoutexception",
                "deadline exceeded",
                "context deadline exceeded",
                "etimedout",
                "read timeout",
                "sockettimeoutexception",
                "gateway timeout",
                "upstream timed out",
                "lock wait timeout exceeded",
                "canceling statement due to statement timeout",
            ],
            &[
                "Look at what it waits for: is that slow, or the way there?",
                "Look for a lock, or a query that has grown.",
            ],
        )
    },
    Sign {
        is_effect: true,
        ..sign(
            "connection_lost",
            "Connections break while they are in use.",
            &[
                "connection reset by peer",
                "connection reset",
                "econnreset",
                "broken pipe",
                "epipe",
                "socket hang up",
                "unexpected eof",
                "connection closed by",
                "server has gone away",
                "lost connection to mysql server",
            ],
            &["Look whether the other side restarts, or something between closes what is idle."],
        )
    },
    Sign {
        is_effect: true,
        ..sign(
            "file_handles",
            "It has no file handle left: something opens files or sockets and does not close them.",
            &["too many open files", "emfile", "enfile"],
            &["Look what it holds open (`/proc/PID/fd`).", "Raise the limit only if what it does needs more."],
        )
    },
];

/// Of a line: what stands further on is not looked at.
const LOOKED_AT: usize = 2048;
/// Longest name of a target that is told.
const TARGET_MAX: usize = 80;

impl Sign {
    pub fn shows(&self, said: &str) -> bool {
        let text = said.split_at(said.floor_char_boundary(LOOKED_AT)).0.to_lowercase();
        let all = |parts: &&[&str]| parts.iter().all(|part| text.contains(part));
        text.lines().any(|line| !words::is_over(line))
            && (self.phrases.iter().any(|phrase| has_words(&text, phrase)) || self.together.iter().any(all))
    }
}

/// `phrase` as whole words: neither begun nor ended within another one.
fn has_words(text: &str, phrase: &str) -> bool {
    text.match_indices(phrase).any(|(at, _)| {
        let before = text.get(..at).and_then(|before| before.chars().next_back());
        let after = text.get(at + phrase.len()..).and_then(|after| after.chars().next());
        let joins = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
        !joins(before) && !joins(after)
    })
}

/// A host and port, or an address, that a line names. Letters, digits, `.`, `-`, `_` and `:` only.
pub(super) fn target(said: &str) -> Option<&str> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':');
    let words = said.split(|c: char| !is_plain(c)).map(|word| word.trim_matches(|c: char| !c.is_ascii_alphanumeric()));
    words.filter(|word| word.len() <= TARGET_MAX).find(|word| {
        let (host, port) = word.rsplit_once(':').map_or((*word, None), |(host, port)| (host, Some(port)));
        let is_address = host.parse::<std::net::Ipv4Addr>().is_ok();
        let is_host = host.starts_with(|c: char| c.is_ascii_alphabetic()) && !host.contains(':');
        match port {
            // `prices.py:20` is a place in a file.
            Some(port) => port.parse::<u16>().is_ok_and(|port| port > 0) && (is_address || is_host && !is_file(host)),
            None => is_address,
        }
    })
}

fn is_file(name: &str) -> bool {
    const ENDS: [&str; 16] =
        ["py", "js", "ts", "mjs", "cjs", "tsx", "jsx", "java", "kt", "go", "rs", "rb", "php", "cs", "c", "cpp"];
    name.rsplit_once('.').is_some_and(|(_, end)| ENDS.contains(&end))
}
