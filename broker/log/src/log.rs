//! The log as callers see it.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::{Condvar, Mutex};
use pelton_env::{Chance, Clock, UnixMillis};

use crate::cache::SegmentCache;
use crate::core::{Core, Prepared, usable_bytes};
use crate::disk::{DirectoryLock, Disk};
use crate::driver::{Driver, Stepper, WorkHook};
use crate::error::{OpenError, ReadError};
use crate::flusher::Flusher;
use crate::group::Checkpoint;
use crate::index::Purge;
use crate::options::{Flush, Options};
use crate::pool::{Pool, Preparer};
use crate::recovery::recover;
use crate::types::{
    Completion, Entry, EntryMeta, GroupId, GroupView, LogId, LogIndex, Offset, Report, Room, Size, Term,
};

/// Sums since the log was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Flushes, each with one sync.
    pub flushes: u64,
    /// Records written.
    pub records: u64,
    /// Bytes written, padding included.
    pub bytes: u64,
    /// Time spent in writes and syncs.
    pub flush_time: Duration,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    flushes: AtomicU64,
    records: AtomicU64,
    bytes: AtomicU64,
    nanoseconds: AtomicU64,
}

impl Counters {
    pub(crate) fn flushed(&self, flush: &Flush) {
        self.flushes.fetch_add(1, Ordering::Relaxed);
        self.records.fetch_add(u64::from(flush.records), Ordering::Relaxed);
        self.bytes.fetch_add(flush.bytes, Ordering::Relaxed);
        let nanoseconds = u64::try_from(flush.took.as_nanos()).unwrap_or(u64::MAX);
        self.nanoseconds.fetch_add(nanoseconds, Ordering::Relaxed);
    }
}

/// What all parts of an open log share.
pub(crate) struct Inner {
    pub core: Mutex<Core>,
    /// For the flusher's thread: something waits.
    pub work: Condvar,
    /// For the caller who drives: something waits.
    on_work: Option<WorkHook>,
    pub pool: Arc<Pool>,
    pub cache: SegmentCache,
    pub disk: Arc<dyn Disk>,
    pub clock: Arc<dyn Clock>,
    pub options: Options,
    pub counters: Counters,
    pub scrub: Mutex<crate::scrub::Cursor>,
    lock: Mutex<Option<Box<dyn DirectoryLock>>>,
}

impl Inner {
    /// Ends all writing because of `error`; the first error is the one that stays.
    pub(crate) fn poison(&self, error: io::Error) -> Arc<io::Error> {
        let mut core = self.core.lock();
        if let Some(first) = &core.failed {
            return Arc::clone(first);
        }
        let error = Arc::new(error);
        core.failed = Some(Arc::clone(&error));
        let stopping = core.stopping;
        drop(core);
        tracing::error!(error = %error, "the log cannot be written any more; nothing is retried");
        if !stopping && let Some(hook) = &self.options.on_fatal {
            hook(&error);
        }
        self.pool.end();
        self.wake();
        error
    }

    /// Something is due for whoever drives.
    pub(crate) fn wake(&self) {
        self.work.notify_one();
        if let Some(hook) = &self.on_work {
            hook();
        }
    }

    /// Gives the directory back.
    pub(crate) fn unlock(&self) {
        self.lock.lock().take();
    }

    /// As [`Inner::poison`], and tells those who wait for the flusher.
    pub(crate) fn abandon(&self, error: io::Error) -> Arc<io::Error> {
        let error = self.poison(error);
        let queue = std::mem::take(&mut self.core.lock().queue);
        for (_, done) in queue.completions {
            done(Err(Arc::clone(&error)));
        }
        error
    }

