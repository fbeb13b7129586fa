//! The registry's applied state on this node, in sled.
//!
//! sled's `flush` does not survive a loss of power, so the store never holds the only copy of anything: whatever is in
//! it can be made again from the log. It says which log index it reflects, each value has a checksum, and the sum of
//! all checksums stands beside the index, so that a store that lost or kept too much is told from a whole one.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use pelton_resource::{Resource, ResourceKey};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::commands::Documents;
use crate::cluster::ClusterState;

const META: &[u8] = b"\0meta";
/// The cluster's key. A resource's begins with its kind.
const CLUSTER: &[u8] = b"\0cluster";
const VERSION: u8 = 1;

/// The page cache. What the registry holds is in memory already, and nothing is read here but what a change replaces.
const CACHE_BYTES: u64 = 1 << 20;

/// Why a store cannot be used as it is.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unusable {
    #[error("it does not open: {0}")]
    Open(String),
    #[error("it cannot be read: {0}")]
    Read(#[from] sled::Error),
    #[error("what is in it does not add up to what was stored")]
    Sum,
    #[error("its value of {0:?} is damaged")]
    Value(String),
    #[error("it reflects log index {index}, and the log ends at {last}")]
    AheadOfLog { index: u64, last: u64 },
    #[error("it is of version {0}")]
    Version(u8),
}

pub(crate) struct Store {
    db: sled::Db,
    digest: Digest,
}

/// What one entry of the log changes.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Change<'a> {
    /// Resources that are put in.
    pub(crate) put: &'a [Resource],
    /// A resource that is taken out.
    pub(crate) take: Option<&'a ResourceKey>,
    /// The cluster as it is from now on.
    pub(crate) cluster: Option<&'a ClusterState>,
}

/// Count and sum of the checksums of all values.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Digest {
    count: u64,
    sum: u64,
}

impl Store {
    /// Opens the store and reads all of it: the index that it reflects, and what is in it.
    pub(crate) fn open(path: &Path, last_index: u64) -> Result<(Self, u64, Documents), Unusable> {
        let config = sled::Config::new().path(path).cache_capacity(CACHE_BYTES).flush_every_ms(Some(500));
        // sled 0.34 panics on some kinds of damage.
        let opened = catch_unwind(AssertUnwindSafe(|| {
            let db = config.open()?;
            let read: Result<Vec<_>, _> = db.iter().collect();
            read.map(|pairs| (db, pairs))
        }));
        let (db, pairs) = opened.map_err(|_| Unusable::Open("it panicked".into()))??;
        let (mut digest, mut meta, mut documents) = (Digest::default(), None, Documents::default());
        for (key, value) in pairs {
            if key == META {
                meta = Some(read_meta(&value)?);
                continue;
            }
            digest.add(&value);
            if key == CLUSTER {
                documents.cluster = read_value(&key, &value)?;
            } else {
                documents.resources.push(read_value(&key, &value)?);
            }
        }
        let (index, stored) = meta.unwrap_or_default();
        if stored != digest {
            return Err(Unusable::Sum);
        }
        if index > last_index {
            return Err(Unusable::AheadOfLog { index, last: last_index });
        }
        Ok((Self { db, digest }, index, documents))
    }

    /// Moves a store that cannot be used out of the way and starts an empty one. Nothing is deleted.
    pub(crate) fn set_aside(path: &Path, mark: u64) -> Result<(Self, PathBuf), std::io::Error> {
        let aside = path.with_extension(format!("aside-{mark}"));
        std::fs::rename(path, &aside)?;
        let (store, _, _) = Self::open(path, 0).map_err(std::io::Error::other)?;
        Ok((store, aside))
    }

    /// Makes a change as of log index `index`, as one.
    pub(crate) fn write(&mut self, index: u64, change: Change<'_>) -> Result<(), sled::Error> {
        let mut batch = sled::Batch::default();
        let mut digest = self.digest;
        let cluster = change.cluster.map(|cluster| (CLUSTER.to_vec(), value_of(cluster)));
        let resources = change.put.iter().map(|resource| (key_bytes(&resource.key()), value_of(resource)));
        for (key, value) in resources.chain(cluster) {
            if let Some(old) = self.db.get(&key)? {
                digest.subtract(&old);
            }
            digest.add(&value);
            batch.insert(key, value);
        }
        if let Some(key) = change.take.map(key_bytes)
            && let Some(old) = self.db.get(&key)?
        {
            digest.subtract(&old);
            batch.remove(key);
        }
        batch.insert(META, meta_bytes(index, digest));
        self.db.apply_batch(batch)?;
        self.digest = digest;
        Ok(())
    }

    /// Makes the store hold exactly `documents`, as of log index `index`.
    pub(crate) fn replace(&mut self, index: u64, documents: &Documents) -> Result<(), sled::Error> {
        self.db.clear()?;
        self.digest = Digest::default();
        self.write(index, Change { put: &documents.resources, take: None, cluster: Some(&documents.cluster) })
    }

    /// Hands everything to the operating system.
    pub(crate) fn flush(&self) -> Result<(), sled::Error> {
        self.db.flush().map(|_| ())
    }
}

impl Digest {
    fn add(&mut self, value: &[u8]) {
        self.count += 1;
        self.sum = self.sum.wrapping_add(u64::from(crc32c::crc32c(value)));
    }

    fn subtract(&mut self, value: &[u8]) {
        self.count -= 1;
        self.sum = self.sum.wrapping_sub(u64::from(crc32c::crc32c(value)));
    }
}

