//! What Ollama tells of itself and its models, without being asked to think.

use std::sync::atomic::Ordering;

use reqwest::RequestBuilder;
use serde_json::{Value, json};

use super::{Ollama, pull, refusal, start_it, think};
use crate::triage::model::http::send;
use crate::triage::model::licence::licence_note;
use crate::triage::model::{Failed, Why};
use crate::triage::prompt::CONTEXT_TOKENS;

/// Older ones hand what is in their memory to strangers: CVE-2026-7482.
const SAFE_VERSION: [u64; 3] = [0, 17, 1];

impl Ollama {
    /// Whether it is there, and has the model. What else is worth knowing goes into the state's advice.
    pub(in crate::triage::model) async fn probe(&self) -> Result<(), Failed> {
        let looked = self.look().await;
        match &looked {
            Ok(()) => self.line.is_there(),
            Err(failed) => self.line.note(failed),
        }
        looked
    }

    async fn look(&self) -> Result<(), Failed> {
        let version = self.get("/api/version").await?;
        let version = version.get("version").and_then(Value::as_str).unwrap_or_default();
        let models = self.get("/api/tags").await?;
        if !names(&models).any(|name| is_same(name, self.line.model())) {
            return Err(pull(self.line.model()));
        }
        self.learn_to_think().await;
        self.line.advise(advice(version, self.line.model()));
        self.look_at_context().await;
        Ok(())
    }

    /// Asks once whether the model can think aloud. A server that does not say is asked again next time.
    pub(super) async fn learn_to_think(&self) {
        let request = self.client.post(format!("{}/api/show", self.url)).json(&json!({"model": self.line.model()}));
        let Ok(told) = self.told(request).await else { return };
        let Some(Value::Array(abilities)) = told.get("capabilities") else { return };
        let can = abilities.iter().any(|ability| ability == "thinking");
        self.think.store(if can { think::CAN } else { think::CANNOT }, Ordering::Relaxed);
    }

    /// Whether the loaded model has the context that was asked for. Nothing is lost where it does not say.
    pub(super) async fn look_at_context(&self) {
        let Ok(loaded) = self.get("/api/ps").await else { return };
        let ours = |model: &&Value| name(model).is_some_and(|name| is_same(name, self.line.model()));
        let Some(Value::Array(models)) = loaded.get("models") else { return };
        let length = models.iter().find(ours).and_then(|model| model.get("context_length")).and_then(Value::as_u64);
        let Some(length) = length else { return };
        let mut advice = self.line.state().advice;
        advice.retain(|advice| !advice.starts_with(CONTEXT_ADVICE));
        if length < CONTEXT_TOKENS as u64 {
            advice.push(format!("{CONTEXT_ADVICE} {length} tokens, fewer than {CONTEXT_TOKENS}: prompts may not fit"));
        }
        self.line.advise(advice);
    }

    async fn get(&self, path: &str) -> Result<Value, Failed> {
        self.told(self.client.get(format!("{}{path}", self.url))).await
    }

    async fn told(&self, request: RequestBuilder) -> Result<Value, Failed> {
        let answer = send(request, self.line.patience().look).await.map_err(start_it)?;
        match answer.json() {
            Some(told @ Value::Object(_)) if answer.status == 200 => Ok(told),
            Some(Value::Object(_)) => Err(refusal(answer.status, answer.error().as_deref(), self.line.model())),
            _ => Err(Failed::new(Why::Refused, "no Ollama answers at this address: check triage.url")),
        }
    }
}

const CONTEXT_ADVICE: &str = "the model is loaded with a context of";

fn names(list: &Value) -> impl Iterator<Item = &str> {
    list.get("models").and_then(Value::as_array).into_iter().flatten().filter_map(name)
}

fn name(model: &Value) -> Option<&str> {
    model.get("model").or_else(|| model.get("name")).and_then(Value::as_str)
}

/// A name without a tag means `latest`.
fn is_same(one: &str, other: &str) -> bool {
    let bare = |name: &str| name.strip_suffix(":latest").unwrap_or(name).to_ascii_lowercase();
    bare(one) == bare(other)
}

fn advice(version: &str, model: &str) -> Vec<String> {
    let mut advice = Vec::new();
    if parsed(version).is_some_and(|version| version < SAFE_VERSION) {
        let version = crate::redact::Redacted::new(version).cut(20);
        advice.push(format!(
            "Ollama {version} can be made to tell strangers what it was asked: update to 0.17.1 or newer"
        ));
    }
    if model.ends_with(":cloud") || model.ends_with("-cloud") {
        advice.push(format!("{model} does not run on this machine: redacted lines leave it"));
    }
    advice.extend(licence_note(model).map(str::to_owned));
    advice
}

fn parsed(version: &str) -> Option<[u64; 3]> {
    let release = version.split(['-', '+']).next()?;
    let mut parts = release.split('.').map(|part| part.parse::<u64>().ok());
    Some([parts.next()??, parts.next()??, parts.next().unwrap_or(Some(0))?])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_and_distant_ones_are_warned_of() {
        for (version, model, said) in [
            ("0.17.0", "qwen3:4b", 1),
            ("0.9.6-rc1", "qwen3:4b", 1),
            ("0.17.1", "qwen3:4b", 0),
            ("1.0", "qwen3:4b", 0),
            ("strange", "qwen3:4b", 0),
            ("0.33.0", "gpt-oss:120b-cloud", 1),
            ("0.33.0", "kimi:cloud", 1),
            ("0.33.0", "qwen2.5:3b", 1),
        ] {
            assert_eq!(advice(version, model).len(), said, "{version} {model}");
        }
    }

    #[test]
    fn a_name_without_a_tag_is_the_latest() {
        assert!(is_same("qwen2.5:3b", "Qwen2.5:3b") && is_same("mine:latest", "mine"));
        assert!(!is_same("qwen2.5:3b", "qwen2.5:7b") && !is_same("qwen2.5:3b", "qwen2.5"));
    }
}
