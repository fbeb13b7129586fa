mod events;

use proptest::prelude::*;

use super::*;

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

const fn s(s: u64) -> Duration {
    Duration::from_secs(s)
}

fn settings(concurrency: u32) -> Settings {
    let target = crate::autoscaler::TargetSettings { container_concurrency: concurrency, ..Default::default() };
    let scaling = Spec {
        target: crate::autoscaler::Target::new(&target, &crate::autoscaler::TargetDefaults::default()),
        ..Spec::default()
    };
    Settings { concurrency, queue: QueueBounds::default(), idle_pause: Some(s(5)), idle_stop: None, scaling }
}

/// A core whose steps are performed as they should be, at once where nothing else is said.
struct Bench {
    core: Core<u32>,
    now: Duration,
    started: u32,
    log: Vec<String>,
}

impl Bench {
    fn new(settings: Settings, is_proved: bool) -> Self {
        Self {
            core: Core::new(settings, true, is_proved, Duration::ZERO),
            now: Duration::ZERO,
            started: 0,
            log: Vec::new(),
        }
    }

    fn arrive(&mut self, request: u32) -> Arrival {
        self.core.arrive(100, Reach::Anywhere, self.now, || request)
    }

    /// Takes the steps as text.
    fn steps(&mut self) -> Vec<String> {
        let steps = self.core.take_steps();
        steps
            .into_iter()
            .map(|step| match step {
                Step::Grant(request, key) => format!("grant {request} to {}", key.0),
                Step::Start(count) => format!("start {count}"),
                Step::Probe(key) => format!("probe {}", key.0),
                Step::Pause(key) => format!("pause {}", key.0),
                Step::Resume(key) => format!("resume {}", key.0),
                Step::Stop(key) => format!("stop {}", key.0),
            })
            .collect()
    }

    fn start_one(&mut self) -> InstanceKey {
        self.started += 1;
        let id = InstanceId(format!("i{}", self.started).into());
        self.core.started(id, self.now)
    }

    /// Lets time pass, and performs every step in no time.
    fn run_until(&mut self, until: Duration) {
        loop {
            for step in self.core.take_steps() {
                match step {
                    Step::Grant(request, key) => self.log.push(format!("{:?} grant {request} to {}", self.now, key.0)),
                    Step::Start(count) => {
                        self.log.push(format!("{:?} start {count}", self.now));
                        for _ in 0..count {
                            self.start_one();
                        }
                    }
                    Step::Probe(key) => self.core.ready(key, self.now),
                    Step::Pause(key) => {
                        self.log.push(format!("{:?} pause {}", self.now, key.0));
                        self.core.paused(key, self.now);
                    }
                    Step::Resume(key) => {
                        self.log.push(format!("{:?} resume {}", self.now, key.0));
                        self.core.resumed(key, self.now);
                    }
                    Step::Stop(key) => {
                        self.log.push(format!("{:?} stop {}", self.now, key.0));
                        self.core.exited(key, None, self.now);
                    }
                }
            }
            if self.core.has_steps() {
                continue;
            }
            match self.core.next_wake(self.now) {
                Some(at) if at <= until => {
                    // What is due now is done now; it must not be due again at once for ever.
                    self.now = at.max(self.now + ms(1));
                    self.core.tick(self.now);
                }
                _ => {
                    self.now = until;
                    return;
                }
            }
        }
    }
}

/// spec/serving.md 1.4 (4): whatever is on its way there goes with it.
#[test]
fn one_that_is_not_alive_is_stopped_though_it_is_busy_and_another_takes_its_place() {
    let one = Spec { max_scale: Some(1), ..settings(1).scaling };
    let mut bench = Bench::new(Settings { scaling: one, ..settings(1) }, true);
    bench.arrive(1);
    bench.run_until(ms(1));
    bench.log.clear();
    let key = InstanceKey(0);
    bench.core.not_alive(key, "it hangs".to_owned(), bench.now);
    assert_eq!(bench.steps(), ["stop 0"]);
    assert_eq!(bench.core.last_failure(), Some("it hangs"));
    bench.core.not_alive(key, "it hangs".to_owned(), bench.now);
    assert_eq!(bench.steps(), Vec::<String>::new(), "once");
    assert!(matches!(bench.arrive(2), Arrival::Waits(_)), "it gets nothing more");
    bench.run_until(ms(200));
    assert_eq!(bench.log, ["101ms start 1", "101ms grant 2 to 1"], "after the pause that follows a failure");
}

