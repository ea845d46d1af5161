//! One question and its answer: asked, read, asked once more where it could not be read.
//!
//! Runs in a task of its own. Whatever happens, there is an [`Asked`] in the end that holds what was asked about.

use std::sync::Arc;

use super::model::{Choice, Failed, Provider, Reply, Why};
use super::prompt::{ANSWER_TOKENS, Limits, Own, Prompt};
use super::verdict::{self, Change};
use super::{Action, Offer, builtin, floor};
use crate::metrics::Metrics;
use crate::redact::Redacted;

/// Of a reply, what is kept to be shown.
const REPLY_SHOWN: usize = 2_000;
/// Kinds that are asked about whatever the last question was too long for: an answer has room for watches of as many.
pub(super) const AT_ONCE_LEAST: usize = 5;
/// Of an answer, what a watch takes with all its words, and a line that is only named: a good answer has a watch for
/// nearly every severe kind, and one list for most of the others. Tokens.
const WATCH_TOKENS: usize = 50;
const NAMED_TOKENS: usize = 4;
/// Name of the triager that is no model.
pub const BUILTIN: &str = "builtin";

/// Who said something, for provenance.
#[derive(Clone, Debug, Default)]
pub struct Said {
    /// The model, or [`BUILTIN`].
    pub model: String,
    /// Digest of the prompt.
    pub prompt: String,
    pub reply: Redacted,
}

/// What came of a question about kinds of lines.
#[derive(Debug)]
pub struct Asked {
    pub offers: Vec<Offer>,
    /// How many of them were asked about: always the first.
    pub fitted: usize,
    pub said: Said,
    pub answer: Result<Vec<Action>, NoAnswer>,
}

/// Why nobody has judged.
#[derive(Debug)]
pub struct NoAnswer {
    pub words: String,
    /// It was asked and did not answer usefully: that counts as a try.
    pub tried: bool,
    /// Asked about fewer kinds it may well answer: the prompt was too long for it, or the answer.
    pub too_much: bool,
}

/// What came of a question about the model's own watches.
#[derive(Debug)]
pub struct Tuned {
    pub said: Said,
    pub changes: Vec<Change>,
}

/// How many kinds are asked about at a time: half as many after a question that was too much, and one more after each
/// that was not, so that few questions fail for finding out how many it can be.
#[derive(Clone, Copy, Debug)]
pub struct AtOnce {
    most: usize,
    now: usize,
}

#[derive(Clone)]
pub struct Asker {
    pub provider: Arc<Provider>,
    pub limits: Limits,
    pub metrics: Metrics,
}

impl AtOnce {
    pub fn new(most: usize) -> AtOnce {
        AtOnce { most, now: most }
    }

    pub fn get(self) -> usize {
        self.now
    }

    pub fn learn(&mut self, asked: &Asked) {
        self.now = match &asked.answer {
            Ok(_) => self.now + 1,
            Err(no) if no.too_much => (asked.fitted / 2).max(AT_ONCE_LEAST),
            Err(_) => self.now,
        };
        self.now = self.now.min(self.most);
    }
}

impl Said {
    pub fn builtin() -> Said {
        Said { model: BUILTIN.to_owned(), ..Said::default() }
    }

    pub fn is_builtin(&self) -> bool {
        self.model == BUILTIN
    }
}

impl Asker {
    /// Has offers judged by whoever there is.
    pub async fn judge(&self, offers: Vec<Offer>) -> Asked {
        if self.provider.choose().await == Choice::Builtin {
            let (answer, fitted) = (Ok(builtin::judge(&offers)), offers.len());
            return Asked { offers, fitted, said: Said::builtin(), answer };
        }
        let prompt = Prompt::of(answerable(&offers), self.limits);
        self.ask_about(prompt, offers).await
    }

    /// Asks for watches from a sample of kinds. Without a model nothing comes of it.
    pub async fn seed(&self, offers: Vec<Offer>) -> Asked {
        if self.provider.choose().await == Choice::Builtin {
            let answer = Err(NoAnswer { words: "there is no model".to_owned(), tried: false, too_much: false });
            return Asked { offers, fitted: 0, said: Said::builtin(), answer };
        }
        let prompt = Prompt::seeding(&offers, self.limits);
        self.ask_about(prompt, offers).await
    }

    async fn ask_about(&self, prompt: Prompt, offers: Vec<Offer>) -> Asked {
        let fitted = prompt.lines().min(offers.len());
        let (said, answer) = self.exchange(&prompt, |text| verdict::read(text, fitted)).await;
        Asked { offers, fitted, said, answer: answer.map(|verdict| verdict.actions) }
    }

    /// Asks for other numbers for the model's own watches.
    pub async fn tune(&self, watches: Vec<Own>) -> Tuned {
        if self.provider.choose().await == Choice::Builtin {
            return Tuned { said: Said::builtin(), changes: Vec::new() };
        }
        let prompt = Prompt::tuning(&watches, self.limits);
        let shown = watches.iter().take(prompt.lines());
        let labels: Vec<&str> = shown.map(|own| own.label.as_str()).collect();
        let (said, answer) = self.exchange(&prompt, |text| verdict::read_changes(text, &labels)).await;
        Tuned { said, changes: answer.map(|changes| changes.changes).unwrap_or_default() }
    }

