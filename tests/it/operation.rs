//! The program in the hands of an orchestrator: ready and draining, stopped in the middle of work, two on
//! one store, a full disk, and the small commands beside `serve`.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::control::{Scrape, counting, matched, put, ready, serving, watch};
use crate::world::eventually;
use crate::world::http::{Connection, Request, Response, get, get_json, post_ingest};
use crate::world::program::Program;

const SOON: Duration = Duration::from_secs(20);

const HIT: &str = "{\"log\":\"hit\"}\n";
const MISS: &str = "{\"log\":\"nothing\"}\n";

fn start(config: &str) -> Program {
    let program = serving(config);
    put(program.control_addr(), &counting("hit", &json!({"contains": "hit"})));
    program
}

fn hits(program: &Program) -> u64 {
    matched(program.control_addr(), "hit")
}

fn code_of(answer: &Response) -> (u16, String) {
    (answer.status, answer.json()["error"]["code"].as_str().unwrap_or_default().to_owned())
}

fn status_of(answer: &Response) -> (u16, String) {
    (answer.status, answer.json()["status"].as_str().unwrap_or_default().to_owned())
}

/// A command beside `serve`, in `folder`, to its end.
fn run(folder: &Path, arguments: &[&str], env: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_emberwatch"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("EMBERWATCH_") {
            command.env_remove(name);
        }
    }
    command.args(arguments).envs(env.iter().copied()).current_dir(folder).output().expect("running the program")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

// === stopping ===

#[test]
fn a_request_that_is_being_read_when_the_program_is_stopped_is_answered_and_counted() {
    let mut program = start("");
    let request = Request::bare("POST", "/ingest").body(HIT.repeat(10));
    let mut slow = Connection::open(program.ingest_addr());
    slow.write_partial(&request, HIT.len() * 4 + 3);
    in_flight(&program, 1);
    program.terminate();
    program.wait_stderr(|line| line.contains("\"message\":\"stopping\""));
    slow.write(&HIT.repeat(10).as_bytes()[HIT.len() * 4 + 3..]).expect("the rest is still read");
    assert_eq!(slow.read().expect("an answer while stopping").status, 204);
    assert_eq!(program.wait_exit().code(), Some(0));
    program.wait_stderr(|line| line.contains("\"message\":\"stopped\""));
    program.restart();
    ready(&program);
    assert_eq!(hits(&program), 10);
}

fn in_flight(program: &Program, requests: u64) {
    let control = program.control_addr();
    eventually("the request is being read", SOON, || {
        (Scrape::of(control).get("ingest_in_flight") == requests).then_some(())
    });
}

#[test]
fn a_program_with_nothing_to_do_stops_without_waiting_whoever_is_connected() {
    let mut program = start("[server]\ndrain_seconds = 120\n");
    let mut idle = Connection::open(program.ingest_addr());
    assert_eq!(idle.send(&Request::bare("POST", "/ingest").body(HIT)).status, 204);
    program.terminate();
    assert_eq!(program.wait_exit().code(), Some(0));
    assert!(idle.is_spent(), "the idle connection was closed");
    program.restart();
    ready(&program);
    program.signal("INT");
    assert_eq!(program.wait_exit().code(), Some(0), "Ctrl-C is no crash");
    program.restart();
    ready(&program);
    assert_eq!(hits(&program), 1);
}

#[test]
fn a_sender_that_never_ends_cannot_hold_up_the_stop_and_nothing_of_it_counts() {
    let mut program = start("[server]\ndrain_seconds = 1\n");
    let mut stuck = Connection::open(program.ingest_addr());
    stuck.write_partial(&Request::bare("POST", "/ingest").body(HIT.repeat(2)), HIT.len());
    in_flight(&program, 1);
    program.terminate();
    assert_eq!(program.wait_exit().code(), Some(0));
    program.wait_stderr(|line| line.contains("still being read when the time for stopping was over"));
    assert!(stuck.read().is_err(), "it gets no answer, and comes again");
    program.restart();
    ready(&program);
    assert_eq!(hits(&program), 0);
}

