use std::collections::BTreeMap;

use super::*;
use crate::notify::notice::{NoticeKind, Severity};
use crate::redact::Redacted;
use crate::state::mirror::Mirror;
use crate::store::Loaded;

const NOW: i64 = 1_700_000_000_000;
const HOUR: i64 = 3_600_000;
const SCOPE: Scope = Scope { seed: 7, now_ms: NOW, dedup_ms: HOUR, stopped: false };

fn escalation(id: u64, told_ms: i64, firing: u64) -> Escalation {
    Escalation {
        id,
        fingerprint: u128::MAX - u128::from(id),
        label: "http_5xx".into(),
        severity: Severity::Critical,
        summary: Redacted::new("5xx \"quoted\""),
        cluster: Redacted::new("prod"),
        service: Redacted::new("checkout"),
        group: vec![("service".into(), Redacted::new("checkout"))],
        threshold: 10,
        window_seconds: 60,
        late: false,
        opened_ms: told_ms,
        count: 20,
        first_ms: told_ms,
        last_ms: told_ms,
        samples: vec![Redacted::new("{\"a\":1}")],
        crossings: 1,
        firing,
        told_ms,
        end_told: false,
        again_told_ms: None,
        threads: BTreeMap::from([("slack".to_owned(), "171.5".to_owned())]),
        proposed: id > 1_000_000,
        held: false,
        also: Vec::new(),
        investigation: None,
        incident: 0,
        frames: Vec::new(),
        told_count: 20,
        reminded_ms: None,
        alert: false,
    }
}

fn message(id: u64, of: &Escalation, leased: bool) -> Row {
    Row {
        id,
        destination: "slack".into(),
        escalation: of.id,
        due_ms: NOW,
        notice: of.notice(NoticeKind::Opened, NOW),
        attempts: 1,
        first_attempt_ms: Some(NOW),
        leased,
        resent_ms: None,
        dead: None,
    }
}

fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("JSON")
}

fn kept(loaded: &Loaded, scope: Scope) -> Kept {
    Kept::new(&Mirror::new(loaded).rows(), scope)
}

fn some() -> Loaded {
    let escalations = [escalation(1, NOW - 10, 1), escalation(2, NOW, 0)];
    Loaded {
        watches: vec![("mine".into(), b"{\"rule\":{},\"set_ms\":1}".to_vec())],
        outbox: vec![(0, b"{\"slack\":{\"sent\":3}}".to_vec()), (4, json(&message(4, &escalations[0], false)))],
        escalations: escalations.iter().map(|e| (e.id, json(e))).collect(),
        triage: vec![("kind/1".into(), vec![1, 0, 255]), ("line/1".into(), vec![2]), ("seeded".into(), vec![])],
        ..Loaded::default()
    }
}

fn ids(kept: &Kept) -> Vec<u64> {
    kept.escalations.iter().map(|(id, _)| *id).collect()
}

#[test]
fn what_was_written_is_read_as_it_was() {
    let kept = kept(&some(), SCOPE);
    assert_eq!((kept.seed(), kept.left_out, ids(&kept)), (Some(7), 0, vec![1, 2]));
    let read = Document::decode(&Document::new(kept.clone(), NOW).encode()).expect("it is whole");
    assert_eq!((read.kept.digest(), read.written_ms), (kept.digest(), NOW));
    assert_eq!(read.kept, kept);
    let rows = read.rows(NOW + 1);
    let set_anew = format!("{{\"rule\":{{}},\"set_ms\":{}}}", NOW + 1);
    assert_eq!(rows.watches, [("mine".to_owned(), Some(set_anew.into_bytes()))]);
    assert_eq!(rows.triage, [("kind/1".to_owned(), Some(vec![1, 0, 255])), ("seeded".to_owned(), Some(vec![]))]);
    assert_eq!(rows.outbox[0], (0, Some(b"{\"slack\":{\"sent\":3}}".to_vec())));
}

#[test]
fn no_byte_of_it_can_be_changed_or_lost_unnoticed() {
    let document = Document::new(kept(&some(), SCOPE), NOW);
    let bytes = document.encode();
    for place in 0..bytes.len() {
        assert!(Document::decode(&bytes[..place]).is_err(), "cut at {place}");
        let mut changed = bytes.clone();
        changed[place] ^= 1;
        if let Ok(read) = Document::decode(&changed) {
            assert_eq!((read.kept, read.written_ms), (document.kept.clone(), NOW), "at {place}");
        }
    }
}

