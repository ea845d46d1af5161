//! HTTP/1.1 by hand over a blocking socket: what goes out is exactly what the test wrote, and an
//! answer keeps its length in bytes, since Fluent Bit retries whatever is longer than 4095.

use std::fmt::Write as _;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;

/// The program promises an answer within 30 s; a test that waits longer reports a fault.
const PATIENCE: Duration = Duration::from_secs(40);

#[derive(Clone, Debug)]
pub(crate) struct Request {
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    chunk_bytes: Option<usize>,
}

/// One connection, kept open between requests. Dropping it closes it, wherever it stands.
pub(crate) struct Connection {
    wire: Wire,
    host: String,
}

#[derive(Clone, Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// Head and body, as they were on the wire.
    pub(crate) raw_len: usize,
}

/// A request or an answer as read from the wire.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) start: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) raw_len: usize,
}

/// What is being read: it decides where a body without a length ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind {
    Request,
    Answer,
}

/// A socket and what was read from it but not yet used.
pub(crate) struct Wire {
    pub(crate) stream: TcpStream,
    unread: Vec<u8>,
}

/// Sends records as a person with curl does: `Accept: */*`, so it is never taken for a repeat.
pub(crate) fn post_ingest(address: SocketAddr, body: impl Into<Vec<u8>>) -> Response {
    let request = Request::new("POST", "/ingest").header("Content-Type", "application/x-ndjson");
    Connection::open(address).send(&request.body(body))
}

pub(crate) fn get(address: SocketAddr, path: &str) -> Response {
    Connection::open(address).send(&Request::new("GET", path))
}

pub(crate) fn get_text(address: SocketAddr, path: &str) -> String {
    let response = get(address, path);
    assert_eq!(response.status, 200, "GET {path}: {}", response.text());
    response.text()
}

pub(crate) fn get_json(address: SocketAddr, path: &str) -> Value {
    let text = get_text(address, path);
    serde_json::from_str(&text).unwrap_or_else(|fault| panic!("GET {path}: {fault}: {text}"))
}

pub(crate) fn post_json(address: SocketAddr, path: &str, body: &Value) -> Response {
    let request = Request::new("POST", path).header("Content-Type", "application/json");
    Connection::open(address).send(&request.body(body.to_string()))
}

pub(crate) fn delete(address: SocketAddr, path: &str) -> Response {
    Connection::open(address).send(&Request::new("DELETE", path))
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("gzip into memory")
}

/// Whether a read only ran out of time.
pub(crate) fn is_timeout(fault: &io::Error) -> bool {
    matches!(fault.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

pub(crate) fn find<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

// === impl Request ===

impl Request {
    /// With the headers curl sends.
    pub(crate) fn new(method: &str, target: &str) -> Self {
        Self::bare(method, target).header("User-Agent", "curl/8.5.0").header("Accept", "*/*")
    }

    /// With `Host` only, and a length if there is a body.
    pub(crate) fn bare(method: &str, target: &str) -> Self {
        Self {
            method: method.to_owned(),
            target: target.to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
            chunk_bytes: None,
        }
    }

    /// Adds a header after the others, also a second one of the same name. A `Content-Length` or
    /// `Transfer-Encoding` set here is sent as it is, true or not.
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(n, _)| !n.eq_ignore_ascii_case(name));
        self
    }

    pub(crate) fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// Compresses the body set so far.
    pub(crate) fn gzip(mut self) -> Self {
        self.body = gzip(&self.body);
        self.header("Content-Encoding", "gzip")
    }

    /// Sends the body in chunks of this many bytes in place of a length.
    pub(crate) fn chunked(mut self, chunk_bytes: usize) -> Self {
        self.chunk_bytes = Some(chunk_bytes);
        self
    }

    pub(crate) fn head_bytes(&self, host: &str) -> Vec<u8> {
        let mut head = format!("{} {} HTTP/1.1\r\nHost: {host}\r\n", self.method, self.target);
        let mut line = |name: &str, value: &str| {
            write!(head, "{name}: {value}\r\n").expect("writing into a string");
        };
        for (name, value) in &self.headers {
            line(name, value);
        }
        let framed = ["content-length", "transfer-encoding"];
        if !framed.iter().any(|name| find(&self.headers, name).is_some()) {
            if self.chunk_bytes.is_some() {
                line("Transfer-Encoding", "chunked");
            } else if !self.body.is_empty() || ["POST", "PUT"].contains(&self.method.as_str()) {
                line("Content-Length", &self.body.len().to_string());
            }
        }
        head.push_str("\r\n");
        head.into_bytes()
    }

    /// The body as it goes over the wire.
    pub(crate) fn body_bytes(&self) -> Vec<u8> {
        let Some(chunk_bytes) = self.chunk_bytes else {
            return self.body.clone();
        };
        let mut out = Vec::with_capacity(self.body.len() + 64);
        for chunk in self.body.chunks(chunk_bytes.max(1)) {
            out.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
            out.extend(chunk);
            out.extend(b"\r\n");
        }
        out.extend(b"0\r\n\r\n");
        out
    }
}

