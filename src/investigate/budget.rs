//! How much may be investigated: at once, in an hour, in a day, for how many tokens, for how much money.
//!
//! Pure: time is a parameter. It is plain data for a row of the store, and small: an entry for each investigation of
//! the last day. Hours and days are the last sixty minutes and twenty-four hours, not the clock's. The
//! bounds on tokens and money hold strictly: who begins is told how much it may spend, and that much is set aside
//! until it ends.

use serde::{Deserialize, Serialize};

use super::model::Cost;

pub const HOUR_MS: i64 = 3_600_000;
pub const DAY_MS: i64 = 24 * HOUR_MS;
/// What one that never told its cost is taken to have cost: this part of the day's.
const UNTOLD_PART: u64 = 10;

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    pub concurrent: usize,
    pub per_hour: usize,
    pub per_day: usize,
    pub tokens_per_day: u64,
    pub usd_per_day: f64,
}

/// What was begun within the last day, and what it has cost.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Budget {
    /// In the order in which they began.
    begun: Vec<Begun>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Begun {
    id: u64,
    at_ms: i64,
    /// Under way: what is set aside for it. Else: what it has cost.
    cost: Cost,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    is_under_way: bool,
}

/// A closed set: it labels a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bound {
    Concurrent,
    PerHour,
    PerDay,
    Tokens,
    Usd,
}

/// Which bound is in the way, and when it is no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    pub bound: Bound,
    /// Unix milliseconds. `None`: when one that is under way ends, or, of tokens and money, not with these limits.
    pub again_ms: Option<i64>,
}

/// Of the last hour and day, what is under way included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Spent {
    pub under_way: usize,
    pub last_hour: usize,
    pub last_day: usize,
    /// What is set aside included.
    pub tokens: u64,
    pub usd: f64,
}

impl Budget {
    /// Begins one that needs `least` at the least, and says what it may spend: its share of what is left. One that is
    /// under way already goes on with what was set aside for it.
    pub fn begin(&mut self, id: u64, least: Cost, limits: &Limits, now_ms: i64) -> Result<Cost, Refused> {
        self.tidy(now_ms);
        if let Some(known) = self.begun.iter().find(|begun| begun.is_under_way && begun.id == id) {
            return Ok(known.cost);
        }
        let under_way = self.begun.iter().filter(|begun| begun.is_under_way).count();
        if under_way >= limits.concurrent {
            return Err(Refused { bound: Bound::Concurrent, again_ms: None });
        }
        for (bound, most, span_ms) in
            [(Bound::PerDay, limits.per_day, DAY_MS), (Bound::PerHour, limits.per_hour, HOUR_MS)]
        {
            let mut within = self.begun.iter().filter(|begun| begun.at_ms > now_ms.saturating_sub(span_ms));
            let count = within.clone().count();
            if count >= most {
                let leaves = within.nth(count - most).filter(|_| most > 0);
                return Err(Refused { bound, again_ms: leaves.map(|begun| begun.at_ms.saturating_add(span_ms)) });
            }
        }
        let left = self.left(limits);
        let (tokens_fit, usd_fits) = (left.tokens >= least.tokens, left.usd >= least.usd);
        if !tokens_fit || !usd_fits {
            let bound = if tokens_fit { Bound::Usd } else { Bound::Tokens };
            return Err(Refused { bound, again_ms: self.when_covered(least, limits) });
        }
        let places = limits.concurrent.saturating_sub(under_way).max(1);
        let share = Cost {
            tokens: (left.tokens / places as u64).max(least.tokens),
            usd: (left.usd / places as f64).max(least.usd),
        };
        self.begun.push(Begun { id, at_ms: now_ms, cost: share, is_under_way: true });
        Ok(share)
    }

    /// Ends one with what it has cost. What was set aside beyond that is free again.
    pub fn end(&mut self, id: u64, cost: Cost) {
        if let Some(begun) = self.begun.iter_mut().rev().find(|begun| begun.is_under_way && begun.id == id) {
            begun.cost = Cost { tokens: cost.tokens, usd: sound(cost.usd) };
            begun.is_under_way = false;
        }
    }

    /// Ends those that nobody goes on with: all that a former life left under way, or the one whose task has died. What
    /// they have cost is not known: a tenth of the day's is taken for it, so that crashes in a row end by the budget.
    pub fn abandon(&mut self, only: Option<u64>, limits: &Limits) {
        let is_meant = |begun: &&mut Begun| begun.is_under_way && only.is_none_or(|id| begun.id == id);
        for begun in self.begun.iter_mut().filter(is_meant) {
            begun.cost.tokens = begun.cost.tokens.min(limits.tokens_per_day / UNTOLD_PART);
            begun.cost.usd = begun.cost.usd.min(limits.usd_per_day / UNTOLD_PART as f64);
            begun.is_under_way = false;
        }
    }

    pub fn spent(&self, now_ms: i64) -> Spent {
        let mut spent = Spent::default();
        for begun in &self.begun {
            let age_ms = now_ms.saturating_sub(begun.at_ms);
            spent.under_way += usize::from(begun.is_under_way);
            spent.last_hour += usize::from(age_ms < HOUR_MS);
            if age_ms < DAY_MS {
                spent.last_day += 1;
                spent.tokens = spent.tokens.saturating_add(begun.cost.tokens);
                spent.usd += begun.cost.usd;
            }
        }
        spent
    }

    /// Ids of those under way, the oldest first.
    pub fn under_way(&self) -> impl Iterator<Item = u64> {
        self.begun.iter().filter(|begun| begun.is_under_way).map(|begun| begun.id)
    }

    /// Drops what is older than a day; a clock that was set back makes nothing younger than now.
    fn tidy(&mut self, now_ms: i64) {
        for begun in &mut self.begun {
            begun.at_ms = begun.at_ms.min(now_ms);
            // A row of the store may hold anything.
            begun.cost.usd = sound(begun.cost.usd);
        }
        self.begun.retain(|begun| begun.is_under_way || begun.at_ms > now_ms.saturating_sub(DAY_MS));
    }

    fn left(&self, limits: &Limits) -> Cost {
        let tokens = self.begun.iter().fold(0_u64, |sum, begun| sum.saturating_add(begun.cost.tokens));
        let usd: f64 = self.begun.iter().map(|begun| begun.cost.usd).sum();
        Cost { tokens: limits.tokens_per_day.saturating_sub(tokens), usd: (limits.usd_per_day - usd).max(0.0) }
    }

    /// When so many have left the day that `least` is covered; those under way stay.
    fn when_covered(&self, least: Cost, limits: &Limits) -> Option<i64> {
        let mut rest = self.clone();
        for begun in self.begun.iter().filter(|begun| !begun.is_under_way) {
            rest.begun.retain(|other| other.is_under_way || other.at_ms > begun.at_ms);
            if rest.left(limits).covers(least) {
                return Some(begun.at_ms.saturating_add(DAY_MS));
            }
        }
        None
    }
}

impl Bound {
    pub const ALL: [Bound; 5] = [Bound::Concurrent, Bound::PerHour, Bound::PerDay, Bound::Tokens, Bound::Usd];

    pub fn as_str(self) -> &'static str {
        match self {
            Bound::Concurrent => "concurrent",
            Bound::PerHour => "per_hour",
            Bound::PerDay => "per_day",
            Bound::Tokens => "tokens_per_day",
            Bound::Usd => "usd_per_day",
        }
    }
}

/// No number at all counts as nothing spent, and nobody earns anything.
fn sound(usd: f64) -> f64 {
    if usd.is_finite() { usd.max(0.0) } else { 0.0 }
}

#[cfg(test)]
mod tests;
