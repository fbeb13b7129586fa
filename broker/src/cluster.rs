//! The cluster itself as registry state: who its nodes are, which log groups there are, where their replicas belong.
//!
//! [`ClusterState`] is pure: a function of the [`ClusterCommand`]s in the registry's log, the same on every node. The
//! registry's leader proposes those that [`plan`] finds needed, and those that operators and joining nodes ask for.

mod apply;
mod command;
mod nonce;
mod operator;
mod placement;
mod refusal;
mod silence;
mod spread;
mod state;
mod survive;

pub(crate) use command::{Answer, ClusterCommand, Outcome};
pub(crate) use nonce::Nonce;
pub(crate) use operator::command_for;
pub(crate) use pelton_client::Speaks;
pub(crate) use placement::{Observed, plan};
pub(crate) use refusal::Refusal;
pub(crate) use silence::Silence;
pub(crate) use state::{ClusterState, GroupRecord, MAX_NODES, NodeRecord, REGISTRY};

#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) use tests::{broker_info, nonce, three_nodes};