    /// Bytes of ordinary records, none above `largest`, that prepared space can still take.
    fn ordinary_room(&self, core: &Core, largest: u64) -> u64 {
        let (spares, _, spare_bytes) = self.pool.spares();
        if spares == 0 && self.pool.is_full() {
            // The reserve is the segment that is being written.
            return 0;
        }
        let prepared = Prepared { spares, spare_bytes };
        // One spare is the reserve, also while more may come: the disk may turn out to be full.
        let reserve = spare_bytes.checked_div(spares as u64).unwrap_or(0);
        core.room(prepared, largest)
            .min((core.active.room(0) + spare_bytes - reserve).saturating_sub(core.queued_bytes))
    }

    /// What there is to write to, when no more can be had.
    fn only(&self) -> Option<Prepared> {
        let (spares, _, spare_bytes) = self.pool.spares();
        self.pool.is_full().then_some(Prepared { spares, spare_bytes })
    }

    /// Hands a refused operation back, or wakes the flusher for an accepted one.
    fn finish(&self, outcome: Result<(), (io::Error, Completion)>) {
        match outcome {
            Ok(()) => self.wake(),
            Err((error, done)) => done(Err(Arc::new(error))),
        }
    }
}

/// One shared log of many groups in one directory. Clones share it.
///
/// What is appended can be read at once; it is durable when its completion says so. Operations of one group must come
/// from one place at a time, as a Raft core gives them; groups are independent of each other.
#[derive(Clone)]
pub struct Log {
    inner: Arc<Inner>,
    driver: Arc<Driver>,
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log").field("disk", &self.inner.disk).finish_non_exhaustive()
    }
}

impl Log {
    /// Opens the log in `disk`, or makes one when the directory holds none.
    ///
    /// Reads the footers of sealed segments and the records of the last one: the time does not grow with the log.
    ///
    /// # Errors
    /// See [`OpenError`]; what is on disk is then unchanged.
    pub fn open(
        disk: Arc<dyn Disk>,
        clock: Arc<dyn Clock>,
        chance: Arc<dyn Chance>,
        options: Options,
    ) -> Result<(Self, Report), OpenError> {
        let (inner, flusher, preparer, report) = assemble(disk, clock, chance, options, None)?;
        let driver = Driver::threads(Arc::clone(&inner), flusher, preparer)?;
        Ok((Self { inner, driver: Arc::new(driver) }, report))
    }

    /// As [`Log::open`], without threads: nothing is written but by the turns of the [`Stepper`]. `on_work` is called
    /// when one is due, for the first time here.
    ///
    /// # Errors
    /// See [`OpenError`]; what is on disk is then unchanged.
    pub fn open_stepped(
        disk: Arc<dyn Disk>,
        clock: Arc<dyn Clock>,
        chance: Arc<dyn Chance>,
        options: Options,
        on_work: WorkHook,
    ) -> Result<(Self, Stepper, Report), OpenError> {
        let (inner, flusher, preparer, report) = assemble(disk, clock, chance, options, Some(on_work))?;
        let (driver, stepper) = Driver::steps(Arc::clone(&inner), flusher, preparer);
        inner.wake();
        Ok((Self { inner, driver: Arc::new(driver) }, stepper, report))
    }

    /// Appends entries, all or none. They can be read when this returns; `done` is called when they are durable, in
    /// order of submission over all groups.
    ///
    /// The first entry must follow the last one of its group (any index will do in a group that never held one).
    /// `done` gets a [`crate::Refused`] inside its error when nothing was accepted.
    pub fn append(&self, group: GroupId, entries: Vec<Entry>, done: Completion) {
        let inner = &*self.inner;
        let now = inner.clock.now();
        let mut core = inner.core.lock();
        let prepared = inner.only();
        let outcome = core.append(group, entries, now, prepared, &inner.options, done);
        drop(core);
        inner.finish(outcome);
    }

    /// Saves the vote of a group, in order with its appends.
    pub fn save_vote(&self, group: GroupId, vote: Bytes, done: Completion) {
        let inner = &*self.inner;
        let now = inner.clock.now();
        let mut core = inner.core.lock();
        let prepared = inner.only();
        let outcome = core.save_vote(group, vote, now, prepared, &inner.options, done);
        drop(core);
        inner.finish(outcome);
    }

