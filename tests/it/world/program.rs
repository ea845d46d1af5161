//! The built program as a child process: started on ports of its own in a directory of its own,
//! watched line by line, killed in every way, started again over what it left behind.

use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use super::{Address, eventually, lock};

/// For a start, an exit, a line of output: generous, since other tests keep the machine busy.
const DEADLINE: Duration = Duration::from_secs(20);
/// Lines kept of each stream. A test that floods must not fill its own memory.
const LINES_KEPT: usize = 20_000;
/// Proxies meant for the machine must not come between the program and a stand-in on loopback.
const PROXY_VARIABLES: [&str; 6] = ["http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"];

/// See [`run_instead`].
static OTHER: OnceLock<PathBuf> = OnceLock::new();

/// Another build of the program, for all that are started from now on.
pub(crate) fn run_instead(program: PathBuf) {
    OTHER.get_or_init(|| program);
}

pub(crate) struct Program {
    /// Before `home`: the program ends before its directory goes.
    run: Option<Run>,
    home: TempDir,
    config: String,
    env: BTreeMap<String, String>,
    /// The limit on open files it runs under; `None`: the test's own.
    open_files: Option<u32>,
    ingest: Address,
    control: Address,
}

/// One life of the program.
struct Run {
    child: Child,
    /// Kills the program when this test process dies without running its destructors.
    watchdog: Child,
    stdout: Lines,
    stderr: Lines,
    exit: Option<ExitStatus>,
}

/// The output of one stream, as far as it has come.
#[derive(Clone, Default)]
struct Lines(Arc<(Mutex<Output>, Condvar)>);

#[derive(Default)]
struct Output {
    lines: VecDeque<String>,
    ended: bool,
}

/// Completes a configuration for a test: free ports, files in `home`, logs as JSON, each unless
/// given. Understands `[section]` headers and `key = value` lines, not dotted or inline tables.
pub(crate) fn complete_config(config: &str, home: &Path) -> String {
    let path = |name: &str| format!("{:?}", home.join(name));
    let wanted = [
        ("server", "listen", "\"127.0.0.1:0\"".to_owned()),
        ("store", "path", path("emberwatch.db")),
        ("notify", "alerts_path", path("alerts.jsonl")),
        ("log", "format", "\"json\"".to_owned()),
    ];
    let mut lines: Vec<String> = config.lines().map(str::to_owned).collect();
    for (section, key, value) in wanted {
        let header = format!("[{section}]");
        let setting = format!("{key} = {value}");
        let Some(at) = lines.iter().position(|line| line.trim() == header) else {
            lines.extend([header, setting]);
            continue;
        };
        let mut inside = lines[at + 1..].iter().take_while(|line| !line.trim().starts_with('['));
        if !inside.any(|line| line.split('=').next().is_some_and(|name| name.trim() == key)) {
            lines.insert(at + 1, setting);
        }
    }
    lines.join("\n") + "\n"
}

// === impl Program ===

impl Program {
    /// Starts the program and waits until it listens.
    pub(crate) fn start(config: &str) -> Self {
        Self::start_with(config, &[])
    }

    /// As [`Self::start`], with environment variables, such as `EMBERWATCH_FAILPOINT`.
    pub(crate) fn start_with(config: &str, env: &[(&str, &str)]) -> Self {
        let mut program = Self::spawn(config, env);
        program.wait_listening();
        program
    }

    /// As [`Self::start`], under a limit on open files that it cannot raise.
    pub(crate) fn start_limited(config: &str, open_files: u32) -> Self {
        let mut program = Self::prepare(config, &[]);
        program.open_files = Some(open_files);
        program.restart();
        program
    }

    /// Starts the program without waiting for anything: for one that is to refuse its start.
    pub(crate) fn spawn(config: &str, env: &[(&str, &str)]) -> Self {
        let mut program = Self::prepare(config, env);
        program.launch();
        program
    }

    fn prepare(config: &str, env: &[(&str, &str)]) -> Self {
        let nowhere = Address::new(SocketAddr::from(([127, 0, 0, 1], 0)));
        Self {
            run: None,
            home: TempDir::new().expect("a temporary directory"),
            config: config.to_owned(),
            env: env.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect(),
            open_files: None,
            control: Address::new(nowhere.get()),
            ingest: nowhere,
        }
    }

