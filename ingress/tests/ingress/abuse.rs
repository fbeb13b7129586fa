//! Producers that send too much, too slowly, or nonsense.

use std::time::Duration;

use pelton_ingress::{IngressHandle, Options};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;

use crate::support::{FakeLog, HEAD, Producer, ask, event, request, serve, soon, start, typed};

const MIB: usize = 1024 * 1024;

/// Deadlines short enough to wait for.
fn impatient() -> Options {
    Options {
        header_timeout: Duration::from_millis(80),
        idle_timeout: Duration::from_millis(160),
        body_grace: Duration::from_millis(80),
        write_stall: Duration::from_millis(160),
        ..Options::default()
    }
}

/// A producer that behaves is still served.
async fn still_serves(ingress: &IngressHandle) {
    assert_eq!(ask(ingress, event("x")).await.status, 202);
}

#[tokio::test]
async fn an_event_may_be_as_large_as_the_limit_and_no_larger() {
    let (log, ingress) = start();
    // Attributes count too, so the largest event has a little less data than a MiB.
    assert_eq!(ask(&ingress, event(&"x".repeat(MIB - 1024))).await.status, 202);
    assert_eq!(log.calls()[0].events[0].data().len(), MIB - 1024);
    for length in [MIB, MIB + 1] {
        let mut producer = Producer::connect(ingress.local_addr()).await;
        let answer = producer.ask(event(&"x".repeat(length))).await;
        assert_eq!((answer.status, &*answer.problem()), (413, "too-large"), "{length}");
    }
    assert_eq!(log.calls().len(), 1);
}

#[tokio::test]
async fn a_declared_length_beyond_the_limit_is_refused_unread() {
    let (_log, ingress) = start();
    for length in ["1048577", "1073741824", "9223372036854775807"] {
        let mut producer = Producer::connect(ingress.local_addr()).await;
        let answer = producer.ask(format!("{HEAD}content-length: {length}\r\n\r\n")).await;
        assert_eq!(answer.status, 413, "{length}");
        assert_eq!(answer.header("connection"), Some("close"));
        producer.closed().await;
    }
    still_serves(&ingress).await;
}

#[tokio::test]
async fn chunks_without_end_are_refused_at_the_limit() {
    let (log, ingress) = start();
    let producer = Producer::connect(ingress.local_addr()).await;
    let (mut read, mut write) = producer.stream.into_split();
    let chunk = format!("2000\r\n{}\r\n", "x".repeat(0x2000));
    let sender = tokio::spawn(async move {
        let mut sent = 0;
        write.write_all(format!("{HEAD}transfer-encoding: chunked\r\n\r\n").as_bytes()).await.unwrap();
        while write.write_all(chunk.as_bytes()).await.is_ok() {
            sent += chunk.len();
        }
        sent
    });
    let mut answer = Vec::new();
    let _ = soon("the answer", read.read_to_end(&mut answer)).await;
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(answer.contains("connection: close"), "{answer}");
    // What was sent is what was read (the limit, and as much again to let the answer be seen) and what the kernel
    // held on the way; not a stream without end.
    let sent = soon("the end of sending", sender).await.unwrap();
    assert!(sent < 16 * MIB, "{sent}");
    assert!(log.calls().is_empty());
}

