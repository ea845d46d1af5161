//! A notice in words: for a person at a terminal, and for one in Slack.
//!
//! Both renderings are bounded, and both quote what is not ours. In front of
//! everything else stands [`quoted`]: control characters (a terminal obeys
//! them) and invisible or direction-changing ones (they make a line read as
//! something it is not) become `�`. For Slack, quoted text additionally stands
//! only in code spans and code blocks that it cannot close, and `& < >` are
//! escaped after cutting, so that no mention, link or half an entity comes out.

use std::{
    io::{self, Write},
    sync::{Arc, Mutex, PoisonError},
};

use tokio::task;

use super::{
    deliver::Sent,
    notice::{Dossier, Notice, NoticeKind, Severity, dossier_file},
};

/// Slack's advice is to stay below 4000; what it counts as one, we may count as five.
const SLACK_CHARS: usize = 3_400;
const MAX_SAMPLES: usize = 3;
const SAMPLE_BYTES: usize = 600;
const SAMPLE_LINES: usize = 6;
const NAME_BYTES: usize = 120;
/// Of a service or cluster in one line of many.
const LINE_NAME_CHARS: usize = 40;
const SENTENCE_BYTES: usize = 400;
const MAX_KEYS: usize = 4;
/// A terminal's 80 columns, less the indentation.
const COLUMNS: usize = 74;
const INDENT: &str = "      ";

/// Prints notices for a person to read.
pub struct Stdout {
    out: Arc<Mutex<Box<dyn Write + Send>>>,
    /// Only where it is a terminal.
    pub(super) colour: bool,
}

impl Stdout {
    /// `colour` only where `out` is a terminal.
    pub fn new(out: Box<dyn Write + Send>, colour: bool) -> Self {
        Self { out: Arc::new(Mutex::new(out)), colour }
    }

    /// Writes a message and flushes.
    pub async fn send(&self, text: &str) -> Sent {
        let text = text.to_owned();
        let out = Arc::clone(&self.out);
        // Off the async threads: a pipe that nobody reads blocks for ever, and
        // must not take a request's thread with it.
        let written = task::spawn_blocking(move || {
            // A panic inside a writer leaves at worst half a message.
            let mut out = out.lock().unwrap_or_else(PoisonError::into_inner);
            out.write_all(text.as_bytes())?;
            out.flush()
        })
        .await
        .unwrap_or_else(|panic| Err(io::Error::other(panic)));
        match written {
            Ok(()) => Sent::Done { thread: None },
            Err(fault) => {
                Sent::Retry { after: None, reason: format!("cannot write to standard output: {fault}"), in_doubt: true }
            }
        }
    }
}

/// The notice for a terminal: a few lines that fit 80 columns (an address of ours is not broken), then a blank
/// one.
pub fn plain(notice: &Notice, colour: bool) -> String {
    let mut text = String::new();
    let head = format!("{} {}", notice.mark(), notice.standing());
    let label = one_line(&notice.label, NAME_BYTES);
    if colour {
        let code = match (notice.kind, notice.severity) {
            (NoticeKind::Resolved, _) => "32",
            (NoticeKind::NoData, _) => "35",
            (_, Severity::Critical) => "31",
            (_, Severity::Warning) => "33",
            (_, Severity::Info) => "36",
        };
        text.push_str(&format!("\u{1b}[1;{code}m{head}\u{1b}[0m: {label}\n"));
    } else {
        text.push_str(&format!("{head}: {label}\n"));
    }

    let service = name(notice.service.as_str());
    let mut place = service.clone();
    if !notice.cluster.is_empty() {
        place.push_str(" in ");
        place.push_str(&name(notice.cluster.as_str()));
    }
    for key in keys(notice).chain(notice.together()) {
        place.push_str(", ");
        place.push_str(&key);
    }
    paragraph(&mut text, &place);
    paragraph(&mut text, &notice.facts(&service));
    paragraph(&mut text, &one_line(notice.summary.as_str(), SENTENCE_BYTES));
    for sample in samples(notice) {
        for row in quoted(sample, SAMPLE_BYTES, SAMPLE_LINES) {
            // Two columns for the bar; a long line is cut rather than wrapped,
            // so that a stack trace keeps its shape.
            let row = fitted(&row, COLUMNS - 2, plain_char);
            text.push_str(&format!("{INDENT}| {row}\n"));
        }
    }
    if let Some(fix) = fix(notice) {
        paragraph(&mut text, &format!("suggested fix: {fix}"));
    }
    if let Some(Dossier::Url(place) | Dossier::File(place)) = &notice.dossier {
        text.push_str(&format!("{INDENT}dossier: {place}\n"));
    }
    text.push('\n');
    text
}

