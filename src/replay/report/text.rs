//! The report for people: what they look for first stands first, at 80 columns; colour only where it is seen.

use super::{OfKind, OfService, OfWatch, Report};
use crate::notify::deliver::Message;
use crate::notify::text;
use crate::record::level::Level;
use crate::replay::words::{bytes, fitted, lasting, many, moment, shell, thousands, visible, window};
use crate::watch::rule::OnCrossing;

/// Rows of one table.
const ROWS: usize = 12;
/// Kinds of each list.
const KINDS: usize = 10;
/// Messages in full by default, and lines of those beyond.
pub const MESSAGES: usize = 12;
const BRIEF: usize = 20;
const COLUMNS: usize = 80;

pub struct Manner {
    pub colour: bool,
    /// Messages in full.
    pub messages: usize,
}

struct Page<'m> {
    text: String,
    /// Whose a kind is needs to be said.
    many_services: bool,
    manner: &'m Manner,
}

pub fn render(report: &Report, manner: &Manner) -> String {
    let mut page = Page { text: String::new(), many_services: false, manner };
    page.head(report);
    if report.lines > 0 {
        page.services(report);
        page.kinds(report);
        page.messages(report);
        page.quiet(report);
    }
    page.not_understood(report);
    page.next(report);
    page.text
}

