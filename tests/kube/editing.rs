//! `kubectl patch`, `edit` and `replace`.

use crate::scene::{config_map, shop, trigger, with_every_kubectl};

const PATCH: &str = "patch trigger orders --type=merge -p";

#[test]
fn every_patch_type_is_taken_where_it_can_be() {
    with_every_kubectl("patch", |scene| {
        scene.file("shop.yaml", &shop());
        scene.ok("apply -f shop.yaml");
        let merge = |patch: &str| format!("{PATCH} '{patch}'");
        let json = |patch: &str| format!("patch trigger orders --type=json -p '{patch}'");
        let core = |patch: &str| format!("patch cm settings -p '{patch}'");
        let patched: &[&str] = &["orders patched\n"];
        scene.rows(&[
            (&merge(r#"{"spec":{"delivery":{"retry":3}}}"#), 0, patched, &[]),
            (&merge(r#"{"spec":{"delivery":{"retry":3}}}"#), 0, &["orders patched (no change)\n"], &[]),
            (&json(r#"[{"op":"replace","path":"/spec/delivery/retry","value":5}]"#), 0, patched, &[]),
            ("get trigger orders -o jsonpath={.spec.delivery.retry}:{.metadata.generation}", 0, &["5:3"], &[]),
            (
                &json(r#"[{"op":"test","path":"/spec/delivery/retry","value":6}]"#),
                1,
                &[],
                &["test", "/spec/delivery/retry"],
            ),
            (&json(r#"[{"op":"remove","path":"/spec/nothing"}]"#), 1, &[], &["/spec/nothing"]),
            (
                r#"patch trigger orders -p '{"spec":{}}'"#,
                1,
                &[],
                &["application/strategic-merge-patch+json is not supported by eventing.knative.dev/v1, Kind=Trigger"],
            ),
            (&merge("[]"), 1, &[], &["(BadRequest)"]),
            (
                &merge(r#"{"metadata":{"name":"another"}}"#),
                1,
                &[],
                &["(BadRequest)", "does not match the name on the URL"],
            ),
            (&merge(r#"{"metadata":{"uid":"another"}}"#), 1, &[], &["(Conflict)", "UID in precondition"]),
            (&merge(r#"{"metadata":{"resourceVersion":"1"}}"#), 1, &[], &["(Conflict)", "has been modified"]),
            (&merge(r#"{"metadata":{"labels":{"a":"b"}}}"#), 0, patched, &[]),
            ("get trigger orders -o jsonpath={.metadata.generation}", 0, &["3"], &[]),
            (
                "patch trigger nothing --type=merge -p {}",
                1,
                &[],
                &["triggers.eventing.knative.dev \"nothing\" not found"],
            ),
            (&core(r#"{"data":{"a":null,"c":"3"}}"#), 0, &["settings patched\n"], &[]),
            ("get cm settings -o jsonpath={.data}", 0, &[r#"{"b":"2","c":"3"}"#], &[]),
            (&core(r#"{"data":{"$patch":"replace","d":"4"}}"#), 0, &["settings patched\n"], &[]),
            ("get cm settings -o jsonpath={.data}", 0, &[r#"{"d":"4"}"#], &[]),
            (&core(r#"{"data":{"x":1}}"#), 1, &[], &["is invalid", "data[x]"]),
        ]);
    });
}

#[test]
fn an_editor_changes_what_it_saves() {
    with_every_kubectl("edit", |scene| {
        scene.file("shop.yaml", &shop());
        scene.ok("apply -f shop.yaml");
        scene.file("other.sed", "s/^  broker: shop$/  broker: other/\n");
        scene.rows(&[
            (
                "EDITOR='sed -i s/com.example.order$/com.example.bill/' edit trigger orders",
                0,
                &["trigger.eventing.knative.dev/orders edited\n"],
                &[],
            ),
            ("get trigger orders -o jsonpath={.spec.filter.attributes.type}", 0, &["com.example.bill"], &[]),
            ("EDITOR=true edit trigger orders", 0, &[], &["Edit cancelled, no changes made."]),
            (
                "EDITOR='sed -i -f other.sed' edit trigger orders",
                1,
                &[],
                &["triggers.eventing.knative.dev \"orders\" is invalid", "A copy of your changes has been stored"],
            ),
            ("EDITOR='sed -i /^..a:/d' edit cm settings", 0, &["configmap/settings edited\n"], &[]),
            ("get cm settings -o jsonpath={.data}", 0, &["{\"b\":\"2\"}"], &[]),
            ("apply edit-last-applied cm nothing", 1, &[], &["NotFound"]),
        ]);
    });
}

#[test]
fn objects_are_replaced() {
    with_every_kubectl("replace", |scene| {
        scene.file("orders.yaml", &trigger("orders", "a", ""));
        scene.file("settings.yaml", &config_map("settings", "", "data: {a: b}\n"));
        let uid = "get trigger orders -o jsonpath={.metadata.uid}";
        scene.rows(&[
            ("replace -f orders.yaml", 1, &[], &["triggers.eventing.knative.dev \"orders\" not found"]),
            ("create -f orders.yaml -f settings.yaml", 0, &["orders created\n", "settings created\n"], &[]),
            ("create -f orders.yaml", 1, &[], &["(AlreadyExists)"]),
        ]);
        let first = scene.ok(uid);
        let stale = scene.ok("get trigger orders -o yaml");
        scene.file("stale.yaml", &stale);
        scene.file("orders.yaml", &trigger("orders", "b", ""));
        scene.rows(&[
            ("replace -f orders.yaml -f settings.yaml", 0, &["orders replaced\n", "settings replaced\n"], &[]),
            ("get trigger orders -o jsonpath={.spec.filter.attributes.type}", 0, &["b"], &[]),
            ("replace -f stale.yaml", 1, &[], &["(Conflict)", "the object has been modified"]),
        ]);
        assert_eq!(scene.ok(uid), first, "a replaced object is the same one");
        scene.rows(&[("replace --force -f orders.yaml", 0, &["orders\" deleted", "orders replaced\n"], &[])]);
        assert_ne!(scene.ok(uid), first, "it was deleted and created");
    });
}
