//! What one segment holds, and what it does to the groups: built record by record, kept as the segment's footer.

use std::collections::{BTreeMap, VecDeque};

use crate::group::TermStart;
use crate::record::{Counts, Header, Kind, u32_at, u64_at};
use crate::salvage::Known;
use crate::standing::{RunStanding, Standing};
use crate::types::{EntryMeta, LogId, LogIndex, Offset, Term};

/// One entry of a segment, 32 bytes. Its index is its place in the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Slot {
    pub first_offset: u64,
    pub time: u64,
    /// Byte offset of the record in the segment; segments are at most 1 GiB. The highest bit says that the record is
    /// faulty; a faulty one at 0 is not known to lie anywhere.
    position: u32,
    pub body_len: u32,
    pub event_count: u32,
    /// The caller's kind in the low byte, above it the place in the list of (term, leader), or [`NO_LEADERSHIP`].
    leadership_and_kind: u32,
}

const FAULTY: u32 = 1 << 31;
/// The term of a faulty entry is not known.
const NO_LEADERSHIP: u32 = 0xff_ffff;

impl Slot {
    pub(crate) fn caller_kind(&self) -> u8 {
        (self.leadership_and_kind & 0xff) as u8
    }

    pub(crate) fn next_offset(&self) -> u64 {
        self.first_offset + u64::from(self.event_count)
    }

    /// Byte offset of the record in the segment; 0 when it is not known.
    pub(crate) fn position(&self) -> u64 {
        u64::from(self.position & !FAULTY)
    }

    pub(crate) fn is_faulty(&self) -> bool {
        self.position & FAULTY != 0
    }

    /// Of an entry that must have been, and of which nothing is known.
    fn unknown(first_offset: u64, event_count: u32, time: u64) -> Self {
        let leadership_and_kind = NO_LEADERSHIP << 8;
        Self { first_offset, time, position: FAULTY, body_len: 0, event_count, leadership_and_kind }
    }

    fn encode(&self, out: &mut Out) {
        out.u64(self.first_offset);
        out.u64(self.time);
        for value in [self.position, self.body_len, self.event_count, self.leadership_and_kind] {
            out.u32(value);
        }
    }

    fn decode(input: &mut In<'_>) -> Option<Self> {
        Some(Self {
            first_offset: input.u64()?,
            time: input.u64()?,
            position: input.u32()?,
            body_len: input.u32()?,
            event_count: input.u32()?,
            leadership_and_kind: input.u32()?,
        })
    }
}

/// A sound copy of an entry, in a later segment than the damaged one or further on in the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Repair {
    pub slot: Slot,
    pub term: u64,
    pub leader: u64,
}

impl Repair {
    fn of(header: &Header, position: u32) -> Self {
        let slot = Slot {
            first_offset: header.first_offset,
            time: header.time,
            position,
            body_len: header.body_len,
            event_count: header.event_count,
            leadership_and_kind: u32::from(header.caller_kind),
        };
        Self { slot, term: header.term, leader: header.leader }
    }

    pub(crate) fn meta(&self, index: u64) -> EntryMeta {
        meta_of(&self.slot, self.term, self.leader, index)
    }
}

fn meta_of(slot: &Slot, term: u64, leader: u64, index: u64) -> EntryMeta {
    EntryMeta {
        term: Term(term),
        leader,
        index: LogIndex(index),
        kind: slot.caller_kind(),
        first_offset: Offset(slot.first_offset),
        event_count: slot.event_count,
        body_bytes: slot.body_len,
        appended_at: pelton_env::UnixMillis(slot.time),
    }
}

/// Where a record lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub position: u32,
    pub body_len: u32,
    /// Of the record: another whole one may lie there when a write went to the wrong place. Not known in version 2.
    pub sequence: Option<u64>,
}

/// A checkpoint in a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CheckpointPlace {
    pub index: u64,
    pub term: u64,
    pub place: Place,
}

/// A purge: everything up to `upto` is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Purge {
    pub upto: LogId,
    pub next_offset: u64,
}

/// A record does not fit what came before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OutOfOrder;

