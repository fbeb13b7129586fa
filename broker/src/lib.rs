//! The broker: log groups that hold events, cursors and dead letters, and the registry that holds resources.
//!
//! [`Node`] opens everything in one data directory; [`LocalNode`] is the in-process form of
//! [`pelton_client::NodeClient`]. Nothing else of the broker is visible to the other roles.
//!
//! - A data group's replicated state is `core::Core`: pure, a function of its commands. Its trailing copy stands at
//!   the retention watermark and is what a Raft snapshot holds.
//! - `proposer` seals batches; one object a batch wakes its callers at commit.
//! - `retention` decides what may go: age and bytes, but nothing that a cursor or a live dead letter needs.
//! - `cluster` is what the registry says of nodes and groups: pure, a function of its commands.
//! - `protocol` keeps what is written in a form that every node of the cluster reads.
//! - `recovery` makes one node a cluster of its own when most of the others are gone for ever.
//! - `formation` is a node's way into a cluster, and how nodes speak with the registry's leader about it.
//! - `groups` are the replicas that are open here, and what the leader of each does.
//! - `registry` is one more group. Its applied state is kept in sled, which never holds the only copy of anything.
//! - `triggers` starts new triggers in a group and drops gone ones, `controller` keeps every status true.

mod ack;
mod ages;
mod blocking;
mod cluster;
mod command;
mod controller;
mod core;
mod ended;
mod enter;
mod event_state;
mod formation;
mod groups;
mod health;
mod identity;
mod ids;
mod keys;
mod late;
mod local_node;
mod member;
mod metrics;
mod node;
mod proposer;
mod protocol;
mod recovery;
mod registrar;
mod registry;
mod reports;
mod retention;
mod scrub;
mod sessions;
mod slabs;
#[cfg(test)]
mod test_node;
mod triggers;
mod view;

pub use ack::Append;
pub use blocking::Blocking;
pub use ended::{Ended, EndedHook};
pub use formation::CannotEnter;
pub use local_node::LocalNode;
pub use member::{Member, OnWaiting, Timing};
pub use node::{Node, OpenError, Options, RegistryStore, Retention};
pub use protocol::NotSpoken;
pub use recovery::{GroupFate, Recovery, RecoveryError, RecoveryPlan};
