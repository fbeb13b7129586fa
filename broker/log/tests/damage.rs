//! What a log that has replicas elsewhere does with damage: the same table as in `recovery_table.rs`, every row, and then
//! the copies that make it whole again. `PELTON_DAMAGE_SEEDS` says how many seeds the search tries, `PELTON_DAMAGE_SEED`
//! where they start.
#![allow(clippy::unwrap_used, reason = "a test may stop where it stands")]

mod common;

use std::sync::Arc;

use bytes::Bytes;
use common::model::{Model, Op, submit};
use common::*;
use pelton_env::{Chance, SeededChance};
use pelton_log::{
    Entry, GroupId, Log, LogIndex, Offset, OnDamage, OpenError, Options, ReadError, Refused, SimDisk, Term, verify,
};

fn keep() -> Options {
    Options { on_damage: OnDamage::Keep, tail_cache_bytes: 0, ..options() }
}

fn open_kept(disk: &SimDisk) -> Result<(Log, pelton_log::Report), OpenError> {
    open_with(Arc::new(disk.clone()), keep())
}

fn faulty(log: &Log, group: GroupId) -> Vec<u64> {
    log.faulty(group).into_iter().flat_map(|stretch| stretch.start().0..=stretch.end().0).collect()
}

/// Everything that can be read is what was written, what cannot is listed, and nothing else is.
fn holds(log: &Log, group: GroupId, want: &[Entry], what: &str) -> Vec<u64> {
    let last = want.last().map(|entry| (entry.term, entry.leader, entry.index));
    assert_eq!(log.group(group).last, last, "{what}");
    let listed = faulty(log, group);
    for entry in want {
        let read = log.read(group, entry.index, LogIndex(entry.index.0 + 1), 1);
        match read {
            Ok(read) => assert_eq!(read.first(), Some(entry), "{what}"),
            Err(ReadError::Damaged(damage)) => {
                assert_eq!((damage.group, damage.index), (Some(group), Some(entry.index)), "{what}");
                assert!(faulty(log, group).contains(&entry.index.0), "{what}: {damage:?} is not listed");
            }
            Err(error) => panic!("{what}: {error}"),
        }
        if let Ok(Some(meta)) = log.entry_meta(group, entry.index) {
            assert_eq!((meta.term, meta.leader), (entry.term, entry.leader), "{what}: entry {}", entry.index.0);
        }
    }
    for index in listed {
        assert!(log.read(group, LogIndex(index), LogIndex(index + 1), 1).is_err(), "{what}: {index} can be read");
    }
    faulty(log, group)
}

fn repair(log: &Log, group: GroupId, want: &[Entry], what: &str) {
    for index in faulty(log, group) {
        let copy = want.iter().find(|entry| entry.index.0 == index).unwrap().clone();
        wait(|done| log.repair(group, copy, done))
            .unwrap_or_else(|error| panic!("{what}: entry {index} of {group:?}: {error}"));
    }
}

/// Opens a damaged log, checks it, repairs it and checks it again, before and after it was opened anew. The indexes
/// that were faulty.
fn kept_and_repaired(disk: &SimDisk, group: GroupId, want: &[Entry], what: &str) -> Vec<u64> {
    let (log, _) = open_kept(disk).unwrap_or_else(|error| panic!("{what}: {error}"));
    let faulty = holds(&log, group, want, what);
    // What is kept is kept once more, before anything is repaired.
    log.shutdown();
    let (log, _) = open_kept(disk).unwrap_or_else(|error| panic!("{what}, again: {error}"));
    holds(&log, group, want, what);
    repair(&log, group, want, what);
    assert_eq!(holds(&log, group, want, what), [], "{what}");
    let next = want.last().unwrap();
    let more = Entry { first_offset: next.next_offset(), ..entry(next.term.0 + 1, next.index.0 + 1, 100) };
    append(&log, group, vec![more.clone()]);
    log.shutdown();
    let (log, _) = open_kept(disk).unwrap_or_else(|error| panic!("{what}, repaired: {error}"));
    let want: Vec<_> = want.iter().cloned().chain([more]).collect();
    assert_eq!(holds(&log, group, &want, what), [], "{what}, repaired");
    assert_eq!(all(&log, group), want, "{what}");
    for entry in &want {
        assert_eq!(log.index_of_offset(group, entry.first_offset).unwrap(), Some(entry.index), "{what}");
    }
    let is_all_sound = log.groups().into_iter().all(|group| log.faulty(group).is_empty());
    log.shutdown();
    if is_all_sound {
        let verified = verify(disk).unwrap();
        // No entry. Of a lost mark, vote or checkpoint it cannot always be told what it was.
        assert!(!verified.segments.is_empty(), "{what}: {verified:?}");
        assert!(verified.damaged.iter().all(|damage| damage.offsets.is_none()), "{what}: {verified:?}");
    }
    faulty
}

