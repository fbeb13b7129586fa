//! What the callers, the flusher and the readers share, behind one short lock.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use pelton_env::UnixMillis;

use crate::aligned::align_up;
use crate::disk::DiskFile;
use crate::error::Refused;
use crate::group::{Checkpoint, GroupState, Placed, TailEntry};
use crate::index::{Purge, SegmentIndex};
use crate::options::Options;
use crate::record::{HEADER_BYTES, Header, Kind, Record, stored_bytes};
use crate::segment::{BLOCK_BYTES, SEGMENT_OVERHEAD_BYTES};
use crate::standing::Standing;
use crate::types::{Completion, Entry, GroupId, LogIndex, Offset, Term};

/// The segment that is written.
#[derive(Debug)]
pub(crate) struct Active {
    pub number: u64,
    pub use_id: u64,
    pub size_bytes: u64,
    pub file: Arc<dyn DiskFile>,
    pub index: SegmentIndex,
    /// It is damaged: it is sealed before anything more is written.
    pub is_worn: bool,
}

impl Active {
    /// Bytes that flushes may still take, when `records` more come.
    pub(crate) fn room(&self, records: u64) -> u64 {
        if self.is_worn {
            return 0;
        }
        let footer = align_up(self.index.footer_bound(records), BLOCK_BYTES as u64) + BLOCK_BYTES as u64;
        self.size_bytes.saturating_sub(self.index.end + footer)
    }
}

/// A segment that is no longer written.
#[derive(Debug, Clone)]
pub(crate) struct Sealed {
    pub use_id: u64,
    pub size_bytes: u64,
    /// Where its records end.
    pub end: u64,
    /// Its index, when the footer on disk cannot be used.
    pub pinned: Option<Arc<SegmentIndex>>,
    /// There is no file of it, and all its entries are faulty or repaired.
    pub is_lost: bool,
}

/// What waits for the flusher, in order of submission.
#[derive(Default)]
pub(crate) struct Queue {
    pub records: Vec<Record>,
    /// Each is called when that many records of `records` are durable.
    pub completions: VecDeque<(usize, Completion)>,
}

impl Queue {
    pub(crate) fn is_empty(&self) -> bool {
        self.records.is_empty() && self.completions.is_empty()
    }
}

/// Blocks kept for the records of a purge and of what it frees: the purge, what is carried forward, the mark, and the
/// rounding of each.
const KEPT_BLOCKS: u64 = 6;

/// What is prepared behind the active segment, when nothing more can be had.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Prepared {
    pub spares: usize,
    /// Bytes of records that they can hold.
    pub spare_bytes: u64,
}

/// The state behind the lock.
pub(crate) struct Core {
    pub groups: BTreeMap<GroupId, GroupState>,
    /// Groups that were forgotten, and the sequences of the records that say so: one that comes back must not be taken
    /// for the one that was.
    forgotten: BTreeMap<GroupId, u64>,
    pub queue: Queue,
    /// Bytes of segment that the queue and the flush under way will take at most.
    pub queued_bytes: u64,
    /// The largest share of `queued_bytes` that one record has, since nothing waited.
    queued_largest_bytes: u64,
    pub tail_bytes: u64,
    /// Entries in memory that are placed, oldest first; they may go when memory is short.
    evictable: VecDeque<(GroupId, u64)>,
    /// Length of `evictable` when it was last rid of entries that are no longer there.
    evictable_swept: usize,
    next_ticket: u64,
    pub failed: Option<Arc<io::Error>>,
    pub stopping: bool,
    pub active: Active,
    pub sealed: BTreeMap<u64, Sealed>,
    pub oldest: u64,
    /// Something happened that may let old segments go.
    pub check_free: bool,
}

/// Bytes of segment that `record` takes when it goes in a flush of its own.
pub(crate) fn worst_cost(record: &Record) -> u64 {
    cost_of(record.body.len() as u64)
}

fn cost_of(body_bytes: u64) -> u64 {
    // Its share of the footer is below 256 bytes.
    align_up(stored_bytes(body_bytes), BLOCK_BYTES as u64) + 256
}

/// Bytes of a prepared segment that records can count on.
pub(crate) fn usable_bytes(segment_size_bytes: u64) -> u64 {
    segment_size_bytes.saturating_sub(SEGMENT_OVERHEAD_BYTES)
}

