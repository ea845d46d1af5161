//! Asks a running receiver on this machine whether it is ready: what `emberwatch ping` does, as a container's
//! health check.

use std::io::{Error, Read, Result, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};

/// Health checks have timeouts of their own, usually 5 s.
const PATIENCE: Duration = Duration::from_secs(3);

/// An error says what came instead of readiness.
pub fn ready(mut address: SocketAddr, tls: bool) -> Result<()> {
    if address.ip().is_unspecified() {
        address.set_ip(if address.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() });
    }
    let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    if !tls {
        return ask(stream, address);
    }
    let client = ClientConnection::new(crate::tls::probe().map_err(Error::other)?, ServerName::from(address.ip()));
    ask(StreamOwned::new(client.map_err(Error::other)?, stream), address)
}

fn ask(mut stream: impl Read + Write, address: SocketAddr) -> Result<()> {
    stream.write_all(format!("GET /ready HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").as_bytes())?;
    let mut answer = Vec::new();
    stream.take(1024).read_to_end(&mut answer)?;
    if answer.starts_with(b"HTTP/1.1 200 ") {
        return Ok(());
    }
    let line = answer.split(|b| *b == b'\r').next().unwrap_or_default();
    Err(Error::other(format!("it answered {:?}", String::from_utf8_lossy(line))))
}
