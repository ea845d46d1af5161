//! Every metric, registered once into a registry that is passed in.
//!
//! Labels come from closed sets, or from labels of watches (at most a thousand, cleaned) and services
//! (capped). None takes its value from a log line.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use prometheus::{
    Counter, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder,
};

/// From a cached write to a disk that hangs: 0.1 ms to 6.5 s, doubling.
const COMMIT_BUCKETS: (f64, f64, usize) = (0.0001, 2.0, 17);
/// From an empty body to the 30 s within which every request is answered.
const INGEST_BUCKETS: (f64, f64, usize) = (0.001, 2.0, 16);

/// From a small model on a fast card to a cold start on a slow disk: 0.1 s to 820 s.
const MODEL_BUCKETS: (f64, f64, usize) = (0.1, 2.0, 14);

#[derive(Clone)]
pub struct Metrics {
    registry: Registry,
    pub lines: IntCounterVec,
    pub rejected: IntCounterVec,
    pub lines_read: IntCounter,
    pub tally_faults: IntCounter,
    pub lines_cut: IntCounter,
    pub quarantine_samples: IntGauge,
    pub joins_cut: IntCounter,
    pub bytes: IntCounter,
    pub batches: IntCounterVec,
    pub client_will_drop: IntCounterVec,
    pub ingest_seconds: Histogram,
    pub ingest_in_flight: IntGauge,
    pub connections: IntGauge,
    pub connections_closed_for_room: IntCounter,
    pub tls_handshakes_failed: IntCounter,
    pub tls_reloads: IntCounterVec,
    pub commit_seconds: Histogram,
    pub store_failures: IntCounter,
    pub store_failing: IntGauge,
    pub store_damaged: IntGauge,
    pub store_begun_anew: IntGauge,
    pub windows: IntGauge,
    pub deliveries_unconfirmed: IntGauge,
    pub watch_matches: IntCounterVec,
    pub watch_crossings: IntCounterVec,
    pub orphans: IntCounter,
    service_lines: IntCounterVec,
    /// Services that have a label of their own. A plain lock: held for a look-up.
    services: Arc<Mutex<HashMap<(String, String), IntCounter>>>,
    pub escalations: IntCounterVec,
    pub investigations: IntCounterVec,
    pub investigation_queue: IntGauge,
    pub sources: IntCounterVec,
    pub git_calls: IntCounterVec,
    pub investigator_calls: IntCounterVec,
    pub investigator_tokens: IntCounterVec,
    pub investigator_usd: Counter,
    pub investigator_seconds: Histogram,
    pub outbox_rows: IntGauge,
    pub outbox_age: IntGauge,
    pub outbox_dead: IntGauge,
    pub outbox_overflowed: IntCounter,
    pub confirmations_dropped: IntCounter,
    pub deliveries: IntCounterVec,
    pub triage_lines: IntCounterVec,
    pub triage_calls: IntCounterVec,
    pub triage_verdicts: IntCounterVec,
    pub triage_refusals: IntCounterVec,
    pub triage_kinds: IntGauge,
    pub triage_waiting: IntGauge,
    pub triage_panics: IntCounter,
    pub triage_down: IntGauge,
    pub model_seconds: Histogram,
    pub model_tokens: IntCounterVec,
    pub state_reads: IntCounterVec,
    pub state_writes: IntCounterVec,
    pub state_age: IntGauge,
}

