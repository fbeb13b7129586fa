//! Ordered delivery (279, 280).

use std::collections::BTreeMap;

use pelton_event::{AttributeValue, Event};
use tokio::sync::watch;

use crate::sink::{Sink, status};
use crate::world::{QUICK, World, build};

const ORDERED: &str = "pelton.dev/delivery-order: ordered";

fn keyed(id: u64, key: Option<&str>) -> Event {
    let id = id.to_string();
    let builder = Event::builder().id(&id).source("/s").ty("t");
    build(match key {
        Some(key) => builder.extension("partitionkey", AttributeValue::String(key)),
        None => builder,
    })
}

/// 279: without keys, each next event comes after the answer to the one before, through failures too.
#[tokio::test]
async fn events_without_a_key_come_one_after_the_other() {
    let sink =
        Sink::start(|received| status(if received.earlier < 2 && received.id() == "3" { 500 } else { 202 })).await;
    let world = World::new().await;
    world.trigger_with("t", &sink.url("/"), &format!("delivery: {{{QUICK}}}"), ORDERED).await;
    world.send_numbered(0..30).await;
    world.settled().await;
    let mut want: Vec<_> = (0..30).map(|n| n.to_string()).collect();
    want.splice(3..3, ["3".to_owned(), "3".to_owned()]);
    assert_eq!(sink.ids("/"), want);
}

/// 280: order in each key, keys beside each other: b and c go on while a's first event is not answered.
#[tokio::test]
async fn keys_are_ordered_and_do_not_wait_for_each_other() {
    let gate = watch::Sender::new(false);
    let held = gate.clone();
    let sink = Sink::start(move |received| {
        let answer = status(202);
        if received.id() == "0" { answer.when(&held) } else { answer }
    })
    .await;
    let world = World::new().await;
    world.trigger_with("t", &sink.url("/"), "", ORDERED).await;
    let keys = ["a", "b", "c"];
    let events: Vec<_> = (0..60_u64).map(|n| keyed(n, Some(keys[n as usize % 3]))).collect();
    world.send_all(&events).await;
    sink.wait("/", 41).await;
    assert_eq!(sink.at("/").iter().filter(|received| received.header("ce-partitionkey") == Some("a")).count(), 1);
    gate.send_replace(true);
    world.settled().await;
    let mut by_key: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for received in sink.at("/") {
        let key = received.header("ce-partitionkey").unwrap().to_owned();
        by_key.entry(key).or_default().push(received.id().parse().unwrap());
    }
    for (n, key) in (0..).zip(keys) {
        assert_eq!(by_key[key], (0..20).map(|i| i * 3 + n).collect::<Vec<u64>>(), "{key}");
    }
}

/// Order holds over a restart: what was pending goes before what follows it.
#[tokio::test]
async fn order_survives_a_restart() {
    let gate = watch::Sender::new(false);
    let held = gate.clone();
    let sink = Sink::start(move |_| status(202).when(&held)).await;
    let mut world = World::new().await;
    world.trigger_with("t", &sink.url("/"), "", ORDERED).await;
    let events: Vec<_> = (0..40_u64).map(|n| keyed(n, Some(if n % 2 == 0 { "a" } else { "b" }))).collect();
    world.send_all(&events[..20]).await;
    sink.wait("/", 2).await;
    world.until("matches are stored", |state| state.scanned.0 == 20).await;
    world.stop_now().await;
    gate.send_replace(true);
    world.send_all(&events[20..]).await;
    world.start();
    world.settled().await;
    for key in ["a", "b"] {
        let mut ids: Vec<u64> = sink
            .at("/")
            .iter()
            .filter(|received| received.header("ce-partitionkey") == Some(key))
            .map(|received| received.id().parse().unwrap())
            .collect();
        // The one on its way at the stop may have come twice.
        ids.dedup();
        let first = u64::from(key == "b");
        assert_eq!(ids, (0..20).map(|i| i * 2 + first).collect::<Vec<_>>(), "{key}");
    }
}