    /// Starts the program again over the same directory and configuration, on new ports. One that
    /// still runs is killed first.
    pub(crate) fn restart(&mut self) {
        self.launch();
        self.wait_listening();
    }

    /// For the next start.
    pub(crate) fn set_config(&mut self, config: &str) {
        config.clone_into(&mut self.config);
    }

    /// For the next start; `None` removes the variable.
    pub(crate) fn set_env(&mut self, name: &str, value: Option<&str>) {
        match value {
            Some(value) => self.env.insert(name.to_owned(), value.to_owned()),
            None => self.env.remove(name),
        };
    }

    fn launch(&mut self) {
        // The former life ends before the next one opens the store.
        self.run = None;
        let home = self.home.path();
        std::fs::write(self.config_path(), complete_config(&self.config, home)).expect("writing the configuration");
        let binary = OTHER.get().map_or(Path::new(env!("CARGO_BIN_EXE_emberwatch")), PathBuf::as_path);
        let mut command = match self.open_files {
            None => Command::new(binary),
            Some(limit) => {
                let mut shell = Command::new("sh");
                shell.args(["-c", "ulimit -n \"$0\" && exec \"$@\"", &limit.to_string()]).arg(binary);
                shell
            }
        };
        command.args(["serve", "--config"]).arg(self.config_path()).current_dir(home);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("EMBERWATCH_") {
                command.env_remove(name);
            }
        }
        for name in PROXY_VARIABLES {
            command.env_remove(name);
        }
        self.run = Some(Run::start(command.envs(&self.env)));
    }

    /// Waits until the program says where it listens.
    pub(crate) fn wait_listening(&mut self) {
        let found = self.run().stderr.wait(DEADLINE, listening);
        let Some((ingest, control)) = found else {
            let exit = self.run_mut().poll().map_or("still running".into(), |exit| exit.to_string());
            panic!("the program does not listen ({exit}), stderr:\n{}", self.stderr());
        };
        self.ingest.set(ingest);
        self.control.set(control);
    }

    pub(crate) fn ingest_addr(&self) -> SocketAddr {
        self.ingest.get()
    }

    pub(crate) fn control_addr(&self) -> SocketAddr {
        self.control.get()
    }

    /// The ingest address as it will be after each restart too, for a forwarder or a proxy.
    pub(crate) fn ingest(&self) -> Address {
        self.ingest.clone()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.run().child.id()
    }

    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    fn config_path(&self) -> PathBuf {
        self.home.path().join("test.toml")
    }

    /// SIGKILL: nothing in the program runs after it.
    pub(crate) fn kill9(&mut self) {
        self.run_mut().kill();
    }

    /// SIGTERM, without waiting for the end.
    pub(crate) fn terminate(&mut self) {
        self.signal("TERM");
    }

    /// Any signal by name: `STOP` and `CONT` make a program that hangs.
    pub(crate) fn signal(&mut self, name: &str) {
        let run = self.run_mut();
        // Not reaped, so the number cannot belong to anyone else.
        assert!(run.poll().is_none(), "no SIG{name} for a program that has ended");
        let pid = run.child.id().to_string();
        let sent = Command::new("kill").args([&format!("-{name}"), &pid]).status();
        assert!(sent.expect("running kill").success(), "kill -{name} {pid}");
    }

    pub(crate) fn wait_exit(&mut self) -> ExitStatus {
        self.wait_exit_within(DEADLINE)
    }

    pub(crate) fn wait_exit_within(&mut self, deadline: Duration) -> ExitStatus {
        let run = self.run_mut();
        eventually("the program ends", deadline, || run.poll())
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.run_mut().poll().is_none()
    }

    pub(crate) fn stdout_lines(&self) -> Vec<String> {
        self.run().stdout.all()
    }

    pub(crate) fn stderr_lines(&self) -> Vec<String> {
        self.run().stderr.all()
    }

    fn stderr(&self) -> String {
        self.stderr_lines().join("\n")
    }

    /// The first line on stdout that fits, now or by the deadline.
    pub(crate) fn wait_stdout(&self, fits: impl Fn(&str) -> bool) -> String {
        let found = self.run().stdout.wait(DEADLINE, |line| fits(line).then(|| line.to_owned()));
        found.unwrap_or_else(|| panic!("no such line on stdout; stderr:\n{}", self.stderr()))
    }

    pub(crate) fn wait_stderr(&self, fits: impl Fn(&str) -> bool) -> String {
        let found = self.run().stderr.wait(DEADLINE, |line| fits(line).then(|| line.to_owned()));
        found.unwrap_or_else(|| panic!("no such line on stderr:\n{}", self.stderr()))
    }

    /// What is in `alerts.jsonl` so far; a last line still being written is left out.
    pub(crate) fn alerts(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.home().join("alerts.jsonl")).unwrap_or_default();
        let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        whole.map(|line| serde_json::from_str(line).expect("JSON in alerts.jsonl")).collect()
    }

    fn run(&self) -> &Run {
        self.run.as_ref().expect("a program that was started")
    }

    fn run_mut(&mut self) -> &mut Run {
        self.run.as_mut().expect("a program that was started")
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if thread::panicking() && self.run.is_some() {
            let lines = self.stderr_lines();
            let last = lines[lines.len().saturating_sub(40)..].join("\n");
            #[expect(clippy::print_stderr, reason = "the test has failed: its reader wants this")]
            {
                eprintln!("the last the program said on stderr:\n{last}");
            }
        }
    }
}

