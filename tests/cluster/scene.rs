//! A cluster under load, from calm to calm, and what it is held to.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::cluster::Cluster;
use crate::figures::Figures;
use crate::ledger::Ledger;
use crate::load::{Load, PATIENCE};
use crate::oracle::{Evidence, Outcome, Sleep, accept, acks_of_groups, unavailable};
use crate::rounds;
use crate::support::{Start, wait_for};

/// So many more acknowledged events of a node are progress.
const PROGRESS: usize = 25;

/// The product says that writes to the group of a lost leader go on within 2 s. Elections that the processor keeps waiting
/// fail and begin again, the machine is shared and the build is not a release: this bounds what is broken and not what is
/// slow.
pub const FAILOVER: Duration = Duration::from_secs(20);

/// After all is healed: every node takes events again, what was acknowledged has come, and the replicas are level.
const HEALED_WITHIN: Duration = Duration::from_secs(30);

/// How often a producer may run out of patience, beyond the time that a group is without a leader: every node once.
const NODES_TRIED: u32 = 4;

/// A scenario: how often its fault strikes, and how long a group may take no events because of one.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// In each round, such as once for each node.
    pub faults: usize,
    pub unavailable: Duration,
}

impl Default for Plan {
    fn default() -> Self {
        Self { faults: 1, unavailable: FAILOVER }
    }
}

/// Runs a scenario on three nodes: `fault` as often as the environment says, and all that must hold at the end.
#[track_caller]
pub fn scenario(what: &str, fault: impl FnMut(&mut Scene, usize)) {
    scenario_with(what, |_, start| start, fault);
}

/// The same, with nodes that are started in a way of their own.
#[track_caller]
pub fn scenario_with(what: &str, dress: impl Fn(usize, Start) -> Start, fault: impl FnMut(&mut Scene, usize)) {
    play(what, Plan::default(), dress, fault);
}

/// On three nodes, as planned. `fault` is told the how manieth it is.
#[track_caller]
pub fn planned(what: &str, plan: Plan, fault: impl FnMut(&mut Scene, usize)) {
    play(what, plan, |_, start| start, fault);
}

#[track_caller]
fn play(what: &str, plan: Plan, dress: impl Fn(usize, Start) -> Start, mut fault: impl FnMut(&mut Scene, usize)) {
    let mut scene = Scene::new(Cluster::start(3, dress), false);
    scene.may_be_unavailable = Some(plan.unavailable);
    for nth in 0..rounds() * plan.faults {
        scene.strike(nth, &mut fault);
    }
    scene.ends(what);
}

/// A fault, from its beginning until it was healed, and until all nodes took events again.
#[derive(Debug, Clone, Copy)]
struct Fault {
    from: Instant,
    healed: Instant,
    calm: Instant,
}

pub struct Scene {
    pub cluster: Cluster,
    pub load: Load,
    pub ledger: Arc<Ledger>,
    /// How long a group may take no events. Whoever takes a quorum away for as long as it likes sets none.
    pub may_be_unavailable: Option<Duration>,
    /// Whether the Broker keeps only the first of what is sent again.
    pub keeps_one: bool,
    faults: Vec<Fault>,
    sleeps: Vec<Sleep>,
    began: Instant,
}

impl Scene {
    /// Producers for a cluster, `forgetful` ones or not, that have begun.
    #[track_caller]
    pub fn new(cluster: Cluster, forgetful: bool) -> Self {
        let ledger = Arc::<Ledger>::default();
        let load = Load::start(&cluster.ingresses(), &ledger, forgetful);
        let (faults, sleeps, began) = (Vec::new(), Vec::new(), Instant::now());
        let scene = Self { cluster, load, ledger, may_be_unavailable: None, keeps_one: false, faults, sleeps, began };
        scene.all_take("before anything has happened");
        scene
    }

    /// Something goes wrong, is healed, and then progress is demanded on every node.
    #[track_caller]
    pub fn strike(&mut self, nth: usize, fault: impl FnOnce(&mut Self, usize)) {
        let from = Instant::now();
        fault(self, nth);
        let healed = Instant::now();
        self.all_take(&format!("once all is healed, after fault {nth}"));
        self.faults.push(Fault { from, healed, calm: Instant::now() });
    }

