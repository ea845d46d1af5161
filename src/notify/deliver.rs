//! The delivery loop: one task per destination, from the outbox to a person.
//!
//! The loop keeps no state that matters. The outbox holds what is due and what
//! became of it, durably, and does all the waiting; the loop leases a row,
//! makes one attempt, and settles it. It can be dropped at any await: a row that
//! was leased and never settled is in doubt, and the outbox hands it out again.
//!
//! Rows of one destination go out in order, so a row that must be retried holds
//! those behind it back; a destination never holds another one back.

use std::{sync::Arc, time::Duration};

use prometheus::IntCounterVec;
use tracing::{error, info, warn};

use super::digest::Digest;
use super::notice::Notice;
use super::text;
use crate::failpoint::Failpoint;

/// A destination that stays broken this long is given up on, row by row.
const GIVE_UP_AFTER: Duration = Duration::from_secs(24 * 3600);
/// The longest wait that a destination may ask for.
const LONGEST_ASKED: Duration = Duration::from_secs(15 * 60);
/// The first and the longest wait where the destination asks for none.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(5 * 60);

/// A row of the outbox, or many told in one, handed out for one attempt.
#[derive(Clone, Debug, PartialEq)]
pub struct Leased {
    /// Of many: the first.
    pub row: u64,
    /// Counts from 1.
    pub attempt: u32,
    pub first_attempt_ms: i64,
    pub message: Message,
    /// What the first message of its incident at this destination gave back.
    pub thread: Option<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Message {
    One(Box<Notice>),
    Many(Box<Digest>),
}

impl Message {
    pub fn slack(&self) -> String {
        match self {
            Message::One(notice) => text::slack(notice),
            Message::Many(digest) => digest.slack(),
        }
    }

    pub(super) fn is_broadcast(&self) -> bool {
        matches!(self, Message::One(notice) if notice.broadcast)
    }

    /// For our log: an escalation's number and what is told, or that it is many.
    fn about(&self) -> (u64, &'static str) {
        match self {
            Message::One(notice) => (notice.escalation, notice.kind.as_str()),
            Message::Many(digest) => (digest.notices.first().map_or(0, |n| n.escalation), "digest"),
        }
    }
}

/// How one attempt ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Sent {
    /// It arrived. `thread` names the message that later ones may hang under.
    Done { thread: Option<String> },
    /// It did not arrive, or nobody can say (`in_doubt`), and may next time.
    Retry { after: Option<Duration>, reason: String, in_doubt: bool },
    /// It will never arrive, whatever is done about the destination.
    Dead { reason: String },
}

/// What the outbox records about an attempt.
#[derive(Clone, Debug, PartialEq)]
pub enum Settled {
    Done {
        thread: Option<String>,
    },
    /// `in_doubt`: this attempt may have arrived. Whoever hands the row out
    /// again sets [`Notice::in_doubt`] if any attempt so far was.
    RetryAt {
        at_ms: i64,
        reason: String,
        in_doubt: bool,
    },
    /// It has failed for so long that it is given up; of many told in one, those that have. The others as `RetryAt`.
    TooOld {
        at_ms: i64,
        reason: String,
        in_doubt: bool,
    },
    Dead {
        reason: String,
    },
}

/// Where notices wait until they are known to have arrived.
pub trait Outbox: Send + Sync + 'static {
    /// Waits until a row for this destination is due and hands it out, durably
    /// marked as being attempted. `None`: closing.
    fn lease(&self, destination: &'static str) -> impl Future<Output = Option<Leased>> + Send;

    /// Durably records how the attempt ended.
    fn settle(&self, row: u64, outcome: Settled) -> impl Future<Output = ()> + Send;
}

/// What the loop sends to; [`Channel`](super::Channel) outside of tests.
pub trait Destination: Send + 'static {
    fn name(&self) -> &'static str;

    fn send(&mut self, message: &Message, thread: Option<&str>) -> impl Future<Output = Sent> + Send;
}

/// Delivers until the outbox closes.
///
/// `deliveries` has the labels `channel` and `outcome`. Every attempt counts as
/// exactly one of `sent`, `retried`, `in_doubt` (it may have arrived, and is
/// tried again) and `dead`. `now_ms` is the wall clock in Unix milliseconds.
pub async fn deliver<O: Outbox, D: Destination>(
    outbox: Arc<O>,
    mut destination: D,
    deliveries: IntCounterVec,
    now_ms: fn() -> i64,
) {
    let channel = destination.name();
    let mut health = Health::default();
    while let Some(leased) = outbox.lease(channel).await {
        Failpoint::Sending.pass();
        let sent = destination.send(&leased.message, leased.thread.as_deref()).await;
        Failpoint::Sent.pass();
        let (outcome, settled) = settle(&leased, sent, now_ms());
        deliveries.with_label_values(&[channel, outcome]).inc();
        report(channel, &leased, &settled, &mut health);
        outbox.settle(leased.row, settled).await;
    }
}