    /// Remembers the commit index of a group. It rides in later records; by itself it writes nothing.
    pub fn save_committed(&self, group: GroupId, index: LogIndex) {
        let mut core = self.inner.core.lock();
        let committed = &mut core.groups.entry(group).or_default().committed;
        *committed = (*committed).max(Some(index.0));
    }

    /// Drops the entries after `index`; every entry of the group when `index` is `None`.
    pub fn truncate_after(&self, group: GroupId, index: impl Into<Option<LogIndex>>, done: Completion) {
        let inner = &*self.inner;
        let index = index.into();
        let kept = match index.map(|index| inner.entry_meta(group, index)) {
            None | Some(Err(ReadError::Purged { .. })) => None,
            Some(Ok(kept)) => kept,
            Some(Err(error)) => return done(Err(Arc::new(io::Error::other(error)))),
        };
        let now = inner.clock.now();
        let mut core = inner.core.lock();
        let keep_below = index.map_or(0, |index| index.0 + 1);
        let outcome = core.truncate(group, keep_below, kept, now, &inner.options, done);
        drop(core);
        inner.finish(outcome);
    }

    /// Drops the entries up to and including `upto`, which need not be held: a snapshot may have brought the group
    /// past its last entry ([`Log::reset`] also says where its offsets go on then).
    pub fn purge(&self, group: GroupId, upto: LogId, done: Completion) {
        self.purge_to(group, upto, None, done);
    }

    /// A snapshot takes the place of everything up to and including `upto`: as [`Log::purge`], and the next event of
    /// the group gets `next_offset` when no entry after `upto` is held. Where one is, or where `upto` itself is held
    /// and not damaged, the log knows better, and `next_offset` is not looked at.
    pub fn reset(&self, group: GroupId, upto: LogId, next_offset: Offset, done: Completion) {
        self.purge_to(group, upto, Some(next_offset), done);
    }

    fn purge_to(&self, group: GroupId, upto: LogId, next_offset: Option<Offset>, done: Completion) {
        let inner = &*self.inner;
        let meta = match inner.entry_meta(group, upto.2) {
            Err(ReadError::Purged { .. }) | Ok(None) => None,
            // What is known of a damaged entry may not be right.
            _ if next_offset.is_some() && inner.is_faulty(group, upto.2) => None,
            Ok(meta) => meta,
            Err(error) => return done(Err(Arc::new(io::Error::other(error)))),
        };
        let now = inner.clock.now();
        let mut core = inner.core.lock();
        let state = core.groups.entry(group).or_default();
        if state.purge.is_some_and(|old| old.upto.2 >= upto.2) {
            let outcome = core.nothing_to_do(done);
            drop(core);
            return inner.finish(outcome);
        }
        let next_offset = match (meta, next_offset) {
            (Some(meta), _) => meta.first_offset.0 + u64::from(meta.event_count),
            (None, Some(next_offset)) => next_offset.0,
            (None, None) => state.next_offset,
        };
        let outcome = core.purge(group, Purge { upto, next_offset }, now, &inner.options, done);
        drop(core);
        inner.finish(outcome);
    }

    /// Drops everything of a group: entries, vote, checkpoint, purge mark. Once `done` says so it is as if the group had
    /// never been here, and it holds no segment; it may begin anew at any index. Nothing is done where nothing is.
    pub fn forget(&self, group: GroupId, done: Completion) {
        let inner = &*self.inner;
        let now = inner.clock.now();
        let mut core = inner.core.lock();
        let outcome = core.forget(group, now, &inner.options, done);
        drop(core);
        inner.finish(outcome);
    }

    /// Saves the state of a group as of `index`. The latest one is kept whatever is purged.
    pub fn save_checkpoint(&self, group: GroupId, index: LogIndex, term: Term, state: Bytes, done: Completion) {
        let inner = &*self.inner;
        let now = inner.clock.now();
        let checkpoint = Checkpoint { index: index.0, term: term.0, state };
        let mut core = inner.core.lock();
        let prepared = inner.only();
        let outcome = core.save_checkpoint(group, checkpoint, now, prepared, &inner.options, done);
        drop(core);
        inner.finish(outcome);
    }