/// A log of several segments, and the names of those that hold records.
fn sixty_entries() -> (SimDisk, Vec<String>) {
    let disk = closed_log(60, 4_000);
    let names = written_segments(&disk);
    assert!(names.len() > 3);
    (disk, names)
}

/// What `verify` tells apart: damage that is read, and damage that a copy stands in for.
fn counted(disk: &SimDisk) -> (usize, usize) {
    let verified = verify(disk).unwrap();
    assert_eq!(verified.is_whole(), verified.damaged.is_empty() && verified.refusal.is_none());
    (verified.damaged.len() + usize::from(verified.refusal.is_some()), verified.repaired.len())
}

/// In a sealed segment: a body, a header, and a stretch with several of both, found by one pass over it.
#[test]
fn verify_tells_what_was_repaired_since() {
    let want: Vec<_> = (1..=60).map(|index| entry(1, index, 4_000)).collect();
    let (disk, names) = sixty_entries();
    let at = records(&disk.contents(&names[1]).unwrap());
    disk.flip_bit(&names[1], (at[2] + 2_000) * 8);
    disk.flip_bit(&names[1], (at[4] + 20) * 8);
    let mut contents = disk.contents(&names[2]).unwrap();
    let stretch = records(&contents);
    contents[stretch[3]..stretch[6] + 50].fill(0);
    disk.put(&names[2], contents);
    assert_eq!(counted(&disk), (3, 0), "each is named");
    let (log, _) = open_kept(&disk).unwrap();
    while !log.scrub(1 << 20).unwrap().is_round_over {}
    let known = faulty(&log, G1);
    assert_eq!(known.len(), 6);
    // All but one.
    for index in &known[1..] {
        wait(|done| log.repair(G1, want[*index as usize - 1].clone(), done)).unwrap();
    }
    log.shutdown();
    assert_eq!(counted(&disk), (1, 2), "the first is not repaired");
    let damage = verify(&disk).unwrap().damaged.remove(0);
    assert_eq!((damage.position, damage.index), (at[2] as u64, Some(LogIndex(known[0]))));
    let (log, _) = open_kept(&disk).unwrap();
    // It is known only when it is met.
    assert!(log.read(G1, LogIndex(known[0]), LogIndex(known[0] + 1), 1).is_err());
    repair(&log, G1, &want, "the last");
    log.shutdown();
    assert_eq!(counted(&disk), (0, 3));
    // A copy that goes bad in its turn is damage again.
    let (name, copy) = copies(&disk, &names).pop().unwrap();
    disk.flip_bit(&name, (copy + 2_000) * 8);
    let verified = verify(&disk).unwrap();
    assert_eq!((verified.damaged.len(), verified.repaired.len()), (1, 3));
    assert_eq!(verified.damaged[0].index, Some(LogIndex(known[0])));
}

/// Records behind what was written at first that hold an entry again.
fn copies(disk: &SimDisk, names: &[String]) -> Vec<(String, usize)> {
    let mut copies = Vec::new();
    for name in written_segments(disk).iter().skip(names.len() - 1) {
        let contents = disk.contents(name).unwrap();
        copies.extend(records(&contents).into_iter().filter(|at| contents[at + 12] == 8).map(|at| (name.clone(), at)));
    }
    copies
}

/// Where opening itself meets it: behind the last footer, where a log that is alone does not open, and a whole segment.
#[test]
fn verify_knows_repairs_of_what_refuses_a_log_without_replicas() {
    let short = closed_log(5, 4_000);
    let name = written_segments(&short).pop().unwrap();
    let third = records(&short.contents(&name).unwrap())[3];
    short.flip_bit(&name, (third + 2_000) * 8);
    let (long, names) = sixty_entries();
    for (disk, entries, what) in [(short, 5, "a record"), (without(&long, &names[1]), 60, "a segment")] {
        let want: Vec<_> = (1..=entries).map(|index| entry(1, index, 4_000)).collect();
        assert_eq!(counted(&disk), (1, 0), "{what}");
        let (log, _) = open_kept(&disk).unwrap();
        repair(&log, G1, &want, what);
        log.shutdown();
        assert_eq!(counted(&disk), (0, 1), "{what}");
    }
}

