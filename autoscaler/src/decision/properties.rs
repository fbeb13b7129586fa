//! What holds for every sequence of decisions (spec/serving.md 3.12, E): P1 to P4.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::target::Target;

fn any_spec() -> impl Strategy<Value = Spec> {
    let numbers = (1_u32..200, 1.01_f64..20.0, 1.01_f64..20.0, 1.1_f64..10.0);
    let choices = (6_u64..120, 1_u32..6, any::<bool>());
    (numbers, choices).prop_map(|((target, up, down, threshold), (window, activation_scale, reachable))| Spec {
        target: Target { target: f64::from(target), total: f64::from(target) * 1.5 },
        max_scale_up_rate: up,
        max_scale_down_rate: down,
        panic_threshold: threshold,
        stable_window: Duration::from_secs(window),
        activation_scale,
        reachable,
        ..Spec::default()
    })
}

/// A pause before it in milliseconds, what is ready, and the averages.
type Step = (u64, u32, f64, f64);

fn any_steps() -> impl Strategy<Value = Vec<Step>> {
    let load = || prop_oneof![Just(0.0), 0.0..50.0, 0.0..5_000.0_f64];
    vec((0_u64..40_000, 0_u32..60, load(), load()), 1..40)
}

proptest! {
    #[test]
    fn decisions_keep_the_rules(spec in any_spec(), first_ready in 0_u32..60, steps in any_steps()) {
        let mut decider = Decider::new(Duration::ZERO, first_ready, &spec);
        let mut now = Duration::ZERO;
        // The most that a panic may have asked for so far, and when the load was over the threshold last.
        let mut panic_desired = (first_ready > 1).then_some(first_ready);
        let mut over_at = (first_ready > 1).then_some(Duration::ZERO);
        for (pause, ready, stable, panic) in steps {
            now += Duration::from_millis(pause);
            let scale = decider.step(now, ready, Averages { stable, panic }, &spec);
            let from = f64::from(ready.max(1));
            if (panic / spec.target.target).ceil() / from >= spec.panic_threshold {
                over_at = Some(now);
            }

            // P1: while panicking it never falls.
            if let (true, Some(before)) = (scale.panicking, panic_desired) {
                prop_assert!(scale.desired >= before, "P1: {before} and then {}", scale.desired);
            }
            // P2: it grows by the rate at most, unless a smaller activation scale or an ongoing panic asks for more.
            let up = ((from * spec.max_scale_up_rate).ceil() as u32).max(spec.activation_scale);
            let up = if scale.panicking { up.max(panic_desired.unwrap_or(0)) } else { up };
            prop_assert!(scale.desired <= up, "P2: {} above {up}", scale.desired);
            // P3: it shrinks by the rate at most.
            let down = (from / spec.max_scale_down_rate).floor() as u32;
            prop_assert!(!spec.reachable || scale.desired >= down, "P3: {} below {down}", scale.desired);
            // P4: a panic ends a stable window after the load was over the threshold last, and no sooner.
            let lasts = over_at.is_some_and(|over| over + spec.stable_window >= now);
            prop_assert_eq!(scale.panicking, lasts, "P4");

            panic_desired = scale.panicking.then_some(scale.desired);
        }
    }

    /// Whatever the load was, with a delay the number is the largest of those that were right during the delay.
    #[test]
    fn a_delay_never_hides_a_larger_number(spec in any_spec(), steps in any_steps(), delay in 1_u64..300) {
        let plain = Spec { reachable: true, ..spec };
        let delayed = Spec { scale_down_delay: Duration::from_secs(delay), ..plain.clone() };
        let mut without = Decider::new(Duration::ZERO, 0, &plain);
        let mut with = Decider::new(Duration::ZERO, 0, &delayed);
        let mut now = Duration::ZERO;
        let mut past = Vec::new();
        for (pause, ready, stable, panic) in steps {
            now += Duration::from_millis(pause);
            let load = Averages { stable, panic };
            let right = without.step(now, ready, load, &plain).desired;
            let got = with.step(now, ready, load, &delayed).desired;
            past.push((now, right));
            let within = |age: Duration| past.iter().filter(|(at, _)| *at + age >= now).map(|(_, right)| *right).max();
            // Buckets of 2 s: it looks back up to 2 s less or more.
            let bucket = Duration::from_secs(DELAY_BUCKET_SECONDS);
            let delay = delayed.scale_down_delay;
            prop_assert!(Some(got) >= within(delay.saturating_sub(bucket)), "{got} hides one");
            prop_assert!(Some(got) <= within(delay + bucket), "{got} was right too long ago");
        }
    }
}
