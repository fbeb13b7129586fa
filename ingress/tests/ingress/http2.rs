//! HTTP/2 by prior knowledge, on the same port.

use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use http::Request;
use pelton_ingress::{IngressHandle, Options};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::support::{FakeLog, GUARD, ask, event, serve, soon, start};

pub type End = JoinHandle<Result<(), h2::Error>>;

pub async fn connect(ingress: &IngressHandle) -> (SendRequest<Bytes>, End) {
    let stream = TcpStream::connect(ingress.local_addr()).await.unwrap();
    let (send, connection) = h2::client::handshake(stream).await.unwrap();
    (send, tokio::spawn(connection))
}

pub fn post() -> http::request::Builder {
    Request::post("http://x/default/default")
        .header("ce-specversion", "1.0")
        .header("ce-id", "1")
        .header("ce-source", "/s")
        .header("ce-type", "t")
}

/// Sends one request; status and `Retry-After`-like headers of the answer.
pub async fn send(client: &SendRequest<Bytes>, request: Request<()>, data: &[u8]) -> http::Response<h2::RecvStream> {
    let mut client = soon("readiness", client.clone().ready()).await.unwrap();
    let (answer, mut body) = client.send_request(request, data.is_empty()).unwrap();
    if !data.is_empty() {
        body.reserve_capacity(data.len());
        // A refused body may be reset while it is being sent.
        let _ = body.send_data(Bytes::copy_from_slice(data), true);
    }
    soon("an answer", answer).await.unwrap()
}

#[tokio::test]
async fn events_come_in_over_http2_beside_http1() {
    let (log, ingress) = start();
    let (client, _end) = connect(&ingress).await;
    let answer = send(&client, post().body(()).unwrap(), b"data").await;
    assert_eq!(answer.status(), 202);
    assert_eq!(answer.headers()["allow"], "POST, OPTIONS");
    assert_eq!(ask(&ingress, event("x")).await.status, 202);
    assert_eq!(log.calls()[0].events[0].data(), b"data");
    for (method, path, want) in
        [("GET", "/default/default", 405), ("OPTIONS", "/", 200), ("POST", "/", 404), ("POST", "/a/b", 404)]
    {
        let request = Request::builder().method(method).uri(format!("http://x{path}")).body(()).unwrap();
        assert_eq!(send(&client, request, b"").await.status(), want, "{method} {path}");
    }
}

#[tokio::test]
async fn many_streams_at_once() {
    let (log, ingress) = start();
    log.open(false);
    let (client, _end) = connect(&ingress).await;
    let mut answers = Vec::new();
    for _ in 0..200 {
        let mut client = soon("readiness", client.clone().ready()).await.unwrap();
        let (answer, mut body) = client.send_request(post().body(()).unwrap(), false).unwrap();
        body.send_data(Bytes::from_static(b"x"), true).unwrap();
        answers.push(answer);
    }
    log.called(200).await;
    log.open(true);
    for answer in answers {
        assert_eq!(soon("an answer", answer).await.unwrap().status(), 202);
    }
}

#[tokio::test]
async fn the_limits_hold_on_http2_too() {
    let (log, ingress) = start();
    let (client, _end) = connect(&ingress).await;
    let declared = post().header("content-length", "2000000").body(()).unwrap();
    let mut ready = soon("readiness", client.clone().ready()).await.unwrap();
    let (answer, _body) = ready.send_request(declared, false).unwrap();
    assert_eq!(soon("an answer", answer).await.unwrap().status(), 413, "declared");
    assert_eq!(send(&client, post().body(()).unwrap(), &vec![b'x'; 1_100_000]).await.status(), 413, "sent");
    let mut many = post();
    for n in 0..200 {
        many = many.header(format!("x-{n}"), "y");
    }
    assert_eq!(send(&client, many.body(()).unwrap(), b"x").await.status(), 431, "many headers");
    let large = post().header("x-large", "y".repeat(300 * 1024)).body(()).unwrap();
    assert_eq!(send(&client, large, b"x").await.status(), 431, "large headers");
    assert_eq!(send(&client, post().body(()).unwrap(), b"x").await.status(), 202, "and the connection lives");
    assert_eq!(log.calls().len(), 1);
}

#[tokio::test]
async fn a_body_that_stops_half_way_ends_its_stream_alone() {
    let log = FakeLog::new(&["default/default"]);
    let ingress = serve(&log, Options { body_grace: Duration::from_millis(50), ..Options::default() });
    let (client, _end) = connect(&ingress).await;
    let mut ready = soon("readiness", client.clone().ready()).await.unwrap();
    let (answer, mut body) = ready.send_request(post().body(()).unwrap(), false).unwrap();
    body.send_data(Bytes::from_static(b"half"), false).unwrap();
    assert_eq!(soon("an answer", answer).await.unwrap().status(), 408);
    assert_eq!(send(&client, post().body(()).unwrap(), b"x").await.status(), 202);
}

#[tokio::test]
async fn shutdown_finishes_open_streams() {
    let (log, ingress) = start();
    log.open(false);
    let (client, end) = connect(&ingress).await;
    let pending = tokio::spawn({
        let client = client.clone();
        async move { send(&client, post().body(()).unwrap(), b"x").await.status() }
    });
    log.called(1).await;
    let shutdown = tokio::spawn(ingress.shutdown(GUARD));
    log.open(true);
    assert_eq!(soon("the answer", pending).await.unwrap(), 202);
    assert_eq!(soon("the end", shutdown).await.unwrap(), 0);
    drop(client);
    soon("the farewell", end).await.unwrap().unwrap();
}

#[tokio::test]
async fn an_idle_connection_is_let_go() {
    let log = FakeLog::new(&["default/default"]);
    let ingress = serve(&log, Options { idle_timeout: Duration::from_millis(100), ..Options::default() });
    let (client, end) = connect(&ingress).await;
    assert_eq!(send(&client, post().body(()).unwrap(), b"x").await.status(), 202);
    soon("the farewell", end).await.unwrap().unwrap();
}
