//! Looks for rot in sealed segments while the log is open, a bounded piece at a time, before it meets rot elsewhere.

use std::sync::Arc;

use crate::cache::{Footer, OpenSegment, find_footer};
use crate::core::Sealed;
use crate::error::{Damage, ReadError};
use crate::log::Inner;
use crate::record::{Header, Kind};
use crate::salvage::{Found, record_at};
use crate::scan::Window;
use crate::segment::{DATA_START, segment_name};
use crate::types::{GroupId, LogIndex, Offset};

/// Records start at multiples of this.
const STEP: u64 = 8;

/// What one step of a scrub came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Scrubbed {
    /// Bytes looked at.
    pub bytes: u64,
    /// Places found that are not what was written; the observer was told of each.
    pub damaged: u64,
    /// Every sealed segment was looked at; the next step begins with the first again.
    pub is_round_over: bool,
}

/// How far a round has come.
#[derive(Debug, Default)]
pub(crate) struct Cursor {
    segment: u64,
    /// 0 at the start of a segment.
    position: u64,
    /// Sequence and hash that the next record goes on from, when that is known.
    due: Option<(u64, u64)>,
}

impl Inner {
    /// Looks at about `max_bytes` of the sealed segments, and at one record at least.
    pub(crate) fn scrub(&self, max_bytes: u64) -> Result<Scrubbed, ReadError> {
        let mut cursor = self.scrub.lock();
        let mut done = Scrubbed::default();
        while done.bytes < max_bytes.max(1) {
            let next = {
                let core = self.core.lock();
                let next = core.sealed.range(cursor.segment..).find(|(_, sealed)| !sealed.is_lost);
                next.map(|(number, sealed)| (*number, sealed.clone()))
            };
            let Some((number, sealed)) = next else {
                *cursor = Cursor::default();
                done.is_round_over = true;
                break;
            };
            if number != cursor.segment {
                *cursor = Cursor { segment: number, ..Cursor::default() };
            }
            match self.scrub_segment(number, &sealed, &mut cursor, max_bytes.max(1) - done.bytes, &mut done) {
                Ok(true) => *cursor = Cursor { segment: number + 1, ..Cursor::default() },
                Ok(false) => {}
                Err(source) => {
                    // The rest of it is not looked at in this round.
                    *cursor = Cursor { segment: number + 1, ..Cursor::default() };
                    // A segment that was freed meanwhile is no loss.
                    if self.core.lock().sealed.contains_key(&number) {
                        return Err(ReadError::Io { file: self.disk.describe(&segment_name(number)), source });
                    }
                }
            }
        }
        Ok(done)
    }

    /// Goes on in one segment; `true` at its end.
    fn scrub_segment(
        &self,
        number: u64,
        sealed: &Sealed,
        cursor: &mut Cursor,
        max_bytes: u64,
        done: &mut Scrubbed,
    ) -> std::io::Result<bool> {
        let file = self.disk.open(&segment_name(number), self.options.direct_io)?;
        let footer = find_footer(&*file, number, sealed.use_id, sealed.size_bytes)?;
        let Some(segment) = self.cache.open(number, sealed)? else {
            // Neither on disk nor in memory. What it holds is found by whoever reads it, or at the next opening.
            self.found(number, DATA_START, None, done);
            return Ok(true);
        };
        let end = segment.index.end;
        if cursor.position == 0 {
            cursor.position = DATA_START;
            cursor.due = Some((segment.index.first_sequence, segment.index.first_previous));
            if !matches!(footer, Footer::Whole(_)) && sealed.pinned.is_none() {
                self.found(number, end, None, done);
                // The index in memory stands in for it.
                if let Some(sealed) = self.core.lock().sealed.get_mut(&number) {
                    sealed.pinned = Some(Arc::clone(&segment.index));
                }
            }
        }
        let mut window = Window::new(&*file, sealed.size_bytes)?;
        let start = cursor.position;
        while cursor.position < end {
            if cursor.position - start >= max_bytes {
                done.bytes += cursor.position - start;
                return Ok(false);
            }
            let at = cursor.position;
            let record = record_at(&mut window, at, sealed.use_id)?;
            let is_due = |header: &Header| cursor.due.is_none_or(|due| due == (header.sequence, header.previous));
            match record.filter(|record| is_due(&record.header)) {
                Some(record) => {
                    if !record.body_is_whole {
                        self.found_in_record(number, &segment, &record, done);
                    }
                    cursor.due = Some((record.header.sequence + 1, record.header.hash));
                    cursor.position = record.end();
                }
                None => {
                    cursor.due = None;
                    let mut next = at + STEP;
                    while next < end && record_at(&mut window, next, sealed.use_id)?.is_none() {
                        next += STEP;
                    }
                    cursor.position = next.min(end);
                    self.found_between(number, &segment, at, cursor.position, done);
                }
            }
        }
        done.bytes += end.saturating_sub(start);
        Ok(true)
    }

