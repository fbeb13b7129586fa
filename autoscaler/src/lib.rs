//! How many instances a revision should have: the arithmetic of Knative's KPA, and what a backlog of events adds.
//!
//! An [`Autoscaler`] decides for one revision. It is told each change of what is on its way, exactly, instead of asking
//! once a second; it is asked when something may have changed, instead of every 2 seconds. What the windows and the
//! decision do with the numbers is Knative's (spec/serving.md 3, whose tables are tests here). What differs:
//!
//! - The average of the latest 100 ms is a lower bound of the panic average. A step is decided within 200 ms, where the
//!   panic window needs 6 s to fill; requests that come together and are gone after a millisecond are still no reason.
//! - A number may rise at any time and falls at whole even seconds only, which is as often as Knative decides.
//! - While anything is on its way or waits, there is one instance at least, and for a stable window after it.
//! - Events that wait or are about to come count as load ([`Demand`]).
//!
//! Nothing here reads a clock. A moment is a `Duration` since an origin that whoever calls has chosen, the same for all
//! calls.

use std::time::Duration;

mod bounds;
mod burst;
mod decision;
mod demand;
mod exponential;
mod max_window;
mod meter;
mod said;
mod scale_to_zero;
mod spec;
mod target;
mod window;
mod windows;

pub use bounds::Bound;
pub use burst::BurstCapacity;
pub use demand::{Backlog, Demand, EventDemand};
pub use scale_to_zero::Idle;
pub use spec::{Aggregation, Spec};
pub use target::{Metric, Target, TargetDefaults, TargetSettings};
pub use windows::Averages;

use bounds::Bounds;
use decision::Decider;
use meter::{GAP, Meter};
use scale_to_zero::ScaleToZero;
use windows::{LEAST_LOAD, Windows};

/// Numbers fall at multiples of this.
const TICK_SECONDS: u64 = 2;

/// What is known of a revision when decisions about it begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beginning {
    /// It is new, or has not reached its initial scale yet.
    New,
    /// It reached its initial scale before, and so many of its instances are ready. None: it is at zero, and stays
    /// there until there is something to do.
    Known {
        /// How many.
        ready: u32,
    },
}

/// Why there should be as many instances as decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The average over the stable window.
    Load,
    /// The load was far more than what is ready could take, less than a stable window ago.
    Panic,
    /// Events wait or are about to come, and were added to the load.
    Events,
    /// Fewer would do, but have not for long enough.
    Delay,
    /// A bound of the revision.
    Bound(Bound),
    /// The load asks for none.
    Idle(Idle),
}

/// How many instances there should be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Decision {
    /// So many.
    pub desired: u32,
    /// How much more load what is ready could take at once, beyond the burst that should find room. To show only.
    pub excess_burst_capacity: i64,
    /// Whether the short window decides.
    pub panicking: bool,
    /// Why.
    pub reason: Reason,
    /// The load that was decided on.
    pub load: Averages,
}

/// The last decision, as far as the next ones depend on it.
#[derive(Debug, Clone)]
struct Decided {
    at: Duration,
    /// What the load asked for, before the bounds.
    asked: u32,
    desired: u32,
    demand: Demand,
    /// When the demand became another.
    demand_changed: Option<Duration>,
    is_held: bool,
    ask_again: Option<Duration>,
}

/// Decides for one revision.
#[derive(Debug, Clone)]
pub struct Autoscaler {
    spec: Spec,
    windows: Windows,
    meter: Meter,
    decider: Decider,
    bounds: Bounds,
    to_zero: ScaleToZero,
    decided: Option<Decided>,
}

impl Autoscaler {
    /// Begins with nothing on its way.
    #[must_use]
    pub fn new(now: Duration, beginning: Beginning, spec: Spec) -> Self {
        let (ready, to_zero) = match beginning {
            Beginning::New if spec.initial_scale > 0 => (0, ScaleToZero::activating(now, 0)),
            Beginning::New | Beginning::Known { ready: 0 } => (0, ScaleToZero::at_zero(now)),
            Beginning::Known { ready } => (ready, ScaleToZero::activating(now, ready)),
        };
        Self {
            windows: Windows::new(&spec),
            meter: Meter::new(now, spec.metric),
            decider: Decider::new(now, ready, &spec),
            bounds: Bounds::new(beginning != Beginning::New),
            to_zero,
            decided: None,
            spec,
        }
    }

    /// What decisions follow.
    #[must_use]
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// Follows something else from now on: other defaults, or a Route that leads to the revision or does so no more.
    /// The metric of a revision never changes. Whoever calls decides anew.
    pub fn set_spec(&mut self, spec: Spec) {
        assert_eq!(spec.metric, self.spec.metric, "the metric of a revision changed");
        self.windows.resize(&spec);
        if spec.scale_down_delay != self.spec.scale_down_delay {
            self.decider.delay_anew(&spec);
        }
        self.spec = spec;
    }

