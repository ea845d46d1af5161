//! The two payloads: what FireLens makes of a service that logs large JSON orders, and of an nginx.
//!
//! Made from a fixed seed, so that two runs send the same lines but for their dates. By default the lines of
//! 24 services are mixed one by one, as one collector for a whole host sends them: every match is then nearly
//! always the first of its group in its batch, which is the dearest case. A sidecar's body is one service's.

use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

/// Enough for one burst of 44 bodies of 2.2 MB.
const PAYLOAD_BYTES: usize = 99_000_000;
/// Lines in a thousand whose level is `error`, and as many again with a status of 500 and more.
const IN_A_THOUSAND: u64 = 50;
/// Items of an order: what brings a line of payload A to its 4.45 KB and 820 backslashes.
const ITEMS: usize = 32;

pub(crate) struct Payload {
    pub(crate) name: &'static str,
    pub(crate) bytes: Vec<u8>,
    pub(crate) lines: u64,
    /// Lines that the built-in watches match.
    pub(crate) matching: u64,
}

/// xorshift64*, by Vigna: enough to vary names and numbers.
struct Random(u64);

impl Payload {
    /// Payload A: eight outer keys, `log` an order as escaped JSON with a quote every four bytes.
    pub(crate) fn firelens(services: u64) -> Payload {
        let mut inner = Vec::new();
        generate("A firelens-4k", 0x00E1_1E57, move |random, out| {
            let dice = random.below(1000);
            let (level, status, matches) = match dice {
                _ if dice < IN_A_THOUSAND => ("error", 200, true),
                _ if dice < 2 * IN_A_THOUSAND => ("warn", 500 + random.below(4), true),
                _ if dice < 150 => ("debug", 200, false),
                _ => ("info", 200 + random.below(2), false),
            };
            order(random, level, status, &mut inner);
            envelope(random, "orders", services, out);
            escape(&inner, out);
            out.extend_from_slice(b"\"}\n");
            matches
        })
    }

    /// Payload B: the same envelope around a line of nginx's `combined` format.
    pub(crate) fn nginx(services: u64) -> Payload {
        let mut inner = Vec::new();
        generate("B nginx-300", 0x0B0B_0B0B, move |random, out| {
            let matches = random.below(1000) < IN_A_THOUSAND;
            let status =
                if matches { 500 + random.below(5) } else { *random.pick(&[200, 200, 200, 204, 301, 304, 404]) };
            inner.clear();
            put(
                &mut inner,
                format_args!(
                    "10.{}.{}.{} - - [22/Nov/2026:04:12:{:02} +0000] \"{} /api/{}/{} HTTP/1.1\" {status} {} \"-\" \"{}\"",
                    random.below(256),
                    random.below(256),
                    random.below(256),
                    random.below(60),
                    random.pick(&["GET", "GET", "GET", "POST"]),
                    random.pick(&["items", "cart", "orders", "users"]),
                    random.below(100_000),
                    random.below(20_000),
                    random.pick(&[
                        "curl/8.5.0 (x86_64-pc-linux-gnu)",
                        "okhttp/4.12.0 (Android 15)",
                        "Go-http-client/1.1 (eu-west)"
                    ]),
                ),
            );
            envelope(random, "edge", services, out);
            escape(&inner, out);
            out.extend_from_slice(b"\"}\n");
            matches
        })
    }

    /// Bodies of whole lines, each as near to `limit` bytes as they fit.
    pub(crate) fn bodies(&self, limit: usize) -> Vec<&[u8]> {
        let mut bodies = Vec::new();
        let mut rest = self.bytes.as_slice();
        while !rest.is_empty() {
            let window = rest.get(..limit).unwrap_or(rest);
            let end = window.iter().rposition(|b| *b == b'\n').map_or(rest.len(), |at| at + 1);
            let (body, after) = rest.split_at(end);
            bodies.push(body);
            rest = after;
        }
        bodies
    }

    pub(crate) fn about(&self) -> String {
        let backslashes = self.bytes.iter().filter(|b| **b == b'\\').count();
        format!(
            "payload {}: {} lines, {:.1} MB, {:.0} bytes and {:.1} backslashes a line, {:.2} % match",
            self.name,
            self.lines,
            self.bytes.len() as f64 / 1e6,
            self.bytes.len() as f64 / self.lines as f64,
            backslashes as f64 / self.lines as f64,
            self.matching as f64 * 100.0 / self.lines as f64,
        )
    }
}

