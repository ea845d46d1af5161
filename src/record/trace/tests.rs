//! Traces of every language, line by line and whole: which lines belong together, and what they say.

use proptest::prelude::*;

use super::exception::Exception;
use super::{State, opening};

/// The lines cut into what is joined: as the receiver does it, for one stream.
fn joined(text: &str) -> Vec<usize> {
    let mut runs: Vec<usize> = Vec::new();
    let mut state: Option<State> = None;
    for line in text.lines() {
        let line = line.trim_end();
        state = match state.and_then(|s| s.next(line.as_bytes())) {
            Some(next) => {
                if let Some(last) = runs.last_mut() {
                    *last += 1;
                }
                Some(next)
            }
            None => {
                runs.push(1);
                let log = line.contains("ERROR").then_some(State::Log);
                opening(line.as_bytes()).map(|o| o.state).or(log)
            }
        };
    }
    runs
}

#[test]
fn the_lines_of_a_trace_are_told_from_those_around_it() {
    for (text, want) in [
        (
            "ERROR x\nTraceback (most recent call last):\n  File \"a.py\", line 1, in f\n    g()\n    ^^^\nKeyError: 'id'\nnext",
            &[6, 1][..],
        ),
        (
            "Traceback (most recent call last):\n  File \"a.py\", line 1, in f\nKeyError: 1\n\nDuring handling of the above exception, another exception occurred:\n\nTraceback (most recent call last):\n  File \"a.py\", line 1, in f\na.B: x\nINFO next",
            &[9, 1],
        ),
        (
            "  + Exception Group Traceback (most recent call last):\n  |   File \"a.py\", line 1, in f\n  | ExceptionGroup: two (1 sub-exception)\n  +-+---------------- 1 ----------------\n    | ValueError: 1\n    +------------------------------------\nnext",
            &[6, 1],
        ),
        (
            "java.lang.IllegalStateException: x\n\tat a.B.c(B.java:1)\nCaused by: a.b.C: y\n  Detail: z\n\tat d.E.f(E.java:2)\n\t... 27 common frames omitted\n\tSuppressed: a.b.D: z\n\t\tat q.R.s(R.java:3)\nnext",
            &[8, 1],
        ),
        ("TypeError: x\n    at f (/app/a.js:1:2) {\n  code: 'E'\n}\n\nNode.js v22.9.0\nnext", &[6, 1]),
        (
            "panic: x\n[signal SIGSEGV]\n\ngoroutine 1 [running]:\nmain.f(0x1)\n\t/src/a.go:5 +0x1\ncreated by main.g in goroutine 1\n\t/src/a.go:6 +0x2\nexit status 2\nnext",
            &[9, 1],
        ),
        (
            "thread 'main' panicked at src/main.rs:4:5:\nindex out of bounds\nnote: run with `RUST_BACKTRACE=1` environment variable to display a backtrace\nnext",
            &[3, 1],
        ),
        (
            "thread 'main' panicked at src/main.rs:4:5:\nboom\nstack backtrace:\n   0: rust_begin_unwind\n             at /rustc/1/library/std/src/panicking.rs:1:5\nnext",
            &[5, 1],
        ),
        (
            "System.InvalidOperationException: x\n ---> System.ArgumentException: y\n   at A.B() in /src/A.cs:line 3\n   --- End of inner exception stack trace ---\n--- End of stack trace from previous location ---\n   at C.D()\nnext",
            &[6, 1],
        ),
        (
            "PHP Fatal error:  Uncaught RuntimeException: x in /app/a.php:3\nStack trace:\n#0 /app/a.php(9): f()\n#1 {main}\n  thrown in /app/a.php on line 3\nnext",
            &[5, 1],
        ),
        ("app.rb:1:in 'x': boom (RuntimeError)\n\tfrom app.rb:5:in '<main>'\nnext", &[2, 1]),
        ("\tat a.B.c(B.java:1)\n\tat d.E.f(E.java:2)\nnext", &[2, 1]),
        ("ERROR one\nERROR two\nplain\n  indented\nmore", &[1, 1, 1, 1, 1]),
        ("TimeoutError: one\nTimeoutError: two", &[1, 1]),
    ] {
        assert_eq!(joined(text), want, "{text}");
    }
}

