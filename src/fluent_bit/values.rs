//! Values as Fluent Bit understands them, its surprises included.

/// `true`, `on`, `yes` and their opposites in any case; anything else is neither.
pub(super) fn boolean(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "on" | "yes" => Some(true),
        "false" | "off" | "no" => Some(false),
        _ => None,
    }
}

/// The number a text begins with, as C's `atoi` reads it.
pub(super) fn leading(text: &str) -> i64 {
    let text = text.trim_start();
    let (sign, digits) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let mut number: i64 = 0;
    for digit in digits.chars().map_while(|c| c.to_digit(10)) {
        number = number.saturating_mul(10).saturating_add(i64::from(digit));
    }
    number.saturating_mul(sign)
}

/// A time in seconds: a number and perhaps `m`, `h` or `d`.
pub(super) fn seconds(text: &str) -> i64 {
    let unit = match text.trim_end().chars().last().map(|c| c.to_ascii_lowercase()) {
        Some('d') => 86_400,
        Some('h') => 3_600,
        Some('m') => 60,
        _ => 1,
    };
    leading(text).saturating_mul(unit)
}

/// A size in bytes: a number and perhaps `K`, `M`, `G`, of thousands. `None`: no limit.
pub(super) fn bytes(text: &str) -> Option<i64> {
    let upper = text.trim().to_ascii_uppercase();
    let upper = upper.strip_suffix('B').unwrap_or(&upper);
    let unit = match upper.chars().last() {
        Some('K') => 1_000,
        Some('M') => 1_000_000,
        Some('G') => 1_000_000_000,
        _ => 1,
    };
    let bytes = leading(upper).saturating_mul(unit);
    (bytes > 0).then_some(bytes)
}

/// How often a chunk is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Retries {
    None,
    Times(i64),
    Unlimited,
}

/// Of `Retry_Limit`; what is no number above zero counts as the default, 1.
pub(super) fn retries(text: Option<&str>) -> Retries {
    match text.unwrap_or("1").to_ascii_lowercase().as_str() {
        "no_limits" | "false" | "off" => Retries::Unlimited,
        "no_retries" => Retries::None,
        number => Retries::Times(leading(number)).at_least_one(),
    }
}

impl Retries {
    fn at_least_one(self) -> Self {
        if let Self::Times(times) = self { Self::Times(times.max(1)) } else { self }
    }
}

/// The longest and shortest that a chunk lives with so many retries: each waits between `base` and twice as long
/// as before, up to `cap`, and one second more.
pub(super) fn patience(times: i64, base: i64, cap: i64) -> (i64, i64) {
    let times = times.clamp(0, 1_000);
    let longest = (1..=times).map(|nth| longest_wait(nth, base, cap)).fold(0, i64::saturating_add);
    (times.saturating_mul(base.saturating_add(1)), longest)
}

pub(super) fn longest_wait(nth: i64, base: i64, cap: i64) -> i64 {
    let doubled = base.saturating_mul(1_i64.checked_shl(nth.clamp(0, 40) as u32).unwrap_or(i64::MAX));
    doubled.min(cap).saturating_add(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_as_fluent_bit_does() {
        assert_eq!([boolean("On"), boolean("no"), boolean("1")], [Some(true), Some(false), None]);
        assert_eq!([leading("12x"), leading("-3"), leading("x")], [12, -3, 0]);
        assert_eq!([seconds("30"), seconds("2m"), seconds("1H"), seconds("10s")], [30, 120, 3_600, 10]);
        assert_eq!(
            [bytes("5MB"), bytes("2g"), bytes("off"), bytes("0"), bytes("7")],
            [Some(5_000_000), Some(2_000_000_000), None, None, Some(7)]
        );
        for (text, expected) in [
            (None, Retries::Times(1)),
            (Some("False"), Retries::Unlimited),
            (Some("no_limits"), Retries::Unlimited),
            (Some("no_retries"), Retries::None),
            (Some("5"), Retries::Times(5)),
            (Some("0"), Retries::Times(1)),
            (Some("many"), Retries::Times(1)),
        ] {
            assert_eq!(retries(text), expected, "{text:?}");
        }
    }

    #[test]
    fn patience_is_what_was_measured() {
        assert_eq!(patience(1, 5, 2000), (6, 11));
        assert_eq!(patience(2, 5, 2000), (12, 32));
        assert_eq!(longest_wait(3, 5, 2000), 41);
        assert_eq!(longest_wait(60, 5, 2000), 2001);
        assert_eq!(longest_wait(i64::MAX, i64::MAX, i64::MAX), i64::MAX);
    }
}
