use std::collections::HashSet;

use super::*;

/// Sketches that share a set of a table of one set.
fn full() -> Known {
    let known = Known::new(WAYS);
    for sketch in 1..=WAYS as u64 {
        assert_eq!(known.insert(sketch), None);
    }
    known
}

#[test]
fn a_sketch_is_known_once_inserted_and_counted_when_hit() {
    let known = Known::new(1024);
    assert!(!known.hit(5));
    assert_eq!(known.insert(5), None);
    assert!(known.hit(5) && known.hit(5));
    assert_eq!(known.insert(5), None, "known already");
    assert_eq!(known.take_count(5), 2);
    assert_eq!(known.take_count(5), 0);
    known.forget(5);
    assert!(!known.hit(5));
    assert_eq!(known.take_count(5), 0);
}

#[test]
fn the_sketch_that_looks_like_a_free_place_is_none() {
    let known = Known::new(64);
    assert!(!known.hit(0));
    known.insert(0);
    assert!(known.hit(0));
}

#[test]
fn the_least_counted_goes() {
    let known = full();
    for sketch in 1..=WAYS as u64 {
        for _ in 0..sketch {
            known.hit(sketch);
        }
    }
    assert_eq!(known.insert(100), Some(Replaced { sketch: 1, count: 1 }));
    assert!(known.hit(100) && !known.hit(1));
    assert_eq!(known.insert(101), Some(Replaced { sketch: 100, count: 1 }), "hit once");
}

#[test]
fn of_equally_counted_ones_each_has_its_turn() {
    let known = full();
    let gone: HashSet<u64> = (0..WAYS as u64).filter_map(|n| known.insert(100 + n)).map(|gone| gone.sketch).collect();
    assert!(gone.iter().filter(|sketch| **sketch < 100).count() > WAYS / 2, "{gone:?}");
}

#[test]
fn a_forgotten_place_is_used_first() {
    let known = full();
    known.forget(3);
    assert_eq!(known.insert(100), None);
    assert!((1..=WAYS as u64).all(|sketch| sketch == 3 || known.hit(sketch)));
}

#[test]
fn its_size_is_bounded_at_both_ends() {
    assert_eq!(Known::new(0).capacity(), WAYS);
    assert_eq!(Known::new(65_536).capacity(), 65_536);
    assert_eq!(Known::new(1000).capacity(), 1024);
}

#[test]
fn threads_count_every_hit_of_what_stays() {
    let known = Known::new(4096);
    let stays = |n: u64| n << 32 | 7;
    for n in 0..100 {
        known.insert(stays(n));
    }
    std::thread::scope(|scope| {
        for thread in 0..4_u64 {
            let known = &known;
            scope.spawn(move || {
                for round in 0..2000_u64 {
                    assert!(known.hit(stays(round % 100)));
                    let own = ((thread + 1) << 50) | (300 << 32) | (round % 3);
                    known.insert(own);
                    known.hit(own);
                    known.forget(own);
                }
            });
        }
    });
    let counts: Vec<u32> = (0..100).map(|n| known.take_count(stays(n))).collect();
    assert_eq!(counts.iter().sum::<u32>(), 8000);
}

#[test]
fn threads_that_fight_for_a_set_lose_no_place() {
    let known = Known::new(WAYS);
    std::thread::scope(|scope| {
        for thread in 0..4_u64 {
            let known = &known;
            scope.spawn(move || {
                for round in 0..5000_u64 {
                    known.insert(1 + (thread * 7 + round) % 40);
                    known.hit(round % 40);
                    known.forget(round % 11);
                }
            });
        }
    });
    (0..=50).for_each(|sketch| known.forget(sketch));
    for sketch in 100..100 + WAYS as u64 {
        assert_eq!(known.insert(sketch), None, "all places are free again");
    }
}
