//! Whose status speaks of which resource.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use pelton_resource::{Broker, Destination, KReference, Kind, Trigger};

use crate::{BrokerName, TriggerId};

/// The Brokers and Triggers whose status follows from another resource, by that resource. It is kept as a number that stands
/// for it: where two resources have the same, a status is looked at for nothing.
#[derive(Debug, Default)]
pub(super) struct Dependents {
    brokers: BTreeSet<(u64, BrokerName)>,
    triggers: BTreeSet<(u64, TriggerId)>,
}

impl Dependents {
    pub(super) fn add_broker(&mut self, name: &BrokerName, broker: &Broker) {
        self.brokers.extend(needed_by_broker(broker).map(|of| (of, name.clone())));
    }

    pub(super) fn remove_broker(&mut self, name: &BrokerName, broker: &Broker) {
        for of in needed_by_broker(broker) {
            self.brokers.remove(&(of, name.clone()));
        }
    }

    pub(super) fn add_trigger(&mut self, id: TriggerId, trigger: &Trigger) {
        self.triggers.extend(needed_by_trigger(trigger).map(|of| (of, id)));
    }

    pub(super) fn remove_trigger(&mut self, id: TriggerId, trigger: &Trigger) {
        for of in needed_by_trigger(trigger) {
            self.triggers.remove(&(of, id));
        }
    }

    /// Brokers whose status follows from that resource.
    pub(super) fn brokers_of(&self, kind: Kind, namespace: &str, name: &str) -> impl Iterator<Item = &BrokerName> {
        let of = number(kind, namespace, name);
        let from = (of, BrokerName::new("", ""));
        self.brokers.range(from..).take_while(move |(is, _)| *is == of).map(|(_, broker)| broker)
    }

    /// Triggers whose status follows from that resource.
    pub(super) fn triggers_of(&self, kind: Kind, namespace: &str, name: &str) -> impl Iterator<Item = TriggerId> {
        let of = number(kind, namespace, name);
        self.triggers.range((of, TriggerId(0))..=(of, TriggerId(u128::MAX))).map(|(_, id)| *id)
    }
}

fn needed_by_broker(broker: &Broker) -> impl Iterator<Item = u64> {
    let sink = broker.spec.delivery.as_ref().and_then(|delivery| delivery.dead_letter_sink.as_ref());
    sink.into_iter().flat_map(referred)
}

fn needed_by_trigger(trigger: &Trigger) -> impl Iterator<Item = u64> {
    let broker = number(Kind::Broker, &trigger.metadata.namespace, trigger.broker_name());
    let sink = trigger.spec.delivery.as_ref().and_then(|delivery| delivery.dead_letter_sink.as_ref());
    let referred = referred(&trigger.spec.subscriber).chain(sink.into_iter().flat_map(referred));
    let dependency = trigger.dependency().and_then(|reference| reference.key());
    let dependency = dependency.map(|key| number(key.kind, &key.namespace, &key.name));
    std::iter::once(broker).chain(referred).chain(dependency)
}

fn referred(destination: &Destination) -> impl Iterator<Item = u64> + use<> {
    let key = destination.reference.as_ref().and_then(KReference::key);
    key.into_iter().flat_map(|key| {
        // Where there is no Service of Kubernetes, the Route of its name is meant.
        let instead = (key.kind == Kind::CoreService).then_some(Kind::Route);
        let numbers = [Some(key.kind), instead].map(|kind| Some(number(kind?, &key.namespace, &key.name)));
        numbers.into_iter().flatten()
    })
}

fn number(kind: Kind, namespace: &str, name: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    (kind, namespace, name).hash(&mut hasher);
    hasher.finish()
}
