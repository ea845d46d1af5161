//! Doing what was said, within bounds: kinds are settled, proposals tried and handed to the ledger, escalations raised.
//!
//! Whoever said it is not trusted: what lies above the floor is not waved through, what was not understood or
//! refused is judged without a model where it is severe, and every outcome is told with its reason.

use super::*;

impl Worker {
    /// Does what was said about `offers`, as far as it may be done.
    pub(super) async fn apply(&mut self, actions: Vec<Action>, offers: &[Offer], said: &Said) {
        // What was counted since the last sweep belongs to the past that watches are tried on.
        if actions.iter().any(|action| action.what == What::Watch) && self.swept.elapsed() >= SWEEP_LEAST {
            self.sweep();
        }
        let mut answered = vec![false; offers.len()];
        for action in &actions {
            let about: Vec<&Offer> = action.lines.iter().filter_map(|place| offers.get(*place)).collect();
            // Judged by the built-in triager while the model was thinking: that holds. What had to make room
            // meanwhile may still be worth a watch, in the shadow until its lines come again.
            let about: Vec<&Offer> = about
                .into_iter()
                .filter(|o| self.waits(o.kind) || (action.what == What::Watch && self.kinds.get(o.kind).is_none()))
                .collect();
            for place in &action.lines {
                if let Some(answered) = answered.get_mut(*place) {
                    *answered = true;
                }
            }
            if !about.is_empty() {
                self.act(action, &about, said).await;
            }
        }
        // Left out of the reply: asked about again, a few times.
        let now_ms = self.now_ms();
        let unsaid: Vec<Offer> =
            offers.iter().zip(&answered).filter(|(_, answered)| !**answered).map(|(offer, _)| offer.clone()).collect();
        let mut given_up = Vec::new();
        for offer in unsaid {
            if self.waits(offer.kind) && self.kinds.give_back(offer.kind, now_ms) >= TRIES_MAX {
                match said.is_builtin() {
                    true => self.settle_offer(&offer, What::Ignore, None),
                    false => given_up.push(offer),
                }
            }
        }
        if !given_up.is_empty() {
            let actions = builtin::judge(&given_up);
            Box::pin(self.apply(actions, &given_up, &Said::builtin())).await;
        }
        self.flush().await;
    }

    fn waits(&self, id: u64) -> bool {
        self.kinds.get(id).is_some_and(|kind| matches!(kind.state, State::Waiting { .. }))
    }

    async fn act(&mut self, action: &Action, about: &[&Offer], said: &Said) {
        match action.what {
            What::Ignore => {
                for offer in about {
                    // Nobody may talk us out of what lies above the floor.
                    match floor::holds(offer).filter(|_| !said.is_builtin()) {
                        Some(reason) => {
                            self.told(offer, "floor", None, said, Redacted::new(reason));
                            let actions = builtin::judge(std::slice::from_ref(*offer));
                            let said = Said::builtin();
                            for action in actions.iter().filter(|action| action.what != What::Ignore) {
                                Box::pin(self.act(action, &[*offer], &said)).await;
                            }
                            if self.waits(offer.kind) {
                                self.settle_offer(offer, What::Ignore, None);
                            }
                        }
                        None => {
                            self.settle_offer(offer, What::Ignore, None);
                            self.told(offer, "ignore", None, said, reason(action));
                        }
                    }
                }
            }
            What::Watch => self.propose(action, about, said, Origin::Triage).await,
            What::Investigate => self.investigate(action, about, said).await,
        }
    }