#[test]
fn what_a_trace_says_is_read_in_every_language() {
    for (text, kind, message, frame) in [
        (
            "ERROR x\nTraceback (most recent call last):\n  File \"/app/db.py\", line 42, in connect\n    g()\n  File \"/usr/lib/python3/site-packages/x.py\", line 1, in y\na.b.Failed: no\nroute",
            "a.b.Failed",
            "no",
            "/app/db.py:42 in connect",
        ),
        (
            "java.lang.IllegalStateException: closed\n\tat java.util.X.y(X.java:1)\n\tat com.acme.Pay.close(Pay.java:142)\nCaused by: a.b.C: y",
            "java.lang.IllegalStateException",
            "closed",
            "Pay.java:142 in com.acme.Pay.close",
        ),
        (
            "/app/a.js:64\n  throw x\n  ^\n\nTypeError: no 'sku'\n    at f (/app/a.js:64:11)\n    at node:internal/x:1:2",
            "TypeError",
            "no 'sku'",
            "/app/a.js:64 in f",
        ),
        ("Error [ERR_X]: gone\n    at /app/b.js:3:1", "Error", "gone", "/app/b.js:3"),
        (
            "panic: boom [recovered]\n\ngoroutine 1 [running]:\npanic(0x1)\n\t/usr/local/go/src/runtime/panic.go:5 +0x1\nmain.(*I).S(0x0, {0x1})\n\t/src/a.go:5 +0x1",
            "panic",
            "boom",
            "/src/a.go:5 in main.(*I).S",
        ),
        ("thread 'main' panicked at src/main.rs:4:5:\nindex out\nnote: x", "panic", "index out", "src/main.rs:4"),
        ("thread 'main' panicked at 'old way', src/main.rs:4:5\nnote: x", "panic", "old way", "src/main.rs:4"),
        (
            "System.InvalidOperationException: outer ---> System.X: inner\n   at System.A.B()\n   at App.Pay.Close(String id) in /src/Pay.cs:line 36",
            "System.InvalidOperationException",
            "outer",
            "/src/Pay.cs:36 in App.Pay.Close",
        ),
        (
            "PHP Fatal error:  Uncaught App\\PayException: no in /app/a.php:3\nStack trace:\n#0 /app/b.php(9): f('x')\n#1 {main}",
            "App\\PayException",
            "no",
            "/app/b.php:9 in f",
        ),
        ("app.rb:1:in 'x': boom (RuntimeError)\n\tfrom lib/y.rb:5:in 'z'", "RuntimeError", "boom", "app.rb:1 in x"),
        ("main.f\n\t/src/a.go:5\nmain.g\n\t/src/a.go:7", "", "", "/src/a.go:5 in main.f"),
    ] {
        let read = Exception::of(text.as_bytes()).expect(text);
        let seen = (read.kind.as_str(), read.message.as_str(), read.frames.first().map(String::as_str));
        assert_eq!(seen, (kind, message, Some(frame)), "{text}");
    }
    for text in ["", "all is well", "INFO x: y\nmore", "level=error msg=x", "2025-10-01 ERROR a.b.C : x"] {
        assert_eq!(Exception::of(text.as_bytes()), None, "{text}");
    }
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(text in proptest::collection::vec(
        prop_oneof![Just(b'\n'), Just(b' '), Just(b'\t'), Just(b':'), Just(b'('), Just(b')'), Just(b'\''), any::<u8>()], 0..200)) {
        let mut state = State::Log;
        for line in text.split(|b| *b == b'\n') {
            opening(line);
            state = state.next(line).unwrap_or(State::Thrown);
        }
        Exception::of(&text);
    }
}
