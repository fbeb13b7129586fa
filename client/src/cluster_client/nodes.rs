//! The nodes of the cluster, and which of them to ask.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::either::Either;
use crate::{ClusterView, GroupId, GroupInfo, NodeClient, NodeId, NodePhase, Resources};

/// How nodes are reached that are not in this process.
pub trait Connect: Send + Sync + 'static {
    /// A handle of such a node.
    type Node: NodeClient;

    /// A handle of the node at `address`; of whichever node is there when `node` is not known. Nothing is connected by
    /// this. `None` when the address is none. Called within a tokio runtime.
    fn connect(&self, node: Option<NodeId>, address: &str) -> Option<Self::Node>;
}

/// The group that holds the resources and the cluster, or one that holds events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    Registry,
    Group(GroupId),
}

pub(super) struct Nodes<L, C: Connect> {
    pub(super) local: Option<L>,
    connect: C,
    /// Where handles have their tasks: they must not end with the threads of the role that happened to ask first.
    pub(super) runtime: Handle,
    /// Handles by id, each with the address that it is for.
    known: Mutex<BTreeMap<NodeId, (String, C::Node)>>,
    /// Leaders that answered or were named and that the view does not have yet, each with the term that the view had
    /// then: a view of a later term knows better.
    learnt: Mutex<BTreeMap<Place, (u64, NodeId)>>,
    pub(super) view: watch::Receiver<Arc<ClusterView>>,
    pub(super) resources: watch::Receiver<Arc<Resources>>,
}

impl<L: NodeClient, C: Connect> Nodes<L, C> {
    pub(super) fn new(
        local: Option<L>,
        connect: C,
        view: watch::Receiver<Arc<ClusterView>>,
        resources: watch::Receiver<Arc<Resources>>,
    ) -> Self {
        Self {
            local,
            connect,
            runtime: Handle::current(),
            known: Mutex::default(),
            learnt: Mutex::default(),
            view,
            resources,
        }
    }

    pub(super) fn view(&self) -> Arc<ClusterView> {
        self.view.borrow().clone()
    }

    /// A handle of a node by its id. `None` for one that is unknown or no member any more.
    pub(super) fn node(&self, view: &ClusterView, id: NodeId) -> Option<Either<L, C::Node>> {
        if let Some(local) = self.local.as_ref().filter(|_| view.this == Some(id)) {
            return Some(Either::Local(local.clone()));
        }
        let info = view.nodes.get(&id).filter(|info| info.phase != NodePhase::Removed)?;
        let mut known = self.known.lock();
        if let Some((address, node)) = known.get(&id)
            && *address == info.peer_address
        {
            return Some(Either::Remote(node.clone()));
        }
        known.retain(|id, _| view.nodes.get(id).is_some_and(|info| info.phase != NodePhase::Removed));
        let _there = self.runtime.enter();
        let node = self.connect.connect(Some(id), &info.peer_address)?;
        known.insert(id, (info.peer_address.clone(), node.clone()));
        Some(Either::Remote(node))
    }

    /// A handle of whoever is at an address.
    pub(super) fn stranger(&self, address: &str) -> Option<C::Node> {
        let _there = self.runtime.enter();
        self.connect.connect(None, address)
    }

    /// Whom to ask for what a group's leader does, after so many tries that failed.
    pub(super) fn leader(&self, view: &ClusterView, place: Place, failed: u32) -> Option<NodeId> {
        let info = info_of(view, place)?;
        let learnt = self.learnt.lock().get(&place).copied();
        let learnt = learnt.filter(|(term, _)| *term >= info.term).map(|(_, leader)| leader);
        let known = learnt.or(info.leader);
        // Nobody is known to lead, or whoever is does not answer as a leader would: each replica may know better.
        // The one in this process first, which costs nothing.
        let here = view.this.filter(|this| info.replicas.contains(this));
        let others = info.replicas.iter().copied().filter(|node| Some(*node) != here);
        let all = here.into_iter().chain(others);
        let nth = |n: u32| all.clone().nth(n as usize % info.replicas.len().max(1));
        if known.is_none() {
            nth(failed)
        } else if failed % 2 == 1 {
            nth(failed / 2).or(known)
        } else {
            known
        }
    }

    /// Returns once the view names a leader of a later term than `view` has, and it is not `asked`.
    pub(super) async fn succeeded(&self, view: &ClusterView, place: Place, asked: NodeId) -> NodeId {
        let term = info_of(view, place).map_or(0, |info| info.term);
        let mut views = self.view.clone();
        let mut successor = None;
        let found = |view: &Arc<ClusterView>| {
            successor = info_of(view, place).and_then(|info| successor_of(asked, term, info));
            successor.is_some()
        };
        let found = views.wait_for(found).await.is_ok();
        match successor.filter(|_| found) {
            Some(leader) => leader,
            // Nothing is learnt any more.
            None => std::future::pending().await,
        }
    }

    /// Who was named as leader where the view names none.
    pub(super) fn learnt(&self, place: Place) -> Option<NodeId> {
        self.learnt.lock().get(&place).map(|(_, leader)| *leader)
    }

    /// A node was named as leader, or answered as one.
    pub(super) fn leads(&self, view: &ClusterView, place: Place, leader: NodeId) {
        let Some(info) = info_of(view, place) else { return };
        let mut learnt = self.learnt.lock();
        if info.leader == Some(leader) {
            learnt.remove(&place);
        } else {
            learnt.insert(place, (info.term, leader));
        }
    }

    /// A node led the group in a term. Of no effect when the view knows of a later one.
    pub(super) fn leads_in(&self, view: &ClusterView, place: Place, leader: NodeId, term: u64) {
        let Some(info) = info_of(view, place).filter(|info| info.term <= term) else { return };
        let mut learnt = self.learnt.lock();
        if info.leader == Some(leader) {
            learnt.remove(&place);
        } else {
            learnt.insert(place, (term, leader));
        }
    }

    /// The node did not do it as the leader would.
    pub(super) fn leads_not(&self, place: Place, node: NodeId) {
        let mut learnt = self.learnt.lock();
        if learnt.get(&place).is_some_and(|(_, leader)| *leader == node) {
            learnt.remove(&place);
        }
    }
}

pub(super) fn info_of(view: &ClusterView, place: Place) -> Option<&GroupInfo> {
    match place {
        Place::Registry => Some(&view.registry),
        Place::Group(group) => view.groups.get(&group),
    }
}

/// Who leads instead of the node that was asked when the term was `term`, as far as that is known.
fn successor_of(asked: NodeId, term: u64, now: &GroupInfo) -> Option<NodeId> {
    now.leader.filter(|leader| *leader != asked && now.term > term)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Node 1 was asked in term 4.
    #[test]
    fn a_leader_is_succeeded_by_another_of_a_later_term() {
        for (term, leader, want) in [
            (4, Some(1), None),
            (4, None, None),
            // The view knew no better then, and a node that was named since may have been asked.
            (4, Some(2), None),
            (3, Some(2), None),
            (5, None, None),
            (5, Some(1), None),
            (5, Some(2), Some(2)),
            (9, Some(3), Some(3)),
        ] {
            let now = GroupInfo { term, leader: leader.map(NodeId), ..GroupInfo::default() };
            assert_eq!(successor_of(NodeId(1), 4, &now), want.map(NodeId), "{leader:?} in {term}");
        }
    }
}
