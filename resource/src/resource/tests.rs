use serde_json::json;

use super::*;
use crate::annotations::BROKER_CLASS;
use crate::conditions::{ADDRESSABLE, SUBSCRIBER_RESOLVED};
use crate::{Addressable, DeliverySpec, KReference, Time};

fn broker(change: impl FnOnce(&mut Broker)) -> Resource {
    let mut broker = Broker::default();
    broker.metadata.name = "default".into();
    change(&mut broker);
    let mut resource = Resource::Broker(broker);
    resource.set_defaults(&Defaults::default());
    resource
}

/// Conformance checks 1 and 8.
#[test]
fn a_broker_gets_a_class_and_a_delivery() {
    let json = serde_json::to_value(broker(|_| {})).unwrap();
    assert_eq!(
        json,
        json!({
            "apiVersion": "eventing.knative.dev/v1",
            "kind": "Broker",
            "metadata": {
                "name": "default",
                "namespace": "default",
                "annotations": {"eventing.knative.dev/broker.class": "Pelton"},
            },
            "spec": {"delivery": {"retry": 10, "backoffPolicy": "exponential", "backoffDelay": "PT0.2S"}},
        })
    );
}

#[test]
fn what_a_broker_says_itself_stays() {
    let own = DeliverySpec { retry: Some(0), ..DeliverySpec::default() };
    let resource = broker(|b| {
        b.metadata.annotations.insert(BROKER_CLASS.into(), "MTChannelBasedBroker".into());
        b.spec.delivery = Some(own.clone());
        b.spec.config = Some(KReference { kind: "ConfigMap".into(), name: "c".into(), ..KReference::default() });
    });
    let Resource::Broker(b) = &resource else { unreachable!("it was made a Broker") };
    assert_eq!(b.class(), Some("MTChannelBasedBroker"));
    assert_eq!(b.spec.delivery, Some(own));
    assert_eq!(b.spec.config.as_ref().unwrap().namespace, "default");
}

#[test]
fn brokers_that_cannot_work_are_refused() {
    let mut undefaulted = Broker::default();
    undefaulted.metadata.name = "b".into();
    undefaulted.metadata.namespace = "n".into();
    let rows = [
        (Resource::Broker(undefaulted), "missing field(s): metadata.annotations[eventing.knative.dev/broker.class]"),
        (
            broker(|b| b.spec.config = Some(KReference { name: "c".into(), ..KReference::default() })),
            "missing field(s): spec.config.apiVersion, spec.config.kind",
        ),
        (
            broker(|b| b.spec.delivery = Some(DeliverySpec { format: Some("xml".into()), ..DeliverySpec::default() })),
            "invalid value: xml: spec.delivery.format\nexpected json or binary",
        ),
        (broker(|b| b.metadata.name.clear()), "missing field(s): metadata.name"),
        (
            broker(|b| {
                b.metadata.annotations.insert("pelton.dev/start".into(), "latest".into());
            }),
            "must not set the field(s): metadata.annotations[pelton.dev/start]\nit has a meaning on a Trigger only",
        ),
    ];
    for (resource, want) in rows {
        assert_eq!(resource.validate(&Defaults::default()).expect_err(want).to_string(), want);
    }
    let mut large = broker(|_| {});
    let room = crate::limits::MAX_ANNOTATIONS_BYTES - "eventing.knative.dev/broker.class".len() - "Pelton".len() - 1;
    large.meta_mut().annotations.insert("k".into(), "v".repeat(room));
    assert_eq!(large.validate(&Defaults::default()), Ok(()));
    large.meta_mut().annotations.insert("k".into(), "v".repeat(room + 1));
    assert!(
        large.validate(&Defaults::default()).unwrap_err().to_string().contains("262145 bytes: metadata.annotations")
    );
}

