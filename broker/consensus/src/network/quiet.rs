//! A leader that no quorum answers falls silent, so that its followers can elect another.
//!
//! openraft's leader goes on sending when it hears nobody, and everything it sends renews its lease with whoever hears
//! it. Behind a link that works one way only it would keep its followers from electing for as long as that lasts. So
//! once its lease is over it sends nothing for longer than an election takes; then it speaks again for a while, for it
//! may just have been alone and nobody else was elected.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

/// Whether this node may send as a leader. Set by who looks at its leadership.
#[derive(Clone)]
pub(crate) struct Quiet(Arc<watch::Sender<bool>>);

impl Quiet {
    pub(crate) fn new() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }

    pub(crate) fn is_quiet(&self) -> bool {
        *self.0.borrow()
    }

    pub(crate) fn set(&self, quiet: bool) {
        self.0.send_if_modified(|now| std::mem::replace(now, quiet) != quiet);
    }

    /// Returns when the leader may speak.
    pub(crate) async fn over(&self) {
        // The sender is in this very value.
        let _ = self.0.subscribe().wait_for(|quiet| !quiet).await;
    }
}

/// Whether a leader is silent that has been without an answer of a quorum for `age`. `longest` is the longest election
/// timeout: the lease, after which a follower waits for another one at most before it stands.
pub(crate) fn is_silent(age: Duration, longest: Duration) -> bool {
    let Some(after_lease) = age.checked_sub(longest) else { return false };
    let (silence, speech) = (3 * longest, longest);
    let cycle = (silence + speech).as_nanos().max(1);
    after_lease.as_nanos() % cycle < silence.as_nanos()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_begins_with_the_end_of_the_lease_and_comes_again() {
        let longest = Duration::from_millis(600);
        for (millis, want) in
            [(0, false), (599, false), (600, true), (2_399, true), (2_400, false), (2_999, false), (3_000, true)]
        {
            assert_eq!(is_silent(Duration::from_millis(millis), longest), want, "{millis} ms");
        }
    }
}
