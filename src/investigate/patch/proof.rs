//! What the service's own test says of a draft.

use std::path::Path;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::run::{End, Isolation, Place, Ran, isolation, run};
use super::scratch::Scratch;
use super::{Draft, GIT_TIME, Isolated, Workshop, made};
use crate::investigate::source::git::Repository;
use crate::redact::Redacted;

/// What came of all runs. A closed set: it labels a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The test fails without the mend and passes with it.
    Mends,
    /// It passes with the mend, but did so before: nothing shows that it mends anything.
    Unshown,
    /// It fails with the mend, or its regression test shows nothing.
    Refuted,
    /// There is no test, or it could not be run.
    Untried,
}

impl Outcome {
    pub const ALL: [Outcome; 4] = [Outcome::Mends, Outcome::Unshown, Outcome::Refuted, Outcome::Untried];

    pub fn as_str(self) -> &'static str {
        match self {
            Outcome::Mends => "mends",
            Outcome::Unshown => "unshown",
            Outcome::Refuted => "refuted",
            Outcome::Untried => "untried",
        }
    }
}

/// One run of the test.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// What it was run on, in words of ours.
    pub on: String,
    /// How it ended, in words of ours.
    pub ended: String,
    pub passed: bool,
    /// The end of what it printed.
    pub tail: Redacted,
    pub seconds: f64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Proof {
    pub outcome: Outcome,
    /// One sentence of ours, for people.
    pub words: String,
    /// In the order they were made.
    pub runs: Vec<Run>,
    /// `None`: nothing ran.
    pub isolation: Option<Isolation>,
}

impl Proof {
    /// Whether the draft may be proposed to its repository: the test passes with it.
    pub fn may_propose(&self) -> bool {
        matches!(self.outcome, Outcome::Mends | Outcome::Unshown)
    }

    fn untried(words: impl Into<String>) -> Proof {
        Proof { outcome: Outcome::Untried, words: words.into(), runs: Vec::new(), isolation: None }
    }
}

pub(super) fn prove(workshop: &Workshop, draft: &Draft, mirror: &Path, test: Option<&str>) -> Proof {
    let Some(test) = test.filter(|test| !test.trim().is_empty()) else {
        return Proof::untried("The service has no `test`: nothing was run.");
    };
    // A test that a model wrote is nobody's code: without namespaces it runs only where somebody has written so.
    let wanted = match workshop.limits.isolation {
        Isolated::Auto if draft.has_test() => Isolated::Required,
        wanted => wanted,
    };
    let Some(isolation) = isolation(&workshop.git, wanted) else {
        return Proof::untried(
            "Nothing was run: this machine gives a test no namespaces of its own (`investigation.test_isolation`).",
        );
    };
    let scratch = match Scratch::make(&workshop.folder) {
        Ok(scratch) => scratch,
        Err(error) => return Proof::untried(format!("Nothing was run: there is no place for a copy ({error}).")),
    };
    let tried = match made::tried(&workshop.git, &scratch, draft, mirror) {
        Ok(tried) => tried,
        Err(failed) => return Proof::untried(format!("Nothing was run: {}.", Redacted::new(&failed.to_string()))),
    };
    let mut proof =
        Proof { outcome: Outcome::Untried, words: String::new(), runs: Vec::new(), isolation: Some(isolation) };
    let has_test = draft.has_test();
    let without = if has_test { "the commit that ran, with the regression test" } else { "the commit that ran" };
    let runs = Runs { workshop, scratch: &scratch, test, isolation };

    let before = runs.one(&mut proof, without, &tried.test_alone);
    // What cannot be run at all before cannot be run after.
    if let Some(why) = before.hindered() {
        return proof.end(Outcome::Untried, format!("The test could not be run on {without}: {why}."));
    }
    let after = runs.one(&mut proof, "that and the mend", &tried.whole);
    if after != End::Passed {
        return proof.end(Outcome::Refuted, format!("With the mend the test {}.", after.words()));
    }
    if has_test && before == End::Passed {
        let words = "The regression test passes without the mend as well: it shows nothing.";
        return proof.end(Outcome::Refuted, words);
    }
    if has_test {
        // Else a new test could be what makes the old ones pass, or keeps them from running.
        let alone = runs.one(&mut proof, "the mend without the regression test", &tried.mend_alone);
        if alone != End::Passed {
            let words = format!("With the mend, but without its regression test, the test {}.", alone.words());
            return proof.end(Outcome::Refuted, words);
        }
        // What passes whatever stands in its tests does not run them.
        let broken = runs.one(&mut proof, "the mend with its regression test made unreadable", &tried.broken);
        if broken == End::Passed {
            return proof.end(Outcome::Refuted, "It passes even with a test that is broken: nothing looks at it.");
        }
        if let Some(why) = broken.hindered() {
            let words = format!("Whether its regression test is looked at could not be seen: {why}.");
            return proof.end(Outcome::Untried, words);
        }
    }
    match (before, has_test) {
        (End::Passed, _) => proof.end(
            Outcome::Unshown,
            "The test passes with the mend and passed without it: nothing shows that it mends anything.",
        ),
        (_, true) => proof.end(
            Outcome::Mends,
            "The regression test fails at the commit that ran and passes with the mend; the other tests pass, too.",
        ),
        (_, false) => proof.end(Outcome::Mends, "The test fails at the commit that ran and passes with the mend."),
    }
}

