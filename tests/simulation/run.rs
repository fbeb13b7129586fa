//! One seed: a cluster, faults, then peace, in which it has to come back.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use pelton_consensus::NodeId;
use pelton_env::{Chance, SeededChance};
use pelton_log::LogIndex;
use turmoil::{Builder, Sim};

use crate::clock;
use crate::invariants::Violation;
use crate::invariants::replicas_are_equal::{Replica, check};
use crate::nemesis::{Nemesis, OF_CONSENSUS, Plan};
use crate::node::{self, Order};
use crate::oracle::GROUP;
use crate::panics;
use crate::trace::Trace;
use crate::witness::host;
use crate::world::World;

/// What time moves on by. Messages and timers are as exact as that.
pub const TICK: Duration = Duration::from_millis(2);

/// When the first one comes.
const FIRST_FAULT_MILLIS: u64 = 2_000;

/// How long faults go on.
pub const UNREST: Duration = Duration::from_secs(15);

/// In this time after everything has healed the cluster has to be whole again. Connections whose messages were lost
/// take five seconds until a keepalive finds them; elections and a change of the voters come on top.
pub const HEAL_WITHIN: Duration = Duration::from_secs(45);

/// How often somebody is told again who shall be the voters.
const ASK_AGAIN_MILLIS: u64 = 4_000;

/// Acknowledgements that are progress.
pub const PROGRESS: usize = 10;

/// What a run was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    pub simulated: Duration,
    pub acknowledged: usize,
    pub elections: usize,
    pub crashes: u64,
    pub deliveries: usize,
    pub trace: Trace,
}

/// A run that showed something.
#[derive(Debug)]
pub struct Failure {
    pub violation: Violation,
    pub plan: Plan,
    pub trace: Trace,
}

impl Summary {
    /// What a run came to that was like this.
    pub fn of(self, outcome: Result<(), Violation>, plan: Plan) -> Result<Self, Box<Failure>> {
        match outcome {
            Ok(()) => Ok(self),
            Err(violation) => Err(Box::new(Failure { violation, plan, trace: self.trace })),
        }
    }
}

struct Run<'a> {
    sim: Sim<'a>,
    world: Arc<World>,
    nemesis: Nemesis,
}

/// Runs a seed.
pub fn run(seed: u64, loud: bool) -> Result<Summary, Box<Failure>> {
    let chance = SeededChance::new(seed);
    let plan = Plan::of(&chance, &OF_CONSENSUS);
    if loud {
        eprintln!("seed {seed}: {plan:?}");
    }
    pelton_consensus::simulated(chance.bits());
    clock::set(Duration::ZERO);
    let direct = plan.direct_disks;
    let world = Arc::new(World::new(seed, plan.nodes, plan.first_voters, |node| node <= direct, loud));
    let mut sim = Builder::new()
        .rng_seed(chance.bits())
        .tick_duration(TICK)
        .simulation_duration(UNREST + HEAL_WITHIN + Duration::from_secs(60))
        .min_message_latency(Duration::from_millis(1))
        .max_message_latency(plan.max_latency)
        .tcp_capacity(4_096)
        .enable_random_order()
        .build();
    for id in world.hosts.keys().copied() {
        let world = world.clone();
        sim.host(host(id), move || node::run(id, world.clone()));
    }
    let nemesis = Nemesis::new(chance.bits(), plan.clone(), &*world, FIRST_FAULT_MILLIS);
    let wanted = world.some(3, &chance);
    let mut run = Run { sim, world: world.clone(), nemesis };
    let outcome = run.unrest().and_then(|()| run.peace(&plan, &wanted));
    let simulated = run.sim.elapsed();
    let crashes = run.nemesis.crashes;
    if outcome.as_ref().is_err_and(panics::is_panic) {
        std::mem::forget(run);
    } else {
        // The nodes' handles first: what they hold belongs to hosts that are gone with the simulation.
        world.alive.lock().clear();
        drop(run);
    }
    let (acknowledged, elections) = (world.oracle.acknowledged(), world.oracle.elections());
    let trace = world.oracle.trace();
    Summary { simulated, acknowledged, elections, crashes, deliveries: 0, trace }.of(outcome, plan)
}

