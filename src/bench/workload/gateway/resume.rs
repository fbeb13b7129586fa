//! From paused to the first byte of an answer: the 99th percentile, for each of the examples that run here.

use std::time::Instant;

use super::super::super::error::BenchError;
use super::super::super::examples;
use super::super::super::first_byte::post;
use super::super::super::lab::Lab;
use super::super::super::product::Product;
use super::super::super::report::{Goal, Row, millis};
use super::super::super::rounds::{Spread, at_quantile};
use super::super::super::service::Service;
use super::super::super::steal::StealWatch;
use super::super::no_rows;
use super::{IDLE_PAUSE, IDLE_STOP};

const GOAL: Goal = Goal::AtMost { must: 10.0, aim: 3.0 };

/// How often each is paused in all rounds together.
const PAUSES: usize = 500;
const PAUSES_QUICK: usize = 100;

/// Measures a row for the consumer of the bench, and one for each example.
pub async fn run(lab: &Lab) -> Result<Vec<Row>, BenchError> {
    let mut rows = vec![resumed(lab, Service::of_consumer("native")?).await?];
    let examples = examples::found()?;
    for service in examples.runnable {
        rows.push(resumed(lab, service).await?);
    }
    if let Some(first) = rows.first_mut() {
        first.notes.extend(examples.left_out);
    }
    Ok(rows)
}

async fn resumed(lab: &Lab, service: Service) -> Result<Row, BenchError> {
    let pauses = if lab.quick { PAUSES_QUICK } else { PAUSES };
    let label = format!("gateway, from paused to first byte, p99, {}", service.name());
    lab.step(&label);
    let product = Product::start(&lab.directory("product")?, lab.workers).await?;
    let service = service.with(IDLE_PAUSE, "20ms").with(IDLE_STOP, "1h");
    product.serve(std::slice::from_ref(&service)).await?;
    let watch = StealWatch::start();
    let mut times = Vec::with_capacity(pauses);
    for _ in 0..pauses {
        product.paused().await?;
        let answer = post(product.gateway, &service.host(), Instant::now()).await?.demand_cold()?;
        times.push(millis(answer.after));
    }
    let stolen = watch.percent();
    product.stop().await?;
    let p99 = at_quantile(times.iter().copied(), 0.99).unwrap_or(f64::NAN);
    let mut row = Row::of_values(label, &[p99], "ms", Some(GOAL)).ok_or_else(|| no_rows("gateway-resume"))?;
    row.stolen_percent = Spread::of(stolen);
    let spread = Spread::of(times).ok_or_else(|| no_rows("gateway-resume"))?;
    Ok(row.note(format!("of {pauses}; p50 {:.2} ms, longest {:.2} ms", spread.median, spread.max)))
}
