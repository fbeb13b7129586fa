//! `kubectl get` in all its forms.

use crate::scene::{Scene, shop, trigger, with_every_kubectl};

/// A Broker with two Triggers that are ready, and what else [`shop`] has.
fn prepare(scene: &Scene) {
    scene.file("shop.yaml", &shop());
    scene.file("bills.yaml", &trigger("bills", "com.example.zebra", ""));
    scene.ok("apply -f shop.yaml -f bills.yaml");
    scene.ok("wait --for=condition=Ready broker/shop trigger/orders trigger/bills --timeout=60s");
}

#[test]
fn every_output_form_is_served() {
    with_every_kubectl("get -o", |scene| {
        prepare(scene);
        scene.rows(&[
            ("get brokers", 0, &["NAME      URL ", "AGE", "READY   REASON\n", "/default/shop ", "True"], &[]),
            ("get brokers -o wide", 0, &["REASON   CLASS\n", "Pelton\n"], &[]),
            ("get triggers", 0, &["NAME     BROKER   SUBSCRIBER_URI        AGE", "http://127.0.0.1:9/", "True"], &[]),
            ("get trigger orders --no-headers", 0, &["orders   shop"], &[]),
            ("get cm settings", 0, &["NAME       DATA   AGE\nsettings   2 "], &[]),
            ("get secret key", 0, &["NAME   TYPE     DATA   AGE\nkey    Opaque   1 "], &[]),
            ("get ns", 0, &["NAME      STATUS   AGE\ndefault   Active"], &[]),
            ("get trigger orders -o yaml", 0, &["kind: Trigger\n", "  generation: 1\n", "subscriberUri: http"], &[]),
            ("get trigger orders -o json", 0, &["\"kind\": \"Trigger\"", "\"observedGeneration\": 1"], &[]),
            ("get triggers -o json", 0, &["\"kind\": \"List\""], &[]),
            ("get triggers,cm -o name", 0, &["trigger.eventing.knative.dev/bills\n", "configmap/settings\n"], &[]),
            ("get triggers -o jsonpath={.items[*].metadata.name}", 0, &["bills orders"], &[]),
            (
                "get triggers -o custom-columns=N:.metadata.name,T:.spec.broker",
                0,
                &["N        T\nbills    shop\n"],
                &[],
            ),
            ("get triggers -o go-template='{{range .items}}{{.metadata.name}};{{end}}'", 0, &["bills;orders;"], &[]),
            (
                "get cm settings --show-labels --show-kind -L app",
                0,
                &["configmap/settings", "APP    LABELS", "app=shop"],
                &[],
            ),
            ("get triggers --server-print=false", 0, &["NAME     AGE\nbills"], &[]),
            ("get trigger orders -o yaml --show-managed-fields", 0, &["manager: kubectl-client-side-apply\n"], &[]),
            ("get triggers.v1.eventing.knative.dev orders -o name", 0, &["orders"], &[]),
            ("get --raw /readyz", 0, &["ok"], &[]),
        ]);
    });
}

#[test]
fn lists_are_sorted_selected_and_paged() {
    with_every_kubectl("get of lists", |scene| {
        prepare(scene);
        scene.ok("create ns apart");
        for name in ["c1", "c2", "c3"] {
            scene.ok(&format!("create cm {name} -n apart --from-literal=a=b"));
        }
        scene.rows(&[
            (
                "get triggers --sort-by=.spec.filter.attributes.type --no-headers -o name",
                0,
                &["orders\ntrigger.eventing.knative.dev/bills\n"],
                &[],
            ),
            ("get cm -n apart --chunk-size=1 -o name", 0, &["configmap/c1\nconfigmap/c2\nconfigmap/c3\n"], &[]),
            ("get cm -A --chunk-size=2 -o name", 0, &["c1\nconfigmap/c2\nconfigmap/c3\nconfigmap/settings\n"], &[]),
            ("get cm -n apart --field-selector metadata.name=c2 -o name", 0, &["configmap/c2\n"], &[]),
            (
                "get cm -n apart --field-selector metadata.name!=c2 -o jsonpath={.items[*].metadata.name}",
                0,
                &["c1 c3"],
                &[],
            ),
            ("get cm -A --field-selector metadata.namespace=default -o name", 0, &["configmap/settings\n"], &[]),
            ("get secrets --field-selector type=Opaque -o name", 0, &["secret/key\n"], &[]),
            ("get secrets --field-selector type=other", 0, &[], &["No resources found in default namespace.\n"]),
            ("get ns --field-selector status.phase=Active -o name", 0, &["namespace/apart\nnamespace/default\n"], &[]),
            ("get triggers --field-selector spec.broker=shop", 1, &[], &["field label not supported: spec.broker"]),
            ("get cm -l 'a b'", 1, &[], &["(BadRequest)", "unable to parse requirement"]),
            (
                "get all -l app=shop",
                0,
                &["broker.eventing.knative.dev/shop", "trigger.eventing.knative.dev/orders"],
                &[],
            ),
            (
                "get knative -A -o name",
                0,
                &["broker.eventing.knative.dev/default\n", "trigger.eventing.knative.dev/bills\n"],
                &[],
            ),
            ("get ksvc", 0, &[], &["No resources found in default namespace.\n"]),
            ("get crd", 0, &["brokers.eventing.knative.dev", "services.serving.knative.dev"], &[]),
        ]);
    });
}

#[test]
fn what_is_missing_is_named() {
    with_every_kubectl("get of what is missing", |scene| {
        scene.rows(&[
            ("get cm nothing", 1, &[], &["Error from server (NotFound): configmaps \"nothing\" not found\n"]),
            ("get cm nothing --ignore-not-found", 0, &[], &[]),
            ("get cm -n nowhere", 0, &[], &["No resources found in nowhere namespace.\n"]),
            (
                "get cm nothing -n nowhere",
                1,
                &[],
                &["Error from server (NotFound): namespaces \"nowhere\" not found\n"],
            ),
            ("get nosuch", 1, &[], &["the server doesn't have a resource type \"nosuch\"\n"]),
            ("get pods", 1, &[], &["the server doesn't have a resource type \"pods\"\n"]),
            ("logs x", 1, &[], &["pods"]),
            ("get --raw /nosuch", 1, &[], &["(NotFound)"]),
            ("get cm --as=somebody", 1, &[], &["nobody can act as somebody else here"]),
        ]);
    });
}
