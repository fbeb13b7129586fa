//! Tables of whole writes. What must hold of any sequence of them is in `model.rs`.

use serde_json::{Value, json};

use super::managed::Operation;
use super::*;

const V1: &str = "eventing.knative.dev/v1";
const EARLY: &str = "2026-01-01T00:00:00Z";
const LATE: &str = "2026-01-02T00:00:00Z";

fn writer<'a>(manager: &'a str, now: &'a str) -> Writer<'a> {
    Writer { manager, api_version: V1, subresource: None, now }
}

fn broker(spec: Value) -> Value {
    json!({"apiVersion": V1, "kind": "Broker", "metadata": {"name": "b", "namespace": "n"}, "spec": spec})
}

fn entry(manager: &str, operation: &str, time: &str, fields: Value) -> Value {
    json!({
        "manager": manager, "operation": operation, "apiVersion": V1, "time": time,
        "fieldsType": "FieldsV1", "fieldsV1": fields,
    })
}

fn managed(entries: Value) -> ManagedFields {
    ManagedFields::parse(&entries).unwrap()
}

fn apply_as(manager: &str, live: (&Value, &ManagedFields), applied: &Value) -> Result<(Value, ManagedFields), String> {
    let result = apply(Some(live.0), applied, live.1, &writer(manager, LATE), false, &PathSet::default());
    result.map_err(|conflicts| conflict_message(&conflicts))
}

#[test]
fn an_apply_to_nothing_makes_an_object() {
    let mut applied = broker(json!({"delivery": {"retry": 3, "timeout": null}}));
    applied["metadata"]["uid"] = json!("u");
    applied["metadata"]["finalizers"] = json!(["z", "a"]);
    applied["status"] = json!({"url": "u"});
    let empty = ManagedFields::default();
    let (object, owned) = apply(None, &applied, &empty, &writer("ci", EARLY), false, &PathSet::default()).unwrap();
    let mut want = broker(json!({"delivery": {"retry": 3}}));
    want["metadata"]["finalizers"] = json!(["z", "a"]);
    assert_eq!(object, want);
    let fields = json!({
        "f:metadata": {"f:finalizers": {"v:\"a\"": {}, "v:\"z\"": {}}},
        "f:spec": {"f:delivery": {"f:retry": {}}},
    });
    assert_eq!(owned.to_value(), json!([entry("ci", "Apply", EARLY, fields)]));
}

/// kube-api, 10.4: `conflict with "ci" using eventing.knative.dev/v1: .spec.delivery.retry`.
#[test]
fn other_values_of_others_are_conflicts() {
    let live = broker(json!({"a": 1, "list": [1], "map": {"x": 1, "y": 1}, "empty": {}, "free": 1}));
    let owned = managed(json!([entry(
        "ci",
        "Update",
        EARLY,
        json!({"f:spec": {"f:a": {}, "f:list": {}, "f:map": {"f:x": {}, "f:y": {}}, "f:empty": {}, "f:stale": {}}}),
    )]));
    let rows: &[(Value, &[&str])] = &[
        (json!({"a": 1}), &[]),
        (json!({"a": null}), &[]),
        (json!({"free": 2}), &[]),
        (json!({"stale": 2}), &[]),
        (json!({"map": {}}), &[]),
        (json!({"map": {"z": 1}}), &[]),
        (json!({"empty": {"z": 1}}), &[]),
        (json!({"a": 2}), &[".spec.a"]),
        (json!({"list": [1, 2]}), &[".spec.list"]),
        (json!({"list": {"x": 1}}), &[".spec.list"]),
        (json!({"a": {"b": 1}}), &[".spec.a"]),
        (json!({"a": {}}), &[".spec.a"]),
        (json!({"map": 1}), &[".spec.map.x", ".spec.map.y"]),
        (json!({"map": {"y": 2}, "empty": 1}), &[".spec.empty", ".spec.map.y"]),
    ];
    for (spec, want) in rows {
        let applied = broker(spec.clone());
        let none = PathSet::default();
        let found = apply(Some(&live), &applied, &owned, &writer("me", LATE), false, &none).err().unwrap_or_default();
        let fields: Vec<_> = found.iter().map(|conflict| conflict.field.as_str()).collect();
        assert_eq!(fields, *want, "{spec}");
        assert!(found.iter().all(|conflict| conflict.manager == "ci" && conflict.api_version == V1), "{spec}");

        let (merged, after) = apply(Some(&live), &applied, &owned, &writer("me", LATE), true, &none).unwrap();
        let left = &after.entries().iter().find(|entry| entry.manager == "ci").unwrap().fields;
        let is_left = |field: &str| left.iter().any(|path| path.to_string() == field);
        assert!(!want.iter().any(|field| is_left(field)), "{spec}");
        for (name, value) in
            spec.as_object().unwrap().iter().filter(|(_, value)| !value.is_null() && !value.is_object())
        {
            assert_eq!(merged["spec"][name], *value, "{spec}");
        }
    }
    let message = apply_as("me", (&live, &owned), &broker(json!({"a": 2}))).unwrap_err();
    assert_eq!(message, format!("Apply failed with 1 conflict: conflict with \"ci\" using {V1}: .spec.a"));
}

