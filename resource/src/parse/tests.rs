use super::*;
use crate::{Defaults, Destination, Kind};

const SHOP: &str = r#"
# The broker of the shop, and who listens.
apiVersion: eventing.knative.dev/v1
kind: Broker
metadata:
  name: shop
  namespace: prod
  annotations:
    eventing.knative.dev/broker.class: MTChannelBasedBroker
    pelton.dev/retention: P7D
spec:
  config: {apiVersion: v1, kind: ConfigMap, name: broker-config, namespace: knative-eventing}
  delivery:
    deadLetterSink:
      ref: {apiVersion: v1, kind: Service, name: graveyard}
    backoffDelay: PT1S
    backoffPolicy: linear
    retry: 5
---
---
apiVersion: eventing.knative.dev/v1
kind: Trigger
metadata:
  name: invoices
  namespace: prod
  labels: {team: "042"}
spec:
  broker: shop
  filters:
    - any:
        - exact: {type: com.example.order.paid}
        - all:
            - prefix: {type: com.example.refund.}
            - not: {suffix: {source: /test}}
    - exact:
        region: eu
  subscriber:
    uri: http://invoices.prod.example.com/events
  delivery:
    timeout: PT10S
    retryAfterMax: PT1M
    format: json
---
apiVersion: eventing.knative.dev/v1
kind: Trigger
metadata: {name: audit, namespace: prod, creationTimestamp: null}
spec:
  broker: shop
  filter:
    attributes:
      type: com.example.order.paid
      subject: ""
  subscriber:
    ref: {apiVersion: serving.knative.dev/v1, kind: Service, name: audit}
    uri: /events
status: {conditions: [{type: Ready, status: "True"}], somethingNew: 1}
"#;

#[test]
fn several_documents_are_read_in_order() {
    let resources = parse_documents(SHOP, "shop.yaml").unwrap();
    let keys: Vec<_> = resources.iter().map(|r| r.key().to_string()).collect();
    assert_eq!(keys, ["Broker prod/shop", "Trigger prod/invoices", "Trigger prod/audit"]);
    for mut resource in resources.clone() {
        resource.set_defaults(&Defaults::default());
        assert_eq!(resource.validate(&Defaults::default()), Ok(()), "{}", resource.key());
    }
    let Resource::Trigger(audit) = &resources[2] else { panic!("the third is a Trigger") };
    assert_eq!(audit.spec.subscriber.uri.as_deref(), Some("/events"));
    assert!(audit.status.conditions.is_empty());
    assert_eq!(resources[1].meta().labels["team"], "042");
}

#[test]
fn json_is_read_alone_in_a_row_and_as_a_list() {
    let trigger = r#"{"apiVersion": "eventing.knative.dev/v1", "kind": "Trigger", "metadata": {"name": "a\u00e4\/"},
        "spec": {"broker": "b", "subscriber": {"uri": "http://a"}}}"#;
    let list = format!(r#"{{"apiVersion": "v1", "kind": "List", "metadata": {{}}, "items": [{trigger}, {trigger}]}}"#);
    let rows = [(trigger.to_owned(), 1), (format!("{trigger}\n{trigger}"), 2), (list, 2)];
    for (text, count) in rows {
        let resources = parse_documents(&text, "x.json").unwrap();
        assert_eq!(resources.len(), count, "{text}");
        let Resource::Trigger(t) = &resources[0] else { panic!("{text}") };
        assert_eq!(t.spec.subscriber, Destination::from_uri("http://a"));
        assert_eq!(t.metadata.name, "aä/");
    }
    // YAML in flow style begins like JSON.
    let flow = "{apiVersion: eventing.knative.dev/v1, kind: Broker, metadata: {name: b}}";
    assert_eq!(parse_documents(flow, "x").unwrap()[0].kind(), Kind::Broker);
}

#[test]
fn empty_texts_hold_nothing() {
    for text in ["", "\n", "# nothing\n", "---\n", "---\n---\n# a\n---\n", "null", "~"] {
        assert_eq!(parse_documents(text, "x"), Ok(Vec::new()), "{text:?}");
    }
}

fn errors_of(text: &str) -> Vec<String> {
    parse_documents(text, "x.yaml").unwrap_err().iter().map(ToString::to_string).collect()
}

