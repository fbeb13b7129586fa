mod kpa;
mod properties;

use super::*;

fn seconds(second: u64) -> Duration {
    Duration::from_secs(second)
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A shell without a clock: it decides when it is to, and each number is ready at once.
struct Shell {
    scaler: Autoscaler,
    now: Duration,
    ready: u32,
    demand: Demand,
    /// Each decision.
    decisions: Vec<(Duration, Decision)>,
}

impl Shell {
    fn new(spec: Spec, beginning: Beginning) -> Self {
        let ready = match beginning {
            Beginning::New => 0,
            Beginning::Known { ready } => ready,
        };
        let scaler = Autoscaler::new(Duration::ZERO, beginning, spec);
        let mut shell = Self { scaler, now: Duration::ZERO, ready, demand: Demand::default(), decisions: Vec::new() };
        shell.decide();
        shell
    }

    fn at_zero(spec: Spec) -> Self {
        Self::new(spec, Beginning::Known { ready: 0 })
    }

    fn decide(&mut self) -> Decision {
        let decision = self.scaler.decide(self.now, self.ready, self.demand);
        self.decisions.push((self.now, decision));
        if decision.desired != self.ready {
            self.ready = decision.desired;
            return self.decide();
        }
        decision
    }

    /// Lets time pass, with a decision whenever one is due.
    fn run(&mut self, until: Duration) {
        while let Some(wake) = self.scaler.next_wake().filter(|wake| *wake <= until) {
            self.now = self.now.max(wake);
            self.decide();
        }
        self.now = until;
    }

    /// Lets time pass, and then something happen.
    fn observe(&mut self, at: Duration, concurrency: u32, arrivals: u32) {
        self.run(at);
        self.scaler.observe(at, concurrency, arrivals);
        self.run(at);
    }

    fn last(&self) -> Decision {
        self.decisions.last().unwrap().1
    }

    /// Each number that differs from the one before, and since when.
    fn changes(&self) -> Vec<(Duration, u32)> {
        let mut changes: Vec<(Duration, u32)> = Vec::new();
        for (at, decision) in &self.decisions {
            if changes.last().is_none_or(|(_, desired)| *desired != decision.desired) {
                changes.push((*at, decision.desired));
            }
        }
        changes
    }
}

/// Target 7 and no burst: 7 requests for an instance that takes 10.
fn target_of_seven() -> Spec {
    Spec { target: Target { target: 7.0, total: 10.0 }, burst_capacity: BurstCapacity::Unlimited, ..Spec::default() }
}

#[test]
fn the_first_request_starts_an_instance_at_once() {
    let mut shell = Shell::at_zero(Spec::default());
    // Late in a second: what it comes to in that second rounds to nothing.
    let at = Duration::new(999, 999_999_999);
    shell.observe(at, 1, 1);
    assert_eq!(shell.changes(), [(Duration::ZERO, 0), (at, 1)]);
}

/// S1 of table D, where Knative needs 6 s: 8 within 200 ms, whatever the requests before the step do.
#[test]
fn a_step_is_decided_within_200_ms() {
    for (what, pause, offset) in [("a steady load", 60_000, 0), ("changes all the time", 7, 0), ("and later", 7, 99)] {
        let mut shell = Shell::new(Spec::default(), Beginning::Known { ready: 1 });
        let step = millis(60_000 + offset);
        let mut at = Duration::ZERO;
        for n in 0.. {
            shell.observe(at, 9 + n % 3, 1);
            at += millis(pause);
            if at >= step {
                break;
            }
        }
        shell.observe(step, 500, 490);
        shell.run(step + millis(200));
        assert_eq!(shell.last().desired, 8, "{what}: {:?}", shell.changes());
        assert_eq!(shell.changes()[0].1, 1, "{what}");
        assert!(shell.changes()[1].0 >= step, "{what}: {:?}", shell.changes());
        assert_eq!(shell.last().reason, Reason::Panic, "{what}");
        shell.run(step + seconds(300));
        assert_eq!((shell.last().desired, shell.last().panicking), (8, false), "{what}, at last");
        assert_eq!(shell.scaler.next_wake(), None, "{what}, at last");
    }
}

/// S3 of table D with a zero for each idle second: no cliff.
#[test]
fn idle_seconds_are_zeros() {
    let mut shell = Shell::new(target_of_seven(), Beginning::Known { ready: 2 });
    shell.observe(Duration::ZERO, 10, 10);
    shell.observe(seconds(120), 0, 0);
    shell.run(seconds(138));
    assert_eq!((shell.last().load.stable, shell.last().desired), (6.833_333, 1));
    for second in 139..178 {
        shell.run(seconds(second));
        let want = (10.0 * (179 - second) as f64 / 60.0 * 1e6).round() / 1e6;
        assert_eq!(shell.last().load.stable, want, "linear, at {second} s");
    }
    shell.run(seconds(600));
    assert_eq!(shell.changes()[0..], [(seconds(0), 2), (seconds(138), 1), (seconds(180), 0)]);
    assert_eq!(shell.last().reason, Reason::Idle(Idle::NoTraffic));
    assert_eq!(shell.scaler.next_wake(), None, "nothing is left to come");
}

/// S7 of table D: 300 for 4 s on a load of 10. It is seen while it lasts, and paid for a stable window.
#[test]
fn a_spike_is_answered_while_it_lasts() {
    let mut shell = Shell::new(Spec::default(), Beginning::Known { ready: 1 });
    shell.observe(Duration::ZERO, 10, 10);
    shell.observe(seconds(60), 300, 290);
    shell.observe(seconds(64), 10, 0);
    shell.run(seconds(600));
    // Five were ready at once, so the load was over the threshold for no longer than the decision.
    let want = [(0, 1), (60_100, 5), (122_000, 2), (124_000, 1)];
    assert_eq!(shell.changes(), want.map(|(at, desired)| (millis(at), desired)));
    assert_eq!(shell.scaler.next_wake(), None);
}

/// A burst of requests every 100 ms, each answered within a millisecond, and a load that changes with every request.
#[test]
fn a_load_that_changes_all_the_time_does_not_flap() {
    let mut shell = Shell::new(Spec::default(), Beginning::Known { ready: 1 });
    for n in 0..3_000 {
        shell.observe(millis(n * 100), 300, 300);
        shell.observe(millis(n * 100 + 1), 0, 0);
    }
    assert_eq!(shell.changes(), [(Duration::ZERO, 1)], "short bursts");

    let mut shell = Shell::new(target_of_seven(), Beginning::Known { ready: 2 });
    for n in 0..30_000 {
        shell.observe(millis(n * 10), (n * 7_919 % 21) as u32, 1);
    }
    assert_eq!(shell.changes(), [(Duration::ZERO, 2)], "0 to 20, 10 on average");
}

#[test]
fn numbers_fall_with_the_load_and_not_faster_than_knatives() {
    let mut shell = Shell::new(Spec::default(), Beginning::Known { ready: 8 });
    shell.observe(Duration::ZERO, 500, 500);
    shell.observe(seconds(120), 0, 0);
    shell.run(seconds(400));
    let changes: Vec<(u64, u32)> = shell.changes().into_iter().map(|(at, desired)| (at.as_secs(), desired)).collect();
    // S2 of table D, but for the last instance: it goes a stable window after the last request.
    assert_eq!(changes, [(0, 8), (122, 7), (130, 6), (138, 5), (146, 4), (154, 3), (164, 2), (172, 1), (180, 0)]);
}

/// spec/serving.md 8.4, item 2: (events in a second, service time in milliseconds, backlog, instances).
#[test]
fn events_ask_for_instances_as_in_the_vectors() {
    for row in [(50.0, 200, 0, 2), (50.0, 200, 1_000, 5), (0.0, 100, 1, 1), (50.0, 200, 100_000, 20), (0.0, 200, 0, 0)]
    {
        let (rate, service, events, want) = row;
        let spec = Spec { max_scale: Some(20), ..target_of_seven() };
        let mut shell = Shell::at_zero(spec);
        shell.demand = Demand::new(rate, millis(service), Backlog { events, ..Backlog::default() });
        shell.run(seconds(1_000));
        assert_eq!(shell.decide().desired, want, "{row:?}");
    }
}

#[test]
fn events_start_an_instance_and_let_it_go_again() {
    let mut shell = Shell::at_zero(target_of_seven());
    shell.run(seconds(100));
    shell.demand = Demand::new(0.0, millis(100), Backlog { events: 3, ..Backlog::default() });
    assert_eq!(shell.decide().reason, Reason::Events);
    shell.demand = Demand::default();
    shell.observe(millis(100_005), 3, 3);
    shell.observe(millis(100_050), 0, 0);
    shell.run(seconds(1_000));
    assert_eq!(shell.changes(), [(seconds(0), 0), (seconds(100), 1), (millis(160_050), 0)]);
}

#[test]
fn a_backlog_that_grows_is_asked_for_again_after_100_ms_and_else_after_a_second() {
    let mut shell = Shell::at_zero(target_of_seven());
    shell.run(seconds(100));
    // (millisecond of the decision, backlog, when it is asked for again)
    for row in [(300, 1, 400), (350, 1, 400), (400, 1, 1_000), (500, 2, 600), (600, 2, 1_000), (1_000, 2, 2_000)] {
        let (at, events, want) = row;
        let demand = Demand::new(0.0, millis(100), Backlog { events, ..Backlog::default() });
        shell.scaler.decide(seconds(100) + millis(at), 1, demand);
        assert_eq!(shell.scaler.next_wake(), Some(seconds(100) + millis(want)), "{row:?}");
    }
}

#[test]
fn a_new_revision_has_its_initial_scale_first() {
    // (initial scale, minimum, first decision, once that is ready for a long time)
    for row in [(1, 0, 1, 0), (0, 0, 0, 0), (3, 0, 3, 0), (3, 2, 3, 2), (2, 3, 3, 3)] {
        let (initial_scale, min_scale, first, at_last) = row;
        let mut shell = Shell::new(Spec { initial_scale, min_scale, ..Spec::default() }, Beginning::New);
        assert_eq!(
            shell.changes().iter().map(|(_, desired)| *desired).find(|desired| *desired > 0).unwrap_or(0),
            first
        );
        shell.run(seconds(1_000));
        assert_eq!(shell.last().desired, at_last, "{row:?}: {:?}", shell.changes());
        assert!(shell.scaler.reached_initial_scale(), "{row:?}");
        assert_eq!(shell.scaler.next_wake(), None, "{row:?}");
    }
}

#[test]
fn a_new_revision_that_never_becomes_ready_is_given_up() {
    let mut scaler = Autoscaler::new(Duration::ZERO, Beginning::New, Spec::default());
    let mut decided = Vec::new();
    while let Some(wake) = scaler.next_wake() {
        let decision = scaler.decide(wake, 0, Demand::default());
        if decided.last().is_none_or(|(_, reason)| *reason != decision.reason) {
            decided.push((wake, decision.reason));
        }
    }
    let want = [(0, Reason::Idle(Idle::Activating)), (630, Reason::Idle(Idle::TimedOut))];
    assert_eq!(decided, want.map(|(second, reason)| (seconds(second), reason)));
    assert!(!scaler.reached_initial_scale());
}

#[test]
fn a_new_leader_takes_nothing_away_before_it_knows_anything() {
    // (ready, seconds until the first change)
    for (ready, until) in [(5, 62), (1, 60)] {
        let mut shell = Shell::new(Spec::default(), Beginning::Known { ready });
        shell.run(seconds(1_000));
        assert_eq!(shell.changes()[0..2], [(seconds(0), ready), (seconds(until), ready / 2)], "{ready} ready");
        assert_eq!(shell.last().desired, 0, "{ready} ready");
    }
    let mut shell = Shell::at_zero(Spec::default());
    shell.run(seconds(1_000));
    assert_eq!(shell.changes(), [(seconds(0), 0)], "one at zero stays there");
}

/// Nothing happens for minutes in which one instance is far too few, and none is decided for. The panic still lasts for
/// a stable window from when there are enough.
#[test]
fn what_lasted_without_a_decision_counts() {
    let mut scaler = Autoscaler::new(Duration::ZERO, Beginning::Known { ready: 1 }, Spec::default());
    let mut decided = Vec::new();
    for (from, concurrency, ready) in [(0, 500, 1), (100, 300, 1), (300, 300, 8)] {
        scaler.observe(seconds(from), concurrency, 0);
        decided.push((seconds(from), scaler.decide(seconds(from), ready, Demand::default()).desired));
        let until = seconds(if from == 300 { 1_000 } else { from + 99 });
        while let Some(wake) = scaler.next_wake().filter(|wake| *wake <= until) {
            decided.push((wake, scaler.decide(wake, ready, Demand::default()).desired));
        }
    }
    let fewer = decided.iter().rfind(|(_, desired)| *desired == 8).map(|(at, _)| *at);
    assert_eq!(fewer, Some(seconds(300)), "{decided:?}");
    assert_eq!(decided.last(), Some(&(seconds(360) + Duration::from_nanos(1), 5)), "{decided:?}");
}

#[test]
fn every_reason_is_told() {
    let load = |spec, concurrency: u32| {
        let mut shell = Shell::new(spec, Beginning::Known { ready: 2 });
        shell.observe(Duration::ZERO, concurrency, concurrency);
        shell.run(seconds(200));
        shell
    };
    let seven = target_of_seven;
    let mut falling = load(Spec { scale_down_delay: seconds(90), ..seven() }, 14);
    falling.observe(seconds(200), 1, 0);
    falling.run(seconds(300));
    let mut unreachable = load(Spec { min_scale: 2, ..seven() }, 0);
    unreachable.scaler.set_spec(Spec { min_scale: 2, reachable: false, ..seven() });
    unreachable.decide();
    let rows = [
        ("load", load(seven(), 14), 2, Reason::Load),
        ("delay", falling, 2, Reason::Delay),
        ("min", load(Spec { min_scale: 3, ..seven() }, 14), 3, Reason::Bound(Bound::Min)),
        ("max", load(Spec { max_scale: Some(1), ..seven() }, 14), 1, Reason::Bound(Bound::Max)),
        ("off", load(Spec { enable_scale_to_zero: false, ..seven() }, 0), 1, Reason::Idle(Idle::Disabled)),
        ("no traffic", load(seven(), 0), 0, Reason::Idle(Idle::NoTraffic)),
        ("unreachable", unreachable, 0, Reason::Idle(Idle::NoTraffic)),
    ];
    for (what, shell, desired, reason) in rows {
        assert_eq!((shell.last().desired, shell.last().reason), (desired, reason), "{what}");
    }
}

#[test]
fn a_rate_is_scaled_on_as_well() {
    let target = Target { target: 140.0, total: 200.0 };
    let spec = Spec { metric: Metric::RequestsPerSecond, target, ..Spec::default() };
    let mut shell = Shell::new(spec, Beginning::Known { ready: 1 });
    for n in 0..6_000 {
        // 100 in a second for half a minute, and then 1,000.
        shell.observe(millis(n * 10), 1, if n < 3_000 { 1 } else { 10 });
    }
    let changes = shell.changes();
    assert_eq!((changes[0], shell.last().desired), ((Duration::ZERO, 1), 8), "{changes:?}");
    assert!(changes[1].0 > seconds(30) && changes[1].0 < seconds(31), "{changes:?}");
    shell.observe(seconds(60), 0, 0);
    shell.run(seconds(600));
    assert_eq!((shell.last().desired, shell.scaler.next_wake()), (0, None));
}

#[test]
fn other_windows_keep_what_is_known() {
    let mut shell = Shell::new(target_of_seven(), Beginning::Known { ready: 2 });
    shell.observe(Duration::ZERO, 14, 14);
    shell.run(seconds(100));
    for window in [30, 120, 6] {
        shell.scaler.set_spec(Spec { stable_window: seconds(window), ..target_of_seven() });
        let decision = shell.decide();
        assert_eq!((decision.desired, decision.load.stable), (2, 14.0), "{window} s");
    }
}