#[test]
fn what_is_not_ours_is_refused_in_words_that_repeat_nothing_of_it() {
    for (text, why) in [
        ("", "no state of emberwatch"),
        ("{}", "no state of emberwatch"),
        ("<html>secret</html>", "no state of emberwatch"),
        ("{\"what\":\"secret\",\"version\":1}", "no state of emberwatch"),
        ("{\"what\":\"emberwatch state\",\"version\":2,\"shape\":\"secret\"}", "version 2"),
        ("{\"what\":\"emberwatch state\",\"version\":1,\"secret\":1}", "damaged"),
    ] {
        let refused = Document::decode(text.as_bytes()).err().unwrap_or_default();
        assert!(refused.contains(why) && !refused.contains("secret"), "{text}: {refused}");
    }
    let many = Kept { watches: vec![("x".into(), "{}".into()); 1101], ..kept(&some(), SCOPE) };
    assert!(Document::decode(&Document::new(many, NOW).encode()).is_err_and(|why| why.contains("more than")));
}

#[test]
fn escalations_that_are_over_and_long_told_are_not_kept_but_for_the_highest_numbers() {
    let told = [
        (1, NOW - 2 * HOUR, 0),
        (2, NOW - 2 * HOUR, 1),
        (3, NOW - HOUR + 1, 0),
        (4, NOW - HOUR, 0),
        (5, NOW - 9 * HOUR, 0),
        (1_000_001, NOW - 9 * HOUR, 0),
        (1_000_002, NOW - 9 * HOUR, 0),
    ];
    let rows = told.map(|(id, told_ms, firing)| (id, json(&escalation(id, told_ms, firing))));
    let loaded = Loaded { escalations: rows.to_vec(), ..Loaded::default() };
    assert_eq!(ids(&kept(&loaded, SCOPE)), [2, 3, 5, 1_000_002]);
    assert!(kept(&Loaded::default(), SCOPE).is_empty() && !kept(&loaded, SCOPE).is_empty());
}

#[test]
fn nothing_fires_in_what_comes_back_and_what_was_open_counts_as_told_of_until_it_was_written() {
    let written_ms = NOW + 3 * HOUR;
    let rows = [escalation(1, NOW, 2), escalation(2, NOW, 0), escalation(3, NOW + 99 * HOUR, 0)];
    let loaded = Loaded { escalations: rows.iter().map(|e| (e.id, json(e))).collect(), ..Loaded::default() };
    let document = Document::new(kept(&loaded, Scope { now_ms: NOW, ..SCOPE }), written_ms);
    let told = |now_ms| {
        let back = document.rows(now_ms).escalations;
        let read = |body: &Option<Vec<u8>>| serde_json::from_slice::<Escalation>(body.as_ref()?).ok();
        back.iter().filter_map(|(_, body)| read(body)).map(|e| (e.firing, e.told_ms - NOW)).collect::<Vec<_>>()
    };
    assert_eq!(told(NOW + 5 * HOUR), [(0, 3 * HOUR), (0, 0), (0, 5 * HOUR)]);
    assert_eq!(told(NOW + HOUR), [(0, HOUR), (0, 0), (0, HOUR)], "no time is taken to lie ahead");
}

#[test]
fn a_message_that_waited_says_that_it_may_have_been_sent_unless_the_program_had_come_to_its_end() {
    let in_doubt = |scope| {
        let rows = Document::new(kept(&some(), scope), NOW).rows(NOW).outbox;
        let row = rows.iter().find(|(id, _)| *id == 4).and_then(|(_, body)| body.clone()).expect("it is kept");
        serde_json::from_slice::<Row>(&row).expect("a row").notice.in_doubt
    };
    assert!(in_doubt(SCOPE));
    assert!(!in_doubt(Scope { stopped: true, ..SCOPE }));
}

#[test]
fn when_not_all_fits_the_oldest_verdicts_go_first_and_peoples_watches_never() {
    let mut loaded = some();
    let proposed = format!("{{\"provenance\":{{}},\"rule\":\"{}\"}}", "p".repeat(100));
    loaded.watches.push(("proposed".into(), proposed.into_bytes()));
    let third = vec![b'x'; MAX_BYTES / 4];
    loaded.triage = (0..6).map(|n| (format!("kind/{n}"), third.clone())).collect();
    let full = kept(&loaded, SCOPE);
    assert_eq!(full.verdicts.iter().map(|(label, _)| label.as_str()).collect::<Vec<_>>(), ["kind/4", "kind/5"]);
    assert_eq!((full.watches.len(), ids(&full), full.messages.len()), (2, vec![1, 2], 1));
    assert!(full.left_out >= 2, "{}", full.left_out);
    assert!(Document::new(full, NOW).encode().len() <= MAX_BYTES);
    // Quotes and control characters are longer as JSON.
    loaded.watches.push(("big".into(), vec![b'"'; MAX_BYTES / 2 - 100_000]));
    let full = kept(&loaded, SCOPE);
    assert_eq!((full.watches.len(), ids(&full), full.verdicts.len()), (3, vec![1, 2], 0));
    assert!(Document::new(full, NOW).encode().len() <= MAX_BYTES);
}
