//! What is told about an escalation, and the phrases every channel tells it in.
//!
//! A notice holds everything a message needs, so that the outbox can keep it
//! over a restart and every channel says the same thing. What may come from a
//! log line, a model or a person's configuration is [`Redacted`]; the phrases
//! made here contain none of it, except where the caller passes a service name
//! that it has already quoted for its own medium.

use std::path::PathBuf;

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};
use serde::{Deserialize, Serialize};

use super::first_day::FirstDay;
use crate::redact::Redacted;

/// What happened to the escalation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoticeKind {
    /// The first message of an escalation.
    Opened,
    /// It was resolved, and fires again.
    Again,
    /// It fires still: long after the last message, or ten times as often as people were last told.
    Reminder,
    /// A whole window stayed below the threshold.
    Resolved,
    /// The service sends nothing at all, so nobody can say whether it recovered.
    NoData,
    /// Of no escalation: what is seen some time after the first start.
    FirstDay,
    /// What its investigation has to say: see [`Told`].
    Report,
}

/// How an investigation stands when people are told of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// A cause, and somebody has to do something about it.
    NeedsYou,
    /// The cause is not in the code.
    NoCodeCause,
    /// A patch is there that nobody needs to write any more.
    PatchReady,
    /// A draft of it waits at the repository.
    Proposed,
    /// A remedy was called; the watch is looked at.
    Remedied,
    Recovered,
    NotRecovered,
}

/// What people are told of an investigation. What is [`Redacted`] is a model's or a log line's; the rest is ours.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Told {
    pub standing: Standing,
    pub cause: Redacted,
    /// How sure, and on what.
    pub sure: String,
    /// What was proven: where something stands, and what.
    pub evidence: Vec<Redacted>,
    /// What was done, and what came of it: words of ours, and a name or an address.
    pub done: Vec<(String, Redacted)>,
    /// What is left to a person, in order.
    pub steps: Vec<Redacted>,
    /// There is a diff beside the report.
    pub diff: bool,
}

impl Standing {
    pub fn words(self) -> &'static str {
        match self {
            Standing::NeedsYou => "looked into, needs you",
            Standing::NoCodeCause => "looked into, not in the code",
            Standing::PatchReady => "cause found, patch ready",
            Standing::Proposed => "cause found, patch proposed",
            Standing::Remedied => "remedy called",
            Standing::Recovered => "recovered",
            Standing::NotRecovered => "not recovered, needs you",
        }
    }
}

/// How loudly a notice is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    Info,
    #[default]
    Warning,
    Critical,
}

/// One message about one escalation, before any channel has rendered it.
///
/// All times are Unix milliseconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Notice {
    pub kind: NoticeKind,
    /// The number in `E42`.
    pub escalation: u64,
    /// The watch's label, already cleaned to `[a-z0-9_]{1,48}`.
    pub label: String,
    pub severity: Severity,
    pub summary: Redacted,
    pub cluster: Redacted,
    pub service: Redacted,
    /// The key of the watch's group, in the order of its `group_by`.
    pub group: Vec<(String, Redacted)>,
    pub count: u64,
    pub threshold: u64,
    pub window_seconds: u64,
    /// The first and the last of the counted lines, in record time.
    pub first_ms: i64,
    pub last_ms: i64,
    /// When this notice was made.
    pub at_ms: i64,
    /// The lines came too late to be counted as now: a backlog.
    pub late: bool,
    pub samples: Vec<Redacted>,
    pub dedup_key: String,
    pub suggested_fix: Option<Redacted>,
    /// Where its dossier is, or soon will be; of an opened one that is investigated.
    #[serde(default)]
    pub dossier: Option<Dossier>,
    /// The first escalation of the incident that it belongs to, if that is another one.
    #[serde(default)]
    pub incident: Option<u64>,
    /// Of a reminder: the count that people were told before.
    #[serde(default)]
    pub told_before: Option<u64>,
    /// Of a report: what it says.
    #[serde(default)]
    pub report: Option<Box<Told>>,
    /// An earlier attempt may have arrived: the message says that it may repeat.
    pub in_doubt: bool,
    /// As a reply in a thread it is to be seen in the channel, too.
    #[serde(default)]
    pub broadcast: bool,
    /// Of [`NoticeKind::FirstDay`]: what it tells.
    #[serde(default)]
    pub first_day: Option<Box<FirstDay>>,
}

