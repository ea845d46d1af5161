//! Settings that are texts with a form: addresses and URLs.
//!
//! Pure functions from the text to the value or to a hint. They never repeat the text: the URL of a
//! webhook is a secret, and the caller knows whether it may be shown.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use super::defaults::PUBLIC_URL_MAX_BYTES;

/// What could be said beyond "must be …, got …"; `None` if nothing obvious can.
pub(super) type Hint = Option<String>;

pub(super) const LISTEN_FORM: &str = "an IP address and port such as 127.0.0.1:8080";

/// An address to listen on. Names are not resolved: what a name means can change under a running program.
pub(super) fn listen(text: &str) -> Result<SocketAddr, Hint> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    if text.contains("://") {
        return Err(Some("leave out the scheme".to_owned()));
    }
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Err(Some(format!("add a port: {}", SocketAddr::new(ip, 8080))));
    }
    let (host, port) = text.rsplit_once(':').unwrap_or(("", text));
    let Ok(port) = port.parse::<u16>() else {
        return Err(None);
    };
    Err(match host {
        "" | "localhost" => Some(format!("did you mean \"127.0.0.1:{port}\"?")),
        "*" => Some(format!("did you mean \"0.0.0.0:{port}\"?")),
        _ => Some("host names are not resolved, give the IP address".to_owned()),
    })
}

pub(super) fn path(text: &str) -> Result<PathBuf, Hint> {
    if text.is_empty() { Err(None) } else { Ok(PathBuf::from(text)) }
}

/// The name of a model, which stands in requests and in messages.
pub(super) fn model(text: &str) -> Result<String, Hint> {
    let sound = (1..=200).contains(&text.len()) && text.chars().all(|c| c.is_ascii_graphic());
    if sound { Ok(text.to_owned()) } else { Err(None) }
}

/// A date (its midnight) or a time with its offset, UTC where none is given, as Unix milliseconds.
pub(super) fn moment(text: &str) -> Option<i64> {
    let instant = text.parse::<jiff::Timestamp>().ok();
    let civil = || {
        let date = text.parse::<jiff::civil::DateTime>().ok();
        let date = date.or_else(|| Some(text.parse::<jiff::civil::Date>().ok()?.at(0, 0, 0, 0)))?;
        jiff::tz::Offset::UTC.to_timestamp(date).ok()
    };
    instant.or_else(civil).map(jiff::Timestamp::as_millisecond)
}

pub(super) fn header_name(text: &str) -> Result<String, Hint> {
    let is_name = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    if (1..=100).contains(&text.len()) && text.bytes().all(is_name) { Ok(text.to_owned()) } else { Err(None) }
}

/// Whether only this host can reach it. An IPv4 loopback in IPv6 clothes is one too.
pub(super) fn is_loopback(address: &SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}

pub(super) const URL_FORM: &str = "an https:// URL, or http:// to a loopback address";

/// A URL that a secret may be sent to: encrypted, unless it never leaves this host.
pub(super) fn url(text: &str) -> Result<String, Hint> {
    // The client parses it again, and more leniently: a backslash or a space could mean another
    // host to it than to us.
    if !text.bytes().all(|b| b.is_ascii_graphic() && b != b'\\') {
        return Err(Some("it holds a space, a backslash or a character outside ASCII".to_owned()));
    }
    let Some((scheme, rest)) = text.split_once("://") else {
        return Err(None);
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains('@') {
        return Err(Some("it must not carry a user or password".to_owned()));
    }
    let host = host(authority).ok_or(None)?;
    match scheme.to_ascii_lowercase().as_str() {
        "https" => Ok(text.to_owned()),
        "http" if host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback()) => {
            Ok(text.to_owned())
        }
        "http" => Err(Some("plain http would send the secret readable".to_owned())),
        _ => Err(None),
    }
}

/// A URL that paths are appended to: no slash at its end, no query.
pub(super) fn base_url(text: &str) -> Result<String, Hint> {
    let url = url(text)?;
    if url.contains(['?', '#']) {
        return Err(Some("leave out the query and fragment".to_owned()));
    }
    Ok(url.trim_end_matches('/').to_owned())
}

