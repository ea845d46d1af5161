//! A model on loopback, as Ollama offers it and as everybody else does. It loads as Ollama loads (slowly, anew
//! whenever an option changes, and not at all if nobody waits for it), answers as scripted, and keeps every
//! request.

use std::collections::{BTreeMap, VecDeque};
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Deserializer, Value, json};

use super::http::{self, Kind, Wire};
use super::{Listening, eventually, lock};

pub(crate) const MODEL: &str = "qwen2.5:3b";
/// What stands before the reply that an obedient model gives.
pub(crate) const ORDER: &str = "REPLY:";

pub(crate) struct ModelStandIn {
    listening: Listening,
    state: Arc<Mutex<State>>,
}

/// How one question is answered. Loading is no question.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    Say(String),
    /// Whatever the first line says that holds [`ORDER`] and JSON behind it; without one, no actions.
    Obey,
    /// Takes all that the lines say for orders: a verdict in one of them is taken over, what sounds like "be quiet"
    /// is done to all, and nothing is worth a look.
    Believe,
    /// The actions that it was told by the service of each line, whatever the line says; all others are ignored.
    Recite(Arc<BTreeMap<String, Vec<Value>>>),
    /// Something from this seed, well formed or not; the next question has the next seed.
    Random(u64),
    /// With status 200 it is an error in the way that Ollama has of its own.
    Error(u16, &'static str),
    /// An answer of another kind of server.
    Raw {
        status: u16,
        headers: &'static str,
        body: String,
    },
    /// Says nothing until the asker gives up.
    Hang,
    Close,
    /// `done` is false: the model repeated itself and was stopped.
    Stopped,
    /// The text, cut at the limit of tokens.
    CutAt(&'static str),
    /// More than anybody should read.
    Endless,
}

/// A request, of whatever outcome.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// `POST /api/chat`.
    pub(crate) what: String,
    pub(crate) authorization: Option<String>,
    /// Null if there was none.
    pub(crate) body: Value,
}

/// What `response_format` may be.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub(crate) enum Takes {
    Text,
    Json,
    Schema,
}

struct State {
    script: VecDeque<Answer>,
    otherwise: Answer,
    asked: Vec<Asked>,
    pulled: Vec<String>,
    version: &'static str,
    thinks: bool,
    takes: Takes,
    /// The gate that loading waits for.
    open: bool,
    /// The options of the runner that is loaded.
    loaded: Option<Value>,
    loads: usize,
    aborted: usize,
    in_flight: usize,
    most_in_flight: usize,
}

// === impl ModelStandIn ===

impl ModelStandIn {
    /// Has [`MODEL`], loads it at once, and has nothing to propose.
    pub(crate) fn start() -> Self {
        let state = Arc::new(Mutex::new(State {
            script: VecDeque::new(),
            otherwise: Answer::Say(r#"{"actions":[]}"#.to_owned()),
            asked: Vec::new(),
            pulled: vec![MODEL.to_owned()],
            version: "0.33.0",
            thinks: false,
            takes: Takes::Schema,
            open: true,
            loaded: None,
            loads: 0,
            aborted: 0,
            in_flight: 0,
            most_in_flight: 0,
        }));
        let shared = Arc::clone(&state);
        let listening = Listening::start(move |_, stream, stop| serve(stream, stop, &shared));
        Self { listening, state }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.listening.address()
    }

    /// What stands for `http://127.0.0.1:11434`.
    pub(crate) fn ollama_url(&self) -> String {
        format!("http://{}", self.address())
    }

    pub(crate) fn openai_url(&self) -> String {
        format!("http://{}/v1", self.address())
    }

    /// The next questions are answered so, in this order.
    pub(crate) fn script(&self, answers: impl IntoIterator<Item = Answer>) {
        lock(&self.state).script.extend(answers);
    }

    /// And all others so.
    pub(crate) fn otherwise(&self, answer: Answer) {
        lock(&self.state).otherwise = answer;
    }

    pub(crate) fn has_models(&self, names: &[&str]) {
        lock(&self.state).pulled = names.iter().map(|name| (*name).to_owned()).collect();
    }

    pub(crate) fn is_version(&self, version: &'static str) {
        lock(&self.state).version = version;
    }

    pub(crate) fn thinks(&self) {
        lock(&self.state).thinks = true;
    }

    pub(crate) fn takes(&self, takes: Takes) {
        lock(&self.state).takes = takes;
    }

    /// From now on loading waits for [`ModelStandIn::let_load`], also of what is loaded.
    pub(crate) fn hold_loading(&self) {
        let mut state = lock(&self.state);
        state.open = false;
        state.loaded = None;
    }

    pub(crate) fn let_load(&self) {
        lock(&self.state).open = true;
    }

    /// Every request so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        lock(&self.state).asked.clone()
    }

