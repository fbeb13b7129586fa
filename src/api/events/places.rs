//! Where in each log group a reader of several stands, as a text that goes to the client and comes back.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use pelton_client::{GroupId, Offset};

/// More groups than any cluster has.
const MAX_GROUPS: usize = 1_024;

/// What is left to be looked at in one group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The next event.
    pub next: Offset,
    /// The end of what there was when the reader began.
    pub end: Offset,
}

impl Place {
    /// Whether nothing is left.
    #[must_use]
    pub fn is_done(self) -> bool {
        self.next >= self.end
    }
}

/// What is left to be looked at, by group: `GROUP:NEXT:END`, with commas between.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Places(pub BTreeMap<GroupId, Place>);

impl Places {
    /// Whether nothing is left.
    #[must_use]
    pub fn are_done(&self) -> bool {
        self.0.values().all(|place| place.is_done())
    }
}

impl fmt::Display for Places {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (group, Place { next, end })) in self.0.iter().filter(|(_, place)| !place.is_done()).enumerate() {
            let comma = if at == 0 { "" } else { "," };
            write!(f, "{comma}{group}:{next}:{end}")?;
        }
        Ok(())
    }
}

/// The text names no places.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is not what an answer gave as next")]
pub struct NotPlaces;

impl FromStr for Places {
    type Err = NotPlaces;

    fn from_str(text: &str) -> Result<Self, NotPlaces> {
        let number = |text: &str| match text.bytes().all(|b| b.is_ascii_digit()) {
            true => text.parse::<u64>().map_err(|_| NotPlaces),
            false => Err(NotPlaces),
        };
        let mut places = BTreeMap::new();
        for part in text.split(',').take(MAX_GROUPS) {
            let mut numbers = part.split(':');
            let (Some(group), Some(next), Some(end), None) =
                (numbers.next(), numbers.next(), numbers.next(), numbers.next())
            else {
                return Err(NotPlaces);
            };
            let group = GroupId(u32::try_from(number(group)?).map_err(|_| NotPlaces)?);
            places.insert(group, Place { next: Offset(number(next)?), end: Offset(number(end)?) });
        }
        Ok(Self(places))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_read_back_and_nothing_else_is_read() {
        let place = |next, end| Place { next: Offset(next), end: Offset(end) };
        let places = Places(BTreeMap::from([
            (GroupId(1), place(5, 900)),
            (GroupId(2), place(7, 7)),
            (GroupId(3), place(0, u64::MAX)),
        ]));
        assert_eq!(places.to_string(), "1:5:900,3:0:18446744073709551615", "what is done is left out");
        let read: Places = places.to_string().parse().unwrap();
        assert_eq!(read.0.len(), 2);
        assert_eq!(read.0[&GroupId(1)], place(5, 900));
        assert!(!read.are_done());
        for bad in [
            "",
            "1",
            "1:2",
            "1:2:3:4",
            "a:1:2",
            "1:-1:2",
            "1:+1:2",
            "4294967296:0:1",
            "1:2:3,",
            "1:2:99999999999999999999",
        ] {
            assert!(bad.parse::<Places>().is_err(), "{bad}");
        }
    }
}
