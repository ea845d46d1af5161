//! Every dialect, and the traps.

use proptest::prelude::*;

use super::head::HEAD;
use super::{Level::*, *};

fn check(table: &[(&str, Option<Level>)]) {
    let wrong: Vec<_> = table
        .iter()
        .map(|(text, expected)| (text, *expected, Level::of_text(text.as_bytes())))
        .filter(|(_, expected, got)| expected != got)
        .collect();
    assert!(wrong.is_empty(), "text, expected, got: {wrong:#?}");
}

#[test]
fn levels_are_ordered_and_know_their_own_names() {
    assert!(Level::ALL.is_sorted());
    for level in Level::ALL {
        assert_eq!(Level::from_name(level.as_str().as_bytes()), Some(level));
        assert_eq!(Level::ALL[level as usize], level);
    }
}

#[test]
fn every_dialects_name_is_known_in_either_case() {
    for (level, names) in [
        (Trace, "trace TRC trce Verbose VRB finest FINER T V TRACE2"),
        (Debug, "debug DBG dbug Debug FINE config D DEBUG5 D1"),
        (Info, "info INF Information informational NOTICE note log success I INFO4"),
        (Warn, "warn WARNING wrn Warning W WARN3"),
        (Error, "error ERR Severe fail E ERROR2"),
        (Fatal, "fatal FTL critical CRIT panic PNC dpanic emerg EMERGENCY alert F C FATAL4"),
    ] {
        for name in names.split(' ') {
            assert_eq!(Level::from_name(name.as_bytes()), Some(level), "{name}");
            assert_eq!(Level::from_name(name.to_lowercase().as_bytes()), Some(level), "{name}");
            assert_eq!(Level::from_name(format!("{name}  ").as_bytes()), Some(level), "{name}, padded");
        }
    }
    for name in
        ["", " ", "errors", "terror", "error_count", "err1", "error9", "alert3", "30", "ok", "off", "informationally"]
    {
        assert_eq!(Level::from_name(name.as_bytes()), None, "{name}");
    }
}

#[test]
fn every_dialects_number_is_known() {
    for (level, numbers) in [
        (Trace, &[10.0, 19.9, 5000.0, 9999.0][..]),
        (Debug, &[7.0, 20.0, 25.0, 10000.0]),
        (Info, &[5.0, 6.0, 30.0, 35.0, 20000.0, 25000.0]),
        (Warn, &[4.0, 40.0, 30000.0]),
        (Error, &[3.0, 50.0, 59.0, 40000.0]),
        (Fatal, &[0.0, -0.0, 1.0, 2.0, 60.0]),
    ] {
        for n in numbers {
            assert_eq!(Level::from_number(*n), Some(level), "{n}");
        }
    }
    for n in [-1.0, 0.5, 8.0, 9.9, 61.0, 100.0, 200.0, 404.0, 4999.0, 40001.0, 1e18, f64::NAN, f64::INFINITY] {
        assert_eq!(Level::from_number(n), None, "{n}");
    }
}

#[test]
fn a_status_is_as_bad_as_its_class() {
    for (status, level) in [
        (200, Info),
        (304, Info),
        (399, Info),
        (400, Warn),
        (499, Warn),
        (500, Error),
        (599, Error),
        (600, Info),
        (0, Info),
    ] {
        assert_eq!(Level::of_status(status), level, "{status}");
    }
}

