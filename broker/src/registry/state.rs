//! The registry's state machine.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use foldhash::HashMap;
use parking_lot::Mutex;
use pelton_client::version::version_after;
use pelton_client::{BrokerName, Resources};
use pelton_consensus::{Applied, StateMachine, Watermark};
use pelton_log::LogIndex;
use pelton_peer::Versions;
use pelton_resource::{Broker, Resource, broker_settings};
use serde::{Serialize, Serializer};
use tokio::sync::watch;

use super::commands::{Documents, RegistryCommand, encode_documents};
use super::store::{Change, Store, Unusable};
use crate::cluster::{ClusterState, Outcome};

/// How many outcomes of cluster commands are kept for those who proposed them. They ask as soon as the command is
/// applied, one at a time; followers keep as many for nobody.
const OUTCOMES_KEPT: usize = 64;

/// Every resource and the cluster, as of the last applied entry of the registry's group.
pub(crate) struct RegistryState {
    /// The newest version of the protocol that this program reads.
    protocol: u32,
    inner: Mutex<Inner>,
    resources: watch::Sender<Arc<Resources>>,
    cluster: watch::Sender<Arc<ClusterState>>,
    windows: ArcSwap<Windows>,
}

/// The Brokers that have a deduplication window, with it. Every append asks, and reading a Broker's annotations each
/// time would cost more than the rest of the append.
type Windows = HashMap<BrokerName, Duration>;

struct Inner {
    /// `None` when there is none, or no room to make one: everything is in the log, and the next start tries again.
    store: Option<Store>,
    path: Option<PathBuf>,
    /// The log index that resources and store reflect. Entries up to it are not applied again.
    index: u64,
    /// What came of the last cluster commands, by log index.
    outcomes: VecDeque<(u64, Outcome)>,
    /// Everything as it is stored, as of an index: a checkpoint asks for it twice.
    encoded: Option<(u64, Bytes)>,
}

/// All resources, as a list. Each is copied only while it is written.
struct List<'a>(&'a Resources);

impl Serialize for List<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter())
    }
}

impl RegistryState {
    /// Takes everything from the store in `path`, if it is sound and not ahead of the log, which ends at
    /// `last_index`. Otherwise the store is set aside, and restoring from the log fills a new one.
    ///
    /// Where that is not possible, on a disk without a free byte, it goes on without a store. Without a path there is
    /// none from the beginning.
    pub(crate) fn open(path: Option<&Path>, last_index: u64, mark: u64, versions: Versions) -> Self {
        let (store, index, stored) = match path.map(|path| (path, Store::open(path, last_index))) {
            Some((_, Ok((store, index, stored)))) => (Some(store), index, stored),
            Some((path, Err(error))) => (Self::rebuilt(path, mark, &error), 0, Documents::default()),
            None => (None, 0, Documents::default()),
        };
        let inner = Inner { store, path: path.map(Path::to_owned), index, outcomes: VecDeque::new(), encoded: None };
        let resources = resources_of(stored.resources, index);
        Self {
            protocol: versions.max,
            inner: Mutex::new(inner),
            windows: ArcSwap::from_pointee(windows_of(&resources)),
            resources: watch::Sender::new(Arc::new(resources)),
            cluster: watch::Sender::new(Arc::new(stored.cluster)),
        }
    }

    /// A new store in the place of one that cannot be used, if there is room for one.
    fn rebuilt(path: &Path, mark: u64, why: &Unusable) -> Option<Store> {
        match Store::set_aside(path, mark) {
            Ok((store, aside)) => {
                tracing::warn!(error = %why, aside = ?aside, "the registry's store is rebuilt from the log");
                Some(store)
            }
            Err(error) => {
                tracing::error!(%why, %error, ?path, "the registry goes on without a store; the log has everything");
                None
            }
        }
    }

    pub(crate) fn watch(&self) -> watch::Receiver<Arc<Resources>> {
        self.resources.subscribe()
    }

    pub(crate) fn current(&self) -> Arc<Resources> {
        self.resources.borrow().clone()
    }

    /// The cluster as this node has applied it, and how it changes.
    pub(crate) fn cluster(&self) -> watch::Receiver<Arc<ClusterState>> {
        self.cluster.subscribe()
    }

    /// The cluster as this node has applied it.
    pub(crate) fn current_cluster(&self) -> Arc<ClusterState> {
        self.cluster.borrow().clone()
    }

    /// What came of the cluster command of log index `index`, if it was one and applied not long ago.
    pub(crate) fn outcome(&self, index: u64) -> Option<Outcome> {
        let inner = self.inner.lock();
        inner.outcomes.iter().find(|(at, _)| *at == index).map(|(_, outcome)| outcome.clone())
    }

    /// The Broker's deduplication window, if it is there and has one.
    pub(crate) fn deduplication_window(&self, broker: &BrokerName) -> Option<Duration> {
        let windows = self.windows.load();
        if windows.is_empty() { None } else { windows.get(broker).copied() }
    }

    fn publish(&self, resources: Resources) {
        let current = self.resources.borrow().clone();
        let window = |broker: Option<&Arc<Broker>>| broker_settings(broker?).deduplication_window;
        if resources.brokers.diff(&current.brokers).iter().any(|it| window(it.before) != window(it.now)) {
            self.windows.store(Arc::new(windows_of(&resources)));
        }
        self.resources.send_replace(Arc::new(resources));
    }

