//! What reaches the log.

use pelton_client::Hops;
use pelton_event::{AttributeValue, DataKind, Event};

use crate::support::{FakeLog, HEAD, Producer, ask, event, request, serve, start, typed};

const ARRIVED: &str = "2024-02-29T12:34:56.789Z";

fn text<'a>(event: &'a Event, name: &str) -> Option<std::borrow::Cow<'a, str>> {
    event.attribute(name).map(|value| value.to_canonical())
}

#[tokio::test]
async fn a_binary_event_arrives_as_it_was_sent() {
    let (log, ingress) = start();
    let head = format!(
        "{HEAD}content-type: application/json\r\nce-subject: Euro%20%E2%82%AC\r\nce-myext: v\r\nx-other: y\r\n\
         ce-knativebrokerttl: 7\r\n"
    );
    assert_eq!(ask(&ingress, request(&head, "{ \"a\" : 1}")).await.status, 202);
    let calls = log.calls();
    assert_eq!((&*calls[0].broker, calls[0].hops), ("default/default", Hops(6)));
    let event = &calls[0].events[0];
    for (name, want) in [
        ("id", Some("1")),
        ("source", Some("/s")),
        ("type", Some("t")),
        ("subject", Some("Euro €")),
        ("datacontenttype", Some("application/json")),
        ("myext", Some("v")),
        ("knativearrivaltime", Some(ARRIVED)),
        ("knativebrokerttl", None),
        ("other", None),
    ] {
        assert_eq!(text(event, name).as_deref(), want, "{name}");
    }
    assert_eq!((event.data(), event.data_kind()), (&b"{ \"a\" : 1}"[..], DataKind::Bytes));
}

