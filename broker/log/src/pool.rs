//! Prepared segments, and who prepares them so that the flusher never waits for a file to be made.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};

use parking_lot::{Condvar, Mutex};
use pelton_env::Chance;

use crate::aligned::AlignedBuffer;
use crate::core::usable_bytes;
use crate::disk::{Disk, DiskFile};
use crate::driver::Step;
use crate::options::Options;
use crate::segment::{BLOCK_BYTES, SegmentHeader, segment_name, temporary_name};

/// Zeros are written this many at a time.
const ZERO_BYTES: usize = 1 << 20;

/// A segment without records.
#[derive(Debug, Clone)]
pub(crate) struct Spare {
    pub number: u64,
    pub use_id: u64,
    pub size_bytes: u64,
    pub file: Arc<dyn DiskFile>,
}

/// A segment that nothing needs any more.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Freed {
    pub number: u64,
    pub size_bytes: u64,
}

/// What there was no space for. Each is over when the same succeeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoSpace {
    /// Preparing the next segment.
    Segment = 1,
    /// Writing into one that is prepared: a file system that copies on write, or one that cheats.
    Write = 2,
}

#[derive(Debug, Default)]
struct State {
    spares: VecDeque<Spare>,
    freed: Vec<Freed>,
    /// How often segments were handed over.
    hand_overs: u64,
    next_number: u64,
    stopping: bool,
    failed: bool,
}

/// Prepared segments.
#[derive(Debug)]
pub(crate) struct Pool {
    state: Mutex<State>,
    /// For the preparer: there is something to do.
    wanted: Condvar,
    /// For the flusher: there is a spare, or there will be none.
    ready: Condvar,
    /// Who found no space; a bit of [`NoSpace`] each.
    full: AtomicU8,
    spare_count: AtomicUsize,
    spare_bytes: AtomicU64,
    spare_usable_bytes: AtomicU64,
    freed_bytes: AtomicU64,
}

impl Pool {
    pub(crate) fn new(spares: VecDeque<Spare>, freed: Vec<Freed>, next_number: u64) -> Self {
        let pool = Self {
            state: Mutex::new(State { spares, freed, next_number, ..State::default() }),
            wanted: Condvar::new(),
            ready: Condvar::new(),
            full: AtomicU8::new(0),
            spare_count: AtomicUsize::new(0),
            spare_bytes: AtomicU64::new(0),
            spare_usable_bytes: AtomicU64::new(0),
            freed_bytes: AtomicU64::new(0),
        };
        pool.publish(&pool.state.lock());
        pool
    }

    fn publish(&self, state: &State) {
        self.spare_count.store(state.spares.len(), Ordering::Release);
        self.spare_bytes.store(state.spares.iter().map(|spare| spare.size_bytes).sum(), Ordering::Release);
        let usable = state.spares.iter().map(|spare| usable_bytes(spare.size_bytes)).sum();
        self.spare_usable_bytes.store(usable, Ordering::Release);
        self.freed_bytes.store(state.freed.iter().map(|freed| freed.size_bytes).sum(), Ordering::Release);
    }

    /// The last try to prepare a segment, or to write into one, found no space.
    pub(crate) fn is_full(&self) -> bool {
        self.full.load(Ordering::Acquire) != 0
    }

    /// `true` when there being space has changed by it.
    pub(crate) fn set_full(&self, what: NoSpace, full: bool) -> bool {
        let bit = what as u8;
        let before =
            if full { self.full.fetch_or(bit, Ordering::AcqRel) } else { self.full.fetch_and(!bit, Ordering::AcqRel) };
        let after = if full { before | bit } else { before & !bit };
        (before != 0) != (after != 0)
    }

    /// Prepared segments: how many, their bytes, and the bytes of records they can hold.
    pub(crate) fn spares(&self) -> (usize, u64, u64) {
        (
            self.spare_count.load(Ordering::Acquire),
            self.spare_bytes.load(Ordering::Acquire),
            self.spare_usable_bytes.load(Ordering::Acquire),
        )
    }

    /// Bytes of segments that wait to be removed or used again.
    pub(crate) fn freed_bytes(&self) -> u64 {
        self.freed_bytes.load(Ordering::Acquire)
    }

    /// The next segment to write; `None` when it is not prepared yet.
    ///
    /// # Errors
    /// `StorageFull` when the log shuts down while space is short; anything else when preparing failed.
    pub(crate) fn take(&self) -> io::Result<Option<Spare>> {
        let mut state = self.state.lock();
        if let Some(spare) = state.spares.pop_front() {
            self.publish(&state);
            self.wanted.notify_one();
            return Ok(Some(spare));
        }
        if state.failed {
            return Err(io::Error::other("no segment could be prepared"));
        }
        if state.stopping && self.is_full() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(None)
    }

    /// Waits until [`Pool::take`] has an answer.
    pub(crate) fn wait_for_spare(&self) {
        let mut state = self.state.lock();
        while state.spares.is_empty() && !state.failed && !(state.stopping && self.is_full()) {
            self.ready.wait(&mut state);
        }
    }

