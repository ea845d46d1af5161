//! A draft given to a repository: to a real one, pushed by git, and to a GitHub that is a stand-in. And all that may
//! be there already, be refused, or happen in between.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use emberwatch::investigate::patch::{Deny, Draft, Isolated, Limits, Outcome, Proof, Workshop};
use emberwatch::investigate::propose::{Fault, FaultKind, Forge, Origin, Proposed, State, Words};
use emberwatch::investigate::snapshot::Snapshot;
use emberwatch::investigate::source::git::{Git, Repository as Asked};
use emberwatch::investigate::verdict::{Action, Edit, Plan};
use emberwatch::redact::Redacted;
use emberwatch::registry::location::Location;
use emberwatch::secret::Secret;
use tempfile::TempDir;

use crate::world::github::{Answer, GitHubStandIn, TOKEN};
use crate::world::repository::Repository;

/// What an attacker had a model write.
const HIJACKED: &str = "Fixes #12 and closes https://github.com/acme/shop/issues/3. cc @everyone\n```\n# not a heading\nSigned-off-by: Eve <eve@evil.example>";

struct World {
    github: GitHubStandIn,
    ours: Repository,
    home: TempDir,
    workshop: Arc<Workshop>,
    commit: String,
    runtime: tokio::runtime::Runtime,
}

impl World {
    fn new() -> World {
        let github = GitHubStandIn::start();
        let ours = Repository::new();
        ours.write("src/price.sh", "echo 1\n");
        ours.write("README.md", "A shop.\n");
        let commit = ours.commit("Begin");
        ours.write("README.md", "A shop, and more.\n");
        ours.commit("Say more");
        ours.git(&["push", "--quiet", github.remote().to_str().expect("a path"), "main"]);
        let home = TempDir::new().expect("a temporary directory");
        let path =
            vec![("PATH".to_owned(), std::env::var_os("PATH").and_then(|p| p.into_string().ok()).unwrap_or_default())];
        let git = Git::new("git".into(), path, home.path().join("empty"), Arc::new(|_| ()));
        let limits =
            Limits { test: Duration::from_secs(30), bytes: 64 << 20, memory: 1 << 30, isolation: Isolated::Auto };
        let workshop = Arc::new(Workshop::new(git, home.path().join("scratch"), limits, Deny::default()));
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        World { github, ours, home, workshop, commit, runtime }
    }

    /// Our copy.
    fn mirror(&self) -> PathBuf {
        self.ours.path().join(".git")
    }

    fn draft(&self, replace: &str) -> Draft {
        let folder = self.mirror();
        let deadline = Instant::now() + Duration::from_secs(60);
        let asked = Asked { git: self.workshop.git(), folder: &folder, deadline };
        let source = Snapshot::open(&asked, &self.commit).expect("a snapshot");
        let edits = vec![Edit { path: "src/price.sh".into(), search: "echo 1".into(), replace: replace.into() }];
        let plan = Plan {
            action: Action::Patch,
            reason: String::new(),
            steps: Vec::new(),
            remedy: None,
            edits,
            tests: Vec::new(),
        };
        self.workshop.draft(&source, &plan, None).expect("a draft")
    }

    fn propose(&self, number: u64, draft: &Draft, token: Option<&str>) -> Result<Proposed, Fault> {
        self.propose_to(number, draft, token, &self.github.remote().display().to_string())
    }

    /// As somebody who was just started does.
    fn propose_to(&self, number: u64, draft: &Draft, token: Option<&str>, to: &str) -> Result<Proposed, Fault> {
        let forge =
            Forge::new(Arc::clone(&self.workshop), Some(&self.github.url()), token.map(Secret::new)).expect("a client");
        let location = Location::parse(to).expect("an address");
        let mirror = self.mirror();
        let (service, cause) = (Redacted::new("shop"), Redacted::new(HIJACKED));
        let proof = Proof {
            outcome: Outcome::Mends,
            words: "The test fails before and passes after.".into(),
            runs: Vec::new(),
            isolation: None,
        };
        let words = Words {
            escalation: number,
            label: "price_is_wrong",
            service: &service,
            opened_ms: 1_795_000_000_123,
            root_cause: &cause,
            link: Some("https://logs.example/investigations/E42"),
            proof: &proof,
        };
        let _entered = self.runtime.enter();
        let out = forge.propose(draft, Origin { mirror: &mirror, location: &location }, &words);
        let left = std::fs::read_dir(self.home.path().join("scratch")).map_or(0, |entries| entries.count());
        assert_eq!(left, 0, "nothing is left of it");
        out
    }

    fn posts(&self) -> usize {
        self.github.asked().iter().filter(|asked| asked.what.starts_with("POST")).count()
    }

    /// What the repository does with what is pushed to it.
    fn hook(&self, script: &str) {
        let hook = self.github.remote().join("hooks/pre-receive");
        std::fs::create_dir_all(hook.parent().expect("a folder")).expect("a folder");
        std::fs::write(&hook, format!("#!/bin/sh\n{script}\n")).expect("a hook");
        std::fs::set_permissions(&hook, std::fs::Permissions::from_mode(0o755)).expect("runnable");
    }
}

