//! Reads what is left of a damaged segment, record by record, and makes an index of it in which what is lost is known.
//!
//! A record is lost when its header cannot be read; how many are is told by the sequences of those around them. What
//! they were is told by a mark further on (see `standing`), and where there is none, by the counts and the indexes of
//! the records behind the hole. Where neither tells, the hole stays open, and whoever asked must refuse.

use std::collections::BTreeMap;
use std::io;

use crate::aligned::align_up;
use crate::disk::DiskFile;
use crate::index::{GroupPart, OutOfOrder, Place, SegmentIndex};
use crate::record::{Counts, FLUSH_LAST, HEADER_BYTES, Header, Kind};
use crate::scan::Window;
use crate::segment::{BLOCK_BYTES, DATA_START};
use crate::standing::Standing;
use crate::types::{GroupId, LogId, LogIndex, Term};

const BLOCK: u64 = BLOCK_BYTES as u64;
/// Records and flushes start at multiples of this.
const STEP: u64 = 8;

/// A record with a whole header.
#[derive(Debug)]
pub(crate) struct Found {
    pub header: Header,
    pub position: u32,
    pub body_is_whole: bool,
    /// What a mark says.
    pub standing: Option<Standing>,
}

impl Found {
    /// Where the next record would lie.
    pub(crate) fn end(&self) -> u64 {
        let end = u64::from(self.position) + self.header.stored_bytes();
        if self.header.flags & FLUSH_LAST != 0 { align_up(end, BLOCK) } else { end }
    }

    /// Checksum of the body of the record before.
    pub(crate) fn crc_before(&self) -> u32 {
        (self.header.previous & u64::from(u32::MAX)) as u32
    }

    pub(crate) fn place(&self) -> Place {
        let Header { body_len, sequence, .. } = self.header;
        Place { position: self.position, body_len, sequence: Some(sequence) }
    }
}

/// The record at `at`, when its header is whole.
///
/// # Errors
/// Those of the system.
pub(crate) fn record_at(window: &mut Window<'_>, at: u64, use_id: u64) -> io::Result<Option<Found>> {
    let Some(header) = window.header(at, use_id)? else { return Ok(None) };
    if at + header.stored_bytes() > window.limit() {
        return Ok(None);
    }
    let body = window.bytes(at + HEADER_BYTES as u64, u64::from(header.body_len))?;
    let body_is_whole = header.body_is_whole(body);
    let standing = if header.kind == Kind::Mark && body_is_whole { Standing::decode(body) } else { None };
    let position = u32::try_from(at).unwrap_or(u32::MAX);
    Ok(Some(Found { header, position, body_is_whole, standing }))
}

/// Every record of the use `use_id`, wherever it lies, in order.
///
/// # Errors
/// Those of the system.
pub(crate) fn read_all(file: &dyn DiskFile, use_id: u64, size_bytes: u64) -> io::Result<Vec<Found>> {
    let mut window = Window::new(file, size_bytes)?;
    let mut found = Vec::new();
    let mut at = DATA_START;
    while at < window.limit() {
        match record_at(&mut window, at, use_id)? {
            Some(record) => {
                at = record.end();
                found.push(record);
            }
            None => at += STEP,
        }
    }
    Ok(in_order(found))
}

/// Without records that are not where they were written: a block in the place of another holds whole records, too.
fn in_order(found: Vec<Found>) -> Vec<Found> {
    let follows =
        |a: &Found, b: &Found| (a.header.sequence + 1, a.header.hash) == (b.header.sequence, b.header.previous);
    let anchored: Vec<bool> = (0..found.len())
        .map(|at| {
            at > 0 && follows(&found[at - 1], &found[at]) || found.get(at + 1).is_some_and(|b| follows(&found[at], b))
        })
        .collect();
    let mut next_anchor = vec![u64::MAX; found.len() + 1];
    for at in (0..found.len()).rev() {
        next_anchor[at] = if anchored[at] { found[at].header.sequence } else { next_anchor[at + 1] };
    }
    let mut last = None;
    let mut kept = Vec::new();
    for (at, record) in found.into_iter().enumerate() {
        let sequence = record.header.sequence;
        let rises = last.is_none_or(|last| last < sequence);
        if rises && (anchored[at] || sequence < next_anchor[at + 1]) {
            last = Some(sequence);
            kept.push(record);
        }
    }
    kept
}

