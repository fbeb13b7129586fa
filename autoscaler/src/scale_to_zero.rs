//! When the last instance may go (spec/serving.md 3.8).
//!
//! Knative hands the path over to its activator first: it probes whether that answers, and waits for the change to
//! reach every machine. The gateway always is the path, so nothing is probed and nothing is waited for. What stays:
//!
//! - An instance that is being activated is left to it, unless that takes longer than the progress deadline and 30 s.
//! - An active revision keeps one instance for a stable window after it became active and after it had anything to do.
//! - The retention period comes on top. A revision that no Route leads to has none.
//! - The grace period, which in Knative counts from when the activator is in the path, counts from when the gateway has
//!   been watching the revision. It delays nothing for a revision that is watched for longer.

use std::time::Duration;

use super::spec::Spec;

/// How much longer than its progress deadline an activation may take.
const ACTIVATION_MARGIN: Duration = Duration::from_secs(30);

/// Why one instance is kept though the load asks for none, or why none is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Idle {
    /// Kept: `enable-scale-to-zero` is off.
    Disabled,
    /// Kept: it is not ready yet.
    Activating,
    /// Kept: the stable window is not over.
    Active,
    /// Kept: the grace period or the retention period is not over.
    Retained,
    /// None: there is nothing to do.
    NoTraffic,
    /// None: it did not become ready in time.
    TimedOut,
}

