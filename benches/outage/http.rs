//! Just enough HTTP over blocking sockets: reading requests, answering them, asking for a page.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// How long a silent peer holds a thread before it looks whether the run is over.
pub(crate) const TICK: Duration = Duration::from_millis(200);
const PATIENCE: Duration = Duration::from_secs(5);

/// Whether a read only ran out of time.
pub(crate) fn is_timeout(fault: &std::io::Error) -> bool {
    matches!(fault.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

/// The body after this head, or what is left of it; `None` at the end of the connection.
pub(crate) fn request(connection: &mut BufReader<TcpStream>) -> Option<Vec<u8>> {
    let mut length = 0;
    let mut chunked = false;
    let mut line = String::new();
    loop {
        line.clear();
        if connection.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let (name, value) = line.split_once(':').unwrap_or((line.trim(), ""));
        if name.is_empty() {
            break;
        }
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().ok()?;
        }
        chunked |= name.eq_ignore_ascii_case("transfer-encoding");
    }
    if chunked {
        return chunks(connection);
    }
    let mut body = vec![0; length];
    connection.read_exact(&mut body).ok()?;
    Some(body)
}

/// A body in chunks, which Fluent Bit 1.9 has on its page of figures.
fn chunks(connection: &mut BufReader<TcpStream>) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let mut line = String::new();
        connection.read_line(&mut line).ok()?;
        let mut chunk = vec![0; usize::from_str_radix(line.trim(), 16).ok()?];
        connection.read_exact(&mut chunk).ok()?;
        connection.read_line(&mut line).ok()?;
        if chunk.is_empty() {
            return Some(body);
        }
        body.append(&mut chunk);
    }
}

/// Answers with this status and no body.
pub(crate) fn answer(connection: &mut BufReader<TcpStream>, status: &str) -> Option<()> {
    let text = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
    connection.get_mut().write_all(text.as_bytes()).ok()
}

/// The body of a 200; `None` if there is no such answer. Fluent Bit leaves the connection open whatever is asked.
pub(crate) fn get(from: SocketAddr, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect_timeout(&from, PATIENCE).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: {from}\r\nConnection: close\r\n\r\n").as_bytes()).ok()?;
    let mut connection = BufReader::new(stream);
    let mut status = String::new();
    connection.read_line(&mut status).ok()?;
    let body = request(&mut connection)?;
    (status.split_whitespace().nth(1)? == "200").then(|| String::from_utf8(body).ok()).flatten()
}