    /// The bodies of all questions so far: of chats that are no loading.
    pub(crate) fn questions(&self) -> Vec<Value> {
        let is_question = |asked: &Asked| asked.body["messages"].as_array().is_some_and(|all| !all.is_empty());
        self.asked().into_iter().filter(is_question).map(|asked| asked.body).collect()
    }

    /// All questions, once there are at least `n`.
    pub(crate) fn wait_questions(&self, n: usize) -> Vec<Value> {
        let what = format!("{n} questions at the model's stand-in");
        eventually(&what, Duration::from_secs(20), || Some(self.questions()).filter(|all| all.len() >= n))
    }

    pub(crate) fn loads(&self) -> usize {
        lock(&self.state).loads
    }

    /// Loads that ended because nobody waited any more.
    pub(crate) fn aborted_loads(&self) -> usize {
        lock(&self.state).aborted
    }

    pub(crate) fn most_in_flight(&self) -> usize {
        lock(&self.state).most_in_flight
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
        let Some(response) = answer(&request, &wire.stream, stop, state) else { return };
        if wire.stream.write_all(response.as_bytes()).is_err() {
            return;
        }
    }
}

/// The response, or `None` to close without one.
fn answer(request: &http::Message, stream: &TcpStream, stop: &AtomicBool, state: &Mutex<State>) -> Option<String> {
    let what = request.start.trim_end_matches(" HTTP/1.1").to_owned();
    let body: Value = serde_json::from_slice(&request.body).unwrap_or(Value::Null);
    let authorization = http::find(&request.headers, "authorization").map(str::to_owned);
    lock(state).asked.push(Asked { what: what.clone(), authorization, body: body.clone() });
    match what.as_str() {
        "GET /api/version" => Some(ok(&json!({"version": lock(state).version}))),
        "GET /api/tags" => {
            let named = |name: &String| json!({"name": name, "model": name, "size": 1_929_912_432_u64});
            let models: Vec<_> = lock(state).pulled.iter().map(named).collect();
            Some(ok(&json!({"models": models})))
        }
        "GET /api/ps" => {
            let state = lock(state);
            let loaded = |options: &Value| {
                let context = options["options"]["num_ctx"].as_u64().unwrap_or(4096);
                json!([{"name": MODEL, "model": MODEL, "context_length": context, "size_vram": 0}])
            };
            Some(ok(&json!({"models": state.loaded.as_ref().map_or(json!([]), loaded)})))
        }
        "POST /api/show" => Some(match has(state, &body) {
            true => {
                let thinking =
                    if lock(state).thinks { json!(["completion", "thinking"]) } else { json!(["completion"]) };
                ok(&json!({"details": {"family": "qwen2"}, "capabilities": thinking}))
            }
            false => missing(&body),
        }),
        "GET /v1/models" => {
            let models: Vec<_> = lock(state).pulled.iter().map(|name| json!({"id": name, "object": "model"})).collect();
            Some(ok(&json!({"object": "list", "data": models})))
        }
        "POST /api/chat" | "POST /v1/chat/completions" => {
            {
                let mut state = lock(state);
                state.in_flight += 1;
                state.most_in_flight = state.most_in_flight.max(state.in_flight);
            }
            let native = what.ends_with("/api/chat");
            let answer = if native { ollama(&body, stream, stop, state) } else { openai(&body, stream, stop, state) };
            lock(state).in_flight -= 1;
            answer
        }
        _ => Some(response(404, "", "404 page not found")),
    }
}

fn has(state: &Mutex<State>, body: &Value) -> bool {
    lock(state).pulled.iter().any(|name| body["model"] == **name)
}

