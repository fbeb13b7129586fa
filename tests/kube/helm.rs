//! Helm: a chart with a Broker and two Triggers.

use crate::command::run;
use crate::scene::{Row, Scene};
use crate::support::skipped;
use crate::tools::{self, Newest};

const BROKER: &str = "apiVersion: eventing.knative.dev/v1
kind: Broker
metadata:
  name: {{ .Release.Name }}
spec:
  delivery: {retry: {{ .Values.retry }}}
";

const TRIGGERS: &str = "{{- range .Values.types }}
---
apiVersion: eventing.knative.dev/v1
kind: Trigger
metadata:
  name: {{ $.Release.Name }}-{{ . }}
spec:
  broker: {{ $.Release.Name }}
  filter: {attributes: {type: {{ . }}}}
  subscriber: {uri: 'http://127.0.0.1:9/{{ . }}'}
{{- end }}
";

/// A scene for kubectl with the chart in it, and Helm.
fn prepare(what: &str) -> Option<(Scene, Newest)> {
    let newest = tools::newest().map_err(|why| skipped(what, &why)).ok()?;
    let scene = Scene::start(&newest.kubectl);
    scene.file("chart/Chart.yaml", "apiVersion: v2\nname: shop\nversion: 0.1.0\n");
    scene.file("chart/values.yaml", "retry: 3\ntypes: [orders, bills]\n");
    scene.file("chart/templates/broker.yaml", BROKER);
    scene.file("chart/templates/triggers.yaml", TRIGGERS);
    scene.file("chart/templates/NOTES.txt", "{{ .Values.retry }} retries\n");
    Some((scene, newest))
}

#[test]
fn a_release_lives_and_goes() {
    let Some((scene, newest)) = prepare("helm") else { return };
    let helm = |rows: &[Row<'_>]| rows_of(&scene, &newest, rows);
    helm(&[
        ("install shop chart --wait --timeout 60s", 0, &["STATUS: deployed\n", "REVISION: 1\n", "3 retries\n"], &[]),
        ("install shop chart", 1, &[], &["cannot reuse a name that is still in use"]),
        ("list", 0, &["shop", "deployed", "shop-0.1.0"], &[]),
        ("status shop", 0, &["==> v1/Broker\n", "==> v1/Trigger\n", "shop-orders", "shop-bills"], &[]),
    ]);
    // It is waited for that all of them are ready.
    scene.rows(&[
        ("get broker shop -o jsonpath={.status.conditions[?(@.type==\"Ready\")].status}", 0, &["True"], &[]),
        ("get trigger -o jsonpath={.items[*].status.conditions[?(@.type==\"Ready\")].status}", 0, &["True True"], &[]),
        ("get secret -l owner=helm,name=shop,status=deployed", 0, &["helm.sh/release.v1"], &[]),
    ]);
    helm(&[
        ("upgrade shop chart --set retry=5 --set types={orders} --wait --timeout 60s", 0, &["REVISION: 2\n"], &[]),
        ("history shop", 0, &["superseded", "deployed", "Upgrade complete"], &[]),
    ]);
    scene.rows(&[
        ("get broker shop -o jsonpath={.spec.delivery.retry}", 0, &["5"], &[]),
        ("get trigger -o name", 0, &["shop-orders\n"], &[]),
        ("get trigger shop-bills", 1, &[], &["NotFound"]),
    ]);
    helm(&[("rollback shop 1 --wait --timeout 60s", 0, &["Rollback was a success"], &[])]);
    scene.rows(&[
        ("get broker shop -o jsonpath={.spec.delivery.retry}", 0, &["3"], &[]),
        ("get trigger -o name", 0, &["shop-bills\n", "shop-orders\n"], &[]),
    ]);
    helm(&[
        ("get manifest shop", 0, &["kind: Broker\n"], &[]),
        ("uninstall shop --wait --timeout 60s", 0, &["release \"shop\" uninstalled\n"], &[]),
        ("status shop", 1, &[], &["release: not found"]),
    ]);
    scene.rows(&[
        ("get trigger,secret", 0, &[], &["No resources found in default namespace.\n"]),
        ("get broker -o name", 0, &["broker.eventing.knative.dev/default\n"], &[]),
    ]);
}

#[test]
fn a_namespace_is_made_and_a_mistake_is_told() {
    let Some((scene, newest)) = prepare("helm with mistakes") else { return };
    let mistake: &[&str] = &["Broker.eventing.knative.dev \"shop\" is invalid: spec.delivery.retry: invalid value: -1"];
    rows_of(
        &scene,
        &newest,
        &[
            (
                "upgrade --install shop chart -n apart --create-namespace --wait --timeout 60s",
                0,
                &["REVISION: 1\n"],
                &[],
            ),
            ("list -A", 0, &["apart", "deployed"], &[]),
            ("upgrade shop chart -n apart --set retry=-1", 1, &[], mistake),
            ("upgrade shop chart -n apart --set retry=-1 --rollback-on-failure --timeout 60s", 1, &[], mistake),
            ("history shop -n apart", 0, &["failed", "Rollback to 1"], &[]),
            ("install shop chart --set retry=-1 --rollback-on-failure --timeout 60s", 1, &[], mistake),
            ("list", 0, &["NAME"], &[]),
            ("install shop chart --dry-run=server", 0, &["pending-install"], &[]),
            ("uninstall shop -n apart --wait --timeout 60s", 0, &["uninstalled"], &[]),
        ],
    );
    scene.rows(&[("get trigger -A", 0, &[], &["No resources found\n"]), ("get ns apart", 0, &["Active"], &[])]);
}

#[track_caller]
fn rows_of(scene: &Scene, newest: &Newest, rows: &[Row<'_>]) {
    for (line, code, stdout, stderr) in rows {
        let said = run(&mut scene.command_of(&newest.helm, line));
        assert_eq!(said.0, *code, "helm {line}: {said:#?}");
        for (wanted, printed) in [(stdout, &said.1), (stderr, &said.2)] {
            for want in *wanted {
                assert!(printed.contains(want), "helm {line} does not say {want:?}: {said:#?}");
            }
        }
    }
}
