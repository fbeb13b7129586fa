//! Which triggers there are: the resources, and the stored cursors of those that were started.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use pelton_client::{Client, Cursor, GroupCursors, ReadError, Resources, TriggerId, Upto};
use pelton_resource::Trigger;
use tokio::time::Instant;

use super::slot::{Alarm, Slot};
use super::{Group, Happened, RETRY_AFTER};
use crate::plan::Plan;
use crate::trigger::TriggerState;

/// The least time between two looks at all stored cursors, for every thousand of them: triggers that are started one by one
/// are taken in by a few looks, and looking takes a small part of the time however many there are.
const CURSORS_EVERY: Duration = Duration::from_millis(10);

impl<C: Client> Group<C> {
    /// Takes in changed resources. Called before anything is matched: a change that was made before an event was sent
    /// counts for it.
    pub(super) fn refresh_resources(&mut self) {
        // An error says that there will be no more changes, not that there is none.
        if self.resource_changes.has_changed().unwrap_or(false) {
            self.take_resources();
        }
    }

    /// Has changed cursors read.
    pub(super) fn refresh_cursors(&mut self, now: Instant) {
        if self.cursors_wanted && self.may_read_cursors() && self.cursors_after.is_none_or(|after| after <= now) {
            let thousands = u32::try_from(self.slots.len() / 1_000).unwrap_or(u32::MAX);
            self.cursors_after = Some(now + CURSORS_EVERY.saturating_mul(thousands + 1));
            self.read_cursors();
        }
    }

    /// The next moment at which [`refresh_cursors`](Self::refresh_cursors) has something to do.
    pub(super) fn next_refresh(&self) -> Option<Instant> {
        self.cursors_after.filter(|_| self.cursors_wanted && self.may_read_cursors())
    }

    fn may_read_cursors(&self) -> bool {
        !self.cursors_reading && !self.progress.is_busy()
    }

    fn read_cursors(&mut self) {
        self.cursors_wanted = false;
        self.cursors_reading = true;
        let seen = *self.cursor_changes.borrow_and_update();
        let (client, group) = (self.client.clone(), self.group);
        self.begin(async move { Happened::Cursors { seen, read: client.cursors(group).await } });
    }

    pub(super) fn on_cursors(&mut self, seen: u64, read: Result<GroupCursors, ReadError>) {
        let stored = match read {
            Ok(stored) => stored,
            Err(why) => {
                tracing::warn!(group = %self.group, seen, %why, "cursors could not be read");
                self.cursors_reading = false;
                self.cursors_wanted = true;
                self.cursors_after = Some(Instant::now() + RETRY_AFTER);
                return;
            }
        };
        self.cursors_reading = false;
        if !self.loaded {
            self.loaded = true;
            self.scanned = stored.scanned;
            self.progress.begins_at(stored.scanned);
            self.resources = self.resource_changes.borrow_and_update().clone();
        }
        let gone: Vec<_> =
            self.slots.places().filter(|(_, slot)| !stored.cursors.contains_key(&slot.id)).map(|(at, _)| at).collect();
        for at in gone {
            self.remove(at);
        }
        self.unclaimed.clear();
        self.deleted.retain(|id| stored.cursors.contains_key(id));
        let resources = self.resources.clone();
        for (id, cursor) in stored.cursors {
            match self.slots.find(id) {
                Some(at) => self.renew_cursor(at, &cursor),
                None => self.claim(id, cursor, &resources),
            }
        }
        if self.has_stranger_at_tail() {
            tracing::info!(group = %self.group, "no event is passed until this node has heard of all triggers");
        }
    }

    /// Whether a trigger follows the tail that is not known here, and was not deleted as far as is known: this node has not
    /// heard yet of what the group's leader has, and nobody can say what the trigger has to get.
    pub(super) fn has_stranger_at_tail(&self) -> bool {
        #[cfg(feature = "bugs")]
        if pelton_env::bugs::Bug::UnknownTriggerPassed.is_on() {
            return false;
        }
        self.unclaimed.iter().any(|(id, cursor)| cursor.upto == Upto::Scanned && !self.deleted.contains(id))
    }

    /// Starts to deliver if the trigger is a resource, else keeps its cursor for when it is.
    fn claim(&mut self, id: TriggerId, cursor: Cursor, resources: &Resources) {
        let Some(trigger) = resources.triggers.get(&id) else {
            self.unclaimed.insert(id, cursor);
            return;
        };
        let plan = Arc::new(self.plan_of(trigger, resources));
        let state = TriggerState::restore(id, &cursor, self.scanned, plan.ordered, plan.max_in_flight);
        let metrics =
            self.shared.metrics.of(&trigger.metadata.namespace, &trigger.metadata.name, trigger.broker_name());
        let broker = plan.broker.clone();
        let at = self.slots.insert(Slot {
            id,
            trigger: trigger.clone(),
            plan,
            state,
            changed: cursor.changed,
            gauges: metrics.gauges(self.group, id),
            metrics,
            tally: self.shared.journals.tally(id),
            alarm: Alarm::of(trigger),
            shown: Alarm::of(trigger),
            told: None,
            queued: false,
            parked: [false; 2],
            waits_from: [None; 2],
            waits: None,
            matched: 0,
            fetching: false,
            dirty: false,
            lagging_at: None,
            unreadable_at: None,
            oldest: None,
            timer: None,
        });
        self.brokers.entry(broker).or_default().insert(at, &trigger.filter_expr());
        self.place(at);
        self.queue(at);
    }

