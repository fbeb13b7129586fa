//! The workloads, one a file, and the parts that several of them share.

mod batch;
mod brokers;
mod cluster;
mod delivery;
mod end_to_end;
mod ingest;
mod latency;
mod memory;
mod replay;
mod restart;
mod single;
mod syncs;
mod triggers;

use std::time::Duration;

use clap::ValueEnum;

use super::error::BenchError;
use super::lab::Lab;
use super::load::{Load, closed};
use super::process::processor_time;
use super::report::{Row, micros};
use super::rounds::Sample;

/// What can be measured, in the order in which all are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Workload {
    /// Acknowledged events a second against the null server
    Ingest,
    /// JSON batches of 100 against single events
    Batch,
    /// Latency of a lone event against null server plus one disk sync
    Single,
    /// Ingest and delivery to a sink against the null server
    EndToEnd,
    /// Time from POST sent to POST received at a quarter of the end-to-end rate
    Latency,
    /// End to end over 1,000 brokers against one
    Brokers,
    /// End to end with 10,000 triggers against one
    Triggers,
    /// Replay of retained events against live delivery
    Replay,
    /// Disk syncs for 1,000 acknowledged events
    Syncs,
    /// Resident memory: idle, with a backlog, with 10,000 triggers
    Memory,
    /// Time to be ready with much retained against little
    Restart,
    /// Three nodes: what replication costs, and how long a group is without a leader
    Cluster,
}

impl Workload {
    /// Its name on the command line.
    pub fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }

    /// Measures it.
    ///
    /// # Errors
    /// [`BenchError`] when there is no figure.
    pub async fn run(self, lab: &Lab) -> Result<Vec<Row>, BenchError> {
        match self {
            Self::Ingest => ingest::run(lab).await,
            Self::Batch => batch::run(lab).await,
            Self::Single => single::run(lab).await,
            Self::EndToEnd => end_to_end::run(lab).await,
            Self::Latency => latency::run(lab).await,
            Self::Brokers => brokers::run(lab).await,
            Self::Triggers => triggers::run(lab).await,
            Self::Replay => replay::run(lab).await,
            Self::Syncs => syncs::run(lab).await,
            Self::Memory => memory::run(lab).await,
            Self::Restart => restart::run(lab).await,
            Self::Cluster => cluster::run(lab).await,
        }
    }
}

/// Acknowledged events a second under a closed loop, with the server's processor time for each.
async fn closed_rate(load: &Load, server_pid: u32, window: Duration) -> Result<Sample, BenchError> {
    let before = processor_time(server_pid);
    let tally = closed(load, window).await?.demand_no_refusal()?;
    let used = processor_time(server_pid).zip(before).map(|(after, before)| after.saturating_sub(before));
    Ok(Sample { value: tally.rate(), processor_micros: used.map(|used| micros(used) / tally.accepted.max(1) as f64) })
}

/// A figure that cannot be made because there is nothing to make it from.
fn no_rows(what: &str) -> BenchError {
    BenchError::Load { reason: format!("{what}: no round was measured") }
}
