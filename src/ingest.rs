//! `POST /ingest`: pulls frames, stages what their lines say, hands the batch to the ledger, answers.
//!
//! A body is never held: each frame is hashed, cut into lines and matched as it comes, and only the counts
//! remain. Nothing counts before the body has ended and the ledger has made it durable; a body that ends
//! early counts nothing, and its sender brings it again whole.

pub mod admission;
pub mod decode;
pub mod join;
pub mod lines;
pub mod msgpack;
pub mod quarantine;
pub mod reply;
pub mod services;
pub mod snappy;
pub mod split;
pub mod stage;
pub mod values;

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::header::{ACCEPT, CONTENT_ENCODING, CONTENT_LENGTH, FORWARDED, HeaderMap, VIA};
use hyper::http::request::Parts;
use hyper::{Request, Response};
use ipnet::IpNet;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::alarm::Alarm;
use crate::failpoint::Failpoint;
use crate::investigate::around::{Bounds, Recents};
use crate::ledger::{DeliveryKey, Ledger};
use crate::metrics::Metrics;
use crate::record::naming::Naming;
use crate::triage::novel::{Intake, Novelties};
use admission::{Admission, Room, Weight};
use decode::{Decoder, Encoding, Fed};
use quarantine::{From, Quarantine, Rest};
use reply::{Answer, Counts};
use services::Services;
use split::Split;
use stage::{Batch, Finished, Outcome};

#[derive(Clone)]
pub struct Settings {
    pub max_line_bytes: usize,
    /// Groups that one batch may stage; further ones count in their watch's `~other` group.
    pub max_groups_per_batch: usize,
    pub lateness_ms: i64,
    /// What the operator says about names.
    pub naming: Arc<Naming>,
    pub max_encoded_bytes: u64,
    pub max_decoded_bytes: u64,
    /// Lines of one body, blank ones too.
    pub max_lines: u64,
    /// Longer bodies read at once, and what they have announced; more wait unread, up to `admission_wait`.
    pub max_requests: usize,
    pub max_bytes_in_flight: u64,
    pub admission_wait: Duration,
    /// Bytes a second that a body must bring, over any [`RATE_SPAN`].
    pub min_body_rate: u64,
    /// From head to answer.
    pub request_time: Duration,
    /// Header that carries the Fluent Bit tag (`header_tag`), lower case.
    pub tag_header: String,
    /// Whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    pub quarantine: quarantine::Bounds,
    /// Where lines of unknown kinds go; `None`: nobody triages.
    pub intake: Option<Arc<Intake>>,
    /// What is kept of records for whoever investigates.
    pub around: Bounds,
}

/// Long enough for a network to stumble, short enough that a drip does not hold its connection for long.
const RATE_SPAN: Duration = Duration::from_secs(10);

/// Where the receiver is in its life.
#[derive(Clone)]
pub enum Phase {
    /// The store is being opened.
    Starting,
    Ready {
        ledger: Ledger,
        seed: u64,
    },
    Draining,
}

/// One connection: which answers on it are not known to be heard yet.
pub struct Peer {
    pub ip: IpAddr,
    /// The name of the client certificate that the connection was made with.
    pub certificate: Option<String>,
    /// The last delivery of each sender that an answer on this connection acknowledged (one Fluent Bit sends
    /// the chunks of all its tags over one connection). A plain lock: held for a look.
    acknowledged: Mutex<Vec<DeliveryKey>>,
}

/// Senders remembered of one connection; of more, the oldest stays unconfirmed until its time is up.
const SENDERS_MAX: usize = 64;

/// Everything that ingest needs; shared by all connections.
pub struct Ingest {
    settings: Settings,
    phase: watch::Receiver<Phase>,
    admission: Admission,
    metrics: Metrics,
    pub quarantine: Arc<Quarantine>,
    pub services: Arc<Services>,
    pub recents: Arc<Recents>,
    /// Unix milliseconds.
    clock: fn() -> i64,
}

