//! What is true of each resource: addresses, resolved URIs, conditions.
//!
//! Level-triggered and pure: the status follows from the resources, from which triggers have a cursor and from what
//! the dispatcher warns of, whatever happened before (Knative Eventing, control plane, error signalling).

use std::collections::{BTreeMap, BTreeSet};

use pelton_resource::{
    Addressable, Broker, BrokerStatus, Condition, ConditionStatus, Destination, Kind, Resource, ResourceKey, Time,
    Trigger, TriggerStatus, Unresolved, annotations, conditions,
};

use crate::{BrokerName, ObjectName, Resources, TriggerId, Warning};

/// The condition that carries a dispatcher's [`Warning`].
pub const DELIVERY_WARNING: &str = "SubscriberAnswersWell";

/// What statuses follow from, beside the resources themselves.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// The URL under which ingress is reached, without a path; `None` until it is bound.
    pub ingress: Option<&'a str>,
    /// Triggers that have a cursor in every group.
    pub started: &'a BTreeSet<TriggerId>,
    /// What dispatchers warn of.
    pub warnings: &'a BTreeMap<TriggerId, Warning>,
    /// The present moment.
    pub now: Time,
}

/// The resources whose status is not what it should be, with the status that they should have.
#[must_use]
pub fn reconcile(resources: &Resources, facts: Facts<'_>) -> Vec<Resource> {
    let addresses: BTreeMap<&BrokerName, String> = resources
        .brokers
        .keys()
        .filter_map(|name| facts.ingress.map(|ingress| (name, format!("{ingress}/{}", name.as_str()))))
        .collect();
    let address_of = |key: &ResourceKey| match key.kind {
        Kind::Broker => addresses.get(&BrokerName::new(&key.namespace, &key.name)).cloned(),
        _ => stored_address(resources, key),
    };
    let mut changed = Vec::new();
    let mut ready: BTreeMap<&BrokerName, Condition> = BTreeMap::new();
    for (name, broker) in &resources.brokers {
        let status = broker_status(broker, addresses.get(name), &address_of, facts.now);
        ready.extend(status.conditions.find(conditions::READY).map(|condition| (name, condition.clone())));
        if status != broker.status {
            changed.push(Resource::Broker(Broker { status, ..broker.as_ref().clone() }));
        }
    }
    for (id, trigger) in &resources.triggers {
        let broker = BrokerName::new(&trigger.metadata.namespace, trigger.broker_name());
        let status = trigger_status(*id, trigger, resources, ready.get(&broker), &address_of, facts);
        if status != trigger.status {
            changed.push(Resource::Trigger(Trigger { status, ..trigger.as_ref().clone() }));
        }
    }
    changed
}

/// The address that the status of a resource has.
fn stored_address(resources: &Resources, key: &ResourceKey) -> Option<String> {
    let name = ObjectName::new(&key.namespace, &key.name);
    let address = match key.kind {
        Kind::Service => resources.services.get(&name)?.status.address.as_ref(),
        Kind::Route => resources.routes.get(&name)?.status.address.as_ref(),
        Kind::DomainMapping => resources.domain_mappings.get(&name)?.status.address.as_ref(),
        // It has no status: its address is what it says.
        Kind::CoreService => return resources.core.get(&(Kind::CoreService, name))?.external_url(),
        _ => None,
    };
    address?.url.clone()
}

type AddressOf<'a> = &'a dyn Fn(&ResourceKey) -> Option<String>;

