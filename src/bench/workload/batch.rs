//! JSON batches of 100 events against single events, on the same product.

use super::super::error::BenchError;
use super::super::events::{MATCHING_TYPE, Target, Template};
use super::super::lab::Lab;
use super::super::load::closed;
use super::super::product::Product;
use super::super::report::{Goal, Row};
use super::super::rounds::{Side, pairs};
use super::{closed_rate, no_rows};

const CONNECTIONS: usize = 64;
const EVENTS_A_BATCH: usize = 100;
const GOAL: Goal = Goal::AtLeast { must: 4.0, aim: 10.0 };

/// Measures the row.
pub async fn run(lab: &Lab) -> Result<Vec<Row>, BenchError> {
    let label = format!("batches of {EVENTS_A_BATCH}, {CONNECTIONS} connections");
    let product = Product::start(&lab.directory("product")?, lab.workers).await?;
    let server = product.ingress;
    let batch = Template::batch(server, Target::DefaultBroker, MATCHING_TYPE, EVENTS_A_BATCH);
    let batches = lab.load(server, batch, CONNECTIONS);
    let singles = lab.load(server, Template::binary(server, Target::DefaultBroker, MATCHING_TYPE), CONNECTIONS);
    lab.step(&format!("{label}: warming up"));
    closed(&singles, lab.warm_up()).await?;
    closed(&batches, lab.warm_up()).await?;
    let pairs = pairs(lab, lab.rounds, &label, async |side| match side {
        Side::Ours => closed_rate(&batches, product.pid(), lab.window).await,
        Side::Reference => closed_rate(&singles, product.pid(), lab.window).await,
    })
    .await?;
    product.stop().await?;
    let row = Row::of_pairs(label, &pairs, ("events/s", "single events/s"), GOAL).ok_or_else(|| no_rows("batch"))?;
    Ok(vec![row])
}