/// What all runs of one proof have in common.
struct Runs<'a> {
    workshop: &'a Workshop,
    scratch: &'a Scratch,
    test: &'a str,
    isolation: Isolation,
}

impl Runs<'_> {
    /// In a copy and a home of its own, so that no run leaves anything for the next one.
    fn one(&self, proof: &mut Proof, on: &str, commit: &str) -> End {
        let ran = self.ran(commit);
        proof.runs.push(Run {
            on: on.to_owned(),
            ended: ran.end.words(),
            passed: ran.end == End::Passed,
            tail: ran.tail,
            seconds: ran.seconds,
        });
        ran.end
    }

    fn ran(&self, commit: &str) -> Ran {
        let not = |why: String| Ran { end: End::NotStarted, tail: Redacted::new(&why), seconds: 0.0 };
        let (git, limits) = (&self.workshop.git, &self.workshop.limits);
        let Ok(own) = Scratch::make(self.scratch.place()) else { return not("there is no place for a copy".into()) };
        let folders = ["tree", "home", "tmp"].map(|name| own.folder(name));
        let [Ok(tree), Ok(home), Ok(temporary)] = folders else { return not("there is no place for a copy".into()) };
        let objects = self.scratch.place().join("objects.git");
        let repository = Repository { git, folder: &objects, deadline: Instant::now() + GIT_TIME };
        let index = own.place().join("index");
        if let Err(failed) = repository.check_out(commit, &tree, &index, limits.bytes) {
            return not(failed.to_string());
        }
        let place = Place { tree: &tree, home: &home, temporary: &temporary, all: own.place() };
        run(git, self.test, &place, limits, self.isolation)
    }
}

impl Proof {
    fn end(mut self, outcome: Outcome, words: impl Into<String>) -> Proof {
        let how = match self.isolation {
            Some(Isolation::Namespaces) => " It ran without network, in namespaces of its own.",
            Some(Isolation::None) => " It ran like any other process of our user.",
            None => "",
        };
        let words: String = words.into();
        (self.outcome, self.words) = (outcome, words + how);
        self
    }
}

impl End {
    /// Follows "the test".
    fn words(self) -> String {
        match self {
            End::Passed => "passed".to_owned(),
            End::Failed(code) => format!("failed (it ended with {code})"),
            End::NoCommand(code) => format!("could not be run (its command ended with {code})"),
            End::Killed => "was killed (memory: `investigation.test_memory_bytes`, or something else)".to_owned(),
            End::Time(seconds) => format!("was ended after {seconds} s (`investigation.test_seconds`)"),
            End::TooLarge(bytes) => format!("was ended when it had written {bytes} bytes (`investigation.test_bytes`)"),
            End::Stopping => "was ended because the program was stopping".to_owned(),
            End::NotStarted => "could not be started".to_owned(),
        }
    }

    /// Why nothing can be learned from a run that ended so.
    fn hindered(self) -> Option<String> {
        match self {
            End::Passed | End::Failed(_) => None,
            other => Some(format!("it {}", other.words())),
        }
    }
}
