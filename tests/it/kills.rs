//! Counted once: the program is killed again and again, answers are lost, and at the end what Fluent Bit saw
//! acknowledged is what was counted, line for line.

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use crate::soak::{self, Chance, Plan, Tally};
use crate::story::{CLUSTER, flood, group, matched_total, metric, now, start, wait_ready};
use crate::world::fluent_bit::{Forwarder, Says, Settings, firelens_line};
use crate::world::http::{Connection, Request};
use crate::world::program::Program;
use crate::world::{Address, Mode, Proxy, eventually};

const WATCH: &str = "kill_test";
const SERVICES: [&str; 3] = ["payments", "cart", "search"];
const REPEATS: &str = "batches_total{answer=\"repeat\"}";

/// A watch that every line of these tests matches, and that never fires.
fn config() -> String {
    format!(
        "[[watch]]\nlabel = \"{WATCH}\"\nmatch = {{ field = \"status\", gte = 500 }}\nthreshold = 1000000000000\n\
         window_seconds = 86400\non_crossing = \"log\"\n\n[store]\nsnapshot_seconds = 1\n"
    )
}

fn service_of(id: u64) -> &'static str {
    SERVICES[id as usize % SERVICES.len()]
}

fn hand_over(forwarder: &Forwarder, chunks: u64, chance: &mut Chance) {
    for _ in 0..chunks {
        forwarder.chunk(1 + chance.below(40), |id| {
            firelens_line(id, service_of(id), CLUSTER, Says::Access { status: 503 }, Some(now()))
        });
    }
}

/// Acknowledged lines and counted ones are the same, in sum and by group.
fn assert_counted_once(program: &Program, acknowledged: &[u64]) {
    let mut by_service: BTreeMap<&str, u64> = BTreeMap::new();
    for id in acknowledged {
        *by_service.entry(service_of(*id)).or_default() += 1;
    }
    assert_eq!(matched_total(program, WATCH), acknowledged.len() as u64, "acknowledged lines and counted lines");
    for (service, lines) in by_service {
        assert_eq!(group(program, WATCH, service), Some((lines, "quiet".into())), "{service}");
    }
}

#[test]
fn over_a_hundred_kills_no_acknowledged_line_is_lost_and_none_is_counted_twice() {
    let halves = thread::scope(|scope| {
        let halves = [5, 6].map(|seed| scope.spawn(move || soak::run(&Plan { kills: 55, seed, progress: |_, _| {} })));
        halves.map(|half| half.join().expect("a half that ends"))
    });
    let sum = |of: fn(&Tally) -> u64| halves.iter().map(of).sum::<u64>();
    assert_eq!((sum(|half| half.lost), sum(|half| half.doubled)), (0, 0), "{halves:#?}");
    // Else it proves nothing: what came between the sync and the answer is what a ledger is for.
    assert!(sum(Tally::between) >= 50 && sum(|half| half.repeats) >= 50, "{halves:#?}");
    assert!(sum(|half| half.acknowledged) >= 5_000, "{halves:#?}");
}

#[test]
fn with_three_in_ten_answers_lost_every_line_still_counts_once() {
    let program = start(&config());
    // Each connection loses its answer number k + 1, k drawn so that of all answers three in ten are lost.
    let proxy = Proxy::start(program.ingest(), |connection| {
        let mut chance = Chance { seed: connection as u64, drawn: 0 };
        let after = (0..).take_while(|_| chance.below(10) >= 3).count();
        Mode::SwallowAnswer { after }
    });
    let forwarder = Forwarder::start(Address::new(proxy.address()), Settings::default());
    hand_over(&forwarder, 300, &mut Chance { seed: 7, drawn: 0 });
    let report = forwarder.wait_done(Duration::from_secs(60));
    assert!(report.dropped.is_empty(), "{:?}", report.dropped);
    assert_eq!(report.acknowledged_chunks, 300);
    assert_counted_once(&program, &report.acknowledged);
    let swallowed = proxy.swallowed() as u64;
    assert!((60..400).contains(&swallowed), "{swallowed}");
    // Whatever was answered and not heard came again, and was known.
    assert_eq!(metric(&program, REPEATS), swallowed);
    assert_eq!(metric(&program, "batches_total{answer=\"counted\"}"), 300);
    assert_eq!(metric(&program, "lines_total{outcome=\"matched\"}"), report.acknowledged.len() as u64);
}

