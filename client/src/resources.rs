//! The resources as of one moment, for roles to work from.

use std::collections::BTreeMap;
use std::sync::Arc;

use pelton_resource::{Broker, Kind, Resource, ResourceKey, Trigger};

use crate::{BrokerName, TriggerId};

/// Every Broker and Trigger as of one version of the registry. Immutable; a change makes a new one.
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
        match key.kind {
            Kind::Broker => {
                let name = BrokerName::new(&key.namespace, &key.name);
                self.brokers.get(&name).map(|broker| Resource::Broker(broker.as_ref().clone()))
            }
            Kind::Trigger => {
                self.trigger(&key.namespace, &key.name).map(|(_, t)| Resource::Trigger(t.as_ref().clone()))
            }
        }
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = Resource> + '_ {
        let brokers = self.brokers.values().map(|broker| Resource::Broker(broker.as_ref().clone()));
        brokers.chain(self.triggers.values().map(|trigger| Resource::Trigger(trigger.as_ref().clone())))
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
        match key.kind {
            Kind::Broker => {
                self.brokers.remove(&BrokerName::new(&key.namespace, &key.name));
            }
            Kind::Trigger => {
                if let Some(id) = self.names.remove(&format!("{}/{}", key.namespace, key.name)) {
                    self.triggers.remove(&id);
                }
            }
        }
    }
}
