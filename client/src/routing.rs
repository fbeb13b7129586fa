//! Which log group an event goes to. Pure: the cluster's view in, a group out.

use std::collections::BTreeSet;
use std::hash::Hasher;
use std::sync::Arc;

use pelton_event::Event;
use pelton_resource::{Broker, broker_settings};
use siphasher::sip::SipHasher24;

use crate::{BrokerName, ClusterView, GroupId, NodeId, Resources};

/// Which group a call's events belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    /// This one and no other: their key says so.
    Group(GroupId),
    /// Whichever takes them.
    Any,
}

/// The Brokers that have a deduplication window, drawn out of the resources when a Broker changes: reading the annotations
/// of a thousand of them each time that a Trigger does would be for nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Deduplicating(Arc<BTreeSet<BrokerName>>);

impl Deduplicating {
    pub(crate) fn of(resources: &Resources) -> Self {
        let deduplicates = |broker: &Broker| broker_settings(broker).deduplication_window.is_some();
        let brokers = resources.brokers.iter().filter(|(_, broker)| deduplicates(broker));
        Self(Arc::new(brokers.map(|(name, _)| name.clone()).collect()))
    }

    /// Whether both have the same, as far as can be said without reading every Broker's annotations.
    pub(crate) fn is_of_both(old: &Resources, new: &Resources) -> bool {
        let deduplicates = |broker: Option<&Arc<Broker>>| {
            broker.is_some_and(|broker| broker_settings(broker).deduplication_window.is_some())
        };
        new.brokers.diff(&old.brokers).iter().all(|it| deduplicates(it.before) == deduplicates(it.now))
    }
}

/// What routing needs of the view and of the resources, drawn out when they change, so that an append only looks it up.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Routes {
    /// The groups that events with a key go to, in their order, which never changes.
    keyed: Vec<GroupId>,
    /// Those that this node leads.
    led_here: Vec<GroupId>,
    /// Those that somebody leads.
    led: Vec<GroupId>,
    /// All of them.
    groups: Vec<GroupId>,
    deduplicating: Deduplicating,
    /// Whether there is no other node that could take an event.
    is_alone: bool,
}

impl Routes {
    pub(crate) fn of(view: &ClusterView, deduplicating: Deduplicating) -> Self {
        let led_by = |wanted: fn(Option<NodeId>, Option<NodeId>) -> bool| {
            let groups = view.groups.iter().filter(|(_, info)| wanted(info.leader, view.this));
            groups.map(|(group, _)| *group).collect()
        };
        Self {
            keyed: view.groups.iter().filter(|(_, info)| info.keyed).map(|(group, _)| *group).collect(),
            led_here: led_by(|leader, this| leader.is_some() && leader == this),
            led: led_by(|leader, _| leader.is_some()),
            groups: view.groups.keys().copied().collect(),
            deduplicating,
            is_alone: view.this.is_some() && view.nodes.keys().all(|node| Some(*node) == view.this),
        }
    }

    /// Whether there is no other node that could take an event.
    pub(crate) fn is_alone(&self) -> bool {
        self.is_alone
    }

    /// Whether the group is led by the node that was asked for the view.
    pub(crate) fn is_led_here(&self, group: GroupId) -> bool {
        self.led_here.contains(&group)
    }

    /// Where the events go, when all go to the same place. Else each event's place, in their order.
    pub(crate) fn targets(&self, broker: &BrokerName, events: &[Event]) -> Result<Target, Vec<Target>> {
        // With one group there is nothing to choose. Hashing would be for nothing.
        if let [only] = self.keyed[..]
            && self.groups.len() == 1
        {
            return Ok(Target::Group(only));
        }
        let deduplicates = self.deduplicating.0.contains(broker);
        let mut all = events.iter().map(|event| self.target(event, deduplicates));
        let Some(first) = all.next() else { return Ok(Target::Any) };
        if all.all(|target| target == first) {
            return Ok(first);
        }
        Err(events.iter().map(|event| self.target(event, deduplicates)).collect())
    }

    fn target(&self, event: &Event, deduplicates: bool) -> Target {
        let Some(key) = key_of(event, deduplicates) else { return Target::Any };
        match self.keyed.len() as u64 {
            0 => Target::Any,
            groups => Target::Group(self.keyed[(key % groups) as usize]),
        }
    }

    /// A group for events without a key: one that this node leads, else one that somebody leads, else any. `turn` spreads
    /// what goes to other nodes over them; what stays here goes to one group, whose batches are fuller for it, until a
    /// try fails.
    pub(crate) fn any(&self, turn: u64, failed: u32) -> Option<GroupId> {
        let nth = |groups: &[GroupId], n: u64| groups.get((n % groups.len().max(1) as u64) as usize).copied();
        if failed == 0 {
            nth(&self.led_here, 0).or_else(|| nth(&self.led, turn)).or_else(|| nth(&self.groups, turn))
        } else {
            let n = turn.wrapping_add(u64::from(failed));
            nth(&self.led, n).or_else(|| nth(&self.groups, n))
        }
    }

    /// As [`any`](Self::any), leaving out groups that nobody can lead.
    pub(crate) fn any_but(&self, turn: u64, failed: u32, is_lost: impl Fn(GroupId) -> bool) -> Option<GroupId> {
        if !self.groups.iter().any(|group| is_lost(*group)) {
            return self.any(turn, failed);
        }
        let others = |groups: &[GroupId]| groups.iter().copied().filter(|group| !is_lost(*group)).collect();
        let others = Self {
            led_here: others(&self.led_here),
            led: others(&self.led),
            groups: others(&self.groups),
            ..Self::default()
        };
        others.any(turn, failed)
    }
}

/// The number of an event's key: of its `partitionkey`; else, where events are deduplicated, of `source` and `id`, so that
/// an event that is sent twice comes to the same window.
pub(crate) fn key_of(event: &Event, deduplicates: bool) -> Option<u64> {
    // Fixed keys: every node of every version must find the same group.
    let hash = |parts: &[&str]| {
        let mut hasher = SipHasher24::new_with_keys(0x7065_6c74_6f6e_2d72, 0x6f75_7469_6e67_2d6b);
        for part in parts {
            hasher.write(&(part.len() as u64).to_le_bytes());
            hasher.write(part.as_bytes());
        }
        hasher.finish()
    };
    match event.extension("partitionkey") {
        Some(key) => Some(hash(&[&key.to_canonical()])),
        None => deduplicates.then(|| hash(&[event.source(), event.id()])),
    }
}

#[cfg(test)]
mod tests;
