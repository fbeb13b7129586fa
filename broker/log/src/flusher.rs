//! The one who writes: it takes everything that waits, writes it in one piece, syncs once, and then tells everybody.
//!
//! It never waits. A step that cannot go on says what for, and the next step takes it up again; who drives it, a thread
//! or the caller, waits in its own way (see `driver`).

use std::io;
use std::sync::Arc;
use std::time::Instant;

use crate::aligned::{AlignedBuffer, align_up};
use crate::core::{Active, Queue, Sealed, worst_cost};
use crate::disk::DiskFile;
use crate::driver::Step;
use crate::log::Inner;
use crate::options::{Flush, Options};
use crate::pool::{Freed, NoSpace, Pool, Spare};
use crate::record::{Counts, FLUSH_FIRST, FLUSH_LAST, Header, Placing, Record};
use crate::segment::{BLOCK_BYTES, Trailer};

const BLOCK: u64 = BLOCK_BYTES as u64;

/// What the flusher is at. The records of it are in `Flusher::batch`, and it is taken up again where it stopped.
#[derive(Debug, Clone, Copy)]
enum Job {
    /// Write what was submitted.
    Write,
    /// Write again what lies only below this segment.
    Carry(u64),
    /// Say that segments below this one are no longer part of the log, and hand them over.
    Release(u64),
    /// Say that everything is durable.
    Mark,
    /// Say so for the last time.
    Stop,
}

/// Why a job could not go on.
enum Halt {
    /// The next segment is not prepared.
    NoSpare,
    /// A write found no space. Nothing that was acknowledged was touched, and nothing was promised about these bytes:
    /// the same write may be tried again. A sync may not.
    NoSpace,
    Failed(io::Error),
}

impl From<io::Error> for Halt {
    fn from(error: io::Error) -> Self {
        Self::Failed(error)
    }
}

/// Gathers bytes and writes them in aligned pieces.
struct Staging {
    buffer: AlignedBuffer,
    filled: usize,
    /// Where the first byte of the buffer goes.
    at: u64,
}

impl Staging {
    fn begin(&mut self, at: u64) {
        self.at = at;
        self.filled = 0;
    }

    fn push(&mut self, file: &dyn DiskFile, mut bytes: &[u8], space: &Space<'_>) -> Result<(), Halt> {
        while !bytes.is_empty() {
            let len = bytes.len().min(self.buffer.len() - self.filled);
            self.buffer.as_mut_slice()[self.filled..self.filled + len].copy_from_slice(&bytes[..len]);
            self.filled += len;
            bytes = &bytes[len..];
            if self.filled == self.buffer.len() {
                self.write(file, space)?;
            }
        }
        Ok(())
    }

    /// Fills up with zeros to a multiple of `unit`.
    fn pad(&mut self, file: &dyn DiskFile, unit: usize, space: &Space<'_>) -> Result<(), Halt> {
        let to = self.filled.next_multiple_of(unit);
        self.buffer.as_mut_slice()[self.filled..to].fill(0);
        self.filled = to;
        if self.filled == self.buffer.len() { self.write(file, space) } else { Ok(()) }
    }

    /// Fills up to the next block and writes what is left.
    fn end(&mut self, file: &dyn DiskFile, space: &Space<'_>) -> Result<(), Halt> {
        self.pad(file, BLOCK_BYTES, space)?;
        if self.filled > 0 { self.write(file, space) } else { Ok(()) }
    }

    fn write(&mut self, file: &dyn DiskFile, space: &Space<'_>) -> Result<(), Halt> {
        match file.write_at(&self.buffer.as_slice()[..self.filled], self.at) {
            Err(error) if error.kind() == io::ErrorKind::StorageFull => {
                if space.pool.set_full(NoSpace::Write, true) {
                    space.options.observer.storage_full(true);
                }
                Err(Halt::NoSpace)
            }
            done => {
                if space.pool.is_full() && space.pool.set_full(NoSpace::Write, false) {
                    space.options.observer.storage_full(false);
                }
                self.at += self.filled as u64;
                self.filled = 0;
                Ok(done?)
            }
        }
    }
}

/// Who is told when a write finds no space.
struct Space<'a> {
    pool: &'a Pool,
    options: &'a Options,
}

