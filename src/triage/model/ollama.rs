//! Ollama, in its own words: `/api/chat`, and what it tells of itself.
//!
//! What there is to know of it:
//! - a change of the context or of any other option of the runner loads the model anew, so every request has
//!   the same ones: [`options`] is the only place that makes them;
//! - a prompt that is too long is cut without a word, from its front, unless it is told not to;
//! - while a model loads, a request just waits, and one that is given up ends the loading;
//! - an answer may end before its end, or be an error, with status 200.

mod facts;

use reqwest::Client;
use serde_json::{Map, Value, json};
use std::sync::atomic::{AtomicU8, Ordering};

use super::http::{self, Answer, send};
use super::line::{Line, Turn};
use super::{Failed, Patience, Reply, State, Why};
use crate::triage::prompt::{ANSWER_TOKENS, CONTEXT_TOKENS, Prompt, clean, disarm};

/// How long the model is to stay loaded after a call: novelty comes in bouts.
const KEEP_ALIVE: &str = "30m";
/// A load that takes longer than that was one, and not a look at whether it is loaded. Nanoseconds.
const COLD_NANOS: u64 = 1_000_000_000;
/// What is repeated of an unusable reply, and of what is wrong with it. Bytes.
const SAID_BYTES: usize = 500;
const WRONG_BYTES: usize = 300;
/// The tokens at its front that Ollama keeps of a prompt that it cuts.
const KEPT_TOKENS: usize = 4;
/// How near to the length of a cut prompt a count must be to be one.
const CUT_TOLERANCE: usize = 16;

pub struct Ollama {
    client: Client,
    url: String,
    line: Line,
    think: AtomicU8,
}

/// Whether the model can think aloud, which takes minutes and helps nobody here. Only one that can may be
/// told not to.
mod think {
    pub(super) const UNKNOWN: u8 = 0;
    pub(super) const CANNOT: u8 = 1;
    pub(super) const CAN: u8 = 2;
}

/// The options of the runner. One value: whoever changes one between two calls has the model loaded anew.
fn options() -> Value {
    json!({
        "num_ctx": CONTEXT_TOKENS,
        "num_predict": ANSWER_TOKENS,
        "temperature": 0,
        "seed": 7,
    })
}

impl Ollama {
    pub(super) fn new(client: Client, url: &str, model: &str, patience: Patience) -> Result<Self, String> {
        let (full, shown) = http::address(url)?;
        // What other programs are given as its address.
        let bare = |url: &str| {
            let url = url.strip_suffix("/api").or_else(|| url.strip_suffix("/v1")).unwrap_or(url);
            url.trim_end_matches('/').to_owned()
        };
        let line = Line::new("ollama", model, bare(&shown), patience);
        Ok(Self { client, url: bare(&full), line, think: AtomicU8::new(think::UNKNOWN) })
    }

    pub(super) async fn exchange(&self, prompt: &Prompt, again: Option<(&str, &str)>) -> Result<Reply, Failed> {
        let turn = self.line.turn().await?;
        let outcome = self.load_and_ask(&turn, prompt, again).await;
        turn.end(outcome)
    }

    pub(super) async fn preload(&self) -> Result<(), Failed> {
        let turn = self.line.turn().await?;
        let outcome = self.load(&turn).await;
        turn.end(outcome).map(|_| ())
    }

    pub(super) fn state(&self) -> State {
        self.line.state()
    }

    async fn load_and_ask(
        &self,
        turn: &Turn<'_>,
        prompt: &Prompt,
        again: Option<(&str, &str)>,
    ) -> Result<Reply, Failed> {
        let cold = if self.line.is_fresh() { false } else { self.load(turn).await? };
        let body = self.question(prompt, again);
        let started = tokio::time::Instant::now();
        let mut answer = self.post(&body, self.line.patience().answer).await?;
        let unthinking = |answer: &Answer| {
            answer.status == 400 && answer.error().is_some_and(|error| error.contains("does not support thinking"))
        };
        if body.contains_key("think") && unthinking(&answer) {
            self.think.store(think::CANNOT, Ordering::Relaxed);
            answer = self.post(&self.question(prompt, again), self.line.patience().answer).await?;
        }
        let mut reply = read(&answer, prompt, self.line.model())?;
        reply.seconds = started.elapsed().as_secs_f64();
        reply.cold |= cold;
        Ok(reply)
    }

