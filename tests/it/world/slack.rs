//! A Slack on loopback: `chat.postMessage` with a bot token, and an incoming webhook. It keeps
//! every message in order and fails as scripted, also in the way that leaves the sender in doubt.

use std::collections::VecDeque;
use std::io::Write;
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::http::{self, Kind, Wire};
use super::{Listening, TICK, eventually, lock, pause};

pub(crate) const BOT_TOKEN: &str = "xoxb-test-token";
const WEBHOOK_PATH: &str = "/services/T/B/X";
const POST_MESSAGE_PATH: &str = "/api/chat.postMessage";
const UPDATE_PATH: &str = "/api/chat.update";
/// What Slack answers in place of a channel's name; nothing else can be updated.
const CHANNEL_ID: &str = "C0STANDIN";

pub(crate) struct SlackStandIn {
    listening: Listening,
    state: Arc<Mutex<State>>,
}

/// A message that Slack took, whether or not its sender was told.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) via: Via,
    /// Empty for a webhook: the address decides.
    pub(crate) channel: String,
    pub(crate) text: String,
    pub(crate) blocks: Value,
    pub(crate) thread_ts: Option<String>,
    /// What the sender was told, or would have been.
    pub(crate) ts: String,
    /// False: taken, but the connection was closed in place of an answer.
    pub(crate) answered: bool,
    pub(crate) at: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Via {
    Bot,
    Webhook,
}

/// How one request is answered.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Answer {
    Take,
    /// 429 with `Retry-After`.
    RateLimit {
        seconds: u64,
    },
    Status(u16),
    /// Says nothing until the sender gives up.
    Hang,
    /// Takes the message and closes the connection: the sender cannot know.
    TakeAndClose,
    /// `ok: false` with this error (404 and the bare word from a webhook).
    Refuse(&'static str),
    /// `missing_scope`, with the scope that is needed; there is another.
    NeedsScope(&'static str),
}

/// A request of any outcome.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    pub(crate) answer: Answer,
    pub(crate) text: String,
    pub(crate) at: Instant,
}

#[derive(Default)]
struct State {
    script: VecDeque<Answer>,
    messages: Vec<Message>,
    attempts: Vec<Attempt>,
}

// === impl SlackStandIn ===

impl SlackStandIn {
    pub(crate) fn start() -> Self {
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        let listening = Listening::start(move |_, stream, stop| serve(stream, stop, &shared));
        Self { listening, state }
    }

    /// What stands for `https://slack.com/api`.
    pub(crate) fn api_url(&self) -> String {
        format!("http://{}/api", self.listening.address())
    }

    pub(crate) fn webhook_url(&self) -> String {
        format!("http://{}{WEBHOOK_PATH}", self.listening.address())
    }

    /// The next requests are answered so, in this order; those after them are taken.
    pub(crate) fn script(&self, answers: impl IntoIterator<Item = Answer>) {
        lock(&self.state).script.extend(answers);
    }

    pub(crate) fn messages(&self) -> Vec<Message> {
        lock(&self.state).messages.clone()
    }

    pub(crate) fn attempts(&self) -> Vec<Attempt> {
        lock(&self.state).attempts.clone()
    }

    /// All messages, once there are at least `n`.
    pub(crate) fn wait_messages(&self, n: usize) -> Vec<Message> {
        let what = format!("{n} messages at the Slack stand-in");
        eventually(&what, Duration::from_secs(20), || Some(self.messages()).filter(|messages| messages.len() >= n))
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
        if wire.stream.write_all(response.as_bytes()).is_err() {
            return;
        }
    }
}

