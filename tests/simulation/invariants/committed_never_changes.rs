//! A committed entry is never replaced, also not by a crash. (Raft, section 5.4: what is committed is durable and will
//! be in the logs of all later leaders.)

use std::collections::BTreeMap;

use super::{Leadership, Seen, Verdict, holds};

const NAME: &str = "committed never changes";

/// What any node ever said to be committed.
#[derive(Default)]
pub struct Committed {
    entries: BTreeMap<u64, Seen>,
    /// For every rise of the highest committed index: the latest leadership that can have committed it.
    rises: Vec<(Leadership, u64)>,
}

impl Committed {
    /// A node whose last heard leader is `under` says that `entry` is committed.
    pub fn committed(&mut self, node: u64, entry: Seen, under: Leadership) -> Verdict {
        let highest = self.highest();
        let known = *self.entries.entry(entry.index).or_insert(entry);
        if entry.index > highest {
            self.rises.push((under, entry.index));
        }
        holds(known == entry, NAME, || format!("node {node} says that {entry:?} is committed; before, {known:?} was"))
    }

    pub fn highest(&self) -> u64 {
        self.entries.last_key_value().map_or(0, |(index, _)| *index)
    }

    pub fn get(&self, index: u64) -> Option<Seen> {
        self.entries.get(&index).copied()
    }

    /// The highest entry that was surely committed by a leadership before `leadership`.
    pub fn before(&self, leadership: Leadership) -> Option<Seen> {
        let earlier = self.rises.iter().filter(|(under, _)| *under < leadership).map(|(_, index)| *index);
        earlier.max().and_then(|index| self.get(index))
    }
}
