//! Sending to Slack: by bot token (threads) or by incoming webhook (without).
//!
//! Slack answers 200 to most failures of a bot, so the body decides. The rule
//! for every answer: what is wrong with this one message ends the notice
//! (`Dead`), for no later attempt can succeed; everything else, however lasting
//! it looks, is tried again with a reason that tells a person what to do, for a
//! revoked token or a missing invitation is mended while notices wait.
//!
//! An answer is read up to 64 KiB and within a deadline, redirects are not
//! followed, a second passes between two messages, and no reason given here
//! contains the webhook's address, the token or anything of the message.

pub mod rehearsal;

use std::time::Duration;

use reqwest::{
    Client, ClientBuilder, RequestBuilder, Response, StatusCode,
    header::{DATE, HeaderValue, RETRY_AFTER},
    redirect,
};
use serde::{Deserialize, Serialize};
use tokio::time::{self, Instant};

use super::deliver::Sent;
use crate::secret::Secret;

pub const DEFAULT_API_URL: &str = "https://slack.com/api";

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const TIMEOUT: Duration = Duration::from_secs(15);
/// Slack allows one message a second to a channel.
const GAP: Duration = Duration::from_secs(1);
/// What is waited when Slack says "too many" without a readable time.
const UNREADABLE_RETRY_AFTER: Duration = Duration::from_secs(1);
const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// How a reason begins that only a person can mend.
const REFUSED: &str = "Slack refuses";
/// Errors that are about this message, whoever sends it and whenever.
const MESSAGE_FAULTS: [&str; 15] = [
    "invalid_arg_name",
    "invalid_arguments",
    "invalid_array_arg",
    "invalid_blocks",
    "invalid_blocks_format",
    "invalid_charset",
    "invalid_form_data",
    "invalid_json",
    "invalid_payload",
    "invalid_post_type",
    "json_not_object",
    "msg_blocks_too_long",
    "msg_too_long",
    "no_text",
    "too_many_attachments",
];

/// Errors that are about the thread: the message itself can still be told.
const THREAD_FAULTS: [&str; 3] = ["cannot_reply_to_message", "invalid_thread_ts", "thread_not_found"];

/// What the configuration says about Slack. Has no `Debug`: it holds secrets.
#[derive(Clone)]
pub enum SlackTarget {
    Webhook {
        url: Secret,
    },
    Bot {
        token: Secret,
        channel: String,
        /// [`DEFAULT_API_URL`] unless configured; plain HTTP is for loopback
        /// only, which the configuration checks.
        api_url: String,
    },
}

/// One Slack channel, by incoming webhook.
pub struct SlackWebhook {
    url: Secret,
    post: Post,
}

/// One Slack channel, by bot token.
pub struct SlackBot {
    token: Secret,
    channel: String,
    /// Its number, which Slack answers with: an update is asked for by that alone.
    channel_id: Option<String>,
    api_url: String,
    post: Post,
}

/// Posting at Slack's pace and within a deadline.
struct Post {
    client: Client,
    timeout: Duration,
    gap: Duration,
    last: Option<Instant>,
}

/// What came back, as far as it matters.
struct Answer {
    status: StatusCode,
    retry_after: Option<Duration>,
    /// `None`: the answer did not come whole.
    body: Option<Vec<u8>>,
}

#[derive(Serialize)]
struct Message<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    channel: Option<&'a str>,
    text: &'a str,
    /// Which message to change.
    #[serde(skip_serializing_if = "Option::is_none")]
    ts: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thread_ts: Option<&'a str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    reply_broadcast: bool,
    /// "none" turns bare addresses in the text into no links. Webhooks ignore it.
    #[serde(skip_serializing_if = "Option::is_none")]
    parse: Option<&'static str>,
    link_names: bool,
    unfurl_links: bool,
    unfurl_media: bool,
}

#[derive(Deserialize)]
struct BotAnswer {
    ok: bool,
    ts: Option<String>,
    channel: Option<String>,
    error: Option<String>,
    /// Of a missing scope: which, and which there are.
    needed: Option<String>,
    provided: Option<String>,
}