impl Core {
    pub(crate) fn new(
        groups: BTreeMap<GroupId, GroupState>,
        forgotten: BTreeMap<GroupId, u64>,
        active: Active,
        sealed: BTreeMap<u64, Sealed>,
        oldest: u64,
    ) -> Self {
        Self {
            groups,
            forgotten,
            queue: Queue::default(),
            queued_bytes: 0,
            queued_largest_bytes: 0,
            tail_bytes: 0,
            evictable: VecDeque::new(),
            evictable_swept: 0,
            next_ticket: 0,
            failed: None,
            stopping: false,
            active,
            sealed,
            oldest,
            check_free: true,
        }
    }

    /// Whether the flusher has something to do at once.
    pub(crate) fn is_work_due(&self) -> bool {
        self.failed.is_some() || self.check_free || self.stopping || !self.queue.is_empty()
    }

    fn refuse_if_over(&self) -> Result<(), io::Error> {
        match &self.failed {
            Some(error) => Err(io::Error::new(error.kind(), Arc::clone(error))),
            None if self.stopping => Err(Refused::ShutDown.into_io()),
            None => Ok(()),
        }
    }

    /// Whether records of `cost` bytes together, `largest` the largest of them, may join the queue.
    fn admit(
        &mut self,
        cost: u64,
        largest: u64,
        prepared: Option<Prepared>,
        options: &Options,
    ) -> Result<(), io::Error> {
        self.refuse_if_over()?;
        if self.queued_bytes + cost > options.max_queued_bytes {
            return Err(Refused::QueueFull.into_io());
        }
        let waiting = if self.queued_bytes == 0 { 0 } else { self.queued_largest_bytes };
        let largest = waiting.max(largest);
        if prepared.is_some_and(|prepared| cost > self.room(prepared, largest)) {
            return Err(Refused::StorageFull.into_io());
        }
        self.queued_largest_bytes = largest;
        self.queued_bytes += cost;
        Ok(())
    }

    /// Bytes of records, none above `largest`, that `prepared` and the active segment can take beside what waits.
    pub(crate) fn room(&self, prepared: Prepared, largest: u64) -> u64 {
        // At the end of each segment less than one record is lost.
        let lost = prepared.spares as u64 * largest;
        let all = self.active.room(0) + prepared.spare_bytes;
        all.saturating_sub(self.queued_bytes + lost + self.kept_for_freeing())
    }

