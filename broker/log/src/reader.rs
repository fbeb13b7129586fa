//! Reading entries: from memory where they are, else from disk with every checksum looked at.

use std::sync::Arc;

use bytes::Bytes;
use pelton_env::UnixMillis;

use crate::cache::OpenSegment;
use crate::core::{Core, Sealed};
use crate::disk::DiskFile;
use crate::error::{Damage, ReadError};
use crate::index::{GroupPart, Repair, Slot};
use crate::log::Inner;
use crate::record::{HEADER_BYTES, Header, Kind};
use crate::repair::Fault;
use crate::segment::segment_name;
use crate::types::{Entry, EntryMeta, GroupId, LogIndex, Offset, Term};

/// Records that lie this close are read in one piece.
const READ_GAP_BYTES: u64 = 64 << 10;
/// Most bytes read in one piece, unless one record is larger.
const READ_SPAN_BYTES: u64 = 1 << 20;
/// A segment can be freed between finding an entry and reading it; then it is looked for once more.
const TRIES: usize = 3;

/// Where an entry is.
enum Found {
    /// Nowhere: beyond the end.
    Beyond,
    Memory,
    Active,
    Sealed(u64, Sealed),
    /// Nowhere: it was damaged.
    Faulty(Fault),
    /// In a copy: in the segment that is written, or in a sealed one.
    Repaired(Repair, Option<(u64, Sealed)>),
}

/// Entries to read from one file.
struct Plan {
    file: Arc<dyn DiskFile>,
    number: u64,
    use_id: u64,
    kind: Kind,
    slots: Vec<Wanted>,
}

/// An entry to read, as an index knows it.
struct Wanted {
    index: u64,
    slot: Slot,
    /// Term and leader.
    leadership: Option<(u64, u64)>,
}

/// Why a plan could not be carried out.
enum Missed {
    /// The segment was freed meanwhile.
    Freed(Damage),
    Failed(ReadError),
}

fn find(core: &Core, group: GroupId, index: LogIndex) -> Result<Found, ReadError> {
    let Some(state) = core.groups.get(&group) else { return Ok(Found::Beyond) };
    let first = state.first_or_due();
    if index.0 < first {
        return Err(ReadError::Purged { wanted: index, first: LogIndex(first) });
    }
    if state.last.is_none_or(|last| last.2 < index) {
        return Ok(Found::Beyond);
    }
    if state.in_tail(index.0).is_some() {
        return Ok(Found::Memory);
    }
    if let Some(fault) = state.faulty.get(&index.0) {
        return Ok(Found::Faulty(fault.clone()));
    }
    if let Some((segment, repair)) = state.placed.repairs.get(&index.0) {
        let sealed = core.sealed.get(segment).map(|sealed| (*segment, sealed.clone()));
        return Ok(Found::Repaired(*repair, sealed));
    }
    let run = state.placed.run_of(index.0).expect("an entry that is not in memory is placed");
    if run.segment == core.active.number {
        return Ok(Found::Active);
    }
    let sealed = core.sealed.get(&run.segment).expect("a run lies in a segment that is held");
    Ok(Found::Sealed(run.segment, sealed.clone()))
}

/// The entries from `from` on that lie in the same segment, up to `end` and about `max_bytes`, at least one.
fn slots(part: &GroupPart, from: u64, end: u64, max_bytes: u64) -> Vec<Wanted> {
    let mut slots = Vec::new();
    let mut bytes = 0;
    for index in from..end.min(part.end()) {
        let Some(slot) = part.slot(index) else { break };
        bytes += u64::from(slot.body_len);
        if bytes > max_bytes && !slots.is_empty() {
            break;
        }
        slots.push(Wanted { index, slot: *slot, leadership: part.leadership(slot) });
    }
    slots
}

