//! Objects of a bucket that speaks S3's protocol: read whole, written whole, every request signed.
//!
//! Bounded: the time of a request and of connecting, the bytes of an answer, the number of tries. A redirect is
//! not followed, for it would carry the state to wherever it points. What a bucket says is repeated as far as
//! its error code; no key and no address is in any [`Failed`].

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use reqwest::{Client, ClientBuilder, Method, Response, Url, redirect};

use super::credentials::{Credentials, Source};
use super::place::Failed;
use super::sign::{Request, authorization, hash, stamp};

const CONNECT: Duration = Duration::from_secs(3);
/// Of one request: 16 MiB at 10 Mbit/s.
const PATIENCE: Duration = Duration::from_secs(15);
/// Pauses between tries, of which there is one more.
const PAUSES: [Duration; 2] = [Duration::from_millis(300), Duration::from_millis(1500)];
/// What a bucket has to say about a refusal.
const REFUSAL_MAX_BYTES: usize = 64 * 1024;

/// Which bucket, and how it is reached. No `Debug`: it may hold keys.
#[derive(Clone)]
pub struct Target {
    pub bucket: String,
    /// Without slashes at its ends; may be empty.
    pub prefix: String,
    pub region: String,
    /// Without a slash at its end. `None`: AWS's own for the region.
    pub endpoint: Option<String>,
    pub credentials: Source,
}

pub(super) struct Bucket {
    pub(super) target: Target,
    credentials: Credentials,
    client: Client,
    clock: fn() -> i64,
}

/// An answer that came whole.
struct Answer {
    status: u16,
    body: Vec<u8>,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let slash = if self.prefix.is_empty() { "" } else { "/" };
        write!(f, "s3://{}{slash}{}", self.bucket, self.prefix)
    }
}

impl Target {
    /// The address of an object. Virtual-host style at AWS, and at an endpoint whose host begins with the bucket's
    /// name; path style at any other, and for a name with a dot, which no certificate of AWS covers.
    fn url(&self, name: &str) -> Result<Url, Failed> {
        let suffix = if self.region.starts_with("cn-") { ".amazonaws.com.cn" } else { ".amazonaws.com" };
        let (bucket, region) = (&self.bucket, &self.region);
        let (base, is_host) = match &self.endpoint {
            Some(endpoint) => {
                let host = endpoint.split_once("://").map_or("", |(_, rest)| rest);
                (endpoint.clone(), host.strip_prefix(bucket.as_str()).is_some_and(|rest| rest.starts_with('.')))
            }
            None if bucket.contains('.') => (format!("https://s3.{region}{suffix}"), false),
            None => (format!("https://{bucket}.s3.{region}{suffix}"), true),
        };
        let bucket = if is_host { None } else { Some(bucket.as_str()) };
        let parts = bucket.into_iter().chain(self.prefix.split('/').filter(|part| !part.is_empty())).chain([name]);
        let path: String = parts.map(|part| format!("/{}", encoded(part))).collect();
        Url::parse(&format!("{base}{path}")).map_err(|_| Failed::new("store.state_endpoint is no address"))
    }
}

