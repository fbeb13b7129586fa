//! What holds for every sequence of what may happen to a revision.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::*;

/// What happens after a pause in milliseconds.
#[derive(Debug, Clone)]
enum Happens {
    Observe { concurrency: u32, arrivals: u32 },
    Ready(u32),
    Events(u64),
    Reachable(bool),
}

fn any_happenings() -> impl Strategy<Value = Vec<(u64, Happens)>> {
    let pause = prop_oneof![Just(0), 0_u64..150, 0_u64..3_000, 0_u64..90_000];
    let concurrency = prop_oneof![Just(0), 0_u32..4, 0_u32..300];
    let happens = prop_oneof![
        6 => (concurrency, 0_u32..200).prop_map(|(concurrency, arrivals)| Happens::Observe { concurrency, arrivals }),
        2 => (0_u32..12).prop_map(Happens::Ready),
        1 => prop_oneof![Just(0), 0_u64..2_000].prop_map(Happens::Events),
        1 => any::<bool>().prop_map(Happens::Reachable),
    ];
    vec((pause, happens), 1..40)
}

fn any_spec() -> impl Strategy<Value = Spec> {
    let numbers = (1_u32..90, prop_oneof![Just(2.0), 1.1_f64..20.0], 1_u32..4, 0_u32..4, option::of(4_u32..30));
    let times = (6_u64..70, prop_oneof![Just(0), 0_u64..100], 1_u64..60, prop_oneof![Just(0), 0_u64..100]);
    let choices = (any::<bool>(), any::<bool>(), prop_oneof![9 => Just(true), 1 => Just(false)], 0_u32..4);
    (numbers, times, choices).prop_map(|(numbers, times, choices)| {
        let (target, down, activation_scale, min_scale, max_scale) = numbers;
        let (window, delay, grace, retention) = times;
        let (rate, weighted, enable_scale_to_zero, initial_scale) = choices;
        Spec {
            metric: if rate { Metric::RequestsPerSecond } else { Metric::Concurrency },
            target: Target { target: f64::from(target), total: f64::from(target) * 1.5 },
            max_scale_down_rate: down,
            activation_scale,
            min_scale: if min_scale > 1 { min_scale } else { 0 },
            max_scale,
            stable_window: seconds(window),
            scale_down_delay: seconds(delay),
            aggregation: if weighted { Aggregation::WeightedExponential } else { Aggregation::Linear },
            scale_to_zero_grace_period: seconds(grace),
            scale_to_zero_retention_period: seconds(retention),
            enable_scale_to_zero,
            initial_scale,
            ..Spec::default()
        }
    })
}

fn any_beginning() -> impl Strategy<Value = Beginning> {
    prop_oneof![Just(Beginning::New), (0_u32..6).prop_map(|ready| Beginning::Known { ready })]
}

/// Lets everything happen, with a decision whenever one is due, and looks at each.
fn follow(
    spec: Spec,
    beginning: Beginning,
    happenings: Vec<(u64, Happens)>,
    mut look: impl FnMut(&Shell, Decision) -> Result<(), TestCaseError>,
) -> Result<(), TestCaseError> {
    let mut shell = Shell::new(spec, beginning);
    for (pause, happens) in happenings {
        let until = shell.now + millis(pause);
        while let Some(wake) = shell.scaler.next_wake().filter(|wake| *wake <= until) {
            shell.now = shell.now.max(wake);
            let decision = shell.decide();
            look(&shell, decision)?;
        }
        shell.now = until;
        let must_decide = match happens {
            Happens::Observe { concurrency, arrivals } => {
                shell.scaler.observe(until, concurrency, arrivals);
                false
            }
            Happens::Ready(ready) => {
                shell.ready = ready;
                true
            }
            Happens::Events(events) => {
                shell.demand = Demand::new(0.0, millis(70), Backlog { events, ..Backlog::default() });
                true
            }
            Happens::Reachable(reachable) => {
                let spec = Spec { reachable, ..shell.scaler.spec().clone() };
                shell.scaler.set_spec(spec);
                true
            }
        };
        if must_decide {
            let decision = shell.decide();
            look(&shell, decision)?;
        }
    }
    Ok(())
}

