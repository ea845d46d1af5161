//! What is allowed when, and what a former life left under way.

use proptest::prelude::*;

use super::*;

const LIMITS: Limits = Limits { concurrent: 2, per_hour: 3, per_day: 5, tokens_per_day: 1_000, usd_per_day: 10.0 };
const LEAST: Cost = Cost { tokens: 100, usd: 1.0 };

fn cost(tokens: u64, usd: f64) -> Cost {
    Cost { tokens, usd }
}

#[test]
fn each_bound_is_named_with_the_time_at_which_it_is_one_no_more() {
    let mut budget = Budget::default();
    let mut at = 1_000;
    for id in 0..3 {
        budget.begin(id, LEAST, &LIMITS, at).expect("room");
        budget.end(id, cost(10, 0.1));
        at += 1_000;
    }
    let refused = |bound, again_ms| Err(Refused { bound, again_ms });
    assert_eq!(budget.begin(9, LEAST, &LIMITS, at), refused(Bound::PerHour, Some(1_000 + HOUR_MS)));
    let later = 1_000 + HOUR_MS;
    assert!(budget.begin(3, LEAST, &LIMITS, later).is_ok(), "exactly then");
    assert!(budget.begin(4, LEAST, &LIMITS, later + 1_000).is_ok());
    assert_eq!(budget.begin(5, LEAST, &LIMITS, later + 9_000), refused(Bound::Concurrent, None));
    budget.end(3, cost(10, 0.1));
    budget.end(4, cost(10, 0.1));
    assert_eq!(budget.begin(5, LEAST, &LIMITS, later + 9_000), refused(Bound::PerDay, Some(1_000 + DAY_MS)));
    assert!(budget.begin(5, LEAST, &LIMITS, 1_000 + DAY_MS).is_ok());
}

#[test]
fn tokens_and_money_are_set_aside_and_what_was_not_needed_is_free_again() {
    let mut budget = Budget::default();
    assert_eq!(budget.begin(1, LEAST, &LIMITS, 0), Ok(cost(500, 5.0)), "half of the day's for one of two places");
    assert_eq!(budget.begin(2, LEAST, &LIMITS, 0), Ok(cost(500, 5.0)));
    budget.end(1, cost(450, 1.0));
    let refused = budget.begin(3, LEAST, &LIMITS, 1);
    assert_eq!(refused, Err(Refused { bound: Bound::Tokens, again_ms: Some(DAY_MS) }));
    budget.end(2, cost(20, 8.5));
    let refused = budget.begin(3, LEAST, &LIMITS, 1);
    assert_eq!(refused, Err(Refused { bound: Bound::Usd, again_ms: Some(DAY_MS) }));
    let never = budget.begin(3, cost(2_000, 0.0), &LIMITS, 1);
    assert_eq!(never, Err(Refused { bound: Bound::Tokens, again_ms: None }), "more than a day has");
    assert_eq!(budget.spent(1), Spent { under_way: 0, last_hour: 2, last_day: 2, tokens: 470, usd: 9.5 });
}

#[test]
fn one_that_is_under_way_is_not_begun_twice_and_a_crash_costs_a_tenth_of_the_day() {
    let mut budget = Budget::default();
    let share = budget.begin(7, LEAST, &LIMITS, 0);
    let row = serde_json::to_string(&budget).expect("JSON");
    let mut after: Budget = serde_json::from_str(&row).expect("a budget");
    assert_eq!(after, budget);
    assert_eq!(after.begin(7, LEAST, &LIMITS, 5), share);
    assert_eq!(after.under_way().collect::<Vec<_>>(), [7]);
    after.abandon(Some(8), &LIMITS);
    assert_eq!(after.under_way().collect::<Vec<_>>(), [7], "it is not the one");
    after.abandon(None, &LIMITS);
    assert_eq!(after.spent(5), Spent { under_way: 0, last_hour: 1, last_day: 1, tokens: 100, usd: 1.0 });
    after.end(7, cost(9_999, 99.0));
    assert_eq!(after.spent(5).tokens, 100, "it has ended");
}

#[test]
fn a_clock_that_is_set_back_and_limits_of_nothing_end_in_no_and_not_in_a_panic() {
    let mut budget = Budget::default();
    budget.begin(1, LEAST, &LIMITS, 100 * DAY_MS).expect("room");
    budget.end(1, cost(1_000, f64::NAN));
    let refused = budget.begin(2, LEAST, &LIMITS, 5);
    assert_eq!(refused, Err(Refused { bound: Bound::Tokens, again_ms: Some(5 + DAY_MS) }));
    let none = Limits { concurrent: 1, per_hour: 0, per_day: 0, tokens_per_day: 0, usd_per_day: 0.0 };
    let refused = Budget::default().begin(1, LEAST, &none, i64::MIN);
    assert_eq!(refused, Err(Refused { bound: Bound::PerDay, again_ms: None }));
    assert!(Budget::default().begin(1, LEAST, &LIMITS, i64::MAX).is_ok());
}

proptest! {
    /// Whatever happens in whatever order: never more at once, in an hour, in a day, or for more, than is allowed; and
    /// whoever comes again when told is not refused for the same reason.
    #[test]
    fn no_bound_is_ever_passed(steps in proptest::collection::vec((0_u8..4, 0_i64..2 * HOUR_MS, 0_u64..=100), 1..120)) {
        let mut budget = Budget::default();
        let mut now_ms = 0;
        let mut id = 0;
        for (what, pause_ms, part) in steps {
            now_ms += pause_ms;
            if what == 0 {
                let first = budget.under_way().next();
                if let Some(first) = first {
                    let held = budget.begin(first, LEAST, &LIMITS, now_ms).expect("under way");
                    budget.end(first, cost(held.tokens * part / 100, held.usd * part as f64 / 100.0));
                }
            } else {
                id += 1;
                match budget.begin(id, LEAST, &LIMITS, now_ms) {
                    Ok(share) => prop_assert!(share.covers(LEAST)),
                    Err(Refused { bound, again_ms: Some(again_ms) }) => {
                        prop_assert!(again_ms > now_ms);
                        let then = budget.clone().begin(id, LEAST, &LIMITS, again_ms);
                        prop_assert_ne!(then.err().map(|refused| refused.bound), Some(bound));
                    }
                    Err(refused) => prop_assert!(!matches!(refused.bound, Bound::PerHour | Bound::PerDay)),
                }
            }
            let spent = budget.spent(now_ms);
            prop_assert!(spent.under_way <= LIMITS.concurrent && spent.last_hour <= LIMITS.per_hour);
            prop_assert!(spent.last_day <= LIMITS.per_day && spent.tokens <= LIMITS.tokens_per_day);
            prop_assert!(spent.usd <= LIMITS.usd_per_day + 1e-9);
        }
    }
}
