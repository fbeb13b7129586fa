//! What goes wrong in a run, all of it chosen from the seed.
//!
//! A run has a part of the faults only, so that each is also met without the others. What is not simulated: a process
//! that is stopped while the others go on (every host's clock runs; a host whose links and disk hang comes close), damage
//! of what was synced, and a disk that is full.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use pelton_env::{Chance, SeededChance};
use turmoil::Sim;

use crate::journal::Journal;
use crate::network;
use crate::witness::host;
use crate::world::Host;

/// How often a thousand messages are sent again in runs that have that.
const TWICE_PER_MILLE: u64 = 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// A link keeps what it should carry, and brings it later.
    Hold,
    /// A link loses what it should carry, both ways.
    Cut,
    /// The same, one way.
    CutOneWay,
    /// A node, as a rule the leader, is cut off: both ways, or it cannot hear, or not be heard.
    Isolate,
    /// A link loses now and then.
    Lossy,
    /// A link is late.
    Late,
    /// A process ends; what was written stays.
    Kill,
    /// The machine ends, between two writes or in the middle of one.
    PowerLoss,
    /// All of them do, at once.
    PowerLossOfAll,
    SlowDisk,
    HangingDisk,
    ClockJump,
    /// Other voters.
    Members,
    /// Another leader.
    Leader,
    /// Messages that come twice. Not an event, but the whole run.
    Twice,
    /// A subscriber answers with errors.
    SinkFails,
    /// A subscriber answers late, or too late.
    SinkHangs,
    /// The way from a node to a subscriber is cut.
    SinkCut,
    /// A Trigger is made, changed or deleted.
    Triggers,
}

/// Of groups alone.
pub const OF_CONSENSUS: [Fault; 15] = [
    Fault::Hold,
    Fault::Cut,
    Fault::CutOneWay,
    Fault::Isolate,
    Fault::Lossy,
    Fault::Late,
    Fault::Kill,
    Fault::PowerLoss,
    Fault::PowerLossOfAll,
    Fault::SlowDisk,
    Fault::HangingDisk,
    Fault::ClockJump,
    Fault::Members,
    Fault::Leader,
    Fault::Twice,
];

/// Of whole nodes. Their messages come twice only as TCP and retries bring them.
pub const OF_WHOLE_NODES: [Fault; 18] = [
    Fault::Hold,
    Fault::Cut,
    Fault::CutOneWay,
    Fault::Isolate,
    Fault::Lossy,
    Fault::Late,
    Fault::Kill,
    Fault::PowerLoss,
    Fault::PowerLossOfAll,
    Fault::SlowDisk,
    Fault::HangingDisk,
    Fault::ClockJump,
    Fault::Members,
    Fault::Leader,
    Fault::SinkFails,
    Fault::SinkHangs,
    Fault::SinkCut,
    Fault::Triggers,
];

/// What the nemesis strikes at.
pub trait Cluster {
    fn journal(&self) -> &Journal;

    /// The nodes' disks and clocks.
    fn hosts(&self) -> &BTreeMap<u64, Host>;

    /// Whatever links lead to: nodes, and subscribers.
    fn places(&self) -> Vec<u64>;

    /// How many of a thousand messages are sent twice.
    fn twice_per_mille(&self) -> Option<&AtomicU64>;

    /// A node that leads, as it thinks itself; `chance` chooses the group.
    fn leader(&self, chance: &SeededChance) -> Option<u64>;

    /// Takes away what is known of a node that runs. It is dropped after its host is gone.
    fn take_down(&self, node: u64) -> Option<Box<dyn Any>>;

    /// Does what is no fault of machine or network: an order to the cluster, or a subscriber that misbehaves.
    fn order(&self, fault: Fault, to: u64, chance: &SeededChance);

    /// A subscriber is as it should be.
    fn mend(&self, sink: u64);
}

/// Ends a fault, or what else is due later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Due {
    Release(u64, u64),
    Repair(u64, u64),
    GoodLink(u64, u64),
    Start(u64),
    GoodDisk(u64),
    GoodSink(u64),
    /// The power goes, if it has not gone in the middle of a write by now.
    PowerGoes(u64),
}

/// What a seed decides before a run begins.
#[derive(Debug, Clone)]
pub struct Plan {
    pub faults: Vec<Fault>,
    pub nodes: u64,
    pub first_voters: u64,
    /// Between two faults, on average.
    pub pause_millis: u64,
    pub max_latency: Duration,
    pub direct_disks: u64,
}

impl Plan {
    /// A run of `all` faults has each with this chance.
    pub fn of(chance: &SeededChance, all: &[Fault]) -> Self {
        let faults: Vec<_> = all.iter().copied().filter(|_| chance.below(100) < 45).collect();
        let first_voters = if chance.below(3) == 0 { 5 } else { 3 };
        let moves = faults.contains(&Fault::Members);
        Self {
            nodes: if moves { 5 } else { first_voters },
            faults,
            first_voters,
            pause_millis: 200 + chance.below(1_500),
            max_latency: Duration::from_millis(3 + chance.below(25)),
            direct_disks: chance.below(4),
        }
    }
}

