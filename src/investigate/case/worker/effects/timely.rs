//! Whether what a remedy would be called for is still so.

use crate::escalation::Escalation;

/// What was last seen longer ago than this, or than two windows where they are longer, is over: a question to a model
/// takes minutes, a queue or a night without us takes more.
const OLD_MS: i64 = 900_000;

/// Why it is too late, in words of ours to stand behind a colon.
pub(super) fn why_not(of: &Escalation, now_ms: i64) -> Option<&'static str> {
    let windows_ms = i64::try_from(of.window_seconds.saturating_mul(2_000)).unwrap_or(i64::MAX);
    // Nobody counts an alert: its sender says when it has ended.
    match of.alert {
        true if of.end_told => Some("its sender has said that it is over"),
        false if of.firing == 0 && of.proposed => Some("no watch counts it now"),
        false if of.firing == 0 => Some("it had fallen quiet by itself"),
        _ if now_ms.saturating_sub(of.last_ms) > windows_ms.max(OLD_MS) => Some("it was last seen too long ago"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::investigate::dossier::tests::{FIRST, escalation};

    #[test]
    fn a_remedy_comes_too_late_for_what_has_ended_and_for_what_nobody_has_seen_of_late() {
        let of = Escalation { last_ms: FIRST, window_seconds: 60, ..escalation(42, "pool_empty") };
        let alert = Escalation { alert: true, firing: 0, window_seconds: 0, ..of.clone() };
        let long = Escalation { window_seconds: 3600, ..of.clone() };
        for (of, after_ms, why) in [
            (of.clone(), 0, None),
            (of.clone(), OLD_MS, None),
            (of.clone(), OLD_MS + 1, Some("it was last seen too long ago")),
            (long.clone(), 7_200_000, None),
            (long, 7_200_001, Some("it was last seen too long ago")),
            (Escalation { firing: 0, ..of.clone() }, 0, Some("it had fallen quiet by itself")),
            (Escalation { firing: 0, proposed: true, ..of.clone() }, 0, Some("no watch counts it now")),
            (Escalation { proposed: true, ..of.clone() }, 0, None),
            (alert.clone(), 0, None),
            (alert.clone(), OLD_MS + 1, Some("it was last seen too long ago")),
            (Escalation { end_told: true, ..alert }, 0, Some("its sender has said that it is over")),
            (of, i64::MIN, None),
        ] {
            assert_eq!(why_not(&of, FIRST.saturating_add(after_ms)), why);
        }
    }
}