    /// A stored cursor was started anew, or has events that were sent again.
    fn renew_cursor(&mut self, at: u32, cursor: &Cursor) {
        let scanned = self.scanned;
        let Some(slot) = self.slots.get_mut(at) else { return };
        if cursor.epoch != slot.state.epoch() {
            slot.state = TriggerState::restore(slot.id, cursor, scanned, slot.plan.ordered, slot.plan.max_in_flight);
            slot.changed = cursor.changed;
            slot.timer = None;
            self.slots.renew(at);
            self.place(at);
            self.queue(at);
        } else if cursor.changed > slot.changed {
            slot.changed = cursor.changed;
            slot.state.merge(cursor, self.scanned);
            self.queue(at);
        }
    }

    fn remove(&mut self, at: u32) {
        let Some(slot) = self.slots.remove(at) else { return };
        if let Some(listed) = slot.lagging_at {
            self.lagging.remove(&(listed, at));
        }
        if let Some(index) = self.brokers.get_mut(&slot.plan.broker) {
            index.remove(at);
            if index.is_empty() {
                self.brokers.remove(&slot.plan.broker);
            }
        }
    }

    /// Takes in how the resources changed. Only what differs is looked at.
    pub(super) fn take_resources(&mut self) {
        let new = self.resource_changes.borrow_and_update().clone();
        let old = std::mem::replace(&mut self.resources, new.clone());
        if !self.loaded {
            return;
        }
        for it in new.triggers.diff(&old.triggers) {
            match it.now {
                Some(trigger) => self.changed(*it.key, trigger, &new),
                None => self.forget(*it.key),
            }
        }
        let brokers: BTreeSet<_> = new.brokers.diff(&old.brokers).into_iter().map(|it| it.key).collect();
        if !brokers.is_empty() {
            let theirs = self.slots.places().filter(|(_, slot)| brokers.contains(&slot.plan.broker));
            let theirs: Vec<_> = theirs.map(|(_, slot)| slot.id).collect();
            for (id, trigger) in theirs.iter().filter_map(|id| Some((*id, new.triggers.get(id)?))) {
                self.changed(id, trigger, &new);
            }
        }
    }

    fn forget(&mut self, id: TriggerId) {
        self.unclaimed.remove(&id);
        self.deleted.insert(id);
        if let Some(at) = self.slots.find(id) {
            self.remove(at);
        }
    }

    /// Without its Broker a trigger rests, and keeps its place.
    fn plan_of(&self, trigger: &Trigger, resources: &Resources) -> Plan {
        match resources.broker_of(trigger) {
            Some(broker) => Plan::of(trigger, broker, &self.shared.targets),
            None => {
                Plan { paused: true, ..Plan::of(trigger, &pelton_resource::Broker::default(), &self.shared.targets) }
            }
        }
    }

    fn changed(&mut self, id: TriggerId, trigger: &Arc<Trigger>, resources: &Resources) {
        let Some(at) = self.slots.find(id) else {
            if let Some(cursor) = self.unclaimed.remove(&id) {
                self.claim(id, cursor, resources);
            }
            return;
        };
        let scanned = self.scanned;
        let mut plan = self.plan_of(trigger, resources);
        let Some(slot) = self.slots.get_mut(at) else { return };
        plan.take_over(&slot.plan);
        slot.state.set_max_in_flight(plan.max_in_flight);
        let reordered = plan.ordered != slot.plan.ordered;
        if reordered {
            slot.state.reorder(plan.ordered, scanned);
            slot.timer = None;
        }
        let is_new_filter =
            trigger.spec.filters != slot.trigger.spec.filters || trigger.spec.filter != slot.trigger.spec.filter;
        let is_new_generation = trigger.metadata.generation != slot.trigger.metadata.generation;
        slot.plan = Arc::new(plan);
        slot.waits_from = [None; 2];
        slot.show(trigger);
        let broker = slot.plan.broker.clone();
        if is_new_generation && slot.alarm == Some(Alarm::ForeignBody) {
            slot.alarm = None;
            slot.told = None;
            self.tell(at);
        }
        if reordered {
            self.slots.renew(at);
        }
        if is_new_filter {
            self.brokers.entry(broker).or_default().insert(at, &trigger.filter_expr());
        }
        self.place(at);
        self.queue(at);
    }
}
