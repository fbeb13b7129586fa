//! The cluster as its members and the command line see it: nodes, log groups, who leads what.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use pelton_peer::{PROTOCOL_MIN, Versions};
use pelton_resource::Time;
use serde::{Deserialize, Serialize};

use crate::GroupId;

/// A node's identity in its cluster, from 1 on. Given once and never again, whatever becomes of the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NodeId(pub u64);

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a node does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Keeps replicas of log groups and of the registry.
    Broker,
    /// Takes events in.
    Ingress,
    /// Delivers them.
    Dispatcher,
    /// Takes requests to services in, and runs instances of them.
    Gateway,
}

/// Which versions of the protocol a node speaks: [`Versions`], as they are stored and shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Speaks {
    /// The oldest.
    pub min: u32,
    /// The newest.
    pub max: u32,
}

impl Speaks {
    /// The same, to be asked.
    #[must_use]
    pub fn versions(self) -> Versions {
        Versions { min: self.min, max: self.max }
    }
}

impl From<Versions> for Speaks {
    fn from(versions: Versions) -> Self {
        Self { min: versions.min, max: versions.max }
    }
}

/// What a node speaks that does not say: only the first version.
impl Default for Speaks {
    fn default() -> Self {
        Self { min: PROTOCOL_MIN, max: PROTOCOL_MIN }
    }
}

/// Where a node stands in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NodePhase {
    /// It may hold replicas and lead.
    Active,
    /// It hands over its leaders, then its replicas, and gets no new ones.
    Draining,
    /// It is no member any more. Its id is kept so that it is never given again.
    Removed,
}

/// What is known of a node. Names and addresses are as it gave them when it joined or last started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeInfo {
    /// Its name, unique among the nodes that are not removed: a DNS label.
    pub name: String,
    /// Where other nodes reach it: `host:port`.
    pub peer_address: String,
    /// The URL under which its ingress is reached, when it has that role.
    pub ingress: Option<String>,
    /// Where its administration API is: `host:port`.
    pub api: Option<String>,
    /// Where its gateway is, when it has that role: `host:port`.
    #[serde(default)]
    pub gateway: Option<String>,
    /// What fails together: replicas of a group are spread over zones.
    pub zone: String,
    /// What it does.
    pub roles: BTreeSet<Role>,
    /// Where it stands.
    pub phase: NodePhase,
    /// The program's version that it runs.
    pub version: String,
}

/// Who holds and leads a log group, as far as the node that was asked knows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupInfo {
    /// The term in which `leader` leads.
    pub term: u64,
    /// Who leads it; `None` when that is not known, or nobody does.
    pub leader: Option<NodeId>,
    /// Where its replicas should be.
    pub replicas: BTreeSet<NodeId>,
    /// Who should lead it.
    pub preferred: Option<NodeId>,
    /// Whether events with a key may come here. The set of groups with keys is fixed when the cluster is formed, so
    /// that a key never changes its group.
    pub keyed: bool,
}

/// The cluster as one of its nodes knows it now. Immutable; a change makes a new one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterView {
    /// The registry's log index as of which nodes and replicas are true. Leaders are as of now.
    pub version: u64,
    /// The node that was asked; `None` when it is no member: a role on a machine of its own.
    pub this: Option<NodeId>,
    /// Every node that ever was.
    pub nodes: BTreeMap<NodeId, NodeInfo>,
    /// The groups that hold events.
    pub groups: BTreeMap<GroupId, GroupInfo>,
    /// The group that holds resources and the cluster itself.
    pub registry: GroupInfo,
    /// The version of the protocol that the cluster is at; 0 when whoever was asked does not say.
    #[serde(default)]
    pub protocol: u32,
    /// What each node speaks, as it said when it last started.
    #[serde(default)]
    pub speaks: BTreeMap<NodeId, Speaks>,
}

/// What a node's replica of a group is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReplicaRole {
    /// It leads.
    Leader,
    /// It follows and votes.
    Follower,
    /// It stands for election.
    Candidate,
    /// It follows and does not vote yet.
    Learner,
    /// It ended with an error, or holds damage that is not repaired.
    Failed,
}

/// How far a follower is, as its leader sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FollowerReport {
    /// Entries of the leader's log that it has not confirmed.
    pub lag_entries: u64,
    /// Since it last answered.
    pub silent_for: Option<Duration>,
}