/// A base URL that messages link to: nothing in it that ends a link in Markdown or in Slack.
pub(super) fn public_url(text: &str) -> Result<String, Hint> {
    if text.len() > PUBLIC_URL_MAX_BYTES {
        return Err(Some(format!("it is longer than {PUBLIC_URL_MAX_BYTES} bytes")));
    }
    if text.contains(['<', '>', '|', '"', '`', '(', ')']) {
        return Err(Some("write < > | \" ` ( ) as %XX".to_owned()));
    }
    base_url(text)
}

/// The host of `host`, `host:port` or `[v6]:port`, without brackets, or `None` if that is none.
fn host(authority: &str) -> Option<&str> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, after) = rest.split_once(']')?;
            (host, if after.is_empty() { None } else { Some(after.strip_prefix(':')?) })
        }
        None => match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        },
    };
    let port_is_fine = port.is_none_or(|port| port.parse::<u16>().is_ok());
    (!host.is_empty() && port_is_fine).then_some(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_is_none_gets_the_obvious_hint() {
        for (text, hint) in [
            ("8080", Some("did you mean \"127.0.0.1:8080\"?")),
            (":8080", Some("did you mean \"127.0.0.1:8080\"?")),
            ("localhost:99", Some("did you mean \"127.0.0.1:99\"?")),
            ("*:80", Some("did you mean \"0.0.0.0:80\"?")),
            ("10.0.0.1", Some("add a port: 10.0.0.1:8080")),
            ("::1", Some("add a port: [::1]:8080")),
            ("example.com:80", Some("host names are not resolved, give the IP address")),
            ("http://127.0.0.1:80", Some("leave out the scheme")),
            ("127.0.0.1:99999", None),
            ("", None),
        ] {
            assert_eq!(listen(text), Err(hint.map(str::to_owned)), "{text}");
        }
        assert!(listen("[::]:0").is_ok());
    }

    #[test]
    fn a_moment_is_a_date_or_a_time_in_utc_unless_it_says_otherwise() {
        for (text, ms) in [
            ("1970-01-02", Some(86_400_000)),
            ("1970-01-01T00:00:01Z", Some(1_000)),
            ("1970-01-01T01:00:01+01:00", Some(1_000)),
            ("1970-01-01 00:00:01", Some(1_000)),
            ("yesterday", None),
            ("", None),
        ] {
            assert_eq!(moment(text), ms, "{text}");
        }
    }

    #[test]
    fn loopback_is_known_in_every_form() {
        for (text, loopback) in [
            ("127.0.0.1:1", true),
            ("127.9.9.9:1", true),
            ("[::1]:1", true),
            ("[::ffff:127.0.0.1]:1", true),
            ("0.0.0.0:1", false),
            ("[::]:1", false),
            ("192.168.0.1:1", false),
        ] {
            assert_eq!(is_loopback(&text.parse().unwrap()), loopback, "{text}");
        }
    }

    #[test]
    fn a_secret_goes_over_plain_http_to_this_host_only() {
        for good in [
            "https://hooks.slack.com/services/T/B/x",
            "HTTPS://example.com",
            "https://example.com:8443/a?b#c",
            "http://localhost:9/x",
            "http://127.0.0.1",
            "http://[::1]:80/x",
        ] {
            assert!(url(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "hooks.slack.com/services",
            "ftp://example.com",
            "https://",
            "https:///path",
            "https://:80",
            "https://host:port/",
            "https://user@host/",
            "https://ho st/",
            "https://hést/",
            "http://example.com/",
            "http://localhost.example.com/",
            "http://127.0.0.1.example.com/",
            "http://127.0.0.1@example.com/",
            "http://127.0.0.1\\@example.com/",
            "http://[::1]example.com/",
            "http://0.0.0.0/",
            "http://2130706433/",
        ] {
            assert!(url(bad).is_err(), "{bad}");
        }
        assert_eq!(base_url("https://slack.com/api/"), Ok("https://slack.com/api".to_owned()));
        assert!(base_url("https://slack.com/api?x").is_err());
    }

    #[test]
    fn an_address_that_messages_link_to_cannot_end_the_link() {
        assert_eq!(public_url("https://logs.example/ember/"), Ok("https://logs.example/ember".to_owned()));
        let long = format!("https://logs.example/{}", "x".repeat(PUBLIC_URL_MAX_BYTES));
        for bad in ["https://a/x|y", "https://a/<!here>", "https://a/`x`", "https://a/x)", "https://a?x", &long, ""] {
            assert!(public_url(bad).is_err(), "{bad}");
        }
    }
}
