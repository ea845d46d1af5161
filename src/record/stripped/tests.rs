//! What people see of a trace: the exception first, then where it was thrown.

use serde_json::{Value as Json, json};

use super::{Sample, stripped};
use crate::record::{Delivery, Piece, Reader};

fn shown(record: &Json) -> Json {
    let mut out = None;
    Reader::default().read(record.to_string().as_bytes(), false, Delivery::default(), |piece| {
        if let Piece::Record(record) = piece {
            out = serde_json::from_str(&stripped(record)).ok();
        }
    });
    out.unwrap_or_else(|| panic!("no record: {record}"))
}

#[test]
fn the_frames_of_a_trace_are_shown_innermost_first_and_our_own_before_libraries() {
    let java = "2025-10-01 ERROR c.e.Pay: failed\njava.lang.IllegalStateException: closed\n\tat java.util.X.y(X.java:1)\n\tat com.acme.A.a(A.java:1)\n\tat com.acme.B.b(B.java:2)\n\tat com.acme.C.c(C.java:3)\n\tat com.acme.D.d(D.java:4)";
    let python = "Traceback (most recent call last):\n  File \"/app/a.py\", line 1, in outer\n    g()\n  File \"/app/b.py\", line 2, in inner\nKeyError: 'id'";
    let pino = json!({"level": 50, "msg": "request failed", "err": {"type": "Error", "stack": "Error: x\n    at f (/app/a.js:3:1)\n    at g (/app/node_modules/q/i.js:9:1)"}});
    for (log, message, frames) in [
        (
            java.to_owned(),
            "java.lang.IllegalStateException: closed (2025-10-01 ERROR c.e.Pay: failed)",
            "A.java:1 in com.acme.A.a < B.java:2 in com.acme.B.b < C.java:3 in com.acme.C.c",
        ),
        (python.to_owned(), "KeyError: 'id'", "/app/b.py:2 in inner < /app/a.py:1 in outer"),
        (pino.to_string(), "request failed", "/app/a.js:3 in f"),
        (
            "\tat java.util.X.y(X.java:1)\n\tat a.B.c(B.java:2)".to_owned(),
            "\tat java.util.X.y(X.java:1)\n\tat a.B.c(B.java:2)",
            "B.java:2 in a.B.c",
        ),
    ] {
        let seen = shown(&json!({"log": log}));
        assert_eq!((seen["message"].as_str(), seen["frames"].as_str()), (Some(message), Some(frames)), "{log}: {seen}");
    }
    for log in ["ERROR all is lost", "{\"level\":\"error\",\"msg\":\"x\"}", "GET /x 500 31ms"] {
        assert_eq!(shown(&json!({"log": log})).get("frames"), None, "{log}");
    }
}

#[test]
fn frames_are_bounded_and_pass_redaction_like_all_else() {
    let deep: String = (0..2_000).map(|n| format!("\n\tat com.acme.{}{n}.run(A.java:{n})", "x".repeat(300))).collect();
    let seen = shown(&json!({"log": format!("a.b.FailedException: x{deep}")}));
    assert!(seen["frames"].as_str().is_some_and(|frames| frames.len() <= 403 && frames.ends_with('…')), "{seen}");

    let key = concat!("AKIA", "IOSFODNN7EXAMPLE");
    let log = format!("a.b.FailedException: {key}\n\tat com.acme.A.a({key}.java:1)");
    let line = json!({"log": log}).to_string();
    Reader::default().read(line.as_bytes(), false, Delivery::default(), |piece| {
        if let Piece::Record(record) = piece {
            let shown = Sample::of(record).redacted().to_string();
            assert!(shown.contains("FailedException") && shown.contains("frames") && !shown.contains(key), "{shown}");
        }
    });
}