impl Peer {
    pub fn new(ip: IpAddr, certificate: Option<String>) -> Peer {
        Peer { ip, certificate, acknowledged: Mutex::default() }
    }

    /// Its answer goes out now.
    fn acknowledge(&self, delivery: DeliveryKey) {
        let mut held = self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner);
        if held.len() >= SENDERS_MAX {
            held.remove(0);
        }
        held.push(delivery);
    }

    /// A request of this sender has come: what it was answered before, it has heard.
    fn heard(&self, sender: u64) -> Option<DeliveryKey> {
        let mut held = self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner);
        let place = held.iter().position(|delivery| delivery.sender == sender)?;
        Some(held.remove(place))
    }
}

impl Ingest {
    pub fn new(settings: Settings, phase: watch::Receiver<Phase>, metrics: Metrics, clock: fn() -> i64) -> Ingest {
        let admission = Admission::new(settings.max_requests, settings.max_bytes_in_flight, settings.admission_wait);
        let quarantine = Arc::new(Quarantine::new(settings.quarantine));
        let recents = Arc::new(Recents::new(settings.around));
        Ingest { settings, phase, admission, metrics, quarantine, services: Arc::default(), recents, clock }
    }

    /// Answers one request. `token`: the name that its credentials proved, empty where none are asked for.
    pub async fn handle<B>(&self, peer: &Peer, token: &str, request: Request<B>) -> Response<Full<Bytes>>
    where
        B: hyper::body::Body<Data = Bytes> + Unpin,
        B::Error: std::fmt::Display,
    {
        let begun = Instant::now();
        let person = reply::wants_json(request.headers());
        let deadline = begun + self.settings.request_time;
        let (head, mut body) = request.into_parts();
        let answer = match tokio::time::timeout_at(deadline, self.answer(peer, token, &head, &mut body)).await {
            Ok(answer) => answer,
            Err(_) => Answer::TooSlow,
        };
        // Answered early, a sender that still writes would see a reset in place of the answer, and try again
        // for ever. What it costs is bandwidth, and ends when the request's time does.
        if matches!(answer, Answer::TooLarge { .. } | Answer::TooManyLines { .. } | Answer::UnknownEncoding(_)) {
            tokio::time::timeout_at(deadline, drain(&mut body, u64::MAX)).await.unwrap_or_default();
        }
        self.metrics.ingest_seconds.observe(begun.elapsed().as_secs_f64());
        self.metrics.batches.with_label_values(&[answer.label()]).inc();
        reply::response(&answer, person, &self.metrics)
    }

