//! Keeps what follows from Services true: their Configurations, Revisions and Routes, and every status.

use std::collections::BTreeMap;
use std::time::Duration;

use pelton_client::objects::{Removal, removal};
use pelton_client::serving::reconcile::reconcile;
use pelton_client::serving::{Facts, GatewayAddress, Policy, RevisionFact};
use pelton_client::{OperationError, Resources};
use pelton_env::UnixMillis;
use pelton_resource::{Resource, Time};
use tokio::time::Instant;

use super::keeper::Keeper;
use crate::node::Shared;
use crate::registry::RegistryCommand;

/// What everything was as it should be for.
#[derive(Default)]
pub(super) struct Served(Option<Seen>);

struct Seen {
    resources: Resources,
    gateway: Option<GatewayAddress>,
    told: BTreeMap<String, RevisionFact>,
    policy: Policy,
    wake_at: Option<UnixMillis>,
}

impl Seen {
    fn is_of(&self, other: &Self, now: UnixMillis) -> bool {
        self.resources.has_serving_of(&other.resources)
            && (&self.gateway, &self.told, &self.policy) == (&other.gateway, &other.told, &other.policy)
            && self.wake_at.is_none_or(|at| now < at)
    }
}

/// Makes the changes that the resources ask for. Gives when to look again though nothing happens.
pub(super) async fn settle(shared: &Shared, keeper: &mut Keeper) -> Result<Option<Instant>, OperationError> {
    let now = shared.clock.now();
    let instant_of = |at: UnixMillis| Instant::now() + Duration::from_millis(at.0.saturating_sub(now.0));
    let mut seen = Seen {
        resources: keeper.resources.clone(),
        gateway: shared.controller.gateway.lock().clone(),
        told: shared.controller.told.lock().together(),
        policy: shared.controller.policy.lock().clone(),
        wake_at: None,
    };
    if let Some(before) = keeper.serving.0.as_ref().filter(|before| before.is_of(&seen, now)) {
        // Of what is not looked at here, no old version is kept.
        seen.wake_at = before.wake_at;
        let again_at = seen.wake_at.map(instant_of);
        keeper.serving.0 = Some(seen);
        return Ok(again_at);
    }
    let (resources, term) = (&keeper.resources, keeper.term);
    let facts = Facts { gateway: seen.gateway.as_ref(), revisions: &seen.told, policy: &seen.policy, now };
    let changes = reconcile(resources, facts);
    seen.wake_at = changes.wake_at;
    let again_at = changes.wake_at.map(instant_of);
    if changes.is_empty() {
        keeper.serving.0 = Some(seen);
        return Ok(again_at);
    }
    // What is written comes back as resources that are others, and is looked at again then.
    keeper.serving.0 = None;
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
    let fresh = changes.put.into_iter().filter(is_fresh).collect();
    keeper.store(shared, &current, fresh).await?;
    Ok(again_at)
}
