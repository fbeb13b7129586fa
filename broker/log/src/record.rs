//! One record of the log.
//!
//! A record is a header of [`HEADER_BYTES`] bytes, the body, and zeros up to the next multiple of 8. Records of one
//! flush follow each other; a flush starts on a 4 KiB boundary and is filled up with zeros to the next one. Numbers
//! are little-endian:
//!
//! ```text
//!   0 header crc u32   CRC-32C of bytes 4..120
//!   4 body crc u32     CRC-32C of the body
//!   8 magic [u8; 4]    12 kind u8   13 caller's kind u8   14 flags u8
//!  15 states u8        counts records that are neither entries nor marks, the ones before this one
//!  16 use id u64       of the segment's present use, so that what a recycled file still holds is not taken for new
//!  24 group u32        28 event count u32
//!  32 term u64         40 leader u64   48 index u64   56 first offset u64
//!  64 time u64         wall clock, milliseconds since 1970
//!  72 committed u64    commit index known for the group, or u64::MAX
//!  80 sequence u64     counts every record of the log
//!  88 frontier u64     every record below this sequence was durable when this one was written
//!  96 oldest u64       number of the oldest segment that is still part of the log
//! 104 previous u64     hash of the record before: its header crc and body crc
//! 112 body length u32
//! 116 entries u32      counts entries, the ones before this one
//! ```
//!
//! The two counts go on from record to record and begin anew anywhere; they tell what it was that a hole between two
//! records swallowed. Version 2 of the format knew neither the counts (zeros; a flag says that they are there), nor
//! [`Kind::Forget`] and [`Kind::Repair`], nor bodies of marks.

use bytes::Bytes;

use crate::aligned::align_up;
use crate::types::{LogId, LogIndex, Offset, Term};

/// Bytes of a record header.
pub(crate) const HEADER_BYTES: usize = 120;
const MAGIC: [u8; 4] = *b"PLr1";
/// The value of `committed` when no commit index is known.
const NO_COMMIT: u64 = u64::MAX;

/// What a record says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// One entry of a group.
    Entry = 1,
    /// The vote of a group.
    Vote = 2,
    /// Entries of the group from `index` on are gone. With an `event_count` of 1, `term` and `leader` are those of the
    /// entry before, and `first_offset` is the offset that follows it.
    Truncate = 3,
    /// Entries of the group up to `index` are gone; `first_offset` is the offset that follows them.
    Purge = 4,
    /// State of the group at `index`.
    Checkpoint = 5,
    /// Its frontier and its oldest segment, and in its body how all groups stand (see `standing`).
    Mark = 6,
    /// Everything of the group is gone.
    Forget = 7,
    /// A sound copy of an entry of an earlier place that is damaged.
    Repair = 8,
}

impl Kind {
    fn from_byte(byte: u8) -> Option<Self> {
        use Kind::{Checkpoint, Entry, Forget, Mark, Purge, Repair, Truncate, Vote};
        [Entry, Vote, Truncate, Purge, Checkpoint, Mark, Forget, Repair].into_iter().find(|kind| *kind as u8 == byte)
    }
}

/// How many records of two sorts there were before one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub entries: u32,
    /// Neither entries nor marks: what changes the state of a group.
    pub states: u8,
}

impl Counts {
    /// After one more record.
    pub(crate) fn after(self, kind: Kind) -> Self {
        match kind {
            Kind::Entry => Self { entries: self.entries.wrapping_add(1), ..self },
            Kind::Mark => self,
            Kind::Vote | Kind::Truncate | Kind::Purge | Kind::Checkpoint | Kind::Forget | Kind::Repair => {
                Self { states: self.states.wrapping_add(1), ..self }
            }
        }
    }
}

/// First record of its flush.
pub(crate) const FLUSH_FIRST: u8 = 1;
/// Last record of its flush.
pub(crate) const FLUSH_LAST: u8 = 2;
/// The counts are there.
const COUNTED: u8 = 4;

/// What a record says, before it has a place.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    pub kind: Kind,
    pub caller_kind: u8,
    pub group: u32,
    pub term: u64,
    pub leader: u64,
    pub index: u64,
    pub first_offset: u64,
    pub event_count: u32,
    pub time: u64,
    pub committed: Option<u64>,
    pub body: Bytes,
    /// Names the entry in the tail cache; not written.
    pub ticket: u64,
}