    /// The log shuts down: what finds no space is not tried again.
    pub(crate) fn is_stopping(&self) -> bool {
        self.state.lock().stopping
    }

    /// Waits a moment for space.
    pub(crate) fn wait_for_space(&self, options: &Options) {
        let mut state = self.state.lock();
        if !state.stopping {
            let _ = self.ready.wait_for(&mut state, options.full_retry);
        }
    }

    /// Hands over segments that nothing needs any more.
    pub(crate) fn free(&self, freed: impl IntoIterator<Item = Freed>) {
        let mut state = self.state.lock();
        state.freed.extend(freed);
        state.hand_overs += 1;
        self.publish(&state);
        self.wanted.notify_one();
    }

    /// No spare will be prepared any more once the flusher has its last one.
    pub(crate) fn stopping(&self) {
        self.state.lock().stopping = true;
        self.ready.notify_all();
    }

    /// Ends the preparer.
    pub(crate) fn end(&self) {
        let mut state = self.state.lock();
        state.stopping = true;
        state.failed = true;
        self.wanted.notify_all();
        self.ready.notify_all();
    }
}

/// What the preparer does next.
enum Work {
    Remove(Freed),
    Prepare { number: u64, recycled: Option<Freed> },
}

/// Who prepares. Like the flusher it never waits.
pub(crate) struct Preparer {
    disk: Arc<dyn Disk>,
    chance: Arc<dyn Chance>,
    options: Options,
    pool: Arc<Pool>,
    /// Hand-overs that had been made when space was last short.
    seen: u64,
}

impl Preparer {
    pub(crate) fn new(disk: Arc<dyn Disk>, chance: Arc<dyn Chance>, options: Options, pool: Arc<Pool>) -> Self {
        Self { disk, chance, options, pool, seen: 0 }
    }

    /// Prepares or removes one segment.
    ///
    /// # Errors
    /// What the disk says, when it is neither short of space nor of descriptors: the log cannot go on.
    pub(crate) fn step(&mut self) -> io::Result<Step> {
        let work = {
            let mut state = self.pool.state.lock();
            if state.failed {
                return Ok(Step::Ended);
            }
            self.next(&mut state)
        };
        let (number, recycled) = match work {
            None => return Ok(Step::Idle),
            Some(Work::Remove(freed)) => {
                remove(&*self.disk, &segment_name(freed.number))?;
                return Ok(Step::Worked);
            }
            Some(Work::Prepare { number, recycled }) => (number, recycled),
        };
        match prepare(&*self.disk, &*self.chance, &self.options, number, recycled) {
            Ok(spare) => {
                self.hand_over(spare);
                Ok(Step::Worked)
            }
            Err(error) if error.kind() == io::ErrorKind::StorageFull => self.out_of_space(number, recycled),
            Err(error) if is_short_of_descriptors(&error) => Ok(self.out_of_descriptors(number, recycled)),
            Err(error) => Err(error),
        }
    }

    /// Waits until there may be something to do.
    pub(crate) fn wait_for_work(&self) {
        let mut state = self.pool.state.lock();
        while !state.failed && state.spares.len() >= self.options.spare_segments && state.freed.is_empty() {
            self.pool.wanted.wait(&mut state);
        }
    }

    /// Waits a moment for space, or for a segment that can be used again.
    pub(crate) fn wait_for_space(&self) {
        let mut state = self.pool.state.lock();
        if !state.failed && state.hand_overs == self.seen {
            let _ = self.pool.wanted.wait_for(&mut state, self.options.full_retry);
        }
    }

    fn next(&self, state: &mut State) -> Option<Work> {
        if state.spares.len() < self.options.spare_segments {
            let number = state.next_number;
            let size_bytes = self.options.segment_size(number);
            let fit = state.freed.iter().position(|freed| freed.size_bytes == size_bytes);
            let recycled = fit.map(|fit| state.freed.swap_remove(fit));
            if recycled.is_none()
                && let Some(freed) = state.freed.pop()
            {
                // Gives its space back before a new file asks for some.
                return Some(Work::Remove(freed));
            }
            state.next_number += 1;
            return Some(Work::Prepare { number, recycled });
        }
        let freed = state.freed.pop()?;
        self.pool.publish(state);
        Some(Work::Remove(freed))
    }

    fn hand_over(&self, spare: Spare) {
        if self.pool.set_full(NoSpace::Segment, false) {
            self.options.observer.storage_full(false);
        }
        let mut state = self.pool.state.lock();
        state.spares.push_back(spare);
        self.pool.publish(&state);
        self.pool.ready.notify_all();
    }

