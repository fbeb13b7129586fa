//! Replies (49, 102, 103, 105, 112, 123, 124, 303; hop count).

use pelton_client::{AppendError, BrokerName, Cause, Client as _, Hops};

use crate::sink::{Sink, status};
use crate::world::{QUICK, World, event};

/// 49, 102: the reply is routed as any event, one hop lower.
#[tokio::test]
async fn a_reply_is_an_event_of_the_same_broker() {
    let sink = Sink::start(|received| match received.path.as_str() {
        "/first" => status(200)
            .reply("com.example.ReplyEvent", "r1")
            .header("ce-knativebrokerttl", "7")
            .header("content-type", "text/plain")
            .body("x".repeat(36_000)),
        _ => status(202),
    })
    .await;
    let world = World::new().await;
    world.trigger("t0", &sink.url("/first"), "filter: {attributes: {type: t}}").await;
    world.trigger("t1", &sink.url("/second"), "filter: {attributes: {type: com.example.ReplyEvent}}").await;
    world.send(event("1", "t")).await;
    sink.wait("/second", 1).await;
    world.settled().await;
    assert_eq!((sink.ids("/first"), sink.ids("/second")), (vec!["1".to_owned()], vec!["r1".to_owned()]));
    let second = sink.at("/second").remove(0);
    assert_eq!((second.body.len(), second.header("content-type")), (36_000, Some("text/plain")));
    assert_eq!(second.header("ce-knativebrokerttl"), None, "the hop count is not shown");
    assert!(second.header("ce-knativearrivaltime").unwrap().starts_with("2023-11-14T22:13:20"));
    let (broker, hops, _) = world.client.events().remove(1);
    assert_eq!((broker.as_str(), hops), ("default/b", Hops(254)));
}

/// 112, 103: structured replies, and those that say they are events and are none.
#[tokio::test]
async fn a_broken_reply_is_a_failed_delivery() {
    let json = "application/cloudevents+json";
    let sink = Sink::start(move |received| match received.id() {
        "structured" => status(200)
            .header("content-type", json)
            .body(r#"{"specversion":"1.0","id":"s","source":"/s","type":"reply"}"#),
        "no-id" => status(200).header("content-type", json).body(r#"{"specversion":"1.0","source":"/s","type":"r"}"#),
        "no-json" => status(201).header("content-type", json).body("{"),
        "no-source" => status(200).header("ce-specversion", "1.0").header("ce-id", "1").header("ce-type", "r"),
        "old" => status(200).reply("r", "1").header("ce-specversion", "0.3"),
        "batch" => status(200).header("content-type", "application/cloudevents-batch+json").body("[]"),
        _ => status(202),
    })
    .await;
    let world = World::new().await;
    let spec = format!("filter: {{attributes: {{type: t}}}}, delivery: {{retry: 1, {QUICK}}}");
    world.trigger("t", &sink.url("/"), &spec).await;
    let broken = ["no-id", "no-json", "no-source", "old", "batch"];
    world.send(event("structured", "t")).await;
    for id in broken {
        world.send(event(id, "t")).await;
    }
    world.settled().await;
    for id in broken {
        assert_eq!(sink.ids("/").iter().filter(|other| *other == id).count(), 2, "{id} is retried");
    }
    let letters = world.letters();
    assert_eq!(letters.len(), broken.len());
    assert!(letters.iter().all(|letter| letter.cause == Cause::Reply && letter.attempts == 2), "{letters:?}");
    let replies: Vec<_> = world.client.events().into_iter().filter(|(_, _, event)| event.ty() == "reply").collect();
    assert_eq!(replies.len(), 1);
}

/// 105, 303: a reply that cannot be stored fails the delivery as a whole, which is made again.
#[tokio::test]
async fn a_reply_that_is_not_stored_is_asked_for_again() {
    let sink = Sink::start(|_| status(200).reply("r", "r1")).await;
    let world = World::new().await;
    let spec = format!("filter: {{attributes: {{type: t}}}}, delivery: {{retry: 3, {QUICK}}}");
    world.trigger("t", &sink.url("/"), &spec).await;
    world.send(event("1", "t")).await;
    world.settled().await;
    assert_eq!(sink.at("/").len(), 1);
    world.client.hold_answers(true);
    let late = tokio::spawn({
        let client = world.client.clone();
        async move { client.append(&BrokerName::new("default", "b"), &[event("2", "t")], Hops::FULL).await }
    });
    sink.wait("/", 2).await;
    world.until("the reply is in the log", |_| world.client.events().len() == 4).await;
    let state = world.stored();
    assert!(
        state.cursors.values().any(|cursor| cursor.floor(state.scanned).0 <= 2),
        "not done before the reply is acknowledged"
    );
    world.client.hold_answers(false);
    late.await.unwrap().unwrap();
    world.settled().await;
    assert_eq!(sink.at("/").len(), 2);
}

/// As above, with errors: three retries take it through three failures; one more is a dead letter that does not say
/// that the subscriber refused.
#[tokio::test]
async fn failures_to_store_a_reply_count_as_failures_of_the_delivery() {
    let sink = Sink::start(|_| status(200).reply("r", "r1")).await;
    for (failures, want) in [(3, 0), (4, 1)] {
        let world = World::asleep("").await;
        let spec = format!("filter: {{attributes: {{type: t}}}}, delivery: {{retry: 3, {QUICK}}}");
        let path = format!("/{failures}");
        world.trigger("t", &sink.url(&path), &spec).await;
        world.send(event("1", "t")).await;
        world.client.fail_appends(vec![AppendError::StorageFull; failures]);
        let mut world = world;
        world.start();
        world.settled().await;
        assert_eq!(sink.at(&path).len(), 4, "{failures} failures");
        let letters = world.letters();
        assert_eq!(letters.len(), want, "{failures} failures");
        for letter in letters {
            assert_eq!((letter.cause, letter.answer.code, letter.attempts), (Cause::Reply, None, 4));
        }
    }
}

/// A reply that matches its own trigger goes round 254 times, not for ever.
#[tokio::test]
async fn a_loop_ends() {
    let sink = Sink::start(|received| status(200).reply("t", &format!("{}x", &received.id()[..1]))).await;
    let world = World::new().await;
    let id = world.trigger("t", &sink.url("/"), "").await;
    world.send(event("1", "t")).await;
    world.until("the last reply is refused", |state| !state.letters.is_empty()).await;
    world.settled().await;
    assert_eq!(sink.at("/").len(), 255);
    let letter = world.letters().remove(0);
    assert_eq!((letter.trigger, letter.cause), (id, Cause::HopCount));
    assert_eq!(world.client.events().last().unwrap().1, Hops(1));
}
