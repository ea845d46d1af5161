//! Tells a repeat from news.
//!
//! Fluent Bit sends a chunk again, byte for byte, when it did not hear the answer. So a batch is a repeat
//! only while an earlier equal delivery of the same sender is *unconfirmed*: the next request on the
//! connection that carried the answer confirms it, and from then on equal bytes are news (fifty tasks that
//! log the same line in the same second are fifty lines). What nobody confirms is forgotten after a time
//! that runs only while the receiver does, so an outage of ours does not use it up.
//!
//! A first copy whose client gave up may end after its retry was counted, answered and confirmed. So a
//! confirmed delivery is remembered for as long as a request may take, and an equal one that *began* before
//! the confirmation is a repeat all the same.

use std::collections::{HashMap, VecDeque};

use super::DeliveryKey;

/// Longer than any request may take (`server.request_seconds`), in milliseconds.
const HEARD_MS: u64 = 330_000;

pub struct Repeats {
    /// When each unconfirmed delivery was committed, by the uptime clock (milliseconds).
    unconfirmed: HashMap<DeliveryKey, u64>,
    /// Oldest first; a delivery that was confirmed since is skipped when its turn comes.
    order: VecDeque<(u64, DeliveryKey)>,
    /// The turn at which each was confirmed.
    heard: HashMap<DeliveryKey, u64>,
    /// Oldest first, with the uptime.
    heard_order: VecDeque<(u64, DeliveryKey, u64)>,
    ttl_ms: u64,
    /// Most deliveries held; beyond it the oldest is forgotten: in doubt, count.
    max: usize,
}

impl Repeats {
    pub fn new(ttl_ms: u64, max: usize) -> Repeats {
        Repeats {
            unconfirmed: HashMap::new(),
            order: VecDeque::new(),
            heard: HashMap::new(),
            heard_order: VecDeque::new(),
            ttl_ms,
            max,
        }
    }

    /// Whether a delivery whose request began at the turn `began` came before. `confirmed`: the turn of a
    /// confirmation that is not in here yet.
    pub fn is_repeat(&self, delivery: DeliveryKey, began: u64, confirmed: Option<u64>) -> bool {
        match self.unconfirmed.get(&delivery) {
            Some(_) => confirmed.is_none_or(|turn| began < turn),
            None => self.heard.get(&delivery).is_some_and(|turn| began < *turn),
        }
    }

    pub fn is_unconfirmed(&self, delivery: DeliveryKey) -> bool {
        self.unconfirmed.contains_key(&delivery)
    }

    pub fn insert(&mut self, delivery: DeliveryKey, uptime_ms: u64) {
        self.unconfirmed.insert(delivery, uptime_ms);
        self.order.push_back((uptime_ms, delivery));
        self.forget(uptime_ms);
    }

    /// The answer was heard, at this turn.
    pub fn confirm(&mut self, delivery: DeliveryKey, turn: u64, uptime_ms: u64) -> bool {
        let known = self.unconfirmed.remove(&delivery).is_some();
        if known {
            self.heard.insert(delivery, turn);
            self.heard_order.push_back((uptime_ms, delivery, turn));
        }
        while let Some((at, delivery, turn)) = self.heard_order.front().copied()
            && (at.saturating_add(HEARD_MS) <= uptime_ms || self.heard_order.len() > self.max)
        {
            self.heard_order.pop_front();
            // Confirmed anew since: that one's turn comes later.
            if self.heard.get(&delivery) == Some(&turn) {
                self.heard.remove(&delivery);
            }
        }
        known
    }