#[test]
fn a_cold_request_starts_an_instance_and_goes_to_it_when_it_is_ready() {
    let mut bench = Bench::new(settings(0), true);
    assert_eq!(bench.steps(), Vec::<String>::new());
    assert!(matches!(bench.arrive(1), Arrival::Waits(_)));
    assert_eq!(bench.steps(), ["start 1"]);
    assert!(matches!(bench.arrive(2), Arrival::Waits(_)));
    assert_eq!(bench.steps(), Vec::<String>::new(), "one is on its way");
    bench.now = ms(3);
    let key = bench.start_one();
    assert_eq!(bench.steps(), ["probe 0"]);
    bench.core.ready(key, bench.now);
    assert_eq!(bench.steps(), ["grant 1 to 0", "grant 2 to 0"]);
    assert_eq!(bench.core.counts().in_flight, 2);
}

#[test]
fn a_new_revision_starts_its_initial_scale_and_one_that_had_it_does_not() {
    for (is_proved, want) in [(false, vec!["1ms start 1"]), (true, vec![])] {
        let mut bench = Bench::new(settings(0), is_proved);
        bench.run_until(ms(10));
        assert_eq!(bench.log, want, "proved: {is_proved}");
        assert!(bench.core.is_proved());
    }
}

/// spec/serving.md 10, "Acceptance checks" (knative/serving#13096).
#[test]
fn a_long_request_never_delays_a_short_one_while_an_instance_is_idle() {
    let mut bench =
        Bench::new(Settings { scaling: Spec { min_scale: 2, ..settings(1).scaling }, ..settings(1) }, false);
    bench.run_until(ms(10));
    assert_eq!(bench.core.counts().ready, 2);
    let Arrival::Granted(long) = bench.arrive(1) else { panic!("there is room") };
    for request in 2..100 {
        let Arrival::Granted(short) = bench.arrive(request) else { panic!("{request} waits beside an idle instance") };
        assert_ne!(short, long);
        bench.core.finish(short, bench.now);
    }
}

/// spec/serving.md 10, "Acceptance checks" (knative/serving#13583).
#[test]
fn of_a_thousand_cold_requests_those_beyond_the_bound_are_refused_at_once() {
    let queue = QueueBounds { requests: 100, ..QueueBounds::default() };
    let mut bench = Bench::new(Settings { queue, ..settings(1) }, true);
    let refused =
        (0..1_000).filter(|request| bench.arrive(*request) == Arrival::Refused(Refusal::Full(Full::Requests)));
    assert_eq!(refused.count(), 900);
}

/// spec/serving.md 10, "Acceptance checks" (knative/serving#3759).
#[test]
fn scaling_down_from_five_keeps_the_busy_one() {
    let mut bench = Bench::new(settings(1), true);
    let requests: Vec<_> = (0..3).map(|request| bench.arrive(request)).collect();
    assert!(requests.iter().all(|arrival| matches!(arrival, Arrival::Waits(_))));
    bench.run_until(s(1));
    let before = bench.core.counts();
    assert!(before.ready >= 4, "{before:?}");
    let busy: Vec<_> = bench.core.instances().filter(|(_, i)| i.in_flight > 0).map(|(key, _)| key).collect();
    for key in &busy[..2] {
        bench.core.finish(*key, bench.now);
    }
    bench.run_until(s(300));
    let left: Vec<_> = bench.core.instances().map(|(key, _)| key).collect();
    assert!(left.contains(&busy[2]), "{left:?} of {:?}", bench.log);
    assert!(left.len() < before.ready as usize, "{left:?} of {:?}", bench.log);
    bench.core.finish(busy[2], bench.now);
    bench.run_until(s(600));
    assert_eq!(bench.core.counts(), Counts::default(), "{:?}", bench.log);
}

