use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method};

use pelton_client::memory::MemoryClient;
use pelton_client::{
    BrokerName, Cause, Client as _, CursorUpdate, DeadLetter, Hops, LastAnswer, Offset, Progress, TriggerId, Upto,
};
use pelton_env::{SeededChance, UnixMillis};
use pelton_event::{DataKind, Event};
use pelton_resource::{Kind, ResourceKey};
use serde_json::Value;

use super::Api;
use super::view::SelectionBody;
use crate::admin::{Admin, AdminError};
use crate::http::{Connection, Server, Url, bind};

const MANIFEST: &str = "apiVersion: eventing.knative.dev/v1\nkind: Broker\nmetadata: {name: b}\n---\n\
                        apiVersion: eventing.knative.dev/v1\nkind: Trigger\nmetadata: {name: t}\n\
                        spec: {broker: b, subscriber: {uri: 'http://s.example/'}}\n";

struct Setup {
    client: MemoryClient,
    server: Server,
}

impl Setup {
    fn new() -> Self {
        let client = MemoryClient::new();
        let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let api = Api::new(
            client.clone(),
            Arc::new(client.clock().clone()),
            Arc::new(SeededChance::new(1)),
            vec!["pelton.test".into()],
        );
        Self { server: api.start_open(listener).unwrap(), client }
    }

    async fn with_manifest() -> Self {
        let setup = Self::new();
        setup.client.apply_yaml(MANIFEST).await;
        setup
    }

    fn url(&self) -> Url {
        Url::parse(&format!("http://{}/", self.server.address())).unwrap()
    }

    fn admin(&self) -> Admin {
        Admin::new(self.url())
    }

    fn trigger(&self) -> TriggerId {
        self.client.resources().borrow().trigger("default", "t").unwrap().0
    }

