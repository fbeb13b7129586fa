//! Nodes in memory behind gRPC on the loopback interface.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use pelton_client::grpc::{NodeService, RemoteNode};
use pelton_client::memory::MemoryCluster;
use pelton_client::{Connect, NodeClient, NodeId};
use pelton_peer::{Network as _, Pool, Routes, Security, ServeOptions, TcpNetwork, Versions, serve};
use tokio::task::JoinSet;

pub const CLUSTER: u128 = 0x1234_5678;

pub fn pool() -> Arc<Pool> {
    Arc::new(Pool::new(Arc::new(TcpNetwork), Security::Plaintext))
}

/// Listeners. They end when this is dropped.
#[derive(Default)]
pub struct Served {
    pub tasks: JoinSet<()>,
}

impl Served {
    /// Serves a node, and returns where.
    pub async fn node<N: NodeClient>(&mut self, node: N, id: NodeId) -> SocketAddr {
        let listener = TcpNetwork.listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let routes = Routes::default().with(NodeService::new(node, CLUSTER, id, Versions::OURS).into_route());
        let served = serve(listener, Security::Plaintext, routes, ServeOptions::default(), std::future::pending());
        self.tasks.spawn(served);
        address
    }
}

/// Reaches the nodes of a cluster in memory over gRPC, whatever address the cluster has for them.
pub struct OverGrpc {
    pool: Arc<Pool>,
    addresses: BTreeMap<NodeId, SocketAddr>,
}

impl OverGrpc {
    /// Serves these nodes.
    pub async fn serve(cluster: &MemoryCluster, nodes: u64) -> (Self, Served) {
        let (mut served, mut addresses) = (Served::default(), BTreeMap::new());
        for id in (1..=nodes).map(NodeId) {
            addresses.insert(id, served.node(cluster.node(id), id).await);
        }
        (Self { pool: pool(), addresses }, served)
    }

    /// A handle of one of them.
    pub fn remote(&self, id: NodeId) -> RemoteNode {
        let address = self.addresses[&id].to_string().parse().unwrap();
        RemoteNode::new(self.pool.channels(&address), CLUSTER, Some(id), Versions::OURS)
    }
}

impl Connect for OverGrpc {
    type Node = RemoteNode;

    fn connect(&self, node: Option<NodeId>, address: &str) -> Option<RemoteNode> {
        // In memory a node's address is its name.
        let id = node.or_else(|| address.strip_prefix('n')?.strip_suffix(".test:7400")?.parse().ok().map(NodeId))?;
        self.addresses.contains_key(&id).then(|| self.remote(id))
    }
}
