//! The one thread that writes: it takes everything that waits, writes it in one piece, syncs once, and then tells
//! everybody.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use crate::aligned::{AlignedBuffer, align_up};
use crate::core::{Active, Queue, Sealed, worst_cost};
use crate::disk::DiskFile;
use crate::log::Inner;
use crate::options::{Flush, Options};
use crate::pool::{Freed, NoSpace, Pool};
use crate::record::{FLUSH_FIRST, FLUSH_LAST, Header, Placing, Record};
use crate::segment::{BLOCK_BYTES, Trailer};

const BLOCK: u64 = BLOCK_BYTES as u64;

/// What the flusher does next.
enum Step {
    /// Write what `Flusher::batch` holds.
    Write,
    /// Let segments below this one go.
    Free(u64),
    /// Say that everything is durable.
    Mark,
    /// The preparer failed.
    Failed,
    /// Everything is written and the log shuts down.
    Stop,
}

/// Gathers bytes and writes them in aligned pieces.
struct Staging {
    buffer: AlignedBuffer,
    filled: usize,
    /// Where the first byte of the buffer goes.
    at: u64,
}

impl Staging {
    fn push(&mut self, file: &dyn DiskFile, mut bytes: &[u8], space: &Space<'_>) -> io::Result<()> {
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
    fn pad(&mut self, file: &dyn DiskFile, unit: usize, space: &Space<'_>) -> io::Result<()> {
        let to = self.filled.next_multiple_of(unit);
        self.buffer.as_mut_slice()[self.filled..to].fill(0);
        self.filled = to;
        if self.filled == self.buffer.len() { self.write(file, space) } else { Ok(()) }
    }

    fn write(&mut self, file: &dyn DiskFile, space: &Space<'_>) -> io::Result<()> {
        loop {
            match file.write_at(&self.buffer.as_slice()[..self.filled], self.at) {
                // Nothing that was acknowledged is touched, and nothing was promised about these bytes: a write may be
                // tried again. A sync may not.
                Err(error) if error.kind() == io::ErrorKind::StorageFull => {
                    if space.pool.set_full(NoSpace::Write, true) {
                        space.options.observer.storage_full(true);
                    }
                    if !space.pool.wait_for_space(space.options) {
                        return Err(error);
                    }
                }
                done => {
                    if space.pool.is_full() && space.pool.set_full(NoSpace::Write, false) {
                        space.options.observer.storage_full(false);
                    }
                    self.at += self.filled as u64;
                    self.filled = 0;
                    return done;
                }
            }
        }
    }
}

/// Who is asked when a write finds no space.
struct Space<'a> {
    pool: &'a Pool,
    options: &'a Options,
}

/// The writing side of the log.
pub(crate) struct Flusher {
    inner: Arc<Inner>,
    batch: Queue,
    /// Records of the batch that are durable.
    written: usize,
    staging: Staging,
    headers: Vec<(Header, u64)>,
    next_sequence: u64,
    last_hash: u64,
    oldest: u64,
    /// Records were written since the last mark.
    unmarked: bool,
}

impl Flusher {
    pub(crate) fn new(inner: Arc<Inner>) -> Self {
        let (next_sequence, last_hash, oldest) = {
            let core = inner.core.lock();
            (core.active.index.next_sequence, core.active.index.last_hash, core.oldest)
        };
        let staging = Staging { buffer: AlignedBuffer::new(inner.options.staging_bytes), filled: 0, at: 0 };
        Self {
            inner,
            batch: Queue::default(),
            written: 0,
            staging,
            headers: Vec::new(),
            next_sequence,
            last_hash,
            oldest,
            // What was found on opening may carry no mark yet.
            unmarked: next_sequence > 1,
        }
    }

    /// Writes until the log shuts down or a write fails. Whatever happens, everybody is answered.
    pub(crate) fn run(mut self) {
        if catch_unwind(AssertUnwindSafe(|| self.work())).is_err() {
            self.fail(io::Error::other("the flusher panicked"));
        }
        self.inner.pool.end();
    }

    fn work(&mut self) {
        loop {
            let done = match self.next_step() {
                Step::Write => self.write_batch(),
                Step::Free(keep_from) => self.free(keep_from),
                Step::Mark => self.mark(),
                Step::Failed => Err(io::Error::other("no segment could be prepared")),
                Step::Stop => {
                    if self.unmarked
                        && let Err(error) = self.mark()
                    {
                        self.fail(error);
                    }
                    break;
                }
            };
            if let Err(error) = done {
                self.fail(error);
                break;
            }
        }
    }

    fn next_step(&mut self) -> Step {
        let inner = Arc::clone(&self.inner);
        let mut core = inner.core.lock();
        loop {
            if core.failed.is_some() {
                return Step::Failed;
            }
            if core.check_free {
                core.check_free = false;
                let needed = core.oldest_needed();
                if needed > core.oldest {
                    return Step::Free(needed);
                }
            }
            if !core.queue.is_empty() {
                std::mem::swap(&mut self.batch, &mut core.queue);
                return Step::Write;
            }
            if core.stopping {
                return Step::Stop;
            }
            match inner.options.mark_after_idle.filter(|_| self.unmarked) {
                Some(idle) => {
                    let waited = inner.work.wait_for(&mut core, idle);
                    if waited.timed_out() && core.queue.is_empty() && !core.stopping && core.failed.is_none() {
                        return Step::Mark;
                    }
                }
                None => inner.work.wait(&mut core),
            }
        }
    }

