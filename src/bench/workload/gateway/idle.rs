//! Resident memory of a gateway with many Services, none of which runs, over one without any.

use std::time::{Duration, Instant};

use super::super::super::error::BenchError;
use super::super::super::lab::Lab;
use super::super::super::product::Product;
use super::super::super::report::{Figure, Goal, Row};
use super::super::no_rows;
use super::stopping_after;

const SERVICES: usize = 1_000;

/// Services that are made at a time: each is started once.
const BATCH: usize = 20;

const GOAL: Goal = Goal::AtMost { must: 50.0, aim: 20.0 };

/// How long the products are left alone before and while they are looked at.
const SETTLE: Duration = Duration::from_secs(3);

/// Measures two rows: what Services at zero take, and what the product takes without any.
pub async fn run(lab: &Lab) -> Result<Vec<Row>, BenchError> {
    let label = format!("gateway, {SERVICES} services at zero over none");
    lab.step(&label);
    let without = Product::start(&lab.directory("without")?, lab.workers).await?;
    let directory = lab.directory("with")?;
    let with = Product::start(&directory, lab.workers).await?;
    let services = (0..SERVICES).map(|number| stopping_after(&format!("idle-{number:04}"), "0s"));
    let services = services.collect::<Result<Vec<_>, _>>()?;
    for (number, batch) in services.chunks(BATCH).enumerate() {
        lab.step(&format!("{label}: {} of {SERVICES}", number * BATCH));
        with.serve(batch).await?;
    }
    with.at_zero().await?;
    let (started, none) = at_rest(&with, &without).await?;
    with.stop().await?;
    let with = Product::start(&directory, lab.workers).await?;
    let (known, _) = at_rest(&with, &without).await?;
    with.stop().await?;
    without.stop().await?;
    let mut row = Row::of_values(label, &[started - none], "MiB", Some(GOAL)).ok_or_else(|| no_rows("gateway-idle"))?;
    row.ours = Figure { value: started, unit: "MiB" };
    row.reference = Some(Figure { value: none, unit: "MiB, no Service" });
    let again = format!("each had been started once; after a restart of the gateway, {:.1} MiB", known - none);
    let alone = Row::of_values("gateway, no service".to_owned(), &[none], "MiB", None);
    let alone = alone.ok_or_else(|| no_rows("gateway-idle"))?;
    let why = "all of `pelton up`: it has no form without a gateway to compare with";
    Ok(vec![row.note(again), alone.note(why)])
}

/// The highest resident memory of both while nothing is asked of them, MiB.
async fn at_rest(with: &Product, without: &Product) -> Result<(f64, f64), BenchError> {
    tokio::time::sleep(SETTLE).await;
    let began = Instant::now();
    let mut highest = (0.0_f64, 0.0_f64);
    while began.elapsed() < SETTLE {
        highest = (highest.0.max(resident(with)?), highest.1.max(resident(without)?));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(highest)
}

fn resident(product: &Product) -> Result<f64, BenchError> {
    Ok(product.resident()?.now_bytes as f64 / f64::from(1 << 20))
}
