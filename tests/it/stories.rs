//! Two stories from their beginning to their end, with no hand on them: a service that a restart cures, and a bug that
//! is mended. Run alone and uncaptured (`just story-restart`, `just story-patch`) each tells itself as it happens.

use std::process::Command;
use std::time::{Duration, Instant};

use emberwatch_chaos::Settings;
use emberwatch_chaos::mode::Mode;
use serde_json::{Value, json};

use crate::slack::with_bot;
use crate::story::{now, post, start};
use crate::world::claude::{Claude, KEY, Reply};
use crate::world::eventually;
use crate::world::github::{GitHubStandIn, TOKEN};
use crate::world::http::{Connection, Request, get_json, get_text};
use crate::world::program::Program;
use crate::world::repository::Repository;
use crate::world::slack::{Message, SlackStandIn};

/// For what waits for a window to fall quiet, beside other tests.
const PATIENT: Duration = Duration::from_secs(90);

/// Tells what happens, and when.
struct Teller {
    begun: Instant,
    /// Messages of Slack that were told.
    told: usize,
}

impl Teller {
    fn begin(title: &str) -> Teller {
        let teller = Teller { begun: Instant::now(), told: 0 };
        teller.line(&format!("\n{title}\n"));
        teller
    }

    fn say(&self, words: &str) {
        let at = self.begun.elapsed().as_secs_f64();
        self.line(&format!("{at:5.1} s  {}", words.replace('\n', "\n         ")));
    }

    #[expect(clippy::print_stdout, reason = "captured, unless somebody wants to read it")]
    fn line(&self, words: &str) {
        println!("{words}");
    }

    /// What has come to Slack since; what hangs in a thread stands further in.
    fn slack(&mut self, slack: &SlackStandIn) {
        let messages = slack.messages();
        for message in messages.iter().skip(self.told) {
            let (place, bar) = if message.thread_ts.is_some() { ("in the thread", "│") } else { ("#alerts", "┃") };
            let lines: Vec<String> = message.text.lines().map(|line| format!("  {bar} {line}")).collect();
            self.say(&format!("Slack, {place}:\n{}", lines.join("\n")));
        }
        self.told = messages.len();
    }

    /// Tells messages as they come, until one is there.
    fn until(&mut self, slack: &SlackStandIn, what: &str, is_it: impl Fn(&Message) -> bool) -> Message {
        eventually(what, PATIENT, || {
            self.slack(slack);
            slack.messages().into_iter().find(|message| is_it(message))
        })
    }
}

fn config(claude: &Claude, slack: &SlackStandIn, more: &str, watch: &str) -> String {
    let url = claude.url();
    let rest = format!(
        "[triage]\nprovider = \"off\"\n\n[escalation]\nsettle_seconds = 1\n\n\
         [investigation]\nprovider = \"anthropic\"\nurl = \"{url}\"\napi_key = \"{KEY}\"\n{more}\n\n[[watch]]\n{watch}\n"
    );
    with_bot(slack, &rest)
}

fn register(program: &Program, name: &str, descriptor: &Value) {
    let request = Request::bare("PUT", &format!("/services/{name}")).header("Content-Type", "application/json");
    let answer = Connection::open(program.control_addr()).send(&request.body(descriptor.to_string()));
    assert!(matches!(answer.status, 200 | 201), "{}", answer.text());
}

/// What a model would answer.
fn verdict(cause: &str, evidence: Value, plan: Value) -> Reply {
    let answer = json!({"root_cause": cause, "confidence": 0.93, "evidence": evidence, "plan": plan});
    Reply::Say(answer.to_string())
}

