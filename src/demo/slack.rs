//! Stands in for Slack on loopback: takes `chat.postMessage` as Slack does, and hands on what a channel would show.
//!
//! Everybody on this machine can reach it; it takes what comes with the token of this run alone.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::secret::Secret;

/// Longer than any message of ours.
const BODY_MAX: usize = 64 * 1024;

/// What a channel shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shown {
    /// In Slack's `mrkdwn`.
    pub(super) text: String,
    /// A reply in a thread.
    pub(super) reply: bool,
}

/// Takes messages until it is dropped. What nobody takes out of `shown` waits with who sent it.
pub(super) async fn serve(listener: TcpListener, token: Secret, shown: mpsc::Sender<Shown>) {
    let (token, number) = (Arc::new(token), Arc::new(AtomicU64::new(0)));
    while let Ok((stream, _)) = listener.accept().await {
        let (token, shown, number) = (token.clone(), shown.clone(), number.clone());
        tokio::spawn(async move {
            let service = service_fn(move |request| take(request, token.clone(), shown.clone(), number.clone()));
            // A connection that breaks is the sender's to mend.
            hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await
                .unwrap_or_default();
        });
    }
}

#[expect(clippy::disallowed_methods, reason = "Limited, and small")]
async fn take(
    request: Request<Incoming>,
    token: Arc<Secret>,
    shown: mpsc::Sender<Shown>,
    number: Arc<AtomicU64>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    if !is_ours(request.headers(), &token) {
        return Ok(answered(&json!({"ok": false, "error": "invalid_auth"})));
    }
    let body = Limited::new(request.into_body(), BODY_MAX).collect().await;
    let message: Value = body.ok().and_then(|body| serde_json::from_slice(&body.to_bytes()).ok()).unwrap_or_default();
    let answer = match message["text"].as_str() {
        Some(text) => {
            let reply = message["thread_ts"].is_string();
            // Nobody looks any more: it was taken all the same.
            shown.send(Shown { text: text.to_owned(), reply }).await.unwrap_or_default();
            let number = number.fetch_add(1, Ordering::Relaxed);
            json!({"ok": true, "channel": message["channel"], "ts": format!("1700000000.{number:06}")})
        }
        None => json!({"ok": false, "error": "no_text"}),
    };
    Ok(answered(&answer))
}

fn is_ours(headers: &HeaderMap, token: &Secret) -> bool {
    let sent = headers.get(AUTHORIZATION).and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
    sent.is_some_and(|sent| token.same_as(sent))
}

fn answered(answer: &Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(answer.to_string())));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_message_without_the_token_of_this_run_is_not_shown() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (shown, mut messages) = mpsc::channel(8);
        let serving = tokio::spawn(serve(listener, Secret::new("xoxb-of-this-run"), shown));
        rustls::crypto::ring::default_provider().install_default().unwrap_or_default();
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        for (token, is_taken) in [(None, false), (Some("xoxb-demo"), false), (Some("xoxb-of-this-run"), true)] {
            let mut request = client.post(format!("http://{address}/api/chat.postMessage")).body(r#"{"text":"x"}"#);
            if let Some(token) = token {
                request = request.bearer_auth(token);
            }
            let answer = request.send().await.expect("an answer").text().await.expect("a body");
            let answer: Value = serde_json::from_str(&answer).expect("JSON");
            assert_eq!(
                (answer["ok"] == true, messages.try_recv().is_ok()),
                (is_taken, is_taken),
                "{token:?}: {answer}"
            );
        }
        serving.abort();
    }
}
