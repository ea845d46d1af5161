//! Who may do what: tokens of senders, the token of those who steer, and the Host header of those without.
//!
//! An ingest token never opens control, and the control token never sends. Secrets are compared in constant
//! time.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue, ORIGIN, WWW_AUTHENTICATE};
use hyper::{Response, StatusCode};

use super::respond;
use crate::alarm::Alarm;
use crate::secret::Secret;

#[derive(Clone)]
pub struct Token {
    pub name: String,
    pub secret: Secret,
    /// `None`: in use.
    pub retired: Option<Retirement>,
}

/// In Unix milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct Retirement {
    /// In use before it.
    pub from: i64,
    /// Until then who still uses it is told to come again; refused after.
    pub until: i64,
}

/// What a sender has shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof<'g> {
    /// The name of its token or certificate; empty where none is asked for.
    Token(&'g str),
    /// A token that was retired a short while ago: a forgotten sender, which must not lose its lines for it.
    Retired,
    None,
}

pub struct Gate {
    /// None, and no certificates either: credentials are ignored.
    pub tokens: Vec<Token>,
    /// Whether a client certificate proves a sender.
    pub certificates: bool,
    /// Where a bare or Bearer secret is looked for; Basic stands in `Authorization` always.
    pub header: HeaderName,
    /// Unix milliseconds.
    pub clock: fn() -> i64,
    /// `None`: control is open, on loopback only, to requests that name a loopback host.
    pub control_token: Option<Secret>,
}

impl Gate {
    /// Who sends. `certificate`: the name of the one that the connection was made with.
    pub fn ingest<'g>(&'g self, certificate: Option<&'g str>, headers: &HeaderMap) -> Proof<'g> {
        if self.tokens.is_empty() && !self.certificates {
            return Proof::Token("");
        }
        if let Some(name) = certificate {
            return Proof::Token(name);
        }
        // Fluent Bit sends two when both `http_User` and a `Header Authorization` are set.
        let mut proof = Proof::None;
        for given in headers.get_all(AUTHORIZATION).iter().take(CREDENTIALS_MAX) {
            if let Some((user, secret)) = credentials(given) {
                proof = better(proof, self.token(user.as_deref(), &secret));
            }
        }
        if self.header != AUTHORIZATION {
            for given in headers.get_all(&self.header).iter().take(CREDENTIALS_MAX) {
                let secret = match credentials(given) {
                    Some((None, secret)) => secret,
                    _ => given.as_bytes().trim_ascii().to_vec(),
                };
                proof = better(proof, self.token(None, &secret));
            }
        }
        proof
    }

    fn token(&self, user: Option<&[u8]>, secret: &[u8]) -> Proof<'_> {
        // Every token is compared, so that the time taken does not tell which one was near.
        let proven = self.tokens.iter().fold(None, |proven, token| {
            let named = user.is_none_or(|user| user == token.name.as_bytes());
            if token.secret.same_as(secret) & named { Some(token) } else { proven }
        });
        match proven {
            None => Proof::None,
            Some(Token { retired: None, name, .. }) => Proof::Token(name),
            Some(Token { retired: Some(retired), name, .. }) => {
                let now = (self.clock)();
                if now < retired.from {
                    return Proof::Token(name);
                }
                let spared = now < retired.until;
                if let Some(held_back) = RETIRED.due() {
                    let then = if spared { "; it is told to come again" } else { ", or it loses everything it sends" };
                    tracing::warn!(token = name, held_back, "a sender uses a retired token: give it the new one{then}");
                }
                if spared { Proof::Retired } else { Proof::None }
            }
        }
    }

    /// Why a request may not see or change state; `None`: it may.
    pub fn control(&self, host: Option<&HeaderValue>, headers: &HeaderMap) -> Option<Response<Full<Bytes>>> {
        let Some(wanted) = &self.control_token else {
            // A page in a browser on this machine can be made to send requests here under a name of its
            // own (DNS rebinding); it cannot make the browser say `localhost`.
            // Nor can a page of another site hide where it comes from.
            let origin = headers.get(ORIGIN).map(|origin| origin.as_bytes());
            let from_here = origin.is_none_or(|o| o.split(|b| *b == b'/').nth(2).is_some_and(is_loopback));
            let named = host.is_none_or(|host| is_loopback(host.as_bytes()));
            return if named && from_here { None } else { Some(foreign_host()) };
        };
        let given = headers.get(AUTHORIZATION).and_then(credentials);
        match given {
            Some((_, secret)) if wanted.same_as(&secret) => None,
            _ => {
                let mut refusal = respond::error(
                    StatusCode::UNAUTHORIZED,
                    "unauthorized",
                    "send `Authorization: Bearer <server.control_token>`",
                    None,
                );
                refusal.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
                Some(refusal)
            }
        }
    }
}

