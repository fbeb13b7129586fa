//! The events of a trigger that wait for their first attempt, as positions, in the order in which they may start.

use std::collections::{BTreeSet, VecDeque};

use foldhash::{HashMap, HashMapExt};
use pelton_client::{Offset, RangeSet};

/// A lane of an ordered trigger: the hash of a `partitionkey`, or one of the lanes below. Two keys with the same hash
/// share a lane, which orders more than was asked for and never less.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LaneId(pub u64);

impl LaneId {
    /// Events without a `partitionkey`: one at a time among themselves, beside the keys.
    pub const KEYLESS: Self = Self(0);
    /// Dead letters that were sent again. Their place in the order is lost; they go one at a time.
    pub const REDRIVEN: Self = Self(1);
}

/// The waiting events.
#[derive(Debug)]
pub enum Lanes {
    /// Any may start at any time. The lowest goes first.
    Unordered(RangeSet),
    /// One of each lane at a time.
    Ordered(OrderedLanes),
}

impl Lanes {
    /// Adds an event. `lane` counts in an ordered trigger only.
    pub fn push(&mut self, offset: Offset, lane: LaneId) {
        match self {
            Self::Unordered(waiting) => {
                waiting.insert(offset);
            }
            Self::Ordered(lanes) => lanes.push(offset, lane),
        }
    }

    /// The event that starts next, if any may.
    #[must_use]
    pub fn peek(&self) -> Option<Offset> {
        match self {
            Self::Unordered(waiting) => waiting.first(),
            Self::Ordered(lanes) => lanes.ready.first().map(|(offset, _)| *offset),
        }
    }

    /// Takes that event out. Its lane is busy until [`release`](Self::release).
    pub fn pop(&mut self) -> Option<(Offset, LaneId)> {
        match self {
            Self::Unordered(waiting) => {
                let offset = waiting.first()?;
                waiting.remove(offset);
                Some((offset, LaneId::KEYLESS))
            }
            Self::Ordered(lanes) => lanes.pop(),
        }
    }

    /// An event of this lane is done: the next may start.
    pub fn release(&mut self, lane: LaneId) {
        if let Self::Ordered(lanes) = self {
            lanes.release(lane);
        }
    }

    /// How many events wait.
    #[must_use]
    pub fn waiting(&self) -> u64 {
        match self {
            Self::Unordered(waiting) => waiting.len(),
            Self::Ordered(lanes) => lanes.waiting,
        }
    }

    /// How many events may be on their way at once, as far as their order says.
    #[must_use]
    pub fn at_once(&self) -> u64 {
        match self {
            Self::Unordered(_) => u64::MAX,
            Self::Ordered(lanes) => lanes.by_lane.len() as u64,
        }
    }

    /// The waiting events.
    #[must_use]
    pub fn offsets(&self) -> RangeSet {
        match self {
            Self::Unordered(waiting) => waiting.clone(),
            Self::Ordered(lanes) => {
                let mut offsets = RangeSet::new();
                for offset in lanes.by_lane.values().flat_map(|lane| &lane.events) {
                    offsets.insert(*offset);
                }
                offsets
            }
        }
    }

    /// Forgets the events below `first`: they are no longer in the log. Returns how many.
    pub fn forget_below(&mut self, first: Offset) -> u64 {
        let before = self.waiting();
        match self {
            Self::Unordered(waiting) => waiting.remove_range(Offset(0), first),
            Self::Ordered(lanes) => lanes.forget_below(first),
        }
        before - self.waiting()
    }
}

/// Waiting events by lane.
#[derive(Debug)]
pub struct OrderedLanes {
    by_lane: HashMap<LaneId, Lane>,
    /// The first event of each lane that is not busy.
    ready: BTreeSet<(Offset, LaneId)>,
    waiting: u64,
}

#[derive(Debug, Default)]
struct Lane {
    events: VecDeque<Offset>,
    busy: bool,
}

