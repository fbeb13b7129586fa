use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::thread::JoinHandle;

use pelton_resource::Kind;
use serde_json::json;

use super::super::kinds;
use super::*;
use crate::http::Url;

/// A server that gives these answers, each on a connection of its own. Gives the targets of the requests in the end.
fn serve(answers: Vec<String>) -> (KubeApi, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let server = std::thread::spawn(move || {
        let mut targets = Vec::new();
        for answer in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let mut head = [0; 4096];
            let read = stream.read(&mut head).unwrap();
            let head = String::from_utf8_lossy(&head[..read]).into_owned();
            targets.push(head.split(' ').nth(1).unwrap().to_owned());
            stream.write_all(answer.as_bytes()).unwrap();
        }
        targets
    });
    (KubeApi::new(url.into()), server)
}

fn map(name: &str, version: u32) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "resourceVersion": version.to_string()}})
}

fn list(version: u32, items: &[Value]) -> String {
    whole(&json!({"metadata": {"resourceVersion": version.to_string()}, "items": items}).to_string())
}

fn whole(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

fn event(kind: &str, object: &Value) -> String {
    format!("{}\n", json!({"type": kind, "object": object}))
}

/// Over the end of a watch, one that breaks off, a server that cannot answer, and changes that are no longer kept.
#[tokio::test]
async fn nothing_is_missed_and_nothing_is_told_twice() {
    let gone = json!({"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"});
    let broken = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 9999\r\n\r\n{\"type\":";
    let busy = r#"{"kind":"Status","code":503,"message":"no leader"}"#;
    let busy = format!("HTTP/1.1 503 Busy\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{busy}", busy.len());
    let bookmark = event("BOOKMARK", &json!({"metadata": {"resourceVersion": "5"}}));
    let (mut api, server) = serve(vec![
        list(1, &[map("a", 1), map("same", 1)]),
        whole(&[event("MODIFIED", &map("a", 2)), bookmark].concat()),
        broken.to_owned(),
        busy,
        whole(&event("ERROR", &gone)),
        list(9, &[map("b", 8), map("same", 1)]),
        whole(&event("DELETED", &map("b", 10))),
    ]);
    let mut follow = Follow::new(&mut api, kinds::row(Kind::ConfigMap), Place::Everywhere, Selection::named("x"));
    let mut told = Vec::new();
    while told.len() < 6 {
        for change in follow.next().await.unwrap() {
            let (what, object) = match change {
                Change::Is(object) => ("is", object),
                Change::Gone(object) => ("gone", object),
            };
            told.push(format!(
                "{what} {} {}",
                object::name(&object),
                object::text(&object, "/metadata/resourceVersion")
            ));
        }
    }
    assert_eq!(told, ["is a 1", "is same 1", "is a 2", "is b 8", "gone a 2", "gone b 10"]);
    let targets = server.join().unwrap();
    let versions =
        targets.iter().filter_map(|target| target.rsplit_once("resourceVersion=")).map(|(_, version)| version);
    assert_eq!(versions.collect::<Vec<_>>(), ["1", "5", "5", "5", "9"], "{targets:?}");
    assert!(targets.iter().all(|target| target.contains("fieldSelector=metadata.name%3Dx")), "{targets:?}");
}

#[tokio::test]
async fn who_was_never_reached_is_not_waited_for() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut api = KubeApi::new(Url::parse(&format!("http://{nobody}")).unwrap().into());
    let row = kinds::row(Kind::ConfigMap);
    let error = Follow::new(&mut api, row, Place::Everywhere, Selection::default()).next().await.unwrap_err();
    assert!(matches!(error, KubeError::NoAnswer(CallError::Connect { .. })), "{error}");
}

/// A list of several pages is read as one; each object says what it is.
#[tokio::test]
async fn lists_are_read_in_pages() {
    let page = |more: &str, name: &str| {
        let metadata = json!({"resourceVersion": "3", "continue": more});
        whole(&json!({"metadata": metadata, "items": [{"metadata": {"name": name}}]}).to_string())
    };
    let (mut api, server) = serve(vec![page("a b", "one"), page("", "two")]);
    let list = api.list(kinds::row(Kind::ConfigMap), &Place::Everywhere, &Selection::default()).await.unwrap();
    assert_eq!((list.items.len(), list.version.as_str()), (2, "3"));
    assert_eq!((object::name(&list.items[1]), object::text(&list.items[1], "/kind")), ("two", "ConfigMap"));
    assert!(server.join().unwrap()[1].ends_with("limit=500&continue=a%20b"));
}
