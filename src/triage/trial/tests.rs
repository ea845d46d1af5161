//! What a trial looks at, however many kinds there are, and what it calls broad.

use super::*;
use crate::triage::kinds::tests::{novels, record};
use crate::triage::kinds::{Bounds, Kinds};
use crate::triage::novel::Intake;

const NOW_MS: i64 = 1_790_000_000_000;

fn kinds(records: impl Iterator<Item = String>) -> (Kinds, Vec<u64>) {
    let (intake, _inbox) = Intake::new(1);
    let mut kinds = Kinds::new(Bounds { max_kinds: 10_000, max_waiting: 10_000 }, 7);
    let records: Vec<String> = records.collect();
    let novels = novels(&intake, &records);
    let ids = novels.iter().map(|novel| kinds.see(novel, None, &intake.known, NOW_MS).expect("a line").0).collect();
    (kinds, ids)
}

fn scene<'a>(kinds: &'a Kinds, watches: &'a WatchSet) -> Scene<'a> {
    Scene { kinds, watches, naming: None, now_ms: NOW_MS, lateness_ms: 900_000 }
}

fn rule(condition: &Value) -> Rule {
    read(&json!({"label": "some", "match": condition, "threshold": 5, "window_seconds": 60})).expect("a rule")
}

#[test]
fn a_trial_looks_at_its_own_kinds_and_a_bounded_number_of_others() {
    let (kinds, ids) = kinds((0..3_000).map(|n| record(&format!("service{n}"), "warn", "something was done")));
    let watches = WatchSet::new(vec![]);
    let scene = scene(&kinds, &watches);
    let everything = rule(&json!({"field": "level", "gte": "trace"}));
    assert_eq!(scene.matched(&everything, &scene.looked_at(&[])).len(), LOOKED_MAX);
    for own in [ids[0], ids[2_999]] {
        let matched = scene.matched(&everything, &scene.looked_at(&[own]));
        assert!(matched.len() == LOOKED_MAX + 1 && matched.contains_key(&own));
    }
}

#[test]
fn what_has_not_come_for_an_hour_is_not_looked_at_but_for_its_own_trial() {
    let (kinds, ids) = kinds((0..10).map(|n| record(&format!("service{n}"), "warn", "something was done")));
    let watches = WatchSet::new(vec![]);
    let later = Scene { now_ms: NOW_MS + 2 * 3_600_000, ..scene(&kinds, &watches) };
    assert_eq!(later.looked_at(&[]).len(), 0);
    assert_eq!(later.looked_at(&[ids[3]]).len(), 1);
}

#[test]
fn several_rules_at_once_match_what_each_matches_alone() {
    let messages = ["the disk is slow", "the disk is full", "the cart is empty"];
    let (kinds, _) = kinds((0..60).map(|n| record(&format!("service{n}"), "warn", messages[n % 3])));
    let watches = WatchSet::new(vec![]);
    let scene = scene(&kinds, &watches);
    let rules =
        [json!({"contains": "disk"}), json!({"contains": "empty"}), json!({"contains": "nothing"})].map(|c| rule(&c));
    let looked = scene.looked_at(&[]);
    let together = scene.matched_each(&rules, &looked);
    assert_eq!(together, rules.iter().map(|rule| scene.matched(rule, &looked)).collect::<Vec<_>>());
    assert_eq!(together.iter().map(HashMap::len).collect::<Vec<_>>(), [40, 20, 0]);
}

#[test]
fn a_rule_is_broad_when_it_is_about_most_of_what_it_was_not_made_for() {
    let messages = ["the disk is slow", "the disk is full", "the cart is empty"];
    let (kinds, ids) = kinds((0..9).map(|n| record(&format!("service{n}"), "warn", messages[n % 3])));
    let watches = WatchSet::new(vec![]);
    let scene = scene(&kinds, &watches);
    let rules = [json!({"contains": "disk"}), json!({"contains": "empty"})].map(|c| rule(&c));
    assert_eq!(scene.are_broad(&rules, |_, _| false), [true, false], "six of nine, and three of nine");
    // Made for two of the six, it has four others: too few to tell.
    assert_eq!(scene.are_broad(&rules, |_, id| id == ids[0] || id == ids[1]), [false, false]);
}
