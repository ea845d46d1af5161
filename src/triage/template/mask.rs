//! Masks what varies in a message: numbers, identifiers, addresses, paths, times, quoted values, values of keys.
//!
//! One pass from left to right by hand, linear in the looked-at part of the message, without allocation once the
//! buffer has grown. Every mask is generic; none knows a program. What is left are tokens between white space, in which
//! each value is one placeholder byte below 0x10, so that no message can write a placeholder itself: control
//! characters of a message are white space.

mod number;
mod scan;
mod span;

/// The most bytes of a message that are looked at.
pub const MAX_BYTES: usize = 1024;

/// What stood in the place of a placeholder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    Number = 1,
    Hex = 2,
    Uuid = 3,
    Ip = 4,
    Path = 5,
    Url = 6,
    Quoted = 7,
    Time = 8,
    /// Below 0x10, and neither tab nor newline, which are easily lost on the way.
    Email = 0x0b,
    /// Letters and digits mixed beyond reading.
    Id = 0x0c,
    Duration = 0x0e,
    /// Anything: the value of a key, or what differed between messages.
    Any = 0x0f,
}

impl Kind {
    const ALL: [Kind; 12] = [
        Kind::Number,
        Kind::Hex,
        Kind::Uuid,
        Kind::Ip,
        Kind::Path,
        Kind::Url,
        Kind::Quoted,
        Kind::Time,
        Kind::Email,
        Kind::Id,
        Kind::Duration,
        Kind::Any,
    ];

    pub fn byte(self) -> u8 {
        self as u8
    }

    fn of(byte: u8) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.byte() == byte)
    }

    /// As people and models read it.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Number => "<num>",
            Kind::Hex => "<hex>",
            Kind::Uuid => "<uuid>",
            Kind::Ip => "<ip>",
            Kind::Path => "<path>",
            Kind::Url => "<url>",
            Kind::Quoted => "<str>",
            Kind::Time => "<time>",
            Kind::Email => "<email>",
            Kind::Id => "<id>",
            Kind::Duration => "<dur>",
            Kind::Any => "<*>",
        }
    }
}

pub fn is_placeholder(byte: u8) -> bool {
    byte < 0x10
}

/// A message with its values masked, one space between tokens; a buffer to be used again.
#[derive(Debug, Default)]
pub struct Masked {
    bytes: Vec<u8>,
    tokens: usize,
}

impl Masked {
    /// Masks at most [`MAX_BYTES`] of `message`, into at most `max_tokens` tokens.
    pub fn mask(&mut self, message: &[u8], max_tokens: usize) {
        let message = match message.get(..MAX_BYTES) {
            // Without the token that is cut.
            Some(cut) => cut.iter().rposition(|b| *b == b' ').and_then(|end| cut.get(..end)).unwrap_or(cut),
            None => message,
        };
        self.bytes.clear();
        self.tokens = 0;
        let mut scan = scan::Scan::new(message, &mut self.bytes);
        let mut last = 0;
        while self.tokens < max_tokens && scan.next_token() {
            if self.tokens > 0 {
                scan.out.push(b' ');
            }
            let start = scan.out.len();
            if scan.token() {
                scan.out.pop();
                continue;
            }
            // A list of values is one value, and a time of several tokens one time.
            if repeats(scan.out, last, start) {
                scan.out.drain(last..start);
                continue;
            }
            last = start;
            self.tokens += 1;
        }
    }

    /// Placeholders as bytes, tokens parted by one space.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub fn tokens(&self) -> usize {
        self.tokens
    }
}

/// Whether the token at `start`, the last one, says what the one at `last` did, and holds a value.
fn repeats(out: &[u8], last: usize, start: usize) -> bool {
    fn bare(token: &[u8]) -> &[u8] {
        token.strip_suffix(b",").unwrap_or(token)
    }
    let (Some(before), Some(token)) = (out.get(last..start.saturating_sub(1)), out.get(start..)) else { return false };
    let (before, token) = (bare(before), bare(token));
    // A hexadecimal number may look like any other.
    let number = |b: u8| b == Kind::Number.byte() || b == Kind::Hex.byte();
    last < start
        && before.len() == token.len()
        && token.iter().any(|b| is_placeholder(*b))
        && before.iter().zip(token).all(|(a, b)| a == b || number(*a) && number(*b))
}

/// Placeholders written out: `user <*> from <ip>`.
pub fn readable(masked: &[u8]) -> String {
    let mut text = Vec::with_capacity(masked.len() + 32);
    for byte in masked {
        match Kind::of(*byte) {
            Some(kind) => text.extend_from_slice(kind.as_str().as_bytes()),
            None => text.push(*byte),
        }
    }
    String::from_utf8_lossy(&text).into_owned()
}

/// The path of a request with what varies masked segment by segment, its query dropped: `/users/<num>/orders`.
/// At most [`MAX_BYTES`] and 16 segments.
pub fn request_path(path: &str) -> String {
    let bytes = path.as_bytes();
    let end = bytes.iter().position(|b| matches!(b, b'?' | b'#')).unwrap_or(bytes.len()).min(MAX_BYTES);
    let mut masked = Masked::default();
    let mut text = String::new();
    for (n, segment) in bytes.get(..end).unwrap_or_default().split(|b| *b == b'/').take(16).enumerate() {
        if n > 0 {
            text.push('/');
        }
        masked.mask(segment, 4);
        text.push_str(&readable(masked.as_bytes()));
    }
    text
}

#[cfg(test)]
mod tests;
