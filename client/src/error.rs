//! What can go wrong between a role and the broker. In each, "refused" and "no answer" are different values.

use std::time::Duration;

use crate::{GroupId, NodeId, Offset};

/// Why an append was not acknowledged. All of a call's events share its fate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// More bytes wait to be synced than the node allows. Nothing was written.
    #[error("too many bytes wait to be written")]
    Overloaded {
        /// When it is worth asking again.
        retry_after: Duration,
    },
    /// The disk has no room for new events. Nothing was written; delivery goes on.
    #[error("the log's disk is full")]
    StorageFull,
    /// Events of the log group are damaged on all of its replicas, so it takes no new ones until somebody has looked at
    /// it. Nothing was written; delivery of what can be read goes on.
    #[error("the log group is damaged on all of its replicas, and takes no events")]
    Damaged,
    /// The events do not fit into one batch. Nothing was written.
    #[error("{size_bytes} B do not fit into one batch of at most {limit_bytes} B")]
    TooLarge {
        /// The events' size as records.
        size_bytes: usize,
        /// The largest batch.
        limit_bytes: usize,
    },
    /// This node does not lead the log group. Nothing was written.
    #[error("this node does not lead the log group")]
    NotLeader {
        /// Who does, as far as this node knows.
        leader: Option<NodeId>,
    },
    /// No leader took it: the group has none, or this node is going down. Nothing was written.
    #[error("the log group has no leader that takes events now")]
    Unavailable,
    /// A replica of the group reaches too few of the others for any of them to lead. Nothing was written.
    #[error("log group {group} has no quorum: {reached} of {voters} replicas can be reached")]
    NoQuorum {
        /// The group.
        group: GroupId,
        /// Replicas that can be reached, with the one that says so.
        reached: u32,
        /// All of them.
        voters: u32,
    },
    /// It was handed over and no answer came: it may or may not be in the log.
    #[error("the outcome of the append is not known")]
    OutcomeUnknown,
}

impl AppendError {
    /// Whether the same call may succeed later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Overloaded { .. }
            | Self::StorageFull
            | Self::Damaged
            | Self::NotLeader { .. }
            | Self::Unavailable
            | Self::NoQuorum { .. }
            | Self::OutcomeUnknown => true,
            Self::TooLarge { .. } => false,
        }
    }
}

/// Why a read gave no events.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The offset is below what is kept.
    #[error("offset {wanted} is no longer kept: the first one is {first}")]
    Purged {
        /// The offset asked for.
        wanted: Offset,
        /// The first offset there is.
        first: Offset,
    },
    /// There is no such group.
    #[error("there is no log group {0}")]
    UnknownGroup(GroupId),
    /// The log could not be read here.
    #[error("the log could not be read: {0}")]
    Storage(String),
    /// This node does not lead the log group. Nothing was read.
    #[error("this node does not lead the log group")]
    NotLeader {
        /// Who does, as far as this node knows.
        leader: Option<NodeId>,
    },
    /// No answer.
    #[error("the log group did not answer")]
    Unavailable,
}

/// Why an operation on cursors or dead letters was not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OperationError {
    /// There is no such trigger, or it was not started in this group.
    #[error("there is no such trigger")]
    UnknownTrigger,
    /// There is no such dead letter.
    #[error("there is no such dead letter")]
    UnknownDeadLetter,
    /// There is no such group.
    #[error("there is no log group {0}")]
    UnknownGroup(GroupId),
    /// This node does not lead the log group. Nothing was done.
    #[error("this node does not lead the log group")]
    NotLeader {
        /// Who does, as far as this node knows.
        leader: Option<NodeId>,
    },
    /// The session has ended: another dispatcher delivers the group's events. Nothing was done.
    #[error("another dispatcher serves the log group now")]
    SessionEnded,
    /// No leader took it, or the disk is full. Nothing was done.
    #[error("the log group takes no changes now")]
    Unavailable,
    /// It does not fit into one entry of the log. Nothing was done, and asking again as it is changes nothing.
    #[error("the change does not fit into one entry of the log")]
    TooLarge,
    /// It was handed over and no answer came.
    #[error("the outcome is not known")]
    OutcomeUnknown,
}

/// Why resources were not stored.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// A resource is not valid. Nothing was stored.
    #[error("{kind} {name} is not valid: {errors}")]
    Invalid {
        /// The resource's kind.
        kind: String,
        /// `namespace/name`.
        name: String,
        /// Every rule it breaks, each with its field path.
        errors: String,
    },
    /// The resource was changed by someone else since it was read. Nothing was stored.
    #[error("{kind} {name} was changed since: resourceVersion is {current}")]
    Conflict {
        /// The resource's kind.
        kind: String,
        /// `namespace/name`.
        name: String,
        /// The version that is stored now.
        current: String,
    },
    /// There is such a resource already. Nothing was stored.
    #[error("{kind} {name} exists already")]
    AlreadyExists {
        /// The resource's kind.
        kind: String,
        /// `namespace/name`.
        name: String,
    },
    /// Objects of core kinds would take more than they may together. Nothing was stored.
    #[error("objects of core kinds take {bytes} bytes then; all together may take {limit}")]
    TooMuch {
        /// What they would take.
        bytes: u64,
        /// What they may.
        limit: u64,
    },
    /// There is no such resource to change.
    #[error("{kind} {name} does not exist")]
    NotFound {
        /// The resource's kind.
        kind: String,
        /// `namespace/name`.
        name: String,
    },
    /// This node does not lead the registry. Nothing was stored.
    #[error("this node does not lead the registry")]
    NotLeader {
        /// Who does, as far as this node knows.
        leader: Option<NodeId>,
    },
    /// The registry takes no changes now. Nothing was stored.
    #[error("the registry takes no changes now")]
    Unavailable,
    /// It was handed over and no answer came.
    #[error("the outcome is not known")]
    OutcomeUnknown,
}

/// Why a change to the cluster was not made.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// It makes no sense, or would lose something. Nothing was changed.
    #[error("{0}")]
    Refused(String),
    /// This node does not lead the registry. Nothing was changed.
    #[error("this node does not lead the registry")]
    NotLeader {
        /// Who does, as far as this node knows.
        leader: Option<NodeId>,
    },
    /// The registry takes no changes now. Nothing was changed.
    #[error("the registry takes no changes now")]
    Unavailable,
    /// It was handed over and no answer came.
    #[error("the outcome is not known")]
    OutcomeUnknown,
}
