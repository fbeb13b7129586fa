//! The resources as of one moment, for roles to work from.

use std::collections::BTreeMap;
use std::sync::Arc;

use pelton_resource::{
    Broker, Configuration, DomainMapping, Kind, ObjectMeta, Resource, ResourceKey, Revision, Route, Service, Trigger,
};

use crate::{BrokerName, ObjectName, TriggerId};

/// The resources of one kind, by namespace and name.
pub type Named<T> = BTreeMap<ObjectName, Arc<T>>;

/// Every resource as of one version of the registry. Immutable; a change makes a new one.
#[derive(Debug, Clone, Default)]
pub struct Resources {
    /// The registry's log index as of which this is true.
    pub version: u64,
    /// Brokers by `namespace/name`.
    pub brokers: BTreeMap<BrokerName, Arc<Broker>>,
    /// Triggers by identity.
    pub triggers: BTreeMap<TriggerId, Arc<Trigger>>,
    /// The identity of each trigger by `namespace/name`.
    names: BTreeMap<String, TriggerId>,
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
}

fn all<'a, K, T: Clone + 'a>(map: &'a BTreeMap<K, Arc<T>>) -> impl Iterator<Item = Resource> + 'a
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
        let id = *self.names.get(&format!("{namespace}/{name}"))?;
        self.triggers.get(&id).map(|trigger| (id, trigger))
    }

    /// The broker that a trigger names.
    #[must_use]
    pub fn broker_of(&self, trigger: &Trigger) -> Option<&Arc<Broker>> {
        self.brokers.get(&BrokerName::new(&trigger.metadata.namespace, trigger.broker_name()))
    }

    /// The resource with this key.
    #[must_use]
    pub fn find(&self, key: &ResourceKey) -> Option<Resource> {
        let name = ObjectName::new(&key.namespace, &key.name);
        match key.kind {
            Kind::Broker => found(self.brokers.get(&BrokerName::new(&key.namespace, &key.name))),
            Kind::Trigger => found(self.trigger(&key.namespace, &key.name).map(|(_, trigger)| trigger)),
            Kind::Service => found(self.services.get(&name)),
            Kind::Configuration => found(self.configurations.get(&name)),
            Kind::Revision => found(self.revisions.get(&name)),
            Kind::Route => found(self.routes.get(&name)),
            Kind::DomainMapping => found(self.domain_mappings.get(&name)),
        }
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = Resource> + '_ {
        Kind::ALL.into_iter().flat_map(|kind| self.of_kind(kind))
    }

    /// All of one kind.
    pub fn of_kind(&self, kind: Kind) -> Box<dyn Iterator<Item = Resource> + '_> {
        match kind {
            Kind::Broker => Box::new(all(&self.brokers)),
            Kind::Trigger => Box::new(all(&self.triggers)),
            Kind::Service => Box::new(all(&self.services)),
            Kind::Configuration => Box::new(all(&self.configurations)),
            Kind::Revision => Box::new(all(&self.revisions)),
            Kind::Route => Box::new(all(&self.routes)),
            Kind::DomainMapping => Box::new(all(&self.domain_mappings)),
        }
    }

    /// These resources with `stored` put in, as of `version`. Each of `stored` gets that resourceVersion. A Trigger
    /// without a uid is left out: admission gives every one its own.
    #[must_use]
    pub fn with(&self, stored: impl IntoIterator<Item = Resource>, version: u64) -> Self {
        let mut next = Self { version, ..self.clone() };
        for mut resource in stored {
            resource.meta_mut().resource_version = Some(version.to_string());
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
                    let name = format!("{}/{}", trigger.metadata.namespace, trigger.metadata.name);
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
        }
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
                if let Some(id) = self.names.remove(&format!("{}/{}", key.namespace, key.name)) {
                    self.triggers.remove(&id);
                }
            }
            Kind::Service => drop(self.services.remove(&name)),
            Kind::Configuration => drop(self.configurations.remove(&name)),
            Kind::Revision => drop(self.revisions.remove(&name)),
            Kind::Route => drop(self.routes.remove(&name)),
            Kind::DomainMapping => drop(self.domain_mappings.remove(&name)),
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
        let made = (1..).zip(every).map(|(uid, (kind, namespace, name))| resource(kind, namespace, name, uid));
        let made: Vec<Resource> = made.collect();
        let all = Resources::default().with(made.clone(), 7);
        assert_eq!((all.iter().count(), all.version), (made.len(), 7));
        for resource in &made {
            let key = resource.key();
            let found = all.find(&key).unwrap();
            assert_eq!(found.key(), key);
            assert_eq!(found.meta().resource_version.as_deref(), Some("7"));
            assert_eq!(all.of_kind(key.kind).count(), places.len(), "{key}");
            let fewer = all.without(&key, 8);
            assert_eq!((fewer.find(&key), fewer.iter().count()), (None, made.len() - 1), "{key}");
            assert_eq!(fewer.with([found], 9).iter().count(), made.len(), "{key}");
        }
        assert_eq!(all.services.keys().map(ToString::to_string).collect::<Vec<_>>(), ["a/x", "a/y", "b/x"]);
    }
}
