//! Every target that somebody asks, once.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use foldhash::{HashMap, HashMapExt};
use parking_lot::Mutex;
use pelton_client::Moment;
use pelton_env::UnixMillis;
use pelton_peer::Network;
use tokio::time::Instant;

use super::shown::Shown;
use super::{Budgets, Target};
use crate::Options;
use crate::endpoint::Authority;
use crate::service::Services;

/// Open circuits that one answer has.
const MAX_TOLD: usize = 1_000;

/// The targets, by host and port. A target that no plan names goes away with its last connection.
pub struct Targets {
    known: Mutex<HashMap<Authority, Weak<Target>>>,
    network: Arc<dyn Network>,
    services: Option<Arc<dyn Services>>,
    options: Arc<Options>,
    budgets: Arc<Budgets>,
    shown: Arc<Shown>,
}

impl std::fmt::Debug for Targets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Targets").field("known", &self.known).finish_non_exhaustive()
    }
}

impl Targets {
    /// No target yet. `services` are asked as such; to all others connections will come about over `network`.
    #[must_use]
    pub fn new(network: Arc<dyn Network>, services: Option<Arc<dyn Services>>, options: Arc<Options>) -> Self {
        let budgets = Arc::new(Budgets::new(&options));
        let shown = Arc::new(Shown::new(options.max_labelled_targets));
        Self { known: Mutex::new(HashMap::new()), network, services, options, budgets, shown }
    }

    /// The target of that host and port.
    #[must_use]
    pub fn target(&self, authority: &Authority) -> Arc<Target> {
        let mut known = self.known.lock();
        if let Some(target) = known.get(authority).and_then(Weak::upgrade) {
            return target;
        }
        if known.len() >= 64 && known.len() == known.capacity() {
            known.retain(|_, target| target.strong_count() > 0);
        }
        let (options, budgets, shown) = (self.options.clone(), self.budgets.clone(), self.shown.clone());
        let service = self.services.as_ref().and_then(|services| services.find(&authority.host, authority.port));
        let network = self.network.clone();
        let target = Arc::new(Target::new(authority.clone(), network, service, options, budgets, shown));
        known.insert(authority.clone(), Arc::downgrade(&target));
        target
    }
}

impl Targets {
    /// The targets whose circuit is open, and when each is probed next; at most [`MAX_TOLD`].
    #[must_use]
    pub fn open_circuits(&self, now: Instant, time: UnixMillis) -> BTreeMap<String, Moment> {
        let known: Vec<_> = self.known.lock().values().filter_map(Weak::upgrade).collect();
        let open = known.iter().filter_map(|target| {
            let until = target.open_until(now)?;
            Some((target.authority().to_string(), time.plus(until.saturating_duration_since(now)).into()))
        });
        open.take(MAX_TOLD).collect()
    }
}

impl Drop for Targets {
    /// Nobody is there any more to take outcomes in, so nothing more is sent.
    fn drop(&mut self) {
        let known: Vec<_> = self.known.lock().values().filter_map(Weak::upgrade).collect();
        for target in known {
            target.close();
        }
    }
}
