//! The routes over a broker in memory.

use std::sync::Arc;

use pelton_client::memory::MemoryClient;
use pelton_client::{BrokerName, Client as _, Hops, Offset};
use pelton_env::SeededChance;
use pelton_event::{DataKind, Event};

use crate::admin::{Admin, AdminError};
use crate::api::Api;
use crate::api::events_view::{EventPage, EventView, MatchPage, TailRecord};
use crate::http::{Server, Url, bind};

const MANIFEST: &str = "apiVersion: eventing.knative.dev/v1\nkind: Broker\nmetadata: {name: b}\n---\n\
                        apiVersion: eventing.knative.dev/v1\nkind: Broker\nmetadata: {name: other}\n---\n\
                        apiVersion: eventing.knative.dev/v1\nkind: Trigger\nmetadata: {name: t}\n\
                        spec: {broker: b, filters: [{suffix: {type: '3'}}], subscriber: {uri: 'http://s.example/'}}\n";

async fn setup() -> (MemoryClient, Server, Admin) {
    let client = MemoryClient::new();
    client.apply_yaml(MANIFEST).await;
    let chance = Arc::new(SeededChance::new(1));
    let api = Api::new(client.clone(), Arc::new(client.clock().clone()), chance, Vec::new());
    let server = api.start_open(bind("127.0.0.1:0".parse().unwrap()).unwrap()).unwrap();
    let admin = Admin::new(Url::parse(&format!("http://{}/", server.address())).unwrap());
    (client, server, admin)
}

async fn append(client: &MemoryClient, broker: &str, n: usize) {
    let (id, ty, data) = (n.to_string(), format!("t{}", n % 10), format!("{{\"n\": {n}}}"));
    let event = Event::builder().id(&id).source("/s").ty(&ty).data(DataKind::Json, data.as_bytes());
    let event = event.datacontenttype("application/json").build().unwrap();
    client.append(&BrokerName::new("default", broker), &[event], Hops::FULL).await.unwrap();
}

fn ids(items: &[EventView]) -> Vec<&str> {
    items.iter().map(|event| event.attribute("id")).collect()
}

#[tokio::test]
async fn a_list_is_paged_and_shows_data_on_request_only() {
    let (client, _server, mut admin) = setup().await;
    for n in 0..25 {
        append(&client, if n % 5 == 4 { "other" } else { "b" }, n).await;
    }
    let (mut seen, mut next) = (Vec::new(), String::new());
    loop {
        let page: EventPage = admin.get(&format!("/v1/events/default/b?limit=7{next}")).await.unwrap();
        assert!(page.items.len() <= 7 && page.items.iter().all(|event| event.event.is_none()));
        seen.extend(page.items.iter().map(|event| event.position.offset.0));
        match page.looked.next {
            Some(place) => next = format!("&next={place}"),
            None => break,
        }
    }
    assert_eq!(seen, (0..25).filter(|n| n % 5 != 4).collect::<Vec<_>>(), "each once, and no other Broker's");
    let page: EventPage = admin.get("/v1/events/default/b?type=t3&data=true").await.unwrap();
    assert_eq!(ids(&page.items), ["3", "13", "23"]);
    assert!(page.items[0].event.as_ref().unwrap().get().contains("\"n\""));
    let one: EventView = admin.get("/v1/event/1/3").await.unwrap();
    assert_eq!((one.attribute("id"), one.broker.as_str(), one.event.is_none()), ("3", "default/b", true));
}

