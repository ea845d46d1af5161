//! Any server that has `/v1/chat/completions`: llama.cpp, vLLM, LM Studio, Groq, and others.
//!
//! They differ in what they know of a reply's form. The question is asked with the schema; a server that does
//! not take it is asked for JSON, and one that does not take that either, for text. What it took is
//! remembered. The same question costs three requests at most, and only a `400` leads to another.

use std::sync::atomic::{AtomicU8, Ordering};

use reqwest::{Client, RequestBuilder};
use serde_json::{Map, Value, json};

use super::http::{self, Answer, send};
use super::limits;
use super::line::Line;
use super::ollama::messages;
use super::{Failed, Patience, Reply, State, Why};
use crate::secret::Secret;
use crate::triage::prompt::{ANSWER_TOKENS, Prompt};

pub struct OpenAi {
    client: Client,
    url: String,
    key: Option<Secret>,
    line: Line,
    /// An index into [`FORMS`].
    form: AtomicU8,
}

/// How a reply's form is asked for, the strictest first.
#[derive(Clone, Copy)]
enum Form {
    Schema,
    Json,
    Text,
}

const FORMS: [Form; 3] = [Form::Schema, Form::Json, Form::Text];

impl OpenAi {
    pub(super) fn new(
        client: Client,
        url: &str,
        model: &str,
        key: Option<Secret>,
        patience: Patience,
    ) -> Result<Self, String> {
        let (full, shown) = http::address(url)?;
        let root = |url: String| {
            let url = url.strip_suffix("/chat/completions").map_or(url.clone(), str::to_owned);
            // A server's name alone: its interface is at the usual place.
            if url.splitn(4, '/').nth(3).is_none() { url + "/v1" } else { url }
        };
        let line = Line::new("openai", model, root(shown), patience);
        let full = root(full);
        if full.contains(":11434") {
            let advice = "Ollama cannot be told its context this way, and cuts prompts without a word: \
                          set triage.provider to ollama";
            line.advise(vec![advice.to_owned()]);
        }
        Ok(Self { client, url: full, key, line, form: AtomicU8::new(0) })
    }

    pub(super) async fn exchange(&self, prompt: &Prompt, again: Option<(&str, &str)>) -> Result<Reply, Failed> {
        let turn = self.line.turn().await?;
        let outcome = self.ask(prompt, again).await;
        turn.end(outcome)
    }

    /// Whether it is there and takes the key. A server without a list of models is there as well.
    pub(super) async fn probe(&self) -> Result<(), Failed> {
        let request = self.with_key(self.client.get(format!("{}/models", self.url)));
        let looked = match send(request, self.line.patience().look).await {
            Ok(answer) if matches!(answer.status, 200 | 404 | 405 | 501) => Ok(()),
            Ok(answer) => Err(self.refusal(&answer)),
            Err(failed) => Err(start_it(failed)),
        };
        match &looked {
            Ok(()) => self.line.is_there(),
            Err(failed) => self.line.note(failed),
        }
        looked
    }

    pub(super) fn state(&self) -> State {
        self.line.state()
    }

    async fn ask(&self, prompt: &Prompt, again: Option<(&str, &str)>) -> Result<Reply, Failed> {
        let started = tokio::time::Instant::now();
        let known = self.form.load(Ordering::Relaxed);
        let mut last = None;
        for (at, form) in (0_u8..).zip(FORMS).skip(usize::from(known)) {
            let body = self.question(prompt, again, form);
            let request = self.with_key(self.client.post(format!("{}/chat/completions", self.url)).json(&body));
            let answer = send(request, self.line.patience().answer).await.map_err(start_it)?;
            let is_good = (200..300).contains(&answer.status) && answer.error().is_none();
            if is_good {
                self.form.store(at, Ordering::Relaxed);
                let mut reply = read(&answer)?;
                reply.seconds = started.elapsed().as_secs_f64();
                return Ok(reply);
            }
            let failed = self.refusal(&answer);
            // Whatever else a 400 is about, a weaker form would not mend it, but nothing tells them apart.
            if answer.status != 400 || failed.why != Why::Refused {
                return Err(failed);
            }
            last = Some(failed);
        }
        Err(last.unwrap_or_else(|| Failed::new(Why::Refused, "the server takes no form of the question")))
    }

