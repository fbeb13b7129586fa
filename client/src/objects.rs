//! What follows for objects from others: Namespaces that are there because something is in them, the end of what is in a
//! Namespace that goes, of what has lost its owner, and of Events that are old.
//!
//! Pure and level-triggered, like the other rules that the registry's leader applies.

use std::collections::{BTreeMap, BTreeSet};

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
    let mut objects = Objects::default();
    objects.follow(resources);
    objects.settle(now, new_uid)
}

/// What follows for objects, as they change: only those that something has changed for are looked at.
///
/// What is to be looked at is kept until [`done`](Self::done) says that it was done, so nothing is lost when that fails.
#[derive(Debug, Default)]
pub struct Objects {
    resources: Resources,
    changed: BTreeSet<ResourceKey>,
    /// What has owners, by the uid of each: few resources have one.
    owned: BTreeMap<String, BTreeSet<ResourceKey>>,
    /// Events by when they were seen last.
    events: BTreeSet<(u64, ResourceKey)>,
}

impl Objects {
    /// The resources are these now.
    pub fn follow(&mut self, resources: &Resources) {
        let before = std::mem::replace(&mut self.resources, resources.clone());
        let changed = resources.changed_since(&before);
        // A trigger that was made again under its name is told of twice, so all that was goes first.
        for it in &changed {
            let key = it.key();
            for owner in it.before.into_iter().flat_map(|meta| &meta.owner_references) {
                if let Some(owned) = self.owned.get_mut(&owner.uid) {
                    owned.remove(&key);
                    if owned.is_empty() {
                        self.owned.remove(&owner.uid);
                    }
                }
            }
        }
        for it in changed {
            let key = it.key();
            for owner in it.now.into_iter().flat_map(|meta| &meta.owner_references) {
                self.owned.entry(owner.uid.clone()).or_default().insert(key.clone());
            }
            // Whoever was its own has lost it.
            let uid = |meta: Option<&ObjectMeta>| meta.and_then(|meta| meta.uid.clone());
            if let Some(gone) = uid(it.before).filter(|_| uid(it.before) != uid(it.now)) {
                self.changed.extend(self.owned.get(&gone).into_iter().flatten().cloned());
            }
            if key.kind == Kind::Namespace && resources.namespace(&key.name).is_some_and(|it| it.is_terminating()) {
                self.changed.extend(in_namespace(resources, &key.name));
            }
            self.changed.insert(key);
        }
        for it in resources.core.diff(&before.core).into_iter().filter(|it| it.key.0 == Kind::Event) {
            if let Some(event) = it.before {
                self.events.remove(&age_of(event));
            }
            self.events.extend(it.now.map(|event| age_of(event)));
        }
    }

    /// What there is to do. `new_uid` gives a uid for each Namespace that is made.
    #[must_use]
    pub fn settle(&self, now: UnixMillis, new_uid: &mut dyn FnMut() -> String) -> ObjectChanges {
        let (resources, time) = (&self.resources, Time::from_unix_millis(now.0));
        let mut changes = ObjectChanges::default();
        // It is always there.
        let mut inhabited: BTreeSet<&str> = [DEFAULT_NAMESPACE].into();
        let mut namespaces: BTreeSet<&str> = BTreeSet::new();
        for key in &self.changed {
            if !key.kind.is_namespaced() {
                namespaces.extend((key.kind == Kind::Namespace).then_some(key.name.as_str()));
                continue;
            }
            namespaces.insert(&key.namespace);
            let Some(resource) = resources.find(key) else { continue };
            inhabited.insert(&key.namespace);
            let meta = resource.meta();
            let is_ending = resources.namespace(&key.namespace).is_some_and(|namespace| namespace.is_terminating());
            let is_free = meta.deletion_timestamp.is_some() && meta.finalizers.is_empty();
            if is_ending || is_free || self.is_orphan(meta) {
                match removal(&resource, time) {
                    Removal::Gone => changes.delete.push(key.clone()),
                    Removal::Marked(marked) => changes.put.push(*marked),
                    Removal::Waits => {}
                }
            }
        }
        for name in namespaces {
            let is_inhabited = resources.is_inhabited(name);
            match resources.namespace(name) {
                None if is_inhabited => drop(inhabited.insert(name)),
                Some(it) if it.is_terminating() && !is_inhabited && it.metadata.finalizers.is_empty() => {
                    changes.delete.push(ResourceKey::new(Kind::Namespace, "", name));
                }
                _ => {}
            }
        }
        for name in inhabited.into_iter().filter(|name| resources.namespace(name).is_none()) {
            let mut namespace = CoreObject::namespace(name);
            namespace.metadata.uid = Some(new_uid());
            namespace.metadata.creation_timestamp = Some(time);
            changes.put.push(namespace.into());
        }
        self.old_events(now, &mut changes);
        changes
    }

