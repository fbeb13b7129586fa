//! Starts what may start.

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use pelton_client::{Client, EventBatch, Hops, Offset, ReadError};
use pelton_event::Event;
use tokio::time::Instant;

use super::cache::Stored;
use super::reads::{OTHER_EVENTS, Reader, purged_up_to};
use super::{Group, Happened, Wake};
use crate::dead_letter::with_reason;
use crate::delivery::NoAnswer;
use crate::endpoint::{Authority, Route};
use crate::plan::Plan;
use crate::pool::{Job, Refusal, Target, Ticket, Waits};
use crate::service::Waiting;
use crate::trigger::Asked;

/// Reads of the log for waiting events that may be on their way at once.
const MAX_FETCHES: usize = 4;
/// How often a target that refused is asked again at least: another group may have made room.
const RECHECK: Duration = Duration::from_secs(1);
/// Attempts that one trigger may start before the others have their turn.
const STARTS_PER_TURN: usize = 128;
/// Events up to this size are copied out of their batch for an attempt, so that a few hundred slow attempts do not
/// keep a few hundred batches in memory.
const COPIED_BYTES: usize = 64 * 1024;

/// Triggers that wait for a target.
#[derive(Debug)]
pub(super) struct Parked {
    slots: VecDeque<(u32, Asked)>,
    recheck: Instant,
    /// Some of them wait for a slot.
    wants_slot: bool,
}

/// What became of one try to start something.
enum Try {
    Started,
    Nothing,
}

impl<C: Client> Group<C> {
    /// Starts attempts of one trigger.
    pub(super) fn pump(&mut self, at: u32, now: Instant) {
        let Some(slot) = self.slots.get_mut(at) else { return };
        slot.queued = false;
        slot.state.wake(now);
        if slot.fetching || slot.plan.paused || self.is_stopping() {
            self.show_waiting(at);
            self.set_timer(at);
            return;
        }
        let mut starts = 0;
        for asked in [Asked::Sink, Asked::Subscriber] {
            while starts < STARTS_PER_TURN && matches!(self.start_next(at, asked, now), Try::Started) {
                starts += 1;
            }
        }
        if starts == STARTS_PER_TURN {
            self.queue(at);
        }
        self.show_waiting(at);
        self.set_timer(at);
    }

    fn start_next(&mut self, at: u32, asked: Asked, now: Instant) -> Try {
        if !self.holds_session() {
            return Try::Nothing;
        }
        if self.progress.is_full() {
            // Looked at again when progress is stored.
            self.progress.starve(at);
            return Try::Nothing;
        }
        let generation = self.slots.generation(at);
        let Some(slot) = self.slots.get_mut(at) else { return Try::Nothing };
        let Some(offset) = slot.state.next(asked) else {
            slot.waits_from[asked as usize] = None;
            return Try::Nothing;
        };
        let plan = slot.plan.clone();
        let endpoint = plan.endpoint(asked);
        let ticket = |hops| Ticket { slot: at, generation, offset, hops, asked, begun: now };
        let route = match endpoint.map(|endpoint| &endpoint.route) {
            // The subscriber has no URL yet: events wait for it.
            None if asked == Asked::Subscriber => return Try::Nothing,
            None => {
                slot.state.start(asked, offset);
                self.give_up_without_sink(at, offset);
                return Try::Started;
            }
            Some(Err(why)) => {
                slot.state.start(asked, offset);
                let attempted = Err(NoAnswer::Impossible(why.clone()));
                self.on_attempted(ticket(Hops::FULL), &plan, attempted, self.seen_now());
                return Try::Started;
            }
            Some(Ok(route)) => route,
        };
        let admitted = match route.target.admit(plan.share(asked), now) {
            Ok(admitted) => admitted,
            Err(Refusal::NoSlot) => return self.wait_for_slot(at, asked, &plan, route, now),
            Err(refusal) => {
                self.park(at, asked, route, refusal, now);
                return Try::Nothing;
            }
        };
        let Some(stored) = self.cache.batch(offset).and_then(|batch| batch.event(offset)).cloned() else {
            route.target.give_back(plan.share(asked), admitted.permit);
            return self.fetch(at, asked, offset);
        };
        let Some(slot) = self.slots.get_mut(at) else { return Try::Nothing };
        let event = event_to_send(&stored, asked, slot.state.errand(offset));
        if !route.target.take_bytes(plan.share(asked), event.frame_len()) {
            route.target.give_back(plan.share(asked), admitted.permit);
            self.park(at, asked, route, Refusal::Full, now);
            return Try::Nothing;
        }
        slot.state.start(asked, offset);
        slot.waits_from[asked as usize] = None;
        self.snapshot.started();
        let target = route.target.clone();
        let (ticket, outbox) = (ticket(stored.hops), self.outbox.clone());
        target.submit(Job::new(ticket, plan.clone(), event, admitted, target.clone(), outbox));
        Try::Started
    }