// === impl Connection ===

impl Connection {
    pub(crate) fn open(address: SocketAddr) -> Self {
        Self::try_open(address, PATIENCE).unwrap_or_else(|fault| panic!("connecting to {address}: {fault}"))
    }

    pub(crate) fn try_open(address: SocketAddr, patience: Duration) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, Duration::from_secs(10))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(patience))?;
        stream.set_write_timeout(Some(patience))?;
        Ok(Self { wire: Wire::new(stream), host: address.to_string() })
    }

    pub(crate) fn send(&mut self, request: &Request) -> Response {
        self.try_send(request)
            .unwrap_or_else(|fault| panic!("{} {} to {}: {fault}", request.method, request.target, self.host))
    }

    pub(crate) fn try_send(&mut self, request: &Request) -> io::Result<Response> {
        let written = self.write(&request.head_bytes(&self.host)).and_then(|()| self.write(&request.body_bytes()));
        // A server may answer and close before it has read everything; the answer counts.
        self.read().map_err(|fault| written.err().unwrap_or(fault))
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.wire.stream.write_all(bytes)
    }

    /// Sends the head and only this much of the body. Dropping the connection then ends it with a
    /// FIN.
    pub(crate) fn write_partial(&mut self, request: &Request, body_bytes: usize) {
        let body = request.body_bytes();
        assert!(body_bytes < body.len(), "a partial body is shorter than the {} bytes", body.len());
        self.write(&request.head_bytes(&self.host)).expect("sending a head");
        self.write(&body[..body_bytes]).expect("sending a part of a body");
    }

    /// As [`Self::write_partial`], and then the connection ends with a RST. Std cannot set
    /// `SO_LINGER`, but Linux also resets a connection that is closed with something unread: here
    /// the answer to a health request.
    pub(crate) fn write_partial_and_reset(mut self, request: &Request, body_bytes: usize) {
        let health = Request::new("GET", "/health").head_bytes(&self.host);
        self.write(&health).expect("sending a health request");
        let peeked = self.wire.stream.peek(&mut [0]).expect("the answer to a health request");
        assert_eq!(peeked, 1, "the connection was closed in place of a health answer");
        self.write_partial(request, body_bytes);
    }

    /// The next answer, also an interim one (1xx): Fluent Bit takes whatever comes first.
    pub(crate) fn read(&mut self) -> io::Result<Response> {
        let answer = self.wire.next(Kind::Answer)?;
        let status = status_of(&answer.start)?;
        let Message { headers, body, raw_len, .. } = answer;
        Ok(Response { status, headers, body, raw_len })
    }

    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    pub(crate) fn stream(&self) -> &TcpStream {
        &self.wire.stream
    }

    /// Whether the server has closed, or said something nobody asked for.
    pub(crate) fn is_spent(&self) -> bool {
        let stream = &self.wire.stream;
        stream.set_nonblocking(true).expect("a socket that does not block");
        let idle = matches!(stream.peek(&mut [0]), Err(fault) if is_timeout(&fault));
        stream.set_nonblocking(false).expect("a socket that blocks");
        !idle
    }
}

