use super::*;
use crate::Resource;

/// A valid Trigger with its defaults, then changed.
fn trigger(change: impl FnOnce(&mut Trigger)) -> Resource {
    let mut trigger = Trigger::default();
    trigger.metadata.name = "orders".into();
    trigger.spec.broker = "default".into();
    trigger.spec.subscriber = Destination::from_uri("http://127.0.0.1:9000/");
    change(&mut trigger);
    let mut resource = Resource::Trigger(trigger);
    resource.set_defaults(&Defaults::default());
    resource
}

fn annotated(key: &str, value: &str) -> Resource {
    trigger(|t| {
        t.metadata.annotations.insert(key.into(), value.into());
    })
}

fn broker_ref() -> KReference {
    KReference {
        kind: "Broker".into(),
        api_version: EVENTING_API_VERSION.into(),
        name: "default".into(),
        ..KReference::default()
    }
}

fn by_ref(reference: KReference) -> Resource {
    trigger(|t| {
        t.spec.broker.clear();
        t.spec.broker_ref = Some(reference);
    })
}

/// Conformance checks 13 to 43 that concern the object alone.
#[test]
fn triggers_that_cannot_work_are_refused() {
    let rows = [
        (trigger(|t| t.spec.broker.clear()), "expected exactly one, got neither: spec.broker, spec.brokerRef"),
        (
            trigger(|t| t.spec.broker_ref = Some(broker_ref())),
            "expected exactly one, got both: spec.broker, spec.brokerRef",
        ),
        (trigger(|t| t.metadata.name.clear()), "missing field(s): metadata.name"),
        (
            trigger(|t| t.metadata.name = "Orders".into()),
            "invalid value: Orders: metadata.name\na name has 1 to 63 lower-case letters, digits and hyphens, with no \
             hyphen at either end",
        ),
        (
            trigger(|t| t.metadata.namespace = "a/b".into()),
            "invalid value: a/b: metadata.namespace\na name has 1 to 63 lower-case letters, digits and hyphens, with \
             no hyphen at either end",
        ),
        (
            trigger(|t| t.spec.broker = "../x".into()),
            "invalid value: ../x: spec.broker\na name has 1 to 63 lower-case letters, digits and hyphens, with no \
             hyphen at either end",
        ),
        (
            by_ref(KReference { namespace: "other".into(), ..broker_ref() }),
            "must not set the field(s): spec.brokerRef.namespace\na Broker in another namespace is not supported",
        ),
        (
            by_ref(KReference { kind: "Channel".into(), ..broker_ref() }),
            "invalid value: Channel (eventing.knative.dev/v1): spec.brokerRef\n\
             expected Broker (eventing.knative.dev/v1)",
        ),
        (
            by_ref(KReference::default()),
            "missing field(s): spec.brokerRef.name, spec.brokerRef.apiVersion, spec.brokerRef.kind",
        ),
        (
            trigger(|t| t.spec.subscriber = Destination::default()),
            "expected at least one, got none: spec.subscriber.ref, spec.subscriber.uri",
        ),
        (
            trigger(|t| t.spec.delivery = Some(DeliverySpec { retry: Some(-1), ..DeliverySpec::default() })),
            "invalid value: -1: spec.delivery.retry",
        ),
        (
            trigger(|t| t.spec.filters = vec![SubscriptionsApiFilter::default()]),
            "empty filter, expected exactly one dialect: spec.filters[0]\n\
             the dialects are all, any, not, exact, prefix and suffix",
        ),
        (
            annotated(INJECTION, "on"),
            "The provided injection annotation value can only be \"enabled\" or \"disabled\", not \"on\": \
             metadata.annotations[eventing.knative.dev/injection]",
        ),
        (
            annotated(DEPENDENCY, "{}"),
            "missing field(s): metadata.annotations[knative.dev/dependency].kind, \
             metadata.annotations[knative.dev/dependency].name, \
             metadata.annotations[knative.dev/dependency].apiVersion",
        ),
        (
            annotated(DEPENDENCY, r#"{"kind":"A","name":"b","apiVersion":"c","namespace":"other"}"#),
            "Namespace must be empty or equal to the trigger namespace \"default\": \
             metadata.annotations[knative.dev/dependency].namespace",
        ),
        (
            annotated("pelton.dev/paused", "maybe"),
            "invalid value: maybe: metadata.annotations[pelton.dev/paused]\nexpected true or false",
        ),
    ];
    for (resource, want) in rows {
        let errors = resource.validate(&Defaults::default()).expect_err(want);
        assert_eq!(errors.to_string(), want);
    }
}

#[test]
fn triggers_that_can_work_are_taken() {
    let rows = [
        trigger(|_| {}),
        by_ref(broker_ref()),
        annotated(INJECTION, "enabled"),
        annotated(DEPENDENCY, r#"{"kind":"PingSource","name":"p","apiVersion":"sources.knative.dev/v1"}"#),
        annotated(DEPENDENCY, r#"{"kind":"A","name":"b","apiVersion":"c","namespace":"default","uid":"x"}"#),
    ];
    for resource in rows {
        assert_eq!(resource.validate(&Defaults::default()), Ok(()), "{resource:?}");
    }
}

#[test]
fn injection_is_for_the_default_broker_only() {
    let other = trigger(|t| {
        t.spec.broker = "other".into();
        t.metadata.annotations.insert(INJECTION.into(), "enabled".into());
    });
    let errors = other.validate(&Defaults::default()).unwrap_err().to_string();
    assert!(errors.starts_with("The provided injection annotation is only used for default broker"), "{errors}");
}

#[test]
fn a_dependency_that_is_no_json_is_refused() {
    for text in ["", "PingSource/p", "[1]", "{\"kind\": 1}"] {
        let errors = annotated(DEPENDENCY, text).validate(&Defaults::default()).unwrap_err().to_string();
        let want = format!("The provided annotation was not a corev1.ObjectReference: {text:?}: metadata.annotations");
        assert!(errors.starts_with(&want), "{text}: {errors}");
    }
}

/// Conformance checks 23, 35 and 36.
#[test]
fn defaults_are_filled_in() {
    let service =
        KReference { kind: "Service".into(), api_version: "v1".into(), name: "s".into(), ..KReference::default() };
    let resource = trigger(|t| {
        t.metadata.namespace = "shop".into();
        t.spec.subscriber = Destination { reference: Some(service.clone()), ..Destination::default() };
        t.spec.delivery = Some(DeliverySpec {
            dead_letter_sink: Some(Destination { reference: Some(service.clone()), ..Destination::default() }),
            ..DeliverySpec::default()
        });
    });
    let Resource::Trigger(trigger) = &resource else { unreachable!("it was made a Trigger") };
    assert_eq!(trigger.spec.filter, Some(TriggerFilter::default()));
    assert_eq!(trigger.metadata.labels[BROKER_LABEL], "default");
    assert_eq!(trigger.spec.broker, "default");
    let namespace = |d: &Destination| d.reference.as_ref().unwrap().namespace.clone();
    assert_eq!(namespace(&trigger.spec.subscriber), "shop");
    let sink = trigger.spec.delivery.as_ref().unwrap().dead_letter_sink.as_ref().unwrap();
    assert_eq!(namespace(sink), "shop");
    // A Trigger without a delivery block keeps having none, so that its Broker's counts.
    assert_eq!(serde_json::to_value(&resource).unwrap()["spec"]["filter"], serde_json::json!({}));

    let mut again = resource.clone();
    again.set_defaults(&Defaults::default());
    assert_eq!(again, resource);
}

#[test]
fn a_namespace_that_is_given_stays() {
    let mut resource = trigger(|t| t.metadata.namespace = "shop".into());
    resource.set_defaults(&Defaults { namespace: "elsewhere".into(), ..Defaults::default() });
    assert_eq!(resource.meta().namespace, "shop");
    let Resource::Trigger(trigger) = &resource else { unreachable!("it was made a Trigger") };
    assert_eq!(trigger.broker_key().to_string(), "Broker shop/default");
}

/// Conformance checks 16 and 22.
#[test]
fn only_the_broker_is_immutable() {
    let old = trigger(|_| {});
    let moved = trigger(|t| t.spec.broker = "other".into());
    assert_eq!(
        moved.validate_update(&old, &Defaults::default()).unwrap_err().to_string(),
        "Immutable fields changed (-old +new): spec.broker\n-: \"default\"\n+: \"other\""
    );
    let moved = by_ref(KReference { name: "other".into(), ..broker_ref() });
    assert_eq!(
        moved.validate_update(&old, &Defaults::default()).unwrap_err().to_string(),
        "Immutable fields changed (-old +new): spec.brokerRef.name\n-: \"default\"\n+: \"other\""
    );
    let renamed = trigger(|t| t.metadata.name = "orders2".into());
    assert!(renamed.validate_update(&old, &Defaults::default()).is_err());
    let allowed = [
        by_ref(broker_ref()),
        trigger(|t| t.spec.subscriber = Destination::from_uri("http://other/")),
        trigger(|t| t.spec.delivery = Some(DeliverySpec { retry: Some(1), ..DeliverySpec::default() })),
        trigger(|t| {
            t.spec.filter = Some(TriggerFilter { attributes: BTreeMap::from([("type".into(), "a".into())]) });
        }),
        annotated("pelton.dev/paused", "true"),
    ];
    for new in allowed {
        assert_eq!(new.validate_update(&old, &Defaults::default()), Ok(()), "{new:?}");
    }
}
