//! What opening does with what it finds: the table in `survey.rs`, every row.
#![allow(clippy::unwrap_used, reason = "a test may stop where it stands")]

mod common;

use std::sync::Arc;

use bytes::Bytes;
use common::*;
use pelton_env::{Chance, SeededChance};
use pelton_log::{GroupId, Identity, LogIndex, OpenError, Options, ReadError, SimDisk, Term, verify};

/// A closed log, opened again, with one more entry after which nothing was marked as durable.
fn unmarked_log() -> (SimDisk, String, Vec<usize>) {
    let disk = closed_log(5, 2_000);
    let (log, _) = open(&disk).unwrap();
    fill(&log, G1, 6, 1, 2_000);
    let copy = disk.copy();
    drop(log);
    let name = written_segments(&copy).pop().unwrap();
    let records = records(&copy.contents(&name).unwrap());
    (copy, name, records)
}

#[test]
fn bad_bytes_that_nothing_calls_durable_are_cut() {
    let (disk, name, records) = unmarked_log();
    let last = *records.last().unwrap();
    for byte in [last, last + 8, last + 60, last + 119, last + 120, last + 2_000] {
        let disk = disk.copy();
        disk.flip_bit(&name, byte * 8 + 3);
        let (log, report) = open(&disk).unwrap();
        assert_eq!(all(&log, G1).len(), 5, "byte {byte}");
        if byte > last + 119 {
            assert_eq!(report.cut.map(|cut| cut.position), Some(last as u64), "byte {byte}");
        }
        fill(&log, G1, 6, 3, 100);
        log.shutdown();
        assert_eq!(all(&open(&disk).unwrap().0, G1).len(), 8, "byte {byte}: the log goes on");
    }
}

/// What was cut is never whole again: a second loss of power, while the next flush is written over it, may leave the
/// very sectors that the first one took.
#[test]
fn what_was_cut_does_not_come_back_when_the_write_over_it_is_torn() {
    const SECTOR: usize = 512;
    let disk = closed_log(5, 2_000);
    let opened = |disk: &SimDisk| open(disk).unwrap().0;
    let log = opened(&disk);
    let before = disk.copy();
    fill(&log, G1, 6, 1, 3_000);
    let torn = disk.copy();
    drop(log);
    let name = written_segments(&torn).pop().unwrap();
    let record = *records(&torn.contents(&name).unwrap()).last().unwrap();
    // The third sector of the body was not written.
    let missing = record / SECTOR * SECTOR + 2 * SECTOR..record / SECTOR * SECTOR + 3 * SECTOR;
    let mut contents = torn.contents(&name).unwrap();
    contents[missing.clone()].copy_from_slice(&before.contents(&name).unwrap()[missing.clone()]);
    torn.put(&name, contents);
    let log = opened(&torn);
    assert_eq!(all(&log, G1).len(), 5);
    // Of another entry, of another term, with the same bytes there, only that sector is written.
    let again = torn.copy();
    append(&log, G1, vec![entry(2, 6, 3_000)]);
    let mut contents = again.contents(&name).unwrap();
    contents[missing.clone()].copy_from_slice(&torn.contents(&name).unwrap()[missing]);
    again.put(&name, contents);
    assert_eq!(all(&opened(&again), G1).len(), 5, "the entry of the first life is back");
}

#[test]
fn a_bad_record_that_something_calls_durable_refuses_and_is_named() {
    let disk = closed_log(5, 2_000);
    let name = written_segments(&disk).pop().unwrap();
    let records = records(&disk.contents(&name).unwrap());
    // vote, five entries, mark
    assert_eq!(records.len(), 7);
    for (nth, at) in records[..6].iter().enumerate() {
        for byte in [0, 5, 13, 30, 90, 119, 122] {
            let disk = disk.copy();
            disk.flip_bit(&name, (at + byte) * 8);
            let Err(OpenError::Damaged(damage)) = open(&disk) else { panic!("record {nth}, byte {byte}: not refused") };
            assert_eq!(
                (damage.file.as_str(), damage.position),
                (name.as_str(), *at as u64),
                "record {nth}, byte {byte}"
            );
            // With its header whole, the record can be named.
            let named = (byte == 122).then_some(G1);
            assert_eq!(damage.group, named, "record {nth}, byte {byte}");
            assert_eq!(
                damage.index,
                (byte == 122 && nth > 0).then_some(LogIndex(nth as u64)),
                "record {nth}, byte {byte}"
            );
            let verified = verify(&disk).unwrap();
            assert!(matches!(verified.refusal, Some(OpenError::Damaged(_))), "record {nth}, byte {byte}");
        }
    }
    // The mark itself says nothing about itself: without it nothing is lost.
    disk.flip_bit(&name, (records[6] + 20) * 8);
    assert_eq!(all(&open(&disk).unwrap().0, G1).len(), 5);
}

