//! A directory in memory that can crash, tear, refuse and rot.
//!
//! Every write and sync can be recorded ([`SimDisk::record`]), for crashes at any moment of the record (see
//! [`SimTrace`]). A simulation that goes on after a crash needs no record: [`SimDisk::track`] remembers only what is not
//! synced, and [`SimDisk::crash`] gives the directory of now.

use std::io;
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};
use pelton_env::Chance;

use super::trace::{DataOp, Image, NameOp, SimTrace, Step, Unsynced};
use super::{DirectoryLock, Disk, DiskFile, FileInfo};
use crate::options::DirectIo;

#[derive(Debug, Default)]
struct State {
    image: Image,
    next_file: u64,
    locked: bool,
    read_only: bool,
    no_descriptors: bool,
    direct: bool,
    capacity_bytes: Option<u64>,
    no_space: bool,
    /// Calls of each sort that still succeed before one fails.
    writes_left: Option<u64>,
    syncs_left: Option<u64>,
    reads_left: Option<u64>,
    recording: Option<SimTrace>,
    tracking: Option<Unsynced>,
}

impl State {
    /// Whether anybody wants to know of steps.
    fn is_watched(&self) -> bool {
        self.recording.is_some() || self.tracking.is_some()
    }

    fn record(&mut self, step: Step) {
        if let Some(unsynced) = &mut self.tracking {
            unsynced.take(&step);
        }
        if let Some(trace) = &mut self.recording {
            trace.push(step);
        }
    }

    fn name_op(&mut self, op: NameOp) {
        self.image.apply_name(&op);
        self.record(Step::Name(op));
    }

    fn used_bytes(&self) -> u64 {
        self.image.names.values().filter_map(|file| self.image.files.get(file)).map(|bytes| bytes.len() as u64).sum()
    }

    fn sync(&mut self, file: u64) -> io::Result<()> {
        count_down(&mut self.syncs_left)?;
        self.record(Step::Sync(file));
        Ok(())
    }
}

/// Fails when the count is used up, then and ever after: a broken disk stays broken.
fn count_down(left: &mut Option<u64>) -> io::Result<()> {
    match left {
        Some(0) => Err(io::Error::from_raw_os_error(rustix::io::Errno::IO.raw_os_error())),
        Some(left) => {
            *left -= 1;
            Ok(())
        }
        None => Ok(()),
    }
}

/// A directory in memory. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
    hang: Arc<Hang>,
}

/// Whether the disk hangs.
#[derive(Debug, Default)]
struct Hang {
    hangs: Mutex<bool>,
    over: Condvar,
}

impl SimDisk {
    /// An empty directory whose writes are durable after a sync.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty directory whose writes are durable when they return, as direct writes are.
    #[must_use]
    pub fn direct() -> Self {
        let disk = Self::new();
        disk.state.lock().direct = true;
        disk
    }

    pub(super) fn from_image(image: Image) -> Self {
        let next_file = image.files.keys().next_back().map_or(0, |last| last + 1);
        Self { state: Arc::new(Mutex::new(State { image, next_file, ..State::default() })), hang: Arc::default() }
    }

    /// A directory with the same files and none of the faults; the lock is free.
    #[must_use]
    pub fn copy(&self) -> Self {
        Self::from_image(self.state.lock().image.clone())
    }

    /// Begins to record.
    pub fn record(&self) {
        let mut state = self.state.lock();
        state.recording = Some(SimTrace::from(state.image.clone()));
    }

    /// Steps recorded so far.
    #[must_use]
    pub fn recorded(&self) -> usize {
        self.state.lock().recording.as_ref().map_or(0, |trace| trace.ops().len())
    }

    /// Ends recording.
    #[must_use]
    pub fn trace(&self) -> SimTrace {
        self.state.lock().recording.take().unwrap_or_else(|| SimTrace::from(Image::default()))
    }

    /// Begins to remember what is not synced, for [`SimDisk::crash`]. What is there now counts as durable.
    pub fn track(&self) {
        let mut state = self.state.lock();
        state.tracking = Some(Unsynced::of(state.image.clone()));
    }

