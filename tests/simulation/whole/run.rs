//! One seed: a cluster of whole nodes, faults, then peace, in which everything that was acknowledged has to be delivered.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::FutureExt as _;
use pelton_client::{ClusterChange, NodeClient as _, NodePhase};
use pelton_env::{Chance, SeededChance};
use turmoil::{Builder, Sim};

use super::node::{self, Order};
use super::oracle::Oracle;
use super::sinks;
use super::triggers::{self, FIRST, SINKS};
use super::world::Whole;
use crate::clock;
use crate::invariants::Violation;
use crate::invariants::retained_events_survive_moves as retained;
use crate::nemesis::{Nemesis, OF_WHOLE_NODES, Plan};
use crate::panics;
use crate::run::{Failure, PROGRESS, Summary, TICK};
use crate::witness::host;

/// The cluster forms and its Triggers start within this time.
const BEGIN_WITHIN: Duration = Duration::from_secs(60);

/// How long faults go on.
const UNREST: Duration = Duration::from_secs(12);

/// In this time after everything has healed everything has to be delivered and in order again. Attempts that failed
/// often wait longest: 3 s; then come a circuit that opened, and a replica that moves.
const HEAL_WITHIN: Duration = Duration::from_secs(60);

/// How often an order is given again.
const ASK_AGAIN_MILLIS: u64 = 3_000;

/// How often logs are read when nothing was delivered or acknowledged.
const LOOK_EVERY_STEPS: u64 = 10;

struct Run<'a> {
    sim: Sim<'a>,
    world: Arc<Whole>,
    nemesis: Nemesis,
    chance: SeededChance,
    plan: Plan,
    steps: u64,
}

/// Runs a seed.
pub fn run(seed: u64, loud: bool) -> Result<Summary, Box<Failure>> {
    let chance = SeededChance::new(seed ^ 0x77_686f_6c65);
    let plan = Plan::of(&chance, &OF_WHOLE_NODES);
    if loud {
        eprintln!("seed {seed}: {plan:?}");
    }
    pelton_consensus::simulated(chance.bits());
    clock::set(Duration::ZERO);
    let direct = plan.direct_disks;
    let keeps_all = chance.below(3) > 0;
    let oracle = Oracle::new(loud, &plan.faults);
    let world = Arc::new(Whole::new(seed, plan.nodes, plan.first_voters, |node| node <= direct, oracle));
    let mut sim = Builder::new()
        .rng_seed(chance.bits())
        .tick_duration(TICK)
        .simulation_duration(BEGIN_WITHIN + UNREST + HEAL_WITHIN + Duration::from_secs(60))
        .min_message_latency(Duration::from_millis(1))
        .max_message_latency(plan.max_latency)
        .tcp_capacity(4_096)
        .enable_random_order()
        .build();
    for sink in SINKS {
        let world = world.clone();
        sim.host(host(sink), move || sinks::run(sink, world.clone()));
    }
    for id in world.hosts.keys().copied() {
        let world = world.clone();
        sim.host(host(id), move || node::run(id, world.clone()));
    }
    let nemesis = Nemesis::new(chance.bits(), plan.clone(), &*world, 0);
    let mut run = Run { sim, world: world.clone(), nemesis, chance, plan: plan.clone(), steps: 0 };
    let outcome = run.begin(keeps_all).and_then(|()| run.unrest()).and_then(|()| run.peace(keeps_all));
    let simulated = run.sim.elapsed();
    let crashes = run.nemesis.crashes;
    if outcome.as_ref().is_err_and(panics::is_panic) {
        std::mem::forget(run);
    } else {
        // The nodes first: what they hold belongs to hosts that are gone with the simulation.
        world.alive.lock().clear();
        drop(run);
    }
    let (acknowledged, deliveries) = world.oracle.counts();
    let (elections, trace) = (world.oracle.elections(), world.oracle.trace());
    Summary { simulated, acknowledged, elections, crashes, deliveries, trace }.of(outcome, plan)
}

/// What every replica says of itself.
fn run_state(world: &Whole) -> String {
    use std::fmt::Write as _;
    let mut state = String::new();
    for (place, alive) in world.alive.lock().iter() {
        let report = alive.node.client().report().now_or_never().flatten().unwrap_or_default();
        let _ = write!(state, "\nnode {place}, as {}:", alive.node.identity().node);
        for (group, at) in &report.replicas {
            let (role, end) = (at.role, (at.last_index, at.commit_index, at.applied_index));
            let _ = write!(state, "\n  {group}: {role:?} of {:?} in term {}, {end:?}", at.leader, at.term);
        }
    }
    state
}

