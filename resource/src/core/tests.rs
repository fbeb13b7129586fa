//! The rules of the core kinds.

use serde_json::{Value, json};

use crate::{Defaults, Kind, Resource, parse_documents};

fn read(kind: &str, fields: &str) -> Resource {
    let text = format!("apiVersion: v1\nkind: {kind}\nmetadata: {{name: a}}\n{fields}\n");
    let mut resource = parse_documents(&text, "test").unwrap().remove(0);
    resource.set_defaults(&Defaults::default());
    resource
}

fn errors(resource: &Resource) -> Vec<String> {
    let found = resource.validate(&Defaults::default()).err();
    found.into_iter().flat_map(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>()).collect()
}

#[test]
fn defaults_are_those_of_kubernetes() {
    for (kind, fields, want) in [
        (
            "Namespace",
            "",
            json!({"metadata": {"name": "a", "labels": {"kubernetes.io/metadata.name": "a"}},
                "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"}}),
        ),
        ("ConfigMap", "data: {k: v}", json!({"metadata": {"name": "a", "namespace": "default"}, "data": {"k": "v"}})),
        (
            "Secret",
            "data: {k: aGk=}\nstringData: {l: hi}",
            json!({"metadata": {"name": "a", "namespace": "default"}, "type": "Opaque",
                "data": {"k": "aGk=", "l": "aGk="}}),
        ),
    ] {
        let mut is = serde_json::to_value(read(kind, fields)).unwrap();
        let map = is.as_object_mut().unwrap();
        assert_eq!((map.remove("apiVersion"), map.remove("kind")), (Some(json!("v1")), Some(json!(kind))));
        assert_eq!(is, want);
        let again: Resource = serde_json::from_value(serde_json::to_value(read(kind, fields)).unwrap()).unwrap();
        assert_eq!(again, read(kind, fields), "{kind}");
    }
}

#[test]
fn what_cannot_be_is_refused() {
    for (kind, fields, want) in [
        ("ConfigMap", "data: {'a/b': v}", "data[a/b]"),
        ("ConfigMap", "binaryData: {k: '%'}", "illegal base64 data: binaryData[k]"),
        ("ConfigMap", "data: {k: v}\nbinaryData: {k: aGk=}", "duplicate of key"),
        ("Secret", "data: {k: hello}", "illegal base64 data: data[k]"),
        ("Service", "spec: {}", "spec.type"),
        ("Service", "spec: {type: NodePort}", "supported values: \"ExternalName\""),
        ("Service", "spec: {type: ExternalName}", "Required value: spec.externalName"),
        ("Service", "spec: {type: ExternalName, externalName: 'a b'}", "spec.externalName"),
        ("Service", "spec: {type: ExternalName, externalName: a, ports: [{port: 0}]}", "spec.ports[0].port"),
        ("Event", "involvedObject: {namespace: other}", "involvedObject.namespace"),
    ] {
        let found = errors(&read(kind, fields));
        assert!(found.len() == 1 && found[0].contains(want), "{kind} {fields}: {found:?}");
    }
    let long = format!("data: {{k: '{}'}}", "x".repeat(crate::limits::MAX_CORE_DATA_BYTES));
    assert!(errors(&read("ConfigMap", &long))[0].contains("Too long"));
    for good in ["data: {}", "data: {a.b_c-D: v}"] {
        assert_eq!(errors(&read("ConfigMap", good)), Vec::<String>::new());
    }
}

#[test]
fn what_is_immutable_stays() {
    let rows = [
        ("Secret", "type: a", "type: b", Some("type")),
        ("Secret", "data: {k: aGk=}", "data: {}", None),
        ("Secret", "immutable: true\ndata: {k: aGk=}", "immutable: true", Some("data")),
        ("ConfigMap", "immutable: true\ndata: {k: v}", "data: {k: v}", Some("immutable")),
        ("ConfigMap", "data: {k: v}", "immutable: true\ndata: {k: w}", None),
    ];
    for (kind, old, new, want) in rows {
        let found = read(kind, new).validate_update(&read(kind, old), &Defaults::default());
        let found = found.err().map(|errors| errors.iter().map(|e| e.paths.join(",")).collect::<Vec<_>>().join(","));
        assert_eq!(found.as_deref(), want, "{kind} {old} to {new}");
    }
}

#[test]
fn an_external_name_is_a_url() {
    for (spec, want) in [
        ("{type: ExternalName, externalName: a.example}", "http://a.example"),
        ("{type: ExternalName, externalName: a.example, ports: [{port: 80}]}", "http://a.example"),
        ("{type: ExternalName, externalName: a.example, ports: [{port: 443}]}", "https://a.example"),
        ("{type: ExternalName, externalName: a.example, ports: [{port: 8080}]}", "http://a.example:8080"),
    ] {
        let Resource::Core(service) = read("Service", &format!("spec: {spec}")) else { panic!("a core kind") };
        assert_eq!((service.kind, service.external_url().as_deref()), (Kind::CoreService, Some(want)));
    }
}

/// A log that has a Secret in it has been told a secret.
#[test]
fn a_secret_is_not_shown() {
    let secret = read("Secret", "data: {k: aGVsbG8=}");
    let shown = format!("{secret:?}");
    assert!(!shown.contains("aGVsbG8") && shown.contains("\"a\""), "{shown}");
    let stored: Value = serde_json::to_value(&secret).unwrap();
    assert_eq!(stored["data"]["k"], "aGVsbG8=");
}
