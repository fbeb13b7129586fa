//! gRPC between nodes: the transport that real clusters use, and the service at its other end.
//!
//! Every request names the cluster, its sender and its recipient. Addresses get given to other machines; a request that
//! was meant for another node or another cluster must not be taken for one of ours.

mod client;
mod service;

pub use client::{AddressBook, GrpcTransport};
pub use service::ConsensusService;

use pelton_log::Identity;
use pelton_peer::{PROTOCOL_MIN, Versions};
use pelton_proto::consensus::v1 as proto;
use proto::refusal::Reason;
use tonic::metadata::{MetadataMap, MetadataValue};

use crate::NodeId;
use crate::wire::refusal;

/// The cluster of the sender, as 32 hexadecimal digits.
const CLUSTER: &str = "pelton-cluster";
/// The id of the sender.
const FROM: &str = "pelton-from";
/// The id of the node that it is meant for.
const TO: &str = "pelton-to";
/// The version of the protocol that it is written in; the first one when it does not say.
const VERSION: &str = "pelton-version";

/// Says who sends to whom.
fn sign(metadata: &mut MetadataMap, identity: Identity, to: NodeId, version: u32) {
    let ascii = |text: String| MetadataValue::try_from(text).expect("digits are ASCII");
    metadata.insert(CLUSTER, ascii(format!("{:032x}", identity.cluster)));
    metadata.insert(FROM, ascii(identity.node.to_string()));
    metadata.insert(TO, ascii(to.to_string()));
    metadata.insert(VERSION, ascii(version.to_string()));
}

/// Whether the request is for this node of this cluster, in a version that it speaks, and says from whom it is.
fn check(metadata: &MetadataMap, identity: Identity, versions: Versions) -> Result<NodeId, proto::Refusal> {
    let text = |key| metadata.get(key).and_then(|value| value.to_str().ok());
    let number = |key| text(key).and_then(|text| text.parse::<u64>().ok());
    let wrong = |what: &dyn std::fmt::Display| Err(refusal(Reason::WrongNode, what));
    match text(CLUSTER).and_then(|text| u128::from_str_radix(text, 16).ok()) {
        Some(cluster) if cluster == identity.cluster => {}
        Some(_) => return wrong(&"the request is for another cluster"),
        None => return wrong(&"the request does not name a cluster"),
    }
    match number(TO) {
        Some(to) if to == identity.node => {}
        Some(to) => return wrong(&format_args!("the request is for node {to}, and this is node {}", identity.node)),
        None => return wrong(&"the request does not say which node it is for"),
    }
    let version = if metadata.contains_key(VERSION) { number(VERSION) } else { Some(u64::from(PROTOCOL_MIN)) };
    match version.and_then(|version| u32::try_from(version).ok()) {
        Some(version) if versions.contains(version) => {}
        Some(version) => {
            let why = format!("the request is of version {version}, and this node speaks {versions}");
            return Err(refusal(Reason::Version, why));
        }
        None => return Err(refusal(Reason::Version, "the request does not say which version it is of")),
    }
    match number(FROM) {
        Some(from) if from != identity.node => Ok(NodeId(from)),
        Some(_) => wrong(&"the request is from a node that has this node's id"),
        None => wrong(&"the request does not say who sends it"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const V1: Versions = Versions { min: 1, max: 1 };

    const US: Identity = Identity { cluster: 0xfeed, node: 2 };

    #[test]
    fn only_what_is_meant_for_this_node_of_this_cluster_is_taken() {
        let mut metadata = MetadataMap::new();
        sign(&mut metadata, Identity { cluster: 0xfeed, node: 1 }, NodeId(2), 1);
        assert_eq!(check(&metadata, US, V1), Ok(NodeId(1)));
        let rows: [(&str, Identity, NodeId); 3] = [
            ("other cluster", Identity { cluster: 0xbeef, node: 1 }, NodeId(2)),
            ("other node", Identity { cluster: 0xfeed, node: 1 }, NodeId(3)),
            ("our own id", Identity { cluster: 0xfeed, node: 2 }, NodeId(2)),
        ];
        for (row, sender, to) in rows {
            let mut metadata = MetadataMap::new();
            sign(&mut metadata, sender, to, 1);
            assert_eq!(check(&metadata, US, V1).unwrap_err().reason(), Reason::WrongNode, "{row}");
        }
        for key in [CLUSTER, FROM, TO] {
            for damage in [None, Some("no number")] {
                let mut metadata = metadata.clone();
                metadata.remove(key);
                if let Some(text) = damage {
                    metadata.insert(key, MetadataValue::from_static(text));
                }
                assert!(check(&metadata, US, V1).is_err(), "{key} {damage:?}");
            }
        }
    }

    #[test]
    fn only_a_version_that_is_spoken_is_taken() {
        let us = Identity { cluster: 0xfeed, node: 2 };
        for (says, speaks, taken) in [
            (Some("1"), (1, 1), true),
            (Some("2"), (1, 1), false),
            (Some("2"), (1, 2), true),
            (Some("1"), (2, 3), false),
            (Some("x"), (1, 2), false),
            (None, (1, 1), true),
            (None, (2, 2), false),
        ] {
            let mut metadata = MetadataMap::new();
            sign(&mut metadata, Identity { node: 1, ..us }, NodeId(2), 1);
            metadata.remove(VERSION);
            if let Some(text) = says {
                metadata.insert(VERSION, MetadataValue::from_static(text));
            }
            let answer = check(&metadata, us, Versions { min: speaks.0, max: speaks.1 });
            match answer {
                Ok(_) => assert!(taken, "{says:?} by one that speaks {speaks:?}"),
                Err(refusal) => assert_eq!((taken, refusal.reason()), (false, Reason::Version), "{says:?} {speaks:?}"),
            }
        }
    }
}
