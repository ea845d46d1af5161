//! What the log router put around a line: FireLens on EC2 and on Fargate, docker's fluentd driver, the Kubernetes
//! filter, and records with nothing around them.
//!
//! Facts (docker_task_engine.go of the ECS agent, moby's fluentd driver): on EC2 `container_name` is
//! `/ecs-<family>-<revision>-<name without odd characters>-<20 hex>` and changes with every task; on
//! Fargate it is the plain name. `ecs_task_definition` is `family:revision`. The true container name on EC2
//! stands only in the tag, `<container>-firelens-<task id>`. ARNs and cluster names come in old and new forms.

use super::json::{Field, Span, Value};
use super::kubernetes::{self, Kubernetes};
use super::shape::Known;
use super::text::Text;

/// Moved with every line: what few ask for is behind a pointer, or stays where the line's shape says that it is.
#[derive(Clone, Default)]
pub struct Envelope<'a> {
    pub date: Option<Value<'a>>,
    pub log: Option<Value<'a>>,
    /// Of a line that looks like an earlier one, until something is added.
    alike: Option<Known<'a>>,
    /// Of any other.
    read: Option<Box<Read<'a>>>,
}

#[derive(Clone, Default)]
struct Read<'a> {
    /// By [`Slot`].
    values: [Option<Value<'a>>; SLOTS],
    rare: Option<Box<Rare<'a>>>,
}

/// What an envelope has beside date and log, in the order of [`Envelope::values`].
#[derive(Clone, Copy)]
enum Slot {
    ContainerId,
    ContainerName,
    Source,
    Stream,
    Instance,
    Cluster,
    Task,
    Definition,
}

const SLOTS: usize = Slot::Definition as usize + 1;

/// Kubernetes, and lines cut in pieces.
#[derive(Clone, Default)]
struct Rare<'a> {
    /// The Kubernetes filter's map; what it says, once [`Envelope::read_kubernetes`] was called.
    kubernetes: Option<Span<'a>>,
    cube: Option<Kubernetes<'a>>,
    /// Of a part of a line that docker cut at 16 KiB.
    partial_message: Option<Value<'a>>,
    partial_id: Option<Value<'a>>,
    partial_ordinal: Option<Value<'a>>,
    partial_last: Option<Value<'a>>,
}

/// What [`Envelope::raw`] may answer to.
pub(super) const NAMES: [&str; 14] = [
    "container_id",
    "container_name",
    "ec2_instance_id",
    "ecs_cluster",
    "ecs_task_arn",
    "ecs_task_definition",
    "partial_message",
    "partial_id",
    "partial_ordinal",
    "partial_last",
    "source",
    "stream",
    "log",
    "date",
];

/// How many values an envelope has, apart from the rare ones.
pub(super) const VALUES: usize = 2 + SLOTS;

/// Hex digits that the ECS agent hangs on a container's name.
const NAME_TAIL: usize = 20;

impl<'a> Envelope<'a> {
    /// Date, log and the others, in the order of their slots; `None` where there is more to it.
    pub(super) fn values(&self) -> Option<[Option<Value<'a>>; VALUES]> {
        if self.rare().is_some() {
            return None;
        }
        use Slot::{Cluster, ContainerId, ContainerName, Definition, Instance, Source, Stream, Task};
        let [id, name, source, stream] = [ContainerId, ContainerName, Source, Stream].map(|slot| self.get(slot));
        let [host, cluster, task, definition] = [Instance, Cluster, Task, Definition].map(|slot| self.get(slot));
        Some([self.date, self.log, id, name, source, stream, host, cluster, task, definition])
    }

    /// Of a line that looks like an earlier one.
    #[inline]
    pub(super) fn alike(known: Known<'a>) -> Envelope<'a> {
        Envelope { date: known.of_envelope(0), log: Some(Value::Text(known.log())), alike: Some(known), read: None }
    }

    #[inline]
    fn get(&self, slot: Slot) -> Option<Value<'a>> {
        match &self.alike {
            Some(known) => known.of_envelope(2 + slot as usize),
            None => *self.read.as_ref()?.values.get(slot as usize)?,
        }
    }

