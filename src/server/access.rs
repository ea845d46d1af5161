//! Who may do what: tokens of senders, the token of those who steer, and the Host header of those without.
//!
//! An ingest token never opens control, and the control token never sends. Secrets are compared in constant
//! time.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{AUTHORIZATION, HeaderMap, HeaderValue, ORIGIN, WWW_AUTHENTICATE};
use hyper::{Response, StatusCode};

use super::respond;
use crate::secret::Secret;

#[derive(Clone)]
pub struct Token {
    pub name: String,
    pub secret: Secret,
}

pub struct Gate {
    /// None: credentials are ignored.
    pub tokens: Vec<Token>,
    /// `None`: control is open, on loopback only, to requests that name a loopback host.
    pub control_token: Option<Secret>,
}

impl Gate {
    /// The name of the token that a sender proves; empty when none is asked for; `None`: refused.
    pub fn ingest(&self, headers: &HeaderMap) -> Option<&str> {
        if self.tokens.is_empty() {
            return Some("");
        }
        let given = headers.get(AUTHORIZATION)?;
        let (user, secret) = credentials(given)?;
        // Every token is compared, so that the time taken does not tell which one was near.
        self.tokens.iter().fold(None, |proven, token| {
            let named = user.as_ref().is_none_or(|user| *user == token.name.as_bytes());
            if token.secret.same_as(&secret) & named { Some(token.name.as_str()) } else { proven }
        })
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

    #[test]
    fn a_sender_proves_one_of_several_tokens_by_basic_or_bearer() {
        let token = |name: &str, secret: &str| Token { name: name.into(), secret: Secret::new(secret.to_owned()) };
        let gate = Gate {
            tokens: vec![token("web", "0123456789abcdef"), token("jobs", "fedcba9876543210")],
            control_token: None,
        };
        assert_eq!(gate.ingest(&basic("web", "0123456789abcdef")), Some("web"));
        assert_eq!(gate.ingest(&headers("Bearer fedcba9876543210")), Some("jobs"));
        assert_eq!(gate.ingest(&headers("bearer  fedcba9876543210")), Some("jobs"));
        for refused in [
            basic("web", "fedcba9876543210"),
            basic("web", ""),
            headers("Bearer x"),
            headers("Bearer"),
            headers("Digest x"),
            headers("Basic ???"),
        ] {
            assert_eq!(gate.ingest(&refused), None, "{refused:?}");
        }
        assert_eq!(gate.ingest(&HeaderMap::new()), None);
        let open = Gate { tokens: vec![], control_token: None };
        assert_eq!(open.ingest(&headers("Bearer whatever")), Some(""), "credentials are ignored where none are set");
    }

    #[test]
    fn without_a_control_token_only_loopback_names_are_answered() {
        let gate = Gate { tokens: vec![], control_token: None };
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
