//! The suites of `NodeClient` and `Client`, run by everything here that implements them.

#![allow(clippy::unwrap_used, reason = "a test fails where something is not as it says")]

mod support;

use std::sync::Arc;

use pelton_client::conformance::{self, Fixture};
use pelton_client::grpc::RemoteNode;
use pelton_client::memory::{GROUP, MemoryClient, MemoryCluster};
use pelton_client::{ClusterClient, ClusterOptions, GroupId, NodeId};
use pelton_env::SeededChance;
use support::OverGrpc;

#[tokio::test]
async fn a_node_in_memory() {
    conformance::node(|| async {
        let cluster = MemoryCluster::new(1, 1);
        Fixture { subject: cluster.node(NodeId(1)), group: GROUP, keep: Box::new(cluster) }
    })
    .await;
}

#[tokio::test]
async fn a_node_over_grpc() {
    conformance::node(|| async {
        let cluster = MemoryCluster::new(1, 1);
        let (over, served) = OverGrpc::serve(&cluster, 1).await;
        Fixture { subject: over.remote(NodeId(1)), group: GROUP, keep: Box::new((cluster, served)) }
    })
    .await;
}

#[tokio::test]
async fn a_client_in_memory() {
    conformance::client(|| async { Fixture { subject: MemoryClient::new(), group: GROUP, keep: Box::new(()) } }).await;
}

fn chance() -> Arc<SeededChance> {
    Arc::new(SeededChance::new(1))
}

#[tokio::test]
async fn a_client_of_three_nodes_beside_one() {
    conformance::client(|| async {
        let cluster = MemoryCluster::new(3, 3);
        let client =
            ClusterClient::beside(cluster.node(NodeId(2)), cluster.clone(), ClusterOptions::default(), chance());
        Fixture { subject: client, group: GroupId(1), keep: Box::new(cluster) }
    })
    .await;
}

#[tokio::test]
async fn a_client_of_three_nodes_apart_over_grpc() {
    conformance::client(|| async {
        let cluster = MemoryCluster::new(3, 3);
        let (over, served) = OverGrpc::serve(&cluster, 3).await;
        let seeds = vec!["n3.test:7400".to_owned()];
        let client = ClusterClient::<RemoteNode, _>::apart(None, seeds, over, ClusterOptions::default(), chance());
        let mut view = pelton_client::Client::cluster(&client);
        view.wait_for(|view| view.groups.len() == 3).await.unwrap();
        Fixture { subject: client, group: GroupId(1), keep: Box::new((cluster, served)) }
    })
    .await;
}

/// Leaders move all the while, and some nodes do not learn of it.
#[tokio::test]
async fn a_client_whose_leaders_move() {
    conformance::client(|| async {
        let cluster = MemoryCluster::new(3, 3);
        let client =
            ClusterClient::beside(cluster.node(NodeId(2)), cluster.clone(), ClusterOptions::default(), chance());
        // Moved once more with each answer that is asked for: the groups' order is kept, their leaders are not.
        for group in 1..=3 {
            cluster.blind(NodeId(2), true);
            cluster.lead(GroupId(group), Some(NodeId(u64::from(group) % 3 + 1)));
        }
        cluster.lead_registry(Some(NodeId(3)));
        cluster.lose_answers(20);
        let seeing = cluster.clone();
        let task = tokio::spawn(async move {
            // Sessions need the right leaders.
            tokio::time::sleep(std::time::Duration::from_millis(300)).await;
            seeing.blind(NodeId(2), false);
        });
        Fixture { subject: client, group: GroupId(1), keep: Box::new((cluster, task)) }
    })
    .await;
}

/// Of three nodes the first is left.
fn without_quorum() -> MemoryCluster {
    let cluster = MemoryCluster::new(3, 3);
    cluster.gone(NodeId(2), true);
    cluster.gone(NodeId(3), true);
    cluster
}

#[tokio::test]
async fn a_node_without_quorum_in_memory() {
    let cluster = without_quorum();
    let fixture = Fixture { subject: cluster.node(NodeId(1)), group: GroupId(3), keep: Box::new(cluster) };
    conformance::node_without_quorum(fixture).await;
}

#[tokio::test]
async fn a_node_without_quorum_over_grpc() {
    let cluster = without_quorum();
    let (over, served) = OverGrpc::serve(&cluster, 1).await;
    let keep = Box::new((cluster, served));
    conformance::node_without_quorum(Fixture { subject: over.remote(NodeId(1)), group: GroupId(3), keep }).await;
}

#[tokio::test]
async fn a_client_without_quorum_beside_the_node_that_is_left() {
    let cluster = without_quorum();
    let client = ClusterClient::beside(cluster.node(NodeId(1)), cluster.clone(), ClusterOptions::default(), chance());
    conformance::client_without_quorum(Fixture { subject: client, group: GROUP, keep: Box::new(cluster) }).await;
}

#[tokio::test]
async fn a_client_without_quorum_apart_over_grpc() {
    let cluster = without_quorum();
    let (over, served) = OverGrpc::serve(&cluster, 3).await;
    let seeds = vec!["n1.test:7400".to_owned()];
    let client = ClusterClient::<RemoteNode, _>::apart(None, seeds, over, ClusterOptions::default(), chance());
    let mut view = pelton_client::Client::cluster(&client);
    view.wait_for(|view| view.groups.len() == 3).await.unwrap();
    let keep = Box::new((cluster, served));
    conformance::client_without_quorum(Fixture { subject: client, group: GROUP, keep }).await;
}
