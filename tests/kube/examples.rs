//! `examples/knative`, applied as it is.

use std::path::Path;

use crate::scene::with_every_kubectl;
use crate::support::http::call;
use crate::support::skip::has;
use crate::support::{skipped, wait_for};

#[test]
fn manifests_as_knative_writes_them_apply_and_become_ready() {
    if let Err(why) = has("python3") {
        return skipped("Knative's manifests", &why);
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/knative");
    let file = |name: &str| folder.join(name).display().to_string();
    with_every_kubectl("Knative's manifests", |scene| {
        let files = ["broker.yaml", "trigger.yaml"].map(|name| format!("-f '{}'", file(name))).join(" ");
        let applied = scene.ok(&format!("apply {files}"));
        assert_eq!(applied.lines().filter(|line| line.ends_with(" created")).count(), 4, "{applied}");
        // The Triggers lead to a Service that is not there yet, and say so.
        let reason = "get trigger orders-placed -o jsonpath={.status.conditions[?(@.type==\"Ready\")].reason}";
        wait_for("the reason", || {
            let said = scene.ok(reason);
            if said == "ReferenceNotFound" { Ok(()) } else { Err(said) }
        });
        scene.ok(&format!("apply -f '{}'", file("service.yaml")));
        scene.ok("wait --for=condition=Ready broker/orders trigger/orders-placed trigger/orders-other ksvc/hello --timeout=60s");
        // What was wrong was told of, and that it is over.
        let told = scene.ok("events --for trigger/orders-placed");
        for word in ["ReferenceNotFound", "Warning", "Trigger orders-placed is ready again"] {
            assert!(told.contains(word), "{word}: {told}");
        }
        assert!(scene.ok("describe trigger orders-placed").contains("ReferenceNotFound"));
        let again = scene.ok(&format!("apply {files}"));
        assert_eq!(again.lines().filter(|line| line.ends_with(" unchanged")).count(), 4, "{again}");
        let uri = scene.ok("get trigger orders-other -o jsonpath={.status.subscriberUri}");
        assert!(uri.ends_with("/other"), "{uri}");
        let headers = "ce-specversion: 1.0\r\nce-id: 1\r\nce-source: /shop\r\nce-type: com.example.order.placed\r\n";
        let ingress = scene.up.address("ingress").parse().unwrap();
        assert_eq!(call(ingress, "POST", "/default/orders", headers, b"").status(), 202);
        let metrics = scene.up.address("metrics").parse().unwrap();
        wait_for("the event to be delivered", || {
            let text = call(metrics, "GET", "/metrics", "", b"").text();
            let mut lines = text.lines().filter(|line| line.starts_with("pelton_trigger_delivered_total"));
            let is_done = lines.any(|line| line.contains("orders-placed") && line.ends_with(" 1"));
            if is_done { Ok(()) } else { Err(text) }
        });
        // An image needs an engine, and whether there is one is told.
        scene.ok(&format!("apply -f '{}'", file("service-image.yaml")));
        wait_for("a word on the engine", || {
            let said = scene.ok("get revision -o jsonpath={.items[*].status.conditions[*].message}");
            if said.contains("engine") || scene.ok("get ksvc hello-image").contains("True") {
                Ok(())
            } else {
                Err(said)
            }
        });
    });
}
