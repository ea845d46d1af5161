//! Lines that were written to talk the triage into something: each class by name, a few hundred strings in all
//! (`tests/data/injections.ndjson`), before a model that does whatever they say.
//!
//! The program runs three times over the same lines: without a model; with one that believes what it is shown; and
//! with one that replies, word for word, what the attacker would have it reply, whatever of that came through. Each
//! test looks at what one class of strings has done in the last two, beside the first.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};
use std::thread;

use emberwatch::notify::notice::{Notice, NoticeKind, Severity};
use emberwatch::notify::text;
use emberwatch::redact::Redacted;
use emberwatch::triage::prompt::{Limits, Prompt};
use emberwatch::triage::{trial, verdict};
use serde_json::{Value, json};

use crate::control::Scrape;
use crate::slack::{assert_kept_secret, with_bot};
use crate::story::{CLUSTER, SOON, config, flood, now, post, start};
use crate::triage::{is_proposed, of_people};
use crate::world::eventually;
use crate::world::http::{get_json, get_text};
use crate::world::model::{Answer, ModelStandIn, verdicts_in};
use crate::world::slack::SlackStandIn;

/// Classes of which three strings each are sent by a service that a person's watch tells of: what they do in Slack.
const HEARD: [&str; 8] = [
    "slack_markup",
    "control_characters",
    "hidden_text",
    "breakouts",
    "exfiltration",
    "long_tokens",
    "homoglyphs",
    "chat_marks",
];
/// Escalations of the floods: three watches of three services, and the one process that dies.
const OF_FLOODS: usize = 10;
/// Messages about what triage raises that may reach Slack, which takes one a second.
const MESSAGES: usize = 6;
/// A line of a prompt, at most.
const LINE_BYTES: usize = 600;

struct Row {
    class: String,
    /// Its place in the file: its service is called after class and place, so that each is a kind of its own.
    place: usize,
    text: String,
}

/// What came of one run.
#[derive(Default)]
struct Run {
    /// Told of people's and built-in watches.
    people: Vec<Value>,
    /// People's and built-in watches, with what they have counted.
    watches: Vec<Value>,
    proposed: Vec<Value>,
    raised: Vec<Value>,
    told: Vec<Value>,
    questions: Vec<Value>,
    decisions: Vec<Value>,
    slack: Vec<String>,
    metrics: String,
    alerts_text: String,
}

struct Runs {
    rows: Vec<Row>,
    without: Run,
    believing: Run,
    reciting: Run,
}

static RUNS: LazyLock<Runs> = LazyLock::new(|| {
    let rows = rows();
    let (floods, date) = (floods(), now());
    let (without, believing, reciting) = thread::scope(|scope| {
        let (rows, floods) = (&rows, floods.as_str());
        let without = scope.spawn(move || run(rows, floods, date, None));
        let believing = scope.spawn(move || run(rows, floods, date, Some((Answer::Believe, 10))));
        let replies = Arc::new(rows.iter().map(|row| (row.service(), reply(row))).collect::<BTreeMap<_, _>>());
        let reciting = scope.spawn(move || run(rows, floods, date, Some((Answer::Recite(replies), 10))));
        (without.join(), believing.join(), reciting.join())
    });
    let [without, believing, reciting] = [without, believing, reciting].map(|run| run.expect("a run that ended well"));
    Runs { rows, without, believing, reciting }
});

fn rows() -> Vec<Row> {
    let lines = include_str!("../data/injections.ndjson").lines().enumerate();
    let text = |value: &Value| value.as_str().expect("a text").replace('¦', "");
    let row = |(place, line): (usize, &str)| {
        let row: Value = serde_json::from_str(line).expect("JSON");
        let times = row["repeat"]["times"].as_u64().unwrap_or(0);
        let repeated = row["repeat"]["text"].as_str().unwrap_or_default().repeat(times as usize);
        Row { class: text(&row["class"]), place, text: text(&row["text"]) + &repeated }
    };
    lines.map(row).collect()
}

impl Row {
    fn service(&self) -> String {
        format!("{}-{}", self.class, self.place)
    }
}