/// The response, or `None` to close without one.
fn answer(request: &http::Message, stop: &AtomicBool, state: &Mutex<State>) -> Option<String> {
    let via = match request.start.as_str() {
        start if start.starts_with(&format!("POST {POST_MESSAGE_PATH} ")) => Via::Bot,
        start if start.starts_with(&format!("POST {WEBHOOK_PATH} ")) => Via::Webhook,
        start if start.starts_with(&format!("POST {UPDATE_PATH} ")) => return Some(update(request, state)),
        start if start.starts_with("POST /api/") => {
            return Some(refuse(Via::Bot, "unknown_method"));
        }
        _ => return Some(response(404, "", "no_service")),
    };
    let body: Value = serde_json::from_slice(&request.body).unwrap_or(Value::Null);
    let field = |name: &str| body[name].as_str().map(str::to_owned);
    let text = field("text").unwrap_or_default();
    let mut state = lock(state);
    let scripted = state.script.pop_front().unwrap_or(Answer::Take);
    // Slack looks at who is asking and what, before anything of the script can happen to a message.
    let answer = fault(via, request, &body).map_or(scripted, Answer::Refuse);
    let at = Instant::now();
    state.attempts.push(Attempt { answer, text: text.clone(), at });
    let channel = field("channel").unwrap_or_default();
    let ts = format!("1700000000.{:06}", state.messages.len() + 1);
    if matches!(answer, Answer::Take | Answer::TakeAndClose) {
        state.messages.push(Message {
            via,
            channel: channel.clone(),
            text,
            blocks: body["blocks"].clone(),
            thread_ts: field("thread_ts"),
            ts: ts.clone(),
            answered: answer == Answer::Take,
            at,
        });
    }
    drop(state);
    match (answer, via) {
        (Answer::Take, Via::Webhook) => Some(response(200, "", "ok")),
        (Answer::Take, Via::Bot) => {
            let told = json!({"ok": true, "channel": CHANNEL_ID, "ts": ts});
            Some(response(200, "", &told.to_string()))
        }
        (Answer::RateLimit { seconds }, _) => {
            let told = json!({"ok": false, "error": "ratelimited"}).to_string();
            Some(response(429, &format!("Retry-After: {seconds}\r\n"), &told))
        }
        (Answer::Status(status), _) => Some(response(status, "", "")),
        (Answer::Refuse(error), via) => Some(refuse(via, error)),
        (Answer::NeedsScope(needed), _) => {
            let told =
                json!({"ok": false, "error": "missing_scope", "needed": needed, "provided": "commands,users:read"});
            Some(response(200, "", &told.to_string()))
        }
        (Answer::TakeAndClose, _) => None,
        (Answer::Hang, _) => {
            while !stop.load(Ordering::SeqCst) {
                pause(TICK, stop);
            }
            None
        }
    }
}

/// Changes the text of a message that is there.
fn update(request: &http::Message, state: &Mutex<State>) -> String {
    let body: Value = serde_json::from_slice(&request.body).unwrap_or(Value::Null);
    let mut state = lock(state);
    let scripted = state.script.pop_front();
    let text = body["text"].as_str().unwrap_or_default().to_owned();
    state.attempts.push(Attempt { answer: scripted.unwrap_or(Answer::Take), text: text.clone(), at: Instant::now() });
    let fault = fault(Via::Bot, request, &body).or(match scripted {
        Some(Answer::Refuse(error)) => Some(error),
        _ if body["channel"] != CHANNEL_ID => Some("channel_not_found"),
        _ => None,
    });
    match (fault, state.messages.iter_mut().find(|message| Some(message.ts.as_str()) == body["ts"].as_str())) {
        (Some(error), _) => refuse(Via::Bot, error),
        (None, None) => refuse(Via::Bot, "message_not_found"),
        (None, Some(message)) => {
            message.text = text;
            let told = json!({"ok": true, "channel": CHANNEL_ID, "ts": message.ts, "text": message.text});
            response(200, "", &told.to_string())
        }
    }
}

/// Why Slack itself would refuse this request: the token, the form, and the limits on blocks.
fn fault(via: Via, request: &http::Message, body: &Value) -> Option<&'static str> {
    let authorization = http::find(&request.headers, "authorization");
    let bot = via == Via::Bot;
    if bot && authorization != Some(&format!("Bearer {BOT_TOKEN}")) {
        return Some(if authorization.is_some() { "invalid_auth" } else { "not_authed" });
    }
    if !body.is_object() {
        return Some("invalid_json");
    }
    if bot && body["channel"].as_str().is_none_or(str::is_empty) {
        return Some("channel_not_found");
    }
    let blocks = body["blocks"].as_array().map_or(&[][..], Vec::as_slice);
    if blocks.is_empty() && body["text"].as_str().is_none_or(str::is_empty) {
        return Some("no_text");
    }
    let too_long = |block: &Value| {
        let limit = if block["type"] == "header" { 150 } else { 3000 };
        block["text"]["text"].as_str().is_some_and(|text| text.chars().count() > limit)
    };
    (blocks.len() > 50 || blocks.iter().any(too_long)).then_some("invalid_blocks")
}

fn refuse(via: Via, error: &str) -> String {
    match via {
        Via::Bot => response(200, "", &json!({"ok": false, "error": error}).to_string()),
        Via::Webhook => response(404, "", error),
    }
}

fn response(status: u16, headers: &str, body: &str) -> String {
    let kind = if body.starts_with('{') { "application/json" } else { "text/plain" };
    let length = body.len();
    format!(
        "HTTP/1.1 {status} Stand-in\r\n{headers}Content-Type: {kind}\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    )
}