impl Inner {
    /// Entries from `from` up to, not including, `to`; at least one when there is one, else about `max_bytes`.
    pub(crate) fn read(
        &self,
        group: GroupId,
        from: LogIndex,
        to: LogIndex,
        max_bytes: u64,
    ) -> Result<Vec<Entry>, ReadError> {
        let mut entries = Vec::new();
        let mut bytes = 0;
        let mut next = from;
        let mut tries = 0;
        while next < to && (entries.is_empty() || bytes < max_bytes) {
            let before = entries.len();
            match self.read_piece(group, next, to, max_bytes - bytes, &mut entries) {
                Ok(()) if entries.len() == before => break,
                Ok(()) => {}
                Err(Missed::Freed(_)) if tries + 1 < TRIES => tries += 1,
                Err(Missed::Freed(damage)) => return Err(ReadError::Damaged(damage)),
                Err(Missed::Failed(error)) => {
                    if let ReadError::Damaged(damage) = &error {
                        self.note_damage(damage);
                    }
                    if entries.is_empty() {
                        return Err(error);
                    }
                    break;
                }
            }
            bytes = entries.iter().map(|entry| entry.body.len() as u64).sum();
            next = LogIndex(from.0 + entries.len() as u64);
        }
        while entries.len() > 1 && bytes > max_bytes {
            bytes -= entries.pop().map_or(0, |entry| entry.body.len() as u64);
        }
        Ok(entries)
    }

    fn read_piece(
        &self,
        group: GroupId,
        from: LogIndex,
        to: LogIndex,
        max_bytes: u64,
        entries: &mut Vec<Entry>,
    ) -> Result<(), Missed> {
        let core = self.core.lock();
        let found = find(&core, group, from).map_err(Missed::Failed)?;
        let Some(state) = core.groups.get(&group) else { return Ok(()) };
        let end = state.last.map_or(0, |last| last.2.0 + 1).min(to.0);
        let in_place = end.min(state.next_displaced(from.0).unwrap_or(u64::MAX));
        let plan = match found {
            Found::Beyond => return Ok(()),
            Found::Memory => {
                let mut bytes = 0;
                for index in from.0..end {
                    let Some(tail) = state.in_tail(index) else { break };
                    bytes += tail.entry.body.len() as u64;
                    if bytes > max_bytes && index > from.0 {
                        break;
                    }
                    entries.push(tail.entry.clone());
                }
                return Ok(());
            }
            Found::Active => {
                let run_end = state.placed.run_of(from.0).map_or(0, |run| run.end);
                let part = &core.active.index.groups[&group.0];
                let plan = Plan {
                    file: Arc::clone(&core.active.file),
                    number: core.active.number,
                    use_id: core.active.use_id,
                    kind: Kind::Entry,
                    slots: slots(part, from.0, in_place.min(run_end), max_bytes),
                };
                // Whoever writes does not wait for the disk to be read.
                drop(core);
                plan
            }
            Found::Sealed(number, sealed) => {
                let run_end = state.placed.run_of(from.0).map_or(0, |run| run.end);
                drop(core);
                let segment = self.open_sealed(number, &sealed)?;
                let part = part(&segment, group)?;
                Plan {
                    file: self.file(&segment)?,
                    number,
                    use_id: segment.use_id,
                    kind: Kind::Entry,
                    slots: slots(part, from.0, in_place.min(run_end), max_bytes),
                }
            }
            Found::Faulty(fault) => return Err(Missed::Failed(self.fault_error(group, from, &fault))),
            Found::Repaired(repair, sealed) => {
                let leadership = Some((repair.term, repair.leader));
                let slots = vec![Wanted { index: from.0, slot: repair.slot, leadership }];
                match sealed {
                    None => {
                        let (file, number) = (Arc::clone(&core.active.file), core.active.number);
                        let plan = Plan { file, number, use_id: core.active.use_id, kind: Kind::Repair, slots };
                        drop(core);
                        plan
                    }
                    Some((number, sealed)) => {
                        drop(core);
                        let segment = self.open_sealed(number, &sealed)?;
                        Plan { file: self.file(&segment)?, number, use_id: segment.use_id, kind: Kind::Repair, slots }
                    }
                }
            }
        };
        self.carry_out(group, &plan, entries)
    }

