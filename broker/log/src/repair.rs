//! Entries that are part of the log and cannot be read, and the copies that take their place.

use crate::disk::Disk;
use crate::error::{Damage, ReadError};
use crate::index::Slot;
use crate::log::Inner;
use crate::options::OnDamage;
use crate::record::{HEADER_BYTES, Header, Kind};
use crate::salvage::read_all;
use crate::segment::segment_name;
use crate::types::{Entry, EntryMeta, GroupId, LogIndex, Offset};

/// What is known of an entry that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    pub segment: u64,
    /// Where its record lies; 0 when that is not known, and then not more than term, leader and index are.
    pub position: u64,
    /// What is known of it; `None` when its term is not.
    pub meta: Option<EntryMeta>,
    /// The offsets that its events are among.
    pub offsets: (u64, u64),
    /// CRC-32C of its body, when it is known.
    pub body_crc: Option<u32>,
}

impl Fault {
    pub(crate) fn of(segment: u64, slot: &Slot, meta: Option<EntryMeta>, body_crc: Option<u32>) -> Self {
        let offsets = (slot.first_offset, slot.next_offset());
        Self { segment, position: slot.position(), meta, offsets, body_crc }
    }

    pub(crate) fn damage(&self, disk: &dyn Disk, group: GroupId, index: u64) -> Damage {
        let (from, to) = self.offsets;
        Damage {
            file: disk.describe(&segment_name(self.segment)),
            position: self.position,
            group: Some(group),
            index: Some(LogIndex(index)),
            offsets: (from < to).then_some((Offset(from), Offset(to))),
        }
    }

    /// In what `entry` cannot be the one that was here.
    pub(crate) fn differs_from(&self, entry: &Entry) -> Option<&'static str> {
        if let Some(meta) = self.meta {
            if (meta.term, meta.leader) != (entry.term, entry.leader) {
                return Some("term");
            }
            let is_header_known = self.position > 0;
            if is_header_known && (meta.first_offset, meta.event_count) != (entry.first_offset, entry.event_count) {
                return Some("offsets");
            }
            if is_header_known && meta.kind != entry.kind {
                return Some("kind");
            }
            if is_header_known && meta.body_bytes as usize != entry.body.len() {
                return Some("length");
            }
        }
        let is_other = self.body_crc.is_some_and(|crc| crc != crc32c::crc32c(&entry.body));
        is_other.then_some("body")
    }
}

impl Inner {
    /// Notes that an entry was found damaged while the log is open, and tells the observer. Reading it fails from now
    /// on without the disk being asked; a copy from elsewhere can take its place.
    pub(crate) fn note_damage(&self, damage: &Damage) {
        let (Some(group), Some(index)) = (damage.group, damage.index) else {
            return self.options.observer.damaged(damage);
        };
        if self.options.on_damage == OnDamage::Refuse {
            return self.options.observer.damaged(damage);
        }
        let meta = self.entry_meta(group, index).ok().flatten();
        let mut core = self.core.lock();
        let Some(state) = core.groups.get(&group) else { return };
        if state.faulty.contains_key(&index.0) {
            return;
        }
        // It may be the copy that went bad.
        let copy = state.placed.repairs.get(&index.0).map(|(segment, _)| *segment);
        let Some(segment) = copy.or(state.placed.run_of(index.0).map(|run| run.segment)) else { return };
        let active = (core.active.use_id, core.active.size_bytes);
        let file_use = core.sealed.get(&segment).map_or(active, |sealed| (sealed.use_id, sealed.size_bytes));
        drop(core);
        let meta_id = meta.as_ref().map(EntryMeta::log_id);
        let offsets = damage.offsets.map_or((0, 0), |(from, to)| (from.0, to.0));
        let body_crc = meta.as_ref().and_then(|meta| self.known_crc(segment, file_use, damage.position, (group, meta)));
        let fault = Fault { segment, position: damage.position, meta, offsets, body_crc };
        // Another entry may have taken its place meanwhile.
        let is_same = self.entry_meta(group, index).ok().flatten().map(|now| now.log_id()) == meta_id;
        core = self.core.lock();
        if is_same
            && let Some(state) = core.groups.get_mut(&group)
            && state.placed.run_of(index.0).is_some()
            && state.placed.repairs.get(&index.0).map(|(segment, _)| *segment) == copy
        {
            state.placed.repairs.remove(&index.0);
            state.faulty.entry(index.0).or_insert(fault);
        }
        drop(core);
        self.options.observer.damaged(damage);
    }

    /// Checksum of the body of the damaged record of an entry: its own header says it, or the record behind it does.
    /// Whole records in the wrong places say nothing, so the second needs all of the segment to be read.
    fn known_crc(
        &self,
        segment: u64,
        (use_id, size_bytes): (u64, u64),
        position: u64,
        (group, own): (GroupId, &EntryMeta),
    ) -> Option<u32> {
        let file = self.disk.open_read_only(&segment_name(segment)).ok()?;
        let mut bytes = [0; HEADER_BYTES];
        let read = file.read_at(&mut bytes, position).ok()?;
        let header = Header::decode(&bytes[..read]).filter(|header| header.use_id == use_id);
        let is_own = |header: &Header| {
            matches!(header.kind, Kind::Entry | Kind::Repair)
                && (GroupId(header.group), header.log_id()) == (group, own.log_id())
        };
        if let Some(header) = header.filter(is_own) {
            return Some(header.body_crc);
        }
        let found = read_all(&*file, use_id, size_bytes).ok()?;
        let behind = found
            .windows(2)
            .find(|two| two[0].end() == position && two[0].header.sequence + 2 == two[1].header.sequence)?;
        Some(behind[1].crc_before())
    }

    /// As it is given to callers: what is wrong with an entry that is faulty.
    pub(crate) fn fault_error(&self, group: GroupId, index: LogIndex, fault: &Fault) -> ReadError {
        ReadError::Damaged(fault.damage(&*self.disk, group, index.0))
    }

    pub(crate) fn is_faulty(&self, group: GroupId, index: LogIndex) -> bool {
        self.core.lock().groups.get(&group).is_some_and(|state| state.faulty.contains_key(&index.0))
    }

    /// Faulty entries of a group, as stretches of indexes.
    pub(crate) fn faulty(&self, group: GroupId) -> Vec<std::ops::RangeInclusive<LogIndex>> {
        let core = self.core.lock();
        let Some(state) = core.groups.get(&group) else { return Vec::new() };
        let mut stretches: Vec<(u64, u64)> = Vec::new();
        for index in state.faulty.keys().copied() {
            match stretches.last_mut() {
                Some((_, last)) if *last + 1 == index => *last = index,
                _ => stretches.push((index, index)),
            }
        }
        stretches.into_iter().map(|(first, last)| LogIndex(first)..=LogIndex(last)).collect()
    }
}
