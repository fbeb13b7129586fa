use super::*;
use crate::kinds::{self, ROWS};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

const NOW: u64 = 1_700_000_000_000;

fn row(group: &str, version: &str, plural: &str) -> &'static Row {
    kinds::find(group, version, plural).unwrap()
}

fn cells(row: &Row, object: Value) -> Value {
    table(row, &[object], &json!({}), Include::None, false, NOW)["rows"][0]["cells"].take()
}

/// Section 8, the example.
#[test]
fn a_table_has_columns_and_rows() {
    let broker = json!({
        "apiVersion": "eventing.knative.dev/v1",
        "kind": "Broker",
        "metadata": {
            "name": "b1",
            "namespace": "n",
            "creationTimestamp": "2023-11-14T22:10:20Z",
            "annotations": {"eventing.knative.dev/broker.class": "Pelton"},
        },
        "status": {
            "address": {"url": "http://b1"},
            "conditions": [
                {"type": "Addressable", "status": "True"},
                {"type": "Ready", "status": "False", "reason": "R"},
            ],
        },
    });
    let list = json!({"resourceVersion": "42", "continue": "", "remainingItemCount": 0});
    let row = row("eventing.knative.dev", "v1", "brokers");
    let found = table(row, std::slice::from_ref(&broker), &list, Include::Metadata, true, NOW);
    let column = |name, format, priority| {
        (Value::from(name), Value::from("string"), Value::from(format), true, Value::from(priority))
    };
    let columns: Vec<_> = found["columnDefinitions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| {
            (
                c["name"].clone(),
                c["type"].clone(),
                c["format"].clone(),
                c["description"].is_string(),
                c["priority"].clone(),
            )
        })
        .collect();
    let want =
        [("Name", "name", 0), ("URL", "", 0), ("Age", "", 0), ("Ready", "", 0), ("Reason", "", 0), ("Class", "", 1)];
    assert_eq!(columns, want.map(|(name, format, priority)| column(name, format, priority)));
    let object =
        json!({"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": broker["metadata"]});
    let want = json!({"cells": ["b1", "http://b1", "3m", "False", "R", "Pelton"], "object": object});
    assert_eq!(found["rows"], json!([want]));
    assert_eq!((&found["kind"], &found["apiVersion"]), (&json!("Table"), &json!("meta.k8s.io/v1")));
    assert_eq!(found["metadata"], list);
}

/// Section 8: "Headers are upper-cased by kubectl", and the lists of columns.
#[test]
fn the_columns_are_those_of_the_contract() {
    let rows = [
        ("eventing.knative.dev", "v1", "brokers", "NAME URL AGE READY REASON CLASS(wide)"),
        ("eventing.knative.dev", "v1", "triggers", "NAME BROKER SUBSCRIBER_URI AGE READY REASON"),
        ("serving.knative.dev", "v1", "services", "NAME URL LATESTCREATED LATESTREADY READY REASON"),
        (
            "serving.knative.dev",
            "v1",
            "revisions",
            "NAME CONFIG NAME GENERATION READY REASON ACTUAL REPLICAS DESIRED REPLICAS",
        ),
        ("serving.knative.dev", "v1", "routes", "NAME URL READY REASON"),
        ("", "v1", "namespaces", "NAME STATUS AGE"),
        ("", "v1", "configmaps", "NAME DATA AGE"),
        ("", "v1", "secrets", "NAME TYPE DATA AGE"),
        ("", "v1", "events", "LAST SEEN TYPE REASON OBJECT MESSAGE NAME(wide)"),
        ("events.k8s.io", "v1", "events", "LAST SEEN TYPE REASON OBJECT MESSAGE NAME(wide)"),
    ];
    for (group, version, plural, want) in rows {
        let found = table(row(group, version, plural), &[], &json!({}), Include::Metadata, true, NOW);
        let names: Vec<_> = found["columnDefinitions"]
            .as_array()
            .unwrap()
            .iter()
            .map(|c| c["name"].as_str().unwrap().to_uppercase() + if c["priority"] == 1 { "(wide)" } else { "" })
            .collect();
        assert_eq!(names.join(" "), want, "{plural}.{group}");
    }
}

