//! For how long a server asks to be left alone.

use std::time::Duration;

use super::http::Answer;

/// What is waited where a server says "too many" and not for how long.
const UNSAID: Duration = Duration::from_secs(20);

/// The longest pause that the answer names: limits are on requests and on tokens, and both must have passed.
pub(crate) fn pause(answer: &Answer) -> Option<Duration> {
    let in_milliseconds = || Some(seconds(answer.header("retry-after-ms")?)? / 1000);
    let retry_after = in_milliseconds().or_else(|| after(answer.header("retry-after")?, answer.header("date")));
    let reset = |name| answer.header(name).and_then(length);
    // Which of the two limits was met is told by what remains; both have a reset at all times.
    let spent = |name| answer.header(name).is_some_and(|left| left.trim() == "0");
    let resets = [
        ("x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"),
        ("x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"),
    ];
    let met = resets.iter().filter(|(remaining, _)| spent(remaining)).filter_map(|(_, name)| reset(name)).max();
    let any = || resets.iter().filter_map(|(_, name)| reset(name)).max();
    match retry_after.max(met) {
        None if answer.status == 429 => Some(any().unwrap_or(UNSAID)),
        pause => pause,
    }
}

/// `Retry-After`, in seconds or as a date. The server's own clock says how far away that is, for ours may differ.
fn after(text: &str, date: Option<&str>) -> Option<Duration> {
    let until = || {
        let until = httpdate::parse_http_date(text.trim()).ok()?;
        until.duration_since(httpdate::parse_http_date(date?.trim()).ok()?).ok()
    };
    seconds(text).or_else(until)
}

/// Also in fractions.
fn seconds(text: &str) -> Option<Duration> {
    let seconds: f64 = text.trim().parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok()
}

/// `1m30s`, `7.66s`, `120ms`, `2h`, or seconds.
fn length(text: &str) -> Option<Duration> {
    if let Some(plain) = seconds(text) {
        return Some(plain);
    }
    let mut total = Duration::ZERO;
    let mut rest = text.trim();
    while !rest.is_empty() {
        let unit = rest.find(|c: char| !(c.is_ascii_digit() || c == '.'))?;
        let (number, behind) = rest.split_at(unit);
        let end = behind.find(|c: char| c.is_ascii_digit()).unwrap_or(behind.len());
        let (unit, behind) = behind.split_at(end);
        let scale = match unit {
            "ms" => 0.001,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            "d" => 86400.0,
            _ => return None,
        };
        let part = Duration::try_from_secs_f64(number.parse::<f64>().ok()? * scale).ok()?;
        total = total.checked_add(part)?;
        rest = behind;
    }
    (total > Duration::ZERO).then_some(total)
}

#[cfg(test)]
mod tests {
    use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

    use super::*;

    type Headers = [(&'static str, &'static str)];

    fn asked(status: u16, headers: &Headers) -> Option<f64> {
        let header = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        let headers: HeaderMap = headers.iter().map(header).collect();
        pause(&Answer { status, headers, body: Vec::new() }).map(|pause| pause.as_secs_f64())
    }

    #[test]
    fn the_pause_is_the_one_of_the_limit_that_was_met() {
        const REQUESTS: &str = "x-ratelimit-reset-requests";
        const TOKENS: &str = "x-ratelimit-reset-tokens";
        #[rustfmt::skip]
        let cases: &[(u16, &Headers, Option<f64>)] = &[
            (429, &[("retry-after", "7")], Some(7.0)),
            (429, &[("retry-after", "2.5")], Some(2.5)),
            (503, &[("retry-after", "7")], Some(7.0)),
            (503, &[], None),
            (429, &[], Some(20.0)),
            (429, &[("retry-after", "Wed, 21 Oct 2026 07:28:00 GMT")], Some(20.0)),
            (429, &[("retry-after", "Wed, 21 Oct 2026 07:28:00 GMT"), ("date", "Wed, 21 Oct 2026 07:27:50 GMT")], Some(10.0)),
            (503, &[("retry-after", "Wed, 21 Oct 2026 07:28:00 GMT"), ("date", "Wed, 21 Oct 2026 07:28:50 GMT")], None),
            (429, &[("retry-after-ms", "1500"), ("retry-after", "9")], Some(1.5)),
            (429, &[("retry-after", "-1")], Some(20.0)),
            (429, &[(REQUESTS, "1m30s"), (TOKENS, "120ms")], Some(90.0)),
            (429, &[(REQUESTS, "2h"), ("x-ratelimit-remaining-tokens", "0"), (TOKENS, "7.66s")], Some(7.66)),
            (429, &[("retry-after", "1"), ("x-ratelimit-remaining-tokens", "0"), (TOKENS, "8s")], Some(8.0)),
            (429, &[(TOKENS, "soon")], Some(20.0)),
            (429, &[(TOKENS, "1e999s")], Some(20.0)),
            (429, &[(TOKENS, "9999999999999999999999d")], Some(20.0)),
        ];
        for (status, headers, want) in cases {
            assert_eq!(asked(*status, headers), *want, "{headers:?}");
        }
    }
}
