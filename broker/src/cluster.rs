//! The cluster itself as registry state: who its nodes are, which log groups there are, where their replicas belong.
//!
//! [`ClusterState`] is pure: a function of the [`ClusterCommand`]s in the registry's log, the same on every node.

mod apply;
mod command;
mod nonce;
mod refusal;
mod state;

pub(crate) use command::{Answer, ClusterCommand, Outcome};
pub(crate) use nonce::Nonce;
pub(crate) use refusal::Refusal;
pub(crate) use state::{ClusterState, GroupRecord, NodeRecord, REGISTRY};

#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) use tests::{broker_info, formed, nonce, three_nodes};
