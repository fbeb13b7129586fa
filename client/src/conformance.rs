//! What every [`NodeClient`] and every [`Client`] must do, for the tests of those who implement them.
//!
//! [`node`] and [`client`] run every check, each on a fixture of its own; [`node_without_quorum`] and
//! [`client_without_quorum`] what holds once too few replicas are left. A check that fails panics.

#![allow(clippy::unwrap_used, reason = "a check fails where something is not as it says")]

use std::any::Any;
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use pelton_env::UnixMillis;
use pelton_event::{AttributeValue, DataKind, Event};
use pelton_resource::{Kind, Resource, ResourceKey};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::{
    AppendError, Appended, ApplyError, BrokerName, Cause, Client, CursorUpdate, DeadLetter, Grant, GroupId, Hops,
    LastAnswer, NodeClient, Offset, OperationError, Position, ProducerKey, Progress, ReadError, Selection, Serving,
    Session, Start, TriggerId, Upto, Warning,
};

/// The longest that a check waits for something that will come.
const PATIENCE: Duration = Duration::from_secs(30);

/// The longest that an append to a group without a quorum may take: far less than anybody's patience.
const REFUSED_WITHIN: Duration = Duration::from_secs(3);

/// Something to check, new and empty.
pub struct Fixture<T> {
    /// The one that is checked. A node leads the registry and `group`, and nothing in its process delivers its events.
    pub subject: T,
    /// A group that there is.
    pub group: GroupId,
    /// What must live as long.
    pub keep: Box<dyn Any + Send>,
}

impl<T> std::fmt::Debug for Fixture<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fixture").field("group", &self.group).finish_non_exhaustive()
    }
}

const BROKER: &str = "apiVersion: eventing.knative.dev/v1\nkind: Broker\nmetadata: {name: b}\n";

fn trigger_named(name: &str) -> String {
    format!(
        "apiVersion: eventing.knative.dev/v1\nkind: Trigger\nmetadata: {{name: {name}}}\nspec: {{broker: b, subscriber: \
         {{uri: 'http://subscriber.example/'}}}}\n"
    )
}

fn parsed(text: &str) -> Vec<Resource> {
    pelton_resource::parse_documents(text, "conformance").unwrap()
}

fn broker() -> BrokerName {
    BrokerName::new("default", "b")
}

fn event(id: &str) -> Event {
    Event::builder().id(id).source("/conformance").ty("t").build().unwrap()
}

fn keyed(id: &str, key: &str) -> Event {
    let event = Event::builder().id(id).source("/conformance").ty("t");
    event.extension("partitionkey", AttributeValue::String(key)).build().unwrap()
}

/// Waits until what is watched is as wanted.
async fn until<T: Clone>(what: &str, receiver: &mut watch::Receiver<T>, holds: impl FnMut(&T) -> bool) -> T {
    match timeout(PATIENCE, receiver.wait_for(holds)).await {
        Ok(Ok(value)) => value.clone(),
        Ok(Err(_)) => panic!("the watch ended before {what}"),
        Err(_) => panic!("it never came about that {what}"),
    }
}

// --- a node ---

/// Runs every check of a node.
pub async fn node<N: NodeClient, F: Future<Output = Fixture<N>>>(new: impl Fn() -> F) {
    let checks: [(&str, NodeCheck<N>); 8] = [
        ("what is appended is read", |node, group| Box::pin(what_is_appended_is_read(node, group))),
        ("a second try is not written", |node, group| Box::pin(a_second_try_is_not_written(node, group))),
        ("an unknown group is refused", |node, group| Box::pin(an_unknown_group_is_refused(node, group))),
        ("a trigger starts at the end", |node, group| Box::pin(a_trigger_starts_at_the_end(node, group))),
        ("one dispatcher has the session", |node, group| Box::pin(one_dispatcher_has_the_session(node, group))),
        ("dead letters are listed and decided", |node, group| Box::pin(dead_letters_are_decided(node, group))),
        ("a rewind begins a new epoch", |node, group| Box::pin(a_rewind_begins_a_new_epoch(node, group))),
        ("resources follow their rules", |node, group| Box::pin(resources_follow_their_rules(node, group))),
    ];
    for (name, check) in checks {
        let Fixture { subject, group, keep } = new().await;
        let ended = timeout(2 * PATIENCE, check(subject, group)).await;
        assert!(ended.is_ok(), "it took too long: {name}");
        drop(keep);
    }
}

