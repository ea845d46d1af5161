//! What people are told of a case under the first message of its escalation.
//!
//! A message is worth sending when there is something to read in it: a cause that somebody is fairly sure of, something
//! that was done, or that a model was to be asked and could not. What nobody knows is not told twice.

use super::{Called, Case, Found, Outcome, PLANNER, Patched, Step};
use crate::investigate::propose::State;
use crate::notify::notice::{Standing, Told};
use crate::redact::Redacted;

/// Of the planner's words: below it they are a guess that nobody needs to be shown at night.
const WORTH_TELLING: f64 = 0.5;
const EVIDENCE_SHOWN: usize = 3;
/// Of a model's name.
const NAME_CHARS: usize = 60;

/// What is told now that the case has left `before`. `None`: nothing.
pub fn told(before: &Step, case: &Case) -> Option<Told> {
    let standing = standing(before, case)?;
    let mut told = Told {
        standing,
        cause: Redacted::default(),
        sure: String::new(),
        evidence: Vec::new(),
        done: done(case),
        steps: Vec::new(),
        diff: case.patch.as_ref().is_some_and(super::Patch::is_diff),
    };
    // The cause was told when the remedy was called.
    let is_sequel = matches!(before, Step::Watching { .. });
    if let Some(found) = &case.found {
        if !is_sequel {
            told.cause = Redacted::new(&found.verdict.root_cause);
            told.sure = sure(found);
            told.evidence = evidence(found);
        }
        if !matches!(standing, Standing::Remedied | Standing::Recovered) {
            told.steps = found.verdict.plan.steps.iter().map(|step| Redacted::new(step)).collect();
        }
    } else if !is_sequel {
        told.sure = "No cause was found.".into();
    }
    Some(told)
}

fn standing(before: &Step, case: &Case) -> Option<Standing> {
    if matches!(case.step, Step::Watching { .. }) {
        return (!matches!(before, Step::Watching { .. })).then_some(Standing::Remedied);
    }
    let found = case.found.as_ref();
    let guess = found.is_none_or(|found| found.by == PLANNER && found.verdict.confidence < WORTH_TELLING);
    // Somebody expects a model's word.
    let awaited = case.asks > 0 || !case.skipped.is_empty();
    match case.outcome? {
        Outcome::Together | Outcome::Crowded => None,
        Outcome::Escalated | Outcome::NoCodeCause | Outcome::Unexplained if guess && !awaited => None,
        Outcome::NoCodeCause => Some(Standing::NoCodeCause),
        Outcome::Escalated | Outcome::Unexplained | Outcome::Unproven | Outcome::RemedyFailed => {
            Some(Standing::NeedsYou)
        }
        Outcome::Patched => Some(Standing::PatchReady),
        Outcome::Proposed => Some(Standing::Proposed),
        Outcome::Recovered => Some(Standing::Recovered),
        Outcome::NotRecovered => Some(Standing::NotRecovered),
        Outcome::Unobserved => Some(Standing::Remedied),
    }
}

/// How sure, and on what.
pub fn sure(found: &Found) -> String {
    let by: String =
        found.by.chars().filter(|c| c.is_ascii_alphanumeric() || " .-_:/".contains(*c)).take(NAME_CHARS).collect();
    let by = if by == PLANNER { "The built-in planner".to_owned() } else { by };
    let percent = (found.verdict.confidence.clamp(0.0, 1.0) * 100.0).round();
    let all = found.proofs.len();
    let proven = found.proofs.iter().filter(|why_not| why_not.is_none()).count();
    let evidence = match (proven, all) {
        (_, 0) => "it cites no evidence".to_owned(),
        (1, 1) => "its one piece of evidence stands where it says".to_owned(),
        (proven, all) if proven == all => format!("all {all} pieces of its evidence stand where it says"),
        (0, 1) => "its one piece of evidence could not be found".to_owned(),
        (0, all) => format!("none of its {all} pieces of evidence could be found"),
        (proven, all) => {
            format!("{proven} of {all} pieces of its evidence stand where it says, the others could not be found")
        }
    };
    format!("{by} is {percent} % sure; {evidence}.")
}

/// What was proven, the strongest first.
fn evidence(found: &Found) -> Vec<Redacted> {
    let proven = found.verdict.evidence.iter().zip(&found.proofs).filter(|(_, why_not)| why_not.is_none());
    let shown = proven.map(|(evidence, _)| match (&evidence.path, evidence.line) {
        (Some(path), Some(line)) => Redacted::new(&format!("{path}:{line}  {}", evidence.quote)),
        (Some(path), None) => Redacted::new(&format!("{path}  {}", evidence.quote)),
        (None, _) => Redacted::new(&evidence.quote),
    });
    shown.take(EVIDENCE_SHOWN).collect()
}

/// What was done and what came of it, and what was not: words of ours, and what is not.
pub fn done(case: &Case) -> Vec<(String, Redacted)> {
    let mut rows: Vec<(String, Redacted)> = Vec::new();
    if let Some(patch) = &case.patch {
        match &patch.state {
            Patched::Refused { why } => rows.push(("No patch was made of its edits:".into(), why.clone())),
            Patched::Tried { proof, .. } => {
                let files =
                    if patch.paths.len() == 1 { "1 file".to_owned() } else { format!("{} files", patch.paths.len()) };
                let commit = case.commit.as_deref().and_then(|commit| commit.get(..12)).unwrap_or_default();
                let (added, removed) = (patch.added, patch.removed);
                rows.push((
                    format!("A patch of {files} (+{added} −{removed}) applies to {commit}. {}", proof.words),
                    Redacted::default(),
                ));
            }
        }
    }
    if let Some(proposed) = &case.proposed {
        let place = proposed.url.as_deref().unwrap_or(&proposed.branch);
        rows.push((proposed.words.clone(), Redacted::new(place)));
        if proposed.state == State::Closed {
            rows.push(("A person closed it: it is not opened again.".into(), Redacted::default()));
        }
    }
    if let Some(remedy) = &case.remedy {
        let name = Redacted::new(&remedy.name);
        match &remedy.state {
            Called::Calling => {}
            Called::Done { .. } => rows.push(("I called the remedy that is registered for this, once:".into(), name)),
            Called::InDoubt { why } => {
                rows.push((format!("A remedy may have been called, and is not called again ({}):", plainly(why)), name))
            }
            Called::Failed { why } => {
                rows.push((format!("A remedy was called and says that it did nothing ({}):", plainly(why)), name))
            }
            Called::NotCalled { why } => rows.push((format!("A remedy could not be called ({}):", plainly(why)), name)),
        }
        let after_s = (case.changed_ms - remedy.called_ms).max(0) / 1000;
        let words = match case.outcome {
            Some(Outcome::Recovered) => Some(format!("{after_s} s later it has been quiet for a whole window.")),
            Some(Outcome::NotRecovered) => {
                Some(format!("{after_s} s later it has not fallen quiet. Nothing else will be called."))
            }
            Some(Outcome::Unobserved) => Some("No watch counts it: whether that helped I cannot see.".to_owned()),
            None if matches!(case.step, Step::Watching { .. }) => {
                Some("I am watching whether it helps, and will say so here.".to_owned())
            }
            _ => None,
        };
        rows.extend(words.map(|words| (words, Redacted::default())));
    }
    rows.extend(case.skipped.iter().map(|skipped| (skipped.why.clone(), skipped.said.clone())));
    rows
}

/// A sentence that may hold what another side said.
fn plainly(why: &str) -> String {
    Redacted::new(why).one_line().cut(120).as_str().replace('`', "'")
}

#[cfg(test)]
mod tests;
