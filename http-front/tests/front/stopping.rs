//! Stopping: politely, and at once.

use std::time::Duration;

use bytes::Bytes;
use http::Request;
use pelton_http_front::FrontOptions;
use tokio::net::TcpStream;

use crate::http2;
use crate::support::{GUARD, Peer, get, serve, soon};

#[tokio::test]
async fn shutdown_answers_what_was_read_and_says_farewell() {
    let (fake, front) = serve(FrontOptions { half_close: false, upgrades: true, ..FrontOptions::default() });
    let address = front.local_addr();
    let mut idle = Peer::connect(address).await;
    idle.ask_root().await;
    let silent = Peer::connect(address).await;
    let mut streams = Peer::connect(address).await;
    streams.ask(get("/stream")).await;
    let pieces = fake.pieces().await;
    let mut waits = Peer::connect(address).await;
    waits.send(get("/wait")).await;
    let (client, end) = http2::connect(&front).await;
    let mut ready = soon("readiness", client.clone().ready()).await.unwrap();
    let (answer, _) = ready.send_request(Request::get("http://x/wait").body(()).unwrap(), true).unwrap();
    fake.waits(2).await;

    let shutdown = tokio::spawn(front.shutdown(GUARD));
    idle.closed().await;
    silent.closed().await;
    assert!(TcpStream::connect(address).await.is_err(), "nothing new is accepted");
    assert!(!shutdown.is_finished());
    fake.open();
    let head = waits.read_to("\r\n\r\n").await.unwrap();
    assert!(head.contains("connection: close"), "{head}");
    waits.closed().await;
    assert_eq!(soon("the answer", answer).await.unwrap().status(), 200);
    drop((client, ready));
    soon("the farewell", end).await.unwrap().unwrap();
    assert!(!shutdown.is_finished(), "a stream is answered to its end");
    pieces.send(Bytes::from_static(b"last piece")).await.unwrap();
    drop(pieces);
    assert!(streams.read_to("last piece\r\n0\r\n\r\n").await.is_some());
    streams.closed().await;
    assert_eq!(soon("the end", shutdown).await.unwrap(), 0);
}

#[tokio::test]
async fn what_is_not_done_by_the_deadline_is_cut_and_counted() {
    let (fake, front) = serve(FrontOptions { upgrades: true, ..FrontOptions::default() });
    let mut stuck = Peer::connect(front.local_addr()).await;
    stuck.send(get("/wait")).await;
    fake.waits(1).await;
    assert_eq!(soon("the end", front.shutdown(Duration::from_millis(20))).await, 1);
    assert_eq!(stuck.read_to("\r\n").await, None);
    fake.waits(0).await;
}

#[tokio::test]
async fn dropping_the_handle_cuts() {
    let (_fake, front) = serve(FrontOptions::default());
    let mut peer = Peer::connect(front.local_addr()).await;
    peer.ask_root().await;
    drop(front);
    peer.closed().await;
}
