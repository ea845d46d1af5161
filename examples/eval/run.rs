//! Asking about all cases, batch by batch, as the program's own loop does it.
//!
//! What has no answer waits again, so often; what is severe then, or waits too often, is for the built-in triager in
//! the program, and here it is a case that the model did not judge.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use emberwatch::metrics::Metrics;
use emberwatch::triage::ask::{Asked, Asker, AtOnce};
use emberwatch::triage::kinds::{Bounds, Judgement, Kinds};
use emberwatch::triage::known::Known;
use emberwatch::triage::model::{Provider, Why};
use emberwatch::triage::prompt::Limits;
use emberwatch::triage::trial::Scene;
use emberwatch::triage::worker::TRIES_MAX;
use emberwatch::triage::{Action, Offer, What, floor};
use emberwatch::watch::matcher::Scratch;
use emberwatch::watch::{Origin, Watch, WatchSet};

use crate::cases::{self, Case};
use crate::score::{Fit, Score};

/// Unix milliseconds at which all lines have come: any moment will do, but the same one, or questions would differ.
const NOW_MS: i64 = 1_770_000_000_000;
/// As the program's `time.lateness_seconds` is unless configured.
const LATENESS_MS: i64 = 900_000;
/// Questions in a row without an answer from anybody, after which there is nobody.
const UNREACHABLE_MAX: u32 = 5;

pub(crate) struct Run {
    cases: Vec<Case>,
    kinds: Kinds,
    known: Known,
    asker: Asker,
    watches: Arc<WatchSet>,
    /// Of a kind, the labels of the watches that were taken in for it.
    made: HashMap<u64, Vec<String>>,
    said: HashMap<u64, What>,
    at_once: AtOnce,
    score: Score,
}

/// Counters of the program, before and after a question.
struct Meter {
    unreadable: u64,
    sent: u64,
    received: u64,
    failed: [u64; Why::ALL.len()],
}

impl Meter {
    fn of(metrics: &Metrics) -> Meter {
        let calls = |outcome: &str| metrics.triage_calls.with_label_values(&[outcome]).get();
        let tokens = |direction: &str| metrics.model_tokens.with_label_values(&[direction]).get();
        Meter {
            unreadable: calls("unreadable"),
            sent: tokens("sent"),
            received: tokens("received"),
            failed: Why::ALL.map(|why| calls(why.as_str())),
        }
    }
}

impl Run {
    pub(crate) fn new(text: &str, provider: Provider, batch: usize) -> Result<Run, String> {
        let most = text.lines().count();
        // The same kinds in the same order each time.
        let mut kinds = Kinds::new(Bounds { max_kinds: most.max(100), max_waiting: most }, 1);
        let cases = cases::load(text, &mut kinds, NOW_MS)?;
        let metrics = Metrics::register().map_err(|e| e.to_string())?;
        Ok(Run {
            cases,
            kinds,
            known: Known::new(1024),
            asker: Asker { provider: Arc::new(provider), limits: Limits::default(), metrics },
            watches: WatchSet::new(Vec::new()),
            made: HashMap::new(),
            said: HashMap::new(),
            at_once: AtOnce::new(batch),
            score: Score::default(),
        })
    }

    /// Until every case is judged or given up, or nobody is there to be asked.
    pub(crate) async fn judge(&mut self, name: &str) {
        let mut unreachable = 0;
        loop {
            let ids = self.kinds.take(self.at_once.get());
            let (covered, ids): (Vec<u64>, Vec<u64>) = ids.into_iter().partition(|id| !self.counted_by(*id).is_empty());
            for id in covered {
                let by = self.counted_by(id);
                self.made.insert(id, by);
                self.settle(id, Some(What::Watch));
            }
            let offers: Vec<Offer> = ids.iter().filter_map(|id| self.kinds.offer(*id, None)).collect();
            if offers.is_empty() && self.kinds.waiting() == 0 {
                break;
            }
            if offers.is_empty() {
                continue;
            }
            let (before, started) = (Meter::of(&self.asker.metrics), Instant::now());
            let asked = self.asker.judge(offers).await;
            self.measure(&before, &asked, started.elapsed().as_secs_f64());
            self.at_once.learn(&asked);
            self.take_in(&asked);
            let outcome = match &asked.answer {
                Ok(actions) => format!("{} verdicts", actions.len()),
                Err(no) => no.words.clone(),
            };
            eprintln!(
                "{name}: {} kinds in {:.1} s: {outcome}; {} of {} done",
                asked.fitted,
                started.elapsed().as_secs_f64(),
                self.cases.len() - self.kinds.waiting(),
                self.cases.len()
            );
            unreachable = if asked.answer.as_ref().is_err_and(|no| !no.tried) { unreachable + 1 } else { 0 };
            if unreachable >= UNREACHABLE_MAX {
                break;
            }
        }
        for case in &self.cases {
            let fit = self.fit(case);
            self.score.case(case.want, self.said.get(&case.kind).copied(), fit);
        }
    }

    pub(crate) fn into_score(self) -> Score {
        self.score
    }