#[test]
fn an_idle_instance_is_paused_resumed_for_a_request_and_stopped_in_the_end() {
    let mut bench = Bench::new(settings(0), true);
    bench.arrive(1);
    bench.run_until(ms(100));
    bench.core.finish(InstanceKey(0), bench.now);
    bench.run_until(s(5));
    assert_eq!(bench.core.counts().paused, 0);
    bench.run_until(ms(5_200));
    assert_eq!(bench.core.counts().paused, 1, "{:?}", bench.log);
    assert!(matches!(bench.arrive(2), Arrival::Waits(_)));
    assert_eq!(bench.steps(), ["resume 0"]);
    bench.core.resumed(InstanceKey(0), bench.now);
    assert_eq!(bench.steps(), ["grant 2 to 0"]);
    bench.core.finish(InstanceKey(0), bench.now);
    bench.run_until(s(200));
    assert_eq!(bench.core.counts(), Counts::default(), "{:?}", bench.log);
    assert_eq!(bench.log.iter().filter(|line| line.contains("pause")).count(), 2, "{:?}", bench.log);
}

#[test]
fn a_request_that_comes_while_its_instance_is_being_paused_gets_it_back() {
    let mut bench = Bench::new(settings(0), true);
    bench.arrive(1);
    bench.run_until(ms(100));
    bench.core.finish(InstanceKey(0), bench.now);
    bench.now = s(6);
    bench.core.tick(bench.now);
    assert_eq!(bench.steps(), ["pause 0"]);
    assert!(matches!(bench.arrive(2), Arrival::Waits(_)));
    assert_eq!(bench.steps(), Vec::<String>::new(), "none is started beside it");
    bench.core.paused(InstanceKey(0), bench.now);
    assert_eq!(bench.steps(), ["resume 0"]);
    bench.core.resumed(InstanceKey(0), bench.now);
    assert_eq!(bench.steps(), ["grant 2 to 0"]);
}

/// As the one before after a rollout.
#[test]
fn with_idle_stop_one_that_nobody_can_reach_keeps_no_instance_for_its_min_scale() {
    let scaling = Spec { min_scale: 1, ..settings(0).scaling };
    let mut bench = Bench::new(Settings { idle_stop: Some(s(10)), scaling: scaling.clone(), ..settings(0) }, true);
    bench.arrive(1);
    bench.run_until(ms(100));
    bench.core.finish(InstanceKey(0), bench.now);
    bench.run_until(s(100));
    assert_eq!(bench.core.counts().ready, 1, "one that is reachable keeps it");
    bench.core.follow(Spec { reachable: false, ..scaling }, bench.now);
    bench.run_until(s(300));
    assert_eq!(bench.core.counts(), Counts::default());
}

#[test]
fn idle_stop_counts_in_the_place_of_the_autoscaler() {
    let mut bench = Bench::new(Settings { idle_stop: Some(s(10)), idle_pause: None, ..settings(0) }, true);
    bench.arrive(1);
    bench.run_until(ms(100));
    bench.core.finish(InstanceKey(0), bench.now);
    bench.run_until(s(10));
    assert_eq!(bench.core.counts().ready, 1);
    bench.run_until(ms(10_200));
    assert_eq!(bench.core.counts().ready, 0, "{:?}", bench.log);
    bench.run_until(s(100));
    assert_eq!(bench.log.iter().filter(|line| line.contains("start")).count(), 1, "{:?}", bench.log);
}