pub struct Nemesis {
    chance: SeededChance,
    plan: Plan,
    next_at: u64,
    due: Vec<(u64, Due)>,
    pub crashes: u64,
}

impl Nemesis {
    pub fn new(seed: u64, plan: Plan, world: &dyn Cluster, first_at_millis: u64) -> Self {
        if let Some(twice) = world.twice_per_mille().filter(|_| plan.faults.contains(&Fault::Twice)) {
            twice.store(TWICE_PER_MILLE, std::sync::atomic::Ordering::Relaxed);
        }
        Self { chance: SeededChance::new(seed), plan, next_at: first_at_millis, due: Vec::new(), crashes: 0 }
    }

    /// Does what is due by now.
    pub fn step(&mut self, sim: &mut Sim<'_>, world: &dyn Cluster) {
        let now = world.journal().now_millis();
        for (node, at) in world.hosts() {
            if at.disk.left.lock().is_some() {
                self.crash(sim, world, *node, true);
            }
        }
        let (due, later) = self.due.drain(..).partition(|(at, _)| *at <= now);
        self.due = later;
        for (_, due) in due as Vec<_> {
            self.undo(sim, world, due);
        }
        if now >= self.next_at && !self.plan.faults.is_empty() {
            self.next_at = now + 20 + self.chance.below(2 * self.plan.pause_millis);
            let fault = self.plan.faults[self.chance.below(self.plan.faults.len() as u64) as usize];
            self.strike(sim, world, fault);
        }
    }

    /// Ends everything that is wrong, and starts whoever does not run.
    pub fn heal(&mut self, sim: &mut Sim<'_>, world: &dyn Cluster) {
        world.journal().note(format_args!("everything heals"));
        if let Some(twice) = world.twice_per_mille() {
            twice.store(0, std::sync::atomic::Ordering::Relaxed);
        }
        let nodes: Vec<u64> = world.hosts().keys().copied().collect();
        let places = world.places();
        for a in &nodes {
            for b in places.iter().filter(|b| *b > a) {
                sim.release(host(*a), host(*b));
                sim.repair(host(*a), host(*b));
                self.good_link(sim, *a, *b);
            }
        }
        places.iter().filter(|place| !nodes.contains(place)).for_each(|sink| world.mend(*sink));
        self.due.clear();
        for node in nodes {
            let disk = &world.hosts()[&node].disk;
            if disk.power_fails.load(std::sync::atomic::Ordering::Relaxed) {
                self.crash(sim, world, node, true);
            }
            disk.heal();
            self.start(sim, world, node);
        }
        self.due.clear();
    }

    fn at(&mut self, after_millis: u64, due: Due, world: &dyn Cluster) {
        self.due.push((world.journal().now_millis() + after_millis, due));
    }

    fn any_node(&self) -> u64 {
        1 + self.chance.below(self.plan.nodes)
    }

    fn other_than(&self, node: u64) -> u64 {
        1 + (node + self.chance.below(self.plan.nodes - 1)) % self.plan.nodes
    }

    /// The one that leads, or any.
    fn a_leader(&self, world: &dyn Cluster) -> u64 {
        world.leader(&self.chance).unwrap_or_else(|| self.any_node())
    }

    fn undo(&mut self, sim: &mut Sim<'_>, world: &dyn Cluster, due: Due) {
        match due {
            Due::Release(a, b) => sim.release(host(a), host(b)),
            Due::Repair(a, b) => sim.repair(host(a), host(b)),
            Due::GoodLink(a, b) => self.good_link(sim, a, b),
            Due::Start(node) => self.start(sim, world, node),
            Due::GoodDisk(node) => {
                let disk = &world.hosts()[&node].disk;
                disk.hangs.store(false, std::sync::atomic::Ordering::Relaxed);
                disk.slow_millis.store(3, std::sync::atomic::Ordering::Relaxed);
            }
            Due::GoodSink(sink) => world.mend(sink),
            Due::PowerGoes(node) => {
                if world.hosts()[&node].disk.power_fails.load(std::sync::atomic::Ordering::Relaxed) {
                    self.crash(sim, world, node, true);
                }
            }
        }
    }

    fn good_link(&self, sim: &mut Sim<'_>, a: u64, b: u64) {
        sim.set_link_fail_rate(host(a), host(b), 0.0);
        sim.set_link_max_message_latency(host(a), host(b), self.plan.max_latency);
    }

    fn start(&mut self, sim: &mut Sim<'_>, world: &dyn Cluster, node: u64) {
        if !sim.is_host_running(host(node)) {
            world.journal().note(format_args!("node {node} is started"));
            sim.bounce(host(node));
        }
    }