fn broker_status(broker: &Broker, address: Option<&String>, address_of: AddressOf<'_>, now: Time) -> BrokerStatus {
    let mut status = broker.status.clone();
    status.observed_generation = broker.metadata.generation;
    status.address = address.map(|url| Addressable { url: Some(url.clone()), ..Addressable::default() });
    let sink = broker.spec.delivery.as_ref().and_then(|delivery| delivery.dead_letter_sink.as_ref());
    let sink = sink.map(|sink| sink.resolve(address_of));
    status.dead_letter_sink_uri = sink.as_ref().and_then(|sink| sink.as_ref().ok().cloned());
    let mut write = status.write_conditions(now);
    write.initialize();
    match address {
        Some(_) => write.mark_true(conditions::ADDRESSABLE),
        None => write.mark_unknown(conditions::ADDRESSABLE, "IngressNotBound", "ingress has no address yet"),
    };
    mark_sink(&mut write, sink.as_ref());
    status
}

fn trigger_status(
    id: TriggerId,
    trigger: &Trigger,
    resources: &Resources,
    broker_ready: Option<&Condition>,
    address_of: AddressOf<'_>,
    facts: Facts<'_>,
) -> TriggerStatus {
    let mut status = trigger.status.clone();
    status.observed_generation = trigger.metadata.generation;
    let broker = resources.broker_of(trigger);
    let subscriber = trigger.spec.subscriber.resolve(address_of);
    let sink = dead_letter_sink(trigger, broker.map(AsRef::as_ref)).map(|sink| sink.resolve(address_of));
    status.subscriber_uri = subscriber.as_ref().ok().cloned();
    status.dead_letter_sink_uri = sink.as_ref().and_then(|sink| sink.as_ref().ok().cloned());
    let mut write = status.write_conditions(facts.now);
    write.initialize();
    match trigger.metadata.annotations.get(annotations::DEPENDENCY) {
        None => write.mark_true(conditions::DEPENDENCY_READY),
        Some(_) => write.mark_unknown(
            conditions::DEPENDENCY_READY,
            "DependencyNotResolved",
            "the object that knative.dev/dependency names cannot be looked up here",
        ),
    };
    if broker.is_some() {
        mirror(&mut write, broker_ready);
    } else {
        let name = trigger.broker_name();
        write.mark_false(conditions::BROKER_READY, "BrokerDoesNotExist", &format!("broker {name:?} does not exist"));
    }
    match &subscriber {
        Ok(_) => write.mark_true(conditions::SUBSCRIBER_RESOLVED),
        Err(why) => write.mark_false(conditions::SUBSCRIBER_RESOLVED, why.reason(), &why.to_string()),
    };
    if facts.started.contains(&id) {
        write.mark_true(conditions::SUBSCRIPTION_READY);
    } else {
        write.mark_unknown(conditions::SUBSCRIPTION_READY, "NotStarted", "the trigger has no place in the log yet");
    }
    mark_sink(&mut write, sink.as_ref());
    match facts.warnings.get(&id) {
        Some(warning) => write.warn(DELIVERY_WARNING, &warning.reason, &warning.message),
        None => write.clear(DELIVERY_WARNING),
    };
    status
}

/// `BrokerReady` is what the Broker's own `Ready` is.
fn mirror(write: &mut pelton_resource::ConditionWriter<'_>, ready: Option<&Condition>) {
    let Some(ready) = ready else {
        write.mark_unknown(conditions::BROKER_READY, "BrokerNotReconciled", "the Broker has no status yet");
        return;
    };
    match ready.status {
        ConditionStatus::True => write.mark_true(conditions::BROKER_READY),
        ConditionStatus::False => write.mark_false(conditions::BROKER_READY, &ready.reason, &ready.message),
        ConditionStatus::Unknown => write.mark_unknown(conditions::BROKER_READY, &ready.reason, &ready.message),
    };
}

/// The dead-letter sink that applies: the Trigger's own, else its Broker's, whatever else either of them says.
fn dead_letter_sink<'a>(trigger: &'a Trigger, broker: Option<&'a Broker>) -> Option<&'a Destination> {
    let own = trigger.spec.delivery.as_ref().and_then(|delivery| delivery.dead_letter_sink.as_ref());
    own.or_else(|| broker?.spec.delivery.as_ref()?.dead_letter_sink.as_ref())
}

