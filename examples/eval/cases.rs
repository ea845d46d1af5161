//! Labelled lines, made into the kinds that the program would have made of them.

use std::collections::HashMap;

use emberwatch::record::{Delivery, Piece, Reader, Record};
use emberwatch::triage::What;
use emberwatch::triage::kinds::{Kinds, Seen};
use emberwatch::triage::novel::{Intake, Novelties, origin_hash};
use serde_json::{Value, json};

/// A kind of line, and what a good triage says of it.
#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) kind: u64,
    pub(crate) want: What,
    /// Records that a watch for it must match, the line itself among them, and that it must not.
    pub(crate) must: Vec<String>,
    pub(crate) must_not: Vec<String>,
}

/// Takes each line of `text` in as often as it says, up to now; every one waits to be judged then.
pub(crate) fn load(text: &str, kinds: &mut Kinds, now_ms: i64) -> Result<Vec<Case>, String> {
    let (intake, mut inbox) = Intake::new(1);
    let mut cases = Vec::new();
    let mut places: HashMap<u64, usize> = HashMap::new();
    for (line, number) in text.lines().zip(1..).filter(|(line, _)| !line.trim().is_empty()) {
        let wrong = |what: &str| format!("case {number}: {what}");
        let written: Value = serde_json::from_str(line).map_err(|e| wrong(&e.to_string()))?;
        let want = match written["want"].as_str() {
            Some("ignore") => What::Ignore,
            Some("watch") => What::Watch,
            Some("investigate") => What::Investigate,
            _ => return Err(wrong("want is ignore, watch or investigate")),
        };
        let service = written["service"].as_str().ok_or_else(|| wrong("it has no service"))?;
        let others = |name: &str| -> Vec<String> {
            let list = written[name].as_array().map_or(&[][..], Vec::as_slice);
            list.iter().map(|log| record(service, log)).collect()
        };
        let own = record(service, &written["log"]);
        let (count, seconds) = (written["count"].as_u64().unwrap_or(1), written["seconds"].as_i64().unwrap_or(1));
        let mut novelties = Novelties::new(intake.clone());
        read(&own, |record| {
            for n in 0..count.max(1) {
                let back_ms = (seconds - 1) * 1000 * i64::try_from(n).unwrap_or(0) / i64::try_from(count).unwrap_or(1);
                novelties.take(record, origin_hash(record, record.service()), now_ms - (seconds - 1) * 1000 + back_ms);
            }
        });
        novelties.hand_over();
        let taken = inbox.try_recv().unwrap_or_default();
        let seen = taken.first().and_then(|novel| kinds.see(novel, None, &intake.known, now_ms));
        let Some((kind, Seen::Waits)) = seen else {
            let other = seen.and_then(|(kind, _)| places.get(&kind));
            return Err(wrong(
                &other.map_or("it is never offered".to_owned(), |n| format!("it is of the kind of case {n}")),
            ));
        };
        places.insert(kind, number);
        let must = [vec![own], others("must")].concat();
        cases.push(Case { kind, want, must, must_not: others("must_not") });
    }
    Ok(cases)
}

/// As the log router sends a line of a service.
fn record(service: &str, log: &Value) -> String {
    let log = log.as_str().map_or_else(|| log.to_string(), str::to_owned);
    json!({"container_name": service, "ecs_cluster": "shop", "log": log}).to_string()
}

pub(crate) fn read(line: &str, mut each: impl FnMut(&Record<'_>)) {
    Reader::default().read(line.as_bytes(), false, Delivery::default(), |piece| {
        if let Piece::Record(record) = piece {
            each(record);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use emberwatch::triage::kinds::Bounds;

    fn kinds() -> Kinds {
        Kinds::new(Bounds { max_kinds: 1_000, max_waiting: 1_000 }, 1)
    }

    #[test]
    fn every_case_of_the_project_is_a_kind_of_its_own_and_comes_as_often_as_it_says() {
        let text = std::fs::read_to_string(super::super::CASES).expect("the project's cases");
        let mut kinds = kinds();
        let cases = load(&text, &mut kinds, 1_000_000_000_000).expect("well formed");
        assert_eq!(kinds.len(), cases.len());
        for (case, line) in cases.iter().zip(text.lines()) {
            let offer = kinds.offer(case.kind, None).expect("it waits");
            let written: Value = serde_json::from_str(line).expect("JSON");
            assert_eq!(Some(offer.count), written["count"].as_u64(), "{line}");
            assert!(offer.over_seconds <= written["seconds"].as_u64().expect("seconds"), "{line}");
            assert_eq!(
                case.want == What::Watch,
                !case.must_not.is_empty(),
                "watches say what they may not match: {line}"
            );
        }
    }

    #[test]
    fn a_case_that_is_none_is_named() {
        for (text, words) in [
            ("{", "case 1: "),
            (r#"{"service":"a","log":"INFO x","want":"panic"}"#, "case 1: want is"),
            (r#"{"log":"INFO x","want":"ignore"}"#, "case 1: it has no service"),
            (
                "{\"service\":\"a\",\"log\":\"INFO took 1 s\",\"want\":\"ignore\"}\n\n{\"service\":\"a\",\"log\":\"INFO took 2 s\",\"want\":\"ignore\"}",
                "case 3: it is of the kind of case 1",
            ),
        ] {
            let fault = load(text, &mut kinds(), 0).expect_err(text);
            assert!(fault.starts_with(words), "{text}: {fault}");
        }
    }
}
