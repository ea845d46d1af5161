//! Messages as they are sent and read, event by event.

use super::*;

fn event(data: &Value) -> Event {
    Event { name: data["type"].as_str().unwrap_or_default().to_owned(), data: data.to_string() }
}

/// All events, and then the end.
fn said(events: &[Value]) -> Result<Said, Failed> {
    let mut message = Message::default();
    for data in events {
        if message.take(&event(data), None)? {
            return message.end();
        }
    }
    panic!("no end: {events:?}")
}

fn start() -> Value {
    let usage = json!({"input_tokens": 9, "cache_read_input_tokens": 100, "output_tokens": 1});
    json!({"type": "message_start", "message": {"usage": usage}})
}

fn stop(reason: &str) -> [Value; 2] {
    let delta = json!({"stop_reason": reason, "stop_sequence": null});
    [json!({"type": "message_delta", "delta": delta, "usage": {"output_tokens": 40}}), json!({"type": "message_stop"})]
}

fn block(index: u64, start: Value, deltas: &[Value]) -> Vec<Value> {
    let mut all = vec![json!({"type": "content_block_start", "index": index, "content_block": start})];
    all.extend(deltas.iter().map(|delta| json!({"type": "content_block_delta", "index": index, "delta": delta})));
    all.push(json!({"type": "content_block_stop", "index": index}));
    all
}

fn text(pieces: &[&str]) -> Vec<Value> {
    let deltas: Vec<Value> = pieces.iter().map(|piece| json!({"type": "text_delta", "text": piece})).collect();
    block(0, json!({"type": "text", "text": ""}), &deltas)
}

#[test]
fn thinking_text_and_tools_are_put_together_and_go_back_as_they_came() {
    let mut events = vec![start(), json!({"type": "ping"}), json!({"type": "a_new_event", "x": 1})];
    let thinking = [
        json!({"type": "thinking_delta", "thinking": "It "}),
        json!({"type": "thinking_delta", "thinking": "is."}),
        json!({"type": "a_new_delta", "x": "y"}),
        json!({"type": "signature_delta", "signature": "EqQB"}),
    ];
    events.extend(block(0, json!({"type": "thinking", "thinking": "", "signature": ""}), &thinking));
    events.extend(block(1, json!({"type": "redacted_thinking", "data": "abc"}), &[]));
    events.extend(block(2, json!({"type": "text", "text": "", "citations": null}), &[]));
    events.extend(block(3, json!({"type": "a_new_block", "x": [1]}), &[]));
    let piece = |text: &str| json!({"type": "input_json_delta", "partial_json": text});
    let tool = |id: &str, name: &str| json!({"type": "tool_use", "id": id, "name": name, "input": {}});
    events.extend(block(4, tool("t1", "read_file"), &[piece("{\"pa"), piece("th\":\"a\"}")]));
    events.extend(block(5, tool("t2", "search"), &[piece("{\"pa")]));
    events.extend(stop("tool_use"));
    let said = said(&events).expect("whole");
    assert_eq!(
        said.message,
        json!({"role": "assistant", "content": [
            {"type": "thinking", "thinking": "It is.", "signature": "EqQB"},
            {"type": "redacted_thinking", "data": "abc"},
            {"type": "a_new_block", "x": [1]},
            {"type": "tool_use", "id": "t1", "name": "read_file", "input": {"path": "a"}},
            {"type": "tool_use", "id": "t2", "name": "search", "input": {}},
        ]})
    );
    let read = |id: &str, name: &str, input| Read { id: id.to_owned(), name: name.to_owned(), input };
    let reads = vec![read("t1", "read_file", Some(json!({"path": "a"}))), read("t2", "search", None)];
    assert_eq!(said.turn, Turn::Reads(reads));
}

#[test]
fn each_end_means_something() {
    let ended = |reason: &str| said(&[vec![start()], text(&["a", "b"]), stop(reason).to_vec()].concat());
    assert_eq!(ended("end_turn").expect("an answer").turn, Turn::Text("ab".to_owned()));
    assert_eq!(ended("pause_turn").expect("a pause").turn, Turn::Paused);
    for (reason, why) in [
        ("max_tokens", Why::CutShort),
        ("refusal", Why::Declined),
        ("model_context_window_exceeded", Why::TooLong),
        ("tool_use", Why::BadReply),
        ("something_new", Why::CutShort),
    ] {
        let failed = ended(reason).expect_err(reason);
        assert_eq!((failed.why, failed.is_passing), (why, false), "{reason}");
    }
    let details = json!({"category": "cyber", "explanation": "an exploit"});
    let refused = json!({"type": "message_delta", "delta": {"stop_reason": "refusal", "stop_details": details}});
    let failed = said(&[start(), refused, json!({"type": "message_stop"})]).expect_err("refused");
    assert_eq!(failed.words, "the model declines to answer: cyber: an exploit");
    assert_eq!(said(&[start(), json!({"type": "message_stop"})]).expect_err("no end").why, Why::CutShort);
    assert_eq!(said(&[json!({"type": "message_stop"})]).expect_err("nothing").why, Why::BadReply);
}

#[test]
fn an_error_within_the_stream_is_one() {
    for (kind, why, is_passing) in [
        ("overloaded_error", Why::Busy, true),
        ("api_error", Why::Busy, true),
        ("rate_limit_error", Why::RateLimited, true),
        ("timeout_error", Why::TimedOut, true),
        ("invalid_request_error", Why::Refused, false),
        ("billing_error", Why::Refused, false),
        ("request_too_large", Why::TooLong, false),
        ("", Why::Refused, false),
    ] {
        let error = json!({"type": "error", "error": {"type": kind, "message": "no"}});
        let failed = said(&[start(), error]).expect_err(kind);
        assert_eq!((failed.why, failed.is_passing), (why, is_passing), "{kind}");
    }
}

#[test]
fn what_makes_no_sense_is_refused_and_nothing_grows_without_end() {
    let begin = |index: i64| {
        let start = json!({"type": "text", "text": ""});
        json!({"type": "content_block_start", "index": index, "content_block": start})
    };
    let more = |text: String| json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}});
    for events in [
        vec![begin(0), begin(0)],
        vec![more("x".into())],
        vec![json!({"type": "content_block_start", "index": 0})],
        vec![begin(-1)],
        vec![json!({"type": "content_block_start", "index": 0, "content_block": "text"})],
        (0..=BLOCKS_MAX as i64).map(begin).collect(),
        vec![begin(0), more("x".repeat(CONTENT_MAX / 2)), more("x".repeat(CONTENT_MAX / 2))],
    ] {
        assert_eq!(said(&[vec![start()], events].concat()).expect_err("no sense").why, Why::BadReply);
    }
    let garbage = Event { name: "message_start".into(), data: "<html>".into() };
    assert_eq!(Message::default().take(&garbage, None).expect_err("no JSON").why, Why::BadReply);
}

#[test]
fn tokens_are_known_as_the_server_counts_and_guessed_while_it_has_not() {
    let mut message = Message::default();
    for data in [vec![start()], text(&[&"x".repeat(4_000)])].concat() {
        message.take(&event(&data), None).expect("sound");
    }
    assert!(message.usage().output >= 1_000, "{:?}", message.usage());
    assert_eq!((message.usage().input, message.usage().cached), (9, 100));
    for data in stop("end_turn") {
        message.take(&event(&data), None).expect("sound");
    }
    assert_eq!(message.usage(), Usage { input: 9, written: 0, cached: 100, output: 40 });
}
