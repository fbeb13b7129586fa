//! What kubectl prints of an object that cannot be taken.

use crate::scene::{config_map, trigger, with_every_kubectl};

#[test]
fn every_mistake_of_a_trigger_is_told() {
    with_every_kubectl("validation", |scene| {
        let good = trigger("bad", "a", "");
        let subscriber = "subscriber: {uri: 'http://127.0.0.1:9/'}";
        let replaced = |with: &str| good.replace(subscriber, with);
        for (manifest, told) in [
            (replaced("subscriber: {}"), &["* spec.subscriber.ref: ", "* spec.subscriber.uri: "][..]),
            (replaced("delivery: {}"), &["spec.subscriber"]),
            (replaced("subscriber: {uri: /relative}"), &["spec.subscriber.uri: invalid value: /relative"]),
            (replaced("subscriber: [a]"), &["spec.subscriber: invalid value: a list (expected an object)"]),
            (good.replace("  broker: shop\n", ""), &["spec.broker: expected exactly one, got neither"]),
            (good.replace("broker: shop", "broker: 5"), &["spec.broker: invalid value: 5 (expected a string"]),
            (
                trigger("bad", "a", "  delivery: {retry: -1, backoffPolicy: odd, backoffDelay: x}\n"),
                &[
                    "* spec.delivery.retry: invalid value: -1",
                    "* spec.delivery.backoffPolicy: invalid value: odd (expected linear or exponential)",
                    "* spec.delivery.backoffDelay: invalid value: x (expected an ISO-8601 duration",
                ],
            ),
        ] {
            scene.file("bad.yaml", &manifest);
            for line in ["apply -f bad.yaml", "apply --server-side -f bad.yaml", "create -f bad.yaml"] {
                let said = scene.say(line);
                assert_eq!((said.code, said.stdout.as_str()), (1, ""), "{line} {manifest}: {said:?}");
                assert!(said.stderr.contains("\"bad\" is invalid: "), "{line} {manifest}: {said:?}");
                for told in told {
                    assert!(said.stderr.contains(told.trim_start_matches("* ")), "{line} {told} {manifest}: {said:?}");
                }
            }
        }
        scene.rows(&[("get trigger", 0, &[], &["No resources found in default namespace.\n"])]);
    });
}

#[test]
fn fields_that_are_not_known_are_refused_told_or_left_out() {
    with_every_kubectl("--validate", |scene| {
        let unknown = |ty: &str| trigger("orders", ty, "  nosuch: 1\n  delivery: {retry: 1, again: 2}\n");
        scene.file("unknown.yaml", &unknown("a"));
        let told: &[&str] =
            &["strict decoding error: ", "unknown field \"spec.nosuch\"", "unknown field \"spec.delivery.again\""];
        let warned: &[&str] =
            &["Warning: unknown field \"spec.nosuch\"\n", "Warning: unknown field \"spec.delivery.again\"\n"];
        scene.rows(&[
            ("apply -f unknown.yaml", 1, &[], told),
            ("apply -f unknown.yaml --validate=strict", 1, &[], told),
            ("apply -f unknown.yaml --server-side", 1, &[], told),
            ("create -f unknown.yaml", 1, &[], told),
            ("create -f unknown.yaml --validate=warn --dry-run=server", 0, &["created (server dry run)\n"], warned),
            ("apply -f unknown.yaml --validate=warn", 0, &["orders created\n"], warned),
            ("get trigger orders -o jsonpath={.spec.nosuch}{.spec.delivery.again}", 0, &[], &[]),
            ("replace -f unknown.yaml", 1, &[], told),
            ("replace -f unknown.yaml --validate=ignore", 0, &["orders replaced\n"], &[]),
        ]);
        scene.file("unknown.yaml", &unknown("b"));
        scene.rows(&[
            ("apply -f unknown.yaml --validate=strict", 1, &[], told),
            ("patch trigger orders --type=merge -p '{\"spec\":{\"nosuch\":1}}'", 0, &["(no change)"], &warned[..1]),
        ]);
    });
}

#[test]
fn core_kinds_are_checked_as_well() {
    with_every_kubectl("validation of core kinds", |scene| {
        for (manifest, told) in [
            (config_map("c", "", "data: {a: 1}\n"), "data[a]: invalid value: 1 (expected a string"),
            (config_map("c", "", "data: {'bad key!': x}\n"), "data[bad key!]: invalid value"),
            (config_map("c", "", "dta: {}\n"), "strict decoding error: unknown field \"dta\""),
            (config_map("c", ", nosuch: x", ""), "strict decoding error: unknown field \"metadata.nosuch\""),
            (config_map("c", ", namespace: nowhere", ""), "namespaces \"nowhere\" not found"),
            (config_map("c", "", "").replace("ConfigMap", "Secret") + "data: {a: 'no base64!'}\n", "illegal base64"),
            (config_map("c", "", "").replace("apiVersion: v1\n", ""), "apiVersion not set"),
        ] {
            scene.file("bad.yaml", &manifest);
            let said = scene.say("apply -f bad.yaml");
            assert_eq!((said.code, said.stdout.as_str()), (1, ""), "{manifest}: {said:?}");
            assert!(said.stderr.contains(told), "{manifest}: {told:?} is not in {said:?}");
        }
        scene.file("fixed.yaml", &config_map("fixed", "", "immutable: true\ndata: {a: b}\n"));
        scene.rows(&[
            ("apply -f fixed.yaml", 0, &["created"], &[]),
            ("patch cm fixed -p '{\"data\":{\"a\":\"c\"}}'", 1, &[], &["is invalid: data: field is immutable"]),
            ("patch cm fixed -p '{\"immutable\":false}'", 1, &[], &["is invalid: immutable: field is immutable"]),
        ]);
    });
}
