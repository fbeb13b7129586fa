//! Who belongs to a group, and who leads it.

use std::collections::BTreeSet;
use std::future::Future;
use std::time::Duration;

use openraft::async_runtime::watch::WatchReceiver;
use openraft::errors::{ChangeMembershipError, ClientWriteError, RaftError};
use openraft::raft::ClientWriteResponse;
use openraft::{ChangeMembers, EmptyNode, Instant as _, RaftMetrics, ServerState};

use crate::leadership::other_leader;
use crate::types::Types;
use crate::{Group, MembershipError, NodeId, StateMachine};

/// How long a change of the members may take to be committed before it is left to itself. Two commits, of which each
/// may have to wait for a disk.
const CHANGE_WITHIN: Duration = Duration::from_secs(10);

/// Entries that a node may still lack when it is to lead: it gets them before it stands, and nobody writes meanwhile.
const MAX_BEHIND: u64 = 64;

impl<S: StateMachine> Group<S> {
    /// Adds a node that follows without a vote, and returns when that is committed. How far it is then comes from
    /// [`status`](Self::status). No change when it is a member already.
    ///
    /// # Errors
    /// See [`MembershipError`].
    pub async fn add_learner(&self, node: NodeId) -> Result<(), MembershipError> {
        let _changing = self.changing().lock().await;
        let is_member = {
            let metrics = self.raft().metrics();
            let metrics = metrics.borrow_watched();
            must_lead(&metrics)?;
            let membership = metrics.membership_config.membership();
            membership.get_node(&node.0).is_some()
        };
        if is_member {
            return Ok(());
        }
        // "Blocking" would wait until it has caught up, without a limit.
        changed(self.raft().add_learner(node.0, EmptyNode {}, false)).await
    }

    /// Makes these the voters, all at once, through a joint membership; returns when it is committed. Each must be a
    /// learner or voter, and should have caught up. Voters that are left out are dropped, not kept as learners; the
    /// leader, too, may be among them: it hands over when it is done.
    ///
    /// A leader that fails in between leaves a joint membership; asking again, at the new leader, completes it.
    ///
    /// # Errors
    /// See [`MembershipError`].
    pub async fn change_voters(&self, voters: BTreeSet<NodeId>) -> Result<(), MembershipError> {
        if voters.is_empty() {
            return Err(MembershipError::NoVoters);
        }
        let _changing = self.changing().lock().await;
        let voters: BTreeSet<u64> = voters.iter().map(|node| node.0).collect();
        let is_so = {
            let metrics = self.raft().metrics();
            let metrics = metrics.borrow_watched();
            must_lead(&metrics)?;
            let committed = metrics.committed_membership_config.membership();
            let effective = metrics.membership_config.membership();
            committed == effective && effective.get_joint_config() == std::slice::from_ref(&voters)
        };
        if is_so {
            return Ok(());
        }
        let done = changed(self.raft().change_membership(ChangeMembers::ReplaceAllVoters(voters), false)).await;
        match done {
            // It may have stopped leading between the two steps.
            Err(MembershipError::NotLeader { .. }) if self.status().is_joint => Err(MembershipError::OutcomeUnknown),
            done => done,
        }
    }

    /// Drops a learner; returns when that is committed. No change when it is no member.
    ///
    /// # Errors
    /// See [`MembershipError`]. Voters are dropped by [`change_voters`](Self::change_voters).
    pub async fn remove_learner(&self, node: NodeId) -> Result<(), MembershipError> {
        let _changing = self.changing().lock().await;
        let (is_member, is_voter) = {
            let metrics = self.raft().metrics();
            let metrics = metrics.borrow_watched();
            must_lead(&metrics)?;
            let membership = metrics.membership_config.membership();
            (membership.get_node(&node.0).is_some(), is_voter(&metrics, node))
        };
        match (is_member, is_voter) {
            (false, _) => Ok(()),
            (true, true) => Err(MembershipError::StillAVoter { node }),
            (true, false) => {
                changed(self.raft().change_membership(ChangeMembers::RemoveNodes(BTreeSet::from([node.0])), false))
                    .await
            }
        }
    }