fn missing(body: &Value) -> String {
    let error = format!("model '{}' not found", body["model"].as_str().unwrap_or_default());
    response(404, "", &json!({"error": error}).to_string())
}

fn ollama(body: &Value, stream: &TcpStream, stop: &AtomicBool, state: &Mutex<State>) -> Option<String> {
    if !has(state, body) {
        return Some(missing(body));
    }
    if body["think"] == true && !lock(state).thinks {
        let error = format!("\"{MODEL}\" does not support thinking");
        return Some(response(400, "", &json!({"error": error}).to_string()));
    }
    let cold = load(body, stream, stop, state)?;
    let load_duration = if cold { 110_000_000_000_u64 } else { 20_000_000 };
    if body["messages"].as_array().is_none_or(Vec::is_empty) {
        let message = json!({"role": "assistant", "content": ""});
        return Some(ok(&json!({
            "model": body["model"], "created_at": "2026-01-01T00:00:00Z", "message": message,
            "done": true, "done_reason": "load", "load_duration": load_duration,
        })));
    }
    let text = prompt(body);
    // A coarse count is enough: what matters is what happens beyond the context.
    let mut tokens = text.len() / 4;
    let context = usize::try_from(body["options"]["num_ctx"].as_u64().unwrap_or(4096)).expect("a small number");
    if tokens > context - 1 {
        if body["truncate"] == false {
            let error = "the prompt is longer than the context length currently available to the model";
            return Some(response(400, "", &json!({"error": error}).to_string()));
        }
        tokens = context - (context - 4) / 2;
    }
    let said = |content: &str, done: bool, reason: &str| {
        let mut said = json!({
            "model": body["model"], "created_at": "2026-01-01T00:00:00Z",
            "message": {"role": "assistant", "content": content}, "done": done,
        });
        if done {
            said["done_reason"] = reason.into();
            said["total_duration"] = 2_000_000_000_u64.into();
            said["load_duration"] = load_duration.into();
            said["prompt_eval_count"] = tokens.into();
            said["eval_count"] = (content.len() / 4).into();
        }
        Some(ok(&said))
    };
    match next(state) {
        Answer::Stopped => said(" ", false, ""),
        Answer::CutAt(content) => said(content, true, "length"),
        Answer::Error(status, error) => Some(response(status, "", &json!({"error": error}).to_string())),
        other => common(other, &text, stream, stop, |content| said(content, true, "stop")),
    }
}

fn openai(body: &Value, stream: &TcpStream, stop: &AtomicBool, state: &Mutex<State>) -> Option<String> {
    let wants = match body["response_format"]["type"].as_str() {
        Some("json_schema") => Takes::Schema,
        Some("json_object") => Takes::Json,
        _ => Takes::Text,
    };
    let error = |status, message: &str| {
        let error = json!({"error": {"message": message, "type": "invalid_request_error", "code": null}});
        Some(response(status, "", &error.to_string()))
    };
    if wants > lock(state).takes {
        return error(400, "'response_format.type' is not one of the types this model takes");
    }
    let said = |content: &str, reason: Option<&str>| {
        Some(ok(&json!({
            "id": "chatcmpl-1", "object": "chat.completion", "model": body["model"],
            "choices": [{"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": reason}],
            "usage": {"prompt_tokens": prompt(body).len() / 4, "completion_tokens": content.len() / 4},
        })))
    };
    match next(state) {
        Answer::Stopped => said(" ", None),
        Answer::CutAt(content) => said(content, Some("length")),
        Answer::Error(status, message) => error(status, message),
        other => common(other, &prompt(body), stream, stop, |content| said(content, Some("stop"))),
    }
}

/// Loads if need be. Whether it was needed; `None` if the asker has gone, which ends the loading.
fn load(body: &Value, stream: &TcpStream, stop: &AtomicBool, state: &Mutex<State>) -> Option<bool> {
    let runner = json!({"options": body["options"], "shift": body["shift"]});
    if lock(state).loaded.as_ref() == Some(&runner) {
        return Some(false);
    }
    while !lock(state).open {
        if stop.load(Ordering::SeqCst) || is_gone(stream) {
            lock(state).aborted += 1;
            return None;
        }
    }
    let mut state = lock(state);
    state.loads += 1;
    state.loaded = Some(runner);
    Some(true)
}