#[test]
fn all_mistakes_of_all_documents_are_reported_with_their_places() {
    let text = "\
apiVersion: eventing.knative.dev/v1
kind: Trigger
metadata:
  name: a
  namespace: n
  anotations: {}
spec:
  broker: 1
  filters:
  - exact: {type: true}
  - al: []
  subscriber: {url: http://a}
  delivery: {retry: 1.5}
---
apiVersion: messaging.knative.dev/v1
kind: Channel
metadata: {name: c}
---
kind: Broker
---
just text
---
apiVersion: eventing.knative.dev/v1
kind: Broker
metadata: {name: b, labels: [a]}
spec: {delivery: {retry: 2147483648, deadLetterSink: {ref: {nmae: x}}}}
";
    let errors = errors_of(text);
    let want = [
        "x.yaml:1: Trigger n/a: unknown field: metadata.anotations\nknown here: name, generateName, namespace, labels, annotations, \
         uid, generation, resourceVersion, creationTimestamp, deletionTimestamp, deletionGracePeriodSeconds, finalizers, ownerReferences, managedFields, \
         selfLink",
        "x.yaml:1: Trigger n/a: invalid value: 1: spec.broker\nexpected a string; put it in quotes",
        "x.yaml:1: Trigger n/a: invalid value: true: spec.filters[0].exact[type]\nexpected a string; put it in quotes",
        "x.yaml:1: Trigger n/a: unknown field: spec.filters[1].al\nknown here: all, any, not, exact, prefix, suffix, \
         cesql",
        "x.yaml:1: Trigger n/a: unknown field: spec.subscriber.url\nknown here: ref, uri, CACerts, audience",
        "x.yaml:1: Trigger n/a: invalid value: 1.5: spec.delivery.retry\n\
         expected a whole number of at most 2147483647",
        "x.yaml:15: Channel c: unknown kind: \"Channel\" of apiVersion \"messaging.knative.dev/v1\"",
        "x.yaml:19: Broker: a resource is an object with apiVersion and kind",
        "x.yaml:21: a resource is an object with apiVersion and kind",
        "x.yaml:23: Broker b: invalid value: a list: metadata.labels\nexpected a map of strings",
        "x.yaml:23: Broker b: unknown field: spec.delivery.deadLetterSink.ref.nmae\n\
         known here: kind, namespace, name, apiVersion, group, address",
        "x.yaml:23: Broker b: invalid value: 2147483648: spec.delivery.retry\n\
         expected a whole number of at most 2147483647",
    ];
    assert_eq!(errors, want);
}

#[test]
fn words_that_old_yaml_took_for_booleans_are_text() {
    let text = "apiVersion: eventing.knative.dev/v1\nkind: Broker\nmetadata: {name: n, labels: {a: no, b: y, c: off}}";
    let resources = parse_documents(text, "x").unwrap();
    assert_eq!(resources[0].meta().name, "n");
    assert_eq!(resources[0].meta().labels.values().collect::<Vec<_>>(), ["no", "y", "off"]);
    // Other readers are not so kind, so what we write is in quotes.
    assert!(resources[0].to_yaml().unwrap().contains("a: \"no\""));
}

#[test]
fn nulls_count_as_left_out() {
    let text = "\
apiVersion: eventing.knative.dev/v1
kind: Trigger
metadata: {name: a, labels: null, annotations: {x: null}, managedFields: [{manager: kubectl}]}
spec: {broker: b, filter: {attributes: null}, filters: null, subscriber: {ref: null, uri: 'http://a'}, delivery: null}
";
    let resources = parse_documents(text, "x").unwrap();
    let Resource::Trigger(t) = &resources[0] else { panic!("a Trigger") };
    assert_eq!(t.spec.delivery, None);
    assert!(t.metadata.annotations.is_empty());
    assert_eq!(t.spec.filter, Some(crate::TriggerFilter::default()));
    let item = "apiVersion: eventing.knative.dev/v1\nkind: Trigger\nspec: {filters: [null]}";
    assert_eq!(errors_of(item), ["x.yaml:1: Trigger: invalid value: null: spec.filters[0]\nexpected an object"]);
}

#[test]
fn texts_that_cannot_be_read_are_one_mistake_with_its_line() {
    let rows = [
        ("a: b\nc: [d", 2),
        ("{\"kind\": \"Broker\",\n \"kind\": \"Trigger\"}", 2),
        ("kind: Broker\nkind: Trigger\n", 2),
        ("{\"a\": \n nope ]", 2),
    ];
    for (text, line) in rows {
        let errors = parse_documents(text, "x").unwrap_err();
        assert_eq!(errors.len(), 1, "{text}: {errors:?}");
        assert!(matches!(errors[0].kind, ParseErrorKind::Syntax(_)), "{text}: {errors:?}");
        assert_eq!(errors[0].line, Some(line), "{text}: {errors:?}");
    }
}

#[test]
fn hostile_texts_are_refused_within_bounds() {
    let deep_json = "[".repeat(100_000);
    let deep_yaml = format!("a: {}", "[".repeat(100_000));
    let laughs = (1..30).fold("a0: &a0 [x]\n".to_owned(), |text, i| {
        format!("{text}a{i}: &a{i} [*a{p}, *a{p}, *a{p}, *a{p}]\n", p = i - 1)
    });
    for text in [deep_json, deep_yaml, laughs] {
        let errors = parse_documents(&text, "x").unwrap_err();
        assert_eq!(errors.len(), 1);
    }
    let large = " ".repeat(MAX_MANIFEST_BYTES + 1);
    let errors = parse_documents(&large, "x").unwrap_err();
    assert_eq!(errors[0].kind, ParseErrorKind::TooLarge { bytes: MAX_MANIFEST_BYTES + 1 });
    assert_eq!(parse_documents(&large[1..], "x"), Ok(Vec::new()));

    let many = "--- 1\n".repeat(MAX_REPORTED_ERRORS + 1);
    assert_eq!(parse_documents(&many, "x").unwrap_err().len(), MAX_REPORTED_ERRORS);
}

#[test]
fn times_in_metadata_are_checked() {
    let text = "apiVersion: eventing.knative.dev/v1\nkind: Broker\nmetadata: {name: b, creationTimestamp: soon}";
    assert_eq!(
        errors_of(text),
        ["x.yaml:1: Broker b: invalid value: soon: metadata.creationTimestamp\nexpected an RFC 3339 time"]
    );
}
