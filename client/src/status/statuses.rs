//! Which statuses have to be looked at: those that something they follow from has changed for.

use std::collections::BTreeSet;

use pelton_resource::{Broker, BrokerStatus, Kind, Resource, Trigger};

use super::dependents::Dependents;
use super::{Facts, address_of, broker_address, broker_status, trigger_status};
use crate::{BrokerName, Resources, SharedMap, TriggerId};

/// The statuses of Brokers and Triggers as they follow from the resources. With 10,000 Triggers, a change of one has that one
/// looked at, and a change of something that none of them speaks of has none looked at.
///
/// What is to be looked at is kept until [`done`](Self::done) says that it was written, so nothing is lost when that fails.
#[derive(Debug, Default)]
pub struct Statuses {
    resources: Resources,
    dependents: Dependents,
    brokers: BTreeSet<BrokerName>,
    triggers: BTreeSet<TriggerId>,
}

impl Statuses {
    /// The resources are these now.
    pub fn follow(&mut self, now: &Resources) {
        let before = std::mem::replace(&mut self.resources, now.clone());
        for it in now.brokers.diff(&before.brokers) {
            if let Some(broker) = it.before {
                self.dependents.remove_broker(it.key, broker);
                self.brokers.remove(it.key);
            }
            if let Some(broker) = it.now {
                self.dependents.add_broker(it.key, broker);
                self.brokers.insert(it.key.clone());
            }
        }
        for it in now.triggers.diff(&before.triggers) {
            if let Some(trigger) = it.before {
                self.dependents.remove_trigger(*it.key, trigger);
                self.triggers.remove(it.key);
            }
            if let Some(trigger) = it.now {
                self.dependents.add_trigger(*it.key, trigger);
                self.triggers.insert(*it.key);
            }
        }
        for it in now.changed_since(&before) {
            if let Some(meta) = it.now.or(it.before) {
                self.brokers.extend(self.dependents.brokers_of(it.kind, &meta.namespace, &meta.name).cloned());
                self.triggers.extend(self.dependents.triggers_of(it.kind, &meta.namespace, &meta.name));
            }
        }
    }

    /// What is known of a Trigger beside the resources is another.
    pub fn look_at(&mut self, id: TriggerId) {
        if self.resources.triggers.contains_key(&id) {
            self.triggers.insert(id);
        }
    }

    /// What is known beside the resources is another for all of them.
    pub fn look_at_all(&mut self) {
        self.brokers.extend(self.resources.brokers.keys().cloned());
        self.triggers.extend(self.resources.triggers.keys().copied());
    }

    /// The Triggers that are to be looked at.
    pub fn triggers(&self) -> impl Iterator<Item = TriggerId> {
        self.triggers.iter().copied()
    }

    /// How many resources are to be looked at.
    #[must_use]
    pub fn count(&self) -> usize {
        self.brokers.len() + self.triggers.len()
    }

    /// Those whose status is not what it should be, with the status that they should have.
    #[must_use]
    pub fn reconcile(&self, facts: Facts<'_>) -> Vec<Resource> {
        let resources = &self.resources;
        let address_of = |key: &_| address_of(resources, facts.ingress, key);
        let (mut changed, mut fresh) = (Vec::new(), SharedMap::<BrokerName, BrokerStatus>::default());
        let mut triggers = self.triggers.clone();
        for (name, broker) in self.brokers.iter().filter_map(|name| Some((name, resources.brokers.get(name)?))) {
            let status = broker_status(broker, broker_address(facts.ingress, name), &address_of, facts.now);
            if status != broker.status {
                let meta = &broker.metadata;
                triggers.extend(self.dependents.triggers_of(Kind::Broker, &meta.namespace, &meta.name));
                changed.push(Resource::Broker(Broker { status: status.clone(), ..broker.as_ref().clone() }));
                fresh.insert(name.clone(), status);
            }
        }
        for (id, trigger) in triggers.iter().filter_map(|id| Some((*id, resources.triggers.get(id)?))) {
            let fresh = fresh.get_by(|is| is.cmp_parts(&trigger.metadata.namespace, trigger.broker_name()));
            let broker = resources.broker_of(trigger);
            let broker = broker.map(|broker| (broker.as_ref(), fresh.unwrap_or(&broker.status)));
            let status = trigger_status(id, trigger, resources, broker, &address_of, facts);
            if status != trigger.status {
                changed.push(Resource::Trigger(Trigger { status, ..trigger.as_ref().clone() }));
            }
        }
        changed
    }

    /// Everything that was to be looked at is as it should be, or has changed meanwhile and is told again.
    pub fn done(&mut self) {
        self.brokers.clear();
        self.triggers.clear();
    }
}

#[cfg(test)]
mod tests;
