//! What is sold, and how that fails.
//!
//! The shop has a supervisor, which outlives what it restarts, and a worker, which has the pool of connections. A
//! restart throws the worker away with whatever was wrong in it, and changes nothing outside.

use std::any::Any;
use std::cell::RefCell;
use std::panic;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::basket::{self, BROKEN, Line, SOUND};
use crate::log::Log;
use crate::mode::Mode;

const POOL: usize = 4;
/// How long a sale waits for a connection.
const PATIENCE: Duration = Duration::from_millis(50);
/// Idempotency keys of restarts that are remembered.
const KEYS: usize = 100;

const BOOK: Line = Line { cents: 1200, pieces: 2, is_gift: false };
const BOOKMARK: Line = Line { cents: 100, pieces: 1, is_gift: true };
/// Baskets that customers bring, in turn.
const BASKETS: [&[Line]; 3] = [&[BOOK], &[BOOK, BOOKMARK], &[BOOKMARK]];

pub struct Shop {
    log: Log,
    sold: AtomicU64,
    failed: AtomicU64,
    state: Mutex<State>,
}

struct State {
    mode: Option<Mode>,
    revision: u32,
    worker: Arc<Worker>,
    restarts: u64,
    /// Restarts that were asked for with a key, the newest last.
    keys: Vec<String>,
}

/// What a restart makes anew.
struct Worker {
    pool: Semaphore,
}

/// Why something was not sold.
struct Failure {
    message: String,
    /// What it logs besides.
    more: Value,
    /// The second line that some services write of one fault.
    epilogue: Option<&'static str>,
}

impl Worker {
    fn new() -> Arc<Worker> {
        Arc::new(Worker { pool: Semaphore::new(POOL) })
    }

    /// One whose connections were all taken, those in use as well, and never given back.
    fn leaked() -> Arc<Worker> {
        Arc::new(Worker { pool: Semaphore::new(0) })
    }
}

