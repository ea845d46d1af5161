//! Source in dossiers: lines of ten broken services go in, and the function that broke is in what people read. And
//! what a frame, a repository or a git that means harm can do: nothing.
//!
//! `tests/data/repositories/NAME` has a service's `tree` and what it logged, in the form its logger writes.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::story::{SOON, metric, now, post, wait_ready};
use crate::world::eventually;
use crate::world::http::{Connection, Request, Response, delete, get, get_json, get_text};
use crate::world::program::Program;
use crate::world::repository::Repository;

const RULE: &str = "[triage]\nprovider = \"off\"\n\n[escalation]\nsettle_seconds = 0\n\n[[watch]]\nlabel = \"broken\"\n\
    match = { field = \"level\", in = [\"error\", \"fatal\"] }\nthreshold = 1\nwindow_seconds = 60\nseverity = \"critical\"\n";

/// For a dossier, and for a copy of a repository of 100 MB.
const PATIENT: Duration = Duration::from_secs(120);

/// A service with a bug that its last deploy brought.
struct Broken {
    name: &'static str,
    /// The file and function that are to blame, and the line as the frame has it.
    guilty: (&'static str, u32, &'static str),
    /// What stands in that file, and what stood there before.
    bug: (&'static str, &'static str),
}

const BROKEN: [Broken; 10] = [
    Broken {
        name: "cart",
        guilty: ("shop/prices.py", 20, "price_of"),
        bug: ("or TABLE[(sku, FALLBACK)]", "or TABLE.get((sku, FALLBACK), Decimal(0))"),
    },
    Broken {
        name: "ledger",
        guilty: ("src/ledger/book.py", 11, "parse_amount"),
        bug: (
            "whole, cents = text.replace(\".\", \"\").split(\",\")",
            "whole, _, cents = text.replace(\".\", \"\").partition(\",\")",
        ),
    },
    Broken {
        name: "settle",
        guilty: ("src/main/java/com/acme/settle/rates/RateTable.java", 21, "of"),
        bug: ("return rates.get(code);", "return rates.getOrDefault(code, 1.0);"),
    },
    Broken {
        name: "parcel",
        guilty: ("app/src/main/java/io/parcel/track/DepotIndex.java", 16, "find"),
        bug: ("while (!depots", "while (at < depots.size() - 1 && !depots"),
    },
    Broken {
        name: "orders",
        guilty: ("src/stock/levels.js", 19, "stockOf"),
        bug: ("[article].free", "[article]?.free ?? 0"),
    },
    Broken {
        // Compiled: its lines are those of the build.
        name: "billing",
        guilty: ("src/billing/invoice.ts", 0, "taxRate"),
        bug: ("customer.address!.country.toLowerCase()", "(customer.address?.country ?? 'de').toLowerCase()"),
    },
    Broken {
        name: "stock",
        guilty: ("internal/store/store.go", 35, "Take"),
        bug: ("item := s.items[sku]", "item, ok := s.items[sku]\n\tif !ok {\n\t\treturn 0\n\t}"),
    },
    Broken {
        name: "mailer",
        guilty: ("retry/pause.go", 25, "Pause"),
        bug: ("if attempts > len(steps)", "if attempts >= len(steps)"),
    },
    Broken { name: "bill", guilty: ("src/split.rs", 19, "shares"), bug: ("sum / guests;", "sum / guests.max(1);") },
    Broken {
        name: "pay",
        guilty: ("crates/pay-core/src/lib.rs", 23, "masked"),
        bug: ("digits[digits.len() - 4..]", "digits[digits.len().saturating_sub(4)..]"),
    },
];

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/repositories").join(name)
}

fn put(program: &Program, path: &str, body: &Value) -> Response {
    let request = Request::bare("PUT", path).header("Content-Type", "application/json").body(body.to_string());
    Connection::open(program.control_addr()).send(&request)
}

