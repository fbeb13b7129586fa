//! Where an event stands: log group and offset.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One log group: one Raft group, one sequence of batches. Groups are few and shared by all brokers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct GroupId(pub u32);

/// The place of an event in its group's sequence, from 0 on and without gaps.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Offset(pub u64);

impl Offset {
    /// The offset `count` events further on.
    #[must_use]
    pub fn plus(self, count: u64) -> Self {
        Self(self.0.saturating_add(count))
    }
}

/// An event's address: group and offset. Written `group/offset`, as in `1/4711`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The log group that holds the event.
    pub group: GroupId,
    /// Its place there.
    pub offset: Offset,
}

impl fmt::Display for GroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.group, self.offset)
    }
}

/// The text is not a position: `group/offset` in decimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a position: expected GROUP/OFFSET in decimal digits")]
pub struct NotAPosition;

impl std::str::FromStr for Position {
    type Err = NotAPosition;

    fn from_str(text: &str) -> Result<Self, NotAPosition> {
        let (group, offset) = text.split_once('/').ok_or(NotAPosition)?;
        Ok(Self {
            group: GroupId(group.parse().map_err(|_| NotAPosition)?),
            offset: Offset(offset.parse().map_err(|_| NotAPosition)?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_reads_back_as_it_was_written() {
        let position = Position { group: GroupId(3), offset: Offset(u64::MAX) };
        assert_eq!(position.to_string().parse(), Ok(position));
        for bad in ["", "3", "3/", "/3", "a/1", "1/-1", "1/2/3"] {
            assert_eq!(bad.parse::<Position>(), Err(NotAPosition), "{bad}");
        }
    }
}