    async fn answer<B>(&self, peer: &Peer, token: &str, head: &Parts, body: &mut B) -> Answer
    where
        B: hyper::body::Body<Data = Bytes> + Unpin,
        B::Error: std::fmt::Display,
    {
        let encoding = match Encoding::of(&head.headers) {
            Ok(encoding) => encoding,
            Err(name) => return Answer::UnknownEncoding(name),
        };
        let announced = head.headers.get(CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
        if announced.is_some_and(|bytes| bytes > self.settings.max_encoded_bytes) {
            return Answer::TooLarge { limit: self.settings.max_encoded_bytes, what: "encoded" };
        }
        let (ledger, seed) = match self.ready(self.admission.deadline()).await {
            Ok(ready) => ready,
            Err(answer) => return answer,
        };
        self.metrics.ingest_in_flight.inc();
        let in_flight = InFlight(&self.metrics);
        let sender = Sender::of(peer, token, &head.headers, &self.settings);
        // A later request on the connection that carried an answer shows that it was heard.
        if sender.connection_is_its_own
            && let Some(heard) = peer.heard(sender.id)
        {
            ledger.confirm(heard);
            Failpoint::Heard.pass();
        }
        // After the confirmation: what it confirms came before this request.
        let began = ledger.turn();
        let answer = match self.read(&ledger, seed, &sender, encoding, announced, body).await {
            Ok((batch, delivery, room)) => {
                Failpoint::Read.pass();
                self.commit(ledger, (batch, delivery, began), room).await
            }
            Err(answer) => answer,
        };
        if let Answer::Counted { delivery: Some(delivery), .. } = &answer {
            peer.acknowledge(*delivery);
            Failpoint::Answering.pass();
        }
        drop(in_flight);
        answer
    }

    async fn ready(&self, deadline: Instant) -> Result<(Ledger, u64), Answer> {
        let mut phase = self.phase.clone();
        loop {
            match &*phase.borrow_and_update() {
                Phase::Ready { ledger, seed } => return Ok((ledger.clone(), *seed)),
                Phase::Draining => return Err(Answer::Draining),
                Phase::Starting => {}
            }
            match tokio::time::timeout_at(deadline, phase.changed()).await {
                Ok(Ok(())) => {}
                _ => return Err(Answer::Starting),
            }
        }
    }

    /// Reads a body to its end: what it stages, or why nothing of it counts.
    async fn read<B>(
        &self,
        ledger: &Ledger,
        seed: u64,
        sender: &Sender<'_>,
        encoding: Encoding,
        announced: Option<u64>,
        body: &mut B,
    ) -> Result<(Batch, Option<DeliveryKey>, Room), Answer>
    where
        B: hyper::body::Body<Data = Bytes> + Unpin,
        B::Error: std::fmt::Display,
    {
        let batch = Batch::new(ledger.watches(), &self.settings, sender.owned(), (self.clock)());
        let mut reading = Reading { batch: Some(batch), metrics: &self.metrics };
        let Some(batch) = &mut reading.batch else { return Err(Answer::Aborted) };
        let mut split = Split::new(self.settings.max_line_bytes);
        let mut decoder = match Decoder::new(encoding) {
            Ok(decoder) => decoder,
            Err(error) => {
                tracing::error!(%error, encoding = encoding.as_str(), "no memory for a decoder");
                return Err(Answer::Overloaded);
            }
        };
        let weight = Weight::of(announced, encoding);
        let mut digest = xxhash_rust::xxh3::Xxh3::with_seed(seed);
        let (mut encoded, mut decoded) = (0u64, 0u64);
        let bounds = self.settings.quarantine;
        // `rest`: from here on nothing could be cut into records. `broken`: nothing could be decoded further.
        let (mut rest, mut broken) = (None, false);
        let mut room = None;
        let mut rate = Rate::new(self.settings.min_body_rate);
        loop {
            let frame = match tokio::time::timeout_at(rate.deadline(), body.frame()).await {
                Ok(Some(Ok(frame))) => frame,
                Ok(None) => break,
                Ok(Some(Err(error))) => {
                    tracing::debug!(%error, "body ended early: nothing of it counts");
                    return Err(Answer::Aborted);
                }
                Err(_) => return Err(Answer::Dripped),
            };
            let Ok(data) = frame.into_data() else { continue };
            Failpoint::Reading.pass();
            encoded += data.len() as u64;
            rate.came(data.len());
            if encoded > self.settings.max_encoded_bytes {
                return Err(Answer::TooLarge { limit: self.settings.max_encoded_bytes, what: "encoded" });
            }
            let mut left: &[u8] = &data;
            loop {
                if room.is_none() && weight.asks_at(encoded, decoded) {
                    // Unread until there is room: the sender's socket holds the bytes, not our memory.
                    let entered = self.admission.enter(weight, self.admission.deadline()).await;
                    room = Some(entered.ok_or(Answer::Overloaded)?);
                    rate.hold(announced, self.settings.request_time);
                }
                if broken {
                    rest.iter_mut().for_each(|rest: &mut Rest| rest.feed(left, bounds));
                    break;
                }
                let at = left;
                let fed = decoder.feed(&mut left, |plain| {
                    let before = decoded;
                    decoded += plain.len() as u64;
                    digest.update(plain);
                    if !split.feed(plain, |line| batch.line(line)) {
                        rest.get_or_insert_with(|| Rest::new(encoding, before, NO_RECORD)).feed(plain, bounds);
                    }
                    decoded <= self.settings.max_decoded_bytes && batch.lines_read() <= self.settings.max_lines
                });
                match fed {
                    Ok(Fed::All) => break,
                    Ok(Fed::More) => {}
                    Ok(Fed::Enough) if decoded > self.settings.max_decoded_bytes => {
                        return Err(Answer::TooLarge { limit: self.settings.max_decoded_bytes, what: "decoded" });
                    }
                    Ok(Fed::Enough) => {
                        return Err(Answer::TooManyLines { limit: self.settings.max_lines });
                    }
                    Err(error) => {
                        // What decoded before the fault counts; the rest is one rejected line.
                        undecodable(&error, encoding, decoded);
                        broken = true;
                        // Which of the bytes of this piece it was is not known: all of them are shown.
                        rest.get_or_insert_with(|| Rest::new(encoding, decoded, error)).feed(at, bounds);
                        break;
                    }
                }
                // Others have their turn, and deadlines theirs, however little of a body becomes however much.
                tokio::task::yield_now().await;
            }
        }
        if !broken
            && let Err(error) = decoder.finish(|plain| {
                let before = decoded;
                decoded += plain.len() as u64;
                digest.update(plain);
                if !split.feed(plain, |line| batch.line(line)) {
                    rest.get_or_insert_with(|| Rest::new(encoding, before, NO_RECORD)).feed(plain, bounds);
                }
            })
        {
            undecodable(&error, encoding, decoded);
            rest.get_or_insert_with(|| Rest::new(encoding, decoded, error));
        }
        // The record it broke off in is part of what was rejected.
        if rest.is_none() && !split.finish(|line| batch.line(line)) {
            rest = Some(Rest::new(encoding, decoded, "the body ends within a record"));
        }
        // Of a short body all lines may come only now.
        if batch.lines_read() > self.settings.max_lines {
            return Err(Answer::TooManyLines { limit: self.settings.max_lines });
        }
        if let Some(rest) = rest {
            batch.undecodable(rest);
        }
        self.metrics.bytes.inc_by(decoded);
        let delivery = sender.may_repeat.then(|| DeliveryKey { digest: digest.digest128(), sender: sender.id });
        let room = match room {
            Some(room) => room,
            None => self.admission.enter_small(self.admission.deadline()).await.ok_or(Answer::Overloaded)?,
        };
        reading.end().map(|batch| (batch, delivery, room)).ok_or(Answer::Aborted)
    }

    /// Hands a batch over and publishes what became of its lines: in a task of its own, so that neither a client
    /// that hangs up nor a deadline can come between the two.
    async fn commit(
        &self,
        ledger: Ledger,
        (batch, delivery, began): (Batch, Option<DeliveryKey>, u64),
        room: Room,
    ) -> Answer {
        let (metrics, now_ms) = (self.metrics.clone(), (self.clock)());
        let (quarantine, known, recents) = (self.quarantine.clone(), self.services.clone(), self.recents.clone());
        let committing = tokio::spawn(async move {
            // Held until the batch is gone: a disk that hangs must not let more and more of them wait.
            let _room = room;
            let Finished { staged, read, tally, services, rejects, novelties, around } = batch.finish(delivery, began);
            if tally.read() != read {
                metrics.tally_faults.inc();
                tracing::error!(
                    read,
                    outcomes = tally.read(),
                    "a batch's outcomes are not what was read: please report it"
                );
            }
            let has_effect = !staged.groups.is_empty();
            Failpoint::Staged.pass();
            let committed = ledger.commit(staged).await;
            metrics.lines_read.inc_by(read);
            let committed = match committed {
                Ok(committed) => committed,
                Err(_) => {
                    metrics.lines.with_label_values(&[Outcome::Aborted.as_str()]).inc_by(read);
                    return Answer::Unavailable;
                }
            };
            if committed.repeat {
                metrics.lines.with_label_values(&[Outcome::Repeat.as_str()]).inc_by(read);
            } else {
                tally.publish(&metrics);
                novelties.into_iter().for_each(Novelties::hand_over);
                if tally.rejected() > 0 {
                    // Whose records are all of one service, his rejected lines are of it too.
                    let service = if let [only] = services.as_slice() { Some(only.service.as_str()) } else { None };
                    metrics.quarantine_samples.add(quarantine.take(rejects, service, now_ms) as i64);
                }
                known.add(&services);
                recents.add(services.iter().map(|of| (of.cluster.as_str(), of.service.as_str())), around, now_ms);
                for service in &services {
                    service.publish(&metrics);
                    if let Some(newest_ms) = service.newest_ms {
                        ledger.shards().saw(&service.cluster, &service.service, newest_ms);
                    }
                }
            }
            let counts = Counts { tally, repeat: committed.repeat, crossed: committed.crossings };
            Answer::Counted { counts, delivery: delivery.filter(|_| has_effect) }
        });
        // It ends early only if it panicked, and then nobody knows what counts: the sender is to come again.
        committing.await.unwrap_or(Answer::Unavailable)
    }
}

static UNDECODABLE: Alarm = Alarm::new();

/// What came before the fault counts.
fn undecodable(error: &std::io::Error, encoding: Encoding, at_byte: u64) {
    if let Some(held_back) = UNDECODABLE.due() {
        let encoding = encoding.as_str();
        tracing::warn!(%error, encoding, at_byte, held_back, "a body cannot be decoded from there on");
    }
}

/// What is wrong with bytes that no record begins with.
const NO_RECORD: &str = "no record begins here";

/// Whether a body brings enough bytes. Between two looks there is a span in which it must.
struct Rate {
    /// Bytes that are enough for one span.
    enough: u64,
    came: u64,
    since: Instant,
}

impl Rate {
    fn new(bytes_a_second: u64) -> Rate {
        Rate { enough: bytes_a_second.saturating_mul(RATE_SPAN.as_secs()), came: 0, since: Instant::now() }
    }

