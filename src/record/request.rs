//! What a JSON line about a request calls its parts, and the one name that each has for rules.
//!
//! Consulted only when the line has no field of that name itself, and only for lines that hold a request: whatever
//! else an application calls its status is its own affair.

use std::sync::LazyLock;

use memchr::memmem::Finder;

/// Does a prober's name stand anywhere in it?
pub(super) fn names_probe(text: &[u8]) -> bool {
    // Building these costs more than most searches.
    static PROBES: LazyLock<[Finder<'static>; 3]> = LazyLock::new(|| super::access::PROBES.map(Finder::new));
    PROBES.iter().any(|probe| probe.find(text).is_some())
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
