use proptest::prelude::*;

use super::*;

fn masked(text: &str) -> String {
    let mut masked = Masked::default();
    masked.mask(text.as_bytes(), 64);
    readable(masked.as_bytes())
}

fn table(rows: &[(&str, &str)]) {
    for (text, expected) in rows {
        assert_eq!(masked(text), *expected, "{text}");
    }
}

#[test]
fn numbers_are_masked_with_sign_unit_and_thousands() {
    table(&[
        ("took 5", "took <num>"),
        ("took -5, +3.25 or 1,234,567", "took <num> or <num>"),
        ("free 384.9 MB, of 2 GiB", "free <num>, of <num>"),
        ("at 93% with 5KB and 12 kB/s", "at <num> with <num> and <num> kB/s"),
        ("1e9 2.5E-3", "<num>"),
        ("exit(1) [7] <8>", "exit(<num>) [<num>] <<num>>"),
        ("blk_-689 blk_7", "blk_<num>"),
        ("attempt_1445144423722_0020_m_000000_0", "attempt_<num>_m_<num>"),
        ("worker-12 ssh2 L3 r2d", "worker-<num> ssh<num> L<num> r<num>d"),
        ("a-b x - y", "a-b x - y"),
        ("release 2.6.5-rc1", "release <num>-rc<num>"),
        ("ids 1 2 3 4", "ids <num>"),
        ("space...............0", "space... <num>"),
        ("wait...", "wait..."),
    ]);
}

#[test]
fn durations_and_times_are_masked() {
    table(&[
        ("after 15ms or 1m30s or 1h2m3.5s", "after <dur> or <dur> or <dur>"),
        ("for 12 seconds.", "for <dur>."),
        ("at 2017-05-16T13:53:08.123Z.", "at <time>."),
        ("at 2017-05-16 13:53:08,123 then", "at <time> then"),
        ("at 2017-05-16T13:53:08+02:00", "at <time>"),
        ("on 16/May/2017:13:53:08 -0700", "on <time> <num>"),
        ("at Mon Jun 20 03:40:59 2005", "at <time>"),
        ("Jun 14 15:16:01 host", "<time> host"),
        ("in May we", "in May we"),
        ("at 07:45 UTC", "at <time>"),
    ]);
}

#[test]
fn addresses_are_masked() {
    table(&[
        ("from 10.0.0.1 to 10.0.0.2:8080", "from <ip> to <ip>"),
        ("src: /10.251.73.220:50010 dest: /10.0.0.0/8", "src: /<ip> dest: /<ip>"),
        ("peer fe80::1ff:fe23:4567:890a up", "peer <ip> up"),
        ("peer 2001:db8:0:0:0:ff00:42:8329", "peer <ip>"),
        ("std::bad_alloc thrown", "std::bad_alloc thrown"),
        ("mail to a.b+c@example.com, done", "mail to <email>, done"),
        ("see https://example.com/a?b=c, then", "see <url>, then"),
        ("hdfs://10.0.0.1:9000/x/y:7168+7168", "<url>"),
        ("host/10.0.0.1:80", "host/<ip>"),
    ]);
}

#[test]
fn paths_are_masked() {
    table(&[
        ("open /var/log/x.log: no", "open <path>: no"),
        ("open \"/var/log\"", "open \"<str>\""),
        ("GET /api/users/5?x=1 HTTP/1.1", "GET <path> HTTP/<num>"),
        ("in src/main/java/App.java.", "in <path>."),
        ("either and/or TCP/IP", "either and/or TCP/IP"),
        ("open C:\\dir\\file.txt now", "open <path> now"),
        ("a / b", "a / b"),
        ("/* comment */", "/* comment */"),
    ]);
}

#[test]
fn identifiers_are_masked() {
    table(&[
        ("req 3f2504e0-4f89-11d3-9a0c-0305e82c3301 done", "req <uuid> done"),
        ("at 0x7fff12ab", "at <hex>"),
        ("commit 9f86d081884c7d65 by", "commit <hex> by"),
        ("deadbeef facade", "deadbeef facade"),
        ("key xK9dQ2mP7w", "key <id>"),
        ("nova-3fa9 r1000e utf8", "nova-<hex> r<num>e utf<num>"),
    ]);
}

#[test]
fn values_of_keys_are_masked_and_keys_kept() {
    table(&[
        ("uid=0 user=root host=a.b tty= end", "uid=<num> user=<*> host=<*> tty=<*> end"),
        ("a=1,b=x;c=(d)", "a=<num>,b=<*>;c=(d)"),
        ("x == y", "x == y"),
        ("reason=missing status=ok state=Idle code=E1", "reason=missing status=ok state=Idle code=E<num>"),
        ("result=timeout", "result=timeout"),
        ("user=failed", "user=failed"),
        ("mem=<memory:5, cores:7>", "mem=<memory:<num>, cores:<num>>"),
        ("name=\"bob\" title=\"a b\"", "name=\"<str>\" title=\"<str>\""),
    ]);
}

