//! Namespaces that are there because something is in them, and the end of what has no place any more.

use std::time::Duration;

use pelton_client::admission::uid_from_bits;
use pelton_client::{OperationError, Resources};
use pelton_resource::{Kind, ResourceKey};
use tokio::time::Instant;

use super::keeper::Keeper;
use crate::node::Shared;
use crate::registry::RegistryCommand;

/// Makes the changes that the resources ask for. Gives when to look again though nothing happens.
pub(super) async fn settle(shared: &Shared, keeper: &mut Keeper) -> Result<Option<Instant>, OperationError> {
    let (now, chance, term) = (shared.clock.now(), &shared.chance, keeper.term);
    let changes = keeper.objects.settle(now, &mut || uid_from_bits(chance.bits(), chance.bits()));
    let in_millis = changes.wake_at.map(|at| at.0.saturating_sub(now.0));
    let again_at = in_millis.map(|millis| Instant::now() + Duration::from_millis(millis));
    if changes.put.is_empty() && changes.delete.is_empty() {
        keeper.objects.done();
        return Ok(again_at);
    }
    let resources = &keeper.resources;
    let version = |of: &Resources, key: &ResourceKey| of.find(key).and_then(|it| it.meta().resource_version.clone());
    // One after the other, so that nobody else's change waits for many of them.
    for key in changes.delete {
        let _one_at_a_time = shared.registry.writing.lock().await;
        // What was changed meanwhile is looked at in the next round.
        let (current, seen) = (shared.registry.state.current(), version(resources, &key));
        let is_full = key.kind == Kind::Namespace && current.is_inhabited(&key.name);
        if seen.is_some() && version(&current, &key) == seen && !is_full {
            shared.registry.commit_in(term, &RegistryCommand::Delete(key)).await?;
        }
    }
    let _one_at_a_time = shared.registry.writing.lock().await;
    let current = shared.registry.state.current();
    let fresh = changes.put.into_iter().filter(|it| version(&current, &it.key()) == it.meta().resource_version);
    let fresh = fresh.collect();
    keeper.store(shared, &current, fresh).await?;
    keeper.objects.done();
    Ok(again_at)
}
