//! Creates, updates, patches, applies.

use http::{Method, header};
use serde_json::{Value, json};

use super::harness::{Api, BROKERS, CONFIG_MAPS, TRIGGERS, broker, trigger};

#[tokio::test]
async fn what_is_created_has_an_identity() {
    let api = Api::new().await;
    let made = api.post(BROKERS, broker("b")).await.expect(201);
    assert_eq!((made.at("/metadata/generation"), made.text("/metadata/namespace")), (&json!(1), "default"));
    assert!(made.text("/metadata/uid").len() == 36 && !made.text("/metadata/creationTimestamp").is_empty());
    assert!(made.text("/metadata/resourceVersion").parse::<u64>().unwrap() > 0);
    let again = api.post(BROKERS, broker("b")).await;
    assert_eq!(again.refusal(), (409, "AlreadyExists", "brokers.eventing.knative.dev \"b\" already exists"));
    // Clients of Go send what they know nothing of as zero.
    let mut typed = broker("c");
    typed["metadata"]["creationTimestamp"] = Value::Null;
    typed["metadata"]["resourceVersion"] = json!("0");
    typed["status"] = json!({});
    api.post(BROKERS, typed).await.expect(201);
    let mut generated = broker("");
    generated["metadata"] = json!({"generateName": "gen-"});
    let name = api.post(BROKERS, generated).await.expect(201).text("/metadata/name").to_owned();
    assert!(name.starts_with("gen-") && name.len() == 9, "{name}");
}

/// Each row is a body for a Broker, and why it is refused.
#[tokio::test]
async fn what_cannot_be_is_refused() {
    let api = Api::new().await;
    let with = |pointer: &str, value: Value| {
        let mut object = broker("b");
        let (at, field) = pointer.rsplit_once('/').unwrap();
        object.pointer_mut(at).unwrap().as_object_mut().unwrap().insert(field.to_owned(), value);
        object
    };
    let rows: Vec<(Value, u16, &str, &str)> = vec![
        (json!([]), 400, "BadRequest", "no JSON object"),
        (with("/kind", json!("Trigger")), 400, "BadRequest", "cannot be handled as a Broker"),
        (with("/apiVersion", json!("v1")), 400, "BadRequest", "does not match the expected API version"),
        (with("/metadata/namespace", json!("n")), 400, "BadRequest", "the namespace of the provided object"),
        (with("/metadata/resourceVersion", json!("7")), 400, "BadRequest", "resourceVersion should not be set"),
        (with("/metadata/labels", json!({"a": 1})), 400, "BadRequest", "metadata.labels"),
        (with("/metadata/name", json!("")), 422, "Invalid", "name or generateName is required"),
        (with("/metadata/name", json!("No_Name")), 422, "Invalid", "metadata.name"),
        (with("/spec", json!({"delivery": {"retry": "x"}})), 422, "Invalid", "spec.delivery.retry"),
        (with("/spec", json!({"delivery": {"retry": -1}})), 422, "Invalid", "spec.delivery.retry"),
    ];
    for (body, code, reason, word) in rows {
        let got = api.post(BROKERS, body.clone()).await;
        assert!((got.code, got.text("/reason")) == (code, reason), "{body}: {}", got.value);
        assert!(got.text("/message").contains(word), "{body}: {}", got.value);
    }
    for (body, code) in [("", 400), ("{", 400), ("a: [", 400), ("{\"kind\": \"Broker\", \"kind\": \"Broker\"}", 400)] {
        assert_eq!(api.send(Method::POST, BROKERS, &[], body).await.code, code, "{body}");
    }
    let kind = [(header::CONTENT_TYPE.as_str(), "text/plain")];
    assert_eq!(api.send(Method::POST, BROKERS, &kind, "x").await.refusal().1, "UnsupportedMediaType");
    let doubled = |text: String, i: u32| format!("{text}\na{}: &a{} [*a{i}, *a{i}]", i + 1, i + 1);
    let bomb = (0..40).fold("a0: &a0 [x, x]".to_owned(), doubled);
    let kind = [(header::CONTENT_TYPE.as_str(), "application/yaml")];
    assert_eq!(api.send(Method::POST, BROKERS, &kind, bomb).await.code, 400);
    assert_eq!(api.get(BROKERS).await.at("/items"), &json!([]));
}