#[test]
fn quoted_values_are_masked_unless_they_say_what_happened() {
    table(&[
        ("no such user 'bob'.", "no such user '<str>'."),
        ("file \"my photo\" stored", "file \"<str>\" stored"),
        ("it isn't here, isn't it", "it isn't here, isn't it"),
        ("err \"connection refused\" seen", "err \"connection refused\" seen"),
        ("error: \"disk on fire\"", "error: \"disk on fire\""),
        ("\"GET /x HTTP/1.1\" 200", "\"GET <path> HTTP/<num>\" <num>"),
        ("{\"user\":\"bob\",\"reason\":\"late\"}", "{\"user\":\"<str>\",\"reason\":\"late\"}"),
        ("an \" alone", "an \" alone"),
    ]);
}

#[test]
fn a_list_of_values_is_one_value() {
    assert_eq!(masked("delete blk_1 blk_2 blk_3"), masked("delete blk_1"));
    assert_eq!(masked("peers 10.0.0.1, 10.0.0.2, 10.0.0.3 lost"), masked("peers 10.0.0.9 lost"));
    assert_eq!(masked("ha ha ha"), "ha ha ha");
}

#[test]
fn control_characters_are_white_space_and_write_no_placeholder() {
    assert_eq!(masked("a\x01b\x04\n\tc\x7fd"), "a b c d");
}

#[test]
fn paths_of_requests_keep_their_words() {
    for (path, expected) in [
        ("/users/17/orders?x=1", "/users/<num>/orders"),
        ("/v2/54fadb412c4e40cdbaed9335e4c35a9e/servers/detail", "/v<num>/<hex>/servers/detail"),
        ("/", "/"),
        ("", ""),
        ("/a/3f2504e0-4f89-11d3-9a0c-0305e82c3301", "/a/<uuid>"),
        ("/static/index.html#top", "/static/index.html"),
    ] {
        assert_eq!(request_path(path), expected);
    }
}

#[test]
fn only_the_head_of_a_long_message_counts() {
    let long = "word ".repeat(1000);
    let mut masked = Masked::default();
    masked.mask(long.as_bytes(), usize::MAX);
    assert!(masked.as_bytes().len() <= MAX_BYTES);
    masked.mask(long.as_bytes(), 7);
    assert_eq!(masked.tokens(), 7);
    assert_eq!(masked.as_bytes(), b"word word word word word word word");
}

/// Text of what masks look for, so that their borders meet.
fn hostile() -> impl Strategy<Value = Vec<u8>> {
    let pieces = prop::sample::select(vec![
        "/",
        "\"",
        "'",
        "`",
        "=",
        ":",
        "::",
        "-",
        "+",
        ".",
        "...",
        ",",
        "@",
        "0x",
        "0",
        "12",
        "255",
        "e",
        "T",
        "Z",
        "a",
        "f",
        "zz",
        "http://",
        "Jun ",
        "Mon ",
        "\\",
        "C:\\",
        " ",
        "\n",
        "µs",
        "ms",
        "%",
        "(",
        ")",
        "[",
        "]",
        "<",
        ">",
        "{",
        "error=",
        "key=",
        "3f2504e0-4f89-11d3-9a0c-0305e82c3301",
        "16/May/",
        "_",
        "\u{1}",
        "KB",
    ]);
    prop_oneof![
        prop::collection::vec(pieces, 0..60).prop_map(|p| p.concat().into_bytes()),
        prop::collection::vec(any::<u8>(), 0..2000),
    ]
}

proptest! {
    #[test]
    fn any_bytes_are_masked_within_bounds(bytes in hostile(), max in 0..20_usize) {
        let mut masked = Masked::default();
        masked.mask(&bytes, max);
        prop_assert!(masked.tokens() <= max);
        prop_assert!(masked.as_bytes().len() <= 2 * MAX_BYTES);
        prop_assert!(!masked.as_bytes().iter().any(|b| *b == b'\n' || *b == b'\t' || *b == 0));
        let again = masked.as_bytes().to_vec();
        masked.mask(&bytes, max);
        prop_assert_eq!(again, masked.as_bytes());
        request_path(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn what_stands_beyond_the_looked_at_part_changes_nothing(bytes in hostile(), more in hostile()) {
        let mut long = bytes;
        long.resize(MAX_BYTES, b'x');
        let (mut one, mut other) = (Masked::default(), Masked::default());
        one.mask(&[long.clone(), b" y".to_vec()].concat(), 1000);
        other.mask(&[long, b" ".to_vec(), more].concat(), 1000);
        prop_assert_eq!(one.as_bytes(), other.as_bytes());
    }

    #[test]
    fn digits_of_a_number_change_nothing(a in 0..u32::MAX, b in 0..u32::MAX) {
        prop_assert_eq!(masked(&format!("job {a} took {b} ms, v={a}")), masked("job 1 took 2 ms, v=3"));
    }

    #[test]
    fn words_stay(words in prop::collection::vec("[g-z]{2,9}", 1..9)) {
        let text = words.join(" ");
        prop_assert_eq!(masked(&text), text);
    }
}
