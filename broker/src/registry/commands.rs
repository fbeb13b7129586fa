//! The registry's commands and documents in stored form: a version byte, then JSON compressed with LZ4.
//!
//! The version is that of the cluster's protocol ([`Forms`]); a reader takes every one up to the newest that it speaks.
//!
//! Documents are everything that the registry holds. Of version 1, from before there were clusters, they are a list of
//! resources; of version 2, `{"resources": [...], "cluster": {...}}`.

use std::ops::RangeInclusive;

use bytes::{BufMut, Bytes, BytesMut};
use pelton_resource::{Kind, Resource, ResourceKey};
use serde::{Deserialize, Serialize};

use crate::cluster::{ClusterCommand, ClusterState};
use crate::protocol::Forms;

/// Resources are put in, each as it is given.
pub(crate) const PUT: u8 = 16;
/// One resource is taken out.
pub(crate) const DELETE: u8 = 17;
/// The cluster changes.
pub(crate) const CLUSTER: u8 = 18;

/// The first version of commands, and that of documents without a cluster.
const VERSION: u8 = 1;

/// Most bytes that stored documents may unfold to: far above what a registry holds, and no bomb.
const MAX_UNFOLDED_BYTES: usize = 1 << 30;

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum RegistryCommand {
    Put(Vec<Resource>),
    Delete(ResourceKey),
    Cluster(Box<ClusterCommand>),
}

/// Everything that the registry holds, as it is read. [`encode_documents`] writes it.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub(crate) struct Documents {
    pub(crate) resources: Vec<Resource>,
    pub(crate) cluster: ClusterState,
}

/// The same, as it is written: without a copy of every resource.
#[derive(Serialize)]
struct Written<'a, R> {
    resources: &'a R,
    cluster: &'a ClusterState,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum Undecodable {
    #[error("of version {0}, which this program does not know")]
    Version(u8),
    #[error("not of a kind that this program knows: {0}")]
    Kind(u8),
    #[error("not what was compressed")]
    Compressed,
    #[error("not the JSON that was stored: {0}")]
    Json(#[from] serde_json::Error),
}

#[derive(Serialize, Deserialize)]
struct Key {
    kind: String,
    namespace: String,
    name: String,
}

impl RegistryCommand {
    /// For a cluster that is at this version of the protocol.
    pub(crate) fn encode(&self, protocol: u32) -> (u8, Bytes) {
        let version = Forms::of(protocol).registry_command;
        match self {
            Self::Put(resources) => (PUT, fold(version, &to_json(resources))),
            Self::Delete(key) => {
                let key =
                    Key { kind: key.kind.id().to_owned(), namespace: key.namespace.clone(), name: key.name.clone() };
                (DELETE, fold(version, &to_json(&key)))
            }
            Self::Cluster(command) => (CLUSTER, fold(version, &to_json(command))),
        }
    }

    /// By a program that speaks the protocol up to this version.
    pub(crate) fn decode(kind: u8, body: &Bytes, protocol: u32) -> Result<Self, Undecodable> {
        let known = VERSION..=Forms::of(protocol).registry_command;
        match kind {
            PUT => Ok(Self::Put(serde_json::from_slice(&unfold(known, body)?)?)),
            DELETE => {
                let key: Key = serde_json::from_slice(&unfold(known, body)?)?;
                let kind = Kind::of_id(&key.kind).ok_or(Undecodable::Compressed)?;
                Ok(Self::Delete(ResourceKey::new(kind, key.namespace, key.name)))
            }
            CLUSTER => Ok(Self::Cluster(serde_json::from_slice(&unfold(known, body)?)?)),
            other => Err(Undecodable::Kind(other)),
        }
    }
}

/// [`Documents`] for a cluster that is at this version of the protocol. `resources` become a list.
pub(crate) fn encode_documents(resources: &impl Serialize, cluster: &ClusterState, protocol: u32) -> Bytes {
    fold(Forms::of(protocol).documents, &to_json(&Written { resources, cluster }))
}

impl Documents {
    /// By a program that speaks the protocol up to this version.
    pub(crate) fn decode(bytes: &Bytes, protocol: u32) -> Result<Self, Undecodable> {
        let json = unfold(VERSION..=Forms::of(protocol).documents, bytes)?;
        match bytes.first() {
            Some(&VERSION) => Ok(Self { resources: serde_json::from_slice(&json)?, cluster: ClusterState::default() }),
            _ => Ok(serde_json::from_slice(&json)?),
        }
    }
}

fn to_json<T: Serialize + ?Sized>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).expect("resources, names and numbers always serialize")
}

