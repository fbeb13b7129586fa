//! What a process waits for before it calls itself ready.

use std::time::Duration;

use pelton_client::{Client, ClusterView};
use tokio::time::sleep;

use crate::telemetry::Health;

/// How often it is looked whether what was waited for has come about.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Waits until the process can do its work, and tells `health` what is missing meanwhile: of a broker what it keeps, of
/// a process that keeps nothing a cluster to work for.
pub async fn wait<C: Client>(broker: Option<&pelton_broker::Node>, client: &C, health: &Health) {
    let missing = || match broker {
        Some(broker) => broker.waits_for(),
        None => missing(&client.cluster().borrow()),
    };
    while let Some(what) = missing() {
        health.set_waiting(what);
        sleep(LOOK_AGAIN).await;
    }
}

fn missing(view: &ClusterView) -> Option<String> {
    if view.nodes.is_empty() {
        return Some("waiting for a node to tell of the cluster".to_owned());
    }
    if view.groups.is_empty() {
        return Some("waiting for the log groups to be made".to_owned());
    }
    // One that is led is enough to begin with: what the others do is not this process's matter.
    let led = view.groups.values().any(|group| group.leader.is_some());
    (!led).then(|| "waiting for a log group to have a leader".to_owned())
}

#[cfg(test)]
mod tests {
    use pelton_client::{GroupId, GroupInfo, NodeId, NodeInfo, NodePhase, Role};

    use super::*;

    fn view(node: bool, leaders: &[Option<u64>]) -> ClusterView {
        let info = NodeInfo {
            name: "a".into(),
            peer_address: "a:1".into(),
            ingress: None,
            api: None,
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
        for (view, want) in [
            (view(false, &[]), Some("tell of the cluster")),
            (view(true, &[]), Some("to be made")),
            (view(true, &[None, None]), Some("to have a leader")),
            (view(true, &[None, Some(1)]), None),
        ] {
            let said = missing(&view);
            let as_wanted = match want {
                None => said.is_none(),
                Some(word) => said.as_ref().is_some_and(|said| said.contains(word)),
            };
            assert!(as_wanted, "{said:?}, {want:?}");
        }
    }
}
