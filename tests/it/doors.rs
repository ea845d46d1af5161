//! Who may send, and over what: TLS and its rotation, client certificates, retired tokens, headers of one's
//! own, addresses behind proxies.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::json;

use crate::control::{Scrape, counting, matched, put, serving};
use crate::world::eventually;
use crate::world::http::{Connection, Message, Request};
use crate::world::program::Program;
use crate::world::tls::{Authority, Identity, TlsConnection};

const SOON: Duration = Duration::from_secs(30);
const LINE: &str = "{\"log\":\"hit\"}\n";
const OLD: &str = "0123456789abcdef";
const NEW: &str = "fedcba9876543210";

fn post() -> Request {
    Request::bare("POST", "/ingest").body(LINE)
}

fn bearer(secret: &str) -> Request {
    post().header("Authorization", &format!("Bearer {secret}"))
}

fn status(answer: &Message) -> &str {
    answer.start.split(' ').nth(1).expect("a status")
}

fn watch_hits(control: SocketAddr) {
    put(control, &counting("hit", &json!({"contains": "hit"})));
}

/// TLS for senders; control in plain HTTP on a loopback listener of its own.
fn tls_config(folder: &Path, rest: &str) -> String {
    format!(
        "[server]\ncontrol_listen = \"127.0.0.1:0\"\n[server.tls]\ncert_file = {:?}\nkey_file = {:?}\n{rest}",
        folder.join("cert.pem"),
        folder.join("key.pem"),
    )
}

// === TLS ===

#[test]
fn over_tls_a_sender_is_answered_and_counted_and_plain_http_is_not() {
    let (folder, authority) = (tempfile::tempdir().expect("a folder"), Authority::new());
    authority.issue().write(folder.path());
    let program = serving(&tls_config(folder.path(), ""));
    watch_hits(program.control_addr());
    let mut connection = TlsConnection::open(program.ingest_addr(), &authority, None).expect("a handshake");
    for _ in 0..3 {
        let answer = connection.send(&post().header("Accept", "*/*")).expect("an answer");
        assert_eq!(status(&answer), "204");
    }
    assert_eq!(matched(program.control_addr(), "hit"), 3);
    // Plain HTTP, and junk: closed, counted, and in nobody's way.
    for bytes in [&b"POST /ingest HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"[..], b"\x16\x03\x01\xff\xff junk"] {
        let mut plain = TcpStream::connect(program.ingest_addr()).expect("connecting");
        plain.write_all(bytes).expect("writing");
        plain.shutdown(std::net::Shutdown::Write).expect("no more comes");
        let mut answer = Vec::new();
        drop(plain.read_to_end(&mut answer));
        assert!(!answer.starts_with(b"HTTP/"), "no HTTP answer in plain");
    }
    eventually("both were counted", SOON, || {
        (Scrape::of(program.control_addr()).get("tls_handshakes_failed_total") == 2).then_some(())
    });
    assert_eq!(status(&connection.send(&post().header("Accept", "*/*")).expect("an answer")), "204");
}

#[test]
fn a_new_certificate_is_served_without_a_restart_and_a_bad_one_changes_nothing() {
    let (folder, authority) = (tempfile::tempdir().expect("a folder"), Authority::new());
    let first = authority.issue();
    first.write(folder.path());
    let program = serving(&tls_config(folder.path(), ""));
    let shown = |program: &Program| {
        TlsConnection::open(program.ingest_addr(), &authority, None).expect("a handshake").server_certificate()
    };
    let mut held = TlsConnection::open(program.ingest_addr(), &authority, None).expect("a handshake");
    let before = shown(&program);
    let reloads = |program: &Program, outcome: &str| {
        Scrape::of(program.control_addr()).get(&format!("tls_reloads_total{{outcome=\"{outcome}\"}}"))
    };
    // A key that does not go with the certificate, as in the middle of a rotation.
    std::fs::write(folder.path().join("key.pem"), authority.issue().key).expect("writing a key");
    eventually("the bad pair was refused", SOON, || (reloads(&program, "refused") == 1).then_some(()));
    program.wait_stderr(|line| line.contains("server.tls.key_file") && line.contains("what was there before"));
    assert_eq!(shown(&program), before);
    let second = authority.issue();
    second.write(folder.path());
    eventually("the good pair was taken", SOON, || (reloads(&program, "loaded") == 1).then_some(()));
    assert_ne!(shown(&program), before);
    assert_eq!(status(&held.send(&post()).expect("an answer")), "204", "a connection made before goes on");
    let said = program.stderr_lines().join("\n");
    assert!(!said.contains("PRIVATE"), "no key in the log");
}