/// Checks one of three replicas of the group that reaches none of the others, and has found that out.
pub async fn node_without_quorum<N: NodeClient>(Fixture { subject, group, keep }: Fixture<N>) {
    for event in [event("1"), keyed("1", "k")] {
        let refused = timeout(REFUSED_WITHIN, subject.append(group, &broker(), &[event], Hops::FULL, None)).await;
        let error = refused.expect("it need not ask anybody").unwrap_err();
        assert_eq!(error, AppendError::NoQuorum { group, reached: 1, voters: 3 });
        assert!(error.is_retryable());
        assert_eq!(error.to_string(), format!("log group {group} has no quorum: 1 of 3 replicas can be reached"));
    }
    drop(keep);
}

/// Checks a client of three groups, of whose three replicas one is left. It is as patient as by default.
pub async fn client_without_quorum<C: Client>(Fixture { subject, keep, .. }: Fixture<C>) {
    let several: Vec<_> = (0..20).map(|n: u32| keyed(&n.to_string(), &n.to_string())).collect();
    for events in [vec![event("1")], vec![keyed("1", "k")], several] {
        let refused = timeout(REFUSED_WITHIN, subject.append(&broker(), &events, Hops::FULL)).await;
        let error = refused.expect("nobody is waited for who cannot come").unwrap_err();
        assert!(matches!(error, AppendError::NoQuorum { reached: 1, voters: 3, .. }), "{error}");
    }
    drop(keep);
}

type Check = Pin<Box<dyn Future<Output = ()> + Send>>;
type NodeCheck<N> = fn(N, GroupId) -> Check;
type ClientCheck<C> = fn(C) -> Check;

async fn append<N: NodeClient>(node: &N, group: GroupId, ids: std::ops::Range<u64>) -> Appended {
    let events: Vec<_> = ids.map(|id| event(&id.to_string())).collect();
    node.append(group, &broker(), &events, Hops::FULL, None).await.unwrap()
}

/// The events of a group, once there are `count`: an append is answered at commit, and shown to readers a moment later.
async fn ids<N: NodeClient>(node: &N, group: GroupId, count: u64) -> Vec<(u64, String)> {
    until("the events are shown", &mut node.committed(group).unwrap(), |end| end.0 >= count).await;
    let (mut from, mut ids) = (Offset(0), Vec::new());
    loop {
        let batches = node.read(group, from, 1).await.unwrap();
        let Some(last) = batches.last() else { return ids };
        from = last.end();
        for (position, record) in batches.iter().flat_map(|batch| batch.records()).map(Result::unwrap) {
            ids.push((position.offset.0, record.event().unwrap().id().to_owned()));
        }
    }
}

async fn what_is_appended_is_read<N: NodeClient>(node: N, group: GroupId) {
    let mut committed = node.committed(group).unwrap();
    assert!(node.read(group, Offset(0), 1_000).await.unwrap().is_empty(), "nothing is there yet");
    let first = append(&node, group, 0..3).await;
    assert_eq!((first.position, first.duplicates), (Position { group, offset: Offset(0) }, 0));
    let second = append(&node, group, 3..5).await;
    assert_eq!(second.position.offset, Offset(3), "offsets have no gaps");
    until("everything is committed", &mut committed, |end| *end == Offset(5)).await;
    let all: Vec<_> = (0..5).map(|n| (n, n.to_string())).collect();
    assert_eq!(ids(&node, group, all.len() as u64).await, all);
    assert_eq!(node.first(group).await, Ok(Offset(0)));
    let batches = node.read(group, Offset(4), usize::MAX).await.unwrap();
    assert!(batches[0].base <= Offset(4) && batches[0].end() > Offset(4), "the one that holds it comes first");
    assert!(node.read(group, Offset(5), usize::MAX).await.unwrap().is_empty(), "the tail");
    let record = batches[0].records().next().unwrap().unwrap().1;
    assert_eq!((record.broker(), record.hops), ("default/b", Hops::FULL));
    // Calls that are on their way together are all answered, each with its own place.
    let data = vec![b'x'; 10_000];
    let mut many = Vec::new();
    for n in 0..200 {
        let id = format!("m{n}");
        let event = Event::builder().id(&id).source("/s").ty("t").data(DataKind::Bytes, &data).build().unwrap();
        many.push(node.append(group, &broker(), &[event], Hops(7), None));
    }
    let mut places = Vec::new();
    for append in many {
        places.push(append.await.unwrap().position.offset.0);
    }
    let shown = places.iter().max().map_or(0, |last| last + 1);
    let known: BTreeMap<_, _> = ids(&node, group, shown).await.into_iter().collect();
    for (n, place) in places.iter().enumerate() {
        assert_eq!(known[place], format!("m{n}"));
    }
}

