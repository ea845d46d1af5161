//! The fleet: six small services in containers, and the lines that FireLens would ship of them.
//!
//! The same seed gives the same lines in the same order, whatever the clock says; only their dates differ.

use jiff::{Timestamp, tz::TimeZone};
use serde_json::{Value, json};

use super::story::{TICK_MS, Trouble};

/// Where all but one run.
const CLUSTER: &str = "prod-eu";

/// What one service sends in one tick.
pub(super) struct Body {
    pub(super) tag: String,
    /// `json_lines`.
    pub(super) text: String,
    pub(super) lines: u64,
}

pub(super) struct Fleet {
    random: Random,
    /// Parts of lines that a tick still owes, of each service.
    owed: [f64; SERVICES.len()],
}

struct Service {
    name: &'static str,
    cluster: &'static str,
    /// In ordinary life.
    lines_a_second: f64,
    revision: u32,
    says: fn(&mut Random, i64) -> String,
}

const SERVICES: [Service; 6] = [
    Service { name: "web", cluster: CLUSTER, lines_a_second: 320.0, revision: 88, says: web },
    Service { name: "search", cluster: CLUSTER, lines_a_second: 190.0, revision: 12, says: search },
    Service { name: "orders", cluster: CLUSTER, lines_a_second: 140.0, revision: 17, says: orders },
    Service { name: "catalog", cluster: "prod-us", lines_a_second: 120.0, revision: 41, says: catalog },
    Service { name: "payments", cluster: CLUSTER, lines_a_second: 70.0, revision: 23, says: payments },
    Service { name: "mail", cluster: CLUSTER, lines_a_second: 30.0, revision: 9, says: mail },
];

/// Lines a second that tell of a trouble: few enough to see a watch fill, many enough to cross it.
const GATEWAY_ERRORS: f64 = 5.0;
const ORDERS_FAILED: f64 = 7.0;
const POOL_EMPTY: f64 = 2.0;
const PRICES_FAILED: f64 = 10.0;
const WORKERS_KILLED: f64 = 0.5;

impl Fleet {
    pub(super) fn new(seed: u64) -> Self {
        Self { random: Random(seed), owed: [0.0; SERVICES.len()] }
    }

    /// What comes between `at_ms` and the next tick.
    pub(super) fn tick(&mut self, trouble: Trouble, at_ms: i64) -> Vec<Body> {
        let mut bodies = Vec::with_capacity(SERVICES.len());
        for (service, owed) in SERVICES.iter().zip(&mut self.owed) {
            let random = &mut self.random;
            // A quarter more or less from tick to tick, as people come.
            *owed += service.lines_a_second * TICK_MS as f64 / 1000.0 * (0.75 + random.unit() / 2.0);
            let mut said: Vec<String> = Vec::new();
            while *owed >= 1.0 {
                *owed -= 1.0;
                said.push((service.says)(random, at_ms));
            }
            let mut revision = service.revision;
            match (service.name, trouble) {
                ("web", Trouble::DatabaseAway) => often(random, GATEWAY_ERRORS, &mut said, |r| bad_gateway(r, at_ms)),
                ("orders", Trouble::DatabaseAway) => {
                    often(random, ORDERS_FAILED, &mut said, |r| order_failed(r, at_ms));
                    often(random, POOL_EMPTY, &mut said, |r| pool_empty(r, at_ms));
                }
                ("catalog", Trouble::BadDeploy) => {
                    revision += 1;
                    often(random, PRICES_FAILED, &mut said, price_failed);
                    often(random, WORKERS_KILLED, &mut said, worker_killed);
                }
                _ => {}
            }
            bodies.push(body(service, revision, &said, at_ms));
        }
        bodies
    }
}

/// Adds as many as are due in a tick, the last of them by chance, somewhere among the others.
fn often(random: &mut Random, a_second: f64, said: &mut Vec<String>, line: impl Fn(&mut Random) -> String) {
    let due = a_second * TICK_MS as f64 / 1000.0;
    let count = due.floor() as u64 + u64::from(random.unit() < due.fract());
    for _ in 0..count {
        let place = random.below(said.len() as u64 + 1) as usize;
        said.insert(place, line(random));
    }
}

