//! The last stage: a notice about an escalation becomes something a person reads.
//!
//! A [`Notice`] comes out of the outbox, is rendered for one
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
pub mod notice;
pub mod slack;
pub mod text;

use alerts::Alerts;
use deliver::{Destination, Sent};
use notice::Notice;
use slack::{SlackBot, SlackTarget, SlackWebhook};
use text::Stdout;

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

    /// One attempt to deliver one notice.
    ///
    /// `thread` is what an earlier [`Sent::Done`] of the same escalation gave
    /// back; channels without threads ignore it.
    pub async fn send(&mut self, notice: &Notice, thread: Option<&str>) -> Sent {
        match self {
            Self::Stdout(stdout) => stdout.send(notice).await,
            Self::Alerts(alerts) => alerts.send(notice).await,
            Self::SlackWebhook(webhook) => webhook.send(notice).await,
            Self::SlackBot(bot) => bot.send(notice, thread).await,
        }
    }
}

impl Destination for Channel {
    fn name(&self) -> &'static str {
        Self::name(self)
    }

    fn send(&mut self, notice: &Notice, thread: Option<&str>) -> impl Future<Output = Sent> + Send {
        Self::send(self, notice, thread)
    }
}