/// An applier's own Update entry is another owner: so it is in Kubernetes, and why kubectl has to migrate.
#[test]
fn a_manager_conflicts_with_what_it_updated() {
    let live = broker(json!({"a": 1}));
    let owned = update(None, &live, &ManagedFields::default(), &writer("me", EARLY));
    assert!(apply_as("me", (&live, &owned), &broker(json!({"a": 2}))).is_err());
}

#[test]
fn fields_go_with_their_last_owner() {
    let list = |fields: Value| entry("me", "Apply", EARLY, json!({ "f:spec": fields }));
    let other = |fields: Value| entry("other", "Update", EARLY, json!({ "f:spec": fields }));
    let ab = json!({"f:a": {}, "f:m": {"f:b": {}}});
    // What the live spec is, who owns what, what is applied, and what is left.
    let rows = [
        (json!({"a": 1, "m": {"b": 1}}), json!([list(ab.clone())]), json!({"a": 1}), json!({"a": 1})),
        (json!({"a": 1, "m": {"b": 1}}), json!([list(ab.clone())]), json!({"m": {"b": 2}}), json!({"m": {"b": 2}})),
        (
            json!({"a": 1, "m": {"b": 1, "c": 1}}),
            json!([list(ab.clone())]),
            json!({"a": 1}),
            json!({"a": 1, "m": {"c": 1}}),
        ),
        (
            json!({"a": 1, "m": {"b": 1}}),
            json!([list(ab.clone()), other(json!({"f:m": {"f:b": {}}}))]),
            json!({"a": 1}),
            json!({"a": 1, "m": {"b": 1}}),
        ),
        (
            json!({"a": 1, "m": {"b": 1}}),
            json!([list(ab.clone()), other(json!({"f:m": {}}))]),
            json!({"a": 1}),
            json!({"a": 1, "m": {}}),
        ),
        (json!({"a": 1, "m": {"b": 1}}), json!([list(ab.clone())]), json!({"a": 1, "m": {}}), json!({"a": 1, "m": {}})),
        (json!({"a": 1, "m": {"b": 1}}), json!([list(ab.clone())]), json!({"m": 1}), json!({"m": 1})),
        (json!({"m": {"c": 1}}), json!([list(json!({"f:m": {}}))]), json!({}), json!({"m": {"c": 1}})),
        (json!({"m": {}, "a": 1}), json!([list(json!({"f:m": {}}))]), json!({}), json!({"a": 1})),
    ];
    for (live, owned, applied, want) in rows {
        let (merged, _) = apply_as("me", (&broker(live.clone()), &managed(owned)), &broker(applied.clone())).unwrap();
        assert_eq!(merged, broker(want), "{applied} to {live}");
    }
}