/// One replica, as its node reports it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaReport {
    /// What it is doing.
    pub role: ReplicaRole,
    /// Its term.
    pub term: u64,
    /// Whom it takes for the leader.
    pub leader: Option<NodeId>,
    /// The last index in its log.
    pub last_index: u64,
    /// The last index that it knows to be committed.
    pub commit_index: u64,
    /// The last index that it applied.
    pub applied_index: u64,
    /// The end (exclusive) of its committed events; 0 for the registry.
    pub end: u64,
    /// Its followers, when it leads.
    pub followers: BTreeMap<NodeId, FollowerReport>,
    /// Events that wait for some trigger, when it leads: those from the lowest cursor's floor on.
    pub backlog: u64,
    /// What is wrong, with the time since when. Empty when nothing is.
    pub problems: Vec<Problem>,
    /// Since when no leader that has a quorum is known to it.
    #[serde(default)]
    pub unled_since: Option<Time>,
    /// That its group has fewer voters than it should.
    #[serde(default)]
    pub too_few: Option<TooFew>,
}

/// A group with fewer voters than it should have: it outlives the loss of fewer nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TooFew {
    /// Those it has.
    pub has: u32,
    /// Those it should have: the replicas that the cluster was asked for.
    pub wanted: u32,
    /// Since when.
    pub since: Time,
}

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// A sentence.
    pub what: String,
    /// Since when.
    pub since: Time,
}

/// A node's own report.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeReport {
    /// Its replicas, the registry's (group 0) among them.
    pub replicas: BTreeMap<GroupId, ReplicaReport>,
    /// Bytes of log that it keeps.
    pub log_bytes: u64,
    /// What is wrong with the node as a whole.
    pub problems: Vec<Problem>,
    /// What it cannot reach, and since when.
    pub unreachable: BTreeMap<NodeId, Time>,
}

/// A change to the cluster that an operator asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ClusterChange {
    /// The node is to hand over everything.
    Drain(NodeId),
    /// A draining node may hold replicas again.
    Undrain(NodeId),
    /// The node is no member any more. Refused while it holds replicas that nobody else has, unless `lost`: then what
    /// only it had is given up.
    Remove {
        /// Which.
        node: NodeId,
        /// It never comes back.
        lost: bool,
    },
    /// A replica of the group moves.
    Move {
        /// Which group.
        group: GroupId,
        /// Off this node.
        from: NodeId,
        /// To this one.
        to: NodeId,
    },
    /// The group is to be led by this node.
    Lead {
        /// Which group.
        group: GroupId,
        /// By whom.
        node: NodeId,
    },
}

/// The right to deliver a group's events, held by one dispatcher at a time: a leader's term, and the how-manieth it
/// gave in that term. Progress that names an older one changes nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Session {
    /// The leader's term.
    pub term: u64,
    /// Counts the sessions of a term.
    pub grant: u64,
}

/// A session that a dispatcher was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Grant {
    /// The session.
    pub session: Session,
    /// The leader is about to hand the group over: what has begun is to be finished and stored and the session given back,
    /// so that whoever delivers next does none of it again. What is not finished within half a second is done again.
    pub is_to_finish: bool,
}

impl From<Session> for Grant {
    fn from(session: Session) -> Self {
        Self { session, is_to_finish: false }
    }
}

/// What has become of a dispatcher's wish to deliver a group's events.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Serving {
    /// Nothing yet, or no longer: another dispatcher has the session, or nobody has.
    #[default]
    Waits,
    /// It has the session.
    Granted(Grant),
    /// The node that was asked does not lead the group; who does, as far as it knows. Nothing else follows.
    Elsewhere(Option<NodeId>),
}

impl Serving {
    /// The session, if it has one.
    #[must_use]
    pub fn session(self) -> Option<Session> {
        match self {
            Self::Granted(grant) => Some(grant.session),
            Self::Waits | Self::Elsewhere(_) => None,
        }
    }
}

/// What makes a second try of an append known: who tries, and its how-manieth append it is. In the deduplication window
/// of the group for [`PRODUCER_WINDOW`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ProducerKey {
    /// Chosen at random by each process that appends.
    pub producer: u64,
    /// Counts its appends.
    pub sequence: u64,
}

/// For how long a leader recognises an append that is tried again: far longer than anybody tries.
pub const PRODUCER_WINDOW: Duration = Duration::from_secs(300);
