//! A GitHub on loopback: the routes of its REST API that pull requests take, beside a bare repository that git pushes
//! to. It keeps every request, refuses what GitHub refuses, and fails as scripted, also in the way that leaves whoever
//! asks in doubt.

use std::collections::VecDeque;
use std::io::Write;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::http::{self, Kind, Wire};
use super::{Listening, lock};

pub(crate) const TOKEN: &str = "github_pat_stand_in_0123456789";
const OWNER: &str = "acme";
const NAME: &str = "shop";
/// As an Enterprise server has it.
const BASE: &str = "/api/v3";

pub(crate) struct GitHubStandIn {
    listening: Listening,
    state: Arc<Mutex<State>>,
    home: tempfile::TempDir,
}

#[derive(Clone, Debug)]
pub(crate) struct Pull {
    pub(crate) number: usize,
    pub(crate) head: String,
    pub(crate) base: String,
    pub(crate) title: String,
    pub(crate) body: String,
    pub(crate) draft: bool,
    pub(crate) open: bool,
    pub(crate) merged: bool,
}

/// How one request is answered.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    Take,
    /// Status, more headers (each with its line end), and `message`.
    Status(u16, &'static str, &'static str),
    /// Does what was asked and closes the connection in place of an answer.
    TakeAndClose,
}

#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// `POST /repos/acme/shop/pulls`, with its query.
    pub(crate) what: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Value,
}

#[derive(Default)]
struct State {
    /// Of the next requests of a method.
    script: VecDeque<(&'static str, Answer)>,
    pulls: Vec<Pull>,
    asked: Vec<Asked>,
    /// There are no drafts for this plan.
    no_drafts: bool,
}

impl GitHubStandIn {
    pub(crate) fn start() -> Self {
        let home = tempfile::TempDir::new().expect("a temporary directory");
        let remote = home.path().join(OWNER).join(format!("{NAME}.git"));
        std::fs::create_dir_all(&remote).expect("a folder");
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        let place = remote.clone();
        let listening = Listening::start(move |_, stream, stop| serve(stream, stop, &shared, &place));
        let standing = Self { listening, state, home };
        standing.git(&["init", "--bare", "--quiet", "--initial-branch=main"]);
        standing
    }

    /// What stands for `https://HOST/api/v3`.
    pub(crate) fn url(&self) -> String {
        format!("http://{}{BASE}", self.listening.address())
    }

    /// The repository itself: its address is `…/acme/shop.git`.
    pub(crate) fn remote(&self) -> PathBuf {
        self.home.path().join(OWNER).join(format!("{NAME}.git"))
    }

    /// Git, in the repository.
    pub(crate) fn git(&self, args: &[&str]) -> String {
        git(&self.remote(), args).unwrap_or_else(|said| panic!("git {args:?}: {said}"))
    }

    /// The commit of each branch but the default one.
    pub(crate) fn branches(&self) -> Vec<(String, String)> {
        let told = self.git(&["for-each-ref", "--format=%(refname:short) %(objectname)", "refs/heads"]);
        let rows = told.lines().filter_map(|line| line.split_once(' '));
        rows.filter(|(name, _)| *name != "main").map(|(a, b)| (a.to_owned(), b.to_owned())).collect()
    }

    /// The next request of that method is answered so; several: in this order.
    pub(crate) fn script(&self, method: &'static str, answers: impl IntoIterator<Item = Answer>) {
        lock(&self.state).script.extend(answers.into_iter().map(|answer| (method, answer)));
    }

    pub(crate) fn has_no_drafts(&self) {
        lock(&self.state).no_drafts = true;
    }

    pub(crate) fn pulls(&self) -> Vec<Pull> {
        lock(&self.state).pulls.clone()
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        lock(&self.state).asked.clone()
    }