fn register(program: &Program, name: &str, repository: &str) {
    let answer =
        put(program, &format!("/services/{name}"), &json!({"repository": repository, "description": "Sells."}));
    assert!(matches!(answer.status, 200 | 201), "{}", answer.text());
}

fn deploy(program: &Program, name: &str, commit: &str) {
    let answer = put(program, &format!("/services/{name}/deploy"), &json!({"commit": commit}));
    assert_eq!(answer.status, 200, "{}", answer.text());
}

/// Lines of a container's stderr, of now.
fn lines(service: &str, log: &str) -> String {
    let line = |text: &str| {
        let record = json!({"date": now(), "source": "stderr", "log": text, "container_id": format!("{service}-1"),
            "container_name": service, "ecs_cluster": "prod", "ecs_task_definition": format!("{service}:42")});
        format!("{record}\n")
    };
    log.lines().map(line).collect()
}

fn dossier(program: &Program, service: &str) -> String {
    let mark = eventually(&format!("{service} is investigated"), PATIENT, || {
        let listed = get_json(program.control_addr(), "/investigations");
        let all = listed["investigations"].as_array().cloned().unwrap_or_default();
        let of = all.iter().find(|of| of["service"] == service && of["status"] == "written")?;
        of["id"].as_str().map(str::to_owned)
    });
    get_text(program.control_addr(), &format!("/investigations/{mark}"))
}

/// Until the copy of its repository is there: on a busy machine that takes longer than a dossier waits for it.
fn wait_copied(program: &Program, name: &str) {
    eventually(&format!("the repository of {name} is copied"), PATIENT, || {
        (get_json(program.control_addr(), &format!("/services/{name}"))["source"]["state"] == "ready").then_some(())
    });
}

fn start(config: &str) -> Program {
    let patient = if config.contains("[investigation]") { "" } else { "[investigation]\nsource_seconds = 60\n\n" };
    let program = Program::start(&format!("{patient}{config}{RULE}"));
    wait_ready(&program);
    program
}

/// A repository with one Python service, and the trace of its failure.
fn small() -> (Repository, String, &'static str) {
    let repository = Repository::new();
    repository.write("app/views.py", "def show(order):\n    return order['id']\n");
    let commit = repository.commit("Show orders");
    let trace = "ERROR it failed\nTraceback (most recent call last):\n  File \"/srv/app/views.py\", line 2, in show\n    return order['id']\nKeyError: 'id'";
    (repository, commit, trace)
}

#[test]
fn of_ten_broken_services_the_guilty_function_is_in_the_dossier_and_who_broke_it() {
    let program = start("");
    let mut repositories = Vec::new();
    for broken in &BROKEN {
        let repository = Repository::new();
        repository.copy(&data(broken.name).join("tree"));
        let (path, bug) = (broken.guilty.0, broken.bug);
        let now = repository.read(path);
        assert_eq!(now.matches(bug.0).count(), 1, "{path}");
        repository.write(path, now.replace(bug.0, bug.1));
        let before = repository.commit("Begin");
        repository.write(path, &now);
        repository.commit(&format!("Simplify {}", broken.guilty.2));
        repository.write("NOTES.md", "More.\n");
        let after = repository.commit("Say more in the notes");
        register(&program, broken.name, repository.path().to_str().expect("UTF-8"));
        deploy(&program, broken.name, &before);
        deploy(&program, broken.name, &after);
        repositories.push((repository, before, after));
    }
    for broken in &BROKEN {
        wait_copied(&program, broken.name);
        let log = std::fs::read_to_string(data(broken.name).join("log.txt")).expect("a log");
        post(&program, lines(broken.name, &log) + &lines(broken.name, "INFO all is well"));
    }
    for (broken, (_, before, after)) in BROKEN.iter().zip(&repositories) {
        let text = dossier(&program, broken.name);
        let (path, line, function) = broken.guilty;
        let said = |what: &str| assert!(text.contains(what), "{}: no {what:?} in\n{text}", broken.name);
        let title =
            if line == 0 { format!("\n{path} in {function}\n") } else { format!("\n{path}:{line} in {function}\n") };
        said(&title);
        said(broken.bug.0);
        if line > 0 {
            said(&format!("\n> {line:>5}  "));
        }
        said(&format!("commit     {after}\n"));
        said(&format!("before     {before}\n"));
        said(&format!("Simplify {function} (Ada Author)"));
        said("2 commits and 2 files. Files that frames lead to are marked `*`.");
        let added = text.lines().any(|line| line.starts_with('+') && line.contains(broken.bug.0));
        assert!(added, "{}: no patch in\n{text}", broken.name);
        assert!(text.len() <= 64 * 1024, "{} bytes", text.len());
    }
    assert_eq!(metric(&program, "sources_total{outcome=\"found\"}"), 10);
    assert!(metric(&program, "git_calls_total{outcome=\"ok\"}") > 0);
}

