//! The registry's state machine.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use foldhash::HashMap;
use parking_lot::Mutex;
use pelton_client::{BrokerName, Resources};
use pelton_consensus::{Applied, StateMachine, Watermark};
use pelton_log::LogIndex;
use pelton_resource::{Resource, broker_settings};
use tokio::sync::watch;

use super::commands::{RegistryCommand, decode_resources, encode_resources};
use super::store::{Store, Unusable};

/// Every resource, as of the last applied entry of the registry's group.
pub(crate) struct RegistryState {
    inner: Mutex<Inner>,
    resources: watch::Sender<Arc<Resources>>,
    windows: ArcSwap<Windows>,
}

/// The Brokers that have a deduplication window, with it. Every append asks, and reading a Broker's annotations each
/// time would cost more than the rest of the append.
type Windows = HashMap<BrokerName, Duration>;

struct Inner {
    /// `None` when there is no room to make one: everything is in the log, and the next start tries again.
    store: Option<Store>,
    path: PathBuf,
    /// The log index that resources and store reflect. Entries up to it are not applied again.
    index: u64,
}

impl RegistryState {
    /// Takes the resources from the store in `path`, if it is sound and not ahead of the log, which ends at
    /// `last_index`. Otherwise the store is set aside, and restoring from the log fills a new one.
    ///
    /// Where that is not possible, on a disk without a free byte, it goes on without a store.
    pub(crate) fn open(path: &Path, last_index: u64, mark: u64) -> Self {
        let (store, index, stored) = match Store::open(path, last_index) {
            Ok((store, index, stored)) => (Some(store), index, stored),
            Err(error) => (Self::rebuilt(path, mark, &error), 0, Vec::new()),
        };
        let inner = Inner { store, path: path.to_owned(), index };
        let resources = resources_of(stored, index);
        let windows = ArcSwap::from_pointee(windows_of(&resources));
        Self { inner: Mutex::new(inner), resources: watch::Sender::new(Arc::new(resources)), windows }
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

    /// The Broker's deduplication window, if it is there and has one.
    pub(crate) fn deduplication_window(&self, broker: &BrokerName) -> Option<Duration> {
        let windows = self.windows.load();
        if windows.is_empty() { None } else { windows.get(broker).copied() }
    }

    fn publish(&self, resources: Resources) {
        self.windows.store(Arc::new(windows_of(&resources)));
        self.resources.send_replace(Arc::new(resources));
    }

    /// Hands the store to the operating system. Losing it costs a rebuild and no data.
    pub(crate) fn flush(&self) {
        if let Some(Err(error)) = self.inner.lock().store.as_ref().map(Store::flush) {
            tracing::warn!(%error, "the registry's store could not be flushed; it will be rebuilt if it is damaged");
        }
    }

    fn documents(&self) -> (u64, Vec<Resource>) {
        let index = self.inner.lock().index;
        (index, self.current().iter().collect())
    }

    fn take(&self, index: u64, resources: Vec<Resource>) {
        let mut inner = self.inner.lock();
        if let Some(Err(error)) = inner.store.as_mut().map(|store| store.replace(index, &resources)) {
            inner.give_up_store(&error);
        }
        inner.index = index;
        drop(inner);
        self.publish(resources_of(resources, index));
    }
}

impl Inner {
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
    stored.into_iter().for_each(|resource| resources.put(resource));
    resources
}

fn windows_of(resources: &Resources) -> Windows {
    let window = |broker| broker_settings(broker).deduplication_window;
    resources.brokers.iter().filter_map(|(name, broker)| Some((name.clone(), window(broker)?))).collect()
}

impl StateMachine for RegistryState {
    fn apply(&self, applied: Applied) {
        let index = applied.index.0;
        let mut inner = self.inner.lock();
        if index <= inner.index {
            return;
        }
        let current = self.current();
        let command = RegistryCommand::decode(applied.command.kind, &applied.command.body);
        let (next, written) = match command {
            Ok(RegistryCommand::Put(resources)) => {
                let next = current.with(resources.clone(), index);
                let stored: Vec<_> = resources.iter().filter_map(|resource| next.find(&resource.key())).collect();
                (next, inner.store.as_mut().map(|store| store.write(index, &stored, None)))
            }
            Ok(RegistryCommand::Delete(key)) => {
                let written = inner.store.as_mut().map(|store| store.write(index, &[], Some(&key)));
                (current.without(&key, index), written)
            }
            // Applying what follows without this entry would make this replica differ from the others.
            Err(error) => panic!("entry {index} of the registry cannot be applied: it is {error}"),
        };
        if let Some(Err(error)) = written {
            inner.give_up_store(&error);
        }
        inner.index = index;
        drop(inner);
        self.publish(next);
    }

    fn checkpoint(&self) -> Bytes {
        let (index, resources) = self.documents();
        let mut out = BytesMut::new();
        out.put_u64_le(index);
        out.put_slice(&encode_resources(&resources));
        out.freeze()
    }

    fn restore(&self, checkpoint: &Bytes, _watermark: Option<&Watermark>) -> Result<(), String> {
        let mut bytes = checkpoint.clone();
        let index = bytes.try_get_u64_le().map_err(|error| error.to_string())?;
        if self.inner.lock().index >= index {
            return Ok(());
        }
        let resources = decode_resources(&bytes).map_err(|error| error.to_string())?;
        self.take(index, resources);
        Ok(())
    }

    // Nothing reads the registry's entries once they are applied.
    fn watermark(&self, applied: LogIndex) -> Option<Watermark> {
        let (_, resources) = self.documents();
        Some(Watermark { index: applied, state: encode_resources(&resources) })
    }

    fn install(&self, index: LogIndex, state: &Bytes) -> Result<(), String> {
        let resources = decode_resources(state).map_err(|error| error.to_string())?;
        self.take(index.0, resources);
        Ok(())
    }
}