    /// Sends a request with a body of that type; gives the status and the answer as JSON.
    async fn raw(&self, method: Method, path: &str, headers: &[(&'static str, &str)], body: &str) -> (u16, Value) {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, HeaderValue::from_str(value).unwrap());
        }
        let mut connection = Connection::new(self.url());
        let answer = connection.call(method, path, map, Bytes::from(body.to_owned())).await.unwrap();
        (answer.status.as_u16(), serde_json::from_slice(&answer.body).unwrap_or(Value::Null))
    }

    /// Appends `count` events, matched and given up by the trigger.
    async fn dead_letters(&self, count: u64) {
        let client = &self.client;
        let group = client.groups()[0];
        let cursors = client.cursors(group).await.unwrap();
        let epoch = cursors.cursors[&self.trigger()].epoch;
        let mut letters = Vec::new();
        let (mut first, mut last) = (None, Offset(0));
        for number in 0..count {
            let id = format!("e{number}");
            let event = Event::builder().id(&id).source("/s").ty("t").data(DataKind::Json, br#"{"n": 1.50}"#);
            let event = event.build().unwrap();
            let position =
                client.append(&BrokerName::new("default", "b"), &[event], Hops::FULL).await.unwrap().position;
            first.get_or_insert(position.offset);
            last = position.offset.plus(1);
            letters.push(DeadLetter {
                trigger: self.trigger(),
                position,
                attempts: 3,
                cause: Cause::RetriesExhausted,
                destination: "http://s.example/".into(),
                answer: LastAnswer { code: Some(503), detail: Bytes::from_static(b"out of order") },
                at: UnixMillis(0),
            });
        }
        let update = CursorUpdate {
            trigger: self.trigger(),
            epoch,
            upto: Upto::At(last),
            matched: vec![(first.unwrap(), last)],
            done: vec![],
            attempts: vec![],
            dead_letters: letters,
        };
        let session = client.served().borrow()[&group].session;
        client.progress(group, session, Progress { scanned: last, cursors: vec![update] }).await.unwrap();
    }
}

fn refused(error: AdminError) -> (u16, String) {
    match error {
        AdminError::Refused(problem) => (problem.status, format!("{} {}", problem.detail, problem.errors.join(" "))),
        other => panic!("{other}"),
    }
}

/// What is refused, and how: the method, the path, the type of the body, the body, the status, a word of the answer.
#[tokio::test]
async fn bad_requests_are_told_apart() {
    const JSON: &str = "application/json";
    let setup = Setup::with_manifest().await;
    let rows: Vec<(Method, &str, &str, &str, u16, &str)> = vec![
        (Method::GET, "/", "", "", 404, "there is no"),
        (Method::GET, "/v1/channels", "", "", 404, "there is no"),
        (Method::GET, "/v1/brokers", "", "", 404, "there is no"),
        (Method::GET, "/v1/triggers/default/t", "", "", 404, "there is no"),
        (Method::POST, "/v1/apply", "application/yaml", MANIFEST, 404, "there is no"),
        (Method::POST, "/v1/triggers/default/t/rewind", "text/plain", r#"{"to":"latest"}"#, 415, "Content-Type"),
        (Method::POST, "/v1/triggers/default/t/rewind", "", r#"{"to":"latest"}"#, 415, "Content-Type"),
        (Method::POST, "/v1/triggers/default/t/rewind", JSON, "{", 400, "cannot be used"),
        (Method::GET, "/v1/triggers/default/t/rewind", "", "", 405, "allowed here: POST"),
        (Method::POST, "/v1/services/default/x/logs", JSON, "{}", 405, "allowed here: GET"),
        (Method::GET, "/v1/services/default/x/logs?follow=yes", "", "", 400, "expected true or false"),
        (Method::GET, "/v1/services/default/x/logs?since=soon", "", "", 400, "since"),
        (Method::GET, "/v1/services/default/x/logs", "", "", 404, "does not exist"),
        (Method::GET, "/v1/revisions/default/x/instances", "", "", 404, "does not exist"),
        (Method::GET, "/v1/routes/default/x/logs", "", "", 404, "there is no"),
        (Method::POST, "/v1/triggers/default/x/rewind", JSON, r#"{"to":"latest"}"#, 404, "does not exist"),
        (Method::POST, "/v1/triggers/default/t/rewind", JSON, r#"{"to":"soon"}"#, 400, "none of latest"),
        (Method::POST, "/v1/triggers/default/t/rewind", JSON, r#"{"at":"latest"}"#, 400, "unknown field"),
        (Method::GET, "/v1/dead-letters?limit=0", "", "", 400, "limit"),
        (Method::GET, "/v1/dead-letters?limit=1001", "", "", 400, "limit"),
        (Method::GET, "/v1/dead-letters?after=x", "", "", 400, "after"),
        (Method::GET, "/v1/dead-letters?trigger=default/x", "", "", 404, "does not exist"),
        (Method::GET, "/v1/dead-letters/default/t/0/0", "", "", 404, "no dead letter"),
        (Method::GET, "/v1/dead-letters/default/t/0/x", "", "", 400, "not a position"),
        (Method::POST, "/v1/dead-letters/redrive", JSON, "{}", 400, "expected a trigger"),
        (Method::POST, "/v1/dead-letters/redrive", JSON, r#"{"all":true,"trigger":"default/t"}"#, 400, "expected"),
        (Method::POST, "/v1/dead-letters/discard", JSON, r#"{"position":"0/1"}"#, 400, "expected a trigger"),
        (
            Method::POST,
            "/v1/dead-letters/discard",
            JSON,
            r#"{"trigger":"default/t","position":"0/1"}"#,
            404,
            "dead letter",
        ),
    ];
    for (method, path, media_type, body, status, word) in rows {
        let headers: &[_] = if media_type.is_empty() { &[] } else { &[("content-type", media_type)] };
        let (got, answer) = setup.raw(method.clone(), path, headers, body).await;
        assert_eq!(got, status, "{method} {path} {body}: {answer}");
        assert!(answer.to_string().contains(word), "{method} {path} {body}: {answer}");
        assert_eq!(answer["status"], status, "{method} {path}: the problem names its status");
    }
}

#[tokio::test]
async fn a_web_page_can_do_nothing() {
    let setup = Setup::with_manifest().await;
    for headers in [
        &[("origin", "http://evil.example")][..],
        &[("sec-fetch-site", "cross-site")],
        &[("origin", "null"), ("content-type", "application/json")],
    ] {
        for path in ["/v1/triggers/default/t/warning", "/apis/eventing.knative.dev/v1/namespaces/default/triggers/t"] {
            let (status, _) = setup.raw(Method::DELETE, path, headers, "").await;
            assert_eq!(status, 403, "{path} {headers:?}");
        }
    }
    let options =
        setup.raw(Method::OPTIONS, "/v1/dead-letters/discard", &[("origin", "http://evil.example")], "").await;
    assert_eq!(options.0, 403, "a browser that asks first is not allowed");
    assert!(setup.client.resources().borrow().trigger("default", "t").is_some());
}

#[tokio::test]
async fn dead_letters_are_listed_in_pages_and_shown_with_their_event() {
    let setup = Setup::with_manifest().await;
    setup.dead_letters(5).await;
    let mut admin = setup.admin();
    let (mut ids, mut after) = (Vec::new(), None);
    loop {
        let page = admin.dead_letters(Some("default/t"), 2, after.as_deref()).await.unwrap();
        assert!(page.items.len() <= 2);
        ids.extend(page.items.into_iter().map(|letter| letter.id.unwrap()));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(ids, ["e0", "e1", "e2", "e3", "e4"]);
    let first = admin.dead_letters(None, 1, None).await.unwrap().items.remove(0);
    assert_eq!((first.trigger.as_str(), first.code, first.attempts), ("default/t", Some(503), 3));
    assert_eq!((first.cause.as_str(), first.detail.as_str()), ("retries-exhausted", "out of order"));
    let shown = admin.dead_letter(&first.trigger, &first.position).await.unwrap();
    let event = shown.event.unwrap();
    assert!(event.get().contains(r#"{"n": 1.50}"#), "data is shown as it came: {event}");
    let by_uid = admin.dead_letter(&first.trigger_uid, &first.position).await.unwrap();
    assert_eq!(by_uid.position, first.position);
}

#[tokio::test]
async fn dead_letters_are_sent_again_or_discarded() {
    let setup = Setup::with_manifest().await;
    setup.dead_letters(4).await;
    let mut admin = setup.admin();
    let first = admin.dead_letters(None, 1, None).await.unwrap().items.remove(0);
    let one = SelectionBody { trigger: Some("default/t".into()), position: Some(first.position), all: false };
    assert_eq!(admin.discard(&one).await.unwrap(), 1);
    assert_eq!(refused(admin.discard(&one).await.unwrap_err()).0, 404);
    let mine = SelectionBody { trigger: Some("default/t".into()), ..SelectionBody::default() };
    assert_eq!(admin.redrive(&mine).await.unwrap(), 3);
    let all = SelectionBody { all: true, ..SelectionBody::default() };
    assert_eq!(admin.discard(&all).await.unwrap(), 0);
    let group = setup.client.groups()[0];
    let cursor = setup.client.cursors(group).await.unwrap().cursors[&setup.trigger()].clone();
    assert_eq!(cursor.pending.len(), 3, "what was sent again is pending");
}

#[tokio::test]
async fn a_trigger_is_rewound_and_warned_of() {
    let setup = Setup::with_manifest().await;
    let group = setup.client.groups()[0];
    let key = ResourceKey::new(Kind::Trigger, "default", "t");
    let before = setup.client.cursors(group).await.unwrap().cursors[&setup.trigger()].epoch;
    for to in ["earliest", "latest", "offset:0", "2026-01-01T00:00:00Z"] {
        setup.admin().rewind(&key, to).await.unwrap();
    }
    let after = setup.client.cursors(group).await.unwrap().cursors[&setup.trigger()].epoch;
    assert_eq!(after, before + 4);
    let path = "/v1/triggers/default/t/warning";
    let json = [("content-type", "application/json")];
    let body = r#"{"reason": "SubscriberGone", "message": "it answered 410"}"#;
    assert_eq!(setup.raw(Method::PUT, path, &json, body).await.0, 200);
    assert_eq!(setup.client.warnings()[&setup.trigger()].reason, "SubscriberGone");
    assert_eq!(setup.raw(Method::DELETE, path, &[], "").await.0, 200);
    assert!(setup.client.warnings().is_empty());
}

#[tokio::test]
async fn nobody_listening_is_no_refusal() {
    let setup = Setup::new();
    let mut admin = setup.admin();
    setup.server.shutdown(Duration::from_secs(1)).await;
    let error = admin.dead_letters(None, 1, None).await.unwrap_err();
    assert!(matches!(error, AdminError::NoAnswer(_)), "{error}");
}