/// Conformance checks 2, 3 and 9.
#[test]
fn of_a_broker_only_delivery_may_change() {
    let config = |name: &str| KReference {
        kind: "ConfigMap".into(),
        api_version: "v1".into(),
        name: name.into(),
        ..KReference::default()
    };
    let old = broker(|b| b.spec.config = Some(config("a")));
    let rows = [
        (
            broker(|b| b.spec.config = Some(config("b"))),
            "Immutable fields changed (-old +new): spec.config\n-: \"v1/ConfigMap default/a\"\n\
             +: \"v1/ConfigMap default/b\"",
        ),
        (broker(|_| {}), "Immutable fields changed (-old +new): spec.config\n-: \"v1/ConfigMap default/a\"\n+: \"\""),
        (
            broker(|b| {
                b.spec.config = Some(config("a"));
                b.metadata.annotations.insert(BROKER_CLASS.into(), "Kafka".into());
            }),
            "Immutable fields changed (-old +new): metadata.annotations[eventing.knative.dev/broker.class]\n\
             -: \"Pelton\"\n+: \"Kafka\"",
        ),
    ];
    for (new, want) in rows {
        assert_eq!(new.validate_update(&old, &Defaults::default()).expect_err(want).to_string(), want);
    }
    let changed = broker(|b| {
        b.spec.config = Some(config("a"));
        b.spec.delivery = Some(DeliverySpec { retry: Some(1), ..DeliverySpec::default() });
        b.metadata.annotations.insert("pelton.dev/retention".into(), "P7D".into());
    });
    assert_eq!(changed.validate_update(&old, &Defaults::default()), Ok(()));
    assert!(changed.spec_differs(&old) && !old.spec_differs(&old));
}

#[test]
fn a_resource_cannot_become_another() {
    let trigger = Resource::Trigger(Trigger::default());
    assert!(
        broker(|_| {})
            .validate_update(&trigger, &Defaults::default())
            .unwrap_err()
            .to_string()
            .contains(": metadata\n")
    );
    assert!(broker(|_| {}).spec_differs(&trigger));
}

#[test]
fn status_is_read_and_written_but_not_taken_from_manifests() {
    let now = Time::from_unix_millis(1_700_000_000_000);
    let mut ready = broker(|_| {});
    if let Resource::Broker(b) = &mut ready {
        b.status.observed_generation = Some(1);
        b.status.address = Some(Addressable { url: Some("http://x/default/default".into()), ..Addressable::default() });
        b.status.dead_letter_sink_ca_certs = Some("pem".into());
        b.status.write_conditions(now).mark_true(ADDRESSABLE);
    }
    let json = serde_json::to_value(&ready).unwrap();
    assert_eq!(json["status"]["address"]["url"], "http://x/default/default");
    assert_eq!(json["status"]["deadLetterSinkCACerts"], "pem");
    assert_eq!(json["status"]["conditions"][0]["lastTransitionTime"], "2023-11-14T22:13:20Z");
    assert_eq!(serde_json::from_value::<Resource>(json.clone()).unwrap(), ready);

    let mut applied = Resource::from_manifest(json).unwrap();
    assert!(applied.conditions().is_empty());
    applied.keep_status_of(&ready);
    assert_eq!(applied, ready);
}

#[test]
fn what_a_newer_version_stored_can_be_read() {
    let stored = json!({
        "apiVersion": "eventing.knative.dev/v1", "kind": "Trigger", "metadata": {"name": "a", "later": 1},
        "spec": {"broker": "b", "later": {}, "subscriber": {"uri": "http://a"}}, "status": {"later": []},
    });
    let resource: Resource = serde_json::from_value(stored.clone()).unwrap();
    assert_eq!(resource.key().name, "a");
    assert!(matches!(Resource::from_manifest(stored), Err(ManifestError::Fields(_))));
    let foreign = json!({"apiVersion": "v1", "kind": "Pod"});
    assert!(serde_json::from_value::<Resource>(foreign).is_err());
}

#[test]
fn trigger_conditions_follow_the_specification() {
    let mut trigger = Trigger::default();
    let now = Time::from_unix_millis(0);
    trigger.status.write_conditions(now).initialize().mark_false(SUBSCRIBER_RESOLVED, "ReferenceNotFound", "gone");
    let json = serde_json::to_value(&trigger.status.conditions).unwrap();
    let kinds: Vec<_> = json.as_array().unwrap().iter().map(|c| c["type"].as_str().unwrap()).collect();
    let want = [
        "BrokerReady",
        "DeadLetterSinkResolved",
        "DependencyReady",
        "Ready",
        "SubscriberResolved",
        "SubscriptionReady",
    ];
    assert_eq!(kinds, want);
    let ready = trigger.status.conditions.find("Ready").unwrap();
    assert_eq!((ready.status, ready.reason.as_str()), (crate::ConditionStatus::False, "ReferenceNotFound"));
}