#[tokio::test]
async fn what_cannot_be_answered_is_refused_with_the_reason() {
    let (client, _server, mut admin) = setup().await;
    append(&client, "b", 1).await;
    client.purge_below(Offset(0));
    for (path, status, word) in [
        ("/v1/events/default/nobody", 404, "does not exist"),
        ("/v1/events/default/nobody/tail", 404, "does not exist"),
        ("/v1/events/default/nobody/matches?filters=[]", 404, "does not exist"),
        ("/v1/triggers/default/nobody/matches", 404, "does not exist"),
        ("/v1/events/default/b?since=yesterday", 400, "since"),
        ("/v1/events/default/b?limit=-1", 400, "limit"),
        ("/v1/events/default/b/tail?until=5m", 400, "until"),
        ("/v1/events/default/b/matches?filters=x", 400, "no JSON"),
        ("/v1/events/default/b/matches?filters=[{}]", 400, "not valid"),
        ("/v1/event/1/99", 404, "no event"),
        ("/v1/event/9/0", 404, "no log group"),
        ("/v1/event/1/x", 400, "position"),
        ("/v1/trace?source=%2Fs", 400, "id"),
        ("/v1/trace?source=&id=1", 400, "source"),
        ("/v1/trace?source=%2Fs&id=1&broker=b", 400, "broker"),
        ("/v1/trace?source=%2Fs&id=1&broker=default%2Fnobody", 404, "does not exist"),
        ("/v1/top?limit=0", 400, "limit"),
    ] {
        match admin.get::<serde_json::Value>(path).await {
            Err(AdminError::Refused(problem)) => {
                assert_eq!(problem.status, status, "{path}: {}", problem.detail);
                assert!(problem.detail.contains(word), "{path}: {}", problem.detail);
            }
            other => panic!("{path}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_filter_is_tried_on_what_there_is() {
    let (client, _server, mut admin) = setup().await;
    for n in 0..40 {
        append(&client, if n % 2 == 0 { "other" } else { "b" }, n).await;
    }
    let page: MatchPage = admin.get("/v1/triggers/default/t/matches?limit=2").await.unwrap();
    assert_eq!((page.looked_at, page.matched, page.looked.events), (20, 4, 40));
    assert_eq!(ids(&page.items), ["3", "13"]);
    let filters = "%5B%7B%22prefix%22%3A%7B%22id%22%3A%221%22%7D%7D%5D"; // [{"prefix":{"id":"1"}}]
    let page: MatchPage = admin.get(&format!("/v1/events/default/b/matches?filters={filters}")).await.unwrap();
    assert_eq!(ids(&page.items), ["1", "11", "13", "15", "17", "19"]);
    let page: MatchPage = admin.get("/v1/events/default/b/matches").await.unwrap();
    assert_eq!(page.matched, 20, "without a filter every event passes, as with a Trigger");
}

#[tokio::test]
async fn what_is_followed_comes_as_it_is_committed_and_says_what_it_missed() {
    let (client, server, admin) = setup().await;
    for n in 0..4 {
        append(&client, "b", n).await;
    }
    let mut tail = admin.lines("/v1/events/default/b/tail", 1 << 20).await.unwrap();
    append(&client, "other", 4).await;
    append(&client, "b", 5).await;
    match tail.next_as::<TailRecord>().await.unwrap() {
        Some(TailRecord::Event(event)) => assert_eq!(event.attribute("id"), "5", "from now on, and of that Broker"),
        other => panic!("{other:?}"),
    }
    client.end_watches();
    append(&client, "b", 6).await;
    match tail.next_as::<TailRecord>().await.unwrap() {
        Some(TailRecord::Event(event)) => assert_eq!(event.attribute("id"), "6", "also after the leader has changed"),
        other => panic!("{other:?}"),
    }
    let mut from_the_beginning = admin.lines("/v1/events/default/b/tail?since=1d&type=t1", 1 << 20).await.unwrap();
    match from_the_beginning.next_as::<TailRecord>().await.unwrap() {
        Some(TailRecord::Event(event)) => assert_eq!(event.attribute("id"), "1"),
        other => panic!("{other:?}"),
    }
    server.shutdown(std::time::Duration::from_secs(10)).await;
    assert!(tail.next_as::<TailRecord>().await.unwrap().is_none(), "the end is whole");
}