impl Metrics {
    /// Fails only when a name is registered twice, which a test would show.
    pub fn register() -> prometheus::Result<Metrics> {
        let registry = Registry::new_custom(Some("emberwatch".into()), None)?;
        let r = &registry;
        let metrics = Metrics {
            lines: counters(r, "lines_total", "Lines read, by what became of them", &["outcome"])?,
            rejected: counters(r, "rejected_lines_total", "Lines that are no record, by reason", &["reason"])?,
            lines_read: counter(r, "lines_read_total", "Lines read, counted apart from their outcomes")?,
            tally_faults: counter(r, "tally_faults_total", "Batches whose outcomes were not what was read")?,
            lines_cut: counter(r, "cut_lines_total", "Lines longer than ingest.max_line_bytes, matched on their head")?,
            quarantine_samples: gauge(r, "quarantine_samples", "Samples of lines that are no record, held")?,
            joins_cut: counter(
                r,
                "joins_cut_total",
                "Joined records (traces, lines cut at 16 KiB) closed before their end was seen",
            )?,
            bytes: counter(r, "bytes_total", "Bytes of bodies read, decoded")?,
            batches: counters(r, "batches_total", "Ingest requests, by answer", &["answer"])?,
            client_will_drop: counters(
                r,
                "client_will_drop_total",
                "Answers that make Fluent Bit drop a chunk for good",
                &["status"],
            )?,
            ingest_seconds: histogram(
                r,
                "ingest_seconds",
                "From the head of an ingest request to its answer",
                INGEST_BUCKETS,
            )?,
            ingest_in_flight: gauge(r, "ingest_in_flight", "Ingest requests being read")?,
            connections: gauge(r, "connections", "Open connections")?,
            connections_closed_for_room: counter(
                r,
                "connections_closed_for_room_total",
                "Connections without a request, closed because server.max_connections was reached",
            )?,
            tls_handshakes_failed: counter(r, "tls_handshakes_failed_total", "Connections that never became TLS")?,
            tls_reloads: counters(r, "tls_reloads_total", "Changes of the files of [server.tls]", &["outcome"])?,
            commit_seconds: histogram(r, "commit_seconds", "Writing and syncing one group of batches", COMMIT_BUCKETS)?,
            store_failures: counter(r, "store_failures_total", "Commits that the store refused")?,
            store_failing: gauge(r, "store_failing", "1 while the last commit failed")?,
            store_damaged: gauge(
                r,
                "store_damaged_rows",
                "Rows of the store that were damaged or missing at the start",
            )?,
            store_begun_anew: gauge(
                r,
                "store_begun_anew",
                "1 if the store was not sound at the start and was moved aside",
            )?,
            windows: gauge(r, "windows", "Windows held")?,
            deliveries_unconfirmed: gauge(
                r,
                "unconfirmed_deliveries",
                "Batches whose answer nobody has confirmed yet",
            )?,
            watch_matches: counters(r, "watch_matches_total", "Lines that a watch matched", &["watch"])?,
            watch_crossings: counters(
                r,
                "watch_crossings_total",
                "Times a group of a watch crossed its threshold",
                &["watch"],
            )?,
            orphans: counter(
                r,
                "orphaned_matches_total",
                "Matches of a rule that was changed while their request was under way",
            )?,
            service_lines: counters(r, "service_lines_total", "Lines by service", &["cluster", "service"])?,
            services: Arc::default(),
            escalations: counters(
                r,
                "escalations_total",
                "Crossings that a human may hear of, by what became of them",
                &["outcome"],
            )?,
            investigations: counters(
                r,
                "investigations_total",
                "Escalations that were to be investigated, by what became of that",
                &["outcome"],
            )?,
            investigation_queue: gauge(r, "investigation_queue", "Escalations that wait to be investigated")?,
            sources: counters(
                r,
                "sources_total",
                "Dossiers, by what came of looking for the source of what failed",
                &["outcome"],
            )?,
            git_calls: counters(r, "git_calls_total", "Runs of git, by what came of them", &["outcome"])?,
            investigator_calls: counters(
                r,
                "investigator_calls_total",
                "Calls to the investigator's model, by what came of them",
                &["outcome"],
            )?,
            investigator_tokens: counters(
                r,
                "investigator_tokens_total",
                "Tokens of the investigator's model",
                &["kind"],
            )?,
            investigator_usd: money(r, "investigator_cost_usd_total", "What these have cost, in US dollars")?,
            investigator_seconds: histogram(
                r,
                "investigator_seconds",
                "From a dossier to the model's answer, or to its failure",
                MODEL_BUCKETS,
            )?,
            outbox_rows: gauge(r, "outbox_rows", "Messages that wait to be delivered")?,
            outbox_age: gauge(r, "outbox_age_seconds", "Age of the oldest of them")?,
            outbox_dead: gauge(r, "outbox_dead_rows", "Messages given up")?,
            outbox_overflowed: counter(
                r,
                "outbox_overflowed_total",
                "Messages given up because store.max_outbox_rows was reached",
            )?,
            confirmations_dropped: counter(
                r,
                "confirmations_dropped_total",
                "Answers heard of which the writer could not be told",
            )?,
            deliveries: counters(r, "deliveries_total", "Delivery attempts", &["channel", "outcome"])?,
            triage_lines: counters(
                r,
                "triage_lines_total",
                "Lines of kinds that were not known when they came, by what became of them",
                &["outcome"],
            )?,
            triage_calls: counters(r, "triage_calls_total", "Batches a model was asked about", &["outcome"])?,
            triage_verdicts: counters(
                r,
                "triage_verdicts_total",
                "Kinds of lines that were judged, by what was said",
                &["outcome"],
            )?,
            triage_refusals: counters(
                r,
                "triage_refusals_total",
                "Proposed watches that were not taken in, by reason",
                &["reason"],
            )?,
            triage_kinds: gauge(r, "triage_kinds", "Kinds of lines held")?,
            triage_waiting: gauge(r, "triage_waiting", "Kinds of lines that wait to be judged")?,
            triage_panics: counter(
                r,
                "triage_panics_total",
                "Times that the thread of triage died and was started again",
            )?,
            triage_down: gauge(r, "triage_down", "1 while triage judges nothing: it has died, or hangs")?,
            model_seconds: histogram(r, "model_seconds", "From a question to a model's answer", MODEL_BUCKETS)?,
            model_tokens: counters(r, "model_tokens_total", "Tokens sent to models and received", &["direction"])?,
            state_reads: counters(
                r,
                "state_reads_total",
                "Times an empty store looked for what is kept at store.state_url, by what it found",
                &["outcome"],
            )?,
            state_writes: counters(r, "state_writes_total", "Writes of the state to store.state_url", &["outcome"])?,
            state_age: gauge(r, "state_age_seconds", "Since when something is not kept there yet; 0: all is")?,
            registry,
        };
        // So that a rate over them is right from the first event on.
        for outcome in ["matched", "unmatched", "joined", "blank", "own", "rejected", "repeat", "aborted"] {
            metrics.lines.with_label_values(&[outcome]);
        }
        for outcome in ["written", "failed", "left_out"] {
            metrics.investigations.with_label_values(&[outcome]);
        }
        for outcome in ["written", "failed"] {
            metrics.state_writes.with_label_values(&[outcome]);
        }
        for status in ["401", "404", "405", "413", "415"] {
            metrics.client_will_drop.with_label_values(&[status]);
        }
        let build: IntGaugeVec =
            IntGaugeVec::new(Opts::new("build_info", "1, with the version as label"), &["version"])?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        metrics.registry.register(Box::new(build))?;
        #[cfg(target_os = "linux")]
        metrics.registry.register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))?;
        Ok(metrics)
    }

    /// The counter of a service's lines; of `other` once `max` services have one.
    pub fn service_lines(&self, cluster: &str, service: &str, max: usize) -> IntCounter {
        let mut known = self.services.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let key = (cluster.to_owned(), service.to_owned());
        if let Some(counter) = known.get(&key) {
            return counter.clone();
        }
        if known.len() >= max {
            return self.service_lines.with_label_values(&["", "other"]);
        }
        let counter = self.service_lines.with_label_values(&[cluster, service]);
        known.insert(key, counter.clone());
        counter
    }

    /// The label is no watch's any more: its series end, or those of a thousand proposals would stay for ever.
    pub fn forget_watch(&self, label: &str) {
        for series in [&self.watch_matches, &self.watch_crossings] {
            // It may never have matched.
            series.remove_label_values(&[label]).unwrap_or_default();
        }
    }

    /// The page Prometheus scrapes.
    pub fn page(&self) -> prometheus::Result<String> {
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }
}

fn counter(registry: &Registry, name: &str, help: &str) -> prometheus::Result<IntCounter> {
    let metric = IntCounter::new(name, help)?;
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}

fn money(registry: &Registry, name: &str, help: &str) -> prometheus::Result<Counter> {
    let metric = Counter::new(name, help)?;
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}

fn counters(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> prometheus::Result<IntCounterVec> {
    let metric = IntCounterVec::new(Opts::new(name, help), labels)?;
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}

fn gauge(registry: &Registry, name: &str, help: &str) -> prometheus::Result<IntGauge> {
    let metric = IntGauge::new(name, help)?;
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}

fn histogram(registry: &Registry, name: &str, help: &str, buckets: (f64, f64, usize)) -> prometheus::Result<Histogram> {
    let buckets = prometheus::exponential_buckets(buckets.0, buckets.1, buckets.2)?;
    let metric = Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets))?;
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}