/// The notice in Slack's `mrkdwn`, below 3500 characters whatever it quotes.
///
/// Plain text rather than blocks: it is the same for a bot and a webhook, it is
/// what notifications and searches show, and it fits in one limit.
pub fn slack(notice: &Notice) -> String {
    let emoji = sign(notice);
    let service = span(&name(notice.service.as_str()), NAME_BYTES);
    let mut text = format!(
        "{emoji} {} {}: {} · {service}",
        notice.mark(),
        notice.standing(),
        span(&one_line(&notice.label, NAME_BYTES), NAME_BYTES),
    );
    if !notice.cluster.is_empty() {
        text.push_str(" in ");
        text.push_str(&span(&name(notice.cluster.as_str()), NAME_BYTES));
    }
    for key in keys(notice) {
        text.push_str(" · ");
        text.push_str(&span(&key, NAME_BYTES));
    }
    if let Some(together) = notice.together() {
        text.push_str(" · ");
        text.push_str(&together);
    }
    text.push('\n');
    text.push_str(&notice.facts(&service));
    let summary = one_line(notice.summary.as_str(), SENTENCE_BYTES);
    if !summary.is_empty() {
        // A model may have written it, under the eyes of a log line: a span, too.
        text.push('\n');
        text.push_str(&span(&summary, SENTENCE_BYTES));
    }
    if let Some(fix) = fix(notice) {
        text.push_str("\nSuggested fix: ");
        text.push_str(&span(&fix, SENTENCE_BYTES));
    }
    match &notice.dossier {
        // Ours: the configuration lets no address through that could close the brackets.
        Some(Dossier::Url(url)) => {
            let mut escaped = String::with_capacity(url.len());
            url.chars().for_each(|c| slack_char(c, &mut escaped));
            text.push_str(&format!("\nDossier: <{escaped}|E{}>", notice.escalation));
        }
        // The path says nothing to who reads it there.
        Some(Dossier::File(_)) => text.push_str(&format!("\nDossier: `{}`", dossier_file(notice.escalation))),
        None => {}
    }
    fence(&mut text, &samples(notice));
    text
}

/// One line of a digest, in Slack's `mrkdwn`.
pub(super) fn slack_line(notice: &Notice) -> String {
    let short = |text: &str| span(text, LINE_NAME_CHARS);
    let mut place = short(&name(notice.service.as_str()));
    if !notice.cluster.is_empty() {
        place.push_str(&format!(" in {}", short(&name(notice.cluster.as_str()))));
    }
    let label = span(&one_line(&notice.label, NAME_BYTES), NAME_BYTES);
    format!("{} {} {}: {label} · {place}: {}", sign(notice), notice.mark(), notice.kind.in_a_word(), notice.counted())
}

/// The same for a terminal.
pub(super) fn plain_line(notice: &Notice) -> String {
    let mut place = name(notice.service.as_str());
    if !notice.cluster.is_empty() {
        place.push_str(&format!(" in {}", name(notice.cluster.as_str())));
    }
    let label = one_line(&notice.label, NAME_BYTES);
    format!("{} {}: {label}, {place}: {}", notice.mark(), notice.kind.in_a_word(), notice.counted())
}

fn sign(notice: &Notice) -> &'static str {
    match (notice.kind, notice.severity) {
        (NoticeKind::Resolved, _) => "✅",
        (NoticeKind::NoData, _) => "⚪",
        (_, Severity::Critical) => "🔴",
        (_, Severity::Warning) => "🟠",
        (_, Severity::Info) => "🔵",
    }
}

fn paragraph(text: &mut String, words: &str) {
    for row in wrapped(words) {
        text.push_str(&format!("{INDENT}{row}\n"));
    }
}

