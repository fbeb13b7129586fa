//! `kubectl describe`.

use crate::scene::{shop, with_every_kubectl};

#[test]
fn objects_are_described() {
    with_every_kubectl("describe", |scene| {
        scene.file("shop.yaml", &shop());
        scene.ok("apply -f shop.yaml");
        scene.ok("wait --for=condition=Ready trigger/orders --timeout=60s");
        scene.rows(&[
            (
                "describe broker shop",
                0,
                &["Name:         shop\n", "API Version:  eventing.knative.dev/v1\n", "Events: "],
                &[],
            ),
            ("describe trigger orders", 0, &["Labels:       app=shop\n", "BrokerReady\n", "Subscriber Uri:"], &[]),
            // In no order.
            ("describe cm settings", 0, &["Data\n====\n", "a:\n----\n1\n", "b:\n----\n2\n"], &[]),
            ("describe secret key", 0, &["Type:  Opaque\n", "password:  6 bytes\n"], &[]),
            ("describe ns default", 0, &["Status:       Active\n"], &[]),
            ("describe brokers", 0, &["Name:         default\n", "Name:         shop\n"], &[]),
            ("describe cm nothing", 1, &[], &["configmaps \"nothing\" not found"]),
        ]);
    });
}
