//! `pelton get` and `pelton describe`.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;
use std::sync::mpsc;
use std::time::Duration;

use crate::command::Running;
use crate::scene::Scene;

#[test]
fn every_form_shows_what_there_is() {
    let scene = Scene::with_shop();
    scene.rows(&[
        ("get brokers", 0, &["NAME", "READY", "URL", "shop", "True"], &[]),
        ("get broker shop -o wide", 0, &["DEAD LETTER SINK", "WARNINGS"], &[]),
        ("get triggers -o wide", 0, &["FILTER", "PAUSED", r#"{"type":"order"}"#], &[]),
        ("get triggers -A", 0, &["NAMESPACE   NAME", "default     bills"], &[]),
        ("get brokers,triggers", 0, &["broker.eventing.knative.dev/shop", "trigger.eventing.knative.dev/orders"], &[]),
        ("get knative -o name", 0, &["trigger.eventing.knative.dev/bills\ntrigger.eventing.knative.dev/orders\n"], &[]),
        ("get Trigger orders bills -o name", 0, &["orders\ntrigger.eventing.knative.dev/bills\n"], &[]),
        ("get trigger/orders broker/shop", 0, &["trigger.eventing.knative.dev/orders"], &[]),
        ("get trigger default/orders -o json", 0, &["\"kind\": \"Trigger\""], &[]),
        ("get triggers -l app=shop -o name", 0, &["trigger.eventing.knative.dev/orders\n"], &[]),
        (
            "get triggers --field-selector metadata.name=bills -o name",
            0,
            &["trigger.eventing.knative.dev/bills\n"],
            &[],
        ),
        ("get trigger orders -o jsonpath={.spec.subscriber.uri}", 0, &["http://127.0.0.1:9/orders\n"], &[]),
        ("get triggers -o jsonpath={.items[0].metadata.name}", 0, &["bills\n"], &[]),
        ("get ns", 0, &["NAME      STATUS   AGE\ndefault   Active"], &[]),
        ("get crds", 0, &["CREATED AT", "triggers.eventing.knative.dev"], &[]),
        ("get ksvc", 0, &[], &["No resources found in the namespace default."]),
        ("get triggers -n other", 0, &[], &["No resources found in the namespace other."]),
        (
            "get trigger orders missing -o name",
            1,
            &["trigger.eventing.knative.dev/orders\n"],
            &["\"missing\" not found"],
        ),
    ]);
    let yaml = scene.ok("get triggers -o yaml");
    assert!(yaml.contains("kind: List") && !yaml.contains("managedFields"), "{yaml}");
}

#[test]
fn a_watch_goes_on_below_the_list() {
    let scene = Scene::with_shop();
    let watched = Running::start(&mut scene.command("get triggers -w"));
    watched.line_with("NAME");
    watched.line_with("orders");
    scene.ok("trigger create new --broker shop --sink http://127.0.0.1:9/");
    watched.line_with("new");
    let one = Running::start(&mut scene.command("get trigger orders -w -o name"));
    one.line_with("trigger.eventing.knative.dev/orders");
    scene.ok("label trigger orders team=a");
    one.line_with("trigger.eventing.knative.dev/orders");
    scene.rows(&[("get brokers,triggers -w", 2, &[], &["one kind or one object"])]);
}

/// As with `| head -1`.
#[test]
fn a_watch_ends_when_nobody_reads_it() {
    let scene = Scene::with_shop();
    let mut child = scene.command("get triggers -w").stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.contains("NAME"), "{line}");
    scene.ok("label trigger orders team=a");
    let (sender, ended) = mpsc::channel();
    std::thread::spawn(move || sender.send(child.wait().unwrap().code()));
    assert_eq!(ended.recv_timeout(Duration::from_secs(60)), Ok(Some(0)));
}

#[test]
fn objects_are_described_with_their_conditions_and_events() {
    let scene = Scene::with_shop();
    scene.file(
        "event.yaml",
        "apiVersion: v1\nkind: Event\nmetadata: {name: e1}\ntype: Warning\nreason: Odd\nmessage: something odd\n\
         involvedObject: {apiVersion: eventing.knative.dev/v1, kind: Trigger, name: orders, namespace: default}\n",
    );
    scene.ok("apply -f event.yaml");
    scene.ok("wait --for=condition=Ready trigger/orders");
    scene.rows(&[
        (
            "describe trigger orders",
            0,
            &[
                "Trigger default/orders",
                "app: shop",
                "uri: http://127.0.0.1:9/orders",
                "Ready",
                "CONDITION",
                "something odd",
            ],
            &[],
        ),
        ("describe broker/shop trigger/bills", 0, &["Broker default/shop", "Trigger default/bills"], &[]),
        ("describe triggers", 0, &["Trigger default/orders", "Trigger default/bills"], &[]),
        ("describe ns default", 0, &["Namespace default"], &[]),
        ("describe trigger missing", 1, &[], &["(NotFound)"]),
    ]);
    scene.file("secret.yaml", "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {password: hunter2}\n");
    scene.ok("apply -f secret.yaml");
    // As kubectl apply does.
    scene.ok("annotate secret s kubectl.kubernetes.io/last-applied-configuration={password:hunter2}");
    let shown = scene.ok("describe secret s");
    assert!(
        shown.contains("password: 7 bytes") && !shown.contains("hunter2") && !shown.contains("aHVudGVyMg"),
        "{shown}"
    );
}

#[test]
fn shells_are_given_their_completions() {
    let scene = Scene::start();
    for (shell, want) in [
        ("bash", "_pelton"),
        ("zsh", "#compdef pelton"),
        ("fish", "complete -c pelton"),
        ("elvish", "pelton"),
        ("powershell", "pelton"),
    ] {
        let script = scene.ok(&format!("completion {shell}"));
        for want in [want, "describe", "force-conflicts"] {
            assert!(script.contains(want), "{shell}: {want}");
        }
    }
}
