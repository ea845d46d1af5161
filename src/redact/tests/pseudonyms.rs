//! What can be told to be equal, by whom, and what an operator adds.

use super::*;

fn by(policy: &Policy, key: u64, text: &str) -> String {
    Redacted::by(&Engine::new(policy, key).unwrap(), text).as_str().to_owned()
}

fn shown(text: &str) -> String {
    by(&Policy::default(), 1, text)
}

#[test]
fn equal_values_have_equal_marks_however_they_are_written() {
    let card = shown("4111111111111111");
    assert!(Regex::new(r"^\[card:[0-9a-f]{4}\]$").unwrap().is_match(&card), "{card}");
    assert_eq!(shown("4111 1111 1111 1111"), card);
    assert_eq!(shown("4111-1111-1111-1111"), card);
    assert_ne!(shown("5500000000000004"), card);
    let email = shown("bob@example.com");
    assert!(Regex::new(r"^\[email:[0-9a-f]{4}\]$").unwrap().is_match(&email), "{email}");
    assert_eq!(shown("Bob@Example.com"), email);
    assert_eq!(shown("bob%40example.com"), email);
    assert_eq!(shown(r"x\nbob@example.com"), format!(r"x\n{email}"));
    let key = concat!("AK", "IAIOSFODNN7EXAMPLE");
    assert_eq!(shown(&format!("a {key} b")), format!("a {} b", shown(key)));
    assert_eq!(shown(&format!("{{\"a\":\"{key}\"}}")), format!("{{\"a\":\"{}\"}}", shown(key)));
}

#[test]
fn another_installation_has_other_marks() {
    let one = |key| by(&Policy::default(), key, "bob@example.com");
    let marks: std::collections::BTreeSet<String> = (0..100).map(one).collect();
    assert!(marks.len() > 95, "{} of 100", marks.len());
}

#[test]
fn what_could_be_guessed_has_no_pseudonym() {
    assert_eq!(shown("pin=1234 password=hunter2"), "pin=[redacted:secret] password=[redacted:secret]");
    assert_eq!(shown("password=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"), "password=[redacted:secret]");
    assert_eq!(shown("postgres://bob:correct-horse-battery-staple@db"), "postgres://[redacted]@db");
    let long = shown("api_key=0f1e2d3c4b5a69788796a5b4c3d2e1f0");
    assert!(Regex::new(r"^api_key=\[redacted:secret:[0-9a-f]{4}\]$").unwrap().is_match(&long), "{long}");
}

#[test]
fn what_a_policy_leaves_out_stays_and_what_it_adds_goes() {
    let text = "bob@example.com 4111111111111111 10.0.0.1 CUST-1234 CUST-1 order=12345678 iban=DE89370400440532013000";
    let none = Policy { emails: false, cards: false, ..Policy::default() };
    assert_eq!(by(&none, 1, text), text);
    let all = Policy {
        ips: true,
        patterns: vec![
            Custom::new("customer", "CUST-[0-9]+").unwrap(),
            Custom::new("order", "order=([0-9]+)").unwrap(),
        ],
        fields: vec!["IBAN".to_owned()],
        ..Policy::default()
    };
    let got = nameless(&by(&all, 1, text));
    let want =
        "[email] [card] [ip] [redacted:customer] [redacted:customer] order=[redacted:order] iban=[redacted:field]";
    assert_eq!(got, want);
    let json = by(&all, 1, r#"{"m":"{\"iban\":\"DE89 3704\",\"libano\":1}"}"#);
    assert_eq!(nameless(&json), r#"{"m":"{\"iban\":\"[redacted:field]\",\"libano\":1}"}"#);
}

#[test]
fn an_operators_pattern_is_checked_when_it_is_made() {
    for (pattern, what) in [
        ("", "must be 1 to 500 characters long, got 0"),
        ("(", "is no regular expression: unclosed group (at character 1)"),
        ("a|(?=b)", "is no regular expression: look-around"),
        ("x*", "matches the empty text"),
        (r"\w{5000}", "compiles to more than 1048576 bytes"),
        (r"(?-u:\xff)", "is no regular expression"),
    ] {
        let got = Custom::new("a", pattern).expect_err(pattern);
        assert!(got.starts_with(what), "{pattern}: {got}");
    }
    assert!(Custom::new("a", &"(".repeat(400)).is_err());
}

#[test]
fn names_are_what_marks_and_patterns_can_hold() {
    assert!(policy::is_name("customer-2") && policy::is_field("customer.name"));
    for name in ["", "Customer", "jwt", "email", "field", "a b", "a]"] {
        assert!(!policy::is_name(name), "{name}");
    }
    for field in ["", "a b", "a=", "é"] {
        assert!(!policy::is_field(field), "{field}");
    }
}
