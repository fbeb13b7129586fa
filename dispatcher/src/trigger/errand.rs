//! An event on its way to the dead-letter sink.

use pelton_client::{Cause, LastAnswer};

/// Why the subscriber did not take an event, and how often the sink was asked to.
///
/// It is kept in memory while the sink is asked, so there are at most as many of them as attempts may be in flight.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SinkErrand {
    /// Why.
    pub cause: Cause,
    /// The URL that was asked.
    pub destination: String,
    /// What came back; at most 768 bytes of it.
    pub answer: LastAnswer,
    /// Attempts at the sink that failed.
    pub tries: u32,
}
