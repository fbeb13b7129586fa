//! A directory of the operating system.

use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use super::{DirectoryLock, Disk, DiskFile, FileInfo};
use crate::options::DirectIo;

/// Name of the lock file. It is empty, and stays.
const LOCK_NAME: &str = "LOCK";

/// A directory of the operating system, made if it does not exist.
#[derive(Debug, Clone)]
pub struct RealDisk {
    path: PathBuf,
    /// Kept open, so that a sync of the directory needs no descriptor at a moment when there is none.
    directory: Arc<fs::File>,
}

impl RealDisk {
    /// The directory at `path`; made, with its parents, if it does not exist.
    ///
    /// # Errors
    /// Those of the system.
    pub fn new(path: impl Into<PathBuf>) -> io::Result<Self> {
        let path = path.into();
        if !path.is_dir() {
            fs::create_dir_all(&path)?;
            if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
                fs::File::open(parent)?.sync_all()?;
            }
        }
        let directory = Arc::new(fs::File::open(&path)?);
        Ok(Self { path, directory })
    }

    /// The directory at `path`, which must exist: for reading only.
    ///
    /// # Errors
    /// `NotFound` or `NotADirectory`.
    pub fn existing(path: impl AsRef<Path>) -> io::Result<Self> {
        let path = path.as_ref();
        if fs::metadata(path)?.is_dir() {
            Ok(Self { path: path.to_owned(), directory: Arc::new(fs::File::open(path)?) })
        } else {
            Err(io::ErrorKind::NotADirectory.into())
        }
    }

    fn open_with(&self, name: &str, flags: OFlags, direct: DirectIo) -> io::Result<Arc<dyn DiskFile>> {
        let path = self.path.join(name);
        let flags = flags | OFlags::CLOEXEC;
        let buffered = rustix::fs::open(&path, flags, Mode::RUSR | Mode::WUSR)?;
        let direct_flags = (flags - OFlags::CREATE - OFlags::EXCL) | OFlags::DIRECT | OFlags::DSYNC;
        let direct = match direct {
            DirectIo::Off => None,
            DirectIo::On => Some(rustix::fs::open(&path, direct_flags, Mode::empty())?),
            DirectIo::Auto => match rustix::fs::open(&path, direct_flags, Mode::empty()) {
                // Says nothing about the file system; the file would silently be written more slowly ever after.
                Err(error @ (Errno::MFILE | Errno::NFILE)) => return Err(error.into()),
                opened => opened.ok(),
            },
        };
        Ok(Arc::new(RealFile { buffered, direct, refused: AtomicBool::new(false) }))
    }
}

#[derive(Debug)]
struct RealLock(#[allow(dead_code, reason = "the open file is the lock")] OwnedFd);

impl DirectoryLock for RealLock {}

impl Disk for RealDisk {
    fn lock(&self) -> io::Result<Box<dyn DirectoryLock>> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC;
        let file = rustix::fs::open(self.path.join(LOCK_NAME), flags, Mode::RUSR | Mode::WUSR)?;
        rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        Ok(Box::new(RealLock(file)))
    }

    fn list(&self) -> io::Result<Vec<FileInfo>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name != LOCK_NAME {
                files.push(FileInfo { name, size_bytes: entry.metadata()?.len() });
            }
        }
        files.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(files)
    }

    fn create(&self, name: &str, direct: DirectIo) -> io::Result<Arc<dyn DiskFile>> {
        self.open_with(name, OFlags::RDWR | OFlags::CREATE | OFlags::EXCL, direct)
    }

    fn open(&self, name: &str, direct: DirectIo) -> io::Result<Arc<dyn DiskFile>> {
        self.open_with(name, OFlags::RDWR, direct)
    }

    fn open_read_only(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.open_with(name, OFlags::RDONLY, DirectIo::Off)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path.join(from), self.path.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path.join(name))
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.directory.sync_all()
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let stat = rustix::fs::statvfs(&self.path)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    fn describe(&self, name: &str) -> String {
        self.path.join(name).display().to_string()
    }
}

/// A file with one descriptor for the page cache and, where allowed, one that passes it.
#[derive(Debug)]
struct RealFile {
    buffered: OwnedFd,
    direct: Option<OwnedFd>,
    /// The file system opened the file for direct writes and then refused one: some do.
    refused: AtomicBool,
}

impl RealFile {
    fn direct(&self) -> Option<&OwnedFd> {
        self.direct.as_ref().filter(|_| !self.refused.load(Ordering::Acquire))
    }
}

fn write_all(file: impl AsFd, mut bytes: &[u8], mut at: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        match rustix::io::pwrite(&file, bytes, at) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                bytes = &bytes[written..];
                at += written as u64;
            }
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn read_full(file: impl AsFd, buffer: &mut [u8], at: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match rustix::io::pread(&file, &mut buffer[filled..], at + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(filled)
}

impl DiskFile for RealFile {
    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        if let Some(direct) = self.direct() {
            match write_all(direct, bytes, at) {
                Err(error) if error.raw_os_error() == Some(rustix::io::Errno::INVAL.raw_os_error()) => {
                    self.refused.store(true, Ordering::Release);
                }
                done => return done,
            }
        }
        write_all(&self.buffered, bytes, at)
    }

    fn sync_data(&self) -> io::Result<()> {
        if self.direct().is_some() { Ok(()) } else { Ok(rustix::fs::fdatasync(&self.buffered)?) }
    }

    fn sync_all(&self) -> io::Result<()> {
        Ok(rustix::fs::fsync(&self.buffered)?)
    }

    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        read_full(&self.buffered, buffer, at)
    }

    fn read_past_cache_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        match self.direct() {
            // One call: after a short direct read the place is no longer aligned. A short file ends there.
            Some(direct) => match rustix::io::retry_on_intr(|| rustix::io::pread(direct, &mut *buffer, at)) {
                Ok(read) if read == buffer.len() => Ok(read),
                _ => read_full(&self.buffered, buffer, at),
            },
            None => read_full(&self.buffered, buffer, at),
        }
    }

    fn size_bytes(&self) -> io::Result<u64> {
        Ok(u64::try_from(rustix::fs::fstat(&self.buffered)?.st_size).unwrap_or(0))
    }

    fn set_len(&self, size_bytes: u64) -> io::Result<()> {
        Ok(rustix::fs::ftruncate(&self.buffered, size_bytes)?)
    }

    fn is_direct(&self) -> bool {
        self.direct().is_some()
    }
}