#[test]
fn a_client_certificate_proves_a_sender_and_without_one_only_health_is_told() {
    let (folder, authority) = (tempfile::tempdir().expect("a folder"), Authority::new());
    authority.issue().write(folder.path());
    std::fs::write(folder.path().join("ca.pem"), authority.pem()).expect("writing an authority");
    let program =
        serving(&tls_config(folder.path(), &format!("client_ca_file = {:?}\n", folder.path().join("ca.pem"))));
    watch_hits(program.control_addr());
    let sender = authority.issue();
    let mut proven = TlsConnection::open(program.ingest_addr(), &authority, Some(&sender)).expect("a handshake");
    assert_eq!(status(&proven.send(&post()).expect("an answer")), "204");
    let mut nobody = TlsConnection::open(program.ingest_addr(), &authority, None).expect("a handshake");
    assert_eq!(status(&nobody.send(&Request::bare("GET", "/ready")).expect("an answer")), "200");
    assert_eq!(status(&nobody.send(&post()).expect("an answer")), "401");
    // A certificate of somebody else's making is worse than none.
    let stranger: Identity = Authority::new().issue();
    let refused =
        TlsConnection::open(program.ingest_addr(), &authority, Some(&stranger)).and_then(|mut c| c.send(&post()));
    assert!(refused.is_err());
    assert_eq!(matched(program.control_addr(), "hit"), 1);
    // The same certificate again, on another connection: a repeat of what was not confirmed.
    let mut again = TlsConnection::open(program.ingest_addr(), &authority, Some(&sender)).expect("a handshake");
    assert_eq!(status(&again.send(&post()).expect("an answer")), "204");
    assert_eq!(matched(program.control_addr(), "hit"), 1);
    // Another sender with the same lines counts.
    let other = authority.issue();
    let mut other = TlsConnection::open(program.ingest_addr(), &authority, Some(&other)).expect("a handshake");
    assert_eq!(status(&other.send(&post()).expect("an answer")), "204");
    assert_eq!(matched(program.control_addr(), "hit"), 2);
}

#[test]
fn with_both_configured_a_token_or_a_certificate_is_enough() {
    let (folder, authority) = (tempfile::tempdir().expect("a folder"), Authority::new());
    authority.issue().write(folder.path());
    std::fs::write(folder.path().join("ca.pem"), authority.pem()).expect("writing an authority");
    let rest = format!(
        "client_ca_file = {:?}\n[[server.token]]\nname = \"web\"\nsecret = \"{NEW}\"\n",
        folder.path().join("ca.pem")
    );
    let program = serving(&tls_config(folder.path(), &rest));
    let sender = authority.issue();
    for (own, request, expected) in [
        (Some(&sender), post(), "204"),
        (None, bearer(NEW), "204"),
        (Some(&sender), bearer("wrong"), "204"),
        (None, bearer("wrong"), "401"),
        (None, post(), "401"),
    ] {
        let mut connection = TlsConnection::open(program.ingest_addr(), &authority, own).expect("a handshake");
        assert_eq!(status(&connection.send(&request).expect("an answer")), expected);
    }
}

// === tokens ===

#[test]
fn a_retired_token_is_answered_503_for_its_grace_and_401_after_it() {
    let tokens = |old: &str, server: &str| {
        format!(
            "{server}[[server.token]]\nname = \"new\"\nsecret = \"{NEW}\"\n\
             [[server.token]]\nname = \"old\"\nsecret = \"{OLD}\"\n{old}\n"
        )
    };
    for (old, server, expected) in [
        ("retired = true", "", 503),
        ("retired = false", "", 204),
        ("retired = \"2001-01-01\"", "", 401),
        ("retired = 2001-01-01T00:00:00Z", "", 401),
        ("retired = 2999-01-01", "", 204),
        ("retired = true", "[server]\nretired_grace_seconds = 0\n", 401),
    ] {
        let program = serving(&tokens(old, server));
        watch_hits(program.control_addr());
        let answer = Connection::open(program.ingest_addr()).send(&bearer(OLD));
        assert_eq!(answer.status, expected, "{old} {server}");
        assert!(answer.raw_len < 4096);
        let drops = Scrape::of(program.control_addr()).sum("client_will_drop_total");
        assert_eq!(drops, u64::from(expected == 401), "{old} {server}");
        if expected != 204 {
            program.wait_stderr(|line| line.contains("retired token") && line.contains("old"));
        }
        if expected == 503 {
            assert_eq!(answer.json()["error"]["code"], "retired_token");
            assert_eq!(answer.header("Connection"), Some("close"));
        }
        assert_eq!(Connection::open(program.ingest_addr()).send(&bearer(NEW)).status, 204);
        assert_eq!(matched(program.control_addr(), "hit"), if expected == 204 { 2 } else { 1 });
    }
}

#[test]
fn the_secret_may_stand_in_a_header_of_the_users_choice() {
    let program = serving(&format!(
        "[server]\nauth_header = \"X-Api-Key\"\n[[server.token]]\nname = \"web\"\nsecret = \"{NEW}\"\n"
    ));
    let send =
        |name: &str, value: &str| Connection::open(program.ingest_addr()).send(&post().header(name, value)).status;
    assert_eq!(send("X-Api-Key", NEW), 204);
    assert_eq!(send("x-api-key", &format!("Bearer {NEW}")), 204);
    assert_eq!(send("Authorization", &format!("Bearer {NEW}")), 204);
    assert_eq!(send("X-Api-Key", OLD), 401);
    assert_eq!(send("X-Other", NEW), 401);
}

// === addresses ===