    async fn exchange<T>(
        &self,
        prompt: &Prompt,
        read: impl Fn(&str) -> Result<T, verdict::Unreadable>,
    ) -> (Said, Result<T, NoAnswer>) {
        let state = self.provider.state();
        let mut said = Said {
            model: state.model.unwrap_or_else(|| state.provider.to_owned()),
            prompt: prompt.digest().to_owned(),
            reply: Redacted::default(),
        };
        let first = match self.counted(self.provider.ask(prompt).await) {
            Ok(reply) => reply,
            Err(failed) => return (said, Err(no_answer(&failed))),
        };
        said.reply = Redacted::new(&first.text).cut(REPLY_SHOWN);
        let wrong = match read(&first.text) {
            Ok(found) => return (said, Ok(found)),
            Err(wrong) => wrong,
        };
        self.metrics.triage_calls.with_label_values(&["unreadable"]).inc();
        let second = match self.counted(self.provider.repair(prompt, &first.text, &wrong.to_string()).await) {
            Ok(reply) => reply,
            Err(failed) => return (said, Err(no_answer(&failed))),
        };
        said.reply = Redacted::new(&second.text).cut(REPLY_SHOWN);
        let found = read(&second.text).map_err(|wrong| {
            self.metrics.triage_calls.with_label_values(&["unreadable"]).inc();
            NoAnswer { words: wrong.to_string(), tried: true, too_much: false }
        });
        (said, found)
    }

    fn counted(&self, reply: Result<Reply, Failed>) -> Result<Reply, Failed> {
        match &reply {
            Ok(reply) => {
                self.metrics.triage_calls.with_label_values(&["answered"]).inc();
                self.metrics.model_seconds.observe(reply.seconds);
                for (direction, tokens) in [("sent", reply.prompt_tokens), ("received", reply.answer_tokens)] {
                    self.metrics.model_tokens.with_label_values(&[direction]).inc_by(tokens);
                }
            }
            Err(failed) => {
                self.metrics.triage_calls.with_label_values(&[failed.as_str()]).inc();
                if failed.why == Why::BreakerOpen {
                    tracing::debug!(error = failed.words, "the model was not asked");
                } else {
                    tracing::warn!(why = failed.as_str(), error = failed.words, "the model gave no answer");
                }
            }
        }
        reply
    }
}

/// The first of them, as many as an answer has room for.
fn answerable(offers: &[Offer]) -> &[Offer] {
    let mut spent = 0;
    let fits = offers.iter().take_while(|offer| {
        spent += if floor::is_severe(offer) { WATCH_TOKENS } else { NAMED_TOKENS };
        spent <= ANSWER_TOKENS
    });
    offers.get(..fits.count()).unwrap_or(offers)
}

fn no_answer(failed: &Failed) -> NoAnswer {
    NoAnswer {
        words: failed.words.clone(),
        tried: !matches!(failed.why, Why::BreakerOpen | Why::Unreachable | Why::Busy),
        too_much: matches!(failed.why, Why::TooLong | Why::CutShort),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::level::Level;
    use crate::triage::{Shape, Why as Offered};

    fn offer(level: Level) -> Offer {
        Offer {
            kind: 1,
            why: Offered::New,
            shape: Shape::Message,
            cluster: String::new(),
            service: "orders".into(),
            level,
            template: "out of step".into(),
            message: String::new(),
            shown: Redacted::default(),
            status: None,
            method: None,
            path: None,
            exception: None,
            fields: Vec::new(),
            count: 1,
            over_seconds: 1,
        }
    }

    #[test]
    fn a_question_is_about_as_many_kinds_as_an_answer_has_room_for() {
        for (severe, others, asked) in [(0, 50, 50), (50, 0, 10), (5, 45, 50), (8, 42, 36), (0, 0, 0)] {
            let mut offers = vec![offer(Level::Error); severe];
            offers.resize(severe + others, offer(Level::Warn));
            assert_eq!(answerable(&offers).len(), asked, "{severe} severe, {others} others");
        }
    }

    #[test]
    fn what_was_too_much_is_halved_and_what_was_not_makes_it_one_more_and_other_failures_change_nothing() {
        let asked = |fitted, answer| Asked { offers: Vec::new(), fitted, said: Said::default(), answer };
        let failed = |too_much| Err(NoAnswer { words: String::new(), tried: true, too_much });
        let mut at_once = AtOnce::new(50);
        for (fitted, answer, then) in [
            (24, failed(true), 12),
            (12, failed(false), 12),
            (12, failed(true), 6),
            (6, failed(true), 5),
            (5, failed(true), 5),
            (5, Ok(Vec::new()), 6),
            (6, Ok(Vec::new()), 7),
            (3, Ok(Vec::new()), 8),
        ] {
            at_once.learn(&asked(fitted, answer));
            assert_eq!(at_once.get(), then);
        }
        let mut few = AtOnce::new(3);
        few.learn(&asked(3, failed(true)));
        assert_eq!(few.get(), 3, "never more than are wanted at a time");
    }
}