#[test]
fn bad_bytes_that_nothing_calls_durable_are_cut() {
    let disk = closed_log(5, 2_000);
    let (log, _) = open(&disk).unwrap();
    fill(&log, G1, 6, 1, 2_000);
    let copy = disk.copy();
    drop(log);
    let name = written_segments(&copy).pop().unwrap();
    let last = *records(&copy.contents(&name).unwrap()).last().unwrap();
    for byte in [last, last + 60, last + 119, last + 120, last + 2_000] {
        let disk = copy.copy();
        disk.flip_bit(&name, byte * 8 + 3);
        let (log, _) = open_kept(&disk).unwrap();
        assert_eq!((all(&log, G1).len(), faulty(&log, G1)), (5, vec![]), "byte {byte}");
        fill(&log, G1, 6, 3, 100);
        log.shutdown();
        assert_eq!(all(&open_kept(&disk).unwrap().0, G1).len(), 8, "byte {byte}: the log goes on");
    }
}

#[test]
fn a_bad_record_that_something_calls_durable_is_faulty_and_repaired() {
    let disk = closed_log(5, 2_000);
    let name = written_segments(&disk).pop().unwrap();
    let records = records(&disk.contents(&name).unwrap());
    let want: Vec<_> = (1..=5).map(|index| entry(1, index, 2_000)).collect();
    // vote, five entries, mark
    for (nth, at) in records.iter().enumerate() {
        for byte in [0, 5, 13, 30, 90, 119, 122] {
            let disk = disk.copy();
            disk.flip_bit(&name, (at + byte) * 8);
            let what = format!("record {nth}, byte {byte}");
            let found = kept_and_repaired(&disk, G1, &want, &what);
            let is_entry = (1..=5).contains(&nth);
            assert_eq!(found, if is_entry { vec![nth as u64] } else { vec![] }, "{what}");
            assert_eq!(open_kept(&disk).unwrap().0.group(G1).vote.as_deref(), Some(&b"vote"[..]), "{what}");
        }
    }
}

/// Two losses of power: one while a segment was sealed, of which its trailer is left and no footer, and one while the
/// first flush of the next segment was written. Nothing is damaged. Had the sealed one lost its end, nothing would tell
/// what it was.
#[test]
fn a_torn_first_flush_behind_a_segment_without_its_footer_is_cut() {
    let disk = SimDisk::new();
    let (log, _) = open(&disk).unwrap();
    let mut next = 1;
    while written_segments(&disk).len() < 2 {
        fill(&log, G1, next, 1, 12_000);
        next += 1;
    }
    let crashed = disk.copy();
    drop(log);
    let [first, second] = &written_segments(&crashed)[..] else { panic!("two segments") };
    crashed.flip_bit(first, (65_536 - 8_192 + 20) * 8);
    let mut contents = crashed.contents(second).unwrap();
    contents[8_192..].fill(0);
    crashed.put(second, contents);
    crashed.flip_bit(second, (4_096 + 120 + 8) * 8);
    let last = *records(&crashed.contents(first).unwrap()).last().unwrap();
    for on_damage in [OnDamage::Refuse, OnDamage::Keep] {
        let disk = crashed.copy();
        let options = Options { on_damage, ..keep() };
        let what = format!("{on_damage:?}");
        let (log, report) = open_with(Arc::new(disk.clone()), options.clone()).expect(&what);
        assert_eq!((report.faulty, all(&log, G1).len() as u64), (0, next - 2), "{what}");
        fill(&log, G1, next - 1, 9, 12_000);
        log.shutdown();
        let (log, _) = open_with(Arc::new(disk), options.clone()).expect(&what);
        assert_eq!(all(&log, G1).len() as u64, next + 7, "{what}: the log goes on");
        for byte in [20, 500] {
            let disk = crashed.copy();
            disk.flip_bit(first, (last + byte) * 8);
            let what = format!("{what}, byte {byte} of the last record");
            match open_with(Arc::new(disk), options.clone()) {
                Ok((log, _)) => {
                    assert!((on_damage, byte) == (OnDamage::Keep, 500), "{what}");
                    assert_eq!(faulty(&log, G1), [next - 2], "{what}");
                }
                Err(error) => assert!(matches!(error, OpenError::Damaged(_)), "{what}: {error:?}"),
            }
        }
    }
}

