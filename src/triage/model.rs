//! Asking a model: which one, whether it is there, and what it said.
//!
//! There are two ways to speak to a model: Ollama's own ([`ollama`]), which alone can set the context and wait
//! for a model to load, and the one that everybody else understands ([`openai`]). A [`Provider`] is one of
//! them, a choice between Ollama and none, or none. It promises:
//! - one call at a time; every call ends within its [`Patience`]; nothing is repeated that was not asked again,
//!   but for a form of the question that the server does not know;
//! - a call can be dropped at any time, and the next one finds everything in order;
//! - a server that fails is left alone for a while ([`breaker`]), and is told of in words that name what to do;
//! - what a server says goes no further than [`Reply::text`]; neither an address with its password nor a key
//!   is in any [`Failed`] or [`State`].
//!
//! No prompt can be made of anything that is not redacted: see [`Prompt`].

mod auto;
pub(crate) mod breaker;
pub(crate) mod http;
pub mod licence;
pub(crate) mod limits;
mod line;
mod ollama;
mod openai;

use std::time::Duration;

use reqwest::{Client, ClientBuilder};

use super::prompt::Prompt;
use crate::secret::Secret;
use auto::Auto;
use ollama::Ollama;
use openai::OpenAi;

pub use http::client;
pub use licence::licence_note;

/// Where Ollama listens unless told otherwise.
pub const OLLAMA_URL: &str = "http://127.0.0.1:11434";
/// The model that is asked for unless told otherwise.
pub const DEFAULT_MODEL: &str = "qwen2.5:3b";

/// Whom to ask, as configured. Has no `Debug`: it may hold a key.
#[derive(Clone)]
pub enum Target {
    /// No model: the built-in triager judges.
    None,
    /// Ollama as long as it is there and has the model, else none: [`OLLAMA_URL`] and [`DEFAULT_MODEL`] unless
    /// configured.
    Auto {
        url: String,
        model: String,
    },
    Ollama {
        url: String,
        model: String,
    },
    /// Any server that has `/v1/chat/completions`. The address is what stands before `/chat/completions`.
    OpenAi {
        url: String,
        model: String,
        key: Option<Secret>,
    },
}

/// How long things may take, and when a server is left alone.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    pub connect: Duration,
    /// A look whether the server is there.
    pub look: Duration,
    /// Loading the model. A caller that goes away earlier aborts it, and nothing was won.
    pub load: Duration,
    /// One answer: a full prompt and a full answer on two slow cores, and a load that came between.
    pub answer: Duration,
    /// After so long without a call the model may have been unloaded, and is loaded first.
    pub fresh: Duration,
    /// How often [`Target::Auto`] looks again.
    pub look_again: Duration,
    /// Failures in a row after which the server is left alone.
    pub failures: u32,
    /// For how long at first; it doubles with every failure after that, up to `longest_pause`.
    pub first_pause: Duration,
    pub longest_pause: Duration,
}

/// Whom to ask. Shared by reference.
pub enum Provider {
    None,
    Ollama(Ollama),
    OpenAi(OpenAi),
    Auto(Auto),
}

/// Who is to judge right now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    Model,
    Builtin,
}

/// An answer that came whole. Whether it can be read is another question.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    pub text: String,
    /// As the server counted; 0 if it does not say.
    pub prompt_tokens: u64,
    pub answer_tokens: u64,
    pub seconds: f64,
    /// Whether the model had to be loaded for it.
    pub cold: bool,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Failed {
    pub why: Why,
    /// For a person: what happened, and what to do about it.
    pub words: String,
    /// How long the server asks to be left alone.
    pub pause: Option<Duration>,
}

/// The kinds of failure. A closed set: they are the values of a metric's label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Why {
    Unreachable,
    TimedOut,
    /// The server answers, and not with an answer: no such model, no such key, no such path.
    Refused,
    Busy,
    /// The prompt is longer than the context, or was cut by the server.
    TooLong,
    /// The answer did not come to its end.
    CutShort,
    /// No answer in the form of this kind of server.
    BadReply,
    RateLimited,
    /// It was not asked: it has failed too often of late.
    BreakerOpen,
}

/// How things stand, for `/health` and `/status`.
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    /// `ollama`, `openai` or `builtin`.
    pub provider: &'static str,
    pub model: Option<String>,
    /// Without user, password and query.
    pub address: Option<String>,
    pub condition: Condition,
    /// For how long it has been so.
    pub since_seconds: u64,
    /// What went wrong last, and what to do; gone after the next success.
    pub last_error: Option<String>,
    /// What a person should know although it works.
    pub advice: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// There is no model to ask.
    Absent,
    /// It has not been asked yet.
    Untried,
    Loading,
    Ready,
    Failing,
    /// Left alone for a while.
    BreakerOpen,
}

// === impl Provider ===