// === impl Response ===

impl Response {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        find(&self.headers, name)
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|fault| panic!("{fault} in the body of a {}: {}", self.status, self.text()))
    }
}

// === impl Wire ===

impl Wire {
    pub(crate) fn new(stream: TcpStream) -> Self {
        Self { stream, unread: Vec::new() }
    }

    /// The next message. After a timeout it can be called again: nothing is lost.
    pub(crate) fn next(&mut self, kind: Kind) -> io::Result<Message> {
        let mut buffer = vec![0; 64 * 1024];
        let mut ended = false;
        loop {
            if let Some(message) = parse(&self.unread, ended, kind)? {
                self.unread.drain(..message.raw_len);
                return Ok(message);
            }
            if ended {
                let text = format!("closed with {} bytes of a message read", self.unread.len());
                return Err(io::Error::new(ErrorKind::UnexpectedEof, text));
            }
            let read = uninterrupted(|| self.stream.read(&mut buffer))?;
            ended = read == 0;
            self.unread.extend(&buffer[..read]);
        }
    }
}

/// The message at the front of `bytes`, or `None` if more is needed. `ended` says that no more will
/// come.
pub(crate) fn parse(bytes: &[u8], ended: bool, kind: Kind) -> io::Result<Option<Message>> {
    let Some(head_len) = bytes.windows(4).position(|end| end == b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = String::from_utf8_lossy(&bytes[..head_len]).into_owned();
    let rest = &bytes[head_len + 4..];
    let mut lines = head.split("\r\n");
    let start = lines.next().unwrap_or_default().to_owned();
    let headers: Vec<(String, String)> = lines
        .map(|line| line.split_once(':').ok_or_else(|| bad(&format!("header line {line:?}"))))
        .map(|split| split.map(|(name, value)| (name.to_owned(), value.trim().to_owned())))
        .collect::<io::Result<_>>()?;
    let bodiless = kind == Kind::Answer && matches!(status_of(&start)?, 100..=199 | 204 | 304);
    let chunked = find(&headers, "transfer-encoding").is_some_and(|value| value == "chunked");
    let length = find(&headers, "content-length").map(str::parse::<usize>).transpose();
    let length = length.map_err(|_| bad("Content-Length"))?;
    let body = match length {
        _ if bodiless => Some((Vec::new(), 0)),
        _ if chunked => dechunk(rest)?,
        Some(length) => rest.get(..length).map(|body| (body.to_vec(), length)),
        None if kind == Kind::Request => Some((Vec::new(), 0)),
        None => ended.then(|| (rest.to_vec(), rest.len())),
    };
    Ok(body.map(|(body, used)| Message { start, headers, body, raw_len: head_len + 4 + used }))
}

/// The body out of its chunks, and how many bytes they took. Trailers are not expected.
fn dechunk(bytes: &[u8]) -> io::Result<Option<(Vec<u8>, usize)>> {
    let (mut body, mut at) = (Vec::new(), 0);
    loop {
        let Some(line) = bytes[at..].windows(2).position(|end| end == b"\r\n") else {
            return Ok(None);
        };
        let size = String::from_utf8_lossy(&bytes[at..at + line]).into_owned();
        let size = usize::from_str_radix(size.trim(), 16).map_err(|_| bad("chunk size"))?;
        let data = at + line + 2;
        let Some(chunk) = bytes.get(data..data + size + 2) else {
            return Ok(None);
        };
        body.extend(&chunk[..size]);
        at = data + size + 2;
        if size == 0 {
            return Ok(Some((body, at)));
        }
    }
}

fn status_of(start: &str) -> io::Result<u16> {
    let status = start.split(' ').nth(1).and_then(|status| status.parse().ok());
    status.ok_or_else(|| bad(&format!("status line {start:?}")))
}

fn bad(what: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, format!("not HTTP: {what}"))
}

/// A read that a signal interrupted is made again, as the standard library does wherever it loops itself.
fn uninterrupted(mut read: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match read() {
            Err(fault) if fault.kind() == ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}