impl Record {
    /// A record that says nothing but where the log stands.
    pub(crate) fn mark(time: u64) -> Self {
        Self {
            kind: Kind::Mark,
            caller_kind: 0,
            group: 0,
            term: 0,
            leader: 0,
            index: 0,
            first_offset: 0,
            event_count: 0,
            time,
            committed: None,
            body: Bytes::new(),
            ticket: 0,
        }
    }

    /// Bytes in the segment, up to the next record.
    pub(crate) fn stored_bytes(&self) -> u64 {
        stored_bytes(self.body.len() as u64)
    }
}

/// Bytes that a record with a body of `body_bytes` takes in the segment.
pub(crate) const fn stored_bytes(body_bytes: u64) -> u64 {
    align_up(HEADER_BYTES as u64 + body_bytes, 8)
}

/// Where a record stands in the stream.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Placing {
    pub use_id: u64,
    pub sequence: u64,
    pub frontier: u64,
    pub oldest: u64,
    pub previous: u64,
    pub counts: Counts,
    pub flags: u8,
}

/// A header as read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub kind: Kind,
    pub caller_kind: u8,
    pub flags: u8,
    pub use_id: u64,
    pub group: u32,
    pub event_count: u32,
    pub term: u64,
    pub leader: u64,
    pub index: u64,
    pub first_offset: u64,
    pub time: u64,
    pub committed: Option<u64>,
    pub sequence: u64,
    pub frontier: u64,
    pub oldest: u64,
    pub previous: u64,
    /// `None` in version 2.
    pub counts: Option<Counts>,
    pub body_len: u32,
    pub body_crc: u32,
    /// Hash of the record, as the next one names it.
    pub hash: u64,
}

impl Header {
    /// The header of `record` at its place, and its bytes.
    pub(crate) fn encode(record: &Record, placing: &Placing) -> (Self, [u8; HEADER_BYTES]) {
        let body_crc = crc32c::crc32c(&record.body);
        let body_len = u32::try_from(record.body.len()).expect("a body is below max_record_bytes");
        let mut bytes = [0; HEADER_BYTES];
        put(&mut bytes, 4, body_crc.to_le_bytes());
        put(&mut bytes, 8, MAGIC);
        let flags = placing.flags | COUNTED;
        put(&mut bytes, 12, [record.kind as u8, record.caller_kind, flags, placing.counts.states]);
        put(&mut bytes, 16, placing.use_id.to_le_bytes());
        put(&mut bytes, 24, record.group.to_le_bytes());
        put(&mut bytes, 28, record.event_count.to_le_bytes());
        put(&mut bytes, 32, record.term.to_le_bytes());
        put(&mut bytes, 40, record.leader.to_le_bytes());
        put(&mut bytes, 48, record.index.to_le_bytes());
        put(&mut bytes, 56, record.first_offset.to_le_bytes());
        put(&mut bytes, 64, record.time.to_le_bytes());
        put(&mut bytes, 72, record.committed.unwrap_or(NO_COMMIT).to_le_bytes());
        put(&mut bytes, 80, placing.sequence.to_le_bytes());
        put(&mut bytes, 88, placing.frontier.to_le_bytes());
        put(&mut bytes, 96, placing.oldest.to_le_bytes());
        put(&mut bytes, 104, placing.previous.to_le_bytes());
        put(&mut bytes, 112, body_len.to_le_bytes());
        put(&mut bytes, 116, placing.counts.entries.to_le_bytes());
        let header_crc = crc32c::crc32c(&bytes[4..]);
        put(&mut bytes, 0, header_crc.to_le_bytes());
        let header = Self {
            kind: record.kind,
            caller_kind: record.caller_kind,
            flags,
            use_id: placing.use_id,
            group: record.group,
            event_count: record.event_count,
            term: record.term,
            leader: record.leader,
            index: record.index,
            first_offset: record.first_offset,
            time: record.time,
            committed: record.committed,
            sequence: placing.sequence,
            frontier: placing.frontier,
            oldest: placing.oldest,
            previous: placing.previous,
            counts: Some(placing.counts),
            body_len,
            body_crc,
            hash: hash(header_crc, body_crc),
        };
        (header, bytes)
    }

