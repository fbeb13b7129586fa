//! S18: a bug that panics ends the connection that met it, and nothing else.

use pelton_ingress::Options;

use tokio::io::AsyncWriteExt;

use crate::http2::{connect, post, send};
use crate::support::{FakeLog, PANIC, Producer, ask, event, serve, soon};

fn bad_event() -> String {
    event("x").replace("ce-id: 1", &format!("ce-id: {PANIC}"))
}

/// More panics than there may be connections: each place, and the bytes that were held, come back.
#[tokio::test]
async fn a_panic_ends_its_connection_and_gives_back_what_it_held() {
    let log = FakeLog::new(&["default/default"]);
    let ingress = serve(&log, Options { max_connections: 2, ..Options::default() });
    let mut other = Producer::connect(ingress.local_addr()).await;
    assert_eq!(other.ask(event("x")).await.status, 202);
    for round in 0..10 {
        // The place of the connection before is free when its end was seen: until then 503 is the answer.
        soon("the end of a connection without an answer", async {
            loop {
                let mut bad = Producer::connect(ingress.local_addr()).await;
                let _ = bad.stream.write_all(bad_event().as_bytes()).await;
                match bad.try_answer().await {
                    None => return,
                    Some(answer) => assert_eq!(answer.problem(), "too-many-connections"),
                }
            }
        })
        .await;
        assert_eq!(other.ask(event("x")).await.status, 202, "round {round}");
    }
    drop(other);
    soon("a place", async { while ask(&ingress, event(&"x".repeat(1024 * 1000))).await.status != 202 {} }).await;
    assert_eq!(log.calls().len(), 12);
}

/// On HTTP/2 it is even the request alone.
#[tokio::test]
async fn a_panic_ends_its_stream() {
    let log = FakeLog::new(&["default/default"]);
    let ingress = serve(&log, Options::default());
    let (client, _end) = connect(&ingress).await;
    for _ in 0..10 {
        let bad = http::Request::post("http://x/default/default")
            .header("ce-specversion", "1.0")
            .header("ce-id", PANIC)
            .header("ce-source", "/s")
            .header("ce-type", "t");
        let mut ready = soon("readiness", client.clone().ready()).await.unwrap();
        let (answer, _body) = ready.send_request(bad.body(()).unwrap(), true).unwrap();
        assert!(soon("the end of the stream", answer).await.is_err());
        assert_eq!(send(&client, post().body(()).unwrap(), b"x").await.status(), 202);
    }
}