async fn a_second_try_is_not_written<N: NodeClient>(node: N, group: GroupId) {
    let key = |sequence| Some(ProducerKey { producer: 7, sequence });
    let events = [event("1"), event("2")];
    let append = |sequence| node.append(group, &broker(), &events, Hops::FULL, key(sequence));
    // Beside each other and one after the other.
    let (first, second) = (append(1), append(1));
    let (first, second) = (first.await.unwrap(), second.await.unwrap());
    let third = append(1).await.unwrap();
    assert_eq!([second.position, third.position], [first.position; 2]);
    assert_eq!(ids(&node, group, 2).await.len(), 2);
    let other = append(2).await.unwrap();
    assert_eq!(other.position.offset, first.position.offset.plus(2), "another call with the same events");
    assert_eq!(ids(&node, group, 4).await.len(), 4);
}

async fn an_unknown_group_is_refused<N: NodeClient>(node: N, _group: GroupId) {
    let none = GroupId(4_711);
    let is_refused = |error: &ReadError| matches!(error, ReadError::UnknownGroup(_) | ReadError::NotLeader { .. });
    assert!(is_refused(&node.read(none, Offset(0), 1).await.unwrap_err()));
    assert!(is_refused(&node.first(none).await.unwrap_err()));
    assert!(is_refused(&node.cursors(none).await.unwrap_err()));
    assert!(is_refused(&node.dead_letters(none, None, None, 1).await.unwrap_err()));
    let error = node.append(none, &broker(), &[event("1")], Hops::FULL, None).await.unwrap_err();
    assert!(error.is_retryable() && error != crate::AppendError::OutcomeUnknown, "{error:?}");
    let error = node.redrive(none, Selection::All).await.unwrap_err();
    assert!(matches!(error, OperationError::UnknownGroup(_) | OperationError::NotLeader { .. }), "{error:?}");
    // From afar it is known only later: then what is watched ends.
    if let Ok(mut session) = node.serve(none) {
        let ended = timeout(PATIENCE, session.wait_for(|serving| serving.session().is_some())).await.expect("it ends");
        assert!(ended.is_err(), "nobody can deliver what is not there");
    }
}

/// A Broker and a Trigger, and the Trigger's cursor in the group.
async fn started<N: NodeClient>(node: &N, group: GroupId, name: &str) -> TriggerId {
    node.apply(parsed(BROKER)).await.unwrap();
    node.apply(parsed(&trigger_named(name))).await.unwrap();
    let find = |resources: &std::sync::Arc<crate::Resources>| resources.trigger("default", name).is_some();
    let resources = until("the trigger is seen", &mut node.resources(), find).await;
    let id = resources.trigger("default", name).unwrap().0;
    let mut changes = node.cursor_changes(group).unwrap();
    loop {
        if node.cursors(group).await.unwrap().cursors.contains_key(&id) {
            return id;
        }
        timeout(PATIENCE, changes.changed()).await.expect("the trigger is started").unwrap();
    }
}

async fn a_trigger_starts_at_the_end<N: NodeClient>(node: N, group: GroupId) {
    append(&node, group, 0..4).await;
    let id = started(&node, group, "t").await;
    let cursors = node.cursors(group).await.unwrap();
    assert_eq!(cursors.cursors[&id].floor(cursors.scanned), Offset(4));
    let mut changes = node.cursor_changes(group).unwrap();
    let before = until("it was started", &mut changes, |index| *index > 0).await;
    assert!(cursors.cursors[&id].changed <= before);
    node.rewind(group, id, Start::Earliest).await.unwrap();
    until("the rewind is told", &mut changes, |index| *index > before).await;
}

async fn session<N: NodeClient>(node: &N, group: GroupId) -> (watch::Receiver<Serving>, Session) {
    let mut receiver = node.serve(group).unwrap();
    let serving = until("there is a session", &mut receiver, |serving| serving.session().is_some()).await;
    (receiver, serving.session().unwrap())
}