/// An owner that lists what the server writes, as only a list written by hand can, has no hold on it.
#[test]
fn what_the_server_writes_is_not_dropped() {
    let fields = json!({"f:metadata": {"f:name": {}}, "f:kind": {}, "f:status": {"f:url": {}}, "f:spec": {"f:a": {}}});
    let owned = managed(json!([entry("me", "Apply", EARLY, fields)]));
    let mut live = broker(json!({"a": 1, "b": 1}));
    live["status"] = json!({"url": "u"});
    let (merged, _) = apply_as("me", (&live, &owned), &broker(json!({"b": 1}))).unwrap();
    live["spec"] = json!({"b": 1});
    assert_eq!(merged, live);
}

#[test]
fn an_apply_that_changes_nothing_moves_no_time() {
    let applied = broker(json!({"a": 1}));
    let first =
        apply(None, &applied, &ManagedFields::default(), &writer("me", EARLY), false, &PathSet::default()).unwrap();
    assert_eq!(apply_as("me", (&first.0, &first.1), &applied).unwrap(), first);

    let (_, owned) = apply_as("me", (&first.0, &first.1), &broker(json!({"a": 1, "b": 1}))).unwrap();
    assert_eq!(owned.entries()[0].time.as_deref(), Some(LATE));
    // Nor does what another manager applies as well.
    let (object, owned) = apply_as("you", (&first.0, &first.1), &applied).unwrap();
    let times: Vec<_> = owned.entries().iter().map(|entry| (entry.manager.as_str(), entry.time.as_deref())).collect();
    assert_eq!((object, times), (first.0, vec![("me", Some(EARLY)), ("you", Some(LATE))]));
}

#[test]
fn an_applier_is_the_same_in_every_version() {
    let live = broker(json!({"a": 1}));
    let owned = managed(json!([entry("me", "Apply", EARLY, json!({"f:spec": {"f:a": {}}}))]));
    let other = Writer { api_version: "eventing.knative.dev/v2", ..writer("me", LATE) };
    let (_, after) = apply(Some(&live), &broker(json!({"a": 2})), &owned, &other, false, &PathSet::default()).unwrap();
    let found: Vec<_> = after.entries().iter().map(|entry| entry.api_version.as_str()).collect();
    assert_eq!(found, ["eventing.knative.dev/v2"]);
    // An updater is not: it has an entry for each.
    let after = update(Some(&live), &broker(json!({"a": 1, "b": 1})), &owned, &other);
    let after = update(Some(&live), &broker(json!({"a": 1, "c": 1})), &after, &writer("me", LATE));
    assert_eq!(after.entries().len(), 2);
}

#[test]
fn an_update_moves_what_it_changes() {
    let live = broker(json!({"a": 1, "b": 1, "c": 1, "m": {"x": 1}}));
    let ci = json!({"f:spec": {"f:a": {}, "f:b": {}, "f:c": {}, "f:m": {"f:x": {}}}});
    let owned = managed(json!([entry("ci", "Apply", EARLY, ci.clone())]));
    let spec = |fields: Value| json!({ "f:spec": fields });
    let rows = [
        (json!({"a": 1, "b": 1, "c": 1, "m": {"x": 1}}), vec![entry("ci", "Apply", EARLY, ci.clone())]),
        (
            json!({"a": 2, "c": 1, "m": {"x": 1}, "d": 1}),
            vec![
                entry("ci", "Apply", EARLY, spec(json!({"f:c": {}, "f:m": {"f:x": {}}}))),
                entry("me", "Update", LATE, spec(json!({"f:a": {}, "f:d": {}}))),
            ],
        ),
        (json!({"a": 1}), vec![entry("ci", "Apply", EARLY, spec(json!({"f:a": {}})))]),
        (json!({"m": 1}), vec![entry("me", "Update", LATE, spec(json!({"f:m": {}})))]),
        (
            json!({"a": {"y": 1}, "m": {"x": 1}}),
            vec![
                entry("ci", "Apply", EARLY, spec(json!({"f:m": {"f:x": {}}}))),
                entry("me", "Update", LATE, spec(json!({"f:a": {"f:y": {}}}))),
            ],
        ),
        (json!(null), vec![]),
    ];
    for (new, want) in rows {
        let after = update(Some(&live), &broker(new.clone()), &owned, &writer("me", LATE));
        assert_eq!(after.to_value(), json!(want), "{new}");
    }
}

