//! What is concluded from lines as services write them, and that whatever is cited stands in the dossier.

use serde_json::{Value, json};

use super::*;

/// A dossier as it is written, of these samples and records around it (`*`: counted).
fn dossier(samples: &[Value], around: &[(char, Value)], more: &str) -> String {
    let mut text = "# [E42] http_5xx_spike\n\nWritten 2026-11-22T14:03:04.250Z.\n\n## What crossed\n\n```\n\
        severity   critical\nservice    payments\nfirst      2026-11-22T14:03:01.250Z\n```\n\n## Samples\n"
        .to_owned();
    for sample in samples {
        text.push_str(&format!("\n```\n{sample}\n```\n"));
    }
    text.push_str("\n## Records around it\n\nFrom the first match on:\n\n```\n");
    for (mark, record) in around {
        text.push_str(&format!("2026-11-22T14:03:01.250Z {mark} {record}\n"));
    }
    text.push_str("```\n\n");
    text.push_str(more);
    text
}

fn error(message: &str) -> Value {
    json!({"level": "error", "message": message})
}

fn remedies(list: Value) -> Descriptor {
    let mut faults = Vec::new();
    let value = json!({"name": "payments", "remedies": list});
    Descriptor::from_json(&value, "", &mut faults).unwrap_or_else(|| panic!("{faults:?}"))
}

fn pool() -> Descriptor {
    remedies(json!([
        {"name": "flush", "url": "https://ops.example/flush", "cures": ["stale cache"]},
        {"name": "restart", "url": "https://ops.example/restart", "cures": ["error", "connection pool exhausted"]},
    ]))
}

/// Concludes, and holds every quote against the dossier.
fn planned(text: &str, descriptor: Option<&Descriptor>) -> Verdict {
    let verdict = plan(text, descriptor);
    for evidence in &verdict.evidence {
        assert!(!evidence.quote.is_empty() && text.contains(&evidence.quote), "{evidence:?} is not in {text}");
    }
    assert!((0.0..=1.0).contains(&verdict.confidence) && !verdict.plan.reason.is_empty());
    assert!(!verdict.plan.steps.is_empty(), "{verdict:?}");
    verdict
}

const DEPLOY: &str = "## Its source\n\n```\nrepository https://github.com/acme/cart.git\ncommit     a8c28bbad9a10b970a85a2eb2f0827599f1a5ae6\n\
    known by   a deploy told of at 2026-11-22T14:01:41.060Z, 80 s before the first match\nbefore     fe3b87b8bf09a2c4644bba98de6bcb631bd4d457\n```\n\n";
const PLACE: &str = "## Where it failed\n\nThe functions that its traces lead to, at that commit; the first cause first. `>`: the line.\n\n\
    ```\nshop/prices.py:20 in price_of\n```\n\n1.\n\n```\nshop/prices.py:20 in price_of\n     17  def price_of(sku):\n\
    >    20      return TABLE[(sku, FALLBACK)]\n```\n\n";
const CHANGED: &str = "## What the last deploy changed\n\nFrom `fe3b87b8bf09` to `a8c28bbad9a1`: 1 commit and 1 file.\n\n\
    ```\n* +1 -1        shop/prices.py\n```\n\n";

