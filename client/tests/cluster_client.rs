//! What a client of a cluster does when leaders move, answers are lost and nodes are away. Time is tokio's and stands still
//! unless everything waits.

#![allow(clippy::unwrap_used, reason = "a test fails where something is not as it says")]

use std::sync::Arc;
use std::time::Duration;

use pelton_client::memory::{MemoryCluster, MemoryNode};
use pelton_client::{
    AppendError, BrokerName, Client as _, ClusterChange, ClusterClient, ClusterError, ClusterOptions, DispatchQuery,
    GroupId, Hops, NodeId, Offset, OperationError, Position, ReadError, Selection,
};
use pelton_env::SeededChance;
use pelton_event::{AttributeValue, Event};
use proptest::collection::vec;
use proptest::prelude::*;
use tokio::time::Instant;

type TestClient = ClusterClient<MemoryNode, MemoryCluster>;

const GROUP: GroupId = GroupId(1);

fn beside(cluster: &MemoryCluster, node: u64) -> TestClient {
    let chance = Arc::new(SeededChance::new(1));
    ClusterClient::beside(cluster.node(NodeId(node)), cluster.clone(), ClusterOptions::default(), chance)
}

fn broker() -> BrokerName {
    BrokerName::new("default", "b")
}

fn event(id: &str) -> Event {
    Event::builder().id(id).source("/s").ty("t").build().unwrap()
}

fn keyed(id: &str) -> Event {
    let event = Event::builder().id(id).source("/s").ty("t");
    event.extension("partitionkey", AttributeValue::String("k")).build().unwrap()
}

async fn append(client: &TestClient, id: &str) -> Result<GroupId, AppendError> {
    client.append(&broker(), &[event(id)], Hops::FULL).await.map(|appended| appended.position.group)
}

fn ids(cluster: &MemoryCluster, group: GroupId) -> Vec<String> {
    cluster.group(group).events().iter().map(|(_, _, event)| event.id().to_owned()).collect()
}

#[tokio::test(start_paused = true)]
async fn an_event_without_a_key_stays_at_its_node() {
    let cluster = MemoryCluster::new(3, 3);
    for node in 1..=3 {
        assert_eq!(append(&beside(&cluster, node), "1").await, Ok(GroupId(node as u32)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_that_names_the_leader_is_followed_at_once() {
    let cluster = MemoryCluster::new(3, 1);
    let client = beside(&cluster, 1);
    cluster.blind(NodeId(1), true);
    cluster.lead(GROUP, Some(NodeId(3)));
    let begun = Instant::now();
    assert_eq!(append(&client, "1").await, Ok(GROUP));
    assert_eq!(begun.elapsed(), Duration::ZERO);
    assert_eq!(ids(&cluster, GROUP), ["1"]);
}

/// The acceptance criterion of routing: a client's own retry never writes an event twice.
#[tokio::test(start_paused = true)]
async fn a_lost_answer_writes_nothing_twice() {
    let cluster = MemoryCluster::new(3, 2);
    let client = beside(&cluster, 3);
    for n in 0..20 {
        cluster.lose_answers(n % 4);
        append(&client, &n.to_string()).await.unwrap();
    }
    let mut all = [ids(&cluster, GROUP), ids(&cluster, GroupId(2))].concat();
    all.sort_unstable_by_key(|id| id.parse::<u32>().unwrap());
    assert_eq!(all, (0..20).map(|n| n.to_string()).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn an_append_waits_for_a_leader_as_long_as_it_has_patience() {
    let cluster = MemoryCluster::new(3, 1);
    let client = beside(&cluster, 2);
    cluster.lead(GROUP, None);
    let moves = cluster.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(4)).await;
        moves.lead(GROUP, Some(NodeId(3)));
    });
    let begun = Instant::now();
    assert_eq!(append(&client, "1").await, Ok(GROUP));
    assert!((4_000..4_150).contains(&begun.elapsed().as_millis()), "{:?}", begun.elapsed());
    cluster.lead(GROUP, None);
    let begun = Instant::now();
    assert_eq!(append(&client, "2").await, Err(AppendError::Unavailable));
    assert!((9_800..=10_000).contains(&begun.elapsed().as_millis()), "{:?}", begun.elapsed());
    assert_eq!(ids(&cluster, GROUP), ["1"]);
}

/// Too few replicas are left, here and wherever else is asked: there is nothing to wait for.
#[tokio::test(start_paused = true)]
async fn without_a_quorum_nobody_is_waited_for() {
    let cluster = MemoryCluster::new(4, 3);
    let client = beside(&cluster, 1);
    let none = |group| Err(AppendError::NoQuorum { group, reached: 2, voters: 4 });
    cluster.gone(NodeId(4), true);
    append(&client, "three of four are enough").await.unwrap();
    cluster.gone(NodeId(3), true);
    let begun = Instant::now();
    assert!(matches!(append(&client, "1").await, Err(AppendError::NoQuorum { reached: 2, voters: 4, .. })));
    let keyed = client.append(&broker(), &[keyed("2")], Hops::FULL).await;
    assert!((1..=3).map(GroupId).any(|group| keyed.clone().map(|_| group) == none(group)), "{keyed:?}");
    assert!(begun.elapsed() < Duration::from_millis(100), "{:?}", begun.elapsed());
    // A leader may come back as long as one more answers.
    cluster.lead(GROUP, None);
    cluster.lead(GroupId(2), None);
    cluster.lead(GroupId(3), None);
    cluster.gone(NodeId(3), false);
    let moves = cluster.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(4)).await;
        moves.lead(GroupId(2), Some(NodeId(3)));
    });
    assert_eq!(append(&client, "3").await, Ok(GroupId(2)));
    assert!(begun.elapsed() >= Duration::from_secs(4));
}

