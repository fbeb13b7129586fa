//! What a process waits for before it calls itself ready.

use std::time::Duration;

use pelton_client::{Client, ClusterView, GroupId, NodeReport, ReplicaReport};
use tokio::time::sleep;

use crate::telemetry::Health;

/// How often it is looked whether what was waited for has come about.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Waits until the process can do its work, and tells `health` what is missing meanwhile: of a broker what it keeps, of
/// a process that keeps nothing a cluster to work for.
pub async fn wait<C: Client>(broker: Option<&pelton_broker::Node>, client: &C, health: &Health) {
    let missing = || match broker {
        Some(broker) => broker.waits_for(),
        None => missing(&client.cluster().borrow(), client.resources().borrow().version),
    };
    while let Some(what) = missing() {
        health.set_waiting(what);
        sleep(LOOK_AGAIN).await;
    }
    if broker.is_some() {
        catch_up(client, health).await;
    }
}

/// Waits until this node has of the registry what its leader had when it was asked. What was stored while the node was
/// down would else seem not to be there, and a producer be told that there is no such Broker.
async fn catch_up<C: Client>(client: &C, health: &Health) {
    let mut committed = None;
    loop {
        let (this, leader) = {
            let view = client.cluster();
            let view = view.borrow();
            (view.this, view.registry.leader)
        };
        let (Some(this), Some(leader)) = (this, leader) else {
            sleep(LOOK_AGAIN).await;
            continue;
        };
        // Asked once it answers: what is committed later is nobody's to have missed.
        if committed.is_none() {
            committed = client.report(leader).await.and_then(|report| registry(&report).map(|it| it.commit_index));
        }
        let own = client.report(this).await;
        if committed.is_some_and(|committed| has_applied(own.as_ref(), committed)) {
            return;
        }
        health.set_waiting("waiting for what was stored while this node was away".to_owned());
        sleep(LOOK_AGAIN).await;
    }
}

fn registry(report: &NodeReport) -> Option<&ReplicaReport> {
    report.replicas.get(&GroupId(0))
}

fn has_applied(own: Option<&NodeReport>, committed: u64) -> bool {
    own.and_then(registry).is_some_and(|registry| registry.applied_index >= committed)
}

/// `resources` is the version of the resources that are known: 0 until some node has told them.
fn missing(view: &ClusterView, resources: u64) -> Option<String> {
    if view.nodes.is_empty() {
        return Some("waiting for a node to tell of the cluster".to_owned());
    }
    if view.groups.is_empty() {
        return Some("waiting for the log groups to be made".to_owned());
    }
    if resources == 0 {
        return Some("waiting for a node to tell of the Brokers and Triggers".to_owned());
    }
    // One that is led is enough to begin with: what the others do is not this process's matter.
    let led = view.groups.values().any(|group| group.leader.is_some());
    (!led).then(|| "waiting for a log group to have a leader".to_owned())
}

#[cfg(test)]
mod tests {
    use pelton_client::{GroupInfo, NodeId, NodeInfo, NodePhase, ReplicaRole, Role};

    use super::*;

    fn view(node: bool, leaders: &[Option<u64>]) -> ClusterView {
        let info = NodeInfo {
            name: "a".into(),
            peer_address: "a:1".into(),
            ingress: None,
            api: None,
            gateway: None,
            zone: "z".into(),
            roles: [Role::Broker].into(),
            phase: NodePhase::Active,
            version: "0".into(),
        };
        let group = |leader: &Option<u64>| GroupInfo { leader: leader.map(NodeId), ..GroupInfo::default() };
        let groups = leaders.iter().zip(1..).map(|(leader, id)| (GroupId(id), group(leader))).collect();
        let nodes = if node { [(NodeId(1), info)].into() } else { [].into() };
        ClusterView { nodes, groups, ..ClusterView::default() }
    }

    #[test]
    fn a_process_that_keeps_nothing_needs_a_cluster_with_a_leader() {
        for (view, resources, want) in [
            (view(false, &[]), 0, Some("tell of the cluster")),
            (view(true, &[]), 1, Some("to be made")),
            (view(true, &[Some(1), Some(2)]), 0, Some("tell of the Brokers")),
            (view(true, &[None, None]), 1, Some("to have a leader")),
            (view(true, &[None, Some(1)]), 1, None),
        ] {
            let said = missing(&view, resources);
            let as_wanted = match want {
                None => said.is_none(),
                Some(word) => said.as_ref().is_some_and(|said| said.contains(word)),
            };
            assert!(as_wanted, "{said:?}, {want:?}");
        }
    }

    #[test]
    fn a_broker_has_caught_up_when_it_has_applied_what_the_leader_had() {
        let replica = |applied_index| ReplicaReport {
            role: ReplicaRole::Follower,
            term: 1,
            leader: None,
            last_index: 99,
            commit_index: 99,
            applied_index,
            end: 0,
            followers: [].into(),
            backlog: 0,
            problems: Vec::new(),
            unled_since: None,
            too_few: None,
        };
        let report = |group: u32, applied| NodeReport {
            replicas: [(GroupId(group), replica(applied))].into(),
            ..NodeReport::default()
        };
        for (own, want) in [
            (None, false),
            (Some(NodeReport::default()), false),
            (Some(report(0, 6)), false),
            (Some(report(0, 7)), true),
            (Some(report(0, 8)), true),
            (Some(report(1, 8)), false),
        ] {
            assert_eq!(has_applied(own.as_ref(), 7), want, "{own:?}");
        }
    }
}