impl SlackTarget {
    /// What [`client`] builds on. A stand-in on this machine is not asked for through a proxy.
    pub fn builder(&self) -> ClientBuilder {
        match self {
            SlackTarget::Bot { api_url, .. } if api_url.starts_with("http://") => Client::builder().no_proxy(),
            SlackTarget::Bot { .. } | SlackTarget::Webhook { .. } => Client::builder(),
        }
    }
}

/// A client as this module needs it: redirects and the time to connect can be
/// set only on the client, not on a request.
pub fn client(builder: ClientBuilder) -> reqwest::Result<Client> {
    builder.redirect(redirect::Policy::none()).referer(false).connect_timeout(CONNECT_TIMEOUT).build()
}

impl SlackWebhook {
    pub fn new(client: Client, url: Secret) -> Self {
        Self { url, post: Post::new(client) }
    }

    /// One attempt. A webhook knows no threads.
    pub async fn send(&mut self, text: &str) -> Sent {
        let request = self.post.client.post(self.url.expose());
        match self.post.post(request, &Message::new(text)).await {
            Ok(answer) => webhook_outcome(&answer),
            Err(sent) => sent,
        }
    }
}

impl SlackBot {
    pub fn new(client: Client, token: Secret, channel: String, api_url: &str) -> Self {
        Self {
            token,
            channel,
            channel_id: None,
            api_url: api_url.trim_end_matches('/').to_owned(),
            post: Post::new(client),
        }
    }

    /// One attempt, under the thread if there is one.
    ///
    /// A thread that Slack no longer takes (its first message was deleted) costs
    /// the message its place, not its delivery: it is posted on its own. `broadcast`: a reply that the channel shows, too.
    pub async fn send(&mut self, text: &str, thread: Option<&str>, broadcast: bool) -> Sent {
        let mut answer = self.attempt(text, thread, broadcast).await;
        let mut thread = thread;
        if thread.is_some() && matches!(&answer, Ok(answer) if answer.blames_the_thread()) {
            thread = None;
            answer = self.attempt(text, None, false).await;
        }
        if let Ok(answer) = &answer
            && let Some(id) = answer.bot().and_then(|answer| answer.channel)
        {
            self.channel_id = Some(id);
        }
        match answer {
            Ok(answer) => bot_outcome(&answer, thread),
            Err(sent) => sent,
        }
    }

    /// One attempt to change the message `ts` of this channel.
    pub async fn update(&mut self, text: &str, ts: &str) -> Sent {
        let channel = self.channel_id.as_deref().unwrap_or(&self.channel);
        let message = Message { channel: Some(channel), ts: Some(ts), parse: Some("none"), ..Message::new(text) };
        let request = self.post.client.post(format!("{}/chat.update", self.api_url));
        match self.post.post(request.bearer_auth(self.token.expose()), &message).await {
            Ok(answer) => bot_outcome(&answer, None),
            Err(sent) => sent,
        }
    }

    async fn attempt(&mut self, text: &str, thread: Option<&str>, broadcast: bool) -> Result<Answer, Sent> {
        let message = Message {
            channel: Some(&self.channel),
            thread_ts: thread,
            reply_broadcast: broadcast && thread.is_some(),
            parse: Some("none"),
            ..Message::new(text)
        };
        let request =
            self.post.client.post(format!("{}/chat.postMessage", self.api_url)).bearer_auth(self.token.expose());
        self.post.post(request, &message).await
    }
}

impl<'a> Message<'a> {
    fn new(text: &'a str) -> Self {
        Self {
            channel: None,
            text,
            ts: None,
            thread_ts: None,
            reply_broadcast: false,
            parse: None,
            link_names: false,
            unfurl_links: false,
            unfurl_media: false,
        }
    }
}

impl Post {
    fn new(client: Client) -> Self {
        Self { client, timeout: TIMEOUT, gap: GAP, last: None }
    }

    async fn post(&mut self, request: RequestBuilder, message: &Message<'_>) -> Result<Answer, Sent> {
        if let Some(last) = self.last {
            time::sleep_until(last + self.gap).await;
        }
        // The deadline spans the answer's body, too.
        let response = request.timeout(self.timeout).json(message).send().await;
        self.last = Some(Instant::now());
        match response {
            Ok(response) => Ok(Answer::read(response).await),
            Err(fault) => Err(no_answer(&fault)),
        }
    }
}