/// The writing side of the log.
pub(crate) struct Flusher {
    pub inner: Arc<Inner>,
    /// What was begun and is not done.
    job: Option<Job>,
    batch: Queue,
    /// Records of the batch that are durable.
    written: usize,
    /// The segment that is next, taken and not yet begun; and since when one was needed.
    spare: Option<Spare>,
    rolling_since: Option<Instant>,
    /// The segment was begun, and its first record does not say yet how the groups stand.
    is_standing_due: bool,
    ended: bool,
    staging: Staging,
    headers: Vec<(Header, u64)>,
    next_sequence: u64,
    last_hash: u64,
    counts: Counts,
    oldest: u64,
    /// Records were written since the last mark.
    unmarked: bool,
}

impl Flusher {
    pub(crate) fn new(inner: Arc<Inner>) -> Self {
        let (next_sequence, last_hash, counts, oldest, is_standing_due) = {
            let core = inner.core.lock();
            let index = &core.active.index;
            let is_begun_only = index.is_empty() && !core.sealed.is_empty();
            (index.next_sequence, index.last_hash, index.counts, core.oldest, is_begun_only)
        };
        let staging = Staging { buffer: AlignedBuffer::new(inner.options.staging_bytes), filled: 0, at: 0 };
        Self {
            inner,
            job: None,
            batch: Queue::default(),
            written: 0,
            spare: None,
            rolling_since: None,
            is_standing_due,
            ended: false,
            staging,
            headers: Vec::new(),
            next_sequence,
            last_hash,
            counts,
            oldest,
            // What was found on opening may carry no mark yet.
            unmarked: next_sequence > 1,
        }
    }

    /// Does one thing that is due, or goes on with it. When it can write no more everybody is answered.
    pub(crate) fn step(&mut self) -> Step {
        if self.ended {
            return Step::Ended;
        }
        if self.job.is_none() {
            match self.next_job() {
                Ok(job) => self.job = job,
                Err(error) => return self.fail(error),
            }
        }
        let Some(job) = self.job else { return Step::Idle };
        let halt = match self.perform(job) {
            Ok(step) => return step,
            Err(halt) => halt,
        };
        match halt {
            Halt::NoSpare => Step::NoSpare,
            Halt::NoSpace if self.inner.pool.is_stopping() => self.fail(io::ErrorKind::StorageFull.into()),
            Halt::NoSpace => Step::NoSpace,
            Halt::Failed(error) => self.fail(error),
        }
    }

    /// Takes up that the end is to be marked, when nothing else is due and it is not.
    pub(crate) fn begin_mark(&mut self) {
        if self.job.is_none() && self.unmarked && !self.ended {
            self.begin(Job::Mark, vec![self.mark_record()]);
        }
    }

    /// Whether the end is not yet marked as durable.
    pub(crate) fn is_unmarked(&self) -> bool {
        self.unmarked
    }

    fn next_job(&mut self) -> io::Result<Option<Job>> {
        let inner = Arc::clone(&self.inner);
        let mut core = inner.core.lock();
        if core.failed.is_some() {
            return Err(io::Error::other("no segment could be prepared"));
        }
        if core.check_free {
            core.check_free = false;
            let needed = core.oldest_needed();
            if needed > core.oldest {
                let carried = core.carried_forward(needed, inner.clock.now());
                drop(core);
                self.begin(Job::Carry(needed), carried);
                return Ok(self.job);
            }
        }
        if !core.queue.is_empty() {
            std::mem::swap(&mut self.batch, &mut core.queue);
            self.written = 0;
            return Ok(Some(Job::Write));
        }
        let is_stopping = core.stopping;
        drop(core);
        if is_stopping {
            let last = if self.unmarked { vec![self.mark_record()] } else { Vec::new() };
            self.begin(Job::Stop, last);
        }
        Ok(self.job)
    }

    /// Begins a job whose records nobody waits for.
    fn begin(&mut self, job: Job, records: Vec<Record>) {
        self.inner.core.lock().queued_bytes += records.iter().map(worst_cost).sum::<u64>();
        self.batch = Queue { records, ..Queue::default() };
        self.written = 0;
        self.job = Some(job);
    }

    fn mark_record(&self) -> Record {
        let standing = self.inner.core.lock().standing().encode();
        Record { body: standing, ..Record::mark(self.inner.clock.now().0) }
    }

