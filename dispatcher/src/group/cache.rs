//! Recently read batches, so that what waits as a position need not be read again at once. Bounded by bytes.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use foldhash::{HashMap, HashMapExt as _};
use pelton_client::{EventBatch, Hops, Offset};
use pelton_event::Event;

/// One event of a batch, decoded.
#[derive(Debug, Clone)]
pub struct Stored {
    /// The event; it shares the batch's memory.
    pub event: Event,
    /// `namespace/name` of its broker, as an index into the names of the batch.
    broker: u32,
    /// Hops left.
    pub hops: Hops,
}

/// A batch with its events decoded, once.
#[derive(Debug)]
pub struct Decoded {
    base: Offset,
    end: Offset,
    sealed: pelton_env::UnixMillis,
    bytes: usize,
    brokers: Vec<Arc<str>>,
    /// `None` for a record that is damaged.
    events: Vec<Option<Stored>>,
    damaged: usize,
}

impl Decoded {
    /// Decodes a batch.
    #[must_use]
    pub fn of(batch: &EventBatch) -> Self {
        let mut decoded = Self {
            base: batch.base,
            end: batch.end(),
            sealed: batch.sealed,
            bytes: batch.body.len(),
            brokers: Vec::new(),
            events: Vec::with_capacity(batch.count as usize),
            damaged: 0,
        };
        let mut names = HashMap::new();
        let mut damage = None;
        for record in batch.records() {
            let stored = match record {
                Err(why) => {
                    damage.get_or_insert_with(|| why.to_string());
                    None
                }
                Ok((position, record)) => match record.event() {
                    Ok(event) => Some(Stored {
                        event,
                        broker: decoded.broker_index(&mut names, record.broker()),
                        hops: record.hops,
                    }),
                    Err(why) => {
                        damage.get_or_insert_with(|| format!("event {position}: {why}"));
                        None
                    }
                },
            };
            decoded.events.push(stored);
        }
        decoded.events.resize_with(batch.count as usize, || None);
        decoded.damaged = decoded.events.iter().filter(|stored| stored.is_none()).count();
        if let Some(first) = decoded.first_damaged() {
            let (group, count, why) =
                (batch.group, decoded.damaged, damage.as_deref().unwrap_or("records are missing"));
            tracing::error!(%group, %first, count, why, "events are damaged and are passed over");
        }
        decoded
    }

    fn broker_index(&mut self, names: &mut HashMap<Arc<str>, u32>, name: &str) -> u32 {
        // Neighbours mostly belong to one broker.
        if let Some(last) = self.brokers.last()
            && **last == *name
        {
            return index_of_last(&self.brokers);
        }
        if let Some(&known) = names.get(name) {
            return known;
        }
        let name: Arc<str> = name.into();
        self.brokers.push(Arc::clone(&name));
        let index = index_of_last(&self.brokers);
        names.insert(name, index);
        index
    }

    /// The offset of the first event.
    #[must_use]
    pub fn base(&self) -> Offset {
        self.base
    }

    /// The offset after the last event.
    #[must_use]
    pub fn end(&self) -> Offset {
        self.end
    }

    /// When the batch was sealed.
    #[must_use]
    pub fn sealed(&self) -> pelton_env::UnixMillis {
        self.sealed
    }

    /// The event at `offset`; `None` when it is not in this batch or damaged.
    #[must_use]
    pub fn event(&self, offset: Offset) -> Option<&Stored> {
        self.events.get(usize::try_from(offset.0.checked_sub(self.base.0)?).ok()?)?.as_ref()
    }

    /// How many of the events from `from` on are damaged.
    #[must_use]
    pub fn damaged_from(&self, from: Offset) -> u64 {
        if self.damaged == 0 {
            return 0;
        }
        let skip = usize::try_from(from.0.saturating_sub(self.base.0)).unwrap_or(usize::MAX);
        self.events.iter().skip(skip).filter(|stored| stored.is_none()).count() as u64
    }

    fn first_damaged(&self) -> Option<Offset> {
        self.events.iter().position(Option::is_none).map(|at| self.base.plus(at as u64))
    }

    /// The name of the event's broker.
    #[must_use]
    pub fn broker(&self, stored: &Stored) -> &str {
        self.brokers.get(stored.broker as usize).map_or("", |name| name)
    }

    /// The events from `from` on, with their offsets. Damaged ones are left out.
    pub fn from(&self, from: Offset) -> impl Iterator<Item = (Offset, &Stored)> {
        let skip = usize::try_from(from.0.saturating_sub(self.base.0)).unwrap_or(usize::MAX);
        let base = self.base;
        self.events
            .iter()
            .enumerate()
            .skip(skip)
            .filter_map(move |(i, stored)| stored.as_ref().map(|stored| (base.plus(i as u64), stored)))
    }
}

