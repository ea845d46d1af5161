//! `demo`: it ends by itself, what it says is what was counted, it leaves nothing behind, and prints plain lines in a pipe.

use std::io::Read;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::world::eventually;
use crate::world::http::get_text;

struct Demo {
    child: Child,
    home: TempDir,
    said: Arc<Mutex<String>>,
    began: Instant,
}

impl Demo {
    fn start(arguments: &[&str]) -> Demo {
        let home = TempDir::new().expect("a folder");
        // A configuration that is not sound, and a proxy that is not there, concern it in nothing.
        let mut child = Command::new(env!("CARGO_BIN_EXE_emberwatch"))
            .arg("demo")
            .args(arguments)
            .current_dir(home.path())
            .env("EMBERWATCH_SERVER_LISTEN", "nonsense")
            .env("HTTP_PROXY", "http://127.0.0.1:9")
            .env("http_proxy", "http://127.0.0.1:9")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("starting the demo");
        let said = Arc::new(Mutex::new(String::new()));
        let (mut stream, writing) = (child.stdout.take().expect("its stdout"), said.clone());
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(read @ 1..) = stream.read(&mut bytes) {
                writing.lock().expect("no reader panics").push_str(&String::from_utf8_lossy(&bytes[..read]));
            }
        });
        Demo { child, home, said, began: Instant::now() }
    }

    fn said(&self) -> String {
        self.said.lock().expect("no reader panics").clone()
    }

    fn wait(&mut self) -> i32 {
        let child = &mut self.child;
        let exit = eventually("the demo ends", Duration::from_secs(60), || child.try_wait().expect("its state"));
        let mut errors = String::new();
        let stderr = self.child.stderr.as_mut().expect("its stderr");
        stderr.read_to_string(&mut errors).expect("text on stderr");
        assert_eq!(errors, "", "it says nothing beside");
        assert_eq!(std::fs::read_dir(self.home.path()).expect("its folder").count(), 0, "it leaves nothing behind");
        exit.code().expect("an exit code")
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status();
        assert!(sent.expect("running kill").success());
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        // One that has ended is not there to be killed.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Of a terminal: the signs that messages begin with are two columns wide.
fn columns(line: &str) -> usize {
    line.chars().map(|c| if "🔴🟠🔵✅⚪".contains(c) { 2 } else { 1 }).sum()
}

/// `1,234` after or before a word.
fn number(text: &str) -> u64 {
    text.trim().replace(',', "").parse().unwrap_or_else(|_| panic!("a number: {text:?}"))
}

/// A summary's paragraph as one line.
fn paragraph(said: &str, name: &str) -> String {
    let mut lines = said.lines().skip_while(|line| !line.starts_with(&format!("  {name}")));
    let first = lines.next().unwrap_or_else(|| panic!("{name} in:\n{said}")).trim().to_owned();
    lines.take_while(|line| line.starts_with("           ")).fold(first, |text, line| text + " " + line.trim())
}

#[test]
fn the_demo_ends_in_half_a_minute_and_tells_what_was_counted_in_plain_lines_and_nothing_is_left() {
    let mut demo = Demo::start(&["--seed", "7", "--stay"]);
    let (said, address) = eventually("the end of the story", Duration::from_secs(45), || {
        let said = demo.said();
        let address = said.split_once("http://")?.1.split_once(' ')?.0.parse::<SocketAddr>().ok()?;
        said.contains("/triage /status /metrics").then_some((said, address))
    });
    let took = demo.began.elapsed();
    assert!(took < Duration::from_secs(30), "{took:?}");

    // Its own sums are those of the receiver, which still listens.
    let metrics = get_text(address, "/metrics");
    let figure = |series: &str| metrics.lines().find_map(|line| line.strip_prefix(&format!("emberwatch_{series} ")));
    let told = paragraph(&said, "lines");
    let (sent, rest) = told.trim_start_matches("lines").split_once(" sent, ").expect("what was sent");
    let (counted, outcomes) = rest.split_once(" counted: ").expect("what was counted");
    assert_eq!(number(sent), number(counted), "{told}");
    assert_eq!(figure("lines_read_total").map(number), Some(number(counted)), "{told}");
    let mut sum = 0;
    for outcome in outcomes.split(", ") {
        let (count, name) = outcome.split_once(' ').expect("a number and an outcome");
        assert_eq!(figure(&format!("lines_total{{outcome=\"{name}\"}}")).map(number), Some(number(count)), "{told}");
        sum += number(count);
    }
    assert_eq!(sum, number(counted), "{told}");
    assert!(paragraph(&said, "bytes").starts_with(&format!("bytes    {} through", thousands(&metrics))), "{said}");

    let wide: Vec<&str> = said.lines().filter(|line| columns(line) > 80).collect();
    assert!(wide.is_empty(), "{wide:#?}");
    assert!(!said.contains('\u{1b}') && !said.contains('\r'), "no escape codes in a pipe");
    demo.signal("INT");
    assert_eq!(demo.wait(), 0);

    // Where others keep the machine so busy that it had to be cut short, it has said so, and its sums were right.
    if said.contains("the story was cut short") {
        return;
    }
    // The story was told: traffic, a watch on its way, verdicts, both troubles and their ends, as Slack shows them.
    for words in [
        "lines/s: web ",
        "http_5xx_spike",
        "#",
        "triage",
        "now watched as",
        "The database of orders goes away.",
        "Slack #alerts",
        "critical: http_5xx_spike · orders in prod-eu",
        "resolved: http_5xx_spike · orders in prod-eu",
        "in the thread",
        "Somebody deploys catalog:42",
        "critical: fatal · catalog in prod-us",
        "resolved: fatal · catalog in prod-us",
    ] {
        assert!(said.contains(words), "{words:?} in:\n{said}");
    }
}

fn thousands(metrics: &str) -> String {
    let bytes = metrics.lines().find_map(|line| line.strip_prefix("emberwatch_bytes_total ")).expect("bytes");
    let mut text = String::new();
    for (place, digit) in bytes.chars().enumerate() {
        if place > 0 && (bytes.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[test]
fn ctrl_c_in_the_middle_of_it_is_a_clean_end() {
    let mut demo = Demo::start(&[]);
    eventually("it is under way", Duration::from_secs(20), || demo.said().contains("lines/s: web").then_some(()));
    let asked = Instant::now();
    demo.signal("INT");
    assert_eq!(demo.wait(), 0);
    assert!(asked.elapsed() < Duration::from_secs(10), "{:?}", asked.elapsed());
    assert!(!demo.said().contains("That was all"));
}