/// Where a person finds the dossier of one escalation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dossier {
    /// An address of ours, as [`Dossiers`] has made it.
    Url(String),
    /// A file on the receiver's own disk.
    File(String),
}

/// Where the dossiers are. All of it comes from the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dossiers {
    /// What people reach the control API under: a URL without a slash at its end.
    pub public_url: Option<String>,
    /// `None`: they are kept in memory only.
    pub folder: Option<PathBuf>,
}

impl Dossiers {
    /// `None`: there is nothing that a message could name.
    pub fn of(&self, escalation: u64) -> Option<Dossier> {
        match (&self.public_url, &self.folder) {
            (Some(url), _) => Some(Dossier::Url(format!("{url}/investigations/E{escalation}"))),
            (None, Some(folder)) => Some(Dossier::File(folder.join(dossier_file(escalation)).display().to_string())),
            (None, None) => None,
        }
    }

    /// The same of a report, which stands before its dossier where there is an address.
    pub fn report_of(&self, escalation: u64) -> Option<Dossier> {
        match (&self.public_url, &self.folder) {
            (None, Some(folder)) => Some(Dossier::File(folder.join(report_file(escalation)).display().to_string())),
            _ => self.of(escalation),
        }
    }
}

pub fn report_file(escalation: u64) -> String {
    format!("E{escalation}.report.md")
}

pub fn diff_file(escalation: u64) -> String {
    format!("E{escalation}.diff")
}

/// The name of a dossier's file.
pub fn dossier_file(escalation: u64) -> String {
    format!("E{escalation}.md")
}

impl NoticeKind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Again => "again",
            Self::Reminder => "reminder",
            Self::Resolved => "resolved",
            Self::NoData => "no_data",
            Self::FirstDay => "first_day",
            Self::Report => "report",
        }
    }
}

impl Severity {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }

    /// Reads what a person or a model wrote, in any letter case.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Info, Self::Warning, Self::Critical]
            .into_iter()
            .find(|severity| severity.as_str().eq_ignore_ascii_case(text.trim()))
    }
}

impl Notice {
    /// The mark that stands, verbatim, in every message about an escalation.
    pub fn mark(&self) -> String {
        format!("[E{}]", self.escalation)
    }

    /// How it stands, in one or three words.
    pub fn standing(&self) -> String {
        let severity = self.severity.as_str();
        match self.kind {
            NoticeKind::Opened => severity.to_owned(),
            NoticeKind::Again => format!("{severity}, firing again"),
            NoticeKind::Reminder => format!("{severity}, still firing"),
            NoticeKind::Resolved => "resolved".to_owned(),
            NoticeKind::NoData => "no data".to_owned(),
            NoticeKind::FirstDay => "first look".to_owned(),
            NoticeKind::Report => self.report.as_ref().map_or("looked into", |told| told.standing.words()).to_owned(),
        }
    }