fn fold(version: u8, json: &[u8]) -> Bytes {
    let mut out = BytesMut::new();
    out.put_u8(version);
    out.put_slice(&lz4_flex::block::compress_prepend_size(json));
    out.freeze()
}

fn unfold(known: RangeInclusive<u8>, bytes: &Bytes) -> Result<Vec<u8>, Undecodable> {
    let (&version, folded) = bytes.split_first().ok_or(Undecodable::Compressed)?;
    if !known.contains(&version) {
        return Err(Undecodable::Version(version));
    }
    let (size, _) = lz4_flex::block::uncompressed_size(folded).map_err(|_| Undecodable::Compressed)?;
    if size > MAX_UNFOLDED_BYTES {
        return Err(Undecodable::Compressed);
    }
    lz4_flex::block::decompress_size_prepended(folded).map_err(|_| Undecodable::Compressed)
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    const PROTOCOL: u32 = 1;

    fn encoded(documents: &Documents, protocol: u32) -> Bytes {
        encode_documents(&documents.resources, &documents.cluster, protocol)
    }

    proptest! {
        #[test]
        fn no_bytes_make_a_command_panic(noise in vec(any::<u8>(), 0..256), kind in 14_u8..20) {
            // As they are, behind the version, and where a document should be.
            let mut versioned = vec![VERSION];
            versioned.extend_from_slice(&noise);
            let folded = [VERSION, Forms::of(PROTOCOL).documents].map(|version| fold(version, &noise));
            for body in [Bytes::from(noise.clone()), Bytes::from(versioned)].into_iter().chain(folded) {
                let _ = RegistryCommand::decode(kind, &body, PROTOCOL);
                let _ = Documents::decode(&body, PROTOCOL);
            }
        }
    }

    #[test]
    fn commands_read_back() {
        let text = "apiVersion: eventing.knative.dev/v1\nkind: Broker\nmetadata: {name: a}\n";
        let resources = pelton_resource::parse_documents(text, "test").unwrap();
        let key = resources[0].key();
        let cluster = RegistryCommand::Cluster(Box::new(ClusterCommand::Drain(pelton_client::NodeId(3))));
        for command in [RegistryCommand::Put(resources), RegistryCommand::Delete(key), cluster] {
            let (kind, body) = command.encode(PROTOCOL);
            assert_eq!(RegistryCommand::decode(kind, &body, PROTOCOL).unwrap(), command);
            for cut in 0..body.len() {
                assert!(RegistryCommand::decode(kind, &body.slice(..cut), PROTOCOL).is_err(), "cut at {cut}");
            }
        }
    }

    #[test]
    fn documents_read_back_and_so_do_those_from_before_there_were_clusters() {
        let text = "apiVersion: eventing.knative.dev/v1\nkind: Broker\nmetadata: {name: a}\n";
        let resources = pelton_resource::parse_documents(text, "test").unwrap();
        let cluster = crate::cluster::three_nodes();
        let documents = Documents { resources, cluster };
        assert_eq!(Documents::decode(&encoded(&documents, PROTOCOL), PROTOCOL).unwrap(), documents);
        let old = fold(VERSION, &to_json(&documents.resources));
        let read = Documents::decode(&old, PROTOCOL).unwrap();
        assert_eq!(read, Documents { cluster: ClusterState::default(), ..documents });
        assert!(!read.cluster.is_formed());
        assert!(matches!(Documents::decode(&fold(3, b"{}"), PROTOCOL), Err(Undecodable::Version(3))));
    }

    /// Only a cluster that has gone on gets the next form, and only a program that speaks it reads it.
    #[cfg(debug_assertions)]
    #[test]
    fn a_newer_form_is_for_a_cluster_that_has_gone_on() {
        let command = RegistryCommand::Cluster(Box::new(ClusterCommand::Drain(pelton_client::NodeId(3))));
        let documents = Documents { resources: Vec::new(), cluster: crate::cluster::three_nodes() };
        for protocol in [PROTOCOL, PROTOCOL + 1] {
            let (kind, body) = command.encode(protocol);
            assert_eq!(RegistryCommand::decode(kind, &body, PROTOCOL + 1).unwrap(), command);
            assert_eq!(RegistryCommand::decode(kind, &body, PROTOCOL).is_ok(), protocol == PROTOCOL, "{protocol}");
            let bytes = encoded(&documents, protocol);
            assert_eq!(Documents::decode(&bytes, PROTOCOL + 1).unwrap(), documents);
            assert_eq!(Documents::decode(&bytes, PROTOCOL).is_ok(), protocol == PROTOCOL, "{protocol}");
        }
    }
}