#[tokio::test]
async fn unknown_fields_are_refused_or_told() {
    let api = Api::new().await;
    let mut object = broker("b");
    object["spec"] = json!({"nosuch": 1});
    let strict = api.post(&format!("{BROKERS}?fieldValidation=Strict"), object.clone()).await;
    let want =
        "Broker in version \"v1\" cannot be handled as a Broker: strict decoding error: unknown field \"spec.nosuch\"";
    assert_eq!(strict.refusal(), (400, "BadRequest", want));
    let warned = api.post(BROKERS, object.clone()).await.expect(201);
    assert_eq!(warned.headers[header::WARNING], "299 - \"unknown field \\\"spec.nosuch\\\"\"");
    assert!(warned.at("/spec/nosuch").is_null());
    object["metadata"]["name"] = json!("c");
    let ignored = api.post(&format!("{BROKERS}?fieldValidation=Ignore"), object).await.expect(201);
    assert!(!ignored.headers.contains_key(header::WARNING));
}

#[tokio::test]
async fn a_dry_run_changes_nothing() {
    let api = Api::new().await;
    api.post(&format!("{BROKERS}?dryRun=All"), broker("b")).await.expect(201);
    assert_eq!(api.get(&format!("{BROKERS}/b")).await.code, 404);
    api.post(BROKERS, broker("b")).await.expect(201);
    let patch = json!({"metadata": {"labels": {"a": "b"}}});
    let dry = api.patch(&format!("{BROKERS}/b?dryRun=All"), "merge-patch+json", patch).await.expect(200);
    assert_eq!(dry.text("/metadata/labels/a"), "b");
    api.delete(&format!("{BROKERS}/b?dryRun=All"), json!({})).await.expect(200);
    assert!(api.get(&format!("{BROKERS}/b")).await.expect(200).at("/metadata/labels").is_null());
    assert_eq!(api.post(&format!("{BROKERS}?dryRun=Some"), broker("c")).await.code, 422);
}

#[tokio::test]
async fn an_update_is_made_of_what_was_read() {
    let api = Api::new().await;
    api.post(BROKERS, broker("b")).await.expect(201);
    api.post(TRIGGERS, trigger("t")).await.expect(201);
    let path = format!("{TRIGGERS}/t");
    let mut read = api.get(&path).await.expect(200).value;
    read["spec"]["subscriber"]["uri"] = json!("http://other.example/");
    let stored = api.put(&path, read.clone()).await.expect(200);
    assert_eq!(stored.at("/metadata/generation"), 2);
    let stale = api.put(&path, read.clone()).await;
    assert!(stale.refusal().0 == 409 && stale.text("/message").contains("the object has been modified"));
    let now = api.get(&path).await.value;
    let same = api.put(&path, now.clone()).await.expect(200);
    assert_eq!(same.at("/metadata/resourceVersion"), &now["metadata"]["resourceVersion"], "no change is no write");
    let mut labelled = now.clone();
    labelled["metadata"]["labels"]["a"] = json!("b");
    let labelled = api.put(&path, labelled).await.expect(200);
    assert_eq!(labelled.at("/metadata/generation"), 2, "labels are no change of the spec");
    let mut none = labelled.value.clone();
    none["metadata"].as_object_mut().unwrap().remove("resourceVersion");
    assert!(api.put(&path, none).await.text("/message").contains("must be specified for an update"));
    let mut other = labelled.value;
    other["metadata"]["uid"] = json!("11111111-1111-4111-8111-111111111111");
    assert_eq!(api.put(&path, other).await.refusal().1, "Conflict");
    assert_eq!(api.put(&format!("{TRIGGERS}/nosuch"), trigger("nosuch")).await.code, 404);
    // A core kind may be put without a version.
    api.post(CONFIG_MAPS, json!({"metadata": {"name": "c"}, "data": {"k": "v"}})).await.expect(201);
    let put = api.put(&format!("{CONFIG_MAPS}/c"), json!({"metadata": {"name": "c"}, "data": {"k": "w"}})).await;
    assert_eq!(put.expect(200).text("/data/k"), "w");
}

#[tokio::test]
async fn an_object_has_a_largest_size() {
    let api = Api::new().await;
    api.post(BROKERS, broker("b")).await.expect(201);
    let status = json!({"status": {"annotations": {"a": "x".repeat(pelton_resource::limits::MAX_OBJECT_BYTES)}}});
    let refused = api.patch(&format!("{BROKERS}/b/status"), "merge-patch+json", status).await;
    assert_eq!((refused.code, refused.text("/reason")), (413, "RequestEntityTooLarge"));
    let many: Vec<_> = (0..100_000).map(|i| format!("a/{i}")).collect();
    let patch = json!({"metadata": {"finalizers": many}});
    assert_eq!(api.patch(&format!("{BROKERS}/b"), "merge-patch+json", patch).await.code, 422);
}