impl Page<'_> {
    fn line(&mut self, text: &str) {
        self.text.push_str(text.trim_end());
        self.text.push('\n');
    }

    /// Words in rows that fit, the later ones under the first.
    fn wrapped(&mut self, indent: &str, hang: &str, words: &str) {
        let mut row = indent.to_owned();
        let mut empty = true;
        for word in words.split_whitespace() {
            if !empty && row.chars().count() + 1 + word.chars().count() > COLUMNS {
                self.line(&row);
                row = hang.to_owned();
                empty = true;
            }
            if !empty {
                row.push(' ');
            }
            row.push_str(word);
            empty = false;
        }
        self.line(&row);
    }

    fn title(&mut self, text: &str) {
        self.line("");
        let title = self.painted("1", text);
        self.line(&title);
    }

    fn painted(&self, code: &str, text: &str) -> String {
        if self.manner.colour { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }

    fn head(&mut self, report: &Report) {
        let packed = if report.disk_bytes > 0 && report.disk_bytes < report.read_bytes {
            format!(" ({} on disk)", bytes(report.disk_bytes))
        } else {
            String::new()
        };
        let files = many(report.files as u64, "file", "files");
        let lines = many(report.lines, "line", "lines");
        let head = format!("{lines} of {files}, {}{packed}", bytes(report.read_bytes));
        let head = self.painted("1", &head);
        self.line(&head);
        match report.span_ms {
            Some((first, last)) => {
                let lasts = lasting(last.saturating_sub(first));
                self.line(&format!("{} to {} UTC ({lasts})", moment(first), moment(last)));
            }
            None if report.outside > 0 => self.line("No line is between --since and --until."),
            None => self.line("Nothing to read: there is no line."),
        }
        if report.outside > 0 {
            self.line(&format!("{} outside --since and --until are left out", many(report.outside, "line", "lines")));
        }
        if report.interrupted {
            let files = many(report.unread, "file was", "files were");
            let early = self.painted("33", &format!("Stopped early: {files} not read to the end."));
            self.line(&early);
        }
        self.times(report);
    }

    /// What to know of the clock before anything is believed.
    fn times(&mut self, report: &Report) {
        let timeless: Vec<&super::TimeOddity> = report.timeless().collect();
        if let Some(first) = timeless.first() {
            let lines: u64 = timeless.iter().map(|odd| odd.timeless).sum();
            let others = timeless.len() - 1;
            let and = if others > 0 {
                format!(" and {}", many(others as u64, "other file", "other files"))
            } else {
                String::new()
            };
            self.wrapped(
                "note: ",
                "  ",
                &format!(
                    "no line of {}{and} tells when it was written. All {} count as one moment, when the file was last \
                     written: kinds and levels are right, rates and thresholds are not.",
                    first.file,
                    thousands(lines)
                ),
            );
        }
        let some: u64 = report.oddities.iter().filter(|odd| odd.timed > 0).map(|odd| odd.timeless).sum();
        if some * 10 > report.lines {
            self.wrapped(
                "note: ",
                "  ",
                &format!("{} without a time have that of the line before.", many(some, "line", "lines")),
            );
        }
        let ahead: u64 = report.oddities.iter().map(|odd| odd.ahead).sum();
        if ahead > 0 {
            self.wrapped(
                "note: ",
                "  ",
                &format!(
                    "{} far ahead of both neighbours: the time of the line before was taken.",
                    many(ahead, "time lies", "times lie")
                ),
            );
        }
        if let Some(odd) = report.oddities.iter().filter(|odd| odd.backwards > 0).max_by_key(|odd| odd.backwards) {
            let rest = report.oddities.iter().filter(|odd| odd.backwards > 0).count() - 1;
            let and = if rest > 0 {
                format!(" (and in {})", many(rest as u64, "other file", "other files"))
            } else {
                String::new()
            };
            self.wrapped(
                "note: ",
                "  ",
                &format!(
                    "in {} time runs back by more than 15 minutes, {}{and}. Such lines count at their own time, but what \
                     was told before is not told again. Is it several files in one? Give them one by one.",
                    odd.file,
                    many(odd.backwards, "time", "times")
                ),
            );
        }
        if report.held_up > 0 {
            self.wrapped(
                "note: ",
                "  ",
                "more files overlap in time than are read at once; some lines came late. Replay fewer files.",
            );
        }
    }

    fn services(&mut self, report: &Report) {
        let title = match report.services.len() {
            1 => "SERVICES".to_owned(),
            count => format!("SERVICES: {}", thousands(count as u64)),
        };
        self.title(&title);
        self.line(&format!("  {:<28} {:>11} {:>6} {:>7} {:>7}  form", "", "lines", "fatal", "error", "warn"));
        for service in report.services.iter().take(ROWS) {
            self.service(service);
        }
        let rest = report.services.get(ROWS..).unwrap_or_default();
        if !rest.is_empty() {
            let lines: u64 = rest.iter().map(|service| service.lines).sum();
            self.line(&format!("  and {} more with {}", rest.len(), many(lines, "line", "lines")));
        }
        let mut levels = Vec::new();
        for (level, count) in Level::ALL.iter().zip(report.levels).rev().filter(|(_, count)| *count > 0) {
            levels.push(format!("{} {}", level.as_str(), thousands(count)));
        }
        let unsaid = report.levels.last().copied().unwrap_or(0);
        if unsaid > 0 {
            levels.push(format!("none said {}", thousands(unsaid)));
        }
        self.wrapped("  levels: ", "    ", &levels.join(", "));
    }

    fn service(&mut self, service: &OfService) {
        let place = match service.cluster.is_empty() {
            true => service.name.as_str().to_owned(),
            false => format!("{} in {}", service.name, service.cluster),
        };
        let of = |level: Level| match service.levels.get(level as usize) {
            Some(0) | None => "-".to_owned(),
            Some(count) => thousands(*count),
        };
        let form = match service.formats.as_slice() {
            [] => "",
            [(name, _), ..] => name,
        };
        let more = if service.formats.len() > 1 { format!(" +{}", service.formats.len() - 1) } else { String::new() };
        self.line(&format!(
            "  {:<28} {:>11} {:>6} {:>7} {:>7}  {}",
            fitted(&place, 28),
            thousands(service.lines),
            of(Level::Fatal),
            of(Level::Error),
            of(Level::Warn),
            fitted(&format!("{form}{more}"), 13),
        ));
    }

    fn kinds(&mut self, report: &Report) {
        if report.kinds == 0 {
            return;
        }
        self.title(&format!("KINDS OF LINES: {} (values masked), the most frequent", thousands(report.kinds)));
        self.many_services = report.services.len() > 1;
        for kind in report.frequent.iter().take(KINDS) {
            self.kind(kind, None);
        }
        if !report.new.is_empty() {
            self.line("");
            self.line("  first seen after the first tenth of the time, at warn or above");
            for kind in report.new.iter().take(KINDS) {
                self.kind(kind, Some(kind.first_ms));
            }
            if report.new.len() > KINDS {
                self.line(&format!("  and {} more", report.new.len() - KINDS));
            }
        }
    }

    fn kind(&mut self, kind: &OfKind, since_ms: Option<i64>) {
        let level = format!("{:<5}", kind.level.as_str());
        let level = match kind.level {
            Level::Fatal | Level::Error => self.painted("31", &level),
            Level::Warn => self.painted("33", &level),
            _ => level,
        };
        let since = since_ms.map(|at| format!("{}  ", moment(at))).unwrap_or_default();
        let service =
            if self.many_services { format!("{}  ", fitted(kind.service.as_str(), 14)) } else { String::new() };
        let room = COLUMNS - 2 - since.chars().count() - 9 - 2 - 5 - 2 - service.chars().count();
        let template = fitted(kind.template.as_str(), room);
        self.line(&format!("  {since}{:>9}  {level}  {service}{template}", thousands(kind.count)));
    }

    fn messages(&mut self, report: &Report) {
        let told: usize = report.said.len() + report.unshown as usize;
        if told == 0 {
            self.title("WHAT IT WOULD HAVE SENT: nothing");
            return;
        }
        let mut told_of: Vec<u64> = Vec::new();
        for said in &report.said {
            match &said.message {
                Message::One(notice) => told_of.push(notice.escalation),
                Message::Many(digest) => told_of.extend(digest.notices.iter().map(|notice| notice.escalation)),
            }
        }
        told_of.sort_unstable();
        told_of.dedup();
        let escalations = told_of.len() as u64;
        let about = many(escalations, "escalation", "escalations");
        self.title(&format!("WHAT IT WOULD HAVE SENT: {} about {about}", many(told as u64, "message", "messages")));
        for said in report.said.iter().take(self.manner.messages) {
            self.line("");
            let at = self.painted("2", &format!("{} UTC", moment(said.at_ms)));
            self.line(&at);
            let text = match &said.message {
                Message::One(notice) => text::plain(notice, self.manner.colour),
                Message::Many(digest) => digest.plain(),
            };
            self.text.push_str(text.trim_end());
            self.text.push('\n');
        }
        let rest = report.said.get(self.manner.messages..).unwrap_or_default();
        if !rest.is_empty() {
            self.line("");
            self.line("  then, in short (--messages N shows more of them in full)");
            for said in rest.iter().take(BRIEF) {
                let row = match &said.message {
                    Message::One(notice) => {
                        format!(
                            "{} {}: {}, {}, {}",
                            notice.mark(),
                            notice.standing(),
                            notice.label,
                            notice.service,
                            notice.counted()
                        )
                    }
                    Message::Many(digest) => {
                        format!("{} in one message", many(digest.notices.len() as u64, "escalation", "escalations"))
                    }
                };
                self.line(&format!("  {}  {}", moment(said.at_ms), fitted(&row, COLUMNS - 23)));
            }
            let more = (rest.len().saturating_sub(BRIEF)) as u64 + report.unshown;
            if more > 0 {
                self.line(&format!("  and {} more (--json has up to 2,000 messages)", thousands(more)));
            }
        }
        let firing: Vec<String> = report
            .escalations
            .iter()
            .filter(|e| e.firing > 0 && told_of.binary_search(&e.id).is_ok())
            .map(|e| format!("E{} {}", e.id, e.label))
            .collect();
        if !firing.is_empty() {
            self.line("");
            let shown = firing.iter().take(ROWS).cloned().collect::<Vec<_>>().join(", ");
            let more = if firing.len() > ROWS { format!(" and {} more", firing.len() - ROWS) } else { String::new() };
            self.wrapped("  still firing at the end: ", "    ", &format!("{shown}{more}"));
        }
    }

    fn quiet(&mut self, report: &Report) {
        self.title("WHAT IT KEPT QUIET, AND WHY");
        let (ours, proposed): (Vec<&OfWatch>, Vec<&OfWatch>) =
            report.watches.iter().partition(|watch| !watch.origin.is_proposed());
        let below: Vec<&&OfWatch> = ours.iter().filter(|watch| watch.crossed == 0).collect();
        if !below.is_empty() {
            self.line("  below the threshold");
        }
        for watch in below.iter().take(ROWS * 2) {
            self.below(watch);
        }
        let unbelieved: Vec<String> = report
            .unbelieved
            .iter()
            .map(|of| format!("{} ({}, {})", of.label, of.service, many(of.count, "line", "lines")))
            .collect();
        if !unbelieved.is_empty() {
            let shown = unbelieved.iter().take(ROWS).cloned().collect::<Vec<_>>().join(", ");
            let more =
                if unbelieved.len() > ROWS { format!(" and {} more", unbelieved.len() - ROWS) } else { String::new() };
            self.wrapped(
                "  ",
                "    ",
                &format!("would tell only if lines without a time had come at once: {shown}{more}"),
            );
        }
        let logged: Vec<&&OfWatch> =
            ours.iter().filter(|w| w.crossed > 0 && w.on_crossing == OnCrossing::Log).collect();
        for watch in logged {
            self.wrapped(
                "  only logged: ",
                "    ",
                &format!("{} crossed {} (on_crossing = log)", watch.label, times(watch.crossed)),
            );
        }
        let again: Vec<String> = report
            .escalations
            .iter()
            .filter(|e| e.crossings > 1)
            .map(|e| format!("E{} {} crossed {}", e.id, e.label, times(e.crossings)))
            .collect();
        if !again.is_empty() {
            let shown = again.iter().take(ROWS).cloned().collect::<Vec<_>>().join(", ");
            let more = if again.len() > ROWS { format!(" and {} more", again.len() - ROWS) } else { String::new() };
            self.wrapped("  told already (same trouble, no new number): ", "    ", &format!("{shown}{more}"));
        }
        let covered: Vec<String> = report
            .escalations
            .iter()
            .filter(|e| !e.also.is_empty())
            .map(|e| format!("{} by E{}", e.also.join(", "), e.id))
            .collect();
        if !covered.is_empty() {
            self.wrapped("  covered: ", "    ", &covered.into_iter().take(ROWS).collect::<Vec<_>>().join("; "));
        }
        let held = report.escalations.iter().filter(|e| e.held).count();
        if held > 0 {
            let what = many(held as u64, "escalation of triage's own", "escalations of triage's own");
            self.wrapped("  held back: ", "    ", &format!("{what}, more than triage.messages_per_hour"));
        }
        self.triage(report, &proposed);
    }

    fn below(&mut self, watch: &OfWatch) {
        let text = if watch.matched == 0 {
            format!("{}: no line matched", watch.label)
        } else {
            let group: Vec<&str> = watch.group.iter().map(|v| v.as_str()).filter(|v| !v.is_empty()).collect();
            let of = if group.is_empty() { String::new() } else { format!(" ({})", group.join(", ")) };
            format!(
                "{}: at most {} of {} in {}{of} at {}; {} in all",
                watch.label,
                thousands(watch.most),
                thousands(watch.threshold),
                window(watch.window_seconds),
                moment(watch.most_ms),
                many(watch.matched, "line", "lines"),
            )
        };
        self.wrapped("    ", "      ", &text);
    }

    fn triage(&mut self, report: &Report, proposed: &[&OfWatch]) {
        if report.kinds == 0 {
            return;
        }
        let of = |name: &str| report.decided.get(name).copied().unwrap_or(0);
        let sum: u64 = report.decided.values().sum();
        self.wrapped(
            "  triage (built in, no model): ",
            "    ",
            &format!(
                "{} judged: {} ignored, {} given a watch, {} escalated at once, {} counted by other watches",
                many(sum, "kind", "kinds"),
                thousands(of("ignore")),
                thousands(of("watch")),
                thousands(of("investigate")),
                thousands(of("covered") + of("counted")),
            ),
        );
        let mut nearest: Vec<&&OfWatch> =
            proposed.iter().filter(|watch| watch.crossed == 0 && watch.most > 0).collect();
        nearest.sort_by(|a, b| {
            (b.most as f64 / b.threshold.max(1) as f64)
                .total_cmp(&(a.most as f64 / a.threshold.max(1) as f64))
                .then_with(|| a.label.cmp(&b.label))
        });
        if !nearest.is_empty() {
            self.line("  triage's own watches that came nearest");
            for watch in nearest.iter().take(5) {
                self.below(watch);
            }
        }
        if !report.ignored.is_empty() {
            self.line("  ignored at warn or above: it names no failure, or too few were refused for a flood");
            for kind in report.ignored.iter().take(5) {
                self.kind(kind, None);
            }
            if report.ignored.len() > 5 {
                self.line(&format!("  and {} more", report.ignored.len() - 5));
            }
        }
    }

    fn not_understood(&mut self, report: &Report) {
        let rejected: u64 = report.rejected.iter().map(|(_, count)| count).sum();
        let plain = report.plain > 0 && report.plain * 20 > report.lines;
        if rejected == 0 && report.passed.is_empty() && report.cut == 0 && !plain {
            return;
        }
        self.title("WHAT WAS NOT UNDERSTOOD");
        if plain {
            let part = report.plain as f64 * 100.0 / report.lines.max(1) as f64;
            let of: Vec<String> = report
                .services
                .iter()
                .filter(|service| service.plain > 0)
                .take(3)
                .map(|service| fitted(service.name.as_str(), 30))
                .collect();
            self.wrapped(
                "  ",
                "    ",
                &format!(
                    "{} ({part:.0} %) are plain text that says no level ({}): they count as info",
                    many(report.plain, "line", "lines"),
                    of.join(", ")
                ),
            );
        }
        for (reason, count) in &report.rejected {
            self.line(&format!("  {}: {}", many(*count, "line rejected", "lines rejected"), reason));
            for sample in report.samples.iter().filter(|sample| sample.reason == *reason).take(2) {
                self.line(&format!("    | {}", fitted(sample.sample.as_str(), COLUMNS - 6)));
            }
        }
        if report.cut > 0 {
            self.wrapped(
                "  ",
                "    ",
                &format!(
                    "{} longer than ingest.max_line_bytes: read by their heads",
                    many(report.cut, "line is", "lines are")
                ),
            );
        }
        for passed in report.passed.iter().take(ROWS) {
            self.wrapped("  ", "    ", &format!("{}: {}", passed.file, passed.why));
        }
        if report.passed.len() > ROWS {
            self.line(&format!("  and {} more files not read, or not to their end", report.passed.len() - ROWS));
        }
    }

    /// One or two commands that lead on from here.
    fn next(&mut self, report: &Report) {
        let inputs = report.inputs.iter().map(|path| shell(&visible(&path.display().to_string()))).collect::<Vec<_>>();
        let inputs = match inputs.as_slice() {
            [] => String::new(),
            [one] => one.clone(),
            [one, ..] => format!("{one} …"),
        };
        self.title("NEXT");
        if report.lines == 0 {
            self.wrapped("  ", "    ", "Name files that hold lines: emberwatch replay --help has examples.");
            return;
        }
        let unnamed = report.services.iter().any(|s| matches!(s.name.as_str(), "unknown" | "stdin"));
        if unnamed {
            self.wrapped("  ", "    ", &format!("emberwatch replay --service NAME {inputs}"));
            self.line("    says which service the lines are of");
        }
        let near = report
            .watches
            .iter()
            .filter(|w| w.crossed == 0 && w.most > 0 && !w.origin.is_proposed())
            .max_by(|a, b| (a.most as f64 / a.threshold as f64).total_cmp(&(b.most as f64 / b.threshold as f64)));
        match near {
            // Far below, another threshold is no better one.
            Some(watch) if !report.tried && watch.most > 1 && watch.most * 3 >= watch.threshold => {
                self.wrapped("  ", "    ", &format!("emberwatch replay --rules rules.toml {inputs}"));
                self.line(&format!(
                    "    tries rules of yours; {} would cross with threshold = {}",
                    watch.label, watch.most
                ));
            }
            _ => {
                self.wrapped("  ", "    ", &format!("emberwatch replay --rules rules.toml {inputs}"));
                self.line("    tries other rules on the same lines");
            }
        }
        self.line("  emberwatch serve");
        self.line("    watches what comes from now on");
    }
}

fn times(count: u64) -> String {
    match count {
        1 => "once".to_owned(),
        2 => "twice".to_owned(),
        _ => format!("{} times", thousands(count)),
    }
}
