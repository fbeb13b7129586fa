//! One revision at this gateway: its requests, its instances, and the task that keeps both moving.
//!
//! [`core`] decides; this shell performs: it hands slots to requests as [`Lease`]s, and asks the runtime for what the core
//! wants done with instances.

mod acquire;
mod core;
mod events;
mod failures;
mod instances;
mod lease;
mod life;
mod liveness;
mod peers;
mod scaler;
mod waiting;

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use self::acquire::NotServed;
pub use self::core::{Core, Counts, Reach, Settings, Step};
pub use self::events::{WaitingEvents, divide};
pub use self::instances::{InstanceKey, Phase};
pub use self::lease::{Lease, Stream};
pub use self::scaler::Assigned;
pub use self::waiting::{Full, QueueBounds};
use crate::autoscaler::{Demand, Spec};
use crate::logs::RevisionLog;
use crate::metrics::{RevisionMetrics, RevisionSeries, Stage};
use crate::probe::{Probe, Repeated};
use crate::proxy::{Hop, Line, Protocol, Timeouts};
use crate::runtime::{Runtime, Workload, WorkloadSpec};

/// What a gateway must know of a revision to serve it.
#[derive(Debug, Clone)]
pub struct RevisionSpec {
    /// What is run.
    pub workload: Arc<WorkloadSpec>,
    /// How requests and instances are brought together.
    pub core: Settings,
    /// The time that a request has.
    pub timeouts: Timeouts,
    /// How long a request waits for an instance before it is refused. It does not count as time of the request.
    pub activation_timeout: Duration,
    /// How long an instance may take until it answers.
    pub start_deadline: Duration,
    /// What its instances speak.
    pub protocol: Protocol,
    /// How it is found out that an instance answers.
    pub probe: Probe,
    /// How it is found out that an instance has come up, before it is asked whether it answers.
    pub startup: Option<Repeated>,
    /// How it is found out that an instance is to be replaced, once it has answered.
    pub liveness: Option<Repeated>,
    /// Whether it had its initial scale once.
    pub is_proved: bool,
    /// Whether this gateway shares its work with others, who say how many instances it has.
    pub is_shared: bool,
}

/// Another gateway that has instances of a revision.
#[derive(Debug, Clone)]
pub struct Other {
    /// Its name.
    pub name: Arc<str>,
    /// Where it listens.
    pub address: SocketAddr,
    /// What a request shows that is passed on to it.
    pub hop: Arc<Hop>,
    /// Its instances that can take requests.
    pub ready: u32,
}

/// One revision at this gateway.
#[derive(Debug)]
pub struct Revision {
    spec: RevisionSpec,
    runtime: Arc<dyn Runtime>,
    /// Where its tasks run, whoever begins them.
    tasks: Handle,
    workload: OnceLock<Box<dyn Workload>>,
    origin: Instant,
    state: Mutex<State>,
    /// Wakes the task: something is due sooner than it thinks.
    wake: Notify,
    /// Something that others are told of has changed.
    changed: Arc<Notify>,
    log: Arc<RevisionLog>,
    /// Long-lived connections are to end.
    closing: CancellationToken,
    /// Long-lived connections.
    streams: TaskTracker,
    /// It is not wanted any more.
    retired: CancellationToken,
    /// Nothing of it is left.
    gone: CancellationToken,
    metrics: RevisionMetrics,
}

#[derive(Debug)]
struct State {
    core: Core<oneshot::Sender<Lease>>,
    lines: HashMap<InstanceKey, Arc<Line>>,
    /// When a request came first that found nothing to take it.
    cold_since: Option<Duration>,
    /// When instances were asked for that are not heard of yet.
    asked_at: VecDeque<Duration>,
    /// When the task looks again by itself.
    armed: Option<Duration>,
    /// Starts that wait until the revision is deployed.
    held_starts: u32,
    /// When an instance was started last.
    last_start: Option<Duration>,
    deployed: Option<Result<(), String>>,
}

/// A step, with what it takes to perform it outside of the lock.
enum Action {
    Grant(oneshot::Sender<Lease>, InstanceKey, Arc<Line>),
    Start(u32),
    Probe(InstanceKey),
    Pause(InstanceKey),
    Resume(InstanceKey),
    Stop(InstanceKey),
}

