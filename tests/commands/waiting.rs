//! `pelton wait`.

use crate::command::Running;
use crate::scene::Scene;

#[test]
fn what_is_true_already_is_not_waited_for() {
    let scene = Scene::with_shop();
    scene.rows(&[
        ("wait --for=condition=Ready broker/shop", 0, &["broker.eventing.knative.dev/shop condition met\n"], &[]),
        ("wait --for=condition=ready triggers --all", 0, &["bills condition met", "orders condition met"], &[]),
        ("wait --for=jsonpath={.spec.broker}=shop trigger orders", 0, &["condition met"], &[]),
        ("wait --for=delete trigger/missing", 0, &["condition met"], &[]),
        ("wait --for=create trigger/orders", 0, &["condition met"], &[]),
        ("wait --for=condition=Ready trigger/missing", 1, &[], &["(NotFound)"]),
        ("wait --for=condition=Ready ksvc --all", 1, &[], &["no matching resources found"]),
        ("wait --for=condition=Ready triggers", 2, &[], &["--all"]),
        (
            "wait --for=condition=Ready=False trigger/orders --timeout 50ms",
            1,
            &[],
            &["timed out waiting for the condition Ready=False of trigger.eventing.knative.dev/orders"],
        ),
        ("wait --for=condition=Ready trigger/orders --timeout 0s", 0, &["orders condition met"], &[]),
        ("wait --for=create trigger/orders --timeout 0s", 0, &["orders condition met"], &[]),
        (
            "wait --for=create trigger/missing --timeout 0s",
            1,
            &[],
            &["creation of trigger.eventing.knative.dev/missing"],
        ),
        ("wait --for=delete trigger/missing --timeout 0s", 0, &["missing condition met"], &[]),
        ("wait --for=delete trigger/orders --timeout 0s", 1, &[], &["deletion of trigger.eventing.knative.dev/orders"]),
        ("wait --for=condition=Ready trigger/missing --timeout 0s", 1, &[], &["(NotFound)"]),
    ]);
    // The first takes all the time, and nothing is wrong with the other.
    let (code, stdout, stderr) = scene.say("wait --for=create trigger/never trigger/orders --timeout 300ms");
    assert_eq!((code, stdout.as_str()), (1, "trigger.eventing.knative.dev/orders condition met\n"), "{stderr}");
    assert!(stderr.contains("/never within") && !stderr.contains("orders"), "{stderr}");
}

#[test]
fn a_change_ends_the_wait() {
    let scene = Scene::with_shop();
    let waits = |line: &str| Running::start(&mut scene.command(line));
    let created = waits("wait --for=create trigger/late --timeout 60s");
    scene.ok("trigger create late --broker nowhere --sink http://127.0.0.1:9/");
    created.line_with("condition met");
    let ready = waits("wait --for=condition=Ready trigger/late --timeout 60s");
    let labelled = waits("wait --for=jsonpath={.metadata.labels.team}=a trigger/late --timeout 60s");
    scene.ok("broker create nowhere");
    scene.ok("label trigger late team=a");
    ready.line_with("condition met");
    labelled.line_with("condition met");
    let gone = waits("wait --for=delete trigger/late --timeout 60s");
    let never = waits("wait --for=condition=Never trigger/late --timeout 60s");
    scene.ok("delete trigger late");
    gone.line_with("condition met");
    assert_eq!(never.wait().code(), Some(1), "what is gone is not waited for");
}
