//! Repositories that are as they should be, and those whose people are not.

use super::super::forge::{Forge, git, mirrors, soon};
use super::*;

fn limits(seconds: u64, most_bytes: u64) -> Limits {
    Limits { fetch: Duration::from_secs(seconds), most_bytes }
}

#[test]
fn what_a_commit_holds_is_read_and_who_touched_it() {
    let forge = Forge::new();
    forge.write("src/a.py", "def a():\n    return 1\n");
    let first = forge.commit("Begin");
    forge.write("src/a.py", "def a():\n    return 2\n");
    forge.write("b.py", "x = 1\n");
    let second = forge.commit("Return two");
    let mirrors = mirrors(forge.home.path(), "git");
    let place = mirrors.with(&forge.location(), &[second.clone(), first.clone()], soon()).expect("fetched");
    let repository = Repository { git: mirrors.git(), folder: &place, deadline: soon() };
    assert_eq!(repository.commit(second.get(..9).expect("a hash")), Ok(second.clone()));
    for none in ["0000000", "main", "HEAD", "-x", second.get(..6).expect("a hash")] {
        assert!(matches!(repository.commit(none), Err(Failed::Unknown(_))), "{none}");
    }
    let (listed, cut) = repository.tree(&second).expect("a list");
    assert!(!cut && String::from_utf8_lossy(&listed).contains("src/a.py"));
    let oid = forge.git(&["rev-parse", "HEAD:src/a.py"]);
    assert_eq!(repository.content(&oid, 100).expect("text"), b"def a():\n    return 2\n");
    assert_eq!(repository.content(&oid, 5), Err(Failed::TooMuch(5)));
    let touched = repository.touched(&second, "src/a.py", 5).expect("a log");
    assert_eq!(touched.iter().map(|c| c.subject.as_str()).collect::<Vec<_>>(), ["Return two", "Begin"]);
    assert_eq!((touched[0].author.as_str(), touched[0].time), ("Ada Author", 1_700_172_800));
    assert_eq!(repository.touched(&second, "b.py", 5).expect("a log").len(), 1);
    assert_eq!(repository.between(&first, &second, 5).expect("a log").len(), 1);
    assert_eq!((repository.count(&first, &second), repository.count(&second, &first)), (Ok(1), Ok(0)));
    let changes = repository.changes(&first, &second).expect("changes");
    assert_eq!(
        changes.iter().map(|c| (c.path.as_str(), c.lines)).collect::<Vec<_>>(),
        [("b.py", Some((1, 0))), ("src/a.py", Some((1, 1)))]
    );
    let (patch, cut) = repository.patch(&first, &second, "src/a.py", 4096).expect("a patch");
    assert!(!cut && patch.contains("-    return 1\n+    return 2\n"), "{patch}");
}

#[test]
fn a_commit_that_comes_later_is_fetched_then_and_one_on_no_branch_by_its_name() {
    let forge = Forge::new();
    let first = forge.commit("Begin");
    let mirrors = mirrors(forge.home.path(), "git");
    mirrors.with(&forge.location(), &[first], soon()).expect("fetched");
    let second = forge.commit("More");
    forge.git(&["update-ref", "refs/pull/1/head", "HEAD"]);
    forge.git(&["reset", "--quiet", "--hard", "HEAD~1"]);
    forge.git(&["config", "uploadpack.allowAnySHA1InWant", "true"]);
    let place = mirrors.with(&forge.location(), std::slice::from_ref(&second), soon()).expect("fetched");
    let repository = Repository { git: mirrors.git(), folder: &place, deadline: soon() };
    assert_eq!(repository.commit(&second), Ok(second.clone()));
    mirrors.keep_only(&[]);
    assert!(!place.exists());
}