/// As S3 wants it signed: all but letters, digits and `-._~` as `%XX`.
fn encoded(part: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~');
    part.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

/// A client for this module's requests. What is on this machine is never asked through a proxy.
pub(super) fn connect(builder: ClientBuilder) -> ClientBuilder {
    builder.redirect(redirect::Policy::none()).referer(false).connect_timeout(CONNECT)
}

// === impl Bucket ===

impl Bucket {
    pub(super) fn new(target: Target, clock: fn() -> i64) -> Result<Bucket, Failed> {
        let broken = |_| Failed::new("the HTTP client cannot be set up");
        let here = target
            .url("x")?
            .host_str()
            .is_some_and(|host| host == "localhost" || host == "[::1]" || host.starts_with("127."));
        let builder = if here { Client::builder().no_proxy() } else { Client::builder() };
        let client = connect(builder).build().map_err(broken)?;
        let credentials = Credentials::new(target.credentials.clone(), clock).map_err(broken)?;
        Ok(Bucket { target, credentials, client, clock })
    }

    pub(super) async fn read(&mut self, name: &str, most: usize) -> Result<Option<Vec<u8>>, Failed> {
        let answer = self.ask(Method::GET, name, Bytes::new(), most).await?;
        match answer.status {
            200 => Ok(Some(answer.body)),
            404 if answer.code() != Some("NoSuchBucket") => Ok(None),
            _ => Err(answer.refusal()),
        }
    }

    pub(super) async fn write(&mut self, name: &str, bytes: Vec<u8>) -> Result<(), Failed> {
        let answer = self.ask(Method::PUT, name, bytes.into(), REFUSAL_MAX_BYTES).await?;
        if matches!(answer.status, 200 | 201 | 204) { Ok(()) } else { Err(answer.refusal()) }
    }

    /// Tries again what may work a moment later.
    async fn ask(&mut self, method: Method, name: &str, body: Bytes, most: usize) -> Result<Answer, Failed> {
        let mut pauses = PAUSES.into_iter();
        loop {
            let answer = self.once(method.clone(), name, body.clone(), most).await;
            let failed = match answer {
                Ok(answer) if answer.status == 429 || answer.status >= 500 => answer.refusal(),
                Ok(answer) if matches!(answer.code(), Some("ExpiredToken" | "InvalidToken")) => {
                    self.credentials.forget();
                    Failed { again: true, ..answer.refusal() }
                }
                Ok(answer) => return Ok(answer),
                Err(failed) => failed,
            };
            match pauses.next().filter(|_| failed.again) {
                Some(pause) => tokio::time::sleep(pause).await,
                None => return Err(failed),
            }
        }
    }

    async fn once(&mut self, method: Method, name: &str, body: Bytes, most: usize) -> Result<Answer, Failed> {
        let keys = self.credentials.keys().await?;
        let url = self.target.url(name)?;
        let (payload, at) = (hash(&body), stamp((self.clock)()));
        let host = url.host_str().unwrap_or_default();
        let host = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        let mut headers =
            vec![("host", host.as_str()), ("x-amz-content-sha256", payload.as_str()), ("x-amz-date", at.as_str())];
        if let Some(session) = &keys.session {
            headers.push(("x-amz-security-token", session.expose()));
        }
        let request =
            Request { method: method.as_str(), path: url.path(), headers: &headers, payload: payload.as_str() };
        let authorization = authorization(&request, (&self.target.region, "s3"), &keys, &at);
        let mut sent = self.client.request(method.clone(), url.clone()).timeout(PATIENCE);
        // The client writes the host itself, from the same address.
        for (name, value) in headers.iter().skip(1) {
            sent = sent.header(*name, *value);
        }
        sent = sent.header("authorization", authorization);
        if method == Method::PUT {
            sent = sent.header("content-type", "application/json").body(body);
        }
        let mut response = sent.send().await.map_err(|fault| no_answer(&fault))?;
        let status = response.status().as_u16();
        let body = read_body(&mut response, if status == 200 { most } else { REFUSAL_MAX_BYTES }).await?;
        Ok(Answer { status, body })
    }
}

// === impl Answer ===

impl Answer {
    /// What a refusal is called: a word of letters, else nothing is known.
    fn code(&self) -> Option<&str> {
        let text = str::from_utf8(&self.body).ok()?;
        let code = text.split_once("<Code>")?.1.split_once("</Code>")?.0;
        ((1..=64).contains(&code.len()) && code.bytes().all(|b| b.is_ascii_alphanumeric())).then_some(code)
    }

    fn refusal(&self) -> Failed {
        let code = self.code().unwrap_or("without a readable code");
        let next = match (self.status, code) {
            (_, "ExpiredToken" | "InvalidToken") => "the credentials have expired",
            (_, "NoSuchBucket") => "there is no such bucket: check store.state_url",
            (_, "InvalidAccessKeyId" | "SignatureDoesNotMatch") => {
                "check store.access_key_id and store.secret_access_key, or the task's role"
            }
            (_, "RequestTimeTooSkewed") => "the clock of this machine is wrong",
            (_, "AuthorizationHeaderMalformed") | (300..400, _) => {
                "the bucket is elsewhere: check store.state_region and store.state_endpoint"
            }
            (403, _) => {
                "allow s3:GetObject, s3:PutObject and s3:ListBucket (without the last, what is not there is refused, too)"
            }
            (429 | 500.., _) => "it may work a moment later",
            _ => "see the error codes of S3",
        };
        let words = format!("the bucket refuses (status {}, {code}): {next}", self.status);
        Failed { words, again: self.status == 429 || self.status >= 500 }
    }
}

/// An answer's body, of so many bytes at the most.
pub(super) async fn read_body(response: &mut Response, most: usize) -> Result<Vec<u8>, Failed> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|fault| no_answer(&fault))? {
        if body.len() + chunk.len() > most {
            return Err(Failed::new(format!("an answer of more than {most} bytes")));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// The error's own text would hold the address; its innermost source speaks of the network only.
pub(super) fn no_answer(fault: &reqwest::Error) -> Failed {
    if fault.is_builder() {
        return Failed::new("the address or a key cannot be used as it stands: look for a blank or a line break in it");
    }
    let mut cause: &dyn std::error::Error = fault;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    let cause = match std::ptr::addr_eq(cause, fault) {
        true => "the connection failed".to_owned(),
        false => cause.to_string(),
    };
    Failed::for_now(match (fault.is_timeout(), fault.is_connect()) {
        (true, true) => "cannot connect: timed out".to_owned(),
        (true, false) => "no answer in time".to_owned(),
        (false, true) => format!("cannot connect: {cause}"),
        (false, false) => format!("no answer: {cause}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;
    use crate::state::sign::Keys;

    fn target(bucket: &str, prefix: &str, region: &str, endpoint: Option<&str>) -> Target {
        let keys = Keys { id: Secret::new("k"), secret: Secret::new("s"), session: None };
        Target {
            bucket: bucket.into(),
            prefix: prefix.into(),
            region: region.into(),
            endpoint: endpoint.map(str::to_owned),
            credentials: Source::Given(keys),
        }
    }

    #[test]
    fn an_object_has_the_address_that_its_bucket_is_reached_under() {
        for (bucket, prefix, region, endpoint, url) in [
            ("logs", "a/b", "eu-west-1", None, "https://logs.s3.eu-west-1.amazonaws.com/a/b/x.json"),
            ("logs", "", "cn-north-1", None, "https://logs.s3.cn-north-1.amazonaws.com.cn/x.json"),
            ("my.logs", "a=1", "eu-west-1", None, "https://s3.eu-west-1.amazonaws.com/my.logs/a%3D1/x.json"),
            ("logs", "a", "r", Some("http://127.0.0.1:9000"), "http://127.0.0.1:9000/logs/a/x.json"),
            ("logs", "a", "r", Some("https://logs.s3.example.com"), "https://logs.s3.example.com/a/x.json"),
            ("logs", "a", "r", Some("https://logs3.example.com/x"), "https://logs3.example.com/x/logs/a/x.json"),
        ] {
            let made = target(bucket, prefix, region, endpoint).url("x.json");
            assert_eq!(made.map(String::from).map_err(|failed| failed.words), Ok(url.to_owned()));
        }
        assert_eq!(target("logs", "a/b", "r", None).to_string(), "s3://logs/a/b");
        assert_eq!(target("logs", "", "r", None).to_string(), "s3://logs");
    }

    #[test]
    fn of_what_a_bucket_says_the_code_is_repeated_and_nothing_else() {
        let words = |status, body: &str| Answer { status, body: body.into() }.refusal().words;
        let denied = words(403, "<Error><Code>AccessDenied</Code><Message>AKIA</Message></Error>");
        assert!(denied.contains("status 403, AccessDenied") && denied.contains("s3:ListBucket"), "{denied}");
        for body in ["", "<Code>", "<Code></Code>", "<Code>a b</Code>", "\u{1b}[0m<Code>\u{1b}</Code>"] {
            assert!(words(400, body).contains("without a readable code"), "{body:?}");
        }
        assert!(Answer { status: 503, body: vec![] }.refusal().again);
        assert!(!Answer { status: 403, body: vec![] }.refusal().again);
    }
}
