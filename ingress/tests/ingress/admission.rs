//! Bytes in flight: at the bound the answer is at once, and what was held comes back on every way out.

use std::time::Duration;

use pelton_ingress::{IngressHandle, Options};
use tokio::io::AsyncWriteExt;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::support::{FakeLog, HEAD, Producer, ask, event, serve, soon};

const KIB: usize = 1024;

/// The smallest bounds that the options allow: two largest requests with their heads, one of them on its way.
fn tight(brokers: usize) -> Options {
    let largest = 2 * (96 * KIB + 8 * KIB);
    Options {
        max_event_bytes: 96 * KIB,
        max_batch_bytes: 96 * KIB,
        max_header_bytes: 8 * KIB,
        broker_bytes_in_flight: largest,
        node_bytes_in_flight: brokers * largest,
        body_grace: Duration::from_millis(80),
        ..Options::default()
    }
}

fn large(broker: &str) -> String {
    event(&"x".repeat(80 * KIB)).replace("/default/default", broker)
}

/// Two large events whose appends wait. The producer of the second; the first one's answer is not waited for.
async fn hold_two(log: &FakeLog, ingress: &IngressHandle) -> Producer {
    let mut first = Producer::connect(ingress.local_addr()).await;
    first.send(large("/default/default")).await;
    log.called(1).await;
    let mut second = Producer::connect(ingress.local_addr()).await;
    second.send(large("/default/default")).await;
    log.called(2).await;
    tokio::spawn(async move { first.answer().await });
    second
}

#[tokio::test]
async fn a_broker_at_its_bound_answers_429_at_once_and_others_go_on() {
    let log = FakeLog::new(&["default/default", "default/other"]);
    let ingress = serve(&log, tight(2));
    log.open(false);
    let mut holder = hold_two(&log, &ingress).await;
    let answer = ask(&ingress, large("/default/default")).await;
    assert_eq!((answer.status, &*answer.problem()), (429, "broker-busy"));
    assert_eq!(answer.header("retry-after"), Some("1"));
    let mut other = Producer::connect(ingress.local_addr()).await;
    other.send(large("/default/other")).await;
    log.called(3).await;
    log.open(true);
    assert_eq!(holder.answer().await.status, 202);
    assert_eq!(other.answer().await.status, 202);
    assert_eq!(holder.ask(large("/default/default")).await.status, 202, "what was held came back");
}

#[tokio::test]
async fn a_node_at_its_bound_answers_503_at_once() {
    let log = FakeLog::new(&["default/default", "default/other"]);
    let ingress = serve(&log, tight(1));
    log.open(false);
    let mut holder = hold_two(&log, &ingress).await;
    // An announced body is refused before it is sent, one of unknown length when it no longer fits.
    let announced = format!("{HEAD}content-length: {}\r\n\r\n", 80 * KIB).replace("/default/default", "/default/other");
    let chunked = format!("{HEAD}transfer-encoding: chunked\r\n\r\n14000\r\n{}", "x".repeat(80 * KIB))
        .replace("/default/default", "/default/other");
    for bytes in [announced, chunked] {
        let answer = ask(&ingress, bytes).await;
        assert_eq!((answer.status, &*answer.problem()), (503, "node-busy"));
        assert_eq!(answer.header("retry-after"), Some("1"));
    }
    // A small one still fits.
    log.open(true);
    assert_eq!(ask(&ingress, event("x").replace("/default/default", "/default/other")).await.status, 202);
    assert_eq!(holder.answer().await.status, 202);
}

/// Each way a request can end gives back what it held: afterwards a request that needs all of it fits.
#[tokio::test]
async fn every_way_out_gives_back() {
    let log = FakeLog::new(&["default/default"]);
    let ingress = serve(&log, Options { append_deadline: Duration::from_millis(50), ..tight(1) });
    let half = format!("{HEAD}content-length: {}\r\n\r\nhalf", 80 * KIB);
    for round in 0..3 {
        // Refused by the decoder, by the log, by the deadline, by the body's pace.
        assert_eq!(ask(&ingress, large("/default/default").replace("1.0", "0.3")).await.status, 400);
        log.answer(Some(pelton_client::AppendError::StorageFull));
        assert_eq!(ask(&ingress, large("/default/default")).await.status, 503);
        log.answer(None);
        log.open(false);
        assert_eq!(ask(&ingress, large("/default/default")).await.status, 503);
        log.open(true);
        assert_eq!(ask(&ingress, &half).await.status, 408);
        // The producer goes away in the middle of its body. When that was noticed is not told to anybody, so ask
        // until there is room.
        let mut gone = Producer::connect(ingress.local_addr()).await;
        gone.send(&half).await;
        drop(gone);
        soon("room", async {
            while ask(&ingress, large("/default/default")).await.status != 202 {
                tokio::task::yield_now().await;
            }
        })
        .await;
        assert_eq!(ask(&ingress, large("/default/default")).await.status, 202, "round {round}");
    }
}

