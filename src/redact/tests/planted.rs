//! Secrets planted in every usual form of a line, none of which may survive, and innocents, all of which must.

use super::*;

/// A free-standing secret at `{}`. JSON within JSON is escaped once and twice.
const FORMS: &[&str] = &[
    "got {} here",
    "{}",
    "({}), then",
    r#"{"message":"got {} here","level":"error"}"#,
    r#"{"value":"{}"}"#,
    r#"{"log":"{\"value\":\"{}\",\"a\":1}\n","b":2}"#,
    r#"{"a":"{\"log\":\"{\\\"value\\\":\\\"{}\\\"}\"}"}"#,
    r#"{"log":"first\n{}\nlast"}"#,
    r#"{"log":"\t{}\r\n"}"#,
    "GET /x?value={}&a=1 HTTP/1.1",
    "to=%2Fx%3Fvalue%3D{}%26a HTTP/1.1",
    "X-Value: {}\r\nHost: a",
    "a: 1\nvalue: {}\nb: 2",
    "a: 1\nvalues:\n  - '{}'\n",
    "level=error value={} ok=false",
    r#"level=error value="{}" ok=false"#,
    "<value>{}</value>",
    "[2026-01-02T03:04:05Z ERROR app::x] {}",
];

/// A secret that is known by its name only: name at `<>`, value at `{}`.
const NAMED: &[&str] = &[
    "<>={}",
    "level=error <>={} ok=false",
    r#"level=error <>="{}" ok=false"#,
    "<> = {}",
    "<>: {}\nb: 2",
    "a: 1\n<>: '{}'\nb: 2",
    "<>: |\n  {}\nb: 2",
    "<>: >-\n  {}\n  {}\nb: 2",
    r#"{"<>":"{}"}"#,
    r#"{"a":1,"<>": "{}", "b":2}"#,
    r#"{"log":"{\"<>\":\"{}\",\"a\":1}\n","b":2}"#,
    r#"{"log":"{\n  \"<>\" : \"{}\",\n  \"a\": 1}"}"#,
    r#"{"a":"{\"log\":\"{\\\"<>\\\":\\\"{}\\\"}\"}"}"#,
    r#"{"log":"first\n<>: {}\nlast"}"#,
    r#"{"<>":["{}","{}"]}"#,
    "{'<>': '{}'}",
    "GET /x?a=1&<>={}&b=2 HTTP/1.1",
    r"GET /x?a=1\u0026<>={}\u0026b=2",
    "to=%2Fx%3F<>%3D{}%26a HTTP/1.1",
    "<<>>{}</<>>",
    r#"<x:<> type="a">{}</x:<>>"#,
    r#"[{"name":"<>","value":"{}"}]"#,
    r#"{"log":"[{\"name\": \"<>\", \"value\": \"{}\"}]"}"#,
    "name: <>, value: {}",
    "Server=db;Database=app;<>={};Timeout=30",
    "run --<> {} --now",
];

#[rustfmt::skip]
const NAMES: &[&str] = &[
    "password", "passwd", "DB_PASSWORD", "userPassword", "Pwd", "passphrase", "secret", "client_secret", "clientSecret",
    "api_key", "apiKey", "x-api-key", "DD_API_KEY", "DD_APP_KEY", "access_token", "accessToken", "refreshToken", "x-vault-token",
    "TWILIO_AUTH_TOKEN", "TELEGRAM_BOT_TOKEN", "private_key", "AWS_SECRET_ACCESS_KEY", "aws_session_token", "SECRET_KEY_BASE",
    "credentials", "csrf_token", "JSESSIONID", "PHPSESSID", "encryption_key", "card_cvv", "Ocp-Apim-Subscription-Key",
];

