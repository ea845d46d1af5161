//! Cases for the tests of what is made of them.

use super::*;
use crate::investigate::patch;
use crate::investigate::verdict::{Edit, Evidence, Plan};

pub(crate) const COMMIT: &str = "a8c28bbad9a10b970a85a2eb2f0827599f1a5ae6";

pub(crate) fn case() -> Case {
    let about = About {
        label: "http_5xx_spike".into(),
        severity: Severity::Critical,
        cluster: Redacted::new("prod"),
        service: Redacted::new("payments"),
        late: false,
        window_seconds: 60,
        opened_ms: 0,
    };
    Case { commit: Some(COMMIT.into()), ..Case::new(42, 42, about, None, 0) }
}

pub(crate) fn found(action: Action, may_act: bool) -> Found {
    let edit = Edit { path: "shop/prices.py".into(), search: "a".into(), replace: "b".into() };
    let is_patch = action == Action::Patch;
    Found {
        by: "claude-opus-5-5".into(),
        verdict: Verdict {
            root_cause: "The deploy of 14:02 removed the price that others fell back to.".into(),
            confidence: 0.92,
            evidence: vec![Evidence {
                path: Some("shop/prices.py".into()),
                line: Some(20),
                quote: "found = TABLE[(sku, FALLBACK)]".into(),
                says: "It raises where there is none.".into(),
            }],
            plan: Plan {
                action,
                reason: "The cause is in one line.".into(),
                steps: vec!["Review the diff.".into(), "Deploy it.".into()],
                remedy: (action == Action::RestartService).then(|| "restart".into()),
                edits: if is_patch { vec![edit] } else { vec![] },
                tests: vec![],
            },
        },
        proofs: vec![(!may_act).then(|| "it does not stand there".into())],
        no_action: (!may_act).then(|| "it is not sure".into()),
    }
}

pub(crate) fn patch(is_diff: bool, passes: bool) -> Patch {
    let outcome = if passes { patch::Outcome::Mends } else { patch::Outcome::Refuted };
    let words = if passes {
        "The test fails at the commit that ran and passes with the mend."
    } else {
        "With the mend the test failed."
    };
    let proof = Proof { outcome, words: words.into(), runs: vec![], isolation: None };
    let state = match is_diff {
        true => Patched::Tried { hash: "0".repeat(64), proof },
        false => Patched::Refused { why: Redacted::new("`a` stands there twice") },
    };
    Patch { state, paths: vec![Redacted::new("shop/prices.py")], added: 1, removed: 1 }
}
