//! What people read, whole, and what no text can do to them.

use proptest::prelude::*;

use super::super::notice::tests::notice;
use super::super::notice::{Standing, Told};
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

fn any_kind() -> impl Strategy<Value = NoticeKind> {
    prop_oneof![Just(NoticeKind::Opened), Just(NoticeKind::Again), Just(NoticeKind::Resolved), Just(NoticeKind::NoData),]
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

/// What was found, and what is left to do.
fn told(standing: Standing) -> Told {
    Told {
        standing,
        cause: Redacted::new(
            "The deploy of 14:02 removed the price that articles without a euro price fell back to, so every checkout with one raises KeyError.",
        ),
        sure: "claude-opus is 92 % sure; all 3 pieces of its evidence stand where it says".into(),
        evidence: vec![Redacted::new("shop/prices.py:20  found = TABLE[(sku, FALLBACK)]")],
        done: vec![
            ("A patch of 2 files applies to".into(), Redacted::new("a8c28bbad9a1")),
            ("Its new test fails before it and passes with it, and so do all others.".into(), Redacted::default()),
        ],
        steps: vec![
            Redacted::new("Review the draft and merge it."),
            Redacted::new("Deploy, and watch `http_5xx_spike`."),
        ],
        diff: true,
    }
}

fn report(standing: Standing) -> Notice {
    let mut notice = notice(NoticeKind::Report);
    notice.dossier = Some(Dossier::Url("https://logs.example/investigations/E42".into()));
    notice.report = Some(Box::new(told(standing)));
    notice
}

#[test]
fn slack_reads_what_an_investigation_has_to_say() {
    let mut notice = report(Standing::PatchReady);
    assert_eq!(
        slack(&notice),
        "\
🩹 [E42] cause found, patch ready: `http_5xx_spike` · `payments` in `prod` · `path=/pay`
`The deploy of 14:02 removed the price that articles without a euro price fell back to, so every checkout with one raises KeyError.`
claude-opus is 92 % sure; all 3 pieces of its evidence stand where it says
• `shop/prices.py:20 found = TABLE[(sku, FALLBACK)]`
A patch of 2 files applies to `a8c28bbad9a1`
Its new test fails before it and passes with it, and so do all others.
Left to you:
1. `Review the draft and merge it.`
2. `Deploy, and watch ˋhttp_5xx_spikeˋ.`
Report: <https://logs.example/investigations/E42|E42> · Diff: <https://logs.example/investigations/E42.diff|E42.diff>"
    );
    notice.dossier = Some(Dossier::File("/var/lib/emberwatch/investigations/E42.report.md".into()));
    assert!(slack(&notice).ends_with("\nReport: `E42.report.md` · Diff: `E42.diff`"), "{}", slack(&notice));
}

#[test]
fn a_terminal_reads_what_an_investigation_has_to_say() {
    assert_eq!(
        plain(&report(Standing::NotRecovered), false),
        "\
[E42] not recovered, needs you: http_5xx_spike
      payments in prod, path=/pay
      The deploy of 14:02 removed the price that articles without a euro price
      fell back to, so every checkout with one raises KeyError.
      claude-opus is 92 % sure; all 3 pieces of its evidence stand where it says
      - shop/prices.py:20 found = TABLE[(sku, FALLBACK)]
      A patch of 2 files applies to a8c28bbad9a1
      Its new test fails before it and passes with it, and so do all others.
      left to you:
      1. Review the draft and merge it.
      2. Deploy, and watch `http_5xx_spike`.
      report: https://logs.example/investigations/E42

"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn whatever_a_report_quotes_stays_quoted_and_small(
        texts in proptest::collection::vec(any_text(), 12),
        in_doubt: bool,
    ) {
        let mut notice = report(Standing::NeedsYou);
        notice.in_doubt = in_doubt;
        notice.service = texts[0].clone();
        notice.cluster = texts[1].clone();
        notice.group = vec![("k".into(), texts[2].clone()); 9];
        let mut words = told(Standing::NeedsYou);
        words.cause = texts[3].clone();
        words.evidence = texts[4..].to_vec();
        words.steps = texts[2..].to_vec();
        words.done = texts[2..].iter().map(|text| ("It was said:".to_owned(), text.clone())).collect();
        notice.report = Some(Box::new(words));
        let text = slack(&notice);
        prop_assert!(text.chars().count() < 4_000, "{}", text.chars().count());
        prop_assert!(text.contains("[E42]") && text.contains("http_5xx_spike"));
        let (above, links) = text.rsplit_once("\nReport: ").expect("a link");
        prop_assert!(links.ends_with("|E42.diff>"));
        let obeyed = above.contains(['<', '>', '\u{202e}', '\u{1b}', '\r']);
        prop_assert!(!obeyed, "{:?}", above);
        for line in above.lines() {
            prop_assert_eq!(line.matches('`').count() % 2, 0, "{}", line);
        }
        let text = plain(&notice, false);
        let obeyed = text.contains(['\u{1b}', '\r', '\u{202e}']);
        prop_assert!(!obeyed, "{:?}", text);
        prop_assert!(text.lines().all(|line| line.chars().count() <= 80));
    }
}
