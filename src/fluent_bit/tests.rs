//! Whole configurations: what people read about them, and that nothing makes reading or judging fail.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::*;

/// Files of a test, by path.
#[derive(Default)]
struct Shelves(BTreeMap<PathBuf, String>);

impl Files for Shelves {
    fn read(&self, path: &Path) -> io::Result<String> {
        self.0.get(path).cloned().ok_or_else(|| io::Error::other("no such file"))
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<PathBuf>> {
        Ok(self.0.keys().filter(|path| path.parent() == Some(folder)).cloned().collect())
    }
}

fn files(files: &[(&str, &str)]) -> Shelves {
    Shelves(files.iter().map(|(path, text)| (PathBuf::from(path), (*text).to_owned())).collect())
}

pub(super) fn receiver() -> Receiver {
    Receiver {
        listen: "127.0.0.1:8080".parse().unwrap(),
        request_seconds: 30,
        admission_wait_seconds: 15,
        token_names: vec![],
        auth_header: None,
        tls: false,
        tag_header: "X-Tag".to_owned(),
        idle_seconds: 90,
    }
}

pub(super) fn read_text(path: &str, text: &str) -> Configuration {
    read(Path::new(path), &files(&[(path, text)])).unwrap_or_else(|error| panic!("{error}"))
}

pub(super) fn classic(text: &str) -> Configuration {
    read_text("f.conf", text)
}

pub(super) fn unreadable(path: &str, text: &str) -> String {
    read(Path::new(path), &files(&[(path, text)])).unwrap_err().to_string()
}

/// `line key=value` of every entry, in order.
pub(super) fn entries(configuration: &Configuration) -> Vec<String> {
    let all = configuration.sections.iter().flat_map(|section| &section.entries);
    all.map(|entry| format!("{} {}={}", entry.line, entry.key, entry.value)).collect()
}

/// The severities and names of findings whose rule begins with `prefix`, as they were found.
pub(super) fn rules_with(receiver: &Receiver, path: &str, text: &str, prefix: &str) -> String {
    let mut findings = Vec::new();
    rules::judge(&read_text(path, text), receiver, &mut findings);
    let named = findings.iter().filter(|finding| finding.rule.starts_with(prefix));
    named.map(|f| format!("{} {}", f.severity.as_str(), f.rule)).collect::<Vec<_>>().join(", ")
}

pub(super) fn rules_of(path: &str, text: &str, prefix: &str) -> String {
    rules_with(&receiver(), path, text, prefix)
}

pub(super) fn rules(text: &str, prefix: &str) -> String {
    rules_of("f.conf", text, prefix)
}

fn report(path: &str, shelves: &Shelves) -> String {
    let configuration = read(Path::new(path), shelves).unwrap();
    render(&configuration, &judge(&configuration, &receiver()))
}

#[test]
fn includes_are_followed_and_what_cannot_be_is_told() {
    let shelves = files(&[
        ("etc/main.conf", "@INCLUDE conf.d/*.conf\n@INCLUDE main.conf\n@INCLUDE gone.conf\n"),
        ("etc/conf.d/a.conf", "[OUTPUT]\n  Name http\n"),
        ("etc/conf.d/b.conf", "[OUTPUT]\n    Name es\n"),
        ("etc/conf.d/c.yaml", "no"),
    ]);
    let configuration = read(Path::new("etc/main.conf"), &shelves).unwrap();
    let names: Vec<String> = configuration.sections.iter().map(Section::name).collect();
    assert_eq!(names, ["http", "es"]);
    let remarks: Vec<_> = configuration.remarks.iter().map(|f| (f.rule, f.places[0].line)).collect();
    assert_eq!(remarks, [("include_twice", 2), ("include_missing", 3)]);
}

#[test]
fn a_chain_of_includes_ends() {
    let mut shelves = Shelves::default();
    for n in 0..100 {
        shelves.0.insert(PathBuf::from(format!("{n}.conf")), format!("@INCLUDE {}.conf\n[OUTPUT]\n Name a\n", n + 1));
    }
    let configuration = read(Path::new("0.conf"), &shelves).unwrap();
    assert_eq!(configuration.sections.len(), DEPTH_MAX + 1);
    assert_eq!(configuration.remarks[0].rule, "include_bound");
}

#[test]
fn what_is_too_much_is_cut_and_told() {
    let many = "[OUTPUT]\n Name http\n Match *\n URI /ingest\n".repeat(5_000);
    let long = format!("[OUTPUT]\n Name http\n Match *\n URI /ingest\n{}", " a b\n".repeat(200_000));
    for text in [many, long] {
        let configuration = classic(&text);
        assert_eq!(configuration.remarks[0].rule, "too_much");
        assert!(!judge(&configuration, &receiver()).is_empty());
    }
}

#[test]
fn yaml_includes_yaml() {
    let shelves = files(&[
        ("a.yaml", "includes:\n  - b.yaml\npipeline:\n  outputs:\n    - name: es\n"),
        ("b.yaml", "pipeline:\n  outputs:\n    - name: http\n"),
    ]);
    let configuration = read(Path::new("a.yaml"), &shelves).unwrap();
    assert_eq!(configuration.sections.iter().map(Section::name).collect::<Vec<_>>(), ["http", "es"]);
}

#[test]
fn without_an_extension_the_text_tells_the_form() {
    for (text, form) in [
        ("# c\n[OUTPUT]\n Name http\n", Form::Classic),
        ("@SET a=b\n[OUTPUT]\n Name http\n", Form::Classic),
        ("pipeline:\n  outputs: []\n", Form::Yaml),
        ("{\"logConfiguration\": {\"logDriver\": \"awsfirelens\"}}", Form::FireLens),
    ] {
        assert_eq!(read_text("-", text).form, form, "{text}");
    }
}

fn any_text() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        Just("[OUTPUT]\n".to_owned()),
        Just("[INPUT]\n".to_owned()),
        Just("[SERVICE]\n".to_owned()),
        Just("[FILTER]\n".to_owned()),
        Just(" Name http\n".to_owned()),
        Just(" Match *\n".to_owned()),
        Just(" Retry_Limit 99999999999999999999\n".to_owned()),
        Just(" scheduler.cap 9223372036854775807\n".to_owned()),
        Just(" URI /ingest\n".to_owned()),
        Just(" Rule $a ^.*$ $TAG[x].y.é true\n".to_owned()),
        Just("@INCLUDE f*\n".to_owned()),
        Just("@SET a=${a}\n".to_owned()),
        Just("pipeline:\n  outputs:\n  - name: http\n    uri: /ingest\n    ".to_owned()),
        Just("kind: ConfigMap\ndata:\n  fluent-bit.conf: |\n    ".to_owned()),
        Just("{\"logConfiguration\": {\"logDriver\": \"awsfirelens\", \"options\": {\"Name\": \"http\", ".to_owned()),
        Just("}}}".to_owned()),
        "[ -~\n\t]{0,12}",
        "\\PC{0,6}",
        ".{0,4}",
    ];
    prop::collection::vec(word, 0..24).prop_map(|words| words.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_makes_reading_or_judging_fail(text in any_text()) {
        for path in ["f.conf", "f.yaml", "f.json", "f"] {
            if let Ok(configuration) = read(Path::new(path), &files(&[(path, &text)])) {
                let findings = judge(&configuration, &receiver());
                let report = render(&configuration, &findings);
                prop_assert!(!report.is_empty());
                prop_assert!(!report.chars().any(|c| c.is_control() && c != '\n'), "{report:?}");
            }
        }
    }
}

mod reports;