/// What one segment says about one group.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct GroupPart {
    /// Everything of the group before is gone: sequence of the record that says so, 0 when it is not known.
    pub forgotten: Option<u64>,
    /// Entries of earlier segments from this index on are gone.
    pub keep_below: Option<u64>,
    pub purge: Option<Purge>,
    pub vote: Option<Place>,
    /// The last two checkpoints, oldest first.
    pub checkpoints: Vec<CheckpointPlace>,
    pub committed: Option<u64>,
    /// Index of the first slot.
    pub first: u64,
    pub slots: VecDeque<Slot>,
    leaderships: Vec<(u64, u64)>,
    /// Copies of damaged entries of any place before.
    pub repairs: BTreeMap<u64, Repair>,
}

impl GroupPart {
    /// Index after the last slot.
    pub(crate) fn end(&self) -> u64 {
        self.first + self.slots.len() as u64
    }

    pub(crate) fn slot(&self, index: u64) -> Option<&Slot> {
        self.slots.get(usize::try_from(index.checked_sub(self.first)?).ok()?)
    }

    pub(crate) fn meta(&self, index: u64) -> Option<EntryMeta> {
        let slot = self.slot(index)?;
        let (term, leader) = self.leadership(slot)?;
        Some(meta_of(slot, term, leader, index))
    }

    /// Term and leader of an entry, when they are known.
    pub(crate) fn leadership(&self, slot: &Slot) -> Option<(u64, u64)> {
        self.leaderships.get((slot.leadership_and_kind >> 8) as usize).copied()
    }

    /// Where terms begin among the slots.
    pub(crate) fn terms(&self) -> Vec<TermStart> {
        let mut terms: Vec<TermStart> = Vec::new();
        let mut before = None;
        for (from, slot) in (self.first..).zip(&self.slots) {
            let leadership = slot.leadership_and_kind >> 8;
            if before == Some(leadership) {
                continue;
            }
            before = Some(leadership);
            let Some((term, leader)) = self.leadership(slot) else { continue };
            if terms.last().is_none_or(|last| (last.term, last.leader) != (term, leader)) {
                terms.push(TermStart { from, term, leader });
            }
        }
        terms
    }

    /// The slot of `term` and `leader`, so that they can be found again.
    fn led_by(&mut self, slot: Slot, leadership: Option<(u64, u64)>) -> Slot {
        let nth = match leadership {
            None => NO_LEADERSHIP,
            Some(leadership) => {
                if self.leaderships.last() != Some(&leadership) {
                    self.leaderships.push(leadership);
                }
                u32::try_from(self.leaderships.len() - 1).expect("a segment holds fewer than 2^24 records")
            }
        };
        Slot { leadership_and_kind: nth << 8 | u32::from(slot.caller_kind()), ..slot }
    }

    /// Gives every index of `run` up to `end` a slot: the one that is there where it is of the term that it should be,
    /// else one of an entry that is faulty.
    fn refill(&mut self, run: &RunStanding, end: u64, end_offset: u64) {
        let told = |index: u64| {
            let after = run.terms.partition_point(|start| start.from <= index);
            let start = run.terms.get(after.checked_sub(1)?)?;
            Some((start.term, start.leader))
        };
        let old = self.clone();
        let sound = |index: u64| {
            let is_sound = |slot: &&Slot| told(index).is_some() && old.leadership(slot) == told(index);
            old.slot(index).filter(is_sound)
        };
        (self.first, self.slots, self.leaderships) = (run.first, VecDeque::new(), Vec::new());
        let mut next_offset = run.first_offset;
        for index in run.first..end {
            let slot = match sound(index) {
                Some(slot) => *slot,
                None => {
                    // The events of a stretch of unknown entries are counted to the first of them.
                    let is_first = index == run.first || sound(index - 1).is_some();
                    let to = if is_first {
                        (index..end).find_map(sound).map_or(end_offset, |after| after.first_offset)
                    } else {
                        next_offset
                    };
                    let count = u32::try_from(to.saturating_sub(next_offset)).unwrap_or(u32::MAX);
                    Slot::unknown(next_offset, count, self.slots.back().map_or(0, |slot| slot.time))
                }
            };
            next_offset = slot.next_offset();
            let slot = self.led_by(slot, told(index));
            self.slots.push_back(slot);
        }
        self.repairs.retain(|index, repair| *index < run.first || told(*index) == Some((repair.term, repair.leader)));
    }