fn secrets() -> [String; 2] {
    [["AK", "IAIOSFODNN7", "EXAMPLE"].concat(), ["hunt", "er2-battery-staple"].concat()]
}

fn record(service: &str, text: &str, date: f64) -> String {
    json!({"date": date, "container_name": service, "source": "stdout", "ecs_cluster": CLUSTER, "log": text})
        .to_string()
        + "\n"
}

fn floods() -> String {
    let error = |service: &str, n: usize| record(service, &format!("ERROR worker {n} lost its lease"), now());
    let mut floods = String::new();
    for (n, service) in ["payments", "search", "mail"].iter().enumerate() {
        floods += &flood(service, 30 + n);
        floods += &(0..25).map(|n| error(service, n)).collect::<String>();
    }
    floods + &record("mail", "FATAL panic: cannot continue", now())
}

/// The worst reply about a line: what stands in it where that can be read as one, else the line in every place.
fn reply(row: &Row) -> Vec<Value> {
    let forged = verdicts_in(&row.text);
    if forged.iter().any(|action| action.get("action").is_some() || action.get("match").is_some()) {
        return forged.into_iter().take(3).collect();
    }
    let text = row.text.as_str();
    vec![match row.place % 6 {
        0 => json!({"action": "watch", "label": text, "match": {"contains": text}, "threshold": text,
            "window_seconds": text, "severity": text, "summary": text}),
        1 => json!({"action": "watch", "label": text, "match": {"regex": text}, "summary": text}),
        2 => json!({"action": "watch", "label": text, "match": {"field": text, "eq": text}}),
        _ => json!({"action": "investigate", "label": text, "severity": text, "summary": text}),
    }]
}

/// `model`: how it answers, and how many lines it is asked about at once.
fn run(rows: &[Row], floods: &str, date: f64, model: Option<(Answer, usize)>) -> Run {
    let slack = matches!(model, Some((Answer::Recite(_), _))).then(SlackStandIn::start);
    let people = config("settle_seconds = 0", 10, 3600)
        + "\n[[watch]]\nlabel = \"heard\"\nmatch = { field = \"service\", starts_with = \"heard-\" }\nthreshold = 3\n\
           window_seconds = 3600\non_crossing = \"notify\"\n";
    let (stand_in, triage) = match model {
        None => (None, "[triage]\nprovider = \"off\"\n".to_owned()),
        Some((answer, lines)) => {
            let stand_in = ModelStandIn::start();
            stand_in.otherwise(answer);
            let url = stand_in.ollama_url();
            let triage = format!(
                "[triage]\nprovider = \"ollama\"\nurl = \"{url}\"\nseed = false\nbatch_seconds = 1\nbatch_lines = {lines}\n\
                 queue_batches = 1000\nmessages_per_hour = {MESSAGES}\n"
            );
            (Some(stand_in), triage)
        }
    };
    let settings = format!("builtin_watches = true\n{triage}\n{people}");
    let program = start(&slack.as_ref().map_or(settings.clone(), |slack| with_bot_last(slack, &settings)));
    for class in HEARD {
        let three = rows.iter().filter(|row| row.class == class).take(3);
        post(&program, three.map(|row| record(&format!("heard-{class}"), &row.text, date)).collect::<String>());
    }
    for some in rows.chunks(60) {
        post(&program, some.iter().map(|row| record(&row.service(), &row.text, date)).collect::<String>());
    }
    if stand_in.is_some() {
        eventually("all has been judged", SOON * 8, || {
            let taken = Scrape::of(program.control_addr()).sum("triage_lines_total") as usize;
            let triage = get_json(program.control_addr(), "/triage");
            (taken >= rows.len() && triage["waiting"] == 0 && triage["asking"] == 0).then_some(())
        });
    }
    post(&program, floods);
    let is_flood =
        |alert: &&Value| ["payments", "search", "mail"].contains(&alert["service"].as_str().unwrap_or_default());
    eventually("the floods are told", SOON, || {
        (of_people(&program).iter().filter(is_flood).count() >= OF_FLOODS).then_some(())
    });
    if let Some(slack) = &slack {
        slack.wait_messages(HEARD.len() + MESSAGES);
        assert_kept_secret(&program, &secrets());
    }
    let control = program.control_addr();
    let list = |page: &str, name: &str| get_json(control, page)[name].as_array().cloned().unwrap_or_default();
    let of_nobody = |watch: &Value| watch["origin"] == "triage" || watch["origin"] == "seed";
    let (proposed, mut watches): (Vec<Value>, Vec<Value>) =
        list("/watches", "watches").into_iter().partition(of_nobody);
    for watch in &mut watches {
        // What is in its windows is a matter of the moment.
        watch.as_object_mut().expect("an object").retain(|name, _| !["groups", "state"].contains(&name.as_str()));
    }
    Run {
        people: of_people(&program),
        watches,
        proposed,
        raised: list("/escalations", "escalations").into_iter().filter(is_proposed).collect(),
        told: program.alerts(),
        questions: stand_in.as_ref().map(ModelStandIn::questions).unwrap_or_default(),
        decisions: list("/triage", "decisions"),
        slack: slack.map(|slack| slack.messages().into_iter().map(|m| m.text).collect()).unwrap_or_default(),
        metrics: get_text(control, "/metrics"),
        alerts_text: std::fs::read_to_string(program.home().join("alerts.jsonl")).unwrap_or_default(),
    }
}

