//! Notices for programs: one JSON object a line, appended to a file.
//!
//! What a reader of the file may rely on: the keys stand in the same order on
//! every line, a line is written in one piece and is on disk before it counts
//! as delivered, and a line that a crash tore is ended before the next begins.
//! The file is kept below `max_bytes`: it is renamed to `PATH.1`, replacing the
//! one before, and begun anew. Both are readable by their owner only.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use serde::{Serialize, Serializer};
use tokio::task;

use super::{
    deliver::Sent,
    first_day::FirstDay,
    notice::{Dossier, Notice, NoticeKind, Severity, Told, timestamp},
};
use crate::redact::Redacted;

/// Where the file is rotated unless the configuration says otherwise.
pub const DEFAULT_MAX_BYTES: u64 = 16 * 1024 * 1024;

/// Appends notices to a file of JSON lines.
pub struct Alerts {
    path: PathBuf,
    max_bytes: u64,
}

/// One line of the file. The order of the fields is the order of the keys.
#[derive(Serialize)]
struct Line<'a> {
    id: String,
    kind: NoticeKind,
    time: String,
    cluster: &'a Redacted,
    service: &'a Redacted,
    label: &'a str,
    severity: Severity,
    #[serde(serialize_with = "as_object")]
    group: &'a [(String, Redacted)],
    count: u64,
    threshold: u64,
    window_seconds: u64,
    first: String,
    last: String,
    late: bool,
    samples: &'a [Redacted],
    summary: &'a Redacted,
    dedup_key: &'a str,
    suggested_fix: Option<&'a Redacted>,
    /// Where its dossier is.
    #[serde(skip_serializing_if = "Option::is_none")]
    dossier: Option<&'a str>,
    /// What its investigation has to say.
    #[serde(skip_serializing_if = "Option::is_none")]
    report: Option<&'a Told>,
    /// The first escalation of its incident, if that is another one.
    #[serde(skip_serializing_if = "Option::is_none")]
    incident: Option<String>,
    /// Of a first look: what it tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    first_day: Option<&'a FirstDay>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    in_doubt: bool,
}

/// Why a line is not known to be on disk.
struct Fault {
    doing: &'static str,
    error: io::Error,
    /// The line may be there all the same.
    in_doubt: bool,
}

impl Alerts {
    pub fn new(path: PathBuf, max_bytes: u64) -> Self {
        Self { path, max_bytes }
    }

    /// Appends one line and waits until the disk has it.
    pub async fn send(&self, notice: &Notice) -> Sent {
        let mut line = match json_line(notice) {
            Ok(line) => line,
            Err(fault) => {
                return Sent::Dead { reason: format!("cannot be written as JSON: {fault}") };
            }
        };
        line.push('\n');
        let (path, max_bytes) = (self.path.clone(), self.max_bytes);
        // Off the async threads: a sync can take seconds on a busy disk.
        let appended = task::spawn_blocking(move || append(&path, max_bytes, &line))
            .await
            .unwrap_or_else(|panic| Err(Fault::unsure("write", io::Error::other(panic))));
        match appended {
            Ok(()) => Sent::Done { thread: None },
            Err(fault) => Sent::Retry {
                after: None,
                reason: format!("cannot {} {}: {}", fault.doing, self.path.display(), fault.error),
                in_doubt: fault.in_doubt,
            },
        }
    }
}

impl Fault {
    fn sure(doing: &'static str, error: io::Error) -> Self {
        Self { doing, error, in_doubt: false }
    }

    fn unsure(doing: &'static str, error: io::Error) -> Self {
        Self { in_doubt: true, ..Self::sure(doing, error) }
    }
}

