//! `kubectl apply` and `kubectl diff`, worked out by the client.

use crate::scene::{config_map, shop, trigger, with_every_kubectl};

#[test]
fn files_are_applied_again_and_again() {
    with_every_kubectl("apply", |scene| {
        scene.file("shop.yaml", &shop());
        scene.file("more/bills.yaml", &trigger("bills", "com.example.bill", "  delivery: {retry: 7, timeout: PT5S}\n"));
        scene.file("more/other.yaml", &config_map("other", "", "data: {a: '1'}\n"));
        scene.rows(&[
            ("diff -f more", 1, &["+kind: ConfigMap", "+kind: Trigger", "com.example.bill"], &[]),
            (
                "apply -f shop.yaml",
                0,
                &[
                    "broker.eventing.knative.dev/shop created\n",
                    "trigger.eventing.knative.dev/orders created\n",
                    "configmap/settings created\n",
                    "secret/key created\n",
                ],
                &[],
            ),
            (
                "apply -f shop.yaml",
                0,
                &["broker.eventing.knative.dev/shop unchanged\n", "orders unchanged\n", "settings unchanged\n"],
                &[],
            ),
            ("apply -f more", 0, &["trigger.eventing.knative.dev/bills created\n", "configmap/other created\n"], &[]),
            ("diff -f more", 0, &[], &[]),
            ("get secret key -o jsonpath={.data.password}{.stringData}", 0, &["aGlkZGVu"], &[]),
        ]);

        // A field is changed, another is gone.
        scene.file("more/bills.yaml", &trigger("bills", "com.example.invoice", "  delivery: {retry: 7}\n"));
        scene.file("more/other.yaml", &config_map("other", "", "data: {b: '2'}\n"));
        scene.rows(&[
            (
                "diff -f more",
                1,
                &["-      type: com.example.bill\n", "+      type: com.example.invoice\n", "-    timeout: PT5S\n"],
                &[],
            ),
            ("apply -f more --dry-run=server", 0, &["bills configured (server dry run)"], &[]),
            ("apply -f more --dry-run=client", 0, &["bills configured (dry run)"], &[]),
            ("diff -f more", 1, &["+      type: com.example.invoice\n"], &[]),
            ("apply -f more", 0, &["bills configured\n", "other configured\n"], &[]),
            ("diff -f more", 0, &[], &[]),
            ("apply -f more", 0, &["bills unchanged\n", "other unchanged\n"], &[]),
            ("get trigger bills -o jsonpath={.spec.delivery}", 0, &["{\"retry\":7}"], &[]),
            ("get trigger bills -o jsonpath={.metadata.generation}", 0, &["2"], &[]),
            ("get cm other -o jsonpath={.data}", 0, &["{\"b\":\"2\"}"], &[]),
            ("apply view-last-applied cm other", 0, &["b: \"2\""], &[]),
        ]);
    });
}

/// A file may have kinds in it that only a cluster with Pods knows: the rest of it counts.
#[test]
fn foreign_kinds_are_told_and_the_rest_is_applied() {
    with_every_kubectl("apply of foreign kinds", |scene| {
        let foreign =
            |version: &str, kind: &str| format!("apiVersion: {version}\nkind: {kind}\nmetadata: {{name: x}}\n");
        let documents = [
            foreign("apps/v1", "Deployment"),
            config_map("kept", "", ""),
            foreign("eventing.knative.dev/v1", "Brokr"),
            foreign("eventing.knative.dev/v9", "Broker"),
        ];
        scene.file("foreign.yaml", &documents.join("---\n"));
        let told: &[&str] = &[
            "no matches for kind \"Deployment\" in version \"apps/v1\"\nensure CRDs are installed first",
            "no matches for kind \"Brokr\" in version \"eventing.knative.dev/v1\"\n",
            "no matches for kind \"Broker\" in version \"eventing.knative.dev/v9\"\n",
        ];
        scene.rows(&[
            ("apply -f foreign.yaml", 1, &["configmap/kept created\n"], told),
            ("apply -f foreign.yaml", 1, &["configmap/kept unchanged\n"], told),
            ("apply -f foreign.yaml --server-side", 1, &["configmap/kept serverside-applied\n"], told),
            ("delete -f foreign.yaml", 1, &["configmap \"kept\" deleted"], told),
        ]);
    });
}

#[test]
fn lists_and_generated_names_are_taken() {
    with_every_kubectl("apply of a List", |scene| {
        scene.file(
            "list.yaml",
            "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: ConfigMap, metadata: {name: one}}\n\
             - {apiVersion: v1, kind: ConfigMap, metadata: {name: two}}\n",
        );
        scene.file("generated.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {generateName: made-}\n");
        scene.file("stale.yaml", &config_map("one", ", resourceVersion: '1'", "data: {a: b}\n"));
        scene.rows(&[
            ("apply -f list.yaml", 0, &["configmap/one created\n", "configmap/two created\n"], &[]),
            ("create -f generated.yaml", 0, &["configmap/made-"], &[]),
            ("create -f generated.yaml", 0, &["configmap/made-"], &[]),
            ("get cm -o name", 0, &["configmap/made-", "configmap/one", "configmap/two"], &[]),
            ("apply -f stale.yaml", 1, &[], &["(Conflict)", "the object has been modified; please apply your changes"]),
        ]);
    });
}
