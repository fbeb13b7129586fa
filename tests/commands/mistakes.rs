//! What is typed wrong, and servers that are none.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;

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
        ("wait --for=condition=Ready channel/x", 2, &[], &["there is no kind"]),
        ("edit triggers", 2, &[], &["name one object"]),
        ("delete channel x", 2, &[], &["there is no kind"]),
        ("get brokers --kubeconfig nothing", 2, &[], &["no current context"]),
    ]);
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
