//! A message, put together from the events that it comes in.
//!
//! Events and blocks of kinds that are not known are no faults: there will be new ones.

use serde_json::{Map, Value, json};

use super::not_theirs;
use crate::investigate::model::sse::Event;
use crate::investigate::model::wire::{CONTENT_MAX, Failed, READS_MAX, Read, Said, Turn, shown};
use crate::investigate::model::{Usage, Why};
use crate::secret::Secret;

/// Blocks of one message.
const BLOCKS_MAX: usize = 256;
/// Bytes of text that make a token, where the server had no time to count them.
const TOKEN_BYTES: u64 = 4;

#[derive(Default)]
pub(super) struct Message {
    blocks: Vec<Block>,
    stop: Option<String>,
    /// What is said of a refusal.
    details: Option<String>,
    counted: Usage,
    /// Of all deltas.
    bytes: usize,
    has_started: bool,
}

struct Block {
    index: u64,
    /// As it began.
    start: Map<String, Value>,
    /// What was added to its text, or thinking.
    text: String,
    input: String,
    signature: String,
}

impl Message {
    /// Whether the message has come to its end.
    pub(super) fn take(&mut self, event: &Event, key: Option<&Secret>) -> Result<bool, Failed> {
        let body: Value = serde_json::from_str(&event.data).map_err(|_| not_theirs())?;
        let kind = body.get("type").and_then(Value::as_str).unwrap_or(&event.name);
        match kind {
            "message_start" => {
                self.has_started = true;
                self.count(body.get("message").and_then(|message| message.get("usage")));
            }
            "content_block_start" => self.begin(&body)?,
            "content_block_delta" => self.add(&body)?,
            "message_delta" => {
                self.count(body.get("usage"));
                let delta = body.get("delta");
                let stop = delta.and_then(|delta| delta.get("stop_reason")).and_then(Value::as_str);
                self.stop = stop.map(str::to_owned).or(self.stop.take());
                let details = delta.and_then(|delta| delta.get("stop_details")).or_else(|| body.get("stop_details"));
                self.details = details.and_then(said).or(self.details.take());
            }
            "message_stop" => return Ok(true),
            "error" => {
                let text = |name: &str| body.get("error").and_then(|error| error.get(name)).and_then(Value::as_str);
                let (kind, words) = (text("type").unwrap_or_default(), text("message").unwrap_or_default());
                return Err(Failed::of(200, kind, words, key));
            }
            _ => {}
        }
        Ok(false)
    }

    /// As far as it is known: a stream that breaks off has not told how much it was.
    pub(super) fn usage(&self) -> Usage {
        let seen = self.bytes as u64 / TOKEN_BYTES;
        Usage {
            output: if self.stop.is_some() { self.counted.output } else { self.counted.output.max(seen) },
            ..self.counted
        }
    }

    pub(super) fn end(self) -> Result<Said, Failed> {
        if !self.has_started {
            return Err(not_theirs());
        }
        let content = self.blocks.iter().filter_map(Block::again).collect::<Vec<_>>();
        let message = json!({"role": "assistant", "content": content});
        let turn = match self.stop.as_deref() {
            Some("end_turn" | "stop_sequence") => Turn::Text(self.text()),
            Some("tool_use") => {
                let reads: Vec<Read> = self.blocks.iter().filter_map(Block::read).collect();
                if reads.is_empty() || reads.len() > READS_MAX {
                    let words = "the model wants to use a tool, and does not say which, or too many at once";
                    return Err(Failed::new(Why::BadReply, words));
                }
                Turn::Reads(reads)
            }
            Some("pause_turn") if content.is_empty() => return Err(not_theirs()),
            Some("pause_turn") => Turn::Paused,
            Some("refusal") => {
                let why = self.details.map(|details| format!(": {}", shown(&details))).unwrap_or_default();
                return Err(Failed::new(Why::Declined, format!("the model declines to answer{why}")));
            }
            Some("max_tokens") => {
                let words = "the answer was not finished within investigation.max_output_tokens";
                return Err(Failed::new(Why::CutShort, words));
            }
            Some("model_context_window_exceeded") => {
                let words =
                    "the model's context was full before the answer was finished: lower investigation.max_bytes";
                return Err(Failed::new(Why::TooLong, words));
            }
            other => {
                let why = shown(other.unwrap_or("nothing said why"));
                return Err(Failed::new(Why::CutShort, format!("the answer did not come to its end ({why})")));
            }
        };
        Ok(Said { message, turn })
    }