#[test]
fn a_shop_whose_pool_is_leaked_is_understood_restarted_and_recovers() {
    let (claude, slack) = (Claude::start(), SlackStandIn::start());
    let watch = "label = \"buys_fail\"\nmatch = { all = [{ field = \"path\", eq = \"/buy\" }, { field = \"status\", gte = 500 }] }\n\
        threshold = 5\nwindow_seconds = 4\nseverity = \"critical\"\nsummary = \"customers cannot buy\"";
    let program = start(&config(&claude, &slack, "", watch));
    let mut teller = Teller::begin("A shop whose pool is leaked");
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let ingest = format!("http://{}/ingest", program.ingest_addr()).parse().expect("an address");
    let settings = Settings {
        listen: "127.0.0.1:0".parse().expect("an address"),
        ingest: Some(ingest),
        service: "shop".into(),
        cluster: "prod".into(),
        flush: Duration::from_millis(250),
        visitors: 20,
        prints: false,
    };
    let shop = runtime.block_on(emberwatch_chaos::start(settings)).expect("a shop");
    let remedy = json!({"name": "restart", "url": format!("http://{}/restart", shop.address),
                        "cures": ["connection pool exhausted"], "cooldown_seconds": 60, "per_day": 3});
    register(&program, "shop", &json!({"description": "Sells books.", "remedies": [remedy]}));
    let buy = || Connection::open(shop.address).send(&Request::bare("GET", "/buy")).status;
    assert_eq!(buy(), 200);
    teller.say("The shop is open: GET /buy answers 200, twenty customers a second.");
    let said = "connection pool exhausted: 4 of 4 connections in use, waited 50 ms for one";
    claude.in_pieces_of(64);
    claude.otherwise(verdict(
        "Every connection of the shop's pool is taken and none comes back, so each sale waits in vain and fails with 500.",
        json!([{"path": null, "line": null, "quote": said, "says": "No sale gets a connection."}]),
        json!({"action": "restart_service", "reason": "A new process has a new pool.", "remedy": "restart",
               "steps": ["Find the path that does not give its connection back."], "edits": [], "tests": []}),
    ));

    let answer = Connection::open(shop.address)
        .send(&Request::bare("POST", "/chaos/trigger").body(json!({"mode": Mode::PoolLeaked.as_str()}).to_string()));
    assert_eq!((answer.status, buy()), (200, 500));
    teller.say("POST /chaos/trigger {\"mode\": \"pool_leaked\"}: GET /buy answers 500.");

    let first = teller.until(&slack, "the first message", |message| message.thread_ts.is_none());
    assert!(first.text.contains("buys_fail") && first.text.contains("shop"), "{}", first.text);
    eventually("it is restarted", PATIENT, || (get_json(shop.address, "/status")["restarts"] == 1).then_some(()));
    teller.slack(&slack);
    let asked = claude.calls();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0]["stream"], true);
    let dossier = asked[0]["messages"].to_string();
    assert!(dossier.contains(said), "{dossier}");
    teller.say(&format!("The model was asked once, {} bytes; POST /restart was called once.", dossier.len()));
    assert_eq!(buy(), 200);
    teller.say("GET /buy answers 200.");
    teller.until(&slack, "it is told that it recovered", |message| message.text.contains("quiet for a whole window"));
    teller.until(&slack, "it is told that it is resolved", |message| message.text.to_lowercase().contains("resolved"));
    let messages = slack.messages();
    assert_eq!(messages.iter().filter(|message| message.thread_ts.is_none()).count(), 1, "all else hangs below it");
    assert!(messages.iter().all(|message| message.thread_ts.as_ref().is_none_or(|ts| *ts == first.ts)));
    let shown = get_json(program.control_addr(), "/investigations");
    assert_eq!(shown["investigations"].as_array().map(Vec::len), Some(1), "{shown}");
    let status = get_json(shop.address, "/status");
    assert_eq!((&status["restarts"], &status["status"]), (&json!(1), &json!("ok")));
    teller.say(&format!("The shop: {status}"));
}

const PRICES: &str = r#"from decimal import Decimal

FALLBACK = "EUR"
TABLE = {("A1", "EUR"): Decimal("12.00"), ("A1", "CHF"): Decimal("12.50"), ("B2", "EUR"): Decimal("3.00")}


def price_of(sku, currency):
    """The price of one piece; in euros where no other is set."""
    return TABLE.get((sku, currency)) or TABLE[(sku, FALLBACK)]
"#;
const BUG: (&str, &str) = ("TABLE.get((sku, currency)) or TABLE[(sku, FALLBACK)]", "TABLE[(sku, currency)]");
const TESTS: &str = r#"import unittest
from decimal import Decimal

from shop.prices import price_of


class Prices(unittest.TestCase):
    def test_a_price_that_is_set(self):
        self.assertEqual(price_of("A1", "CHF"), Decimal("12.50"))
"#;
const REGRESSION: &str = r#"import unittest
from decimal import Decimal

from shop.prices import price_of


class Fallback(unittest.TestCase):
    def test_a_price_in_euros_where_no_other_is_set(self):
        self.assertEqual(price_of("B2", "CHF"), Decimal("3.00"))
"#;
const TRACE: &str = "ERROR checkout failed\nTraceback (most recent call last):\n  File \"/usr/src/app/shop/checkout.py\", line 5, in total\n    \
    return sum(price_of(sku, currency) for sku in skus)\n  File \"/usr/src/app/shop/prices.py\", line 9, in price_of\n    \
    return TABLE[(sku, currency)]\nKeyError: ('B2', 'CHF')";

