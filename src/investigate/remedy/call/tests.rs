//! Calls against a hook on loopback that answers as it is told to.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::secret::Secret;

const SHORT: Duration = Duration::from_millis(300);
const ABOUT: About<'static> = About { mark: "E42", service: "payments", cluster: "prod", stored_ms: 1_795_356_181_250 };

fn remedy(url: String) -> Remedy {
    Remedy { name: "restart".into(), url: Secret::new(url), cures: vec![], cooldown_seconds: 900, per_day: 3 }
}

/// Takes one request and answers `answer`; the request as it came. `None`: it says nothing.
async fn hook(answer: Option<Vec<u8>>) -> (String, tokio::task::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/hooks/tok-0123456789?again=no", listener.local_addr().expect("an address"));
    let taken = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a call");
        let mut seen = Vec::new();
        while !seen.ends_with(b"}") {
            let mut piece = [0; 1024];
            let read = stream.read(&mut piece).await.expect("a request");
            seen.extend_from_slice(&piece[..read]);
            if read == 0 {
                break;
            }
        }
        match answer {
            Some(answer) => drop(stream.write_all(&answer).await),
            None => while stream.read(&mut [0; 64]).await.is_ok_and(|read| read > 0) {},
        }
        String::from_utf8(seen).expect("text")
    });
    (url, taken)
}

async fn made(answer: &str) -> (Outcome, String) {
    let (url, taken) = hook(Some(answer.as_bytes().to_vec())).await;
    let outcome = within(Duration::from_secs(20), &remedy(url), &ABOUT, reqwest::Client::builder).await;
    (outcome, taken.await.expect("a request"))
}

fn answer(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
}

#[tokio::test]
async fn a_remedy_is_told_who_it_is_for_and_what_makes_the_call_this_one() {
    let (outcome, request) = made(&answer("200 OK", "restarting\npassword=hunter2")).await;
    assert_eq!(outcome, Outcome::Done { status: 200, said: Redacted::new("restarting password=[redacted:secret]") });
    assert!(request.starts_with("POST /hooks/tok-0123456789?again=no HTTP/1.1\r\n"), "{request}");
    assert!(request.contains("\r\nidempotency-key: emberwatch-E42-1795356181250\r\n"), "{request}");
    assert!(
        request
            .ends_with("\r\n\r\n{\"id\":\"E42\",\"service\":\"payments\",\"cluster\":\"prod\",\"remedy\":\"restart\"}"),
        "{request}"
    );
    assert_eq!(format!("restart {outcome}"), "restart was called and answered 200");
}

#[tokio::test]
async fn a_refusal_and_a_redirect_are_no_success_and_nothing_is_followed() {
    let (outcome, _) = made(&answer("409 Conflict", "not now")).await;
    assert_eq!(outcome, Outcome::Refused { status: 409, said: Redacted::new("not now") });
    for (status, why) in
        [("503 Busy", "it answered 503"), ("408 Slow", "it answered 408"), ("504 No", "it answered 504")]
    {
        let (outcome, _) = made(&answer(status, "not now")).await;
        assert_eq!(outcome, Outcome::InDoubt { why: why.into() }, "what stood behind it may have been done");
    }
    let elsewhere = "HTTP/1.1 307 Gone\r\nLocation: http://127.0.0.1:1/secret\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(made(elsewhere).await.0, Outcome::Redirected { status: 307 });
}

#[tokio::test]
async fn an_answer_is_read_no_further_than_it_is_told_and_not_at_all_where_it_repeats_the_address() {
    let (outcome, _) = made(&answer("200 OK", &"x ".repeat(1_000_000))).await;
    assert!(outcome.said().is_some_and(|said| said.as_str().len() <= TOLD_BYTES), "{outcome:?}");
    let (outcome, _) = made(&answer("404 Not Found", "no hook at /hooks/tok-0123456789")).await;
    assert_eq!((outcome.said(), outcome.as_str()), (None, "refused"));
}

#[tokio::test]
async fn who_does_not_answer_is_in_doubt_and_who_is_not_there_was_not_called() {
    let (url, taken) = hook(None).await;
    let outcome = within(SHORT, &remedy(url.clone()), &ABOUT, reqwest::Client::builder).await;
    assert_eq!(outcome, Outcome::InDoubt { why: "no answer in time".into() });
    taken.abort();
    let (closed, taken) = hook(Some(Vec::new())).await;
    let outcome = within(Duration::from_secs(20), &remedy(closed), &ABOUT, reqwest::Client::builder).await;
    assert_eq!(outcome.as_str(), "in_doubt");
    drop(taken.await);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let gone = format!("http://{}/tok-0123456789", listener.local_addr().expect("an address"));
    drop(listener);
    let outcome = within(Duration::from_secs(20), &remedy(gone), &ABOUT, reqwest::Client::builder).await;
    assert_eq!(outcome.as_str(), "unreachable");
    for outcome in [outcome, Outcome::InDoubt { why: "no answer in time".into() }] {
        assert!(!format!("{outcome} {outcome:?}").contains("tok-0123456789"), "{outcome:?}");
    }
}
