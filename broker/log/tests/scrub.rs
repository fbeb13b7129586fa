//! Rot that nobody reads is found while the log is open.
#![allow(clippy::unwrap_used, reason = "a test may stop where it stands")]

mod common;

use std::sync::Arc;

use bytes::Bytes;
use common::*;
use parking_lot::Mutex;
use pelton_env::{Chance, SeededChance};
use pelton_log::{Damage, Log, LogIndex, Observer, OnDamage, Options, Scrubbed, SimDisk, Term};

#[derive(Debug, Default)]
struct Told(Mutex<Vec<Damage>>);

impl Observer for Told {
    fn damaged(&self, damage: &Damage) {
        self.0.lock().push(damage.clone());
    }
}

fn open_watched(disk: &SimDisk, on_damage: OnDamage) -> (Log, Arc<Told>) {
    let told = Arc::new(Told::default());
    let observer: Arc<dyn Observer> = told.clone();
    let options = Options { on_damage, observer, tail_cache_bytes: 0, ..options() };
    (open_with(Arc::new(disk.clone()), options).unwrap().0, told)
}

/// A whole round in steps; bytes and damaged places.
fn round(log: &Log, step_bytes: u64) -> (u64, u64) {
    let (mut bytes, mut damaged) = (0, 0);
    for _ in 0..10_000 {
        let Scrubbed { bytes: more, damaged: found, is_round_over } = log.scrub(step_bytes).unwrap();
        // A step ends with the record that reaches its bound.
        assert!(more <= step_bytes + 44_000, "{more} B in a step of {step_bytes} B");
        bytes += more;
        damaged += found;
        if is_round_over {
            return (bytes, damaged);
        }
    }
    panic!("a round has no end");
}

fn long_log() -> SimDisk {
    let disk = SimDisk::new();
    let (log, _) = open(&disk).unwrap();
    wait(|done| log.save_vote(G1, Bytes::from_static(b"the vote of one"), done)).unwrap();
    wait(|done| log.save_checkpoint(G1, LogIndex(0), Term(1), Bytes::from_static(b"the checkpoint"), done)).unwrap();
    fill(&log, G1, 1, 60, 4_000);
    log.shutdown();
    disk
}

#[test]
fn a_sound_log_is_looked_at_to_the_end_and_again() {
    let disk = long_log();
    let sealed = written_segments(&disk).len() as u64 - 1;
    for step_bytes in [1, 5_000, 1 << 20] {
        let (log, told) = open_watched(&disk, OnDamage::Keep);
        let (bytes, damaged) = round(&log, step_bytes);
        assert!(bytes > sealed * 40_000, "{bytes} B of {sealed} segments");
        assert_eq!((damaged, told.0.lock().len()), (0, 0));
        assert_eq!(round(&log, step_bytes), (bytes, 0), "the next round");
        log.shutdown();
    }
    let (log, _) = open_watched(&SimDisk::new(), OnDamage::Keep);
    assert!(log.scrub(1).unwrap().is_round_over, "a log without sealed segments");
}

#[test]
fn a_flipped_bit_anywhere_in_a_sealed_entry_is_found_and_repaired() {
    let disk = long_log();
    let segments = written_segments(&disk);
    let chance = SeededChance::new(6);
    for name in &segments[..segments.len() - 1] {
        let at = records(&disk.contents(name).unwrap());
        for _ in 0..12 {
            let disk = disk.copy();
            let (log, told) = open_watched(&disk, OnDamage::Keep);
            let nth = chance.below(at.len() as u64) as usize;
            let contents = disk.contents(name).unwrap();
            let len = u32::from_le_bytes(contents[at[nth] + 112..at[nth] + 116].try_into().unwrap()) as u64;
            disk.flip_bit(name, (at[nth] as u64 * 8 + chance.below((120 + len) * 8)) as usize);
            let (_, damaged) = round(&log, 10_000);
            assert_eq!((damaged, told.0.lock().len()), (1, 1), "{name}, record {nth}");
            let index = told.0.lock()[0].index;
            match index {
                Some(index) => {
                    assert_eq!(log.faulty(G1), [index..=index]);
                    assert_eq!(round(&log, 10_000).1, 0, "it is known");
                    wait(|done| log.repair(G1, entry(1, index.0, 4_000), done)).unwrap();
                }
                None => assert_ne!(contents[at[nth] + 12], 1, "no entry"),
            }
            assert_eq!(all(&log, G1).len(), 60);
            log.shutdown();
            let (log, _) = open_watched(&disk, OnDamage::Keep);
            assert_eq!((all(&log, G1).len(), log.faulty(G1)), (60, vec![]));
            assert_eq!(log.group(G1).vote.as_deref(), Some(&b"the vote of one"[..]), "{name}, record {nth}");
            assert!(log.group(G1).checkpoint.is_some());
        }
    }
}

