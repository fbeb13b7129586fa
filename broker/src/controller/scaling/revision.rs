//! How many instances one revision has, and where.

use std::collections::BTreeMap;
use std::time::Duration;

use pelton_autoscaler::{Autoscaler, Averages, Beginning, Demand, Spec};
use pelton_client::serving::RevisionLoad;

use super::spread::{Place, spread};

/// More instances of one revision than this are not spread.
const MOST_INSTANCES: u32 = 100_000;

/// What one gateway tells of the revision.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Told {
    pub(super) ready: u32,
    pub(super) load: RevisionLoad,
    /// Whether it was heard of lately, and so can be given something to do.
    pub(super) is_heard: bool,
    /// Instances of all revisions that the gateway is to have.
    pub(super) total: u32,
}

/// A revision that gateways share.
#[derive(Debug)]
pub(super) struct SharedRevision {
    scaler: Autoscaler,
    /// Requests that each gateway had given instances when that was looked at last.
    arrivals: BTreeMap<String, u64>,
    /// Instances that each gateway is to have.
    pub(super) shares: BTreeMap<String, u32>,
    /// Whether idle instances are stopped after a time of their own.
    pub(super) stops_idle: bool,
    /// Ready instances; requests, where idle ones are stopped after a time of their own; whether no event waited.
    decided_on: Option<(u32, Option<u32>, bool)>,
}

impl SharedRevision {
    /// One whose gateways tell of `ready` instances already.
    pub(super) fn new(now: Duration, is_proved: bool, ready: u32, spec: Spec) -> Self {
        let beginning = if is_proved { Beginning::Known { ready } } else { Beginning::New };
        Self {
            scaler: Autoscaler::new(now, beginning, spec),
            arrivals: BTreeMap::new(),
            shares: BTreeMap::new(),
            stops_idle: false,
            decided_on: None,
        }
    }

    /// Whether it had its initial scale once.
    pub(super) fn is_proved(&self) -> bool {
        self.scaler.reached_initial_scale()
    }

    /// When it is to be looked at again though nobody tells anything.
    pub(super) fn next_wake(&self) -> Option<Duration> {
        self.scaler.next_wake()
    }

    /// Takes what all gateways tell now, and decides if that is due. Where a revision says when idle instances are stopped
    /// (`stops_idle`), none is for load that is over: the windows remember it for longer.
    pub(super) fn follow(&mut self, now: Duration, spec: &Spec, stops_idle: bool, told: &BTreeMap<&str, Told>) {
        self.stops_idle = stops_idle;
        if self.scaler.spec() != spec && self.scaler.spec().metric == spec.metric {
            self.scaler.set_spec(spec.clone());
            self.decided_on = None;
        }
        let concurrency = told.values().map(|told| told.load.in_flight + told.load.queued).sum();
        let arrivals = self.new_arrivals(told);
        self.scaler.observe(now, concurrency, arrivals);
        let ready = told.values().filter(|told| told.is_heard).map(|told| told.ready).sum();
        let is_due = self.scaler.next_wake().is_some_and(|at| at <= now);
        let is_here = |gateway: &String| told.get(gateway.as_str()).is_some_and(|told| told.is_heard);
        let milli = told.values().map(|told| told.load.events_milli).sum();
        let demand = Demand::told(milli, told.values().map(|told| told.load.delivering).sum());
        let decided_on = (ready, stops_idle.then_some(concurrency), demand.is_zero());
        if !is_due && self.decided_on == Some(decided_on) && self.shares.keys().all(is_here) {
            return;
        }
        self.decided_on = Some(decided_on);
        let mut desired = self.scaler.decide(now, ready, demand).desired;
        if stops_idle && self.is_proved() {
            let now = f64::from(concurrency);
            let busy = demand.on_top_of(Averages { stable: now, panic: now }).stable;
            let busy = (busy / spec.target.target).ceil() as u32;
            desired = desired.min(busy.max(spec.min_scale));
        }
        let place = |told: &Told| Place {
            has: told.ready + told.load.starting,
            load: told.load.in_flight + told.load.queued,
            total: told.total,
        };
        let places = told.iter().filter(|(_, told)| told.is_heard);
        let places = places.map(|(name, told)| (*name, place(told))).collect();
        let shares = spread(desired.min(MOST_INSTANCES), &self.shares, &places);
        let some = shares.into_iter().filter(|(_, share)| *share > 0);
        self.shares = some.map(|(name, share)| (name.to_owned(), share)).collect();
    }

    fn new_arrivals(&mut self, told: &BTreeMap<&str, Told>) -> u32 {
        let mut new = 0;
        for (gateway, told) in told {
            // What came before this leader knew of the gateway is not known to have come just now.
            let before = self.arrivals.insert((*gateway).to_owned(), told.load.arrivals).unwrap_or(told.load.arrivals);
            new += told.load.arrivals.saturating_sub(before);
        }
        self.arrivals.retain(|gateway, _| told.contains_key(gateway.as_str()));
        u32::try_from(new).unwrap_or(u32::MAX)
    }
}
