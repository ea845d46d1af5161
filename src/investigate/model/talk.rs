//! A conversation: the dossier, a few turns of reading, an answer; and what it costs.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Deserializer, Value};
use tokio::time::{self, Instant};

use super::price::Prices;
use super::tools::{Desk, TURN_BYTES};
use super::wire::{Asking, Failed, Said, Tools, Turn, Wire};
use super::{Bounds, Cost, Files, Question, Usage, Why, prompt};
use crate::metrics::Metrics;
use crate::triage::model::breaker::Breaker;

/// How often a call is made again that may go well in a moment.
const RETRIES: u32 = 2;
/// The pause before the first of them where the server names none; it doubles, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(8);
/// A longer pause is not waited for: somebody else can have the place meanwhile.
const PATIENCE: Duration = Duration::from_secs(60);
/// Bytes of text that make a token: fewer than any tokeniser makes of what dossiers hold, and what is usual.
const TOKEN_BYTES_LEAST: u64 = 2;
const TOKEN_BYTES_USUAL: u64 = 3;
/// Places in an answer at which its JSON is looked for.
const STARTS_MAX: usize = 20;

/// What a conversation has cost so far. Told to the metrics when it ends, however it does.
pub(super) struct Tab<'m> {
    metrics: &'m Metrics,
    prices: Prices,
    allowance: Cost,
    /// Of all calls that have ended.
    ended: Usage,
    /// Of the one under way.
    pub(super) call: Usage,
    pub(super) calls: u32,
}

pub(super) struct Talk<'a> {
    pub(super) wire: &'a Wire,
    pub(super) breaker: &'a Breaker,
    pub(super) bounds: Bounds,
    pub(super) question: Question<'a>,
    pub(super) metrics: &'a Metrics,
    pub(super) deadline: Instant,
}

