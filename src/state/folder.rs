//! A folder that outlives the program: files that are there whole or not at all.
//!
//! Written beside, synced, renamed, and the folder synced. A disk that hangs holds one thread and no more: while
//! one call has not come back no other is made.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::place::Failed;

/// Longer than a network's file system needs for what a document may have.
const PATIENCE: Duration = Duration::from_secs(15);

pub(super) struct Folder {
    pub(super) path: PathBuf,
    busy: Arc<AtomicBool>,
}

/// Says that a call has come back, however it did.
struct Busy(Arc<AtomicBool>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

impl Folder {
    pub(super) fn new(path: PathBuf) -> Folder {
        Folder { path, busy: Arc::default() }
    }

    /// `None`: there is no such file.
    pub(super) async fn read(&self, name: &str, most: usize) -> Result<Option<Vec<u8>>, Failed> {
        let path = self.path.join(name);
        self.call(move || read(&path, most)).await
    }

    pub(super) async fn write(&self, name: &str, bytes: Vec<u8>) -> Result<(), Failed> {
        let (folder, name) = (self.path.clone(), name.to_owned());
        self.call(move || write(&folder, &name, &bytes)).await
    }

    async fn call<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
    ) -> Result<T, Failed> {
        if self.busy.swap(true, Ordering::AcqRel) {
            return Err(Failed::new("an earlier call to the file system has not come back"));
        }
        let busy = Busy(self.busy.clone());
        let called = tokio::task::spawn_blocking(move || {
            let _busy = busy;
            work()
        });
        match tokio::time::timeout(PATIENCE, called).await {
            Ok(Ok(done)) => done.map_err(|error| Failed::new(error.to_string())),
            Ok(Err(_)) => Err(Failed::new("the call was given up")),
            Err(_) => Err(Failed::new(format!("the file system does not answer within {} s", PATIENCE.as_secs()))),
        }
    }
}

fn read(path: &Path, most: usize) -> std::io::Result<Option<Vec<u8>>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    file.take(most as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > most {
        return Err(std::io::Error::other(format!("{} is larger than {most} bytes", path.display())));
    }
    Ok(Some(bytes))
}

fn write(folder: &Path, name: &str, bytes: &[u8]) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    let beside = folder.join(format!("{name}.tmp"));
    // What was left there may be somebody else's to read.
    match std::fs::remove_file(&beside) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&beside, folder.join(name))?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[tokio::test]
    async fn what_was_written_is_read_by_nobody_else_and_nothing_is_left_beside_it() {
        let dir = tempfile::tempdir().expect("a folder");
        let folder = Folder::new(dir.path().join("a/b"));
        assert!(matches!(folder.read("x", 10).await, Ok(None)));
        for text in ["first", "second"] {
            folder.write("x", text.into()).await.unwrap_or_else(|failed| panic!("{}", failed.words));
        }
        let read = folder.read("x", 6).await;
        assert_eq!(read.unwrap_or_else(|failed| panic!("{}", failed.words)).as_deref(), Some(&b"second"[..]));
        assert!(folder.read("x", 5).await.is_err(), "longer than it may be");
        let files: Vec<_> = std::fs::read_dir(&folder.path).expect("it is there").flatten().collect();
        assert_eq!(files.iter().map(|file| file.file_name()).collect::<Vec<_>>(), ["x"]);
        let mode = files.iter().filter_map(|file| file.metadata().ok()).map(|m| m.permissions().mode() & 0o777);
        assert_eq!(mode.collect::<Vec<_>>(), [0o600]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_disk_that_hangs_holds_one_thread() {
        let folder = Arc::new(Folder::new("x".into()));
        let (release, held) = std::sync::mpsc::sync_channel::<()>(0);
        let hanging = folder.clone();
        let hang = tokio::spawn(async move { hanging.call(move || held.recv().map_err(std::io::Error::other)).await });
        tokio::task::yield_now().await;
        // Time does not pass by itself while a thread is at work.
        tokio::time::advance(PATIENCE + Duration::from_millis(1)).await;
        let hung = hang.await.expect("it ends");
        assert!(hung.is_err_and(|failed| failed.words.contains("does not answer")));
        assert!(folder.call(|| Ok(())).await.is_err_and(|failed| failed.words.contains("has not come back")));
        drop(release);
    }
}
