//! What a group's commands add up to: pure, with no clock and no file.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use pelton_client::{DedupKey, GroupId, GroupState, Offset, OperationError, records};

use crate::command::{self, Change, EVENTS, EVENTS_WITH_KEYS};
use crate::keys::KeyWindow;

/// The state of one log group as of one entry.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Core {
    /// Cursors and dead letters.
    pub(crate) group: GroupState,
    /// The deduplication window.
    pub(crate) keys: KeyWindow,
    /// The offset that the next event gets.
    pub(crate) next: Offset,
    /// The log index up to which nothing is needed any more.
    pub(crate) trim: u64,
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
    /// Takes in the entry at `index`, whose first event has `first_offset`.
    pub(crate) fn apply(
        &mut self,
        group: GroupId,
        index: u64,
        kind: u8,
        first_offset: Offset,
        event_count: u32,
        body: &Bytes,
    ) -> Effect {
        self.next = first_offset.plus(u64::from(event_count));
        match kind {
            EVENTS => Effect::Events,
            EVENTS_WITH_KEYS => {
                for (nth, record) in records(body.clone()).enumerate() {
                    match record {
                        Ok(record) => {
                            if let Some(key) = record.dedup {
                                self.keys.insert(key, first_offset.plus(nth as u64));
                            }
                        }
                        Err(error) => return Effect::Unreadable(error.to_string()),
                    }
                }
                Effect::Events
            }
            command::CHANGE => match Change::decode(body, group) {
                Ok(change) => self.change(index, change),
                Err(error) => Effect::Unreadable(error.to_string()),
            },
            other => Effect::Unreadable(format!("of kind {other}, which this program does not know")),
        }
    }

    fn change(&mut self, index: u64, change: Change) -> Effect {
        match change {
            Change::Progress(progress) => Effect::Progress { ignored: self.group.progress(&progress) },
            Change::Start(starts) => {
                for (trigger, at) in &starts {
                    self.group.start(*trigger, at.unwrap_or(self.next), index);
                }
                Effect::Changed(Ok(starts.len() as u64))
            }
            Change::Rewind(trigger, at) => {
                Effect::Changed(self.group.rewind(trigger, at.unwrap_or(self.next), index).map(|()| 1))
            }
            Change::Drop(triggers) => {
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
        command::put_state(&mut out, &self.group);
        out.put_u32_le(self.keys.iter().len() as u32);
        for (offset, key) in self.keys.iter() {
            out.put_u64_le(offset.0);
            out.put_u128_le(key.0);
        }
        out.freeze()
    }

    pub(crate) fn decode(bytes: &mut Bytes, group: GroupId) -> Result<Self, command::Undecodable> {
        let (next, trim) = (Offset(bytes.try_get_u64_le()?), bytes.try_get_u64_le()?);
        let group = command::get_state(bytes, group)?;
        let mut keys = KeyWindow::default();
        for _ in 0..bytes.try_get_u32_le()? {
            let offset = Offset(bytes.try_get_u64_le()?);
            keys.insert(DedupKey(bytes.try_get_u128_le()?), offset);
        }
        Ok(Self { group, keys, next, trim })
    }
}

#[cfg(test)]
mod tests {
    use pelton_client::TriggerId;

    use super::*;

    const GROUP: GroupId = GroupId(1);

    #[test]
    fn a_trigger_that_starts_at_the_latest_begins_after_the_last_event_before_it() {
        let mut core = Core::default();
        assert_eq!(core.apply(GROUP, 1, EVENTS, Offset(0), 7, &Bytes::new()), Effect::Events);
        let start = Change::Start(vec![(TriggerId(1), None), (TriggerId(2), Some(Offset(3)))]).encode();
        assert_eq!(core.apply(GROUP, 2, command::CHANGE, Offset(7), 0, &start), Effect::Changed(Ok(2)));
        core.apply(GROUP, 3, EVENTS, Offset(7), 1, &Bytes::new());
        assert_eq!(core.group.cursors[&TriggerId(1)].floor(Offset(0)), Offset(7));
        assert_eq!(core.group.cursors[&TriggerId(2)].floor(Offset(0)), Offset(3));
        assert_eq!(core.next, Offset(8));
        assert_eq!(Core::decode(&mut core.encode(), GROUP), Ok(core));
    }

    #[test]
    fn an_entry_of_a_newer_program_is_told_and_changes_nothing() {
        let mut core = Core::default();
        let before = core.clone();
        assert!(matches!(core.apply(GROUP, 1, 200, Offset(0), 0, &Bytes::new()), Effect::Unreadable(_)));
        assert!(matches!(core.apply(GROUP, 1, command::CHANGE, Offset(0), 0, &Bytes::new()), Effect::Unreadable(_)));
        assert_eq!(core, before);
    }
}
