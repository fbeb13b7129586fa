//! What a run shares between its nodes and the one who watches it.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;
use pelton_consensus::{Group, NodeId, Role};
use pelton_env::{Chance, SeededChance};
use tokio::sync::mpsc;

use crate::disk::NodeDisk;
use crate::journal::Journal;
use crate::ledger::Ledger;
use crate::nemesis::{Cluster, Fault};
use crate::node::{Order, SkewedClock};
use crate::oracle::Oracle;

/// A node that runs.
pub struct Alive {
    pub life: u64,
    pub group: Group<Ledger>,
    pub orders: mpsc::Sender<Order>,
}

/// What outlives a node's crash.
pub struct Host {
    pub disk: Arc<NodeDisk>,
    pub clock: Arc<SkewedClock>,
    lives: AtomicU64,
}

impl Host {
    pub fn new(direct: bool) -> Self {
        Self { disk: Arc::new(NodeDisk::new(direct)), clock: Arc::default(), lives: AtomicU64::new(0) }
    }

    /// The node starts, for the nth time.
    pub fn begin_life(&self) -> u64 {
        self.lives.fetch_add(1, Ordering::Relaxed) + 1
    }
}

/// The chance of a node in one of its lives.
pub fn seed_for(seed: u64, node: u64, life: u64) -> u64 {
    seed.wrapping_mul(1_000_003).wrapping_add(node * 10_007 + life * 101)
}

pub struct World {
    pub seed: u64,
    pub oracle: Arc<Oracle>,
    pub hosts: BTreeMap<u64, Host>,
    pub alive: Mutex<BTreeMap<u64, Alive>>,
    pub first_voters: BTreeSet<NodeId>,
    /// How many of a thousand messages are sent twice.
    pub twice_per_mille: Arc<AtomicU64>,
    quiet: AtomicBool,
}

impl World {
    pub fn new(seed: u64, nodes: u64, first_voters: u64, direct: impl Fn(u64) -> bool, loud: bool) -> Self {
        let host = |node| (node, Host::new(direct(node)));
        Self {
            seed,
            oracle: Arc::new(Oracle::new(loud)),
            hosts: (1..=nodes).map(host).collect(),
            alive: Mutex::default(),
            first_voters: (1..=first_voters).map(NodeId).collect(),
            twice_per_mille: Arc::new(AtomicU64::new(0)),
            quiet: AtomicBool::new(false),
        }
    }

    /// The chance of a node in one of its lives.
    pub fn seed_for(&self, node: u64, life: u64) -> u64 {
        seed_for(self.seed, node, life)
    }

    /// So many of the nodes.
    pub fn some(&self, many: usize, chance: &dyn Chance) -> BTreeSet<NodeId> {
        let mut nodes: Vec<u64> = self.hosts.keys().copied().collect();
        while nodes.len() > many {
            nodes.remove(chance.below(nodes.len() as u64) as usize);
        }
        nodes.into_iter().map(NodeId).collect()
    }

    /// A node that leads, as it thinks itself.
    pub fn leading(&self) -> Option<u64> {
        let alive = self.alive.lock();
        let leads = alive.iter().filter(|(_, node)| node.group.status().role == Role::Leader);
        leads.map(|(id, node)| (node.group.status().term, *id)).max().map(|(_, id)| id)
    }

    /// Tells a node. One that has too many orders already, or is gone, is told nothing.
    pub fn tell(&self, node: u64, order: Order) {
        if let Some(alive) = self.alive.lock().get(&node) {
            let _ = alive.orders.try_send(order);
        }
    }

    /// From now on clients write nothing.
    pub fn be_quiet(&self) {
        self.quiet.store(true, Ordering::Relaxed);
    }

    pub fn is_quiet(&self) -> bool {
        self.quiet.load(Ordering::Relaxed)
    }
}

impl Cluster for World {
    fn journal(&self) -> &Journal {
        &self.oracle
    }

    fn hosts(&self) -> &BTreeMap<u64, Host> {
        &self.hosts
    }

    fn places(&self) -> Vec<u64> {
        self.hosts.keys().copied().collect()
    }

    fn twice_per_mille(&self) -> Option<&AtomicU64> {
        Some(&self.twice_per_mille)
    }

    fn leader(&self, _: &SeededChance) -> Option<u64> {
        self.leading()
    }

    fn take_down(&self, node: u64) -> Option<Box<dyn Any>> {
        self.alive.lock().remove(&node).map(|alive| Box::new(alive) as Box<dyn Any>)
    }

    fn order(&self, fault: Fault, to: u64, chance: &SeededChance) {
        let Some(leader) = self.leading() else { return };
        let order = if fault == Fault::Members {
            Order::Voters(self.some(if chance.below(2) == 0 { 3 } else { 5 }, chance))
        } else {
            Order::Leader(NodeId(to))
        };
        self.tell(leader, order);
    }

    fn mend(&self, _: u64) {}
}
