//! Answers of the payment page.

/// The sentence that a customer reads.
pub fn thanks(card: &str) -> String {
    let mask = pay_core::masked(card);
    let words = format!("Paid with {mask}.");
    // The page has room for forty characters.
    words
        .chars()
        .take(40)
        .collect()
}

/// The same for the printed receipt.
pub fn receipt(card: &str, cents: u64) -> String {
    format!("{} {cents}", thanks(card))
}