    fn question(&self, prompt: &Prompt, again: Option<(&str, &str)>, form: Form) -> Map<String, Value> {
        let mut body = Map::new();
        body.insert("model".to_owned(), self.line.model().into());
        body.insert("messages".to_owned(), messages(prompt, again));
        body.insert("stream".to_owned(), false.into());
        body.insert("temperature".to_owned(), 0.into());
        body.insert("max_tokens".to_owned(), ANSWER_TOKENS.into());
        let form = match form {
            Form::Schema => json!({
                "type": "json_schema",
                // Not strict: that would make every key of an action required.
                "json_schema": {"name": "reply", "schema": prompt.schema(), "strict": false},
            }),
            Form::Json => json!({"type": "json_object"}),
            Form::Text => return body,
        };
        body.insert("response_format".to_owned(), form);
        body
    }

    fn with_key(&self, request: RequestBuilder) -> RequestBuilder {
        match &self.key {
            Some(key) => request.bearer_auth(key.expose()),
            None => request,
        }
    }

    fn refusal(&self, answer: &Answer) -> Failed {
        let error = answer.error().unwrap_or_default();
        // Servers repeat parts of what they were sent, the key among them.
        let said = match &self.key {
            Some(key) if !key.expose().is_empty() => http::said(&error.replace(key.expose(), "[redacted]")),
            _ => http::said(&error),
        };
        let lower = error.to_ascii_lowercase();
        let too_long =
            ["context length", "context_length", "context size", "exceed_context", "maximum context", "too large"];
        let status = answer.status;
        match status {
            429 => {
                let mut failed = Failed::new(Why::RateLimited, format!("the server asks for a pause (429): {said}"));
                failed.pause = limits::pause(answer);
                failed
            }
            413 => Failed::new(Why::TooLong, format!("the prompt is too long for the server: {said}")),
            _ if too_long.iter().any(|words| lower.contains(words)) => {
                Failed::new(Why::TooLong, format!("the prompt is longer than the context: {said}"))
            }
            // What is said then may hold a part of the key.
            401 | 403 => Failed::new(
                Why::Refused,
                format!("the server does not accept the key (status {status}): check triage.api_key"),
            ),
            404 => Failed::new(
                Why::Refused,
                format!("no such model or address (404): check triage.model and triage.url: {said}"),
            ),
            300..=399 => Failed::new(
                Why::Refused,
                format!("the address redirects (status {status}), which is not followed: check triage.url"),
            ),
            408 | 504 => Failed::new(Why::TimedOut, format!("the server gave up (status {status})")),
            502 | 503 | 529 => {
                let mut failed = Failed::new(Why::Busy, format!("the server is busy or loading (status {status})"));
                failed.pause = limits::pause(answer);
                failed
            }
            200..300 => Failed::new(Why::Refused, format!("the server refuses: {said}")),
            _ => Failed::new(Why::Refused, format!("the server refuses (status {status}): {said}")),
        }
    }
}

fn read(answer: &Answer) -> Result<Reply, Failed> {
    let not_theirs = || Failed::new(Why::BadReply, "the answer is no chat completion: check triage.url");
    let body = answer.json().ok_or_else(not_theirs)?;
    let choice = body.get("choices").and_then(|choices| choices.get(0)).ok_or_else(not_theirs)?;
    // Before anything of the text is looked at: half an answer can look like a whole one.
    match choice.get("finish_reason").and_then(Value::as_str) {
        Some("stop") => {}
        Some("length") => {
            let words = format!("the answer was not finished after {ANSWER_TOKENS} tokens");
            return Err(Failed::new(Why::CutShort, words));
        }
        _ => return Err(Failed::new(Why::CutShort, "the answer did not come to its end")),
    }
    let text = choice.get("message").and_then(|message| message.get("content")).and_then(Value::as_str);
    let text = text.ok_or_else(not_theirs)?.to_owned();
    let count = |name: &str| body.get("usage").and_then(|usage| usage.get(name)).and_then(Value::as_u64);
    Ok(Reply {
        text,
        prompt_tokens: count("prompt_tokens").unwrap_or_default(),
        answer_tokens: count("completion_tokens").unwrap_or_default(),
        seconds: 0.0,
        cold: false,
    })
}

fn start_it(mut failed: Failed) -> Failed {
    if failed.why == Why::Unreachable {
        failed.words.push_str(": is the server running there? Check triage.url");
    }
    failed
}
