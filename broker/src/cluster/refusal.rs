//! Why the cluster is not changed, as the operator reads it.

use pelton_client::{GroupId, NodeId};
use pelton_peer::Versions;

/// Why a change of the cluster was refused. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("the cluster is not formed yet")]
    NotFormed,
    #[error("the cluster is formed already")]
    AlreadyFormed,
    #[error(
        "node {node} of this cluster is called {name} already, and its data directory is another one: if its disk is \
         lost, remove that node first (`pelton node remove {name} --lost`), or join under a new name"
    )]
    NameTaken { name: String, node: NodeId },
    #[error("{name:?} is no name for a node: it has to be a DNS label, as in node-1")]
    BadName { name: String },
    #[error("the cluster has {limit} nodes, and that is the most it may have")]
    TooManyNodes { limit: usize },
    #[error("there is no node {0}")]
    UnknownNode(NodeId),
    #[error(
        "node {node} ({name}) was removed from the cluster; its id is never given again: start it with an empty data \
         directory to join as a new node"
    )]
    Removed { node: NodeId, name: String },
    #[error(
        "node {0} has another data directory: start with that one, or with an empty one to join as a new node under \
         another name"
    )]
    OtherDirectory(NodeId),
    #[error(
        "no protocol version in common: the cluster is at version {cluster}, and the node speaks {node}; start it with a \
         program that speaks that version"
    )]
    Protocol { cluster: u32, node: Versions },
    #[error("node {node} does not speak version {protocol} of the protocol")]
    NotSpoken { node: NodeId, protocol: u32 },
    #[error("node {0} holds the registry's only vote: drain it first")]
    LastVoter(NodeId),
    #[error("node {0} is not a broker: it holds no replicas")]
    NotABroker(NodeId),
    #[error("node {0} is draining")]
    Draining(NodeId),
    #[error("node {0} has not answered for {1} s")]
    Silent(NodeId, u64),
    #[error("node {0} should lead nothing: its disk is full, slow or hung, or was so a moment ago")]
    Unfit(NodeId),
    #[error("node {0} answered less than {1} s ago, so it is not lost: stop it first, or remove it without --lost")]
    NotLost(NodeId, u64),
    #[error("node {0} is the last broker that is not draining: nobody can take over from it")]
    LastBroker(NodeId),
    #[error(
        "node {node} holds the only replica of group {group}: drain it first, or say --lost if it never comes back and \
         what only it has is to be given up"
    )]
    LastReplica { node: NodeId, group: GroupId },
    #[error("there is no log group {0}")]
    UnknownGroup(GroupId),
    #[error("group {0} was made or changed meanwhile")]
    Outdated(GroupId),
    #[error("the replicas of group {0} are being changed; wait until that is done")]
    Moving(GroupId),
    #[error("group {0} would have too many replicas changed at a time")]
    TooMuchAtOnce(GroupId),
    #[error("group {0} would have no replica")]
    NoReplica(GroupId),
    #[error("node {node} holds no replica of group {group}")]
    NotAReplica { node: NodeId, group: GroupId },
    #[error("node {node} holds a replica of group {group} already")]
    AlreadyAReplica { node: NodeId, group: GroupId },
    #[error("a leader of a later term spoke for group {0}")]
    OldTerm(GroupId),
    #[error("replicas of the registry are placed by the cluster itself")]
    RegistryIsNotMoved,
}