#[test]
fn hooks_of_either_side_and_settings_of_its_owner_run_nothing() {
    use std::os::unix::fs::PermissionsExt;
    let forge = Forge::new();
    let touched = forge.home.path().join("touched");
    let script = format!("#!/bin/sh\ntouch {}\n", touched.display());
    let plant = |folder: PathBuf| {
        std::fs::create_dir_all(&folder).expect("a folder");
        for name in
            ["post-checkout", "reference-transaction", "post-merge", "pre-auto-gc", "fsmonitor-watchman", "post-update"]
        {
            std::fs::write(folder.join(name), &script).expect("a file");
            std::fs::set_permissions(folder.join(name), std::fs::Permissions::from_mode(0o755)).expect("runnable");
        }
    };
    let program = forge.home.path().join("program");
    std::fs::write(&program, &script).expect("a file");
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).expect("runnable");
    let program = program.display().to_string();
    forge.write("a.py", "x = 1\n");
    forge.write(".gitattributes", "*.py diff=evil filter=evil\n");
    let first = forge.commit("Begin");
    forge.write("a.py", "x = 2\n");
    let second = forge.commit("More");
    let settings = [
        "core.fsmonitor",
        "diff.external",
        "diff.evil.textconv",
        "diff.evil.command",
        "filter.evil.smudge",
        "core.sshCommand",
        "core.pager",
        "uploadpack.packObjectsHook",
    ];
    for name in settings {
        forge.git(&["config", name, &program]);
    }
    plant(forge.repository().join(".git/hooks"));
    let mirrors = mirrors(forge.home.path(), "git");
    let place = mirrors.with(&forge.location(), std::slice::from_ref(&second), soon()).expect("fetched");
    plant(place.join("hooks"));
    std::fs::write(place.join("config"), format!("[core]\n\tbare = true\n\tfsmonitor = {program}\n\tpager = {program}\n[diff]\n\texternal = {program}\n[diff \"evil\"]\n\ttextconv = {program}\n\tcommand = {program}\n")).expect("a file");
    std::fs::create_dir_all(place.join("info")).expect("a folder");
    std::fs::write(place.join("info/attributes"), "*.py diff=evil\n").expect("a file");
    forge.git(&[
        "-c",
        "core.hooksPath=/dev/null",
        "-c",
        "core.fsmonitor=false",
        "commit",
        "--quiet",
        "--allow-empty",
        "-m",
        "Last",
    ]);
    std::fs::remove_file(&touched).unwrap_or_default();
    let third = forge.git(&["rev-parse", "HEAD"]);
    mirrors.with(&forge.location(), std::slice::from_ref(&third), soon()).expect("fetched");
    let repository = Repository { git: mirrors.git(), folder: &place, deadline: soon() };
    repository.tree(&third).expect("a list");
    repository.touched(&third, "a.py", 5).expect("a log");
    repository.changes(&first, &second).expect("changes");
    assert!(repository.patch(&first, &second, "a.py", 4096).expect("a patch").0.contains("+x = 2"));
    assert!(!touched.exists(), "something was run");
}

#[test]
fn names_that_look_like_options_or_hashes_are_only_names() {
    let forge = Forge::new();
    forge.write("--output=touched.py", "x = 1\n");
    forge.write(":(top)magic.py", "x = 1\n");
    let first = forge.commit("--exec=touch");
    let second = forge.commit("More");
    // A branch that is called as the other commit begins.
    forge.git(&["update-ref", &format!("refs/heads/{}", first.get(..8).expect("a hash")), &second]);
    forge.git(&["update-ref", "refs/heads/--upload-pack=touch", &second]);
    forge.git(&["update-ref", &format!("refs/heads/{}", "ab".repeat(8)), &second]);
    let mirrors = mirrors(forge.home.path(), "git");
    let place = mirrors.with(&forge.location(), std::slice::from_ref(&second), soon()).expect("fetched");
    let repository = Repository { git: mirrors.git(), folder: &place, deadline: soon() };
    assert!(matches!(repository.commit(&"ab".repeat(8)), Err(Failed::Unknown(_))));
    assert_ne!(repository.commit(first.get(..8).expect("a hash")), Ok(second.clone()), "never another commit");
    for path in ["--output=touched.py", ":(top)magic.py"] {
        let touched = repository.touched(&second, path, 5).expect("a log");
        assert_eq!(touched.iter().map(|c| c.subject.as_str()).collect::<Vec<_>>(), ["--exec=touch"], "{path}");
    }
    assert!(!place.join("touched.py").exists());
}

