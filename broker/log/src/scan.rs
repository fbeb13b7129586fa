//! Reads the records of one segment and says where and why they end.

use std::io;

use crate::aligned::{AlignedBuffer, align_up};
use crate::disk::DiskFile;
use crate::index::SegmentIndex;
use crate::record::{FLUSH_FIRST, FLUSH_LAST, HEADER_BYTES, Header, Kind};
use crate::segment::{BLOCK_BYTES, DATA_START};

/// Read at a time.
const WINDOW_BYTES: u64 = 1 << 20;
const BLOCK: u64 = BLOCK_BYTES as u64;

/// The records of one segment.
#[derive(Debug)]
pub(crate) struct Scan {
    /// What the whole flushes hold.
    pub index: SegmentIndex,
    /// Where the first thing lies that is not a record in order.
    pub stop: u64,
    /// What its header says, when only its body is bad.
    pub stop_header: Option<Header>,
    /// The highest frontier that a record of the present use beyond the end names.
    pub frontier_beyond: Option<u64>,
    /// The highest "oldest segment" that such a record names; 0 when there is none. It holds whether the record is cut or
    /// not: it was written once what lay only below that segment had been written again and synced.
    pub oldest_beyond: u64,
    /// A record of the present use lies beyond the end.
    pub remains: bool,
}

/// A part of a file in memory.
pub(crate) struct Window<'a> {
    file: &'a dyn DiskFile,
    limit: u64,
    buffer: AlignedBuffer,
    start: u64,
    len: u64,
}

impl<'a> Window<'a> {
    /// Of the part of a segment of `size_bytes` that may hold records; of a file that was cut short, all of it.
    ///
    /// # Errors
    /// Those of the system.
    pub(crate) fn new(file: &'a dyn DiskFile, size_bytes: u64) -> io::Result<Self> {
        let limit = size_bytes.saturating_sub(BLOCK).min(file.size_bytes()?);
        Ok(Self { file, limit, buffer: AlignedBuffer::new(0), start: 0, len: 0 })
    }

    /// The use that a header at `at` names, whichever it is.
    ///
    /// # Errors
    /// Those of the system.
    pub(crate) fn use_at(&mut self, at: u64) -> io::Result<Option<u64>> {
        Ok(Header::decode(self.bytes(at, HEADER_BYTES as u64)?).map(|header| header.use_id))
    }

    /// Where that part ends.
    pub(crate) fn limit(&self) -> u64 {
        self.limit
    }

    /// The bytes at `at`; fewer than `len` at the end of the records' part of the segment.
    pub(crate) fn bytes(&mut self, at: u64, len: u64) -> io::Result<&[u8]> {
        let end = at.saturating_add(len).min(self.limit);
        if at >= end {
            return Ok(&[]);
        }
        if at < self.start || end > self.start + self.len {
            self.start = at - at % BLOCK;
            let want =
                align_up(end - self.start, BLOCK).max(WINDOW_BYTES).min(align_up(self.limit - self.start, BLOCK));
            let want = usize::try_from(want).unwrap_or(usize::MAX);
            if self.buffer.len() < want {
                self.buffer = AlignedBuffer::new(want);
            }
            let read = self.file.read_past_cache_at(&mut self.buffer.as_mut_slice()[..want], self.start)?;
            self.len = read as u64;
        }
        let from = usize::try_from(at - self.start).unwrap_or(usize::MAX);
        let to = usize::try_from((end - self.start).min(self.len)).unwrap_or(usize::MAX);
        Ok(self.buffer.as_slice().get(from..to).unwrap_or(&[]))
    }

    /// The header at `at`, when there is one of this use.
    pub(crate) fn header(&mut self, at: u64, use_id: u64) -> io::Result<Option<Header>> {
        Ok(Header::decode(self.bytes(at, HEADER_BYTES as u64)?).filter(|header| header.use_id == use_id))
    }
}

