//! What tells one data directory from another that claims the same name or id.

use std::fmt;
use std::str::FromStr;

use pelton_env::Chance;
use serde::{Deserialize, Serialize};

/// 16 random bytes, made once for a data directory and kept in it. Written as 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Nonce(u128);

impl Nonce {
    pub(crate) fn random(chance: &dyn Chance) -> Self {
        Self((u128::from(chance.bits()) << 64) | u128::from(chance.bits()))
    }

    pub(crate) fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    /// `None` unless there are 16 bytes.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        Some(Self(u128::from_be_bytes(bytes.try_into().ok()?)))
    }
}

impl fmt::Display for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Nonce({self})")
    }
}

/// The text is not 32 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not 32 hexadecimal digits")]
pub(crate) struct NotANonce;

impl FromStr for Nonce {
    type Err = NotANonce;

    fn from_str(text: &str) -> Result<Self, NotANonce> {
        if text.len() != 32 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(NotANonce);
        }
        u128::from_str_radix(text, 16).map(Self).map_err(|_| NotANonce)
    }
}

impl TryFrom<String> for Nonce {
    type Error = NotANonce;

    fn try_from(text: String) -> Result<Self, NotANonce> {
        text.parse()
    }
}

impl From<Nonce> for String {
    fn from(nonce: Nonce) -> Self {
        nonce.to_string()
    }
}

#[cfg(test)]
mod tests {
    use pelton_env::SeededChance;

    use super::*;

    #[test]
    fn a_nonce_reads_back_and_nothing_else_does() {
        let nonce = Nonce::random(&SeededChance::new(1));
        assert_eq!(nonce.to_string().parse(), Ok(nonce));
        assert_eq!(Nonce::from_bytes(&nonce.to_bytes()), Some(nonce));
        assert_eq!(Nonce::from_bytes(&[0; 15]), None);
        for bad in ["", "0", &"g".repeat(32), &"0".repeat(33), &format!("+{}", "0".repeat(31))] {
            assert_eq!(bad.parse::<Nonce>(), Err(NotANonce), "{bad:?}");
        }
    }
}