/// CRC-32C of the JSON, and the JSON.
fn value_of<T: Serialize>(what: &T) -> Vec<u8> {
    let json = serde_json::to_vec(what).expect("resources, names and numbers always serialize");
    let mut value = crc32c::crc32c(&json).to_le_bytes().to_vec();
    value.extend_from_slice(&json);
    value
}

fn read_value<T: DeserializeOwned>(key: &[u8], value: &[u8]) -> Result<T, Unusable> {
    let damaged = || Unusable::Value(String::from_utf8_lossy(key).into_owned());
    let (crc, json) = value.split_first_chunk::<4>().ok_or_else(damaged)?;
    if crc32c::crc32c(json) != u32::from_le_bytes(*crc) {
        return Err(damaged());
    }
    serde_json::from_slice(json).map_err(|_| damaged())
}

fn key_bytes(key: &ResourceKey) -> Vec<u8> {
    format!("{}/{}/{}", key.kind.id(), key.namespace, key.name).into_bytes()
}

fn meta_bytes(index: u64, digest: Digest) -> Vec<u8> {
    let mut out = vec![VERSION];
    for part in [index, digest.count, digest.sum] {
        out.extend_from_slice(&part.to_le_bytes());
    }
    let crc = crc32c::crc32c(&out);
    out.extend_from_slice(&crc.to_le_bytes());
    out
}

fn read_meta(bytes: &[u8]) -> Result<(u64, Digest), Unusable> {
    let (body, crc) = bytes.split_last_chunk::<4>().ok_or(Unusable::Sum)?;
    if crc32c::crc32c(body) != u32::from_le_bytes(*crc) || body.len() != 25 {
        return Err(Unusable::Sum);
    }
    if body[0] != VERSION {
        return Err(Unusable::Version(body[0]));
    }
    let part = |at: usize| u64::from_le_bytes(body[at..at + 8].try_into().expect("eight bytes of twenty-five"));
    Ok((part(1), Digest { count: part(9), sum: part(17) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn brokers(names: &[&str]) -> Vec<Resource> {
        let texts: Vec<_> = names
            .iter()
            .map(|name| {
                format!("apiVersion: eventing.knative.dev/v1\nkind: Broker\nmetadata: {{name: {name}, namespace: n}}\n")
            })
            .collect();
        pelton_resource::parse_documents(&texts.join("---\n"), "test").unwrap()
    }

    fn put(resources: &[Resource]) -> Change<'_> {
        Change { put: resources, ..Change::default() }
    }

    fn documents(names: &[&str]) -> Documents {
        Documents { resources: brokers(names), cluster: crate::cluster::three_nodes() }
    }

    #[test]
    fn what_was_stored_is_there_after_reopening() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("registry.sled");
        let (mut store, index, empty) = Store::open(&path, 0).unwrap();
        assert_eq!((index, empty), (0, Documents::default()));
        store.write(3, put(&brokers(&["a", "b"]))).unwrap();
        store.write(4, put(&brokers(&["a"]))).unwrap();
        store.write(5, Change { take: Some(&brokers(&["b"])[0].key()), ..Change::default() }).unwrap();
        for cluster in [ClusterState::default(), crate::cluster::three_nodes()] {
            store.write(6, Change { cluster: Some(&cluster), ..Change::default() }).unwrap();
        }
        store.flush().unwrap();
        drop(store);
        let (_, index, stored) = Store::open(&path, 9).unwrap();
        assert_eq!((index, stored), (6, documents(&["a"])));
    }

    #[test]
    fn a_store_that_is_ahead_damaged_or_does_not_add_up_is_refused_and_set_aside() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("registry.sled");
        let (mut store, _, _) = Store::open(&path, 0).unwrap();
        store.replace(3, &documents(&["a"])).unwrap();
        drop(store);
        assert!(matches!(Store::open(&path, 2), Err(Unusable::AheadOfLog { index: 3, last: 2 })));
        let broker = key_bytes(&brokers(&["a"])[0].key());
        for (damage, key) in [("lost", &broker[..]), ("changed", &broker), ("lost", CLUSTER), ("changed", CLUSTER)] {
            let (store, _, _) = Store::open(&path, 3).unwrap();
            match damage {
                "lost" => store.db.remove(key).map(drop).unwrap(),
                _ => store.db.insert(key, b"abcdefgh".as_slice()).map(drop).unwrap(),
            }
            drop(store);
            assert!(Store::open(&path, 3).is_err(), "{damage}");
            let (mut fresh, aside) = Store::set_aside(&path, 1).unwrap();
            assert!(aside.exists());
            std::fs::remove_dir_all(aside).unwrap();
            fresh.replace(3, &documents(&["a"])).unwrap();
        }
    }

    #[test]
    fn a_store_of_garbage_gives_nothing_that_was_not_stored() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("registry.sled");
        std::fs::create_dir(&path).unwrap();
        std::fs::write(path.join("conf"), b"garbage").unwrap();
        std::fs::write(path.join("db"), vec![0x5a; 4096]).unwrap();
        // sled may open it as an empty store, which reflects index 0 and so is filled from the log. Else it is set aside.
        let (mut store, index, read) = Store::open(&path, 9).unwrap_or_else(|_| {
            let (store, aside) = Store::set_aside(&path, 1).expect("what does not open is moved out of the way");
            assert_eq!(std::fs::read(aside.join("db")).unwrap(), vec![0x5a; 4096], "and not touched");
            (store, 0, Documents::default())
        });
        assert_eq!((index, read), (0, Documents::default()));
        store.replace(7, &documents(&["a"])).unwrap();
        store.flush().unwrap();
        drop(store);
        let (_, index, read) = Store::open(&path, 9).unwrap();
        assert_eq!((index, read), (7, documents(&["a"])));
    }
}