fn generate(name: &'static str, seed: u64, mut line: impl FnMut(&mut Random, &mut Vec<u8>) -> bool) -> Payload {
    let mut random = Random(seed);
    let mut payload = Payload { name, bytes: Vec::with_capacity(PAYLOAD_BYTES + 8192), lines: 0, matching: 0 };
    while payload.bytes.len() < PAYLOAD_BYTES {
        payload.matching += u64::from(line(&mut random, &mut payload.bytes));
        payload.lines += 1;
    }
    payload
}

/// Up to and with the opening quote of `log`. Dated now: the record's own time decides where it counts.
fn envelope(random: &mut Random, family: &str, services: u64, out: &mut Vec<u8>) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let service = random.below(services);
    let mut hex = Random(service + 1);
    let (id, task) = ([hex.next(), hex.next(), hex.next(), hex.next()], [hex.next(), hex.next()]);
    put(
        out,
        format_args!(
            "{{\"date\":{now}.{:06},\"container_id\":\"{:016x}{:016x}{:016x}{:016x}\",\
             \"container_name\":\"{family}-{service:02}\",\"source\":\"stdout\",\"ecs_cluster\":\"production-eu\",\
             \"ecs_task_arn\":\"arn:aws:ecs:eu-west-1:123456789012:task/production-eu/{:016x}{:016x}\",\
             \"ecs_task_definition\":\"{family}-{service:02}:17\",\"log\":\"",
            random.below(1_000_000),
            id[0],
            id[1],
            id[2],
            id[3],
            task[0],
            task[1],
        ),
    );
}

/// An order as a service logs it: a few fields that matter, many that do not.
fn order(random: &mut Random, level: &str, status: u64, out: &mut Vec<u8>) {
    out.clear();
    put(
        out,
        format_args!(
            "{{\"timestamp\":\"2026-11-22T04:12:{:02}.{:03}Z\",\"level\":\"{level}\",\"logger\":\"shop.orders.Pipeline\",\
             \"thread\":\"worker-{}\",\"message\":\"order {} passed stage {} of the pipeline\",\"status\":{status},\
             \"duration_ms\":{}.{},\"trace_id\":\"{:016x}{:016x}\",\"request\":{{\"method\":\"POST\",\"path\":\"/v2/orders/{}\",\
             \"bytes\":{}}},\"customer\":{{\"id\":\"c-{}\",\"tier\":\"gold\",\"city\":\"M\u{e1}laga\",\"note\":\"leave at the\\ndoor\"}},\
             \"items\":[",
            random.below(60),
            random.below(1000),
            random.below(32),
            random.below(10_000_000),
            random.below(9),
            random.below(900),
            random.below(10),
            random.next(),
            random.next(),
            random.below(10_000_000),
            random.below(60_000),
            random.below(1_000_000),
        ),
    );
    for item in 0..ITEMS {
        let comma = if item == 0 { "" } else { "," };
        put(
            out,
            format_args!(
                "{comma}{{\"sku\":\"{:05x}\",\"name\":\"{}\",\"qty\":{},\"price\":\"{}.{:02}\",\"tax\":\"{}.{:02}\",\"cur\":\"EUR\"}}",
                random.below(0x10_0000),
                random.pick(&["lamp", "chair", "desk", "shelf", "sofa", "rug"]),
                1 + random.below(9),
                random.below(1000),
                random.below(100),
                random.below(100),
                random.below(100),
            ),
        );
    }
    put(
        out,
        format_args!(
            "],\"shipping\":{{\"carrier\":\"dhl\",\"service\":\"express\",\"zone\":\"eu-{}\",\"street\":\"Calle Larios {}\",\
             \"zip\":\"29005\",\"country\":\"ES\"}},\"payment\":{{\"method\":\"card\",\"brand\":\"visa\",\"auth\":\"{:08x}\",\
             \"state\":\"captured\"}},\"flags\":[\"gift\",\"insured\",\"tracked\"],\"build\":\"2026.11.{}\",\
             \"region\":\"eu-west-1\",\"zone\":\"b\"}}",
            random.below(9),
            random.below(300),
            random.below(1 << 32),
            random.below(30),
        ),
    );
}

/// As a JSON string holds it.
fn escape(text: &[u8], out: &mut Vec<u8>) {
    for byte in text {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', *byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            other => out.push(*other),
        }
    }
}

fn put(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("a vector takes every byte");
}

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn below(&mut self, end: u64) -> u64 {
        (self.next() >> 32) % end.max(1)
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len() as u64) as usize]
    }
}
