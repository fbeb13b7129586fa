//! Looks for rot in sealed segments while the log is open, a bounded piece at a time, before it meets rot elsewhere.

use std::sync::Arc;

use crate::cache::{Footer, find_footer};
use crate::core::Sealed;
use crate::error::{Damage, ReadError};
use crate::index::SegmentIndex;
use crate::log::Inner;
use crate::rot::{Rot, Walk};
use crate::scan::Window;
use crate::segment::{DATA_START, segment_name};
use crate::types::{GroupId, LogIndex, Offset};

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
    /// `None` at the start of a segment.
    walk: Option<Walk>,
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
        let mut window = Window::new(&*file, sealed.size_bytes)?;
        let is_new = cursor.walk.is_none();
        let walk = cursor.walk.get_or_insert_with(|| Walk::of(&segment.index));
        if is_new && !matches!(footer, Footer::Whole(_)) && sealed.pinned.is_none() {
            self.found(number, end, None, done);
            // The index in memory stands in for it.
            if let Some(sealed) = self.core.lock().sealed.get_mut(&number) {
                sealed.pinned = Some(Arc::clone(&segment.index));
            }
        }
        let start = walk.position;
        while walk.position < end {
            if walk.position - start >= max_bytes {
                done.bytes += walk.position - start;
                return Ok(false);
            }
            if let Some(rot) = walk.step(&mut window, sealed.use_id, end)? {
                self.found_rot(number, &segment.index, &rot, done);
            }
        }
        done.bytes += end.saturating_sub(start);
        Ok(true)
    }

    fn found_rot(&self, number: u64, segment: &SegmentIndex, rot: &Rot, done: &mut Scrubbed) {
        let entries = rot.entries(segment);
        for (group, index, slot) in &entries {
            if self.is_live(GroupId(*group), LogIndex(*index), number, slot.position()) {
                let offsets = (Offset(slot.first_offset), Offset(slot.next_offset()));
                self.found(number, slot.position(), Some((GroupId(*group), LogIndex(*index), offsets)), done);
            }
        }
        if rot.is_entry() {
            return;
        }
        if entries.is_empty() {
            self.found(number, rot.starts.start, None, done);
        }
        self.restate(number);
    }

    /// Whether an entry is read from that place, and not known to be faulty.
    fn is_live(&self, group: GroupId, index: LogIndex, number: u64, position: u64) -> bool {
        let core = self.core.lock();
        let Some(state) = core.groups.get(&group) else { return false };
        let is_held = state.last.is_some_and(|last| index <= last.2) && index.0 >= state.first_or_due();
        is_held && state.placed.is_read_at(index.0, number, position) && !state.faulty.contains_key(&index.0)
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
