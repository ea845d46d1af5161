//! Listeners: who may connect, and what answers them.
//!
//! The ingest listener takes `POST /ingest` and answers `/health` and `/ready` without token or data. The
//! control listener shows and changes state. With only `listen`, on loopback, one listener serves both.
//! Bound early and served late: a taken port fails the start before anything else has happened.

pub mod access;
pub mod connections;
pub mod control;
pub mod pace;
pub mod respond;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONNECTION, EXPECT, HOST, HeaderValue, TRANSFER_ENCODING};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::alarm::Alarm;
use crate::ingest::reply::{self, Answer};
use crate::ingest::{self, Ingest, Peer, Phase};
use crate::metrics::Metrics;
use crate::tls;
use access::{Gate, Proof};
use connections::{Connections, Place};
use control::Control;
use pace::{Busy, Deadlines, Paced};

/// Read buffer of one connection. A request's head must fit; a body passes through it.
const READ_BUFFER: usize = 128 * 1024;
/// After a failed accept that is not the connection's own fault (descriptors are used up).
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// A handshake is two exchanges of small packets.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// What a listener serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Ingest,
    Control,
    /// Both: on loopback, when there is one listener only.
    Both,
}

/// One address, and what is served there.
pub struct Listener {
    pub socket: TcpListener,
    pub role: Role,
    /// In force for connections made from now on; `None`: plain HTTP.
    pub tls: Option<Arc<ArcSwap<ServerConfig>>>,
    /// Of its own for control: senders must not be able to keep people out.
    pub connections: Arc<Connections>,
}

/// Everything that requests are answered from.
pub struct Server {
    pub ingest: Ingest,
    pub control: Control,
    pub gate: Gate,
    pub phase: watch::Receiver<Phase>,
    pub metrics: Metrics,
    pub deadlines: Deadlines,
    /// Most that is read of a body that was refused at its head.
    pub linger_bytes: u64,
}

/// Serves until `stop`; then takes no new connection, lets those that are being answered end, and returns
/// when they have.
pub async fn serve(server: Arc<Server>, listener: Listener, mut stop: watch::Receiver<bool>) {
    // Nothing is sent: it closes when the last connection has ended.
    let (alive, mut all_ended) = mpsc::channel::<std::convert::Infallible>(1);
    loop {
        // Stopping comes first: a flood of connections must not be able to hold it off.
        let accepted = tokio::select! {
            biased;
            () = asked(&mut stop) => break,
            accepted = accept(&listener) => accepted,
        };
        let Some((stream, address, place)) = accepted else { continue };
        let (server, role, stop, alive) = (server.clone(), listener.role, stop.clone(), alive.clone());
        let tls = listener.tls.as_ref().map(|tls| TlsAcceptor::from(tls.load_full()));
        tokio::spawn(async move {
            match tls {
                None => connection(server, stream, Peer::new(address.ip(), None), role, place, stop).await,
                Some(tls) => {
                    if let Some(stream) = handshake(&server, tls, stream, address, &place, stop.clone()).await {
                        let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
                        let peer = Peer::new(address.ip(), certificate.map(tls::sender_name));
                        connection(server, stream, peer, role, place, stop).await;
                    }
                }
            }
            drop(alive);
        });
    }
    drop((listener, alive));
    all_ended.recv().await;
}

/// Resolves when the program is to stop, and where nobody is left to say so.
async fn asked(stop: &mut watch::Receiver<bool>) {
    drop(stop.wait_for(|stop| *stop).await);
}

/// `None`: it failed, took too long, or had to go.
async fn handshake(
    server: &Server,
    tls: TlsAcceptor,
    stream: TcpStream,
    address: SocketAddr,
    place: &Place,
    mut stop: watch::Receiver<bool>,
) -> Option<TlsStream<TcpStream>> {
    let done = tokio::select! {
        done = tokio::time::timeout(HANDSHAKE, tls.accept(stream)) => done,
        () = place.go.notified() => return None,
        () = asked(&mut stop) => return None,
    };
    let why = match done {
        Ok(Ok(stream)) => return Some(stream),
        Ok(Err(error)) => error.to_string(),
        Err(_) => "it took too long".to_owned(),
    };
    server.metrics.tls_handshakes_failed.inc();
    // Not louder: whoever can connect can bring it about.
    tracing::debug!(peer = %address, why, "no TLS connection came about (an [OUTPUT] needs `tls On`)");
    None
}

