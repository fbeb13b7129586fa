//! Subscribers that hang, drag, fail or attack, and their neighbours (F21 to F25, S17, 131).

use pelton_client::Cause;
use tokio::sync::watch;

use crate::sink::{Brute, Misbehaviour, Sink, status};
use crate::world::{QUICK, World, event, eventually};

/// F21, 131: black holes beside a good subscriber. It gets everything; connections to the bad ones are bounded.
#[tokio::test]
async fn black_holes_stall_themselves() {
    let sink = Sink::accepting().await;
    let silent = Brute::start(Misbehaviour::Silence).await;
    let closing = Brute::start(Misbehaviour::Close).await;
    let mut world = World::asleep("").await;
    world.options.max_connections = 7;
    world.start();
    for n in 0..5 {
        world.trigger(&format!("silent{n}"), &silent.url, "delivery: {timeout: PT1H}").await;
        world.trigger(&format!("closing{n}"), &closing.url, &format!("delivery: {{retry: 100, {QUICK}}}")).await;
    }
    world.trigger("good", &sink.url("/good"), "").await;
    for n in 0..10 {
        world.send_numbered(n * 100..(n + 1) * 100).await;
    }
    sink.wait("/good", 1_000).await;
    assert_eq!(sink.at("/good").len(), 1_000);
    // The bound, and one for each trigger that comes when it is met.
    assert!(*silent.connections.borrow() <= 7 + 5, "{} connections", *silent.connections.borrow());
}

/// F22: a slow subscriber has its own `max-in-flight` attempts on their way, and a quick one at another port does not
/// notice.
#[tokio::test]
async fn a_slow_subscriber_stalls_itself() {
    let gate = watch::Sender::new(false);
    let held = gate.clone();
    let slow = Sink::start(move |_| status(202).when(&held)).await;
    let quick = Sink::accepting().await;
    let world = World::new().await;
    world.trigger("slow", &slow.url("/"), "delivery: {timeout: PT1H}").await;
    world.trigger("quick", &quick.url("/"), "").await;
    for n in 0..20 {
        world.send_numbered(n * 100..(n + 1) * 100).await;
    }
    quick.wait("/", 2_000).await;
    assert!(slow.at("/").len() <= 100);
    gate.send_replace(true);
    world.settled().await;
    assert_eq!(slow.at("/").len(), 2_000);
}

/// F21, F22: subscribers behind one host and port share its connections, so those that hang must not take them all. They
/// hang here with every connection they can get before the good one has its first event.
#[tokio::test]
async fn subscribers_that_hang_leave_room_for_others_at_their_port() {
    const CONNECTIONS: usize = 64;
    const HANGING: usize = 8;
    let gate = watch::Sender::new(false);
    let held = gate.clone();
    let sink = Sink::start(move |received| match &*received.path {
        "/good" => status(202),
        _ => status(202).when(&held),
    })
    .await;
    let mut world = World::asleep("").await;
    world.options.max_connections = CONNECTIONS;
    world.start();
    for n in 0..HANGING {
        let annotations = if n % 2 == 0 { "pelton.dev/max-in-flight: '10000'" } else { "" };
        world
            .trigger_with(&format!("h{n}"), &sink.url(&format!("/{n}")), "delivery: {timeout: PT1H}", annotations)
            .await;
    }
    world.send_numbered(0..100).await;
    let hangs = || sink.received().iter().filter(|received| received.path != "/good").count();
    for n in 0..HANGING {
        sink.wait(&format!("/{n}"), 1).await;
    }
    eventually("every connection is taken", || async { hangs() >= CONNECTIONS }).await;
    world.trigger("good", &sink.url("/good"), "").await;
    for n in 1..11 {
        world.send_numbered(n * 100..(n + 1) * 100).await;
    }
    sink.wait("/good", 1_000).await;
    assert!(hangs() <= CONNECTIONS + HANGING, "{} attempts hang", hangs());
    assert!(*sink.connections.borrow() <= CONNECTIONS + HANGING + 1, "{} connections", *sink.connections.borrow());
    gate.send_replace(true);
    world.settled().await;
    for n in 0..HANGING {
        assert_eq!(sink.at(&format!("/{n}")).len(), 1_100, "trigger {n} gets everything once it answers");
    }
    assert_eq!(sink.at("/good").len(), 1_000);
}

/// F23: a poison event goes to the dead letters after exactly the policy; its neighbours are delivered once.
#[tokio::test]
async fn a_poison_event_hurts_nobody_else() {
    for annotations in ["", "pelton.dev/delivery-order: ordered"] {
        let sink = Sink::start(|received| status(if received.id() == "5" { 500 } else { 202 })).await;
        let world = World::new().await;
        let spec = format!("delivery: {{retry: 10, {QUICK}}}");
        world.trigger_with("t", &sink.url("/"), &spec, annotations).await;
        world.send_numbered(0..50).await;
        world.settled().await;
        let ids = sink.ids("/");
        for n in 0..50 {
            let count = ids.iter().filter(|id| **id == n.to_string()).count();
            assert_eq!(count, if n == 5 { 11 } else { 1 }, "event {n}, {annotations:?}");
        }
        let letter = world.letters().remove(0);
        assert_eq!((letter.position.offset.0, letter.attempts), (5, 11));
    }
}

