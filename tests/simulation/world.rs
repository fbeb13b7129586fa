//! What a run shares between its nodes and the one who watches it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;
use pelton_consensus::{Group, NodeId};
use tokio::sync::mpsc;

use crate::disk::NodeDisk;
use crate::ledger::Ledger;
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

pub struct World {
    seed: u64,
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
        let host = |node| {
            let disk = Arc::new(NodeDisk::new(direct(node)));
            (node, Host { disk, clock: Arc::default(), lives: AtomicU64::new(0) })
        };
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

    /// A node starts, for the nth time.
    pub fn begin_life(&self, node: u64) -> u64 {
        self.hosts[&node].lives.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// The chance of a node in one of its lives.
    pub fn seed_for(&self, node: u64, life: u64) -> u64 {
        self.seed.wrapping_mul(1_000_003).wrapping_add(node * 10_007 + life * 101)
    }

    /// From now on clients write nothing.
    pub fn be_quiet(&self) {
        self.quiet.store(true, Ordering::Relaxed);
    }

    pub fn is_quiet(&self) -> bool {
        self.quiet.load(Ordering::Relaxed)
    }
}