    /// Bytes that must stay when the disk is full, so that a purge can be written and old segments can go.
    fn kept_for_freeing(&self) -> u64 {
        let carried = |state: &GroupState| {
            let vote = state.vote.as_ref().map_or(0, |vote| vote.len() as u64);
            let checkpoint = state.checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.state.len() as u64);
            vote + checkpoint + 3 * (HEADER_BYTES as u64 + 256)
        };
        self.groups.values().map(carried).sum::<u64>() + KEPT_BLOCKS * BLOCK_BYTES as u64
    }

    fn promise(&mut self, done: Completion) {
        self.queue.completions.push_back((self.queue.records.len(), done));
    }

    /// Takes in entries, all or none.
    pub(crate) fn append(
        &mut self,
        group: GroupId,
        entries: Vec<Entry>,
        now: UnixMillis,
        prepared: Option<Prepared>,
        options: &Options,
        done: Completion,
    ) -> Result<(), (io::Error, Completion)> {
        let state = self.groups.entry(group).or_default();
        let mut due = state.due();
        let mut due_offset = state.last.is_some().then_some(state.next_offset);
        let (mut cost, mut largest) = (0, 0);
        for entry in &entries {
            let size_bytes = entry.body.len() as u64;
            let refusal = if size_bytes > options.max_record_bytes {
                Some(Refused::TooLarge { size_bytes, limit_bytes: options.max_record_bytes })
            } else if due.is_some_and(|due| due != entry.index.0) {
                Some(Refused::Gap { found: entry.index, due: LogIndex(due.unwrap_or(0)) })
            } else {
                due_offset
                    .filter(|due| entry.first_offset.0 < *due)
                    .map(|due| Refused::OffsetBehind { found: entry.first_offset, due: Offset(due) })
            };
            if let Some(refusal) = refusal {
                return Err((refusal.into_io(), done));
            }
            due = Some(entry.index.0 + 1);
            due_offset = Some(entry.next_offset().0);
            let own = cost_of(size_bytes);
            (cost, largest) = (cost + own, own.max(largest));
        }
        if let Err(error) = self.admit(cost, largest, prepared, options) {
            return Err((error, done));
        }
        let state = self.groups.entry(group).or_default();
        for entry in entries {
            let ticket = self.next_ticket;
            self.next_ticket += 1;
            self.tail_bytes += tail_cost(&entry);
            let committed = state.committed;
            self.queue.records.push(Record { committed, ticket, ..entry_record(group, &entry, now) });
            state.push(TailEntry { entry, time: now, ticket });
        }
        self.promise(done);
        Ok(())
    }

    /// Takes in a record without a place among the entries.
    fn submit(
        &mut self,
        record: Record,
        prepared: Option<Prepared>,
        options: &Options,
        done: Completion,
    ) -> Result<(), (io::Error, Completion)> {
        let size_bytes = record.body.len() as u64;
        if size_bytes > options.max_record_bytes {
            let limit_bytes = options.max_record_bytes;
            return Err((Refused::TooLarge { size_bytes, limit_bytes }.into_io(), done));
        }
        let cost = worst_cost(&record);
        if let Err(error) = self.admit(cost, cost, prepared, options) {
            return Err((error, done));
        }
        self.queue.records.push(record);
        self.promise(done);
        Ok(())
    }

    /// Completes `done` in its turn.
    pub(crate) fn nothing_to_do(&mut self, done: Completion) -> Result<(), (io::Error, Completion)> {
        if let Err(error) = self.refuse_if_over() {
            return Err((error, done));
        }
        self.promise(done);
        Ok(())
    }

    pub(crate) fn save_vote(
        &mut self,
        group: GroupId,
        vote: Bytes,
        now: UnixMillis,
        prepared: Option<Prepared>,
        options: &Options,
        done: Completion,
    ) -> Result<(), (io::Error, Completion)> {
        let committed = self.groups.get(&group).and_then(|state| state.committed);
        let record = Record { kind: Kind::Vote, group: group.0, committed, body: vote.clone(), ..Record::mark(now.0) };
        self.submit(record, prepared, options, done)?;
        self.groups.entry(group).or_default().vote = Some(vote);
        Ok(())
    }

    pub(crate) fn save_checkpoint(
        &mut self,
        group: GroupId,
        checkpoint: Checkpoint,
        now: UnixMillis,
        prepared: Option<Prepared>,
        options: &Options,
        done: Completion,
    ) -> Result<(), (io::Error, Completion)> {
        let committed = self.groups.get(&group).and_then(|state| state.committed);
        let record = Record { committed, ..checkpoint_record(group, &checkpoint, now.0) };
        self.submit(record, prepared, options, done)?;
        self.groups.entry(group).or_default().checkpoint = Some(checkpoint);
        Ok(())
    }

    /// Drops entries from `keep_below` on; `kept` is the entry before it, when there is one.
    pub(crate) fn truncate(
        &mut self,
        group: GroupId,
        keep_below: u64,
        kept: Option<crate::types::EntryMeta>,
        now: UnixMillis,
        options: &Options,
        done: Completion,
    ) -> Result<(), (io::Error, Completion)> {
        let record = Record { kind: Kind::Truncate, group: group.0, index: keep_below, ..Record::mark(now.0) };
        let record = match kept {
            Some(kept) => Record {
                term: kept.term.0,
                leader: kept.leader,
                first_offset: kept.first_offset.0 + u64::from(kept.event_count),
                event_count: 1,
                ..record
            },
            None => record,
        };
        self.submit(record, None, options, done)?;
        let state = self.groups.entry(group).or_default();
        while state.tail.back().is_some_and(|tail| tail.entry.index.0 >= keep_below) {
            let gone = state.tail.pop_back().expect("just seen");
            self.tail_bytes -= tail_cost(&gone.entry);
        }
        state.faulty.split_off(&keep_below);
        if state.last.is_some_and(|last| last.2.0 >= keep_below) {
            match kept {
                Some(meta) => {
                    state.last = Some(meta.log_id());
                    state.next_offset = meta.first_offset.0 + u64::from(meta.event_count);
                }
                None => {
                    state.last = None;
                    state.next_offset = state.purge.map_or(state.first_offset, |purge| purge.next_offset);
                }
            }
        }
        Ok(())
    }

    /// Drops entries up to `purge.upto`.
    pub(crate) fn purge(
        &mut self,
        group: GroupId,
        purge: Purge,
        now: UnixMillis,
        options: &Options,
        done: Completion,
    ) -> Result<(), (io::Error, Completion)> {
        self.submit(purge_record(group, &purge, now.0), None, options, done)?;
        let state = self.groups.entry(group).or_default();
        let upto = purge.upto.2.0;
        while state.tail.front().is_some_and(|tail| tail.entry.index.0 <= upto) {
            let gone = state.tail.pop_front().expect("just seen");
            self.tail_bytes -= tail_cost(&gone.entry);
        }
        state.purge = Some(purge);
        state.faulty = state.faulty.split_off(&(upto + 1));
        if state.last.is_some_and(|last| last.2.0 > upto) {
            state.first = state.first.max(upto + 1);
            state.first_offset = purge.next_offset;
        } else {
            state.last = None;
            state.next_offset = purge.next_offset;
        }
        Ok(())
    }

    /// Drops everything of a group.
    pub(crate) fn forget(
        &mut self,
        group: GroupId,
        now: UnixMillis,
        options: &Options,
        done: Completion,
    ) -> Result<(), (io::Error, Completion)> {
        if !self.groups.contains_key(&group) {
            return self.nothing_to_do(done);
        }
        self.submit(Record { kind: Kind::Forget, group: group.0, ..Record::mark(now.0) }, None, options, done)?;
        let state = self.groups.entry(group).or_default();
        self.tail_bytes -= state.tail.iter().map(|tail| tail_cost(&tail.entry)).sum::<u64>();
        // What is on disk holds its segments until it is durable that nobody wants them.
        *state = GroupState { placed: std::mem::take(&mut state.placed), ..GroupState::default() };
        Ok(())
    }

    /// Takes in a sound copy of an entry that is faulty.
    pub(crate) fn repair(
        &mut self,
        group: GroupId,
        entry: Entry,
        now: UnixMillis,
        prepared: Option<Prepared>,
        options: &Options,
        done: Completion,
    ) -> Result<(), (io::Error, Completion)> {
        let Some(fault) = self.groups.get(&group).and_then(|state| state.faulty.get(&entry.index.0)) else {
            return self.nothing_to_do(done);
        };
        if let Some(what) = fault.differs_from(&entry) {
            return Err((Refused::NotTheSame { index: entry.index, what }.into_io(), done));
        }
        let record = Record { kind: Kind::Repair, ..entry_record(group, &entry, now) };
        self.submit(record, prepared, options, done)
    }

    /// Takes in that `record` is durable at `position` of the active segment.
    pub(crate) fn place(&mut self, record: &Record, header: &Header, position: u64) {
        let segment = self.active.number;
        let position = u32::try_from(position).expect("segments are at most 1 GiB");
        self.active.index.apply(header, position).expect("entries were checked when they were submitted");
        if record.kind == Kind::Mark {
            return;
        }
        let group = GroupId(record.group);
        let placed = &mut self.groups.entry(group).or_default().placed;
        match record.kind {
            Kind::Entry => {
                placed.entry(segment, record);
                self.evictable.push_back((group, record.ticket));
            }
            Kind::Vote => placed.vote = Some((segment, record.body.clone())),
            Kind::Truncate => {
                let before = LogIndex(record.index.saturating_sub(1));
                let kept = ((Term(record.term), record.leader, before), record.first_offset);
                placed.truncate(record.index, (record.event_count == 1).then_some(kept));
            }
            Kind::Purge => {
                let upto = (Term(record.term), record.leader, LogIndex(record.index));
                placed.purge = Some((segment, Purge { upto, next_offset: record.first_offset }));
                placed.trim(record.index, |_| record.first_offset);
            }
            Kind::Checkpoint => {
                let checkpoint = Checkpoint { index: record.index, term: record.term, state: record.body.clone() };
                placed.checkpoint = Some((segment, checkpoint));
            }
            Kind::Forget => {
                *placed = Placed::default();
                self.forgotten.insert(group, header.sequence);
            }
            Kind::Repair => {
                let repair =
                    self.active.index.groups.get(&record.group).and_then(|part| part.repairs.get(&record.index));
                if let Some(repair) = repair {
                    placed.repairs.insert(record.index, (segment, *repair));
                }
                if let Some(state) = self.groups.get_mut(&group) {
                    state.faulty.remove(&record.index);
                }
            }
            Kind::Mark => {}
        }
        // A truncation may come behind the end of its group, too.
        let may_end = matches!(record.kind, Kind::Forget | Kind::Truncate);
        if may_end && self.groups.get(&group).is_some_and(GroupState::is_nothing) {
            self.groups.remove(&group);
        }
        // Any of these may have been what held an old segment.
        self.check_free |= record.kind != Kind::Entry;
    }

    /// Lets placed entries go until the tail fits its bound.
    pub(crate) fn evict(&mut self, bound_bytes: u64) {
        while self.tail_bytes > bound_bytes {
            let Some((group, ticket)) = self.evictable.pop_front() else { break };
            let Some(state) = self.groups.get_mut(&group) else { continue };
            if state.tail.front().is_some_and(|tail| tail.ticket == ticket) {
                let gone = state.tail.pop_front().expect("just seen");
                self.tail_bytes -= tail_cost(&gone.entry);
            }
        }
        // Tickets of entries that were purged or truncated must not pile up.
        if self.evictable.len() > 2 * self.evictable_swept + 1_024 {
            let groups = &self.groups;
            self.evictable.retain(|(group, ticket)| {
                let tail = groups.get(group).map(|state| &state.tail);
                tail.and_then(VecDeque::front).is_some_and(|oldest| oldest.ticket <= *ticket)
            });
            self.evictable_swept = self.evictable.len();
        }
    }

    /// The lowest segment that must stay because of an entry.
    pub(crate) fn oldest_needed(&self) -> u64 {
        self.groups
            .values()
            .filter_map(|state| state.placed.oldest_entry_segment())
            .min()
            .unwrap_or(self.active.number)
            .min(self.active.number)
    }

    /// How all groups stand on disk.
    pub(crate) fn standing(&self) -> Standing {
        let before = self.sealed.last_key_value().map(|(number, sealed)| (*number, sealed.use_id));
        Standing::of(before, self.groups.iter().map(|(group, state)| (group, &state.placed)), &self.forgotten)
    }

    /// Records that say again what lies only below segment `keep_from`.
    pub(crate) fn carried_forward(&self, keep_from: u64, now: UnixMillis) -> Vec<Record> {
        let mut records = Vec::new();
        for (group, state) in &self.groups {
            let placed = &state.placed;
            if let Some((_, vote)) = placed.vote.as_ref().filter(|(segment, _)| *segment < keep_from) {
                records.push(Record { kind: Kind::Vote, group: group.0, body: vote.clone(), ..Record::mark(now.0) });
            }
            if let Some((_, purge)) = placed.purge.as_ref().filter(|(segment, _)| *segment < keep_from) {
                records.push(purge_record(*group, purge, now.0));
            }
            if let Some((_, checkpoint)) = placed.checkpoint.as_ref().filter(|(segment, _)| *segment < keep_from) {
                records.push(checkpoint_record(*group, checkpoint, now.0));
            }
        }
        records
    }
}

fn tail_cost(entry: &Entry) -> u64 {
    (entry.body.len() + size_of::<TailEntry>()) as u64
}

fn entry_record(group: GroupId, entry: &Entry, now: UnixMillis) -> Record {
    Record {
        kind: Kind::Entry,
        caller_kind: entry.kind,
        group: group.0,
        term: entry.term.0,
        leader: entry.leader,
        index: entry.index.0,
        first_offset: entry.first_offset.0,
        event_count: entry.event_count,
        body: entry.body.clone(),
        ..Record::mark(now.0)
    }
}

fn checkpoint_record(group: GroupId, checkpoint: &Checkpoint, time: u64) -> Record {
    Record {
        kind: Kind::Checkpoint,
        group: group.0,
        term: checkpoint.term,
        index: checkpoint.index,
        body: checkpoint.state.clone(),
        ..Record::mark(time)
    }
}

fn purge_record(group: GroupId, purge: &Purge, time: u64) -> Record {
    Record {
        kind: Kind::Purge,
        group: group.0,
        term: purge.upto.0.0,
        leader: purge.upto.1,
        index: purge.upto.2.0,
        first_offset: purge.next_offset,
        ..Record::mark(time)
    }
}
