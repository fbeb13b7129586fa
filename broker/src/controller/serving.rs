//! Keeps what follows from Services true: their Configurations, Revisions and Routes, and every status.

use std::time::Duration;

use pelton_client::objects::{Removal, removal};
use pelton_client::serving::Facts;
use pelton_client::serving::reconcile::reconcile;
use pelton_client::{OperationError, Resources};
use pelton_log::Term;
use pelton_resource::{Resource, Time};
use tokio::time::Instant;

use super::STATUSES_AT_ONCE;
use crate::node::Shared;
use crate::registry::RegistryCommand;

/// Makes the changes that `resources` ask for, as the leader in `term`. Gives when to look again though nothing happens.
pub(super) async fn settle(
    shared: &Shared,
    term: Term,
    resources: &Resources,
) -> Result<Option<Instant>, OperationError> {
    let (changes, again_at) = {
        let told = shared.controller.told.lock().together();
        let gateway = shared.controller.gateway.lock().clone();
        let policy = shared.controller.policy.lock().clone();
        let now = shared.clock.now();
        let facts = Facts { gateway: gateway.as_ref(), revisions: &told, policy: &policy, now };
        let changes = reconcile(resources, facts);
        let in_millis = changes.wake_at.map(|at| at.0.saturating_sub(now.0));
        (changes, in_millis.map(|millis| Instant::now() + Duration::from_millis(millis)))
    };
    if changes.is_empty() {
        return Ok(again_at);
    }
    let _one_at_a_time = shared.registry.writing.lock().await;
    // What was changed or deleted meanwhile is looked at in the next round.
    let current = shared.registry.state.current();
    for key in changes.delete {
        let uid = |of: &Resources| of.find(&key).and_then(|resource| resource.meta().uid.clone());
        if uid(&current).is_none() || uid(&current) != uid(resources) {
            continue;
        }
        let Some(resource) = current.find(&key) else { continue };
        match removal(&resource, Time::from_unix_millis(shared.clock.now().0)) {
            Removal::Gone => drop(shared.registry.commit_in(term, &RegistryCommand::Delete(key)).await?),
            Removal::Marked(marked) => {
                shared.registry.commit_in(term, &RegistryCommand::Put(vec![*marked])).await?;
            }
            Removal::Waits => {}
        }
    }
    let is_fresh = |resource: &Resource| {
        let now = current.find(&resource.key());
        now.and_then(|now| now.meta().resource_version.clone()) == resource.meta().resource_version
    };
    let fresh: Vec<_> = changes.put.into_iter().filter(is_fresh).collect();
    for some in fresh.chunks(STATUSES_AT_ONCE) {
        shared.registry.commit_in(term, &RegistryCommand::Put(some.to_vec())).await?;
    }
    Ok(again_at)
}
