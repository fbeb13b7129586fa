//! Which node takes the next replica.

use std::collections::{BTreeMap, BTreeSet};

use pelton_client::NodeId;

use super::ClusterState;

/// Replicas that each node holds or is to hold, those of the registry not counted.
pub(super) fn loads(state: &ClusterState) -> BTreeMap<NodeId, usize> {
    let mut loads = BTreeMap::new();
    state.groups.values().flat_map(|group| &group.replicas).for_each(|node| *loads.entry(*node).or_default() += 1);
    loads
}

/// Groups that each node is to lead.
pub(super) fn leads(state: &ClusterState) -> BTreeMap<NodeId, usize> {
    let mut leads = BTreeMap::new();
    state.groups.values().filter_map(|group| group.preferred).for_each(|node| *leads.entry(node).or_default() += 1);
    leads
}

/// The one of `candidates` that a group with replicas on `beside` takes next: in a zone that has fewest of them, then the
/// one with the smallest load, then the next one after `from` in the ring of all ids, so that nodes of equal load are
/// taken in turn.
pub(super) fn best(
    state: &ClusterState,
    candidates: &BTreeSet<NodeId>,
    beside: &BTreeSet<NodeId>,
    loads: &BTreeMap<NodeId, usize>,
    from: NodeId,
) -> Option<NodeId> {
    let key = |node: &NodeId| {
        let around = if *node > from { 0 } else { state.next_node };
        (in_zone_of(state, *node, beside), loads.get(node).copied().unwrap_or_default(), node.0 + around)
    };
    candidates.difference(beside).copied().min_by_key(key)
}

/// The one of `candidates` that a group on `replicas` does without best: of the fullest zone, then with the largest load.
pub(super) fn worst(
    state: &ClusterState,
    candidates: &BTreeSet<NodeId>,
    replicas: &BTreeSet<NodeId>,
    loads: &BTreeMap<NodeId, usize>,
) -> Option<NodeId> {
    let key = |node: &NodeId| (in_zone_of(state, *node, replicas), loads.get(node).copied().unwrap_or_default(), *node);
    candidates.iter().copied().max_by_key(key)
}

/// How many of `nodes` fail together with `node`.
fn in_zone_of(state: &ClusterState, node: NodeId, nodes: &BTreeSet<NodeId>) -> usize {
    let zone = |node: &NodeId| state.nodes.get(node).map(|record| record.info.zone.as_str());
    nodes.iter().filter(|other| zone(other) == zone(&node)).count()
}
