//! The file system as the log sees it: one flat directory.
//!
//! Two forms stand behind [`Disk`]: [`RealDisk`] and [`SimDisk`]; both pass `tests/disk_conformance.rs`.

mod real;
mod sim;
mod trace;

use std::fmt;
use std::io;
use std::sync::Arc;

pub use real::RealDisk;
pub use sim::SimDisk;
pub use trace::{Crash, CrashPlan, SimTrace, TraceOp};

use crate::options::DirectIo;

/// A file in the directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileInfo {
    /// Its name.
    pub name: String,
    /// Its length.
    pub size_bytes: u64,
}

/// The right to use the directory, given back on drop.
pub trait DirectoryLock: Send + Sync + fmt::Debug {}

/// One flat directory of files.
pub trait Disk: Send + Sync + fmt::Debug + 'static {
    /// Takes the directory for this process.
    ///
    /// # Errors
    /// `WouldBlock` when another has it, `ReadOnlyFilesystem` or `PermissionDenied` when it cannot be written.
    fn lock(&self) -> io::Result<Box<dyn DirectoryLock>>;

    /// Every file but the lock.
    ///
    /// # Errors
    /// Those of the system.
    fn list(&self) -> io::Result<Vec<FileInfo>>;

    /// Makes an empty file.
    ///
    /// # Errors
    /// `AlreadyExists`, `StorageFull`, or what else the system says.
    fn create(&self, name: &str, direct: DirectIo) -> io::Result<Arc<dyn DiskFile>>;

    /// Opens a file for reading and writing.
    ///
    /// # Errors
    /// `NotFound`, or what else the system says.
    fn open(&self, name: &str, direct: DirectIo) -> io::Result<Arc<dyn DiskFile>>;

    /// Opens a file for reading only.
    ///
    /// # Errors
    /// `NotFound`, or what else the system says.
    fn open_read_only(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;

    /// Gives a file another name, replacing what had it. Durable after [`Disk::sync_dir`].
    ///
    /// # Errors
    /// Those of the system.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file. Durable after [`Disk::sync_dir`].
    ///
    /// # Errors
    /// Those of the system.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Makes names durable.
    ///
    /// # Errors
    /// Those of the system; after one nothing may be assumed.
    fn sync_dir(&self) -> io::Result<()>;

    /// Bytes that could still be written.
    ///
    /// # Errors
    /// Those of the system.
    fn free_bytes(&self) -> io::Result<u64>;

    /// The name as an operator would find it.
    fn describe(&self, name: &str) -> String;
}

/// One open file.
pub trait DiskFile: Send + Sync + fmt::Debug {
    /// Writes all of `bytes` at `at`. Address, length and place are multiples of 4 KiB.
    ///
    /// # Errors
    /// Those of the system; how much was written is then unknown.
    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()>;

    /// Makes the written bytes durable. Free when every write already was.
    ///
    /// # Errors
    /// Those of the system; what was written since the last sync is then lost or not, and a second try proves nothing.
    fn sync_data(&self) -> io::Result<()>;

    /// Makes bytes and length durable, whoever wrote them.
    ///
    /// # Errors
    /// As [`DiskFile::sync_data`].
    fn sync_all(&self) -> io::Result<()>;

    /// Reads into `buffer` from `at`; short only at the end of the file. Any place, any length.
    ///
    /// # Errors
    /// Those of the system.
    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize>;

    /// As [`DiskFile::read_at`], past the page cache where that is possible. Address, length and place are multiples of
    /// 4 KiB.
    ///
    /// # Errors
    /// Those of the system.
    fn read_past_cache_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize>;

    /// Length in bytes.
    ///
    /// # Errors
    /// Those of the system.
    fn size_bytes(&self) -> io::Result<u64>;

    /// Cuts or lengthens the file; new bytes read as zeros.
    ///
    /// # Errors
    /// Those of the system.
    fn set_len(&self, size_bytes: u64) -> io::Result<()>;

    /// Whether writes pass the page cache and are durable when they return.
    fn is_direct(&self) -> bool;
}
