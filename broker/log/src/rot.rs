//! What of a segment is not what was written: found by going over its records, and named by its index.

use std::io;
use std::ops::Range;

use crate::index::{SegmentIndex, Slot};
use crate::record::{Header, Kind};
use crate::salvage::record_at;
use crate::scan::Window;
use crate::segment::DATA_START;

/// Records start at multiples of this.
const STEP: u64 = 8;

/// A place that is not what was written.
#[derive(Debug)]
pub(crate) struct Rot {
    /// Where the records started that are bad.
    pub starts: Range<u64>,
    /// Of the only one, when no more than its body is bad.
    pub header: Option<Header>,
}

impl Rot {
    /// Whether it is known to be an entry or a copy of one.
    pub(crate) fn is_entry(&self) -> bool {
        self.header.as_ref().is_some_and(|header| matches!(header.kind, Kind::Entry | Kind::Repair))
    }

    /// The entries that were written there and the copies of entries, by group and index. What was truncated in the same
    /// segment is in no index.
    pub(crate) fn entries(&self, index: &SegmentIndex) -> Vec<(u32, u64, Slot)> {
        let mut entries = Vec::new();
        for (group, part) in &index.groups {
            let own = (part.first..).zip(&part.slots);
            let copies = part.repairs.iter().map(|(index, repair)| (*index, &repair.slot));
            let here = own.chain(copies).filter(|(_, slot)| self.starts.contains(&slot.position()));
            entries.extend(here.map(|(index, slot)| (*group, index, *slot)));
        }
        entries
    }
}

/// How far the records of a segment were gone over.
#[derive(Debug)]
pub(crate) struct Walk {
    pub position: u64,
    /// Sequence and hash that the next record goes on from, when that is known.
    due: Option<(u64, u64)>,
}

impl Walk {
    /// At the first record of the segment.
    pub(crate) fn of(index: &SegmentIndex) -> Self {
        Self { position: DATA_START, due: Some((index.first_sequence, index.first_previous)) }
    }

    /// Passes one record, or all up to the next that can be told, in a segment whose records end at `end`.
    ///
    /// # Errors
    /// Those of the system.
    pub(crate) fn step(&mut self, window: &mut Window<'_>, use_id: u64, end: u64) -> io::Result<Option<Rot>> {
        let at = self.position;
        let is_due = |header: &Header| self.due.is_none_or(|due| due == (header.sequence, header.previous));
        if let Some(record) = record_at(window, at, use_id)?.filter(|record| is_due(&record.header)) {
            self.due = Some((record.header.sequence + 1, record.header.hash));
            self.position = record.end();
            return Ok((!record.body_is_whole).then_some(Rot { starts: at..at + 1, header: Some(record.header) }));
        }
        let mut next = at + STEP;
        while next < end && record_at(window, next, use_id)?.is_none() {
            next += STEP;
        }
        (self.due, self.position) = (None, next.min(end));
        Ok(Some(Rot { starts: at..self.position, header: None }))
    }
}
