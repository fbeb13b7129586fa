//! A started trigger in its group's table.

use std::sync::Arc;
use std::time::Duration;

use foldhash::{HashMap, HashMapExt};
use pelton_client::status::DELIVERY_WARNING;
use pelton_client::{Offset, TriggerId, Warning};
use pelton_env::UnixMillis;
use pelton_resource::Trigger;
use tokio::time::Instant;

use crate::journal::Tally;
use crate::metrics::{TriggerGauges, TriggerMetrics};
use crate::plan::Plan;
use crate::pool::Waits;
use crate::trigger::TriggerState;

/// What the dispatcher warns of on a trigger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alarm {
    /// The subscriber answered 410. Over when it takes an event again.
    Gone,
    /// The subscriber answers with bodies that are no CloudEvents. Over when the trigger is changed.
    ForeignBody,
}

impl Alarm {
    /// The one that stands in the status of a trigger, whoever raised it.
    pub fn of(trigger: &Trigger) -> Option<Self> {
        let condition = trigger.status.conditions.find(DELIVERY_WARNING)?;
        [Self::Gone, Self::ForeignBody].into_iter().find(|alarm| alarm.reason() == condition.reason)
    }

    /// Its word.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Gone => "SubscriberGone",
            Self::ForeignBody => "AnswerIsNoEvent",
        }
    }

    /// What is to be told.
    pub fn warning(self) -> Warning {
        let message = match self {
            Self::Gone => "The subscriber answered 410: it wants no more events.",
            Self::ForeignBody => {
                "The subscriber answered a success with a body that is no CloudEvent. The body is ignored."
            }
        };
        Warning { reason: self.reason().to_owned(), message: message.to_owned() }
    }
}

/// A started trigger.
#[derive(Debug)]
pub struct Slot {
    /// Who.
    pub id: TriggerId,
    /// The resource as it was read last.
    pub trigger: Arc<Trigger>,
    /// How it is delivered.
    pub plan: Arc<Plan>,
    /// Where it stands.
    pub state: TriggerState,
    /// The `changed` of the stored cursor that was taken in last.
    pub changed: u64,
    /// What it counts.
    pub metrics: Arc<TriggerMetrics>,
    /// The same, for those who ask the dispatcher itself.
    pub tally: Arc<Tally>,
    /// What this group adds to its gauges.
    pub gauges: TriggerGauges,
    /// What is to be warned of, as far as is known here.
    pub alarm: Option<Alarm>,
    /// What the status of the trigger warns of.
    pub shown: Option<Alarm>,
    /// When it was said last that the status is to be another.
    pub told: Option<Instant>,
    /// In the run queue.
    pub queued: bool,
    /// Whether it waits for its subscriber, and for its sink.
    pub parked: [bool; 2],
    /// Since how many refusals of its subscriber, and of its sink, it waits for a slot there.
    pub waits_from: [Option<u64>; 2],
    /// What it adds to what waits for a service of this process.
    pub waits: Option<Waits>,
    /// Events that matched since that was said last.
    pub matched: u64,
    /// A read of the log for it is on its way.
    pub fetching: bool,
    /// Listed as having something to store.
    pub dirty: bool,
    /// Where its own scan is listed.
    pub lagging_at: Option<Offset>,
    /// Where its own scan could not be read: it waits before that is tried again.
    pub unreadable_at: Option<Offset>,
    /// Its oldest event when gauges were last set, and when that was sealed.
    pub oldest: Option<(Offset, UnixMillis)>,
    /// The earliest timer that was set for it.
    pub timer: Option<Instant>,
}

/// How long what was said of a status may take to be seen in it. Then it was lost, and is said again.
const TOLD_WITHIN: Duration = Duration::from_secs(5);

impl Slot {
    /// What is to be said of the status, if that is something else than what it shows and was not said just now.
    pub fn news(&mut self) -> Option<Option<Alarm>> {
        if self.alarm == self.shown || self.was_told() {
            return None;
        }
        self.told = Some(Instant::now());
        Some(self.alarm)
    }

    /// The trigger as it is now. What another group has raised, or seen over, stands in its status; what was said here is about
    /// to.
    pub fn show(&mut self, trigger: &Arc<Trigger>) {
        self.trigger = Arc::clone(trigger);
        self.shown = Alarm::of(trigger);
        if self.alarm == self.shown {
            self.told = None;
        } else if !self.was_told() {
            self.alarm = self.shown;
        }
    }

    fn was_told(&self) -> bool {
        self.told.is_some_and(|told| told.elapsed() < TOLD_WITHIN)
    }
}

/// The started triggers of a group, by a small number each. A number is used again; its generation then differs.
#[derive(Debug)]
pub struct Slots {
    places: Vec<(u32, Option<Box<Slot>>)>,
    free: Vec<u32>,
    by_id: HashMap<TriggerId, u32>,
}

impl Default for Slots {
    fn default() -> Self {
        Self { places: Vec::new(), free: Vec::new(), by_id: HashMap::new() }
    }
}

impl Slots {
    /// Adds a trigger.
    pub fn insert(&mut self, slot: Slot) -> u32 {
        let at = self.free.pop().unwrap_or_else(|| {
            self.places.push((0, None));
            u32::try_from(self.places.len() - 1).expect("there are far fewer triggers than 2^32")
        });
        self.by_id.insert(slot.id, at);
        self.places[at as usize].1 = Some(Box::new(slot));
        at
    }

    /// Takes a trigger out.
    pub fn remove(&mut self, at: u32) -> Option<Box<Slot>> {
        let (generation, place) = self.places.get_mut(at as usize)?;
        let slot = place.take()?;
        *generation = generation.wrapping_add(1);
        self.by_id.remove(&slot.id);
        self.free.push(at);
        Some(slot)
    }

    /// Makes outcomes of attempts that were started before count no more.
    pub fn renew(&mut self, at: u32) {
        if let Some((generation, _)) = self.places.get_mut(at as usize) {
            *generation = generation.wrapping_add(1);
        }
    }

    /// The trigger's place.
    #[must_use]
    pub fn find(&self, id: TriggerId) -> Option<u32> {
        self.by_id.get(&id).copied()
    }

    /// The trigger at a place.
    #[must_use]
    pub fn get(&self, at: u32) -> Option<&Slot> {
        self.places.get(at as usize)?.1.as_deref()
    }

    /// The trigger at a place.
    pub fn get_mut(&mut self, at: u32) -> Option<&mut Slot> {
        self.places.get_mut(at as usize)?.1.as_deref_mut()
    }

    /// The trigger at a place, if it is still the same user of it.
    pub fn current(&mut self, at: u32, generation: u32) -> Option<&mut Slot> {
        let (now, place) = self.places.get_mut(at as usize)?;
        if *now == generation { place.as_deref_mut() } else { None }
    }

    /// Which user of the place the present one is.
    #[must_use]
    pub fn generation(&self, at: u32) -> u32 {
        self.places.get(at as usize).map_or(0, |(generation, _)| *generation)
    }

    /// How many triggers there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Every place in use.
    pub fn places(&self) -> impl Iterator<Item = (u32, &Slot)> {
        (0_u32..).zip(&self.places).filter_map(|(at, (_, slot))| slot.as_deref().map(|slot| (at, slot)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ten thousand idle triggers are to stay far below 100 MiB. What hangs off these is a filter and a few URLs.
    #[test]
    fn an_idle_trigger_is_small() {
        let bytes = size_of::<Slot>() + size_of::<Plan>();
        assert!(bytes <= 2_048, "{bytes} B");
    }
}
