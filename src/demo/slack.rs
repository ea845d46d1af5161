//! Stands in for Slack on loopback: takes `chat.postMessage` as Slack does, and hands on what a channel would show.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::CONTENT_TYPE;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

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
pub(super) async fn serve(listener: TcpListener, shown: mpsc::Sender<Shown>) {
    let number = Arc::new(AtomicU64::new(0));
    while let Ok((stream, _)) = listener.accept().await {
        let (shown, number) = (shown.clone(), number.clone());
        tokio::spawn(async move {
            let service = service_fn(move |request| take(request, shown.clone(), number.clone()));
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
    shown: mpsc::Sender<Shown>,
    number: Arc<AtomicU64>,
) -> Result<Response<Full<Bytes>>, Infallible> {
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
    let mut response = Response::new(Full::new(Bytes::from(answer.to_string())));
    response.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static("application/json"));
    Ok(response)
}
