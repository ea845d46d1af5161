//! Anthropic's Messages: `POST /v1/messages`, as a stream.
//!
//! What there is to know of it:
//! - an answer that may be long must be a stream, and a stream can break off or end in an error after its status 200;
//! - the form of the answer is `output_config.format`; a forced tool is refused by current models, as are
//!   temperatures and an answer that is begun for them;
//! - blocks of thinking go back as they came, or the next call is refused;
//! - whatever stands before a mark is cached: tools, then system, then messages. The marks stand behind the system
//!   prompt, behind the dossier and behind the newest message, so each turn pays for what is new in it.

mod message;

use std::time::Duration;

use reqwest::{Client, RequestBuilder, Response};
use serde_json::{Map, Value, json};

use super::sse::Events;
use super::tools;
use super::wire::{Asking, Failed, Found, Said, Tools, content_type};
use super::{Usage, Why};
use crate::secret::Secret;
use crate::triage::model::http;
use message::Message;

const VERSION: &str = "2023-06-01";
/// Between two pieces of an answer: while it thinks a server sends a ping every few seconds.
const QUIET: Duration = Duration::from_secs(90);
/// For counting, and for the body of a refusal.
const SHORT: Duration = Duration::from_secs(10);

pub(super) struct Anthropic {
    client: Client,
    /// Without `/v1`.
    url: String,
    model: String,
    key: Secret,
}

impl Anthropic {
    /// `url`: as [`http::address`] gives it.
    pub(super) fn new(client: Client, url: &str, model: &str, key: Secret) -> Anthropic {
        let url = root(url).to_owned();
        Anthropic { client, url, model: model.to_owned(), key }
    }

    pub(super) async fn call(&self, asking: Asking<'_>, usage: &mut Usage) -> Result<Said, Failed> {
        let mut body = self.question(asking);
        body.insert("max_tokens".to_owned(), asking.max_output_tokens.into());
        body.insert("stream".to_owned(), true.into());
        body.insert("output_config".to_owned(), json!({"format": {"type": "json_schema", "schema": asking.schema}}));
        let sent = self.post("messages").json(&body).send();
        let response = tokio::time::timeout(QUIET, sent).await.map_err(|_| quiet())?;
        let response = response.map_err(|fault| Failed::from(http::no_answer(&fault)))?;
        self.read(response, usage).await
    }

    /// Tokens of a question, without asking it.
    pub(super) async fn count(&self, asking: Asking<'_>) -> Option<u64> {
        let request = self.post("messages/count_tokens").json(&self.question(asking));
        let answer = http::send(request, SHORT).await.ok()?;
        let counted = answer.json()?.get("input_tokens")?.as_u64()?;
        (answer.status == 200).then_some(counted)
    }

    pub(super) fn of_user(text: &str) -> Value {
        json!({"role": "user", "content": [{"type": "text", "text": text}]})
    }

    pub(super) fn found(found: &[Found], word: Option<&str>) -> Value {
        let result = |found: &Found| json!({"type": "tool_result", "tool_use_id": found.id, "content": found.text, "is_error": found.is_error});
        let results = found.iter().map(result);
        // Results stand before all else, or the call is refused.
        let content: Vec<Value> = results.chain(word.map(|word| json!({"type": "text", "text": word}))).collect();
        json!({"role": "user", "content": content})
    }

    /// What counts as the question.
    fn question(&self, asking: Asking<'_>) -> Map<String, Value> {
        let mut messages = asking.messages.to_vec();
        let last = messages.len().saturating_sub(1);
        for (at, message) in messages.iter_mut().enumerate() {
            if at == 0 || (at == last && message.get("role").is_some_and(|role| role == "user")) {
                mark(message);
            }
        }
        let mut body = Map::new();
        body.insert("model".to_owned(), self.model.as_str().into());
        body.insert(
            "system".to_owned(),
            json!([{"type": "text", "text": asking.system, "cache_control": {"type": "ephemeral"}}]),
        );
        body.insert("messages".to_owned(), messages.into());
        if asking.tools != Tools::None {
            let tools = tools::ALL.iter().map(
                |tool| json!({"name": tool.name(), "description": tool.description(), "input_schema": tool.schema()}),
            );
            body.insert("tools".to_owned(), tools.collect());
        }
        if asking.tools == Tools::Closed {
            body.insert("tool_choice".to_owned(), json!({"type": "none"}));
        }
        body
    }

    fn post(&self, path: &str) -> RequestBuilder {
        let request = self.client.post(format!("{}/v1/{path}", self.url));
        request.header("x-api-key", self.key.expose()).header("anthropic-version", VERSION)
    }

    async fn read(&self, mut response: Response, usage: &mut Usage) -> Result<Said, Failed> {
        if response.status().as_u16() != 200 {
            let answer = tokio::time::timeout(SHORT, http::whole(response)).await.map_err(|_| quiet())??;
            return Err(Failed::refusal(&answer, Some(&self.key)));
        }
        if content_type(response.headers()) != "text/event-stream" {
            return Err(not_theirs());
        }
        let mut events = Events::default();
        let mut message = Message::default();
        loop {
            let piece = tokio::time::timeout(QUIET, response.chunk()).await.map_err(|_| quiet())?;
            let Some(piece) = piece.map_err(|fault| Failed::from(http::no_answer(&fault)))? else {
                return Err(Failed::passing(Why::Unreachable, "the connection ended before the answer did"));
            };
            let found = events.push(&piece).map_err(|_| {
                Failed::new(
                    Why::BadReply,
                    "the answer is longer than any: is this Anthropic's server? Check investigation.url",
                )
            })?;
            for event in found {
                let taken = message.take(&event, Some(&self.key));
                *usage = message.usage();
                if taken? {
                    return message.end();
                }
            }
        }
    }
}

/// The address before `/v1`, wherever it was cut.
pub(super) fn root(url: &str) -> &str {
    let url = url.strip_suffix("/messages").unwrap_or(url);
    url.strip_suffix("/v1").unwrap_or(url)
}

/// Has all that stands before its end cached.
fn mark(message: &mut Value) {
    let blocks = message.get_mut("content").and_then(Value::as_array_mut);
    if let Some(block) = blocks.and_then(|blocks| blocks.last_mut()).and_then(Value::as_object_mut) {
        block.insert("cache_control".to_owned(), json!({"type": "ephemeral"}));
    }
}

fn quiet() -> Failed {
    Failed::passing(Why::TimedOut, format!("the server has said nothing for {} s", QUIET.as_secs()))
}

fn not_theirs() -> Failed {
    Failed::new(Why::BadReply, "the answer is not Anthropic's: check investigation.url")
}
