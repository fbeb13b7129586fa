//! `pelton delete`.

use crate::command::Running;
use crate::scene::Scene;

#[test]
fn what_is_named_selected_or_written_is_deleted() {
    let scene = Scene::with_shop();
    scene.rows(&[
        ("delete trigger missing", 1, &[], &["triggers.eventing.knative.dev \"missing\" not found"]),
        ("delete trigger missing --ignore-not-found", 0, &[], &[]),
        ("delete triggers", 2, &[], &["--all"]),
        ("delete trigger orders --all", 2, &[], &["by itself"]),
        ("delete trigger missing orders", 1, &["trigger.eventing.knative.dev/orders deleted\n"], &["missing"]),
        ("delete triggers -l app=shop", 0, &[], &["No resources found"]),
        ("delete trigger/default/bills -o name", 0, &["trigger.eventing.knative.dev/bills\n"], &[]),
        ("delete -f shop.yaml", 1, &["shop deleted"], &["orders", "bills"]),
        ("apply -f shop.yaml", 0, &["created"], &[]),
        ("delete triggers --all", 0, &["bills deleted", "orders deleted"], &[]),
        ("delete -f shop.yaml --ignore-not-found", 0, &["shop deleted"], &[]),
        ("get all -o name", 0, &["broker.eventing.knative.dev/default\n"], &[]),
    ]);
}

/// What a manifest means is deleted where it says, or not at all.
#[test]
fn a_manifest_of_another_namespace_is_refused() {
    let scene = Scene::start();
    let map =
        |name: &str, more: &str| format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}{more}}}\n---\n");
    let odd = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\n";
    scene.file("prod.yaml", &map("it", ", namespace: prod"));
    scene.file("test.yaml", &map("other", ""));
    scene.file("all.yaml", &format!("{}{}{odd}", map("it", ", namespace: prod"), map("other", "")));
    std::fs::create_dir(scene.folder.path().join("empty")).unwrap();
    scene.ok("apply -f prod.yaml");
    scene.ok("apply -f test.yaml -n test");
    scene.rows(&[
        ("delete -f prod.yaml -n test", 1, &[], &["prod.yaml:1", "namespace \"prod\"", "--namespace is \"test\""]),
        ("delete -f prod.yaml -A", 2, &[], &["--all-namespaces"]),
        ("delete -f empty", 2, &[], &["there is no resource"]),
        ("apply -f empty", 2, &[], &["there is no resource"]),
        ("get cm -n prod -o name", 0, &["configmap/it\n"], &[]),
        ("delete -f all.yaml -n test", 1, &["configmap/other deleted\n"], &["all.yaml:1", "Deployment"]),
        ("delete -f prod.yaml", 0, &["configmap/it deleted\n"], &[]),
    ]);
}

#[test]
fn one_with_a_finalizer_is_waited_for() {
    let scene = Scene::start();
    let held = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: held, finalizers: [example.com/hold]}\n";
    scene.file("held.yaml", held);
    scene.ok("apply -f held.yaml");
    scene.rows(&[
        ("delete cm held --timeout 10ms", 1, &["configmap/held deleted"], &["timed out", "metadata.finalizers"]),
        ("delete cm held --wait=false", 0, &["configmap/held deleted"], &[]),
    ]);
    let waits = Running::start(&mut scene.command("delete cm held"));
    waits.line_with("deleted");
    scene.file("held.yaml", &held.replace(", finalizers: [example.com/hold]", ""));
    scene.ok("apply -f held.yaml");
    assert_eq!(waits.wait().code(), Some(0));
    scene.rows(&[("get cm held", 1, &[], &["not found"])]);
}

#[test]
fn what_belongs_to_one_goes_or_stays() {
    let scene = Scene::start();
    scene.file("owner.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: owner}\n");
    for (cascade, left) in [("orphan", true), ("background", false)] {
        scene.ok("apply -f owner.yaml");
        let uid = scene.ok("get cm owner -o jsonpath={.metadata.uid}");
        let owner = format!("{{apiVersion: v1, kind: ConfigMap, name: owner, uid: {}}}", uid.trim());
        scene.file(
            "owned.yaml",
            &format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: owned, ownerReferences: [{owner}]}}\n"),
        );
        scene.ok("apply -f owned.yaml");
        scene.ok(&format!("delete cm owner --cascade={cascade}"));
        if left {
            scene.ok("get cm owned");
            scene.ok("delete cm owned");
        } else {
            scene.ok("wait --for=delete cm/owned");
        }
    }
}
