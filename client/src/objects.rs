//! What follows for objects from others: Namespaces that are there because something is in them, the end of what is in a
//! Namespace that goes, of what has lost its owner, and of Events that are old.
//!
//! Pure and level-triggered, like the other rules that the registry's leader applies.

use std::collections::BTreeSet;

use pelton_env::UnixMillis;
use pelton_resource::{CoreObject, DEFAULT_NAMESPACE, Kind, ObjectMeta, OwnerReference, Resource, ResourceKey, Time};

use crate::Resources;

/// How long an Event is kept, as by a Kubernetes API server.
pub const EVENTS_KEPT_MILLIS: u64 = 60 * 60 * 1000;

/// Events that are kept at most, whatever their age: the oldest go first.
pub const MAX_EVENTS: usize = 5_000;

/// What is to be done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ObjectChanges {
    /// To be stored as they are.
    pub put: Vec<Resource>,
    /// To be deleted.
    pub delete: Vec<ResourceKey>,
    /// When there is more to do, though nothing happens.
    pub wake_at: Option<UnixMillis>,
}

/// What becomes of a resource that is to be deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Removal {
    /// It goes.
    Gone,
    /// Somebody has work to do before: it is marked, and goes when the last finalizer does.
    Marked(Box<Resource>),
    /// It is marked already.
    Waits,
}

/// What becomes of a resource whose deletion is asked for at `now`.
#[must_use]
pub fn removal(resource: &Resource, now: Time) -> Removal {
    let is_namespace = resource.kind() == Kind::Namespace;
    let meta = resource.meta();
    if meta.finalizers.is_empty() && !is_namespace {
        return Removal::Gone;
    }
    if meta.deletion_timestamp.is_some() {
        return Removal::Waits;
    }
    let mut marked = resource.clone();
    let meta = marked.meta_mut();
    meta.deletion_timestamp = Some(now);
    // What runs a Namespace's end has no generation to look at.
    if let Some(generation) = &mut meta.generation {
        *generation += 1;
    }
    meta.deletion_grace_period_seconds = (!is_namespace).then_some(0);
    if let Resource::Core(namespace) = &mut marked
        && is_namespace
    {
        namespace.tell_phase();
    }
    Removal::Marked(Box::new(marked))
}

/// Whether what is marked has nothing left to wait for.
#[must_use]
pub fn may_go(resource: &Resource) -> bool {
    let meta = resource.meta();
    meta.deletion_timestamp.is_some() && meta.finalizers.is_empty() && resource.kind() != Kind::Namespace
}

/// What there is to do. `new_uid` gives a uid for each Namespace that is made.
#[must_use]
pub fn settle(resources: &Resources, now: UnixMillis, new_uid: &mut dyn FnMut() -> String) -> ObjectChanges {
    let mut changes = ObjectChanges::default();
    let time = Time::from_unix_millis(now.0);
    let mut inhabited: BTreeSet<&str> = BTreeSet::new();
    let owners = owners(resources);
    for (kind, meta) in resources.metas().filter(|(kind, _)| kind.is_namespaced()) {
        inhabited.insert(meta.namespace.as_str());
        let namespace = resources.namespace(&meta.namespace);
        let is_ending = namespace.is_some_and(|namespace| namespace.is_terminating());
        let is_free = meta.deletion_timestamp.is_some() && meta.finalizers.is_empty();
        if !is_ending && !is_free && !is_orphan(meta, &owners) {
            continue;
        }
        let key = ResourceKey::new(kind, meta.namespace.as_str(), meta.name.as_str());
        match resources.find(&key).map(|resource| removal(&resource, time)) {
            Some(Removal::Gone) => changes.delete.push(key),
            Some(Removal::Marked(marked)) => changes.put.push(*marked),
            Some(Removal::Waits) | None => {}
        }
    }
    for namespace in resources.core_of(Kind::Namespace).filter(|namespace| namespace.is_terminating()) {
        let name = namespace.metadata.name.as_str();
        if !inhabited.contains(name) && namespace.metadata.finalizers.is_empty() {
            changes.delete.push(ResourceKey::new(Kind::Namespace, "", name));
        }
    }
    inhabited.insert(DEFAULT_NAMESPACE);
    for name in inhabited.iter().filter(|name| resources.namespace(name).is_none()) {
        let mut namespace = CoreObject::namespace(name);
        namespace.metadata.uid = Some(new_uid());
        namespace.metadata.creation_timestamp = Some(time);
        changes.put.push(namespace.into());
    }
    old_events(resources, now, &mut changes);
    changes
}

/// The uids of owners that are there. Few resources have an owner, and of the others nothing is asked.
fn owners(resources: &Resources) -> BTreeSet<&str> {
    let named = resources.metas().flat_map(|(_, meta)| &meta.owner_references).map(|owner| owner.uid.as_str());
    let named: BTreeSet<&str> = named.collect();
    if named.is_empty() {
        return named;
    }
    resources.metas().filter_map(|(_, meta)| meta.uid.as_deref()).filter(|uid| named.contains(uid)).collect()
}

/// Whether a resource has owners, all of kinds that are known here, and none of them is there.
fn is_orphan(meta: &ObjectMeta, owners: &BTreeSet<&str>) -> bool {
    let is_gone = |owner: &OwnerReference| {
        Kind::of(&owner.api_version, &owner.kind).is_some() && !owners.contains(owner.uid.as_str())
    };
    !meta.owner_references.is_empty() && meta.owner_references.iter().all(is_gone)
}

/// Events go when they are old, and the oldest of too many.
fn old_events(resources: &Resources, now: UnixMillis, changes: &mut ObjectChanges) {
    let mut events: Vec<(u64, ResourceKey)> = Vec::new();
    for event in resources.core_of(Kind::Event) {
        let seen = ["/lastTimestamp", "/eventTime", "/firstTimestamp"].iter().find_map(|at| event.text(at));
        // Whatever the clock of who tells it says, it is kept for a while.
        let seen = seen.and_then(Time::parse).max(event.metadata.creation_timestamp).map_or(0, Time::unix_millis);
        // One that is dated in the future has the present age.
        let meta = &event.metadata;
        events.push((seen.min(now.0), ResourceKey::new(Kind::Event, meta.namespace.as_str(), meta.name.as_str())));
    }
    events.sort();
    let too_many = events.len().saturating_sub(MAX_EVENTS);
    let is_old = |seen: u64| seen.saturating_add(EVENTS_KEPT_MILLIS) <= now.0;
    let count = events.iter().enumerate().take_while(|(i, (seen, _))| *i < too_many || is_old(*seen)).count();
    changes.wake_at = events.get(count).map(|(seen, _)| UnixMillis(seen.saturating_add(EVENTS_KEPT_MILLIS)));
    changes.delete.extend(events.into_iter().take(count).map(|(_, key)| key).filter(|key| {
        let name = resources.namespace(&key.namespace);
        // Those of a Namespace that ends go with it.
        !name.is_some_and(|namespace| namespace.is_terminating())
    }));
}

#[cfg(test)]
mod tests;