    fn deadline(&self) -> Instant {
        self.since + RATE_SPAN
    }

    fn came(&mut self, bytes: usize) {
        self.came = self.came.saturating_add(bytes as u64);
        if self.came >= self.enough {
            self.restart();
        }
    }

    /// Who holds room must also be on the way to its end within the request's time. The wait for it did not count.
    fn hold(&mut self, announced: Option<u64>, request_time: Duration) {
        let needed = announced.unwrap_or(0) / request_time.as_secs().max(1);
        self.enough = self.enough.max(needed.saturating_mul(RATE_SPAN.as_secs()));
        self.restart();
    }

    fn restart(&mut self) {
        (self.came, self.since) = (0, Instant::now());
    }
}

/// How long a sender that was refused at once may go on writing.
const LINGER: Duration = Duration::from_secs(30);

/// Reads on, for a while, after the answer has gone out: closed with bytes unread, the connection is reset and
/// the answer lost. For answers that must not wait for the body. The connection has had its answer: it makes
/// room for others like one that is idle.
pub fn linger(mut body: hyper::body::Incoming, most: u64) {
    tokio::spawn(async move {
        tokio::time::timeout(LINGER, drain(&mut body, most)).await.unwrap_or_default();
    });
}

async fn drain<B>(body: &mut B, most: u64)
where
    B: hyper::body::Body<Data = Bytes> + Unpin,
{
    let mut left = most;
    while let Some(Ok(frame)) = body.frame().await {
        let bytes = frame.data_ref().map_or(0, |data| data.len() as u64);
        match left.checked_sub(bytes) {
            Some(rest) => left = rest,
            None => return,
        }
    }
}

/// A batch whose body has not ended. Dropped so, for whatever reason, its lines end as aborted.
struct Reading<'m> {
    batch: Option<Batch>,
    metrics: &'m Metrics,
}

