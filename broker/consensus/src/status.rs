//! What a group is doing on this node.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use openraft::async_runtime::watch::WatchReceiver;
use openraft::{Instant as _, ServerState};
use pelton_log::{LogIndex, Term};

use crate::leadership::other_leader;
use crate::{Group, NodeId, StateMachine};

/// What this node is in a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It leads.
    Leader,
    /// It votes and follows.
    Follower,
    /// It stands for election.
    Candidate,
    /// It follows without a vote, or is no member.
    Learner,
    /// The group has failed or was shut down here.
    Ended,
}

/// A follower or learner, as its leader sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FollowerStatus {
    /// The last index that it is known to have in synced storage.
    pub matched: Option<LogIndex>,
    /// How long ago the last request that it answered was sent; `None` when it has answered none.
    pub answered: Option<Duration>,
}

/// What a group is doing on this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupStatus {
    /// What this node is in it.
    pub role: Role,
    /// The current term.
    pub term: Term,
    /// Who leads, as far as this node knows.
    pub leader: Option<NodeId>,
    /// Those who vote; while the voters change, the old and the new ones.
    pub voters: BTreeSet<NodeId>,
    /// Those who follow without a vote.
    pub learners: BTreeSet<NodeId>,
    /// Whether a change of the voters is half done.
    pub is_joint: bool,
    /// The oldest entry in the log.
    pub first_index: Option<LogIndex>,
    /// The newest entry in the log, or the last purged when it is empty.
    pub last_index: Option<LogIndex>,
    /// The last entry that is known to be committed and is in this node's log.
    pub committed_index: Option<LogIndex>,
    /// The last applied entry.
    pub applied_index: Option<LogIndex>,
    /// The last purged entry.
    pub purged_index: Option<LogIndex>,
    /// Followers and learners, on the leader.
    pub followers: BTreeMap<NodeId, FollowerStatus>,
    /// How often this node has become leader since it opened the group.
    pub elections_won: u64,
    /// How many snapshots of another replica were installed here since it was opened.
    pub snapshots_installed: u64,
}

impl GroupStatus {
    /// Whether this node leads the group.
    #[must_use]
    pub fn is_leader(&self) -> bool {
        self.role == Role::Leader
    }
}

impl<S: StateMachine> Group<S> {
    /// What the group is doing here.
    #[must_use]
    pub fn status(&self) -> GroupStatus {
        let view = self.log().group(self.id());
        let metrics = self.raft().metrics();
        let metrics = metrics.borrow_watched();
        let role = match metrics.state {
            _ if metrics.running_state.is_err() => Role::Ended,
            ServerState::Leader => Role::Leader,
            ServerState::Follower => Role::Follower,
            ServerState::Candidate => Role::Candidate,
            ServerState::Learner => Role::Learner,
            ServerState::Shutdown => Role::Ended,
        };
        let matched = metrics.replication.iter().flatten();
        let heard = |node: &u64| {
            let times = metrics.heartbeat.as_ref()?;
            Some((*times.get(node)?)?.elapsed())
        };
        let followers = matched
            .filter(|(node, _)| **node != metrics.id)
            .map(|(node, id)| {
                let matched = id.map(|id| LogIndex(id.index));
                (NodeId(*node), FollowerStatus { matched, answered: heard(node) })
            })
            .collect();
        let membership = metrics.membership_config.membership();
        GroupStatus {
            role,
            term: Term(metrics.current_term),
            leader: match role {
                Role::Leader => Some(NodeId(metrics.id)),
                _ => other_leader(metrics.current_leader, NodeId(metrics.id)),
            },
            voters: membership.voter_ids().map(NodeId).collect(),
            learners: membership.learner_ids().map(NodeId).collect(),
            is_joint: membership.get_joint_config().len() > 1,
            first_index: view.first,
            last_index: metrics.last_log_index.map(LogIndex),
            committed_index: metrics.local_committed.map(|id| LogIndex(id.index)),
            applied_index: metrics.last_applied.map(|id| LogIndex(id.index)),
            purged_index: view.purged.map(|(_, _, index)| index),
            followers,
            elections_won: self.elections_won(),
            snapshots_installed: self.snapshots_installed(),
        }
    }
}