#[test]
fn the_time_of_an_updater_moves_with_its_set() {
    let live = broker(json!({"a": 1, "b": 1}));
    let owned = update(None, &live, &ManagedFields::default(), &writer("me", EARLY));
    let time = |spec: Value, manager: &str| {
        let after = update(Some(&live), &broker(spec), &owned, &writer(manager, LATE));
        after.entries().iter().find(|entry| entry.manager == "me").unwrap().time.clone().unwrap()
    };
    assert_eq!(time(json!({"a": 1, "b": 1}), "me"), EARLY);
    assert_eq!(time(json!({"a": 2, "b": 1}), "me"), EARLY);
    assert_eq!(time(json!({"a": 1}), "me"), LATE);
    assert_eq!(time(json!({"a": 1, "b": 1, "c": 1}), "me"), LATE);
    assert_eq!(time(json!({"a": 1}), "other"), EARLY);
}

/// kube-api, 5: the main path ignores `status`, and `/status` ignores everything else.
#[test]
fn status_is_owned_through_its_subresource() {
    let mut live = broker(json!({"a": 1}));
    let owned = update(None, &live, &ManagedFields::default(), &writer("me", EARLY));
    let status = Writer { subresource: Some("status"), ..writer("ctl", EARLY) };
    let mut applied = broker(json!({"a": 2}));
    applied["status"] = json!({"url": "u", "conditions": [{"type": "Ready"}]});
    let (with_status, owned) = apply(Some(&live), &applied, &owned, &status, true, &PathSet::default()).unwrap();
    live["status"] = applied["status"].clone();
    assert_eq!(with_status, live);
    let mut by_ctl = entry("ctl", "Apply", EARLY, json!({"f:status": {"f:conditions": {}, "f:url": {}}}));
    by_ctl["subresource"] = json!("status");
    let by_me = entry("me", "Update", EARLY, json!({"f:spec": {"f:a": {}}}));
    assert_eq!(owned.to_value(), json!([by_ctl, by_me]));

    // A write of the main path does not see the status, nor the other way round.
    let spec_only = broker(json!({"a": 1}));
    assert_eq!(update(Some(&live), &spec_only, &owned, &writer("x", LATE)), owned);
    let status_only = json!({"status": live["status"]});
    assert_eq!(update(Some(&live), &status_only, &owned, &Writer { now: LATE, ..status }), owned);

    let mut other = live.clone();
    other["status"]["url"] = json!("v");
    let message = apply(Some(&live), &other, &owned, &Writer { manager: "x", ..status }, false, &PathSet::default());
    let message = conflict_message(&message.unwrap_err());
    assert_eq!(message, "Apply failed with 1 conflict: conflict with \"ctl\" with subresource \"status\": .status.url");
    // The same manager without the subresource is another owner.
    let (_, after) = apply_as("ctl", (&live, &owned), &broker(json!({"b": 1}))).unwrap();
    assert_eq!(after.entries().len(), 3);
}

#[test]
fn a_scale_is_a_write_of_the_main_part() {
    let live = broker(json!({"replicas": 1}));
    let scale = Writer { subresource: Some("scale"), ..writer("kubectl", LATE) };
    let after = update(Some(&live), &broker(json!({"replicas": 2})), &ManagedFields::default(), &scale);
    assert_eq!(after.entries()[0].subresource.as_deref(), Some("scale"));
    assert_eq!(after.entries()[0].fields.fields_v1(), json!({"f:spec": {"f:replicas": {}}}));
}

