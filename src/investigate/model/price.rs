//! What tokens cost.

use serde::Serialize;

use super::{Cost, Usage};

/// US dollars for a million tokens.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Prices {
    pub input: f64,
    pub output: f64,
    /// Read from the cache.
    pub cached: f64,
    /// Written to it.
    pub written: f64,
}

const MILLION: f64 = 1e6;

/// List prices of 2026-11, by name.
const KNOWN: [(&str, Prices); 4] = [
    ("claude-opus-5-5", Prices { input: 4.0, output: 20.0, cached: 0.2, written: 5.0 }),
    ("claude-opus-5", Prices { input: 5.0, output: 25.0, cached: 0.5, written: 6.25 }),
    ("claude-sonnet-5-5", Prices { input: 2.0, output: 10.0, cached: 0.2, written: 2.5 }),
    ("claude-fable-5-1", Prices { input: 10.0, output: 50.0, cached: 1.0, written: 12.5 }),
];

impl Prices {
    /// A server of one's own takes no money for a token.
    pub const NOTHING: Prices = Prices { input: 0.0, output: 0.0, cached: 0.0, written: 0.0 };
    /// Of what is known the dearest: a budget that guesses wrong ends too early rather than too late.
    pub const DEAREST: Prices = Prices { input: 10.0, output: 50.0, cached: 1.0, written: 12.5 };

    /// Of a model by its name, with or without a date behind it.
    pub fn of(model: &str) -> Option<Prices> {
        let is_date = |rest: &str| rest.len() == 8 && rest.bytes().all(|b| b.is_ascii_digit());
        let is = |name: &str| match model.strip_prefix(name) {
            Some("") => true,
            Some(rest) => rest.strip_prefix('-').is_some_and(is_date),
            None => false,
        };
        KNOWN.iter().find(|(name, _)| is(name)).map(|(_, prices)| *prices)
    }

    pub fn cost(&self, usage: &Usage) -> Cost {
        let usd = usage.input as f64 * self.input
            + usage.written as f64 * self.written
            + usage.cached as f64 * self.cached
            + usage.output as f64 * self.output;
        Cost { tokens: usage.tokens(), usd: usd / MILLION }
    }

    /// At the most, whatever the cache has of it.
    pub fn at_most(&self, prompt: u64, output: u64) -> Cost {
        let dearest = self.input.max(self.written).max(self.cached);
        let usd = prompt as f64 * dearest + output as f64 * self.output;
        Cost { tokens: prompt.saturating_add(output), usd: usd / MILLION }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_known_by_its_whole_name_with_or_without_a_date() {
        for (model, input) in [
            ("claude-opus-5-5", Some(4.0)),
            ("claude-opus-5", Some(5.0)),
            ("claude-opus-5-20260401", Some(5.0)),
            ("claude-opus-5-6", None),
            ("claude-opus-55", None),
            ("opus", None),
            ("", None),
        ] {
            assert_eq!(Prices::of(model).map(|prices| prices.input), input, "{model}");
        }
    }

    #[test]
    fn sixty_thousand_tokens_in_and_six_thousand_out_are_thirty_six_cents() {
        let prices = Prices::of("claude-opus-5-5").expect("known");
        let cost = prices.cost(&Usage { input: 60_000, output: 6_000, ..Usage::default() });
        assert_eq!((cost.tokens, (cost.usd * 1e6).round()), (66_000, 360_000.0));
        let cached = prices.cost(&Usage { cached: 1_000_000, written: 100_000, ..Usage::default() });
        assert_eq!((cached.usd * 1e6).round(), 700_000.0);
        assert!(prices.at_most(60_000, 6_000).usd > cost.usd);
        assert!(Prices::DEAREST.input >= KNOWN.iter().map(|(_, p)| p.input).fold(0.0, f64::max));
    }
}
