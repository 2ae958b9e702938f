//! A text that cannot be printed.

use std::fmt;

use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

/// A token, an assertion or a shared secret: `Debug` shows that it is there and nothing else, there is no `Display` and
/// no `Serialize`, and the memory is wiped on drop.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

// === impl Secret ===

impl Secret {
    /// Takes the text over; the caller keeps no copy.
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The text itself. Every call is a place to look at when a leak is suspected.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether `candidate` is this text, in a time that tells nothing about where they differ.
    pub fn matches(&self, candidate: &[u8]) -> bool {
        self.0.as_bytes().ct_eq(candidate).into()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_nothing() {
        let secret = Secret::new("eyJhbGciOi.J9.x".to_owned());
        assert_eq!(format!("{secret:?} {:#?}", Some(&secret)), "[redacted] Some(\n    [redacted],\n)");
    }

    #[test]
    fn matches_the_whole_text_only() {
        let secret = Secret::new("3f2c".to_owned());
        assert!(secret.matches(b"3f2c"));
        for other in [&b""[..], b"3f2", b"3f2c ", b"3F2C", b"xxxx"] {
            assert!(!secret.matches(other), "{other:?}");
        }
    }
}
