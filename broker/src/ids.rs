//! The same number has a type in each layer: from those of `client` to those of the log and of consensus, and back.

use std::collections::BTreeSet;

use pelton_client::{GroupId, NodeId};

pub(crate) fn raft_node(node: NodeId) -> pelton_consensus::NodeId {
    pelton_consensus::NodeId(node.0)
}

pub(crate) fn raft_nodes(nodes: &BTreeSet<NodeId>) -> BTreeSet<pelton_consensus::NodeId> {
    nodes.iter().copied().map(raft_node).collect()
}

pub(crate) fn node(node: pelton_consensus::NodeId) -> NodeId {
    NodeId(node.0)
}

pub(crate) fn nodes(nodes: &BTreeSet<pelton_consensus::NodeId>) -> BTreeSet<NodeId> {
    nodes.iter().copied().map(node).collect()
}

pub(crate) fn log_group(group: GroupId) -> pelton_log::GroupId {
    pelton_log::GroupId(group.0)
}
