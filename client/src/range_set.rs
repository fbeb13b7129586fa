//! A set of offsets kept as disjoint ranges.

use std::collections::VecDeque;

use crate::Offset;

/// Room for so many ranges is kept when a set runs empty: most sets fill and empty all the time with one or two.
const KEPT_RANGES: usize = 16;

/// A set of offsets, stored as disjoint, non-adjacent, half-open ranges.
///
/// Memory is that of its ranges, not of its members. All operations cost a search and the ranges between the place and
/// the nearer end, which is next to nothing where sets grow at the end and shrink at the beginning, as these do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RangeSet {
    /// `(start, end)`, end exclusive, in order.
    ranges: VecDeque<(u64, u64)>,
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
        self.ranges.front().map(|&(start, _)| Offset(start))
    }

    /// Whether `offset` is a member.
    #[must_use]
    pub fn contains(&self, offset: Offset) -> bool {
        let at = self.first_ending_after(offset.0);
        self.ranges.get(at).is_some_and(|&(start, _)| start <= offset.0)
    }

    /// Adds one offset. `false` when it was there already.
    pub fn insert(&mut self, offset: Offset) -> bool {
        let before = self.members;
        self.insert_range(offset, offset.plus(1));
        self.members != before
    }

    /// Adds every offset of `from..to`. Nothing when the range is empty.
    pub fn insert_range(&mut self, from: Offset, to: Offset) {
        let (start, end) = (from.0, to.0);
        if start >= end {
            return;
        }
        if self.ranges.back().is_none_or(|&(_, last)| last < start) {
            self.ranges.push_back((start, end));
            self.members += end - start;
            return;
        }
        // Every range that touches or overlaps becomes one with the new one.
        let first = self.ranges.partition_point(|&(_, e)| e < start);
        let after = self.ranges.partition_point(|&(s, _)| s <= end);
        if first == after {
            self.ranges.insert(first, (start, end));
            self.members += end - start;
            return;
        }
        let swallowed: u64 = self.ranges.range(first..after).map(|&(s, e)| e - s).sum();
        let start = start.min(self.ranges[first].0);
        let end = end.max(self.ranges[after - 1].1);
        self.ranges[first] = (start, end);
        if after > first + 1 {
            self.ranges.drain(first + 1..after);
        }
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
        let first = self.first_ending_after(start);
        let after = self.ranges.partition_point(|&(s, _)| s < end);
        if first >= after {
            return;
        }
        let overlap = |&(s, e): &(u64, u64)| e.min(end) - s.max(start);
        self.members -= self.ranges.range(first..after).map(overlap).sum::<u64>();
        let left = (self.ranges[first].0, start);
        let right = (end, self.ranges[after - 1].1);
        match (left.0 < left.1, right.0 < right.1) {
            (true, true) if after == first + 1 => {
                self.ranges[first] = left;
                self.ranges.insert(after, right);
            }
            (keeps_left, keeps_right) => {
                let (mut gone_from, mut gone_to) = (first, after);
                if keeps_left {
                    self.ranges[first] = left;
                    gone_from += 1;
                }
                if keeps_right {
                    self.ranges[after - 1] = right;
                    gone_to -= 1;
                }
                self.take_out(gone_from, gone_to);
            }
        }
    }

    /// The ranges in order, each `(from, to)` with `to` exclusive.
    pub fn ranges(&self) -> impl Iterator<Item = (Offset, Offset)> + '_ {
        self.ranges.iter().map(|&(start, end)| (Offset(start), Offset(end)))
    }

    /// The members in order.
    pub fn iter(&self) -> impl Iterator<Item = Offset> + '_ {
        self.ranges.iter().flat_map(|&(start, end)| (start..end).map(Offset))
    }

    fn first_ending_after(&self, offset: u64) -> usize {
        match self.ranges.front() {
            // The usual question is about the beginning.
            Some(&(_, end)) if offset < end => 0,
            _ => self.ranges.partition_point(|&(_, end)| end <= offset),
        }
    }

    fn take_out(&mut self, from: usize, to: usize) {
        if from == 0 && to == 1 {
            self.ranges.pop_front();
        } else if from < to {
            self.ranges.drain(from..to);
        }
        if self.ranges.is_empty() && self.ranges.capacity() > KEPT_RANGES {
            self.ranges = VecDeque::new();
        }
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