fn mark_sink(write: &mut pelton_resource::ConditionWriter<'_>, sink: Option<&Result<String, Unresolved>>) {
    match sink {
        None => write.mark_true_because(
            conditions::DEAD_LETTER_SINK_RESOLVED,
            "DeadLetterSinkNotConfigured",
            "dead letters are kept here",
        ),
        Some(Ok(_)) => write.mark_true(conditions::DEAD_LETTER_SINK_RESOLVED),
        Some(Err(why)) => write.mark_false(conditions::DEAD_LETTER_SINK_RESOLVED, why.reason(), &why.to_string()),
    };
}

#[cfg(test)]
mod tests {
    use pelton_resource::parse_documents;

    use super::*;
    use crate::admission::{admit, uid_from_bits};

    fn stored(text: &str) -> Resources {
        let mut next = 0;
        let resources = parse_documents(text, "test").unwrap();
        let admitted = admit(&Resources::default(), resources, Time::from_unix_millis(0), &mut || {
            next += 1;
            uid_from_bits(0, next)
        });
        Resources::default().with(admitted.unwrap(), 1)
    }

    fn settle(mut resources: Resources, ingress: Option<&str>, started: bool) -> Resources {
        let started: BTreeSet<_> = if started { resources.triggers.keys().copied().collect() } else { [].into() };
        let warnings = BTreeMap::new();
        let facts = Facts { ingress, started: &started, warnings: &warnings, now: Time::from_unix_millis(5) };
        let changed = reconcile(&resources, facts);
        resources = resources.with(changed, 2);
        assert_eq!(reconcile(&resources, facts), vec![], "a second pass changes nothing");
        resources
    }

    const TRIGGER: &str = "apiVersion: eventing.knative.dev/v1\nkind: Trigger\nmetadata: {name: t}\nspec: {broker: a, \
                           subscriber: {uri: 'http://s.example/'}}\n";
    const BROKER: &str = "apiVersion: eventing.knative.dev/v1\nkind: Broker\nmetadata: {name: a}\nspec: {delivery: \
                          {deadLetterSink: {uri: 'http://dead.example/'}}}\n";

    #[test]
    fn a_trigger_whose_broker_is_missing_says_so_and_becomes_ready_with_it() {
        let alone = settle(stored(TRIGGER), Some("http://in"), true);
        let (_, trigger) = alone.trigger("default", "t").unwrap();
        assert!(!trigger.status.conditions.is_ready());
        assert_eq!(trigger.status.conditions.find("Ready").unwrap().reason, "BrokerDoesNotExist");
        let both = settle(stored(&format!("{BROKER}---\n{TRIGGER}")), Some("http://in"), true);
        let (_, trigger) = both.trigger("default", "t").unwrap();
        assert!(trigger.status.conditions.is_ready());
        assert_eq!(trigger.status.subscriber_uri.as_deref(), Some("http://s.example/"));
        assert_eq!(trigger.status.dead_letter_sink_uri.as_deref(), Some("http://dead.example/"));
        let broker = &both.brokers["default/a"];
        assert!(broker.status.conditions.is_ready());
        assert_eq!(broker.status.address.as_ref().unwrap().url.as_deref(), Some("http://in/default/a"));
    }

    #[test]
    fn nothing_is_ready_before_ingress_and_cursor_are_there() {
        let waiting = settle(stored(&format!("{BROKER}---\n{TRIGGER}")), None, false);
        assert!(!waiting.brokers["default/a"].status.conditions.is_ready());
        assert!(!waiting.trigger("default", "t").unwrap().1.status.conditions.is_ready());
    }