/// The notice as one JSON object, without the newline.
pub fn json_line(notice: &Notice) -> serde_json::Result<String> {
    serde_json::to_string(&Line {
        id: format!("E{}", notice.escalation),
        kind: notice.kind,
        time: rfc3339(notice.at_ms),
        cluster: &notice.cluster,
        service: &notice.service,
        label: &notice.label,
        severity: notice.severity,
        group: &notice.group,
        count: notice.count,
        threshold: notice.threshold,
        window_seconds: notice.window_seconds,
        first: rfc3339(notice.first_ms),
        last: rfc3339(notice.last_ms),
        late: notice.late,
        samples: &notice.samples,
        summary: &notice.summary,
        dedup_key: &notice.dedup_key,
        suggested_fix: notice.suggested_fix.as_ref(),
        dossier: notice.dossier.as_ref().map(|dossier| match dossier {
            Dossier::Url(place) | Dossier::File(place) => place.as_str(),
        }),
        report: notice.report.as_deref(),
        incident: notice.incident.map(|id| format!("E{id}")),
        first_day: notice.first_day.as_deref(),
        in_doubt: notice.in_doubt,
    })
}

fn as_object<S: Serializer>(group: &&[(String, Redacted)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(group.iter().map(|(key, value)| (key, value)))
}

/// UTC, to the millisecond.
pub(crate) fn rfc3339(ms: i64) -> String {
    format!("{:.3}", timestamp(ms))
}

/// Opens the file anew for every line: notices are rare, and so a file that
/// somebody moved away or deleted is simply begun again.
fn append(path: &Path, max_bytes: u64, line: &str) -> Result<(), Fault> {
    let (mut file, mut length) = open(path)?;
    if length > 0 && length.saturating_add(line.len() as u64) > max_bytes {
        fs::rename(path, rotated(path)).map_err(|error| Fault::sure("rotate", error))?;
        (file, length) = open(path)?;
    }
    let torn = length > 0 && !ends_with_newline(&mut file)?;
    let piece = if torn { format!("\n{line}") } else { line.to_owned() };
    // One call to the system unless that one was cut short, as on a full disk.
    file.write_all(piece.as_bytes())
        .and_then(|()| file.flush())
        .and_then(|()| file.sync_data())
        .map_err(|error| Fault::unsure("write", error))?;
    if length == 0 {
        // A new name is durable only once its folder is.
        sync_folder(path).map_err(|error| Fault::unsure("sync the folder of", error))?;
    }
    Ok(())
}

fn open(path: &Path) -> Result<(File, u64), Fault> {
    let open = || {
        let file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)?;
        let about = file.metadata()?;
        if about.is_file() { Ok((file, about.len())) } else { Err(io::Error::other("not a regular file")) }
    };
    open().map_err(|error| Fault::sure("open", error))
}

fn ends_with_newline(file: &mut File) -> Result<bool, Fault> {
    let mut last = [0];
    file.seek(SeekFrom::End(-1))
        .and_then(|_| file.read_exact(&mut last))
        .map_err(|error| Fault::sure("read", error))?;
    Ok(last == *b"\n")
}

fn rotated(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(".1");
    PathBuf::from(name)
}

fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use tempfile::TempDir;

    use super::super::notice::tests::notice;
    use super::*;

    const DONE: Sent = Sent::Done { thread: None };

    /// A folder of the test's own, and the file that is to appear in it.
    fn place() -> (TempDir, PathBuf) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("alerts.jsonl");
        (folder, path)
    }

    fn read(path: impl AsRef<Path>) -> String {
        fs::read_to_string(path).expect("a file of text")
    }

    #[test]
    fn a_line_has_every_key_in_its_order() {
        let line = json_line(&notice(NoticeKind::Opened)).expect("JSON");
        assert_eq!(
            line,
            concat!(
                r#"{"id":"E42","kind":"opened","time":"2026-11-22T14:03:15.250Z","#,
                r#""cluster":"prod","service":"payments","label":"http_5xx_spike","#,
                r#""severity":"critical","#,
                r#""group":{"cluster":"prod","service":"payments","path":"/pay"},"#,
                r#""count":20000,"threshold":10,"window_seconds":60,"#,
                r#""first":"2026-11-22T14:03:01.250Z","last":"2026-11-22T14:03:13.250Z","#,
                r#""late":false,"#,
                r#""samples":["POST /pay 502 12ms","Error: upstream\n    at pay (pay.js:3)"],"#,
                r#""summary":"5xx responses are spiking","#,
                r#""dedup_key":"prod/payments/http_5xx_spike","suggested_fix":null}"#,
            )
        );
    }

    #[test]
    fn every_kind_has_its_name_and_doubt_is_told_only_where_there_is_some() {
        let cases = [
            (NoticeKind::Again, "again"),
            (NoticeKind::Reminder, "reminder"),
            (NoticeKind::Resolved, "resolved"),
            (NoticeKind::NoData, "no_data"),
        ];
        for (kind, name) in cases {
            let mut notice = notice(kind);
            notice.in_doubt = true;
            notice.suggested_fix = Some(Redacted::new("restart it"));
            let line = json_line(&notice).expect("JSON");
            let starts = format!(r#"{{"id":"E42","kind":"{name}","time":"#);
            assert!(line.starts_with(&starts), "{line}");
            let ends = r#""suggested_fix":"restart it","in_doubt":true}"#;
            assert!(line.ends_with(ends), "{line}");
        }
    }

    #[test]
    fn a_dossier_is_named_where_there_is_one() {
        let mut notice = notice(NoticeKind::Opened);
        for dossier in [
            Dossier::Url("https://logs.example/investigations/E42".into()),
            Dossier::File("investigations/E42.md".into()),
        ] {
            let place = match &dossier {
                Dossier::Url(place) | Dossier::File(place) => format!(r#""suggested_fix":null,"dossier":"{place}"}}"#),
            };
            notice.dossier = Some(dossier);
            let line = json_line(&notice).expect("JSON");
            assert!(line.ends_with(&place), "{line}");
        }
    }

    #[tokio::test]
    async fn lines_are_appended_to_a_file_that_only_its_owner_reads() {
        let (_folder, path) = place();
        let alerts = Alerts::new(path.clone(), DEFAULT_MAX_BYTES);
        let (opened, resolved) = (notice(NoticeKind::Opened), notice(NoticeKind::Resolved));
        assert_eq!(alerts.send(&opened).await, DONE);
        assert_eq!(alerts.send(&resolved).await, DONE);
        let lines = [&opened, &resolved].map(|notice| json_line(notice).expect("JSON"));
        assert_eq!(read(&path), format!("{}\n{}\n", lines[0], lines[1]));
        let mode = fs::metadata(&path).expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[tokio::test]
    async fn a_line_torn_by_a_crash_is_ended_first() {
        let (_folder, path) = place();
        fs::write(&path, r#"{"id":"E4"#).expect("written");
        let alerts = Alerts::new(path.clone(), DEFAULT_MAX_BYTES);
        assert_eq!(alerts.send(&notice(NoticeKind::Opened)).await, DONE);
        let line = json_line(&notice(NoticeKind::Opened)).expect("JSON");
        assert_eq!(read(&path), format!("{{\"id\":\"E4\n{line}\n"));
    }

    #[tokio::test]
    async fn a_full_file_is_moved_aside_and_replaces_the_one_before() {
        let (_folder, path) = place();
        let line = json_line(&notice(NoticeKind::Opened)).expect("JSON") + "\n";
        let alerts = Alerts::new(path.clone(), 2 * line.len() as u64);
        for _ in 0..5 {
            assert_eq!(alerts.send(&notice(NoticeKind::Opened)).await, DONE);
        }
        assert_eq!(read(&path), line);
        assert_eq!(read(rotated(&path)), line.repeat(2));

        // A line that is longer than the whole file may be is written all the same.
        let small = Alerts::new(path.clone(), 1);
        assert_eq!(small.send(&notice(NoticeKind::Opened)).await, DONE);
        assert_eq!(read(&path), line);
    }

    #[tokio::test]
    async fn a_file_that_cannot_be_opened_is_tried_again_and_named() {
        let (folder, path) = place();
        let path = path.join("deeper");
        let sent = Alerts::new(path.clone(), 1).send(&notice(NoticeKind::Opened)).await;
        let Sent::Retry { reason, in_doubt: false, .. } = sent else {
            panic!("{sent:?}");
        };
        assert!(reason.starts_with("cannot open "), "{reason}");
        assert!(reason.contains("No such file"), "{reason}");
        fs::create_dir(folder.path().join("alerts.jsonl")).expect("a folder");
        let alerts = Alerts::new(path, 1);
        assert_eq!(alerts.send(&notice(NoticeKind::Opened)).await, DONE);
    }
}
