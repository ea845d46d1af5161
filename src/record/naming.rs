//! What the operator says about names: which fields name a service and a cluster, and which services are our own.
//!
//! A path is looked up in the record around the log line (`kubernetes.labels.team`); one that begins with `body.`
//! in what the application logged. Nothing else lets a log line choose its group, and that only because the
//! operator named the very field.

use super::Derived;

/// Empty: names come from the envelope alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Naming {
    /// Paths; the first that has a text names the service.
    pub service: Vec<String>,
    /// The same for the cluster.
    pub cluster: Vec<String>,
    /// Services whose lines are no sign of life, and `own` unless a watch matches.
    pub own: Vec<String>,
    /// Before all else: what stands in one place is another name. The first that fits counts.
    pub map: Vec<Mapping>,
}

/// `[[record.service_map]]`: a name that is found becomes another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    pub field: Source,
    pub from: Names,
    pub service: String,
    /// `None`: the cluster stays what it is.
    pub cluster: Option<String>,
}

/// Where a mapping looks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The name that the service would have without mappings.
    Service,
    /// The same of the cluster.
    Cluster,
    /// One that no log line can choose.
    Derived(Derived),
    Tag,
    /// As in [`Naming::service`].
    Path(String),
}

/// What a mapping looks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Names {
    Exactly(String),
    /// Written with a `*` at its end.
    StartingWith(String),
}

impl Source {
    /// `None` for names that say nothing of where a line came from.
    pub fn of(name: &str) -> Option<Source> {
        Some(match (name, Derived::from_name(name)) {
            ("tag", _) => Source::Tag,
            (_, Some(Derived::Service)) => Source::Service,
            (_, Some(Derived::Cluster)) => Source::Cluster,
            (_, Some(Derived::Level | Derived::Message | Derived::Time)) => return None,
            (_, Some(derived)) => Source::Derived(derived),
            _ => Source::Path(name.to_owned()),
        })
    }
}

impl Names {
    /// `None` where a `*` stands elsewhere than at the end.
    pub fn of(pattern: &str) -> Option<Names> {
        let (stem, open) = pattern.strip_suffix('*').map_or((pattern, false), |stem| (stem, true));
        match (stem.contains('*'), open) {
            (true, _) => None,
            (false, true) => Some(Names::StartingWith(stem.to_owned())),
            (false, false) => Some(Names::Exactly(stem.to_owned())),
        }
    }

    pub fn fits(&self, name: &[u8]) -> bool {
        match self {
            Names::Exactly(whole) => name == whole.as_bytes(),
            Names::StartingWith(stem) => name.starts_with(stem.as_bytes()),
        }
    }
}

impl Naming {
    /// No log line has a say in how its service and cluster are called.
    pub fn leaves_it_to_the_envelope(&self) -> bool {
        self.service.is_empty() && self.cluster.is_empty() && self.map.is_empty()
    }
}
