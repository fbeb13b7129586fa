use std::collections::BTreeSet;

use pelton_resource::{Kind, field_names};
use serde_json::Value;

use super::*;
use crate::kinds::{ROWS, Row, Store, group_versions};

fn documents() -> Vec<(String, Value)> {
    let of = |(group, version)| (path(group, version), document(group, version).unwrap());
    group_versions().into_iter().map(of).collect()
}

/// Calls `visit` with every object of a document, and where it is.
fn walk(part: &Value, at: &str, visit: &mut impl FnMut(&str, &Map<String, Value>)) {
    match part {
        Value::Object(map) => {
            visit(at, map);
            map.iter().for_each(|(key, part)| walk(part, &format!("{at}/{}", key.replace('/', "~1")), visit));
        }
        Value::Array(parts) => parts.iter().enumerate().for_each(|(i, part)| walk(part, &format!("{at}/{i}"), visit)),
        _ => {}
    }
}

fn schema_of<'a>(document: &'a Value, group: &str, version: &str, kind: &str) -> &'a Map<String, Value> {
    let want = json!([{"group": group, "version": version, "kind": kind}]);
    let all = document["components"]["schemas"].as_object().unwrap();
    let found: Vec<_> =
        all.values().filter(|schema| schema.get("x-kubernetes-group-version-kind") == Some(&want)).collect();
    assert_eq!(found.len(), 1, "{group}/{version} {kind}");
    found[0].as_object().unwrap()
}

#[test]
fn every_reference_leads_somewhere_and_nothing_is_there_for_nothing() {
    for (path, document) in documents() {
        let mut used = BTreeSet::new();
        walk(&document, "", &mut |at, map| {
            if let Some(reference) = map.get("$ref").and_then(Value::as_str) {
                assert!(document.pointer(&reference[1..]).is_some(), "{path}{at}: {reference}");
                assert_eq!(map.len(), 1, "{path}{at}: beside $ref nothing is read");
                used.insert(reference.rsplit('/').next().unwrap().to_owned());
            }
        });
        let all: BTreeSet<_> = document["components"]["schemas"].as_object().unwrap().keys().cloned().collect();
        assert_eq!(used, all, "{path}");
    }
}

#[test]
fn every_kind_has_a_schema_and_its_list_has_one() {
    for row in ROWS {
        let document = document(row.group, row.version).unwrap();
        let schema = schema_of(&document, row.group, row.version, row.kind);
        assert_eq!(schema["description"], row.description);
        assert_eq!(
            schema["properties"]["metadata"]["allOf"][0]["$ref"],
            format!("{}{}", short::REFERENCES, meta::OBJECT)
        );
        if row.may("list") {
            let list = schema_of(&document, row.group, row.version, &format!("{}List", row.kind));
            let item = list["properties"]["items"]["items"]["$ref"].as_str().unwrap();
            assert_eq!(document.pointer(&item[1..]).and_then(Value::as_object), Some(schema), "{}", row.kind);
        }
    }
    assert_eq!(document("eventing.knative.dev", "v2"), None);
    assert_eq!(document("apps", "v1"), None);
}

/// The names are the ones that upstream's documents have.
#[test]
fn schemas_have_kubernetes_names() {
    let rows = [
        ("", "v1", "io.k8s.api.core.v1.Namespace"),
        ("", "v1", "io.k8s.api.core.v1.ServiceList"),
        ("", "v1", "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"),
        ("", "v1", "io.k8s.apimachinery.pkg.apis.meta.v1.OwnerReference"),
        ("events.k8s.io", "v1", "io.k8s.api.events.v1.Event"),
        ("events.k8s.io", "v1", "io.k8s.api.core.v1.ObjectReference"),
        ("eventing.knative.dev", "v1", "dev.knative.eventing.v1.Broker"),
        ("eventing.knative.dev", "v1", "dev.knative.eventing.v1.TriggerList"),
        ("serving.knative.dev", "v1", "dev.knative.serving.v1.Service"),
        ("serving.knative.dev", "v1beta1", "dev.knative.serving.v1beta1.DomainMapping"),
        ("authorization.k8s.io", "v1", "io.k8s.api.authorization.v1.SelfSubjectAccessReview"),
        (
            "apiextensions.k8s.io",
            "v1",
            "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinition",
        ),
    ];
    for (group, version, name) in rows {
        assert!(document(group, version).unwrap()["components"]["schemas"].get(name).is_some(), "{name}");
    }
}

