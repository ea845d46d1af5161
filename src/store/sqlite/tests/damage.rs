//! A store whose files were damaged while it was closed: it opens, holds nothing that was never written, and says
//! so when anything is missing. Where a cut or a flip ends the log early it opens as of an earlier commit, for
//! SQLite cannot know that more was there.

use std::time::{Duration, Instant};

use xxhash_rust::xxh3::xxh3_64;

use super::super::*;

/// Commits of the store that is damaged; the last half of them stands in the log only.
const COMMITS: u64 = 40;
const CASES: u64 = 1000;

/// What a case has in place of chance: the same numbers in every run.
struct Chance(u64, u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.1 += 1;
        xxh3_64(&[self.0.to_le_bytes(), self.1.to_le_bytes()].concat()) % bound.max(1)
    }
}

fn body(n: u64) -> Vec<u8> {
    n.to_le_bytes().repeat(4 + (n as usize * 37) % 200)
}

/// Rows come, change and go.
fn transaction(n: u64) -> Transaction {
    Transaction {
        journal: Some(body(n)),
        escalations: vec![(n % 7, Some(body(n)))],
        outbox: vec![(n, Some(body(n))), (n.saturating_sub(3), None)],
        watches: vec![(format!("watch_{}", n % 5), (n % 4 != 3).then(|| body(n)))],
        triage: vec![(format!("kind_{n}"), Some(body(n)))],
        services: vec![],
        cases: vec![(format!("E{}", n % 6), (n % 5 != 4).then(|| body(n)))],
    }
}

/// Everything but what tells of faults.
fn state(loaded: &Loaded) -> Loaded {
    Loaded { damaged: 0, begun_anew: false, ..loaded.clone() }
}

fn reopened(folder: &Path) -> (Loaded, Duration) {
    let begun = Instant::now();
    let (_, loaded) = SqliteStore::open(&folder.join("x.db"), Duration::ZERO, 7).expect("opens, whatever is in it");
    (loaded, begun.elapsed())
}

/// A folder whose syncs cost nothing, where there is one: thousands of them are not what is tested.
fn in_memory() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a folder")
}

/// The two files of a store as they are while it is open, as a kill leaves them; and every state it was in.
fn original() -> ([Vec<u8>; 2], Vec<Loaded>) {
    let folder = in_memory();
    let path = folder.path().join("x.db");
    let files = || [&path, &with_suffix(&path, "-wal")].map(|path| std::fs::read(path).expect("a file"));
    let copy = in_memory();
    let (mut store, _) = SqliteStore::open(&path, Duration::ZERO, 7).expect("opens");
    let mut states = Vec::new();
    for n in 1..=COMMITS {
        store.write(&transaction(n)).expect("writes");
        if n == COMMITS / 4 {
            store.snapshot(&body(n)).expect("writes");
        }
        if n == COMMITS / 2 {
            let connection = store.connection.as_ref().expect("open");
            connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).expect("a checkpoint");
        }
        if n >= COMMITS / 2 {
            lay_down(copy.path(), &files());
            states.push(state(&reopened(copy.path()).0));
        }
    }
    (files(), states)
}

fn lay_down(folder: &Path, [db, wal]: &[Vec<u8>; 2]) {
    std::fs::write(folder.join("x.db"), db).expect("writing");
    std::fs::write(folder.join("x.db-wal"), wal).expect("writing");
}

fn damage(files: &mut [Vec<u8>; 2], chance: &mut Chance) -> String {
    let which = usize::from(chance.below(5) < 2);
    let file = &mut files[which];
    let at = chance.below(file.len() as u64) as usize;
    let kind = chance.below(6);
    match kind {
        0 => file.truncate(at),
        // A sector that reads as zeros, and a page that belongs elsewhere.
        1 => file.iter_mut().skip(at / 512 * 512).take(512).for_each(|byte| *byte = 0),
        2 => {
            let (from, to) = (chance.below(file.len() as u64) as usize / 4096 * 4096, at / 4096 * 4096);
            let page: Vec<u8> = file.iter().skip(from).take(4096).copied().collect();
            file.iter_mut().skip(to).zip(page).for_each(|(byte, other)| *byte = other);
        }
        // In the first page, where the file says what it is.
        3 => file[at % 4096] ^= 1 << chance.below(8),
        _ => file[at] ^= 1 << chance.below(8),
    }
    format!("kind {kind} at {at} of {}", ["the database", "its log"][which])
}