/// What controllers are told of a revision.
#[derive(Debug, Clone, PartialEq)]
pub struct RevisionStatus {
    /// Whether its runtime has what it needs; `None` while it is being deployed.
    pub deployed: Option<Result<(), String>>,
    /// Its requests and instances.
    pub counts: Counts,
    /// Requests that instances here were given.
    pub arrivals: u64,
    /// What events ask for.
    pub demand: Demand,
    /// Whether it had its initial scale once.
    pub is_proved: bool,
    /// Why no instance comes up, when none does.
    pub crash_loop: Option<String>,
}

impl Revision {
    /// A revision that is served from now on. Must be called within a runtime; `changed` is notified when its
    /// [`status`](Self::status) changes.
    #[must_use]
    pub fn begin(
        spec: RevisionSpec,
        runtime: Arc<dyn Runtime>,
        log: Arc<RevisionLog>,
        changed: Arc<Notify>,
        series: &Arc<RevisionSeries>,
    ) -> Arc<Self> {
        let core = match spec.is_shared {
            true => Core::shared(spec.core.clone(), runtime.can_pause(), spec.is_proved),
            false => Core::new(spec.core.clone(), runtime.can_pause(), spec.is_proved, Duration::ZERO),
        };
        let state = State {
            core,
            lines: HashMap::new(),
            cold_since: None,
            asked_at: VecDeque::new(),
            armed: None,
            held_starts: 0,
            last_start: None,
            deployed: None,
        };
        let metrics = RevisionMetrics::new(&spec.workload, series);
        let revision = Arc::new(Self {
            spec,
            runtime,
            tasks: Handle::current(),
            workload: OnceLock::new(),
            origin: Instant::now(),
            state: Mutex::new(state),
            wake: Notify::new(),
            changed,
            log,
            closing: CancellationToken::new(),
            streams: TaskTracker::new(),
            retired: CancellationToken::new(),
            gone: CancellationToken::new(),
            metrics,
        });
        tokio::spawn(life::run(Arc::clone(&revision)));
        revision
    }

    /// Its namespace and its name.
    #[must_use]
    pub fn name(&self) -> (String, String) {
        (self.spec.workload.namespace.clone(), self.spec.workload.revision.clone())
    }

    /// What controllers are told.
    #[must_use]
    pub fn status(&self) -> RevisionStatus {
        let now = self.now();
        let mut state = self.state.lock();
        let crash_loop = state.core.is_crash_loop().then(|| state.core.last_failure().unwrap_or_default().to_owned());
        RevisionStatus {
            deployed: state.deployed.clone(),
            counts: state.core.counts(),
            arrivals: state.core.arrivals(),
            demand: if self.spec.is_shared { state.core.event_demand(now) } else { Demand::default() },
            is_proved: state.core.is_proved(),
            crash_loop,
        }
    }

    /// How long ago an instance was started last, if one was.
    #[must_use]
    pub fn since_last_start(&self) -> Option<Duration> {
        let last = self.state.lock().last_start?;
        Some(self.now().saturating_sub(last))
    }

    /// The revision is not wanted any more: who waits is refused, instances end as they fall idle, long-lived connections
    /// are asked to end.
    pub fn retire(self: &Arc<Self>) {
        let waiting = self.with_core(Core::retire);
        drop(waiting);
        self.closing.cancel();
        self.retired.cancel();
        self.wake.notify_one();
    }

    /// Stops all instances, busy or not.
    pub fn stop_now(self: &Arc<Self>) {
        self.with_core(|core, _| core.stop_all());
    }

    /// Kills all instances: they had their time to end.
    pub fn kill_now(&self) {
        if let Some(workload) = self.workload.get() {
            workload.kill_all();
        }
    }

    /// Follows another way of scaling: its Route leads to it no more, or does again.
    pub fn follow(self: &Arc<Self>, scaling: Spec) {
        self.with_core(|core, now| core.follow(scaling, now));
    }

    /// Takes what all gateways together have decided on instances here, and who else has some.
    pub fn assign(self: &Arc<Self>, assigned: Assigned, others: &[Other]) {
        let now = self.now();
        let actions = {
            let mut state = self.state.lock();
            let ready: Vec<_> = others.iter().map(|other| (Arc::clone(&other.name), other.ready)).collect();
            for (key, name) in state.core.assign(assigned, &ready, now) {
                let other = others.iter().find(|other| other.name == name).expect("it was told of just now");
                let line = Line::to_gateway(other.address, self.spec.protocol, Arc::clone(&other.hop));
                state.lines.insert(key, Arc::new(line));
            }
            let State { core, lines, .. } = &mut *state;
            lines.retain(|key, _| core.is_peer(*key) || core.instance(*key).is_some());
            self.actions(&mut state, now)
        };
        self.perform(actions);
        self.wake.notify_one();
    }