    /// What was counted, when, and against which threshold.
    ///
    /// `service` is the service's name, quoted for the medium by the caller.
    pub fn facts(&self, service: &str) -> String {
        let mut facts = match self.kind {
            NoticeKind::NoData => {
                let since = moment(self.last_ms, self.at_ms);
                format!("{service} has sent nothing since {since}; this is not a recovery")
            }
            NoticeKind::FirstDay => self.summary.as_str().to_owned(),
            // Somebody else counted.
            NoticeKind::Resolved if self.window_seconds == 0 => format!("its alert has ended, {}", self.span("–")),
            NoticeKind::Opened | NoticeKind::Again | NoticeKind::Reminder if self.window_seconds == 0 => {
                format!("an alert from outside, {}", self.span("–"))
            }
            NoticeKind::Resolved => format!(
                "quiet for a whole window ({}); {} in total, {}",
                exact_seconds(self.window_seconds),
                lines(self.count, ""),
                self.span("–"),
            ),
            NoticeKind::Opened | NoticeKind::Again | NoticeKind::Reminder if self.late => format!(
                "{}, {}: a backlog that came too late to count as now, not a current flood ({})",
                lines(self.count, "late "),
                self.span(" to "),
                self.bar(),
            ),
            NoticeKind::Opened | NoticeKind::Again | NoticeKind::Reminder => {
                let took = if self.count > 1 {
                    format!(" in {}", about(self.last_ms.saturating_sub(self.first_ms)))
                } else {
                    String::new()
                };
                let counted = lines(self.count, "");
                let before = self.told_before.map(|n| format!(", {} when last told", thousands(n))).unwrap_or_default();
                format!("{counted}{took}{before} ({}), {}", self.bar(), self.span("–"))
            }
            NoticeKind::Report => self.report.as_ref().map(|told| told.sure.clone()).unwrap_or_default(),
        };
        if self.in_doubt {
            facts.push_str(" (may repeat: an earlier attempt may have arrived)");
        }
        facts
    }

    /// Which incident it is part of, where that has another's number. Bare: the mark `[E41]` is of messages about E41.
    pub fn together(&self) -> Option<String> {
        let news =
            !matches!(self.kind, NoticeKind::Resolved | NoticeKind::NoData | NoticeKind::FirstDay | NoticeKind::Report);
        self.incident.filter(|_| news).map(|incident| format!("together with E{incident}"))
    }

    /// The group's key without what the first line of a message says anyway.
    pub fn other_keys(&self) -> impl Iterator<Item = (&str, &str)> {
        self.group
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()))
            .filter(|(key, _)| !matches!(*key, "cluster" | "service"))
    }

    /// How many lines.
    pub fn counted(&self) -> String {
        lines(self.count, if self.late { "late " } else { "" })
    }

    fn bar(&self) -> String {
        let threshold = thousands(self.threshold);
        let window = exact_seconds(self.window_seconds);
        format!("threshold {threshold} in {window}")
    }

    /// From the first line to the last, in UTC; dates only where they tell something.
    fn span(&self, dash: &str) -> String {
        let (first, last) = (civil(self.first_ms), civil(self.last_ms));
        let dated = first.date() != last.date() || last.date() != civil(self.at_ms).date();
        let from = clock(first, dated);
        if first == last {
            return format!("{from} UTC");
        }
        // A whole date on the right only where the day changed in between.
        let until = clock(last, first.date() != last.date());
        let dash = if dated && !dash.contains(' ') { format!(" {dash} ") } else { dash.to_owned() };
        format!("{from}{dash}{until} UTC")
    }
}

/// `1234567` as `1,234,567`.
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A Unix millisecond as a time. What no calendar holds is drawn to its edge:
/// a sender's absurd clock must not cost the message.
pub(super) fn timestamp(ms: i64) -> Timestamp {
    let edge = if ms < 0 { Timestamp::MIN } else { Timestamp::MAX };
    Timestamp::from_millisecond(ms).unwrap_or(edge)
}

fn lines(count: u64, adjective: &str) -> String {
    let noun = if count == 1 { "line" } else { "lines" };
    format!("{} {adjective}{noun}", thousands(count))
}

fn moment(ms: i64, now_ms: i64) -> String {
    let at = civil(ms);
    format!("{} UTC", clock(at, at.date() != civil(now_ms).date()))
}

/// UTC, to the second.
fn civil(ms: i64) -> DateTime {
    let at = timestamp(ms).to_zoned(TimeZone::UTC).datetime();
    at.with().subsec_nanosecond(0).build().unwrap_or(at)
}