#[test]
fn a_bug_of_the_last_deploy_is_found_mended_proven_and_proposed() {
    if Command::new("python3").arg("--version").output().is_err() {
        return Teller::begin("skipped: no python3 to be had").line("");
    }
    let (claude, slack, github) = (Claude::start(), SlackStandIn::start(), GitHubStandIn::start());
    let remote = github.remote().display().to_string();
    let ours = Repository::new();
    ours.write("shop/__init__.py", "");
    ours.write("shop/prices.py", PRICES);
    let checkout = "from shop.prices import price_of\n\n\ndef total(skus, currency):\n    return sum(price_of(sku, currency) for sku in skus)\n";
    ours.write("shop/checkout.py", checkout);
    ours.write("test_prices.py", TESTS);
    let before = ours.commit("Prices, in euros where no other is set");
    ours.write("shop/prices.py", PRICES.replace(BUG.0, BUG.1));
    let commit = ours.commit("Look prices up once");
    ours.git(&["push", "--quiet", &remote, "main"]);

    let more = format!("github_url = \"{}\"\ngithub_token = \"{TOKEN}\"", github.url());
    let watch = "label = \"checkout_fails\"\nmatch = { field = \"level\", eq = \"error\" }\nthreshold = 3\nwindow_seconds = 10\n\
        severity = \"critical\"\nsummary = \"checkouts end in an exception\"";
    let program = start(&config(&claude, &slack, &more, watch));
    let mut teller = Teller::begin("A bug of the last deploy");
    register(
        &program,
        "checkout",
        &json!({"repository": remote, "fix": "pr", "test": "python3 -B -m unittest -q", "description": "Adds up baskets."}),
    );
    for commit in [&before, &commit] {
        register(&program, "checkout/deploy", &json!({"commit": commit}));
        teller.say(&format!("PUT /services/checkout/deploy {{\"commit\": \"{}\"}}", commit.get(..12).expect("a hash")));
    }
    let place = json!({"path": "shop/prices.py", "line": 9, "quote": format!("return {}", BUG.1), "says": "Raises where no price is set in that currency."});
    let line = json!({"path": null, "line": null, "quote": "KeyError: ('B2', 'CHF')", "says": "B2 has a price in euros only."});
    claude.in_pieces_of(200);
    claude.otherwise(verdict(
        "The last deploy dropped the fallback to euros: price_of raises KeyError for an article that has no price in the basket's currency.",
        json!([place, line]),
        json!({"action": "patch", "reason": "One line brings the fallback back.", "remedy": null,
               "steps": ["Review the draft.", "Deploy it, or go back to the commit before."],
               "edits": [{"path": "shop/prices.py", "search": BUG.1, "replace": BUG.0}],
               "tests": [{"path": "test_fallback.py", "search": "", "replace": REGRESSION}]}),
    ));

    for _ in 0..5 {
        let record = json!({"date": now(), "source": "stdout", "log": TRACE, "container_name": "checkout",
                            "ecs_cluster": "prod", "ecs_task_definition": "checkout:7"});
        post(&program, format!("{record}\n"));
    }
    teller.say("Five customers could not check out. In the log:");
    teller.say(TRACE);
    let proposed = eventually("a draft is opened", PATIENT, || {
        teller.slack(&slack);
        github.pulls().first().cloned()
    });
    teller.until(&slack, "the draft is told in the thread", |message| {
        message.thread_ts.is_some() && message.text.contains("https://github.example/acme/shop/pull/1")
    });
    assert!(proposed.draft && proposed.base == "main", "{proposed:?}");
    assert_eq!(github.pulls().len(), 1);
    let branches = github.branches();
    assert_eq!((branches.len(), &branches[0].0), (1, &proposed.head));
    let at = |path: &str| github.git(&["show", &format!("{}:{path}", branches[0].1)]);
    assert_eq!(at("shop/prices.py"), PRICES.trim());
    assert_eq!(at("test_fallback.py"), REGRESSION.trim());
    assert_eq!(github.git(&["rev-parse", &format!("{}^", branches[0].1)]), commit, "from the commit that ran");
    let shown: String =
        format!("{}\n\n{}", proposed.title, proposed.body).lines().map(|line| format!("  ┊ {line}\n")).collect();
    teller.say(&format!("GitHub, draft #1, {} into {}:\n{}", proposed.head, proposed.base, shown.trim_end()));
    let diff = get_text(program.control_addr(), "/investigations/E1.diff");
    assert!(
        diff.contains(&format!("-    return {}", BUG.1)) && diff.contains(&format!("+    return {}", BUG.0)),
        "{diff}"
    );
    teller.say(&format!("GET /investigations/E1.diff\n{}", diff.trim_end()));
}