impl Answer {
    async fn read(mut response: Response) -> Self {
        let status = response.status();
        let retry_after = response
            .headers()
            .get(RETRY_AFTER)
            .and_then(|value| asked(value.to_str().ok()?, response.headers().get(DATE)));
        let mut body = Vec::new();
        let whole = loop {
            match response.chunk().await {
                Ok(Some(chunk)) if body.len() + chunk.len() <= MAX_ANSWER_BYTES => {
                    body.extend_from_slice(&chunk);
                }
                Ok(None) => break true,
                Ok(Some(_)) | Err(_) => break false,
            }
        };
        Self { status, retry_after, body: whole.then_some(body) }
    }

    fn bot(&self) -> Option<BotAnswer> {
        serde_json::from_slice(self.body.as_ref()?).ok()
    }

    /// The short text a webhook answers with.
    fn word(&self) -> &str {
        let body = self.body.as_deref().unwrap_or_default();
        str::from_utf8(body).unwrap_or_default().trim()
    }

    fn blames_the_thread(&self) -> bool {
        let error = self.bot().and_then(|answer| answer.error);
        error.is_some_and(|error| THREAD_FAULTS.contains(&error.as_str()))
    }

    /// What the status alone decides, for bots and webhooks alike.
    fn by_status(&self) -> Option<Sent> {
        let status = self.status.as_u16();
        match status {
            429 => Some(Sent::Retry {
                after: Some(self.retry_after.unwrap_or(UNREADABLE_RETRY_AFTER)),
                reason: "Slack asks for a pause (429)".to_owned(),
                in_doubt: false,
            }),
            // It may have posted the message before it stumbled.
            500.. => Some(Sent::Retry {
                after: self.retry_after,
                reason: format!("a fault at Slack (status {status})"),
                in_doubt: true,
            }),
            300..400 => Some(retry(format!(
                "the address redirects (status {status}), which is not followed: \
                 check slack.webhook_url or slack.api_url"
            ))),
            _ => None,
        }
    }
}

/// What `Retry-After` asks for: seconds, or a date, which is set against the answer's own `Date`, since our clock may be
/// another one.
fn asked(value: &str, date: Option<&HeaderValue>) -> Option<Duration> {
    if let Ok(seconds) = value.trim().parse::<f64>() {
        // Neither "-5" nor "NaN" is a time.
        return Duration::try_from_secs_f64(seconds.ceil()).ok();
    }
    let then = httpdate::parse_http_date(value.trim()).ok()?;
    let now = httpdate::parse_http_date(date?.to_str().ok()?).ok()?;
    Some(then.duration_since(now).unwrap_or_default())
}

fn bot_outcome(answer: &Answer, thread: Option<&str>) -> Sent {
    if let Some(sent) = answer.by_status() {
        return sent;
    }
    match answer.bot() {
        // Later messages hang under the first one, not under a reply to it.
        Some(BotAnswer { ok: true, ts, .. }) => Sent::Done { thread: thread.map(str::to_owned).or(ts) },
        Some(BotAnswer { error: Some(error), needed: Some(needed), provided, .. }) if error == "missing_scope" => {
            retry(missing_scope(&needed, provided.as_deref().unwrap_or_default()))
        }
        Some(BotAnswer { error, .. }) => bot_fault(error.as_deref().unwrap_or_default(), answer.retry_after),
        None if answer.status.is_success() => {
            in_doubt("the answer did not come whole, or was not Slack's: check slack.api_url".to_owned())
        }
        None => retry(format!("status {}, and not in Slack's form: check slack.api_url", answer.status.as_u16())),
    }
}

fn missing_scope(needed: &str, provided: &str) -> String {
    // Short words of Slack's, as an error is.
    let sound = |c: char| c.is_ascii_lowercase() || matches!(c, ':' | ',' | '.' | '_' | '-');
    let word = |text: &str| (text.len() <= 200 && text.chars().all(sound)).then(|| text.replace(',', ", "));
    let needed = word(needed).filter(|needed| !needed.is_empty()).unwrap_or_else(|| "chat:write".to_owned());
    let has = word(provided).filter(|provided| !provided.is_empty()).map(|has| format!(" (it has {has})"));
    let has = has.unwrap_or_default();
    format!("{REFUSED} (missing_scope): give the app the scope {needed}{has}, install it again, put in its new token")
}