#[test]
#[expect(clippy::print_stdout, reason = "what the cases met is worth reading")]
fn a_damaged_store_opens_in_time_and_holds_nothing_false_and_says_what_it_lost() {
    let (files, states) = original();
    let folder = in_memory();
    let (mut whole, mut earlier, mut rows_lost, mut anew, mut longest) = (0, 0, 0, 0, Duration::ZERO);
    for seed in 0..CASES {
        let mut damaged = files.clone();
        let what = damage(&mut damaged, &mut Chance(seed, 0));
        lay_down(folder.path(), &damaged);
        let (loaded, took) = reopened(folder.path());
        longest = longest.max(took);
        let as_of = states.iter().position(|state_then| *state_then == state(&loaded));
        match as_of {
            _ if loaded.begun_anew => anew += 1,
            _ if loaded.damaged > 0 => rows_lost += 1,
            Some(at) if at + 1 == states.len() => whole += 1,
            Some(_) => earlier += 1,
            None => panic!("seed {seed}, {what}: neither a state it was in nor said to be damaged: {loaded:#?}"),
        }
        if loaded.begun_anew {
            assert!(loaded.journal.is_empty() && loaded.snapshot.is_none(), "seed {seed}, {what}");
        }
        let written: Vec<Vec<u8>> = (1..=COMMITS).map(body).collect();
        let told = [&loaded.escalations, &loaded.outbox].into_iter().flatten().map(|(_, body)| body);
        for body in loaded.journal.iter().chain(told).chain(loaded.watches.iter().map(|(_, body)| body)) {
            assert!(written.contains(body), "seed {seed}, {what}: a row that nobody wrote");
        }
        assert!(took < Duration::from_secs(5), "seed {seed}, {what}: {took:?}");
        for entry in std::fs::read_dir(folder.path()).expect("the folder").flatten() {
            std::fs::remove_file(entry.path()).expect("removing");
        }
    }
    // Else the cases prove nothing.
    assert!(whole > 50 && earlier > 50 && rows_lost > 10 && anew > 50, "{whole} {earlier} {rows_lost} {anew}");
    println!(
        "of {CASES}: whole {whole}, as of an earlier commit {earlier}, rows lost {rows_lost}, anew {anew}; {longest:?}"
    );
}

/// What is not synced may be there, or not, or torn; what is synced is there.
#[test]
fn a_loss_of_power_over_a_commit_leaves_all_of_it_or_nothing_and_every_commit_before_it() {
    let folder = in_memory();
    let path = folder.path().join("x.db");
    let files = || [&path, &with_suffix(&path, "-wal")].map(|path| std::fs::read(path).expect("a file"));
    let copy = in_memory();
    let (mut store, _) = SqliteStore::open(&path, Duration::ZERO, 7).expect("opens");
    let mut synced = (files(), Loaded::default());
    let (mut before, mut after) = (0, 0);
    for n in 1..=COMMITS {
        if n % 10 == 0 {
            store.snapshot(&body(n)).expect("writes");
        } else {
            store.write(&transaction(n)).expect("writes");
        }
        let now = files();
        lay_down(copy.path(), &now);
        let state_now = state(&reopened(copy.path()).0);
        for case in 0..9 {
            let mut chance = Chance(n, case);
            let [db, mut log] = now.clone();
            let [_, log_before] = &synced.0;
            let kept = log_before.len().min(log.len());
            // Any part of what came since the last sync: cut, torn in sectors, or overwritten by what was there.
            match case % 3 {
                0 => log.truncate(kept + (log.len() - kept) * chance.below(4) as usize / 3),
                1 => log.iter_mut().skip(kept).enumerate().for_each(|(at, byte)| {
                    *byte *= u8::from(Chance(n * 100 + case, (at / 512) as u64).below(3) > 0);
                }),
                _ => {
                    let from = kept + chance.below((log.len() - kept + 1) as u64) as usize;
                    log.iter_mut().skip(from).for_each(|byte| *byte = 0x5a);
                }
            }
            lay_down(copy.path(), &[db, log]);
            let (loaded, _) = reopened(copy.path());
            assert_eq!((loaded.begun_anew, loaded.damaged), (false, 0), "commit {n}, case {case}");
            match state(&loaded) {
                found if found == state_now => after += 1,
                found if n == 1 || found == synced.1 => before += 1,
                found => panic!("commit {n}, case {case}: neither before it nor after it: {found:#?}"),
            }
        }
        synced = (now, state_now);
    }
    assert!(before > 100 && after > 20, "{before} {after}");
}