/// As many largest events at once as the default bounds allow are taken, all others refused at once, none lost.
#[tokio::test]
async fn five_hundred_largest_events_at_once_hold_no_more_than_the_bound() {
    let log = FakeLog::new(&["default/default"]);
    let ingress = serve(&log, Options::default());
    let head = format!("{HEAD}content-length: {}\r\n\r\n", 1000 * KIB);
    let (go, _) = watch::channel(false);
    let mut producers = JoinSet::new();
    for _ in 0..500 {
        let mut producer = Producer::connect(ingress.local_addr()).await;
        producer.send(&head).await;
        let mut go = go.subscribe();
        producers.spawn(async move {
            tokio::select! {
                biased;
                answer = producer.answer() => return answer.status,
                _ = go.changed() => {}
            }
            producer.ask("x".repeat(1000 * KIB)).await.status
        });
    }
    // Half of 24 MiB a Broker hold 12 events of 1,000 KiB that are on their way, and their heads; each of the others
    // is refused before its body.
    for _ in 12..500 {
        assert_eq!(soon("a refusal", producers.join_next()).await.unwrap().unwrap(), 429);
    }
    go.send_replace(true);
    while let Some(status) = soon("an answer", producers.join_next()).await {
        assert_eq!(status.unwrap(), 202);
    }
    assert_eq!(log.calls().len(), 12);
}

/// Producers that announce much and send it drop by drop keep each other out, and nobody whose event is there.
#[tokio::test]
async fn drops_do_not_keep_out_what_is_there() {
    let log = FakeLog::new(&["default/default"]);
    let ingress = serve(&log, Options { body_grace: Duration::from_secs(60), ..tight(1) });
    let announced = format!("{HEAD}content-length: {}\r\n\r\ndrop", 90 * KIB);
    let mut slow = Producer::connect(ingress.local_addr()).await;
    slow.send(announced.replace("ce-id: 1", "ce-id: 1\r\nexpect: 100-continue")).await;
    assert_eq!(slow.answer().await.status, 100, "its body is waited for");
    let mut others = Vec::new();
    for _ in 0..10 {
        let mut other = Producer::connect(ingress.local_addr()).await;
        other.send(&announced).await;
        others.push(other);
    }
    let mut refused = 0;
    for other in &mut others {
        refused += usize::from(other.answer().await.status == 429);
    }
    assert_eq!(refused, 10);
    for _ in 0..10 {
        assert_eq!(ask(&ingress, event("x")).await.status, 202);
    }
    assert_eq!(slow.ask("x".repeat(90 * KIB - 4)).await.status, 202);
}

/// Heads that are not complete count too: beyond the node's bound their connections end, and others are served.
#[tokio::test]
async fn incomplete_heads_are_bounded() {
    let log = FakeLog::new(&["default/default"]);
    let options = Options { max_header_bytes: 64 * KIB, broker_bytes_in_flight: 320 * KIB, ..tight(2) };
    let ingress = serve(&log, options);
    let mut producers = JoinSet::new();
    // 208 KiB hold about five heads of 48 KiB, of which 8 KiB each are not counted.
    for _ in 0..40 {
        let mut producer = Producer::connect(ingress.local_addr()).await;
        producers.spawn(async move {
            let _ = producer.stream.write_all(HEAD.as_bytes()).await;
            for _ in 0..6 {
                let filler = format!("x: {}\r\n", "y".repeat(8 * KIB));
                let _ = producer.stream.write_all(filler.as_bytes()).await;
                tokio::task::yield_now().await;
            }
            let answer = producer.try_answer().await;
            assert!(answer.is_none(), "{answer:?}");
        });
    }
    for _ in 0..30 {
        soon("a cut", producers.join_next()).await.unwrap().unwrap();
    }
    producers.shutdown().await;
    soon("room", async { while ask(&ingress, event("x")).await.status != 202 {} }).await;
}
