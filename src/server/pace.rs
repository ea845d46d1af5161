//! The deadlines of one connection: who is silent, drips a request's head, or does not take its answer, is
//! closed.
//!
//! A body has deadlines of its own, in `ingest`: while a request is under way its connection is left alone.

use std::io::{Error, ErrorKind, IoSlice, Result};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

#[derive(Clone, Copy, Debug)]
pub struct Deadlines {
    /// From the first byte of a request's head to its last.
    pub head: Duration,
    /// Between requests, and before the first one.
    pub idle: Duration,
}

/// An answer that the client does not take. Most fit into the kernel's buffer; `/metrics` may not.
const WRITE: Duration = Duration::from_secs(30);

/// What a connection is doing; shared by its socket, its requests and the list of connections.
pub struct Pace {
    state: Mutex<State>,
    /// Counts requests, so that the socket notices when a head has come whole.
    turn: AtomicU64,
}

struct State {
    requests: u32,
    /// When the last request ended, or the connection was made.
    since: Instant,
}

/// A request under way.
pub struct Busy(Arc<Pace>);

impl Pace {
    pub fn new(now: Instant) -> Arc<Pace> {
        Arc::new(Pace { state: Mutex::new(State { requests: 0, since: now }), turn: AtomicU64::new(0) })
    }

    pub fn busy(self: &Arc<Pace>) -> Busy {
        self.lock().requests += 1;
        self.turn.fetch_add(1, Ordering::Relaxed);
        Busy(self.clone())
    }

    /// Since when there has been no request; `None`: there is one.
    pub fn quiet_since(&self) -> Option<Instant> {
        let state = self.lock();
        (state.requests == 0).then_some(state.since)
    }

    /// Whether there ever was one.
    pub fn has_spoken(&self) -> bool {
        self.turn.load(Ordering::Relaxed) > 0
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.requests -= 1;
        state.since = Instant::now();
    }
}

/// A socket that keeps the deadlines.
pub struct Paced<S> {
    stream: S,
    pace: Arc<Pace>,
    deadlines: Deadlines,
    /// When the head that is coming began, and how many requests there had been then.
    head: Option<(Instant, u64)>,
    reading: Pin<Box<Sleep>>,
    /// Made when a write first has to wait, which hardly any does.
    writing: Option<Pin<Box<Sleep>>>,
}

impl<S> Paced<S> {
    pub fn new(stream: S, pace: Arc<Pace>, deadlines: Deadlines) -> Paced<S> {
        let reading = Box::pin(tokio::time::sleep(deadlines.idle));
        Paced { stream, pace, deadlines, head: None, reading, writing: None }
    }

    /// When the client must have said more; `None` while a request is under way.
    fn read_deadline(&mut self, bytes_came: bool) -> Option<Instant> {
        let since = self.pace.quiet_since()?;
        let turn = self.pace.turn.load(Ordering::Relaxed);
        if self.head.is_some_and(|(_, then)| then != turn) {
            self.head = None;
        }
        if bytes_came && self.head.is_none() {
            self.head = Some((Instant::now(), turn));
        }
        Some(self.head.map_or(since + self.deadlines.idle, |(began, _)| began + self.deadlines.head))
    }

    fn write_deadline<T>(&mut self, cx: &mut Context<'_>, written: Poll<Result<T>>) -> Poll<Result<T>> {
        if written.is_ready() {
            self.writing = None;
            return written;
        }
        let waiting = self.writing.get_or_insert_with(|| Box::pin(tokio::time::sleep(WRITE)));
        ready!(waiting.as_mut().poll(cx));
        Poll::Ready(Err(too_slow("the answer is not taken")))
    }
}

fn too_slow(what: &'static str) -> Error {
    Error::new(ErrorKind::TimedOut, what)
}

impl<S: AsyncRead + Unpin> AsyncRead for Paced<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        let this = &mut *self;
        let before = buffer.filled().len();
        let read = Pin::new(&mut this.stream).poll_read(cx, buffer);
        let bytes_came = buffer.filled().len() > before;
        let Some(deadline) = this.read_deadline(bytes_came) else { return read };
        if read.is_ready() {
            // Who drips a head is read from again and again, and never waits.
            let late = bytes_came && Instant::now() >= deadline;
            return if late { Poll::Ready(Err(too_slow("the head does not end"))) } else { read };
        }
        if this.reading.deadline() != deadline {
            this.reading.as_mut().reset(deadline);
        }
        ready!(this.reading.as_mut().poll(cx));
        Poll::Ready(Err(too_slow("idle, or the head does not end")))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Paced<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.write_deadline(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bytes);
        self.write_deadline(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.write_deadline(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let shut = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.write_deadline(cx, shut)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    const DEADLINES: Deadlines = Deadlines { head: Duration::from_secs(10), idle: Duration::from_secs(90) };

    async fn next(socket: &mut Paced<tokio::io::DuplexStream>) -> Result<u8> {
        socket.read_u8().await
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_connection_is_closed_when_its_idle_time_is_over_counted_from_its_last_request() {
        let (_client, server) = tokio::io::duplex(64);
        let began = Instant::now();
        let pace = Pace::new(began);
        let mut socket = Paced::new(server, pace.clone(), DEADLINES);
        let busy = pace.busy();
        // Under way for longer than any deadline.
        let under_way = tokio::time::timeout(Duration::from_secs(200), next(&mut socket)).await;
        assert!(under_way.is_err(), "a request under way has no deadline here");
        assert_eq!(pace.quiet_since(), None);
        drop(busy);
        let ended = next(&mut socket).await.map_err(|e| e.kind());
        assert_eq!(ended, Err(ErrorKind::TimedOut));
        assert_eq!(began.elapsed().as_secs(), 290);
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_that_drips_is_cut_ten_seconds_after_its_first_byte() {
        let (mut client, server) = tokio::io::duplex(64);
        let pace = Pace::new(Instant::now());
        let mut socket = Paced::new(server, pace.clone(), DEADLINES);
        let drip = tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(50)).await;
            while client.write_u8(b'x').await.is_ok() {
                tokio::time::sleep(Duration::from_secs(3)).await;
            }
        });
        let began = Instant::now();
        let mut bytes = 0;
        while next(&mut socket).await.is_ok() {
            bytes += 1;
        }
        assert_eq!((bytes, began.elapsed().as_secs()), (4, 60));
        drip.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn each_head_has_a_clock_of_its_own() {
        let (mut client, server) = tokio::io::duplex(64);
        let pace = Pace::new(Instant::now());
        let mut socket = Paced::new(server, pace.clone(), DEADLINES);
        for _ in 0..5 {
            client.write_u8(b'a').await.expect("room");
            assert!(next(&mut socket).await.is_ok());
            tokio::time::sleep(Duration::from_secs(9)).await;
            client.write_u8(b'b').await.expect("room");
            assert!(next(&mut socket).await.is_ok(), "nine seconds are not too long");
            drop(pace.busy());
            tokio::time::sleep(Duration::from_secs(80)).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_does_not_take_its_answer_is_closed() {
        let (_client, server) = tokio::io::duplex(4);
        let pace = Pace::new(Instant::now());
        let mut socket = Paced::new(server, pace.clone(), DEADLINES);
        let _busy = pace.busy();
        let ended = socket.write_all(b"longer than four").await.map_err(|e| e.kind());
        assert_eq!(ended, Err(ErrorKind::TimedOut));
    }
}