/// What marks and truncations say of the ends of groups: the newest entry, and the offset after it. Where the newest
/// entry itself is lost nothing else knows that offset.
#[derive(Debug, Default)]
pub(crate) struct Told(Vec<(GroupId, LogId, u64)>);

impl Told {
    pub(crate) fn take_standing(&mut self, standing: &Standing) {
        let told = standing.groups.iter().filter_map(|(group, told)| Some((GroupId(*group), told.last?)));
        self.0.extend(told.map(|(group, (last, next_offset))| (group, last, next_offset)));
    }

    /// What `records` say, in their order.
    pub(crate) fn take(&mut self, records: &[Found]) {
        for Found { header, standing, .. } in records {
            if let Some(standing) = standing {
                self.take_standing(standing);
            }
            if header.kind == Kind::Truncate && header.event_count == 1 {
                let kept = (Term(header.term), header.leader, LogIndex(header.index.saturating_sub(1)));
                self.0.push((GroupId(header.group), kept, header.first_offset));
            }
        }
    }

    /// The offset after the events of the entry `last`.
    pub(crate) fn next_offset(&self, group: GroupId, last: LogId) -> Option<u64> {
        let found = self.0.iter().rev().find(|(of, id, _)| (*of, *id) == (group, last));
        found.map(|(_, _, next_offset)| *next_offset)
    }
}

/// What the segments before one say of a group.
#[derive(Debug, Clone, Default)]
pub(crate) struct Known {
    /// The index after its last entry.
    pub end: u64,
    /// Sequence of the record that forgot it last.
    pub forgotten: u64,
}

impl Known {
    /// Takes in what one more segment says.
    pub(crate) fn pass(&mut self, part: &GroupPart) {
        if let Some(forgotten) = part.forgotten {
            *self = Self { end: 0, forgotten: self.forgotten.max(forgotten) };
        }
        self.end = part.keep_below.map_or(self.end, |keep_below| self.end.min(keep_below));
        if let Some(purge) = part.purge {
            self.end = self.end.max(purge.upto.2.0 + 1);
        }
        if !part.slots.is_empty() {
            self.end = part.end();
        }
    }
}

/// What comes before a segment.
#[derive(Debug, Clone, Default)]
pub(crate) struct Before {
    /// Sequence and hash with which it goes on; `None` when that is not known.
    pub start: Option<(u64, u64)>,
    pub groups: BTreeMap<u32, Known>,
}

/// What comes behind a segment.
#[derive(Debug)]
pub(crate) struct Behind<'a> {
    /// Sequence of its first record, and the hash that this one names; `None` when a lost segment lies in between.
    pub start: Option<(u64, u64)>,
    pub standing: Option<&'a Standing>,
}

/// A damaged segment, as far as it could be read.
#[derive(Debug, Default)]
pub(crate) struct Salvaged {
    pub index: SegmentIndex,
    /// Checksums of the bodies of faulty entries, where they are known.
    pub body_crcs: BTreeMap<(GroupId, LogId), u32>,
    /// What is lost that nothing accounts for; what lies behind may be anything.
    pub is_open: bool,
    /// A vote that cannot be read, and that no later one replaces.
    pub bad_votes: BTreeMap<u32, u32>,
    /// Where the first thing lies that cannot be read.
    pub first_bad: Option<u64>,
    /// Bytes behind the end that were never acknowledged.
    pub is_cut: bool,
}

impl Salvaged {
    /// Notes the checksum of an entry by its name: another one may come to have its index.
    fn note_crc(&mut self, group: u32, index: u64, crc: u32) {
        if let Some(meta) = self.index.groups.get(&group).and_then(|part| part.meta(index)) {
            self.body_crcs.insert((GroupId(group), meta.log_id()), crc);
        }
    }
}

