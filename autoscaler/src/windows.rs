//! The two windows of a decision: a long one that holds steady and a short one that sees a burst (spec/serving.md 3.4).

use std::time::Duration;

use super::exponential::weighted_average;
use super::spec::{Aggregation, Spec};
use super::window::Window;

/// The least load that an average tells from none.
pub const LEAST_LOAD: f64 = 1e-6;

/// The load of a revision, in units of its metric, averaged over both windows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Averages {
    /// Over the stable window.
    pub stable: f64,
    /// Over the panic window.
    pub panic: f64,
}

/// The stable and the panic window. Both are given the same values.
#[derive(Debug, Clone)]
pub struct Windows {
    stable: Window,
    panic: Window,
    aggregation: Aggregation,
}

impl Windows {
    /// Two empty windows.
    #[must_use]
    pub fn new(spec: &Spec) -> Self {
        let (stable, panic) = (Window::new(spec.stable_window), Window::new(spec.panic_window()));
        Self { stable, panic, aggregation: spec.aggregation }
    }

    /// Takes other lengths and another aggregation. What is known stays, as far as it fits.
    pub fn resize(&mut self, spec: &Spec) {
        self.stable.resize(spec.stable_window);
        self.panic.resize(spec.panic_window());
        self.aggregation = spec.aggregation;
    }

    /// How many seconds the longer one holds.
    #[must_use]
    pub fn seconds(&self) -> u64 {
        self.stable.seconds().max(self.panic.seconds())
    }

    /// Says what a second's value is.
    pub fn set(&mut self, second: u64, value: f64) {
        self.stable.set(second, value);
        self.panic.set(second, value);
    }

    /// The averages as of `now`. Nothing when nothing was said for longer than the stable window: then nothing is
    /// to be decided.
    #[must_use]
    pub fn averages(&self, now: Duration) -> Option<Averages> {
        if self.stable.is_empty(now) {
            return None;
        }
        let average = match self.aggregation {
            Aggregation::Linear => Window::average,
            Aggregation::WeightedExponential => weighted_average,
        };
        Some(Averages { stable: average(&self.stable, now), panic: average(&self.panic, now) })
    }
}