impl Talk<'_> {
    /// The answer, with an object in it.
    pub(super) async fn hold(&self, files: Option<Arc<dyn Files>>, tab: &mut Tab<'_>) -> Result<String, Failed> {
        let mut desk = Desk::new(files.filter(|_| self.bounds.max_turns > 1));
        let mut messages = vec![self.wire.of_user(self.question.dossier.as_str())];
        // Of the next call's prompt, guessed high.
        let mut tokens = self.first(&messages, &desk, tab).await?;
        let mut turns_left = self.bounds.max_turns.max(1);
        let mut was_repaired = false;
        loop {
            turns_left = turns_left.saturating_sub(1);
            let is_last = turns_left == 0 || !self.covers_another(tokens, tab);
            let is_closed = is_last || !desk.is_open();
            let tools = match (desk.has_files(), is_closed) {
                (false, _) => Tools::None,
                (true, false) => Tools::Offered,
                (true, true) => Tools::Closed,
            };
            let said = self.exchange(&messages, tools, tokens, tab).await?;
            let used = tab.ended_call();
            let before = if used.prompt() > 0 { used.prompt() } else { tokens };
            tokens = before.saturating_add(used.output.max(length(&said.message) / TOKEN_BYTES_USUAL));
            messages.push(said.message);
            let more = match said.turn {
                // All of it: which object is the answer, and whether there are two, is for who reads it to say.
                Turn::Text(text) => match json_of(&text).is_some() {
                    true => return Ok(text),
                    false if was_repaired => {
                        return Err(Failed::new(Why::BadReply, "the model's answer is no JSON object, twice"));
                    }
                    false => {
                        was_repaired = true;
                        turns_left = 0;
                        vec![self.wire.of_user(prompt::ANSWER_AGAIN)]
                    }
                },
                Turn::Reads(_) if is_closed => return Err(no_answer()),
                Turn::Paused if is_last => return Err(no_answer()),
                Turn::Reads(reads) => {
                    let found = desk.answer(reads, self.deadline).await;
                    let closes = turns_left <= 1 || !desk.is_open();
                    self.wire.found(&found, closes.then_some(prompt::ANSWER_NOW))
                }
                Turn::Paused => Vec::new(),
            };
            tokens = tokens.saturating_add(more.iter().map(length).sum::<u64>() / TOKEN_BYTES_LEAST);
            messages.extend(more);
        }
    }

    /// Tokens of the first prompt. Where it is not clear that the allowance covers it, the server is asked to count.
    async fn first(&self, messages: &[Value], desk: &Desk, tab: &Tab<'_>) -> Result<u64, Failed> {
        let guessed = guess(&self.question, TOKEN_BYTES_LEAST);
        if tab.covers(guessed, self.bounds.max_output_tokens) {
            return Ok(guessed);
        }
        let tools = if desk.has_files() { Tools::Offered } else { Tools::None };
        let counting = time::timeout_at(self.deadline, self.wire.count(self.asking(messages, tools)));
        Ok(counting.await.ok().flatten().unwrap_or(guessed))
    }

    /// Whether one more call can follow the next one, which then need not be the last.
    fn covers_another(&self, tokens: u64, tab: &Tab<'_>) -> bool {
        let output = self.bounds.max_output_tokens;
        let after = tokens.saturating_add(output).saturating_add(TURN_BYTES as u64 / TOKEN_BYTES_LEAST);
        tab.covers(tokens.saturating_add(after), output.saturating_mul(2))
    }

    fn asking<'q>(&'q self, messages: &'q [Value], tools: Tools) -> Asking<'q> {
        Asking {
            system: self.question.system,
            schema: self.question.schema,
            messages,
            tools,
            max_output_tokens: self.bounds.max_output_tokens,
        }
    }

    /// One call, made again where that may help.
    async fn exchange(&self, messages: &[Value], tools: Tools, tokens: u64, tab: &mut Tab<'_>) -> Result<Said, Failed> {
        let pass = self.breaker.admit(Instant::now()).map_err(|left| {
            let words = format!(
                "the server has failed too often, or asked for a pause: not asked for another {} s",
                left.as_secs() + 1
            );
            Failed { pause: Some(left), ..Failed::new(Why::BreakerOpen, words) }
        })?;
        let mut pause = FIRST_PAUSE;
        let mut tries = 0;
        loop {
            if !tab.covers(tokens, self.bounds.max_output_tokens) {
                return Err(Failed::new(
                    Why::OverBudget,
                    "what is left of the budget does not cover another call to the model",
                ));
            }
            tab.begin_call();
            let call = self.wire.call(self.asking(messages, tools), &mut tab.call);
            let outcome = time::timeout_at(self.deadline, call).await;
            let outcome = outcome.unwrap_or_else(|_| Err(too_late()));
            tab.guess_call(&outcome, self.asking(messages, tools), tokens);
            let word = outcome.as_ref().map_or_else(|failed| failed.why.as_str(), |_| "answered");
            self.metrics.investigator_calls.with_label_values(&[word]).inc();
            let failed = match outcome {
                Ok(said) => {
                    pass.succeeded();
                    return Ok(said);
                }
                Err(failed) => failed,
            };
            let wait = failed.pause.unwrap_or(pause);
            let now = Instant::now();
            let fits = wait <= PATIENCE && now + wait < self.deadline;
            if failed.is_passing && tries < RETRIES && fits {
                tries += 1;
                pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
                tracing::debug!(
                    why = failed.why.as_str(),
                    wait_ms = wait.as_millis() as u64,
                    "the model is asked again"
                );
                time::sleep(wait).await;
                continue;
            }
            match failed.blames_the_server() {
                // A short pause has been waited for twice, and did not help.
                true => pass.failed(now, failed.pause.filter(|asked| *asked > LONGEST_PAUSE)),
                false => pass.succeeded(),
            }
            return Err(failed);
        }
    }
}

/// What the first call may cost, guessed as it usually is.
pub(super) fn least(question: &Question<'_>, bounds: &Bounds, prices: &Prices) -> Cost {
    prices.at_most(guess(question, TOKEN_BYTES_USUAL), bounds.max_output_tokens)
}

fn no_answer() -> Failed {
    Failed::new(Why::NoAnswer, "the model gave no answer within investigation.max_turns")
}

