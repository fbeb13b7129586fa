//! The resources as of one moment, for roles to work from.

use std::sync::Arc;

use pelton_resource::{
    Broker, Configuration, CoreObject, DomainMapping, Kind, ObjectMeta, Resource, ResourceKey, Revision, Route,
    Service, Trigger,
};

use crate::history::{Change, History};
use crate::version::version_at;
use crate::{BrokerName, ObjectName, SharedMap, TriggerId};

/// The resources of one kind, by namespace and name.
pub type Named<T> = SharedMap<ObjectName, Arc<T>>;

/// Every resource as of one version of the registry. Immutable; a change makes a new one, which shares with this what did
/// not change.
#[derive(Debug, Clone, Default)]
pub struct Resources {
    /// The registry's log index as of which this is true.
    pub version: u64,
    /// Brokers by `namespace/name`.
    pub brokers: SharedMap<BrokerName, Arc<Broker>>,
    /// Triggers by identity.
    pub triggers: SharedMap<TriggerId, Arc<Trigger>>,
    /// The identity of each trigger by `namespace/name`.
    names: SharedMap<ObjectName, TriggerId>,
    /// Services.
    pub services: Named<Service>,
    /// Configurations.
    pub configurations: Named<Configuration>,
    /// Revisions.
    pub revisions: Named<Revision>,
    /// Routes.
    pub routes: Named<Route>,
    /// DomainMappings.
    pub domain_mappings: Named<DomainMapping>,
    /// Objects of the core kinds.
    pub core: SharedMap<(Kind, ObjectName), Arc<CoreObject>>,
    /// What `core` takes.
    core_bytes: usize,
    /// What has changed lately. Unlike the rest it goes on: whoever applies changes notes them there.
    pub history: History,
}

/// One resource that is another than it was, by its metadata.
#[derive(Debug, Clone, Copy)]
pub struct Changed<'a> {
    /// What it is.
    pub kind: Kind,
    /// As it was; `None` when it was not there.
    pub before: Option<&'a ObjectMeta>,
    /// As it is; `None` when it is gone.
    pub now: Option<&'a ObjectMeta>,
}

impl Changed<'_> {
    /// What names it.
    ///
    /// # Panics
    /// When it neither was nor is.
    #[must_use]
    pub fn key(&self) -> ResourceKey {
        let meta = self.now.or(self.before).expect("what changed was there before or is now");
        ResourceKey::new(self.kind, meta.namespace.as_str(), meta.name.as_str())
    }
}