/// Whether the last attempt went well, so that a change is told once and a
/// destination that stays broken does not fill the log.
#[derive(Default)]
struct Health {
    failing: bool,
}

impl Health {
    /// True if this is a change.
    fn now(&mut self, failing: bool) -> bool {
        std::mem::replace(&mut self.failing, failing) != failing
    }
}

fn settle(leased: &Leased, sent: Sent, now_ms: i64) -> (&'static str, Settled) {
    match sent {
        Sent::Done { thread } => ("sent", Settled::Done { thread }),
        Sent::Dead { reason } => ("dead", Settled::Dead { reason }),
        Sent::Retry { after, reason, in_doubt } => {
            // Never at once: an answer of "retry after 0" must not become a busy loop.
            let wait = after
                .map_or_else(|| backoff(leased.row, leased.attempt), |asked| asked.clamp(FIRST_WAIT, LONGEST_ASKED));
            let at_ms = now_ms.saturating_add(millis(wait));
            if is_too_old(leased.first_attempt_ms, now_ms) {
                let reason = format!("given up after 24 hours; last: {reason}");
                return ("dead", Settled::TooOld { at_ms, reason, in_doubt });
            }
            let outcome = if in_doubt { "in_doubt" } else { "retried" };
            (outcome, Settled::RetryAt { at_ms, reason, in_doubt })
        }
    }
}

/// Whether what was first tried then is given up.
pub fn is_too_old(first_attempt_ms: i64, now_ms: i64) -> bool {
    now_ms.saturating_sub(first_attempt_ms) >= millis(GIVE_UP_AFTER)
}

