//! What a basket costs. Revision 42 brought vouchers, and with them a bug: that is what `bad_deploy` deploys.

/// One kind of thing in a basket.
#[derive(Clone, Copy, Debug)]
pub struct Line {
    pub cents: u64,
    pub pieces: u64,
    /// It costs nothing.
    pub is_gift: bool,
}

/// The revision before the one with the bug, and that one.
pub const SOUND: u32 = 41;
pub const BROKEN: u32 = 42;

/// Taken off a basket whose pieces cost this much on average, in cents.
const VOUCHER: u64 = 500;
const VOUCHER_FROM: u64 = 1000;

/// In cents.
pub fn total(lines: &[Line], revision: u32) -> u64 {
    let paid = lines.iter().filter(|line| !line.is_gift);
    let (cents, pieces) =
        paid.fold((0, 0), |(cents, pieces), line| (cents + line.cents * line.pieces, pieces + line.pieces));
    if revision >= BROKEN { cents - voucher(cents, pieces) } else { cents }
}

/// What a voucher takes off.
fn voucher(cents: u64, pieces: u64) -> u64 {
    let average = cents / pieces;
    if average >= VOUCHER_FROM { VOUCHER } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOOK: Line = Line { cents: 1200, pieces: 2, is_gift: false };
    const BOOKMARK: Line = Line { cents: 100, pieces: 1, is_gift: true };

    #[test]
    fn gifts_cost_nothing_and_a_voucher_is_for_dear_things() {
        assert_eq!(total(&[BOOK, BOOKMARK], SOUND), 2400);
        assert_eq!(total(&[BOOK, BOOKMARK], BROKEN), 1900);
        assert_eq!(total(&[Line { cents: 10, ..BOOK }], BROKEN), 20);
        assert_eq!(total(&[BOOKMARK], SOUND), 0);
    }

    #[test]
    #[should_panic(expected = "attempt to divide by zero")]
    fn the_bug_of_revision_42_is_a_basket_of_gifts() {
        total(&[BOOKMARK], BROKEN);
    }
}