/// Without replicas nothing is changed, and somebody is told.
#[test]
fn without_replicas_the_observer_is_told_and_no_more() {
    let disk = long_log();
    let name = &written_segments(&disk)[1];
    let at = records(&disk.contents(name).unwrap())[3];
    let (log, told) = open_watched(&disk, OnDamage::Refuse);
    disk.flip_bit(name, (at + 900) * 8);
    assert_eq!(round(&log, 1 << 20).1, 1);
    let damage = told.0.lock()[0].clone();
    assert_eq!((damage.file.as_str(), damage.position, damage.group), (name.as_str(), at as u64, Some(G1)));
    assert_eq!(log.faulty(G1), []);
}

#[test]
fn a_rotten_vote_is_written_again_and_a_rotten_footer_is_kept_in_memory() {
    let disk = long_log();
    let name = &written_segments(&disk)[0];
    let at = records(&disk.contents(name).unwrap());
    let (log, told) = open_watched(&disk, OnDamage::Keep);
    for record in &at[..2] {
        disk.flip_bit(name, (record + 122) * 8);
    }
    let before = log.stats().records;
    // A read of the first segment has its index in memory.
    assert_eq!(log.read(G1, LogIndex(1), LogIndex(2), 1).unwrap().len(), 1);
    disk.flip_bit(name, (65_536 - 8_192 + 20) * 8);
    assert_eq!(round(&log, 1 << 20).1, 3, "{:?}", told.0.lock());
    fill(&log, G1, 61, 1, 10);
    assert!(log.stats().records >= before + 3, "vote and checkpoint were written again");
    assert_eq!(all(&log, G1).len(), 61);
    assert_eq!(round(&log, 1 << 20).1, 2, "and lie where they lay, too");
    log.shutdown();
    let (log, _) = open_watched(&disk, OnDamage::Keep);
    let view = log.group(G1);
    assert_eq!(view.vote.as_deref(), Some(&b"the vote of one"[..]));
    assert_eq!(view.checkpoint.map(|(_, state)| state), Some(Bytes::from_static(b"the checkpoint")));
}

#[test]
fn what_was_truncated_or_purged_may_rot() {
    let disk = long_log();
    let (log, told) = open_watched(&disk, OnDamage::Keep);
    wait(|done| log.truncate_after(G1, LogIndex(50), done)).unwrap();
    append(&log, G1, (51..=70).map(|index| entry(2, index, 3_000)).collect());
    let names = written_segments(&disk);
    for name in &names[..names.len() - 1] {
        let contents = disk.contents(name).unwrap();
        for at in records(&contents) {
            let field = |at: usize| u64::from_le_bytes(contents[at..at + 8].try_into().unwrap());
            if contents[at + 12] == 1 && field(at + 32) == 1 && field(at + 48) > 50 {
                disk.flip_bit(name, (at + 300) * 8);
            }
        }
    }
    assert_eq!(round(&log, 1 << 20).1, 0, "{:?}", told.0.lock());
    assert_eq!(all(&log, G1).len(), 70);
}
