//! What is true of each resource: addresses, resolved URIs, conditions.
//!
//! Level-triggered and pure: the status follows from the resources, from which triggers have a cursor and from what
//! the dispatcher warns of, whatever happened before (Knative Eventing, control plane, error signalling).

mod dependency;
mod dependents;
mod statuses;

use std::collections::BTreeMap;

use pelton_resource::{
    Addressable, Broker, BrokerStatus, Condition, ConditionStatus, Destination, Kind, Resource, ResourceKey, Time,
    Trigger, TriggerStatus, Unresolved, conditions,
};

pub use self::statuses::Statuses;
use crate::{BrokerName, Resources, TriggerId, Warning};

/// The condition that carries a dispatcher's [`Warning`].
pub const DELIVERY_WARNING: &str = "SubscriberAnswersWell";

/// What statuses follow from, beside the resources themselves.
#[derive(Clone, Copy)]
pub struct Facts<'a> {
    /// The URL under which ingress is reached, without a path; `None` until it is bound.
    pub ingress: Option<&'a str>,
    /// Whether a trigger has a cursor in every group.
    pub is_started: &'a dyn Fn(TriggerId) -> bool,
    /// What dispatchers have said: a warning, or that there is none any more. Of other triggers what is in the status stands.
    pub warnings: &'a BTreeMap<TriggerId, Option<Warning>>,
    /// The present moment.
    pub now: Time,
}

/// The resources whose status is not what it should be, with the status that they should have: of all of them.
#[must_use]
pub fn reconcile(resources: &Resources, facts: Facts<'_>) -> Vec<Resource> {
    let mut statuses = Statuses::default();
    statuses.follow(resources);
    statuses.reconcile(facts)
}

/// Where a Broker takes events.
fn broker_address(ingress: Option<&str>, name: &BrokerName) -> Option<String> {
    ingress.map(|ingress| format!("{ingress}/{}", name.as_str()))
}

/// The address of a resource, if it is there and has one.
fn address_of(resources: &Resources, ingress: Option<&str>, key: &ResourceKey) -> Option<String> {
    let (namespace, name) = (key.namespace.as_str(), key.name.as_str());
    let address = match key.kind {
        // As it is about to be in its status.
        Kind::Broker => {
            resources.broker(namespace, name)?;
            return broker_address(ingress, &BrokerName::new(namespace, name));
        }
        Kind::Service => resources.service(namespace, name)?.status.address.as_ref(),
        Kind::Route => resources.route(namespace, name)?.status.address.as_ref(),
        Kind::DomainMapping => resources.domain_mapping(namespace, name)?.status.address.as_ref(),
        Kind::CoreService => match resources.core_object(Kind::CoreService, namespace, name) {
            // It has no status: its address is what it says.
            Some(service) => return service.external_url(),
            // Knative makes one beside each Route, of its name.
            None => resources.route(namespace, name)?.status.address.as_ref(),
        },
        _ => None,
    };
    address?.url.clone()
}

type AddressOf<'a> = &'a dyn Fn(&ResourceKey) -> Option<String>;

fn broker_status(broker: &Broker, address: Option<String>, address_of: AddressOf<'_>, now: Time) -> BrokerStatus {
    let mut status = broker.status.clone();
    status.observed_generation = broker.metadata.generation;
    let has_address = address.is_some();
    status.address = address.map(|url| Addressable { url: Some(url), ..Addressable::default() });
    let sink = broker.spec.delivery.as_ref().and_then(|delivery| delivery.dead_letter_sink.as_ref());
    let sink = sink.map(|sink| sink.resolve(address_of));
    status.dead_letter_sink_uri = sink.as_ref().and_then(|sink| sink.as_ref().ok().cloned());
    let mut write = status.write_conditions(now);
    write.initialize();
    if has_address {
        write.mark_true(conditions::ADDRESSABLE);
    } else {
        write.mark_unknown(conditions::ADDRESSABLE, "IngressNotBound", "ingress has no address yet");
    }
    mark_sink(&mut write, sink.as_ref());
    status
}