/// Without a mark behind it, the records behind it account for a hole; or nothing does, and no vote is guessed.
#[test]
fn a_hole_is_accounted_for_by_what_follows_or_refused() {
    let disk = SimDisk::new();
    let (log, _) = open(&disk).unwrap();
    wait(|done| log.save_vote(G1, Bytes::from_static(b"vote"), done)).unwrap();
    fill(&log, G1, 1, 3, 1_000);
    fill(&log, G2, 1, 1, 1_000);
    fill(&log, G1, 4, 2, 1_000);
    let copy = disk.copy();
    drop(log);
    let name = written_segments(&copy).pop().unwrap();
    let at = records(&copy.contents(&name).unwrap());
    let want: Vec<_> = (1..=5).map(|index| entry(1, index, 1_000)).collect();
    // vote 0, entries 1, 2, 3, that of the other group 4, entries 5, 6
    for (nth, index) in [(2, 2), (3, 3), (5, 4)] {
        let disk = copy.copy();
        let mut contents = disk.contents(&name).unwrap();
        contents[at[nth]..at[nth] + 4_096].fill(0);
        disk.put(&name, contents);
        assert_eq!(kept_and_repaired(&disk, G1, &want, &format!("record {nth}")), [index]);
    }
    for nth in [0, 4] {
        let disk = copy.copy();
        disk.flip_bit(&name, (at[nth] + 30) * 8);
        assert!(matches!(open_kept(&disk), Err(OpenError::Damaged(_))), "record {nth}");
    }
    // Two in a row: the first of the group is known by the one that follows.
    let disk = copy.copy();
    let mut contents = disk.contents(&name).unwrap();
    contents[at[2]..at[4]].fill(0);
    disk.put(&name, contents);
    assert_eq!(kept_and_repaired(&disk, G1, &want, "two"), [2, 3]);
}

#[test]
fn a_flush_in_the_place_of_another_is_faulty() {
    let disk = closed_log(6, 2_000);
    let name = written_segments(&disk).pop().unwrap();
    let contents = disk.contents(&name).unwrap();
    let want: Vec<_> = (1..=6).map(|index| entry(1, index, 2_000)).collect();
    // Blocks 1 to 8: vote, six entries, mark. What stood in the place of the last cannot be told from what never was.
    for (from, to) in (1..=8).flat_map(|from| (1..8).map(move |to| (from, to))).filter(|(from, to)| from != to) {
        let mut moved = contents.clone();
        moved.copy_within(from * 4_096..(from + 1) * 4_096, to * 4_096);
        let disk = disk.copy();
        disk.put(&name, moved);
        let found = kept_and_repaired(&disk, G1, &want, &format!("{from} to {to}"));
        assert_eq!(found, if to == 1 { vec![] } else { vec![to as u64 - 1] }, "{from} to {to}");
    }
}

/// A log of several segments and two groups, with votes, purges, truncations and checkpoints in between.
fn long_log() -> (SimDisk, Vec<Entry>, Vec<Entry>) {
    let disk = SimDisk::new();
    let (log, _) = open(&disk).unwrap();
    let (mut one, mut two): (Vec<Entry>, Vec<Entry>) = (Vec::new(), Vec::new());
    wait(|done| log.save_vote(G2, Bytes::from_static(b"vote of two"), done)).unwrap();
    for index in 1..=90_u64 {
        let term = 1 + index / 20;
        one.push(entry(term, index, 3_000));
        append(&log, G1, vec![entry(term, index, 3_000)]);
        if index % 3 == 0 {
            two.push(entry(1, index / 3, 200));
            append(&log, G2, vec![entry(1, index / 3, 200)]);
        }
        if index % 10 == 0 {
            wait(|done| log.save_vote(G1, Bytes::from(format!("vote {index}")), done)).unwrap();
        }
        if index == 45 {
            // The log of one is truncated, and goes on in another term.
            one.truncate(37);
            wait(|done| log.truncate_after(G1, LogIndex(37), done)).unwrap();
            for index in 38..=45 {
                one.push(entry(3, index, 2_500));
                append(&log, G1, vec![entry(3, index, 2_500)]);
            }
        }
    }
    log.shutdown();
    (disk, one, two)
}

#[test]
fn the_entries_of_a_missing_segment_are_faulty() {
    let (disk, one, two) = long_log();
    let segments = written_segments(&disk);
    assert!(segments.len() > 4, "{segments:?}");
    let without = |names: &[&String]| {
        let without = SimDisk::new();
        for other in disk.names().into_iter().filter(|other| !names.contains(&other)) {
            without.put(&other, disk.contents(&other).unwrap());
        }
        without
    };
    let mut lost = 0;
    for (nth, name) in segments[..segments.len() - 1].iter().enumerate() {
        let disk = without(&[name]);
        let (log, report) = open_kept(&disk).unwrap_or_else(|error| panic!("without {name}: {error}"));
        assert_eq!(report.segments_lost, std::slice::from_ref(name));
        assert_eq!(log.group(G1).vote.as_deref(), Some(&b"vote 90"[..]), "{name}");
        assert_eq!(log.group(G2).vote.as_deref(), Some(&b"vote of two"[..]), "{name}");
        holds(&log, G2, &two, name);
        repair(&log, G2, &two, name);
        log.shutdown();
        let found = kept_and_repaired(&disk, G1, &one, name);
        assert!(found.len() > 2, "{name}: {found:?}");
        lost += found.len();
        assert_eq!(holds(&open_kept(&disk).unwrap().0, G2, &two, name), [], "{name}");
        // With its neighbour, too.
        if nth + 2 < segments.len() {
            let disk = without(&[name, &segments[nth + 1]]);
            kept_and_repaired(&disk, G1, &one, &format!("{name} and the next"));
        }
    }
    assert!(lost < one.len(), "each entry lies in one segment: {lost}");
    // The end of the log is not guessed.
    assert!(matches!(open_kept(&without(&[&segments[segments.len() - 1]])), Err(OpenError::MissingSegment { .. })));
}