fn index_of_last(brokers: &[Arc<str>]) -> u32 {
    u32::try_from(brokers.len() - 1).expect("a batch has fewer events than that")
}

/// The batches that were read last.
#[derive(Debug)]
pub struct Cache {
    batches: BTreeMap<Offset, Arc<Decoded>>,
    order: VecDeque<Offset>,
    bytes: usize,
    limit_bytes: usize,
}

impl Cache {
    /// An empty cache. It holds one batch, however large, and beyond it at most `limit_bytes`.
    #[must_use]
    pub fn new(limit_bytes: usize) -> Self {
        Self { batches: BTreeMap::new(), order: VecDeque::new(), bytes: 0, limit_bytes }
    }

    /// How many bytes of batches are held.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The batch that holds `offset`.
    #[must_use]
    pub fn batch(&self, offset: Offset) -> Option<&Arc<Decoded>> {
        self.batches.range(..=offset).next_back().map(|(_, batch)| batch).filter(|batch| offset < batch.end)
    }

    /// Decodes a batch, unless it is here, and keeps it. The oldest make room.
    pub fn insert(&mut self, batch: &EventBatch) -> Arc<Decoded> {
        if let Some(known) = self.batch(batch.base)
            && known.base == batch.base
            && known.end == batch.end()
        {
            return known.clone();
        }
        let decoded = Arc::new(Decoded::of(batch));
        if let Some(old) = self.batches.insert(batch.base, decoded.clone()) {
            self.bytes -= old.bytes;
        } else {
            self.order.push_back(batch.base);
        }
        self.bytes += decoded.bytes;
        while self.bytes > self.limit_bytes && self.order.len() > 1 {
            let Some(oldest) = self.order.pop_front() else { break };
            if let Some(old) = self.batches.remove(&oldest) {
                self.bytes -= old.bytes;
            }
        }
        decoded
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use pelton_client::{BrokerName, GroupId, encode_record};
    use pelton_env::UnixMillis;

    use super::*;

    fn batch(base: u64, count: u32) -> EventBatch {
        let mut body = BytesMut::new();
        for n in 0..count {
            let id = (base + u64::from(n)).to_string();
            let event = Event::builder().id(&id).source("/s").ty("t").build().unwrap();
            let broker = BrokerName::new("ns", if n % 2 == 0 { "a" } else { "b" });
            encode_record(&mut body, &broker, Hops(7), None, None, &event);
        }
        EventBatch { group: GroupId(0), base: Offset(base), count, sealed: UnixMillis(0), body: body.freeze() }
    }

    #[test]
    fn events_are_found_by_offset() {
        let mut cache = Cache::new(1 << 20);
        cache.insert(&batch(10, 5));
        cache.insert(&batch(20, 5));
        for offset in 0..30 {
            let found = cache.batch(Offset(offset)).and_then(|batch| batch.event(Offset(offset)));
            let want = (10..15).contains(&offset) || (20..25).contains(&offset);
            assert_eq!(found.map(|stored| stored.event.id().to_owned()), want.then(|| offset.to_string()));
        }
        let decoded = cache.batch(Offset(11)).unwrap();
        assert_eq!(decoded.broker(decoded.event(Offset(11)).unwrap()), "ns/b");
        assert_eq!(decoded.from(Offset(12)).map(|(offset, _)| offset.0).collect::<Vec<_>>(), [12, 13, 14]);
    }

    #[test]
    fn bytes_stay_within_the_limit() {
        let one = batch(0, 10).body.len();
        let mut cache = Cache::new(one * 3 + one / 2);
        for n in 0..100 {
            cache.insert(&batch(n * 10, 10));
            cache.insert(&batch(n * 10, 10));
            assert!(cache.bytes() <= one * 4, "after {n}: {}", cache.bytes());
        }
        assert!(cache.batch(Offset(995)).is_some() && cache.batch(Offset(0)).is_none());
        assert_eq!(cache.batches.len(), cache.order.len());
        let mut small = Cache::new(1);
        small.insert(&batch(0, 10));
        assert!(small.batch(Offset(9)).is_some(), "one batch is held, however large");
    }

    #[test]
    fn a_damaged_record_leaves_a_gap_and_hides_nothing_before_it() {
        let mut whole = batch(0, 4);
        whole.body = whole.body.slice(..whole.body.len() - 3);
        let decoded = Decoded::of(&whole);
        assert_eq!(decoded.from(Offset(0)).count(), 3);
        assert!(decoded.event(Offset(3)).is_none());
        assert_eq!(decoded.end(), Offset(4));
        assert_eq!([0, 3, 4, 9].map(|from| decoded.damaged_from(Offset(from))), [1, 1, 0, 0]);
        assert_eq!(decoded.first_damaged(), Some(Offset(3)));
        assert_eq!(Decoded::of(&batch(0, 4)).damaged_from(Offset(0)), 0);
    }
}