    fn push(&mut self, header: &Header, position: u32) -> Result<(), OutOfOrder> {
        if self.slots.is_empty() {
            self.first = header.index;
        } else if header.index != self.end() {
            return Err(OutOfOrder);
        }
        let slot = Repair::of(header, position).slot;
        let slot = self.led_by(slot, Some((header.term, header.leader)));
        self.slots.push_back(slot);
        Ok(())
    }

    fn apply(&mut self, header: &Header, position: u32) -> Result<(), OutOfOrder> {
        let place = Place { position, body_len: header.body_len, sequence: Some(header.sequence) };
        if header.kind == Kind::Forget {
            *self = Self { forgotten: Some(header.sequence), ..Self::default() };
            return Ok(());
        }
        self.committed = self.committed.max(header.committed);
        match header.kind {
            Kind::Entry => self.push(header, position)?,
            Kind::Vote => self.vote = Some(place),
            Kind::Truncate => {
                self.keep_below = Some(self.keep_below.map_or(header.index, |old| old.min(header.index)));
                while !self.slots.is_empty() && self.end() > header.index {
                    self.slots.pop_back();
                }
                self.repairs.split_off(&header.index);
            }
            Kind::Purge => {
                let upto = (Term(header.term), header.leader, LogIndex(header.index));
                self.purge = Some(Purge { upto, next_offset: header.first_offset });
                while !self.slots.is_empty() && self.first <= header.index {
                    self.slots.pop_front();
                    self.first += 1;
                }
                self.repairs = self.repairs.split_off(&(header.index + 1));
            }
            Kind::Checkpoint => {
                if self.checkpoints.len() == 2 {
                    self.checkpoints.remove(0);
                }
                self.checkpoints.push(CheckpointPlace { index: header.index, term: header.term, place });
            }
            Kind::Repair => drop(self.repairs.insert(header.index, Repair::of(header, position))),
            Kind::Mark | Kind::Forget => {}
        }
        Ok(())
    }
}

/// What one segment holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct SegmentIndex {
    /// Sequence of the first record; `next_sequence` when there is none.
    pub first_sequence: u64,
    /// Hash that the first record names as its predecessor.
    pub first_previous: u64,
    pub next_sequence: u64,
    pub last_hash: u64,
    /// What the next record counts; not in the footer, as nothing follows there.
    pub counts: Counts,
    /// The highest "oldest segment" that a record names.
    pub oldest: u64,
    /// Where the next flush would start.
    pub end: u64,
    pub groups: BTreeMap<u32, GroupPart>,
    footer_content_bytes: u64,
}

/// Bytes of a footer before the groups.
const FOOTER_FIXED: u64 = 56;
/// Bytes of one group in a footer, without lists.
pub(crate) const GROUP_FIXED: u64 = 192;
/// Bytes of one slot in a footer.
pub(crate) const SLOT_BYTES: u64 = 32;
/// Bytes of one repair in a footer, and of the number of them.
const REPAIR_BYTES: u64 = SLOT_BYTES + 32;
/// Bytes of one (term, leader) pair in a footer.
pub(crate) const LEADERSHIP_BYTES: u64 = 16;

