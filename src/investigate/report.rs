//! The report of an investigation, as Markdown: the cause, how sure and on what, what was done, what is left to do.
//!
//! Whatever is not ours in it, a model's words among it, stands in fenced blocks, as in a dossier.

use super::case::words::{done, sure};
use super::case::{Case, PLANNER};
use super::markdown::{Markdown, Row};
use crate::notify::alerts::rfc3339;
use crate::redact::Redacted;

/// Of the diff; all of it is in its own file.
const DIFF_BYTES: usize = 24 * 1024;
const TAIL_BYTES: usize = 4 * 1024;
const QUOTE_BYTES: usize = 600;

/// `diff`: as it was made.
pub fn write(case: &Case, diff: Option<&str>) -> Markdown {
    let mut text = Markdown::default();
    text.title(format_args!("[E{}] {}: what was found", case.id, case.about.label));
    text.paragraph(format_args!(
        "{} as of {}. A model's and other people's words stand in blocks.",
        standing(case),
        rfc3339(case.changed_ms)
    ));
    if let Some(found) = &case.found {
        text.heading("The cause");
        text.block(&[plain(&found.verdict.root_cause)]);
        text.paragraph(sure(found));
        if !found.verdict.evidence.is_empty() {
            text.heading("On what evidence");
            text.block(&evidence(case));
        }
    } else if case.is_done() && case.lead.is_none() {
        text.heading("The cause");
        text.paragraph("No cause was found.");
    }
    let rows = done(case);
    if !rows.is_empty() {
        text.heading("What was done");
        for (ours, theirs) in &rows {
            text.paragraph(ours);
            if !theirs.is_empty() {
                text.block(&[(String::new(), theirs.clone())]);
            }
        }
    }
    if let Some(plan) = case.found.as_ref().map(|found| &found.verdict.plan) {
        text.heading("What to do");
        text.paragraph(format_args!("Plan: {}.", action(plan.action)));
        let mut rows: Vec<Row> = Vec::new();
        if !plan.reason.is_empty() {
            rows.push(plain(&plan.reason));
        }
        let steps = plan.steps.iter().enumerate();
        rows.extend(steps.map(|(at, step)| (format!("{}. ", at + 1), Redacted::new(step).one_line())));
        if !rows.is_empty() {
            text.block(&rows);
        }
    }
    proof(&mut text, case);
    if let Some(diff) = diff {
        text.heading("The diff");
        if diff.len() > DIFF_BYTES {
            text.paragraph(format_args!("Its first {DIFF_BYTES} bytes; all of it is in E{}.diff.", case.id));
        }
        text.block(&[(
            String::new(),
            Redacted::new(diff.get(..diff.floor_char_boundary(DIFF_BYTES)).unwrap_or_default()),
        )]);
    }
    if let Some(asked) = &case.asked {
        text.heading("What it has cost");
        let tokens = format!(
            "{} calls, {} tokens read (and {} from its cache), {} written, about {:.4} USD",
            asked.calls, asked.input_tokens, asked.cached_tokens, asked.output_tokens, asked.cost_usd
        );
        text.block(&[(tokens, Redacted::default()), ("model  ".into(), Redacted::new(&asked.model).one_line())]);
    }
    text
}

fn standing(case: &Case) -> String {
    match case.lead {
        Some(lead) => format!("Part of one incident with E{lead}, which is investigated for both: see there. Written"),
        None => format!("State: {}", case.state().replace('_', " ")),
    }
}

fn plain(words: &str) -> Row {
    (String::new(), Redacted::new(words))
}

fn evidence(case: &Case) -> Vec<Row> {
    let Some(found) = &case.found else { return Vec::new() };
    let mut rows = Vec::new();
    for (evidence, why_not) in found.verdict.evidence.iter().zip(&found.proofs) {
        let (mark, hang) = if why_not.is_none() { ("proven    ", "          ") } else { ("UNPROVEN  ", "          ") };
        let place = match (&evidence.path, evidence.line) {
            (Some(path), Some(line)) => format!("{path}:{line}"),
            (Some(path), None) => path.clone(),
            (None, _) => "the dossier".to_owned(),
        };
        rows.push((mark.to_owned(), Redacted::new(&place).one_line().cut(QUOTE_BYTES)));
        rows.push((format!("{hang}| "), Redacted::new(&evidence.quote).cut(QUOTE_BYTES)));
        rows.push((hang.to_owned(), Redacted::new(&evidence.says).one_line().cut(QUOTE_BYTES)));
        if let Some(why_not) = why_not {
            rows.push((format!("{hang}Not found: "), Redacted::new(why_not).one_line()));
        }
    }
    rows
}