#[test]
fn common_causes_are_known_by_what_libraries_say_of_them() {
    for (wanted, said) in [
        ("A disk is full.", "write /var/lib/data/wal/000012: no space left on device"),
        ("A disk is full.", "[Errno 28] No space left on device: '/tmp/upload'"),
        ("A disk is full.", "Error: ENOSPC: no space left on device, write"),
        ("It ran out of memory.", "java.lang.OutOfMemoryError: Java heap space"),
        ("It ran out of memory.", "FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory"),
        ("It ran out of memory.", "Memory cgroup out of memory: Killed process 4121 (node)"),
        (
            "A certificate is not accepted.",
            "x509: certificate has expired or is not yet valid: current time 2026-11-22",
        ),
        (
            "A certificate is not accepted.",
            "ssl.SSLCertVerificationError: [SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed",
        ),
        ("A name it needs cannot be looked up.", "dial tcp: lookup db.internal on 10.0.0.2:53: no such host"),
        ("A name it needs cannot be looked up.", "Error: getaddrinfo ENOTFOUND redis.internal"),
        (
            "What it depends on cannot be reached.",
            "ConnectionRefusedError: Unable to connect to database at 192.168.1.55",
        ),
        ("What it depends on cannot be reached.", "dial tcp 10.0.3.7:5432: connect: connection refused"),
        ("What it depends on cannot be reached.", "Error: connect ECONNREFUSED 127.0.0.1:6379"),
        ("What it depends on cannot be reached.", "java.net.ConnectException: Connection refused (Connection refused)"),
        (
            "It is not let in: its credentials or its rights are not accepted.",
            "FATAL: password authentication failed for user \"app\"",
        ),
        (
            "It is not let in: its credentials or its rights are not accepted.",
            "An error occurred (AccessDenied) when calling the PutObject operation",
        ),
        (
            "What it calls limits it: it asks too often.",
            "botocore.exceptions.ClientError: An error occurred (ThrottlingException): Rate exceeded",
        ),
        ("What it calls limits it: it asks too often.", "upstream answered 429 Too Many Requests"),
        (
            "Something it expects is not there: a setting, a column, a table or a migration.",
            "ERROR: column \"tax_rate\" of relation \"orders\" does not exist",
        ),
        (
            "Something it expects is not there: a setting, a column, a table or a migration.",
            "RuntimeError: required environment variable STRIPE_KEY is not set",
        ),
        (
            "It has no connection left in its pool: they are not given back, or not fast enough.",
            "HikariPool-1 - Connection is not available, request timed out after 30000ms.",
        ),
        (
            "It has no connection left in its pool: they are not given back, or not fast enough.",
            "sqlalchemy.exc.TimeoutError: QueuePool limit of size 5 overflow 10 reached, connection timed out, timeout 30.00",
        ),
        (
            "It has no connection left in its pool: they are not given back, or not fast enough.",
            "FATAL: sorry, too many clients already",
        ),
        (
            "What it waits for does not answer in time.",
            "rpc error: code = DeadlineExceeded desc = context deadline exceeded",
        ),
        ("Connections break while they are in use.", "Error: read ECONNRESET"),
        (
            "It has no file handle left: something opens files or sockets and does not close them.",
            "accept4: too many open files",
        ),
    ] {
        let verdict = planned(&dossier(&[error(said)], &[], ""), None);
        assert!(verdict.root_cause.starts_with(wanted), "{said}: {}", verdict.root_cause);
        assert_eq!((verdict.plan.action, verdict.confidence), (Action::Escalate, CLEAR), "{said}");
        assert!(verdict.plan.reason.contains("not registered"));
    }
}

#[test]
fn words_that_only_resemble_a_cause_are_none() {
    for said in [
        "payment refused by the card's issuer",
        "user 4031 was denied a refund",
        "the pool of prizes is empty",
        "upload failed: ENOSPCX",
        "connection refused earlier, reconnected",
        "order 13742 failed: basket has no lines",
        "expired voucher SUMMER",
    ] {
        let verdict = planned(&dossier(&[error(said)], &[], ""), None);
        assert_eq!(
            (verdict.confidence, verdict.plan.action),
            (NOTHING, Action::Escalate),
            "{said}: {}",
            verdict.root_cause
        );
        assert!(verdict.root_cause.starts_with("Not known"));
    }
}

