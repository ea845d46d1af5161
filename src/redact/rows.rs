//! The detectors that are patterns. A new one is one more [`Row`] in [`ROWS`].

use super::names::{front, header_sep, names, sep};

/// One detector.
pub(super) struct Row {
    /// What its mark is called; empty gives the plain `[redacted]`.
    pub(super) name: &'static str,
    /// One of them is in every match, in any case: a text without them skips the pattern.
    pub(super) clues: &'static [&'static str],
    /// A match without a group 1 is an exception and is stepped over.
    pub(super) pattern: &'static str,
    pub(super) secret: Secret,
    pub(super) maker: Maker,
}

/// Where the secret lies, seen from group 1.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Secret {
    /// Group 1 is the secret.
    Group,
    /// Group 1, or the whole match where there is none.
    Whole,
    /// The value that starts where group 1 ends, in whatever quotes or brackets it comes.
    Value,
    /// The same for cookies, where `; ` goes on to the next one.
    Cookies,
}

/// Who thought a secret of this form up. It decides whether its mark has a pseudonym: see `marks`.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Maker {
    /// A generator of random keys.
    Machine,
    /// Perhaps a person.
    Person,
    /// What an operator's pattern or list of fields names.
    Operator,
    /// Nobody: an address or number that people know each other by.
    Identity,
}

use Maker::{Machine, Person};
use Secret::{Cookies, Group, Value};

const fn row(
    name: &'static str,
    clues: &'static [&'static str],
    pattern: &'static str,
    secret: Secret,
    maker: Maker,
) -> Row {
    Row { name, clues, pattern, secret, maker }
}

/// One is in whatever [`names`] takes for the name of a secret.
const NAMED: &[&str] =
    &["pass", "pwd", "secret", "token", "key", "sess", "sig", "credential", "code", "cvv", "cvc", "ssn", "otp", "pin"];

