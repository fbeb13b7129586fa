//! The workloads, one a file, and the parts that several of them share.

mod batch;
mod brokers;
mod cluster;
mod delivery;
mod end_to_end;
mod gateway;
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
    /// All that follow: what three nodes cost, and how long a group is without a leader
    Cluster,
    /// Three nodes: acknowledged events a second against the null server and against one node
    ClusterIngest,
    /// Three nodes: ingest and delivery to a sink against the null server
    ClusterEndToEnd,
    /// Three nodes: time from POST sent to POST received against the disk's sync
    ClusterLatency,
    /// Three nodes: how long a group takes no events after its leader was killed
    ClusterFailover,
    /// Three nodes: the longest gap in acknowledgements while a leader hands over
    ClusterHandOver,
    /// Three nodes: processor time and memory with many brokers and triggers and no load
    ClusterIdle,
    /// Three nodes: what ingest keeps of its rate while a replica is rebuilt
    ClusterRebuild,
    /// All that follow: what the serving gateway costs, and how fast a consumer is there
    Gateway,
    /// Gateway: requests a second to a warm instance against nginx
    GatewayWarm,
    /// Gateway: latency added to a request against what nginx adds
    GatewayLatency,
    /// Gateway: from stopped to the first byte against a bare spawn
    GatewayCold,
    /// Gateway: 100 Services from zero at once against 100 bare spawns
    #[value(name = "gateway-cold-100")]
    GatewayColdHundred,
    /// Gateway: from paused to the first byte
    GatewayResume,
    /// Gateway: from POST sent to POST received by a cold consumer against a bare spawn
    GatewayEvent,
    /// Gateway: time until the right scale is decided when load rises from 10 to 500 in flight
    GatewayStep,
    /// Gateway: resident memory of 1,000 Services at zero
    GatewayIdle,
}

/// What [`Workload::Cluster`] stands for.
const CLUSTER: [Workload; 7] = [
    Workload::ClusterIngest,
    Workload::ClusterEndToEnd,
    Workload::ClusterLatency,
    Workload::ClusterFailover,
    Workload::ClusterHandOver,
    Workload::ClusterIdle,
    Workload::ClusterRebuild,
];

/// What [`Workload::Gateway`] stands for.
const GATEWAY: [Workload; 8] = [
    Workload::GatewayWarm,
    Workload::GatewayLatency,
    Workload::GatewayCold,
    Workload::GatewayColdHundred,
    Workload::GatewayResume,
    Workload::GatewayEvent,
    Workload::GatewayStep,
    Workload::GatewayIdle,
];

impl Workload {
    /// The workloads that are meant by `asked`, each by itself: all when none is asked for.
    pub fn chosen(asked: &[Self]) -> Vec<Self> {
        let asked = if asked.is_empty() { Self::value_variants() } else { asked };
        let mut chosen = Vec::new();
        for workload in asked {
            let these = match workload {
                Self::Cluster => &CLUSTER[..],
                Self::Gateway => &GATEWAY[..],
                _ => std::slice::from_ref(workload),
            };
            chosen.extend(these.iter().filter(|one| !chosen.contains(*one)).copied().collect::<Vec<_>>());
        }
        chosen
    }

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
            Self::Cluster | Self::Gateway => Ok(Vec::new()),
            Self::ClusterIngest => cluster::ingest::run(lab).await,
            Self::ClusterEndToEnd => cluster::end_to_end::run(lab).await,
            Self::ClusterLatency => cluster::latency::run(lab).await,
            Self::ClusterFailover => cluster::failover::run(lab).await,
            Self::ClusterHandOver => cluster::hand_over::run(lab).await,
            Self::ClusterIdle => cluster::idle::run(lab).await,
            Self::ClusterRebuild => cluster::rebuild::run(lab).await,
            Self::GatewayWarm => gateway::warm::run(lab).await,
            Self::GatewayLatency => gateway::latency::run(lab).await,
            Self::GatewayCold => gateway::cold::run(lab).await,
            Self::GatewayColdHundred => gateway::cold_hundred::run(lab).await,
            Self::GatewayResume => gateway::resume::run(lab).await,
            Self::GatewayEvent => gateway::event::run(lab).await,
            Self::GatewayStep => gateway::step::run(lab).await,
            Self::GatewayIdle => gateway::idle::run(lab).await,
        }
    }
}

/// Acknowledged events a second under a closed loop, with the server's processor time for each.
async fn closed_rate(load: &Load, server_pid: u32, window: Duration) -> Result<Sample, BenchError> {
    closed_rate_of(load, || processor_time(server_pid), window).await
}

/// The same for a server whose processor time is asked for otherwise.
async fn closed_rate_of(
    load: &Load,
    processor_time: impl Fn() -> Option<Duration>,
    window: Duration,
) -> Result<Sample, BenchError> {
    let before = processor_time();
    let tally = closed(load, window).await?.demand_no_refusal()?;
    let used = processor_time().zip(before).map(|(after, before)| after.saturating_sub(before));
    Ok(Sample { value: tally.rate(), processor_micros: used.map(|used| micros(used) / tally.accepted.max(1) as f64) })
}

/// A figure that cannot be made because there is nothing to make it from.
fn no_rows(what: &str) -> BenchError {
    BenchError::Load { reason: format!("{what}: no round was measured") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_all_of_its_parts_and_nothing_is_measured_twice() {
        assert_eq!(Workload::chosen(&[Workload::Cluster]), CLUSTER);
        assert_eq!(Workload::chosen(&[Workload::Gateway]), GATEWAY);
        let mut all: Vec<_> = Workload::value_variants().to_vec();
        all.retain(|workload| !matches!(workload, Workload::Cluster | Workload::Gateway));
        assert_eq!(Workload::chosen(&[]), all);
        let twice = [Workload::ClusterIdle, Workload::Syncs, Workload::Syncs, Workload::Cluster];
        assert_eq!(Workload::chosen(&twice).len(), CLUSTER.len() + 1);
    }

    #[test]
    fn every_part_has_the_name_of_its_group() {
        for (group, parts) in [("cluster-", &CLUSTER[..]), ("gateway-", &GATEWAY[..])] {
            for part in parts {
                assert!(part.name().starts_with(group), "{}", part.name());
            }
        }
        assert_eq!(Workload::GatewayColdHundred.name(), "gateway-cold-100");
    }
}
