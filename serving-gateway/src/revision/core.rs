//! What happens to the requests and the instances of one revision, decided on values: no clock, no socket, no process.
//!
//! Whoever has it hands in what happened and performs the [`Step`]s that come out, in their order. Requests are bound to
//! an instance only when one has a free slot, so none waits behind a busy instance while another is idle.
//!
//! Requests and instances:
//!
//! ```text
//! arrive -> Granted ------------------------------> finish
//!        -> Waits   -> Step::Grant -> (lease) -----> finish
//!                   -> leave
//!        -> Refused
//!
//! Step::Start -> started -> Step::Probe -> ready <-> Step::Pause, paused, Step::Resume, resumed
//!             -> not_started            -> never_ready            -> Step::Stop -> exited
//! ```

mod act;

use std::sync::Arc;
use std::time::Duration;

use super::events::{Events, WaitingEvents};
use super::failures::Failures;
use super::instances::{Balance, Instance, InstanceKey, Instances, Phase};
use super::peers::{Peers, SHUNNED_FOR};
use super::scaler::{Assigned, Scaler};
use super::waiting::{Full, QueueBounds, Ticket, Waiting};
use crate::autoscaler::{Autoscaler, Beginning, Decision, Demand, Spec};
use crate::runtime::InstanceId;

/// Phases that count as capacity: there, or back within a millisecond or so.
const READY: &[Phase] = &[Phase::Ready, Phase::Pausing, Phase::Paused, Phase::Resuming];

/// Phases in which an instance takes requests, or does so in a moment without being asked again.
const RUNNING: &[Phase] = &[Phase::Ready, Phase::Resuming];

/// What a revision asks of its gateway.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `containerConcurrency`: requests at a time in one instance; 0: any number.
    pub concurrency: u32,
    /// How much may wait.
    pub queue: QueueBounds,
    /// How long an instance is idle before it is paused; `None`: never.
    pub idle_pause: Option<Duration>,
    /// How long an instance is idle before it is stopped; `None`: as the autoscaler says.
    pub idle_stop: Option<Duration>,
    /// How many instances there should be.
    pub scaling: Spec,
}

/// What comes of a request that arrives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Arrival {
    /// It may go to that instance now.
    Granted(InstanceKey),
    /// It waits.
    Waits(Ticket),
    /// It is not served.
    Refused(Refusal),
}

/// Where a request may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// To any instance.
    Anywhere,
    /// To one of this gateway: another gateway has passed it on, and it is not passed on again.
    Here,
}

/// Why a request is not served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// Too much waits already.
    Full(Full),
    /// No instance comes up; why the last one did not.
    CrashLoop(String),
    /// The revision is on its way out.
    Retired,
}

/// What is to be done now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step<W> {
    /// The request that waited may go to that instance.
    Grant(W, InstanceKey),
    /// Start that many instances.
    Start(u32),
    /// Find out when that instance answers.
    Probe(InstanceKey),
    /// Pause an instance.
    Pause(InstanceKey),
    /// Resume an instance.
    Resume(InstanceKey),
    /// Stop an instance.
    Stop(InstanceKey),
}

/// How many of what there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Requests that wait.
    pub queued: u32,
    /// Requests on their way.
    pub in_flight: u32,
    /// Instances that run and do not answer yet, those not heard of yet included.
    pub starting: u32,
    /// Instances that answer, paused ones included.
    pub ready: u32,
    /// Instances that are paused or about to be.
    pub paused: u32,
    /// Instances that are ending.
    pub stopping: u32,
    /// Instances that there should be.
    pub desired: u32,
}

