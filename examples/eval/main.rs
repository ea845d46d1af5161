//! How well a model of yours triages: `cargo run --release --example eval -- URL MODEL [option]…`, or `just eval URL MODEL`.
//!
//! The labelled lines of `benches/eval/cases.ndjson` become kinds, are asked about in batches, and what is said is
//! read and tried, all by the program's own code; the built-in triager is asked as well, for comparison. Prints three
//! tables. Nothing is told to anybody and nothing is stored. Ends with 0 if the model could be asked at all.
//!
//! Options: `--provider ollama|openai` (without it `ollama` where the port is 11434), `--cases FILE`, `--batch N`,
//! `--api-key-file FILE`, `--timeout-seconds N` (of one answer), `--show` (each case on which they differ).
//! Without URL and MODEL only the built-in triager is asked.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "its only purpose")]

mod cases;
mod run;
mod score;

use std::process::ExitCode;
use std::time::Duration;

use emberwatch::secret::Secret;
use emberwatch::triage::model::{Patience, Provider, Target};

use crate::run::Run;
use crate::score::Score;

const CASES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/eval/cases.ndjson");
/// As the program's `triage.batch_lines` and `triage.timeout_seconds` are unless configured.
const BATCH: usize = 50;
const ANSWER_SECONDS: u64 = 240;

#[derive(Default)]
struct Options {
    positional: Vec<String>,
    provider: Option<String>,
    cases: Option<String>,
    batch: Option<usize>,
    key: Option<Secret>,
    answer_seconds: Option<u64>,
    show: bool,
}

fn main() -> ExitCode {
    let outcome = options().and_then(|options| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.map_err(|e| e.to_string())?.block_on(evaluate(options))
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(words) => {
            eprintln!("eval: {words}");
            ExitCode::FAILURE
        }
    }
}

fn options() -> Result<Options, String> {
    let mut options = Options::default();
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or_else(|| format!("{arg} needs a value"));
        let number = |text: String| text.parse::<u64>().map_err(|_| format!("{text} is no number"));
        match arg.as_str() {
            "--provider" => options.provider = Some(value()?),
            "--cases" => options.cases = Some(value()?),
            "--batch" => options.batch = Some(number(value()?)?.max(1) as usize),
            "--timeout-seconds" => options.answer_seconds = Some(number(value()?)?),
            "--api-key-file" => {
                let path = value()?;
                let key = std::fs::read_to_string(&path).map_err(|e| format!("{path}: {e}"))?;
                options.key = Some(Secret::new(key.trim()));
            }
            "--show" => options.show = true,
            _ if arg.starts_with("--") => return Err(format!("no option is called {arg}")),
            _ => options.positional.push(arg),
        }
    }
    Ok(options)
}

async fn evaluate(options: Options) -> Result<(), String> {
    let path = options.cases.as_deref().unwrap_or(CASES);
    let text = std::fs::read_to_string(path).map_err(|e| format!("{path}: {e}"))?;
    let mut triagers = vec![("built-in".to_owned(), Target::None)];
    match options.positional.as_slice() {
        [] => {}
        [url, model] => {
            let is_ollama = match options.provider.as_deref() {
                Some("ollama") => true,
                Some("openai") => false,
                Some(other) => return Err(format!("--provider is ollama or openai, not {other}")),
                None => url.contains(":11434"),
            };
            let (url, key, name) = (url.clone(), options.key.clone(), model.clone());
            let target = match is_ollama {
                true => Target::Ollama { url, model: name },
                false => Target::OpenAi { url, model: name, key },
            };
            triagers.push((model.clone(), target));
        }
        _ => return Err("what is wanted is URL and MODEL".to_owned()),
    }
    let patience = Patience {
        answer: Duration::from_secs(options.answer_seconds.unwrap_or(ANSWER_SECONDS)),
        // Left alone it could not be measured.
        failures: u32::MAX,
        ..Patience::default()
    };
    rustls::crypto::ring::default_provider().install_default().unwrap_or_default();
    let mut scores: Vec<(String, Score)> = Vec::new();
    for (name, target) in triagers {
        let provider = Provider::new(target, patience, reqwest::Client::builder)?;
        if !matches!(provider, Provider::None) {
            provider.probe().await.map_err(|failed| failed.words)?;
            provider.preload().await.map_err(|failed| failed.words)?;
        }
        let mut run = Run::new(&text, provider, options.batch.unwrap_or(BATCH))?;
        run.judge(&name).await;
        if options.show {
            run.differences().iter().for_each(|line| println!("{name}: {line}"));
        }
        scores.push((name, run.into_score()));
    }
    print!("{}", score::tables(&scores));
    let reached = scores.iter().all(|(_, score)| score.could_be_asked());
    if reached { Ok(()) } else { Err("the model could not be asked: see the failures above".to_owned()) }
}