/// `pelton.dev/idle-stop: never`.
#[test]
fn an_instance_that_is_never_to_be_stopped_stays_paused() {
    let mut bench = Bench::new(Settings { idle_stop: Some(Duration::MAX), ..settings(0) }, true);
    bench.arrive(1);
    bench.run_until(ms(100));
    bench.core.finish(InstanceKey(0), bench.now);
    bench.run_until(s(1_000));
    assert_eq!(bench.core.counts().paused, 1, "{:?}", bench.log);
}

#[test]
fn instances_that_fail_are_tried_with_pauses_and_a_crash_loop_refuses_at_once() {
    let mut bench = Bench::new(settings(0), true);
    bench.arrive(1);
    let mut starts = Vec::new();
    while bench.now < s(8) {
        if bench.steps().iter().any(|step| step.starts_with("start")) {
            starts.push(bench.now);
            bench.core.not_started("no such file: /bin/nothing".to_owned(), bench.now);
        }
        bench.now += ms(50);
        bench.core.tick(bench.now);
    }
    assert_eq!(starts, [0, 100, 300, 700, 1_500, 3_100, 6_300].map(ms));
    match bench.arrive(2) {
        Arrival::Refused(Refusal::CrashLoop(why)) => assert_eq!(why, "no such file: /bin/nothing"),
        other => panic!("{other:?}"),
    }
    assert_eq!(bench.core.counts().queued, 1, "who came before waits on");
}

#[test]
fn a_retired_revision_ends_when_its_last_request_has() {
    let one = Spec { max_scale: Some(1), ..settings(1).scaling };
    let mut bench = Bench::new(Settings { scaling: one, ..settings(1) }, true);
    bench.arrive(1);
    bench.run_until(ms(100));
    let Arrival::Waits(_) = bench.arrive(2) else { panic!("one at a time") };
    assert_eq!(bench.core.retire(bench.now), [2]);
    assert_eq!(bench.arrive(3), Arrival::Refused(Refusal::Retired));
    let busy = bench.core.instances().find(|(_, i)| i.in_flight > 0).map(|(key, _)| key).unwrap();
    bench.run_until(s(5));
    assert!(!bench.core.is_gone());
    bench.core.finish(busy, bench.now);
    bench.run_until(s(6));
    assert!(bench.core.is_gone());
}

/// What can happen to a revision from outside.
#[derive(Debug, Clone, Copy)]
enum Happens {
    Arrives,
    Tries,
    EventsWait(u64),
    Expects,
    Leaves(usize),
    Finishes(usize),
    Starts(bool),
    Answers(usize, bool),
    Pauses(usize, bool),
    Resumes(usize, bool),
    Exits(usize),
    Breaks(usize),
    Sickens(usize),
    Passes(u16),
}

fn happens() -> impl Strategy<Value = Happens> {
    let at = || any::<usize>();
    prop_oneof![
        6 => Just(Happens::Arrives),
        3 => Just(Happens::Tries),
        1 => (0..3u64).prop_map(Happens::EventsWait),
        1 => Just(Happens::Expects),
        1 => at().prop_map(Happens::Leaves),
        5 => at().prop_map(Happens::Finishes),
        3 => any::<bool>().prop_map(Happens::Starts),
        4 => (at(), prop::bool::weighted(0.9)).prop_map(|(at, well)| Happens::Answers(at, well)),
        3 => (at(), prop::bool::weighted(0.9)).prop_map(|(at, well)| Happens::Pauses(at, well)),
        3 => (at(), prop::bool::weighted(0.9)).prop_map(|(at, well)| Happens::Resumes(at, well)),
        1 => at().prop_map(Happens::Exits),
        1 => at().prop_map(Happens::Breaks),
        1 => at().prop_map(Happens::Sickens),
        4 => (0..20_000u16).prop_map(Happens::Passes),
    ]
}

