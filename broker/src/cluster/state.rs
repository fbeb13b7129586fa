//! What the registry knows of the cluster.

use std::collections::{BTreeMap, BTreeSet};

use pelton_client::{GroupId, NodeId, NodeInfo, NodePhase, Role};
use pelton_peer::PROTOCOL_MIN;
use serde::{Deserialize, Serialize};

use super::{Nonce, Speaks};

/// The registry's own group.
pub(crate) const REGISTRY: GroupId = GroupId(0);

/// Voters that the registry gets at a time: it goes from one odd number to the next, for two voters are gone with either of
/// them.
pub(crate) const MAX_ADDED_TO_REGISTRY: usize = 2;

/// Most nodes that are members at a time: placement looks at each of them for each group.
pub(crate) const MAX_NODES: usize = 128;

/// Most voters of the registry. More make each change slower, and five outlive the loss of two.
const MAX_REGISTRY_VOTERS: usize = 5;

/// Nodes and groups as of the last applied entry of the registry.
///
/// Before the cluster is formed it is empty, and every command but the forming one is refused.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ClusterState {
    /// The registry's log index of the last change.
    pub(crate) version: u64,
    /// How many nodes the list named that the cluster was formed from; 0 before it is formed. Log groups are made once
    /// so many are members.
    pub(crate) initial_nodes: u32,
    /// How many replicas a log group should have when there are nodes enough.
    pub(crate) replication: u32,
    /// The version of the protocol that the cluster is at; 0 as well for the first one ([`Self::protocol`]).
    #[serde(default)]
    pub(crate) protocol: u32,
    /// The id of the next new node. Ids are never given again.
    pub(crate) next_node: u64,
    /// The id of the next new group.
    pub(crate) next_group: u32,
    /// Every node that ever was.
    pub(crate) nodes: BTreeMap<NodeId, NodeRecord>,
    /// The groups that hold events.
    pub(crate) groups: BTreeMap<GroupId, GroupRecord>,
    /// The registry's group. Its `replicas` are the voters; every other node with role broker is a learner of it.
    pub(crate) registry: GroupRecord,
}

/// A node, and what tells it from another that takes its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NodeRecord {
    pub(crate) info: NodeInfo,
    /// Of its data directory.
    pub(crate) nonce: Nonce,
    /// What it speaks, as it said when it last started.
    #[serde(default)]
    pub(crate) speaks: Speaks,
    /// Whether a group was made for it, or given to it. Each node gets one, wherever that is at home later.
    pub(crate) has_group: bool,
}

/// Where a log group belongs, and where its leader last found it to be.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct GroupRecord {
    /// Counts the changes of this record.
    pub(crate) version: u64,
    /// The voters that the group should have. Its leader brings them about: adds, waits until caught up, changes the
    /// voters. A leader that is not among them hands over to one that is before it changes anything else.
    pub(crate) replicas: BTreeSet<NodeId>,
    /// The voters that the group has, as a leader of it recorded once that was committed. Empty until the group had its
    /// first leader: only then may `replicas` make the group's first membership.
    pub(crate) settled: BTreeSet<NodeId>,
    /// The term in which `settled` was recorded. A node that opens the group anew after it forgot its replica starts in
    /// this term: in an older one it could still be the quorum of a leader that was replaced long ago.
    pub(crate) settled_term: u64,
    /// Who should lead, of `replicas`.
    pub(crate) preferred: Option<NodeId>,
    /// The node that the group was made for. It leads the group whenever it can.
    pub(crate) home: Option<NodeId>,
    /// Whether events with a key may come here.
    pub(crate) keyed: bool,
}

impl GroupRecord {
    /// Every node that has to keep the group open: it should have a replica, or its replica still votes.
    pub(crate) fn holders(&self) -> BTreeSet<NodeId> {
        &self.replicas | &self.settled
    }

    /// Whether a change of its replicas is under way.
    pub(crate) fn is_moving(&self) -> bool {
        self.replicas != self.settled
    }
}

impl ClusterState {
    pub(crate) fn is_formed(&self) -> bool {
        self.initial_nodes > 0
    }

    /// The version of the protocol whose forms every node can read: what is written and sent has no newer one.
    pub(crate) fn protocol(&self) -> u32 {
        self.protocol.max(PROTOCOL_MIN)
    }

