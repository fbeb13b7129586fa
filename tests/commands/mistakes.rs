//! What is typed wrong, and servers that are none.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener};
use std::process::Stdio;

use crate::command::{pelton, run};
use crate::scene::Scene;

#[test]
fn mistakes_are_named() {
    let scene = Scene::with_shop();
    scene.rows(&[
        ("get channels", 2, &[], &["there is no kind \"channels\"", "brokers, configmaps"]),
        ("get trigger/orders brokers", 2, &[], &["KIND/NAME"]),
        ("get trigger a/b/c", 2, &[], &["NAMESPACE/NAME"]),
        ("get trigger orders -l a=b", 2, &[], &["by itself"]),
        ("get triggers -l a==b==c", 1, &[], &["Error from server (BadRequest)"]),
        ("get triggers --field-selector spec.broker=x", 1, &[], &["Error from server"]),
        ("get trigger ..", 1, &[], &["(NotFound)"]),
        ("describe channel x", 2, &[], &["there is no kind"]),
        ("describe trigger orders -l team=none", 2, &[], &["by itself"]),
        ("describe trigger orders -A", 2, &[], &["by itself"]),
        ("wait --for=condition=Ready channel/x", 2, &[], &["there is no kind"]),
        ("edit triggers", 2, &[], &["name one object"]),
        ("delete channel x", 2, &[], &["there is no kind"]),
        ("get brokers --kubeconfig nothing", 2, &[], &["no current context"]),
    ]);
}

/// The exit code is what happened, whoever can hear of it.
#[test]
fn nobody_has_to_hear_of_it() {
    let scene = Scene::start();
    for (line, code) in [("get channels", 2), ("get trigger missing", 1), ("get ksvc", 0), ("describe ksvc", 0)] {
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let status = scene.command(line).stdout(Stdio::null()).stderr(full).status().unwrap();
        assert_eq!(status.code(), Some(code), "pelton {line}");
    }
}

/// Each row: a command about two objects, of which the first is refused before the server goes.
#[test]
fn what_was_refused_is_told_when_nobody_answers_any_more() {
    let folder = tempfile::tempdir().unwrap();
    let map = |name: &str| format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\n---\n");
    std::fs::write(folder.path().join("both.yaml"), format!("{}{}", map("one"), map("two"))).unwrap();
    let refusal = r#"{"kind":"Status","code":403,"reason":"Forbidden","message":"one is forbidden: no"}"#;
    for line in [
        "get cm one two",
        "describe cm one two",
        "delete cm one two",
        "wait --for=condition=Ready cm/one cm/two",
        "label cm one two a=b",
        "apply -f both.yaml",
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let api = format!("http://{}", listener.local_addr().unwrap());
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            // Nobody else is let in.
            drop(listener);
            let mut head = [0; 4096];
            let _ = stream.read(&mut head).unwrap();
            let length = refusal.len();
            write!(stream, "HTTP/1.1 403 Forbidden\r\ncontent-length: {length}\r\n\r\n{refusal}").unwrap();
            // What it sends besides is read and not answered: it would be a reset otherwise.
            stream.shutdown(Shutdown::Write).unwrap();
            let _ = stream.read_to_end(&mut Vec::new());
        });
        let mut command = pelton();
        command.args(line.split(' ')).args(["--api", &api]).current_dir(folder.path());
        let (code, _, stderr) = run(&mut command);
        assert_eq!(code, 3, "pelton {line}: {stderr}");
        assert!(stderr.contains("one is forbidden: no"), "pelton {line}: {stderr}");
        server.join().unwrap();
    }
}

/// Each row: what a server answers, the exit code, and what is said of it.
#[test]
fn servers_that_answer_something_else_are_told_apart() {
    let refusal = r#"{"kind":"Status","code":403,"reason":"Forbidden","message":"brokers is forbidden: no"}"#;
    for (answer, code, want) in [
        ("200 OK\r\ncontent-length: 2\r\n\r\nhi", 1, "not that of a Kubernetes API"),
        ("200 OK\r\ncontent-length: 2\r\n\r\n{}", 1, "a list without items"),
        ("404 Not Found\r\ncontent-length: 2\r\n\r\n{}", 1, "it is no Status"),
        ("500 Oops\r\ncontent-length: 9\r\n\r\n<b>no</b>", 1, "(500 Internal Server Error)"),
        (
            &format!("403 Forbidden\r\ncontent-length: {}\r\n\r\n{refusal}", refusal.len()),
            1,
            "Error from server (Forbidden): brokers is forbidden: no",
        ),
        ("", 3, "did not answer"),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let api = format!("http://{}", listener.local_addr().unwrap());
        let answer = if answer.is_empty() { String::new() } else { format!("HTTP/1.1 {answer}") };
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut head = [0; 4096];
            let _ = stream.read(&mut head).unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
        });
        let (got, stdout, stderr) = run(pelton().args(["get", "brokers", "--api", &api]));
        assert_eq!((got, stdout.as_str()), (code, ""), "{want}: {stderr}");
        assert!(stderr.contains(want), "{want:?} is not in {stderr}");
        server.join().unwrap();
    }
}
