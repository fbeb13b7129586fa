//! Acknowledged events a second with three replicas, against the null server and against one replica.

use super::super::super::error::BenchError;
use super::super::super::events::{MATCHING_TYPE, Target, Template};
use super::super::super::lab::Lab;
use super::super::super::load::{Load, closed};
use super::super::super::null_server::NullServer;
use super::super::super::product::Product;
use super::super::super::report::{Goal, Row, micros};
use super::super::super::rounds::{Sample, Side, pairs};
use super::super::super::trio::Trio;
use super::super::{closed_rate, no_rows};
use super::load_on;

/// Connections and what each number of them must reach over the null server.
const ROWS: [(usize, Goal); 2] =
    [(256, Goal::AtLeast { must: 0.38, aim: 0.60 }), (64, Goal::AtLeast { must: 0.28, aim: 0.45 })];

const OVER_ONE_REPLICA: Goal = Goal::AtLeast { must: 0.55, aim: 0.80 };

/// Connections of the comparison with one replica.
const CONNECTIONS: usize = 256;

/// Measures the rows.
pub async fn run(lab: &Lab) -> Result<Vec<Row>, BenchError> {
    let mut rows = Vec::new();
    for (connections, goal) in ROWS {
        let label = format!("3 replicas, ingest, {connections} connections");
        let null = NullServer::start(&lab.directory("null")?, lab.workers).await?;
        let template = Template::binary(null.address(), Target::DefaultBroker, MATCHING_TYPE);
        let reference = lab.load(null.address(), template, connections);
        rows.push(against(lab, label, connections, (&reference, null.pid()), "null requests/s", goal).await?);
        null.stop().await;
    }
    let product = Product::start(&lab.directory("product")?, lab.workers).await?;
    let template = Template::binary(product.ingress, Target::DefaultBroker, MATCHING_TYPE);
    let reference = lab.load(product.ingress, template, CONNECTIONS);
    let label = format!("3 replicas over 1, ingest, {CONNECTIONS} connections");
    let pid = product.pid();
    rows.push(against(lab, label, CONNECTIONS, (&reference, pid), "events/s, 1 replica", OVER_ONE_REPLICA).await?);
    product.stop().await?;
    Ok(rows)
}

async fn against(
    lab: &Lab,
    label: String,
    connections: usize,
    (reference, pid): (&Load, u32),
    unit: &'static str,
    goal: Goal,
) -> Result<Row, BenchError> {
    let trio = Trio::start(&lab.directory("trio")?, lab.workers).await?;
    let ours = load_on(lab, &trio, connections);
    lab.step(&format!("{label}: warming up"));
    closed(reference, lab.warm_up()).await?;
    closed(&ours, lab.warm_up()).await?;
    let pairs = pairs(lab, lab.rounds, &label, async |side| match side {
        Side::Ours => rate(lab, &trio, &ours).await,
        Side::Reference => closed_rate(reference, pid, lab.window).await,
    })
    .await?;
    trio.stop().await?;
    Row::of_pairs(label, &pairs, ("events/s", unit), goal).ok_or_else(|| no_rows("ingest"))
}

/// Acknowledged events a second, with the processor time of all nodes for each.
pub async fn rate(lab: &Lab, trio: &Trio, load: &Load) -> Result<Sample, BenchError> {
    let before = trio.processor_time();
    let tally = closed(load, lab.window).await?.demand_no_refusal()?;
    let used = trio.processor_time().zip(before).map(|(after, before)| after.saturating_sub(before));
    Ok(Sample { value: tally.rate(), processor_micros: used.map(|used| micros(used) / tally.accepted.max(1) as f64) })
}
