//! Anthropic's Messages on loopback: `/v1/messages` as a stream, `/v1/messages/count_tokens`. It holds a caller to the
//! protocol as the real one does (a request that it would refuse is a 400 here), answers as scripted, and keeps
//! every request.

use std::collections::VecDeque;
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::http::{self, Kind, Wire};
use super::{Listening, lock};

pub(crate) const KEY: &str = "sk-ant-stand-in-key-0123456789";

pub(crate) struct Claude {
    listening: Listening,
    state: Arc<Mutex<State>>,
}

/// How one call is answered.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// Its answer, after some thinking.
    Say(String),
    /// It wants to use these tools: name and arguments.
    Use(Vec<(&'static str, Value)>),
    /// As far as it has come; it is to be asked to go on.
    Pause(&'static str),
    /// Some text, and then this reason to stop.
    Stop(&'static str, &'static str),
    Refuse {
        category: &'static str,
        explanation: &'static str,
    },
    /// Of this status, with these headers (each with its line's end) and an error of this type.
    Error(u16, &'static str, &'static str),
    /// Status 200, some text, and then an error as an event.
    Breaks(&'static str),
    /// Some text, and then the connection ends.
    Cut,
    /// Some text, and then nothing, nor an end.
    Hang,
    /// Text without end, in events of a usual size.
    Endless,
    /// One event without end.
    Giant,
    /// Not the protocol: status, kind of body, body.
    Raw(u16, &'static str, String),
}

/// A request, of whatever outcome.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) path: String,
    pub(crate) key: Option<String>,
    pub(crate) body: Value,
}

struct State {
    script: VecDeque<Reply>,
    otherwise: Reply,
    asked: Vec<Asked>,
    /// Bytes of a piece of an answer on the wire.
    piece: usize,
    /// Blocks that it has said, which must come back as they were.
    said: Vec<Value>,
    /// The first message of the last conversation, and the tokens of its last prompt: what a cache would have.
    cached: (Value, u64),
    calls: u64,
}

impl Claude {
    pub(crate) fn start() -> Self {
        let state = Arc::new(Mutex::new(State {
            script: VecDeque::new(),
            otherwise: Reply::Say(r#"{"root_cause":"nothing"}"#.to_owned()),
            asked: Vec::new(),
            piece: usize::MAX,
            said: Vec::new(),
            cached: (Value::Null, 0),
            calls: 0,
        }));
        let shared = Arc::clone(&state);
        let listening = Listening::start(move |_, stream, stop| serve(stream, stop, &shared));
        Self { listening, state }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.listening.address()
    }

    /// What stands for `https://api.anthropic.com`.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    /// The next calls are answered so, in this order.
    pub(crate) fn script(&self, replies: impl IntoIterator<Item = Reply>) {
        lock(&self.state).script.extend(replies);
    }

    /// And all others so.
    pub(crate) fn otherwise(&self, reply: Reply) {
        lock(&self.state).otherwise = reply;
    }

    /// From now on answers come in pieces of so many bytes.
    pub(crate) fn in_pieces_of(&self, bytes: usize) {
        lock(&self.state).piece = bytes;
    }

    /// Every request so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        lock(&self.state).asked.clone()
    }

    /// The bodies of all calls so far; counting is none.
    pub(crate) fn calls(&self) -> Vec<Value> {
        self.asked().into_iter().filter(|asked| asked.path == "/v1/messages").map(|asked| asked.body).collect()
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
        let path = request.start.split(' ').nth(1).unwrap_or_default().to_owned();
        let body: Value = serde_json::from_slice(&request.body).unwrap_or(Value::Null);
        let key = http::find(&request.headers, "x-api-key").map(str::to_owned);
        lock(state).asked.push(Asked { path: path.clone(), key: key.clone(), body: body.clone() });
        let version = http::find(&request.headers, "anthropic-version");
        let checked = match (request.start.starts_with("POST "), path.as_str()) {
            _ if key.as_deref() != Some(KEY) => {
                Err((401, "authentication_error", format!("invalid x-api-key {}", key.unwrap_or_default())))
            }
            _ if version != Some("2023-06-01") => Err(invalid("anthropic-version: header is required")),
            (true, "/v1/messages/count_tokens") => check(&body, &lock(state).said, true),
            (true, "/v1/messages") => check(&body, &lock(state).said, false),
            _ => Err((404, "not_found_error", "Not found".to_owned())),
        };
        let sent = match checked {
            Err((status, kind, message)) => wire.stream.write_all(error(status, "", kind, &message).as_bytes()),
            Ok(()) if path.ends_with("count_tokens") => {
                let counted = json!({"input_tokens": tokens(&body)}).to_string();
                wire.stream.write_all(response(200, "", "application/json", &counted).as_bytes())
            }
            Ok(()) => {
                let mut held = lock(state);
                let reply = held.script.pop_front().unwrap_or_else(|| held.otherwise.clone());
                drop(held);
                answer(&reply, &body, &wire.stream, stop, state)
            }
        };
        if sent.is_err() {
            return;
        }
    }
}

type Refused = (u16, &'static str, String);

fn invalid(message: impl Into<String>) -> Refused {
    (400, "invalid_request_error", message.into())
}

/// What the real one refuses of a request.
fn check(body: &Value, said: &[Value], counting: bool) -> Result<(), Refused> {
    let known: &[&str] = match counting {
        true => &["model", "system", "messages", "tools", "tool_choice"],
        false => &["model", "system", "messages", "tools", "tool_choice", "max_tokens", "stream", "output_config"],
    };
    let fields = body.as_object().ok_or_else(|| invalid("the body is no object"))?;
    for name in fields.keys() {
        if matches!(name.as_str(), "temperature" | "top_p" | "top_k") {
            return Err(invalid(format!("`{name}` is not supported for this model")));
        }
        if !known.contains(&name.as_str()) {
            return Err(invalid(format!("{name}: Extra inputs are not permitted")));
        }
    }
    if !body["model"].is_string() {
        return Err(invalid("model: Field required"));
    }
    if !counting {
        if body["max_tokens"].as_u64().is_none_or(|most| !(1..=128_000).contains(&most)) {
            return Err(invalid("max_tokens: Field required"));
        }
        let schema = &body["output_config"]["format"]["schema"];
        if body["output_config"]["format"]["type"] != "json_schema"
            || schema["type"] != "object"
            || schema["additionalProperties"] != false
        {
            return Err(invalid("output_config.format: an object schema with additionalProperties false is required"));
        }
    }
    if matches!(body["tool_choice"]["type"].as_str(), Some("any" | "tool")) {
        return Err(invalid("tool_choice: forced tool use is not supported for this model"));
    }
    if body.to_string().matches("\"cache_control\"").count() > 4 {
        return Err(invalid("A maximum of 4 blocks with cache_control may be provided"));
    }
    messages(body, said)
}

fn messages(body: &Value, said: &[Value]) -> Result<(), Refused> {
    let messages = body["messages"].as_array().filter(|all| !all.is_empty());
    let messages = messages.ok_or_else(|| invalid("messages: at least one message is required"))?;
    let mut open: Vec<&str> = Vec::new();
    for (at, message) in messages.iter().enumerate() {
        let is_user = message["role"] == "user";
        let content = message["content"].as_array().ok_or_else(|| invalid("messages: content"))?;
        if content.is_empty() || (at == 0 && !is_user) {
            return Err(invalid("messages: must begin with the user and not be empty"));
        }
        let results = content.iter().take_while(|block| block["type"] == "tool_result");
        let results: Vec<&str> = results.filter_map(|block| block["tool_use_id"].as_str()).collect();
        if results != open {
            return Err(invalid("messages: `tool_use` ids were found without `tool_result` blocks immediately after"));
        }
        open.clear();
        for block in content {
            match block["type"].as_str() {
                Some("text") if block["text"].as_str().is_none_or(|text| text.trim().is_empty()) => {
                    return Err(invalid("messages: text content blocks must be non-empty"));
                }
                Some("thinking" | "redacted_thinking") if !said.contains(block) => {
                    return Err(invalid(
                        "messages: `thinking` blocks in the latest assistant message cannot be modified",
                    ));
                }
                Some("tool_use") => {
                    if body["tools"].as_array().is_none_or(Vec::is_empty) {
                        return Err(invalid("tools: Field required, as messages hold `tool_use` blocks"));
                    }
                    open.extend(block["id"].as_str());
                }
                Some("text" | "thinking" | "redacted_thinking") => {}
                Some("tool_result") if is_user => {}
                _ => return Err(invalid("messages: content: Input tag does not match any of the expected tags")),
            }
        }
    }
    let last = messages.last().expect("checked");
    // Only what was paused may be gone on with.
    if last["role"] == "assistant" && !said.contains(&json!("paused")) {
        return Err(invalid("This model does not support assistant message prefill"));
    }
    Ok(())
}

/// A coarse count: of all that is a question.
fn tokens(body: &Value) -> u64 {
    let parts = ["system", "messages", "tools"].map(|name| body[name].to_string().len());
    parts.iter().sum::<usize>() as u64 / 4
}

/// The events of a message with these blocks.
fn events(blocks: &[Value], stop: Value, usage: Value, output: usize) -> Vec<Value> {
    let message = json!({
        "id": "msg_01StandIn", "type": "message", "role": "assistant", "model": "claude-opus-5-5", "content": [],
        "stop_reason": null, "stop_sequence": null, "usage": usage,
    });
    let mut all = vec![json!({"type": "message_start", "message": message}), json!({"type": "ping"})];
    for (index, block) in blocks.iter().enumerate() {
        let (empty, deltas) = taken_apart(block);
        all.push(json!({"type": "content_block_start", "index": index, "content_block": empty}));
        let delta = |delta| json!({"type": "content_block_delta", "index": index, "delta": delta});
        all.extend(deltas.into_iter().map(delta));
        all.push(json!({"type": "content_block_stop", "index": index}));
    }
    if !stop.is_null() {
        all.push(json!({"type": "message_delta", "delta": stop, "usage": {"output_tokens": output}}));
        all.push(json!({"type": "message_stop"}));
    }
    all
}

/// A block as it begins, and what is added to it.
fn taken_apart(block: &Value) -> (Value, Vec<Value>) {
    let mut empty = block.clone();
    let parts = |text: &str| {
        let chars: Vec<char> = text.chars().collect();
        chars.chunks(7).map(|part| part.iter().collect::<String>()).collect::<Vec<_>>()
    };
    let text = |name: &str| block[name].as_str().unwrap_or_default();
    let deltas = match block["type"].as_str() {
        Some("text") => {
            empty["text"] = "".into();
            parts(text("text")).iter().map(|part| json!({"type": "text_delta", "text": part})).collect()
        }
        Some("thinking") => {
            (empty["thinking"], empty["signature"]) = ("".into(), "".into());
            let parts = parts(text("thinking"));
            let thinking = parts.iter().map(|part| json!({"type": "thinking_delta", "thinking": part}));
            thinking.chain([json!({"type": "signature_delta", "signature": block["signature"]})]).collect()
        }
        Some("tool_use") => {
            empty["input"] = json!({});
            let parts = parts(&block["input"].to_string());
            parts.iter().map(|part| json!({"type": "input_json_delta", "partial_json": part})).collect()
        }
        _ => Vec::new(),
    };
    (empty, deltas)
}

fn answer(
    reply: &Reply,
    body: &Value,
    stream: &TcpStream,
    stop: &AtomicBool,
    state: &Mutex<State>,
) -> std::io::Result<()> {
    let mut out = stream;
    let mut held = lock(state);
    held.calls += 1;
    let (number, piece) = (held.calls, held.piece);
    let signature = format!("EqQBCkgIBxABGAIiQ{number:08}");
    let thinking = json!({"type": "thinking", "thinking": "Let me see.", "signature": signature});
    let total = tokens(body);
    let cached = if held.cached.0 == body["messages"][0] { held.cached.1.min(total) } else { 0 };
    let usage = json!({
        "input_tokens": 3, "cache_creation_input_tokens": total - cached, "cache_read_input_tokens": cached, "output_tokens": 1,
    });
    let text = |text: &str| json!({"type": "text", "text": text});
    let ends = |reason: &str| json!({"stop_reason": reason, "stop_sequence": null});
    let (blocks, end) = match reply {
        Reply::Say(answer) => (vec![thinking, text(answer)], ends("end_turn")),
        Reply::Use(tools) => {
            let used = |(at, (name, input)): (usize, &(&str, Value))| json!({"type": "tool_use", "id": format!("toolu_{number:03}_{at}"), "name": name, "input": input});
            (std::iter::once(thinking).chain(tools.iter().enumerate().map(used)).collect(), ends("tool_use"))
        }
        Reply::Pause(begun) => (vec![thinking, text(begun)], ends("pause_turn")),
        Reply::Stop(begun, reason) => (vec![text(begun)], ends(reason)),
        Reply::Refuse { category, explanation } => {
            let details = json!({"type": "refusal", "category": category, "explanation": explanation});
            let end = json!({"stop_reason": "refusal", "stop_sequence": null, "stop_details": details});
            (vec![], end)
        }
        Reply::Error(status, headers, kind) => {
            drop(held);
            return out.write_all(error(*status, headers, kind, "the stand-in was told to say so").as_bytes());
        }
        Reply::Raw(status, kind, body) => {
            drop(held);
            return out.write_all(response(*status, "", kind, body).as_bytes());
        }
        Reply::Breaks(_) | Reply::Cut | Reply::Hang | Reply::Endless | Reply::Giant => {
            (vec![thinking, text("{\"root_cause\": \"it was just about to")], Value::Null)
        }
    };
    held.cached = (body["messages"][0].clone(), total);
    let is_text = |block: &&Value| block["type"] != "text";
    held.said.extend(blocks.iter().filter(is_text).cloned());
    if matches!(reply, Reply::Pause(_)) {
        held.said.push(json!("paused"));
    }
    drop(held);
    let output = blocks.iter().map(|block| block.to_string().len()).sum::<usize>() / 4;
    let all: String = events(&blocks, end, usage, output).iter().map(event).collect();
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\nrequest-id: req_1\r\ntransfer-encoding: chunked\r\n\r\n";
    out.write_all(head.as_bytes())?;
    for part in all.as_bytes().chunks(piece.min(all.len())) {
        chunk(out, part)?;
    }
    match reply {
        Reply::Breaks(kind) => {
            let error = json!({"type": "error", "error": {"type": kind, "message": "in the middle of it"}});
            chunk(out, event(&error).as_bytes())?;
        }
        // Without the last chunk: whoever reads can know that something is missing.
        Reply::Cut => return Err(std::io::ErrorKind::ConnectionAborted.into()),
        Reply::Hang => {
            while !stop.load(Ordering::SeqCst) && !is_gone(stream) {}
            return Err(std::io::ErrorKind::ConnectionAborted.into());
        }
        Reply::Endless => {
            let more = json!({"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "and so on, "}});
            let more = event(&more).repeat(200);
            while !stop.load(Ordering::SeqCst) {
                chunk(out, more.as_bytes())?;
            }
        }
        Reply::Giant => {
            chunk(out, b"event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":1,\"x\":\"")?;
            while !stop.load(Ordering::SeqCst) {
                chunk(out, &[b'x'; 16 * 1024])?;
            }
        }
        _ => {}
    }
    out.write_all(b"0\r\n\r\n")
}

fn event(data: &Value) -> String {
    format!("event: {}\ndata: {data}\n\n", data["type"].as_str().unwrap_or_default())
}

fn chunk(mut out: &TcpStream, bytes: &[u8]) -> std::io::Result<()> {
    out.write_all(&[format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat())
}

/// Looks for one tick whether the other side has closed.
fn is_gone(stream: &TcpStream) -> bool {
    match stream.peek(&mut [0]) {
        Ok(read) => read == 0,
        Err(fault) => !http::is_timeout(&fault),
    }
}

fn error(status: u16, headers: &str, kind: &str, message: &str) -> String {
    let body = json!({"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_1"});
    response(status, headers, "application/json", &body.to_string())
}

fn response(status: u16, headers: &str, kind: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status} Stand-in\r\n{headers}content-type: {kind}\r\ncontent-length: {length}\r\n\r\n{body}")
}
