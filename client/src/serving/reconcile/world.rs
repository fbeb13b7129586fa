//! The resources while they are being reconciled.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use pelton_env::UnixMillis;
use pelton_resource::{
    Configuration, DomainMapping, Kind, ObjectMeta, OwnerReference, Resource, ResourceKey, Revision, Route, Service,
    Time,
};

use super::{Changes, Facts};
use crate::Resources;
pub(super) use crate::serving::owner::{is_owned, uid};
use crate::serving::owner::{kind_of, owned_uid, owner};

/// The resources as they are so far, so that each rule sees what those before it did; what was touched, and when to look
/// again.
pub(super) struct World<'a> {
    was: &'a Resources,
    pub(super) is: Resources,
    touched: BTreeSet<ResourceKey>,
    wake_at: Option<UnixMillis>,
    pub(super) facts: Facts<'a>,
}

impl<'a> World<'a> {
    pub(super) fn new(resources: &'a Resources, facts: Facts<'a>) -> Self {
        Self { was: resources, is: resources.clone(), touched: BTreeSet::new(), wake_at: None, facts }
    }

    /// The present moment as conditions have it.
    pub(super) fn now(&self) -> Time {
        Time::from_unix_millis(self.facts.now.0)
    }

    pub(super) fn services(&self) -> Vec<Arc<Service>> {
        self.is.services.values().cloned().collect()
    }

    pub(super) fn configurations(&self) -> Vec<Arc<Configuration>> {
        self.is.configurations.values().cloned().collect()
    }

    pub(super) fn revisions(&self) -> Vec<Arc<Revision>> {
        self.is.revisions.values().cloned().collect()
    }

    pub(super) fn routes(&self) -> Vec<Arc<Route>> {
        self.is.routes.values().cloned().collect()
    }

    pub(super) fn domain_mappings(&self) -> Vec<Arc<DomainMapping>> {
        self.is.domain_mappings.values().cloned().collect()
    }

    /// The revisions of each Configuration, by its uid.
    pub(super) fn revisions_by_configuration(&self) -> BTreeMap<String, Vec<Arc<Revision>>> {
        let mut found: BTreeMap<String, Vec<Arc<Revision>>> = BTreeMap::new();
        for revision in self.is.revisions.values() {
            if let Some(owner) = owner(&revision.metadata).filter(|owner| kind_of(owner) == Some(Kind::Configuration)) {
                found.entry(owner.uid.clone()).or_default().push(Arc::clone(revision));
            }
        }
        found
    }

    pub(super) fn put(&mut self, resource: impl Into<Resource>) {
        let resource = resource.into();
        self.touched.insert(resource.key());
        self.is.put(resource);
    }

    pub(super) fn delete(&mut self, key: ResourceKey) {
        self.is.take(&key);
        self.touched.insert(key);
    }

    /// There may be more to do then.
    pub(super) fn wake(&mut self, at: Option<UnixMillis>) {
        self.wake_at = self.wake_at.into_iter().chain(at).min();
    }

    /// Makes the resource of `wanted`'s kind and name that `owner` is to have as `wanted` is, unless it is somebody
    /// else's.
    pub(super) fn own(&mut self, owner: &ObjectMeta, owner_kind: Kind, mut wanted: Resource) {
        let (key, now) = (wanted.key(), self.now());
        let reference = OwnerReference {
            api_version: owner_kind.api_version().to_owned(),
            kind: owner_kind.as_str().to_owned(),
            name: owner.name.clone(),
            uid: uid(owner).to_owned(),
            controller: Some(true),
            block_owner_deletion: Some(true),
        };
        let meta = wanted.meta_mut();
        meta.owner_references = vec![reference];
        match self.is.find(&key) {
            None => {
                meta.uid = Some(owned_uid(uid(owner), key.kind, &key.name, self.was.version, self.facts.now));
                meta.generation = Some(1);
                meta.creation_timestamp = Some(now);
                self.put(wanted);
            }
            Some(is) if is_owned(is.meta(), owner, owner_kind) => {
                let old = is.meta();
                meta.uid.clone_from(&old.uid);
                meta.creation_timestamp = old.creation_timestamp;
                meta.deletion_timestamp = old.deletion_timestamp;
                meta.deletion_grace_period_seconds = old.deletion_grace_period_seconds;
                meta.finalizers.clone_from(&old.finalizers);
                meta.managed_fields.clone_from(&old.managed_fields);
                meta.resource_version.clone_from(&old.resource_version);
                let grown = old.generation.unwrap_or(0) + i64::from(wanted.spec_differs(&is));
                wanted.meta_mut().generation = Some(grown);
                wanted.keep_status_of(&is);
                if wanted != is {
                    self.put(wanted);
                }
            }
            Some(_) => {}
        }
    }

    /// Deletes what was made for something that is gone, and then what was made for that.
    pub(super) fn delete_orphans(&mut self) {
        let services: BTreeSet<_> = self.is.services.values().map(|one| uid(&one.metadata).to_owned()).collect();
        let made = self.is.configurations.values().map(|one| (Kind::Configuration, &one.metadata));
        let made = made.chain(self.is.routes.values().map(|one| (Kind::Route, &one.metadata)));
        let orphans = orphans(made, Kind::Service, &services);
        orphans.into_iter().for_each(|key| self.delete(key));
        let all = self.is.configurations.values();
        let configurations: BTreeSet<_> = all.map(|one| uid(&one.metadata).to_owned()).collect();
        let made = self.is.revisions.values().map(|one| (Kind::Revision, &one.metadata));
        let orphans = self::orphans(made, Kind::Configuration, &configurations);
        orphans.into_iter().for_each(|key| self.delete(key));
    }

    /// What is another than it was.
    pub(super) fn into_changes(self) -> Changes {
        let mut changes = Changes { wake_at: self.wake_at, ..Changes::default() };
        for key in self.touched {
            match (self.was.find(&key), self.is.find(&key)) {
                (None, None) => {}
                (None, Some(new)) => changes.put.push(new),
                (Some(_), None) => changes.delete.push(key),
                (Some(old), Some(new)) if old.meta().uid != new.meta().uid => {
                    changes.delete.push(key);
                    changes.put.push(new);
                }
                (Some(old), Some(new)) => changes.put.extend((old != new).then_some(new)),
            }
        }
        changes
    }
}

fn orphans<'a>(
    made: impl Iterator<Item = (Kind, &'a ObjectMeta)>,
    owner_kind: Kind,
    owners: &BTreeSet<String>,
) -> Vec<ResourceKey> {
    let is_orphan =
        |meta: &ObjectMeta| owner(meta).is_some_and(|o| kind_of(o) == Some(owner_kind) && !owners.contains(&o.uid));
    made.filter(|(_, meta)| is_orphan(meta))
        .map(|(kind, meta)| ResourceKey::new(kind, meta.namespace.clone(), meta.name.clone()))
        .collect()
}