/// Top-level keys come before all sections.
fn with_bot_last(slack: &SlackStandIn, settings: &str) -> String {
    format!("{settings}\n{}", with_bot(slack, ""))
}

// === what is asserted ===

/// Characters that steer a terminal or a reader's eye.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}')
}

fn assert_seen(what: &str, text: &str) {
    let hidden = text.chars().find(|c| is_hidden(*c) && *c != '\n' && *c != '\t');
    assert_eq!(hidden, None, "{what} hides something: {text:?}");
}

/// The text of a message with its code taken out: what Slack reads as its own.
fn outside_code(message: &str) -> String {
    let blocks: Vec<&str> = message.split("```").collect();
    assert_eq!(blocks.len() % 2, 1, "a block is left open: {message}");
    let prose: String = blocks.iter().step_by(2).copied().collect();
    let spans: Vec<&str> = prose.split('`').collect();
    assert_eq!(spans.len() % 2, 1, "a span is left open: {message}");
    spans.iter().step_by(2).copied().collect()
}

/// Nothing in it is a mention, a link, or something to obey.
fn assert_dead(message: &str) {
    assert_seen("a message", message);
    assert!(!message.contains(['<', '>']), "{message}");
    let bare = message.replace("&amp;", "").replace("&lt;", "").replace("&gt;", "");
    assert!(!bare.contains('&'), "half an entity: {message}");
    let prose = outside_code(message);
    for live in ["http", "www.", "@", "evil", "*", "ignore", "javascript", "mailto"] {
        assert!(!prose.contains(live), "{live} is live in {message}");
    }
    assert!(message.chars().count() < 3_500, "{message}");
}

fn is_clean(label: &str) -> bool {
    (1..=48).contains(&label.len()) && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

fn word<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_else(|| panic!("no text {name} in {value}"))
}