/// As Fluent Bit sends it: no `Accept`.
pub(crate) fn as_fluent_bit(body: &str) -> Request {
    Request::bare("POST", "/ingest")
        .header("Content-Type", "application/x-ndjson")
        .header("User-Agent", "Fluent-Bit")
        .header("Connection", "keep-alive")
        .body(body)
}

#[test]
fn equal_bytes_count_again_once_the_first_delivery_is_confirmed() {
    let program = start(&config());
    let body = flood("payments", 10);
    let mut connection = Connection::open(program.ingest_addr());
    // The second request on the connection shows that the first answer was heard.
    for counted in [10, 20, 30] {
        assert_eq!(connection.send(&as_fluent_bit(&body)).status, 204);
        assert_eq!(matched_total(&program, WATCH), counted);
    }
    assert_eq!(metric(&program, REPEATS), 0);
}

#[test]
fn equal_bytes_on_another_connection_are_a_repeat_until_the_first_delivery_is_confirmed() {
    let mut program = start(&config());
    let body = flood("payments", 10);
    let mut first = Connection::open(program.ingest_addr());
    assert_eq!(first.send(&as_fluent_bit(&body)).status, 204);
    assert_eq!(Connection::open(program.ingest_addr()).send(&as_fluent_bit(&body)).status, 204);
    // A receiver decodes before it compares.
    assert_eq!(Connection::open(program.ingest_addr()).send(&as_fluent_bit(&body).gzip()).status, 204);
    assert_eq!((matched_total(&program, WATCH), metric(&program, REPEATS)), (10, 2));

    // It is known over a kill, too.
    program.kill9();
    program.restart();
    wait_ready(&program);
    let mut second = Connection::open(program.ingest_addr());
    assert_eq!(second.send(&as_fluent_bit(&body)).status, 204);
    assert_eq!((matched_total(&program, WATCH), metric(&program, REPEATS)), (10, 1));

    // Another body of the same sender is none; and the repeat's answer was heard, so the next one counts.
    assert_eq!(second.send(&as_fluent_bit(&flood("payments", 1))).status, 204);
    assert_eq!(Connection::open(program.ingest_addr()).send(&as_fluent_bit(&body)).status, 204);
    assert_eq!(matched_total(&program, WATCH), 21);
}

#[test]
fn a_closed_connection_confirms_nothing_and_another_sender_is_no_repeat() {
    let program = start(&config());
    let body = flood("payments", 10);
    let tagged = |tag: &str| as_fluent_bit(&body).header("X-Tag", tag);
    for _ in 0..3 {
        drop(Connection::open(program.ingest_addr()).send(&tagged("app-firelens-1")));
    }
    assert_eq!(matched_total(&program, WATCH), 10);
    drop(Connection::open(program.ingest_addr()).send(&tagged("app-firelens-2")));
    assert_eq!((matched_total(&program, WATCH), metric(&program, REPEATS)), (20, 2));
}

#[test]
fn a_request_with_an_accept_header_always_counts() {
    let program = start(&config());
    let body = flood("payments", 10);
    for accept in ["*/*", "application/json"] {
        let request = as_fluent_bit(&body).header("Accept", accept);
        let mut connection = Connection::open(program.ingest_addr());
        for request in [&request, &request] {
            assert!([200, 204].contains(&connection.send(request).status));
        }
        assert!([200, 204].contains(&Connection::open(program.ingest_addr()).send(&request).status));
    }
    assert_eq!((matched_total(&program, WATCH), metric(&program, REPEATS)), (60, 0));
}

#[test]
fn a_body_that_ends_early_counts_nothing_and_its_retry_counts_whole() {
    let program = start(&config());
    let body = flood("payments", 10);
    let mut broken = Connection::open(program.ingest_addr());
    broken.write_partial(&as_fluent_bit(&body), body.len() - 1);
    drop(broken);
    Connection::open(program.ingest_addr()).write_partial_and_reset(&as_fluent_bit(&body), body.len() / 2);
    eventually("both are known to have ended", Duration::from_secs(30), || {
        (metric(&program, "batches_total{answer=\"aborted\"}") == 2).then_some(())
    });
    assert_eq!(matched_total(&program, WATCH), 0);
    assert_eq!(Connection::open(program.ingest_addr()).send(&as_fluent_bit(&body)).status, 204);
    assert_eq!((matched_total(&program, WATCH), metric(&program, REPEATS)), (10, 0));
}