#[test]
fn a_service_that_nobody_registered_is_investigated_without_source_and_the_dossier_says_what_to_do() {
    let program = start("");
    post(&program, lines("cart", small().2));
    let text = dossier(&program, "cart");
    assert!(text.contains("the service is not registered. `PUT /services/NAME`"), "{text}");
    assert!(!text.contains("## Its source"), "{text}");
    let without = put(&program, "/services/web", &json!({"repository": "/srv/nowhere"}));
    assert_eq!(without.status, 201);
    post(&program, lines("web", small().2));
    let text = dossier(&program, "web");
    assert!(text.contains("- Which commit runs: `PUT /services/NAME/deploy`"), "{text}");
    assert_eq!(metric(&program, "sources_total{outcome=\"unregistered\"}"), 1);
    assert_eq!(metric(&program, "sources_total{outcome=\"incomplete\"}"), 1);
}

#[test]
fn what_is_registered_survives_a_kill_and_the_configuration_wins() {
    let (repository, commit, trace) = small();
    let place = repository.path().to_str().expect("UTF-8").to_owned();
    let mut program = start("");
    register(&program, "cart", &place);
    deploy(&program, "cart", &commit);
    register(&program, "gone", &place);
    assert_eq!(delete(program.control_addr(), "/services/gone").status, 204);
    program.kill9();
    program.restart();
    wait_ready(&program);
    let held = get_json(program.control_addr(), "/services/cart");
    assert_eq!((&held["repository"], &held["origin"]), (&json!(place), &json!("api")));
    assert_eq!(held["deploys"][0]["commit"], json!(commit));
    assert_eq!(get(program.control_addr(), "/services/gone").status, 404);
    post(&program, lines("cart", trace));
    assert!(dossier(&program, "cart").contains("\napp/views.py:2 in show\n"));

    let configured =
        format!("[[service]]\nname = \"cart\"\nrepository = \"/srv/other\"\nowners = [\"@ada\"]\n\n{RULE}");
    program.kill9();
    program.set_config(&configured);
    program.restart();
    wait_ready(&program);
    let held = get_json(program.control_addr(), "/services");
    assert_eq!(held["services"].as_array().map(Vec::len), Some(1));
    assert_eq!(
        (&held["services"][0]["repository"], &held["services"][0]["origin"]),
        (&json!("/srv/other"), &json!("config"))
    );
    let answer = put(&program, "/services/cart", &json!({"repository": place}));
    assert_eq!((answer.status, answer.json()["error"]["code"].clone()), (409, json!("configured_service")));
    assert_eq!(delete(program.control_addr(), "/services/cart").status, 409);
    deploy(&program, "cart", &commit);
}

