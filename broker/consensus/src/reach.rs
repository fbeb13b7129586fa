//! Whether enough of a group's voters can be reached for any of them to lead.
//!
//! A follower whose leader is gone hears of nobody until it stands for election, a second or two later. Whoever has an
//! event for the group wants to know sooner whether that election is worth waiting for.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::{Instant as _, ServerState};

use crate::{Group, NodeId, StateMachine};

/// The voters of a group that this node reaches, itself among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reach {
    /// How many answer.
    pub reached: usize,
    /// How many there are.
    pub voters: usize,
    /// Whether those that answer could elect a leader.
    pub is_quorum: bool,
}

impl<S: StateMachine> Group<S> {
    /// How long ago a quorum was heard: as the leader, by its answers; else by way of a leader. `None` when that has not
    /// been since the group was opened here.
    #[must_use]
    pub fn quorum_heard(&self) -> Option<Duration> {
        let metrics = self.raft().metrics();
        let metrics = metrics.borrow_watched();
        let answered = metrics.last_quorum_acked.map(|at| at.elapsed());
        answered.filter(|_| metrics.state == ServerState::Leader).or_else(|| self.leader_heard())
    }

    /// Asks the other voters for a sign of life, until a quorum has given one or `within` is over. `None` when this node
    /// does not vote.
    pub async fn reach(&self, within: Duration) -> Option<Reach> {
        let (this, configs) = {
            let metrics = self.raft().metrics();
            let metrics = metrics.borrow_watched();
            (metrics.id, metrics.membership_config.membership().get_joint_config().clone())
        };
        let voters: BTreeSet<u64> = configs.iter().flatten().copied().collect();
        if !voters.contains(&this) {
            return None;
        }
        let asked = voters
            .iter()
            .filter(|voter| **voter != this)
            .map(|&voter| async move { self.peers().is_fit(NodeId(voter), within).await.map(|_| voter) });
        let mut answers: FuturesUnordered<_> = asked.collect();
        let mut reached = BTreeSet::from([this]);
        let is_quorum = |reached: &BTreeSet<u64>| {
            // While the voters change, both the old and the new ones have their say.
            configs.iter().all(|config| 2 * config.intersection(reached).count() > config.len())
        };
        while !is_quorum(&reached)
            && let Some(answer) = answers.next().await
        {
            reached.extend(answer);
        }
        Some(Reach { reached: reached.len(), voters: voters.len(), is_quorum: is_quorum(&reached) })
    }
}