#[test]
fn the_labelled_plain_lines_read_as_labelled() {
    check(&[
        ("2025/10/01 08:13:24 [error] 29#29: *4827 open() \"/favicon.ico\" failed (2: No such file)", Some(Error)),
        ("2025/10/01 08:13:30 [warn] 29#29: *6760 a client request body is buffered", Some(Warn)),
        ("2025/10/01 08:13:32 [notice] 29#29: *6275 signal 3 (SIGQUIT) received, shutting down", Some(Info)),
        ("ERROR: could not connect to broker amqps://mq.internal:5671: connection refused", Some(Error)),
        ("2025-10-01 08:21:44,102 ERROR [worker-3] c.e.payments.Worker - settlement batch failed", Some(Error)),
        ("[2025-10-01 08:21:45 +0000] [7] [CRITICAL] WORKER TIMEOUT (pid:31)", Some(Fatal)),
        ("[2025-10-01 08:21:45 +0000] [31] [INFO] Worker exiting (pid: 31)", Some(Info)),
        ("level=error ts=2025-10-01T08:21:46.221Z caller=server.go:81 msg=\"shutdown failed\"", Some(Error)),
        ("npm ERR! code ELIFECYCLE", Some(Error)),
        ("(node:1) [DEP0040] DeprecationWarning: The `punycode` module is deprecated.", Some(Warn)),
        ("\x1b[31mERROR\x1b[0m \x1b[2m2025-10-01T08:21:50\x1b[0m orders: lookup failed", Some(Error)),
        ("\x1b[32m INFO\x1b[0m orders: 0 errors, 0 failures in last batch", Some(Info)),
        ("E, [2025-10-01T08:21:52.004321 #1] ERROR -- : [3f2a] ActiveRecord::Deadlocked", Some(Error)),
        ("I1001 08:21:53.118202       1 leaderelection.go:258] successfully acquired lease", Some(Info)),
        ("F1001 08:21:54.000187       1 main.go:77] failed to start: listen tcp :8080", Some(Fatal)),
        ("FATAL:  password authentication failed for user \"report\"", Some(Fatal)),
        ("2025-10-01 08:21:56.441 UTC [88] LOG:  checkpoint complete: wrote 41 buffers", Some(Info)),
        ("Error rate is within limits (0 of 12000)", None),
        ("Killed", Some(Error)),
        ("thread 'tokio-runtime-worker' panicked at src/intake.rs:88:41:", Some(Error)),
        ("Résumé reçu — 3 pièces jointes 📎 traitées", None),
        ("", None),
        ("done\r", None),
        ("Hello Shell World!", None),
        ("\t indented output with tab and \"quotes\" and \\backslash\\", None),
        ("WARN cache miss storm on shard 3", Some(Warn)),
        ("java.lang.OutOfMemoryError: Java heap space", Some(Error)),
        ("DEBUG dump xxxxxxxx", Some(Debug)),
        ("process ended without a newline", None),
        ("GET /healthz 200 1ms", None),
        ("docker json-file line\n", None),
        ("ERROR boot failed: missing DATABASE_URL", Some(Error)),
        ("first half of a cut CRI line", None),
        ("ERROR:billing.tasks:charge_subscription[5e0f] raised", Some(Error)),
        ("Traceback (most recent call last):", Some(Error)),
        ("KeyError: 'id'", Some(Error)),
        ("java.lang.IllegalStateException: settlement batch 8813 already closed", Some(Error)),
        ("Caused by: org.postgresql.util.PSQLException: ERROR: duplicate key value", Some(Error)),
        ("TypeError: Cannot read properties of undefined (reading 'sku')", Some(Error)),
        ("/app/dist/a.js:64\n    throw new TypeError(\"x\");\n    ^\n\nTypeError: x\n    at b", Some(Error)),
    ]);
}

#[test]
fn lines_that_only_continue_a_trace_say_nothing_alone() {
    check(&[
        ("  File \"/app/billing/gateway.py\", line 41, in charge", None),
        ("    raise ChargeFailed(sub.id) from exc", None),
        ("\tat com.example.payments.Settlement.close(Settlement.java:142)", None),
        ("\t... 27 common frames omitted", None),
        ("    throw new TypeError(\"Cannot read properties\");", None),
        ("goroutine 118 [running]:", None),
        ("[signal SIGSEGV: segmentation violation code=0x1 addr=0x18 pc=0x6b2f41]", None),
        ("called `Option::unwrap()` on a `None` value", None),
    ]);
}

