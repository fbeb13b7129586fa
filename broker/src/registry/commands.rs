//! The registry's commands and documents in stored form: a version byte, then JSON compressed with LZ4.
//!
//! Documents are everything that the registry holds. Of version 1, from before there were clusters, they are a list of
//! resources; of version 2, `{"resources": [...], "cluster": {...}}`.

use bytes::{BufMut, Bytes, BytesMut};
use pelton_resource::{Kind, Resource, ResourceKey};
use serde::{Deserialize, Serialize};

use crate::cluster::{ClusterCommand, ClusterState};

/// Resources are put in, each as it is given.
pub(crate) const PUT: u8 = 16;
/// One resource is taken out.
pub(crate) const DELETE: u8 = 17;
/// The cluster changes.
pub(crate) const CLUSTER: u8 = 18;

const VERSION: u8 = 1;

/// The version of documents with a cluster in them.
const DOCUMENTS_VERSION: u8 = 2;

/// Most bytes that stored documents may unfold to: far above what a registry holds, and no bomb.
const MAX_UNFOLDED_BYTES: usize = 1 << 30;

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum RegistryCommand {
    Put(Vec<Resource>),
    Delete(ResourceKey),
    Cluster(Box<ClusterCommand>),
}

/// Everything that the registry holds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Documents {
    pub(crate) resources: Vec<Resource>,
    pub(crate) cluster: ClusterState,
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
    pub(crate) fn encode(&self) -> (u8, Bytes) {
        match self {
            Self::Put(resources) => (PUT, fold(VERSION, &to_json(resources))),
            Self::Delete(key) => {
                let key = Key { kind: key.kind.to_string(), namespace: key.namespace.clone(), name: key.name.clone() };
                (DELETE, fold(VERSION, &to_json(&key)))
            }
            Self::Cluster(command) => (CLUSTER, fold(VERSION, &to_json(command))),
        }
    }

    pub(crate) fn decode(kind: u8, body: &Bytes) -> Result<Self, Undecodable> {
        match kind {
            PUT => Ok(Self::Put(serde_json::from_slice(&unfold(VERSION, body)?)?)),
            DELETE => {
                let key: Key = serde_json::from_slice(&unfold(VERSION, body)?)?;
                let kind: Kind = key.kind.parse().map_err(|_| Undecodable::Compressed)?;
                Ok(Self::Delete(ResourceKey::new(kind, key.namespace, key.name)))
            }
            CLUSTER => Ok(Self::Cluster(serde_json::from_slice(&unfold(VERSION, body)?)?)),
            other => Err(Undecodable::Kind(other)),
        }
    }
}

impl Documents {
    pub(crate) fn encode(&self) -> Bytes {
        fold(DOCUMENTS_VERSION, &to_json(self))
    }

    pub(crate) fn decode(bytes: &Bytes) -> Result<Self, Undecodable> {
        match bytes.first() {
            Some(&VERSION) => {
                let resources = serde_json::from_slice(&unfold(VERSION, bytes)?)?;
                Ok(Self { resources, cluster: ClusterState::default() })
            }
            _ => Ok(serde_json::from_slice(&unfold(DOCUMENTS_VERSION, bytes)?)?),
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

fn unfold(known: u8, bytes: &Bytes) -> Result<Vec<u8>, Undecodable> {
    let (&version, folded) = bytes.split_first().ok_or(Undecodable::Compressed)?;
    if version != known {
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

    proptest! {
        #[test]
        fn no_bytes_make_a_command_panic(noise in vec(any::<u8>(), 0..256), kind in 14_u8..20) {
            // As they are, behind the version, and where a document should be.
            let mut versioned = vec![VERSION];
            versioned.extend_from_slice(&noise);
            let folded = [VERSION, DOCUMENTS_VERSION].map(|version| fold(version, &noise));
            for body in [Bytes::from(noise.clone()), Bytes::from(versioned)].into_iter().chain(folded) {
                let _ = RegistryCommand::decode(kind, &body);
                let _ = Documents::decode(&body);
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
            let (kind, body) = command.encode();
            assert_eq!(RegistryCommand::decode(kind, &body).unwrap(), command);
            for cut in 0..body.len() {
                assert!(RegistryCommand::decode(kind, &body.slice(..cut)).is_err(), "cut at {cut}");
            }
        }
    }

    #[test]
    fn documents_read_back_and_so_do_those_from_before_there_were_clusters() {
        let text = "apiVersion: eventing.knative.dev/v1\nkind: Broker\nmetadata: {name: a}\n";
        let resources = pelton_resource::parse_documents(text, "test").unwrap();
        let cluster = crate::cluster::three_nodes();
        let documents = Documents { resources, cluster };
        assert_eq!(Documents::decode(&documents.encode()).unwrap(), documents);
        let old = fold(VERSION, &to_json(&documents.resources));
        let read = Documents::decode(&old).unwrap();
        assert_eq!(read, Documents { cluster: ClusterState::default(), ..documents });
        assert!(!read.cluster.is_formed());
        assert!(matches!(Documents::decode(&fold(3, b"{}")), Err(Undecodable::Version(3))));
    }
}
