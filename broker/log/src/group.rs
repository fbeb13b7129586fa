//! The state of one group: as submitted by the caller, and as placed on disk.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use pelton_env::UnixMillis;

use crate::index::{Purge, Repair, SegmentIndex};
use crate::record::Record;
use crate::repair::Fault;
use crate::types::{Entry, EntryMeta, GroupView, LogId, LogIndex, Offset, Term};

/// From this index on entries are of this term and leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TermStart {
    pub from: u64,
    pub term: u64,
    pub leader: u64,
}

/// Entries of one group that lie in one segment, none of them truncated or purged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Run {
    pub segment: u64,
    pub first: u64,
    /// Index after the last entry.
    pub end: u64,
    pub first_offset: u64,
    /// The latest time of any entry; too late when entries were truncated.
    pub latest: u64,
    /// In order; the first is that of the first entry, or of one before it.
    pub terms: Vec<TermStart>,
}

impl Run {
    fn term(&mut self, start: TermStart) {
        let same = |last: &TermStart| (last.term, last.leader) == (start.term, start.leader);
        if !self.terms.last().is_some_and(same) {
            self.terms.push(start);
        }
    }
}

/// An entry in memory.
#[derive(Debug, Clone)]
pub(crate) struct TailEntry {
    pub entry: Entry,
    pub time: UnixMillis,
    /// Tells this entry from another one that later gets its index.
    pub ticket: u64,
}

impl TailEntry {
    pub(crate) fn meta(&self) -> EntryMeta {
        EntryMeta {
            term: self.entry.term,
            leader: self.entry.leader,
            index: self.entry.index,
            kind: self.entry.kind,
            first_offset: self.entry.first_offset,
            event_count: self.entry.event_count,
            body_bytes: u32::try_from(self.entry.body.len()).unwrap_or(u32::MAX),
            appended_at: self.time,
        }
    }
}

/// A checkpoint held in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Checkpoint {
    pub index: u64,
    pub term: u64,
    pub state: Bytes,
}

/// What is durable, and the segment that holds the newest record of each sort.
#[derive(Debug, Clone, Default)]
pub(crate) struct Placed {
    pub vote: Option<(u64, Bytes)>,
    pub purge: Option<(u64, Purge)>,
    pub checkpoint: Option<(u64, Checkpoint)>,
    /// In order of index and of segment.
    pub runs: VecDeque<Run>,
    /// The newest entry.
    pub last: Option<LogId>,
    /// The offset after it.
    pub next_offset: u64,
    /// Sound copies of damaged entries, and the segments that they lie in.
    pub repairs: BTreeMap<u64, (u64, Repair)>,
}

impl Placed {
    /// Takes in an entry at the end.
    pub(crate) fn entry(&mut self, segment: u64, record: &Record) {
        let (index, time) = (record.index, record.time);
        let start = TermStart { from: index, term: record.term, leader: record.leader };
        self.last = Some((Term(record.term), record.leader, LogIndex(index)));
        self.next_offset = record.first_offset + u64::from(record.event_count);
        match self.runs.back_mut() {
            Some(run) if run.segment == segment && run.end == index => {
                run.end += 1;
                run.latest = run.latest.max(time);
                run.term(start);
            }
            _ => {
                let (first_offset, terms) = (record.first_offset, vec![start]);
                self.runs.push_back(Run { segment, first: index, end: index + 1, first_offset, latest: time, terms });
            }
        }
    }

    /// Drops entries from `keep_below` on; `kept` is the one before with the offset after it, when there is one.
    pub(crate) fn truncate(&mut self, keep_below: u64, kept: Option<(LogId, u64)>) {
        if self.last.is_some_and(|last| last.2.0 >= keep_below) {
            self.last = kept.map(|(last, _)| last);
            self.next_offset = kept.map_or(0, |(_, next_offset)| next_offset);
        }
        self.cut(keep_below);
    }

    /// Drops runs from `keep_below` on.
    fn cut(&mut self, keep_below: u64) {
        self.repairs.split_off(&keep_below);
        while self.runs.back().is_some_and(|run| run.first >= keep_below) {
            self.runs.pop_back();
        }
        if let Some(run) = self.runs.back_mut() {
            run.end = run.end.min(keep_below);
            run.terms.retain(|start| start.from < keep_below);
        }
    }

    /// Drops entries up to `upto`.
    pub(crate) fn trim(&mut self, upto: u64, first_offset_after: impl FnOnce(&Run) -> u64) {
        self.repairs = self.repairs.split_off(&(upto + 1));
        while self.runs.front().is_some_and(|run| run.end <= upto + 1) {
            self.runs.pop_front();
        }
        if let Some(run) = self.runs.front_mut().filter(|run| run.first <= upto) {
            run.first = upto + 1;
            run.first_offset = first_offset_after(run);
            let before = run.terms.partition_point(|start| start.from <= upto + 1).saturating_sub(1);
            run.terms.drain(..before);
        }
        if self.last.is_some_and(|last| last.2.0 <= upto) {
            self.last = None;
        }
    }

    /// The run that holds `index`.
    pub(crate) fn run_of(&self, index: u64) -> Option<&Run> {
        let after = self.runs.partition_point(|run| run.first <= index);
        self.runs.get(after.checked_sub(1)?).filter(|run| index < run.end)
    }

    /// Whether the entry at `index` is read from the record at that place: where it was written, or its copy.
    pub(crate) fn is_read_at(&self, index: u64, segment: u64, position: u64) -> bool {
        match self.repairs.get(&index) {
            Some((at, copy)) => (*at, copy.slot.position()) == (segment, position),
            None => self.run_of(index).is_some_and(|run| run.segment == segment),
        }
    }

