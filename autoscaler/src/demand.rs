//! What events ask for: the one thing that Knative cannot know (spec/serving.md 8.4, item 2).
//!
//! Requests show when they have arrived. Events are known when they are appended, so their service can be started while
//! they are still being replicated, and as many of its instances as it takes to work a backlog off in time.

use std::time::Duration;

use super::window::Window;
use super::windows::{Averages, LEAST_LOAD};

/// In what time a backlog is to be worked off.
const DRAIN_GOAL: Duration = Duration::from_secs(10);

/// How long a delivery is taken to last before any was made.
const UNKNOWN_SERVICE_TIME: Duration = Duration::from_millis(100);

/// Over so many deliveries their time is averaged.
const AVERAGED_DELIVERIES: u32 = 32;

/// Events that wait for one revision.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Events that could be delivered now and are not on their way.
    pub events: u64,
    /// Deliveries that are on their way to the revision: requests that its concurrency counts already.
    pub delivering: u32,
    /// Where events of one key go one after the other: how many keys have an event that waits or is on its way.
    pub keys: Option<u64>,
}

/// The load that events of a revision are.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Demand {
    /// Deliveries at the same time that there should be.
    concurrency: f64,
    /// Those there are.
    delivering: u32,
}

impl Demand {
    /// Arriving events need as many deliveries at the same time as arrive while one lasts; a backlog needs as many as
    /// end in time. With keys, no more than these at once.
    #[must_use]
    pub fn new(events_per_second: f64, service_time: Duration, backlog: Backlog) -> Self {
        let arriving = events_per_second * service_time.as_secs_f64();
        let waiting = backlog.events as f64 * service_time.as_secs_f64() / DRAIN_GOAL.as_secs_f64();
        let most = backlog.keys.map_or(f64::INFINITY, |keys| keys as f64);
        let least = if backlog.events > 0 { LEAST_LOAD } else { 0.0 };
        Self { concurrency: (arriving + waiting).min(most).max(least), delivering: backlog.delivering }
    }

    /// The same, with a bound on the deliveries at the same time.
    #[must_use]
    pub fn at_most(self, concurrency: f64) -> Self {
        Self { concurrency: self.concurrency.min(concurrency), ..self }
    }

    /// Thousandths of the deliveries at the same time that there should be, rounded up.
    #[must_use]
    pub fn milli(&self) -> u64 {
        (self.concurrency * 1_000.0).ceil() as u64
    }

    /// Deliveries that are on their way.
    #[must_use]
    pub const fn delivering(&self) -> u32 {
        self.delivering
    }

    /// What was told of it, by [`milli`](Self::milli) and [`delivering`](Self::delivering).
    #[must_use]
    pub fn told(milli: u64, delivering: u32) -> Self {
        Self { concurrency: milli as f64 / 1_000.0, delivering }
    }

    /// Whether it asks for nothing.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        self.concurrency == 0.0
    }

    /// The load of requests with this on top. Deliveries that the load counts already are not counted twice.
    #[must_use]
    pub fn on_top_of(&self, load: Averages) -> Averages {
        let with = |load: f64| load.max((load - f64::from(self.delivering)).max(0.0) + self.concurrency);
        Averages { stable: with(load.stable), panic: with(load.panic) }
    }
}

/// What is known of the events of one revision: how fast they come, and how long a delivery lasts.
#[derive(Debug, Clone)]
pub struct EventDemand {
    short: Window,
    long: Window,
    service_seconds: f64,
    deliveries: u32,
}

impl Default for EventDemand {
    fn default() -> Self {
        Self::new()
    }
}

