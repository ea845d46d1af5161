//! The rules: each looks at one output that sends to us, or at the whole, and says what it found.
//!
//! Every rule is a small function that names what it rests on. "5.1.1", "4.0.9" are releases of Fluent Bit whose
//! source says so; "1.9.10" is what aws-for-fluent-bit 2.x holds. A value that hangs on an environment
//! variable is not judged.

mod access;
mod body;
mod filters;
mod firelens;
mod headers;
mod inputs;
mod network;
mod retries;
mod routing;
mod service;
mod startup;
mod storage;

pub(super) use filters::emitters;

use super::finding::Finding;
use super::section::{Kind, Section};
use super::values::{self, Retries};
use super::{Configuration, Receiver, glob};

/// About one output that sends to us.
type OutputRule = fn(&View<'_>, &Section, &mut Vec<Finding>);

/// About the configuration as a whole.
type WholeRule = fn(&View<'_>, &mut Vec<Finding>);

const OUTPUT_RULES: &[OutputRule] = &[
    startup::unknown_key,
    startup::key_twice,
    startup::not_in_old_releases,
    startup::method,
    routing::path,
    routing::match_missing,
    routing::takes_health_checks,
    access::credentials,
    access::password_readable,
    access::encryption,
    access::port,
    retries::few,
    retries::endless,
    retries::far_apart,
    storage::limit,
    network::patience,
    network::connections,
    network::keepalive,
    network::proxy,
    body::format,
    body::date,
    body::per_record,
    body::compression,
    headers::set_by_hand,
    headers::tag,
];

const WHOLE_RULES: &[WholeRule] = &[
    routing::counted_twice,
    filters::parser,
    filters::copies,
    filters::drops,
    inputs::tail,
    inputs::paused,
    inputs::paused_on_disk,
    service::flush,
    service::shutdown,
    service::shared_clock,
    service::figures,
    storage::path,
    storage::overrun,
    firelens::metadata,
    firelens::driver,
    firelens::own_file,
];

pub(super) fn judge(configuration: &Configuration, receiver: &Receiver, findings: &mut Vec<Finding>) {
    let view = View::of(configuration, receiver);
    if view.ours.is_empty() {
        routing::nobody(&view, findings);
        return;
    }
    for output in &view.ours {
        OUTPUT_RULES.iter().for_each(|rule| rule(&view, output, findings));
    }
    WHOLE_RULES.iter().for_each(|rule| rule(&view, findings));
}

/// What rules look at.
struct View<'a> {
    configuration: &'a Configuration,
    receiver: &'a Receiver,
    /// Outputs that send to us.
    ours: Vec<&'a Section>,
    /// All other outputs that keep something.
    others: Vec<&'a Section>,
    inputs: Vec<&'a Section>,
    filters: Vec<&'a Section>,
    service: Option<&'a Section>,
}

/// Outputs that throw away or print: nothing of theirs can be hurt.
const KEEP_NOTHING: [&str; 3] = ["null", "stdout", "counter"];

/// Inputs whose senders do not wait: what comes while they pause is gone.
const PUSHED: [&str; 6] = ["forward", "tcp", "udp", "syslog", "unix_socket", EMITTER];

/// The input that a `rewrite_tag` filter makes for the records it gives new tags.
pub(super) const EMITTER: &str = "emitter";

impl<'a> View<'a> {
    fn of(configuration: &'a Configuration, receiver: &'a Receiver) -> Self {
        let of = |kind| configuration.sections.iter().filter(move |section| section.kind == kind).collect::<Vec<_>>();
        let (ours, others): (Vec<_>, Vec<_>) =
            of(Kind::Output).into_iter().partition(|output| routing::is_ours(output, receiver));
        Self {
            configuration,
            receiver,
            ours,
            others: others.into_iter().filter(|output| !KEEP_NOTHING.contains(&output.name().as_str())).collect(),
            inputs: of(Kind::Input),
            filters: of(Kind::Filter),
            service: configuration.sections.iter().rev().find(|section| section.kind == Kind::Service),
        }
    }

    /// A piece to be added to a configuration that is not here.
    fn is_fragment(&self) -> bool {
        self.inputs.iter().all(|input| input.is(EMITTER))
    }

    fn is_firelens(&self) -> bool {
        self.configuration.firelens.is_some()
    }

    /// A value of `[SERVICE]`.
    fn serves(&self, key: &str) -> Option<&str> {
        self.service?.known(key)
    }

    /// Whether lines of `input` may reach `output`.
    fn feeds(&self, input: &Section, output: &Section) -> bool {
        // Of many inputs the tag is chosen by who sends.
        let tag = input.known("tag").unwrap_or("*");
        let pattern = output.known("match").unwrap_or("*");
        glob::overlap(tag, pattern)
    }

    /// The inputs whose lines `output` takes. Where a `rewrite_tag` makes every tag that it takes, only that one's.
    fn sources(&self, output: &Section) -> Vec<&'a Section> {
        let emitters = self.emitters_of(output);
        if emitters.is_empty() {
            return self.inputs.iter().copied().filter(|input| self.feeds(input, output)).collect();
        }
        emitters
    }

    fn emitters_of(&self, output: &Section) -> Vec<&'a Section> {
        let Some(pattern) = output.known("match") else { return vec![] };
        let makes_all =
            |input: &&Section| input.known("tag").is_some_and(|tag| tag != "*" && glob::matches(tag, pattern));
        self.inputs.iter().copied().filter(|input| input.is(EMITTER)).filter(makes_all).collect()
    }

    /// Whether chunks of `input` are on disk, so that waiting ones do not fill the memory. For the key in `[SERVICE]`
    /// to count, `storage.inherit` must be on (5.1.1, src/flb_storage.c).
    fn on_disk(&self, input: &Section) -> bool {
        let own = input.known("storage.type");
        let inherited = || {
            let inherits = self.serves("storage.inherit").and_then(values::boolean) == Some(true);
            if inherits { self.serves("storage.type") } else { None }
        };
        own.or_else(inherited).is_some_and(|kind| kind.eq_ignore_ascii_case("filesystem"))
    }

    /// Whether anything that `output` holds up is in memory. Of a fragment nobody knows; memory is the default.
    fn holds_memory(&self, output: &Section) -> bool {
        let unknown = self.is_fragment() && self.emitters_of(output).is_empty();
        unknown || self.sources(output).into_iter().any(|input| !self.on_disk(input))
    }

    /// Whether another output is fed by an input of `output`: the two share chunks, and a paused input.
    fn has_neighbors(&self, output: &Section) -> bool {
        let sources = self.sources(output);
        self.others.iter().any(|other| sources.iter().any(|input| self.feeds(input, other)))
    }

    /// Whether what this output holds up, others wait for; in a fragment and with FireLens that is to be assumed.
    fn is_beside_others(&self, output: &Section) -> bool {
        let unknown = self.is_fragment() && self.emitters_of(output).is_empty();
        unknown || self.is_firelens() || self.has_neighbors(output)
    }

    fn retries(output: &Section) -> Option<Retries> {
        match output.get("retry_limit") {
            Some(entry) => entry.known().map(|text| values::retries(Some(text))),
            None => Some(values::retries(None)),
        }
    }

    /// `scheduler.base` and `scheduler.cap`, in seconds (defaults: include/fluent-bit/flb_scheduler.h).
    fn clock(&self) -> (i64, i64) {
        let number = |key, default| self.serves(key).map(values::leading).filter(|n| *n > 0).unwrap_or(default);
        (number("scheduler.base", 5), number("scheduler.cap", 2_000))
    }
}

fn is_pushed(input: &Section) -> bool {
    PUSHED.contains(&input.name().as_str())
}