impl Provider {
    /// `client` makes the clients that ask. Fails on an address that is none.
    pub fn new(target: Target, patience: Patience, builder: fn() -> ClientBuilder) -> Result<Provider, String> {
        let client = |url: &str| -> Result<Client, String> {
            client(builder(), url, patience.connect).map_err(|_| "the HTTP client cannot be set up".to_owned())
        };
        Ok(match target {
            Target::None => Provider::None,
            Target::Auto { url, model } => {
                let ollama = Ollama::new(client(&url)?, &url, &model, patience)?;
                Provider::Auto(Auto::new(ollama, patience.look_again))
            }
            Target::Ollama { url, model } => Provider::Ollama(Ollama::new(client(&url)?, &url, &model, patience)?),
            Target::OpenAi { url, model, key } => {
                Provider::OpenAi(OpenAi::new(client(&url)?, &url, &model, key, patience)?)
            }
        })
    }

    /// Who is to judge now. [`Target::Auto`] looks for it first, at most once in [`Patience::look_again`].
    pub async fn choose(&self) -> Choice {
        match self {
            Provider::None => Choice::Builtin,
            Provider::Ollama(_) | Provider::OpenAi(_) => Choice::Model,
            Provider::Auto(auto) => auto.choose().await,
        }
    }

    /// Asks. A model that may not be loaded is loaded first.
    pub async fn ask(&self, prompt: &Prompt) -> Result<Reply, Failed> {
        self.exchange(prompt, None).await
    }

    /// Asks again, after a reply that could not be used: what was `said`, and what is `wrong` with it.
    pub async fn repair(&self, prompt: &Prompt, said: &str, wrong: &str) -> Result<Reply, Failed> {
        self.exchange(prompt, Some((said, wrong))).await
    }

    async fn exchange(&self, prompt: &Prompt, again: Option<(&str, &str)>) -> Result<Reply, Failed> {
        match self {
            Provider::None => Err(absent()),
            Provider::Ollama(ollama) => ollama.exchange(prompt, again).await,
            Provider::OpenAi(openai) => openai.exchange(prompt, again).await,
            Provider::Auto(auto) => auto.ollama().exchange(prompt, again).await,
        }
    }

    /// Has the model loaded, and waits for it.
    pub async fn preload(&self) -> Result<(), Failed> {
        match self {
            Provider::None => Err(absent()),
            Provider::Ollama(ollama) => ollama.preload().await,
            // Such a server has its model loaded, or does not say.
            Provider::OpenAi(_) => Ok(()),
            Provider::Auto(auto) => match auto.choose().await {
                Choice::Model => auto.ollama().preload().await,
                Choice::Builtin => Err(absent()),
            },
        }
    }

    /// Looks whether the server is there and has the model, without asking it anything.
    pub async fn probe(&self) -> Result<(), Failed> {
        match self {
            Provider::None => Err(absent()),
            Provider::Ollama(ollama) => ollama.probe().await,
            Provider::OpenAi(openai) => openai.probe().await,
            Provider::Auto(auto) => auto.look().await,
        }
    }

    pub fn state(&self) -> State {
        match self {
            Provider::None => State::absent(),
            Provider::Ollama(ollama) => ollama.state(),
            Provider::OpenAi(openai) => openai.state(),
            Provider::Auto(auto) => auto.state(),
        }
    }
}

fn absent() -> Failed {
    Failed::new(Why::Refused, "there is no model: triage is built in")
}

// === impl Patience, Failed, Why, State, Condition ===

impl Default for Patience {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            look: Duration::from_secs(5),
            load: Duration::from_secs(300),
            answer: Duration::from_secs(300),
            fresh: Duration::from_secs(60),
            look_again: Duration::from_secs(60),
            failures: 3,
            first_pause: Duration::from_secs(10),
            longest_pause: Duration::from_secs(600),
        }
    }
}

impl Failed {
    fn new(why: Why, words: impl Into<String>) -> Self {
        Self { why, words: words.into(), pause: None }
    }

    /// The value of a metric's label.
    pub fn as_str(&self) -> &'static str {
        self.why.as_str()
    }

    /// Whether it speaks against the server, and not only against this question.
    fn blames_the_server(&self) -> bool {
        !matches!(self.why, Why::TooLong | Why::CutShort | Why::BreakerOpen)
    }
}

impl std::fmt::Display for Failed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.words)
    }
}

impl Why {
    pub const ALL: [Why; 9] = [
        Why::Unreachable,
        Why::TimedOut,
        Why::Refused,
        Why::Busy,
        Why::TooLong,
        Why::CutShort,
        Why::BadReply,
        Why::RateLimited,
        Why::BreakerOpen,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Why::Unreachable => "unreachable",
            Why::TimedOut => "timed_out",
            Why::Refused => "refused",
            Why::Busy => "busy",
            Why::TooLong => "too_long",
            Why::CutShort => "cut_short",
            Why::BadReply => "bad_reply",
            Why::RateLimited => "rate_limited",
            Why::BreakerOpen => "breaker_open",
        }
    }
}

impl State {
    fn absent() -> Self {
        Self {
            provider: "builtin",
            model: None,
            address: None,
            condition: Condition::Absent,
            since_seconds: 0,
            last_error: None,
            advice: Vec::new(),
        }
    }
}

impl Condition {
    pub fn as_str(self) -> &'static str {
        match self {
            Condition::Absent => "absent",
            Condition::Untried => "untried",
            Condition::Loading => "loading",
            Condition::Ready => "ready",
            Condition::Failing => "failing",
            Condition::BreakerOpen => "breaker_open",
        }
    }
}
