//! The circuit of a target: when it keeps failing, attempts stop, and one probe at a time asks whether it is back.
//!
//! It spares a target that is down and the attempts of the events that wait for it. It never adds an attempt: a probe
//! is the next attempt of some event that was due anyhow. And it opens late: the policy of a delivery has the first
//! word. Only failures in a row, of several events, over some seconds, open it.

use std::time::Duration;

use tokio::time::Instant;

use crate::options::CircuitOptions;

/// Leave to make one attempt. Goes back with [`Circuit::succeeded`], [`Circuit::failed`] or [`Circuit::not_sent`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Permit {
    probe: bool,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Closed,
    Open { until: Instant, wait: Duration, probing: bool },
}

/// The circuit of one target.
#[derive(Debug)]
pub struct Circuit {
    options: CircuitOptions,
    state: State,
    failures: u32,
    since: Option<Instant>,
    events: Vec<u64>,
}

impl Circuit {
    /// A closed circuit.
    #[must_use]
    pub fn new(options: CircuitOptions) -> Self {
        Self { options, state: State::Closed, failures: 0, since: None, events: Vec::new() }
    }

    /// Asks for leave to make an attempt.
    ///
    /// # Errors
    /// When to ask again: the circuit is open, or a probe is out.
    pub fn admit(&mut self, now: Instant) -> Result<Permit, Instant> {
        match &mut self.state {
            State::Closed => Ok(Permit { probe: false }),
            State::Open { until, probing, .. } if !*probing && now >= *until => {
                *probing = true;
                Ok(Permit { probe: true })
            }
            State::Open { until, wait, probing } => Err(if *probing { now + *wait } else { *until }),
        }
    }

    /// Whether an attempt that was admitted earlier may still go out: not when the circuit opened since.
    #[must_use]
    pub fn still_admits(&self, permit: Permit) -> bool {
        permit.probe || !self.is_open()
    }

    /// The target answered, and not with a failure of its own. `true` when that closed the circuit.
    pub fn succeeded(&mut self) -> bool {
        let was_open = self.is_open();
        if was_open || self.failures > 0 {
            *self = Self::new(self.options);
        }
        was_open
    }

    /// An attempt failed. `event` tells events apart. `true` when that opened the circuit.
    pub fn failed(&mut self, permit: Permit, event: u64, now: Instant) -> bool {
        match &mut self.state {
            State::Open { until, wait, probing } => {
                // Attempts that were out when the circuit opened say nothing new.
                if permit.probe {
                    *wait = (*wait * 2).min(self.options.last_probe);
                    *until = now + *wait;
                    *probing = false;
                }
                false
            }
            State::Closed => {
                self.failures = self.failures.saturating_add(1);
                if self.events.len() < self.options.events && !self.events.contains(&event) {
                    self.events.push(event);
                }
                let since = *self.since.get_or_insert(now);
                let opens = self.failures >= self.options.failures
                    && self.events.len() >= self.options.events
                    && now.saturating_duration_since(since) >= self.options.span;
                if opens {
                    let wait = self.options.first_probe;
                    self.state = State::Open { until: now + wait, wait, probing: false };
                }
                opens
            }
        }
    }

    /// The attempt was not made after all.
    pub fn not_sent(&mut self, permit: Permit) {
        if let State::Open { probing, .. } = &mut self.state
            && permit.probe
        {
            *probing = false;
        }
    }

    /// When the next probe is due, if attempts are stopped. One that is out is as good as due now.
    #[must_use]
    pub fn open_until(&self, now: Instant) -> Option<Instant> {
        match self.state {
            State::Closed => None,
            State::Open { until, .. } => Some(until.max(now)),
        }
    }

    /// Whether attempts are stopped, but for probes.
    #[must_use]
    pub fn is_open(&self) -> bool {
        matches!(self.state, State::Open { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPEN_AFTER: Duration = Duration::from_secs(5);
    const FIRST_PROBE: Duration = Duration::from_secs(1);
    const LAST_PROBE: Duration = Duration::from_secs(30);
    const PERMIT: Permit = Permit { probe: false };

    fn opened(start: Instant) -> Circuit {
        let mut circuit = Circuit::new(CircuitOptions::default());
        for n in 0..19 {
            assert!(!circuit.failed(PERMIT, n % 7, start));
        }
        assert!(circuit.failed(PERMIT, 3, start + OPEN_AFTER));
        circuit
    }

    #[tokio::test]
    async fn it_opens_after_many_failures_of_several_events_over_seconds() {
        let start = Instant::now();
        // (failures, events, seconds, opens)
        let rows = [
            (20, 5, 5, true),
            (19, 5, 5, false),
            (20, 4, 5, false),
            (20, 5, 4, false),
            (4, 4, 60, false),
            (500, 1, 60, false),
        ];
        for (failures, events, seconds, want) in rows {
            let mut circuit = Circuit::new(CircuitOptions::default());
            for n in 0..failures {
                let last = n == failures - 1;
                circuit.failed(PERMIT, n % events, start + Duration::from_secs(if last { seconds } else { 0 }));
            }
            assert_eq!(circuit.is_open(), want, "{failures} failures of {events} events in {seconds} s");
        }
    }

    #[tokio::test]
    async fn one_success_starts_the_count_again() {
        let start = Instant::now();
        let mut circuit = Circuit::new(CircuitOptions::default());
        for n in 0..100 {
            circuit.failed(PERMIT, n, start + Duration::from_secs(n));
            if n % 19 == 0 {
                assert!(!circuit.succeeded());
            }
            assert!(!circuit.is_open(), "after {n}");
        }
    }

    #[tokio::test]
    async fn probes_go_one_at_a_time_with_growing_waits() {
        let start = Instant::now();
        let mut circuit = opened(start);
        let mut now = start + OPEN_AFTER;
        assert_eq!(circuit.admit(now), Err(now + FIRST_PROBE));
        for wait in [1, 2, 4, 8, 16, 30, 30] {
            assert!(circuit.admit(now).is_err(), "too early for the probe after {wait} s");
            now += Duration::from_secs(wait);
            let probe = circuit.admit(now).unwrap();
            assert!(circuit.admit(now).is_err(), "a second probe beside the one after {wait} s");
            circuit.failed(PERMIT, 1, now);
            assert!(circuit.admit(now).is_err(), "a late failure is no probe");
            assert!(!circuit.failed(probe, 1, now));
        }
        now += LAST_PROBE;
        let probe = circuit.admit(now).unwrap();
        assert!(circuit.still_admits(probe) && !circuit.still_admits(PERMIT));
        assert!(circuit.succeeded());
        assert!(circuit.admit(now).is_ok() && circuit.admit(now).is_ok());
    }

    #[tokio::test]
    async fn a_probe_that_was_not_sent_makes_room_for_another() {
        let start = Instant::now();
        let mut circuit = opened(start);
        let now = start + OPEN_AFTER + FIRST_PROBE;
        let probe = circuit.admit(now).unwrap();
        circuit.not_sent(PERMIT);
        assert!(circuit.admit(now).is_err());
        circuit.not_sent(probe);
        assert!(circuit.admit(now).is_ok());
    }
}