impl Reading<'_> {
    /// The body has ended.
    fn end(mut self) -> Option<Batch> {
        self.batch.take()
    }
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        if let Some(batch) = &self.batch {
            self.metrics.lines_read.inc_by(batch.lines_read());
            self.metrics.lines.with_label_values(&[Outcome::Aborted.as_str()]).inc_by(batch.lines_read());
        }
    }
}

/// Who sends: what a repeat must come from to be one.
struct Sender<'h> {
    id: u64,
    ip: IpAddr,
    token: &'h str,
    tag: Option<&'h [u8]>,
    /// Fluent Bit sends no `Accept`; who does is a person or a script, whose equal bodies all count.
    may_repeat: bool,
    /// No balancer in between pools connections, so what comes on this one comes from the same sender.
    connection_is_its_own: bool,
}

impl<'h> Sender<'h> {
    fn of(peer: &Peer, token: &'h str, headers: &'h HeaderMap, settings: &Settings) -> Sender<'h> {
        let tag = headers.get(&settings.tag_header).map(hyper::header::HeaderValue::as_bytes);
        let ip = client(peer.ip, headers, &settings.trusted_proxies);
        let mut hash = xxhash_rust::xxh3::Xxh3::new();
        for part in [token.as_bytes(), tag.unwrap_or_default(), ip.to_string().as_bytes()] {
            hash.update(&(part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        let pooled =
            headers.contains_key(FORWARDED_FOR) || headers.contains_key(FORWARDED) || headers.contains_key(VIA);
        let may_repeat = !headers.contains_key(ACCEPT);
        Sender { id: hash.digest(), ip, token, tag, may_repeat, connection_is_its_own: !pooled }
    }

    fn owned(&self) -> From {
        let tag = self.tag.map(<[u8]>::to_vec);
        From { sender: self.id, address: self.ip, token: self.token.to_owned(), tag }
    }
}

const FORWARDED_FOR: &str = "x-forwarded-for";

/// The address that a request came from: the last that a trusted proxy speaks of and that is none itself.
/// What anyone else writes there is his own invention.
fn client(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let trusts = |ip: &IpAddr| trusted.iter().any(|range| range.contains(ip));
    let mut client = peer.to_canonical();
    let lines = headers.get_all(FORWARDED_FOR).iter().rev();
    let hops = lines.flat_map(|line| line.as_bytes().rsplit(|b| *b == b','));
    for hop in hops {
        if !trusts(&client) {
            break;
        }
        let hop = hop.trim_ascii();
        if hop.is_empty() {
            continue;
        }
        let Some(ip) = hop_address(hop) else { break };
        client = ip;
    }
    client
}

impl Encoding {
    /// Of the `Content-Encoding` header; the name, shortened, where it is none we know.
    fn of(headers: &HeaderMap) -> Result<Encoding, String> {
        let Some(value) = headers.get(CONTENT_ENCODING) else { return Ok(Encoding::Identity) };
        let name = String::from_utf8_lossy(value.as_bytes()).trim().to_ascii_lowercase();
        Encoding::from_name(&name).ok_or_else(|| name.chars().filter(|c| c.is_ascii_graphic()).take(32).collect())
    }
}

/// `192.0.2.1`, `192.0.2.1:443`, `[2001:db8::1]:443`, in quotes or not.
fn hop_address(hop: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(hop).ok()?.trim_matches('"');
    let bare = text.strip_prefix('[').and_then(|rest| rest.split(']').next()).unwrap_or(text);
    let ip = bare.parse().ok().or_else(|| Some(text.parse::<std::net::SocketAddr>().ok()?.ip()));
    ip.map(|ip: IpAddr| ip.to_canonical())
}

/// Counts a request as being read for as long as it lives, however it ends.
struct InFlight<'m>(&'m Metrics);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.ingest_in_flight.dec();
    }
}