#[test]
fn finalizers_and_owners_are_shared_by_item() {
    let with = |finalizers: Value, owners: Value| {
        let mut object = broker(json!({"a": 1}));
        object["metadata"]["finalizers"] = finalizers;
        object["metadata"]["ownerReferences"] = owners;
        object
    };
    let mut lone = with(json!(["f"]), json!([{"uid": "u", "name": "x"}]));
    lone.as_object_mut().unwrap().remove("spec");
    let first = apply(None, &lone, &ManagedFields::default(), &writer("a", EARLY), false, &PathSet::default()).unwrap();
    let second = apply_as("b", (&first.0, &first.1), &with(json!(["g"]), json!([{"uid": "w"}]))).unwrap();
    assert_eq!(second.0, with(json!(["f", "g"]), json!([{"uid": "u", "name": "x"}, {"uid": "w"}])));
    let message = apply_as("b", (&second.0, &second.1), &with(json!(["f"]), json!([{"uid": "u", "name": "y"}])));
    let want = "Apply failed with 1 conflict: conflict with \"a\": .metadata.ownerReferences[uid=\"u\"]";
    assert_eq!(message.unwrap_err(), want);
    // Each goes with its owner, and the lists go with their last item.
    let bare = broker(json!({"a": 1}));
    let third = apply_as("b", (&second.0, &second.1), &bare).unwrap();
    assert_eq!(third.0, with(json!(["f"]), json!([{"uid": "u", "name": "x"}])));
    assert_eq!(apply_as("a", (&third.0, &third.1), &json!({"metadata": {}})).unwrap().0, bare);
}

/// What kubectl writes into `/metadata/managedFields`: the set of client-side apply becomes part of its own.
fn moved_by_kubectl(owned: &ManagedFields) -> Value {
    let fields = |manager: &str, operation| {
        let found = owned.entries().iter().find(|entry| entry.manager == manager && entry.operation == operation);
        found.unwrap().fields.clone()
    };
    let mut union = fields("kubectl", Operation::Apply);
    union.extend(fields("kubectl-client-side-apply", Operation::Update).iter().cloned());
    let entries = owned.to_value();
    let kept = entries.as_array().unwrap().iter().filter(|entry| entry["manager"] != "kubectl-client-side-apply");
    kept.cloned()
        .map(|mut entry| {
            if entry["manager"] == "kubectl" {
                entry["fieldsV1"] = union.fields_v1();
            }
            entry
        })
        .collect()
}