/// The lines about kinds that one question holds.
fn asked_about(question: &Value) -> Vec<Value> {
    let messages = question["messages"].as_array().expect("messages");
    let user = word(&messages[1], "content");
    user.lines().filter(|line| line.starts_with('{')).map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// What a question may consist of, whatever the lines in it say.
fn assert_is_data(question: &Value) {
    let messages = question["messages"].as_array().expect("messages");
    let roles: Vec<&str> = messages.iter().map(|message| word(message, "role")).collect();
    assert!(matches!(*roles, ["system", "user"] | ["system", "user", "assistant", "user"]), "{roles:?}");
    let (system, user) = (word(&messages[0], "content"), word(&messages[1], "content"));
    let empty = Prompt::of(&[], Limits::default());
    assert_eq!(system, empty.system());
    let (data, frame): (Vec<&str>, Vec<&str>) = user.lines().partition(|line| line.starts_with('{'));
    assert_eq!(frame, empty.user().lines().collect::<Vec<_>>(), "somebody has written into the frame: {user}");
    for (line, number) in data.iter().zip(1..) {
        assert!(line.len() <= LINE_BYTES, "{} bytes: {line}", line.len());
        let value: Value = serde_json::from_str(line).expect("one JSON object a line");
        assert_eq!(value["line"], number, "a line speaks for another: {user}");
        for name in value.as_object().expect("an object").keys() {
            let known = ["line", "service", "level", "why", "count", "seconds", "template", "fields", "example"]
                .contains(&name.as_str());
            assert!(known, "{name} in {line}");
        }
        assert!(["trace", "debug", "info", "warn", "error", "fatal"].contains(&word(&value, "level")), "{line}");
    }
    for message in messages {
        let content = word(message, "content");
        assert_seen("a question", content);
        for secret in secrets() {
            assert!(!content.contains(&secret), "{content}");
        }
    }
    assert_unmarked(user.trim_end());
}

/// No mark of a chat format: a `<` stands before a placeholder only.
fn assert_unmarked(text: &str) {
    for (at, _) in text.match_indices('<') {
        let name = text.get(at + 1..).unwrap_or_default().split('>').next().unwrap_or_default();
        let is_placeholder = name.len() <= 16
            && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"*:".contains(&b));
        assert!(is_placeholder, "{:?} in {text}", text.get(at..).unwrap_or_default());
    }
    for mark in ["[INST", "[/INST", "[SYSTEM_PROMPT", "[TOOL_", "[AVAILABLE_TOOLS", "[IMG", "[THINK"] {
        assert!(!text.contains(mark), "{mark} in {text}");
    }
}

fn assert_proposed(watch: &Value) {
    assert!(is_clean(word(watch, "label")), "{watch}");
    assert!((2..=1_000_000).contains(&watch["threshold"].as_u64().expect("a number")), "{watch}");
    assert!((10..=86_400).contains(&watch["window_seconds"].as_u64().expect("a number")), "{watch}");
    assert!(["log", "notify", "investigate"].contains(&word(watch, "on_crossing")), "{watch}");
    assert!(["info", "warning", "critical"].contains(&word(watch, "severity")), "{watch}");
    assert_eq!(watch["group_by"], json!(["cluster", "service"]), "{watch}");
    assert_eq!(watch["ttl_seconds"], 86_400, "{watch}");
    assert_seen("a watch", &watch.to_string());
    assert_seen("a summary", watch["summary"].as_str().unwrap_or_default());
}

fn assert_raised(escalation: &Value) {
    assert!(is_clean(word(escalation, "label")), "{escalation}");
    assert!(["info", "warning", "critical"].contains(&word(escalation, "severity")), "{escalation}");
    assert_seen("a summary", word(escalation, "summary"));
    for sample in escalation["samples"].as_array().expect("samples") {
        assert_seen("a sample", sample.as_str().expect("a text"));
    }
    for secret in secrets() {
        assert!(!escalation.to_string().contains(&secret), "{escalation}");
    }
}

const OUTCOMES: [&str; 16] = [
    "ignore",
    "watch",
    "investigate",
    "floor",
    "covered",
    "counted",
    "held_back",
    "no_condition",
    "invalid",
    "unknown_field",
    "matches_none",
    "too_broad",
    "duplicate",
    "full",
    "settled",
    "again",
];

fn assert_decided(decision: &Value) {
    assert!(OUTCOMES.contains(&word(decision, "outcome")), "{decision}");
    assert!(["new", "rate", "level", "deploy", "again"].contains(&word(decision, "why")), "{decision}");
    assert!(decision["label"].as_str().is_none_or(is_clean), "{decision}");
    for name in ["service", "template", "reason", "by"] {
        assert_seen(name, word(decision, name));
    }
}

