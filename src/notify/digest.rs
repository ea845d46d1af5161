//! Many messages in one: when more come than anybody reads, or the day's budget of a channel is used up.
//!
//! Each escalation has a line with its mark and label, the gravest first. What was taken in is as good as told.

use serde::{Deserialize, Serialize};

use super::notice::{Notice, NoticeKind, Severity, thousands};
use super::text;

/// Most lines of one digest.
pub const LINES_MAX: usize = 40;
/// Below the limit of one message, with room for what stands above and under the lines.
const CHARS_MAX: usize = 3_000;

/// Why many are told in one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Why {
    /// More waited than this (`notify.coalesce_after`).
    Many(usize),
    /// So many have been sent today (`notify.messages_per_day`).
    Budget(u64),
}

/// One message that stands for many.
#[derive(Clone, Debug, PartialEq)]
pub struct Digest {
    pub why: Why,
    /// The last word about each escalation.
    pub notices: Vec<Notice>,
    /// Escalations that it stands for and does not list.
    pub unlisted: usize,
    /// How many of them are critical.
    pub unlisted_critical: usize,
    /// An earlier attempt at some of it may have arrived.
    pub in_doubt: bool,
}

impl Digest {
    /// Takes the last notice of each escalation, in the order in which they came; lists what fits, the gravest first.
    pub fn new(why: Why, in_order: impl Iterator<Item = Notice>) -> Digest {
        let mut notices: Vec<Notice> = Vec::new();
        let mut places = std::collections::HashMap::new();
        let mut in_doubt = false;
        for notice in in_order {
            in_doubt |= notice.in_doubt;
            match places.get(&notice.escalation).and_then(|place: &usize| notices.get_mut(*place)) {
                Some(held) => *held = notice,
                None => {
                    places.insert(notice.escalation, notices.len());
                    notices.push(notice);
                }
            }
        }
        notices.sort_by_key(|n| (std::cmp::Reverse(n.severity), n.escalation));
        let listed = fitting(notices.iter());
        let unlisted = notices.split_off(listed);
        let critical = unlisted.iter().filter(|n| n.severity == Severity::Critical).count();
        Digest { why, notices, unlisted: unlisted.len(), unlisted_critical: critical, in_doubt }
    }

    fn head(&self) -> String {
        let all = self.notices.len() + self.unlisted;
        let critical =
            self.notices.iter().filter(|n| n.severity == Severity::Critical).count() + self.unlisted_critical;
        let escalations =
            if all == 1 { "escalation".to_owned() } else { format!("{} escalations", thousands(all as u64)) };
        let grave = if critical > 0 { format!(", {} critical", thousands(critical as u64)) } else { String::new() };
        let mut head = match self.why {
            Why::Many(most) => {
                format!("{escalations} in one message{grave}: more than {most} were waiting (notify.coalesce_after)")
            }
            Why::Budget(most) => format!(
                "{escalations} in one message{grave}: today's {} messages are used up (notify.messages_per_day)",
                thousands(most)
            ),
        };
        if self.in_doubt {
            head.push_str(" (may repeat: an earlier attempt may have arrived)");
        }
        head
    }

    fn tail(&self) -> Option<String> {
        let more = thousands(self.unlisted as u64);
        (self.unlisted > 0).then(|| format!("and {more} more: see GET /escalations and the file of alerts"))
    }

    /// In Slack's `mrkdwn`.
    pub fn slack(&self) -> String {
        let lines = self.notices.iter().map(text::slack_line);
        let all = std::iter::once(format!("📋 {}", self.head())).chain(lines).chain(self.tail());
        all.collect::<Vec<_>>().join("\n")
    }

    /// For a terminal.
    pub fn plain(&self) -> String {
        let lines = self.notices.iter().map(|n| format!("      {}", text::plain_line(n)));
        let all = std::iter::once(self.head()).chain(lines).chain(self.tail().map(|tail| format!("      {tail}")));
        all.collect::<Vec<_>>().join("\n") + "\n\n"
    }
}

/// How many of them fit into one digest.
pub fn fitting<'a>(notices: impl Iterator<Item = &'a Notice>) -> usize {
    let mut chars = 0;
    let fits = |notice: &&Notice| {
        chars += text::slack_line(notice).chars().count() + 1;
        chars <= CHARS_MAX
    };
    notices.take(LINES_MAX).take_while(fits).count()
}

impl NoticeKind {
    /// How a line of a digest says it.
    pub(super) fn in_a_word(self) -> &'static str {
        match self {
            Self::Opened => "firing",
            Self::Again => "firing again",
            Self::Reminder => "still firing",
            Self::Resolved => "resolved",
            Self::NoData => "no data",
            Self::FirstDay => "first look",
            Self::Report => "looked into",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::notice::tests::notice;
    use super::*;
    use crate::redact::Redacted;

    fn of(escalation: u64, severity: Severity, kind: NoticeKind) -> Notice {
        Notice { escalation, severity, ..notice(kind) }
    }

    #[test]
    fn a_digest_lists_the_gravest_first_and_of_each_the_last_word() {
        let notices = [
            of(1, Severity::Warning, NoticeKind::Opened),
            of(2, Severity::Critical, NoticeKind::Opened),
            of(3, Severity::Critical, NoticeKind::Opened),
            of(2, Severity::Critical, NoticeKind::Resolved),
        ];
        let digest = Digest::new(Why::Many(2), notices.into_iter());
        assert_eq!(
            digest.slack(),
            "\
📋 3 escalations in one message, 2 critical: more than 2 were waiting (notify.coalesce_after)
✅ [E2] resolved: `http_5xx_spike` · `payments` in `prod`: 20,000 lines
🔴 [E3] firing: `http_5xx_spike` · `payments` in `prod`: 20,000 lines
🟠 [E1] firing: `http_5xx_spike` · `payments` in `prod`: 20,000 lines"
        );
        assert_eq!(
            digest.plain(),
            "\
3 escalations in one message, 2 critical: more than 2 were waiting (notify.coalesce_after)
      [E2] resolved: http_5xx_spike, payments in prod: 20,000 lines
      [E3] firing: http_5xx_spike, payments in prod: 20,000 lines
      [E1] firing: http_5xx_spike, payments in prod: 20,000 lines

"
        );
    }

    #[test]
    fn a_digest_stays_within_one_message_whatever_names_it_quotes_and_says_what_it_left_out() {
        let long = Redacted::new(&"<".repeat(300));
        let notices = (0..500).map(|n| Notice {
            service: long.clone(),
            cluster: long.clone(),
            ..of(n, Severity::Critical, NoticeKind::Opened)
        });
        let mut digest = Digest::new(Why::Budget(300), notices);
        digest.in_doubt = true;
        let text = digest.slack();
        assert!(text.chars().count() < 3_500, "{}", text.chars().count());
        let listed = digest.notices.len();
        assert!(listed > 5 && listed + digest.unlisted == 500, "{listed}");
        assert!(
            text.contains("500 escalations in one message, 500 critical: today's 300 messages are used up"),
            "{text}"
        );
        assert!(text.ends_with(&format!("and {} more: see GET /escalations and the file of alerts", 500 - listed)));
        assert!(!text.contains("<<"), "{text}");
    }
}
