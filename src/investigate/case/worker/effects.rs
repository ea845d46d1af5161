//! The effects themselves. Each answers with what has happened.

mod timely;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Parts, Stopping, rest, unless_stopped};
use crate::escalation::Escalation;
use crate::failpoint::Failpoint;
use crate::investigate::budget::{Bound, Refused};
use crate::investigate::case::machine::{Effect, Event, Observed};
use crate::investigate::case::{Asked, Called, Case, Found, PLANNER, Patch, Patched, Step};
use crate::investigate::model::reading::CommitFiles;
use crate::investigate::model::{Cost, Files, ModelFault, Question, Usage, prompt};
use crate::investigate::patch::{Kind, Proof, Workshop};
use crate::investigate::planner;
use crate::investigate::propose::{Origin, Words};
use crate::investigate::remedy::{self, About, Outcome, WhyNot};
use crate::investigate::shelf::{Piece, Shelf};
use crate::investigate::snapshot::Snapshot;
use crate::investigate::source::git::Repository;
use crate::investigate::verdict::{Standing, Verdict, check, parse, schema};
use crate::ledger::window::Phase;
use crate::notify::alerts::rfc3339;
use crate::redact::Redacted;
use crate::registry::Entry;
use crate::registry::descriptor::Fix;

/// How often it is looked for a free place with the model, and at a watch.
const LOOK: Duration = Duration::from_millis(500);
/// For git, to have the commit and to compare what is cited.
const GIT_TIME: Duration = Duration::from_secs(60);
/// A server that wants to be left alone for longer is not asked about this case again.
const PAUSE_MAX: Duration = Duration::from_secs(120);

/// One service's tests at a time: they take what cores and memory there are.
static PROVING: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// What one task knows beside its case; it need not outlive it.
#[derive(Default)]
pub(super) struct Turn {
    allowance: Option<Cost>,
    /// Something fired for the service since the remedy was called.
    has_fired: bool,
}

pub(super) async fn perform(
    parts: &Arc<Parts>,
    case: &Case,
    effect: Effect,
    turn: &mut Turn,
) -> Result<Event, Stopping> {
    match effect {
        Effect::Wait(from_ms) => {
            until(parts, from_ms).await?;
            wait_for_model(parts, case, turn).await
        }
        Effect::Ask => {
            Failpoint::Asking.pass();
            let event = ask(parts, case, turn).await;
            Failpoint::Asked.pass();
            event
        }
        Effect::Check => {
            Failpoint::Checking.pass();
            let event = blocking(parts, case, check_all).await;
            Failpoint::Checked.pass();
            event
        }
        Effect::Prove => {
            let _one = unless_stopped(parts, PROVING.lock()).await?;
            Failpoint::Proving.pass();
            let event = blocking(parts, case, prove).await;
            Failpoint::Proved.pass();
            event
        }
        Effect::Propose(from_ms) => {
            until(parts, from_ms).await?;
            Failpoint::Proposing.pass();
            let event = blocking(parts, case, propose).await;
            Failpoint::Proposed.pass();
            event
        }
        Effect::Decide => {
            Failpoint::Deciding.pass();
            decide(parts, case).await
        }
        Effect::Call => {
            Failpoint::Calling.pass();
            let event = call(parts, case).await;
            Failpoint::Called.pass();
            event
        }
        Effect::Observe => {
            Failpoint::Observing.pass();
            rest(parts, LOOK).await?;
            observe(parts, case, turn).await
        }
        Effect::Rest => Err(Stopping),
    }
}

async fn until(parts: &Parts, from_ms: i64) -> Result<(), Stopping> {
    let wait_ms = u64::try_from(from_ms - (parts.clock)()).unwrap_or(0);
    rest(parts, Duration::from_millis(wait_ms)).await
}

/// Off the async threads. What is still under way when it is to stop is ended by whoever stops git.
async fn blocking(parts: &Arc<Parts>, case: &Case, work: fn(&Parts, &Case) -> Event) -> Result<Event, Stopping> {
    let (of, case, step) = (parts.clone(), case.clone(), case.step.clone());
    let done = tokio::task::spawn_blocking(move || work(&of, &case));
    match unless_stopped(parts, done).await? {
        Ok(event) => Ok(event),
        Err(_) => Ok(died(&step)),
    }
}

