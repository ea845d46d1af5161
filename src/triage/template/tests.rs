use std::collections::HashSet;

use proptest::prelude::*;

use super::*;

fn miner() -> Miner {
    Miner::new(Settings::default())
}

fn small(max_templates: usize) -> Miner {
    Miner::new(Settings { max_templates, ..Settings::default() })
}

/// The templates of these messages at the end.
fn templates(miner: &mut Miner, messages: &[&str]) -> Vec<TemplateId> {
    let ids: Vec<_> = messages.iter().map(|message| miner.learn(1, message).id).collect();
    ids.iter().map(|id| miner.resolve(*id).unwrap()).collect()
}

fn text(miner: &Miner, id: TemplateId) -> String {
    miner.template(id).unwrap()
}

#[test]
fn a_message_is_new_once() {
    let mut miner = miner();
    let first = miner.learn(1, "user 17 logged in from 10.0.0.1");
    assert!(first.new && !first.widened);
    let second = miner.learn(1, "user 42 logged in from 8.8.8.8:53");
    assert_eq!(second, Learned { id: first.id, new: false, widened: false });
    assert_eq!(text(&miner, first.id), "user <num> logged in from <ip>");
    assert_eq!(miner.get(first.id).unwrap().count, 2);
}

#[test]
fn groups_are_apart() {
    let mut miner = miner();
    let one = miner.learn(1, "cache is full");
    let other = miner.learn(2, "cache is full");
    assert!(other.new && one.id != other.id);
    assert_eq!(miner.get(other.id).unwrap().group, 2);
}

#[test]
fn names_after_nouns_are_values_at_once() {
    let mut miner = miner();
    let first = miner.learn(1, "session opened for user alice");
    let second = miner.learn(1, "session opened for user bob");
    assert_eq!(second, Learned { id: first.id, new: false, widened: true });
    assert_eq!(text(&miner, first.id), "session opened for user <*>");
    assert!(!miner.learn(1, "session opened for user carol").widened);
}

#[test]
fn names_after_prepositions_are_values_at_the_fourth() {
    let mut miner = miner();
    let say = |name: &str| format!("accepted password for {name} from 10.0.0.1");
    let learned: Vec<_> = ["root", "git", "mail", "ftp", "www"].iter().map(|name| miner.learn(1, &say(name))).collect();
    assert_eq!(learned.iter().map(|l| l.new).collect::<Vec<_>>(), [true, true, true, false, false]);
    assert_eq!(learned.iter().map(|l| l.widened).collect::<Vec<_>>(), [false, false, false, true, false]);
    for l in &learned {
        assert_eq!(miner.resolve(l.id), Some(learned[0].id));
        assert_eq!(text(&miner, l.id), "accepted password for <*> from <ip>");
    }
    assert_eq!((miner.len(), miner.get(learned[2].id).unwrap().count), (1, 5));
}

#[test]
fn a_variable_first_word_makes_no_explosion() {
    let mut miner = miner();
    let name = |n: u32| -> String { (0..6).map(|i| char::from(b'g' + (n / 7_u32.pow(i) % 7) as u8)).collect() };
    let new = (0..2000).filter(|n| miner.learn(1, &format!("{} joined the room today", name(*n))).new).count();
    assert!(new <= 8, "{new}");
    assert_eq!(miner.len(), 1);
    assert_eq!(miner.views().next().unwrap().text, "<*> joined the room today");
}

#[test]
fn kinds_of_failure_stay_apart() {
    let kinds = [
        "request failed: connection refused",
        "request failed: connection reset",
        "request failed: connection timeout",
        "request failed: connection aborted",
        "request failed: connection lost",
        "request failed: connection ok",
        "request failed: java.io.IOException thrown",
        "request failed: java.net.ConnectException thrown",
        "request failed: java.lang.OutOfMemoryError thrown",
        "cannot write block: disk full",
        "cannot write block: quota exceeded",
        "state is UP now",
        "state is DOWN now",
        "job finished: success",
        "job finished: failure",
        "level=error result=denied",
        "level=error result=expired",
        "said \"access denied\" to us",
        "said \"access expired\" to us",
    ];
    let mut miner = miner();
    let mut ids = HashSet::new();
    for round in 0..30 {
        for kind in kinds {
            let learned = miner.learn(1, kind);
            assert_eq!(learned.new, round == 0, "{kind}");
            ids.insert(miner.resolve(learned.id).unwrap());
        }
    }
    assert_eq!(ids.len(), kinds.len());
}

#[test]
fn a_new_failure_shows_where_anything_was_seen() {
    let mut miner = miner();
    let names = ["anna", "berta", "clara", "dora", "emma", "frida", "greta", "hilde", "ida"];
    for name in names {
        miner.learn(1, &format!("said hello to user {name} today"));
    }
    assert_eq!(miner.len(), 1);
    assert!(!miner.learn(1, "said hello to user zoe today").new);
    assert!(miner.learn(1, "said hello to user error today").new);
    assert!(miner.learn(1, "said hello to user NullPointerException today").new);
}

