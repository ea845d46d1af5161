//! Pull requests over GitHub's REST API, of github.com or an Enterprise server.
//!
//! The token goes to the configured address and nowhere else: redirects are not followed. An answer is read up to a
//! size. What GitHub says is shown redacted and cut.

use std::time::Duration;

use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderValue, RETRY_AFTER, USER_AGENT};
use reqwest::{Client, Method, Url, redirect};
use serde_json::{Value, json};
use tokio::runtime::Handle;

use super::address::Named;
use super::{Fault, FaultKind};
use crate::secret::Secret;
use crate::triage::model::http::is_here;

const PUBLIC: &str = "https://api.github.com";
/// For one request.
const DEADLINE: Duration = Duration::from_secs(20);
const CONNECT: Duration = Duration::from_secs(10);
/// A list of a hundred pull requests is some 2 MB.
const ANSWER_MAX: usize = 8 << 20;
/// Looked at for the same diff under another number.
const RECENT: usize = 100;
/// What a request that nobody answered is tried again after.
const PAUSES: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(3)];
/// Of its own words, in characters.
const SAID_MAX: usize = 200;

pub(super) struct GitHub {
    pub(super) api: Option<Url>,
    token: Option<Secret>,
    client: Client,
    /// On this machine plain HTTP is no way for a token to get lost.
    pub(super) is_here: bool,
}

/// A pull request that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) url: String,
    pub(super) branch: String,
    pub(super) state: Stands,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stands {
    Open,
    Closed,
    Merged,
}

/// An answer of any status.
struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Value,
}

impl GitHub {
    pub(super) fn new(url: Option<&str>, token: Option<Secret>) -> Result<GitHub, reqwest::Error> {
        let api = Url::parse(url.unwrap_or(PUBLIC)).ok();
        let is_here = api.as_ref().and_then(Url::host_str).is_some_and(is_here);
        let builder = Client::builder().redirect(redirect::Policy::none()).referer(false);
        let builder = if is_here { builder.no_proxy() } else { builder };
        Ok(GitHub { api, token, client: builder.connect_timeout(CONNECT).timeout(DEADLINE).build()?, is_here })
    }

    pub(super) fn token(&self) -> Option<&Secret> {
        self.token.as_ref()
    }

    /// Pull requests of that branch, in any state; the open one first.
    pub(super) fn of_branch(&self, of: &Named, branch: &str) -> Result<Option<Found>, Fault> {
        let head = format!("{}:{branch}", of.owner);
        let query = [("head", head.as_str()), ("state", "all"), ("per_page", "30")];
        let mut found = self.list(of, &query)?;
        found.retain(|found| found.branch == branch);
        found.sort_by_key(|found| found.state != Stands::Open);
        Ok(found.into_iter().next())
    }

    /// A recent pull request of ours with the same diff, under whatever number; one that a person ended first.
    pub(super) fn of_diff(&self, of: &Named, short: &str) -> Result<Option<Found>, Fault> {
        let most = RECENT.to_string();
        let query = [("state", "all"), ("sort", "created"), ("direction", "desc"), ("per_page", most.as_str())];
        let mut found = self.list(of, &query)?;
        found.retain(|found| {
            let number = found.branch.strip_prefix("emberwatch/E").and_then(|rest| rest.split_once('-'));
            number.is_some_and(|(number, hash)| hash == short && number.bytes().all(|b| b.is_ascii_digit()))
        });
        found.sort_by_key(|found| found.state == Stands::Open);
        Ok(found.into_iter().next())
    }

    pub(super) fn default_branch(&self, of: &Named) -> Result<String, Fault> {
        let answer = self.ask(Method::GET, &self.path(of, &[])?, None)?;
        let branch = answer.body.get("default_branch").and_then(Value::as_str).filter(|branch| !branch.is_empty());
        branch
            .map(str::to_owned)
            .ok_or_else(|| Fault::new(FaultKind::Forge, "GitHub does not say which branch is the default one"))
    }

    /// Opens a draft; where drafts are not to be had, one that says so. Its address.
    pub(super) fn open(&self, of: &Named, branch: &str, base: &str, title: &str, body: &str) -> Result<String, Fault> {
        let path = self.path(of, &["pulls"])?;
        let asked = |title: &str, draft: bool| json!({"title": title, "head": branch, "base": base, "body": body, "draft": draft, "maintainer_can_modify": true});
        let answer = match self.once(Method::POST, &path, Some(&asked(title, true))) {
            Ok(answer) if answer.status == 422 && answer.said().to_lowercase().contains("draft") => {
                self.once(Method::POST, &path, Some(&asked(&format!("Draft: {title}"), false)))?
            }
            answer => answer?,
        };
        if answer.status != 201 {
            return Err(answer.fault());
        }
        Ok(answer.body.get("html_url").and_then(Value::as_str).map(web_address).unwrap_or_default())
    }

    fn list(&self, of: &Named, query: &[(&str, &str)]) -> Result<Vec<Found>, Fault> {
        let mut path = self.path(of, &["pulls"])?;
        path.query_pairs_mut().extend_pairs(query);
        let answer = self.ask(Method::GET, &path, None)?;
        let Some(items) = answer.body.as_array() else {
            return Err(Fault::new(FaultKind::Forge, "GitHub's list of pull requests is none"));
        };
        let read = |item: &Value| {
            let text = |at: &str| item.pointer(at).and_then(Value::as_str);
            // A fork may call its branch as it likes: what counts is a branch of the repository itself.
            let own = text("/head/repo/full_name")
                .is_none_or(|name| name.eq_ignore_ascii_case(&format!("{}/{}", of.owner, of.name)));
            let state = match (text("/state"), text("/merged_at")) {
                (Some("open"), _) => Stands::Open,
                (_, Some(_)) => Stands::Merged,
                _ => Stands::Closed,
            };
            let found = Found { url: web_address(text("/html_url")?), branch: text("/head/ref")?.to_owned(), state };
            own.then_some(found)
        };
        Ok(items.iter().filter_map(read).collect())
    }

