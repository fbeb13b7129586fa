//! Clusters of real processes, each on a machine of its own as far as the network goes, and what befalls them.
//!
//! Every scenario is the same story. Producers post to all nodes and repeat each event until it is acknowledged; a
//! subscriber notes what it is given; something goes wrong; it is healed, and then progress is demanded on every node.
//! At the end nothing that was acknowledged is missing, every byte is as it was sent, what came twice is counted and
//! explained, and the logs of all replicas say the same. `PELTON_CLUSTER_ROUNDS` repeats the faults of each scenario
//! (once unless given).
//!
//! Without the right to make name spaces of the network the nodes are on loopback: what needs a partition says so, and
//! the rest is run.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../support/pelton.rs"]
mod command;
#[path = "../support/mod.rs"]
mod support;

mod authority;
mod cluster;
mod damage;
mod disks;
mod kills;
mod load;
mod logs;
mod network;
mod oracle;
mod partitions;
mod replace;
mod roles;
mod status;
mod strangers;
mod twice;

use parking_lot::{Mutex, MutexGuard};

/// Three nodes, producers and a subscriber are enough for the machine: tests take turns.
static TURN: Mutex<()> = Mutex::new(());

fn one_at_a_time() -> MutexGuard<'static, ()> {
    TURN.lock()
}

/// How often each scenario repeats its faults.
fn rounds() -> usize {
    std::env::var("PELTON_CLUSTER_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(1)
}
