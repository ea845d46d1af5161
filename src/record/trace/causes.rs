//! The frames of a whole chain of exceptions, those of its first cause before all others: where somebody who has the
//! source looks first.
//!
//! Java, Node and Python's later tracebacks wrap what came before; PHP and .NET print the first cause first.

use super::frame::{Frame, frames, python_frame, thrown_at};

/// Kept of a whole chain, and of each of its exceptions before the others have had their turn.
const PLACES_MAX: usize = 12;
const TURN: usize = 4;
/// Exceptions of one chain; of more the last.
const CHAIN_MAX: usize = 16;

const TRACEBACK: &str = "Traceback (most recent call last)";

/// Of the application's own, if there are any; each once.
pub(super) fn places(lines: &[&str]) -> Vec<String> {
    let is_python = lines.iter().any(|line| line.contains(TRACEBACK));
    let mut chain: Vec<Vec<Frame>> = if is_python { python(lines) } else { others(lines) };
    chain.retain(|frames| !frames.is_empty());
    let surplus = chain.len().saturating_sub(CHAIN_MAX);
    chain.drain(..surplus);
    let any_own = chain.iter().flatten().any(|frame| frame.own);
    for frames in &mut chain {
        frames.retain(|frame| frame.own || !any_own);
    }
    let first = chain.iter().flat_map(|frames| frames.iter().take(TURN));
    let rest = chain.iter().flat_map(|frames| frames.iter().skip(TURN));
    let mut places: Vec<String> = Vec::new();
    for frame in first.chain(rest) {
        if places.len() < PLACES_MAX && !places.contains(&frame.text) {
            places.push(frame.text.clone());
        }
    }
    places
}

/// One traceback after the other. Where the later one was raised from the earlier one, that is the cause; where it
/// happened while that was handled, the later one is what came out.
fn python(lines: &[&str]) -> Vec<Vec<Frame>> {
    let mut chain: Vec<Vec<Frame>> = Vec::new();
    let mut raised_from = false;
    for line in lines {
        raised_from |= line.contains("was the direct cause of the following exception:");
        if line.contains(TRACEBACK) {
            chain.push(Vec::new());
        } else if let (Some(last), Some(frame)) = (chain.last_mut(), python_frame(line)) {
            last.push(frame);
        }
    }
    for frames in &mut chain {
        frames.reverse();
    }
    if !raised_from {
        chain.reverse();
    }
    chain
}

fn others(lines: &[&str]) -> Vec<Vec<Frame>> {
    let wraps = |line: &&str| {
        let line = line.trim_start();
        line.starts_with("Caused by: ") || line.starts_with("[cause]: ")
    };
    let mut chain: Vec<Vec<Frame>> = Vec::new();
    let mut from = 0;
    let ends = lines.iter().enumerate().skip(1).filter(|(_, line)| wraps(line)).map(|(at, _)| at);
    for end in ends.chain([lines.len()]) {
        let part = lines.get(from..end).unwrap_or_default();
        let thrown =
            part.iter().take(2).find_map(|line| thrown_at(line)).filter(|_| part.iter().any(|line| is_php(line)));
        chain.push(thrown.into_iter().chain(frames(part)).collect());
        from = end;
    }
    chain.reverse();
    chain
}

fn is_php(line: &str) -> bool {
    line.contains(".php")
}

#[cfg(test)]
mod tests {
    use super::super::exception::Exception;

    #[test]
    fn the_frames_of_the_first_cause_come_first() {
        for (text, places) in [
            (
                "a.Outer: x\n\tat com.acme.Web.handle(Web.java:1)\n\tat java.lang.Thread.run(Thread.java:2)\nCaused by: a.Inner: y\n\tat java.util.Map.of(Map.java:3)\n\tat com.acme.Price.of(Price.java:4) ~[shop.jar!/:1.4]\n\t... 3 more",
                &["Price.java:4 in com.acme.Price.of", "Web.java:1 in com.acme.Web.handle"][..],
            ),
            (
                "Traceback (most recent call last):\n  File \"/app/a.py\", line 1, in inner\nKeyError: 'x'\n\nThe above exception was the direct cause of the following exception:\n\nTraceback (most recent call last):\n  File \"/app/b.py\", line 2, in main\n  File \"/app/b.py\", line 3, in outer\nshop.Failed: y",
                &["/app/a.py:1 in inner", "/app/b.py:3 in outer", "/app/b.py:2 in main"],
            ),
            (
                "Traceback (most recent call last):\n  File \"/app/a.py\", line 1, in inner\nKeyError: 'x'\n\nDuring handling of the above exception, another exception occurred:\n\nTraceback (most recent call last):\n  File \"/app/b.py\", line 3, in outer\nValueError: y",
                &["/app/b.py:3 in outer", "/app/a.py:1 in inner"],
            ),
            (
                "Error: outer\n    at wrap (/app/a.js:1:2) {\n  [cause]: TypeError: inner\n      at price (/app/b.js:3:4)\n}",
                &["/app/b.js:3 in price", "/app/a.js:1 in wrap"],
            ),
            (
                "PHP Fatal error:  Uncaught App\\Failed: no in /app/src/Cart.php:33\nStack trace:\n#0 /app/src/Web.php(9): App\\Cart->total()\n#1 {main}",
                &["/app/src/Cart.php:33", "/app/src/Web.php:9 in App\\Cart->total"],
            ),
            (
                "[object] (App\\Failed(code: 0): no at /app/src/Cart.php:33)\n[stacktrace]\n#0 /app/src/Web.php(9): App\\Cart->total()",
                &["/app/src/Cart.php:33", "/app/src/Web.php:9 in App\\Cart->total"],
            ),
            ("x.Y: z\n\tat java.util.Map.of(Map.java:3)", &["Map.java:3 in java.util.Map.of"]),
        ] {
            assert_eq!(Exception::of(text.as_bytes()).expect(text).places, places, "{text}");
        }
    }

    #[test]
    fn of_a_deep_chain_no_more_are_kept_than_may_be() {
        let frames: String = (0..500).map(|n| format!("\tat com.acme.A.f{n}(A.java:{n})\n")).collect();
        let text: String = (0..100).map(|n| format!("Caused by: a.b.C{n}: x\n{frames}")).collect();
        assert_eq!(Exception::of(text.as_bytes()).expect("frames").places.len(), super::PLACES_MAX);
    }
}