#[test]
fn while_it_drains_it_is_alive_not_ready_and_takes_nothing_new() {
    let mut program = start("");
    let ingest = program.ingest_addr();
    assert_eq!(status_of(&get(ingest, "/health")), (200, "ok".to_owned()));
    assert_eq!(status_of(&get(ingest, "/ready")), (200, "ready".to_owned()));
    let mut slow = Connection::open(ingest);
    let request = Request::bare("POST", "/ingest").body(HIT.repeat(2));
    slow.write_partial(&request, HIT.len());
    // Begun before the stop and ended after it: a request that has not begun finds its connection closed.
    let begun = [
        Request::bare("GET", "/ready"),
        Request::bare("GET", "/health"),
        Request::bare("POST", "/ingest").body(HIT),
        Request::bare("GET", "/watches"),
    ];
    let mut asking: Vec<(Connection, Vec<u8>)> = Vec::new();
    for request in &begun {
        let mut connection = Connection::open(ingest);
        let bytes = [request.head_bytes(connection.host()), request.body_bytes()].concat();
        let (first, rest) = bytes.split_at(12);
        connection.write(first).expect("the beginning of a request");
        asking.push((connection, rest.to_vec()));
    }
    in_flight(&program, 1);
    eventually("the program has read what was sent", SOON, || asking.iter().all(|(c, _)| is_read(c)).then_some(()));
    program.terminate();
    program.wait_stderr(|line| line.contains("\"message\":\"stopping\""));
    // The log tells of it first, and then it happens.
    eventually("no new connection is taken", SOON, || Connection::try_open(ingest, SOON).err());
    let mut answers = asking.iter_mut().map(|(connection, rest)| {
        connection.write(rest).expect("the rest of a request");
        connection.read().expect("an answer while draining")
    });
    let mut next = || answers.next().expect("an answer each");
    assert_eq!(status_of(&next()), (503, "draining".to_owned()));
    assert_eq!(status_of(&next()), (200, "ok".to_owned()));
    let refused = next();
    assert_eq!(code_of(&refused), (503, "draining".to_owned()));
    assert_eq!(refused.header("Connection"), Some("close"));
    assert_eq!(code_of(&next()), (503, "not_ready".to_owned()));
    slow.write(HIT.as_bytes()).expect("the rest");
    assert_eq!(slow.read().expect("an answer").status, 204);
    assert_eq!(program.wait_exit().code(), Some(0));
    program.restart();
    ready(&program);
    assert_eq!(hits(&program), 2);
}

/// Whether the program has taken everything that was sent to it on this connection, as the kernel tells.
fn is_read(connection: &Connection) -> bool {
    let port = |address: std::io::Result<std::net::SocketAddr>| address.expect("an address").port();
    let (ours, theirs) = (port(connection.stream().local_addr()), port(connection.stream().peer_addr()));
    let table = std::fs::read_to_string("/proc/net/tcp").expect("the kernel's table of connections");
    table.lines().skip(1).any(|line| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let port = |field: &str| field.rsplit(':').next().and_then(|hex| u16::from_str_radix(hex, 16).ok());
        let is_it = port(fields[1]) == Some(theirs) && port(fields[2]) == Some(ours);
        is_it && fields[4].ends_with(":00000000")
    })
}

// === two on one store ===

