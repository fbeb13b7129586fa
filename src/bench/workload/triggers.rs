//! End to end with 10,000 triggers, of which one matches, against one trigger: cost follows matches.

use super::super::error::BenchError;
use super::super::events::{MATCHING_TYPE, Target};
use super::super::lab::Lab;
use super::super::manifest::Manifest;
use super::super::report::{Goal, Row};
use super::super::rounds::{Side, pairs};
use super::super::sink::Sink;
use super::delivery::Delivery;
use super::no_rows;

/// Triggers of the large set.
pub const TRIGGERS: u32 = 10_000;
const GOAL: Goal = Goal::AtLeast { must: 0.90, aim: 0.97 };

/// Measures the row.
pub async fn run(lab: &Lab) -> Result<Vec<Row>, BenchError> {
    let label = format!("{TRIGGERS} triggers against one");
    let sink = Sink::start(lab.origin)?;
    lab.step(&format!("{label}: setting up"));
    let mut one = Delivery::with_one_trigger(lab, &sink).await?;
    let manifest = Manifest::triggers(TRIGGERS, MATCHING_TYPE, sink.address());
    let mut many = Delivery::start(lab, &sink, &manifest, Target::DefaultBroker).await?;
    let pairs = pairs(lab, lab.rounds, &label, async |side| match side {
        Side::Ours => many.rate(lab, &sink).await,
        Side::Reference => one.rate(lab, &sink).await,
    })
    .await?;
    let note = many.backlog_note();
    many.product.stop().await?;
    one.product.stop().await?;
    let row = Row::of_pairs(label, &pairs, ("events/s", "events/s"), GOAL).ok_or_else(|| no_rows("triggers"))?;
    Ok(vec![row.note(note)])
}