/// Records that are lost and not accounted for.
#[derive(Debug, Default)]
struct Hole {
    lost: u64,
    /// Of them, entries, and entries and marks no more; `None` when the counts do not tell.
    entries: Option<u64>,
    is_states: Option<bool>,
    /// Entries that were found to be missing.
    accounted: u64,
    /// Checksum of the body of the only one that is lost.
    crc: Option<u32>,
}

impl Hole {
    fn widen(&mut self, lost: u64, before: Option<Counts>, behind: &Found) {
        let is_first = self.lost == 0;
        let gap = before.zip(behind.header.counts).map(|(before, now)| {
            let states = now.states.wrapping_sub(before.states);
            // The count of states comes round: a large hole may hold one more turn of it.
            (u64::from(now.entries.wrapping_sub(before.entries)), states != 0 || lost > u64::from(u8::MAX))
        });
        self.entries = if is_first { gap.map(|gap| gap.0) } else { self.entries.zip(gap).map(|(a, b)| a + b.0) };
        self.is_states = if is_first { gap.map(|gap| gap.1) } else { self.is_states.zip(gap).map(|(a, b)| a || b.1) };
        self.crc = (is_first && lost == 1).then(|| behind.crc_before());
        self.lost += lost;
    }

    /// Something is lost, and it is not known what.
    fn is_open(&self) -> bool {
        self.lost > 0 && !(self.is_states == Some(false) && self.entries == Some(self.accounted))
    }
}

/// The index of segment `number`, from what was found of it. Everything below sequence `durable` was durable.
///
/// # Errors
/// [`OutOfOrder`] when whole records contradict each other where nothing is lost between them.
pub(crate) fn rebuild(
    number: u64,
    found: &[Found],
    before: &Before,
    behind: Option<&Behind<'_>>,
    durable: u64,
) -> Result<Salvaged, OutOfOrder> {
    let start = before.start.or(found.first().map(|first| (first.header.sequence, first.header.previous)));
    let (sequence, hash) = start.or(behind.and_then(|behind| behind.start)).unwrap_or((1, 0));
    let mut work = Work {
        number,
        before,
        hole: Hole::default(),
        is_counted: false,
        out: Salvaged { index: SegmentIndex::empty(sequence, hash, 0), ..Salvaged::default() },
    };
    // Where the first segment that is held should begin nothing before it tells.
    work.hole.lost = u64::from(before.start.is_none() && number > 1);
    let kept = found.iter().take_while(|record| record.header.sequence < durable).count();
    for record in &found[..kept] {
        work.take(record)?;
    }
    work.take_whole_flushes(&found[kept..], durable)?;
    if let Some(behind) = behind {
        work.close(behind);
    }
    work.out.is_open = work.hole.is_open();
    Ok(work.out)
}

struct Work<'a> {
    number: u64,
    before: &'a Before,
    hole: Hole,
    /// The counts of the record before are known.
    is_counted: bool,
    out: Salvaged,
}