async fn one_dispatcher_has_the_session<N: NodeClient>(node: N, group: GroupId) {
    let id = started(&node, group, "t").await;
    append(&node, group, 0..4).await;
    let (first, session) = session(&node, group).await;
    let mut second = node.serve(group).unwrap();
    let scanned = |to| Progress { scanned: Offset(to), cursors: vec![] };
    assert_eq!(node.progress(group, session, scanned(2)).await, Ok(()));
    assert_eq!(node.cursors(group).await.unwrap().scanned, Offset(2));
    assert_eq!(*second.borrow(), Serving::Waits, "there is one at a time");
    for other in [
        Session { grant: session.grant + 1, ..session },
        Session { term: session.term + 1, ..session },
        Session { term: session.term - 1, ..session },
    ] {
        assert_eq!(node.progress(group, other, scanned(4)).await, Err(OperationError::SessionEnded), "{other:?}");
    }
    drop(first);
    let next = until("the next has it", &mut second, |serving| serving.session().is_some()).await;
    let next = next.session().unwrap();
    assert!(next > session, "{next:?} after {session:?}");
    assert_eq!(node.progress(group, session, scanned(4)).await, Err(OperationError::SessionEnded));
    assert_eq!(node.cursors(group).await.unwrap().scanned, Offset(2));
    assert_eq!(node.progress(group, next, scanned(4)).await, Ok(()));
    let cursors = node.cursors(group).await.unwrap();
    assert_eq!((cursors.scanned, cursors.cursors.contains_key(&id)), (Offset(4), true));
}

fn letter(trigger: TriggerId, group: GroupId, offset: u64) -> DeadLetter {
    DeadLetter {
        trigger,
        position: Position { group, offset: Offset(offset) },
        attempts: 3,
        cause: Cause::Rejected,
        destination: "http://subscriber.example/".to_owned(),
        answer: LastAnswer { code: Some(400), detail: bytes::Bytes::from_static(b"no") },
        at: UnixMillis(1_000_000 + offset),
    }
}

/// Progress by which these events became dead letters and those are pending.
fn gave_up(trigger: TriggerId, group: GroupId, upto: u64, offsets: &[u64], pending: &[(u64, u64)]) -> Progress {
    let update = CursorUpdate {
        trigger,
        epoch: 1,
        upto: Upto::Scanned,
        matched: pending.iter().map(|(from, to)| (Offset(*from), Offset(*to))).collect(),
        done: vec![],
        attempts: vec![],
        dead_letters: offsets.iter().map(|offset| letter(trigger, group, *offset)).collect(),
    };
    Progress { scanned: Offset(upto), cursors: vec![update] }
}

async fn dead_letters_are_decided<N: NodeClient>(node: N, group: GroupId) {
    let id = started(&node, group, "t").await;
    append(&node, group, 0..10).await;
    let (_held, session) = session(&node, group).await;
    node.progress(group, session, gave_up(id, group, 10, &[1, 4, 7], &[(2, 4)])).await.unwrap();
    let all = node.dead_letters(group, None, None, 10).await.unwrap();
    assert_eq!(all, [1, 4, 7].map(|offset| letter(id, group, offset)));
    assert_eq!(node.dead_letters(group, Some(id), None, 2).await.unwrap(), all[..2]);
    let after = Some((id, all[1].position));
    assert_eq!(node.dead_letters(group, Some(id), after, 10).await.unwrap(), all[2..]);
    assert_eq!(node.dead_letters(group, Some(TriggerId(5)), None, 10).await.unwrap(), []);
    let one = |offset| Selection::One(id, Position { group, offset: Offset(offset) });
    assert_eq!(node.redrive(group, one(4)).await, Ok(1));
    assert_eq!(node.redrive(group, one(4)).await, Err(OperationError::UnknownDeadLetter));
    let cursors = node.cursors(group).await.unwrap();
    let pending: Vec<_> = cursors.cursors[&id].pending.ranges().collect();
    assert_eq!(pending, [(Offset(2), Offset(5))]);
    assert_eq!(node.discard(group, Selection::Trigger(id)).await, Ok(2));
    assert_eq!(node.discard(group, Selection::All).await, Ok(0));
    assert_eq!(node.dead_letters(group, None, None, 10).await.unwrap(), []);
}

