//! Clusters of real processes, each on a machine of its own as far as the network goes, and what befalls them.
//!
//! Every scenario is the same story (`scene.rs`). Producers post to all nodes and repeat each event until it is
//! acknowledged; a subscriber notes what it is given; something goes wrong; it is healed, and then progress is demanded on
//! every node. What it is held to at the end (`oracle.rs`, spec of reliability, section 5):
//! - nothing that was acknowledged is missing, every byte is as it was sent, and all replicas' logs say the same;
//! - an event is in the logs once for each time that its producer was told so, and at most once more for each try of which
//!   the producer cannot know: no retry of ours writes anything twice;
//! - a delivery beyond one for each copy happened around a move of the right to deliver, which the nodes' logs tell;
//! - no group takes no events for longer than the scenario's budget, nobody waits longer than that and its own patience, and
//!   half a minute after the healing all is level.
//!
//! Each scenario says its figures on standard error, as a line that begins with `figures:`. `PELTON_CLUSTER_ROUNDS` repeats
//! the faults of each (once unless given), for runs that mean something: 200 kills are
//! `PELTON_CLUSTER_ROUNDS=67 cargo test --test cluster killed_is_done_without`.
//!
//! The test harness runs as many at a time as there are processors: most of its time a scenario waits.
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
mod events;
mod figures;
mod kills;
mod ledger;
mod load;
mod logs;
mod network;
mod older;
mod oracle;
mod partitions;
mod recover;
mod replace;
mod roles;
mod scene;
mod sessions;
mod status;
mod strangers;
mod subscriber;
mod twice;
mod upgrade;

/// How often each scenario repeats its faults.
fn rounds() -> usize {
    std::env::var("PELTON_CLUSTER_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(1)
}