    fn open_sealed(&self, number: u64, sealed: &Sealed) -> Result<Arc<OpenSegment>, Missed> {
        match self.cache.open(number, sealed) {
            Ok(Some(segment)) => Ok(segment),
            Ok(None) => Err(Missed::Freed(self.damage(number, sealed.size_bytes, None))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Err(Missed::Freed(self.damage(number, 0, None)))
            }
            Err(source) => Err(Missed::Failed(self.io_error(number, source))),
        }
    }

    /// The file of a segment that holds an entry that is not faulty.
    fn file(&self, segment: &OpenSegment) -> Result<Arc<dyn DiskFile>, Missed> {
        segment.file.clone().ok_or_else(|| Missed::Freed(self.damage(segment.number, 0, None)))
    }

    fn io_error(&self, number: u64, source: std::io::Error) -> ReadError {
        ReadError::Io { file: self.disk.describe(&segment_name(number)), source }
    }

    fn damage(&self, number: u64, position: u64, of: Option<(GroupId, u64, &Slot)>) -> Damage {
        Damage {
            file: self.disk.describe(&segment_name(number)),
            position,
            group: of.map(|(group, ..)| group),
            index: of.map(|(_, index, _)| LogIndex(index)),
            offsets: of.map(|(_, _, slot)| (Offset(slot.first_offset), Offset(slot.next_offset()))),
        }
    }

    fn carry_out(&self, group: GroupId, plan: &Plan, entries: &mut Vec<Entry>) -> Result<(), Missed> {
        let mut rest = &plan.slots[..];
        while let Some(first) = rest.first() {
            let start = first.slot.position();
            let mut end = start;
            let mut count = 0;
            for Wanted { slot, .. } in rest {
                let position = slot.position();
                let slot_end = position + HEADER_BYTES as u64 + u64::from(slot.body_len);
                let far = position > end + READ_GAP_BYTES || slot_end - start > READ_SPAN_BYTES;
                if count > 0 && far {
                    break;
                }
                end = slot_end;
                count += 1;
            }
            let mut buffer = vec![0; usize::try_from(end - start).unwrap_or(0)];
            let read = plan
                .file
                .read_at(&mut buffer, start)
                .map_err(|source| Missed::Failed(self.io_error(plan.number, source)))?;
            buffer.truncate(read);
            let buffer = Bytes::from(buffer);
            for wanted @ Wanted { index, slot, .. } in &rest[..count] {
                let at = usize::try_from(slot.position() - start).unwrap_or(usize::MAX);
                let damage = || self.damage(plan.number, slot.position(), Some((group, *index, slot)));
                match entry_at(&buffer, at, group, wanted, plan) {
                    Check::Whole(entry) => entries.push(entry),
                    Check::Freed => return Err(Missed::Freed(damage())),
                    Check::Damaged if !self.is_held(plan) => return Err(Missed::Freed(damage())),
                    Check::Damaged => return Err(Missed::Failed(ReadError::Damaged(damage()))),
                }
            }
            rest = &rest[count..];
        }
        Ok(())
    }

    /// Whether the file of a plan is still what it was when the plan was made.
    fn is_held(&self, plan: &Plan) -> bool {
        let core = self.core.lock();
        let use_id = match core.sealed.get(&plan.number) {
            Some(sealed) => Some(sealed.use_id),
            None => (core.active.number == plan.number).then_some(core.active.use_id),
        };
        use_id == Some(plan.use_id)
    }

