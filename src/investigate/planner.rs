//! Concluding without a model: the common causes, told by their own words.
//!
//! It reads a dossier as a model would, and nothing else. It knows what services say when a disk is full, a pool is
//! empty or a certificate has run out ([`signs`]), when a deploy came just before, and where a trace leads. Whatever
//! it says it cites, verbatim. It proposes a remedy only where the operator's own words of what that cures stand in a
//! line of the log that was counted, or in two ([`super::remedy`] looks again); all else is a person's, with what to look at first. Where it knows
//! nothing it says so.

mod around;
pub mod signs;

use super::dossier::reading::{Dossier, Logged};
use super::remedy::{are_enough, words};
use super::verdict::{Action, Evidence, Plan, Verdict};
use crate::record::level::Level;
use crate::registry::descriptor::{Descriptor, Remedy};
use around::{Deploy, Place};
use signs::Sign;

/// One sentence speaks of it, in lines that were counted, and nothing speaks against it.
const CLEAR: f64 = 0.7;
/// Several lines say it.
const CLEARER: f64 = 0.75;
/// Lines around it say it, or others say something else.
const LIKELY: f64 = 0.55;
const GUESS: f64 = 0.35;
const NOTHING: f64 = 0.1;
/// The operator's own words for what a remedy cures stand in the log.
const REGISTERED: f64 = 0.9;
/// Lines cited of one cause.
const CITED_MAX: usize = 3;
/// Longest quote, in bytes.
const QUOTE_BYTES: usize = 300;

/// `descriptor`: of its service, where that is registered.
pub fn plan(dossier: &str, descriptor: Option<&Descriptor>) -> Verdict {
    let read = Dossier::read(dossier);
    let logged = read.logged();
    let grave = |line: &&Logged<'_>| line.is_counted || line.level() >= Some(Level::Warn);
    let scene = Scene {
        lines: logged.iter().filter(grave).collect(),
        deploy: around::deploy(&read),
        place: around::place(&read).or_else(|| around::framed(&logged)),
        statuses: logged
            .iter()
            .filter(|line| line.is_counted)
            .filter_map(|line| line.text("status").parse().ok())
            .collect(),
    };
    scene.registered(descriptor).unwrap_or_else(|| scene.concluded(descriptor))
}

struct Scene<'t> {
    /// That were counted, or are at `warn` or above: samples first.
    lines: Vec<&'t Logged<'t>>,
    deploy: Option<Deploy<'t>>,
    place: Option<Place>,
    /// Of requests that were counted.
    statuses: Vec<u16>,
}

/// A sign, and the lines that show it.
struct Found<'t> {
    sign: &'static Sign,
    lines: Vec<&'t Logged<'t>>,
    is_counted: bool,
}

impl<'t> Scene<'t> {
    /// What the operator has registered a remedy for, where the log says just that.
    fn registered(&self, descriptor: Option<&Descriptor>) -> Option<Verdict> {
        let (remedy, cure, lines) = descriptor?.remedies.iter().find_map(|remedy| self.cured(remedy))?;
        let found = self.found();
        let cause =
            match found.iter().find(|found| lines.iter().any(|line| found.lines.iter().any(|l| l.line == line.line))) {
                Some(found) => found.sign.cause.to_owned(),
                None => format!("The log says what is registered as \"{cure}\"."),
            };
        let mut evidence = cite(&lines, "The words that the remedy is registered for.");
        // A remedy does not mend what a deploy broke.
        let Some(deploy) = self.deploy.as_ref().filter(|deploy| deploy.is_just_before) else {
            return Some(Verdict {
                root_cause: cause,
                confidence: REGISTERED,
                evidence,
                plan: Plan {
                    reason: format!("\"{}\" is registered as a cure for \"{cure}\", and the log says so.", remedy.name),
                    remedy: Some(remedy.name.clone()),
                    steps: vec![
                        "If it comes back, find out what uses it up: the remedy cures, it does not mend.".into(),
                    ],
                    ..to(Action::RestartService)
                },
            });
        };
        evidence.push(deploy.evidence());
        Some(Verdict {
            root_cause: format!("{cause} It began just after a deploy, which may be why."),
            confidence: LIKELY,
            evidence,
            plan: Plan {
                reason: format!(
                    "\"{}\" would cure it, but not what the deploy may have brought: a person has to choose.",
                    remedy.name
                ),
                steps: vec![deploy.step(), format!("If the deploy is sound, call \"{}\".", remedy.name)],
                ..to(Action::Escalate)
            },
        })
    }

