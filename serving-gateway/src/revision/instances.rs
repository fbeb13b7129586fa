//! The instances of one revision as the gateway knows them, and which of them gets a request.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::runtime::InstanceId;

/// One instance among all that this revision ever had here. Older ones are smaller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstanceKey(pub u64);

/// What an instance is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// It runs, and does not answer yet.
    Starting,
    /// It takes requests.
    Ready,
    /// It is being paused; nothing is on its way there.
    Pausing,
    /// It is paused.
    Paused,
    /// It is being resumed.
    Resuming,
    /// It is to end, or is ending.
    Stopping,
}

/// One instance.
#[derive(Debug, Clone)]
pub struct Instance {
    /// Its name at its runtime.
    pub id: InstanceId,
    /// What it is doing.
    pub phase: Phase,
    /// Requests on their way there, long-lived ones included.
    pub in_flight: u32,
    /// Those of them that are long-lived: upgraded connections.
    pub streams: u32,
    /// Since when nothing is on its way there.
    pub idle_since: Duration,
    /// Whether it was ready once.
    pub was_ready: bool,
    /// How often it was paused, or was to be.
    pub pauses: u32,
}

impl Instance {
    /// Whether nothing is on its way there.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.in_flight == 0
    }

    /// Whether a request may go there now, with `limit` at a time (0: any number).
    fn has_slot(&self, limit: u32) -> bool {
        self.phase == Phase::Ready && (limit == 0 || self.in_flight < limit)
    }
}

/// How an instance for a request is chosen among those with a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Balance {
    /// Where the least is on its way.
    Spread,
    /// Where the most is on its way: there are more instances than are wanted, and what gets nothing falls idle.
    Pack,
}

/// All instances of a revision.
#[derive(Debug, Default)]
pub struct Instances {
    all: BTreeMap<InstanceKey, Instance>,
    next: u64,
}

impl Instances {
    /// Adds one that was started.
    pub fn add(&mut self, id: InstanceId, now: Duration) -> InstanceKey {
        let key = self.new_key();
        let instance = Instance {
            id,
            phase: Phase::Starting,
            in_flight: 0,
            streams: 0,
            idle_since: now,
            was_ready: false,
            pauses: 0,
        };
        self.all.insert(key, instance);
        key
    }

    /// A key that nothing else has.
    pub fn new_key(&mut self) -> InstanceKey {
        let key = InstanceKey(self.next);
        self.next += 1;
        key
    }

    /// Takes one out that is gone.
    pub fn remove(&mut self, key: InstanceKey) -> Option<Instance> {
        self.all.remove(&key)
    }

    /// The instance of that key.
    #[must_use]
    pub fn find(&self, key: InstanceKey) -> Option<&Instance> {
        self.all.get(&key)
    }

    /// The instance of that key, to be changed.
    pub fn find_mut(&mut self, key: InstanceKey) -> Option<&mut Instance> {
        self.all.get_mut(&key)
    }

    /// The instance that its runtime calls so.
    #[must_use]
    pub fn key_of(&self, id: &InstanceId) -> Option<InstanceKey> {
        self.all.iter().find(|(_, instance)| instance.id == *id).map(|(key, _)| *key)
    }

    /// All of them, the oldest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (InstanceKey, &Instance)> {
        self.all.iter().map(|(key, instance)| (*key, instance))
    }

    /// How many there are in those phases.
    pub fn count(&self, phases: &[Phase]) -> u32 {
        self.all.values().filter(|instance| phases.contains(&instance.phase)).count() as u32
    }

    /// Requests on their way to any of them.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        self.all.values().map(|instance| instance.in_flight).sum()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// The instance for the next request, if one has a slot. Of equals the oldest, so that the younger ones fall idle.
    #[must_use]
    pub fn choose(&self, limit: u32, balance: Balance) -> Option<InstanceKey> {
        let mut best: Option<(InstanceKey, u32)> = None;
        for (key, instance) in &self.all {
            if !instance.has_slot(limit) {
                continue;
            }
            let better = best.is_none_or(|(_, in_flight)| match balance {
                Balance::Spread => instance.in_flight < in_flight,
                Balance::Pack => instance.in_flight > in_flight,
            });
            if better {
                best = Some((*key, instance.in_flight));
                if balance == Balance::Spread && instance.in_flight == 0 {
                    break;
                }
            }
        }
        best.map(|(key, _)| key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(in_flight: &[(Phase, u32)]) -> Instances {
        let mut instances = Instances::default();
        for (at, (phase, in_flight)) in in_flight.iter().enumerate() {
            let id = InstanceId(format!("i{at}").into());
            let key = instances.add(id, Duration::ZERO);
            let instance = instances.find_mut(key).unwrap();
            instance.phase = *phase;
            instance.in_flight = *in_flight;
        }
        instances
    }

    #[test]
    fn choosing_an_instance() {
        use Balance::{Pack, Spread};
        use Phase::{Paused, Pausing, Ready, Resuming, Starting, Stopping};
        type Row = (&'static [(Phase, u32)], u32, Balance, Option<u64>);
        let rows: &[Row] = &[
            (&[], 0, Spread, None),
            (&[(Starting, 0), (Pausing, 0), (Paused, 0), (Resuming, 0), (Stopping, 0)], 0, Spread, None),
            (&[(Ready, 5), (Ready, 3), (Ready, 4)], 0, Spread, Some(1)),
            (&[(Ready, 2), (Ready, 1), (Ready, 1)], 0, Spread, Some(1)),
            (&[(Ready, 2), (Ready, 3), (Ready, 3)], 0, Pack, Some(1)),
            // A busy instance never gets what an idle one could begin at once (knative/serving#13096).
            (&[(Ready, 1), (Ready, 0)], 1, Spread, Some(1)),
            (&[(Ready, 1), (Ready, 0)], 1, Pack, Some(1)),
            (&[(Ready, 2), (Ready, 2)], 2, Spread, None),
            (&[(Ready, 2), (Ready, 1), (Ready, 0)], 2, Pack, Some(1)),
        ];
        for (instances, limit, balance, want) in rows {
            let chosen = with(instances).choose(*limit, *balance);
            assert_eq!(chosen, want.map(InstanceKey), "{instances:?}, {limit} at a time, {balance:?}");
        }
    }
}
