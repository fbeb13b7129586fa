//! Threads for one role.

use std::io;
use std::num::NonZeroUsize;

use tokio::runtime::{Builder, EnterGuard, Runtime};

/// A runtime of its own for one role.
///
/// Ingress and broker share one, because a hop between threads would cost a batch more than its consensus. Delivery
/// is on another: its thousands of small tasks would otherwise stand in the way of a batch, and two threads that take
/// work from each other cost a lone event more than they save (docs/benchmarks.md).
#[derive(Debug)]
pub struct RoleRuntime(Option<Runtime>);

impl RoleRuntime {
    /// Starts `workers` threads.
    ///
    /// # Errors
    /// The system gave no thread or no poller.
    pub fn start(name: &str, workers: NonZeroUsize) -> io::Result<Self> {
        Builder::new_multi_thread()
            .worker_threads(workers.get())
            .thread_name(name)
            .enable_all()
            .build()
            .map(|runtime| Self(Some(runtime)))
    }

    /// What is spawned while the guard lives runs here.
    pub fn enter(&self) -> EnterGuard<'_> {
        self.0.as_ref().expect("it is taken only on dropping").enter()
    }
}

impl Drop for RoleRuntime {
    /// Ends what still runs, without waiting: it is dropped by tasks, which must not wait for threads.
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
