use super::*;
use crate::record::{Counts, Placing, Record};
use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

fn header(kind: Kind, group: u32, index: u64, sequence: u64) -> Header {
    let record = Record {
        kind,
        group,
        index,
        term: 1 + index / 4,
        leader: 1,
        first_offset: index * 10,
        event_count: 10,
        body: Bytes::from_static(b"xyz"),
        ..Record::mark(1_000 + index)
    };
    let placing = Placing {
        use_id: 1,
        sequence,
        frontier: sequence,
        oldest: 1,
        previous: 7,
        counts: Counts::default(),
        flags: 3,
    };
    Header::encode(&record, &placing).0
}

fn sample() -> SegmentIndex {
    let mut index = SegmentIndex::empty(5, 9, 1);
    let steps = [
        (Kind::Vote, 1, 0),
        (Kind::Entry, 1, 5),
        (Kind::Entry, 1, 6),
        (Kind::Entry, 2, 1),
        (Kind::Entry, 1, 7),
        (Kind::Truncate, 1, 6),
        (Kind::Entry, 1, 6),
        (Kind::Purge, 1, 5),
        (Kind::Checkpoint, 2, 1),
        (Kind::Checkpoint, 2, 2),
        (Kind::Checkpoint, 2, 3),
        (Kind::Mark, 0, 0),
    ];
    for (sequence, (kind, group, at)) in (5..).zip(steps) {
        index.apply(&header(kind, group, at, sequence), 4096 * sequence as u32).expect("in order");
    }
    index
}

#[test]
fn truncation_and_purge_leave_one_range() {
    let index = sample();
    let part = &index.groups[&1];
    assert_eq!((part.first, part.end()), (6, 7));
    assert_eq!(part.keep_below, Some(6));
    assert_eq!(part.purge.map(|purge| purge.upto.2), Some(LogIndex(5)));
    assert_eq!(part.meta(6).map(|meta| meta.term), Some(Term(2)));
    let checkpoints: Vec<u64> = index.groups[&2].checkpoints.iter().map(|c| c.index).collect();
    assert_eq!(checkpoints, [2, 3]);
}

#[test]
fn an_entry_that_does_not_follow_is_refused() {
    let mut index = sample();
    assert_eq!(index.apply(&header(Kind::Entry, 1, 9, 17), 0), Err(OutOfOrder));
}

#[test]
fn a_footer_reads_back_and_stays_within_its_bound() {
    let index = sample();
    let bytes = index.encode();
    assert!(bytes.len() as u64 <= index.footer_bound(0), "{} > {}", bytes.len(), index.footer_bound(0));
    let read = SegmentIndex::decode(&bytes).expect("a footer");
    assert_eq!(SegmentIndex { footer_content_bytes: 0, ..read }, SegmentIndex { footer_content_bytes: 0, ..index });
    for len in 0..bytes.len() {
        assert_eq!(SegmentIndex::decode(&bytes[..len]), None, "length {len}");
    }
}

proptest! {
    #[test]
    fn no_bytes_make_a_footer_panic(noise in vec(any::<u8>(), 0..1_024)) {
        let _ = SegmentIndex::decode(&noise);
    }

    #[test]
    fn no_damage_makes_a_footer_panic(at in any::<Index>(), with in any::<u8>()) {
        let mut bytes = sample().encode();
        let at = at.index(bytes.len());
        bytes[at] = with;
        if let Some(index) = SegmentIndex::decode(&bytes) {
            // What is asked of every part when a segment is opened.
            for part in index.groups.values() {
                let _ = part.slots.front().and_then(|_| part.meta(part.first));
            }
        }
    }

    #[test]
    fn no_bytes_make_a_record_header_panic(noise in vec(any::<u8>(), crate::record::HEADER_BYTES)) {
        // With the checksum right, so that it gets further than noise does.
        let mut bytes = noise;
        bytes[8..12].copy_from_slice(b"PLr1");
        let crc = crc32c::crc32c(&bytes[4..]);
        bytes[..4].copy_from_slice(&crc.to_le_bytes());
        if let Some(header) = Header::decode(&bytes) {
            let _ = (header.stored_bytes(), header.offsets());
        }
    }
}
