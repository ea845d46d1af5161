//! `emberwatch replay`: what the program would have said of logs that are there already.
//!
//! Lines of files go the way of lines that are sent: the same reader, rules, windows, escalations and triage. Only the
//! clock is another one, that of the lines; so nothing is late, and an hour of lines takes a second. It promises:
//!
//! - nothing is written but the report: no store, no alerts, no socket, no model, no Slack;
//! - the same input has the same report;
//! - memory does not grow with the input: files are read in pieces and merged by their heads alone;
//! - no input ends it: what cannot be read is told in the report.

pub mod drive;
pub mod gathered;
pub mod input;
pub mod merge;
pub mod progress;
pub mod report;
pub mod source;
pub mod stamp;
pub mod words;

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::Duration;

use crate::app;
use crate::config::Config;
use crate::redact;
use crate::watch::Watch;
use crate::watch::rule::Rule;
use drive::Drive;
use gathered::Gathered;
use input::{Bytes, Found, NoInput, Passed};
use merge::{Merge, OPEN_MAX};
use progress::Progress;
use report::{Report, TimeOddity};
use source::{Shared, Source, tag_of};

/// Lines between two looks at who wants to stop, and at how far it is.
const LOOK_EVERY: u64 = 1_024;
/// Files whose odd times are told one by one.
const ODDITIES_MAX: usize = 1_000;
/// Blocks of a pipe that wait.
const PIPE_BLOCKS: usize = 8;

pub struct Options {
    /// Files, folders, and `-`.
    pub inputs: Vec<PathBuf>,
    /// Rules to try, beside those of the configuration; of one label they hold.
    pub rules: Vec<Rule>,
    /// The built-in rules, too.
    pub builtin: bool,
    /// Lines before it, or after the other, are left out. Unix milliseconds.
    pub since_ms: Option<i64>,
    pub until_ms: Option<i64>,
    /// What lines are of that name no service; by default what their file is called.
    pub service: Option<String>,
    pub quiet: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error(transparent)]
    Input(#[from] NoInput),
    #[error("cannot start: {0}")]
    Start(String),
}

/// Reads everything, and tells what came of it. `stop`: set when somebody has had enough; what was read until then is
/// told. `now_ms`: the wall clock, for what a pipe does not tell.
pub fn run(config: &Config, options: &Options, stop: &Arc<AtomicBool>, now_ms: i64) -> Result<Report, Failure> {
    let (files, passed) = input::find(&options.inputs)?;
    // A second run in one process finds it configured, with the same.
    redact::configure(&config.redact, drive::SEED).unwrap_or_default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let runtime = runtime.map_err(|error| Failure::Start(error.to_string()))?;
    let base = watches(config, options);
    let shared = Rc::new(Shared {
        gathered: RefCell::new(Gathered::default()),
        naming: Arc::new(config.record.clone()),
        cap: config.ingest.max_line_bytes,
        stop: stop.clone(),
    });
    let reading = Reading { files, passed, shared, service: options.service.clone(), now_ms, kept: Vec::new() };
    runtime.block_on(replay(config, options, base, reading))
}

/// The rules that run: those of the configuration, with those to be tried; else the built-in ones.
fn watches(config: &Config, options: &Options) -> Vec<Watch> {
    let mut config = config.clone();
    config.watches.retain(|rule| !options.rules.iter().any(|tried| tried.label == rule.label));
    config.watches.extend(options.rules.iter().cloned());
    if options.builtin {
        config.builtin_watches = Some(true);
    }
    app::base_watches(&config)
}

/// The files, and what is known of them.
struct Reading {
    files: Vec<Found>,
    passed: Vec<Passed>,
    shared: Rc<Shared>,
    service: Option<String>,
    now_ms: i64,
    /// Opened for a first look, and not closed again.
    kept: Vec<Option<Source>>,
}

impl Reading {
    fn open(&mut self, place: usize) -> Option<Source> {
        let file = self.files.get(place)?;
        let stop = self.shared.stop.clone();
        let reader: io::Result<Box<dyn Read>> = match &file.path {
            Some(path) if file.is_regular => File::open(path).map(|file| Box::new(file) as Box<dyn Read>),
            // Even opening it waits until somebody writes.
            Some(path) => {
                let path = path.clone();
                Ok(Box::new(Piped::of(move || File::open(path), stop)))
            }
            None => Ok(Box::new(Piped::of(|| Ok(io::stdin()), stop))),
        };
        match reader.and_then(Bytes::new) {
            Ok(bytes) => {
                let tag = self.service.as_ref().map_or_else(|| tag_of(file), |name| name.as_bytes().to_vec());
                Some(Source::new(file, bytes, tag, self.shared.clone(), self.now_ms))
            }
            Err(error) => {
                self.passed.push(Passed { file: file.name.clone(), why: error.to_string() });
                None
            }
        }
    }