proptest! {
    /// Whatever happens: an instance has never more than its share, gets nothing unless it is ready, is never paused or
    /// stopped with anything on its way, and nobody waits while an instance that is ready has a free slot.
    #[test]
    fn slots_are_exact(
        concurrency in 0..4u32,
        idle_stop in prop::option::of(1..20u64),
        all in prop::collection::vec(happens(), 1..200),
    ) {
        let settings = Settings { idle_stop: idle_stop.map(s), ..settings(concurrency) };
        let mut core: Core<u32> = Core::new(settings, true, false, Duration::ZERO);
        let (mut now, mut asked, mut names) = (Duration::ZERO, 0_u32, 0);
        let (mut waiting, mut running) = (Vec::<(u32, Ticket)>::new(), Vec::<(u32, InstanceKey)>::new());
        for (request, happens) in all.into_iter().enumerate() {
            let request = request as u32;
            let pick = |core: &Core<u32>, phase: Phase, at: usize| {
                let some: Vec<_> = core.instances().filter(|(_, i)| i.phase == phase).map(|(key, _)| key).collect();
                (!some.is_empty()).then(|| some[at % some.len()])
            };
            match happens {
                Happens::Arrives => match core.arrive(1, Reach::Anywhere, now, || request) {
                    Arrival::Granted(key) => running.push((request, key)),
                    Arrival::Waits(ticket) => waiting.push((request, ticket)),
                    Arrival::Refused(_) => {}
                },
                Happens::Tries => if let Some(key) = core.take_free(Reach::Anywhere, now) {
                    prop_assert!(waiting.is_empty(), "nobody is passed over");
                    running.push((request, key));
                },
                Happens::EventsWait(events) => {
                    core.events_wait("host", WaitingEvents { events, at_once: events }, events, now);
                }
                Happens::Expects => core.expect_event(now),
                Happens::Leaves(at) if !waiting.is_empty() => {
                    let (_, ticket) = waiting.remove(at % waiting.len());
                    prop_assert!(core.leave(ticket, now), "who waits can leave");
                }
                Happens::Finishes(at) if !running.is_empty() => {
                    let (_, key) = running.remove(at % running.len());
                    core.finish(key, now);
                }
                Happens::Starts(well) if asked > 0 => {
                    asked -= 1;
                    names += 1;
                    if well {
                        core.started(InstanceId(format!("i{names}").into()), now);
                    } else {
                        core.not_started("no".to_owned(), now);
                    }
                }
                Happens::Answers(at, well) => if let Some(key) = pick(&core, Phase::Starting, at) {
                    if well { core.ready(key, now) } else { core.never_ready(key, "no".to_owned(), now) }
                },
                Happens::Pauses(at, well) => if let Some(key) = pick(&core, Phase::Pausing, at) {
                    if well { core.paused(key, now) } else { core.not_paused(key, now) }
                },
                Happens::Resumes(at, well) => if let Some(key) = pick(&core, Phase::Resuming, at) {
                    if well { core.resumed(key, now) } else { core.not_resumed(key, "no".to_owned(), now) }
                },
                Happens::Exits(at) => {
                    let some: Vec<_> = core.instances().map(|(key, _)| key).collect();
                    if !some.is_empty() {
                        core.exited(some[at % some.len()], Some("it ended".to_owned()), now);
                    }
                }
                Happens::Breaks(at) => if let Some(key) = pick(&core, Phase::Ready, at) {
                    core.suspect(key, now);
                },
                Happens::Sickens(at) => if let Some(key) = pick(&core, Phase::Ready, at) {
                    core.not_alive(key, "it is not well".to_owned(), now);
                },
                Happens::Passes(millis) => {
                    now += ms(u64::from(millis));
                    core.tick(now);
                }
                Happens::Leaves(_) | Happens::Finishes(_) | Happens::Starts(_) => {}
            }
            for step in core.take_steps() {
                match step {
                    Step::Grant(request, key) => {
                        let at = waiting.iter().position(|(waits, _)| *waits == request);
                        prop_assert_eq!(at, Some(0), "first come first served");
                        waiting.remove(0);
                        running.push((request, key));
                        prop_assert!(core.instance(key).is_some_and(|i| i.phase == Phase::Ready));
                    }
                    Step::Start(count) => asked += count,
                    Step::Pause(key) | Step::Stop(key) => {
                        let busy = core.instance(key).is_some_and(|i| i.in_flight > 0);
                        let is_broken = matches!(
                            happens,
                            Happens::Answers(..) | Happens::Resumes(..) | Happens::Sickens(..)
                        );
                        prop_assert!(!busy || is_broken, "{:?} of a busy instance", happens);
                    }
                    Step::Probe(_) | Step::Resume(_) => {}
                }
            }
            for (key, instance) in core.instances() {
                let here = running.iter().filter(|(_, at)| *at == key).count() as u32;
                prop_assert_eq!(instance.in_flight, here, "{:?}", instance);
                prop_assert!(concurrency == 0 || here <= concurrency);
            }
            let free = core.instances().any(|(_, i)| {
                i.phase == Phase::Ready && (concurrency == 0 || i.in_flight < concurrency)
            });
            prop_assert!(!free || waiting.is_empty(), "{} wait beside a free slot", waiting.len());
            prop_assert_eq!(core.counts().queued as usize, waiting.len());
        }
    }
}