impl Shop {
    pub fn new(log: Log) -> Shop {
        log.say(SOUND, "info", "the shop is open", json!({"pool": POOL}));
        let state = State { mode: None, revision: SOUND, worker: Worker::new(), restarts: 0, keys: Vec::new() };
        Shop { log, sold: AtomicU64::new(0), failed: AtomicU64::new(0), state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sells one basket. `Err`: what the customer is told.
    pub async fn buy(&self) -> Result<Value, &'static str> {
        let begin = Instant::now();
        let (mode, revision, worker) = {
            let state = self.state();
            (state.mode, state.revision, state.worker.clone())
        };
        let turn = self.sold.load(Ordering::Relaxed) + self.failed.load(Ordering::Relaxed);
        let basket = BASKETS.get(turn as usize % BASKETS.len()).copied().unwrap_or_default();
        let sold = sell(&worker, mode, basket, revision).await;
        let status = if sold.is_ok() { 200 } else { 500 };
        let counted = if sold.is_ok() { &self.sold } else { &self.failed };
        let order = counted.fetch_add(1, Ordering::Relaxed) + 1;
        if let Err(failure) = &sold {
            self.log.say(revision, "error", &failure.message, failure.more.clone());
        }
        let level = if sold.is_ok() { "info" } else { "error" };
        let took = begin.elapsed().as_secs_f64() * 1000.0;
        let request = json!({"method": "GET", "path": "/buy", "status": status, "duration_ms": took.round()});
        self.log.say(revision, level, "GET /buy", request);
        match sold {
            Ok(cents) => Ok(json!({"order": order, "cents": cents})),
            Err(failure) => {
                if let Some(epilogue) = failure.epilogue {
                    self.log.say(revision, "critical", epilogue, json!({}));
                }
                Err("nothing can be bought right now")
            }
        }
    }

    /// Breaks it.
    pub fn trigger(&self, mode: Mode) {
        let mut state = self.state();
        let before = state.revision;
        // Nothing of what was broken before stays: at most one thing is.
        state.mode = Some(mode);
        state.revision = if mode == Mode::BadDeploy { BROKEN } else { SOUND };
        state.worker = if mode == Mode::PoolLeaked { Worker::leaked() } else { Worker::new() };
        if state.revision != before {
            self.log.say(state.revision, "info", "the shop is open", json!({"pool": POOL}));
        }
    }

    /// The shop's own hook: has its database take connections again. Whoever plays the world can end any fault with
    /// it by naming it. `false`: there was nothing that it ends.
    pub fn resolve(&self, named: Option<Mode>) -> bool {
        let mut state = self.state();
        if state.mode.is_none() || state.mode != Some(named.unwrap_or(Mode::DatabaseRefused)) {
            return false;
        }
        if state.mode == Some(Mode::PoolLeaked) || state.revision != SOUND {
            state.worker = Worker::new();
        }
        state.mode = None;
        state.revision = SOUND;
        self.log.say(SOUND, "info", "reconnected to database", json!({}));
        true
    }

    /// What a supervisor does: the same program, started anew. Once for each key.
    pub fn restart(&self, key: Option<&str>) -> u64 {
        let mut state = self.state();
        if let Some(key) = key {
            if state.keys.iter().any(|known| known == key) {
                return state.restarts;
            }
            let surplus = (state.keys.len() + 1).saturating_sub(KEYS);
            state.keys.drain(..surplus);
            state.keys.push(key.to_owned());
        }
        state.worker = Worker::new();
        state.restarts += 1;
        // What was in the worker has gone with it; all else is as it was.
        if state.mode == Some(Mode::PoolLeaked) {
            state.mode = None;
        }
        let revision = state.revision;
        self.log.say(revision, "info", "stopping: asked to restart", json!({}));
        self.log.say(revision, "info", "the shop is open", json!({"pool": POOL}));
        state.restarts
    }

    pub fn status(&self) -> Value {
        let state = self.state();
        json!({
            "status": if state.mode.is_some() { "broken" } else { "ok" },
            "mode": state.mode.map(Mode::as_str),
            "revision": state.revision,
            "restarts": state.restarts,
            "pool": {"size": POOL, "free": state.worker.pool.available_permits()},
            "sold": self.sold.load(Ordering::Relaxed),
            "failed": self.failed.load(Ordering::Relaxed),
        })
    }
}

async fn sell(worker: &Worker, mode: Option<Mode>, basket: &[Line], revision: u32) -> Result<u64, Failure> {
    let plain = |message: String| Failure { message, more: json!({}), epilogue: None };
    if mode == Some(Mode::DatabaseRefused) {
        return Err(Failure {
            epilogue: Some("Service creates 500 error on endpoint /buy"),
            ..plain("ConnectionRefusedError: Unable to connect to database at 192.168.1.55".into())
        });
    }
    let connection = tokio::time::timeout(PATIENCE, worker.pool.acquire()).await;
    let Ok(Ok(_connection)) = connection else {
        let waited = PATIENCE.as_millis();
        return Err(plain(format!(
            "connection pool exhausted: {POOL} of {POOL} connections in use, waited {waited} ms for one"
        )));
    };
    if mode == Some(Mode::DependencyDown) {
        return Err(plain("payment provider cannot be reached: connect ECONNREFUSED pay.example:443".into()));
    }
    caught(|| basket::total(basket, revision))
        .map_err(|message| Failure { more: json!({"logger": "panic"}), ..plain(message) })
}

thread_local! {
    /// What the panic that is being caught says.
    static SAID: RefCell<Option<String>> = const { RefCell::new(None) };
    static CATCHES: RefCell<bool> = const { RefCell::new(false) };
}

/// A panic in `work` is what Rust would print of it. Other threads panic as ever.
fn caught<T>(work: impl FnOnce() -> T + panic::UnwindSafe) -> Result<T, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !CATCHES.with_borrow(|catches| *catches) {
                return before(info);
            }
            let place = info.location().map(ToString::to_string).unwrap_or_default();
            let said = format!("thread 'buy' panicked at {place}:\n{}", words(info.payload()));
            SAID.replace(Some(said));
        }));
    });
    CATCHES.replace(true);
    let done = panic::catch_unwind(work);
    CATCHES.replace(false);
    done.map_err(|payload| SAID.take().unwrap_or_else(|| words(&*payload)))
}