/// A log of several lines is as many records, as docker hands it on.
fn body(service: &Service, revision: u32, said: &[String], at_ms: i64) -> Body {
    let (cluster, service) = (service.cluster, service.name);
    let task =
        format!("{:032x}", u128::from(xxhash_rust::xxh3::xxh3_64(service.as_bytes())) << 32 | u128::from(revision));
    let mut body = Body { tag: format!("{service}-firelens-{task}"), text: String::new(), lines: 0 };
    for log in said.iter().flat_map(|log| log.split('\n')) {
        let record = json!({
            "date": at_ms as f64 / 1000.0,
            "source": "stdout",
            "log": log,
            "container_id": format!("{task}-1747590215"),
            "container_name": service,
            "ecs_cluster": cluster,
            "ecs_task_arn": format!("arn:aws:ecs:eu-west-1:123456789012:task/{cluster}/{task}"),
            "ecs_task_definition": format!("{service}:{revision}"),
        });
        body.text.push_str(&record.to_string());
        body.text.push('\n');
        body.lines += 1;
    }
    body
}

// What each says in ordinary life.

fn web(random: &mut Random, at_ms: i64) -> String {
    // The load balancer's own probe: no sign of life, and no part of anything.
    if random.below(200) == 0 {
        return access(random, at_ms, "GET /health", 200, "ELB-HealthChecker/2.0");
    }
    let request = match random.below(6) {
        0 => format!("POST /api/orders?cart={}", random.id()),
        1 => format!("GET /api/orders/{}", random.id()),
        2 => "GET /".to_owned(),
        3 => format!("GET /static/app.{:08x}.js", random.below(u64::from(u32::MAX))),
        4 => format!("GET /product/B-{}", random.below(4000)),
        _ => format!("GET /search?q={}", random.one_of(&["lamp", "desk", "chair", "shelf", "rug"])),
    };
    let status = match random.below(1000) {
        0..12 => 404,
        12..16 => 429,
        16 => 502,
        _ => 200,
    };
    access(random, at_ms, &request, status, "Mozilla/5.0 (X11; Linux x86_64)")
}