    /// The lowest segment that holds an entry.
    pub(crate) fn oldest_entry_segment(&self) -> Option<u64> {
        self.runs.front().map(|run| run.segment)
    }

    /// What the sealed segment `index` did to this group.
    pub(crate) fn merge(&mut self, segment: u64, group: u32, index: &SegmentIndex) {
        let Some(part) = index.groups.get(&group) else { return };
        if part.forgotten.is_some() {
            *self = Self::default();
        }
        if let Some(keep_below) = part.keep_below {
            self.cut(keep_below);
        }
        if let Some(purge) = part.purge {
            self.purge = Some((segment, purge));
            // The exact offset is not needed: a run that is cut here gets it from its own slot when it is read.
            self.trim(purge.upto.2.0, |_| purge.next_offset);
        }
        self.repairs.extend(part.repairs.iter().map(|(index, repair)| (*index, (segment, *repair))));
        if let (Some(first), Some(latest)) = (part.slots.front(), part.slots.iter().map(|slot| slot.time).max()) {
            self.runs.push_back(Run {
                segment,
                first: part.first,
                end: part.end(),
                first_offset: first.first_offset,
                latest,
                terms: part.terms(),
            });
        }
    }
}

/// One group.
#[derive(Debug, Default)]
pub(crate) struct GroupState {
    pub vote: Option<Bytes>,
    pub purge: Option<Purge>,
    pub checkpoint: Option<Checkpoint>,
    pub committed: Option<u64>,
    /// Index of the oldest entry; meaningless while `last` is `None`.
    pub first: u64,
    pub last: Option<LogId>,
    /// Offset of the oldest event held.
    pub first_offset: u64,
    pub next_offset: u64,
    /// The newest entries, without gaps, up to `last`; among them all that are not yet placed.
    pub tail: VecDeque<TailEntry>,
    /// Entries that are part of the log and cannot be read.
    pub faulty: BTreeMap<u64, Fault>,
    pub placed: Placed,
}

impl GroupState {
    /// Nothing of it is left, neither on disk nor on the way there.
    pub(crate) fn is_nothing(&self) -> bool {
        let placed = &self.placed;
        let is_placed = placed.vote.is_some() || placed.purge.is_some() || placed.checkpoint.is_some();
        let is_known = self.vote.is_some() || self.purge.is_some() || self.checkpoint.is_some();
        !is_placed && !is_known && self.committed.is_none() && self.last.is_none() && placed.runs.is_empty()
    }

    /// The index that the next entry must have; `None` when any will do.
    pub(crate) fn due(&self) -> Option<u64> {
        match (self.last, self.purge) {
            (Some(last), _) => Some(last.2.0 + 1),
            (None, Some(purge)) => Some(purge.upto.2.0 + 1),
            (None, None) => None,
        }
    }

    /// The oldest index held, or the next one to be written.
    pub(crate) fn first_or_due(&self) -> u64 {
        if self.last.is_some() { self.first } else { self.due().unwrap_or(0) }
    }

    /// Takes in an entry that follows.
    pub(crate) fn push(&mut self, tail: TailEntry) {
        let entry = &tail.entry;
        if self.last.is_none() {
            self.first = entry.index.0;
            self.first_offset = entry.first_offset.0;
        }
        self.last = Some((entry.term, entry.leader, entry.index));
        self.next_offset = entry.next_offset().0;
        self.tail.push_back(tail);
    }

    /// The first index behind `index` whose entry is not to be read where it was written.
    pub(crate) fn next_displaced(&self, index: u64) -> Option<u64> {
        let faulty = self.faulty.range(index + 1..).next().map(|(index, _)| *index);
        let repaired = self.placed.repairs.range(index + 1..).next().map(|(index, _)| *index);
        faulty.into_iter().chain(repaired).min()
    }

    /// The entry in memory at `index`.
    pub(crate) fn in_tail(&self, index: u64) -> Option<&TailEntry> {
        let first = self.tail.front()?.entry.index.0;
        self.tail.get(usize::try_from(index.checked_sub(first)?).ok()?)
    }

    pub(crate) fn view(&self) -> GroupView {
        GroupView {
            vote: self.vote.clone(),
            first: self.last.map(|_| LogIndex(self.first)),
            last: self.last,
            purged: self.purge.map(|purge| purge.upto),
            checkpoint: self.checkpoint.as_ref().map(|c| (LogIndex(c.index), c.state.clone())),
            committed: self.committed.map(LogIndex),
            next_offset: Offset(self.next_offset),
            first_offset: Offset(if self.last.is_some() { self.first_offset } else { self.next_offset }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Kind;

    #[test]
    fn runs_follow_segments_truncation_and_purge() {
        let mut placed = Placed::default();
        let entry = |index, term| Record { kind: Kind::Entry, index, term, event_count: 2, ..Record::mark(0) };
        for index in 1..=4 {
            placed.entry(1, &entry(index, 1 + index / 3));
        }
        for index in 5..=8 {
            placed.entry(2, &entry(index, 2));
        }
        assert_eq!(placed.runs[0].terms.iter().map(|start| start.from).collect::<Vec<_>>(), [1, 3]);
        assert_eq!(placed.runs.len(), 2);
        assert_eq!(placed.run_of(5).map(|run| run.segment), Some(2));
        placed.truncate(4, Some(((Term(2), 0, LogIndex(3)), 2)));
        assert_eq!((placed.run_of(4), placed.last.map(|last| last.2)), (None, Some(LogIndex(3))));
        placed.entry(3, &entry(4, 5));
        assert_eq!(placed.run_of(4).map(|run| run.segment), Some(3));
        placed.trim(3, |_| 0);
        assert_eq!(placed.oldest_entry_segment(), Some(3));
        assert_eq!(placed.run_of(3), None);
    }
}
