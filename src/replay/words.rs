//! Numbers and times as people read them.

use jiff::Timestamp;
use jiff::tz::TimeZone;

pub use crate::notify::notice::thousands;
use crate::notify::text;
use crate::redact::Redacted;

/// `1.2 GB`: thousands, as disks are sold.
pub fn bytes(count: u64) -> String {
    let mut value = count as f64;
    for unit in ["B", "kB", "MB", "GB"] {
        if value < 999.5 {
            return if unit == "B" || value >= 99.5 {
                format!("{value:.0} {unit}")
            } else {
                format!("{value:.1} {unit}")
            };
        }
        value /= 1000.0;
    }
    format!("{value:.1} TB")
}

/// `3 h 12 min`.
pub fn lasting(ms: i64) -> String {
    let seconds = ms / 1000;
    match seconds {
        ..=0 => "under 1 s".to_owned(),
        1..120 => format!("{seconds} s"),
        120..3600 => format!("{} min", seconds / 60),
        3600..172_800 => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// `60 s`, `5 min`, `1 h`: a window, never rounded.
pub fn window(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        _ if seconds.is_multiple_of(3600) => format!("{} h", seconds / 3600),
        _ if seconds.is_multiple_of(60) => format!("{} min", seconds / 60),
        _ => format!("{seconds} s"),
    }
}

/// `2025-10-01 08:12:03`, UTC.
pub fn moment(ms: i64) -> String {
    let edge = if ms < 0 { Timestamp::MIN } else { Timestamp::MAX };
    let at = Timestamp::from_millisecond(ms).unwrap_or(edge).to_zoned(TimeZone::UTC).datetime();
    format!("{} {:02}:{:02}:{:02}", at.date(), at.hour(), at.minute(), at.second())
}

/// One line of text that is not ours, in so many columns.
pub fn fitted(text: &str, columns: usize) -> String {
    let clean = Redacted::new(text).one_line();
    let shown = clean.as_str().chars().map(|c| if c.is_control() { '\u{fffd}' } else { c });
    let mut fit: String = shown.clone().take(columns).collect();
    if shown.count() > columns {
        fit.pop();
        fit.push('…');
    }
    fit
}

/// A name that is not ours, without what a terminal would obey or not show.
pub fn visible(name: &str) -> String {
    name.chars().map(|c| if c == '\t' { '\u{fffd}' } else { text::visible(c) }).collect()
}

/// A file's name as it is typed: one word, whatever is in it, and no option.
pub fn shell(name: &str) -> String {
    let name = if name.starts_with('-') && name != "-" { format!("./{name}") } else { name.to_owned() };
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '-' | '_' | '+' | ':' | '=' | ',');
    let is_plain = !name.is_empty() && name.chars().all(plain);
    if is_plain { name } else { format!("'{}'", name.replace('\'', "'\\''")) }
}

/// `1 line`, `2 lines`.
pub fn many(count: u64, one: &str, more: &str) -> String {
    format!("{} {}", thousands(count), if count == 1 { one } else { more })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_times_are_short() {
        let sizes = [
            (0, "0 B"),
            (999, "999 B"),
            (1_000, "1.0 kB"),
            (123_456, "123 kB"),
            (9_960_000_000, "10.0 GB"),
            (5_000_000_000_000, "5.0 TB"),
        ];
        for (count, text) in sizes {
            assert_eq!(bytes(count), text);
        }
        for (ms, text) in [
            (0, "under 1 s"),
            (59_000, "59 s"),
            (3_599_000, "59 min"),
            (7_260_000, "2 h 1 min"),
            (172_800_000, "2 days"),
        ] {
            assert_eq!(lasting(ms), text);
        }
        assert_eq!(moment(1_759_306_323_999), "2025-10-01 08:12:03");
        assert_eq!(fitted("größer\u{1b}[31m als\nzwei", 9).chars().count(), 9);
    }
}
