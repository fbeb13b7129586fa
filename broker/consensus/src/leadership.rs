//! Who leads a group, and whether this node may act as its leader.

use std::time::Duration;

use openraft::async_runtime::watch::WatchReceiver;
use openraft::type_config::alias::WatchReceiverOf;
use openraft::{Instant as _, RaftMetrics, ServerState};
use pelton_log::Term;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::machine::Machine;
use crate::network::{Quiet, is_silent};
use crate::types::Types;
use crate::{NodeId, StateMachine};

/// Who leads a group, as far as this node knows.
///
/// A term can have more than one leader, one after the other, of rising node ids: term and leader together name a
/// leadership.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Leadership {
    /// The current term.
    pub term: Term,
    /// The leader of the term, when one is known.
    pub leader: Option<NodeId>,
    /// Whether this node may act as the leader: it leads, has applied everything that was committed before its term and
    /// the first entry of its own, and a quorum has answered what it sent within an election timeout.
    ///
    /// In a [`watch`] it is as old as the last change. After a pause of the whole process it is put right when the
    /// runtime runs again, which another task may run before; [`Group::serves`](crate::Group::serves) asks the clock.
    pub serves: bool,
}

/// The leader that a node which does not lead knows of. openraft names the last leadership that it heard of, and after
/// it was removed or has started again that may have been the node's own.
pub(crate) fn other_leader(named: Option<u64>, node: NodeId) -> Option<NodeId> {
    named.map(NodeId).filter(|leader| *leader != node)
}

/// Looks at a group's leadership.
pub(crate) struct Watcher<S: StateMachine> {
    pub(crate) node: NodeId,
    pub(crate) metrics: WatchReceiverOf<Types, RaftMetrics<Types>>,
    pub(crate) machine: Machine<S>,
    /// The shortest election timeout is how old the last answer of a quorum may be; the longest is a leader's lease.
    pub(crate) election_timeout: (Duration, Duration),
    /// How often a leader that does not serve looks whether it can.
    pub(crate) look_again: Duration,
}

impl<S: StateMachine> Clone for Watcher<S> {
    fn clone(&self) -> Self {
        Self { metrics: self.metrics.clone(), machine: self.machine.clone(), ..*self }
    }
}

impl<S: StateMachine> Watcher<S> {
    /// What holds now, and for how long at least if nothing else changes; `None`: until something does.
    pub(crate) fn look(&self) -> (Leadership, Option<Duration>) {
        let metrics = self.metrics.borrow_watched();
        let term = Term(metrics.current_term);
        let leads = metrics.running_state.is_ok()
            && metrics.state == ServerState::Leader
            && metrics.current_leader == Some(self.node.0);
        if !leads {
            let leader = other_leader(metrics.current_leader, self.node);
            return (Leadership { term, leader, serves: false }, None);
        }
        // The first entry of a leadership is the leader's own; nothing of it is applied before all that came earlier.
        let has_applied = self.machine.applied_id().is_some_and(|applied| {
            (applied.leader_id.term, applied.leader_id.node_id) == (metrics.current_term, self.node.0)
        });
        let fresh_for = if is_alone(&metrics, self.node) {
            Some(Duration::MAX)
        } else {
            let age = metrics.last_quorum_acked.map(|acked| acked.elapsed());
            age.and_then(|age| self.election_timeout.0.checked_sub(age)).filter(|left| !left.is_zero())
        };
        let leader = Some(self.node);
        let serves = has_applied && fresh_for.is_some();
        let again = fresh_for.filter(|_| serves).unwrap_or(self.look_again);
        (Leadership { term, leader, serves }, Some(again))
    }

    /// How long this node has led without an answer of a quorum; `None` when that is not so. `since` is since when it
    /// leads, for one that was never answered.
    fn unanswered_for(&self, since: Option<Instant>) -> Option<Duration> {
        let since = since?;
        let metrics = self.metrics.borrow_watched();
        if is_alone(&metrics, self.node) {
            return None;
        }
        let answered = metrics.last_quorum_acked.map(|acked| acked.elapsed());
        Some(answered.map_or(since.elapsed(), |age| age.min(since.elapsed())))
    }

    /// Keeps `told` and `quiet` right until the group ends.
    pub(crate) async fn run(
        self,
        mut server: WatchReceiverOf<Types, openraft::metrics::RaftServerMetrics<Types>>,
        told: watch::Sender<Leadership>,
        quiet: Quiet,
    ) {
        let mut applied = self.machine.watch_applied();
        let mut leading: Option<(Term, Instant)> = None;
        loop {
            let (leadership, again) = self.look();
            leading = match leading {
                _ if again.is_none() => None,
                Some((term, since)) if term == leadership.term => Some((term, since)),
                _ => Some((leadership.term, Instant::now())),
            };
            let unanswered = self.unanswered_for(leading.map(|(_, since)| since));
            quiet.set(unanswered.is_some_and(|age| is_silent(age, self.election_timeout.1)));
            told.send_if_modified(|told| std::mem::replace(told, leadership) != leadership);
            // A quorum that answers moves no watch that is cheap to wait for, so the clock asks.
            let wake = again.and_then(|again| Instant::now().checked_add(again));
            let catches_up = again.is_some() && !leadership.serves;
            tokio::select! {
                biased;
                changed = server.changed() => if changed.is_err() { break },
                changed = applied.changed(), if catches_up => if changed.is_err() { break },
                () = tokio::time::sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => {}
            }
        }
        told.send_modify(|told| *told = Leadership { leader: None, serves: false, ..*told });
    }
}

/// Whether the node is the only voter, so that a quorum is itself.
pub(crate) fn is_alone(metrics: &RaftMetrics<Types>, node: NodeId) -> bool {
    metrics.membership_config.voter_ids().eq([node.0])
}