pub(super) fn too_late() -> Failed {
    Failed::new(Why::TimedOut, "the model gave no answer within investigation.timeout_seconds")
}

fn guess(question: &Question<'_>, token_bytes: u64) -> u64 {
    // Descriptions of tools, and what is around it all.
    const AROUND: u64 = 2_000;
    let bytes = question.system.len() as u64 + question.dossier.as_str().len() as u64 + length(question.schema);
    bytes / token_bytes + AROUND
}

fn length(value: &Value) -> u64 {
    serde_json::to_string(value).map_or(0, |text| text.len() as u64)
}

/// The first object in an answer: all of it, or what a fence or a sentence stands around.
fn json_of(text: &str) -> Option<&str> {
    let text = text.trim();
    text.match_indices('{').take(STARTS_MAX).find_map(|(at, _)| {
        let rest = text.get(at..)?;
        let mut found = Deserializer::from_str(rest).into_iter::<serde::de::IgnoredAny>();
        found.next()?.ok()?;
        rest.get(..found.byte_offset())
    })
}

// === impl Tab ===

impl<'m> Tab<'m> {
    pub(super) fn new(metrics: &'m Metrics, prices: Prices, allowance: Cost) -> Tab<'m> {
        Tab { metrics, prices, allowance, ended: Usage::default(), call: Usage::default(), calls: 0 }
    }

    pub(super) fn usage(&self) -> Usage {
        self.ended.with(self.call)
    }

    pub(super) fn cost(&self) -> Cost {
        self.prices.cost(&self.usage())
    }

    fn begin_call(&mut self) {
        self.ended_call();
        self.calls = self.calls.saturating_add(1);
    }

    /// A server that does not count, or did not come to it, has worked all the same.
    fn guess_call(&mut self, outcome: &Result<Said, Failed>, asking: Asking<'_>, prompt: u64) {
        if self.call.tokens() > 0 {
            return;
        }
        match outcome {
            Ok(said) => {
                let bytes = asking.messages.iter().map(length).sum::<u64>() + asking.system.len() as u64;
                let input = (bytes + length(asking.schema)) / TOKEN_BYTES_USUAL;
                let output = length(&said.message) / TOKEN_BYTES_USUAL;
                self.call = Usage { input, output, ..Usage::default() };
            }
            Err(failed) if failed.why == Why::TimedOut => self.call = Usage { input: prompt, ..Usage::default() },
            Err(_) => {}
        }
    }

    /// What the last call has cost, which from now on is a part of the whole.
    fn ended_call(&mut self) -> Usage {
        let call = std::mem::take(&mut self.call);
        self.ended = self.ended.with(call);
        call
    }

    fn covers(&self, prompt: u64, output: u64) -> bool {
        let spent = self.cost();
        let left =
            Cost { tokens: self.allowance.tokens.saturating_sub(spent.tokens), usd: self.allowance.usd - spent.usd };
        left.covers(self.prices.at_most(prompt, output))
    }
}

impl Drop for Tab<'_> {
    fn drop(&mut self) {
        let usage = self.usage();
        for (kind, tokens) in
            [("input", usage.input), ("written", usage.written), ("cached", usage.cached), ("output", usage.output)]
        {
            self.metrics.investigator_tokens.with_label_values(&[kind]).inc_by(tokens);
        }
        self.metrics.investigator_usd.inc_by(self.cost().usd);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_object_of_an_answer_is_found_wherever_it_stands() {
        for (text, json) in [
            (r#"{"a":1}"#, Some(r#"{"a":1}"#)),
            (" \n{\"a\":{}} ", Some(r#"{"a":{}}"#)),
            ("```json\n{\"a\":\"é}\"}\n```", Some("{\"a\":\"é}\"}")),
            ("Well {no}. {\"a\":1} I hope.", Some(r#"{"a":1}"#)),
            (r#"{"a":1"#, None),
            ("[1, 2]", None),
            ("", None),
        ] {
            assert_eq!(json_of(text), json, "{text}");
        }
        assert_eq!(json_of(&"{\"a\":".repeat(100_000)), None);
    }
}
