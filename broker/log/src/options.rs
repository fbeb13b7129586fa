//! How a log is set up. Every bound of this crate is named here.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::error::{Damage, OpenError};
use crate::segment::{BLOCK_BYTES, SEGMENT_OVERHEAD_BYTES};
use crate::types::Identity;

/// Whether writes pass the page cache.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum DirectIo {
    /// Direct where the file system allows it, else through the page cache with a sync.
    #[default]
    Auto,
    /// Always through the page cache.
    Off,
    /// Direct, or opening fails.
    On,
}

/// What opening does with damage to what was durable.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnDamage {
    /// It refuses: without other replicas nothing can take the place of what is lost.
    #[default]
    Refuse,
    /// It keeps what is sound and knows which entries are not ([`crate::Log::faulty`]), so that other replicas can
    /// repair them ([`crate::Log::repair`]). It refuses all the same where a vote, the identity or the end of the log
    /// would have to be guessed.
    Keep,
}

/// One finished flush, for metrics.
#[derive(Debug, Clone, Copy)]
pub struct Flush {
    /// Records written.
    pub records: u32,
    /// Bytes written, padding included.
    pub bytes: u64,
    /// Time of the write and the sync.
    pub took: Duration,
}

/// Told what the log does, on the log's own threads. Must return at once.
pub trait Observer: Send + Sync + fmt::Debug {
    /// A flush is durable.
    fn flushed(&self, _flush: Flush) {}
    /// The log moved to a new segment; `waited` for it to be ready.
    fn rolled(&self, _waited: Duration) {}
    /// What is on disk was found not to be what was written, while the log is open.
    fn damaged(&self, _damage: &Damage) {}
    /// Space ran out (`true`) or came back (`false`).
    fn storage_full(&self, _full: bool) {}
}

/// An observer that does not look.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoObserver;

impl Observer for NoObserver {}

/// Called once, with the cause, when the log can no longer be trusted to write.
pub type FatalHook = Arc<dyn Fn(&io::Error) + Send + Sync>;

/// How a log is set up.
#[derive(Clone)]
pub struct Options {
    /// Whose log this is.
    pub identity: Identity,
    /// Size of a segment file; a multiple of 4 KiB, at most 1 GiB. Default 128 MiB.
    pub segment_size_bytes: u64,
    /// Size of the first segment of a new directory; later ones double up to `segment_size_bytes`. Small, so that a
    /// new directory is ready at once. Default 16 MiB.
    pub initial_segment_size_bytes: u64,
    /// Segments held ready behind the active one. The last of them is the reserve that [`crate::Log::has_room`] does
    /// not give away. At least 1; default 2.
    pub spare_segments: usize,
    /// Most bytes in one flush, so that one sync never takes for ever. Default 8 MiB.
    pub max_flush_bytes: u64,
    /// Most bytes in the body of one record. Default 8 MiB.
    pub max_record_bytes: u64,
    /// Bytes of the buffer that a flush is gathered in; a larger flush goes in several writes. Default 1 MiB.
    pub staging_bytes: usize,
    /// Most bytes that may wait for the flusher; what comes then is refused. Default 256 MiB.
    pub max_queued_bytes: u64,
    /// Bytes of entries kept in memory for readers of the tail. Entries not yet durable are kept in any case.
    /// Default 64 MiB.
    pub tail_cache_bytes: u64,
    /// Sealed segments whose index is kept in memory. Default 8.
    pub index_cache_segments: usize,
    /// After this much quiet the end of the log is marked as durable, so that later damage to the last records is
    /// told from a write that was cut short. `None`: only at shutdown. Default 50 ms.
    pub mark_after_idle: Option<Duration>,
    /// How often a full disk is asked again. Default 500 ms.
    pub full_retry: Duration,
    /// Whether writes pass the page cache.
    pub direct_io: DirectIo,
    /// What opening does with damage to what was durable.
    pub on_damage: OnDamage,
    /// Told about flushes.
    pub observer: Arc<dyn Observer>,
    /// Called when a write or sync failed. The process should say so and end: nothing is retried.
    pub on_fatal: Option<FatalHook>,
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("identity", &self.identity)
            .field("segment_size_bytes", &self.segment_size_bytes)
            .field("direct_io", &self.direct_io)
            .finish_non_exhaustive()
    }
}

impl Options {
    /// The defaults, for `identity`.
    #[must_use]
    pub fn new(identity: Identity) -> Self {
        Self {
            identity,
            segment_size_bytes: 128 << 20,
            initial_segment_size_bytes: 16 << 20,
            spare_segments: 2,
            max_flush_bytes: 8 << 20,
            max_record_bytes: 8 << 20,
            staging_bytes: 1 << 20,
            max_queued_bytes: 256 << 20,
            tail_cache_bytes: 64 << 20,
            index_cache_segments: 8,
            mark_after_idle: Some(Duration::from_millis(50)),
            full_retry: Duration::from_millis(500),
            direct_io: DirectIo::Auto,
            on_damage: OnDamage::Refuse,
            observer: Arc::new(NoObserver),
            on_fatal: None,
        }
    }

    /// Small segments and no timers: for tests that must fill and free many segments in a moment.
    #[must_use]
    pub fn small(identity: Identity) -> Self {
        Self {
            segment_size_bytes: 64 << 10,
            initial_segment_size_bytes: 64 << 10,
            max_flush_bytes: 32 << 10,
            max_record_bytes: 40 << 10,
            staging_bytes: 16 << 10,
            tail_cache_bytes: 64 << 10,
            index_cache_segments: 2,
            mark_after_idle: None,
            full_retry: Duration::from_millis(5),
            ..Self::new(identity)
        }
    }

    /// The size of segment `number`, the first being 1.
    pub(crate) fn segment_size(&self, number: u64) -> u64 {
        let doublings = u32::try_from(number.saturating_sub(2).min(32)).unwrap_or(32);
        self.initial_segment_size_bytes.saturating_mul(1 << doublings).min(self.segment_size_bytes)
    }

    pub(crate) fn check(&self) -> Result<(), OpenError> {
        let whole_blocks = |bytes: u64| bytes > 0 && bytes.is_multiple_of(BLOCK_BYTES as u64);
        let problem = if !whole_blocks(self.segment_size_bytes) || self.segment_size_bytes > 1 << 30 {
            "segment_size_bytes must be a multiple of 4 KiB, at most 1 GiB"
        } else if !whole_blocks(self.initial_segment_size_bytes)
            || self.initial_segment_size_bytes > self.segment_size_bytes
        {
            "initial_segment_size_bytes must be a multiple of 4 KiB and not above segment_size_bytes"
        } else if self.max_record_bytes + SEGMENT_OVERHEAD_BYTES > self.initial_segment_size_bytes {
            "a record of max_record_bytes must fit into a segment of initial_segment_size_bytes"
        } else if !whole_blocks(self.staging_bytes as u64) {
            "staging_bytes must be a multiple of 4 KiB"
        } else if self.spare_segments == 0 {
            "spare_segments must be at least 1"
        } else {
            return Ok(());
        };
        Err(OpenError::Options(problem))
    }
}