/// Beside a missing segment votes are told by a mark, of which nobody reads the vote again once the missing one is behind
/// the purge.
#[test]
fn a_vote_that_a_mark_tells_outlives_the_segments_before_it() {
    let (disk, one, _) = long_log();
    let segments = written_segments(&disk);
    let disk = without(&disk, &segments[1]);
    for index in 1..=80 {
        let (log, _) = open_kept(&disk).unwrap_or_else(|error| panic!("purged up to {}: {error}", index - 1));
        assert_eq!(log.group(G1).vote.as_deref(), Some(&b"vote 90"[..]), "purged up to {}", index - 1);
        assert_eq!(log.group(G2).vote.as_deref(), Some(&b"vote of two"[..]), "purged up to {}", index - 1);
        let at = &one[index - 1];
        wait(|done| log.purge(G1, (at.term, at.leader, at.index), done)).unwrap();
        if index % 3 == 0 {
            wait(|done| log.purge(G2, (Term(1), 1, LogIndex(index as u64 / 3)), done)).unwrap();
        }
        log.shutdown();
    }
    assert!(!disk.names().contains(&segments[2]), "the segments went");
}

/// The segments that are no more are named by a record behind one that is damaged.
#[test]
fn segments_that_were_let_go_are_not_missed_where_a_record_before_that_is_damaged() {
    let (disk, names) = sixty_entries();
    let (log, _) = open_kept(&disk).unwrap();
    fill(&log, G1, 61, 1, 4_000);
    wait(|done| log.purge(G1, (Term(1), 1, LogIndex(40)), done)).unwrap();
    log.shutdown();
    let last = written_segments(&disk).pop().unwrap();
    let contents = disk.contents(&last).unwrap();
    let number = |at: usize| u64::from_le_bytes(contents[at..at + 8].try_into().unwrap());
    let all = records(&contents);
    let oldest = all.iter().map(|at| number(at + 96)).max().unwrap();
    let disk = names.iter().take(oldest as usize - 1).fold(disk, |disk, gone| without(&disk, gone));
    assert!(oldest > 5 && disk.names().contains(&last), "{oldest}");
    let first = *all.iter().find(|at| contents[**at + 12] == 1).unwrap();
    let index = number(first + 48);
    disk.flip_bit(&last, (first + 500) * 8);
    let (log, report) = open_kept(&disk).unwrap();
    assert_eq!((report.segments_lost, faulty(&log, G1)), (vec![], vec![index]));
}

#[test]
fn a_short_segment_keeps_what_is_left() {
    let (disk, one, two) = long_log();
    let segments = written_segments(&disk);
    for name in &segments[..segments.len() - 1] {
        for len in [0, 100, 4_096, 10_000, 40_960, 60_000, 65_535] {
            let disk = disk.copy();
            let mut contents = disk.contents(name).unwrap();
            contents.truncate(len);
            disk.put(name, contents);
            let what = format!("{name} of {len} B");
            let (log, _) = open_kept(&disk).unwrap_or_else(|error| panic!("{what}: {error}"));
            holds(&log, G2, &two, &what);
            repair(&log, G2, &two, &what);
            log.shutdown();
            kept_and_repaired(&disk, G1, &one, &what);
        }
    }
}

#[test]
fn a_bad_segment_header_loses_nothing() {
    let (disk, one, _) = long_log();
    for name in &written_segments(&disk) {
        for bit in (0..64 * 8).step_by(37) {
            let disk = disk.copy();
            disk.flip_bit(name, bit);
            let verified = verify(&disk).unwrap();
            assert!(verified.refusal.is_some() && !verified.is_whole(), "{name}, bit {bit}: it would not open");
            assert_eq!(kept_and_repaired(&disk, G1, &one, &format!("{name}, bit {bit}")), [], "{name}, bit {bit}");
        }
    }
    // Nor does that of a segment that is only prepared.
    let written = written_segments(&disk);
    let (log, _) = open(&disk).unwrap();
    let prepared = loop {
        let names = disk.names().into_iter();
        match names.rev().find(|name| name.ends_with(".seg") && !written.contains(name)) {
            Some(name) => break name,
            // It is being prepared.
            None => std::thread::yield_now(),
        }
    };
    log.shutdown();
    disk.flip_bit(&prepared, 100);
    let would_open = open(&disk.copy()).map(|(log, _)| log.shutdown()).is_ok();
    assert_eq!(verify(&disk).unwrap().is_whole(), would_open);
    assert_eq!(kept_and_repaired(&disk, G1, &one, "prepared"), []);
}

