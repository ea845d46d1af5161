//! What the operator says about names: which fields name a service and a cluster, and which services are our own.
//!
//! A path is looked up in the record around the log line (`kubernetes.labels.team`); one that begins with `body.`
//! in what the application logged. Nothing else lets a log line choose its group, and that only because the
//! operator named the very field.

/// Empty: names come from the envelope alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Naming {
    /// Paths; the first that has a text names the service.
    pub service: Vec<String>,
    /// The same for the cluster.
    pub cluster: Vec<String>,
    /// Services whose lines are no sign of life, and `own` unless a watch matches.
    pub own: Vec<String>,
}