#[test]
fn other_loggers_heads_are_read() {
    check(&[
        // A process that ends itself.
        ("panic: runtime error: invalid memory address or nil pointer dereference", Some(Fatal)),
        ("fatal error: all goroutines are asleep - deadlock!", Some(Fatal)),
        ("2019/01/15 07:48:05 http: panic serving [::1]:54143: test panic", Some(Error)),
        ("thread 'main' (4711) panicked at src/main.rs:1:2:", Some(Error)),
        ("Exception in thread \"main\" java.lang.NullPointerException", Some(Error)),
        ("java.lang.NullPointerException", Some(Error)),
        ("Uncaught TypeError: x is not a function", Some(Error)),
        ("PHP Fatal error:  Uncaught exception 'Exception'", Some(Error)),
        (" ActionController::RoutingError (No route matches [GET] \"/settings\"):", Some(Error)),
        ("App\\Billing\\ChargeException: no", Some(Error)),
        ("exception 'Exception' with message 'x' in /a.php:5", Some(Error)),
        ("std::error::Kind: x", None),
        ("PHP Warning:  Undefined variable $a", Some(Warn)),
        // syslog, systemd, syslog's files
        ("<3>disk failed", Some(Error)),
        ("<27>1 2025-10-01T08:12:03Z host app - - - down", Some(Error)),
        ("<30>Oct  1 08:12:03 host app: up", Some(Info)),
        ("<0>x", Some(Fatal)),
        ("<192>x", None),
        ("<b>3</b>", None),
        ("Dec 10 07:51:15 LabSZ sshd[24324]: error: Received disconnect", Some(Error)),
        ("Jul 25 23:23:13 combo xinetd[26482]: warning: can't get client address", Some(Warn)),
        // klog
        ("E0101 12:00:00.000000       1 a.go:1] boom", Some(Error)),
        ("W0517 15:04:22.619751    2452992 logging_unittest.cc:263] x", Some(Warn)),
        ("E1101: Instance has no member", None),
        // logfmt
        ("time=\"2021-09-15T21:17:10Z\" level=warning msg=\"x\"", Some(Warn)),
        ("logger=settings t=2025-04-24T19:51:48Z level=info msg=\"error\"", Some(Info)),
        ("msg=\"level=error\" level=debug", Some(Debug)),
        ("time=2025-10-01T08:12:03Z level=ERROR msg=x", Some(Error)),
        ("severity=\"CRITICAL\" a=b", Some(Fatal)),
        // Stamp, then level, in many punctuations.
        ("2025-10-01T08:12:03.123Z\terror\tqueue_sender.go:128\tExporting failed.", Some(Error)),
        ("2025-10-01 08:12:03.123 | WARNING  | mod:fn:1 - slow", Some(Warn)),
        ("2025-10-01 08:12:03.1234|ERROR|Logger|x", Some(Error)),
        ("10:22:40,672:DEBUG:foo bar", Some(Debug)),
        ("2025-10-01 10:22:40,672:TRACE:foo bar", Some(Trace)),
        ("2025-10-01 08:12:03,123 - my.module - ERROR - x", Some(Error)),
        ("2025-10-01 08:12:03,123 my.module WARNING x", Some(Warn)),
        ("2025-10-01 08:12:03,123 1 CRITICAL db odoo.http: x", Some(Fatal)),
        ("2025-10-01T08:12:03.123Z  WARN app::db: slow", Some(Warn)),
        ("08:12:03.123 [main] ERROR c.e.Foo - x", Some(Error)),
        ("08:12:03.123 [error] GenServer terminating", Some(Error)),
        ("8:12AM ERR x error=\"y\"", Some(Error)),
        ("[08:12:03 ERR] x", Some(Error)),
        ("[08:12:03 INF] error handling enabled", Some(Info)),
        ("[2025-10-01 08:12:03,123: ERROR/MainProcess] Task x raised", Some(Error)),
        ("[2025-10-01T08:12:03Z WARN  my_crate] x", Some(Warn)),
        ("[2025-10-01 08:12:03.123][1][warning][main] x", Some(Warn)),
        ("[Sun Dec 04 04:47:44.123456 2005] [core:error] [pid 1] x", Some(Error)),
        ("[2025-10-01 08:12:03] local.ERROR: x", Some(Error)),
        ("[Nest] 12  - 10/01/2025, 8:12:03 AM   ERROR [X] y", Some(Error)),
        ("2020-08-06T14:25:02.835618Z 0 [Warning] [MY-010068] [Server] x", Some(Warn)),
        ("2025-08-13 01:46:12.212 PDT [12389] ERROR:  relation does not exist", Some(Error)),
        ("2025-08-13 01:46:12.212 PDT [12389] STATEMENT:  select 'ERROR: x'", None),
        ("- 1117838570 2005.06.03 R02 2005-06-03-15.42.50.675872 R02 RAS KERNEL FATAL x", Some(Fatal)),
        ("081109 214043 2561 WARN dfs.DataNode: Got exception", Some(Warn)),
        ("web-1  | WARNING: This is a development server.", Some(Warn)),
        ("2025-10-01T08:30:01.118202945Z stderr F WARN x", Some(Warn)),
        ("2025-10-01T08:30:01.118202945Z stderr F x", None),
        ("2025-10-01 08:12:03 error Failed to connect", Some(Error)),
        ("2025/10/01 08:12:03 error reading config: EOF", Some(Error)),
        // Level first.
        ("INFO:     127.0.0.1:5000 - \"GET / HTTP/1.1\" 500", Some(Info)),
        ("SEVERE: Servlet threw", Some(Error)),
        ("fail: Microsoft.AspNetCore.Server.Kestrel[13]", Some(Error)),
        ("crit: Microsoft.AspNetCore[6]", Some(Fatal)),
        ("warning: unused variable", Some(Warn)),
        ("error[E0433]: failed to resolve", Some(Error)),
        ("error Command failed with exit code 1.", Some(Error)),
        ("Error: connect ECONNREFUSED 127.0.0.1:5432", Some(Error)),
        ("(CRITICAL) disk", Some(Fatal)),
        ("[E] x", Some(Error)),
        ("*** WARNING *** x", Some(Warn)),
        ("\x1b[31merror\x1b[39m: x", Some(Error)),
        ("[\x1b[31mERROR\x1b[0m] x", Some(Error)),
        ("\x1b[33mwarn\x1b[39m \x1b[2mfoo", Some(Warn)),
        ("\n\nERROR x", Some(Error)),
        ("batch failed\nTraceback (most recent call last):\n  File", Some(Error)),
    ]);
}

