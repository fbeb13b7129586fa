//! The status of an object: written apart, and by the server.

use crate::scene::{shop, with_every_kubectl};

#[test]
fn status_is_written_apart() {
    with_every_kubectl("--subresource", |scene| {
        scene.file("shop.yaml", &shop());
        scene.ok("apply -f shop.yaml");
        scene.ok("wait --for=condition=Ready trigger/orders --timeout=60s");
        let uri = "get trigger orders -o jsonpath={.status.subscriberUri}";
        scene.rows(&[
            (
                "patch trigger orders --type=merge -p '{\"status\":{\"subscriberUri\":\"http://other/\"}}'",
                0,
                &["(no change)"],
                &[],
            ),
            (uri, 0, &["http://127.0.0.1:9/"], &[]),
            ("get trigger orders --subresource=status", 0, &["orders", "http://127.0.0.1:9/"], &[]),
            (
                "patch trigger orders --subresource=status --type=merge -p '{\"spec\":{\"delivery\":{\"retry\":9}}}'",
                0,
                &["(no change)"],
                &[],
            ),
            ("get trigger orders -o jsonpath={.spec.delivery}", 0, &[], &[]),
            (
                "patch trigger orders --subresource=status --type=merge -p '{\"status\":{\"observedGeneration\":1}}'",
                0,
                &["orders patched"],
                &[],
            ),
            ("get cm settings --subresource=status", 1, &[], &["(NotFound)"]),
            ("get trigger orders -o jsonpath={.metadata.generation}", 0, &["1"], &[]),
        ]);
    });
}

/// There is nothing to scale by hand.
#[test]
fn scaling_is_refused() {
    with_every_kubectl("scale", |scene| {
        scene.rows(&[
            ("scale broker/default --replicas=2", 1, &[], &["could not find the requested resource"]),
            ("scale ksvc/nothing --replicas=2", 1, &[], &["services.serving.knative.dev \"nothing\" not found"]),
        ]);
    });
}
