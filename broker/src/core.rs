//! What a group's commands add up to: pure, with no clock and no file.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use pelton_client::codec;
use pelton_client::{DedupKey, GroupId, GroupState, Offset, OperationError, ProducerKey, records};

use crate::command::{self, Change, EVENTS, EVENTS_WITH_KEYS};
use crate::keys::{CallKeys, EventKeys};

/// The state of one log group as of one entry.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Core {
    /// Cursors and dead letters.
    pub(crate) group: GroupState,
    /// The deduplication window.
    pub(crate) keys: EventKeys,
    /// The calls that a producer may try again.
    pub(crate) calls: CallKeys,
    /// The offset that the next event gets.
    pub(crate) next: Offset,
    /// The log index up to which nothing is needed any more.
    pub(crate) trim: u64,
    /// The newest version of the resources that triggers were started or dropped by. A leader that has not heard of it
    /// yet takes a trigger that it does not know for one that is gone.
    pub(crate) triggers_as_of: u64,
}

/// An entry of the group's log.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry<'a> {
    pub(crate) index: u64,
    /// The term of the leader that wrote it.
    pub(crate) term: u64,
    pub(crate) kind: u8,
    /// The offset of its first event; the next event's when it holds none.
    pub(crate) first_offset: Offset,
    pub(crate) event_count: u32,
    pub(crate) body: &'a Bytes,
    /// The newest version of the protocol that this program reads.
    pub(crate) protocol: u32,
}

/// What a change gave to the one who asked for it.
pub(crate) type ChangeResult = Result<u64, OperationError>;

/// What an entry did.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// The sequence of events grew.
    Events,
    /// Progress was taken in; so many cursor updates were ignored.
    Progress { ignored: usize },
    /// Cursors or dead letters changed by other than progress, and a dispatcher should look.
    Changed(ChangeResult),
    /// Something that no dispatcher needs to see.
    Quiet(ChangeResult),
    /// The entry cannot be read. Only a program that is older than its log meets this.
    Unreadable(String),
}

impl Core {
    /// Takes in the next entry.
    pub(crate) fn apply(&mut self, group: GroupId, entry: Entry<'_>) -> Effect {
        self.next = entry.first_offset.plus(u64::from(entry.event_count));
        match entry.kind {
            EVENTS => Effect::Events,
            EVENTS_WITH_KEYS => self.remember(entry),
            command::CHANGE => match Change::decode(entry.body, group, entry.protocol) {
                Ok(change) => self.change(entry, change),
                Err(error) => Effect::Unreadable(error.to_string()),
            },
            other => Effect::Unreadable(format!("of kind {other}, which this program does not know")),
        }
    }

    fn remember(&mut self, entry: Entry<'_>) -> Effect {
        for (nth, record) in records(entry.body.clone()).enumerate() {
            let record = match record {
                Ok(record) => record,
                Err(error) => return Effect::Unreadable(error.to_string()),
            };
            let offset = entry.first_offset.plus(nth as u64);
            if let Some(key) = record.dedup {
                self.keys.insert(key, offset);
            }
            #[cfg(feature = "bugs")]
            if pelton_env::bugs::Bug::CallsNotKept.is_on() {
                continue;
            }
            if let Some(key) = record.producer {
                self.calls.insert(key, offset);
            }
        }
        Effect::Events
    }

    fn change(&mut self, entry: Entry<'_>, change: Change) -> Effect {
        let index = entry.index;
        #[cfg(feature = "bugs")]
        let change = match change {
            Change::Progress { progress, .. } if pelton_env::bugs::Bug::StaleProgressStored.is_on() => {
                Change::Progress { term: 0, progress }
            }
            change => change,
        };
        match change {
            Change::Progress { term, .. } if term != 0 && term != entry.term => {
                Effect::Quiet(Err(OperationError::SessionEnded))
            }
            Change::Progress { progress, .. } => Effect::Progress { ignored: self.group.progress(&progress) },
            Change::Start { version, triggers } => {
                self.triggers_as_of = self.triggers_as_of.max(version);
                for (trigger, at) in &triggers {
                    self.group.start(*trigger, at.unwrap_or(self.next), index);
                }
                Effect::Changed(Ok(triggers.len() as u64))
            }
            Change::Rewind(trigger, at) => {
                Effect::Changed(self.group.rewind(trigger, at.unwrap_or(self.next), index).map(|()| 1))
            }
            // Another leader, which had heard more, came between: it may have started what this one takes for gone.
            Change::Drop { version, .. } if version < self.triggers_as_of => Effect::Quiet(Ok(0)),
            Change::Drop { version, triggers } => {
                self.triggers_as_of = self.triggers_as_of.max(version);
                triggers.iter().for_each(|trigger| self.group.drop_trigger(*trigger));
                Effect::Changed(Ok(triggers.len() as u64))
            }
            Change::Redrive(selection) => Effect::Changed(self.group.redrive(selection, index)),
            Change::Discard(selection) => Effect::Quiet(self.group.discard(selection)),
            Change::Expire(before, below) => Effect::Quiet(Ok(self.group.expire(before, below))),
            Change::Trim(upto) => {
                self.trim = self.trim.max(upto);
                Effect::Quiet(Ok(0))
            }
        }
    }

