//! `kubectl apply --prune`: what is no longer in the files goes.

use crate::scene::{Scene, config_map, with_every_kubectl};

fn files(scene: &Scene) {
    for number in 1..=3 {
        let broker = format!(
            "apiVersion: eventing.knative.dev/v1\nkind: Broker\nmetadata: {{name: b{number}, labels: {{set: one}}}}\n"
        );
        let text = config_map(&format!("c{number}"), ", labels: {set: one}", "data: {a: b}\n---\n");
        scene.file(&format!("set/{number}.yaml"), &(text + &broker));
    }
}

#[test]
fn by_label() {
    with_every_kubectl("apply --prune", |scene| {
        files(scene);
        scene.ok("create cm bystander --from-literal=a=b");
        scene.ok("apply -f set");
        scene.remove("set/3.yaml");
        let prune = "apply -f set --prune -l set=one --prune-allowlist=core/v1/ConfigMap \
                     --prune-allowlist=eventing.knative.dev/v1/Broker";
        scene.rows(&[
            (&format!("{prune} --dry-run=server"), 0, &["configmap/c3 pruned (server dry run)\n"], &[]),
            (prune, 0, &["c2 unchanged\n", "configmap/c3 pruned\n", "broker.eventing.knative.dev/b3 pruned\n"], &[]),
            ("get cm,broker -l set=one -o name", 0, &["c1\n", "c2\n", "b1\n", "b2\n"], &[]),
            ("get cm c3", 1, &[], &["NotFound"]),
            ("get broker b3", 1, &[], &["NotFound"]),
            ("get cm bystander -o name", 0, &["configmap/bystander\n"], &[]),
        ]);
    });
}

#[test]
fn by_set() {
    with_every_kubectl("apply --applyset", |scene| {
        files(scene);
        let apply = "KUBECTL_APPLYSET=true apply -f set --prune --applyset=one -n default";
        scene.ok(apply);
        scene.remove("set/2.yaml");
        scene.rows(&[
            (apply, 0, &["c1 unchanged\n", "configmap/c2 pruned\n", "broker.eventing.knative.dev/b2 pruned\n"], &[]),
            ("get secret one -o jsonpath={.metadata.annotations}", 0, &["Broker.eventing.knative.dev,ConfigMap"], &[]),
            ("get cm,broker -l set=one -o name", 0, &["c1\n", "c3\n", "b1\n", "b3\n"], &[]),
        ]);
    });
}
