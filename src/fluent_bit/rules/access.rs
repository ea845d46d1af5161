//! Who the receiver thinks is sending, and over what kind of connection.

use std::net::IpAddr;

use super::super::finding::{Finding, Severity};
use super::super::section::{Entry, Section};
use super::super::values;
use super::{View, routing};

/// A 401 is a 4xx: dropped at once by 3.1 and later, after the retries by older ones (plugins/out_http/http.c).
const REFUSED: &str =
    "answered 401, and Fluent Bit 3.1 and later drop every chunk at once, older ones after their retries.";

/// With tokens configured a sender must prove itself: Basic (`http_User` names the token), Bearer, or the header that
/// `server.auth_header` names.
pub(super) fn credentials(view: &View<'_>, output: &Section, findings: &mut Vec<Finding>) {
    let receiver = view.receiver;
    if receiver.token_names.is_empty() || (receiver.tls && output.has("tls.crt_file")) {
        return;
    }
    let carries = |name: &str| {
        output.all("header").find(|entry| entry.known().is_none() || entry.words().0.eq_ignore_ascii_case(name))
    };
    let by_header = carries("authorization").or_else(|| carries(receiver.auth_header.as_deref()?));
    let name = receiver.token_names.first().map_or("NAME", String::as_str);
    let mut lost = |finding: Finding| {
        findings.push(finding.write("http_User", name).write("http_Passwd", "${EMBERWATCH_TOKEN}"));
    };
    for key in ["aws_auth", "oauth2.enable"] {
        if output.known(key).and_then(values::boolean) == Some(true) {
            let finding = output.finding("access_credentials", Severity::Lost, key, "");
            return lost(finding.says(format!("The receiver knows its own tokens only: {REFUSED}")));
        }
    }
    match (output.get("http_user"), by_header) {
        (None, None) => lost(
            output
                .finding("access_credentials", Severity::Lost, "http_User", "")
                .says(format!("The receiver asks for a token: {REFUSED}")),
        ),
        (Some(user), by_header) => {
            let known = user.known().is_none_or(|user| receiver.token_names.iter().any(|name| name == user));
            if !known {
                lost(
                    output
                        .about("access_credentials", Severity::Lost, user)
                        .says(format!("No [[server.token]] has that name: {REFUSED}")),
                );
            } else if !output.has("http_passwd") {
                lost(
                    output
                        .finding("access_credentials", Severity::Lost, "http_Passwd", "empty")
                        .says(format!("No secret is sent: {REFUSED}")),
                );
            }
            if let Some(header) = by_header.filter(|entry| entry.words().0.eq_ignore_ascii_case("authorization")) {
                findings.push(
                    output
                        .about("access_credentials", Severity::Note, header)
                        .says("http_User makes an Authorization, too; it comes first and is the one that counts.")
                        .remove(),
                );
            }
        }
        (None, Some(_)) => {}
    }
}

/// A secret in the file is read by whoever reads the file, the image or the task definition.
pub(super) fn password_readable(view: &View<'_>, output: &Section, findings: &mut Vec<Finding>) {
    let password = output.get("http_passwd").filter(|entry| !entry.value.is_empty());
    let header = output.all("header").find(|entry| {
        let (name, value) = entry.words();
        name.eq_ignore_ascii_case("authorization") && !value.is_empty()
    });
    for entry in password.into_iter().chain(header).filter(|entry| entry.known().is_some()) {
        let finding = output
            .about("access_password_readable", Severity::Note, entry)
            .says("The secret stands in the file, for everyone who can read it.");
        findings.push(if view.is_firelens() {
            finding.otherwise(format!(
                "Move it to secretOptions: {{\"name\": \"{}\", \"valueFrom\": \"arn:...\"}}",
                entry.written
            ))
        } else if entry.key == "header" {
            finding.write("Header", "Authorization Bearer ${EMBERWATCH_TOKEN}")
        } else {
            finding.write("http_Passwd", "${EMBERWATCH_TOKEN}")
        });
    }
}

/// TLS on one side only, no check of the certificate, or a secret over plain HTTP.
pub(super) fn encryption(view: &View<'_>, output: &Section, findings: &mut Vec<Finding>) {
    let tls = match output.get("tls").map(Entry::known) {
        Some(None) => return,
        Some(Some(text)) => values::boolean(text) == Some(true),
        None => false,
    };
    let same_port = routing::port_of(output) == Some(view.receiver.listen.port());
    if tls && !view.receiver.tls && same_port {
        findings.push(
            output
                .finding("access_encryption", Severity::Lost, "tls", "")
                .says("The receiver speaks plain HTTP on this port: no connection comes about, and retries run out.")
                .write("tls", "off")
                .otherwise("or give the receiver a certificate (or a balancer before it that has one)."),
        );
    }
    if !tls && view.receiver.tls && same_port {
        findings.push(
            output
                .finding("access_encryption", Severity::Lost, "tls", "the default is off")
                .says("The receiver speaks TLS on this port: no request is understood, and retries run out.")
                .write("tls", "on"),
        );
    }
    if tls && output.known("tls.verify").and_then(values::boolean) == Some(false) {
        findings.push(
            output
                .finding("access_encryption", Severity::Note, "tls.verify", "")
                .says("Anyone in between can read the lines and the token.")
                .write("tls.verify", "on"),
        );
    }
    let sends_secret = output.has("http_user")
        || output.all("header").any(|entry| entry.words().0.eq_ignore_ascii_case("authorization"));
    if !tls && sends_secret && is_elsewhere(output) && !view.receiver.tls {
        findings.push(
            output
                .finding("access_encryption", Severity::Note, "Host", "")
                .says("The token goes there in plain HTTP, readable on the way.")
                .otherwise("Use `tls on` and a receiver or balancer with a certificate, or keep this network private."),
        );
    }
}