fn trigger_status(
    id: TriggerId,
    trigger: &Trigger,
    resources: &Resources,
    broker: Option<(&Broker, &BrokerStatus)>,
    address_of: AddressOf<'_>,
    facts: Facts<'_>,
) -> TriggerStatus {
    let mut status = trigger.status.clone();
    status.observed_generation = trigger.metadata.generation;
    let subscriber = trigger.spec.subscriber.resolve(address_of);
    let sink = dead_letter_sink(trigger, broker.map(|(broker, _)| broker)).map(|sink| sink.resolve(address_of));
    status.subscriber_uri = subscriber.as_ref().ok().cloned();
    status.dead_letter_sink_uri = sink.as_ref().and_then(|sink| sink.as_ref().ok().cloned());
    let mut write = status.write_conditions(facts.now);
    write.initialize();
    dependency::mark(&mut write, trigger, resources);
    if let Some((_, status)) = broker {
        mirror(&mut write, status.conditions.find(conditions::READY));
    } else {
        let name = trigger.broker_name();
        write.mark_false(conditions::BROKER_READY, "BrokerDoesNotExist", &format!("broker {name:?} does not exist"));
    }
    match &subscriber {
        Ok(_) => write.mark_true(conditions::SUBSCRIBER_RESOLVED),
        Err(why) => write.mark_false(conditions::SUBSCRIBER_RESOLVED, why.reason(), &why.to_string()),
    };
    if (facts.is_started)(id) {
        write.mark_true(conditions::SUBSCRIPTION_READY);
    } else {
        write.mark_unknown(conditions::SUBSCRIPTION_READY, "NotStarted", "the trigger has no place in the log yet");
    }
    mark_sink(&mut write, sink.as_ref());
    match facts.warnings.get(&id) {
        Some(Some(warning)) => _ = write.warn(DELIVERY_WARNING, &warning.reason, &warning.message),
        Some(None) => _ = write.clear(DELIVERY_WARNING),
        None => {}
    }
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
        let warnings = BTreeMap::new();
        let facts = Facts { ingress, is_started: &|_| started, warnings: &warnings, now: Time::from_unix_millis(5) };
        let changed = reconcile(&resources, facts);
        resources = resources.with(changed, 2);
        assert_eq!(reconcile(&resources, facts), vec![], "a second pass changes nothing");
        resources
    }

    const TRIGGER: &str = "apiVersion: eventing.knative.dev/v1\nkind: Trigger\nmetadata: {name: t}\nspec: {broker: a, \
                           subscriber: {uri: 'http://s.example/'}}\n";
    const BROKER: &str = "apiVersion: eventing.knative.dev/v1\nkind: Broker\nmetadata: {name: a}\nspec: {delivery: \
                          {deadLetterSink: {uri: 'http://dead.example/'}}}\n";

    /// Conformance checks 4, 6, 7, 13 and 17 to 19.
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

    /// The Broker is there and not Ready: neither is the Trigger, and it says why (conformance check 20).
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
        let route = serde_json::json!({
            "apiVersion": Kind::Route.api_version(), "kind": "Route", "metadata": {"namespace": "default", "name": "s"},
            "status": {"address": {"url": "http://s.default.svc.cluster.local"}},
        });
        let route: Resource = serde_json::from_value(route).unwrap();
        for (text, route, want) in [
            (format!("{BROKER}---\n{trigger}---\n{service}"), None, Some("http://s.example:8080/in")),
            (format!("{BROKER}---\n{trigger}"), None, None),
            // Knative makes a Service of Kubernetes beside each Route.
            (format!("{BROKER}---\n{trigger}"), Some(route), Some("http://s.default.svc.cluster.local/in")),
        ] {
            let all = settle(stored(&text).with(route, 1), Some("http://in"), true);
            assert_eq!(all.trigger("default", "t").unwrap().1.status.subscriber_uri.as_deref(), want);
        }
    }

    /// Conformance check 37: Ready only when what the annotation names is, with the reasons of Knative's own controller.
    #[test]
    fn a_dependency_is_waited_for() {
        let route = |more: serde_json::Value| {
            let mut made = serde_json::json!({
                "apiVersion": Kind::Route.api_version(), "kind": "Route",
                "metadata": {"namespace": "default", "name": "r", "generation": 2},
            });
            made["status"] = more;
            made.to_string()
        };
        let told = |status: &str, observed: u64| {
            let ready = serde_json::json!({"type": "Ready", "status": status, "reason": "Why", "message": "so"});
            route(serde_json::json!({"observedGeneration": observed, "conditions": [ready]}))
        };
        let of =
            |kind: &str, api_version: &str| format!(r#"{{"kind":"{kind}","name":"r","apiVersion":"{api_version}"}}"#);
        let to_route = of("Route", Kind::Route.api_version());
        use ConditionStatus::{False, True, Unknown};
        for (named, dependency, want) in [
            (to_route.as_str(), None, (False, "DependencyDoesNotExist")),
            (
                &to_route,
                Some(route(serde_json::json!({"observedGeneration": 2}))),
                (Unknown, "DependencyNotConfigured"),
            ),
            (&to_route, Some(told("True", 1)), (Unknown, "GenerationNotEqual")),
            (&to_route, Some(told("Unknown", 2)), (Unknown, "Why")),
            (&to_route, Some(told("False", 2)), (False, "Why")),
            (&to_route, Some(told("True", 2)), (True, "")),
            (&of("PingSource", "sources.knative.dev/v1"), None, (Unknown, "DependencyKindUnsupported")),
            ("[]", None, (False, "ReferenceError")),
        ] {
            let mut trigger = stored(TRIGGER).trigger("default", "t").unwrap().1.as_ref().clone();
            trigger.metadata.annotations.insert("knative.dev/dependency".to_owned(), named.to_owned());
            let dependency = dependency.map(|text| serde_json::from_str::<Resource>(&text).unwrap());
            let all = stored(BROKER).with([Resource::Trigger(trigger)].into_iter().chain(dependency), 1);
            let all = settle(all, Some("http://in"), true);
            let found = &all.trigger("default", "t").unwrap().1.status.conditions;
            let is = found.find(conditions::DEPENDENCY_READY).unwrap();
            assert_eq!((is.status, is.reason.as_str()), want, "{named}: {is:?}");
            assert_eq!(found.status(conditions::READY), want.0, "{named}");
        }
    }

    /// Conformance check 41: a relative URI is resolved against the address of what is referred to.
    #[test]
    fn a_relative_uri_is_resolved_against_the_reference() {
        for (uri, want) in
            [("/in", "http://h.example/in"), ("in?x=1", "http://h.example/in?x=1"), ("/a/../b", "http://h.example/b")]
        {
            let reference = format!("ref: {{apiVersion: v1, kind: Service, name: s}}, uri: '{uri}'");
            let trigger = TRIGGER.replace("uri: 'http://s.example/'", &reference);
            let service = "apiVersion: v1\nkind: Service\nmetadata: {name: s}\nspec: {type: ExternalName, externalName: h.example}\n";
            let all = settle(stored(&format!("{BROKER}---\n{trigger}---\n{service}")), Some("http://in"), true);
            assert_eq!(all.trigger("default", "t").unwrap().1.status.subscriber_uri.as_deref(), Some(want), "{uri}");
        }
    }

    /// Conformance checks 21 and 310: the URI is cleared when the reference breaks, and comes back with it.
    #[test]
    fn a_reference_that_breaks_clears_the_uri() {
        let trigger = TRIGGER.replace("uri: 'http://s.example/'", "ref: {apiVersion: v1, kind: Service, name: s}");
        let service =
            "apiVersion: v1\nkind: Service\nmetadata: {name: s}\nspec: {type: ExternalName, externalName: h.example}\n";
        let all = settle(stored(&format!("{BROKER}---\n{trigger}---\n{service}")), Some("http://in"), true);
        let key = ResourceKey::new(Kind::CoreService, "default", "s");
        let broken = settle(all.without(&key, 3), Some("http://in"), true);
        let status = &broken.trigger("default", "t").unwrap().1.status;
        assert_eq!((status.subscriber_uri.as_deref(), status.conditions.is_ready()), (None, false));
        assert_eq!(status.conditions.find(conditions::READY).unwrap().reason, "ReferenceNotFound");
        let whole = settle(broken.with(all.find(&key), 4), Some("http://in"), true);
        assert!(whole.trigger("default", "t").unwrap().1.status.conditions.is_ready());
    }

    /// Conformance check 11: the generation that is observed moves with the conditions that are about it.
    #[test]
    fn the_observed_generation_moves_with_the_conditions() {
        let all = settle(stored(&format!("{BROKER}---\n{TRIGGER}")), Some("http://in"), true);
        let mut resources: Vec<Resource> = all.iter().filter(|resource| !resource.kind().is_core()).collect();
        for resource in &mut resources {
            assert_eq!(resource.observed_generation(), Some(1));
            resource.meta_mut().generation = Some(7);
        }
        let grown = settle(all.with(resources, 3), Some("http://in"), true);
        let observed = grown.iter().filter(|it| !it.kind().is_core()).map(|it| it.observed_generation());
        assert_eq!(observed.collect::<Vec<_>>(), [Some(7), Some(7)]);
    }
}
