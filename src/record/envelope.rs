//! What the log router put around a line: FireLens on EC2 and on Fargate, docker's fluentd driver, the Kubernetes
//! filter, and records with nothing around them.
//!
//! Facts (docker_task_engine.go of the ECS agent, moby's fluentd driver): on EC2 `container_name` is
//! `/ecs-<family>-<revision>-<name without odd characters>-<20 hex>` and changes with every task; on
//! Fargate it is the plain name. `ecs_task_definition` is `family:revision`. The true container name on EC2
//! stands only in the tag, `<container>-firelens-<task id>`. ARNs and cluster names come in old and new forms.

use super::json::{Field, Span, Value};
use super::kubernetes::{self, Kubernetes};
use super::text::Text;

#[derive(Clone, Default)]
pub struct Envelope<'a> {
    pub date: Option<Value<'a>>,
    pub log: Option<Value<'a>>,
    container_id: Option<Value<'a>>,
    container_name: Option<Value<'a>>,
    source: Option<Value<'a>>,
    stream: Option<Value<'a>>,
    ec2_instance_id: Option<Value<'a>>,
    ecs_cluster: Option<Value<'a>>,
    ecs_task_arn: Option<Value<'a>>,
    ecs_task_definition: Option<Value<'a>>,
    /// What few records have: this is moved with every line.
    rare: Option<Box<Rare<'a>>>,
}

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
pub(super) const VALUES: usize = 10;

/// Hex digits that the ECS agent hangs on a container's name.
const NAME_TAIL: usize = 20;

impl<'a> Envelope<'a> {
    /// All that it holds, in the order of [`Envelope::of_values`]; `None` where there is more to it.
    pub(super) fn values(&self) -> Option<[Option<Value<'a>>; VALUES]> {
        self.rare.is_none().then_some([
            self.date,
            self.log,
            self.container_id,
            self.container_name,
            self.source,
            self.stream,
            self.ec2_instance_id,
            self.ecs_cluster,
            self.ecs_task_arn,
            self.ecs_task_definition,
        ])
    }

    #[inline]
    pub(super) fn of_values(values: [Option<Value<'a>>; VALUES]) -> Envelope<'a> {
        let [
            date,
            log,
            container_id,
            container_name,
            source,
            stream,
            ec2_instance_id,
            ecs_cluster,
            ecs_task_arn,
            ecs_task_definition,
        ] = values;
        Envelope {
            date,
            log,
            container_id,
            container_name,
            source,
            stream,
            ec2_instance_id,
            ecs_cluster,
            ecs_task_arn,
            ecs_task_definition,
            rare: None,
        }
    }

    /// Keeps `field` if it is the envelope's; of equal keys the last one counts.
    pub fn take(&mut self, field: &Field<'a>) -> bool {
        let slot = match field.key.raw() {
            b"date" => &mut self.date,
            b"log" => &mut self.log,
            b"container_id" => &mut self.container_id,
            b"container_name" => &mut self.container_name,
            b"source" => &mut self.source,
            b"stream" => &mut self.stream,
            b"ec2_instance_id" => &mut self.ec2_instance_id,
            b"ecs_cluster" => &mut self.ecs_cluster,
            b"ecs_task_arn" => &mut self.ecs_task_arn,
            b"ecs_task_definition" => &mut self.ecs_task_definition,
            b"kubernetes" => match field.value {
                Value::Object(span) => {
                    self.rare.get_or_insert_default().kubernetes = Some(span);
                    return true;
                }
                _ => return false,
            },
            b"partial_message" => &mut self.rare.get_or_insert_default().partial_message,
            b"partial_id" => &mut self.rare.get_or_insert_default().partial_id,
            b"partial_ordinal" => &mut self.rare.get_or_insert_default().partial_ordinal,
            b"partial_last" => &mut self.rare.get_or_insert_default().partial_last,
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
        if self.container_id.is_some() || self.ecs_task_arn.is_some() || self.ecs_task_definition.is_some() {
            return;
        }
        let mut cube = Kubernetes::default();
        walk(span, &mut |field| cube.take(&field));
        if let Some(Value::Object(labels)) = cube.labels {
            walk(labels, &mut |field| cube.take_label(&field));
        }
        self.rare.get_or_insert_default().cube = Some(cube);
    }

    /// The Kubernetes filter's map, for who looks for a path in it.
    pub fn kubernetes(&self) -> Option<Span<'a>> {
        self.rare()?.kubernetes
    }

    fn rare(&self) -> Option<&Rare<'a>> {
        self.rare.as_deref()
    }

    fn cube(&self) -> Option<&Kubernetes<'a>> {
        self.rare()?.cube.as_ref()
    }