/// A port on this machine where nobody listens, or a receiver that only this machine can reach.
pub(super) fn port(view: &View<'_>, output: &Section, findings: &mut Vec<Finding>) {
    let listen = view.receiver.listen;
    let Some(port) = routing::port_of(output) else { return };
    let elsewhere = is_elsewhere(output);
    if port != listen.port() && !elsewhere && output.get("host").is_none_or(|entry| entry.known().is_some()) {
        findings.push(
            output
                .finding("access_port", Severity::Lost, "Port", "the default is 80")
                .says(format!("The receiver listens on {listen} (server.listen): nobody answers, and retries run out."))
                .write("Port", listen.port().to_string()),
        );
    } else if elsewhere && port == listen.port() && listen.ip().to_canonical().is_loopback() {
        findings.push(
            output.finding("access_port", Severity::Note, "Host", "").says(format!(
                "By the configuration this check was given, the receiver listens on {listen} and only this machine reaches it."
            )),
        );
    }
}

/// Whether `Host` is another machine. Fluent Bit's default is 127.0.0.1.
fn is_elsewhere(output: &Section) -> bool {
    let Some(host) = output.known("host") else { return false };
    let host = host.trim_matches(['[', ']']);
    !host.eq_ignore_ascii_case("localhost")
        && host.parse::<IpAddr>().map_or(true, |ip| !ip.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use crate::fluent_bit::Receiver;
    use crate::fluent_bit::tests::{receiver, rules_with};

    fn told(receiver: &Receiver, keys: &str) -> String {
        rules_with(
            receiver,
            "f.conf",
            &format!("[OUTPUT]\n Name http\n Match *\n URI /ingest\n Port 8080\n{keys}"),
            "access_",
        )
    }

    #[test]
    fn a_receiver_with_tokens_wants_a_known_one() {
        let asking =
            Receiver { token_names: vec!["web".to_owned()], auth_header: Some("X-Key".to_owned()), ..receiver() };
        for (keys, expected) in [
            ("", "lost access_credentials"),
            (" http_User web\n http_Passwd ${P}\n", ""),
            (" http_User ${U}\n http_Passwd ${P}\n", ""),
            (" http_User app\n http_Passwd ${P}\n", "lost access_credentials"),
            (" http_User web\n", "lost access_credentials"),
            (" Header Authorization Bearer ${P}\n", ""),
            (" Header X-Key ${P}\n", ""),
            (" Header X-Other p\n", "lost access_credentials"),
            (" aws_auth on\n", "lost access_credentials"),
            (" http_User web\n http_Passwd p\n", "note access_password_readable"),
            (" Header Authorization Bearer p\n", "note access_password_readable"),
            (" http_User web\n http_Passwd ${P}\n Header Authorization Bearer ${Q}\n", "note access_credentials"),
        ] {
            assert_eq!(told(&asking, keys), expected, "{keys}");
        }
        assert_eq!(told(&receiver(), " http_User anyone\n http_Passwd ${P}\n"), "");
    }

    #[test]
    fn both_sides_must_speak_the_same() {
        let encrypted = Receiver { tls: true, listen: "0.0.0.0:8080".parse().unwrap(), ..receiver() };
        for (receiver, keys, expected) in [
            (&receiver(), " tls on\n", "lost access_encryption"),
            (&receiver(), " tls off\n", ""),
            (&encrypted, "", "lost access_encryption"),
            (&encrypted, " tls on\n", ""),
            (&encrypted, " tls on\n tls.verify off\n", "note access_encryption"),
            (&encrypted, " tls ${TLS}\n", ""),
            (&encrypted, " Host 127.0.0.1\n Port 9\n tls on\n", "lost access_port"),
            (&encrypted, " Host balancer\n Port 443\n tls on\n", ""),
            (&receiver(), " Host 10.0.0.1\n", "note access_port"),
            (
                &receiver(),
                " Host 10.0.0.1\n http_User u\n http_Passwd ${P}\n",
                "note access_encryption, note access_port",
            ),
        ] {
            assert_eq!(told(receiver, keys), expected, "{keys}");
        }
    }
}