    /// A first look at each file: when it begins. What may be open at once stays open, and what cannot be opened twice.
    fn firsts(&mut self, totals: &mut Totals) -> Vec<Option<i64>> {
        use merge::Stream;
        let mut firsts = Vec::new();
        for place in 0..self.files.len() {
            let mut source = self.open(place);
            let first = source.as_mut().and_then(Source::time);
            firsts.push(first);
            if first.is_none() {
                if let Some(source) = source.take() {
                    self.ended(place, &source, totals);
                }
            } else if self.files.len() > OPEN_MAX && self.files.get(place).is_some_and(|file| file.is_regular) {
                source = None;
            }
            self.kept.push(source);
            if self.shared.stop.load(Ordering::Relaxed) {
                break;
            }
        }
        firsts
    }

    fn begin(&mut self, place: usize) -> Option<Source> {
        match self.kept.get_mut(place).and_then(Option::take) {
            Some(source) => Some(source),
            None => self.open(place),
        }
    }

    fn ended(&mut self, place: usize, source: &Source, totals: &mut Totals) {
        let name = self.files.get(place).map(|file| file.name.clone()).unwrap_or_default();
        totals.bytes += source.decoded;
        totals.taken += source.taken;
        totals.whole += u64::from(!source.stopped && source.broken.is_none());
        if let Some(why) = &source.broken {
            self.passed.push(Passed { file: name.clone(), why: why.clone() });
        }
        let odd = source.oddities;
        if totals.oddities.len() < ODDITIES_MAX && !odd.is_none() {
            totals.oddities.push(TimeOddity {
                file: name,
                timed: odd.timed,
                timeless: odd.timeless,
                ahead: odd.ahead,
                backwards: odd.backwards,
            });
        }
    }
}

#[derive(Default)]
struct Totals {
    /// Files that were read to their end.
    whole: u64,
    /// Decompressed.
    bytes: u64,
    /// From the disk.
    taken: u64,
    oddities: Vec<TimeOddity>,
}

async fn replay(config: &Config, options: &Options, base: Vec<Watch>, mut reading: Reading) -> Result<Report, Failure> {
    let stop = reading.shared.stop.clone();
    let mut totals = Totals::default();
    let known = reading.files.iter().all(|file| file.path.is_some());
    let on_disk: u64 = reading.files.iter().map(|file| file.bytes).sum();
    let mut progress = Progress::new(known.then_some(on_disk), options.quiet);
    let begun = std::time::Instant::now();
    let firsts = reading.firsts(&mut totals);
    let wanted = |at: i64| options.since_ms.is_none_or(|since| at >= since) && options.until_ms.is_none_or(|u| at <= u);
    let mut merge: Merge<Source> = Merge::new(&firsts, OPEN_MAX);
    let mut drive: Option<Drive> = None;
    let mut lines = 0u64;
    while let Some((place, time_ms)) = merge.next(|place| reading.begin(place)) {
        lines += 1;
        if lines.is_multiple_of(LOOK_EVERY) {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            let taken: u64 = merge.open().map(|source| source.taken).sum();
            progress.at(totals.taken + taken, lines);
        }
        let shared = reading.shared.clone();
        let is_wanted = wanted(time_ms);
        if is_wanted {
            let driven = match &mut drive {
                Some(drive) => drive,
                none => none.insert(Drive::new(config, base.clone(), time_ms).map_err(Failure::Start)?),
            };
            if driven.is_due(time_ms) {
                driven.advance(time_ms).await;
            }
        }
        let Some(source) = merge.stream(place) else { break };
        let full = source.pass(time_ms, |next| {
            let mut gathered = shared.gathered.borrow_mut();
            match &mut drive {
                Some(drive) if is_wanted => {
                    gathered.count(next.seen, time_ms);
                    drop(gathered);
                    drive.take(place, next.tag, next.line, time_ms, next.is_timeless)
                }
                _ => {
                    gathered.outside += 1;
                    false
                }
            }
        });
        let ended = merge.passed(place);
        if let Some(drive) = &mut drive {
            if full == Some(true) || ended.is_some() {
                drive.close(place).await;
            }
            if ended.is_some() {
                drive.ended(place);
            }
        }
        if let Some(source) = ended {
            reading.ended(place, &source, &mut totals);
        }
    }
    let interrupted = stop.load(Ordering::Relaxed);
    let held_up = merge.held_up;
    let left: Vec<Source> = merge.into_open();
    for source in &left {
        totals.bytes += source.decoded;
        totals.taken += source.taken;
    }
    // Those that were never begun, too.
    let unread = (reading.files.len() as u64).saturating_sub(totals.whole);
    progress.end();
    let ended = match drive {
        Some(drive) => Some(drive.end().await),
        None => None,
    };
    let gathered = reading.shared.gathered.take();
    Ok(Report::of(report::Parts {
        files: reading.files,
        passed: reading.passed,
        read_bytes: totals.bytes,
        disk_bytes: totals.taken,
        oddities: totals.oddities,
        held_up,
        interrupted,
        unread: if interrupted { unread } else { 0 },
        seconds: begun.elapsed().as_secs_f64(),
        gathered,
        ended,
        inputs: options.inputs.clone(),
        tried: !options.rules.is_empty(),
    }))
}

