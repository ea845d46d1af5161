//! Any server that has `/v1/chat/completions`: vLLM, llama.cpp, Groq, LM Studio, and others.
//!
//! They differ in what they take: a schema of the answer or only JSON or neither, tools or none, both in one request
//! or not, and how the longest answer is called. Each call begins with the most that is known to be taken; a refusal
//! with `400` or `422` leads to the next lesser form, five at the most, and what was taken is remembered. The schema
//! stands in the prompt in any case.

mod form;

use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use reqwest::Client;
use serde_json::{Map, Value, json};

use super::prompt;
use super::tools;
use super::wire::{Asking, CONTENT_MAX, Failed, Found, READS_MAX, Read, Said, Tools, Turn, shown};
use super::{Usage, Why};
use crate::secret::Secret;
use crate::triage::model::http::{self, Answer};
use form::{Form, Reply};

/// For one answer, which comes whole: slow cards write a thousand tokens a minute.
const ANSWER: Duration = Duration::from_secs(600);

pub(super) struct OpenAi {
    client: Client,
    /// What stands before `/chat/completions`.
    url: String,
    model: String,
    key: Option<Secret>,
    taken: Mutex<Form>,
}

impl OpenAi {
    /// `url`: as [`http::address`] gives it.
    pub(super) fn new(client: Client, url: &str, model: &str, key: Option<Secret>) -> OpenAi {
        OpenAi { client, url: root(url), model: model.to_owned(), key, taken: Mutex::default() }
    }

    pub(super) async fn call(&self, asking: Asking<'_>, usage: &mut Usage) -> Result<Said, Failed> {
        let mut form = *self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let mut first = None;
        loop {
            let request = self.client.post(format!("{}/chat/completions", self.url)).json(&self.question(asking, form));
            let request = match &self.key {
                Some(key) => request.bearer_auth(key.expose()),
                None => request,
            };
            let answer = http::send(request, ANSWER).await?;
            if (200..300).contains(&answer.status) && answer.error().is_none() {
                *self.taken.lock().unwrap_or_else(PoisonError::into_inner) = form;
                return read(&answer, usage);
            }
            let failed = match answer.status {
                200..300 => Failed::of(500, "", &answer.error().unwrap_or_default(), self.key.as_ref()),
                _ => Failed::refusal(&answer, self.key.as_ref()),
            };
            let may_be_the_form = matches!(answer.status, 400 | 422) && failed.why == Why::Refused;
            let lesser = form.lesser(asking.tools, &answer.error().unwrap_or_default());
            match lesser.filter(|_| may_be_the_form) {
                Some(lesser) => form = lesser,
                // What was wrong with the fullest form tells most.
                None => return Err(first.unwrap_or(failed)),
            }
            first.get_or_insert(failed);
        }
    }

    pub(super) fn of_user(text: &str) -> Value {
        json!({"role": "user", "content": text})
    }

    pub(super) fn found(found: &[Found], word: Option<&str>) -> Vec<Value> {
        let result = |found: &Found| json!({"role": "tool", "tool_call_id": found.id, "content": found.text});
        found.iter().map(result).chain(word.map(OpenAi::of_user)).collect()
    }

    fn question(&self, asking: Asking<'_>, form: Form) -> Map<String, Value> {
        let system = format!("{}\n{}{}", asking.system, prompt::FORM, asking.schema);
        let mut messages = vec![json!({"role": "system", "content": system})];
        messages.extend_from_slice(asking.messages);
        let mut body = Map::new();
        body.insert("model".to_owned(), self.model.as_str().into());
        body.insert("messages".to_owned(), messages.into());
        body.insert("stream".to_owned(), false.into());
        body.insert(form.limit().to_owned(), asking.max_output_tokens.into());
        if form.sends_tools(asking.tools) {
            let tool = |tool: &tools::Tool| {
                let function =
                    json!({"name": tool.name(), "description": tool.description(), "parameters": tool.schema()});
                json!({"type": "function", "function": function})
            };
            body.insert("tools".to_owned(), tools::ALL.iter().map(tool).collect());
            if asking.tools == Tools::Closed {
                body.insert("tool_choice".to_owned(), "none".into());
            }
        }
        let format = match form.reply(asking.tools) {
            // Not strict: that would make demands of its own on the schema.
            Reply::Schema => json!({
                "type": "json_schema",
                "json_schema": {"name": "verdict", "schema": asking.schema, "strict": false},
            }),
            Reply::Json => json!({"type": "json_object"}),
            Reply::Text => return body,
        };
        body.insert("response_format".to_owned(), format);
        body
    }
}

