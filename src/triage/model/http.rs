//! One request to a model's server, and what came of it.
//!
//! An answer is read up to a size and within a deadline that spans all of it; redirects are not followed, for
//! they would carry a prompt to wherever they point; no reason given here holds an address or a key.

use std::time::Duration;

use reqwest::{Client, ClientBuilder, RequestBuilder, Response, Url, header::HeaderMap, redirect};
use serde_json::Value;

use super::{Failed, Why};
use crate::redact::Redacted;

/// An answer is 64 KiB at most; what a server tells of a model can be longer.
const ANSWER_MAX_BYTES: usize = 1024 * 1024;
/// What is repeated of a server's own words.
const WORDS_MAX_BYTES: usize = 200;
/// Tells routers on the way that somebody still waits while a model loads.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// An answer of any status, come whole.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

/// Whether a host is this machine: by its address, for a name such as `127.evil.example` is anybody's.
pub(crate) fn is_here(host: &str) -> bool {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    bare.eq_ignore_ascii_case("localhost") || bare.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback())
}

/// A client as this module needs it. What is on this machine is never asked through a proxy.
pub fn client(builder: ClientBuilder, url: &str, connect: Duration) -> reqwest::Result<Client> {
    let here = Url::parse(url).is_ok_and(|url| url.host_str().is_some_and(is_here));
    let builder = if here { builder.no_proxy() } else { builder };
    builder.redirect(redirect::Policy::none()).referer(false).connect_timeout(connect).tcp_keepalive(KEEPALIVE).build()
}

/// What requests are sent to, without a slash at its end, and what is shown of it.
pub(crate) fn address(url: &str) -> Result<(String, String), String> {
    let wrong = || "must be an address such as http://127.0.0.1:11434".to_owned();
    let mut parsed = Url::parse(url.trim()).map_err(|_| wrong())?;
    if !matches!(parsed.scheme(), "http" | "https") || parsed.host_str().is_none() {
        return Err(wrong());
    }
    parsed.set_query(None);
    parsed.set_fragment(None);
    let full = parsed.as_str().trim_end_matches('/').to_owned();
    // Only addresses that cannot have a user refuse this, and those were refused above.
    parsed.set_username("").map_err(|()| wrong())?;
    parsed.set_password(None).map_err(|()| wrong())?;
    Ok((full, parsed.as_str().trim_end_matches('/').to_owned()))
}

/// Sends, and reads the answer whole.
pub(crate) async fn send(request: RequestBuilder, deadline: Duration) -> Result<Answer, Failed> {
    whole(request.timeout(deadline).send().await.map_err(|fault| no_answer(&fault))?).await
}

/// Reads it whole, within the deadline that its request had.
pub(crate) async fn whole(mut response: Response) -> Result<Answer, Failed> {
    let status = response.status().as_u16();
    let headers = response.headers().clone();
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|fault| no_answer(&fault))? {
        if body.len() + chunk.len() > ANSWER_MAX_BYTES {
            return Err(Failed::new(Why::BadReply, "the answer is longer than 1 MiB: is this a model's server?"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Answer { status, headers, body })
}

impl Answer {
    pub(crate) fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The server's own words about what is wrong, if it says so, in any status.
    pub(crate) fn error(&self) -> Option<String> {
        let json = self.json()?;
        let error = json.get("error").filter(|error| !error.is_null())?;
        let text = match error {
            Value::String(text) => text,
            other => match other.get("message") {
                Some(Value::String(text)) => text,
                _ => return Some(other.to_string()),
            },
        };
        Some(text.clone())
    }
}

/// A server's words, fit to be shown: they may repeat what they were asked.
pub(crate) fn said(words: &str) -> String {
    let end = words.floor_char_boundary(8 * WORDS_MAX_BYTES);
    Redacted::new(words.split_at(end).0).one_line().cut(WORDS_MAX_BYTES).to_string()
}

/// The error's own text would hold the address; its innermost source speaks of the network only.
pub(crate) fn no_answer(fault: &reqwest::Error) -> Failed {
    if fault.is_builder() {
        return Failed::new(
            Why::Refused,
            "the address or the key cannot be used as it stands: look for a blank or a line break in it",
        );
    }
    let mut cause: &dyn std::error::Error = fault;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    // A connection that is not made in time is not there; one that is made and says nothing is late.
    if fault.is_connect() {
        let cause = if fault.is_timeout() { "timed out".to_owned() } else { cause.to_string() };
        Failed::new(Why::Unreachable, format!("cannot connect: {cause}"))
    } else if fault.is_timeout() {
        Failed::new(Why::TimedOut, "no answer in time")
    } else if std::ptr::addr_eq(cause, fault) {
        Failed::new(Why::Unreachable, "the connection failed")
    } else {
        Failed::new(Why::Unreachable, format!("the connection failed: {cause}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_without_what_is_secret_in_it() {
        for (url, full, shown) in [
            ("http://127.0.0.1:11434", "http://127.0.0.1:11434", "http://127.0.0.1:11434"),
            (" http://h:1/v1/ ", "http://h:1/v1", "http://h:1/v1"),
            ("https://bob:pw@h/v1?key=k#f", "https://bob:pw@h/v1", "https://h/v1"),
        ] {
            assert_eq!(address(url), Ok((full.to_owned(), shown.to_owned())), "{url}");
        }
        for url in ["", "127.0.0.1:11434", "localhost", "ftp://h", "http://"] {
            assert!(address(url).is_err(), "{url}");
        }
    }

    #[test]
    fn the_words_of_a_server_are_redacted_and_short() {
        let words = format!("bad key sk-ant-api03-abcdefghijklmnop-AA\n{}", "x".repeat(9_000));
        let said = said(&words);
        assert!(said.len() <= WORDS_MAX_BYTES && !said.contains("abcdefghijklmnop"), "{said}");
    }
}