/// A connection and a place for it. One may wait here for its place; more wait in the kernel.
async fn accept(listener: &Listener) -> Option<(TcpStream, SocketAddr, Place)> {
    match listener.socket.accept().await {
        Ok((stream, peer)) => {
            let place = listener.connections.enter().await;
            // Small answers leave at once. It fails only where the client has gone already.
            stream.set_nodelay(true).ok()?;
            Some((stream, peer, place))
        }
        Err(error) => {
            use std::io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
            if !matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset) {
                if let Some(held_back) = NOT_ACCEPTED.due() {
                    tracing::warn!(%error, held_back, "cannot accept connections: an idle one makes room");
                }
                listener.connections.make_room();
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
            None
        }
    }
}

/// HTTP/1.1 only: it is what out_http speaks, and there is no HTTP/2 to be abused.
async fn connection<S>(
    server: Arc<Server>,
    stream: S,
    peer: Peer,
    role: Role,
    place: Place,
    mut stop: watch::Receiver<bool>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let peer = Arc::new(peer);
    let stream = Paced::new(stream, place.pace.clone(), server.deadlines);
    let (pace, answering) = (place.pace.clone(), peer.clone());
    let service = tower::service_fn(move |request: Request<Incoming>| {
        let (server, peer, busy) = (server.clone(), answering.clone(), pace.busy());
        // Boxed, so that an idle connection has no room for a request in it.
        Box::pin(async move { Ok::<_, std::convert::Infallible>(server.answer(&peer, role, request, busy).await) })
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        // The head's deadline is kept by the socket, which tells it from idleness.
        .header_read_timeout(None)
        .max_buf_size(READ_BUFFER)
        .half_close(true)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        // Its place is wanted while it has no request: nothing to finish.
        () = place.go.notified() => {
            if place.pace.quiet_since().is_some() {
                return;
            }
            connection.as_mut().graceful_shutdown();
            connection.await
        }
        () = asked(&mut stop) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(peer = %peer.ip, %error, "connection ended");
    }
}

impl Server {
    async fn answer(&self, peer: &Peer, role: Role, request: Request<Incoming>, busy: Busy) -> Response<Full<Bytes>> {
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let chunked = request.headers().contains_key(TRANSFER_ENCODING);
        let mut response = self.route(peer, role, request, &method, &path).await;
        drop(busy);
        // Who sends both lengths lets two readers disagree on where the body ends (hyper goes by the chunks, and
        // hides the other). With the connection closed nothing that follows is taken for a request.
        if chunked {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    async fn route(
        &self,
        peer: &Peer,
        role: Role,
        request: Request<Incoming>,
        method: &Method,
        path: &str,
    ) -> Response<Full<Bytes>> {
        match (path, role) {
            ("/health", _) => respond::json(StatusCode::OK, &self.control.triage.health((self.control.clock)())),
            ("/ready", _) => self.ready(),
            ("/ingest", Role::Ingest | Role::Both) => self.ingest(peer, method, request).await,
            (_, Role::Ingest) => {
                self.linger(request);
                self.unknown(method, path)
            }
            (_, Role::Control | Role::Both) => {
                if let Some(refusal) = self.gate.control(request.headers().get(HOST), request.headers()) {
                    return refusal;
                }
                if !self.control.has(path) {
                    self.linger(request);
                    return self.unknown(method, path);
                }
                self.control.answer(method, path, request).await
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
        let refusal = match self.gate.ingest(peer.certificate.as_deref(), request.headers()) {
            Proof::Token(name) => return self.ingest.handle(peer, name, request).await,
            Proof::Retired => Answer::Retired,
            Proof::None => Answer::Unauthorized,
        };
        self.metrics.batches.with_label_values(&[refusal.label()]).inc();
        self.linger(request);
        reply::response(&refusal, false, &self.metrics)
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
            let Some(held_back) = UNKNOWN_PATH.due() else { return not_found() };
            let shown: String = path.chars().filter(|c| c.is_ascii_graphic()).take(80).collect();
            tracing::warn!(path = shown, held_back, "nothing is here: a Fluent Bit [OUTPUT] needs `URI /ingest`");
        }
        not_found()
    }
}

static UNKNOWN_PATH: Alarm = Alarm::new();
static NOT_ACCEPTED: Alarm = Alarm::new();

fn not_found() -> Response<Full<Bytes>> {
    respond::error(StatusCode::NOT_FOUND, "not_found", "nothing is here; logs go to POST /ingest", None)
}