    fn cured<'d>(&self, remedy: &'d Remedy) -> Option<(&'d Remedy, &'d str, Vec<&'t Logged<'t>>)> {
        remedy.cures.iter().find_map(|cure| {
            let says = |line: &&&Logged<'_>| {
                let said = line.said();
                line.level() >= Some(Level::Warn) && words::fits(cure, &said, &said)
            };
            let lines: Vec<_> = self.lines.iter().filter(says).copied().collect();
            are_enough(lines.iter().copied()).then_some((remedy, cure.as_str(), lines))
        })
    }

    /// What the lines show: of counted ones before others, what most of them say first, and what is nearer to the
    /// root before what follows from it.
    fn found(&self) -> Vec<Found<'t>> {
        let mut found: Vec<Found<'t>> = Vec::new();
        for is_counted in [true, false] {
            let of_kind: Vec<_> = self.lines.iter().filter(|line| line.is_counted == is_counted).collect();
            for sign in &signs::SIGNS {
                let lines: Vec<_> = of_kind.iter().filter(|line| sign.shows(&line.said())).map(|line| **line).collect();
                if !lines.is_empty() {
                    found.push(Found { sign, lines, is_counted });
                }
            }
        }
        // Stable: where as many say it, the order of the signs stands.
        found.sort_by_key(|found| (!found.is_counted, found.sign.is_effect, std::cmp::Reverse(found.lines.len())));
        found
    }

    fn concluded(&self, descriptor: Option<&Descriptor>) -> Verdict {
        let mut found = self.found();
        // A trace that was counted says more than a line beside it.
        found.retain(|found| found.is_counted || self.place.is_none());
        let first = (!found.is_empty()).then(|| found.remove(0));
        let deploy = self.deploy.as_ref().filter(|deploy| deploy.is_just_before);
        match (first, deploy) {
            (Some(first), deploy) if !first.sign.is_of_code || deploy.is_none() => {
                self.outside(&first, &found, deploy, descriptor)
            }
            (_, Some(deploy)) => self.deployed(deploy),
            (None, None) if self.place.is_some() => self.thrown(),
            _ => self.unknown(),
        }
    }

    fn outside(
        &self,
        first: &Found<'t>,
        rest: &[Found<'t>],
        deploy: Option<&Deploy<'t>>,
        descriptor: Option<&Descriptor>,
    ) -> Verdict {
        let sign = first.sign;
        let is_alone = !rest.iter().any(|other| other.is_counted == first.is_counted && !other.sign.is_effect);
        let confidence = match (first.is_counted && is_alone, first.lines.len(), deploy) {
            (true, 2.., None) => CLEARER,
            (true, _, None) => CLEAR,
            _ => LIKELY,
        };
        let mut root_cause = sign.cause.to_owned();
        if let Some(target) = first.lines.iter().find_map(|line| signs::target(&line.said()).map(str::to_owned)) {
            root_cause = format!("{root_cause} It names `{target}`.");
        }
        let mut evidence = cite(&first.lines, sign.cause);
        let mut steps: Vec<String> = sign.steps.iter().map(|step| (*step).to_owned()).collect();
        for other in rest.iter().filter(|other| other.sign.name != sign.name).take(1) {
            root_cause = format!("{root_cause} The log also says: {}", lower(other.sign.cause));
            evidence.extend(cite(other.lines.get(..1).unwrap_or_default(), other.sign.cause));
        }
        if let Some(deploy) = deploy {
            root_cause = format!("{root_cause} It began just after a deploy, which may have changed its settings.");
            evidence.push(deploy.evidence());
            steps.insert(0, deploy.step());
        }
        Verdict {
            root_cause,
            confidence,
            evidence,
            plan: Plan { reason: helpless(descriptor), steps, ..to(Action::Escalate) },
        }
    }

    fn deployed(&self, deploy: &Deploy<'t>) -> Verdict {
        let mut evidence = vec![deploy.evidence()];
        let mut root_cause = "It began just after a deploy.".to_owned();
        let mut confidence = LIKELY;
        let mut steps = Vec::new();
        if let Some(place) = &self.place {
            root_cause = format!(
                "{root_cause} It fails in `{}`{}.",
                place.title,
                match place.is_changed {
                    true => ", a file that the deploy changed",
                    false => "",
                }
            );
            evidence.push(place.evidence());
            confidence = if place.is_changed { CLEARER } else { CLEAR };
            steps.push("Look at the patch of that file in the dossier.".to_owned());
        }
        evidence.extend(cite(&self.worded(), "What it says since."));
        steps.insert(0, deploy.step());
        Verdict {
            root_cause,
            confidence,
            evidence,
            plan: Plan { reason: "A deploy is a person's to take back.".into(), steps, ..to(Action::Escalate) },
        }
    }

    fn thrown(&self) -> Verdict {
        let title = self.place.as_ref().map_or("", |place| place.title.as_str());
        let mut evidence: Vec<Evidence> = self.place.iter().map(Place::evidence).collect();
        evidence.extend(cite(&self.worded(), "What it throws."));
        Verdict {
            root_cause: format!("An exception that nothing around it explains, in `{title}`."),
            confidence: LIKELY,
            evidence,
            plan: Plan {
                reason: "It fails in the service's own code, and no deploy is known to have brought it.".into(),
                steps: vec![
                    "Look at that function in the dossier, with the values that the log line names.".into(),
                    "See whether it needs data that is new: what else changed is not in the code.".into(),
                ],
                ..to(Action::Escalate)
            },
        }
    }

    fn unknown(&self) -> Verdict {
        let worded = self.worded();
        let upstream = self.statuses.iter().filter(|status| matches!(status, 502..=504)).count();
        let refused = self.statuses.iter().filter(|status| **status == 429).count();
        let most = |count: usize| count > 0 && 2 * count > self.statuses.len();
        let (root_cause, confidence, step) = if most(upstream) {
            (
                "A proxy answers for a server behind it that does not: 502 to 504. Why is not in the lines at hand.",
                GUESS,
                "Look whether what stands behind the proxy runs, and at its own log.",
            )
        } else if most(refused) {
            (
                "Its callers are told to slow down: 429. It refuses them, or passes on what refuses it.",
                GUESS,
                "Look who calls so much more than before.",
            )
        } else {
            (
                "Not known: no line at hand names a cause that is known here.",
                NOTHING,
                "Read the samples and the records around them.",
            )
        };
        Verdict {
            root_cause: root_cause.into(),
            confidence,
            evidence: cite(&worded, "What it says."),
            plan: Plan {
                reason: "Too little is known to do anything.".into(),
                steps: vec![step.into()],
                ..to(Action::Escalate)
            },
        }
    }

    /// Lines in which the service itself says something.
    fn worded(&self) -> Vec<&'t Logged<'t>> {
        self.lines.iter().filter(|line| !line.said().is_empty()).copied().collect()
    }
}

