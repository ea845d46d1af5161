//! What keeps Fluent Bit from starting at all.

use super::super::finding::{Finding, Severity};
use super::super::section::Section;
use super::View;
use crate::fault;

/// Keys of an `http` output in 5.1.1: its own (plugins/out_http/http.c) and every output's (src/flb_output.c).
const KNOWN: &[&str] = &[
    "name",
    "match",
    "match_regex",
    "alias",
    "log_level",
    "log_suppress_interval",
    "host",
    "port",
    "ipv6",
    "retry_limit",
    "workers",
    "storage.total_limit_size",
    "tls",
    "proxy",
    "allow_duplicated_headers",
    "log_response_payload",
    "http.response_timeout",
    "http.read_idle_timeout",
    "http_user",
    "http_passwd",
    "header_tag",
    "format",
    "json_date_format",
    "json_date_key",
    "compress",
    "header",
    "uri",
    "http_method",
    "gelf_timestamp_key",
    "gelf_host_key",
    "gelf_short_message_key",
    "gelf_full_message_key",
    "gelf_level_key",
    "body_key",
    "headers_key",
    "net.dns.mode",
    "net.dns.resolver",
    "net.dns.prefer_ipv4",
    "net.dns.prefer_ipv6",
    "net.keepalive",
    "net.keepalive_idle_timeout",
    "net.tcp_keepalive",
    "net.tcp_keepalive_time",
    "net.tcp_keepalive_interval",
    "net.tcp_keepalive_probes",
    "net.io_timeout",
    "net.connect_timeout",
    "net.connect_timeout_log_error",
    "net.source_address",
    "net.keepalive_max_recycle",
    "net.max_worker_connections",
    "net.proxy_env_ignore",
    "processors",
    "routes",
    "id",
];

/// Families of keys that are not looked at one by one; `driver ` marks options that FireLens keeps for itself.
const FAMILIES: [&str; 5] = ["tls.", "oauth2.", "aws_", "_debug.http.", "driver "];

/// Keys that may stand several times, or of which the last is taken without a word.
const MAY_REPEAT: [&str; 4] = ["header", "processors", "routes", "name"];

/// Keys that 1.9.10 does not know (its plugins/out_http/http.c and src/flb_upstream.c): it refuses to start.
const NEWER: [(&str, &str); 9] = [
    ("http.response_timeout", "4.0.9"),
    ("http.read_idle_timeout", "4.0.9"),
    ("http_method", "4.2"),
    ("net.io_timeout", "2.0"),
    ("net.max_worker_connections", "2.2"),
    ("net.dns.prefer_ipv6", "3.0"),
    ("net.tcp_keepalive", "3.2"),
    ("net.proxy_env_ignore", "4.1"),
    ("oauth2.enable", "5.0"),
];

/// An unknown key: "unknown configuration property" (src/flb_config_map.c).
pub(super) fn unknown_key(_: &View<'_>, output: &Section, findings: &mut Vec<Finding>) {
    for entry in &output.entries {
        let key = entry.key.as_str();
        if KNOWN.contains(&key) || FAMILIES.iter().any(|family| key.starts_with(family)) {
            continue;
        }
        let finding = output
            .about("startup_unknown_key", Severity::Lost, entry)
            .says("The http output of 5.1.1 has no such key, and with an unknown one Fluent Bit does not start.");
        findings.push(match fault::closest(key, KNOWN.iter().copied()) {
            Some(near) => finding.write(near, if entry.shown().contains("***") { "..." } else { entry.value.as_str() }),
            None => finding.remove(),
        });
    }
}

/// A key of the plugin's own that stands twice: "is set 2 times" (src/flb_config_map.c). Keys of every output may:
/// the last one is in force.
pub(super) fn key_twice(_: &View<'_>, output: &Section, findings: &mut Vec<Finding>) {
    let own = KNOWN.iter().skip_while(|key| **key != "proxy");
    for key in own.take_while(|key| **key != "net.dns.mode").filter(|key| !MAY_REPEAT.contains(key)) {
        if let Some(second) = output.all(key).nth(1) {
            let finding = output.about("startup_key_twice", Severity::Lost, second);
            findings.push(finding.says("The key stands twice in this section: Fluent Bit does not start.").remove());
        }
    }
}