async fn a_rewind_begins_a_new_epoch<N: NodeClient>(node: N, group: GroupId) {
    let id = started(&node, group, "t").await;
    append(&node, group, 0..10).await;
    let (_held, session) = session(&node, group).await;
    node.progress(group, session, gave_up(id, group, 10, &[], &[(2, 4)])).await.unwrap();
    for (to, epoch, floor) in [
        (Start::Offset(Offset(3)), 2, 3),
        (Start::Latest, 3, 10),
        (Start::Earliest, 4, 0),
        (Start::Time(UnixMillis(0)), 5, 0),
    ] {
        assert_eq!(node.rewind(group, id, to).await, Ok(()));
        let cursors = node.cursors(group).await.unwrap();
        let cursor = &cursors.cursors[&id];
        assert_eq!((cursor.epoch, cursor.floor(cursors.scanned)), (epoch, Offset(floor)), "{to:?}");
    }
    assert_eq!(node.rewind(group, TriggerId(5), Start::Latest).await, Err(OperationError::UnknownTrigger));
}

async fn resources_follow_their_rules<N: NodeClient>(node: N, group: GroupId) {
    let mut resources = node.resources();
    let id = started(&node, group, "t").await;
    started(&node, group, "u").await;
    let seen = until("both are seen", &mut resources, |seen| seen.triggers.len() == 2).await;
    let Some(Resource::Broker(mut old)) = seen.find(&ResourceKey::new(Kind::Broker, "default", "b")) else {
        panic!("the Broker is there")
    };
    old.metadata.resource_version = Some("1".to_owned());
    assert!(matches!(node.apply(vec![old.into()]).await, Err(ApplyError::Conflict { .. })));
    let lonely = trigger_named("t").replace("broker: b", "broker: other");
    assert!(matches!(node.apply(parsed(&lonely)).await, Err(ApplyError::Invalid { .. })), "its Broker is fixed");
    let warning = Warning { reason: "Because".to_owned(), message: "A sentence.".to_owned() };
    node.warn(id, Some(warning)).await.unwrap();
    let key = |name| ResourceKey::new(Kind::Trigger, "default", name);
    node.delete(key("u")).await.unwrap();
    assert!(matches!(node.delete(key("u")).await, Err(ApplyError::NotFound { .. })));
    let seen = until("one is gone", &mut resources, |seen| seen.triggers.len() == 1).await;
    assert!(seen.trigger("default", "t").is_some() && seen.find(&key("u")).is_none());
    let mut cluster = node.cluster();
    let view = until("the cluster is known", &mut cluster, |view| !view.nodes.is_empty()).await;
    assert_eq!(view.groups[&group].leader, view.this);
    assert_eq!(view.registry.leader, view.this);
    assert!(node.report().await.is_some());
}

// --- a client ---

/// Runs every check of a client.
pub async fn client<C: Client, F: Future<Output = Fixture<C>>>(new: impl Fn() -> F) {
    let checks: [(&str, ClientCheck<C>); 4] = [
        ("every event is in one group", |client| Box::pin(every_event_is_in_one_group(client))),
        ("a key keeps its order", |client| Box::pin(a_key_keeps_its_order(client))),
        ("dead letters of all groups are one list", |client| Box::pin(dead_letters_are_one_list(client))),
        ("a rewind is one of every group", |client| Box::pin(a_rewind_is_one_of_every_group(client))),
    ];
    for (name, check) in checks {
        let Fixture { subject, keep, .. } = new().await;
        let ended = timeout(2 * PATIENCE, check(subject)).await;
        assert!(ended.is_ok(), "it took too long: {name}");
        drop(keep);
    }
}

/// Every event's id, by group and offset.
async fn stored<C: Client>(client: &C) -> BTreeMap<Position, String> {
    let mut stored = BTreeMap::new();
    for group in client.groups() {
        let mut from = Offset(0);
        loop {
            let batches = client.read(group, from, 1_000).await.unwrap();
            let Some(last) = batches.last() else { break };
            from = last.end();
            for (position, record) in batches.iter().flat_map(|batch| batch.records()).map(Result::unwrap) {
                stored.insert(position, record.event().unwrap().id().to_owned());
            }
        }
    }
    stored
}

async fn every_event_is_in_one_group<C: Client>(client: C) {
    let mut places = BTreeMap::new();
    for n in 0..40 {
        let id = n.to_string();
        let event = if n % 2 == 0 { event(&id) } else { keyed(&id, &format!("key {n}")) };
        places.insert(client.append(&broker(), &[event], Hops::FULL).await.unwrap().position, id);
    }
    assert_eq!(places.len(), 40);
    assert_eq!(stored(&client).await, places);
    // A call whose events belong to several groups.
    let events: Vec<_> = (40..80).map(|n: u32| keyed(&n.to_string(), &format!("key {n}"))).collect();
    client.append(&broker(), &events, Hops::FULL).await.unwrap();
    let mut ids: Vec<u32> = stored(&client).await.into_values().map(|id| id.parse().unwrap()).collect();
    ids.sort_unstable();
    assert_eq!(ids, (0..80).collect::<Vec<_>>());
    let unknown = client.read(GroupId(4_711), Offset(0), 1).await.unwrap_err();
    assert_eq!(unknown, ReadError::UnknownGroup(GroupId(4_711)));
}

