//! Which version of the protocol two nodes speak.

use std::fmt;

/// The oldest version of the protocol between nodes that this build speaks.
pub const PROTOCOL_MIN: u32 = 1;

/// The newest version of the protocol between nodes that this build speaks.
pub const PROTOCOL_MAX: u32 = 1;

/// The versions that a node speaks, from `min` to `max`, both inclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Versions {
    /// The oldest.
    pub min: u32,
    /// The newest.
    pub max: u32,
}

impl Versions {
    /// What this build speaks.
    pub const OURS: Self = Self { min: PROTOCOL_MIN, max: PROTOCOL_MAX };

    /// Whether `version` is one of them.
    #[must_use]
    pub const fn contains(self, version: u32) -> bool {
        self.min <= version && version <= self.max
    }

    /// Those that are still spoken once the cluster has gone on to `version`.
    #[must_use]
    pub fn since(self, version: u32) -> Self {
        Self { min: self.min.max(version), max: self.max }
    }

    /// The newest version that both speak.
    ///
    /// # Errors
    /// [`VersionsApart`] when there is none.
    pub fn negotiate(self, theirs: Self) -> Result<u32, VersionsApart> {
        let newest = self.max.min(theirs.max);
        if newest < self.min.max(theirs.min) {
            return Err(VersionsApart { ours: self, theirs });
        }
        Ok(newest)
    }
}

impl fmt::Display for Versions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {}", self.min, self.max)
    }
}

/// Two nodes have no version of the protocol in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no protocol version in common: this node speaks {ours}, the other {theirs}")]
pub struct VersionsApart {
    ours: Versions,
    theirs: Versions,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_common_version_is_spoken() {
        for (ours, theirs, want) in [
            ((1, 1), (1, 1), Some(1)),
            ((1, 2), (2, 3), Some(2)),
            ((2, 3), (1, 2), Some(2)),
            ((1, 4), (2, 3), Some(3)),
            ((1, 1), (2, 2), None),
            ((3, 4), (1, 2), None),
            // A range that is none is spoken by nobody.
            ((1, 3), (3, 1), None),
        ] {
            let versions = |(min, max)| Versions { min, max };
            assert_eq!(versions(ours).negotiate(versions(theirs)).ok(), want, "{ours:?} and {theirs:?}");
        }
    }

    #[test]
    fn what_the_cluster_left_behind_is_not_spoken_any_more() {
        let both = Versions { min: 1, max: 2 };
        assert!(both.contains(1) && both.contains(2) && !both.contains(0) && !both.contains(3));
        assert_eq!((both.since(1), both.since(2)), (both, Versions { min: 2, max: 2 }));
        assert!(Versions { min: 1, max: 1 }.negotiate(both.since(2)).is_err());
    }

    #[test]
    fn the_error_names_both_ranges() {
        let error = Versions { min: 1, max: 2 }.negotiate(Versions { min: 3, max: 4 }).unwrap_err();
        assert_eq!(error.to_string(), "no protocol version in common: this node speaks 1 to 2, the other 3 to 4");
    }
}