static RETIRED: Alarm = Alarm::new();

/// One from `http_User`, one from a `Header` line, and room for a mistake or two.
const CREDENTIALS_MAX: usize = 4;

/// A token in use beats a retired one, which beats none.
fn better<'g>(one: Proof<'g>, other: Proof<'g>) -> Proof<'g> {
    match (one, other) {
        (Proof::Token(name), _) | (_, Proof::Token(name)) => Proof::Token(name),
        (Proof::Retired, _) | (_, Proof::Retired) => Proof::Retired,
        (Proof::None, Proof::None) => Proof::None,
    }
}

/// The user (of Basic only) and the secret.
fn credentials(header: &HeaderValue) -> Option<(Option<Vec<u8>>, Vec<u8>)> {
    let (scheme, rest) = header.as_bytes().split_at_checked(header.as_bytes().iter().position(|b| *b == b' ')?)?;
    let rest = rest.trim_ascii();
    if scheme.eq_ignore_ascii_case(b"bearer") {
        return Some((None, rest.to_vec()));
    }
    if !scheme.eq_ignore_ascii_case(b"basic") {
        return None;
    }
    let pair = BASE64_STANDARD.decode(rest).ok()?;
    let colon = pair.iter().position(|b| *b == b':')?;
    Some((Some(pair.get(..colon)?.to_vec()), pair.get(colon + 1..)?.to_vec()))
}

