//! The first look in words. Names are quoted as everywhere; all else is ours.

use super::{NAME_BYTES, SLACK_CHARS, fitted, name, one_line, paragraph, plain_char, span};
use crate::notify::first_day::{FirstDay, Listed};
use crate::notify::notice::thousands;

pub(super) const HEAD: &str = "First look";
/// Of one name in a list.
const NAME_CHARS: usize = 40;

pub(super) fn plain(report: &FirstDay, in_doubt: bool, colour: bool) -> String {
    let head = format!("{HEAD}: {}{}", report.headline(), doubt(in_doubt));
    let mut text = if colour { format!("\u{1b}[1;36m{head}\u{1b}[0m\n") } else { format!("{head}\n") };
    for told in report.told() {
        let quote = |text: &str| fitted(&name(text), NAME_CHARS, plain_char);
        paragraph(&mut text, &format!("{}{}", told.says, list(told.names, told.numbers, quote)));
        if !told.next.is_empty() {
            paragraph(&mut text, &format!("→ {}", told.next));
        }
    }
    text.push('\n');
    text
}

pub(super) fn slack(report: &FirstDay, in_doubt: bool) -> String {
    let mut text = format!("🔭 {HEAD}: {}{}", report.headline(), doubt(in_doubt));
    for told in report.told() {
        let quote = |text: &str| span(&one_line(&name(text), NAME_BYTES), NAME_CHARS);
        let mut line = format!("\n• {}{}", told.says, list(told.names, told.numbers, quote));
        if !told.next.is_empty() {
            line.push_str(&format!("\n    → {}", told.next));
        }
        // Six lists of eight names stay far below it; half of a line is none.
        if text.chars().count() + line.chars().count() <= SLACK_CHARS {
            text.push_str(&line);
        }
    }
    text
}

fn list(names: Option<&Listed>, numbers: bool, quote: impl Fn(&str) -> String) -> String {
    let Some(listed) = names else { return String::new() };
    let mut shown: Vec<String> = Vec::new();
    for (name, number) in &listed.shown {
        let number = if numbers { format!(" {}", thousands(*number)) } else { String::new() };
        shown.push(format!("{}{number}", quote(name.as_str())));
    }
    if listed.more() > 0 {
        shown.push(format!("{} more", thousands(listed.more())));
    }
    format!(" {}", shown.join(", "))
}

fn doubt(in_doubt: bool) -> &'static str {
    if in_doubt { " (may repeat: an earlier attempt may have arrived)" } else { "" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::notice::Notice;

    fn report() -> FirstDay {
        let listed = |names: &[(&str, u64)]| Listed::of(names.iter().map(|(name, n)| ((*name).to_owned(), *n)));
        FirstDay {
            seconds: 600,
            lines: 61_204,
            services: Listed::of((0..9).map(|n| (format!("service-{n}"), 9_000 - n * 1_000))),
            nameless: listed(&[("unknown", 412), ("<!channel>`x`", 3)]),
            plain: listed(&[("mail", 300)]),
            rejected: 12,
            kinds: 31,
            counted: listed(&[("http_5xx_spike", 4)]),
            quiet: listed(&[("error_burst", 0), ("fatal", 0)]),
        }
    }

    #[test]
    fn slack_reads_the_first_look() {
        let notice = Notice::first_day(report(), 1_795_356_195_250);
        assert_eq!(
            super::super::slack(&notice),
            "\
🔭 First look: 9 services seen, 2 without metadata, 1 format not understood
• 61,204 lines in 10 min, of 31 kinds; services: `service-0` 9,000, `service-1` 8,000, `service-2` 7,000, `service-3` 6,000, `service-4` 5,000, `service-5` 4,000, `service-6` 3,000, `service-7` 2,000, 1 more
• without a name or a cluster: `unknown` 412, `&lt;!channel&gt;ˋxˋ` 3
    → their tasks need FireLens metadata, or name them with [record] (docs/records.md)
• mostly in no form that is known: `mail` 300
    → watches can only search their text; a level in it, or JSON, makes them sharper (docs/records.md)
• 12 lines are no record at all
    → GET /quarantine shows them, who sent them, and why
• watches that counted something: `http_5xx_spike` 4
• quiet, and watching: `error_burst`, `fatal`
• this message comes once
    → watches of your own are a few lines each: docs/watches.md has recipes"
        );
    }

    #[test]
    fn a_terminal_reads_the_first_look_in_80_columns() {
        let mut notice = Notice::first_day(report(), 1_795_356_195_250);
        let text = super::super::plain(&notice, false);
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        assert!(
            text.starts_with(
                "\
First look: 9 services seen, 2 without metadata, 1 format not understood
      61,204 lines in 10 min, of 31 kinds; services: service-0 9,000, service-1
      8,000, service-2 7,000, service-3 6,000, service-4 5,000, service-5 4,000,
      service-6 3,000, service-7 2,000, 1 more
      without a name or a cluster: unknown 412, <!channel>`x` 3
      → their tasks need FireLens metadata, or name them with [record]
"
            ),
            "{text}"
        );
        notice.in_doubt = true;
        assert!(super::super::plain(&notice, false).lines().next().is_some_and(|l| l.contains("may repeat")));
    }

    #[test]
    fn what_is_not_there_is_not_told_and_no_name_makes_the_message_too_long() {
        let few = FirstDay { services: report().services, lines: 1, seconds: 61, ..FirstDay::default() };
        let text = slack(&few, false);
        assert!(text.starts_with("🔭 First look: 9 services seen\n• 1 line in 61 s, of 0 kinds; services:"), "{text}");
        assert_eq!(text.lines().count(), 4, "{text}");
        let long = Listed::of((0..500).map(|n| (format!("{n}{}", "<".repeat(300)), n)));
        let all = FirstDay {
            services: long.clone(),
            nameless: long.clone(),
            plain: long.clone(),
            counted: long.clone(),
            quiet: long,
            ..report()
        };
        let text = slack(&all, true);
        assert!(text.chars().count() <= SLACK_CHARS && !text.contains('<'), "{}", text.chars().count());
    }
}