#[test]
fn a_draft_becomes_a_branch_from_the_commit_that_ran_and_a_draft_pull_request() {
    let world = World::new();
    let draft = world.draft("echo 2");
    let proposed = world.propose(42, &draft, Some(TOKEN)).expect("proposed");
    let branch = format!("emberwatch/E42-{}", draft.short());
    assert_eq!((proposed.state, proposed.branch.as_str()), (State::Opened, branch.as_str()));
    assert_eq!(proposed.url.as_deref(), Some("https://github.example/acme/shop/pull/1"));
    let commit = proposed.commit.expect("a commit");
    assert_eq!(world.github.branches(), [(branch.clone(), commit.clone())]);
    assert_eq!(world.github.git(&["rev-parse", &format!("{commit}^")]), world.commit);
    assert_eq!(world.github.git(&["show", &format!("{commit}:src/price.sh")]), "echo 2");
    assert_eq!(world.github.git(&["diff-tree", "-r", "--name-only", "--no-commit-id", &commit]), "src/price.sh");
    assert_eq!(
        world.github.git(&["show", "-s", "--format=%an <%ae> %at %cn %ct", &commit]),
        "Emberwatch <emberwatch@localhost> 1795000000 Emberwatch 1795000000"
    );
    let message = world.github.git(&["show", "-s", "--format=%B", &commit]);
    assert!(message.starts_with("(E42) ") || message.starts_with("[E42] "), "{message}");
    for word in ["#12", "@everyone", "://", "Signed-off-by:", "<eve@"] {
        assert!(!message.contains(word), "{word}: {message}");
    }
    assert_eq!(world.github.git(&["show", "-s", "--format=%(trailers)", &commit]), "");
    let pull = world.github.pulls().remove(0);
    assert!(pull.draft && pull.open && pull.base == "main" && pull.head == branch);
    assert_eq!(pull.title, "[E42] price_is_wrong: a mend for shop");
    // The words of the model stand in a block that they cannot end.
    let cause = pull.body.split("````").nth(1).expect("a block");
    assert!(cause.contains("@everyone") && cause.contains("\n```\n# not a heading"), "{}", pull.body);
    assert_eq!(pull.body.matches("@everyone").count(), 1);
}

#[test]
fn doing_it_again_does_nothing_twice() {
    let world = World::new();
    let draft = world.draft("echo 2");
    let first = world.propose(42, &draft, Some(TOKEN)).expect("proposed");
    let again = world.propose(42, &draft, Some(TOKEN)).expect("proposed");
    assert_eq!((again.state, again.url), (State::Open, first.url));
    assert_eq!((world.github.pulls().len(), world.posts(), world.github.branches().len()), (1, 1, 1));
    // The same diff, found by another escalation: it is there already.
    let other = world.propose(43, &draft, Some(TOKEN)).expect("proposed");
    assert_eq!((other.state, other.branch), (State::Open, first.branch));
    assert_eq!((world.github.pulls().len(), world.github.branches().len()), (1, 1));
    // Another one is another one.
    let different = world.propose(43, &world.draft("echo 3"), Some(TOKEN)).expect("proposed");
    assert_eq!(different.state, State::Opened);
}

#[test]
fn what_a_person_closed_is_not_opened_again_whoever_asks() {
    for (merged, state) in [(false, State::Closed), (true, State::Merged)] {
        let world = World::new();
        let draft = world.draft("echo 2");
        world.propose(42, &draft, Some(TOKEN)).expect("proposed");
        world.github.close(1, merged);
        // And removed the branch.
        let branch = format!("refs/heads/emberwatch/E42-{}", draft.short());
        world.github.git(&["update-ref", "-d", &branch]);
        for number in [42, 43] {
            let proposed = world.propose(number, &draft, Some(TOKEN)).expect("an answer");
            assert_eq!((proposed.state, proposed.url.is_some()), (state, true), "{number}");
        }
        assert_eq!((world.posts(), world.github.branches().len()), (1, 0));
    }
}

#[test]
fn a_crash_between_push_and_pull_request_is_made_good() {
    let world = World::new();
    let draft = world.draft("echo 2");
    // The branch was pushed, and no more.
    let pushed = world.propose(42, &draft, None).expect("pushed");
    assert_eq!(pushed.state, State::Branch);
    let proposed = world.propose(42, &draft, Some(TOKEN)).expect("proposed");
    assert_eq!((proposed.state, proposed.commit), (State::Opened, pushed.commit));
    // It was opened, and nobody was told.
    let draft = world.draft("echo 3");
    world.github.script("POST", [Answer::TakeAndClose]);
    let told = world.propose(44, &draft, Some(TOKEN)).expect("found");
    assert_eq!(told.state, State::Open);
    assert_eq!((world.github.pulls().len(), world.github.branches().len()), (2, 2));
}

#[test]
fn without_a_token_the_branch_is_pushed_and_that_is_said() {
    let world = World::new();
    let proposed = world.propose(42, &world.draft("echo 2"), None).expect("pushed");
    assert_eq!((proposed.state, proposed.url), (State::Branch, None));
    assert!(proposed.words.contains("without investigation.github_token"), "{}", proposed.words);
    assert_eq!((world.github.branches().len(), world.github.asked().len()), (1, 0));
}

