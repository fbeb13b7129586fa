use proptest::prelude::*;
use serde_json::json;

use super::super::json::tests::any_json;
use super::super::merge;
use super::*;

fn applied(target: &Value, patch: &Value) -> Result<Value, PatchError> {
    let mut target = target.clone();
    strategic(&mut target, patch).map(|()| target)
}

fn check(rows: &[(Value, Value, Value)]) {
    for (target, patch, want) in rows {
        assert_eq!(applied(target, patch).as_ref(), Ok(want), "{target} with {patch}");
    }
}

#[test]
fn objects_are_merged_and_directives_followed() {
    check(&[
        (
            json!({"data": {"a": "1", "b": "2"}}),
            json!({"data": {"a": null, "c": "3"}}),
            json!({"data": {"b": "2", "c": "3"}}),
        ),
        (json!({}), json!({"data": {"a": "1", "b": null}}), json!({"data": {"a": "1"}})),
        (json!({"data": {"a": "1"}}), json!({"data": {"$patch": "replace", "b": "2"}}), json!({"data": {"b": "2"}})),
        (json!({}), json!({"data": {"$patch": "replace", "b": "2"}}), json!({"data": {"b": "2"}})),
        (
            json!({"data": {"a": "1"}}),
            json!({"data": {"$patch": "merge", "b": "2"}}),
            json!({"data": {"a": "1", "b": "2"}}),
        ),
        (json!({"data": {"a": "1"}, "type": "t"}), json!({"data": {"$patch": "delete"}}), json!({"type": "t"})),
        (json!({"type": "t"}), json!({"data": {"$patch": "delete"}}), json!({"type": "t"})),
        (json!({"type": "t"}), json!({"$patch": "replace", "data": {}}), json!({"data": {}})),
        (json!({"type": "t"}), json!({"$patch": "delete"}), json!({})),
        (json!({"data": "text"}), json!({"data": {"a": "1"}}), json!({"data": {"a": "1"}})),
        (json!({"data": {"a": "1"}}), json!({"data": "text"}), json!({"data": "text"})),
        (
            json!({"spec": {"type": "ExternalName", "externalName": "x", "old": 1}}),
            json!({"spec": {"$retainKeys": ["type", "externalName"], "externalName": "y", "old": null}}),
            json!({"spec": {"type": "ExternalName", "externalName": "y"}}),
        ),
    ]);
}

#[test]
fn other_lists_are_replaced() {
    check(&[
        (json!({"a": [1, 2]}), json!({"a": [3]}), json!({"a": [3]})),
        (json!({"a": [1, 2]}), json!({"a": []}), json!({"a": []})),
        // The same names in another place are other fields.
        (
            json!({"spec": {"secrets": [{"name": "a"}]}}),
            json!({"spec": {"secrets": []}}),
            json!({"spec": {"secrets": []}}),
        ),
        (
            json!({"spec": {"finalizers": ["a"]}}),
            json!({"spec": {"finalizers": ["b"]}}),
            json!({"spec": {"finalizers": ["b"]}}),
        ),
    ]);
}

#[test]
fn lists_with_a_key_are_merged_by_it() {
    let secrets = json!({"secrets": [{"name": "a", "x": 1}, {"name": "b"}, {"name": "c"}]});
    let named = |names: &[&str]| json!({"secrets": names.iter().map(|name| json!({"name": name})).collect::<Vec<_>>()});
    check(&[
        (named(&["a"]), named(&["b", "a"]), named(&["a", "b"])),
        (json!({}), named(&["b", "b"]), named(&["b"])),
        (
            secrets.clone(),
            json!({"secrets": [{"name": "d"}, {"$patch": "delete", "name": "b"}, {"name": "a", "y": 2, "x": null}],
                   "$setElementOrder/secrets": [{"name": "d"}, {"name": "a"}]}),
            json!({"secrets": [{"name": "a", "y": 2}, {"name": "c"}, {"name": "d"}]}),
        ),
        (secrets.clone(), json!({"secrets": [{"$patch": "replace"}, {"name": "z"}]}), named(&["z"])),
        (secrets.clone(), json!({"secrets": [{"name": "z"}, {"$patch": "replace"}]}), named(&["z"])),
        (
            secrets.clone(),
            json!({"secrets": [{"name": "a", "$patch": "replace"}, {"name": "z", "$patch": "merge"}]}),
            json!({"secrets": [{"name": "z"}]}),
        ),
        (secrets, json!({"secrets": null}), json!({})),
        (json!({}), json!({"secrets": [{"name": "a", "$patch": "delete"}]}), json!({"secrets": []})),
        (
            json!({"imagePullSecrets": [{"name": "a"}]}),
            json!({"imagePullSecrets": [{"name": "b"}]}),
            json!({"imagePullSecrets": [{"name": "a"}, {"name": "b"}]}),
        ),
        (
            json!({"metadata": {"ownerReferences": [{"uid": "1", "name": "a"}]}}),
            json!({"metadata": {"ownerReferences": [{"uid": "1", "$patch": "delete"}, {"uid": "2", "name": "a"}]}}),
            json!({"metadata": {"ownerReferences": [{"uid": "2", "name": "a"}]}}),
        ),
        // Two items with one key, as of UDP and TCP: the first changes, and a deletion takes both.
        (
            json!({"spec": {"ports": [{"port": 53, "p": "UDP"}, {"port": 53, "p": "TCP"}]}}),
            json!({"spec": {"ports": [{"port": 53, "name": "dns"}]}}),
            json!({"spec": {"ports": [{"port": 53, "p": "UDP", "name": "dns"}, {"port": 53, "p": "TCP"}]}}),
        ),
        (
            json!({"spec": {"ports": [{"port": 53, "p": "UDP"}, {"port": 53, "p": "TCP"}]}}),
            json!({"spec": {"ports": [{"port": 53, "$patch": "delete"}]}}),
            json!({"spec": {"ports": []}}),
        ),
        // A number and a string are two keys, and what has no key stays.
        (
            json!({"spec": {"ports": [{"port": 80}, {"port": "80"}, 1, {}]}}),
            json!({"spec": {"ports": [{"port": 80, "name": "http"}]}}),
            json!({"spec": {"ports": [{"port": 80, "name": "http"}, {"port": "80"}, 1, {}]}}),
        ),
    ]);
}

