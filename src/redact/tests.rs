//! What is taken and what stays, in tables; and what holds for any text whatever.

mod planted;
mod pseudonyms;

use proptest::prelude::*;
use regex::Regex;

use super::policy::Custom;
use super::*;

/// All that an operator can ask for.
static STRICT: LazyLock<Engine> = LazyLock::new(|| {
    let patterns = [("customer", "CUST-[0-9]+"), ("odd", r"x*|\b"), ("word", "[a-z]{6}"), ("hex", r"[0-9a-f]{4}\]")];
    let patterns = patterns.map(|(name, regex)| Custom { name: name.to_owned(), regex: Regex::new(regex).unwrap() });
    let fields = vec!["iban".to_owned(), "customer.name".to_owned()];
    let policy = Policy { emails: true, cards: true, ips: true, patterns: patterns.into(), fields };
    Engine::new(&policy, 7).unwrap()
});

/// `{}` in the text is where the secret stands; the mark takes its place.
#[rustfmt::skip]
const CASES: &[(&str, &str, &str)] = &[
    ("id={} used", concat!("AKIA", "IOSFODNN7EXAMPLE"), "aws-key"),
    ("glued\0{}", concat!("ASIA", "IOSFODNN7EXAMPLE"), "aws-key"),
    ("aws_secret_access_key = {}", concat!("wJalrXUtnFEMI/K7MDENG", "/bPxRfiCYEXAMPLEKEY"), "aws-secret-key"),
    (r#"{"secretAccessKey":"{}","x":1}"#, concat!("wJalrXUtnFEMI/K7MDENG", "/bPxRfi"), "aws-secret-key"),
    ("key {}.", concat!("AIza", "SyA1234567890abcdefghijklmnopqrstuv"), "gcp-key"),
    ("AccountName=a;AccountKey={};EndpointSuffix=b", concat!("Zm9vYmFy", "Zm9vYmFy=="), "azure-key"),
    ("push with {} failed", concat!("ghp_", "0123456789abcdefABCDEF0123456789abcd"), "github-token"),
    ("({})", concat!("github_pat_", "11ABCDEFG0123456789_abcdef"), "github-token"),
    ("{} expired", concat!("glpat-", "abcdEFGH12345678_xyz"), "gitlab-token"),
    ("slack {}, ok", concat!("xoxb-", "123456789012-abcdefABCDEF"), "slack-token"),
    ("slack {}", concat!("xapp-", "1-A012-345-abcdef"), "slack-token"),
    ("https://hooks.slack.com/services/{} 404", concat!("T0000/B0000/", "XXXXabcd"), "slack-webhook"),
    ("model key {} used", concat!("sk-", "abcdefghijklmnopqrstuvwxyzABCDEFGHIJ"), "ai-key"),
    ("x{}", concat!("sk-ant-", "api03-abcdefgh_ijklmnop-AA"), "ai-key"),
    ("{};", concat!("sk_live_", "4eC39HqLyjWDarjtT1zdp7dc"), "stripe-key"),
    ("//reg/:_authTok {}", concat!("npm_", "abcdefghijklmnopqrstuvwxyz0123456789"), "npm-token"),
    ("mail {} sent", concat!("SG.", "abcdefghijklmnopqrstuv.", "abcdefghijklmnopqrstuv"), "sendgrid-key"),
    ("sub {} is late", concat!("eyJ", "hbGciOiJIUzI1NiJ9.", "eyJ", "zdWIiOiIxIn0.dBjftJeZ4CVP"), "jwt"),
    ("Authorization: Bearer {} status=500", "mF_9.B5f-4.1JqM", "authorization"),
    ("authorization: Basic {}", concat!("QWxhZGRpbjpv", "cGVu"), "authorization"),
    (r#"{"Authorization":"{}","a":1}"#, "Digest username=bob, response=1", "authorization"),
    ("sent bearer {} twice", "abc123def456", "bearer"),
    ("postgres://{}@db:5432/app", "bob:hunter2", ""),
    ("postgres://{}@db:5432/app?mail=a@b.c", "bob:hun@ter2", ""),
    ("auth basic {} failed", concat!("QWxhZGRpbjpv", "cGVu"), "basic"),
    ("postgres://{}@db:5432/app", "bob:hun/ter2", ""),
    (r"redis:\/\/{}@h", ":hunter2", ""),
    ("GET / Cookie: {} status=500", "sid=abc; theme=dark", "cookie"),
    (r#"{"cookie":{},"status":500}"#, r#"["a=b","c=d"]"#, "cookie"),
    ("'set-cookie': {} end", "[ 'a=1; Path=/', 'sid=abc' ]", "cookie"),
    ("DB_PASSWORD={} user=bob", "hunter2", "secret"),
    ("password: {}, user: bob", "hunter2", "secret"),
    ("passwd='{}' user=bob", "hunter 2", "secret"),
    (r#"{"password":"{}","user":"bob"}"#, r#"hun\"ter, 2\\"#, "secret"),
    (r#"{"client_secret": "{}"}"#, "hunter2", "secret"),
    (r#"{"m":"{\"api_key\":\"{}\",\"user\":\"bob\"}"}"#, r#"hun\\\"ter 2"#, "secret"),
    (r#"{"m":"x-api-key=\"{}\""}"#, "hunter 2", "secret"),
    (r#"{"m":"login pwd={}","user":"bob"}"#, "hunter2", "secret"),
    (r#"{"password":"{}"#, "cut off in the mid", "secret"),
    (r#"User { password: {}, id: 7 }"#, r#"Some("hunter 2")"#, "secret"),
    (r#""refresh_token":{},"a":1"#, "12345", "secret"),
    ("{'accessToken': b'{}', 'a': 1}", "hunter2", "secret"),
    ("GET /x?token={}&a=1", "hunter2", "secret"),
    ("GET /x?a=1&sig={} 200", "abc%2Bdef", "secret"),
    ("next=%2Fx%3Fpassword%3D{} 200", "hunter2", "secret"),
    ("mysql --user bob --password {} db", "hunter2", "secret"),
    ("password=hi\x1b[31mdden\u{200b}{}", "", "-"),
    ("a\n{}\nb", concat!("-----BEGIN RSA PRIV", "ATE KEY-----\nMIIE\n-----END RSA PRIV", "ATE KEY-----"), "private-key"),
    (r#""pem": ["{}"]"#, concat!("-----BEGIN PRIV", r"ATE KEY-----\nMIIE\n-----END PRIV", "ATE KEY-----"), "private-key"),
    ("no end {}", concat!("-----BEGIN OPENSSH PRIV", "ATE KEY-----\nb3Bl\nmore"), "private-key"),
];

/// Without their pseudonyms: `[redacted:jwt:9e1d]` as `[redacted:jwt]`.
fn nameless(text: &str) -> String {
    Regex::new(r":[0-9a-f]{4}\]").unwrap().replace_all(text, "]").into_owned()
}

#[test]
fn every_secret_is_replaced_and_its_neighbours_stay() {
    for (text, secret, name) in CASES.iter().filter(|case| case.2 != "-") {
        let got = Redacted::new(&text.replacen("{}", secret, 1));
        let mark = if name.is_empty() { "[redacted]".to_owned() } else { format!("[redacted:{name}]") };
        assert_eq!(nameless(got.as_str()), text.replacen("{}", &mark, 1).replace('\0', ""));
    }
}

#[test]
fn ordinary_text_survives() {
    #[rustfmt::skip]
    let texts = [
        "", "commit 3f2a91c and 0123456789abcdef0123456789abcdef01234567",
        "id 550e8400-e29b-41d4-a716-446655440000 on 10.0.0.1:8080 and [::1]:80, status=500",
        "trace_id=0af7651916cd43dd8448eb211c80319c span_id=b7ad6b7169203331",
        "task-0af7651916cd43dd8448eb211c80319c left disk-0af7651916cd43dd8448eb211c80319c",
        "arn:aws:iam::123456789012:role/app, arn:aws:secretsmanager:eu-west-1:123456789012:secret:db-AbCdEf",
        "unexpected token } in JSON", "Unexpected token: 'x'", "max_tokens=100", "invalid token: expired", "ExpiredToken: renew it", "basic 10.0.0.1 2026-01-02T03:04:05", "the token expired",
        "password authentication failed for user \"bob\"", "Secret Service started",
        "basic authentication failed, bearer authentication too", "failed to parse private key: asn1: bad",
        "sudo: bob : TTY=pts/0 ; PWD=/home/bob ; USER=root ; COMMAND=/bin/ls",
        "pam_unix(passwd:chauthtok): password changed for bob", "cat: /etc/passwd: Permission denied",
        "app::secret::store: opened", "https://host:8080/path?mail=a@b.c and http://[::1]:80/a@b",
        "ssh://git@example.org/x.git", "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
        "password= user=bob", "password=null", r#"{"password":null}"#, r#"{"password":"","secret":true}"#,
        "password=[redacted:secret]&a=1", "secret=******", "password=[FILTERED]", "naïve – ünïcode\tok\n",
    ];
    for text in texts {
        assert_eq!(Redacted::new(text).as_str(), text);
    }
}

#[test]
fn what_steers_or_hides_is_dropped() {
    #[rustfmt::skip]
    let cases = [
        ("a\x1b[1;31mred\x1b[0m b", "ared b"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x07!", "link!"),
        ("\x1b]0;unfinished\nnext", "0;unfinished\nnext"),
        ("\u{9b}31mc1 \x1b(Bset\x1b", "c1 set"),
        ("a\r\nb\tc\0\x08\x7f\u{85}d", "a\nb\tcd"),
        ("\u{202e}abc\u{2066}d\u{200b}\u{2060}\u{feff}e\u{e0041}", "abcde"),
    ];
    for (text, want) in cases {
        assert_eq!(Redacted::new(text).as_str(), want);
    }
    let split = concat!("AK\u{200b}IA", "IOSFODNN7\x1b[0mEXAMPLE");
    assert_eq!(nameless(Redacted::new(split).as_str()), "[redacted:aws-key]");
    assert_eq!(Redacted::from_bytes(b"a\xffb").as_str(), "a\u{fffd}b");
}

#[test]
fn a_cut_counts_its_ellipsis_and_never_splits_a_char_or_a_mark() {
    let text = Redacted::new("ü password=hunter2 end");
    for (max, want) in [(0, ""), (2, ""), (3, "…"), (4, "…"), (5, "ü…"), (20, "ü password=…"), (99, text.as_str())]
    {
        assert_eq!(text.cut(max).as_str(), want, "at {max}");
    }
}

#[test]
fn joining_lines_does_not_uncover_a_secret() {
    let text = Redacted::new("a\n\n\tb password:\nhunter2");
    assert_eq!(text.one_line().to_string(), "a b password: [redacted:secret]");
}

#[test]
fn a_stored_text_is_redacted_when_it_is_read() {
    use serde::de::value::{Error, StrDeserializer};
    let read = Redacted::deserialize(StrDeserializer::<Error>::new("pwd=hunter2"));
    assert_eq!(read.unwrap().as_str(), "pwd=[redacted:secret]");
}

#[test]
fn hostile_repetition_stays_linear() {
    let start = std::time::Instant::now();
    #[rustfmt::skip]
    let pieces = [
        "password=", "password=\"", "secret={\n", "secret=[\"", "pwd=\\", "token=} ", "://a:b@", "://a:b/",
        "eyJaaaaa.", "\x1b]", "\x1b[1", "-----BEGIN ", "Cookie: a; ", "Bearer a", "sk-a", "A", "(", "AKIA", "--a-",
        "secret=(\" ", "AAAAAAAA\\n", "hooks.slack.com/services/", "xox", "password\\\":\\\"", "SG.aaaaaaaaaaaaaaaa",
        "4111 1111 1111 1111 ", "4", "4 ", "a@", "a@b.", "a.", "%40", "1.1.1.", "::", "a:", "[", "[redacted:", "[redacted:jwt:9e1d]", "?key=",
        "token: |\n ", "%3a%2f%2f", "<token>", ";pwd=a", "name=token,value=", ":AA", "PuTTY-User-Key-File-", "jdbc:oracle:t:a/",
    ];
    for piece in pieces {
        let text = piece.repeat(150_000 / piece.len());
        Redacted::new(&text);
        Redacted::by(&STRICT, &text);
    }
    assert!(start.elapsed().as_secs() < 60, "took {:?}", start.elapsed());
}

fn hostile_text() -> impl Strategy<Value = String> {
    #[rustfmt::skip]
    const BITS: &[&str] = &[
        "password", "token", "Cookie", "Authorization", "Bearer ", "=", ":", ": ", "\"", "\\\"", "\\", "'", "[", "]",
        "{", "}", "(", ")", ",", ";", "&", "?", "@", "://", "/", " ", "\n", "\t", "\x1b", "\x1b[0m", "PWD=/", "--secret ",
        "[redacted]", "[redacted:", "[redacted:jwt]", "[redacted:jwt:9e1d]", "[email:3f9a]", "[card:", ":12ab]", "bob@example.com", "4111111111111111",
        "4111 1111 1111 ", "1111", "10.0.0.1", "::", "CUST-1", "iban", "%40", "|\n ", "<", ">", "secret", "null", "eyJ", ".", "-----BEGIN PRIVATE KEY", "%3d", "ü",
    ];
    let whole = prop::sample::select(CASES).prop_map(|case| case.0.replacen("{}", case.1, 1));
    let secret = prop::sample::select(CASES).prop_map(|case| case.1.to_owned());
    let bit = prop::sample::select(BITS).prop_map(str::to_owned);
    let part = prop_oneof![6 => bit, 2 => secret, 1 => whole, 1 => any::<String>(), 1 => "[a-zA-Z0-9]{1,4}"];
    prop::collection::vec(part, 0..24).prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn redacting_twice_changes_nothing(text in hostile_text(), max in 0..200_usize) {
        let once = Redacted::new(&text);
        prop_assert_eq!(&Redacted::new(once.as_str()), &once);
        prop_assert!(once.cut(max).as_str().len() <= max);
        let line = once.one_line();
        prop_assert_eq!(&Redacted::new(line.as_str()), &line);
        prop_assert!(!line.as_str().contains(['\n', '\t', '\x1b']));
    }

    #[test]
    fn also_under_a_policy_that_asks_for_everything(text in hostile_text()) {
        let once = Redacted::by(&STRICT, &text);
        prop_assert_eq!(&Redacted::by(&STRICT, once.as_str()), &once);
    }

    #[test]
    fn bytes_of_any_kind_are_text_or_are_made_so(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let once = Redacted::from_bytes(&bytes);
        prop_assert_eq!(&Redacted::from_bytes(once.as_str().as_bytes()), &once);
    }

    #[test]
    fn a_secret_does_not_survive_its_surroundings(
        before in hostile_text(), case in prop::sample::select(CASES), after in hostile_text(),
    ) {
        let text = format!("{before}\n{}\n{after}", case.0.replacen("{}", case.1, 1));
        let without = format!("{before}{after}{}", case.0);
        if !case.1.is_empty() && !without.contains(case.1) {
            prop_assert!(!Redacted::new(&text).as_str().contains(case.1));
        }
    }
}
