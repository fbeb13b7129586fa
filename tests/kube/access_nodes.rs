//! Three nodes that have one authority: what one of them gave holds at all of them.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command::{Running, pelton, run};
use crate::support::{skipped, wait_for};
use crate::tools;

struct Node {
    _running: Running,
    api: String,
    kubeconfig: PathBuf,
}

/// Addresses that were free a moment ago: nodes are told each other's before they begin.
fn free() -> [SocketAddr; 3] {
    let held = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    held.map(|listener| listener.local_addr().unwrap())
}

fn start(folder: &Path) -> Vec<Node> {
    let peers = free();
    let join = peers.map(|peer| peer.to_string()).join(",");
    let begun: Vec<_> = ["a", "b", "c"]
        .iter()
        .zip(peers)
        .map(|(name, peer)| {
            let (data, ready) = (folder.join(name), folder.join(format!("{name}.json")));
            let mut command = pelton();
            command.args(["server", "--api-auth", "--log", "warn", "--name", name, "--join", &join]);
            command.args(["--peer-listen", &peer.to_string()]).arg("--data").arg(&data).arg("--ready-file").arg(&ready);
            for listen in ["--ingress-listen", "--gateway-listen", "--api-listen", "--metrics-listen"] {
                command.args([listen, "127.0.0.1:0"]);
            }
            (Running::start(&mut command), data, ready)
        })
        .collect();
    let ready = |(running, data, ready): (Running, PathBuf, PathBuf)| {
        let text = wait_for("a node to be ready", || std::fs::read(&ready).map_err(|error| error.to_string()));
        let ready: serde_json::Value = serde_json::from_slice(&text).unwrap();
        Node { _running: running, api: ready["api"].as_str().unwrap().to_owned(), kubeconfig: data.join("kubeconfig") }
    };
    begun.into_iter().map(ready).collect()
}

#[test]
fn a_kubeconfig_of_one_node_works_at_every_node() {
    let program = match tools::installed_kubectl() {
        Ok(program) => program,
        Err(why) => return skipped("three nodes", &why),
    };
    let folder = tempfile::tempdir().unwrap();
    let nodes = start(folder.path());
    let at = |of: &Node, server: &Node, words: &[&str]| {
        let mut command = Command::new(&program);
        command.env("HOME", folder.path()).env("KUBECONFIG", &of.kubeconfig);
        run(command.args(["-s", &format!("https://{}", server.api)]).args(words))
    };
    for of in &nodes {
        for server in &nodes {
            let (code, stdout, stderr) = at(of, server, &["auth", "whoami"]);
            assert!(code == 0 && stdout.contains("pelton:admin"), "{stdout}{stderr}");
        }
    }
    // A token that one node made is the account's at the others, once they have heard of it.
    let (code, _, stderr) = at(&nodes[0], &nodes[0], &["create", "sa", "robot"]);
    assert_eq!(code, 0, "{stderr}");
    let (code, token, stderr) = at(&nodes[0], &nodes[0], &["create", "token", "robot"]);
    assert_eq!(code, 0, "{stderr}");
    for server in &nodes {
        wait_for("the account to be known", || {
            let (code, stdout, stderr) =
                at(&nodes[0], server, &["auth", "whoami", &format!("--token={}", token.trim())]);
            if code == 0 && stdout.contains("system:serviceaccount:default:robot") { Ok(()) } else { Err(stderr) }
        });
    }
    // Deleted, the authority is made anew, and what the old one gave is worth nothing: at every node.
    let before = std::fs::read_to_string(&nodes[0].kubeconfig).unwrap();
    let words = ["delete", "secret", "api-authority", "-n", "pelton-system", "--wait=false"];
    let (code, _, stderr) = at(&nodes[0], &nodes[0], &words);
    assert_eq!(code, 0, "{stderr}");
    for node in &nodes {
        wait_for("another kubeconfig", || {
            let text = std::fs::read_to_string(&node.kubeconfig).map_err(|error| error.to_string())?;
            if text.lines().any(|line| line.contains("certificate-authority-data") && before.contains(line)) {
                return Err("it is the old one".to_owned());
            }
            Ok(())
        });
    }
    for server in &nodes {
        wait_for("the new one to work", || {
            let (code, _, stderr) = at(&nodes[1], server, &["get", "ns"]);
            if code == 0 { Ok(()) } else { Err(stderr) }
        });
    }
    let old = before.lines().find_map(|line| line.trim().strip_prefix("token: ")).unwrap();
    for server in &nodes {
        let (code, _, stderr) = at(&nodes[1], server, &["get", "ns", &format!("--token={old}")]);
        assert!(code == 1 && stderr.contains("must be logged in"), "{stderr}");
    }
}