impl Run<'_> {
    fn step(&mut self) -> Result<(), Violation> {
        let stepped = panics::step(&mut self.sim);
        let oracle = &self.world.oracle;
        clock::set(self.sim.elapsed());
        let now = self.sim.elapsed().as_millis() as u64;
        oracle.set_now(now);
        for at in self.world.hosts.values() {
            at.clock.millis.store(now, Ordering::Relaxed);
        }
        stepped?;
        self.steps += 1;
        if oracle.has_news() || self.steps.is_multiple_of(LOOK_EVERY_STEPS) {
            for (id, alive) in self.world.alive.lock().iter() {
                oracle.look(*id, alive);
            }
            oracle.judge_news();
        }
        oracle.found().map_or(Ok(()), Err)
    }

    /// Steps until it is so.
    fn until(
        &mut self,
        within: Duration,
        what: &'static str,
        mut is_so: impl FnMut(&mut Self) -> Result<(), String>,
    ) -> Result<(), Violation> {
        let deadline = self.sim.elapsed() + within;
        loop {
            // Now and then is enough: it looks at everything.
            if self.steps.is_multiple_of(LOOK_EVERY_STEPS) {
                let Err(why) = is_so(self) else { return Ok(()) };
                if self.sim.elapsed() > deadline {
                    let what = format!("{what}: not within {within:?}: {why}; {}", run_state(&self.world));
                    return Err(Violation { invariant: "progress after everything has healed", what });
                }
            }
            self.step()?;
        }
    }

    /// Gives an order, and again after a while.
    fn ask(&self, asked_at: &mut Option<u64>, order: impl FnOnce() -> Option<Order>) {
        let now = self.world.oracle.now_millis();
        if asked_at.is_none_or(|at| now > at + ASK_AGAIN_MILLIS) {
            *asked_at = Some(now);
            if let Some(order) = order() {
                self.world.tell(&self.chance, order);
            }
        }
    }

    /// The cluster forms, and its first Triggers start.
    fn begin(&mut self, keeps_all: bool) -> Result<(), Violation> {
        let nodes = self.plan.nodes as usize;
        self.until(BEGIN_WITHIN, "the cluster forms", |run| {
            let alive = run.world.alive.lock();
            let waiting: Vec<_> = alive.iter().filter_map(|(id, at)| Some((*id, at.node.waits_for()?))).collect();
            let there = alive.values().next().map_or(0, |at| at.view().groups.len());
            if alive.len() == nodes && waiting.is_empty() && there == nodes {
                return Ok(());
            }
            Err(format!("{} nodes, {there} groups, waiting: {waiting:?}", alive.len()))
        })?;
        let retention = if keeps_all { "PT24H" } else { "PT1S" };
        let wanted = std::iter::once(triggers::broker(retention));
        let wanted: Vec<_> = wanted.chain((1..=FIRST).map(|number| triggers::trigger(number, false))).collect();
        let mut asked_at = None;
        self.until(BEGIN_WITHIN, "the first triggers start", |run| {
            run.ask(&mut asked_at, || Some(Order::Apply(wanted.clone())));
            let groups = run.world.view().groups.len();
            let started = run.world.oracle.started(groups);
            if started >= FIRST as usize { Ok(()) } else { Err(format!("{started} are there in all groups")) }
        })
    }

    fn unrest(&mut self) -> Result<(), Violation> {
        self.world.produce(true);
        let end = self.sim.elapsed() + UNREST;
        while self.sim.elapsed() < end {
            self.step()?;
            self.nemesis.step(&mut self.sim, &*self.world);
        }
        Ok(())
    }

    /// Everything heals, and the cluster has to serve, to deliver and to be the same everywhere.
    fn peace(&mut self, keeps_all: bool) -> Result<(), Violation> {
        self.nemesis.heal(&mut self.sim, &*self.world);
        let mut asked_at = None;
        self.until(HEAL_WITHIN, "no node is drained", |run| {
            let view = run.world.view();
            let drained = view.nodes.iter().find(|(_, info)| info.phase == NodePhase::Draining);
            let Some((node, _)) = drained else { return Ok(()) };
            run.ask(&mut asked_at, || Some(Order::Change(ClusterChange::Undrain(*node))));
            Err(format!("{node}"))
        })?;
        let before = self.world.oracle.counts().0;
        self.until(HEAL_WITHIN, "new events are acknowledged", |run| {
            let new = run.world.oracle.counts().0 - before;
            if new >= PROGRESS { Ok(()) } else { Err(format!("{new}")) }
        })?;
        self.world.produce(false);
        self.until(HEAL_WITHIN, "everything is delivered", |run| run.world.oracle.all_delivered())?;
        let quiet_since = self.world.oracle.now_millis();
        // All of it at one moment: what an append brought whose answer nobody waits for may come in between.
        self.until(HEAL_WITHIN, "everything is delivered, stored and the same everywhere", |run| {
            let oracle = &run.world.oracle;
            oracle.all_delivered()?;
            oracle.all_stored(quiet_since)?;
            retained::settled(&run.world)?;
            oracle.check_states().map_err(|violation| violation.what)
        })?;
        retained::check(&self.world, keeps_all)?;
        self.world.oracle.found().map_or(Ok(()), Err)
    }
}
