//! Listeners: who may connect, and what answers them.
//!
//! The ingest listener takes `POST /ingest` and answers `/health` and `/ready` without token or data. The
//! control listener shows and changes state. With only `listen`, on loopback, one listener serves both.
//! Bound early and served late: a taken port fails the start before anything else has happened.

pub mod access;
pub mod control;
pub mod respond;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{EXPECT, HOST};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};

use crate::ingest::reply::{self, Answer};
use crate::ingest::{self, Ingest, Peer, Phase};
use crate::metrics::Metrics;
use access::Gate;
use control::Control;

/// Above Fluent Bit's 30 s keepalive, so that it is the client who closes an idle connection: closed by us
/// at the wrong moment it costs the client one of its retries.
const IDLE: Duration = Duration::from_secs(90);
/// Read buffer of one connection. A request's head must fit; a body passes through it.
const READ_BUFFER: usize = 128 * 1024;
/// After a failed accept that is not the connection's own fault (descriptors are used up).
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What a listener serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Ingest,
    Control,
    /// Both: on loopback, when there is one listener only.
    Both,
}

/// Everything that requests are answered from.
pub struct Server {
    pub ingest: Ingest,
    pub control: Control,
    pub gate: Gate,
    pub phase: watch::Receiver<Phase>,
    pub metrics: Metrics,
    /// Connections held at once; more wait in the kernel's queue.
    pub connections: Arc<Semaphore>,
    /// The same for a control listener of its own: senders must not be able to keep people out.
    pub control_connections: Arc<Semaphore>,
    /// Most that is read of a body that was refused at its head.
    pub linger_bytes: u64,
}

/// Serves until `stop`; then takes no new connection, lets those that are being answered end, and returns
/// when they have.
pub async fn serve(server: Arc<Server>, listener: TcpListener, role: Role, mut stop: watch::Receiver<bool>) {
    let graceful = GracefulShutdown::new();
    let connections = if role == Role::Control { &server.control_connections } else { &server.connections };
    loop {
        // Stopping comes first: a flood of connections must not be able to hold it off.
        let accepted = tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => break,
            accepted = accept(connections, &listener) => accepted,
        };
        let Some((stream, peer, permit)) = accepted else { continue };
        // Small answers leave at once.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "connection lost before it was served");
            continue;
        }
        let connection = connection(server.clone(), stream, peer, role);
        let connection = graceful.watch(connection);
        let gauge = server.metrics.connections.clone();
        gauge.inc();
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%peer, %error, "connection ended");
            }
            gauge.dec();
            drop(permit);
        });
    }
    drop(listener);
    graceful.shutdown().await;
}

type Permit = tokio::sync::OwnedSemaphorePermit;

async fn accept(
    connections: &Arc<Semaphore>,
    listener: &TcpListener,
) -> Option<(tokio::net::TcpStream, SocketAddr, Permit)> {
    // The permit first: a connection that may not be served yet waits in the kernel, not here.
    let permit = connections.clone().acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, peer)) => Some((stream, peer, permit)),
        Err(error) => {
            use std::io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
            if !matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset) {
                tracing::warn!(%error, "cannot accept connections: waiting a little");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
            None
        }
    }
}

/// HTTP/1.1 only: it is what out_http speaks, and there is no HTTP/2 to be abused.
fn connection(
    server: Arc<Server>,
    stream: tokio::net::TcpStream,
    peer: SocketAddr,
    role: Role,
) -> impl hyper_util::server::graceful::GracefulConnection<Error = hyper::Error> {
    let peer = Arc::new(Peer::new(peer.ip()));
    let service = tower::service_fn(move |request: Request<Incoming>| {
        let (server, peer) = (server.clone(), peer.clone());
        async move { Ok::<_, std::convert::Infallible>(server.answer(&peer, role, request).await) }
    });
    hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE)
        .max_buf_size(READ_BUFFER)
        .half_close(true)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service))
}

impl Server {
    async fn answer(&self, peer: &Peer, role: Role, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        match (path.as_str(), role) {
            ("/health", _) => respond::json(StatusCode::OK, &serde_json::json!({"status": "ok"})),
            ("/ready", _) => self.ready(),
            ("/ingest", Role::Ingest | Role::Both) => self.ingest(peer, &method, request).await,
            (_, Role::Ingest) => {
                self.linger(request);
                self.unknown(&method, &path)
            }
            (_, Role::Control | Role::Both) => {
                if let Some(refusal) = self.gate.control(request.headers().get(HOST), request.headers()) {
                    return refusal;
                }
                if !self.control.has(&path) {
                    self.linger(request);
                    return self.unknown(&method, &path);
                }
                self.control.answer(&method, &path, request).await
            }
        }
    }

    async fn ingest(&self, peer: &Peer, method: &Method, request: Request<Incoming>) -> Response<Full<Bytes>> {
        if method != Method::POST && method != Method::PUT {
            self.metrics.client_will_drop.with_label_values(&["405"]).inc();
            self.linger(request);
            return respond::error(
                StatusCode::METHOD_NOT_ALLOWED,
                "method_not_allowed",
                "POST or PUT a body to /ingest",
                None,
            );
        }
        // Before the first byte of the body is read.
        let Some(token) = self.gate.ingest(request.headers()) else {
            self.metrics.batches.with_label_values(&[Answer::Unauthorized.label()]).inc();
            self.linger(request);
            return reply::response(&Answer::Unauthorized, false, &self.metrics);
        };
        self.ingest.handle(peer, token, request).await
    }

    /// For a body that nobody wants: see [`ingest::linger`]. One that waits to be asked for is never begun.
    fn linger(&self, request: Request<Incoming>) {
        if !request.headers().contains_key(EXPECT) {
            ingest::linger(request.into_body(), self.linger_bytes);
        }
    }

    /// 503 only while starting or draining: load balancers take us out then, and for nothing we found.
    fn ready(&self) -> Response<Full<Bytes>> {
        let (status, word) = match &*self.phase.borrow() {
            Phase::Ready { .. } => (StatusCode::OK, "ready"),
            Phase::Starting => (StatusCode::SERVICE_UNAVAILABLE, "starting"),
            Phase::Draining => (StatusCode::SERVICE_UNAVAILABLE, "draining"),
        };
        respond::json(status, &serde_json::json!({"status": word}))
    }

    fn unknown(&self, method: &Method, path: &str) -> Response<Full<Bytes>> {
        if *method == Method::POST || *method == Method::PUT {
            // Most likely an [OUTPUT] with another URI: it loses everything it sends.
            self.metrics.client_will_drop.with_label_values(&["404"]).inc();
            let shown: String = path.chars().filter(|c| c.is_ascii_graphic()).take(80).collect();
            tracing::warn!(path = shown, "nothing is here: a Fluent Bit [OUTPUT] needs `URI /ingest`");
        }
        respond::error(StatusCode::NOT_FOUND, "not_found", "nothing is here; logs go to POST /ingest", None)
    }
}