    /// Entries of a group that are part of the log and cannot be read, with [`crate::OnDamage::Keep`]: damage that
    /// opening found, that a read met, or that a scrub came across. Their indexes stay claimed; what is known of them is
    /// in [`Log::entry_meta`], and reading them is [`ReadError::Damaged`] until they are repaired.
    #[must_use]
    pub fn faulty(&self, group: GroupId) -> Vec<RangeInclusive<LogIndex>> {
        self.inner.faulty(group)
    }

    /// Whether an entry is one of those that [`Log::faulty`] gives.
    #[must_use]
    pub fn is_faulty(&self, group: GroupId, index: LogIndex) -> bool {
        self.inner.is_faulty(group, index)
    }

    /// Puts a sound copy of a faulty entry into the log; reads give it once `done` says that it is durable. Nothing is
    /// done when the entry is not faulty (any more).
    ///
    /// `done` gets [`crate::Refused::NotTheSame`] when the copy differs in what is known of the entry: its term, leader
    /// and index always, except where a hole swallowed them; its offsets, kind and length when its header or its place
    /// in a footer is left; the checksum of its body when its header or the record behind it is left.
    pub fn repair(&self, group: GroupId, entry: Entry, done: Completion) {
        let inner = &*self.inner;
        let now = inner.clock.now();
        let mut core = inner.core.lock();
        let prepared = inner.only();
        let outcome = core.repair(group, entry, now, prepared, &inner.options, done);
        drop(core);
        inner.finish(outcome);
    }

    /// Looks at about `max_bytes` more of the sealed segments, past the page cache, and checks every checksum. An entry
    /// that is rotten becomes faulty ([`crate::OnDamage::Keep`]; else the observer is told, and no more), a vote or
    /// checkpoint is written again from memory, a footer is kept in memory. Blocks on the disk; the caller says how often.
    ///
    /// # Errors
    /// [`ReadError::Io`]; the rest of that segment is passed over in this round.
    pub fn scrub(&self, max_bytes: u64) -> Result<crate::Scrubbed, ReadError> {
        self.inner.scrub(max_bytes)
    }

    /// The state of a group, as submitted.
    #[must_use]
    pub fn group(&self, group: GroupId) -> GroupView {
        self.inner.core.lock().groups.get(&group).map(|state| state.view()).unwrap_or_default()
    }

    /// Every group that was ever written to.
    #[must_use]
    pub fn groups(&self) -> Vec<GroupId> {
        self.inner.core.lock().groups.keys().copied().collect()
    }