fn to(action: Action) -> Plan {
    Plan { action, reason: String::new(), steps: vec![], remedy: None, edits: vec![], tests: vec![] }
}

fn helpless(descriptor: Option<&Descriptor>) -> String {
    match descriptor {
        None => "The service is not registered: nothing is known that would cure it.",
        Some(descriptor) if descriptor.remedies.is_empty() => "No remedy is registered for the service.",
        Some(_) => "None of the service's remedies is registered as a cure for this.",
    }
    .into()
}

/// Of the first few lines, each text once.
fn cite(lines: &[&Logged<'_>], says: &str) -> Vec<Evidence> {
    let mut cited: Vec<Evidence> = Vec::new();
    for line in lines {
        let quote = quote(line);
        if cited.len() < CITED_MAX && !cited.iter().any(|other| other.quote == quote) {
            cited.push(Evidence { path: None, line: None, quote, says: says.to_owned() });
        }
    }
    cited
}

/// What the line says, as it stands in the dossier; the whole line where that cannot be found in it.
fn quote(line: &Logged<'_>) -> String {
    let said = ["message", "error", "exception"].map(|field| line.text(field));
    let inner = said.into_iter().filter(|text| !text.is_empty()).find_map(|text| {
        let json = serde_json::to_string(text).ok()?;
        let inner = json.strip_prefix('"')?.strip_suffix('"')?;
        line.record.contains(inner).then(|| inner.to_owned())
    });
    let whole = inner.unwrap_or_else(|| line.record.to_owned());
    whole.split_at(whole.floor_char_boundary(QUOTE_BYTES)).0.to_owned()
}

fn lower(sentence: &str) -> String {
    let mut chars = sentence.chars();
    chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
}

#[cfg(test)]
mod tests;
