//! Whatever happens in whatever order, and however often the program ends in between.

use proptest::prelude::*;

use super::super::tests::{case, found, patch};
use super::*;

fn any_event() -> impl Strategy<Value = Event> {
    let said = Redacted::default;
    prop_oneof![
        3 => Just(Event::Restarted),
        3 => Just(Event::MayAsk),
        1 => any::<bool>().prop_map(|why| Event::NoModel(why.then(|| "spent".into()))),
        3 => Just(Event::Answered { answer: "{}".into(), asked: Asked { cost_usd: 1.0, calls: 1, ..Asked::default() } }),
        2 => any::<bool>().prop_map(move |again| Event::AskFailed {
            why: "no answer".into(), said: said(), again: again.then_some(10), asked: Some(Asked::default()),
        }),
        3 => (0..4_usize, any::<bool>()).prop_map(|(action, may)| {
            let action = [Action::Patch, Action::RestartService, Action::Escalate, Action::NoCodeCause][action];
            Event::Checked(Box::new(found(action, may)))
        }),
        1 => Just(Event::Unreadable("no JSON".into())),
        2 => (any::<bool>(), any::<bool>()).prop_map(|(diff, passes)| Event::Proved(patch(diff, passes))),
        1 => any::<bool>().prop_map(move |again| Event::ProofFailed { why: "git".into(), said: said(), again }),
        1 => any::<bool>().prop_map(move |again| Event::NotProposed { why: "no".into(), said: said(), again }),
        3 => Just(Event::Allowed("restart".into())),
        1 => Just(Event::Refused("cooling".into())),
        2 => (0..4_usize).prop_map(|n| Event::Called(match n {
            0 => Called::Done { said: Redacted::default() },
            1 => Called::InDoubt { why: "no answer".into() },
            2 => Called::NotCalled { why: "gone".into() },
            _ => Called::Failed { why: "404".into() },
        })),
        2 => (0..4_usize).prop_map(|n| {
            Event::Observed([Observed::Quiet, Observed::Firing, Observed::NoData, Observed::Unknown][n])
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn a_remedy_is_called_at_most_once_and_whatever_else_is_bounded_too(
        events in proptest::collection::vec((any_event(), 0..5_000_i64), 0..60),
    ) {
        let mut held = case();
        let (mut calls, mut now_ms) = (0, 0);
        for (event, later_ms) in events {
            now_ms += later_ms;
            let was_done = held.is_done();
            let before = held.clone();
            // A crash reads the row back.
            let row = serde_json::to_vec(&held).expect("JSON");
            let stored: Case = serde_json::from_slice(&row).expect("a row");
            prop_assert_eq!(&stored, &held);
            let (next, effect) = stored.after(event.clone(), now_ms);
            held = next;
            if effect == Effect::Call {
                calls += 1;
                prop_assert!(matches!(event, Event::Allowed(_)) && before.step == Step::Deciding);
                prop_assert_eq!(&held.step, &Step::Calling);
            }
            prop_assert!(held.asks <= ASKS_MAX && held.checks <= CHECKS_MAX);
            prop_assert!(held.proofs <= PROOFS_MAX && held.proposals <= PROPOSALS_MAX);
            prop_assert_eq!(held.is_done(), held.outcome.is_some());
            if was_done {
                prop_assert_eq!((&held.step, held.outcome, effect), (&before.step, before.outcome, Effect::Rest));
            }
            if held.step == Step::Calling && effect != Effect::Call {
                prop_assert!(false, "a case that is calling asks for nothing but the call itself");
            }
        }
        prop_assert!(calls <= 1);
    }
}

#[test]
fn a_call_that_a_restart_finds_under_way_is_in_doubt_and_the_watch_is_looked_at() {
    let (of, effect) = case().after(Event::NoModel(None), 0);
    assert_eq!(effect, Effect::Check);
    let (of, effect) = of.after(Event::Checked(Box::new(found(Action::RestartService, true))), 1);
    assert_eq!(effect, Effect::Decide);
    let (of, effect) = of.after(Event::Allowed("restart".into()), 2);
    assert_eq!(effect, Effect::Call);
    let (of, effect) = of.after(Event::Restarted, 3);
    assert_eq!(effect, Effect::Observe);
    assert!(matches!(of.remedy.as_ref().map(|remedy| &remedy.state), Some(Called::InDoubt { .. })));
    assert_eq!(of.step, Step::Watching { until_ms: 120_003 });
    let (of, effect) = of.after(Event::Observed(Observed::Firing), 120_002);
    assert_eq!((of.is_done(), effect), (false, Effect::Observe));
    let (of, _) = of.after(Event::Observed(Observed::Firing), 120_003);
    assert_eq!(of.outcome, Some(Outcome::NotRecovered));
}

#[test]
fn what_may_not_act_goes_to_a_person_with_the_reason() {
    for action in [Action::Patch, Action::RestartService] {
        let (of, _) = case().after(Event::NoModel(None), 0);
        let (of, effect) = of.after(Event::Checked(Box::new(found(action, false))), 1);
        assert_eq!((of.outcome, effect), (Some(Outcome::Escalated), Effect::Rest));
        assert_eq!(of.skipped.iter().map(|skipped| skipped.why.as_str()).collect::<Vec<_>>(), ["it is not sure"]);
    }
}

#[test]
fn a_model_is_asked_three_times_at_the_most_and_then_the_planner_concludes() {
    let mut of = case();
    for n in 1..=ASKS_MAX {
        of = of.after(Event::MayAsk, 0).0;
        assert_eq!(of.asks, n);
        let fault = Event::AskFailed { why: "busy".into(), said: Redacted::default(), again: Some(0), asked: None };
        of = of.after(fault, 0).0;
    }
    assert_eq!(of.step, Step::Checking { answer: None });
    assert_eq!(of.skipped.len(), 1);
}

#[test]
fn a_case_whose_task_has_died_is_over_and_says_so_and_a_call_under_way_is_in_doubt() {
    let of = case().after(Event::MayAsk, 0).0.died(1);
    assert_eq!((of.is_done(), of.outcome, of.skipped.len()), (true, Some(Outcome::Escalated), 1));
    let (of, _) = case().after(Event::NoModel(None), 0);
    let (of, _) = of.after(Event::Checked(Box::new(found(Action::RestartService, true))), 1);
    let of = of.after(Event::Allowed("restart".into()), 2).0.died(3);
    assert_eq!(of.outcome, Some(Outcome::Unobserved));
    assert!(matches!(of.remedy.as_ref().map(|remedy| &remedy.state), Some(Called::InDoubt { .. })));
}

#[test]
fn a_case_that_is_over_keeps_no_edits() {
    let (of, _) = case().after(Event::NoModel(None), 0);
    let (of, _) = of.after(Event::Checked(Box::new(found(Action::Patch, true))), 1);
    assert_eq!(of.found.as_ref().map(|found| found.verdict.plan.edits.len()), Some(1), "they are to be tried");
    let (of, _) = of.after(Event::Proved(patch(true, false)), 2);
    assert_eq!(of.outcome, Some(Outcome::Unproven));
    assert_eq!(of.found.as_ref().map(|found| found.verdict.plan.edits.len()), Some(0));
}

#[test]
fn an_answer_or_a_proposal_that_ends_life_after_life_ends_the_case() {
    let (mut of, _) = case().after(Event::NoModel(None), 0);
    for _ in 0..CHECKS_MAX {
        let (next, effect) = of.after(Event::Restarted, 1);
        assert_eq!(effect, Effect::Check);
        of = next;
    }
    assert_eq!(of.clone().after(Event::Restarted, 1).0.outcome, Some(Outcome::Unexplained));
    let (of, _) = of.after(Event::Checked(Box::new(found(Action::Patch, true))), 1);
    let (mut of, _) = of.after(Event::Proved(patch(true, true)), 2);
    for _ in 1..PROPOSALS_MAX {
        let (next, effect) = of.after(Event::Restarted, 3);
        assert_eq!(effect, Effect::Propose(2));
        of = next;
    }
    assert_eq!(of.after(Event::Restarted, 4).0.outcome, Some(Outcome::Patched));
}
