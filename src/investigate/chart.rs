//! How the counts of an escalation's windows went, by minute or a larger unit, as bars of text.

use crate::ledger::window::{Bucket, Width};
use crate::notify::alerts::rfc3339;
use crate::notify::notice::thousands;

/// In minutes: what one row may stand for.
const UNITS: [i64; 7] = [1, 5, 15, 30, 60, 120, 240];
/// Rows shown, the newest: half an hour by the minute, a day by the hour.
const ROWS_MAX: i64 = 30;
/// Length of the longest bar, in characters.
const BAR: u64 = 40;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chart {
    /// What a row stands for, in minutes.
    pub minutes: i64,
    /// Begin of each row, unix milliseconds, and its count. Ascending, without gaps.
    rows: Vec<(i64, u64)>,
    /// Older rows with something in them are left out.
    pub older: bool,
}

impl Chart {
    /// Of the windows' buckets, added up. A bucket counts in the row in which it begins. `None`: there are none.
    pub fn of<'w>(windows: impl Iterator<Item = (Width, &'w [(Bucket, u64)])>) -> Option<Chart> {
        let mut widest = 0;
        let mut counts: Vec<(i64, u64)> = Vec::new();
        for (width, buckets) in windows {
            widest = widest.max(width.millis() / 60);
            counts.extend(buckets.iter().map(|(bucket, count)| (width.start_ms(*bucket), *count)));
        }
        let (first, last) = (counts.iter().map(|(at, _)| *at).min()?, counts.iter().map(|(at, _)| *at).max()?);
        let fits = |minutes: &&i64| {
            let unit = **minutes * 60_000;
            unit >= widest && last.div_euclid(unit) - first.div_euclid(unit) < ROWS_MAX
        };
        let minutes = UNITS.iter().find(fits).or(UNITS.last()).copied()?;
        let unit = minutes * 60_000;
        let (first, last) = (first.div_euclid(unit), last.div_euclid(unit));
        let from = first.max(last - ROWS_MAX + 1);
        let mut rows: Vec<(i64, u64)> = (from..=last).map(|row| (row * unit, 0)).collect();
        for (at, count) in counts {
            let row = usize::try_from(at.div_euclid(unit) - from).ok().and_then(|row| rows.get_mut(row));
            if let Some((_, sum)) = row {
                *sum = sum.saturating_add(count);
            }
        }
        Some(Chart { minutes, rows, older: first < from })
    }

    /// One line a row.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        let most = self.rows.iter().map(|(_, count)| *count).max().unwrap_or(0).max(1);
        let digits = thousands(most).len();
        self.rows.iter().map(move |(at_ms, count)| {
            let at = rfc3339(*at_ms);
            let minute = at.get(..16).unwrap_or(&at).replace('T', " ");
            // What is not nothing is seen.
            let bar = (u128::from(*count) * u128::from(BAR)).div_ceil(u128::from(most));
            let bar = "#".repeat(usize::try_from(bar).unwrap_or(0));
            format!("{minute}  {:>digits$}  {bar}", thousands(*count)).trim_end().to_owned()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-22 14:00 UTC.
    const T0: i64 = 1_795_356_000_000;

    fn chart(window_seconds: u32, counts: &[(i64, u64)]) -> Option<Chart> {
        let width = Width::of_seconds(window_seconds);
        let buckets: Vec<_> = counts.iter().map(|(after, count)| (width.bucket(T0 + after * 1000), *count)).collect();
        Chart::of([(width, buckets.as_slice())].into_iter())
    }

    fn lines(chart: &Chart) -> Vec<String> {
        chart.lines().collect()
    }

    #[test]
    fn a_minute_is_a_row_and_a_quiet_one_too() {
        let chart = chart(60, &[(0, 3), (59, 1), (130, 2000), (185, 500)]).expect("counts");
        assert_eq!((chart.minutes, chart.older), (1, false));
        assert_eq!(
            lines(&chart),
            [
                "2026-11-22 14:00      4  #",
                "2026-11-22 14:01      0",
                "2026-11-22 14:02  2,000  ########################################",
                "2026-11-22 14:03    500  ##########",
            ]
        );
    }

    #[test]
    fn a_longer_window_has_longer_rows_and_never_more_than_thirty() {
        for (window_seconds, span_seconds, minutes, rows) in
            [(60, 29 * 60, 1, 30), (60, 30 * 60, 5, 7), (3600, 3600, 5, 13), (86_400, 86_400, 60, 25)]
        {
            let chart = chart(window_seconds, &[(0, 1), (span_seconds, 1)]).expect("counts");
            assert_eq!((chart.minutes, chart.rows.len(), chart.older), (minutes, rows, false), "{window_seconds}");
        }
        let backlog = chart(60, &[(0, 1), (90 * 86_400, 1)]).expect("counts");
        assert_eq!((backlog.minutes, backlog.rows.len(), backlog.older), (240, 30, true));
    }

    #[test]
    fn windows_add_up_and_none_is_no_chart() {
        let width = Width::of_seconds(60);
        let buckets = [(width.bucket(T0), u64::MAX)];
        let both = Chart::of([(width, &buckets[..]), (width, &buckets[..])].into_iter()).expect("counts");
        assert_eq!(both.rows, [(T0, u64::MAX)]);
        assert!(lines(&both)[0].ends_with(&format!("  {}", "#".repeat(40))));
        assert_eq!(Chart::of([(width, &[][..])].into_iter()), None);
    }
}
