//! What the file and the environment say that nobody asked for.
//!
//! Judged after everything else has been read, when all known names are known; each fault offers
//! the name that was probably meant.

use super::{FAILPOINT_VARIABLE, PREFIX, Reader};
use crate::config::source::CONFIG_TEXT_VARIABLE;
use crate::fault::{Fault, closest, join};

/// Lists, which no variable can name, and what a person might try.
const LISTS: [(&str, &str); 4] = [
    ("SERVER_TOKEN", "[[server.token]]"),
    ("RECORD_SERVICE_MAP", "[[record.service_map]]"),
    ("WATCH", "[[watch]]"),
    ("SERVICE", "[[service]]"),
];

// === impl Reader ===

impl Reader<'_> {
    /// All faults, once everything has been read.
    pub(in crate::config) fn into_faults(mut self) -> Vec<Fault> {
        for (section, name) in std::mem::take(&mut self.unknown) {
            let fault = self.unknown_key(&section, &name);
            self.faults.push(fault);
        }
        let exempt = [CONFIG_TEXT_VARIABLE, FAILPOINT_VARIABLE];
        for (name, value) in self.env.range(PREFIX.to_owned()..).take_while(|(name, _)| name.starts_with(PREFIX)) {
            if self.variables.contains(name) || exempt.contains(&name.as_str()) || is_service_link(name, value) {
                continue;
            }
            let fault = self.unknown_variable(name);
            self.faults.push(fault);
        }
        self.faults
    }

    fn unknown_key(&self, section: &str, name: &str) -> Fault {
        let parent = |key: &str| key.rsplit_once('.').map_or(String::new(), |(parent, _)| parent.to_owned());
        let siblings: Vec<&str> = self
            .keys
            .iter()
            .filter(|key| parent(key) == section)
            .map(|key| key.rsplit('.').next().unwrap_or_default())
            .collect();
        let at = join(section, name);
        // The right word in the wrong section is nearer than a similar word in this one.
        let is_it = |key: &&String| !key.contains('[') && key.rsplit_once('.').is_some_and(|(_, last)| last == name);
        match self.keys.iter().find(is_it) {
            Some(elsewhere) => Fault::new(at, "unknown key").hint(format!("did you mean {elsewhere}?")),
            None => Fault::unknown(at, name, &siblings),
        }
    }

    fn unknown_variable(&self, name: &str) -> Fault {
        let fault = Fault::new(join("", name), "unknown variable");
        // The prefix is common to all: counted in, it would make any two of them look alike.
        let rest = without_prefix(name);
        for (start, list) in LISTS {
            if rest.starts_with(start) {
                return fault.hint(format!("{list} can be set in the file or in {}", CONFIG_TEXT_VARIABLE));
            }
        }
        match closest(rest, self.variables.iter().map(|known| without_prefix(known))) {
            Some(near) => fault.hint(format!("did you mean {PREFIX}{near}?")),
            None => fault,
        }
    }
}

fn without_prefix(variable: &str) -> &str {
    variable.strip_prefix(PREFIX).unwrap_or(variable)
}

/// A Kubernetes service called `emberwatch`, or `emberwatch-…`, puts variables like
/// `EMBERWATCH_SERVICE_HOST` and `EMBERWATCH_PORT_8080_TCP` into every container of its namespace,
/// this one included. They are nobody's mistake.
fn is_service_link(name: &str, value: &str) -> bool {
    let of_a_port = |name: &str| {
        name.rsplit_once("_PORT_").is_some_and(|(_, rest)| rest.bytes().next().is_some_and(|b| b.is_ascii_digit()))
    };
    name.ends_with("_SERVICE_HOST")
        || name.ends_with("_SERVICE_PORT")
        || name.contains("_SERVICE_PORT_")
        || of_a_port(name)
        || (name.ends_with("_PORT") && ["tcp://", "udp://", "sctp://"].iter().any(|scheme| value.starts_with(scheme)))
}