    /// An empty request, which is answered when the model is loaded. Whether it had to be.
    async fn load(&self, turn: &Turn<'_>) -> Result<bool, Failed> {
        turn.loading();
        if self.think.load(Ordering::Relaxed) == think::UNKNOWN {
            self.learn_to_think().await;
        }
        let answer = self.post(&self.request(json!([])), self.line.patience().load).await.map_err(|failed| {
            let next = "set OLLAMA_LOAD_TIMEOUT higher, or take a smaller model";
            match failed.why {
                Why::TimedOut => {
                    Failed::new(Why::TimedOut, format!("{} was not loaded in time: {next}", self.line.model()))
                }
                _ => failed,
            }
        })?;
        let body = good(&answer, self.line.model())?;
        if body.get("done") != Some(&Value::Bool(true)) {
            return Err(Failed::new(Why::BadReply, "Ollama did not say that the model is loaded: check triage.url"));
        }
        self.look_at_context().await;
        Ok(was_cold(&body))
    }

    /// What every request has, byte for byte.
    fn request(&self, messages: Value) -> Map<String, Value> {
        let request = json!({
            "model": self.line.model(),
            "messages": messages,
            "stream": false,
            "truncate": false,
            "shift": false,
            "keep_alive": KEEP_ALIVE,
            "options": options(),
        });
        match request {
            Value::Object(request) => request,
            _ => Map::new(),
        }
    }

    fn question(&self, prompt: &Prompt, again: Option<(&str, &str)>) -> Map<String, Value> {
        let mut request = self.request(messages(prompt, again));
        request.insert("format".to_owned(), prompt.schema().clone());
        if self.think.load(Ordering::Relaxed) == think::CAN {
            request.insert("think".to_owned(), Value::Bool(false));
        }
        request
    }

    async fn post(&self, body: &Map<String, Value>, deadline: std::time::Duration) -> Result<Answer, Failed> {
        let request = self.client.post(format!("{}/api/chat", self.url)).json(body);
        send(request, deadline).await.map_err(start_it)
    }
}

/// The prompt, and after an unusable reply that and what is wrong with it. The front stays the same.
pub(super) fn messages(prompt: &Prompt, again: Option<(&str, &str)>) -> Value {
    let mut messages =
        vec![json!({"role": "system", "content": prompt.system()}), json!({"role": "user", "content": prompt.user()})];
    if let Some((said, wrong)) = again {
        // What the model said may be a log line's words: they pass the same gate.
        let said = disarm(clean(said).cut(SAID_BYTES).as_str());
        let wrong = disarm(clean(wrong).cut(WRONG_BYTES).as_str());
        messages.push(json!({"role": "assistant", "content": said}));
        messages.push(json!({
            "role": "user",
            "content": format!("This reply cannot be used: {wrong}. Reply again, with the JSON object only."),
        }));
    }
    Value::Array(messages)
}

/// The body of an answer that is none of an error.
fn good(answer: &Answer, model: &str) -> Result<Value, Failed> {
    let error = answer.error();
    if !(200..300).contains(&answer.status) || error.is_some() {
        return Err(refusal(answer.status, error.as_deref(), model));
    }
    let not_json = || Failed::new(Why::BadReply, "the answer is not Ollama's: check triage.url");
    answer.json().filter(Value::is_object).ok_or_else(not_json)
}

fn read(answer: &Answer, prompt: &Prompt, model: &str) -> Result<Reply, Failed> {
    let body = good(answer, model)?;
    let count = |name: &str| body.get(name).and_then(Value::as_u64).unwrap_or_default();
    let prompt_tokens = count("prompt_eval_count");
    if looks_cut(prompt_tokens, prompt.tokens()) {
        return Err(Failed::new(
            Why::TooLong,
            format!(
                "Ollama has cut the prompt to {prompt_tokens} tokens: update Ollama, or set OLLAMA_CONTEXT_LENGTH=8192"
            ),
        ));
    }
    // Before anything of the text is looked at: half an answer can look like a whole one.
    let reason = body.get("done_reason").and_then(Value::as_str).unwrap_or_default();
    match (body.get("done"), reason) {
        (Some(Value::Bool(true)), "stop") => {}
        (Some(Value::Bool(true)), "length") => {
            let words = format!("the answer was not finished after {ANSWER_TOKENS} tokens");
            return Err(Failed::new(Why::CutShort, words));
        }
        (Some(Value::Bool(_)), _) => {
            return Err(Failed::new(Why::CutShort, "the model was stopped in its answer: it repeated itself"));
        }
        _ => return Err(Failed::new(Why::BadReply, "the answer is not Ollama's: check triage.url")),
    }
    let text = body.get("message").and_then(|message| message.get("content")).and_then(Value::as_str);
    let Some(text) = text else {
        return Err(Failed::new(Why::BadReply, "the answer has no message: check triage.url"));
    };
    Ok(Reply {
        text: text.to_owned(),
        prompt_tokens,
        answer_tokens: count("eval_count"),
        seconds: 0.0,
        cold: was_cold(&body),
    })
}

fn was_cold(body: &Value) -> bool {
    body.get("load_duration").and_then(Value::as_u64).is_some_and(|nanos| nanos > COLD_NANOS)
}

