//! The world around the program under test: the program itself as a child process, a hand-made
//! HTTP client, a Fluent Bit, a Slack, a model, and a network that loses answers.
//!
//! Everything here is plain threads and blocking sockets, so that a test decides which bytes are on
//! the wire and when. Nothing sleeps to "let things settle": a test names what it waits for
//! ([`eventually`]) and fails with that name.
#![allow(dead_code, reason = "a harness offers more than each day's tests use")]

pub(crate) mod bucket;
pub(crate) mod claude;
pub(crate) mod disk;
pub(crate) mod fluent_bit;
pub(crate) mod github;
pub(crate) mod http;
pub(crate) mod model;
pub(crate) mod program;
pub(crate) mod repository;
pub(crate) mod slack;
pub(crate) mod tls;

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How often a blocked stand-in looks whether it is to stop.
const TICK: Duration = Duration::from_millis(50);

/// A peer that reads nothing for this long ends a stand-in's write, so that no drop hangs for ever.
const WRITE_PATIENCE: Duration = Duration::from_secs(60);

/// Where something listens, as of now. Clones share it: after a restart on another port, everyone
/// who holds a clone finds the program again.
#[derive(Clone, Debug)]
pub(crate) struct Address(Arc<Mutex<SocketAddr>>);

/// A listener on a port of its own, one thread per connection. Dropping it closes the port and
/// waits for the threads.
pub(crate) struct Listening {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    acceptor: Option<JoinHandle<()>>,
}

/// A TCP proxy before `target`, which misbehaves as told for each connection.
pub(crate) struct Proxy {
    listening: Listening,
    counts: Arc<ProxyCounts>,
}

/// What a [`Proxy`] does with one connection.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Mode {
    Pass,
    /// Passes this many answers, reads the next one from the server to its end, keeps it, and
    /// closes: the server has done its part and the client never hears of it.
    SwallowAnswer {
        after: usize,
    },
    /// Closes both sides once this many bytes have gone from the client to the server.
    CutRequests {
        after: usize,
    },
    /// Once this many bytes have gone to the server, tells it that nothing more comes; answers still pass.
    EndRequests {
        after: usize,
    },
    /// Holds back whatever the server says for this long.
    DelayAnswers(Duration),
    /// Lets the client's bytes through no faster than this, a little at a time.
    ThrottleRequests {
        bytes_a_second: usize,
    },
}

#[derive(Default)]
struct ProxyCounts {
    connections: AtomicUsize,
    swallowed: AtomicUsize,
    cut: AtomicUsize,
}