/// OpenAPI 3.0 is not JSON Schema, and what Kubernetes takes is less than OpenAPI ("structural schemas").
#[test]
fn schemas_are_structural() {
    const KNOWN: &[&str] = &[
        "$ref",
        "additionalProperties",
        "allOf",
        "anyOf",
        "description",
        "enum",
        "format",
        "items",
        "properties",
        "required",
        "type",
        "x-kubernetes-group-version-kind",
        "x-kubernetes-int-or-string",
        "x-kubernetes-patch-merge-key",
        "x-kubernetes-patch-strategy",
    ];
    const TYPES: &[&str] = &["array", "boolean", "integer", "object", "string"];
    fn check(schema: &Value, at: &str) {
        let map = schema.as_object().unwrap_or_else(|| panic!("{at}: {schema}"));
        for (key, value) in map {
            assert!(KNOWN.contains(&key.as_str()), "{at}: {key}");
            match key.as_str() {
                "type" => assert!(TYPES.contains(&value.as_str().unwrap()), "{at}: {value}"),
                "items" | "additionalProperties" => check(value, &format!("{at}.{key}")),
                // Explain goes on only where there is one.
                "allOf" => assert!(value.as_array().unwrap().len() == 1 && value[0].get("$ref").is_some(), "{at}"),
                "anyOf" => {
                    assert_eq!(value, &json!([{"type": "integer"}, {"type": "string"}]), "{at}");
                    assert_eq!(map["x-kubernetes-int-or-string"], true, "{at}");
                }
                "enum" => {
                    assert!(map["type"] == "string" && value.as_array().unwrap().iter().all(Value::is_string), "{at}")
                }
                "required" => {
                    for name in value.as_array().unwrap() {
                        assert!(map["properties"].get(name.as_str().unwrap()).is_some(), "{at}: {name}");
                    }
                }
                "properties" => {
                    value.as_object().unwrap().iter().for_each(|(name, schema)| check(schema, &format!("{at}.{name}")));
                }
                _ => {}
            }
        }
        let says_what = ["type", "$ref", "allOf", "anyOf"].iter().filter(|key| map.contains_key(**key)).count();
        assert_eq!(says_what, 1, "{at}: {schema}");
    }
    for (_, document) in documents() {
        for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
            check(schema, name);
        }
    }
}

/// They are what explain prints, and who reads them knows nothing of the code.
#[test]
fn everything_is_described() {
    for (path, document) in documents() {
        for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
            let fields = schema.get("properties").and_then(Value::as_object).into_iter().flatten();
            let all = [(name, schema)].into_iter().chain(fields);
            for (field, schema) in all {
                let text = schema["description"].as_str().unwrap_or_else(|| panic!("{path} {name} {field}"));
                assert!(text.ends_with('.'), "{path} {name} {field}: {text:?}");
                for wrong in ["[`", "`]", "::", "\n"] {
                    assert!(!text.contains(wrong), "{path} {name} {field}: {text:?}");
                }
            }
        }
    }
}

/// The dotted paths of all fields of a schema. Of a schema within itself only the name is told.
fn paths_of(document: &Value, schema: &Value, path: &str, around: &mut Vec<String>, found: &mut BTreeSet<String>) {
    if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
        if !around.iter().any(|outer| outer == reference) {
            around.push(reference.to_owned());
            paths_of(document, document.pointer(&reference[1..]).unwrap(), path, around, found);
            around.pop();
        }
        return;
    }
    let inner = schema["allOf"].as_array().into_iter().flatten().chain(schema.get("items"));
    inner.for_each(|schema| paths_of(document, schema, path, around, found));
    for (name, schema) in schema["properties"].as_object().into_iter().flatten() {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        found.insert(path.clone());
        paths_of(document, schema, &path, around, found);
    }
}