/// F24: subscriber and sink are both down. Every event is kept, after exactly the policy at both.
#[tokio::test]
async fn with_the_sink_down_too_every_event_is_kept() {
    let sink = Sink::start(|_| status(500)).await;
    let world = World::new().await;
    let spec = format!("delivery: {{retry: 2, {QUICK}, deadLetterSink: {{uri: '{}'}}}}", sink.url("/dead"));
    world.trigger("t", &sink.url("/"), &spec).await;
    world.send_numbered(0..20).await;
    world.settled().await;
    assert_eq!(world.letters().len(), 20);
    assert_eq!((sink.at("/").len(), sink.at("/dead").len()), (60, 60));
    assert!(world.letters().iter().all(|letter| letter.attempts == 3 && letter.cause == Cause::RetriesExhausted));
}

/// S17: bodies without end cost a bounded number of bytes, and are no reason to wait.
#[tokio::test]
async fn an_endless_answer_is_not_read_to_its_end() {
    /// What the kernel of either side may hold beyond what we read.
    const SOCKETS: usize = 12 * 1024 * 1024;
    let rows = [
        (Misbehaviour::Endless(200, "content-type: text/plain"), None),
        (Misbehaviour::Endless(500, "content-type: text/plain"), Some(Cause::RetriesExhausted)),
        (Misbehaviour::Endless(422, "content-type: text/plain"), Some(Cause::Rejected)),
        (
            Misbehaviour::Endless(200, "ce-specversion: 1.0\r\nce-id: 1\r\nce-source: /s\r\nce-type: t"),
            Some(Cause::Reply),
        ),
    ];
    for (misbehaviour, want) in rows {
        let brute = Brute::start(misbehaviour).await;
        let world = World::new().await;
        world.trigger("t", &brute.url, "delivery: {retry: 0, timeout: PT60S}").await;
        world.send(event("1", "t")).await;
        world.settled().await;
        assert_eq!(world.letters().first().map(|letter| letter.cause), want, "{misbehaviour:?}");
        assert!(*brute.sent_bytes.borrow() < SOCKETS, "{misbehaviour:?}: {} B", *brute.sent_bytes.borrow());
        if let Some(letter) = world.letters().first() {
            assert!(letter.answer.detail.len() <= 768);
        }
    }
}

/// A subscriber that closes each connection after its answer gets every event once.
#[tokio::test]
async fn connections_that_are_closed_are_made_again() {
    let sink = Sink::start(|_| status(202).header("connection", "close")).await;
    let world = World::new().await;
    world.trigger("t", &sink.url("/"), "delivery: {retry: 0}").await;
    for n in 0..20 {
        world.send_numbered(n * 10..(n + 1) * 10).await;
    }
    world.settled().await;
    assert!(world.letters().is_empty(), "{:?}", world.letters().first());
    assert_eq!(sink.at("/").len(), 200);
}

/// Connections that nobody uses go away.
#[tokio::test]
async fn idle_connections_are_closed() {
    let sink = Sink::accepting().await;
    let mut world = World::asleep("").await;
    world.options.idle_timeout = std::time::Duration::from_millis(50);
    world.start();
    world.trigger("t", &sink.url("/"), "").await;
    world.send_numbered(0..50).await;
    world.settled().await;
    eventually("no connection is left", || async { *sink.connections.borrow() == 0 }).await;
    world.send_numbered(50..60).await;
    world.settled().await;
    assert_eq!(sink.at("/").len(), 60);
}

/// A target that keeps failing opens its circuit: attempts become probes, events wait without spending attempts, and
/// when it is back every event has had exactly the attempts its policy allows.
#[tokio::test]
async fn an_open_circuit_neither_adds_attempts_nor_takes_them() {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;
    let down = Arc::new(AtomicBool::new(true));
    let state = down.clone();
    let sink = Sink::start(move |_| status(if state.load(Ordering::SeqCst) { 503 } else { 202 })).await;
    let mut world = World::asleep("").await;
    world.options.circuit = pelton_dispatcher::CircuitOptions {
        failures: 20,
        events: 5,
        span: Duration::ZERO,
        first_probe: Duration::from_millis(20),
        last_probe: Duration::from_millis(40),
    };
    world.start();
    let id = world.trigger("t", &sink.url("/"), &format!("delivery: {{retry: 3, {QUICK}}}")).await;
    world.send_numbered(0..300).await;
    // 20 failures open it, up to 100 were on their way then; the probes come one by one after that.
    sink.wait("/", 130).await;
    let pending = world.stored().cursors[&id].pending.len();
    assert!(pending > 200, "{pending}: events wait in the log while the circuit is open");
    down.store(false, Ordering::SeqCst);
    world.settled().await;
    let ids = sink.ids("/");
    for n in 0..300 {
        let id = n.to_string();
        let attempts = ids.iter().filter(|other| **other == id).count();
        assert!((1..=4).contains(&attempts), "event {n}: {attempts}");
    }
    for letter in world.letters() {
        assert_eq!(letter.attempts, 4, "given up after exactly the policy");
    }
}
