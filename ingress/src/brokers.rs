//! The Brokers that there are, for one look-up a request.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use foldhash::fast::RandomState;
use metrics::Counter;
use parking_lot::Mutex;
use pelton_client::{BrokerName, Resources, SharedMap};
use pelton_event::http::HeaderEncoding;
use pelton_http_front::Budget;
use pelton_resource::{Broker, broker_settings};
use tokio::sync::watch;

use crate::metrics::BrokerSeries;

/// What a request needs to know of its Broker.
pub(crate) struct Entry {
    pub(crate) name: BrokerName,
    pub(crate) header_encoding: HeaderEncoding,
    /// Shared with the entries of the same Broker before and after a change of its resource.
    pub(crate) budget: Arc<Budget>,
    pub(crate) accepted: Counter,
    resource: Arc<Broker>,
}

/// All Brokers as of one version of the resources. Immutable.
struct Table {
    made_of: SharedMap<BrokerName, Arc<Broker>>,
    // The keys come from those who may create Brokers, so a fast hash will do.
    entries: HashMap<BrokerName, Arc<Entry>, RandomState>,
}

/// The table, replaced as a whole on each change.
pub(crate) struct Brokers {
    table: ArcSwap<Table>,
    source: watch::Receiver<Arc<Resources>>,
    series: Mutex<BrokerSeries>,
    bytes_in_flight: usize,
}

impl Brokers {
    pub(crate) fn new(source: watch::Receiver<Arc<Resources>>, bytes_in_flight: usize) -> Self {
        let empty = Table { made_of: SharedMap::default(), entries: HashMap::default() };
        let brokers = Self { table: ArcSwap::from_pointee(empty), source, series: Mutex::default(), bytes_in_flight };
        brokers.refresh();
        brokers
    }

    /// The Broker `namespace/name`, as of the last [`Brokers::refresh`]. No lock, no allocation.
    pub(crate) fn find(&self, key: &str) -> Option<Arc<Entry>> {
        self.table.load().entries.get(key).cloned()
    }

    /// The Broker `namespace/name` as of now: a Broker that was just created is not answered with 404.
    pub(crate) fn find_now(&self, key: &str) -> Option<Arc<Entry>> {
        self.find(key).or_else(|| self.refresh().then(|| self.find(key)).flatten())
    }

    /// Takes in the present Brokers. Whether they had changed.
    pub(crate) fn refresh(&self) -> bool {
        // One refresh at a time, and each looks at what is there when its turn comes, so none puts back an older table.
        let mut series = self.series.lock();
        let now = self.source.borrow().brokers.clone();
        let old = self.table.load();
        if now.is(&old.made_of) {
            return false;
        }
        let entries =
            now.iter().map(|(name, resource)| (name.clone(), self.entry(&old, name, resource, &mut series))).collect();
        self.table.store(Arc::new(Table { made_of: now, entries }));
        true
    }

    fn entry(&self, old: &Table, name: &BrokerName, resource: &Arc<Broker>, series: &mut BrokerSeries) -> Arc<Entry> {
        let before = old.entries.get(name);
        if let Some(entry) = before
            && Arc::ptr_eq(&entry.resource, resource)
        {
            return Arc::clone(entry);
        }
        let budget =
            before.map_or_else(|| Arc::new(Budget::new(self.bytes_in_flight)), |entry| Arc::clone(&entry.budget));
        let header_encoding = match broker_settings(resource).header_encoding {
            pelton_resource::HeaderEncoding::Percent => HeaderEncoding::Percent,
            pelton_resource::HeaderEncoding::Raw => HeaderEncoding::Raw,
        };
        Arc::new(Entry {
            name: name.clone(),
            header_encoding,
            budget,
            accepted: series.of(name),
            resource: Arc::clone(resource),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resources(version: u64, names: &[(&str, &str)]) -> Arc<Resources> {
        let mut resources = Resources::default();
        resources.version = version;
        for (name, encoding) in names {
            let mut broker = Broker::default();
            broker.metadata.annotations.insert("pelton.dev/header-encoding".into(), (*encoding).into());
            resources.brokers.insert(BrokerName::parse(name).unwrap(), Arc::new(broker));
        }
        Arc::new(resources)
    }

    #[test]
    fn the_table_follows_the_resources_and_keeps_what_is_held() {
        let (sender, receiver) = watch::channel(resources(1, &[("default/a", "percent")]));
        let brokers = Brokers::new(receiver, 100);
        let a = brokers.find("default/a").unwrap();
        assert_eq!(a.header_encoding, HeaderEncoding::Percent);
        assert!(brokers.find("default/b").is_none());

        sender.send_replace(resources(2, &[("default/a", "raw"), ("default/b", "percent")]));
        assert!(brokers.find("default/b").is_none(), "not before it was asked for or told");
        assert!(brokers.find_now("default/b").is_some());
        let changed = brokers.find("default/a").unwrap();
        assert_eq!(changed.header_encoding, HeaderEncoding::Raw);
        assert!(Arc::ptr_eq(&a.budget, &changed.budget));

        sender.send_replace(resources(3, &[]));
        assert!(brokers.refresh());
        assert!(!brokers.refresh());
        assert!(brokers.find_now("default/a").is_none());
    }

    #[test]
    fn what_did_not_change_is_not_made_again() {
        let first = resources(1, &[("default/a", "percent")]);
        let (sender, receiver) = watch::channel(Arc::clone(&first));
        let brokers = Brokers::new(receiver, 100);
        let before = brokers.find("default/a").unwrap();
        let mut second = Resources::default();
        second.version = 2;
        second.brokers.clone_from(&first.brokers);
        sender.send_replace(Arc::new(second.clone()));
        assert!(!brokers.refresh(), "no Broker is another");
        second.brokers.insert(BrokerName::parse("default/b").unwrap(), Arc::default());
        sender.send_replace(Arc::new(second));
        assert!(brokers.refresh());
        assert!(Arc::ptr_eq(&before, &brokers.find("default/a").unwrap()));
    }
}
