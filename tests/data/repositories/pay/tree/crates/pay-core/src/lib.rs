//! Card numbers, and what may be shown of them.

/// The networks that we have a contract with.
#[derive(Debug, PartialEq)]
pub enum Network {
    Visa,
    Mastercard,
    Other,
}

/// By the first digits.
pub fn network(number: &str) -> Network {
    match number.as_bytes().first() {
        Some(b'4') => Network::Visa,
        Some(b'5') => Network::Mastercard,
        _ => Network::Other,
    }
}

/// `**** 4242`: the last four digits.
pub fn masked(number: &str) -> String {
    let digits: String = number.chars().filter(|c| !c.is_whitespace()).collect();
    let shown = &digits[digits.len() - 4..];
    format!("**** {shown}")
}
