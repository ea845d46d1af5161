//! Ships what is logged as a Fluent Bit beside it would: FireLens records, JSON lines, a batch each flush.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use crate::log::Line;

/// Of one batch.
const LINES_MAX: usize = 500;
/// As `Retry_Limit 3`: then the batch is lost.
const TRIES: u32 = 4;
const PAUSE: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(30);

/// Where lines are shipped to: plain HTTP.
#[derive(Clone, PartialEq, Eq)]
pub struct Target {
    /// `127.0.0.1:8080`
    authority: String,
    path: String,
    /// For `Authorization`.
    pub token: Option<String>,
}

pub struct Shipping {
    pub target: Option<Target>,
    pub service: String,
    pub cluster: String,
    pub flush: Duration,
}

impl FromStr for Target {
    type Err = String;

    fn from_str(url: &str) -> Result<Target, String> {
        let rest = url.strip_prefix("http://").ok_or("must be an address such as http://127.0.0.1:8080/ingest")?;
        let (authority, path) = rest.split_once('/').unwrap_or((rest, "ingest"));
        let authority = if authority.contains(':') { authority.to_owned() } else { format!("{authority}:80") };
        Ok(Target { authority, path: format!("/{path}"), token: None })
    }
}

/// Without the token.
impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}{}", self.authority, self.path)
    }
}

impl Shipping {
    /// Until nobody logs any more. Without a target what is logged is dropped here.
    pub async fn run(self, mut lines: mpsc::Receiver<Line>) {
        let mut turns = interval(self.flush.max(Duration::from_millis(1)));
        turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut batch = Vec::new();
        loop {
            turns.tick().await;
            if lines.is_closed() && lines.is_empty() {
                return;
            }
            while let Ok(line) = lines.try_recv() {
                batch.push(line);
                if batch.len() >= LINES_MAX {
                    self.ship(&batch).await;
                    batch.clear();
                }
            }
            if !batch.is_empty() {
                self.ship(&batch).await;
                batch.clear();
            }
        }
    }

    async fn ship(&self, batch: &[Line]) {
        let Some(target) = &self.target else { return };
        let body: Bytes = batch.iter().map(|line| self.record(line)).collect::<String>().into();
        for tried in 0..TRIES {
            match timeout(PATIENCE, target.post(body.clone())).await {
                // Asked to keep them is asked again; refused is refused.
                Ok(Some(status)) if !status.is_server_error() => return,
                _ => sleep(PAUSE * (1 << tried)).await,
            }
        }
    }

    /// As FireLens makes it on Fargate.
    fn record(&self, line: &Line) -> String {
        let Shipping { service, cluster, .. } = self;
        let record = json!({
            "date": line.at,
            "source": "stdout",
            "log": line.text,
            "container_id": "0123456789abcdef0123456789abcdef-164729728",
            "container_name": service,
            "ecs_cluster": cluster,
            "ecs_task_arn": format!("arn:aws:ecs:eu-west-1:123456789012:task/{cluster}/0123456789abcdef0123456789abcdef"),
            "ecs_task_definition": format!("{service}:{}", line.revision),
        });
        format!("{record}\n")
    }
}

impl Target {
    /// A connection of its own each time. `None`: no answer.
    async fn post(&self, body: Bytes) -> Option<StatusCode> {
        let stream = TcpStream::connect(&self.authority).await.ok()?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.ok()?;
        tokio::spawn(async move { drop(connection.await) });
        let mut request =
            Request::post(&self.path).header(HOST, &self.authority).header(CONTENT_TYPE, "application/x-ndjson");
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        let response = sender.send_request(request.body(Full::new(body)).ok()?).await.ok()?;
        Some(response.status())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_plain_http_with_a_port_and_a_path() {
        for (url, shown) in [
            ("http://127.0.0.1:8080/ingest", "http://127.0.0.1:8080/ingest"),
            ("http://emberwatch:8080", "http://emberwatch:8080/ingest"),
            ("http://emberwatch/x/y", "http://emberwatch:80/x/y"),
        ] {
            assert_eq!(format!("{:?}", url.parse::<Target>().expect("an address")), shown);
        }
        assert!("https://h/".parse::<Target>().is_err() && "127.0.0.1:8080".parse::<Target>().is_err());
    }

    #[test]
    fn a_record_is_what_firelens_makes_of_a_line() {
        let shipping =
            Shipping { target: None, service: "shop".into(), cluster: "prod".into(), flush: Duration::from_secs(1) };
        let line = Line { at: 1_795_356_181.25, text: "{\"level\":\"info\"}".into(), revision: 42 };
        let record = shipping.record(&line);
        assert!(
            record
                .starts_with("{\"date\":1795356181.25,\"source\":\"stdout\",\"log\":\"{\\\"level\\\":\\\"info\\\"}\","),
            "{record}"
        );
        assert!(record.ends_with("\"ecs_task_definition\":\"shop:42\"}\n"), "{record}");
    }
}
