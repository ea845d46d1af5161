//! What is left to ask of an access line once its status is known.
//!
//! Every test on `status` and on `level` is settled by it, and what they leave of a rule is most often nothing, or
//! the question whether the message holds some text. That is the same for all lines of one status, so it is found
//! out when the first one comes.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{FieldName, Node, Program, Seen, holds, of_level};
use crate::record::Derived;
use crate::record::json::Value;
use crate::record::level::Level;

/// Statuses that HTTP can have.
const STATUSES: usize = 600;
/// Statuses for which rules are kept in their settled form: more than a fleet's traffic has. Of further ones rules are
/// asked as of any line, so that nobody can make them fill the memory.
const KEPT_MAX: usize = 32;

pub(super) struct Given {
    by_status: Box<[OnceLock<Box<[Left]>>]>,
    kept: AtomicUsize,
}

/// A rule about any service that may hold.
pub(super) struct Left {
    pub(super) place: usize,
    /// What is to be asked yet; `None`: it holds.
    pub(super) rule: Option<Node>,
}

impl Default for Given {
    fn default() -> Given {
        Given { by_status: (0..STATUSES).map(|_| OnceLock::new()).collect(), kept: AtomicUsize::new(0) }
    }
}

impl Program {
    /// What is left of the rules about any service, in their order; `None`: ask them all.
    #[inline]
    pub(super) fn given(&self, status: u16) -> Option<&[Left]> {
        let slot = self.given.by_status.get(usize::from(status))?;
        if let Some(left) = slot.get() {
            return Some(left);
        }
        self.settle(status, slot)
    }

    #[cold]
    fn settle<'s>(&self, status: u16, slot: &'s OnceLock<Box<[Left]>>) -> Option<&'s [Left]> {
        if self.given.kept.fetch_add(1, Ordering::Relaxed) >= KEPT_MAX {
            // So that it never wraps.
            self.given.kept.store(KEPT_MAX, Ordering::Relaxed);
            return None;
        }
        let rules = self.of_any.iter().filter_map(|place| Some((*place, self.rules.get(*place)?)));
        let left = rules.filter_map(|(place, rule)| match self.left(rule, status) {
            Ok(false) => None,
            Ok(true) => Some(Left { place, rule: None }),
            Err(rule) => Some(Left { place, rule: Some(rule) }),
        });
        Some(slot.get_or_init(|| left.collect()))
    }

    /// Whether it holds; or what of it the status does not settle.
    fn left(&self, node: &Node, status: u16) -> Result<bool, Node> {
        match node {
            Node::All(all) => self.left_of(all, status, false).map_err(Node::All),
            Node::Any(any) => self.left_of(any, status, true).map_err(Node::Any),
            Node::Not(inner) => match self.left(inner, status) {
                Ok(holds) => Ok(!holds),
                Err(left) => Err(Node::Not(Box::new(left))),
            },
            Node::Message(_) => Err(node.clone()),
            Node::Test(place, test) => {
                let seen = match self.fields.get(*place) {
                    Some(FieldName::Derived(Derived::Level)) => {
                        let level = Level::of_status(status);
                        Seen::of(Some(of_level(level)), Some(level))
                    }
                    Some(FieldName::Body(name)) if name.is_status() => {
                        Seen::of(Some(Value::Int(u64::from(status))), None)
                    }
                    _ => return Err(node.clone()),
                };
                Ok(holds(test, &seen))
            }
        }
    }

    /// Of several, where one that is `enough` decides; else what is left of them, if anything.
    fn left_of(&self, nodes: &[Node], status: u16, enough: bool) -> Result<bool, Vec<Node>> {
        let mut left = Vec::new();
        for node in nodes {
            match self.left(node, status) {
                Ok(holds) if holds == enough => return Ok(enough),
                Ok(_) => {}
                Err(node) => left.push(node),
            }
        }
        if left.is_empty() { Ok(!enough) } else { Err(left) }
    }
}

#[cfg(test)]
mod tests;