/// The state of one revision at one gateway. `W` is what a request that waits is answered by.
#[derive(Debug)]
pub struct Core<W> {
    settings: Settings,
    can_pause: bool,
    waiting: Waiting<W>,
    instances: Instances,
    /// Other gateways that have instances.
    peers: Peers,
    scaler: Scaler,
    /// Requests that instances here were given.
    arrivals: u64,
    events: Events,
    failures: Failures,
    decision: Option<Decision>,
    desired: u32,
    /// Starts that nothing was heard of yet.
    asked: u32,
    /// How many instances were ready when it was last decided how many there should be.
    decided_on: Option<u32>,
    /// Whether there were events then.
    decided_with_events: bool,
    is_retired: bool,
    steps: Vec<Step<W>>,
}

impl<W> Core<W> {
    /// A revision without instances. `is_proved` says that it had its initial scale once, so that it may begin at zero.
    pub fn new(settings: Settings, can_pause: bool, is_proved: bool, now: Duration) -> Self {
        let beginning = if is_proved { Beginning::Known { ready: 0 } } else { Beginning::New };
        let scaler = Autoscaler::new(now, beginning, settings.scaling.clone());
        Self::scaled_by(Scaler::Own(Box::new(scaler)), settings, can_pause)
    }

    /// The same, of which others say how many instances there should be ([`assign`](Self::assign)).
    pub fn shared(settings: Settings, can_pause: bool, is_proved: bool) -> Self {
        Self::scaled_by(Scaler::Told(Assigned { is_proved, ..Assigned::default() }), settings, can_pause)
    }

    fn scaled_by(scaler: Scaler, settings: Settings, can_pause: bool) -> Self {
        Self {
            waiting: Waiting::new(settings.queue),
            scaler,
            peers: Peers::default(),
            arrivals: 0,
            settings,
            can_pause,
            instances: Instances::default(),
            events: Events::default(),
            failures: Failures::default(),
            decision: None,
            desired: 0,
            asked: 0,
            decided_on: None,
            decided_with_events: false,
            is_retired: false,
            steps: Vec::new(),
        }
    }

    /// Whether no instance takes requests now.
    #[must_use]
    pub fn is_cold(&self) -> bool {
        self.instances.count(&[Phase::Ready]) == 0 && !self.peers.have_any()
    }

    /// Whether anybody has an instance that answers, busy or not.
    #[must_use]
    pub fn has_instances(&self) -> bool {
        self.instances.count(READY) > 0 || self.peers.have_any()
    }

    /// The load that events which wait are.
    pub fn event_demand(&mut self, now: Duration) -> Demand {
        self.events.tick(now);
        self.events.demand(now, &self.settings.scaling)
    }

    /// Requests that instances here were given.
    #[must_use]
    pub const fn arrivals(&self) -> u64 {
        self.arrivals
    }

    /// Takes what others have decided on instances here, and which other gateways have instances that can take requests,
    /// and how many. Gives the gateways that are new.
    pub fn assign(
        &mut self,
        assigned: Assigned,
        others: &[(Arc<str>, u32)],
        now: Duration,
    ) -> Vec<(InstanceKey, Arc<str>)> {
        if let Scaler::Told(before) = &mut self.scaler {
            // What was so once is so for ever.
            *before = Assigned { is_proved: before.is_proved || assigned.is_proved, ..assigned };
        }
        self.peers.at(now);
        let instances = &mut self.instances;
        let new = self.peers.told(others, || instances.new_key());
        self.decided_on = None;
        self.serve();
        self.act(now);
        new
    }

    /// Whether a slot of that key is at another gateway that is still known.
    #[must_use]
    pub fn is_peer(&self, key: InstanceKey) -> bool {
        self.peers.find(key).is_some()
    }

    /// Whether something is to be performed.
    #[must_use]
    pub fn has_steps(&self) -> bool {
        !self.steps.is_empty()
    }

    /// When it is to be decided anew how many instances there should be; a moment that is over means now.
    #[must_use]
    pub fn decision_due(&self) -> Option<Duration> {
        if self.is_retired { None } else { self.scaler.next_wake() }
    }

