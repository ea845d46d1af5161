//! The gate that log text passes before it leaves the process.
//!
//! Log lines are written by strangers and carry other people's secrets, so every sender takes
//! [`Redacted`] and nothing else. The only way to make one is to run the detectors below.
//!
//! It promises:
//! - the secret is replaced by `[redacted:<what>]` and its surroundings stay readable;
//! - nothing that steers a terminal or hides text is left: no escape sequences, no control
//!   characters but newline and tab, no direction overrides, no invisible characters;
//! - redacting twice changes nothing, so text read back from a store is simply redacted again;
//! - the time is linear in the text, whatever the text is: no backtracking, and a detector never
//!   looks twice at what it has already taken.
//!
//! When in doubt it takes too much: a hidden word is a nuisance, a sent password is an incident.
//! A new detector is one more [`Row`] in [`ROWS`].

use std::{borrow::Cow, fmt, ops::Range, sync::LazyLock};

use aho_corasick::AhoCorasick;
use regex::Regex;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Text that has been through redaction: the only text a sender accepts.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Redacted(String);

/// One detector: its name in the mark (empty gives the plain `[redacted]`); clues, one of which is
/// in every match, in any case (a text without them skips the pattern); the pattern; and where the
/// secret lies, seen from group 1. A match without a group 1 is an exception and is stepped over.
struct Row(&'static str, &'static [&'static str], &'static str, Secret);

#[derive(Clone, Copy, PartialEq)]
enum Secret {
    /// Group 1 is the secret.
    Group,
    /// The value that starts where group 1 ends, in whatever quotes or brackets it comes.
    Value,
    /// The same for cookies, where `; ` goes on to the next one.
    Cookies,
}

struct Engine {
    clues: AhoCorasick,
    /// The row each clue belongs to.
    owners: Vec<usize>,
    /// The compiled pattern of each row.
    patterns: Vec<Regex>,
}

/// The mark without a name, and what is left of a text that does not settle.
const PLAIN: &str = "[redacted]";

/// More than any text met so far needs (three), and few enough to stay linear.
const PASSES: usize = 8;

/// Names whose value is a secret. No word boundary in front: `DB_PASSWORD` and `userPassword`
/// count, and so does a name that a removed NUL has glued to the word before it.
macro_rules! names {
    () => {
        concat!(
            r"(?:(?:pass(?:word|wd|phrase)|pwd|[_-]pass|secret|private[_.-]?key",
            r"|(?:api|access|account|master|signing|encryption)[ _.-]?key",
            r"|(?:access|refresh|auth|session|api)[ _.-]?token|[a-z0-9][_-]token",
            r"|(?-i:[a-z]Token)|[jp](?:hp)?sess(?:ion)?id)",
            r"(?:[_.-]?(?:access[_.-]?key|key[_.-]?base|key|hash|confirm(?:ation)?|value|text))?",
            r"[0-9]{0,2})"
        )
    };
}

/// From the end of a name to the start of its value: the closing quote of a quoted name, then the
/// separator, also as URLs and Go's JSON encoder write it.
macro_rules! sep {
    () => {
        r#"\\*["']?[ \t]*(?:={1,3}>?|:=?|%3[ad]|\\u003[ad])"#
    };
}

/// Specific rows first: where two find a secret at the same place, the first one names it.
/// Fixed-length tokens are taken with whatever is glued to their end, because a removed control
/// character may have glued it there.
#[rustfmt::skip]
const ROWS: &[Row] = &[
    // Without its END marker a key goes to the end of the text. A stray END takes what looks like
    // key lines in front of it.
    Row("private-key", &["PRIVATE"], r"(-{4,5} ?BEGIN[A-Z0-9 +%]*PRIVATE[ +%20]{1,3}KEY(?s:.*?)(?:-{4,5} ?END[A-Z0-9 +%]*PRIVATE[ +%20]{1,3}KEY[A-Z +%0-9]*-{0,5}|\z))", Secret::Group),
    Row("private-key", &["PRIVATE"], r"((?:[A-Za-z0-9+/=]{40,}(?:\s|\\[nr])+)*[A-Za-z0-9+/=]*(?:\s|\\[nr])*-----END[A-Z0-9 +%]*PRIVATE[ +%20]{1,3}KEY[A-Z +%0-9]*-{0,5})", Secret::Group),
    Row("aws-key", &["AKIA", "ASIA", "AGPA", "AIDA", "AROA", "ANPA"], r"((?:AKIA|ASIA|AGPA|AIDA|AROA|ANPA)[A-Z0-9]{16,})", Secret::Group),
    Row("gcp-key", &["AIza"], r"(AIza[A-Za-z0-9_-]{35,})", Secret::Group),
    Row("github-token", &["ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"], r"((?:gh[pousr]|github_pat)_[A-Za-z0-9_]{20,})", Secret::Group),
    Row("gitlab-token", &["glpat-"], r"(glpat-[A-Za-z0-9_-]{16,}(?:\.[A-Za-z0-9_-]+)*)", Secret::Group),
    Row("slack-token", &["xox", "xapp-"], r"((?:xox[a-z](?:\.xox[a-z])?|xapp)-[A-Za-z0-9%+/=-]{10,})", Secret::Group),
    Row("slack-webhook", &["hooks.slack.com"], r"(?i)hooks\.slack\.com(?:\\?/|%2f)(?:services|workflows|triggers)(?:\\?/|%2f)((?:[a-z0-9_-]|\\?/|%2f)+)", Secret::Group),
    // The front boundary of `sk-` is what lets `task-…` and `disk-…` live.
    Row("ai-key", &["sk-ant-"], r"(sk-ant-[a-z]+[0-9]{2}-[A-Za-z0-9_-]{16,})", Secret::Group),
    Row("ai-key", &["sk-"], r"(?:^|[^A-Za-z0-9])(sk-(?:[A-Za-z_-]{0,40}[0-9][A-Za-z0-9_-]{16,}|[A-Za-z0-9]{32,}|(?:ant|proj|svcacct|admin)-[A-Za-z0-9_-]{20,}))", Secret::Group),
    Row("stripe-key", &["k_live_", "k_test_", "whsec_"], r"((?:[sr]k_(?:live|test)|whsec)_[A-Za-z0-9+/=]{10,})", Secret::Group),
    Row("npm-token", &["npm_"], r"(npm_[A-Za-z0-9]{36,})", Secret::Group),
    Row("sendgrid-key", &["SG."], r"(SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,})", Secret::Group),
    // Signed (two dots, the signature may be cut off) or encrypted (four dots).
    Row("jwt", &["eyJ"], r"(eyJ[A-Za-z0-9_-]{5,}\.(?:eyJ[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]*)?|[A-Za-z0-9_-]*(?:\.[A-Za-z0-9_-]+){3}))", Secret::Group),
    Row("azure-key", &["accountkey", "sharedaccesskey"], concat!(r"(?i)(?:account|sharedaccess)key", sep!(), r"([ \t]*)"), Secret::Value),
    Row("aws-secret-key", &["secret"], concat!(r"(?i)secret[_.-]?access[_.-]?key", sep!(), r"([ \t]*)"), Secret::Value),
    // A password may hold a slash; `host:8080/path@x` is told apart by its numeric port.
    Row("", &["://", r":\/\/"], r#":(?:\\?/){2}((?:[^\s/?#:@\["'<>\\][^\s/?#:@"'<>\\]*)?:(?:[^\s/?#"'<>]*|[0-9]*[^\s0-9/?#"'<>\\][^\s"'<>]*))@"#, Secret::Group),
    Row("authorization", &["authorization"], concat!(r"(?i)authorization", sep!(), r"([ \t]*(?:(?:bearer|basic|token|apikey|digest|negotiate|ntlm)[ \t]+)?)"), Secret::Value),
    // Of prose ("bearer authentication") a credential differs by a digit or by its length; Base64 by
    // a capital inside the word.
    Row("bearer", &["bearer"], r"(?i)bearer(?:[ \t]|%20|\+)+([a-z._~+/=-]{0,64}[0-9][a-z0-9._~+/=-]{5,}|[a-z0-9._~+/=-]{24,})", Secret::Group),
    Row("basic", &["basic"], r"(?i:basic)(?:[ \t]|%20|\+)+([A-Za-z0-9+/]*[a-z0-9][A-Z][A-Za-z0-9+/]{6,}={0,2})", Secret::Group),
    Row("cookie", &["cookie"], concat!(r"(?i)cookies?", sep!(), r"([ \t]*)"), Secret::Cookies),
    // The exceptions come first: a shell's working directory, the ARN of a secret, a PAM service,
    // an error about a file or a token, a Rust path. `token` alone is an English word unless it is quoted
    // or followed by a tight `=`.
    Row("secret", &["pass", "pwd", "secret", "token", "key", "sess", "sig"], concat!(
        r"(?i)(?-i:\bPWD=/)|arn:[a-z-]+:secretsmanager:[^:\s]*:[0-9]*:secret:|pam_[a-z0-9_]{1,20}\([a-z0-9_-]*:",
        r"|/(?:etc|secrets)/[a-z0-9_.-]*:|(?:invalid|expired|missing|unexpected)[_-]?token:|", names!(), r"::|(?:", names!(), sep!(), "|--(?:[a-z0-9]+-)*", names!(), r"[ \t]",
        r#"|["']token\\*["'][ \t]*[:=]|token=|(?:[?&]|\\u0026|%26)(?:sig|x-(?:amz|goog)-signature)=)([ \t]*)"#,
    ), Secret::Value),
];

static ENGINE: LazyLock<Engine> = LazyLock::new(|| {
    let clues = ROWS.iter().flat_map(|row| row.1);
    let owned = |(number, row): (usize, &Row)| vec![number; row.1.len()];
    let compile = |row: &Row| Regex::new(row.2).expect("the patterns are constants, and tested");
    Engine {
        clues: AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .build(clues)
            .expect("a few dozen short clues are far below the automaton's limits"),
        owners: ROWS.iter().enumerate().flat_map(owned).collect(),
        patterns: ROWS.iter().map(compile).collect(),
    }
});

/// What is never sent. A whole escape sequence where there is one; one that is not finished on its
/// line loses only its start, or it could swallow the rest of a message.
static NOISE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(concat!(
        r"(?:\x1b\[|\x{9b})[0-?]*[ -/]*[@-~]",
        r"|(?:\x1b[\]PX^_]|[\x{90}\x{98}\x{9d}-\x{9f}])[^\x07\x1b\x{9c}\n]*(?:\x07|\x1b\\|\x{9c})",
        r"|\x1b[ -/]*[0-~]|[\x00-\x08\x0b-\x1f\x7f-\x{9f}]",
        r"|[\x{ad}\x{34f}\x{61c}\x{115f}\x{1160}\x{17b4}\x{17b5}\x{180b}-\x{180f}\x{200b}-\x{200f}",
        r"\x{2028}-\x{202e}\x{2060}-\x{206f}\x{3164}\x{fe00}-\x{fe0f}\x{feff}\x{ffa0}",
        r"\x{fff0}-\x{fffb}\x{e0000}-\x{e0fff}]",
    ))
    .expect("the pattern is a constant, and tested")
});

