//! `kubectl apply --server-side`: owners, conflicts, and the way there from an apply that the client works out.

use serde_json::Value;

use crate::scene::{Scene, config_map, shop, trigger, with_every_kubectl};

const CONFLICT: &str = "Apply failed with 1 conflict: conflict with";

/// Who owns what of an object: manager, operation and the fields, in the order of `managedFields`.
#[track_caller]
fn owners(scene: &Scene, object: &str) -> Vec<(String, String, Value)> {
    let object: Value =
        serde_json::from_str(&scene.ok(&format!("get {object} -o json --show-managed-fields"))).unwrap();
    let entry = |entry: &Value| {
        let text = |member: &str| entry[member].as_str().unwrap().to_owned();
        (text("manager"), text("operation"), entry["fieldsV1"].clone())
    };
    object["metadata"]["managedFields"].as_array().unwrap().iter().map(entry).collect()
}

#[test]
fn a_field_has_an_owner() {
    with_every_kubectl("apply --server-side", |scene| {
        for (name, retry) in [("three.yaml", 3), ("four.yaml", 4)] {
            let more = format!("  delivery: {{retry: {retry}}}\n");
            scene.file(name, &trigger("orders", "a", &more));
        }
        scene.file("none.yaml", &trigger("orders", "a", ""));
        let applied: &[&str] = &["trigger.eventing.knative.dev/orders serverside-applied\n"];
        scene.rows(&[
            ("apply --server-side -f three.yaml", 0, applied, &[]),
            ("apply --server-side -f three.yaml", 0, applied, &[]),
            ("apply --server-side -f three.yaml --field-manager=ci", 0, applied, &[]),
            (
                "apply --server-side -f four.yaml --field-manager=ci",
                1,
                &[],
                &[CONFLICT, "\"kubectl\": .spec.delivery.retry", "--force-conflicts"],
            ),
            ("diff --server-side -f four.yaml --field-manager=ci --force-conflicts", 1, &["+    retry: 4"], &[]),
            (
                "apply --server-side -f four.yaml --field-manager=ci --force-conflicts --dry-run=server",
                0,
                &["dry run"],
                &[],
            ),
            ("get trigger orders -o jsonpath={.spec.delivery.retry}", 0, &["3"], &[]),
            ("apply --server-side -f four.yaml --field-manager=ci --force-conflicts", 0, applied, &[]),
            ("get trigger orders -o jsonpath={.spec.delivery.retry}", 0, &["4"], &[]),
            ("apply --server-side -f three.yaml", 1, &[], &[CONFLICT, "\"ci\": .spec.delivery.retry"]),
            // A field that its only owner leaves out goes.
            ("apply --server-side -f none.yaml --field-manager=ci", 0, applied, &[]),
            ("get trigger orders -o jsonpath={.spec.delivery}", 0, &[], &[]),
            ("patch trigger orders --type=merge -p '{\"spec\":{\"delivery\":{\"retry\":9}}}'", 0, &["patched"], &[]),
            (
                "apply --server-side -f three.yaml",
                1,
                &[],
                &[CONFLICT, "\"kubectl-patch\" using eventing.knative.dev/v1: .spec.delivery.retry"],
            ),
        ]);
        let managers: Vec<_> =
            owners(scene, "trigger orders").into_iter().map(|(name, operation, _)| (name, operation)).collect();
        for (manager, operation) in [("ci", "Apply"), ("kubectl", "Apply"), ("kubectl-patch", "Update")] {
            assert!(managers.contains(&(manager.to_owned(), operation.to_owned())), "{manager}: {managers:?}");
        }
    });
}

/// kube-api.md, section 10.5.
#[test]
fn what_the_client_applied_before_is_taken_over() {
    with_every_kubectl("from apply to apply --server-side", |scene| {
        scene.file("shop.yaml", &shop());
        scene.ok("apply -f shop.yaml");
        scene.file("shop.yaml", &shop().replace("com.example.order", "com.example.bill").replace("b: '2'", "c: '3'"));
        let applied: &[&str] =
            &["shop serverside-applied\n", "orders serverside-applied\n", "settings serverside-applied\n"];
        scene.rows(&[
            ("apply --server-side -f shop.yaml", 0, applied, &[]),
            ("apply --server-side -f shop.yaml", 0, applied, &[]),
            ("get trigger orders -o jsonpath={.spec.filter.attributes.type}", 0, &["com.example.bill"], &[]),
            ("get cm settings -o jsonpath={.data}", 0, &["{\"a\":\"1\",\"c\":\"3\"}"], &[]),
            ("diff --server-side -f shop.yaml", 0, &[], &[]),
        ]);
        for (manager, operation, fields) in owners(scene, "cm settings") {
            let has_data = fields.pointer("/f:data").is_some();
            assert_eq!(has_data, manager == "kubectl", "{manager} {operation}: {fields}");
        }
        // And back.
        scene.rows(&[
            ("apply -f shop.yaml", 0, &["settings configured\n"], &[]),
            ("apply -f shop.yaml", 0, &["settings unchanged\n"], &[]),
        ]);
    });
}

/// Equal values have as many owners as apply them; the last of them takes a field away.
#[test]
fn a_shared_field_stays_for_its_other_owner() {
    with_every_kubectl("apply --server-side by two", |scene| {
        scene.file("both.yaml", &config_map("c", "", "data: {a: '1', b: '1'}\n"));
        scene.file("one.yaml", &config_map("c", "", "data: {a: '1'}\n"));
        scene.rows(&[
            ("apply --server-side -f both.yaml --field-manager=left", 0, &["applied"], &[]),
            ("apply --server-side -f both.yaml --field-manager=right", 0, &["applied"], &[]),
            ("apply --server-side -f one.yaml --field-manager=left", 0, &["applied"], &[]),
            ("get cm c -o jsonpath={.data}", 0, &["{\"a\":\"1\",\"b\":\"1\"}"], &[]),
            ("apply --server-side -f one.yaml --field-manager=right", 0, &["applied"], &[]),
            ("get cm c -o jsonpath={.data}", 0, &["{\"a\":\"1\"}"], &[]),
        ]);
    });
}