/// A panic of ours ends the step, not the case.
fn died(step: &Step) -> Event {
    let (why, said) = ("It could not be done: a fault of this program, see its log.".to_owned(), Redacted::default());
    match step {
        Step::Proving => Event::ProofFailed { why, said, again: false },
        Step::Proposing { .. } => Event::NotProposed { why, said, again: false },
        _ => Event::Unreadable(why),
    }
}

async fn wait_for_model(parts: &Parts, case: &Case, turn: &mut Turn) -> Result<Event, Stopping> {
    let Some(model) = &parts.model else { return Ok(Event::NoModel(None)) };
    let Some(dossier) = dossier(&parts.shelf, case.id).await else {
        return Ok(Event::NoModel(Some("The model was not asked: the dossier is not there any more.".into())));
    };
    if parts.book.is_unsure() {
        let why = "The model was not asked: what it has cost so far cannot be read from the store (see the log).";
        return Ok(Event::NoModel(Some(why.into())));
    }
    let least = model.least(&question(&Redacted::new(&dossier), Cost::UNBOUNDED));
    loop {
        let now_ms = (parts.clock)();
        match parts.book.budget(|budget| budget.begin(case.id, least, &parts.limits, now_ms)) {
            Ok(allowance) => {
                turn.allowance = Some(allowance);
                return Ok(Event::MayAsk);
            }
            Err(Refused { bound: Bound::Concurrent, .. }) => rest(parts, LOOK).await?,
            Err(refused) => return Ok(Event::NoModel(Some(refusal(refused)))),
        }
    }
}

fn refusal(refused: Refused) -> String {
    let again = refused.again_ms.map(|at| format!("; again from {} on", rfc3339(at))).unwrap_or_default();
    format!("The model was not asked: the budget is used up (`investigation.{}`){again}.", refused.bound.as_str())
}

fn question(dossier: &Redacted, allowance: Cost) -> Question<'_> {
    Question { system: prompt::SYSTEM, dossier, schema: schema(), allowance }
}

async fn dossier(shelf: &Arc<Shelf>, id: u64) -> Option<String> {
    let shelf = shelf.clone();
    tokio::task::spawn_blocking(move || shelf.get(Piece::Dossier, id)).await.ok()?.ok()?
}

async fn ask(parts: &Arc<Parts>, case: &Case, turn: &Turn) -> Result<Event, Stopping> {
    let failed = |why: &str| {
        parts.book.budget(|budget| budget.end(case.id, Cost::default()));
        Event::AskFailed { why: why.to_owned(), said: Redacted::default(), again: None, asked: None }
    };
    let Some(model) = &parts.model else { return Ok(failed("The model was not asked: there is none.")) };
    let Some(dossier) = dossier(&parts.shelf, case.id).await else {
        return Ok(failed("The model was not asked: the dossier is not there any more."));
    };
    let (of, place) = (parts.clone(), case.clone());
    let files = tokio::task::spawn_blocking(move || {
        let (folder, commit) = of.source(&place)?;
        let mirrors = of.library.mirrors.as_ref()?;
        let files = CommitFiles::open(mirrors.git().clone(), folder, &commit, Instant::now() + GIT_TIME).ok()?;
        Some(Arc::new(files) as Arc<dyn Files>)
    });
    let files = unless_stopped(parts, files).await?.unwrap_or(None);
    let dossier = Redacted::new(&dossier);
    let question = question(&dossier, turn.allowance.unwrap_or_default());
    let answer = unless_stopped(parts, model.ask(question, files)).await?;
    let about = |usage: Usage, cost_usd: f64, calls: u32, model: String| Asked {
        model,
        input_tokens: usage.input.saturating_add(usage.written),
        cached_tokens: usage.cached,
        output_tokens: usage.output,
        cost_usd,
        calls,
    };
    let spent = |usage: Usage, usd: f64| {
        parts.book.budget(|budget| budget.end(case.id, Cost { tokens: usage.tokens(), usd }));
    };
    Ok(match answer {
        Ok(answer) => {
            spent(answer.usage, answer.cost_usd);
            let asked = about(answer.usage, answer.cost_usd, answer.calls, answer.model);
            Event::Answered { answer: answer.json, asked }
        }
        Err(fault) => {
            spent(fault.usage, fault.cost_usd);
            let asked = about(fault.usage, fault.cost_usd, fault.calls, model.about().model);
            Event::AskFailed {
                why: format!("The model gave no answer ({}).", fault.why.as_str()),
                again: again(&fault),
                said: Redacted::new(&fault.words).one_line(),
                asked: Some(asked),
            }
        }
    })
}