/// Puts the samples into one code block, in what is left of the message.
fn fence(text: &mut String, samples: &[&str]) {
    if samples.is_empty() {
        return;
    }
    text.push_str("\n```\n");
    let mut left = SLACK_CHARS.saturating_sub(text.chars().count());
    for (at, sample) in samples.iter().enumerate() {
        let share = left / (samples.len() - at);
        // A second line hangs under its first, so that one sees where a sample starts.
        let lines = quoted(sample, SAMPLE_BYTES, SAMPLE_LINES).join("\n  ");
        let shown = fitted(&lines, share.saturating_sub(1), slack_char);
        left = left.saturating_sub(shown.chars().count() + 1);
        text.push_str(&shown);
        text.push('\n');
    }
    text.push_str("```");
}

/// A code span of Slack, `max_chars` at most inside. Takes a single line.
fn span(line: &str, max_chars: usize) -> String {
    format!("`{}`", fitted(line, max_chars, slack_char))
}

/// As many characters as fit, each as `shown` writes it, never half of one.
fn fitted(text: &str, max_chars: usize, shown: fn(char, &mut String)) -> String {
    let mut fit = String::with_capacity(text.len());
    let mut used = 0;
    let mut left = text.chars().peekable();
    let mut piece = String::new();
    while let Some(next) = left.next() {
        piece.clear();
        shown(next, &mut piece);
        used += piece.chars().count();
        // The last place is kept for the mark that something is missing.
        let room = if left.peek().is_some() { max_chars.saturating_sub(1) } else { max_chars };
        if used > room {
            fit.push('…');
            break;
        }
        fit.push_str(&piece);
    }
    fit
}

fn plain_char(c: char, text: &mut String) {
    text.push(c);
}

/// Escapes what Slack interprets, and takes away what would close the code
/// around it: nothing escapes a backtick there, so a look-alike stands for it.
fn slack_char(c: char, text: &mut String) {
    match c {
        '&' => text.push_str("&amp;"),
        '<' => text.push_str("&lt;"),
        '>' => text.push_str("&gt;"),
        '`' => text.push('ˋ'),
        _ => text.push(c),
    }
}

/// Lines of text that is not ours, with nothing in them that a terminal or a
/// reader's eye would obey.
fn quoted(raw: &str, max_bytes: usize, max_lines: usize) -> Vec<String> {
    let raw = raw.trim_start_matches(['\r', '\n']).trim_end();
    let end = raw.floor_char_boundary(max_bytes);
    let mut rest = raw.get(..end).unwrap_or_default().lines();
    let mut lines: Vec<String> =
        rest.by_ref().take(max_lines).map(|line| line.chars().map(visible).collect()).collect();
    if (end < raw.len() || rest.next().is_some())
        && let Some(last) = lines.last_mut()
    {
        last.push('…');
    }
    lines
}

