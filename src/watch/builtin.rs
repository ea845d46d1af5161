//! The watches that run while nobody has configured any: useful at once, quiet when nothing is wrong, and
//! needing no model.
//!
//! One fault should be one message, so they do not overlap: a 5xx is counted as a 5xx and not again as an
//! error line, and the phrases that name a dying process are told apart from errors that come in numbers.

use super::rule::Rule;
use crate::fault::Fault;

/// Seeds' rule form. Thresholds: a handful of 5xx or errors a minute is life; ten and twenty are a signal
/// somebody should see. A process that dies says so once.
const RULES: &str = r#"[
  {"label": "http_5xx_spike",
   "match": {"field": "status", "gte": 500, "lt": 600},
   "threshold": 10, "window_seconds": 60, "severity": "critical",
   "summary": "5xx responses are spiking"},
  {"label": "error_burst",
   "match": {"all": [{"field": "level", "eq": "error"}, {"not": {"field": "status", "gte": 500}}]},
   "threshold": 20, "window_seconds": 60, "severity": "warning",
   "summary": "many error lines in a short time"},
  {"label": "fatal",
   "match": {"any": [
     {"field": "level", "eq": "fatal"},
     {"contains": "panic: "}, {"contains": "panicked at "},
     {"contains": "OutOfMemoryError"}, {"contains": "out of memory"}, {"contains": "Out of memory"},
     {"contains": "oom-kill"}, {"contains": "OOMKilled"},
     {"contains": "segmentation fault"}, {"contains": "Segmentation fault"}, {"contains": "SIGSEGV"},
     {"contains": "No space left on device"}, {"contains": "data corruption"}]},
   "threshold": 1, "window_seconds": 60, "severity": "critical",
   "summary": "a process says that it is dying or losing data"}
]"#;

/// The built-in rules.
pub fn rules() -> Vec<Rule> {
    let values: Vec<serde_json::Value> = serde_json::from_str(RULES).unwrap_or_default();
    let mut faults: Vec<Fault> = Vec::new();
    let rules: Vec<Rule> = values.iter().filter_map(|value| Rule::from_json(value, "builtin", &mut faults)).collect();
    debug_assert!(faults.is_empty(), "the built-in rules are sound: {faults:?}");
    rules
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_built_in_rule_is_sound() {
        assert_eq!(super::rules().len(), 3);
    }
}