#[tokio::test]
async fn a_structured_event_is_stamped_too() {
    let (log, ingress) = start();
    let json =
        r#"{"specversion":"1.0","id":"1","source":"/s","type":"t","n":5,"knativebrokerttl":9,"data":{"b":1,"a":2}}"#;
    assert_eq!(ask(&ingress, typed("application/cloudevents+json", json)).await.status, 202);
    let calls = log.calls();
    let event = &calls[0].events[0];
    assert_eq!(calls[0].hops, Hops(8));
    assert_eq!(event.extension("n"), Some(AttributeValue::Integer(5)));
    assert_eq!(event.extension("knativebrokerttl"), None);
    assert_eq!(text(event, "knativearrivaltime").as_deref(), Some(ARRIVED));
    assert_eq!(event.data(), br#"{"b":1,"a":2}"#);
}

#[tokio::test]
async fn an_arrival_time_that_is_there_stays() {
    let (log, ingress) = start();
    let head = format!("{HEAD}ce-knativearrivaltime: 2020-01-01T00:00:00Z\r\n");
    assert_eq!(ask(&ingress, request(&head, "x")).await.status, 202);
    let calls = log.calls();
    assert_eq!(text(&calls[0].events[0], "knativearrivaltime").as_deref(), Some("2020-01-01T00:00:00Z"));
    assert_eq!(calls[0].hops, Hops::FULL);
}

#[tokio::test]
async fn a_batch_is_one_append_with_the_lowest_hop_count() {
    let (log, ingress) = start();
    let one = |id: u32, more: &str| format!(r#"{{"specversion":"1.0","id":"{id}","source":"/s","type":"t"{more}}}"#);
    let batch =
        format!("[{},{},{}]", one(1, ""), one(2, r#","knativebrokerttl":4"#), one(3, r#","knativebrokerttl":8"#));
    assert_eq!(ask(&ingress, typed("application/cloudevents-batch+json", &batch)).await.status, 202);
    let calls = log.calls();
    assert_eq!(calls.len(), 1);
    assert_eq!(calls[0].hops, Hops(3));
    assert_eq!(calls[0].events.iter().map(Event::id).collect::<Vec<_>>(), ["1", "2", "3"]);
    for event in &calls[0].events {
        assert_eq!(text(event, "knativearrivaltime").as_deref(), Some(ARRIVED));
        assert_eq!(event.extension("knativebrokerttl"), None);
    }
    assert_eq!(ask(&ingress, typed("application/cloudevents-batch+json", "[]")).await.status, 202);
    assert_eq!(log.calls().len(), 1, "an empty batch is nothing to append");
}

#[tokio::test]
async fn a_broker_may_take_header_values_as_they_are() {
    let log = FakeLog::new(&["default/default"]);
    log.create("default/raw", Some("raw"));
    let ingress = serve(&log, pelton_ingress::Options::default());
    let head = format!("{HEAD}ce-a: 100%25\r\n");
    for path in ["/default/default", "/default/raw"] {
        let head = head.replace("/default/default", path);
        assert_eq!(ask(&ingress, request(&head, "x")).await.status, 202);
    }
    let values: Vec<_> = log.calls().iter().map(|call| text(&call.events[0], "a").unwrap().into_owned()).collect();
    assert_eq!(values, ["100%", "100%25"]);
}

#[tokio::test]
async fn data_is_the_body_byte_for_byte_however_it_is_cut() {
    let (log, ingress) = start();
    let data: Vec<u8> = (0..200_000_u32).map(|n| (n * 7 % 251) as u8).collect();
    let mut producer = Producer::connect(ingress.local_addr()).await;
    producer.send(format!("{HEAD}content-length: {}\r\n\r\n", data.len())).await;
    for piece in data.chunks(17_001) {
        producer.send(piece).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(producer.answer().await.status, 202);
    producer.send(format!("{HEAD}transfer-encoding: chunked\r\n\r\n")).await;
    for piece in data.chunks(33_333) {
        producer.send(format!("{:x}\r\n", piece.len())).await;
        producer.send(piece).await;
        producer.send("\r\n").await;
    }
    producer.send("0\r\nx-trailer: 1\r\n\r\n").await;
    assert_eq!(producer.answer().await.status, 202);
    // One small chunk, and none.
    producer.send(format!("{HEAD}transfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n")).await;
    assert_eq!(producer.answer().await.status, 202);
    producer.send(format!("{HEAD}transfer-encoding: chunked\r\n\r\n0\r\n\r\n")).await;
    assert_eq!(producer.answer().await.status, 202);
    let calls = log.calls();
    let got: Vec<&[u8]> = calls.iter().map(|call| call.events[0].data()).collect();
    assert!(got[0] == data && got[1] == data, "lengths {} and {}", got[0].len(), got[1].len());
    assert_eq!(got[2..], [&b"hi"[..], b""]);
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let (log, ingress) = start();
    let mut producer = Producer::connect(ingress.local_addr()).await;
    let pipeline: String =
        (0..50).map(|n| if n % 5 == 4 { event("").replace("1.0", "2.0") } else { event("x") }).collect();
    producer.send(pipeline).await;
    for n in 0..50 {
        assert_eq!(producer.answer().await.status, if n % 5 == 4 { 400 } else { 202 }, "request {n}");
    }
    assert_eq!(log.calls().len(), 40);
}

#[tokio::test]
async fn an_answer_does_not_wait_for_the_request_after_it() {
    let (_log, ingress) = start();
    let mut producer = Producer::connect(ingress.local_addr()).await;
    let second = event("second");
    let (begin, rest) = second.split_at(40);
    producer.send(event("first") + begin).await;
    assert_eq!(producer.answer().await.status, 202);
    assert_eq!(producer.ask(rest).await.status, 202);
}

#[tokio::test]
async fn a_producer_that_closed_its_side_still_gets_its_answer() {
    let (_log, ingress) = start();
    let mut producer = Producer::connect(ingress.local_addr()).await;
    producer.send(event("x")).await;
    tokio::io::AsyncWriteExt::shutdown(&mut producer.stream).await.unwrap();
    assert_eq!(producer.answer().await.status, 202);
}

#[tokio::test]
async fn expect_continue_is_answered_before_the_body_is_sent() {
    let (_log, ingress) = start();
    let mut producer = Producer::connect(ingress.local_addr()).await;
    producer.send(format!("{HEAD}expect: 100-continue\r\ncontent-length: 2\r\n\r\n")).await;
    assert_eq!(producer.answer().await.status, 100);
    assert_eq!(producer.ask("hi").await.status, 202);
    let refused = format!("{HEAD}expect: 100-continue\r\ncontent-length: 2000000\r\n\r\n");
    assert_eq!(producer.ask(refused).await.status, 413, "told before the body is sent");
}