    fn perform(&mut self, job: Job) -> Result<Step, Halt> {
        self.write_batch()?;
        self.job = None;
        match job {
            Job::Write => return Ok(Step::Wrote),
            Job::Carry(keep_from) => {
                // What lies only below is durable above: from now on records may say that the rest is gone.
                self.oldest = keep_from;
                self.begin(Job::Release(keep_from), vec![self.mark_record()]);
            }
            Job::Release(keep_from) => self.release(keep_from),
            Job::Mark => self.unmarked = false,
            Job::Stop => {
                self.ended = true;
                self.inner.pool.end();
                return Ok(Step::Ended);
            }
        }
        Ok(Step::Worked)
    }

    /// Writes the rest of the batch, in as few flushes as segments and bounds allow.
    fn write_batch(&mut self) -> Result<(), Halt> {
        while self.written < self.batch.records.len() {
            if self.is_standing_due {
                let standing = [self.mark_record()];
                let cost = worst_cost(&standing[0]);
                self.inner.core.lock().queued_bytes += cost;
                let flushed = self.flush(&standing);
                if flushed.is_err() {
                    // It is made and counted again with the next try.
                    self.inner.core.lock().queued_bytes -= cost;
                }
                flushed?;
                self.is_standing_due = false;
            }
            match self.fitting() {
                0 => self.roll()?,
                count => {
                    let records = std::mem::take(&mut self.batch.records);
                    let flushed = self.flush(&records[self.written..self.written + count]);
                    self.batch.records = records;
                    flushed?;
                    self.written += count;
                    self.complete();
                }
            }
        }
        self.complete();
        self.batch.records.clear();
        self.written = 0;
        Ok(())
    }

    /// How many of the records that are left go into one flush here.
    fn fitting(&self) -> usize {
        let core = self.inner.core.lock();
        let (mut count, mut bytes) = (0, 0);
        for record in &self.batch.records[self.written..] {
            bytes += record.stored_bytes();
            let over = count > 0 && bytes > self.inner.options.max_flush_bytes;
            if over || align_up(bytes, BLOCK) > core.active.room(count as u64 + 1) {
                break;
            }
            count += 1;
        }
        count
    }

    /// Writes `records` as one flush and makes them durable.
    fn flush(&mut self, records: &[Record]) -> Result<(), Halt> {
        let started = Instant::now();
        let inner = Arc::clone(&self.inner);
        let space = Space { pool: &inner.pool, options: &inner.options };
        let (file, use_id, start) = {
            let core = inner.core.lock();
            (Arc::clone(&core.active.file), core.active.use_id, core.active.index.end)
        };
        self.headers.clear();
        self.staging.begin(start);
        let frontier = self.next_sequence;
        let (mut sequence, mut previous, mut counts) = (self.next_sequence, self.last_hash, self.counts);
        let count = records.len();
        let mut position = start;
        for (nth, record) in records.iter().enumerate() {
            let mut flags = if nth == 0 { FLUSH_FIRST } else { 0 };
            flags |= if nth + 1 == count { FLUSH_LAST } else { 0 };
            let placing = Placing { use_id, sequence, frontier, oldest: self.oldest, previous, counts, flags };
            let (header, bytes) = Header::encode(record, &placing);
            self.staging.push(&*file, &bytes, &space)?;
            self.staging.push(&*file, &record.body, &space)?;
            self.staging.pad(&*file, 8, &space)?;
            self.headers.push((header, position));
            position += record.stored_bytes();
            sequence += 1;
            previous = header.hash;
            counts = counts.after(record.kind);
        }
        self.staging.end(&*file, &space)?;
        sync(&*file)?;
        (self.next_sequence, self.last_hash, self.counts) = (sequence, previous, counts);
        let end = align_up(position, BLOCK);

        let mut core = inner.core.lock();
        for (record, (header, position)) in records.iter().zip(&self.headers) {
            core.place(record, header, *position);
            core.queued_bytes = core.queued_bytes.saturating_sub(worst_cost(record));
        }
        core.active.index.end = end;
        core.evict(inner.options.tail_cache_bytes);
        drop(core);
        self.unmarked = true;
        let flush =
            Flush { records: u32::try_from(count).unwrap_or(u32::MAX), bytes: end - start, took: started.elapsed() };
        inner.counters.flushed(&flush);
        inner.options.observer.flushed(flush);
        Ok(())
    }