impl SegmentIndex {
    /// The index of a segment without records whose first record will be `sequence`.
    pub(crate) fn empty(sequence: u64, previous: u64, oldest: u64) -> Self {
        Self {
            first_sequence: sequence,
            first_previous: previous,
            next_sequence: sequence,
            last_hash: previous,
            oldest,
            end: crate::segment::DATA_START,
            ..Self::default()
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.first_sequence == self.next_sequence
    }

    /// Takes in the next record.
    pub(crate) fn apply(&mut self, header: &Header, position: u32) -> Result<(), OutOfOrder> {
        if header.kind != Kind::Mark {
            self.groups.entry(header.group).or_default().apply(header, position)?;
        }
        self.footer_content_bytes +=
            if header.kind == Kind::Repair { REPAIR_BYTES } else { SLOT_BYTES + LEADERSHIP_BYTES };
        self.next_sequence = header.sequence + 1;
        self.last_hash = header.hash;
        self.counts = header.counts.unwrap_or_default().after(header.kind);
        self.oldest = self.oldest.max(header.oldest);
        Ok(())
    }

    /// Passes a record that says nothing any more.
    pub(crate) fn pass(&mut self, header: &Header) {
        self.next_sequence = header.sequence + 1;
        self.last_hash = header.hash;
        self.counts = header.counts.unwrap_or_default().after(header.kind);
        self.oldest = self.oldest.max(header.oldest);
    }

    /// Takes in an entry behind a hole: those between it and the one before, which ended at `before` when none is here,
    /// are faulty; and where it comes again, those from it on were truncated. How many are faulty.
    pub(crate) fn apply_behind_hole(
        &mut self,
        header: &Header,
        position: u32,
        before: Option<u64>,
    ) -> Result<u64, OutOfOrder> {
        let part = self.groups.entry(header.group).or_default();
        let (here, due) = (!part.slots.is_empty(), if part.slots.is_empty() { before } else { Some(part.end()) });
        let mut faulty = 0;
        match due {
            Some(due) if due > header.index => {
                part.keep_below = Some(part.keep_below.map_or(header.index, |old| old.min(header.index)));
                while !part.slots.is_empty() && part.end() > header.index {
                    part.slots.pop_back();
                }
            }
            Some(due) if due < header.index => {
                if !here {
                    part.first = due;
                }
                let from = part.slots.back().map_or(header.first_offset, Slot::next_offset);
                let leadership = part.slots.back().and_then(|slot| part.leadership(slot));
                // Terms only grow: between two entries of one term there is no other.
                let leadership = leadership.filter(|before| *before == (header.term, header.leader));
                let mut count = u32::try_from(header.first_offset.saturating_sub(from)).unwrap_or(u32::MAX);
                for index in due..header.index {
                    let first_offset = if index == due { from } else { header.first_offset };
                    let slot = part.led_by(Slot::unknown(first_offset, count, header.time), leadership);
                    part.slots.push_back(slot);
                    count = 0;
                    faulty += 1;
                }
            }
            _ => {}
        }
        self.footer_content_bytes += faulty * (SLOT_BYTES + LEADERSHIP_BYTES);
        self.apply(header, position)?;
        Ok(faulty)
    }

    /// Marks the newest entry of a group as faulty: its header is whole, its body is not.
    pub(crate) fn mark_faulty(&mut self, group: u32) {
        if let Some(slot) = self.groups.get_mut(&group).and_then(|part| part.slots.back_mut()) {
            slot.position |= FAULTY;
        }
    }

    /// Makes what segment `number` holds fit what a mark behind it says, whatever of it could be read. `mark` is the
    /// place of the mark when it lies in this segment; `known` is what the segments before say.
    pub(crate) fn settle(
        &mut self,
        number: u64,
        standing: &Standing,
        mark: Option<Place>,
        known: &BTreeMap<u32, Known>,
    ) {
        for (group, told) in &standing.groups {
            let part = self.groups.entry(*group).or_default();
            let mut before = known.get(group).cloned().unwrap_or_default();
            before.pass(part);
            if told.forgotten >= self.first_sequence && told.forgotten > before.forgotten {
                part.forgotten = Some(told.forgotten);
                (part.vote, part.purge, part.committed) = (None, None, None);
                part.checkpoints.clear();
            }
            if told.vote.is_some() && mark.is_some() {
                part.vote = mark;
            }
            if told.purge.is_some_and(|purge| part.purge.is_none_or(|own| own.upto.2 < purge.upto.2)) {
                part.purge = told.purge;
            }
            let keep_below = match told.run_in(number) {
                Some((run, end, end_offset)) => {
                    part.refill(run, end, end_offset);
                    run.first
                }
                None => {
                    part.slots.clear();
                    part.repairs.clear();
                    let next = told.runs.iter().find(|run| run.segment > number).map(|run| run.first);
                    next.or(told.last.map(|(last, _)| last.2.0 + 1)).unwrap_or(0)
                }
            };
            part.keep_below = Some(part.keep_below.map_or(keep_below, |old| old.min(keep_below)));
        }
        let own: Vec<u32> = self.groups.keys().copied().collect();
        for group in own.iter().chain(known.keys()).filter(|group| !standing.groups.contains_key(group)) {
            self.groups.insert(*group, GroupPart { forgotten: Some(0), ..GroupPart::default() });
        }
        self.footer_content_bytes = self.encode().len() as u64;
    }

    /// Every faulty entry: its group and index.
    pub(crate) fn faulty(&self) -> impl Iterator<Item = (u32, u64)> + '_ {
        self.groups.iter().flat_map(|(group, part)| {
            let faulty = (part.first..).zip(&part.slots).filter(|(_, slot)| slot.is_faulty());
            faulty.map(|(index, _)| (*group, index))
        })
    }