    /// For what is to be put into it.
    fn filling(&mut self) -> &mut Read<'a> {
        let values = |known: Known<'a>| std::array::from_fn(|slot| known.of_envelope(2 + slot));
        let alike = &mut self.alike;
        self.read.get_or_insert_with(|| match alike.take() {
            Some(known) => Box::new(Read { values: values(known), rare: None }),
            None => Box::default(),
        })
    }

    fn slot(&mut self, slot: Slot) -> &mut Option<Value<'a>> {
        let [id, name, source, stream, host, cluster, task, definition] = &mut self.filling().values;
        match slot {
            Slot::ContainerId => id,
            Slot::ContainerName => name,
            Slot::Source => source,
            Slot::Stream => stream,
            Slot::Instance => host,
            Slot::Cluster => cluster,
            Slot::Task => task,
            Slot::Definition => definition,
        }
    }

    fn rare_filling(&mut self) -> &mut Rare<'a> {
        self.filling().rare.get_or_insert_default()
    }

    /// Keeps `field` if it is the envelope's; of equal keys the last one counts.
    pub fn take(&mut self, field: &Field<'a>) -> bool {
        let slot = match field.key.raw() {
            b"date" => &mut self.date,
            b"log" => &mut self.log,
            b"container_id" => self.slot(Slot::ContainerId),
            b"container_name" => self.slot(Slot::ContainerName),
            b"source" => self.slot(Slot::Source),
            b"stream" => self.slot(Slot::Stream),
            b"ec2_instance_id" => self.slot(Slot::Instance),
            b"ecs_cluster" => self.slot(Slot::Cluster),
            b"ecs_task_arn" => self.slot(Slot::Task),
            b"ecs_task_definition" => self.slot(Slot::Definition),
            b"kubernetes" => match field.value {
                Value::Object(span) => {
                    self.rare_filling().kubernetes = Some(span);
                    return true;
                }
                _ => return false,
            },
            b"partial_message" => &mut self.rare_filling().partial_message,
            b"partial_id" => &mut self.rare_filling().partial_id,
            b"partial_ordinal" => &mut self.rare_filling().partial_ordinal,
            b"partial_last" => &mut self.rare_filling().partial_last,
            // Added by newer Fluent Bits (group attributes); nobody's log text.
            b"__internal__" => return true,
            _ => return false,
        };
        *slot = Some(field.value);
        true
    }

    /// Reads the map `kubernetes`, with `walk` to go through an object's fields. A record of a container driver or
    /// of ECS is not the Kubernetes filter's: there the map is the application's own, merged into the record.
    pub fn read_kubernetes(&mut self, walk: impl Fn(Span<'a>, &mut dyn FnMut(Field<'a>))) {
        let Some(span) = self.kubernetes() else { return };
        if [Slot::ContainerId, Slot::Task, Slot::Definition].into_iter().any(|slot| self.get(slot).is_some()) {
            return;
        }
        let mut cube = Kubernetes::default();
        walk(span, &mut |field| cube.take(&field));
        if let Some(Value::Object(labels)) = cube.labels {
            walk(labels, &mut |field| cube.take_label(&field));
        }
        self.rare_filling().cube = Some(cube);
    }

    /// The Kubernetes filter's map, for who looks for a path in it.
    pub fn kubernetes(&self) -> Option<Span<'a>> {
        self.rare()?.kubernetes
    }

    #[inline]
    fn rare(&self) -> Option<&Rare<'a>> {
        self.read.as_ref()?.rare.as_deref()
    }

    fn cube(&self) -> Option<&Kubernetes<'a>> {
        self.rare()?.cube.as_ref()
    }

    /// What containerd's prefix or docker's file says of the stream, where the record itself says nothing.
    pub fn take_stream(&mut self, stream: Text<'a>) {
        self.slot(Slot::Stream).get_or_insert(Value::Text(stream));
    }

    /// The application by its labels or its pod's owner, also by the tag of its container's file.
    pub fn kubernetes_service(&self, tag: Option<&'a [u8]>) -> Option<Text<'a>> {
        match self.cube() {
            Some(cube) => cube.service(),
            None if self.get(Slot::ContainerName).is_none() => {
                let (pod, _) = kubernetes::of_tag(tag?)?;
                Some(Text::plain(kubernetes::owner(pod)))
            }
            None => None,
        }
    }

    /// Metadata of a task, but of no container: sent straight to the router, which makes such records itself too.
    pub fn is_of_task_alone(&self) -> bool {
        let has = |slot| self.get(slot).is_some();
        has(Slot::Task) && !has(Slot::ContainerId) && !has(Slot::ContainerName)
    }

    /// GELF, as `format gelf` writes it: the message in `short_message`, the time in `timestamp`, every other
    /// field behind an underscore, and in `host` whatever `gelf_host_key` names (with a container driver's
    /// records, its `container_name`).
    pub fn take_gelf(&mut self, own: &mut Vec<Field<'a>>) {
        let has = |own: &[Field<'a>], name: &[u8]| own.iter().any(|f| f.key.raw() == name);
        // Genuine GELF has none of the envelope's own keys; a record that has them is not to be overruled by
        // what an application put beside them.
        let enveloped = self.log.is_some()
            || self.date.is_some()
            || [Slot::ContainerId, Slot::ContainerName, Slot::Cluster, Slot::Task, Slot::Definition]
                .into_iter()
                .any(|slot| self.get(slot).is_some());
        if enveloped || !has(own, b"short_message") || !has(own, b"version") {
            return;
        }
        let of_container = has(own, b"_container_id");
        own.retain_mut(|field| {
            let name = match field.key.raw() {
                b"short_message" => &b"log"[..],
                b"timestamp" => b"date",
                b"host" if of_container => b"container_name",
                b"version" => return false,
                [b'_', rest @ ..] => rest,
                _ => return true,
            };
            field.key = Text::plain(name);
            !self.take(field)
        });
    }

    /// A key that only an envelope has, under its own name: one of [`NAMES`]. `source`, `stream` and `log` are the
    /// application's when no container driver is there to have set them.
    pub fn raw(&self, name: &str) -> Option<Value<'a>> {
        match name {
            "container_id" => self.get(Slot::ContainerId),
            "container_name" => self.get(Slot::ContainerName),
            "ec2_instance_id" => self.get(Slot::Instance),
            "ecs_cluster" => self.get(Slot::Cluster),
            "ecs_task_arn" => self.get(Slot::Task),
            "ecs_task_definition" => self.get(Slot::Definition),
            "partial_message" => self.rare()?.partial_message,
            "partial_id" => self.rare()?.partial_id,
            "partial_ordinal" => self.rare()?.partial_ordinal,
            "partial_last" => self.rare()?.partial_last,
            "source" if self.get(Slot::ContainerId).is_none() => self.get(Slot::Source),
            "stream" => self.get(Slot::Stream),
            "log" => self.log,
            "date" => self.date,
            _ => None,
        }
    }

    /// The cluster's name, also where its ARN is given, or only the task's (`…:task/CLUSTER/ID`).
    pub fn cluster(&self) -> Option<Text<'a>> {
        text(self.get(Slot::Cluster)).map(|name| after_last(name, b'/')).or_else(|| {
            let arn = text(self.get(Slot::Task))?;
            let mut parts = arn.raw().rsplit(|b| *b == b'/');
            let (_, cluster, kind) = (parts.next()?, parts.next()?, parts.next()?);
            kind.ends_with(b":task").then(|| part(arn, cluster))
        })
    }

    pub fn family(&self) -> Option<Text<'a>> {
        let definition = text(self.get(Slot::Definition))?;
        Some(split_revision(definition).0)
    }

    /// Of the task definition; in Kubernetes the version that the labels give.
    pub fn revision(&self) -> Option<Text<'a>> {
        match text(self.get(Slot::Definition)) {
            Some(definition) => split_revision(definition).1,
            None => self.cube()?.version,
        }
    }

    /// The task's id: what follows the last `/` of its ARN. In Kubernetes the pod.
    pub fn task(&self) -> Option<Text<'a>> {
        let Some(arn) = text(self.get(Slot::Task)) else { return self.cube()?.pod };
        arn.raw().starts_with(b"arn:").then(|| after_last(arn, b'/'))
    }

    pub fn host(&self) -> Option<Text<'a>> {
        text(self.get(Slot::Instance)).or_else(|| self.cube()?.host)
    }

    /// `stdout` or `stderr`, where a container driver said so.
    pub fn source(&self) -> Option<Text<'a>> {
        match (self.get(Slot::ContainerId), self.get(Slot::ContainerName)) {
            (None, None) => text(self.get(Slot::Stream)),
            _ => text(self.get(Slot::Source)).or_else(|| text(self.get(Slot::Stream))),
        }
    }

    /// Whether it is a part of a line that the container driver cut. A driver that numbers the parts gives the
    /// line an id: where that makes no sense, it is a line like any other, and nothing is joined to it.
    #[inline]
    pub fn is_partial(&self) -> bool {
        self.rare().is_some_and(|rare| match (rare.partial_message, rare.partial_id) {
            (None | Some(Value::Null | Value::Bool(false)), _) => false,
            (Some(_), None) => rare.partial_ordinal.is_none(),
            (Some(_), id) => text(id).is_some(),
        })
    }

    /// Which line it is a part of; old drivers do not say.
    pub fn partial_id(&self) -> Option<Text<'a>> {
        text(self.rare()?.partial_id)
    }

    /// Its number among the parts, from 1.
    pub fn partial_ordinal(&self) -> Option<u64> {
        // A parser with types makes a number of it, and a boolean of `partial_last`.
        let digits = match self.rare()?.partial_ordinal {
            Some(Value::Number(raw)) => raw,
            ordinal => text(ordinal)?.raw(),
        };
        std::str::from_utf8(digits).ok()?.parse().ok()
    }

    pub fn is_partial_last(&self) -> bool {
        self.rare().is_some_and(|rare| match rare.partial_last {
            Some(Value::Bool(last)) => last,
            last => text(last).is_some_and(|last| last.is("true")),
        })
    }

    /// A number for the stream that the record is of: one container's stdout, or its stderr. What no log line
    /// can choose goes into it; without a container's id, whatever else tells containers apart.
    pub fn stream_key(&self) -> u64 {
        let mut hash = xxhash_rust::xxh3::Xxh3::new();
        let id = self.get(Slot::ContainerId).filter(|value| matches!(value, Value::Text(_)));
        let names = [Slot::ContainerName, Slot::Task, Slot::Instance].map(|slot| self.get(slot));
        let places = if id.is_some() { [id, None, None] } else { names };
        for value in places.into_iter().chain([self.get(Slot::Source), self.get(Slot::Stream)]) {
            let raw = match value {
                Some(Value::Text(text)) => text.raw(),
                _ => b"",
            };
            hash.update(raw);
            hash.update(b"\0");
        }
        hash.digest()
    }

    /// The container as its task definition calls it.
    pub fn container(&self, tag: Option<&'a [u8]>) -> Option<Text<'a>> {
        if let Some(name) = tag.and_then(container_of_tag) {
            return Some(Text::plain(name));
        }
        let Some(name) = text(self.get(Slot::ContainerName)) else {
            return match self.cube() {
                Some(cube) => cube.container,
                None => kubernetes::of_tag(tag?).map(|(_, container)| Text::plain(container)),
            };
        };
        let bare = name.raw().strip_prefix(b"/").unwrap_or(name.raw());
        Some(part(name, self.ec2_name(bare).unwrap_or(bare)))
    }

    /// The name within `ecs-<family>-<revision>-<name>-<20 hex>`. The task definition tells where the
    /// family ends; without it the first all-digit part is taken for the revision.
    fn ec2_name(&self, name: &'a [u8]) -> Option<&'a [u8]> {
        let (head, tail) = name.split_at_checked(name.len().checked_sub(NAME_TAIL + 1)?)?;
        if tail.first() != Some(&b'-') || !tail.iter().skip(1).all(u8::is_ascii_hexdigit) {
            return None;
        }
        let rest = head.strip_prefix(b"ecs-")?;
        if let (Some(family), Some(revision)) = (self.family(), self.revision())
            && let Some(after) = rest.strip_prefix(family.raw()).and_then(|r| r.strip_prefix(b"-"))
            && let Some(name) = after.strip_prefix(revision.raw()).and_then(|r| r.strip_prefix(b"-"))
        {
            return Some(name);
        }
        let mut from = 0;
        for piece in rest.split(|b| *b == b'-') {
            let end = from + piece.len();
            if from > 0 && !piece.is_empty() && piece.iter().all(u8::is_ascii_digit) {
                return rest.get(end + 1..).filter(|name| !name.is_empty());
            }
            from = end + 1;
        }
        None
    }
}

fn text(value: Option<Value<'_>>) -> Option<Text<'_>> {
    match value {
        Some(Value::Text(text)) if !text.raw().is_empty() => Some(text),
        _ => None,
    }
}

/// A piece of `whole`, escaped as it is.
fn part<'a>(whole: Text<'a>, piece: &'a [u8]) -> Text<'a> {
    whole.with_raw(piece)
}

fn after_last(whole: Text<'_>, separator: u8) -> Text<'_> {
    let last = whole.raw().rsplit(|b| *b == separator).next().unwrap_or_default();
    part(whole, last)
}

/// `family:revision`; a definition without a number behind its last colon is all family.
fn split_revision(definition: Text<'_>) -> (Text<'_>, Option<Text<'_>>) {
    let raw = definition.raw();
    let Some(colon) = memchr::memrchr(b':', raw) else { return (definition, None) };
    match (raw.get(..colon), raw.get(colon + 1..)) {
        (Some(family), Some(revision))
            if !family.is_empty() && !revision.is_empty() && revision.iter().all(u8::is_ascii_digit) =>
        {
            (part(definition, family), Some(part(definition, revision)))
        }
        _ => (definition, None),
    }
}

/// `<container>-firelens-<task id>`, the tag that FireLens gives.
fn container_of_tag(tag: &[u8]) -> Option<&[u8]> {
    let at = memchr::memmem::rfind(tag, b"-firelens-")?;
    tag.get(..at).filter(|name| !name.is_empty())
}