/// A prompt that is cut has a little more than half the context left, whatever it had before. A lower count
/// alone says nothing: what the server still knew of the prompt before need not be counted.
fn looks_cut(counted: u64, reckoned: usize) -> bool {
    let left = CONTEXT_TOKENS - (CONTEXT_TOKENS - KEPT_TOKENS) / 2;
    let counted = usize::try_from(counted).unwrap_or(usize::MAX);
    counted.abs_diff(left) <= CUT_TOLERANCE && reckoned > left + left / 4
}

fn start_it(mut failed: Failed) -> Failed {
    if failed.why == Why::Unreachable {
        failed.words.push_str(": is Ollama running there? Start it with `ollama serve`, or set triage.url");
    }
    failed
}

fn refusal(status: u16, error: Option<&str>, model: &str) -> Failed {
    let error = error.unwrap_or_default();
    let lower = error.to_ascii_lowercase();
    let said = http::said(error);
    let has = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    if has(&["longer than the context", "exceed_context", "context size", "exceeds the available context"]) {
        return Failed::new(Why::TooLong, format!("the prompt is longer than the context: {said}"));
    }
    match status {
        503 => Failed::new(Why::Busy, "Ollama is busy with other requests; it will be asked again"),
        429 => Failed::new(Why::RateLimited, "Ollama asks for a pause (429)"),
        404 if error.is_empty() => {
            Failed::new(Why::Refused, "nothing of Ollama's is at this address: check triage.url")
        }
        404 => pull(model),
        300..=399 => Failed::new(
            Why::Refused,
            format!("the address redirects (status {status}), which is not followed: check triage.url"),
        ),
        401 | 403 => Failed::new(Why::Refused, format!("Ollama does not let us ask (status {status}): {said}")),
        408 | 504 => Failed::new(Why::TimedOut, format!("a server before Ollama did not wait (status {status})")),
        _ if has(&["not found"]) => pull(model),
        _ if has(&["timed out waiting"]) => Failed::new(
            Why::TimedOut,
            format!("Ollama gave up loading {model}: set OLLAMA_LOAD_TIMEOUT higher, or take a smaller model"),
        ),
        _ if has(&["memory"]) => {
            Failed::new(Why::Refused, format!("Ollama cannot load {model}, take a smaller model: {said}"))
        }
        _ if error.is_empty() => Failed::new(Why::Refused, format!("Ollama refuses (status {status})")),
        _ => Failed::new(Why::Refused, format!("Ollama refuses (status {status}): {said}")),
    }
}

fn pull(model: &str) -> Failed {
    Failed::new(Why::Refused, format!("Ollama has no model {model}: run `ollama pull {model}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prompt_that_was_cut_is_known_by_what_is_left_of_it() {
        let left = 4096 - (4096 - 4) / 2;
        for (counted, reckoned, cut) in [
            (left, 3000, true),
            (left + 10, 3000, true),
            (left, 2100, false),
            (left + 40, 3000, false),
            (12, 3000, false),
            (0, 3000, false),
        ] {
            assert_eq!(looks_cut(counted, reckoned), cut, "{counted} of {reckoned}");
        }
    }

    #[test]
    fn every_refusal_names_what_to_do() {
        #[rustfmt::skip]
        let cases = [
            (404, "model 'qwen2.5:3b' not found", Why::Refused, "`ollama pull qwen2.5:3b`"),
            (404, "", Why::Refused, "check triage.url"),
            (200, "model \"qwen2.5:3b\" not found, try pulling it first", Why::Refused, "`ollama pull qwen2.5:3b`"),
            (503, "server busy, please try again.  maximum pending requests exceeded", Why::Busy, "busy"),
            (400, "the prompt is longer than the context length currently available to the model", Why::TooLong, "longer"),
            (400, "request (5000 tokens) exceeds the available context size (4096 tokens)", Why::TooLong, "longer"),
            (500, "timed out waiting for llama-server to start", Why::TimedOut, "OLLAMA_LOAD_TIMEOUT"),
            (500, "model requires more system memory (9 GiB) than is available", Why::Refused, "smaller model"),
            (500, "model runner has unexpectedly stopped", Why::Refused, "unexpectedly stopped"),
            (403, "ollama cloud is disabled", Why::Refused, "cloud is disabled"),
            (307, "", Why::Refused, "check triage.url"),
            (429, "", Why::RateLimited, "pause"),
            (502, "", Why::Refused, "502"),
        ];
        for (status, error, why, words) in cases {
            let failed = refusal(status, Some(error), "qwen2.5:3b");
            assert_eq!(failed.why, why, "{status} {error}");
            assert!(failed.words.contains(words), "{}", failed.words);
        }
    }
}