#[test]
fn two_plain_words_apart_are_two_kinds() {
    let mut miner = miner();
    let ids = templates(&mut miner, &["creating image of disk for us", "removing layer of disk for us"]);
    assert_ne!(ids[0], ids[1]);
}

#[test]
fn a_typed_placeholder_says_no_type_once_values_differ_in_it() {
    let mut miner = miner();
    let id = miner.learn(1, "peer 10.0.0.1 joined").id;
    let learned = miner.learn(1, "peer 17 joined");
    assert_eq!((learned.id, learned.new), (id, false));
    assert_eq!(text(&miner, id), "peer <*> joined");
}

#[test]
fn a_crowded_leaf_keeps_the_words_that_tell_how_it_ended() {
    let mut miner = Miner::new(Settings { max_children: 4, ..Settings::default() });
    let word = |n: u8| char::from(b'g' + n).to_string().repeat(4);
    for n in 0..12 {
        miner.learn(1, &format!("{} {} {}", word(n), word(n + 1), word(n + 2)));
    }
    assert_eq!(miner.len(), 5);
    let learned = miner.learn(1, "vvvv timeout wwww");
    assert!(learned.new);
    assert_eq!(text(&miner, learned.id), "<*> timeout <*>");
    assert!(!miner.learn(1, "uuuu timeout tttt").new);
}

#[test]
fn exact_keys_are_their_text() {
    let mut miner = miner();
    let one = miner.learn_exact(1, "GET 500 /users/<num>");
    assert!(one.new);
    assert!(!miner.learn_exact(1, "GET 500 /users/<num>").new);
    assert!(miner.learn_exact(1, "GET 500 /users/<num>/orders").new);
    assert!(miner.learn_exact(2, "GET 500 /users/<num>").new);
    assert_eq!(text(&miner, one.id), "GET 500 /users/<num>");
    assert!(miner.learn(1, "GET 500 /users/<num>").new, "a message is no key");
}

#[test]
fn one_group_pushes_out_no_other() {
    let mut miner = Miner::new(Settings { max_templates: 100, max_group_templates: 10, ..Settings::default() });
    let kept = miner.learn_exact(1, "kept").id;
    for n in 0..1000 {
        miner.learn_exact(2, &n.to_string());
    }
    assert_eq!((miner.len(), miner.resolve(kept)), (11, Some(kept)));
}

#[test]
fn the_group_longest_unused_goes() {
    let mut miner = Miner::new(Settings { max_groups: 2, ..Settings::default() });
    let one = miner.learn(1, "a").id;
    let more = miner.learn(1, "b c").id;
    let two = miner.learn(2, "a").id;
    miner.learn(1, "a");
    miner.learn(3, "a");
    assert_eq!([one, more, two].map(|id| miner.resolve(id).is_some()), [true, true, false]);
}

#[test]
fn an_empty_message_is_a_kind_too() {
    let mut miner = miner();
    let first = miner.learn(1, "");
    assert!(first.new);
    assert_eq!(miner.learn(1, " \n\t "), Learned { new: false, ..first });
    assert_eq!(text(&miner, first.id), "");
}

#[test]
fn a_snapshot_brings_back_ids_counts_and_what_was_united() {
    let mut miner = miner();
    let names = ["root", "git", "mail", "ftp"];
    let ids: Vec<_> = names.iter().map(|n| miner.learn(1, &format!("hello for {n} from here")).id).collect();
    let key = miner.learn_exact(9, "IOException at A.b").id;
    let bytes = postcard::to_stdvec(&miner.export()).unwrap();
    let snapshot: Snapshot = postcard::from_bytes(&bytes).unwrap();
    let mut again = Miner::import(Settings::default(), &snapshot);
    assert_eq!(again.export(), snapshot);
    assert_eq!(again.learn(1, "hello for sue from here"), Learned { id: ids[0], new: false, widened: false });
    assert_eq!(again.learn_exact(9, "IOException at A.b").id, key);
    assert!(ids.iter().all(|id| again.resolve(*id) == Some(ids[0])));
    assert!(again.learn(1, "something else").id > key, "ids go on");
}

#[test]
fn a_smaller_miner_takes_the_latest_of_a_snapshot() {
    let mut miner = miner();
    let ids: Vec<_> = (0..10).map(|n| miner.learn_exact(1, &n.to_string()).id).collect();
    miner.learn_exact(1, "0");
    let again = Miner::import(Settings { max_templates: 3, ..Settings::default() }, &miner.export());
    let kept: Vec<_> = again.views().map(|view| view.id).collect();
    assert_eq!(kept, [ids[8], ids[9], ids[0]]);
}