#[test]
fn a_second_process_waits_for_the_store_and_takes_over_with_every_count() {
    let mut first = start("");
    assert_eq!(post_ingest(first.ingest_addr(), HIT.repeat(7)).status, 204);
    let store = first.home().join("emberwatch.db");
    let mut second = Program::start(&format!("[server]\nadmission_wait_seconds = 1\n[store]\npath = {store:?}\n"));
    let (ingest, control) = (second.ingest_addr(), second.control_addr());
    second.wait_stderr(|line| line.contains("held by another process") && line.contains("waiting"));
    assert_eq!(status_of(&get(ingest, "/ready")), (503, "starting".to_owned()));
    assert_eq!(status_of(&get(ingest, "/health")), (200, "ok".to_owned()));
    assert_eq!(code_of(&post_ingest(ingest, HIT)), (503, "starting".to_owned()));
    assert_eq!(code_of(&get(control, "/watches")), (503, "not_ready".to_owned()));
    assert_eq!(get_json(control, "/status")["status"], "starting");
    assert_eq!(Scrape::of(control).get("batches_total{answer=\"starting\"}"), 1);
    let address = ingest.to_string();
    assert_eq!(run(second.home(), &["ping", "--address", &address], &[]).status.code(), Some(1));
    assert_eq!(post_ingest(first.ingest_addr(), HIT).status, 204, "the first one works on");
    first.terminate();
    assert_eq!(first.wait_exit().code(), Some(0));
    ready(&second);
    assert_eq!(hits(&second), 8, "what the first one counted, and nothing of what was refused");
    assert_eq!(post_ingest(ingest, HIT).status, 204);
    assert_eq!(hits(&second), 9);
    assert!(second.is_running());
}

#[test]
fn a_sender_that_comes_while_the_store_is_waited_for_is_answered_when_it_opens() {
    let mut first = start("");
    let store = first.home().join("emberwatch.db");
    let second = Program::start(&format!("[server]\nadmission_wait_seconds = 25\n[store]\npath = {store:?}\n"));
    let mut sender = Connection::open(second.ingest_addr());
    let request = Request::bare("POST", "/ingest").body(HIT.repeat(3));
    sender.write(&request.head_bytes(sender.host())).expect("the head");
    sender.write(&request.body_bytes()).expect("the body");
    first.terminate();
    assert_eq!(first.wait_exit().code(), Some(0));
    assert_eq!(sender.read().expect("an answer").status, 204);
    assert_eq!(hits(&second), 3);
}

#[test]
fn a_process_that_waits_for_the_store_can_be_stopped() {
    let first = start("");
    let store = first.home().join("emberwatch.db");
    let mut second = Program::start(&format!("[store]\npath = {store:?}\n"));
    second.wait_stderr(|line| line.contains("held by another process"));
    second.terminate();
    assert_eq!(second.wait_exit().code(), Some(0));
    assert_eq!(post_ingest(first.ingest_addr(), HIT).status, 204);
}

#[test]
fn a_process_takes_over_from_one_that_was_killed() {
    let mut first = start("");
    assert_eq!(post_ingest(first.ingest_addr(), HIT.repeat(5)).status, 204);
    let store = first.home().join("emberwatch.db");
    let second = Program::start(&format!("[store]\npath = {store:?}\n"));
    second.wait_stderr(|line| line.contains("held by another process"));
    first.kill9();
    ready(&second);
    assert_eq!(hits(&second), 5);
}

// === a full disk ===

/// A small file system, unmounted at the end. Made before the program, so that it goes after it.
pub(crate) struct SmallDisk {
    folder: TempDir,
}

impl SmallDisk {
    fn mount() -> Option<Self> {
        Self::mount_with("size=1M")
    }

