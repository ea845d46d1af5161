//! Messages at a terminal, for a person to read.

use std::{
    io::{self, Write},
    sync::{Arc, Mutex, PoisonError},
};

use tokio::task;

use super::deliver::Sent;

/// Prints notices for a person to read.
pub struct Stdout {
    out: Arc<Mutex<Box<dyn Write + Send>>>,
    /// Only where it is a terminal.
    pub(super) colour: bool,
}

impl Stdout {
    /// `colour` only where `out` is a terminal.
    pub fn new(out: Box<dyn Write + Send>, colour: bool) -> Self {
        Self { out: Arc::new(Mutex::new(out)), colour }
    }

    /// Writes a message and flushes.
    pub async fn send(&self, text: &str) -> Sent {
        let text = text.to_owned();
        let out = Arc::clone(&self.out);
        // Off the async threads: a pipe that nobody reads blocks for ever, and
        // must not take a request's thread with it.
        let written = task::spawn_blocking(move || {
            // A panic inside a writer leaves at worst half a message.
            let mut out = out.lock().unwrap_or_else(PoisonError::into_inner);
            out.write_all(text.as_bytes())?;
            out.flush()
        })
        .await
        .unwrap_or_else(|panic| Err(io::Error::other(panic)));
        match written {
            Ok(()) => Sent::Done { thread: None },
            Err(fault) => {
                Sent::Retry { after: None, reason: format!("cannot write to standard output: {fault}"), in_doubt: true }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::notice::{NoticeKind, tests::notice};
    use super::super::text::plain;
    use super::*;

    #[tokio::test]
    async fn stdout_writes_what_plain_renders_and_a_broken_pipe_is_tried_again() {
        struct Shared(Arc<Mutex<Vec<u8>>>, bool);
        impl Write for Shared {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                if self.1 {
                    return Err(io::ErrorKind::BrokenPipe.into());
                }
                self.0.lock().expect("no writer panics").write(bytes)
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let written = Arc::new(Mutex::default());
        let notice = notice(NoticeKind::Opened);
        let sound = Stdout::new(Box::new(Shared(Arc::clone(&written), false)), false);
        assert_eq!(sound.send(&plain(&notice, false)).await, Sent::Done { thread: None });
        let text = written.lock().expect("no writer panics").clone();
        assert_eq!(String::from_utf8(text).as_ref(), Ok(&plain(&notice, false)));

        let broken = Stdout::new(Box::new(Shared(Arc::default(), true)), false);
        assert_eq!(
            broken.send(&plain(&notice, false)).await,
            Sent::Retry { after: None, reason: "cannot write to standard output: broken pipe".into(), in_doubt: true }
        );
    }
}
