//! From the members that a group has to those that it should have, one step at a time.

use std::collections::BTreeSet;
use std::future::Future;
use std::time::Duration;

use parking_lot::Mutex;
use pelton_client::NodeId;
use pelton_consensus::{Group, GroupStatus, MembershipError, StateMachine};
use tokio::time::Instant;

use crate::ids;
use crate::member::heir_among;

/// Entries that a replica may lack and still count as caught up: what is on its way while a group is busy.
const CAUGHT_UP_WITHIN: u64 = 64;

/// A replica that has not answered for so long takes over nothing.
const ANSWERED_WITHIN: Duration = Duration::from_secs(2);

/// How long a hand-over that failed is left alone: each try stops the group for a moment.
const HAND_OVER_AGAIN_AFTER: Duration = Duration::from_secs(5);

/// What a group should be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// Who votes.
    pub(crate) voters: BTreeSet<NodeId>,
    /// Who follows without a vote.
    pub(crate) learners: BTreeSet<NodeId>,
    /// Who should lead.
    pub(crate) preferred: Option<NodeId>,
}

/// What the leader does next.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    /// A replica begins to follow.
    Add(NodeId),
    /// A replica that follows is not wanted.
    DropLearner(NodeId),
    /// These vote from now on.
    Voters(BTreeSet<NodeId>),
    /// Another leads.
    HandOver(NodeId),
}

/// The next step of the leader `this`, or `None` when everything is as it should be or has to be waited for.
fn next_step(this: NodeId, status: &GroupStatus, wanted: &Wanted) -> Option<Step> {
    let (voters, learners) = (ids::nodes(&status.voters), ids::nodes(&status.learners));
    if wanted.voters.is_empty() {
        return None;
    }
    if status.is_joint {
        return Some(finish(this, status, wanted));
    }
    let followers = &wanted.voters | &wanted.learners;
    if let Some(node) = learners.difference(&followers).next() {
        return Some(Step::DropLearner(*node));
    }
    if let Some(node) = followers.iter().find(|node| !voters.contains(node) && !learners.contains(node)) {
        return Some(Step::Add(*node));
    }
    let has_caught_up = |node: &NodeId| has_caught_up(status, *node);
    if voters != wanted.voters {
        let is_ready = |node: &NodeId| voters.contains(node) || has_caught_up(node);
        if !wanted.voters.iter().all(is_ready) {
            return None;
        }
        if wanted.voters.contains(&this) {
            return Some(Step::Voters(wanted.voters.clone()));
        }
        // It hands over to one that stays, which then changes the voters. Where none stays, the new ones come first.
        let mut stay = wanted.voters.intersection(&voters).copied();
        let heir = wanted.preferred.filter(|node| voters.contains(node) && has_caught_up(node));
        return match heir.or_else(|| stay.clone().find(has_caught_up)) {
            Some(heir) => Some(Step::HandOver(heir)),
            None if stay.next().is_some() => None,
            None => Some(Step::Voters(&voters | &wanted.voters)),
        };
    }
    let preferred = wanted.preferred.filter(|node| *node != this && voters.contains(node));
    preferred.filter(has_caught_up).map(Step::HandOver)
}

/// Finishes a change that is half done, which nothing may come before. What is wanted may be another by now: then it
/// ends with those of the wanted that vote, and where none does, with all that vote.
fn finish(this: NodeId, status: &GroupStatus, wanted: &Wanted) -> Step {
    let voters = ids::nodes(&status.voters);
    let members = &voters | &ids::nodes(&status.learners);
    let heir = wanted.preferred.filter(|node| voters.contains(node) && has_caught_up(status, *node));
    if let Some(heir) = heir.filter(|heir| *heir != this && !wanted.voters.contains(&this)) {
        return Step::HandOver(heir);
    }
    if wanted.voters.is_subset(&members) {
        return Step::Voters(wanted.voters.clone());
    }
    let stay = &wanted.voters & &voters;
    Step::Voters(if stay.is_empty() { voters } else { stay })
}

fn has_caught_up(status: &GroupStatus, node: NodeId) -> bool {
    let Some(follower) = status.followers.get(&ids::raft_node(node)) else { return false };
    let last = status.last_index.map_or(0, |index| index.0);
    follower.matched.is_some_and(|matched| last.saturating_sub(matched.0) <= CAUGHT_UP_WITHIN)
        && follower.answered.is_some_and(|answered| answered < ANSWERED_WITHIN)
}

/// Who leads instead of the leader `this`, which is about to stop: the one that should, if it has caught up, for whoever
/// else led would hand over to it; else the voter that is furthest.
pub(crate) fn heir(this: NodeId, status: &GroupStatus, preferred: Option<NodeId>) -> Option<pelton_consensus::NodeId> {
    let preferred = preferred.filter(|node| has_caught_up(status, *node));
    let preferred = preferred.and_then(|preferred| heir_among(this, status, |node| node == preferred));
    preferred.or_else(|| heir_among(this, status, |_| true))
}

/// Does the next step, if this node leads the group. `settled` becomes the voters once they are committed; `not_before`
/// keeps a hand-over that failed from being tried again at once; `hand_over` is how it is done. `true` when something was
/// done.
pub(crate) async fn tend<S: StateMachine, F: Future<Output = Result<(), MembershipError>>>(
    this: NodeId,
    raft: &Group<S>,
    wanted: &Wanted,
    settled: &Mutex<Option<(u64, BTreeSet<NodeId>)>>,
    not_before: &mut Option<Instant>,
    hand_over: impl FnOnce(NodeId) -> F,
) -> Result<bool, MembershipError> {
    let status = raft.status();
    if !status.is_leader() {
        return Ok(false);
    }
    let now = (status.term.0, ids::nodes(&status.voters));
    if !status.is_joint && settled.lock().as_ref() != Some(&now) {
        // No change when they are committed; else it is committed now.
        raft.change_voters(status.voters.clone()).await?;
        *settled.lock() = Some(now);
        return Ok(true);
    }
    let Some(step) = next_step(this, &status, wanted) else { return Ok(false) };
    let group = raft.id().0;
    match step {
        Step::Add(node) => {
            tracing::info!(group, %node, "a replica is added");
            raft.add_learner(ids::raft_node(node)).await?;
        }
        Step::DropLearner(node) => raft.remove_learner(ids::raft_node(node)).await?,
        Step::Voters(voters) => {
            tracing::info!(group, ?voters, "the voters change");
            raft.change_voters(ids::raft_nodes(&voters)).await?;
        }
        Step::HandOver(node) => {
            if not_before.is_some_and(|time| Instant::now() < time) {
                return Ok(false);
            }
            // It would give the group away again, or end with it. A leader that has to go goes all the same.
            if wanted.voters.contains(&this) && raft.may_take_over(ids::raft_node(node)).await != Some(true) {
                *not_before = Some(Instant::now() + HAND_OVER_AGAIN_AFTER);
                return Ok(false);
            }
            tracing::info!(group, %node, "the group is handed over");
            *not_before = Some(Instant::now() + HAND_OVER_AGAIN_AFTER);
            hand_over(node).await?;
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests;