#[test]
fn zeros_in_the_middle_refuse() {
    let disk = closed_log(5, 2_000);
    let name = written_segments(&disk).pop().unwrap();
    let mut contents = disk.contents(&name).unwrap();
    contents[8_192..12_288].fill(0);
    disk.put(&name, contents);
    assert!(matches!(open(&disk), Err(OpenError::Damaged(damage)) if damage.position == 8_192));
}

#[test]
fn a_flush_in_the_place_of_another_refuses() {
    let disk = closed_log(6, 2_000);
    let name = written_segments(&disk).pop().unwrap();
    let contents = disk.contents(&name).unwrap();
    // Blocks 1 to 8: vote, six entries, mark.
    for (from, to) in (1..8).flat_map(|from| (1..8).map(move |to| (from, to))).filter(|(from, to)| from != to) {
        let mut moved = contents.clone();
        moved.copy_within(from * 4_096..(from + 1) * 4_096, to * 4_096);
        let disk = disk.copy();
        disk.put(&name, moved);
        let error = open(&disk).expect_err("refused");
        let fits = match &error {
            OpenError::Damaged(damage) => damage.position == to as u64 * 4_096,
            // The first record of a segment is only known to be another by what it should follow.
            OpenError::StaleSegment { .. } => to == 1,
            _ => false,
        };
        assert!(fits, "{from} to {to}: {error}");
    }
}

#[test]
fn a_missing_segment_refuses() {
    let disk = closed_log(60, 4_000);
    let segments = written_segments(&disk);
    assert!(segments.len() > 4, "{segments:?}");
    for name in &segments {
        let without = SimDisk::new();
        for other in disk.names().into_iter().filter(|other| other != name) {
            without.put(&other, disk.contents(&other).unwrap());
        }
        let Err(OpenError::MissingSegment { file }) = open(&without) else { panic!("without {name}: not refused") };
        assert_eq!(file, *name);
    }
    // All that could hold records, from some segment on: the one before says that there was more.
    for keep in 0..segments.len() {
        let without = SimDisk::new();
        without.put("identity", disk.contents("identity").unwrap());
        for name in &segments[..keep] {
            without.put(name, disk.contents(name).unwrap());
        }
        assert!(matches!(open(&without), Err(OpenError::MissingSegment { .. })), "the first {keep} segments only");
    }
}

#[test]
fn a_short_segment_refuses() {
    let disk = closed_log(60, 4_000);
    for name in disk.names().iter().filter(|name| name.ends_with(".seg")) {
        for len in [0, 100, 4_096, 30_000, 65_535] {
            let disk = disk.copy();
            let mut contents = disk.contents(name).unwrap();
            contents.truncate(len);
            disk.put(name, contents);
            let error = open(&disk).expect_err("refused");
            let fits = match error {
                OpenError::BadSegmentHeader { .. } => len < 128,
                OpenError::ShortSegment { found_bytes, .. } => found_bytes == len as u64,
                _ => false,
            };
            assert!(fits, "{name} of {len} B: {error}");
        }
    }
}

#[test]
fn a_bad_segment_header_refuses() {
    let disk = closed_log(60, 4_000);
    for name in disk.names().iter().filter(|name| name.ends_with(".seg")) {
        for bit in (0..64 * 8).step_by(7) {
            let disk = disk.copy();
            disk.flip_bit(name, bit);
            assert!(matches!(open(&disk), Err(OpenError::BadSegmentHeader { .. })), "{name}, bit {bit}");
        }
    }
}

#[test]
fn a_segment_from_a_backup_refuses() {
    let disk = SimDisk::new();
    let (log, _) = open(&disk).unwrap();
    let mut backups = Vec::new();
    for index in 1..=60 {
        fill(&log, G1, index, 1, 4_000);
        if index % 10 == 5 {
            backups.push(disk.copy());
        }
    }
    log.shutdown();
    let now = written_segments(&disk);
    let mut stale = 0;
    for backup in &backups {
        for name in &now[..now.len() - 1] {
            let (old, new) = (backup.contents(name), disk.contents(name).unwrap());
            let Some(old) = old.filter(|old| *old != new && !records(old).is_empty()) else { continue };
            let restored = disk.copy();
            restored.put(name, old);
            let error = open(&restored).expect_err("refused");
            assert!(matches!(error, OpenError::StaleSegment { .. } | OpenError::Damaged(_)), "{name}: {error}");
            stale += 1;
        }
    }
    assert!(stale > 3, "{stale} stale segments tried");
    // A whole segment under the name of another.
    for (from, to) in [(0, 1), (1, 0), (2, 1)] {
        let restored = disk.copy();
        restored.put(&now[to], disk.contents(&now[from]).unwrap());
        assert!(matches!(open(&restored), Err(OpenError::StaleSegment { .. })), "{from} as {to}");
    }
}

