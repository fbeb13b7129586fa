//! `kubectl wait`.

use crate::command::Running;
use crate::scene::{shop, with_every_kubectl};

#[test]
fn conditions_values_and_deletions_are_waited_for() {
    with_every_kubectl("wait", |scene| {
        scene.file("shop.yaml", &shop());
        scene.ok("apply -f shop.yaml");
        scene.rows(&[
            (
                "wait --for=condition=Ready trigger/orders broker/shop --timeout=60s",
                0,
                &["orders condition met\n", "shop condition met\n"],
                &[],
            ),
            (
                "wait --for=condition=Ready --all broker --timeout=60s",
                0,
                &["default condition met\n", "shop condition met\n"],
                &[],
            ),
            (
                "wait --for=condition=Ready=False trigger/orders --timeout=1s",
                1,
                &[],
                &["timed out waiting for the condition on triggers/orders"],
            ),
            (
                "wait --for=jsonpath={.spec.broker}=shop trigger -l app=shop --timeout=60s",
                0,
                &["orders condition met\n"],
                &[],
            ),
            (
                "wait --for=jsonpath={.status.subscriberUri} trigger/orders --timeout=60s",
                0,
                &["orders condition met\n"],
                &[],
            ),
            ("wait --for=create cm/settings --timeout=60s", 0, &["settings condition met\n"], &[]),
            ("wait --for=delete cm/nothing --timeout=60s", 0, &[], &[]),
            (
                "wait --for=delete cm/settings --timeout=1s",
                1,
                &[],
                &["timed out waiting for the condition on configmaps/settings"],
            ),
            (
                "wait --for=condition=Ready trigger/nothing --timeout=1s",
                1,
                &[],
                &["triggers.eventing.knative.dev \"nothing\" not found"],
            ),
        ]);
    });
}

/// Whether it comes before or after the watch is open.
#[test]
fn what_comes_later_is_seen() {
    with_every_kubectl("wait for what comes later", |scene| {
        for name in ["kept", "gone", "changed"] {
            scene.ok(&format!("create cm {name} --from-literal=a=b"));
        }
        let start = |line: &str| Running::start(&mut scene.command(line));
        let gone = start("wait --for=delete cm/gone --timeout=60s");
        let changed = start("wait --for=jsonpath={.data.a}=c cm/changed --timeout=60s");
        let created = start("wait --for=create cm/late --timeout=60s");
        scene.ok("delete cm kept --wait=false");
        scene.ok("patch cm changed -p '{\"data\":{\"a\":\"c\"}}'");
        scene.ok("create cm late --from-literal=a=b");
        scene.ok("delete cm gone --wait=false");
        for (running, name) in [(gone, "gone"), (changed, "changed"), (created, "late")] {
            let status = running.wait();
            assert!(status.success(), "{name}: {status}");
        }
    });
}