    /// `None`, said aloud, where mounting is not permitted.
    pub(crate) fn mount_with(options: &str) -> Option<Self> {
        let folder = TempDir::new().expect("a temporary folder");
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", options, "emberwatch-test"]).arg(folder.path()).output();
        if mounted.as_ref().is_ok_and(|output| output.status.success()) {
            return Some(Self { folder });
        }
        #[expect(clippy::print_stderr, reason = "says what was not tested")]
        {
            eprintln!("skipped: mounting a tmpfs is not permitted here");
        }
        None
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    fn ballast(&self) -> PathBuf {
        self.folder.path().join("ballast")
    }

    pub(crate) fn fill(&self) {
        let mut file = std::fs::File::create(self.ballast()).expect("a file");
        for block in [64 * 1024, 4096, 1] {
            while file.write_all(&vec![0; block]).is_ok() {}
        }
    }

    pub(crate) fn free(&self) {
        std::fs::remove_file(self.ballast()).expect("removing the ballast");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        for lazily in [&[][..], &["-l"]] {
            let done = Command::new("umount").args(lazily).arg(self.folder.path()).output();
            if done.is_ok_and(|output| output.status.success()) {
                return;
            }
        }
    }
}

#[test]
fn on_a_full_disk_matching_batches_wait_and_others_pass_and_nothing_is_counted_twice_or_lost() {
    let Some(disk) = SmallDisk::mount() else { return };
    let store = disk.folder.path().join("emberwatch.db");
    let mut program = start(&format!("[store]\npath = {store:?}\nsnapshot_seconds = 1\n"));
    let (control, ingest) = (program.control_addr(), program.ingest_addr());
    let mut counted = 0;
    let mut refused = 0;
    let mut send = || {
        let answer = post_ingest(ingest, HIT.repeat(3));
        match answer.status {
            204 => counted += 3,
            503 => {
                assert_eq!(code_of(&answer), (503, "unavailable".to_owned()));
                refused += 3;
            }
            other => panic!("{other}: {}", answer.text()),
        }
        (answer.status, counted, refused)
    };
    for round in 0..3 {
        assert_eq!(send().0, 204, "round {round}");
        // What room the store's own files still have is used up first; a write that failed gives some of it back.
        eventually("the store cannot write any more", SOON, || {
            disk.fill();
            (0..5).all(|_| send().0 == 503).then_some(())
        });
        let missed = post_ingest(ingest, MISS);
        assert_eq!(missed.status, 204, "a batch that matches nothing needs no store");
        let now = send();
        assert_eq!(now.0, 503);
        assert_eq!(hits(&program), now.1, "a refused batch counts nothing");
        let scrape = Scrape::of(control);
        assert_eq!((scrape.get("store_failing"), scrape.lines("aborted")), (1, now.2));
        assert!(scrape.get("store_failures_total") > 0);
        assert_eq!(get_json(control, "/status")["store"]["failing"], true);
        assert_eq!(status_of(&get(ingest, "/ready")), (200, "ready".to_owned()), "it still receives");
        disk.free();
        eventually("the store writes again by itself", SOON, || (send().0 == 204).then_some(()));
        assert_eq!(Scrape::of(control).get("store_failing"), 0);
    }
    program.wait_stderr(|line| line.contains("cannot commit"));
    program.wait_stderr(|line| line.contains("the store writes again"));
    let (status, counted, refused) = send();
    assert_eq!((status, hits(&program)), (204, counted));
    let scrape = Scrape::of(control);
    assert_eq!(scrape.all_lines(), counted + refused + 3);
    assert_eq!((scrape.lines("matched"), scrape.lines("unmatched")), (counted, 3));
    program.kill9();
    program.restart();
    ready(&program);
    assert_eq!(hits(&program), counted, "and all of it was durable");
}

#[test]
fn a_watch_that_cannot_be_stored_is_refused_and_leaves_the_old_one_in_force() {
    let Some(disk) = SmallDisk::mount() else { return };
    let store = disk.folder.path().join("emberwatch.db");
    let program = start(&format!("[store]\npath = {store:?}\n"));
    let (control, ingest) = (program.control_addr(), program.ingest_addr());
    let before = watch(control, "hit");
    disk.fill();
    eventually("the store cannot write any more", SOON, || (post_ingest(ingest, HIT).status == 503).then_some(()));
    let refused = crate::world::http::post_json(control, "/watches", &counting("hit", &json!({"contains": "other"})));
    assert_eq!(code_of(&refused), (503, "store_unavailable".to_owned()));
    let refused = crate::world::http::delete(control, "/watches/hit");
    assert_eq!(code_of(&refused), (503, "store_unavailable".to_owned()));
    assert_eq!(watch(control, "hit")["match"], before["match"]);
    disk.free();
    eventually("the store writes again by itself", SOON, || (post_ingest(ingest, HIT).status == 204).then_some(()));
    assert_eq!(put(control, &counting("hit", &json!({"contains": "other"}))), 200);
}

// === commands ===

#[test]
fn ping_tells_by_its_exit_code_whether_a_receiver_is_ready() {
    let mut program = start("");
    let address = program.ingest_addr().to_string();
    let folder = TempDir::new().expect("a folder");
    let by_argument = run(folder.path(), &["ping", "--address", &address], &[]);
    assert_eq!((by_argument.status.code(), text(&by_argument.stderr)), (Some(0), String::new()));
    let by_setting = run(folder.path(), &["ping"], &[("EMBERWATCH_SERVER_LISTEN", &address)]);
    assert_eq!(by_setting.status.code(), Some(0), "{}", text(&by_setting.stderr));
    let everywhere = format!("0.0.0.0:{}", program.ingest_addr().port());
    assert_eq!(run(folder.path(), &["ping", "--address", &everywhere], &[]).status.code(), Some(0));
    program.terminate();
    assert!(program.wait_exit().success());
    let gone = run(folder.path(), &["ping", "--address", &address], &[]);
    assert_eq!(gone.status.code(), Some(1));
    assert!(text(&gone.stderr).starts_with(&format!("{address} is not ready: ")), "{}", text(&gone.stderr));
    assert_eq!(run(folder.path(), &["ping"], &[("EMBERWATCH_SERVER_LISTN", "x")]).status.code(), Some(78));
    assert_eq!(std::fs::read_dir(folder.path()).expect("the folder").count(), 0, "it leaves nothing behind");
}

#[test]
fn check_reads_the_configuration_tells_every_fault_and_starts_nothing() {
    let folder = TempDir::new().expect("a folder");
    let check = |arguments: &[&str], env: &[(&str, &str)]| {
        let output = run(folder.path(), arguments, env);
        (output.status.code().expect("a code"), text(&output.stdout), text(&output.stderr))
    };
    assert_eq!(check(&["check"], &[]), sound("defaults"));
    std::fs::write(folder.path().join("emberwatch.toml"), "[server]\nlisten = \"127.0.0.1:1\"\n").expect("writing");
    assert_eq!(check(&["check"], &[]), sound("emberwatch.toml"));
    std::fs::write(folder.path().join("bad.toml"), "[server]\nworkers = 0\nlisen = 1\n").expect("writing");
    for arguments in [&["check", "--config", "bad.toml"][..], &["--config", "bad.toml", "check"]] {
        let (code, said, faults) = check(arguments, &[]);
        assert_eq!((code, said.as_str()), (78, ""));
        assert_eq!(
            faults,
            "the configuration has 2 faults:\nserver.workers: must be a whole number from 1 to 256, got 0\n\
             server.lisen: unknown key; did you mean listen?\n"
        );
    }
    let (code, _, fault) = check(&["check", "--config", "missing.toml"], &[]);
    assert_eq!(code, 78);
    assert!(fault.contains("--config: cannot read ") && fault.contains("missing.toml: No such file"), "{fault}");
    let whole = [("EMBERWATCH_CONFIG_TOML", "[log]\nlevel = \"warn\"\n")];
    assert_eq!(check(&["check"], &whole), sound("EMBERWATCH_CONFIG_TOML"));
    let mut left: Vec<_> =
        std::fs::read_dir(folder.path()).expect("the folder").flatten().map(|e| e.file_name()).collect();
    left.sort();
    assert_eq!(left, ["bad.toml", "emberwatch.toml"], "it leaves nothing behind");
}

#[test]
fn help_shows_the_output_block_to_copy_and_every_exit_code() {
    let folder = TempDir::new().expect("a folder");
    let help = run(folder.path(), &["--help"], &[]);
    let said = text(&help.stdout);
    assert!(help.status.success());
    for words in [
        "[OUTPUT]",
        "Name http",
        "URI /ingest",
        "Format json_lines",
        "serve",
        "check",
        "ping",
        "--config",
        "EMBERWATCH_SECTION_KEY",
    ] {
        assert!(said.contains(words), "{words:?} is in\n{said}");
    }
    for code in ["0 ", "1 ", "69 ", "70 ", "78 "] {
        assert!(said.contains(code), "{code:?} is in\n{said}");
    }
    let version = run(folder.path(), &["--version"], &[]);
    assert_eq!(text(&version.stdout), format!("emberwatch {}\n", env!("CARGO_PKG_VERSION")));
}

// === what it says ===

#[test]
fn every_line_of_a_json_log_is_one_json_object_whatever_senders_write() {
    let mut program = start("[log]\nformat = \"json\"\nlevel = \"debug\"\n[escalation]\nsettle_seconds = 0\n");
    let ingest = program.ingest_addr();
    let mut rule = counting("log_only", &json!({"contains": "hit"}));
    rule["threshold"] = json!(1);
    rule["on_crossing"] = json!("log");
    put(program.control_addr(), &rule);
    let nasty = "\"\\u001b[31m\\n{\\\"level\\\":\\\"ERROR\\\"}\"";
    assert_eq!(post_ingest(ingest, format!("{HIT}{{\"log\":{nasty}}}\nnot json\n")).status, 204);
    let mut wire = Connection::open(ingest);
    wire.write(b"POST /in%0agest\x7f HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n").expect("sending");
    drop(wire.read());
    let encoded = Request::bare("POST", "/ingest").header("Content-Encoding", "x\"y\\z").body(HIT);
    assert_eq!(Connection::open(ingest).send(&encoded).status, 415);
    let broken = Request::bare("POST", "/ingest").header("Content-Encoding", "gzip").body(HIT);
    assert_eq!(Connection::open(ingest).send(&broken).status, 204);
    Connection::open(ingest).write(b"\x16\x03\x01 no http at all\r\n\r\n").expect("sending");
    program.terminate();
    assert!(program.wait_exit().success());
    program.wait_stderr(|line| line.contains("\"stopped\""));
    let lines = program.stderr_lines();
    assert!(lines.len() >= 6, "{lines:?}");
    for line in &lines {
        let parsed: Value = serde_json::from_str(line).unwrap_or_else(|fault| panic!("{fault}: {line}"));
        for name in ["timestamp", "level", "message"] {
            assert!(parsed[name].is_string(), "{name} in {line}");
        }
    }
    assert!(lines.iter().any(|line| line.contains("watch crossed") && line.contains("log_only")));
}

#[test]
fn a_text_log_is_plain_text_on_stderr_and_stdout_is_left_to_findings() {
    let mut program = Program::spawn("[log]\nformat = \"text\"\n", &[]);
    program.wait_stderr(|line| line.contains(" INFO ") && line.contains("listening"));
    program.wait_stderr(|line| line.contains("ready"));
    program.terminate();
    assert!(program.wait_exit().success());
    assert!(program.stderr_lines().iter().all(|line| !line.contains('\u{1b}')), "no colours into a pipe");
    assert!(program.stdout_lines().is_empty());
}

#[test]
fn status_tells_how_the_receiver_does() {
    let program = start("");
    assert_eq!(post_ingest(program.ingest_addr(), format!("{HIT}{MISS}\n")).status, 204);
    let status = get_json(program.control_addr(), "/status");
    assert_eq!(
        (status["status"].as_str(), status["version"].as_str()),
        (Some("ready"), Some(env!("CARGO_PKG_VERSION")))
    );
    assert_eq!(
        (status["lines"]["matched"].as_u64(), status["lines"]["unmatched"].as_u64(), status["lines"]["blank"].as_u64()),
        (Some(1), Some(1), Some(1))
    );
    assert_eq!(status["store"]["path"], program.home().join("emberwatch.db").display().to_string());
    assert_eq!((status["store"]["failing"].as_bool(), status["watches"].as_u64()), (Some(false), Some(4)));
    assert!(
        ["power_loss", "process_crash", "task_lifetime"]
            .contains(&status["store"]["durability"].as_str().unwrap_or_default())
    );
    assert_eq!(status["firing"], json!([]));
    assert!(status["uptime_seconds"].is_u64());
}

/// What `check` says of settings without a fault: where they are from, and what is to be known of the usual model.
fn sound(origin: &str) -> (i32, String, String) {
    let note = emberwatch::triage::model::licence_note("qwen2.5:3b").expect("there is something to know");
    (0, format!("configuration is sound ({origin})\nnote: {note}\n"), String::new())
}