    fn path(&self, of: &Named, more: &[&str]) -> Result<Url, Fault> {
        let nowhere = || Fault::new(FaultKind::Ours, "investigation.github_url is no base URL");
        let mut url = self.api.clone().ok_or_else(nowhere)?;
        {
            let mut segments = url.path_segments_mut().map_err(|()| nowhere())?;
            segments.pop_if_empty().extend(["repos", &of.owner, &of.name]).extend(more);
        }
        Ok(url)
    }

    /// Of what changes nothing, and may be asked again.
    fn ask(&self, method: Method, url: &Url, body: Option<&Value>) -> Result<Answer, Fault> {
        let mut pauses = PAUSES.iter();
        loop {
            let outcome = match self.once(method.clone(), url, body) {
                Ok(answer) if answer.status == 200 => return Ok(answer),
                Ok(answer) => answer.fault(),
                Err(fault) => fault,
            };
            let is_passing = outcome.again && outcome.kind != FaultKind::Limited;
            match pauses.next().filter(|_| is_passing) {
                Some(pause) => std::thread::sleep(*pause),
                None => return Err(outcome),
            }
        }
    }

    fn once(&self, method: Method, url: &Url, body: Option<&Value>) -> Result<Answer, Fault> {
        let Ok(runtime) = Handle::try_current() else {
            return Err(Fault::new(FaultKind::Ours, "called where there is no runtime"));
        };
        let mut request = self
            .client
            .request(method, url.clone())
            .header(ACCEPT, "application/vnd.github+json")
            .header(USER_AGENT, concat!("emberwatch/", env!("CARGO_PKG_VERSION")))
            .header("X-GitHub-Api-Version", "2022-11-28");
        if let Some(token) = &self.token {
            let Ok(mut value) = HeaderValue::from_str(&format!("Bearer {}", token.expose())) else {
                return Err(Fault::new(
                    FaultKind::Forbidden,
                    "investigation.github_token has a character that no token has",
                ));
            };
            value.set_sensitive(true);
            request = request.header(AUTHORIZATION, value);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        runtime.block_on(async {
            let mut response = request.send().await.map_err(|error| no_answer(&error))?;
            let (status, headers) = (response.status().as_u16(), response.headers().clone());
            let mut text = Vec::new();
            while let Some(chunk) = response.chunk().await.map_err(|error| no_answer(&error))? {
                if text.len() + chunk.len() > ANSWER_MAX {
                    return Err(Fault::new(FaultKind::Forge, "GitHub's answer is too long"));
                }
                text.extend_from_slice(&chunk);
            }
            Ok(Answer { status, headers, body: serde_json::from_slice(&text).unwrap_or_default() })
        })
    }
}

impl Answer {
    /// Its own words.
    fn said(&self) -> String {
        let mut words = vec![self.body.get("message").and_then(Value::as_str).unwrap_or_default()];
        let errors = self.body.get("errors").and_then(Value::as_array).into_iter().flatten().take(5);
        words.extend(errors.filter_map(|error| error.get("message").and_then(Value::as_str).or(error.as_str())));
        words.retain(|word| !word.is_empty());
        words.join("; ").chars().take(SAID_MAX).collect()
    }

    fn fault(&self) -> Fault {
        let said = match self.said() {
            said if said.is_empty() => String::new(),
            said => format!(": {said}"),
        };
        let spent = self.headers.get("x-ratelimit-remaining").is_some_and(|left| left == "0");
        let waits = self.headers.contains_key(RETRY_AFTER) || said.contains("rate limit");
        let status = self.status;
        match status {
            429 | 403 if status == 429 || spent || waits => {
                Fault::new(FaultKind::Limited, format!("GitHub wants fewer requests ({status}){said}"))
            }
            401 => Fault::new(FaultKind::Forbidden, format!("GitHub does not know the token (401){said}")),
            403 => Fault::new(
                FaultKind::Forbidden,
                format!("the token may not do that: it needs Contents and Pull requests, read and write (403){said}"),
            ),
            404 => Fault::new(FaultKind::Forbidden, format!("GitHub shows the token no such repository (404){said}")),
            300..=399 => Fault::new(FaultKind::Forge, format!("GitHub says that the repository has moved ({status})")),
            500.. => Fault { again: true, ..Fault::new(FaultKind::Forge, format!("GitHub fails ({status}){said}")) },
            _ => Fault::new(FaultKind::Forge, format!("GitHub refuses ({status}){said}")),
        }
    }
}

/// What stands in messages as a link: an address, without what would end one.
fn web_address(text: &str) -> String {
    let sound = (text.starts_with("https://") || text.starts_with("http://"))
        && text.len() <= 500
        && text.bytes().all(|b| b.is_ascii_graphic() && !b"<>|\"`()\\".contains(&b));
    if sound { text.to_owned() } else { String::new() }
}

/// Its innermost cause speaks of the network only.
fn no_answer(error: &reqwest::Error) -> Fault {
    let mut cause: &dyn std::error::Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    let why = if error.is_timeout() { "no answer in time".to_owned() } else { cause.to_string() };
    Fault::new(FaultKind::Remote, format!("GitHub cannot be reached: {why}"))
}
