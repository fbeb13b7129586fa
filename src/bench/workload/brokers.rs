//! The same end-to-end load over 1,000 brokers against one: a broker is a name, and must cost no more.

use super::super::error::BenchError;
use super::super::events::{MATCHING_TYPE, Target};
use super::super::lab::Lab;
use super::super::manifest::Manifest;
use super::super::report::{Goal, Row};
use super::super::rounds::{Side, pairs};
use super::super::sink::Sink;
use super::delivery::Delivery;
use super::no_rows;

const BROKERS: u32 = 1_000;
const GOAL: Goal = Goal::AtLeast { must: 0.90, aim: 1.0 };

/// Measures the row.
pub async fn run(lab: &Lab) -> Result<Vec<Row>, BenchError> {
    let label = format!("{BROKERS} brokers against one");
    let sink = Sink::start(lab.origin)?;
    lab.step(&format!("{label}: setting up"));
    let mut one = Delivery::with_one_trigger(lab, &sink).await?;
    let manifest = Manifest::brokers(BROKERS, MATCHING_TYPE, sink.address());
    let mut many = Delivery::start(lab, &sink, &manifest, Target::Brokers(BROKERS)).await?;
    let pairs = pairs(lab, lab.rounds, &label, async |side| match side {
        Side::Ours => many.rate(lab, &sink).await,
        Side::Reference => one.rate(lab, &sink).await,
    })
    .await?;
    let note = many.backlog_note();
    many.product.stop().await?;
    one.product.stop().await?;
    let row = Row::of_pairs(label, &pairs, ("events/s", "events/s"), GOAL).ok_or_else(|| no_rows("brokers"))?;
    Ok(vec![row.note("end to end, each broker with one trigger").note(note)])
}