async fn a_key_keeps_its_order<C: Client>(client: C) {
    for n in 0..60 {
        client.append(&broker(), &[keyed(&n.to_string(), &format!("key {}", n % 3))], Hops::FULL).await.unwrap();
    }
    let mut by_key: BTreeMap<u32, Vec<(GroupId, u32)>> = BTreeMap::new();
    for (position, id) in stored(&client).await {
        let id: u32 = id.parse().unwrap();
        by_key.entry(id % 3).or_default().push((position.group, id));
    }
    for (key, events) in by_key {
        assert!(events.iter().all(|(group, _)| *group == events[0].0), "key {key} is in one group");
        assert!(events.is_sorted_by_key(|(_, id)| *id), "key {key} is in order");
        assert_eq!(events.len(), 20, "each once");
    }
}

async fn trigger_of<C: Client>(client: &C) -> TriggerId {
    client.apply(parsed(BROKER)).await.unwrap();
    client.apply(parsed(&trigger_named("t"))).await.unwrap();
    let seen = until("it is seen", &mut client.resources(), |seen| seen.trigger("default", "t").is_some()).await;
    let id = seen.trigger("default", "t").unwrap().0;
    for group in client.groups() {
        let mut changes = client.cursor_changes(group).unwrap();
        while !client.cursors(group).await.unwrap().cursors.contains_key(&id) {
            timeout(PATIENCE, changes.changed()).await.expect("the trigger is started").unwrap();
        }
    }
    id
}

async fn dead_letters_are_one_list<C: Client>(client: C) {
    let id = trigger_of(&client).await;
    for n in 0..90 {
        client.append(&broker(), &[keyed(&n.to_string(), &format!("key {n}"))], Hops::FULL).await.unwrap();
    }
    let groups = client.groups();
    let all_served = |served: &std::sync::Arc<BTreeMap<GroupId, Grant>>| served.len() == groups.len();
    let served = until("every group is served", &mut client.served(), all_served).await;
    let mut letters = Vec::new();
    for (group, grant) in served.iter() {
        client.progress(*group, grant.session, gave_up(id, *group, 5, &[0, 2, 4], &[])).await.unwrap();
        letters.extend([0, 2, 4].map(|offset| Position { group: *group, offset: Offset(offset) }));
    }
    let (mut listed, mut after) = (Vec::new(), None);
    loop {
        let page = client.dead_letters(Some(id), after, 2).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some((last.trigger, last.position));
        listed.extend(page.iter().map(|letter| letter.position));
    }
    letters.sort_unstable();
    assert_eq!(listed, letters);
    for letter in &letters {
        let found = client.dead_letter(id, *letter).await.unwrap();
        assert_eq!(found.map(|found| found.position), Some(*letter));
        let next = Position { offset: letter.offset.plus(1), ..*letter };
        assert_eq!(client.dead_letter(id, next).await, Ok(None), "{next}");
        assert_eq!(client.dead_letter(TriggerId(id.0 ^ 1), *letter).await, Ok(None));
    }
    assert_eq!(client.discard(Selection::One(id, letters[0])).await, Ok(1));
    assert_eq!(client.discard(Selection::One(id, letters[0])).await, Err(OperationError::UnknownDeadLetter));
    assert_eq!(client.redrive(Selection::Trigger(id)).await, Ok(letters.len() as u64 - 1));
    assert_eq!(client.dead_letters(None, None, 100).await, Ok(vec![]));
}

async fn a_rewind_is_one_of_every_group<C: Client>(client: C) {
    let id = trigger_of(&client).await;
    client.rewind(id, Start::Earliest).await.unwrap();
    for group in client.groups() {
        assert_eq!(client.cursors(group).await.unwrap().cursors[&id].epoch, 2, "{group}");
    }
    assert_eq!(client.rewind(TriggerId(5), Start::Latest).await, Err(OperationError::UnknownTrigger));
    client.delete(ResourceKey::new(Kind::Trigger, "default", "t")).await.unwrap();
    assert!(client.resources().borrow().trigger("default", "t").is_none(), "who deletes sees that it is gone");
}
