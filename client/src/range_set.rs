//! A set of offsets kept as disjoint ranges.

use std::collections::BTreeMap;

use crate::Offset;

/// A set of offsets, stored as disjoint, non-adjacent, half-open ranges.
///
/// Memory is that of its ranges, not of its members. All operations cost the ranges they touch plus a search.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RangeSet {
    /// Start of a range to its end (exclusive).
    ranges: BTreeMap<u64, u64>,
    members: u64,
}

impl RangeSet {
    /// The empty set.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many offsets are in the set.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.members
    }

    /// Whether no offset is in the set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.members == 0
    }

    /// How many ranges the set is made of.
    #[must_use]
    pub fn range_count(&self) -> usize {
        self.ranges.len()
    }

    /// The lowest member.
    #[must_use]
    pub fn first(&self) -> Option<Offset> {
        self.ranges.keys().next().copied().map(Offset)
    }

    /// Whether `offset` is a member.
    #[must_use]
    pub fn contains(&self, offset: Offset) -> bool {
        self.ranges.range(..=offset.0).next_back().is_some_and(|(_, &end)| offset.0 < end)
    }

    /// Adds one offset. `false` when it was there already.
    pub fn insert(&mut self, offset: Offset) -> bool {
        let before = self.members;
        self.insert_range(offset, offset.plus(1));
        self.members != before
    }

    /// Adds every offset of `from..to`. Nothing when the range is empty.
    pub fn insert_range(&mut self, from: Offset, to: Offset) {
        let (mut start, mut end) = (from.0, to.0);
        if start >= end {
            return;
        }
        // Every range that touches or overlaps becomes one with the new one.
        let mut swallowed = 0;
        while let Some((&s, &e)) = self.ranges.range(..=end).next_back() {
            if e < start {
                break;
            }
            self.ranges.remove(&s);
            swallowed += e - s;
            start = start.min(s);
            end = end.max(e);
        }
        self.ranges.insert(start, end);
        self.members += (end - start) - swallowed;
    }

    /// Takes one offset out. `false` when it was not there.
    pub fn remove(&mut self, offset: Offset) -> bool {
        let before = self.members;
        self.remove_range(offset, offset.plus(1));
        self.members != before
    }

    /// Takes every offset of `from..to` out.
    pub fn remove_range(&mut self, from: Offset, to: Offset) {
        let (start, end) = (from.0, to.0);
        if start >= end {
            return;
        }
        while let Some((&s, &e)) = self.ranges.range(..end).next_back() {
            if e <= start {
                break;
            }
            self.ranges.remove(&s);
            self.members -= e.min(end) - s.max(start);
            if s < start {
                self.ranges.insert(s, start);
            }
            if e > end {
                self.ranges.insert(end, e);
            }
        }
    }

    /// The ranges in order, each `(from, to)` with `to` exclusive.
    pub fn ranges(&self) -> impl Iterator<Item = (Offset, Offset)> + '_ {
        self.ranges.iter().map(|(&start, &end)| (Offset(start), Offset(end)))
    }

    /// The members in order.
    pub fn iter(&self) -> impl Iterator<Item = Offset> + '_ {
        self.ranges.iter().flat_map(|(&start, &end)| (start..end).map(Offset))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// The set is the plain set of the same operations, and its ranges never touch.
        #[test]
        fn a_range_set_is_a_set(operations in prop::collection::vec((any::<bool>(), 0_u64..60, 0_u64..12), 0..80)) {
            let mut set = RangeSet::new();
            let mut model = BTreeSet::new();
            for (add, from, length) in operations {
                if add {
                    set.insert_range(Offset(from), Offset(from + length));
                    model.extend(from..from + length);
                } else {
                    set.remove_range(Offset(from), Offset(from + length));
                    model.retain(|offset| !(from..from + length).contains(offset));
                }
                prop_assert_eq!(set.iter().map(|o| o.0).collect::<Vec<_>>(), model.iter().copied().collect::<Vec<_>>());
                prop_assert_eq!(set.len(), model.len() as u64);
                for offset in 0..80 {
                    prop_assert_eq!(set.contains(Offset(offset)), model.contains(&offset));
                }
                let ranges: Vec<_> = set.ranges().collect();
                prop_assert!(ranges.iter().all(|(from, to)| from < to));
                prop_assert!(ranges.windows(2).all(|pair| pair[0].1 < pair[1].0));
            }
        }
    }
}