fn row_of(kind: Kind) -> &'static Row {
    ROWS.iter().find(|row| row.store == Store::Stored(kind)).unwrap()
}

/// What is explained can be written, and what can be written is explained. The server's own fields are only explained.
#[test]
fn the_fields_are_those_that_are_taken() {
    for kind in Kind::ALL {
        let row = row_of(kind);
        let document = document(row.group, row.version).unwrap();
        let schema = Value::Object(schema_of(&document, row.group, row.version, row.kind).clone());
        let mut explained = BTreeSet::new();
        paths_of(&document, &schema, "", &mut Vec::new(), &mut explained);
        let is_servers =
            |path: &String| path.split('.').next() == Some("status") || path.starts_with("metadata.managedFields");
        explained.retain(|path| !is_servers(path));
        let mut taken: BTreeSet<_> = field_names(kind).into_iter().collect();
        taken.retain(|path| !is_servers(path));
        assert_eq!(explained, taken, "{kind:?}");
        assert!(taken.len() > 10, "{kind:?}");
    }
}

/// What controllers write into `status` is explained as well.
#[test]
fn the_status_is_explained() {
    let rows = [
        (Kind::Broker, "status.address.url"),
        (Kind::Trigger, "status.subscriberUri"),
        (Kind::Service, "status.traffic.percent"),
        (Kind::Configuration, "status.latestReadyRevisionName"),
        (Kind::Revision, "status.containerStatuses.imageDigest"),
        (Kind::Route, "status.conditions.lastTransitionTime"),
        (Kind::DomainMapping, "status.url"),
        (Kind::Namespace, "status.phase"),
        (Kind::Namespace, "metadata.managedFields.fieldsV1"),
    ];
    for (kind, path) in rows {
        let row = row_of(kind);
        let document = document(row.group, row.version).unwrap();
        let schema = Value::Object(schema_of(&document, row.group, row.version, row.kind).clone());
        let mut explained = BTreeSet::new();
        paths_of(&document, &schema, "", &mut Vec::new(), &mut explained);
        assert!(explained.contains(path), "{kind:?} {path}");
    }
}

#[test]
fn schemas_of_types_read_as_kubernetes_writes_them() {
    let document = document("serving.knative.dev", "v1").unwrap();
    let at = |name: &str, field: &str| {
        let mut schema =
            document["components"]["schemas"][format!("dev.knative.serving.v1.{name}")]["properties"][field].clone();
        schema.as_object_mut().unwrap().remove("description");
        schema
    };
    let own = |name: &str| json!({"$ref": format!("#/components/schemas/dev.knative.serving.v1.{name}")});
    let rows = [
        ("Condition", "lastTransitionTime", json!({"type": "string", "format": "date-time"})),
        ("Condition", "status", json!({"type": "string", "enum": ["True", "False", "Unknown"]})),
        ("Condition", "severity", json!({"type": "string", "enum": ["", "Warning", "Info"]})),
        ("Probe", "httpGet", json!({"allOf": [own("HttpGetAction")]})),
        ("HttpGetAction", "port", json!({"allOf": [own("IntOrString")]})),
        ("RevisionSpec", "containers", json!({"type": "array", "items": own("Container")})),
        ("RevisionSpec", "timeoutSeconds", json!({"type": "integer", "format": "int64"})),
        ("TrafficTarget", "latestRevision", json!({"type": "boolean"})),
        ("RouteStatus", "conditions", json!({"type": "array", "items": own("Condition")})),
        ("ResourceRequirements", "limits", json!({"type": "object", "additionalProperties": {"type": "string"}})),
    ];
    for (name, field, want) in rows {
        assert_eq!(at(name, field), want, "{name}.{field}");
    }
    let required = [
        ("Condition", json!(["type", "status"])),
        ("RevisionSpec", json!(["containers"])),
        ("EnvVar", json!(["name"])),
        ("ServiceSpec", Value::Null),
    ];
    for (name, want) in required {
        assert_eq!(
            document["components"]["schemas"][format!("dev.knative.serving.v1.{name}")]["required"],
            want,
            "{name}"
        );
    }
}