    /// Hands the store to the operating system. Losing it costs a rebuild and no data.
    pub(crate) fn flush(&self) {
        if let Some(Err(error)) = self.inner.lock().store.as_ref().map(Store::flush) {
            tracing::warn!(%error, "the registry's store could not be flushed; it will be rebuilt if it is damaged");
        }
    }

    /// Everything as it is stored, and the index that it reflects. One after the other would give what never was together.
    fn encoded(&self) -> (u64, Bytes) {
        let mut inner = self.inner.lock();
        let index = inner.index;
        let cluster = self.current_cluster();
        let kept = inner.encoded.take().filter(|(at, _)| *at == index);
        let (_, bytes) = inner.encoded.insert(
            kept.unwrap_or_else(|| (index, encode_documents(&List(&self.current()), &cluster, cluster.protocol()))),
        );
        (index, bytes.clone())
    }

    fn take(&self, index: u64, documents: Documents) {
        let mut inner = self.inner.lock();
        if let Some(Err(error)) = inner.store.as_mut().map(|store| store.replace(index, &documents)) {
            inner.give_up_store(&error);
        }
        (inner.index, inner.encoded) = (index, None);
        self.publish(resources_of(documents.resources, index));
        self.cluster.send_replace(Arc::new(documents.cluster));
    }
}

impl Inner {
    fn write(&mut self, index: u64, change: Change<'_>) {
        if let Some(Err(error)) = self.store.as_mut().map(|store| store.write(index, change)) {
            self.give_up_store(&error);
        }
        self.index = index;
    }

    fn keep(&mut self, index: u64, outcome: Outcome) {
        if self.outcomes.len() == OUTCOMES_KEPT {
            self.outcomes.pop_front();
        }
        self.outcomes.push_back((index, outcome));
    }

    /// Goes on without the store's help: what it misses now it will be rebuilt with at the next start, because its sum
    /// or its index no longer fits.
    fn give_up_store(&mut self, error: &sled::Error) {
        tracing::error!(%error, path = ?self.path, "the registry's store could not be written; the log has everything");
        // A later write would make index and sum fit again, without what this one lost.
        self.store = None;
    }
}

fn resources_of(stored: Vec<Resource>, version: u64) -> Resources {
    let mut resources = Resources::default();
    resources.version = version;
    // What was before is not known.
    resources.history.begin(version_after(version));
    stored.into_iter().for_each(|resource| resources.put(resource));
    resources
}

fn windows_of(resources: &Resources) -> Windows {
    let window = |broker| broker_settings(broker).deduplication_window;
    resources.brokers.iter().filter_map(|(name, broker)| Some((name.clone(), window(broker)?))).collect()
}

impl StateMachine for RegistryState {
    fn protocol(&self) -> u32 {
        self.cluster.borrow().protocol()
    }

    fn apply(&self, applied: Applied) {
        let index = applied.index.0;
        let mut inner = self.inner.lock();
        if index <= inner.index {
            return;
        }
        let current = self.current();
        let command = RegistryCommand::decode(applied.command.kind, &applied.command.body, self.protocol);
        match command {
            Ok(RegistryCommand::Put(resources)) => {
                let keys: Vec<_> = resources.iter().map(Resource::key).collect();
                let next = current.put_at(resources, index);
                let stored: Vec<_> = keys.iter().filter_map(|key| next.find(key)).collect();
                inner.write(index, Change { put: &stored, ..Change::default() });
                self.publish(next);
            }
            Ok(RegistryCommand::Delete(key)) => {
                inner.write(index, Change { take: Some(&key), ..Change::default() });
                self.publish(current.take_at(&key, index));
            }
            Ok(RegistryCommand::Cluster(command)) => {
                let mut next = (*self.current_cluster()).clone();
                let outcome = next.apply(index, *command);
                inner.write(index, Change { cluster: Some(&next), ..Change::default() });
                inner.keep(index, outcome);
                if next.version == index {
                    self.cluster.send_replace(Arc::new(next));
                }
                // They are true as of here too: a node that starts from here says so, and others must reach that version.
                self.resources.send_replace(Arc::new(current.with([], index)));
            }
            // Applying what follows without this entry would make this replica differ from the others.
            Err(error) => panic!("entry {index} of the registry cannot be applied: it is {error}"),
        }
    }

    fn checkpoint(&self) -> Bytes {
        let (index, documents) = self.encoded();
        let mut out = BytesMut::with_capacity(size_of::<u64>() + documents.len());
        out.put_u64_le(index);
        out.put_slice(&documents);
        out.freeze()
    }

    fn restore(&self, checkpoint: &Bytes, _watermark: Option<&Watermark>) -> Result<(), String> {
        let mut bytes = checkpoint.clone();
        let index = bytes.try_get_u64_le().map_err(|error| error.to_string())?;
        if self.inner.lock().index >= index {
            return Ok(());
        }
        let documents = Documents::decode(&bytes, self.protocol).map_err(|error| error.to_string())?;
        self.take(index, documents);
        Ok(())
    }

    // Nothing reads the registry's entries once they are applied.
    fn watermark(&self, applied: LogIndex) -> Option<Watermark> {
        let (index, state) = self.encoded();
        // The store may be ahead of what the group has applied; what was there then is not known.
        if index > applied.0 {
            return None;
        }
        Some(Watermark { index: applied, state })
    }

    fn install(&self, index: LogIndex, state: &Bytes) -> Result<(), String> {
        let documents = Documents::decode(state, self.protocol).map_err(|error| error.to_string())?;
        self.take(index.0, documents);
        Ok(())
    }

    // Its own watermark is where it has applied, whatever is damaged before.
    fn adopt(&self, _watermark: &Watermark) -> Result<(), String> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