/// One flush as it is read.
enum FlushRead {
    /// Its records with their places, where the next one starts, and whether a checkpoint in it is damaged.
    Whole { records: Vec<(Header, u64)>, end: u64, damaged_checkpoint: Option<(Header, u64)> },
    /// It stops being one here.
    Broken { at: u64, header: Option<Header> },
}

/// Reads the flush at `start`, whose first record should be `sequence` after a record of hash `previous`; `None` when
/// that is not known, at the start of a segment.
fn read_flush(
    window: &mut Window<'_>,
    use_id: u64,
    start: u64,
    mut expected: Option<(u64, u64)>,
) -> io::Result<FlushRead> {
    let mut records: Vec<(Header, u64)> = Vec::new();
    let mut damaged_checkpoint = None;
    let mut at = start;
    loop {
        let broken = |header| Ok(FlushRead::Broken { at, header });
        let Some(header) = window.header(at, use_id)? else { return broken(None) };
        let in_order = expected.is_none_or(|due| due == (header.sequence, header.previous));
        let first = records.is_empty();
        let frontier = records.first().map_or(header.sequence, |(first, _)| first.sequence);
        let opens = (header.flags & FLUSH_FIRST != 0) == first;
        if !in_order || !opens || header.frontier != frontier || at + header.stored_bytes() > window.limit {
            return broken(None);
        }
        let body = window.bytes(at + HEADER_BYTES as u64, u64::from(header.body_len))?;
        if !header.body_is_whole(body) {
            if header.kind != Kind::Checkpoint {
                return broken(Some(header));
            }
            damaged_checkpoint = damaged_checkpoint.or(Some((header, at)));
        }
        records.push((header, at));
        at += header.stored_bytes();
        expected = Some((header.sequence + 1, header.hash));
        if header.flags & FLUSH_LAST != 0 {
            return Ok(FlushRead::Whole { records, end: align_up(at, BLOCK), damaged_checkpoint });
        }
    }
}

/// Reads every record of a segment of `size_bytes` in its use `use_id`.
///
/// # Errors
/// Those of the system.
pub(crate) fn scan(file: &dyn DiskFile, use_id: u64, size_bytes: u64) -> io::Result<Scan> {
    let mut window = Window::new(file, size_bytes)?;
    let limit = window.limit;
    let mut index: Option<SegmentIndex> = None;
    let mut at = DATA_START;
    let (stop, stop_header) = loop {
        let expected = index.as_ref().map(|index| (index.next_sequence, index.last_hash));
        let (records, end, damaged) = match read_flush(&mut window, use_id, at, expected)? {
            FlushRead::Broken { at, header } => break (at, header),
            FlushRead::Whole { records, end, damaged_checkpoint } => (records, end, damaged_checkpoint),
        };
        let (first, last) = (records[0].0, records[records.len() - 1].0);
        if let Some((header, position)) = damaged {
            // Whether this is a write cut short or a checkpoint gone bad later is told by what follows.
            let next = window.header(end, use_id)?;
            if next.is_none_or(|next| next.frontier <= header.sequence || next.previous != last.hash) {
                break (position, Some(header));
            }
        }
        let index = index.get_or_insert_with(|| SegmentIndex::empty(first.sequence, first.previous, 0));
        for (header, position) in &records {
            // Entries that do not follow each other, under checksums and a chain that hold, were never written by us.
            if index.apply(header, u32::try_from(*position).unwrap_or(u32::MAX)).is_err() {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "records are whole but contradict each other"));
            }
        }
        index.end = end;
        at = end;
    };
    let (mut frontier_beyond, mut oldest_beyond) = (None, 0);
    let mut remains = stop_header.is_some() || stop > at;
    let mut look = at;
    while look < limit {
        if let Some(header) = window.header(look, use_id)? {
            remains = true;
            frontier_beyond = frontier_beyond.max(Some(header.frontier));
            oldest_beyond = oldest_beyond.max(header.oldest);
        }
        look += BLOCK;
    }
    let index = index.unwrap_or_else(|| SegmentIndex::empty(0, 0, 0));
    Ok(Scan { index, stop, stop_header, frontier_beyond, oldest_beyond, remains })
}
