//! Deletions, finalizers, preconditions.

use serde_json::json;

use super::harness::{Api, BROKERS, broker};

#[tokio::test]
async fn what_nothing_holds_is_gone_at_once() {
    let api = Api::new().await;
    let uid = api.post(BROKERS, broker("b")).await.expect(201).text("/metadata/uid").to_owned();
    let path = format!("{BROKERS}/b");
    let other = json!({"preconditions": {"uid": "x"}});
    let refused = api.delete(&path, other).await;
    assert!(refused.code == 409 && refused.text("/message").contains("UID in precondition: x"), "{}", refused.value);
    let gone = api.delete(&path, json!({"kind": "DeleteOptions", "propagationPolicy": "Background"})).await.expect(200);
    let details = json!({"name": "b", "group": "eventing.knative.dev", "kind": "brokers", "uid": uid});
    assert_eq!((gone.text("/status"), gone.at("/details")), ("Success", &details));
    assert_eq!(api.delete(&path, json!({})).await.refusal().1, "NotFound");
}

#[tokio::test]
async fn a_finalizer_is_waited_for() {
    let api = Api::new().await;
    let mut held = broker("b");
    held["metadata"]["finalizers"] = json!(["example.com/work"]);
    api.post(BROKERS, held).await.expect(201);
    let path = format!("{BROKERS}/b");
    let mut watch = api.watch(&format!("{BROKERS}?watch=1&fieldSelector=metadata.name%3Db")).await;
    assert_eq!(watch.brief().await, "ADDED b");
    let marked = api.delete(&path, json!({})).await.expect(200);
    assert!(!marked.text("/metadata/deletionTimestamp").is_empty());
    assert_eq!((marked.text("/kind"), marked.at("/metadata/generation")), ("Broker", &json!(2)));
    assert_eq!(api.delete(&path, json!({})).await.expect(200).text("/kind"), "Broker", "a second time changes nothing");
    api.get(&path).await.expect(200);
    let more = json!({"metadata": {"finalizers": ["example.com/work", "example.com/more"]}});
    let refused = api.patch(&path, "merge-patch+json", more).await;
    assert!(refused.code == 422 && refused.text("/message").contains("no new finalizers"), "{}", refused.value);
    api.patch(&path, "merge-patch+json", json!({"metadata": {"finalizers": null}})).await.expect(200);
    assert_eq!(api.get(&path).await.code, 404);
    let mut seen = Vec::new();
    while seen.last().is_none_or(|last| last != "DELETED b") {
        seen.push(watch.brief().await);
    }
    // Its status is written meanwhile.
    seen.dedup();
    assert_eq!(seen, ["MODIFIED b", "DELETED b"]);
}

#[tokio::test]
async fn a_selection_is_deleted_together() {
    let api = Api::new().await;
    for name in ["a", "b", "c"] {
        let mut object = broker(name);
        object["metadata"]["labels"] = json!({"goes": (name != "b").to_string()});
        api.post(BROKERS, object).await.expect(201);
    }
    let gone = api.delete(&format!("{BROKERS}?labelSelector=goes%3Dtrue"), json!({})).await.expect(200);
    assert_eq!((gone.text("/kind"), gone.at("/items").as_array().unwrap().len()), ("BrokerList", 2));
    let left = api.get(BROKERS).await;
    assert_eq!((left.at("/items").as_array().unwrap().len(), left.text("/items/0/metadata/name")), (1, "b"));
}

#[tokio::test]
async fn an_orphan_has_no_owner_any_more() {
    let api = Api::new().await;
    let uid = api.post(BROKERS, broker("a")).await.expect(201).text("/metadata/uid").to_owned();
    let mut owned = broker("b");
    let owner = json!({"apiVersion": "eventing.knative.dev/v1", "kind": "Broker", "name": "a", "uid": uid});
    owned["metadata"]["ownerReferences"] = json!([owner]);
    api.post(BROKERS, owned).await.expect(201);
    api.delete(&format!("{BROKERS}/a"), json!({"propagationPolicy": "Orphan"})).await.expect(200);
    assert!(api.get(&format!("{BROKERS}/b")).await.expect(200).at("/metadata/ownerReferences").is_null());
    assert_eq!(api.get(&format!("{BROKERS}/a")).await.code, 404);
}

#[tokio::test]
async fn the_default_namespace_stays() {
    let api = Api::new().await;
    let refused = api.delete("/api/v1/namespaces/default", json!({})).await;
    let want = "namespaces \"default\" is forbidden: this namespace may not be deleted";
    assert_eq!(refused.refusal(), (403, "Forbidden", want));
}
