//! Under what terms a model may be used, where that is likely to surprise.

/// What to say about the licence of a model of this name, or `None` where nothing is known against it.
///
/// Names are those of Ollama's library and of the usual servers: `qwen2.5:3b`, `qwen2.5:3b-instruct-q4_K_M`,
/// `Qwen/Qwen2.5-3B-Instruct`.
pub fn licence_note(model: &str) -> Option<&'static str> {
    let name = model.rsplit('/').next().unwrap_or(model).to_ascii_lowercase();
    let size = ["qwen2.5:", "qwen2.5-coder:", "qwen2.5-", "qwen2.5-coder-"]
        .iter()
        .find_map(|family| name.strip_prefix(family));
    let three = size.is_some_and(|size| size == "3b" || size.starts_with("3b-"));
    three.then_some(
        "qwen2.5:3b is under the Qwen Research License, which allows research and no commercial use; \
         under Apache-2.0 are qwen2.5:1.5b (smaller), qwen2.5:7b (larger) and qwen3:4b: set triage.model",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_billion_model_is_for_research_and_its_sisters_are_not_named() {
        for name in ["qwen2.5:3b", "QWEN2.5:3B-instruct-q4_K_M", "Qwen/Qwen2.5-3B-Instruct", "library/qwen2.5-coder:3b"]
        {
            assert!(licence_note(name).is_some_and(|note| note.contains("Apache-2.0")), "{name}");
        }
        for name in ["qwen2.5:7b", "qwen2.5:32b", "qwen2.5:1.5b", "qwen2.5", "qwen3:4b", "llama3.2:3b", "", "3b"] {
            assert_eq!(licence_note(name), None, "{name}");
        }
    }
}