    pub(crate) fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(1024);
        out.put_u64_le(self.next.0);
        out.put_u64_le(self.trim);
        #[cfg(not(feature = "bugs"))]
        command::put_state(&mut out, &self.group);
        #[cfg(feature = "bugs")]
        {
            let mut group = self.group.clone();
            if pelton_env::bugs::Bug::PendingLostInCheckpoint.is_on() {
                group.cursors.values_mut().for_each(|cursor| cursor.pending = pelton_client::RangeSet::new());
            }
            command::put_state(&mut out, &group);
        }
        out.put_u32_le(self.keys.iter().len() as u32);
        for (offset, key) in self.keys.iter() {
            out.put_u64_le(offset.0);
            out.put_u128_le(key.0);
        }
        put_calls(&mut out, &self.calls);
        out.put_u64_le(self.triggers_as_of);
        out.freeze()
    }

    /// Reads what [`encode`](Self::encode) wrote. Before there were clusters that ended behind the deduplication window.
    pub(crate) fn decode(bytes: &mut Bytes, group: GroupId, of_cluster: bool) -> Result<Self, command::Undecodable> {
        let (next, trim) = (Offset(bytes.try_get_u64_le()?), bytes.try_get_u64_le()?);
        let group = command::get_state(bytes, group)?;
        let mut keys = EventKeys::default();
        for _ in 0..bytes.try_get_u32_le()? {
            let offset = Offset(bytes.try_get_u64_le()?);
            keys.insert(DedupKey(bytes.try_get_u128_le()?), offset);
        }
        let (calls, triggers_as_of) =
            if of_cluster { (get_calls(bytes)?, bytes.try_get_u64_le()?) } else { (CallKeys::default(), 0) };
        Ok(Self { group, keys, calls, next, trim, triggers_as_of })
    }
}

/// The producers, then each call relative to the one before: its offset, whose it is, and its number relative to that
/// producer's last one.
fn put_calls(out: &mut BytesMut, calls: &CallKeys) {
    let mut last_of = foldhash::HashMap::<u64, (u32, u64)>::default();
    let mut producers = Vec::new();
    for (_, key) in calls.iter() {
        last_of.entry(key.producer).or_insert_with(|| {
            producers.push(key.producer);
            (producers.len() as u32 - 1, 0)
        });
    }
    out.put_u32_le(producers.len() as u32);
    producers.iter().for_each(|producer| out.put_u64_le(*producer));
    out.put_u32_le(calls.iter().len() as u32);
    let mut before = 0;
    for (offset, key) in calls.iter() {
        let (nth, last) = last_of.get_mut(&key.producer).expect("every producer is in the table");
        codec::put_number(out, offset.0.wrapping_sub(before));
        codec::put_number(out, *nth);
        codec::put_number(out, key.sequence.wrapping_sub(*last));
        (before, *last) = (offset.0, key.sequence);
    }
}

fn get_calls(bytes: &mut Bytes) -> Result<CallKeys, command::Undecodable> {
    let mut producers = Vec::new();
    for _ in 0..bytes.try_get_u32_le()? {
        producers.push((bytes.try_get_u64_le()?, 0_u64));
    }
    let (mut calls, mut before) = (CallKeys::default(), 0_u64);
    for _ in 0..bytes.try_get_u32_le()? {
        before = before.wrapping_add(codec::get_u64(bytes)?);
        let nth = usize::try_from(codec::get_u64(bytes)?).map_err(|_| command::Undecodable::Malformed)?;
        let (producer, last) = producers.get_mut(nth).ok_or(command::Undecodable::Malformed)?;
        *last = last.wrapping_add(codec::get_u64(bytes)?);
        calls.insert(ProducerKey { producer: *producer, sequence: *last }, Offset(before));
    }
    Ok(calls)
}

#[cfg(test)]
mod tests;
