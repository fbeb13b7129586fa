//! Contexts: `pelton config`, `--context`, `--kubeconfig`, and what is decided without them.

use std::process::Command;

use crate::command::{pelton, run};
use crate::scene::Scene;

/// A command of a user whose home is the folder of the scene, and who says nothing of a server.
fn at_home(scene: &Scene, line: &str) -> Command {
    let mut command = pelton();
    command.args(line.split_whitespace()).current_dir(scene.folder.path());
    command
        .env("HOME", scene.folder.path())
        .env_remove("PELTON_KUBECONFIG")
        .env_remove("XDG_CONFIG_HOME")
        .env_remove("KUBECONFIG");
    command
}

#[test]
fn a_context_says_where_to_and_in_which_namespace() {
    let scene = Scene::with_shop();
    let api = format!("http://{}", scene.up.address("api"));
    scene.ok("broker create shop/far");
    let kube = scene.folder.path().join(".kube");
    std::fs::create_dir(&kube).unwrap();
    let kubectls = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: real\nclusters: [{{name: r, cluster: {{server: '{api}'}}}}]\n\
         contexts: [{{name: real, context: {{cluster: r, namespace: shop}}}}]\nusers: null\n"
    );
    std::fs::write(kube.join("config"), kubectls).unwrap();
    let nobody = "get brokers -o name --context nobody";
    let set = format!("config set-context here --server {api}");
    for (line, code, want) in [
        ("config current-context", 1, "no context is current"),
        ("config get-contexts", 0, "real   "),
        (nobody, 2, "there is no context \"nobody\""),
        ("config use-context nobody", 1, "there is no context \"nobody\""),
        ("config set-context new", 2, "--server"),
        ("get brokers -o name --context real", 0, "broker.eventing.knative.dev/far\n"),
        (&set, 0, "Context \"here\" set in"),
        ("config use-context here", 0, "Switched to context \"here\"."),
        ("config current-context", 0, "here\n"),
        ("get brokers -o name", 0, "broker.eventing.knative.dev/shop\n"),
        ("config set-context here -n shop", 0, "set"),
        ("get brokers -o name", 0, "broker.eventing.knative.dev/far\n"),
        ("broker describe far", 0, "Broker shop/far"),
        ("deadletters list --trigger none", 1, "shop/none"),
        ("deadletters list --trigger none -n default", 1, "default/none"),
        ("deadletters redrive --trigger other/none", 1, "other/none"),
        ("get brokers -o name -n default", 0, "broker.eventing.knative.dev/shop\n"),
        ("config get-contexts", 0, "*         here"),
        ("config use-context real", 0, "Switched"),
        ("get brokers -o name", 0, "broker.eventing.knative.dev/far\n"),
        ("get brokers -o name --kubeconfig data/kubeconfig", 0, "broker.eventing.knative.dev/default\n"),
        ("config delete-context here", 0, "deleted"),
        ("config set-context away --server http://127.0.0.1:1/x", 2, "its server http://127.0.0.1:1/x has a path"),
        ("config set-context away --server http://127.0.0.1:1", 0, "set"),
        ("config use-context away", 0, "Switched"),
        ("config delete-context away", 0, "Warning: no context is current now"),
        ("config current-context", 1, "no context is current"),
        ("get brokers --context here", 2, "there is no context \"here\""),
    ] {
        let (got, stdout, stderr) = run(&mut at_home(&scene, line));
        assert_eq!(got, code, "pelton {line}: {stdout}{stderr}");
        assert!(format!("{stdout}{stderr}").contains(want), "pelton {line}: {want:?} is not in {stdout}{stderr}");
    }
}

/// What is current to kubectl may be a cluster that was not meant.
#[test]
fn what_kubectl_has_is_not_followed_by_itself() {
    let scene = Scene::start();
    let kubeconfig = scene.folder.path().join("data").join("kubeconfig");
    let mut command = at_home(&scene, "get brokers -o name");
    // If it were followed, this would succeed.
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    command.env("KUBECONFIG", &kubeconfig).env("PELTON_API", format!("http://{nobody}"));
    let (code, stdout, stderr) = run(&mut command);
    assert_eq!((code, stdout.as_str()), (3, ""), "{stderr}");
    let mut command = at_home(&scene, "get brokers -o name --context pelton");
    let (code, stdout, stderr) = run(command.env("KUBECONFIG", &kubeconfig));
    assert_eq!((code, stdout.as_str()), (0, "broker.eventing.knative.dev/default\n"), "{stderr}");
}