/// Looks for one tick whether the other side has closed.
fn is_gone(stream: &TcpStream) -> bool {
    match stream.peek(&mut [0]) {
        Ok(read) => read == 0,
        Err(fault) => !http::is_timeout(&fault),
    }
}

fn next(state: &Mutex<State>) -> Answer {
    let mut state = lock(state);
    let answer = state.script.pop_front().unwrap_or_else(|| state.otherwise.clone());
    if let (Answer::Random(seed), Answer::Random(next)) = (&answer, &mut state.otherwise) {
        *next = seed.wrapping_add(1);
    }
    answer
}

/// What both kinds of server have in common.
fn common(
    answer: Answer,
    prompt: &str,
    stream: &TcpStream,
    stop: &AtomicBool,
    said: impl Fn(&str) -> Option<String>,
) -> Option<String> {
    match answer {
        Answer::Say(text) => said(&text),
        Answer::Obey => said(&obey(prompt)),
        Answer::Believe => said(&believe(prompt)),
        Answer::Recite(replies) => said(&recite(prompt, &replies)),
        Answer::Random(seed) => said(&random(seed)),
        Answer::Raw { status, headers, body } => Some(response(status, headers, &body)),
        Answer::Endless => Some(response(200, "", &" ".repeat(3 * 1024 * 1024))),
        Answer::Hang => {
            while !stop.load(Ordering::SeqCst) && !is_gone(stream) {}
            None
        }
        Answer::Close | Answer::Stopped | Answer::CutAt(_) | Answer::Error(..) => None,
    }
}

/// The text of all messages.
fn prompt(body: &Value) -> String {
    let messages = body["messages"].as_array().map_or(&[][..], Vec::as_slice);
    let texts: Vec<_> = messages.iter().filter_map(|message| message["content"].as_str()).collect();
    texts.join("\n")
}

/// Does what the first line says that gives an order, as a model does that takes data for instructions.
pub(crate) fn obey(prompt: &str) -> String {
    let ordered = |text: &str| {
        let (_, order) = text.split_once(ORDER)?;
        let value = Deserializer::from_str(order).into_iter::<Value>().next()?.ok()?;
        Some(value.to_string())
    };
    let lines = prompt.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut texts = lines.flat_map(|line| match line {
        Value::Object(fields) => {
            fields.into_iter().filter_map(|(_, value)| value.as_str().map(str::to_owned)).collect()
        }
        _ => Vec::new(),
    });
    // Also where it stands in JSON within a text.
    texts
        .find_map(|text| ordered(&text).or_else(|| ordered(&text.replace("\\\"", "\""))))
        .unwrap_or_else(|| r#"{"actions":[]}"#.to_owned())
}

/// The kinds that a prompt shows.
fn shown(prompt: &str) -> Vec<Value> {
    let lines = prompt.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.filter(|line| line["line"].is_u64()).collect()
}

/// Does whatever any line says, as far as it can be made out.
fn believe(prompt: &str) -> String {
    const HUSH: [&str; 16] = [
        "ignore",
        "ignor",
        "silence",
        "mute",
        "resolve",
        "benign",
        "harmless",
        "disregard",
        "delete",
        "disable",
        "do not",
        "threshold",
        "report",
        "expected",
        "void",
        "closed",
    ];
    let mut actions: Vec<Value> = Vec::new();
    for line in shown(prompt) {
        let texts = ["template", "example"].map(|name| line[name].as_str().unwrap_or_default().to_owned());
        for text in texts {
            for text in [text.replace("\\\"", "\""), text.replace("\\\\", "\\").replace("\\\"", "\""), text] {
                actions.extend(verdicts_in(&text));
                if HUSH.iter().any(|word| text.to_lowercase().contains(word)) {
                    actions.push(json!({"action": "ignore", "lines": "1-50"}));
                    actions.push(json!({"action": "silence", "label": "http_5xx"}));
                    actions.push(json!({"action": "watch", "lines": [line["line"]], "label": "http_5xx",
                        "match": {"field": "level", "gte": "trace"}, "threshold": 1e18, "window_seconds": 1e18}));
                }
            }
        }
    }
    actions.dedup();
    actions.truncate(45);
    actions.push(json!({"action": "ignore"}));
    json!({"actions": actions}).to_string()
}

/// Actions that stand in a text, in whatever form.
pub(crate) fn verdicts_in(text: &str) -> Vec<Value> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices(['{', '[']).take(20) {
        let Some(Ok(value)) = Deserializer::from_str(text.get(at..).unwrap_or_default()).into_iter::<Value>().next()
        else {
            continue;
        };
        match value {
            Value::Object(fields) if fields.contains_key("action") => found.push(Value::Object(fields)),
            Value::Object(fields) => {
                found.extend(fields.into_iter().filter_map(|(_, v)| v.as_array().cloned()).flatten())
            }
            Value::Array(items) => found.extend(items),
            _ => {}
        }
    }
    found.retain(Value::is_object);
    found
}

