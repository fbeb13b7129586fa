//! Where work is done that waits for a disk.

use tokio::task::JoinError;

/// Where work is done that waits for a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Blocking {
    /// On threads of their own: the disk may take its time, the workers must not.
    #[default]
    Threads,
    /// At once, where it is asked for: a simulation has one thread, and its disk does not wait.
    Inline,
}

impl Blocking {
    /// Does the work.
    ///
    /// # Errors
    /// It panicked on its thread, or the runtime goes down.
    pub(crate) async fn run<T: Send + 'static>(
        self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, JoinError> {
        match self {
            Self::Threads => tokio::task::spawn_blocking(work).await,
            Self::Inline => Ok(work()),
        }
    }
}
