//! What Fluent Bit's Kubernetes filter hangs on a record, and what the names of pods and tags tell without it.
//!
//! A pod's name changes with every roll-out (`orders-6c9f7d5b8d-x2k4q`), so a service is never named by it as it
//! is: [`owner`] takes off what Kubernetes put behind.

use super::json::{Field, Value};
use super::text::Text;

/// The map `kubernetes`, read once per record.
#[derive(Clone, Copy, Debug, Default)]
pub struct Kubernetes<'a> {
    pub pod: Option<Text<'a>>,
    pub container: Option<Text<'a>>,
    pub host: Option<Text<'a>>,
    pub labels: Option<Value<'a>>,
    /// What the labels call the application, and how sure that name is: less is surer.
    app: Option<(u8, Text<'a>)>,
    pub version: Option<Text<'a>>,
}

/// Letters and digits that Kubernetes makes random names of: no vowels, and nothing that looks like one.
const RANDOM: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

impl<'a> Kubernetes<'a> {
    pub fn take(&mut self, field: &Field<'a>) {
        let Value::Text(text) = field.value else {
            if field.key.is("labels") {
                self.labels = Some(field.value);
            }
            return;
        };
        match field.key.raw() {
            b"pod_name" => self.pod = Some(text),
            b"container_name" => self.container = Some(text),
            b"host" => self.host = Some(text),
            _ => {}
        }
    }

    pub fn take_label(&mut self, field: &Field<'a>) {
        let Value::Text(text) = field.value else { return };
        let rank = if field.key.is("app.kubernetes.io/name") {
            0
        } else if field.key.is("k8s-app") {
            1
        } else if field.key.is("app") {
            2
        } else {
            if field.key.is("app.kubernetes.io/version") {
                self.version = Some(text);
            }
            return;
        };
        if !text.raw().is_empty() && self.app.is_none_or(|(held, _)| rank < held) {
            self.app = Some((rank, text));
        }
    }

    /// The application's label, else what owns the pod.
    pub fn service(&self) -> Option<Text<'a>> {
        let owned = || self.pod.map(|pod| pod.with_raw(owner(pod.raw())));
        self.app.map(|(_, name)| name).or_else(owned).filter(|name| !name.raw().is_empty())
    }
}

/// A pod's name without what Kubernetes put behind its owner's: a Deployment's two hashes, a DaemonSet's one, a
/// StatefulSet's number, a CronJob's time and hash. A bare pod of a name that ends like a hash is cut too short:
/// better than a new service with every roll-out.
pub fn owner(pod: &[u8]) -> &[u8] {
    let split = |name: &'_ [u8]| memchr::memrchr(b'-', name).filter(|at| *at > 0);
    let Some(at) = split(pod) else { return pod };
    let (head, tail) = (pod.get(..at).unwrap_or(pod), pod.get(at + 1..).unwrap_or_default());
    let digits = |part: &[u8]| !part.is_empty() && part.iter().all(u8::is_ascii_digit);
    if digits(tail) && tail.len() <= 4 {
        return head;
    }
    let random = |part: &[u8], lengths: std::ops::RangeInclusive<usize>| {
        lengths.contains(&part.len()) && part.iter().all(|b| RANDOM.contains(b))
    };
    if !random(tail, 5..=5) {
        return pod;
    }
    let Some(at) = split(head) else { return head };
    let (shorter, middle) = (head.get(..at).unwrap_or(head), head.get(at + 1..).unwrap_or_default());
    // A ReplicaSet's hash, or the minute that a CronJob ran in.
    let of_owner = random(middle, 6..=10) || (digits(middle) && (7..=12).contains(&middle.len()));
    if of_owner { shorter } else { head }
}

/// Pod and container of `kube.var.log.containers.<pod>_<namespace>_<container>-<64 hex>.log`, the tag that a
/// tailed container file gets.
pub fn of_tag(tag: &[u8]) -> Option<(&[u8], &[u8])> {
    let name = tag.strip_suffix(b".log")?;
    let at = memchr::memmem::rfind(name, b"containers.")?;
    let name = name.get(at + b"containers.".len()..)?;
    let mut parts = name.split(|b| *b == b'_');
    let (pod, _namespace, rest) = (parts.next()?, parts.next()?, parts.next()?);
    let (container, id) = rest.split_at_checked(rest.len().checked_sub(65)?)?;
    let id = id.strip_prefix(b"-")?;
    (parts.next().is_none() && id.iter().all(u8::is_ascii_hexdigit)).then_some((pod, container))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pods_name_is_cut_to_its_owners() {
        for (pod, expected) in [
            ("orders-api-6c9f7d5b8d-x2k4q", "orders-api"),
            ("fluent-bit-x7k2p", "fluent-bit"),
            ("db-0", "db"),
            ("report-28123456-zx4cv", "report"),
            ("my-nginx", "my-nginx"),
            ("kube-proxy", "kube-proxy"),
            ("kube-apiserver-ip-10-0-0-1.ec2.internal", "kube-apiserver-ip-10-0-0-1.ec2.internal"),
            ("web", "web"),
            ("-x2k4q", "-x2k4q"),
            ("", ""),
        ] {
            assert_eq!(String::from_utf8_lossy(owner(pod.as_bytes())), expected, "{pod}");
        }
    }

    #[test]
    fn the_tag_of_a_tailed_container_file_names_pod_and_container() {
        let id = "0".repeat(64);
        let tag = format!("kube.var.log.containers.orders-6c9f7d5b8d-x2k4q_shop_api-{id}.log");
        assert_eq!(of_tag(tag.as_bytes()), Some((&b"orders-6c9f7d5b8d-x2k4q"[..], &b"api"[..])));
        for other in ["kube.x", "containers.a_b_c.log", "host.syslog", "", "containers..log"] {
            assert_eq!(of_tag(other.as_bytes()), None, "{other}");
        }
    }
}