    /// Reads a header; `None` when these bytes are none, or a damaged one.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.get(..HEADER_BYTES)?;
        if bytes[8..12] != MAGIC {
            return None;
        }
        let header_crc = u32_at(bytes, 0);
        if crc32c::crc32c(&bytes[4..]) != header_crc {
            return None;
        }
        let body_crc = u32_at(bytes, 4);
        Some(Self {
            kind: Kind::from_byte(bytes[12])?,
            caller_kind: bytes[13],
            flags: bytes[14],
            use_id: u64_at(bytes, 16),
            group: u32_at(bytes, 24),
            event_count: u32_at(bytes, 28),
            term: u64_at(bytes, 32),
            leader: u64_at(bytes, 40),
            index: u64_at(bytes, 48),
            first_offset: u64_at(bytes, 56),
            time: u64_at(bytes, 64),
            committed: Some(u64_at(bytes, 72)).filter(|value| *value != NO_COMMIT),
            sequence: u64_at(bytes, 80),
            frontier: u64_at(bytes, 88),
            oldest: u64_at(bytes, 96),
            previous: u64_at(bytes, 104),
            counts: (bytes[14] & COUNTED != 0).then(|| Counts { entries: u32_at(bytes, 116), states: bytes[15] }),
            body_len: u32_at(bytes, 112),
            body_crc,
            hash: hash(header_crc, body_crc),
        })
    }

    /// Bytes of the record in the segment, up to the next one.
    pub(crate) fn stored_bytes(&self) -> u64 {
        stored_bytes(u64::from(self.body_len))
    }

    /// The offsets of an entry's events, the last one not included; `None` of what holds none.
    pub(crate) fn offsets(&self) -> Option<(Offset, Offset)> {
        let end = self.first_offset.saturating_add(u64::from(self.event_count));
        (self.kind == Kind::Entry && self.event_count > 0).then_some((Offset(self.first_offset), Offset(end)))
    }

    /// What the entry is called, of an entry or a copy of one.
    pub(crate) fn log_id(&self) -> LogId {
        (Term(self.term), self.leader, LogIndex(self.index))
    }

    /// Whether `body` is what was written.
    pub(crate) fn body_is_whole(&self, body: &[u8]) -> bool {
        body.len() == self.body_len as usize && crc32c::crc32c(body) == self.body_crc
    }
}

fn hash(header_crc: u32, body_crc: u32) -> u64 {
    u64::from(header_crc) << 32 | u64::from(body_crc)
}

/// Copies `value` to `at`.
pub(crate) fn put<const N: usize>(bytes: &mut [u8], at: usize, value: [u8; N]) {
    bytes[at..at + N].copy_from_slice(&value);
}

/// The little-endian number at `at`; the caller has checked the length.
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

/// The little-endian number at `at`; the caller has checked the length.
pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> (Header, [u8; HEADER_BYTES]) {
        let record = Record {
            kind: Kind::Entry,
            caller_kind: 9,
            group: 3,
            term: 4,
            leader: 5,
            index: 6,
            first_offset: 7,
            event_count: 8,
            time: 10,
            committed: Some(2),
            body: Bytes::from_static(b"body"),
            ticket: 0,
        };
        let placing = Placing {
            use_id: 11,
            sequence: 12,
            frontier: 12,
            oldest: 1,
            previous: 13,
            counts: Counts { entries: 14, states: 15 },
            flags: FLUSH_FIRST | FLUSH_LAST,
        };
        Header::encode(&record, &placing)
    }

    #[test]
    fn what_is_written_is_read() {
        let (header, bytes) = sample();
        assert_eq!(Header::decode(&bytes), Some(header));
        assert!(header.body_is_whole(b"body"));
        assert!(!header.body_is_whole(b"bode"));
        assert_eq!(header.stored_bytes(), 128);
    }

    #[test]
    fn one_flipped_bit_anywhere_is_noticed() {
        let (_, bytes) = sample();
        for bit in 0..HEADER_BYTES * 8 {
            let mut damaged = bytes;
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Header::decode(&damaged), None, "bit {bit}");
        }
    }
}
