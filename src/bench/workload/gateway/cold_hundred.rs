//! A hundred Services from zero at the same time, over a hundred bare spawns at the same time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::super::super::bare::Bare;
use super::super::super::error::BenchError;
use super::super::super::first_byte::get;
use super::super::super::lab::Lab;
use super::super::super::product::Product;
use super::super::super::report::{Goal, Row, millis};
use super::super::super::rounds::{Sample, Side, at_quantile, pairs};
use super::super::super::service::Service;
use super::super::no_rows;
use super::{bare, median_millis, stopping_after};

const SERVICES: usize = 100;
const GOAL: Goal = Goal::AtMost { must: 2.0, aim: 1.5 };

/// Measures the row.
pub async fn run(lab: &Lab) -> Result<Vec<Row>, BenchError> {
    let label = format!("gateway, {SERVICES} services from zero at once, p99");
    lab.step(&format!("{label}: setting up"));
    let system = Arc::new(Bare::new()?);
    let product = Product::start(&lab.directory("product")?, lab.workers).await?;
    // Nobody stops before the last one has started: bare ones do not either.
    let services = (0..SERVICES).map(|number| stopping_after(&format!("cold-{number:03}"), "2s"));
    let services = services.collect::<Result<Vec<_>, _>>()?;
    product.serve(&services).await?;
    product.at_zero().await?;
    let mut medians = (Vec::new(), Vec::new());
    let pairs = pairs(lab, lab.rounds, &label, async |side| {
        let (times, medians) = match side {
            Side::Reference => (bare(&system, |system| system.at_once(SERVICES)).await?, &mut medians.1),
            Side::Ours => {
                let times = all_at_once(&product, &services).await?;
                product.at_zero().await?;
                (times, &mut medians.0)
            }
        };
        medians.push(median_millis(&times));
        Ok(Sample::from(at_quantile(times.into_iter().map(millis), 0.99).unwrap_or(f64::NAN)))
    })
    .await?;
    product.stop().await?;
    let row = Row::of_pairs(label, &pairs, ("ms p99", "ms p99, bare spawns"), GOAL);
    let row = row.ok_or_else(|| no_rows("gateway-cold-100"))?;
    let median = |values: Vec<f64>| at_quantile(values, 0.5).unwrap_or(f64::NAN);
    let (ours, theirs) = (median(medians.0), median(medians.1));
    Ok(vec![row.note(format!("half of them are there after {ours:.0} ms, bare ones after {theirs:.0} ms"))])
}

/// From the moment at which all may be asked for to the first byte of each.
async fn all_at_once(product: &Product, services: &[Service]) -> Result<Vec<Duration>, BenchError> {
    let began = Instant::now();
    let mut asked = JoinSet::new();
    for service in services {
        let (gateway, host) = (product.gateway, service.host());
        asked.spawn(async move { get(gateway, &host, began).await?.demand_cold() });
    }
    let mut times = Vec::with_capacity(services.len());
    while let Some(answer) = asked.join_next().await {
        let answer = answer.map_err(|error| BenchError::Load { reason: format!("a request's task failed: {error}") });
        times.push(answer??.after);
    }
    Ok(times)
}