#[test]
fn what_github_refuses_is_told_in_words_and_nothing_is_lost() {
    for (answers, kind, again, words) in [
        (
            Answer::Status(403, "", "Resource not accessible by personal access token"),
            FaultKind::Forbidden,
            false,
            "read and write",
        ),
        (
            Answer::Status(403, "Retry-After: 60\r\n", "secondary rate limit"),
            FaultKind::Limited,
            true,
            "fewer requests",
        ),
        (Answer::Status(429, "", "slow down"), FaultKind::Limited, true, "fewer requests"),
        (Answer::Status(404, "", "Not Found"), FaultKind::Forbidden, false, "no such repository"),
        (Answer::Status(422, "", "Validation Failed"), FaultKind::Forge, false, "refuses (422)"),
        (Answer::Status(502, "", ""), FaultKind::Forge, true, "fails (502)"),
        (Answer::Status(301, "Location: http://127.0.0.1:1/\r\n", "Moved"), FaultKind::Forge, false, "moved"),
    ] {
        let world = World::new();
        let draft = world.draft("echo 2");
        world.github.script("POST", [answers.clone()]);
        let fault = world.propose(42, &draft, Some(TOKEN)).expect_err("refused");
        assert_eq!((fault.kind, fault.again, fault.pushed), (kind, again, true), "{answers:?}: {fault}");
        assert!(fault.words.as_str().contains(words), "{fault}");
        // Later, or mended by a person: it goes on from there.
        assert_eq!(world.propose(42, &draft, Some(TOKEN)).expect("proposed").state, State::Opened);
        assert_eq!((world.github.pulls().len(), world.github.branches().len()), (1, 1));
    }
    // Before anything was done, nothing is.
    let world = World::new();
    let fault = world.propose(42, &world.draft("echo 2"), Some("github_pat_wrong")).expect_err("refused");
    assert_eq!((fault.kind, fault.pushed), (FaultKind::Forbidden, false));
    assert!(!fault.to_string().contains("github_pat_wrong") && world.github.branches().is_empty());
}

#[test]
fn where_there_are_no_drafts_the_title_says_that_it_is_one() {
    let world = World::new();
    world.github.has_no_drafts();
    world.propose(42, &world.draft("echo 2"), Some(TOKEN)).expect("proposed");
    assert!(world.github.pulls()[0].title.starts_with("Draft: "));
}

#[test]
fn a_push_that_is_refused_and_a_branch_of_somebody_else_are_told() {
    let world = World::new();
    let draft = world.draft("echo 2");
    world.hook("echo no robots here >&2; exit 1");
    let fault = world.propose(42, &draft, Some(TOKEN)).expect_err("refused");
    assert_eq!((fault.kind, fault.pushed), (FaultKind::Rejected, false), "{fault}");
    assert!(world.github.branches().is_empty() && world.posts() == 0);
    world.hook("exit 0");
    // A person has gone on from our commit.
    world.propose(42, &draft, None).expect("pushed");
    let branch = format!("refs/heads/emberwatch/E42-{}", draft.short());
    world.github.git(&["update-ref", &branch, "refs/heads/main"]);
    let main = world.github.git(&["rev-parse", "main"]);
    let fault = world.propose(42, &draft, Some(TOKEN)).expect_err("refused");
    assert_eq!(fault.kind, FaultKind::Taken, "{fault}");
    assert_eq!(world.github.git(&["rev-parse", &branch]), main);
}

#[test]
fn a_remote_that_is_gone_is_told_and_elsewhere_there_is_a_branch_only() {
    let world = World::new();
    let draft = world.draft("echo 2");
    let nowhere = world.home.path().join("acme/none.git").display().to_string();
    let fault = world.propose_to(42, &draft, None, &nowhere).expect_err("refused");
    assert_eq!((fault.kind, fault.again, fault.pushed), (FaultKind::Remote, true, false), "{fault}");
    // Its path is no owner and name.
    let odd = world.home.path().join("acme/a shop.git");
    std::fs::create_dir_all(odd.parent().expect("a folder")).expect("a folder");
    world.ours.git(&[
        "clone",
        "--quiet",
        "--bare",
        world.github.remote().to_str().expect("a path"),
        odd.to_str().expect("a path"),
    ]);
    let proposed = world.propose_to(42, &draft, Some(TOKEN), &odd.display().to_string()).expect("pushed");
    assert_eq!(proposed.state, State::Branch);
    assert!(world.github.asked().is_empty(), "the token goes to the GitHub it is for");
}

#[test]
fn what_the_default_branch_has_already_is_not_proposed() {
    let world = World::new();
    let draft = world.draft("echo 2");
    world.ours.write("src/price.sh", "echo 2\n");
    world.ours.commit("Mend the price");
    let proposed = world.propose(42, &draft, Some(TOKEN)).expect("an answer");
    assert_eq!(proposed.state, State::Merged);
    assert!(proposed.words.contains("has that change already") && world.github.branches().is_empty());
}
