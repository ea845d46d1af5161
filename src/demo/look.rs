//! What can be seen from outside: the control API and the metrics of the receiver, asked over its socket as anybody would.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use reqwest::Client;
use serde_json::Value;

/// One look.
#[derive(Clone, Debug, Default)]
pub(super) struct Picture {
    /// Lines of each service since the start.
    pub(super) services: BTreeMap<String, u64>,
    /// Lines by what became of them.
    pub(super) outcomes: BTreeMap<String, u64>,
    pub(super) bars: Vec<Bar>,
    /// What triage has decided, the oldest first.
    pub(super) verdicts: Vec<Verdict>,
    pub(super) kinds: u64,
    pub(super) bytes: u64,
    pub(super) messages_waiting: u64,
}

/// One group of a watch that has counted something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bar {
    pub(super) label: String,
    pub(super) service: String,
    pub(super) count: u64,
    pub(super) threshold: u64,
    pub(super) firing: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) service: String,
    pub(super) template: String,
    pub(super) outcome: String,
    pub(super) label: Option<String>,
}

pub(super) struct Look {
    client: Client,
    address: SocketAddr,
}

impl Look {
    pub(super) fn new(client: Client, address: SocketAddr) -> Self {
        Self { client, address }
    }

    /// `None`: it is starting or stopping.
    pub(super) async fn look(&self) -> Option<Picture> {
        let mut picture = Picture::default();
        let (metrics, watches, triage) = tokio::join!(self.get("metrics"), self.get("watches"), self.get("triage"));
        for line in metrics?.lines() {
            picture.metric(line);
        }
        let watches: Value = serde_json::from_str(&watches?).ok()?;
        picture.bars = list(&watches["watches"]).flat_map(bars).collect();
        let fullness = |bar: &Bar| bar.count.saturating_mul(1000) / bar.threshold.max(1);
        picture.bars.sort_by_key(|bar| (!bar.firing, std::cmp::Reverse(fullness(bar)), bar.label.clone()));
        let triage: Value = serde_json::from_str(&triage?).ok()?;
        picture.kinds = triage["kinds"].as_u64().unwrap_or_default();
        picture.verdicts = list(&triage["decisions"]).rev().map(verdict).collect();
        Some(picture)
    }

    async fn get(&self, path: &str) -> Option<String> {
        let answer = self.client.get(format!("http://{}/{path}", self.address)).send().await.ok()?;
        answer.error_for_status().ok()?.text().await.ok()
    }
}

impl Picture {
    /// A line of Prometheus' text format, if it is one of those shown.
    fn metric(&mut self, line: &str) {
        let Some((name, number)) = line.rsplit_once(' ') else { return };
        let Ok(number) = number.parse::<f64>() else { return };
        let number = number as u64;
        let label = |key: &str| {
            let begun = name.split_once(&format!("{key}=\""))?.1;
            begun.split_once('"').map(|(value, _)| value.to_owned())
        };
        match name.split_once('{').map_or(name, |(name, _)| name) {
            "emberwatch_service_lines_total" => {
                self.services.extend(label("service").map(|service| (service, number)));
            }
            "emberwatch_lines_total" => self.outcomes.extend(label("outcome").map(|outcome| (outcome, number))),
            "emberwatch_bytes_total" => self.bytes = number,
            "emberwatch_outbox_rows" => self.messages_waiting = number,
            _ => {}
        }
    }

    pub(super) fn lines(&self) -> u64 {
        self.outcomes.values().sum()
    }
}

fn list(value: &Value) -> std::slice::Iter<'_, Value> {
    value.as_array().map_or(&[][..], Vec::as_slice).iter()
}

fn bars(watch: &Value) -> Vec<Bar> {
    let counted = list(&watch["groups"]).filter(|group| group["count"].as_u64().is_some_and(|count| count > 0));
    let bar = |group: &Value| Bar {
        label: text(&watch["label"]),
        service: text(&group["key"]["service"]),
        count: group["count"].as_u64().unwrap_or_default(),
        threshold: watch["threshold"].as_u64().unwrap_or_default(),
        firing: group["state"] == "firing",
    };
    counted.map(bar).collect()
}

fn verdict(decision: &Value) -> Verdict {
    Verdict {
        service: text(&decision["service"]),
        template: text(&decision["template"]),
        outcome: text(&decision["outcome"]),
        label: decision["label"].as_str().map(str::to_owned),
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_of_metrics_is_read_by_name_and_label() {
        let mut picture = Picture::default();
        for line in [
            "# HELP emberwatch_bytes_total of bodies",
            "emberwatch_bytes_total 512",
            "emberwatch_service_lines_total{cluster=\"demo\",service=\"web\"} 12",
            "emberwatch_service_lines_total{cluster=\"demo\",service=\"mail\"} 3",
            "emberwatch_lines_total{outcome=\"matched\"} 5",
            "emberwatch_lines_total{outcome=\"unmatched\"} 10",
            "emberwatch_outbox_rows 2",
        ] {
            picture.metric(line);
        }
        assert_eq!((picture.lines(), picture.bytes, picture.messages_waiting), (15, 512, 2));
        assert_eq!(picture.services, [("web".to_owned(), 12), ("mail".to_owned(), 3)].into());
    }
}