    /// Drops what is too old, or too much.
    pub fn forget(&mut self, uptime_ms: u64) {
        while let Some((at, delivery)) = self.order.front().copied() {
            let current = self.unconfirmed.get(&delivery) == Some(&at);
            let expired = at.saturating_add(self.ttl_ms) <= uptime_ms;
            // Confirmed ones may make up most of the queue: they go whenever they come to the front.
            if current && !expired && self.unconfirmed.len() <= self.max {
                break;
            }
            self.order.pop_front();
            if current {
                self.unconfirmed.remove(&delivery);
            }
        }
        // Confirmed ones behind an unconfirmed front must not pile up either.
        if self.order.len() > 2 * self.unconfirmed.len() + 1024 {
            self.order.retain(|(at, delivery)| self.unconfirmed.get(delivery) == Some(at));
        }
    }

    pub fn len(&self) -> usize {
        self.unconfirmed.len()
    }

    pub fn is_empty(&self) -> bool {
        self.unconfirmed.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = (DeliveryKey, u64)> {
        self.order.iter().filter(|(at, d)| self.unconfirmed.get(d) == Some(at)).map(|(at, d)| (*d, *at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivery(n: u64) -> DeliveryKey {
        DeliveryKey { digest: u128::from(n), sender: 1 }
    }

    #[test]
    fn a_delivery_is_a_repeat_until_it_is_confirmed_or_too_old() {
        let mut repeats = Repeats::new(100, 10);
        repeats.insert(delivery(1), 0);
        assert!(repeats.is_repeat(delivery(1), 9, None));
        assert!(!repeats.is_repeat(DeliveryKey { sender: 2, ..delivery(1) }, 9, None), "another sender's is news");
        assert!(repeats.confirm(delivery(1), 5, 0));
        assert!(!repeats.is_repeat(delivery(1), 9, None));
        repeats.insert(delivery(1), 50);
        repeats.forget(149);
        assert!(repeats.is_repeat(delivery(1), 9, None), "held from its second commit on");
        repeats.forget(150);
        assert!(!repeats.is_repeat(delivery(1), 9, None));
    }

    #[test]
    fn a_copy_that_began_before_the_confirmation_is_a_repeat_for_as_long_as_a_request_may_take() {
        let mut repeats = Repeats::new(1_000_000, 2);
        repeats.insert(delivery(1), 0);
        assert!(repeats.is_repeat(delivery(1), 3, Some(5)), "begun before a confirmation that is just coming in");
        assert!(!repeats.is_repeat(delivery(1), 6, Some(5)));
        assert!(repeats.confirm(delivery(1), 5, 0));
        assert!(repeats.is_repeat(delivery(1), 3, None) && !repeats.is_repeat(delivery(1), 6, None));
        // Sent anew, and confirmed anew.
        repeats.insert(delivery(1), 10);
        assert!(repeats.is_repeat(delivery(1), 6, None));
        assert!(repeats.confirm(delivery(1), 8, 10));
        assert!(repeats.is_repeat(delivery(1), 6, None) && !repeats.is_repeat(delivery(1), 9, None));
        repeats.insert(delivery(2), 11);
        repeats.confirm(delivery(2), 12, 11 + HEARD_MS);
        assert!(!repeats.is_repeat(delivery(1), 6, None), "no request is that old");
        for n in 3..6 {
            repeats.insert(delivery(n), n);
            repeats.confirm(delivery(n), 20, 12 + HEARD_MS);
        }
        assert_eq!((repeats.heard.len(), repeats.heard_order.len()), (2, 2));
    }

    #[test]
    fn the_oldest_goes_when_there_are_too_many_and_the_queue_stays_bounded() {
        let mut repeats = Repeats::new(1_000_000, 3);
        for n in 0..5 {
            repeats.insert(delivery(n), n);
        }
        assert_eq!(
            (0..5).map(|n| repeats.is_repeat(delivery(n), 9, None)).collect::<Vec<_>>(),
            [false, false, true, true, true]
        );
        for n in 100..10_000 {
            repeats.insert(delivery(n), n);
            repeats.confirm(delivery(n), n, n);
        }
        assert!(repeats.order.len() < 2_000, "{}", repeats.order.len());
    }
}
