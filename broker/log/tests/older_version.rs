//! A directory that an older program left.
#![allow(clippy::unwrap_used, reason = "a test may stop where it stands")]

mod common;

use std::sync::Arc;

use bytes::Bytes;
use common::*;
use pelton_log::{Entry, LogIndex, Offset, Options, SimDisk, Term, verify};

/// Written by the last program of version 2: seven segments of 28 KiB, the first five sealed. Each file is its name, its
/// length and the pieces of 64 bytes that are not zeros, every number a `u32`.
const VERSION_2: &[u8] = include_bytes!("data/version_2.bin");

fn version_2() -> SimDisk {
    let disk = SimDisk::new();
    let mut rest = VERSION_2;
    let mut take = |len: usize| {
        let (now, later) = rest.split_at(len);
        rest = later;
        now.to_vec()
    };
    let number = |bytes: Vec<u8>| u32::from_le_bytes(bytes.try_into().unwrap()) as usize;
    for _ in 0..8 {
        let name_len = number(take(4));
        let name = String::from_utf8(take(name_len)).unwrap();
        let mut contents = vec![0; number(take(4))];
        for _ in 0..number(take(4)) {
            let at = number(take(4));
            let end = contents.len().min(at + 64);
            contents[at..end].copy_from_slice(&take(64)[..end - at]);
        }
        disk.put(&name, contents);
    }
    disk
}

fn small() -> Options {
    Options {
        segment_size_bytes: 28 << 10,
        initial_segment_size_bytes: 28 << 10,
        max_record_bytes: 4096,
        max_flush_bytes: 8192,
        staging_bytes: 4096,
        spare_segments: 1,
        ..options()
    }
}

fn holds_what_was_written(log: &pelton_log::Log) {
    let (one, two) = (log.group(G1), log.group(G2));
    assert_eq!((one.vote, two.vote), (Some(Bytes::from("the vote of one")), Some(Bytes::from("the vote of two"))));
    assert_eq!(one.checkpoint, Some((LogIndex(4), Bytes::from("the state at four"))));
    assert_eq!((one.committed, one.last), (Some(LogIndex(5)), Some((Term(1), 1, LogIndex(12)))));
    assert_eq!((two.purged, two.next_offset), (Some((Term(1), 1, LogIndex(1))), Offset(40)));
    let mut want: Vec<Entry> = (1..=6).map(|index| entry(1, index, 100)).collect();
    want.extend([entry(2, 7, 90), entry(2, 8, 20)]);
    want.extend((9..=12).map(|index| entry(1, index, 100)));
    assert_eq!(all(log, G1), want);
    assert_eq!(all(log, G2), [entry(1, 2, 60), entry(1, 3, 60)]);
}

#[test]
fn what_version_2_wrote_is_read_and_gone_on_with() {
    let disk = version_2();
    assert!(verify(&disk).unwrap().is_whole(), "looked at without a change");
    assert_eq!(disk.contents("identity"), version_2().contents("identity"));
    for _ in 0..2 {
        let (log, report) = open_with(Arc::new(disk.clone()), small()).unwrap();
        assert_eq!((report.cut, report.segments_scanned), (None, 2));
        holds_what_was_written(&log);
        log.shutdown();
    }
    let (log, _) = open_with(Arc::new(disk.clone()), small()).unwrap();
    append(&log, G1, (13..=40).map(|index| entry(3, index, 900)).collect());
    wait(|done| log.forget(G2, done)).unwrap();
    log.shutdown();
    let (log, _) = open_with(Arc::new(disk.clone()), small()).unwrap();
    assert_eq!((all(&log, G1).len(), log.groups()), (40, vec![G1]));
    log.shutdown();
    assert!(verify(&disk).unwrap().is_whole());
}

/// Once this program has opened the directory, version 2 refuses it: the identity file says so, the first thing that is
/// changed.
#[test]
fn the_identity_file_keeps_an_older_program_out() {
    let disk = version_2();
    let version = |disk: &SimDisk| u32::from_le_bytes(disk.contents("identity").unwrap()[4..8].try_into().unwrap());
    assert_eq!(version(&disk), 2);
    disk.record();
    let (log, _) = open_with(Arc::new(disk.clone()), small()).unwrap();
    assert_eq!(version(&disk), 3);
    append(&log, G1, vec![entry(3, 13, 10)]);
    log.shutdown();
    // Also when the power fails: never a record of version 3 beside an identity of version 2.
    let chance = pelton_env::SeededChance::new(1);
    for crash in disk.trace().crashes(300, &chance) {
        let is_old = version(&crash.disk) == 2;
        let (log, _) = open_with(Arc::new(crash.disk), small()).unwrap();
        let added = log.group(G1).last.map(|last| last.2) == Some(LogIndex(13));
        assert!(!(is_old && added), "step {}", crash.moment);
        assert!(added || log.group(G1).last.map(|last| last.2) == Some(LogIndex(12)));
    }
}
