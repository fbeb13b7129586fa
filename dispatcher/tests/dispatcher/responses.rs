//! The response table, every row, over the wire (115, 110, 111, 116).

use pelton_client::{Cause, Client as _, Warning};

use crate::sink::{Brute, Misbehaviour, Sink, status};
use crate::world::{QUICK, World, event};

fn retry(retry: u32) -> String {
    format!("delivery: {{retry: {retry}, timeout: PT5S, {QUICK}}}")
}

/// Which statuses are successes, which are tried again, which are given up at once: the number of attempts tells.
#[tokio::test]
async fn every_status_has_its_row() {
    let statuses: Vec<u16> = (101..=101)
        .chain(200..=208)
        .chain([226])
        .chain(300..=308)
        .chain(400..=431)
        .chain([451])
        .chain(500..=511)
        .chain([599, 600, 700, 999])
        .collect();
    let sink = Sink::start(|received| status(received.id().parse().unwrap())).await;
    let world = World::new().await;
    world.trigger("t", &sink.url("/"), &retry(2)).await;
    let events: Vec<_> = statuses.iter().map(|status| event(&status.to_string(), "t")).collect();
    world.send_all(&events).await;
    world.settled().await;
    let ids = sink.ids("/");
    let letters = world.letters();
    for (offset, status) in (0..).zip(statuses) {
        let attempts = ids.iter().filter(|id| **id == status.to_string()).count();
        let is_retried = matches!(status, 404 | 408 | 409 | 429 | 500..);
        assert_eq!(attempts, if is_retried { 3 } else { 1 }, "status {status}");
        let letter = letters.iter().find(|letter| letter.position.offset.0 == offset);
        let want = match status {
            200..=299 => None,
            _ if is_retried => Some(Cause::RetriesExhausted),
            _ => Some(Cause::Rejected),
        };
        assert_eq!(letter.map(|letter| letter.cause), want, "status {status}");
        if let Some(letter) = letter {
            assert_eq!(letter.answer.code, Some(status));
            assert_eq!(letter.attempts, if is_retried { 3 } else { 1 }, "status {status}");
            assert_eq!(letter.destination, sink.url("/"));
        }
    }
}

#[tokio::test]
async fn no_answer_is_retried() {
    for misbehaviour in [Misbehaviour::Close, Misbehaviour::Reset, Misbehaviour::Garbage, Misbehaviour::Half] {
        let brute = Brute::start(misbehaviour).await;
        let world = World::new().await;
        world.trigger("t", &brute.url, &retry(2)).await;
        world.send(event("1", "t")).await;
        world.settled().await;
        assert_eq!(*brute.requests.borrow(), 3, "{misbehaviour:?}");
        let letter = world.letters().remove(0);
        assert_eq!((letter.cause, letter.attempts), (Cause::RetriesExhausted, 3), "{misbehaviour:?}");
        assert_eq!(letter.answer.code, None, "{misbehaviour:?}: no answer is not an answer");
        assert!(!letter.answer.detail.is_empty(), "{misbehaviour:?}");
    }
}

#[tokio::test]
async fn a_refused_connection_is_retried() {
    // Bound and closed: nobody listens there.
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let world = World::new().await;
    world.trigger("t", &format!("http://{address}/"), &retry(3)).await;
    world.send(event("1", "t")).await;
    world.settled().await;
    let letter = world.letters().remove(0);
    assert_eq!((letter.cause, letter.attempts, letter.answer.code), (Cause::RetriesExhausted, 4, None));
}

/// 141: a subscriber slower than the timeout sees the event once an attempt, the dead-letter sink once.
#[tokio::test]
async fn a_subscriber_that_is_too_slow_has_not_answered() {
    let mut brute = Brute::start(Misbehaviour::Silence).await;
    let sink = Sink::accepting().await;
    let world = World::new().await;
    let delivery =
        format!("delivery: {{retry: 1, timeout: PT0.2S, deadLetterSink: {{uri: '{}'}}, {QUICK}}}", sink.url("/dead"));
    world.trigger("t", &brute.url, &delivery).await;
    world.send(event("1", "t")).await;
    sink.wait("/dead", 1).await;
    brute.wait(2).await;
    world.settled().await;
    assert_eq!((*brute.requests.borrow(), sink.ids("/dead").len()), (2, 1));
    assert_eq!(sink.at("/dead")[0].header("ce-knativeerrorcode"), None);
}

#[tokio::test]
async fn an_interim_answer_is_passed_over() {
    let brute = Brute::start(Misbehaviour::Continue).await;
    let world = World::new().await;
    world.trigger("t", &brute.url, &retry(0)).await;
    world.send(event("1", "t")).await;
    world.settled().await;
    assert!(world.letters().is_empty());
}