/// Each try that another follows is counted, by why it failed.
#[tokio::test(start_paused = true)]
async fn retries_are_counted() {
    let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let cluster = MemoryCluster::new(3, 3);
    let client = beside(&cluster, 1);
    append(&client, "1").await.unwrap();
    let counted = |reason: &str| {
        let name = format!("pelton_client_retries_total{{reason=\"{reason}\"}} ");
        recorder.handle().render().lines().find_map(|line| line.strip_prefix(&name)?.parse::<u64>().ok()).unwrap_or(0)
    };
    let all = || ["not-leader", "unavailable", "no-quorum", "outcome-unknown"].map(counted);
    assert_eq!(all(), [0; 4]);
    cluster.blind(NodeId(1), true);
    cluster.lead(GROUP, Some(NodeId(3)));
    append(&client, "2").await.unwrap();
    assert!(counted("not-leader") >= 1);
    cluster.lose_answers(1);
    append(&client, "3").await.unwrap();
    assert_eq!(counted("outcome-unknown"), 1);
    cluster.lose_quorum(GROUP, true);
    append(&client, "4").await.unwrap();
    assert!(counted("no-quorum") >= 1);
    let known = all();
    client.append(&broker(), &[event(&"x".repeat(10))], Hops::FULL).await.unwrap();
    cluster.group(GroupId(2)).fail_appends([AppendError::StorageFull]);
    cluster.group(GroupId(3)).fail_appends([AppendError::StorageFull]);
    assert_eq!(append(&client, "5").await.unwrap_err(), AppendError::StorageFull);
    assert_eq!(counted("unavailable"), known[1], "a refusal for good is no retry");
}

/// Replicas of one group are gone, of the others not.
#[tokio::test(start_paused = true)]
async fn an_event_without_a_key_goes_to_a_group_that_has_a_quorum() {
    let cluster = MemoryCluster::new(3, 3);
    let client = beside(&cluster, 1);
    cluster.lose_quorum(GROUP, true);
    let begun = Instant::now();
    let group = append(&client, "1").await.unwrap();
    assert_ne!(group, GROUP);
    assert_eq!(begun.elapsed(), Duration::ZERO);
    cluster.lose_quorum(GROUP, false);
    assert_eq!(append(&client, "2").await, Ok(GROUP), "and to the group at its node as soon as that is there again");
}

/// A leader that is cut off gives no answer: whoever may know is asked, and nothing is said to be refused.
#[tokio::test(start_paused = true)]
async fn a_node_that_is_away_leaves_the_outcome_open() {
    let cluster = MemoryCluster::new(3, 1);
    let client = beside(&cluster, 2);
    cluster.away(NodeId(1), true);
    let moves = cluster.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(2)).await;
        moves.lead(GROUP, Some(NodeId(3)));
    });
    assert_eq!(append(&client, "1").await, Ok(GROUP));
    assert_eq!(ids(&cluster, GROUP), ["1"]);
    cluster.lead(GROUP, Some(NodeId(1)));
    assert_eq!(append(&client, "2").await, Err(AppendError::OutcomeUnknown));
    // Beside the node that is away and takes itself for the leader.
    let begun = Instant::now();
    assert_eq!(append(&beside(&cluster, 1), "3").await, Err(AppendError::OutcomeUnknown));
    assert_eq!(begun.elapsed(), Duration::from_secs(10));
}

