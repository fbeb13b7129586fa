//! What changes the cluster: each command is one entry of the registry's log.

use std::collections::{BTreeMap, BTreeSet};

use pelton_client::{GroupId, NodeId, NodeInfo};
use serde::{Deserialize, Serialize};

use super::{Nonce, Refusal, Speaks};

/// A change of [`super::ClusterState`]. One that does not fit when its turn comes changes nothing, and says why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ClusterCommand {
    /// The cluster begins, with its first node.
    Form {
        /// See [`super::ClusterState::initial_nodes`]; at least 1.
        initial_nodes: u32,
        /// See [`super::ClusterState::replication`]; at least 1.
        replication: u32,
        info: NodeInfo,
        nonce: Nonce,
        #[serde(default)]
        speaks: Speaks,
    },
    /// A new node comes in and gets an id; the same one when it asks again. The phase in `info` says nothing: a new node
    /// is active, another stays as it is.
    Join {
        info: NodeInfo,
        nonce: Nonce,
        #[serde(default)]
        speaks: Speaks,
    },
    /// A node that has an id tells what it is called and where it is now. The phase in `info` says nothing.
    Update {
        node: NodeId,
        info: NodeInfo,
        nonce: Nonce,
        #[serde(default)]
        speaks: Speaks,
    },
    /// The node is to hand over everything.
    Drain(NodeId),
    /// A draining node may hold replicas again.
    Undrain(NodeId),
    /// The node is no member any more. With `lost` it never comes back, and what only it had is given up.
    Remove { node: NodeId, lost: bool },
    /// A new group, led by `home`. `group` is the id that it gets; refused when that is not the next one, so that two
    /// proposals from one state make one group.
    CreateGroup { group: GroupId, replicas: BTreeSet<NodeId>, home: NodeId, keyed: bool },
    /// Where a group belongs. Refused when the group is no longer at `version`, and when it would have more than one
    /// replica added to and one taken from those that it has.
    PlaceGroup {
        group: GroupId,
        version: u64,
        replicas: BTreeSet<NodeId>,
        preferred: Option<NodeId>,
        home: Option<NodeId>,
    },
    /// The voters of a group, as its leader of that term committed them.
    Settle { group: GroupId, term: u64, voters: BTreeSet<NodeId> },
    /// From now on everything may have the form of this version of the protocol. Refused unless every node speaks it.
    RaiseProtocol { to: u32 },
    /// An operator says that the other nodes are gone for ever: the cluster is `node`, which goes on alone with the
    /// groups in `held`, each since a term. Written by [`crate::Recovery`] only, into a log that no node has open.
    Survive { node: NodeId, held: BTreeMap<GroupId, u64> },
}

/// What came of a command.
pub(crate) type Outcome = Result<Answer, Refusal>;

/// What a command did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The node's id.
    Joined(NodeId),
    /// The new group's id.
    Created(GroupId),
    /// What was asked for.
    Changed,
    /// Nothing: it was so already.
    Unchanged,
}