impl Idle {
    /// How many instances there should be.
    #[must_use]
    pub fn scale(self) -> u32 {
        match self {
            Self::Disabled | Self::Activating | Self::Active | Self::Retained => 1,
            Self::NoTraffic | Self::TimedOut => 0,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Activating,
    Active,
    Inactive,
    Zero(Idle),
}

/// How far a revision is on its way to zero, or back.
#[derive(Debug, Clone)]
pub struct ScaleToZero {
    watched_since: Duration,
    phase: Phase,
    since: Duration,
}

impl ScaleToZero {
    /// A revision that is watched from now on. It is being activated unless some of it are ready.
    #[must_use]
    pub fn activating(now: Duration, ready: u32) -> Self {
        let phase = if ready > 0 { Phase::Active } else { Phase::Activating };
        Self { watched_since: now, phase, since: now }
    }

    /// A revision that is watched from now on and is at zero.
    #[must_use]
    pub fn at_zero(now: Duration) -> Self {
        Self { watched_since: now, phase: Phase::Zero(Idle::NoTraffic), since: now }
    }

    /// The load asks for some.
    pub fn busy(&mut self, now: Duration, ready: u32, spec: &Spec) {
        let is_ready = ready >= spec.min_scale.max(1);
        self.enter(if is_ready { Phase::Active } else { Phase::Activating }, now);
    }

    /// The load asks for none. `last_active` is when there was anything to do. Also says when to ask again, if the
    /// answer becomes another by time alone.
    pub fn idle(&mut self, now: Duration, ready: u32, last_active: Duration, spec: &Spec) -> (Idle, Option<Duration>) {
        match self.phase {
            Phase::Activating if ready > 0 => self.enter(Phase::Active, now),
            // It had so little to do meanwhile that no average shows it.
            Phase::Inactive if last_active > self.since => self.enter(Phase::Active, last_active),
            _ => {}
        }
        if let Phase::Zero(why) = self.phase {
            return (why, None);
        }
        if !spec.enable_scale_to_zero {
            return (Idle::Disabled, None);
        }
        if self.phase == Phase::Activating {
            let until = self.since + spec.progress_deadline + ACTIVATION_MARGIN;
            return self.keep(now, until, Idle::Activating, Idle::TimedOut);
        }
        if self.phase == Phase::Active {
            let until = self.since.max(last_active) + spec.stable_window;
            if now < until {
                return (Idle::Active, Some(until));
            }
            self.enter(Phase::Inactive, until);
        }
        let retention = if spec.reachable { spec.scale_to_zero_retention_period } else { Duration::ZERO };
        let until = (self.since + retention).max(self.watched_since + spec.scale_to_zero_grace_period);
        self.keep(now, until, Idle::Retained, Idle::NoTraffic)
    }

    fn keep(&mut self, now: Duration, until: Duration, kept: Idle, gone: Idle) -> (Idle, Option<Duration>) {
        if now < until {
            return (kept, Some(until));
        }
        self.enter(Phase::Zero(gone), now);
        (gone, None)
    }

    fn enter(&mut self, phase: Phase, now: Duration) {
        if self.phase != phase {
            (self.phase, self.since) = (phase, now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: u64) -> Duration {
        Duration::from_secs(second)
    }

    /// One question: the second, what is ready, when there was something to do last, the answer and when to ask again.
    type Row = (u64, u32, u64, Idle, Option<u64>);

    fn ask(what: &str, state: &mut ScaleToZero, spec: &Spec, rows: &[Row]) {
        for row in rows {
            let (second, ready, last_active, want, again) = *row;
            let got = state.idle(at(second), ready, at(last_active), spec);
            assert_eq!(got, (want, again.map(at)), "{what}, {row:?}");
        }
    }

    #[test]
    fn the_last_instance_stays_for_a_stable_window() {
        let mut state = ScaleToZero::activating(at(0), 1);
        let rows = [
            (10, 1, 0, Idle::Active, Some(60)),
            (59, 1, 5, Idle::Active, Some(65)),
            (64, 1, 5, Idle::Active, Some(65)),
            (65, 1, 5, Idle::NoTraffic, None),
            (66, 1, 5, Idle::NoTraffic, None),
            (999, 0, 5, Idle::NoTraffic, None),
        ];
        ask("defaults", &mut state, &Spec::default(), &rows);
    }

    #[test]
    fn what_has_just_become_ready_stays_for_a_stable_window_too() {
        let mut state = ScaleToZero::at_zero(at(0));
        state.busy(at(100), 0, &Spec::default());
        let rows = [
            (110, 0, 101, Idle::Activating, Some(730)),
            (300, 1, 101, Idle::Active, Some(360)),
            (360, 1, 101, Idle::NoTraffic, None),
        ];
        ask("a slow start", &mut state, &Spec::default(), &rows);
    }

    #[test]
    fn an_activation_ends_after_the_progress_deadline() {
        let spec = Spec { progress_deadline: at(100), ..Spec::default() };
        let mut state = ScaleToZero::activating(at(0), 0);
        let rows = [
            (129, 0, 0, Idle::Activating, Some(130)),
            (130, 0, 0, Idle::TimedOut, None),
            (131, 0, 0, Idle::TimedOut, None),
        ];
        ask("nothing becomes ready", &mut state, &spec, &rows);
        state.busy(at(200), 0, &spec);
        ask("load comes again", &mut state, &spec, &[(201, 0, 200, Idle::Activating, Some(330))]);
    }

    #[test]
    fn what_is_ready_in_time_is_counted_against_min_scale() {
        let spec = Spec { min_scale: 3, ..Spec::default() };
        let mut state = ScaleToZero::activating(at(0), 0);
        for (ready, want) in [(2, Phase::Activating), (3, Phase::Active), (2, Phase::Activating)] {
            state.busy(at(1), ready, &spec);
            assert_eq!(state.phase, want, "{ready} ready");
        }
    }

    /// The stable window is 6 s, so that the other periods show.
    #[test]
    fn retention_comes_on_top_and_grace_counts_from_the_beginning() {
        // (retention, grace, reachable, watched since, last active, gone at)
        let rows = [
            (0, 30, true, 0, 100, 106),
            (0, 30, true, 100, 101, 130),
            (0, 30, true, 100, 124, 130),
            (0, 30, true, 100, 125, 131),
            (20, 30, true, 0, 100, 126),
            (20, 30, false, 0, 100, 106),
            (20, 30, true, 100, 101, 130),
            (20, 5, true, 100, 101, 127),
        ];
        for row in rows {
            let (retention, grace, reachable, since, last_active, gone) = row;
            let spec = Spec {
                stable_window: at(6),
                scale_to_zero_retention_period: at(retention),
                scale_to_zero_grace_period: at(grace),
                reachable,
                ..Spec::default()
            };
            let mut state = ScaleToZero::activating(at(since), 1);
            for second in last_active..=gone {
                let (idle, again) = state.idle(at(second), 1, at(last_active), &spec);
                assert_eq!(idle.scale() == 0, second >= gone, "{row:?} at {second} s: {idle:?}");
                assert!(again.is_none_or(|again| again > at(second)), "{row:?} at {second} s");
            }
        }
    }

    #[test]
    fn the_least_activity_begins_another_stable_window() {
        let spec = Spec { scale_to_zero_retention_period: at(50), ..Spec::default() };
        let mut state = ScaleToZero::activating(at(0), 1);
        let rows = [
            (60, 1, 0, Idle::Retained, Some(110)),
            (80, 1, 70, Idle::Active, Some(130)),
            (130, 1, 70, Idle::Retained, Some(180)),
            (180, 1, 70, Idle::NoTraffic, None),
        ];
        ask("during the retention period", &mut state, &spec, &rows);
    }

    #[test]
    fn one_stays_where_scale_to_zero_is_off() {
        let spec = Spec { enable_scale_to_zero: false, ..Spec::default() };
        let mut state = ScaleToZero::activating(at(0), 1);
        ask("off", &mut state, &spec, &[(10, 1, 0, Idle::Disabled, None), (99_999, 1, 0, Idle::Disabled, None)]);
    }

    #[test]
    fn what_is_at_zero_is_not_woken_by_being_watched() {
        let mut state = ScaleToZero::at_zero(at(50));
        ask("a new leader", &mut state, &Spec::default(), &[(50, 0, 50, Idle::NoTraffic, None)]);
    }
}
