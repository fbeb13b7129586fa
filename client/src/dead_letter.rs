//! Events that a trigger could not deliver, kept until someone decides.

use bytes::Bytes;
use pelton_env::UnixMillis;

use crate::{Position, TriggerId};

/// Why an event was given up. The last attempt decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    /// The subscriber answered with an error that is retried, until no retry was left.
    RetriesExhausted,
    /// The subscriber answered with an error that is not retried.
    Rejected,
    /// The subscriber's reply could not be stored, or was no valid event, until no retry was left.
    Reply,
    /// The reply would have passed the broker more often than the hop count allows.
    HopCount,
    /// The subscriber could not be asked: no address, a scheme that is not spoken.
    NoSubscriber,
}

impl Cause {
    /// The word used in listings and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RetriesExhausted => "retries-exhausted",
            Self::Rejected => "rejected",
            Self::Reply => "reply",
            Self::HopCount => "hop-count",
            Self::NoSubscriber => "no-subscriber",
        }
    }

    /// Every cause, in the order of its number in stored entries.
    pub const ALL: [Self; 5] =
        [Self::RetriesExhausted, Self::Rejected, Self::Reply, Self::HopCount, Self::NoSubscriber];
}

/// The outcome of one attempt as the subscriber or the network gave it.
///
/// "Could not ask" and "was refused" are apart: `code` is there only when there was an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastAnswer {
    /// The HTTP status, when there was an answer.
    pub code: Option<u16>,
    /// What went wrong when there was none, or the beginning of the answer's body (at most 768 bytes).
    pub detail: Bytes,
}

/// A kept dead letter: it holds its event in the log by position and does not copy it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// The trigger that gave up.
    pub trigger: TriggerId,
    /// The event.
    pub position: Position,
    /// Attempts made at the subscriber.
    pub attempts: u32,
    /// Why no more were made.
    pub cause: Cause,
    /// The URL that was asked last: the subscriber, or the dead-letter sink when that failed too.
    pub destination: String,
    /// What came back last.
    pub answer: LastAnswer,
    /// When it was given up.
    pub at: UnixMillis,
}

impl DeadLetter {
    /// About how many bytes it takes in the log and in a checkpoint, before they are compressed.
    #[must_use]
    pub fn stored_bytes(&self) -> usize {
        64 + self.destination.len() + self.answer.detail.len()
    }
}

/// Which dead letters an operation means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Selection {
    /// One trigger's letter of one event.
    One(TriggerId, Position),
    /// All of one trigger.
    Trigger(TriggerId),
    /// All there are.
    All,
}
