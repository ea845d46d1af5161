//! A rehearsal: test messages by the code that sends real ones, so that a setting that is wrong is found before a
//! night on which it matters.
//!
//! Each step is one request. What comes back is told in the words of [`Sent`], which name the next step and hold
//! neither a token nor an address. A message says of itself that it is a test.

use super::{REFUSED, SlackBot, SlackTarget, SlackWebhook, client};
use crate::notify::deliver::Sent;

const FIRST: &str = "🧪 Test message from Emberwatch. Nothing is wrong: somebody ran `emberwatch slack test`.";
const REPLY: &str = "🧪 Test reply from Emberwatch: what follows an escalation stands in its thread, as this does.";
const UPDATED: &str = "✅ Test message from Emberwatch. Nothing is wrong: message, thread and update work.";

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    Well,
    /// A person has to change something: the token, its scopes, the channel.
    Refused,
    /// No answer, a fault at Slack, or a pause that it asks for: the same may work later.
    Unreachable,
}

/// What is tried, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Message,
    Reply,
    Update,
}

impl Step {
    pub fn as_str(self) -> &'static str {
        match self {
            Step::Message => "message",
            Step::Reply => "reply in its thread",
            Step::Update => "update of the message",
        }
    }
}

/// Tries each step and tells of it: `None`, it went well; else why not, and what to do. Ends at the first that fails.
pub async fn rehearse(target: SlackTarget, mut tell: impl FnMut(Step, Option<&str>)) -> reqwest::Result<Ended> {
    let client = client(target.builder())?;
    let mut ended = |step, sent: Sent| {
        let (ended, reason) = judged(sent);
        tell(step, reason.as_deref());
        ended
    };
    match target {
        SlackTarget::Webhook { url } => {
            let sent = SlackWebhook::new(client, url).send(FIRST).await;
            Ok(ended(Step::Message, sent))
        }
        SlackTarget::Bot { token, channel, api_url } => {
            let mut bot = SlackBot::new(client, token, channel, &api_url);
            let first = bot.send(FIRST, None, false).await;
            let Sent::Done { thread } = &first else { return Ok(ended(Step::Message, first)) };
            let ts = thread.clone().unwrap_or_default();
            ended(Step::Message, first);
            let reply = bot.send(REPLY, Some(&ts), false).await;
            let went = ended(Step::Reply, reply);
            if went != Ended::Well {
                return Ok(went);
            }
            let update = bot.update(UPDATED, &ts).await;
            Ok(ended(Step::Update, update))
        }
    }
}

fn judged(sent: Sent) -> (Ended, Option<String>) {
    match sent {
        Sent::Done { .. } => (Ended::Well, None),
        Sent::Dead { reason } => (Ended::Refused, Some(reason)),
        Sent::Retry { reason, .. } if is_for_a_person(&reason) => (Ended::Refused, Some(reason)),
        Sent::Retry { reason, .. } => (Ended::Unreachable, Some(reason)),
    }
}

/// Trying again mends nothing: Slack refuses, or what answers is not Slack, or a setting is none that can be sent.
fn is_for_a_person(reason: &str) -> bool {
    reason.starts_with(REFUSED) || reason.contains("check slack.") || reason.contains("cannot be used as it stands")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    #[tokio::test]
    async fn a_token_that_cannot_be_sent_is_for_a_person_to_mend() {
        rustls::crypto::ring::default_provider().install_default().unwrap_or_default();
        let target = SlackTarget::Bot {
            token: Secret::new("xoxb-1\n2"),
            channel: "#alerts".to_owned(),
            // Nothing is sent there.
            api_url: "http://127.0.0.1:9/api".to_owned(),
        };
        let mut told = Vec::new();
        let ended = rehearse(target, |_, fault| told.push(fault.unwrap_or_default().to_owned())).await;
        assert_eq!(ended.expect("a client"), Ended::Refused, "{told:?}");
        assert!(told.len() == 1 && told[0].contains("cannot be used as it stands"), "{told:?}");
    }
}
