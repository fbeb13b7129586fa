//! What the log on disk does, as metrics.

use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};
use pelton_log::{Flush, Observer};

/// Counts flushes. Each call is a few atomic additions: it is made on the thread that syncs.
pub struct LogObserver {
    flushes: Counter,
    seconds: Histogram,
    bytes: Histogram,
    records: Histogram,
    segment_waits: Histogram,
    full: Gauge,
}

impl std::fmt::Debug for LogObserver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LogObserver").finish_non_exhaustive()
    }
}

impl LogObserver {
    /// Handles from the recorder that is installed.
    #[must_use]
    pub fn new() -> Self {
        Self {
            flushes: counter!("pelton_log_flushes_total"),
            seconds: histogram!("pelton_log_flush_seconds"),
            bytes: histogram!("pelton_log_flush_bytes"),
            records: histogram!("pelton_log_flush_records"),
            segment_waits: histogram!("pelton_log_segment_wait_seconds"),
            full: gauge!("pelton_log_storage_full"),
        }
    }
}

impl Observer for LogObserver {
    fn flushed(&self, flush: Flush) {
        self.flushes.increment(1);
        self.seconds.record(flush.took);
        self.bytes.record(flush.bytes as f64);
        self.records.record(f64::from(flush.records));
    }

    fn rolled(&self, waited: Duration) {
        self.segment_waits.record(waited);
    }

    fn storage_full(&self, full: bool) {
        if full {
            tracing::error!("the disk of the log is full: events are refused until there is room");
        } else {
            tracing::info!("the disk of the log has room again");
        }
        self.full.set(if full { 1.0 } else { 0.0 });
    }
}