#[test]
fn a_segment_from_a_backup_is_told_from_the_one_that_was_there() {
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
    let want: Vec<_> = (1..=60).map(|index| entry(1, index, 4_000)).collect();
    let now = written_segments(&disk);
    let mut stale = 0;
    for backup in &backups {
        for name in &now[..now.len() - 1] {
            let (old, new) = (backup.contents(name), disk.contents(name).unwrap());
            let Some(old) = old.filter(|old| *old != new && !records(old).is_empty()) else { continue };
            let restored = disk.copy();
            restored.put(name, old);
            assert!(!kept_and_repaired(&restored, G1, &want, name).is_empty(), "{name}");
            stale += 1;
        }
    }
    assert!(stale > 3, "{stale} stale segments tried");
    // A whole segment under the name of another, and one of another life of the same node.
    for (from, to) in [(0, 1), (1, 0), (2, 1)] {
        let restored = disk.copy();
        restored.put(&now[to], disk.contents(&now[from]).unwrap());
        let found = kept_and_repaired(&restored, G1, &want, &format!("{from} as {to}"));
        assert!(found.len() > 5, "{from} as {to}: {found:?}");
    }
    let other = SimDisk::new();
    let chance = Arc::new(SeededChance::new(99));
    let clock = Arc::new(pelton_env::ManualClock::new(pelton_env::UnixMillis(5)));
    let (log, _) = Log::open(Arc::new(other.clone()), clock, chance, options()).unwrap();
    fill(&log, G1, 1, 60, 3_900);
    log.shutdown();
    let restored = disk.copy();
    restored.put(&now[1], other.contents(&now[1]).unwrap());
    assert!(kept_and_repaired(&restored, G1, &want, "another life").len() > 5);
}

#[test]
fn a_bad_footer_and_a_bad_record_in_one_segment_cost_the_record() {
    let (disk, one, _) = long_log();
    let segments = written_segments(&disk);
    for name in &segments[..segments.len() - 1] {
        let at = records(&disk.contents(name).unwrap());
        // The trailer, and the footer before it.
        for footer in [65_536 - 4_096 + 20, 65_536 - 8_192 + 20] {
            for nth in [0, 1, at.len() / 2, at.len() - 2, at.len() - 1] {
                for byte in [30, 125] {
                    let disk = disk.copy();
                    disk.flip_bit(name, footer * 8);
                    disk.flip_bit(name, (at[nth] + byte) * 8);
                    let what = format!("{name}, footer {footer}, record {nth}, byte {byte}");
                    let found = kept_and_repaired(&disk, G1, &one, &what);
                    assert!(found.len() <= 1, "{what}: {found:?}");
                }
            }
        }
    }
}

#[test]
fn a_bad_checkpoint_is_replaced_or_said_to_be_lost() {
    // (purged up to, checkpoints that are damaged from the end, which one is left)
    for (purged, damaged, want) in
        [(None, 1, Some(10)), (Some(10), 1, Some(10)), (Some(15), 1, None), (Some(5), 2, None)]
    {
        let disk = SimDisk::new();
        let (log, _) = open(&disk).unwrap();
        for index in 1..=30 {
            fill(&log, G1, index, 1, 50);
            if index == 10 || index == 20 {
                let state = Bytes::from(format!("checkpoint {index} of the group"));
                wait(|done| log.save_checkpoint(G1, LogIndex(index), Term(1), state, done)).unwrap();
            }
        }
        if let Some(purged) = purged {
            wait(|done| log.purge(G1, (Term(1), 1, LogIndex(purged)), done)).unwrap();
        }
        log.shutdown();
        for index in [20, 10].into_iter().take(damaged) {
            let text = format!("checkpoint {index} of");
            let place = |name: &String| {
                let contents = disk.contents(name).unwrap();
                contents.windows(text.len()).position(|window| window == text.as_bytes())
            };
            let names = written_segments(&disk);
            let (name, at) = names.iter().find_map(|name| Some((name, place(name)?))).unwrap();
            disk.flip_bit(name, at * 8);
        }
        let (log, report) = open_kept(&disk).unwrap();
        assert_eq!(log.group(G1).checkpoint.map(|(index, _)| index.0), want, "{purged:?}");
        assert_eq!(report.checkpoints_lost, if want.is_none() { vec![G1] } else { vec![] }, "{purged:?}");
        assert_eq!(log.group(G1).last, Some((Term(1), 1, LogIndex(30))));
    }
}

