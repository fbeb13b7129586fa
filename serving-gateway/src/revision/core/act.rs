//! How many instances there are, made what it should be: started, resumed, paused and stopped.

use std::time::Duration;

use super::super::instances::{Instance, Phase};
use super::{Core, READY, RUNNING, Step};

/// Instances that are asked for at a time; the next ones when these are heard of. However many there should be, a manifest
/// is not to take all memory by it.
const MOST_ASKED: u32 = 256;

impl<W> Core<W> {
    /// Makes true what should be.
    pub(super) fn act(&mut self, now: Duration) {
        self.peers.at(now);
        // What is over is forgotten also by one that is retired: it would be due for ever.
        self.events.tick(now);
        if self.is_retired {
            self.desired = 0;
            return self.stop_idle(u32::MAX, Duration::ZERO, now);
        }
        self.decide(now);
        self.resume();
        if self.wants_more() && self.failures.not_before(now).is_none() {
            let more = (self.wanted() - self.live()).min(MOST_ASKED.saturating_sub(self.asked));
            // After a failure one is tried, not all: the next may fail as well.
            let more =
                if self.failures.last().is_some() && self.instances.count(READY) == 0 { more.min(1) } else { more };
            if more > 0 {
                self.asked += more;
                self.steps.push(Step::Start(more));
            }
        }
        if self.waiting.is_empty() {
            self.step_down(now);
        }
    }

    pub(super) fn wants_more(&self) -> bool {
        !self.is_retired && self.live() < self.wanted()
    }

    /// How many are started for. Where idle instances are stopped after a time of their own, none is started for load that
    /// is over: the autoscaler's windows remember it for longer.
    pub(super) fn wanted(&self) -> u32 {
        let is_idle = self.concurrency() == 0 && !self.events.any_wait();
        let is_over = self.settings.idle_stop.is_some() && is_idle && self.is_proved();
        if is_over { self.desired.min(self.kept_idle()) } else { self.desired }
    }

    /// How many instances are not stopped for having been idle.
    pub(super) fn kept_idle(&self) -> u32 {
        self.scaler.keeps(self.desired, &self.settings.scaling)
    }

    fn decide(&mut self, now: Duration) {
        let ready = self.instances.count(READY);
        let is_due = self.scaler.next_wake().is_some_and(|at| at <= now);
        let has_events = self.events.are_any();
        if is_due || self.decided_on != Some(ready) || (has_events && !self.decided_with_events) {
            self.decided_on = Some(ready);
            self.decided_with_events = has_events;
            let demand = self.events.demand(now, &self.settings.scaling);
            (self.desired, self.decision) = self.scaler.decide(now, ready, demand);
        }
        // What another gateway has passed on is served here.
        let is_for_here = self.waiting.any_for_here();
        // Whoever decides elsewhere hears of events in a moment.
        let waits = !self.waiting.is_empty() || (self.scaler.is_told() && self.events.any_wait());
        if waits && self.live() == 0 && (is_for_here || !self.peers.have_any()) {
            // Whatever the windows say, somebody waits.
            self.desired = self.desired.max(1);
        }
    }

    /// Resumes as many as what is there needs.
    fn resume(&mut self) {
        if self.instances.count(&[Phase::Paused]) == 0 {
            return;
        }
        let per_instance = self.settings.scaling.target.target;
        let wanted = (f64::from(self.concurrency()) / per_instance).ceil() as u32;
        // What a target counts may be something else than requests at a time.
        let limit = self.settings.concurrency;
        let wanted = wanted.max(if limit > 0 { self.concurrency().div_ceil(limit) } else { 0 });
        let wanted = wanted.max(u32::from(!self.waiting.is_empty() || self.events.any_wait()));
        let mut running = self.instances.count(RUNNING);
        // The one that was idle for the shortest time is the likeliest to be in the caches.
        let mut paused: Vec<_> = self
            .instances
            .iter()
            .filter(|(_, i)| i.phase == Phase::Paused)
            .map(|(key, i)| (i.idle_since, key))
            .collect();
        paused.sort_unstable();
        while running < wanted
            && let Some((_, key)) = paused.pop()
        {
            self.instances.find_mut(key).expect("it is paused").phase = Phase::Resuming;
            self.steps.push(Step::Resume(key));
            running += 1;
        }
    }

    /// Stops and pauses what is idle.
    fn step_down(&mut self, now: Duration) {
        let has_been_idle = |instance: &Instance, for_long: Duration| {
            instance.is_idle() && now.saturating_sub(instance.idle_since) >= for_long
        };
        match self.settings.idle_stop {
            None => {
                let excess = self.live().saturating_sub(self.desired);
                self.stop_idle(excess, self.scaler.excess_after(), now);
            }
            // It would be started again at once.
            Some(_) if self.events.any_wait() => {}
            Some(after) => {
                let spare = self.live().saturating_sub(self.kept_idle()) as usize;
                let ripe = self.instances.iter().filter(|(_, instance)| {
                    matches!(instance.phase, Phase::Ready | Phase::Paused) && has_been_idle(instance, after)
                });
                let ripe: Vec<_> = ripe.map(|(key, _)| key).take(spare).collect();
                for key in ripe {
                    self.stop(key);
                }
            }
        }
        if let Some(after) = self.pauses_after().filter(|_| !self.events.any_wait()) {
            let ripe = self.instances.iter().filter(|(_, i)| i.phase == Phase::Ready && has_been_idle(i, after));
            let ripe: Vec<_> = ripe.map(|(key, _)| key).collect();
            for key in ripe {
                let instance = self.instances.find_mut(key).expect("it is ready");
                instance.phase = Phase::Pausing;
                instance.pauses += 1;
                self.steps.push(Step::Pause(key));
            }
        }
    }

    /// Stops up to `count` instances on which nothing is on its way: paused ones first, then those idle the longest, then
    /// what is still starting; of each only what is idle for as long as `after`. A busy one is never chosen
    /// (knative/serving#3759).
    fn stop_idle(&mut self, count: u32, after: Duration, now: Duration) {
        if count == 0 {
            return;
        }
        let rank = |instance: &Instance| match instance.phase {
            Phase::Paused => Some(0),
            Phase::Ready => Some(1),
            // Whoever decides elsewhere may not know yet that somebody waits for it.
            Phase::Starting if !after.is_zero() => None,
            Phase::Starting => Some(2),
            // They are looked at again when it is known what became of them.
            Phase::Pausing | Phase::Resuming | Phase::Stopping => None,
        };
        let is_ripe = |i: &Instance| i.is_idle() && now.saturating_sub(i.idle_since) >= after;
        let idle = self.instances.iter().filter(|(_, instance)| is_ripe(instance));
        let mut idle: Vec<_> = idle.filter_map(|(key, i)| Some((rank(i)?, i.idle_since, key))).collect();
        idle.sort_unstable();
        for (_, _, key) in idle.into_iter().take(count as usize) {
            self.stop(key);
        }
    }
}