#[tokio::test]
async fn patches_of_each_form_change_what_they_name() {
    let api = Api::new().await;
    api.post(BROKERS, broker("b")).await.expect(201);
    let path = format!("{BROKERS}/b");
    let merge = json!({"metadata": {"annotations": {"x": "1", "y": "2"}}, "spec": {"delivery": {"retry": 3}}});
    let merged = api.patch(&path, "merge-patch+json", merge.clone()).await.expect(200);
    assert_eq!((merged.at("/spec/delivery/retry"), merged.at("/metadata/generation")), (&json!(3), &json!(2)));
    let settled = api.get(&path).await;
    let same = api.patch(&path, "merge-patch+json", merge).await.expect(200);
    assert_eq!(same.at("/metadata/resourceVersion"), settled.at("/metadata/resourceVersion"));
    let removed = api.patch(&path, "merge-patch+json", json!({"metadata": {"annotations": {"x": null}}})).await;
    assert!(removed.at("/metadata/annotations/x").is_null() && removed.text("/metadata/annotations/y") == "2");
    let ops = json!([{"op": "test", "path": "/metadata/finalizers", "value": null},
        {"op": "add", "path": "/metadata/annotations/z", "value": "3"}]);
    assert_eq!(api.patch(&path, "json-patch+json", ops).await.expect(200).text("/metadata/annotations/z"), "3");
    let fails = json!([{"op": "test", "path": "/metadata/name", "value": "c"}]);
    assert_eq!(api.patch(&path, "json-patch+json", fails).await.refusal().0, 422);
    for (how, body, code) in [
        ("merge-patch+json", json!([]), 400),
        ("json-patch+json", json!({}), 400),
        ("strategic-merge-patch+json", json!({}), 415),
        ("x+json", json!({}), 415),
        ("merge-patch+json", json!({"metadata": {"resourceVersion": "1"}}), 409),
        ("merge-patch+json", json!({"metadata": {"name": "c"}}), 400),
        ("merge-patch+json", json!({"spec": {"delivery": {"retry": -1}}}), 422),
    ] {
        assert_eq!(api.patch(&path, how, body.clone()).await.code, code, "{how} {body}");
    }
    api.post(CONFIG_MAPS, json!({"metadata": {"name": "c"}, "data": {"k": "v", "l": "w"}})).await.expect(201);
    let patch = json!({"data": {"k": null, "m": "x"}});
    let strategic = api.patch(&format!("{CONFIG_MAPS}/c"), "strategic-merge-patch+json", patch).await.expect(200);
    assert_eq!(strategic.at("/data"), &json!({"l": "w", "m": "x"}));
}

#[tokio::test]
async fn status_is_written_apart() {
    let api = Api::new().await;
    api.post(BROKERS, broker("b")).await.expect(201);
    let path = format!("{BROKERS}/b");
    let condition = json!({"type": "Custom", "status": "True", "reason": "R"});
    let status =
        json!({"status": {"annotations": {"a": "b"}, "conditions": [condition]}, "spec": {"delivery": {"retry": 9}}});
    let written = api.patch(&format!("{path}/status"), "merge-patch+json", status.clone()).await.expect(200);
    assert_eq!(written.text("/status/conditions/0/type"), "Custom");
    assert_eq!(written.at("/spec/delivery/retry"), &json!(10), "and nothing else is");
    let ignored = json!({"status": {"conditions": []}});
    let main = api.patch(&path, "merge-patch+json", ignored).await.expect(200);
    let conditions = main.at("/status/conditions").as_array().unwrap();
    assert!(conditions.iter().any(|condition| condition["type"] == "Custom"), "{conditions:?}");
}

