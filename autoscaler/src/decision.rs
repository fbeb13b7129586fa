//! What the averages ask for: Knative's decision (spec/serving.md 3.6), rule by rule.

use std::time::Duration;

use super::max_window::MaxWindow;
use super::spec::Spec;
use super::windows::Averages;

/// The length of a bucket of the delay window: the time between two decisions of Knative's.
const DELAY_BUCKET_SECONDS: u64 = 2;

/// What one decision came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scale {
    /// How many instances there should be, before the bounds of the revision.
    pub desired: u32,
    /// How much more load what is ready could take.
    pub excess_burst_capacity: i64,
    /// Whether the short window decides.
    pub panicking: bool,
    /// Whether it is more than the load asks for, because a lower number has not been enough for long enough.
    pub is_delayed: bool,
}

/// What decisions about one revision remember.
#[derive(Debug, Clone)]
pub struct Decider {
    /// When the load was over the threshold last, while panicking.
    panic_since: Option<Duration>,
    /// The most that was decided during this panic.
    max_panic: u32,
    delay: Option<MaxWindow>,
    /// What the last decision found: the number before the delay, and whether the load was over the threshold.
    last: Option<(u32, bool)>,
}

impl Decider {
    /// For a revision of which so many instances are ready. If there are several, it begins in panic: without a past
    /// nothing says that they are too many.
    #[must_use]
    pub fn new(now: Duration, ready: u32, spec: &Spec) -> Self {
        let panic_since = (ready > 1).then_some(now);
        Self { panic_since, max_panic: ready, delay: delay_window(spec), last: None }
    }

    /// Begins another delay, with nothing to look back on.
    pub fn delay_anew(&mut self, spec: &Spec) {
        self.delay = delay_window(spec);
    }

    /// Until now nothing changed since the last decision: it would have been the same all the time. Knative decides
    /// every 2 seconds and need not say so.
    pub fn held_until(&mut self, now: Duration) {
        let Some((desired, was_over)) = self.last else { return };
        if was_over {
            self.panic_since = Some(now);
        }
        if let Some(delay) = &mut self.delay {
            delay.record(now, desired);
        }
    }

    /// Decides.
    pub fn step(&mut self, now: Duration, ready: u32, load: Averages, spec: &Spec) -> Scale {
        let from = f64::from(ready.max(1));
        let wanted = (load.stable / spec.target.target).ceil();
        let wanted_in_panic = (load.panic / spec.target.target).ceil();
        let limits = Limits::new(from, spec);

        let is_over = wanted_in_panic / from >= spec.panic_threshold;
        if is_over {
            self.panic_since = Some(now);
        } else if self.panic_ends(spec.stable_window).is_some_and(|end| end < now) {
            self.panic_since = None;
            self.max_panic = 0;
        }

        let mut desired = limits.apply(wanted);
        if self.panic_since.is_some() {
            self.max_panic = self.max_panic.max(desired).max(limits.apply(wanted_in_panic));
            desired = self.max_panic;
        }
        self.last = Some((desired, is_over));
        let delayed = match &mut self.delay {
            Some(delay) if spec.reachable => delay.record(now, desired),
            _ => desired,
        };
        Scale {
            desired: delayed,
            excess_burst_capacity: spec.burst_capacity.excess(ready, spec.target.total, load.panic),
            panicking: self.panic_since.is_some(),
            is_delayed: delayed > desired,
        }
    }

    /// The last moment of this panic, if the load is not over the threshold again.
    #[must_use]
    pub fn panic_ends(&self, stable_window: Duration) -> Option<Duration> {
        Some(self.panic_since? + stable_window)
    }

    /// When the delay lets a lower number through, if nothing else changes.
    #[must_use]
    pub fn delay_ends(&self) -> Option<Duration> {
        self.delay.as_ref()?.falls_at()
    }
}

/// How far one decision may go.
struct Limits {
    down: f64,
    up: f64,
    activation_scale: u32,
}

impl Limits {
    fn new(from: f64, spec: &Spec) -> Self {
        let down = if spec.reachable { (from / spec.max_scale_down_rate).floor() } else { 0.0 };
        Self { down, up: (from * spec.max_scale_up_rate).ceil(), activation_scale: spec.activation_scale }
    }

    fn apply(&self, wanted: f64) -> u32 {
        let limited = wanted.max(self.down).min(self.up) as u32;
        if wanted > 0.0 { limited.max(self.activation_scale) } else { limited }
    }
}

fn delay_window(spec: &Spec) -> Option<MaxWindow> {
    (!spec.scale_down_delay.is_zero()).then(|| MaxWindow::new(spec.scale_down_delay, DELAY_BUCKET_SECONDS))
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