    fn text(&self) -> String {
        let texts = self.blocks.iter().filter(|block| block.is("text"));
        texts.map(|block| block.whole("text")).collect()
    }

    fn count(&mut self, usage: Option<&Value>) {
        let told =
            |name: &str, held: u64| usage.and_then(|usage| usage.get(name)).and_then(Value::as_u64).unwrap_or(held);
        self.counted = Usage {
            input: told("input_tokens", self.counted.input),
            written: told("cache_creation_input_tokens", self.counted.written),
            cached: told("cache_read_input_tokens", self.counted.cached),
            output: told("output_tokens", self.counted.output),
        };
    }

    fn begin(&mut self, body: &Value) -> Result<(), Failed> {
        let index = body.get("index").and_then(Value::as_u64).ok_or_else(not_theirs)?;
        let start = body.get("content_block").and_then(Value::as_object).ok_or_else(not_theirs)?.clone();
        if self.blocks.len() >= BLOCKS_MAX || self.blocks.iter().any(|block| block.index == index) {
            return Err(not_theirs());
        }
        self.grow(serde_json::to_string(&start).map_or(0, |text| text.len()))?;
        self.blocks.push(Block { index, start, text: String::new(), input: String::new(), signature: String::new() });
        Ok(())
    }

    fn add(&mut self, body: &Value) -> Result<(), Failed> {
        let index = body.get("index").and_then(Value::as_u64).ok_or_else(not_theirs)?;
        let delta = body.get("delta").and_then(Value::as_object).ok_or_else(not_theirs)?;
        let text = |name: &str| delta.get(name).and_then(Value::as_str).unwrap_or_default();
        let at = self.blocks.iter().position(|block| block.index == index).ok_or_else(not_theirs)?;
        let kind = text("type");
        let added = match kind {
            "text_delta" => text("text"),
            "thinking_delta" => text("thinking"),
            "input_json_delta" => text("partial_json"),
            "signature_delta" => text("signature"),
            _ => return Ok(()),
        };
        self.grow(added.len())?;
        let Some(block) = self.blocks.get_mut(at) else { return Ok(()) };
        match kind {
            "input_json_delta" => block.input.push_str(added),
            "signature_delta" => block.signature.push_str(added),
            _ => block.text.push_str(added),
        }
        Ok(())
    }

    fn grow(&mut self, bytes: usize) -> Result<(), Failed> {
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes > CONTENT_MAX {
            return Err(Failed::new(Why::BadReply, format!("the answer is longer than {CONTENT_MAX} bytes")));
        }
        Ok(())
    }
}

impl Block {
    fn is(&self, kind: &str) -> bool {
        self.start.get("type").is_some_and(|is| is == kind)
    }

    /// What it began with, and what was added.
    fn whole(&self, name: &str) -> String {
        let begun = self.start.get(name).and_then(Value::as_str).unwrap_or_default();
        format!("{begun}{}", self.text)
    }

    /// For the next call. An empty text is refused there.
    fn again(&self) -> Option<Value> {
        let mut block = self.start.clone();
        block.retain(|_, value| !value.is_null());
        let mut set = |name: &str, value: Value| block.insert(name.to_owned(), value);
        if self.is("text") {
            let text = self.whole("text");
            if text.trim().is_empty() {
                return None;
            }
            set("text", text.into());
        } else if self.is("thinking") {
            set("thinking", self.whole("thinking").into());
            let begun = self.start.get("signature").and_then(Value::as_str).unwrap_or_default();
            set("signature", format!("{begun}{}", self.signature).into());
        } else if !self.input.is_empty() || self.is("tool_use") {
            set("input", self.input().filter(Value::is_object).unwrap_or_else(|| json!({})));
        }
        Some(block.into())
    }

    fn read(&self) -> Option<Read> {
        let text = |name: &str| self.start.get(name).and_then(Value::as_str).map(str::to_owned);
        let is_ours = self.is("tool_use");
        is_ours.then(|| Some(Read { id: text("id")?, name: text("name")?, input: self.input() }))?
    }

    fn input(&self) -> Option<Value> {
        match self.input.is_empty() {
            true => Some(self.start.get("input").cloned().unwrap_or_else(|| json!({}))),
            false => serde_json::from_str(&self.input).ok(),
        }
    }
}

/// Of a refusal: which kind, and why.
fn said(details: &Value) -> Option<String> {
    let text = |name: &str| details.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    match (text("category"), text("explanation")) {
        (Some(category), Some(why)) => Some(format!("{category}: {why}")),
        (category, why) => category.or(why).map(str::to_owned),
    }
}

#[cfg(test)]
mod tests;