fn all<'a, K, T: Clone + 'a>(map: &'a SharedMap<K, Arc<T>>) -> impl Iterator<Item = Resource> + 'a
where
    Resource: From<T>,
{
    map.values().map(|it| Resource::from(it.as_ref().clone()))
}

fn found<T: Clone>(it: Option<&Arc<T>>) -> Option<Resource>
where
    Resource: From<T>,
{
    it.map(|it| it.as_ref().clone().into())
}

impl Resources {
    /// The trigger with this namespace and name.
    #[must_use]
    pub fn trigger(&self, namespace: &str, name: &str) -> Option<(TriggerId, &Arc<Trigger>)> {
        let id = *self.names.get_by(|is| is.cmp_parts(namespace, name))?;
        self.triggers.get(&id).map(|trigger| (id, trigger))
    }

    /// The broker with this namespace and name.
    #[must_use]
    pub fn broker(&self, namespace: &str, name: &str) -> Option<&Arc<Broker>> {
        self.brokers.get_by(|is| is.cmp_parts(namespace, name))
    }

    /// The broker that a trigger names.
    #[must_use]
    pub fn broker_of(&self, trigger: &Trigger) -> Option<&Arc<Broker>> {
        self.broker(&trigger.metadata.namespace, trigger.broker_name())
    }

    /// The resource with this key.
    #[must_use]
    pub fn find(&self, key: &ResourceKey) -> Option<Resource> {
        let (namespace, name) = (key.namespace.as_str(), key.name.as_str());
        match key.kind {
            Kind::Broker => found(self.broker(namespace, name)),
            Kind::Trigger => found(self.trigger(namespace, name).map(|(_, trigger)| trigger)),
            Kind::Service => found(self.service(namespace, name)),
            Kind::Configuration => found(self.configuration(namespace, name)),
            Kind::Revision => found(self.revision(namespace, name)),
            Kind::Route => found(self.route(namespace, name)),
            Kind::DomainMapping => found(self.domain_mapping(namespace, name)),
            core => found(self.core_object(core, namespace, name)),
        }
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = Resource> + '_ {
        Kind::ALL.into_iter().flat_map(|kind| self.of_kind(kind))
    }

    /// What every one of them is and its metadata, without a copy of anything.
    pub fn metas(&self) -> impl Iterator<Item = (Kind, &ObjectMeta)> {
        Kind::ALL.into_iter().flat_map(|kind| self.metas_of(kind).map(move |meta| (kind, meta)))
    }

    /// The metadata of all of one kind, without a copy of anything.
    pub fn metas_of(&self, kind: Kind) -> Box<dyn Iterator<Item = &ObjectMeta> + Send + '_> {
        match kind {
            Kind::Broker => Box::new(self.brokers.values().map(|it| &it.metadata)),
            Kind::Trigger => Box::new(self.triggers.values().map(|it| &it.metadata)),
            Kind::Service => Box::new(self.services.values().map(|it| &it.metadata)),
            Kind::Configuration => Box::new(self.configurations.values().map(|it| &it.metadata)),
            Kind::Revision => Box::new(self.revisions.values().map(|it| &it.metadata)),
            Kind::Route => Box::new(self.routes.values().map(|it| &it.metadata)),
            Kind::DomainMapping => Box::new(self.domain_mappings.values().map(|it| &it.metadata)),
            core => Box::new(self.core_of(core).map(|it| &it.metadata)),
        }
    }

    /// All of one kind.
    pub fn of_kind(&self, kind: Kind) -> Box<dyn Iterator<Item = Resource> + Send + '_> {
        match kind {
            Kind::Broker => Box::new(all(&self.brokers)),
            Kind::Trigger => Box::new(all(&self.triggers)),
            Kind::Service => Box::new(all(&self.services)),
            Kind::Configuration => Box::new(all(&self.configurations)),
            Kind::Revision => Box::new(all(&self.revisions)),
            Kind::Route => Box::new(all(&self.routes)),
            Kind::DomainMapping => Box::new(all(&self.domain_mappings)),
            core => Box::new(self.core_of(core).map(|object| object.as_ref().clone().into())),
        }
    }

    /// All objects of a core kind, by namespace and name.
    pub fn core_of(&self, kind: Kind) -> impl Iterator<Item = &Arc<CoreObject>> {
        let from = (kind, ObjectName::new("", ""));
        self.core.iter_from(&from).take_while(move |((of, _), _)| *of == kind).map(|(_, object)| object)
    }

    /// The object of a core kind with this namespace and name.
    #[must_use]
    pub fn core_object(&self, kind: Kind, namespace: &str, name: &str) -> Option<&Arc<CoreObject>> {
        self.core.get_by(|(of, is)| of.cmp(&kind).then_with(|| is.cmp_parts(namespace, name)))
    }

    /// What all objects of core kinds take ([`CoreObject::size_bytes`]).
    #[must_use]
    pub const fn core_bytes(&self) -> usize {
        self.core_bytes
    }

    /// Whether anything is in a namespace.
    #[must_use]
    pub fn is_inhabited(&self, namespace: &str) -> bool {
        fn has<T>(map: &SharedMap<ObjectName, T>, namespace: &str) -> bool {
            let first = map.iter_from(&ObjectName::new(namespace, "")).next();
            first.is_some_and(|(name, _)| *name.namespace == *namespace)
        }
        let has_core = |kind: Kind| {
            let first = self.core.iter_from(&(kind, ObjectName::new(namespace, ""))).next();
            first.is_some_and(|((of, name), _)| *of == kind && *name.namespace == *namespace)
        };
        let first_broker = self.brokers.iter_from(&BrokerName::new(namespace, "")).next();
        first_broker.is_some_and(|(name, _)| name.namespace() == namespace)
            || has(&self.names, namespace)
            || has(&self.services, namespace)
            || has(&self.configurations, namespace)
            || has(&self.revisions, namespace)
            || has(&self.routes, namespace)
            || has(&self.domain_mappings, namespace)
            || Kind::ALL.into_iter().filter(|kind| kind.is_core() && kind.is_namespaced()).any(has_core)
    }

    /// Whether both have the same of Knative Serving's resources in memory.
    #[must_use]
    pub fn has_serving_of(&self, other: &Self) -> bool {
        self.services.is(&other.services)
            && self.configurations.is(&other.configurations)
            && self.revisions.is(&other.revisions)
            && self.routes.is(&other.routes)
            && self.domain_mappings.is(&other.domain_mappings)
    }

    /// What is another than it was in `before`. A trigger that was deleted and made again under its name is one that is
    /// gone and one that is new.
    #[must_use]
    pub fn changed_since<'a>(&'a self, before: &'a Self) -> Vec<Changed<'a>> {
        fn of<'a, K: Ord, T>(
            kind: Kind,
            now: &'a SharedMap<K, Arc<T>>,
            before: &'a SharedMap<K, Arc<T>>,
            meta: impl Fn(&'a T) -> &'a ObjectMeta,
        ) -> impl Iterator<Item = Changed<'a>> {
            let changed = now.diff(before).into_iter();
            changed.map(move |it| Changed {
                kind,
                before: it.before.map(|it| meta(it)),
                now: it.now.map(|it| meta(it)),
            })
        }
        let mut all = Vec::new();
        all.extend(of(Kind::Broker, &self.brokers, &before.brokers, |it| &it.metadata));
        all.extend(of(Kind::Trigger, &self.triggers, &before.triggers, |it| &it.metadata));
        all.extend(of(Kind::Service, &self.services, &before.services, |it| &it.metadata));
        all.extend(of(Kind::Configuration, &self.configurations, &before.configurations, |it| &it.metadata));
        all.extend(of(Kind::Revision, &self.revisions, &before.revisions, |it| &it.metadata));
        all.extend(of(Kind::Route, &self.routes, &before.routes, |it| &it.metadata));
        all.extend(of(Kind::DomainMapping, &self.domain_mappings, &before.domain_mappings, |it| &it.metadata));
        all.extend(self.core.diff(&before.core).into_iter().map(|it| Changed {
            kind: it.key.0,
            before: it.before.map(|it| &it.metadata),
            now: it.now.map(|it| &it.metadata),
        }));
        all
    }

    /// The Namespace of that name.
    #[must_use]
    pub fn namespace(&self, name: &str) -> Option<&Arc<CoreObject>> {
        self.core_object(Kind::Namespace, "", name)
    }

    /// These resources with `stored` put in, as of log index `version`. Each of `stored` gets the resourceVersion of its
    /// place. A Trigger without a uid is left out: admission gives every one its own.
    #[must_use]
    pub fn with(&self, stored: impl IntoIterator<Item = Resource>, version: u64) -> Self {
        let mut next = Self { version, ..self.clone() };
        for (place, mut resource) in stored.into_iter().enumerate() {
            resource.meta_mut().resource_version = Some(version_at(version, place).to_string());
            next.put(resource);
        }
        next
    }

    /// Puts in one resource as it is.
    pub fn put(&mut self, resource: Resource) {
        fn named<T>(map: &mut Named<T>, it: T, meta: impl FnOnce(&T) -> &ObjectMeta) {
            map.insert(ObjectName::of(meta(&it)), Arc::new(it));
        }
        match resource {
            Resource::Broker(broker) => {
                let name = BrokerName::new(&broker.metadata.namespace, &broker.metadata.name);
                self.brokers.insert(name, Arc::new(broker));
            }
            Resource::Trigger(trigger) => {
                if let Some(id) = trigger.metadata.uid.as_deref().and_then(TriggerId::parse) {
                    let name = ObjectName::of(&trigger.metadata);
                    if let Some(former) = self.names.insert(name, id).filter(|former| *former != id) {
                        self.triggers.remove(&former);
                    }
                    self.triggers.insert(id, Arc::new(trigger));
                }
            }
            Resource::Service(it) => named(&mut self.services, it, |it| &it.metadata),
            Resource::Configuration(it) => named(&mut self.configurations, it, |it| &it.metadata),
            Resource::Revision(it) => named(&mut self.revisions, it, |it| &it.metadata),
            Resource::Route(it) => named(&mut self.routes, it, |it| &it.metadata),
            Resource::DomainMapping(it) => named(&mut self.domain_mappings, it, |it| &it.metadata),
            Resource::Core(it) => {
                self.core_bytes += it.size_bytes();
                let before = self.core.insert((it.kind, ObjectName::of(&it.metadata)), Arc::new(it));
                self.core_bytes -= before.map_or(0, |before| before.size_bytes());
            }
        }
    }

    /// As [`with`](Self::with), and noted in the history: this is what has become of the resources.
    #[must_use]
    pub fn put_at(&self, stored: Vec<Resource>, index: u64) -> Self {
        let keys: Vec<ResourceKey> = stored.iter().map(Resource::key).collect();
        let next = self.with(stored, index);
        for key in &keys {
            if let Some(after) = next.find(key) {
                self.history.record(Change::put(self.find(key).as_ref(), &after));
            }
        }
        next
    }

    /// As [`without`](Self::without), and noted in the history.
    #[must_use]
    pub fn take_at(&self, key: &ResourceKey, index: u64) -> Self {
        if let Some(before) = self.find(key) {
            self.history.record(Change::take(before, version_at(index, 0)));
        }
        self.without(key, index)
    }

    /// These resources without the one named, as of `version`.
    #[must_use]
    pub fn without(&self, key: &ResourceKey, version: u64) -> Self {
        let mut next = Self { version, ..self.clone() };
        next.take(key);
        next
    }

    /// Takes one resource out.
    pub fn take(&mut self, key: &ResourceKey) {
        let name = ObjectName::new(&key.namespace, &key.name);
        match key.kind {
            Kind::Broker => drop(self.brokers.remove(&BrokerName::new(&key.namespace, &key.name))),
            Kind::Trigger => {
                if let Some(id) = self.names.remove(&name) {
                    self.triggers.remove(&id);
                }
            }
            Kind::Service => drop(self.services.remove(&name)),
            Kind::Configuration => drop(self.configurations.remove(&name)),
            Kind::Revision => drop(self.revisions.remove(&name)),
            Kind::Route => drop(self.routes.remove(&name)),
            Kind::DomainMapping => drop(self.domain_mappings.remove(&name)),
            core => {
                let before = self.core.remove(&(core, name));
                self.core_bytes -= before.map_or(0, |before| before.size_bytes());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resource(kind: Kind, namespace: &str, name: &str, uid: u64) -> Resource {
        let spec = serde_json::json!({
            "apiVersion": kind.api_version(), "kind": kind.as_str(),
            "metadata": {"namespace": namespace, "name": name, "uid": crate::admission::uid_from_bits(0, uid)},
        });
        serde_json::from_value(spec).unwrap()
    }

    #[test]
    fn resources_of_every_kind_are_found_by_their_names() {
        let places = [("a", "x"), ("a", "y"), ("b", "x")];
        let every = Kind::ALL.into_iter().flat_map(|kind| places.map(|(namespace, name)| (kind, namespace, name)));
        let is_one = |(kind, namespace, _): &(Kind, &str, &str)| kind.is_namespaced() || *namespace == "a";
        let scope = |kind: Kind, namespace| if kind.is_namespaced() { namespace } else { "" };
        let every = every.filter(is_one).map(|(kind, namespace, name)| (kind, scope(kind, namespace), name));
        let made = (1..).zip(every).map(|(uid, (kind, namespace, name))| resource(kind, namespace, name, uid));
        let made: Vec<Resource> = made.collect();
        let all = Resources::default().with(made.clone(), 7);
        let core = all.core.values().map(|object| object.size_bytes());
        assert_eq!(all.core_bytes(), core.sum::<usize>());
        assert_eq!((all.is_inhabited("a"), all.is_inhabited("b"), all.is_inhabited("")), (true, true, false));
        assert_eq!(all.changed_since(&Resources::default()).len(), made.len());
        assert_eq!((all.iter().count(), all.version), (made.len(), 7));
        let metas = all.metas().map(|(kind, meta)| ResourceKey::new(kind, meta.namespace.as_str(), meta.name.as_str()));
        let keys: std::collections::BTreeSet<_> = made.iter().map(Resource::key).collect();
        assert_eq!(metas.collect::<std::collections::BTreeSet<_>>(), keys);
        let mut versions = std::collections::BTreeSet::new();
        for resource in &made {
            let key = resource.key();
            let found = all.find(&key).unwrap();
            assert_eq!(found.key(), key);
            let version = found.meta().resource_version.as_ref().unwrap().parse().unwrap();
            assert!(versions.insert(version) && crate::version::index_of(version) == 7, "{key} has {version}");
            assert_eq!(all.of_kind(key.kind).count(), if key.kind.is_namespaced() { 3 } else { 2 }, "{key}");
            let fewer = all.without(&key, 8);
            assert_eq!((fewer.find(&key), fewer.iter().count()), (None, made.len() - 1), "{key}");
            let changed: Vec<_> = fewer.changed_since(&all).iter().map(|it| (it.key(), it.now.is_some())).collect();
            assert_eq!(changed, [(key.clone(), false)]);
            let alone = Resources::default().with([found.clone()], 8);
            assert_eq!(alone.is_inhabited(&key.namespace), key.kind.is_namespaced(), "{key}");
            assert_eq!(alone.without(&key, 9).core_bytes(), 0);
            assert_eq!(fewer.with([found], 9).iter().count(), made.len(), "{key}");
        }
        assert_eq!(all.services.keys().map(ToString::to_string).collect::<Vec<_>>(), ["a/x", "a/y", "b/x"]);
    }
}