    /// The directory as a loss of power at this moment could leave it: what was synced, and of the rest any sectors, in
    /// any order. A disk of its own, which is tracked as this one is, with the same bounds and none of the faults; the
    /// lock is free. What still writes to this one does so for nothing. Without [`SimDisk::track`] nothing is lost, as
    /// when the process is killed and the machine stays up.
    #[must_use]
    pub fn crash(&self, chance: &dyn Chance) -> Self {
        let state = self.state.lock();
        let image = state.tracking.as_ref().map_or_else(|| state.image.clone(), |unsynced| unsynced.sample(chance));
        let crashed = Self::from_image(image);
        {
            let mut new = crashed.state.lock();
            (new.direct, new.capacity_bytes) = (state.direct, state.capacity_bytes);
        }
        if state.tracking.is_some() {
            crashed.track();
        }
        crashed
    }

    /// From now on files together may have this many bytes; `None`: any number.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.state.lock().capacity_bytes = bytes;
    }

    /// From now on no write finds space, also where a file has bytes already: so it is where files are copied on write.
    pub fn set_out_of_space(&self, out: bool) {
        self.state.lock().no_space = out;
    }

    /// Bytes of all files.
    #[must_use]
    pub fn used_bytes(&self) -> u64 {
        self.state.lock().used_bytes()
    }

    /// From now on nothing can be written.
    pub fn set_read_only(&self, read_only: bool) {
        self.state.lock().read_only = read_only;
    }

    /// From now on no file can be opened for writing, because the process has too many open ones.
    pub fn set_out_of_descriptors(&self, out: bool) {
        self.state.lock().no_descriptors = out;
    }

    /// From now on writes wait until this is taken back, as on a disk that does not answer. For logs with threads of
    /// their own: whoever takes the turns of another would wait in them.
    pub fn set_hung(&self, hung: bool) {
        *self.hang.hangs.lock() = hung;
        self.hang.over.notify_all();
    }

    fn wait_while_hung(&self) {
        let mut hangs = self.hang.hangs.lock();
        while *hangs {
            self.hang.over.wait(&mut hangs);
        }
    }

    /// After this many more writes every one fails.
    pub fn fail_writes_after(&self, writes: Option<u64>) {
        self.state.lock().writes_left = writes;
    }

    /// After this many more syncs every one fails.
    pub fn fail_syncs_after(&self, syncs: Option<u64>) {
        self.state.lock().syncs_left = syncs;
    }

    /// After this many more reads every one fails.
    pub fn fail_reads_after(&self, reads: Option<u64>) {
        self.state.lock().reads_left = reads;
    }

    /// Flips one bit of a file; panics when there is no such bit, which is a mistake of the test.
    pub fn flip_bit(&self, name: &str, bit: usize) {
        let mut state = self.state.lock();
        let file = state.image.names[name];
        let bytes = Arc::make_mut(state.image.files.get_mut(&file).expect("a named file has contents"));
        bytes[bit / 8] ^= 1 << (bit % 8);
    }

    /// The contents of a file; `None` when there is none.
    #[must_use]
    pub fn contents(&self, name: &str) -> Option<Vec<u8>> {
        let state = self.state.lock();
        state.image.names.get(name).and_then(|file| state.image.files.get(file)).map(|bytes| bytes.to_vec())
    }

    /// Puts a file there, in place of what had the name.
    pub fn put(&self, name: &str, contents: Vec<u8>) {
        let mut state = self.state.lock();
        let file = state.next_file;
        state.next_file += 1;
        state.image.names.insert(name.to_owned(), file);
        state.image.files.insert(file, Arc::new(contents));
    }

    /// Names of all files.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.state.lock().image.names.keys().cloned().collect()
    }

    fn file(&self, id: u64, writable: bool) -> Arc<dyn DiskFile> {
        let direct = self.state.lock().direct;
        Arc::new(SimFile { disk: self.clone(), id, writable, direct })
    }
}

#[derive(Debug)]
struct SimLock(SimDisk);

impl DirectoryLock for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        self.0.state.lock().locked = false;
    }
}

impl Disk for SimDisk {
    fn lock(&self) -> io::Result<Box<dyn DirectoryLock>> {
        let mut state = self.state.lock();
        if state.read_only {
            return Err(io::ErrorKind::ReadOnlyFilesystem.into());
        }
        if std::mem::replace(&mut state.locked, true) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(Box::new(SimLock(self.clone())))
    }

    fn list(&self) -> io::Result<Vec<FileInfo>> {
        let state = self.state.lock();
        let size = |file: &u64| state.image.files.get(file).map_or(0, |bytes| bytes.len() as u64);
        let files = state.image.names.iter();
        Ok(files.map(|(name, file)| FileInfo { name: name.clone(), size_bytes: size(file) }).collect())
    }

