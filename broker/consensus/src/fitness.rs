//! Who is fit to lead: a node whose disk is full, slow or hung says of itself that it is not. And one that is about to stop
//! says that, so that what it hands over does not come back.
//!
//! It is asked with a heartbeat that is for no group. Those of groups would not do: a busy leader sends none.

use std::sync::atomic::Ordering;
use std::time::Duration;

use pelton_proto::consensus::v1 as proto;
use tokio::time::Instant;

use crate::{Group, NodeId, Peers, StateMachine};

impl Peers {
    /// What this node says of itself from now on.
    pub fn set_unfit(&self, unfit: bool) {
        self.unfit().store(unfit, Ordering::Relaxed);
    }

    /// What it says of itself.
    #[must_use]
    pub fn is_unfit(&self) -> bool {
        self.unfit().load(Ordering::Relaxed)
    }

    /// From now on this node says that it is about to stop.
    pub fn leave(&self) {
        self.leaving().store(true, Ordering::Relaxed);
    }

    pub(crate) fn leaves(&self) -> bool {
        self.leaving().load(Ordering::Relaxed)
    }

    /// Whether another node says that it is fit to lead. `None`: it does not answer `within` this time.
    pub async fn is_fit(&self, node: NodeId, within: Duration) -> Option<bool> {
        self.ask(node, within).await.map(|answer| !answer.unfit)
    }

    /// Whether another node says that it is fit to lead, and stays. `None`: it does not answer `within` this time.
    pub async fn may_take_over(&self, node: NodeId, within: Duration) -> Option<bool> {
        self.ask(node, within).await.map(|answer| !answer.unfit && !answer.leaves)
    }

    async fn ask(&self, node: NodeId, within: Duration) -> Option<proto::HeartbeatResponse> {
        let within_millis = u32::try_from(within.as_millis()).unwrap_or(u32::MAX);
        let request = proto::HeartbeatRequest { beats: Vec::new(), within_millis };
        let asked = self.transport().ok()?.heartbeat(node, request);
        tokio::time::timeout(within, asked).await.ok()?.ok()
    }
}

impl<S: StateMachine> Group<S> {
    /// Whether another node says that it is fit to lead this group, or any, and stays. `None`: it does not answer soon.
    pub async fn may_take_over(&self, node: NodeId) -> Option<bool> {
        self.peers().may_take_over(node, self.election_timeout().0).await
    }

    /// Whether this node stands for election from now on. It votes and follows in any case, and leads when the group is
    /// handed over to it. It does not stand either while it holds its vote because it has just started, nor while it is
    /// damaged.
    pub fn set_stands(&self, stands: bool) {
        self.stands().store(stands, Ordering::Relaxed);
        self.decide_whether_it_stands();
    }

    /// To be called whenever one of the reasons may have changed.
    pub(crate) fn decide_whether_it_stands(&self) {
        let is_alone = self.is_only_voter();
        let holds_vote = self.votes_held_until().is_some_and(|until| Instant::now() < until);
        let is_sound = {
            let unsound = self.unsound();
            let unsound = unsound.borrow();
            unsound.is_nothing() || unsound.is_everywhere
        };
        let stands = self.stands().load(Ordering::Relaxed) && (is_alone || (is_sound && !holds_vote));
        self.raft().runtime_config().elect(stands);
    }
}
