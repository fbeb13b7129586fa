//! How all groups stand, as every mark says it: what recovery knows of records that it cannot read.
//!
//! A mark is written at the start of each segment but the first, when it has been quiet for a moment, and at shutdown.
//! Its body says of each group what is durable there: the vote, the purge, the newest entry, and which entries lie in
//! which of the last few segments. A hole in the records before a mark, or a whole segment that is gone, can then be
//! told from records that never were: the entries in it are *faulty*, and no vote is guessed.
//!
//! ```text
//! number u64, use id u64 of the segment before (zeros: none)   groups u32   complete u32
//! each group: group u32  flags u32 (1 vote, 2 purge, 4 last entry)   sequence that forgot it last u64
//!             vote: length u32, bytes    purge: term, leader, index, next offset u64
//!             last: term, leader, index, next offset u64
//!             runs u32, each: segment, first, first offset u64, terms u32, each: from, term, leader u64
//! ```

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::group::{Placed, TermStart};
use crate::index::Purge;
use crate::record::HEADER_BYTES;
use crate::segment::BLOCK_BYTES;
use crate::types::{GroupId, LogId, LogIndex, Term};

/// Most bytes of it: a mark is one block. Groups that do not fit are left out, about from the twentieth on; damage that
/// needs to know of them cannot be told from a lost vote, and refuses.
const MAX_BYTES: usize = BLOCK_BYTES - HEADER_BYTES;
/// The newest runs of a group that are told.
const RUNS: usize = 4;
/// The newest terms of a run that are told.
const TERMS: usize = 4;

/// Entries of a group that lie in one segment, up to where the next run begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RunStanding {
    pub segment: u64,
    pub first: u64,
    pub first_offset: u64,
    pub terms: Vec<TermStart>,
}

/// How one group stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct GroupStanding {
    pub vote: Option<Bytes>,
    pub purge: Option<Purge>,
    /// The newest entry, and the offset after it.
    pub last: Option<(LogId, u64)>,
    /// Sequence of the record that forgot the group last; 0 when none is remembered.
    pub forgotten: u64,
    /// The newest, oldest first.
    pub runs: Vec<RunStanding>,
}

/// How all groups stand.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Standing {
    /// Number and use id of the segment before the one that the mark opens.
    pub before: Option<(u64, u64)>,
    pub groups: BTreeMap<u32, GroupStanding>,
    /// No group was left out.
    pub is_complete: bool,
}

impl GroupStanding {
    fn of(placed: &Placed, forgotten: u64) -> Self {
        let runs = placed.runs.iter().skip(placed.runs.len().saturating_sub(RUNS)).map(|run| RunStanding {
            segment: run.segment,
            first: run.first,
            first_offset: run.first_offset,
            terms: run.terms.iter().skip(run.terms.len().saturating_sub(TERMS)).copied().collect(),
        });
        Self {
            vote: placed.vote.as_ref().map(|(_, vote)| vote.clone()),
            purge: placed.purge.as_ref().map(|(_, purge)| *purge),
            last: placed.last.map(|last| (last, placed.next_offset)),
            forgotten,
            runs: runs.collect(),
        }
    }

    fn encode(&self, group: u32) -> Vec<u8> {
        let mut out = Vec::new();
        let flag = |is: bool, bit: u32| u32::from(is) << bit;
        let flags = flag(self.vote.is_some(), 0) | flag(self.purge.is_some(), 1) | flag(self.last.is_some(), 2);
        put_u32(&mut out, group);
        put_u32(&mut out, flags);
        put_u64s(&mut out, [self.forgotten]);
        if let Some(vote) = &self.vote {
            put_u32(&mut out, count(vote.len()));
            out.extend_from_slice(vote);
        }
        for (id, next_offset) in self.purge.map(|purge| (purge.upto, purge.next_offset)).into_iter().chain(self.last) {
            put_u64s(&mut out, [id.0.0, id.1, id.2.0, next_offset]);
        }
        put_u32(&mut out, count(self.runs.len()));
        for run in &self.runs {
            put_u64s(&mut out, [run.segment, run.first, run.first_offset]);
            put_u32(&mut out, count(run.terms.len()));
            for start in &run.terms {
                put_u64s(&mut out, [start.from, start.term, start.leader]);
            }
        }
        out
    }

    fn decode(input: &mut &[u8]) -> Option<(u32, Self)> {
        let (group, flags) = (take_u32(input)?, take_u32(input)?);
        let has = |bit: u32| flags >> bit & 1 == 1;
        let mut found = Self { forgotten: take_u64(input)?, ..Self::default() };
        if has(0) {
            let len = take_u32(input)? as usize;
            found.vote = Some(Bytes::copy_from_slice(take(input, len)?));
        }
        let id = |input: &mut &[u8]| {
            let id = (Term(take_u64(input)?), take_u64(input)?, LogIndex(take_u64(input)?));
            Some((id, take_u64(input)?))
        };
        if has(1) {
            let (upto, next_offset) = id(input)?;
            found.purge = Some(Purge { upto, next_offset });
        }
        if has(2) {
            found.last = Some(id(input)?);
        }
        for _ in 0..take_u32(input)? {
            let (segment, first, first_offset) = (take_u64(input)?, take_u64(input)?, take_u64(input)?);
            let mut terms = Vec::new();
            for _ in 0..take_u32(input)? {
                terms.push(TermStart { from: take_u64(input)?, term: take_u64(input)?, leader: take_u64(input)? });
            }
            found.runs.push(RunStanding { segment, first, first_offset, terms });
        }
        Some((group, found))
    }