/// 110 as we settled it: delivered, counted, and a warning on the Trigger.
#[tokio::test]
async fn a_success_with_a_body_that_is_no_event_is_a_success_with_a_warning() {
    let sink = Sink::start(|_| status(200).header("content-type", "application/json").body("{\"ok\":true}")).await;
    let world = World::new().await;
    let id = world.trigger("t", &sink.url("/"), &retry(3)).await;
    world.send_numbered(0..3).await;
    world.settled().await;
    assert_eq!(sink.at("/").len(), 3);
    assert!(world.letters().is_empty());
    assert_eq!(world.client.warnings()[&id].reason, "AnswerIsNoEvent");
    assert_eq!(world.client.events().len(), 3, "nothing was appended");
}

/// 116: a 202 with an event in its body is not a reply.
#[tokio::test]
async fn only_200_and_201_reply() {
    let sink = Sink::start(|received| {
        let answer = status(received.id().parse().unwrap());
        if received.header("ce-type") == Some("t") { answer.reply("r", "1") } else { answer }
    })
    .await;
    let world = World::new().await;
    world.trigger("t", &sink.url("/"), "filter: {attributes: {type: t}}").await;
    let codes = [200, 201, 202, 203, 206];
    world.send_all(&codes.map(|code| event(&code.to_string(), "t"))).await;
    world.settled().await;
    let replies = world.client.events().iter().filter(|(_, _, event)| event.ty() == "r").count();
    assert_eq!(replies, 2);
    assert!(world.letters().is_empty());
}

/// 410 is not tried again, and the owner of the Trigger is told; a success takes the warning back.
#[tokio::test]
async fn gone_is_a_warning_until_it_is_back() {
    let sink = Sink::start(|received| status(if received.id() == "0" { 410 } else { 202 })).await;
    let world = World::new().await;
    let id = world.trigger("t", &sink.url("/"), &retry(3)).await;
    world.send_numbered(0..1).await;
    world.settled().await;
    assert_eq!(sink.at("/").len(), 1);
    crate::world::eventually("the trigger has a warning", || async {
        world.client.warnings().get(&id).is_some_and(|warning| warning.reason == "SubscriberGone")
    })
    .await;
    world.send_numbered(1..2).await;
    crate::world::eventually("the warning is gone", || async { world.client.warnings().is_empty() }).await;
    assert_eq!(world.letters()[0].cause, Cause::Rejected);
}

/// Whatever a success has in it, the subscriber is there: the graver warning goes.
#[tokio::test]
async fn a_success_with_a_body_takes_the_place_of_gone() {
    let sink = Sink::start(|received| match received.id() {
        "0" => status(410),
        _ => status(200).header("content-type", "application/json").body("{\"ok\":true}"),
    })
    .await;
    let world = World::new().await;
    let id = world.trigger("t", &sink.url("/"), &retry(0)).await;
    for (number, reason) in [(0, "SubscriberGone"), (1, "AnswerIsNoEvent")] {
        world.send_numbered(number..number + 1).await;
        crate::world::eventually(reason, || async {
            world.client.warnings().get(&id).is_some_and(|warning| warning.reason == reason)
        })
        .await;
    }
}

/// The one who delivered the group before may have raised it, or one who delivers another group.
#[tokio::test]
async fn a_warning_of_somebody_else_is_taken_back_by_a_success() {
    let sink = Sink::accepting().await;
    let world = World::new().await;
    let id = world.trigger("t", &sink.url("/"), &retry(0)).await;
    let warning = Warning { reason: "SubscriberGone".to_owned(), message: "410".to_owned() };
    world.client.warn(id, Some(warning)).await.unwrap();
    let sent = std::sync::atomic::AtomicU64::new(0);
    crate::world::eventually("the warning is gone", || async {
        let number = sent.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        world.send_numbered(number..number + 1).await;
        world.client.warnings().is_empty()
    })
    .await;
}

/// Redirects are not followed.
#[tokio::test]
async fn a_redirect_leads_nowhere() {
    let elsewhere = Sink::accepting().await;
    let target = elsewhere.url("/elsewhere");
    let sink =
        Sink::start(move |received| status(received.id().parse().unwrap()).header("location", target.clone())).await;
    let world = World::new().await;
    world.trigger("t", &sink.url("/"), &retry(3)).await;
    world.send_all(&[301, 302, 303, 307, 308].map(|code| event(&code.to_string(), "t"))).await;
    world.settled().await;
    assert_eq!(sink.at("/").len(), 5);
    assert!(elsewhere.received().is_empty());
    assert_eq!(world.letters().len(), 5);
}