    /// Each case that was judged otherwise than it should be, or whose watch does not fit.
    pub(crate) fn differences(&self) -> Vec<String> {
        let different = self.cases.iter().filter_map(|case| {
            let said = self.said.get(&case.kind).copied();
            let fit = self.fit(case).filter(|fit| *fit != Fit::Fits);
            let words = match (said, fit) {
                (Some(said), None) if said == case.want => return None,
                (Some(said), Some(fit)) if said == case.want => format!("its watch {}", fit.as_str()),
                (Some(said), _) => format!("{}, not {}", said.as_str(), case.want.as_str()),
                (None, _) => format!("not judged, should be {}", case.want.as_str()),
            };
            Some(format!("{words}: {}", self.kinds.template(case.kind)))
        });
        different.collect()
    }

    fn measure(&mut self, before: &Meter, asked: &Asked, seconds: f64) {
        if asked.said.is_builtin() {
            return;
        }
        let after = Meter::of(&self.asker.metrics);
        let score = &mut self.score;
        for ((why, before), after) in Why::ALL.iter().zip(before.failed).zip(after.failed) {
            for _ in before..after {
                score.failed(why.as_str());
            }
        }
        score.question(asked.answer.is_ok(), after.unreadable - before.unreadable, seconds);
        score.tokens(after.sent - before.sent, after.received - before.received);
    }

    fn take_in(&mut self, asked: &Asked) {
        let fitted = asked.fitted.min(asked.offers.len());
        let (shown, beyond) = asked.offers.split_at(fitted);
        for offer in beyond {
            self.kinds.postpone(offer.kind, NOW_MS);
        }
        let actions = match &asked.answer {
            Ok(actions) => actions.as_slice(),
            Err(_) => &[],
        };
        for action in actions {
            let about: Vec<&Offer> = action.lines.iter().filter_map(|place| shown.get(*place)).collect();
            self.act(action, &about, asked.said.is_builtin());
        }
        let tried = asked.answer.as_ref().map_or_else(|no| no.tried, |_| true);
        for offer in shown {
            if self.said.contains_key(&offer.kind) {
                continue;
            }
            let tries = match tried {
                true => self.kinds.give_back(offer.kind, NOW_MS),
                false => self.kinds.postpone(offer.kind, NOW_MS),
            };
            if tries >= TRIES_MAX || (asked.answer.is_err() && floor::is_severe(offer)) {
                self.settle(offer.kind, None);
            }
        }
    }

    fn act(&mut self, action: &Action, about: &[&Offer], is_builtin: bool) {
        for offer in about {
            if action.what == What::Ignore && !is_builtin && floor::holds(offer).is_some() {
                self.score.not_believed();
            }
        }
        if action.what == What::Watch {
            // An action before this one may have made the watch that counts them.
            let open = about.iter().filter(|offer| self.counted_by(offer.kind).is_empty());
            let own: Vec<u64> = open.map(|offer| offer.kind).collect();
            let scene = Scene {
                kinds: &self.kinds,
                watches: &self.watches,
                naming: None,
                now_ms: NOW_MS,
                lateness_ms: LATENESS_MS,
            };
            match scene.try_out(action, &own) {
                _ if own.is_empty() => self.score.refused("covered"),
                Ok(tried) => {
                    let mut watches = self.watches.watches().to_vec();
                    let watch = Watch::new(tried.rule, Origin::Triage);
                    for kind in own {
                        self.made.entry(kind).or_default().push(watch.rule.label.clone());
                    }
                    watches.push(watch);
                    self.watches = WatchSet::new(watches);
                    self.score.accepted();
                }
                Err((refusal, _)) => self.score.refused(refusal.as_str()),
            }
        }
        for offer in about {
            self.settle(offer.kind, Some(action.what));
        }
    }

    /// The labels of the watches that count this kind already.
    fn counted_by(&self, kind: u64) -> Vec<String> {
        let (mut labels, mut scratch) = (Vec::new(), Scratch::default());
        if let Some(kind) = self.kinds.get(kind) {
            kind.sample.read(None, |record| {
                self.watches.matches(record, &mut scratch, |_, watch| labels.push(watch.rule.label.clone()));
            });
        }
        labels
    }

    /// `None`: the model has not judged it.
    fn settle(&mut self, kind: u64, what: Option<What>) {
        self.said.extend(what.map(|what| (kind, what)));
        let Some(held) = self.kinds.get(kind) else { return };
        let judgement = Judgement {
            what: what.unwrap_or(What::Ignore),
            at_ms: NOW_MS,
            until_ms: i64::MAX,
            level: held.level,
            label: None,
        };
        self.kinds.settle(kind, judgement, &self.known);
    }

    /// How the watches for a case do on its other lines; `None`: it has none, or should have none.
    fn fit(&self, case: &Case) -> Option<Fit> {
        let labels = self.made.get(&case.kind).filter(|_| case.want == What::Watch)?;
        let matches = |line: &String| {
            let (mut hit, mut scratch) = (false, Scratch::default());
            cases::read(line, |record| {
                self.watches.matches(record, &mut scratch, |_, watch| hit |= labels.contains(&watch.rule.label));
            });
            hit
        };
        Some(match (case.must.iter().all(matches), case.must_not.iter().any(matches)) {
            (_, true) => Fit::TooWide,
            (false, false) => Fit::TooNarrow,
            (true, false) => Fit::Fits,
        })
    }
}
