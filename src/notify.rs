//! The last stage: a notice about an escalation becomes something a person reads.
//!
//! A [`Notice`](notice::Notice) comes out of the outbox, is rendered for one
//! destination, and is sent until it is known to have arrived. One task per
//! destination runs [`deliver`](deliver::deliver), so a stuck one holds nobody
//! else up, and what a destination hears, it hears in order.
//!
//! What this stage promises:
//!
//! - at least once: a notice whose fate is unknown is sent again, and says so;
//! - log text is quoted, never interpreted: it cannot mention, link or unfurl
//!   anything, nor drive a terminal;
//! - `[E42]` and the label stand verbatim in every message about E42;
//! - no message text, webhook address or token is ever logged.

pub mod alerts;
pub mod deliver;
pub mod digest;
pub mod first_day;
pub mod notice;
pub mod slack;
pub mod stdout;
pub mod text;

use alerts::Alerts;
use deliver::{Destination, Message, Sent};
use slack::{SlackBot, SlackTarget, SlackWebhook};
use stdout::Stdout;

/// Where notices go.
pub enum Channel {
    /// For a person at a terminal.
    Stdout(Stdout),
    /// For programs: a file of JSON lines.
    Alerts(Alerts),
    /// Slack, degraded: no threads, one fixed channel.
    SlackWebhook(SlackWebhook),
    /// Slack with threads.
    SlackBot(SlackBot),
}

impl Channel {
    /// The Slack channel that the configuration asks for. The client is one
    /// that [`slack::client`] has built.
    pub fn slack(client: reqwest::Client, target: SlackTarget) -> Self {
        match target {
            SlackTarget::Webhook { url } => Self::SlackWebhook(SlackWebhook::new(client, url)),
            SlackTarget::Bot { token, channel, api_url } => {
                Self::SlackBot(SlackBot::new(client, token, channel, &api_url))
            }
        }
    }

    /// The destination's name in the outbox, in metrics and in logs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Stdout(_) => "stdout",
            Self::Alerts(_) => "alerts",
            Self::SlackWebhook(_) | Self::SlackBot(_) => "slack",
        }
    }

    /// One attempt to deliver one message.
    ///
    /// `thread` is what an earlier [`Sent::Done`] of the same incident gave
    /// back; channels without threads ignore it.
    pub async fn send(&mut self, message: &Message, thread: Option<&str>) -> Sent {
        match (self, message) {
            (Self::SlackWebhook(webhook), message) => webhook.send(&message.slack()).await,
            (Self::SlackBot(bot), message) => bot.send(&message.slack(), thread, message.is_broadcast()).await,
            (Self::Stdout(stdout), Message::One(notice)) => stdout.send(&text::plain(notice, stdout.colour)).await,
            (Self::Stdout(stdout), Message::Many(digest)) => stdout.send(&digest.plain()).await,
            (Self::Alerts(alerts), Message::One(notice)) => alerts.send(notice).await,
            (Self::Alerts(alerts), Message::Many(digest)) => {
                for notice in &digest.notices {
                    let sent = alerts.send(notice).await;
                    if !matches!(sent, Sent::Done { .. }) {
                        return sent;
                    }
                }
                Sent::Done { thread: None }
            }
        }
    }

    /// Whether people read it as it comes, so that too many messages do harm there.
    pub fn is_read_live(&self) -> bool {
        matches!(self, Self::SlackWebhook(_) | Self::SlackBot(_))
    }
}

impl Destination for Channel {
    fn name(&self) -> &'static str {
        Self::name(self)
    }

    fn send(&mut self, message: &Message, thread: Option<&str>) -> impl Future<Output = Sent> + Send {
        Self::send(self, message, thread)
    }
}