/// In forms of their own; what may not survive is between `«` and `»`.
#[rustfmt::skip]
const WHOLE: &[&str] = &[
    "jdbc:postgresql://db:5432/app?user=bob&password=«hunter-2-xx»&ssl=true",
    "jdbc:oracle:thin:bob/«hunter-2-xx»@//db:1521/app",
    "jdbc:sqlserver://db:1433;user=bob;password=«hunter 2 xx»;encrypt=true",
    "Server=db;User Id=sa;Password=«hunter 2 xx»;Database=app",
    "amqp://bob:«hunter-2-xx»@mq.example.com:5672/vhost", "amqps://bob:«hunter%2F2»@mq.example.com",
    "redis://:«hunter-2-xx»@cache.example.com:6379/0", "rediss://default:«hunter-2-xx»@cache:6380",
    "mongodb+srv://bob:«hunter-2-xx»@cluster0.abc12.mongodb.net/app?retryWrites=true",
    "mongodb://bob:«hunter-2-xx»@a.example.com:27017,b.example.com:27017/app",
    r#"{"url":"postgres:\/\/bob:«hunter-2-xx»@db.example.com\/app"}"#,
    "next=postgres%3A%2F%2Fbob%3A«hunter-2-xx»%40db.example.com%2Fapp",
    "https://«0123456789abcdef0123456789abcdef»@git.example.com/a/b.git",
    "DefaultEndpointsProtocol=https;AccountName=a;AccountKey=«Zm9vYmFyYmF6cXV4Zm9vYmFyYmF6cXV4==»;EndpointSuffix=core.windows.net",
    "Endpoint=sb://a.servicebus.windows.net/;SharedAccessKeyName=Root;SharedAccessKey=«Zm9vYmFyYmF6cXV4Zm9vYmFy=»",
    "https://a.blob.core.windows.net/c/b?sv=2022-11-02&st=2026-01-01&sr=b&sp=r&sig=«Zm9vYmFy%2FYmF6cXV4%3D»&se=2026-01-02",
    "SharedAccessSignature sr=a.example.net&sig=«Zm9vYmFy%2fYmF6cXV4»&se=1700000000&skn=Root",
    "GET /b?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Signature=«0f1e2d3c4b5a69788796a5b4c3d2e1f0» HTTP/1.1",
    "https://hooks.slack.com/services/«T0123ABCD/B0123ABCD/aB1cD2eF3gH4iJ5kL6mN7oP8»",
    r"https:\/\/hooks.slack.com\/services\/«T0123ABCD\/B0123ABCD\/aB1cD2eF3gH4iJ5kL6mN7oP8»",
    "POST https://discord.com/api/webhooks/«123456789012345678/aB1cD2eF3gH4iJ5kL6mN7oP8» 204",
    "https://example.webhook.office.com/webhookb2/«0f1e2d3c-aaaa@1111/IncomingWebhook/0f1e2d»",
    "https://api.telegram.org/bot«5104028190:AAH8kq3vX9yZ2wL4mN6pR8tV0bD2fG4hJ6k»/sendMessage",
    r#"{"auths":{"https://images.example.org/v1/":{"auth":"«Ym9iOmh1bnRlcjJodW50ZXIy»"}}}"#,
    "//registry.example.org/:_authToken=«0f1e2d3c-1111-2222-3333-445566778899»",
    "Cookie: «sid=0f1e2d3c4b5a; theme=dark»", "Set-Cookie: «sid=0f1e2d3c4b5a; Path=/; HttpOnly»",
    r#"{"headers":{"cookie":"«sid=0f1e2d3c4b5a; a=b»","host":"a"}}"#, r#"{"h":"{\"set-cookie\":[\"«sid=0f1e2d3c4b5a; Path=/»\"]}"}"#,
    r#"[("Cookie", "«sid=0f1e2d3c4b5a; a=b»"), ("Host", "a")]"#, r#"["Authorization","Token «0f1e2d3c4b5a»"]"#,
    "curl -H 'Authorization: Bearer «aB1cD2eF3g»' https://a", r#"{"authorization":"Basic «Ym9iOmh1bnRlcjI=»"}"#,
    "Proxy-Authorization: Basic «Ym9iOmh1bnRlcjI=»", "headers map[Authorization:[Bearer «aB1cD2eF3g»] Host:[a]]",
    "GET /cb?code=«4/0AX4XfWh-aB1cD2eF3»&state=xyz HTTP/1.1", "GET /maps?key=«aB1cD2eF3gH4»&q=a HTTP/1.1",
    concat!("-----BEGIN OPENSSH PRIV", "ATE KEY-----\n«b3BlbnNzaC1rZXktdjEAAAAABG5vbmU»\n-----END OPENSSH PRIV", "ATE KEY-----"),
    concat!("-----BEGIN PGP PRIV", "ATE KEY BLOCK-----\n\n«lQOYBGJxZ8kBCADh2m»\n=aB1c\n-----END PGP PRIV", "ATE KEY BLOCK-----"),
    "PuTTY-User-Key-File-2: ssh-rsa\nEncryption: none\nComment: a\nPrivate-Lines: 1\n«AAABAQCk2mN8pQ4rS6tU8vW0xY2z»\nPrivate-MAC: 0f1e2d3c",
    concat!(r#"{"type":"service_account","private_key_id":"0f1e","private_key":"-----BEGIN PRIV"#, r#"ATE KEY-----\n«MIIEvQIBADANBgkqhkiG9w0B»\n-----END PRIV"#, r#"ATE KEY-----\n","client_id":"1"}"#),
    concat!(r#"{"log":"{\"private_key\":\"-----BEGIN PRIV"#, r#"ATE KEY-----\\n«MIIEvQIBADANBgkqhkiG9w0B»\\n-----END PRIV"#, r#"ATE KEY-----\\n\"}"}"#),
];

/// Kind and secret, for each line of the table.
fn planted() -> impl Iterator<Item = (&'static str, String)> {
    let lines = include_str!("../../../tests/planted.txt").lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.split_once(' ')).map(|(kind, secret)| (kind, secret.replace('¦', "")))
}

#[test]
fn no_planted_secret_survives_in_any_form() {
    for (kind, secret) in planted() {
        for form in FORMS {
            let got = Redacted::new(&form.replace("{}", &secret));
            assert!(!got.as_str().contains(&secret), "{kind}: {secret} in {form}: {got}");
            // In some forms another detector is first to see it.
            let is_named = got.as_str().contains(&format!("{kind}:")) || form.contains("%3D");
            assert!(is_named, "{kind} in {form}: {got}");
        }
    }
}

#[test]
fn no_secret_survives_that_only_its_name_tells() {
    let mut leaks = Vec::new();
    for name in NAMES {
        for form in NAMED {
            for secret in ["Zx9-hunter2", "12345678"] {
                let text = form.replace("<>", name).replace("{}", secret);
                let got = Redacted::new(&text);
                if got.as_str().contains(secret) {
                    leaks.push(format!("{text} became {got}"));
                }
            }
        }
    }
    assert!(leaks.is_empty(), "{leaks:#?}");
}

#[test]
fn no_secret_survives_in_a_form_of_its_own() {
    for case in WHOLE {
        let secret = case.split(['«', '»']).nth(1).unwrap();
        let got = Redacted::new(&case.replace(['«', '»'], ""));
        for part in secret.split([' ', '\n']).filter(|part| part.len() > 3) {
            assert!(!got.as_str().contains(part), "{part} of {case} is in {got}");
        }
    }
}

#[test]
fn innocents_survive() {
    #[rustfmt::skip]
    let texts = [
        "commit 9fceb02d0ae598e95dc970b74767f19372d61af8 (9fceb02) merged", "HEAD is now at 4111111 fix",
        "registry.example.com/app@sha256:4111111111111111411111111111111141111111111111114111111111111111",
        "container 4111111111111111411111111111111141111111111111114111111111111111 died",
        "4111111111111111 411111111111111f".split_once(' ').unwrap().1, "trace 41111111111111114111111111111111",
        "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "dd.trace_id=1234567890123456789",
        "X-Amzn-Trace-Id: Root=1-67891233-abcdef012345678912345678", "uuid 41111111-1111-4111-8111-111111111111",
        "integrity sha512-v2kDEe57lecTulaDIuNTPy3Ry4gLGJ6Z1O3vE1krgXZNrsQ+LFTGHVxVjcXPs17LhbZVGedAJv8XZ1tvj5FvSg==",
        "ulid 01ARZ3NDEKTSV4RRFFQ69G5FAV, ksuid 0ujtsYcgvSTl8PAuAdqWYSMnLOv",
        "ts=1700000000000 us=1700000000000000 ns=1700000000000000000 day=20240102030405", "at 1700000000.123456",
        "order 1234567890123456, invoice 4111111111111112, price 4111111111111.25", "snowflake 1234567890123456789",
        "pod payments-7d9f8b6c5d-x2x4z on ip-10-0-0-1.ec2.internal (10.0.0.1)", "arn:aws:ecs:eu-west-1:123456789012:task/a/0f1e2d3c4b5a",
        "GET /orders?code=404&page=2&sort=asc 200", "exit code: 137", "code=ECONNREFUSED errno=111", "killed by sig=11 (SIGSEGV)",
        "git clone git@github.com:a/b.git", "ssh://git@example.org/x.git", "lodash@4.17.21", "getty@tty1.service: started",
        "session started for user 42", "key not found: orders/42", "cache key=orders:42 miss", "partition key: 7",
        "author: bob", "tokens used: 512, max_tokens=100, token_count=3", "pinned pin 12", "spin=1 shopping=2", "passed=12 failed=0 bypass: on",
        "auth: ok", "authenticated=true", "secretary: bob", "compass: north", "keyboard=us monkey=1", "assignment: 3", "design=a&b=c",
        "http://[::1]:80/a and https://example.com/a?b=c#d", "user root@10.0.0.1 from 192.168.0.1 port 22", "mod a::b::c at src/a.rs:12:3",
        "rate 4111 1111 per s, 12 4111 1111", "mac aa:bb:cc:dd:ee:ff", "phone +1 202 555 0123", "version 1.2.3.4 build 20240102",
    ];
    for text in texts {
        assert_eq!(Redacted::new(text).as_str(), text);
    }
}
