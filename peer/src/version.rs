//! Which version of the protocol two nodes speak.

use std::fmt;
use std::str::FromStr;

use tonic::Status;
use tonic::metadata::MetadataMap;

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

/// As a request says them, in the metadata [`SPEAKS`]: `1-2`.
const SPEAKS: &str = "pelton-speaks";

impl Versions {
    /// Has a request say what its sender speaks.
    ///
    /// Each request says it, as HTTP/2 has no place for what is true of a connection; its compression makes it a byte.
    pub fn tell(self, metadata: &mut MetadataMap) {
        let text = format!("{}-{}", self.min, self.max);
        metadata.insert(SPEAKS, text.parse().expect("digits and a dash are ASCII"));
    }

    /// Turns away a request whose sender speaks none of these. One that does not say speaks only the first version.
    ///
    /// # Errors
    /// `FAILED_PRECONDITION`, with both ranges: nothing was done.
    pub fn check(self, metadata: &MetadataMap) -> Result<(), Status> {
        let theirs = match metadata.get(SPEAKS).map(|value| value.to_str().map(str::parse)) {
            None => Self { min: PROTOCOL_MIN, max: PROTOCOL_MIN },
            Some(Ok(Ok(theirs))) => theirs,
            Some(_) => {
                return Err(Status::failed_precondition("the request does not say readably what its sender speaks"));
            }
        };
        self.negotiate(theirs).map(drop).map_err(|apart| Status::failed_precondition(apart.to_string()))
    }
}

/// `1-2`, as in a request.
impl FromStr for Versions {
    type Err = NotVersions;

    fn from_str(text: &str) -> Result<Self, NotVersions> {
        let (min, max) = text.split_once('-').ok_or(NotVersions)?;
        let number = |text: &str| text.parse().map_err(|_| NotVersions);
        Ok(Self { min: number(min)?, max: number(max)? })
    }
}

/// Not two numbers with a dash between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected two versions of the protocol with a dash between them, such as 1-2")]
pub struct NotVersions;

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

    /// What a request says, and what a node that speaks 2 to 3 answers.
    #[test]
    fn a_request_of_one_who_speaks_nothing_in_common_is_turned_away() {
        let mut said = MetadataMap::new();
        Versions { min: 1, max: 2 }.tell(&mut said);
        assert_eq!(said.get(SPEAKS).unwrap(), "1-2");
        let rows = [
            (Some("1-2"), None),
            (Some("3-9"), None),
            (Some("1-1"), Some("no protocol version in common: this node speaks 2 to 3, the other 1 to 1")),
            (Some("4-5"), Some("no protocol version in common: this node speaks 2 to 3, the other 4 to 5")),
            (None, Some("no protocol version in common: this node speaks 2 to 3, the other 1 to 1")),
            (Some("2"), Some("the request does not say readably what its sender speaks")),
            (Some("2-x"), Some("the request does not say readably what its sender speaks")),
        ];
        for (text, want) in rows {
            let mut metadata = MetadataMap::new();
            text.map(|text| metadata.insert(SPEAKS, text.parse().unwrap()));
            let refused = Versions { min: 2, max: 3 }.check(&metadata).err();
            assert_eq!(refused.as_ref().map(Status::message), want, "{text:?}");
            assert!(refused.is_none_or(|status| status.code() == tonic::Code::FailedPrecondition), "{text:?}");
        }
    }
}