    /// The newest version that the cluster could go on to: all of its nodes speak it.
    pub(crate) fn next_protocol(&self) -> Option<u32> {
        let members = || self.nodes.values().filter(|node| node.phase() != NodePhase::Removed);
        let newest = members().map(|node| node.speaks.versions().max).min()?;
        let all = members().all(|node| node.speaks.versions().contains(newest));
        (all && newest > self.protocol()).then_some(newest)
    }

    /// The group's record, the registry's among them.
    pub(crate) fn group(&self, group: GroupId) -> Option<&GroupRecord> {
        if group == REGISTRY { Some(&self.registry) } else { self.groups.get(&group) }
    }

    pub(super) fn group_mut(&mut self, group: GroupId) -> Option<&mut GroupRecord> {
        if group == REGISTRY { Some(&mut self.registry) } else { self.groups.get_mut(&group) }
    }

    /// Nodes that are not removed.
    pub(crate) fn members(&self) -> impl Iterator<Item = (NodeId, &NodeInfo)> {
        self.nodes.iter().filter(|(_, node)| node.phase() != NodePhase::Removed).map(|(id, node)| (*id, &node.info))
    }

    /// The node, unless it is removed.
    pub(crate) fn member(&self, node: NodeId) -> Option<&NodeInfo> {
        self.nodes.get(&node).filter(|node| node.phase() != NodePhase::Removed).map(|node| &node.info)
    }

    /// Where a node is reached. One that was removed is still reached for as long as it votes in some group: without its
    /// vote the change that takes it out may have no quorum.
    pub(crate) fn address(&self, node: NodeId) -> Option<&str> {
        let record = self.nodes.get(&node)?;
        let votes = || self.groups.values().chain([&self.registry]).any(|group| group.settled.contains(&node));
        (record.phase() != NodePhase::Removed || votes()).then_some(record.info.peer_address.as_str())
    }

    /// The member of this name.
    pub(crate) fn named(&self, name: &str) -> Option<NodeId> {
        self.members().find(|(_, info)| info.name == name).map(|(id, _)| id)
    }

    /// Members that keep replicas, whatever their state.
    pub(crate) fn brokers(&self) -> impl Iterator<Item = NodeId> {
        self.members().filter(|(_, info)| info.roles.contains(&Role::Broker)).map(|(id, _)| id)
    }

    /// How many voters a group should have, whether or not there are nodes for them. One in a cluster that was formed by
    /// one node and has no other yet.
    pub(crate) fn voters_wanted(&self, group: GroupId) -> usize {
        if self.initial_nodes <= 1 && self.brokers().count() <= 1 {
            return 1;
        }
        let wanted = self.replication as usize;
        if group == REGISTRY { registry_voters(wanted) } else { wanted }
    }

    /// How many voters a group has that are members, as its leader recorded; `None` before it had a leader.
    pub(crate) fn voters_there(&self, group: &GroupRecord) -> Option<usize> {
        let there = group.settled.iter().filter(|node| self.member(**node).is_some()).count();
        (!group.settled.is_empty()).then_some(there)
    }

    /// Nodes that follow the registry without a vote.
    pub(crate) fn registry_learners(&self) -> BTreeSet<NodeId> {
        self.brokers().filter(|node| !self.registry.replicas.contains(node)).collect()
    }

    /// The groups, the registry's not among them, that the node has to keep open.
    pub(crate) fn held_by(&self, node: NodeId) -> impl Iterator<Item = (GroupId, &GroupRecord)> {
        let holds = move |group: &GroupRecord| group.replicas.contains(&node) || group.settled.contains(&node);
        self.groups.iter().filter(move |(_, group)| holds(group)).map(|(id, group)| (*id, group))
    }
}

/// How many of so many nodes vote in the registry. An odd number: an even one more outlives no more losses.
pub(crate) fn registry_voters(possible: usize) -> usize {
    match possible.min(MAX_REGISTRY_VOTERS) {
        0 => 0,
        count => count - (count + 1) % 2,
    }
}

impl NodeRecord {
    pub(crate) fn phase(&self) -> NodePhase {
        self.info.phase
    }
}