    fn out_of_space(&mut self, number: u64, recycled: Option<Freed>) -> io::Result<Step> {
        remove(&*self.disk, &temporary_name(number))?;
        // Once it was renamed it is no longer there to be used again, and the next try takes the place of its file.
        let names = self.disk.list()?;
        let recycled = recycled.filter(|freed| names.iter().any(|file| file.name == segment_name(freed.number)));
        if self.pool.set_full(NoSpace::Segment, true) {
            tracing::warn!("no space to prepare the next log segment; new events are refused until there is");
            self.options.observer.storage_full(true);
        }
        let mut state = self.pool.state.lock();
        state.next_number = number;
        self.pool.ready.notify_all();
        // Where not even a segment that is there can be begun anew, the next will not do better at once.
        let is_worth_a_try = !state.freed.is_empty() && recycled.is_none();
        state.freed.extend(recycled);
        self.pool.publish(&state);
        self.seen = state.hand_overs;
        Ok(if is_worth_a_try { Step::Worked } else { Step::NoSpace })
    }

    /// Opening is the first thing that preparing does, so nothing was changed: the same is tried again.
    fn out_of_descriptors(&mut self, number: u64, recycled: Option<Freed>) -> Step {
        tracing::warn!("no file descriptor is left to prepare the next log segment; tried again");
        let mut state = self.pool.state.lock();
        state.next_number = number;
        state.freed.extend(recycled);
        self.seen = state.hand_overs;
        Step::NoSpace
    }
}

/// Whether a file could not be opened because there are too many open ones. It says nothing about the disk: strangers
/// with many connections can bring it about, and must not be able to end the log.
fn is_short_of_descriptors(error: &io::Error) -> bool {
    use rustix::io::Errno;
    error.raw_os_error().is_some_and(|code| [Errno::MFILE, Errno::NFILE].map(Errno::raw_os_error).contains(&code))
}

fn remove(disk: &dyn Disk, name: &str) -> io::Result<()> {
    match disk.remove(name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

/// Makes segment `number`: written full once, with its header, durable, under its name.
pub(crate) fn prepare(
    disk: &dyn Disk,
    chance: &dyn Chance,
    options: &Options,
    number: u64,
    recycled: Option<Freed>,
) -> io::Result<Spare> {
    let size_bytes = options.segment_size(number);
    // The number makes it unlike every other use in this log, chance unlike those of copies of it.
    let use_id = number << 32 | chance.bits() >> 32;
    let (file, from) = match recycled {
        Some(freed) => {
            let name = segment_name(freed.number);
            (disk.open(&name, options.direct_io)?, name)
        }
        None => {
            let name = temporary_name(number);
            remove(disk, &name)?;
            let file = disk.create(&name, options.direct_io)?;
            fill_with_zeros(&*file, size_bytes)?;
            (file, name)
        }
    };
    let mut block = AlignedBuffer::new(BLOCK_BYTES);
    SegmentHeader { identity: options.identity, number, use_id, size_bytes }.encode(block.as_mut_slice());
    file.write_at(block.as_slice(), 0)?;
    file.sync_all()?;
    disk.rename(&from, &segment_name(number))?;
    #[cfg(feature = "bugs")]
    if pelton_env::bugs::Bug::NoDirectorySync.is_on() {
        return Ok(Spare { number, use_id, size_bytes, file });
    }
    disk.sync_dir()?;
    Ok(Spare { number, use_id, size_bytes, file })
}

fn fill_with_zeros(file: &dyn DiskFile, size_bytes: u64) -> io::Result<()> {
    let chunk = usize::try_from(size_bytes).map_or(ZERO_BYTES, |size| size.min(ZERO_BYTES));
    let zeros = AlignedBuffer::new(chunk);
    let mut at = 0;
    while at < size_bytes {
        let len = usize::try_from(size_bytes - at).map_or(chunk, |left| left.min(chunk));
        file.write_at(&zeros.as_slice()[..len], at)?;
        at += len as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use pelton_env::SeededChance;

    use super::*;
    use crate::disk::SimDisk;
    use crate::types::Identity;

    /// A segment that was to be used again stays one, when there is no space even for its header.
    #[test]
    fn a_segment_is_used_again_after_there_was_no_space_for_its_header() {
        let disk = SimDisk::new();
        let chance = SeededChance::new(1);
        let options = Options { spare_segments: 1, ..Options::small(Identity { cluster: 1, node: 1 }) };
        let size_bytes = prepare(&disk, &chance, &options, 1, None).unwrap().size_bytes;
        let pool = Arc::new(Pool::new(VecDeque::new(), vec![Freed { number: 1, size_bytes }], 2));
        let shared: Arc<dyn Disk> = Arc::new(disk.clone());
        let mut preparer = Preparer::new(shared, Arc::new(chance), options, Arc::clone(&pool));
        disk.set_out_of_space(true);
        assert_eq!(preparer.step().unwrap(), Step::NoSpace);
        assert!(pool.is_full());
        disk.set_out_of_space(false);
        assert_eq!(preparer.step().unwrap(), Step::Worked);
        assert_eq!(preparer.step().unwrap(), Step::Idle);
        assert_eq!(disk.names(), [segment_name(2)], "the freed one became the next");
        assert_eq!((pool.freed_bytes(), pool.is_full()), (0, false));
    }
}
