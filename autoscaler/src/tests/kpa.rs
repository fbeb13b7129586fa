//! spec/serving.md 3.12, table D: windows and decision put together as Knative does it, with one sample a second and a
//! decision at each even one.

use super::*;
use crate::decision::Scale;

/// What a row of the table says, as far as it says it.
#[derive(Debug, PartialEq)]
struct Row {
    second: u64,
    ready: u32,
    stable: f64,
    panic: f64,
    desired: u32,
    excess: i64,
    panicking: bool,
}

struct Kpa {
    spec: Spec,
    windows: Windows,
    decider: Decider,
    rows: Vec<Row>,
}

impl Kpa {
    /// Decides until a second. `load` is each second's sample, if there is one. `ready` is told what was decided.
    fn run(
        spec: Spec,
        first_ready: u32,
        until: u64,
        load: impl Fn(u64) -> Option<f64>,
        ready: impl Fn(u64, &[Row]) -> u32,
    ) -> Self {
        let windows = Windows::new(&spec);
        let decider = Decider::new(Duration::ZERO, first_ready, &spec);
        let mut kpa = Self { spec, windows, decider, rows: Vec::new() };
        for second in 0..=until {
            if let Some(sample) = load(second) {
                kpa.windows.set(second, sample);
            }
            if second % 2 == 0 {
                let ready = ready(second, &kpa.rows);
                kpa.decide(second, ready);
            }
        }
        kpa
    }

    fn decide(&mut self, second: u64, ready: u32) {
        // Nothing is known: nothing is decided (table B, row 14).
        let Some(load) = self.windows.averages(seconds(second)) else { return };
        let scale = self.decider.step(seconds(second), ready, load, &self.spec);
        let Scale { desired, excess_burst_capacity: excess, panicking, .. } = scale;
        self.rows.push(Row { second, ready, stable: load.stable, panic: load.panic, desired, excess, panicking });
    }

    fn at(&self, second: u64) -> &Row {
        self.rows.iter().find(|row| row.second == second).unwrap()
    }

    fn check_desired(&self, what: &str, want: &[(u64, u32)]) {
        for (second, desired) in want {
            assert_eq!(self.at(*second).desired, *desired, "{what}: {:?}", self.at(*second));
        }
    }
}

/// What was decided so many seconds ago is ready.
fn after(lag: u64, first: u32) -> impl Fn(u64, &[Row]) -> u32 {
    move |second, rows| rows.iter().rev().find(|row| row.second + lag <= second).map_or(first, |row| row.desired)
}

fn near(got: f64, want: f64) -> bool {
    (got - want).abs() < 1e-3
}

/// S1: 10 until 59 s, and then 500; 1 ready; 4 s until others are.
#[test]
fn a_step_needs_six_seconds() {
    let kpa = Kpa::run(Spec::default(), 1, 130, |second| Some(if second < 60 { 10.0 } else { 500.0 }), after(4, 1));
    let rows = [
        (58, 1, 10.0, 10.0, 1, -121, false),
        (60, 1, 18.167, 91.667, 2, -203, true),
        (62, 1, 34.5, 255.0, 4, -366, true),
        (64, 2, 50.833, 418.333, 6, -430, true),
        (66, 4, 67.167, 500.0, 8, -311, true),
        (68, 6, 83.5, 500.0, 8, -111, true),
        (70, 8, 99.833, 500.0, 8, 89, true),
        (120, 8, 500.0, 500.0, 8, 89, true),
        (126, 8, 500.0, 500.0, 8, 89, true),
        (128, 8, 500.0, 500.0, 8, 89, false),
    ];
    for row in rows {
        let (second, ready, stable, panic, desired, excess, panicking) = row;
        let got = kpa.at(second);
        assert!(near(got.stable, stable) && near(got.panic, panic), "{row:?}: {got:?}");
        let want = (ready, desired, excess, panicking);
        assert_eq!((got.ready, got.desired, got.excess, got.panicking), want, "{row:?}");
    }
}

/// S2: 500 until 119 s, and then nothing; 8 ready.
#[test]
fn a_load_that_stops_is_forgotten_by_the_window() {
    let kpa = Kpa::run(Spec::default(), 8, 180, |second| Some(if second < 120 { 500.0 } else { 0.0 }), after(2, 8));
    // (second, desired, stable average, excess), as far as the table has them
    let rows = [
        (120, 8, Some(491.667), Some(172)),
        (122, 7, Some(475.0), Some(339)),
        (126, 7, None, None),
        (130, 6, Some(408.333), None),
        (140, 5, Some(325.0), None),
        (150, 4, Some(241.667), None),
        (160, 3, Some(158.333), None),
        (170, 2, Some(75.0), Some(-11)),
        (174, 1, Some(41.667), Some(-111)),
        (178, 1, Some(8.333), None),
        (180, 0, None, None),
    ];
    for row in rows {
        let (second, desired, stable, excess) = row;
        let got = kpa.at(second);
        assert_eq!(got.desired, desired, "{row:?}: {got:?}");
        assert!(stable.is_none_or(|stable| near(got.stable, stable)), "{row:?}: {got:?}");
        assert!(excess.is_none_or(|excess| got.excess == excess), "{row:?}: {got:?}");
    }
    assert!(near(kpa.at(120).panic, 416.667) && near(kpa.at(122).panic, 250.0));
}