proptest! {
    /// If nothing happens, no decision before the next wake comes to another number, whenever it is made. Where the
    /// latest period is not over yet, which moves the average, the next wake is its end.
    #[test]
    fn nothing_changes_before_the_next_wake(
        spec in any_spec(), beginning in any_beginning(), happenings in any_happenings(),
    ) {
        follow(spec, beginning, happenings, |shell, decision| {
            if let Some(due) = shell.scaler.meter.due() {
                prop_assert!(due <= shell.now + GAP && shell.scaler.next_wake() <= Some(due));
                return Ok(());
            }
            let until = shell.scaler.next_wake().unwrap_or(shell.now + seconds(10_000));
            let left = until.saturating_sub(shell.now);
            for part in [0, 1, 3, 50, 99, 100] {
                let at = shell.now + (left * part / 100).saturating_sub(Duration::from_nanos(1));
                let again = shell.scaler.clone().decide(at, shell.ready, shell.demand);
                prop_assert_eq!(again.desired, decision.desired, "{:?} at {:?}, not {:?} at {:?}",
                    again, at, decision, shell.now);
            }
            Ok(())
        })?;
    }

    /// If nothing happens, there is an end of wakes, and between two of them there is time.
    #[test]
    fn wakes_come_to_an_end(spec in any_spec(), beginning in any_beginning(), happenings in any_happenings()) {
        let mut last = None;
        follow(spec, beginning, happenings, |shell, _| {
            last = Some((shell.scaler.clone(), shell.now, shell.ready));
            Ok(())
        })?;
        let Some((mut scaler, mut now, ready)) = last else { return Ok(()) };
        scaler.observe(now, 0, 0);
        scaler.decide(now, ready, Demand::default());
        let mut wakes = 0;
        while let Some(wake) = scaler.next_wake() {
            prop_assert!(wake > now, "a wake at {wake:?}, decided at {now:?}");
            now = wake;
            scaler.decide(now, ready, Demand::default());
            wakes += 1;
            prop_assert!(wakes < 500, "still awake at {now:?}");
        }
    }

    /// Of what is not asked to come down by a bound or for want of load, numbers fall once in a tick at most.
    #[test]
    fn numbers_keep_the_bounds_and_fall_at_ticks(
        spec in any_spec(), beginning in any_beginning(), happenings in any_happenings(),
    ) {
        let (max, stable_window) = (spec.max_scale.unwrap_or(u32::MAX), spec.stable_window);
        let mut before: Option<(Duration, Decision)> = None;
        follow(spec, beginning, happenings, |shell, decision| {
            let min = if shell.scaler.spec().reachable { shell.scaler.spec().min_scale } else { 0 };
            prop_assert!((min..=max).contains(&decision.desired), "{decision:?}");
            let is_busy = shell.scaler.meter.is_busy() || !shell.demand.is_zero();
            prop_assert!(!is_busy || decision.desired > 0, "{decision:?} while there is something to do");
            // P6: none only after a stable window with nothing to do.
            let quiet = shell.now - shell.scaler.meter.last_active();
            let was_at_zero = before.is_none_or(|(_, before)| before.desired == 0);
            let timed_out = decision.reason == Reason::Idle(Idle::TimedOut);
            prop_assert!(decision.desired > 0 || was_at_zero || timed_out || quiet >= stable_window, "{decision:?}");
            if let Some((at, before)) = before
                && tick(at) == tick(shell.now)
                && before.reason == Reason::Load
            {
                let now = shell.now;
                prop_assert!(decision.desired >= before.desired, "{before:?} at {at:?}, {decision:?} at {now:?}");
            }
            before = Some((shell.now, decision));
            Ok(())
        })?;
    }
}
