//! Three nodes on this machine: what replication costs, and how long a group is without a leader.
//!
//! Three processes and the load share the processors, and the replicas one disk, which no real cluster does: the rows
//! are about cost, not about what three machines would do.

mod end_to_end;
mod failover;
mod hand_over;
mod idle;
mod ingest;
mod latency;
mod rebuild;

use super::super::error::BenchError;
use super::super::events::{MATCHING_TYPE, Target, Template};
use super::super::lab::Lab;
use super::super::load::Load;
use super::super::report::Row;
use super::super::trio::Trio;

/// Measures every row.
pub async fn run(lab: &Lab) -> Result<Vec<Row>, BenchError> {
    let mut rows = ingest::run(lab).await?;
    rows.push(end_to_end::run(lab).await?);
    rows.extend(latency::run(lab).await?);
    rows.push(failover::run(lab).await?);
    rows.push(hand_over::run(lab).await?);
    rows.extend(idle::run(lab).await?);
    rows.push(rebuild::run(lab).await?);
    Ok(rows)
}

/// Single events over connections to every node.
fn load_on(lab: &Lab, trio: &Trio, connections: usize) -> Load {
    let servers = trio.ingress();
    let template = Template::binary(servers[0], Target::DefaultBroker, MATCHING_TYPE);
    Load { servers: servers.clone(), ..lab.load(servers[0], template, connections) }
}
