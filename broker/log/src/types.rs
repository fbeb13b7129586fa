//! The words of the log: positions, entries, and what callers are told about a group.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use pelton_env::UnixMillis;

/// One log group: a sequence of entries of its own inside the shared log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupId(pub u32);

/// A Raft term.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Term(pub u64);

/// A place in the sequence of one group. Indexes of a group follow each other without gaps.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogIndex(pub u64);

/// The number of an event in its group: events are counted without gaps, entries hold zero or more of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Offset(pub u64);

/// What the name of an entry is in Raft: term, node id of the leader, index.
pub type LogId = (Term, u64, LogIndex);

/// One entry of a group: usually a sealed batch of events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Term in which the leader made the entry.
    pub term: Term,
    /// Node id of that leader.
    pub leader: u64,
    /// Its place in the group.
    pub index: LogIndex,
    /// The caller's own tag; the log does not look at it.
    pub kind: u8,
    /// Offset of the first event in the entry, or of the next event to come when the entry holds none.
    pub first_offset: Offset,
    /// Number of events in the entry; zero is fine.
    pub event_count: u32,
    /// The content; never looked into.
    pub body: Bytes,
}

impl Entry {
    /// The offset that follows the events of this entry.
    #[must_use]
    pub fn next_offset(&self) -> Offset {
        Offset(self.first_offset.0 + u64::from(self.event_count))
    }
}

/// What is known about an entry without reading its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EntryMeta {
    /// See [`Entry::term`].
    pub term: Term,
    /// See [`Entry::leader`].
    pub leader: u64,
    /// See [`Entry::index`].
    pub index: LogIndex,
    /// See [`Entry::kind`].
    pub kind: u8,
    /// See [`Entry::first_offset`].
    pub first_offset: Offset,
    /// See [`Entry::event_count`].
    pub event_count: u32,
    /// Bytes of the body.
    pub body_bytes: u32,
    /// Wall-clock time at which this node appended the entry.
    pub appended_at: UnixMillis,
}

impl EntryMeta {
    /// Term, leader and index together.
    #[must_use]
    pub fn log_id(&self) -> LogId {
        (self.term, self.leader, self.index)
    }
}

/// The state of one group as the caller has submitted it, durable or not yet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GroupView {
    /// The last saved vote.
    pub vote: Option<Bytes>,
    /// Index of the oldest entry held; `None` when no entry is held.
    pub first: Option<LogIndex>,
    /// The newest entry held; `None` when no entry is held (the log then ends at `purged`).
    pub last: Option<LogId>,
    /// The newest entry that was purged.
    pub purged: Option<LogId>,
    /// The last saved checkpoint: the index it stands for, and its state.
    pub checkpoint: Option<(LogIndex, Bytes)>,
    /// The highest commit index that is known; after a restart it may be older than the one last saved.
    pub committed: Option<LogIndex>,
    /// The offset that the next event of the group will get.
    pub next_offset: Offset,
    /// The offset of the oldest event held; equal to `next_offset` when none is held.
    pub first_offset: Offset,
}

/// Called once when the operation is durable, or when it never will be. Runs on the flusher thread (or on the calling
/// thread when the operation is refused at once): set a flag and wake somebody, no more.
pub type Completion = Box<dyn FnOnce(Result<(), Arc<io::Error>>) + Send>;

/// Whether an append can be taken now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    /// It can.
    Now,
    /// It can once the next segment is prepared, or what waits is written.
    Soon,
    /// The disk has no space for another segment.
    Full,
}

/// Whose log this is. A directory of another cluster or node is never opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Identity {
    /// Identity of the cluster.
    pub cluster: u128,
    /// Node id inside the cluster.
    pub node: u64,
}

/// How much the log occupies.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Size {
    /// Bytes of all segment files, prepared ones included.
    pub file_bytes: u64,
    /// Bytes of records in segments that hold any, padding included.
    pub record_bytes: u64,
    /// Number of segment files, prepared ones included.
    pub segments: u64,
}

/// What opening found and did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// The directory was empty.
    pub fresh: bool,
    /// Segments in use.
    pub segments: u64,
    /// Groups found.
    pub groups: usize,
    /// Segments whose records had to be read, because they were not sealed or their footer was damaged.
    pub segments_scanned: u64,
    /// An unsynced tail that was cut.
    pub cut: Option<Cut>,
    /// Sealed segments whose footer was damaged and was made again from the records.
    pub footers_rebuilt: u64,
    /// Entries that are part of the log and cannot be read; see [`crate::OnDamage::Keep`].
    pub faulty: u64,
    /// Segments of which nothing could be used: missing, or an older copy of something else.
    pub segments_lost: Vec<String>,
    /// Groups without a checkpoint though they need one, because it is damaged: they need a snapshot from elsewhere.
    pub checkpoints_lost: Vec<GroupId>,
    /// Damaged checkpoints for which an older one (or the whole log) stands in.
    pub checkpoints_replaced: u64,
    /// Files that are none of ours. They are left alone.
    pub unknown_files: Vec<String>,
    /// Writes pass the page cache.
    pub direct_io: bool,
}

/// A tail that was never acknowledged and is no longer part of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    /// The segment file.
    pub file: String,
    /// Byte offset in the file at which the log now ends.
    pub position: u64,
}
