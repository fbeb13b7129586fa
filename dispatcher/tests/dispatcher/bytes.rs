//! Events on their way and replies that come in are bounded by bytes, for the whole dispatcher.

use pelton_client::Cause;
use pelton_event::{DataKind, Event};
use tokio::sync::watch;

use crate::sink::{Brute, Misbehaviour, Sink, status};
use crate::world::{QUICK, World, build, event, eventually};

const KIB: usize = 1024;

fn large(id: u64, ty: &str, data: &[u8]) -> Event {
    let id = id.to_string();
    build(Event::builder().id(&id).source("/test").ty(ty).data(DataKind::Bytes, data))
}

/// Triggers that hang hold so many bytes and no more; others deliver meanwhile, events above the whole bound too; and
/// when bytes come back everything goes out, once.
#[tokio::test]
async fn events_on_their_way_are_bounded_by_bytes() {
    let gate = watch::Sender::new(false);
    let held = gate.clone();
    let sink = Sink::start(move |received| match &*received.path {
        "/good" => status(202),
        _ => status(202).when(&held),
    })
    .await;
    let mut world = World::asleep("").await;
    world.options.sending_bytes = 512 * KIB;
    world.start();
    for name in ["a", "b"] {
        let spec = "filter: {attributes: {type: t}}, delivery: {timeout: PT1H, retry: 0}";
        world.trigger(name, &sink.url(&format!("/{name}")), spec).await;
    }
    let data = vec![7; 63 * KIB];
    for n in 0..20 {
        world.send(large(n, "t", &data)).await;
    }
    // There is room for eight. One alone gets four of them and the second two of the rest; who asks in turn, three and
    // two.
    eventually("as much hangs as may", || async { sink.received().len() >= 5 }).await;
    let spec = "filter: {attributes: {type: u}}, delivery: {retry: 0}";
    world.trigger("good", &sink.url("/good"), spec).await;
    let huge = vec![8; 600 * KIB];
    for n in 0..50 {
        world.send(large(n, "u", if n % 10 == 0 { &huge } else { &data })).await;
    }
    sink.wait("/good", 50).await;
    let held = sink.at("/a").len() + sink.at("/b").len();
    assert!((5..=6).contains(&held), "{held} of 63 KiB and some attributes hang");
    gate.send_replace(true);
    world.settled().await;
    assert!(world.letters().is_empty(), "{:?}", world.letters().first());
    for (path, count) in [("/a", 20), ("/b", 20), ("/good", 50)] {
        assert_eq!(sink.at(path).len(), count, "{path}: no attempt was spent by waiting");
    }
}

/// A reply for which there is no room is a failed attempt, not kept memory; a neighbour's replies are stored meanwhile.
#[tokio::test]
async fn replies_are_bounded_by_bytes() {
    const BYTES: usize = 100 * KIB;
    let mut stalled = Brute::start(Misbehaviour::Stalled(BYTES)).await;
    let sink = Sink::start(|received| match &*received.path {
        "/good" => status(200).reply("r", &format!("r{}", received.id())).body(vec![9; 40 * KIB]),
        _ => status(202),
    })
    .await;
    let mut world = World::asleep("").await;
    world.options.reply_bytes = 256 * KIB;
    world.start();
    let filter = "filter: {attributes: {type: t}}";
    world.trigger("stalled", &stalled.url, &format!("{filter}, delivery: {{timeout: PT1H, retry: 0}}")).await;
    for n in 0..10 {
        world.send(event(&n.to_string(), "t")).await;
    }
    stalled.wait(10).await;
    // Two times 100 KiB are more than the half that one trigger may hold, so one of the ten can be left.
    world.until("nine replies found no room", |state| state.letters.len() >= 9).await;
    for letter in world.letters() {
        assert_eq!(letter.cause, Cause::RetriesExhausted);
        assert_eq!(&letter.answer.detail[..], b"no room for the reply at the moment");
    }
    let retry = format!("delivery: {{retry: 100, {QUICK}}}");
    world.trigger("good", &sink.url("/good"), &format!("filter: {{attributes: {{type: u}}}}, {retry}")).await;
    world.trigger("replies", &sink.url("/replies"), &format!("filter: {{attributes: {{type: r}}}}, {retry}")).await;
    for n in 0..30 {
        world.send(event(&n.to_string(), "u")).await;
    }
    sink.wait("/replies", 30).await;
    assert_eq!(sink.at("/replies").len(), 30, "each is stored, and once");
}