/// `ingest` and `control` out of the line that says so.
fn listening(line: &str) -> Option<(SocketAddr, SocketAddr)> {
    let line: Value = serde_json::from_str(line).ok()?;
    let fields = line.get("fields").unwrap_or(&line);
    let is_it = [fields, &line].iter().any(|place| place["message"] == "listening");
    let address = |name: &str| fields[name].as_str()?.parse().ok();
    is_it.then(|| Some((address("ingest")?, address("control")?))).flatten()
}

// === impl Run ===

impl Run {
    fn start(command: &mut Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("starting the built program");
        let stdout = Lines::read(child.stdout.take().expect("stdout is piped"));
        let stderr = Lines::read(child.stderr.take().expect("stderr is piped"));
        // Its stdin is a pipe that only this process holds: it ends when this process does.
        let watchdog = Command::new("sh")
            .args(["-c", "read -r _; kill -9 \"$0\"", &child.id().to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let Ok(watchdog) = watchdog else {
            child.kill().expect("killing the program");
            panic!("starting the watchdog: {watchdog:?}");
        };
        Self { child, watchdog, stdout, stderr, exit: None }
    }

    /// How the program ended, if it has.
    fn poll(&mut self) -> Option<ExitStatus> {
        if self.exit.is_none() {
            self.exit = self.child.try_wait().expect("asking for the program's end");
        }
        self.exit
    }

    fn kill(&mut self) {
        if self.poll().is_none() {
            self.child.kill().expect("killing the program");
            self.exit = Some(self.child.wait().expect("waiting for a killed program"));
        }
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        // The watchdog first: once the program is reaped, its number may go to another process.
        drop(self.watchdog.kill());
        drop(self.watchdog.wait());
        self.kill();
    }
}

// === impl Lines ===

impl Lines {
    /// Reads in a thread until the stream ends, which it does with the program.
    fn read(stream: impl Read + Send + 'static) -> Self {
        let lines = Self::default();
        let writing = lines.clone();
        thread::spawn(move || {
            let mut stream = BufReader::new(stream);
            let mut line = Vec::new();
            while stream.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
                let text = String::from_utf8_lossy(&line).trim_end().to_owned();
                line.clear();
                writing.add(|output| {
                    output.lines.push_back(text);
                    let surplus = output.lines.len().saturating_sub(LINES_KEPT);
                    output.lines.drain(..surplus);
                });
            }
            writing.add(|output| output.ended = true);
        });
        lines
    }

    fn add(&self, change: impl FnOnce(&mut Output)) {
        change(&mut lock(&self.0.0));
        self.0.1.notify_all();
    }

    fn all(&self) -> Vec<String> {
        lock(&self.0.0).lines.iter().cloned().collect()
    }

    /// What `pick` makes of the first line it takes; `None` at the deadline or the stream's end.
    fn wait<T>(&self, deadline: Duration, pick: impl Fn(&str) -> Option<T>) -> Option<T> {
        let start = Instant::now();
        let mut output = lock(&self.0.0);
        loop {
            let found = output.lines.iter().find_map(|line| pick(line));
            let left = deadline.saturating_sub(start.elapsed());
            if found.is_some() || output.ended || left.is_zero() {
                return found;
            }
            output = self.0.1.wait_timeout(output, left).expect("no reader panics").0;
        }
    }
}