/// What stands before `/chat/completions`. A server's name alone: its interface is at the usual place.
pub(super) fn root(url: &str) -> String {
    let url = url.strip_suffix("/chat/completions").unwrap_or(url);
    match url.splitn(4, '/').nth(3) {
        Some(_) => url.to_owned(),
        None => format!("{url}/v1"),
    }
}

fn read(answer: &Answer, usage: &mut Usage) -> Result<Said, Failed> {
    let not_theirs = || Failed::new(Why::BadReply, "the answer is no chat completion: check investigation.url");
    let body = answer.json().ok_or_else(not_theirs)?;
    *usage = counted(&body);
    let choice = body.get("choices").and_then(|choices| choices.get(0)).ok_or_else(not_theirs)?;
    let message = choice.get("message").and_then(Value::as_object).ok_or_else(not_theirs)?;
    let text = |name: &str| message.get(name).and_then(Value::as_str).unwrap_or_default();
    let (content, refusal) = (text("content"), text("refusal"));
    let calls = message.get("tool_calls").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let reason = choice.get("finish_reason").and_then(Value::as_str).unwrap_or_default();
    if !refusal.is_empty() || reason == "content_filter" {
        return Err(Failed::new(Why::Declined, format!("the model declines to answer: {}", shown(refusal))));
    }
    // Before anything of the text is looked at: half an answer can look like a whole one.
    match reason {
        "stop" | "tool_calls" => {}
        "length" => {
            let words = "the answer was not finished within investigation.max_output_tokens";
            return Err(Failed::new(Why::CutShort, words));
        }
        _ => return Err(Failed::new(Why::CutShort, "the answer did not come to its end")),
    }
    if content.len() > CONTENT_MAX || calls.len() > READS_MAX {
        return Err(Failed::new(Why::BadReply, "the answer is longer than any"));
    }
    if calls.is_empty() {
        let message = json!({"role": "assistant", "content": content});
        return Ok(Said { message, turn: Turn::Text(content.to_owned()) });
    }
    let mut reads = Vec::new();
    let mut again = Vec::new();
    for call in calls {
        let function = call.get("function").ok_or_else(not_theirs)?;
        let part = |of: &Value, name: &str| of.get(name).and_then(Value::as_str).map(str::to_owned);
        let (id, name) = (part(call, "id").ok_or_else(not_theirs)?, part(function, "name").ok_or_else(not_theirs)?);
        let arguments = part(function, "arguments").unwrap_or_default();
        let input = serde_json::from_str(&arguments).ok();
        // What is no JSON makes some servers refuse the next call.
        let arguments = if input.is_some() { arguments } else { "{}".to_owned() };
        again.push(json!({"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}));
        reads.push(Read { id, name, input });
    }
    let message = json!({"role": "assistant", "content": content, "tool_calls": again});
    Ok(Said { message, turn: Turn::Reads(reads) })
}

fn counted(body: &Value) -> Usage {
    let usage = body.get("usage");
    let count = |name: &str| usage.and_then(|usage| usage.get(name)).and_then(Value::as_u64).unwrap_or_default();
    let details = usage.and_then(|usage| usage.get("prompt_tokens_details"));
    let cached = details.and_then(|details| details.get("cached_tokens")).and_then(Value::as_u64).unwrap_or_default();
    let prompt = count("prompt_tokens");
    Usage {
        input: prompt.saturating_sub(cached),
        written: 0,
        cached: cached.min(prompt),
        output: count("completion_tokens"),
    }
}