/// `localhost`, 127.x, ::1, with or without a port.
fn is_loopback(host: &[u8]) -> bool {
    let Ok(host) = std::str::from_utf8(host) else { return false };
    let name = match host.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

fn foreign_host() -> Response<Full<Bytes>> {
    respond::error(
        StatusCode::FORBIDDEN,
        "foreign_host",
        "without server.control_token only requests to localhost are answered here",
        None,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(authorization: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, authorization.parse().expect("a header"));
        headers
    }

    fn basic(user: &str, secret: &str) -> HeaderMap {
        headers(&format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{secret}"))))
    }

    fn token(name: &str, secret: &str, retired: Option<(i64, i64)>) -> Token {
        let retired = retired.map(|(from, until)| Retirement { from, until });
        Token { name: name.into(), secret: Secret::new(secret.to_owned()), retired }
    }

    fn gate(tokens: Vec<Token>) -> Gate {
        Gate { tokens, certificates: false, header: AUTHORIZATION, clock: || 1_000, control_token: None }
    }

    #[test]
    fn a_sender_proves_one_of_several_tokens_by_basic_or_bearer() {
        let gate = gate(vec![token("web", "0123456789abcdef", None), token("jobs", "fedcba9876543210", None)]);
        assert_eq!(gate.ingest(None, &basic("web", "0123456789abcdef")), Proof::Token("web"));
        assert_eq!(gate.ingest(None, &headers("Bearer fedcba9876543210")), Proof::Token("jobs"));
        assert_eq!(gate.ingest(None, &headers("bearer  fedcba9876543210")), Proof::Token("jobs"));
        for refused in [
            basic("web", "fedcba9876543210"),
            basic("web", ""),
            headers("Bearer x"),
            headers("Bearer"),
            headers("fedcba9876543210"),
            headers("Digest x"),
            headers("Basic ???"),
            HeaderMap::new(),
        ] {
            assert_eq!(gate.ingest(None, &refused), Proof::None, "{refused:?}");
        }
        let open = self::gate(vec![]);
        let given = headers("Bearer whatever");
        assert_eq!(open.ingest(None, &given), Proof::Token(""), "credentials are ignored where none are set");
    }

    #[test]
    fn a_secret_may_stand_in_a_header_of_its_own_bare_or_as_bearer() {
        let header = HeaderName::from_static("x-api-key");
        let gate = Gate { header: header.clone(), ..gate(vec![token("web", "0123456789abcdef", None)]) };
        for value in ["0123456789abcdef", "Bearer 0123456789abcdef", " 0123456789abcdef "] {
            let given = HeaderMap::from_iter([(header.clone(), value.parse().expect("a header"))]);
            assert_eq!(gate.ingest(None, &given), Proof::Token("web"), "{value:?}");
        }
        let wrong = HeaderMap::from_iter([(header, "0123456789abcdeF".parse().expect("a header"))]);
        assert_eq!(gate.ingest(None, &wrong), Proof::None);
        assert_eq!(gate.ingest(None, &basic("web", "0123456789abcdef")), Proof::Token("web"), "Basic still counts");
    }

    #[test]
    fn of_two_authorization_headers_the_good_one_counts() {
        let gate = gate(vec![token("web", "0123456789abcdef", None)]);
        for order in [["Bearer wrong", "Bearer 0123456789abcdef"], ["Bearer 0123456789abcdef", "Bearer wrong"]] {
            let mut given = HeaderMap::new();
            for value in order {
                given.append(AUTHORIZATION, value.parse().expect("a header"));
            }
            assert_eq!(gate.ingest(None, &given), Proof::Token("web"), "{order:?}");
        }
    }

    #[test]
    fn a_retired_token_is_spared_until_its_grace_is_over() {
        let tokens = vec![
            token("new", "0123456789abcdef", None),
            token("old", "fedcba9876543210", Some((1_000, 1_001))),
            token("older", "aaaaaaaaaaaaaaaa", Some((900, 1_000))),
            token("planned", "bbbbbbbbbbbbbbbb", Some((1_001, 2_000))),
        ];
        let gate = gate(tokens);
        assert_eq!(gate.ingest(None, &headers("Bearer 0123456789abcdef")), Proof::Token("new"));
        assert_eq!(gate.ingest(None, &basic("old", "fedcba9876543210")), Proof::Retired);
        assert_eq!(gate.ingest(None, &headers("Bearer aaaaaaaaaaaaaaaa")), Proof::None);
        assert_eq!(gate.ingest(None, &headers("Bearer bbbbbbbbbbbbbbbb")), Proof::Token("planned"), "not yet");
    }

    #[test]
    fn a_client_certificate_proves_a_sender_and_where_one_is_wanted_nothing_less_does() {
        let gate = Gate { certificates: true, ..gate(vec![]) };
        assert_eq!(gate.ingest(Some("certificate:1"), &HeaderMap::new()), Proof::Token("certificate:1"));
        assert_eq!(gate.ingest(None, &headers("Bearer whatever")), Proof::None);
    }

    #[test]
    fn without_a_control_token_only_loopback_names_are_answered() {
        let gate = gate(vec![]);
        for (host, open) in [
            ("localhost:8080", true),
            ("127.0.0.1:8080", true),
            ("[::1]:8080", true),
            ("LOCALHOST", true),
            ("evil.example:8080", false),
            ("10.0.0.1", false),
            ("localhost.evil.example", false),
        ] {
            let value: HeaderValue = host.parse().expect("a header");
            assert_eq!(gate.control(Some(&value), &HeaderMap::new()).is_none(), open, "{host}");
            let mut from_page = HeaderMap::new();
            from_page.insert(ORIGIN, format!("http://{host}").parse().expect("a header"));
            let here = HeaderValue::from_static("localhost");
            assert_eq!(gate.control(Some(&here), &from_page).is_none(), open, "a page of {host}");
        }
    }
}