/// 1,000 events a batch, refused as soon as the one beyond is met.
#[tokio::test]
async fn a_batch_has_a_bound_on_events_and_one_on_bytes() {
    let (log, ingress) = start();
    let batch = |count: usize| {
        let events: Vec<String> =
            (0..count).map(|n| format!(r#"{{"specversion":"1.0","id":"{n}","source":"/s","type":"t"}}"#)).collect();
        typed("application/cloudevents-batch+json", &format!("[{}]", events.join(",")))
    };
    assert_eq!(ask(&ingress, batch(1_000)).await.status, 202);
    assert_eq!(log.calls()[0].events.len(), 1_000);
    for count in [1_001, 100_000] {
        let answer = ask(&ingress, batch(count)).await;
        assert_eq!((answer.status, &*answer.problem()), (413, "too-many-events"), "{count}");
    }
    let one = format!(r#"{{"specversion":"1.0","id":"1","source":"/s","type":"t","data":"{}"}}"#, "x".repeat(MIB));
    let answer = ask(&ingress, typed("application/cloudevents-batch+json", &format!("[{one}]"))).await;
    assert_eq!((answer.status, &*answer.problem()), (413, "too-large"));
    assert_eq!(log.calls().len(), 1);
}

#[tokio::test]
async fn headers_have_a_bound_on_number_and_one_on_bytes() {
    let (_log, ingress) = start();
    // Read at once and to its end, so nothing resets the connection before the answer was seen.
    let one_too_many: String = (0..96).map(|n| format!("x-{n}: y\r\n")).collect();
    assert_eq!(one_too_many.lines().count() + HEAD.lines().count() - 1, 101, "the first line is none");
    let mut producer = Producer::connect(ingress.local_addr()).await;
    assert_eq!(producer.ask(format!("{HEAD}{one_too_many}\r\n")).await.status, 431);
    producer.closed().await;
    let many: String = (0..10_000).map(|n| format!("x-{n}: y\r\n")).collect();
    let large = format!("ce-a: {}\r\n", "x".repeat(MIB));
    let dripped = "x: ".to_owned() + &"y".repeat(MIB);
    for head in [format!("{HEAD}{many}\r\n"), format!("{HEAD}{large}\r\n"), format!("{HEAD}{dripped}")] {
        let mut producer = Producer::connect(ingress.local_addr()).await;
        let _ = producer.stream.write_all(head.as_bytes()).await;
        // hyper may close before it has read all, and a reset may swallow its answer.
        if let Some(answer) = producer.try_answer().await {
            assert_eq!(answer.status, 431);
        }
    }
    // All 64 KiB of an event that must be taken may sit in one attribute, and percent-encoding may triple them.
    let largest = request(&format!("{HEAD}ce-a: {}\r\n", "%20".repeat(64 * 1024)), "x");
    assert_eq!(ask(&ingress, largest).await.status, 202);
    still_serves(&ingress).await;
}

#[tokio::test]
async fn a_body_that_stops_half_way_is_answered_408() {
    let log = FakeLog::new(&["default/default"]);
    let ingress = serve(&log, impatient());
    for head in ["content-length: 100\r\n\r\nhalf", "transfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n"] {
        let mut producer = Producer::connect(ingress.local_addr()).await;
        let answer = producer.ask(format!("{HEAD}{head}")).await;
        assert_eq!((answer.status, &*answer.problem()), (408, "body-too-slow"), "{head}");
        assert_eq!(answer.header("connection"), Some("close"));
        producer.closed().await;
    }
    assert!(log.calls().is_empty());
    still_serves(&ingress).await;
}

/// RFC 9112, section 6.3: an attempt at request smuggling, most likely.
#[tokio::test]
async fn a_request_with_two_lengths_is_refused_and_is_the_last_of_its_connection() {
    let (log, ingress) = start();
    for lengths in [
        "content-length: 6\r\ntransfer-encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 6\r\n",
        "content-length: 6\r\ntransfer-encoding: chunked\r\ncontent-length: 6\r\n",
    ] {
        let mut producer = Producer::connect(ingress.local_addr()).await;
        assert_eq!(producer.ask(event("before")).await.status, 202, "{lengths}");
        let behind = event("smuggled");
        let answer = producer.ask(format!("{HEAD}{lengths}\r\n1\r\nx\r\n0\r\n\r\n{behind}")).await;
        assert_eq!((answer.status, &*answer.problem()), (400, "body-broken"), "{lengths}");
        assert_eq!(answer.header("connection"), Some("close"), "{lengths}");
        producer.closed().await;
    }
    assert!(log.calls().iter().all(|call| call.events[0].data() == &b"before"[..]));
    still_serves(&ingress).await;
}

#[tokio::test]
async fn a_body_that_breaks_off_is_no_event() {
    let (log, ingress) = start();
    for rest in ["content-length: 100\r\n\r\nhalf", "transfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n"] {
        let mut producer = Producer::connect(ingress.local_addr()).await;
        producer.send(format!("{HEAD}{rest}")).await;
        producer.stream.shutdown().await.unwrap();
        // Its sender may still read: with its side closed it gets the answer, else the connection is just gone.
        if let Some(answer) = producer.try_answer().await {
            assert_eq!((answer.status, &*answer.problem()), (400, "body-broken"), "{rest}");
        }
    }
    let mut producer = Producer::connect(ingress.local_addr()).await;
    let answer = producer.ask(format!("{HEAD}transfer-encoding: chunked\r\n\r\nzz\r\n")).await;
    assert_eq!((answer.status, &*answer.problem()), (400, "body-broken"));
    assert!(log.calls().is_empty());
}

#[tokio::test]
async fn silence_ends_a_connection_wherever_it_falls() {
    let log = FakeLog::new(&["default/default"]);
    let ingress = serve(&log, impatient());
    for bytes in ["", "P", "PRI * HT", "POST /default/default HTTP/1.1\r\nhost:", "\r\n"] {
        let mut producer = Producer::connect(ingress.local_addr()).await;
        producer.send(bytes).await;
        producer.closed().await;
    }
    // After a request: an idle connection, and a second head that never ends.
    for bytes in ["", "POST /defau"] {
        let mut producer = Producer::connect(ingress.local_addr()).await;
        assert_eq!(producer.ask(event("x")).await.status, 202);
        producer.send(bytes).await;
        producer.closed().await;
    }
    still_serves(&ingress).await;
}

/// A head that drips one byte at a time is cut, although no two bytes are far apart.
#[tokio::test]
async fn a_head_that_drips_is_cut() {
    let log = FakeLog::new(&["default/default"]);
    let ingress = serve(&log, impatient());
    let mut producer = Producer::connect(ingress.local_addr()).await;
    producer.send("POST /default/default HTTP/1.1\r\nx: ").await;
    soon("the end of a drip", async {
        let mut tick = tokio::time::interval(Duration::from_millis(5));
        loop {
            tick.tick().await;
            if producer.stream.write_all(b"y").await.is_err() {
                return;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_peer_that_reads_no_answers_is_cut() {
    let log = FakeLog::new(&["default/default"]);
    let ingress = serve(&log, Options { write_stall: Duration::from_millis(100), ..Options::default() });
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut stream = socket.connect(ingress.local_addr()).await.unwrap();
    let requests = "GET / HTTP/1.1\r\nhost: x\r\n\r\n".repeat(1_000);
    soon("the cut", async { while stream.write_all(requests.as_bytes()).await.is_ok() {} }).await;
    still_serves(&ingress).await;
}

#[tokio::test]
async fn what_is_not_http_ends_one_connection() {
    let (log, ingress) = start();
    for bytes in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
        b"\0\0\0\0\0\0\0\0\0\0",
        b"GET\r\n\r\n",
        b"POST /default/default HTTP/9.9\r\n\r\n",
        b"POST /default/default HTTP/1.1\r\nce-id : 1\r\n\r\n",
        b"POST /default/default HTTP/1.1\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello!",
        b"POST /default/default HTTP/1.1\r\ncontent-length: +5\r\n\r\nhello",
        b"POST /default/default HTTP/1.1\r\ntransfer-encoding: identity\r\n\r\nhello",
        b"POST /default/default\xff HTTP/1.1\r\nhost: \xff\xfe\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\ngarbage that is no frame at all, long enough to be looked at",
    ] {
        let mut producer = Producer::connect(ingress.local_addr()).await;
        producer.send(bytes).await;
        let mut answer = Vec::new();
        // Closed by us, with a 4xx before it or an HTTP/2 farewell; never a 2xx or 5xx.
        let _ = producer.stream.shutdown().await;
        let _ = soon("the end", producer.stream.read_to_end(&mut answer)).await;
        assert!(!answer.starts_with(b"HTTP/1.1 2") && !answer.starts_with(b"HTTP/1.1 5"), "{bytes:?}: {answer:?}");
    }
    assert!(log.calls().is_empty());
    still_serves(&ingress).await;
}

#[tokio::test]
async fn one_connection_too_many_is_told_so() {
    let log = FakeLog::new(&["default/default"]);
    let ingress = serve(&log, Options { max_connections: 2, ..Options::default() });
    let mut first = Producer::connect(ingress.local_addr()).await;
    let mut second = Producer::connect(ingress.local_addr()).await;
    assert_eq!(first.ask(event("x")).await.status, 202);
    assert_eq!(second.ask(event("x")).await.status, 202);
    let mut third = Producer::connect(ingress.local_addr()).await;
    let answer = third.answer().await;
    assert_eq!((answer.status, &*answer.problem()), (503, "too-many-connections"));
    assert_eq!(answer.header("retry-after"), Some("1"));
    assert_eq!(answer.header("allow"), Some("POST, OPTIONS"));
    assert!(third.try_answer().await.is_none(), "nothing follows, and the connection ends");
    drop(first);
    // The place is free when the server has seen the end of the first connection.
    soon("a free place", async {
        loop {
            let mut again = Producer::connect(ingress.local_addr()).await;
            if again.stream.write_all(event("x").as_bytes()).await.is_ok()
                && again.try_answer().await.is_some_and(|answer| answer.status == 202)
            {
                return;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_refused_request_with_a_short_body_keeps_its_connection() {
    let (_log, ingress) = start();
    let mut producer = Producer::connect(ingress.local_addr()).await;
    for _ in 0..3 {
        let unknown = event("some data").replace("/default/default", "/default/unknown");
        let answer = producer.ask(unknown).await;
        assert_eq!((answer.status, answer.header("connection")), (404, None));
        assert_eq!(producer.ask(event("x")).await.status, 202);
    }
}