#[test]
fn behind_a_trusted_proxy_equal_batches_of_two_senders_count_twice_and_elsewhere_nobody_is_believed() {
    for (trusted, expected) in [("[\"127.0.0.0/8\", \"10.0.0.1\"]", 3), ("[]", 1), ("[\"10.0.0.0/8\"]", 1)] {
        let program = serving(&format!("[server]\ntrusted_proxies = {trusted}\n"));
        watch_hits(program.control_addr());
        for forwarded in [
            "192.0.2.1",
            "192.0.2.1",
            "192.0.2.2",
            // What the sender wrote there himself, and then the proxies'.
            "198.51.100.9, 192.0.2.1",
            "192.0.2.1, 10.0.0.1",
            "garbage, 192.0.2.2",
            "2001:db8::1",
            "[2001:db8::1]:443",
            "192.0.2.2:5",
            "::ffff:192.0.2.1",
            "\"192.0.2.1\", ",
        ] {
            let request = post().header("X-Forwarded-For", forwarded);
            assert_eq!(Connection::open(program.ingest_addr()).send(&request).status, 204);
        }
        assert_eq!(matched(program.control_addr(), "hit"), expected, "{trusted}");
    }
}

#[test]
fn ping_asks_over_tls_where_the_receiver_serves_it() {
    let (folder, authority) = (tempfile::tempdir().expect("a folder"), Authority::new());
    authority.issue().write(folder.path());
    let program = serving(&tls_config(folder.path(), ""));
    let ping = |address: SocketAddr, with_tls: bool| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_emberwatch"));
        command.args(["ping", "--address", &address.to_string()]).current_dir(folder.path());
        command.env("EMBERWATCH_SERVER_CONTROL_LISTEN", program.control_addr().to_string());
        if with_tls {
            command.env("EMBERWATCH_SERVER_TLS_CERT_FILE", "cert.pem").env("EMBERWATCH_SERVER_TLS_KEY_FILE", "key.pem");
        }
        command.output().expect("running ping").status.code()
    };
    assert_eq!(ping(program.ingest_addr(), true), Some(0));
    assert_eq!(ping(program.control_addr(), true), Some(0), "control on loopback speaks plain HTTP");
    assert_eq!(ping(program.ingest_addr(), false), Some(1), "plain HTTP is not what is spoken there");
}

#[test]
fn files_of_tls_that_are_no_good_are_faults_of_the_configuration() {
    let (folder, authority) = (tempfile::tempdir().expect("a folder"), Authority::new());
    let (one, other) = (authority.issue(), authority.issue());
    one.write(folder.path());
    std::fs::write(folder.path().join("other.pem"), &other.key).expect("writing a key");
    std::fs::write(folder.path().join("empty.pem"), "").expect("writing nothing");
    let check = |toml: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_emberwatch"))
            .arg("check")
            .current_dir(folder.path())
            .env("EMBERWATCH_CONFIG_TOML", toml)
            .output()
            .expect("running check");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let tls = |keys: &str| check(&format!("[server.tls]\n{keys}"));
    assert_eq!(tls("cert_file = \"cert.pem\"\nkey_file = \"key.pem\"\n").0, Some(0));
    for (keys, told) in [
        ("cert_file = \"cert.pem\"\n", "server.tls.key_file: is missing"),
        ("key_file = \"key.pem\"\n", "server.tls.cert_file: is missing"),
        ("client_ca_file = \"cert.pem\"\n", "server.tls.cert_file: is missing"),
        ("cert_file = \"no.pem\"\nkey_file = \"key.pem\"\n", "server.tls.cert_file: cannot read "),
        ("cert_file = \"key.pem\"\nkey_file = \"key.pem\"\n", "server.tls.cert_file: holds no certificate in PEM"),
        ("cert_file = \"cert.pem\"\nkey_file = \"empty.pem\"\n", "server.tls.key_file: holds no private key in PEM"),
        (
            "cert_file = \"cert.pem\"\nkey_file = \"other.pem\"\n",
            "server.tls.key_file: does not go with the certificate",
        ),
        (
            "cert_file = \"cert.pem\"\nkey_file = \"key.pem\"\nclient_ca_file = \"empty.pem\"\n",
            "server.tls.client_ca_file: holds no certificate in PEM",
        ),
        ("cert_fle = \"cert.pem\"\n", "server.tls.cert_fle: unknown key; did you mean cert_file?"),
    ] {
        let (code, said) = tls(keys);
        assert_eq!(code, Some(78), "{keys}: {said}");
        assert!(said.contains(told), "{keys}: {said}");
    }
    // An authority for senders is as good as a token for a public address.
    let public = "[server]\nlisten = \"0.0.0.0:0\"\n";
    assert_eq!(check(public).0, Some(78));
    let files = "[server.tls]\ncert_file = \"cert.pem\"\nkey_file = \"key.pem\"\n";
    assert_eq!(check(&format!("{public}{files}")).0, Some(78), "encrypted is not proven");
    assert_eq!(check(&format!("{public}{files}client_ca_file = \"cert.pem\"\n")).0, Some(0));
}
