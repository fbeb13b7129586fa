//! Delivery policies: how often, when, and where to after that (51 to 56, 129, 134 to 138, 142, 143).

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pelton_client::Cause;

use crate::sink::{Answer, Received, Sink, status};
use crate::world::{QUICK, World, broker, event};

/// Fails the first `n` attempts of each event.
fn drops(n: usize) -> impl Fn(&Received) -> Answer + Send + Sync {
    move |received| status(if received.earlier < n { 500 } else { 202 })
}

/// One row: the Broker's delivery, each Trigger's with how many attempts it fails, and how often each was asked.
struct Row {
    number: u32,
    broker: &'static str,
    triggers: [(&'static str, usize); 2],
    attempts: [usize; 2],
    /// Requests at `t0dlq`, `t1dlq`, `brokerdlq`.
    dead: [usize; 3],
    kept: usize,
}

#[tokio::test]
async fn attempts_and_dead_letter_sinks_follow_the_topology() {
    let rows = [
        Row { number: 51, broker: "", triggers: [("", 0), ("", 0)], attempts: [1, 1], dead: [0, 0, 0], kept: 0 },
        Row {
            number: 52,
            broker: "DLS(brokerdlq), retry: 3, QUICK",
            triggers: [("", 3), ("", 4)],
            attempts: [4, 4],
            dead: [0, 0, 1],
            kept: 0,
        },
        Row {
            number: 53,
            broker: "retry: 0",
            triggers: [("DLS(t0dlq), retry: 3, QUICK", 3), ("retry: 1, QUICK", 2)],
            attempts: [4, 2],
            dead: [0, 0, 0],
            kept: 1,
        },
        Row {
            number: 54,
            broker: "DLS(brokerdlq), retry: 1, QUICK",
            triggers: [("DLS(t0dlq), retry: 3, QUICK", 3), ("", 2)],
            attempts: [4, 2],
            dead: [0, 0, 1],
            kept: 0,
        },
        Row {
            number: 55,
            broker: "DLS(brokerdlq), retry: 1, QUICK",
            triggers: [("DLS(t0dlq), retry: 3, QUICK", 4), ("", 2)],
            attempts: [4, 2],
            dead: [1, 0, 1],
            kept: 0,
        },
        // 56: the sink falls back to the Broker's by itself, the rest of the Trigger's block counts.
        Row {
            number: 56,
            broker: "DLS(brokerdlq), retry: 1, QUICK",
            triggers: [("retry: 3, QUICK", 99), ("DLS(t1dlq), retry: 0", 99)],
            attempts: [4, 1],
            dead: [0, 1, 1],
            kept: 0,
        },
    ];
    for row in rows {
        let sink = Sink::accepting().await;
        let fill = |text: &str| {
            let mut text = text.replace("QUICK", QUICK);
            for name in ["t0dlq", "t1dlq", "brokerdlq"] {
                let url = sink.url(&format!("/{name}"));
                text = text.replace(&format!("DLS({name})"), &format!("deadLetterSink: {{uri: '{url}'}}"));
            }
            text
        };
        let world = World::asleep("").await;
        world.client.apply_yaml(&broker(&fill(row.broker))).await;
        let mut world = world;
        world.start();
        let [(_, drops0), (_, drops1)] = row.triggers;
        let (fails0, fails1) = (drops(drops0), drops(drops1));
        sink.answer(move |received| match received.path.as_str() {
            "/t0" => fails0(received),
            "/t1" => fails1(received),
            _ => status(202),
        });
        for (n, (delivery, _)) in row.triggers.iter().enumerate() {
            let spec = if delivery.is_empty() { String::new() } else { format!("delivery: {{{}}}", fill(delivery)) };
            world.trigger(&format!("t{n}"), &sink.url(&format!("/t{n}")), &spec).await;
        }
        world.send(event("1", "t")).await;
        world.settled().await;
        let count = |path: &str| sink.at(path).len();
        assert_eq!([count("/t0"), count("/t1")], row.attempts, "attempts of row {}", row.number);
        let dead = [count("/t0dlq"), count("/t1dlq"), count("/brokerdlq")];
        assert_eq!(dead, row.dead, "dead letters of row {}", row.number);
        assert_eq!(world.letters().len(), row.kept, "kept letters of row {}", row.number);
    }
}

/// 129: a sink that drops two of three, without retries.
#[tokio::test]
async fn each_event_has_its_own_fate() {
    let sink = Sink::accepting().await;
    sink.answer(|received| status(if received.path == "/" && received.id() != "2" { 500 } else { 202 }));
    let world = World::new().await;
    let delivery = format!("delivery: {{retry: 0, deadLetterSink: {{uri: '{}'}}}}", sink.url("/dead"));
    world.trigger("t", &sink.url("/"), &delivery).await;
    world.send_numbered(0..3).await;
    world.settled().await;
    let mut dead = sink.ids("/dead");
    dead.sort();
    assert_eq!(dead, ["0", "1"]);
    assert_eq!(sink.at("/").len(), 3);
}

/// 134 to 138: what the dead-letter sink is told.
#[tokio::test]
async fn the_dead_letter_sink_is_told_why() {
    let sink = Sink::accepting().await;
    let rows: [(&str, u16, Vec<u8>); 6] = [
        ("135", 422, Vec::new()),
        ("136", 422, b"{ \"message\": \"catastrophic failure\" }".to_vec()),
        ("137", 422, vec![b'X'; 1024 + 7]),
        ("138a", 422, vec![b'X'; 769]),
        ("138b", 422, vec![b'X'; 768]),
        ("138c", 422, vec![b'X'; 10 * 1024 * 1024]),
    ];
    let answers = rows.clone();
    sink.answer(move |received| {
        let row = answers.iter().find(|(id, ..)| *id == received.id());
        match row {
            Some((_, code, body)) if received.path == "/" => status(*code).body(body.clone()),
            _ => status(202),
        }
    });
    let world = World::new().await;
    let delivery = format!("delivery: {{retry: 0, deadLetterSink: {{uri: '{}'}}}}", sink.url("/dead"));
    world.trigger("t", &sink.url("/"), &delivery).await;
    world
        .trigger("unreachable", "http://127.0.0.1:1/x", &format!("filter: {{attributes: {{type: u}}}}, {delivery}"))
        .await;
    for (id, ..) in &rows {
        world.send(event(id, "t")).await;
    }
    world.send(event("134", "u")).await;
    world.settled().await;
    let dead = sink.at("/dead");
    for (id, code, body) in rows {
        let letter = dead.iter().find(|received| received.id() == id).unwrap_or_else(|| panic!("row {id}"));
        assert_eq!(letter.header("ce-knativeerrordest"), Some(&*sink.url("/")), "row {id}");
        assert_eq!(letter.header("ce-knativeerrorcode"), Some(&*code.to_string()), "row {id}");
        let data = (!body.is_empty()).then(|| STANDARD.encode(&body[..body.len().min(768)]));
        assert_eq!(letter.header("ce-knativeerrordata"), data.as_deref(), "row {id}");
        assert_eq!(letter.header("kn-namespace"), Some("default"), "row {id}");
        assert_eq!(letter.header("prefer"), None, "row {id}");
    }
    let letter = dead.iter().find(|received| received.header("ce-type") == Some("u")).unwrap();
    assert_eq!(letter.header("ce-knativeerrordest"), Some("http://127.0.0.1:1/x"));
    assert_eq!(letter.header("ce-knativeerrorcode"), None);
}

/// 305: the sink is tried as often as the subscriber; then the event is kept here.
#[tokio::test]
async fn a_sink_that_fails_too_leaves_the_event_here() {
    let sink = Sink::start(|received| status(if received.path == "/dead" { 503 } else { 422 }).body("no")).await;
    let world = World::new().await;
    let delivery = format!("delivery: {{retry: 2, {QUICK}, deadLetterSink: {{uri: '{}'}}}}", sink.url("/dead"));
    let id = world.trigger("t", &sink.url("/"), &delivery).await;
    world.send(event("1", "t")).await;
    world.settled().await;
    assert_eq!((sink.at("/").len(), sink.at("/dead").len()), (1, 3));
    let letter = world.letters().remove(0);
    assert_eq!((letter.trigger, letter.attempts, letter.cause), (id, 1, Cause::Rejected));
    assert_eq!((letter.destination, letter.answer.code), (sink.url("/dead"), Some(503)));
    assert_eq!(&letter.answer.detail[..], b"no");
}

/// 142: not earlier than asked, and the exact number of attempts.
#[tokio::test]
async fn retry_after_is_waited_for() {
    let sink = Sink::start(|received| match received.earlier {
        0 => status(429).header("retry-after", "1"),
        1 => status(503).header("retry-after", "1"),
        _ => status(202),
    })
    .await;
    let world = World::new().await;
    world.trigger("t", &sink.url("/"), &format!("delivery: {{retry: 5, {QUICK}}}")).await;
    world.send(event("1", "t")).await;
    world.settled().await;
    let at: Vec<_> = sink.at("/").iter().map(|received| received.at).collect();
    assert_eq!(at.len(), 3);
    for pair in at.windows(2) {
        assert!(pair[1] - pair[0] >= Duration::from_secs(1), "{:?}", pair[1] - pair[0]);
    }
}

/// 143: `PT0S` ignores the header. Were it honoured, this test would not end within anyone's patience.
#[tokio::test]
async fn retry_after_can_be_ignored() {
    let sink = Sink::start(
        |received| if received.earlier < 2 { status(429).header("retry-after", "3600") } else { status(202) },
    )
    .await;
    let world = World::new().await;
    world.trigger("t", &sink.url("/"), &format!("delivery: {{retry: 5, retryAfterMax: PT0S, {QUICK}}}")).await;
    world.send(event("1", "t")).await;
    world.settled().await;
    assert_eq!(sink.at("/").len(), 3);
}

/// A 429 holds the trigger's other events back; other triggers of the same target go on.
#[tokio::test]
async fn a_quota_holds_its_trigger_and_no_other() {
    let sink = Sink::start(|received| match received.path.as_str() {
        "/limited" => status(429).header("retry-after", "3600"),
        _ => status(202),
    })
    .await;
    let world = World::new().await;
    world.trigger_with("limited", &sink.url("/limited"), "", "pelton.dev/max-in-flight: '1'").await;
    world.trigger("free", &sink.url("/free"), "").await;
    world.send_numbered(0..50).await;
    sink.wait("/free", 50).await;
    sink.wait("/limited", 1).await;
    world.send_numbered(50..100).await;
    sink.wait("/free", 100).await;
    assert_eq!(sink.at("/limited").len(), 1);
}