/// A leader that is cut off, or stands still, refuses nothing; whether it has written it or not, it is written once.
#[tokio::test(start_paused = true)]
async fn a_leader_that_does_not_answer_is_left_once_another_is_known() {
    type Silence = fn(&MemoryCluster, NodeId, bool);
    let silences: [Silence; 2] = [MemoryCluster::away, MemoryCluster::mute];
    for silence in silences {
        let cluster = MemoryCluster::new(3, 1);
        let client = beside(&cluster, 2);
        silence(&cluster, NodeId(1), true);
        let moves = cluster.clone();
        tokio::spawn(async move {
            // Not to know the leader for a moment is no reason to leave it, nor is the next term of the same.
            tokio::time::sleep(Duration::from_millis(400)).await;
            moves.lead(GROUP, None);
            moves.lead(GROUP, Some(NodeId(1)));
            tokio::time::sleep(Duration::from_millis(600)).await;
            moves.lead(GROUP, Some(NodeId(3)));
        });
        let begun = Instant::now();
        assert_eq!(append(&client, "1").await, Ok(GROUP));
        assert!((1_000..1_020).contains(&begun.elapsed().as_millis()), "{:?}", begun.elapsed());
        assert_eq!(ids(&cluster, GROUP), ["1"]);
    }
}

/// Of a change that must not be made twice nobody knows whether it was made: there the answer is waited for.
#[tokio::test(start_paused = true)]
async fn only_what_may_be_repeated_is_asked_of_the_next_leader() {
    let cluster = MemoryCluster::new(3, 1);
    let client = beside(&cluster, 2);
    append(&client, "1").await.unwrap();
    cluster.away(NodeId(1), true);
    let moves = cluster.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(1)).await;
        moves.lead(GROUP, Some(NodeId(3)));
        moves.lead_registry(Some(NodeId(3)));
        tokio::time::sleep(Duration::from_secs(1)).await;
        moves.away(NodeId(1), false);
    });
    let begun = Instant::now();
    let (read, redriven, changed) = tokio::join!(
        async { (client.first(GROUP).await, begun.elapsed()) },
        async { (client.redrive(Selection::All).await, begun.elapsed()) },
        async { (client.change_cluster(ClusterChange::Drain(NodeId(3))).await, begun.elapsed()) },
    );
    assert!(matches!(read, (Ok(Offset(0)), took) if took < Duration::from_millis(1_020)), "{read:?}");
    let ClusterOptions { patience, try_timeout } = ClusterOptions::default();
    assert_eq!(redriven, (Err(OperationError::OutcomeUnknown), try_timeout));
    assert!(matches!(changed, (Err(ClusterError::OutcomeUnknown), took) if took == patience), "{changed:?}");
}

/// The node waits for its controllers before it answers, longer than a try of an append may take.
#[tokio::test(start_paused = true)]
async fn a_change_of_the_registry_is_waited_for() {
    let cluster = MemoryCluster::new(3, 1);
    let client = beside(&cluster, 2);
    let longer = ClusterOptions::default().try_timeout * 2;
    cluster.settle_within(longer);
    let slow = "{apiVersion: eventing.knative.dev/v1, kind: Broker, metadata: {name: slow}}";
    let slow = pelton_resource::parse_documents(slow, "slow").unwrap();
    let begun = Instant::now();
    let stored = client.apply(slow).await.unwrap();
    assert_eq!((stored.len(), begun.elapsed()), (1, longer));
}

#[tokio::test(start_paused = true)]
async fn one_key_is_one_order_whatever_leads() {
    let cluster = MemoryCluster::new(3, 3);
    let client = beside(&cluster, 1);
    for n in 0..60_u64 {
        let group = GroupId((n % 3) as u32 + 1);
        // Never the node beside the client: what it loses the answer to by itself has no key.
        cluster.lead(group, if n % 7 == 0 { None } else { Some(NodeId(n % 2 + 2)) });
        cluster.lose_answers((n % 3) as u32);
        if n % 7 == 0 {
            let moves = cluster.clone();
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(700)).await;
                moves.lead(group, Some(NodeId(n % 2 + 2)));
            });
        }
        client.append(&broker(), &[keyed(&n.to_string())], Hops::FULL).await.unwrap();
    }
    let stored: Vec<_> = (1..=3).map(|group| ids(&cluster, GroupId(group))).filter(|ids| !ids.is_empty()).collect();
    assert_eq!(stored, [(0..60).map(|n| n.to_string()).collect::<Vec<_>>()], "in one group, in order, once");
}