#[test]
fn a_git_that_hangs_or_floods_is_ended_with_all_that_it_started() {
    let forge = Forge::new();
    let mark = forge.home.path().join("pid");
    let program = forge.fake(&format!("sleep 1000 & echo $! > {}\nwait", mark.display()));
    let (git, counts) = git(forge.home.path(), &program.display().to_string());
    let begun = Instant::now();
    let failed = git.init(&forge.home.path().join("x"), Instant::now() + Duration::from_secs(1));
    assert!(matches!(failed, Err(Failed::Time(_))), "{failed:?}");
    assert!(begun.elapsed() < Duration::from_secs(20));
    let pid = std::fs::read_to_string(mark).expect("it had begun");
    let gone = || {
        let state = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
        state.is_empty() || state.contains(") Z ")
    };
    while !gone() {
        assert!(begun.elapsed() < Duration::from_secs(30), "what it started lives on");
        std::thread::yield_now();
    }
    let flood = forge.fake("yes");
    let (git, _) = super::super::forge::git(forge.home.path(), &flood.display().to_string());
    let repository = Repository { git: &git, folder: forge.home.path(), deadline: soon() };
    let (read, cut) = repository.patch("0000000", "0000001", "a", 100_000).expect("its beginning");
    assert_eq!((read.len(), cut), (100_000, true));
    assert_eq!(*counts.lock().expect("a lock"), ["timeout"]);
}

#[test]
fn a_missing_git_is_said_and_is_not_asked_again_at_once() {
    let forge = Forge::new();
    let first = forge.commit("Begin");
    let mirrors = mirrors(forge.home.path(), "/nowhere/git");
    for _ in 0..2 {
        let failed = mirrors.with(&forge.location(), std::slice::from_ref(&first), soon());
        assert!(matches!(failed, Err(Failed::Missing(_))), "{failed:?}");
    }
    let standing = mirrors.standing(&forge.location());
    assert_eq!((standing.ended, standing.busy), (1, false));
}

#[test]
fn who_waits_for_a_fetch_that_hangs_waits_until_the_deadline_only() {
    let forge = Forge::new();
    let program = forge.fake("sleep 1000");
    let git = git(forge.home.path(), &program.display().to_string()).0;
    let mirrors = Mirrors::new(git, forge.home.path().join("mirrors"), limits(60, 1 << 30));
    let begun = Instant::now();
    let failed = mirrors.with(&forge.location(), &["0123456".into()], begun + Duration::from_millis(300));
    assert!(matches!(failed, Err(Failed::Time(_))), "{failed:?}");
    mirrors.stop();
    let stopped = mirrors.with(&forge.location(), &["0123456".into()], soon());
    assert_eq!(stopped, Err(Failed::Stopping));
}

#[test]
fn a_repository_that_grows_too_large_is_removed_again() {
    let forge = Forge::new();
    // What does not compress.
    let mut noise = Vec::with_capacity(4 << 20);
    let mut state = 1_u64;
    while noise.len() < 4 << 20 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        noise.extend_from_slice(&state.to_le_bytes());
    }
    forge.write("large.bin", &noise);
    let first = forge.commit("Large");
    let git = git(forge.home.path(), "git").0;
    let mirrors = Mirrors::new(git, forge.home.path().join("mirrors"), limits(60, 1 << 20));
    let failed = mirrors.with(&forge.location(), &[first], soon());
    assert_eq!(failed, Err(Failed::TooMuch(1 << 20)));
    assert!(!mirrors.place(&forge.location()).exists());
}

#[test]
fn a_copy_that_a_killed_run_left_half_made_is_mended() {
    let forge = Forge::new();
    let first = forge.commit("Begin");
    let mirrors = mirrors(forge.home.path(), "git");
    let place = mirrors.with(&forge.location(), std::slice::from_ref(&first), soon()).expect("fetched");
    let second = forge.commit("More");
    std::fs::write(place.join("packed-refs.lock"), "").expect("a file");
    std::fs::write(place.join("refs/heads/main.lock"), "").expect("a file");
    mirrors.with(&forge.location(), std::slice::from_ref(&second), soon()).expect("mended");
    std::fs::remove_dir_all(place.join("objects")).expect("gone");
    let third = forge.commit("Again");
    let place = mirrors.with(&forge.location(), std::slice::from_ref(&third), soon()).expect("mended");
    assert!(Repository { git: mirrors.git(), folder: &place, deadline: soon() }.commit(&second).is_ok());
}
