//! A directory in memory that can crash, tear, refuse and rot.
//!
//! Every write and sync is recorded. [`CrashPlan`] walks the record and gives, for any moment, directories as a power
//! loss could have left them: what was synced is there, of the rest any 512-byte sectors.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use parking_lot::Mutex;
use pelton_env::Chance;

use super::{DirectoryLock, Disk, DiskFile, FileInfo};
use crate::options::DirectIo;

/// What a disk writes whole or not at all.
const SECTOR: usize = 512;

/// The names and contents of a directory. Contents are shared until they are changed.
#[derive(Debug, Clone, Default)]
struct Image {
    names: BTreeMap<String, u64>,
    files: BTreeMap<u64, Arc<Vec<u8>>>,
}

impl Image {
    fn apply_name(&mut self, op: &NameOp) {
        match op {
            NameOp::Create { name, file } => {
                self.names.insert(name.clone(), *file);
                self.files.entry(*file).or_default();
            }
            NameOp::Rename { from, to } => {
                if let Some(file) = self.names.remove(from) {
                    self.names.insert(to.clone(), file);
                }
            }
            NameOp::Remove { name } => {
                self.names.remove(name);
            }
        }
    }

    fn write(&mut self, file: u64, at: usize, data: &[u8]) {
        let bytes = Arc::make_mut(self.files.entry(file).or_default());
        if bytes.len() < at + data.len() {
            bytes.resize(at + data.len(), 0);
        }
        bytes[at..at + data.len()].copy_from_slice(data);
    }

    fn apply_data(&mut self, op: &DataOp) {
        match op {
            DataOp::Write { file, at, data } => self.write(*file, *at, data),
            DataOp::SetLen { file, len } => Arc::make_mut(self.files.entry(*file).or_default()).resize(*len, 0),
        }
    }
}

#[derive(Debug, Clone)]
enum NameOp {
    Create { name: String, file: u64 },
    Rename { from: String, to: String },
    Remove { name: String },
}

#[derive(Debug, Clone)]
enum DataOp {
    Write { file: u64, at: usize, data: Arc<[u8]> },
    SetLen { file: u64, len: usize },
}

impl DataOp {
    fn file(&self) -> u64 {
        match self {
            Self::Write { file, .. } | Self::SetLen { file, .. } => *file,
        }
    }
}

#[derive(Debug, Clone)]
enum Step {
    Name(NameOp),
    Data(DataOp),
    Sync(u64),
    SyncDir,
}

/// One recorded step.
#[derive(Debug, Clone)]
pub struct TraceOp(Step);

impl TraceOp {
    /// Bytes written, when the step is a write.
    #[must_use]
    pub fn written_bytes(&self) -> Option<usize> {
        match &self.0 {
            Step::Data(DataOp::Write { data, .. }) => Some(data.len()),
            _ => None,
        }
    }

    /// Whether the step made something durable.
    #[must_use]
    pub fn is_sync(&self) -> bool {
        matches!(self.0, Step::Sync(_) | Step::SyncDir)
    }
}

/// What a directory went through since recording began.
#[derive(Debug, Clone)]
pub struct SimTrace {
    start: Image,
    ops: Vec<TraceOp>,
}

impl SimTrace {
    /// The steps.
    #[must_use]
    pub fn ops(&self) -> &[TraceOp] {
        &self.ops
    }

    /// The same, with a disk that does nothing when it is asked to sync after the first `steps`: to see that a test of
    /// crashes can fail.
    #[must_use]
    pub fn without_syncs_after(&self, steps: usize) -> Self {
        let kept = self.ops.iter().enumerate().filter(|(nth, op)| *nth < steps || !op.is_sync());
        Self { start: self.start.clone(), ops: kept.map(|(_, op)| op.clone()).collect() }
    }
}

/// Walks a trace and makes the directories that a crash could leave.
#[derive(Debug)]
pub struct CrashPlan<'a> {
    trace: &'a SimTrace,
    done: usize,
    durable: Image,
    names: Vec<NameOp>,
    data: Vec<DataOp>,
}

