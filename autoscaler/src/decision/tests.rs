//! spec/serving.md 3.12, tables B and C.

use super::*;
use crate::burst::BurstCapacity;
use crate::target::Target;

/// The tables' own settings: 75 % utilization, rates of 10, threshold 2.
fn harness(target: f64, burst: f64) -> Spec {
    Spec {
        target: Target { target, total: target / 0.75 },
        burst_capacity: if burst < 0.0 { BurstCapacity::Unlimited } else { BurstCapacity::Of(burst) },
        max_scale_up_rate: 10.0,
        max_scale_down_rate: 10.0,
        ..Spec::default()
    }
}

fn at(second: u64) -> Duration {
    Duration::from_secs(second)
}

fn load(stable: f64, panic: f64) -> Averages {
    Averages { stable, panic }
}

/// A decider that remembers nothing.
fn fresh(spec: &Spec) -> Decider {
    Decider::new(at(0), 0, spec)
}

#[test]
fn single_decisions_follow_table_b() {
    // (row, spec, ready, stable, panic, desired, excess burst capacity, panicking)
    let slow_up = Spec { max_scale_up_rate: 1.1, ..harness(1.0, 1_982.0) };
    let slow_down = Spec { max_scale_down_rate: 1.1, ..harness(10.0, 1_982.0) };
    let unreachable = Spec { reachable: false, ..slow_down.clone() };
    let activation = Spec { activation_scale: 2, ..harness(10.0, 75.0) };
    let rows = [
        (1, harness(10.0, 100.0), 1, 0.0, 0.0, 0, -87, false),
        (2, harness(181.0, -1.0), 1, 21.0, 26.0, 1, -1, false),
        (3, harness(10.0, 0.0), 1, 50.0, 49.0, 5, 0, true),
        (4, harness(10.0, 100.0), 1, 50.0, 50.0, 5, -137, true),
        (7, harness(10.0, 100.0), 5, 50.0, 50.0, 5, -84, false),
        (8, slow_up, 2, 3.0, 3.1, 3, -1_983, true),
        (9, slow_down, 100, 1.0, 1.0, 90, -650, false),
        (10, unreachable, 100, 1.0, 1.0, 1, -650, false),
        (11, harness(10.0, 84.0), 1, 50.0, 100.0, 10, -171, true),
        (12, harness(10.0, 81.0), 0, 1_000.0, 888.0, 10, -969, true),
        (13, activation.clone(), 1, 0.0, 0.0, 0, -62, false),
        (13, activation, 1, 1.0, 0.0, 2, -62, false),
    ];
    for (row, spec, ready, stable, panic, desired, excess_burst_capacity, panicking) in rows {
        let scale = fresh(&spec).step(at(100), ready, load(stable, panic), &spec);
        let want = Scale { desired, excess_burst_capacity, panicking, is_delayed: false };
        assert_eq!(scale, want, "row {row}, stable {stable}");
    }
}

/// Table B, rows 5 and 6: a panic that has asked for 5 so far.
#[test]
fn a_panic_goes_on_as_in_table_b() {
    let spec = harness(1.0, 100.0);
    for (row, stable, want) in [(5, 50.0, 50), (6, 20.0, 30)] {
        let mut decider = fresh(&spec);
        (decider.panic_since, decider.max_panic) = (Some(at(90)), 5);
        let scale = decider.step(at(100), 5, load(stable, 30.0), &spec);
        assert_eq!((scale.desired, scale.excess_burst_capacity, scale.panicking), (want, -124, true), "row {row}");
    }
}

/// One decision of a sequence: the second, what is ready, the averages, what is to be decided, and since when a panic
/// goes on after it.
type Step = (u64, u32, (f64, f64), u32, Option<u64>);

fn follow(row: &str, spec: &Spec, steps: &[Step]) -> Vec<Scale> {
    let mut decider = fresh(spec);
    let mut scales = Vec::new();
    for step in steps {
        let (second, ready, (stable, panic), want, panic_since) = *step;
        let scale = decider.step(at(second), ready, load(stable, panic), spec);
        assert_eq!((scale.desired, decider.panic_since), (want, panic_since.map(at)), "row {row}, {step:?}");
        scales.push(scale);
    }
    scales
}