    /// The last decision on how many instances there should be.
    #[must_use]
    pub fn decision(&self) -> Option<&Decision> {
        self.decision.as_ref()
    }

    /// Whether it had its initial scale once.
    #[must_use]
    pub fn is_proved(&self) -> bool {
        self.scaler.reached_initial_scale()
    }

    /// Takes the steps that are to be performed now.
    pub fn take_steps(&mut self) -> Vec<Step<W>> {
        std::mem::take(&mut self.steps)
    }

    /// How many of what there are.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts {
            queued: self.waiting.len() as u32,
            in_flight: self.instances.in_flight(),
            starting: self.asked + self.instances.count(&[Phase::Starting]),
            ready: self.instances.count(READY),
            paused: self.instances.count(&[Phase::Pausing, Phase::Paused]),
            stopping: self.instances.count(&[Phase::Stopping]),
            // The autoscaler remembers load that is over; where idle instances are stopped all the same, none is started for it.
            desired: if self.live() == 0 { self.wanted() } else { self.desired },
        }
    }

    /// An instance.
    #[must_use]
    pub fn instance(&self, key: InstanceKey) -> Option<&Instance> {
        self.instances.find(key)
    }

    /// All instances.
    #[cfg(test)]
    pub fn instances(&self) -> impl Iterator<Item = (InstanceKey, &Instance)> {
        self.instances.iter()
    }

    /// The instance that its runtime calls so.
    #[must_use]
    pub fn key_of(&self, id: &InstanceId) -> Option<InstanceKey> {
        self.instances.key_of(id)
    }

    /// Why the last instance failed, if one did.
    #[must_use]
    pub fn last_failure(&self) -> Option<&str> {
        self.failures.last()
    }

    /// Whether no instance comes up any more, and none is there.
    #[must_use]
    pub fn is_crash_loop(&self) -> bool {
        self.failures.is_crash_loop() && !self.has_instances()
    }

    /// Whether nothing of it is left.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.is_retired && self.instances.is_empty() && self.asked == 0
    }

    /// A request arrives that holds `bytes` while it waits, and goes to where `reach` says. `waiter` is made only when it
    /// has to.
    pub fn arrive(&mut self, bytes: usize, reach: Reach, now: Duration, waiter: impl FnOnce() -> W) -> Arrival {
        if self.is_retired {
            return Arrival::Refused(Refusal::Retired);
        }
        if let Some(key) = self.take_free(reach, now) {
            return Arrival::Granted(key);
        }
        if self.is_crash_loop() && self.failures.not_before(now).is_some() {
            let why = self.failures.last().unwrap_or_default().to_owned();
            return Arrival::Refused(Refusal::CrashLoop(why));
        }
        match self.waiting.push(waiter(), bytes, reach) {
            Ok(ticket) => {
                self.observe(now, 1);
                self.act(now);
                Arrival::Waits(ticket)
            }
            Err((full, _)) => Arrival::Refused(Refusal::Full(full)),
        }
    }

    /// Takes a slot that is free now. Whoever waits is served before.
    pub fn take_free(&mut self, reach: Reach, now: Duration) -> Option<InstanceKey> {
        if self.is_retired || self.waiting.any_before(reach) {
            return None;
        }
        let key = self.choose(reach)?;
        let arrivals = self.take_slot(key);
        self.observe(now, arrivals);
        self.act(now);
        Some(key)
    }

    /// From now on so many events wait for a host that leads here; `arrived` have come since this was said last.
    pub fn events_wait(&mut self, host: &str, waiting: WaitingEvents, arrived: u64, now: Duration) {
        self.events.wait(host, waiting, arrived, now);
        self.act(now);
    }

    /// An event is about to be stored.
    pub fn expect_event(&mut self, now: Duration) {
        // Where something runs there is nothing to begin, and whoever runs short is helped when it waits.
        if self.instances.count(RUNNING) == 0 && !self.is_retired {
            self.events.expect(now);
            self.act(now);
        }
    }

    /// A request that has its slot is a delivery.
    pub fn delivery_began(&mut self) {
        self.events.began();
    }

    /// A delivery has ended that took so long. Its slot is given back by [`finish`](Self::finish).
    pub fn delivery_ended(&mut self, took: Duration) {
        self.events.ended(took);
    }

    /// A request does not wait any longer. `false` when it was granted a slot before; then that is to be finished.
    pub fn leave(&mut self, ticket: Ticket, now: Duration) -> bool {
        let waited = self.waiting.remove(ticket).is_some();
        if waited {
            self.observe(now, 0);
        }
        waited
    }

    /// A request is done with its slot.
    pub fn finish(&mut self, key: InstanceKey, now: Duration) {
        if let Some(peer) = self.peers.find_mut(key) {
            assert!(peer.in_flight > 0, "a slot was given back twice");
            peer.in_flight -= 1;
        } else if let Some(instance) = self.instances.find_mut(key) {
            assert!(instance.in_flight > 0, "a slot was given back twice");
            instance.in_flight -= 1;
            if instance.in_flight == 0 {
                instance.idle_since = now;
            }
        }
        self.serve();
        self.observe(now, 0);
        self.act(now);
    }

    /// A request has become a stream that lives as long as its two ends want.
    pub fn became_stream(&mut self, key: InstanceKey) {
        if let Some(instance) = self.instances.find_mut(key) {
            instance.streams += 1;
        }
    }

    /// A stream has ended; its slot is given back by [`finish`](Self::finish).
    pub fn stream_ended(&mut self, key: InstanceKey) {
        if let Some(instance) = self.instances.find_mut(key) {
            instance.streams = instance.streams.saturating_sub(1);
        }
    }

    /// Follows another way of scaling. The metric of a revision never changes: what says another is not followed.
    pub fn follow(&mut self, scaling: Spec, now: Duration) {
        if self.settings.scaling != scaling && self.settings.scaling.metric == scaling.metric {
            self.scaler.set_spec(scaling.clone());
            self.settings.scaling = scaling;
            self.decided_on = None;
            self.act(now);
        }
    }

    /// Time has passed.
    pub fn tick(&mut self, now: Duration) {
        self.act(now);
    }

    /// When [`tick`](Self::tick) is due, if nothing happens before.
    #[must_use]
    pub fn next_wake(&self, now: Duration) -> Option<Duration> {
        let decision = self.decision_due();
        // While requests or events wait, none is stopped or paused for being idle.
        let any_wait = !self.waiting.is_empty() || self.events.any_wait();
        let idle = self.instances.iter().filter(|(_, instance)| instance.is_idle() && !any_wait);
        let idle = idle.filter_map(|(_, instance)| {
            let pause = self.pauses_after().filter(|_| instance.phase == Phase::Ready);
            let is_up = matches!(instance.phase, Phase::Ready | Phase::Paused);
            let stop = self.settings.idle_stop.filter(|_| is_up && self.live() > self.kept_idle());
            let after = pause.into_iter().chain(stop).min()?;
            // Without an end, where it is never to be stopped.
            instance.idle_since.checked_add(after)
        });
        let excess = (self.settings.idle_stop.is_none() && self.live() > self.desired && self.waiting.is_empty())
            .then_some(self.scaler.excess_after())
            .filter(|after| !after.is_zero());
        // Others are not stopped before it is known what became of them.
        let may_stop = |i: &Instance| i.is_idle() && matches!(i.phase, Phase::Ready | Phase::Paused);
        let idlest = self.instances.iter().filter(|(_, instance)| may_stop(instance));
        let excess = excess.and_then(|after| Some(idlest.map(|(_, i)| i.idle_since).min()? + after));
        let again = if self.wants_more() { self.failures.not_before(now) } else { None };
        let expected = self.events.expected_until();
        decision.into_iter().chain(idle).chain(excess).chain(again).chain(expected).min().map(|at| at.max(now))
    }

    /// An instance was started. It is probed next.
    pub fn started(&mut self, id: InstanceId, now: Duration) -> InstanceKey {
        self.asked = self.asked.saturating_sub(1);
        let key = self.instances.add(id, now);
        self.steps.push(Step::Probe(key));
        self.act(now);
        key
    }

    /// An instance that was asked for did not start.
    pub fn not_started(&mut self, why: String, now: Duration) {
        self.asked = self.asked.saturating_sub(1);
        self.failures.failed(why, now);
        self.act(now);
    }

    /// Of the instances that were asked for, that many are not even tried.
    pub fn not_tried(&mut self, count: u32) {
        self.asked = self.asked.saturating_sub(count);
    }

    /// An instance answers.
    pub fn ready(&mut self, key: InstanceKey, now: Duration) {
        if self.turn(key, Phase::Starting, Phase::Ready, now) {
            self.failures.became_ready(now);
            self.instances.find_mut(key).expect("it was there").was_ready = true;
            self.serve();
            self.act(now);
        }
    }

    /// An instance did not answer in all the time that it had. It is stopped.
    pub fn never_ready(&mut self, key: InstanceKey, why: String, now: Duration) {
        if self.instances.find(key).is_some_and(|instance| instance.phase == Phase::Starting) {
            self.failures.failed(why, now);
            self.stop(key);
            self.act(now);
        }
    }

    /// An instance that runs does not do so any more as it should. It is stopped, busy or not, and another takes its place.
    pub fn not_alive(&mut self, key: InstanceKey, why: String, now: Duration) {
        let runs = |instance: &Instance| matches!(instance.phase, Phase::Starting | Phase::Ready);
        if self.instances.find(key).is_some_and(runs) {
            self.failures.failed(why, now);
            self.stop(key);
            self.act(now);
        }
    }

    /// An instance did not take a request, or broke one off. It gets nothing more before it answers a probe.
    pub fn suspect(&mut self, key: InstanceKey, now: Duration) {
        if let Some(peer) = self.peers.find_mut(key) {
            peer.shunned_until = now + SHUNNED_FOR;
            return self.act(now);
        }
        if self.turn(key, Phase::Ready, Phase::Starting, now) {
            self.steps.push(Step::Probe(key));
        }
    }

    /// An instance that was to be paused is.
    pub fn paused(&mut self, key: InstanceKey, now: Duration) {
        self.turn(key, Phase::Pausing, Phase::Paused, now);
        self.act(now);
    }

    /// An instance could not be paused. It runs on, and is tried again when it was idle for as long again.
    pub fn not_paused(&mut self, key: InstanceKey, now: Duration) {
        if self.turn(key, Phase::Pausing, Phase::Ready, now) {
            self.serve();
        }
        self.act(now);
    }

    /// An instance that was paused runs again.
    pub fn resumed(&mut self, key: InstanceKey, now: Duration) {
        if self.turn(key, Phase::Resuming, Phase::Ready, now) {
            self.serve();
        }
        self.act(now);
    }

    /// An instance could not be resumed: it is of no use any more.
    pub fn not_resumed(&mut self, key: InstanceKey, why: String, now: Duration) {
        if self.instances.find(key).is_some_and(|instance| instance.phase == Phase::Resuming) {
            self.failures.failed(why, now);
            self.stop(key);
            self.act(now);
        }
    }

    /// An instance is gone. `why` says how it ended, when nobody had asked it to.
    pub fn exited(&mut self, key: InstanceKey, why: Option<String>, now: Duration) {
        let Some(gone) = self.instances.remove(key) else { return };
        if let Some(why) = why.filter(|_| gone.phase != Phase::Stopping) {
            self.failures.failed(why, now);
        }
        self.observe(now, 0);
        self.act(now);
    }

    /// The revision is no longer wanted: nothing arrives any more, instances are stopped as they fall idle. Gives those
    /// who wait.
    pub fn retire(&mut self, now: Duration) -> Vec<W> {
        self.is_retired = true;
        let waiting = std::iter::from_fn(|| self.waiting.pop_first(|_| true)).map(|(waiter, _)| waiter).collect();
        self.observe(now, 0);
        self.act(now);
        waiting
    }

    /// Stops every instance now, busy or not.
    pub fn stop_all(&mut self) {
        let keys: Vec<_> = self.instances.iter().map(|(key, _)| key).collect();
        for key in keys {
            self.stop(key);
        }
    }

    /// Where a request goes: to an instance here, unless it has as much to do as one should and another gateway's have
    /// less.
    fn choose(&self, reach: Reach) -> Option<InstanceKey> {
        let limit = self.settings.concurrency;
        let balance = if self.instances.count(RUNNING) > self.desired { Balance::Pack } else { Balance::Spread };
        let here = self.instances.choose(limit, balance);
        if reach == Reach::Here {
            return here;
        }
        let Some(key) = here else { return self.peers.choose(limit) };
        let in_flight = self.instances.find(key).map_or(0, |instance| instance.in_flight);
        if f64::from(in_flight) < self.settings.scaling.target.target {
            return here;
        }
        let peer = self.peers.choose(limit);
        peer.filter(|key| self.peers.find(*key).is_some_and(|peer| peer.is_idler_than(in_flight))).or(here)
    }

    /// Gives how many requests have arrived at instances here by that.
    fn take_slot(&mut self, key: InstanceKey) -> u32 {
        if let Some(peer) = self.peers.find_mut(key) {
            peer.in_flight += 1;
            return 0;
        }
        self.instances.find_mut(key).expect("it was chosen just now").in_flight += 1;
        self.arrivals += 1;
        1
    }

    /// Grants what is free to those who wait.
    fn serve(&mut self) {
        while !self.waiting.is_empty() {
            // One that is only served here does not hold up those that are served elsewhere.
            let (here, anywhere) = (self.choose(Reach::Here), self.choose(Reach::Anywhere));
            let key_for = |reach| if reach == Reach::Here { here } else { anywhere };
            let Some((waiter, reach)) = self.waiting.pop_first(|reach| key_for(reach).is_some()) else { return };
            let key = key_for(reach).expect("it was asked for");
            // It was counted when it came.
            self.take_slot(key);
            self.steps.push(Step::Grant(waiter, key));
        }
    }

    fn concurrency(&self) -> u32 {
        self.instances.in_flight() + self.waiting.len() as u32
    }

    fn observe(&mut self, now: Duration, arrivals: u32) {
        self.peers.at(now);
        self.scaler.observe(now, self.concurrency(), arrivals);
    }

    /// Instances that are there or coming, those that are ending left out.
    fn live(&self) -> u32 {
        self.asked + self.instances.count(&[Phase::Starting]) + self.instances.count(READY)
    }

    fn pauses_after(&self) -> Option<Duration> {
        self.settings.idle_pause.filter(|_| self.can_pause)
    }

    /// `true` when the instance was in phase `from`, and is in `to` now.
    fn turn(&mut self, key: InstanceKey, from: Phase, to: Phase, now: Duration) -> bool {
        match self.instances.find_mut(key) {
            Some(instance) if instance.phase == from => {
                instance.phase = to;
                if to == Phase::Ready && instance.is_idle() {
                    instance.idle_since = now;
                }
                true
            }
            Some(_) | None => false,
        }
    }

    fn stop(&mut self, key: InstanceKey) {
        if let Some(instance) = self.instances.find_mut(key)
            && instance.phase != Phase::Stopping
        {
            instance.phase = Phase::Stopping;
            self.steps.push(Step::Stop(key));
        }
    }
}

#[cfg(test)]
mod tests;
