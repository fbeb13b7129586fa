//! What holds for every resource.

use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;

use super::*;
use crate::{
    DeliverySpec, Destination, KReference, OwnerReference, SubscriptionsApiFilter, Time, TriggerFilter, parse_documents,
};

mod serving;

// Strategies are boxed, because nested value trees would otherwise outgrow the stack of a test thread.
fn name() -> BoxedStrategy<String> {
    "[a-z0-9]([-a-z0-9]{0,10}[a-z0-9])?".boxed()
}

/// Any text at all, with those that YAML readers stumble over among them.
fn text() -> BoxedStrategy<String> {
    prop_oneof![
        any::<String>(),
        "[ -~]{0,20}",
        proptest::sample::select(vec![
            "",
            "true",
            "no",
            "~",
            "null",
            "0123",
            "1e3",
            "1_000",
            "-",
            "- a",
            "a: b",
            "#c",
            " a ",
            "\"",
            "'",
            "{}",
            "[",
            "2026-01-01",
            "0x10",
            ".inf",
            "a\nb",
            "a\n",
            "\n",
            "|",
            ">",
            "&a",
            "*a",
            "!t",
            "%",
            "@",
            "a\tb",
            "?",
            "---",
            "...",
            "=",
            "<<",
            "y",
            "Yes",
            "off",
            "\u{feff}",
            "\u{85}",
            "\u{2028}",
            "\u{7f}",
            "\u{0}",
        ])
        .prop_map(str::to_owned),
    ]
    .boxed()
}

fn texts() -> BoxedStrategy<std::collections::BTreeMap<String, String>> {
    btree_map(text(), text(), 0..4).boxed()
}

fn meta() -> BoxedStrategy<ObjectMeta> {
    let owner = (text(), text(), option::of(any::<bool>())).prop_map(|(name, uid, controller)| OwnerReference {
        name,
        uid,
        controller,
        ..OwnerReference::default()
    });
    let numbers = (option::of(0i64..), option::of(0u64..4_000_000_000_000));
    (name(), name(), texts(), texts(), option::of(text()), numbers, vec(owner, 0..2))
        .prop_map(|(name, namespace, labels, annotations, uid, (generation, created), owner_references)| ObjectMeta {
            name,
            namespace,
            labels,
            annotations,
            uid,
            generation,
            creation_timestamp: created.map(Time::from_unix_millis),
            owner_references,
            ..ObjectMeta::default()
        })
        .boxed()
}

fn destination() -> BoxedStrategy<Destination> {
    let reference = (text(), text(), text(), option::of(text())).prop_map(|(kind, name, api_version, address)| {
        KReference { kind, name, api_version, address, ..KReference::default() }
    });
    (option::of(reference), option::of(text()), option::of(text()))
        .prop_map(|(reference, uri, ca_certs)| Destination { reference, uri, ca_certs, ..Destination::default() })
        .boxed()
}

fn delivery() -> BoxedStrategy<DeliverySpec> {
    (option::of(destination()), option::of(any::<i32>()), option::of(text()), option::of(text()))
        .prop_map(|(dead_letter_sink, retry, timeout, format)| DeliverySpec {
            dead_letter_sink,
            retry,
            timeout,
            format,
            ..DeliverySpec::default()
        })
        .boxed()
}

fn filter() -> BoxedStrategy<SubscriptionsApiFilter> {
    let empty = SubscriptionsApiFilter::default;
    let leaf = prop_oneof![
        texts().prop_map(move |map| SubscriptionsApiFilter { exact: Some(map), ..empty() }),
        texts().prop_map(move |map| SubscriptionsApiFilter { prefix: Some(map), ..empty() }),
        text().prop_map(move |sql| SubscriptionsApiFilter { cesql: Some(sql), ..empty() }),
    ];
    leaf.prop_recursive(3, 12, 3, move |inner| {
        prop_oneof![
            vec(inner.clone(), 0..3).prop_map(move |list| SubscriptionsApiFilter { all: Some(list), ..empty() }),
            vec(inner.clone(), 0..3).prop_map(move |list| SubscriptionsApiFilter { any: Some(list), ..empty() }),
            inner.prop_map(move |one| SubscriptionsApiFilter { not: Some(Box::new(one)), ..empty() }),
        ]
    })
    .boxed()
}

fn resource() -> BoxedStrategy<Resource> {
    let broker = (meta(), option::of(delivery())).prop_map(|(metadata, delivery)| {
        let mut broker = Broker { metadata, ..Broker::default() };
        broker.spec.delivery = delivery;
        Resource::Broker(broker)
    });
    let trigger = (meta(), text(), option::of(texts()), vec(filter(), 0..3), destination(), option::of(delivery()))
        .prop_map(|(metadata, broker, attributes, filters, subscriber, delivery)| {
            let mut trigger = Trigger { metadata, ..Trigger::default() };
            trigger.spec.broker = broker;
            trigger.spec.filter = attributes.map(|attributes| TriggerFilter { attributes });
            trigger.spec.filters = filters;
            trigger.spec.subscriber = subscriber;
            trigger.spec.delivery = delivery;
            Resource::Trigger(trigger)
        });
    prop_oneof![broker, trigger, serving::resource()].boxed()
}

proptest! {
    #[test]
    fn json_written_is_read_again_as_it_was(resource in resource()) {
        let json = serde_json::to_string(&resource).unwrap();
        prop_assert_eq!(&serde_json::from_str::<Resource>(&json).unwrap(), &resource);
        prop_assert_eq!(parse_documents(&json, "test"), Ok(vec![resource]));
    }

    #[test] // The registry keeps status as well.
    fn what_is_stored_is_read_again_as_it_was(resource in serving::with_status()) {
        let json = serde_json::to_string(&resource).unwrap();
        prop_assert_eq!(serde_json::from_str::<Resource>(&json).unwrap(), resource);
    }

    #[test]
    fn yaml_written_is_read_again_as_it_was(resource in resource()) {
        let yaml = resource.to_yaml().unwrap();
        let read = parse_documents(&yaml, "test");
        prop_assert_eq!(read, Ok(vec![resource]), "{}", yaml);
    }

    #[test]
    fn defaulting_twice_is_defaulting_once(mut resource in resource()) {
        resource.set_defaults(&Defaults::default());
        let once = resource.clone();
        resource.set_defaults(&Defaults::default());
        prop_assert_eq!(resource, once);
    }

    #[test] // Whatever is taken can be put to work; nothing panics on the way.
    fn validation_and_policies_take_any_resource(mut resource in resource(), other in resource()) {
        resource.set_defaults(&Defaults::default());
        let _ = resource.validate(&Defaults::default());
        let _ = resource.validate_update(&other, &Defaults::default());
        if let (Resource::Trigger(trigger), Resource::Broker(broker)) = (&resource, &other) {
            let _ = trigger.filter_expr();
            let policy = crate::effective_delivery(trigger, broker);
            prop_assert!(!policy.timeout.is_zero());
            let _ = crate::effective_settings(trigger, broker);
        }
        if let Resource::Revision(revision) = &resource {
            prop_assert!(!crate::serving::revision_settings(revision).activation_timeout.is_zero());
            let defaults = crate::serving::AutoscalingDefaults::default();
            let _ = crate::serving::AutoscalingSettings::of(&revision.metadata.annotations, &defaults);
        }
    }
}
