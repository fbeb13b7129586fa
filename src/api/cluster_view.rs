//! What the API's JSON about the cluster looks like. The server writes it, the commands read it.

use std::collections::BTreeSet;

use pelton_client::{NodePhase, ReplicaRole, Role, Speaks};
use pelton_resource::Time;
use serde::{Deserialize, Serialize};

/// The name of the group that holds resources and the cluster itself.
pub const REGISTRY_NAME: &str = "registry";

/// The cluster as the node that was asked sees it, with what each node said of itself at that moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusterStatus {
    /// The moment of the answer, by the clock of the node that was asked.
    pub now: Time,
    /// The node that was asked; absent when it is no member.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// The version of the protocol that the cluster is at; absent when the node that was asked does not know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<u32>,
    /// The nodes that are members, by name.
    pub nodes: Vec<NodeStatus>,
    /// The groups, the registry first.
    pub groups: Vec<GroupStatus>,
    /// What is not as it should be. Empty when all is well.
    pub problems: Vec<ProblemStatus>,
}

/// A node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeStatus {
    /// Its identity, which no other node ever has.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// Where it stands in its life.
    pub phase: NodePhase,
    /// Whether it answered just now.
    pub answers: bool,
    /// Since when others cannot reach it, when they know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unreachable_since: Option<Time>,
    /// What it does.
    pub roles: BTreeSet<Role>,
    /// What fails together with it.
    pub zone: String,
    /// The program's version that it runs.
    pub version: String,
    /// The versions of the protocol that it speaks, as it said when it last started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub speaks: Option<Speaks>,
    /// Where other nodes reach it.
    pub peer: String,
    /// The URL of its ingress.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ingress: Option<String>,
    /// Where its administration API is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api: Option<String>,
    /// Groups that it leads, the registry among them.
    pub leads: usize,
    /// Replicas that it has, as far as it or a leader says.
    pub replicas: usize,
    /// Bytes of log that it keeps, when it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_bytes: Option<u64>,
}

/// A log group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GroupStatus {
    /// `registry`, or the number that stands in positions of events.
    pub name: String,
    /// Who leads it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leader: Option<String>,
    /// The term in which it is led, or the latest that is known.
    pub term: u64,
    /// Who should lead it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preferred: Option<String>,
    /// Whether events with a key may come here.
    pub keyed: bool,
    /// The end of its committed events, when its leader answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<u64>,
    /// Events that wait for some Trigger, when its leader answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backlog: Option<u64>,
    /// Its replicas, by the names of their nodes.
    pub replicas: Vec<ReplicaStatus>,
}

/// A replica of a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReplicaStatus {
    /// Its node.
    pub node: String,
    /// What it does; absent when its node does not answer, or has not opened it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<ReplicaRole>,
    /// Whether it is to stay: one that is moving away is not.
    pub wanted: bool,
    /// Entries of the leader's log that it has not confirmed, when the leader answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lag_entries: Option<u64>,
    /// The last index that it knows to be committed, when it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit_index: Option<u64>,
    /// The last index that it applied, when it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applied_index: Option<u64>,
}

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProblemStatus {
    /// What it is about: `node a`, `group 1`, `group 1 on a`.
    pub subject: String,
    /// A sentence.
    pub what: String,
    /// Since when, as far as anybody knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
}

/// A change to the cluster. Nodes are meant by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "kebab-case", deny_unknown_fields)]
pub enum ChangeBody {
    /// The node is to hand over its leaders, then its replicas.
    Drain {
        /// Which.
        node: String,
    },
    /// A draining node may hold replicas again.
    Undrain {
        /// Which.
        node: String,
    },
    /// The node is no member any more.
    Remove {
        /// Which.
        node: String,
        /// It never comes back: what only it had is given up.
        #[serde(default)]
        lost: bool,
    },
    /// A replica moves.
    Move {
        /// The group: a number.
        group: u32,
        /// Off this node.
        from: String,
        /// To this one.
        to: String,
    },
    /// A group is to be led by a node.
    Lead {
        /// The group: a number.
        group: u32,
        /// By whom.
        node: String,
    },
}