/// The first append is refused where it came in; what is tried then may go to any group that has a leader.
#[tokio::test(start_paused = true)]
async fn an_event_without_a_key_goes_where_somebody_leads() {
    let cluster = MemoryCluster::new(3, 3);
    let client = beside(&cluster, 1);
    cluster.blind(NodeId(1), true);
    cluster.lead(GROUP, None);
    let begun = Instant::now();
    let group = append(&client, "1").await.unwrap();
    assert_ne!(group, GROUP);
    assert!(begun.elapsed() < Duration::from_millis(100), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn reads_follow_the_leader_and_know_which_groups_there_are() {
    let cluster = MemoryCluster::new(3, 2);
    let client = beside(&cluster, 1);
    append(&client, "1").await.unwrap();
    cluster.blind(NodeId(1), true);
    cluster.lead(GROUP, Some(NodeId(3)));
    assert_eq!(client.read(GROUP, Offset(0), 1).await.unwrap().len(), 1);
    assert_eq!(client.first(GROUP).await, Ok(Offset(0)));
    cluster.lead(GROUP, None);
    assert_eq!(client.read(GROUP, Offset(0), 1).await.unwrap_err(), ReadError::Unavailable);
    let none = GroupId(9);
    assert_eq!(client.read(none, Offset(0), 1).await.unwrap_err(), ReadError::UnknownGroup(none));
    assert_eq!(client.committed(none).unwrap_err(), ReadError::UnknownGroup(none));
}

#[tokio::test(start_paused = true)]
async fn the_cluster_is_changed_by_whoever_leads_the_registry() {
    let cluster = MemoryCluster::new(3, 1);
    let client = beside(&cluster, 2);
    client.change_cluster(ClusterChange::Drain(NodeId(3))).await.unwrap();
    cluster.blind(NodeId(2), true);
    cluster.lead_registry(Some(NodeId(3)));
    client.change_cluster(ClusterChange::Undrain(NodeId(3))).await.unwrap();
    assert_eq!(cluster.changes(), [ClusterChange::Drain(NodeId(3)), ClusterChange::Undrain(NodeId(3))]);
    for node in 1..=3 {
        assert_eq!(client.report(NodeId(node)).await.unwrap().log_bytes, node, "each by itself");
    }
    let asked = |group| DispatchQuery::Attempts(vec![Position { group: GroupId(group), offset: Offset(7) }]);
    let told = client.dispatch_report(NodeId(3), asked(4)).await.unwrap();
    assert_eq!(told.since.into_keys().collect::<Vec<_>>(), [GroupId(4)]);
    cluster.away(NodeId(1), true);
    assert_eq!(client.dispatch_report(NodeId(1), asked(4)).await, None);
    assert_eq!(client.report(NodeId(1)).await, None);
    assert_eq!(client.report(NodeId(9)).await, None);
}

/// A dispatcher serves what its own node leads and what is led where there is none; a session goes with its leader.
#[tokio::test(start_paused = true)]
async fn sessions_come_and_go_with_leaders() {
    let cluster = MemoryCluster::new(3, 3);
    let client = beside(&cluster, 1);
    let mut served = client.served();
    let all = served.wait_for(|served| served.len() == 3).await.unwrap().clone();
    let before = all[&GroupId(2)];
    cluster.lead(GroupId(2), Some(NodeId(3)));
    let after = served.wait_for(|served| served.get(&GroupId(2)).is_some_and(|session| *session != before)).await;
    let after = after.unwrap().clone();
    assert!(after[&GroupId(2)] > before);
    assert_eq!([after[&GROUP], after[&GroupId(3)]], [all[&GROUP], all[&GroupId(3)]], "the others go on");
    // Not to know the leader for a moment is no reason to give the group up.
    cluster.forget_leader(GroupId(3));
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(served.borrow_and_update()[&GroupId(3)], all[&GroupId(3)]);
    cluster.lead(GroupId(3), Some(NodeId(3)));
    served.wait_for(|served| served.get(&GroupId(3)).is_some_and(|session| *session > all[&GroupId(3)])).await.unwrap();
    cluster.lead(GROUP, None);
    served.wait_for(|served| !served.contains_key(&GROUP)).await.unwrap();
    // Another dispatcher gets what this one leaves.
    let other = beside(&cluster, 2);
    let mut others = other.served();
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(others.borrow_and_update().is_empty());
    drop((client, served));
    others.wait_for(|served| served.len() == 2).await.unwrap();
}

/// Whoever has no replica of a group may never hear who leads it, and its leader has no dispatcher of its own.
#[tokio::test(start_paused = true)]
async fn a_group_whose_leader_nobody_names_is_served_all_the_same() {
    let cluster = MemoryCluster::new(3, 3);
    let client = beside(&cluster, 1);
    for group in [GroupId(2), GroupId(3)] {
        cluster.forget_leader(group);
    }
    let mut served = client.served();
    let all = served.wait_for(|served| served.len() == 3);
    tokio::time::timeout(Duration::from_secs(30), all).await.expect("each replica is asked").unwrap();
}

/// What may happen between two appends.
#[derive(Debug, Clone)]
enum Trouble {
    Lead(u32, Option<u64>),
    Blind(u64, bool),
    Away(u64, bool),
    Mute(u64, bool),
    Gone(u64, bool),
    LoseAnswers(u32),
    Wait(u64),
}

fn trouble() -> impl Strategy<Value = Trouble> {
    let node = || 1_u64..=3;
    prop_oneof![
        3 => (1_u32..=2, proptest::option::weighted(0.8, node())).prop_map(|(group, node)| Trouble::Lead(group, node)),
        2 => (node(), any::<bool>()).prop_map(|(node, blind)| Trouble::Blind(node, blind)),
        1 => (node(), any::<bool>()).prop_map(|(node, away)| Trouble::Away(node, away)),
        1 => (node(), any::<bool>()).prop_map(|(node, mute)| Trouble::Mute(node, mute)),
        1 => (node(), any::<bool>()).prop_map(|(node, gone)| Trouble::Gone(node, gone)),
        2 => (0_u32..4).prop_map(Trouble::LoseAnswers),
        1 => (0_u64..15_000).prop_map(Trouble::Wait),
    ]
}

fn befall(cluster: &MemoryCluster, trouble: &Trouble) {
    match *trouble {
        Trouble::Lead(group, node) => cluster.lead(GroupId(group), node.map(NodeId)),
        Trouble::Blind(node, is_blind) => cluster.blind(NodeId(node), is_blind),
        Trouble::Away(node, is_away) => cluster.away(NodeId(node), is_away),
        Trouble::Mute(node, is_mute) => cluster.mute(NodeId(node), is_mute),
        Trouble::Gone(node, is_gone) => cluster.gone(NodeId(node), is_gone),
        Trouble::LoseAnswers(answers) => cluster.lose_answers(answers),
        Trouble::Wait(_) => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    /// What is acknowledged is stored once, what is refused is not, and what is unknown is at most once.
    #[test]
    fn an_answer_says_what_is_stored(troubles in vec((trouble(), any::<bool>()), 1..40), seed: u64) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let cluster = MemoryCluster::new(3, 2);
            let chance = Arc::new(SeededChance::new(seed));
            let local = cluster.node(NodeId(1));
            let client = ClusterClient::beside(local, cluster.clone(), ClusterOptions::default(), chance);
            let mut appends = Vec::new();
            for (n, (trouble, is_keyed)) in troubles.iter().enumerate() {
                befall(&cluster, trouble);
                if let Trouble::Wait(millis) = trouble {
                    tokio::time::sleep(Duration::from_millis(*millis)).await;
                }
                let id = n.to_string();
                let event = if *is_keyed { keyed(&id) } else { event(&id) };
                appends.push(tokio::spawn(client.append(&broker(), &[event], Hops::FULL)));
                tokio::task::yield_now().await;
            }
            let mut answers = Vec::new();
            for append in appends {
                answers.push(append.await.unwrap());
            }
            let all = [ids(&cluster, GROUP), ids(&cluster, GroupId(2))].concat();
            for (n, answer) in answers.iter().enumerate() {
                let times = all.iter().filter(|id| **id == n.to_string()).count();
                match answer {
                    Ok(_) => assert_eq!(times, 1, "event {n} was acknowledged"),
                    Err(AppendError::OutcomeUnknown) => assert!(times <= 1, "event {n} is there {times} times"),
                    Err(refused) => assert_eq!(times, 0, "event {n}: {refused}"),
                }
            }
        });
    }
}
