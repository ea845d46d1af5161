//! What each service sends, since the start: lines, and in which form their bodies come.
//!
//! For people who look for the odd one: a service that logs JSON and, now and then, a text that no filter took
//! apart. Bounded like the metric of its lines: so many services have figures of their own, the rest is `other`.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use super::stage::{SERVICES_MAX, ServiceFigures};
use crate::record::format::Format;

/// Below this part of a service's lines a form is an oddity: one in twenty.
const ODD_PART: u64 = 20;

#[derive(Default)]
pub struct Services {
    /// By cluster and service. A plain lock: held for a few additions.
    held: Mutex<HashMap<(String, String), Figures>>,
}

/// What one service has sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Figures {
    pub lines: u64,
    /// In the order of [`Format::ALL`].
    pub formats: [u64; Format::ALL.len()],
    /// Time of its newest live record, unix milliseconds.
    pub newest_ms: Option<i64>,
}

impl Default for Figures {
    fn default() -> Self {
        Figures { lines: 0, formats: [0; Format::ALL.len()], newest_ms: None }
    }
}

impl Services {
    /// Adds what a committed batch brought.
    pub fn add(&self, batch: &[ServiceFigures]) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        for of in batch {
            let key = (of.cluster.clone(), of.service.clone());
            let room = held.contains_key(&key) || held.len() < SERVICES_MAX;
            let figures = held.entry(if room { key } else { (String::new(), "other".to_owned()) }).or_default();
            figures.lines += of.lines;
            figures.newest_ms = figures.newest_ms.max(of.newest_ms);
            for (sum, count) in figures.formats.iter_mut().zip(of.formats) {
                *sum += count;
            }
        }
    }

    /// Cluster, service and figures of each; who sends most comes first.
    pub fn all(&self) -> Vec<(String, String, Figures)> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<_> = held.iter().map(|((c, s), figures)| (c.clone(), s.clone(), figures.clone())).collect();
        drop(held);
        all.sort_by(|a, b| b.2.lines.cmp(&a.2.lines).then_with(|| (&a.0, &a.1).cmp(&(&b.0, &b.1))));
        all
    }
}

impl Figures {
    /// The forms that came, with how many lines did.
    pub fn by_format(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Format::ALL.iter().map(|f| f.as_str()).zip(self.formats).filter(|(_, count)| *count > 0)
    }

    /// One of its forms is rare beside the others.
    pub fn is_mixed(&self) -> bool {
        let all: u64 = self.formats.iter().sum();
        self.formats.iter().any(|count| *count > 0 && count.saturating_mul(ODD_PART) < all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(service: &str, formats: &[(Format, u64)], newest_ms: Option<i64>) -> ServiceFigures {
        let mut counts = [0; Format::ALL.len()];
        for (format, count) in formats {
            counts[*format as usize] = *count;
        }
        let lines = counts.iter().sum();
        ServiceFigures { cluster: "c".into(), service: service.into(), lines, newest_ms, formats: counts }
    }

    #[test]
    fn figures_add_up_and_who_sends_most_comes_first() {
        let services = Services::default();
        services.add(&[batch("a", &[(Format::Json, 3)], Some(5)), batch("b", &[(Format::Text, 9)], None)]);
        services.add(&[batch("a", &[(Format::Json, 20), (Format::Text, 1)], Some(4))]);
        let all = services.all();
        assert_eq!(all.iter().map(|(_, s, f)| (s.as_str(), f.lines)).collect::<Vec<_>>(), [("a", 24), ("b", 9)]);
        let (a, b) = (&all[0].2, &all[1].2);
        assert_eq!(a.by_format().collect::<Vec<_>>(), [("json", 23), ("text", 1)]);
        assert_eq!((a.newest_ms, b.newest_ms), (Some(5), None));
        assert!(a.is_mixed() && !b.is_mixed(), "1 of 24 is rare; the only form is not");
    }

    #[test]
    fn a_form_of_one_line_in_twenty_is_no_oddity_and_of_fewer_is_one() {
        for (json, text, mixed) in [(19, 1, false), (20, 1, true), (0, 1, false), (1, 1, false), (1000, 49, true)] {
            let figures = Figures {
                formats: batch("a", &[(Format::Json, json), (Format::Text, text)], None).formats,
                ..Figures::default()
            };
            assert_eq!(figures.is_mixed(), mixed, "{json} and {text}");
        }
    }

    #[test]
    fn services_beyond_the_bound_share_one_and_nothing_is_lost() {
        let services = Services::default();
        for n in 0..SERVICES_MAX + 50 {
            services.add(&[batch(&format!("s{n}"), &[(Format::Json, 1)], None)]);
        }
        let all = services.all();
        assert_eq!(all.len(), SERVICES_MAX + 1);
        assert_eq!((all[0].1.as_str(), all[0].2.lines), ("other", 50));
    }
}