    /// Has a proposal tried and taken in; answers nothing: what became of it is in the view.
    pub(in crate::triage) async fn propose(&mut self, action: &Action, about: &[&Offer], said: &Said, origin: Origin) {
        let now_ms = self.now_ms();
        let watches = self.ledger.watches();
        self.look_at_breadth(&watches);
        let own_watches = watches.watches().iter().filter(|watch| watch.origin.is_proposed()).count();
        if own_watches >= PROPOSED_MAX {
            // Before the trial, which costs more than an answer.
            let why = format!("{PROPOSED_MAX} proposed watches is the most");
            return self.refused(about, said, Refusal::Full, &why).await;
        }
        // An action before this one may have made the watch that counts them.
        let (made, about): (Vec<&Offer>, Vec<&Offer>) =
            about.iter().partition(|offer| self.made_for(&watches, offer.kind).is_some());
        for offer in made {
            let label = self.made_for(&watches, offer.kind);
            self.settle_offer(offer, What::Watch, label.clone());
            self.told(offer, "covered", label, said, Redacted::default());
        }
        // Requests that fail are counted already, and another count of them is another message about one fault.
        let (counted, about): (Vec<&Offer>, Vec<&Offer>) = about
            .into_iter()
            .partition(|o| said.is_builtin() && o.shape == Shape::Access && self.is_counted(&watches, o.kind));
        for offer in counted {
            self.settle_offer(offer, What::Ignore, None);
            self.told(offer, "counted", None, said, Redacted::new("a watch of people's, or a built-in one, counts it"));
        }
        if about.is_empty() {
            return;
        }
        let about = about.as_slice();
        let own: Vec<u64> = about.iter().map(|offer| offer.kind).collect();
        let scene = Scene {
            kinds: &self.kinds,
            watches: &watches,
            naming: Some(&self.settings.naming),
            now_ms,
            lateness_ms: self.settings.lateness_ms,
        };
        let tried = match scene.try_out(action, &own) {
            Ok(tried) => tried,
            Err((refusal, why)) => return self.refused(about, said, refusal, &why).await,
        };
        let label = tried.rule.label.clone();
        let mut change = Change {
            at_ms: now_ms,
            by: origin.as_str().into(),
            model: said.model.clone(),
            prompt: said.prompt.clone(),
            reply: said.reply.clone(),
            reason: reason(action),
            before: None,
            after: Some(tried.rule.to_json()),
        };
        if tried.by_engine {
            change.reason = Redacted::new(&format!("{} (threshold from the past hour)", change.reason.as_str()));
        }
        let provenance = Provenance { shadow: tried.untried, ..Provenance::of(change) };
        let proposal = Proposal { rule: tried.rule, origin, provenance, replaces: None, backlog: tried.backlog };
        match self.ledger.adopt(proposal).await {
            Ok(()) => {
                tracing::info!(label, model = said.model, "a watch was proposed, tried and taken in");
                self.made_watch(&label, own);
                for offer in about {
                    self.settle_offer(offer, What::Watch, Some(label.clone()));
                    self.told(offer, "watch", Some(label.clone()), said, reason(action));
                }
            }
            Err(Refused::Unavailable) => {
                self.pause();
                for offer in about {
                    self.kinds.give_back(offer.kind, now_ms);
                }
            }
            Err(refused) => self.refused(about, said, Refusal::Full, &refused.to_string()).await,
        }
    }

    /// A proposal was refused. Of a model's, the built-in triager has its say on what is severe.
    async fn refused(&mut self, about: &[&Offer], said: &Said, refusal: Refusal, why: &str) {
        let from_model = !said.is_builtin();
        for offer in about {
            self.told(offer, refusal.as_str(), None, said, Redacted::new(why));
        }
        self.metrics.triage_refusals.with_label_values(&[refusal.as_str()]).inc();
        if from_model && refusal != Refusal::Duplicate {
            let severe: Vec<Offer> = about.iter().filter(|o| floor::is_severe(o)).map(|o| (*o).clone()).collect();
            let actions = builtin::judge(&severe);
            let said = Said::builtin();
            for action in &actions {
                let about: Vec<&Offer> = action.lines.iter().filter_map(|place| severe.get(*place)).collect();
                Box::pin(self.act(action, &about, &said)).await;
            }
        }
        for offer in about.iter().filter(|offer| self.waits(offer.kind)).collect::<Vec<_>>() {
            // No room for a watch is no reason to tell nobody.
            if refusal == Refusal::Full && floor::is_severe(offer) {
                let action = Action {
                    what: What::Investigate,
                    lines: vec![0],
                    label: None,
                    condition: None,
                    threshold: None,
                    window_seconds: None,
                    severity: None,
                    summary: None,
                };
                self.investigate(&action, &[*offer], &Said::builtin()).await;
                continue;
            }
            let what = if refusal == Refusal::Duplicate { What::Watch } else { What::Ignore };
            self.settle_offer(offer, what, None);
        }
    }