#[test]
fn a_row_has_as_much_of_its_object_as_is_asked_for() {
    let object = json!({"kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"k": "v"}});
    for (asked, want) in [
        ("", json!({"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": {"name": "c"}})),
        (
            "Metadata",
            json!({"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": {"name": "c"}}),
        ),
        ("Object", object.clone()),
        ("None", Value::Null),
    ] {
        let include = Include::parse(asked).unwrap();
        let found = table(row("", "v1", "configmaps"), std::slice::from_ref(&object), &json!({}), include, false, NOW);
        assert_eq!(found["rows"][0]["object"], want, "{asked}");
        assert_eq!(found["columnDefinitions"], json!([]), "{asked}");
    }
    assert_eq!(Include::parse("metadata"), None);
}

#[test]
fn cells_are_counted_aged_and_left_empty() {
    let created = "2023-11-14T20:13:20Z";
    let rows = [
        ("", "configmaps", json!({"metadata": {"name": "c", "creationTimestamp": created}}), json!(["c", 0, "120m"])),
        (
            "",
            "configmaps",
            json!({"metadata": {"name": "c"}, "data": {"a": "", "b": ""}}),
            json!(["c", 2, "<unknown>"]),
        ),
        ("", "configmaps", json!({"metadata": {"name": "c", "creationTimestamp": null}}), json!(["c", 0, "<unknown>"])),
        ("", "configmaps", json!({"metadata": {"name": "c", "creationTimestamp": "?"}}), json!(["c", 0, "<invalid>"])),
        (
            "",
            "serviceaccounts",
            json!({"metadata": {"name": "s"}, "secrets": [{"name": "x"}]}),
            json!(["s", 1, "<unknown>"]),
        ),
        (
            "",
            "events",
            json!({
                "metadata": {"name": "e", "creationTimestamp": created},
                "lastTimestamp": null,
                "eventTime": "2023-11-14T22:13:10.123456Z",
                "type": "Warning",
                "involvedObject": {"kind": "DomainMapping", "name": "a.b", "namespace": "n"},
                "message": "why",
            }),
            json!(["9s", "Warning", null, "domainmapping/a.b", "why", "e"]),
        ),
        (
            "events.k8s.io",
            "events",
            json!({
                "metadata": {"name": "e", "creationTimestamp": created},
                "regarding": {"kind": "Broker"},
                "note": "why",
            }),
            json!(["120m", null, null, "broker", "why", "e"]),
        ),
        (
            "serving.knative.dev",
            "revisions",
            json!({
                "metadata": {"name": "r", "labels": {"serving.knative.dev/configurationGeneration": "3"}},
                "status": {"actualReplicas": 2, "desiredReplicas": 2.0},
            }),
            json!(["r", null, "3", null, null, 2, 2]),
        ),
        (
            "serving.knative.dev",
            "revisions",
            json!({"metadata": {"name": "r"}, "status": {"actualReplicas": "2"}}),
            json!(["r", null, null, null, null, null, null]),
        ),
        (
            "eventing.knative.dev",
            "triggers",
            json!({"metadata": {"name": "t"}, "spec": {"brokerRef": {"name": "b"}}, "status": {"subscriberUri": 7}}),
            json!(["t", "b", "7", "<unknown>", null, null]),
        ),
    ];
    for (group, plural, object, want) in rows {
        assert_eq!(cells(row(group, "v1", plural), object), want, "{plural}.{group}");
    }
}

#[test]
fn a_time_that_is_not_the_objects_own_is_left_empty() {
    let column = Column { name: "Since", ty: ColumnType::Date, path: ".status.since", wide: false };
    assert_eq!(cell(&column, None, NOW), Value::Null);
    assert_eq!(cell(&column, Some(&json!("2023-11-14T22:13:20Z")), NOW), json!("0s"));
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<f64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        "[a-z:0-9TZ-]{0,12}".prop_map(Value::from),
    ];
    // The names that columns ask for, so that paths are walked and not just missed.
    let key = prop::sample::select(vec![
        "metadata",
        "status",
        "spec",
        "conditions",
        "type",
        "labels",
        "creationTimestamp",
        "data",
        "involvedObject",
        "kind",
        "name",
        "actualReplicas",
        "url",
    ]);
    leaf.prop_recursive(4, 48, 6, move |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            btree_map(key.clone(), inner, 0..6).prop_map(Value::from_iter),
        ]
    })
}

proptest! {
    #[test]
    fn whatever_the_objects_are_every_column_has_a_plain_cell(objects in vec(any_json(), 0..3)) {
        for row in ROWS {
            let found = table(row, &objects, &json!({}), Include::Metadata, true, NOW);
            prop_assert_eq!(found["rows"].as_array().unwrap().len(), objects.len());
            for row in found["rows"].as_array().unwrap() {
                let cells = row["cells"].as_array().unwrap();
                let columns = found["columnDefinitions"].as_array().unwrap();
                prop_assert_eq!(cells.len(), columns.len());
                let is_plain = |c: &Value| c.is_null() || c.is_string() || c.is_i64() || c.is_u64();
                // A name is a text by the time that it is stored.
                let mut others = cells.iter().zip(columns).filter(|(_, column)| column["name"] != "Name");
                prop_assert!(others.all(|(cell, _)| is_plain(cell)));
            }
        }
    }
}
