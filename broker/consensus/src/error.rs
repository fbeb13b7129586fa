//! Why an operation on a group failed: one enum an operation.

use std::io;

use pelton_log::GroupId;

use crate::group::LEAD_WITHIN;
use crate::{NodeId, Unsound};

/// Why a group could not be opened, or ended.
#[derive(Debug, thiserror::Error)]
pub enum GroupError {
    /// The settings contradict each other.
    #[error("settings of the log group: {0}")]
    Config(String),
    /// The stored checkpoint cannot be used.
    #[error("checkpoint of log group {group} cannot be used: {why}", group = group.0)]
    Checkpoint {
        /// The group.
        group: GroupId,
        /// What is wrong with it.
        why: String,
    },
    /// Entries are damaged, and there is no other replica.
    #[error("log group {group} holds {what}, and has no other replica", group = group.0)]
    Damaged {
        /// The group.
        group: GroupId,
        /// What is damaged.
        what: Unsound,
    },
    /// The core stopped.
    #[error("log group {group} failed: {why}", group = group.0)]
    Failed {
        /// The group.
        group: GroupId,
        /// As the core says.
        why: String,
    },
    /// The voters of a new group do not include this node.
    #[error("log group {group} cannot be made by node {node}, which is none of its voters", group = group.0)]
    NotAVoter {
        /// The group.
        group: GroupId,
        /// This node.
        node: NodeId,
    },
    /// Nothing led the group in time.
    #[error("log group {group} has no leader, and applied nothing for {LEAD_WITHIN:?}", group = group.0)]
    NoLeader {
        /// The group.
        group: GroupId,
    },
    /// The log could not be written.
    #[error("log group {group}: the log could not be written", group = group.0)]
    Log {
        /// The group.
        group: GroupId,
        /// The cause.
        source: io::Error,
    },
}

/// Why this node cannot say how far a reader has to be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadIndexError {
    /// Another node leads, or none.
    #[error("this node does not lead the group")]
    NotLeader {
        /// Who does, as far as this node knows.
        leader: Option<NodeId>,
    },
    /// No quorum confirmed in time that this node still leads, or what it confirmed was not applied in time.
    #[error("no quorum answered in time")]
    Unavailable,
    /// The group has ended on this node.
    #[error("the group has ended on this node: {why}")]
    Ended {
        /// As the core says.
        why: String,
    },
}

/// Why the members of a group or its leader were not changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MembershipError {
    /// Another node leads, or none. Nothing was changed.
    #[error("this node does not lead the group")]
    NotLeader {
        /// Who does, as far as this node knows.
        leader: Option<NodeId>,
    },
    /// A group has at least one voter. Nothing was changed.
    #[error("a group cannot be without voters")]
    NoVoters,
    /// The node is not a learner or voter of the group; it has to be added first. Nothing was changed.
    #[error("node {node} is not a member of the group")]
    NotAMember {
        /// The node.
        node: NodeId,
    },
    /// The node is not a voter of the group, so it cannot lead it. Nothing was changed.
    #[error("node {node} is not a voter of the group")]
    NotAVoter {
        /// The node.
        node: NodeId,
    },
    /// The node is a voter, so it cannot be dropped as a learner. Nothing was changed.
    #[error("node {node} is a voter of the group")]
    StillAVoter {
        /// The node.
        node: NodeId,
    },
    /// The node does not answer, or is too far behind to take over without a pause. Nothing was changed.
    #[error("node {node} is not ready to lead: it is behind, or does not answer")]
    Behind {
        /// The node.
        node: NodeId,
    },
    /// The node's replica is damaged, and does not lead before it is repaired. Nothing was changed.
    #[error("the replica on node {node} is damaged")]
    Damaged {
        /// The node.
        node: NodeId,
    },
    /// Another change is not committed yet. Nothing was changed; try again.
    #[error("another change of the members is on its way")]
    InProgress,
    /// The change was not seen to be done in time. It may be done, in part or in whole, or still be; asking for it again
    /// does no harm.
    #[error("whether the members are changed is not known yet")]
    OutcomeUnknown,
    /// The group has ended on this node.
    #[error("the group has ended on this node: {why}")]
    Ended {
        /// As the core says.
        why: String,
    },
}