    /// Hands the leadership over and returns when `to` leads. Proposals are refused meanwhile; those that were taken
    /// before are committed by the new leader. No change when it leads already.
    ///
    /// # Errors
    /// See [`MembershipError`]. After [`MembershipError::OutcomeUnknown`] the group elects, and `to` may win.
    pub async fn transfer_leader(&self, to: NodeId) -> Result<(), MembershipError> {
        let _changing = self.changing().lock().await;
        let within = self.election_timeout().0;
        {
            let metrics = self.raft().metrics();
            let metrics = metrics.borrow_watched();
            must_lead(&metrics)?;
            if metrics.current_leader == Some(to.0) {
                return Ok(());
            }
            if !is_voter(&metrics, to) {
                return Err(MembershipError::NotAVoter { node: to });
            }
            // A leader that hands over stops for good: if `to` cannot take over, the group waits for an election.
            if !is_ready(&metrics, to, within) {
                return Err(MembershipError::Behind { node: to });
            }
        }
        // It would refuse, and by then this node has stopped.
        if self.mend().is_damaged(to).await {
            return Err(MembershipError::Damaged { node: to });
        }
        self.raft().trigger().transfer_leader(to.0).await.map_err(ended)?;
        let mut metrics = self.raft().metrics();
        let leads = async {
            loop {
                {
                    let now = metrics.borrow_watched();
                    match now.current_leader {
                        Some(leader) if leader == to.0 => return Ok(()),
                        // Another was quicker.
                        Some(leader) if leader != now.id => {
                            return Err(MembershipError::NotLeader { leader: Some(NodeId(leader)) });
                        }
                        _ => {}
                    }
                }
                if metrics.changed().await.is_err() {
                    return Err(MembershipError::Ended { why: "its core is gone".into() });
                }
            }
        };
        tokio::time::timeout(2 * within, leads).await.unwrap_or(Err(MembershipError::OutcomeUnknown))
    }
}

/// A leader that was removed leads until it has handed over, but changes nothing more.
fn must_lead(metrics: &RaftMetrics<Types>) -> Result<(), MembershipError> {
    if let Err(error) = &metrics.running_state {
        return Err(MembershipError::Ended { why: error.to_string() });
    }
    let leads = metrics.state == ServerState::Leader && metrics.current_leader == Some(metrics.id);
    let is_member = metrics.membership_config.membership().get_node(&metrics.id).is_some();
    if leads && is_member {
        return Ok(());
    }
    Err(MembershipError::NotLeader { leader: other_leader(metrics.current_leader, NodeId(metrics.id)) })
}

fn is_voter(metrics: &RaftMetrics<Types>, node: NodeId) -> bool {
    metrics.membership_config.voter_ids().any(|voter| voter == node.0)
}

fn is_ready(metrics: &RaftMetrics<Types>, node: NodeId, within: Duration) -> bool {
    let last = metrics.last_log_index.unwrap_or(0);
    let matched = metrics.replication.as_ref().and_then(|matched| *matched.get(&node.0)?);
    let answered = metrics.heartbeat.as_ref().and_then(|times| *times.get(&node.0)?);
    matched.is_some_and(|matched| last.saturating_sub(matched.index) <= MAX_BEHIND)
        && answered.is_some_and(|at| at.elapsed() < within)
}

fn ended(error: impl std::fmt::Display) -> MembershipError {
    MembershipError::Ended { why: error.to_string() }
}

/// Waits for a change, for a limited time.
async fn changed<F>(change: F) -> Result<(), MembershipError>
where
    F: Future<Output = Result<ClientWriteResponse<Types>, RaftError<Types, ClientWriteError<Types>>>>,
{
    let Ok(changed) = tokio::time::timeout(CHANGE_WITHIN, change).await else {
        return Err(MembershipError::OutcomeUnknown);
    };
    let error = match changed {
        Ok(_) => return Ok(()),
        Err(RaftError::Fatal(error)) => return Err(ended(error)),
        Err(RaftError::APIError(error)) => error,
    };
    Err(match error {
        // The second of two steps says so, too, after the first was done.
        ClientWriteError::ForwardToLeader(forward) => {
            MembershipError::NotLeader { leader: forward.leader_id.map(NodeId) }
        }
        ClientWriteError::LogEntryDiscarded(_) | ClientWriteError::PreconditionFailed(_) => {
            MembershipError::OutcomeUnknown
        }
        ClientWriteError::ChangeMembershipError(error) => match error {
            ChangeMembershipError::EmptyMembership(_) => MembershipError::NoVoters,
            ChangeMembershipError::LearnerNotFound(error) => {
                MembershipError::NotAMember { node: NodeId(error.node_id) }
            }
            ChangeMembershipError::InProgress(_)
            | ChangeMembershipError::UnsupportedMembershipTransition(_)
            | ChangeMembershipError::UncommittedLeaderLog(_)
            | ChangeMembershipError::NodeMetadataChanged(_) => MembershipError::InProgress,
        },
    })
}
