//! The `[server]` section: listeners, who may use them, and how much they take in.
//!
//! What other hosts can reach is never open to anyone who happens to connect: such a configuration
//! is refused here, with the lines that make it a safe one.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::thread;

use ipnet::IpNet;

use crate::config::defaults as d;
use crate::config::reader::{Section, Setting};
use crate::config::text::{self, LISTEN_FORM, URL_FORM};
use crate::config::tls::{self, Files};
use crate::config::{Server, Token};
use crate::fault::{Fault, join};
use crate::secret::Secret;

pub(super) fn read(mut section: Section<'_, '_>) -> Server {
    let listen = section.text("listen", LISTEN_FORM, text::listen);
    let control_listen = section.text("control_listen", LISTEN_FORM, text::listen);
    let workers = section.count("workers", workers());
    let control_token = section.secret("control_token", d::TOKEN_MIN_BYTES);
    let max_encoded_bytes = section.whole("max_encoded_bytes", d::MAX_ENCODED_BYTES);
    let max_decoded_bytes = section.whole("max_decoded_bytes", d::MAX_DECODED_BYTES);
    if max_decoded_bytes < max_encoded_bytes {
        let expected = format!("at least server.max_encoded_bytes ({max_encoded_bytes})");
        section.reader.push(Fault::wrong(section.key("max_decoded_bytes"), expected, max_decoded_bytes));
    }
    let (tokens, tokens_given) = tokens(&mut section);
    let tls = tls(section.section("tls"));
    let proves = tokens_given > 0 || tls.as_ref().is_some_and(|tls| tls.client_ca.is_some());
    refuse_shared_secrets(&mut section, &control_token, &tokens);
    refuse_open_doors(&mut section, &listen, &control_listen, proves, control_token.is_given());
    let public_url = section.text("public_url", URL_FORM, text::public_url);
    let auth_header = section.text("auth_header", HEADER_FORM, text::header_name);

    let server = Server {
        listen: listen.good().unwrap_or_else(default_listen),
        control_listen: control_listen.good(),
        workers,
        public_url: public_url.good(),
        control_token: control_token.good(),
        tokens: tokens.into_iter().map(|(_, token)| token).collect(),
        auth_header: auth_header.good().unwrap_or_else(|| d::AUTH_HEADER.to_owned()),
        retired_grace_seconds: section.whole("retired_grace_seconds", d::RETIRED_GRACE_SECONDS),
        trusted_proxies: section.texts("trusted_proxies", d::TRUSTED_PROXIES_MAX, RANGE_FORM, address_range),
        tls,
        max_connections: section.count("max_connections", d::MAX_CONNECTIONS),
        max_requests: section.count("max_requests", d::MAX_REQUESTS),
        max_bytes_in_flight: section.whole("max_bytes_in_flight", d::MAX_BYTES_IN_FLIGHT),
        header_seconds: section.whole("header_seconds", d::HEADER_SECONDS),
        idle_seconds: section.whole("idle_seconds", d::IDLE_SECONDS),
        min_body_rate: section.whole("min_body_rate", d::MIN_BODY_RATE),
        admission_wait_seconds: section.whole("admission_wait_seconds", d::ADMISSION_WAIT_SECONDS),
        request_seconds: section.whole("request_seconds", d::REQUEST_SECONDS),
        max_encoded_bytes,
        max_decoded_bytes,
        drain_seconds: section.whole("drain_seconds", d::DRAIN_SECONDS),
    };
    section.finish();
    server
}

/// As many as the machine (or the container) has cores.
fn workers() -> d::Whole {
    let cores = thread::available_parallelism().map_or(1, |cores| cores.get() as u64);
    d::Whole { default: cores.min(d::WORKERS_MAX), min: 1, max: d::WORKERS_MAX }
}

fn default_listen() -> SocketAddr {
    // A test holds the text in `defaults` to this; there is nothing to report to if it were not one.
    d::LISTEN.parse().unwrap_or_else(|_| SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)))
}

/// The good tokens, each with its path, and how many were given, good or not.
fn tokens(section: &mut Section<'_, '_>) -> (Vec<(String, Token)>, usize) {
    let tables = section.tables("token", d::TOKENS_MAX);
    let given = tables.len();
    let mut names: BTreeMap<String, String> = BTreeMap::new();
    let mut tokens = Vec::new();
    for (path, table) in tables {
        let mut token = section.reader.element(path.clone(), table);
        let name = token.text("name", NAME_FORM, token_name);
        if !name.is_given() {
            token.reader.push(Fault::missing(token.key("name"), NAME_FORM));
        }
        let secret = token.secret("secret", d::TOKEN_MIN_BYTES);
        if !secret.is_given() {
            token.reader.push(Fault::new(token.key("secret"), "is missing; give secret or secret_file"));
        }
        let retired = token.moment("retired");
        let name = name.good();
        if let Some(name) = &name
            && let Some(first) = names.insert(name.clone(), path.clone())
        {
            let message = format!("{name:?} is already the name of {first}");
            token.reader.push(Fault::new(token.key("name"), message));
        }
        token.finish();
        if let (Some(name), Some(secret)) = (name, secret.good()) {
            tokens.push((path, Token { name, secret, retired }));
        }
    }
    (tokens, given)
}