    /// What is known about the entry at `index`; `None` beyond the end.
    pub(crate) fn entry_meta(&self, group: GroupId, index: LogIndex) -> Result<Option<EntryMeta>, ReadError> {
        self.again(|| {
            let core = self.core.lock();
            match find(&core, group, index).map_err(Missed::Failed)? {
                Found::Beyond => Ok(None),
                Found::Memory => {
                    let state = core.groups.get(&group);
                    Ok(state.and_then(|state| state.in_tail(index.0)).map(|tail| tail.meta()))
                }
                Found::Active => Ok(core.active.index.groups.get(&group.0).and_then(|part| part.meta(index.0))),
                Found::Sealed(number, sealed) => {
                    drop(core);
                    let segment = self.open_sealed(number, &sealed)?;
                    Ok(part(&segment, group)?.meta(index.0))
                }
                Found::Faulty(Fault { meta: Some(meta), .. }) => Ok(Some(meta)),
                Found::Faulty(fault) => Err(Missed::Failed(self.fault_error(group, index, &fault))),
                Found::Repaired(repair, _) => Ok(Some(repair.meta(index.0))),
            }
        })
    }

    fn again<T>(&self, mut attempt: impl FnMut() -> Result<T, Missed>) -> Result<T, ReadError> {
        let mut tries = 0;
        loop {
            match attempt() {
                Ok(value) => return Ok(value),
                Err(Missed::Failed(error)) => return Err(error),
                Err(Missed::Freed(damage)) => {
                    tries += 1;
                    if tries == TRIES {
                        return Err(ReadError::Damaged(damage));
                    }
                }
            }
        }
    }

    /// The entry that holds the event at `offset`, or the first one after it; `None` at the end.
    pub(crate) fn index_of_offset(&self, group: GroupId, offset: Offset) -> Result<Option<LogIndex>, ReadError> {
        let found = self.index_where_written(group, offset)?;
        // The offsets of a stretch of entries of which nothing was known are counted to the first of them; copies that
        // took their places know better.
        let core = self.core.lock();
        let repairs = core.groups.get(&group).map(|state| &state.placed.repairs);
        let ends_before = |index: &LogIndex| {
            let repaired = repairs.and_then(|repairs| repairs.get(&index.0));
            repaired.is_some_and(|(_, repair)| repair.slot.next_offset() <= offset.0)
        };
        Ok(found.map(|mut index| {
            while ends_before(&index) {
                index = LogIndex(index.0 + 1);
            }
            index
        }))
    }

    fn index_where_written(&self, group: GroupId, offset: Offset) -> Result<Option<LogIndex>, ReadError> {
        self.again(|| {
            let core = self.core.lock();
            let Some(state) = core.groups.get(&group) else { return Ok(None) };
            let view_first = if state.last.is_some() { state.first_offset } else { state.next_offset };
            if offset.0 < view_first {
                let (wanted, first) = (offset, Offset(view_first));
                return Err(Missed::Failed(ReadError::OffsetPurged { wanted, first }));
            }
            if offset.0 >= state.next_offset {
                return Ok(None);
            }
            let tail_first = state.tail.front().map(|tail| tail.entry.first_offset.0);
            let after = state.placed.runs.partition_point(|run| run.first_offset <= offset.0);
            if tail_first.is_none_or(|first| first > offset.0)
                && let Some(run) = after.checked_sub(1).and_then(|at| state.placed.runs.get(at)).cloned()
            {
                let sealed = core.sealed.get(&run.segment).cloned();
                let at = |part: &GroupPart| first_covering(part, run.first.max(state.first), run.end, offset.0);
                return match sealed {
                    None => Ok(core.active.index.groups.get(&group.0).and_then(at).or(Some(LogIndex(run.end)))),
                    Some(sealed) => {
                        let first = run.first.max(state.first);
                        drop(core);
                        let segment = self.open_sealed(run.segment, &sealed)?;
                        let part = part(&segment, group)?;
                        Ok(first_covering(part, first, run.end, offset.0).or(Some(LogIndex(run.end))))
                    }
                };
            }
            let at = state.tail.partition_point(|tail| tail.entry.next_offset() <= offset);
            Ok(state.tail.get(at).map(|tail| tail.entry.index))
        })
    }