fn words(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log;

    fn shop() -> (Shop, tokio::sync::mpsc::Receiver<log::Line>) {
        let (log, lines) = Log::new(false);
        (Shop::new(log), lines)
    }

    fn logged(lines: &mut tokio::sync::mpsc::Receiver<log::Line>) -> String {
        let mut text = String::new();
        while let Ok(line) = lines.try_recv() {
            text.push_str(&format!("{}\n", line.text));
        }
        text
    }

    /// How many of six can be sold.
    async fn sold(shop: &Shop) -> usize {
        let mut sold = 0;
        for _ in 0..6 {
            sold += usize::from(shop.buy().await.is_ok());
        }
        sold
    }

    #[tokio::test]
    async fn a_leaked_pool_sells_nothing_until_a_restart_and_that_once_for_each_key() {
        let (shop, mut lines) = shop();
        assert_eq!(sold(&shop).await, 6);
        shop.trigger(Mode::PoolLeaked);
        assert_eq!((sold(&shop).await, shop.resolve(None)), (0, false));
        assert!(
            logged(&mut lines).contains("connection pool exhausted: 4 of 4 connections in use, waited 50 ms for one")
        );
        assert_eq!((shop.restart(Some("a")), shop.restart(Some("a")), sold(&shop).await), (1, 1, 6));
        assert_eq!(shop.restart(None), 2);
    }

    #[tokio::test]
    async fn a_database_that_refuses_is_cured_by_the_hook_and_by_no_restart() {
        let (shop, mut lines) = shop();
        shop.trigger(Mode::DatabaseRefused);
        shop.restart(None);
        assert_eq!(sold(&shop).await, 0);
        let text = logged(&mut lines);
        assert!(
            text.contains("\"msg\":\"ConnectionRefusedError: Unable to connect to database at 192.168.1.55\""),
            "{text}"
        );
        assert!(text.contains("\"level\":\"critical\"") && text.contains("Service creates 500 error on endpoint /buy"));
        assert!(shop.resolve(None));
        assert_eq!((sold(&shop).await, shop.status()["status"].as_str()), (6, Some("ok")));
    }

    #[tokio::test]
    async fn what_it_pays_through_is_cured_by_nothing_here() {
        let (shop, _lines) = shop();
        shop.trigger(Mode::DependencyDown);
        shop.restart(None);
        assert!(!shop.resolve(None));
        assert_eq!(sold(&shop).await, 0);
        assert!(shop.resolve(Some(Mode::DependencyDown)));
        assert_eq!(sold(&shop).await, 6);
    }

    #[tokio::test]
    async fn one_fault_after_another_is_never_two() {
        let (shop, _lines) = shop();
        shop.trigger(Mode::BadDeploy);
        shop.trigger(Mode::PoolLeaked);
        assert_eq!((sold(&shop).await, &shop.status()["revision"]), (0, &json!(41)));
        shop.trigger(Mode::DependencyDown);
        assert_eq!((&shop.status()["pool"]["free"], shop.resolve(Some(Mode::DependencyDown))), (&json!(4), true));
        assert_eq!((sold(&shop).await, shop.status()["status"].as_str()), (6, Some("ok")));
    }

    #[tokio::test]
    async fn a_bad_deploy_panics_in_its_own_source_and_survives_a_restart() {
        let (shop, mut lines) = shop();
        shop.trigger(Mode::BadDeploy);
        shop.restart(None);
        // One basket of three is of gifts only.
        assert_eq!((sold(&shop).await, &shop.status()["revision"]), (4, &json!(42)));
        let text = logged(&mut lines);
        let panic = "thread 'buy' panicked at deploy/chaos/src/basket.rs:";
        assert!(text.contains(panic) && text.contains("\\nattempt to divide by zero"), "{text}");
    }
}