/// Polls until there is something, and panics naming `what` if there is nothing by the deadline.
/// For observing an effect that comes by itself, never for waiting a while.
pub(crate) fn eventually<T>(what: &str, deadline: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(start.elapsed() < deadline, "not within {deadline:?}: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// A panicking test must not hide its own message behind a poisoned lock.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

// === impl Address ===

impl Address {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self(Arc::new(Mutex::new(address)))
    }

    pub(crate) fn get(&self) -> SocketAddr {
        *lock(&self.0)
    }

    pub(crate) fn set(&self, address: SocketAddr) {
        *lock(&self.0) = address;
    }
}

// === impl Listening ===

impl Listening {
    /// `serve` gets the number of the connection, from 0, and a flag that says when to give up;
    /// its reads time out every [`TICK`] so that it can look.
    pub(crate) fn start(serve: impl Fn(usize, TcpStream, &AtomicBool) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("binding a port on loopback");
        let address = listener.local_addr().expect("the address of a bound listener");
        let stop = Arc::new(AtomicBool::new(false));
        let stopping = Arc::clone(&stop);
        let acceptor = thread::spawn(move || {
            thread::scope(|scope| {
                let (serve, stopping) = (&serve, &*stopping);
                for (number, stream) in listener.incoming().flatten().enumerate() {
                    if stopping.load(Ordering::SeqCst) {
                        break;
                    }
                    set_up(&stream);
                    scope.spawn(move || serve(number, stream, stopping));
                }
                // Before the scope waits for its threads: from here on connections are refused.
                drop(listener);
            });
        });
        Self { address, stop, acceptor: Some(acceptor) }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        // The acceptor only looks at the flag when somebody connects.
        drop(TcpStream::connect(self.address));
        if let Some(acceptor) = self.acceptor.take() {
            let ended = acceptor.join();
            assert!(ended.is_ok() || thread::panicking(), "a stand-in's connection panicked");
        }
    }
}

// === impl Proxy ===

impl Proxy {
    /// `mode` is asked once for each connection, numbered from 0.
    pub(crate) fn start(target: Address, mode: impl Fn(usize) -> Mode + Send + Sync + 'static) -> Self {
        let counts = Arc::new(ProxyCounts::default());
        let counting = Arc::clone(&counts);
        let listening = Listening::start(move |number, client, stop| {
            counting.connections.fetch_add(1, Ordering::SeqCst);
            // A target that is down: the client finds its connection closed.
            let Ok(server) = TcpStream::connect(target.get()) else {
                return;
            };
            set_up(&server);
            let mode = mode(number);
            thread::scope(|scope| {
                scope.spawn(|| pump_requests(&client, &server, mode, stop, &counting));
                pump_answers(&server, &client, mode, stop, &counting);
            });
        });
        Self { listening, counts }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.listening.address()
    }

    pub(crate) fn connections(&self) -> usize {
        self.counts.connections.load(Ordering::SeqCst)
    }

    /// Answers that the server gave and no client ever got.
    pub(crate) fn swallowed(&self) -> usize {
        self.counts.swallowed.load(Ordering::SeqCst)
    }

    /// Connections closed in the middle of what the client was sending.
    pub(crate) fn cut(&self) -> usize {
        self.counts.cut.load(Ordering::SeqCst)
    }
}

fn pump_requests(mut client: &TcpStream, mut server: &TcpStream, mode: Mode, stop: &AtomicBool, counts: &ProxyCounts) {
    let mut left = match mode {
        Mode::CutRequests { after } | Mode::EndRequests { after } => after,
        _ => usize::MAX,
    };
    while let Some(bytes) = read_some(&mut client, stop) {
        if bytes.is_empty() {
            // The client has said all it will; it may still be listening.
            drop(server.shutdown(Shutdown::Write));
            return;
        }
        let passed = bytes.len().min(left);
        left -= passed;
        let piece = match mode {
            // Twenty pieces a second, each after its pause.
            Mode::ThrottleRequests { bytes_a_second } => (bytes_a_second / 20).max(1),
            _ => usize::MAX,
        };
        let written = bytes[..passed].chunks(piece).try_for_each(|piece| {
            if matches!(mode, Mode::ThrottleRequests { .. }) {
                pause(TICK, stop);
            }
            server.write_all(piece)
        });
        if written.is_err() {
            break;
        }
        if left == 0 {
            counts.cut.fetch_add(1, Ordering::SeqCst);
            if matches!(mode, Mode::EndRequests { .. }) {
                drop(server.shutdown(Shutdown::Write));
                return;
            }
            break;
        }
    }
    close(client, server);
}

fn pump_answers(mut server: &TcpStream, mut client: &TcpStream, mode: Mode, stop: &AtomicBool, counts: &ProxyCounts) {
    let mut answers = match mode {
        Mode::SwallowAnswer { after } => Some((after, Vec::new())),
        _ => None,
    };
    while let Some(bytes) = read_some(&mut server, stop) {
        if bytes.is_empty() && answers.is_none() {
            drop(client.shutdown(Shutdown::Write));
            return;
        }
        if let Some((pass, unread)) = &mut answers {
            let ended = bytes.is_empty();
            unread.extend(bytes);
            let mut swallowed = false;
            while let Ok(Some(answer)) = http::parse(unread, ended, http::Kind::Answer) {
                if *pass == 0 {
                    counts.swallowed.fetch_add(1, Ordering::SeqCst);
                    swallowed = true;
                    break;
                }
                *pass -= 1;
                let whole: Vec<u8> = unread.drain(..answer.raw_len).collect();
                drop(client.write_all(&whole));
            }
            if swallowed || ended {
                break;
            }
            continue;
        }
        if let Mode::DelayAnswers(delay) = mode {
            pause(delay, stop);
        }
        if client.write_all(&bytes).is_err() {
            break;
        }
    }
    close(client, server);
}

/// The next bytes; empty at the end of the stream, `None` on a fault or when told to stop.
fn read_some(stream: &mut &TcpStream, stop: &AtomicBool) -> Option<Vec<u8>> {
    let mut bytes = vec![0; 64 * 1024];
    while !stop.load(Ordering::SeqCst) {
        match stream.read(&mut bytes) {
            Ok(read) => {
                bytes.truncate(read);
                return Some(bytes);
            }
            Err(fault) if http::is_timeout(&fault) => {}
            Err(_) => return None,
        }
    }
    None
}

fn set_up(stream: &TcpStream) {
    stream.set_nodelay(true).expect("TCP_NODELAY");
    stream.set_read_timeout(Some(TICK)).expect("a read timeout");
    stream.set_write_timeout(Some(WRITE_PATIENCE)).expect("a write timeout");
}

fn close(client: &TcpStream, server: &TcpStream) {
    // Either may be gone already: nothing to tell.
    drop(client.shutdown(Shutdown::Both));
    drop(server.shutdown(Shutdown::Both));
}

fn pause(delay: Duration, stop: &AtomicBool) {
    let start = Instant::now();
    while start.elapsed() < delay && !stop.load(Ordering::SeqCst) {
        thread::sleep(TICK.min(delay.saturating_sub(start.elapsed())));
    }
}
