//! How long one event takes on an idle machine: at best what HTTP takes plus one synced write.

use super::super::disk_probe::probe;
use super::super::error::BenchError;
use super::super::events::{MATCHING_TYPE, Target, Template};
use super::super::lab::Lab;
use super::super::load::{Load, closed};
use super::super::null_server::NullServer;
use super::super::product::Product;
use super::super::report::{Goal, Row, micros};
use super::super::rounds::{Sample, Side, pairs};
use super::no_rows;

const GOAL: Goal = Goal::AtMost { must: 1.5, aim: 1.2 };

/// Measures the row.
pub async fn run(lab: &Lab) -> Result<Vec<Row>, BenchError> {
    let label = "single event, p50".to_owned();
    let null = NullServer::start(&lab.directory("null")?, lab.workers).await?;
    let product = Product::start(&lab.directory("product")?, lab.workers).await?;
    let load = |server| lab.load(server, Template::binary(server, Target::DefaultBroker, MATCHING_TYPE), 1);
    let (ours, reference) = (load(product.ingress), load(null.address()));
    lab.step(&format!("{label}: warming up"));
    closed(&reference, lab.warm_up()).await?;
    closed(&ours, lab.warm_up()).await?;
    let (mut null_p50, mut sync_p50) = (Vec::new(), Vec::new());
    let pairs = pairs(lab, lab.rounds, &label, async |side| match side {
        Side::Ours => Ok(Sample::from(p50_micros(&ours, lab).await?)),
        Side::Reference => {
            let sync = micros(probe(lab.files(), lab.window / 4)?.p50);
            let null = p50_micros(&reference, lab).await?;
            sync_p50.push(sync);
            null_p50.push(null);
            Ok(Sample::from(null + sync))
        }
    })
    .await?;
    product.stop().await?;
    null.stop().await;
    let row = Row::of_pairs(label, &pairs, ("us", "us null + sync"), GOAL).ok_or_else(|| no_rows("single"))?;
    let parts = format!("per round, us: null {}; synced write {}", list(&null_p50), list(&sync_p50));
    Ok(vec![row.note(parts)])
}

async fn p50_micros(load: &Load, lab: &Lab) -> Result<f64, BenchError> {
    Ok(micros(closed(load, lab.window).await?.demand_no_refusal()?.latency_at(0.5)))
}

fn list(values: &[f64]) -> String {
    values.iter().map(|value| format!("{value:.0}")).collect::<Vec<_>>().join(", ")
}
