//! One segmented, checksummed log on disk for all groups of a node.
//!
//! The log knows nothing of Raft's rules and nothing of events: it keeps entries, votes, checkpoints, truncations and
//! purges of many groups in one stream, so that one write and one sync make many of them durable, in the order in
//! which they were submitted.
//!
//! - [`Log`] is what callers use; [`Options`] names every bound.
//! - A thread owned by the log, the flusher, takes everything that waits and writes it as one *flush*: aligned blocks,
//!   one sync, then the completions. A second thread prepares segments: files written full of zeros once, then used
//!   again, so that a sync does not have to commit file metadata.
//! - Instead of threads the caller can drive the same steps ([`Log::open_stepped`]): a simulation on one thread and one
//!   clock needs that.
//! - Opening decides what a bad byte means. A flush that was cut short is not part of the log; damage to what was
//!   durable is never cut, it refuses to open ([`OpenError`]). The difference is told by the *frontier* in every
//!   record: everything below it was durable when the record was written.
//! - A log that has replicas elsewhere keeps what is sound instead ([`OnDamage::Keep`]): entries that cannot be read
//!   are *faulty* until a copy takes their place ([`Log::faulty`], [`Log::repair`]). [`Log::scrub`] looks for them.
//! - A failed write or sync ends all writing, is handed to everybody who waits, and is never tried again.
//! - Nothing is deleted unless a durable record says that it is no longer part of the log.
//!
//! Files, time and chance come through [`Disk`], `Clock` and `Chance`, so that [`SimDisk`] can crash, tear, refuse
//! and flip bits.

mod aligned;
mod cache;
mod core;
mod disk;
mod driver;
mod error;
mod flusher;
mod group;
mod index;
mod keep;
mod log;
mod options;
mod pool;
mod reader;
mod record;
mod recovery;
mod repair;
mod rot;
mod salvage;
mod scan;
mod scrub;
mod segment;
mod standing;
mod survey;
mod types;
mod verify;

pub use crate::disk::{
    Crash, CrashPlan, DirectoryLock, Disk, DiskFile, FileInfo, RealDisk, SimDisk, SimTrace, TraceOp,
};
pub use crate::driver::{Stepper, Turn, WorkHook};
pub use crate::error::{Damage, OpenError, ReadError, Refused};
pub use crate::log::{Log, Stats};
pub use crate::options::{DirectIo, FatalHook, Flush, NoObserver, Observer, OnDamage, Options};
pub use crate::scrub::Scrubbed;
pub use crate::types::{
    Completion, Cut, Entry, EntryMeta, GroupId, GroupView, Identity, LogId, LogIndex, Offset, Report, Room, Size, Term,
};
pub use crate::verify::{GroupReport, SegmentReport, VerifyReport, verify};
