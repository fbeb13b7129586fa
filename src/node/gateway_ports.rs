//! The ports at which gateways are asked for the services of the cluster.

use std::sync::Arc;

use pelton_client::{ClusterView, NodePhase};
use pelton_peer::PeerAddress;
use tokio::sync::watch;

/// The ports of this process's gateway and of those of all nodes. A Route's URL has one of them: that of the gateway beside
/// the registry's leader of then.
#[derive(Debug, Clone)]
pub struct GatewayPorts {
    own: Option<u16>,
    view: watch::Receiver<Arc<ClusterView>>,
}

impl GatewayPorts {
    /// `own` is that of this process, when it has a gateway.
    pub fn new(own: Option<u16>, view: watch::Receiver<Arc<ClusterView>>) -> Self {
        Self { own, view }
    }

    /// Whether a gateway listens at that port.
    pub fn have(&self, port: u16) -> bool {
        self.own == Some(port) || gateways(&self.view.borrow()).iter().any(|gateway| gateway.port() == port)
    }

    /// Where the gateways of all nodes are.
    pub fn gateways(&self) -> Vec<PeerAddress> {
        gateways(&self.view.borrow())
    }
}

fn gateways(view: &ClusterView) -> Vec<PeerAddress> {
    let active = view.nodes.values().filter(|node| node.phase == NodePhase::Active);
    active.filter_map(|node| node.gateway.as_ref()?.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use pelton_client::{NodeId, NodeInfo, Role};

    use super::*;

    #[test]
    fn only_nodes_that_are_there_and_run_services_count() {
        let node = |gateway: Option<&str>, phase| NodeInfo {
            name: "a".to_owned(),
            peer_address: "a:1".to_owned(),
            ingress: None,
            api: None,
            gateway: gateway.map(str::to_owned),
            zone: "z".to_owned(),
            roles: [Role::Broker].into(),
            phase,
            version: "0".to_owned(),
        };
        let nodes = [
            node(Some("a:1"), NodePhase::Active),
            node(None, NodePhase::Active),
            node(Some("b:2"), NodePhase::Removed),
            node(Some("[::1]:3"), NodePhase::Active),
        ];
        let nodes: BTreeMap<_, _> = (1..).map(NodeId).zip(nodes).collect();
        let (_sender, view) = watch::channel(Arc::new(ClusterView { nodes, ..ClusterView::default() }));
        let ports = GatewayPorts::new(Some(4), view);
        assert_eq!(ports.gateways().iter().map(PeerAddress::host).collect::<Vec<_>>(), ["a", "::1"]);
        assert_eq!([1, 2, 3, 4, 5].map(|port| ports.have(port)), [true, false, true, true, false]);
    }
}
