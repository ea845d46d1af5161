//! The keys that requests are signed with: given once, or asked for where a container's role has them.
//!
//! The latter expire. They are asked for again five minutes before, and until they do expire the old ones serve.

use std::path::PathBuf;
use std::time::Duration;

use reqwest::Client;
use serde::Deserialize;

use super::bucket::{connect, no_answer, read_body};
use super::place::Failed;
use super::sign::Keys;
use crate::config::aws;
use crate::secret::Secret;

/// Renewed so long before they expire: a clock may be wrong by as much.
const BEFORE_MS: i64 = 300_000;
/// Of keys that say nothing of their end.
const UNSAID_MS: i64 = 1_200_000;
const PATIENCE: Duration = Duration::from_secs(3);
const ANSWER_MAX_BYTES: usize = 64 * 1024;

/// Where keys come from. No `Debug`: it may hold them.
#[derive(Clone)]
pub enum Source {
    Given(Keys),
    /// The endpoint of a container's role, as ECS and EKS name it.
    Container {
        url: String,
        token: Option<Token>,
    },
}

/// What proves to that endpoint who asks.
#[derive(Clone)]
pub enum Token {
    Text(Secret),
    /// Read each time: it is rotated.
    File(PathBuf),
}

pub(super) struct Credentials {
    source: Source,
    client: Client,
    /// With the time (unix milliseconds) at which they expire.
    held: Option<(Keys, i64)>,
    clock: fn() -> i64,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    access_key_id: String,
    secret_access_key: String,
    token: Option<String>,
    expiration: Option<String>,
}

impl Credentials {
    pub(super) fn new(source: Source, clock: fn() -> i64) -> reqwest::Result<Credentials> {
        // It is on this machine, or one hop away: never asked through a proxy.
        let client = connect(Client::builder().no_proxy()).build()?;
        Ok(Credentials { source, client, held: None, clock })
    }

    pub(super) async fn keys(&mut self) -> Result<Keys, Failed> {
        let (url, token) = match &self.source {
            Source::Given(keys) => return Ok(keys.clone()),
            Source::Container { url, token } => (url.clone(), token.clone()),
        };
        let now_ms = (self.clock)();
        if let Some((keys, _)) = self.held.as_ref().filter(|(_, until_ms)| now_ms < until_ms - BEFORE_MS) {
            return Ok(keys.clone());
        }
        match self.fetch(&url, token).await {
            Ok((keys, until_ms)) => {
                self.held = Some((keys.clone(), until_ms));
                Ok(keys)
            }
            Err(failed) => match self.held.as_ref().filter(|(_, until_ms)| now_ms < *until_ms) {
                Some((keys, _)) => Ok(keys.clone()),
                None => Err(Failed {
                    words: format!("no credentials from the container's role: {}", failed.words),
                    ..failed
                }),
            },
        }
    }

    /// They were refused: others are asked for.
    pub(super) fn forget(&mut self) {
        self.held = None;
    }

    async fn fetch(&self, url: &str, token: Option<Token>) -> Result<(Keys, i64), Failed> {
        let mut request = self.client.get(url).timeout(PATIENCE);
        let token = match token {
            None => None,
            Some(Token::Text(token)) => Some(token),
            Some(Token::File(path)) => Some(aws::token(&path).map_err(Failed::for_now)?),
        };
        if let Some(token) = token {
            request = request.header("authorization", token.expose());
        }
        let mut response = request.send().await.map_err(|fault| no_answer(&fault))?;
        let status = response.status().as_u16();
        let body = read_body(&mut response, ANSWER_MAX_BYTES).await?;
        if status != 200 {
            return Err(Failed::for_now(format!("status {status}")));
        }
        // What cannot be read may hold keys: nothing of it is repeated.
        let answer: Answer =
            serde_json::from_slice(&body).map_err(|_| Failed::for_now("an answer that cannot be read"))?;
        let until = answer.expiration.as_deref().and_then(|text| text.parse::<jiff::Timestamp>().ok());
        let until_ms = until.map_or((self.clock)() + UNSAID_MS, jiff::Timestamp::as_millisecond);
        let keys = Keys {
            id: Secret::new(answer.access_key_id),
            secret: Secret::new(answer.secret_access_key),
            session: answer.token.filter(|token| !token.is_empty()).map(Secret::new),
        };
        Ok((keys, until_ms))
    }
}