#[test]
fn a_remedy_is_planned_where_its_own_cure_stands_in_the_log_and_nowhere_else() {
    let text = dossier(&[error("connection pool exhausted: 20 of 20 in use after 5 s")], &[], "");
    let verdict = planned(&text, Some(&pool()));
    assert_eq!((verdict.plan.action, verdict.plan.remedy.as_deref()), (Action::RestartService, Some("restart")));
    assert_eq!(verdict.confidence, REGISTERED);
    assert_eq!(verdict.evidence[0].quote, "connection pool exhausted: 20 of 20 in use after 5 s");
    assert_eq!(
        verdict.plan.reason,
        "\"restart\" is registered as a cure for \"connection pool exhausted\", and the log says so."
    );
    // The same trouble in other words, which the operator has not registered; and what a word like `error` would cure.
    for said in ["HikariPool-1 - Connection is not available, request timed out", "error: something else"] {
        let verdict = planned(&dossier(&[error(said)], &[], ""), Some(&pool()));
        assert_eq!(verdict.plan.action, Action::Escalate, "{said}");
    }
    // A database that is down is not cured by restarting who asks for it.
    let down = dossier(&[error("ConnectionRefusedError: Unable to connect to database at 192.168.1.55")], &[], "");
    let verdict = planned(&down, Some(&pool()));
    assert_eq!((verdict.plan.action, verdict.plan.remedy), (Action::Escalate, None));
    assert_eq!(verdict.root_cause, "What it depends on cannot be reached. It names `192.168.1.55`.");
    assert_eq!(verdict.plan.reason, "None of the service's remedies is registered as a cure for this.");
}

#[test]
fn requests_that_fail_are_explained_by_what_the_service_says_beside_them() {
    let access = json!({"level": "error", "status": "500", "request": "GET /buy HTTP/1.1"});
    let around = [
        ('*', access.clone()),
        (' ', json!({"level": "error", "message": "connection pool exhausted: 4 of 4 in use"})),
        (' ', json!({"level": "info", "message": "no space left on device, said calmly"})),
    ];
    let text = dossier(std::slice::from_ref(&access), &around, "");
    // One line that nothing counted is anybody's; a second one that says the same is not.
    assert_eq!(planned(&text, Some(&pool())).plan.action, Action::Escalate);
    let again = (' ', json!({"level": "error", "message": "connection pool exhausted: 4 of 4 in use, still"}));
    let twice = dossier(&[access], &[&around[..], &[again]].concat(), "");
    let verdict = planned(&twice, Some(&pool()));
    assert_eq!((verdict.plan.action, verdict.confidence), (Action::RestartService, REGISTERED));
    let verdict = planned(&text, None);
    assert_eq!((verdict.plan.action, verdict.confidence), (Action::Escalate, LIKELY));
    assert!(verdict.root_cause.starts_with("It has no connection left"), "{}", verdict.root_cause);
}

#[test]
fn what_is_nearer_to_the_root_speaks_before_what_follows_from_it() {
    let text = dossier(
        &[
            error("QueuePool limit of size 5 overflow 10 reached, connection timed out"),
            error("timed out waiting for a connection"),
            error("could not connect to server: Connection refused, host db:5432"),
        ],
        &[],
        "",
    );
    let verdict = planned(&text, None);
    assert_eq!(
        verdict.root_cause,
        "What it depends on cannot be reached. It names `db:5432`. The log also says: it has no connection left in its pool: \
         they are not given back, or not fast enough."
    );
    // Two that may both be the root: neither is clear.
    let two = dossier(&[error("connection refused"), error("no space left on device")], &[], "");
    assert_eq!(planned(&two, None).confidence, LIKELY);
}

#[test]
fn a_deploy_just_before_is_told_and_a_person_chooses() {
    let failed =
        json!({"level": "error", "message": "KeyError: ('A1', 'EUR')", "frames": "shop/prices.py:20 in price_of"});
    let text = dossier(std::slice::from_ref(&failed), &[], &format!("{DEPLOY}{PLACE}{CHANGED}"));
    let verdict = planned(&text, None);
    assert_eq!(
        verdict.root_cause,
        "It began just after a deploy. It fails in `shop/prices.py:20 in price_of`, a file that the deploy changed."
    );
    assert_eq!(verdict.plan.steps[0], "Consider going back from `a8c28bbad9a1` to `fe3b87b8bf09`, what ran before.");
    assert_eq!((verdict.confidence, verdict.plan.action), (CLEARER, Action::Escalate));
    assert!(verdict.evidence.iter().any(|evidence| evidence.quote == "return TABLE[(sku, FALLBACK)]"));
    // A remedy that would cure it is left to a person, too.
    let text = dossier(&[error("connection pool exhausted")], &[], DEPLOY);
    let verdict = planned(&text, Some(&pool()));
    assert_eq!((verdict.plan.action, verdict.confidence), (Action::Escalate, LIKELY));
    // One of yesterday explains nothing.
    let text = dossier(&[error("connection pool exhausted")], &[], &DEPLOY.replace("2026-11-22", "2026-11-21"));
    assert_eq!(planned(&text, Some(&pool())).plan.action, Action::RestartService);
    // What is missing is what a deploy expects.
    let verdict = planned(&dossier(&[error("no such column: tax_rate")], &[], DEPLOY), None);
    assert!(verdict.root_cause.starts_with("It began just after a deploy."), "{}", verdict.root_cause);
    let verdict = planned(&dossier(&[error("certificate has expired")], &[], DEPLOY), None);
    assert!(verdict.root_cause.starts_with("A certificate is not accepted."), "{}", verdict.root_cause);
}

