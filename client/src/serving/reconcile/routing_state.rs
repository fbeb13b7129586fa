//! Which Revisions Routes point to, written on the Revisions: so garbage collection and autoscaling know.

use std::collections::{BTreeMap, BTreeSet};

use pelton_resource::Revision;
use pelton_resource::serving::{RoutingState, labels};

use super::world::World;
use crate::serving::rollout::Rollout;

/// Writes on each Revision whether Routes point to it, which, and since when.
pub(super) fn label(world: &mut World<'_>) {
    let routes = routes_by_revision(world);
    let latest_created: BTreeSet<(String, String)> = world
        .is
        .configurations
        .values()
        .map(|one| (one.metadata.namespace.clone(), one.status.latest_created_revision_name.clone()))
        .collect();
    for revision in world.revisions() {
        let meta = &revision.metadata;
        let key = (meta.namespace.clone(), meta.name.clone());
        let pointing = routes.get(&key);
        let was = revision.routing_state();
        let state = match (pointing, was) {
            (Some(_), _) => RoutingState::Active,
            // It may be about to become the latest that is ready.
            (None, None | Some(RoutingState::Pending)) if latest_created.contains(&key) => RoutingState::Pending,
            (None, _) => RoutingState::Reserve,
        };
        let mut next = Revision::clone(&revision);
        let annotations = &mut next.metadata.annotations;
        if was != Some(state) {
            next.metadata.labels.insert(labels::ROUTING_STATE.to_owned(), state.as_str().to_owned());
            annotations.insert(labels::ROUTING_STATE_MODIFIED.to_owned(), world.now().to_string());
        }
        match pointing {
            Some(names) => {
                let names: Vec<_> = names.iter().map(String::as_str).collect();
                annotations.insert(labels::ROUTES.to_owned(), names.join(","));
            }
            None => drop(annotations.remove(labels::ROUTES)),
        }
        if next != *revision {
            world.put(next);
        }
    }
}

/// The Routes that point to each Revision, by namespace and name: in their status, in the rollout behind it, or by name in
/// their spec, so that a Revision that is to get traffic stays.
fn routes_by_revision(world: &World<'_>) -> BTreeMap<(String, String), BTreeSet<String>> {
    let mut found: BTreeMap<(String, String), BTreeSet<String>> = BTreeMap::new();
    for route in world.is.routes.values() {
        let rollout = route.status.annotations.get(labels::ROLLOUT).and_then(|text| Rollout::from_annotation(text));
        let rollout = rollout.unwrap_or_default();
        let shared = rollout.iter().flat_map(|one| &one.revisions).map(|share| &share.revision_name);
        let targets = route.status.traffic.iter().chain(&route.spec.traffic).map(|target| &target.revision_name);
        for revision in targets.chain(shared).filter(|name| !name.is_empty()) {
            let key = (route.metadata.namespace.clone(), revision.clone());
            found.entry(key).or_default().insert(route.metadata.name.clone());
        }
    }
    found
}
