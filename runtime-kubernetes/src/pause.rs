//! Pauses between tries.

use std::time::Duration;

use tokio::time::sleep;

const FIRST: Duration = Duration::from_millis(50);

/// Pauses that double up to a longest one.
#[derive(Debug)]
pub struct Pause {
    next: Duration,
    longest: Duration,
}

impl Pause {
    /// The first pause comes next; none is longer than `longest`.
    pub const fn new(longest: Duration) -> Self {
        Self { next: FIRST, longest }
    }

    /// What was tried went well: the next pause is a first one.
    pub const fn reset(&mut self) {
        self.next = FIRST;
    }

    /// Waits for as long as it is time to.
    pub async fn wait(&mut self) {
        let now = self.next;
        self.next = (now * 2).min(self.longest);
        sleep(now).await;
    }
}