    /// Everything that was to be done is done, or has changed meanwhile and is told again.
    pub fn done(&mut self) {
        self.changed.clear();
    }

    /// How many Events there are.
    #[must_use]
    pub fn events(&self) -> usize {
        self.events.len()
    }

    /// How many resources are to be looked at.
    #[must_use]
    pub fn count(&self) -> usize {
        self.changed.len()
    }

    /// Whether a resource has owners, all of kinds that are known here, and none of them is there.
    fn is_orphan(&self, meta: &ObjectMeta) -> bool {
        let is_gone = |owner: &OwnerReference| {
            let Some(kind) = Kind::of(&owner.api_version, &owner.kind) else { return false };
            let namespace = if kind.is_namespaced() { meta.namespace.as_str() } else { "" };
            let is = self.resources.find(&ResourceKey::new(kind, namespace, owner.name.as_str()));
            is.is_none_or(|is| is.meta().uid.as_ref() != Some(&owner.uid))
        };
        !meta.owner_references.is_empty() && meta.owner_references.iter().all(is_gone)
    }

    /// Events go when they are old, and the oldest of too many.
    fn old_events(&self, now: UnixMillis, changes: &mut ObjectChanges) {
        let too_many = self.events.len().saturating_sub(MAX_EVENTS);
        let is_old = |seen: u64| seen.saturating_add(EVENTS_KEPT_MILLIS) <= now.0;
        let count = self.events.iter().enumerate().take_while(|(i, (seen, _))| *i < too_many || is_old(*seen)).count();
        let next = self.events.iter().nth(count);
        // One that is dated in the future has the present age.
        changes.wake_at = next.map(|(seen, _)| UnixMillis((*seen).min(now.0) + EVENTS_KEPT_MILLIS));
        changes.delete.extend(self.events.iter().take(count).map(|(_, key)| key.clone()).filter(|key| {
            let name = self.resources.namespace(&key.namespace);
            // Those of a Namespace that ends go with it.
            !name.is_some_and(|namespace| namespace.is_terminating())
        }));
    }
}

/// When an Event was seen last, and what names it. Whatever the clock of who tells it says, it is kept for a while.
fn age_of(event: &CoreObject) -> (u64, ResourceKey) {
    let meta = &event.metadata;
    let seen = ["/lastTimestamp", "/eventTime", "/firstTimestamp"].iter().find_map(|at| event.text(at));
    let seen = seen.and_then(Time::parse).max(meta.creation_timestamp).map_or(0, Time::unix_millis);
    (seen, ResourceKey::new(Kind::Event, meta.namespace.as_str(), meta.name.as_str()))
}

fn in_namespace<'a>(resources: &'a Resources, namespace: &'a str) -> impl Iterator<Item = ResourceKey> + 'a {
    let inside = resources.metas().filter(move |(kind, meta)| kind.is_namespaced() && meta.namespace == namespace);
    inside.map(|(kind, meta)| ResourceKey::new(kind, meta.namespace.as_str(), meta.name.as_str()))
}

#[cfg(test)]
mod tests;