    fn crash(&mut self, sim: &mut Sim<'_>, world: &dyn Cluster, node: u64, loses_power: bool) {
        if !sim.is_host_running(host(node)) {
            return;
        }
        world.journal().note(format_args!("node {node} crashes, loses power: {loses_power}"));
        self.crashes += 1;
        let alive = world.take_down(node);
        // First: a log that is dropped writes what waits.
        world.hosts()[&node].disk.crash(&self.chance, loses_power);
        network::crash(|| {
            sim.crash(host(node));
            drop(alive);
        });
        let down_millis = 100 + self.chance.below(4_000);
        self.at(down_millis, Due::Start(node), world);
    }

    fn strike(&mut self, sim: &mut Sim<'_>, world: &dyn Cluster, fault: Fault) {
        let a = self.any_node();
        let b = self.other_than(a);
        let lasts = 200 + self.chance.below(5_000);
        let leader = self.a_leader(world);
        let victim = if self.chance.below(2) == 0 { leader } else { a };
        let relaxed = std::sync::atomic::Ordering::Relaxed;
        world.journal().note(format_args!("{fault:?}: {a}, {b} or {victim}, for {lasts} ms"));
        match fault {
            Fault::Hold => {
                sim.hold(host(a), host(b));
                self.at(lasts, Due::Release(a, b), world);
            }
            Fault::Cut => {
                sim.partition(host(a), host(b));
                self.at(lasts, Due::Repair(a, b), world);
            }
            Fault::CutOneWay => {
                sim.partition_oneway(host(a), host(b));
                self.at(lasts, Due::Repair(a, b), world);
            }
            Fault::Isolate => {
                let shape = self.chance.below(4);
                for other in (1..=self.plan.nodes).filter(|other| *other != victim) {
                    match shape {
                        0 => sim.partition(host(victim), host(other)),
                        1 => sim.partition_oneway(host(victim), host(other)),
                        2 => sim.partition_oneway(host(other), host(victim)),
                        _ => sim.hold(host(victim), host(other)),
                    }
                    let due = if shape < 3 { Due::Repair(victim, other) } else { Due::Release(victim, other) };
                    self.at(lasts, due, world);
                }
            }
            Fault::Lossy => {
                sim.set_link_fail_rate(host(a), host(b), 0.02);
                self.at(lasts, Due::GoodLink(a, b), world);
            }
            Fault::Late => {
                let late = Duration::from_millis(50 + self.chance.below(1_200));
                sim.set_link_max_message_latency(host(a), host(b), late);
                self.at(lasts, Due::GoodLink(a, b), world);
            }
            Fault::Kill => self.crash(sim, world, victim, false),
            Fault::PowerLoss if self.chance.below(3) == 0 => self.crash(sim, world, victim, true),
            Fault::PowerLoss if !sim.is_host_running(host(victim)) => {}
            Fault::PowerLoss => {
                world.hosts()[&victim].disk.fail_power_after(self.chance.below(3));
                self.at(300, Due::PowerGoes(victim), world);
            }
            Fault::PowerLossOfAll => {
                for node in 1..=self.plan.nodes {
                    self.crash(sim, world, node, true);
                }
            }
            Fault::SlowDisk => {
                let slow = 10 + self.chance.below(400);
                world.hosts()[&victim].disk.slow_millis.store(slow, relaxed);
                self.at(lasts, Due::GoodDisk(victim), world);
            }
            Fault::HangingDisk => {
                world.hosts()[&victim].disk.hangs.store(true, relaxed);
                self.at(lasts, Due::GoodDisk(victim), world);
            }
            Fault::ClockJump => {
                let hour = 3_600_000;
                let jump = self.chance.below(2 * hour as u64) as i64 - hour;
                world.hosts()[&victim].clock.skew_millis.store(jump, relaxed);
            }
            Fault::Members | Fault::Leader | Fault::Triggers => world.order(fault, b, &self.chance),
            Fault::SinkFails | Fault::SinkHangs => {
                if let Some(sink) = self.any_sink(world) {
                    world.order(fault, sink, &self.chance);
                    self.at(lasts, Due::GoodSink(sink), world);
                }
            }
            Fault::SinkCut => {
                if let Some(sink) = self.any_sink(world) {
                    sim.partition(host(victim), host(sink));
                    self.at(lasts, Due::Repair(victim, sink), world);
                }
            }
            Fault::Twice => {}
        }
    }

    fn any_sink(&self, world: &dyn Cluster) -> Option<u64> {
        let sinks: Vec<_> = world.places().into_iter().filter(|place| !world.hosts().contains_key(place)).collect();
        sinks.get(self.chance.below(sinks.len().max(1) as u64) as usize).copied()
    }
}
