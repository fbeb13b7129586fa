//! Time from the start of the process until it is ready, with much retained against little.

use std::path::PathBuf;
use std::time::Duration;

use super::super::error::BenchError;
use super::super::events::{DATA_BYTES, MATCHING_TYPE, Target, Template};
use super::super::lab::Lab;
use super::super::load::exactly;
use super::super::product::{Product, data_bytes};
use super::super::report::{Row, Verdict, millis};
use super::super::rounds::{Sample, Side, pairs};
use super::no_rows;

/// How long the events may take to go in.
const FILL_LIMIT: Duration = Duration::from_secs(900);

/// Retained by the smaller one, mebibytes.
const LITTLE: u64 = 64;

/// Measures the row. It has no bar yet, so it is shown and not judged.
pub async fn run(lab: &Lab) -> Result<Vec<Row>, BenchError> {
    let much: u64 = if lab.quick { 512 } else { 4096 };
    let label = format!("restart, {much} MiB against {LITTLE} MiB");
    lab.step(&format!("{label}: filling"));
    let large = filled(lab, much).await?;
    let small = filled(lab, LITTLE).await?;
    let pairs = pairs(lab, lab.rounds, &label, async |side| {
        let directory = match side {
            Side::Ours => &large,
            Side::Reference => &small,
        };
        let product = Product::start(directory, lab.workers).await?;
        let ready = millis(product.ready_after);
        product.stop().await?;
        Ok(Sample::from(ready))
    })
    .await?;
    let unjudged = super::super::report::Goal::AtMost { must: f64::INFINITY, aim: f64::INFINITY };
    let mut row = Row::of_pairs(label, &pairs, ("ms", "ms"), unjudged).ok_or_else(|| no_rows("restart"))?;
    row.goal = None;
    row.verdict = Verdict::Unjudged;
    let on_disk = |directory: &PathBuf| data_bytes(directory) >> 20;
    Ok(vec![row.note(format!(
        "after an orderly stop, files in the page cache; on disk {} and {} MiB",
        on_disk(&large),
        on_disk(&small)
    ))])
}

async fn filled(lab: &Lab, mebibytes: u64) -> Result<PathBuf, BenchError> {
    let directory = lab.directory("product")?;
    let product = Product::start(&directory, lab.workers).await?;
    let batch = Template::batch(product.ingress, Target::DefaultBroker, MATCHING_TYPE, 100);
    let events = (mebibytes << 20) / DATA_BYTES as u64;
    exactly(&lab.load(product.ingress, batch, 8), events, FILL_LIMIT).await?.demand_no_refusal()?;
    product.stop().await?;
    Ok(directory)
}
