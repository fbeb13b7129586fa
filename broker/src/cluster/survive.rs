//! What becomes of the cluster when an operator says that one node is all that is left of it.

use std::collections::{BTreeMap, BTreeSet};

use pelton_client::{GroupId, NodeId, NodePhase};

use super::{Answer, ClusterState, GroupRecord, Outcome, REGISTRY};

impl ClusterState {
    /// The cluster is `node` alone from now on, which goes on with the groups in `held`, each as its only voter since a
    /// term. The other nodes are removed. A group that is not in `held` is given up, and begun anew like one whose last
    /// replica was removed; one that never had a leader is still to be begun, here.
    pub(super) fn survive(&mut self, node: NodeId, held: &BTreeMap<GroupId, u64>) -> Outcome {
        self.present(node)?;
        for (_, other) in self.nodes.iter_mut().filter(|(id, _)| **id != node) {
            other.info.phase = NodePhase::Removed;
        }
        for (id, group) in self.groups.iter_mut().chain([(&REGISTRY, &mut self.registry)]) {
            group.survive(node, held.get(id).copied());
        }
        self.nodes.get_mut(&node).expect("it is present").info.phase = NodePhase::Active;
        Ok(Answer::Changed)
    }
}

impl GroupRecord {
    fn survive(&mut self, node: NodeId, term: Option<u64>) {
        let only = BTreeSet::from([node]);
        let never_led = self.settled.is_empty() && !self.replicas.is_empty();
        (self.replicas, self.settled, self.settled_term) = match term {
            Some(term) => (only.clone(), only, term),
            None if never_led => (only, BTreeSet::new(), 0),
            None => (BTreeSet::new(), BTreeSet::new(), 0),
        };
        self.preferred = Some(node).filter(|node| self.replicas.contains(node));
        self.version += 1;
    }
}
