//! A log that is a few vectors: what the real one must be equal to.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use pelton_env::Chance;
use pelton_log::{Completion, Entry, GroupId, Log, LogId, LogIndex, Offset, Term};

use super::{all, entry};

/// One operation.
#[derive(Debug, Clone)]
pub enum Op {
    Append(GroupId, Vec<Entry>),
    Vote(GroupId, u64),
    Truncate(GroupId, LogIndex),
    Purge(GroupId, LogId),
    Reset(GroupId, LogId, Offset),
    Checkpoint(GroupId, LogIndex, Bytes),
    Forget(GroupId),
}

/// The state of one group.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GroupModel {
    pub vote: Option<u64>,
    pub entries: Vec<Entry>,
    pub purged: Option<LogId>,
    pub next_offset: Offset,
    pub checkpoint: Option<(LogIndex, Bytes)>,
}

/// The state of all groups.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Model(pub BTreeMap<GroupId, GroupModel>);

impl Model {
    /// The operations that `op` may become durable as, one after the other.
    pub fn records(op: &Op) -> Vec<Op> {
        match op {
            Op::Append(group, entries) => entries.iter().map(|entry| Op::Append(*group, vec![entry.clone()])).collect(),
            op => vec![op.clone()],
        }
    }

    pub fn apply(&mut self, op: &Op) {
        match op {
            Op::Append(group, entries) => {
                let group = self.0.entry(*group).or_default();
                group.entries.extend(entries.iter().cloned());
                group.next_offset = entries.last().map_or(group.next_offset, Entry::next_offset);
            }
            Op::Vote(group, vote) => self.0.entry(*group).or_default().vote = Some(*vote),
            Op::Truncate(group, index) => {
                let group = self.0.entry(*group).or_default();
                group.entries.retain(|entry| entry.index <= *index);
                group.next_offset = group.entries.last().map_or(group.next_offset, Entry::next_offset);
            }
            Op::Purge(group, upto) => {
                let group = self.0.entry(*group).or_default();
                group.entries.retain(|entry| entry.index > upto.2);
                group.purged = Some(*upto);
            }
            Op::Reset(group, upto, next_offset) => {
                let group = self.0.entry(*group).or_default();
                *group =
                    GroupModel { entries: Vec::new(), purged: Some(*upto), next_offset: *next_offset, ..group.clone() };
            }
            Op::Forget(group) => drop(self.0.remove(group)),
            Op::Checkpoint(group, index, state) => {
                self.0.entry(*group).or_default().checkpoint = Some((*index, state.clone()));
            }
        }
    }

    /// What a log holds.
    pub fn of(log: &Log) -> Self {
        let group = |group: GroupId| {
            let view = log.group(group);
            let vote = view.vote.map(|vote| u64::from_le_bytes(vote[..8].try_into().expect("eight bytes")));
            let entries = all(log, group);
            let last = entries.last().map(|entry| (entry.term, entry.leader, entry.index));
            assert_eq!((view.first, view.last), (entries.first().map(|entry| entry.index), last));
            let (purged, next_offset) = (view.purged, view.next_offset);
            GroupModel { vote, entries, purged, next_offset, checkpoint: view.checkpoint }
        };
        Self(log.groups().into_iter().map(|id| (id, group(id))).filter(|(_, g)| *g != GroupModel::default()).collect())
    }

    /// This model without groups that hold nothing.
    pub fn trimmed(&self) -> Self {
        Self(self.0.iter().filter(|(_, g)| **g != GroupModel::default()).map(|(id, g)| (*id, g.clone())).collect())
    }

    /// An operation that a Raft core could ask for next, with bodies of up to `size_bytes`.
    pub fn next(&self, chance: &dyn Chance, term: &mut u64, size_bytes: u64) -> Op {
        let group = GroupId(1 + chance.below(3) as u32);
        let empty = GroupModel::default();
        let state = self.0.get(&group).unwrap_or(&empty);
        let last = state.entries.last().map(|entry| entry.index.0);
        let due = last.or(state.purged.map(|purged| purged.2.0)).map_or(1, |last| last + 1);
        let first = state.entries.first().map(|entry| entry.index.0);
        match (chance.below(20), first) {
            (0..=1, _) => Op::Vote(group, state.vote.unwrap_or(0) + 1),
            (2, Some(first)) => {
                *term += 1;
                Op::Truncate(group, LogIndex(first + chance.below(due - first)))
            }
            (3..=4, Some(first)) => {
                let at = &state.entries[chance.below(due - first) as usize];
                Op::Purge(group, (at.term, at.leader, at.index))
            }
            (5, _) => {
                let state = vec![(due % 256) as u8; chance.below(size_bytes) as usize];
                Op::Checkpoint(group, LogIndex(due - 1), Bytes::from(state))
            }
            (6, _) if chance.below(8) == 0 => {
                let upto = due + chance.below(5);
                Op::Reset(group, (Term(*term), 2, LogIndex(upto)), Offset(state.next_offset.0 + chance.below(50)))
            }
            (7, _) if chance.below(8) == 0 => {
                // What comes back is of another term: no two entries have one name.
                *term += 1;
                Op::Forget(group)
            }
            _ => {
                let count = 1 + chance.below(3);
                let mut next = state.next_offset;
                let entries = (due..due + count).map(|index| {
                    let entry = Entry { first_offset: next, ..entry(*term, index, chance.below(size_bytes) as usize) };
                    next = entry.next_offset();
                    entry
                });
                Op::Append(group, entries.collect())
            }
        }
    }
}

/// Asks `log` for `op`.
pub fn submit(log: &Log, op: &Op, done: Completion) {
    match op {
        Op::Append(group, entries) => log.append(*group, entries.clone(), done),
        Op::Vote(group, vote) => log.save_vote(*group, Bytes::copy_from_slice(&vote.to_le_bytes()), done),
        Op::Truncate(group, index) => log.truncate_after(*group, *index, done),
        Op::Purge(group, upto) => log.purge(*group, *upto, done),
        Op::Reset(group, upto, next_offset) => log.reset(*group, *upto, *next_offset, done),
        Op::Forget(group) => log.forget(*group, done),
        Op::Checkpoint(group, index, state) => log.save_checkpoint(*group, *index, Term(1), state.clone(), done),
    }
}

/// Counts completions and remembers how far they came.
#[derive(Debug, Default)]
pub struct Acks(parking_lot::Mutex<Vec<(usize, u64)>>, parking_lot::Condvar);

impl Acks {
    /// A completion that notes that everything up to `upto` is durable, and `now()` as the moment.
    pub fn note(self: &Arc<Self>, upto: u64, now: impl Fn() -> usize + Send + 'static) -> Completion {
        let acks = Arc::clone(self);
        Box::new(move |result| {
            if result.is_ok() {
                acks.0.lock().push((now(), upto));
                acks.1.notify_all();
            }
        })
    }

    /// Waits until `upto` is durable.
    pub fn wait(&self, upto: u64) {
        let mut acks = self.0.lock();
        while acks.last().is_none_or(|ack| ack.1 < upto) {
            self.1.wait(&mut acks);
        }
    }

    /// What was durable at `moment`.
    pub fn at(&self, moment: usize) -> u64 {
        self.0.lock().iter().filter(|ack| ack.0 <= moment).map(|ack| ack.1).max().unwrap_or(0)
    }
}
