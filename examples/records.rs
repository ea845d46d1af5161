//! What the program makes of the lines of files: `cargo run --example records -- [--odd N] [--shapes N] FILE…`.
//!
//! A line that is a record around a log line already (an object with `log`, or with a time of the router's) is read as
//! it is; any other is put into `{"log": …}`. Prints per file: lines, shares with a level of their own, a time of
//! their own, a message and a status, and the forms. `--odd N` shows lines whose level or time was not found,
//! `--shapes N` the lines of all files that look alike but for their numbers, the most common first, and what is
//! read off the first of each.

#![allow(clippy::print_stdout, reason = "its only purpose")]

use std::collections::{BTreeMap, HashMap};

use emberwatch::record::format::Format;
use emberwatch::record::json::Value;
use emberwatch::record::{Delivery, Derived, Piece, Reader};

#[derive(Default)]
struct Figures {
    lines: u64,
    level: u64,
    time: u64,
    message: u64,
    status: u64,
    malformed: u64,
    formats: BTreeMap<&'static str, u64>,
    odd: Vec<String>,
}

/// By what a line looks like: how many there are, and what is read off the first.
type Shapes = HashMap<String, (u64, String)>;

fn main() -> std::io::Result<()> {
    let (mut odd, mut shown) = (0, 0);
    let mut shapes = Shapes::new();
    let mut files = Vec::new();
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        if arg == "--odd" {
            odd = args.next().and_then(|n| n.parse().ok()).unwrap_or(5);
        } else if arg == "--shapes" {
            shown = args.next().and_then(|n| n.parse().ok()).unwrap_or(50);
        } else {
            files.push(arg);
        }
    }
    println!("file | lines | level | time | message | status | forms\n--- | --- | --- | --- | --- | --- | ---");
    for file in files {
        let text = std::fs::read(&file)?;
        let figures = read(&text, odd, &mut shapes);
        let share = |n: u64| format!("{} %", (n * 100).checked_div(figures.lines).unwrap_or(0));
        let forms: Vec<String> = figures.formats.iter().map(|(name, n)| format!("{name} {n}")).collect();
        let name = file.rsplit('/').next().unwrap_or(&file);
        println!(
            "{name} | {} | {} | {} | {} | {} | {}",
            figures.lines,
            share(figures.level),
            share(figures.time),
            share(figures.message),
            share(figures.status),
            forms.join(", ")
        );
        if figures.malformed > 0 {
            println!("    malformed: {}", figures.malformed);
        }
        for line in figures.odd {
            println!("    {line}");
        }
    }
    let mut shapes: Vec<_> = shapes.into_values().collect();
    shapes.sort_by(|a, b| b.cmp(a));
    for (count, read) in shapes.iter().take(shown) {
        println!("{count} {read}");
    }
    Ok(())
}

/// The head of a line without its numbers and names.
fn shape(line: &[u8]) -> String {
    let mut shape = String::new();
    for c in String::from_utf8_lossy(line).chars().take(60) {
        let c = if c.is_ascii_digit() { '0' } else { c };
        if c != '0' || !shape.ends_with('0') {
            shape.push(c);
        }
    }
    shape
}

fn read(text: &[u8], odd: usize, shapes: &mut Shapes) -> Figures {
    let mut figures = Figures::default();
    let mut reader = Reader::default();
    for line in text.split(|b| *b == b'\n').filter(|line| !line.trim_ascii().is_empty()) {
        let wrapped;
        let record = if is_record(line) {
            line
        } else {
            wrapped = serde_json::json!({"log": String::from_utf8_lossy(line)}).to_string();
            wrapped.as_bytes()
        };
        reader.read(record, false, Delivery::default(), |piece| match piece {
            Piece::Record(record) => {
                figures.lines += 1;
                *figures.formats.entry(Format::of(record).as_str()).or_default() += 1;
                let (level, time) = (record.stated_level().is_some(), record.stated_time_ms().is_some());
                figures.level += u64::from(level);
                figures.time += u64::from(time);
                figures.message += u64::from(record.message().is_some());
                figures.status += u64::from(record.field("status").is_some());
                debug_assert!(record.derived(Derived::Service).is_some());
                let as_read = || {
                    let text = |name: &str| match record.field(name) {
                        Some(Value::Text(text)) => text.to_string_lossy().chars().take(60).collect(),
                        Some(Value::Number(raw)) => String::from_utf8_lossy(raw).into_owned(),
                        Some(Value::Int(n)) => n.to_string(),
                        _ => "-".to_owned(),
                    };
                    let (form, time) = (Format::of(record).as_str(), record.stated_time_ms());
                    let line: String = String::from_utf8_lossy(line).chars().take(160).collect();
                    let [level, status, message] = ["level", "status", "message"].map(text);
                    format!("{form} | {level} | {time:?} | {status} | {message:?} | {line}")
                };
                shapes.entry(shape(line)).or_insert_with(|| (0, as_read())).0 += 1;
                if !(level && time) && figures.odd.len() < odd {
                    let what = [(level, "level"), (time, "time")].into_iter().filter(|(has, _)| !has).map(|(_, n)| n);
                    let line: String = String::from_utf8_lossy(line).chars().take(200).collect();
                    figures.odd.push(format!("no {}: {line}", what.collect::<Vec<_>>().join(", no ")));
                }
            }
            Piece::Malformed(_) => figures.malformed += 1,
            Piece::Blank => {}
        });
    }
    figures
}

fn is_record(line: &[u8]) -> bool {
    let Ok(serde_json::Value::Object(fields)) = serde_json::from_slice(line) else { return false };
    fields.get("log").is_some_and(serde_json::Value::is_string) || fields.contains_key("date")
}
