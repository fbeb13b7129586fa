//! The deduplication window: which (`source`, `id`) were appended not long ago.

use std::collections::{HashMap, VecDeque};
use std::hash::Hasher;

use pelton_client::{BrokerName, DedupKey, Offset};
use siphasher::sip128::{Hasher128, SipHasher24};

/// Most keys that one group remembers: 1.5 MiB of each checkpoint, which cannot be compressed. Beyond it the oldest are forgotten before their time, counted.
pub(crate) const MAX_KEYS: usize = 65_536;

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

/// Keys of committed events in order of their offsets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct KeyWindow {
    offsets: HashMap<u128, Offset>,
    order: VecDeque<(Offset, DedupKey)>,
    forgotten: u64,
}

impl KeyWindow {
    pub(crate) fn insert(&mut self, key: DedupKey, offset: Offset) {
        self.offsets.insert(key.0, offset);
        self.order.push_back((offset, key));
        while self.order.len() > MAX_KEYS {
            self.forget_first();
            self.forgotten += 1;
        }
    }

    pub(crate) fn find(&self, key: DedupKey) -> Option<Offset> {
        self.offsets.get(&key.0).copied()
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
            && self.offsets.get(&key.0) == Some(&offset)
        {
            self.offsets.remove(&key.0);
        }
    }

    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = (Offset, DedupKey)> + '_ {
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
        let mut window = KeyWindow::default();
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