/// Doubles from one second to five minutes, less up to a tenth of it.
///
/// The jitter comes from the row's number: it spreads rows that failed together
/// as well as chance would, and a test can say what comes out.
fn backoff(row: u64, attempt: u32) -> Duration {
    let doublings = attempt.saturating_sub(1).min(16);
    let wait = FIRST_WAIT.saturating_mul(1 << doublings).min(LONGEST_WAIT);
    let spread = row.wrapping_add(u64::from(attempt)).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56;
    // Below 256, so nothing is lost in the cast.
    wait - wait / 10 * (spread as u32) / 256
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// Reasons are ours and hold neither secrets nor log text, so they may be logged.
fn report(channel: &'static str, leased: &Leased, settled: &Settled, health: &mut Health) {
    let (escalation, kind) = leased.message.about();
    let attempt = leased.attempt;
    match settled {
        Settled::Done { .. } => {
            if health.now(false) {
                warn!(channel, "delivery works again");
            }
            info!(channel, escalation, kind, attempt, "notice delivered");
        }
        Settled::RetryAt { reason, .. } => {
            if health.now(true) {
                warn!(channel, escalation, kind, reason, "delivery fails; trying again until it works");
            }
        }
        // Says nothing about the destination's health: the next notice may well go through.
        Settled::Dead { reason } | Settled::TooOld { reason, .. } => {
            error!(channel, escalation, kind, attempt, reason, "notice could not be delivered");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::VecDeque, sync::Mutex};

    use prometheus::Opts;

    use super::super::notice::{NoticeKind, tests::notice};
    use super::*;

    const NOW: i64 = 1_795_356_200_000;

    /// Hands out rows in order, remembers what became of them, then closes.
    #[derive(Default)]
    struct Shelf {
        due: Mutex<VecDeque<Leased>>,
        settled: Mutex<Vec<(u64, Settled)>>,
    }

    impl Outbox for Shelf {
        async fn lease(&self, destination: &'static str) -> Option<Leased> {
            assert_eq!(destination, "scripted");
            self.due.lock().expect("no test panics with it").pop_front()
        }

        async fn settle(&self, row: u64, outcome: Settled) {
            self.settled.lock().expect("no test panics with it").push((row, outcome));
        }
    }

    /// Answers from a list and remembers the threads it was given.
    struct Scripted {
        answers: VecDeque<Sent>,
        threads: Arc<Mutex<Vec<Option<String>>>>,
    }

    impl Destination for Scripted {
        fn name(&self) -> &'static str {
            "scripted"
        }

        async fn send(&mut self, _: &Message, thread: Option<&str>) -> Sent {
            self.threads.lock().expect("no test panics with it").push(thread.map(str::to_owned));
            self.answers.pop_front().expect("one answer for every row")
        }
    }

    fn leased(row: u64, attempt: u32) -> Leased {
        let message = Message::One(Box::new(notice(NoticeKind::Opened)));
        Leased { row, attempt, first_attempt_ms: NOW, message, thread: None }
    }

    fn retry(after: Option<u64>) -> Sent {
        Sent::Retry { after: after.map(Duration::from_secs), reason: "it rained".into(), in_doubt: false }
    }

    #[tokio::test]
    async fn every_row_is_sent_in_order_settled_and_counted_once() {
        let mut second = leased(8, 2);
        second.thread = Some("171.5".into());
        let shelf = Arc::new(Shelf {
            due: Mutex::new([leased(7, 1), second, leased(9, 1), leased(10, 1)].into()),
            settled: Mutex::default(),
        });
        let threads = Arc::new(Mutex::default());
        let doubt = Sent::Retry { after: Some(Duration::from_secs(9)), reason: "no answer".into(), in_doubt: true };
        let done = Sent::Done { thread: Some("171.5".into()) };
        let dead = Sent::Dead { reason: "too long".into() };
        let scripted = Scripted { answers: [done, retry(Some(30)), doubt, dead].into(), threads: Arc::clone(&threads) };
        let deliveries = IntCounterVec::new(Opts::new("d", "d"), &["channel", "outcome"]).expect("valid names");

        deliver(Arc::clone(&shelf), scripted, deliveries.clone(), || NOW).await;

        assert_eq!(
            *shelf.settled.lock().expect("no test panics with it"),
            [
                (7, Settled::Done { thread: Some("171.5".into()) }),
                (8, Settled::RetryAt { at_ms: NOW + 30_000, reason: "it rained".into(), in_doubt: false }),
                (9, Settled::RetryAt { at_ms: NOW + 9_000, reason: "no answer".into(), in_doubt: true }),
                (10, Settled::Dead { reason: "too long".into() }),
            ]
        );
        assert_eq!(*threads.lock().expect("no test panics with it"), [None, Some("171.5".into()), None, None]);
        for outcome in ["sent", "retried", "in_doubt", "dead"] {
            let counter = deliveries.with_label_values(&["scripted", outcome]);
            assert_eq!(counter.get(), 1, "{outcome}");
        }
    }

    #[test]
    fn what_a_destination_asks_for_is_obeyed_within_bounds() {
        for (asked, waited) in [(0, 1), (1, 1), (30, 30), (900, 900), (1_000_000_000, 900)] {
            let (_, settled) = settle(&leased(1, 5), retry(Some(asked)), NOW);
            let Settled::RetryAt { at_ms, .. } = settled else {
                panic!("{settled:?}");
            };
            assert_eq!(at_ms - NOW, waited * 1_000, "asked for {asked} s");
        }
    }

    #[test]
    fn the_wait_doubles_up_to_five_minutes() {
        for row in 0..500 {
            for (attempt, full_ms) in
                [(0, 1_000), (1, 1_000), (2, 2_000), (5, 16_000), (9, 256_000), (10, 300_000), (u32::MAX, 300_000)]
            {
                let waited = millis(backoff(row, attempt));
                assert!(waited <= full_ms && waited >= full_ms * 9 / 10, "row {row}, attempt {attempt}: {waited} ms");
            }
        }
        assert_ne!(backoff(1, 5), backoff(2, 5), "rows that fail together spread");
    }

    #[test]
    fn a_row_is_given_up_after_a_day_but_not_before() {
        let old = |age_ms| Leased { first_attempt_ms: NOW - age_ms, ..leased(1, 300) };
        let day = 24 * 3600 * 1000;
        let (outcome, _) = settle(&old(day - 1), retry(None), NOW);
        assert_eq!(outcome, "retried");
        let (outcome, settled) = settle(&old(day), retry(Some(5)), NOW);
        let reason = "given up after 24 hours; last: it rained".into();
        assert_eq!((outcome, settled), ("dead", Settled::TooOld { at_ms: NOW + 5000, reason, in_doubt: false }));
        let done = Sent::Done { thread: None };
        assert_eq!(settle(&old(2 * day), done, NOW).0, "sent");
    }

    #[test]
    fn only_a_change_of_health_is_told() {
        let mut health = Health::default();
        let told = [false, true, true, true, false, false].map(|failing| health.now(failing));
        assert_eq!(told, [false, true, false, false, true, false]);
    }
}
