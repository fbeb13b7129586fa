//! What every `Disk` must do, asked of both.
#![allow(clippy::unwrap_used, reason = "a test may stop where it stands")]

mod common;

use std::io;
use std::sync::Arc;

use pelton_log::{DirectIo, Disk, RealDisk, SimDisk};

/// A block at an aligned address inside `memory`.
fn block(memory: &mut Vec<u8>, fill: u8, blocks: usize) -> std::ops::Range<usize> {
    *memory = vec![fill; (blocks + 1) * 4096];
    let start = (4096 - memory.as_ptr().addr() % 4096) % 4096;
    start..start + blocks * 4096
}

fn conforms(disk: &dyn Disk) {
    assert!(disk.list().unwrap().is_empty(), "a new directory is empty");
    let file = disk.create("a", DirectIo::Auto).unwrap();
    assert_eq!(disk.create("a", DirectIo::Auto).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    let mut memory = Vec::new();
    let range = block(&mut memory, 7, 2);
    file.write_at(&memory[range.clone()], 4096).unwrap();
    file.sync_data().unwrap();
    file.sync_all().unwrap();
    assert_eq!(file.size_bytes().unwrap(), 3 * 4096, "a write past the end lengthens");
    let mut read = vec![1; 10];
    assert_eq!(file.read_at(&mut read, 4090).unwrap(), 10);
    assert_eq!(read, [0, 0, 0, 0, 0, 0, 7, 7, 7, 7], "the gap reads as zeros, any place can be read");
    assert_eq!(file.read_at(&mut read, 3 * 4096 - 4).unwrap(), 4, "short at the end");
    assert_eq!(file.read_at(&mut read, 1 << 30).unwrap(), 0, "nothing past the end");
    let past = block(&mut memory, 0, 3);
    assert_eq!(file.read_past_cache_at(&mut memory[past.clone()], 0).unwrap(), 3 * 4096);
    assert_eq!((memory[past.start], memory[past.start + 4096]), (0, 7));
    let longer = block(&mut memory, 9, 4);
    assert_eq!(file.read_past_cache_at(&mut memory[longer], 0).unwrap(), 3 * 4096, "short at the end");
    file.set_len(4096).unwrap();
    assert_eq!(file.size_bytes().unwrap(), 4096);
    file.set_len(8192).unwrap();
    assert_eq!(file.read_at(&mut read, 4096).unwrap(), 10);
    assert_eq!(read, [0; 10], "what was cut does not come back");

    drop(disk.create("b", DirectIo::Off).unwrap());
    disk.rename("a", "b").unwrap();
    disk.sync_dir().unwrap();
    let names: Vec<_> = disk.list().unwrap().into_iter().map(|file| (file.name, file.size_bytes)).collect();
    assert_eq!(names, [("b".to_owned(), 8192)], "a rename replaces");
    assert_eq!(disk.open("a", DirectIo::Auto).unwrap_err().kind(), io::ErrorKind::NotFound);
    assert_eq!(disk.open_read_only("a").unwrap_err().kind(), io::ErrorKind::NotFound);
    assert_eq!(disk.rename("a", "c").unwrap_err().kind(), io::ErrorKind::NotFound);
    assert_eq!(disk.remove("a").unwrap_err().kind(), io::ErrorKind::NotFound);
    let read_only = disk.open_read_only("b").unwrap();
    let range = block(&mut memory, 3, 1);
    assert!(read_only.write_at(&memory[range], 0).is_err(), "read only");
    assert_eq!(read_only.read_at(&mut read, 0).unwrap(), 10);

    disk.remove("b").unwrap();
    assert!(disk.list().unwrap().is_empty());
    assert_eq!(read_only.read_at(&mut read, 0).unwrap(), 10, "an open file outlives its name");
    assert!(disk.free_bytes().unwrap() > 0);
    assert!(disk.describe("x").ends_with('x'));

    let lock = disk.lock().unwrap();
    assert_eq!(disk.lock().unwrap_err().kind(), io::ErrorKind::WouldBlock, "one lock at a time");
    assert!(disk.list().unwrap().is_empty(), "the lock is not a file of the log");
    drop(lock);
    drop(disk.lock().unwrap());
}

#[test]
fn the_real_disk_conforms() {
    let directory = tempfile::tempdir().unwrap();
    conforms(&RealDisk::new(directory.path().join("deep/data")).unwrap());
}

#[test]
fn the_simulated_disk_conforms() {
    conforms(&SimDisk::new());
    conforms(&SimDisk::direct());
}

/// The whole life of a log, on every disk and in both ways to write.
#[test]
fn a_log_lives_on_every_disk() {
    let directory = tempfile::tempdir().unwrap();
    let real = |name: &str| Arc::new(RealDisk::new(directory.path().join(name)).unwrap()) as Arc<dyn Disk>;
    let cases: [(&str, Arc<dyn Disk>, DirectIo); 5] = [
        ("real, direct where it can be", real("auto"), DirectIo::Auto),
        ("real, through the page cache", real("off"), DirectIo::Off),
        ("real, direct", real("on"), DirectIo::On),
        ("simulated", Arc::new(SimDisk::new()), DirectIo::Auto),
        ("simulated, direct", Arc::new(SimDisk::direct()), DirectIo::Auto),
    ];
    for (name, disk, direct_io) in cases {
        let options = pelton_log::Options { direct_io, ..common::options() };
        let opened = common::open_with(Arc::clone(&disk), options.clone());
        let (log, report) = match opened {
            // A file system without direct writes says so; then there is nothing to test.
            Err(error) if direct_io == DirectIo::On => {
                assert!(matches!(error, pelton_log::OpenError::Io { .. }), "{name}: {error}");
                continue;
            }
            opened => opened.expect(name),
        };
        assert!(report.fresh, "{name}");
        assert!(direct_io != DirectIo::On || report.direct_io, "{name}");
        common::fill(&log, common::G1, 1, 60, 5_000);
        let purged = log.entry_meta(common::G1, pelton_log::LogIndex(20)).unwrap().unwrap().log_id();
        common::wait(|done| log.purge(common::G1, purged, done)).unwrap();
        let before = common::all(&log, common::G1);
        assert_eq!(before.len(), 40, "{name}");
        log.shutdown();
        let (log, report) = common::open_with(disk, options).expect(name);
        assert!(!report.fresh && report.cut.is_none() && report.unknown_files.is_empty(), "{name}: {report:?}");
        assert_eq!(common::all(&log, common::G1), before, "{name}");
        common::fill(&log, common::G1, 61, 60, 5_000);
        assert_eq!(common::all(&log, common::G1).len(), 100, "{name}");
    }
}
