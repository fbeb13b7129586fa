//! What the tests of the log share.
#![allow(dead_code, reason = "each test file uses a part")]

pub mod model;
pub mod stepped;

use std::io;
use std::sync::Arc;
use std::sync::mpsc;

use bytes::Bytes;
use pelton_env::{ManualClock, SeededChance, UnixMillis};
use pelton_log::{
    Completion, Disk, Entry, GroupId, Identity, Log, LogIndex, Offset, OpenError, Options, Report, SimDisk, Term,
};

pub const IDENTITY: Identity = Identity { cluster: 0xC1, node: 1 };
pub const G1: GroupId = GroupId(1);
pub const G2: GroupId = GroupId(2);

pub fn options() -> Options {
    Options::small(IDENTITY)
}

pub fn open_with(disk: Arc<dyn Disk>, options: Options) -> Result<(Log, Report), OpenError> {
    open_at(disk, ManualClock::new(UnixMillis(1_000)), options)
}

/// Opens a log with threads, or one that is driven step by step where the tests are run so.
pub fn open_at(disk: Arc<dyn Disk>, clock: ManualClock, options: Options) -> Result<(Log, Report), OpenError> {
    let chance = Arc::new(SeededChance::new(7));
    if stepped::ARE_WE {
        return stepped::open(disk, Arc::new(clock), chance, options);
    }
    Log::open(disk, Arc::new(clock), chance, options)
}

pub fn open(disk: &SimDisk) -> Result<(Log, Report), OpenError> {
    open_with(Arc::new(disk.clone()), options())
}

/// Runs one operation and waits until it is durable or failed.
pub fn wait(operation: impl FnOnce(Completion)) -> Result<(), Arc<io::Error>> {
    let (send, receive) = mpsc::channel();
    operation(Box::new(move |result| {
        let _ = send.send(result);
    }));
    receive.recv().expect("every completion is called")
}

/// An entry whose body tells its place, its term and its length.
pub fn entry(term: u64, index: u64, size_bytes: usize) -> Entry {
    let mut body = format!("t{term} i{index} ").into_bytes();
    body.resize(size_bytes.max(body.len()), (index % 251) as u8);
    Entry {
        term: Term(term),
        leader: term % 3,
        index: LogIndex(index),
        kind: (index % 5) as u8,
        first_offset: Offset(index * 10),
        event_count: 10,
        body: Bytes::from(body),
    }
}

pub fn append(log: &Log, group: GroupId, entries: Vec<Entry>) {
    wait(|done| log.append(group, entries, done)).expect("appended");
}

/// Appends `count` entries one by one, each durable before the next.
pub fn fill(log: &Log, group: GroupId, from: u64, count: u64, size_bytes: usize) {
    for index in from..from + count {
        append(log, group, vec![entry(1, index, size_bytes)]);
    }
}

pub fn all(log: &Log, group: GroupId) -> Vec<Entry> {
    let view = log.group(group);
    let mut entries = Vec::new();
    let Some(mut next) = view.first else { return entries };
    loop {
        let piece = log.read(group, next, LogIndex(u64::MAX), 10_000).expect("readable");
        let Some(last) = piece.last() else { return entries };
        next = LogIndex(last.index.0 + 1);
        entries.extend(piece);
    }
}

/// A closed log of `count` entries of `size_bytes` in one group.
pub fn closed_log(count: u64, size_bytes: usize) -> SimDisk {
    let disk = SimDisk::new();
    let (log, _) = open(&disk).expect("opens");
    wait(|done| log.save_vote(G1, Bytes::from_static(b"vote"), done)).expect("saved");
    fill(&log, G1, 1, count, size_bytes);
    log.shutdown();
    disk
}

/// Byte offsets of everything that looks like a record header in a segment file.
pub fn records(contents: &[u8]) -> Vec<usize> {
    (4096..contents.len().saturating_sub(12)).step_by(8).filter(|at| &contents[at + 8..at + 12] == b"PLr1").collect()
}

/// Segment files that hold records, in order.
pub fn written_segments(disk: &SimDisk) -> Vec<String> {
    let mut names = disk.names();
    names.retain(|name| name.ends_with(".seg") && !records(&disk.contents(name).expect("listed")).is_empty());
    names
}