/// On ECS the router's image decides which release runs: aws-for-fluent-bit 2.x is 1.9.10, 3.x is 4.1 and later.
pub(super) fn not_in_old_releases(view: &View<'_>, output: &Section, findings: &mut Vec<Finding>) {
    let Some(firelens) = &view.configuration.firelens else { return };
    let image = firelens.image.as_deref().unwrap_or_default();
    let tag = image.rsplit_once(':').map(|(_, tag)| tag).unwrap_or_default();
    // `init-2.32.0`, `debug-2.32.0`: the release stands last.
    let tag = tag.rsplit('-').next().unwrap_or_default();
    let is_old = image.contains("aws-for-fluent-bit") && (tag.starts_with("2.") || tag == "2");
    let is_new = image.contains("aws-for-fluent-bit") && (tag.starts_with("3.") || tag == "3");
    if is_new {
        return;
    }
    let severity = if is_old { Severity::Lost } else { Severity::Note };
    for (key, since) in NEWER {
        if let Some(entry) = output.get(key) {
            findings.push(
                output
                    .about("startup_not_in_old_releases", severity, entry)
                    .says(format!("From {since} on; with aws-for-fluent-bit 2.x (1.9.10) the router does not start."))
                    .remove(),
            );
        }
    }
}

/// POST and PUT only, from 4.2 on (plugins/out_http/http_conf.c).
pub(super) fn method(_: &View<'_>, output: &Section, findings: &mut Vec<Finding>) {
    let Some(method) = output.known("http_method") else { return };
    if !method.eq_ignore_ascii_case("POST") && !method.eq_ignore_ascii_case("PUT") {
        let finding = output.finding("startup_method", Severity::Lost, "http_method", "");
        findings.push(finding.says("Neither POST nor PUT: Fluent Bit does not start.").write("http_method", "POST"));
    }
}

#[cfg(test)]
mod tests {
    use crate::fluent_bit::tests::{rules, rules_of};

    #[test]
    fn what_keeps_fluent_bit_from_starting_is_told() {
        for (keys, expected) in [
            ("", ""),
            (" Retry_Limits 3\n", "lost startup_unknown_key"),
            (" Bogus x\n", "lost startup_unknown_key"),
            (" tls.ca_file /x\n oauth2.scope a\n net.dns.mode TCP\n", ""),
            (" Format json\n format json\n", "lost startup_key_twice"),
            (" Header A b\n Header A c\n Host a\n Host b\n", ""),
            (" http_method GET\n", "lost startup_method"),
            (" http_method put\n", ""),
        ] {
            let text = format!("[OUTPUT]\n Name http\n Match *\n URI /ingest\n{keys}");
            assert_eq!(rules(&text, "startup_"), expected, "{keys}");
        }
    }

    #[test]
    fn a_key_that_an_old_router_does_not_know_is_told() {
        for (image, key, expected) in [
            ("aws-for-fluent-bit:2.32.0", "net.io_timeout", "lost startup_not_in_old_releases"),
            ("aws-for-fluent-bit:init-2.32.0", "net.io_timeout", "lost startup_not_in_old_releases"),
            ("aws-for-fluent-bit:stable", "net.io_timeout", "note startup_not_in_old_releases"),
            ("public.ecr.aws/aws-observability/aws-for-fluent-bit:3.0.0", "net.io_timeout", ""),
            ("aws-for-fluent-bit:2.32.0", "net.keepalive", ""),
        ] {
            let text = format!(
                r#"[{{"image": "{image}", "firelensConfiguration": {{"type": "fluentbit"}}}},
                {{"logConfiguration": {{"logDriver": "awsfirelens", "options": {{"Name": "http", "URI": "/ingest", "{key}": "30"}}}}}}]"#
            );
            assert_eq!(rules_of("t.json", &text, "startup_"), expected, "{image}");
        }
    }
}
