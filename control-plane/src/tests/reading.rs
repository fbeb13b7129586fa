//! Discovery, gets, lists, tables.

use http::{Method, header};
use serde_json::json;

use super::harness::{Api, BROKERS, TRIGGERS, broker, trigger};

#[tokio::test]
async fn documents_are_found_with_and_without_a_slash_at_the_end() {
    let api = Api::new().await;
    for (path, pointer, want) in [
        ("/version", "/gitVersion", json!("v1.33.0+pelton")),
        ("/version/", "/major", json!("1")),
        ("/api", "/versions/0", json!("v1")),
        ("/apis", "/kind", json!("APIGroupList")),
        ("/apis/eventing.knative.dev", "/kind", json!("APIGroup")),
        ("/apis/eventing.knative.dev/v1", "/kind", json!("APIResourceList")),
        ("/api/v1", "/groupVersion", json!("v1")),
        ("/openapi/v3", "/paths/api~1v1/serverRelativeURL", json!(null)),
    ] {
        let got = api.get(path).await.expect(200);
        if want.is_null() {
            assert!(got.at(pointer).is_string(), "{path} {}", got.value);
        } else {
            assert_eq!(*got.at(pointer), want, "{path}");
        }
    }
    assert_eq!(api.get("/healthz").await.value, json!("ok"));
    let v2 = api.get("/openapi/v2").await.expect(200);
    assert_eq!(v2.value, json!(""));
    let want = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";
    assert_eq!(v2.headers[header::CONTENT_TYPE], want);
    for path in
        ["/apis/apps/v1", "/apis/apps/v1/deployments", "/apis/eventing.knative.dev/v2", "/api/v2", "/openapi/v3/x"]
    {
        assert_eq!(api.get(path).await.refusal().0, 404, "{path}");
    }
    assert_eq!(api.post("/apis", json!({})).await.refusal().1, "MethodNotAllowed");
}

#[tokio::test]
async fn aggregated_discovery_is_told_apart_by_its_type_and_kept_by_its_tag() {
    let api = Api::new().await;
    let accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json";
    let got = api.send(Method::GET, "/apis", &[("accept", accept)], "").await.expect(200);
    assert_eq!(got.text("/kind"), "APIGroupDiscoveryList");
    assert!(got.headers[header::CONTENT_TYPE].to_str().unwrap().contains("as=APIGroupDiscoveryList"));
    let tag = got.headers[header::ETAG].to_str().unwrap().to_owned();
    let again = api.send(Method::GET, "/apis", &[("accept", accept), ("if-none-match", &tag)], "").await;
    assert_eq!((again.code, again.value), (304, json!("")));
}

#[tokio::test]
async fn every_group_version_has_a_schema_under_its_hash() {
    let api = Api::new().await;
    let index = api.get("/openapi/v3").await.expect(200);
    let paths = index.at("/paths").as_object().unwrap().clone();
    assert!(paths.contains_key("apis/eventing.knative.dev/v1") && paths.contains_key("api/v1"), "{paths:?}");
    for path in paths.values() {
        let document = api.get(path["serverRelativeURL"].as_str().unwrap()).await.expect(200);
        assert!(document.at("/components/schemas").is_object());
        assert_eq!(document.headers[header::CACHE_CONTROL], "public, immutable");
    }
}