/// The files of `[server.tls]`, read once to see whether they are any good.
fn tls(mut section: Section<'_, '_>) -> Option<Files> {
    let mut file = |name: &str| section.text(name, "the path of a file", text::path);
    let (cert, key, client_ca) = (file("cert_file"), file("key_file"), file("client_ca_file"));
    if !section.is_in_file() && !cert.is_given() && !key.is_given() && !client_ca.is_given() {
        section.finish();
        return None;
    }
    for (name, setting) in [("cert_file", &cert), ("key_file", &key)] {
        if !setting.is_given() {
            section.reader.push(Fault::missing(section.key(name), "the path of a PEM file"));
        }
    }
    let files = match (cert, key) {
        (Setting::Good(cert), Setting::Good(key)) => {
            let cwd = section.reader.cwd();
            let client_ca = client_ca.good().map(|path| cwd.join(path));
            Some(Files { cert: cwd.join(cert), key: cwd.join(key), client_ca })
        }
        _ => None,
    };
    if let Some(files) = &files
        && let Err(wrong) = tls::load(files)
    {
        section.reader.push(Fault::new(section.key(wrong.part.key()), wrong.message));
    }
    section.finish();
    files
}

const HEADER_FORM: &str = "the name of a header";
const RANGE_FORM: &str = "an address or a range such as 10.0.0.0/8";

fn address_range(text: &str) -> Result<IpNet, text::Hint> {
    text.parse::<IpNet>().or_else(|_| text.parse::<std::net::IpAddr>().map(IpNet::from)).map_err(|_| None)
}

/// A name stands in metrics, and before the colon of Basic auth.
const NAME_FORM: &str = "1 to 64 of letters, digits, _, . and -";

fn token_name(text: &str) -> Result<String, Option<String>> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
    let fits = (1..=d::TOKEN_NAME_MAX_CHARS).contains(&text.len()) && text.bytes().all(allowed);
    if fits { Ok(text.to_owned()) } else { Err(None) }
}

/// A Bearer header holds the secret alone: two tokens with one secret could not be told apart, and
/// an ingest token must never open control.
fn refuse_shared_secrets(section: &mut Section<'_, '_>, control: &Setting<Secret>, tokens: &[(String, Token)]) {
    for (at, (path, token)) in tokens.iter().enumerate() {
        let same = |other: &Secret| token.secret.same_as(other.expose().as_bytes());
        if let Some((earlier, _)) = tokens.iter().take(at).find(|(_, earlier)| same(&earlier.secret)) {
            let message = format!("is the same as that of {earlier}; every token needs its own");
            section.reader.push(Fault::new(join(path, "secret"), message));
        }
        if let Setting::Good(control) = control
            && same(control)
        {
            let message = "is the same as server.control_token; an ingest token must not open control";
            section.reader.push(Fault::new(join(path, "secret"), message));
        }
    }
}

/// What other hosts can reach is served to those who can prove themselves, or not at all.
fn refuse_open_doors(
    section: &mut Section<'_, '_>,
    listen: &Setting<SocketAddr>,
    control_listen: &Setting<SocketAddr>,
    proves: bool,
    has_control_token: bool,
) {
    if let Setting::Good(address) = listen
        && !text::is_loopback(address)
        && !proves
    {
        let port = address.port();
        section.reader.push(Fault::new(
            section.key("listen"),
            format!(
                "{address} can be reached from other hosts, and no token is configured: anyone could send. \
                 Listen on 127.0.0.1:{port}, or add\n    \
                 [[server.token]]\n    \
                 name = \"fluent-bit\"\n    \
                 secret = \"…\"  # {min} bytes or more; or secret_file = \"/run/secrets/…\"",
                min = d::TOKEN_MIN_BYTES,
            ),
        ));
    }
    let Setting::Good(control) = control_listen else {
        return;
    };
    if !text::is_loopback(control) && !has_control_token {
        section.reader.push(Fault::new(
            section.key("control_listen"),
            format!(
                "{control} can be reached from other hosts, and no server.control_token is set: anyone could \
                 change watches. Listen on 127.0.0.1:{port}, or add\n    \
                 [server]\n    \
                 control_token = \"…\"  # {min} bytes or more; or control_token_file = \"/run/secrets/…\"",
                port = control.port(),
                min = d::TOKEN_MIN_BYTES,
            ),
        ));
    }
    let serves = match listen {
        Setting::Good(address) => Some(*address),
        Setting::Absent => Some(default_listen()),
        Setting::Faulty => None,
    };
    if serves == Some(*control) && control.port() != 0 {
        let message = format!("{control} is server.listen already; leave it out, or give it a port of its own");
        section.reader.push(Fault::new(section.key("control_listen"), message));
    }
}
