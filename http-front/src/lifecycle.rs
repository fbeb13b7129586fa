//! Stopping: first politely, then at once.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio_util::sync::CancellationToken;

/// Whether the front goes on.
///
/// Each of the two steps is a flag, which costs a connection one load whenever it is polled, and a token, which wakes
/// it when nothing else does.
#[derive(Debug, Default)]
pub(crate) struct Lifecycle {
    stopping: AtomicBool,
    cutting: AtomicBool,
    stop: CancellationToken,
    cut: CancellationToken,
}

impl Lifecycle {
    /// No new connections and no new requests; those that were read are answered.
    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        self.stop.cancel();
    }

    /// Every connection ends now.
    pub(crate) fn cut(&self) {
        self.stop();
        self.cutting.store(true, Ordering::Release);
        self.cut.cancel();
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    pub(crate) fn is_cutting(&self) -> bool {
        self.cutting.load(Ordering::Acquire)
    }

    /// Waits until [`Lifecycle::stop`].
    pub(crate) async fn stopped(&self) {
        self.stop.cancelled().await;
    }

    /// Waits until [`Lifecycle::cut`].
    pub(crate) async fn was_cut(&self) {
        self.cut.cancelled().await;
    }
}