#[tokio::test]
async fn objects_are_listed_shown_and_missed() {
    let api = Api::new().await;
    for name in ["b", "a"] {
        api.post(BROKERS, broker(name)).await.expect(201);
    }
    let list = api.get(BROKERS).await.expect(200);
    assert_eq!((list.text("/kind"), list.text("/apiVersion")), ("BrokerList", "eventing.knative.dev/v1"));
    assert_eq!((list.text("/items/0/metadata/name"), list.text("/items/1/kind")), ("a", "Broker"));
    let version: u64 = list.text("/metadata/resourceVersion").parse().unwrap();
    assert!(version >= list.text("/items/1/metadata/resourceVersion").parse().unwrap());
    let everywhere = api.get("/apis/eventing.knative.dev/v1/brokers?limit=500&resourceVersion=0").await.expect(200);
    assert_eq!(everywhere.at("/items").as_array().unwrap().len(), 2);
    assert_eq!(api.get(&format!("{BROKERS}/a")).await.expect(200).text("/metadata/name"), "a");
    let missing = api.get(&format!("{BROKERS}/c")).await;
    assert_eq!(missing.refusal(), (404, "NotFound", "brokers.eventing.knative.dev \"c\" not found"));
    let selected = api.get(&format!("{BROKERS}?fieldSelector=metadata.name%3Db")).await.expect(200);
    assert_eq!(selected.text("/items/0/metadata/name"), "b");
    assert_eq!(api.get(&format!("{BROKERS}?fieldSelector=spec.x%3Db")).await.code, 400);
    let later = format!("{BROKERS}?resourceVersion={}", u64::MAX);
    let (code, reason, _) = (api.get(&later).await.code, "Timeout", "");
    assert_eq!((code, reason), (504, "Timeout"));
}

#[tokio::test]
async fn tables_have_the_columns_of_the_kind() {
    let api = Api::new().await;
    api.post(BROKERS, broker("b")).await.expect(201);
    api.post(TRIGGERS, trigger("t")).await.expect(201);
    let table = api.table(TRIGGERS).await.expect(200);
    let columns: Vec<_> =
        table.at("/columnDefinitions").as_array().unwrap().iter().map(|c| c["name"].clone()).collect();
    assert_eq!(columns, ["Name", "Broker", "Subscriber_URI", "Age", "Ready", "Reason"]);
    assert_eq!(table.at("/rows/0/cells/0"), "t");
    assert_eq!(table.at("/rows/0/cells/1"), "b");
    assert_eq!(table.text("/rows/0/object/kind"), "PartialObjectMetadata");
    let one = api.table(&format!("{TRIGGERS}/t")).await.expect(200);
    assert_eq!((one.text("/kind"), one.text("/rows/0/cells/0")), ("Table", "t"));
    let html = api.send(Method::GET, TRIGGERS, &[("accept", "text/html")], "").await;
    assert_eq!(html.refusal().1, "NotAcceptable");
}

/// `kn source list` asks for CustomResourceDefinitions by their labels.
#[tokio::test]
async fn kinds_are_definitions() {
    const CRDS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    let api = Api::new().await;
    let all = api.get(CRDS).await.expect(200);
    assert!(all.at("/items").as_array().unwrap().len() >= 7);
    assert_eq!(
        api.get(&format!("{CRDS}/brokers.eventing.knative.dev")).await.expect(200).text("/spec/names/kind"),
        "Broker"
    );
    let none = api.get(&format!("{CRDS}?labelSelector=duck.knative.dev%2Fsource%3Dtrue")).await.expect(200);
    assert_eq!(none.at("/items"), &json!([]));
    assert_eq!(api.post(CRDS, json!({})).await.refusal().1, "MethodNotAllowed");
}

#[tokio::test]
async fn who_asks_may_do_everything() {
    let api = Api::new().await;
    let review = json!({"kind": "SelfSubjectAccessReview", "spec": {"resourceAttributes": {"verb": "create"}}});
    let got = api.post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", review).await.expect(201);
    assert_eq!(got.at("/status/allowed"), true);
    let got = api.post("/apis/authentication.k8s.io/v1/selfsubjectreviews", json!({})).await.expect(201);
    assert!(!got.text("/status/userInfo/username").is_empty());
    let other = api.send(Method::GET, "/api/v1/namespaces", &[("impersonate-user", "root")], "").await;
    assert!(other.code == 403 && other.text("/message").contains("Impersonate-User"), "{}", other.value);
}