#[test]
fn a_bad_footer_is_made_again() {
    let disk = closed_log(60, 4_000);
    let want = all(&open(&disk.copy()).unwrap().0, G1);
    let sealed = written_segments(&disk);
    for name in &sealed[..sealed.len() - 1] {
        // In the trailer, and in the footer before it.
        for byte in [65_536 - 4_096 + 20, 65_536 - 8_192 + 20] {
            let disk = disk.copy();
            disk.flip_bit(name, byte * 8);
            let (log, report) =
                open_with(Arc::new(disk.clone()), Options { tail_cache_bytes: 0, ..options() }).unwrap();
            assert!(report.segments_scanned > 0, "{name}, byte {byte}: {report:?}");
            assert_eq!(all(&log, G1), want, "{name}, byte {byte}");
        }
    }
}

/// The last segment that holds records is sealed, and nothing was written into the next one yet: its trailer alone says
/// where its records end.
#[test]
fn a_bad_last_flush_of_a_sealed_segment_refuses_without_its_footer_too() {
    let disk = SimDisk::new();
    let (log, _) = open(&disk).unwrap();
    let mut next = 1;
    // Until an entry begins the second segment: the copy from just before has a sealed first one, or nearly.
    while written_segments(&disk).len() < 2 {
        fill(&log, G1, next, 1, 4_000);
        next += 1;
    }
    let [first, second] = &written_segments(&disk)[..] else { panic!("two segments") };
    // As if the power had failed between the seal and the next flush.
    let mut contents = disk.contents(second).unwrap();
    contents[4_096..].fill(0);
    let sealed = disk.copy();
    sealed.put(second, contents);
    let at = *records(&sealed.contents(first).unwrap()).last().unwrap();
    assert_eq!(all(&open(&sealed.copy()).unwrap().0, G1).len() as u64, next - 2);
    for what in ["nothing", "its header", "its body", "all of it"] {
        let disk = sealed.copy();
        disk.flip_bit(first, (65_536 - 8_192 + 20) * 8);
        match what {
            "nothing" => {}
            "its header" => disk.flip_bit(first, (at + 20) * 8),
            "its body" => disk.flip_bit(first, (at + 500) * 8),
            _ => {
                let mut contents = disk.contents(first).unwrap();
                contents[at..at + 4_096].fill(0);
                disk.put(first, contents);
            }
        }
        match open(&disk) {
            Ok((log, _)) => assert!(what == "nothing" && all(&log, G1).len() as u64 == next - 2, "{what}"),
            Err(OpenError::Damaged(damage)) => {
                assert!(
                    what != "nothing" && damage.file == *first && damage.position == at as u64,
                    "{what}: {damage:?}"
                );
            }
            Err(error) => panic!("{what}: {error}"),
        }
    }
}