    /// Writes the whole batch, in as few flushes as segments and bounds allow.
    fn write_batch(&mut self) -> io::Result<()> {
        self.written = 0;
        while self.written < self.batch.records.len() {
            match self.fitting() {
                0 => self.roll()?,
                count => {
                    self.flush(count)?;
                    self.written += count;
                    self.complete();
                }
            }
        }
        self.complete();
        self.batch.records.clear();
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

    /// Writes the next `count` records as one flush and makes them durable.
    fn flush(&mut self, count: usize) -> io::Result<()> {
        let started = Instant::now();
        let inner = Arc::clone(&self.inner);
        let space = Space { pool: &inner.pool, options: &inner.options };
        let (file, use_id, start) = {
            let core = inner.core.lock();
            (Arc::clone(&core.active.file), core.active.use_id, core.active.index.end)
        };
        self.headers.clear();
        self.staging.at = start;
        let frontier = self.next_sequence;
        let records = &self.batch.records[self.written..self.written + count];
        let mut position = start;
        for (nth, record) in records.iter().enumerate() {
            let mut flags = if nth == 0 { FLUSH_FIRST } else { 0 };
            flags |= if nth + 1 == count { FLUSH_LAST } else { 0 };
            let sequence = self.next_sequence;
            let placing = Placing { use_id, sequence, frontier, oldest: self.oldest, previous: self.last_hash, flags };
            let (header, bytes) = Header::encode(record, &placing);
            self.staging.push(&*file, &bytes, &space)?;
            self.staging.push(&*file, &record.body, &space)?;
            self.staging.pad(&*file, 8, &space)?;
            self.headers.push((header, position));
            position += record.stored_bytes();
            self.next_sequence += 1;
            self.last_hash = header.hash;
        }
        self.staging.pad(&*file, BLOCK_BYTES, &space)?;
        if self.staging.filled > 0 {
            self.staging.write(&*file, &space)?;
        }
        file.sync_data()?;
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

    /// Writes `records`, which nobody waits for.
    fn write_own(&mut self, records: Vec<Record>) -> io::Result<()> {
        self.inner.core.lock().queued_bytes += records.iter().map(worst_cost).sum::<u64>();
        let waiting = std::mem::replace(&mut self.batch, Queue { records, ..Queue::default() });
        let result = self.write_batch();
        self.batch = waiting;
        result
    }

    fn mark(&mut self) -> io::Result<()> {
        let now = self.inner.clock.now();
        self.write_own(vec![Record::mark(now.0)])?;
        self.unmarked = false;
        Ok(())
    }

    /// Seals the active segment and goes on in the next. The next one is durable before the seal says that it exists.
    fn roll(&mut self) -> io::Result<()> {
        let started = Instant::now();
        let inner = Arc::clone(&self.inner);
        let space = Space { pool: &inner.pool, options: &inner.options };
        let spare = inner.pool.take()?;
        let waited = started.elapsed();
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
        self.staging.at = trailer.footer_at;
        self.staging.push(&*file, &footer, &space)?;
        self.staging.pad(&*file, BLOCK_BYTES, &space)?;
        let mut block = [0; BLOCK_BYTES];
        trailer.encode(&mut block);
        self.staging.push(&*file, &block, &space)?;
        if self.staging.filled > 0 {
            self.staging.write(&*file, &space)?;
        }
        file.sync_data()?;

        let mut core = inner.core.lock();
        let next = Active {
            number: spare.number,
            use_id: spare.use_id,
            size_bytes: spare.size_bytes,
            file: spare.file,
            index: crate::index::SegmentIndex::empty(self.next_sequence, self.last_hash, self.oldest),
        };
        let old = std::mem::replace(&mut core.active, next);
        let sealed = Sealed { use_id: old.use_id, size_bytes: old.size_bytes, end: old.index.end, pinned: None };
        core.sealed.insert(old.number, sealed);
        core.check_free = true;
        inner.cache.insert(old.number, old.use_id, Arc::new(old.index), old.file);
        drop(core);
        inner.options.observer.rolled(waited);
        Ok(())
    }

    /// Lets segments below `keep_from` go: first what lies only there is written again, then it is written that they
    /// are no longer part of the log, then they are handed over.
    fn free(&mut self, keep_from: u64) -> io::Result<()> {
        let now = self.inner.clock.now();
        let carried = self.inner.core.lock().carried_forward(keep_from, now);
        if !carried.is_empty() {
            self.write_own(carried)?;
        }
        self.oldest = keep_from;
        self.write_own(vec![Record::mark(now.0)])?;
        let mut core = self.inner.core.lock();
        core.oldest = keep_from;
        let kept = core.sealed.split_off(&keep_from);
        let freed = std::mem::replace(&mut core.sealed, kept);
        drop(core);
        self.inner.cache.forget_below(keep_from);
        self.inner.pool.free(freed.into_iter().map(|(number, old)| Freed { number, size_bytes: old.size_bytes }));
        Ok(())
    }

    /// Ends all writing: everybody who waits or will come gets `error`.
    fn fail(&mut self, error: io::Error) {
        let error = self.inner.poison(error);
        for (_, done) in std::mem::take(&mut self.batch.completions) {
            done(Err(Arc::clone(&error)));
        }
        let _ = self.inner.abandon(io::Error::new(error.kind(), error));
    }
}
