//! The shop's door: HTTP/1.1, small requests, JSON answers.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::mode::Mode;
use crate::shop::Shop;

/// Nobody has more to say to it.
const BODY_MAX: usize = 16 * 1024;
const HEADERS_WITHIN: Duration = Duration::from_secs(10);

const ABOUT: &str = "A small shop that breaks on demand.\n\n\
    GET  /buy              buys something\n\
    GET  /status           what is broken\n\
    POST /chaos/trigger    {\"mode\": \"pool_leaked\" | \"database_refused\" | \"dependency_down\" | \"bad_deploy\"}\n\
    POST /chaos/resolve    its own hook: has its database take connections again; ends any fault that {\"mode\"} names\n\
    POST /restart          what its supervisor does: the same program, started anew\n";

/// Until it is dropped.
pub async fn run(listener: TcpListener, shop: Arc<Shop>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let shop = shop.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| answer(shop.clone(), request));
            let mut http = http1::Builder::new();
            http.timer(TokioTimer::new()).header_read_timeout(HEADERS_WITHIN);
            // Whoever goes away in the middle has gone.
            drop(http.serve_connection(TokioIo::new(stream), service).await);
        });
    }
}

async fn answer(shop: Arc<Shop>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (parts, body) = request.into_parts();
    let body = read(body).await;
    let key = parts.headers.get("idempotency-key").and_then(|key| key.to_str().ok());
    Ok(match (&parts.method, parts.uri.path()) {
        (&Method::GET, "/") => text(ABOUT),
        (&Method::GET, "/buy") => match shop.buy().await {
            Ok(order) => json(StatusCode::OK, &order),
            Err(words) => json(StatusCode::INTERNAL_SERVER_ERROR, &json!({"error": words})),
        },
        (&Method::GET, "/status") => json(StatusCode::OK, &shop.status()),
        (&Method::POST, "/chaos/trigger") => match mode(&body) {
            Ok(Some(mode)) => {
                shop.trigger(mode);
                json(StatusCode::OK, &shop.status())
            }
            _ => unknown(),
        },
        (&Method::POST, "/chaos/resolve") => match mode(&body) {
            Ok(named) => match shop.resolve(named) {
                true => json(StatusCode::OK, &shop.status()),
                false => json(StatusCode::CONFLICT, &json!({"error": "there is nothing that this resolves"})),
            },
            Err(()) => unknown(),
        },
        (&Method::POST, "/restart") => json(StatusCode::OK, &json!({"restarts": shop.restart(key)})),
        _ => json(StatusCode::NOT_FOUND, &json!({"error": "GET / says what there is"})),
    })
}

/// At most so much; what is more counts as nothing.
async fn read(mut body: Incoming) -> Vec<u8> {
    let mut held = Vec::new();
    while let Some(Ok(frame)) = body.frame().await {
        held.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data));
        if held.len() > BODY_MAX {
            return Vec::new();
        }
    }
    held
}

/// That a body names, if it names any.
fn mode(body: &[u8]) -> Result<Option<Mode>, ()> {
    let body: Value = if body.is_empty() { json!({}) } else { serde_json::from_slice(body).map_err(|_| ())? };
    match body.get("mode") {
        None | Some(Value::Null) => Ok(None),
        Some(word) => word.as_str().and_then(Mode::parse).map(Some).ok_or(()),
    }
}

fn unknown() -> Response<Full<Bytes>> {
    let modes = Mode::ALL.map(Mode::as_str).join(", ");
    json(StatusCode::BAD_REQUEST, &json!({"error": format!("\"mode\" is one of {modes}")}))
}

fn text(text: &'static str) -> Response<Full<Bytes>> {
    Response::new(Full::new(Bytes::from_static(text.as_bytes())))
}

fn json(status: StatusCode, body: &Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(format!("{body}\n"))));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(hyper::header::CONTENT_TYPE, hyper::header::HeaderValue::from_static("application/json"));
    response
}