    /// Whether the revision has had its initial scale ready once. From then on it begins as [`Beginning::Known`].
    #[must_use]
    pub fn reached_initial_scale(&self) -> bool {
        self.bounds.reached_initial_scale()
    }

    /// From now on `concurrency` requests are on their way or queued. `arrivals` are those that came since this was
    /// called last. To be called at each change: it costs a few additions and never allocates.
    pub fn observe(&mut self, now: Duration, concurrency: u32, arrivals: u32) {
        self.meter.observe(now, concurrency, arrivals, &mut self.windows);
    }

    /// Decides how many instances there should be. `ready` of them can take requests, paused ones among them. To be
    /// called when [`next_wake`](Self::next_wake) has come, and when `ready` has changed or a demand has appeared.
    pub fn decide(&mut self, now: Duration, ready: u32, demand: Demand) -> Decision {
        let now = self.meter.count(now, &mut self.windows);
        let requests = self.load_of_requests(now);
        let load = demand.on_top_of(requests);
        self.decider.held_until(now);
        let scale = self.decider.step(now, ready, load, &self.spec);
        let floor = self.decided.as_ref().filter(|last| tick(last.at) == tick(now)).map_or(0, |last| last.asked);
        let asked = scale.desired.max(floor);
        let (bounded, bound) = self.bounds.apply(asked, ready, &self.spec);
        let idle = self.idle(now, bounded, ready);

        let reason = match (idle, bound) {
            (Some((idle, _)), _) => Reason::Idle(idle),
            (None, Some(bound)) => Reason::Bound(bound),
            (None, None) if asked > scale.desired || scale.is_delayed => Reason::Delay,
            (None, None) if load != requests => Reason::Events,
            (None, None) if scale.panicking => Reason::Panic,
            (None, None) => Reason::Load,
        };
        let demand_changed = match &self.decided {
            Some(last) if last.demand == demand => last.demand_changed,
            None if demand.is_zero() => None,
            _ => Some(now),
        };
        let desired = idle.map_or(bounded, |(idle, _)| idle.scale());
        self.decided = Some(Decided {
            at: now,
            asked,
            desired,
            demand,
            demand_changed,
            is_held: asked > scale.desired,
            ask_again: idle.and_then(|(_, again)| again),
        });
        Decision {
            desired,
            excess_burst_capacity: scale.excess_burst_capacity,
            panicking: scale.panicking,
            reason,
            load,
        }
    }

    /// When another number could be decided though nothing happens until then; a moment that is over means now. Nothing
    /// means that only something that happens can change it.
    #[must_use]
    pub fn next_wake(&self) -> Option<Duration> {
        let Some(decided) = &self.decided else { return Some(Duration::ZERO) };
        if decided.desired == 0 && self.meter.is_busy() {
            return Some(decided.at);
        }
        let next_second = Duration::from_secs(decided.at.as_secs() + 1);
        let next_tick = Duration::from_secs((tick(decided.at) + 1) * TICK_SECONDS);
        let is_settled = decided.at >= self.meter.settles_at(self.spec.stable_window);
        let panic_ends = self.decider.panic_ends(self.spec.stable_window);
        let delay_ends = self.decider.delay_ends().filter(|_| self.spec.reachable);
        let wakes = [
            self.meter.due(),
            (!is_settled).then_some(next_second),
            // A panic ends after that moment, not at it.
            panic_ends.map(|end| (end + Duration::from_nanos(1)).max(next_tick)),
            delay_ends.map(|end| end.max(next_tick)),
            decided.is_held.then_some(next_tick),
            decided.demand_changed.map(|at| at + GAP).filter(|due| decided.at < *due),
            (!decided.demand.is_zero()).then_some(next_second),
            decided.ask_again,
        ];
        wakes.into_iter().flatten().min()
    }

    fn load_of_requests(&self, now: Duration) -> Averages {
        let mut load = self.windows.averages(now).expect("the running second was just written");
        load.panic = load.panic.max(self.meter.recent());
        if self.meter.is_busy() {
            load.stable = load.stable.max(LEAST_LOAD);
        }
        load
    }

    /// What is to be done where none are asked for, and when to ask again.
    fn idle(&mut self, now: Duration, asked: u32, ready: u32) -> Option<(Idle, Option<Duration>)> {
        if asked > 0 {
            self.to_zero.busy(now, ready, &self.spec);
            return None;
        }
        Some(self.to_zero.idle(now, ready, self.meter.last_active(), &self.spec))
    }
}

fn tick(at: Duration) -> u64 {
    at.as_secs() / TICK_SECONDS
}

#[cfg(test)]
mod tests;
