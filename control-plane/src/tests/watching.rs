//! Watches.

use std::time::Duration;

use pelton_client::Client as _;
use pelton_client::history::MAX_CHANGES;
use serde_json::{Value, json};

use super::harness::{Api, BROKERS, broker};

async fn version(api: &Api) -> String {
    api.get(BROKERS).await.text("/metadata/resourceVersion").to_owned()
}

/// A status is written after each change, so only names count here.
fn names(seen: &[String]) -> Vec<&str> {
    let mut names: Vec<&str> = seen.iter().map(String::as_str).collect();
    names.dedup();
    names
}

#[tokio::test]
async fn a_watch_begins_with_what_is_there_or_after_a_version() {
    let api = Api::new().await;
    api.post(BROKERS, broker("a")).await.expect(201);
    let mut all = api.watch(&format!("{BROKERS}?watch=true")).await;
    assert_eq!(all.brief().await, "ADDED a");
    let before = version(&api).await;
    let mut after = api.watch(&format!("{BROKERS}?watch=1&resourceVersion={before}")).await;
    api.post(BROKERS, broker("b")).await.expect(201);
    api.delete(&format!("{BROKERS}/a"), json!({})).await.expect(200);
    for watch in [&mut all, &mut after] {
        let mut seen = Vec::new();
        while seen.last().is_none_or(|last| last != "DELETED a") {
            seen.push(watch.brief().await);
        }
        assert_eq!(names(&seen).first(), Some(&"ADDED b"), "{seen:?}");
    }
    // A watch that begins after the deletion is told of it all the same.
    let mut late =
        api.watch(&format!("{BROKERS}?watch=1&resourceVersion={before}&fieldSelector=metadata.name%3Da")).await;
    let gone = late.next().await.unwrap();
    assert_eq!((gone["type"].as_str(), gone.pointer("/object/metadata/name")), (Some("DELETED"), Some(&json!("a"))));
    let told: u64 = gone.pointer("/object/metadata/resourceVersion").unwrap().as_str().unwrap().parse().unwrap();
    assert!(told > before.parse().unwrap(), "a deletion has a version of its own");
}

#[tokio::test]
async fn what_leaves_the_selection_is_gone_and_what_enters_it_is_new() {
    let api = Api::new().await;
    api.post(BROKERS, broker("a")).await.expect(201);
    let mut watch = api.watch(&format!("{BROKERS}?watch=1&labelSelector=in%3Dyes")).await;
    for value in ["yes", "yes", "no", "yes"] {
        let patch = json!({"metadata": {"labels": {"in": value}, "annotations": {"n": version(&api).await}}});
        api.patch(&format!("{BROKERS}/a"), "merge-patch+json", patch).await.expect(200);
    }
    assert_eq!(watch.briefs(4).await, ["ADDED a", "MODIFIED a", "DELETED a", "ADDED a"]);
}

#[tokio::test]
async fn initial_events_end_with_a_bookmark() {
    let api = Api::new().await;
    api.post(BROKERS, broker("a")).await.expect(201);
    let query = "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
    let mut watch = api.watch(&format!("{BROKERS}?{query}")).await;
    assert_eq!(watch.brief().await, "ADDED a");
    let mark = watch.next().await.unwrap();
    assert_eq!(mark["type"], "BOOKMARK");
    assert_eq!(mark.pointer("/object/metadata/annotations/k8s.io~1initial-events-end"), Some(&json!("true")));
    assert_eq!(mark.pointer("/object/metadata/resourceVersion"), Some(&json!(version(&api).await)));
    let refused = api.get(&format!("{BROKERS}?watch=1&sendInitialEvents=true")).await;
    assert_eq!(refused.refusal().0, 422);
}

#[tokio::test(start_paused = true)]
async fn a_watch_ends_when_its_time_is_up_and_says_how_far_it_was() {
    let api = Api::new().await;
    let query = "watch=1&timeoutSeconds=150&allowWatchBookmarks=true";
    let mut watch = api.watch(&format!("{BROKERS}?{query}")).await;
    let begun = tokio::time::Instant::now();
    let mut marks = 0;
    while let Some(line) = watch.next().await {
        assert_eq!((line["type"].as_str(), line.pointer("/object/kind")), (Some("BOOKMARK"), Some(&json!("Broker"))));
        marks += 1;
    }
    assert_eq!((marks, begun.elapsed()), (3, Duration::from_secs(150)));
    let mut silent = api.watch(&format!("{BROKERS}?watch=1&timeoutSeconds=150")).await;
    assert_eq!(silent.next().await, None);
}

#[tokio::test]
async fn who_is_too_slow_lists_anew() {
    let api = Api::new().await;
    let mut watch = api.watch(&format!("{BROKERS}?watch=1")).await;
    let resources = api.client.resources();
    for i in 0..=MAX_CHANGES {
        api.client
            .apply_yaml(&format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: c}}\ndata: {{i: '{i}'}}\n"))
            .await;
    }
    assert!(resources.has_changed().unwrap());
    let end = watch.next().await.unwrap();
    assert_eq!((end["type"].as_str(), end.pointer("/object/reason")), (Some("ERROR"), Some(&json!("Expired"))));
    assert_eq!(watch.next().await, None);
}

#[tokio::test]
async fn a_table_is_watched_row_by_row() {
    let api = Api::new().await;
    api.post(BROKERS, broker("a")).await.expect(201);
    api.post(BROKERS, broker("b")).await.expect(201);
    let accept = "application/json;as=Table;v=v1;g=meta.k8s.io";
    let mut watch = api.watch_as(&format!("{BROKERS}?watch=1"), accept).await;
    let rows = [watch.next().await.unwrap(), watch.next().await.unwrap()];
    let columns = |row: &Value| row.pointer("/object/columnDefinitions").unwrap().as_array().unwrap().len();
    assert!(columns(&rows[0]) > 3 && columns(&rows[1]) == 0, "they are told once");
    assert_eq!(rows[1].pointer("/object/rows/0/cells/0"), Some(&json!("b")));
}