    /// What containerd's prefix or docker's file says of the stream, where the record itself says nothing.
    pub fn take_stream(&mut self, stream: Text<'a>) {
        self.stream.get_or_insert(Value::Text(stream));
    }

    /// The application by its labels or its pod's owner, also by the tag of its container's file.
    pub fn kubernetes_service(&self, tag: Option<&'a [u8]>) -> Option<Text<'a>> {
        match self.cube() {
            Some(cube) => cube.service(),
            None if self.container_name.is_none() => {
                let (pod, _) = kubernetes::of_tag(tag?)?;
                Some(Text::plain(kubernetes::owner(pod)))
            }
            None => None,
        }
    }

    /// Metadata of a task, but of no container: sent straight to the router, which makes such records itself too.
    pub fn is_of_task_alone(&self) -> bool {
        self.ecs_task_arn.is_some() && self.container_id.is_none() && self.container_name.is_none()
    }

    /// GELF, as `format gelf` writes it: the message in `short_message`, the time in `timestamp`, every other
    /// field behind an underscore, and in `host` whatever `gelf_host_key` names (with a container driver's
    /// records, its `container_name`).
    pub fn take_gelf(&mut self, own: &mut Vec<Field<'a>>) {
        let has = |own: &[Field<'a>], name: &[u8]| own.iter().any(|f| f.key.raw() == name);
        // Genuine GELF has none of the envelope's own keys; a record that has them is not to be overruled by
        // what an application put beside them.
        let enveloped = [self.log, self.date, self.container_id, self.container_name]
            .into_iter()
            .chain([self.ecs_cluster, self.ecs_task_arn, self.ecs_task_definition])
            .any(|value| value.is_some());
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
            "container_id" => self.container_id,
            "container_name" => self.container_name,
            "ec2_instance_id" => self.ec2_instance_id,
            "ecs_cluster" => self.ecs_cluster,
            "ecs_task_arn" => self.ecs_task_arn,
            "ecs_task_definition" => self.ecs_task_definition,
            "partial_message" => self.rare()?.partial_message,
            "partial_id" => self.rare()?.partial_id,
            "partial_ordinal" => self.rare()?.partial_ordinal,
            "partial_last" => self.rare()?.partial_last,
            "source" if self.container_id.is_none() => self.source,
            "stream" => self.stream,
            "log" => self.log,
            "date" => self.date,
            _ => None,
        }
    }

    /// The cluster's name, also where its ARN is given, or only the task's (`…:task/CLUSTER/ID`).
    pub fn cluster(&self) -> Option<Text<'a>> {
        text(self.ecs_cluster).map(|name| after_last(name, b'/')).or_else(|| {
            let arn = text(self.ecs_task_arn)?;
            let mut parts = arn.raw().rsplit(|b| *b == b'/');
            let (_, cluster, kind) = (parts.next()?, parts.next()?, parts.next()?);
            kind.ends_with(b":task").then(|| part(arn, cluster))
        })
    }

    pub fn family(&self) -> Option<Text<'a>> {
        let definition = text(self.ecs_task_definition)?;
        Some(split_revision(definition).0)
    }

    /// Of the task definition; in Kubernetes the version that the labels give.
    pub fn revision(&self) -> Option<Text<'a>> {
        match text(self.ecs_task_definition) {
            Some(definition) => split_revision(definition).1,
            None => self.cube()?.version,
        }
    }

    /// The task's id: what follows the last `/` of its ARN. In Kubernetes the pod.
    pub fn task(&self) -> Option<Text<'a>> {
        let Some(arn) = text(self.ecs_task_arn) else { return self.cube()?.pod };
        arn.raw().starts_with(b"arn:").then(|| after_last(arn, b'/'))
    }

    pub fn host(&self) -> Option<Text<'a>> {
        text(self.ec2_instance_id).or_else(|| self.cube()?.host)
    }

    /// `stdout` or `stderr`, where a container driver said so.
    pub fn source(&self) -> Option<Text<'a>> {
        match (self.container_id, self.container_name) {
            (None, None) => text(self.stream),
            _ => text(self.source).or_else(|| text(self.stream)),
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
        let id = self.container_id.filter(|value| matches!(value, Value::Text(_)));
        let names = [self.container_name, self.ecs_task_arn, self.ec2_instance_id];
        let places = if id.is_some() { [id, None, None] } else { names };
        for value in places.into_iter().chain([self.source, self.stream]) {
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
        let Some(name) = text(self.container_name) else {
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
