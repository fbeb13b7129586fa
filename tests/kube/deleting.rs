//! `kubectl delete`: by name, file and label; finalizers and owners.

use crate::scene::{Scene, config_map, shop, with_every_kubectl};

#[test]
fn objects_are_deleted_by_name_file_and_label() {
    with_every_kubectl("delete", |scene| {
        for name in ["c1", "c2", "c3", "c4", "c5"] {
            scene.file(&format!("{name}.yaml"), &config_map(name, ", labels: {set: one}", ""));
        }
        scene.file("shop.yaml", &shop());
        scene.ok("apply -f .");
        scene.rows(&[
            ("delete cm c1 --dry-run=server", 0, &["\"c1\" deleted", "(server dry run)"], &[]),
            ("delete cm c1 --dry-run=client", 0, &["\"c1\" deleted", "(dry run)"], &[]),
            ("get cm c1 -o name", 0, &["configmap/c1\n"], &[]),
            ("delete cm c1", 0, &["configmap \"c1\" deleted"], &[]),
            ("delete cm c1", 1, &[], &["configmaps \"c1\" not found"]),
            ("delete cm c1 --ignore-not-found", 0, &[], &[]),
            ("delete cm/c2 --wait=false", 0, &["configmap \"c2\" deleted"], &[]),
            ("delete -f c3.yaml", 0, &["configmap \"c3\" deleted"], &[]),
            ("delete -f c3.yaml", 1, &[], &["(NotFound)", "c3.yaml"]),
            ("delete cm -l set=one --now", 0, &["\"c4\" deleted", "\"c5\" deleted"], &[]),
            ("delete cm -l set=one", 0, &["No resources found"], &[]),
            (
                "delete all -l app=shop",
                0,
                &["broker.eventing.knative.dev \"shop\"", "trigger.eventing.knative.dev \"orders\""],
                &[],
            ),
            (
                "delete cm settings --force --grace-period=0",
                0,
                &["\"settings\" force deleted"],
                &["Immediate deletion"],
            ),
            ("delete -f shop.yaml --ignore-not-found", 0, &["secret \"key\" deleted"], &[]),
            ("get cm,secret,trigger", 0, &[], &["No resources found in default namespace.\n"]),
            ("delete crd brokers.eventing.knative.dev", 1, &[], &["(MethodNotAllowed)"]),
        ]);
    });
}

#[test]
fn a_finalizer_holds_an_object() {
    with_every_kubectl("delete with finalizers", |scene| {
        scene.file("held.yaml", &config_map("held", ", finalizers: [example.com/hold]", ""));
        scene.ok("apply -f held.yaml");
        scene.rows(&[
            ("delete cm held --wait=false", 0, &["\"held\" deleted"], &[]),
            ("get cm held -o jsonpath={.metadata.deletionTimestamp}", 0, &["20"], &[]),
            ("delete cm held --wait=false", 0, &["\"held\" deleted"], &[]),
            ("delete cm held --timeout=1s", 1, &["\"held\" deleted"], &["timed out waiting for the condition"]),
            (
                "patch cm held --type=json -p '[{\"op\":\"remove\",\"path\":\"/metadata/finalizers\"}]'",
                0,
                &["patched\n"],
                &[],
            ),
            ("get cm held", 1, &[], &["(NotFound)"]),
            ("apply -f held.yaml", 0, &["created\n"], &[]),
        ]);
    });
}

/// Kubernetes, "Finalizers": none can be added once an object is marked.
#[test]
fn a_marked_object_gets_no_new_finalizers() {
    with_every_kubectl("finalizers of a marked object", |scene| {
        scene.file("held.yaml", &config_map("held", ", finalizers: [example.com/hold]", ""));
        scene.ok("apply -f held.yaml");
        scene.ok("delete cm held --wait=false");
        let more = r#"patch cm held --type=json
            -p '[{"op":"add","path":"/metadata/finalizers/-","value":"example.com/more"}]'"#;
        scene.rows(&[(more, 1, &[], &["no new finalizers can be added if the object is being deleted"])]);
    });
}

/// An owner and two that it owns.
fn family(scene: &Scene) {
    scene.file("owner.yaml", &config_map("owner", "", ""));
    scene.ok("apply -f owner.yaml");
    let uid = scene.ok("get cm owner -o jsonpath={.metadata.uid}");
    for name in ["first", "second"] {
        let owners = format!(", ownerReferences: [{{apiVersion: v1, kind: ConfigMap, name: owner, uid: {uid}}}]");
        scene.file("owned.yaml", &config_map(name, &owners, ""));
        scene.ok("apply -f owned.yaml");
    }
}

#[test]
fn what_is_owned_goes_with_its_owner_unless_it_is_left() {
    with_every_kubectl("--cascade", |scene| {
        family(scene);
        scene.rows(&[
            ("delete cm owner --cascade=orphan", 0, &["\"owner\" deleted"], &[]),
            ("get cm first second -o jsonpath={.items[*].metadata.ownerReferences}", 0, &[], &[]),
            ("get cm -o name", 0, &["configmap/first\n", "configmap/second\n"], &[]),
        ]);
        for how in ["background", "foreground"] {
            family(scene);
            scene.ok(&format!("delete cm owner --cascade={how}"));
            scene.ok("wait --for=delete cm/first cm/second --timeout=60s");
            scene.rows(&[("get cm", 0, &[], &["No resources found in default namespace.\n"])]);
        }
    });
}