impl Work<'_> {
    fn take(&mut self, record: &Found) -> Result<(), OutOfOrder> {
        let header = &record.header;
        if header.sequence < self.out.index.next_sequence {
            return Ok(());
        }
        let lost = header.sequence - self.out.index.next_sequence;
        if lost > 0 {
            let counts = Some(self.out.index.counts).filter(|_| self.is_counted);
            self.hole.widen(lost, counts, record);
            self.out.first_bad.get_or_insert(self.out.index.end);
        }
        if !record.body_is_whole {
            self.out.first_bad.get_or_insert(u64::from(record.position));
        }
        if let Some(standing) = &record.standing {
            self.settle(standing, Some(record.place()));
        }
        self.apply(record)?;
        self.is_counted = header.counts.is_some();
        self.out.index.end = align_up(record.end(), BLOCK);
        Ok(())
    }

    fn apply(&mut self, record: &Found) -> Result<(), OutOfOrder> {
        let Found { header, position, body_is_whole, .. } = record;
        let index = &mut self.out.index;
        match (header.kind, body_is_whole) {
            (Kind::Entry, _) if self.hole.lost > 0 => {
                let faulty = index.apply_behind_hole(
                    header,
                    *position,
                    self.before.groups.get(&header.group).map(|known| known.end),
                )?;
                self.hole.accounted += faulty;
                if let Some(crc) = self.hole.crc.filter(|_| faulty == 1) {
                    self.out.note_crc(header.group, header.index - 1, crc);
                }
            }
            (Kind::Vote, false) => {
                self.out.bad_votes.insert(header.group, *position);
                index.pass(header);
            }
            (Kind::Checkpoint | Kind::Repair, false) => index.pass(header),
            (kind, _) => {
                if kind == Kind::Vote {
                    self.out.bad_votes.remove(&header.group);
                }
                index.apply(header, *position)?;
            }
        }
        if header.kind == Kind::Entry && !body_is_whole {
            self.out.index.mark_faulty(header.group);
            self.out.note_crc(header.group, header.index, header.body_crc);
        }
        Ok(())
    }

    /// A mark says what there is: whatever was lost before it is accounted for.
    fn settle(&mut self, standing: &Standing, mark: Option<Place>) {
        if self.hole.lost == 0 && self.out.bad_votes.is_empty() {
            return;
        }
        // A group that is left out may have lost anything.
        if !standing.is_complete {
            return;
        }
        let held: BTreeMap<u32, (u64, u64)> =
            self.out.index.groups.iter().map(|(group, part)| (*group, (part.first, part.end()))).collect();
        self.out.index.settle(self.number, standing, mark, &self.before.groups);
        if mark.is_some() {
            self.out.bad_votes.clear();
        }
        // An entry in no place that could be read is the only one that is lost, or may be any.
        let is_new =
            |(group, index): &(u32, u64)| held.get(group).is_none_or(|(first, end)| index < first || index >= end);
        let new: Vec<_> = self.out.index.faulty().filter(is_new).take(2).collect();
        let crc = self.hole.crc.filter(|_| self.hole.entries == Some(1));
        if let (Some(crc), [(group, index)]) = (crc, &new[..]) {
            self.out.note_crc(*group, *index, crc);
        }
        self.hole = Hole::default();
    }

    /// What lies above the durable mark: flushes that are whole and follow; the rest was never acknowledged.
    fn take_whole_flushes(&mut self, mut rest: &[Found], durable: u64) -> Result<(), OutOfOrder> {
        while let Some(first) = rest.first() {
            let mut due = (self.out.index.next_sequence, self.out.index.last_hash);
            // It was written when everything before it was durable: a hole there is damage, and no reason to cut it.
            if due.0 < durable && first.header.sequence == durable {
                due = (durable, first.header.previous);
            }
            let mut len = 0;
            let mut is_whole = false;
            for record in rest {
                let header = &record.header;
                if (header.sequence, header.previous) != due || !record.body_is_whole {
                    break;
                }
                due = (header.sequence + 1, header.hash);
                len += 1;
                if header.flags & FLUSH_LAST != 0 {
                    is_whole = true;
                    break;
                }
            }
            if !is_whole {
                self.out.is_cut = true;
                return Ok(());
            }
            for record in &rest[..len] {
                self.take(record)?;
            }
            rest = &rest[len..];
        }
        Ok(())
    }

    fn close(&mut self, behind: &Behind<'_>) {
        let index = &mut self.out.index;
        if behind.start.is_none_or(|(sequence, _)| index.next_sequence < sequence) {
            self.out.first_bad.get_or_insert(index.end);
            self.hole.lost += 1;
            (self.hole.entries, self.hole.is_states, self.hole.crc) = (None, None, None);
        }
        if let Some(start) = behind.start.filter(|(sequence, _)| index.next_sequence < *sequence) {
            (index.next_sequence, index.last_hash) = start;
        }
        if let Some(standing) = behind.standing {
            self.settle(standing, None);
        }
    }
}
