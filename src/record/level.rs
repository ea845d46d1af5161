//! How bad a line says it is, in whichever dialect it says so.
//!
//! Six levels stand for all of them. Names and numbers are looked up here; of a plain text [`head`] reads the
//! beginning. In doubt the answer is `None`, which the caller treats as info.

mod head;

/// How bad. Ordered: `Error >= Warn`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Level {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
    Fatal,
}

/// Longest name of a level, and so the longest word worth comparing.
const LONGEST_NAME: usize = 13;

impl Level {
    /// From the least to the worst.
    pub const ALL: [Level; 6] = [Level::Trace, Level::Debug, Level::Info, Level::Warn, Level::Error, Level::Fatal];

    /// The name in our own dialect, the one filters are written in.
    pub fn as_str(self) -> &'static str {
        match self {
            Level::Trace => "trace",
            Level::Debug => "debug",
            Level::Info => "info",
            Level::Warn => "warn",
            Level::Error => "error",
            Level::Fatal => "fatal",
        }
    }

    /// The level of that name in any logger's dialect, in upper or lower case, padded or not.
    pub fn from_name(name: &[u8]) -> Option<Level> {
        let name = name.trim_ascii();
        // OpenTelemetry and Postgres number the finer steps: WARN2, DEBUG5.
        let stem = match name {
            [stem @ .., b'1'..=b'5'] => stem,
            _ => name,
        };
        let mut buffer = [0; LONGEST_NAME];
        let lower = buffer.get_mut(..stem.len())?;
        lower.copy_from_slice(stem);
        lower.make_ascii_lowercase();
        let level = match &*lower {
            b"trace" | b"trc" | b"trce" | b"verbose" | b"vrb" | b"finest" | b"finer" | b"t" | b"v" => Level::Trace,
            b"debug" | b"dbg" | b"dbug" | b"fine" | b"config" | b"d" => Level::Debug,
            b"info" | b"inf" | b"information" | b"informational" | b"notice" | b"note" | b"log" | b"success" | b"i" => {
                Level::Info
            }
            b"warn" | b"warning" | b"wrn" | b"w" => Level::Warn,
            b"error" | b"err" | b"severe" | b"fail" | b"e" => Level::Error,
            b"fatal" | b"ftl" | b"critical" | b"crit" | b"panic" | b"pnc" | b"dpanic" | b"emerg" | b"emergency"
            | b"alert" | b"f" | b"c" => Level::Fatal,
            _ => return None,
        };
        // Only these count steps; "error1" or "alert3" is some other word.
        let stepped = matches!(&*lower, b"trace" | b"debug" | b"info" | b"warn" | b"error" | b"fatal" | b"d");
        (stem.len() == name.len() || stepped).then_some(level)
    }

    /// The level of that number: pino's and bunyan's 10 to 60, syslog's 0 to 7, logback's 5000 to
    /// 40000. A number between two of pino's or logback's steps counts as the lower one.
    pub fn from_number(n: f64) -> Option<Level> {
        match n {
            // Syslog counts the other way round and knows no steps between.
            0.0 | 1.0 | 2.0 => Some(Level::Fatal),
            3.0 => Some(Level::Error),
            4.0 => Some(Level::Warn),
            5.0 | 6.0 => Some(Level::Info),
            7.0 => Some(Level::Debug),
            10.0..20.0 | 5000.0..10000.0 => Some(Level::Trace),
            20.0..30.0 | 10000.0..20000.0 => Some(Level::Debug),
            30.0..40.0 | 20000.0..30000.0 => Some(Level::Info),
            40.0..50.0 | 30000.0..40000.0 => Some(Level::Warn),
            50.0..60.0 | 40000.0 => Some(Level::Error),
            60.0 => Some(Level::Fatal),
            _ => None,
        }
    }

    /// The level of that `SeverityNumber` of OpenTelemetry: four steps each, 1 to 24.
    pub fn from_otlp(n: f64) -> Option<Level> {
        match n {
            1.0..5.0 => Some(Level::Trace),
            5.0..9.0 => Some(Level::Debug),
            9.0..13.0 => Some(Level::Info),
            13.0..17.0 => Some(Level::Warn),
            17.0..21.0 => Some(Level::Error),
            21.0..25.0 => Some(Level::Fatal),
            _ => None,
        }
    }

    /// The level of an answer with that status.
    pub fn of_status(status: u16) -> Level {
        match status {
            500..=599 => Level::Error,
            400..=499 => Level::Warn,
            _ => Level::Info,
        }
    }

    /// What a plain line says of itself, if it does.
    pub fn of_text(text: &[u8]) -> Option<Level> {
        head::level(text)
    }
}

/// Has it the head of klog and glog?
pub fn is_klog(text: &[u8]) -> bool {
    matches!(text.first(), Some(b'I' | b'W' | b'E' | b'F')) && head::klog(text)
}

#[cfg(test)]
mod tests;
