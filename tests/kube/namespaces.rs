//! The life of a namespace.

use crate::scene::{config_map, shop, with_every_kubectl};

#[test]
fn a_namespace_goes_with_its_content() {
    with_every_kubectl("namespaces", |scene| {
        scene.file("shop.yaml", &shop());
        scene.file("held.yaml", &config_map("held", ", finalizers: [example.com/hold]", ""));
        scene.rows(&[
            ("create ns apart", 0, &["namespace/apart created\n"], &[]),
            ("get ns apart", 0, &["apart", "Active"], &[]),
            ("get ns -l kubernetes.io/metadata.name=apart -o name", 0, &["namespace/apart\n"], &[]),
            ("apply -n apart -f shop.yaml -f held.yaml", 0, &["orders created\n", "held created\n"], &[]),
            ("get cm -A", 0, &["NAMESPACE", "apart", "held", "settings"], &[]),
            ("get cm", 0, &[], &["No resources found in default namespace.\n"]),
            ("delete ns apart --wait=false", 0, &["namespace \"apart\" deleted"], &[]),
        ]);
        scene.ok("wait --for=delete -n apart trigger/orders broker/shop cm/settings secret/key --timeout=60s");
        scene.rows(&[
            ("get ns apart", 0, &["Terminating"], &[]),
            (
                "create cm late -n apart --from-literal=a=b",
                1,
                &[],
                &["configmaps \"late\" is forbidden: unable to create new content in namespace apart because"],
            ),
            ("patch cm held -n apart --type=merge -p '{\"metadata\":{\"finalizers\":null}}'", 0, &["patched\n"], &[]),
        ]);
        scene.ok("wait --for=delete ns/apart --timeout=60s");
        scene.rows(&[
            ("get cm held -n apart", 1, &[], &["namespaces \"apart\" not found"]),
            ("create ns apart", 0, &["namespace/apart created\n"], &[]),
            ("get cm,trigger,broker,secret -n apart", 0, &[], &["No resources found in apart namespace.\n"]),
            ("delete ns apart", 0, &["namespace \"apart\" deleted"], &[]),
            ("get ns apart", 1, &[], &["namespaces \"apart\" not found"]),
        ]);
    });
}

/// A cluster refuses it, and so nobody loses everything by two words.
#[test]
fn the_default_namespace_cannot_be_deleted() {
    with_every_kubectl("delete ns default", |scene| {
        scene.rows(&[
            ("delete ns default", 1, &[], &["namespaces \"default\" is forbidden: this namespace may not be deleted"]),
            ("get broker default -o name", 0, &["broker.eventing.knative.dev/default\n"], &[]),
        ]);
    });
}
