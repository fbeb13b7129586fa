//! Who gets what (44 to 50, 101, 106, 107, 109, 122, 132, 133, 145 to 157, 281), over the wire.

use bytes::Bytes;
use pelton_client::Upto;
use pelton_event::{AttributeValue, DataKind, Event};

use crate::sink::Sink;
use crate::world::{World, build, event, eventually};

/// Sends events and says which ids came at each path.
async fn deliver(filters: &[&str], events: &[Event]) -> Vec<Vec<String>> {
    let sink = Sink::accepting().await;
    let world = World::new().await;
    for (n, filter) in filters.iter().enumerate() {
        world.trigger(&format!("t{n}"), &sink.url(&format!("/{n}")), filter).await;
    }
    world.send_all(events).await;
    world.settled().await;
    (0..filters.len())
        .map(|n| {
            let mut ids = sink.ids(&format!("/{n}"));
            ids.sort();
            ids
        })
        .collect()
}

fn of(id: &str, ty: &str, source: &str, extension: Option<&str>) -> Event {
    let mut builder = Event::builder().id(id).source(source).ty(ty);
    if let Some(value) = extension {
        builder = builder.extension("myext", AttributeValue::String(value));
    }
    build(builder)
}

#[tokio::test]
async fn filters_decide_who_gets_an_event() {
    let events = [
        of("full", "com.example.FullEvent", "http://example.com/source", Some("a")),
        of("type", "other", "http://example.com/source", Some("b")),
        of("source", "com.example.FullEvent", "/other", None),
    ];
    let (ty, source) = ("type: com.example.FullEvent", "source: 'http://example.com/source'");
    let rows: Vec<(&str, String, &[&str])> = vec![
        ("44", String::new(), &["full", "source", "type"]),
        ("45", "filter: {attributes: {type: mytype}}".into(), &[]),
        ("46", format!("filter: {{attributes: {{{ty}}}}}"), &["full", "source"]),
        ("145", format!("filters: [{{exact: {{{ty}, {source}}}}}]"), &["full"]),
        ("146", "filters: [{prefix: {type: com., source: http}}]".into(), &["full"]),
        ("147", "filters: [{suffix: {type: xample.FullEvent, source: ce}}]".into(), &["full"]),
        (
            "150",
            format!("filters: [{{any: [{{exact: {{{ty}}}}}, {{exact: {{type: other}}}}]}}]"),
            &["full", "source", "type"],
        ),
        ("151", format!("filters: [{{all: [{{exact: {{{ty}}}}}, {{prefix: {{source: 'http:'}}}}]}}]"), &["full"]),
        ("153", "filters: [{all: [{prefix: {myext: a}}, {suffix: {myext: a}}]}]".into(), &["full"]),
        ("154", format!("filters: [], filter: {{attributes: {{{ty}}}}}"), &["full", "source"]),
        ("155", format!("filters: [{{exact: {{type: other}}}}], filter: {{attributes: {{{ty}}}}}"), &["type"]),
        ("156", format!("filters: [{{exact: {{{ty}}}}}, {{exact: {{{source}}}}}]"), &["full"]),
        ("157", "filter: {attributes: {myext: ''}}".into(), &["full", "type"]),
        ("157 both", format!("filter: {{attributes: {{{ty}, myext: a}}}}"), &["full"]),
        ("158", "filters: [{not: {exact: {myext: a}}}]".into(), &["source", "type"]),
    ];
    let filters: Vec<_> = rows.iter().map(|(_, filter, _)| filter.as_str()).collect();
    let got = deliver(&filters, &events).await;
    for ((number, filter, want), got) in rows.iter().zip(got) {
        assert_eq!(got, *want, "{number}: {filter}");
    }
}

/// 101: two Triggers with one subscriber are two deliveries.
#[tokio::test]
async fn one_subscriber_of_two_triggers_gets_an_event_twice() {
    let sink = Sink::accepting().await;
    let world = World::new().await;
    world.trigger("a", &sink.url("/"), "").await;
    world.trigger("b", &sink.url("/"), "").await;
    world.send(event("1", "t")).await;
    world.settled().await;
    assert_eq!(sink.ids("/"), ["1", "1"]);
}

/// Events of another Broker are not this one's.
#[tokio::test]
async fn brokers_are_apart() {
    let sink = Sink::accepting().await;
    let world = World::new().await;
    world.trigger("t", &sink.url("/"), "").await;
    let other = pelton_client::BrokerName::new("default", "other");
    pelton_client::Client::append(&world.client, &other, &[event("1", "t")], pelton_client::Hops::FULL).await.unwrap();
    world.send(event("2", "t")).await;
    world.settled().await;
    assert_eq!(sink.ids("/"), ["2"]);
}