#[test]
fn sequences_follow_table_c() {
    let spec = harness(1.0, 98.0);
    let first: Step = (0, 10, (11.0, 25.0), 25, Some(0));
    let scales = follow("15", &spec, &[first, (30, 40, (30.0, 41.0), 41, Some(0)), (62, 55, (50.0, 56.0), 50, None)]);
    assert_eq!(scales[2].excess_burst_capacity, -81, "row 15");
    follow("16", &spec, &[first, (30, 40, (30.0, 80.0), 80, Some(30))]);

    let spec = harness(10.0, 100.0);
    let steps = [
        (0, 1, (100.0, 100.0), 10, Some(0)),
        (0, 10, (100.0, 1_000.0), 100, Some(0)),
        (30, 10, (1.0, 1.0), 100, Some(0)),
        (61, 10, (1.0, 1.0), 1, None),
    ];
    follow("17", &spec, &steps);
    follow("18", &spec, &[(0, 1, (1_000.0, 1_001.0), 10, Some(0)), (1, 10, (1_000.0, 1_001.0), 100, Some(1))]);
    follow("19", &spec, &[(0, 100, (1.0, 1.0), 10, None), (2, 10, (1.0, 1.0), 1, None)]);

    let steps = [
        (0, 1, (6.0, 6.0), 6, Some(0)),
        (2, 6, (36.0, 36.0), 36, Some(2)),
        (4, 36, (216.0, 216.0), 216, Some(4)),
        (6, 216, (1_296.0, 1_296.0), 1_296, Some(6)),
        (8, 1_296, (1_296.0, 1_296.0), 1_296, Some(6)),
    ];
    follow("20", &harness(1.0, 101.0), &steps);
}

#[test]
fn a_lower_number_waits_for_the_delay_as_in_rows_21_and_22() {
    let no_panic = Spec { panic_threshold: 1e9, ..harness(10.0, 100.0) };
    let delayed = Spec { scale_down_delay: Duration::from_secs(300), ..no_panic.clone() };
    let steps: Vec<Step> = [
        (2, 40.0, 4),
        (300, 0.0, 4),
        (302, 0.0, 0),
        (540, 40.0, 4),
        (600, 30.0, 4),
        (660, 0.0, 4),
        (840, 0.0, 3),
        (900, 0.0, 0),
    ]
    .map(|(second, load, want)| (second, 4, (load, load), want, None))
    .to_vec();
    follow("21", &delayed, &steps);
    follow("22", &no_panic, &[(0, 4, (40.0, 40.0), 4, None), (2, 4, (20.0, 20.0), 2, None)]);
}

#[test]
fn a_delayed_number_is_told_from_one_that_is_needed() {
    let spec = Spec { scale_down_delay: Duration::from_secs(60), ..harness(10.0, 100.0) };
    let mut decider = fresh(&spec);
    for (second, stable, want) in [(0, 40.0, false), (2, 30.0, true), (4, 40.0, false), (64, 10.0, false)] {
        let scale = decider.step(at(second), 4, load(stable, stable), &spec);
        assert_eq!(scale.is_delayed, want, "at {second} s");
    }
}

#[test]
fn an_unreachable_revision_is_not_delayed() {
    let spec = Spec { scale_down_delay: Duration::from_secs(300), ..harness(10.0, 100.0) };
    let mut decider = fresh(&spec);
    decider.step(at(0), 4, load(40.0, 40.0), &spec);
    let spec = Spec { reachable: false, ..spec };
    assert_eq!(decider.step(at(2), 4, load(0.0, 0.0), &spec).desired, 0);
}

/// Without a past nothing says that what is ready is too much.
#[test]
fn several_that_are_ready_stay_for_a_stable_window() {
    let spec = harness(10.0, 100.0);
    for (ready, second, want) in [(1, 0, 0), (7, 0, 7), (7, 60, 7), (7, 61, 0)] {
        let mut decider = Decider::new(at(0), ready, &spec);
        let scale = decider.step(at(second), ready, load(0.0, 0.0), &spec);
        assert_eq!(scale.desired, want, "{ready} ready, at {second} s");
    }
}

#[test]
fn what_held_until_now_counts_as_decided_now() {
    let spec = Spec { scale_down_delay: Duration::from_secs(60), ..harness(10.0, 100.0) };
    let mut decider = fresh(&spec);
    decider.step(at(0), 1, load(40.0, 40.0), &spec);
    decider.held_until(at(100));
    assert_eq!(decider.panic_since, Some(at(100)), "it was over the threshold until then");
    // Two minutes later the panic is over, and only the delay is left: it ends a minute after 100 s.
    decider.panic_since = None;
    for (second, want) in [(158, 4), (160, 1)] {
        assert_eq!(decider.step(at(second), 4, load(10.0, 10.0), &spec).desired, want, "at {second} s");
    }
}
