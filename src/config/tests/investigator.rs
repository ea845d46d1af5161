//! Who is asked about dossiers: the second half of `[investigation]`.

use super::*;
use crate::investigate::model::{ANTHROPIC_URL, DEFAULT_MODEL, Target};

fn target(config: &Config) -> String {
    match &config.investigator.target {
        None => "nobody".to_owned(),
        Some(Target::Anthropic { url, model, key }) => format!("anthropic {url} {model} {}", key.expose()),
        Some(Target::OpenAi { url, model, key }) => {
            format!("openai {url} {model} {}", key.as_ref().map_or("-", |key| key.expose()))
        }
    }
}

#[test]
fn with_a_key_anthropic_is_asked_and_without_one_nobody() {
    let usual = format!("anthropic {ANTHROPIC_URL} {DEFAULT_MODEL} k");
    let server = "url = \"http://127.0.0.1:8000/v1\"\nmodel = \"m\"";
    for (text, wanted) in [
        (String::new(), "nobody".to_owned()),
        ("[investigation]\napi_key = \"k\"".to_owned(), usual.clone()),
        ("[investigation]\napi_key_file = \"key\"".to_owned(), usual.clone()),
        ("[investigation]\nprovider = \"anthropic\"\napi_key = \"k\"".to_owned(), usual),
        ("[investigation]\nprovider = \"off\"\napi_key = \"k\"".to_owned(), "nobody".to_owned()),
        (format!("[investigation]\nprovider = \"openai\"\n{server}"), "openai http://127.0.0.1:8000/v1 m -".to_owned()),
        (
            "[investigation]\napi_key = \"k\"\nurl = \"http://127.0.0.1:9/\"\nmodel = \"claude-opus-5\"".to_owned(),
            "anthropic http://127.0.0.1:9 claude-opus-5 k".to_owned(),
        ),
    ] {
        assert_eq!(target(&World::new().file("key", "k\n").toml(&text).config()), wanted, "{text}");
    }
    let world = World::new().file("secret", "from-a-file").env("EMBERWATCH_INVESTIGATION_API_KEY_FILE", "secret");
    assert!(target(&world.config()).ends_with(" from-a-file"));
}

#[test]
fn prices_and_money_may_have_a_fraction_and_two_prices_are_enough() {
    let text = "[investigation]\nprice_input = 2\nprice_output = 8.5\nusd_per_day = 0.5\nper_hour = 3";
    let investigator = World::new().toml(text).config().investigator;
    let prices = investigator.prices.expect("given");
    assert_eq!((prices.input, prices.output, prices.cached, prices.written), (2.0, 8.5, 2.0, 2.5));
    assert_eq!((investigator.budget.usd_per_day, investigator.budget.per_hour), (0.5, 3));
    let world = World::new().env("EMBERWATCH_INVESTIGATION_USD_PER_DAY", "7.25");
    assert_eq!(world.config().investigator.budget.usd_per_day, 7.25);
    let usual = World::new().config().investigator;
    assert!(usual.prices.is_none() && usual.budget.usd_per_day == 20.0 && usual.bounds.max_turns == 8);
}

#[test]
fn each_fault_names_its_key_and_no_key_of_anthropic_is_shown() {
    for (text, wanted) in [
        ("provider = \"claude\"", "investigation.provider: "),
        ("provider = \"anthropic\"", "investigation.api_key: "),
        ("provider = \"openai\"", "investigation.url: "),
        ("provider = \"openai\"\nurl = \"https://h\"", "investigation.model: "),
        ("api_key = \"sk-secret\"\nurl = \"http://example.com\"", "investigation.url: "),
        ("api_key = \"sk-secret\\n\"", "investigation.api_key: "),
        ("api_key = \"sk-secret\"\napi_key_file = \"x\"", "investigation.api_key: "),
        ("max_turns = 0", "investigation.max_turns: "),
        ("usd_per_day = -1", "investigation.usd_per_day: "),
        ("usd_per_day = nan", "investigation.usd_per_day: "),
        ("usd_per_day = \"20\"", "investigation.usd_per_day: "),
        ("price_input = 4.0", "investigation.price_output: "),
        ("price_cached = 4.0", "investigation.price_input: "),
        ("usd_a_day = 1.0", "investigation.usd_a_day: "),
    ] {
        let faults = World::new().toml(&format!("[investigation]\n{text}")).faults();
        assert!(faults.contains(wanted) && !faults.contains("sk-secret"), "{text}: {faults}");
    }
}