/// 107, 109, 93, 122: the request.
#[tokio::test]
async fn an_event_arrives_as_it_is() {
    let sink = Sink::accepting().await;
    let world = World::new().await;
    world.trigger("t", &sink.url("/path?query=1"), "").await;
    let data = vec![7_u8; 36_864];
    world
        .send(build(
            Event::builder()
                .id("full-event")
                .source("http://example.com/source")
                .ty("com.example.FullEvent")
                .subject("a b\u{20ac}")
                .time("2020-03-21T12:34:56.780000Z")
                .datacontenttype("text/json")
                .dataschema("http://example.com/schema")
                .extension("exbool", AttributeValue::Boolean(true))
                .extension("exint", AttributeValue::Integer(42))
                .extension("exbinary", AttributeValue::Binary(&[0, 1, 2, 3]))
                .data(DataKind::Bytes, &data),
        ))
        .await;
    world.settled().await;
    let received = sink.received().remove(0);
    let rows = [
        ("prefer", "reply"),
        ("kn-namespace", "default"),
        ("content-type", "text/json"),
        ("content-length", "36864"),
        ("ce-specversion", "1.0"),
        ("ce-id", "full-event"),
        ("ce-source", "http://example.com/source"),
        ("ce-type", "com.example.FullEvent"),
        ("ce-subject", "a%20b%E2%82%AC"),
        ("ce-time", "2020-03-21T12:34:56.780000Z"),
        ("ce-dataschema", "http://example.com/schema"),
        ("ce-exbool", "true"),
        ("ce-exint", "42"),
        ("ce-exbinary", "AAECAw=="),
    ];
    for (name, want) in rows {
        assert_eq!(received.header(name), Some(want), "{name}");
    }
    assert_eq!(received.header("ce-knativebrokerttl"), None);
    assert_eq!(received.body, Bytes::from(data));
    assert_eq!(received.headers.get_all("host").iter().count(), 1);
}

/// 132, 133, and events whose headers would be too large.
#[tokio::test]
async fn the_format_is_as_asked_unless_headers_would_be_too_large() {
    let sink = Sink::accepting().await;
    let world = World::new().await;
    world.trigger("json", &sink.url("/json"), "delivery: {format: json}").await;
    world.trigger("binary", &sink.url("/binary"), "delivery: {format: binary}").await;
    world.trigger_with("raw", &sink.url("/raw"), "", "pelton.dev/header-encoding: raw").await;
    world.send(build(Event::builder().id("1").source("/s").ty("t").subject("a b"))).await;
    let long = "x".repeat(9_000);
    world.send(build(Event::builder().id("2").source("/s").ty("t").subject(&long))).await;
    world.settled().await;
    let structured = Some("application/cloudevents+json");
    assert!(sink.at("/json").iter().all(|received| received.header("content-type") == structured));
    for path in ["/binary", "/raw"] {
        let received = sink.at(path);
        let small = received.iter().find(|received| received.id() == "1").unwrap();
        assert_eq!(small.header("ce-subject"), Some(if path == "/raw" { "a b" } else { "a%20b" }));
        let large = received.iter().find(|received| received.id().is_empty()).unwrap();
        assert_eq!(large.header("content-type"), structured, "{path}");
        assert!(large.body.windows(5).any(|window| window == b"\"t\",\"" || window == b"\"2\",\""), "{path}");
    }
}

/// 281, 96: a new Trigger gets what comes after it.
#[tokio::test]
async fn a_new_trigger_begins_at_the_end() {
    let sink = Sink::accepting().await;
    let world = World::new().await;
    world.send_numbered(0..10).await;
    let id = world.trigger("t", &sink.url("/"), "").await;
    world.send_numbered(10..13).await;
    world.settled().await;
    let mut ids = sink.ids("/");
    ids.sort();
    assert_eq!(ids, ["10", "11", "12"]);
    world.until("it follows the tail", |state| state.cursors[&id].upto == Upto::Scanned).await;
}

/// A new Trigger can begin at the oldest event, while others follow the tail.
#[tokio::test]
async fn a_new_trigger_can_begin_at_the_beginning() {
    let sink = Sink::accepting().await;
    let world = World::new().await;
    world.trigger("tail", &sink.url("/tail"), "").await;
    for n in 0..20 {
        world.send_numbered(n * 50..(n + 1) * 50).await;
    }
    let early = world
        .trigger_with("early", &sink.url("/early"), "filters: [{prefix: {id: '1'}}]", "pelton.dev/start: earliest")
        .await;
    world.send_numbered(1_000..1_010).await;
    world.settled().await;
    let want: Vec<_> = (0..1_010_u64).map(|n| n.to_string()).filter(|id| id.starts_with('1')).collect();
    let mut ids = sink.ids("/early");
    ids.sort_by_key(|id| id.parse::<u64>().unwrap());
    assert_eq!(ids, want);
    assert_eq!(sink.at("/tail").len(), 1_010);
    world.until("it joined the tail", |state| state.cursors[&early].upto == Upto::Scanned).await;
}

/// A filter, a subscriber or a Trigger that changes counts from then on; a deleted Trigger gets nothing (309).
#[tokio::test]
async fn changes_of_a_trigger_count() {
    let sink = Sink::accepting().await;
    let world = World::new().await;
    world.trigger("t", &sink.url("/a"), "filter: {attributes: {type: a}}").await;
    world.send_all(&[event("1", "a"), event("2", "b")]).await;
    world.settled().await;
    assert_eq!(sink.ids("/a"), ["1"]);
    let id = world.trigger("t", &sink.url("/b"), "filter: {attributes: {type: b}}").await;
    world.send_all(&[event("3", "a"), event("4", "b")]).await;
    sink.wait("/b", 1).await;
    world.settled().await;
    assert_eq!((sink.ids("/a"), sink.ids("/b")), (vec!["1".to_owned()], vec!["4".to_owned()]));
    world.delete_trigger("t").await;
    eventually("it is gone", || async { world.handle().groups()[0].1.triggers() == 0 }).await;
    world.trigger("u", &sink.url("/u"), "").await;
    world.send(event("5", "b")).await;
    sink.wait("/u", 1).await;
    world.settled().await;
    assert_eq!(sink.ids("/b"), ["4"]);
    assert!(!world.stored().cursors.contains_key(&id));
}
