//! How well templates group the lines of labelled logs: `cargo run --release --example grouping -- [--speed] [--show] FILE…`.
//!
//! A FILE is a CSV with columns `Content` and `EventId`, as loghub's `*_structured.csv` are. Printed per file: lines, kinds
//! by label, templates at the end, templates that were new on the way (each would be looked at), GA (the
//! share of lines whose template holds exactly the lines of their label) and FGA (the same by templates: the harmonic
//! mean of the right share of those found and of those labelled), sketches, and lines whose sketch other templates share. `--show` lists labels that were split and templates that mix
//! labels. `--speed` measures learning and sketches instead.

#![allow(clippy::print_stdout, reason = "its only purpose")]

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hint::black_box;
use std::time::Instant;

use emberwatch::triage::sketch::sketch;
use emberwatch::triage::template::{Miner, Settings, TemplateId};

struct Line {
    content: String,
    label: String,
}

fn main() -> std::io::Result<()> {
    let (mut speed, mut show, mut files) = (false, false, Vec::new());
    for arg in std::env::args().skip(1) {
        match arg.as_str() {
            "--speed" => speed = true,
            "--show" => show = true,
            _ => files.push(arg),
        }
    }
    let mut sums = Figures::default();
    if !speed {
        println!(
            "set | lines | kinds | templates | new on the way | GA | FGA | sketches | shared\n--- | --- | --- | --- | --- | --- | --- | --- | ---"
        );
    }
    let mut everything = Vec::new();
    for file in &files {
        let lines = read(&std::fs::read_to_string(file)?);
        if speed {
            everything.extend(lines);
            continue;
        }
        let name = file.rsplit('/').next().and_then(|name| name.split(['_', '.']).next()).unwrap_or(file);
        let figures = measure(&lines, show);
        println!("{name} | {} | {figures}", lines.len());
        sums.add(&figures);
    }
    if speed {
        measure_speed(&everything);
    } else if files.len() > 1 {
        println!("average | | | | | {:.3} | {:.3} | |", sums.ga / files.len() as f64, sums.fga / files.len() as f64);
    }
    Ok(())
}

#[derive(Default)]
struct Figures {
    kinds: usize,
    templates: usize,
    new: usize,
    ga: f64,
    fga: f64,
    sketches: usize,
    shared: usize,
}

impl Figures {
    fn add(&mut self, other: &Figures) {
        self.ga += other.ga;
        self.fga += other.fga;
    }
}

impl std::fmt::Display for Figures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Figures { kinds, templates, new, ga, fga, sketches, shared } = self;
        write!(f, "{kinds} | {templates} | {new} | {ga:.3} | {fga:.3} | {sketches} | {shared}")
    }
}

fn measure(lines: &[Line], show: bool) -> Figures {
    let mut miner = Miner::new(Settings::default());
    let learned: Vec<_> = lines.iter().map(|line| miner.learn(1, &line.content)).collect();
    let new = learned.iter().filter(|l| l.new).count();
    // The template at the end: two may have turned out to be one.
    let ids: Vec<TemplateId> = learned.iter().map(|l| miner.resolve(l.id).unwrap_or(l.id)).collect();
    let mut labels: HashMap<&str, BTreeSet<usize>> = HashMap::new();
    let mut templates: BTreeMap<TemplateId, BTreeSet<usize>> = BTreeMap::new();
    for (n, (line, id)) in lines.iter().zip(&ids).enumerate() {
        labels.entry(&line.label).or_default().insert(n);
        templates.entry(*id).or_default().insert(n);
    }
    let label = |n: &usize| lines.get(*n).map_or("", |line| line.label.as_str());
    let (mut right_lines, mut right) = (0, 0);
    for (id, members) in &templates {
        let of: BTreeSet<&str> = members.iter().map(label).collect();
        if of.len() == 1 && of.first().and_then(|l| labels.get(l)) == Some(members) {
            right_lines += members.len();
            right += 1;
        } else if show {
            println!("    {:>5} {of:?} {}", members.len(), miner.template(*id).unwrap_or_default());
        }
    }
    let mut sketches: HashMap<u64, BTreeMap<TemplateId, usize>> = HashMap::new();
    for (line, id) in lines.iter().zip(&ids) {
        *sketches.entry(sketch(7, line.content.as_bytes())).or_default().entry(*id).or_default() += 1;
    }
    let shared = sketches.values().filter(|of| of.len() > 1).flat_map(BTreeMap::values).sum();
    let (precision, recall) = (right as f64 / templates.len() as f64, right as f64 / labels.len() as f64);
    Figures {
        kinds: labels.len(),
        templates: templates.len(),
        new,
        ga: f64::from(right_lines as u32) / lines.len() as f64,
        fga: if right == 0 { 0.0 } else { 2.0 * precision * recall / (precision + recall) },
        sketches: sketches.len(),
        shared,
    }
}