    // --- waiting for the log ---

    /// Has the batch of a waiting event read. One that was read and is not there is damaged.
    fn fetch(&mut self, at: u32, asked: Asked, offset: Offset) -> Try {
        let is_damaged = self.cache.batch(offset).is_some();
        let Some(slot) = self.slots.get_mut(at) else { return Try::Nothing };
        if is_damaged {
            tracing::error!(trigger = %slot.id, %offset, "an event cannot be read and is not delivered");
            slot.state.start(asked, offset);
            slot.state.done(offset);
            slot.metrics.lost(1);
            self.touched(at);
            return Try::Started;
        }
        // A read for one event is not worth it while many are on their way; a completion comes back here.
        if !slot.state.is_half_busy() {
            slot.fetching = true;
            self.fetches.entry(offset).or_default().push(at);
        }
        Try::Nothing
    }

    pub(super) fn start_fetches(&mut self) {
        while self.fetching < MAX_FETCHES && !self.is_stopping() {
            let Some((at, slots)) = self.fetches.pop_first() else { return };
            if self.cache.batch(at).is_some() {
                self.reads.over(Reader::Fetch, at);
                self.fetched(slots);
                continue;
            }
            self.fetching += 1;
            let (client, group) = (self.client.clone(), self.group);
            let bytes = self.shared.options.read_bytes;
            self.fetches_out.entry(at).or_default().extend(slots);
            self.begin(async move { Happened::Fetched { at, read: client.read(group, at, bytes).await } });
        }
    }

    pub(super) fn on_fetched(&mut self, at: Offset, read: Result<Vec<EventBatch>, ReadError>) {
        let slots = self.fetches_out.remove(&at).unwrap_or_default();
        self.fetching -= 1;
        if let Some(first) = purged_up_to(&read, at) {
            self.reads.over(Reader::Fetch, at);
            self.forget_below(first);
            return self.fetched(slots);
        }
        match read {
            // An answer without what was asked for is asked for again, but not at once.
            Ok(batches) if batches.iter().any(|batch| batch.base <= at && at < batch.end()) => {
                self.reads.over(Reader::Fetch, at);
                for batch in &batches {
                    self.cache.insert(batch);
                }
                self.fetched(slots);
            }
            Ok(_) => self.fetch_failed(at, slots, &OTHER_EVENTS),
            Err(why) => self.fetch_failed(at, slots, &why),
        }
    }

    /// These triggers wait; the reads of others go on.
    fn fetch_failed(&mut self, at: Offset, slots: Vec<u32>, why: &dyn Display) {
        let wait = self.reads.failed(Reader::Fetch, at, why, Instant::now());
        self.wait_for(wait, Wake::Fetch { at, slots });
    }