impl EventDemand {
    /// Nothing is known yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            short: Window::new(Duration::from_secs(6)),
            long: Window::new(Duration::from_secs(60)),
            service_seconds: UNKNOWN_SERVICE_TIME.as_secs_f64(),
            deliveries: 0,
        }
    }

    /// So many events were appended that match.
    pub fn arrived(&mut self, now: Duration, events: u64) {
        self.short.record(now, events as f64);
        self.long.record(now, events as f64);
    }

    /// A delivery ended that had been on its way for so long.
    pub fn delivered(&mut self, took: Duration) {
        self.deliveries = (self.deliveries + 1).min(AVERAGED_DELIVERIES);
        let before = if self.deliveries == 1 { 0.0 } else { self.service_seconds };
        self.service_seconds = before + (took.as_secs_f64() - before) / f64::from(self.deliveries);
    }

    /// How long a delivery lasts.
    #[must_use]
    pub fn service_time(&self) -> Duration {
        Duration::from_secs_f64(self.service_seconds)
    }

    /// How many events come in a second: what the latest seconds say or the last minute does, whichever is more.
    pub fn events_per_second(&mut self, now: Duration) -> f64 {
        // Silence until now is known to be silence.
        self.arrived(now, 0);
        self.short.average(now).max(self.long.average(now))
    }

    /// The load that they are, together with those that wait.
    pub fn demand(&mut self, now: Duration, backlog: Backlog) -> Demand {
        Demand::new(self.events_per_second(now), self.service_time(), backlog)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: u64) -> Duration {
        Duration::from_secs(second)
    }

    fn waiting(events: u64) -> Backlog {
        Backlog { events, ..Backlog::default() }
    }

    /// The load alone, without any of requests.
    fn load(demand: Demand) -> f64 {
        demand.on_top_of(Averages { stable: 0.0, panic: 0.0 }).panic
    }

    /// spec/serving.md 8.4, item 2; instances of them are in the tests of the autoscaler.
    #[test]
    fn demands_follow_the_vectors() {
        // (events in a second, service time in milliseconds, backlog, demand)
        for row in [
            (50.0, 200, 0, 10.0),
            (50.0, 200, 1_000, 30.0),
            (0.0, 100, 1, 0.01),
            (50.0, 200, 100_000, 2_010.0),
            (0.0, 200, 0, 0.0),
        ] {
            let (rate, service_millis, events, want) = row;
            let demand = Demand::new(rate, Duration::from_millis(service_millis), waiting(events));
            assert!((load(demand) - want).abs() < 1e-9, "{row:?}: {demand:?}");
        }
    }

    #[test]
    fn events_that_wait_ask_for_something_however_fast_they_go() {
        assert!(load(Demand::new(0.0, Duration::ZERO, waiting(1))) > 0.0);
        assert!(Demand::new(0.0, Duration::ZERO, waiting(0)).is_zero());
    }

    #[test]
    fn ordered_events_ask_for_no_more_than_their_keys() {
        for (keys, want) in [(None, 30.0), (Some(100), 30.0), (Some(4), 4.0), (Some(1), 1.0)] {
            let backlog = Backlog { keys, ..waiting(1_000) };
            assert_eq!(load(Demand::new(50.0, Duration::from_millis(200), backlog)), want, "{keys:?}");
        }
    }

    #[test]
    fn deliveries_on_their_way_are_not_counted_twice() {
        // (load of requests, deliveries among them, want)
        for row in
            [(0.0, 0, 30.0), (12.0, 0, 42.0), (12.0, 10, 32.0), (12.0, 12, 30.0), (5.0, 12, 30.0), (45.0, 40, 45.0)]
        {
            let (requests, delivering, want) = row;
            let backlog = Backlog { delivering, ..waiting(1_000) };
            let demand = Demand::new(50.0, Duration::from_millis(200), backlog);
            let got = demand.on_top_of(Averages { stable: requests, panic: requests });
            assert_eq!((got.stable, got.panic), (want, want), "{row:?}");
        }
    }

    #[test]
    fn the_rate_is_the_larger_of_two_averages() {
        let mut events = EventDemand::new();
        for second in 0..60 {
            events.arrived(at(second), 10);
        }
        assert_eq!(events.events_per_second(at(59)), 10.0, "steady");
        (60..66).for_each(|second| events.arrived(at(second), 100));
        assert_eq!(events.events_per_second(at(65)), 100.0, "a burst shows within seconds");
        assert_eq!(events.events_per_second(at(85)), 15.666_667, "and is remembered for a minute");
        assert_eq!(events.events_per_second(at(124)), 1.666_667, "silence counts");
        assert_eq!(events.events_per_second(at(125)), 0.0, "then it is over");
    }

    #[test]
    fn the_service_time_is_averaged_once_it_is_known() {
        let mut events = EventDemand::new();
        assert_eq!(events.service_time(), Duration::from_millis(100), "unknown");
        for (took, want) in [(20, 20), (40, 30), (60, 40)] {
            events.delivered(Duration::from_millis(took));
            assert_eq!(events.service_time().as_micros(), want * 1_000, "after {took} ms");
        }
        for _ in 0..1_000 {
            events.delivered(Duration::from_millis(500));
        }
        assert!(events.service_time() > Duration::from_millis(499), "the past fades");
    }

    #[test]
    fn what_is_known_becomes_a_demand() {
        let mut events = EventDemand::new();
        (0..60).for_each(|second| events.arrived(at(second), 50));
        events.delivered(Duration::from_millis(200));
        assert_eq!(load(events.demand(at(59), waiting(1_000))), 30.0);
    }
}
