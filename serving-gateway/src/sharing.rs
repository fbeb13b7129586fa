//! Work that gateways of a cluster share: how many instances this one has is decided where the registry is led, and
//! requests go to where instances are.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use pelton_client::Client;
use pelton_client::serving::{GatewayInfo, Scales, Share};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::gateway::Shared;
use crate::proxy::Hop;
use crate::revision::{Assigned, Other, Revision};

/// Before it is asked again what is to be done, when nobody could say. What was said last holds meanwhile.
const AGAIN_AFTER: Duration = Duration::from_millis(500);

/// How long the name of a gateway is looked for. Meanwhile nothing else is done.
const FOUND_WITHIN: Duration = Duration::from_secs(1);

/// How long after a name led nowhere it is looked for again.
const LOOKED_AGAIN_AFTER: Duration = Duration::from_secs(5);

/// Follows what this gateway is to do.
pub(crate) async fn run<C: Client>(shared: Arc<Shared>, client: C, stop: CancellationToken) {
    let mut followed = Followed::default();
    let follow = async {
        loop {
            let asking = client.scales(shared.name(), followed.version);
            let heard = if followed.is_one_missing {
                let Ok(heard) = timeout(LOOKED_AGAIN_AFTER, asking).await else {
                    // Nothing new was said: what was said is heard once more, and its names are looked for.
                    followed.version = 0;
                    continue;
                };
                heard
            } else {
                asking.await
            };
            match heard {
                Ok(scales) if scales.version == 0 => {
                    // Another leader, who hears of this gateway in a moment.
                    followed.version = 0;
                    shared.unheard.notify_one();
                }
                Ok(scales) if scales.version == followed.version => {}
                Ok(scales) => followed.take(&shared, scales).await,
                Err(error) => {
                    tracing::debug!(%error, "nobody says how many instances there should be; asked again");
                    sleep(AGAIN_AFTER).await;
                }
            }
        }
    };
    tokio::select! {
        () = follow => {}
        () = stop.cancelled() => {}
    }
}

/// What was decided last, as revisions take it.
#[derive(Debug, Default)]
pub(crate) struct Word(HashMap<String, (Assigned, Vec<Other>)>);

impl Word {
    /// Tells a revision what it is to do here.
    pub(crate) fn tell(&self, uid: &str, revision: &Arc<Revision>) {
        let nothing = (Assigned::default(), Vec::new());
        let (assigned, others) = self.0.get(uid).unwrap_or(&nothing);
        revision.assign(*assigned, others);
    }
}

/// What was heard last.
#[derive(Debug, Default)]
struct Followed {
    version: u64,
    /// Where the gateways are that were heard of.
    addresses: HashMap<String, SocketAddr>,
    /// The name of one of them led nowhere.
    is_one_missing: bool,
}

impl Followed {
    async fn take(&mut self, shared: &Shared, scales: Scales) {
        self.version = scales.version;
        self.addresses.retain(|address, _| scales.gateways.values().any(|gateway| gateway.address == *address));
        for gateway in scales.gateways.values() {
            self.find(&gateway.address).await;
        }
        self.is_one_missing = scales.gateways.values().any(|gateway| !self.addresses.contains_key(&gateway.address));
        let word = scales.shares.iter().map(|(uid, share)| {
            let assigned = Assigned { desired: share.desired, is_proved: share.is_proved };
            (uid.clone(), (assigned, self.others(shared, uid, share, &scales.gateways)))
        });
        let word = Arc::new(Word(word.collect()));
        shared.word.store(Arc::clone(&word));
        let routing = shared.routing().clone();
        // One that has nothing to do here is begun by its first request.
        for (uid, _) in scales.shares.iter().filter(|(_, share)| share.desired > 0) {
            shared.revision_of(&routing, uid);
        }
        for (uid, revision) in shared.begun() {
            word.tell(&uid, &revision);
        }
    }

    async fn find(&mut self, address: &str) {
        if self.addresses.contains_key(address) {
            return;
        }
        let found = timeout(FOUND_WITHIN, tokio::net::lookup_host(address)).await;
        let found: Vec<_> = found.map(|found| found.map(Iterator::collect).unwrap_or_default()).unwrap_or_default();
        match found.iter().find(|found| found.is_ipv4()).or(found.first()) {
            Some(found) => drop(self.addresses.insert(address.to_owned(), *found)),
            None => tracing::debug!(address, "the name of a gateway leads nowhere"),
        }
    }

    fn others(
        &self,
        shared: &Shared,
        uid: &str,
        share: &Share,
        gateways: &BTreeMap<String, GatewayInfo>,
    ) -> Vec<Other> {
        let other = |(name, ready): (&String, &u32)| {
            // One that says to be where this one is cannot be reached from here.
            let info = gateways.get(name).filter(|info| !shared.is_at(&info.address))?;
            let address = *self.addresses.get(&info.address)?;
            let hop = Arc::new(Hop::new(&info.pass, uid)?);
            Some(Other { name: Arc::from(name.as_str()), address, hop, ready: *ready })
        };
        share.others.iter().filter_map(other).collect()
    }
}
