//! Tokens that an operator made, of which only the digests are known.

use ring::digest::{SHA256, digest};
use subtle::ConstantTimeEq as _;

use crate::identity::Identity;

/// Bytes of a SHA-256.
pub(crate) const DIGEST_BYTES: usize = 32;

/// One token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StaticToken {
    pub(crate) sha256: [u8; DIGEST_BYTES],
    pub(crate) identity: Identity,
    /// Milliseconds since 1970, when it ends.
    pub(crate) expires: Option<u64>,
}

/// The tokens of the access file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StaticTokens(pub(crate) Vec<StaticToken>);

impl StaticTokens {
    /// Whose token it is, at a time in milliseconds since 1970. Every entry is compared, each in constant time.
    #[must_use]
    pub fn find(&self, token: &str, now_unix_millis: u64) -> Option<Identity> {
        let digest = digest(&SHA256, token.as_bytes());
        let mut found = None;
        for entry in &self.0 {
            if bool::from(entry.sha256.ct_eq(digest.as_ref())) {
                found = Some(entry);
            }
        }
        found.filter(|entry| entry.expires.is_none_or(|end| now_unix_millis < end)).map(|entry| entry.identity.clone())
    }
}