/// Specific rows first: where two find a secret at the same place, the first one names it.
/// Fixed-length tokens are taken with whatever is glued to their end, because a removed control
/// character may have glued it there.
#[rustfmt::skip]
pub(super) const ROWS: &[Row] = &[
    // Without its END marker a key goes to the end of the text. A stray END takes what looks like
    // key lines in front of it.
    row("private-key", &["PRIVATE"], r"(-{4,5} ?BEGIN[A-Z0-9 +%]*PRIVATE[ +%20]{1,3}KEY(?s:.*?)(?:-{4,5} ?END[A-Z0-9 +%]*PRIVATE[ +%20]{1,3}KEY[A-Z +%0-9]*-{0,5}|\z))", Group, Machine),
    row("private-key", &["PRIVATE"], r"((?:[A-Za-z0-9+/=]{40,}(?:\s|\\[nr])+)*[A-Za-z0-9+/=]*(?:\s|\\[nr])*-----END[A-Z0-9 +%]*PRIVATE[ +%20]{1,3}KEY[A-Z +%0-9]*-{0,5})", Group, Machine),
    row("private-key", &["PuTTY-User-Key-File"], r"(PuTTY-User-Key-File-(?s:.*?)(?:Private-MAC:[ ]*[0-9a-f]+|\z))", Group, Machine),
    row("private-key", &["AGE-SECRET-KEY-"], r"(AGE-SECRET-KEY-[A-Z0-9]{20,})", Group, Machine),
    row("aws-key", &["AKIA", "ASIA", "AGPA", "AIDA", "AROA", "ANPA"], r"((?:AKIA|ASIA|AGPA|AIDA|AROA|ANPA)[A-Z0-9]{16,})", Group, Machine),
    row("gcp-key", &["AIza"], r"(AIza[A-Za-z0-9_-]{35,})", Group, Machine),
    row("gcp-token", &["ya29.", "GOCSPX-", "1//0"], r"(ya29\.[A-Za-z0-9_.-]{20,}|GOCSPX-[A-Za-z0-9_-]{20,}|1//0[A-Za-z0-9_-]{30,})", Group, Machine),
    row("github-token", &["ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"], r"((?:gh[pousr]|github_pat)_[A-Za-z0-9_]{20,})", Group, Machine),
    row("gitlab-token", &["glpat-", "gldt-", "glrt-", "glptt-", "glcbt-", "glsoat-", "glagent-", "gloas-"], r"(gl(?:pat|dt|rt|ptt|cbt|soat|agent|oas)-[A-Za-z0-9_-]{16,}(?:\.[A-Za-z0-9_-]+)*)", Group, Machine),
    row("slack-token", &["xox", "xapp-"], r"((?:xox[a-z](?:\.xox[a-z])?|xapp)-[A-Za-z0-9%+/=-]{10,})", Group, Machine),
    row("slack-webhook", &["hooks.slack.com"], r"(?i)hooks\.slack\.com(?:\\?/|%2f)(?:services|workflows|triggers)(?:\\?/|%2f)((?:[a-z0-9_-]|\\?/|%2f)+)", Group, Machine),
    row("webhook", &["/api/webhooks", r"api\/webhooks", "/webhookb2", r"\/webhookb2"], r"(?i)(?:discord(?:app)?\.com\\?/api|webhook\.office\.com)\\?/webhook(?:s|b2)\\?/((?:[a-z0-9_@-]|\\?/)+)", Group, Machine),
    row("telegram-token", &[":AA"], r"([0-9]{6,12}:AA[A-Za-z0-9_-]{30,})", Group, Machine),
    // The front boundary of `sk-` is what lets `task-…` and `disk-…` live.
    row("ai-key", &["sk-ant-"], r"(sk-ant-[a-z]+[0-9]{2}-[A-Za-z0-9_-]{16,})", Group, Machine),
    row("ai-key", &["sk-"], concat!(front!(), r"(sk-(?:[A-Za-z_-]{0,40}[0-9][A-Za-z0-9_-]{16,}|[A-Za-z0-9]{32,}|(?:ant|proj|svcacct|admin)-[A-Za-z0-9_-]{20,}))"), Group, Machine),
    row("ai-key", &["gsk_", "xai-", "hf_", "r8_"], concat!(front!(), r"((?:gsk_|hf_|r8_)[A-Za-z0-9]{30,}|xai-[A-Za-z0-9]{40,})"), Group, Machine),
    row("stripe-key", &["k_live_", "k_test_", "whsec_"], r"((?:[sr]k_(?:live|test)|whsec)_[A-Za-z0-9+/=]{10,})", Group, Machine),
    row("npm-token", &["npm_"], r"(npm_[A-Za-z0-9]{36,})", Group, Machine),
    row("pypi-token", &["pypi-Ag"], r"(pypi-Ag[A-Za-z0-9_-]{16,})", Group, Machine),
    row("docker-token", &["dckr_"], r"(dckr_[a-z]{2,4}_[A-Za-z0-9_-]{16,})", Group, Machine),
    row("digitalocean-token", &["_v1_"], r"(do[a-z]_v1_[A-Fa-f0-9]{32,})", Group, Machine),
    row("vault-token", &["hvs.", "hvb.", "hvr."], r"(hv[sbr]\.[A-Za-z0-9_-]{20,})", Group, Machine),
    row("sendgrid-key", &["SG."], r"(SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,})", Group, Machine),
    // An account's identifier (`AC…`) is no secret.
    row("twilio-key", &["SK"], concat!(front!(), r"(SK[0-9a-f]{32})"), Group, Machine),
    row("azure-key", &["Q~"], r"([A-Za-z0-9_~.-]{3}[0-9]Q~[A-Za-z0-9_~.-]{31,})", Group, Machine),
    row("token",
        &["glsa_", "glc_", "NRAK-", "sntry", "ATATT3", "PMAK-", "shp", "sq0", "lin_api_", "ntn_", "pscale_", "sbp_", "fm2_", "rubygems_", "dp.", ".atlasv1."],
        concat!(
            r"(gl(?:sa|c)_[A-Za-z0-9_+/=-]{24,}|NRAK-[A-Z0-9]{24,}|sntry[su]_[A-Za-z0-9_+/=-]{24,}|ATATT3[A-Za-z0-9_=-]{20,}|PMAK-[a-f0-9-]{40,}",
            r"|shp(?:at|ca|pa|ss)_[A-Fa-f0-9]{32,}|sq0[a-z]{3}-[A-Za-z0-9_-]{22,}|lin_api_[A-Za-z0-9]{30,}|ntn_[A-Za-z0-9]{30,}",
            r"|pscale_[a-z]+_[A-Za-z0-9_.-]{30,}|sbp_[a-f0-9]{40,}|fm2_[A-Za-z0-9+/=_-]{30,}|rubygems_[a-f0-9]{40,}|dp\.(?:pt|st|ct|sa)\.[A-Za-z0-9_.-]{30,}",
            r"|[A-Za-z0-9]{14}\.atlasv1\.[A-Za-z0-9_=-]{40,})",
        ), Group, Machine),
    row("token", &["dapi", "pul-", "key-"], concat!(front!(), r"(dapi[a-f0-9]{32,}|pul-[a-f0-9]{40,}|key-[0-9a-f]{32})"), Group, Machine),
    // Signed (two dots, the signature may be cut off) or encrypted (four dots).
    row("jwt", &["eyJ"], r"(eyJ[A-Za-z0-9_-]{5,}\.(?:eyJ[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]*)?|[A-Za-z0-9_-]*(?:\.[A-Za-z0-9_-]+){3}))", Group, Machine),
    row("azure-key", &["accountkey", "sharedaccesskey"], concat!(r"(?i)(?:account|sharedaccess)key", sep!(), r"([ \t]*)"), Value, Machine),
    row("aws-secret-key", &["secret"], concat!(r"(?i)secret[_.-]?access[_.-]?key", sep!(), r"([ \t]*)"), Value, Machine),
    // A password may hold a slash; `host:8080/path@x` is told apart by its numeric port.
    row("", &["://", r":\/\/"], r#":(?:\\?/){2}((?:[^\s/?#:@\["'<>\\][^\s/?#:@"'<>\\]*)?:(?:[^\s/?#"'<>]*|[0-9]*[^\s0-9/?#"'<>\\][^\s"'<>]*))@"#, Group, Person),
    // A token in the place of the user, and a whole URL inside another one.
    row("", &["://", r":\/\/"], r":(?:\\?/){2}([A-Za-z0-9_~+-]{20,})@", Group, Machine),
    row("", &["%3a%2f%2f"], r#"(?i)%3a%2f%2f([a-z0-9_.~%!$*+-]*%3a[^\s"'&<>]*?)%40"#, Group, Person),
    row("", &["jdbc:oracle"], r#"(?i)jdbc:oracle:[a-z0-9]+:([^\s/@"']*/[^\s@"']+)@"#, Group, Person),
    row("authorization", &["authorization"], concat!(r"(?i)authorization", header_sep!(), r"([ \t]*(?:(?:bearer|basic|token|apikey|digest|negotiate|ntlm)[ \t]+)?)"), Value, Person),
    // Of prose ("bearer authentication") a credential differs by a digit or by its length; Base64 by
    // a capital inside the word.
    row("bearer", &["bearer"], r"(?i)bearer(?:[ \t]|%20|\+)+([a-z._~+/=-]{0,64}[0-9][a-z0-9._~+/=-]{5,}|[a-z0-9._~+/=-]{24,})", Group, Person),
    row("basic", &["basic"], r"(?i:basic)(?:[ \t]|%20|\+)+([A-Za-z0-9+/]*[a-z0-9][A-Z][A-Za-z0-9+/]{6,}={0,2})", Group, Person),
    row("cookie", &["cookie"], concat!(r"(?i)cookies?2?", header_sep!(), r"([ \t]*)"), Cookies, Person),
    // `docker login` keeps user and password so.
    row("basic", &["auth"], r#"(?i:["'_]auth\\*["']?[ \t]*[:=][ \t]*\\*["']?)([A-Za-z0-9+/]{12,}={0,2})"#, Group, Person),
    // A password in a connection string may hold blanks.
    row("secret", &["pwd=", "password="], r#"(?i)[;"'][ ]*(?:password|pwd)=([^;"'\n=/][^;"'\n=]*);"#, Group, Person),
    row("secret", NAMED, concat!(r"(?i)<(?:[a-z0-9_.-]+:)?[a-z0-9_.-]*", names!(), r"(?:\s[^<>]*)?>([^<>\s][^<>]*)"), Group, Person),
    // An environment as ECS and Kubernetes print it.
    row("secret", NAMED, concat!(
        r#"(?i)(?:name|key)\\*["']?[ \t]*[:=][ \t]*\\*["']?[a-z0-9_.-]*(?:"#, names!(), r#"|token)\\*["']?[ \t]*[, ][ \t]*\\*["']?value"#, sep!(), r"([ \t]*)",
    ), Value, Person),
    row("secret", &["?", "&", "%26", "%3f", r"\u0026"], concat!(
        r"(?i)(?:[?&]|&amp;|\\u0026|%26|%3f)(?:(?:sig|signature|x-(?:amz|goog)-(?:signature|credential)|jwt)(?:=|%3d)([^\s&",
        r#""'<>#\\;]+)"#, ")",
    ), Group, Machine),
    row("secret", &["?", "&", "%26", "%3f", r"\u0026"], r#"(?i)(?:[?&]|&amp;|\\u0026|%26|%3f)(?:key|code|auth|ticket|sid|session)=([^\s&"'<>#\\;]{8,})"#, Group, Person),
    // The exceptions come first: a shell's working directory, the ARN of a secret, a PAM service,
    // an error about a file or a token, a Rust path. `token` alone is an English word unless it is quoted
    // or followed by a tight `=`.
    row("secret", NAMED, concat!(
        r"(?i)(?-i:(?-u:\b)PWD=/)|arn:[a-z-]+:secretsmanager:[^:\s]*:[0-9]*:secret:|pam_[a-z0-9_]{1,20}\([a-z0-9_-]*:",
        r"|/(?:etc|secrets)/[a-z0-9_.-]*:|(?:invalid|expired|missing|unexpected)[_-]?token:|", names!(), r"::|(?:", names!(), sep!(), "|--[a-z0-9_-]*?", names!(), r"[ \t]",
        r#"|["']token\\*["'][ \t]*[:=]|token=|sharedaccesssignature[ =]sig=)([ \t]*)"#,
    ), Value, Person),
];