fn access(random: &mut Random, at_ms: i64, request: &str, status: u16, agent: &str) -> String {
    let client = format!("10.0.{}.{}", random.below(8), 1 + random.below(250));
    let at = clock(at_ms, "%d/%b/%Y:%H:%M:%S +0000");
    let bytes = 200 + random.below(9000);
    format!(r#"{client} - - [{at}] "{request} HTTP/1.1" {status} {bytes} "-" "{agent}""#)
}

fn search(random: &mut Random, at_ms: i64) -> String {
    let (at, took) = (clock(at_ms, "%Y-%m-%dT%H:%M:%SZ"), 1 + random.below(40));
    match random.below(40) {
        0 => format!("ts={at} level=info msg=\"segment merged\" segment={} docs={}", random.id(), random.below(90_000)),
        1 => format!("ts={at} level=debug msg=\"cache miss\" key=q:{}", random.id()),
        _ => format!("ts={at} level=info msg=\"query served\" hits={} took_ms={took}", random.below(900)),
    }
}

fn orders(random: &mut Random, at_ms: i64) -> String {
    let (method, url, status) = match random.below(3) {
        0 => ("POST", "/orders".to_owned(), 201),
        _ => ("GET", format!("/orders/{}", random.id()), 200),
    };
    let said = json!({"req": {"method": method, "url": url}, "status": status, "responseTime": 2 + random.below(30)});
    pino(30, "request completed", said, at_ms)
}

fn catalog(random: &mut Random, _at_ms: i64) -> String {
    match random.below(30) {
        0 => format!("INFO:catalog.cache:warmed {} prices in {} ms", random.below(5000), 20 + random.below(90)),
        _ => format!("INFO:catalog.prices:looked up B-{} in {} ms", random.below(4000), 1 + random.below(12)),
    }
}

fn payments(random: &mut Random, at_ms: i64) -> String {
    let at = clock(at_ms, "%Y-%m-%d %H:%M:%S");
    let thread = 1 + random.below(10);
    let (level, said) = match random.below(60) {
        0 => (" WARN", format!("charge ch_{} declined: insufficient funds", random.id())),
        1 => (" INFO", format!("settlement batch {} closed", random.below(900))),
        _ => (" INFO", format!("charge ch_{} accepted in {} ms", random.id(), 20 + random.below(200))),
    };
    format!(
        "{at}.{:03} {level} 1 --- [nio-8080-exec-{thread}] c.e.payments.ChargeService : {said}",
        at_ms.rem_euclid(1000)
    )
}

fn mail(random: &mut Random, _at_ms: i64) -> String {
    format!("[INFO] worker-{}: sent receipt {} in 0.{:02}s", 1 + random.below(4), random.id(), random.below(100))
}

// And in trouble.

fn bad_gateway(random: &mut Random, at_ms: i64) -> String {
    let request = format!("GET /api/orders/{}", random.id());
    access(random, at_ms, &request, 502, "Mozilla/5.0 (X11; Linux x86_64)")
}

fn order_failed(random: &mut Random, at_ms: i64) -> String {
    let error = json!({
        "req": {"method": "GET", "url": format!("/orders/{}", random.id())},
        "status": 503,
        "reason": "connect ECONNREFUSED 10.0.9.12:5432",
    });
    pino(50, "request failed", error, at_ms)
}

fn pool_empty(random: &mut Random, at_ms: i64) -> String {
    let waiting = json!({"waiting": 1 + random.below(40)});
    pino(50, "no connection to orders-db.internal:5432, request is waiting", waiting, at_ms)
}

fn price_failed(random: &mut Random) -> String {
    format!(
        "ERROR:catalog.prices:lookup of B-{} failed\nTraceback (most recent call last):\n  File \"/app/catalog/prices.py\", line 57, in look_up\n    return format_price(row, row[\"currency\"])\nKeyError: 'currency'",
        random.below(4000)
    )
}

fn worker_killed(random: &mut Random) -> String {
    format!("[CRITICAL] worker (pid:{}) was sent SIGKILL: out of memory", 7 + random.below(90))
}

fn pino(level: u32, said: &str, mut fields: Value, at_ms: i64) -> String {
    let mut line = json!({"level": level, "time": at_ms, "pid": 1});
    if let (Some(line), Some(fields)) = (line.as_object_mut(), fields.as_object_mut()) {
        line.append(fields);
        line.insert("msg".to_owned(), said.into());
    }
    line.to_string()
}

fn clock(at_ms: i64, form: &str) -> String {
    Timestamp::from_millisecond(at_ms).unwrap_or_default().to_zoned(TimeZone::UTC).strftime(form).to_string()
}

/// SplitMix64: all that a made-up fleet needs of chance.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// 0 for a bound of 0.
    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    /// In [0, 1).
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn id(&mut self) -> u64 {
        10_000 + self.below(90_000)
    }

    fn one_of<'a>(&mut self, words: &[&'a str]) -> &'a str {
        let place = self.below(words.len() as u64) as usize;
        words.get(place).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ten_seconds(seed: u64, trouble: Trouble) -> Vec<Body> {
        let mut fleet = Fleet::new(seed);
        (0..10_000 / TICK_MS).flat_map(|tick| fleet.tick(trouble, 1_795_356_181_000 + tick * TICK_MS)).collect()
    }

    #[test]
    fn the_same_seed_says_the_same_and_another_one_does_not() {
        let said = |seed| ten_seconds(seed, Trouble::DatabaseAway).into_iter().map(|b| b.text).collect::<String>();
        assert!(said(7) == said(7));
        assert!(said(7) != said(8));
    }

    #[test]
    fn every_line_is_a_record_and_every_service_sends_at_its_pace() {
        for trouble in [Trouble::None, Trouble::DatabaseAway, Trouble::BadDeploy] {
            let bodies = ten_seconds(1, trouble);
            let records = bodies.iter().flat_map(|b| b.text.lines());
            assert!(records.clone().all(|line| serde_json::from_str::<Value>(line).is_ok_and(|r| r.is_object())));
            assert_eq!(records.count() as u64, bodies.iter().map(|b| b.lines).sum::<u64>());
            let web: u64 = bodies.iter().filter(|b| b.tag.starts_with("web-")).map(|b| b.lines).sum();
            assert!((2_900..3_600).contains(&web), "{web}");
        }
    }
}