/// S3: 10 until 119 s, one zero, and then silence, which is a cliff; and the same with a zero each second.
#[test]
fn silence_is_a_cliff_and_zeros_are_none() {
    let run = |last: u64| {
        let load = move |second| (second <= last).then_some(if second < 120 { 10.0 } else { 0.0 });
        Kpa::run(target_of_seven(), 2, 182, load, after(2, 2))
    };
    let silent = run(120);
    for (second, stable) in [(130, 9.8), (160, 9.5), (170, 9.0), (176, 7.5), (178, 5.0), (180, 0.0)] {
        assert!(near(silent.at(second).stable, stable), "silence: {:?}", silent.at(second));
    }
    silent.check_desired("silence", &[(130, 2), (170, 2), (176, 2), (178, 1), (180, 0)]);
    assert!(silent.rows.iter().all(|row| row.excess == -1));

    let zeros = run(u64::MAX);
    assert!(near(zeros.at(138).stable, 6.833));
    zeros.check_desired("zeros", &[(136, 2), (138, 1), (160, 1), (178, 1), (180, 0)]);
}

/// S4: 20 at once from zero; three are ready after 6 s.
#[test]
fn a_cold_start_asks_for_all_it_needs() {
    let spec = Spec { burst_capacity: BurstCapacity::Of(10.0), ..target_of_seven() };
    let load = |second| Some(if second == 0 { 19.874 } else { 20.0 });
    let kpa = Kpa::run(spec, 0, 70, load, |second, _| if second < 6 { 0 } else { 3 });
    // (second, desired, excess, panicking)
    for row in [(2, 3, -30, true), (4, 3, -30, true), (6, 3, 0, true), (64, 3, 0, true), (66, 3, 0, false)] {
        let (second, desired, excess, panicking) = row;
        let got = kpa.at(second);
        assert_eq!((got.desired, got.excess, got.panicking), (desired, excess, panicking), "{row:?}: {got:?}");
    }
    assert!(near(kpa.at(2).stable, 19.958));
}

/// S5 and S6: from nothing to 100 at 60 s.
#[test]
fn a_step_by_the_other_average_and_with_a_low_rate() {
    let spec = Spec {
        target: Target { target: 10.0, total: 100.0 / 7.0 },
        burst_capacity: BurstCapacity::Of(0.0),
        ..Spec::default()
    };
    let run = |spec| Kpa::run(spec, 0, 66, |second| Some(if second < 60 { 0.0 } else { 100.0 }), after(2, 0));

    run(spec.clone()).check_desired("linear", &[(58, 0), (60, 2), (62, 5), (64, 9), (66, 10)]);
    let slow = Spec { max_scale_up_rate: 2.0, ..spec.clone() };
    run(slow).check_desired("rate of 2", &[(60, 2), (62, 4), (64, 8), (66, 10)]);
    let exponential = run(Spec { aggregation: Aggregation::WeightedExponential, ..spec });
    exponential.check_desired("exponential", &[(60, 8), (62, 10)]);
    assert!(near(exponential.at(60).stable, 20.0) && near(exponential.at(60).panic, 78.456));
}

/// S7: 300 for 4 s on a load of 10; 4 s until others are ready.
#[test]
fn a_spike_is_over_before_it_is_answered() {
    let load = |second| Some(if (60..64).contains(&second) { 300.0 } else { 10.0 });
    let kpa = Kpa::run(Spec::default(), 1, 130, load, after(4, 1));
    assert!(near(kpa.at(60).panic, 58.333) && !kpa.at(60).panicking);
    assert!(kpa.at(62).panicking);
    kpa.check_desired("spike", &[(60, 1), (62, 3), (64, 3), (100, 3), (124, 3), (126, 1)]);
}

/// Table B, row 14: without data the scale stays as it is.
#[test]
fn nothing_is_decided_without_data() {
    let kpa = Kpa::run(Spec::default(), 1, 100, |second| (second == 10).then_some(50.0), after(2, 1));
    let decided = |row: Option<&Row>| row.map(|row| row.second);
    assert_eq!((decided(kpa.rows.first()), decided(kpa.rows.last())), (Some(10), Some(70)));
}
