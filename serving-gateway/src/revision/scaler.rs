//! Who says how many instances there should be: this gateway alone, or all gateways by their registry's leader.

use std::time::Duration;

use crate::autoscaler::{Autoscaler, Decision, Demand, Spec};

/// What is decided elsewhere has come here after this, as a rule.
const TOLD_IN: Duration = Duration::from_secs(2);

/// What a gateway that shares its work is told of a revision.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Assigned {
    /// Instances that it should have.
    pub desired: u32,
    /// Whether the revision had its initial scale once.
    pub is_proved: bool,
}

/// Says how many instances there should be.
#[derive(Debug)]
pub enum Scaler {
    /// By what is on its way here.
    Own(Box<Autoscaler>),
    /// By what is told.
    Told(Assigned),
}

impl Scaler {
    /// Whether it is decided elsewhere.
    pub const fn is_told(&self) -> bool {
        matches!(self, Self::Told(_))
    }

    /// So many requests are on their way here or wait.
    pub fn observe(&mut self, now: Duration, concurrency: u32, arrivals: u32) {
        if let Self::Own(scaler) = self {
            scaler.observe(now, concurrency, arrivals);
        }
    }

    /// When it could say something else though nothing happens.
    pub fn next_wake(&self) -> Option<Duration> {
        match self {
            Self::Own(scaler) => scaler.next_wake(),
            Self::Told(_) => None,
        }
    }

    /// How many there should be, and why when that was found out here.
    pub fn decide(&mut self, now: Duration, ready: u32, demand: Demand) -> (u32, Option<Decision>) {
        match self {
            Self::Own(scaler) => {
                let decision = scaler.decide(now, ready, demand);
                (decision.desired, Some(decision))
            }
            Self::Told(assigned) => (assigned.desired, None),
        }
    }

    /// Whether the revision had its initial scale once.
    pub fn reached_initial_scale(&self) -> bool {
        match self {
            Self::Own(scaler) => scaler.reached_initial_scale(),
            Self::Told(assigned) => assigned.is_proved,
        }
    }

    /// How many of `desired` instances are kept although they have been idle for the time after which one is stopped.
    /// Whoever decides for all gateways has taken that time into account.
    pub fn keeps(&self, desired: u32, spec: &Spec) -> u32 {
        match self {
            // One that nobody can reach needs none (spec/serving.md, 3.7).
            Self::Own(_) => {
                if spec.reachable {
                    spec.min_scale
                } else {
                    0
                }
            }
            Self::Told(_) => desired,
        }
    }

    /// How long an instance beyond what there should be is idle before it ends. One that was started here because somebody
    /// waited is known to whoever decides a moment later only.
    pub const fn excess_after(&self) -> Duration {
        match self {
            Self::Own(_) => Duration::ZERO,
            Self::Told(_) => TOLD_IN,
        }
    }

    /// Follows another way of scaling.
    pub fn set_spec(&mut self, spec: Spec) {
        if let Self::Own(scaler) = self {
            scaler.set_spec(spec);
        }
    }
}
