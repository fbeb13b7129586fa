//! The broker: log groups that hold events, cursors and dead letters, and the registry that holds resources.
//!
//! [`Node`] opens everything in one data directory; [`LocalClient`] is the in-process form of
//! [`pelton_client::Client`]. Nothing else of the broker is visible to the other roles.
//!
//! - A data group's replicated state is `core::Core`: pure, a function of its commands. Its trailing copy stands at
//!   the retention watermark and is what a Raft snapshot holds.
//! - `proposer` seals batches; one object a batch wakes its callers at commit.
//! - `retention` decides what may go: age and bytes, but nothing that a cursor or a live dead letter needs.
//! - `cluster` is what the registry says of nodes and groups: pure, a function of its commands.
//! - `registry` is one more group. Its applied state is kept in sled, which never holds the only copy of anything.
//! - `controller` starts new triggers, drops gone ones and keeps every status true.

mod ack;
#[allow(dead_code, reason = "the node takes it up step by step")]
mod cluster;
mod command;
mod controller;
mod core;
mod event_state;
mod identity;
mod keys;
mod local_client;
mod metrics;
mod node;
mod proposer;
#[allow(dead_code, reason = "the node takes up what it says of the cluster step by step")]
mod registry;
mod retention;
mod slabs;
#[cfg(test)]
mod test_node;

pub use ack::Append;
pub use local_client::LocalClient;
pub use node::{Node, OpenError, Options, Retention};
