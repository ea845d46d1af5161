//! Against a stand-in that answers as Slack does, in every way that it does.

use std::sync::Once;

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};

use super::super::notice::{NoticeKind, tests::notice};
use super::super::text;
use super::*;

/// What the stand-in for Slack does with every request.
#[derive(Clone)]
enum Answers {
    /// Head and body, as they go over the wire.
    With(String),
    /// With the first, then with the second and the rest.
    InTurn(Vec<String>),
    Never,
    Endlessly,
}

/// A request as it arrived: its head in lower case, its body as JSON.
struct Request {
    head: String,
    body: Value,
}

/// A stand-in for Slack: its address, and what it was sent.
async fn stand_in(answers: Answers) -> (String, mpsc::Receiver<Request>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let (seen, requests) = mpsc::channel(8);
    tokio::spawn(async move {
        for at in 0..8 {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let Some(request) = request(&mut stream).await else {
                continue;
            };
            if seen.send(request).await.is_err() {
                return;
            }
            match &answers {
                Answers::With(answer) => reply(&mut stream, answer).await,
                Answers::InTurn(all) => reply(&mut stream, &all[at.min(all.len() - 1)]).await,
                Answers::Never => std::future::pending().await,
                Answers::Endlessly => {
                    reply(&mut stream, "HTTP/1.1 200 OK\r\n\r\n").await;
                    // Until the reader has had enough of it.
                    while stream.write_all(&[b' '; 8192]).await.is_ok() {}
                }
            }
        }
    });
    (format!("http://{address}"), requests)
}

async fn reply(stream: &mut TcpStream, answer: &str) {
    // A client that has gone is the test's to notice.
    drop(stream.write_all(answer.as_bytes()).await);
}

async fn request(stream: &mut TcpStream) -> Option<Request> {
    let mut bytes = Vec::new();
    loop {
        if stream.read_buf(&mut bytes).await.ok()? == 0 || bytes.len() > 64 * 1024 {
            return None;
        }
        let text = String::from_utf8_lossy(&bytes);
        if let Some((head, body)) = text.split_once("\r\n\r\n")
            && let Ok(body) = serde_json::from_str(body)
        {
            let head = head.to_ascii_lowercase();
            return Some(Request { head, body });
        }
    }
}

fn http(status: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\nconnection: close\r\n{headers}content-length: {length}\r\n\r\n{body}")
}

fn json(body: &str) -> Answers {
    Answers::With(http("200 OK", "", body))
}

fn status(status: &str, body: &str) -> Answers {
    Answers::With(http(status, "", body))
}

/// A client as the program makes it, at a pace and a patience for tests.
fn quick_post() -> Post {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| {
        // Another test of the same binary may have been first.
        drop(rustls::crypto::ring::default_provider().install_default());
    });
    Post { gap: Duration::ZERO, ..Post::new(client(Client::builder().no_proxy()).expect("a client")) }
}

fn bot(url: &str) -> SlackBot {
    SlackBot {
        token: Secret::new("xoxb-secret"),
        channel: "C024".into(),
        channel_id: None,
        api_url: format!("{url}/api"),
        post: quick_post(),
    }
}

fn webhook(url: &str) -> SlackWebhook {
    SlackWebhook { url: Secret::new(format!("{url}/services/T0/B0/secret")), post: quick_post() }
}

async fn by_bot(answers: Answers) -> Sent {
    let (url, _requests) = stand_in(answers).await;
    bot(&url).send(&text::slack(&notice(NoticeKind::Opened)), None, false).await
}

async fn by_webhook(answers: Answers) -> Sent {
    let (url, _requests) = stand_in(answers).await;
    webhook(&url).send(&text::slack(&notice(NoticeKind::Opened))).await
}

/// An outcome in one line: what is done, what is said, what is in doubt.
fn brief(sent: &Sent) -> String {
    match sent {
        Sent::Done { thread } => format!("done {thread:?}"),
        Sent::Dead { reason } => format!("dead: {reason}"),
        Sent::Retry { after, reason, in_doubt } => {
            let doubt = if *in_doubt { " in doubt" } else { "" };
            let after = after.map_or_else(String::new, |after| format!(" after {after:?}"));
            format!("retry{doubt}{after}: {reason}")
        }
    }
}

