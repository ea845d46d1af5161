//! A bucket on loopback that speaks S3's protocol: it checks every signature by a computation of its own, keeps
//! objects, and fails as told. Beside it the endpoint of a container's role, which hands out keys that expire.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ring::{digest, hmac};
use serde_json::{Value, json};

use super::http::{self, Kind, Wire};
use super::{Listening, TICK, eventually, lock, pause};

pub(crate) const KEY_ID: &str = "AKIATESTTESTTEST";
pub(crate) const SECRET: &str = "test/secret+KEY";
pub(crate) const REGION: &str = "eu-test-1";
pub(crate) const BUCKET: &str = "ember-state";
/// Where keys are handed out, and to whom.
const ROLE_PATH: &str = "/role/keys";
pub(crate) const ROLE_TOKEN: &str = "role-token";
const ROLE_SESSION: &str = "role-session";

pub(crate) struct BucketStandIn {
    listening: Listening,
    state: Arc<Mutex<State>>,
}

/// How every request is answered from now on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Mood {
    Well,
    /// With this status and code.
    Refuse(u16, &'static str),
    /// Says nothing until the client gives up.
    Hang,
    /// Points elsewhere.
    Redirect,
}

struct State {
    mood: Mood,
    objects: BTreeMap<String, Vec<u8>>,
    /// Method and path of each request that was signed well.
    asked: Vec<String>,
    /// Why requests were not signed well.
    wrong: Vec<String>,
    roles: usize,
    /// Requests in all.
    requests: usize,
}

// === impl BucketStandIn ===

impl BucketStandIn {
    pub(crate) fn start() -> Self {
        let state = State {
            mood: Mood::Well,
            objects: BTreeMap::new(),
            asked: Vec::new(),
            wrong: Vec::new(),
            roles: 0,
            requests: 0,
        };
        let state = Arc::new(Mutex::new(state));
        let shared = Arc::clone(&state);
        let listening = Listening::start(move |_, stream, stop| serve(stream, stop, &shared));
        Self { listening, state }
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.listening.address())
    }

    pub(crate) fn role_url(&self) -> String {
        format!("{}{ROLE_PATH}", self.endpoint())
    }

    /// The keys of `[store]` for a program that keeps its state here, under `prefix`.
    pub(crate) fn settings(&self, prefix: &str) -> String {
        format!(
            "[store]\nstate_url = \"s3://{BUCKET}/{prefix}\"\nstate_seconds = 1\nstate_endpoint = \"{}\"\n\
             state_region = \"{REGION}\"\n",
            self.endpoint()
        )
    }

    pub(crate) fn settings_with_keys(&self, prefix: &str) -> String {
        format!("{}access_key_id = \"{KEY_ID}\"\nsecret_access_key = \"{SECRET}\"\n", self.settings(prefix))
    }

    pub(crate) fn set_mood(&self, mood: Mood) {
        lock(&self.state).mood = mood;
    }

    pub(crate) fn object(&self, key: &str) -> Option<Vec<u8>> {
        lock(&self.state).objects.get(key).cloned()
    }

    pub(crate) fn put(&self, key: &str, bytes: &[u8]) {
        lock(&self.state).objects.insert(key.to_owned(), bytes.to_vec());
    }

    pub(crate) fn keys(&self) -> Vec<String> {
        lock(&self.state).objects.keys().cloned().collect()
    }

    pub(crate) fn asked(&self) -> Vec<String> {
        lock(&self.state).asked.clone()
    }

    pub(crate) fn requests(&self) -> usize {
        lock(&self.state).requests
    }

    pub(crate) fn roles(&self) -> usize {
        lock(&self.state).roles
    }

    /// As [`Self::wait_kept`], once something else is there than `junk`.
    pub(crate) fn wait_kept_after(&self, key: &str, junk: &[u8], fits: impl Fn(&Value) -> bool) {
        let what = "something else is kept there";
        eventually(what, Duration::from_secs(30), || (self.object(key)? != junk).then_some(()));
        self.wait_kept(key, what, fits);
    }

    /// What is kept under `key`, once it says what it is to say.
    pub(crate) fn wait_kept(&self, key: &str, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
        eventually(what, Duration::from_secs(30), || {
            let text = self.object(key)?;
            let document: Value = serde_json::from_slice(&text).expect("a document is JSON");
            fits(&document["kept"]).then(|| document["kept"].clone())
        })
    }
}

impl Drop for BucketStandIn {
    fn drop(&mut self) {
        let wrong = lock(&self.state).wrong.clone();
        assert!(wrong.is_empty() || std::thread::panicking(), "requests that were not signed well: {wrong:#?}");
    }
}

fn serve(stream: TcpStream, stop: &AtomicBool, state: &Mutex<State>) {
    let mut wire = Wire::new(stream);
    while !stop.load(Ordering::SeqCst) {
        let request = match wire.next(Kind::Request) {
            Ok(request) => request,
            Err(fault) if http::is_timeout(&fault) => continue,
            Err(_) => return,
        };
        let Some(response) = answer(&request, stop, state) else {
            return;
        };
        if wire.stream.write_all(&response).is_err() {
            return;
        }
    }
}