#[test]
fn a_bad_vote_or_identity_refuses() {
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
        assert!(matches!(open_kept(&disk), Err(OpenError::BadVote { group: G2, .. })), "byte {byte}");
    }
    for bit in (0..40 * 8).step_by(11) {
        let disk = disk.copy();
        disk.flip_bit("identity", bit);
        assert!(matches!(open_kept(&disk), Err(OpenError::BadIdentity(_))), "bit {bit}");
    }
}

#[test]
fn a_copy_must_be_of_the_entry_that_is_damaged() {
    let disk = closed_log(60, 4_000);
    let name = &written_segments(&disk)[1];
    let at = records(&disk.contents(name).unwrap())[3];
    disk.flip_bit(name, (at + 2_000) * 8);
    let (log, report) = open_kept(&disk).unwrap();
    assert_eq!(report.faulty, 0, "a sealed segment is not read on opening");
    let index = (1..=60).find(|index| log.read(G1, LogIndex(*index), LogIndex(index + 1), 1).is_err()).unwrap();
    assert_eq!(faulty(&log, G1), [index], "but a read that fails is remembered");
    let good = entry(1, index, 4_000);
    let mut other = good.body.to_vec();
    other[100] ^= 1;
    let cases = [
        ("term", Entry { term: Term(2), ..good.clone() }),
        ("term", Entry { leader: 7, ..good.clone() }),
        ("offsets", Entry { first_offset: Offset(1), ..good.clone() }),
        ("kind", Entry { kind: 77, ..good.clone() }),
        ("length", Entry { body: good.body.slice(1..), ..good.clone() }),
        ("body", Entry { body: Bytes::from(other), ..good.clone() }),
    ];
    for (what, copy) in cases {
        let error = wait(|done| log.repair(G1, copy, done)).expect_err("refused");
        let refused = error.get_ref().and_then(|inner| inner.downcast_ref::<Refused>());
        assert_eq!(refused, Some(&Refused::NotTheSame { index: LogIndex(index), what }));
    }
    assert_eq!(faulty(&log, G1), [index]);
    let records_before = log.stats().records;
    wait(|done| log.repair(G1, entry(1, index + 1, 4_000), done)).unwrap();
    wait(|done| log.repair(G2, good.clone(), done)).unwrap();
    assert_eq!(log.stats().records, records_before, "what is not faulty is not repaired");
    wait(|done| log.repair(G1, good.clone(), done)).unwrap();
    assert_eq!(log.read(G1, LogIndex(index), LogIndex(index + 1), 1).unwrap(), [good]);
    assert_eq!(all(&log, G1).len(), 60);
    assert!(log.read(G1, LogIndex(index - 2), LogIndex(index + 3), 99_999).unwrap().len() == 5, "in one piece");
}

/// A faulty entry goes with the others when they are truncated, purged or forgotten.
#[test]
fn a_faulty_entry_goes_with_the_rest() {
    for what in ["truncate", "purge", "forget", "purge what is repaired"] {
        let disk = closed_log(60, 4_000);
        let name = &written_segments(&disk)[1];
        let at = records(&disk.contents(name).unwrap())[3];
        disk.flip_bit(name, (at + 2_000) * 8);
        let (log, _) = open_kept(&disk).unwrap();
        let index = (1..=60).find(|index| log.read(G1, LogIndex(*index), LogIndex(index + 1), 1).is_err()).unwrap();
        match what {
            "truncate" => {
                wait(|done| log.truncate_after(G1, LogIndex(index), done)).unwrap();
                assert_eq!(faulty(&log, G1), [index], "kept, so still faulty");
                wait(|done| log.truncate_after(G1, LogIndex(index - 1), done)).unwrap();
                fill(&log, G1, index, 3, 500);
                assert_eq!(all(&log, G1).len() as u64, index + 2);
            }
            "purge" => wait(|done| log.purge(G1, (Term(1), 1, LogIndex(index)), done)).unwrap(),
            "forget" => wait(|done| log.forget(G1, done)).unwrap(),
            _ => {
                wait(|done| log.repair(G1, entry(1, index, 4_000), done)).unwrap();
                wait(|done| log.purge(G1, (Term(1), 1, LogIndex(index)), done)).unwrap();
            }
        }
        assert_eq!(faulty(&log, G1), [], "{what}");
        let want = all(&log, G1);
        log.shutdown();
        let (log, _) = open_kept(&disk).unwrap();
        assert_eq!((all(&log, G1), faulty(&log, G1)), (want, vec![]), "{what}");
    }
}

/// The same disk without one file.
fn without(disk: &SimDisk, name: &str) -> SimDisk {
    let without = SimDisk::new();
    for other in disk.names().into_iter().filter(|other| other != name) {
        without.put(&other, disk.contents(&other).unwrap());
    }
    without
}

