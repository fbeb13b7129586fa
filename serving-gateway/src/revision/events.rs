//! Events that wait for a revision, as its core counts them. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::autoscaler::{Backlog, Demand, EventDemand, Metric, Spec};

/// How long an event that is about to be stored counts as one that waits: by then it is stored, and the dispatcher tells of
/// it, or it never will be.
const EXPECTED_FOR: Duration = Duration::from_secs(1);

/// How much waits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WaitingEvents {
    /// Events that could be delivered now and are not on their way.
    pub events: u64,
    /// The most deliveries at once that can come of them.
    pub at_once: u64,
}

/// The events of one revision.
#[derive(Debug, Default)]
pub struct Events {
    /// By the host that they wait for.
    waiting: BTreeMap<Box<str>, WaitingEvents>,
    delivering: u32,
    expected_until: Option<Duration>,
    /// Made with the first event: a revision that never has one does without.
    demand: Option<Box<EventDemand>>,
    /// Some delivery has ended, so it is known how long one lasts.
    is_known: bool,
}

impl Events {
    /// From now on so many wait for a host that leads to the revision. `arrived` have come since this was said last.
    pub fn wait(&mut self, host: &str, waiting: WaitingEvents, arrived: u64, now: Duration) {
        if waiting.events == 0 {
            self.waiting.remove(host);
        } else {
            self.waiting.insert(host.into(), waiting);
            // The one that was expected is among them, or comes in a moment.
            self.expected_until = None;
        }
        if arrived > 0 {
            self.demand.get_or_insert_default().arrived(now, arrived);
        }
    }

    /// One is about to be stored.
    pub fn expect(&mut self, now: Duration) {
        self.expected_until = Some(now + EXPECTED_FOR);
    }

    /// A delivery is on its way.
    pub fn began(&mut self) {
        self.delivering += 1;
    }

    /// A delivery ended that was on its way for so long.
    pub fn ended(&mut self, took: Duration) {
        self.delivering = self.delivering.saturating_sub(1);
        self.is_known = true;
        self.demand.get_or_insert_default().delivered(took);
    }

    /// Time has passed.
    pub fn tick(&mut self, now: Duration) {
        self.expected_until = self.expected_until.filter(|until| now < *until);
    }

    /// Until when one is expected.
    #[must_use]
    pub const fn expected_until(&self) -> Option<Duration> {
        self.expected_until
    }

    /// Whether any wait, or one is expected.
    #[must_use]
    pub fn any_wait(&self) -> bool {
        self.expected_until.is_some() || !self.waiting.is_empty()
    }

    /// Whether they ask for anything.
    #[must_use]
    pub fn are_any(&self) -> bool {
        self.delivering > 0 || self.any_wait()
    }

    /// The load that they are. Nothing when none waits and none is on its way, however many came lately.
    #[must_use]
    pub fn demand(&mut self, now: Duration, scaling: &Spec) -> Demand {
        if !self.are_any() {
            return Demand::default();
        }
        let sum = self.waiting.values().fold(WaitingEvents::default(), |sum, more| WaitingEvents {
            events: sum.events.saturating_add(more.events),
            at_once: sum.at_once.saturating_add(more.at_once),
        });
        let at_once = sum.at_once.saturating_add(u64::from(self.delivering)).max(1);
        let backlog = Backlog {
            events: sum.events.max(u64::from(self.expected_until.is_some())),
            delivering: self.delivering,
            keys: Some(at_once),
        };
        match scaling.metric {
            // A rate of requests has what arrives in it already, and a backlog adds what is to be worked off in a second.
            Metric::RequestsPerSecond => {
                Demand::new(0.0, Duration::from_secs(1), Backlog { delivering: 0, keys: None, ..backlog })
            }
            Metric::Concurrency => {
                let demand = self.demand.get_or_insert_default().demand(now, backlog);
                // Before any delivery has ended nobody knows whether one instance is enough or a hundred are not.
                if self.is_known { demand } else { demand.at_most(scaling.target.target) }
            }
        }
    }
}