/// kube-api.md, section 9: explain finds the kind by `get`, and the validation by a parameter of `patch`.
#[test]
fn kubectl_finds_what_it_looks_for() {
    for row in ROWS.iter().filter(|row| row.may("patch")) {
        let document = document(row.group, row.version).unwrap();
        let scope = if row.is_namespaced { "/namespaces/{namespace}" } else { "" };
        let all = format!("/{}{scope}/{}", path(row.group, row.version), row.plural);
        let kind = json!({"group": row.group, "version": row.version, "kind": row.kind});
        let item = |path: &str| document["paths"][path].clone();
        assert_eq!(item(&all)["get"]["x-kubernetes-group-version-kind"], kind);
        let patch = &item(&format!("{all}/{{name}}"))["patch"];
        assert_eq!(patch["x-kubernetes-group-version-kind"], kind);
        let parameters = patch["parameters"].as_array().unwrap();
        assert!(parameters.iter().any(|p| p["name"] == "fieldValidation" && p["in"] == "query"), "{all}");
        let is_strategic = patch["requestBody"]["content"].get("application/strategic-merge-patch+json").is_some();
        assert_eq!(is_strategic, row.group.is_empty() || row.group == "events.k8s.io", "{all}");
        assert_eq!(item(&format!("{all}/{{name}}/status")).is_object(), row.has_status, "{all}");
    }
}

#[test]
fn operations_have_names_of_their_own_and_paths_name_their_parameters() {
    for (path, document) in documents() {
        let mut ids = BTreeSet::new();
        for (url, item) in document["paths"].as_object().unwrap() {
            let named: Vec<_> =
                item["parameters"].as_array().unwrap().iter().map(|p| p["name"].as_str().unwrap()).collect();
            let within = url.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
            assert_eq!(named, within.collect::<Vec<_>>(), "{url}");
            for (method, operation) in item.as_object().unwrap().iter().filter(|(key, _)| *key != "parameters") {
                let id = operation["operationId"].as_str().unwrap();
                assert!(ids.insert(id.to_owned()), "{path} {method} {url}: {id}");
            }
        }
        assert!(!ids.is_empty(), "{path}");
    }
    let document = document("eventing.knative.dev", "v1").unwrap();
    let get = &document["paths"]["/apis/eventing.knative.dev/v1/namespaces/{namespace}/brokers"]["get"];
    assert_eq!(get["operationId"], "listEventingKnativeDevV1NamespacedBroker");
}

#[test]
fn the_index_names_each_document_by_its_hash() {
    let index = index();
    let paths = index["paths"].as_object().unwrap();
    assert_eq!(paths.len(), group_versions().len());
    for (path, document) in documents() {
        assert_eq!(paths[&path]["serverRelativeURL"], format!("/openapi/v3/{path}?hash={}", hash(&document)));
    }
    assert!(paths.contains_key("api/v1") && paths.contains_key("apis/serving.knative.dev/v1beta1"));
}

/// Clients keep a document under its hash for ever, and nodes must agree on it.
#[test]
fn the_hash_is_that_of_the_document() {
    assert_eq!(hash(&json!({"openapi": "3.0.0"})), HASH_OF_A_KNOWN_DOCUMENT);
    assert_ne!(hash(&json!({})), hash(&json!([])));
    for ((path, one), (_, again)) in documents().into_iter().zip(documents()) {
        assert_eq!(hash(&one), hash(&again), "{path}");
    }
}

/// Fixed, so that a change of the function is seen: two versions side by side must not call one document by two names.
const HASH_OF_A_KNOWN_DOCUMENT: &str = "5E5DE6219826A07135A0CEBB9EFD28EB";