#[test]
fn a_bad_checkpoint_falls_back_to_an_older_one_or_to_the_whole_log() {
    // (checkpoints taken after these entries, purged up to, damaged checkpoints from the end, what is left)
    type Case = (&'static [u64], Option<u64>, usize, Option<Option<u64>>);
    let cases: [Case; 6] = [
        (&[10, 20], None, 1, Some(Some(10))),
        (&[10, 20], Some(10), 1, Some(Some(10))),
        (&[10, 20], Some(15), 1, None),
        (&[10, 20], None, 2, Some(None)),
        (&[10, 20], Some(5), 2, None),
        (&[10, 20, 29], Some(20), 1, Some(Some(20))),
    ];
    for (taken, purged, damaged, want) in cases {
        let case = format!("checkpoints {taken:?}, purged {purged:?}, {damaged} damaged");
        let disk = SimDisk::new();
        let (log, _) = open(&disk).unwrap();
        for index in 1..=30 {
            fill(&log, G1, index, 1, 50);
            if taken.contains(&index) {
                let state = Bytes::from(format!("checkpoint {index} of the group"));
                wait(|done| log.save_checkpoint(G1, LogIndex(index), Term(1), state, done)).unwrap();
            }
        }
        if let Some(purged) = purged {
            wait(|done| log.purge(G1, (Term(1), 1, LogIndex(purged)), done)).unwrap();
        }
        log.shutdown();
        for index in taken.iter().rev().take(damaged) {
            let text = format!("checkpoint {index} of");
            let place = |name: &String| {
                let contents = disk.contents(name).unwrap();
                contents.windows(text.len()).position(|window| window == text.as_bytes())
            };
            let (name, at) = written_segments(&disk)
                .into_iter()
                .find_map(|name| Some((place(&name)?, name)))
                .map(|(at, name)| (name, at))
                .unwrap();
            disk.flip_bit(&name, at * 8);
        }
        match (open(&disk), want) {
            (Err(OpenError::BadCheckpoint { group: G1, .. }), None) => {}
            (Ok((log, report)), Some(want)) => {
                assert_eq!(log.group(G1).checkpoint.map(|(index, _)| index.0), want, "{case}");
                assert_eq!(report.checkpoints_replaced, damaged as u64, "{case}");
                assert_eq!(log.group(G1).last, Some((Term(1), 1, LogIndex(30))), "{case}");
            }
            (got, want) => panic!("{case}: {got:?}, not {want:?}"),
        }
    }
}

#[test]
fn a_bad_vote_refuses() {
    let disk = SimDisk::new();
    let (log, _) = open(&disk).unwrap();
    wait(|done| log.save_vote(G2, Bytes::from_static(b"the vote in term 9"), done)).unwrap();
    fill(&log, G1, 1, 60, 4_000);
    log.shutdown();
    let name = &written_segments(&disk)[0];
    let at = records(&disk.contents(name).unwrap())[0];
    for byte in [1, 25, 118, 121] {
        let disk = disk.copy();
        disk.flip_bit(name, (at + byte) * 8);
        assert!(matches!(open(&disk), Err(OpenError::BadVote { group: G2, .. })), "byte {byte}");
    }
}

#[test]
fn a_bad_identity_refuses() {
    let disk = closed_log(3, 100);
    for bit in 0..40 * 8 {
        let disk = disk.copy();
        disk.flip_bit("identity", bit);
        assert!(matches!(open(&disk), Err(OpenError::BadIdentity(_))), "bit {bit}");
    }
    disk.put("identity", Vec::new());
    assert!(matches!(open(&disk), Err(OpenError::BadIdentity(_))));
    let without = SimDisk::new();
    for name in disk.names().iter().filter(|name| *name != "identity") {
        without.put(name, disk.contents(name).unwrap());
    }
    assert!(matches!(open(&without), Err(OpenError::BadIdentity("missing"))));
}

#[test]
fn a_directory_of_somebody_else_is_refused() {
    let disk = closed_log(3, 100);
    for other in [Identity { node: 2, ..IDENTITY }, Identity { cluster: 1, ..IDENTITY }] {
        let error = open_with(Arc::new(disk.copy()), Options { identity: other, ..options() }).expect_err("refused");
        assert!(matches!(error, OpenError::Identity { found: IDENTITY, wanted, .. } if wanted == other), "{error}");
    }
    // The same identity file, but a segment of another node.
    let theirs = SimDisk::new();
    let other = Options { identity: Identity { node: 2, ..IDENTITY }, ..options() };
    open_with(Arc::new(theirs.clone()), other).unwrap().0.shutdown();
    let first = "log-000000000001.seg";
    disk.put(first, theirs.contents(first).unwrap());
    assert!(matches!(open(&disk), Err(OpenError::Identity { .. })));
}

#[test]
fn another_format_version_is_refused_and_named() {
    let reversion = |disk: &SimDisk, name: &str| {
        let mut contents = disk.contents(name).unwrap();
        contents[4..8].copy_from_slice(&4_u32.to_le_bytes());
        let crc = crc32c::crc32c(&contents[4..128]);
        contents[..4].copy_from_slice(&crc.to_le_bytes());
        disk.put(name, contents);
    };
    for name in ["identity", "log-000000000001.seg"] {
        let disk = closed_log(3, 100);
        reversion(&disk, name);
        let error = open(&disk).expect_err("refused");
        assert!(matches!(&error, OpenError::Version { file, found: 4, supported: 3 } if file == name), "{error}");
    }
}

#[test]
fn a_read_only_or_a_taken_directory_is_refused() {
    let disk = closed_log(3, 100);
    disk.set_read_only(true);
    assert!(matches!(open(&disk), Err(OpenError::ReadOnly(_))));
    assert!(verify(&disk).unwrap().is_whole(), "but it can be looked at");
    disk.set_read_only(false);
    let (log, _) = open(&disk).unwrap();
    assert!(matches!(open(&disk), Err(OpenError::Locked)));
    assert!(matches!(verify(&disk), Err(OpenError::Locked)));
    drop(log);
    assert!(open(&disk).is_ok());
}

#[test]
fn unknown_files_are_kept_and_counted() {
    let disk = closed_log(60, 4_000);
    let unknown = ["log-7.seg", "notes.txt", "snapshot-3", "log-000000000001.seg.bak"];
    for name in unknown {
        disk.put(name, b"somebody's".to_vec());
    }
    disk.put("prepare-000000000099.tmp", vec![0; 100]);
    let (log, mut report) = open(&disk).unwrap();
    report.unknown_files.sort();
    assert_eq!(report.unknown_files, ["log-000000000001.seg.bak", "log-7.seg", "notes.txt", "snapshot-3"]);
    let last = log.group(G1).last.unwrap();
    wait(|done| log.purge(G1, last, done)).unwrap();
    fill(&log, G1, 61, 60, 4_000);
    log.shutdown();
    for name in unknown {
        assert_eq!(disk.contents(name).as_deref(), Some(&b"somebody's"[..]), "{name}");
    }
    assert_eq!(disk.contents("prepare-000000000099.tmp"), None, "what was being prepared held nothing");
}

#[test]
fn rot_in_a_sealed_segment_is_found_by_reading_and_by_verifying() {
    let disk = closed_log(60, 4_000);
    let name = &written_segments(&disk)[1];
    let at = records(&disk.contents(name).unwrap())[3];
    disk.flip_bit(name, (at + 2_000) * 8);
    let verified = verify(&disk).unwrap();
    let [damage] = &verified.damaged[..] else { panic!("{verified:?}") };
    assert_eq!((damage.file.as_str(), damage.position, damage.group), (name.as_str(), at as u64, Some(G1)));
    let (log, _) = open_with(Arc::new(disk), Options { tail_cache_bytes: 0, ..options() }).unwrap();
    let index = damage.index.unwrap();
    let error = log.read(G1, index, LogIndex(index.0 + 1), 1).expect_err("damaged");
    assert!(matches!(&error, ReadError::Damaged(found) if found == damage), "{error}");
    let next = LogIndex(index.0 + 1);
    assert_eq!(log.read(G1, next, LogIndex(next.0 + 1), 1).unwrap()[0].index, next, "its neighbours are fine");
}

/// Any one flipped bit anywhere: the log refuses, or every entry is what it was or says that it is damaged.
#[test]
fn no_flipped_bit_goes_unnoticed() {
    let disk = closed_log(40, 3_000);
    let want = all(&open(&disk.copy()).unwrap().0, G1);
    let view = open(&disk.copy()).unwrap().0.group(G1);
    let chance = SeededChance::new(3);
    let names = disk.names();
    let (mut refused, mut damaged) = (0, 0);
    for flip in 0..1_000 {
        let name = &names[chance.below(names.len() as u64) as usize];
        let size = disk.contents(name).unwrap().len() as u64;
        let bit = chance.below(size * 8) as usize;
        let disk = disk.copy();
        disk.flip_bit(name, bit);
        let Ok((log, _)) = open(&disk) else {
            refused += 1;
            continue;
        };
        assert_eq!(log.group(G1), view, "flip {flip}: {name}, bit {bit}");
        for entry in &want {
            match log.read(G1, entry.index, LogIndex(entry.index.0 + 1), 1) {
                Ok(read) => assert_eq!(read.first(), Some(entry), "flip {flip}: {name}, bit {bit}"),
                Err(ReadError::Damaged(_)) => damaged += 1,
                Err(error) => panic!("flip {flip}: {name}, bit {bit}: {error}"),
            }
        }
    }
    assert!(refused > 20 && damaged > 100, "{refused} refused, {damaged} entries damaged");
}

#[test]
fn a_group_number_is_not_a_place() {
    let disk = SimDisk::new();
    let (log, _) = open(&disk).unwrap();
    for group in [0, 1, 77, u32::MAX] {
        fill(&log, GroupId(group), 1, 2, 10);
    }
    log.shutdown();
    assert_eq!(open(&disk).unwrap().0.groups(), [GroupId(0), GroupId(1), GroupId(77), GroupId(u32::MAX)]);
}
