//! Connections and how long an answer is waited for.

use super::super::finding::{Finding, Severity};
use super::super::section::Section;
use super::super::values::{self, Retries};
use super::View;

/// The receiver holds a request for up to `admission_wait_seconds` before it says 503, and answers any within
/// `request_seconds`. Who gives up before sends again and uses up a retry; it is still counted once.
/// `http.response_timeout` is 60 s, from 4.0.9 on; `net.io_timeout`, if lower, rules; 1.9.10 has neither.
pub(super) fn patience(view: &View<'_>, output: &Section, findings: &mut Vec<Finding>) {
    let receiver = view.receiver;
    for key in ["http.response_timeout", "net.io_timeout"] {
        let Some(text) = output.known(key) else { continue };
        let seconds = values::seconds(text);
        let needed = i64::try_from(receiver.request_seconds.saturating_add(5)).unwrap_or(i64::MAX);
        let held = i64::try_from(receiver.admission_wait_seconds).unwrap_or(i64::MAX);
        if seconds <= 0 {
            continue;
        }
        // A tee gives up early on purpose: what a chunk waits for us it waits in memory that others share.
        let endless = matches!(View::retries(output), Some(Retries::Unlimited));
        if seconds <= held && (endless || !view.holds_memory(output)) {
            let finding = output.finding("network_patience", Severity::Slowed, key, "").says(format!(
                "Shorter than the {held} s for which a busy receiver holds a request: it is sent again, each time a retry \
                 less (and still counted once)."
            ));
            // An old router does not know the key at all.
            findings.push(if view.is_firelens() { finding.remove() } else { finding.write(key, format!("{needed}s")) });
        }
    }
    if view.is_fragment() || view.is_firelens() {
        return;
    }
    if !["http.response_timeout", "net.io_timeout"].iter().any(|key| output.has(key)) {
        findings.push(
            output
                .finding("network_patience", Severity::Note, "net.io_timeout", "no limit")
                .says("Before 4.0.9 a receiver that vanishes without a word is waited for without end (the key is known from 2.0 on).")
                .write("net.io_timeout", "60s"),
        );
    }
}

/// At the limit a flush fails with "no upstream connections available" and counts as a retry (src/flb_upstream.c; 623
/// such failures in 10 s were measured with a limit of 1). From 2.2 on.
pub(super) fn connections(_: &View<'_>, output: &Section, findings: &mut Vec<Finding>) {
    let key = "net.max_worker_connections";
    if output.known(key).is_none_or(|text| values::leading(text) <= 0) {
        return;
    }
    let endless = View::retries(output) == Some(Retries::Unlimited);
    let severity = if endless { Severity::Slowed } else { Severity::Lost };
    let says =
        "A chunk that finds no free connection does not wait: it uses up a retry, in a burst until none is left.";
    findings.push(output.finding("network_connections", severity, key, "").says(says).write(key, "0"));
}

/// Connections that stay: `net.keepalive` on, closed by the sender after 30 s idle (src/flb_upstream.c).
pub(super) fn keepalive(view: &View<'_>, output: &Section, findings: &mut Vec<Finding>) {
    if output.known("net.keepalive").and_then(values::boolean) == Some(false) {
        findings.push(
            output
                .finding("network_keepalive", Severity::Slowed, "net.keepalive", "")
                .says("A new connection for each chunk; and an answer is never confirmed, so a repeat is told from news less well.")
                .write("net.keepalive", "on"),
        );
        return;
    }
    let idle = view.receiver.idle_seconds;
    let key = "net.keepalive_idle_timeout";
    let longer = |text: &str| u64::try_from(values::seconds(text)).is_ok_and(|seconds| seconds >= idle);
    if output.known(key).is_some_and(longer) {
        findings.push(
            output
                .finding("network_keepalive", Severity::Slowed, key, "")
                .says(format!(
                    "The receiver closes idle connections after {idle} s: a chunk sent just then costs a retry."
                ))
                .write(key, "30s"),
        );
    }
}

/// The requests go to the proxy, which may pool, cut or answer them itself.
pub(super) fn proxy(_: &View<'_>, output: &Section, findings: &mut Vec<Finding>) {
    if output.has("proxy") {
        findings.push(output.finding("network_proxy", Severity::Note, "proxy", "").says(
            "A 4xx or 2xx of the proxy counts as the receiver's; bodies of 12 MB and answers after 30 s must pass it.",
        ));
    }
}

#[cfg(test)]
mod tests {
    use crate::fluent_bit::tests::rules;

    #[test]
    fn connections_and_patience_are_judged() {
        for (keys, expected) in [
            ("", ""),
            (" http.response_timeout 10s\n", ""),
            (" http.response_timeout 10s\n Retry_Limit off\n", "slowed network_patience"),
            (" http.response_timeout 35s\n", ""),
            (" net.io_timeout 1m\n", ""),
            (" net.io_timeout 5\n", ""),
            (" net.io_timeout 5\n Retry_Limit off\n", "slowed network_patience"),
            (" net.max_worker_connections 4\n", "lost network_connections"),
            (" net.max_worker_connections 4\n Retry_Limit off\n", "slowed network_connections"),
            (" net.max_worker_connections 0\n", ""),
            (" net.keepalive off\n", "slowed network_keepalive"),
            (" net.keepalive on\n", ""),
            (" net.keepalive_idle_timeout 90\n", "slowed network_keepalive"),
            (" net.keepalive_idle_timeout 30\n", ""),
            (" proxy http://p:1\n", "note network_proxy"),
        ] {
            let text = format!("[OUTPUT]\n Name http\n Match *\n URI /ingest\n{keys}");
            assert_eq!(rules(&text, "network_"), expected, "{keys}");
        }
        let whole = "[INPUT]\n Name tail\n[OUTPUT]\n Name http\n Match *\n URI /ingest\n";
        assert_eq!(rules(whole, "network_"), "note network_patience");
    }
}