fn proof(text: &mut Markdown, case: &Case) {
    let Some(proof) = case.patch.as_ref().and_then(|patch| patch.proof()).filter(|proof| !proof.runs.is_empty()) else {
        return;
    };
    text.heading("What the tests said");
    for run in &proof.runs {
        text.paragraph(format_args!("On {}: {} ({:.1} s).", run.on, run.ended, run.seconds));
        if !run.passed && !run.tail.is_empty() {
            text.block(&[(String::new(), run.tail.cut(TAIL_BYTES))]);
        }
    }
}

fn action(action: super::verdict::Action) -> &'static str {
    use super::verdict::Action;
    match action {
        Action::Patch => "a patch",
        Action::RestartService => "a remedy",
        Action::Escalate => "a person has to look",
        Action::NoCodeCause => "the cause is not in the code",
    }
}

/// Whether a report says more than that nothing is known.
pub fn is_worth_reading(case: &Case) -> bool {
    case.lead.is_some()
        || case.asks > 0
        || !case.skipped.is_empty()
        || case.found.as_ref().is_some_and(|found| found.by != PLANNER || found.verdict.confidence >= 0.3)
}

#[cfg(test)]
mod tests {
    use super::super::case::machine::Event;
    use super::super::case::tests::{case, found, patch};
    use super::super::case::{Asked, Step};
    use super::super::markdown::tests::outside;
    use super::super::verdict::Action;
    use super::*;

    fn patched() -> Case {
        let asked = case().after(Event::MayAsk, 0).0;
        let cost = Asked {
            model: "claude-opus-5-5".into(),
            input_tokens: 9_000,
            cost_usd: 0.05,
            calls: 2,
            ..Asked::default()
        };
        let checking = asked.after(Event::Answered { answer: "{}".into(), asked: cost }, 0).0;
        checking
            .after(Event::Checked(Box::new(found(Action::Patch, true))), 0)
            .0
            .after(Event::Proved(patch(true, true)), 0)
            .0
    }

    #[test]
    fn a_report_says_the_cause_what_proves_it_what_was_done_and_what_it_cost() {
        let text = write(&patched(), Some("--- a/shop/prices.py\n+++ b/shop/prices.py\n"));
        let wanted = "\
# [E42] http_5xx_spike: what was found

State: proposing as of 1970-01-01T00:00:00.000Z. A model's and other people's words stand in blocks.

## The cause

```
The deploy of 14:02 removed the price that others fell back to.
```

claude-opus-5-5 is 92 % sure; its one piece of evidence stands where it says.

## On what evidence

```
proven    shop/prices.py:20
          | found = TABLE[(sku, FALLBACK)]
          It raises where there is none.
```

## What was done

A patch of 1 file (+1 −1) applies to a8c28bbad9a1. The test fails at the commit that ran and passes with the mend.

## What to do

Plan: a patch.

```
The cause is in one line.
1. Review the diff.
2. Deploy it.
```

## The diff

```
--- a/shop/prices.py
+++ b/shop/prices.py
```

## What it has cost

```
2 calls, 9000 tokens read (and 0 from its cache), 0 written, about 0.0500 USD
model  claude-opus-5-5
```
";
        assert_eq!(text.as_str(), wanted);
    }

    #[test]
    fn nothing_that_a_model_wrote_stands_outside_of_a_block() {
        let mut of = patched();
        let evil = "```\n# <!channel> [a](http://evil) evil\n````";
        let found = of.found.as_mut().expect("found");
        found.by = evil.into();
        found.verdict.root_cause = evil.into();
        found.verdict.plan.reason = evil.into();
        found.verdict.plan.steps = vec![evil.into(); 3];
        found.verdict.evidence[0].quote = evil.into();
        found.verdict.evidence[0].path = Some(evil.into());
        found.proofs[0] = Some(evil.into());
        of.asked.as_mut().expect("asked").model = evil.into();
        of.step = Step::Done;
        let text = write(&of, Some(evil));
        for line in outside(text.as_str()) {
            assert!(!line.contains(['<', '`', '[']) || line.starts_with("# [E42]"), "{line}");
        }
    }
}