    /// The faulty entries of which nothing says where they lay.
    pub(crate) fn unplaced(&self) -> impl Iterator<Item = (u32, u64)> + '_ {
        let placed = |group: u32, index: u64| self.groups.get(&group)?.slot(index).map(Slot::position);
        self.faulty().filter(move |(group, index)| placed(*group, *index) == Some(0))
    }

    /// At least the bytes that the footer will take, should `records` more records come.
    pub(crate) fn footer_bound(&self, records: u64) -> u64 {
        FOOTER_FIXED
            + self.footer_content_bytes
            + self.groups.len() as u64 * GROUP_FIXED
            + records * (SLOT_BYTES + LEADERSHIP_BYTES + GROUP_FIXED)
    }

    /// The footer's bytes.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Out(Vec::new());
        for value in [self.first_sequence, self.first_previous, self.next_sequence, self.last_hash, self.oldest] {
            out.u64(value);
        }
        out.u64(self.end);
        out.u64(self.groups.len() as u64);
        for (group, part) in &self.groups {
            out.u32(*group);
            let checkpoints = u32::try_from(part.checkpoints.len()).expect("at most two");
            out.u32(
                u32::from(part.keep_below.is_some())
                    | u32::from(part.purge.is_some()) << 1
                    | u32::from(part.vote.is_some()) << 2
                    | u32::from(part.committed.is_some()) << 3
                    | checkpoints << 4
                    | u32::from(part.forgotten.is_some()) << 8
                    | u32::from(!part.repairs.is_empty()) << 9
                    | 1 << 10,
            );
            out.u64(part.keep_below.unwrap_or(0));
            out.u64(part.purge.map_or(0, |purge| purge.upto.0.0));
            out.u64(part.purge.map_or(0, |purge| purge.upto.1));
            out.u64(part.purge.map_or(0, |purge| purge.upto.2.0));
            out.u64(part.purge.map_or(0, |purge| purge.next_offset));
            out.place(part.vote);
            out.u64(part.committed.unwrap_or(0));
            for nth in 0..2 {
                let checkpoint = part.checkpoints.get(nth);
                out.u64(checkpoint.map_or(0, |c| c.index));
                out.u64(checkpoint.map_or(0, |c| c.term));
                out.place(checkpoint.map(|c| c.place));
            }
            out.u64(part.first);
            out.u32(u32::try_from(part.slots.len()).expect("a segment holds fewer than 2^24 records"));
            out.u32(u32::try_from(part.leaderships.len()).expect("a segment holds fewer than 2^24 records"));
            for (term, leader) in &part.leaderships {
                out.u64(*term);
                out.u64(*leader);
            }
            part.slots.iter().for_each(|slot| slot.encode(&mut out));
            if !part.repairs.is_empty() {
                out.u64(part.repairs.len() as u64);
            }
            for (index, repair) in &part.repairs {
                out.u64(*index);
                out.u64(repair.term);
                out.u64(repair.leader);
                repair.slot.encode(&mut out);
            }
            if let Some(sequence) = part.forgotten {
                out.u64(sequence);
            }
            for place in part.vote.iter().chain(part.checkpoints.iter().map(|checkpoint| &checkpoint.place)) {
                out.u64(place.sequence.unwrap_or(u64::MAX));
            }
        }
        out.0
    }

    /// Reads a footer whose checksum held. `None` when it contradicts itself.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut input = In { bytes, at: 0 };
        let mut index = Self {
            first_sequence: input.u64()?,
            first_previous: input.u64()?,
            next_sequence: input.u64()?,
            last_hash: input.u64()?,
            oldest: input.u64()?,
            end: input.u64()?,
            ..Self::default()
        };
        for _ in 0..input.u64()? {
            let group = input.u32()?;
            let part = decode_part(&mut input)?;
            index.groups.insert(group, part);
        }
        index.footer_content_bytes = bytes.len() as u64;
        (input.at == bytes.len()).then_some(index)
    }
}