    /// Entries from `from` up to, not including, `to_exclusive`: at least one when there is one, else not above
    /// `max_bytes` of bodies. Empty at the end of the log. Blocks on the disk when they are not in memory.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn read(
        &self,
        group: GroupId,
        from: LogIndex,
        to_exclusive: LogIndex,
        max_bytes: u64,
    ) -> Result<Vec<Entry>, ReadError> {
        self.inner.read(group, from, to_exclusive, max_bytes)
    }

    /// Entries from the one that holds the event at `offset` on, as [`Log::read`].
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn read_from_offset(&self, group: GroupId, offset: Offset, max_bytes: u64) -> Result<Vec<Entry>, ReadError> {
        match self.inner.index_of_offset(group, offset)? {
            Some(index) => self.inner.read(group, index, LogIndex(u64::MAX), max_bytes),
            None => Ok(Vec::new()),
        }
    }

    /// Whether reading from the event at `offset` on begins in memory, and so does not wait for the disk.
    #[must_use]
    pub fn is_cached(&self, group: GroupId, offset: Offset) -> bool {
        let core = self.inner.core.lock();
        let oldest = core.groups.get(&group).and_then(|state| state.tail.front());
        oldest.is_some_and(|oldest| oldest.entry.first_offset <= offset)
    }

    /// The entry that holds the event at `offset`; `None` when that event is still to come.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn index_of_offset(&self, group: GroupId, offset: Offset) -> Result<Option<LogIndex>, ReadError> {
        self.inner.index_of_offset(group, offset)
    }

    /// What is known about an entry without reading it; `None` beyond the end. Of a faulty one that a hole swallowed no
    /// more than term, leader and index are right.
    ///
    /// # Errors
    /// [`ReadError::Purged`], [`ReadError::Damaged`] when not even these are known, and what the disk says.
    pub fn entry_meta(&self, group: GroupId, index: LogIndex) -> Result<Option<EntryMeta>, ReadError> {
        self.inner.entry_meta(group, index)
    }

    /// The offset that the next event of the group will get.
    #[must_use]
    pub fn next_offset(&self, group: GroupId) -> Offset {
        Offset(self.inner.core.lock().groups.get(&group).map_or(0, |state| state.next_offset))
    }

    /// The offset of the first event that this node appended at `time` or later; the next offset when there is none.
    ///
    /// # Errors
    /// What the disk says.
    pub fn offset_at_time(&self, group: GroupId, time: UnixMillis) -> Result<Offset, ReadError> {
        Ok(self.inner.first_since(group, time)?.map_or_else(|| self.next_offset(group), |meta| meta.first_offset))
    }

    /// The oldest entry of a group.
    ///
    /// # Errors
    /// What the disk says.
    pub fn oldest_entry(&self, group: GroupId) -> Result<Option<EntryMeta>, ReadError> {
        match self.group(group).first {
            Some(first) => self.inner.entry_meta(group, first),
            None => Ok(None),
        }
    }

    /// The groups whose entries hold the oldest segment, with the index that each would have to purge to let it go.
    #[must_use]
    pub fn holding_oldest(&self) -> Vec<(GroupId, LogIndex)> {
        let core = self.inner.core.lock();
        let oldest = core.oldest;
        let holds = |state: &crate::group::GroupState| {
            state.placed.runs.iter().take_while(|run| run.segment == oldest).last().map(|run| LogIndex(run.end - 1))
        };
        core.groups.iter().filter_map(|(group, state)| Some((*group, holds(state)?))).collect()
    }

    /// How much the log occupies.
    #[must_use]
    pub fn size(&self) -> Size {
        let core = self.inner.core.lock();
        let (spare_count, spare_bytes, _) = self.inner.pool.spares();
        let sealed_bytes: u64 = core.sealed.values().map(|sealed| sealed.size_bytes).sum();
        let record_bytes: u64 = core.sealed.values().map(|sealed| sealed.end).sum();
        Size {
            file_bytes: sealed_bytes + core.active.size_bytes + spare_bytes + self.inner.pool.freed_bytes(),
            record_bytes: record_bytes + core.active.index.end,
            segments: (core.sealed.len() + 1 + spare_count) as u64,
        }
    }

    /// Bytes that the file system still has to give.
    ///
    /// # Errors
    /// Those of the system.
    pub fn free_bytes(&self) -> io::Result<u64> {
        self.inner.disk.free_bytes()
    }

    /// Whether an ordinary append of `bytes` fits. Ask before proposing events; what keeps the node going (progress,
    /// votes, checkpoints) need not ask: a reserve is held for it.
    #[must_use]
    pub fn has_room(&self, bytes: u64) -> bool {
        let inner = &*self.inner;
        let core = inner.core.lock();
        let cost = bytes + 2 * crate::segment::BLOCK_BYTES as u64;
        core.failed.is_none()
            && core.queued_bytes + cost <= inner.options.max_queued_bytes / 2
            && inner.ordinary_room(&core, cost) >= cost
    }

    /// Whether something that keeps the node going and has `bytes` fits into what is held for that, with `left_bytes`
    /// to spare.
    #[must_use]
    pub fn has_reserve(&self, bytes: u64, left_bytes: u64) -> bool {
        let inner = &*self.inner;
        let core = inner.core.lock();
        let cost = bytes + 2 * crate::segment::BLOCK_BYTES as u64;
        let (spares, _, spare_bytes) = inner.pool.spares();
        core.failed.is_none()
            && core.queued_bytes + cost <= inner.options.max_queued_bytes
            && core.room(Prepared { spares, spare_bytes }, cost) >= cost + left_bytes
    }

    /// Whether the disk had no space for the last segment that was wanted.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.inner.pool.is_full()
    }

    /// Whether something was submitted that is not durable yet.
    #[must_use]
    pub fn is_writing(&self) -> bool {
        self.inner.core.lock().queued_bytes > 0
    }

    /// Most bytes in the body of one record.
    #[must_use]
    pub fn max_record_bytes(&self) -> u64 {
        self.inner.options.max_record_bytes
    }

    /// What became of the room for an ordinary append of `bytes`: there is some, there will be some once the next
    /// segment is prepared, or the disk is full.
    #[must_use]
    pub fn room(&self, bytes: u64) -> Room {
        // A log that failed has no room to wait for: the append itself brings its error.
        if self.has_room(bytes) || self.failure().is_some() {
            Room::Now
        } else if self.inner.pool.is_full() {
            Room::Full
        } else {
            Room::Soon
        }
    }

    /// Most bytes that the entries of one append can have in a segment that is still to be prepared.
    #[must_use]
    pub fn segment_capacity_bytes(&self) -> u64 {
        usable_bytes(self.inner.options.segment_size_bytes)
    }

    /// Why the log takes nothing any more, once that is so.
    #[must_use]
    pub fn failure(&self) -> Option<Arc<io::Error>> {
        self.inner.core.lock().failed.clone()
    }

    /// Sums since the log was opened.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let counters = &self.inner.counters;
        Stats {
            flushes: counters.flushes.load(Ordering::Relaxed),
            records: counters.records.load(Ordering::Relaxed),
            bytes: counters.bytes.load(Ordering::Relaxed),
            flush_time: Duration::from_nanos(counters.nanoseconds.load(Ordering::Relaxed)),
        }
    }

    /// Writes what waits, marks the end as durable and gives the directory back. Later operations are refused.
    pub fn shutdown(&self) {
        self.driver.stop();
    }

    /// Every group with its state, for tools.
    #[must_use]
    pub fn overview(&self) -> BTreeMap<GroupId, GroupView> {
        self.inner.core.lock().groups.iter().map(|(group, state)| (*group, state.view())).collect()
    }
}

