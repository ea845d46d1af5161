//! A warning that whoever can connect can bring about: written once a second at most, so that nobody fills our
//! log by being refused. What was held back is told with the next one.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

const EVERY: Duration = Duration::from_secs(1);

/// One kind of warning. Its place is a `static` beside what warns.
pub struct Alarm(Mutex<State>);

struct State {
    last: Option<Instant>,
    held_back: u64,
}

impl Alarm {
    pub const fn new() -> Alarm {
        Alarm(Mutex::new(State { last: None, held_back: 0 }))
    }

    /// How many of its kind were held back since the last one; `None`: this one is held back, too.
    pub fn due(&self) -> Option<u64> {
        self.due_at(Instant::now())
    }

    fn due_at(&self, now: Instant) -> Option<u64> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.last.is_some_and(|last| now.saturating_duration_since(last) < EVERY) {
            state.held_back += 1;
            return None;
        }
        state.last = Some(now);
        Some(std::mem::take(&mut state.held_back))
    }
}

impl Default for Alarm {
    fn default() -> Self {
        Alarm::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_warnings_in_a_second_the_first_is_written_and_the_next_tells_of_the_others() {
        let (alarm, begun) = (Alarm::new(), Instant::now());
        assert_eq!(alarm.due_at(begun), Some(0));
        for ms in [0, 1, 500, 999] {
            assert_eq!(alarm.due_at(begun + Duration::from_millis(ms)), None);
        }
        assert_eq!(alarm.due_at(begun + Duration::from_millis(1000)), Some(4));
        assert_eq!(alarm.due_at(begun + Duration::from_millis(1999)), None);
        assert_eq!(alarm.due_at(begun + Duration::from_millis(9000)), Some(1));
    }
}