fn decode_part(input: &mut In<'_>) -> Option<GroupPart> {
    let flags = input.u32()?;
    let has = |bit: u32| flags >> bit & 1 == 1;
    let mut part = GroupPart { keep_below: Some(input.u64()?).filter(|_| has(0)), ..GroupPart::default() };
    let upto = (Term(input.u64()?), input.u64()?, LogIndex(input.u64()?));
    let next_offset = input.u64()?;
    part.purge = has(1).then_some(Purge { upto, next_offset });
    part.vote = Some(input.place()?).filter(|_| has(2));
    part.committed = Some(input.u64()?).filter(|_| has(3));
    for nth in 0..2 {
        let checkpoint = CheckpointPlace { index: input.u64()?, term: input.u64()?, place: input.place()? };
        if nth < flags >> 4 & 0xf {
            part.checkpoints.push(checkpoint);
        }
    }
    part.first = input.u64()?;
    let (slots, leaderships) = (input.u32()?, input.u32()?);
    for _ in 0..leaderships {
        part.leaderships.push((input.u64()?, input.u64()?));
    }
    for _ in 0..slots {
        let slot = Slot::decode(input)?;
        let leadership = slot.leadership_and_kind >> 8;
        if leadership >= leaderships && leadership != NO_LEADERSHIP {
            return None;
        }
        part.slots.push_back(slot);
    }
    if has(9) {
        for _ in 0..input.u64()? {
            let (index, term, leader) = (input.u64()?, input.u64()?, input.u64()?);
            part.repairs.insert(index, Repair { term, leader, slot: Slot::decode(input)? });
        }
    }
    if has(8) {
        part.forgotten = Some(input.u64()?);
    }
    if has(10) {
        for place in part.vote.iter_mut().chain(part.checkpoints.iter_mut().map(|checkpoint| &mut checkpoint.place)) {
            place.sequence = Some(input.u64()?).filter(|sequence| *sequence != u64::MAX);
        }
    }
    Some(part)
}

struct Out(Vec<u8>);

impl Out {
    fn u32(&mut self, value: u32) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    fn u64(&mut self, value: u64) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    fn place(&mut self, place: Option<Place>) {
        self.u32(place.map_or(0, |place| place.position));
        self.u32(place.map_or(0, |place| place.body_len));
    }
}

struct In<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl In<'_> {
    fn u32(&mut self) -> Option<u32> {
        let end = self.at.checked_add(4).filter(|end| *end <= self.bytes.len())?;
        let value = u32_at(self.bytes, self.at);
        self.at = end;
        Some(value)
    }

    fn u64(&mut self) -> Option<u64> {
        let end = self.at.checked_add(8).filter(|end| *end <= self.bytes.len())?;
        let value = u64_at(self.bytes, self.at);
        self.at = end;
        Some(value)
    }

    fn place(&mut self) -> Option<Place> {
        Some(Place { position: self.u32()?, body_len: self.u32()?, sequence: None })
    }
}

#[cfg(test)]
mod tests;