impl Run<'_> {
    fn now(&self) -> Duration {
        self.sim.elapsed()
    }

    fn step(&mut self) -> Result<(), Violation> {
        let stepped = panics::step(&mut self.sim);
        clock::set(self.now());
        let now = self.now().as_millis() as u64;
        self.world.oracle.set_now(now);
        for at in self.world.hosts.values() {
            at.clock.millis.store(now, Ordering::Relaxed);
        }
        stepped?;
        for (id, node) in self.world.alive.lock().iter() {
            self.world.oracle.look(*id, node.life, &node.group);
        }
        self.world.oracle.found().map_or(Ok(()), Err)
    }

    fn unrest(&mut self) -> Result<(), Violation> {
        while self.now() < UNREST {
            self.step()?;
            self.nemesis.step(&mut self.sim, &*self.world);
        }
        Ok(())
    }

    /// Steps until it is so.
    fn until(&mut self, what: &'static str, mut is_so: impl FnMut(&mut Self) -> bool) -> Result<(), Violation> {
        let deadline = UNREST + HEAL_WITHIN;
        while !is_so(self) {
            if self.now() > deadline {
                let states: Vec<_> = self
                    .world
                    .alive
                    .lock()
                    .iter()
                    .map(|(id, node)| format!("{id}: {:?}", node.group.status()))
                    .collect();
                let what = format!("{what}: not within {HEAL_WITHIN:?}; {}", states.join("; "));
                return Err(Violation { invariant: "progress after everything has healed", what });
            }
            self.step()?;
        }
        Ok(())
    }

    /// Everything heals, and the cluster has to serve, to settle and to be the same everywhere.
    fn peace(&mut self, plan: &Plan, three: &BTreeSet<NodeId>) -> Result<(), Violation> {
        self.nemesis.heal(&mut self.sim, &*self.world);
        let voters = if plan.nodes > plan.first_voters { three.clone() } else { self.world.first_voters.clone() };
        let wanted = voters.clone();
        let mut asked_at = None;
        let mut has_those_wanted = move |run: &mut Self| {
            let now = run.world.oracle.now_millis();
            let Some(leader) = run.world.leading() else { return false };
            if run.has_voters(leader, &wanted) {
                return true;
            }
            if asked_at.is_none_or(|at| now > at + ASK_AGAIN_MILLIS) {
                asked_at = Some(now);
                run.world.tell(leader, Order::Voters(wanted.clone()));
            }
            false
        };
        self.until("the voters are those that were asked for", &mut has_those_wanted)?;
        let before = self.world.oracle.acknowledged();
        self.until("new events are acknowledged", |run| run.world.oracle.acknowledged() >= before + PROGRESS)?;
        self.world.be_quiet();
        // A change that was begun in the war may have come to its end only now.
        self.until("all replicas have applied everything", |run| has_those_wanted(run) && run.has_settled(&voters))?;
        self.world.oracle.all_applied();
        let alive = self.world.alive.lock();
        let replicas = voters.iter().filter_map(|voter| {
            let node = alive.get(&voter.0)?;
            let log = node.group.log();
            let first = log.group(GROUP).first.unwrap_or_default();
            let entries = log.read(GROUP, first, LogIndex(u64::MAX), u64::MAX);
            Some(Replica {
                node: voter.0,
                entries: entries.unwrap_or_default(),
                lines: node.group.state().lines.lock().clone(),
            })
        });
        check(&replicas.collect::<Vec<_>>())?;
        self.world.oracle.found().map_or(Ok(()), Err)
    }

    fn has_voters(&self, leader: u64, voters: &BTreeSet<NodeId>) -> bool {
        let alive = self.world.alive.lock();
        let status = alive[&leader].group.status();
        !status.is_joint && status.voters == *voters && voters.contains(&NodeId(leader))
    }

    /// Every voter runs, and all have the same, applied.
    fn has_settled(&self, voters: &BTreeSet<NodeId>) -> bool {
        let alive = self.world.alive.lock();
        let mut places = voters.iter().map(|voter| {
            let status = alive.get(&voter.0)?.group.status();
            let all_applied = status.applied_index == status.last_index && status.committed_index == status.last_index;
            status.last_index.filter(|_| all_applied)
        });
        let first = places.next().flatten();
        first.is_some() && places.all(|place| place == first)
    }
}
