//! A notice in words: for a person at a terminal, and for one in Slack.
//!
//! Both renderings are bounded, and both quote what is not ours. In front of
//! everything else stands [`quoted`]: control characters (a terminal obeys
//! them) and invisible or direction-changing ones (they make a line read as
//! something it is not) become `�`. For Slack, quoted text additionally stands
//! only in code spans and code blocks that it cannot close, and `& < >` are
//! escaped after cutting, so that no mention, link or half an entity comes out.

mod first_day;
mod report;

use super::notice::{Dossier, Notice, NoticeKind, Severity, dossier_file};

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

/// The notice for a terminal: a few lines that fit 80 columns (an address of ours is not broken), then a blank
/// one.
pub fn plain(notice: &Notice, colour: bool) -> String {
    if let Some(report) = &notice.first_day {
        return first_day::plain(report, notice.in_doubt, colour);
    }
    let mut text = String::new();
    let head = format!("{} {}", notice.mark(), notice.standing());
    let label = one_line(&notice.label, NAME_BYTES);
    if colour {
        let code = match (notice.kind, notice.severity) {
            (NoticeKind::Resolved, _) => "32",
            (NoticeKind::NoData, _) => "35",
            (NoticeKind::Report, _) => report::colour(notice),
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
    if let Some(told) = &notice.report {
        report::plain(&mut text, notice, told);
        return text;
    }
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
    if let Some(report) = &notice.first_day {
        return first_day::slack(report, notice.in_doubt);
    }
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
    if let Some(told) = &notice.report {
        report::slack(&mut text, notice, told);
        return text;
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
    if let Some(report) = &notice.first_day {
        return format!("🔭 {}: {}", first_day::HEAD, report.headline());
    }
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
    if let Some(report) = &notice.first_day {
        return format!("{}: {}", first_day::HEAD, report.headline());
    }
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
        (NoticeKind::Report, _) => report::sign(notice),
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
        NoticeKind::Reminder
        | NoticeKind::Resolved
        | NoticeKind::NoData
        | NoticeKind::FirstDay
        | NoticeKind::Report => 0,
    };
    let shown = notice.samples.iter().map(|sample| sample.as_str());
    shown.filter(|sample| !sample.trim().is_empty()).take(told).collect()
}

fn fix(notice: &Notice) -> Option<String> {
    let fix = one_line(notice.suggested_fix.as_ref()?.as_str(), SENTENCE_BYTES);
    let wanted = matches!(notice.kind, NoticeKind::Opened | NoticeKind::Again | NoticeKind::Reminder);
    (wanted && !fix.is_empty()).then_some(fix)
}

/// The same, unless it moves a terminal's cursor, turns a row's direction or is not seen at all.
pub fn visible(c: char) -> char {
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
mod tests;
