//! What happens, and when: by number of tick, so that a slow machine tells the same story, only slower.

/// Milliseconds: five pictures a second look alive, and a body of each service is still some ten lines.
pub(super) const TICK_MS: i64 = 200;
/// Windows of the built-in watches, in place of a minute: long enough to see one fill, short enough to see its end.
pub(super) const WINDOW_SECONDS: u32 = 3;
/// 23 s; with the start, the last messages and the end that stays below 30.
pub(super) const TICKS: u64 = 115;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    None,
    DatabaseAway,
    BadDeploy,
}

pub(super) struct Turn {
    /// From this tick on.
    pub(super) tick: u64,
    pub(super) trouble: Trouble,
    pub(super) told: &'static str,
}

pub(super) const TURNS: [Turn; 5] = [
    Turn { tick: 0, trouble: Trouble::None, told: "Six services, all is well. Every line goes through /ingest." },
    Turn { tick: 20, trouble: Trouble::DatabaseAway, told: "The database of orders goes away." },
    Turn { tick: 47, trouble: Trouble::None, told: "The database is back." },
    Turn { tick: 62, trouble: Trouble::BadDeploy, told: "Somebody deploys catalog:42 in prod-us." },
    Turn { tick: 85, trouble: Trouble::None, told: "catalog is rolled back to 41." },
];

/// What holds in this tick.
pub(super) fn at(tick: u64) -> Option<&'static Turn> {
    TURNS.iter().rev().find(|turn| turn.tick <= tick)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_come_in_order_and_the_last_one_leaves_time_for_its_end() {
        assert!(TURNS.windows(2).all(|pair| pair[0].tick < pair[1].tick));
        let left = (TICKS - TURNS[4].tick) * TICK_MS as u64;
        // Below the threshold after a window at most, and a whole one below it: then it is resolved.
        assert!(left >= u64::from(2 * WINDOW_SECONDS) * 1000 - 1000 && TICKS * (TICK_MS as u64) < 25_000, "{left} ms");
        assert_eq!(at(46).map(|turn| turn.trouble), Some(Trouble::DatabaseAway));
        assert_eq!(at(47).map(|turn| turn.trouble), Some(Trouble::None));
    }
}