/// kube-api, 10.5: apply, apply of the annotation, JSON patch, apply with force.
#[test]
fn kubectl_moves_from_client_side_to_server_side_apply() {
    let manifest = broker(json!({"delivery": {"retry": 3, "backoffPolicy": "linear"}}));
    let mut live = manifest.clone();
    live["metadata"]["annotations"][LAST_APPLIED] = json!(last_applied_text(&manifest));
    let owned = update(None, &live, &ManagedFields::default(), &writer("kubectl-client-side-apply", EARLY));

    // Another manager has a field of its own, and one that kubectl had.
    let mut edited = live.clone();
    edited["spec"]["delivery"]["backoffPolicy"] = json!("exponential");
    edited["spec"]["other"] = json!(1);
    let by_ci = update(Some(&live), &edited, &owned, &writer("ci", EARLY));
    let annotation = |object: &Value| object["metadata"]["annotations"][LAST_APPLIED].as_str().unwrap().to_owned();

    // 1. With a changed value. Without rule (a) that is a conflict with client-side apply; what `ci` changed still is.
    let wanted = broker(json!({"delivery": {"retry": 5}}));
    let message = apply_as("kubectl", (&live, &owned), &wanted).unwrap_err();
    assert!(
        message.ends_with(
            "conflict with \"kubectl-client-side-apply\" using eventing.knative.dev/v1: .spec.delivery.retry"
        )
    );
    let anyway = paths_of_last_applied(&annotation(&edited), &edited);
    let greedy = broker(json!({"delivery": {"retry": 5, "backoffPolicy": "linear"}}));
    let refused = apply(Some(&edited), &greedy, &by_ci, &writer("kubectl", LATE), false, &anyway).unwrap_err();
    assert_eq!(
        conflict_message(&refused),
        format!("Apply failed with 1 conflict: conflict with \"ci\" using {V1}: .spec.delivery.backoffPolicy")
    );
    let anyway = paths_of_last_applied(&annotation(&live), &live);
    let (mut live, owned) = apply(Some(&live), &wanted, &owned, &writer("kubectl", LATE), false, &anyway).unwrap();
    assert_eq!(live["spec"], json!({"delivery": {"retry": 5, "backoffPolicy": "linear"}}));
    live["metadata"]["annotations"][LAST_APPLIED] = json!(last_applied_text(&wanted));

    // 2. The annotation, with the value that it has.
    let mut just_annotation = broker(json!(null));
    just_annotation["metadata"]["annotations"] = live["metadata"]["annotations"].clone();
    let (same, owned) = apply_as("kubectl-last-applied", (&live, &owned), &just_annotation).unwrap();
    assert_eq!(same, live);

    // 3. The patched body replaces the managed fields, and the write changes nothing else.
    let mut body = live.clone();
    body["metadata"]["managedFields"] = moved_by_kubectl(&owned);
    let replaced = ManagedFields::of_body(&body, &owned, None).unwrap();
    let owned = update(Some(&live), &body, &replaced, &writer("kubectl", LATE));
    assert_eq!(owned.to_value(), body["metadata"]["managedFields"]);

    // 4. What the manifest has no more goes. The annotation stays, since its own manager holds it.
    let (after, owned) =
        apply(Some(&live), &wanted, &owned, &writer("kubectl", LATE), true, &PathSet::default()).unwrap();
    assert_eq!(after["spec"], wanted["spec"]);
    assert_eq!(annotation(&after), last_applied_text(&wanted));
    let managers: Vec<_> = owned.entries().iter().map(|entry| entry.manager.as_str()).collect();
    assert_eq!(managers, ["kubectl", "kubectl-last-applied"]);
}

/// apimachinery, `capmanagers.go`: ten updaters, and what the oldest own is not lost.
#[test]
fn the_oldest_of_many_updaters_are_put_together() {
    let (mut live, mut owned) = (broker(json!({})), managed(json!([])));
    let applied = broker(json!({"applied": 1}));
    (live, owned) = apply(Some(&live), &applied, &owned, &writer("ci", EARLY), false, &PathSet::default()).unwrap();
    for number in 0..30 {
        let mut next = live.clone();
        next["spec"][format!("f{number:02}")] = json!(1);
        let (name, now) = (format!("m{number:02}"), format!("2026-02-01T00:00:{number:02}Z"));
        owned = update(Some(&live), &next, &owned, &writer(&name, &now));
        live = next;
        let updaters = owned.entries().iter().filter(|entry| entry.operation == Operation::Update).count();
        assert_eq!(updaters, 10.min(number + 1));
        let paths: usize = owned.entries().iter().map(|entry| entry.fields.iter().count()).sum();
        assert_eq!(paths, number + 2, "nothing that is owned is forgotten");
    }
    let names: Vec<&str> = owned.entries().iter().map(|entry| entry.manager.as_str()).collect();
    assert_eq!(names, ["ci", "ancient-changes", "m21", "m22", "m23", "m24", "m25", "m26", "m27", "m28", "m29"]);
    assert_eq!(owned.entries()[1].time.as_deref(), Some("2026-02-01T00:00:20Z"));
    assert_eq!(update(Some(&live), &live, &owned, &writer("m00", LATE)), owned, "a write that changes nothing");
}
