//! What reads bytes from outside, each as a function that must neither panic nor contradict itself whatever
//! they are. The fuzz targets call them with what a fuzzer finds, the tests with the corpus and with chance.

#![allow(clippy::missing_panics_doc, reason = "a contradiction is a panic here: that is what they are for")]

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use emberwatch::config::{self, Sources};
use emberwatch::escalation::{Escalation, outbox};
use emberwatch::fluent_bit::{self, Files, Receiver};
use emberwatch::ingest::Settings;
use emberwatch::ingest::decode::{Decoder, Encoding, Fed};
use emberwatch::ingest::quarantine::{Bounds, From};
use emberwatch::ingest::split::Split;
use emberwatch::ingest::stage::{Batch, Tally};
use emberwatch::investigate::around;
use emberwatch::ledger::journal;
use emberwatch::notify::notice::{Notice, NoticeKind, Severity};
use emberwatch::notify::text;
use emberwatch::record::naming::Naming;
use emberwatch::redact::Redacted;
use emberwatch::triage::template::{self, Miner};
use emberwatch::triage::verdict;
use emberwatch::watch::rule::Rule;
use emberwatch::watch::{Origin, Watch, WatchSet, builtin};

/// A function, and the name of its target.
pub type Target = (&'static str, fn(&[u8]));

/// Every function.
pub const ALL: [Target; 9] = [
    ("body", body),
    ("config", config),
    ("fluent_bit", fluent_bit),
    ("message", message),
    ("reply", reply),
    ("rows", rows),
    ("rule", rule),
    ("template", template),
    ("text", text_of),
];

const LINE_MAX: usize = 16 * 1024;
/// What one input may decode to: a bomb is to end there.
const DECODED_MAX: usize = 4 << 20;

static WATCHES: LazyLock<Arc<WatchSet>> = LazyLock::new(|| {
    WatchSet::new(builtin::rules().into_iter().map(|rule| Watch::new(rule, Origin::Builtin)).collect())
});

/// A request's body: the first byte says how it is encoded, the second how the network cuts it. However it is cut,
/// the outcomes are the same, and they add up to what was read.
pub fn body(data: &[u8]) {
    let [how, cut, body @ ..] = data else { return };
    let encodings = ["identity", "gzip", "zstd", "snappy"];
    let encoding = encodings.get(usize::from(how % 4)).and_then(|name| Encoding::from_name(name));
    let Some(encoding) = encoding else { return };
    let whole = staged(encoding, body, body.len().max(1));
    let pieces = staged(encoding, body, usize::from(*cut).max(1));
    assert_eq!(whole, pieces, "cut every {cut} bytes");
}

fn staged(encoding: Encoding, body: &[u8], piece: usize) -> Option<(Tally, usize)> {
    let from =
        From { sender: 1, address: IpAddr::from([10, 0, 0, 1]), token: "t".into(), tag: Some(b"a.tag".to_vec()) };
    let mut batch = Batch::new(WATCHES.clone(), &settings(), from, 1_759_306_400_000);
    let mut split = Split::new(LINE_MAX);
    let mut decoder = Decoder::new(encoding).ok()?;
    let (mut sound, mut decoded) = (true, 0);
    for mut piece in body.chunks(piece) {
        loop {
            let fed = decoder.feed(&mut piece, |plain| {
                decoded += plain.len();
                sound = sound && split.feed(plain, |line| batch.line(line));
                sound && decoded < DECODED_MAX
            });
            match fed {
                Ok(Fed::More) => {}
                Ok(Fed::All) => break,
                // How much comes out before a fault depends on the pieces.
                Ok(Fed::Enough) | Err(_) => return None,
            }
        }
    }
    let rest = decoder.finish(|plain| sound = sound && split.feed(plain, |line| batch.line(line)));
    if rest.is_err() || !sound {
        return None;
    }
    // Where a fault is seen, at its bytes or at the end, depends on the pieces.
    if !split.finish(|line| batch.line(line)) {
        return None;
    }
    let finished = batch.finish(None, 0);
    assert_eq!(finished.tally.read(), finished.read, "every line ends once");
    Some((finished.tally, finished.staged.groups.len()))
}

fn settings() -> Settings {
    Settings {
        intake: None,
        around: around::Bounds { records: 4, record_bytes: 2048 },
        max_line_bytes: LINE_MAX,
        max_groups_per_batch: 100,
        lateness_ms: 900_000,
        naming: Arc::new(Naming { own: vec!["emberwatch".into()], ..Naming::default() }),
        max_encoded_bytes: 1 << 26,
        max_decoded_bytes: 1 << 28,
        max_lines: 1 << 24,
        max_requests: 1,
        max_bytes_in_flight: 1 << 28,
        admission_wait: Duration::ZERO,
        min_body_rate: 0,
        request_time: Duration::ZERO,
        tag_header: "x-tag".into(),
        trusted_proxies: Vec::new(),
        quarantine: Bounds { max_samples: 20, max_bytes: 4096 },
    }
}

/// A configuration: sound, or faults.
pub fn config(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    // Paths of files to read are the operator's own; here they would be those of this machine.
    if text.contains("_file") || text.contains("tls") {
        return;
    }
    let env = BTreeMap::from([("EMBERWATCH_CONFIG_TOML".to_owned(), text.to_owned())]);
    let sources = Sources { file: None, env, cwd: PathBuf::from("/nowhere") };
    if let Err(faults) = config::load(&sources) {
        assert!(!faults.to_string().is_empty());
    }
}

/// A sender's configuration, of whatever form its first byte says.
pub fn fluent_bit(data: &[u8]) {
    let [form, text @ ..] = data else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    let name = ["a.conf", "a.yaml", "a.json", "a"].get(usize::from(form % 4)).copied().unwrap_or("a");
    let receiver = Receiver {
        listen: ([127, 0, 0, 1], 8080).into(),
        request_seconds: 30,
        admission_wait_seconds: 15,
        token_names: vec!["web".into()],
        auth_header: None,
        tls: false,
        tag_header: "X-Tag".into(),
        idle_seconds: 90,
    };
    if let Ok(read) = fluent_bit::read(Path::new(name), &Only(text)) {
        fluent_bit::judge(&read, &receiver);
    }
}

/// Every file is this one.
struct Only<'a>(&'a str);