    /// Stops a node with a signal until others lead what it led, and `atleast` so long. What it takes afterwards of what was
    /// sent to it meanwhile, it must take in a new term.
    #[track_caller]
    pub fn sleeps(&mut self, machine: usize, at_least: Duration, meanwhile: impl Fn(&mut Self)) {
        let name = self.cluster.name(machine);
        let led = self.cluster.status().led_by(&name);
        self.cluster.pause(machine);
        let from = Instant::now();
        while from.elapsed() < at_least {
            meanwhile(self);
        }
        wait_for("others to lead what it led", || {
            let still = self.cluster.status().led_by(&name);
            if still.is_empty() { Ok(()) } else { Err(format!("{name} leads {still:?}")) }
        });
        let until = Instant::now();
        self.cluster.resume(machine);
        self.sleeps.push(Sleep { node: machine, from, until, led });
    }

    /// Waits until every node that is up, and takes events, acknowledges some.
    #[track_caller]
    pub fn all_take(&self, when: &str) {
        self.take(&self.cluster.up_with_ingress(), when);
    }

    /// Waits until events are acknowledged, whoever does.
    #[track_caller]
    pub fn some_take(&self, when: &str) {
        self.load.wait_for_some(&format!("events to be taken by somebody {when}"), PROGRESS);
    }

    /// Waits until these nodes acknowledge events.
    #[track_caller]
    pub fn take(&self, machines: &[usize], when: &str) {
        self.load.wait_for(&format!("events to be taken {when}"), machines, PROGRESS);
    }

    /// Everything has come; then the nodes stop, and their logs say the same. All that must hold does.
    #[track_caller]
    pub fn ends(self, what: &str) -> Outcome {
        let Self { mut cluster, load, ledger, may_be_unavailable, keeps_one, faults, sleeps, began } = self;
        load.stop();
        let stopped = Instant::now();
        cluster.subscriber.wait_for("everything acknowledged to be delivered", &ledger.acks().into_keys().collect());
        let letters = cluster.node(cluster.up()[0]).dead_letters("all");
        assert!(letters.is_empty(), "{what}: a subscriber that takes everything has dead letters: {letters:?}");
        cluster.wait_until_caught_up();
        let level = Instant::now() - stopped;
        let (agreed, sessions) = cluster.autopsy(what);
        let deliveries = cluster.subscriber.deliveries();
        assert_eq!(ledger.wrong(), Vec::<String>::new(), "{what}: answers");
        assert_eq!(deliveries.wrong, Vec::<String>::new(), "{what}: as they were sent");
        let evidence = Evidence {
            sent: ledger.tries(),
            given_up: ledger.given_up(),
            delivered: deliveries.of,
            copies: agreed.copies,
            sessions,
            sleeps,
            keeps_one,
        };
        let outcome = accept(what, &evidence);
        let acks = acks_of_groups(&evidence);
        let of = |fault: &Fault| unavailable(&acks, fault.from, fault.calm, stopped).0;
        let figures = Figures {
            outcome,
            failures: ledger.failures(),
            unavailable: faults.iter().map(of).collect(),
            longest: unavailable(&acks, began, stopped, stopped),
            healed: faults.iter().map(|fault| fault.calm - fault.healed).max().unwrap_or_default().max(level),
            took: began.elapsed(),
        };
        figures.publish(what);
        if let Some(most) = may_be_unavailable {
            let (longest, group) = figures.longest;
            let said = || cluster.said_of(group);
            assert!(
                longest <= most,
                "{what}: group {group} took no events for {longest:?}, above {most:?}:\n{}",
                said()
            );
            let (longest, most) = (outcome.longest_wait, most + NODES_TRIED * PATIENCE);
            assert!(longest <= most, "{what}: an event waited for {longest:?}, above {most:?}");
        }
        let healed = figures.healed;
        assert!(healed <= HEALED_WITHIN, "{what}: all was well only {healed:?} after it was healed");
        outcome
    }
}