impl<'a> CrashPlan<'a> {
    /// At the start of `trace`.
    #[must_use]
    pub fn new(trace: &'a SimTrace) -> Self {
        Self { trace, done: 0, durable: trace.start.clone(), names: Vec::new(), data: Vec::new() }
    }

    /// Steps taken so far.
    #[must_use]
    pub fn position(&self) -> usize {
        self.done
    }

    /// Takes the next step; `false` at the end.
    pub fn advance(&mut self) -> bool {
        let Some(op) = self.trace.ops.get(self.done) else { return false };
        self.done += 1;
        match &op.0 {
            Step::Name(op) => self.names.push(op.clone()),
            Step::Data(op) => self.data.push(op.clone()),
            Step::Sync(synced) => {
                let (now, later) = std::mem::take(&mut self.data).into_iter().partition(|op| op.file() == *synced);
                self.data = later;
                let now: Vec<DataOp> = now;
                now.iter().for_each(|op| self.durable.apply_data(op));
            }
            Step::SyncDir => {
                for op in std::mem::take(&mut self.names) {
                    self.durable.apply_name(&op);
                }
            }
        }
        true
    }

    /// Sectors written and not synced.
    #[must_use]
    pub fn unsynced_sectors(&self) -> usize {
        let sectors = |op: &DataOp| match op {
            DataOp::Write { data, .. } => data.len().div_ceil(SECTOR),
            DataOp::SetLen { .. } => 0,
        };
        self.data.iter().map(sectors).sum()
    }

    /// A crash that leaves the first `sectors` of what is not synced.
    #[must_use]
    pub fn torn_after(&self, sectors: usize) -> SimDisk {
        let mut left = sectors;
        self.with(usize::MAX, &mut |_| {
            let kept = left > 0;
            left = left.saturating_sub(1);
            kept
        })
    }

    /// A crash that leaves any sectors of what is not synced, in any order, and the first few of the names.
    #[must_use]
    pub fn sample(&self, chance: &dyn Chance) -> SimDisk {
        let names = usize::try_from(chance.below(self.names.len() as u64 + 1)).unwrap_or(0);
        // Sometimes nearly nothing, sometimes nearly everything: both ends find more than the middle.
        let odds = [0, 1, 8, 32, 56, 63, 64][usize::try_from(chance.below(7)).unwrap_or(0)];
        self.with(names, &mut |_| chance.below(64) < odds)
    }

    fn with(&self, names: usize, keep: &mut dyn FnMut(usize) -> bool) -> SimDisk {
        let mut image = self.durable.clone();
        self.names.iter().take(names).for_each(|op| image.apply_name(op));
        for op in &self.data {
            match op {
                DataOp::Write { file, at, data } => {
                    for (nth, sector) in data.chunks(SECTOR).enumerate() {
                        if keep(nth) {
                            image.write(*file, at + nth * SECTOR, sector);
                        }
                    }
                }
                DataOp::SetLen { .. } => {
                    if keep(0) {
                        image.apply_data(op);
                    }
                }
            }
        }
        SimDisk::from_image(image)
    }
}

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
}

impl State {
    fn record(&mut self, step: Step) {
        if let Some(trace) = &mut self.recording {
            trace.ops.push(TraceOp(step));
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

    fn from_image(image: Image) -> Self {
        let next_file = image.files.keys().next_back().map_or(0, |last| last + 1);
        Self { state: Arc::new(Mutex::new(State { image, next_file, ..State::default() })) }
    }

    /// A directory with the same files and none of the faults; the lock is free.
    #[must_use]
    pub fn copy(&self) -> Self {
        Self::from_image(self.state.lock().image.clone())
    }

    /// Begins to record.
    pub fn record(&self) {
        let mut state = self.state.lock();
        state.recording = Some(SimTrace { start: state.image.clone(), ops: Vec::new() });
    }

    /// Steps recorded so far.
    #[must_use]
    pub fn recorded(&self) -> usize {
        self.state.lock().recording.as_ref().map_or(0, |trace| trace.ops.len())
    }

    /// Ends recording.
    #[must_use]
    pub fn trace(&self) -> SimTrace {
        let start = SimTrace { start: Image::default(), ops: Vec::new() };
        self.state.lock().recording.take().unwrap_or(start)
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
        if state.recording.is_some() {
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