#[tokio::test]
async fn an_apply_makes_owns_and_quarrels() {
    let api = Api::new().await;
    let path = format!("{BROKERS}/b");
    let apply = |manager: &str, force: bool, retry: u32| {
        let mut body = broker("b");
        body["spec"] = json!({"delivery": {"retry": retry}});
        let path = format!("{path}?fieldManager={manager}&force={force}");
        (path, body)
    };
    let how = "apply-patch+yaml";
    let (to, body) = apply("ci", false, 3);
    let made = api.patch(&to, how, body.clone()).await.expect(201);
    assert_eq!(made.text("/metadata/managedFields/0/manager"), "ci");
    let settled = api.get(&path).await;
    let again = api.patch(&to, how, body).await.expect(200);
    assert_eq!(again.at("/metadata/resourceVersion"), settled.at("/metadata/resourceVersion"));
    let (to, body) = apply("ops", false, 4);
    let refused = api.patch(&to, how, body).await;
    let want = "Apply failed with 1 conflict: conflict with \"ci\": .spec.delivery.retry";
    assert_eq!(refused.refusal(), (409, "Conflict", want));
    assert_eq!(refused.text("/details/causes/0/reason"), "FieldManagerConflict");
    let (to, body) = apply("ops", true, 4);
    assert_eq!(api.patch(&to, how, body).await.expect(200).at("/spec/delivery/retry"), 4);
    let (_, body) = apply("", false, 4);
    assert_eq!(api.patch(&path, how, body).await.code, 422, "whose it is must be said");
    let mut body = broker("b");
    body["metadata"]["managedFields"] = json!([{"manager": "x"}]);
    assert_eq!(api.patch(&format!("{path}?fieldManager=x"), how, body).await.code, 400);
}

#[tokio::test]
async fn objects_come_into_namespaces_that_are_there() {
    let api = Api::new().await;
    let path = "/apis/eventing.knative.dev/v1/namespaces/shop/brokers";
    let refused = api.post(path, broker("b")).await;
    assert_eq!(refused.refusal(), (404, "NotFound", "namespaces \"shop\" not found"));
    let made = api.post("/api/v1/namespaces", json!({"metadata": {"name": "shop"}, "spec": {}, "status": {}})).await;
    let made = made.expect(201);
    assert_eq!(made.text("/metadata/labels/kubernetes.io~1metadata.name"), "shop");
    assert_eq!((made.text("/status/phase"), made.text("/spec/finalizers/0")), ("Active", "kubernetes"));
    api.post(path, broker("b")).await.expect(201);
    let phase = json!({"status": {"phase": "Terminating"}});
    let written = api.patch("/api/v1/namespaces/shop/status", "merge-patch+json", phase).await.expect(200);
    assert_eq!(written.text("/status/phase"), "Active", "only a deletion ends it");
    let deleted = api.delete("/api/v1/namespaces/shop", json!({})).await.expect(200);
    assert_eq!(deleted.text("/status/phase"), "Terminating");
    let refused = api.post(path, broker("c")).await;
    assert_eq!((refused.code, refused.text("/details/causes/0/reason")), (403, "NamespaceTerminating"));
}

#[tokio::test]
async fn a_secret_is_kept_as_kubernetes_keeps_it() {
    let api = Api::new().await;
    let path = "/api/v1/namespaces/default/secrets";
    let made =
        api.post(path, json!({"metadata": {"name": "sh.helm.release.v1.x.v1"}, "stringData": {"k": "hi"}})).await;
    let made = made.expect(201);
    assert_eq!((made.text("/data/k"), made.text("/type")), ("aGk=", "Opaque"));
    assert!(made.at("/stringData").is_null() && made.at("/metadata/generation").is_null());
    assert_eq!(api.get(&format!("{path}?fieldSelector=type%3DOpaque")).await.at("/items").as_array().unwrap().len(), 1);
    let table = api.table(path).await.expect(200);
    assert!(!table.value.to_string().contains("aGk="), "no secret is in a table");
}

/// `events.k8s.io/v1` is another way to say what the core group says.
#[tokio::test]
async fn an_event_is_one_in_both_groups() {
    let api = Api::new().await;
    let event = json!({
        "metadata": {"name": "e"}, "regarding": {"kind": "Broker", "name": "b", "namespace": "default"},
        "note": "it was made", "reason": "Made", "type": "Normal", "reportingController": "test", "action": "Make",
        "eventTime": "2026-01-01T00:00:00.000000Z", "reportingInstance": "i",
    });
    let made = api.post("/apis/events.k8s.io/v1/namespaces/default/events", event).await.expect(201);
    assert_eq!(made.text("/apiVersion"), "events.k8s.io/v1");
    let core = api.get("/api/v1/namespaces/default/events?fieldSelector=involvedObject.name%3Db").await.expect(200);
    assert_eq!((core.text("/items/0/message"), core.text("/items/0/apiVersion")), ("it was made", "v1"));
    let new = api.get("/apis/events.k8s.io/v1/events").await.expect(200);
    assert_eq!((new.text("/items/0/note"), new.text("/apiVersion")), ("it was made", "events.k8s.io/v1"));
}