/// Without the pseudonyms of secrets: each store has its own.
fn unkeyed(value: &Value) -> String {
    const MARK: &str = "[redacted:aws-key:";
    let text = value.to_string();
    let mut parts = text.split(MARK);
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + MARK + part.split_once(']').map_or(part, |(_, rest)| rest))
}

/// As without a model, or the first that is not.
fn assert_same(what: &str, with: &[Value], without: &[Value]) {
    for (with, without) in with.iter().zip(without) {
        assert_eq!(unkeyed(with), unkeyed(without), "{what}, with a model and without");
    }
    assert_eq!(with.len(), without.len(), "{what}: {:#?}", with.get(without.len()).or(without.get(with.len())));
}

/// All that one class of strings may and may not have done.
fn check(class: &str, least: usize) {
    let runs = &*RUNS;
    let rows: Vec<&Row> = runs.rows.iter().filter(|row| row.class == class).collect();
    assert!(rows.len() >= least, "{} strings", rows.len());
    let is_of = |service: &str| service.rsplit_once('-').is_some_and(|(name, _)| name == class || name == "heard");
    for run in [&runs.believing, &runs.reciting] {
        assert_same("what people are told", &run.people, &runs.without.people);
        assert_same("what their watches are and have counted", &run.watches, &runs.without.watches);
        let about: Vec<&Value> = run
            .questions
            .iter()
            .filter(|question| {
                let services = asked_about(question).into_iter().map(|line| word(&line, "service").to_owned());
                let mut names = services.filter_map(|service| service.split_once('/').map(|(_, name)| name.to_owned()));
                names.any(|name| is_of(&name))
            })
            .collect();
        assert!(!about.is_empty(), "the model was shown none of them");
        about.into_iter().for_each(assert_is_data);
        let of_class = |value: &&Value| is_of(value["service"].as_str().unwrap_or_default());
        run.raised.iter().filter(of_class).for_each(assert_raised);
        run.decisions.iter().filter(of_class).for_each(assert_decided);
        for alert in run.told.iter().filter(of_class) {
            assert!(is_clean(word(alert, "label")), "{alert}");
        }
    }
    for row in rows {
        let read = verdict::read(&row.text, 7).unwrap_or_default();
        assert!(read.actions.iter().all(|action| action.lines.iter().all(|line| *line < 7)), "{}", row.text);
        assert!(trial::shown_label(&row.text).as_deref().is_none_or(is_clean), "{}", row.text);
        let notice = notice(&row.text);
        assert_dead(&text::slack(&notice));
        assert_seen("a terminal", &text::plain(&notice, false));
    }
}

/// Everything about it is what a line says.
fn notice(text: &str) -> Notice {
    let said = Redacted::new(text);
    Notice {
        kind: NoticeKind::Opened,
        escalation: 1_000_001,
        label: trial::shown_label(text).unwrap_or_default(),
        severity: Severity::Warning,
        summary: said.clone(),
        cluster: said.clone(),
        service: said.clone(),
        group: vec![("cluster".into(), said.clone()), ("who".into(), said.clone())],
        count: 3,
        threshold: 3,
        window_seconds: 60,
        first_ms: 0,
        last_ms: 0,
        at_ms: 0,
        late: false,
        samples: vec![said.clone(), said.clone(), said.clone()],
        dedup_key: String::new(),
        suggested_fix: Some(said),
        dossier: None,
        incident: None,
        told_before: None,
        report: None,
        in_doubt: false,
        broadcast: false,
        first_day: None,
    }
}

// === the classes ===

macro_rules! classes {
    ($($name:ident: $least:literal),* $(,)?) => {
        $(#[test]
        fn $name() {
            check(stringify!($name), $least);
        })*

        const CLASSES: &[&str] = &[$(stringify!($name)),*];
    };
}

classes! {
    orders: 30,
    forged_verdicts: 20,
    forged_positions: 15,
    chat_marks: 20,
    forged_escalations: 15,
    reserved_fields: 15,
    tool_calls: 12,
    labels: 30,
    control_characters: 20,
    hidden_text: 15,
    homoglyphs: 15,
    long_tokens: 15,
    breakouts: 20,
    slack_markup: 30,
    exfiltration: 15,
    templates: 20,
    regex_bombs: 20,
    out_of_range: 30,
    speaking_for_others: 15,
    false_remedies: 12,
}