#[tokio::test]
async fn a_bot_posts_to_its_channel_and_learns_the_thread() {
    let (url, mut requests) = stand_in(json(r#"{"ok":true,"ts":"171.5"}"#)).await;
    let mut bot = bot(&url);
    let opened = notice(NoticeKind::Opened);
    let thread = Some("171.5".to_owned());
    assert_eq!(bot.send(&text::slack(&opened), None, false).await, Sent::Done { thread });
    let Request { head, body } = requests.recv().await.expect("a request");
    assert!(head.starts_with("post /api/chat.postmessage http/1.1\r\n"), "{head}");
    assert!(head.contains("\r\nauthorization: bearer xoxb-secret"), "{head}");
    assert_eq!(
        body,
        serde_json::json!({
            "channel": "C024",
            "text": text::slack(&opened),
            "parse": "none",
            "link_names": false,
            "unfurl_links": false,
            "unfurl_media": false,
        })
    );
}

#[tokio::test]
async fn later_messages_hang_under_the_first_and_keep_its_thread() {
    let (url, mut requests) = stand_in(json(r#"{"ok":true,"ts":"180.0"}"#)).await;
    let mut bot = bot(&url);
    for kind in [NoticeKind::Again, NoticeKind::Resolved, NoticeKind::NoData] {
        let thread = Some("171.5".to_owned());
        let sent = bot.send(&text::slack(&notice(kind)), Some("171.5"), false).await;
        assert_eq!(sent, Sent::Done { thread });
        let body = requests.recv().await.expect("a request").body;
        assert_eq!(body["thread_ts"], "171.5");
    }
}

#[tokio::test]
async fn a_message_whose_thread_is_gone_stands_on_its_own() {
    let gone = http("200 OK", "", r#"{"ok":false,"error":"thread_not_found"}"#);
    let taken = http("200 OK", "", r#"{"ok":true,"ts":"190.0"}"#);
    let (url, mut requests) = stand_in(Answers::InTurn(vec![gone, taken])).await;
    let sent = bot(&url).send(&text::slack(&notice(NoticeKind::Resolved)), Some("171.5"), true).await;
    assert_eq!(brief(&sent), r#"done Some("190.0")"#);
    let first = requests.recv().await.expect("a request").body;
    assert_eq!((&first["thread_ts"], &first["reply_broadcast"]), (&"171.5".into(), &true.into()));
    let second = requests.recv().await.expect("a request").body;
    assert_eq!((second.get("thread_ts"), second.get("reply_broadcast")), (None, None));
}

#[tokio::test]
async fn a_bot_is_told_by_the_body_what_became_of_its_message() {
    let cases = [
        (r#"{"ok":false,"error":"ratelimited"}"#, "retry after 1s: Slack asks for a pause (ratelimited)"),
        (r#"{"ok":false,"error":"msg_too_long"}"#, "dead: Slack does not take this message: msg_too_long"),
        (r#"{"ok":false,"error":"invalid_blocks"}"#, "dead: Slack does not take this message: invalid_blocks"),
        (
            r#"{"ok":false,"error":"invalid_auth"}"#,
            "retry: Slack refuses (invalid_auth): Slack does not accept slack.bot_token: put in a valid one",
        ),
        (
            r#"{"ok":false,"error":"not_in_channel"}"#,
            "retry: Slack refuses (not_in_channel): invite the bot to the channel (there: /invite @its-name), or give it chat:write.public",
        ),
        (r#"{"ok":false,"error":"fatal_error"}"#, "retry in doubt: a fault at Slack (fatal_error)"),
        (
            r#"{"ok":false,"error":"brand_new_error"}"#,
            "retry: Slack refuses (brand_new_error): see the errors of chat.postMessage in Slack's documentation",
        ),
        (
            r#"{"ok":false,"error":"<script> xoxb-secret"}"#,
            "retry: Slack refuses (without a readable error): see the errors of chat.postMessage in Slack's documentation",
        ),
        (
            "<html>a proxy's page</html>",
            "retry in doubt: the answer did not come whole, or was not Slack's: check slack.api_url",
        ),
    ];
    for (body, outcome) in cases {
        assert_eq!(brief(&by_bot(json(body)).await), outcome, "{body}");
    }
}

#[tokio::test]
async fn a_webhook_is_told_by_status_and_word() {
    let cases = [
        ("200 OK", "ok", "done None"),
        (
            "200 OK",
            "<html>",
            "retry in doubt: the answer did not come whole, or was not Slack's \"ok\": check slack.webhook_url",
        ),
        ("400 Bad Request", "invalid_payload", "dead: Slack does not take this message: invalid_payload"),
        (
            "400 Bad Request",
            "user_not_found",
            "retry: Slack refuses (status 400, user_not_found): check slack.webhook_url",
        ),
        (
            "403 Forbidden",
            "action_prohibited",
            "retry: Slack refuses (status 403, action_prohibited): the workspace does not let this webhook post: ask its administrator",
        ),
        (
            "404 Not Found",
            "no_service",
            "retry: Slack refuses (status 404, no_service): the webhook or its channel is gone: make a new slack.webhook_url",
        ),
        (
            "410 Gone",
            "channel_is_archived",
            "retry: Slack refuses (status 410, channel_is_archived): the channel is archived: bring it back or make a new slack.webhook_url",
        ),
    ];
    for (line, body, outcome) in cases {
        let sent = by_webhook(status(line, body)).await;
        assert_eq!(brief(&sent), outcome, "{line} {body}");
    }
}

#[tokio::test]
async fn a_webhook_is_sent_the_text_alone() {
    let (url, mut requests) = stand_in(status("200 OK", "ok")).await;
    let opened = notice(NoticeKind::Opened);
    webhook(&url).send(&text::slack(&opened)).await;
    let body = requests.recv().await.expect("a request").body;
    assert_eq!(
        body,
        serde_json::json!({
            "text": text::slack(&opened),
            "link_names": false,
            "unfurl_links": false,
            "unfurl_media": false,
        })
    );
}

#[tokio::test]
async fn a_pause_is_as_long_as_slack_asks_if_that_can_be_read() {
    let cases = [
        ("retry-after: 30\r\n", "30s"),
        ("retry-after: 0\r\n", "0ns"),
        // The delivery loop caps it.
        ("retry-after: 1000000000\r\n", "1000000000s"),
        ("retry-after: -5\r\n", "1s"),
        ("retry-after: 2.5\r\n", "3s"),
        ("retry-after: Wed, 21 Oct 2026 07:28:00 GMT\r\n", "1s"),
        ("date: Wed, 21 Oct 2026 07:27:15 GMT\r\nretry-after: Wed, 21 Oct 2026 07:28:00 GMT\r\n", "45s"),
        ("date: Wed, 21 Oct 2026 07:28:15 GMT\r\nretry-after: Wed, 21 Oct 2026 07:28:00 GMT\r\n", "0ns"),
        ("retry-after: NaN\r\n", "1s"),
        ("retry-after: 99999999999999999999\r\n", "1s"),
        ("retry-after: soon\r\n", "1s"),
        ("", "1s"),
    ];
    for (header, wait) in cases {
        let answer = http("429 Too Many Requests", header, "");
        let outcome = format!("retry after {wait}: Slack asks for a pause (429)");
        let sent = by_bot(Answers::With(answer.clone())).await;
        assert_eq!(brief(&sent), outcome, "{header}");
        let sent = by_webhook(Answers::With(answer)).await;
        assert_eq!(brief(&sent), outcome, "{header}");
    }
}

#[tokio::test]
async fn a_fault_at_slack_is_tried_again_in_doubt() {
    let outcome = "retry in doubt: a fault at Slack (status 500)";
    let fault = status("500 Internal Server Error", "oops");
    assert_eq!(brief(&by_bot(fault.clone()).await), outcome);
    assert_eq!(brief(&by_webhook(fault).await), outcome);
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let (elsewhere, mut requests) = stand_in(json(r#"{"ok":true}"#)).await;
    let location = format!("location: {elsewhere}/api/chat.postMessage\r\n");
    for line in ["302 Found", "307 Temporary Redirect", "308 Permanent Redirect"] {
        let answer = Answers::With(http(line, &location, ""));
        let sent = brief(&by_bot(answer.clone()).await);
        assert!(sent.starts_with("retry: the address redirects (status 30"), "{sent}");
        let sent = brief(&by_webhook(answer).await);
        assert!(sent.starts_with("retry: the address redirects (status 30"), "{sent}");
    }
    assert!(requests.try_recv().is_err(), "nothing went elsewhere");
}

#[tokio::test]
async fn silence_ends_at_the_deadline_in_doubt() {
    let (url, _requests) = stand_in(Answers::Never).await;
    let mut bot = bot(&url);
    bot.post.timeout = Duration::from_millis(50);
    let sent = bot.send(&text::slack(&notice(NoticeKind::Opened)), None, false).await;
    assert_eq!(brief(&sent), "retry in doubt: no answer: timed out");
}

#[tokio::test]
async fn an_endless_answer_is_read_no_further_than_its_bound() {
    let sent = brief(&by_bot(Answers::Endlessly).await);
    assert!(sent.starts_with("retry in doubt: the answer did not come whole"), "{sent}");
    let sent = brief(&by_webhook(Answers::Endlessly).await);
    assert!(sent.starts_with("retry in doubt: the answer did not come whole"), "{sent}");
}

#[tokio::test]
async fn no_reason_gives_a_secret_away() {
    let closed = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", closed.local_addr().expect("an address"));
    drop(closed);
    let opened = notice(NoticeKind::Opened);
    let sent = brief(&webhook(&url).send(&text::slack(&opened)).await);
    assert!(sent.starts_with("retry: cannot connect: "), "{sent}");
    assert!(!sent.contains("secret"), "{sent}");

    let sent = brief(&webhook("no address").send(&text::slack(&opened)).await);
    assert!(sent.contains("cannot be used as it stands"), "{sent}");
    assert!(!sent.contains("secret"), "{sent}");

    let mut bot = bot(&url);
    bot.token = Secret::new("xoxb-secret\n");
    let sent = brief(&bot.send(&text::slack(&opened), None, false).await);
    assert!(sent.contains("cannot be used as it stands"), "{sent}");
    assert!(!sent.contains("secret"), "{sent}");
}
