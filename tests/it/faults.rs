//! The disk fails under the running program: calls of the store return errors, one by one or for as long as it
//! takes, by `strace -e inject`. What was answered 204 is counted, what was answered 503 is not, the program works
//! again without a restart, and a restart finds the same counts.

use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::kills::as_fluent_bit;
use crate::operation::SmallDisk;
use crate::story::{LABEL, SOON, access, config, flood, matched_total, metric, start, wait_ready};
use crate::world::disk::Disk;
use crate::world::eventually;
use crate::world::http::{Connection, Request, get_json, post_ingest};
use crate::world::program::Program;

const LINES: u64 = 3;

struct Fault {
    /// System calls, an error, and which calls of all that touch the files fail.
    inject: &'static str,
    on: On,
    /// Whether a batch must have been refused for it: else the fault was not met, or was none.
    refuses: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum On {
    Log,
    LogAndDatabase,
}

const FAULTS: [Fault; 15] = [
    // The sync of the commit fails, and so does the checkpoint as the connection is closed: what was refused stays
    // in the log, whole.
    Fault { inject: "fsync:error=EIO:when=1..4", on: On::LogAndDatabase, refuses: true },
    Fault { inject: "fsync:error=EIO:when=1", on: On::Log, refuses: true },
    Fault { inject: "fsync:error=EIO:when=3..5", on: On::Log, refuses: true },
    Fault { inject: "fsync:error=ENOSPC:when=2..9", on: On::LogAndDatabase, refuses: true },
    Fault { inject: "fsync:error=EIO:when=1+", on: On::LogAndDatabase, refuses: true },
    Fault { inject: "pwrite64:error=EIO:when=1", on: On::Log, refuses: true },
    Fault { inject: "pwrite64:error=ENOSPC:when=2", on: On::Log, refuses: true },
    Fault { inject: "pwrite64:error=EIO:when=3", on: On::Log, refuses: true },
    Fault { inject: "pwrite64:error=ENOSPC:when=4..40", on: On::LogAndDatabase, refuses: true },
    Fault { inject: "pwrite64:error=EROFS:when=1+", on: On::LogAndDatabase, refuses: true },
    Fault { inject: "pwrite64:error=EINTR:when=1..5", on: On::Log, refuses: false },
    Fault { inject: "fsync,pwrite64:error=EIO:when=2+29", on: On::LogAndDatabase, refuses: true },
    Fault { inject: "fsync,ftruncate,unlink:error=EIO:when=1..6", on: On::LogAndDatabase, refuses: true },
    Fault { inject: "fsync,openat:error=EIO:when=1..6", on: On::LogAndDatabase, refuses: true },
    Fault { inject: "pread64,fsync:error=EIO:when=1..6", on: On::LogAndDatabase, refuses: true },
];

/// A program whose store fails as told until this is dropped.
struct Failing {
    strace: Child,
}

impl Failing {
    /// `None`, said aloud, where calls cannot be made to fail.
    fn start(program: &Program, fault: &Fault) -> Option<Self> {
        let paths = match fault.on {
            On::Log => vec![program.home().join("emberwatch.db-wal")],
            On::LogAndDatabase => ["emberwatch.db-wal", "emberwatch.db"].map(|name| program.home().join(name)).to_vec(),
        };
        let calls = fault.inject.split(':').next().unwrap_or_default();
        let mut command = Command::new("strace");
        command.args(["-f", "-o", "/dev/null", "-e", &format!("trace={calls}"), "-p", &program.pid().to_string()]);
        for path in paths {
            command.arg("-P").arg(path);
        }
        command.args(["-e", &format!("inject={}", fault.inject)]);
        let started = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
        let mut said = String::new();
        if let Ok(mut strace) = started {
            let mut lines = BufReader::new(strace.stderr.take().expect("stderr is piped"));
            while lines.read_line(&mut said).expect("reading what strace says") > 0 {
                if said.contains("attached") {
                    // It says more when it leaves: somebody has to listen.
                    std::thread::spawn(move || std::io::copy(&mut lines, &mut std::io::sink()));
                    return Some(Self { strace });
                }
            }
            drop(strace.wait());
        }
        #[expect(clippy::print_stderr, reason = "says what was not tested")]
        {
            eprintln!("skipped: strace is missing or may not attach: {said}");
        }
        None
    }
}

impl Drop for Failing {
    fn drop(&mut self) {
        // Asked to end, it lets go of the program; killed, it might leave it stopped.
        drop(Command::new("kill").args(["-INT", &self.strace.id().to_string()]).status());
        drop(self.strace.wait());
    }
}

/// One attempt; whoever sends an `Accept` is never taken for a repeat.
fn attempt(program: &Program, body: &str, as_person: bool) -> u16 {
    let request = match as_person {
        true => Request::new("POST", "/ingest").body(body),
        false => as_fluent_bit(body),
    };
    Connection::open(program.ingest_addr()).send(&request).status
}

#[test]
fn whatever_call_of_the_store_fails_what_was_answered_204_is_counted_and_what_was_answered_503_is_not() {
    let quiet = format!("[store]\nsnapshot_seconds = 3600\n\n{}", config("", 1_000_000, 3600));
    let mut program = start(&quiet);
    let mut acknowledged = 0;
    let mut taken_back = 0;
    for fault in FAULTS {
        // There is a log to fail on.
        assert_eq!(attempt(&program, &flood("payments", LINES as usize), true), 204);
        acknowledged += LINES;
        let Some(failing) = Failing::start(&program, &fault) else { return };
        let mut failing = Some(failing);
        let mut refused = 0;
        for batch in 0..8 {
            let body = flood("payments", LINES as usize);
            eventually(&format!("the store takes it: {}", fault.inject), SOON, || {
                let status = attempt(&program, &body, batch % 2 == 0);
                if status == 503 {
                    refused += 1;
                    assert_eq!(matched_total(&program, LABEL), acknowledged, "{}: refused, not counted", fault.inject);
                    let missed = post_ingest(program.ingest_addr(), access("payments", 200, [1.0]));
                    assert_eq!(missed.status, 204, "{}: what matches nothing needs no store", fault.inject);
                }
                assert!([204, 503].contains(&status), "{}: {status}", fault.inject);
                // One that lasts ends here.
                if refused >= 4 && fault.inject.ends_with('+') {
                    failing = None;
                }
                (status == 204).then_some(())
            });
            acknowledged += LINES;
        }
        drop(failing);
        assert_eq!(refused > 0, fault.refuses, "{}: {refused} were refused", fault.inject);
        assert_eq!(metric(&program, "store_failing"), 0, "{}", fault.inject);
        assert_eq!(get_json(program.control_addr(), "/status")["store"]["failing"], false);
        assert_eq!(matched_total(&program, LABEL), acknowledged, "{}: before the restart", fault.inject);
        taken_back += program.stderr_lines().iter().filter(|line| line.contains("taken back")).count();
        program.kill9();
        assert_eq!(program.wait_exit().signal(), Some(9));
        assert_eq!(Disk::of(program.home()).lines, acknowledged, "{}: on the disk", fault.inject);
        program.restart();
        wait_ready(&program);
        assert_eq!(matched_total(&program, LABEL), acknowledged, "{}: after the restart", fault.inject);
        assert_eq!((metric(&program, "store_damaged_rows"), metric(&program, "store_begun_anew")), (0, 0));
    }
    assert!(taken_back > 0, "no refused batch was found on the disk: the case that matters was not met");
}

#[test]
fn a_disk_without_inodes_left_is_lived_with_and_left_again() {
    let Some(disk) = SmallDisk::mount_with("size=8M,nr_inodes=40") else { return };
    let store = disk.path().join("emberwatch.db");
    let watch = config("", 1_000_000, 3600);
    let mut program = start(&format!("[store]\npath = {store:?}\nsnapshot_seconds = 1\n\n{watch}"));
    let mut acknowledged = 0;
    let mut send = |program: &Program| {
        let status = attempt(program, &flood("payments", LINES as usize), true);
        acknowledged += if status == 204 { LINES } else { 0 };
        (status, acknowledged)
    };
    assert_eq!(send(&program).0, 204);
    let mut ballast = fill_inodes(disk.path());
    assert_eq!(send(&program).0, 204, "what is open needs no inode");
    // A failed write closes the log, and then there is no inode to open another with.
    std::fs::remove_file(ballast.pop().expect("some")).expect("removing one");
    disk.fill();
    eventually("the store cannot write any more", SOON, || (send(&program).0 == 503).then_some(()));
    disk.free();
    let one_more = fill_inodes(disk.path());
    assert_eq!(post_ingest(program.ingest_addr(), access("payments", 200, [1.0])).status, 204);
    for path in ballast.iter().chain(&one_more) {
        std::fs::remove_file(path).expect("removing the ballast");
    }
    eventually("the store writes again by itself", SOON, || (send(&program).0 == 204).then_some(()));
    let (_, counted) = send(&program);
    assert_eq!(matched_total(&program, LABEL), counted);
    program.kill9();
    program.restart();
    wait_ready(&program);
    assert_eq!(matched_total(&program, LABEL), counted);
}

/// Makes empty files until there is no inode left.
fn fill_inodes(folder: &Path) -> Vec<PathBuf> {
    let names = (0..).map(|n| folder.join(format!("inode.{n}")));
    names.filter(|path| !path.exists()).take_while(|path| std::fs::File::create(path).is_ok()).collect()
}

#[test]
fn a_store_that_was_damaged_while_nobody_ran_is_opened_or_begun_anew_and_it_is_said() {
    let mut program = start(&config("", 1_000_000, 3600));
    for _ in 0..20 {
        assert_eq!(attempt(&program, &flood("payments", LINES as usize), false), 204);
    }
    let (mut anew, mut rows_lost) = (0, 0);
    for (number, (name, at)) in [
        ("emberwatch.db", 0),
        ("emberwatch.db", 18),
        ("emberwatch.db", 100),
        ("emberwatch.db", 4097),
        ("emberwatch.db", 9000),
        ("emberwatch.db-wal", 0),
        ("emberwatch.db-wal", 40),
        ("emberwatch.db-wal", 5000),
        ("emberwatch.db-wal", 30_000),
        ("emberwatch.db", 16_384),
    ]
    .into_iter()
    .enumerate()
    {
        let before = matched_total(&program, LABEL);
        program.kill9();
        let path = program.home().join(name);
        let mut bytes = std::fs::read(&path).unwrap_or_default();
        if let Some(byte) = bytes.get_mut(at) {
            *byte ^= 0x55;
            std::fs::write(&path, bytes).expect("writing the damage");
        }
        program.restart();
        wait_ready(&program);
        let (begun_anew, damaged) = (metric(&program, "store_begun_anew"), metric(&program, "store_damaged_rows"));
        let there = matched_total(&program, LABEL);
        assert!(there <= before, "case {number}: nothing is made up: {there} of {before}");
        if begun_anew == 1 {
            anew += 1;
            assert_eq!(there, 0, "case {number}");
            program.wait_stderr(|line| line.contains("moved aside and begun anew"));
        } else if damaged > 0 {
            rows_lost += 1;
            program.wait_stderr(|line| line.contains("damaged or missing"));
        }
        for _ in 0..20 {
            assert_eq!(attempt(&program, &flood("payments", LINES as usize), false), 204, "case {number}: it works on");
        }
        assert_eq!(matched_total(&program, LABEL), there + 20 * LINES, "case {number}");
    }
    assert!(anew >= 1, "{anew} {rows_lost}");
}
