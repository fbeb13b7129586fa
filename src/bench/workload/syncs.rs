//! Disk syncs for 1,000 acknowledged events, by the product's own counters: how well events share a sync.

use super::super::error::BenchError;
use super::super::events::{MATCHING_TYPE, Target, Template};
use super::super::lab::Lab;
use super::super::load::closed;
use super::super::product::Product;
use super::super::report::{Figure, Goal, Row};
use super::super::rounds::Spread;
use super::super::steal::StealWatch;
use super::no_rows;

const CONNECTIONS: usize = 64;
/// Each flush of the log is one synced write.
const SYNCS: &str = "pelton_log_flushes_total";
const ACCEPTED: &str = "pelton_ingress_events_accepted_total";
const GOAL: Goal = Goal::AtMost { must: 80.0, aim: 40.0 };

/// Measures the row.
pub async fn run(lab: &Lab) -> Result<Vec<Row>, BenchError> {
    let label = format!("syncs per 1,000 events, {CONNECTIONS} connections");
    let product = Product::start(&lab.directory("product")?, lab.workers).await?;
    let template = Template::binary(product.ingress, Target::DefaultBroker, MATCHING_TYPE);
    let load = lab.load(product.ingress, template, CONNECTIONS);
    closed(&load, lab.warm_up()).await?;
    let (mut syncs_per_thousand, mut rates, mut stolen) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..lab.rounds {
        lab.step(&format!("{label}: round {} of {}", round + 1, lab.rounds));
        let watch = StealWatch::start();
        let before = (product.counter(SYNCS).await?, product.counter(ACCEPTED).await?);
        let tally = closed(&load, lab.window).await?.demand_no_refusal()?;
        let syncs = product.counter(SYNCS).await? - before.0;
        let accepted = product.counter(ACCEPTED).await? - before.1;
        if (accepted - tally.accepted as f64).abs() > 0.5 {
            let reason = format!("the product counted {accepted} events, the generator {}", tally.accepted);
            return Err(BenchError::Load { reason });
        }
        syncs_per_thousand.push(1_000.0 * syncs / accepted);
        rates.push(tally.rate());
        stolen.extend(watch.percent());
    }
    product.stop().await?;
    let mut row = Row::of_values(label, &syncs_per_thousand, "syncs", Some(GOAL)).ok_or_else(|| no_rows("syncs"))?;
    row.reference = Spread::of(rates).map(|rates| Figure { value: rates.median, unit: "events/s" });
    row.stolen_percent = Spread::of(stolen);
    Ok(vec![row])
}