#[test]
fn finalizers_are_a_set() {
    let with = |names: &[&str]| json!({"metadata": {"finalizers": names}});
    check(&[
        (with(&["a", "b"]), with(&["c", "a"]), with(&["a", "b", "c"])),
        (json!({}), with(&["c", "c"]), with(&["c"])),
        (with(&["a", "b"]), json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["a", "z"]}}), with(&["b"])),
        (
            with(&["a", "b"]),
            json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["a"], "finalizers": ["c"],
                                "$setElementOrder/finalizers": ["c", "b"]}}),
            with(&["b", "c"]),
        ),
        (json!({}), json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["a"]}}), json!({"metadata": {}})),
    ]);
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    let rows = [
        (json!([1]), "a strategic merge patch is an object, not a list"),
        (json!(null), "a strategic merge patch is an object, not null"),
        (json!({"$patch": "drop"}), "$patch: expected merge, replace or delete"),
        (json!({"a": {"b": {"$patch": 1}}}), "a.b.$patch: expected merge, replace or delete"),
        (json!({"a": {"$retainKeys": "b"}}), "a.$retainKeys: expected a list of strings"),
        (json!({"a": {"$retainKeys": [1]}}), "a.$retainKeys: expected a list of strings"),
        (
            json!({"a": {"$retainKeys": ["b"], "c": 1}}),
            "a.$retainKeys: expected every key that the patch sets beside it",
        ),
        (json!({"a": {"$deleteFromPrimitiveList/b": "c"}}), "a.$deleteFromPrimitiveList/b: expected a list"),
        (json!({"secrets": ["a"]}), "secrets: expected a list of objects"),
        (json!({"secrets": [{"x": 1}]}), "secrets: an item has no name, which tells the items apart"),
        (json!({"secrets": [{"name": null}]}), "secrets: an item has no name, which tells the items apart"),
        (json!({"secrets": [{"$patch": "delete"}]}), "secrets: an item has no name, which tells the items apart"),
        (json!({"spec": {"ports": [{"name": "a"}]}}), "spec.ports: an item has no port, which tells the items apart"),
        (
            json!({"metadata": {"ownerReferences": [{}]}}),
            "metadata.ownerReferences: an item has no uid, which tells the items apart",
        ),
        (json!({"metadata": {"finalizers": [{}]}}), "metadata.finalizers: expected a list of strings or numbers"),
    ];
    for (patch, want) in rows {
        let error = applied(&json!({}), &patch).unwrap_err();
        assert_eq!((error.to_string().as_str(), error.is_malformed()), (want, true), "{patch}");
    }
}

/// A list of 20,000 items with as many changes: quadratic work would take minutes.
#[test]
fn long_lists_are_merged_in_good_time() {
    let list = |from: usize| json!({"secrets": (from..from + 20_000).map(|i| json!({"name": i})).collect::<Vec<_>>()});
    let got = applied(&list(0), &list(10_000)).unwrap();
    assert_eq!(got["secrets"].as_array().unwrap().len(), 30_000);
}

proptest! {
    #[test] // `any_json` has neither directives nor the names of lists that are merged.
    fn without_directives_it_is_a_merge_patch(target in any_json(), patch in any_json()) {
        prop_assume!(patch.is_object());
        let mut want = target.clone();
        merge(&mut want, &patch);
        prop_assert_eq!(applied(&target, &patch), Ok(want));
    }

    #[test]
    fn a_merged_list_has_every_name_of_both_once_and_in_order(
        old in prop::collection::btree_set("[a-h]", 0..6),
        new in prop::collection::vec("[a-h]", 0..6),
        gone in prop::collection::btree_set("[a-h]", 0..3),
    ) {
        let item = |name: &String| json!({"name": name});
        let target = json!({"secrets": old.iter().map(item).collect::<Vec<_>>()});
        let deletions = gone.iter().map(|name| json!({"name": name, "$patch": "delete"}));
        let patch = json!({"secrets": deletions.chain(new.iter().map(item)).collect::<Vec<_>>()});
        let mut want: Vec<_> = old.iter().filter(|name| !gone.contains(*name)).cloned().collect();
        for name in &new {
            if !want.contains(name) {
                want.push(name.clone());
            }
        }
        prop_assert_eq!(applied(&target, &patch), Ok(json!({"secrets": want.iter().map(item).collect::<Vec<_>>()})));
    }
}