#[test]
fn what_is_no_address_of_a_repository_is_refused_and_runs_nothing() {
    let program = start("");
    let touched = program.home().join("touched");
    let run = format!("touch {}", touched.display());
    for repository in [
        format!("ext::sh -c {}", run.replace(' ', "% ")),
        format!("--upload-pack={run}"),
        "-u./x".to_owned(),
        "file:///etc".to_owned(),
        format!("ssh://-oProxyCommand={run}/x"),
        "https://me:s3cret@git.example/x".to_owned(),
        "git://git.example/x".to_owned(),
        "../x".to_owned(),
    ] {
        let answer = put(&program, "/services/cart", &json!({"repository": repository}));
        assert_eq!(answer.status, 400, "{repository}");
        let body = answer.json();
        assert_eq!(
            (&body["error"]["code"], &body["error"]["field"]),
            (&json!("invalid_service"), &json!("repository"))
        );
        assert!(!answer.text().contains("s3cret"));
    }
    for commit in ["HEAD", "--exec=x", "main", "0123", "ABCDEF0"] {
        register(&program, "cart", "/srv/nowhere");
        let answer = put(&program, "/services/cart/deploy", &json!({"commit": commit}));
        assert_eq!((answer.status, answer.json()["error"]["code"].clone()), (400, json!("invalid_deploy")), "{commit}");
    }
    assert_eq!(put(&program, "/services/other/deploy", &json!({"commit": "0123456"})).status, 404);
    assert_eq!(put(&program, "/services/a%2Fb", &json!({"name": "c"})).status, 400);
    assert_eq!(put(&program, "/services/a%2Fb", &json!({"name": "a/b"})).status, 201);
    assert_eq!(get(program.control_addr(), "/services/a%2Fb").status, 200);
    assert!(!touched.exists());
}

#[test]
fn frames_and_trees_that_lead_elsewhere_lead_nowhere() {
    let program = start("");
    let secret = program.home().join("secret.py");
    std::fs::write(&secret, "def show():\n    return 'xyzzy-outside'\n").expect("a file");
    let repository = Repository::new();
    std::os::unix::fs::symlink(&secret, repository.path().join("linked.py")).expect("a link");
    repository.write("large.py", "x = 'plugh-large'\n".repeat(100 * (1 << 20) / 18));
    repository.write("good.py", "def fine():\n    return '```\\n# not a heading'\n");
    repository.write("-o.py", "def dashed():\n    return 1\n");
    let commit = repository.commit("<!channel> [x](http://evil.example) `` ` ``");
    register(&program, "cart", repository.path().to_str().expect("UTF-8"));
    deploy(&program, "cart", &commit);
    let up = "../".repeat(30);
    let frames = [
        format!("{up}{}", secret.display().to_string().trim_start_matches('/')),
        secret.display().to_string(),
        "/app/linked.py".to_owned(),
        "/app/large.py".to_owned(),
        "/etc/passwd".to_owned(),
        "/app/--output=x.py".to_owned(),
        "/app/-o.py".to_owned(),
        "/app/good.py".to_owned(),
    ];
    let frame = |file: &String| format!("  File \"{file}\", line 2, in f\n    x()\n");
    let stack: String = frames.iter().map(frame).collect();
    let trace = format!("ERROR it failed\nTraceback (most recent call last):\n{stack}ValueError: x");
    wait_copied(&program, "cart");
    post(&program, lines("cart", &trace));
    let text = dossier(&program, "cart");
    for outside in ["xyzzy", "plugh", "root:"] {
        assert!(!text.contains(outside), "{outside} in {text}");
    }
    assert!(text.contains("\ngood.py:2 in fine\n") && text.contains("\n-o.py:2 in dashed\n"), "{text}");
    assert!(
        text.contains("Frames that lead to no file of it:") && text.contains("it is larger than 1048576 bytes"),
        "{text}"
    );
    let open = text.lines().filter(|line| line.starts_with("# ")).count();
    assert_eq!(open, 1, "{text}");
}