/// The response, or `None` to close without one.
fn answer(request: &http::Message, stop: &AtomicBool, state: &Mutex<State>) -> Option<Vec<u8>> {
    let mut words = request.start.split(' ');
    let (method, path) = (words.next()?, words.next()?);
    let mut state = lock(state);
    state.requests += 1;
    match state.mood {
        Mood::Well => {}
        Mood::Refuse(status, code) => return Some(refuse(status, code)),
        Mood::Redirect => {
            return Some(response(301, "Location: http://127.0.0.1:1/elsewhere\r\n", b""));
        }
        Mood::Hang => {
            drop(state);
            while !stop.load(Ordering::SeqCst) {
                pause(TICK, stop);
            }
            return None;
        }
    }
    if path == ROLE_PATH {
        let knows = http::find(&request.headers, "authorization") == Some(ROLE_TOKEN);
        state.roles += 1;
        // Within the five minutes in which keys are renewed: each request asks for new ones.
        let keys = json!({
            "AccessKeyId": KEY_ID, "SecretAccessKey": SECRET, "Token": ROLE_SESSION,
            "Expiration": "2020-01-01T00:00:00Z", "RoleArn": "arn",
        });
        let status = if knows { 200 } else { 401 };
        return Some(response(status, "", if knows { keys.to_string() } else { String::new() }.as_bytes()));
    }
    if let Some(why) = signed_badly(method, path, request) {
        state.wrong.push(format!("{method} {path}: {why}"));
        return Some(refuse(403, "SignatureDoesNotMatch"));
    }
    state.asked.push(format!("{method} {path}"));
    let Some(key) = path.strip_prefix(&format!("/{BUCKET}/")) else {
        return Some(refuse(404, "NoSuchBucket"));
    };
    match method {
        "PUT" => {
            state.objects.insert(key.to_owned(), request.body.clone());
            Some(response(200, "ETag: \"x\"\r\n", b""))
        }
        "GET" => Some(match state.objects.get(key) {
            Some(bytes) => response(200, "", bytes),
            None => refuse(404, "NoSuchKey"),
        }),
        _ => Some(refuse(405, "MethodNotAllowed")),
    }
}

/// Checks the signature from what is on the wire alone, as Amazon's reference describes it.
fn signed_badly(method: &str, path: &str, request: &http::Message) -> Option<String> {
    let header = |name: &str| http::find(&request.headers, name).unwrap_or_default();
    let authorization = header("authorization");
    let part = |name: &str| {
        let from = authorization.split_once(&format!("{name}=")).map_or("", |(_, rest)| rest);
        from.split([',', ' ']).next().unwrap_or_default().to_owned()
    };
    let (credential, names, signature) = (part("Credential"), part("SignedHeaders"), part("Signature"));
    let Some((id, scope)) = credential.split_once('/') else { return Some("no credential".into()) };
    if id != KEY_ID {
        return Some(format!("another key: {id}"));
    }
    for needed in ["host", "x-amz-content-sha256", "x-amz-date"] {
        if !names.split(';').any(|name| name == needed) {
            return Some(format!("{needed} is not signed"));
        }
    }
    let session = header("x-amz-security-token");
    if !session.is_empty() && !names.split(';').any(|name| name == "x-amz-security-token") {
        return Some("the session is not signed".into());
    }
    let date = header("x-amz-date");
    if scope != format!("{}/{REGION}/s3/aws4_request", date.split('T').next().unwrap_or_default()) {
        return Some(format!("another scope: {scope}"));
    }
    let payload = hex(digest::digest(&digest::SHA256, &request.body).as_ref());
    if header("x-amz-content-sha256") != payload {
        return Some("another body than was signed".into());
    }
    let mut canonical = format!("{method}\n{path}\n\n");
    for name in names.split(';') {
        canonical.push_str(&format!("{name}:{}\n", header(name)));
    }
    canonical.push_str(&format!("\n{names}\n{payload}"));
    let hashed = hex(digest::digest(&digest::SHA256, canonical.as_bytes()).as_ref());
    let text = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{hashed}");
    let mut key = format!("AWS4{SECRET}").into_bytes();
    for part in scope.split('/') {
        key = hmac_of(&key, part);
    }
    let mine = hex(&hmac_of(&key, &text));
    (mine != signature).then(|| format!("signature {signature}, should be {mine} of\n{canonical}"))
}

fn hmac_of(key: &[u8], text: &str) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes()).as_ref().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn refuse(status: u16, code: &str) -> Vec<u8> {
    let body = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>no</Message></Error>");
    response(status, "Content-Type: application/xml\r\n", body.as_bytes())
}

fn response(status: u16, headers: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let mut bytes = format!("HTTP/1.1 {status} Stand-in\r\n{headers}Content-Length: {length}\r\n\r\n").into_bytes();
    bytes.extend_from_slice(body);
    bytes
}
