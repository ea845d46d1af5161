//! What people are told, whole, and when nothing is.

use super::super::machine::{Event, Observed};
use super::super::tests::{case, found, patch};
use super::*;
use crate::investigate::verdict::Action;

fn concluded(action: Action, may_act: bool) -> Case {
    let asked = case().after(Event::MayAsk, 0).0;
    let answer = Event::Answered { answer: "{}".into(), asked: super::super::Asked::default() };
    asked.after(answer, 0).0.after(Event::Checked(Box::new(found(action, may_act))), 0).0
}

fn rows(told: &Told) -> Vec<String> {
    told.done.iter().map(|(ours, theirs)| format!("{ours} {theirs}").trim().to_owned()).collect()
}

#[test]
fn a_patch_that_is_proven_is_told_with_its_proof() {
    let before = concluded(Action::Patch, true);
    let proven = before.clone().after(Event::Proved(patch(true, true)), 1).0;
    assert_eq!(told(&before.step, &proven), None, "it is not over");
    let not = Event::NotProposed { why: String::new(), said: Redacted::default(), again: false };
    let told = told(&proven.step, &proven.clone().after(not, 2).0).expect("news");
    assert_eq!(told.standing, Standing::PatchReady);
    assert_eq!(told.sure, "claude-opus-5-5 is 92 % sure; its one piece of evidence stands where it says.");
    assert_eq!(
        rows(&told),
        [
            "A patch of 1 file (+1 −1) applies to a8c28bbad9a1. The test fails at the commit that ran and passes with the mend."
        ]
    );
    assert_eq!(told.evidence[0].as_str(), "shop/prices.py:20  found = TABLE[(sku, FALLBACK)]");
    assert!(told.diff && told.steps.len() == 2);
}

#[test]
fn a_remedy_is_told_when_it_was_called_and_again_when_its_end_is_known() {
    let deciding = concluded(Action::RestartService, true);
    let calling = deciding.after(Event::Allowed("restart".into()), 1_000).0;
    let watching = calling.clone().after(Event::Called(Called::Done { said: Redacted::default() }), 2_000).0;
    let first = told(&calling.step, &watching).expect("news");
    assert_eq!(first.standing, Standing::Remedied);
    assert_eq!(
        rows(&first),
        [
            "I called the remedy that is registered for this, once: restart",
            "I am watching whether it helps, and will say so here."
        ]
    );
    let over = watching.clone().after(Event::Observed(Observed::Quiet), 15_000).0;
    let last = told(&watching.step, &over).expect("news");
    assert_eq!((last.standing, last.cause.is_empty()), (Standing::Recovered, true));
    assert_eq!(rows(&last)[1], "14 s later it has been quiet for a whole window.");
    let late = watching.clone().after(Event::Observed(Observed::Firing), 999_000).0;
    assert_eq!(told(&watching.step, &late).expect("news").standing, Standing::NotRecovered);
}

#[test]
fn a_call_in_doubt_is_said_to_be_in_doubt() {
    let calling = concluded(Action::RestartService, true).after(Event::Allowed("restart".into()), 1_000).0;
    let after = calling.clone().after(Event::Restarted, 2_000).0;
    let told = told(&calling.step, &after).expect("news");
    assert_eq!(
        rows(&told)[0],
        "A remedy may have been called, and is not called again (the program ended while it was called): restart"
    );
}

#[test]
fn evidence_that_does_not_exist_is_told_as_such_and_why_nothing_was_done() {
    let before = concluded(Action::Patch, false);
    let told = told(&Step::Checking { answer: None }, &before).expect("news");
    assert_eq!(told.standing, Standing::NeedsYou);
    assert_eq!(told.sure, "claude-opus-5-5 is 92 % sure; its one piece of evidence could not be found.");
    assert_eq!((rows(&told), told.evidence.len()), (vec!["it is not sure".to_owned()], 0));
}

#[test]
fn what_the_planner_can_only_guess_is_told_to_nobody() {
    let guess = |confidence: f64| {
        let mut found = found(Action::Escalate, true);
        (found.by, found.verdict.confidence) = (PLANNER.into(), confidence);
        let checking = case().after(Event::NoModel(None), 0).0;
        let step = checking.step.clone();
        told(&step, &checking.after(Event::Checked(Box::new(found)), 0).0)
    };
    assert_eq!(guess(0.3), None);
    assert_eq!(guess(0.7).map(|told| told.standing), Some(Standing::NeedsYou));
}

#[test]
fn a_remedy_that_refused_and_one_that_could_not_be_called_are_told_apart() {
    for (called, words) in [
        (
            Called::Failed { why: "it answered 404".into() },
            "A remedy was called and says that it did nothing (it answered 404):",
        ),
        (
            Called::NotCalled { why: "it is registered no more".into() },
            "A remedy could not be called (it is registered no more):",
        ),
        (
            Called::InDoubt { why: "it answered 503".into() },
            "A remedy may have been called, and is not called again (it answered 503):",
        ),
    ] {
        let remedy = super::super::Remedy { name: "restart".into(), called_ms: 0, state: called };
        let of = Case { remedy: Some(remedy), ..case() };
        assert_eq!(done(&of).first().map(|(ours, _)| ours.as_str()), Some(words));
    }
}