/// An opening quote, as deeply escaped as it may be, with the letters Python puts in front.
static QUOTE: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r#"\A[bBuUrR]{0,2}(\\*)(["'])"#).expect("the pattern is a constant, and tested"));

impl Redacted {
    /// Drops what steers or hides, then replaces secrets until a pass finds none.
    pub fn new(text: &str) -> Redacted {
        let mut text = NOISE.replace_all(text, "");
        for _ in 0..PASSES {
            match replace_once(&text) {
                Some(changed) => text = Cow::Owned(changed),
                None => return Redacted(text.into_owned()),
            }
        }
        // A text still changing is not known to be clean.
        Redacted(PLAIN.to_owned())
    }

    /// For bytes straight from the wire: what is not UTF-8 becomes U+FFFD.
    pub fn from_bytes(text: &[u8]) -> Redacted {
        Redacted::new(&String::from_utf8_lossy(text))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// At most `max` bytes, with `…` (counted) where something was cut. A mark is never cut in
    /// two: half a mark would no longer be known as one when the text is read back.
    pub fn cut(&self, max: usize) -> Redacted {
        if self.0.len() <= max {
            return self.clone();
        }
        let Some(room) = max.checked_sub("…".len()) else {
            return Redacted::default();
        };
        let head = self.0.split_at(self.0.floor_char_boundary(room)).0;
        let (before, tail) = head.split_at(head.rfind('[').unwrap_or(head.len()));
        let half = !tail.contains(']') && (tail.starts_with("[redacted") || PLAIN.starts_with(tail));
        Redacted(format!("{}…", if half { before } else { head }))
    }

    /// Newlines and tabs become single spaces. Joined lines can read as a name and its value where
    /// the separate ones did not, hence the second redaction.
    pub fn one_line(&self) -> Redacted {
        let parts = self.0.split(['\n', '\t']).filter(|part| !part.is_empty());
        Redacted::new(&parts.collect::<Vec<_>>().join(" "))
    }
}

impl fmt::Display for Redacted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Redacted {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Redacted {
    /// Redacts again: a store somebody has written to cannot smuggle text past the gate.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Redacted, D::Error> {
        String::deserialize(deserializer).map(|text| Redacted::new(&text))
    }
}

/// One pass of every suspected row over the same text; `None` when nothing had to be replaced.
fn replace_once(text: &str) -> Option<String> {
    let engine = &*ENGINE;
    let mut suspected = [false; ROWS.len()];
    for hit in engine.clues.find_overlapping_iter(text) {
        suspected[engine.owners[hit.pattern().as_usize()]] = true;
    }
    let mut found: Vec<(usize, usize, usize)> = Vec::new();
    for number in (0..ROWS.len()).filter(|number| suspected[*number]) {
        let mut at = 0;
        while let Some(groups) = engine.patterns[number].captures_at(text, at) {
            at = groups.get_match().end();
            let Some(group) = groups.get(1) else { continue };
            let secret = match ROWS[number].3 {
                Secret::Group => group.range(),
                kind => value(text, group.range(), kind),
            };
            at = at.max(secret.end);
            if !is_placeholder(text.get(secret.clone()).unwrap_or_default()) {
                found.push((secret.start, number, secret.end));
            }
        }
    }
    found.sort_unstable();
    let mut found = found.into_iter().peekable();
    found.peek()?;
    let (mut out, mut done) = (String::with_capacity(text.len()), 0);
    while let Some((start, number, mut end)) = found.next() {
        while let Some((_, _, further)) = found.next_if(|next| next.0 <= end) {
            end = end.max(further);
        }
        out.push_str(text.get(done..start).unwrap_or_default());
        out.push_str(&mark(ROWS[number].0));
        done = end;
    }
    out.push_str(text.get(done..).unwrap_or_default());
    Some(out)
}

fn mark(name: &str) -> String {
    if name.is_empty() { PLAIN.to_owned() } else { format!("[redacted:{name}]") }
}

/// The value behind `gap`. It ends on its line, whatever quote or bracket is still open.
fn value(text: &str, gap: Range<usize>, kind: Secret) -> Range<usize> {
    let (bytes, from) = (text.as_bytes(), gap.end);
    if let Some(quote) = text.get(from..).and_then(|rest| QUOTE.captures(rest)) {
        let start = from + quote.get_match().end();
        return start..closing_quote(bytes, start, quote[1].len(), bytes[start - 1]);
    }
    // Brackets are followed for `["a", "b"]` and `Some("a")`. Closing brackets, commas
    // and backslashes that nothing follows belong to the text around the value.
    let (mut at, mut end, mut depth) = (from, from, 0_usize);
    while let Some(&byte) = bytes.get(at) {
        at += 1;
        match byte {
            b'\n' => break,
            b'"' if depth == 0 => break,
            b'"' => {
                let backslash = |byte: &&u8| **byte == b'\\';
                let escape = bytes[from..at - 1].iter().rev().take_while(backslash);
                at = closing_quote(bytes, at, escape.count(), b'"');
                at += bytes[at..].iter().take_while(backslash).count();
                at += usize::from(bytes.get(at) == Some(&b'"'));
            }
            b' ' | b'\t' if depth == 0 && !(kind == Secret::Cookies && bytes[at - 2] == b';') => {
                break;
            }
            b',' | b';' | b'&' if depth == 0 && kind != Secret::Cookies => break,
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' | b',' | b'\\' if depth == 0 => continue,
            b')' | b']' | b'}' => depth -= 1,
            _ => {}
        }
        end = at;
    }
    from..if is_next_pair(bytes, gap, end) { from } else { end }
}

/// In `password= user=bob` the value is empty, and what follows the gap is the next pair.
fn is_next_pair(bytes: &[u8], gap: Range<usize>, end: usize) -> bool {
    let (head, word) = (&bytes[..gap.start], &bytes[gap.end..end]);
    let tight = head.ends_with(b"=") && !head.ends_with(b" =") && !head.ends_with(b"==");
    let in_key = |byte: &&u8| byte.is_ascii_alphanumeric() || **byte == b'_';
    let key = word.iter().take_while(in_key).count();
    tight
        && matches!(bytes[gap], [b' ' | b'\t'])
        && word.first().is_some_and(u8::is_ascii_alphabetic)
        && matches!(word.get(key..), Some([b'=', next, ..]) if *next != b'=')
}

/// Where a quoted value ends whose opening quote had `escape` backslashes in front: at a quote
/// escaped the same way, or less (that one ends a string around it). One level of JSON in JSON
/// doubles the backslashes of the level before, so a quote inside the value is told from the
/// closing one by the remainder: n levels down, 2ⁿ-1 against 2ⁿ⁺¹-1 in steps of 2ⁿ⁺¹.
fn closing_quote(bytes: &[u8], from: usize, escape: usize, quote: u8) -> usize {
    let mut run = 0;
    for (at, &byte) in bytes.iter().enumerate().skip(from) {
        match byte {
            b'\n' => return at,
            b'\\' => run += 1,
            _ if byte == quote && (run < escape || run % (2 * (escape + 1)) == escape) => {
                return at - run.min(escape);
            }
            _ => run = 0,
        }
    }
    bytes.len()
}

/// Values that tell nothing: no value, a mark of ours, somebody else's mask.
fn is_placeholder(value: &str) -> bool {
    const SAY_NOTHING: &str = "- null nil none true false undefined redacted filtered";
    let brackets = ['(', ')', '[', ']', '{', '}', '<', '>', '.', '…'];
    let bare = value.trim_matches(brackets).trim_matches('*');
    let ours = |name| ROWS.iter().any(|row| row.0 == name);
    bare.is_empty()
        || SAY_NOTHING.split(' ').any(|nothing| bare.eq_ignore_ascii_case(nothing))
        || bare.strip_prefix("redacted:").is_some_and(ours)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

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

    #[test]
    fn every_secret_is_replaced_and_its_neighbours_stay() {
        for (text, secret, name) in CASES.iter().filter(|case| case.2 != "-") {
            let got = Redacted::new(&text.replacen("{}", secret, 1));
            assert_eq!(got.as_str(), text.replacen("{}", &mark(name), 1).replace('\0', ""));
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
        assert_eq!(Redacted::new(split).as_str(), "[redacted:aws-key]");
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
        ];
        for piece in pieces {
            Redacted::new(&piece.repeat(300_000 / piece.len()));
        }
        assert!(start.elapsed().as_secs() < 60, "took {:?}", start.elapsed());
    }

    fn hostile_text() -> impl Strategy<Value = String> {
        #[rustfmt::skip]
        const BITS: &[&str] = &[
            "password", "token", "Cookie", "Authorization", "Bearer ", "=", ":", ": ", "\"", "\\\"", "\\", "'", "[", "]",
            "{", "}", "(", ")", ",", ";", "&", "?", "@", "://", "/", " ", "\n", "\t", "\x1b", "\x1b[0m", "PWD=/", "--secret ",
            "[redacted]", "[redacted:", "[redacted:jwt]", "secret", "null", "eyJ", ".", "-----BEGIN PRIVATE KEY", "%3d", "ü",
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
}