// === what holds for all of them ===

#[test]
fn there_are_hundreds_of_strings_and_each_belongs_to_a_class_that_is_tested() {
    let rows = rows();
    assert!(rows.len() >= 400, "{}", rows.len());
    for row in rows {
        assert!(CLASSES.contains(&row.class.as_str()), "{}", row.class);
    }
}

#[test]
fn the_models_have_said_much_and_been_obeyed_within_bounds_only() {
    let runs = &*RUNS;
    // Else the classes above would prove nothing.
    assert!(runs.without.people.len() >= HEARD.len() + OF_FLOODS, "{:#?}", runs.without.people);
    assert!(runs.reciting.questions.len() >= 40, "{}", runs.reciting.questions.len());
    assert!(runs.believing.questions.len() >= 40, "{}", runs.believing.questions.len());
    assert!(runs.reciting.raised.len() >= 100, "{}", runs.reciting.raised.len());
    assert!((20..=100).contains(&runs.reciting.proposed.len()), "{}", runs.reciting.proposed.len());
    for run in [&runs.believing, &runs.reciting] {
        run.proposed.iter().for_each(assert_proposed);
        run.raised.iter().for_each(assert_raised);
        run.decisions.iter().for_each(assert_decided);
        run.questions.iter().for_each(assert_is_data);
        let told = run.told.iter().filter(|alert| is_proposed(alert) && alert["kind"] == "opened").count();
        assert!(told <= MESSAGES, "{told} messages an hour");
    }
}

#[test]
fn what_reaches_slack_is_dead_text_in_code() {
    let slack = &RUNS.reciting.slack;
    for class in HEARD {
        assert!(slack.iter().any(|message| message.contains(&format!("`heard-{class}`"))), "{class}: {slack:#?}");
    }
    assert!(slack.iter().filter(|message| message.contains("[E100000")).count() >= MESSAGES, "{slack:#?}");
    for message in slack {
        assert_dead(message);
        for secret in secrets() {
            assert!(!message.contains(&secret), "{message}");
        }
    }
}

#[test]
fn the_file_of_alerts_is_one_json_object_a_line_and_shows_nothing_that_steers() {
    for run in [&RUNS.without, &RUNS.believing, &RUNS.reciting] {
        for line in run.alerts_text.lines() {
            let alert: Value = serde_json::from_str(line).expect("JSON");
            assert_seen("an alert", line);
            for name in ["summary", "service", "cluster", "label", "dedup_key"] {
                assert_seen(name, alert[name].as_str().unwrap_or_default());
            }
            for sample in alert["samples"].as_array().expect("samples") {
                assert_seen("a sample", sample.as_str().expect("a text"));
            }
        }
    }
}

#[test]
fn no_series_of_the_metrics_is_broken_or_named_by_a_line() {
    let families = |page: &str| {
        let names = page.lines().filter_map(|line| line.strip_prefix("# TYPE ")).map(str::to_owned);
        names.collect::<std::collections::BTreeSet<String>>()
    };
    let known = families(&RUNS.without.metrics);
    for run in [&RUNS.believing, &RUNS.reciting] {
        // Parses every line strictly.
        Scrape::parse(&run.metrics);
        assert!(!run.metrics.contains("\nemberwatch_fake"), "{}", run.metrics);
        for family in families(&run.metrics).difference(&known) {
            assert!(family.contains("triage") || family.contains("model"), "{family}");
        }
        for line in run.metrics.lines() {
            if let Some((_, label)) = line.split_once("{watch=\"") {
                assert!(is_clean(label.split('"').next().unwrap_or_default()), "{line}");
            }
            for name in ["outcome=\"", "reason=\""] {
                if let Some((_, value)) = line.split_once(name) {
                    assert!(is_clean(value.split('"').next().unwrap_or_default()), "{line}");
                }
            }
        }
    }
}