mod shared;

/// A Revision's annotation may be changed after it has begun; what its load is counted by may not.
#[test]
fn another_metric_is_not_followed() {
    let mut bench = Bench::new(settings(0), true);
    let metric = crate::autoscaler::Metric::RequestsPerSecond;
    bench.core.follow(Spec { metric, max_scale: Some(1), ..settings(0).scaling }, bench.now);
    assert_eq!(bench.core.settings.scaling, settings(0).scaling);
}

#[test]
fn however_many_there_should_be_they_are_not_asked_for_all_at_once() {
    let scaling = Spec { min_scale: i32::MAX as u32, ..settings(0).scaling };
    let mut bench = Bench::new(Settings { scaling, ..settings(0) }, true);
    bench.core.tick(ms(1));
    assert_eq!(bench.steps(), ["start 256"]);
    bench.start_one();
    assert_eq!(bench.steps(), ["probe 0", "start 1"], "one more for one that is there");
}

/// knative/serving counts requests a second there: a target of many is no reason to leave a request waiting.
#[test]
fn a_paused_instance_is_resumed_for_a_request_that_the_running_ones_have_no_place_for() {
    let metric = crate::autoscaler::Metric::RequestsPerSecond;
    let target = crate::autoscaler::Target { target: 140.0, total: 200.0 };
    let scaling = Spec { metric, target, min_scale: 2, ..settings(1).scaling };
    let mut bench = Bench::new(Settings { scaling, ..settings(1) }, true);
    bench.core.tick(ms(1));
    bench.run_until(s(20));
    assert_eq!(bench.core.counts().paused, 2, "{:?}", bench.log);
    for request in 1..=2 {
        bench.arrive(request);
    }
    bench.run_until(s(21));
    let counts = bench.core.counts();
    assert_eq!((counts.in_flight, counts.queued), (2, 0), "{:?}", bench.log);
}

#[test]
fn a_revision_that_serves_is_in_no_crash_loop() {
    let one = Spec { max_scale: Some(1), ..settings(1).scaling };
    let mut bench = Bench::new(Settings { scaling: one, ..settings(1) }, true);
    bench.arrive(1);
    bench.run_until(s(20));
    for _ in 0..10 {
        bench.core.not_started("no licence".to_owned(), bench.now);
    }
    assert!(!bench.core.is_crash_loop());
    assert!(matches!(bench.arrive(2), Arrival::Waits(_)), "for the one that is busy");
}

/// Its runtime has not even been asked.
#[test]
fn starts_that_are_given_up_are_not_waited_for() {
    let mut bench = Bench::new(settings(1), true);
    bench.arrive(1);
    assert_eq!(bench.steps(), ["start 1"]);
    bench.core.retire(bench.now);
    assert!(!bench.core.is_gone());
    bench.core.not_tried(1);
    assert!(bench.core.is_gone());
}