/// The parts of a log, at rest.
fn assemble(
    disk: Arc<dyn Disk>,
    clock: Arc<dyn Clock>,
    chance: Arc<dyn Chance>,
    options: Options,
    on_work: Option<WorkHook>,
) -> Result<(Arc<Inner>, Flusher, Preparer, Report), OpenError> {
    options.check()?;
    let lock = disk.lock().map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => OpenError::Locked,
        io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => OpenError::ReadOnly(error),
        _ => OpenError::Io { action: "lock the data directory", source: error },
    })?;
    let recovered = recover(&disk, &*chance, &options)?;
    let pool = Arc::new(Pool::new(recovered.spares, recovered.freed, recovered.next_number));
    let (groups, forgotten) = (recovered.groups, recovered.forgotten);
    let core = Core::new(groups, forgotten, recovered.active, recovered.sealed, recovered.oldest);
    let inner = Arc::new(Inner {
        core: Mutex::new(core),
        work: Condvar::new(),
        on_work,
        pool: Arc::clone(&pool),
        cache: SegmentCache::new(Arc::clone(&disk), options.index_cache_segments),
        disk: Arc::clone(&disk),
        clock,
        options: options.clone(),
        counters: Counters::default(),
        scrub: Mutex::default(),
        lock: Mutex::new(Some(lock)),
    });
    let flusher = Flusher::new(Arc::clone(&inner));
    let preparer = Preparer::new(disk, chance, options, pool);
    Ok((inner, flusher, preparer, recovered.report))
}
