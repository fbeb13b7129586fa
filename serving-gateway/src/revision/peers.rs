//! Other gateways that have instances of a revision, and which of them gets a request that finds none here.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::InstanceKey;

/// Another gateway.
#[derive(Debug, Clone)]
pub struct Peer {
    /// Its name.
    pub name: Arc<str>,
    /// Its instances that can take requests.
    pub ready: u32,
    /// Requests that were passed on to it and are on their way.
    pub in_flight: u32,
    /// Until when it gets nothing, because it did not take a request.
    pub shunned_until: Duration,
}

/// How long a gateway gets nothing that did not take a request.
pub const SHUNNED_FOR: Duration = Duration::from_secs(5);

impl Peer {
    fn has_slot(&self, limit: u32, now: Duration) -> bool {
        let is_full = limit > 0 && self.in_flight >= limit.saturating_mul(self.ready);
        self.ready > 0 && self.shunned_until <= now && !is_full
    }

    /// Whether it has less to do for each of its instances than `in_flight` requests at one.
    pub fn is_idler_than(&self, in_flight: u32) -> bool {
        self.in_flight < in_flight.saturating_mul(self.ready)
    }
}

/// The other gateways. They have keys as instances have, so that a slot at either is the same thing.
#[derive(Debug, Default)]
pub struct Peers {
    all: BTreeMap<InstanceKey, Peer>,
    now: Duration,
}

impl Peers {
    /// It is so late.
    pub fn at(&mut self, now: Duration) {
        self.now = now;
    }

    /// Takes what is told of them now. `key` makes a key for one that is new. Gives those.
    pub fn told(
        &mut self,
        peers: &[(Arc<str>, u32)],
        mut key: impl FnMut() -> InstanceKey,
    ) -> Vec<(InstanceKey, Arc<str>)> {
        for peer in self.all.values_mut() {
            peer.ready = peers.iter().find(|(name, _)| *name == peer.name).map_or(0, |(_, ready)| *ready);
        }
        self.all.retain(|_, peer| peer.ready > 0 || peer.in_flight > 0);
        let is_new = |name: &Arc<str>| !self.all.values().any(|peer| peer.name == *name);
        let new: Vec<_> =
            peers.iter().filter(|(name, ready)| *ready > 0 && is_new(name)).map(|peer| (key(), peer)).collect();
        let mut keys = Vec::with_capacity(new.len());
        for (key, (name, ready)) in new {
            let peer = Peer { name: Arc::clone(name), ready: *ready, in_flight: 0, shunned_until: Duration::ZERO };
            self.all.insert(key, peer);
            keys.push((key, Arc::clone(name)));
        }
        keys
    }

    /// The gateway of that key.
    pub fn find(&self, key: InstanceKey) -> Option<&Peer> {
        self.all.get(&key)
    }

    /// The gateway of that key, to be changed.
    pub fn find_mut(&mut self, key: InstanceKey) -> Option<&mut Peer> {
        self.all.get_mut(&key)
    }

    /// Whether a request could go to any of them, with `limit` at a time (0: any number) in one instance.
    pub fn have_slot(&self, limit: u32) -> bool {
        self.all.values().any(|peer| peer.has_slot(limit, self.now))
    }

    /// Whether any of them has an instance and takes requests.
    pub fn have_any(&self) -> bool {
        self.have_slot(0)
    }

    /// The one that has the least to do for each of its instances, if one has a slot.
    pub fn choose(&self, limit: u32) -> Option<InstanceKey> {
        let load = |peer: &Peer| (u64::from(peer.in_flight) << 16) / u64::from(peer.ready);
        let free = self.all.iter().filter(|(_, peer)| peer.has_slot(limit, self.now));
        free.min_by_key(|(key, peer)| (load(peer), **key)).map(|(key, _)| *key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(peers: &mut Peers, next: &mut u64, said: &[(&str, u32)]) -> usize {
        let said: Vec<_> = said.iter().map(|(name, ready)| (Arc::from(*name), *ready)).collect();
        let key = || {
            *next += 1;
            InstanceKey(*next)
        };
        peers.told(&said, key).len()
    }

    #[test]
    fn the_idlest_for_its_size_is_chosen() {
        let (mut peers, mut next) = (Peers::default(), 0);
        assert_eq!(peers.choose(0), None);
        assert_eq!(told(&mut peers, &mut next, &[("a", 1), ("b", 3), ("c", 0)]), 2);
        let mut got = Vec::new();
        for _ in 0..8 {
            let key = peers.choose(2).unwrap();
            peers.find_mut(key).unwrap().in_flight += 1;
            got.push(key.0);
        }
        assert_eq!(got, [1, 2, 2, 2, 1, 2, 2, 2], "two at a time in each of one and three instances");
        assert_eq!((peers.choose(2), peers.have_any()), (None, true));
    }

    #[test]
    fn one_that_did_not_take_a_request_is_left_alone_for_a_while() {
        let (mut peers, mut next) = (Peers::default(), 0);
        told(&mut peers, &mut next, &[("a", 1)]);
        peers.find_mut(InstanceKey(1)).unwrap().shunned_until = SHUNNED_FOR;
        assert_eq!((peers.choose(0), peers.have_any()), (None, false));
        assert_eq!(told(&mut peers, &mut next, &[("a", 1)]), 0);
        assert_eq!(peers.choose(0), None, "being told of again changes nothing");
        peers.at(SHUNNED_FOR);
        assert_eq!(peers.choose(0), Some(InstanceKey(1)));
    }

    #[test]
    fn one_that_is_not_told_of_is_gone_once_its_requests_are() {
        let (mut peers, mut next) = (Peers::default(), 0);
        told(&mut peers, &mut next, &[("a", 1)]);
        peers.find_mut(InstanceKey(1)).unwrap().in_flight = 1;
        told(&mut peers, &mut next, &[]);
        assert!(peers.find(InstanceKey(1)).is_some() && peers.choose(0).is_none());
        peers.find_mut(InstanceKey(1)).unwrap().in_flight = 0;
        told(&mut peers, &mut next, &[]);
        assert!(peers.find(InstanceKey(1)).is_none());
    }
}