/// Standard input, or a pipe with a name, opened and read by a thread of its own: whoever waits for it can be told to
/// stop.
struct Piped {
    blocks: Receiver<io::Result<Vec<u8>>>,
    block: Vec<u8>,
    at: usize,
    stop: Arc<AtomicBool>,
}

impl Piped {
    fn of<R: Read>(open: impl FnOnce() -> io::Result<R> + Send + 'static, stop: Arc<AtomicBool>) -> Piped {
        let (send, blocks) = sync_channel(PIPE_BLOCKS);
        // It ends with its input, or when nobody takes what it has read.
        std::thread::spawn(move || {
            let mut input = match open() {
                Ok(input) => input,
                Err(error) => return send.send(Err(error)).unwrap_or_default(),
            };
            loop {
                let mut block = vec![0; 64 * 1024];
                let read = input.read(&mut block).map(|bytes| {
                    block.truncate(bytes);
                    block
                });
                let ends = !matches!(&read, Ok(block) if !block.is_empty());
                if send.send(read).is_err() || ends {
                    break;
                }
            }
        });
        Piped { blocks, block: Vec::new(), at: 0, stop }
    }
}

impl Read for Piped {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.at == self.block.len() {
            if self.stop.load(Ordering::Relaxed) {
                return Ok(0);
            }
            match self.blocks.recv_timeout(Duration::from_millis(100)) {
                Ok(Ok(block)) if block.is_empty() => return Ok(0),
                Ok(Ok(block)) => (self.block, self.at) = (block, 0),
                Ok(Err(error)) => return Err(error),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(0),
            }
        }
        let left = self.block.get(self.at..).unwrap_or_default();
        let bytes = left.len().min(into.len());
        if let (Some(to), Some(from)) = (into.get_mut(..bytes), left.get(..bytes)) {
            to.copy_from_slice(from);
        }
        self.at += bytes;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(inputs: Vec<PathBuf>) -> Options {
        Options {
            inputs,
            rules: Vec::new(),
            builtin: false,
            since_ms: None,
            until_ms: None,
            service: None,
            quiet: true,
        }
    }

    #[test]
    fn a_pipe_that_nobody_writes_into_keeps_nobody_and_what_was_not_read_is_counted() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        let made = std::process::Command::new("mkfifo").arg(at("pipe")).status();
        assert!(made.expect("running mkfifo").success());
        for name in ["a.log", "b.log"] {
            std::fs::write(at(name), "2025-10-01 08:12:00 a\n").expect("written");
        }
        let stop = Arc::new(AtomicBool::new(true));
        let inputs = ["pipe", "a.log", "b.log"].map(at).to_vec();
        let report = run(&Config::default(), &options(inputs), &stop, 0).expect("a report");
        assert_eq!((report.interrupted, report.unread, report.lines), (true, 3, 0));
        assert!(report.passed.is_empty(), "{:?}", report.passed);
    }
}