    /// Whether [`GroupStanding::run_in`] is right about `segment`: it is not among those that are not told.
    pub(crate) fn tells_of(&self, segment: u64) -> bool {
        self.runs.len() < RUNS || self.runs.first().is_some_and(|run| run.segment <= segment)
    }

    /// What lies in `segment`: the run, and the index and offset at which it ends, where those are told.
    pub(crate) fn run_in(&self, segment: u64) -> Option<(&RunStanding, u64, u64)> {
        let at = self.runs.iter().position(|run| run.segment == segment)?;
        let (end, end_offset) = match (self.runs.get(at + 1), self.last) {
            (Some(next), _) => (next.first, next.first_offset),
            (None, Some((last, next_offset))) => (last.2.0 + 1, next_offset),
            (None, None) => return None,
        };
        Some((&self.runs[at], end, end_offset))
    }
}

impl Standing {
    /// How `groups` stand on disk.
    pub(crate) fn of<'a>(
        before: Option<(u64, u64)>,
        groups: impl Iterator<Item = (&'a GroupId, &'a Placed)>,
        forgotten: &BTreeMap<GroupId, u64>,
    ) -> Self {
        let of = |group: &GroupId, placed| GroupStanding::of(placed, forgotten.get(group).copied().unwrap_or(0));
        let groups = groups.map(|(group, placed)| (group.0, of(group, placed))).collect();
        Self { before, groups, is_complete: true }
    }

    /// As the body of a mark.
    pub(crate) fn encode(&self) -> Bytes {
        let mut out = Vec::new();
        let (number, use_id) = self.before.unwrap_or((0, 0));
        put_u64s(&mut out, [number, use_id]);
        out.resize(24, 0);
        let mut groups = 0;
        for (group, standing) in &self.groups {
            let bytes = standing.encode(*group);
            if out.len() + bytes.len() > MAX_BYTES {
                break;
            }
            out.extend_from_slice(&bytes);
            groups += 1;
        }
        out[16..20].copy_from_slice(&count(groups).to_le_bytes());
        out[20..24].copy_from_slice(&u32::from(groups == self.groups.len()).to_le_bytes());
        out.into()
    }

    /// From the body of a mark; `None` of one that says nothing, as those of version 2.
    pub(crate) fn decode(body: &[u8]) -> Option<Self> {
        let mut input = body;
        let before = (take_u64(&mut input)?, take_u64(&mut input)?);
        let (groups, complete) = (take_u32(&mut input)?, take_u32(&mut input)?);
        let mut found = Self {
            before: Some(before).filter(|before| before.0 != 0),
            groups: BTreeMap::new(),
            is_complete: complete == 1,
        };
        for _ in 0..groups {
            let (group, standing) = GroupStanding::decode(&mut input)?;
            found.groups.insert(group, standing);
        }
        input.is_empty().then_some(found)
    }
}

fn count(len: usize) -> u32 {
    u32::try_from(len).expect("bounded by a block")
}

fn put_u32(out: &mut Vec<u8>, value: u32) {
    out.extend_from_slice(&value.to_le_bytes());
}

fn put_u64s(out: &mut Vec<u8>, values: impl IntoIterator<Item = u64>) {
    for value in values {
        out.extend_from_slice(&value.to_le_bytes());
    }
}

fn take<'a>(input: &mut &'a [u8], len: usize) -> Option<&'a [u8]> {
    let (now, later) = input.split_at_checked(len)?;
    *input = later;
    Some(now)
}

fn take_u32(input: &mut &[u8]) -> Option<u32> {
    take(input, 4).map(|bytes| u32::from_le_bytes(bytes.try_into().expect("four bytes")))
}

fn take_u64(input: &mut &[u8]) -> Option<u64> {
    take(input, 8).map(|bytes| u64::from_le_bytes(bytes.try_into().expect("eight bytes")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(groups: u32) -> Standing {
        let run = |segment| RunStanding {
            segment,
            first: segment * 10,
            first_offset: 7,
            terms: vec![TermStart { from: segment * 10, term: 2, leader: 1 }],
        };
        let id = (Term(2), 1, LogIndex(39));
        let standing = GroupStanding {
            vote: Some(Bytes::from_static(b"a vote of some bytes")),
            purge: Some(Purge { upto: (Term(1), 1, LogIndex(9)), next_offset: 3 }),
            last: Some((id, 99)),
            forgotten: 20,
            runs: vec![run(1), run(2), run(3)],
        };
        let groups = (0..groups).map(|group| (group, standing.clone())).collect();
        Standing { before: Some((2, 77)), groups, is_complete: true }
    }

    #[test]
    fn what_is_written_is_read() {
        for standing in [sample(0), sample(3), Standing { before: None, ..sample(1) }] {
            assert_eq!(Standing::decode(&standing.encode()), Some(standing));
        }
        let bytes = sample(2).encode();
        for len in 0..bytes.len() {
            assert_eq!(Standing::decode(&bytes[..len]), None, "{len} bytes");
        }
    }

    #[test]
    fn what_does_not_fit_is_left_out_and_said_so() {
        let many = sample(50);
        let bytes = many.encode();
        let read = Standing::decode(&bytes).unwrap();
        assert!(bytes.len() <= MAX_BYTES && !read.is_complete && read.groups.len() >= 10, "{}", read.groups.len());
    }

    #[test]
    fn a_run_ends_where_the_next_begins() {
        let standing = &sample(1).groups[&0];
        assert_eq!(standing.run_in(2).map(|(run, end, _)| (run.first, end)), Some((20, 30)));
        assert_eq!(standing.run_in(3).map(|(run, end, offset)| (run.first, end, offset)), Some((30, 40, 99)));
        assert_eq!(standing.run_in(4), None);
    }
}