    /// The first entry that was appended at `time` or later; `None` when there is none.
    pub(crate) fn first_since(&self, group: GroupId, time: UnixMillis) -> Result<Option<EntryMeta>, ReadError> {
        self.again(|| {
            let core = self.core.lock();
            let Some(state) = core.groups.get(&group) else { return Ok(None) };
            let Some(last) = state.last else { return Ok(None) };
            let (first, end) = (state.first, last.2.0 + 1);
            let runs: Vec<_> = state.placed.runs.iter().filter(|run| run.latest >= time.0).cloned().collect();
            let in_memory = state.tail.iter().find(|tail| tail.time >= time).map(|tail| tail.meta());
            let sealed: Vec<_> = runs.iter().map(|run| core.sealed.get(&run.segment).cloned()).collect();
            let late = |part: &GroupPart, from: u64, to: u64| {
                (from..to).filter_map(|index| part.meta(index)).find(|meta| meta.appended_at >= time)
            };
            let active = |core: &Core, from, to| core.active.index.groups.get(&group.0).and_then(|p| late(p, from, to));
            let in_active = runs.iter().zip(&sealed).find_map(|(run, sealed)| match sealed {
                None => active(&core, run.first.max(first), run.end.min(end)),
                Some(_) => None,
            });
            drop(core);
            for (run, sealed) in runs.iter().zip(&sealed) {
                let Some(sealed) = sealed else { continue };
                let segment = self.open_sealed(run.segment, sealed)?;
                let found = late(part(&segment, group)?, run.first.max(first), run.end.min(end));
                if found.is_some() {
                    return Ok(found);
                }
            }
            Ok(in_active.into_iter().chain(in_memory).min_by_key(|meta| meta.index))
        })
    }
}

fn part(segment: &OpenSegment, group: GroupId) -> Result<&GroupPart, Missed> {
    segment.index.groups.get(&group.0).ok_or_else(|| {
        let (file, position) = (segment_name(segment.number), 0);
        Missed::Failed(ReadError::Damaged(Damage { file, position, group: Some(group), index: None, offsets: None }))
    })
}

/// The first entry of `first..end` whose events reach past `offset`.
fn first_covering(part: &GroupPart, first: u64, end: u64, offset: u64) -> Option<LogIndex> {
    let (mut low, mut high) = (first, end.min(part.end()));
    while low < high {
        let middle = low + (high - low) / 2;
        if part.slot(middle)?.next_offset() <= offset {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    (low < end.min(part.end())).then_some(LogIndex(low))
}

/// What lies where an entry should be.
enum Check {
    Whole(Entry),
    /// A record of another use of the file.
    Freed,
    Damaged,
}

fn entry_at(buffer: &Bytes, at: usize, group: GroupId, wanted: &Wanted, plan: &Plan) -> Check {
    let Wanted { index, slot, leadership } = wanted;
    let Some(header) = buffer.get(at..).and_then(Header::decode) else { return Check::Damaged };
    if header.use_id != plan.use_id {
        return Check::Freed;
    }
    let body_at = at + HEADER_BYTES;
    let body_end = body_at + slot.body_len as usize;
    let named = (header.kind, header.group, header.index) == (plan.kind, group.0, *index);
    // An entry that was truncated may lie where a later one of the same index should.
    let same = named && *leadership == Some((header.term, header.leader));
    if !same || body_end > buffer.len() || !header.body_is_whole(&buffer[body_at..body_end]) {
        return Check::Damaged;
    }
    Check::Whole(Entry {
        term: Term(header.term),
        leader: header.leader,
        index: LogIndex(*index),
        kind: header.caller_kind,
        first_offset: Offset(header.first_offset),
        event_count: header.event_count,
        body: buffer.slice(body_at..body_end),
    })
}