#[test]
fn a_git_that_hangs_or_is_not_there_costs_a_dossier_its_source_and_nothing_else() {
    let (repository, commit, trace) = small();
    let place = repository.path().to_str().expect("UTF-8").to_owned();
    for (script, said, word) in [
        (Some("exec sleep 1000"), "Its source: it took too long", "timeout"),
        (None, "Its source: git cannot be started (`investigation.git`)", "missing"),
        (Some("echo 'fatal: \\`\\`\\` password=hunter2' >&2; exit 128"), "Its source: git refused", "failed"),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        let git = folder.path().join("git");
        if let Some(script) = script {
            std::fs::write(&git, format!("#!/bin/sh\n{script}\n")).expect("a file");
            std::fs::set_permissions(&git, std::fs::Permissions::from_mode(0o755)).expect("runnable");
        }
        let config = format!(
            "[investigation]\ngit = {:?}\nsource_seconds = 1\nfetch_seconds = 5\n\n",
            git.display().to_string()
        );
        let mut program = start(&config);
        register(&program, "cart", &place);
        deploy(&program, "cart", &commit);
        post(&program, lines("cart", trace));
        let text = dossier(&program, "cart");
        assert!(text.contains(said), "{text}");
        assert!(text.contains("## Samples") && !text.contains("hunter2"), "{text}");
        eventually("the run is counted", SOON, || {
            (metric(&program, &format!("git_calls_total{{outcome=\"{word}\"}}")) > 0).then_some(())
        });
        assert_eq!(metric(&program, "sources_total{outcome=\"failed\"}"), 1);
        let state = &get_json(program.control_addr(), "/services/cart")["source"]["state"];
        assert!(state == "failed" || state == "fetching", "{state}");
        let begun = Instant::now();
        program.terminate();
        assert!(program.wait_exit().success());
        assert!(begun.elapsed() < Duration::from_secs(15), "a hanging git holds nobody up");
    }
}

#[test]
fn the_revision_that_records_name_tells_the_commit_and_a_small_budget_keeps_what_matters() {
    let repository = Repository::new();
    let body: String = (0..400).map(|n| format!("    step_{n}(order, '{}')\n", "words ".repeat(20))).collect();
    let more: String = (0..5).map(|n| format!("\n\ndef outer_{n}(order):\n{body}")).collect();
    repository.write("app/views.py", format!("def show(order):\n{body}{more}"));
    let before = repository.commit("Begin");
    repository
        .write("app/views.py", format!("def show(order):\n{body}{more}").replacen("step_390(", "stumble_390(", 1));
    let after = repository.commit("Stumble");
    let place = repository.path().display();
    let service = format!(
        "[investigation]\nmax_bytes = 16384\nsource_seconds = 60\n\n[[service]]\nname = \"cart\"\nrepository = \"{place}\"\ncommit = \"{before}\"\n\
         revisions = {{ \"cart:42\" = \"{}\" }}\n\n",
        after.get(..10).expect("a hash")
    );
    let program = start(&service);
    let outer =
        (0..5).map(|n| format!("  File \"/srv/app/views.py\", line {}, in outer_{n}\n    x()\n", 700 + n * 403));
    let outer: String = outer.collect();
    let trace = format!(
        "ERROR it failed\nTraceback (most recent call last):\n{outer}  File \"/srv/app/views.py\", line 392, in show\n    stumble_390()\nNameError: x"
    );
    let noise: String = (0..40).map(|n| lines("cart", &format!("INFO {n} {}", "words ".repeat(300)))).collect();
    post(&program, noise.clone() + &lines("cart", &trace) + &noise);
    let text = dossier(&program, "cart");
    assert!(text.len() <= 16 * 1024, "{}", text.len());
    for said in [
        "known by   revision 42 of its records\n",
        "\napp/views.py:392 in show\n",
        ">   392      stumble_390(order",
        "Left out to stay within 16384 bytes",
    ] {
        assert!(text.contains(said), "no {said:?} in {text}");
    }
}