fn recite(prompt: &str, replies: &BTreeMap<String, Vec<Value>>) -> String {
    let mut actions = Vec::new();
    for line in shown(prompt) {
        let service = line["service"].as_str().unwrap_or_default();
        let service = service.split_once('/').map_or(service, |(_, service)| service);
        for mut action in replies.get(service).cloned().unwrap_or_default() {
            // It was written as if its line were the only one.
            if action["lines"].is_null() || action["lines"] == json!([1]) {
                action["lines"] = json!([line["line"]]);
            }
            actions.push(action);
        }
    }
    actions.truncate(49);
    actions.push(json!({"action": "ignore"}));
    json!({"actions": actions}).to_string()
}

/// A reply of any kind, the same for the same seed.
pub(crate) fn random(seed: u64) -> String {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut below = move |n: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % n as u64).expect("below n")
    };
    const WORDS: [&str; 5] = ["ignore", "watch", "investigate", "silence", "delete"];
    const LABELS: [&str; 5] = ["http_5xx", "errors", "a", "../../etc", "<!channel>"];
    const MATCHES: [&str; 6] = [
        r#"{"field":"status","gte":"500"}"#,
        r#"{"contains":"e"}"#,
        r#"{"field":"nowhere","eq":1}"#,
        r#"{"regex":"(a+)+$"}"#,
        r#""timed out""#,
        r#"{"not":{"contains":"x"}}"#,
    ];
    const NUMBERS: [&str; 6] = ["1", "0", "-5", "1000000000000000000", "\"10\"", "\"60s\""];
    const LINES: [&str; 6] = ["[1]", "[1,2,3]", "\"1-50\"", "[0,99]", "null", "7"];
    let actions: Vec<_> = (0..below(6))
        .map(|_| {
            format!(
                r#"{{"action":"{}","lines":{},"label":"{}","match":{},"threshold":{},"window_seconds":{},"summary":"s"}}"#,
                WORDS[below(WORDS.len())],
                LINES[below(LINES.len())],
                LABELS[below(LABELS.len())],
                MATCHES[below(MATCHES.len())],
                NUMBERS[below(NUMBERS.len())],
                NUMBERS[below(NUMBERS.len())],
            )
        })
        .collect();
    let list = format!("[{}]", actions.join(","));
    match below(10) {
        0 => list,
        1 => format!("```json\n{list}\n```"),
        2 => format!(r#"{{"watch_rules":{list}}}"#),
        3 => format!("Here is what I think: {{\"actions\":{list}}} I hope it helps."),
        4 => Value::from(list).to_string(),
        5 => list.chars().take(below(list.len().max(1))).collect(),
        6 => actions.first().cloned().unwrap_or_default(),
        _ => format!(r#"{{"actions":{list}}}"#),
    }
}

fn ok(body: &Value) -> String {
    response(200, "", &body.to_string())
}

fn response(status: u16, headers: &str, body: &str) -> String {
    let kind = if body.starts_with('{') { "application/json" } else { "text/plain" };
    let length = body.len();
    format!("HTTP/1.1 {status} Stand-in\r\n{headers}Content-Type: {kind}\r\nContent-Length: {length}\r\n\r\n{body}")
}
