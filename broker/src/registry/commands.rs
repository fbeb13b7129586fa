//! The registry's commands and documents in stored form: a version byte, then JSON compressed with LZ4.

use bytes::{BufMut, Bytes, BytesMut};
use pelton_resource::{Kind, Resource, ResourceKey};
use serde::{Deserialize, Serialize};

/// Resources are put in, each as it is given.
pub(crate) const PUT: u8 = 16;
/// One resource is taken out.
pub(crate) const DELETE: u8 = 17;

const VERSION: u8 = 1;

/// Most bytes that stored documents may unfold to: far above what a registry holds, and no bomb.
const MAX_UNFOLDED_BYTES: usize = 1 << 30;

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum RegistryCommand {
    Put(Vec<Resource>),
    Delete(ResourceKey),
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
            Self::Put(resources) => (PUT, encode_resources(resources)),
            Self::Delete(key) => {
                let key = Key { kind: key.kind.to_string(), namespace: key.namespace.clone(), name: key.name.clone() };
                (DELETE, fold(&serde_json::to_vec(&key).expect("three texts always serialize")))
            }
        }
    }

    pub(crate) fn decode(kind: u8, body: &Bytes) -> Result<Self, Undecodable> {
        match kind {
            PUT => Ok(Self::Put(decode_resources(body)?)),
            DELETE => {
                let key: Key = serde_json::from_slice(&unfold(body)?)?;
                let kind: Kind = key.kind.parse().map_err(|_| Undecodable::Compressed)?;
                Ok(Self::Delete(ResourceKey::new(kind, key.namespace, key.name)))
            }
            other => Err(Undecodable::Kind(other)),
        }
    }
}

pub(crate) fn encode_resources(resources: &[Resource]) -> Bytes {
    fold(&serde_json::to_vec(resources).expect("resources always serialize"))
}

pub(crate) fn decode_resources(bytes: &Bytes) -> Result<Vec<Resource>, Undecodable> {
    Ok(serde_json::from_slice(&unfold(bytes)?)?)
}

fn fold(json: &[u8]) -> Bytes {
    let mut out = BytesMut::new();
    out.put_u8(VERSION);
    out.put_slice(&lz4_flex::block::compress_prepend_size(json));
    out.freeze()
}

fn unfold(bytes: &Bytes) -> Result<Vec<u8>, Undecodable> {
    let (&version, folded) = bytes.split_first().ok_or(Undecodable::Compressed)?;
    if version != VERSION {
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
            for body in [Bytes::from(noise.clone()), Bytes::from(versioned), fold(&noise)] {
                let _ = RegistryCommand::decode(kind, &body);
            }
        }
    }

    #[test]
    fn commands_read_back() {
        let text = "apiVersion: eventing.knative.dev/v1\nkind: Broker\nmetadata: {name: a}\n";
        let resources = pelton_resource::parse_documents(text, "test").unwrap();
        let key = resources[0].key();
        for command in [RegistryCommand::Put(resources), RegistryCommand::Delete(key)] {
            let (kind, body) = command.encode();
            assert_eq!(RegistryCommand::decode(kind, &body).unwrap(), command);
            for cut in 0..body.len() {
                assert!(RegistryCommand::decode(kind, &body.slice(..cut)).is_err(), "cut at {cut}");
            }
        }
    }
}