fn again(fault: &ModelFault) -> Option<i64> {
    let pause = fault.pause.unwrap_or_default();
    (fault.may_pass() && pause <= PAUSE_MAX).then(|| i64::try_from(pause.as_millis()).unwrap_or(i64::MAX))
}

impl Parts {
    /// What is registered of the case's service.
    fn entry(&self, case: &Case) -> Option<Entry> {
        self.library.entry(&case.about.cluster, &case.about.service)
    }

    /// The copy of its repository, and the commit that ran. Blocks.
    fn source(&self, case: &Case) -> Option<(PathBuf, String)> {
        let commit = case.commit.clone()?;
        let repository = self.entry(case)?.descriptor.repository?;
        let mirrors = self.library.mirrors.as_ref()?;
        let folder = mirrors.with(&repository, std::slice::from_ref(&commit), Instant::now() + GIT_TIME).ok()?;
        Some((folder, commit))
    }

    /// Lends the files of the commit that ran. Blocks.
    fn with_snapshot<T>(&self, case: &Case, work: impl FnOnce(Option<&Snapshot<'_>>) -> T) -> T {
        let Some(((folder, commit), mirrors)) = self.source(case).zip(self.library.mirrors.as_ref()) else {
            return work(None);
        };
        let repository = Repository { git: mirrors.git(), folder: &folder, deadline: Instant::now() + GIT_TIME };
        match Snapshot::open(&repository, &commit) {
            Ok(snapshot) => work(Some(&snapshot)),
            Err(error) => {
                tracing::warn!(escalation = case.id, %error, "the commit cannot be read");
                work(None)
            }
        }
    }
}

/// Of the model's answer, or of what the planner says.
fn check_all(parts: &Parts, case: &Case) -> Event {
    let Ok(Some(dossier)) = parts.shelf.get(Piece::Dossier, case.id) else {
        return Event::Unreadable("Nothing was concluded: the dossier is not there any more.".into());
    };
    let (by, verdict): (String, Verdict) = match &case.step {
        Step::Checking { answer: Some(answer) } => match parse(answer) {
            Ok(verdict) => {
                let model = case.asked.as_ref().map(|asked| asked.model.clone());
                (model.unwrap_or_else(|| "the model".into()), verdict)
            }
            Err(why) => return Event::Unreadable(format!("The model's answer is no verdict: {why}.")),
        },
        _ => {
            let entry = parts.entry(case);
            (PLANNER.to_owned(), planner::plan(&dossier, entry.as_ref().map(|entry| &entry.descriptor)))
        }
    };
    let checked = parts.with_snapshot(case, |source| check(&verdict, &dossier, source));
    let no_action = checked.why_not().map(|why| format!("Nothing was done on its strength: {why}."));
    let mut verdict = checked.verdict;
    let mut proofs = Vec::with_capacity(checked.evidence.len());
    for (evidence, standing) in verdict.evidence.iter_mut().zip(checked.evidence) {
        match standing {
            Standing::Proven { line } => {
                evidence.line = line;
                proofs.push(None);
            }
            Standing::Unproven(why) => proofs.push(Some(why)),
        }
    }
    Event::Checked(Box::new(Found { by, verdict, proofs, no_action }))
}

/// What cannot be done, and in whose words.
fn impossible(why: &str) -> Event {
    Event::ProofFailed { why: why.to_owned(), said: Redacted::default(), again: false }
}

fn prove(parts: &Parts, case: &Case) -> Event {
    let (Some(workshop), Some(found), Some(entry)) = (&parts.workshop, &case.found, parts.entry(case)) else {
        return impossible("No patch was made: its source is not at hand.");
    };
    let test = entry.descriptor.test.as_deref();
    let Some((folder, _)) = parts.source(case) else {
        return impossible("No patch was made: its source is not at hand.");
    };
    let drafted =
        parts.with_snapshot(case, |source| source.map(|source| workshop.draft(source, &found.verdict.plan, test)));
    let draft = match drafted {
        None => return impossible("No patch was made: its source is not at hand."),
        Some(Err(refused)) if refused.kind == Kind::Git => {
            return Event::ProofFailed { why: "No patch was made:".into(), said: refused.words, again: true };
        }
        Some(Err(refused)) => {
            let state = Patched::Refused { why: refused.words };
            return Event::Proved(Patch { state, paths: Vec::new(), added: 0, removed: 0 });
        }
        Some(Ok(draft)) => draft,
    };
    if let Err(error) = parts.shelf.put(Piece::Diff, case.id, &draft.diff) {
        tracing::warn!(escalation = case.id, %error, "a diff cannot be written");
    }
    let proof: Proof = workshop.prove(&draft, &folder, test);
    Event::Proved(Patch {
        state: Patched::Tried { hash: draft.hash.clone(), proof },
        paths: draft.files.iter().map(|file| Redacted::new(&file.path).one_line()).collect(),
        added: draft.files.iter().map(|file| file.added).sum(),
        removed: draft.files.iter().map(|file| file.removed).sum(),
    })
}

/// The same edits at the same commit are the same draft: it is made again, and must be what was tried.
fn propose(parts: &Parts, case: &Case) -> Event {
    let not = |why: &str| Event::NotProposed { why: why.to_owned(), said: Redacted::default(), again: false };
    let Some(entry) = parts.entry(case) else { return not("It was not proposed: the service is registered no more.") };
    if entry.descriptor.fix != Fix::Pr {
        return not("");
    }
    let (Some(forge), Some(workshop), Some(found)) = (&parts.forge, &parts.workshop, &case.found) else {
        return not("It was not proposed: its source is not at hand.");
    };
    let (Some((folder, _)), Some(location)) = (parts.source(case), &entry.descriptor.repository) else {
        return not("It was not proposed: its source is not at hand.");
    };
    let (Some(Patched::Tried { hash, .. }), Some(proof)) =
        (case.patch.as_ref().map(|patch| &patch.state), case.patch.as_ref().and_then(Patch::proof))
    else {
        return not("It was not proposed: it was not tried.");
    };
    let test = entry.descriptor.test.as_deref();
    let draft = match remade(parts, case, workshop, test) {
        Ok(draft) if draft.hash == *hash => draft,
        Ok(_) => return not("It was not proposed: made again it is another patch than the one that was tried."),
        Err(event) => return *event,
    };
    let link = parts.public_url.as_ref().map(|url| format!("{url}/investigations/E{}", case.id));
    let cause = Redacted::new(&found.verdict.root_cause);
    let words = Words {
        escalation: case.id,
        label: &case.about.label,
        service: &case.about.service,
        opened_ms: case.about.opened_ms,
        root_cause: &cause,
        link: link.as_deref(),
        proof,
    };
    match forge.propose(&draft, Origin { mirror: &folder, location }, &words) {
        Ok(proposed) => Event::Proposed(Box::new(proposed)),
        Err(fault) => {
            let again = fault.again;
            Event::NotProposed { why: "It was not proposed:".into(), said: fault.words, again }
        }
    }
}

fn remade(
    parts: &Parts,
    case: &Case,
    workshop: &Workshop,
    test: Option<&str>,
) -> Result<crate::investigate::patch::Draft, Box<Event>> {
    let plan = case.found.as_ref().map(|found| &found.verdict.plan);
    let drafted = parts.with_snapshot(case, |source| Some(workshop.draft(source?, plan?, test)));
    match drafted {
        Some(Ok(draft)) => Ok(draft),
        Some(Err(refused)) => {
            let again = refused.kind == Kind::Git;
            Err(Box::new(Event::NotProposed { why: "It was not proposed:".into(), said: refused.words, again }))
        }
        None => Err(Box::new(Event::NotProposed {
            why: "It was not proposed: its source is not at hand.".into(),
            said: Redacted::default(),
            again: true,
        })),
    }
}

async fn decide(parts: &Arc<Parts>, case: &Case) -> Result<Event, Stopping> {
    let refused = |why: String| Ok(Event::Refused(why));
    let Some(found) = &case.found else { return refused("Nothing was called: nothing was found.".into()) };
    if parts.book.is_unsure() {
        return refused(
            "Nothing was called: what was called so far cannot be read from the store (see the log).".into(),
        );
    }
    let Some(Some((escalation, _))) = parts.ledger.with_others(case.id).await else {
        return refused("Nothing was called: its escalation is held no more.".into());
    };
    if let Some(why) = timely::why_not(&escalation, (parts.clock)()) {
        return refused(format!("Nothing was called: {why}."));
    }
    let Some(dossier) = dossier(&parts.shelf, case.id).await else {
        return refused("Nothing was called: the dossier is not there any more.".into());
    };
    let proven = found.verdict.evidence.iter().zip(&found.proofs).filter(|(_, why_not)| why_not.is_none());
    let asked = remedy::Asked {
        plan: &found.verdict.plan,
        confidence: found.verdict.confidence,
        proven: proven.map(|(evidence, _)| evidence).collect(),
        dossier: &dossier,
        escalation: &escalation,
    };
    let entry = parts.entry(case);
    // Granted now it would be called now: who is to stop leaves that to the next life.
    if *parts.stopped.borrow() {
        return Err(Stopping);
    }
    let now_ms = (parts.clock)();
    let granted: Result<String, WhyNot> = parts.book.calls(|calls| {
        let granted = remedy::may_call(&asked, entry.as_ref().map(|entry| &entry.descriptor), calls, now_ms)?;
        let name = granted.remedy.name.clone();
        calls.add(granted.call);
        Ok(name)
    });
    Ok(match granted {
        Ok(name) => Event::Allowed(name),
        Err(why) => Event::Refused(format!("Nothing was called. {why}")),
    })
}

/// It is stored that it is called. What follows is not cut short when the program is to stop: it would be in doubt.
async fn call(parts: &Parts, case: &Case) -> Result<Event, Stopping> {
    let entry = parts.entry(case);
    let called = case.remedy.as_ref().zip(entry.as_ref());
    let found = called.and_then(|(called, entry)| {
        let remedy = entry.descriptor.remedies.iter().find(|remedy| remedy.name == called.name)?;
        Some((remedy, entry, called.called_ms))
    });
    let Some((remedy, entry, stored_ms)) = found else {
        return Ok(Event::Called(Called::NotCalled { why: "it is registered no more".into() }));
    };
    let mark = format!("E{}", case.id);
    let about = About {
        mark: &mark,
        service: &entry.descriptor.name,
        cluster: entry.descriptor.cluster.as_deref().unwrap_or_default(),
        stored_ms,
    };
    let outcome = remedy::call(remedy, &about, parts.builder).await;
    Ok(Event::Called(match outcome {
        Outcome::Done { said, .. } => Called::Done { said },
        Outcome::InDoubt { why } => Called::InDoubt { why },
        Outcome::Refused { status, .. } => Called::Failed { why: format!("it answered {status}") },
        Outcome::Redirected { status } => {
            Called::Failed { why: format!("it answered {status}, which is not followed") }
        }
        Outcome::Unreachable { why } => Called::NotCalled { why },
    }))
}

/// Windows of ours count it.
fn is_counted(of: &Escalation) -> bool {
    !(of.alert || of.proposed && of.firing == 0)
}

async fn observe(parts: &Parts, case: &Case, turn: &mut Turn) -> Result<Event, Stopping> {
    let Some(found) = parts.ledger.with_others(case.id).await else { return Err(Stopping) };
    let Some((of, _)) = found else { return Ok(Event::Observed(Observed::Unknown)) };
    let shards = parts.ledger.shards();
    let others = shards.firing_of(|watch, values| super::super::super::concerns(watch, values, &of));
    turn.has_fired |= !others.is_empty();
    let silent = || shards.windows_of(case.id).iter().any(|(_, window)| matches!(window.phase, Phase::NoData { .. }));
    let seen = match () {
        () if of.firing > 0 => Observed::Firing,
        () if silent() => Observed::NoData,
        () if is_counted(&of) || of.alert && of.end_told => Observed::Quiet,
        // Counted by nobody under its own name: other watches of the service tell.
        () if !others.is_empty() => Observed::Firing,
        () if turn.has_fired => Observed::Quiet,
        () => Observed::Unknown,
    };
    Ok(Event::Observed(seen))
}