/// Lines that are timed at a time: so short that it is seldom interrupted.
const PIECE: usize = 100;

/// All files as if they came from one service.
fn measure_speed(lines: &[Line]) {
    let bytes: usize = lines.iter().map(|line| line.content.len()).sum();
    println!("{} lines, {:.0} bytes each", lines.len(), bytes as f64 / lines.len() as f64);
    let mut miner = Miner::new(Settings::default());
    let first = best(lines, 50, &mut |n, line| {
        if n == 0 {
            miner = Miner::new(Settings::default());
        }
        miner.learn(1, line)
    });
    let known = best(lines, 50, &mut |_, line| miner.learn(1, line));
    let drawn = best(lines, 50, &mut |_, line| sketch(7, line.as_bytes()));
    let hashed = best(lines, 50, &mut |_, line| xxhash_rust::xxh3::xxh3_64(line.as_bytes()));
    println!("mask and learn, kinds known: {:.0} lines/s", lines.len() as f64 / known);
    println!("mask and learn, from nothing: {:.0} lines/s", lines.len() as f64 / first);
    println!("sketch: {:.1} ns a line", drawn * 1e9 / lines.len() as f64);
    println!("(a plain hash of the line: {:.1} ns)", hashed * 1e9 / lines.len() as f64);
}

/// Seconds for all lines, of each piece the best of some rounds.
fn best<T>(lines: &[Line], rounds: usize, work: &mut impl FnMut(usize, &str) -> T) -> f64 {
    let mut times = vec![f64::INFINITY; lines.len().div_ceil(PIECE)];
    for _ in 0..rounds {
        for ((n, piece), time) in lines.chunks(PIECE).enumerate().zip(&mut times) {
            let start = Instant::now();
            for (i, line) in piece.iter().enumerate() {
                black_box(work(n * PIECE + i, black_box(&line.content)));
            }
            *time = time.min(start.elapsed().as_secs_f64());
        }
    }
    times.iter().sum()
}

/// Lines of a CSV whose fields may be quoted, quotes within doubled.
fn read(text: &str) -> Vec<Line> {
    let mut rows = rows(text).into_iter();
    let header = rows.next().unwrap_or_default();
    let column = |name: &str| header.iter().position(|field| field.trim_start_matches('\u{feff}') == name);
    let (Some(content), Some(label)) = (column("Content"), column("EventId")) else { return Vec::new() };
    rows.filter_map(|row| Some(Line { content: row.get(content)?.clone(), label: row.get(label)?.clone() })).collect()
}

fn rows(text: &str) -> Vec<Vec<String>> {
    let (mut rows, mut row, mut field, mut quoted) = (Vec::new(), Vec::new(), String::new(), false);
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                field.push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => row.push(std::mem::take(&mut field)),
            '\r' if !quoted => {}
            '\n' if !quoted => {
                row.push(std::mem::take(&mut field));
                rows.push(std::mem::take(&mut row));
            }
            _ => field.push(c),
        }
    }
    if !field.is_empty() {
        row.push(field);
        rows.push(row);
    }
    rows
}
