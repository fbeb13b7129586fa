//! The client between machines: `pelton.broker.v1`.
//!
//! [`RemoteNode`] is a [`NodeClient`](crate::NodeClient) for a node elsewhere, [`NodeService`] the server over one that is
//! here, [`Connector`] what a [`ClusterClient`](crate::ClusterClient) reaches nodes by. The contract is the text of
//! `broker.proto`; this is what stands behind it:
//!
//! **Bounds.** One stream of appends for each pair of nodes, with [`WINDOW_BYTES`] on their way and [`MAX_QUEUED_BYTES`]
//! behind them; beyond that an append is refused at once. A node reads no more of a stream whose answers are not taken, so a
//! caller that does not read holds what is on its way and no more. Reads are answered in parts, of [`MAX_READ_BYTES`] at
//! most. What is watched is told as of the moment at which it can be told: nothing queues up.
//!
//! **No answer.** A stream that breaks, a call that takes longer than [`CALL_TIMEOUT`]: nobody knows. A connection that
//! does not come about, a node that is another than it is taken for, what was not sent yet: nothing was done.

mod appending;
mod appends;
mod calls;
mod connector;
mod identity;
mod parts;
mod refusal;
mod remote;
mod service;
mod telling;
mod told;
mod watches;

use std::time::Duration;

pub use appends::RemoteAppend;
pub use connector::Connector;
pub use remote::RemoteNode;
pub use service::NodeService;

/// Bytes of appends of one caller that may be on their way to a node.
pub const WINDOW_BYTES: u64 = 8 * 1024 * 1024;
/// Bytes of appends to one node that may wait here until they are sent.
pub const MAX_QUEUED_BYTES: u64 = 32 * 1024 * 1024;
/// What a call weighs besides its frames, so that many without data are bounded too.
pub const CALL_WEIGHT_BYTES: u64 = 256;
/// Bytes of calls that are sent together. One that is larger goes alone.
pub const REQUEST_BYTES: u64 = 1024 * 1024;
/// Bytes that one read brings at most, whatever was asked for, but for a first batch that is larger.
pub const MAX_READ_BYTES: usize = 8 * 1024 * 1024;
/// Bytes of one part of an answer. A batch or resource that is larger is a part of its own.
pub const PART_BYTES: usize = 256 * 1024;
/// How long an answer may take.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// The wait before a watch that broke is begun again.
pub const WATCH_AGAIN_AFTER: Duration = Duration::from_millis(200);
