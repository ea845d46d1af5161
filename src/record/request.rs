//! What a JSON line about a request calls its parts, and the one name that each has for rules.
//!
//! Consulted only when the line has no field of that name itself, and only for lines that hold a request: whatever
//! else an application calls its status is its own affair.

use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, MatchKind};

/// Does a prober's name stand anywhere in it?
pub(super) fn names_probe(text: &[u8]) -> bool {
    // Building it costs more than most searches; one search for all costs less than one for each.
    static PROBES: LazyLock<Option<AhoCorasick>> =
        LazyLock::new(|| AhoCorasick::builder().match_kind(MatchKind::LeftmostFirst).build(super::access::PROBES).ok());
    // In doubt it is looked at.
    PROBES.as_ref().is_none_or(|probes| probes.is_match(text))
}

/// Where else to look for what rules call `name`.
pub(super) fn aliases(name: &str) -> &'static [&'static str] {
    match name {
        "status" => &[
            "statusCode",
            "status_code",
            "http.response.status_code",
            "http.status_code",
            "res.statusCode",
            "httpRequest.status",
            "response_code",
            "DownstreamStatus",
            "StatusCode",
            "EdgeResponseStatus",
        ],
        "method" => &[
            "req.method",
            "request.method",
            "http.request.method",
            "http.method",
            "httpRequest.requestMethod",
            "request_method",
            "RequestMethod",
            "verb",
            "ClientRequestMethod",
        ],
        "path" => &[
            "req.url",
            "request.uri",
            "url.path",
            "http.target",
            "http.path",
            "http.url",
            "httpRequest.requestUrl",
            "request_uri",
            "RequestPath",
            "uri",
            "url",
            "ClientRequestURI",
        ],
        "bytes" => &[
            "body_bytes_sent",
            "bytes_sent",
            "size",
            "http.response.body.bytes",
            "httpRequest.responseSize",
            "DownstreamContentSize",
            "EdgeResponseBytes",
        ],
        "duration_ms" => &["responseTime", "latency_ms", "elapsed_ms", "Elapsed"],
        "agent" => &[
            "http_user_agent",
            "user_agent.original",
            "user_agent",
            "userAgent",
            "req.headers.user-agent",
            "request.headers.User-Agent",
            "httpRequest.userAgent",
            "request_User-Agent",
            "http.user_agent",
        ],
        _ => &[],
    }
}