impl Default for OrderedLanes {
    fn default() -> Self {
        Self { by_lane: HashMap::new(), ready: BTreeSet::new(), waiting: 0 }
    }
}

impl OrderedLanes {
    fn push(&mut self, offset: Offset, id: LaneId) {
        let lane = self.by_lane.entry(id).or_default();
        lane.events.push_back(offset);
        self.waiting += 1;
        if !lane.busy && lane.events.len() == 1 {
            self.ready.insert((offset, id));
        }
    }

    fn pop(&mut self) -> Option<(Offset, LaneId)> {
        let (offset, id) = self.ready.pop_first()?;
        let lane = self.by_lane.get_mut(&id).expect("a ready event's lane is there");
        lane.events.pop_front();
        lane.busy = true;
        self.waiting -= 1;
        Some((offset, id))
    }

    fn release(&mut self, id: LaneId) {
        let Some(lane) = self.by_lane.get_mut(&id) else { return };
        lane.busy = false;
        match lane.events.front() {
            Some(&next) => {
                self.ready.insert((next, id));
            }
            None => {
                self.by_lane.remove(&id);
            }
        }
    }

    fn forget_below(&mut self, first: Offset) {
        let mut left = 0;
        self.ready.clear();
        self.by_lane.retain(|id, lane| {
            lane.events.retain(|offset| *offset >= first);
            left += lane.events.len() as u64;
            if let (false, Some(&next)) = (lane.busy, lane.events.front()) {
                self.ready.insert((next, *id));
            }
            lane.busy || !lane.events.is_empty()
        });
        self.waiting = left;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_event_of_a_lane_at_a_time_and_lanes_beside_each_other() {
        let mut lanes = Lanes::Ordered(OrderedLanes::default());
        let (a, b) = (LaneId(10), LaneId(11));
        for (offset, lane) in [(1, a), (2, a), (3, b), (4, LaneId::KEYLESS), (5, LaneId::KEYLESS), (6, b)] {
            lanes.push(Offset(offset), lane);
        }
        let popped: Vec<_> = std::iter::from_fn(|| lanes.pop()).map(|(offset, _)| offset.0).collect();
        assert_eq!(popped, [1, 3, 4], "the first of each lane");
        lanes.release(b);
        assert_eq!(lanes.pop(), Some((Offset(6), b)));
        assert_eq!(lanes.pop(), None);
        lanes.release(a);
        assert_eq!(lanes.peek(), Some(Offset(2)));
        lanes.push(Offset(7), a);
        lanes.push(Offset(8), b);
        assert_eq!(lanes.pop(), Some((Offset(2), a)), "8 waits for 6, 7 for 2");
        assert_eq!(lanes.pop(), None);
        assert_eq!(lanes.waiting(), 3);
        lanes.release(a);
        lanes.release(b);
        lanes.release(LaneId::KEYLESS);
        assert_eq!(std::iter::from_fn(|| lanes.pop()).map(|(offset, _)| offset.0).collect::<Vec<_>>(), [5, 7, 8]);
    }

    #[test]
    fn idle_lanes_are_forgotten() {
        let mut lanes = OrderedLanes::default();
        for n in 0..1_000 {
            lanes.push(Offset(n), LaneId(n));
            let (_, lane) = lanes.pop().unwrap();
            lanes.release(lane);
        }
        assert!(lanes.by_lane.is_empty());
    }

    #[test]
    fn what_left_the_log_is_forgotten() {
        for mut lanes in [Lanes::Unordered(RangeSet::new()), Lanes::Ordered(OrderedLanes::default())] {
            for n in 0..10 {
                lanes.push(Offset(n), LaneId(n % 2));
            }
            assert_eq!(lanes.pop().map(|(offset, _)| offset), Some(Offset(0)));
            assert_eq!(lanes.forget_below(Offset(5)), 4);
            assert_eq!(lanes.waiting(), 5);
            assert_eq!(lanes.peek(), Some(Offset(5)));
        }
    }
}