#[test]
fn a_message_about_errors_is_not_an_error() {
    check(&[
        ("errors=0", None),
        ("error_count=0 level_reached=error", None),
        ("error=0 warnings=0", None),
        ("no errors", None),
        ("No ERROR found", None),
        ("0 failed", None),
        ("0 ERROR lines", None),
        ("finished: 0 errors", None),
        ("errors: 0", None),
        ("error: none", None),
        ("2025-10-01 08:12:03 error: null", None),
        ("terror", None),
        ("TERROR in the streets", None),
        ("ERRORS are counted", None),
        ("ERROR_COUNT=3", None),
        ("/error.html", None),
        ("GET /errors 200", None),
        ("TRACE /errors 405", None),
        ("\"GET /error HTTP/1.1\" 200", None),
        ("2025-10-01 08:12:03 GET /errors", None),
        ("INFO 2025 error handling enabled", Some(Info)),
        ("2025-10-01 08:12:03 INFO app - ERROR queue drained", Some(Info)),
        ("2025-10-01 08:12:03 error rate is within limits", None),
        ("2025-10-01 08:12:03 error handling enabled", None),
        ("Error handling is on", None),
        ("set log level=error for module x", None),
        ("log level set to ERROR", None),
        ("the job reported an ERROR", None),
        ("connection (error) reset", None),
        ("stderr closed", None),
        ("error::Kind is an enum", None),
        ("debug mode on", None),
        ("{\"level\":\"error\"}", None),
        ("ALERT the team about this", None),
        ("fine: all is well", None),
        ("config: loaded", None),
        ("log: opened", None),
        ("http://host/error: refused", None),
        ("[http://host/error] fetched", None),
        ("TypeErrors are rare", None),
        ("KeyError handling tested", None),
    ]);
}

#[test]
fn only_the_head_is_read() {
    let late = format!("{} ERROR x", "-".repeat(HEAD));
    assert_eq!(Level::of_text(late.as_bytes()), None);
    // The head ends within the word.
    for cut in 1..12 {
        let text = format!("{}information is not a level here", "-".repeat(HEAD - cut));
        assert_eq!(Level::of_text(text.as_bytes()), None, "{cut}");
    }
    let long = format!("ERROR {}", "x".repeat(1 << 20));
    assert_eq!(Level::of_text(long.as_bytes()), Some(Error));
}

proptest! {
    #[test]
    fn a_level_leads_a_line_in_every_usual_dress(
        level in proptest::sample::select(&Level::ALL[..]),
        stamp in "|2025-10-01T08:12:03\\.[0-9]{3}Z |2025/10/01 08:12:03 |\\[2025-10-01 08:12:03,123\\] |08:12:03 ",
        dress in 0_usize..6,
        message in "[ -~]{0,200}",
    ) {
        let upper = level.as_str().to_uppercase();
        let dressed = [
            format!("[{}]", level.as_str()),
            format!("[{upper}]"),
            format!("{upper}:"),
            format!("\x1b[31m{upper}\x1b[0m"),
            format!("| {upper} |"),
            format!("level={}", level.as_str()),
        ];
        let text = format!("{stamp}{} m{message}", dressed[dress]);
        prop_assert_eq!(Level::of_text(text.as_bytes()), Some(level), "{}", text);
    }

    #[test]
    fn what_follows_the_head_changes_nothing(
        head in "[ -~\x1b\n]{160,170}",
        one in proptest::collection::vec(any::<u8>(), 1..20),
        two in proptest::collection::vec(any::<u8>(), 1..20),
    ) {
        let (mut a, mut b) = (head.clone().into_bytes(), head.into_bytes());
        a.truncate(HEAD);
        b.truncate(HEAD);
        a.extend(one);
        b.extend(two);
        prop_assert_eq!(Level::of_text(&a), Level::of_text(&b));
    }

    #[test]
    fn no_input_panics(text in proptest::collection::vec(any::<u8>(), 0..200), n in any::<f64>()) {
        Level::of_text(&text);
        Level::from_name(&text);
        Level::from_number(n);
    }

    #[test]
    fn nothing_nearly_a_head_panics(text in "([\\[\\]()|:=\"<>{}\\\\ \t\r\n\x1b,.-]|ERROR|error|E0101|level|T|0|12:34:56|é|m){0,60}") {
        Level::of_text(text.as_bytes());
    }
}