#[test]
fn a_snapshot_of_nonsense_is_taken_within_bounds() {
    let saved = |id: u64, text: &str, exact| Saved { id: TemplateId(id), group: 1, text: text.into(), count: 1, exact };
    let snapshot = Snapshot {
        last_id: 1,
        templates: vec![
            saved(0, "a", false),
            saved(3, "b", true),
            saved(3, "c", true),
            saved(4, "b", true),
            saved(5, &"x".repeat(9999), false),
        ],
        united: vec![(TemplateId(5), TemplateId(5)), (TemplateId(6), TemplateId(3)), (TemplateId(3), TemplateId(6))],
    };
    let mut miner = Miner::import(Settings::default(), &snapshot);
    assert_eq!(miner.len(), 1);
    assert_eq!(miner.resolve(TemplateId(6)), Some(TemplateId(3)));
    assert_eq!(miner.learn(1, "new").id, TemplateId(4));
}

/// Exact keys in the order of use, by hand.
#[derive(Default)]
struct Twin {
    /// The least recently used first.
    keys: Vec<(u64, u8)>,
}

impl Twin {
    /// Whether it was new.
    fn learn(&mut self, key: (u64, u8), max: usize, max_group: usize) -> bool {
        let known = self.keys.iter().position(|k| *k == key);
        if let Some(at) = known {
            self.keys.remove(at);
        } else {
            if self.keys.iter().filter(|k| k.0 == key.0).count() >= max_group {
                let at = self.keys.iter().position(|k| k.0 == key.0).unwrap();
                self.keys.remove(at);
            }
            if self.keys.len() >= max {
                self.keys.remove(0);
            }
        }
        self.keys.push(key);
        known.is_none()
    }
}

fn words() -> impl Strategy<Value = String> {
    let word = prop::sample::select(vec![
        "user",
        "for",
        "error",
        "failed",
        "root",
        "alice",
        "bob",
        "=",
        "10.0.0.1",
        "17",
        "a.b.c",
        "\"x\"",
        "IOException",
        "DOWN",
        "é",
        "blk_7",
        "x=1",
        "",
    ]);
    prop::collection::vec(word, 0..6).prop_map(|words| words.join(" "))
}

proptest! {
    #[test]
    fn the_least_recently_used_goes_as_by_hand(keys in prop::collection::vec((0..3_u64, 0..12_u8), 0..200), max in 1..9_usize, max_group in 1..6_usize) {
        let mut miner = Miner::new(Settings { max_templates: max, max_group_templates: max_group, ..Settings::default() });
        let mut twin = Twin::default();
        for (group, key) in keys {
            let new = miner.learn_exact(group, &key.to_string()).new;
            prop_assert_eq!(new, twin.learn((group, key), max, max_group));
            let held: Vec<(u64, String)> = miner.views().map(|view| (view.group, view.text)).collect();
            let expected: Vec<(u64, String)> = twin.keys.iter().map(|(group, key)| (*group, key.to_string())).collect();
            prop_assert_eq!(held, expected);
        }
    }

    #[test]
    fn every_bound_holds_and_every_message_is_known_the_second_time(
        messages in prop::collection::vec((0..4_u64, words()), 1..200), max in 1..20_usize, children in 1..4_usize,
    ) {
        let mut miner = Miner::new(Settings { max_templates: max, max_groups: 3, max_children: children, ..Settings::default() });
        for (group, message) in &messages {
            let learned = miner.learn(*group, message);
            let again = miner.learn(*group, message);
            prop_assert_eq!(again, Learned { id: learned.id, new: false, widened: false });
            prop_assert!(miner.len() <= max);
            prop_assert!(miner.views().map(|view| view.group).collect::<HashSet<_>>().len() <= 3);
            prop_assert_eq!(miner.get(learned.id).map(|view| view.group), Some(*group));
        }
        let again = Miner::import(miner.settings, &miner.export());
        prop_assert_eq!(again.export(), miner.export());
    }

    #[test]
    fn any_text_is_learned(texts in prop::collection::vec(any::<String>(), 0..20)) {
        let mut miner = small(8);
        for text in &texts {
            miner.learn(1, text);
            miner.learn_exact(1, text);
        }
        prop_assert!(miner.len() <= 8);
    }

    #[test]
    fn counts_add_up_while_nothing_is_forgotten(messages in prop::collection::vec(words(), 0..100)) {
        let mut miner = miner();
        for message in &messages {
            miner.learn(1, message);
        }
        prop_assert_eq!(miner.views().map(|view| view.count).sum::<u64>(), messages.len() as u64);
    }

    #[test]
    fn words_that_tell_how_it_ended_are_in_the_template(before in words(), after in words()) {
        let mut miner = miner();
        for n in 0..40 {
            miner.learn(1, &format!("{before} name{n} {after}"));
        }
        for word in ["refused", "timeout", "ConnectException"] {
            let learned = miner.learn(1, &format!("{before} {word} {after}"));
            prop_assert!(miner.template(learned.id).is_some_and(|text| text.contains(word)));
        }
    }
}