    fn create(&self, name: &str, _direct: DirectIo) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.state.lock();
        if state.no_descriptors {
            return Err(rustix::io::Errno::MFILE.into());
        }
        if state.read_only {
            return Err(io::ErrorKind::ReadOnlyFilesystem.into());
        }
        if state.image.names.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let file = state.next_file;
        state.next_file += 1;
        state.name_op(NameOp::Create { name: name.to_owned(), file });
        drop(state);
        Ok(self.file(file, true))
    }

    fn open(&self, name: &str, _direct: DirectIo) -> io::Result<Arc<dyn DiskFile>> {
        let state = self.state.lock();
        if state.no_descriptors {
            return Err(rustix::io::Errno::MFILE.into());
        }
        if state.read_only {
            return Err(io::ErrorKind::ReadOnlyFilesystem.into());
        }
        let file = *state.image.names.get(name).ok_or(io::ErrorKind::NotFound)?;
        drop(state);
        Ok(self.file(file, true))
    }

    fn open_read_only(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let file = *self.state.lock().image.names.get(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(self.file(file, false))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.state.lock();
        if !state.image.names.contains_key(from) {
            return Err(io::ErrorKind::NotFound.into());
        }
        state.name_op(NameOp::Rename { from: from.to_owned(), to: to.to_owned() });
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.state.lock();
        if !state.image.names.contains_key(name) {
            return Err(io::ErrorKind::NotFound.into());
        }
        state.name_op(NameOp::Remove { name: name.to_owned() });
        Ok(())
    }

    fn sync_dir(&self) -> io::Result<()> {
        let mut state = self.state.lock();
        count_down(&mut state.syncs_left)?;
        state.record(Step::SyncDir);
        Ok(())
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let state = self.state.lock();
        Ok(state.capacity_bytes.map_or(u64::MAX / 2, |capacity| capacity.saturating_sub(state.used_bytes())))
    }

    fn describe(&self, name: &str) -> String {
        name.to_owned()
    }
}

#[derive(Debug)]
struct SimFile {
    disk: SimDisk,
    id: u64,
    writable: bool,
    direct: bool,
}

impl DiskFile for SimFile {
    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        self.disk.wait_while_hung();
        let at = usize::try_from(at).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let aligned = [at, bytes.len(), bytes.as_ptr().addr()].iter().all(|value| value.is_multiple_of(4096));
        if self.direct && !aligned {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let mut state = self.disk.state.lock();
        if !self.writable || state.read_only {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        count_down(&mut state.writes_left)?;
        let length = state.image.files.get(&self.id).map_or(0, |bytes| bytes.len());
        let growth = (at + bytes.len()).saturating_sub(length) as u64;
        if state.no_space {
            return Err(io::ErrorKind::StorageFull.into());
        }
        if growth > 0 && state.capacity_bytes.is_some_and(|capacity| state.used_bytes() + growth > capacity) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        state.image.write(self.id, at, bytes);
        if state.is_watched() {
            state.record(Step::Data(DataOp::Write { file: self.id, at, data: bytes.into() }));
        }
        if self.direct { state.sync(self.id) } else { Ok(()) }
    }

    fn sync_data(&self) -> io::Result<()> {
        if self.direct { Ok(()) } else { self.disk.state.lock().sync(self.id) }
    }

    fn sync_all(&self) -> io::Result<()> {
        self.disk.state.lock().sync(self.id)
    }

    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        let mut state = self.disk.state.lock();
        count_down(&mut state.reads_left)?;
        let Some(bytes) = state.image.files.get(&self.id) else { return Ok(0) };
        let from = usize::try_from(at).unwrap_or(usize::MAX).min(bytes.len());
        let read = buffer.len().min(bytes.len() - from);
        buffer[..read].copy_from_slice(&bytes[from..from + read]);
        Ok(read)
    }

    fn read_past_cache_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        self.read_at(buffer, at)
    }

    fn size_bytes(&self) -> io::Result<u64> {
        Ok(self.disk.state.lock().image.files.get(&self.id).map_or(0, |bytes| bytes.len() as u64))
    }

    fn set_len(&self, size_bytes: u64) -> io::Result<()> {
        let len = usize::try_from(size_bytes).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let mut state = self.disk.state.lock();
        if !self.writable || state.read_only {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        let op = DataOp::SetLen { file: self.id, len };
        state.image.apply_data(&op);
        state.record(Step::Data(op));
        Ok(())
    }

    fn is_direct(&self) -> bool {
        self.direct
    }
}
