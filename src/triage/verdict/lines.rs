//! Which lines an action is about, in every way that models write it.

use serde_json::Value;

/// Items of a list that are looked at. Lines come once each, so more could only repeat them.
const ITEMS: usize = 1_000;

/// Places from 0, ascending, each once, out of so many; positions that do not exist are left out. `None` if
/// no position is given at all.
pub(super) fn read(value: Option<&Value>, lines: usize) -> Option<Vec<usize>> {
    let mut chosen = vec![false; lines];
    match value? {
        Value::Null => return None,
        Value::Array(items) if items.is_empty() => return None,
        Value::Array(items) => items.iter().take(ITEMS).for_each(|item| choose(item, &mut chosen)),
        Value::String(text) if text.trim().is_empty() => return None,
        one => choose(one, &mut chosen),
    }
    Some(chosen.iter().enumerate().filter(|(_, chosen)| **chosen).map(|(line, _)| line).collect())
}

fn choose(item: &Value, chosen: &mut [bool]) {
    match item {
        Value::Number(number) => {
            // 2.0 is written by some; a fraction is no position.
            let whole = number.as_f64().filter(|n| n.fract() == 0.0 && *n >= 1.0 && *n <= chosen.len() as f64);
            if let Some(whole) = whole {
                range(whole as usize, whole as usize, chosen);
            }
        }
        Value::String(text) if text.trim().eq_ignore_ascii_case("all") => chosen.fill(true),
        Value::String(text) => words(text, chosen),
        _ => {}
    }
}

/// `1`, `#1`, `line 1`, `1-3`, `1 to 3`, `1, 2`, `1 2`.
fn words(text: &str, chosen: &mut [bool]) {
    for part in text.split([',', ';', '&', '\n']) {
        let part = part.trim().trim_start_matches(|c: char| c.is_ascii_alphabetic() || c == '#').trim();
        let ends = ["..", " to ", "-", "–"].iter().find_map(|joint| {
            let (first, last) = part.split_once(joint)?;
            Some((position(first)?, position(last)?))
        });
        match ends {
            Some((first, last)) => range(first, last, chosen),
            None => part.split_whitespace().filter_map(position).for_each(|one| range(one, one, chosen)),
        }
    }
}

/// A number that is too long for one is beyond the last line.
fn position(text: &str) -> Option<usize> {
    let text = text.trim();
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(usize::MAX))
}

/// Positions from 1, both ends included, as far as they exist.
fn range(first: usize, last: usize, chosen: &mut [bool]) {
    let last = last.min(chosen.len());
    // A range from 0 is meant from the beginning; 0 alone is no position, and its range empty.
    if let Some(some) = chosen.get_mut(first.max(1) - 1..last) {
        some.fill(true);
    }
}