fn clock(at: DateTime, dated: bool) -> String {
    let time = format!("{:02}:{:02}:{:02}", at.hour(), at.minute(), at.second());
    if dated { format!("{} {time}", at.date()) } else { time }
}

/// A configured duration: never rounded, in the largest unit that holds it.
fn exact_seconds(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        _ if seconds.is_multiple_of(3600) => format!("{} h", seconds / 3600),
        _ if seconds.is_multiple_of(60) => format!("{} min", seconds / 60),
        _ => format!("{} s", thousands(seconds)),
    }
}

/// A measured duration: rounded to what a person wants to know.
pub(super) fn about(ms: i64) -> String {
    match ms {
        ..1_000 => "under 1 s".to_owned(),
        1_000..120_000 => format!("{} s", ms / 1_000),
        120_000..7_200_000 => format!("{} min", ms / 60_000),
        7_200_000..172_800_000 => format!("{} h", ms / 3_600_000),
        _ => format!("{} days", ms / 86_400_000),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// 2026-11-22 14:03:01.250 UTC.
    pub(crate) const FIRST: i64 = 1_795_356_181_250;
    const DAY: i64 = 86_400_000;

    /// The notice that the tests of every channel render.
    pub(crate) fn notice(kind: NoticeKind) -> Notice {
        Notice {
            kind,
            escalation: 42,
            label: "http_5xx_spike".into(),
            severity: Severity::Critical,
            summary: Redacted::new("5xx responses are spiking"),
            cluster: Redacted::new("prod"),
            service: Redacted::new("payments"),
            group: vec![
                ("cluster".into(), Redacted::new("prod")),
                ("service".into(), Redacted::new("payments")),
                ("path".into(), Redacted::new("/pay")),
            ],
            count: 20_000,
            threshold: 10,
            window_seconds: 60,
            first_ms: FIRST,
            last_ms: FIRST + 12_000,
            at_ms: FIRST + 14_000,
            late: false,
            samples: vec![Redacted::new("POST /pay 502 12ms"), Redacted::new("Error: upstream\n    at pay (pay.js:3)")],
            dedup_key: "prod/payments/http_5xx_spike".into(),
            suggested_fix: None,
            dossier: None,
            incident: None,
            told_before: None,
            report: None,
            in_doubt: false,
            broadcast: false,
            first_day: None,
        }
    }

    fn facts(change: impl FnOnce(&mut Notice)) -> String {
        let mut notice = notice(NoticeKind::Opened);
        change(&mut notice);
        notice.facts("payments")
    }

    #[test]
    fn numbers_are_grouped_by_thousands() {
        let cases =
            [(0, "0"), (999, "999"), (1_000, "1,000"), (20_000, "20,000"), (u64::MAX, "18,446,744,073,709,551,615")];
        for (number, text) in cases {
            assert_eq!(thousands(number), text);
        }
    }

    #[test]
    fn the_facts_say_how_many_in_which_time_and_when() {
        assert_eq!(facts(|_| ()), "20,000 lines in 12 s (threshold 10 in 60 s), 14:03:01–14:03:13 UTC");
        assert_eq!(
            facts(|n| (n.count, n.threshold, n.last_ms) = (1, 1, n.first_ms)),
            "1 line (threshold 1 in 60 s), 14:03:01 UTC"
        );
        assert_eq!(
            facts(|n| (n.last_ms, n.window_seconds) = (n.first_ms + 300, 300)),
            "20,000 lines in under 1 s (threshold 10 in 5 min), 14:03:01 UTC"
        );
    }

    #[test]
    fn dates_stand_where_the_day_is_not_obvious() {
        assert_eq!(
            facts(|n| n.at_ms += DAY),
            "20,000 lines in 12 s (threshold 10 in 60 s), 2026-11-22 14:03:01 – 14:03:13 UTC"
        );
        assert_eq!(
            facts(|n| (n.first_ms, n.window_seconds) = (n.first_ms - DAY, 86_400)),
            "20,000 lines in 24 h (threshold 10 in 24 h), 2026-11-21 14:03:01 – 2026-11-22 14:03:13 UTC"
        );
    }

    #[test]
    fn a_backlog_is_told_as_one_and_not_as_a_flood() {
        assert_eq!(
            facts(|n| n.late = true),
            "20,000 late lines, 14:03:01 to 14:03:13 UTC: a backlog that came too late to count as now, not a current flood (threshold 10 in 60 s)"
        );
    }

    #[test]
    fn a_resolved_notice_says_how_long_it_was_quiet_and_the_total() {
        assert_eq!(
            facts(|n| n.kind = NoticeKind::Resolved),
            "quiet for a whole window (60 s); 20,000 lines in total, 14:03:01–14:03:13 UTC"
        );
    }

    #[test]
    fn no_data_is_never_called_a_recovery() {
        assert_eq!(
            facts(|n| (n.kind, n.at_ms) = (NoticeKind::NoData, n.at_ms + DAY)),
            "payments has sent nothing since 2026-11-22 14:03:13 UTC; this is not a recovery"
        );
    }

    #[test]
    fn a_repeat_in_doubt_says_that_it_may_be_one() {
        let text = facts(|n| n.in_doubt = true);
        assert!(text.ends_with(" UTC (may repeat: an earlier attempt may have arrived)"), "{text}");
    }

    #[test]
    fn absurd_times_still_make_a_message() {
        let text = facts(|n| (n.first_ms, n.last_ms, n.at_ms) = (i64::MIN, i64::MAX, 0));
        assert!(text.starts_with("20,000 lines in "), "{text}");
        let text = facts(|n| (n.first_ms, n.last_ms) = (i64::MAX, i64::MIN));
        assert!(text.starts_with("20,000 lines in under 1 s"), "{text}");
    }

    #[test]
    fn a_reminder_says_what_people_were_told_before() {
        assert_eq!(
            facts(|n| (n.kind, n.last_ms, n.told_before) = (NoticeKind::Reminder, n.first_ms + 1_900_000, Some(2_000))),
            "20,000 lines in 31 min, 2,000 when last told (threshold 10 in 60 s), 14:03:01–14:34:41 UTC"
        );
    }

    #[test]
    fn severities_are_read_in_any_case_and_nothing_else_is() {
        assert_eq!(Severity::parse(" Critical"), Some(Severity::Critical));
        assert_eq!(Severity::parse("info"), Some(Severity::Info));
        assert_eq!(Severity::parse("fatal"), None);
        assert_eq!(Severity::default(), Severity::Warning);
    }

    #[test]
    fn a_dossier_is_linked_where_it_can_be_and_else_named() {
        let public_url = Some("https://logs.example/ember".to_owned());
        let folder = Some(PathBuf::from("investigations"));
        let with = |public_url: &Option<String>, folder: &Option<PathBuf>| {
            Dossiers { public_url: public_url.clone(), folder: folder.clone() }.of(42)
        };
        let url = Some(Dossier::Url("https://logs.example/ember/investigations/E42".into()));
        assert_eq!(with(&public_url, &folder), url);
        assert_eq!(with(&public_url, &None), url);
        assert_eq!(with(&None, &folder), Some(Dossier::File("investigations/E42.md".into())));
        assert_eq!(with(&None, &None), None);
    }

    #[test]
    fn a_notice_comes_back_from_the_outbox_as_it_went_in() {
        let dossier = Some(Dossier::Url("https://logs.example/investigations/E42".into()));
        let notice = Notice { dossier, ..notice(NoticeKind::NoData) };
        let json = serde_json::to_string(&notice).expect("JSON");
        assert!(json.contains(r#""kind":"no_data""#), "{json}");
        assert!(json.contains(r#""severity":"critical""#), "{json}");
        assert_eq!(serde_json::from_str::<Notice>(&json).expect("JSON"), notice);
        let bytes = postcard::to_stdvec(&notice).expect("postcard");
        assert_eq!(postcard::from_bytes::<Notice>(&bytes).expect("postcard"), notice);
    }
}