    /// From now on so many events wait for it under one of its hosts, and so many have come since that was said last.
    pub fn events_wait(self: &Arc<Self>, host: &str, waiting: WaitingEvents, arrived: u64) {
        self.with_core(|core, now| core.events_wait(host, waiting, arrived, now));
    }

    /// An event for it is about to be stored.
    pub fn expects_event(self: &Arc<Self>) {
        self.with_core(|core, now| core.expect_event(now));
    }

    /// Asks long-lived connections to end.
    pub fn close_streams(&self) {
        self.closing.cancel();
        self.streams.close();
    }

    /// Waits until no long-lived connection is left, once they were asked to end.
    pub async fn streams_closed(&self) {
        self.streams.wait().await;
    }

    /// Whether it is retired, and nothing of it is left.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.state.lock().core.is_gone()
    }

    /// Waits until nothing of it is left, once it is retired.
    pub async fn gone(&self) {
        self.gone.cancelled().await;
    }

    fn now(&self) -> Duration {
        self.origin.elapsed()
    }

    /// Changes the core, and performs what follows.
    fn with_core<T>(self: &Arc<Self>, change: impl FnOnce(&mut Core<oneshot::Sender<Lease>>, Duration) -> T) -> T {
        let now = self.now();
        let (outcome, actions) = {
            let mut state = self.state.lock();
            let outcome = change(&mut state.core, now);
            (outcome, self.actions(&mut state, now))
        };
        self.perform(actions);
        outcome
    }

    /// Takes the steps of the core. Sees to it that the task looks again in time.
    fn actions(&self, state: &mut State, now: Duration) -> Vec<Action> {
        // One that scales itself looks again soon by itself while anything happens to it, and that is cheaper to ask for.
        let due = if self.spec.is_shared { state.core.next_wake(now) } else { state.core.decision_due() };
        if let Some(due) = due
            && state.armed.is_none_or(|armed| armed > due)
        {
            state.armed = Some(due);
            self.wake.notify_one();
        }
        if self.spec.is_shared {
            // What is on its way may be different; that is told in time.
            self.changed.notify_one();
        }
        if !state.core.has_steps() {
            return Vec::new();
        }
        let steps = state.core.take_steps();
        steps
            .into_iter()
            .filter_map(|step| {
                Some(match step {
                    Step::Grant(waiter, key) => Action::Grant(
                        waiter,
                        key,
                        Arc::clone(state.lines.get(&key).expect("a ready instance has a line")),
                    ),
                    Step::Start(count) if self.workload.get().is_none() => {
                        state.held_starts += count;
                        return None;
                    }
                    Step::Start(count) => Action::Start(count),
                    Step::Probe(key) => Action::Probe(key),
                    Step::Pause(key) => Action::Pause(key),
                    Step::Resume(key) => Action::Resume(key),
                    Step::Stop(key) => Action::Stop(key),
                })
            })
            .collect()
    }

    fn perform(self: &Arc<Self>, actions: Vec<Action>) {
        if actions.is_empty() {
            return;
        }
        let _within = self.tasks.enter();
        for action in actions {
            match action {
                Action::Grant(waiter, key, line) => {
                    // Whoever left meanwhile drops the lease, which gives the slot back.
                    drop(waiter.send(Lease::new(Arc::clone(self), key, line)));
                }
                Action::Start(count) => self.start(count),
                Action::Probe(key) => drop(tokio::spawn(liveness::probe(Arc::clone(self), key))),
                Action::Pause(key) => drop(tokio::spawn(life::pause(Arc::clone(self), key))),
                Action::Resume(key) => drop(tokio::spawn(life::resume(Arc::clone(self), key))),
                Action::Stop(key) => self.stop(key),
            }
        }
    }

    fn start(&self, count: u32) {
        {
            let now = self.now();
            let mut state = self.state.lock();
            if let Some(since) = state.cold_since.take() {
                self.metrics.stage(Stage::Decide, now.saturating_sub(since));
            }
            state.asked_at.extend(std::iter::repeat_n(now, count as usize));
        }
        let workload = self.workload.get().expect("it is deployed");
        for _ in 0..count {
            workload.start();
        }
    }

    fn stop(&self, key: InstanceKey) {
        let id = self.state.lock().core.instance(key).map(|instance| instance.id.clone());
        if let (Some(id), Some(workload)) = (id, self.workload.get()) {
            workload.stop(&id);
        }
    }
}
