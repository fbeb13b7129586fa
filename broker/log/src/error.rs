//! Why the log would not open, read or accept.

use std::io;

use crate::types::{GroupId, Identity, LogIndex, Offset};

/// Why a data directory was not opened. Nothing in it was changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has the directory.
    #[error("the data directory is in use by another process")]
    Locked,
    /// The directory or a file in it may not be written.
    #[error("the data directory is read-only")]
    ReadOnly(#[source] io::Error),
    /// The options contradict each other.
    #[error("log options: {0}")]
    Options(&'static str),
    /// Written by another version of the format.
    #[error("{file} has log format version {found}, this program reads version {supported}")]
    Version {
        /// The file that says so.
        file: String,
        /// The version in it.
        found: u32,
        /// The version of this program.
        supported: u32,
    },
    /// The directory belongs to another cluster or node.
    #[error("{file} belongs to node {} of cluster {:032x}, not to node {} of cluster {:032x}",
        found.node, found.cluster, wanted.node, wanted.cluster)]
    Identity {
        /// The file that says so.
        file: String,
        /// The identity in it.
        found: Identity,
        /// The identity asked for.
        wanted: Identity,
    },
    /// The identity file is damaged, or is missing beside segments that hold records.
    #[error("the identity file is {0}; restore the directory or rejoin under a new identity")]
    BadIdentity(&'static str),
    /// A segment header cannot be trusted.
    #[error("the header of {file} is damaged")]
    BadSegmentHeader {
        /// The segment file.
        file: String,
    },
    /// A segment that must exist does not.
    #[error("segment file {file} is missing")]
    MissingSegment {
        /// The name it would have.
        file: String,
    },
    /// A segment file is shorter than its header says.
    #[error("{file} is {found_bytes} B long, its header says {expected_bytes} B")]
    ShortSegment {
        /// The segment file.
        file: String,
        /// Bytes found.
        found_bytes: u64,
        /// Bytes that there should be.
        expected_bytes: u64,
    },
    /// A segment does not continue the one before it: it is an old copy.
    #[error("{file} does not continue the segment before it; it is an older copy, or the one before is")]
    StaleSegment {
        /// The segment file that does not fit.
        file: String,
    },
    /// A record that was durable is damaged.
    #[error("durable record damaged in {} at byte {}{}", .0.file, .0.position, .0.subject())]
    Damaged(Damage),
    /// The last vote of a group is damaged. Guessing one could elect two leaders.
    #[error("the vote of group {} is damaged: {} at byte {}", group.0, file, position)]
    BadVote {
        /// The group.
        group: GroupId,
        /// The segment file.
        file: String,
        /// Byte offset of the record.
        position: u64,
    },
    /// The last checkpoint is damaged, and neither an older one nor the whole log can stand in for it.
    #[error("the checkpoint of group {} is damaged and nothing older covers the log: {} at byte {}", group.0, file, position)]
    BadCheckpoint {
        /// The group.
        group: GroupId,
        /// The segment file.
        file: String,
        /// Byte offset of the record.
        position: u64,
    },
    /// The operating system refused.
    #[error("could not {action}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// The cause.
        source: io::Error,
    },
}

/// A place on disk that does not hold what was written there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The file.
    pub file: String,
    /// Byte offset in the file.
    pub position: u64,
    /// The group of the record, when its header can still be read.
    pub group: Option<GroupId>,
    /// The index of the entry, when its header can still be read.
    pub index: Option<LogIndex>,
    /// The offsets of the entry's events, from the first to, not including, the last, when an index names them.
    pub offsets: Option<(Offset, Offset)>,
}

impl Damage {
    pub(crate) fn subject(&self) -> String {
        match (self.group, self.index, self.offsets) {
            (Some(group), Some(index), Some((from, to))) => {
                format!(" (group {}, index {}, offsets {} to below {})", group.0, index.0, from.0, to.0)
            }
            (Some(group), Some(index), None) => format!(" (group {}, index {})", group.0, index.0),
            (Some(group), None, _) => format!(" (group {})", group.0),
            (None, ..) => " (record header unreadable)".to_owned(),
        }
    }
}

/// Why entries could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The group holds nothing that old any more.
    #[error("index {} is purged; the oldest held is {}", wanted.0, first.0)]
    Purged {
        /// The index asked for.
        wanted: LogIndex,
        /// The oldest index held, or the next one to be written.
        first: LogIndex,
    },
    /// The group holds no event that old any more.
    #[error("offset {} is purged; the oldest held is {}", wanted.0, first.0)]
    OffsetPurged {
        /// The offset asked for.
        wanted: Offset,
        /// The oldest offset held, or the next one to be written.
        first: Offset,
    },
    /// What is on disk is not what was written.
    #[error("record damaged in {} at byte {}{}", .0.file, .0.position, .0.subject())]
    Damaged(Damage),
    /// The operating system could not read.
    #[error("could not read {file}")]
    Io {
        /// The segment file.
        file: String,
        /// The cause.
        source: io::Error,
    },
}

/// Why an operation was refused before it was accepted. Travels inside the `io::Error` of a completion:
/// `error.get_ref().and_then(|e| e.downcast_ref::<Refused>())`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// No space is left; `io::ErrorKind::StorageFull`. Nothing was written; try again when there is room.
    #[error("no space is left for the log")]
    StorageFull,
    /// More is waiting to be written than the options allow; `io::ErrorKind::WouldBlock`.
    #[error("too much is waiting to be written")]
    QueueFull,
    /// One record is above the limit; `io::ErrorKind::InvalidInput`.
    #[error("record of {size_bytes} B is above the limit of {limit_bytes} B")]
    TooLarge {
        /// Bytes of the record's body.
        size_bytes: u64,
        /// The most a body may have.
        limit_bytes: u64,
    },
    /// The entry does not follow the last one of its group; `io::ErrorKind::InvalidInput`.
    #[error("entry {} does not follow: index {} is due", found.0, due.0)]
    Gap {
        /// Index of the entry.
        found: LogIndex,
        /// Index that is due.
        due: LogIndex,
    },
    /// The events of the entry do not follow those of the entry before it; `io::ErrorKind::InvalidInput`.
    #[error("first offset {} is below {}, which is due", found.0, due.0)]
    OffsetBehind {
        /// First offset of the entry.
        found: Offset,
        /// Offset that is due.
        due: Offset,
    },
    /// The copy is not of the entry that is damaged here; `io::ErrorKind::InvalidInput`.
    #[error("the copy of entry {} differs in its {what} from the one that is damaged here", index.0)]
    NotTheSame {
        /// Index of the entry.
        index: LogIndex,
        /// What differs.
        what: &'static str,
    },
    /// The log was shut down; `io::ErrorKind::BrokenPipe`.
    #[error("the log is shut down")]
    ShutDown,
}

impl Refused {
    /// The error as completions carry it.
    #[must_use]
    pub fn into_io(self) -> io::Error {
        let kind = match self {
            Self::StorageFull => io::ErrorKind::StorageFull,
            Self::QueueFull => io::ErrorKind::WouldBlock,
            Self::TooLarge { .. } | Self::Gap { .. } | Self::OffsetBehind { .. } | Self::NotTheSame { .. } => {
                io::ErrorKind::InvalidInput
            }
            Self::ShutDown => io::ErrorKind::BrokenPipe,
        };
        io::Error::new(kind, self)
    }
}
