//! Revisions that nobody needs any more are deleted.

use pelton_env::UnixMillis;
use pelton_resource::serving::{RoutingState, labels};
use pelton_resource::{Kind, ResourceKey, Revision, Time};

use super::Facts;
use super::world::{World, uid};
use crate::serving::gc::{Candidate, collect};

/// Deletes the garbage of each Configuration.
pub(super) fn delete(world: &mut World<'_>) {
    let revisions = world.revisions_by_configuration();
    for configuration in world.configurations() {
        let Some(of_it) = revisions.get(uid(&configuration.metadata)) else { continue };
        let (status, facts) = (&configuration.status, world.facts);
        // One that has the name of the latest would be made again, or make room for another long after it was applied.
        let named = super::configuration::name(&configuration);
        let latest = [&status.latest_ready_revision_name, &status.latest_created_revision_name, &named];
        let may_go = |revision: &Revision| {
            revision.routing_state() == Some(RoutingState::Reserve)
                && revision.metadata.annotation(labels::NO_GC) != Some("true")
                && !latest.contains(&&revision.metadata.name)
        };
        let candidates = of_it.iter().filter(|revision| may_go(revision)).map(|revision| candidate(revision, facts));
        let garbage = collect(&facts.policy.gc, candidates.collect(), facts.now);
        for name in garbage.delete {
            world.delete(ResourceKey::new(Kind::Revision, configuration.metadata.namespace.clone(), name));
        }
        world.wake(garbage.wake_at);
    }
}

/// It was active last when a gateway says so, or when the last Route turned from it.
fn candidate<'a>(revision: &'a Revision, facts: Facts<'_>) -> Candidate<&'a str> {
    let meta = &revision.metadata;
    let millis = |time: Time| UnixMillis(time.unix_millis());
    let created = meta.creation_timestamp.map_or(facts.now, millis);
    let turned_from = meta.annotation(labels::ROUTING_STATE_MODIFIED).and_then(Time::parse).map(millis);
    let asked = facts.revisions.get(uid(meta)).and_then(|fact| fact.last_active);
    let last_active = created.max(turned_from.unwrap_or(created)).max(asked.unwrap_or(created));
    Candidate { id: &meta.name, created, last_active }
}