impl Files for Only<'_> {
    fn read(&self, _: &Path) -> io::Result<String> {
        Ok(self.0.to_owned())
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<PathBuf>> {
        Ok(vec![folder.join("b.conf")])
    }
}

/// What people read of a log line: nothing in it that Slack or a terminal would obey.
pub fn message(data: &[u8]) {
    let text = Redacted::from_bytes(data);
    let kinds = [NoticeKind::Opened, NoticeKind::Again, NoticeKind::Reminder, NoticeKind::Resolved, NoticeKind::NoData];
    let kind = data.first().and_then(|first| kinds.get(usize::from(first % 5))).copied().unwrap_or(NoticeKind::Opened);
    let notice = Notice {
        kind,
        escalation: 42,
        label: "a_label".into(),
        severity: Severity::Critical,
        summary: text.clone(),
        cluster: text.clone(),
        service: text.clone(),
        group: vec![("path".into(), text.clone())],
        count: 1,
        threshold: 1,
        window_seconds: 60,
        first_ms: data.len() as i64,
        last_ms: i64::MAX,
        at_ms: 0,
        late: false,
        samples: vec![text.clone(), text.clone()],
        dedup_key: "k".into(),
        suggested_fix: Some(text),
        dossier: None,
        incident: Some(41),
        told_before: None,
        in_doubt: true,
        broadcast: false,
        report: None,
        first_day: None,
    };
    let shown = text::slack(&notice);
    assert!(!shown.contains(['<', '>']) && shown.contains("[E42]") && shown.contains("a_label"), "{shown:?}");
    assert!(shown.chars().count() < 3_500, "{}", shown.chars().count());
    assert!(!shown.contains(|c: char| c.is_control() && c != '\n'), "{shown:?}");
    let plain = text::plain(&notice, false);
    assert!(!plain.contains(|c: char| c.is_control() && c != '\n'), "{plain:?}");
}

/// A model's reply to a prompt of as many lines as the first byte says.
pub fn reply(data: &[u8]) {
    let [lines, reply @ ..] = data else { return };
    let Ok(text) = std::str::from_utf8(reply) else { return };
    if let Ok(read) = verdict::read(text, usize::from(*lines)) {
        // Whatever it says can be written down.
        assert!(!format!("{read:?}").is_empty());
    }
}

/// What the store holds, damaged.
pub fn rows(data: &[u8]) {
    if let Ok(entry) = journal::decode::<journal::Entry>(data) {
        assert_eq!(journal::decode::<journal::Entry>(&journal::encode(&entry)).ok(), Some(entry));
    }
    let _snapshot = journal::decode::<journal::Snapshot>(data);
    let _escalation = serde_json::from_slice::<Escalation>(data);
    let _row = serde_json::from_slice::<outbox::Row>(data);
}

/// A rule as JSON: what is taken can be written out, and read again as the same.
pub fn rule(data: &[u8]) {
    let Ok(value) = serde_json::from_slice(data) else { return };
    let mut faults = Vec::new();
    let Some(rule) = Rule::from_json(&value, "", &mut faults).filter(|_| faults.is_empty()) else { return };
    let again = Rule::from_json(&rule.to_json(), "", &mut faults);
    assert!(faults.is_empty(), "{faults:?}");
    assert_eq!(again.map(|again| again.to_json()), Some(rule.to_json()));
    let set = WatchSet::new(vec![Watch::new(rule, Origin::Api)]);
    let from = From { sender: 1, address: IpAddr::from([10, 0, 0, 1]), token: "t".into(), tag: None };
    let mut batch = Batch::new(set, &settings(), from, 1_759_306_400_000);
    let mut split = Split::new(LINE_MAX);
    let lines = concat!(
        r#"{"date":1759306400.5,"container_name":"app","log":"{\"level\":\"error\",\"msg\":\"no route\",\"status\":502,\"a\":{\"b\":[1]}}"}"#,
        "\n",
        r#"{"date":1759306400.6,"container_name":"app","log":"10.0.0.1 - - [01/Oct/2025:08:13:20 +0000] \"GET /x HTTP/1.1\" 500 12"}"#,
        "\n"
    );
    split.feed(lines.as_bytes(), |line| batch.line(line));
    split.finish(|line| batch.line(line));
    assert_eq!(batch.finish(None, 0).tally.read(), 2);
}

/// Messages, a line each: each has a template, and there are never more than may be.
pub fn template(data: &[u8]) {
    let mut miner = Miner::new(template::Settings { max_templates: 50, ..template::Settings::default() });
    for (at, line) in data.split(|byte| *byte == b'\n').enumerate() {
        let learned = miner.learn(at as u64 % 3, &String::from_utf8_lossy(line));
        assert!(miner.resolve(learned.id).is_some());
        assert!(miner.len() <= 50);
    }
}

/// Text that leaves: redacting it once more takes nothing more.
pub fn text_of(data: &[u8]) {
    let once = Redacted::from_bytes(data);
    let twice = Redacted::new(once.as_str());
    assert_eq!(once.as_str(), twice.as_str());
    let cut = once.cut(100);
    assert!(cut.as_str().len() <= 104, "{}", cut.as_str().len());
    assert!(!once.one_line().as_str().contains('\n'));
}
