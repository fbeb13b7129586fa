//! Which versions of the protocol a node speaks, as the registry records it.

use pelton_peer::{PROTOCOL_MIN, Versions};
use serde::{Deserialize, Serialize};

/// As [`Versions`], in the registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Speaks {
    min: u32,
    max: u32,
}

impl Speaks {
    pub(crate) fn versions(self) -> Versions {
        Versions { min: self.min, max: self.max }
    }
}

impl From<Versions> for Speaks {
    fn from(versions: Versions) -> Self {
        Self { min: versions.min, max: versions.max }
    }
}

/// What a node speaks that does not say: only the first version.
impl Default for Speaks {
    fn default() -> Self {
        Self { min: PROTOCOL_MIN, max: PROTOCOL_MIN }
    }
}
