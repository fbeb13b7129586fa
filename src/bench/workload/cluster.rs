//! Three nodes on this machine: what replication costs, and how long a group is without a leader.
//!
//! Three processes and the load share the processors, and the replicas one disk, which no real cluster does: the rows
//! are about cost, not about what three machines would do.

pub mod end_to_end;
pub mod failover;
pub mod hand_over;
pub mod idle;
pub mod ingest;
pub mod latency;
pub mod rebuild;

use super::super::events::{MATCHING_TYPE, Target, Template};
use super::super::lab::Lab;
use super::super::load::Load;
use super::super::trio::Trio;

/// Single events over connections to every node.
fn load_on(lab: &Lab, trio: &Trio, connections: usize) -> Load {
    let servers = trio.ingress();
    let template = Template::binary(servers[0], Target::DefaultBroker, MATCHING_TYPE);
    Load { servers: servers.clone(), ..lab.load(servers[0], template, connections) }
}
