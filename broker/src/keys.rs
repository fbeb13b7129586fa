//! What was appended not long ago: (`source`, `id`) of events for the brokers' deduplication windows, and the keys of
//! calls, by which a producer's second try is known.

use std::collections::{HashMap, VecDeque};
use std::hash::{Hash, Hasher};

use pelton_client::{BrokerName, DedupKey, Offset, ProducerKey};
use siphasher::sip128::{Hasher128, SipHasher24};

/// Most keys of events that one group remembers: 1.5 MiB of each checkpoint, which cannot be compressed. Beyond it the
/// oldest are forgotten before their time, counted.
pub(crate) const MAX_KEYS: usize = 65_536;

/// Most keys of calls that one group remembers. They are counted apart, so that calls push out no event's key. At 25,000
/// calls a second it is as long as anybody tries; in a checkpoint each takes a few bytes, being the next of its producer.
pub(crate) const MAX_CALLS: usize = 262_144;

/// Keys of committed events.
pub(crate) type EventKeys = KeyWindow<DedupKey, MAX_KEYS>;

/// Keys of committed calls, each at the first event that the call wrote.
pub(crate) type CallKeys = KeyWindow<ProducerKey, MAX_CALLS>;

/// A key of either sort.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Key {
    Event(DedupKey),
    Call(ProducerKey),
}

/// The key of an event: CloudEvents calls two events with the same `source` and `id` duplicates (core, `id`). The
/// broker is part of it, as each broker has its own window.
pub(crate) fn key_of(broker: &BrokerName, source: &str, id: &str) -> DedupKey {
    // Fixed keys: the number is stored, so it must be the same in every process. 128 bits make a chance collision, which
    // would swallow an event, impossible in practice.
    let mut hasher = SipHasher24::new_with_keys(0x7065_6c74_6f6e_2d64, 0x6564_7570_2d6b_6579);
    for part in [broker.as_str(), source, id] {
        hasher.write(&(part.len() as u64).to_le_bytes());
        hasher.write(part.as_bytes());
    }
    DedupKey(hasher.finish128().as_u128())
}

/// Keys in order of their offsets, at most `MOST`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeyWindow<K: Eq + Hash, const MOST: usize> {
    offsets: HashMap<K, Offset>,
    order: VecDeque<(Offset, K)>,
    forgotten: u64,
}

impl<K: Eq + Hash, const MOST: usize> Default for KeyWindow<K, MOST> {
    fn default() -> Self {
        Self { offsets: HashMap::new(), order: VecDeque::new(), forgotten: 0 }
    }
}

impl<K: Copy + Eq + Hash, const MOST: usize> KeyWindow<K, MOST> {
    pub(crate) fn insert(&mut self, key: K, offset: Offset) {
        self.offsets.insert(key, offset);
        self.order.push_back((offset, key));
        while self.order.len() > MOST {
            self.forget_first();
            self.forgotten += 1;
        }
    }

    pub(crate) fn find(&self, key: K) -> Option<Offset> {
        self.offsets.get(&key).copied()
    }

    /// Keys forgotten before their time, since this process has the window.
    pub(crate) fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// Forgets every key of an event below `offset`.
    pub(crate) fn prune(&mut self, offset: Offset) {
        while self.order.front().is_some_and(|(first, _)| *first < offset) {
            self.forget_first();
        }
    }

    fn forget_first(&mut self) {
        if let Some((offset, key)) = self.order.pop_front()
            && self.offsets.get(&key) == Some(&offset)
        {
            self.offsets.remove(&key);
        }
    }

    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = (Offset, K)> + '_ {
        self.order.iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_of_all_three_parts_and_their_borders() {
        let broker = BrokerName::new("a", "b");
        let key = key_of(&broker, "s", "i");
        assert_eq!(key, key_of(&broker, "s", "i"));
        for other in [
            key_of(&BrokerName::new("a", "c"), "s", "i"),
            key_of(&broker, "si", ""),
            key_of(&broker, "", "si"),
            key_of(&broker, "s", "j"),
        ] {
            assert_ne!(key, other);
        }
    }

    #[test]
    fn the_window_forgets_the_oldest_and_keeps_a_key_that_came_again() {
        let mut window = EventKeys::default();
        window.insert(DedupKey(1), Offset(1));
        window.insert(DedupKey(2), Offset(2));
        window.insert(DedupKey(1), Offset(3));
        window.prune(Offset(3));
        assert_eq!(window.find(DedupKey(1)), Some(Offset(3)));
        assert_eq!(window.find(DedupKey(2)), None);
        assert_eq!(window.forgotten(), 0, "pruned is not before its time");
        for n in 0..MAX_KEYS as u64 {
            window.insert(DedupKey(100 + u128::from(n)), Offset(10 + n));
        }
        assert_eq!(window.find(DedupKey(1)), None);
        assert_eq!((window.iter().len(), window.forgotten()), (MAX_KEYS, 1));
    }
}