    /// As a person does.
    pub(crate) fn close(&self, number: usize, merged: bool) {
        for pull in lock(&self.state).pulls.iter_mut().filter(|pull| pull.number == number) {
            (pull.open, pull.merged) = (false, merged);
        }
    }
}

fn serve(stream: TcpStream, stop: &AtomicBool, state: &Mutex<State>, remote: &Path) {
    let mut wire = Wire::new(stream);
    while !stop.load(Ordering::SeqCst) {
        let request = match wire.next(Kind::Request) {
            Ok(request) => request,
            Err(fault) if http::is_timeout(&fault) => continue,
            Err(_) => return,
        };
        let Some(response) = answer(&request, state, remote) else { return };
        if wire.stream.write_all(response.as_bytes()).is_err() {
            return;
        }
    }
}

/// The response, or `None` to close without one.
fn answer(request: &http::Message, state: &Mutex<State>, remote: &Path) -> Option<String> {
    let mut words = request.start.split(' ');
    let (method, target) = (words.next().unwrap_or_default().to_owned(), words.next().unwrap_or_default());
    let target = target.strip_prefix(BASE).unwrap_or("/not-the-api");
    let body: Value = serde_json::from_slice(&request.body).unwrap_or(Value::Null);
    let mut state = lock(state);
    state.asked.push(Asked {
        what: format!("{method} {target}"),
        headers: request.headers.clone(),
        body: body.clone(),
    });
    let at = state.script.iter().position(|(of, _)| *of == method);
    let scripted = at.and_then(|at| state.script.remove(at)).map_or(Answer::Take, |(_, answer)| answer);
    if let Answer::Status(status, headers, message) = scripted {
        return Some(response(status, headers, &json!({"message": message})));
    }
    let (status, told) = done(request, &method, target, &body, &mut state, remote);
    if matches!(scripted, Answer::TakeAndClose) { None } else { Some(response(status, "", &told)) }
}

fn done(
    request: &http::Message,
    method: &str,
    target: &str,
    body: &Value,
    state: &mut State,
    remote: &Path,
) -> (u16, Value) {
    let message = |text: &str| json!({"message": text, "documentation_url": "https://docs.example"});
    let header = |name: &str| http::find(&request.headers, name).unwrap_or_default();
    if header("user-agent").is_empty() {
        return (
            403,
            message("Request forbidden by administrative rules. Please make sure your request has a User-Agent header"),
        );
    }
    if header("authorization") != format!("Bearer {TOKEN}") {
        return (401, message("Bad credentials"));
    }
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let repository = format!("/repos/{OWNER}/{NAME}");
    match (method, path.strip_prefix(&repository)) {
        ("GET", Some("")) => (200, json!({"full_name": format!("{OWNER}/{NAME}"), "default_branch": "main"})),
        ("GET", Some("/pulls")) => {
            let of = |name: &str| {
                let value = query.split('&').filter_map(|pair| pair.split_once('=')).find(|(held, _)| *held == name);
                value.map(|(_, value)| value.replace("%3A", ":").replace("%2F", "/"))
            };
            let all = of("state").as_deref() == Some("all");
            let head = of("head");
            let wanted = |pull: &&Pull| {
                (all || pull.open) && head.as_ref().is_none_or(|head| *head == format!("{OWNER}:{}", pull.head))
            };
            (200, state.pulls.iter().rev().filter(wanted).map(shown).collect())
        }
        ("POST", Some("/pulls")) => opened(body, state, remote),
        _ => (404, message("Not Found")),
    }
}

fn opened(body: &Value, state: &mut State, remote: &Path) -> (u16, Value) {
    let failed = |text: &str| {
        (422, json!({"message": "Validation Failed", "errors": [{"resource": "PullRequest", "message": text}]}))
    };
    let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
    let (head, base) = (text("head"), text("base"));
    let commit =
        |branch: &str| git(remote, &["rev-parse", "--verify", "--quiet", &format!("refs/heads/{branch}")]).ok();
    let (Some(ours), Some(theirs)) = (commit(&head), commit(&base)) else {
        return (
            422,
            json!({"message": "Validation Failed", "errors": [{"resource": "PullRequest", "field": "head", "code": "invalid"}]}),
        );
    };
    if state.pulls.iter().any(|pull| pull.open && pull.head == head) {
        return failed(&format!("A pull request already exists for {OWNER}:{head}."));
    }
    if ours == theirs {
        return failed(&format!("No commits between {base} and {head}"));
    }
    if state.no_drafts && body["draft"] == true {
        return (422, json!({"message": "Draft pull requests are not supported in this repository."}));
    }
    if text("title").is_empty() || text("body").chars().count() > 65_536 {
        return failed("body is too long (maximum is 65536 characters)");
    }
    let pull = Pull {
        number: state.pulls.len() + 1,
        head,
        base,
        title: text("title"),
        body: text("body"),
        draft: body["draft"] == true,
        open: true,
        merged: false,
    };
    let told = shown(&pull);
    state.pulls.push(pull);
    (201, told)
}

fn shown(pull: &Pull) -> Value {
    json!({
        "number": pull.number,
        "html_url": format!("https://github.example/{OWNER}/{NAME}/pull/{}", pull.number),
        "state": if pull.open { "open" } else { "closed" },
        "draft": pull.draft,
        "merged_at": if pull.merged { json!("2026-11-22T12:00:00Z") } else { Value::Null },
        "title": pull.title,
        "head": {"ref": pull.head, "label": format!("{OWNER}:{}", pull.head), "repo": {"full_name": format!("{OWNER}/{NAME}")}},
        "base": {"ref": pull.base},
    })
}

fn git(folder: &Path, args: &[&str]) -> Result<String, String> {
    let out = Command::new("git")
        .args(args)
        .current_dir(folder)
        .envs([("GIT_CONFIG_NOSYSTEM", "1"), ("GIT_CONFIG_GLOBAL", "/dev/null")])
        .output()
        .expect("git runs");
    let told = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if out.status.success() { Ok(told(&out.stdout)) } else { Err(told(&out.stderr)) }
}

fn response(status: u16, headers: &str, body: &Value) -> String {
    let body = body.to_string();
    format!(
        "HTTP/1.1 {status} Stand-in\r\n{headers}Content-Type: application/json; charset=utf-8\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}
