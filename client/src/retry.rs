//! What follows from a call that was not done. Pure: no clock and no dice; the caller waits.

use std::time::Duration;

use crate::{AppendError, ApplyError, ClusterError, NodeId, OperationError, ReadError};

/// The first wait before a call is tried again; each is twice the one before.
const FIRST_WAIT: Duration = Duration::from_millis(5);
/// The longest. An election takes about a second, and whoever waits for it should not wait much longer.
const LONGEST_WAIT: Duration = Duration::from_millis(100);
/// Refusals that name a leader which are followed at once, one after the other. Two nodes that each take the other for the
/// leader would else keep a caller busy.
const MAX_REDIRECTS: u32 = 3;

/// What an error says about another try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing was done, and this node knows who does it, or not.
    Elsewhere(Option<NodeId>),
    /// Nothing was done, and it may be later.
    Later,
    /// Nothing was done, and nobody can do it as far as this node sees.
    NoQuorum,
    /// Nobody knows whether it was done.
    Unknown,
    /// Another try gives the same answer.
    Final,
}

/// An error between a client and a node.
pub(crate) trait Refused: Sized {
    fn verdict(&self) -> Verdict;
    /// What is said when time is up and nothing was done.
    fn unavailable() -> Self;
    /// What is said when nobody knows whether it was done.
    fn unknown() -> Self;
}

impl Refused for AppendError {
    fn verdict(&self) -> Verdict {
        match self {
            Self::NotLeader { leader } => Verdict::Elsewhere(*leader),
            Self::Unavailable => Verdict::Later,
            Self::NoQuorum { .. } => Verdict::NoQuorum,
            Self::OutcomeUnknown => Verdict::Unknown,
            // Whoever is at a bound says so to the producer, who waits better than we do.
            Self::Overloaded { .. } | Self::StorageFull | Self::Damaged | Self::TooLarge { .. } => Verdict::Final,
        }
    }

    fn unavailable() -> Self {
        Self::Unavailable
    }

    fn unknown() -> Self {
        Self::OutcomeUnknown
    }
}

impl Refused for ReadError {
    fn verdict(&self) -> Verdict {
        match self {
            Self::NotLeader { leader } => Verdict::Elsewhere(*leader),
            // Asked for are only groups that there are; a node that does not know one has no replica of it.
            Self::UnknownGroup(_) => Verdict::Elsewhere(None),
            Self::Unavailable => Verdict::Later,
            Self::Purged { .. } | Self::Storage(_) => Verdict::Final,
        }
    }

    fn unavailable() -> Self {
        Self::Unavailable
    }

    fn unknown() -> Self {
        Self::Unavailable
    }
}

impl Refused for OperationError {
    fn verdict(&self) -> Verdict {
        match self {
            Self::NotLeader { leader } => Verdict::Elsewhere(*leader),
            Self::UnknownGroup(_) => Verdict::Elsewhere(None),
            Self::Unavailable => Verdict::Later,
            Self::OutcomeUnknown => Verdict::Unknown,
            Self::UnknownTrigger | Self::UnknownDeadLetter | Self::SessionEnded | Self::TooLarge => Verdict::Final,
        }
    }

    fn unavailable() -> Self {
        Self::Unavailable
    }

    fn unknown() -> Self {
        Self::OutcomeUnknown
    }
}

impl Refused for ApplyError {
    fn verdict(&self) -> Verdict {
        match self {
            Self::NotLeader { leader } => Verdict::Elsewhere(*leader),
            Self::Unavailable => Verdict::Later,
            Self::OutcomeUnknown => Verdict::Unknown,
            Self::Invalid { .. }
            | Self::Conflict { .. }
            | Self::AlreadyExists { .. }
            | Self::TooMuch { .. }
            | Self::NotFound { .. } => Verdict::Final,
        }
    }

    fn unavailable() -> Self {
        Self::Unavailable
    }

    fn unknown() -> Self {
        Self::OutcomeUnknown
    }
}

impl Refused for ClusterError {
    fn verdict(&self) -> Verdict {
        match self {
            Self::NotLeader { leader } => Verdict::Elsewhere(*leader),
            Self::Unavailable => Verdict::Later,
            Self::OutcomeUnknown => Verdict::Unknown,
            Self::Refused(_) => Verdict::Final,
        }
    }

    fn unavailable() -> Self {
        Self::Unavailable
    }

    fn unknown() -> Self {
        Self::OutcomeUnknown
    }
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// Ask the node that was named, at once.
    Follow(NodeId),
    /// Ask again after this long at most; a share of it is left to chance.
    Wait(Duration),
    /// Give the caller the error.
    GiveUp,
}

/// The tries of one call.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tries {
    /// Whether a second try of what may have been done does no harm: it has a producer key, or it only reads.
    is_repeatable: bool,
    failed: u32,
    redirects: u32,
    may_be_done: bool,
}

impl Tries {
    pub(crate) fn new(is_repeatable: bool) -> Self {
        Self { is_repeatable, failed: 0, redirects: 0, may_be_done: false }
    }

    /// How many tries failed.
    pub(crate) fn failed(&self) -> u32 {
        self.failed
    }

    /// Whether some try may have been done. Then it must not be tried in another group, where nobody would know it again.
    pub(crate) fn may_be_done(&self) -> bool {
        self.may_be_done
    }

    /// A try failed.
    pub(crate) fn after<E: Refused>(&mut self, error: &E) -> Next {
        self.failed = self.failed.saturating_add(1);
        match error.verdict() {
            Verdict::Elsewhere(Some(leader)) if self.redirects < MAX_REDIRECTS => {
                self.redirects += 1;
                Next::Follow(leader)
            }
            Verdict::Elsewhere(_) | Verdict::Later | Verdict::NoQuorum => self.wait(),
            Verdict::Unknown => {
                self.may_be_done = true;
                if self.is_repeatable { self.wait() } else { Next::GiveUp }
            }
            Verdict::Final => Next::GiveUp,
        }
    }

    fn wait(&mut self) -> Next {
        self.redirects = 0;
        let doublings = (self.failed - 1).min(16);
        Next::Wait(FIRST_WAIT.saturating_mul(1 << doublings).min(LONGEST_WAIT))
    }

    /// What the caller is told in the end. Once something may have been done, nobody is told that nothing was.
    pub(crate) fn verdict<E: Refused>(&self, last: E) -> E {
        match last.verdict() {
            _ if self.may_be_done => E::unknown(),
            Verdict::Unknown | Verdict::Final | Verdict::NoQuorum => last,
            // Who leads is the client's business; its caller has nobody else to ask.
            Verdict::Elsewhere(_) | Verdict::Later => E::unavailable(),
        }
    }
}

#[cfg(test)]
mod tests;
