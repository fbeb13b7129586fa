//! How a client of the cluster reaches nodes.

use std::sync::Arc;

use pelton_peer::{PeerAddress, Pool, Versions};

use super::RemoteNode;
use crate::{Connect, NodeId};

/// Reaches nodes over gRPC.
#[derive(Debug, Clone)]
pub struct Connector {
    pool: Arc<Pool>,
    cluster: u128,
    speaks: Versions,
}

impl Connector {
    /// Over the connections of `pool`, to nodes of `cluster`, for a process that speaks these versions of the protocol.
    #[must_use]
    pub fn new(pool: Arc<Pool>, cluster: u128, speaks: Versions) -> Self {
        Self { pool, cluster, speaks }
    }
}

impl Connect for Connector {
    type Node = RemoteNode;

    fn connect(&self, node: Option<NodeId>, address: &str) -> Option<RemoteNode> {
        let address = address.parse::<PeerAddress>();
        match address {
            Ok(address) => Some(RemoteNode::new(self.pool.channels(&address), self.cluster, node, self.speaks)),
            Err(why) => {
                tracing::warn!(%why, "a node's address is none");
                None
            }
        }
    }
}
