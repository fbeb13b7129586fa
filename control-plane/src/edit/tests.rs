//! kubectl's way from client-side to server-side apply (kube-api.md, section 10.5), on the objects themselves.

use pelton_resource::{Kind, Resource, Time};
use serde_json::{Value, json};

use super::*;
use crate::options::Validation;
use crate::status::row_of;

fn options(manager: &str, force: bool) -> WriteOptions {
    let (manager, validation) = (manager.to_owned(), Validation::Strict);
    WriteOptions { manager, names_manager: true, validation, is_dry_run: false, force, processes: true }
}

fn target() -> Target {
    Target { row: row_of(Kind::Broker), namespace: "default".to_owned(), name: "b".to_owned(), part: Part::Main }
}

fn with<T>(manager: &str, force: bool, now: u64, run: impl FnOnce(&Edit<'_>) -> T) -> T {
    let (target, options) = (target(), options(manager, force));
    let uid = "11111111-1111-4111-8111-111111111111";
    run(&Edit { target: &target, options: &options, now: Time::from_unix_millis(now), uid })
}

fn broker(retry: u32, annotations: Value) -> Value {
    json!({
        "apiVersion": "eventing.knative.dev/v1", "kind": "Broker",
        "metadata": {"name": "b", "annotations": annotations}, "spec": {"delivery": {"retry": retry}},
    })
}

fn stored(edited: Edited, version: &str) -> Resource {
    let mut resource = edited.resource;
    resource.meta_mut().resource_version = Some(version.to_owned());
    resource
}

fn managers(resource: &Resource) -> Vec<String> {
    let managed = managed_of(resource).unwrap();
    managed.entries().iter().map(|entry| entry.manager.clone()).collect()
}

#[test]
fn client_side_apply_becomes_server_side_apply_without_a_conflict() {
    let last = broker(1, json!({})).to_string();
    let first = broker(1, json!({LAST_APPLIED: last}));
    let Value::Object(first) = first else { panic!("an object") };
    let made = with("kubectl-client-side-apply", false, 0, |edit| edit.create(first)).unwrap();
    let made = stored(made, "10000");
    assert_eq!(managers(&made), ["kubectl-client-side-apply"]);
    let applied = with("kubectl", false, 1_000, |edit| edit.apply(Some(&made), &broker(2, json!({})))).unwrap();
    assert_eq!(applied.next, Next::Store);
    let applied = stored(applied, "20000");
    let annotation = applied.meta().annotation(LAST_APPLIED).unwrap();
    let renewed: Value = serde_json::from_str(annotation).unwrap();
    assert_eq!(renewed.pointer("/spec/delivery/retry"), Some(&json!(2)), "the annotation goes along");
    // Somebody else has no such right.
    let refused = with("ci", false, 2_000, |edit| edit.apply(Some(&applied), &broker(3, json!({})))).unwrap_err();
    assert_eq!(refused.reason, "Conflict");
}

#[test]
fn an_apply_that_changes_nothing_is_no_write() {
    let made = stored(with("ci", false, 0, |edit| edit.apply(None, &broker(1, json!({})))).unwrap(), "10000");
    let again = with("ci", false, 9_000, |edit| edit.apply(Some(&made), &broker(1, json!({})))).unwrap();
    assert_eq!((again.next, &again.resource), (Next::Nothing, &made));
}

#[test]
fn what_its_only_owner_drops_is_gone() {
    let made = stored(with("ci", false, 0, |edit| edit.apply(None, &broker(1, json!({"a": "b"})))).unwrap(), "10000");
    let next = with("ci", false, 0, |edit| edit.apply(Some(&made), &broker(1, json!({})))).unwrap();
    assert_eq!(next.resource.meta().annotation("a"), None);
    // Defaults stay: they are nobody's.
    assert_eq!(next.resource.meta().annotations.len() + 1, made.meta().annotations.len());
}

#[test]
fn ownership_may_be_written_itself() {
    let made = stored(with("ci", false, 0, |edit| edit.apply(None, &broker(1, json!({})))).unwrap(), "10000");
    let patch = json!([{"op": "replace", "path": "/metadata/managedFields", "value": [{}]}]);
    let reset = with("ops", false, 0, |edit| edit.patch(&made, PatchType::Json, &patch)).unwrap();
    assert_eq!((managers(&reset.resource), reset.next), (vec![], Next::Store));
    let bad = json!({"metadata": {"managedFields": [{"manager": 1}]}});
    let refused = with("ops", false, 0, |edit| edit.patch(&made, PatchType::Merge, &bad)).unwrap_err();
    assert_eq!(refused.reason, "BadRequest");
}