    pub(super) fn fetch_again(&mut self, at: Offset, mut slots: Vec<u32>) {
        let mut elsewhere = Vec::new();
        slots.retain(|&at_slot| {
            let Some(slot) = self.slots.get_mut(at_slot) else { return false };
            let is_next = [Asked::Sink, Asked::Subscriber].into_iter().any(|asked| slot.state.next(asked) == Some(at));
            if !is_next {
                // It was rewound, or a retry or a redriven event became due meanwhile: what woke it found it waiting.
                slot.fetching = false;
                elsewhere.push(at_slot);
            }
            is_next
        });
        elsewhere.into_iter().for_each(|at_slot| self.queue(at_slot));
        if slots.is_empty() {
            self.reads.over(Reader::Fetch, at);
        } else {
            self.fetches.entry(at).or_default().extend(slots);
        }
    }

    /// Serves those at once whose batch was just read: later it may be out of the cache again.
    fn fetched(&mut self, slots: Vec<u32>) {
        let now = Instant::now();
        for at in slots {
            if let Some(slot) = self.slots.get_mut(at) {
                slot.fetching = false;
                self.pump(at, now);
            }
        }
    }

    // --- waiting for a slot ---

    /// The service has no free slot: the trigger is listed until it has one. If the service took nothing since the trigger
    /// began to wait, what could be on its way by now has failed.
    fn wait_for_slot(&mut self, at: u32, asked: Asked, plan: &Arc<Plan>, route: &Route, now: Instant) -> Try {
        let Some(refusals) = route.target.wait_for_slot(&self.slot_news) else { return Try::Nothing };
        let Some(slot) = self.slots.get_mut(at) else { return Try::Nothing };
        let waits_from = &mut slot.waits_from[asked as usize];
        if waits_from.is_some_and(|from| from < refusals.count) {
            *waits_from = Some(refusals.count);
            self.refuse(at, asked, plan, &route.target, &refusals.why, now);
            return Try::Started;
        }
        waits_from.get_or_insert(refusals.count);
        self.park(at, asked, route, Refusal::NoSlot, now);
        Try::Nothing
    }

    /// An attempt of each event that could be on its way has failed: nobody served.
    fn refuse(&mut self, at: u32, asked: Asked, plan: &Arc<Plan>, target: &Arc<Target>, why: &str, now: Instant) {
        let generation = self.slots.generation(at);
        for _ in 0..plan.max_in_flight {
            if !self.holds_session() || self.progress.is_full() {
                return;
            }
            let Some(slot) = self.slots.get_mut(at) else { return };
            let Some(offset) = slot.state.next(asked) else { return };
            let Ok(permit) = target.permit(plan.share(asked), now) else { return };
            slot.state.start(asked, offset);
            let ticket = Ticket { slot: at, generation, offset, hops: Hops::FULL, asked, begun: now };
            let attempted = Err(NoAnswer::NotServed(why.to_owned()));
            target.concluded(plan.share(asked), permit, ticket, Some(&attempted));
            self.on_attempted(ticket, plan, attempted, self.seen_now());
        }
    }

    /// There may be a slot for those who wait for one, or there will be none.
    pub(super) fn on_slot_news(&mut self) {
        let those: Vec<Authority> =
            self.parked.iter().filter(|(_, parked)| parked.wants_slot).map(|(key, _)| key.clone()).collect();
        for authority in those {
            if let Some(parked) = self.parked.remove(&authority) {
                self.unparked(parked.slots.into());
            }
        }
    }

    /// Says how much waits for the subscriber, when that is a service of this process.
    fn show_waiting(&mut self, at: u32) {
        let is_stopping = self.is_stopping();
        let Some(slot) = self.slots.get_mut(at) else { return };
        let route = slot.plan.subscriber.as_ref().and_then(|subscriber| subscriber.route.as_ref().ok());
        let Some(route) = route else {
            slot.waits = None;
            return;
        };
        if slot.waits.as_ref().is_none_or(|waits| !waits.is_at(&route.target)) {
            slot.waits = Waits::at(&route.target);
        }
        let matched = std::mem::take(&mut slot.matched);
        let Some(waits) = &mut slot.waits else { return };
        let rests = slot.plan.paused || is_stopping;
        waits.set(if rests { Waiting::default() } else { slot.state.waiting() }, matched);
    }

    // --- waiting for the target ---