    /// Tells those whose records are durable.
    fn complete(&mut self) {
        while self.batch.completions.front().is_some_and(|(upto, _)| *upto <= self.written) {
            if let Some((_, done)) = self.batch.completions.pop_front() {
                done(Ok(()));
            }
        }
    }

    /// Seals the active segment and goes on in the next. The next one is durable before the seal says that it exists.
    fn roll(&mut self) -> Result<(), Halt> {
        let inner = Arc::clone(&self.inner);
        let space = Space { pool: &inner.pool, options: &inner.options };
        let since = *self.rolling_since.get_or_insert_with(Instant::now);
        if self.spare.is_none() {
            self.spare = inner.pool.take()?;
        }
        if self.spare.is_none() {
            return Err(Halt::NoSpare);
        }
        let waited = since.elapsed();
        let (file, trailer, footer) = {
            let core = inner.core.lock();
            let active = &core.active;
            let footer = active.index.encode();
            let footer_at = active.size_bytes - BLOCK - align_up(footer.len() as u64, BLOCK);
            assert!(footer_at >= active.index.end, "room for the footer was kept");
            let trailer = Trailer {
                number: active.number,
                use_id: active.use_id,
                footer_at,
                footer_len: footer.len() as u64,
                footer_crc: crc32c::crc32c(&footer),
                next_sequence: active.index.next_sequence,
            };
            (Arc::clone(&active.file), trailer, footer)
        };
        self.staging.begin(trailer.footer_at);
        self.staging.push(&*file, &footer, &space)?;
        self.staging.pad(&*file, BLOCK_BYTES, &space)?;
        let mut block = [0; BLOCK_BYTES];
        trailer.encode(&mut block);
        self.staging.push(&*file, &block, &space)?;
        self.staging.end(&*file, &space)?;
        file.sync_data()?;

        self.rolling_since = None;
        self.is_standing_due = true;
        let spare = self.spare.take().expect("taken above");
        let mut core = inner.core.lock();
        let next = Active {
            number: spare.number,
            use_id: spare.use_id,
            size_bytes: spare.size_bytes,
            file: spare.file,
            index: crate::index::SegmentIndex::empty(self.next_sequence, self.last_hash, self.oldest),
            is_worn: false,
        };
        let old = std::mem::replace(&mut core.active, next);
        let (use_id, size_bytes, end) = (old.use_id, old.size_bytes, old.index.end);
        let sealed = Sealed { use_id, size_bytes, end, pinned: None, is_lost: false };
        core.sealed.insert(old.number, sealed);
        core.check_free = true;
        inner.cache.insert(old.number, old.use_id, Arc::new(old.index), old.file);
        drop(core);
        inner.options.observer.rolled(waited);
        Ok(())
    }

    /// Hands over segments below `keep_from`: it is durable that they are no longer part of the log.
    fn release(&mut self, keep_from: u64) {
        let mut core = self.inner.core.lock();
        core.oldest = keep_from;
        let kept = core.sealed.split_off(&keep_from);
        let freed = std::mem::replace(&mut core.sealed, kept);
        drop(core);
        self.inner.cache.forget_below(keep_from);
        self.inner.pool.free(freed.into_iter().map(|(number, old)| Freed { number, size_bytes: old.size_bytes }));
    }

    /// Ends all writing: everybody who waits or will come gets `error`.
    pub(crate) fn fail(&mut self, error: io::Error) -> Step {
        self.ended = true;
        let error = self.inner.poison(error);
        for (_, done) in std::mem::take(&mut self.batch.completions) {
            done(Err(Arc::clone(&error)));
        }
        let _ = self.inner.abandon(io::Error::new(error.kind(), error));
        self.inner.pool.end();
        Step::Ended
    }
}

/// Syncs what a flush has written.
fn sync(file: &dyn DiskFile) -> io::Result<()> {
    #[cfg(feature = "bugs")]
    {
        use pelton_env::bugs::Bug;
        if Bug::NoSync.is_on() {
            return Ok(());
        }
        if Bug::FailedSyncIgnored.is_on() {
            return file.sync_data().or(Ok(()));
        }
    }
    file.sync_data()
}