/// Divides a number by percents. What does not go into whole numbers goes to the largest.
#[must_use]
pub fn divide(number: u64, percents: &[u32]) -> Vec<u64> {
    let total: u64 = percents.iter().map(|percent| u64::from(*percent)).sum();
    if total == 0 {
        return vec![0; percents.len()];
    }
    let part = |percent: u32| (u128::from(number) * u128::from(percent) / u128::from(total)) as u64;
    let mut parts: Vec<u64> = percents.iter().map(|percent| part(*percent)).collect();
    let left = number - parts.iter().sum::<u64>();
    if let Some((at, _)) = percents.iter().enumerate().max_by_key(|(at, percent)| (**percent, std::cmp::Reverse(*at))) {
        parts[at] += left;
    }
    parts
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn waiting(events: u64) -> WaitingEvents {
        WaitingEvents { events, at_once: events.min(100) }
    }

    #[test]
    fn they_ask_for_something_while_any_waits_or_is_on_its_way_and_then_for_nothing() {
        let spec = Spec::default();
        let mut events = Events::default();
        assert!(events.demand(ms(0), &spec).is_zero());
        events.wait("a", waiting(1_000), 1_000, ms(0));
        assert!(!events.demand(ms(0), &spec).is_zero());
        events.began();
        events.wait("a", waiting(0), 0, ms(10));
        assert!(!events.demand(ms(10), &spec).is_zero(), "one is on its way");
        events.ended(ms(5));
        assert!(events.demand(ms(20), &spec).is_zero(), "though a thousand came within a minute");
    }

    #[test]
    fn hosts_of_one_revision_add_up() {
        let mut events = Events::default();
        events.wait("a", waiting(10), 0, ms(0));
        events.wait("b", waiting(1), 0, ms(0));
        events.wait("a", waiting(0), 0, ms(0));
        assert!(events.any_wait());
        events.wait("b", waiting(0), 0, ms(0));
        assert!(!events.any_wait());
    }

    #[test]
    fn one_that_is_expected_and_never_comes_counts_for_a_second() {
        let mut events = Events::default();
        events.expect(ms(100));
        for (now, want) in [(100, true), (1_099, true), (1_100, false)] {
            events.tick(ms(now));
            assert_eq!(!events.demand(ms(now), &Spec::default()).is_zero(), want, "at {now} ms");
        }
        events.expect(ms(2_000));
        events.wait("a", waiting(1), 1, ms(2_001));
        events.wait("a", waiting(0), 0, ms(2_002));
        assert!(!events.are_any(), "it came, and is done");
    }

    #[test]
    fn a_backlog_asks_for_one_instance_until_it_is_known_how_long_a_delivery_lasts() {
        let spec = Spec { target: crate::autoscaler::Target { target: 0.7, total: 1.0 }, ..Spec::default() };
        let load = |demand: Demand| demand.on_top_of(crate::autoscaler::Averages { stable: 0.0, panic: 0.0 }).panic;
        let mut events = Events::default();
        events.wait("a", waiting(10_000), 10_000, ms(0));
        assert_eq!(load(events.demand(ms(0), &spec)), 0.7);
        events.began();
        events.ended(ms(200));
        assert_eq!(load(events.demand(ms(1_000), &spec)), 100.0, "no more than the trigger may have on its way");
    }

    proptest! {
        #[test]
        fn parts_are_the_whole(number in any::<u64>(), percents in prop::collection::vec(0..101u32, 0..5)) {
            let parts = divide(number, &percents);
            let total: u32 = percents.iter().sum();
            let sum: u128 = parts.iter().map(|part| u128::from(*part)).sum();
            prop_assert_eq!(sum, if total == 0 { 0 } else { u128::from(number) });
            for (part, percent) in parts.iter().zip(&percents) {
                prop_assert!(*percent > 0 || *part == 0);
            }
        }
    }
}
