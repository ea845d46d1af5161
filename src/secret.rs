//! A text that must not be seen: a token, a password, a webhook address.
//!
//! It has no `Debug`, no `Display` and no `Serialize`, so it cannot slip into a log line, an error
//! or `/status`: whoever wants the text says `expose`, and that word can be searched for. It is
//! compared with what a client sent in a time that tells neither where the two differ nor how long
//! the secret is.

use subtle::ConstantTimeEq;
use xxhash_rust::xxh3::xxh3_128;

#[derive(Clone)]
pub struct Secret {
    text: String,
    /// Made once, so that a comparison never walks over the secret and its length shows in no timing.
    digest: [u8; 16],
}

impl Secret {
    pub fn new(text: impl Into<String>) -> Self {
        let text = text.into();
        let digest = digest(text.as_bytes());
        Self { text, digest }
    }

    /// The text itself, for the one place that sends it.
    pub fn expose(&self) -> &str {
        &self.text
    }

    /// Whether `candidate` is this secret.
    ///
    /// Digests of one length are compared first, so the time until a refusal depends on what the
    /// client sent and on nothing else. The digest is fast, not cryptographic, and therefore only
    /// the gate: what passes it is compared byte by byte, and a collision opens nothing.
    pub fn same_as(&self, candidate: &[u8]) -> bool {
        let alike = digest(candidate).ct_eq(&self.digest);
        bool::from(alike) && bool::from(candidate.ct_eq(self.text.as_bytes()))
    }
}

fn digest(bytes: &[u8]) -> [u8; 16] {
    xxh3_128(bytes).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_the_same_as_its_own_bytes_and_nothing_else() {
        let secret = Secret::new("correct horse battery");
        assert!(secret.same_as(b"correct horse battery"));
        assert!(secret.clone().same_as(b"correct horse battery"));
        for other in [&b"correct horse batterY"[..], b"correct horse batter", b"correct horse battery ", b"", b"\xff"] {
            assert!(!secret.same_as(other), "{other:?}");
        }
        assert_eq!(secret.expose(), "correct horse battery");
        assert!(Secret::new("").same_as(b""));
    }

    /// Does not compile once `Secret` gains one of the three: the call would become ambiguous.
    #[test]
    fn a_secret_cannot_be_printed_or_serialised() {
        struct Printable;
        struct Readable;
        struct Writable;
        trait Lacks<A> {
            fn lacks() -> bool {
                true
            }
        }
        impl<T: ?Sized> Lacks<()> for T {}
        impl<T: ?Sized + std::fmt::Debug> Lacks<Printable> for T {}
        impl<T: ?Sized + std::fmt::Display> Lacks<Readable> for T {}
        impl<T: ?Sized + serde::Serialize> Lacks<Writable> for T {}
        assert!(<Secret as Lacks<_>>::lacks());
    }
}