    /// The body of a record is bad.
    fn found_in_record(&self, number: u64, segment: &OpenSegment, record: &Found, done: &mut Scrubbed) {
        let (header, position) = (&record.header, u64::from(record.position));
        if matches!(header.kind, Kind::Entry | Kind::Repair) {
            let index = LogIndex(header.index);
            let part = segment.index.groups.get(&header.group);
            let own = part.and_then(|part| part.slot(header.index));
            let copy = part.and_then(|part| part.repairs.get(&header.index)).map(|repair| &repair.slot);
            // Another entry of that index may have been truncated.
            let is_indexed = own.into_iter().chain(copy).any(|slot| slot.position() == position);
            if is_indexed && self.is_live(GroupId(header.group), index, number) {
                let offsets =
                    (Offset(header.first_offset), Offset(header.first_offset + u64::from(header.event_count)));
                self.found(number, position, Some((GroupId(header.group), index, offsets)), done);
            }
            return;
        }
        self.found(number, position, None, done);
        self.restate(segment.number);
    }

    /// The headers of records between two places are bad.
    fn found_between(&self, number: u64, segment: &OpenSegment, from: u64, to: u64, done: &mut Scrubbed) {
        let mut found_any = false;
        for (group, part) in &segment.index.groups {
            let own = (part.first..).zip(&part.slots);
            let copies = part.repairs.iter().map(|(index, repair)| (*index, &repair.slot));
            for (index, slot) in own.chain(copies).filter(|(_, slot)| (from..to).contains(&slot.position())) {
                found_any = true;
                if self.is_live(GroupId(*group), LogIndex(index), number) {
                    let offsets = (Offset(slot.first_offset), Offset(slot.next_offset()));
                    self.found(number, slot.position(), Some((GroupId(*group), LogIndex(index), offsets)), done);
                }
            }
        }
        if !found_any {
            self.found(number, from, None, done);
        }
        self.restate(number);
    }

    /// Whether an entry is read from that segment, and not known to be faulty.
    fn is_live(&self, group: GroupId, index: LogIndex, number: u64) -> bool {
        let core = self.core.lock();
        let Some(state) = core.groups.get(&group) else { return false };
        let copy = state.placed.repairs.get(&index.0).map(|(segment, _)| *segment);
        let is_held = state.last.is_some_and(|last| index <= last.2) && index.0 >= state.first_or_due();
        let place = copy.or(state.placed.run_of(index.0).map(|run| run.segment));
        is_held && place == Some(number) && !state.faulty.contains_key(&index.0)
    }

    fn found(
        &self,
        number: u64,
        position: u64,
        entry: Option<(GroupId, LogIndex, (Offset, Offset))>,
        done: &mut Scrubbed,
    ) {
        done.damaged += 1;
        let (group, index) = (entry.map(|(group, ..)| group), entry.map(|(_, index, _)| index));
        let offsets = entry.map(|(_, _, offsets)| offsets).filter(|(from, to)| from < to);
        let file = self.disk.describe(&segment_name(number));
        self.note_damage(&Damage { file, position, group, index, offsets });
    }

    /// Writes votes and checkpoints that lie in `number` once more: what is in memory is sound.
    fn restate(&self, number: u64) {
        let now = self.clock.now();
        let mut core = self.core.lock();
        let groups: Vec<GroupId> = core.groups.keys().copied().collect();
        for group in groups {
            let Some(state) = core.groups.get(&group) else { continue };
            let is_here = |segment: u64| segment == number;
            let vote = state.vote.clone().filter(|_| state.placed.vote.as_ref().is_some_and(|(at, _)| is_here(*at)));
            let checkpoint = state.checkpoint.clone();
            let checkpoint =
                checkpoint.filter(|_| state.placed.checkpoint.as_ref().is_some_and(|(at, _)| is_here(*at)));
            // Refused it stays where it is, and the next round tries again.
            let done = || Box::new(|_: Result<(), Arc<std::io::Error>>| {});
            if let Some(vote) = vote {
                let _ = core.save_vote(group, vote, now, None, &self.options, done());
            }
            if let Some(checkpoint) = checkpoint {
                let _ = core.save_checkpoint(group, checkpoint, now, None, &self.options, done());
            }
        }
        drop(core);
        self.wake();
    }
}