fn bot_fault(error: &str, retry_after: Option<Duration>) -> Sent {
    let error = code(error);
    if MESSAGE_FAULTS.contains(&error) {
        return Sent::Dead { reason: format!("Slack does not take this message: {error}") };
    }
    let next = match error {
        "ratelimited" | "rate_limited" => {
            return Sent::Retry {
                after: Some(retry_after.unwrap_or(UNREADABLE_RETRY_AFTER)),
                reason: "Slack asks for a pause (ratelimited)".to_owned(),
                in_doubt: false,
            };
        }
        // Slack's own words: some of it may have happened before the error was raised.
        "internal_error" | "fatal_error" | "service_unavailable" | "request_timeout" => {
            return in_doubt(format!("a fault at Slack ({error})"));
        }
        "invalid_auth" | "not_authed" | "account_inactive" | "token_revoked" | "token_expired" => {
            "Slack does not accept slack.bot_token: put in a valid one"
        }
        "not_allowed_token_type" => "slack.bot_token must be a bot's, it begins with xoxb-",
        "missing_scope" | "no_permission" => {
            "give the app the scope chat:write, install it again, put in its new token"
        }
        "channel_not_found" => "check slack.channel; if the channel is private, invite the bot to it",
        "not_in_channel" => "invite the bot to the channel (there: /invite @its-name), or give it chat:write.public",
        "is_archived" => "the channel is archived: bring it back or change slack.channel",
        "message_not_found" | "cant_update_message" | "edit_window_closed" => {
            "the workspace lets nobody change messages: ask its administrator"
        }
        "restricted_action" | "restricted_action_read_only_channel" => {
            "the workspace does not let the bot post there: ask its administrator"
        }
        _ => "see the errors of chat.postMessage in Slack's documentation",
    };
    retry(format!("{REFUSED} ({error}): {next}"))
}

fn webhook_outcome(answer: &Answer) -> Sent {
    if let Some(sent) = answer.by_status() {
        return sent;
    }
    if answer.status.is_success() {
        return if answer.word().eq_ignore_ascii_case("ok") {
            Sent::Done { thread: None }
        } else {
            in_doubt(
                "the answer did not come whole, or was not Slack's \"ok\": \
                 check slack.webhook_url"
                    .to_owned(),
            )
        };
    }
    let (status, word) = (answer.status.as_u16(), code(answer.word()));
    if status == 400 && MESSAGE_FAULTS.contains(&word) {
        return Sent::Dead { reason: format!("Slack does not take this message: {word}") };
    }
    let next = match status {
        403 => "the workspace does not let this webhook post: ask its administrator",
        404 => "the webhook or its channel is gone: make a new slack.webhook_url",
        410 => "the channel is archived: bring it back or make a new slack.webhook_url",
        _ => "check slack.webhook_url",
    };
    retry(format!("{REFUSED} (status {status}, {word}): {next}"))
}

/// No answer at all. The error's own text would hold the address, which for a
/// webhook is the secret; its innermost source speaks of the network only.
fn no_answer(fault: &reqwest::Error) -> Sent {
    if fault.is_builder() {
        return retry(
            "slack.webhook_url, slack.api_url or slack.bot_token cannot be used as it stands: \
             look for a blank or a line break in it"
                .to_owned(),
        );
    }
    let mut cause: &dyn std::error::Error = fault;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    let cause = if fault.is_timeout() {
        "timed out".to_owned()
    } else if std::ptr::addr_eq(cause, fault) {
        "the connection failed".to_owned()
    } else {
        cause.to_string()
    };
    if fault.is_connect() { retry(format!("cannot connect: {cause}")) } else { in_doubt(format!("no answer: {cause}")) }
}

/// Slack's error codes are short words; whatever else a server sends stays out
/// of reasons and logs.
fn code(word: &str) -> &str {
    let known = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if (1..=64).contains(&word.len()) && word.chars().all(known) { word } else { "without a readable error" }
}

fn retry(reason: String) -> Sent {
    Sent::Retry { after: None, reason, in_doubt: false }
}

fn in_doubt(reason: String) -> Sent {
    Sent::Retry { after: None, reason, in_doubt: true }
}

#[cfg(test)]
mod tests;
