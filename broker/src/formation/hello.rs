//! What a node says of itself, and what it hears of others.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;
use pelton_client::NodeId;
use pelton_log::Identity;
use pelton_peer::{PeerAddress, Versions};
use pelton_proto::consensus::v1 as wire;

use crate::cluster::Nonce;

/// Longest text that is taken from another node: names, addresses, versions.
pub(super) const MAX_TEXT_BYTES: usize = 512;

/// What this node says of itself to whoever asks.
#[derive(Debug)]
pub(crate) struct Presence {
    name: String,
    nonce: Nonce,
    version: String,
    /// What the program speaks.
    speaks: Versions,
    /// The version that the cluster is at, once the node knows.
    agreed: AtomicU32,
    member: OnceLock<Identity>,
    forms: OnceLock<PeerAddress>,
}

impl Presence {
    pub(crate) fn new(name: String, nonce: Nonce, version: String, speaks: Versions) -> Self {
        let (agreed, member, forms) = (AtomicU32::new(speaks.min), OnceLock::new(), OnceLock::new());
        Self { name, nonce, version, speaks, agreed, member, forms }
    }

    /// The cluster is at this version: with nobody anything older is spoken any more.
    pub(crate) fn agree(&self, version: u32) {
        self.agreed.fetch_max(version, Ordering::Relaxed);
    }

    /// The versions that the program speaks.
    pub(super) fn speaks(&self) -> Versions {
        self.speaks
    }

    pub(crate) fn nonce(&self) -> Nonce {
        self.nonce
    }

    pub(super) fn version(&self) -> &str {
        &self.version
    }

    /// The versions that the node speaks in its cluster as it is now.
    pub(super) fn versions(&self) -> Versions {
        self.speaks.since(self.agreed.load(Ordering::Relaxed))
    }

    /// The identity, once it has one.
    pub(crate) fn identity(&self) -> Option<Identity> {
        self.member.get().copied()
    }

    /// Says from now on that the node is this one. An identity stays what it is.
    pub(super) fn set_identity(&self, identity: Identity) {
        let kept = self.member.get_or_init(|| identity);
        assert_eq!(*kept, identity, "a node has one identity");
    }

    /// Says from now on which node it takes for the one that forms the cluster: the first of its list.
    pub(super) fn set_forms(&self, first: &PeerAddress) {
        self.forms.get_or_init(|| first.clone());
    }

    pub(super) fn to_wire(&self) -> wire::Identity {
        let identity = self.identity();
        wire::Identity {
            protocol_min: self.versions().min,
            protocol_max: self.versions().max,
            cluster: cluster_to_wire(identity.map(|identity| identity.cluster)),
            node: identity.map_or(0, |identity| identity.node),
            name: self.name.clone(),
            nonce: Bytes::copy_from_slice(&self.nonce.to_bytes()),
            product_version: self.version.clone(),
            forms: self.forms.get().map(PeerAddress::to_string).unwrap_or_default(),
        }
    }
}

/// What another node said of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hello {
    pub(crate) versions: Versions,
    /// Its identity, when it belongs to a cluster.
    pub(crate) member: Option<Identity>,
    pub(crate) name: String,
    pub(crate) nonce: Nonce,
    /// The address of the node that it takes for the one that forms the cluster.
    pub(crate) forms: Option<String>,
}

impl Hello {
    /// Why what came is no hello.
    pub(super) fn from_wire(identity: Option<wire::Identity>) -> Result<Self, &'static str> {
        let identity = identity.ok_or("it says nothing of itself")?;
        if [&identity.name, &identity.product_version, &identity.forms].iter().any(|text| text.len() > MAX_TEXT_BYTES) {
            return Err("its name, version or address is too long");
        }
        let nonce = Nonce::from_bytes(&identity.nonce).ok_or("its nonce is not 16 bytes")?;
        let member = match (cluster_from_wire(&identity.cluster)?, identity.node) {
            (None, 0) => None,
            (Some(cluster), node) if node > 0 => Some(Identity { cluster, node }),
            _ => return Err("it has a cluster without an id, or an id without a cluster"),
        };
        let versions = Versions { min: identity.protocol_min, max: identity.protocol_max };
        let forms = (!identity.forms.is_empty()).then_some(identity.forms);
        Ok(Self { versions, member, name: identity.name, nonce, forms })
    }

    pub(super) fn node(&self) -> Option<NodeId> {
        self.member.map(|identity| NodeId(identity.node))
    }
}

/// Why nobody said anything.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoHello {
    /// No answer.
    #[error("no answer: {0}")]
    Unreachable(String),
    /// An answer that is not one of a node.
    #[error("what answers there is no node: {0}")]
    Garbage(String),
}

pub(super) fn cluster_to_wire(cluster: Option<u128>) -> Bytes {
    cluster.map_or_else(Bytes::new, |cluster| Bytes::copy_from_slice(&cluster.to_be_bytes()))
}

/// `None` when there is none.
pub(super) fn cluster_from_wire(bytes: &[u8]) -> Result<Option<u128>, &'static str> {
    match bytes.len() {
        0 => Ok(None),
        16 => Ok(Some(u128::from_be_bytes(bytes.try_into().expect("16 bytes")))),
        _ => Err("its cluster is not 16 bytes"),
    }
}