    async fn investigate(&mut self, action: &Action, about: &[&Offer], said: &Said) {
        let now_ms = self.now_ms();
        // One message a service: lines of different services are different escalations.
        let mut by_service: Vec<(&str, &str, Vec<&Offer>)> = Vec::new();
        for offer in about {
            match by_service.iter_mut().find(|(c, s, _)| *c == offer.cluster && *s == offer.service) {
                Some((_, _, offers)) => offers.push(offer),
                None => by_service.push((&offer.cluster, &offer.service, vec![offer])),
            }
        }
        for (_, _, offers) in by_service {
            let Some((crossing, lines)) = self.crossing(action, &offers) else { continue };
            let label = crossing.label.clone();
            let outcome = match self.ledger.raise(crossing, lines).await {
                Some((_, Outcome::Covered)) => "covered",
                Some((_, Outcome::Held)) => "held_back",
                Some(_) => "investigate",
                None => {
                    self.pause();
                    for offer in &offers {
                        self.kinds.give_back(offer.kind, now_ms);
                    }
                    continue;
                }
            };
            for offer in offers {
                self.settle_offer(offer, What::Investigate, Some(label.clone()));
                self.told(offer, outcome, Some(label.clone()), said, reason(action));
            }
        }
    }

    /// What a person reads of kinds that are to be looked into.
    fn crossing(&self, action: &Action, offers: &[&Offer]) -> Option<(Crossing, StagedGroup)> {
        let first = offers.first()?;
        let kinds: Vec<_> = offers.iter().filter_map(|offer| self.kinds.get(offer.kind)).collect();
        let label = action.label.as_deref().and_then(shown_label).or_else(|| shown_label(&first.template));
        let label = self.own_label(label.unwrap_or_else(|| "new_kind".into()));
        let count = kinds.iter().map(|kind| kind.count).sum::<u64>();
        let first_ms = kinds.iter().map(|kind| kind.first_s).min()? * 1000;
        let last_ms = kinds.iter().map(|kind| kind.last_s).max()? * 1000;
        let summary = action.summary.clone().unwrap_or_else(|| match first.why {
            Why::New => "a kind of line that was never seen before".to_owned(),
            Why::Rate => "comes far more often than it used to".to_owned(),
            Why::Level => "is more severe than it used to be".to_owned(),
            Why::Deploy | Why::Again => "looks worth a look".to_owned(),
        });
        let group_by: Vec<String> = ["cluster", "service"].map(String::from).into();
        let mut group = Vec::new();
        kinds.first()?.sample.read(Some(&self.settings.naming), |record| group_key(record, &group_by, &mut group));
        let lines = StagedGroup {
            watch: crate::watch::WatchKey(0),
            group: group.into(),
            lane: Lane::Live,
            counts: Vec::new(),
            first_ms,
            last_ms,
            cluster: first.cluster.clone(),
            service: first.service.clone(),
            samples: kinds.iter().take(3).map(|kind| kind.sample.clone()).collect(),
        };
        let crossing = Crossing {
            label,
            severity: action.severity.unwrap_or(Severity::Warning),
            summary,
            cluster: first.cluster.clone(),
            service: first.service.clone(),
            group: vec![("cluster".into(), first.cluster.clone()), ("service".into(), first.service.clone())],
            threshold: 1,
            window_seconds: u64::try_from((last_ms - first_ms) / 1000).unwrap_or(0).max(1),
            late: false,
            count,
            first_ms,
            last_ms,
            samples: offers.iter().take(3).map(|offer| offer.shown.clone()).collect(),
            proposed: true,
        };
        Some((crossing, lines))
    }

    /// No person's watch is called so.
    fn own_label(&self, wanted: String) -> String {
        let set = self.ledger.watches();
        match set.by_label(&wanted) {
            Some(held) if !held.origin.is_proposed() => {
                format!("new_{}", wanted.get(..wanted.len().min(44)).unwrap_or(&wanted))
            }
            _ => wanted,
        }
    }

    pub(super) fn told(
        &self,
        offer: &Offer,
        outcome: &'static str,
        label: Option<String>,
        said: &Said,
        reason: Redacted,
    ) {
        self.metrics.triage_verdicts.with_label_values(&[outcome]).inc();
        self.view.decided(Decision {
            at_ms: self.now_ms(),
            service: Redacted::new(&offer.service).one_line().cut(200),
            template: Redacted::new(&offer.template).one_line().cut(400),
            why: offer.why,
            outcome,
            label,
            by: said.model.clone(),
            reason,
        });
    }
}