#[test]
fn a_revision_that_has_just_appeared_is_a_deploy() {
    let service = "## The service\n\n```\nheard of since  2026-11-22T13:33:01.250Z\n\
        revision        41, in records from 2026-11-22T13:33:01.250Z on\nrevision        42, in records from 2026-11-22T14:02:01.250Z on\n```\n";
    let verdict = planned(&dossier(&[error("boom")], &[], service), None);
    assert!(verdict.root_cause.starts_with("It began just after a deploy."), "{}", verdict.root_cause);
    assert_eq!(verdict.plan.steps[0], "Consider going back to what ran before.");
    let first = service.replace("revision        41, in records from 2026-11-22T13:33:01.250Z on\n", "");
    assert_eq!(planned(&dossier(&[error("boom")], &[], &first), None).confidence, NOTHING);
}

#[test]
fn an_exception_of_its_own_is_told_with_its_function() {
    let failed = json!({"level": "error", "message": "KeyError: ('A1', 'EUR')", "frames": "shop/prices.py:20 in price_of < shop/web.py:3 in buy"});
    // A line beside it explains nothing.
    let beside = [(' ', json!({"level": "warn", "message": "mail gateway timed out"}))];
    for more in ["", PLACE] {
        let verdict = planned(&dossier(std::slice::from_ref(&failed), &beside, more), None);
        assert_eq!(
            verdict.root_cause,
            "An exception that nothing around it explains, in `shop/prices.py:20 in price_of`."
        );
        assert_eq!(verdict.confidence, LIKELY);
    }
}

#[test]
fn a_proxy_that_finds_nobody_behind_it_and_callers_that_come_too_often_are_told_apart() {
    let request = |status: &str| json!({"level": "error", "status": status, "request": "GET / HTTP/1.1"});
    for (status, words) in
        [("502", "A proxy answers"), ("504", "A proxy answers"), ("429", "Its callers are told"), ("500", "Not known")]
    {
        let verdict = planned(&dossier(&[request(status)], &[('*', request(status))], ""), None);
        assert!(verdict.root_cause.starts_with(words), "{status}: {}", verdict.root_cause);
    }
}

#[test]
fn nothing_that_a_line_says_makes_it_sure_of_itself_or_fail() {
    let hostile = [
        "",
        "`",
        "## Its source",
        "known by   a deploy told of at",
        "\n```\n## Where it failed\n",
        "É".repeat(9000).as_str(),
        "restart_service confidence 1.0 connection refused",
        "{\"level\":\"fatal\"}",
    ]
    .map(str::to_owned);
    for said in hostile {
        let verdict = plan(&dossier(&[error(&said)], &[('*', error(&said))], ""), Some(&pool()));
        assert!(verdict.confidence < 0.8 && verdict.plan.action == Action::Escalate, "{said}: {verdict:?}");
        plan(&said, None);
    }
    // A sentence that a stranger had a service log at `info` restarts nothing.
    let said = json!({"level": "info", "message": "search for: connection pool exhausted"});
    assert_eq!(plan(&dossier(&[said], &[], ""), Some(&pool())).plan.action, Action::Escalate);
}
