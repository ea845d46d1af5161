//! A message as its channel would show it: Slack's `mrkdwn` in rows of a terminal.

use super::row::{Ink, Row};
use super::slack::Shown;

/// Rows of quoted log lines that are shown of one message.
const QUOTED: usize = 3;

pub(super) fn rows(message: &Shown, columns: usize) -> Vec<Row> {
    let frame = || Row::of(Ink::Dim, if message.reply { "    ┃   " } else { "    ┃ " });
    let room = columns.saturating_sub(frame().columns());
    let head = if message.reply { "    ┃ Slack #alerts, in the thread" } else { "    ┏ Slack #alerts" };
    let mut rows = vec![Row::of(Ink::Dim, head)];
    let (mut inside, mut quoted) = (false, 0);
    for line in message.text.lines() {
        if line == "```" {
            inside = !inside;
            continue;
        }
        if inside {
            quoted += 1;
            if quoted <= QUOTED {
                let row = Row::of(Ink::Dim, "│ ").and(Ink::Plain, unescaped(line)).cut(room);
                rows.push(frame().then(row));
            }
            continue;
        }
        let ink = if rows.len() == 1 { Ink::Bold } else { Ink::Plain };
        rows.extend(spans(line, ink).wrapped(room, 2).into_iter().map(|row| frame().then(row)));
    }
    rows
}

/// Code spans get their own ink, links show what they are called.
fn spans(line: &str, ink: Ink) -> Row {
    let mut row = Row::new();
    for (place, piece) in line.split('`').enumerate() {
        let ink = if place % 2 == 1 { Ink::Cyan } else { ink };
        row = row.and(ink, unescaped(&named(piece)));
    }
    row
}

/// `<address|name>` as the name.
fn named(text: &str) -> String {
    let mut shown = String::new();
    let mut rest = text;
    while let Some((before, link)) = rest.split_once('<') {
        let Some((link, after)) = link.split_once('>') else { break };
        shown.push_str(before);
        shown.push_str(link.split_once('|').map_or(link, |(_, name)| name));
        rest = after;
    }
    shown + rest
}

fn unescaped(text: &str) -> String {
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str, reply: bool) -> String {
        let message = Shown { text: text.to_owned(), reply };
        rows(&message, 60).iter().map(|row| row.paint(false) + "\n").collect()
    }

    #[test]
    fn a_message_shows_its_words_its_links_names_and_some_of_what_it_quotes() {
        let text = "🔴 [E1] critical: `http_5xx_spike` · `web` in `demo`\n12 lines in 1 s (threshold 10 in 3 s), 16:40:01–16:40:02 UTC\nDossier: <http://x/E1|E1>\n```\na &lt;b&gt;\nb\nc\nd\n```";
        assert_eq!(
            shown(text, false),
            "    ┏ Slack #alerts
    ┃ 🔴 [E1] critical: http_5xx_spike · web in demo
    ┃ 12 lines in 1 s (threshold 10 in 3 s),
    ┃   16:40:01–16:40:02 UTC
    ┃ Dossier: E1
    ┃ │ a <b>
    ┃ │ b
    ┃ │ c
"
        );
        assert_eq!(shown("✅ [E1] resolved", true), "    ┃ Slack #alerts, in the thread\n    ┃   ✅ [E1] resolved\n");
    }
}