/// The same on a single line, with single blanks.
fn one_line(raw: &str, max_bytes: usize) -> String {
    let mut line = String::new();
    for word in quoted(raw, max_bytes, usize::MAX).iter().flat_map(|line| line.split_whitespace()) {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    line
}

fn name(raw: &str) -> String {
    let name = one_line(raw, NAME_BYTES);
    if name.is_empty() { "unknown".to_owned() } else { name }
}

/// The rest of the group's key, as `key=value`.
fn keys(notice: &Notice) -> impl Iterator<Item = String> {
    notice.other_keys().take(MAX_KEYS).map(|(key, value)| one_line(&format!("{key}={value}"), NAME_BYTES))
}

/// What was seen belongs to the news, not to its end.
fn samples(notice: &Notice) -> Vec<&str> {
    let told = match notice.kind {
        NoticeKind::Opened | NoticeKind::Again => MAX_SAMPLES,
        NoticeKind::Reminder | NoticeKind::Resolved | NoticeKind::NoData => 0,
    };
    let shown = notice.samples.iter().map(|sample| sample.as_str());
    shown.filter(|sample| !sample.trim().is_empty()).take(told).collect()
}

fn fix(notice: &Notice) -> Option<String> {
    let fix = one_line(notice.suggested_fix.as_ref()?.as_str(), SENTENCE_BYTES);
    let wanted = matches!(notice.kind, NoticeKind::Opened | NoticeKind::Again | NoticeKind::Reminder);
    (wanted && !fix.is_empty()).then_some(fix)
}

fn visible(c: char) -> char {
    match c {
        '\t' => ' ',
        // Soft hyphen, direction marks, embeddings, overrides and isolates,
        // zero widths (not the joiners, which scripts and emoji need), fillers,
        // line separators, annotation marks, tags.
        '\u{ad}'
        | '\u{61c}'
        | '\u{115f}'..='\u{1160}'
        | '\u{180e}'
        | '\u{200b}'
        | '\u{200e}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{3164}'
        | '\u{feff}'
        | '\u{ffa0}'
        | '\u{fff9}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e007f}' => '\u{fffd}',
        _ if c.is_control() => '\u{fffd}',
        _ => c,
    }
}

/// Rows of whole words; a word longer than a row is broken.
fn wrapped(words: &str) -> Vec<String> {
    let mut rows = Vec::new();
    let mut row = String::new();
    let mut width = 0;
    for word in words.split_whitespace() {
        let long = word.chars().count();
        if width > 0 && width + 1 + long > COLUMNS {
            rows.push(std::mem::take(&mut row));
            width = 0;
        }
        if width > 0 {
            row.push(' ');
            width += 1;
        }
        for c in word.chars() {
            if width == COLUMNS {
                rows.push(std::mem::take(&mut row));
                width = 0;
            }
            row.push(c);
            width += 1;
        }
    }
    if !row.is_empty() {
        rows.push(row);
    }
    rows
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::notice::tests::notice;
    use super::*;
    use crate::redact::Redacted;

    #[test]
    fn slack_reads_an_opened_escalation() {
        assert_eq!(
            slack(&notice(NoticeKind::Opened)),
            "\
🔴 [E42] critical: `http_5xx_spike` · `payments` in `prod` · `path=/pay`
20,000 lines in 12 s (threshold 10 in 60 s), 14:03:01–14:03:13 UTC
`5xx responses are spiking`
```
POST /pay 502 12ms
Error: upstream
      at pay (pay.js:3)
```"
        );
    }

    #[test]
    fn a_dossier_is_linked_or_named_after_all_that_is_quoted_in_a_line() {
        let mut notice = notice(NoticeKind::Opened);
        notice.samples.truncate(1);
        notice.dossier = Some(Dossier::Url("https://logs.example/ember/investigations/E42".into()));
        assert_eq!(
            slack(&notice),
            "\
🔴 [E42] critical: `http_5xx_spike` · `payments` in `prod` · `path=/pay`
20,000 lines in 12 s (threshold 10 in 60 s), 14:03:01–14:03:13 UTC
`5xx responses are spiking`
Dossier: <https://logs.example/ember/investigations/E42|E42>
```
POST /pay 502 12ms
```"
        );
        assert_eq!(
            plain(&notice, false),
            "\
[E42] critical: http_5xx_spike
      payments in prod, path=/pay
      20,000 lines in 12 s (threshold 10 in 60 s), 14:03:01–14:03:13 UTC
      5xx responses are spiking
      | POST /pay 502 12ms
      dossier: https://logs.example/ember/investigations/E42

"
        );
        notice.dossier = Some(Dossier::File("/var/lib/emberwatch/investigations/E42.md".into()));
        assert!(slack(&notice).contains("\n`5xx responses are spiking`\nDossier: `E42.md`\n```\n"));
        assert!(plain(&notice, false).contains("\n      dossier: /var/lib/emberwatch/investigations/E42.md\n\n"));
    }

    #[test]
    fn slack_reads_every_other_kind() {
        let mut again = notice(NoticeKind::Again);
        again.severity = Severity::Warning;
        again.in_doubt = true;
        again.suggested_fix = Some(Redacted::new("raise the pool's size"));
        again.samples.truncate(1);
        assert_eq!(
            slack(&again),
            "\
🟠 [E42] warning, firing again: `http_5xx_spike` · `payments` in `prod` · `path=/pay`
20,000 lines in 12 s (threshold 10 in 60 s), 14:03:01–14:03:13 UTC (may repeat: an earlier attempt may have arrived)
`5xx responses are spiking`
Suggested fix: `raise the pool's size`
```
POST /pay 502 12ms
```"
        );
        assert_eq!(
            slack(&notice(NoticeKind::Resolved)),
            "\
✅ [E42] resolved: `http_5xx_spike` · `payments` in `prod` · `path=/pay`
quiet for a whole window (60 s); 20,000 lines in total, 14:03:01–14:03:13 UTC
`5xx responses are spiking`"
        );
        assert_eq!(
            slack(&notice(NoticeKind::NoData)),
            "\
⚪ [E42] no data: `http_5xx_spike` · `payments` in `prod` · `path=/pay`
`payments` has sent nothing since 14:03:13 UTC; this is not a recovery
`5xx responses are spiking`"
        );
    }

    #[test]
    fn a_terminal_reads_an_opened_escalation() {
        let mut notice = notice(NoticeKind::Opened);
        notice.late = true;
        notice.suggested_fix = Some(Redacted::new("raise the pool's size"));
        assert_eq!(
            plain(&notice, false),
            "\
[E42] critical: http_5xx_spike
      payments in prod, path=/pay
      20,000 late lines, 14:03:01 to 14:03:13 UTC: a backlog that came too late
      to count as now, not a current flood (threshold 10 in 60 s)
      5xx responses are spiking
      | POST /pay 502 12ms
      | Error: upstream
      |     at pay (pay.js:3)
      suggested fix: raise the pool's size

"
        );
    }

    #[test]
    fn a_terminal_reads_every_other_kind() {
        let mut again = notice(NoticeKind::Again);
        again.summary = Redacted::default();
        again.cluster = Redacted::default();
        again.samples.clear();
        assert_eq!(
            plain(&again, false),
            "\
[E42] critical, firing again: http_5xx_spike
      payments, path=/pay
      20,000 lines in 12 s (threshold 10 in 60 s), 14:03:01–14:03:13 UTC

"
        );
        assert_eq!(
            plain(&notice(NoticeKind::Resolved), true),
            "\
\u{1b}[1;32m[E42] resolved\u{1b}[0m: http_5xx_spike
      payments in prod, path=/pay
      quiet for a whole window (60 s); 20,000 lines in total, 14:03:01–14:03:13
      UTC
      5xx responses are spiking

"
        );
        assert_eq!(
            plain(&notice(NoticeKind::NoData), false),
            "\
[E42] no data: http_5xx_spike
      payments in prod, path=/pay
      payments has sent nothing since 14:03:13 UTC; this is not a recovery
      5xx responses are spiking

"
        );
    }

    #[test]
    fn hostile_text_cannot_mention_link_or_leave_its_code_block() {
        let mut notice = notice(NoticeKind::Opened);
        notice.service = Redacted::new("a` <!channel> `b\nc");
        notice.summary = Redacted::new("<http://evil|docs> & \u{202e}gnp.exe");
        notice.samples = vec![Redacted::new("```\n<@U1> \u{1b}[2J\n```")];
        notice.group.clear();
        assert_eq!(
            slack(&notice),
            "\
🔴 [E42] critical: `http_5xx_spike` · `aˋ &lt;!channel&gt; ˋb c` in `prod`
20,000 lines in 12 s (threshold 10 in 60 s), 14:03:01–14:03:13 UTC
`&lt;http://evil|docs&gt; &amp; gnp.exe`
```
ˋˋˋ
  &lt;@U1&gt; 
  ˋˋˋ
```"
        );
        let text = plain(&notice, false);
        assert!(!text.contains(['\u{1b}', '\u{202e}']), "{text:?}");
    }

    #[test]
    fn a_long_sample_is_cut_in_bytes_lines_and_never_in_an_entity() {
        let mut notice = notice(NoticeKind::Opened);
        notice.samples = vec![
            Redacted::new(&"ä".repeat(5_000)),
            Redacted::new(&"line\n".repeat(50)),
            Redacted::new(&"<".repeat(5_000)),
            Redacted::new("a fourth"),
        ];
        let text = slack(&notice);
        assert!(text.contains(&format!("\n{}…\n", "ä".repeat(300))), "{text}");
        assert!(text.contains("\nline\n  line\n  line\n  line\n  line\n  line…\n&lt;"));
        assert!(text.ends_with("&lt;…\n```"), "{text}");
        assert!(!text.contains("a fourth"));
        assert!(text.chars().count() < 3_500);
    }

    #[tokio::test]
    async fn stdout_writes_what_plain_renders_and_a_broken_pipe_is_tried_again() {
        struct Shared(Arc<Mutex<Vec<u8>>>, bool);
        impl Write for Shared {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                if self.1 {
                    return Err(io::ErrorKind::BrokenPipe.into());
                }
                self.0.lock().expect("no writer panics").write(bytes)
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let written = Arc::new(Mutex::default());
        let notice = notice(NoticeKind::Opened);
        let sound = Stdout::new(Box::new(Shared(Arc::clone(&written), false)), false);
        assert_eq!(sound.send(&plain(&notice, false)).await, Sent::Done { thread: None });
        let text = written.lock().expect("no writer panics").clone();
        assert_eq!(String::from_utf8(text).as_ref(), Ok(&plain(&notice, false)));

        let broken = Stdout::new(Box::new(Shared(Arc::default(), true)), false);
        assert_eq!(
            broken.send(&plain(&notice, false)).await,
            Sent::Retry { after: None, reason: "cannot write to standard output: broken pipe".into(), in_doubt: true }
        );
    }

    fn any_kind() -> impl Strategy<Value = NoticeKind> {
        prop_oneof![
            Just(NoticeKind::Opened),
            Just(NoticeKind::Again),
            Just(NoticeKind::Resolved),
            Just(NoticeKind::NoData),
        ]
    }

    /// Text as an attacker would write it, and long enough to hit every limit.
    fn any_text() -> impl Strategy<Value = Redacted> {
        let piece = prop_oneof![
            Just("```".to_owned()),
            Just("<!here>".to_owned()),
            Just("&amp;".to_owned()),
            Just("\u{202e}\r\n\u{1b}]0;x\u{7}".to_owned()),
            "\\PC{0,40}",
            Just("&".repeat(700)),
        ];
        proptest::collection::vec(piece, 0..8).prop_map(|pieces| Redacted::new(&pieces.concat()))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn whatever_a_notice_quotes_stays_quoted_and_small(
            kind in any_kind(),
            late: bool,
            counts: [u64; 3],
            times: [i64; 3],
            texts in proptest::collection::vec(any_text(), 9),
        ) {
            let mut notice = notice(kind);
            notice.late = late;
            notice.in_doubt = true;
            [notice.count, notice.threshold, notice.window_seconds] = counts;
            [notice.first_ms, notice.last_ms, notice.at_ms] = times;
            notice.service = texts[0].clone();
            notice.cluster = texts[1].clone();
            notice.summary = texts[2].clone();
            notice.suggested_fix = Some(texts[3].clone());
            notice.group = vec![(texts[4].as_str().to_owned(), texts[5].clone()); 9];
            notice.samples = texts[5..].to_vec();

            let text = slack(&notice);
            prop_assert!(text.chars().count() < 3_500);
            prop_assert!(text.contains("[E42]") && text.contains("http_5xx_spike"));
            let obeyed = text.contains(['<', '>', '\u{202e}', '\u{1b}', '\r']);
            prop_assert!(!obeyed, "{:?}", text);
            for after in text.split('&').skip(1) {
                let whole = ["amp;", "lt;", "gt;"].iter().any(|entity| after.starts_with(entity));
                prop_assert!(whole, "{after}");
            }
            // Outside of the one block, code spans open and close on one line.
            let parts: Vec<&str> = text.split("```").collect();
            prop_assert!(parts.len() == 1 || (parts.len() == 3 && parts[2].is_empty()));
            for line in parts[0].lines() {
                prop_assert_eq!(line.matches('`').count() % 2, 0, "{}", line);
                prop_assert!(!line.contains("``"), "{}", line);
            }
            prop_assert!(!parts.get(1).is_some_and(|block| block.contains('`')));

            let text = plain(&notice, false);
            prop_assert!(text.contains("[E42]") && text.contains("http_5xx_spike"));
            prop_assert!(text.ends_with("\n\n") && text.len() < 8_000);
            let obeyed = text.contains(['\u{1b}', '\r', '\u{202e}']);
            prop_assert!(!obeyed, "{:?}", text);
            prop_assert!(text.lines().all(|line| line.chars().count() <= 80));
        }
    }
}
