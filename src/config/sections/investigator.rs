//! Who is asked what is behind an escalation, and what that may cost: the second half of `[investigation]`.

use std::time::Duration;

use crate::config::reader::{Section, Setting};
use crate::config::text::{self, URL_FORM};
use crate::config::{Investigator, defaults as d};
use crate::fault::Fault;
use crate::investigate::budget::Limits;
use crate::investigate::model::price::Prices;
use crate::investigate::model::{ANTHROPIC_URL, Bounds, DEFAULT_MODEL, Target};

/// Of the price of what is read, that of what is also written to a cache, where only the first is given.
const WRITTEN: f64 = 1.25;

pub(super) fn read(mut section: Section<'_, '_>) -> Investigator {
    let investigator = Investigator {
        target: target(&mut section),
        bounds: Bounds {
            max_turns: u32::try_from(section.whole("max_turns", d::INVESTIGATOR_TURNS)).unwrap_or(1),
            max_output_tokens: section.whole("max_output_tokens", d::INVESTIGATOR_OUTPUT_TOKENS),
            deadline: Duration::from_secs(section.whole("timeout_seconds", d::INVESTIGATOR_SECONDS)),
        },
        prices: prices(&mut section),
        budget: Limits {
            concurrent: section.count("concurrent", d::INVESTIGATOR_CONCURRENT),
            per_hour: section.count("per_hour", d::INVESTIGATOR_PER_HOUR),
            per_day: section.count("per_day", d::INVESTIGATOR_PER_DAY),
            tokens_per_day: section.whole("tokens_per_day", d::INVESTIGATOR_TOKENS_PER_DAY),
            usd_per_day: section.amount("usd_per_day", d::INVESTIGATOR_USD_PER_DAY),
        },
    };
    section.finish();
    investigator
}

fn target(section: &mut Section<'_, '_>) -> Option<Target> {
    let provider = section.word("provider", &d::INVESTIGATOR_PROVIDERS);
    let url = section.text("url", URL_FORM, text::base_url);
    let model = section.text("model", "the name of a model", text::model);
    let key = section.secret("api_key", 1);
    let mut missing = |name: &str, is_given: bool, expected: &str| {
        if !is_given {
            let fault = Fault::missing(section.key(name), expected);
            section.reader.push(fault);
        }
    };
    match provider.as_deref() {
        Some("off") => None,
        Some("openai") => {
            let expected = "the base address of the server, as provider = \"openai\" has no usual one";
            missing("url", url.is_given(), expected);
            missing("model", model.is_given(), "the name of a model, as provider = \"openai\" has no usual one");
            // A key that is faulty is no reason to ask without one.
            Some(Target::OpenAi { url: url.good()?, model: model.good()?, key: key.good() })
        }
        provider => {
            if provider == Some("anthropic") {
                missing("api_key", key.is_given(), "a key of Anthropic's API, or api_key_file");
            }
            let Setting::Good(key) = key else { return None };
            Some(Target::Anthropic {
                url: url.good().unwrap_or_else(|| ANTHROPIC_URL.to_owned()),
                model: model.good().unwrap_or_else(|| DEFAULT_MODEL.to_owned()),
                key,
            })
        }
    }
}

/// Those that are not given are guessed from `price_input`, and not too low.
fn prices(section: &mut Section<'_, '_>) -> Option<Prices> {
    let [input, output, cached, written] = ["price_input", "price_output", "price_cached", "price_written"]
        .map(|name| section.number(name, 0.0, d::PRICE_MAX));
    let others_are_given = cached.is_given() || written.is_given();
    for (name, is_given, needed) in [
        ("price_input", input.is_given(), output.is_given() || others_are_given),
        ("price_output", output.is_given(), input.is_given() || others_are_given),
    ] {
        if needed && !is_given {
            let expected = "US dollars for a million tokens, as another price is given";
            let fault = Fault::missing(section.key(name), expected);
            section.reader.push(fault);
        }
    }
    let (input, output) = (input.good()?, output.good()?);
    Some(Prices {
        input,
        output,
        cached: cached.good().unwrap_or(input),
        written: written.good().unwrap_or(input * WRITTEN),
    })
}