    fn park(&mut self, at: u32, asked: Asked, route: &Route, refusal: Refusal, now: Instant) {
        let Some(slot) = self.slots.get_mut(at) else { return };
        // An end of its own attempts, a new event or a timer has it ask again while it is listed.
        let is_listed = std::mem::replace(&mut slot.parked[asked as usize], true);
        let recheck = match refusal {
            Refusal::Full | Refusal::NoSlot => now + RECHECK,
            Refusal::Open(until) => until.min(now + RECHECK).max(now + Duration::from_millis(1)),
        };
        let parked = self.parked.entry(route.target.authority().clone()).or_insert_with(|| Parked {
            slots: VecDeque::new(),
            recheck,
            wants_slot: false,
        });
        parked.recheck = parked.recheck.min(recheck);
        parked.wants_slot |= refusal == Refusal::NoSlot;
        if !is_listed {
            parked.slots.push_back((at, asked));
        }
    }

    /// An attempt at the target ended: there is room for another.
    pub(super) fn unpark(&mut self, target: &Arc<Target>, everyone: bool) {
        if self.parked.is_empty() {
            return;
        }
        let Some(parked) = self.parked.get_mut(target.authority()) else { return };
        let count = if everyone { parked.slots.len() } else { 1 };
        let woken: Vec<_> = parked.slots.drain(..count.min(parked.slots.len())).collect();
        if parked.slots.is_empty() {
            self.parked.remove(target.authority());
        }
        self.unparked(woken);
    }

    fn unparked(&mut self, slots: Vec<(u32, Asked)>) {
        for (at, asked) in slots {
            if let Some(slot) = self.slots.get_mut(at) {
                slot.parked[asked as usize] = false;
                self.queue(at);
            }
        }
    }

    // --- waiting for time ---

    fn set_timer(&mut self, at: u32) {
        let Some(slot) = self.slots.get_mut(at) else { return };
        if let Some(wake) = slot.state.next_wake()
            && slot.timer.is_none_or(|timer| wake < timer)
        {
            slot.timer = Some(wake);
            self.timers.push(Reverse((wake, at)));
        }
    }

    pub(super) fn fire_timers(&mut self, now: Instant) {
        while let Some(&Reverse((when, at))) = self.timers.peek() {
            if when > now {
                break;
            }
            self.timers.pop();
            if let Some(slot) = self.slots.get_mut(at)
                && slot.timer.is_some_and(|timer| timer <= when)
            {
                slot.timer = None;
                self.queue(at);
            }
        }
        let due: Vec<Authority> =
            self.parked.iter().filter(|(_, parked)| parked.recheck <= now).map(|(key, _)| key.clone()).collect();
        for authority in due {
            if let Some(parked) = self.parked.remove(&authority) {
                self.unparked(parked.slots.into());
            }
        }
    }

    /// The next moment at which time alone makes a difference.
    pub(super) fn next_timer(&self) -> Option<Instant> {
        let timer = self.timers.peek().map(|Reverse((when, _))| *when);
        let parked = self.parked.values().map(|parked| parked.recheck).min();
        let gauges = self.loaded.then_some(self.gauges_due);
        [timer, parked, gauges, self.next_store(), self.next_deadline(), self.next_refresh()]
            .into_iter()
            .flatten()
            .min()
    }

    /// The sink is no longer configured: the event is kept here.
    fn give_up_without_sink(&mut self, at: u32, offset: Offset) {
        let Some(slot) = self.slots.get_mut(at) else { return };
        let Some(errand) = slot.state.errand(offset).cloned() else { return };
        self.keep(at, offset, errand.cause, errand.destination, errand.answer);
    }
}

/// The event as it goes over the wire.
fn event_to_send(stored: &Stored, asked: Asked, errand: Option<&mut crate::trigger::SinkErrand>) -> Event {
    match (asked, errand) {
        (Asked::Sink, Some(errand)) => with_reason(&stored.event, errand),
        _ if stored.event.frame_len() <= COPIED_BYTES => stored.event.detached(),
        _ => stored.event.clone(),
    }
}
