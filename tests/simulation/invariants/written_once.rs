//! An append is written once, whatever was tried again; what was refused is nowhere; what was acknowledged is committed, at
//! the place that was named; and what is committed is the same on every replica. (The fault catalogue, F20: no duplicate in
//! the log within the window, and its checker's I1 and I2.)

use std::collections::BTreeMap;

use pelton_client::{GroupId, Offset, Position};
use pelton_log::Entry;

use super::{Verdict, Violation, holds};

const NAME: &str = "written once";

#[derive(Default)]
pub struct Written {
    /// What is committed, by group and index.
    entries: BTreeMap<(GroupId, u64), u64>,
    places: BTreeMap<u64, Position>,
    events: BTreeMap<GroupId, BTreeMap<u64, u64>>,
    refused: BTreeMap<u64, String>,
    acknowledged: BTreeMap<u64, Position>,
}

fn hash(entry: &Entry) -> u64 {
    let head = [u64::from(entry.kind), entry.term.0, entry.leader, entry.first_offset.0, u64::from(entry.event_count)];
    let bytes = head.iter().flat_map(|word| word.to_le_bytes()).chain(entry.body.iter().copied());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

impl Written {
    /// A node knows the entry to be committed. `false` when others knew it before.
    pub fn entry(&mut self, node: u64, group: GroupId, entry: &Entry) -> Result<bool, Violation> {
        let (hash, key) = (hash(entry), (group, entry.index.0));
        let known = self.entries.insert(key, hash);
        holds(known.is_none_or(|known| known == hash), NAME, || {
            format!("node {node} has another entry at {} of group {group} than was committed before", key.1)
        })?;
        Ok(known.is_none())
    }

    /// An event is committed; `None` is one that nobody appended.
    pub fn event(&mut self, event: Option<u64>, at: Position) -> Verdict {
        let event = event.ok_or_else(|| Violation { invariant: NAME, what: format!("{at:?} is no event of ours") })?;
        let before = self.places.insert(event, at);
        holds(before.is_none(), NAME, || format!("event {event} is at {before:?} and again at {at:?}"))?;
        let refused = self.refused.get(&event);
        holds(refused.is_none(), NAME, || format!("event {event} is at {at:?} after it was refused: {refused:?}"))?;
        self.events.entry(at.group).or_default().insert(at.offset.0, event);
        Ok(())
    }

    /// The producer was told that nothing was written.
    pub fn refused(&mut self, event: u64, why: String) -> Verdict {
        let at = self.places.get(&event);
        holds(at.is_none(), NAME, || format!("event {event} is at {at:?}, and refused: {why}"))?;
        self.refused.insert(event, why);
        Ok(())
    }

    pub fn acknowledged(&mut self, node: u64, event: u64, at: Position) -> Verdict {
        let place = self.places.get(&event);
        holds(place == Some(&at), NAME, || {
            format!("node {node} acknowledges event {event} at {at:?}, and it is committed at {place:?}")
        })?;
        self.acknowledged.insert(event, at);
        Ok(())
    }

    /// How many are acknowledged and, which cannot be, not committed.
    pub fn all_acknowledged_are_there(&self) -> Result<(), String> {
        let lost = self.acknowledged.iter().find(|(event, at)| self.places.get(event) != Some(at));
        lost.map_or(Ok(()), |lost| Err(format!("{lost:?} is lost")))
    }

    pub fn place_of(&self, event: u64) -> Option<Position> {
        self.places.get(&event).copied()
    }

    pub fn event_at(&self, at: Position) -> Option<u64> {
        self.events.get(&at.group)?.get(&at.offset.0).copied()
    }

    /// The events of a group from an offset on, below another.
    pub fn events_of(&self, group: GroupId, from: u64, upto: Offset) -> impl Iterator<Item = (Offset, u64)> + '_ {
        let events = self.events.get(&group).into_iter();
        let range = from..upto.0.max(from);
        events.flat_map(move |events| events.range(range.clone())).map(|(offset, event)| (Offset(*offset), *event))
    }

    pub fn end_of(&self, group: GroupId) -> Offset {
        let last = self.events.get(&group).and_then(|events| events.last_key_value());
        last.map_or(Offset(0), |(offset, _)| Offset(offset + 1))
    }

    /// All committed events.
    pub fn all(&self) -> impl Iterator<Item = (u64, Position)> + '_ {
        self.places.iter().map(|(event, at)| (*event, *at))
    }
}