/// A crash in the middle of repairs: each copy is there or its entry is faulty, and nothing else changes.
#[test]
fn repairs_survive_crashes() {
    let (disk, one, _) = long_log();
    let name = &written_segments(&disk)[2];
    let without = without(&disk, name);
    without.record();
    let (log, _) = open_kept(&without).unwrap();
    repair(&log, G1, &one, "repairs");
    log.shutdown();
    drop(log);
    let chance = SeededChance::new(8);
    let (mut some, mut none) = (0, 0);
    for crash in without.trace().crashes(200, &chance) {
        let found = kept_and_repaired(&crash.disk, G1, &one, &format!("step {}", crash.moment));
        *(if found.is_empty() { &mut none } else { &mut some }) += 1;
    }
    assert!(some > 10 && none > 10, "{some} {none}");
}

/// Damages `disk` in some way; what was done.
fn damage(disk: &SimDisk, chance: &dyn Chance) -> String {
    let names: Vec<_> = disk.names().into_iter().filter(|name| name.ends_with(".seg")).collect();
    let name = &names[chance.below(names.len() as u64) as usize];
    let mut contents = disk.contents(name).unwrap();
    if contents.is_empty() {
        return "nothing".to_owned();
    }
    let at = chance.below(contents.len() as u64) as usize;
    let what = chance.below(6);
    match what {
        0 | 1 => disk.flip_bit(name, at * 8 + 1),
        2 => {
            let from = at - at % 512;
            let to = contents.len().min(from + 512 * (1 + chance.below(16) as usize));
            contents[from..to].fill(0);
            disk.put(name, contents);
        }
        3 => {
            let blocks = contents.len() as u64 / 4_096;
            if blocks == 0 {
                return "nothing".to_owned();
            }
            let block = |chance: &dyn Chance| (chance.below(blocks) * 4_096) as usize;
            let (from, to) = (block(chance), block(chance));
            contents.copy_within(from..from + 4_096, to);
            disk.put(name, contents);
        }
        4 => {
            contents.truncate(at);
            disk.put(name, contents);
        }
        _ => {
            let other = disk.contents(&names[chance.below(names.len() as u64) as usize]).unwrap();
            disk.put(name, other);
        }
    }
    format!("damage {what} of {name} at {at}")
}

/// Any operations, any damage: the log refuses, or everything it gives is what was written, and with copies of the rest
/// it is equal to its model again.
#[test]
fn damage_never_passes_for_what_was_written() {
    let (mut kept, mut refused, mut faulty_entries) = (0, 0, 0);
    let from_environment =
        |name, default| std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default);
    let (seeds, first) = (from_environment("PELTON_DAMAGE_SEEDS", 60), from_environment("PELTON_DAMAGE_SEED", 1));
    for seed in first..first + seeds {
        let chance = SeededChance::new(seed);
        let disk = SimDisk::new();
        let (log, _) = open_with(Arc::new(disk.clone()), keep()).unwrap();
        let (mut model, mut term) = (Model::default(), 1);
        for _ in 0..120 {
            let op: Op = model.next(&chance, &mut term, 4_000);
            wait(|done| submit(&log, &op, done)).unwrap();
            model.apply(&op);
        }
        log.shutdown();
        drop(log);
        // Each end of a log leaves a mark. Damage to the last of all cannot be told from a write that was cut short.
        for _ in 0..6 {
            open_kept(&disk).unwrap().0.shutdown();
        }
        for round in 0..12 {
            let disk = disk.copy();
            let mut what = format!("seed {seed}, round {round}");
            for _ in 0..=chance.below(2) {
                what = format!("{what}, {}", damage(&disk, &chance));
            }
            let Ok((log, _)) = open_kept(&disk) else {
                refused += 1;
                continue;
            };
            kept += 1;
            let mut same = model.trimmed();
            for (group, state) in &mut same.0 {
                let view = log.group(*group);
                assert_eq!(
                    view.vote.map(|vote| u64::from_le_bytes(vote[..8].try_into().unwrap())),
                    state.vote,
                    "{what}"
                );
                assert_eq!((view.purged, view.next_offset), (state.purged, state.next_offset), "{what}");
                faulty_entries += holds(&log, *group, &state.entries, &what).len();
                repair(&log, *group, &state.entries, &what);
                state.checkpoint = log.group(*group).checkpoint;
            }
            // A group of which there was but a checkpoint may be gone with it.
            let same = same.trimmed();
            assert!(Model::of(&log) == same, "{what}");
            log.shutdown();
            let (log, _) = open_kept(&disk).unwrap_or_else(|error| panic!("{what}: repaired, and {error}"));
            assert!(Model::of(&log) == same, "{what}: repaired");
        }
    }
    assert!(
        kept > 3 * refused && faulty_entries > 5 * seeds as usize,
        "{kept} kept, {refused} refused, {faulty_entries} faulty"
    );
}