    /// The Broker is there and not Ready: neither is the Trigger, and it says why.
    #[test]
    fn broker_ready_is_what_the_broker_says() {
        let lost = BROKER.replace("uri: 'http://dead.example/'", "ref: {apiVersion: v1, kind: Service, name: x}");
        for (broker, ingress, want) in [
            (BROKER, Some("http://in"), ConditionStatus::True),
            (BROKER, None, ConditionStatus::Unknown),
            (lost.as_str(), Some("http://in"), ConditionStatus::False),
        ] {
            let all = settle(stored(&format!("{broker}---\n{TRIGGER}")), ingress, true);
            let ready = all.brokers["default/a"].status.conditions.find(conditions::READY).unwrap();
            let status = &all.trigger("default", "t").unwrap().1.status;
            let mirrored = status.conditions.find(conditions::BROKER_READY).unwrap();
            assert_eq!((mirrored.status, ready.status), (want, want));
            assert_eq!((&mirrored.reason, &mirrored.message), (&ready.reason, &ready.message));
            assert_eq!(status.conditions.is_ready(), want == ConditionStatus::True);
        }
    }

    /// A subscriber that is a Service or Route is reached at the address that it has, when it has one.
    #[test]
    fn a_reference_to_serving_is_resolved_by_its_status() {
        let made = |kind: Kind| {
            serde_json::json!({
                "apiVersion": kind.api_version(), "kind": kind.as_str(),
                "metadata": {"namespace": "default", "name": "s.example"},
                "status": {"address": {"url": "http://s.default.example"}},
            })
        };
        for (kind, want) in [
            (Kind::Service, Some("http://s.default.example")),
            (Kind::Route, Some("http://s.default.example")),
            (Kind::DomainMapping, Some("http://s.default.example")),
            (Kind::Configuration, None),
            (Kind::Revision, None),
        ] {
            let subscriber = format!("ref: {{apiVersion: {}, kind: {kind}, name: s.example}}", kind.api_version());
            let trigger = TRIGGER.replace("uri: 'http://s.example/'", &subscriber);
            let all = stored(&format!("{BROKER}---\n{trigger}"));
            let alone = settle(all.clone(), Some("http://in"), true);
            assert_eq!(alone.trigger("default", "t").unwrap().1.status.subscriber_uri, None, "{kind}");
            let both = settle(all.with([serde_json::from_value(made(kind)).unwrap()], 1), Some("http://in"), true);
            let status = &both.trigger("default", "t").unwrap().1.status;
            assert_eq!(status.subscriber_uri.as_deref(), want, "{kind}");
            assert_eq!(status.conditions.is_ready(), want.is_some(), "{kind}");
        }
    }

    /// A core Service of type ExternalName is another name for a host.
    #[test]
    fn a_reference_to_an_external_name_is_resolved() {
        let trigger =
            TRIGGER.replace("uri: 'http://s.example/'", "ref: {apiVersion: v1, kind: Service, name: s}, uri: /in");
        let service = "apiVersion: v1\nkind: Service\nmetadata: {name: s}\nspec: {type: ExternalName, externalName: \
                       s.example, ports: [{port: 8080}]}\n";
        for (text, want) in [
            (format!("{BROKER}---\n{trigger}---\n{service}"), Some("http://s.example:8080/in")),
            (format!("{BROKER}---\n{trigger}"), None),
        ] {
            let all = settle(stored(&text), Some("http://in"), true);
            assert_eq!(all.trigger("default", "t").unwrap().1.status.subscriber_uri.as_deref(), want);
        }
    }

    /// What a dependency names cannot be looked up here, so nobody says that it is Ready.
    #[test]
    fn a_dependency_is_not_taken_for_ready() {
        let trigger = TRIGGER.replace(
            "{name: t}",
            r#"{name: t, annotations: {knative.dev/dependency: '{"kind":"PingSource","name":"p","apiVersion":"v1"}'}}"#,
        );
        let all = settle(stored(&format!("{BROKER}---\n{trigger}")), Some("http://in"), true);
        let found = &all.trigger("default", "t").unwrap().1.status.conditions;
        assert_eq!(found.status(conditions::DEPENDENCY_READY), ConditionStatus::Unknown);
        assert_eq!(found.find(conditions::READY).unwrap().reason, "DependencyNotResolved");
    }
}
