//! `pelton apply`.

use std::io::Write as _;

use crate::command::run;
use crate::scene::{SHOP, Scene};

#[test]
fn what_is_new_changed_or_the_same_is_told() {
    let scene = Scene::start();
    scene.file("shop.yaml", SHOP);
    let created = "broker.eventing.knative.dev/shop created\ntrigger.eventing.knative.dev/orders created\n\
                   trigger.eventing.knative.dev/bills created\n";
    let dry = scene.ok("apply -f shop.yaml --dry-run=server");
    assert_eq!(dry, created.replace("created", "created (server dry run)"));
    assert_eq!(scene.ok("get triggers -o name"), "");
    assert_eq!(scene.ok("apply -f shop.yaml"), created);
    assert_eq!(scene.ok("apply -f shop.yaml"), created.replace("created", "unchanged"));
    scene.file("shop.yaml", &SHOP.replace("type: order", "type: order.placed"));
    let changed = scene.ok("apply -f shop.yaml");
    assert!(changed.contains("orders configured") && changed.contains("bills unchanged"), "{changed}");
    scene.file("shop.yaml", &SHOP.replace("  filter: {attributes: {type: order}}\n", ""));
    assert!(scene.ok("apply -f shop.yaml").contains("orders configured"));
    let left = scene.ok("get trigger orders -o jsonpath={.spec.filter.attributes}");
    assert_eq!(left, "", "what was left out is gone");
}

#[test]
fn one_that_is_refused_holds_up_no_other() {
    let scene = Scene::start();
    let odd = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\n---\n";
    let wrong = "apiVersion: eventing.knative.dev/v1\nkind: Trigger\nmetadata: {name: wrong}\n\
                 spec: {broker: shop, subscriber: {uri: nowhere}}\n---\n";
    let unknown =
        "apiVersion: eventing.knative.dev/v1\nkind: Broker\nmetadata: {name: unknown}\nspec: {colour: red}\n---\n";
    scene.file("a.yaml", &format!("{odd}{wrong}{unknown}{SHOP}"));
    scene.rows(&[
        (
            "apply -f a.yaml",
            1,
            &["broker.eventing.knative.dev/shop created", "orders created", "bills created"],
            &[
                "a.yaml:1: no matches for kind \"Deployment\" in version \"apps/v1\"",
                "a.yaml:5: The Trigger \"wrong\" is invalid: spec.subscriber.uri",
                "a.yaml:10:",
                "colour",
            ],
        ),
        ("get triggers -o name", 0, &["bills\ntrigger.eventing.knative.dev/orders\n"], &[]),
    ]);
}

#[test]
fn folders_standard_input_and_namespaces_are_read() {
    let scene = Scene::start();
    std::fs::create_dir(scene.folder.path().join("folder")).unwrap();
    scene.file("folder/1.yaml", "apiVersion: eventing.knative.dev/v1\nkind: Broker\nmetadata: {name: one}\n");
    scene.file(
        "folder/2.json",
        r#"{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "two"}, "data": {"a": "b"}}"#,
    );
    assert_eq!(scene.ok("apply -f folder -o name"), "broker.eventing.knative.dev/one\nconfigmap/two\n");
    // The namespace is not there yet.
    assert!(scene.ok("apply -f folder -n shop").contains("one created"));
    assert!(scene.ok("get brokers,cm -n shop").contains("configmap/two"));
    scene.file("there.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: three, namespace: shop}\n");
    scene.file("nowhere.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: four, namespace: nowhere}\n");
    scene.rows(&[
        (
            "apply -f nowhere.yaml -f there.yaml --dry-run=server",
            0,
            &["configmap/three created (server dry run)\n"],
            &["nowhere.yaml:1: the namespace \"nowhere\" would be made"],
        ),
        ("get ns nowhere", 1, &[], &["not found"]),
        ("apply -f there.yaml -n other", 1, &[], &["namespace \"shop\"", "--namespace is \"other\""]),
        ("apply -f there.yaml -o yaml", 0, &["name: three"], &[]),
        ("apply -f nothing.yaml", 2, &[], &["nothing.yaml"]),
    ]);
    scene.ok("wait --for=condition=Ready broker/one -n shop");
    let mut command = scene.command("apply -f -");
    command.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(scene.ok("get brokers -n shop -o yaml").as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "broker.eventing.knative.dev/one unchanged\n");
}

/// The example of `pelton apply --help`.
#[test]
fn what_another_program_writes_is_applied() {
    let scene = Scene::start();
    scene.file("triggers.yaml", &SHOP.replace("type: order", "type: old"));
    scene.ok("apply -f triggers.yaml");
    let help = scene.ok("apply --help");
    let example = help.lines().find(|line| line.contains(" | pelton apply -f -")).unwrap();
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", &example.replace("pelton", env!("CARGO_BIN_EXE_pelton"))]).current_dir(scene.folder.path());
    shell.env("PELTON_API", format!("http://{}", scene.up.address("api")));
    let (code, stdout, stderr) = run(&mut shell);
    assert_eq!(code, 0, "{stdout}{stderr}");
    assert!(stdout.contains("orders configured") && stdout.contains("bills unchanged"), "{stdout}");
}

#[test]
fn fields_of_others_are_taken_when_it_is_said() {
    let scene = Scene::with_shop();
    scene.file("shop.yaml", SHOP);
    scene.ok("trigger update orders --sink http://127.0.0.1:9/other");
    scene.rows(&[
        ("apply -f shop.yaml", 1, &["shop unchanged"], &["Error from server (Conflict)", "conflict"]),
        ("apply -f shop.yaml --force-conflicts", 0, &["orders configured"], &[]),
        ("get trigger orders -o jsonpath={.spec.subscriber.uri}", 0, &["http://127.0.0.1:9/orders\n"], &[]),
    ]);
}
