//! A real Fluent Bit, if there is one on PATH: what `fluent-bit/` ships is taken by it, delivers every record once,
//! and, with a disk, outlasts a receiver that was stopped. Without one these tests say so and pass.

use std::fmt::Write as _;
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::story::{matched_total, metric, start, wait_ready};
use crate::world::eventually;
use crate::world::program::Program;

const SHIPPED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fluent-bit");
const WATCH: &str = "every_record";
const RECORDS: u64 = 2_000;
const REPEATS: &str = "batches_total{answer=\"repeat\"}";
const SOON: Duration = Duration::from_secs(30);
/// What FireLens calls a container's records.
const TAG: &str = "app-firelens-0123456789abcdef0123456789abcdef";

/// The program that is on PATH, and what it can.
struct FluentBit {
    path: PathBuf,
    /// 1.9 knows neither YAML nor `net.io_timeout`.
    old: bool,
    /// Its build flags, as it lists them.
    abilities: String,
}

/// One that runs over a directory of its own.
struct Router {
    process: Child,
    /// Kills it when this test process dies without running its destructors.
    watchdog: Child,
    home: TempDir,
}

fn on_path() -> Option<FluentBit> {
    let directories = std::env::var_os("PATH").unwrap_or_default();
    let runs =
        |path: &PathBuf| fs::metadata(path).is_ok_and(|file| file.is_file() && file.permissions().mode() & 1 == 1);
    let found = std::env::split_paths(&directories).map(|directory| directory.join("fluent-bit")).find(runs);
    let Some(path) = found else {
        #[expect(clippy::print_stdout, reason = "who runs the tests is to know what they left out")]
        {
            println!("skipped: no fluent-bit on PATH");
        }
        return None;
    };
    let says = |argument: &str| {
        let output = Command::new(&path).arg(argument).output().expect("running fluent-bit");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    Some(FluentBit { old: says("--version").contains("Fluent Bit v1."), abilities: says("--help"), path })
}

/// A shipped configuration as Fluent Bit is given it: options become a section, a Kubernetes manifest's one file is
/// taken out.
fn shipped(name: &str) -> String {
    let text = fs::read_to_string(format!("{SHIPPED}/{name}")).expect("a file that is shipped");
    if name.ends_with(".json") {
        return output_of(&serde_json::from_str(&text).expect("JSON"));
    }
    match text.split_once("  fluent-bit.conf: |\n") {
        Some((_, rest)) => rest
            .lines()
            .take_while(|line| *line != "---")
            .fold(String::new(), |text, line| text + line.strip_prefix("    ").unwrap_or(line) + "\n"),
        None => text,
    }
}

/// As FireLens writes the options of a task definition into its own file.
fn output_of(definition: &Value) -> String {
    let options = definition["logConfiguration"]["options"].as_object().expect("options are a map");
    options.iter().fold("[OUTPUT]\n    Match app-firelens*\n".to_owned(), |mut section, (key, value)| {
        let value = value.as_str().expect("every option is text, or ECS does not take it");
        writeln!(section, "    {key} {value}").expect("writing to a string");
        section
    })
}

/// FireLens's part: an input, here a file's lines, and what ECS knows of them.
fn containers(file: &Path) -> String {
    format!(
        "[INPUT]\n    Name tail\n    Path {}\n    Tag {TAG}\n    Read_from_Head on\n\n\
         [FILTER]\n    Name record_modifier\n    Match *\n    Record container_id 0123456789abcdef\n    \
         Record container_name app\n    Record source stdout\n    Record ecs_cluster test\n\n",
        file.display()
    )
}

fn lines(numbers: std::ops::Range<u64>) -> String {
    numbers.fold(String::new(), |text, number| text + &format!("line {number} of this test\n"))
}

/// A program that counts every record and never tells of it.
fn counting(server: &str) -> Program {
    start(&format!(
        "{server}[[watch]]\nlabel = \"{WATCH}\"\nmatch = {{ field = \"log\", exists = true }}\nthreshold = 1000000000\n\
         window_seconds = 86400\ngroup_by = []\non_crossing = \"log\"\n"
    ))
}

fn counted(program: &Program, records: u64) {
    eventually("every record is counted", SOON, || (matched_total(program, WATCH) >= records).then_some(()));
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port on loopback");
    listener.local_addr().expect("the address of a bound listener").port()
}

// === impl FluentBit ===

impl FluentBit {
    /// With everything where it is in this test.
    fn placed(&self, config: &str, home: &Path, receiver: SocketAddr) -> String {
        let state = home.join("state");
        fs::create_dir_all(&state).expect("a directory in a temporary one");
        let placed = config
            .replace("emberwatch.internal", "127.0.0.1")
            .replace("emberwatch.logging.svc", "127.0.0.1")
            .replace("8080", &receiver.port().to_string())
            .replace("/var/lib/fluent-bit", &state.display().to_string())
            .replace("/var/log/containers", &home.display().to_string())
            // Its own page of figures is at a fixed port.
            .replace("http_server                on", "http_server                off")
            .replace("http_server: on", "http_server: off");
        let known = |line: &&str| !(self.old && line.contains("net.io_timeout"));
        let without_old = placed.lines().filter(known).fold(String::new(), |text, line| text + line + "\n");
        self.without_kubernetes(&without_old)
    }

    /// That filter asks a cluster, and is not in every build.
    fn without_kubernetes(&self, config: &str) -> String {
        let Some((before, rest)) = config.split_once("[FILTER]\n    Name               kubernetes\n") else {
            return config.to_owned();
        };
        let after = rest.split_once("[OUTPUT]").map_or("", |(_, after)| after);
        format!("{before}[OUTPUT]{after}")
    }

    /// Whether this build can run the configuration; says so if not.
    fn takes(&self, name: &str, config: &str) -> bool {
        let yaml_too_new = self.old && name.ends_with(".yaml") && !config.contains("[OUTPUT]");
        let database_missing = config.contains("tail.db") && !self.abilities.contains("SQLDB");
        let takes = !(yaml_too_new || database_missing);
        if !takes {
            #[expect(clippy::print_stdout, reason = "who runs the tests is to know what they left out")]
            {
                println!("skipped: {name}, for which this fluent-bit lacks a part");
            }
        }
        takes
    }

    fn run(&self, name: &str, home: TempDir, config: &str) -> Router {
        let classic = config.contains("[OUTPUT]");
        let file = home.path().join(if classic { "test.conf" } else { "test.yaml" });
        fs::write(&file, config).expect("writing a configuration");
        let log = fs::File::create(home.path().join("log")).expect("creating a log");
        let mut process = Command::new(&self.path)
            .arg("-c")
            .arg(&file)
            .current_dir(home.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap_or_else(|fault| panic!("{name}: {fault}"));
        // Its stdin is a pipe that only this process holds.
        let watchdog = Command::new("sh")
            .args(["-c", "read -r _; kill -9 \"$0\"", &process.id().to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let Ok(watchdog) = watchdog else {
            process.kill().expect("killing a Fluent Bit");
            panic!("starting the watchdog: {watchdog:?}");
        };
        Router { process, watchdog, home }
    }

    /// FireLens's router, which forwards what `file` holds to the aggregator at this port.
    fn sidecar(&self, file: &Path, aggregator: u16) -> Router {
        let home = TempDir::new().expect("a temporary directory");
        let options = shipped("firelens-aggregator.json")
            .replace("aggregator.internal", "127.0.0.1")
            .replace("24224", &aggregator.to_string());
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let config = containers(file) + &self.placed(&options, home.path(), nowhere);
        self.run("firelens-aggregator.json", home, &config)
    }

    /// A configuration fed with records of its own, and what a program counted of them.
    fn delivers(&self, name: &str) {
        let program = counting("");
        let home = TempDir::new().expect("a temporary directory");
        let records = home.path().join("web-1_shop_web-0123456789abcdef.log");
        fs::write(&records, lines(0..RECORDS)).expect("writing records");
        let config = shipped(name);
        if !self.takes(name, &config) {
            return;
        }
        let aggregator = free_port();
        let config = self
            .placed(&config, home.path(), program.ingest_addr())
            .replace("24224", &aggregator.to_string())
            .replace("24225", &free_port().to_string())
            .replace("Name               tail\n", "Name               tail\n    Read_from_Head     on\n")
            .replace("pipeline:\n  outputs:", &yaml_input(&records));
        let mut sidecar = None;
        let config = if name.starts_with("aggregator") {
            sidecar = Some(self.sidecar(&records, aggregator));
            config
        } else if name.starts_with("kubernetes") {
            let cri = |line: &str| format!("2026-11-22T06:00:00.000000001Z stdout F {line}\n");
            let text: String = lines(0..RECORDS).lines().map(cri).collect();
            fs::write(&records, text).expect("writing records");
            config
        } else if config.contains("[OUTPUT]") {
            containers(&records) + &config
        } else {
            config
        };
        let router = self.run(name, home, &config);
        counted(&program, RECORDS);
        // Whatever more would come comes now.
        if let Some(sidecar) = sidecar {
            sidecar.end();
        }
        router.end();
        assert_eq!(matched_total(&program, WATCH), RECORDS, "{name}");
        assert_eq!(metric(&program, REPEATS), 0, "{name}");
    }
}

/// A tee's file has outputs only.
fn yaml_input(file: &Path) -> String {
    format!(
        "pipeline:\n  inputs:\n    - name: tail\n      path: {}\n      tag: {TAG}\n      read_from_head: on\n  outputs:",
        file.display()
    )
}

// === impl Router ===

impl Router {
    fn log(&self) -> String {
        fs::read_to_string(self.home.path().join("log")).unwrap_or_default()
    }

    /// Asks it to stop, and waits until it has sent what it held.
    fn end(mut self) {
        let pid = self.process.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &pid]).status();
        assert!(sent.expect("running kill").success(), "it has ended by itself: {}", self.log());
        eventually("Fluent Bit ends", SOON, || self.process.try_wait().expect("asking for its end"));
    }
}

impl Drop for Router {
    fn drop(&mut self) {
        // The watchdog first: once the process is reaped, its number may go to another one.
        drop(self.watchdog.kill());
        drop(self.watchdog.wait());
        drop(self.process.kill());
        drop(self.process.wait());
        if std::thread::panicking() {
            #[expect(clippy::print_stderr, reason = "the test has failed: its reader wants this")]
            {
                eprintln!("what Fluent Bit said:\n{}", self.log());
            }
        }
    }
}

#[test]
fn fluent_bit_takes_every_configuration_that_is_shipped() {
    let Some(fluent_bit) = on_path() else { return };
    let mut names: Vec<String> = fs::read_dir(SHIPPED)
        .expect("the directory of configurations")
        .map(|entry| entry.expect("an entry of a directory").file_name().to_string_lossy().into_owned())
        .filter(|name| !name.ends_with(".md"))
        // A container of a task definition: what it loads is here too.
        .filter(|name| name != "firelens-init.json")
        .collect();
    names.sort_unstable();
    assert!(names.len() >= 8, "{names:?}");
    for name in names {
        let home = TempDir::new().expect("a temporary directory");
        let config = fluent_bit.placed(&shipped(&name), home.path(), SocketAddr::from(([127, 0, 0, 1], 1)));
        if !fluent_bit.takes(&name, &config) {
            continue;
        }
        let file = home.path().join(if config.contains("[OUTPUT]") { "test.conf" } else { "test.yaml" });
        fs::write(&file, &config).expect("writing a configuration");
        let output = Command::new(&fluent_bit.path).args(["--dry-run", "-c"]).arg(&file).output();
        let output = output.expect("running fluent-bit");
        let said = String::from_utf8_lossy(&output.stderr) + String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && !said.contains("[error]"), "{name}: {said}\n{config}");
    }
}

#[test]
fn each_configuration_delivers_every_record_once() {
    let Some(fluent_bit) = on_path() else { return };
    std::thread::scope(|scope| {
        let names =
            ["tee.conf", "tee.yaml", "firelens-tee.json", "firelens-init.conf", "kubernetes.yaml", "aggregator.yaml"];
        for name in names {
            let fluent_bit = &fluent_bit;
            scope.spawn(move || fluent_bit.delivers(name));
        }
    });
}

#[test]
fn the_aggregator_keeps_what_a_stopped_receiver_misses() {
    let Some(fluent_bit) = on_path() else { return };
    let mut program = counting(&format!("[server]\nlisten = \"127.0.0.1:{}\"\n\n", free_port()));
    let home = TempDir::new().expect("a temporary directory");
    let records = home.path().join("records.log");
    fs::write(&records, lines(0..RECORDS)).expect("writing records");
    let port = free_port();
    let config = fluent_bit
        .placed(&shipped("aggregator.conf"), home.path(), program.ingest_addr())
        .replace("24224", &port.to_string());
    let aggregator = fluent_bit.run("aggregator.conf", home, &config);
    let sidecar = fluent_bit.sidecar(&records, port);
    counted(&program, RECORDS);

    program.terminate();
    program.wait_exit();
    let mut file = fs::OpenOptions::new().append(true).open(&records).expect("opening the records");
    std::io::Write::write_all(&mut file, lines(RECORDS..2 * RECORDS).as_bytes()).expect("adding records");
    eventually("the aggregator has tried in vain", SOON, || aggregator.log().contains("retry in").then_some(()));
    program.restart();
    wait_ready(&program);

    counted(&program, 2 * RECORDS);
    sidecar.end();
    aggregator.end();
    assert_eq!(matched_total(&program, WATCH), 2 * RECORDS);
    assert_eq!(metric(&program, REPEATS), 0);
}

#[test]
fn a_receiver_that_is_killed_twenty_times_counts_every_record_once() {
    let Some(fluent_bit) = on_path() else { return };
    let port = free_port();
    let mut program = counting(&format!("[server]\nlisten = \"127.0.0.1:{port}\"\n\n"));
    let home = TempDir::new().expect("a temporary directory");
    let records = home.path().join("records.log");
    fs::write(&records, "").expect("making the file of records");
    let output = format!(
        "[OUTPUT]\n    Name http\n    Match *\n    Host 127.0.0.1\n    Port {port}\n    URI /ingest\n    Format json_lines\n    \
         Retry_Limit no_limits\n"
    );
    let service = "[SERVICE]\n    Flush 0.2\n    Grace 60\n    scheduler.base 1\n    scheduler.cap 1\n\n";
    let router = fluent_bit.run("kills", home, &(service.to_owned() + &containers(&records) + &output));
    let mut file = fs::OpenOptions::new().append(true).open(&records).expect("opening the records");
    let (mut written, mut repeats) = (0, 0);
    for kill in 0..20 {
        // One half dies right after a sync: Fluent Bit has no answer, and the records are counted.
        let at_failpoint = kill % 2 == 0;
        program.kill9();
        program.set_env("EMBERWATCH_FAILPOINT", at_failpoint.then_some("committed:1"));
        std::io::Write::write_all(&mut file, lines(written..written + RECORDS / 2).as_bytes()).expect("adding records");
        written += RECORDS / 2;
        program.restart();
        if at_failpoint {
            program.wait_exit_within(SOON);
            continue;
        }
        wait_ready(&program);
        eventually("something is counted", SOON, || {
            (metric(&program, "lines_total{outcome=\"matched\"}") > 0).then_some(())
        });
        repeats += metric(&program, REPEATS);
    }
    program.kill9();
    program.set_env("EMBERWATCH_FAILPOINT", None);
    program.restart();
    wait_ready(&program);
    counted(&program, written);
    // Whatever more would come comes now.
    router.end();
    assert_eq!(matched_total(&program, WATCH), written);
    repeats += metric(&program, REPEATS);
    assert!(repeats >= 5, "{repeats}: a kill that made nothing come again shows nothing");
    #[expect(clippy::print_stdout, reason = "the number belongs beside the claim")]
    {
        println!("{written} records, 20 kills, {repeats} repeats seen: all counted once");
    }
}
